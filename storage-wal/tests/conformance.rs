//! The storage contract's own suite, on a real directory and on one that loses power at each reopen. Go: none

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::Arc;
use storage::testing::{Harness, conformance, shared_between_threads};
use tempfile::TempDir;
use tickraft_storage_wal::vfs::{Crash, FaultyFs};
use tickraft_storage_wal::{DiskOptions, DiskStorage, Options, storage};

fn options(cache_bytes: u64) -> DiskOptions {
    DiskOptions {
        node_id: 1,
        cluster_id: 7,
        wal: Options {
            segment_size: 16 << 10,
            cache_bytes,
            reserve: 0,
            idle_mark_sync: None,
            keep_entries: 3,
            ..Options::default()
        },
        ..DiskOptions::default()
    }
}

/// A directory on the real file system; a reopen is a close and an open.
#[derive(Default)]
struct OnDisk {
    dirs: Vec<TempDir>,
    cache_bytes: u64,
}

/// A store that knows where it lives.
struct Placed<P> {
    store: DiskStorage,
    place: P,
}

impl<P> storage::Storage for Placed<P> {
    fn initial_state(
        &self,
    ) -> Result<(storage::raftpb::HardState, storage::raftpb::ConfState), storage::Error> {
        self.store.initial_state()
    }
    fn entries(
        &self,
        lo: u64,
        hi: u64,
        max_size: u64,
    ) -> Result<storage::raftpb::Entries, storage::Error> {
        self.store.entries(lo, hi, max_size)
    }
    fn term(&self, index: u64) -> Result<u64, storage::Error> {
        self.store.term(index)
    }
    fn first_index(&self) -> Result<u64, storage::Error> {
        self.store.first_index()
    }
    fn last_index(&self) -> Result<u64, storage::Error> {
        self.store.last_index()
    }
    fn snapshot(&self) -> Result<storage::raftpb::Snapshot, storage::Error> {
        self.store.snapshot()
    }
}

impl<P> storage::Writer for Placed<P> {
    fn append(&mut self, w: &storage::Write) -> Result<(), storage::Error> {
        self.store.append(w)
    }
    fn sync(&mut self) -> Result<(), storage::Error> {
        self.store.sync()
    }
    fn save_snapshot(&mut self, s: &storage::raftpb::Snapshot) -> Result<(), storage::Error> {
        self.store.save_snapshot(s)
    }
    fn compact(&mut self, index: u64) -> Result<(), storage::Error> {
        self.store.compact(index)
    }
}

impl Harness for OnDisk {
    type Store = Placed<usize>;

    fn create(&mut self) -> Self::Store {
        self.dirs.push(tempfile::tempdir().unwrap());
        let place = self.dirs.len() - 1;
        let store = DiskStorage::open(self.dirs[place].path(), options(self.cache_bytes))
            .unwrap()
            .0;
        Placed { store, place }
    }

    fn reopen(&mut self, s: Self::Store) -> Self::Store {
        s.store.clone().close().unwrap();
        self.kill(s)
    }

    fn kill(&mut self, s: Self::Store) -> Self::Store {
        let place = s.place;
        drop(s);
        let store = DiskStorage::open(self.dirs[place].path(), options(self.cache_bytes))
            .unwrap()
            .0;
        Placed { store, place }
    }
}

/// A directory in memory that loses power at each reopen, with another outcome each time.
#[derive(Default)]
struct PowerCuts {
    cuts: u64,
}

impl PowerCuts {
    fn open(fs: FaultyFs) -> Placed<FaultyFs> {
        let mut o = options(500);
        o.wal.vfs = Arc::new(fs.clone());
        let store = DiskStorage::open(Path::new("/data"), o).unwrap().0;
        Placed { store, place: fs }
    }
}

impl Harness for PowerCuts {
    type Store = Placed<FaultyFs>;

    fn create(&mut self) -> Self::Store {
        Self::open(FaultyFs::new())
    }

    fn reopen(&mut self, s: Self::Store) -> Self::Store {
        self.cuts += 1;
        let how = match self.cuts % 8 {
            0 => Crash::Nothing,
            1 => Crash::Everything,
            _ => Crash::Seed(self.cuts),
        };
        Self::open(s.place.crash(&how))
    }

    /// The page cache stays.
    fn kill(&mut self, s: Self::Store) -> Self::Store {
        Self::open(s.place.kill())
    }
}

#[test]
fn disk_storage_conforms() {
    conformance(OnDisk {
        cache_bytes: 1 << 20,
        ..OnDisk::default()
    });
}

/// Nearly every entry is read back from disk.
#[test]
fn disk_storage_conforms_without_a_cache() {
    conformance(OnDisk::default());
}

#[test]
fn disk_storage_conforms_through_power_cuts() {
    conformance(PowerCuts::default());
}

#[test]
fn random_histories_through_power_cuts() {
    let runs = if std::env::var_os("TICKRAFT_EXHAUSTIVE").is_some() {
        500
    } else {
        100
    };
    storage::testing::random(&mut PowerCuts::default(), 5000..5000 + runs).unwrap();
}

#[test]
fn handles_are_shared_between_threads() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = DiskStorage::open(dir.path(), options(2000)).unwrap();
    shared_between_threads(store, 200);
}
