//! The votes of one election. Go: the `map[uint64]bool` of tracker/tracker.go.

/// Who voted what in the current election, in id order; the first vote of a node counts, later ones do not.
///
/// ```
/// use tickraft::quorum::{MajorityConfig, VoteResult};
/// use tickraft::tracker::Votes;
///
/// let mut votes = Votes::new();
/// assert!(votes.record(2, true));
/// assert!(!votes.record(2, false), "already voted");
/// assert_eq!(votes.get(2), Some(true));
///
/// let voters = MajorityConfig::from([1, 2, 3]);
/// assert_eq!(voters.vote_result(|id| votes.get(id)), VoteResult::Pending);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Votes {
    votes: Vec<(u64, bool)>,
}

impl Votes {
    /// No votes yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { votes: Vec::new() }
    }

    /// Notes a vote; false, and nothing is noted, when the node has voted before.
    pub fn record(&mut self, id: u64, granted: bool) -> bool {
        match self.votes.binary_search_by_key(&id, |&(voter, _)| voter) {
            Ok(_) => false,
            Err(at) => {
                self.votes.insert(at, (id, granted));
                true
            }
        }
    }

    /// What the node voted; `None` when it was not heard of.
    #[must_use]
    pub fn get(&self, id: u64) -> Option<bool> {
        let at = self
            .votes
            .binary_search_by_key(&id, |&(voter, _)| voter)
            .ok()?;
        self.votes.get(at).map(|&(_, granted)| granted)
    }

    /// Forgets all votes.
    pub fn clear(&mut self) {
        self.votes.clear();
    }

    /// The votes in ascending order of id.
    #[must_use = "an iterator does nothing until it is walked"]
    pub fn iter(&self) -> std::iter::Copied<std::slice::Iter<'_, (u64, bool)>> {
        self.votes.iter().copied()
    }
}
