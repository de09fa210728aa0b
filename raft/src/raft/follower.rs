//! What a follower does with what the leader sends. Go: raft.go (stepFollower … restore)

use super::send::push_new;
use super::{Raft, StateType, restored};
use crate::log::zero_term_on_out_of_bounds;
use crate::logging::{log_debug, log_error, log_info, log_warning};
use crate::raftpb::{ConfState, Message, MessageType, NONE, Snapshot};
use crate::storage::Storage;
use crate::tracker::ProgressTracker;
use crate::types::EntryId;
use crate::{CampaignType, DropReason, Error, Fault, Outcome, ReadOnlyOption, ReadState};

impl<S: Storage> Raft<S> {
    #[doc(alias = "stepFollower")]
    pub(super) fn step_follower(&mut self, m: &mut Message) -> Result<Outcome, Error> {
        use MessageType::*;
        match m.msg_type {
            MsgProp => self.forward_proposal(m),
            MsgApp | MsgHeartbeat | MsgSnap => {
                self.election_elapsed = 0;
                self.lead = m.from;
                match m.msg_type {
                    MsgApp => self.handle_append_entries(m)?,
                    MsgHeartbeat => self.handle_heartbeat(m),
                    _ => self.handle_snapshot(m)?,
                }
                Ok(Outcome::Done)
            }
            MsgTransferLeader => Ok(self.forward(m, "leader transfer")),
            MsgReadIndex => Ok(self.forward(m, "index reading")),
            MsgForgetLeader => Ok(self.forget_leader()),
            MsgTimeoutNow => {
                log_info!(
                    self.raft_log.logger,
                    "{:x} [term {}] received MsgTimeoutNow from {:x} and starts an election to get leadership.",
                    self.id,
                    self.term,
                    m.from
                );
                // Never by way of a pre-vote: there was a leader a moment ago.
                Ok(self.hup(CampaignType::Transfer)?)
            }
            MsgReadIndexResp => {
                self.read_states.push(ReadState {
                    index: m.index,
                    request_ctx: m
                        .entries
                        .first()
                        .map(|e| e.data.clone())
                        .unwrap_or_default(),
                });
                Ok(Outcome::Done)
            }
            _ => Ok(Outcome::Dropped(DropReason::WrongRole)),
        }
    }

    /// Go: the arm MsgProp of stepFollower
    fn forward_proposal(&mut self, m: &mut Message) -> Result<Outcome, Error> {
        let (logger, id, term) = (&self.raft_log.logger, self.id, self.term);
        if self.lead == NONE {
            log_info!(logger, "{id:x} no leader at term {term}; dropping proposal");
            return Err(Error::ProposalDropped(DropReason::NoLeader));
        }
        if self.disable_proposal_forwarding {
            log_info!(
                logger,
                "{id:x} not forwarding to leader {:x} at term {term}; dropping proposal",
                self.lead
            );
            return Err(Error::ProposalDropped(DropReason::ForwardingDisabled));
        }
        Ok(self.send_to_leader(m))
    }

    /// Sends a request on to the leader. Go: the arms MsgTransferLeader and MsgReadIndex of stepFollower
    fn forward(&mut self, m: &mut Message, what: &str) -> Outcome {
        if self.lead == NONE {
            log_info!(
                self.raft_log.logger,
                "{:x} no leader at term {}; dropping {what} msg",
                self.id,
                self.term
            );
            return Outcome::Dropped(DropReason::NoLeader);
        }
        self.send_to_leader(m)
    }

    /// Differs from Go, which panics on a request for a transfer that was forwarded before: its term is set anew.
    fn send_to_leader(&mut self, m: &mut Message) -> Outcome {
        let mut m = std::mem::take(m);
        m.to = self.lead;
        m.term = 0;
        self.send(m);
        Outcome::Forwarded { to: self.lead }
    }

    /// The application knows that the leader is gone: this node may vote for another at once. Go: the arm MsgForgetLeader of stepFollower
    #[doc(alias = "ForgetLeader")]
    fn forget_leader(&mut self) -> Outcome {
        if self.read_only.option == ReadOnlyOption::LeaseBased {
            log_error!(
                self.raft_log.logger,
                "ignoring MsgForgetLeader due to ReadOnlyLeaseBased"
            );
            return Outcome::Dropped(DropReason::LeaseBased);
        }
        if self.lead == NONE {
            return Outcome::Dropped(DropReason::NoLeader);
        }
        log_info!(
            self.raft_log.logger,
            "{:x} forgetting leader {:x} at term {}",
            self.id,
            self.lead,
            self.term
        );
        self.lead = NONE;
        Outcome::Done
    }

