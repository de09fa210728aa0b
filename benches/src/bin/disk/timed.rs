//! Around files: counts how long the log's writes and syncs take, apart for each file.

use benches::around::Around;
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;
use storage_wal::vfs::VfsFile;

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

/// Puts a clock around files.
#[derive(Debug)]
pub(crate) struct Timed(pub(crate) Arc<Spent>);

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

impl Around for Timed {
    fn file(&self, path: &Path, file: Box<dyn VfsFile>) -> Box<dyn VfsFile> {
        let kind = match path.extension().and_then(|e| e.to_str()) {
            // A segment is made under the second name.
            Some("wal" | "tmp") => Kind::Segment,
            Some("mark") => Kind::Mark,
            _ => Kind::Other,
        };
        Box::new(TimedFile {
            file,
            spent: Arc::clone(&self.0),
            kind,
        })
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
