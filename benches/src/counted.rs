//! How often the core asks its storage. Go: inMemStorageCallStats in storage.go

use rawnode::raftpb::{ConfState, Entries, HardState, Snapshot};
use rawnode::storage::{Error, Storage};
use std::cell::Cell;
use std::rc::Rc;

/// How often each method of a storage was called. Go: inMemStorageCallStats
#[doc(alias = "inMemStorageCallStats")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallStats {
    /// Calls of `initial_state`.
    pub initial_state: u64,
    /// Calls of `first_index`.
    pub first_index: u64,
    /// Calls of `last_index`.
    pub last_index: u64,
    /// Calls of `entries`.
    pub entries: u64,
    /// Calls of `term`.
    pub term: u64,
    /// Calls of `snapshot`.
    pub snapshot: u64,
}

/// A storage whose reads are counted. Clones count together.
///
/// ```
/// use benches::counted::Counted;
/// use rawnode::storage::Storage;
/// let s = Counted::new(storage_mem::MemoryStorage::new());
/// let _ = (s.clone().first_index(), s.first_index(), s.term(0));
/// assert_eq!((s.stats().first_index, s.stats().term), (2, 1));
/// ```
#[derive(Clone, Debug)]
pub struct Counted<S> {
    inner: S,
    stats: Rc<Cell<CallStats>>,
}

impl<S> Counted<S> {
    /// Counts the reads of a storage from now on.
    pub fn new(inner: S) -> Self {
        Self {
            inner,
            stats: Rc::default(),
        }
    }

    /// The calls so far.
    #[must_use]
    pub fn stats(&self) -> CallStats {
        self.stats.get()
    }

    fn count(&self, add: impl FnOnce(&mut CallStats)) -> &S {
        let mut stats = self.stats.get();
        add(&mut stats);
        self.stats.set(stats);
        &self.inner
    }
}

impl<S: Storage> Storage for Counted<S> {
    fn initial_state(&self) -> Result<(HardState, ConfState), Error> {
        self.count(|s| s.initial_state += 1).initial_state()
    }

    fn entries(&self, lo: u64, hi: u64, max_size: u64) -> Result<Entries, Error> {
        self.count(|s| s.entries += 1).entries(lo, hi, max_size)
    }

    fn term(&self, index: u64) -> Result<u64, Error> {
        self.count(|s| s.term += 1).term(index)
    }

    fn first_index(&self) -> Result<u64, Error> {
        self.count(|s| s.first_index += 1).first_index()
    }

    fn last_index(&self) -> Result<u64, Error> {
        self.count(|s| s.last_index += 1).last_index()
    }

    fn snapshot(&self) -> Result<Snapshot, Error> {
        self.count(|s| s.snapshot += 1).snapshot()
    }
}
