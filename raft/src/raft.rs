//! The node: its state, how it changes roles, and its clock. Go: raft.go

mod candidate;
mod fault;
mod follower;
mod invariants;
mod leader;
mod propose;
mod read_index;
mod replication;
mod send;
mod step;
mod switch_config;
mod validate;

use crate::confchange::{self, Changer};
use crate::log::RaftLog;
use crate::logging::log_info;
use crate::raftpb::{ConfState, HardState, Message, NONE};
use crate::rand::Rng;
use crate::read_only::ReadOnly;
use crate::round::{OwnAck, release};
use crate::storage::Storage;
use crate::tracker::{self, Progress, ProgressMap, ProgressTracker};
use crate::{CampaignType, Config, Error, Fault, ReadState, TraceEventType, Tracer};
use bytes::Bytes;
use slog::Logger;
use std::fmt;
use std::sync::Arc;

/// The role of a node. Go: StateType
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum StateType {
    /// Takes what the leader sends.
    #[default]
    #[doc(alias = "StateFollower")]
    Follower,
    /// Asks for votes.
    #[doc(alias = "StateCandidate")]
    Candidate,
    /// Appends proposals and replicates them.
    #[doc(alias = "StateLeader")]
    Leader,
    /// Asks whether it would get votes.
    #[doc(alias = "StatePreCandidate")]
    PreCandidate,
}

/// Prints Go's name.
impl fmt::Display for StateType {
    #[doc(alias = "String")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Follower => "StateFollower",
            Self::Candidate => "StateCandidate",
            Self::Leader => "StateLeader",
            Self::PreCandidate => "StatePreCandidate",
        })
    }
}

/// Volatile state: useful for logging, need not be written. Go: SoftState
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SoftState {
    /// The leader, 0 when none is known.
    pub lead: u64,
    /// The role.
    pub raft_state: StateType,
}

/// A member of a group that is to be made. Go: Peer
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// Its id.
    pub id: u64,
    /// What the application wants in the configuration change that adds it.
    pub context: Bytes,
}

