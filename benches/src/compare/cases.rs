//! The cases that are compared.

mod transport;

use crate::compare::drivers::Driver;
use std::fmt;

/// What a case's figure means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its name in the driver's answer.
    pub key: &'static str,
    /// How it reads.
    pub unit: &'static str,
    /// Whether more of it is better.
    pub more_is_better: bool,
}

const PER_SECOND: Metric = Metric {
    key: "per_second",
    unit: "/s",
    more_is_better: true,
};

const fn less(key: &'static str, unit: &'static str) -> Metric {
    Metric {
        key,
        unit,
        more_is_better: false,
    }
}

const LATENCIES: &[Metric] = &[
    PER_SECOND,
    less("p50_us", "µs p50"),
    less("p99_us", "µs p99"),
];
const IDLE: &[Metric] = &[
    less("ns_per_group_tick", "ns a group and tick"),
    less("resident_bytes_per_group", "B a group"),
];
const CODEC: &[Metric] = &[
    less("encode_ns", "ns encode"),
    less("decode_ns", "ns decode"),
];

/// One command line that several drivers are given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// The bench: `replication`, `node` ...
    pub bench: &'static str,
    /// What tables call it.
    pub label: String,
    /// Where it stands in a plot: the group and the position on the axis.
    pub series: (String, u64),
    /// The arguments.
    pub arguments: Vec<String>,
    /// The figures that are compared, the first of them plotted.
    pub metrics: &'static [Metric],
    /// Who takes part, by name.
    pub drivers: &'static [&'static str],
}

impl Case {
    /// Whether a driver takes part.
    #[must_use]
    pub fn has(&self, driver: &Driver) -> bool {
        self.drivers.contains(&driver.name)
    }
}

/// How much work a comparison does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// A few seconds in all: does it run? Its figures mean nothing.
    Smoke,
    /// The rows of the README's table.
    Short,
    /// Everything.
    Whole,
}

const CORE: &[&str] = &[
    "tickraft",
    "raft-rs",
    "etcd-io/raft 3.7",
    "etcd-io/raft 3.6",
];
const BATCHING: &[&str] = &["tickraft", "raft-rs"];
const THREADED: &[&str] = &["tickraft", "etcd-io/raft 3.7", "etcd-io/raft 3.6"];
const CLIENTS: &[&str] = &["tickraft", "openraft", "openraft alpha"];
const LOGS: &[&str] = &["tickraft", "raft-engine"];

fn arguments(bench: &str, pairs: &[(&str, &dyn fmt::Display)]) -> Vec<String> {
    let mut all = vec![bench.to_owned()];
    for (name, value) in pairs {
        all.extend([format!("--{name}"), value.to_string()]);
    }
    all
}

/// All cases of a size. `dir` is where logs on disk are written.
#[must_use]
pub fn all(size: Size, dir: &str) -> Vec<Case> {
    let mut cases = replication(size);
    cases.extend(node(size));
    cases.extend(clients(size));
    cases.extend(idle(size));
    cases.extend(codec());
    cases.extend(wal(size, dir));
    cases.extend(transport::transport(size));
    cases
}

fn replication(size: Size) -> Vec<Case> {
    let mut cases = Vec::new();
    let modes = [
        ("single", CORE),
        ("append-batching", BATCHING),
        ("multi", CORE),
    ];
    let payloads: &[u64] = match size {
        Size::Smoke => &[128],
        Size::Short => &[16, 128],
        Size::Whole => &[16, 128, 4096],
    };
    for &payload in payloads {
        for (mode, drivers) in modes {
            for batch in [1, 16, 256] {
                for wire in [false, true] {
                    let in_short = !wire || batch == 16;
                    if size == Size::Whole || in_short {
                        cases.push(replicate(size, 3, payload, mode, batch, wire, drivers));
                    }
                }
            }
        }
    }
    let others: &[(u64, u64, u64)] = match size {
        Size::Smoke => &[],
        Size::Short | Size::Whole => &[(5, 128, 16), (1, 128, 256), (3, 4096, 16)],
    };
    for &(nodes, payload, batch) in others {
        for mode in ["single", "multi"] {
            if (nodes, payload) != (3, 4096) || size == Size::Short {
                cases.push(replicate(size, nodes, payload, mode, batch, false, CORE));
            }
        }
    }
    cases
}

