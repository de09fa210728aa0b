//! The file system as the log sees it, so that tests can put a faulty one below it. Go: client/pkg/fileutil

#[cfg(any(test, feature = "testing"))]
mod faulty;
mod os;

#[cfg(any(test, feature = "testing"))]
pub use faulty::{Action, Crash, FaultyFs, Op, OpKind};
pub use os::OsFs;

use std::ffi::OsString;
use std::fmt;
use std::io::{self, IoSlice};
use std::path::Path;

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Must exist; reading only.
    Read,
    /// Must exist; reading and writing.
    Write,
    /// Made when absent, emptied when present; reading and writing.
    Create,
}

/// A file system. [`OsFs`] is the real one.
///
/// An implementation promises: what [`VfsFile::sync`] covered survives a power cut; names survive once [`Vfs::sync_dir`] of their
/// directory returned; [`Vfs::rename`] within a directory leaves the old state or the new one, never a mix.
pub trait Vfs: fmt::Debug + Send + Sync + 'static {
    /// Opens a file.
    ///
    /// # Errors
    /// As the operating system's.
    fn open(&self, path: &Path, mode: Mode) -> io::Result<Box<dyn VfsFile>>;

    /// Makes a directory and those above it; one that exists is no error. Returns the directories whose entries changed: these must be
    /// synced for the new ones to last.
    ///
    /// # Errors
    /// As the operating system's.
    fn create_dir_all(&self, path: &Path) -> io::Result<Vec<std::path::PathBuf>>;

    /// Makes the names in a directory durable. On Windows there is no such call and this does nothing: there, a file made just before a power
    /// cut may be missing after it.
    ///
    /// # Errors
    /// As the operating system's.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;

    /// The names in a directory, sorted.
    ///
    /// # Errors
    /// As the operating system's; `NotFound` where there is no such directory.
    fn read_dir(&self, path: &Path) -> io::Result<Vec<OsString>>;

    /// Whether there is a file or directory of that name.
    ///
    /// # Errors
    /// Whatever keeps it from being known.
    fn exists(&self, path: &Path) -> io::Result<bool>;

    /// Replaces `to`, atomically.
    ///
    /// # Errors
    /// As the operating system's.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// As the operating system's.
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Removes a directory and all below it.
    ///
    /// # Errors
    /// As the operating system's.
    fn remove_dir_all(&self, path: &Path) -> io::Result<()>;
}

/// An open file. Dropping it lets go of its lock.
pub trait VfsFile: fmt::Debug + Send + Sync + 'static {
    /// Reads some bytes at an offset; 0 at the end of the file.
    ///
    /// # Errors
    /// As the operating system's.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes some bytes at an offset.
    ///
    /// # Errors
    /// As the operating system's.
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize>;

    /// Whether [`write_vectored_at`](VfsFile::write_vectored_at) takes all parts in one call. Where it does not, they are put together first.
    fn gathers(&self) -> bool {
        false
    }

    /// Writes some bytes of several parts, one after the other, at an offset.
    ///
    /// # Errors
    /// As the operating system's.
    fn write_vectored_at(&self, parts: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        let first = parts.iter().find(|p| !p.is_empty());
        self.write_at(first.map_or(&[], |p| p), offset)
    }

    /// Makes the file's bytes and length durable (fdatasync; F_FULLFSYNC on macOS).
    ///
    /// # Errors
    /// As the operating system's. What was written since the last success may then be lost even if a later call succeeds.
    fn sync(&self) -> io::Result<()>;

    /// Sets the length; what is added reads as zeros.
    ///
    /// # Errors
    /// As the operating system's.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// The length in bytes.
    ///
    /// # Errors
    /// As the operating system's.
    fn len(&self) -> io::Result<u64>;

    /// Whether the length is 0.
    ///
    /// # Errors
    /// As the operating system's.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Reserves disk space so that the file has at least `len` bytes, the new ones zero. Where the file system cannot reserve
    /// (`Unsupported`), the file is only made longer, and a full disk shows at the write itself.
    ///
    /// # Errors
    /// As the operating system's.
    fn allocate(&self, len: u64) -> io::Result<()>;

    /// Takes an exclusive lock; false when somebody else has it. Linux: F_OFD_SETLK on the whole file, as etcd does, so that etcd
    /// and this crate keep each other out.
    ///
    /// # Errors
    /// As the operating system's.
    fn try_lock(&self) -> io::Result<bool>;
}

/// Reads exactly `buf.len()` bytes.
pub(crate) fn read_exact_at(
    f: &dyn VfsFile,
    mut buf: &mut [u8],
    mut offset: u64,
) -> io::Result<()> {
    while !buf.is_empty() {
        match f.read_at(buf, offset) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => {
                buf = buf.get_mut(n..).unwrap_or_default();
                offset += n as u64;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Writes all of `buf`; a short write is continued.
pub(crate) fn write_all_at(f: &dyn VfsFile, mut buf: &[u8], mut offset: u64) -> io::Result<()> {
    while !buf.is_empty() {
        match f.write_at(buf, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => {
                buf = buf.get(n..).unwrap_or_default();
                offset += n as u64;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Writes all of `parts`; a short write is continued.
pub(crate) fn write_all_vectored_at(
    f: &dyn VfsFile,
    mut parts: &mut [IoSlice<'_>],
    mut offset: u64,
) -> io::Result<()> {
    let mut left: usize = parts.iter().map(|p| p.len()).sum();
    while left > 0 {
        match f.write_vectored_at(parts, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            // A file that says it wrote more than it was given has written all of it.
            Ok(n) => {
                let n = n.min(left);
                IoSlice::advance_slices(&mut parts, n);
                offset += n as u64;
                left -= n;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// The whole file.
pub(crate) fn read_file(vfs: &dyn Vfs, path: &Path) -> io::Result<Vec<u8>> {
    let f = vfs.open(path, Mode::Read)?;
    let len =
        usize::try_from(f.len()?).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
    let mut buf = vec![0; len];
    read_exact_at(f.as_ref(), &mut buf, 0)?;
    Ok(buf)
}

/// Writes a file so that a crash leaves the old one or the new one: a temporary file, fsync, rename, fsync of the directory.
pub(crate) fn replace_file(vfs: &dyn Vfs, path: &Path, bytes: &[u8]) -> Result<(), crate::Error> {
    use crate::Error;
    let tmp = path.with_extension("tmp");
    let write = || -> Result<(), Error> {
        let f = vfs
            .open(&tmp, Mode::Create)
            .map_err(|e| Error::io("create", &tmp, e))?;
        write_all_at(f.as_ref(), bytes, 0).map_err(|e| Error::io("write", &tmp, e))?;
        f.sync().map_err(|e| Error::io("sync", &tmp, e))
    };
    let done = write().and_then(|()| {
        vfs.rename(&tmp, path)
            .map_err(|e| Error::io("rename", path, e))
    });
    if let Err(e) = done {
        // The old file is whole; what is left of the new one only takes room.
        let _ = vfs.remove_file(&tmp);
        return Err(e);
    }
    sync_parent(vfs, path)
}

/// Syncs the directory that holds `path`.
pub(crate) fn sync_parent(vfs: &dyn Vfs, path: &Path) -> Result<(), crate::Error> {
    let dir = parent(path);
    vfs.sync_dir(dir)
        .map_err(|e| crate::Error::io_fatal("sync directory", dir, e))
}

/// The directory that holds `path`.
pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    }
}
