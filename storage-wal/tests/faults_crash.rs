//! Crashes and failing calls: S1, S2, S10 to S17, S19, S20, S22, S23, S25. Go: none

#![allow(clippy::unwrap_used)]

mod common;

use common::history::{Rng, next};
use common::*;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use tickraft_storage_wal::raftpb::{Entries, NO_LIMIT};
use tickraft_storage_wal::storage::testing::Model;
use tickraft_storage_wal::storage::{self, Storage, Write, Writer};
use tickraft_storage_wal::vfs::{Action, Crash, FaultyFs, Op, OpKind, OsFs, Vfs};
use tickraft_storage_wal::{DiskStorage, Error, Options, Session, Space, Wal};

fn outcomes(seed: u64) -> [Crash<'static>; 4] {
    [
        Crash::Nothing,
        Crash::Everything,
        Crash::Seed(seed),
        Crash::Seed(seed + 1_000_003),
    ]
}

/// Fails at the n-th call that changes anything.
fn crash_at(fs: &FaultyFs, n: u64) {
    let seen = AtomicU64::new(0);
    fs.set_hook(move |op| {
        if op.kind.writes() && seen.fetch_add(1, Ordering::Relaxed) >= n {
            Action::Crash
        } else {
            Action::Proceed
        }
    });
}

/// How many such calls a run makes.
fn count(run: impl FnOnce(&FaultyFs)) -> u64 {
    let fs = FaultyFs::new();
    let n = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&n);
    fs.set_hook(move |op| {
        seen.fetch_add(u64::from(op.kind.writes()), Ordering::Relaxed);
        Action::Proceed
    });
    run(&fs);
    n.load(Ordering::Relaxed)
}

/// S1 and S23, and S16 on the way: a node's whole life, cut at each call, each with several outcomes; and cut again while it recovers.
#[test]
fn s01_s23_a_crash_at_any_call_keeps_what_was_acknowledged() {
    let steps = life();
    let total = count(|fs| drop(live(fs, &steps)));
    assert!(total > 100, "{total}");
    let stride = if exhaustive() { 1 } else { 3 };
    for n in (0..total).step_by(stride) {
        let fs = FaultyFs::new();
        crash_at(&fs, n);
        let allowed = live(&fs, &steps);
        for (k, how) in outcomes(n).iter().enumerate() {
            let context = format!("crash at {n}, {how:?}");
            let after = fs.would_crash(how);
            // The recovery is cut as well.
            let again = after.fork();
            crash_at(&again, (n + k as u64) % 12);
            drop(open(&again));
            let again = again.crash(&Crash::Seed(n ^ 0x55));
            for fs in [after, again] {
                let (mut store, _) = open(&fs).unwrap_or_else(|e| panic!("{context}: {e}"));
                one_of(&store, &allowed, &context);
                goes_on(&mut store, &fs, &context);
            }
        }
    }
}

/// S1 and S23 again, over histories drawn from seeds and several power cuts each.
#[test]
fn s01_s23_random_histories_cut_at_random_calls_keep_what_was_acknowledged() {
    let seeds = if exhaustive() { 4000 } else { 80 };
    for seed in 0..seeds {
        let mut rng = Rng::new(seed);
        let (mut fs, mut now) = (FaultyFs::new(), Model::default());
        for cut in 0..4 {
            crash_at(&fs, rng.below(300));
            let allowed = live_on(&fs, &mut rng, now);
            fs = fs.crash(&Crash::Seed(rng.below(1 << 40)));
            let context = format!("seed {seed}, cut {cut}");
            let (store, _) = open(&fs).unwrap_or_else(|e| panic!("{context}: {e}"));
            now = one_of(&store, &allowed, &context);
        }
    }
}

/// Goes on from a state until a step fails. Returns the acknowledged state and all since.
fn live_on(fs: &FaultyFs, rng: &mut Rng, mut now: Model) -> Vec<Model> {
    let mut since = vec![now.clone()];
    let Ok((mut store, _)) = open(fs) else {
        return since;
    };
    loop {
        let step = next(rng, &now, &store);
        let done = step.run(&mut store);
        step.run(&mut now).unwrap();
        if done.is_ok() && step.durable() {
            since.clear();
        }
        since.push(now.clone());
        if done.is_err() {
            return since;
        }
    }
}

/// Whatever was found, it can be written on, and that is found again.
fn goes_on(store: &mut DiskStorage, fs: &FaultyFs, context: &str) {
    let last = store.last_index().unwrap();
    let (hard_state, _) = store.initial_state().unwrap();
    let term = hard_state.term + 1;
    let w = Write {
        hard_state: Some(hs(term, 3, hard_state.commit)),
        entries: entries(term, last + 1..=last + 2),
        ..Write::default()
    };
    store
        .append(&w)
        .unwrap_or_else(|e| panic!("{context}: {e}"));
    store.sync().unwrap_or_else(|e| panic!("{context}: {e}"));
    let (store, _) = open(&fs.crash(&Crash::Nothing)).unwrap_or_else(|e| panic!("{context}: {e}"));
    assert_eq!(store.last_index(), Ok(last + 2), "{context}");
    assert_eq!(
        store.initial_state().unwrap().0,
        hs(term, 3, hard_state.commit),
        "{context}"
    );
    assert_eq!(
        store.entries(last + 1, last + 3, 1 << 20).unwrap(),
        w.entries,
        "{context}"
    );
}

