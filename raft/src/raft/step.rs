//! The entrance for messages: the term gate, storage threads' answers and votes. Go: raft.go (Step)

use super::{Raft, StateType};
use crate::log::AppliedBatch;
use crate::logging::log_info;
use crate::raftpb::{
    Message, MessageType, NONE, is_local_msg, is_local_msg_target, is_response_msg,
    vote_resp_msg_type,
};
use crate::storage::Storage;
use crate::types::EntryId;
use crate::{CampaignType, DropReason, Error, Outcome};

/// What became of an answer.
#[inline]
pub(super) fn news_outcome(news: bool) -> Outcome {
    if news {
        Outcome::Done
    } else {
        Outcome::Dropped(DropReason::Stale)
    }
}

impl<S: Storage> Raft<S> {
    /// Takes a message: of another node, of this node's storage threads, or of its application (`MsgHup`, `MsgProp`, `MsgReadIndex` …). Afterwards ask for
    /// what is [pending](Self::pending).
    ///
    /// A message is looked at whole before anything changes, so that one which is refused leaves no trace; messages of any content are taken or refused,
    /// none makes the node panic. Which senders are to be believed is for the layers above to decide.
    ///
    /// # Errors
    /// [`Error::Malformed`] and [`Error::CommitOutOfRange`]: refused, and the sender is broken, not this node. [`Error::ProposalDropped`].
    /// [`Error::StepLocalMsg`] for work that is meant for a storage thread. [`Error::Fault`].
    ///
    /// ```
    /// use tickraft::raftpb::{Message, MessageType};
    /// # use tickraft::{Config, DropReason, Error, Outcome, Raft};
    /// # let log = slog::Logger::root(slog::Discard, slog::o!());
    /// # let mut raft = Raft::new(Config::new(1, 42), storage_mem::MemoryStorage::new(), log, None)?;
    /// // A heartbeat that commits what this node never had: etcd's process ends here.
    /// let m = Message { from: 2, term: 5, commit: 9, ..Message::new(MessageType::MsgHeartbeat) };
    /// assert!(matches!(raft.step(m), Err(Error::CommitOutOfRange { commit: 9, last_index: 0, .. })));
    /// assert_eq!(raft.hard_state().term, 0, "refused before its term was looked at");
    ///
    /// // A node without a group cannot campaign: no error, but the reason is told.
    /// let dropped = raft.step(Message::new(MessageType::MsgHup))?;
    /// assert_eq!(dropped, Outcome::Dropped(DropReason::Unpromotable));
    /// # Ok::<(), Error>(())
    /// ```
    #[doc(alias = "Step")]
    #[inline]
    pub fn step(&mut self, mut m: Message) -> Result<Outcome, Error> {
        self.step_mut(&mut m)
    }

    /// [`step`](Self::step) for whoever keeps the message's memory, a buffer of messages say: what the node needs of it is taken out.
    ///
    /// # Errors
    /// As [`step`](Self::step); a message that is refused is left as it is.
    #[inline]
    pub fn step_mut(&mut self, m: &mut Message) -> Result<Outcome, Error> {
        self.step_either(m, false)
    }

    /// [`step_mut`](Self::step_mut) for what another node is said to have sent: refuses what only a node itself makes, and the answers of nodes that are no
    /// members. Go: RawNode.Step
    ///
    /// # Errors
    /// [`Error::StepLocalMsg`], [`Error::StepPeerNotFound`], and as [`step`](Self::step); a message that is refused is left as it is.
    ///
    /// ```
    /// use tickraft::raftpb::{Message, MessageType};
    /// # use tickraft::{Config, Error, Raft};
    /// # let log = slog::Logger::root(slog::Discard, slog::o!());
    /// # let mut raft = Raft::new(Config::new(1, 42), storage_mem::MemoryStorage::new(), log, None)?;
    /// let mut hup = Message::new(MessageType::MsgHup);
    /// assert_eq!(raft.step_remote(&mut hup), Err(Error::StepLocalMsg));
    /// let mut answer = Message { from: 2, term: 1, ..Message::new(MessageType::MsgAppResp) };
    /// assert_eq!(raft.step_remote(&mut answer), Err(Error::StepPeerNotFound));
    /// # Ok::<(), Error>(())
    /// ```
    #[inline]
    pub fn step_remote(&mut self, m: &mut Message) -> Result<Outcome, Error> {
        self.step_either(m, true)
    }

    /// Both of them, in one place: so the way of steady replication, which asks neither question, is compiled once.
    #[inline(never)]
    fn step_either(&mut self, m: &mut Message, remote: bool) -> Result<Outcome, Error> {
        if self.fault.is_some() {
            return self.step_any(m, remote);
        }
        let Some(news) = self.step_steady(m) else {
            return self.step_any(m, remote);
        };
        // The outcome is made here: to hand it up from below costs more than to make it.
        match news {
            Ok(news) => {
                self.changed();
                Ok(news_outcome(news))
            }
            Err(e) => Err(self.settle_error(e)),
        }
    }