/// A node of a Raft group: a state machine that messages and ticks drive, and that a driver asks for what to write, send and apply. Go: raft
///
/// The driver's duties: after [`step`](Self::step), [`tick`](Self::tick), a proposal or a configuration change, call [`pending`](Self::pending) until it gives
/// nothing; do what each [`Batch`](crate::Batch) says; when an applied entry is a configuration change, call [`apply_conf_change`](Self::apply_conf_change). The crate
/// `tickraft-rawnode` wraps these duties in types.
///
/// raft.go's functions, in its order:
///
/// - [`Config::validated`], [`Raft::new`], [`Raft::has_leader`], [`Raft::soft_state`], [`Raft::hard_state`]
/// - send.rs: `send`, `send_append`, `maybe_send_append`, `maybe_send_snapshot`, `send_heartbeat`, `bcast_append`, `bcast_heartbeat`, `bcast_heartbeat_with_ctx`
/// - here: `applied_to`, `applied_snap`; leader.rs: `maybe_commit`; here: `reset`; leader.rs: `append_entry`
/// - here: `tick_election`, `tick_heartbeat`, `become_follower`, `become_candidate`, `become_pre_candidate`, `become_leader`
/// - candidate.rs: `hup`, `has_unapplied_conf_changes`, `campaign`, `poll`
/// - step.rs: [`Raft::step`]; leader.rs: `step_leader`; candidate.rs: `step_candidate`; follower.rs: `step_follower`
/// - follower.rs: `log_slice_from_msg_app` (the checks of validate.rs), `handle_append_entries`, `handle_heartbeat`, `handle_snapshot`, `restore`
/// - here: `promotable`; switch_config.rs: [`Raft::apply_conf_change`], `switch_to_config`
/// - here: `load_state`, `past_election_timeout`, `reset_randomized_election_timeout`; leader.rs: `send_timeout_now`, `abort_leader_transfer`, `committed_entry_in_current_term`
/// - read_index.rs: `response_to_read_index_req`; leader.rs: `increase_uncommitted_size`, `reduce_uncommitted_size`
/// - read_index.rs: `release_pending_read_index_messages`, `send_msg_read_index_response`
///
/// ```
/// use storage_mem::MemoryStorage;
/// use tickraft::raftpb::Snapshot;
/// use tickraft::{Batch, Config, Outcome, Raft, StateType, WriteMode};
/// # use tickraft::storage::{Write, Writer};
///
/// let log = slog::Logger::root(slog::Discard, slog::o!());
/// let storage = MemoryStorage::new();
/// let mut first = Snapshot::default();
/// first.metadata.conf_state.voters = vec![1];
/// storage.apply_snapshot(&first).expect("an empty storage takes its first configuration");
/// let mut disk = storage.clone();
/// let mut raft = Raft::new(Config::new(1, 42), storage, log, None)?;
/// let mut batch = Batch::default();
/// let mut drive = |raft: &mut Raft<MemoryStorage>| -> Result<Vec<u8>, tickraft::Error> {
///     let mut applied = Vec::new();
///     while let Some(pending) = raft.pending(WriteMode::Sync)? {
///         pending.accept(&mut batch);
///         let write = Write { hard_state: batch.hard_state, entries: batch.entries.clone(), ..Write::default() };
///         Writer::append(&mut disk, &write).expect("memory does not fail");
///         batch.committed_entries.iter().for_each(|e| applied.extend(&e.data));
///         let own = batch.messages_after_append.drain(..).chain(batch.append_resp.take()).chain(batch.apply_resp.take());
///         for m in own {
///             raft.step(m)?;
///         }
///     }
///     Ok(applied)
/// };
///
/// while raft.soft_state().raft_state != StateType::Leader {
///     raft.tick()?;
///     drive(&mut raft)?;
/// }
/// assert_eq!(raft.propose("hello".into())?, Outcome::Appended { term: 1, index: 2 });
/// assert_eq!(drive(&mut raft)?, b"hello");
/// # Ok::<(), tickraft::Error>(())
/// ```
#[doc(alias = "raft")]
pub struct Raft<S: Storage> {
    pub(crate) id: u64,
    pub(crate) term: u64,
    pub(crate) vote: u64,
    pub(crate) read_states: Vec<ReadState>,
    pub(crate) raft_log: RaftLog<S>,
    max_msg_size: u64,
    max_uncommitted_size: u64,
    pub(crate) trk: ProgressTracker,
    pub(crate) state: StateType,
    /// Whether this node is a learner.
    is_learner: bool,
    /// Messages to other nodes that may leave at once.
    pub(crate) msgs: Vec<Message>,
    /// Which of them carry entries of the log's open tail.
    tail_parts: Vec<MsgTail>,
    /// Messages that must wait until all that is unstable now is written: answers that vote for a leader or acknowledge entries,
    /// to other nodes and to this one.
    pub(crate) msgs_after_append: Vec<Message>,
    /// A leader's acknowledgements to itself, in a few words each; they too wait for the write.
    pub(crate) own_acks: Vec<OwnAck>,
    /// Whether there are messages to this node among those that wait.
    pub(crate) holds_own: bool,
    pub(crate) lead: u64,
    /// The node that leadership is being transferred to (thesis §3.10), or 0.
    pub(crate) lead_transferee: u64,
    /// An index at or above that of the last configuration change in the log: the next one is refused until this is applied.
    pub(crate) pending_conf_index: u64,
    /// The payload of entries that are not applied yet, as far as this leader knows: never an overestimate.
    pub(crate) uncommitted_size: u64,
    read_only: ReadOnly,
    /// Ticks since the last election timeout, or since a leader was heard of.
    pub(crate) election_elapsed: u32,
    /// Ticks since the last heartbeat.
    heartbeat_elapsed: u32,
    heartbeat_timeout: u32,
    pub(crate) election_timeout: u32,
    /// Drawn anew at each change of role: `election_timeout ..= 2 * election_timeout - 1`.
    pub(crate) randomized_election_timeout: u32,
    check_quorum: bool,
    pre_vote: bool,
    disable_proposal_forwarding: bool,
    disable_conf_change_validation: bool,
    step_down_on_removal: bool,
    pub(crate) batch_append: bool,
    /// Whether appends are to be made when the driver asks for what is pending, with `batch_append`.
    pub(crate) appends_due: bool,
    /// Whether the driver has asked since the last change, and there was nothing for it to do.
    pub(crate) quiet: bool,
    /// Read requests that wait for the first commit of this term.
    pending_read_index_messages: Vec<Message>,
    pub(crate) tracer: Option<Arc<dyn Tracer>>,
    rng: Rng,
    /// What the driver was told last. Go: RawNode.prevSoftSt, prevHardSt
    pub(crate) prev_soft_state: SoftState,
    pub(crate) prev_hard_state: HardState,
    /// Why the node stopped, if it did. Boxed: rare.
    fault: Option<Box<Fault>>,
}

