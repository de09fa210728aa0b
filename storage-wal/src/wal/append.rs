//! Appending and making durable: one write and one fsync a batch. Go: Save, sync, saveEntry, saveState

use super::*;

impl Wal {
    /// Takes entries, then a hard state, into the batch that the next [`sync`](Wal::sync) makes durable. Entries replace what the log holds from the first one's index on. Readers
    /// see them at once. Go: Save, without its sync
    ///
    /// # Errors
    /// [`Error::NoSpace`]: nothing was kept, give it again. [`Error::OutOfRange`]: the entries leave a gap, reach below the log's start, or do not follow each other; nothing was kept.
    #[doc(alias = "Save")]
    pub fn append(&mut self, entries: &Entries, hs: Option<&HardState>) -> Result<(), Error> {
        let hs = hs.filter(|h| !h.is_empty());
        self.healthy()?;
        if entries.is_empty() && hs.is_none() {
            return Ok(());
        }
        self.check(entries, hs)?;
        self.make_room(!entries.is_empty())?;
        let shared = Arc::clone(&self.shared);
        let mut live = shared.live.write();
        for e in entries {
            let (pos, crc) = self.push_entry(e);
            // Checked before; a refusal here would be a bug, and the record would be refused at open.
            if let Err(why) = live.log.append(e.index, e.term, pos, crc) {
                drop(live);
                return Err(self.poisoned(Error::Usage(why)));
            }
        }
        live.cache.append(entries);
        live.durable = live
            .durable
            .min(entries.first().map_or(u64::MAX, |e| e.index - 1));
        drop(live);
        if let Some(h) = hs {
            let last = shared.live.read().log.last();
            let commit = h.commit.max(self.snapshot.min(last));
            self.hs = HardState { commit, ..*h };
            let hs = self.hs;
            self.push(kind::STATE, 0, |b| hs.encode_raw(b));
        }
        Ok(())
    }

    /// Everything that can be wrong with what is given, before anything changes.
    pub(super) fn check(&self, entries: &Entries, hs: Option<&HardState>) -> Result<(), Error> {
        if hs.is_some_and(|h| h.term < self.hs.term) {
            return Err(Error::Usage(
                "the hard state's term goes back; nothing was written",
            ));
        }
        let Some(first) = entries.first() else {
            return Ok(());
        };
        let live = self.shared.live.read();
        let (first_ok, last_ok) = (live.log.base() + 1, live.log.last() + 1);
        let term = live.log.term(first.index.saturating_sub(1)).unwrap_or(0);
        check_follows(entries, first.index, first_ok, last_ok, term)
    }

    /// Encodes an entry into the batch. Returns its place, and the CRC chain before it.
    pub(super) fn push_entry(&mut self, e: &Entry) -> (Pos, u32) {
        let pos = Pos {
            segment: self.tail.name.seq,
            offset: self.offset + self.pending.frames.len(),
        };
        let crc = self.chain.crc;
        self.open_batch();
        let p = &mut self.pending;
        let e = self
            .chain
            .push_entry(&mut p.frames, self.offset, self.durable_seq, e);
        p.last = Some(e);
        p.records += 1;
        (pos, crc)
    }

    /// Encodes one record into the batch: what `data` puts.
    pub(super) fn push(&mut self, kind: u64, flags: u64, data: impl FnOnce(&mut Vec<u8>)) {
        self.open_batch();
        self.scratch.clear();
        data(&mut self.scratch);
        let r = Record {
            kind,
            data: Some(&self.scratch),
            flags,
            ..Record::default()
        };
        let p = &mut self.pending;
        let e = self
            .chain
            .push(&mut p.frames, self.offset, self.durable_seq, &r);
        p.last = Some(e);
        p.records += 1;
    }

    /// Takes the batch's end off the last record, if it was sealed and could not be written.
    fn open_batch(&mut self) {
        let p = &mut self.pending;
        match p.last {
            Some(e) if p.sealed => self.chain.set_end(&mut p.frames, e, false),
            Some(_) => {}
            None => p.frames.gather = self.tail.file.gathers(),
        }
        p.sealed = false;
    }

    /// Makes durable all that was appended: one write, one fsync. Go: sync
    ///
    /// # Errors
    /// [`Error::NoSpace`]: what was appended is still held in memory, and the next sync tries again. Anything else poisons the log.
    pub fn sync(&mut self) -> Result<(), Error> {
        self.healthy()?;
        let Some(last) = self.pending.last else {
            return Ok(());
        };
        if !self.pending.sealed {
            self.chain.set_end(&mut self.pending.frames, last, true);
            self.pending.sealed = true;
        }
        self.write_pending()?;
        self.sync_tail()?;
        let written = (self.pending.frames.len(), self.pending.records);
        self.offset += written.0;
        (self.durable_seq, self.durable_hs) = (self.chain.seq, self.hs);
        let counters = &self.shared.counters;
        counters
            .wal_write_bytes
            .fetch_add(written.0, Ordering::Relaxed);
        counters.records.fetch_add(written.1, Ordering::Relaxed);
        self.pending.frames.clear();
        (self.pending.last, self.pending.sealed, self.pending.records) = (None, false, 0);
        {
            let mut live = self.shared.live.write();
            live.durable = live.log.last();
            let durable = live.durable;
            live.cache.evict(self.options.cache_bytes, durable);
        }
        let vote_changed = self.marked_vote != (self.hs.term, self.hs.vote);
        self.write_mark(vote_changed)
    }

