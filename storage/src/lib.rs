//! What a Raft core asks of a log: the read half, the write half, and their errors. Go: storage.go (interface)
//!
//! **Use this crate** to write a storage of your own, or to hold any storage behind one trait. **Do not** look here for a storage:
//! `tickraft-storage-mem` keeps a log in memory, `tickraft-storage-wal` on disk.
//!
//! The two halves are separate because they live on different threads: the core reads through [`Storage`] (`&self`) while
//! another thread writes through [`Writer`]. A storage is therefore usually a handle that is cheap to clone.
//!
//! Behind the feature `testing` there is a conformance suite that an implementer runs from a three-line test: `testing::conformance`.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod error;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use error::Error;
pub use raftpb;

use raftpb::{ConfState, Entries, HardState, Snapshot};

/// The read half: what the core reads. Go: Storage
///
/// A log holds the entries from its first index to its last, without gaps, and knows the term of one index more: the entry before the
/// first, which the newest compaction or installed snapshot replaced (index 0, term 0 in a new log).
///
/// The core calls it from its own thread at any time, also while a [`Writer`] is writing from another. Each call sees the log
/// before or after one Write, never in between, and what was appended at once, synced or not.
///
/// [`Error::Compacted`], [`Error::Unavailable`] (beyond the last index) and [`Error::SnapshotTemporarilyUnavailable`] are answers.
/// Any other error is a fault: the core keeps it and the node stops.
///
/// The writer keeps promises that the core rests on: the first index never goes down while the storage is open, a committed entry never
/// changes, and an entry leaves the log only by [`Writer::compact`], an installed snapshot or being overwritten.
pub trait Storage {
    /// The hard state last written and the configuration of the newest snapshot; both default when nothing was ever stored. After a
    /// reopen it is what the last sync made durable, or newer; the commit index may then be raised to the newest snapshot's, which
    /// is committed.
    ///
    /// # Errors
    /// Any error keeps the node from starting.
    fn initial_state(&self) -> Result<(HardState, ConfState), Error>;

    /// The entries `lo..hi` (`hi` excluded), cut to `max_size` encoded bytes ([`raftpb::Entry::size`]), but at least one where
    /// `lo < hi`. An implementation may return fewer than fit, never none. An empty range within the log has no entries.
    ///
    /// # Errors
    /// [`Error::Compacted`] when `lo` is below the first index; else [`Error::Unavailable`] when `hi` is beyond last index + 1
    /// (etcd's MemoryStorage panics there); else [`Error::OutOfRange`] when `lo > hi`.
    fn entries(&self, lo: u64, hi: u64, max_size: u64) -> Result<Entries, Error>;

    /// The term of the entry at `index`, which may be anything from first index − 1 (kept for matching) to the last.
    ///
    /// # Errors
    /// [`Error::Compacted`] below that range, [`Error::Unavailable`] above it.
    fn term(&self, index: u64) -> Result<u64, Error>;

    /// The first index whose entry can be read; last index + 1 when there are no entries, 1 in a new log. Cheap: it is asked often,
    /// because the application may compact at any time.
    ///
    /// # Errors
    /// Faults only.
    fn first_index(&self) -> Result<u64, Error>;

    /// The last index of the log; first index − 1 when there are no entries, 0 in a new log. Below `u64::MAX`.
    ///
    /// # Errors
    /// Faults only.
    fn last_index(&self) -> Result<u64, Error>;

    /// The newest snapshot, received or the application's own, for a follower that is behind the log. An empty one (index 0) where
    /// there is none. Compaction leaves it alone.
    ///
    /// # Errors
    /// [`Error::SnapshotTemporarilyUnavailable`] when it is being prepared: the core asks again later.
    fn snapshot(&self) -> Result<Snapshot, Error>;
}

