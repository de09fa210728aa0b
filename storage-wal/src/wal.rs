//! The write-ahead log. Go: wal.go, file_pipeline.go

use crate::live::{Live, Shared, WalReader};
use crate::mark::{self, Mark, Slot};
use crate::options::{Format, Options};
use crate::record::{
    Chain, Encoded, Frame, Head, INSTALLED, Record, SnapshotMark, VERSION, kind, seed,
};
use crate::scan::{Replay, Scan, ScanOptions, Torn, scan};
use crate::segment::{Pos, Raw, Segment, SegmentName, SegmentReader};
use crate::vfs::{Mode, VfsFile, parent, sync_parent, write_all_at};
use crate::{Error, Stats};
use crc32c::crc32c_append;
use prost::Message as _;
use slog::{info, warn};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;
use storage::raftpb::{Entries, HardState};

/// The lock of the directory.
const LOCK: &str = "lock";
/// The next segment while it is made. etcd passes over names that end in .tmp.
const NEXT: &str = "next.tmp";
/// Space held back for a full disk.
const RESERVE: &str = "reserve.tmp";

/// How much room there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// Enough: the reserve is whole.
    Ample,
    /// The disk is full and the reserve is in use: accept no new proposals or entries, what was accepted still fits.
    Reserve,
    /// The disk is full and the reserve is used up but for terms and votes: entries are refused with [`Error::NoSpace`].
    Full,
}

/// What opening a log found.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Recovered {
    /// What was given to [`Wal::create`]; opaque.
    pub metadata: Vec<u8>,
    /// The last hard state.
    pub hard_state: HardState,
    /// All snapshot marks in the log, oldest first, those beyond the commit index included.
    pub marks: Vec<SnapshotMark>,
    /// The first and the last index that can be read: `first == last + 1` when there are no entries.
    pub entries: (u64, u64),
    /// Entries of before an installed snapshot that were still in the log and are not returned.
    pub dropped_entries: u64,
    /// What lay behind the last whole batch.
    pub torn: Option<Torn>,
    /// Whether the records carry protection.
    pub protected: bool,
    /// The last record's sequence number, and the highest one that was proven durable before this open. The batches between them were found whole but
    /// might never have been acknowledged; after a power cut, damage behind the proven one cannot be told from an unfinished write.
    pub sequence: (u64, u64),
    /// How many records and bytes were read.
    pub read: (u64, u64),
    /// Where the log was compacted before, index and term.
    pub(crate) compacted: (u64, u64),
    pub(crate) mark_segments: Vec<u64>,
    /// Where in the last segment the proven part ends.
    pub(crate) proven_offset: u64,
}

impl Recovered {
    /// The marks that a snapshot may be loaded for: none beyond the commit index. Go: ValidSnapshotEntries
    #[must_use]
    #[doc(alias = "ValidSnapshotEntries")]
    pub fn valid_marks(&self) -> Vec<&SnapshotMark> {
        self.marks
            .iter()
            .filter(|m| m.index <= self.hard_state.commit)
            .collect()
    }

    /// Checks that the log marks a snapshot and that the entries behind it are there, as etcd's Open does.
    ///
    /// # Errors
    /// [`Error::SnapshotNotFound`], [`Error::SnapshotMismatch`], [`Error::MissingLog`].
    pub fn check_snapshot(&self, index: u64, term: u64) -> Result<(), Error> {
        let mut found = Err(Error::SnapshotNotFound { index, term });
        for m in self.marks.iter().filter(|m| m.index == index) {
            if m.term == term {
                found = Ok(());
            } else if found.is_err() {
                found = Err(Error::SnapshotMismatch {
                    index,
                    term,
                    marked: m.term,
                });
            }
        }
        found?;
        if self.entries.0 > index + 1 {
            return Err(Error::MissingLog {
                snapshot: index,
                reason: "the log was compacted past it".into(),
                missing_from: index + 1,
                missing_to: self.entries.0 - 1,
            });
        }
        Ok(())
    }

    /// About how many bytes of log there are.
    pub(crate) fn log_bytes(&self) -> u64 {
        self.read.1
    }

    /// Whether nothing was ever stored: no entries, no hard state, no snapshot.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.hard_state.is_empty() && self.entries.1 == 0 && self.marks.iter().all(|m| m.index == 0)
    }
}

/// Encoded and not yet synced.
#[derive(Debug, Default)]
struct Pending {
    buf: Vec<u8>,
    /// The last record, which carries the batch's end.
    last: Option<Encoded>,
    /// Whether it carries it now.
    sealed: bool,
    records: u64,
}

/// A write-ahead log, open for appending. Go: WAL
///
/// What is appended is durable once [`sync`](Wal::sync) returned; all that one sync covers is one batch, found whole or not at all after a crash.
/// After a failed write or fsync every call returns [`Error::Poisoned`]: drop the log and open it again. A full disk
/// ([`Error::NoSpace`]) poisons nothing.
///
/// ```
/// use tickraft_storage_wal::raftpb::{Entry, HardState};
/// use tickraft_storage_wal::{Options, Wal};
/// let dir = tempfile::tempdir().unwrap();
/// let path = dir.path().join("wal");
/// let options = Options { segment_size: 1 << 20, reserve: 0, ..Options::default() };
///
/// let mut wal = Wal::create(&path, b"who I am", &options).unwrap();
/// wal.append(&[Entry::new(1, 1, "x")].into_iter().collect(), Some(&HardState { term: 1, vote: 1, commit: 0 })).unwrap();
/// wal.sync().unwrap();
/// drop(wal);
///
/// let (wal, found) = Wal::open(&path, &options).unwrap();
/// assert_eq!(found.metadata, b"who I am");
/// assert_eq!(found.entries, (1, 1));
/// assert_eq!(wal.reader().entries(1, 2, u64::MAX).unwrap().first().unwrap().data, "x");
/// ```
#[doc(alias = "WAL")]
#[derive(Debug)]
pub struct Wal {
    options: Options,
    dir: PathBuf,
    metadata: Vec<u8>,
    shared: Arc<Shared>,
    tail: Segment,
    /// Where the last durable batch ends in the tail.
    offset: u64,
    /// Up to where the tail's blocks were written, with records or zeros.
    zeroed: u64,
    chain: Chain,
    /// The last record's number in the last durable batch.
    durable_seq: u64,
    pending: Pending,
    hs: HardState,
    /// The hard state as of the last durable batch.
    durable_hs: HardState,
    /// The newest snapshot's index: a commit index below it is never written again, since etcd's rules then pass over the snapshot.
    snapshot: u64,
    /// Term and vote that the mark holds durably.
    marked_vote: (u64, u64),
    mark: Option<Mark>,
    scratch: Vec<u8>,
    poison: Option<Arc<Error>>,
    reserve: bool,
    space: Space,
    /// A batch could not be written for want of space; it is tried again with the next sync.
    stalled: bool,
    last_write: Instant,
    _lock: Box<dyn VfsFile>,
}

