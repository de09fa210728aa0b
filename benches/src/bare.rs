//! The least that a durable append can cost: one write of the same bytes and one fdatasync, into a file that is ready for them.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use storage_wal::vfs::{Mode, OsFs, Vfs, VfsFile};

/// A file that is written from its start to its end, and then made anew.
#[derive(Debug)]
pub struct Bare {
    path: PathBuf,
    file: Box<dyn VfsFile>,
    at: u64,
    len: u64,
    zeroed: bool,
}

impl Bare {
    /// A file of `len` bytes, filled with zeros and synced, or only reserved.
    ///
    /// # Errors
    /// As the operating system's.
    pub fn create(path: &Path, len: u64, zeroed: bool) -> io::Result<Self> {
        Ok(Self {
            path: path.to_path_buf(),
            file: prepare(path, len, zeroed)?,
            at: 0,
            len,
            zeroed,
        })
    }

    /// How long one write and one fdatasync took. A file that is full is made anew before the clock starts.
    ///
    /// # Errors
    /// As the operating system's; a short write is one.
    pub fn write(&mut self, content: &[u8]) -> io::Result<Duration> {
        let n = content.len() as u64;
        if self.at + n > self.len {
            self.file = prepare(&self.path, self.len, self.zeroed)?;
            self.at = 0;
        }
        let began = Instant::now();
        let written = self.file.write_at(content, self.at)?;
        self.file.sync()?;
        let took = began.elapsed();
        if written as u64 != n {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.at += n;
        Ok(took)
    }
}

/// A fresh file, as a segment is fresh.
fn prepare(path: &Path, len: u64, zeroed: bool) -> io::Result<Box<dyn VfsFile>> {
    let file = OsFs.open(path, Mode::Create)?;
    if zeroed {
        let zeros = vec![0; 1 << 20];
        let mut at = 0;
        while at < len {
            at += file.write_at(&zeros, at)? as u64;
        }
    } else {
        file.allocate(len)?;
    }
    file.sync()?;
    Ok(file)
}

/// The middle of some times.
#[must_use]
pub fn median(times: &[Duration]) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}
