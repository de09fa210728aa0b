//! The threaded Node.

use super::{Bench, Case, Cores, LATENCIES, Size, THREADED};
use crate::compare::results::Record;
use crate::compare::targets::{Aim, Of, Target};

/// The threaded Node, by nodes and proposals in flight.
pub(super) const BENCH: Bench = Bench {
    name: "node",
    what: "Threaded Nodes over a network in memory: so many proposals in flight, each until applied on the proposer's node. Ours: one proposer thread, which proposes together what is free; Go: as many goroutines, or, in \
           the cases `proposed together`, one that hands its Node a message of all that is free, as ours does. \
           Our nodes call their applications with each Ready; in the cases `Readies from a channel` a thread a node takes them from the channel, as Go's goroutines, which know no other way, do in both.",
    cores: Cores::Most,
    cases,
    targets: &[
        target(
            "threaded Node (ours calls the application), 64 and 1024 in flight, against etcd-io/raft 3.7",
            4.0,
            "per_second",
            many,
        ),
        target("p99 of these, times lower", 1.0, "p99_us", many),
        target(
            "one in flight (as above): p50 at most 1.5 × Go's, so Go's by ours",
            0.667,
            "p50_us",
            one,
        ),
        target(
            "the same with Readies from a channel: 64 and 1024 in flight",
            4.0,
            "per_second",
            many_by_channel,
        ),
        target("p99 of these, times lower", 1.0, "p99_us", many_by_channel),
        target(
            "one in flight, Readies from a channel: Go's p50 by ours",
            0.667,
            "p50_us",
            one_by_channel,
        ),
        target(
            "the first of these where Go, too, proposes together what is free",
            1.0,
            "per_second",
            many_together,
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
    !r.flag("channel") && r.number("window") == Some(1)
}

fn many(r: &Record) -> bool {
    !r.flag("channel") && !r.flag("together") && r.number("window") > Some(1)
}

fn one_by_channel(r: &Record) -> bool {
    r.flag("channel") && r.number("window") == Some(1)
}

fn many_by_channel(r: &Record) -> bool {
    r.flag("channel") && r.number("window") > Some(1)
}

fn many_together(r: &Record) -> bool {
    r.flag("together")
}

fn cases(size: Size, _: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    for (flag, how) in [
        (None, ""),
        (Some("--channel"), ", Readies from a channel"),
        (Some("--together"), ", proposed together"),
    ] {
        for nodes in [1, 3] {
            for window in [1, 64, 1024] {
                // One in flight has nothing to be together with.
                if (flag, window) != (Some("--together"), 1) {
                    cases.push(case(size, nodes, window, flag, how));
                }
            }
        }
    }
    cases
}

fn case(size: Size, nodes: u64, window: u64, flag: Option<&str>, how: &str) -> Case {
    let label = format!("{nodes} threaded nodes{how}, {window} in flight");
    let seconds = size.seconds();
    let arguments: [(&str, &dyn std::fmt::Display); 3] = [
        ("nodes", &nodes),
        ("window", &window),
        ("seconds", &seconds),
    ];
    let mut case = Case::new("node", label, &arguments)
        .plotted(
            format!("{nodes} threaded nodes{how}"),
            "proposals in flight",
            window,
        )
        .metrics(LATENCIES)
        .drivers(THREADED);
    case.arguments.extend(flag.map(Into::into));
    case
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::results::Measured;

    #[test]
    fn a_target_is_about_one_shape() {
        let cases = cases(Size::Short, "");
        let records = cases.iter().map(|c| Record::new(c, 2, Measured::default()));
        for r in records {
            let about =
                [one, many, one_by_channel, many_by_channel, many_together].map(|which| which(&r));
            assert_eq!(about.iter().filter(|a| **a).count(), 1, "{}", r.case);
            assert_eq!(about[2] || about[3], r.case.contains("channel"));
        }
    }
}
