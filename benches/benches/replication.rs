//! Three nodes in one thread: 16 B, 128 B and 4 KiB, batches of 1, 16 and 256, proposals one by one or as one message.
// The macros make public functions.
#![allow(missing_docs, unreachable_pub)]

use benches::payload::payloads;
use benches::replication::{Cluster, Mode, Setup};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

/// Proposals between two compactions: payloads are built for one such stretch at a time, outside of the timing.
const STRETCH: u64 = 2_560;

fn replication(c: &mut Criterion) {
    for mode in [Mode::Single, Mode::AppendBatching, Mode::Multi] {
        let mut g = c.benchmark_group(format!("replication/{mode}"));
        g.throughput(Throughput::Elements(STRETCH));
        for payload in [16, 128, 4096] {
            for batch in [1, 16, 256] {
                let setup = Setup {
                    payload,
                    batch,
                    mode,
                    ..Setup::default()
                };
                let id = BenchmarkId::new(format!("{payload}B"), batch);
                let mut cluster = Cluster::new(setup);
                let mut next = 0;
                g.bench_function(id, |b| {
                    b.iter_batched(
                        || {
                            next += STRETCH;
                            payloads(next - STRETCH, next, payload)
                        },
                        |p| cluster.replicate(p),
                        BatchSize::PerIteration,
                    );
                });
                cluster.check(next);
            }
        }
        g.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = replication
}
criterion_main!(benches);
