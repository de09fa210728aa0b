//! The real file system, on which a test makes some directories' disk full or slow.

use kvexample::storage_wal::vfs::{Mode, OsFs, Vfs, VfsFile};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[derive(Debug, Default)]
struct Faults {
    /// Directories on a full disk, and how many bytes are free there: what was removed since.
    full: Vec<(PathBuf, u64)>,
    /// Each sync of a file takes so much longer.
    slow: Duration,
}

/// Clones share their faults.
#[derive(Clone, Debug, Default)]
pub struct TestFs(Arc<Mutex<Faults>>);

impl TestFs {
    /// The disk under this directory is full: what is allocated can be written, and no more.
    pub fn fill(&self, dir: &Path) {
        self.0.lock().unwrap().full.push((dir.to_owned(), 0));
    }

    /// There is room again everywhere.
    pub fn free(&self) {
        self.0.lock().unwrap().full.clear();
    }

    pub fn slow(&self, by: Duration) {
        self.0.lock().unwrap().slow = by;
    }

    fn grow(&self, path: &Path, by: u64) -> io::Result<()> {
        let full = &mut self.0.lock().unwrap().full;
        let Some((_, free)) = full.iter_mut().find(|(dir, _)| path.starts_with(dir)) else {
            return Ok(());
        };
        *free = free
            .checked_sub(by)
            .ok_or(io::Error::from(io::ErrorKind::StorageFull))?;
        Ok(())
    }

    fn shrink(&self, path: &Path, by: u64) {
        let full = &mut self.0.lock().unwrap().full;
        if let Some((_, free)) = full.iter_mut().find(|(dir, _)| path.starts_with(dir)) {
            *free += by;
        }
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
        let slow = self.fs.0.lock().unwrap().slow;
        std::thread::sleep(slow);
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
