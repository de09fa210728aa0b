//! Opening a directory, or making it. Go: bootstrap.go of etcdserver

use super::*;

/// The parts of a data directory.
pub(super) struct Layout {
    pub(super) member: PathBuf,
    pub(super) wal: PathBuf,
    pub(super) snap: PathBuf,
}

impl Layout {
    pub(super) fn of(dir: &Path) -> Self {
        let member = dir.join("member");
        Self {
            wal: member.join("wal"),
            snap: member.join("snap"),
            member,
        }
    }

    fn make(&self, vfs: &dyn Vfs) -> Result<(), Error> {
        for d in [&self.member, &self.snap] {
            let changed = vfs
                .create_dir_all(d)
                .map_err(|e| Error::io("create directory", d, e))?;
            for c in changed.iter().rev() {
                vfs.sync_dir(c)
                    .map_err(|e| Error::io("sync directory", c, e))?;
            }
        }
        Ok(())
    }
}

pub(super) fn lock(vfs: &dyn Vfs, dir: &Path) -> Result<Box<dyn VfsFile>, Error> {
    let path = dir.join("lock");
    let there = vfs
        .exists(&path)
        .map_err(|e| Error::io("look for", &path, e))?;
    let mode = if there { Mode::Write } else { Mode::Create };
    let f = vfs
        .open(&path, mode)
        .map_err(|e| Error::io("open", &path, e))?;
    match f.try_lock() {
        Ok(true) => Ok(f),
        Ok(false) => Err(Error::Locked { path }),
        Err(e) => Err(Error::io("lock", &path, e)),
    }
}

impl DiskStorage {
    /// Opens a node's directory, or makes it. A crash while it was made leaves a directory that this makes anew.
    ///
    /// # Errors
    /// As [`Wal::open`]; [`Error::WrongIdentity`]: it belongs to another node or group; [`Error::MissingLog`]: the newest snapshot cannot be used and the log does not
    /// reach back to the older. The directory is then as it was, but for a cut tail, which is kept.
    pub fn open(dir: &Path, options: DiskOptions) -> Result<(Self, OpenReport), Error> {
        let vfs = Arc::clone(&options.wal.vfs);
        let at = Layout::of(dir);
        at.make(vfs.as_ref())?;
        let lock = lock(vfs.as_ref(), dir)?;
        let sessions = SessionFile(at.member.join("session"));
        let exists = holds_log(vfs.as_ref(), &at.wal)?;
        let snap = Snapshotter::new(&at.snap, Arc::clone(&vfs));
        if !exists && !snap.names()?.is_empty() {
            return Err(Error::BadFile {
                path: at.wal,
                reason: "it holds no log, and there are snapshots of one".into(),
            });
        }
        let (wal, recovered, identity, session) = if exists {
            open_existing(&at, &options, &sessions)?
        } else {
            create_new(&at, &options, &sessions)?
        };
        let chosen = choose_snapshot(&snap, &recovered)?;
        snap.remove_unfinished();
        let mut report = OpenReport {
            created: !exists,
            bootstrapped: !recovered.is_empty() || chosen.stored,
            identity,
            session,
            snapshot: chosen.metadata.clone(),
            fell_back: chosen.fell_back.clone(),
            ..OpenReport::default()
        };
        let peers = Mutex::new(PeerBook::open(
            vfs.as_ref(),
            at.member.join("peers"),
            options.wal.reserve > 0,
        )?);
        let store = Self::assemble(
            options,
            &at,
            wal,
            &recovered,
            chosen,
            peers,
            (identity, session),
            snap,
            lock,
        )?;
        store.make_ballast();
        report.recovered = recovered;
        info!(store.inner.options.wal.logger, "opened the data directory"; "dir" => %dir.display(),
            "session" => session.count, "snapshot" => report.snapshot.index);
        Ok((store, report))
    }

