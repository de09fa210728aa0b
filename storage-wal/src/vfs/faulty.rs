//! A file system in memory that loses unsynced writes, reorders sectors, tears, fails and fills up. Go: none (etcd tests with gofail)

mod calls;
mod disk;

use super::{Mode, Vfs, VfsFile, parent};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use disk::{Change, DirNode, Disk, FileNode, NameChange, Node, name_of, put, resize};

/// What a disk writes whole or not at all.
pub(crate) const SECTOR: u64 = 512;

/// One call that reached the file system, as the hook sees it.
#[derive(Clone, Debug)]
pub struct Op {
    /// Its number, from 0, counted over the life of this file system.
    pub n: u64,
    /// What it is.
    pub kind: OpKind,
    /// On which path; for a rename, the new one.
    pub path: PathBuf,
    /// How many bytes it reads or writes, or the length it sets.
    pub len: u64,
}

/// The kinds of calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum OpKind {
    Open,
    Create,
    Read,
    Write,
    Sync,
    SetLen,
    Allocate,
    CreateDir,
    SyncDir,
    ReadDir,
    Rename,
    Remove,
    Lock,
}

impl OpKind {
    /// Whether the call changes anything: a crash is only worth trying at these.
    #[must_use]
    pub fn writes(self) -> bool {
        !matches!(self, Self::Open | Self::Read | Self::ReadDir | Self::Lock)
    }
}

/// What the hook makes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Do it.
    Proceed,
    /// Fail it. A failed sync loses what it should have written while reads still see it, as a page cache does.
    Fail(io::ErrorKind),
    /// A write or read of at most so many bytes.
    Short(usize),
    /// The power fails before it: this call and all later ones fail. Go on with [`FaultyFs::crash`].
    Crash,
}

/// Which unsynced changes a power cut leaves.
pub enum Crash<'a> {
    /// None.
    Nothing,
    /// All.
    Everything,
    /// Each sector, length and name by a coin drawn from this seed.
    Seed(u64),
    /// Exactly the pending sectors for which this is true, numbered as [`FaultyFs::pending_sectors`] counts; all lengths and names.
    Sectors(&'a dyn Fn(usize) -> bool),
}

impl fmt::Debug for Crash<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("Nothing"),
            Self::Everything => f.write_str("Everything"),
            Self::Seed(s) => write!(f, "Seed({s})"),
            Self::Sectors(_) => f.write_str("Sectors"),
        }
    }
}

type Hook = Arc<dyn Fn(&Op) -> Action + Send + Sync>;

/// A file system in memory with faults. A clone is another handle of the same one.
///
/// ```
/// use std::path::Path;
/// use tickraft_storage_wal::vfs::{Crash, FaultyFs, Mode, Vfs, VfsFile};
///
/// let fs = FaultyFs::new();
/// let f = fs.open(Path::new("/x"), Mode::Create).unwrap();
/// f.write_at(b"synced", 0).unwrap();
/// f.sync().unwrap();
/// fs.sync_dir(Path::new("/")).unwrap();
/// f.write_at(b"unsync", 0).unwrap();
///
/// let after = fs.crash(&Crash::Nothing);
/// assert_eq!(after.bytes(Path::new("/x")).unwrap(), b"synced");
/// assert!(f.write_at(b"x", 0).is_err(), "the old process is gone");
/// ```
#[derive(Clone)]
pub struct FaultyFs {
    disk: Arc<Mutex<Disk>>,
    /// Handles made before a kill are refused.
    process: u64,
}

impl fmt::Debug for FaultyFs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultyFs")
            .field("process", &self.process)
            .finish_non_exhaustive()
    }
}

impl Default for FaultyFs {
    fn default() -> Self {
        Self::new()
    }
}

impl FaultyFs {
    /// An empty file system without faults.
    #[must_use]
    pub fn new() -> Self {
        Self {
            disk: Arc::new(Mutex::new(Disk {
                nodes: vec![Node::Dir(DirNode::default())],
                ops: 0,
                hook: None,
                capacity: u64::MAX,
                process: 0,
                dead: false,
                handles: 0,
            })),
            process: 0,
        }
    }