fn lock_dir_if_there(options: &Options, dir: &Path) -> Result<Option<Box<dyn VfsFile>>, Error> {
    let path = dir.join(LOCK);
    let there = options
        .vfs
        .exists(&path)
        .map_err(|e| Error::io("look for", &path, e))?;
    there
        .then(|| lock_dir(options, dir, Mode::Write))
        .transpose()
}

/// A directory of etcd's stays one: its last segment ends where etcd's rules end it.
fn repair_etcd(options: &Options, dir: &Path) -> Result<Option<Torn>, Error> {
    let vfs = options.vfs.as_ref();
    let _lock = lock_dir_if_there(options, dir)?;
    let how = ScanOptions {
        write: true,
        ..ScanOptions::default()
    };
    let mut s = scan(vfs, dir, how)?;
    let Some(tail) = s.segments.last().cloned() else {
        return Ok(None);
    };
    keep_broken(options, dir, &tail, &mut s)?;
    tail.file
        .set_len(s.end)
        .map_err(|e| Error::io("truncate", &tail.path, e))?;
    tail.file
        .sync()
        .map_err(|e| Error::io_fatal("sync", &tail.path, e))?;
    Ok(s.torn)
}

fn lock_dir(options: &Options, dir: &Path, mode: Mode) -> Result<Box<dyn VfsFile>, Error> {
    let path = dir.join(LOCK);
    let file = options
        .vfs
        .open(&path, mode)
        .map_err(|e| Error::io("open", &path, e))?;
    if !file.try_lock().map_err(|e| Error::io("lock", &path, e))? {
        return Err(Error::Locked { path });
    }
    Ok(file)
}

impl Wal {
    /// Makes a log in a directory that must not hold one. Made in `dir.tmp` and renamed, so that a crash leaves a whole log or none. Go: Create
    ///
    /// # Errors
    /// [`Error::Exists`]; [`Error::Io`] and [`Error::NoSpace`], after which there is no log.
    #[doc(alias = "Create")]
    pub fn create(dir: &Path, metadata: &[u8], options: &Options) -> Result<Self, Error> {
        let vfs = options.vfs.as_ref();
        let there = vfs.exists(dir).map_err(|e| Error::io("look for", dir, e))?;
        if there && !SegmentName::list(vfs, dir)?.is_empty() {
            return Err(Error::Exists {
                path: dir.to_path_buf(),
            });
        }
        let tmp = tmp_dir(dir);
        if vfs
            .exists(&tmp)
            .map_err(|e| Error::io("look for", &tmp, e))?
        {
            vfs.remove_dir_all(&tmp)
                .map_err(|e| Error::io("remove", &tmp, e))?;
        }
        let changed = vfs
            .create_dir_all(&tmp)
            .map_err(|e| Error::io("create directory", &tmp, e))?;
        let mut wal = Self::create_in(&tmp, metadata, options)?;
        if there {
            // An empty directory of that name: nothing to lose.
            vfs.remove_dir_all(dir)
                .map_err(|e| Error::io("remove", dir, e))?;
        }
        vfs.rename(&tmp, dir)
            .map_err(|e| Error::io("rename", dir, e))?;
        for d in changed.iter().rev() {
            vfs.sync_dir(d)
                .map_err(|e| Error::io("sync directory", d, e))?;
        }
        sync_parent(vfs, dir)?;
        wal.dir = dir.to_path_buf();
        wal.tail.path = wal.tail.name.path(dir);
        if let Some(m) = &mut wal.mark {
            m.path = dir.join(mark::NAME);
        }
        wal.refill_reserve();
        wal.publish();
        Ok(wal)
    }

    fn create_in(tmp: &Path, metadata: &[u8], options: &Options) -> Result<Self, Error> {
        let vfs = options.vfs.as_ref();
        let protected = options.format == Format::Protected;
        let lock = lock_dir(options, tmp, Mode::Create)?;
        let log_id = if protected { options.random(1)? } else { 0 };
        let mut chain = Chain {
            crc: 0,
            seq: 0,
            epoch: 1,
            log_id,
            seed: seed(log_id, 0),
            protected,
        };
        let name = SegmentName { seq: 0, index: 0 };
        let path = name.path(tmp);
        let file = vfs
            .open(&path, Mode::Create)
            .map_err(|e| Error::io("create", &path, e))?;
        lock_segment(file.as_ref(), &path)?;
        file.allocate(options.segment_size)
            .map_err(|e| Error::io("allocate", &path, e))?;
        let first = SnapshotMark::default().encode_to_vec();
        let buf = encode_head(&mut chain, name, metadata, &[(kind::SNAPSHOT, &first)]);
        write_all_at(file.as_ref(), &buf, 0).map_err(|e| Error::io("write", &path, e))?;
        file.sync().map_err(|e| Error::io("sync", &path, e))?;
        let offset = buf.len() as u64;
        let slot = Slot {
            log_id,
            offset,
            seq: chain.seq,
            epoch: 1,
            ..Slot::default()
        };
        let mark = protected
            .then(|| Mark::create(vfs, tmp, slot))
            .transpose()?;
        vfs.sync_dir(tmp)
            .map_err(|e| Error::io("sync directory", tmp, e))?;
        let mut live = Live {
            log_id,
            protected_from: if protected { 0 } else { u64::MAX },
            ..Live::default()
        };
        live.log.reset(0, 0);
        live.cache.clear(1);
        let tail = Segment {
            name,
            path,
            file: Arc::from(file),
        };
        Ok(Self::assemble(
            options,
            tmp,
            metadata.to_vec(),
            live,
            tail,
            offset,
            chain,
            mark,
            lock,
        ))
    }

    #[allow(clippy::too_many_arguments)]
    fn assemble(
        options: &Options,
        dir: &Path,
        metadata: Vec<u8>,
        live: Live,
        tail: Segment,
        offset: u64,
        chain: Chain,
        mark: Option<Mark>,
        lock: Box<dyn VfsFile>,
    ) -> Self {
        let marked_vote = mark.as_ref().map_or((0, 0), |m| (m.slot.term, m.slot.vote));
        let shared = Arc::new(Shared {
            live: parking_lot::RwLock::new(live),
            ..Shared::default()
        });
        Self {
            options: options.clone(),
            dir: dir.to_path_buf(),
            metadata,
            shared,
            tail,
            offset,
            zeroed: 0,
            chain,
            durable_seq: chain.seq,
            pending: Pending::default(),
            hs: HardState::default(),
            durable_hs: HardState::default(),
            snapshot: 0,
            marked_vote,
            mark,
            scratch: Vec::new(),
            poison: None,
            reserve: false,
            space: Space::Ample,
            stalled: false,
            last_write: Instant::now(),
            _lock: lock,
        }
    }

