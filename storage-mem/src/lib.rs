//! MemoryStorage: a Raft log in memory, shared between threads. Go: storage.go (MemoryStorage)
//!
//! **Use this crate** for tests, simulations, and groups whose members are replaced rather than restarted. **Do not** use it where a node
//! must come back after a crash: what it acknowledged is gone, and a node that forgets its vote breaks Raft's safety. Take
//! `tickraft-storage-wal` there.
//!
//! A [`MemoryStorage`] is a handle: the core owns one clone, whoever writes and compacts owns others, on any thread. What etcd's panics
//! on (a gap, an index beyond the log) is an [`Error`] here, and the state is as it was.
//!
//! ```
//! use tickraft_storage_mem::MemoryStorage;
//! use tickraft_storage_mem::storage::raftpb::{ConfState, Entry, NO_LIMIT};
//! use tickraft_storage_mem::storage::{Error, Storage};
//!
//! # fn main() -> Result<(), Error> {
//! let core = MemoryStorage::new();
//! let application = core.clone();
//! application.append(&(1..=5).map(|i| Entry::new(1, i, "x")).collect())?;
//! assert_eq!((core.first_index()?, core.last_index()?), (1, 5));
//!
//! let voters = ConfState { voters: vec![1, 2, 3], ..ConfState::default() };
//! application.create_snapshot(4, Some(voters), "state at 4")?;
//! application.compact(3)?;
//! assert_eq!(core.entries(4, 6, NO_LIMIT)?.len(), 2);
//! assert_eq!(core.entries(3, 6, NO_LIMIT), Err(Error::Compacted));
//! assert_eq!(core.term(3)?, 1);
//! # Ok(())
//! # }
//! ```
//!
//! # Memory
//!
//! Entries are kept as shared blocks, in the blocks in which they arrive: nothing is copied on the way in or out. Only
//! the entries of runs of fewer than 16 are copied (payloads stay shared) and become a block, 64 at a time, so that a long log of single
//! proposals is read in few pieces; until then a read copies them again. Compaction and truncation drop whole blocks; a block that is cut is
//! copied when what was cut off weighs more than the rest, so that the log pins at most twice what it holds, beside what its callers' own views and
//! frames pin.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod log;
#[cfg(test)]
mod tests;

pub use storage;

use log::Log;
use parking_lot::RwLock;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use storage::raftpb::bytes::Bytes;
use storage::raftpb::{ConfState, Entries, HardState, Snapshot};
use storage::{Error, Storage, Write, Writer};

/// A log, hard state and snapshot in memory. Clones are handles of one store. Go: MemoryStorage
///
/// The inherent methods are Go's, and take `&self`. As a [`Writer`] it takes whole Writes; call that as
/// `Writer::append(&mut handle, &write)`. It is durable as long as a handle lives: [`Writer::sync`] has nothing to do.
///
/// [`Storage::first_index`] takes no lock. Reads share one lock, held for a binary search and as many reference counts as blocks are
/// handed out.
#[derive(Clone, Default)]
pub struct MemoryStorage(Arc<Shared>);

struct Shared {
    /// Equal to `state.log.first()` whenever no one is writing; stored while the lock is held.
    first_index: AtomicU64,
    state: RwLock<State>,
}

#[derive(Debug, Default)]
struct State {
    hard_state: HardState,
    snapshot: Snapshot,
    log: Log,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            first_index: AtomicU64::new(1),
            state: RwLock::default(),
        }
    }
}

impl MemoryStorage {
    /// An empty log. Go: NewMemoryStorage
    #[must_use]
    #[doc(alias = "NewMemoryStorage")]
    pub fn new() -> Self {
        Self::default()
    }

