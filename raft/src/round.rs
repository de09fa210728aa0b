//! A round of a driver that writes and applies before it asks for more. Go: rawnode.go (acceptReady, Advance, stepsOnAdvance)
//!
//! Differs from Go: what a node says to itself when a round is done (its own acknowledgement of each proposal, that all is written, that
//! all is applied) is remembered in a few words instead of messages: three to eighteen messages fewer a round. Where there is more to
//! say of it, a change of term meanwhile or a tracer, they are the messages that they are in Go.

use crate::log::AppliedBatch;
use crate::pending::take;
use crate::raftpb::{
    Entries, LOCAL_APPEND_THREAD, Message, MessageType, Snapshot, SnapshotMetadata,
};
use crate::storage::{Storage, Write};
use crate::types::EntryId;
use crate::{Error, Raft, ReadState, SoftState, StateType, TraceEventType};
use crate::{WriteMode, must_sync};

/// What a driver has to do that goes on only when it is done: reused buffers that [`Raft::next_round`] fills and [`Raft::advance`] empties.
///
/// Write `write`; then send `messages_after_append`, and apply `write.snapshot` and `committed_entries`; then
/// [advance](Raft::advance). `messages` may leave at once.
#[derive(Clone, Debug, Default)]
pub struct Round {
    /// The volatile state, when it changed.
    pub soft_state: Option<SoftState>,
    /// Read requests that can be answered once the application has applied up to their index.
    pub read_states: Vec<ReadState>,
    /// What to write: hard state, entries, snapshot.
    pub write: Write,
    /// Entries to apply. They may be among those to write: write first.
    pub committed_entries: Entries,
    /// Messages to other nodes that may leave at once. Go: msgs
    pub messages: Vec<Message>,
    /// Messages to other nodes that must wait until `write` is written. Go: msgsAfterAppend
    pub messages_after_append: Vec<Message>,
    steps: Steps,
}

/// What happens when a round is done. Go: RawNode.stepsOnAdvance
#[doc(alias = "stepsOnAdvance")]
#[derive(Clone, Debug, Default)]
struct Steps {
    /// Messages to this node that are no plain acknowledgements.
    own: Vec<Message>,
    /// A leader's acknowledgements of its own entries, in order.
    acks: Vec<OwnAck>,
    written: Option<Written>,
    applied: Option<AppliedBatch>,
}

/// A leader's acknowledgement of its own entries, once they are written: the few words of a MsgAppResp to itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OwnAck {
    /// How many other messages were held back before it.
    pub(crate) behind: usize,
    pub(crate) term: u64,
    pub(crate) index: u64,
}

impl Round {
    /// Whether there are no entries to write or apply: heartbeats, say, and the last thing that a group does before it rests.
    #[inline]
    #[must_use]
    pub fn moves_no_log(&self) -> bool {
        self.write.entries.is_empty() && self.committed_entries.is_empty()
    }

    /// Nothing to write and to apply. The buffers of messages and reads are replaced.
    #[inline(always)]
    fn clear(&mut self) {
        self.soft_state = None;
        self.write.hard_state = None;
        self.write.entries = Entries::new();
        self.committed_entries = Entries::new();
        if self.write.snapshot.is_some() {
            self.write.snapshot = None;
        }
        self.steps.applied = None;
    }
}

/// Gives back the memory of a buffer that holds nothing.
#[inline]
pub(crate) fn release<T>(buffer: &mut Vec<T>) {
    if buffer.is_empty() {
        *buffer = Vec::new();
    }
}

impl OwnAck {
    pub(crate) fn message(self, id: u64) -> Message {
        Message {
            to: id,
            from: id,
            term: self.term,
            index: self.index,
            ..Message::new(MessageType::MsgAppResp)
        }
    }
}

/// That all handed out so far is written: the few words of a MsgStorageAppendResp, which
/// [`new_storage_append_resp_msg`](Raft::new_storage_append_resp_msg) explains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    term: u64,
    /// The last entry, with index 0 if none was unstable.
    last: EntryId,
    /// The index of the snapshot, 0 if there was none.
    snapshot: u64,
}

impl Written {
    fn message(self, id: u64) -> Message {
        let metadata = SnapshotMetadata {
            index: self.snapshot,
            ..SnapshotMetadata::default()
        };
        let snapshot = Snapshot {
            metadata,
            ..Snapshot::default()
        };
        Message {
            to: id,
            from: LOCAL_APPEND_THREAD,
            term: self.term,
            index: self.last.index,
            log_term: self.last.term,
            snapshot: (self.snapshot != 0).then(|| Box::new(snapshot)),
            ..Message::new(MessageType::MsgStorageAppendResp)
        }
    }
}