/// A message whose entries are (partly) in the open tail.
#[derive(Clone, Copy, Debug)]
struct MsgTail {
    /// Its place in `msgs`.
    at: usize,
    lo: u64,
    hi: u64,
}

impl<S: Storage> Raft<S> {
    /// A node that goes on from what its storage holds: a follower without a leader. Go: newRaft
    ///
    /// A storage that holds nothing makes a node without a group: see [`bootstrap`](Self::bootstrap), or give the storage a snapshot or a ConfState first.
    ///
    /// # Errors
    /// [`Error::Config`], [`Error::HardStateOutOfRange`], [`Error::AppliedOutOfRange`], [`Error::ConfChange`] when the stored configuration is
    /// none that changes could lead to, [`Error::Fault`] when the storage fails.
    #[doc(alias = "newRaft", alias = "NewRawNode")]
    pub fn new(c: Config, s: S, l: Logger, t: Option<Arc<dyn Tracer>>) -> Result<Self, Error> {
        let c = c.validated()?;
        let raft_log = RaftLog::new(s, l, c.max_committed_size_per_ready)?;
        let initial = raft_log.storage.initial_state();
        let (hs, cs) = initial.map_err(|e| Fault::new("reading the initial state", e))?;
        let applied = c.applied;
        let mut r = Self::from_parts(c, raft_log, t);
        r.trace(TraceEventType::InitState);

        let last = r.raft_log.last_entry_id();
        let (cfg, progress) = restored(&r.trk, last.index, &cs)?;
        r.switch_to_config(cfg, progress)?;
        if !hs.is_empty() {
            r.load_state(&hs)?;
        }
        if applied > 0 {
            r.load_applied(applied)?;
        }
        r.become_follower(r.term, NONE);
        log_info!(
            r.raft_log.logger,
            "newRaft {:x} [peers: [{}], term: {}, commit: {}, applied: {}, lastindex: {}, lastterm: {}]",
            r.id,
            hex_list(r.trk.config.voters.ids()),
            r.term,
            r.raft_log.committed,
            r.raft_log.applied,
            last.index,
            last.term
        );
        r.prev_soft_state = r.soft_state();
        r.prev_hard_state = r.hard_state();
        Ok(r)
    }

    fn from_parts(c: Config, raft_log: RaftLog<S>, tracer: Option<Arc<dyn Tracer>>) -> Self {
        Self {
            id: c.id,
            term: 0,
            vote: NONE,
            read_states: Vec::new(),
            raft_log,
            max_msg_size: c.max_size_per_msg,
            max_uncommitted_size: c.max_uncommitted_entries_size,
            trk: ProgressTracker::new(c.max_inflight_msgs, c.max_inflight_bytes),
            state: StateType::Follower,
            is_learner: false,
            msgs: Vec::new(),
            tail_parts: Vec::new(),
            msgs_after_append: Vec::new(),
            own_acks: Vec::new(),
            holds_own: false,
            lead: NONE,
            lead_transferee: NONE,
            pending_conf_index: 0,
            uncommitted_size: 0,
            read_only: ReadOnly::new(c.read_only_option),
            election_elapsed: 0,
            heartbeat_elapsed: 0,
            heartbeat_timeout: c.heartbeat_tick,
            election_timeout: c.election_tick,
            randomized_election_timeout: 0,
            check_quorum: c.check_quorum,
            pre_vote: c.pre_vote,
            disable_proposal_forwarding: c.disable_proposal_forwarding,
            disable_conf_change_validation: c.disable_conf_change_validation,
            step_down_on_removal: c.step_down_on_removal,
            batch_append: c.batch_append,
            appends_due: false,
            quiet: false,
            pending_read_index_messages: Vec::new(),
            tracer,
            rng: Rng::new(c.seed, c.id),
            prev_soft_state: SoftState::default(),
            prev_hard_state: HardState::default(),
            fault: None,
        }
    }

