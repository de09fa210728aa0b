//! What a batch costs the log besides the disk: encoding, bookkeeping, and the calls, into files that take everything and keep nothing of it.
// The macros make public functions.
#![allow(missing_docs, unreachable_pub)]

use benches::around::{Around, AroundFs};
use benches::payload::payload;
use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rawnode::raftpb::{Entries, Entry};
use rawnode::storage::{Write, Writer};
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use storage_wal::vfs::VfsFile;
use storage_wal::{DiskOptions, DiskStorage};

/// Around files: they ignore what is written and are never synced.
#[derive(Debug)]
struct Discard;

#[derive(Debug)]
struct Ignores(Box<dyn VfsFile>);

impl Around for Discard {
    fn file(&self, _: &Path, file: Box<dyn VfsFile>) -> Box<dyn VfsFile> {
        Box::new(Ignores(file))
    }
    fn syncs_dirs(&self) -> bool {
        false
    }
}

impl VfsFile for Ignores {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buf, offset)
    }
    fn write_at(&self, buf: &[u8], _: u64) -> io::Result<usize> {
        Ok(buf.len())
    }
    fn gathers(&self) -> bool {
        self.0.gathers()
    }
    fn write_vectored_at(&self, parts: &[IoSlice<'_>], _: u64) -> io::Result<usize> {
        Ok(parts.iter().map(|p| p.len()).sum())
    }
    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
    fn allocate(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }
    fn try_lock(&self) -> io::Result<bool> {
        self.0.try_lock()
    }
}

/// Payloads, as many as the drivers of the comparison have.
const POOL: u64 = 1024;

fn append(c: &mut Criterion) {
    let mut g = c.benchmark_group("wal");
    for (size, batch) in [
        (128, 1),
        (128, 16),
        (128, 256),
        (4096, 1),
        (4096, 16),
        (4096, 256),
    ] {
        let pool: Vec<Bytes> = (0..POOL).map(|i| payload(i, size).into()).collect();
        let dir = tempfile::tempdir().expect("a directory");
        let mut options = DiskOptions {
            node_id: 1,
            cluster_id: 1,
            ..DiskOptions::default()
        };
        (options.wal.vfs, options.wal.reserve) = (Arc::new(AroundFs(Discard)), 0);
        let (mut log, _) = DiskStorage::open(dir.path(), options).expect("the folder opens");
        let mut last = 0;
        let mut timed = |n: u64| {
            let mut took = Duration::ZERO;
            for _ in 0..n {
                let entries: Entries = (last + 1..=last + batch)
                    .map(|i| Entry::new(1, i, pool[(i % POOL) as usize].clone()))
                    .collect();
                last += batch;
                let write = Write {
                    entries,
                    must_sync: true,
                    ..Write::default()
                };
                let begin = Instant::now();
                log.append(&write).expect("there is room");
                log.sync().expect("there is room");
                took += begin.elapsed();
            }
            took
        };
        g.throughput(Throughput::Elements(batch));
        g.bench_function(BenchmarkId::new(format!("{size}"), batch), |b| {
            b.iter_custom(&mut timed)
        });
    }
    g.finish();
}

criterion_group!(benches, append);
criterion_main!(benches);