    /// Makes the tail known to readers.
    fn publish(&self) {
        let mut live = self.shared.live.write();
        live.segments.insert(self.tail.name.seq, self.tail.clone());
        let n = live.segments.len() as u64;
        self.shared.counters.segments.store(n, Ordering::Relaxed);
    }

    /// Opens a log for appending: cuts off an unfinished write (and keeps it), writes and syncs anew what was not proven durable. A directory of etcd's is read by etcd's rules
    /// and appended to in a fresh segment. Go: Open and ReadAll
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::MarkMissing`], [`Error::Version`] and [`Error::MetadataConflict`] leave the directory untouched;
    /// [`Error::Locked`], [`Error::FileNotFound`], [`Error::Io`], [`Error::NoSpace`].
    #[doc(alias = "Open")]
    pub fn open(dir: &Path, options: &Options) -> Result<(Self, Recovered), Error> {
        Self::open_with(dir, options, false)
    }

    /// As [`Wal::open`], but a missing mark is accepted: what the records alone prove is taken for all there was. `wal repair --without-mark`
    ///
    /// # Errors
    /// As [`Wal::open`].
    pub fn open_without_mark(dir: &Path, options: &Options) -> Result<(Self, Recovered), Error> {
        Self::open_with(dir, options, true)
    }

    /// Cuts off a torn tail and keeps it, and changes nothing else: the log is locked and read as [`Wal::open`] does. With `without_mark`, a missing mark is made anew from what the
    /// records prove. Go: Repair
    ///
    /// # Errors
    /// As [`Wal::open`]: corruption is not repaired.
    #[doc(alias = "Repair")]
    pub fn repair(
        dir: &Path,
        options: &Options,
        without_mark: bool,
    ) -> Result<Option<Torn>, Error> {
        if !without_mark {
            drop(lock_dir_if_there(options, dir)?);
            let s = scan(options.vfs.as_ref(), dir, ScanOptions::default())?;
            if s.torn.is_none() {
                return Ok(None);
            }
            if !s.protected {
                return repair_etcd(options, dir);
            }
        }
        let (_, found) = Self::open_with(dir, options, without_mark)?;
        Ok(found.torn)
    }

    fn open_with(
        dir: &Path,
        options: &Options,
        without_mark: bool,
    ) -> Result<(Self, Recovered), Error> {
        let vfs = options.vfs.as_ref();
        if SegmentName::list(vfs, dir)?.is_empty() && mark::read(vfs, dir)?.is_none() {
            return Err(Error::FileNotFound {
                path: dir.to_path_buf(),
            });
        }
        let lock_path = dir.join(LOCK);
        let has_lock = vfs
            .exists(&lock_path)
            .map_err(|e| Error::io("look for", &lock_path, e))?;
        let lock = lock_dir(
            options,
            dir,
            if has_lock { Mode::Write } else { Mode::Create },
        )?;
        let mut s = scan(
            vfs,
            dir,
            ScanOptions {
                write: true,
                without_mark,
            },
        )?;
        if s.protected && options.format == Format::Etcd {
            return Err(Error::Usage(
                "a protected log is not written in etcd's plain format; use `wal export --etcd`",
            ));
        }
        let Some(tail) = s.segments.last().cloned() else {
            return Err(Error::FileNotFound {
                path: dir.to_path_buf(),
            });
        };
        keep_broken(options, dir, &tail, &mut s)?;
        let cut = s.torn.is_some();
        let recovered = recovered(&s);
        let mut wal = Self::from_scan(options, dir, s, tail, lock)?;
        wal.secure_tail(&recovered, cut)?;
        wal.refill_reserve();
        info!(options.logger, "opened the write-ahead log"; "dir" => %dir.display(),
            "last-index" => recovered.entries.1, "segments" => wal.shared.live.read().segments.len());
        Ok((wal, recovered))
    }

    fn from_scan(
        options: &Options,
        dir: &Path,
        s: Scan,
        tail: Segment,
        lock: Box<dyn VfsFile>,
    ) -> Result<Self, Error> {
        let vfs = options.vfs.as_ref();
        let log_id = if s.log_id != 0 || options.format == Format::Etcd {
            s.log_id
        } else {
            options.random(1)?
        };
        let cut_epoch = u64::from(s.torn.is_some() && s.protected);
        let known = s.epoch.max(s.mark.map_or(0, |m| m.epoch)).max(1);
        let chain = Chain {
            crc: s.crc,
            seq: s.seq,
            epoch: known + cut_epoch,
            log_id,
            seed: seed(log_id, tail.name.seq),
            // A mark may stand before the first protected segment does.
            protected: s.protected && s.mark.is_none_or(|m| m.protected_from <= tail.name.seq),
        };
        let first_unprotected = if s.protected { 0 } else { tail.name.seq + 1 };
        let mut live = Live {
            log_id,
            protected_from: s.mark.map_or(first_unprotected, |m| m.protected_from),
            durable: s.replay.log.last(),
            ..Live::default()
        };
        if options.format == Format::Etcd {
            live.protected_from = u64::MAX;
        }
        live.cache.clear(s.replay.log.last() + 1);
        live.segments = s.segments.iter().map(|g| (g.name.seq, g.clone())).collect();
        live.log = s.replay.log;
        for path in &s.leftover {
            vfs.remove_file(path)
                .map_err(|e| Error::io("remove", path, e))?;
        }
        let mark = match s.mark {
            Some(slot) => Some(Mark::open(vfs, dir, slot)?),
            None => None,
        };
        let valid = s.replay.marks.iter().map(|m| m.mark.index);
        let snapshot = valid.filter(|i| *i <= s.replay.hs.commit).max();
        let metadata = s.replay.metadata.unwrap_or_default();
        let base = live.log.base();
        let mut wal = Self::assemble(options, dir, metadata, live, tail, s.end, chain, mark, lock);
        wal.shared.compacted.store(base, Ordering::Release);
        (wal.hs, wal.durable_hs) = (s.replay.hs, s.replay.hs);
        wal.snapshot = snapshot.unwrap_or(0);
        wal.publish();
        Ok(wal)
    }

    /// Before anything is appended: the space behind the end is zero and synced, what was not proven durable is written anew and synced, and the mark says so. A page
    /// cache can return bytes that never reached the disk, so reading them proves nothing.
    fn secure_tail(&mut self, r: &Recovered, cut: bool) -> Result<(), Error> {
        let proven = r.proven_offset;
        let (file, path) = (Arc::clone(&self.tail.file), self.tail.path.clone());
        let io = |op, e| Error::io(op, &path, e);
        if self.chain.protected {
            rewrite(file.as_ref(), proven, self.offset).map_err(|e| io("rewrite", e))?;
        }
        let fresh = !self.chain.protected;
        if cut || fresh {
            file.set_len(self.offset).map_err(|e| io("truncate", e))?;
        }
        if !fresh {
            self.preallocate_tail()?;
        }
        file.sync().map_err(|e| Error::io_fatal("sync", &path, e))?;
        self.options
            .vfs
            .sync_dir(&self.dir)
            .map_err(|e| Error::io_fatal("sync directory", &self.dir, e))?;
        if fresh {
            // etcd's last segment is left as it is; ours follow it.
            return self.start_fresh_segment();
        }
        if self.mark.is_none() {
            // What was purged before is not missed.
            let slot = Slot {
                floor: self.first_segment(),
                ..Slot::default()
            };
            let m = Mark::create(self.options.vfs.as_ref(), &self.dir, slot)?;
            self.mark = Some(m);
            self.options
                .vfs
                .sync_dir(&self.dir)
                .map_err(|e| Error::io_fatal("sync directory", &self.dir, e))?;
        }
        self.write_mark(true)
    }

    /// Where the space is gone the log can still be opened: writing then says so.
    fn preallocate_tail(&mut self) -> Result<(), Error> {
        match self.tail.file.allocate(self.options.segment_size) {
            Err(e) if !crate::error::is_no_space(&e) => {
                Err(Error::io("allocate", &self.tail.path, e))
            }
            Err(_) => {
                self.space = Space::Reserve;
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    fn start_fresh_segment(&mut self) -> Result<(), Error> {
        self.chain.protected = self.options.format == Format::Protected;
        if self.chain.protected {
            (self.chain.seq, self.durable_seq) = (0, 0);
            // Before the segment: a protected one without a mark would be refused after a crash in between.
            self.adopt_mark()?;
        }
        self.cut()
    }

    /// Reads a log without changing anything; it may be open elsewhere.
    ///
    /// # Errors
    /// As [`Wal::open`], but for locks.
    ///
    /// ```
    /// use tickraft_storage_wal::{Options, Wal};
    /// let dir = tempfile::tempdir().unwrap();
    /// assert!(Wal::read(dir.path(), &Options::default()).is_err(), "there is no log");
    /// ```
    pub fn read(dir: &Path, options: &Options) -> Result<(WalReader, Recovered), Error> {
        let s = scan(options.vfs.as_ref(), dir, ScanOptions::default())?;
        let recovered = recovered(&s);
        let first_unprotected = if s.protected { 0 } else { u64::MAX };
        let mut live = Live {
            log_id: s.log_id,
            protected_from: s.mark.map_or(first_unprotected, |m| m.protected_from),
            durable: s.replay.log.last(),
            segments: s.segments.iter().map(|g| (g.name.seq, g.clone())).collect(),
            ..Live::default()
        };
        live.cache.clear(s.replay.log.last() + 1);
        live.log = s.replay.log;
        let shared = Shared {
            compacted: live.log.base().into(),
            live: parking_lot::RwLock::new(live),
            ..Shared::default()
        };
        let reader = WalReader {
            shared: Arc::new(shared),
        };
        Ok((reader, recovered))
    }

