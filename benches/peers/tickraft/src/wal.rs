//! The log on disk: writers that each append a batch to a log of their own and sync, one after another. Each log is a directory, as each node has one.

use benches::payload::payload;
use bytes::Bytes;
use peer_common::args::Wal;
use peer_common::latency::Latencies;
use peer_common::report::{Clock, build, join};
use rawnode::raftpb::{Entries, Entry};
use rawnode::storage::{Storage, Write, Writer};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};
use storage_wal::{DiskOptions, DiskStorage};

/// Payloads built before the clock starts; entry `i` carries number `i % POOL`.
const POOL: u64 = 1024;
/// The part of the timed window that runs before it.
const WARMUP: f64 = 0.1;
/// Bytes of entries read at a time when the log is checked.
const CHUNK: u64 = 4 << 20;

/// A folder that goes with its owner.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left behind is only space.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn options(number: u64) -> DiskOptions {
    DiskOptions {
        node_id: number,
        cluster_id: 1,
        ..DiskOptions::default()
    }
}

struct Log {
    storage: DiskStorage,
    last: u64,
    batch: u64,
}

impl Log {
    fn open(dir: &Path, number: u64, batch: u64) -> Self {
        let dir = dir.join(number.to_string());
        let (storage, _) = DiskStorage::open(&dir, options(number)).expect("the folder opens");
        Self {
            storage,
            last: 0,
            batch,
        }
    }

    fn append(&mut self, pool: &[Bytes]) {
        let entry = |i: u64| Entry::new(1, i, pool[(i % POOL) as usize].clone());
        let entries: Entries = (self.last + 1..=self.last + self.batch)
            .map(entry)
            .collect();
        let write = Write {
            entries,
            must_sync: true,
            ..Write::default()
        };
        self.storage.append(&write).expect("there is room");
        self.storage.sync().expect("there is room");
        self.last += self.batch;
    }

    /// Every entry is there with its payload.
    fn check(&self, pool: &[Bytes], last: u64) {
        assert_eq!(self.storage.last_index().expect("it can be read"), last);
        let mut next = 1;
        while next <= last {
            let page = self
                .storage
                .entries(next, last + 1, CHUNK)
                .expect("it can be read");
            for e in page.iter() {
                assert_eq!((e.index, &e.data), (next, &pool[(next % POOL) as usize]));
                next += 1;
            }
        }
    }
}

pub(crate) fn run(a: &Wal) -> (Value, Value) {
    let folder = Folder(a.dir.join(format!("tickraft-{}", std::process::id())));
    fs::create_dir_all(&folder.0).expect("--dir can be written to");
    let pool: Vec<Bytes> = (0..POOL)
        .map(|i| payload(i, a.payload as usize).into())
        .collect();
    let length = Duration::from_secs_f64(a.seconds);
    let mut logs: Vec<Log> = (0..a.writers)
        .map(|n| Log::open(&folder.0, n + 1, a.batch))
        .collect();
    let from = Instant::now() + length.mul_f64(WARMUP);
    let to = from + length;
    let latencies = Latencies::new(logs.len());
    let start = Barrier::new(logs.len());
    let elapsed = thread::scope(|scope| {
        for (number, log) in logs.iter_mut().enumerate() {
            let (pool, latencies, start) = (&pool, &latencies, &start);
            scope.spawn(move || {
                start.wait();
                while Instant::now() < to {
                    let begin = Instant::now();
                    log.append(pool);
                    if begin >= from && Instant::now() <= to {
                        latencies.record(number, begin.elapsed());
                    }
                }
            });
        }
        thread::sleep(from.saturating_duration_since(Instant::now()));
        let clock = Clock::start();
        thread::sleep(to.saturating_duration_since(Instant::now()));
        clock.stop()
    });
    for (number, log) in (1..).zip(logs) {
        log.check(&pool, log.last);
        let last = log.last;
        log.storage.close().expect("it closes");
        Log::open(&folder.0, number, a.batch).check(&pool, last);
    }
    let (appends, percentiles) = latencies.summary();
    assert!(appends > 0, "nothing was appended within the window");
    let entries = appends * a.batch;
    let rate = json!({"seconds": a.seconds, "appends": appends, "per_second": entries as f64 / a.seconds, "cpu_seconds": elapsed.cpu_seconds});
    let settings = json!({"files": "fallocated segments of 64,000,000 bytes", "mark": "written after each sync", "writers": "a directory each"});
    (join([rate, percentiles]), join([settings, build()]))
}
