//! What the bytes of a directory prove: the durable prefix, what follows it, and whether anything durable is missing. Go: ReadAll in wal.go, decoder.go
//!
//! M is the highest sequence number proven durable: by the mark, or by any record whose checksum holds, because it states what was durable before its batch was
//! written. What is bad or absent up to M is corruption. Behind M lies at most one batch whose fsync never returned; its sectors reach the disk
//! in any order, so whatever it looks like, it is cut back to the last whole batch.

mod etcd;
mod names;
mod protected;
mod replay;

use crate::Error;
use crate::crc::crc32c_append;
use crate::index::LogIndex;
use crate::mark::{self, Slot};
use crate::record::{
    Frame, Guard, INSTALLED, SnapshotMark, VERSION, WORD, decode_state, kind, peek_entry, seed,
};
use crate::segment::{Pos, Raw, Segment, SegmentName, SegmentReader};
use crate::vfs::{Mode, Vfs};
use prost::Message as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use storage::raftpb::HardState;

use names::{check_names, open_segments};
use replay::{Item, decode};

/// What was found behind the last whole batch.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Torn {
    /// The segment's file name.
    pub segment: String,
    /// Where the last whole batch ends in it.
    pub offset: u64,
    /// How many bytes behind that are not zero-filled space: the distance to the last such byte.
    pub bytes: u64,
    /// How many intact records are among them: of an unfinished batch, or, in a directory of etcd's, frames that etcd's rules drop.
    pub records: u64,
    /// Where opening for writing kept the removed bytes.
    pub kept: Option<PathBuf>,
}

/// A snapshot mark found in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Marked {
    pub(crate) mark: SnapshotMark,
    pub(crate) segment: u64,
}

/// What the records say, in order, up to the last whole batch.
#[derive(Clone, Debug, Default)]
pub(crate) struct Replay {
    pub(crate) metadata: Option<Vec<u8>>,
    pub(crate) hs: HardState,
    pub(crate) saw_state: bool,
    pub(crate) marks: Vec<Marked>,
    pub(crate) log: LogIndex,
    /// Entries that lay before an installed snapshot's mark.
    pub(crate) dropped: u64,
}

/// What a scan found.
#[derive(Debug)]
pub(crate) struct Scan {
    pub(crate) segments: Vec<Segment>,
    pub(crate) mark: Option<Slot>,
    /// Any protected record was found, or a mark.
    pub(crate) protected: bool,
    pub(crate) log_id: u64,
    pub(crate) epoch: u64,
    /// M.
    pub(crate) proven: u64,
    /// Where M's record ends, if it lies in the last segment; else 0.
    pub(crate) proven_offset: u64,
    /// The last whole batch's last record.
    pub(crate) seq: u64,
    /// Where it ends, in the last segment.
    pub(crate) end: u64,
    /// The CRC chain there.
    pub(crate) crc: u32,
    pub(crate) torn: Option<Torn>,
    pub(crate) replay: Replay,
    pub(crate) records: u64,
    pub(crate) bytes: u64,
    /// Segments below the mark's floor, left over from an unfinished purge.
    pub(crate) leftover: Vec<PathBuf>,
}

/// How a directory is scanned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ScanOptions {
    /// Opened for writing and locked.
    pub(crate) write: bool,
    /// Accept a missing mark.
    pub(crate) without_mark: bool,
}

struct Scanner {
    scan: Scan,
    /// Of the batch that is being read.
    items: Vec<(Item, Pos)>,
    /// The sequence number durable before it.
    batch_base: u64,
    /// The last record read, in an unfinished batch too.
    seq: u64,
    crc: u32,
    /// Whether protected records were seen.
    guarded: bool,
    /// What the checksums of the segment being read start from.
    seed: u32,
}

/// Reads a directory of segments.
pub(crate) fn scan(vfs: &dyn Vfs, dir: &Path, o: ScanOptions) -> Result<Scan, Error> {
    let names = SegmentName::list(vfs, dir)?;
    let mark = mark::read(vfs, dir)?;
    let floor = mark.map_or(0, |m| m.floor);
    let (old, names): (Vec<_>, Vec<_>) = names.into_iter().partition(|n| n.seq < floor);
    if names.is_empty() && mark.is_none() {
        return Err(Error::FileNotFound {
            path: dir.to_path_buf(),
        });
    }
    check_names(&names, mark)?;
    let segments = open_segments(vfs, dir, &names, o.write)?;
    let mut s = Scanner {
        scan: Scan {
            segments,
            mark,
            protected: mark.is_some(),
            log_id: mark.map_or(0, |m| m.log_id),
            epoch: 0,
            proven: mark.map_or(0, |m| m.seq),
            proven_offset: 0,
            seq: 0,
            end: 0,
            crc: 0,
            torn: None,
            replay: Replay::default(),
            records: 0,
            bytes: 0,
            leftover: old.iter().map(|n| n.path(dir)).collect(),
        },
        items: Vec::new(),
        batch_base: 0,
        seq: 0,
        crc: 0,
        guarded: false,
        seed: 0,
    };
    if mark.is_none() && !o.without_mark && s.any_protected()? {
        return Err(Error::MarkMissing {
            path: dir.join(mark::NAME),
        });
    }
    s.run()?;
    Ok(s.scan)
}

/// Why a record is not taken.
type Bad = String;

impl Scanner {
    /// Whether some segment starts with a record that carries protection, valid or not.
    fn any_protected(&self) -> Result<bool, Error> {
        for s in &self.scan.segments {
            if let Raw::Frame(b) = SegmentReader::new(s)?.frame(0)?
                && Frame::parse(b).is_some_and(|f| f.guard.is_some())
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn run(&mut self) -> Result<(), Error> {
        let segments = self.scan.segments.clone();
        for (n, s) in segments.iter().enumerate() {
            let last = n + 1 == segments.len();
            let mut r = SegmentReader::new(s)?;
            self.scan.bytes += r.len();
            let protected = self.is_protected(s, &mut r)?;
            if protected {
                self.protected_segment(s, &mut r, last)?;
            } else {
                self.etcd_segment(s, &mut r, last)?;
            }
        }
        let p = &mut self.scan.replay;
        if !p.log.is_known()
            && let Some(m) = p.marks.last()
        {
            p.log.reset(m.mark.index, m.mark.term);
        }
        for m in &p.marks {
            p.log.know_base(m.mark.index, m.mark.term);
        }
        self.check_mark()
    }

    /// Whether a segment's records must carry protection.
    fn is_protected(&self, s: &Segment, r: &mut SegmentReader) -> Result<bool, Error> {
        if self.guarded
            || self
                .scan
                .mark
                .is_some_and(|m| s.name.seq >= m.protected_from)
        {
            return Ok(true);
        }
        Ok(match r.frame(0)? {
            Raw::Frame(b) => Frame::parse(b).is_some_and(|f| f.guard.is_some()),
            _ => false,
        })
    }

    fn corrupt(&self, s: &Segment, offset: u64, reason: impl Into<String>) -> Error {
        Error::Corrupt {
            segment: s.name.to_string(),
            offset,
            index: self.scan.replay.log.last(),
            reason: reason.into(),
        }
    }
}
