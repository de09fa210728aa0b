//! Spare segments: filled with zeros before they are needed, in use after a cut, gone where the disk is full, harmless after a crash. Go: none

#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tickraft_storage_wal::storage::{Storage, Writer};
use tickraft_storage_wal::vfs::{Action, Crash, FaultyFs, Mode, OpKind, Vfs};
use tickraft_storage_wal::{DiskOptions, DiskStorage, Error, OpenReport, Options, Wal};

const SEGMENT: u64 = 4 << 10;

/// Two spares, made again at once.
fn with_spares(fs: &FaultyFs, spare_after: Option<Duration>) -> DiskOptions {
    let wal = Options {
        spares: 2,
        spare_after,
        ..options(fs)
    };
    DiskOptions {
        wal,
        ..disk_options(fs)
    }
}

fn open_spared(fs: &FaultyFs) -> Result<(DiskStorage, OpenReport), Error> {
    DiskStorage::open(Path::new(DIR), with_spares(fs, Some(Duration::ZERO)))
}

fn spares(fs: &FaultyFs, dir: &Path) -> Vec<PathBuf> {
    let names = fs.read_dir(dir).unwrap();
    let is_spare = |n: &&std::ffi::OsString| n.to_string_lossy().starts_with("spare-");
    names.iter().filter(is_spare).map(|n| dir.join(n)).collect()
}

/// Appends until so many segments were cut.
fn cut(wal: &mut Wal, fs: &FaultyFs, times: usize) {
    let wanted = segments(fs, &wal_dir()).len() + times;
    while segments(fs, &wal_dir()).len() < wanted {
        let next = wal.reader().last_index() + 1;
        wal.append(&entries(1, next..=next + 9), None).unwrap();
        wal.sync().unwrap();
    }
}

#[test]
fn spares_are_zeros_and_become_the_next_segments() {
    let fs = FaultyFs::new();
    let o = with_spares(&fs, None).wal;
    let mut wal = Wal::create(&wal_dir(), b"", &o).unwrap();
    let found = spares(&fs, &wal_dir());
    assert_eq!(found.len(), 2);
    // Durable: a power cut leaves their bytes. Their names need not last.
    for path in &found {
        let bytes = fs.bytes(path).unwrap();
        assert_eq!(bytes, vec![0; usize::try_from(SEGMENT).unwrap()]);
    }
    // Nothing is reserved any more for the next two; the third is, and none is made again.
    let allocated = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&allocated);
    fs.set_hook(move |op| {
        seen.fetch_add(u64::from(op.kind == OpKind::Allocate), Ordering::Relaxed);
        Action::Proceed
    });
    for (cuts, left, reserved) in [(1, 1, 0), (1, 0, 0), (1, 0, 1)] {
        cut(&mut wal, &fs, cuts);
        assert_eq!(spares(&fs, &wal_dir()).len(), left);
        assert_eq!(allocated.load(Ordering::Relaxed), reserved);
    }
    fs.clear_hook();
    let all = read_wal(&fs).unwrap();
    wal.close().unwrap();
    assert_eq!(read_wal(&fs).unwrap(), all);
    let (wal, _) = Wal::open(&wal_dir(), &o).unwrap();
    assert_eq!(spares(&fs, &wal_dir()).len(), 2, "made again");
    drop(wal);
    // Without the option, what was left of them goes.
    drop(Wal::open(&wal_dir(), &options(&fs)).unwrap());
    assert_eq!(spares(&fs, &wal_dir()).len(), 0);
    assert_eq!(read_wal(&fs).unwrap(), all);
}

#[test]
fn used_spares_are_made_again_once_nothing_is_written() {
    let fs = FaultyFs::new();
    let o = with_spares(&fs, Some(Duration::ZERO)).wal;
    let mut wal = Wal::create(&wal_dir(), b"", &o).unwrap();
    for _ in 0..5 {
        cut(&mut wal, &fs, 1);
        let whole = || {
            let found = spares(&fs, &wal_dir());
            found.len() == 2
                && found
                    .iter()
                    .all(|p| fs.bytes(p).is_ok_and(|b| b.len() as u64 == SEGMENT))
        };
        while !whole() {
            std::thread::yield_now();
        }
    }
    let all = read_wal(&fs).unwrap();
    drop(wal);
    // Nobody writes into the directory after the log is closed.
    let ops = fs.ops();
    std::thread::yield_now();
    assert_eq!(fs.ops(), ops);
    assert_eq!(read_wal(&fs).unwrap(), all);
}

