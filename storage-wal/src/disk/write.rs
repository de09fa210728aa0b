//! What the writer does: append, install, save, compact. Go: storage.go of etcdserver

use super::*;

impl DiskStorage {
    pub(super) fn append_write(&self, w: &Write) -> Result<(), Error> {
        match &w.snapshot {
            Some(s) => self.install(s, w),
            None => self.append_log(w),
        }
    }

    pub(super) fn append_log(&self, w: &Write) -> Result<(), Error> {
        self.with_wal(|wal| {
            let first = self.inner.reader.first_index();
            let last = self.inner.reader.last_index();
            let entries = skip_below(&w.entries, first, last)?;
            wal.append(&entries, w.hard_state.as_ref())?;
            if let Some(hs) = w.hard_state {
                self.inner.meta.write().hs = hs;
            }
            self.inner.aside.written();
            let bytes: u64 = entries.iter().map(storage::raftpb::Entry::size).sum();
            self.inner.grown.0.fetch_add(bytes, Ordering::Relaxed);
            self.inner
                .grown
                .1
                .fetch_add(entries.len() as u64, Ordering::Relaxed);
            Ok(())
        })
    }

    /// A received snapshot: its file first, then one batch with its mark, the entries and the hard state; only then is the old log let go of.
    pub(super) fn install(&self, s: &Snapshot, w: &Write) -> Result<(), Error> {
        let index = s.metadata.index;
        self.with_wal(|wal| {
            self.check_received(&s.metadata)?;
            let entries = skip_below(&w.entries, index + 1, index)?;
            let size = self.store_file(s)?;
            let mark = mark_of(&s.metadata);
            wal.install_snapshot(&mark, &entries, w.hard_state.as_ref())?;
            let kept = Kept {
                index,
                segment: wal.tail_seq(),
            };
            {
                let mut meta = self.inner.meta.write();
                if let Some(hs) = w.hard_state {
                    meta.hs = hs;
                }
                (meta.snapshot, meta.stored, meta.snapshot_size) = (s.metadata.clone(), true, size);
                meta.kept = vec![kept];
            }
            self.inner.aside.replaced();
            self.inner.grown.0.store(0, Ordering::Relaxed);
            self.inner
                .grown
                .1
                .store(entries.len() as u64, Ordering::Relaxed);
            self.tidy(wal)
        })
    }

    pub(super) fn check_received(&self, m: &SnapshotMetadata) -> Result<(), Error> {
        let (first, last) = (
            self.inner.reader.first_index(),
            self.inner.reader.last_index(),
        );
        if m.index == 0 {
            if last != 0 {
                return Err(Error::SnapshotOutOfDate);
            }
            if m.term != 0 {
                return Err(Error::TermMismatch {
                    index: 0,
                    term: m.term,
                    expected: 0,
                });
            }
            return Ok(());
        }
        let stored = self.inner.meta.read().snapshot.index;
        if m.index <= stored || m.index < first - 1 {
            return Err(Error::SnapshotOutOfDate);
        }
        if m.index == u64::MAX {
            return Err(Error::OutOfRange {
                index: m.index,
                first: stored + 1,
                last: u64::MAX - 1,
            });
        }
        Ok(())
    }

    pub(super) fn check_own(&self, m: &SnapshotMetadata) -> Result<(), Error> {
        let (first, last) = (
            self.inner.reader.first_index(),
            self.inner.reader.last_index(),
        );
        let stored = self.inner.meta.read().snapshot.index;
        if m.index <= stored || m.index < first - 1 {
            return Err(Error::SnapshotOutOfDate);
        }
        if m.index > last {
            return Err(Error::OutOfRange {
                index: m.index,
                first: stored + 1,
                last,
            });
        }
        match self.inner.reader.term(m.index) {
            Ok(t) if t == m.term => Ok(()),
            Ok(expected) => Err(Error::TermMismatch {
                index: m.index,
                term: m.term,
                expected,
            }),
            Err(e) => Err(e),
        }
    }

    pub(super) fn own_snapshot(&self, s: &Snapshot) -> Result<(), Error> {
        self.check_own(&s.metadata)?;
        // The file may be large: nobody waits for it.
        let size = self.store_file(s)?;
        self.with_wal(|wal| {
            self.check_own(&s.metadata)?;
            match wal.save_snapshot(&mark_of(&s.metadata)) {
                Err(Error::NoSpace { .. }) if self.drop_ballast() => {
                    wal.save_snapshot(&mark_of(&s.metadata))?
                }
                done => done?,
            }
            let kept = Kept {
                index: s.metadata.index,
                segment: wal.tail_seq(),
            };
            {
                let mut meta = self.inner.meta.write();
                (meta.snapshot, meta.stored, meta.snapshot_size) = (s.metadata.clone(), true, size);
                meta.kept.push(kept);
                let n = meta.kept.len().saturating_sub(2);
                meta.kept.drain(..n);
            }
            let beyond = self.inner.reader.last_index() - s.metadata.index;
            self.inner.aside.replaced();
            self.inner.grown.0.store(0, Ordering::Relaxed);
            self.inner.grown.1.store(beyond, Ordering::Relaxed);
            self.tidy(wal)
        })
    }

    pub(super) fn compact_to(&self, index: u64) -> Result<(), Error> {
        let (first, last) = (
            self.inner.reader.first_index(),
            self.inner.reader.last_index(),
        );
        if index < first {
            return Err(Error::Compacted);
        }
        if index > last {
            return Err(Error::OutOfRange { index, first, last });
        }
        self.with_wal(|wal| {
            wal.compact(index);
            self.tidy(wal)
        })
    }

    /// Removes what neither the older snapshot nor the readers need.
    pub(super) fn tidy(&self, wal: &mut Wal) -> Result<(), Error> {
        let (oldest, installed) = {
            let meta = self.inner.meta.read();
            (meta.kept.first().copied(), meta.kept.len() == 1)
        };
        let first = self.inner.reader.first_index();
        let Some(oldest) = oldest else { return Ok(()) };
        // One own snapshot alone has nothing older to fall back to but the whole log.
        let whole_log = installed && first <= oldest.index;
        let floor = if whole_log {
            0
        } else {
            wal.floor(oldest.index, oldest.segment, first - 1)
        };
        let term = self.inner.reader.term(first - 1).unwrap_or(0);
        wal.purge_below(floor, (first - 1, term))?;
        self.inner.snap.remove_below(oldest.index)?;
        self.make_ballast();
        Ok(())
    }
}

/// The entries from `first` on: those below were let go of, but must be a run with the others all the same, without a gap behind `last`.
pub(super) fn skip_below(entries: &Entries, first: u64, last: u64) -> Result<Entries, Error> {
    let head = entries.first().map_or(first, |e| e.index);
    if head >= first {
        // The log itself checks the rest.
        return Ok(entries.clone());
    }
    for (n, e) in entries.iter().enumerate() {
        let next = head.saturating_add(n as u64);
        if e.index != next || next == u64::MAX {
            return Err(Error::OutOfRange {
                index: e.index,
                first: next,
                last: last + 1,
            });
        }
    }
    let below = usize::try_from(first - head).unwrap_or(usize::MAX);
    Ok(entries.slice(below.min(entries.len())..entries.len()))
}

pub(super) fn mark_of(m: &SnapshotMetadata) -> SnapshotMark {
    SnapshotMark {
        index: m.index,
        term: m.term,
        conf_state: Some(m.conf_state.clone()),
    }
}
