//! Making a log. Go: Create

use super::*;

impl Wal {
    /// Makes a log in a directory that must be empty or absent. Made in `dir.tmp` and renamed, so that a crash leaves a whole log or none. Go: Create
    ///
    /// # Errors
    /// [`Error::Exists`]; [`Error::Io`] and [`Error::NoSpace`], after which there is no log.
    #[doc(alias = "Create")]
    pub fn create(dir: &Path, metadata: &[u8], options: &Options) -> Result<Self, Error> {
        let vfs = options.vfs.as_ref();
        let there = vfs.exists(dir).map_err(|e| Error::io("look for", dir, e))?;
        let held = || {
            vfs.read_dir(dir)
                .map_err(|e| Error::io("read directory", dir, e))
        };
        if there && !held()?.is_empty() {
            return Err(Error::Exists {
                path: dir.to_path_buf(),
            });
        }
        let tmp = tmp_dir(dir);
        if vfs
            .exists(&tmp)
            .map_err(|e| Error::io("look for", &tmp, e))?
        {
            vfs.remove_dir_all(&tmp)
                .map_err(|e| Error::io("remove", &tmp, e))?;
        }
        let changed = vfs
            .create_dir_all(&tmp)
            .map_err(|e| Error::io("create directory", &tmp, e))?;
        let mut wal = Self::create_in(&tmp, metadata, options)?;
        if there {
            // An empty directory of that name: nothing to lose.
            vfs.remove_dir_all(dir)
                .map_err(|e| Error::io("remove", dir, e))?;
        }
        vfs.rename(&tmp, dir)
            .map_err(|e| Error::io("rename", dir, e))?;
        for d in changed.iter().rev() {
            vfs.sync_dir(d)
                .map_err(|e| Error::io("sync directory", d, e))?;
        }
        sync_parent(vfs, dir)?;
        wal.dir = dir.to_path_buf();
        wal.tail.path = wal.tail.name.path(dir);
        if let Some(m) = &mut wal.mark {
            m.path = dir.join(mark::NAME);
        }
        wal.refill_reserve();
        wal.prepare_spares()?;
        wal.publish();
        Ok(wal)
    }

    pub(super) fn create_in(tmp: &Path, metadata: &[u8], options: &Options) -> Result<Self, Error> {
        let vfs = options.vfs.as_ref();
        let protected = options.format == Format::Protected;
        let lock = lock_dir(options, tmp, Mode::Create)?;
        let log_id = if protected { options.random(1)? } else { 0 };
        let mut chain = Chain {
            crc: 0,
            seq: 0,
            epoch: 1,
            log_id,
            seed: seed(log_id, 0),
            protected,
        };
        let (tail, offset) = first_segment(options, tmp, metadata, &mut chain)?;
        let slot = Slot {
            log_id,
            offset,
            seq: chain.seq,
            epoch: 1,
            ..Slot::default()
        };
        let mark = protected
            .then(|| Mark::create(vfs, tmp, slot))
            .transpose()?;
        vfs.sync_dir(tmp)
            .map_err(|e| Error::io("sync directory", tmp, e))?;
        let mut live = Live {
            log_id,
            protected_from: if protected { 0 } else { u64::MAX },
            ..Live::default()
        };
        live.log.reset(0, 0);
        live.cache.clear(1);
        Ok(Self::assemble(
            options,
            tmp,
            metadata.to_vec(),
            live,
            tail,
            offset,
            chain,
            mark,
            lock,
        ))
    }

    #[allow(clippy::too_many_arguments)]
    pub(super) fn assemble(
        options: &Options,
        dir: &Path,
        metadata: Vec<u8>,
        live: Live,
        tail: Segment,
        offset: u64,
        chain: Chain,
        mark: Option<Mark>,
        lock: Box<dyn VfsFile>,
    ) -> Self {
        let marked_vote = mark.as_ref().map_or((0, 0), |m| (m.slot.term, m.slot.vote));
        let shared = Arc::new(Shared {
            live: parking_lot::RwLock::new(live),
            ..Shared::default()
        });
        Self {
            options: options.clone(),
            dir: dir.to_path_buf(),
            metadata,
            shared,
            tail,
            offset,
            zeroed: 0,
            chain,
            durable_seq: chain.seq,
            pending: Pending::default(),
            hs: HardState::default(),
            durable_hs: HardState::default(),
            snapshot: 0,
            marked_vote,
            mark,
            scratch: Vec::new(),
            poison: None,
            reserve: false,
            space: Space::Ample,
            stalled: false,
            last_write: Instant::now(),
            maker: Maker::default(),
            _lock: lock,
        }
    }
}

pub(super) fn tmp_dir(dir: &Path) -> PathBuf {
    let mut name = dir.file_name().unwrap_or_default().to_os_string();
    name.push(".tmp");
    parent(dir).join(name)
}

/// Writes and syncs the first segment. Returns it, and where it ends.
fn first_segment(
    options: &Options,
    tmp: &Path,
    metadata: &[u8],
    chain: &mut Chain,
) -> Result<(Segment, u64), Error> {
    let name = SegmentName { seq: 0, index: 0 };
    let path = name.path(tmp);
    let io = |op| {
        let path = path.clone();
        move |e| Error::io(op, &path, e)
    };
    let file = options
        .vfs
        .open(&path, Mode::Create)
        .map_err(io("create"))?;
    lock_segment(file.as_ref(), &path)?;
    file.allocate(options.segment_size)
        .map_err(io("allocate"))?;
    let first = SnapshotMark::default().encode_to_vec();
    let buf = encode_head(chain, name, metadata, &[(kind::SNAPSHOT, &first)]);
    write_all_at(file.as_ref(), &buf, 0).map_err(io("write"))?;
    file.sync().map_err(io("sync"))?;
    let file = Arc::from(file);
    Ok((Segment { name, path, file }, buf.len() as u64))
}
