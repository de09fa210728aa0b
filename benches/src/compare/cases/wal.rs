//! The log on disk, against raft-engine.

use super::{Bench, CPU, Case, Cores, LATENCIES, Metric, PER_SECOND, Size, less, more};
use crate::compare::targets::{Aim, Of, Target};

/// Appends with a sync each, by payload, batch and writers.
pub(super) const BENCH: Bench = Bench {
    name: "wal",
    what: "Appends to a log on disk with a sync each. Ours keeps a directory for each writer, raft-engine one for all.",
    cores: Cores::Most,
    cases,
    targets: &[
        Target {
            id: "P5",
            what: "append with sync, 1 and 16 writers, against raft-engine",
            aim: Aim::AtLeast(1.0, "×"),
            of: Of::Ratio {
                bench: "wal",
                rival: "raft-engine",
                key: "per_second",
                which: |_| true,
            },
        },
        Target {
            id: "P5",
            what: "append with sync, against one write and fdatasync of the same bytes, 1 writer",
            aim: Aim::AtLeast(0.9, "×"),
            of: Of::Figure {
                bench: "wal",
                key: "of_bare",
                which: |_| true,
            },
        },
    ],
};

/// What is measured with one writer: also how fast the same batches are beside bare writes of the same bytes.
const ALONE: &[Metric] = &[
    PER_SECOND,
    less("p50_us", "µs p50"),
    less("p99_us", "µs p99"),
    less("p999_us", "µs p99.9"),
    less("max_us", "µs at most"),
    less(CPU, "µs of processors each"),
    more("of_bare", "of a bare write's speed"),
];

const LOGS: &[&str] = &["tickraft", "raft-engine"];

fn cases(size: Size, dir: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    let payloads: &[u64] = if size == Size::Smoke {
        &[128]
    } else {
        &[128, 4096]
    };
    for &payload in payloads {
        for (batch, writers) in [(1, 1), (16, 1), (256, 1), (1, 16), (16, 16)] {
            if size != Size::Whole && writers > 1 && payload > 128 {
                continue;
            }
            let case = Case::new(
                "wal",
                format!("log, {payload} B × {batch}, {writers} writers"),
                &[
                    ("payload", &payload),
                    ("batch", &batch),
                    ("writers", &writers),
                    ("seconds", &size.seconds()),
                    ("dir", &dir),
                ],
            );
            let series = format!("log, {payload} B, {writers} writers");
            cases.push(
                case.plotted(series, "entries a sync", batch)
                    .metrics(if writers == 1 { ALONE } else { LATENCIES })
                    .drivers(LOGS),
            );
        }
    }
    cases
}
