//! Changes of the configuration, when they are applied. Go: raft.go (applyConfChange, switchToConfig)

use super::{Raft, StateType};
use crate::confchange::{self, Changer};
use crate::logging::log_info;
use crate::raftpb::{ConfChangeV2, ConfState, NONE};
use crate::storage::Storage;
use crate::tracker::{Config, ProgressMap};
use crate::{Error, Fault};

impl<S: Storage> Raft<S> {
    /// Applies a configuration change: must be called when an entry with one is applied, unless the application calls it off (then, as in etcd, with
    /// all node ids set to 0, or not at all). Gives the new configuration, for the application's next snapshot. Afterwards ask for
    /// what is [pending](Self::pending).
    ///
    /// # Errors
    /// [`Error::ConfChange`] when the change does not fit the active configuration; nothing changed, and all nodes of the group say the same. etcd panics.
    /// [`Error::Fault`].
    ///
    /// ```
    /// # use tickraft::{Config, DropReason, Error, Outcome, Peer, Raft};
    /// # let log = slog::Logger::root(slog::Discard, slog::o!());
    /// # let mut raft = Raft::new(Config::new(1, 42), storage_mem::MemoryStorage::new(), log, None)?;
    /// use tickraft::raftpb::{ConfChangeV2, conf_changes_from_string};
    /// # raft.bootstrap(&[Peer { id: 1, ..Peer::default() }])?;
    /// let change = |s| ConfChangeV2 { changes: conf_changes_from_string(s).expect("notation"), ..ConfChangeV2::default() };
    /// let cs = raft.apply_conf_change(&change("v2 l3"))?; // two at once: by way of a joint configuration
    /// assert_eq!((cs.voters, cs.voters_outgoing, cs.learners), (vec![1, 2], vec![1], vec![3]));
    /// let cs = raft.apply_conf_change(&change(""))?; // and out of it again
    /// assert_eq!((cs.voters, cs.voters_outgoing, cs.learners), (vec![1, 2], vec![], vec![3]));
    /// assert!(matches!(raft.apply_conf_change(&change("r1 r2")), Err(Error::ConfChange(_))));
    /// assert_eq!(raft.config().to_string(), "voters=(1 2) learners=(3)");
    /// # Ok::<(), Error>(())
    /// ```
    #[doc(alias = "applyConfChange", alias = "ApplyConfChange")]
    pub fn apply_conf_change(&mut self, c: &ConfChangeV2) -> Result<ConfState, Error> {
        self.check_fault()?;
        let done = match self.changed_config(c) {
            Ok((cfg, progress)) => self.switch_to_config(cfg, progress).map_err(Error::from),
            Err(e) => Err(Error::from(e)),
        };
        self.settle(done)
    }

    /// The configuration that the change leads to.
    fn changed_config(&self, c: &ConfChangeV2) -> Result<(Config, ProgressMap), confchange::Error> {
        let changer = Changer::new(&self.trk, self.raft_log.last_index());
        if c.leave_joint() {
            changer.leave_joint()
        } else if let Some(auto_leave) = c.enter_joint() {
            changer.enter_joint(auto_leave, &c.changes)
        } else {
            changer.simple(&c.changes)
        }
    }

    /// Adopts a configuration and does what follows from it: members come and go, a quorum may have become smaller.
    #[doc(alias = "switchToConfig")]
    pub(super) fn switch_to_config(
        &mut self,
        cfg: Config,
        progress: ProgressMap,
    ) -> Result<ConfState, Fault> {
        self.trace_conf_change_event(&cfg);
        self.trk.config = cfg;
        self.trk.progress = progress;
        log_info!(
            self.raft_log.logger,
            "{:x} switched to configuration {}",
            self.id,
            self.trk.config
        );
        let cs = self.trk.conf_state();
        let own = self.trk.progress.get(self.id).map(|pr| pr.is_learner);
        // A node that was removed is no learner.
        self.is_learner = own == Some(true);

        if own != Some(false) && self.state == StateType::Leader {
            // Removed or demoted. Without the option it leads on, until others elect another.
            if self.step_down_on_removal {
                self.become_follower(self.term, NONE);
            }
            return Ok(cs);
        }
        if self.state != StateType::Leader || cs.voters.is_empty() {
            return Ok(cs);
        }
        if self.maybe_commit()? {
            self.release_pending_read_index_messages()?;
            self.bcast_append()?;
        } else {
            // New members need not wait for a heartbeat or a proposal.
            for at in 0..self.trk.progress.len() {
                if self.trk.progress.ids().get(at) != Some(&self.id) {
                    self.maybe_send_append(at, false)?;
                }
            }
        }
        if self.lead_transferee != NONE && !self.trk.config.voters.contains(self.lead_transferee) {
            self.abort_leader_transfer();
        }
        Ok(cs)
    }
}
