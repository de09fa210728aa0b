//! The next segment. Go: cut, file_pipeline.go

use super::*;

impl Wal {
    /// Starts the next segment: complete and synced under a temporary name, then renamed. Go: cut
    pub(super) fn cut(&mut self) -> Result<(), Error> {
        let vfs = Arc::clone(&self.options.vfs);
        let last = self.shared.live.read().log.last();
        let name = SegmentName {
            seq: self.tail.name.seq + 1,
            index: last + 1,
        };
        let mut chain = self.chain;
        chain.seed = seed(chain.log_id, name.seq);
        let (tmp, file, zeroed) = self.next_file()?;
        let state = self.hs.encode_to_vec();
        let state: &[(u64, &[u8])] = &[(kind::STATE, &state)];
        let state = if self.hs.is_empty() { &[] } else { state };
        let buf = encode_head(&mut chain, name, &self.metadata, state);
        let path = name.path(&self.dir);
        let prepared = self.prepare_next(file.as_ref(), &tmp, &buf).and_then(|()| {
            vfs.rename(&tmp, &path)
                .map_err(|e| Error::io("rename", &path, e))
        });
        if let Err(e) = prepared {
            if matches!(e, Error::NoSpace { .. }) {
                let _ = vfs.remove_file(&tmp);
                self.space = Space::Full;
                return Err(e);
            }
            return Err(self.poisoned(e));
        }
        if let Err(e) = vfs.sync_dir(&self.dir) {
            return Err(self.poisoned(Error::io_fatal("sync directory", &self.dir, e)));
        }
        self.tail = Segment {
            name,
            path,
            file: Arc::from(file),
        };
        (self.offset, self.zeroed) = (buf.len() as u64, zeroed);
        (self.chain, self.durable_seq) = (chain, chain.seq);
        self.publish();
        info!(self.options.logger, "created a new WAL segment"; "path" => %self.tail.path.display());
        self.write_mark(true)
    }

    /// The mark of a log of etcd's that goes on protected with the next segment. It proves nothing yet.
    pub(super) fn adopt_mark(&mut self) -> Result<(), Error> {
        let protected_from = self.tail.name.seq + 1;
        self.shared.live.write().protected_from = protected_from;
        if self.mark.is_some() {
            return Ok(());
        }
        let slot = Slot {
            log_id: self.chain.log_id,
            segment: self.tail.name.seq,
            floor: self.first_segment(),
            protected_from,
            epoch: self.chain.epoch,
            ..Slot::default()
        };
        let vfs = Arc::clone(&self.options.vfs);
        let m = Mark::create(vfs.as_ref(), &self.dir, slot);
        self.mark = Some(m.map_err(|e| self.poisoned(e))?);
        let done = vfs.sync_dir(&self.dir);
        done.map_err(|e| self.poisoned(Error::io_fatal("sync directory", &self.dir, e)))
    }

    /// The sequence of the oldest segment.
    pub(super) fn first_segment(&self) -> u64 {
        let live = self.shared.live.read();
        live.segments.keys().next().copied().unwrap_or(0)
    }

    /// Writes and syncs the head of the next segment and seals this one.
    pub(super) fn prepare_next(
        &mut self,
        file: &dyn VfsFile,
        tmp: &Path,
        head: &[u8],
    ) -> Result<(), Error> {
        write_all_at(file, head, 0).map_err(|e| Error::io("write", tmp, e))?;
        file.sync().map_err(|e| Error::io_fatal("sync", tmp, e))?;
        let path = &self.tail.path;
        self.tail
            .file
            .set_len(self.offset)
            .map_err(|e| Error::io_fatal("truncate", path, e))?;
        self.sync_tail()
    }

    /// A file for the next segment, and up to where its blocks were written: a spare, or one that is preallocated; the reserve where the disk is full.
    pub(super) fn next_file(&mut self) -> Result<(PathBuf, Box<dyn VfsFile>, u64), Error> {
        if let Some((path, f)) = self.take_spare() {
            lock_segment(f.as_ref(), &path)?;
            return Ok((path, f, self.options.segment_size));
        }
        let vfs = Arc::clone(&self.options.vfs);
        let tmp = self.dir.join(NEXT);
        let make = || -> Result<Box<dyn VfsFile>, Error> {
            let f = vfs
                .open(&tmp, Mode::Create)
                .map_err(|e| Error::io("create", &tmp, e))?;
            f.allocate(self.options.segment_size)
                .map_err(|e| Error::io("allocate", &tmp, e))?;
            Ok(f)
        };
        match make() {
            Ok(f) => {
                lock_segment(f.as_ref(), &tmp)?;
                Ok((tmp, f, 0))
            }
            Err(e @ Error::NoSpace { .. }) => {
                let _ = vfs.remove_file(&tmp);
                // One may be in the making.
                self.shared.spares.give_up(vfs.as_ref());
                if !self.reserve {
                    self.space = Space::Full;
                    return Err(e);
                }
                let path = self.dir.join(RESERVE);
                let f = vfs
                    .open(&path, Mode::Write)
                    .map_err(|e| Error::io("open", &path, e))?;
                lock_segment(f.as_ref(), &path)?;
                (self.reserve, self.space) = (false, Space::Reserve);
                warn!(
                    self.options.logger,
                    "no space left: writing into the reserve"
                );
                Ok((path, f, 0))
            }
            // Nothing of the log was touched.
            Err(e) => Err(e),
        }
    }
}

pub(super) fn lock_segment(file: &dyn VfsFile, path: &Path) -> Result<(), Error> {
    match file.try_lock() {
        Ok(true) => Ok(()),
        Ok(false) => Err(Error::Locked {
            path: path.to_path_buf(),
        }),
        Err(e) => Err(Error::io("lock", path, e)),
    }
}

/// The first records of a segment: crc, metadata, then what is given. They are one batch.
pub(super) fn encode_head(
    chain: &mut Chain,
    name: SegmentName,
    metadata: &[u8],
    rest: &[(u64, &[u8])],
) -> Vec<u8> {
    let mut frames = Frames::default();
    let durable = chain.seq;
    let head = Head {
        version: VERSION,
        segment: name.seq,
        first_index: name.index,
        log_id: chain.log_id,
    };
    let mut last = chain.push(
        &mut frames,
        0,
        durable,
        &Record {
            kind: kind::CRC,
            head: Some(head),
            ..Record::default()
        },
    );
    for (kind, data) in [(kind::METADATA, metadata)].iter().chain(rest) {
        last = chain.push(
            &mut frames,
            0,
            durable,
            &Record {
                kind: *kind,
                data: Some(data),
                ..Record::default()
            },
        );
    }
    chain.set_end(&mut frames, last, true);
    frames.into_bytes()
}