    /// Writes zeros behind a small batch into space that is only reserved; they become durable with it, and read as before.
    pub(super) fn zero_ahead(&mut self) -> Result<(), Error> {
        let len = self.pending.frames.len();
        let end = self.offset + len;
        let ahead = self.options.zero_ahead.min(self.options.segment_size / 4);
        if end <= self.zeroed || len > ahead / 4 || !self.chain.protected {
            return Ok(());
        }
        // Never beyond what is reserved: a file that grew would have to be journalled again.
        let to = (end + ahead).min(self.tail.file.len().unwrap_or(0));
        let zeros = vec![0; usize::try_from(to.saturating_sub(end)).unwrap_or(0)];
        self.zeroed = to;
        let done = write_all_at(self.tail.file.as_ref(), &zeros, end);
        match done.map_err(|e| Error::io("write", &self.tail.path, e)) {
            Err(e) if !matches!(e, Error::NoSpace { .. }) => Err(self.poisoned(e)),
            // Without space for zeros the batch itself may still fit.
            _ => Ok(()),
        }
    }

    pub(super) fn write_pending(&mut self) -> Result<(), Error> {
        self.zero_ahead()?;
        loop {
            let started = Instant::now();
            let done = self
                .pending
                .frames
                .write_to(self.tail.file.as_ref(), self.offset);
            self.shared.counters.wal_write.observe(started.elapsed());
            let e = match done {
                Ok(()) => {
                    self.stalled = false;
                    return Ok(());
                }
                Err(e) => Error::io("write", &self.tail.path, e),
            };
            if !matches!(e, Error::NoSpace { .. }) {
                return Err(self.poisoned(e));
            }
            // What was written lies behind the last whole batch: the next try writes over it.
            if !self.give_up_reserve() {
                self.stalled = true;
                self.space = Space::Full;
                return Err(e);
            }
        }
    }

    pub(super) fn sync_tail(&mut self) -> Result<(), Error> {
        let started = Instant::now();
        let done = self.tail.file.sync();
        self.shared.counters.wal_fsync.observe(started.elapsed());
        self.last_write = Instant::now();
        let path = self.tail.path.clone();
        done.map_err(|e| self.poisoned(Error::io_fatal("sync", &path, e)))
    }

    pub(super) fn write_mark(&mut self, sync: bool) -> Result<(), Error> {
        let Some(m) = &mut self.mark else {
            return Ok(());
        };
        let slot = Slot {
            log_id: self.chain.log_id,
            segment: self.tail.name.seq,
            offset: self.offset,
            seq: self.durable_seq,
            term: self.durable_hs.term,
            vote: self.durable_hs.vote,
            epoch: self.chain.epoch,
            protected_from: self.shared.live.read().protected_from,
            ..m.slot
        };
        let done = m
            .write(slot)
            .and_then(|()| if sync { m.sync() } else { Ok(()) });
        self.marked_vote = (self.durable_hs.term, self.durable_hs.vote);
        done.map_err(|e| self.poisoned(e))
    }

    /// Gives the mark an fsync of its own if it was written since the last: called after some idle time, it closes the window in which a power cut leaves
    /// damage undecidable.
    ///
    /// # Errors
    /// Any error poisons the log.
    pub fn sync_mark(&mut self) -> Result<(), Error> {
        self.healthy()?;
        match &mut self.mark {
            Some(m) if m.dirty => {
                let done = m.sync();
                done.map_err(|e| self.poisoned(e))
            }
            _ => Ok(()),
        }
    }

    /// Whether the mark waits for an fsync, and since when nothing was written.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        let waits = self.poison.is_none() && self.mark.as_ref().is_some_and(|m| m.dirty);
        waits.then_some(self.last_write)
    }
}

/// Entries from index `next` on, which must lie in `first_ok..=last_ok`, the term never below `term`.
pub(super) fn check_follows(
    entries: &Entries,
    mut next: u64,
    first_ok: u64,
    last_ok: u64,
    mut term: u64,
) -> Result<(), Error> {
    let last = last_ok.max(first_ok);
    if !entries.is_empty() && !(first_ok..=last).contains(&next) {
        return Err(Error::OutOfRange {
            index: next,
            first: first_ok,
            last,
        });
    }
    for e in entries {
        if e.index != next || e.index == u64::MAX {
            return Err(Error::OutOfRange {
                index: e.index,
                first: next,
                last: next,
            });
        }
        if e.term < term || e.term == u64::MAX {
            return Err(Error::Usage(
                "the term goes down from one entry to the next; nothing was written",
            ));
        }
        (next, term) = (next + 1, e.term);
    }
    Ok(())
}
