//! The first start of a group. Go: bootstrap.go

use crate::raftpb::{
    ConfChange, ConfChangeI, Entry, HardState, NONE, is_local_msg_target, marshal_conf_change,
};
use crate::storage::Storage;
use crate::{Error, Fault, Peer, Raft};

impl<S: Storage> Raft<S> {
    /// Makes these peers the first members: a configuration change for each is appended and counts as committed. All first members must be
    /// given the same peers in the same order. The application applies the changes again as it finds them among the committed entries.
    ///
    /// It is better to start from a storage with a ConfState and, for later comers, a first index above 1.
    ///
    /// # Errors
    /// [`Error::NoPeers`], [`Error::NonemptyStorage`] when the node has a log or a term already, [`Error::Config`] for a peer whose id no node can have;
    /// nothing changed. [`Error::Fault`].
    ///
    /// ```
    /// # use tickraft::{Config, DropReason, Error, Outcome, Peer, Raft};
    /// # let log = slog::Logger::root(slog::Discard, slog::o!());
    /// # let mut raft = Raft::new(Config::new(1, 42), storage_mem::MemoryStorage::new(), log, None)?;
    /// let peers: Vec<_> = (1..=3).map(|id| Peer { id, context: format!("10.0.0.{id}").into() }).collect();
    /// raft.bootstrap(&peers)?;
    /// assert_eq!(raft.config().to_string(), "voters=(1 2 3)");
    /// assert_eq!(raft.hard_state().commit, 3, "a change for each");
    /// assert_eq!(raft.bootstrap(&peers), Err(Error::NonemptyStorage));
    /// # Ok::<(), Error>(())
    /// ```
    #[doc(alias = "Bootstrap")]
    pub fn bootstrap(&mut self, peers: &[Peer]) -> Result<(), Error> {
        self.check_fault()?;
        let done = self
            .check_bootstrap(peers)
            .and_then(|()| self.append_peers(peers));
        self.settle(done)
    }

    fn check_bootstrap(&self, peers: &[Peer]) -> Result<(), Error> {
        if peers.is_empty() {
            return Err(Error::NoPeers);
        }
        let last = self.storage().last_index();
        let last = last.map_err(|e| Fault::new("reading the last index", e))?;
        if last != 0 || self.raft_log.last_index() != 0 || self.term > 1 {
            return Err(Error::NonemptyStorage);
        }
        let reason = match peers
            .iter()
            .find(|p| p.id == NONE || is_local_msg_target(p.id))
        {
            None => return Ok(()),
            Some(p) if p.id == NONE => "cannot use none as id",
            Some(_) => "cannot use local target as id",
        };
        Err(Error::Config {
            field: "peers",
            reason,
        })
    }

    fn append_peers(&mut self, peers: &[Peer]) -> Result<(), Error> {
        // Nothing of this is written yet: the first batch has a hard state.
        self.prev_hard_state = HardState::default();
        self.become_follower(1, NONE);
        let changes: Vec<_> = peers
            .iter()
            .map(|p| ConfChange {
                node_id: p.id,
                context: p.context.clone(),
                ..ConfChange::default()
            })
            .collect();
        let entries = (1..).zip(&changes).map(|(index, cc)| {
            let (entry_type, data) = marshal_conf_change(Some(cc));
            Entry {
                term: 1,
                index,
                entry_type: Some(entry_type),
                data,
            }
        });
        self.raft_log.append(entries.collect());
        // They count as committed at once, so that the node can campaign. They are applied here, after the append, so that progress begins
        // behind them, and once more by the application: applied stays at 0 for that.
        self.raft_log.commit_to(self.raft_log.last_index());
        for cc in &changes {
            self.apply_conf_change(&cc.as_v2())?;
        }
        Ok(())
    }
}
