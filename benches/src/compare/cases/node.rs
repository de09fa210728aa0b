//! The threaded Node.

use super::{Bench, Case, Cores, LATENCIES, Size, THREADED};
use crate::compare::results::Record;
use crate::compare::targets::{Aim, Of, Target};

/// The threaded Node, by nodes and proposals in flight.
pub(super) const BENCH: Bench = Bench {
    name: "node",
    what: "Threaded Nodes over a network in memory: so many proposals in flight, each until applied on the proposer's node. Ours: one proposer thread; Go: as many goroutines.",
    cores: Cores::Most,
    cases,
    targets: &[
        target(
            "threaded Node, 64 and 1024 in flight, against etcd-io/raft 3.7",
            4.0,
            "per_second",
            many,
        ),
        target("p99 of these, times lower", 1.0, "p99_us", many),
        target(
            "one in flight: p50 at most 1.5 × Go's, so Go's by ours",
            0.667,
            "p50_us",
            one,
        ),
    ],
};

const fn target(
    what: &'static str,
    aim: f64,
    key: &'static str,
    which: fn(&Record) -> bool,
) -> Target {
    Target {
        id: "P4",
        what,
        aim: Aim::AtLeast(aim, "×"),
        of: Of::Ratio {
            bench: "node",
            rival: "etcd-io/raft 3.7",
            key,
            which,
        },
    }
}

fn one(r: &Record) -> bool {
    r.number("window") == Some(1)
}

fn many(r: &Record) -> bool {
    !one(r)
}

fn cases(size: Size, _: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    for nodes in [1, 3] {
        for window in [1, 64, 1024] {
            let label = format!("{nodes} threaded nodes, {window} in flight");
            let seconds = size.seconds();
            let arguments: [(&str, &dyn std::fmt::Display); 3] = [
                ("nodes", &nodes),
                ("window", &window),
                ("seconds", &seconds),
            ];
            let case = Case::new("node", label, &arguments)
                .plotted(
                    format!("{nodes} threaded nodes"),
                    "proposals in flight",
                    window,
                )
                .metrics(LATENCIES)
                .drivers(THREADED);
            cases.push(case);
        }
    }
    cases
}
