//! DiskStorage: log, hard state and snapshots of a node in one directory. Go: etcdserver's storage.go over wal and snap

mod aside;
mod ballast;
mod choose;
mod idle;
mod open;
mod options;
mod write;

use crate::error::is_no_space;
use crate::identity::{PeerBook, SessionFile};
use crate::live::WalReader;
use crate::stats::Counters;
use crate::vfs::{Mode, Vfs, VfsFile, sync_parent};
use crate::wal::{Recovered, Space, Wal};
use crate::{Error, Identity, Options, PeerRecord, Session, SnapshotMark, Snapshotter, Stats};
use parking_lot::{Mutex, RwLock};
use slog::{Logger, info, warn};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use storage::raftpb::{ConfState, Entries, HardState, Snapshot, SnapshotMetadata};
use storage::{Storage, Write, Writer};

pub(crate) use choose::choose_snapshot;
pub use options::{DiskOptions, OpenReport};

use aside::{Aside, SMALL};
use choose::Chosen;
use idle::{Idle, start_idle};
use open::{Layout, holds_log};

/// Log, hard state and snapshots of a node on disk: `DIR/member/wal` and `DIR/member/snap`, as etcd lays them out.
///
/// A clone is a handle of the same store: the core reads through one, the append thread writes through another, the application stores snapshots and compacts
/// through a third. Reads never wait for a disk write. When the last handle is dropped the directory is free again; what was not synced is then lost as in a
/// crash, so call [`close`](DiskStorage::close) for a clean end.
///
/// ```
/// use tickraft_storage_wal::{DiskOptions, DiskStorage, Options};
/// use tickraft_storage_wal::raftpb::{Entry, HardState};
/// use tickraft_storage_wal::storage::{Storage, Write, Writer};
/// # let wal = Options { segment_size: 1 << 20, reserve: 0, ..Options::default() };
/// # let options = || DiskOptions { node_id: 1, cluster_id: 7, wal: wal.clone(), ..DiskOptions::default() };
///
/// let dir = tempfile::tempdir().unwrap();
/// let (mut store, report) = DiskStorage::open(dir.path(), options()).unwrap();
/// assert!(report.created && !report.bootstrapped);
/// store.append(&Write {
///     hard_state: Some(HardState { term: 1, vote: 1, commit: 1 }),
///     entries: vec![Entry::new(1, 1, "x")].into(),
///     must_sync: true,
///     ..Write::default()
/// }).unwrap();
/// store.sync().unwrap();
/// drop(store);
///
/// let (store, report) = DiskStorage::open(dir.path(), options()).unwrap();
/// assert!(report.bootstrapped);
/// assert_eq!(report.session.count, 2);
/// assert_eq!(store.last_index().unwrap(), 1);
/// assert_eq!(store.initial_state().unwrap().0.vote, 1);
/// ```
#[derive(Clone, Debug)]
pub struct DiskStorage {
    inner: Arc<Inner>,
}

type SharedWal = Arc<Mutex<Option<Wal>>>;

#[derive(Debug)]
struct Inner {
    options: DiskOptions,
    member: PathBuf,
    reader: WalReader,
    snap: Snapshotter,
    aside: Aside,
    wal: SharedWal,
    meta: RwLock<Meta>,
    /// Bytes and entries appended since the last snapshot.
    grown: (AtomicU64, AtomicU64),
    /// The log's [`Space`] after the last call that took its lock: asking must not wait for an fsync.
    space: AtomicU8,
    peers: Mutex<PeerBook>,
    identity: Identity,
    session: Session,
    idle: Option<Idle>,
    _lock: Box<dyn VfsFile>,
}

/// A snapshot that is kept, and the segment that marks it.
#[derive(Clone, Copy, Debug)]
struct Kept {
    index: u64,
    segment: u64,
}

#[derive(Debug, Default)]
struct Meta {
    hs: HardState,
    snapshot: SnapshotMetadata,
    /// Whether `snapshot` has a file: a new log has none.
    stored: bool,
    snapshot_size: u64,
    /// At most two, the newest last.
    kept: Vec<Kept>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Now, and not when the thread lets go of it: whoever opens next finds the directory unlocked.
        drop(self.wal.lock().take());
        if let Some(i) = self.idle.take() {
            i.stop.store(true, Ordering::Relaxed);
            i.thread.thread().unpark();
        }
    }
}

