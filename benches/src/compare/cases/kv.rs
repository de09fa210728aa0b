//! Replicated key-value stores, three processes each: kvexample, etcd's raftexample, etcd.

use super::{Bench, Case, Cores, Metric, PER_SECOND, Size, less};
use crate::compare::results::Record;
use crate::compare::targets::{Aim, Of, Target};
use std::fmt::Display;

/// As fast as the clients can, then at a share of each rival's best.
pub(super) const BENCH: Bench = Bench {
    name: "kv",
    what: "Three processes on loopback, fsync on, 256 B values; a write counts when its value can be read. kvexample, raftexample and etcd 3.6 under one and the same load, which shares the processors with the \
           three servers. raftexample answers before the commit, so its writers read until they see their value, and its servers' processor time holds these reads. At a given rate, latency counts from when a \
           write should have begun.",
    cores: Cores::Most,
    cases,
    targets: &[
        faster("writes a second, against raftexample", "raftexample"),
        faster("writes a second, against etcd", "etcd"),
        sooner(
            "p99 at 50 % and 80 % of raftexample's best, times lower",
            "raftexample",
        ),
        sooner("p99 at 50 % and 80 % of etcd's best, times lower", "etcd"),
        target(
            "one client's p50, of fdatasync with three processes syncing + two round trips",
            Aim::AtMost(1.5, "×"),
            Of::Figure {
                bench: "kv",
                key: "p50_of_bound",
                which: |r| !at_a_rate(r),
            },
        ),
    ],
};

const fn target(what: &'static str, aim: Aim, of: Of) -> Target {
    Target {
        id: "P7",
        what,
        aim,
        of,
    }
}

const fn faster(what: &'static str, rival: &'static str) -> Target {
    let of = Of::Ratio {
        bench: "kv",
        rival,
        key: "per_second",
        which: |r| !at_a_rate(r),
    };
    target(what, Aim::AtLeast(3.0, "×"), of)
}

const fn sooner(what: &'static str, rival: &'static str) -> Target {
    let of = Of::Ratio {
        bench: "kv",
        rival,
        key: "p99_us",
        which: at_a_rate,
    };
    target(what, Aim::AtLeast(2.0, "×"), of)
}

fn at_a_rate(r: &Record) -> bool {
    r.number("percent").is_some()
}

const ALL: &[&str] = &["kvexample", "raftexample", "etcd"];
const FIGURES: &[Metric] = &[
    PER_SECOND,
    less("p50_us", "µs p50"),
    less("p99_us", "µs p99"),
    less("p999_us", "µs p99.9"),
    less("max_us", "µs at most"),
    less(
        "server_cpu_us_per_op",
        "µs of the servers' processors a write",
    ),
];
const AT_A_RATE: &[Metric] = &[
    less("p50_us", "µs p50"),
    less("p99_us", "µs p99"),
    less("p999_us", "µs p99.9"),
    less("max_us", "µs at most"),
    less(
        "server_cpu_us_per_op",
        "µs of the servers' processors a write",
    ),
];

/// The closed loops leave what they reached in the folder for the open ones, so they come first.
fn cases(size: Size, dir: &str) -> Vec<Case> {
    let seconds = size.seconds().max(0.5);
    let case = |label: String, pairs: &[(&str, &dyn Display)]| {
        let shared: [(&str, &dyn Display); 2] = [("seconds", &seconds), ("dir", &dir)];
        let all: Vec<_> = pairs.iter().copied().chain(shared).collect();
        Case::new("kv", label, &all)
    };
    let counts: &[u64] = match size {
        Size::Smoke => &[64],
        Size::Short | Size::Whole => &[1, 64, 1024],
    };
    let mut cases = Vec::new();
    for &clients in counts {
        let label = format!("3 processes, {clients} writers");
        let case = case(label, &[("clients", &clients)]);
        let case = case.plotted("3 processes", "writers", clients);
        cases.push(case.metrics(FIGURES).drivers(ALL));
    }
    let rivals = [
        ("raftexample", &["kvexample", "raftexample"]),
        ("etcd", &["kvexample", "etcd"]),
    ];
    for (rival, both) in rivals {
        for percent in [50, 80] {
            let label = format!("3 processes at {percent} % of {rival}'s best");
            let pairs: &[(&str, &dyn Display)] =
                &[("clients", &512), ("percent", &percent), ("of", &rival)];
            cases.push(case(label, pairs).metrics(AT_A_RATE).drivers(both));
        }
    }
    cases
}
