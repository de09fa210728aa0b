//! Why a storage did not answer. Go: ErrCompacted and its kin in storage.go

use std::sync::Arc;

/// Why a storage did not answer. The texts are etcd's.
///
/// Equality compares a carried source by identity.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The index lies before the log's first: its entry, and below first index − 1 its term too, is gone. Nothing changed; use the
    /// snapshot. Go: ErrCompacted
    #[error("requested index is unavailable due to compaction")]
    Compacted,
    /// The index lies beyond the log's last. Nothing changed. Go: ErrUnavailable
    #[error("requested entry at index is unavailable")]
    Unavailable,
    /// A snapshot at this index or a newer one is stored already, or the log has let go of entries beyond it. Nothing changed; drop
    /// the snapshot. Go: ErrSnapOutOfDate
    #[error("requested index is older than the existing snapshot")]
    SnapshotOutOfDate,
    /// The snapshot is being prepared; ask again later. Go: ErrSnapshotTemporarilyUnavailable
    #[error("snapshot is temporarily unavailable")]
    SnapshotTemporarilyUnavailable,
    /// The call names an index outside of the log, or entries that do not continue it. Nothing changed; the caller is wrong about the
    /// log's bounds. etcd's MemoryStorage panics here.
    #[error("index {index} is out of bound [{first}, {last}]")]
    OutOfRange {
        /// What was asked for.
        index: u64,
        /// The smallest index that would do.
        first: u64,
        /// The largest index that would do.
        last: u64,
    },
    /// The snapshot's term is not that of the log's entry at its index: it is of another log. Nothing changed.
    #[error("snapshot at index {index} has term {term}, the log has {expected}")]
    TermMismatch {
        /// The snapshot's index.
        index: u64,
        /// The snapshot's term.
        term: u64,
        /// The log's term at that index.
        expected: u64,
    },
    /// The disk is full. Nothing of the Write was kept: give it again once there is room.
    #[error("no space left for the log; nothing of this write was kept")]
    NoSpace,
    /// Anything else: I/O, corruption, a failed fsync. The log is in doubt; the node must stop.
    #[error("{0}")]
    Other(#[source] Arc<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// Wraps a storage's own error.
    ///
    /// ```
    /// use tickraft_storage::Error;
    /// let e = Error::other(std::io::Error::other("disk on fire"));
    /// assert_eq!(e.to_string(), "disk on fire");
    /// assert_eq!(e, e.clone());
    /// ```
    pub fn other(e: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Other(Arc::from(e.into()))
    }

    /// Whether this is an answer that the core deals with rather than a fault that stops the node.
    #[must_use]
    pub fn is_answer(&self) -> bool {
        matches!(
            self,
            Self::Compacted | Self::Unavailable | Self::SnapshotTemporarilyUnavailable
        )
    }
}

impl PartialEq for Error {
    fn eq(&self, other: &Self) -> bool {
        use Error::*;
        match (self, other) {
            (Compacted, Compacted)
            | (Unavailable, Unavailable)
            | (SnapshotOutOfDate, SnapshotOutOfDate)
            | (SnapshotTemporarilyUnavailable, SnapshotTemporarilyUnavailable)
            | (NoSpace, NoSpace) => true,
            (
                OutOfRange {
                    index: a,
                    first: b,
                    last: c,
                },
                OutOfRange {
                    index: x,
                    first: y,
                    last: z,
                },
            )
            | (
                TermMismatch {
                    index: a,
                    term: b,
                    expected: c,
                },
                TermMismatch {
                    index: x,
                    term: y,
                    expected: z,
                },
            ) => (a, b, c) == (x, y, z),
            (Other(a), Other(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}

impl Eq for Error {}
