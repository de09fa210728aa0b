//! The real file system. Go: client/pkg/fileutil

use super::{Mode, Vfs, VfsFile, parent};
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// The real file system. Linux is tier 1; on macOS an fsync is F_FULLFSYNC (std's `sync_data`); on Windows directories cannot be synced.
///
/// ```
/// use tickraft_storage_wal::vfs::{Mode, OsFs, Vfs, VfsFile};
/// let dir = tempfile::tempdir().unwrap();
/// let f = OsFs.open(&dir.path().join("x"), Mode::Create).unwrap();
/// assert_eq!(f.write_at(b"abc", 1).unwrap(), 3);
/// assert_eq!(f.len().unwrap(), 4);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct OsFs;

/// Files are private to the user, as etcd's.
fn private(o: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(o, 0o600);
    o
}

impl Vfs for OsFs {
    fn open(&self, path: &Path, mode: Mode) -> io::Result<Box<dyn VfsFile>> {
        let mut o = OpenOptions::new();
        o.read(true);
        match mode {
            Mode::Read => &mut o,
            Mode::Write => o.write(true),
            Mode::Create => private(o.write(true).create(true).truncate(true)),
        };
        Ok(Box::new(OsFile(o.open(path)?)))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        let mut made = Vec::new();
        let mut missing = Vec::new();
        let mut at = path;
        while !at.try_exists()? {
            missing.push(at);
            at = parent(at);
        }
        for dir in missing.into_iter().rev() {
            let mut b = std::fs::DirBuilder::new();
            #[cfg(unix)]
            std::os::unix::fs::DirBuilderExt::mode(&mut b, 0o700);
            match b.create(dir) {
                Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
                _ => made.push(parent(dir).to_path_buf()),
            }
        }
        Ok(made)
    }

    #[cfg(unix)]
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    #[cfg(not(unix))]
    fn sync_dir(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<OsString>> {
        let mut names = std::fs::read_dir(path)?
            .map(|e| Ok(e?.file_name()))
            .collect::<io::Result<Vec<_>>>()?;
        names.sort();
        Ok(names)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        path.try_exists()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_dir_all(path)
    }
}

#[derive(Debug)]
struct OsFile(File);

impl VfsFile for OsFile {
    #[cfg(unix)]
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        std::os::unix::fs::FileExt::read_at(&self.0, buf, offset)
    }

    #[cfg(windows)]
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        std::os::windows::fs::FileExt::seek_read(&self.0, buf, offset)
    }

    #[cfg(unix)]
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        std::os::unix::fs::FileExt::write_at(&self.0, buf, offset)
    }

    #[cfg(windows)]
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        std::os::windows::fs::FileExt::seek_write(&self.0, buf, offset)
    }

    #[cfg(target_os = "linux")]
    fn gathers(&self) -> bool {
        true
    }

    #[cfg(target_os = "linux")]
    fn write_vectored_at(&self, parts: &[io::IoSlice<'_>], offset: u64) -> io::Result<usize> {
        /// As many parts as the system takes in one call.
        const MOST: usize = 1024;
        let parts = parts.get(..MOST).unwrap_or(parts);
        let at = nix::libc::off_t::try_from(offset)
            .map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
        Ok(nix::sys::uio::pwritev(&self.0, parts, at)?)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    #[cfg(target_os = "linux")]
    fn allocate(&self, len: u64) -> io::Result<()> {
        use nix::errno::Errno;
        use nix::fcntl::{FallocateFlags, fallocate};
        let size = nix::libc::off_t::try_from(len)
            .map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
        match fallocate(&self.0, FallocateFlags::empty(), 0, size) {
            Ok(()) => Ok(()),
            // The file system cannot reserve; or a signal came: both fall back to a sparse file, as etcd does.
            Err(Errno::EOPNOTSUPP | Errno::EINTR) if self.len()? < len => self.0.set_len(len),
            Err(Errno::EOPNOTSUPP | Errno::EINTR) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn allocate(&self, len: u64) -> io::Result<()> {
        if self.len()? < len {
            self.0.set_len(len)?;
        }
        Ok(())
    }

    #[cfg(target_os = "linux")]
    fn try_lock(&self) -> io::Result<bool> {
        use nix::errno::Errno;
        use nix::fcntl::{FcntlArg, fcntl};
        use nix::libc;
        let whole_file = libc::flock {
            l_type: i16::try_from(libc::F_WRLCK).unwrap_or_default(),
            l_whence: i16::try_from(libc::SEEK_SET).unwrap_or_default(),
            l_start: 0,
            l_len: 0,
            l_pid: 0,
        };
        match fcntl(&self.0, FcntlArg::F_OFD_SETLK(&whole_file)) {
            Ok(_) => Ok(true),
            Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
            Err(e) => Err(e.into()),
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn try_lock(&self) -> io::Result<bool> {
        match self.0.try_lock() {
            Ok(()) => Ok(true),
            Err(std::fs::TryLockError::WouldBlock) => Ok(false),
            Err(std::fs::TryLockError::Error(e)) => Err(e),
        }
    }
}