impl DiskStorage {
    /// Whether [`open`](DiskStorage::open) would find a log in this directory, whole or not, rather than make one. Changes nothing.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn exists(dir: &Path, options: &DiskOptions) -> Result<bool, Error> {
        holds_log(options.wal.vfs.as_ref(), &Layout::of(dir).wal)
    }

    /// The newest snapshot, read from its file now, however long that takes; empty when there is none. For an application that starts:
    /// [`Storage::snapshot`] answers a large one only once it was read aside.
    ///
    /// # Errors
    /// [`Error::BadSnapshot`], [`Error::Io`].
    pub fn load_snapshot(&self) -> Result<Snapshot, Error> {
        loop {
            let metadata = match &*self.inner.meta.read() {
                meta if meta.stored => meta.snapshot.clone(),
                _ => return Ok(Snapshot::default()),
            };
            match self.inner.snap.load(metadata.term, metadata.index) {
                Err(e) if self.is_replaced(&metadata, &e) => {}
                found => return found,
            }
        }
    }

    /// Whether a snapshot's file is gone because two newer ones came in between.
    fn is_replaced(&self, metadata: &SnapshotMetadata, e: &Error) -> bool {
        let gone =
            matches!(e, Error::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound);
        gone && self.inner.meta.read().snapshot != *metadata
    }

    /// Who the directory belongs to.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.inner.identity
    }

    /// This opening of the directory: goes into every handshake, with the identity's incarnation.
    #[must_use]
    pub fn session(&self) -> Session {
        self.inner.session
    }

    /// Admits a peer that says it has this incarnation and session: durably recorded when this returns, so call it before accepting a message from the peer. On a full disk it
    /// takes the room that is held back for it.
    ///
    /// # Errors
    /// [`Error::PeerRefused`]: the peer lost its disk or came back with an older copy. Other errors: it could not be recorded; refuse the peer for now.
    pub fn record_peer(&self, id: u64, incarnation: u64, session: Session) -> Result<(), Error> {
        let says = PeerRecord {
            incarnation,
            session,
        };
        let vfs = self.inner.options.wal.vfs.as_ref();
        match self.inner.peers.lock().record(vfs, id, says) {
            Err(Error::NoSpace { .. }) => {}
            done => return done,
        }
        // A full disk must not shut out a peer that restarted. Only here is the log waited for, and the book is free meanwhile.
        self.with_wal(|w| {
            w.give_up_reserve();
            Ok(())
        })?;
        self.inner.peers.lock().record(vfs, id, says)
    }

    /// What is known of a peer: the answer to a node with an empty directory that asks whether its id was ever seen.
    #[must_use]
    pub fn peer(&self, id: u64) -> Option<PeerRecord> {
        self.inner.peers.lock().peers.get(&id).copied()
    }

    /// How much room there was at the last write. While it is not [`Space::Ample`], refuse proposals and do not step MsgApps with entries; what the core has accepted,
    /// terms and votes still fit. Never waits.
    #[must_use]
    pub fn space(&self) -> Space {
        match self.inner.space.load(Ordering::Acquire) {
            n if n == Space::Ample as u8 => Space::Ample,
            n if n == Space::Reserve as u8 => Space::Reserve,
            _ => Space::Full,
        }
    }

    /// Looks whether there is room again: without writes nobody would notice. Waits for a write under way.
    #[must_use]
    pub fn check_space(&self) -> Space {
        // A closed log has no space, which is what the atomic says then.
        let _ = self.with_wal(|w| {
            w.check_space();
            Ok(())
        });
        self.space()
    }

    /// Whether the log grew enough since the last snapshot that the application should take one.
    #[must_use]
    pub fn wants_snapshot(&self) -> bool {
        let (bytes, entries) = &self.inner.grown;
        let o = &self.inner.options;
        let size = self.inner.meta.read().snapshot_size;
        bytes.load(Ordering::Relaxed) >= o.snapshot_bytes.max(size)
            || entries.load(Ordering::Relaxed) >= o.snapshot_entries
    }

    /// Where to compact after a snapshot: its index less [`Options::keep_entries`]. `None` when there is nothing to let go of.
    #[must_use]
    pub fn compact_index(&self) -> Option<u64> {
        let index = self.inner.meta.read().snapshot.index;
        let to = index.saturating_sub(self.inner.options.wal.keep_entries);
        (to >= self.inner.reader.first_index()).then_some(to)
    }

    /// What this store has done since it was opened.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let snap: &Counters = &self.inner.snap.counters;
        let of_snap = snap.read();
        Stats {
            snap_fsync: of_snap.snap_fsync,
            snap_save: of_snap.snap_save,
            ..self.inner.reader.shared.counters.read()
        }
    }

    /// Syncs the log and the mark. Other handles may go on.
    ///
    /// # Errors
    /// As [`Writer::sync`].
    pub fn close(self) -> Result<(), Error> {
        self.with_wal(|w| {
            w.sync()?;
            w.sync_mark()
        })
    }

    fn with_wal<T>(&self, f: impl FnOnce(&mut Wal) -> Result<T, Error>) -> Result<T, Error> {
        let mut guard = self.inner.wal.lock();
        let Some(w) = guard.as_mut() else {
            return Err(Error::Usage("the storage is closed"));
        };
        let done = f(w);
        self.inner.space.store(w.space() as u8, Ordering::Release);
        done
    }
}

