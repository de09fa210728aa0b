//! What a leader does with proposals, checks and transfers. Go: raft.go (stepLeader, appendEntry, maybeCommit)

use super::step::news_outcome;
use super::{Raft, StateType};
use crate::logging::{log_debug, log_info, log_warning};
use crate::raftpb::{
    ConfChangeV2, Entries, Entry, EntryType, Message, MessageType, NO_LIMIT, NONE,
    describe_conf_change, payloads_size, unmarshal_conf_change,
};
use crate::round::OwnAck;
use crate::storage::Storage;
use crate::types::EntryId;
use crate::{DropReason, Error, Fault, Malformed, Outcome, RefuseReason, TraceEventType};
use bytes::Bytes;

/// Proposals of fewer entries are copied to the open tail, so that many small ones share a block; larger ones, and the first one since the
/// driver was last told what to write, are a block already.
const SMALL_PROPOSAL: usize = 8;

impl<S: Storage> Raft<S> {
    #[doc(alias = "stepLeader")]
    pub(super) fn step_leader(&mut self, m: &mut Message) -> Result<Outcome, Error> {
        use MessageType::*;
        // These need no progress of the sender.
        match m.msg_type {
            MsgBeat => {
                self.bcast_heartbeat();
                return Ok(Outcome::Done);
            }
            MsgCheckQuorum => {
                self.handle_check_quorum();
                return Ok(Outcome::Done);
            }
            MsgProp => return self.handle_propose(std::mem::take(&mut m.entries)),
            MsgReadIndex => {
                self.handle_read_index(std::mem::take(m))?;
                return Ok(Outcome::Done);
            }
            MsgForgetLeader => return Ok(Outcome::Dropped(DropReason::AlreadyLeader)),
            _ => {}
        }
        let Some(at) = self.trk.progress.position(m.from) else {
            log_debug!(
                self.raft_log.logger,
                "{:x} no progress available for {:x}",
                self.id,
                m.from
            );
            return Ok(Outcome::Dropped(DropReason::NoProgress));
        };
        match m.msg_type {
            MsgAppResp => Ok(news_outcome(self.handle_append_response(at, m)?)),
            MsgHeartbeatResp => self.handle_heartbeat_response(at, m),
            MsgSnapStatus => Ok(self.handle_snapshot_status(at, m)),
            MsgUnreachable => Ok(self.handle_unreachable(at, m)),
            MsgTransferLeader => self.handle_transfer_leader(at, m),
            _ => Ok(Outcome::Dropped(DropReason::WrongRole)),
        }
    }

    /// Steps down unless a quorum was heard of since the last check. Go: the arm MsgCheckQuorum of stepLeader
    pub(super) fn handle_check_quorum(&mut self) {
        if !self.trk.quorum_active() {
            log_warning!(
                self.raft_log.logger,
                "{:x} stepped down to follower since quorum is not active",
                self.id
            );
            self.become_follower(self.term, NONE);
        }
        for (id, pr) in &mut self.trk.progress {
            if id != self.id {
                pr.recent_active = false;
            }
        }
    }

    /// Whether this leader takes proposals now.
    #[inline]
    fn may_propose(&self) -> Result<(), Error> {
        if !self.trk.progress.contains(self.id) {
            // Removed from the group while leading.
            return Err(Error::ProposalDropped(DropReason::NotMember));
        }
        if self.lead_transferee != NONE {
            log_debug!(
                self.raft_log.logger,
                "{:x} [term {}] transfer leadership to {:x} is in progress; dropping proposal",
                self.id,
                self.term,
                self.lead_transferee
            );
            return Err(Error::ProposalDropped(DropReason::TransferInProgress {
                transferee: self.lead_transferee,
            }));
        }
        Ok(())
    }

    /// A normal entry of this leader's own application: what [`handle_propose`](Self::handle_propose) does, without a message. Its index.
    pub(super) fn propose_one(&mut self, data: Bytes) -> Result<u64, Error> {
        self.may_propose()?;
        let index = self.append_entry(data);
        self.appended(index)
    }

    /// Appends proposed entries and sends them on. Go: the arm MsgProp of stepLeader
    pub(super) fn handle_propose(&mut self, mut entries: Entries) -> Result<Outcome, Error> {
        self.may_propose()?;
        let mut refused = None;
        if entries.iter().any(|e| e.get_type() != EntryType::Normal) {
            refused = self.check_conf_changes(&mut entries)?;
        }
        let index = self.append_entries(entries);
        let index = self.appended(index)?;
        Ok(match refused {
            Some((index, reason)) => Outcome::Refused { index, reason },
            None => Outcome::Appended {
                term: self.term,
                index,
            },
        })
    }

    /// The end of a proposal, which was appended up to an index unless the quota refused it.
    #[inline]
    fn appended(&mut self, index: Option<u64>) -> Result<u64, Error> {
        let Some(index) = index else {
            return Err(Error::ProposalDropped(DropReason::UncommittedSize));
        };
        self.bcast_append()?;
        Ok(index)
    }