    /// The metadata of the last segment's head; `None` where it cannot be read.
    pub(crate) fn peek_metadata(dir: &Path, options: &Options) -> Result<Option<Vec<u8>>, Error> {
        let vfs = options.vfs.as_ref();
        let Some(name) = SegmentName::list(vfs, dir)?.pop() else {
            return Ok(None);
        };
        let path = name.path(dir);
        let file = vfs
            .open(&path, Mode::Read)
            .map_err(|e| Error::io("open", &path, e))?;
        let segment = Segment {
            name,
            path,
            file: Arc::from(file),
        };
        let mut r = SegmentReader::new(&segment)?.with_window(4096);
        let Raw::Frame(head) = r.frame(0)? else {
            return Ok(None);
        };
        let (at, crc) = (head.len() as u64, Frame::parse(head).map_or(0, |f| f.crc));
        let Raw::Frame(b) = r.frame(at)? else {
            return Ok(None);
        };
        Ok(Frame::parse(b)
            .filter(|f| f.kind == kind::METADATA && f.crc == crc32c_append(crc, f.data()))
            .map(|f| f.data().to_vec()))
    }

    /// A handle that reads the log while this one writes it.
    #[must_use]
    pub fn reader(&self) -> WalReader {
        WalReader {
            shared: Arc::clone(&self.shared),
        }
    }

    /// What was given at create.
    #[must_use]
    pub fn metadata(&self) -> &[u8] {
        &self.metadata
    }

    /// The last hard state appended.
    #[must_use]
    pub fn hard_state(&self) -> HardState {
        self.hs
    }

    /// How much room there is. Checked anew with every append while it is not [`Space::Ample`].
    #[must_use]
    pub fn space(&self) -> Space {
        self.space
    }

