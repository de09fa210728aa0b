//! The shape of etcd's BenchmarkOneNode.

use super::{Bench, Case, Cores, Size, THREADED};
use crate::compare::targets::{Aim, Of, Target};

/// One node whose Readys take a millisecond each.
pub(super) const BENCH: Bench = Bench {
    name: "onenode",
    what: "The shape of etcd's BenchmarkOneNode: one thread proposes, the other appends, sleeps a millisecond and advances.",
    cores: Cores::Most,
    cases,
    targets: &[Target {
        id: "P4",
        what: "etcd's OneNode bench, against etcd-io/raft 3.7",
        aim: Aim::AtLeast(1.5, "×"),
        of: Of::Ratio {
            bench: "onenode",
            rival: "etcd-io/raft 3.7",
            key: "per_second",
            which: |_| true,
        },
    }],
};

fn cases(size: Size, _: &str) -> Vec<Case> {
    let proposals = if size == Size::Smoke { 2_000 } else { 100_000 };
    let label = "BenchmarkOneNode, 1 ms a sync".into();
    vec![Case::new("onenode", label, &[("proposals", &proposals)]).drivers(THREADED)]
}
