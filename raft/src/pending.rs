//! What a driver fetches from the core: the port that RawNode is built on. Go: rawnode.go (readyWithoutAccept, acceptReady)

use crate::log::{AppliedBatch, Sizes};
use crate::raftpb::{
    Entries, HardState, LOCAL_APPEND_THREAD, LOCAL_APPLY_THREAD, Message, MessageType, NO_LIMIT,
    Snapshot,
};
use crate::storage::Storage;
use crate::types::EntryId;
use crate::{Error, Raft, ReadState, SoftState, TraceEventType};

/// How the driver writes to its storage. Go: Config.AsyncStorageWrites
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum WriteMode {
    /// A batch is written whole before its messages leave and the next batch is fetched.
    #[default]
    Sync,
    /// Batches are fetched while earlier ones are being written; committed entries are handed out only once they are written here.
    Async,
}

/// What a driver has to do: reused buffers that [`Pending::accept`] clears and fills.
///
/// Write `hard_state`, `entries` and `snapshot`; then send `messages_after_append` (a message to this node itself is
/// [stepped](Raft::step)) and step `append_resp`; apply `committed_entries`, then step `apply_resp`. `messages` may leave at once.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// The volatile state, when it changed.
    pub soft_state: Option<SoftState>,
    /// The state to write, when it changed and is not empty.
    pub hard_state: Option<HardState>,
    /// Read requests that can be answered once the application has applied up to their index.
    pub read_states: Vec<ReadState>,
    /// Entries to write.
    pub entries: Entries,
    /// A snapshot to write, and to apply in place of all that was before.
    pub snapshot: Option<Snapshot>,
    /// Entries to apply. In [`WriteMode::Sync`] they may be among `entries`: write first.
    pub committed_entries: Entries,
    /// Messages to other nodes that may leave at once. Go: msgs
    pub messages: Vec<Message>,
    /// Messages that must wait until all handed out so far is written; those to this node itself included, in order. Go: msgsAfterAppend
    pub messages_after_append: Vec<Message>,
    /// To be stepped when all handed out so far is written. Go: newStorageAppendRespMsg
    #[doc(alias = "newStorageAppendRespMsg")]
    pub append_resp: Option<Message>,
    /// To be stepped when `committed_entries` are applied. Go: newStorageApplyRespMsg
    #[doc(alias = "newStorageApplyRespMsg")]
    pub apply_resp: Option<Message>,
    /// Whether messages depend on this write being durable; false when only the commit index moved.
    #[doc(alias = "MustSync")]
    pub must_sync: bool,
}

/// What is to be done, read and ready to be taken. Dropping it changes nothing: the next [`Raft::pending`] finds the same and more.
#[must_use = "nothing is handed out until it is accepted"]
pub struct Pending<'a, S: Storage> {
    raft: &'a mut Raft<S>,
    mode: WriteMode,
    committed_entries: Entries,
}

impl<S: Storage> Raft<S> {
    /// Whether there is anything for the driver to do. Reads nothing from the storage. A node that stopped has nothing to hand out.
    #[must_use]
    #[doc(alias = "HasReady")]
    pub fn has_pending(&self, mode: WriteMode) -> bool {
        let log = &self.raft_log;
        self.fault().is_none()
            && (!self.msgs.is_empty()
                || !self.msgs_after_append.is_empty()
                || !self.own_acks.is_empty()
                || log.has_next_unstable_ents()
                || log.has_next_committed_ents(mode == WriteMode::Sync)
                || self.hard_state() != self.prev_hard_state
                || self.soft_state() != self.prev_soft_state
                || !self.read_states.is_empty()
                || log.has_next_unstable_snapshot()
                || self.has_due_appends())
    }

    /// What there is for the driver to do, with committed entries read from the storage; `None` when there is nothing. Nothing is handed out
    /// until it is [accepted](Pending::accept).
    ///
    /// # Errors
    /// [`Error::Fault`] only.
    #[doc(alias = "readyWithoutAccept", alias = "applyUnstableEntries")]
    pub fn pending(&mut self, mode: WriteMode) -> Result<Option<Pending<'_, S>>, Error> {
        self.check_fault()?;
        if self.appends_due {
            let sent = self.send_due_appends().map_err(Error::from);
            self.settle(sent)?;
        }
        if !self.has_pending(mode) {
            return Ok(None);
        }
        // Entries may be applied before they are known to be written only where the driver writes them first.
        let read = self
            .raft_log
            .next_committed_ents(mode == WriteMode::Sync)
            .map_err(Error::from);
        let committed_entries = self.settle(read)?;
        Ok(Some(Pending {
            raft: self,
            mode,
            committed_entries,
        }))
    }

    /// The answer that says that all handed out so far is written. Go: newStorageAppendRespMsg
    ///
    /// It names the last entry of the log, whether that is in this batch or not, and this term. When it comes back in a later term, its entries are
    /// not believed: what was being written then may since have been replaced twice, and the write of the one in between may still be to
    /// come, so the log in the storage may not be ours even where index and term agree (an ABA problem). For the same reason every
    /// batch asks for this answer while anything is unstable: a change of term is a batch too, and its answer makes up for those that were ignored.
    #[doc(alias = "newStorageAppendRespMsg", alias = "needStorageAppendRespMsg")]
    pub(crate) fn new_storage_append_resp_msg(&self) -> Option<Message> {
        let log = &self.raft_log;
        let snapshot = log.next_unstable_snapshot();
        let unstable = log.has_next_or_in_progress_unstable_ents();
        if !unstable && snapshot.is_none() {
            return None;
        }
        let last = if unstable {
            log.last_entry_id()
        } else {
            EntryId::default()
        };
        Some(Message {
            msg_type: MessageType::MsgStorageAppendResp,
            to: self.id,
            from: LOCAL_APPEND_THREAD,
            term: self.term,
            index: last.index,
            log_term: last.term,
            snapshot: snapshot.map(|s| Box::new(s.clone())),
            ..Message::default()
        })
    }

    /// The answer that says that these entries are applied. Go: newStorageApplyRespMsg
    #[doc(alias = "newStorageApplyRespMsg", alias = "needStorageApplyRespMsg")]
    fn new_storage_apply_resp_msg(&self, entries: &Entries) -> Option<Message> {
        (!entries.is_empty()).then(|| Message {
            msg_type: MessageType::MsgStorageApplyResp,
            to: self.id,
            from: LOCAL_APPLY_THREAD,
            entries: entries.clone(),
            ..Message::default()
        })
    }
}