/// What one Ready asks to be made durable. Go: the HardState, Entries, Snapshot and MustSync of a Ready
///
/// ```
/// use tickraft_storage::Write;
/// use tickraft_storage::raftpb::{Entry, HardState};
/// let w = Write {
///     entries: vec![Entry::new(1, 1, "x")].into(),
///     hard_state: Some(HardState { term: 1, vote: 1, commit: 0 }),
///     must_sync: true,
///     ..Write::default()
/// };
/// assert!(!w.is_empty());
/// assert!(Write::default().is_empty());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Write {
    /// The new hard state, if it changed.
    pub hard_state: Option<HardState>,
    /// A snapshot received from the leader; it replaces the whole log, the entries behind its index too.
    pub snapshot: Option<Snapshot>,
    /// Entries to append; they replace what the log holds from the first one's index on.
    pub entries: Entries,
    /// Whether the next messages depend on this being durable: [`Writer::sync`] before they leave. False when only the commit index
    /// moved. Advice to the driver; a writer keeps a Write the same way whatever it says. Go: MustSync
    pub must_sync: bool,
}

impl Write {
    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.hard_state.is_none() && self.snapshot.is_none() && self.entries.is_empty()
    }
}

/// The write half: what the driver of a node writes.
///
/// Calls come in order, from one thread at a time.
///
/// A call that is refused with [`Error::Compacted`], [`Error::SnapshotOutOfDate`], [`Error::OutOfRange`], [`Error::TermMismatch`] or
/// [`Error::NoSpace`] changed nothing, not even in part, and the writer goes on. After any other error it is not used again.
pub trait Writer {
    /// Takes the parts of one [`Write`], in the order snapshot, entries, hard state: all of them, or none. A snapshot is durable on
    /// return; the rest after the next [`sync`](Writer::sync), so that many Writes share one. Until then a reopen may find the state
    /// after any of the Writes since the last sync. Readers see it at once. An empty Write changes nothing.
    ///
    /// A snapshot of index `i` replaces the log: no entries, first index `i + 1`, last index `i`. Entries that the log has let go of
    /// (below the first index) are skipped; the rest replace everything from the first one's index on.
    ///
    /// A log that never held anything takes a snapshot of index 0 and term 0 for its configuration: the way to give a new group its
    /// members.
    ///
    /// # Errors
    /// [`Error::SnapshotOutOfDate`]: the stored snapshot is at that index or beyond, or the log is compacted beyond it.
    /// [`Error::OutOfRange`]: the entries leave a gap behind the last index or do not follow each other, or an index reaches
    /// `u64::MAX`. [`Error::TermMismatch`]: index 0 with a term. [`Error::NoSpace`]: give the same Write again. Anything else: the log
    /// is in doubt and the node must stop.
    fn append(&mut self, w: &Write) -> Result<(), Error>;

    /// Makes durable all that was appended so far (group commit).
    ///
    /// # Errors
    /// As [`append`](Writer::append). A failed sync is never followed by a successful one.
    fn sync(&mut self) -> Result<(), Error>;

    /// Stores a snapshot that the application took of its own state, durably; the log stays. From now on it is the one that
    /// [`Storage::snapshot`] and the configuration of [`Storage::initial_state`] come from.
    ///
    /// # Errors
    /// [`Error::SnapshotOutOfDate`] when one of this index or a newer one is stored, or the log is compacted beyond it;
    /// [`Error::OutOfRange`] beyond the last index; [`Error::TermMismatch`] where the log has another term at its index.
    fn save_snapshot(&mut self, s: &Snapshot) -> Result<(), Error>;

    /// Lets go of the entries up to and including `index`; the term at `index` stays known. The application has applied them, and
    /// compacts no further than its newest snapshot: a follower that needs what is gone could not be brought back. It need not
    /// be durable: after a reopen the first index may be lower again, or as high as the newest snapshot's index + 1.
    ///
    /// # Errors
    /// [`Error::Compacted`] when that is done already, [`Error::OutOfRange`] beyond the last index.
    fn compact(&mut self, index: u64) -> Result<(), Error>;
}
