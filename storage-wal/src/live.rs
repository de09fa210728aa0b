//! The log as readers see it while it is being written, and reading entries back from disk. Go: none (etcd keeps all entries in memory)

use crate::Error;
use crate::cache::Cache;
use crate::crc::crc32c_append;
use crate::index::{LogIndex, Point};
use crate::record::{Frame, kind, seed};
use crate::segment::{Raw, Segment, SegmentReader};
use crate::stats::Counters;
use parking_lot::RwLock;
use prost::Message as _;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use storage::raftpb::{Entries, Entry};

/// At most so many bytes are read back at once, whatever was asked for: memory stays bounded.
const MAX_READ: u64 = 16 << 20;

/// What changes while the log is written. Nobody holds its lock during a disk access.
#[derive(Debug, Default)]
pub(crate) struct Live {
    pub(crate) log: LogIndex,
    pub(crate) segments: BTreeMap<u64, Segment>,
    pub(crate) cache: Cache,
    pub(crate) log_id: u64,
    pub(crate) protected_from: u64,
    /// The last index known durable.
    pub(crate) durable: u64,
}

/// What writer and readers share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub(crate) live: RwLock<Live>,
    /// Entries up to here were let go; answered without a lock.
    pub(crate) compacted: AtomicU64,
    pub(crate) counters: Counters,
    pub(crate) spares: crate::wal::Shelf,
}

/// Reads the log of a [`Wal`](crate::Wal) while it is being written. Cheap to clone; made by [`Wal::reader`](crate::Wal::reader) and [`Wal::read`](crate::Wal::read).
#[derive(Clone, Debug)]
pub struct WalReader {
    pub(crate) shared: Arc<Shared>,
}

/// Where a range lies.
enum Plan {
    Cached(Entries),
    /// Points to read from, each with the index where its stretch ends, and the segments.
    Disk(Vec<(Point, u64, Segment)>, u64, u64),
}

impl WalReader {
    /// The first index that can be read; last + 1 when there are no entries.
    #[must_use]
    pub fn first_index(&self) -> u64 {
        self.shared.compacted.load(Ordering::Acquire) + 1
    }

    /// The last index.
    #[must_use]
    pub fn last_index(&self) -> u64 {
        self.shared.live.read().log.last()
    }

    /// The term at an index, from first index − 1 to the last.
    ///
    /// # Errors
    /// [`Error::Compacted`] below that, [`Error::Unavailable`] above.
    pub fn term(&self, index: u64) -> Result<u64, Error> {
        if index.saturating_add(1) < self.first_index() {
            return Err(Error::Compacted);
        }
        let live = self.shared.live.read();
        match live.log.term(index) {
            Some(t) => Ok(t),
            None if index > live.log.last() => Err(Error::Unavailable),
            None => Err(Error::Compacted),
        }
    }

    /// Entries `lo..hi`, cut to `max_size` encoded bytes and to 16 MiB where they are read back from disk, at least one where `lo < hi`.
    ///
    /// # Errors
    /// [`Error::Compacted`], [`Error::Unavailable`], [`Error::OutOfRange`] for `lo > hi`; [`Error::Corrupt`] when what was read back is not what was written: the node must stop.
    pub fn entries(&self, lo: u64, hi: u64, max_size: u64) -> Result<Entries, Error> {
        let (plan, mut left, log_id, protected_from) = {
            let live = self.shared.live.read();
            if lo < self.first_index() {
                return Err(Error::Compacted);
            }
            if hi > live.log.last() + 1 {
                return Err(Error::Unavailable);
            }
            if lo > hi {
                return Err(Error::OutOfRange {
                    index: lo,
                    first: self.first_index(),
                    last: hi,
                });
            }
            if lo == hi {
                return Ok(Entries::new());
            }
            (
                plan(&live, lo, hi, max_size),
                max_size.min(MAX_READ),
                live.log_id,
                live.protected_from,
            )
        };
        let (stretches, lo, hi_disk) = match plan {
            Plan::Cached(e) => return Ok(e),
            Plan::Disk(s, lo, hi) => (s, lo, hi),
        };
        let out = read_back(&stretches, (lo, hi_disk), &mut left, log_id, protected_from)?;
        self.shared
            .counters
            .read_back
            .fetch_add(out.len() as u64, Ordering::Relaxed);
        let whole = out.last().is_some_and(|e| e.index + 1 == hi_disk);
        let disk: Entries = out.into();
        if !whole || hi_disk == hi || left == 0 {
            return Ok(disk);
        }
        Ok(self.join_cached(disk, hi_disk, hi, left))
    }