impl<S: Storage> Raft<S> {
    /// Fills a round with what there is to do, and counts it as handed out; false when there is nothing. [`advance`](Self::advance) follows once it is
    /// done. Go: Ready
    ///
    /// # Errors
    /// [`Error::Fault`] only; nothing was handed out.
    #[doc(alias = "acceptReady")]
    #[inline(never)]
    pub fn next_round(&mut self, out: &mut Round) -> Result<bool, Error> {
        self.check_fault()?;
        if self.appends_due {
            let sent = self.send_due_appends().map_err(Error::from);
            self.settle(sent)?;
        }
        let (hs, ss) = (self.hard_state(), self.soft_state());
        let hs_changed = hs != self.prev_hard_state;
        let ss_changed = ss != self.prev_soft_state;
        let to_write = self.raft_log.has_next_unstable_ents();
        let to_apply = self.raft_log.has_next_committed_ents(true);
        // What may be left is seldom there alone.
        if !(to_write || to_apply || hs_changed || ss_changed || self.has_pending(WriteMode::Sync))
        {
            return Ok(false);
        }
        // All reading that can fail comes first.
        out.clear();
        if to_apply
            && let Err(f) = self
                .raft_log
                .committed_ents(true, &mut out.committed_entries)
        {
            return Err(self.settle_error(f.into()));
        }
        out.write.must_sync = to_write || hs_changed && must_sync(&hs, &self.prev_hard_state, 0);
        if hs_changed {
            self.prev_hard_state = hs;
            out.write.hard_state = Some(hs).filter(|hs| !hs.is_empty());
        }
        if ss_changed {
            self.prev_soft_state = ss;
            out.soft_state = Some(ss);
        }
        self.hand_out_unstable(out, to_write);
        if to_apply {
            out.steps.applied = self.accept_committed(&out.committed_entries, true);
        }
        self.hand_out_messages(out);
        self.trace(TraceEventType::Ready);
        Ok(true)
    }

    /// Hands out what is to be written, entries and a snapshot, and what to say when they are.
    #[inline]
    fn hand_out_unstable(&mut self, out: &mut Round, to_write: bool) {
        out.steps.written = self.written();
        let snapshot = self.raft_log.next_unstable_snapshot();
        if snapshot.is_some() {
            out.write.snapshot = snapshot.cloned();
        }
        if to_write {
            out.write.entries = self.raft_log.next_unstable_ents();
        }
        self.fill_messages();
        if to_write || out.write.snapshot.is_some() {
            self.raft_log.accept_unstable();
        }
    }

    /// Hands out the messages, those to this node itself apart, and reads.
    #[inline]
    fn hand_out_messages(&mut self, out: &mut Round) {
        if self.holds_own {
            self.hold_own_messages(&mut out.steps.own);
        }
        take(&mut self.msgs, &mut out.messages);
        take(&mut self.own_acks, &mut out.steps.acks);
        take(&mut self.msgs_after_append, &mut out.messages_after_append);
        take(&mut self.read_states, &mut out.read_states);
    }

    /// Takes the messages to this node from those that are held back, acknowledgements of its own entries in their places.
    #[cold]
    fn hold_own_messages(&mut self, own: &mut Vec<Message>) {
        self.own_acks_to_messages();
        let id = self.id;
        own.extend(self.msgs_after_append.extract_if(.., |m| m.to == id));
        self.holds_own = false;
    }

    /// All that a round asked for is done: its write is written, and what it committed is applied. Empties it. Then ask for what is
    /// [pending](Raft::pending). Go: Advance
    ///
    /// # Errors
    /// [`Error::Fault`] only.
    ///
    /// ```
    /// # use storage_mem::MemoryStorage;
    /// # use tickraft::raftpb::Snapshot;
    /// # use tickraft::storage::Writer;
    /// # use tickraft::{Config, Raft, StateType};
    /// use tickraft::Round;
    /// # let log = slog::Logger::root(slog::Discard, slog::o!());
    /// # let mut disk = MemoryStorage::new();
    /// # let mut first = Snapshot::default();
    /// # first.metadata.conf_state.voters = vec![1];
    /// # disk.apply_snapshot(&first).expect("an empty storage takes its first configuration");
    /// # let mut raft = Raft::new(Config::new(1, 42), disk.clone(), log, None)?;
    /// let mut round = Round::default();
    /// while raft.soft_state().raft_state != StateType::Leader {
    ///     raft.tick()?;
    ///     while raft.next_round(&mut round)? {
    ///         Writer::append(&mut disk, &round.write).expect("memory does not fail");
    ///         raft.advance(&mut round)?; // there is nobody to send to and nothing to apply
    ///     }
    /// }
    /// assert_eq!(raft.hard_state().commit, 1);
    /// # Ok::<(), tickraft::Error>(())
    /// ```
    #[doc(alias = "Advance")]
    #[inline]
    pub fn advance(&mut self, done: &mut Round) -> Result<(), Error> {
        // Nothing of the log is kept alive meanwhile.
        done.write.entries = Entries::new();
        done.committed_entries = Entries::new();
        self.check_fault()?;
        // As `settle` does; to hand it the result would be 48 instructions more for each proposal with B=1.
        if let Err(e) = self.step_on_advance(&mut done.steps) {
            return Err(self.settle_error(e));
        }
        self.changed();
        Ok(())
    }

