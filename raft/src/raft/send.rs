//! Sending: what a message gets before it is queued, appends, snapshots and heartbeats. Go: raft.go (send … bcastHeartbeatWithCtx)

use super::{MsgTail, Raft, StateType};
use crate::Fault;
use crate::log_unstable::TailPart;
use crate::logging::log_debug;
use crate::raftpb::{Message, MessageType, NONE};
use crate::storage::{self, Storage};
use crate::tracker;
use crate::types::{EntryId, LogError};
use bytes::Bytes;

impl<S: Storage> Raft<S> {
    /// Queues a message, from this node unless it says otherwise. Votes come with their term, others get this node's.
    ///
    /// Answers that vote, for a leader or for the durability of entries, wait until all that is unstable now is written (thesis §3.8); so do rejections:
    /// they are rare, and may rest on what is not written yet.
    #[inline]
    pub(super) fn send(&mut self, mut m: Message) {
        use MessageType::*;
        if m.from == NONE {
            m.from = self.id;
        }
        match m.msg_type {
            MsgVote | MsgVoteResp | MsgPreVote | MsgPreVoteResp => {
                debug_assert!(
                    m.term != 0,
                    "term should be set when sending {}",
                    m.msg_type
                );
            }
            // Proposals and read requests are as good as local: the leader's term does not matter to them.
            MsgProp | MsgReadIndex => {}
            _ => {
                debug_assert!(
                    m.term == 0,
                    "term should not be set when sending {} (was {})",
                    m.msg_type,
                    m.term
                );
                m.term = self.term;
            }
        }
        let queue = match m.msg_type {
            MsgAppResp | MsgVoteResp | MsgPreVoteResp => {
                self.holds_own |= m.to == self.id;
                &mut self.msgs_after_append
            }
            _ => {
                debug_assert!(
                    m.to != self.id,
                    "message should not be self-addressed when sending {}",
                    m.msg_type
                );
                &mut self.msgs
            }
        };
        if self.tracer.is_none() {
            queue.push(m);
            return;
        }
        let entry_count = m.entries.len();
        queue.push(m.clone());
        self.trace_send_message(&m, entry_count);
    }

    /// Sends an append to the member at a place, if that is of use; with `send_if_empty`, one without entries too, which tells the commit index.
    /// True if a message was sent.
    #[doc(alias = "maybeSendAppend", alias = "sendAppend")]
    pub(super) fn maybe_send_append(
        &mut self,
        at: usize,
        send_if_empty: bool,
    ) -> Result<bool, Fault> {
        let Some((to, pr)) = self.trk.progress.get_index_mut(at) else {
            return Ok(false);
        };
        if pr.is_paused() {
            return Ok(false);
        }
        let prev_index = pr.next - 1;
        let last = self.raft_log.last_entry_id();
        // The peer has all there is, as far as we know: at most the commit index is news.
        if prev_index == last.index {
            if send_if_empty {
                pr.sent_entries(0, 0);
                pr.sent_commit(self.raft_log.committed);
                self.push_append(to, last, 0);
            }
            return Ok(send_if_empty);
        }
        let full = pr.state == tracker::StateType::Replicate && pr.inflights.full();
        // What this leader appended since the last round, behind entries of its own term.
        if pr.next >= self.raft_log.unstable.tail_start()
            && !full
            && let Some(prev_term) = self.raft_log.recent_term(prev_index)
        {
            let part = self
                .raft_log
                .unstable
                .tail_part(pr.next, self.max_msg_size, true);
            let len = usize::try_from(part.hi - part.lo).unwrap_or(usize::MAX);
            pr.sent_entries(len, part.payload);
            pr.sent_commit(self.raft_log.committed);
            let at = self.msgs.len();
            let TailPart { lo, hi, .. } = part;
            self.tail_parts.push(MsgTail { at, lo, hi });
            let prev = EntryId::new(prev_term, prev_index);
            self.push_append(to, prev, len);
            return Ok(true);
        }
        let prev_term = match self.raft_log.term(prev_index) {
            Ok(t) => t,
            Err(LogError::Fault(f)) => return Err(f),
            // Compacted behind our back: only a snapshot helps the peer.
            Err(_) => return self.maybe_send_snapshot(at),
        };
        // While the window is full only empty appends go out: if all in it was lost, the answer to one of them gets things going again.
        let ents = if full {
            Ok(Default::default())
        } else {
            self.raft_log.entries_to_send(pr.next, self.max_msg_size)
        };
        let ents = match ents {
            Err(LogError::Fault(f)) => return Err(f),
            Ok(ents) if ents.len == 0 && !send_if_empty => return Ok(false),
            Err(_) if !send_if_empty => return Ok(false),
            Err(_) => return self.maybe_send_snapshot(at),
            Ok(ents) => ents,
        };
        pr.sent_entries(ents.len, ents.payload);
        pr.sent_commit(self.raft_log.committed);
        if let Some(TailPart { lo, hi, .. }) = ents.tail {
            let at = self.msgs.len();
            self.tail_parts.push(MsgTail { at, lo, hi });
        }
        let prev = EntryId::new(prev_term, prev_index);
        if let Some(m) = self.push_append(to, prev, ents.len) {
            m.entries = ents.sealed;
        }
        Ok(true)
    }