/// S1, exactly: a batch is all there or not at all.
#[test]
fn s01_a_batch_is_found_whole_or_not_at_all() {
    for seed in 0..300 {
        let fs = FaultyFs::new();
        let mut wal = Wal::create(&wal_dir(), b"", &options(&fs)).unwrap();
        wal.append(&entries(1, 1..=3), Some(&hs(1, 1, 1))).unwrap();
        wal.sync().unwrap();
        // Commit-only, overwrite, append: one batch.
        wal.append(&Entries::new(), Some(&hs(1, 1, 2))).unwrap();
        wal.append(&entries(2, 3..=9), Some(&hs(2, 2, 2))).unwrap();
        wal.append(&entries(2, 10..=12), None).unwrap();
        let before = read_wal(&fs).unwrap();
        fs.set_hook(|op| {
            if op.kind == OpKind::Sync {
                Action::Crash
            } else {
                Action::Proceed
            }
        });
        wal.sync().unwrap_err();
        let fs = fs.crash(&Crash::Seed(seed));
        let (_, found) = Wal::open(&wal_dir(), &options(&fs)).unwrap();
        if found.entries == (1, 12) {
            assert_eq!(found.hard_state, hs(2, 2, 2), "seed {seed}");
        } else {
            assert_eq!(read_wal(&fs).unwrap(), before, "seed {seed}");
        }
    }
}

/// S2
#[test]
fn s02_any_subset_of_an_unsynced_batchs_sectors_opens() {
    let fs = FaultyFs::new();
    let o = Options {
        segment_size: 32 << 10,
        // The sectors are the records' own.
        zero_ahead: 0,
        ..options(&fs)
    };
    let mut wal = Wal::create(&wal_dir(), b"", &o).unwrap();
    wal.append(&entries(1, 1..=2), Some(&hs(1, 1, 1))).unwrap();
    wal.sync().unwrap();
    wal.sync_mark().unwrap();
    let acked = read_wal(&fs).unwrap();
    // Many small records and one over several sectors.
    let big = tickraft_storage_wal::raftpb::Entry::new(2, 3, vec![0x5a; 2600]);
    let mut batch = vec![big];
    batch.extend(entries(2, 4..=20).iter().cloned());
    wal.append(&batch.into(), Some(&hs(2, 1, 2))).unwrap();
    fs.set_hook(|op| {
        if op.kind == OpKind::Sync {
            Action::Crash
        } else {
            Action::Proceed
        }
    });
    wal.sync().unwrap_err();
    let n = fs.pending_sectors();
    assert!((8..=12).contains(&n), "{n} sectors");
    let mut whole = 0;
    for subset in 0..1usize << n {
        if !exhaustive() && subset % 7 != 0 && subset != (1 << n) - 1 {
            continue;
        }
        let after = fs.would_crash(&Crash::Sectors(&|i| subset >> i & 1 == 1));
        let (mut wal, found) = Wal::open(
            &wal_dir(),
            &Options {
                vfs: Arc::new(after.clone()),
                ..o.clone()
            },
        )
        .unwrap_or_else(|e| panic!("subset {subset:b}: {e}"));
        if found.entries.1 == 20 {
            whole += 1;
        } else {
            assert_eq!(found.entries, (1, 2), "subset {subset:b}");
            assert_eq!(found.hard_state, acked.0, "subset {subset:b}");
        }
        wal.append(&entries(3, 3..=4), Some(&hs(3, 1, 1))).unwrap();
        wal.sync().unwrap();
        let (hard_state, all) = read_wal(&after.crash(&Crash::Seed(subset as u64))).unwrap();
        assert_eq!(
            (hard_state, all.len()),
            (hs(3, 1, 1), 4),
            "subset {subset:b}"
        );
    }
    // All sectors: the only way to a whole batch, but for those that hold nothing but zeros of padding.
    assert!(whole >= 1);
}

/// S23: the oldest segment that is left begins with entries that a later leader replaced from further below.
#[test]
fn s23_a_purged_log_opens_where_its_first_entries_were_replaced_from_below() {
    for overwrites in [20..=23, 20..=90] {
        let fs = FaultyFs::new();
        let (mut store, _) = open(&fs).unwrap();
        let (mut first, wal) = (1, Path::new(DIR).join("member/wal"));
        // Up to the beginning of the second segment, which holds the last of these.
        while segments(&fs, &wal).len() < 2 {
            store.append(&write(1, first..=first + 1, 10)).unwrap();
            store.sync().unwrap();
            first += 2;
        }
        assert!((24..60).contains(&first), "{first}");
        let end = *overwrites.end();
        store.append(&write(2, overwrites, 19)).unwrap();
        store
            .append(&write(2, end + 1..=end + 60, end + 50))
            .unwrap();
        store.save_snapshot(&snapshot(end + 30, 2)).unwrap();
        store.save_snapshot(&snapshot(end + 40, 2)).unwrap();
        store.compact(end + 39).unwrap();
        let left = segments(&fs, &wal);
        assert!(!left[0].ends_with("0000000000000000-0000000000000000.wal"));
        drop(store);
        let (store, _) = open(&fs.crash(&Crash::Nothing)).unwrap();
        assert_eq!(store.last_index(), Ok(end + 60));
        let behind = store.entries(end + 40, end + 61, NO_LIMIT).unwrap();
        assert_eq!(behind, entries(2, end + 40..=end + 60));
    }
}