impl Storage for DiskStorage {
    fn initial_state(&self) -> Result<(HardState, ConfState), storage::Error> {
        let meta = self.inner.meta.read();
        Ok((meta.hs, meta.snapshot.conf_state.clone()))
    }

    fn entries(&self, lo: u64, hi: u64, max_size: u64) -> Result<Entries, storage::Error> {
        Ok(self.inner.reader.entries(lo, hi, max_size)?)
    }

    fn term(&self, index: u64) -> Result<u64, storage::Error> {
        Ok(self.inner.reader.term(index)?)
    }

    fn first_index(&self) -> Result<u64, storage::Error> {
        Ok(self.inner.reader.first_index())
    }

    fn last_index(&self) -> Result<u64, storage::Error> {
        Ok(self.inner.reader.last_index())
    }

    /// A small snapshot is read from its file. One of more than 1 MiB is read on a thread of its own, and until then
    /// [`SnapshotTemporarilyUnavailable`](storage::Error::SnapshotTemporarilyUnavailable): a leader that answers a peer must not be held up by its disk.
    /// What cannot be read, or is rotten, is an error of a later call. See [`load_snapshot`](DiskStorage::load_snapshot) for one that waits.
    fn snapshot(&self) -> Result<Snapshot, storage::Error> {
        loop {
            let (metadata, size) = match &*self.inner.meta.read() {
                meta if meta.stored => (meta.snapshot.clone(), meta.snapshot_size),
                _ => return Ok(Snapshot::default()),
            };
            if size <= SMALL {
                return Ok(self.load_snapshot()?);
            }
            match self.inner.aside.get(&metadata, &self.inner.snap) {
                Ok(Some(snapshot)) => return Ok(snapshot),
                Ok(None) => return Err(storage::Error::SnapshotTemporarilyUnavailable),
                Err(e) if self.is_replaced(&metadata, &e) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }
}

impl Writer for DiskStorage {
    /// As the contract says. A Write with a snapshot is durable whole when this returns.
    fn append(&mut self, w: &Write) -> Result<(), storage::Error> {
        Ok(self.append_write(w)?)
    }

    /// As the contract says. After [`storage::Error::NoSpace`] all that was appended is still held: call this again once there is room.
    fn sync(&mut self) -> Result<(), storage::Error> {
        Ok(self.with_wal(Wal::sync)?)
    }

    fn save_snapshot(&mut self, s: &Snapshot) -> Result<(), storage::Error> {
        Ok(self.own_snapshot(s)?)
    }

    fn compact(&mut self, index: u64) -> Result<(), storage::Error> {
        Ok(self.compact_to(index)?)
    }
}
