//! raft-engine as its README and example drive it: batches of raft-rs entries, each written with `sync`, a log of its own for every
//! writer, and one queue in which concurrent writers share a sync.
#![forbid(unsafe_code)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Parser as _;
use peer_common::args::{Bench, Cli, Wal};
use peer_common::latency::Latencies;
use peer_common::payload::payload;
use peer_common::report::{Clock, Peer, build, join};
use raft_engine::{Config, Engine, LogBatch, MessageExt, ReadableSize};
use raft_proto::eraftpb::Entry;
use serde_json::{Value, json};

/// Payloads built before the clock starts; entry `i` carries number `i % POOL`.
const POOL: u64 = 1024;
/// Entries read at a time when the log is checked.
const CHUNK: u64 = 4096;
/// The part of the timed window that runs before it.
const WARMUP: f64 = 0.1;
/// What prefilling prepares.
const PREFILL: ReadableSize = ReadableSize::gb(1);

fn main() {
    let peer = Peer::from_lock("raft-engine", include_str!("../Cargo.lock"), "raft-engine");
    let bench = Cli::parse().bench;
    match &bench {
        Bench::Wal(a) => {
            let (figures, settings) = wal(a);
            peer.report(&bench, figures, settings);
        }
        _ => peer.unsupported(&bench, "raft-engine is a log on disk and nothing else"),
    }
}

#[derive(Clone)]
struct Entries;

impl MessageExt for Entries {
    type Entry = Entry;

    fn index(entry: &Entry) -> u64 {
        entry.index
    }
}

fn config(dir: &Path, prefill: bool) -> Config {
    Config {
        dir: dir.to_string_lossy().into_owned(),
        // Payloads are random: compressing them is only a loss.
        batch_compression_threshold: ReadableSize(0),
        enable_log_recycle: true,
        prefill_for_recycle: prefill,
        prefill_limit: prefill.then_some(PREFILL),
        ..Config::default()
    }
}

/// A folder that goes with its owner.
struct Folder(PathBuf);

impl Folder {
    fn new(inside: &Path) -> Self {
        let path = inside.join(format!("raft-engine-{}", std::process::id()));
        fs::create_dir_all(&path).expect("--dir can be written to");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left behind is only space.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Writes back what the engine has prepared, lest it disturb the timed window.
fn flush(dir: &Path) {
    for file in fs::read_dir(dir).expect("the folder exists") {
        let path = file.expect("the folder can be read").path();
        let synced = fs::File::open(path).and_then(|file| file.sync_all());
        synced.expect("files can be synced");
    }
}

fn wal(a: &Wal) -> (Value, Value) {
    let folder = Folder::new(&a.dir);
    let prefill = a.prefill.unwrap_or(true);
    let config = config(&folder.0, prefill);
    let engine = Engine::open(config.clone()).expect("the folder is new");
    flush(&folder.0);
    let pool: Vec<Bytes> = (0..POOL)
        .map(|i| payload(i, a.payload as usize).into())
        .collect();

    let length = Duration::from_secs_f64(a.seconds);
    let from = Instant::now() + length.mul_f64(WARMUP);
    let to = from + length;
    let latencies = Latencies::new(a.writers as usize);
    let start = Barrier::new(a.writers as usize);
    let mut elapsed = None;
    let written: Vec<u64> = thread::scope(|scope| {
        let writer = |number: u64| {
            let (engine, pool, latencies, start) = (&engine, &pool, &latencies, &start);
            scope.spawn(move || {
                start.wait();
                let mut log = Writer::new(engine, pool, number, a.batch);
                while Instant::now() < to {
                    let begin = Instant::now();
                    log.append();
                    if begin >= from && Instant::now() <= to {
                        latencies.record(number as usize, begin.elapsed());
                    }
                }
                log.last
            })
        };
        let writers: Vec<_> = (0..a.writers).map(writer).collect();
        thread::sleep(from.saturating_duration_since(Instant::now()));
        let clock = Clock::start();
        thread::sleep(to.saturating_duration_since(Instant::now()));
        elapsed = Some(clock.stop());
        let join =
            |writer: thread::ScopedJoinHandle<'_, u64>| writer.join().expect("writers write");
        writers.into_iter().map(join).collect()
    });
    check(&engine, &written, &pool);
    drop(engine);
    check(
        &Engine::open(config.clone()).expect("it recovers"),
        &written,
        &pool,
    );

    let (appends, percentiles) = latencies.summary();
    let per_second = appends as f64 / a.seconds;
    let figures = json!({
        "seconds": a.seconds,
        "operations": appends,
        "per_second": per_second,
        "entries_per_second": per_second * a.batch as f64,
        "cpu_seconds": elapsed.map(|elapsed| elapsed.cpu_seconds),
    });
    let settings = json!({
        "batch_compression_threshold": config.batch_compression_threshold.0,
        "target_file_size": config.target_file_size.0,
        "enable_log_recycle": config.enable_log_recycle,
        "prefill_for_recycle": config.prefill_for_recycle,
        "sync": "fdatasync on every write, shared by concurrent writers",
    });
    (join([figures, percentiles]), join([settings, build()]))
}

/// One thread's log: indexes from 1, `batch` entries an append.
struct Writer<'a> {
    engine: &'a Engine,
    pool: &'a [Bytes],
    region: u64,
    last: u64,
    entries: Vec<Entry>,
    batch: LogBatch,
}

impl<'a> Writer<'a> {
    fn new(engine: &'a Engine, pool: &'a [Bytes], number: u64, batch: u64) -> Self {
        let entry = Entry {
            term: 5,
            ..Entry::default()
        };
        Self {
            engine,
            pool,
            region: number + 1,
            last: 0,
            entries: vec![entry; batch as usize],
            batch: LogBatch::default(),
        }
    }

    fn append(&mut self) {
        for entry in &mut self.entries {
            self.last += 1;
            entry.index = self.last;
            entry.data = self.pool[(self.last % POOL) as usize].clone();
        }
        let added = self
            .batch
            .add_entries::<Entries>(self.region, &self.entries);
        added.expect("entries fit a batch");
        let written = self.engine.write(&mut self.batch, true);
        written.expect("the disk takes it");
    }
}

/// Panics unless the engine holds exactly what the writers wrote.
fn check(engine: &Engine, written: &[u64], pool: &[Bytes]) {
    for (region, &last) in (1..).zip(written) {
        assert!(last > 0, "writer {region} wrote nothing");
        assert_eq!(engine.first_index(region), Some(1));
        assert_eq!(engine.last_index(region), Some(last));
        let mut entries = Vec::new();
        for from in (1..=last).step_by(CHUNK as usize) {
            let to = (from + CHUNK).min(last + 1);
            entries.clear();
            let read = engine.fetch_entries_to::<Entries>(region, from, to, None, &mut entries);
            read.expect("what was written can be read");
            assert_eq!(entries.len() as u64, to - from);
            for (entry, index) in entries.iter().zip(from..) {
                assert_eq!(entry.index, index);
                assert!(
                    entry.data == pool[(index % POOL) as usize],
                    "entry {index} differs"
                );
            }
        }
    }
}