#[test]
fn a_spare_that_a_cut_had_begun_to_write_is_not_taken_for_zeros() {
    let fs = FaultyFs::new();
    let o = with_spares(&fs, None).wal;
    drop(Wal::create(&wal_dir(), b"", &o).unwrap());
    let left = wal_dir().join("spare-1.tmp");
    let f = fs.open(&left, Mode::Create).unwrap();
    f.write_at(&[0x5a; 3000], 0).unwrap();
    f.sync().unwrap();
    drop(f);
    let (mut wal, _) = Wal::open(&wal_dir(), &o).unwrap();
    for path in spares(&fs, &wal_dir()) {
        assert!(fs.bytes(&path).unwrap().iter().all(|b| *b == 0));
    }
    cut(&mut wal, &fs, 3);
    let all = read_wal(&fs).unwrap();
    wal.close().unwrap();
    let (_, found) = Wal::open(&wal_dir(), &o).unwrap();
    assert_eq!(found.torn, None);
    assert_eq!(read_wal(&fs).unwrap(), all);
}

#[test]
fn a_full_disk_takes_the_spares_first() {
    let fs = FaultyFs::new();
    let mut o = with_spares(&fs, None);
    o.wal.reserve = SEGMENT;
    let (mut store, _) = DiskStorage::open(Path::new(DIR), o).unwrap();
    let dir = Path::new(DIR).join("member/wal");
    assert_eq!(spares(&fs, &dir).len(), 2);
    fs.set_capacity(fs.used());
    // More than a segment: it reaches beyond what is reserved.
    store.append(&write(1, 1..=100, 1)).unwrap();
    store.sync().unwrap();
    assert_eq!(store.last_index(), Ok(100));
    assert_eq!(spares(&fs, &dir).len(), 0);
    assert!(
        fs.exists(&dir.join("reserve.tmp")).unwrap(),
        "it was not needed"
    );
}

#[test]
fn without_room_for_spares_a_log_is_made_all_the_same() {
    let fs = FaultyFs::new();
    let (store, _) = DiskStorage::open(Path::new(DIR), disk_options(&fs)).unwrap();
    drop(store);
    fs.set_capacity(fs.used() + SEGMENT + 512);
    let (mut store, _) = open_spared(&fs).unwrap();
    let dir = Path::new(DIR).join("member/wal");
    assert_eq!(spares(&fs, &dir).len(), 1, "as many as fit");
    store.append(&write(1, 1..=3, 1)).unwrap();
    store.sync().unwrap();
}

/// As S1: a node's whole life with spares made beside it, cut at any call, and again while it recovers.
#[test]
fn a_crash_at_any_call_keeps_what_was_acknowledged() {
    let steps = life();
    // Returns what counts the calls.
    let crash_at = |fs: &FaultyFs, n: u64| {
        let calls = Arc::new(AtomicU64::new(0));
        let seen = Arc::clone(&calls);
        fs.set_hook(move |op| {
            if op.kind.writes() && seen.fetch_add(1, Ordering::Relaxed) >= n {
                Action::Crash
            } else {
                Action::Proceed
            }
        });
        calls
    };
    let stride = if exhaustive() { 1 } else { 3 };
    let (mut n, mut done) = (0, false);
    // The thread's calls come in between as they will, so their number is not known: until nothing is cut any more.
    while !done {
        let fs = FaultyFs::new();
        let calls = crash_at(&fs, n);
        let allowed = live_from(&fs, &steps, open_spared);
        done = calls.load(Ordering::Relaxed) <= n;
        for (k, how) in [
            Crash::Nothing,
            Crash::Everything,
            Crash::Seed(n),
            Crash::Seed(n + 1_000_003),
        ]
        .iter()
        .enumerate()
        {
            let context = format!("crash at {n}, {how:?}");
            let after = fs.would_crash(how);
            let again = after.fork();
            crash_at(&again, (n + k as u64) % 20);
            drop(open_spared(&again));
            let again = again.crash(&Crash::Seed(n ^ 0x55));
            for fs in [after, again] {
                let (store, _) = open_spared(&fs).unwrap_or_else(|e| panic!("{context}: {e}"));
                one_of(&store, &allowed, &context);
                drop(store);
                // And without the option.
                let (store, _) = open(&fs).unwrap_or_else(|e| panic!("{context}: {e}"));
                one_of(&store, &allowed, &context);
            }
        }
        n += stride;
    }
    assert!(n > 100, "{n}");
}
