//! Elections: who may campaign, and how the votes are counted. Go: raft.go (hup … poll, stepCandidate)

use super::{Raft, StateType};
use crate::logging::{log_debug, log_info, log_warning};
use crate::quorum::VoteResult;
use crate::raftpb::{EntryType, Message, MessageType, NONE};
use crate::storage::Storage;
use crate::tracker::Tally;
use crate::types::{LogError, MAX_TERM};
use crate::{CampaignType, DropReason, Error, Fault, Outcome};

impl<S: Storage> Raft<S> {
    /// Campaigns, if this node may.
    pub(super) fn hup(&mut self, t: CampaignType) -> Result<Outcome, Fault> {
        let logger = &self.raft_log.logger;
        if self.state == StateType::Leader {
            log_debug!(
                logger,
                "{:x} ignoring MsgHup because already leader",
                self.id
            );
            return Ok(Outcome::Dropped(DropReason::AlreadyLeader));
        }
        if !self.promotable() {
            log_warning!(logger, "{:x} is unpromotable and can not campaign", self.id);
            return Ok(Outcome::Dropped(DropReason::Unpromotable));
        }
        if self.has_unapplied_conf_changes()? {
            log_warning!(
                self.raft_log.logger,
                "{:x} cannot campaign at term {} since there are still pending configuration changes to apply",
                self.id,
                self.term
            );
            return Ok(Outcome::Dropped(DropReason::PendingConfChange));
        }
        let logger = &self.raft_log.logger;
        if self.next_term() > MAX_TERM {
            log_warning!(
                logger,
                "{:x} cannot campaign since no term follows {}",
                self.id,
                self.term
            );
            return Ok(Outcome::Dropped(DropReason::TermsExhausted));
        }
        log_info!(
            logger,
            "{:x} is starting a new election at term {}",
            self.id,
            self.term
        );
        self.campaign(t);
        Ok(Outcome::Done)
    }

    /// Whether a configuration change is committed that is not applied: this node may not know who votes. Looks page by page, in the size that
    /// limits applying too.
    #[doc(alias = "hasUnappliedConfChanges", alias = "errBreak")]
    fn has_unapplied_conf_changes(&mut self) -> Result<bool, Fault> {
        let log = &mut self.raft_log;
        let (applied, hi) = (log.applied, log.committed + 1);
        let page_size = log.max_applying_ents_size();
        let mut found = false;
        let mut tried = 0;
        loop {
            // What the application compacts it has applied, though it may not have said so yet: those entries are no matter any more.
            let lo = log.first_index()?.max(applied + 1);
            let scanned = log.scan(lo, hi, page_size, |ents| {
                found = ents.iter().any(|e| e.get_type() != EntryType::Normal);
                !found
            });
            match scanned {
                Ok(()) => break,
                // It compacted between the two calls.
                Err(LogError::Compacted) if lo > tried => tried = lo,
                Err(e) => return Err(e.into_fault("scanning unapplied entries")),
            }
        }
        Ok(found)
    }

    /// Becomes (pre-)candidate and asks all voters, itself included: its own vote counts once it is written.
    pub(super) fn campaign(&mut self, t: CampaignType) {
        let (msg_type, resp_type) = if t == CampaignType::PreElection {
            self.become_pre_candidate();
            (MessageType::MsgPreVote, MessageType::MsgPreVoteResp)
        } else {
            self.become_candidate();
            (MessageType::MsgVote, MessageType::MsgVoteResp)
        };
        // A pre-vote asks for the term that an election would raise to.
        let term = match t {
            CampaignType::PreElection => self.next_term(),
            _ => self.term,
        };
        let last = self.raft_log.last_entry_id();
        for id in self.trk.voter_nodes() {
            if id == self.id {
                self.send(Message {
                    to: id,
                    term,
                    ..Message::new(resp_type)
                });
                continue;
            }
            log_info!(
                self.raft_log.logger,
                "{:x} [logterm: {}, index: {}] sent {msg_type} request to {id:x} at term {}",
                self.id,
                last.term,
                last.index,
                self.term
            );
            let mut m = Message {
                to: id,
                term,
                index: last.index,
                log_term: last.term,
                ..Message::new(msg_type)
            };
            if t == CampaignType::Transfer {
                m.set_context(t.as_str());
            }
            self.send(m);
        }
    }

    /// Notes a vote and counts.
    fn poll(&mut self, id: u64, t: MessageType, granted: bool) -> Tally {
        let rejection = if granted { "" } else { " rejection" };
        log_info!(
            self.raft_log.logger,
            "{:x} received {t}{rejection} from {id:x} at term {}",
            self.id,
            self.term
        );
        self.trk.record_vote(id, granted);
        self.trk.tally_votes()
    }

    /// Candidates and pre-candidates: they differ in the answers that count.
    #[doc(alias = "stepCandidate")]
    pub(super) fn step_candidate(&mut self, m: &mut Message) -> Result<Outcome, Error> {
        use MessageType::*;
        // A candidate may still get answers to its pre-vote of this term.
        let my_vote_resp_type = match self.state {
            StateType::PreCandidate => MsgPreVoteResp,
            _ => MsgVoteResp,
        };
        match m.msg_type {
            MsgProp => {
                log_info!(
                    self.raft_log.logger,
                    "{:x} no leader at term {}; dropping proposal",
                    self.id,
                    self.term
                );
                Err(Error::ProposalDropped(DropReason::NoLeader))
            }
            // The term is this node's: another has won.
            MsgApp | MsgHeartbeat | MsgSnap => {
                self.become_follower(m.term, m.from);
                self.step_follower(m)
            }
            t if t == my_vote_resp_type => {
                self.handle_vote_response(m)?;
                Ok(Outcome::Done)
            }
            MsgTimeoutNow => {
                log_debug!(
                    self.raft_log.logger,
                    "{:x} [term {} state {}] ignored MsgTimeoutNow from {:x}",
                    self.id,
                    self.term,
                    self.state,
                    m.from
                );
                Ok(Outcome::Dropped(DropReason::WrongRole))
            }
            MsgReadIndex | MsgTransferLeader => Ok(Outcome::Dropped(DropReason::NoLeader)),
            _ => Ok(Outcome::Dropped(DropReason::WrongRole)),
        }
    }

    /// Counts a vote and acts on the result. Go: the arm myVoteRespType of stepCandidate
    fn handle_vote_response(&mut self, m: &Message) -> Result<(), Fault> {
        let tally = self.poll(m.from, m.msg_type, !m.reject);
        log_info!(
            self.raft_log.logger,
            "{:x} has received {} {} votes and {} vote rejections",
            self.id,
            tally.granted,
            m.msg_type,
            tally.rejected
        );
        match tally.result {
            VoteResult::Won if self.state == StateType::PreCandidate => {
                self.campaign(CampaignType::Election);
            }
            VoteResult::Won => {
                self.become_leader();
                self.bcast_append()?;
            }
            // The term of a MsgPreVoteResp is not this node's: keep ours.
            VoteResult::Lost => self.become_follower(self.term, NONE),
            VoteResult::Pending => {}
        }
        Ok(())
    }
}