    /// The node's id.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Whether a leader is known in this term. Go: hasLeader
    #[must_use]
    #[doc(alias = "hasLeader")]
    pub fn has_leader(&self) -> bool {
        self.lead != NONE
    }

    /// The leader and the role. Go: softState
    #[must_use]
    #[doc(alias = "softState")]
    pub fn soft_state(&self) -> SoftState {
        SoftState {
            lead: self.lead,
            raft_state: self.state,
        }
    }

    /// Term, vote and commit index as they are now, written or not. Go: hardState
    #[must_use]
    #[doc(alias = "hardState")]
    pub fn hard_state(&self) -> HardState {
        HardState {
            term: self.term,
            vote: self.vote,
            commit: self.raft_log.committed,
        }
    }

    /// The progress of a member; `None` when the node is not in the configuration.
    #[must_use]
    pub fn progress(&self, id: u64) -> Option<&Progress> {
        self.trk.progress.get(id)
    }

    /// The active configuration.
    #[must_use]
    pub fn config(&self) -> &tracker::Config {
        &self.trk.config
    }

    /// The last index of the log, written or not.
    #[must_use]
    #[doc(alias = "lastIndex")]
    pub fn last_index(&self) -> u64 {
        self.raft_log.last_index()
    }

    /// The storage that the node reads.
    #[must_use]
    pub fn storage(&self) -> &S {
        &self.raft_log.storage
    }

    /// The node's logger.
    pub fn logger(&self) -> &Logger {
        &self.raft_log.logger
    }

    /// Advances the clock by one tick: elections and heartbeats depend on nothing else. Afterwards ask for what is [pending](Self::pending).
    ///
    /// # Errors
    /// [`Error::Fault`] only.
    #[inline]
    pub fn tick(&mut self) -> Result<(), Error> {
        if self.quiet && self.count_tick() {
            self.check_in_debug();
            return Ok(());
        }
        self.tick_checked()
    }

    /// Counts a tick of a node at rest; false where it brings a timeout, and nothing is counted. Of thousands of groups most are at rest, and most of the
    /// cost is memory that is not in the cache: this looks at a few words that lie together.
    #[inline]
    fn count_tick(&mut self) -> bool {
        let election = self.election_elapsed.saturating_add(1);
        if self.state != StateType::Leader {
            let counts = election < self.randomized_election_timeout;
            if counts {
                self.election_elapsed = election;
            }
            return counts;
        }
        let heartbeat = self.heartbeat_elapsed.saturating_add(1);
        let counts = election < self.election_timeout && heartbeat < self.heartbeat_timeout;
        if counts {
            self.election_elapsed = election;
            self.heartbeat_elapsed = heartbeat;
        }
        counts
    }

    fn tick_checked(&mut self) -> Result<(), Error> {
        self.check_fault()?;
        if self.state == StateType::Leader {
            self.tick_heartbeat();
        } else if let Err(f) = self.tick_election() {
            return self.settle(Err(f.into()));
        }
        self.settle(Ok(()))
    }

    /// Advances the clock by one tick without an election or heartbeat: for a group that is known to be at rest, and careful callers.
    #[doc(alias = "TickQuiesced")]
    pub fn tick_quiesced(&mut self) {
        self.election_elapsed = self.election_elapsed.saturating_add(1);
    }

    /// Gives back the memory of buffers that hold nothing now and that replication would use again. Optional, for whoever drives many groups, most of
    /// them at rest: after a round that [moves no log](crate::Round::moves_no_log), say.
    pub fn release_buffers(&mut self) {
        release(&mut self.msgs);
        release(&mut self.tail_parts);
        release(&mut self.msgs_after_append);
        release(&mut self.own_acks);
        release(&mut self.read_states);
        self.raft_log.release_buffers();
    }

    /// Sets the election timeout that was drawn at random, until it is drawn again. For scripts and tests that must not depend on chance;
    /// 0 is taken as 1.
    #[doc(alias = "SetRandomizedElectionTimeout")]
    pub fn set_randomized_election_timeout(&mut self, ticks: u32) {
        self.randomized_election_timeout = ticks.max(1);
    }