/// A hard state that is written late, behind a snapshot, does not take the commit index back below it: etcd's rules would then pass over the snapshot.
#[test]
fn the_commit_index_never_lies_below_the_newest_snapshot() {
    let fs = FaultyFs::new();
    let (mut store, _) = open(&fs).unwrap();
    store.append(&write(1, 1..=60, 30)).unwrap();
    store.save_snapshot(&snapshot(20, 1)).unwrap();
    store.save_snapshot(&snapshot(40, 1)).unwrap();
    let late = Write {
        hard_state: Some(hs(1, 1, 35)),
        ..Write::default()
    };
    for _ in 0..2 {
        store.append(&late).unwrap();
        store.sync().unwrap();
        store.compact(store.first_index().unwrap() + 3).unwrap();
        drop(store);
        let report;
        (store, report) = open(&fs.kill()).unwrap();
        assert_eq!(report.snapshot.index, 40);
        let (hard_state, conf_state) = store.initial_state().unwrap();
        assert_eq!(hard_state, hs(1, 1, 40));
        assert_eq!(conf_state.voters, [1, 2, 3]);
    }
}

/// A commit index beyond the log and the snapshot: what was committed is gone.
#[test]
fn s10_a_commit_index_beyond_the_log_is_refused() {
    let fs = FaultyFs::new();
    let (mut store, _) = open(&fs).unwrap();
    store.append(&write(1, 1..=10, 12)).unwrap();
    store.close().unwrap();
    let e = open(&fs).unwrap_err();
    assert!(
        matches!(
            e,
            Error::MissingLog {
                missing_from: 11,
                missing_to: 12,
                ..
            }
        ),
        "{e}"
    );
}

/// What a crash left of a snapshot's file goes at the next open.
#[test]
fn s22_unfinished_snapshot_files_do_not_pile_up() {
    let fs = FaultyFs::new();
    let (mut store, _) = open(&fs).unwrap();
    store.append(&write(1, 1..=9, 9)).unwrap();
    fs.set_hook(|op| match op.kind {
        OpKind::Rename => Action::Crash,
        _ => Action::Proceed,
    });
    store.save_snapshot(&snapshot(5, 1)).unwrap_err();
    let fs = fs.crash(&Crash::Everything);
    let snap = Path::new(DIR).join("member/snap");
    assert_eq!(fs.read_dir(&snap).unwrap().len(), 1);
    drop(open(&fs).unwrap());
    assert!(fs.read_dir(&snap).unwrap().is_empty());
}

/// S10
#[test]
fn s10_a_missing_snapshot_that_the_log_cannot_replace_is_refused() {
    let fs = FaultyFs::new();
    let (mut store, _) = open(&fs).unwrap();
    store.append(&write(1, 1..=60, 50)).unwrap();
    store.save_snapshot(&snapshot(20, 1)).unwrap();
    store.save_snapshot(&snapshot(40, 1)).unwrap();
    store.compact(38).unwrap();
    drop(store);
    let snap =
        |index: u64| Path::new(DIR).join(format!("member/snap/{:016x}-{index:016x}.snap", 1));

    // The newest gone or rotten: the older will do, since the log has every entry from it on.
    for rotten in [false, true] {
        let fs = fs.fork();
        if rotten {
            fs.damage(&snap(40), |b| b[30] ^= 1).unwrap();
        } else {
            fs.remove_file(&snap(40)).unwrap();
        }
        let (store, report) = open(&fs).unwrap();
        assert!(report.fell_back.is_some());
        assert_eq!(report.snapshot.index, 20);
        assert!(store.first_index().unwrap() <= 21);
        let all = store.entries(21, 61, NO_LIMIT).unwrap();
        assert_eq!(all.first().unwrap().index, 21);
    }
    // An unreadable one says nothing: the error passes, and so must the open.
    {
        let fs = fs.fork();
        let path = snap(40);
        fs.set_hook(move |op| {
            if op.kind == OpKind::Read && op.path == path {
                Action::Fail(ErrorKind::Other)
            } else {
                Action::Proceed
            }
        });
        assert!(matches!(open(&fs), Err(Error::Io { .. })));
    }
    // Both gone, and the log does not begin at 1.
    {
        let (mut store, _) = open(&fs).unwrap();
        store.append(&write(2, 61..=160, 120)).unwrap();
        store.sync().unwrap();
        store.append(&write(2, 161..=200, 120)).unwrap();
        store.save_snapshot(&snapshot(110, 2)).unwrap();
        store.save_snapshot(&snapshot(120, 2)).unwrap();
        store.compact(119).unwrap();
        drop(store);
        let fs = fs.fork();
        let name =
            |index: u64| Path::new(DIR).join(format!("member/snap/{:016x}-{index:016x}.snap", 2));
        fs.remove_file(&name(110)).unwrap();
        fs.remove_file(&name(120)).unwrap();
        let e = open(&fs).unwrap_err();
        assert!(matches!(e, Error::MissingLog { snapshot: 120, .. }), "{e}");
    }
    // A received one replaced the log: nothing leads from the older to it.
    let (mut store, _) = open(&fs).unwrap();
    let mut w = write(3, 301..=302, 300);
    w.snapshot = Some(snapshot(300, 3));
    store.append(&w).unwrap();
    drop(store);
    fs.remove_file(&Path::new(DIR).join(format!("member/snap/{:016x}-{:016x}.snap", 3, 300)))
        .unwrap();
    let e = open(&fs).unwrap_err();
    assert!(
        e.is_corruption()
            && matches!(
                e,
                Error::MissingLog {
                    snapshot: 300,
                    missing_to: 300,
                    ..
                }
            ),
        "{e}"
    );
}

