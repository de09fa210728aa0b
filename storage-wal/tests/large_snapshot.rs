//! A large snapshot is read beside those who ask for it. Go: none

#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use tickraft_storage_wal::raftpb::Snapshot;
use tickraft_storage_wal::storage::{self, Storage, Writer};
use tickraft_storage_wal::vfs::{Action, FaultyFs, OpKind};
use tickraft_storage_wal::{DiskStorage, Error};

fn large(index: u64) -> Snapshot {
    let mut s = snapshot(index, 1);
    s.data = format!("{index:8}").repeat(1 << 18).into();
    s
}

fn path(index: u64) -> PathBuf {
    Path::new(DIR).join(format!("member/snap/{:016x}-{index:016x}.snap", 1))
}

fn with_large(fs: &FaultyFs) -> DiskStorage {
    let (mut store, _) = open(fs).unwrap();
    store.append(&write(1, 1..=9, 9)).unwrap();
    store.sync().unwrap();
    store.save_snapshot(&large(3)).unwrap();
    store
}

/// Asks until the answer is another than "later".
fn settled(store: &DiskStorage) -> Result<Snapshot, storage::Error> {
    loop {
        match store.snapshot() {
            Err(storage::Error::SnapshotTemporarilyUnavailable) => std::thread::yield_now(),
            found => return found,
        }
    }
}

/// Counts the openings of snapshot files for reading, and holds up their reads until told.
fn hold_reads(fs: &FaultyFs) -> (Arc<AtomicU64>, mpsc::Sender<()>) {
    let (go, wait) = mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let opened = Arc::new(AtomicU64::new(0));
    let n = Arc::clone(&opened);
    fs.set_hook(move |op| {
        if op.path.extension().is_some_and(|e| e == "snap") {
            match op.kind {
                OpKind::Open => drop(n.fetch_add(1, Ordering::Relaxed)),
                // Whoever asks must not get here.
                OpKind::Read if std::thread::current().name() != Some("snap-load") => {
                    return Action::Fail(std::io::ErrorKind::Other);
                }
                // An error once nobody holds it up any more.
                OpKind::Read => drop(wait.lock().unwrap().recv()),
                _ => {}
            }
        }
        Action::Proceed
    });
    (opened, go)
}

#[test]
fn nobody_waits_while_a_large_snapshot_is_read() {
    let fs = FaultyFs::new();
    let mut store = with_large(&fs);
    let (opened, go) = hold_reads(&fs);
    // As the disk hangs, each answer comes all the same, and there is one load.
    for n in 10..20 {
        assert_eq!(
            store.snapshot(),
            Err(storage::Error::SnapshotTemporarilyUnavailable)
        );
        store.append(&write(1, n..=n, n)).unwrap();
        store.sync().unwrap();
        assert_eq!(store.last_index(), Ok(n));
    }
    drop(go);
    assert_eq!(settled(&store), Ok(large(3)));
    // Kept for the next that asks.
    let (a, b) = (store.snapshot().unwrap(), store.snapshot().unwrap());
    assert_eq!(a.data.as_ptr(), b.data.as_ptr(), "one copy");
    assert_eq!(opened.load(Ordering::Relaxed), 1);
}

#[test]
fn a_newer_one_takes_its_place_loaded_or_loading() {
    let fs = FaultyFs::new();
    let mut store = with_large(&fs);
    assert_eq!(settled(&store), Ok(large(3)));
    store.save_snapshot(&large(5)).unwrap();
    assert_eq!(settled(&store), Ok(large(5)));

    let (_, go) = hold_reads(&fs);
    store.save_snapshot(&large(6)).unwrap();
    let later = Err(storage::Error::SnapshotTemporarilyUnavailable);
    assert_eq!(store.snapshot(), later);
    store.save_snapshot(&large(7)).unwrap();
    store.save_snapshot(&large(8)).unwrap();
    assert_eq!(store.snapshot(), later, "one load at a time");
    drop(go);
    assert_eq!(settled(&store), Ok(large(8)));
    // A small one needs no thread.
    fs.clear_hook();
    store.save_snapshot(&snapshot(9, 1)).unwrap();
    assert_eq!(store.snapshot(), Ok(snapshot(9, 1)));
}

#[test]
fn what_cannot_be_read_is_an_error_of_a_later_call() {
    let fs = FaultyFs::new();
    let store = with_large(&fs);
    fs.damage(&path(3), |b| b[1 << 20] ^= 1).unwrap();
    let e = settled(&store).unwrap_err();
    assert!(
        !e.is_answer() && e.to_string().contains("crc mismatch"),
        "{e}"
    );
    assert!(matches!(
        store.load_snapshot(),
        Err(Error::BadSnapshot { .. })
    ));
    // Gone, and not because there is a newer one.
    fs.damage(&path(3), |b| b[1 << 20] ^= 1).unwrap();
    fs.set_hook(|op| match op.kind {
        OpKind::Open => Action::Fail(std::io::ErrorKind::NotFound),
        _ => Action::Proceed,
    });
    assert!(!settled(&store).unwrap_err().is_answer());
    fs.clear_hook();
    assert_eq!(settled(&store), Ok(large(3)));
    assert_eq!(store.load_snapshot(), Ok(large(3)));
}

/// Whoever opens the directory next does not find it locked because a load goes on.
#[test]
fn a_load_does_not_keep_the_directory() {
    let fs = FaultyFs::new();
    let store = with_large(&fs);
    let (_, go) = hold_reads(&fs);
    assert!(store.snapshot().is_err());
    drop(store);
    drop(go);
    fs.clear_hook();
    let (store, report) = open(&fs).unwrap();
    assert_eq!(report.snapshot.index, 3);
    assert_eq!(store.load_snapshot(), Ok(large(3)));
}
