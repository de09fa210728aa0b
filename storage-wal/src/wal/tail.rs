//! The last segment when a log is opened: what follows its end is kept aside, what was not proven durable is written anew. Go: Repair

use super::*;

impl Wal {
    /// Before anything is appended: the space behind the end is zero and synced, what was not proven durable is written anew and synced, and the mark says so. A page
    /// cache can return bytes that never reached the disk, so reading them proves nothing.
    pub(super) fn secure_tail(&mut self, r: &Recovered, cut: bool) -> Result<(), Error> {
        let proven = r.proven_offset;
        let (file, path) = (Arc::clone(&self.tail.file), self.tail.path.clone());
        let io = |op, e| Error::io(op, &path, e);
        if self.chain.protected {
            rewrite(file.as_ref(), proven, self.offset).map_err(|e| io("rewrite", e))?;
        }
        let fresh = !self.chain.protected;
        if cut || fresh {
            file.set_len(self.offset).map_err(|e| io("truncate", e))?;
        }
        if !fresh {
            self.preallocate_tail()?;
        }
        file.sync().map_err(|e| Error::io_fatal("sync", &path, e))?;
        self.options
            .vfs
            .sync_dir(&self.dir)
            .map_err(|e| Error::io_fatal("sync directory", &self.dir, e))?;
        if fresh {
            // etcd's last segment is left as it is; ours follow it.
            return self.start_fresh_segment();
        }
        if self.mark.is_none() {
            // What was purged before is not missed.
            let slot = Slot {
                floor: self.first_segment(),
                ..Slot::default()
            };
            let m = Mark::create(self.options.vfs.as_ref(), &self.dir, slot)?;
            self.mark = Some(m);
            self.options
                .vfs
                .sync_dir(&self.dir)
                .map_err(|e| Error::io_fatal("sync directory", &self.dir, e))?;
        }
        self.write_mark(true)
    }

    /// Where the space is gone the log can still be opened: writing then says so.
    pub(super) fn preallocate_tail(&mut self) -> Result<(), Error> {
        match self.tail.file.allocate(self.options.segment_size) {
            Err(e) if !crate::error::is_no_space(&e) => {
                Err(Error::io("allocate", &self.tail.path, e))
            }
            Err(_) => {
                self.space = Space::Reserve;
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    pub(super) fn start_fresh_segment(&mut self) -> Result<(), Error> {
        self.chain.protected = self.options.format == Format::Protected;
        if self.chain.protected {
            (self.chain.seq, self.durable_seq) = (0, 0);
            // Before the segment: a protected one without a mark would be refused after a crash in between.
            self.adopt_mark()?;
        }
        self.cut()
    }
}

/// Writes the bytes `proven..end` again, from their 4 KiB block on: a page that a failed fsync left clean becomes dirty, and the next fsync writes it.
pub(super) fn rewrite(file: &dyn VfsFile, proven: u64, end: u64) -> io::Result<()> {
    let mut at = proven & !4095;
    let mut buf = Vec::new();
    while at < end {
        let n = (end - at).min(1 << 20);
        buf.resize(usize::try_from(n).unwrap_or(0), 0);
        crate::vfs::read_exact_at(file, &mut buf, at)?;
        write_all_at(file, &buf, at)?;
        at += n;
    }
    Ok(())
}

/// Copies what is about to be cut off into a `.broken` file beside the segment, and syncs it.
pub(super) fn keep_broken(
    options: &Options,
    dir: &Path,
    tail: &Segment,
    s: &mut Scan,
) -> Result<(), Error> {
    let Some(t) = &mut s.torn else { return Ok(()) };
    let path = dir.join(format!("{}.{:x}-{:x}.broken", t.segment, s.epoch, t.offset));
    let vfs = options.vfs.as_ref();
    let out = vfs
        .open(&path, Mode::Create)
        .map_err(|e| Error::io("create", &path, e))?;
    let mut buf = vec![0; 1 << 20];
    let mut done = 0;
    while done < t.bytes {
        let n = usize::try_from(t.bytes - done)
            .unwrap_or(usize::MAX)
            .min(buf.len());
        let part = buf.get_mut(..n).unwrap_or_default();
        crate::vfs::read_exact_at(tail.file.as_ref(), part, t.offset + done)
            .map_err(|e| Error::io("read", &tail.path, e))?;
        write_all_at(out.as_ref(), part, done).map_err(|e| Error::io("write", &path, e))?;
        done += n as u64;
    }
    out.sync().map_err(|e| Error::io("sync", &path, e))?;
    vfs.sync_dir(dir)
        .map_err(|e| Error::io("sync directory", dir, e))?;
    warn!(options.logger, "cut off an unfinished write"; "segment" => &t.segment, "offset" => t.offset,
        "bytes" => t.bytes, "kept" => %path.display());
    t.kept = Some(path);
    Ok(())
}
