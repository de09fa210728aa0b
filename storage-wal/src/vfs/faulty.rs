//! A file system in memory that loses unsynced writes, reorders sectors, tears, fails and fills up. Go: none (etcd tests with gofail)

use super::{Mode, Vfs, VfsFile, parent};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

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

#[derive(Clone)]
struct Disk {
    nodes: Vec<Node>,
    ops: u64,
    hook: Option<Hook>,
    capacity: u64,
    process: u64,
    dead: bool,
    handles: u64,
}

#[derive(Clone)]
enum Node {
    File(FileNode),
    Dir(DirNode),
}

#[derive(Clone, Default)]
struct FileNode {
    durable: Vec<u8>,
    now: Vec<u8>,
    pending: Vec<Change>,
    locked_by: Option<u64>,
}

#[derive(Clone)]
enum Change {
    Write(u64, Vec<u8>),
    Len(u64),
}

#[derive(Clone, Default)]
struct DirNode {
    durable: BTreeMap<OsString, usize>,
    now: BTreeMap<OsString, usize>,
    pending: Vec<NameChange>,
}

#[derive(Clone)]
enum NameChange {
    Link(OsString, usize),
    Unlink(OsString),
    Rename(OsString, OsString, usize),
}

fn resize(v: &mut Vec<u8>, len: u64) {
    v.resize(usize::try_from(len).unwrap_or(usize::MAX), 0);
}

fn put(v: &mut Vec<u8>, offset: u64, data: &[u8]) {
    let at = usize::try_from(offset).unwrap_or(usize::MAX);
    if v.len() < at + data.len() {
        v.resize(at + data.len(), 0);
    }
    if let Some(to) = v.get_mut(at..at + data.len()) {
        to.copy_from_slice(data);
    }
}

/// The pieces of a write, sector by sector.
fn sectors(offset: u64, data: &[u8]) -> Vec<(u64, u64, &[u8])> {
    let mut out = Vec::new();
    let (mut at, mut rest) = (offset, data);
    while !rest.is_empty() {
        let n = usize::try_from(SECTOR - at % SECTOR)
            .unwrap_or(1)
            .min(rest.len());
        let (piece, tail) = rest.split_at(n);
        out.push((at / SECTOR, at, piece));
        at += n as u64;
        rest = tail;
    }
    out
}

/// xorshift: the seed alone repeats a failure.
struct Coin(u64);

impl Coin {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }
    fn flip(&mut self) -> bool {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 & 0x10_0000 != 0
    }
}

impl Disk {
    fn lookup(&self, path: &Path) -> io::Result<usize> {
        let mut at = 0;
        for c in path.components() {
            let Component::Normal(name) = c else { continue };
            at = *self.dir(at)?.now.get(name).ok_or(io::ErrorKind::NotFound)?;
        }
        Ok(at)
    }

