//! The disk below: files and directories, each as it is now and as it lasts.

use super::*;

#[derive(Clone)]
pub(super) struct Disk {
    pub(super) nodes: Vec<Node>,
    pub(super) ops: u64,
    pub(super) hook: Option<Hook>,
    pub(super) capacity: u64,
    pub(super) process: u64,
    pub(super) dead: bool,
    pub(super) handles: u64,
}

#[derive(Clone)]
pub(super) enum Node {
    File(FileNode),
    Dir(DirNode),
}

#[derive(Clone, Default)]
pub(super) struct FileNode {
    pub(super) durable: Vec<u8>,
    pub(super) now: Vec<u8>,
    pub(super) pending: Vec<Change>,
    pub(super) locked_by: Option<u64>,
}

#[derive(Clone)]
pub(super) enum Change {
    Write(u64, Vec<u8>),
    Len(u64),
}

#[derive(Clone, Default)]
pub(super) struct DirNode {
    pub(super) durable: BTreeMap<OsString, usize>,
    pub(super) now: BTreeMap<OsString, usize>,
    pub(super) pending: Vec<NameChange>,
}

#[derive(Clone)]
pub(super) enum NameChange {
    Link(OsString, usize),
    Unlink(OsString),
    Rename(OsString, OsString, usize),
}

pub(super) fn resize(v: &mut Vec<u8>, len: u64) {
    v.resize(usize::try_from(len).unwrap_or(usize::MAX), 0);
}

pub(super) fn put(v: &mut Vec<u8>, offset: u64, data: &[u8]) {
    let at = usize::try_from(offset).unwrap_or(usize::MAX);
    if v.len() < at + data.len() {
        v.resize(at + data.len(), 0);
    }
    if let Some(to) = v.get_mut(at..at + data.len()) {
        to.copy_from_slice(data);
    }
}

/// The pieces of a write, sector by sector.
pub(super) fn sectors(offset: u64, data: &[u8]) -> Vec<(u64, u64, &[u8])> {
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

impl Disk {
    pub(super) fn lookup(&self, path: &Path) -> io::Result<usize> {
        let mut at = 0;
        for c in path.components() {
            let Component::Normal(name) = c else { continue };
            at = *self.dir(at)?.now.get(name).ok_or(io::ErrorKind::NotFound)?;
        }
        Ok(at)
    }

    pub(super) fn dir(&self, i: usize) -> io::Result<&DirNode> {
        match self.nodes.get(i) {
            Some(Node::Dir(d)) => Ok(d),
            _ => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    pub(super) fn dir_mut(&mut self, i: usize) -> io::Result<&mut DirNode> {
        match self.nodes.get_mut(i) {
            Some(Node::Dir(d)) => Ok(d),
            _ => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    pub(super) fn file(&self, i: usize) -> io::Result<&FileNode> {
        match self.nodes.get(i) {
            Some(Node::File(f)) => Ok(f),
            _ => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    pub(super) fn file_mut(&mut self, i: usize) -> io::Result<&mut FileNode> {
        match self.nodes.get_mut(i) {
            Some(Node::File(f)) => Ok(f),
            _ => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    pub(super) fn link(&mut self, path: &Path, node: Node) -> io::Result<usize> {
        let dir = self.lookup(parent(path))?;
        let name = name_of(path)?.to_os_string();
        let ino = self.nodes.len();
        self.nodes.push(node);
        let d = self.dir_mut(dir)?;
        d.now.insert(name.clone(), ino);
        d.pending.push(NameChange::Link(name, ino));
        Ok(ino)
    }

    pub(super) fn unlink(&mut self, path: &Path) -> io::Result<()> {
        let dir = self.lookup(parent(path))?;
        let name = name_of(path)?.to_os_string();
        let d = self.dir_mut(dir)?;
        d.now.remove(&name).ok_or(io::ErrorKind::NotFound)?;
        d.pending.push(NameChange::Unlink(name));
        Ok(())
    }

    /// The bytes of all files that have a name.
    pub(super) fn used(&self) -> u64 {
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

    pub(super) fn room_for(&self, ino: usize, len: u64) -> io::Result<()> {
        if self.capacity == u64::MAX {
            return Ok(());
        }
        let grown = len.saturating_sub(self.file(ino)?.now.len() as u64);
        if grown > 0 && self.used() + grown > self.capacity {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    pub(super) fn write(&mut self, ino: usize, data: &[u8], offset: u64) -> io::Result<usize> {
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

    pub(super) fn set_len(&mut self, ino: usize, len: u64) -> io::Result<()> {
        self.room_for(ino, len)?;
        let f = self.file_mut(ino)?;
        resize(&mut f.now, len);
        f.pending.push(Change::Len(len));
        Ok(())
    }

    pub(super) fn settle(&mut self, how: &Crash<'_>) {
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
    pub(super) fn pending_keys(&self) -> BTreeSet<(usize, u64)> {
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
    pub(super) fn settle(&mut self, keep: &mut dyn FnMut(()) -> bool) {
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
    pub(super) fn settle(&mut self, keep: &mut dyn FnMut(Option<u64>) -> bool) {
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

pub(super) fn name_of(path: &Path) -> io::Result<&OsStr> {
    path.file_name()
        .ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

/// xorshift: the seed alone repeats a failure.
pub(super) struct Coin(u64);

impl Coin {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }
    pub(super) fn flip(&mut self) -> bool {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 & 0x10_0000 != 0
    }
}
