//! The real file system with something around each of its files: a clock, or nothing that reaches the disk.

use std::ffi::OsString;
use std::fmt::Debug;
use std::io;
use std::path::{Path, PathBuf};
use storage_wal::vfs::{Mode, OsFs, Vfs, VfsFile};

/// What is put around the files.
pub trait Around: Debug + Send + Sync + 'static {
    /// Puts it around a file that was opened.
    fn file(&self, path: &Path, file: Box<dyn VfsFile>) -> Box<dyn VfsFile>;

    /// Whether directories are synced.
    fn syncs_dirs(&self) -> bool {
        true
    }
}

/// The file system.
#[derive(Debug)]
pub struct AroundFs<A>(pub A);

impl<A: Around> Vfs for AroundFs<A> {
    fn open(&self, path: &Path, mode: Mode) -> io::Result<Box<dyn VfsFile>> {
        Ok(self.0.file(path, OsFs.open(path, mode)?))
    }
    fn create_dir_all(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        OsFs.create_dir_all(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        if self.0.syncs_dirs() {
            OsFs.sync_dir(path)?;
        }
        Ok(())
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
        OsFs.remove_file(path)
    }
    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        OsFs.remove_dir_all(path)
    }
}
