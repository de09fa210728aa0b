//! Long logs: memory while one is opened, read by a follower and compacted; and, on request, times. Go: wal_bench_test.go

#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};
use tickraft_storage_wal::raftpb::{Entries, Entry, HardState};
use tickraft_storage_wal::storage::{Storage, Write, Writer};
use tickraft_storage_wal::vfs::Mode;
use tickraft_storage_wal::{DiskOptions, DiskStorage, Options, Wal};

const MIB: u64 = 1 << 20;

fn options() -> DiskOptions {
    DiskOptions {
        node_id: 1,
        cluster_id: 1,
        wal: Options {
            cache_bytes: 8 * MIB,
            reserve: 0,
            ..Options::default()
        },
        ..DiskOptions::default()
    }
}

/// The most memory that this process ever had, in bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|l| l.starts_with("VmHWM:"));
    line.and_then(|l| l.split_whitespace().nth(1))
        .map_or(0, |kib| kib.parse::<u64>().unwrap() * 1024)
}

fn fill(store: &mut DiskStorage, bytes: u64, payload: usize) -> u64 {
    let per_write = 256 * 1024 / payload as u64;
    let mut index = store.last_index().unwrap();
    let mut written = 0;
    while written < bytes {
        let entries: Entries = (1..=per_write)
            .map(|n| Entry::new(1, index + n, vec![0xab; payload]))
            .collect();
        index += per_write;
        written += per_write * payload as u64;
        let w = Write {
            entries,
            hard_state: Some(HardState {
                term: 1,
                vote: 1,
                commit: index,
            }),
            ..Write::default()
        };
        store.append(&w).unwrap();
        if index.is_multiple_of(per_write * 8) {
            store.sync().unwrap();
        }
    }
    store.sync().unwrap();
    index
}

/// Reads everything as a lagging follower is sent it.
fn send_all(store: &DiskStorage, last: u64) {
    let mut at = store.first_index().unwrap();
    while at <= last {
        let some = store.entries(at, last + 1, MIB).unwrap();
        assert_eq!(some.first().unwrap().index, at);
        at += some.len() as u64;
    }
}

/// 64 MiB by default; 1 GiB of small entries when asked for, with times printed.
#[test]
fn memory_stays_bounded_while_a_long_log_is_written_opened_sent_and_compacted() {
    let gib = std::env::var_os("TICKRAFT_GIB").is_some();
    let bytes = if gib { 1024 * MIB } else { 96 * MIB };
    let dir = tempfile::tempdir().unwrap();
    let before = peak();
    let (mut store, _) = DiskStorage::open(dir.path(), options()).unwrap();
    let last = fill(&mut store, bytes, if gib { 128 } else { 512 });
    store.close().unwrap();
    let started = Instant::now();
    let (mut store, _) = DiskStorage::open(dir.path(), options()).unwrap();
    println!(
        "opened {} MiB, {last} entries in {:?}",
        bytes / MIB,
        started.elapsed()
    );
    assert_eq!(store.last_index(), Ok(last));
    send_all(&store, last);
    store.compact(last - 10).unwrap();
    println!(
        "sent and compacted after {:?}; peak {} MiB over {} MiB",
        started.elapsed(),
        peak() / MIB,
        before / MIB
    );
    if cfg!(target_os = "linux") {
        let grown = peak() - before;
        assert!(grown < 8 * MIB + 64 * MIB, "{} MiB", grown / MIB);
    }
}

/// Against bare writes of the same bytes to a file allocated the same way. Only times are printed.
#[test]
#[ignore = "prints times; run in release with --ignored --nocapture"]
fn times_of_append_and_sync() {
    let dir =
        tempfile::tempdir_in(std::env::var("TICKRAFT_BENCH_DIR").unwrap_or_else(|_| ".".into()))
            .unwrap();
    let rounds = 400;
    for batch in [1u64, 16, 256] {
        let o = Options {
            reserve: 0,
            ..Options::default()
        };
        let path = dir.path().join(format!("wal{batch}"));
        let mut wal = Wal::create(&path, b"", &o).unwrap();
        wal.append(
            &Entries::new(),
            Some(&HardState {
                term: 1,
                vote: 1,
                commit: 0,
            }),
        )
        .unwrap();
        wal.sync().unwrap();
        let name = dir.path().join(format!("bare{batch}"));
        let bare = o.vfs.open(&name, Mode::Create).unwrap();
        bare.allocate(o.segment_size).unwrap();
        let (mut index, mut at) = (0, 0);
        let (mut ours, mut theirs) = (Duration::ZERO, Duration::ZERO);
        let mut buf = Vec::new();
        for _ in 0..rounds {
            let e: Entries = (1..=batch)
                .map(|n| Entry::new(1, index + n, vec![7; 128]))
                .collect();
            index += batch;
            let before = wal.stats().wal_write_bytes;
            let started = Instant::now();
            wal.append(&e, None).unwrap();
            wal.sync().unwrap();
            ours += started.elapsed();
            let bytes = wal.stats().wal_write_bytes - before;
            buf.resize(usize::try_from(bytes).unwrap(), 7);
            // In turn, so that whatever else the machine does meets both.
            let started = Instant::now();
            bare.write_at(&buf, at).unwrap();
            bare.sync().unwrap();
            theirs += started.elapsed();
            at += bytes;
        }
        let (ours, theirs, bytes) = (ours / rounds, theirs / rounds, at / u64::from(rounds));
        println!(
            "batch {batch}: {bytes} bytes a batch, {ours:?}, bare pwrite and fdatasync {theirs:?}"
        );
    }
}
