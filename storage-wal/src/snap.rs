//! Snapshot files. Go: server/etcdserver/api/snap/snapshotter.go

use crate::Error;
use crate::crc::crc32c;
use crate::stats::Counters;
use crate::vfs::{Mode, Vfs, parent, read_file, sync_parent, write_all_at};
use prost::Message as _;
use prost::encoding::{WireType, decode_key, decode_varint, encode_key, encode_varint};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;
use storage::raftpb::Snapshot;
use storage::raftpb::bytes::{Buf as _, Bytes};

/// Stores snapshots as etcd does: `%016x-%016x.snap` (term, index) holding {1 CRC-32C, 2 the snapshot}. Go: Snapshotter
///
/// ```
/// use std::sync::Arc;
/// use tickraft_storage_wal::{Snapshotter, vfs::OsFs};
/// use tickraft_storage_wal::raftpb::Snapshot;
/// let dir = tempfile::tempdir().unwrap();
/// let s = Snapshotter::new(dir.path(), Arc::new(OsFs));
/// let mut snapshot = Snapshot { data: "state".into(), ..Snapshot::default() };
/// (snapshot.metadata.term, snapshot.metadata.index) = (2, 7);
/// s.save_snap(&snapshot).unwrap();
/// assert_eq!(s.names().unwrap(), [(2, 7)]);
/// assert_eq!(s.load(2, 7).unwrap(), snapshot);
/// ```
#[derive(Clone, Debug)]
pub struct Snapshotter {
    dir: PathBuf,
    vfs: Arc<dyn Vfs>,
    pub(crate) counters: Arc<Counters>,
}

impl Snapshotter {
    /// Of a directory that exists.
    #[must_use]
    pub fn new(dir: &Path, vfs: Arc<dyn Vfs>) -> Self {
        Self {
            dir: dir.to_path_buf(),
            vfs,
            counters: Arc::default(),
        }
    }

    /// Where a snapshot lies.
    #[must_use]
    pub fn path(&self, term: u64, index: u64) -> PathBuf {
        self.dir.join(format!("{term:016x}-{index:016x}.snap"))
    }

    /// Writes a snapshot and its name, durably: a temporary file, fsync, rename, fsync of the directory. Returns the file's size. Go: SaveSnap
    ///
    /// # Errors
    /// [`Error::NoSpace`], [`Error::Io`]: the directory is as it was, but perhaps for a temporary file.
    #[doc(alias = "SaveSnap")]
    pub fn save_snap(&self, s: &Snapshot) -> Result<u64, Error> {
        let started = Instant::now();
        let path = self.path(s.metadata.term, s.metadata.index);
        let body = s.encode_to_vec();
        let mut head = Vec::with_capacity(16);
        encode_key(1, WireType::Varint, &mut head);
        encode_varint(u64::from(crc32c(&body)), &mut head);
        encode_key(2, WireType::LengthDelimited, &mut head);
        encode_varint(body.len() as u64, &mut head);
        let tmp = path.with_extension("tmp");
        let done = self.write_tmp(&tmp, &head, &body).and_then(|()| {
            let renamed = self.vfs.rename(&tmp, &path);
            renamed.map_err(|e| Error::io("rename", &path, e))
        });
        if let Err(e) = done {
            let _ = self.vfs.remove_file(&tmp);
            return Err(e);
        }
        sync_parent(self.vfs.as_ref(), &path)?;
        self.counters.snap_save.observe(started.elapsed());
        Ok((head.len() + body.len()) as u64)
    }

    fn write_tmp(&self, tmp: &Path, head: &[u8], body: &[u8]) -> Result<(), Error> {
        let f = self
            .vfs
            .open(tmp, Mode::Create)
            .map_err(|e| Error::io("create", tmp, e))?;
        write_all_at(f.as_ref(), head, 0)
            .and_then(|()| write_all_at(f.as_ref(), body, head.len() as u64))
            .map_err(|e| Error::io("write", tmp, e))?;
        let started = Instant::now();
        let synced = f.sync();
        self.counters.snap_fsync.observe(started.elapsed());
        synced.map_err(|e| Error::io("sync", tmp, e))
    }

    /// Reads a snapshot and checks that it is whole and that it is the one its name says. Go: Read
    ///
    /// # Errors
    /// [`Error::BadSnapshot`], [`Error::Io`].
    #[doc(alias = "Read")]
    pub fn load(&self, term: u64, index: u64) -> Result<Snapshot, Error> {
        let path = self.path(term, index);
        let s = Self::read_path(self.vfs.as_ref(), &path)?;
        if (s.metadata.term, s.metadata.index) != (term, index) {
            return Err(Error::BadSnapshot {
                path,
                reason: format!(
                    "it holds term {}, index {}",
                    s.metadata.term, s.metadata.index
                ),
            });
        }
        Ok(s)
    }

    /// Reads any snapshot file.
    ///
    /// # Errors
    /// [`Error::BadSnapshot`], [`Error::Io`].
    pub fn read_path(vfs: &dyn Vfs, path: &Path) -> Result<Snapshot, Error> {
        let bytes = read_file(vfs, path).map_err(|e| Error::io("read", path, e))?;
        parse(Bytes::from(bytes)).map_err(|reason| Error::BadSnapshot {
            path: path.to_path_buf(),
            reason: reason.into(),
        })
    }

    /// Term and index of every snapshot file, newest first. Go: snapNames
    ///
    /// # Errors
    /// [`Error::Io`].
    #[doc(alias = "snapNames")]
    pub fn names(&self) -> Result<Vec<(u64, u64)>, Error> {
        let all = self
            .vfs
            .read_dir(&self.dir)
            .map_err(|e| Error::io("read directory", &self.dir, e))?;
        let mut found: Vec<_> = all.iter().filter_map(|n| parse_name(n.to_str()?)).collect();
        found.sort_unstable_by(|a, b| b.cmp(a));
        Ok(found)
    }

