//! What a leader learns of a peer from its answers and from the transport. Go: raft.go (stepLeader)

use super::Raft;
use crate::logging::{log_debug, log_info};
use crate::raftpb::Message;
use crate::storage::Storage;
use crate::tracker::{self, StateType};
use crate::{DropReason, Error, Fault, Outcome, ReadOnlyOption};

impl<S: Storage> Raft<S> {
    /// A peer, or this leader's own storage, has taken entries or refused them. False if that is old news. Go: the arm MsgAppResp of stepLeader
    #[inline]
    pub(super) fn handle_append_response(&mut self, at: usize, m: &Message) -> Result<bool, Fault> {
        if m.reject {
            self.handle_append_rejection(at, m)
        } else {
            self.handle_append_acceptance(at, m.from, m.index)
        }
    }

    /// The peer's log does not match at `m.index`: probe where it may. False if that is old news.
    ///
    /// The peer says up to where its log may match, and what term it has there. It follows that none of our entries of a later term up
    /// to there can match, for terms never fall within a log: those are skipped without asking. An example, probed at 9:
    ///
    /// ```text
    ///     index     1 2 3 4 5 6 7 8 9
    ///     leader    1 3 3 3 5 5 5 5 5
    ///     follower  1 1 1 1 2 2           hint: index 6, term 2; next probe: 1
    /// ```
    ///
    /// The follower does the same for its own log (`handle_append_entries`), which helps where its terms are the later ones. So there is about one
    /// probe for each term, not one for each entry.
    #[inline(never)]
    fn handle_append_rejection(&mut self, at: usize, m: &Message) -> Result<bool, Fault> {
        if let Some((_, pr)) = self.trk.progress.get_index_mut(at) {
            pr.recent_active = true;
        }
        let log = &self.raft_log;
        log_debug!(
            log.logger,
            "{:x} received MsgAppResp(rejected, hint: (index {}, term {})) from {:x} for index {}",
            self.id,
            m.reject_hint,
            m.log_term,
            m.from,
            m.index
        );
        let next_probe = if m.log_term > 0 {
            log.find_conflict_by_term(m.reject_hint, m.log_term)?.index
        } else {
            m.reject_hint
        };
        let Some((_, pr)) = self.trk.progress.get_index_mut(at) else {
            return Ok(false);
        };
        if !pr.maybe_decr_to(m.index, next_probe) {
            return Ok(false);
        }
        log_debug!(
            log.logger,
            "{:x} decreased progress of {:x} to [{pr}]",
            self.id,
            m.from
        );
        if pr.state == StateType::Replicate {
            pr.become_probe();
        }
        self.maybe_send_append(at, true)?;
        Ok(true)
    }

    /// This leader's own log is written up to an index.
    pub(crate) fn handle_own_ack(&mut self, at: usize, index: u64) -> Result<(), Fault> {
        self.handle_append_acceptance(at, self.id, index)?;
        Ok(())
    }

    /// Whether more may be committed with this leader's own log, at its place among the members, written up to an index. In nearly all rounds the
    /// peers have yet to answer, and no majority can be beyond what is committed.
    #[inline]
    pub(crate) fn own_ack_commits(&self, at: usize, index: u64) -> bool {
        let voters = &self.trk.config.voters;
        let ahead = |(place, (_, pr)): (usize, (u64, &tracker::Progress))| {
            place != at && pr.matched > self.raft_log.committed
        };
        index > self.raft_log.committed
            && (voters.is_joint()
                || voters.incoming.len() < 2
                || self.trk.progress.iter().enumerate().any(ahead))
    }

