//! Opening, reading and repairing a log. Go: Open, OpenForRead, ReadAll, Repair

use super::*;

pub(super) fn lock_dir_if_there(
    options: &Options,
    dir: &Path,
) -> Result<Option<Box<dyn VfsFile>>, Error> {
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
pub(super) fn repair_etcd(options: &Options, dir: &Path) -> Result<Option<Torn>, Error> {
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

pub(super) fn lock_dir(
    options: &Options,
    dir: &Path,
    mode: Mode,
) -> Result<Box<dyn VfsFile>, Error> {
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
    /// Opens a log for appending: cuts off an unfinished write (and keeps it), writes and syncs anew what was not proven durable. A directory of etcd's is read by etcd's rules
    /// and appended to in a fresh segment. Go: Open and ReadAll
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::MarkMissing`], [`Error::Version`] and [`Error::MetadataConflict`] leave the directory untouched;
    /// [`Error::Locked`], [`Error::FileNotFound`], [`Error::Io`], [`Error::NoSpace`].
    #[doc(alias = "Open")]
    pub fn open(dir: &Path, options: &Options) -> Result<(Self, Recovered), Error> {
        let (mut wal, found) = Self::open_with(dir, options, false)?;
        wal.prepare_spares()?;
        Ok((wal, found))
    }

    /// As [`Wal::open`], but a missing mark is accepted: what the records alone prove is taken for all there was. `wal repair --without-mark`
    ///
    /// # Errors
    /// As [`Wal::open`].
    pub fn open_without_mark(dir: &Path, options: &Options) -> Result<(Self, Recovered), Error> {
        let (mut wal, found) = Self::open_with(dir, options, true)?;
        wal.prepare_spares()?;
        Ok((wal, found))
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

    pub(super) fn open_with(
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
        match keep_broken(options, dir, &tail, &mut s) {
            // A full disk must not keep a node from coming back.
            Err(Error::NoSpace { .. }) => {
                remove_spares(vfs, dir)?;
                let _ = vfs.remove_file(&dir.join(RESERVE));
                keep_broken(options, dir, &tail, &mut s)?;
            }
            done => done?,
        }
        let cut = s.torn.is_some();
        let recovered = recovered(&s);
        let mut wal = Self::from_scan(options, dir, s, tail, lock)?;
        wal.secure_tail(&recovered, cut)?;
        wal.refill_reserve();
        info!(options.logger, "opened the write-ahead log"; "dir" => %dir.display(),
            "last-index" => recovered.entries.1, "segments" => wal.shared.live.read().segments.len());
        Ok((wal, recovered))
    }

    pub(super) fn from_scan(
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
            epoch: known.saturating_add(cut_epoch),
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
        remove_spares(vfs, dir)?;
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
}
