//! DiskStorage: log, hard state and snapshots of a node in one directory. Go: etcdserver's storage.go over wal and snap

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

/// How a node's directory is opened.
///
/// ```
/// use tickraft_storage_wal::DiskOptions;
/// let o = DiskOptions { node_id: 1, cluster_id: 7, ..DiskOptions::default() };
/// assert_eq!(o.snapshot_entries, 1_000_000);
/// ```
#[derive(Clone, Debug)]
pub struct DiskOptions {
    /// The node that the directory must belong to, or is made for; 0: whichever it says.
    pub node_id: u64,
    /// The group, likewise.
    pub cluster_id: u64,
    /// The log's options.
    pub wal: Options,
    /// [`DiskStorage::wants_snapshot`] once the log grew by so many bytes since the last, or by the last one's size if that is more. 64 MiB.
    pub snapshot_bytes: u64,
    /// … or by so many entries. 1,000,000.
    pub snapshot_entries: u64,
}

impl Default for DiskOptions {
    fn default() -> Self {
        Self {
            node_id: 0,
            cluster_id: 0,
            wal: Options::default(),
            snapshot_bytes: 64 << 20,
            snapshot_entries: 1_000_000,
        }
    }
}

/// What opening a directory found.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct OpenReport {
    /// The directory was made just now.
    pub created: bool,
    /// Something was stored here before: entries, a hard state, a snapshot or a first configuration. A directory that a crash left in its first moment has
    /// not, and is started like a new one.
    pub bootstrapped: bool,
    /// Who the directory belongs to.
    pub identity: Identity,
    /// This opening.
    pub session: Session,
    /// What the log held.
    pub recovered: Recovered,
    /// The snapshot in use; index 0 when there is none.
    pub snapshot: SnapshotMetadata,
    /// Why the newest snapshot is not the one in use, if it is not.
    pub fell_back: Option<String>,
}

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

/// The thread that syncs the mark once writes pause.
#[derive(Debug)]
struct Idle {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
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

fn start_idle(wal: &SharedWal, after: Duration, logger: &Logger) -> Option<Idle> {
    let stop = Arc::new(AtomicBool::new(false));
    let (wal, stopped, log) = (Arc::clone(wal), Arc::clone(&stop), logger.clone());
    let run = move || {
        while !stopped.load(Ordering::Relaxed) {
            thread::park_timeout(after);
            let mut guard = wal.lock();
            let Some(w) = guard.as_mut() else { return };
            if w.idle_since().is_some_and(|t| t.elapsed() >= after)
                && let Err(e) = w.sync_mark()
            {
                warn!(log, "cannot sync the mark"; "error" => %e);
            }
        }
    };
    let thread = thread::Builder::new()
        .name("wal-mark".into())
        .spawn(run)
        .ok()?;
    Some(Idle { stop, thread })
}

/// The parts of a data directory.
struct Layout {
    member: PathBuf,
    wal: PathBuf,
    snap: PathBuf,
}

impl Layout {
    fn of(dir: &Path) -> Self {
        let member = dir.join("member");
        Self {
            wal: member.join("wal"),
            snap: member.join("snap"),
            member,
        }
    }