    /// The peer's log matches up to `index`. False if that is old news.
    fn handle_append_acceptance(
        &mut self,
        at: usize,
        from: u64,
        index: u64,
    ) -> Result<bool, Fault> {
        let Some((_, pr)) = self.trk.progress.get_index_mut(at) else {
            return Ok(false);
        };
        pr.recent_active = true;
        // The answer to a probe may say nothing new and yet end the probing.
        let ends_probing = pr.matched == index && pr.state == StateType::Probe;
        if !pr.maybe_update(index) && !ends_probing {
            return Ok(false);
        }
        match pr.state {
            StateType::Replicate => pr.inflights.free_le(index),
            StateType::Probe => pr.become_replicate(),
            // Whichever snapshot it took, it does if the log goes on from there.
            StateType::Snapshot => {
                if pr.matched + 1 >= self.raft_log.first_index()? {
                    log_debug!(
                        self.raft_log.logger,
                        "{:x} recovered from needing snapshot, resumed sending replication messages to {:x} [{pr}]",
                        self.id,
                        from
                    );
                    // Through probing, which takes the snapshot into account; on to replicating at once, for there may be nothing
                    // to append for a while.
                    pr.become_probe();
                    pr.become_replicate();
                }
            }
        }
        let own = from == self.id;
        // An acknowledgement of what is committed commits nothing; but a tracer is shown that it was looked at.
        let may_commit = index > self.raft_log.committed || self.tracer.is_some();
        if may_commit && self.maybe_commit()? {
            self.release_pending_read_index_messages()?;
            self.bcast_append()?;
        } else if self.batch_append {
            self.appends_due |= !own;
        } else if !own && self.can_bump_commit(at) {
            // Heartbeats would tell the commit index too, later.
            self.maybe_send_append(at, true)?;
        }
        if !own && !self.batch_append {
            // More of the window may be free now than one message fills.
            while self.lacks_entries(at) && self.maybe_send_append(at, false)? {}
        }
        if from == self.lead_transferee && self.is_up_to_date(at) {
            log_info!(
                self.raft_log.logger,
                "{:x} sent MsgTimeoutNow to {:x} after received MsgAppResp",
                self.id,
                from
            );
            self.send_timeout_now(from);
        }
        Ok(true)
    }

    #[inline]
    fn lacks_entries(&self, at: usize) -> bool {
        let member = self.trk.progress.get_index(at);
        member.is_some_and(|(_, pr)| pr.next <= self.raft_log.last_index())
    }

    #[inline]
    pub(super) fn can_bump_commit(&self, at: usize) -> bool {
        let member = self.trk.progress.get_index(at);
        member.is_some_and(|(_, pr)| pr.can_bump_commit(self.raft_log.committed))
    }

    fn is_up_to_date(&self, at: usize) -> bool {
        let member = self.trk.progress.get_index(at);
        member.is_some_and(|(_, pr)| pr.matched == self.raft_log.last_index())
    }

    /// A peer has answered a heartbeat: an append may go to it again, and it confirms reads. Go: the arm MsgHeartbeatResp of stepLeader
    pub(super) fn handle_heartbeat_response(
        &mut self,
        at: usize,
        m: &Message,
    ) -> Result<Outcome, Error> {
        let Some((_, pr)) = self.trk.progress.get_index_mut(at) else {
            return Ok(Outcome::Dropped(DropReason::NoProgress));
        };
        pr.recent_active = true;
        pr.msg_app_flow_paused = false;
        // If all in a full window was lost, this empty append brings that to light. A peer that has everything but is being probed (it was
        // reported unreachable) gets one too, whose answer ends the probing.
        if pr.matched < self.raft_log.last_index() || pr.state == StateType::Probe {
            self.maybe_send_append(at, true)?;
        }
        if self.read_only.option == ReadOnlyOption::Safe && !m.context().is_empty() {
            self.read_only.recv_ack(m.from, m.context());
            self.answer_confirmed_reads();
        }
        Ok(Outcome::Done)
    }

    /// The sending of a snapshot has ended. Go: the arm MsgSnapStatus of stepLeader
    pub(super) fn handle_snapshot_status(&mut self, at: usize, m: &Message) -> Outcome {
        let Some((_, pr)) = self.trk.progress.get_index_mut(at) else {
            return Outcome::Dropped(DropReason::NoProgress);
        };
        if pr.state != StateType::Snapshot {
            return Outcome::Dropped(DropReason::Stale);
        }
        let ended = if m.reject {
            // Probing must not start behind a snapshot that never arrived.
            pr.pending_snapshot = 0;
            "failed"
        } else {
            "succeeded"
        };
        pr.become_probe();
        log_debug!(
            self.raft_log.logger,
            "{:x} snapshot {ended}, resumed sending replication messages to {:x} [{pr}]",
            self.id,
            m.from
        );
        // The next append waits for the peer's MsgAppResp, or after a failure for its next heartbeat response.
        pr.msg_app_flow_paused = true;
        Outcome::Done
    }

    /// A message did not get to the peer. Go: the arm MsgUnreachable of stepLeader
    pub(super) fn handle_unreachable(&mut self, at: usize, m: &Message) -> Outcome {
        let Some((_, pr)) = self.trk.progress.get_index_mut(at) else {
            return Outcome::Dropped(DropReason::NoProgress);
        };
        // While replicating, probably a MsgApp is lost.
        if pr.state == StateType::Replicate {
            pr.become_probe();
        }
        log_debug!(
            self.raft_log.logger,
            "{:x} failed to send message to {:x} because it is unreachable [{pr}]",
            self.id,
            m.from
        );
        Outcome::Done
    }
}