impl<S: Storage> Raft<S> {
    /// Counts committed entries as handed out. Their sizes are worked out only where a limit counts them.
    #[inline]
    pub(crate) fn accept_committed(
        &mut self,
        entries: &Entries,
        allow_unstable: bool,
    ) -> Option<AppliedBatch> {
        if entries.is_empty() {
            return None;
        }
        // They follow what was handed out before.
        let last = self.raft_log.applying + entries.len() as u64;
        let sizes = if self.counts_sizes() {
            Sizes::of(entries)
        } else {
            Sizes::default()
        };
        self.raft_log
            .accept_applying(last, sizes.encoded, allow_unstable);
        Some(AppliedBatch {
            last,
            len: entries.len(),
            sizes,
        })
    }

    /// Whether any limit counts what is being applied.
    #[inline]
    fn counts_sizes(&self) -> bool {
        self.counts_uncommitted() || self.raft_log.max_applying_ents_size() != NO_LIMIT
    }

    /// A batch that was handed out is applied.
    #[inline]
    pub(crate) fn applied_batch(&mut self, b: &AppliedBatch) -> Result<(), Error> {
        self.applied_to(b.last, b.sizes.encoded)?;
        self.reduce_uncommitted_size(b.sizes.payload);
        Ok(())
    }
}

impl<S: Storage> Pending<'_, S> {
    /// Takes it: the core counts it as handed out, and the driver must do what `out` says.
    #[doc(alias = "acceptReady")]
    pub fn accept(self, out: &mut Batch) {
        let r = self.raft;
        out.soft_state = changed(r.soft_state(), &mut r.prev_soft_state);
        out.append_resp = r.new_storage_append_resp_msg();
        out.apply_resp = r.new_storage_apply_resp_msg(&self.committed_entries);
        out.snapshot = r.raft_log.next_unstable_snapshot().cloned();
        out.entries = r.raft_log.next_unstable_ents();
        let hs = r.hard_state();
        out.must_sync = must_sync(&hs, &r.prev_hard_state, out.entries.len());
        out.hard_state = changed(hs, &mut r.prev_hard_state).filter(|hs| !hs.is_empty());

        r.fill_messages();
        take(&mut r.msgs, &mut out.messages);
        r.own_acks_to_messages();
        r.holds_own = false;
        take(&mut r.msgs_after_append, &mut out.messages_after_append);
        take(&mut r.read_states, &mut out.read_states);
        r.raft_log.accept_unstable();
        if let Some(b) = r.accept_committed(&self.committed_entries, self.mode == WriteMode::Sync) {
            r.raft_log.remember_batch(b);
        }
        out.committed_entries = self.committed_entries;
        r.trace(TraceEventType::Ready);
    }
}

/// The new state if it is another than what the driver was told last.
#[inline]
fn changed<T: Copy + PartialEq>(now: T, prev: &mut T) -> Option<T> {
    if now == *prev {
        return None;
    }
    *prev = now;
    Some(now)
}

/// Hands over what is in `from` and takes the driver's buffer for the next time.
#[inline]
pub(crate) fn take<T>(from: &mut Vec<T>, to: &mut Vec<T>) {
    if !to.is_empty() {
        to.clear();
    }
    if !from.is_empty() {
        std::mem::swap(from, to);
    }
}

/// Whether a write must be durable before messages that depend on it leave: votes, terms and entries must, a commit index need not. Go: MustSync
///
/// ```
/// use tickraft::must_sync;
/// use tickraft::raftpb::HardState;
///
/// let (a, b) = (HardState { term: 1, vote: 2, commit: 3 }, HardState { term: 1, vote: 2, commit: 9 });
/// assert!(!must_sync(&b, &a, 0));
/// assert!(must_sync(&b, &a, 1));
/// assert!(must_sync(&HardState { vote: 3, ..b }, &b, 0));
/// ```
#[must_use]
#[doc(alias = "MustSync")]
pub const fn must_sync(st: &HardState, prev: &HardState, entries: usize) -> bool {
    entries != 0 || st.vote != prev.vote || st.term != prev.term
}
