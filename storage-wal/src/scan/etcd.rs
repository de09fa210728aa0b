//! Segments that etcd wrote, read by its rules. Go: ReadAll, Repair, decoder.go

use super::*;

impl Scanner {
    /// etcd's rules: what `ReadAll` and `Repair` accept.
    pub(super) fn etcd_segment(
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

    pub(super) fn etcd_record(&mut self, bytes: &[u8], pos: Pos) -> Result<Item, Bad> {
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
    pub(super) fn etcd_tail(
        &mut self,
        s: &Segment,
        r: &mut SegmentReader,
        at: u64,
    ) -> Result<(), Error> {
        let (mut intact, mut end, mut from) = (0, at, at);
        while let Some(offset) = r.next_nonzero(from)? {
            from = offset + WORD as u64;
            end = from.min(r.len());
            if r.may_begin(offset)?
                && let Raw::Frame(b) = r.frame(offset)?
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

/// Whether a bad record was torn: one of its sectors is all zero. Go: isTornEntry
#[doc(alias = "isTornEntry")]
pub(super) fn torn_entry(frame: &[u8], offset: u64) -> bool {
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