    /// What this log has done since it was opened.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.counters.read()
    }

    fn healthy(&self) -> Result<(), Error> {
        match &self.poison {
            Some(e) => Err(Error::Poisoned(Arc::clone(e))),
            None => Ok(()),
        }
    }

    /// After this, nothing is acknowledged any more.
    fn poisoned(&mut self, e: Error) -> Error {
        warn!(self.options.logger, "the write-ahead log is poisoned"; "error" => %e);
        self.poison = Some(Arc::new(e.clone()));
        e
    }

    /// Takes entries, then a hard state, into the batch that the next [`sync`](Wal::sync) makes durable. Entries replace what the log holds from the first one's index on. Readers
    /// see them at once. Go: Save, without its sync
    ///
    /// # Errors
    /// [`Error::NoSpace`]: nothing was kept, give it again. [`Error::OutOfRange`]: the entries leave a gap, reach below the log's start, or do not follow each other; nothing was kept.
    #[doc(alias = "Save")]
    pub fn append(&mut self, entries: &Entries, hs: Option<&HardState>) -> Result<(), Error> {
        let hs = hs.filter(|h| !h.is_empty());
        self.healthy()?;
        if entries.is_empty() && hs.is_none() {
            return Ok(());
        }
        self.check(entries, hs)?;
        self.make_room(!entries.is_empty())?;
        let shared = Arc::clone(&self.shared);
        let mut live = shared.live.write();
        for e in entries {
            let pos = Pos {
                segment: self.tail.name.seq,
                offset: self.offset + self.pending.buf.len() as u64,
            };
            let crc = self.chain.crc;
            self.push(kind::ENTRY, 0, |b| e.encode_raw(b));
            // Checked before; a refusal here would be a bug, and the record would be refused at open.
            if let Err(why) = live.log.append(e.index, e.term, pos, crc) {
                drop(live);
                return Err(self.poisoned(Error::Usage(why)));
            }
        }
        live.cache.append(entries);
        live.durable = live
            .durable
            .min(entries.first().map_or(u64::MAX, |e| e.index - 1));
        drop(live);
        if let Some(h) = hs {
            let last = shared.live.read().log.last();
            let commit = h.commit.max(self.snapshot.min(last));
            self.hs = HardState { commit, ..*h };
            let hs = self.hs;
            self.push(kind::STATE, 0, |b| hs.encode_raw(b));
        }
        Ok(())
    }

    /// Everything that can be wrong with what is given, before anything changes.
    fn check(&self, entries: &Entries, hs: Option<&HardState>) -> Result<(), Error> {
        if hs.is_some_and(|h| h.term < self.hs.term) {
            return Err(Error::Usage(
                "the hard state's term goes back; nothing was written",
            ));
        }
        let Some(first) = entries.first() else {
            return Ok(());
        };
        let live = self.shared.live.read();
        let (first_ok, last_ok) = (live.log.base() + 1, live.log.last() + 1);
        let term = live.log.term(first.index.saturating_sub(1)).unwrap_or(0);
        check_follows(entries, first.index, first_ok, last_ok, term)
    }

    /// Encodes one record into the batch.
    fn push(&mut self, kind: u64, flags: u64, data: impl FnOnce(&mut Vec<u8>)) {
        if self.pending.sealed
            && let Some(e) = self.pending.last
        {
            self.chain
                .set_end(&mut self.pending.buf, self.offset, e, false);
        }
        self.pending.sealed = false;
        self.scratch.clear();
        data(&mut self.scratch);
        let r = Record {
            kind,
            data: Some(&self.scratch),
            flags,
            head: None,
        };
        let e = self
            .chain
            .push(&mut self.pending.buf, self.offset, self.durable_seq, &r);
        self.pending.last = Some(e);
        self.pending.records += 1;
    }

    /// Makes durable all that was appended: one write, one fsync. Go: sync
    ///
    /// # Errors
    /// [`Error::NoSpace`]: what was appended is still held in memory, and the next sync tries again. Anything else poisons the log.
    pub fn sync(&mut self) -> Result<(), Error> {
        self.healthy()?;
        let Some(last) = self.pending.last else {
            return Ok(());
        };
        if !self.pending.sealed {
            self.chain
                .set_end(&mut self.pending.buf, self.offset, last, true);
            self.pending.sealed = true;
        }
        self.write_pending()?;
        self.sync_tail()?;
        self.offset += self.pending.buf.len() as u64;
        (self.durable_seq, self.durable_hs) = (self.chain.seq, self.hs);
        let written = (self.pending.buf.len() as u64, self.pending.records);
        let counters = &self.shared.counters;
        counters
            .wal_write_bytes
            .fetch_add(written.0, Ordering::Relaxed);
        counters.records.fetch_add(written.1, Ordering::Relaxed);
        // A batch of unusual size must not keep its memory for ever.
        if self.pending.buf.capacity() > 4 << 20 {
            self.pending.buf = Vec::new();
        }
        self.pending.buf.clear();
        (self.pending.last, self.pending.sealed, self.pending.records) = (None, false, 0);
        {
            let mut live = self.shared.live.write();
            live.durable = live.log.last();
            let durable = live.durable;
            live.cache.evict(self.options.cache_bytes, durable);
        }
        let vote_changed = self.marked_vote != (self.hs.term, self.hs.vote);
        self.write_mark(vote_changed)
    }

    /// Writes zeros behind a small batch into space that is only reserved; they become durable with it, and read as before.
    fn zero_ahead(&mut self) -> Result<(), Error> {
        let len = self.pending.buf.len() as u64;
        let end = self.offset + len;
        let ahead = self.options.zero_ahead.min(self.options.segment_size / 4);
        if end <= self.zeroed || len > ahead / 4 || !self.chain.protected {
            return Ok(());
        }
        // Never beyond what is reserved: a file that grew would have to be journalled again.
        let to = (end + ahead).min(self.tail.file.len().unwrap_or(0));
        let zeros = vec![0; usize::try_from(to.saturating_sub(end)).unwrap_or(0)];
        self.zeroed = to;
        let done = write_all_at(self.tail.file.as_ref(), &zeros, end);
        match done.map_err(|e| Error::io("write", &self.tail.path, e)) {
            Err(e) if !matches!(e, Error::NoSpace { .. }) => Err(self.poisoned(e)),
            // Without space for zeros the batch itself may still fit.
            _ => Ok(()),
        }
    }

    fn write_pending(&mut self) -> Result<(), Error> {
        self.zero_ahead()?;
        loop {
            let started = Instant::now();
            let done = write_all_at(self.tail.file.as_ref(), &self.pending.buf, self.offset);
            self.shared.counters.wal_write.observe(started.elapsed());
            let e = match done {
                Ok(()) => {
                    self.stalled = false;
                    return Ok(());
                }
                Err(e) => Error::io("write", &self.tail.path, e),
            };
            if !matches!(e, Error::NoSpace { .. }) {
                return Err(self.poisoned(e));
            }
            // What was written lies behind the last whole batch: the next try writes over it.
            if !self.give_up_reserve() {
                self.stalled = true;
                self.space = Space::Full;
                return Err(e);
            }
        }
    }

    fn sync_tail(&mut self) -> Result<(), Error> {
        let started = Instant::now();
        let done = self.tail.file.sync();
        self.shared.counters.wal_fsync.observe(started.elapsed());
        self.last_write = Instant::now();
        let path = self.tail.path.clone();
        done.map_err(|e| self.poisoned(Error::io_fatal("sync", &path, e)))
    }

    fn write_mark(&mut self, sync: bool) -> Result<(), Error> {
        let Some(m) = &mut self.mark else {
            return Ok(());
        };
        let slot = Slot {
            log_id: self.chain.log_id,
            segment: self.tail.name.seq,
            offset: self.offset,
            seq: self.durable_seq,
            term: self.durable_hs.term,
            vote: self.durable_hs.vote,
            epoch: self.chain.epoch,
            protected_from: self.shared.live.read().protected_from,
            ..m.slot
        };
        let done = m
            .write(slot)
            .and_then(|()| if sync { m.sync() } else { Ok(()) });
        self.marked_vote = (self.durable_hs.term, self.durable_hs.vote);
        done.map_err(|e| self.poisoned(e))
    }

    /// Gives the mark an fsync of its own if it was written since the last: called after some idle time, it closes the window in which a power cut leaves
    /// damage undecidable.
    ///
    /// # Errors
    /// Any error poisons the log.
    pub fn sync_mark(&mut self) -> Result<(), Error> {
        self.healthy()?;
        match &mut self.mark {
            Some(m) if m.dirty => {
                let done = m.sync();
                done.map_err(|e| self.poisoned(e))
            }
            _ => Ok(()),
        }
    }

    /// Whether the mark waits for an fsync, and since when nothing was written.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        let waits = self.poison.is_none() && self.mark.as_ref().is_some_and(|m| m.dirty);
        waits.then_some(self.last_write)
    }

    /// Marks a snapshot of the log that is already on disk, durably. The hard state is written with it, its commit at least the snapshot's index. Go: SaveSnapshot
    ///
    /// # Errors
    /// [`Error::MissingConfState`]; [`Error::NoSpace`]: nothing was kept; anything else poisons the log.
    #[doc(alias = "SaveSnapshot")]
    pub fn save_snapshot(&mut self, mark: &SnapshotMark) -> Result<(), Error> {
        self.check_mark(mark)?;
        self.commit_alone(mark, 0, &Entries::new(), self.hs)?;
        self.sync_mark()
    }

    /// Marks a received snapshot that is already on disk, and takes the entries and the hard state that came with it, all in one batch, durably. The log before it is dropped.
    ///
    /// # Errors
    /// As [`save_snapshot`](Wal::save_snapshot); [`Error::OutOfRange`]: the entries do not follow the snapshot.
    pub fn install_snapshot(
        &mut self,
        mark: &SnapshotMark,
        entries: &Entries,
        hs: Option<&HardState>,
    ) -> Result<(), Error> {
        self.check_mark(mark)?;
        let hs = hs.filter(|h| !h.is_empty()).copied().unwrap_or(self.hs);
        if hs.term < self.hs.term {
            return Err(Error::Usage(
                "the hard state's term goes back; nothing was written",
            ));
        }
        check_follows(
            entries,
            mark.index + 1,
            mark.index + 1,
            mark.index,
            mark.term,
        )?;
        let places = self.commit_alone(mark, INSTALLED, entries, hs)?;
        let shared = Arc::clone(&self.shared);
        let mut live = shared.live.write();
        live.log.reset(mark.index, mark.term);
        live.cache.clear(mark.index + 1);
        for (e, (pos, crc)) in entries.iter().zip(places) {
            if let Err(why) = live.log.append(e.index, e.term, pos, crc) {
                drop(live);
                return Err(self.poisoned(Error::Usage(why)));
            }
        }
        live.cache.append(entries);
        live.durable = live.log.last();
        let durable = live.durable;
        live.cache.evict(self.options.cache_bytes, durable);
        shared.compacted.store(mark.index, Ordering::Release);
        drop(live);
        self.sync_mark()
    }

    fn check_mark(&self, mark: &SnapshotMark) -> Result<(), Error> {
        self.healthy()?;
        if mark.conf_state.is_none() && mark.index > 0 {
            return Err(Error::MissingConfState { index: mark.index });
        }
        if mark.index == u64::MAX || mark.term == u64::MAX {
            return Err(Error::Usage(
                "an absurd snapshot index or term; nothing was written",
            ));
        }
        Ok(())
    }

    /// Writes and syncs a snapshot mark and what belongs to it as one batch, or nothing of it. Returns the entries' places, each with the CRC chain before it.
    fn commit_alone(
        &mut self,
        mark: &SnapshotMark,
        flags: u64,
        entries: &Entries,
        hs: HardState,
    ) -> Result<Vec<(Pos, u32)>, Error> {
        // What was appended before comes first, in a batch of its own.
        self.sync()?;
        self.make_room(false)?;
        let (chain, old) = (self.chain, self.hs);
        let commit = hs.commit.max(mark.index);
        self.push(kind::SNAPSHOT, flags, |b| mark.encode_raw(b));
        let mut places = Vec::with_capacity(entries.len());
        for e in entries {
            let pos = Pos {
                segment: self.tail.name.seq,
                offset: self.offset + self.pending.buf.len() as u64,
            };
            places.push((pos, self.chain.crc));
            self.push(kind::ENTRY, 0, |b| e.encode_raw(b));
        }
        self.hs = HardState { commit, ..hs };
        if !self.hs.is_empty() {
            let hs = self.hs;
            self.push(kind::STATE, 0, |b| hs.encode_raw(b));
        }
        match self.sync() {
            Err(e @ Error::NoSpace { .. }) => {
                (self.chain, self.hs, self.stalled) = (chain, old, false);
                self.pending = Pending::default();
                Err(e)
            }
            done => {
                self.snapshot = self.snapshot.max(mark.index);
                done.map(|()| places)
            }
        }
    }

    /// Cuts a full segment, and refuses entries while the disk is full and the reserve is nearly used up.
    fn make_room(&mut self, entries: bool) -> Result<(), Error> {
        if self.space != Space::Ample {
            self.refill_reserve();
        }
        if self.stalled && entries {
            self.sync()?;
        }
        if self.pending.last.is_none() && self.offset >= self.options.segment_size {
            match self.cut() {
                // What is left of this one will do for now.
                Err(Error::NoSpace { .. }) => {}
                done => return done,
            }
        }
        if self.space == Space::Ample {
            return Ok(());
        }
        // The last part of what is preallocated is for terms and votes.
        let len = self
            .tail
            .file
            .len()
            .map_err(|e| Error::io("measure", &self.tail.path, e))?;
        let used = self.offset + self.pending.buf.len() as u64;
        let kept_back = if entries {
            (self.options.segment_size / 8).min(1 << 20)
        } else {
            64
        };
        if !self.reserve && used + kept_back >= len {
            self.space = Space::Full;
            return Err(Error::NoSpace {
                path: self.tail.path.clone(),
            });
        }
        Ok(())
    }

    /// Starts the next segment: complete and synced under a temporary name, then renamed. Go: cut
    fn cut(&mut self) -> Result<(), Error> {
        let vfs = Arc::clone(&self.options.vfs);
        let last = self.shared.live.read().log.last();
        let name = SegmentName {
            seq: self.tail.name.seq + 1,
            index: last + 1,
        };
        let mut chain = self.chain;
        chain.seed = seed(chain.log_id, name.seq);
        let (tmp, file) = self.next_file()?;
        let state = self.hs.encode_to_vec();
        let state: &[(u64, &[u8])] = &[(kind::STATE, &state)];
        let state = if self.hs.is_empty() { &[] } else { state };
        let buf = encode_head(&mut chain, name, &self.metadata, state);
        let path = name.path(&self.dir);
        let prepared = self.prepare_next(file.as_ref(), &tmp, &buf).and_then(|()| {
            vfs.rename(&tmp, &path)
                .map_err(|e| Error::io("rename", &path, e))
        });
        if let Err(e) = prepared {
            if matches!(e, Error::NoSpace { .. }) {
                let _ = vfs.remove_file(&tmp);
                self.space = Space::Full;
                return Err(e);
            }
            return Err(self.poisoned(e));
        }
        if let Err(e) = vfs.sync_dir(&self.dir) {
            return Err(self.poisoned(Error::io_fatal("sync directory", &self.dir, e)));
        }
        self.tail = Segment {
            name,
            path,
            file: Arc::from(file),
        };
        (self.offset, self.zeroed) = (buf.len() as u64, 0);
        (self.chain, self.durable_seq) = (chain, chain.seq);
        self.publish();
        info!(self.options.logger, "created a new WAL segment"; "path" => %self.tail.path.display());
        self.write_mark(true)
    }

    /// The mark of a log of etcd's that goes on protected with the next segment. It proves nothing yet.
    fn adopt_mark(&mut self) -> Result<(), Error> {
        let protected_from = self.tail.name.seq + 1;
        self.shared.live.write().protected_from = protected_from;
        if self.mark.is_some() {
            return Ok(());
        }
        let slot = Slot {
            log_id: self.chain.log_id,
            segment: self.tail.name.seq,
            floor: self.first_segment(),
            protected_from,
            epoch: self.chain.epoch,
            ..Slot::default()
        };
        let vfs = Arc::clone(&self.options.vfs);
        let m = Mark::create(vfs.as_ref(), &self.dir, slot);
        self.mark = Some(m.map_err(|e| self.poisoned(e))?);
        let done = vfs.sync_dir(&self.dir);
        done.map_err(|e| self.poisoned(Error::io_fatal("sync directory", &self.dir, e)))
    }

    /// The sequence of the oldest segment.
    fn first_segment(&self) -> u64 {
        let live = self.shared.live.read();
        live.segments.keys().next().copied().unwrap_or(0)
    }

    /// Writes and syncs the head of the next segment and seals this one.
    fn prepare_next(&mut self, file: &dyn VfsFile, tmp: &Path, head: &[u8]) -> Result<(), Error> {
        write_all_at(file, head, 0).map_err(|e| Error::io("write", tmp, e))?;
        file.sync().map_err(|e| Error::io_fatal("sync", tmp, e))?;
        let path = &self.tail.path;
        self.tail
            .file
            .set_len(self.offset)
            .map_err(|e| Error::io_fatal("truncate", path, e))?;
        self.sync_tail()
    }

    /// A preallocated file for the next segment; the reserve where the disk is full.
    fn next_file(&mut self) -> Result<(PathBuf, Box<dyn VfsFile>), Error> {
        let vfs = Arc::clone(&self.options.vfs);
        let tmp = self.dir.join(NEXT);
        let make = || -> Result<Box<dyn VfsFile>, Error> {
            let f = vfs
                .open(&tmp, Mode::Create)
                .map_err(|e| Error::io("create", &tmp, e))?;
            f.allocate(self.options.segment_size)
                .map_err(|e| Error::io("allocate", &tmp, e))?;
            Ok(f)
        };
        match make() {
            Ok(f) => {
                lock_segment(f.as_ref(), &tmp)?;
                Ok((tmp, f))
            }
            Err(e @ Error::NoSpace { .. }) => {
                let _ = vfs.remove_file(&tmp);
                if !self.reserve {
                    self.space = Space::Full;
                    return Err(e);
                }
                let path = self.dir.join(RESERVE);
                let f = vfs
                    .open(&path, Mode::Write)
                    .map_err(|e| Error::io("open", &path, e))?;
                lock_segment(f.as_ref(), &path)?;
                (self.reserve, self.space) = (false, Space::Reserve);
                warn!(
                    self.options.logger,
                    "no space left: writing into the reserve"
                );
                Ok((path, f))
            }
            // Nothing of the log was touched.
            Err(e) => Err(e),
        }
    }

    /// Frees the reserve for a write that found no space. False when there is none.
    fn give_up_reserve(&mut self) -> bool {
        if !self.reserve {
            return false;
        }
        (self.reserve, self.space) = (false, Space::Reserve);
        warn!(
            self.options.logger,
            "no space left: the reserve is given up"
        );
        self.options
            .vfs
            .remove_file(&self.dir.join(RESERVE))
            .is_ok()
    }

    /// Looks whether there is room again.
    pub(crate) fn check_space(&mut self) {
        if self.space != Space::Ample {
            self.refill_reserve();
        }
    }

    /// Sets space aside again, if there is any.
    fn refill_reserve(&mut self) {
        if self.options.reserve == 0 || self.options.format == Format::Etcd {
            // Nothing is held back: only a failed write tells that the disk is full.
            if !self.stalled {
                self.space = Space::Ample;
            }
            return;
        }
        if self.reserve {
            self.space = Space::Ample;
            return;
        }
        let path = self.dir.join(RESERVE);
        let make = || -> io::Result<()> {
            let f = self.options.vfs.open(&path, Mode::Create)?;
            f.allocate(self.options.reserve)
        };
        if make().is_ok() {
            (self.reserve, self.space) = (true, Space::Ample);
        } else {
            let _ = self.options.vfs.remove_file(&path);
            if self.space == Space::Ample {
                self.space = Space::Reserve;
            }
        }
    }

    /// Lets go of the entries up to and including `index`: readers no longer see them.
    pub(crate) fn compact(&mut self, index: u64) {
        let mut live = self.shared.live.write();
        live.log.compact(index);
        live.cache.compact(index);
        self.shared.compacted.fetch_max(index, Ordering::Release);
    }

    /// The segment that a reader at `index` must start with: the last whose name's index is not above it. Go: searchIndex
    #[doc(alias = "searchIndex")]
    pub(crate) fn segment_for(&self, index: u64) -> u64 {
        let live = self.shared.live.read();
        let by_name = live
            .segments
            .values()
            .rev()
            .find(|s| s.name.index <= index)
            .map_or(0, |s| s.name.seq);
        // After an overwrite the names' indexes go down; then the live entries decide.
        let by_place = live.log.segment_after(index).unwrap_or(u64::MAX);
        by_name.min(by_place)
    }

    /// The sequence of the segment being written.
    pub(crate) fn tail_seq(&self) -> u64 {
        self.tail.name.seq
    }

    /// The first segment that must stay for a snapshot at `index`, marked in segment `marked`, and for readers behind `compacted`.
    pub(crate) fn floor(&self, index: u64, marked: u64, compacted: u64) -> u64 {
        let live = self.shared.live.read();
        let for_readers = live.log.segment_after(compacted).unwrap_or(u64::MAX);
        drop(live);
        self.segment_for(index).min(marked).min(for_readers)
    }

    /// After opening: entries up to `start` stay compacted, and the first index is one whose term before it is known.
    pub(crate) fn start_at(
        &mut self,
        start: u64,
        snapshot: &storage::raftpb::SnapshotMetadata,
    ) -> Result<(), Error> {
        let mut live = self.shared.live.write();
        live.log.know_base(snapshot.index, snapshot.term);
        let base = live.log.base();
        let known = live.log.term(base).is_some();
        if !known && base >= snapshot.index {
            return Err(Error::MissingLog {
                snapshot: snapshot.index,
                reason: "the log begins behind it".into(),
                missing_from: snapshot.index + 1,
                missing_to: base,
            });
        }
        drop(live);
        let start = if known { start } else { start.max(base + 1) };
        if start > base {
            self.compact(start);
        }
        Ok(())
    }

    /// Removes the segments that a reader at `index` does not need, after saying so in the mark. Go: ReleaseLockTo, and fileutil's purge
    ///
    /// # Errors
    /// [`Error::Io`]: the mark or the directory could not be written, and the log is poisoned.
    #[doc(alias = "ReleaseLockTo")]
    pub fn purge(&mut self, index: u64) -> Result<(), Error> {
        let floor = self.segment_for(index);
        self.purge_below(floor, (index.min(self.reader().first_index() - 1), 0))
    }

    pub(crate) fn purge_below(&mut self, floor: u64, compacted: (u64, u64)) -> Result<(), Error> {
        self.healthy()?;
        let floor = floor.min(self.tail.name.seq);
        let gone: Vec<Segment> = {
            let live = self.shared.live.read();
            live.segments
                .range(..floor)
                .map(|(_, s)| s.clone())
                .collect()
        };
        if let Some(m) = &mut self.mark {
            if compacted.0 > m.slot.compacted && compacted.1 > 0 {
                (m.slot.compacted, m.slot.compacted_term) = compacted;
            } else if gone.is_empty() {
                return Ok(());
            }
            m.slot.floor = m.slot.floor.max(floor);
            self.write_mark(true)?;
        }
        for s in &gone {
            self.shared.live.write().segments.remove(&s.name.seq);
            if let Err(e) = self.options.vfs.remove_file(&s.path) {
                return Err(self.poisoned(Error::io_fatal("remove", &s.path, e)));
            }
        }
        if !gone.is_empty() {
            self.publish();
            if let Err(e) = self.options.vfs.sync_dir(&self.dir) {
                return Err(self.poisoned(Error::io_fatal("sync directory", &self.dir, e)));
            }
        }
        Ok(())
    }

    /// Syncs what was appended, and the mark, and closes. Dropping without it is a crash: what was synced is safe.
    ///
    /// # Errors
    /// As [`sync`](Wal::sync).
    pub fn close(mut self) -> Result<(), Error> {
        self.sync()?;
        self.sync_mark()
    }
}