    /// Replaces configuration changes that do not fit the active configuration by empty entries; the first of them.
    ///
    /// This is not exact: the configuration that the change will meet when it is applied may be another.
    fn check_conf_changes(
        &mut self,
        entries: &mut Entries,
    ) -> Result<Option<(u64, RefuseReason)>, Error> {
        let first = self.raft_log.last_index() + 1;
        let mut refused = Vec::new();
        for (i, e) in entries.iter().enumerate() {
            let malformed = |_| Error::Malformed {
                msg_type: MessageType::MsgProp,
                from: self.id,
                what: Malformed::ConfChange,
            };
            let Some(cc) = unmarshal_conf_change(e).map_err(malformed)? else {
                continue;
            };
            match self.conf_change_refusal(&cc) {
                Some(reason) => {
                    log_info!(
                        self.raft_log.logger,
                        "{:x} ignoring conf change {} at config {}: {reason}",
                        self.id,
                        describe_conf_change(&cc),
                        self.trk.config
                    );
                    refused.push((i, reason));
                }
                None => {
                    self.pending_conf_index = first + i as u64;
                    self.trace_change_conf_event(&cc);
                }
            }
        }
        for (i, _) in &refused {
            if let Some(e) = entries.iter_mut().nth(*i) {
                // The explicit type is etcd's, and takes two bytes.
                *e = Entry {
                    entry_type: Some(EntryType::Normal),
                    ..Entry::default()
                };
            }
        }
        Ok(refused
            .first()
            .map(|(i, reason)| (first + *i as u64, *reason)))
    }

    /// Why a proposed change does not fit the active configuration, if it does not and that is looked at.
    fn conf_change_refusal(&self, cc: &ConfChangeV2) -> Option<RefuseReason> {
        let already_joint = self.trk.config.voters.is_joint();
        let wants_leave_joint = cc.changes.is_empty();
        let applied = self.raft_log.applied;
        let reason = if self.pending_conf_index > applied {
            RefuseReason::PendingConfChange {
                index: self.pending_conf_index,
                applied,
            }
        } else if already_joint && !cc.leave_joint() {
            // Differs from Go: without changes, but with a transition, it would enter a joint configuration once more, which cannot be applied.
            RefuseReason::MustLeaveJoint
        } else if !already_joint && wants_leave_joint {
            RefuseReason::NotJoint
        } else {
            return None;
        };
        (!self.disable_conf_change_validation).then_some(reason)
    }

    /// Appends one normal entry; its index, or `None` when the quota of uncommitted entries refuses it.
    #[doc(alias = "appendEntry")]
    pub(super) fn append_entry(&mut self, data: Bytes) -> Option<u64> {
        if !self.increase_uncommitted_size(data.len() as u64) {
            return None;
        }
        self.trace_replicate(EntryType::Normal);
        self.raft_log.push_new(self.term, data);
        Some(self.ack_own_append())
    }

    /// Appends several entries; the index of the last, or `None` when the quota of uncommitted entries refuses them all.
    fn append_entries(&mut self, mut entries: Entries) -> Option<u64> {
        if self.counts_uncommitted() && !self.increase_uncommitted_size(payloads_size(&entries)) {
            return None;
        }
        if self.tracer.is_some() {
            entries
                .iter()
                .for_each(|e| self.trace_replicate(e.get_type()));
        }
        let (term, next) = (self.term, self.raft_log.last_index() + 1);
        if entries.len() < SMALL_PROPOSAL && self.raft_log.has_next_unstable_ents() {
            for (index, e) in (next..).zip(&entries) {
                self.raft_log.push(Entry {
                    term,
                    index,
                    ..e.clone()
                });
            }
        } else {
            let mut payload = 0;
            let len = entries.len();
            for (index, e) in (next..).zip(entries.iter_mut()) {
                (e.term, e.index) = (term, index);
                payload += e.data.len() as u64;
            }
            self.raft_log.append(entries);
            self.raft_log.note_newest_block(len, payload);
        }
        Some(self.ack_own_append())
    }

    /// A leader acknowledges its own entries as a follower would, once they are written: the message comes back to it after the write.
    fn ack_own_append(&mut self) -> u64 {
        let index = self.raft_log.last_index();
        if self.tracer.is_none() {
            self.own_acks.push(OwnAck {
                behind: self.msgs_after_append.len(),
                term: self.term,
                index,
            });
            return index;
        }
        // A tracer is shown the message.
        self.send(Message {
            to: self.id,
            index,
            ..Message::new(MessageType::MsgAppResp)
        });
        index
    }

    /// Commits what a quorum has, as far as it is of this term. True if that is more than before; the caller tells the others.
    #[doc(alias = "maybeCommit")]
    pub(super) fn maybe_commit(&mut self) -> Result<bool, Fault> {
        let advanced = self.trk.may_commit_beyond(self.raft_log.committed) && {
            let at = EntryId::new(self.term, self.trk.committed());
            self.raft_log.maybe_commit(at)?
        };
        self.trace(TraceEventType::Commit);
        Ok(advanced)
    }

