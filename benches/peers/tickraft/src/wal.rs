//! The log on disk: writers that each append a batch to a log of their own and sync, one after another. Each log is a directory, as each node has one.

use benches::bare::{Bare, median};
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

/// What is filled with zeros before the clock starts, of all writers together: the first segment of each and its spares. As much as raft-engine's driver prepares.
const PREFILL: u64 = 1_024_000_000;
/// The size of a segment where many writers share that, and one's share is not a segment of the usual size and more.
const SMALL_SEGMENT: u64 = 16_000_000;

fn options(number: u64, a: &Wal) -> DiskOptions {
    let mut options = DiskOptions {
        node_id: number,
        cluster_id: 1,
        ..DiskOptions::default()
    };
    if a.prefill.unwrap_or(true) {
        let wal = &mut options.wal;
        let share = PREFILL / a.writers;
        if share < 2 * wal.segment_size {
            wal.segment_size = SMALL_SEGMENT;
        }
        wal.spares = usize::try_from((share / wal.segment_size).saturating_sub(1))
            .expect("a number of files");
        // Not within the run: it would share the disk with what is measured.
        wal.spare_after = None;
    }
    options
}

struct Log {
    storage: DiskStorage,
    last: u64,
    batch: u64,
}

impl Log {
    fn open(dir: &Path, options: DiskOptions, batch: u64) -> Self {
        let dir = dir.join(options.node_id.to_string());
        let (storage, _) = DiskStorage::open(&dir, options).expect("the folder opens");
        Self {
            storage,
            last: 0,
            batch,
        }
    }

    /// The entries that come next.
    fn next(&mut self, pool: &[Bytes]) -> Write {
        let entry = |i: u64| Entry::new(1, i, pool[(i % POOL) as usize].clone());
        let entries: Entries = (self.last + 1..=self.last + self.batch)
            .map(entry)
            .collect();
        self.last += self.batch;
        Write {
            entries,
            must_sync: true,
            ..Write::default()
        }
    }

    fn append(&mut self, write: &Write) {
        self.storage.append(write).expect("there is room");
        self.storage.sync().expect("there is room");
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

/// One writer's batches in turn with bare writes of as many bytes, in blocks of so many; the fewest rounds.
const BLOCK: usize = 200;
const ROUNDS: usize = 3;

/// Against one write of exactly as many bytes and one fdatasync, into a file that was reserved and one that was filled with zeros and synced: the faster counts.
fn against_bare(dir: &Path, a: &Wal, pool: &[Bytes]) -> Value {
    let mut log = Log::open(dir, options(a.writers + 1, a), a.batch);
    let len = DiskOptions::default().wal.segment_size;
    let mut bare = [("reserved", false), ("zeroed", true)].map(|(name, zeroed)| {
        Bare::create(&dir.join(name), len, zeroed).expect("--dir can be written to")
    });
    let began = Instant::now();
    let (mut all, mut ratios) = ([vec![], vec![], vec![]], vec![]);
    let (mut content, mut number) = (Vec::new(), 0);
    while ratios.len() < ROUNDS || began.elapsed().as_secs_f64() < a.seconds {
        let mut block = [vec![], vec![], vec![]];
        for _ in 0..BLOCK {
            let before = log.storage.stats().wal_write_bytes;
            // The bare files' bytes are there before the clock starts, too.
            let write = log.next(pool);
            let begin = Instant::now();
            log.append(&write);
            block[0].push(begin.elapsed());
            let bytes = log.storage.stats().wal_write_bytes - before;
            if content.len() as u64 != bytes {
                number += 1;
                content = payload(number, usize::try_from(bytes).expect("a batch fits memory"));
            }
        }
        for (file, times) in bare.iter_mut().zip(&mut block[1..]) {
            for _ in 0..BLOCK {
                times.push(file.write(&content).expect("there is room"));
            }
        }
        ratios.push(ratio(&block));
        all.iter_mut()
            .zip(block)
            .for_each(|(all, one)| all.extend(one));
    }
    ratios.sort_by(f64::total_cmp);
    let micros = |times: &[Duration]| median(times).as_secs_f64() * 1e6;
    json!({
        "of_bare": ratio(&all),
        "of_bare_blocks": [ratios.first(), ratios.last()],
        "batch_bytes": content.len(),
        "in_turn_us": {"ours": micros(&all[0]), "reserved": micros(&all[1]), "zeroed": micros(&all[2])},
    })
}

/// The faster bare median over ours.
fn ratio([ours, reserved, zeroed]: &[Vec<Duration>; 3]) -> f64 {
    median(reserved).min(median(zeroed)).as_secs_f64() / median(ours).as_secs_f64()
}

pub(crate) fn run(a: &Wal) -> (Value, Value) {
    let folder = Folder(a.dir.join(format!("tickraft-{}", std::process::id())));
    fs::create_dir_all(&folder.0).expect("--dir can be written to");
    let pool: Vec<Bytes> = (0..POOL)
        .map(|i| payload(i, a.payload as usize).into())
        .collect();
    let length = Duration::from_secs_f64(a.seconds);
    let mut logs: Vec<Log> = (0..a.writers)
        .map(|n| Log::open(&folder.0, options(n + 1, a), a.batch))
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
                    let write = log.next(pool);
                    log.append(&write);
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
        let mut again = options(number, a);
        again.wal.spares = 0;
        Log::open(&folder.0, again, a.batch).check(&pool, last);
    }
    let (appends, percentiles) = latencies.summary();
    assert!(appends > 0, "nothing was appended within the window");
    let per_second = appends as f64 / a.seconds;
    let rate = json!({
        "seconds": a.seconds,
        "operations": appends,
        "per_second": per_second,
        "entries_per_second": per_second * a.batch as f64,
        "cpu_seconds": elapsed.cpu_seconds,
    });
    let bare = match a.writers {
        1 => against_bare(&folder.0, a, &pool),
        _ => json!({}),
    };
    let wal = options(1, a).wal;
    let settings = json!({"segment_bytes": wal.segment_size, "files": "fallocated", "zero_filled_spares_per_writer": wal.spares, "mark": "written after each sync", "writers": "a directory each"});
    (join([rate, percentiles, bare]), join([settings, build()]))
}
