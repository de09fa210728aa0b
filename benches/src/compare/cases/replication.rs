//! Replication in one thread.

use super::{Bench, CORE, Case, Cores, IN_RUST, Metric, PER_SECOND, Size, less};
use crate::compare::results::Record;
use crate::compare::targets::{Aim, Of, Target};

/// Proposals in one thread, by payload, batch, mode and nodes.
pub(super) const BENCH: Bench = Bench {
    name: "replication",
    what: "All nodes in one thread: propose B entries, then pass over the nodes until all have applied all. `single`: a proposal at a time; `append-batching`: \
           MsgApps to a peer merged; `multi`: one proposal message; `wire`: every message encoded and decoded.",
    cores: Cores::Each,
    cases,
    targets: &[
        against_raft_rs(
            "`single`, 3 nodes, 16 B and 128 B, against raft-rs",
            3.0,
            |r| of_three(r, "single", 1),
        ),
        against_raft_rs("`append-batching`, the same (B ≥ 16)", 6.0, |r| {
            of_three(r, "append-batching", 16)
        }),
        against_raft_rs("`multi`, the same (B ≥ 16)", 5.0, |r| {
            of_three(r, "multi", 16)
        }),
        against_raft_rs("with `wire`, the same", 2.0, |r| {
            r.flag("wire") && r.number("nodes") == Some(3) && r.number("payload") < Some(4096)
        }),
        against_raft_rs("5 nodes, against raft-rs", 3.0, |r| {
            r.number("nodes") == Some(5)
        }),
        against_raft_rs("1 node, against raft-rs", 2.0, |r| {
            r.number("nodes") == Some(1)
        }),
        against_raft_rs("4 KiB, against raft-rs", 1.3, |r| {
            r.number("payload") == Some(4096) && !r.flag("wire")
        }),
        against_etcd(
            "`single`, 3 nodes, 16 B and 128 B, against etcd-io/raft 3.7",
            |r| of_three(r, "single", 1),
        ),
        against_etcd("`multi`, the same", |r| of_three(r, "multi", 1)),
    ],
};

const fn ahead(
    what: &'static str,
    aim: f64,
    rival: &'static str,
    which: fn(&Record) -> bool,
) -> Target {
    Target {
        id: "P1",
        what,
        aim: Aim::AtLeast(aim, "×"),
        of: Of::Ratio {
            bench: "replication",
            rival,
            key: "per_second",
            which,
        },
    }
}

const fn against_raft_rs(what: &'static str, aim: f64, which: fn(&Record) -> bool) -> Target {
    ahead(what, aim, "raft-rs", which)
}

const fn against_etcd(what: &'static str, which: fn(&Record) -> bool) -> Target {
    ahead(what, 8.0, "etcd-io/raft 3.7", which)
}

/// Three nodes with small payloads in one mode, from a batch on, without `wire`.
fn of_three(r: &Record, mode: &str, batch: u64) -> bool {
    r.number("nodes") == Some(3)
        && r.number("payload") < Some(4096)
        && r.argument("mode") == Some(mode)
        && r.number("batch") >= Some(batch)
        && !r.flag("wire")
}

const ON_WIRE: &[Metric] = &[
    PER_SECOND,
    less("messages_per_proposal", "messages a proposal"),
    less("bytes_per_proposal", "B on the wire a proposal"),
];

fn cases(size: Size, _: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    let modes = [
        ("single", CORE),
        ("append-batching", IN_RUST),
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
                        cases.push(case(size, 3, payload, mode, batch, wire).drivers(drivers));
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
                cases.push(case(size, nodes, payload, mode, batch, false));
            }
        }
    }
    cases
}

fn case(size: Size, nodes: u64, payload: u64, mode: &str, batch: u64, wire: bool) -> Case {
    let (proposals, warmup) = match size {
        Size::Smoke => (2_000, 200),
        Size::Short => (100_000, 10_000),
        Size::Whole => (200_000, 20_000),
    };
    let on_wire = if wire { ", wire" } else { "" };
    let series = format!("{nodes} nodes, {payload} B, {mode}{on_wire}");
    let mut case = Case::new(
        "replication",
        format!("{nodes} nodes, {payload} B, {mode}, B={batch}{on_wire}"),
        &[
            ("nodes", &nodes),
            ("payload", &payload),
            ("mode", &mode),
            ("batch", &batch),
            ("proposals", &proposals),
            ("warmup", &warmup),
        ],
    );
    if wire {
        case.arguments.push("--wire".into());
    }
    // Only Go's collector has work for a second processor: what is encoded, and what is large, is measured on one.
    if wire {
        case = case.metrics(ON_WIRE);
    }
    case.fewest = wire || payload == 4096;
    if payload == 128 || !wire {
        case = case.plotted(series, "proposals a batch", batch);
    }
    case
}
