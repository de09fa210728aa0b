//! What can go wrong on disk, and what to do about it. Go: the Err variables of wal.go, snapshotter.go and walpb/record.go

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What can go wrong on disk. Every text says what happened and what to do.
///
/// Equality compares a carried source by identity.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused. While opening, nothing was changed; while writing, the log is poisoned.
    #[error("cannot {op} {}: {source}; {}", path.display(), advice(source))]
    Io {
        /// What was tried.
        op: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the operating system said.
        source: Arc<io::Error>,
    },
    /// The disk is full. Nothing of what was given last was kept and the log goes on: free space and try again.
    #[error(
        "no space left on the device of {}: nothing of this write was kept; free space and try again, no restart is needed",
        path.display()
    )]
    NoSpace {
        /// The file that could not grow.
        path: PathBuf,
    },
    /// Bytes that were durable are not what was written. Nothing was changed: restore this replica from a backup, or remove it
    /// from the group and join anew under a new id.
    #[error(
        "corrupt log: segment {segment}, offset {offset}, about index {index}: {reason}; durable bytes were lost or altered, and nothing was changed: \
         replace this replica under a new id, or restore its directory"
    )]
    Corrupt {
        /// The segment's file name.
        segment: String,
        /// Where in it, in bytes.
        offset: u64,
        /// The last entry index read before the damage.
        index: u64,
        /// What is wrong.
        reason: String,
    },
    /// The mark of what is durable is missing or unreadable, so damage cannot be told from an unfinished write.
    #[error(
        "the mark {} is missing or unreadable: what was durable is unknown; if it was lost on purpose, `wal repair --without-mark` accepts what \
         the records alone prove",
        path.display()
    )]
    MarkMissing {
        /// Where it should be.
        path: PathBuf,
    },
    /// The log was written by a newer version of this crate.
    #[error(
        "segment {segment} has format version {version}, and this build knows {known}: use the newer build"
    )]
    Version {
        /// The segment's file name.
        segment: String,
        /// The version found.
        version: u64,
        /// The newest version known.
        known: u64,
    },
    /// Another process has the directory open.
    #[error("{} is locked: another process has this directory open; stop it first", path.display())]
    Locked {
        /// The locked file.
        path: PathBuf,
    },
    /// There is a log already, or something else. Go: os.ErrExist
    #[error("{} is not empty; open the log in it, or create one elsewhere", path.display())]
    Exists {
        /// The directory.
        path: PathBuf,
    },
    /// There is no segment in the directory. Go: ErrFileNotFound
    #[error("wal: file not found in {}; create a log first, or name the right directory", path.display())]
    FileNotFound {
        /// The directory.
        path: PathBuf,
    },
    /// No record of the log marks this snapshot. Go: ErrSnapshotNotFound
    #[error(
        "wal: snapshot not found: no record marks index {index}, term {term}; open at a snapshot that the log knows"
    )]
    SnapshotNotFound {
        /// The snapshot's index.
        index: u64,
        /// The snapshot's term.
        term: u64,
    },
    /// The log marks a snapshot at this index with another term. Go: ErrSnapshotMismatch
    #[error("wal: snapshot mismatch: index {index} is marked with term {marked}, not {term}")]
    SnapshotMismatch {
        /// The snapshot's index.
        index: u64,
        /// The term asked for.
        term: u64,
        /// The term in the log.
        marked: u64,
    },
    /// Two segments disagree about the metadata, or about what the caller expects. Go: ErrMetadataConflict
    #[error(
        "wal: conflicting metadata found in {segment}; segments of two logs lie in one directory"
    )]
    MetadataConflict {
        /// The segment that differs.
        segment: String,
    },
    /// The snapshot that should be used is gone, and the log does not reach back to the older one.
    #[error(
        "snapshot {snapshot} cannot be used ({reason}), and the entries {missing_from} to {missing_to} that would replace it are not in the log; \
         replace this replica under a new id, or restore its snapshot file"
    )]
    MissingLog {
        /// The index of the newest snapshot that the log marks.
        snapshot: u64,
        /// Why it cannot be used.
        reason: String,
        /// The first entry that is missing.
        missing_from: u64,
        /// The last entry that is missing.
        missing_to: u64,
    },
    /// A snapshot file does not hold what was written. Go: snap.ErrCRCMismatch, snap.ErrEmptySnapshot
    #[error("snap: {}: {reason}; it is not used", path.display())]
    BadSnapshot {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A write or an fsync failed before: what reached the disk is unknown, so nothing is acknowledged any more. Stop the node and
    /// start it again; opening the directory writes the doubtful part anew.
    #[error(
        "the log is poisoned by an earlier failure ({0}); stop the node and open the directory again"
    )]
    Poisoned(Arc<Error>),
    /// A call named an index outside of the log. Nothing changed.
    #[error("index {index} is out of bound [{first}, {last}]")]
    OutOfRange {
        /// What was asked for.
        index: u64,
        /// The smallest index that would do.
        first: u64,
        /// The largest index that would do.
        last: u64,
    },
    /// The entries asked for were compacted.
    #[error("requested index is unavailable due to compaction")]
    Compacted,
    /// The entries asked for are beyond the last index.
    #[error("requested entry at index is unavailable")]
    Unavailable,
    /// A snapshot at this index or a newer one is stored already. Nothing changed.
    #[error("requested index is older than the existing snapshot")]
    SnapshotOutOfDate,
    /// The log has another term at this index. Nothing changed.
    #[error("term {term} at index {index} does not match the log's {expected}")]
    TermMismatch {
        /// The index.
        index: u64,
        /// The term given.
        term: u64,
        /// The term in the log.
        expected: u64,
    },
    /// A snapshot without a configuration cannot be marked. Go: ValidateSnapshotForWrite
    #[error("snapshot {index} has no ConfState; etcd refuses to read such a mark")]
    MissingConfState {
        /// The snapshot's index.
        index: u64,
    },
    /// The directory belongs to another node or another group.
    #[error("{} belongs to {what} {found}, not {expected}; start with the right directory or the right id", path.display())]
    WrongIdentity {
        /// The directory.
        path: PathBuf,
        /// "node id" or "cluster id".
        what: &'static str,
        /// What the directory says.
        found: u64,
        /// What the caller said.
        expected: u64,
    },
    /// A peer came back with another disk, or an older copy of its disk: it may have forgotten votes and entries.
    #[error("peer {id} is refused: {reason}; remove id {id}, join under a new id")]
    PeerRefused {
        /// The peer's node id.
        id: u64,
        /// What differs.
        reason: String,
    },
    /// A file that only this crate writes does not hold what was written.
    #[error("{} is damaged: {reason}; restore it, or replace this replica under a new id", path.display())]
    BadFile {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The call does not fit the way the log was opened or the options given. Nothing changed.
    #[error("{0}")]
    Usage(&'static str),
}

impl Error {
    pub(crate) fn io(op: &'static str, path: &Path, e: io::Error) -> Self {
        if is_no_space(&e) {
            return Self::NoSpace {
                path: path.to_path_buf(),
            };
        }
        Self::Io {
            op,
            path: path.to_path_buf(),
            source: Arc::new(e),
        }
    }

    /// As [`Error::io`], but a full disk is no excuse: after a failed fsync what reached the disk is unknown.
    pub(crate) fn io_fatal(op: &'static str, path: &Path, e: io::Error) -> Self {
        Self::Io {
            op,
            path: path.to_path_buf(),
            source: Arc::new(e),
        }
    }

    /// Whether durable bytes are missing or altered, as opposed to a failure that may pass.
    #[must_use]
    pub fn is_corruption(&self) -> bool {
        matches!(
            self,
            Self::Corrupt { .. }
                | Self::MarkMissing { .. }
                | Self::MissingLog { .. }
                | Self::MetadataConflict { .. }
                | Self::Version { .. }
                | Self::BadFile { .. }
                | Self::BadSnapshot { .. }
        )
    }
}

/// Whether an error of the operating system says that the disk, or the user's share of it, is full.
pub(crate) fn is_no_space(e: &io::Error) -> bool {
    matches!(
        e.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// What to do about a failure of the operating system.
fn advice(e: &io::Error) -> &'static str {
    match e.kind() {
        io::ErrorKind::PermissionDenied => {
            "give the process read and write permission on the data directory and its files"
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            "mount the file system for writing; it may have been remounted read-only after a disk error"
        }
        io::ErrorKind::NotFound => "check the path",
        _ => "check the disk and the kernel's log, then start again",
    }
}

impl PartialEq for Error {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Io {
                    op: a,
                    path: b,
                    source: c,
                },
                Self::Io {
                    op: x,
                    path: y,
                    source: z,
                },
            ) => a == x && b == y && Arc::ptr_eq(c, z),
            (Self::Poisoned(a), Self::Poisoned(b)) => Arc::ptr_eq(a, b),
            (Self::Io { .. } | Self::Poisoned(_), _) | (_, Self::Io { .. } | Self::Poisoned(_)) => {
                false
            }
            // All others carry plain values, which their texts repeat.
            _ => {
                std::mem::discriminant(self) == std::mem::discriminant(other)
                    && self.to_string() == other.to_string()
            }
        }
    }
}

impl Eq for Error {}

impl From<Error> for storage::Error {
    fn from(e: Error) -> Self {
        match e {
            Error::NoSpace { .. } => Self::NoSpace,
            Error::Compacted => Self::Compacted,
            Error::Unavailable => Self::Unavailable,
            Error::SnapshotOutOfDate => Self::SnapshotOutOfDate,
            Error::OutOfRange { index, first, last } => Self::OutOfRange { index, first, last },
            Error::TermMismatch {
                index,
                term,
                expected,
            } => Self::TermMismatch {
                index,
                term,
                expected,
            },
            e => Self::other(e),
        }
    }
}
