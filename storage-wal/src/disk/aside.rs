//! Reading a large snapshot's file aside, so that whoever asks for it never waits for the disk. Go: none (etcd's storage holds its last snapshot in memory)

use super::*;
use storage::raftpb::SnapshotMetadata;

/// A snapshot of at most so many bytes is read where it is asked for.
pub(super) const SMALL: u64 = 1 << 20;

/// A loaded snapshot is let go of once so many writes came since anybody asked for it. A leader asks at each answer to a heartbeat, so this is far more than come in between.
const UNUSED: u64 = 100_000;

/// At most one large snapshot in memory, or one being loaded.
///
/// It is read from its file when a peer needs it, and not kept since it was saved: most snapshots are never sent, and as large as the application's state.
#[derive(Clone, Debug, Default)]
pub(super) struct Aside(Arc<Mutex<Slot>>);

#[derive(Debug, Default)]
enum Slot {
    #[default]
    Empty,
    Loading,
    Loaded {
        snapshot: Snapshot,
        /// Writes since it was last asked for.
        unused: u64,
    },
    /// What a load failed with, until somebody is told.
    Failed(SnapshotMetadata, Error),
}

impl Aside {
    /// The snapshot, if it is loaded. If not, its load is begun unless one is under way, and `None`: ask again later. Never waits for the disk.
    ///
    /// # Errors
    /// What its load failed with, once; the next call tries again.
    pub(super) fn get(
        &self,
        wanted: &SnapshotMetadata,
        snap: &Snapshotter,
    ) -> Result<Option<Snapshot>, Error> {
        let mut slot = self.0.lock();
        match &mut *slot {
            Slot::Loading => return Ok(None),
            Slot::Loaded { snapshot, unused } if is_same(&snapshot.metadata, wanted) => {
                *unused = 0;
                return Ok(Some(snapshot.clone()));
            }
            _ => {}
        }
        if let Slot::Failed(of, e) = std::mem::take(&mut *slot)
            && is_same(&of, wanted)
        {
            return Err(e);
        }
        let (aside, snap, wanted) = (self.clone(), snap.clone(), wanted.clone());
        let load = move || {
            let loaded = snap.load(wanted.term, wanted.index);
            *aside.0.lock() = match loaded {
                Ok(snapshot) => Slot::Loaded {
                    snapshot,
                    unused: 0,
                },
                Err(e) => Slot::Failed(wanted, e),
            };
        };
        // Without a thread the next call tries again.
        if thread::Builder::new()
            .name("snap-load".into())
            .spawn(load)
            .is_ok()
        {
            *slot = Slot::Loading;
        }
        Ok(None)
    }

    /// Counts a write, after which a snapshot that nobody needs any more may go.
    pub(super) fn written(&self) {
        let mut slot = self.0.lock();
        if let Slot::Loaded { unused, .. } = &mut *slot {
            *unused += 1;
            if *unused >= UNUSED {
                *slot = Slot::Empty;
            }
        }
    }

    /// A newer snapshot is stored. One being loaded goes at the next call that asks for the newer.
    pub(super) fn replaced(&self) {
        let mut slot = self.0.lock();
        if matches!(*slot, Slot::Loaded { .. }) {
            *slot = Slot::Empty;
        }
    }
}

/// Term and index name a snapshot, and its file.
fn is_same(a: &SnapshotMetadata, b: &SnapshotMetadata) -> bool {
    (a.term, a.index) == (b.term, b.index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_given_back_when_nobody_asks() {
        let snap = Snapshotter::new(Path::new("/"), Arc::new(crate::vfs::FaultyFs::new()));
        let (aside, snapshot) = (Aside::default(), Snapshot::default());
        let load = || {
            *aside.0.lock() = Slot::Loaded {
                snapshot: snapshot.clone(),
                unused: 0,
            }
        };
        load();
        for _ in 0..3 {
            (1..UNUSED).for_each(|_| aside.written());
            // Whoever asks keeps it.
            assert_eq!(
                aside.get(&snapshot.metadata, &snap),
                Ok(Some(snapshot.clone()))
            );
        }
        (0..UNUSED).for_each(|_| aside.written());
        assert!(matches!(*aside.0.lock(), Slot::Empty));
        load();
        aside.replaced();
        assert!(matches!(*aside.0.lock(), Slot::Empty));
    }
}
