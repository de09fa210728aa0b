//! Groups at rest.

use super::{Bench, Case, Cores, Metric, Size, less};
use crate::compare::results::Record;
use crate::compare::targets::{Aim, Of, Target};

/// Groups of three that only tick.
pub(super) const BENCH: Bench = Bench {
    name: "idle",
    what: "Groups of three nodes in one thread that only tick, with Ready and delivery.",
    cores: Cores::Fewest,
    cases,
    targets: &[
        target(
            "10,000 idle groups: a group and tick, a heartbeat each tick",
            Aim::AtMost(1000.0, " ns"),
            "ns_per_group_tick",
            |r| large(r) && r.number("heartbeat") == Some(1),
        ),
        target(
            "the same, a heartbeat each ten ticks",
            Aim::AtMost(100.0, " ns"),
            "ns_per_group_tick",
            |r| large(r) && r.number("heartbeat") == Some(10),
        ),
        target(
            "memory a group beyond its logs",
            Aim::AtMost(4096.0, " B"),
            "beyond_log_bytes",
            large,
        ),
    ],
};

const fn target(
    what: &'static str,
    aim: Aim,
    key: &'static str,
    which: fn(&Record) -> bool,
) -> Target {
    Target {
        id: "P8",
        what,
        aim,
        of: Of::Figure {
            bench: "idle",
            key,
            which,
        },
    }
}

/// Few groups fit into the cache.
fn large(r: &Record) -> bool {
    r.number("groups") >= Some(10_000)
}

const IDLE: &[Metric] = &[
    less("ns_per_group_tick", "ns a group and tick"),
    less("resident_bytes_per_group", "B a group"),
];

fn cases(size: Size, _: &str) -> Vec<Case> {
    let (groups, ticks) = match size {
        Size::Smoke => (100, 20),
        Size::Short => (2_000, 200),
        Size::Whole => (10_000, 200),
    };
    let case = |heartbeat: u64| {
        let label = format!("{groups} idle groups, heartbeat {heartbeat}");
        Case::new(
            "idle",
            label,
            &[
                ("groups", &groups),
                ("heartbeat", &heartbeat),
                ("ticks", &ticks),
            ],
        )
        .metrics(IDLE)
    };
    [1, 10].map(case).into()
}
