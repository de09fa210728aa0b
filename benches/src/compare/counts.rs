//! Targets about what is counted, not timed: they are read from the records of the counting tools.

use crate::compare::results::{Record, Spread};
use crate::compare::targets::{Aim, Measured, Of, Target};

/// Instructions a proposal, as `benches/instructions/run --record` wrote them.
const INSTRUCTIONS: &str = include_str!("../../instructions/recorded.tsv");

/// What a test bounds, and so no run can miss: the target, what, the bound, the test.
pub const ASSERTED: &[(&str, &str, &str, &str)] = &[
    (
        "P2",
        "allocations a proposal beyond the payload's own",
        "≤ 1.2 at B=1, ≤ 0.2 at B=16 and 256",
        "`cargo test -p benches --test allocations`",
    ),
    (
        "P10",
        "payload bytes copied when a message is decoded",
        "none",
        "`cargo test -p tickraft-raftpb payloads_are_views`",
    ),
];

/// Instructions a proposal.
pub const TARGETS: &[Target] = &[
    instructions("instructions a proposal, `single`, B=1", 8_000.0, |_| {
        counted("single", 1)
    }),
    instructions("the same, B=16", 4_800.0, |_| counted("single", 16)),
    instructions("the same, B=256", 4_600.0, |_| counted("single", 256)),
    instructions("`append-batching`, B=16", 1_050.0, |_| {
        counted("append-batching", 16)
    }),
    instructions("the same, B=256", 750.0, |_| {
        counted("append-batching", 256)
    }),
    instructions("`multi`, B=16", 1_000.0, |_| counted("multi", 16)),
    instructions("the same, B=256", 650.0, |_| counted("multi", 256)),
];

const fn instructions(
    what: &'static str,
    bound: f64,
    of: fn(&[Record]) -> Vec<Measured>,
) -> Target {
    Target {
        id: "P3",
        what,
        aim: Aim::AtMost(bound, ""),
        of: Of::Other(of),
    }
}

fn counted(mode: &str, batch: u32) -> Vec<Measured> {
    let head = format!("{mode}\t{batch}\t");
    let count = INSTRUCTIONS
        .lines()
        .find_map(|l| l.strip_prefix(&head)?.trim().parse().ok());
    let one = |n: f64| Measured {
        case: "`benches/instructions/run`".into(),
        value: Spread {
            min: n,
            median: n,
            max: n,
        },
    };
    count.map(one).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_count_is_found() {
        for target in TARGETS {
            assert_eq!(target.measured(&[]).len(), 1, "{}", target.what);
        }
    }
}
