//! How a log is opened. Go: SegmentSizeBytes and the arguments of Create and Open

use crate::Error;
use crate::vfs::{OsFs, Vfs};
use slog::Logger;
use std::sync::Arc;
use std::time::Duration;

/// What is written into records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// etcd's records with the protection that etcd's decoder skips, and a mark beside the segments.
    #[default]
    Protected,
    /// etcd's bytes exactly: no further fields, no mark. Damage at the log's end is then lost silently, as in etcd. For going back to etcd.
    Etcd,
}

/// How a log is created or opened.
///
/// ```
/// use tickraft_storage_wal::Options;
/// let o = Options { cache_bytes: 1 << 20, ..Options::default() };
/// assert_eq!(o.segment_size, 64_000_000);
/// ```
#[derive(Clone, Debug)]
pub struct Options {
    /// What is written.
    pub format: Format,
    /// A segment is preallocated with so many bytes and cut once they are passed. 64,000,000 as etcd's; at least 1 KiB.
    pub segment_size: u64,
    /// A segment is filled with zeros so far ahead of what is written, 512 KiB, but at most a quarter of it, for batches that are much smaller than that:
    /// an fsync over blocks that were only reserved has to wait for the file system's journal, too. Twice the bytes are written. 0: never, for
    /// copy-on-write file systems, where it gains nothing.
    pub zero_ahead: u64,
    /// So many segments, and the rest of the one being written, are filled with zeros and synced before [`Wal::open`](crate::Wal::open) or `create` returns: a
    /// batch that is too large for `zero_ahead` then needs no journal's commit either. 0: none. Each takes the space of a segment, and its bytes are written
    /// at every open; opening waits for them. Once they are used up, segments are only reserved, as without. A full disk takes them first. On copy-on-write file systems they gain nothing.
    pub spares: usize,
    /// Spares that were used are made again once nothing was written for so long, in pieces of 1 MiB. 1 s; `None`: only when the log is opened.
    pub spare_after: Option<Duration>,
    /// Newest entries kept in memory, in bytes of payload and bookkeeping. What is not yet durable is always in memory. 64 MiB.
    pub cache_bytes: u64,
    /// Disk space held back for entries already accepted, terms and votes when the disk is full. 64 MiB; 0: none.
    pub reserve: u64,
    /// A file that is given up when the disk is full and a snapshot must be written so that the log can be purged. 0: none.
    pub ballast: u64,
    /// How long after the last write the mark gets an fsync of its own. 100 ms; `None`: only with cut, snapshot, close and changes of term or vote.
    pub idle_mark_sync: Option<Duration>,
    /// Entries kept before a snapshot's index for followers that are a little behind. 5,000.
    pub keep_entries: u64,
    /// The file system.
    pub vfs: Arc<dyn Vfs>,
    /// Where things worth knowing go.
    pub logger: Logger,
    /// What random numbers are drawn from; `None`: the operating system. Tests give a seed.
    pub seed: Option<u64>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            format: Format::Protected,
            segment_size: 64_000_000,
            zero_ahead: 512 << 10,
            spares: 0,
            spare_after: Some(Duration::from_secs(1)),
            cache_bytes: 64 << 20,
            reserve: 64 << 20,
            ballast: 0,
            idle_mark_sync: Some(Duration::from_millis(100)),
            keep_entries: 5_000,
            vfs: Arc::new(OsFs),
            logger: Logger::root(slog::Discard, slog::o!()),
            seed: None,
        }
    }
}

impl Options {
    /// A random number that is not 0.
    pub(crate) fn random(&self, salt: u64) -> Result<u64, Error> {
        let n = match self.seed {
            Some(s) => s.wrapping_add(salt).wrapping_mul(0x9e37_79b9_7f4a_7c15),
            None => getrandom::u64()
                .map_err(|_| Error::Usage("the operating system gives no random numbers"))?,
        };
        Ok(n.max(1))
    }
}
