//! Segments whose records are protected: what is durable, what is an unfinished write. Go: none

use super::*;

impl Scanner {
    pub(super) fn protected_segment(
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
    pub(super) fn end_of_log(
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
            if r.may_begin(offset)?
                && let Raw::Frame(b) = r.frame(offset)?
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
    pub(super) fn check_cut(&self, s: &Segment) -> Result<(), Error> {
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
    pub(super) fn protected_record(
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
        if at == 0 {
            if let Err(e) = self.take_head(s, &f)? {
                return Ok(Err(e));
            }
            self.seed = seed(self.scan.log_id, s.name.seq);
        }
        if !f.holds(self.seed, at) {
            return Ok(Err("the record's checksum does not hold".into()));
        }
        let len = bytes.len() as u64;
        let pos = Pos {
            segment: s.name.seq,
            offset: at,
        };
        match self.follow(s, &g).and_then(|()| self.take_data(&f, pos)) {
            Ok(item) => self.items.push((item, pos)),
            Err(e) => return Ok(Err(e)),
        }
        self.guarded = true;
        (self.seq, self.batch_base, self.scan.epoch) = (g.seq, g.durable, g.epoch);
        self.scan.records += 1;
        if f.ends_batch() {
            self.finish_batch(s, at + len)?;
        }
        Ok(Ok(Some(len)))
    }

    /// Whether a record whose checksum holds is the next one of this log.
    fn follow(&mut self, s: &Segment, g: &Guard) -> Result<(), Bad> {
        if g.seq == u64::MAX || g.epoch == u64::MAX {
            return Err("an absurd sequence number or epoch".into());
        }
        if self.guarded {
            if g.seq != self.seq + 1 {
                return Err(format!("record {} follows record {}", g.seq, self.seq));
            }
        } else if s.name.seq == 0 && g.seq != 1 {
            return Err("the first record is missing".into());
        }
        // From here on the checksum vouches for what the record says of others.
        self.scan.proven = self.scan.proven.max(g.durable);
        if !self.guarded {
            (self.batch_base, self.scan.seq) = (g.durable, g.durable);
        }
        let batch = if self.items.is_empty() {
            self.scan.seq
        } else {
            self.batch_base
        };
        if g.durable != batch || g.epoch < self.scan.epoch {
            return Err("the record belongs to another batch".into());
        }
        Ok(())
    }

    /// Verifies a record's data by the chain, and reads them.
    fn take_data(&mut self, f: &Frame<'_>, pos: Pos) -> Result<Item, Bad> {
        let before = self.crc;
        // A log whose beginning was purged takes the chain from the head of its first segment.
        let first = !self.guarded && self.scan.records == 0;
        if f.crc != crc32c_append(before, f.data()) && !(first && f.kind == kind::CRC) {
            return Err("the data's CRC does not hold".into());
        }
        let item = decode(f, pos, before)?;
        self.crc = f.crc;
        Ok(item)
    }

    pub(super) fn take_head(
        &mut self,
        s: &Segment,
        f: &Frame<'_>,
    ) -> Result<Result<(), Bad>, Error> {
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
    pub(super) fn finish_batch(&mut self, s: &Segment, end: u64) -> Result<(), Error> {
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
    pub(super) fn check_mark(&self) -> Result<(), Error> {
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
}
