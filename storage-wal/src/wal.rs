//! The write-ahead log. Go: wal.go, file_pipeline.go

mod append;
mod create;
mod cut;
mod open;
mod purge;
mod recovered;
mod snapshot;
mod space;
mod spare;
mod tail;

use crate::crc::crc32c_append;
use crate::encode::{Chain, Encoded, Frames, Record};
use crate::live::{Live, Shared, WalReader};
use crate::mark::{self, Mark, Slot};
use crate::options::{Format, Options};
use crate::record::{Frame, Head, INSTALLED, SnapshotMark, VERSION, kind, seed};
use crate::scan::{Replay, Scan, ScanOptions, Torn, scan};
use crate::segment::{Pos, Raw, Segment, SegmentName, SegmentReader};
use crate::vfs::{Mode, VfsFile, parent, sync_parent, write_all_at};
use crate::{Error, Stats};
use prost::Message as _;
use slog::{info, warn};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;
use storage::raftpb::{Entries, Entry, HardState};

pub use recovered::Recovered;
pub use space::Space;
pub(crate) use spare::Shelf;

use append::check_follows;
use cut::{encode_head, lock_segment};
use open::lock_dir;
use recovered::recovered;
use spare::{Maker, remove_spares};
use tail::keep_broken;

/// The lock of the directory.
const LOCK: &str = "lock";
/// The next segment while it is made. etcd passes over names that end in .tmp.
const NEXT: &str = "next.tmp";
/// Space held back for a full disk.
const RESERVE: &str = "reserve.tmp";
/// Spare segments: with their number and .tmp behind it.
const SPARE: &str = "spare-";

/// Encoded and not yet synced.
#[derive(Debug, Default)]
struct Pending {
    frames: Frames,
    /// The last record, which carries the batch's end.
    last: Option<Encoded>,
    /// Whether it carries it now.
    sealed: bool,
    records: u64,
}

/// A write-ahead log, open for appending. Go: WAL
///
/// What is appended is durable once [`sync`](Wal::sync) returned; all that one sync covers is one batch, found whole or not at all after a crash.
/// After a failed write or fsync every call returns [`Error::Poisoned`]: drop the log and open it again. A full disk
/// ([`Error::NoSpace`]) poisons nothing.
///
/// ```
/// use tickraft_storage_wal::raftpb::{Entry, HardState};
/// use tickraft_storage_wal::{Options, Wal};
/// let dir = tempfile::tempdir().unwrap();
/// let path = dir.path().join("wal");
/// let options = Options { segment_size: 1 << 20, reserve: 0, ..Options::default() };
///
/// let mut wal = Wal::create(&path, b"who I am", &options).unwrap();
/// wal.append(&[Entry::new(1, 1, "x")].into_iter().collect(), Some(&HardState { term: 1, vote: 1, commit: 0 })).unwrap();
/// wal.sync().unwrap();
/// drop(wal);
///
/// let (wal, found) = Wal::open(&path, &options).unwrap();
/// assert_eq!(found.metadata, b"who I am");
/// assert_eq!(found.entries, (1, 1));
/// assert_eq!(wal.reader().entries(1, 2, u64::MAX).unwrap().first().unwrap().data, "x");
/// ```
#[doc(alias = "WAL")]
#[derive(Debug)]
pub struct Wal {
    options: Options,
    dir: PathBuf,
    metadata: Vec<u8>,
    shared: Arc<Shared>,
    tail: Segment,
    /// Where the last durable batch ends in the tail.
    offset: u64,
    /// Up to where the tail's blocks were written, with records or zeros.
    zeroed: u64,
    chain: Chain,
    /// The last record's number in the last durable batch.
    durable_seq: u64,
    pending: Pending,
    hs: HardState,
    /// The hard state as of the last durable batch.
    durable_hs: HardState,
    /// The newest snapshot's index: a commit index below it is never written again, since etcd's rules then pass over the snapshot.
    snapshot: u64,
    /// Term and vote that the mark holds durably.
    marked_vote: (u64, u64),
    mark: Option<Mark>,
    scratch: Vec<u8>,
    poison: Option<Arc<Error>>,
    reserve: bool,
    space: Space,
    /// A batch could not be written for want of space; it is tried again with the next sync.
    stalled: bool,
    last_write: Instant,
    maker: Maker,
    _lock: Box<dyn VfsFile>,
}

impl Wal {
    /// Makes the tail known to readers.
    fn publish(&self) {
        let mut live = self.shared.live.write();
        live.segments.insert(self.tail.name.seq, self.tail.clone());
        let n = live.segments.len() as u64;
        self.shared.counters.segments.store(n, Ordering::Relaxed);
    }

    /// A handle that reads the log while this one writes it.
    #[must_use]
    pub fn reader(&self) -> WalReader {
        WalReader {
            shared: Arc::clone(&self.shared),
        }
    }

    /// What was given at create.
    #[must_use]
    pub fn metadata(&self) -> &[u8] {
        &self.metadata
    }

    /// The last hard state appended.
    #[must_use]
    pub fn hard_state(&self) -> HardState {
        self.hs
    }

    /// How much room there is. Checked anew with every append while it is not [`Space::Ample`].
    #[must_use]
    pub fn space(&self) -> Space {
        self.space
    }

    /// What this log has done since it was opened.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.counters.read()
    }

    fn healthy(&self) -> Result<(), Error> {
        match &self.poison {
            Some(e) => Err(Error::Poisoned(Arc::clone(e))),
            None => Ok(()),
        }
    }

    /// After this, nothing is acknowledged any more.
    fn poisoned(&mut self, e: Error) -> Error {
        warn!(self.options.logger, "the write-ahead log is poisoned"; "error" => %e);
        self.poison = Some(Arc::new(e.clone()));
        e
    }

    /// Looks whether there is room again.
    pub(crate) fn check_space(&mut self) {
        if self.space != Space::Ample {
            self.refill_reserve();
        }
    }

    /// Syncs what was appended, and the mark, and closes. Dropping without it is a crash: what was synced is safe.
    ///
    /// # Errors
    /// As [`sync`](Wal::sync).
    pub fn close(mut self) -> Result<(), Error> {
        self.sync()?;
        self.sync_mark()
    }
}
