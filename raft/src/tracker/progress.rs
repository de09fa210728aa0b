//! What the leader knows of one peer. Go: tracker/progress.go.

use std::fmt;

use super::{Inflights, StateType};

/// What the leader knows of one peer: how far its log matches, and what to send next (Raft paper §5.3: matchIndex, nextIndex).
///
/// On other nodes than the leader it carries only whether the member is a learner.
///
/// The fields are plain because the core reads and sets them at many places, as Go does. Of the methods, those that Go lets panic or
/// break `matched < next` for a wild index have a defined result here, noted at each.
///
/// ```
/// use tickraft::tracker::{Inflights, Progress, StateType};
///
/// // A peer of which nothing is known yet; our log ends at 10.
/// let mut pr = Progress::new(11, Inflights::new(2, 0));
///
/// // The probe at 10 is rejected: its log ends at 4. The next probe is anchored there.
/// assert!(pr.maybe_decr_to(10, 4));
/// assert_eq!(pr.next, 5);
///
/// // The probe is acknowledged: from now on send without waiting, until the window is full.
/// assert!(pr.maybe_update(4));
/// pr.become_replicate();
/// pr.sent_entries(3, 300); // 5, 6, 7
/// pr.sent_entries(1, 100); // 8
/// assert!(pr.is_paused());
/// assert_eq!(pr.to_string(), "StateReplicate match=4 next=9 paused inactive inflight=2[full]");
///
/// assert!(pr.maybe_update(7));
/// pr.inflights.free_le(7);
/// assert!(!pr.is_paused() && pr.state == StateType::Replicate);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The highest index up to which the peer's log is known to match the leader's; 0 when nothing is known.
    #[doc(alias = "Match")]
    pub matched: u64,
    /// The index of the next entry to send. Entries between `matched` and `next` are under way.
    ///
    /// Always larger than `matched`, so at least 1. In [`StateType::Snapshot`] it starts at `pending_snapshot + 1`.
    #[doc(alias = "Next")]
    pub next: u64,
    /// The highest commit index under way to the peer. It falls again when a message that carried it may be lost.
    sent_commit: u64,
    /// In [`StateType::Snapshot`], the index of the snapshot that was sent; else 0.
    ///
    /// Replication waits until the peer acknowledges an index from which the leader's log can go on, be it this one or not: an
    /// application may bring another snapshot by its own ways. When the application reports that the sending has ended, probing
    /// starts behind this index; set it to 0 first if the sending failed.
    pub pending_snapshot: u64,
    /// How the leader treats the peer.
    pub state: StateType,
    /// Whether the peer was heard of in the current election timeout. Always true for the leader itself.
    pub recent_active: bool,
    /// Whether appends to the peer are held back: a probe is under way, or the window is full. A heartbeat's answer clears it, so
    /// that some append goes out now and then and a lost one does not stall replication.
    pub msg_app_flow_paused: bool,
    /// Whether the member is a learner: it receives the log and does not vote (thesis §4.2.1).
    pub is_learner: bool,
    /// The appends under way, used in [`StateType::Replicate`].
    pub inflights: Inflights,
}

impl Progress {
    /// A peer of which nothing is known, to be probed: `next` is the index of the first entry to try (0 is taken as 1).
    #[must_use]
    pub const fn new(next: u64, inflights: Inflights) -> Self {
        Self {
            matched: 0,
            next: if next == 0 { 1 } else { next },
            sent_commit: 0,
            pending_snapshot: 0,
            state: StateType::Probe,
            recent_active: false,
            msg_app_flow_paused: false,
            is_learner: false,
            inflights,
        }
    }

    /// Forgets all but the limits of the window and whether the member is a learner, as at the start of a term. The window's
    /// memory is given back.
    pub fn reset(&mut self, next: u64) {
        let inflights = Inflights::new(self.inflights.size(), self.inflights.max_bytes());
        *self = Self {
            is_learner: self.is_learner,
            ..Self::new(next, inflights)
        };
    }

    /// Moves to the state; nothing is paused, pending or under way then. `next` is left for the caller.
    #[doc(alias = "ResetState")]
    pub fn reset_state(&mut self, state: StateType) {
        self.msg_app_flow_paused = false;
        self.pending_snapshot = 0;
        self.state = state;
        self.inflights.reset();
    }

    /// Probes from `matched + 1`, or behind the pending snapshot when that is further.
    #[doc(alias = "BecomeProbe")]
    pub fn become_probe(&mut self) {
        // Out of StateSnapshot the snapshot is taken as received, unless the caller has set it to 0.
        let from = match self.state {
            StateType::Snapshot => self.matched.max(self.pending_snapshot),
            StateType::Probe | StateType::Replicate => self.matched,
        };
        self.reset_state(StateType::Probe);
        self.next = from.saturating_add(1);
        self.lower_sent_commit();
    }

    /// Replicates from `matched + 1`.
    #[doc(alias = "BecomeReplicate")]
    pub fn become_replicate(&mut self) {
        self.reset_state(StateType::Replicate);
        self.next = self.matched.saturating_add(1);
    }

    /// Waits for the peer to take the snapshot at this index; `next` is the index behind it.
    ///
    /// Differs from Go: for a snapshot below `matched`, which the peer does not need, `next` stays above `matched`.
    #[doc(alias = "BecomeSnapshot")]
    pub fn become_snapshot(&mut self, snapshot_index: u64) {
        self.reset_state(StateType::Snapshot);
        self.pending_snapshot = snapshot_index;
        self.next = snapshot_index.max(self.matched).saturating_add(1);
        self.sent_commit = snapshot_index;
    }