/// Entries from index `next` on, which must lie in `first_ok..=last_ok`, the term never below `term`.
fn check_follows(
    entries: &Entries,
    mut next: u64,
    first_ok: u64,
    last_ok: u64,
    mut term: u64,
) -> Result<(), Error> {
    let last = last_ok.max(first_ok);
    if !entries.is_empty() && !(first_ok..=last).contains(&next) {
        return Err(Error::OutOfRange {
            index: next,
            first: first_ok,
            last,
        });
    }
    for e in entries {
        if e.index != next || e.index == u64::MAX {
            return Err(Error::OutOfRange {
                index: e.index,
                first: next,
                last: next,
            });
        }
        if e.term < term || e.term == u64::MAX {
            return Err(Error::Usage(
                "the term goes down from one entry to the next; nothing was written",
            ));
        }
        (next, term) = (next + 1, e.term);
    }
    Ok(())
}

fn tmp_dir(dir: &Path) -> PathBuf {
    let mut name = dir.file_name().unwrap_or_default().to_os_string();
    name.push(".tmp");
    parent(dir).join(name)
}

fn lock_segment(file: &dyn VfsFile, path: &Path) -> Result<(), Error> {
    match file.try_lock() {
        Ok(true) => Ok(()),
        Ok(false) => Err(Error::Locked {
            path: path.to_path_buf(),
        }),
        Err(e) => Err(Error::io("lock", path, e)),
    }
}