    /// Removes what crashes left of unfinished files. They only take room, so one that cannot be removed is left.
    pub(crate) fn remove_unfinished(&self) {
        for name in self.vfs.read_dir(&self.dir).unwrap_or_default() {
            if Path::new(&name).extension().is_some_and(|e| e == "tmp") {
                let _ = self.vfs.remove_file(&self.dir.join(name));
            }
        }
    }

    /// Sets a file aside that cannot be read.
    pub(crate) fn set_aside(&self, term: u64, index: u64) -> Result<(), Error> {
        let path = self.path(term, index);
        let aside = path.with_extension("snap.broken");
        match self.vfs.rename(&path, &aside) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(Error::io("rename", &aside, e)),
            Ok(()) => sync_parent(self.vfs.as_ref(), &path),
        }
    }

    /// Removes the snapshots below an index. They are not needed any more, so what cannot be removed only takes room.
    pub(crate) fn remove_below(&self, index: u64) -> Result<(), Error> {
        let mut any = false;
        for (term, i) in self.names()? {
            if i < index {
                let path = self.path(term, i);
                self.vfs
                    .remove_file(&path)
                    .map_err(|e| Error::io("remove", &path, e))?;
                any = true;
            }
        }
        if any {
            let dir = parent(&self.path(0, 0)).to_path_buf();
            self.vfs
                .sync_dir(&dir)
                .map_err(|e| Error::io("sync directory", &dir, e))?;
        }
        Ok(())
    }
}

fn parse_name(name: &str) -> Option<(u64, u64)> {
    let (a, b) = name.strip_suffix(".snap")?.split_once('-')?;
    let hex = |s: &str| {
        (s.len() == 16)
            .then(|| u64::from_str_radix(s, 16).ok())
            .flatten()
    };
    Some((hex(a)?, hex(b)?))
}

fn parse(mut b: Bytes) -> Result<Snapshot, &'static str> {
    const BAD: &str = "not a snapshot file";
    if b.is_empty() {
        return Err("empty");
    }
    let (mut crc, mut body) = (None, None);
    while b.has_remaining() {
        match decode_key(&mut b).map_err(|_| BAD)? {
            (1, WireType::Varint) => crc = decode_varint(&mut b).ok(),
            (2, WireType::LengthDelimited) => {
                let n = decode_varint(&mut b).map_err(|_| BAD)?;
                let n = usize::try_from(n)
                    .ok()
                    .filter(|n| *n <= b.len())
                    .ok_or(BAD)?;
                body = Some(b.split_to(n));
            }
            _ => return Err(BAD),
        }
    }
    let (Some(crc), Some(body)) = (crc, body) else {
        return Err("empty");
    };
    if u64::from(crc32c(&body)) != crc {
        return Err("crc mismatch");
    }
    Snapshot::decode(body).map_err(|_| "the snapshot in it cannot be read")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vfs::{Action, Crash, FaultyFs, OpKind};

    fn snapshot(index: u64) -> Snapshot {
        let mut s = Snapshot {
            data: vec![7; 900].into(),
            ..Snapshot::default()
        };
        (s.metadata.term, s.metadata.index) = (3, index);
        s.metadata.conf_state.voters = vec![1, 2, 3];
        s
    }

    #[test]
    fn any_flipped_bit_is_found() {
        let fs = FaultyFs::new();
        let s = Snapshotter::new(Path::new("/"), Arc::new(fs.clone()));
        s.save_snap(&snapshot(5)).unwrap();
        let path = s.path(3, 5);
        for bit in 0..fs.bytes(&path).unwrap().len() * 8 {
            fs.damage(&path, |b| b[bit / 8] ^= 1 << (bit % 8)).unwrap();
            assert!(
                matches!(s.load(3, 5), Err(Error::BadSnapshot { .. })),
                "bit {bit}"
            );
            fs.damage(&path, |b| b[bit / 8] ^= 1 << (bit % 8)).unwrap();
        }
        assert_eq!(s.load(3, 5).unwrap(), snapshot(5));
    }

    #[test]
    fn a_crash_leaves_a_whole_file_or_none() {
        for crash_at in 0..20 {
            for seed in 0..8 {
                let fs = FaultyFs::new();
                fs.set_hook(move |op| {
                    if op.n == crash_at {
                        Action::Crash
                    } else {
                        Action::Proceed
                    }
                });
                let s = Snapshotter::new(Path::new("/"), Arc::new(fs.clone()));
                let saved = s.save_snap(&snapshot(5)).is_ok();
                let after = fs.crash(&Crash::Seed(seed));
                let s = Snapshotter::new(Path::new("/"), Arc::new(after));
                match s.names().unwrap().as_slice() {
                    [] => assert!(!saved, "crash at {crash_at}, seed {seed}"),
                    _ => assert_eq!(s.load(3, 5).unwrap(), snapshot(5)),
                }
            }
        }
    }

    #[test]
    fn a_full_disk_leaves_no_trace() {
        let fs = FaultyFs::new();
        let s = Snapshotter::new(Path::new("/"), Arc::new(fs.clone()));
        fs.set_hook(|op| match op.kind {
            OpKind::Write => Action::Fail(std::io::ErrorKind::StorageFull),
            _ => Action::Proceed,
        });
        assert!(matches!(
            s.save_snap(&snapshot(5)),
            Err(Error::NoSpace { .. })
        ));
        fs.clear_hook();
        assert!(fs.read_dir(Path::new("/")).unwrap().is_empty());
        s.save_snap(&snapshot(5)).unwrap();
        assert_eq!(s.names().unwrap(), [(3, 5)]);
    }
}