/// S11
#[test]
fn s11_after_a_failed_fsync_nothing_is_acknowledged() {
    let steps = life();
    let syncs = Arc::new(AtomicU64::new(0));
    let fs = FaultyFs::new();
    let seen = Arc::clone(&syncs);
    fs.set_hook(move |op| {
        seen.fetch_add(u64::from(op.kind == OpKind::Sync), Ordering::Relaxed);
        Action::Proceed
    });
    drop(live(&fs, &steps));
    for n in 0..syncs.load(Ordering::Relaxed) {
        let fs = FaultyFs::new();
        let seen = AtomicU64::new(0);
        fs.set_hook(move |op| {
            // Once, and then it succeeds.
            if op.kind == OpKind::Sync && seen.fetch_add(1, Ordering::Relaxed) == n {
                Action::Fail(ErrorKind::Other)
            } else {
                Action::Proceed
            }
        });
        let allowed = live(&fs, &steps);
        let context = format!("fsync {n} failed");
        // Restarted: the page cache shows what the disk may not have.
        let restarted = fs.kill();
        let (store, _) = open(&restarted).unwrap_or_else(|e| panic!("{context}: {e}"));
        one_of(&store, &allowed, &context);
        // From now on it must be on the disk, too.
        let found = store.last_index().unwrap();
        let hard_state = store.initial_state().unwrap();
        let (store, _) =
            open(&restarted.crash(&Crash::Nothing)).unwrap_or_else(|e| panic!("{context}: {e}"));
        assert_eq!(
            (store.last_index(), store.initial_state()),
            (Ok(found), Ok(hard_state)),
            "{context}"
        );
        // Or the power fails at once.
        let (store, _) =
            open(&fs.fork().crash(&Crash::Nothing)).unwrap_or_else(|e| panic!("{context}: {e}"));
        one_of(&store, &allowed, &context);
    }
}

#[test]
fn s11_a_poisoned_log_stays_poisoned() {
    for kind in [OpKind::Sync, OpKind::Write] {
        let fs = FaultyFs::new();
        let mut wal = Wal::create(&wal_dir(), b"", &options(&fs)).unwrap();
        let once = AtomicBool::new(true);
        fs.set_hook(move |op| {
            if op.kind == kind && once.swap(false, Ordering::Relaxed) {
                Action::Fail(ErrorKind::Other)
            } else {
                Action::Proceed
            }
        });
        wal.append(&entries(1, 1..=1), None).unwrap();
        assert!(matches!(wal.sync(), Err(Error::Io { .. })));
        assert!(matches!(wal.sync(), Err(Error::Poisoned(_))));
        assert!(matches!(
            wal.append(&entries(1, 2..=2), None),
            Err(Error::Poisoned(_))
        ));
        assert!(matches!(wal.close(), Err(Error::Poisoned(_))));
    }
    // A full disk is no excuse for an fsync.
    let fs = FaultyFs::new();
    let mut wal = Wal::create(&wal_dir(), b"", &options(&fs)).unwrap();
    fs.set_hook(|op| {
        if op.kind == OpKind::Sync {
            Action::Fail(ErrorKind::StorageFull)
        } else {
            Action::Proceed
        }
    });
    wal.append(&entries(1, 1..=1), None).unwrap();
    assert!(matches!(wal.sync(), Err(Error::Io { .. })));
    fs.clear_hook();
    assert!(matches!(wal.sync(), Err(Error::Poisoned(_))));
}

/// S12
#[test]
fn s12_a_read_error_is_never_taken_for_the_end_of_the_log() {
    let fs = FaultyFs::new();
    drop(live(&fs, &life()));
    let fs = fs.kill();
    let before = fs.fork();
    let (store, _) = open(&before).unwrap();
    let want = (
        store.first_index(),
        store.last_index(),
        store.initial_state(),
    );
    let mut failed = 0;
    for n in 0.. {
        let fs = fs.fork();
        let hit = Arc::new(AtomicBool::new(false));
        let (seen, did) = (AtomicU64::new(0), Arc::clone(&hit));
        fs.set_hook(move |op| {
            if op.kind == OpKind::Read && seen.fetch_add(1, Ordering::Relaxed) == n {
                did.store(true, Ordering::Relaxed);
                return Action::Fail(ErrorKind::Other);
            }
            Action::Proceed
        });
        let opened = open(&fs);
        if !hit.load(Ordering::Relaxed) {
            break;
        }
        failed += 1;
        let e = opened.map(|_| ()).unwrap_err();
        assert!(
            matches!(e, Error::Io { .. }) && !e.is_corruption(),
            "read {n}: {e}"
        );
        let (store, _) = open(&fs.kill()).unwrap();
        assert_eq!(
            (
                store.first_index(),
                store.last_index(),
                store.initial_state()
            ),
            want,
            "read {n}"
        );
    }
    assert!(failed > 5);
}

fn fail_once(fs: &FaultyFs, hit: impl Fn(&Op) -> bool + Send + Sync + 'static) {
    let once = AtomicBool::new(true);
    fs.set_hook(move |op| {
        if hit(op) && once.swap(false, Ordering::Relaxed) {
            Action::Fail(ErrorKind::StorageFull)
        } else {
            Action::Proceed
        }
    });
}