    /// The application has applied up to `index`. When that completes a change to a joint configuration which is to be left by itself, a leader
    /// proposes to leave it.
    #[doc(alias = "appliedTo")]
    #[inline]
    pub(crate) fn applied_to(&mut self, index: u64, size: u64) -> Result<(), Error> {
        let applied = index.max(self.raft_log.applied);
        self.raft_log.applied_to(applied, size);
        if self.trk.config.auto_leave
            && applied >= self.pending_conf_index
            && self.state == StateType::Leader
        {
            return self.auto_leave();
        }
        Ok(())
    }

    /// The application has applied a snapshot.
    #[doc(alias = "appliedSnap")]
    pub(crate) fn applied_snap(&mut self, index: u64) -> Result<(), Error> {
        self.raft_log.stable_snap_to(index);
        self.applied_to(index, 0)
    }

    /// What every change of role or term does.
    fn reset(&mut self, term: u64) {
        if self.term != term {
            self.term = term;
            self.vote = NONE;
        }
        self.lead = NONE;
        self.election_elapsed = 0;
        self.heartbeat_elapsed = 0;
        self.reset_randomized_election_timeout();
        self.abort_leader_transfer();

        self.trk.reset_votes();
        let last = self.raft_log.last_index();
        for (id, pr) in &mut self.trk.progress {
            pr.reset(last + 1);
            if id == self.id {
                pr.matched = last;
            }
        }
        self.pending_conf_index = 0;
        self.uncommitted_size = 0;
        self.appends_due = false;
        self.read_only.reset();
    }

    /// The clock of all but leaders.
    #[doc(alias = "tickElection")]
    #[inline]
    fn tick_election(&mut self) -> Result<(), Fault> {
        self.election_elapsed = self.election_elapsed.saturating_add(1);
        // The cheap question first: nearly all ticks end with it.
        if self.past_election_timeout() && self.promotable() {
            self.election_elapsed = 0;
            self.hup(self.campaign_type())?;
        }
        Ok(())
    }

    /// The clock of a leader.
    #[doc(alias = "tickHeartbeat")]
    fn tick_heartbeat(&mut self) {
        self.heartbeat_elapsed = self.heartbeat_elapsed.saturating_add(1);
        self.election_elapsed = self.election_elapsed.saturating_add(1);
        if self.election_elapsed >= self.election_timeout {
            self.election_elapsed = 0;
            if self.check_quorum {
                self.handle_check_quorum();
            }
            // A transfer that did not succeed within an election timeout is given up.
            if self.state == StateType::Leader {
                self.abort_leader_transfer();
            }
        }
        if self.state == StateType::Leader && self.heartbeat_elapsed >= self.heartbeat_timeout {
            self.heartbeat_elapsed = 0;
            self.bcast_heartbeat();
        }
    }

    #[doc(alias = "becomeFollower")]
    pub(crate) fn become_follower(&mut self, term: u64, lead: u64) {
        self.reset(term);
        self.lead = lead;
        self.state = StateType::Follower;
        log_info!(
            self.raft_log.logger,
            "{:x} became follower at term {}",
            self.id,
            self.term
        );
        self.trace(TraceEventType::BecomeFollower);
    }

    /// Callers have checked that the term can be raised and that the node does not lead.
    #[doc(alias = "becomeCandidate")]
    fn become_candidate(&mut self) {
        debug_assert!(
            self.state != StateType::Leader,
            "invalid transition [leader -> candidate]"
        );
        self.reset(self.next_term());
        self.vote = self.id;
        self.state = StateType::Candidate;
        log_info!(
            self.raft_log.logger,
            "{:x} became candidate at term {}",
            self.id,
            self.term
        );
        self.trace(TraceEventType::BecomeCandidate);
    }

    /// The term of the next election. Terms never fall within a log: where a storage came with a log but without a hard state, this catches up. Differs from Go
    /// there, whose new leader would append entries of an earlier term.
    fn next_term(&self) -> u64 {
        let last = self.raft_log.last_entry_id();
        self.term.saturating_add(1).max(last.term)
    }