    #[allow(clippy::too_many_arguments)]
    pub(super) fn assemble(
        options: DiskOptions,
        at: &Layout,
        mut wal: Wal,
        r: &Recovered,
        chosen: Chosen,
        peers: Mutex<PeerBook>,
        (identity, session): (Identity, Session),
        snap: Snapshotter,
        lock: Box<dyn VfsFile>,
    ) -> Result<Self, Error> {
        for (term, index) in &chosen.broken {
            snap.set_aside(*term, *index)?;
        }
        // Compaction need not last, but what a restart brings back only costs memory; never beyond the snapshot, which the application replays from.
        let start = r.compacted.0.min(chosen.metadata.index);
        wal.start_at(start, &chosen.metadata)?;
        let meta = Meta {
            hs: r.hard_state,
            snapshot: chosen.metadata,
            stored: chosen.stored,
            snapshot_size: chosen.size,
            kept: chosen.kept,
        };
        let reader = wal.reader();
        let grown = reader.last_index().saturating_sub(meta.snapshot.index);
        let grown_bytes = share(r.log_bytes().saturating_sub(wal.unused()), grown, r.entries);
        let space = AtomicU8::new(wal.space() as u8);
        let wal: SharedWal = Arc::new(Mutex::new(Some(wal)));
        let idle = options
            .wal
            .idle_mark_sync
            .and_then(|d| start_idle(&wal, d, &options.wal.logger));
        let inner = Inner {
            member: at.member.clone(),
            reader,
            snap,
            aside: Aside::default(),
            wal,
            meta: RwLock::new(meta),
            grown: (grown_bytes.into(), grown.into()),
            space,
            peers,
            identity,
            session,
            idle,
            options,
            _lock: lock,
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }
}

/// Whether there is a log: a segment, or a mark that says there was one.
pub(super) fn holds_log(vfs: &dyn Vfs, wal: &Path) -> Result<bool, Error> {
    if !vfs.exists(wal).map_err(|e| Error::io("look for", wal, e))? {
        return Ok(false);
    }
    let any = !crate::SegmentName::list(vfs, wal)?.is_empty();
    Ok(any || crate::mark::read(vfs, wal)?.is_some())
}

pub(super) type Opened = (Wal, Recovered, Identity, Session);

pub(super) fn create_new(
    at: &Layout,
    o: &DiskOptions,
    sessions: &SessionFile,
) -> Result<Opened, Error> {
    let vfs = o.wal.vfs.as_ref();
    let identity = Identity {
        node_id: o.node_id,
        cluster_id: o.cluster_id,
        incarnation: o.wal.random(2)?,
    };
    let session = Session {
        count: 1,
        random: o.wal.random(3)?,
    };
    // Whoever created before this and crashed left nothing that counts: peers of it included.
    let peers = at.member.join("peers");
    if vfs
        .exists(&peers)
        .map_err(|e| Error::io("look for", &peers, e))?
    {
        vfs.remove_file(&peers)
            .map_err(|e| Error::io("remove", &peers, e))?;
        sync_parent(vfs, &peers)?;
    }
    sessions.write(vfs, identity.incarnation, session)?;
    let wal = Wal::create(&at.wal, &identity.encode(), &o.wal)?;
    let recovered = Recovered {
        entries: (1, 0),
        protected: true,
        ..Recovered::default()
    };
    Ok((wal, recovered, identity, session))
}

pub(super) fn open_existing(
    at: &Layout,
    o: &DiskOptions,
    sessions: &SessionFile,
) -> Result<Opened, Error> {
    let vfs = o.wal.vfs.as_ref();
    // Looked at before anything is written: a directory of somebody else stays as it is. Damage is for the log itself to judge.
    if let Some(found) = Wal::peek_metadata(&at.wal, &o.wal)? {
        check_identity(at, o, &found)?;
    }
    let (mut wal, recovered) = Wal::open(&at.wal, &o.wal)?;
    let mut identity = check_identity(at, o, &recovered.metadata)?;
    let known = sessions.read(vfs)?;
    let (incarnation, last) = match known {
        Some(k) => k,
        // etcd has no such file.
        None if identity.incarnation == 0 => (o.wal.random(2)?, Session::default()),
        None => {
            return Err(Error::BadFile {
                path: sessions.0.clone(),
                reason: "it is missing".into(),
            });
        }
    };
    if identity.incarnation != 0 && identity.incarnation != incarnation {
        return Err(Error::BadFile {
            path: sessions.0.clone(),
            reason: "it belongs to another directory than the log".into(),
        });
    }
    identity.incarnation = incarnation;
    let session = Session {
        count: last.count.saturating_add(1),
        random: o.wal.random(last.count.saturating_add(3))?,
    };
    match sessions.write(vfs, incarnation, session) {
        // A full disk must not keep a node from coming back.
        Err(Error::NoSpace { .. }) if wal.give_up_reserve() => {
            sessions.write(vfs, incarnation, session)?;
        }
        done => done?,
    }
    Ok((wal, recovered, identity, session))
}

/// Whom the metadata name, if it is whom the options expect.
pub(super) fn check_identity(
    at: &Layout,
    o: &DiskOptions,
    metadata: &[u8],
) -> Result<Identity, Error> {
    let identity = Identity::decode(metadata).ok_or(Error::Usage(
        "the log's metadata is not a node's identity; open it with Wal instead of DiskStorage",
    ))?;
    for (what, found, expected) in [
        ("node id", identity.node_id, o.node_id),
        ("cluster id", identity.cluster_id, o.cluster_id),
    ] {
        if expected != 0 && found != expected {
            return Err(Error::WrongIdentity {
                path: at.member.clone(),
                what,
                found,
                expected,
            });
        }
    }
    Ok(identity)
}

/// About how many of the log's bytes are of its last `grown` entries; `entries` are its first and last index.
fn share(bytes: u64, grown: u64, entries: (u64, u64)) -> u64 {
    let all = (entries.1 + 1).saturating_sub(entries.0).max(1);
    let part = u128::from(bytes) * u128::from(grown.min(all)) / u128::from(all);
    u64::try_from(part).unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    use super::share;
    use crate::{DiskOptions, DiskStorage, Options};
    use storage::raftpb::{Entry, HardState};
    use storage::{Write, Writer};

    #[test]
    fn after_a_restart_what_is_only_preallocated_does_not_count_as_grown() {
        let dir = tempfile::tempdir().unwrap();
        let wal = Options {
            segment_size: 1 << 20,
            reserve: 0,
            ..Options::default()
        };
        let options = || DiskOptions {
            node_id: 1,
            cluster_id: 1,
            snapshot_bytes: 1 << 18,
            wal: wal.clone(),
            ..DiskOptions::default()
        };
        let (mut store, _) = DiskStorage::open(dir.path(), options()).unwrap();
        let write = |index, len| Write {
            hard_state: Some(HardState {
                term: 1,
                vote: 1,
                commit: 0,
            }),
            entries: vec![Entry::new(1, index, vec![7; len])].into(),
            must_sync: true,
            ..Write::default()
        };
        store.append(&write(1, 10)).unwrap();
        store.sync().unwrap();
        assert!(!store.wants_snapshot());
        drop(store);
        let (mut store, _) = DiskStorage::open(dir.path(), options()).unwrap();
        assert!(!store.wants_snapshot(), "as before");
        store.append(&write(2, 1 << 18)).unwrap();
        store.sync().unwrap();
        drop(store);
        let (store, _) = DiskStorage::open(dir.path(), options()).unwrap();
        assert!(store.wants_snapshot(), "and what was written counts");
    }

    #[test]
    fn what_a_snapshot_covers_does_not_count_as_grown() {
        assert_eq!(share(1000, 0, (1, 10)), 0);
        assert_eq!(share(1000, 5, (1, 10)), 500);
        assert_eq!(share(1000, 10, (1, 10)), 1000);
        assert_eq!(share(1000, 0, (1, 0)), 0, "an empty log");
        assert_eq!(share(u64::MAX, 9, (2, 10)), u64::MAX);
    }
}