/// S13: at the write, at the preallocation of the next segment, at its rename, and at a snapshot's file.
#[test]
fn s13_a_full_disk_is_typed_and_passes_without_a_restart() {
    type Hit = fn(&Op) -> bool;
    let hits: [(&str, Hit); 4] = [
        ("write", |op| {
            op.kind == OpKind::Write && op.path.extension().is_some_and(|e| e == "wal")
        }),
        ("allocate", |op| op.kind == OpKind::Allocate),
        ("rename", |op| {
            op.kind == OpKind::Rename && op.path.to_string_lossy().contains("/wal/")
        }),
        ("head", |op| {
            op.kind == OpKind::Write && op.path.ends_with("next.tmp")
        }),
    ];
    for (what, hit) in hits {
        let fs = FaultyFs::new();
        let (mut store, _) = open(&fs).unwrap();
        store.append(&write(1, 1..=3, 1)).unwrap();
        store.sync().unwrap();
        fail_once(&fs, hit);
        let mut refused = 0;
        for n in 1..=8 {
            let w = write(1, n * 8 - 4..=n * 8 + 3, n * 8 - 4);
            let last = store.last_index();
            if let Err(e) = store.append(&w) {
                assert_eq!(e, storage::Error::NoSpace, "{what}");
                assert_eq!(store.last_index(), last, "nothing of it was kept");
                refused += 1;
                store.append(&w).unwrap();
            }
            if let Err(e) = store.sync() {
                assert_eq!(e, storage::Error::NoSpace, "{what}");
                refused += 1;
                store.sync().unwrap();
            }
        }
        assert_eq!(refused, 1, "{what}");
        let (again, _) = open(&fs.crash(&Crash::Nothing)).unwrap();
        assert_eq!(again.last_index(), Ok(67), "{what}");
        assert_eq!(again.entries(1, 2, NO_LIMIT).unwrap(), entries(1, 1..=1));
    }
    let fs = FaultyFs::new();
    let (mut store, _) = open(&fs).unwrap();
    store.append(&write(1, 1..=3, 3)).unwrap();
    store.sync().unwrap();
    for kind in [OpKind::Write, OpKind::Rename, OpKind::Create] {
        fail_once(&fs, move |op| {
            op.kind == kind && op.path.to_string_lossy().contains("/snap/")
        });
        assert_eq!(
            store.save_snapshot(&snapshot(2, 1)),
            Err(storage::Error::NoSpace)
        );
        assert_eq!(store.snapshot().unwrap().metadata.index, 0);
    }
    store.save_snapshot(&snapshot(2, 1)).unwrap();
}

/// S13: the reserve takes what was accepted, then terms and votes; room that comes back is used at once.
#[test]
fn s13_the_reserve_carries_what_was_accepted_then_votes() {
    let fs = FaultyFs::new();
    let mut o = disk_options(&fs);
    o.wal.reserve = 8 << 10;
    o.wal.ballast = 4 << 10;
    let (mut store, _) = DiskStorage::open(Path::new(DIR), o.clone()).unwrap();
    store.append(&write(1, 1..=2, 1)).unwrap();
    store.sync().unwrap();
    assert_eq!(store.space(), Space::Ample);
    fs.set_capacity(fs.used());
    let mut next = 3;
    let mut seen_reserve = false;
    let refused = loop {
        let last = store.last_index().unwrap();
        match store.append(&write(1, next..=next + 4, 1)) {
            Ok(()) => store.sync().unwrap(),
            Err(e) => break (e, last),
        }
        seen_reserve |= store.space() == Space::Reserve;
        next += 5;
        assert!(next < 1000, "never full");
    };
    assert!(seen_reserve);
    assert_eq!(refused.0, storage::Error::NoSpace);
    assert_eq!(store.space(), Space::Full);
    assert_eq!(store.last_index(), Ok(refused.1));
    // Terms and votes still fit, and reads go on.
    for term in 2..6 {
        let w = Write {
            hard_state: Some(hs(term, 1, 1)),
            must_sync: true,
            ..Write::default()
        };
        store.append(&w).unwrap();
        store.sync().unwrap();
    }
    assert_eq!(store.entries(1, 3, NO_LIMIT).unwrap(), entries(1, 1..=2));
    // A snapshot finds room in the ballast's place, and purges.
    let committed = Write {
        hard_state: Some(hs(5, 1, next - 1)),
        ..Write::default()
    };
    store.append(&committed).unwrap();
    store.sync().unwrap();
    fs.set_capacity(fs.used());
    store.save_snapshot(&snapshot(next / 2, 1)).unwrap();
    assert!(!fs.exists(&Path::new(DIR).join("member/ballast")).unwrap());
    // Room again: writes resume without a restart, and the reserve is whole.
    fs.set_capacity(u64::MAX);
    store.append(&write(5, next..=next + 4, 1)).unwrap();
    store.sync().unwrap();
    assert_eq!(store.space(), Space::Ample);
    drop(store);
    let (store, _) = open(&fs.crash(&Crash::Nothing)).unwrap();
    assert_eq!(store.last_index(), Ok(next + 4));
}

/// S13: a node comes back on a full disk by what was held back, an unfinished write kept as ever.
#[test]
fn s13_a_full_disk_does_not_keep_a_node_from_coming_back() {
    for torn in [false, true] {
        let fs = FaultyFs::new();
        let mut o = disk_options(&fs);
        o.wal.reserve = 64 << 10;
        let (mut store, _) = DiskStorage::open(Path::new(DIR), o.clone()).unwrap();
        store.append(&write(1, 1..=2, 1)).unwrap();
        store.sync().unwrap();
        drop(store);
        if torn {
            let wal = Path::new(DIR).join("member/wal");
            let name = tickraft_storage_wal::SegmentName::list(&fs, &wal).unwrap();
            let tail = wal.join(name.last().unwrap().to_string());
            fs.damage(&tail, |b| b.extend([1; 64])).unwrap();
        }
        fs.set_capacity(fs.used());
        let (store, report) = DiskStorage::open(Path::new(DIR), o).unwrap();
        assert_eq!(report.session.count, 2);
        assert_eq!(report.recovered.torn.is_some(), torn);
        assert_eq!(store.last_index(), Ok(2));
        assert_ne!(store.space(), Space::Ample);
    }
}