    /// Stores the hard state as it is. Go: SetHardState
    ///
    /// ```
    /// use tickraft_storage_mem::MemoryStorage;
    /// use tickraft_storage_mem::storage::{Storage, raftpb::HardState};
    /// let s = MemoryStorage::new();
    /// let hs = HardState { term: 2, vote: 1, commit: 0 };
    /// s.set_hard_state(hs);
    /// assert_eq!(s.initial_state().unwrap().0, hs);
    /// ```
    pub fn set_hard_state(&self, hs: HardState) {
        self.0.state.write().hard_state = hs;
    }

    /// Appends entries; they replace what the log holds from the first one's index on, and those below the first index are
    /// skipped. Go: Append
    ///
    /// # Errors
    /// [`Error::OutOfRange`], with nothing changed: they leave a gap behind the last index or do not follow each other, or an index is
    /// `u64::MAX`.
    ///
    /// ```
    /// use tickraft_storage_mem::MemoryStorage;
    /// use tickraft_storage_mem::storage::{Error, Storage, raftpb::Entry};
    /// let s = MemoryStorage::new();
    /// s.append(&vec![Entry::new(1, 1, "a"), Entry::new(1, 2, "b")].into()).unwrap();
    /// s.append(&vec![Entry::new(2, 2, "c")].into()).unwrap();
    /// assert_eq!((s.last_index(), s.term(2)), (Ok(2), Ok(2)));
    /// let gap = s.append(&vec![Entry::new(2, 4, "d")].into());
    /// assert_eq!(gap, Err(Error::OutOfRange { index: 4, first: 1, last: 3 }));
    /// ```
    pub fn append(&self, entries: &Entries) -> Result<(), Error> {
        self.0.state.write().log.try_append(entries)
    }

    /// Replaces the whole log by a snapshot. Go: ApplySnapshot
    ///
    /// A log that never held anything takes a snapshot of index 0 and term 0 for its configuration.
    ///
    /// # Errors
    /// With nothing changed: [`Error::SnapshotOutOfDate`] when the stored one is at its index or beyond, or the log is compacted
    /// beyond it; [`Error::TermMismatch`] for a term at index 0; [`Error::OutOfRange`] for index `u64::MAX`.
    ///
    /// ```
    /// use tickraft_storage_mem::MemoryStorage;
    /// use tickraft_storage_mem::storage::{Error, Storage, raftpb::Snapshot};
    /// let mut snapshot = Snapshot::default();
    /// snapshot.metadata.conf_state.voters = vec![1, 2, 3];
    /// let s = MemoryStorage::new();
    /// s.apply_snapshot(&snapshot).unwrap();
    /// assert_eq!(s.initial_state().unwrap().1.voters, [1, 2, 3]);
    /// (snapshot.metadata.index, snapshot.metadata.term) = (7, 2);
    /// s.apply_snapshot(&snapshot).unwrap();
    /// assert_eq!((s.first_index(), s.last_index(), s.term(7)), (Ok(8), Ok(7), Ok(2)));
    /// assert_eq!(s.apply_snapshot(&snapshot), Err(Error::SnapshotOutOfDate));
    /// ```
    pub fn apply_snapshot(&self, s: &Snapshot) -> Result<(), Error> {
        let old = {
            let mut state = self.0.state.write();
            state.check_received(s)?;
            self.install(&mut state, s)
        };
        drop(old);
        Ok(())
    }