    /// Takes entries, or says where the logs may match. Go: handleAppendEntries
    ///
    /// The message is well-formed (`validate`): its entries follow `(m.index, m.log_term)`.
    #[doc(alias = "handleAppendEntries")]
    pub(super) fn handle_append_entries(&mut self, m: &mut Message) -> Result<(), Fault> {
        if m.index < self.raft_log.committed {
            self.send_append_resp(m.from, self.raft_log.committed);
            return Ok(());
        }
        self.fill_messages();
        let prev = EntryId::new(m.log_term, m.index);
        let appended = self.raft_log.maybe_append(prev, &mut m.entries, m.commit)?;
        if let Some(last) = appended {
            self.send_append_resp(m.from, last);
            return Ok(());
        }
        let log = &self.raft_log;
        log_debug!(
            log.logger,
            "{:x} [logterm: {}, index: {}] rejected MsgApp [logterm: {}, index: {}] from {:x}",
            self.id,
            zero_term_on_out_of_bounds(log.term(m.index))?,
            m.index,
            m.log_term,
            m.index,
            m.from
        );
        // All of the leader's log up to m.index has terms up to m.log_term: our entries of later terms cannot match.
        // See `handle_append_rejection` for the leader's side.
        let hint = log.find_conflict_by_term(m.index.min(log.last_index()), m.log_term)?;
        self.send(Message {
            to: m.from,
            index: m.index,
            reject: true,
            reject_hint: hint.index,
            log_term: hint.term,
            ..Message::new(MessageType::MsgAppResp)
        });
        Ok(())
    }

    /// Acknowledges the log up to an index, once it is written.
    fn send_append_resp(&mut self, to: u64, index: u64) {
        if self.tracer.is_none() && to != self.id {
            let (from, term) = (self.id, self.term);
            push_new(&mut self.msgs_after_append, move || Message {
                to,
                from,
                term,
                index,
                ..Message::new(MessageType::MsgAppResp)
            });
            return;
        }
        self.send(Message {
            to,
            index,
            ..Message::new(MessageType::MsgAppResp)
        });
    }

    /// The commit index lies within the log (`validate`). Go: handleHeartbeat
    #[doc(alias = "handleHeartbeat")]
    fn handle_heartbeat(&mut self, m: &mut Message) {
        self.raft_log.commit_to(m.commit);
        self.send(Message {
            to: m.from,
            context: m.context.take(),
            ..Message::new(MessageType::MsgHeartbeatResp)
        });
    }

    /// Takes a snapshot in place of the log, or says what is committed here. A missing snapshot counts as an empty one. Go: handleSnapshot
    #[doc(alias = "handleSnapshot")]
    fn handle_snapshot(&mut self, m: &mut Message) -> Result<(), Error> {
        let s = m.snapshot.take().unwrap_or_default();
        let (index, term) = (s.metadata.index, s.metadata.term);
        let restored = self.restore(s)?;
        let (done, acked) = if restored {
            ("restored", self.raft_log.last_index())
        } else {
            ("ignored", self.raft_log.committed)
        };
        log_info!(
            self.raft_log.logger,
            "{:x} [commit: {}] {done} snapshot [index: {index}, term: {term}]",
            self.id,
            self.raft_log.committed
        );
        self.send_append_resp(m.from, acked);
        Ok(())
    }

    /// Replaces log and configuration by a snapshot's. False if the snapshot is of no use, because the log has what it covers or it is not for this node.
    fn restore(&mut self, s: Box<Snapshot>) -> Result<bool, Error> {
        let id = EntryId::new(s.metadata.term, s.metadata.index);
        let log = &mut self.raft_log;
        if id.index <= log.committed {
            return Ok(false);
        }
        debug_assert!(self.state == StateType::Follower);
        let cs = &s.metadata.conf_state;
        // Who waits in learners_next is in voters_outgoing too.
        let mut members = cs
            .voters
            .iter()
            .chain(&cs.learners)
            .chain(&cs.voters_outgoing);
        if !members.any(|&id| id == self.id) {
            log_warning!(
                log.logger,
                "{:x} attempted to restore snapshot but it is not in the ConfState {}; should never happen",
                self.id,
                proto_text(cs)
            );
            return Ok(false);
        }
        let last = log.last_entry_id();
        if log.match_term(id)? {
            log_info!(
                log.logger,
                "{:x} [commit: {}, lastindex: {}, lastterm: {}] fast-forwarded commit to snapshot [index: {}, term: {}]",
                self.id,
                log.committed,
                last.index,
                last.term,
                id.index,
                id.term
            );
            log.commit_to(id.index);
            return Ok(false);
        }
        let (cfg, progress) = restored(&self.trk, id.index, cs)?;
        self.fill_messages();
        self.raft_log.restore(s);
        // Empty until the switch, as traces show.
        self.trk = ProgressTracker::new(self.trk.max_inflight, self.trk.max_inflight_bytes);
        self.switch_to_config(cfg, progress)?;
        log_info!(
            self.raft_log.logger,
            "{:x} [commit: {}, lastindex: {}, lastterm: {}] restored snapshot [index: {}, term: {}]",
            self.id,
            self.raft_log.committed,
            id.index,
            id.term,
            id.index,
            id.term
        );
        Ok(true)
    }
}

/// A ConfState as Go's `%v` prints the message, with single blanks.
fn proto_text(cs: &ConfState) -> String {
    let fields = [
        ("voters", &cs.voters),
        ("learners", &cs.learners),
        ("voters_outgoing", &cs.voters_outgoing),
        ("learners_next", &cs.learners_next),
    ];
    let mut out = String::new();
    for (name, ids) in fields {
        for id in ids {
            out.push_str(&format!("{name}:{id} "));
        }
    }
    format!("{out}auto_leave:{}", cs.auto_leave)
}