/// S13: a peer that restarts is heard again on a full disk, however often, the reserve used up or not; what is recorded lasts.
#[test]
fn s13_a_full_disk_does_not_shut_out_a_peer_that_restarted() {
    for reserve in [0, 64 << 10] {
        let fs = FaultyFs::new();
        let mut o = disk_options(&fs);
        o.wal.reserve = reserve;
        let (store, _) = DiskStorage::open(Path::new(DIR), o.clone()).unwrap();
        let session = |count| Session {
            count,
            random: count,
        };
        store.record_peer(2, 7, session(1)).unwrap();
        fs.set_capacity(fs.used());
        for count in 2..20 {
            let recorded = store.record_peer(2, 7, session(count));
            match reserve {
                // Nothing is held back.
                0 => assert!(matches!(recorded, Err(Error::NoSpace { .. }))),
                _ => recorded.unwrap(),
            }
            // Whatever the old file let go of is taken by others.
            fs.set_capacity(fs.used());
        }
        assert_eq!(store.space(), Space::Ample, "the reserve is for the log");
        // Without it, as where there was no room for it at the opening, the log's reserve serves.
        if reserve > 0 {
            fs.remove_file(&Path::new(DIR).join("member/peers.spare"))
                .unwrap();
            fs.set_capacity(fs.used());
            store.record_peer(2, 7, session(20)).unwrap();
            assert_eq!(store.space(), Space::Reserve);
        }
        let known = store.peer(2).unwrap();
        assert_eq!(known.session.count, if reserve > 0 { 20 } else { 1 });
        drop(store);
        let (store, _) = DiskStorage::open(Path::new(DIR), {
            let fs = fs.crash(&Crash::Nothing);
            fs.set_capacity(u64::MAX);
            let mut o = disk_options(&fs);
            o.wal.reserve = reserve;
            o
        })
        .unwrap();
        assert_eq!(store.peer(2), Some(known));
        assert!(store.record_peer(2, 7, session(0)).is_err());
    }
}

/// S9: of the log nothing is left, and the snapshots tell that there was one.
#[test]
fn s09_a_missing_log_is_not_taken_for_a_new_node() {
    let fs = FaultyFs::new();
    let (mut store, _) = open(&fs).unwrap();
    store.append(&write(1, 1..=3, 3)).unwrap();
    store.sync().unwrap();
    store.save_snapshot(&snapshot(2, 1)).unwrap();
    drop(store);
    fs.remove_dir_all(&Path::new(DIR).join("member/wal"))
        .unwrap();
    let e = open(&fs).unwrap_err();
    assert!(e.is_corruption(), "{e}");
}

/// S14
#[test]
fn s14_a_short_write_is_continued_or_poisons() {
    for short in [0, 1, 7, 8, 100, 511] {
        let fs = FaultyFs::new();
        let mut wal = Wal::create(&wal_dir(), b"", &options(&fs)).unwrap();
        fs.set_hook(move |op| {
            if op.kind == OpKind::Write && op.len > short as u64 {
                Action::Short(short)
            } else {
                Action::Proceed
            }
        });
        wal.append(&entries(1, 1..=9), Some(&hs(1, 1, 1))).unwrap();
        let done = wal.sync();
        assert_eq!(done.is_ok(), short > 0, "{short}");
        if short == 0 {
            assert!(matches!(wal.sync(), Err(Error::Poisoned(_))));
        }
        drop(wal);
        fs.clear_hook();
        let (_, all) = read_wal(&fs.crash(&Crash::Nothing)).unwrap();
        assert_eq!(all.len(), if short > 0 { 9 } else { 0 }, "{short}");
    }
    // Half of it, then an error.
    let fs = FaultyFs::new();
    let mut wal = Wal::create(&wal_dir(), b"", &options(&fs)).unwrap();
    let seen = AtomicU64::new(0);
    fs.set_hook(move |op| match (op.kind, seen.load(Ordering::Relaxed)) {
        (OpKind::Write, 0) => {
            seen.store(1, Ordering::Relaxed);
            Action::Short(200)
        }
        (OpKind::Write, _) => Action::Fail(ErrorKind::Other),
        _ => Action::Proceed,
    });
    wal.append(&entries(1, 1..=9), None).unwrap();
    wal.sync().unwrap_err();
    drop(wal);
    let (_, found) = Wal::open(&wal_dir(), &options(&fs.kill())).unwrap();
    assert_eq!(found.entries, (1, 0));
    assert!(found.torn.is_some());
}