    /// Stores the application's own snapshot at `index`; the log stays. Returns it as [`Storage::snapshot`] will. `conf_state` is the
    /// result of the last configuration change since the newest snapshot, `None` where there was none. Go: CreateSnapshot
    ///
    /// # Errors
    /// With nothing changed: [`Error::SnapshotOutOfDate`] when one of this index or a newer one is stored, [`Error::Compacted`]
    /// below first index − 1, [`Error::OutOfRange`] beyond the last index (etcd panics).
    ///
    /// ```
    /// use tickraft_storage_mem::MemoryStorage;
    /// use tickraft_storage_mem::storage::{Error, raftpb::Entry};
    /// let s = MemoryStorage::new();
    /// s.append(&vec![Entry::new(3, 1, "a")].into()).unwrap();
    /// assert_eq!(s.create_snapshot(1, None, "state").unwrap().metadata.term, 3);
    /// assert_eq!(s.create_snapshot(1, None, "state"), Err(Error::SnapshotOutOfDate));
    /// assert_eq!(s.create_snapshot(9, None, ""), Err(Error::OutOfRange { index: 9, first: 2, last: 1 }));
    /// ```
    pub fn create_snapshot(
        &self,
        index: u64,
        conf_state: Option<ConfState>,
        data: impl Into<Bytes>,
    ) -> Result<Snapshot, Error> {
        let mut state = self.0.state.write();
        state.check_own(index)?;
        let term = state.log.term(index)?;
        state.snapshot.metadata.index = index;
        state.snapshot.metadata.term = term;
        if let Some(cs) = conf_state {
            state.snapshot.metadata.conf_state = cs;
        }
        state.snapshot.data = data.into();
        Ok(state.snapshot.clone())
    }

    /// Lets go of the entries up to and including `index`; the term at `index` stays known. It is the application's duty to
    /// have applied them, and to have a snapshot at `index` or beyond for followers that still need them. Go: Compact
    ///
    /// # Errors
    /// With nothing changed: [`Error::Compacted`] when that is done already, [`Error::OutOfRange`] beyond the last index (etcd panics).
    ///
    /// ```
    /// use tickraft_storage_mem::MemoryStorage;
    /// use tickraft_storage_mem::storage::{Error, Storage, raftpb::Entry};
    /// let s = MemoryStorage::new();
    /// s.append(&(1..=3).map(|i| Entry::new(1, i, "x")).collect()).unwrap();
    /// s.compact(2).unwrap();
    /// assert_eq!((s.first_index(), s.term(2), s.term(1)), (Ok(3), Ok(1), Err(Error::Compacted)));
    /// assert_eq!(s.compact(2), Err(Error::Compacted));
    /// assert_eq!(s.compact(4), Err(Error::OutOfRange { index: 4, first: 3, last: 3 }));
    /// ```
    pub fn compact(&self, index: u64) -> Result<(), Error> {
        let released = {
            let mut state = self.0.state.write();
            let log = &mut state.log;
            let (first, last) = (log.first(), log.last());
            if index < first {
                return Err(Error::Compacted);
            }
            if index > last {
                return Err(Error::OutOfRange { index, first, last });
            }
            let term = log.term(index)?;
            let released = log.compact(index, term);
            self.publish(&state);
            released
        };
        // Freeing thousands of entries takes a while; readers need not wait for it.
        drop(released);
        Ok(())
    }

    /// Takes a Write with a snapshot whole, or not at all.
    #[cold]
    fn append_behind(&self, s: &Snapshot, w: &Write) -> Result<(), Error> {
        let old = {
            let mut state = self.0.state.write();
            state.check_received(s)?;
            let index = s.metadata.index;
            Log::check(&w.entries, index + 1, index)?;
            let old = self.install(&mut state, s);
            state.log.append(&w.entries);
            state.hard_state = w.hard_state.unwrap_or(state.hard_state);
            old
        };
        drop(old);
        Ok(())
    }

    /// Puts a snapshot that was checked in the log's place; the old log is the caller's to drop after unlocking.
    fn install(&self, state: &mut State, s: &Snapshot) -> (Log, Snapshot) {
        let log = Log::behind(s.metadata.index, s.metadata.term);
        let old = std::mem::replace(&mut state.log, log);
        let old_snapshot = std::mem::replace(&mut state.snapshot, s.clone());
        self.publish(state);
        (old, old_snapshot)
    }

    /// To be called with the lock held, so that a reader who sees the new first index finds the rest of the change behind the lock.
    fn publish(&self, state: &State) {
        let first = state.log.first();
        self.0.first_index.store(first, Ordering::Release);
    }
}