    /// Queues a MsgApp behind an entry, its entries left to the caller; `len` counts those of the open tail too.
    #[inline]
    fn push_append(&mut self, to: u64, prev: EntryId, len: usize) -> Option<&mut Message> {
        let (from, term, commit) = (self.id, self.term, self.raft_log.committed);
        push_new(&mut self.msgs, move || Message {
            msg_type: MessageType::MsgApp,
            to,
            from,
            term,
            index: prev.index,
            log_term: prev.term,
            commit,
            ..Message::default()
        });
        if self.tracer.is_some()
            && let Some(m) = self.msgs.last()
        {
            self.trace_send_message(m, len);
        }
        self.msgs.last_mut()
    }

    /// Gives messages their entries of the open tail, which is frozen for that. Must happen before entries leave the unstable log.
    #[inline]
    pub(crate) fn fill_messages(&mut self) {
        if !self.tail_parts.is_empty() {
            self.fill_from_tail();
        }
    }

    fn fill_from_tail(&mut self) {
        for MsgTail { at, lo, hi } in self.tail_parts.drain(..) {
            let ents = self.raft_log.unstable.slice(lo, hi);
            if let Some(m) = self.msgs.get_mut(at) {
                if m.entries.is_empty() {
                    m.entries = ents;
                } else {
                    m.entries = std::mem::take(&mut m.entries).join(ents);
                }
            }
        }
    }

    /// The same, where entries up to `index` are about to leave the unstable log.
    #[inline]
    pub(crate) fn fill_messages_to(&mut self, index: u64) {
        if self.tail_parts.iter().any(|part| part.lo <= index) {
            self.fill_messages();
        }
    }

    /// Sends the newest snapshot to the member at a place, unless that is not heard of or the snapshot is not ready. True if it was sent.
    ///
    /// Differs from Go, which panics: where the log is compacted but the storage has no snapshot, the peer waits.
    #[doc(alias = "maybeSendSnapshot")]
    #[cold]
    fn maybe_send_snapshot(&mut self, at: usize) -> Result<bool, Fault> {
        let Some((to, pr)) = self.trk.progress.get_index_mut(at) else {
            return Ok(false);
        };
        let (log, id) = (&self.raft_log, self.id);
        if !pr.recent_active {
            log_debug!(
                log.logger,
                "ignore sending snapshot to {to:x} since it is not recently active"
            );
            return Ok(false);
        }
        let snapshot = match log.snapshot() {
            Ok(s) if !s.is_empty() => s,
            Ok(_) | Err(storage::Error::SnapshotTemporarilyUnavailable) => {
                log_debug!(
                    log.logger,
                    "{id:x} failed to send snapshot to {to:x} because snapshot is temporarily unavailable"
                );
                return Ok(false);
            }
            Err(e) => return Err(Fault::new("reading the snapshot", e)),
        };
        let (index, term) = (snapshot.metadata.index, snapshot.metadata.term);
        log_debug!(
            log.logger,
            "{id:x} [firstindex: {}, commit: {}] sent snapshot[index: {index}, term: {term}] to {to:x} [{pr}]",
            log.first_index()?,
            log.committed
        );
        pr.become_snapshot(index);
        log_debug!(
            log.logger,
            "{id:x} paused sending replication messages to {to:x} [{pr}]"
        );
        self.send(Message {
            to,
            snapshot: Some(Box::new(snapshot)),
            ..Message::new(MessageType::MsgSnap)
        });
        Ok(true)
    }

