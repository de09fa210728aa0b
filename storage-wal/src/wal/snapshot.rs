//! Marks of snapshots, own and received. Go: SaveSnapshot

use super::*;

impl Wal {
    /// Marks a snapshot of the log that is already on disk, durably. The hard state is written with it, its commit at least the snapshot's index. Go: SaveSnapshot
    ///
    /// # Errors
    /// [`Error::MissingConfState`]; [`Error::NoSpace`]: nothing was kept; anything else poisons the log.
    #[doc(alias = "SaveSnapshot")]
    pub fn save_snapshot(&mut self, mark: &SnapshotMark) -> Result<(), Error> {
        self.check_mark(mark)?;
        self.commit_alone(mark, 0, &Entries::new(), self.hs)?;
        self.sync_mark()
    }

    /// Marks a received snapshot that is already on disk, and takes the entries and the hard state that came with it, all in one batch, durably. The log before it is dropped.
    ///
    /// # Errors
    /// As [`save_snapshot`](Wal::save_snapshot); [`Error::OutOfRange`]: the entries do not follow the snapshot.
    pub fn install_snapshot(
        &mut self,
        mark: &SnapshotMark,
        entries: &Entries,
        hs: Option<&HardState>,
    ) -> Result<(), Error> {
        self.check_mark(mark)?;
        let hs = hs.filter(|h| !h.is_empty()).copied().unwrap_or(self.hs);
        if hs.term < self.hs.term {
            return Err(Error::Usage(
                "the hard state's term goes back; nothing was written",
            ));
        }
        check_follows(
            entries,
            mark.index + 1,
            mark.index + 1,
            mark.index,
            mark.term,
        )?;
        let places = self.commit_alone(mark, INSTALLED, entries, hs)?;
        let shared = Arc::clone(&self.shared);
        let mut live = shared.live.write();
        live.log.reset(mark.index, mark.term);
        live.cache.clear(mark.index + 1);
        for (e, (pos, crc)) in entries.iter().zip(places) {
            if let Err(why) = live.log.append(e.index, e.term, pos, crc) {
                drop(live);
                return Err(self.poisoned(Error::Usage(why)));
            }
        }
        live.cache.append(entries);
        live.durable = live.log.last();
        let durable = live.durable;
        live.cache.evict(self.options.cache_bytes, durable);
        shared.compacted.store(mark.index, Ordering::Release);
        drop(live);
        self.sync_mark()
    }

    pub(super) fn check_mark(&self, mark: &SnapshotMark) -> Result<(), Error> {
        self.healthy()?;
        if mark.conf_state.is_none() && mark.index > 0 {
            return Err(Error::MissingConfState { index: mark.index });
        }
        if mark.index == u64::MAX || mark.term == u64::MAX {
            return Err(Error::Usage(
                "an absurd snapshot index or term; nothing was written",
            ));
        }
        Ok(())
    }

    /// Writes and syncs a snapshot mark and what belongs to it as one batch, or nothing of it. Returns the entries' places, each with the CRC chain before it.
    pub(super) fn commit_alone(
        &mut self,
        mark: &SnapshotMark,
        flags: u64,
        entries: &Entries,
        hs: HardState,
    ) -> Result<Vec<(Pos, u32)>, Error> {
        // What was appended before comes first, in a batch of its own.
        self.sync()?;
        self.make_room(false)?;
        let (chain, old) = (self.chain, self.hs);
        let commit = hs.commit.max(mark.index);
        self.push(kind::SNAPSHOT, flags, |b| mark.encode_raw(b));
        let mut places = Vec::with_capacity(entries.len());
        for e in entries {
            places.push(self.push_entry(e));
        }
        self.hs = HardState { commit, ..hs };
        if !self.hs.is_empty() {
            let hs = self.hs;
            self.push(kind::STATE, 0, |b| hs.encode_raw(b));
        }
        match self.sync() {
            Err(e @ Error::NoSpace { .. }) => {
                (self.chain, self.hs, self.stalled) = (chain, old, false);
                self.pending = Pending::default();
                Err(e)
            }
            done => {
                self.snapshot = self.snapshot.max(mark.index);
                done.map(|()| places)
            }
        }
    }
}