    /// Proposes to leave the joint configuration. Its entry has no data, so only a transfer of leadership can get in its way; then the next
    /// applied entry tries again.
    #[cold]
    #[inline(never)]
    pub(super) fn auto_leave(&mut self) -> Result<(), Error> {
        let leave = Entry {
            entry_type: Some(EntryType::ConfChangeV2),
            ..Entry::default()
        };
        match self.handle_propose(vec![leave].into()) {
            Ok(_) => log_info!(
                self.raft_log.logger,
                "initiating automatic transition out of joint configuration {}",
                self.trk.config
            ),
            Err(e @ Error::ProposalDropped(_)) => log_debug!(
                self.raft_log.logger,
                "not initiating automatic transition out of joint configuration {}: {e}",
                self.trk.config
            ),
            Err(e) => return Err(e),
        }
        Ok(())
    }

    /// Hands leadership over to a voter (thesis §3.10): at once if its log is up to date, else after it has been brought there. Go: the arm MsgTransferLeader of stepLeader
    fn handle_transfer_leader(&mut self, at: usize, m: &Message) -> Result<Outcome, Error> {
        let Some((transferee, pr)) = self.trk.progress.get_index(at) else {
            return Ok(Outcome::Dropped(DropReason::NoProgress));
        };
        let (logger, id, term) = (&self.raft_log.logger, self.id, self.term);
        debug_assert!(transferee == m.from);
        if pr.is_learner {
            log_debug!(logger, "{id:x} is learner. Ignored transferring leadership");
            return Ok(Outcome::Dropped(DropReason::Learner));
        }
        let last_transferee = self.lead_transferee;
        if last_transferee == transferee {
            log_info!(
                logger,
                "{id:x} [term {term}] transfer leadership to {transferee:x} is in progress, ignores request to same node {transferee:x}"
            );
            return Ok(Outcome::Dropped(DropReason::TransferInProgress {
                transferee,
            }));
        }
        let up_to_date = pr.matched == self.raft_log.last_index();
        if last_transferee != NONE {
            self.abort_leader_transfer();
            log_info!(
                self.raft_log.logger,
                "{id:x} [term {term}] abort previous transferring leadership to {last_transferee:x}"
            );
        }
        let logger = &self.raft_log.logger;
        if transferee == id {
            log_debug!(
                logger,
                "{id:x} is already leader. Ignored transferring leadership to self"
            );
            return Ok(Outcome::Dropped(DropReason::AlreadyLeader));
        }
        log_info!(
            logger,
            "{id:x} [term {term}] starts to transfer leadership to {transferee:x}"
        );
        // It has an election timeout from now.
        self.election_elapsed = 0;
        self.lead_transferee = transferee;
        if up_to_date {
            self.send_timeout_now(transferee);
            log_info!(
                self.raft_log.logger,
                "{id:x} sends MsgTimeoutNow to {transferee:x} immediately as {transferee:x} already has up-to-date log"
            );
        } else {
            self.maybe_send_append(at, true)?;
        }
        Ok(Outcome::Done)
    }

    #[doc(alias = "sendTimeoutNow")]
    pub(super) fn send_timeout_now(&mut self, to: u64) {
        self.send(Message {
            to,
            ..Message::new(MessageType::MsgTimeoutNow)
        });
    }

    #[doc(alias = "abortLeaderTransfer")]
    pub(super) fn abort_leader_transfer(&mut self) {
        self.lead_transferee = NONE;
    }

    /// Whether an entry of this term is committed: until then a leader does not know what is.
    #[doc(alias = "committedEntryInCurrentTerm")]
    pub(super) fn committed_entry_in_current_term(&self) -> Result<bool, Fault> {
        debug_assert!(self.state == StateType::Leader && self.term != 0);
        self.raft_log
            .match_term(EntryId::new(self.term, self.raft_log.committed))
    }

    /// Counts the payload of proposed entries; false, and nothing is counted, when that would exceed the quota. Whatever its size, a proposal is let in when nothing
    /// else is uncommitted, and an empty one always: a new leader's first entry, and leaving a joint configuration.
    #[doc(alias = "increaseUncommittedSize")]
    #[inline]
    fn increase_uncommitted_size(&mut self, size: u64) -> bool {
        if !self.counts_uncommitted() {
            return true;
        }
        let sum = self.uncommitted_size.saturating_add(size);
        if self.uncommitted_size > 0 && size > 0 && sum > self.max_uncommitted_size {
            log_warning!(
                self.raft_log.logger,
                "{:x} appending new entries to log would exceed uncommitted entry size limit; dropping proposal",
                self.id
            );
            return false;
        }
        self.uncommitted_size = sum;
        true
    }

    /// Whether there is a quota of uncommitted entries.
    #[inline]
    pub(crate) fn counts_uncommitted(&self) -> bool {
        self.max_uncommitted_size != NO_LIMIT
    }

    /// Entries were applied. The count may be too small, never too large: entries of earlier leaders were not counted.
    #[doc(alias = "reduceUncommittedSize")]
    #[inline]
    pub(crate) fn reduce_uncommitted_size(&mut self, size: u64) {
        self.uncommitted_size = self.uncommitted_size.saturating_sub(size);
    }
}