/// S13, S14: a batch with payloads that are written from where they lie, cut off at each of its parts.
#[test]
fn s14_a_batch_in_parts_is_whole_or_not_there() {
    let big = |index| tickraft_storage_wal::raftpb::Entry::new(1, index, vec![0x5a; 3000]);
    let o = |fs: &FaultyFs| Options {
        segment_size: 1 << 20,
        ..options(fs)
    };
    // Three payloads lie apart, with four parts of a buffer between and around them.
    for (part, short) in (0..7).flat_map(|part| [0, 5].map(|short| (part, short))) {
        let what = format!("part {part}, {short} bytes of it");
        let fs = FaultyFs::new();
        let mut wal = Wal::create(&wal_dir(), b"", &o(&fs)).unwrap();
        wal.append(&entries(1, 1..=1), Some(&hs(1, 1, 1))).unwrap();
        wal.sync().unwrap();
        let mut batch = vec![big(2)];
        batch.extend(entries(1, 3..=3).iter().cloned());
        batch.extend([big(4), big(5)]);
        let batch: Entries = batch.into();
        wal.append(&batch, Some(&hs(1, 1, 2))).unwrap();
        let writes = AtomicU64::new(0);
        let is_log =
            |op: &Op| op.kind == OpKind::Write && op.path.extension().is_some_and(|e| e == "wal");
        // Each try begins anew with the first part; zeros that are written ahead are longer than any.
        fs.set_hook(move |op| {
            if !is_log(op) || op.len > 4000 {
                return Action::Proceed;
            }
            match writes.fetch_add(1, Ordering::Relaxed) {
                n if n == part && short > 0 => Action::Short(short),
                n if n >= part => Action::Fail(ErrorKind::StorageFull),
                _ => Action::Proceed,
            }
        });
        assert!(matches!(wal.sync(), Err(Error::NoSpace { .. })), "{what}");
        let cut = fs.would_crash(&Crash::Sectors(&|_| true));
        let (_, found) = Wal::open(&wal_dir(), &o(&cut)).unwrap();
        assert_eq!(found.entries, (1, 1), "{what}");
        // With room again the batch goes on growing, and ends elsewhere.
        fs.clear_hook();
        wal.append(&vec![big(6)].into(), None).unwrap();
        wal.sync().unwrap();
        drop(wal);
        let (hard_state, all) = read_wal(&fs.crash(&Crash::Nothing)).unwrap();
        assert_eq!((hard_state, all.len()), (hs(1, 1, 2), 6), "{what}");
        assert_eq!(
            all.get(1..5),
            Some(&batch.iter().cloned().collect::<Vec<_>>()[..]),
            "{what}"
        );
    }
}

/// S15: what a core needs for ticks, heartbeats and replication while an fsync hangs.
#[test]
fn s15_reads_go_on_while_an_fsync_hangs() {
    let fs = FaultyFs::new();
    let (store, _) = open(&fs).unwrap();
    let mut writer = store.clone();
    writer.append(&write(1, 1..=5, 3)).unwrap();
    writer.sync().unwrap();
    let (hangs, hung) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let gate = parking_lot_free(released);
    fs.set_hook(move |op| {
        if op.kind == OpKind::Sync {
            let _ = hangs.send(());
            gate();
        }
        Action::Proceed
    });
    let append = std::thread::spawn(move || {
        writer.append(&write(2, 6..=9, 4)).unwrap();
        writer.sync().unwrap();
        writer
    });
    hung.recv().unwrap();
    // The fsync has not returned, and all this does.
    assert_eq!((store.first_index(), store.last_index()), (Ok(1), Ok(9)));
    assert_eq!(store.term(9), Ok(2));
    assert_eq!(store.initial_state().unwrap().0, hs(2, 1, 4));
    assert_eq!(
        store
            .entries(1, 10, NO_LIMIT)
            .unwrap()
            .last()
            .unwrap()
            .index,
        9
    );
    assert_eq!(store.snapshot().unwrap().metadata.index, 0);
    drop(release);
    append.join().unwrap();
    assert_eq!(store.last_index(), Ok(9));
}

/// A gate that opens when the sender is dropped.
fn parking_lot_free(released: mpsc::Receiver<()>) -> impl Fn() + Send + Sync {
    let gate = std::sync::Mutex::new(released);
    move || {
        let _ = gate.lock().unwrap().recv();
    }
}

/// S16: cut at each sync of a directory, with the names lost, kept, or some of each.
#[test]
fn s16_a_rename_without_its_directory_synced_leaves_old_or_new() {
    let steps = life();
    let mut tried = 0;
    for n in 0.. {
        let fs = FaultyFs::new();
        let (seen, hit) = (AtomicU64::new(0), Arc::new(AtomicBool::new(false)));
        let did = Arc::clone(&hit);
        fs.set_hook(move |op| {
            if op.kind == OpKind::SyncDir && seen.fetch_add(1, Ordering::Relaxed) == n {
                did.store(true, Ordering::Relaxed);
                return Action::Crash;
            }
            Action::Proceed
        });
        let allowed = live(&fs, &steps);
        if !hit.load(Ordering::Relaxed) {
            break;
        }
        tried += 1;
        for how in outcomes(n) {
            let context = format!("directory sync {n}, {how:?}");
            let (store, _) =
                open(&fs.would_crash(&how)).unwrap_or_else(|e| panic!("{context}: {e}"));
            one_of(&store, &allowed, &context);
        }
    }
    assert!(tried > 12, "{tried}");
}

/// S17, within one process; the tool's test does it with two.
#[test]
fn s17_a_second_open_of_a_directory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let fs = FaultyFs::new();
    let mut o = disk_options(&fs);
    o.wal.vfs = Arc::new(OsFs);
    let (store, _) = DiskStorage::open(dir.path(), o.clone()).unwrap();
    let e = DiskStorage::open(dir.path(), o.clone()).unwrap_err();
    assert!(
        matches!(e, Error::Locked { .. }) && e.to_string().contains("stop it first"),
        "{e}"
    );
    // The log alone, and each of its segments alone, as etcd locks them.
    let wal = dir.path().join("member/wal");
    assert!(matches!(Wal::open(&wal, &o.wal), Err(Error::Locked { .. })));
    for f in std::fs::read_dir(&wal).unwrap() {
        let path = f.unwrap().path();
        if path.extension().is_some_and(|e| e == "wal") {
            let segment = OsFs
                .open(&path, tickraft_storage_wal::vfs::Mode::Write)
                .unwrap();
            assert!(!segment.try_lock().unwrap(), "{}", path.display());
        }
    }
    drop(store);
    DiskStorage::open(dir.path(), o).unwrap();
}