    /// Notes that an append was sent with this many entries from `next` on, of this many bytes together.
    ///
    /// For [`StateType::Probe`] and [`StateType::Replicate`] only, and with entries only while the window is not
    /// [full](Inflights::full). To send more than that is a bug of the caller: Go panics, here debug builds do. Release builds
    /// ignore the call in [`StateType::Snapshot`], and with a full window they pause.
    #[doc(alias = "SentEntries")]
    #[inline]
    pub fn sent_entries(&mut self, entries: usize, bytes: u64) {
        match self.state {
            StateType::Replicate => {
                if entries > 0 {
                    self.next = self.next.saturating_add(entries as u64);
                    let added = self.inflights.add(self.next.saturating_sub(1), bytes);
                    debug_assert!(added.is_ok(), "cannot add into a Full inflights");
                }
                // With a full window even an empty append is a probe: the flow pauses until something is heard.
                self.msg_app_flow_paused = self.inflights.full();
            }
            StateType::Probe => {
                // An empty append does not pause the flow, although it probes as well: etcd's behaviour.
                if entries > 0 {
                    self.msg_app_flow_paused = true;
                }
            }
            StateType::Snapshot => {
                debug_assert!(false, "sending append in unhandled state {}", self.state);
            }
        }
    }

    /// Whether sending this commit index could raise the peer's.
    ///
    /// The peer commits at most what it has, `next - 1` by the leader's knowledge: once a commit index up to there is under way, a
    /// further one says nothing new.
    #[doc(alias = "CanBumpCommit")]
    #[inline]
    #[must_use]
    pub fn can_bump_commit(&self, index: u64) -> bool {
        index > self.sent_commit && self.sent_commit < self.next.saturating_sub(1)
    }

    /// Notes that this commit index was sent.
    #[doc(alias = "SentCommit")]
    #[inline]
    pub fn sent_commit(&mut self, commit: u64) {
        self.sent_commit = commit;
    }

    /// The peer has acknowledged the index. False when that is old news, and nothing changes.
    ///
    /// The index must be one of the leader's log; that is for the caller to check. Differs from Go: `u64::MAX`, which no log
    /// reaches, is refused (false) because nothing could follow it.
    #[doc(alias = "MaybeUpdate")]
    #[inline]
    pub fn maybe_update(&mut self, index: u64) -> bool {
        if index <= self.matched {
            return false;
        }
        let Some(behind) = index.checked_add(1) else {
            return false;
        };
        self.matched = index;
        self.next = self.next.max(behind);
        self.msg_app_flow_paused = false;
        true
    }

    /// The peer has rejected the append anchored at `rejected`, and has nothing to match beyond `match_hint`. False when the
    /// rejection is old news, and nothing changes; else `next` falls and the flow is free to probe again.
    ///
    /// Messages may be late or doubled: in [`StateType::Replicate`] a rejection at or below `matched` is stale, in the other
    /// states every one that does not answer the last probe.
    #[doc(alias = "MaybeDecrTo")]
    pub fn maybe_decr_to(&mut self, rejected: u64, match_hint: u64) -> bool {
        let floor = self.matched.saturating_add(1);
        if self.state == StateType::Replicate {
            if rejected <= self.matched {
                return false;
            }
            self.next = floor;
            self.lower_sent_commit();
            return true;
        }
        if self.next.checked_sub(1) != Some(rejected) {
            return false;
        }
        // A hint of u64::MAX wraps to 0, as in Go: probing restarts at the floor.
        self.next = rejected.min(match_hint.wrapping_add(1)).max(floor);
        self.lower_sent_commit();
        self.msg_app_flow_paused = false;
        true
    }

    /// Whether nothing is to be sent now: a probe is under way, the window is full, or a snapshot is awaited.
    #[doc(alias = "IsPaused")]
    #[inline]
    #[must_use]
    pub fn is_paused(&self) -> bool {
        match self.state {
            StateType::Probe | StateType::Replicate => self.msg_app_flow_paused,
            StateType::Snapshot => true,
        }
    }

    /// Checks what must hold between any two calls: `matched < next`, and a window that adds up.
    ///
    /// # Errors
    ///
    /// What does not hold, in words; it is a bug of the core, or of whoever set the fields.
    pub fn check_invariants(&self) -> Result<(), &'static str> {
        if self.matched >= self.next {
            return Err("Progress: Match < Next does not hold");
        }
        if self.pending_snapshot != 0 && self.state != StateType::Snapshot {
            return Err("Progress: a snapshot is pending outside StateSnapshot");
        }
        if self.inflights.count() != 0 && self.state != StateType::Replicate {
            return Err("Progress: appends are in flight outside StateReplicate");
        }
        self.inflights.check_invariants()
    }

    /// The commit index that was sent with entries from `next` on is likely lost with them.
    fn lower_sent_commit(&mut self) {
        self.sent_commit = self.sent_commit.min(self.next.saturating_sub(1));
    }
}

/// Prints `StateProbe match=1 next=2`, followed by what is special: ` learner`, ` paused`, ` pendingSnap=5`, ` inactive`,
/// ` inflight=3[full]`.
impl fmt::Display for Progress {
    #[doc(alias = "String")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} match={} next={}",
            self.state, self.matched, self.next
        )?;
        if self.is_learner {
            f.write_str(" learner")?;
        }
        if self.is_paused() {
            f.write_str(" paused")?;
        }
        if self.pending_snapshot > 0 {
            write!(f, " pendingSnap={}", self.pending_snapshot)?;
        }
        if !self.recent_active {
            f.write_str(" inactive")?;
        }
        if self.inflights.count() > 0 {
            write!(f, " inflight={}", self.inflights.count())?;
            if self.inflights.full() {
                f.write_str("[full]")?;
            }
        }
        Ok(())
    }
}