    fn dir(&self, i: usize) -> io::Result<&DirNode> {
        match self.nodes.get(i) {
            Some(Node::Dir(d)) => Ok(d),
            _ => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    fn dir_mut(&mut self, i: usize) -> io::Result<&mut DirNode> {
        match self.nodes.get_mut(i) {
            Some(Node::Dir(d)) => Ok(d),
            _ => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    fn file(&self, i: usize) -> io::Result<&FileNode> {
        match self.nodes.get(i) {
            Some(Node::File(f)) => Ok(f),
            _ => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    fn file_mut(&mut self, i: usize) -> io::Result<&mut FileNode> {
        match self.nodes.get_mut(i) {
            Some(Node::File(f)) => Ok(f),
            _ => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    fn link(&mut self, path: &Path, node: Node) -> io::Result<usize> {
        let dir = self.lookup(parent(path))?;
        let name = name_of(path)?.to_os_string();
        let ino = self.nodes.len();
        self.nodes.push(node);
        let d = self.dir_mut(dir)?;
        d.now.insert(name.clone(), ino);
        d.pending.push(NameChange::Link(name, ino));
        Ok(ino)
    }

    fn unlink(&mut self, path: &Path) -> io::Result<()> {
        let dir = self.lookup(parent(path))?;
        let name = name_of(path)?.to_os_string();
        let d = self.dir_mut(dir)?;
        d.now.remove(&name).ok_or(io::ErrorKind::NotFound)?;
        d.pending.push(NameChange::Unlink(name));
        Ok(())
    }

    /// The bytes of all files that have a name.
    fn used(&self) -> u64 {
        let mut todo = vec![0];
        let mut seen = BTreeSet::new();
        let mut sum = 0;
        while let Some(i) = todo.pop() {
            if !seen.insert(i) {
                continue;
            }
            match self.nodes.get(i) {
                Some(Node::Dir(d)) => todo.extend(d.now.values()),
                Some(Node::File(f)) => sum += f.now.len() as u64,
                None => {}
            }
        }
        sum
    }

    fn room_for(&self, ino: usize, len: u64) -> io::Result<()> {
        if self.capacity == u64::MAX {
            return Ok(());
        }
        let grown = len.saturating_sub(self.file(ino)?.now.len() as u64);
        if grown > 0 && self.used() + grown > self.capacity {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    fn write(&mut self, ino: usize, data: &[u8], offset: u64) -> io::Result<usize> {
        let mut n = data.len();
        if self.room_for(ino, offset + data.len() as u64).is_err() {
            // What still fits, as a real disk does.
            let len = self.file(ino)?.now.len() as u64;
            let fits = (len + self.capacity.saturating_sub(self.used())).saturating_sub(offset);
            n = usize::try_from(fits).unwrap_or(usize::MAX).min(n);
            if n == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
        }
        let data = data.get(..n).unwrap_or(data);
        let f = self.file_mut(ino)?;
        put(&mut f.now, offset, data);
        f.pending.push(Change::Write(offset, data.to_vec()));
        Ok(n)
    }

    fn set_len(&mut self, ino: usize, len: u64) -> io::Result<()> {
        self.room_for(ino, len)?;
        let f = self.file_mut(ino)?;
        resize(&mut f.now, len);
        f.pending.push(Change::Len(len));
        Ok(())
    }

    fn settle(&mut self, how: &Crash<'_>) {
        let mut coin = match how {
            Crash::Seed(s) => Coin::new(*s),
            _ => Coin::new(1),
        };
        let mut numbers: BTreeMap<(usize, u64), usize> = BTreeMap::new();
        for key in self.pending_keys() {
            let n = numbers.len();
            numbers.entry(key).or_insert(n);
        }
        for (ino, node) in self.nodes.iter_mut().enumerate() {
            match node {
                Node::Dir(d) => d.settle(&mut |()| match how {
                    Crash::Nothing => false,
                    Crash::Everything | Crash::Sectors(_) => true,
                    Crash::Seed(_) => coin.flip(),
                }),
                Node::File(f) => f.settle(&mut |sector| match how {
                    Crash::Nothing => false,
                    Crash::Everything => true,
                    Crash::Seed(_) => coin.flip(),
                    Crash::Sectors(keep) => {
                        sector.is_none_or(|s| numbers.get(&(ino, s)).is_some_and(|n| keep(*n)))
                    }
                }),
            }
        }
    }

    /// The sectors with unsynced bytes, by file and place.
    fn pending_keys(&self) -> BTreeSet<(usize, u64)> {
        let mut keys = BTreeSet::new();
        for (ino, node) in self.nodes.iter().enumerate() {
            let Node::File(f) = node else { continue };
            for c in &f.pending {
                if let Change::Write(at, data) = c {
                    keys.extend(sectors(*at, data).iter().map(|(s, ..)| (ino, *s)));
                }
            }
        }
        keys
    }
}

impl DirNode {
    fn settle(&mut self, keep: &mut dyn FnMut(()) -> bool) {
        for c in std::mem::take(&mut self.pending) {
            if !keep(()) {
                continue;
            }
            match c {
                NameChange::Link(n, i) => {
                    self.durable.insert(n, i);
                }
                NameChange::Unlink(n) => {
                    self.durable.remove(&n);
                }
                NameChange::Rename(from, to, i) => {
                    self.durable.remove(&from);
                    self.durable.insert(to, i);
                }
            }
        }
        self.now = self.durable.clone();
    }
}

impl FileNode {
    fn settle(&mut self, keep: &mut dyn FnMut(Option<u64>) -> bool) {
        for c in std::mem::take(&mut self.pending) {
            match c {
                Change::Len(n) => {
                    if keep(None) {
                        resize(&mut self.durable, n);
                    }
                }
                Change::Write(at, data) => {
                    for (sector, at, piece) in sectors(at, &data) {
                        if keep(Some(sector)) {
                            put(&mut self.durable, at, piece);
                        }
                    }
                }
            }
        }
        self.now = self.durable.clone();
        self.locked_by = None;
    }
}

fn name_of(path: &Path) -> io::Result<&OsStr> {
    path.file_name()
        .ok_or_else(|| io::ErrorKind::InvalidInput.into())
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

impl Vfs for FaultyFs {
    fn open(&self, path: &Path, mode: Mode) -> io::Result<Box<dyn VfsFile>> {
        let there = self.disk.lock().lookup(path).is_ok();
        let kind = match mode {
            Mode::Create => OpKind::Create,
            Mode::Read | Mode::Write => OpKind::Open,
        };
        self.begin(kind, path, 0)?;
        let mut d = self.disk.lock();
        let ino = if mode == Mode::Create && !there {
            d.link(path, Node::File(FileNode::default()))?
        } else {
            d.lookup(path)?
        };
        d.file(ino)?;
        if mode == Mode::Create {
            d.set_len(ino, 0)?;
        }
        d.handles += 1;
        Ok(Box::new(FaultyFile {
            fs: self.clone(),
            ino,
            path: path.to_path_buf(),
            handle: d.handles,
        }))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        let mut made = Vec::new();
        let mut at = PathBuf::new();
        for c in path.components() {
            at.push(c);
            if self.disk.lock().lookup(&at).is_err() {
                self.begin(OpKind::CreateDir, &at, 0)?;
                self.disk.lock().link(&at, Node::Dir(DirNode::default()))?;
                made.push(parent(&at).to_path_buf());
            }
        }
        Ok(made)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.begin(OpKind::SyncDir, path, 0)?;
        let mut d = self.disk.lock();
        let i = d.lookup(path)?;
        let dir = d.dir_mut(i)?;
        dir.pending.clear();
        dir.durable = dir.now.clone();
        Ok(())
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<OsString>> {
        self.begin(OpKind::ReadDir, path, 0)?;
        let d = self.disk.lock();
        Ok(d.dir(d.lookup(path)?)?.now.keys().cloned().collect())
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.begin(OpKind::Open, path, 0)?;
        Ok(self.disk.lock().lookup(path).is_ok())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.begin(OpKind::Rename, to, 0)?;
        if parent(from) != parent(to) {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let mut d = self.disk.lock();
        let ino = d.lookup(from)?;
        let dir = d.lookup(parent(from))?;
        let (from, to) = (name_of(from)?.to_os_string(), name_of(to)?.to_os_string());
        let dir = d.dir_mut(dir)?;
        dir.now.remove(&from);
        dir.now.insert(to.clone(), ino);
        dir.pending.push(NameChange::Rename(from, to, ino));
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.begin(OpKind::Remove, path, 0)?;
        self.disk.lock().unlink(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.begin(OpKind::Remove, path, 0)?;
        self.disk.lock().unlink(path)
    }
}

struct FaultyFile {
    fs: FaultyFs,
    ino: usize,
    path: PathBuf,
    handle: u64,
}

impl fmt::Debug for FaultyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FaultyFile({})", self.path.display())
    }
}

impl VfsFile for FaultyFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let limit = self.fs.begin(OpKind::Read, &self.path, buf.len() as u64)?;
        let d = self.fs.disk.lock();
        let all = &d.file(self.ino)?.now;
        let at = usize::try_from(offset).unwrap_or(usize::MAX).min(all.len());
        let rest = all.get(at..).unwrap_or_default();
        let n = rest.len().min(buf.len()).min(limit.unwrap_or(usize::MAX));
        if let (Some(to), Some(from)) = (buf.get_mut(..n), rest.get(..n)) {
            to.copy_from_slice(from);
        }
        Ok(n)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        let limit = self.fs.begin(OpKind::Write, &self.path, buf.len() as u64)?;
        let n = limit.unwrap_or(usize::MAX).min(buf.len());
        self.fs
            .disk
            .lock()
            .write(self.ino, buf.get(..n).unwrap_or(buf), offset)
    }

    fn sync(&self) -> io::Result<()> {
        let allowed = self.fs.begin(OpKind::Sync, &self.path, 0);
        let mut d = self.fs.disk.lock();
        let dead = d.dead;
        let f = d.file_mut(self.ino)?;
        if let Err(e) = allowed {
            // The kernel marks the pages clean after a failed write-back: they are readable, and never written again.
            if !dead {
                f.pending.clear();
            }
            return Err(e);
        }
        // Only what is pending: what a failed sync dropped stays dropped.
        for c in std::mem::take(&mut f.pending) {
            match c {
                Change::Len(n) => resize(&mut f.durable, n),
                Change::Write(at, data) => put(&mut f.durable, at, &data),
            }
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.fs.begin(OpKind::SetLen, &self.path, len)?;
        self.fs.disk.lock().set_len(self.ino, len)
    }

    fn len(&self) -> io::Result<u64> {
        let d = self.fs.disk.lock();
        Ok(d.file(self.ino)?.now.len() as u64)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.fs.begin(OpKind::Allocate, &self.path, len)?;
        let mut d = self.fs.disk.lock();
        if (d.file(self.ino)?.now.len() as u64) < len {
            d.set_len(self.ino, len)?;
        }
        Ok(())
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.fs.begin(OpKind::Lock, &self.path, 0)?;
        let mut d = self.fs.disk.lock();
        let f = d.file_mut(self.ino)?;
        match f.locked_by {
            Some(h) => Ok(h == self.handle),
            None => {
                f.locked_by = Some(self.handle);
                Ok(true)
            }
        }
    }
}

impl Drop for FaultyFile {
    fn drop(&mut self) {
        let mut d = self.fs.disk.lock();
        let alive = d.process == self.fs.process;
        if let Ok(f) = d.file_mut(self.ino)
            && alive
            && f.locked_by == Some(self.handle)
        {
            f.locked_by = None;
        }
    }
}