fn replicate(
    size: Size,
    nodes: u64,
    payload: u64,
    mode: &str,
    batch: u64,
    wire: bool,
    drivers: &'static [&'static str],
) -> Case {
    let (proposals, warmup) = match size {
        Size::Smoke => (2_000, 200),
        Size::Short => (100_000, 10_000),
        Size::Whole => (200_000, 20_000),
    };
    let mut args = arguments(
        "replication",
        &[
            ("nodes", &nodes),
            ("payload", &payload),
            ("mode", &mode),
            ("batch", &batch),
            ("proposals", &proposals),
            ("warmup", &warmup),
        ],
    );
    let on_wire = if wire { ", wire" } else { "" };
    if wire {
        args.push("--wire".into());
    }
    Case {
        bench: "replication",
        label: format!("{nodes} nodes, {payload} B, {mode}, B={batch}{on_wire}"),
        series: (
            format!("{nodes} nodes, {payload} B, {mode}{on_wire}"),
            batch,
        ),
        arguments: args,
        metrics: &[PER_SECOND],
        drivers,
    }
}

fn seconds(size: Size) -> f64 {
    match size {
        Size::Smoke => 0.2,
        Size::Short => 1.0,
        Size::Whole => 5.0,
    }
}

fn node(size: Size) -> Vec<Case> {
    let mut cases = Vec::new();
    for nodes in [1, 3] {
        for window in [1, 64, 1024] {
            cases.push(Case {
                bench: "node",
                label: format!("{nodes} threaded nodes, {window} in flight"),
                series: (format!("{nodes} threaded nodes"), window),
                arguments: arguments(
                    "node",
                    &[
                        ("nodes", &nodes),
                        ("window", &window),
                        ("seconds", &seconds(size)),
                    ],
                ),
                metrics: LATENCIES,
                drivers: THREADED,
            });
        }
    }
    let proposals = if size == Size::Smoke { 2_000 } else { 100_000 };
    cases.push(Case {
        bench: "onenode",
        label: "BenchmarkOneNode, 1 ms a sync".into(),
        series: ("BenchmarkOneNode".into(), 1),
        arguments: arguments("onenode", &[("proposals", &proposals)]),
        metrics: &[PER_SECOND],
        drivers: THREADED,
    });
    cases
}

fn clients(size: Size) -> Vec<Case> {
    let counts: &[u64] = match size {
        Size::Smoke => &[64],
        Size::Short | Size::Whole => &[1, 64, 1024, 4096],
    };
    let case = |&clients: &u64| Case {
        bench: "clients",
        label: format!("3 nodes, {clients} clients"),
        series: ("3 nodes, clients".into(), clients),
        arguments: arguments(
            "clients",
            &[("clients", &clients), ("seconds", &seconds(size))],
        ),
        metrics: LATENCIES,
        drivers: CLIENTS,
    };
    counts.iter().map(case).collect()
}

fn idle(size: Size) -> Vec<Case> {
    let (groups, ticks) = match size {
        Size::Smoke => (100, 20),
        Size::Short => (2_000, 200),
        Size::Whole => (10_000, 200),
    };
    let case = |heartbeat: u64| Case {
        bench: "idle",
        label: format!("{groups} idle groups, heartbeat {heartbeat}"),
        series: ("idle groups".into(), heartbeat),
        arguments: arguments(
            "idle",
            &[
                ("groups", &groups),
                ("heartbeat", &heartbeat),
                ("ticks", &ticks),
            ],
        ),
        metrics: IDLE,
        drivers: CORE,
    };
    [1, 10].map(case).into()
}

fn codec() -> Vec<Case> {
    let case = |entries: u64| Case {
        bench: "codec",
        label: format!("MsgApp of {entries} × 128 B"),
        series: ("MsgApp of 128 B entries".into(), entries),
        arguments: arguments("codec", &[("entries", &entries)]),
        metrics: CODEC,
        drivers: CORE,
    };
    [16, 256].map(case).into()
}

fn wal(size: Size, dir: &str) -> Vec<Case> {
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
            cases.push(Case {
                bench: "wal",
                label: format!("log, {payload} B × {batch}, {writers} writers"),
                series: (format!("log, {payload} B, {writers} writers"), batch),
                arguments: arguments(
                    "wal",
                    &[
                        ("payload", &payload),
                        ("batch", &batch),
                        ("writers", &writers),
                        ("seconds", &seconds(size)),
                        ("dir", &dir),
                    ],
                ),
                metrics: LATENCIES,
                drivers: LOGS,
            });
        }
    }
    cases
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::drivers::DRIVERS;

    #[test]
    fn labels_are_unique_and_drivers_exist() {
        for size in [Size::Smoke, Size::Short, Size::Whole] {
            let cases = all(size, "/nowhere");
            let mut labels: Vec<_> = cases.iter().map(|c| &c.label).collect();
            labels.sort();
            labels.dedup();
            assert_eq!(labels.len(), cases.len());
            for case in &cases {
                for name in case.drivers {
                    assert!(DRIVERS.iter().any(|d| d.name == *name), "{name}");
                }
                assert_eq!(case.drivers[0], DRIVERS[0].name, "ratios are towards ours");
            }
        }
    }
}