    /// All but steady replication, whose messages are neither local nor of strangers.
    #[inline(never)]
    fn step_any(&mut self, m: &mut Message, remote: bool) -> Result<Outcome, Error> {
        if remote && !is_local_msg_target(m.from) {
            if is_local_msg(m.msg_type) {
                return Err(Error::StepLocalMsg);
            }
            if is_response_msg(m.msg_type) && self.progress(m.from).is_none() {
                return Err(Error::StepPeerNotFound);
            }
        }
        self.check_fault()?;
        let done = self.step_checked(m);
        self.settle(done)
    }

    /// The two messages of steady replication take the shortest way, of this term and without a tracer that is to be shown them; `None` for all others, which
    /// take the whole one. False for old news.
    #[inline]
    fn step_steady(&mut self, m: &mut Message) -> Option<Result<bool, Error>> {
        if m.term != self.term || m.term == 0 || self.tracer.is_some() {
            return None;
        }
        match (m.msg_type, self.state) {
            (MessageType::MsgApp, StateType::Follower) => Some(self.step_append(m).map(|()| true)),
            (MessageType::MsgAppResp, StateType::Leader) => {
                let at = self.trk.progress.position(m.from)?;
                Some(self.step_ack(at, m))
            }
            _ => None,
        }
    }

    /// What [`step_checked`](Self::step_checked) comes to for a follower's MsgApp of this term.
    #[inline]
    fn step_append(&mut self, m: &mut Message) -> Result<(), Error> {
        self.validate_app(m)?;
        self.election_elapsed = 0;
        self.lead = m.from;
        Ok(self.handle_append_entries(m)?)
    }

    /// What [`step_checked`](Self::step_checked) comes to for a leader's MsgAppResp of this term, from the member at a place.
    #[inline]
    fn step_ack(&mut self, at: usize, m: &mut Message) -> Result<bool, Error> {
        self.validate_app_resp(m)?;
        Ok(self.handle_append_response(at, m)?)
    }

    /// The way of all messages: checked, then past the term gate.
    pub(crate) fn step_checked(&mut self, m: &mut Message) -> Result<Outcome, Error> {
        self.validate(m)?;
        self.trace_receive_message(m);
        if m.term != self.term
            && m.term != 0
            && let Some(outcome) = self.term_gate(m)?
        {
            return Ok(outcome);
        }
        self.dispatch(m)
    }

    #[inline]
    fn dispatch(&mut self, m: &mut Message) -> Result<Outcome, Error> {
        use MessageType::*;
        match m.msg_type {
            MsgHup => Ok(self.hup(self.campaign_type())?),
            MsgStorageAppendResp => {
                self.handle_storage_append_resp(m)?;
                Ok(Outcome::Done)
            }
            MsgStorageApplyResp => {
                self.handle_storage_apply_resp(m)?;
                Ok(Outcome::Done)
            }
            MsgVote | MsgPreVote => {
                self.handle_vote(m);
                Ok(Outcome::Done)
            }
            _ => match self.state {
                StateType::Leader => self.step_leader(m),
                StateType::Follower => self.step_follower(m),
                StateType::Candidate | StateType::PreCandidate => self.step_candidate(m),
            },
        }
    }

    /// What a term that is not ours means. `Some` when that is all that the message means.
    fn term_gate(&mut self, m: &Message) -> Result<Option<Outcome>, Error> {
        if m.term < self.term {
            self.handle_lower_term(m)?;
            return Ok(Some(Outcome::Dropped(DropReason::LowerTerm)));
        }
        Ok(self.handle_higher_term(m))
    }

    fn handle_higher_term(&mut self, m: &Message) -> Option<Outcome> {
        use MessageType::*;
        let vote = matches!(m.msg_type, MsgVote | MsgPreVote);
        if vote && self.ignores_votes(m) {
            let last = self.raft_log.last_entry_id();
            log_info!(
                self.raft_log.logger,
                "{:x} [logterm: {}, index: {}, vote: {:x}] ignored {} from {:x} [logterm: {}, index: {}] at term {}: lease is not expired (remaining ticks: {})",
                self.id,
                last.term,
                last.index,
                self.vote,
                m.msg_type,
                m.from,
                m.log_term,
                m.index,
                self.term,
                self.election_timeout - self.election_elapsed
            );
            return Some(Outcome::Dropped(DropReason::InLease));
        }
        match m.msg_type {
            // A pre-vote changes no terms; once enough of them are granted, their candidate raises its own.
            MsgPreVote => return None,
            MsgPreVoteResp if !m.reject => return None,
            _ => {}
        }
        log_info!(
            self.raft_log.logger,
            "{:x} [term: {}] received a {} message with higher term from {:x} [term: {}]",
            self.id,
            self.term,
            m.msg_type,
            m.from,
            m.term
        );
        let lead = match m.msg_type {
            MsgApp | MsgHeartbeat | MsgSnap => m.from,
            _ => NONE,
        };
        self.become_follower(m.term, lead);
        None
    }