    fn make(&self, vfs: &dyn Vfs) -> Result<(), Error> {
        for d in [&self.member, &self.snap] {
            let changed = vfs
                .create_dir_all(d)
                .map_err(|e| Error::io("create directory", d, e))?;
            for c in changed.iter().rev() {
                vfs.sync_dir(c)
                    .map_err(|e| Error::io("sync directory", c, e))?;
            }
        }
        Ok(())
    }
}

fn lock(vfs: &dyn Vfs, dir: &Path) -> Result<Box<dyn VfsFile>, Error> {
    let path = dir.join("lock");
    let there = vfs
        .exists(&path)
        .map_err(|e| Error::io("look for", &path, e))?;
    let mode = if there { Mode::Write } else { Mode::Create };
    let f = vfs
        .open(&path, mode)
        .map_err(|e| Error::io("open", &path, e))?;
    match f.try_lock() {
        Ok(true) => Ok(f),
        Ok(false) => Err(Error::Locked { path }),
        Err(e) => Err(Error::io("lock", &path, e)),
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

    /// Opens a node's directory, or makes it. A crash while it was made leaves a directory that this makes anew.
    ///
    /// # Errors
    /// As [`Wal::open`]; [`Error::WrongIdentity`]: it belongs to another node or group; [`Error::MissingLog`]: the newest snapshot cannot be used and the log does not
    /// reach back to the older. The directory is then as it was, but for a cut tail, which is kept.
    pub fn open(dir: &Path, options: DiskOptions) -> Result<(Self, OpenReport), Error> {
        let vfs = Arc::clone(&options.wal.vfs);
        let at = Layout::of(dir);
        at.make(vfs.as_ref())?;
        let lock = lock(vfs.as_ref(), dir)?;
        let sessions = SessionFile(at.member.join("session"));
        let exists = holds_log(vfs.as_ref(), &at.wal)?;
        let (wal, recovered, identity, session) = if exists {
            open_existing(&at, &options, &sessions)?
        } else {
            create_new(&at, &options, &sessions)?
        };
        let snap = Snapshotter::new(&at.snap, Arc::clone(&vfs));
        let chosen = choose_snapshot(&snap, &recovered)?;
        snap.remove_unfinished();
        let mut report = OpenReport {
            created: !exists,
            bootstrapped: !recovered.is_empty() || chosen.stored,
            identity,
            session,
            snapshot: chosen.metadata.clone(),
            fell_back: chosen.fell_back.clone(),
            ..OpenReport::default()
        };
        let peers = Mutex::new(PeerBook::open(vfs.as_ref(), at.member.join("peers"))?);
        let store = Self::assemble(
            options,
            &at,
            wal,
            &recovered,
            chosen,
            peers,
            (identity, session),
            snap,
            lock,
        )?;
        store.make_ballast();
        report.recovered = recovered;
        info!(store.inner.options.wal.logger, "opened the data directory"; "dir" => %dir.display(),
            "session" => session.count, "snapshot" => report.snapshot.index);
        Ok((store, report))
    }

    #[allow(clippy::too_many_arguments)]
    fn assemble(
        options: DiskOptions,
        at: &Layout,
        mut wal: Wal,
        r: &Recovered,
        chosen: Chosen,
        peers: Mutex<PeerBook>,
        (identity, session): (Identity, Session),
        snap: Snapshotter,
        lock: Box<dyn VfsFile>,
    ) -> Result<Self, Error> {
        for (term, index) in &chosen.broken {
            snap.set_aside(*term, *index)?;
        }
        // Compaction need not last, but what a restart brings back only costs memory; never beyond the snapshot, which the application replays from.
        let start = r.compacted.0.min(chosen.metadata.index);
        wal.start_at(start, &chosen.metadata)?;
        let meta = Meta {
            hs: r.hard_state,
            snapshot: chosen.metadata,
            stored: chosen.stored,
            snapshot_size: chosen.size,
            kept: chosen.kept,
        };
        let reader = wal.reader();
        let grown = reader.last_index().saturating_sub(meta.snapshot.index);
        let wal: SharedWal = Arc::new(Mutex::new(Some(wal)));
        let idle = options
            .wal
            .idle_mark_sync
            .and_then(|d| start_idle(&wal, d, &options.wal.logger));
        let inner = Inner {
            member: at.member.clone(),
            reader,
            snap,
            wal,
            meta: RwLock::new(meta),
            grown: (r.log_bytes().into(), grown.into()),
            space: AtomicU8::new(Space::Ample as u8),
            peers,
            identity,
            session,
            idle,
            options,
            _lock: lock,
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
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

    /// Admits a peer that says it has this incarnation and session: durably recorded when this returns, so call it before accepting a message from the peer.
    ///
    /// # Errors
    /// [`Error::PeerRefused`]: the peer lost its disk or came back with an older copy. Other errors: it could not be recorded; refuse the peer for now.
    pub fn record_peer(&self, id: u64, incarnation: u64, session: Session) -> Result<(), Error> {
        let says = PeerRecord {
            incarnation,
            session,
        };
        let vfs = self.inner.options.wal.vfs.as_ref();
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

    fn ballast(&self) -> PathBuf {
        self.inner.member.join("ballast")
    }

    /// Sets the ballast aside, where there is room for it.
    fn make_ballast(&self) {
        let o = &self.inner.options.wal;
        let path = self.ballast();
        if o.ballast == 0 || o.vfs.exists(&path).unwrap_or(true) {
            return;
        }
        let made = o
            .vfs
            .open(&path, Mode::Create)
            .and_then(|f| f.allocate(o.ballast));
        if made.is_err() {
            let _ = o.vfs.remove_file(&path);
        }
    }

    /// Frees the ballast. False when there was none.
    fn drop_ballast(&self) -> bool {
        let dropped = self
            .inner
            .options
            .wal
            .vfs
            .remove_file(&self.ballast())
            .is_ok();
        if dropped {
            warn!(
                self.inner.options.wal.logger,
                "no space left: the ballast is given up"
            );
        }
        dropped
    }

    /// Writes a snapshot's file; when the disk is full, in the ballast's place.
    fn store_file(&self, s: &Snapshot) -> Result<u64, Error> {
        match self.inner.snap.save_snap(s) {
            Err(Error::NoSpace { .. }) if self.drop_ballast() => self.inner.snap.save_snap(s),
            done => done,
        }
    }

    fn append_write(&self, w: &Write) -> Result<(), Error> {
        match &w.snapshot {
            Some(s) => self.install(s, w),
            None => self.append_log(w),
        }
    }

    fn append_log(&self, w: &Write) -> Result<(), Error> {
        self.with_wal(|wal| {
            let first = self.inner.reader.first_index();
            let last = self.inner.reader.last_index();
            let entries = skip_below(&w.entries, first, last)?;
            wal.append(&entries, w.hard_state.as_ref())?;
            if let Some(hs) = w.hard_state {
                self.inner.meta.write().hs = hs;
            }
            let bytes: u64 = entries.iter().map(storage::raftpb::Entry::size).sum();
            self.inner.grown.0.fetch_add(bytes, Ordering::Relaxed);
            self.inner
                .grown
                .1
                .fetch_add(entries.len() as u64, Ordering::Relaxed);
            Ok(())
        })
    }

    /// A received snapshot: its file first, then one batch with its mark, the entries and the hard state; only then is the old log let go of.
    fn install(&self, s: &Snapshot, w: &Write) -> Result<(), Error> {
        let index = s.metadata.index;
        self.with_wal(|wal| {
            self.check_received(&s.metadata)?;
            let entries = skip_below(&w.entries, index + 1, index)?;
            let size = self.store_file(s)?;
            let mark = mark_of(&s.metadata);
            wal.install_snapshot(&mark, &entries, w.hard_state.as_ref())?;
            let kept = Kept {
                index,
                segment: wal.tail_seq(),
            };
            {
                let mut meta = self.inner.meta.write();
                if let Some(hs) = w.hard_state {
                    meta.hs = hs;
                }
                (meta.snapshot, meta.stored, meta.snapshot_size) = (s.metadata.clone(), true, size);
                meta.kept = vec![kept];
            }
            self.inner.grown.0.store(0, Ordering::Relaxed);
            self.inner
                .grown
                .1
                .store(entries.len() as u64, Ordering::Relaxed);
            self.tidy(wal)
        })
    }

    fn check_received(&self, m: &SnapshotMetadata) -> Result<(), Error> {
        let (first, last) = (
            self.inner.reader.first_index(),
            self.inner.reader.last_index(),
        );
        if m.index == 0 {
            if last != 0 {
                return Err(Error::SnapshotOutOfDate);
            }
            if m.term != 0 {
                return Err(Error::TermMismatch {
                    index: 0,
                    term: m.term,
                    expected: 0,
                });
            }
            return Ok(());
        }
        let stored = self.inner.meta.read().snapshot.index;
        if m.index <= stored || m.index < first - 1 {
            return Err(Error::SnapshotOutOfDate);
        }
        if m.index == u64::MAX {
            return Err(Error::OutOfRange {
                index: m.index,
                first: stored + 1,
                last: u64::MAX - 1,
            });
        }
        Ok(())
    }

    fn check_own(&self, m: &SnapshotMetadata) -> Result<(), Error> {
        let (first, last) = (
            self.inner.reader.first_index(),
            self.inner.reader.last_index(),
        );
        let stored = self.inner.meta.read().snapshot.index;
        if m.index <= stored || m.index < first - 1 {
            return Err(Error::SnapshotOutOfDate);
        }
        if m.index > last {
            return Err(Error::OutOfRange {
                index: m.index,
                first: stored + 1,
                last,
            });
        }
        match self.inner.reader.term(m.index) {
            Ok(t) if t == m.term => Ok(()),
            Ok(expected) => Err(Error::TermMismatch {
                index: m.index,
                term: m.term,
                expected,
            }),
            Err(e) => Err(e),
        }
    }

    fn own_snapshot(&self, s: &Snapshot) -> Result<(), Error> {
        self.check_own(&s.metadata)?;
        // The file may be large: nobody waits for it.
        let size = self.store_file(s)?;
        self.with_wal(|wal| {
            self.check_own(&s.metadata)?;
            match wal.save_snapshot(&mark_of(&s.metadata)) {
                Err(Error::NoSpace { .. }) if self.drop_ballast() => {
                    wal.save_snapshot(&mark_of(&s.metadata))?
                }
                done => done?,
            }
            let kept = Kept {
                index: s.metadata.index,
                segment: wal.tail_seq(),
            };
            {
                let mut meta = self.inner.meta.write();
                (meta.snapshot, meta.stored, meta.snapshot_size) = (s.metadata.clone(), true, size);
                meta.kept.push(kept);
                let n = meta.kept.len().saturating_sub(2);
                meta.kept.drain(..n);
            }
            let beyond = self.inner.reader.last_index() - s.metadata.index;
            self.inner.grown.0.store(0, Ordering::Relaxed);
            self.inner.grown.1.store(beyond, Ordering::Relaxed);
            self.tidy(wal)
        })
    }

    fn compact_to(&self, index: u64) -> Result<(), Error> {
        let (first, last) = (
            self.inner.reader.first_index(),
            self.inner.reader.last_index(),
        );
        if index < first {
            return Err(Error::Compacted);
        }
        if index > last {
            return Err(Error::OutOfRange { index, first, last });
        }
        self.with_wal(|wal| {
            wal.compact(index);
            self.tidy(wal)
        })
    }

    /// Removes what neither the older snapshot nor the readers need.
    fn tidy(&self, wal: &mut Wal) -> Result<(), Error> {
        let (oldest, installed) = {
            let meta = self.inner.meta.read();
            (meta.kept.first().copied(), meta.kept.len() == 1)
        };
        let first = self.inner.reader.first_index();
        let Some(oldest) = oldest else { return Ok(()) };
        // One own snapshot alone has nothing older to fall back to but the whole log.
        let whole_log = installed && first <= oldest.index;
        let floor = if whole_log {
            0
        } else {
            wal.floor(oldest.index, oldest.segment, first - 1)
        };
        let term = self.inner.reader.term(first - 1).unwrap_or(0);
        wal.purge_below(floor, (first - 1, term))?;
        self.inner.snap.remove_below(oldest.index)?;
        self.make_ballast();
        Ok(())
    }
}

/// The entries from `first` on: those below were let go of, but must be a run with the others all the same, without a gap behind `last`.
fn skip_below(entries: &Entries, first: u64, last: u64) -> Result<Entries, Error> {
    let head = entries.first().map_or(first, |e| e.index);
    if head >= first {
        // The log itself checks the rest.
        return Ok(entries.clone());
    }
    for (n, e) in entries.iter().enumerate() {
        let next = head.saturating_add(n as u64);
        if e.index != next || next == u64::MAX {
            return Err(Error::OutOfRange {
                index: e.index,
                first: next,
                last: last + 1,
            });
        }
    }
    let below = usize::try_from(first - head).unwrap_or(usize::MAX);
    Ok(entries.slice(below.min(entries.len())..entries.len()))
}

fn mark_of(m: &SnapshotMetadata) -> SnapshotMark {
    SnapshotMark {
        index: m.index,
        term: m.term,
        conf_state: Some(m.conf_state.clone()),
    }
}

/// Whether there is a log: a segment, or a mark that says there was one.
fn holds_log(vfs: &dyn Vfs, wal: &Path) -> Result<bool, Error> {
    if !vfs.exists(wal).map_err(|e| Error::io("look for", wal, e))? {
        return Ok(false);
    }
    let any = !crate::SegmentName::list(vfs, wal)?.is_empty();
    Ok(any || crate::mark::read(vfs, wal)?.is_some())
}

type Opened = (Wal, Recovered, Identity, Session);

fn create_new(at: &Layout, o: &DiskOptions, sessions: &SessionFile) -> Result<Opened, Error> {
    let vfs = o.wal.vfs.as_ref();
    let identity = Identity {
        node_id: o.node_id,
        cluster_id: o.cluster_id,
        incarnation: o.wal.random(2)?,
    };
    let session = Session {
        count: 1,
        random: o.wal.random(3)?,
    };
    // Whoever created before this and crashed left nothing that counts: peers of it included.
    let peers = at.member.join("peers");
    if vfs
        .exists(&peers)
        .map_err(|e| Error::io("look for", &peers, e))?
    {
        vfs.remove_file(&peers)
            .map_err(|e| Error::io("remove", &peers, e))?;
        sync_parent(vfs, &peers)?;
    }
    sessions.write(vfs, identity.incarnation, session)?;
    let wal = Wal::create(&at.wal, &identity.encode(), &o.wal)?;
    let recovered = Recovered {
        entries: (1, 0),
        protected: true,
        ..Recovered::default()
    };
    Ok((wal, recovered, identity, session))
}

fn open_existing(at: &Layout, o: &DiskOptions, sessions: &SessionFile) -> Result<Opened, Error> {
    let vfs = o.wal.vfs.as_ref();
    // Looked at before anything is written: a directory of somebody else stays as it is. Damage is for the log itself to judge.
    if let Some(found) = Wal::peek_metadata(&at.wal, &o.wal)? {
        check_identity(at, o, &found)?;
    }
    let (wal, recovered) = Wal::open(&at.wal, &o.wal)?;
    let mut identity = check_identity(at, o, &recovered.metadata)?;
    let known = sessions.read(vfs)?;
    let (incarnation, last) = match known {
        Some(k) => k,
        // etcd has no such file.
        None if identity.incarnation == 0 => (o.wal.random(2)?, Session::default()),
        None => {
            return Err(Error::BadFile {
                path: sessions.0.clone(),
                reason: "it is missing".into(),
            });
        }
    };
    if identity.incarnation != 0 && identity.incarnation != incarnation {
        return Err(Error::BadFile {
            path: sessions.0.clone(),
            reason: "it belongs to another directory than the log".into(),
        });
    }
    identity.incarnation = incarnation;
    let session = Session {
        count: last.count + 1,
        random: o.wal.random(3 + last.count)?,
    };
    sessions.write(vfs, incarnation, session)?;
    Ok((wal, recovered, identity, session))
}

/// Whom the metadata name, if it is whom the options expect.
fn check_identity(at: &Layout, o: &DiskOptions, metadata: &[u8]) -> Result<Identity, Error> {
    let identity = Identity::decode(metadata).ok_or(Error::Usage(
        "the log's metadata is not a node's identity; open it with Wal instead of DiskStorage",
    ))?;
    for (what, found, expected) in [
        ("node id", identity.node_id, o.node_id),
        ("cluster id", identity.cluster_id, o.cluster_id),
    ] {
        if expected != 0 && found != expected {
            return Err(Error::WrongIdentity {
                path: at.member.clone(),
                what,
                found,
                expected,
            });
        }
    }
    Ok(identity)
}

/// The snapshot to start from.
#[derive(Debug, Default)]
pub(crate) struct Chosen {
    metadata: SnapshotMetadata,
    stored: bool,
    size: u64,
    kept: Vec<Kept>,
    fell_back: Option<String>,
    /// Files to set aside, (term, index).
    broken: Vec<(u64, u64)>,
}

/// The newest snapshot that the log marks and whose file is whole. An older one will do only if the log has every entry from it on. Go: LoadNewestAvailable
#[doc(alias = "LoadNewestAvailable")]
pub(crate) fn choose_snapshot(snap: &Snapshotter, r: &Recovered) -> Result<Chosen, Error> {
    let chosen = newest_whole(snap, r)?;
    let (last, commit) = (r.entries.1, r.hard_state.commit);
    if commit > last {
        let index = chosen.metadata.index;
        return Err(Error::MissingLog {
            snapshot: index,
            reason: chosen.fell_back.unwrap_or_else(|| {
                format!("it does not reach to what was committed, index {commit}")
            }),
            missing_from: last + 1,
            missing_to: commit,
        });
    }
    Ok(chosen)
}

fn newest_whole(snap: &Snapshotter, r: &Recovered) -> Result<Chosen, Error> {
    let mut marks: Vec<(SnapshotMark, u64)> = Vec::new();
    for (m, segment) in r.marks.iter().zip(&r.mark_segments) {
        if m.index <= r.hard_state.commit {
            marks.retain(|(o, _)| o.index != m.index);
            marks.push((m.clone(), *segment));
        }
    }
    marks.sort_by_key(|(m, _)| m.index);
    let mut chosen = Chosen::default();
    let newest = marks.last().map_or(0, |(m, _)| m.index);
    while let Some((m, segment)) = marks.pop() {
        let bare = m.index == 0 && m.conf_state.is_none_or(|c| c.is_empty());
        let reached = r.entries.0 <= m.index + 1;
        let why = chosen.fell_back.clone().unwrap_or_default();
        if !reached {
            return Err(Error::MissingLog {
                snapshot: newest,
                reason: why,
                missing_from: m.index + 1,
                missing_to: r.entries.0 - 1,
            });
        }
        if bare {
            return Ok(chosen);
        }
        match snap.load(m.term, m.index) {
            Ok(s) => {
                chosen.size = s.data.len() as u64;
                chosen.metadata = s.metadata;
                chosen.stored = true;
                chosen.kept = older_kept(snap, &marks, r)?;
                chosen.kept.push(Kept {
                    index: m.index,
                    segment,
                });
                return Ok(chosen);
            }
            Err(e) if is_passing(&e) => return Err(e),
            Err(e) => {
                chosen.fell_back.get_or_insert_with(|| e.to_string());
                if matches!(e, Error::BadSnapshot { .. }) {
                    chosen.broken.push((m.term, m.index));
                }
            }
        }
    }
    if newest > 0 && r.entries.0 > 1 {
        return Err(Error::MissingLog {
            snapshot: newest,
            reason: chosen.fell_back.unwrap_or_default(),
            missing_from: 1,
            missing_to: r.entries.0 - 1,
        });
    }
    Ok(chosen)
}

/// An error of reading that says nothing of the file: it must not be taken for a missing snapshot.
fn is_passing(e: &Error) -> bool {
    match e {
        Error::Io { source, .. } => {
            source.kind() != std::io::ErrorKind::NotFound || is_no_space(source)
        }
        Error::BadSnapshot { .. } => false,
        _ => true,
    }
}

/// The snapshot before the newest, if its file is there and the log reaches back to it.
fn older_kept(
    snap: &Snapshotter,
    marks: &[(SnapshotMark, u64)],
    r: &Recovered,
) -> Result<Vec<Kept>, Error> {
    let files = snap.names()?;
    let older = marks
        .iter()
        .rev()
        .find(|(m, _)| files.contains(&(m.term, m.index)) && r.entries.0 <= m.index + 1);
    Ok(older
        .map(|(m, segment)| Kept {
            index: m.index,
            segment: *segment,
        })
        .into_iter()
        .collect())
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

    /// Read from its file each time: a snapshot is as large as the application's state.
    fn snapshot(&self) -> Result<Snapshot, storage::Error> {
        loop {
            let metadata = {
                let meta = self.inner.meta.read();
                if !meta.stored {
                    return Ok(Snapshot::default());
                }
                meta.snapshot.clone()
            };
            match self.inner.snap.load(metadata.term, metadata.index) {
                // Two newer ones came in between.
                Err(Error::Io { source, .. })
                    if source.kind() == std::io::ErrorKind::NotFound
                        && self.inner.meta.read().snapshot != metadata => {}
                found => return Ok(found?),
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
