//! The configuration with the progress of its members and the votes of an election. Go: tracker/tracker.go.

use super::{Config, Inflights, Progress, ProgressMap, Votes};
use crate::quorum::{Index, VoteResult};
use crate::raftpb::ConfState;

/// The configuration, what is known of each of its members, and the votes of the current election.
///
/// ```
/// use tickraft::quorum::VoteResult;
/// use tickraft::tracker::ProgressTracker;
///
/// let mut trk = ProgressTracker::new(256, 0);
/// for id in [1, 2, 3] {
///     trk.config.voters.incoming.insert(id);
///     trk.progress.insert(id, trk.new_progress(1));
/// }
///
/// trk.record_vote(1, true);
/// assert_eq!(trk.tally_votes().result, VoteResult::Pending);
/// trk.record_vote(3, true);
/// assert_eq!(trk.tally_votes().result, VoteResult::Won);
///
/// trk.progress.get_mut(1).unwrap().maybe_update(8);
/// trk.progress.get_mut(2).unwrap().maybe_update(5);
/// assert_eq!(trk.committed(), 5);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProgressTracker {
    /// Who is in the group.
    pub config: Config,
    /// What is known of each member, learners included.
    pub progress: ProgressMap,
    /// The votes of the current election.
    pub votes: Votes,
    /// How many appends may be under way to one peer; 0 sends nothing.
    pub max_inflight: usize,
    /// How many bytes of appends may be under way to one peer; 0 is no limit.
    pub max_inflight_bytes: u64,
}

/// How an election stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tally {
    /// How many members, learners not counted, granted their vote; for information.
    pub granted: usize,
    /// How many of them refused it; for information.
    pub rejected: usize,
    /// What follows: with a joint configuration the two numbers do not tell.
    pub result: VoteResult,
}

impl ProgressTracker {
    /// A tracker without members, whose members will have windows of this size: see [`Inflights::new`].
    #[doc(alias = "MakeProgressTracker")]
    #[must_use]
    pub fn new(max_inflight: usize, max_inflight_bytes: u64) -> Self {
        Self {
            max_inflight,
            max_inflight_bytes,
            ..Self::default()
        }
    }

    /// A progress for a new member with a window of this tracker's limits; it is not added.
    #[must_use]
    pub fn new_progress(&self, next: u64) -> Progress {
        Progress::new(
            next,
            Inflights::new(self.max_inflight, self.max_inflight_bytes),
        )
    }

    /// The configuration as it is stored in snapshots, ids in ascending order.
    #[doc(alias = "ConfState")]
    #[must_use]
    pub fn conf_state(&self) -> ConfState {
        self.config.conf_state()
    }

    /// Whether one voter decides alone: there is exactly one and the configuration is not joint.
    #[doc(alias = "IsSingleton")]
    #[must_use]
    pub fn is_singleton(&self) -> bool {
        self.config.voters.incoming.len() == 1 && !self.config.voters.is_joint()
    }

    /// The highest index that the voters have committed by their acknowledgements; `u64::MAX` when there are no voters.
    ///
    /// Only an entry of the leader's own term may be committed that way (Raft paper §5.4.2): the caller checks.
    #[inline]
    #[must_use]
    pub fn committed(&self) -> u64 {
        let acked = |place, id| self.acked_index(place, id);
        self.config.voters.committed_index_by(acked).0
    }

    /// False only if [`committed`](Self::committed) is `index` or less. In large groups counting is cheaper than putting in order, and most acknowledgements are no
    /// majority's last.
    #[inline]
    pub(crate) fn may_commit_beyond(&self, index: u64) -> bool {
        let voters = &self.config.voters;
        if voters.is_joint() || voters.incoming.len() <= 5 {
            return true;
        }
        // Outside a joint configuration, who is no learner votes.
        let beyond = self
            .progress
            .iter()
            .filter(|(_, pr)| pr.matched > index && !pr.is_learner);
        beyond.count() > voters.incoming.len() / 2
    }

    /// What a voter has acknowledged. Where all members are voters it stands at the same place among the members.
    #[doc(alias = "matchAckIndexer", alias = "AckedIndex")]
    #[inline]
    fn acked_index(&self, place: usize, id: u64) -> Option<Index> {
        match self.progress.get_index(place) {
            Some((member, pr)) if member == id => Some(Index(pr.matched)),
            _ => self.progress.get(id).map(|pr| Index(pr.matched)),
        }
    }

    /// Calls `f` for each member in ascending order of id.
    pub fn visit(&self, f: impl FnMut(u64, &Progress)) {
        let mut f = f;
        self.progress.iter().for_each(|(id, pr)| f(id, pr));
    }

    /// Calls `f` for each member in ascending order of id, to change it.
    #[doc(alias = "Visit")]
    pub fn visit_mut(&mut self, f: impl FnMut(u64, &mut Progress)) {
        let mut f = f;
        self.progress.iter_mut().for_each(|(id, pr)| f(id, pr));
    }

    /// Whether a quorum was heard of lately, by [`Progress::recent_active`]; a leader without one steps down (thesis §6.2).
    #[doc(alias = "QuorumActive")]
    #[must_use]
    pub fn quorum_active(&self) -> bool {
        let active = |id| {
            let voter = self.progress.get(id).filter(|pr| !pr.is_learner);
            voter.map(|pr| pr.recent_active)
        };
        self.config.voters.vote_result(active) == VoteResult::Won
    }

    /// The voters of both halves in ascending order.
    #[doc(alias = "VoterNodes")]
    #[must_use]
    pub fn voter_nodes(&self) -> Vec<u64> {
        self.config.voters.ids().collect()
    }

    /// The learners in ascending order.
    #[doc(alias = "LearnerNodes")]
    #[must_use]
    pub fn learner_nodes(&self) -> Vec<u64> {
        self.config.learners.as_slice().to_vec()
    }

    /// Prepares for a new election.
    #[doc(alias = "ResetVotes")]
    pub fn reset_votes(&mut self) {
        self.votes.clear();
    }

    /// Notes a vote; a second one of the same node in the same election is ignored.
    #[doc(alias = "RecordVote")]
    pub fn record_vote(&mut self, id: u64, granted: bool) {
        self.votes.record(id, granted);
    }

    /// Counts the votes of the election so far (Raft paper §5.2).
    #[doc(alias = "TallyVotes")]
    #[must_use]
    pub fn tally_votes(&self) -> Tally {
        let (mut granted, mut rejected) = (0, 0);
        // Votes of nodes that are no members any more, or learners, are not counted.
        for (id, _) in self.progress.iter().filter(|(_, pr)| !pr.is_learner) {
            match self.votes.get(id) {
                Some(true) => granted += 1,
                Some(false) => rejected += 1,
                None => {}
            }
        }
        let result = self.config.voters.vote_result(|id| self.votes.get(id));
        Tally {
            granted,
            rejected,
            result,
        }
    }
}