/// S19
#[test]
fn s19_an_older_copy_or_a_lost_disk_is_refused_by_its_peers() {
    let random = |fs: &FaultyFs| {
        let mut o = disk_options(fs);
        o.wal.seed = None;
        DiskStorage::open(Path::new(DIR), o).unwrap().0
    };
    let peer_fs = FaultyFs::new();
    let peer = random(&peer_fs);
    let fs = FaultyFs::new();
    let says = |s: &DiskStorage| (s.identity().incarnation, s.session());
    let mut copies = Vec::new();
    for count in 1..=3 {
        let node = random(&fs);
        assert_eq!(node.session().count, count);
        let (incarnation, session) = says(&node);
        peer.record_peer(1, incarnation, session).unwrap();
        peer.record_peer(1, incarnation, session).unwrap();
        drop(node);
        copies.push(fs.fork());
    }
    // What the peer knows is on its disk.
    drop(peer);
    let peer = random(&peer_fs.crash(&Crash::Nothing));
    let known = peer.peer(1).unwrap();
    assert_eq!(known.session.count, 3);
    for copy in &copies[..2] {
        let (incarnation, session) = says(&random(copy));
        let e = peer.record_peer(1, incarnation, session).unwrap_err();
        assert!(
            e.to_string().contains("remove id 1, join under a new id"),
            "{e}"
        );
        assert_eq!(peer.peer(1), Some(known));
    }
    // A lost disk comes back as another incarnation.
    let (incarnation, session) = says(&random(&FaultyFs::new()));
    assert_ne!(incarnation, known.incarnation);
    assert!(matches!(
        peer.record_peer(1, incarnation, session),
        Err(Error::PeerRefused { .. })
    ));
    // The same directory, restarted, is welcome.
    let (incarnation, session) = says(&random(&fs));
    peer.record_peer(1, incarnation, session).unwrap();
    let older = Session {
        count: 1,
        random: session.random,
    };
    assert!(peer.record_peer(1, incarnation, older).is_err());
}

/// S20
#[test]
fn s20_missing_permission_and_a_read_only_file_system_say_what_to_do() {
    for (kind, says) in [
        (
            ErrorKind::PermissionDenied,
            "give the process read and write permission",
        ),
        (
            ErrorKind::ReadOnlyFilesystem,
            "mount the file system for writing",
        ),
    ] {
        let fresh = FaultyFs::new();
        let used = FaultyFs::new();
        drop(open(&used).unwrap());
        for fs in [fresh, used] {
            fs.set_hook(move |op| {
                if op.kind.writes() {
                    Action::Fail(kind)
                } else {
                    Action::Proceed
                }
            });
            let e = open(&fs).unwrap_err();
            assert!(
                e.to_string().contains(says) && e.to_string().contains(DIR),
                "{e}"
            );
            assert!(!e.is_corruption());
        }
    }
    let used = FaultyFs::new();
    drop(open(&used).unwrap());
    used.set_hook(|op| {
        if op.kind == OpKind::Open {
            Action::Fail(ErrorKind::PermissionDenied)
        } else {
            Action::Proceed
        }
    });
    assert!(open(&used).unwrap_err().to_string().contains("permission"));
}

/// S22
#[test]
fn s22_a_crash_while_installing_a_snapshot_leaves_old_or_new() {
    let mut install = write(5, 101..=103, 102);
    install.snapshot = Some(snapshot(100, 4));
    let before = [
        Step::Append(write(1, 1..=30, 20)),
        Step::Save(snapshot(15, 1)),
        Step::Append(write(2, 31..=40, 20)),
        Step::Sync,
    ];
    let after: Vec<_> = before
        .iter()
        .cloned()
        .chain([Step::Append(install)])
        .collect();
    let start = count(|fs| drop(live(fs, &before)));
    let end = count(|fs| drop(live(fs, &after)));
    assert!(end > start + 5);
    for n in start..=end {
        let fs = FaultyFs::new();
        crash_at(&fs, n);
        let allowed = live(&fs, &after);
        for seed in 0..8 {
            for how in outcomes(n * 31 + seed) {
                let context = format!("crash at {n} of {end}, {how:?}");
                let (store, _) =
                    open(&fs.would_crash(&how)).unwrap_or_else(|e| panic!("{context}: {e}"));
                one_of(&store, &allowed, &context);
            }
        }
    }
}

/// S25
#[test]
fn s25_a_crash_while_creating_leaves_a_directory_that_starts_anew() {
    let total = count(|fs| drop(open(fs).unwrap()));
    for n in 0..total {
        let fs = FaultyFs::new();
        crash_at(&fs, n);
        assert!(open(&fs).is_err());
        for seed in 0..16 {
            for how in outcomes(n * 31 + seed) {
                let context = format!("crash at {n}, {how:?}");
                let after = fs.would_crash(&how);
                let (mut store, report) = open(&after).unwrap_or_else(|e| panic!("{context}: {e}"));
                assert!(!report.bootstrapped, "{context}");
                assert_eq!(
                    (store.first_index(), store.last_index()),
                    (Ok(1), Ok(0)),
                    "{context}"
                );
                goes_on(&mut store, &after, &context);
            }
        }
    }
}