    /// Adds what the cache still has behind what was read from disk.
    fn join_cached(&self, disk: Entries, lo: u64, hi: u64, left: u64) -> Entries {
        let live = self.shared.live.read();
        let follows = lo >= live.cache.first() && hi <= live.log.last() + 1;
        let more = if follows {
            live.cache.range(lo, hi, left)
        } else {
            Entries::new()
        };
        // The first may be larger than what is left.
        let more = if more.first().is_some_and(|e| e.size() > left) {
            Entries::new()
        } else {
            more
        };
        disk.join(more)
    }
}

fn plan(live: &Live, lo: u64, hi: u64, max_size: u64) -> Plan {
    let cached = live.cache.first();
    if lo >= cached {
        return Plan::Cached(live.cache.range(lo, hi, max_size));
    }
    let hi = hi.min(cached);
    let mut stretches = Vec::new();
    let mut at = lo;
    // A stretch is about 16 KiB of log; more of them than fit are not needed, and if overwrites made them short the caller asks again.
    let most = usize::try_from(max_size.min(MAX_READ) / (8 << 10)).unwrap_or(0) + 2;
    while at < hi && stretches.len() < most {
        let Some((p, next)) = live.log.stretch(at) else {
            break;
        };
        let Some(s) = live.segments.get(&p.pos.segment) else {
            break;
        };
        stretches.push((p, next, s.clone()));
        at = next;
    }
    Plan::Disk(stretches, lo, hi)
}

/// Entries `lo..hi` from their stretches, as many as `left` bytes allow.
fn read_back(
    stretches: &[(Point, u64, Segment)],
    (lo, hi): (u64, u64),
    left: &mut u64,
    log_id: u64,
    protected_from: u64,
) -> Result<Vec<Entry>, Error> {
    let mut out = Vec::new();
    let mut open: Option<(u64, SegmentReader)> = None;
    for (point, next, segment) in stretches {
        // Stretches of one segment lie close together: one window serves them.
        let seq = segment.name.seq;
        let mut file = match open.take() {
            Some((s, r)) if s == seq => r,
            _ => SegmentReader::new(segment)?.with_window(left.saturating_add(64 << 10)),
        };
        let r = ReadBack {
            point: *point,
            segment,
            protected: (seq >= protected_from).then_some(log_id),
        };
        let from = lo.max(point.index);
        if !r.read(&mut file, from, (*next).min(hi), left, &mut out)? {
            break;
        }
        open = Some((seq, file));
    }
    Ok(out)
}

/// Reads one stretch back, verified as at open.
struct ReadBack<'a> {
    point: Point,
    segment: &'a Segment,
    /// The log's id where the records must be protected.
    protected: Option<u64>,
}

impl ReadBack<'_> {
    /// Entries `lo..hi` of the stretch. False when the size limit is reached.
    fn read(
        &self,
        r: &mut SegmentReader,
        lo: u64,
        hi: u64,
        left: &mut u64,
        out: &mut Vec<Entry>,
    ) -> Result<bool, Error> {
        let (mut at, mut crc, mut index) =
            (self.point.pos.offset, self.point.crc, self.point.index);
        while index < hi {
            let bytes = match r.frame(at)? {
                Raw::Frame(b) => b,
                Raw::End | Raw::Short => return Err(self.rot(at, index, "the record is gone")),
            };
            let len = bytes.len() as u64;
            let f = self.verified(bytes, at, crc, index)?;
            crc = f.crc;
            if f.kind == kind::ENTRY {
                if index >= lo {
                    let e = Entry::decode(f.data())
                        .ok()
                        .filter(|e| e.index == index)
                        .ok_or_else(|| self.rot(at, index, "another entry lies here"))?;
                    let size = e.size();
                    if size > *left && !out.is_empty() {
                        return Ok(false);
                    }
                    *left = left.saturating_sub(size);
                    out.push(e);
                }
                index += 1;
            }
            at += len;
        }
        Ok(*left > 0)
    }

    fn verified<'b>(
        &self,
        bytes: &'b [u8],
        at: u64,
        crc: u32,
        index: u64,
    ) -> Result<Frame<'b>, Error> {
        let f = Frame::parse(bytes).ok_or_else(|| self.rot(at, index, "not a record"))?;
        if let Some(id) = self.protected
            && !f.holds(seed(id, self.segment.name.seq), at)
        {
            return Err(self.rot(at, index, "the record's checksum does not hold"));
        }
        if f.crc != crc32c_append(crc, f.data()) {
            return Err(self.rot(at, index, "the data's CRC does not hold"));
        }
        Ok(f)
    }

    fn rot(&self, offset: u64, index: u64, reason: &str) -> Error {
        Error::Corrupt {
            segment: self.segment.name.to_string(),
            offset,
            index,
            reason: format!("read back while running: {reason}"),
        }
    }
}
