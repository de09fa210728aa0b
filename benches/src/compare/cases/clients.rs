//! Clients that wait for each answer, against openraft.

use super::{Bench, Case, Cores, LATENCIES, Size};
use crate::compare::targets::{Aim, Of, Target};

/// Clients of a cluster of three, each with one command at a time.
pub(super) const BENCH: Bench = Bench {
    name: "clients",
    what: "Three nodes in one process: clients that each wait for their command before the next. openraft's are tasks; ours are proposals in flight on the threaded Node.",
    cores: Cores::Most,
    cases,
    targets: &[
        target(
            "three nodes, against openraft",
            2.0,
            "openraft",
            "per_second",
        ),
        target("p99 of it, times lower", 1.0, "openraft", "p99_us"),
        target(
            "three nodes, against openraft's alpha",
            2.0,
            "openraft alpha",
            "per_second",
        ),
        target("p99 of it, times lower", 1.0, "openraft alpha", "p99_us"),
    ],
};

const fn target(what: &'static str, aim: f64, rival: &'static str, key: &'static str) -> Target {
    Target {
        id: "P4",
        what,
        aim: Aim::AtLeast(aim, "×"),
        of: Of::Ratio {
            bench: "clients",
            rival,
            key,
            which: |_| true,
        },
    }
}

const CLIENTS: &[&str] = &["tickraft", "openraft", "openraft alpha"];

fn cases(size: Size, _: &str) -> Vec<Case> {
    let counts: &[u64] = match size {
        Size::Smoke => &[64],
        Size::Short | Size::Whole => &[1, 64, 1024, 4096],
    };
    let case = |&clients: &u64| {
        let label = format!("3 nodes, {clients} clients");
        Case::new(
            "clients",
            label,
            &[("clients", &clients), ("seconds", &size.seconds())],
        )
        .plotted("3 nodes, clients", "clients", clients)
        .metrics(LATENCIES)
        .drivers(CLIENTS)
    };
    counts.iter().map(case).collect()
}