    /// A quick look: whether [`next_round`](Self::next_round) surely has nothing to hand out. False for a node that stopped.
    /// It is remembered until the next call that may change the node.
    #[inline]
    #[must_use]
    pub fn at_rest(&mut self) -> bool {
        if !self.quiet {
            self.quiet = self.nothing_due();
        }
        self.quiet
    }

    #[inline(never)]
    pub(crate) fn nothing_due(&self) -> bool {
        self.fault().is_none() && !self.appends_due && !self.has_pending(WriteMode::Sync)
    }

    fn step_on_advance(&mut self, steps: &mut Steps) -> Result<(), Error> {
        if !steps.own.is_empty() {
            for mut m in steps.own.drain(..) {
                // No error but a fault comes of them.
                let _ = self.step_checked(&mut m)?;
            }
        }
        if !steps.acks.is_empty() {
            self.step_own_acks(&steps.acks)?;
        }
        // Looked at where they lie: taken out, they would be copied.
        if let Some(w) = &steps.written {
            let done = self.step_written(w);
            steps.written = None;
            done?;
        }
        if let Some(b) = &steps.applied {
            let done = self.applied_batch(b);
            steps.applied = None;
            done?;
        }
        Ok(())
    }

    /// This leader's own entries are written.
    fn step_own_acks(&mut self, acks: &[OwnAck]) -> Result<(), Error> {
        let Some(last) = acks.last() else {
            return Ok(());
        };
        // Terms ascend, so the first one's is that of all.
        let current = acks.first().is_some_and(|a| a.term == self.term);
        if self.state == StateType::Leader
            && current
            && let Some(at) = self.trk.progress.position(self.id)
        {
            // One by one only where that commits: then each brings its commit index to the peers, as in Go.
            if self.batch_append || !self.own_ack_commits(at, last.index) {
                return Ok(self.handle_own_ack(at, last.index)?);
            }
            return Ok(acks
                .iter()
                .try_for_each(|a| self.handle_own_ack(at, a.index))?);
        }
        for a in acks {
            let _ = self.step_checked(&mut a.message(self.id))?;
        }
        Ok(())
    }

    /// All handed out so far is written; what that means depends on the term.
    fn step_written(&mut self, w: &Written) -> Result<(), Error> {
        if w.term != self.term {
            self.step_checked(&mut w.message(self.id))?;
            return Ok(());
        }
        if w.last.index != 0 {
            self.fill_messages_to(w.last.index);
            self.raft_log.stable_to(w.last);
        }
        if w.snapshot != 0 {
            self.applied_snap(w.snapshot)?;
        }
        Ok(())
    }

    /// What there is to say when all handed out so far, and what is handed out now, is written.
    pub(crate) fn written(&self) -> Option<Written> {
        let log = &self.raft_log;
        let unstable = log.has_next_or_in_progress_unstable_ents();
        let snapshot = log.next_unstable_snapshot().map(|s| s.metadata.index);
        if !unstable && snapshot.is_none() {
            return None;
        }
        let last = if unstable {
            log.last_entry_id()
        } else {
            EntryId::default()
        };
        Some(Written {
            term: self.term,
            last,
            snapshot: snapshot.unwrap_or(0),
        })
    }

    /// Puts the leader's own acknowledgements among the messages that are held back, each at its place.
    pub(crate) fn own_acks_to_messages(&mut self) {
        let id = self.id;
        let held = &mut self.msgs_after_append;
        if held.is_empty() {
            held.extend(self.own_acks.drain(..).map(|a| a.message(id)));
            return;
        }
        for a in self.own_acks.drain(..).rev() {
            held.insert(a.behind.min(held.len()), a.message(id));
        }
    }
}
