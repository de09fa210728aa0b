//! A node's storage as scripts see it: the log in memory, snapshots from the application's history. Go: snapOverrideStorage

use raft::raftpb::{ConfState, Entries, HardState, Snapshot};
use raft::storage::{Error, Storage};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use storage_mem::MemoryStorage;

/// [`MemoryStorage`], but for the snapshot: whoever asks gets the application's newest state, and that of a restarted node's
/// configuration. Clones share all of it.
#[derive(Clone, Debug)]
#[doc(alias = "snapOverrideStorage")]
pub struct ScriptStorage {
    pub(super) log: MemoryStorage,
    application: Arc<Mutex<Application>>,
}

/// What the node's application keeps. It is durable: a restart does not lose it.
#[derive(Clone, Debug)]
struct Application {
    /// The state after each entry, oldest first; never empty. Go: Node.History
    history: Vec<Snapshot>,
    /// What is applied, by entries or by a snapshot from the leader. The history does not know of the latter: etcd's handler leaves them
    /// out, and what it sends later shows it.
    index: u64,
    /// The configuration at that index.
    conf_state: ConfState,
    /// Whether the node was restarted: only then it starts from the application's configuration rather than the storage's.
    restarted: bool,
}

impl ScriptStorage {
    /// An empty log, and an application at `snapshot`.
    pub(super) fn new(snapshot: Snapshot) -> Self {
        let application = Application {
            index: snapshot.metadata.index,
            conf_state: snapshot.metadata.conf_state.clone(),
            history: vec![snapshot],
            restarted: false,
        };
        Self {
            log: MemoryStorage::new(),
            application: Arc::new(Mutex::new(application)),
        }
    }

    /// The application's newest state.
    pub(crate) fn newest(&self) -> Snapshot {
        self.lock().history.last().cloned().unwrap_or_default()
    }

    /// What the application has applied.
    pub(crate) fn applied(&self) -> u64 {
        self.lock().index
    }

    /// Notes the state after an entry. What was still being applied when a snapshot came is in that.
    pub(super) fn record(&self, snapshot: Snapshot, conf_state: Option<ConfState>) {
        let mut application = self.lock();
        if application.index < snapshot.metadata.index {
            application.index = snapshot.metadata.index;
            if let Some(conf_state) = conf_state {
                application.conf_state = conf_state;
            }
        }
        application.history.push(snapshot);
    }

    /// Notes that a snapshot from the leader was stored.
    pub(super) fn restored(&self, snapshot: &Snapshot) {
        let mut application = self.lock();
        application.index = snapshot.metadata.index;
        application.conf_state = snapshot.metadata.conf_state.clone();
    }

    /// From now on the node starts from the application's configuration. What was applied is committed, whether the hard state was
    /// written in time to say so or not.
    pub(super) fn restart(&self) -> Result<(), Error> {
        let mut application = self.lock();
        application.restarted = true;
        let (hs, _) = self.log.initial_state()?;
        if hs != HardState::default() && hs.commit < application.index {
            self.log.set_hard_state(HardState {
                commit: application.index,
                ..hs
            });
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Application> {
        self.application
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Storage for ScriptStorage {
    fn initial_state(&self) -> Result<(HardState, ConfState), Error> {
        let (hs, conf_state) = self.log.initial_state()?;
        let application = self.lock();
        if application.restarted {
            return Ok((hs, application.conf_state.clone()));
        }
        Ok((hs, conf_state))
    }

    fn entries(&self, lo: u64, hi: u64, max_size: u64) -> Result<Entries, Error> {
        self.log.entries(lo, hi, max_size)
    }

    fn term(&self, index: u64) -> Result<u64, Error> {
        self.log.term(index)
    }

    fn first_index(&self) -> Result<u64, Error> {
        self.log.first_index()
    }

    fn last_index(&self) -> Result<u64, Error> {
        self.log.last_index()
    }

    fn snapshot(&self) -> Result<Snapshot, Error> {
        Ok(self.newest())
    }
}