    /// Changes the role and nothing else: neither term nor vote.
    #[doc(alias = "becomePreCandidate")]
    fn become_pre_candidate(&mut self) {
        debug_assert!(
            self.state != StateType::Leader,
            "invalid transition [leader -> pre-candidate]"
        );
        self.trk.reset_votes();
        self.lead = NONE;
        self.state = StateType::PreCandidate;
        log_info!(
            self.raft_log.logger,
            "{:x} became pre-candidate at term {}",
            self.id,
            self.term
        );
    }

    #[doc(alias = "becomeLeader")]
    fn become_leader(&mut self) {
        debug_assert!(
            self.state != StateType::Follower,
            "invalid transition [follower -> leader]"
        );
        self.reset(self.term);
        self.lead = self.id;
        self.state = StateType::Leader;
        // A leader replicates to itself, in a way, and is always heard of; reset has set what it matches.
        if let Some(pr) = self.trk.progress.get_mut(self.id) {
            pr.become_replicate();
            pr.recent_active = true;
        }
        // There may be a configuration change among the entries that are not applied yet. To look would be costly; to wait is safe.
        self.pending_conf_index = self.raft_log.last_index();
        self.trace(TraceEventType::BecomeLeader);
        // Its payload is empty, so the quota of uncommitted entries never refuses it.
        let accepted = self.append_entry(Bytes::new());
        debug_assert!(accepted.is_some(), "empty entry was dropped");
        log_info!(
            self.raft_log.logger,
            "{:x} became leader at term {}",
            self.id,
            self.term
        );
    }

    /// Whether this node may be elected: a voter that has no snapshot to take first.
    fn promotable(&self) -> bool {
        let own = self.trk.progress.get(self.id);
        own.is_some_and(|pr| !pr.is_learner) && !self.raft_log.has_next_or_in_progress_snapshot()
    }

    /// How this node campaigns when its timeout fires or the application asks for it.
    fn campaign_type(&self) -> CampaignType {
        if self.pre_vote {
            CampaignType::PreElection
        } else {
            CampaignType::Election
        }
    }

    #[doc(alias = "loadState")]
    fn load_state(&mut self, hs: &HardState) -> Result<(), Error> {
        let (first, last) = (self.raft_log.committed, self.raft_log.last_index());
        if !(first..=last).contains(&hs.commit) {
            return Err(Error::HardStateOutOfRange {
                id: self.id,
                commit: hs.commit,
                first,
                last,
            });
        }
        self.raft_log.committed = hs.commit;
        self.term = hs.term;
        self.vote = hs.vote;
        Ok(())
    }

    /// What the application says it has applied, at a restart.
    fn load_applied(&mut self, applied: u64) -> Result<(), Error> {
        let (first, last) = (self.raft_log.applied, self.raft_log.committed);
        if !(first..=last).contains(&applied) {
            return Err(Error::AppliedOutOfRange {
                applied,
                first,
                last,
            });
        }
        self.raft_log.applied_to(applied, 0);
        Ok(())
    }

    #[doc(alias = "pastElectionTimeout")]
    fn past_election_timeout(&self) -> bool {
        self.election_elapsed >= self.randomized_election_timeout
    }

    #[doc(alias = "resetRandomizedElectionTimeout")]
    fn reset_randomized_election_timeout(&mut self) {
        let more = self.rng.below(u64::from(self.election_timeout));
        self.randomized_election_timeout = self
            .election_timeout
            .saturating_add(u32::try_from(more).unwrap_or(0));
    }
}

/// The configuration of a ConfState, if changes can lead to it and it means what it says. Go: confchange.Restore, assertConfStatesEquivalent
#[doc(alias = "assertConfStatesEquivalent")]
fn restored(
    trk: &ProgressTracker,
    last_index: u64,
    cs: &ConfState,
) -> Result<(tracker::Config, ProgressMap), Error> {
    let empty = ProgressTracker::new(trk.max_inflight, trk.max_inflight_bytes);
    let (cfg, progress) = confchange::restore(&Changer::new(&empty, last_index), cs)?;
    cfg.conf_state().equivalent(cs)?;
    Ok((cfg, progress))
}

/// Ids in hexadecimal, separated by commas.
fn hex_list(ids: impl Iterator<Item = u64>) -> String {
    ids.map(|id| format!("{id:x}"))
        .collect::<Vec<_>>()
        .join(",")
}

#[cfg(test)]
mod tests;