    /// Whether a leader was heard of so lately that no other is wanted. A transfer of leadership is the leader's own wish.
    fn ignores_votes(&self, m: &Message) -> bool {
        let force = m.context() == CampaignType::Transfer.as_str().as_bytes();
        let in_lease =
            self.check_quorum && self.lead != NONE && self.election_elapsed < self.election_timeout;
        !force && in_lease
    }

    fn handle_lower_term(&mut self, m: &Message) -> Result<(), Error> {
        use MessageType::*;
        match m.msg_type {
            // The sender may be a leader of a term that this node has left on its own, say in a partition. With leases nobody would
            // hear its MsgVotes: this answer makes the leader step down, so that the two come together again.
            MsgHeartbeat | MsgApp if self.check_quorum || self.pre_vote => self.send(Message {
                to: m.from,
                ..Message::new(MsgAppResp)
            }),
            // Silence could block a group in which some nodes use pre-vote and one with a higher term has the shorter log.
            MsgPreVote => {
                self.log_vote("rejected", m);
                self.send(Message {
                    to: m.from,
                    term: self.term,
                    reject: true,
                    ..Message::new(MsgPreVoteResp)
                });
            }
            MsgStorageAppendResp => {
                if m.index != 0 {
                    // The entries may have been replaced in the meantime, and that write may still come: see `new_storage_append_resp_msg`.
                    log_info!(
                        self.raft_log.logger,
                        "{:x} [term: {}] ignored entry appends from a {} message with lower term [term: {}]",
                        self.id,
                        self.term,
                        m.msg_type,
                        m.term
                    );
                }
                // A snapshot is committed state, whatever the term.
                if let Some(s) = &m.snapshot {
                    self.applied_snap(s.metadata.index)?;
                }
            }
            _ => log_info!(
                self.raft_log.logger,
                "{:x} [term: {}] ignored a {} message with lower term from {:x} [term: {}]",
                self.id,
                self.term,
                m.msg_type,
                m.from,
                m.term
            ),
        }
        Ok(())
    }

    /// What was handed out to be written is written. Go: the arm MsgStorageAppendResp of Step
    fn handle_storage_append_resp(&mut self, m: &Message) -> Result<(), Error> {
        if m.index != 0 {
            self.fill_messages_to(m.index);
            self.raft_log.stable_to(EntryId::new(m.log_term, m.index));
        }
        if let Some(s) = &m.snapshot {
            self.applied_snap(s.metadata.index)?;
        }
        Ok(())
    }

    /// What was handed out to be applied is applied. Go: the arm MsgStorageApplyResp of Step
    fn handle_storage_apply_resp(&mut self, m: &Message) -> Result<(), Error> {
        if let Some(last) = m.entries.last() {
            let sizes = self.raft_log.applied_sizes(&m.entries);
            self.applied_batch(&AppliedBatch {
                last: last.index,
                len: m.entries.len(),
                sizes,
            })?;
        }
        Ok(())
    }

    /// Grants a vote, or refuses it. Go: the arm MsgVote, MsgPreVote of Step
    ///
    /// Learners vote too: one that was promoted may not know it yet, and its vote may be needed for the leader that tells it.
    fn handle_vote(&mut self, m: &Message) {
        let Some(resp_type) = vote_resp_msg_type(m.msg_type) else {
            return;
        };
        let pre_vote = m.msg_type == MessageType::MsgPreVote;
        // The same vote again, or the first of this term while no leader is known, or a question about a later term.
        let can_vote = self.vote == m.from
            || (self.vote == NONE && self.lead == NONE)
            || (pre_vote && m.term > self.term);
        let candidate = EntryId::new(m.log_term, m.index);
        if !can_vote || !self.raft_log.is_up_to_date(candidate) {
            self.log_vote("rejected", m);
            // Before its first term a node has no term to refuse a pre-vote in: it keeps silent. Go panics.
            if self.term != 0 {
                self.send(Message {
                    to: m.from,
                    term: self.term,
                    reject: true,
                    ..Message::new(resp_type)
                });
            }
            return;
        }
        self.log_vote("cast", m);
        // With the term of the question: a pre-candidate's is later than ours and it ignores answers of an earlier one.
        self.send(Message {
            to: m.from,
            term: m.term,
            ..Message::new(resp_type)
        });
        if !pre_vote {
            self.election_elapsed = 0;
            self.vote = m.from;
        }
    }

    fn log_vote(&self, done: &str, m: &Message) {
        let last = self.raft_log.last_entry_id();
        let whose = if done == "cast" { "for" } else { "from" };
        log_info!(
            self.raft_log.logger,
            "{:x} [logterm: {}, index: {}, vote: {:x}] {done} {} {whose} {:x} [logterm: {}, index: {}] at term {}",
            self.id,
            last.term,
            last.index,
            self.vote,
            m.msg_type,
            m.from,
            m.log_term,
            m.index,
            self.term
        );
    }
}