    /// Asks `hook` before every call; it runs without any lock held and may block.
    pub fn set_hook(&self, hook: impl Fn(&Op) -> Action + Send + Sync + 'static) {
        self.disk.lock().hook = Some(Arc::new(hook));
    }

    /// No more faults.
    pub fn clear_hook(&self) {
        self.disk.lock().hook = None;
    }

    /// How many bytes all files together may have; beyond it calls fail with `StorageFull`.
    pub fn set_capacity(&self, bytes: u64) {
        self.disk.lock().capacity = bytes;
    }

    /// How many bytes all files have now.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.disk.lock().used()
    }

    /// How many calls were made.
    #[must_use]
    pub fn ops(&self) -> u64 {
        self.disk.lock().ops
    }

    /// A copy that shares nothing, locks and hook left out.
    #[must_use]
    pub fn fork(&self) -> Self {
        let mut disk = self.disk.lock().clone();
        disk.hook = None;
        disk.dead = false;
        for n in &mut disk.nodes {
            if let Node::File(f) = n {
                f.locked_by = None;
            }
        }
        let process = disk.process;
        Self {
            disk: Arc::new(Mutex::new(disk)),
            process,
        }
    }

    /// The process dies (SIGKILL): its handles and locks go, the page cache stays. Returns the next process's view.
    #[must_use]
    pub fn kill(&self) -> Self {
        let mut d = self.disk.lock();
        d.process += 1;
        d.hook = None;
        d.dead = false;
        for n in &mut d.nodes {
            if let Node::File(f) = n {
                f.locked_by = None;
            }
        }
        Self {
            disk: Arc::clone(&self.disk),
            process: d.process,
        }
    }

    /// The power fails. Returns the disk as it is found afterwards; this one refuses every further call.
    #[must_use]
    pub fn crash(&self, how: &Crash<'_>) -> Self {
        let after = self.fork();
        self.disk.lock().dead = true;
        after.disk.lock().settle(how);
        after
    }

    /// As [`crash`](FaultyFs::crash), but this one lives on: for trying many outcomes of one moment.
    #[must_use]
    pub fn would_crash(&self, how: &Crash<'_>) -> Self {
        let after = self.fork();
        after.disk.lock().settle(how);
        after
    }

    /// How many sectors hold unsynced bytes.
    #[must_use]
    pub fn pending_sectors(&self) -> usize {
        self.disk.lock().pending_keys().len()
    }

    /// A file's bytes as reads see them.
    ///
    /// # Errors
    /// `NotFound` and the like.
    pub fn bytes(&self, path: &Path) -> io::Result<Vec<u8>> {
        let d = self.disk.lock();
        Ok(d.file(d.lookup(path)?)?.now.clone())
    }

    /// Changes a file's bytes behind everybody's back, on the disk and in the cache.
    ///
    /// # Errors
    /// `NotFound` and the like.
    pub fn damage(&self, path: &Path, how: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        let mut d = self.disk.lock();
        let i = d.lookup(path)?;
        let f = d.file_mut(i)?;
        how(&mut f.now);
        f.durable.clone_from(&f.now);
        f.pending.clear();
        Ok(())
    }

    fn begin(&self, kind: OpKind, path: &Path, len: u64) -> io::Result<Option<usize>> {
        let (hook, op) = {
            let mut d = self.disk.lock();
            if d.dead || d.process != self.process {
                return Err(io::Error::other("this process is gone"));
            }
            let op = Op {
                n: d.ops,
                kind,
                path: path.to_path_buf(),
                len,
            };
            d.ops += 1;
            (d.hook.clone(), op)
        };
        match hook.map_or(Action::Proceed, |h| h(&op)) {
            Action::Proceed => Ok(None),
            Action::Short(n) => Ok(Some(n)),
            Action::Fail(e) => Err(e.into()),
            Action::Crash => {
                self.disk.lock().dead = true;
                Err(io::Error::other("the power failed"))
            }
        }
    }
}
