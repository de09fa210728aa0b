//! What the bytes of a directory prove: the durable prefix, what follows it, and whether anything durable is missing. Go: ReadAll in wal.go, decoder.go
//!
//! M is the highest sequence number proven durable: by the mark, or by any record whose checksum holds, because it states what was durable before its batch was
//! written. What is bad or absent up to M is corruption. Behind M lies at most one batch whose fsync never returned; its sectors reach the disk
//! in any order, so whatever it looks like, it is cut back to the last whole batch.

use crate::Error;
use crate::index::LogIndex;
use crate::mark::{self, Slot};
use crate::record::{
    Frame, INSTALLED, SnapshotMark, VERSION, WORD, decode_state, kind, peek_entry, seed,
};
use crate::segment::{Pos, Raw, Segment, SegmentName, SegmentReader};
use crate::vfs::{Mode, Vfs};
use crc32c::crc32c_append;
use prost::Message as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use storage::raftpb::HardState;

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

/// One decoded record, waiting for its batch's end.
enum Item {
    Entry {
        index: u64,
        term: u64,
        pos: Pos,
        crc: u32,
    },
    State(HardState),
    Snapshot {
        mark: SnapshotMark,
        installed: Option<bool>,
        segment: u64,
    },
    Metadata(Vec<u8>),
    Crc,
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

/// Sequence numbers must follow each other, from the mark's floor to its segment at least.
fn check_names(names: &[SegmentName], mark: Option<Slot>) -> Result<(), Error> {
    for w in names.windows(2) {
        let [a, b] = w else { continue };
        if a.seq == b.seq {
            return Err(missing(
                b.to_string(),
                b.index,
                "this sequence number appears twice".into(),
            ));
        }
        if b.seq != a.seq + 1 {
            let gone = format!("{:016x}-*.wal", a.seq + 1);
            return Err(missing(gone, b.index, "the segment is missing".into()));
        }
    }
    if let Some(m) = mark {
        let first = names.first().map_or(u64::MAX, |n| n.seq);
        let last = names.last().map_or(0, |n| n.seq);
        if first > m.floor || last < m.segment {
            let gone = if first > m.floor { m.floor } else { last + 1 };
            let index = names.last().map_or(0, |n| n.index);
            return Err(missing(
                format!("{gone:016x}-*.wal"),
                index,
                "the segment is missing".into(),
            ));
        }
    }
    Ok(())
}

fn missing(segment: String, index: u64, reason: String) -> Error {
    Error::Corrupt {
        segment,
        offset: 0,
        index,
        reason,
    }
}

fn open_segments(
    vfs: &dyn Vfs,
    dir: &Path,
    names: &[SegmentName],
    write: bool,
) -> Result<Vec<Segment>, Error> {
    let mode = if write { Mode::Write } else { Mode::Read };
    names
        .iter()
        .map(|n| {
            let path = n.path(dir);
            let file = vfs
                .open(&path, mode)
                .map_err(|e| Error::io("open", &path, e))?;
            if write && !file.try_lock().map_err(|e| Error::io("lock", &path, e))? {
                return Err(Error::Locked { path });
            }
            Ok(Segment {
                name: *n,
                path,
                file: Arc::from(file),
            })
        })
        .collect()
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

    fn protected_segment(
        &mut self,
        s: &Segment,
        r: &mut SegmentReader,
        last: bool,
    ) -> Result<(), Error> {
        self.scan.protected = true;
        let mut at = 0;
        (self.scan.end, self.scan.proven_offset) = (0, 0);
        let bad = loop {
            match self.protected_record(s, r, at)? {
                Ok(Some(n)) => at += n,
                Ok(None) => break None,
                Err(e) => break Some(e),
            }
        };
        if at == 0 {
            return Err(self.corrupt(
                s,
                0,
                bad.unwrap_or_else(|| "the segment's head is missing".into()),
            ));
        }
        if !last {
            // Sealed: it was synced whole before the next segment's head was written.
            if let Some(e) = bad {
                return Err(self.corrupt(s, at, e));
            }
            if !self.items.is_empty() {
                return Err(self.corrupt(s, at, "the segment ends within a batch"));
            }
            return Ok(());
        }
        self.end_of_log(s, r, at, bad)
    }

    /// Decides what the end of the last segment is: the end, an unfinished write, or corruption.
    fn end_of_log(
        &mut self,
        s: &Segment,
        r: &mut SegmentReader,
        at: u64,
        bad: Option<Bad>,
    ) -> Result<(), Error> {
        let (mut intact, mut last_byte) = (0, None);
        let mut from = at;
        while let Some(offset) = r.next_nonzero(from)? {
            last_byte = Some(offset);
            from = offset + WORD as u64;
            let seed = seed(self.scan.log_id, s.name.seq);
            if let Raw::Frame(b) = r.frame(offset)?
                && let Some(f) = Frame::parse(b)
                && let Some(g) = f.guard
                && g.epoch >= self.scan.epoch.max(self.scan.mark.map_or(0, |m| m.epoch))
                && f.holds(seed, offset)
            {
                self.scan.proven = self.scan.proven.max(g.durable);
                intact += 1;
                from = offset + b.len() as u64;
                last_byte = Some(from - WORD as u64);
            }
        }
        let reason = bad.unwrap_or_else(|| "a record is absent here".into());
        if self.seq < self.scan.proven {
            return Err(self.corrupt(
                s,
                at,
                format!("{reason}, but record {} was durable", self.scan.proven),
            ));
        }
        if self.scan.seq < self.scan.proven {
            return Err(self.corrupt(s, self.scan.end, "the end of a durable batch is missing"));
        }
        let unfinished = self.items.len() as u64;
        let end = last_byte.map_or(at, |b| (b + WORD as u64).min(r.len()));
        if end > self.scan.end {
            self.scan.torn = Some(Torn {
                segment: s.name.to_string(),
                offset: self.scan.end,
                bytes: end - self.scan.end,
                records: unfinished + intact,
                kept: None,
            });
            self.items.clear();
            self.check_cut(s)?;
        }
        Ok(())
    }

    /// A cut tail must leave a state that a node can have been in.
    fn check_cut(&self, s: &Segment) -> Result<(), Error> {
        let p = &self.scan.replay;
        let last = p.log.last();
        if !p.saw_state {
            return Ok(());
        }
        if p.log.term(last).is_some_and(|t| t > p.hs.term) {
            return Err(self.corrupt(
                s,
                self.scan.end,
                "the last entry's term is beyond the hard state's",
            ));
        }
        if p.hs.commit > last {
            return Err(self.corrupt(
                s,
                self.scan.end,
                format!("the commit index {} is beyond the last entry", p.hs.commit),
            ));
        }
        Ok(())
    }

    /// Reads one record of a protected segment. `Ok(Ok(None))` at the end of what is written.
    #[allow(clippy::type_complexity)]
    fn protected_record(
        &mut self,
        s: &Segment,
        r: &mut SegmentReader,
        at: u64,
    ) -> Result<Result<Option<u64>, Bad>, Error> {
        let bytes = match r.frame(at)? {
            Raw::End => return Ok(Ok(None)),
            Raw::Short => return Ok(Err("a length beyond the file's end".into())),
            Raw::Frame(b) => b,
        };
        let Some(f) = Frame::parse(bytes) else {
            return Ok(Err("not a record".into()));
        };
        let Some(g) = f.guard else {
            return Ok(Err("an unprotected record".into()));
        };
        if at == 0
            && let Err(e) = self.take_head(s, &f)?
        {
            return Ok(Err(e));
        }
        if at == 0 {
            self.seed = seed(self.scan.log_id, s.name.seq);
        }
        if !f.holds(self.seed, at) {
            return Ok(Err("the record's checksum does not hold".into()));
        }
        let len = bytes.len() as u64;
        if self.guarded {
            if g.seq != self.seq + 1 {
                return Ok(Err(format!("record {} follows record {}", g.seq, self.seq)));
            }
        } else if s.name.seq == 0 && g.seq != 1 {
            return Ok(Err("the first record is missing".into()));
        }
        // From here on the checksum vouches for what the record says of others.
        self.scan.proven = self.scan.proven.max(g.durable);
        if !self.guarded {
            (self.batch_base, self.scan.seq) = (g.durable, g.durable);
        }
        let starts = self.items.is_empty();
        if g.durable
            != if starts {
                self.scan.seq
            } else {
                self.batch_base
            }
            || g.epoch < self.scan.epoch
        {
            return Ok(Err("the record belongs to another batch".into()));
        }
        let pos = Pos {
            segment: s.name.seq,
            offset: at,
        };
        let before = self.crc;
        let data_crc = crc32c_append(before, f.data());
        let first = !self.guarded && self.scan.records == 0;
        if f.crc != data_crc && !(first && f.kind == kind::CRC) {
            return Ok(Err("the data's CRC does not hold".into()));
        }
        let item = match decode(&f, pos, before) {
            Ok(i) => i,
            Err(e) => return Ok(Err(e)),
        };
        let (ends, end) = (f.ends_batch(), at + len);
        self.crc = f.crc;
        self.guarded = true;
        self.seq = g.seq;
        self.batch_base = g.durable;
        self.scan.epoch = g.epoch;
        self.scan.records += 1;
        self.items.push((item, pos));
        if ends {
            self.finish_batch(s, end)?;
        }
        Ok(Ok(Some(len)))
    }

    fn take_head(&mut self, s: &Segment, f: &Frame<'_>) -> Result<Result<(), Bad>, Error> {
        let Some(h) = f.head else {
            return Ok(Err("the segment's head is missing".into()));
        };
        if !f.holds(seed(h.log_id, h.segment), 0) {
            return Ok(Err("the head's checksum does not hold".into()));
        }
        if h.version != VERSION {
            return Err(Error::Version {
                segment: s.name.to_string(),
                version: h.version,
                known: VERSION,
            });
        }
        if (h.segment, h.first_index) != (s.name.seq, s.name.index) {
            let real = SegmentName {
                seq: h.segment,
                index: h.first_index,
            };
            return Ok(Err(format!(
                "the segment was renamed: its head says {real}"
            )));
        }
        if self.scan.log_id != 0 && self.scan.log_id != h.log_id {
            return Ok(Err("the segment belongs to another log".into()));
        }
        self.scan.log_id = h.log_id;
        Ok(Ok(()))
    }

    /// Applies the batch that just ended at `end`.
    fn finish_batch(&mut self, s: &Segment, end: u64) -> Result<(), Error> {
        let mut items = std::mem::take(&mut self.items);
        for (item, pos) in items.drain(..) {
            self.apply(s, item, pos.offset, true)?;
        }
        self.items = items;
        self.scan.seq = self.seq;
        self.scan.end = end;
        self.scan.crc = self.crc;
        if self.scan.seq <= self.scan.proven {
            self.scan.proven_offset = end;
        }
        let Some(m) = self.scan.mark.filter(|m| m.seq == self.seq) else {
            return Ok(());
        };
        let here = (
            s.name.seq,
            end,
            self.scan.replay.hs.term,
            self.scan.replay.hs.vote,
        );
        if here != (m.segment, m.offset, m.term, m.vote) {
            return Err(self.corrupt(
                s,
                end,
                "the mark tells of another hard state, or another place, at this record",
            ));
        }
        Ok(())
    }

    /// The record that the mark names must have been met.
    fn check_mark(&self) -> Result<(), Error> {
        let (Some(m), Some(s)) = (self.scan.mark, self.scan.segments.last()) else {
            return Ok(());
        };
        if self.scan.seq < m.seq {
            return Err(self.corrupt(
                s,
                self.scan.end,
                format!("record {} was durable and is absent", m.seq),
            ));
        }
        Ok(())
    }

    fn apply(&mut self, s: &Segment, item: Item, offset: u64, strict: bool) -> Result<(), Error> {
        let at_fault = |me: &Self, why: &str| me.corrupt(s, offset, why);
        match item {
            Item::Entry {
                index,
                term,
                pos,
                crc,
            } => {
                let log = &mut self.scan.replay.log;
                if !strict && index <= log.base() && log.term(log.base()).is_some() {
                    return Ok(());
                }
                if let Err(e) = log.append(index, term, pos, crc) {
                    return Err(at_fault(self, e));
                }
            }
            Item::State(hs) => {
                if strict && hs.term < self.scan.replay.hs.term {
                    return Err(at_fault(self, "the hard state's term goes back"));
                }
                self.scan.replay.hs = hs;
                self.scan.replay.saw_state = true;
            }
            Item::Snapshot {
                mark,
                installed,
                segment,
            } => self.apply_mark(mark, installed, segment),
            Item::Metadata(m) => match &self.scan.replay.metadata {
                Some(old) if *old != m => {
                    return Err(Error::MetadataConflict {
                        segment: s.name.to_string(),
                    });
                }
                _ => self.scan.replay.metadata = Some(m),
            },
            Item::Crc => {}
        }
        Ok(())
    }

    /// A snapshot whose (index, term) the log does not hold replaced the log: the entries before it are not to be returned.
    fn apply_mark(&mut self, mark: SnapshotMark, installed: Option<bool>, segment: u64) {
        let p = &mut self.scan.replay;
        // What lies at or below the start of a purged log was in it once; a log that was not met yet is judged by what follows.
        let in_log = !p.log.is_known()
            || mark.index <= p.log.base()
            || p.log.term(mark.index) == Some(mark.term);
        // The mark {0, 0} is the first of every log.
        let begins = mark.index == 0 && !p.log.is_known();
        if begins || installed.unwrap_or(!in_log) {
            p.dropped += p.log.reset(mark.index, mark.term);
        } else {
            p.log.know_base(mark.index, mark.term);
        }
        p.marks.push(Marked { mark, segment });
    }

    /// etcd's rules: what `ReadAll` and `Repair` accept.
    fn etcd_segment(
        &mut self,
        s: &Segment,
        r: &mut SegmentReader,
        last: bool,
    ) -> Result<(), Error> {
        let mut at = 0;
        self.scan.end = 0;
        loop {
            let bytes = match r.frame(at)? {
                Raw::End => break,
                Raw::Short if last => break,
                Raw::Short => return Err(self.corrupt(s, at, "a length beyond the file's end")),
                Raw::Frame(b) => b,
            };
            let len = bytes.len() as u64;
            let pos = Pos {
                segment: s.name.seq,
                offset: at,
            };
            match self.etcd_record(bytes, pos) {
                Ok(item) => self.apply(s, item, at, false)?,
                Err(_) if last && torn_entry(bytes, at) => break,
                Err(e) => return Err(self.corrupt(s, at, e)),
            }
            at += len;
            self.scan.records += 1;
            self.scan.end = at;
            self.scan.crc = self.crc;
        }
        if last {
            self.etcd_tail(s, r, at)?;
        }
        Ok(())
    }

    fn etcd_record(&mut self, bytes: &[u8], pos: Pos) -> Result<Item, Bad> {
        let f = Frame::parse(bytes).ok_or("not a record")?;
        if f.guard.is_some() {
            return Err("a protected record in a segment of etcd's".into());
        }
        if f.kind == kind::CRC {
            // A decoder that starts in the middle of a log takes the chain from the first segment's head.
            if self.crc != 0 && self.crc != f.crc {
                return Err("the CRC chain between segments does not hold".into());
            }
            self.crc = f.crc;
            return Ok(Item::Crc);
        }
        let before = self.crc;
        if crc32c_append(before, f.data()) != f.crc {
            return Err("the data's CRC does not hold".into());
        }
        let item = decode(&f, pos, before)?;
        self.crc = f.crc;
        Ok(item)
    }

    /// Counts what etcd's rules drop at the end of its last segment.
    fn etcd_tail(&mut self, s: &Segment, r: &mut SegmentReader, at: u64) -> Result<(), Error> {
        let (mut intact, mut end, mut from) = (0, at, at);
        while let Some(offset) = r.next_nonzero(from)? {
            from = offset + WORD as u64;
            end = from.min(r.len());
            if let Raw::Frame(b) = r.frame(offset)?
                && Frame::parse(b).is_some_and(|f| decode(&f, Pos::default(), 0).is_ok())
            {
                intact += 1;
                from = offset + b.len() as u64;
                end = from;
            }
        }
        if end > at {
            self.scan.torn = Some(Torn {
                segment: s.name.to_string(),
                offset: at,
                bytes: end - at,
                records: intact,
                kept: None,
            });
        }
        Ok(())
    }
}

/// Reads what a record says.
fn decode(f: &Frame<'_>, pos: Pos, crc: u32) -> Result<Item, Bad> {
    let data = f.data();
    let item = match f.kind {
        kind::METADATA => Some(Item::Metadata(data.to_vec())),
        kind::ENTRY => peek_entry(data).map(|(term, index)| Item::Entry {
            index,
            term,
            pos,
            crc,
        }),
        kind::STATE => decode_state(data).map(Item::State),
        kind::CRC => Some(Item::Crc),
        kind::SNAPSHOT => SnapshotMark::decode(data).ok().map(|mark| Item::Snapshot {
            mark,
            installed: f.guard.map(|g| g.flags & INSTALLED != 0),
            segment: pos.segment,
        }),
        k => return Err(format!("unexpected block type {k}")),
    };
    item.ok_or_else(|| format!("a {} record that cannot be read", kind::name(f.kind)))
}

/// Whether a bad record was torn: one of its sectors is all zero. Go: isTornEntry
#[doc(alias = "isTornEntry")]
fn torn_entry(frame: &[u8], offset: u64) -> bool {
    let mut at = offset + WORD as u64;
    let mut rest = frame.get(WORD..).unwrap_or_default();
    while !rest.is_empty() {
        let n = usize::try_from(512 - at % 512).unwrap_or(1).min(rest.len());
        let (chunk, tail) = rest.split_at(n);
        if chunk.iter().all(|b| *b == 0) {
            return true;
        }
        at += n as u64;
        rest = tail;
    }
    false
}