impl State {
    /// Whether a snapshot from the leader may replace the log.
    fn check_received(&self, s: &Snapshot) -> Result<(), Error> {
        let (index, term) = (s.metadata.index, s.metadata.term);
        if index == 0 {
            if !self.log.is_new() {
                return Err(Error::SnapshotOutOfDate);
            }
            if term != 0 {
                let expected = 0;
                return Err(Error::TermMismatch {
                    index,
                    term,
                    expected,
                });
            }
            return Ok(());
        }
        if index <= self.snapshot.metadata.index || index < self.log.first() - 1 {
            return Err(Error::SnapshotOutOfDate);
        }
        if index == u64::MAX {
            let (first, last) = (self.snapshot.metadata.index + 1, u64::MAX - 1);
            return Err(Error::OutOfRange { index, first, last });
        }
        Ok(())
    }

    /// Whether the application may store a snapshot of its own at an index.
    fn check_own(&self, index: u64) -> Result<(), Error> {
        if index <= self.snapshot.metadata.index {
            return Err(Error::SnapshotOutOfDate);
        }
        let last = self.log.last();
        if index > last {
            let first = (self.snapshot.metadata.index + 1).max(self.log.first() - 1);
            return Err(Error::OutOfRange { index, first, last });
        }
        Ok(())
    }
}

impl Storage for MemoryStorage {
    fn initial_state(&self) -> Result<(HardState, ConfState), Error> {
        let state = self.0.state.read();
        Ok((state.hard_state, state.snapshot.metadata.conf_state.clone()))
    }

    #[inline]
    fn entries(&self, lo: u64, hi: u64, max_size: u64) -> Result<Entries, Error> {
        self.0.state.read().log.entries(lo, hi, max_size)
    }

    #[inline]
    fn term(&self, index: u64) -> Result<u64, Error> {
        self.0.state.read().log.term(index)
    }

    #[inline]
    fn first_index(&self) -> Result<u64, Error> {
        Ok(self.0.first_index.load(Ordering::Acquire))
    }

    #[inline]
    fn last_index(&self) -> Result<u64, Error> {
        // Behind the lock and not in an atomic: two atomics could show a new first index with an old last one.
        Ok(self.0.state.read().log.last())
    }

    fn snapshot(&self) -> Result<Snapshot, Error> {
        Ok(self.0.state.read().snapshot.clone())
    }
}

impl Writer for MemoryStorage {
    #[inline]
    fn append(&mut self, w: &Write) -> Result<(), Error> {
        if let Some(s) = &w.snapshot {
            return self.append_behind(s, w);
        }
        let mut state = self.0.state.write();
        if !w.entries.is_empty() {
            state.log.try_append(&w.entries)?;
        }
        if let Some(hs) = w.hard_state {
            state.hard_state = hs;
        }
        Ok(())
    }

    #[inline]
    fn sync(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn save_snapshot(&mut self, s: &Snapshot) -> Result<(), Error> {
        let (index, term) = (s.metadata.index, s.metadata.term);
        let old = {
            let mut state = self.0.state.write();
            state.check_own(index)?;
            match state.log.term(index) {
                Ok(expected) if expected != term => {
                    return Err(Error::TermMismatch {
                        index,
                        term,
                        expected,
                    });
                }
                Err(_) => return Err(Error::SnapshotOutOfDate),
                Ok(_) => std::mem::replace(&mut state.snapshot, s.clone()),
            }
        };
        drop(old);
        Ok(())
    }

    fn compact(&mut self, index: u64) -> Result<(), Error> {
        MemoryStorage::compact(self, index)
    }
}

/// Bounds and states, not the log: it may be long.
impl std::fmt::Debug for MemoryStorage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.0.state.read();
        f.debug_struct("MemoryStorage")
            .field("first_index", &state.log.first())
            .field("last_index", &state.log.last())
            .field("hard_state", &state.hard_state)
            .field("snapshot", &state.snapshot.metadata)
            .finish()
    }
}
