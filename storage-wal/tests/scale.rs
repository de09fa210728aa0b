//! Long logs: memory while one is opened, read by a follower and compacted. Go: none (etcd keeps all entries in memory)

#![allow(clippy::unwrap_used)]

use tickraft_storage_wal::raftpb::{Entries, Entry, HardState};
use tickraft_storage_wal::storage::{Storage, Write, Writer};
use tickraft_storage_wal::{DiskOptions, DiskStorage, Options};

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

/// Far more log than the cache and the bound together. The command `disk open` of the benches does the same with 1 GiB.
#[test]
fn memory_stays_bounded_while_a_long_log_is_written_opened_sent_and_compacted() {
    let dir = tempfile::tempdir().unwrap();
    let before = peak();
    let (mut store, _) = DiskStorage::open(dir.path(), options()).unwrap();
    let last = fill(&mut store, 96 * MIB, 512);
    store.close().unwrap();
    let (mut store, _) = DiskStorage::open(dir.path(), options()).unwrap();
    assert_eq!(store.last_index(), Ok(last));
    send_all(&store, last);
    store.compact(last - 10).unwrap();
    let grown = peak() - before;
    // The cache and, for all else, a quarter of what is allowed on top of it.
    assert!(grown < 8 * MIB + 16 * MIB, "{} MiB", grown / MIB);
    assert!(grown > 0 || !cfg!(target_os = "linux"));
}