/// The first records of a segment: crc, metadata, then what is given. They are one batch.
fn encode_head(
    chain: &mut Chain,
    name: SegmentName,
    metadata: &[u8],
    rest: &[(u64, &[u8])],
) -> Vec<u8> {
    let mut buf = Vec::new();
    let durable = chain.seq;
    let head = Head {
        version: VERSION,
        segment: name.seq,
        first_index: name.index,
        log_id: chain.log_id,
    };
    let mut last = chain.push(
        &mut buf,
        0,
        durable,
        &Record {
            kind: kind::CRC,
            data: None,
            flags: 0,
            head: Some(head),
        },
    );
    for (kind, data) in [(kind::METADATA, metadata)].iter().chain(rest) {
        last = chain.push(
            &mut buf,
            0,
            durable,
            &Record {
                kind: *kind,
                data: Some(data),
                flags: 0,
                head: None,
            },
        );
    }
    chain.set_end(&mut buf, 0, last, true);
    buf
}

/// Writes the bytes `proven..end` again, from their 4 KiB block on: a page that a failed fsync left clean becomes dirty, and the next fsync writes it.
fn rewrite(file: &dyn VfsFile, proven: u64, end: u64) -> io::Result<()> {
    let mut at = proven & !4095;
    let mut buf = Vec::new();
    while at < end {
        let n = (end - at).min(1 << 20);
        buf.resize(usize::try_from(n).unwrap_or(0), 0);
        crate::vfs::read_exact_at(file, &mut buf, at)?;
        write_all_at(file, &buf, at)?;
        at += n;
    }
    Ok(())
}

