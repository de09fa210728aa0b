//! The calls of [`Vfs`] and [`VfsFile`], each asked of the hook first.

use super::*;

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

pub(super) struct FaultyFile {
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

    /// The parts come one by one, so that the power may fail between any two.
    fn gathers(&self) -> bool {
        true
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
