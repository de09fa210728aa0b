//! The real file system, on which a test makes the disk of some directories full, or hang.

use kvexample::storage_wal::vfs::{Mode, OsFs, Vfs, VfsFile};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

#[derive(Debug, Default)]
struct Faults {
    /// Directories on a full disk, and how many bytes are free there: what was removed since.
    full: Vec<(PathBuf, u64)>,
    /// How often one was.
    refused: u64,
    /// A sync of a file below these does not return.
    hang: Vec<PathBuf>,
}

/// Clones share their faults.
#[derive(Clone, Debug, Default)]
pub struct TestFs(Arc<(Mutex<Faults>, Condvar)>);

impl TestFs {
    /// The disk under this directory is full: what is allocated can be written, and no more.
    pub fn fill(&self, dir: &Path) {
        self.faults().full.push((dir.to_owned(), 0));
    }

    /// How often a full disk refused something since the last [`mend`](Self::mend).
    pub fn refused(&self) -> u64 {
        self.faults().refused
    }

    /// All disks are sound again.
    pub fn mend(&self) {
        *self.faults() = Faults::default();
        self.0.1.notify_all();
    }

    /// From now on no sync below this directory returns.
    pub fn hang(&self, dir: &Path) {
        self.faults().hang.push(dir.to_owned());
    }

    fn faults(&self) -> MutexGuard<'_, Faults> {
        self.0.0.lock().unwrap()
    }

    fn grow(&self, path: &Path, by: u64) -> io::Result<()> {
        let faults = &mut *self.faults();
        let full = &mut faults.full;
        let Some((_, free)) = full.iter_mut().find(|(dir, _)| path.starts_with(dir)) else {
            return Ok(());
        };
        let Some(left) = free.checked_sub(by) else {
            faults.refused += 1;
            return Err(io::ErrorKind::StorageFull.into());
        };
        *free = left;
        Ok(())
    }

    fn shrink(&self, path: &Path, by: u64) {
        let full = &mut self.faults().full;
        if let Some((_, free)) = full.iter_mut().find(|(dir, _)| path.starts_with(dir)) {
            *free += by;
        }
    }
}

/// Mends the disks when a test ends or fails: a node on one that hangs could not be stopped.
pub struct Mended(pub TestFs);

impl Drop for Mended {
    fn drop(&mut self) {
        self.0.mend();
    }
}

impl std::ops::Deref for Mended {
    type Target = TestFs;

    fn deref(&self) -> &TestFs {
        &self.0
    }
}

#[derive(Debug)]
struct TestFile {
    fs: TestFs,
    path: PathBuf,
    file: Box<dyn VfsFile>,
}

impl TestFile {
    fn grow_to(&self, end: u64) -> io::Result<()> {
        match end.checked_sub(self.file.len()?) {
            Some(by) if by > 0 => self.fs.grow(&self.path, by),
            _ => Ok(()),
        }
    }
}

impl Vfs for TestFs {
    fn open(&self, path: &Path, mode: Mode) -> io::Result<Box<dyn VfsFile>> {
        Ok(Box::new(TestFile {
            fs: self.clone(),
            path: path.to_owned(),
            file: OsFs.open(path, mode)?,
        }))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        OsFs.create_dir_all(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        OsFs.sync_dir(path)
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<OsString>> {
        OsFs.read_dir(path)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        OsFs.exists(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        OsFs.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let len = std::fs::metadata(path).map_or(0, |m| m.len());
        OsFs.remove_file(path)?;
        self.shrink(path, len);
        Ok(())
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        OsFs.remove_dir_all(path)
    }
}

impl VfsFile for TestFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        self.grow_to(offset + buf.len() as u64)?;
        self.file.write_at(buf, offset)
    }

    fn sync(&self) -> io::Result<()> {
        let hangs = |f: &mut Faults| f.hang.iter().any(|dir| self.path.starts_with(dir));
        drop(self.fs.0.1.wait_while(self.fs.faults(), hangs).unwrap());
        self.file.sync()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.grow_to(len)?;
        let shorter = self.file.len()?.saturating_sub(len);
        self.fs.shrink(&self.path, shorter);
        self.file.set_len(len)
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.grow_to(len)?;
        self.file.allocate(len)
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.file.try_lock()
    }
}
