//! Opening a long log, reading it out and compacting it.

use crate::Failed;
use crate::process::{Peak, Watch};
use benches::payload::{MIN_SIZE, payload};
use std::path::Path;
use storage_wal::raftpb::{Entries, Entry, HardState};
use storage_wal::storage::{Storage, Write, Writer};
use storage_wal::{DiskOptions, DiskStorage, Options};

const MIB: u64 = 1 << 20;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Payload bytes in the log.
    #[arg(long, default_value_t = 1024)]
    mib: u64,
    /// Bytes a payload.
    #[arg(long, default_value_t = 256)]
    payload: usize,
    /// The cache of entries.
    #[arg(long, default_value_t = 64)]
    cache_mib: u64,
    /// How often it is opened.
    #[arg(long, default_value_t = 3)]
    times: u64,
}

pub(crate) fn options(cache_mib: u64) -> DiskOptions {
    let wal = Options {
        cache_bytes: cache_mib * MIB,
        reserve: 0,
        ..Options::default()
    };
    DiskOptions {
        node_id: 1,
        cluster_id: 1,
        wal,
        ..DiskOptions::default()
    }
}

/// Appends so much payload, a MiB at a time. Returns the last index.
pub(crate) fn fill(
    store: &mut DiskStorage,
    mib: u64,
    size: usize,
    term: u64,
) -> Result<u64, Failed> {
    let size = size.max(MIN_SIZE);
    let per_write = (MIB / size as u64).max(1);
    let mut index = store.last_index()?;
    for _ in 0..mib {
        let entries: Entries = (index + 1..=index + per_write)
            .map(|i| Entry::new(term, i, payload(i, size)))
            .collect();
        index += per_write;
        store.append(&Write {
            entries,
            hard_state: Some(HardState {
                term,
                vote: 1,
                commit: index,
            }),
            ..Write::default()
        })?;
        store.sync()?;
    }
    Ok(index)
}

pub(crate) fn run(dir: &Path, a: &Args) -> Result<(), Failed> {
    let (mut store, _) = DiskStorage::open(dir, options(a.cache_mib))?;
    let last = fill(&mut store, a.mib, a.payload, 1)?;
    store.close()?;
    println!(
        "{} MiB in {last} entries of {} bytes; cache {} MiB",
        a.mib, a.payload, a.cache_mib
    );
    Ok(())
}

pub(crate) fn measure(dir: &Path, a: &Args) -> Result<(), Failed> {
    for n in 1..=a.times {
        let (watch, peak) = (Watch::start(), Peak::watch());
        let (mut store, report) = DiskStorage::open(dir, options(a.cache_mib))?;
        let (wall, cpu) = watch.read();
        println!(
            "opened in {wall:.2?} ({cpu:.2?} of processor time): {} records; memory + {} MiB",
            report.recovered.read.0,
            peak.mib()
        );
        let last = store.last_index()?;
        let watch = Watch::start();
        let pages = send_all(&store, last)?;
        let (wall, cpu) = watch.read();
        println!(
            "read out in {pages} pages of 1 MiB in {wall:.2?} ({cpu:.2?}); memory + {} MiB",
            peak.mib()
        );
        if n == a.times {
            store.compact(last - 10)?;
            println!("compacted; memory + {} MiB", peak.mib());
        }
    }
    Ok(())
}

/// Reads everything as a lagging follower is sent it. Returns how many pages that took.
fn send_all(store: &DiskStorage, last: u64) -> Result<u64, Failed> {
    let (mut at, mut pages) = (store.first_index()?, 0);
    while at <= last {
        at += store.entries(at, last + 1, MIB)?.len() as u64;
        pages += 1;
    }
    Ok(pages)
}
