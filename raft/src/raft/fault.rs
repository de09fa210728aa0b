//! What becomes of a node whose storage failed, and the end of every call. Go: the panics of log.go

use super::Raft;
use crate::logging::log_error;
use crate::storage::{self, Storage};
use crate::{Error, Fault};

impl<S: Storage> Raft<S> {
    /// The driver could not write: the node stops, as if its own reading had failed. The first fault is kept.
    ///
    /// ```
    /// # use tickraft::{Config, DropReason, Error, Outcome, Peer, Raft};
    /// # let log = slog::Logger::root(slog::Discard, slog::o!());
    /// # let mut raft = Raft::new(Config::new(1, 42), storage_mem::MemoryStorage::new(), log, None)?;
    /// use tickraft::storage;
    /// raft.fail(storage::Error::NoSpace);
    /// let fault = raft.fault().expect("it is kept").clone();
    /// assert_eq!(fault.storage_error(), &storage::Error::NoSpace);
    /// assert_eq!(raft.tick(), Err(Error::Fault(fault)));
    /// assert_eq!(raft.basic_status().id, 1, "the status still answers");
    /// # Ok::<(), Error>(())
    /// ```
    pub fn fail(&mut self, e: storage::Error) {
        if self.fault.is_none() {
            self.keep(Fault::new("writing", e));
        }
    }

    /// Why the node stopped; `None` while it goes on.
    #[must_use]
    pub fn fault(&self) -> Option<&Fault> {
        self.fault.as_deref()
    }

    /// A node that stopped does nothing any more.
    #[inline]
    pub(crate) fn check_fault(&self) -> Result<(), Error> {
        match &self.fault {
            None => Ok(()),
            Some(f) => Err(Error::Fault((**f).clone())),
        }
    }

    #[cold]
    fn keep(&mut self, f: Fault) {
        log_error!(self.raft_log.logger, "{:x} stopped: {f}", self.id);
        self.fault = Some(Box::new(f));
        self.quiet = false;
    }

    /// The end of every call that can change the node: keeps a fault, and in debug builds checks the invariants.
    #[inline]
    pub(crate) fn settle<T>(&mut self, done: Result<T, Error>) -> Result<T, Error> {
        match done {
            Ok(done) => {
                self.changed();
                Ok(done)
            }
            Err(e) => Err(self.settle_error(e)),
        }
    }

    /// The same for an error. Apart, because a result of 48 bytes is copied else, in pieces, also where it holds nothing.
    #[inline(never)]
    pub(crate) fn settle_error(&mut self, e: Error) -> Error {
        if let Error::Fault(f) = &e
            && self.fault.is_none()
        {
            self.keep(f.clone());
        }
        self.changed();
        e
    }

    /// The same for a call without an error: what the driver heard last may be true no more.
    #[inline]
    pub(crate) fn changed(&mut self) {
        self.quiet = false;
        self.check_in_debug();
    }

    /// In debug builds, checks the invariants.
    #[inline]
    pub(crate) fn check_in_debug(&self) {
        #[cfg(debug_assertions)]
        if self.fault.is_none()
            && let Err(broken) = self.check_invariants()
        {
            panic!("{:x}: {broken}", self.id);
        }
    }
}