/// Copies what is about to be cut off into a `.broken` file beside the segment, and syncs it.
fn keep_broken(options: &Options, dir: &Path, tail: &Segment, s: &mut Scan) -> Result<(), Error> {
    let Some(t) = &mut s.torn else { return Ok(()) };
    let path = dir.join(format!("{}.{:x}-{:x}.broken", t.segment, s.epoch, t.offset));
    let vfs = options.vfs.as_ref();
    let out = vfs
        .open(&path, Mode::Create)
        .map_err(|e| Error::io("create", &path, e))?;
    let mut buf = vec![0; 1 << 20];
    let mut done = 0;
    while done < t.bytes {
        let n = usize::try_from(t.bytes - done)
            .unwrap_or(usize::MAX)
            .min(buf.len());
        let part = buf.get_mut(..n).unwrap_or_default();
        crate::vfs::read_exact_at(tail.file.as_ref(), part, t.offset + done)
            .map_err(|e| Error::io("read", &tail.path, e))?;
        write_all_at(out.as_ref(), part, done).map_err(|e| Error::io("write", &path, e))?;
        done += n as u64;
    }
    out.sync().map_err(|e| Error::io("sync", &path, e))?;
    vfs.sync_dir(dir)
        .map_err(|e| Error::io("sync directory", dir, e))?;
    warn!(options.logger, "cut off an unfinished write"; "segment" => &t.segment, "offset" => t.offset,
        "bytes" => t.bytes, "kept" => %path.display());
    t.kept = Some(path);
    Ok(())
}

fn recovered(s: &Scan) -> Recovered {
    let Replay {
        metadata,
        hs,
        marks,
        log,
        dropped,
        ..
    } = &s.replay;
    let m = s.mark.unwrap_or_default();
    Recovered {
        metadata: metadata.clone().unwrap_or_default(),
        hard_state: *hs,
        marks: marks.iter().map(|m| m.mark.clone()).collect(),
        entries: (log.base() + 1, log.last()),
        dropped_entries: *dropped,
        torn: s.torn.clone(),
        protected: s.protected,
        sequence: (s.seq, s.proven),
        read: (s.records, s.bytes),
        compacted: (m.compacted, m.compacted_term),
        mark_segments: marks.iter().map(|m| m.segment).collect(),
        proven_offset: s.proven_offset,
    }
}
