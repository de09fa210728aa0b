//! A file system that counts how long the log's writes and syncs take, apart for each file.

use std::ffi::OsString;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;
use storage_wal::vfs::{Mode, OsFs, Vfs, VfsFile};

/// Nanoseconds spent so far.
#[derive(Debug, Default)]
pub(crate) struct Spent {
    pub(crate) write: AtomicU64,
    pub(crate) sync: AtomicU64,
    pub(crate) mark: AtomicU64,
}

impl Spent {
    /// Writes, syncs and marks since the last call.
    pub(crate) fn take(&self) -> [u64; 3] {
        [&self.write, &self.sync, &self.mark].map(|a| a.swap(0, Relaxed))
    }
}

/// The real file system, timed.
#[derive(Debug, Default)]
pub(crate) struct TimedFs(pub(crate) Arc<Spent>);

#[derive(Debug)]
struct TimedFile {
    file: Box<dyn VfsFile>,
    spent: Arc<Spent>,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Segment,
    Mark,
    Other,
}

impl TimedFile {
    fn timed<T>(&self, sync: bool, f: impl FnOnce(&dyn VfsFile) -> T) -> T {
        // The next segment is filled by a thread of its own, which is not what a batch waits for.
        if std::thread::current().name() == Some("wal-spare") {
            return f(self.file.as_ref());
        }
        let to = match (self.kind, sync) {
            (Kind::Segment, false) => &self.spent.write,
            (Kind::Segment, true) => &self.spent.sync,
            (Kind::Mark, _) => &self.spent.mark,
            (Kind::Other, _) => return f(self.file.as_ref()),
        };
        let began = Instant::now();
        let done = f(self.file.as_ref());
        to.fetch_add(
            u64::try_from(began.elapsed().as_nanos()).unwrap_or(0),
            Relaxed,
        );
        done
    }
}

impl Vfs for TimedFs {
    fn open(&self, path: &Path, mode: Mode) -> io::Result<Box<dyn VfsFile>> {
        let kind = match path.extension().and_then(|e| e.to_str()) {
            // A segment is made under the second name.
            Some("wal" | "tmp") => Kind::Segment,
            Some("mark") => Kind::Mark,
            _ => Kind::Other,
        };
        Ok(Box::new(TimedFile {
            file: OsFs.open(path, mode)?,
            spent: Arc::clone(&self.0),
            kind,
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
        OsFs.remove_file(path)
    }
    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        OsFs.remove_dir_all(path)
    }
}

impl VfsFile for TimedFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buf, offset)
    }
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        self.timed(false, |f| f.write_at(buf, offset))
    }
    fn gathers(&self) -> bool {
        self.file.gathers()
    }
    fn write_vectored_at(&self, parts: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        self.timed(false, |f| f.write_vectored_at(parts, offset))
    }
    fn sync(&self) -> io::Result<()> {
        self.timed(true, VfsFile::sync)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn allocate(&self, len: u64) -> io::Result<()> {
        self.file.allocate(len)
    }
    fn try_lock(&self) -> io::Result<bool> {
        self.file.try_lock()
    }
}
