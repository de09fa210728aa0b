//! Letting go of the log before a snapshot. Go: ReleaseLockTo, and fileutil/purge.go

use super::*;

impl Wal {
    /// Lets go of the entries up to and including `index`: readers no longer see them.
    pub(crate) fn compact(&mut self, index: u64) {
        let mut live = self.shared.live.write();
        live.log.compact(index);
        live.cache.compact(index);
        self.shared.compacted.fetch_max(index, Ordering::Release);
    }

    /// The segment that a reader at `index` must start with: the last whose name's index is not above it. Go: searchIndex
    #[doc(alias = "searchIndex")]
    pub(crate) fn segment_for(&self, index: u64) -> u64 {
        let live = self.shared.live.read();
        let by_name = live
            .segments
            .values()
            .rev()
            .find(|s| s.name.index <= index)
            .map_or(0, |s| s.name.seq);
        // After an overwrite the names' indexes go down; then the live entries decide.
        let by_place = live.log.segment_after(index).unwrap_or(u64::MAX);
        by_name.min(by_place)
    }

    /// The sequence of the segment being written.
    pub(crate) fn tail_seq(&self) -> u64 {
        self.tail.name.seq
    }

    /// How much of the segment being written is preallocated and not written.
    pub(crate) fn unused(&self) -> u64 {
        // Only an estimate is made of it: a length that cannot be read does no harm.
        self.tail
            .file
            .len()
            .unwrap_or(0)
            .saturating_sub(self.offset)
    }

    /// The first segment that must stay for a snapshot at `index`, marked in segment `marked`, and for readers behind `compacted`.
    pub(crate) fn floor(&self, index: u64, marked: u64, compacted: u64) -> u64 {
        let live = self.shared.live.read();
        let for_readers = live.log.segment_after(compacted).unwrap_or(u64::MAX);
        drop(live);
        self.segment_for(index).min(marked).min(for_readers)
    }

    /// After opening: entries up to `start` stay compacted, and the first index is one whose term before it is known.
    pub(crate) fn start_at(
        &mut self,
        start: u64,
        snapshot: &storage::raftpb::SnapshotMetadata,
    ) -> Result<(), Error> {
        let mut live = self.shared.live.write();
        live.log.know_base(snapshot.index, snapshot.term);
        let base = live.log.base();
        let known = live.log.term(base).is_some();
        if !known && base >= snapshot.index {
            return Err(Error::MissingLog {
                snapshot: snapshot.index,
                reason: "the log begins behind it".into(),
                missing_from: snapshot.index + 1,
                missing_to: base,
            });
        }
        drop(live);
        let start = if known { start } else { start.max(base + 1) };
        if start > base {
            self.compact(start);
        }
        Ok(())
    }

    /// Removes the segments that a reader at `index` does not need, after saying so in the mark. Go: ReleaseLockTo, and fileutil's purge
    ///
    /// # Errors
    /// [`Error::Io`]: the mark or the directory could not be written, and the log is poisoned.
    #[doc(alias = "ReleaseLockTo")]
    pub fn purge(&mut self, index: u64) -> Result<(), Error> {
        let floor = self.segment_for(index);
        self.purge_below(floor, (index.min(self.reader().first_index() - 1), 0))
    }

    pub(crate) fn purge_below(&mut self, floor: u64, compacted: (u64, u64)) -> Result<(), Error> {
        self.healthy()?;
        let floor = floor.min(self.tail.name.seq);
        let gone: Vec<Segment> = {
            let live = self.shared.live.read();
            live.segments
                .range(..floor)
                .map(|(_, s)| s.clone())
                .collect()
        };
        if let Some(m) = &mut self.mark {
            if compacted.0 > m.slot.compacted && compacted.1 > 0 {
                (m.slot.compacted, m.slot.compacted_term) = compacted;
            } else if gone.is_empty() {
                return Ok(());
            }
            m.slot.floor = m.slot.floor.max(floor);
            self.write_mark(true)?;
        }
        for s in &gone {
            self.shared.live.write().segments.remove(&s.name.seq);
            if let Err(e) = self.options.vfs.remove_file(&s.path) {
                return Err(self.poisoned(Error::io_fatal("remove", &s.path, e)));
            }
        }
        if !gone.is_empty() {
            self.publish();
            if let Err(e) = self.options.vfs.sync_dir(&self.dir) {
                return Err(self.poisoned(Error::io_fatal("sync directory", &self.dir, e)));
            }
        }
        Ok(())
    }
}
