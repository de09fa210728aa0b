//! What holds between any two calls: what raft.go says in comments, checked. Go: none

use super::{Raft, StateType};
use crate::confchange;
use crate::raftpb::{MessageType, NONE};
use crate::storage::Storage;

impl<S: Storage> Raft<S> {
    /// Checks what must hold between any two calls, without reading the storage. Debug builds do so after every call that can change the node, and
    /// panic; tests and simulators may at any time. Nothing is promised once the node [stopped](Self::fault).
    ///
    /// # Errors
    /// What does not hold, in words: a bug of this crate.
    pub fn check_invariants(&self) -> Result<(), String> {
        if self.quiet && !self.nothing_due() {
            return Err("there is something to do for the driver, who will not be told".into());
        }
        self.raft_log.check_invariants()?;
        self.check_role()?;
        self.check_hard_state()?;
        self.check_messages()?;
        confchange::check_invariants(&self.trk.config, &self.trk.progress)
            .map_err(|e| format!("configuration {}: {e}", self.trk.config))?;
        self.check_progress()
    }

    fn check_role(&self) -> Result<(), String> {
        let ok = match self.state {
            StateType::Leader => self.lead == self.id,
            StateType::Candidate => self.lead == NONE && self.vote == self.id,
            StateType::PreCandidate => self.lead == NONE,
            StateType::Follower => self.lead != self.id,
        };
        if !ok {
            return Err(format!(
                "{} with leader {:x} and vote {:x}",
                self.state, self.lead, self.vote
            ));
        }
        if self.state != StateType::Leader && self.lead_transferee != NONE {
            return Err(format!("{} transfers leadership", self.state));
        }
        let own = self.trk.progress.get(self.id);
        if self.is_learner != own.is_some_and(|pr| pr.is_learner) {
            return Err("whether this node is a learner is out of date".into());
        }
        Ok(())
    }

    /// Term and commit index never fall, and a vote is not changed within a term.
    fn check_hard_state(&self) -> Result<(), String> {
        let (was, is) = (&self.prev_hard_state, self.hard_state());
        let revoked = is.term == was.term && was.vote != NONE && is.vote != was.vote;
        if is.term < was.term || is.commit < was.commit || revoked {
            return Err(format!("hard state went from {was:?} to {is:?}"));
        }
        Ok(())
    }

    fn check_messages(&self) -> Result<(), String> {
        use MessageType::*;
        let waits = |t| matches!(t, MsgAppResp | MsgVoteResp | MsgPreVoteResp);
        if let Some(m) = self
            .msgs
            .iter()
            .find(|m| m.to == self.id || waits(m.msg_type))
        {
            return Err(format!(
                "{} to {:x} may not leave at once",
                m.msg_type, m.to
            ));
        }
        if let Some(m) = self.msgs_after_append.iter().find(|m| !waits(m.msg_type)) {
            return Err(format!("{} need not wait for a write", m.msg_type));
        }
        let u = &self.raft_log.unstable;
        let parts = &self.tail_parts;
        let within = |lo, hi| u.offset <= lo && lo < hi && hi <= u.end();
        if !parts
            .iter()
            .all(|p| p.at < self.msgs.len() && within(p.lo, p.hi))
        {
            return Err("a message carries entries that are gone".into());
        }
        Ok(())
    }

    fn check_progress(&self) -> Result<(), String> {
        if self.state != StateType::Leader {
            return Ok(());
        }
        let last = self.raft_log.last_index();
        for (id, pr) in &self.trk.progress {
            pr.check_invariants().map_err(|e| format!("{id:x}: {e}"))?;
            if pr.matched > last || pr.next > last + 1 {
                return Err(format!("{id:x}: {pr} beyond last index {last}"));
            }
        }
        Ok(())
    }
}