    /// Sends a heartbeat to the member at a place. It carries no commit index that the peer is not known to match.
    #[doc(alias = "sendHeartbeat")]
    fn send_heartbeat(&mut self, at: usize, ctx: Option<&Bytes>) {
        let Some((to, pr)) = self.trk.progress.get_index_mut(at) else {
            return;
        };
        let commit = pr.matched.min(self.raft_log.committed);
        pr.sent_commit(commit);
        self.send(Message {
            to,
            commit,
            context: ctx.map(|c| Box::new(c.clone())),
            ..Message::new(MessageType::MsgHeartbeat)
        });
    }

    /// Sends an append to every peer whose flow is not paused; with `batch_append`, later.
    #[doc(alias = "bcastAppend")]
    pub(super) fn bcast_append(&mut self) -> Result<(), Fault> {
        if self.batch_append {
            self.appends_due = true;
            return Ok(());
        }
        for at in 0..self.trk.progress.len() {
            if self.trk.progress.ids().get(at) != Some(&self.id) {
                self.maybe_send_append(at, true)?;
            }
        }
        Ok(())
    }

    /// Sends the appends that `batch_append` held back: what each peer can take of the log, or the commit index alone where that is news.
    pub(crate) fn send_due_appends(&mut self) -> Result<(), Fault> {
        if !std::mem::take(&mut self.appends_due) {
            return Ok(());
        }
        debug_assert!(self.state == StateType::Leader);
        for at in 0..self.trk.progress.len() {
            if self.trk.progress.ids().get(at) != Some(&self.id) {
                let mut send_if_empty = self.can_bump_commit(at);
                while self.maybe_send_append(at, send_if_empty)? {
                    send_if_empty = false;
                }
            }
        }
        Ok(())
    }

    /// Whether appends were held back that some peer can take. It may prove wrong only where the log is compacted and a snapshot would be needed.
    pub(crate) fn has_due_appends(&self) -> bool {
        let last = self.raft_log.last_index();
        let news = |(id, pr): (u64, &tracker::Progress)| {
            let due = pr.next <= last || pr.can_bump_commit(self.raft_log.committed);
            id != self.id && !pr.is_paused() && due
        };
        self.appends_due && self.trk.progress.iter().any(news)
    }

    /// Sends a heartbeat to every peer; whoever answers confirms the reads that wait. Go: bcastHeartbeat, and the arm MsgBeat of stepLeader
    #[doc(alias = "bcastHeartbeat")]
    pub(super) fn bcast_heartbeat(&mut self) {
        debug_assert!(self.state == StateType::Leader);
        let ctx = self.read_only.heartbeat_ctx();
        self.bcast_heartbeat_with_ctx(ctx.as_ref());
    }

    #[doc(alias = "bcastHeartbeatWithCtx")]
    fn bcast_heartbeat_with_ctx(&mut self, ctx: Option<&Bytes>) {
        for at in 0..self.trk.progress.len() {
            if self.trk.progress.ids().get(at) != Some(&self.id) {
                self.send_heartbeat(at, ctx);
            }
        }
    }
}

/// Adds a message that is made in its place: `push` makes it on the stack first and copies it, at once, which stalls the processor (it cannot
/// load in large pieces what is still being stored in small ones).
#[inline]
pub(super) fn push_new(queue: &mut Vec<Message>, make: impl FnOnce() -> Message) {
    queue.extend(std::iter::once_with(make));
}
