//! A follower that is dead, slow, or far behind.

use super::{Bench, Case, Cores, Metric, PER_SECOND, Size, THREADED, less, more};

/// The bench `replication` with one follower of three that does not keep up.
pub(super) const BENCH: Bench = Bench {
    name: "followers",
    what: "Replication in one thread, 128 B, B=16, of three nodes with one that is not waited for. Dead: it takes no turns, what is sent to it is lost, and nobody tells the leader, whose window of 512 messages is full when the clock \
           starts. Slow: it takes its turn in every 100th pass; how many entries it lacks at the end is counted, not timed. Behind: it lacks that many entries when the clock starts and it comes back, to be found by one \
           heartbeat, while the leader goes on; the figure is the rate of as many proposals (and what there is to catch up) as were timed just before without it. All nodes share the thread, so the follower's work counts, too; \
           the leader's turns are timed apart, until all have all. raft-rs is left out of it: its MemStorage copies all that remains of the log for each MsgApp of 1 MiB, so that its store and not its core would be measured.",
    cores: Cores::Fewest,
    cases,
    targets: &[],
};

const SLOW: &[Metric] = &[
    PER_SECOND,
    less("slow_lacks", "entries that the slow one lacks"),
];

const BEHIND: &[Metric] = &[
    PER_SECOND,
    more("per_second_before", "/s before"),
    less("catch_up_seconds", "s to catch up"),
    less("turns_ms", "ms of the leader's turns"),
    less("longest_turn_ms", "ms the leader's longest turn"),
];

fn cases(size: Size, _: &str) -> Vec<Case> {
    let (proposals, warmup, behind) = match size {
        Size::Smoke => (2_000, 200, 20_000),
        Size::Short | Size::Whole => (100_000, 20_000, 1_000_000),
    };
    let case = |label: String, mode: &str, flag: &str, value: u64| {
        let pairs: &[(&str, &dyn std::fmt::Display)] = &[
            ("mode", &mode),
            ("proposals", &proposals),
            ("warmup", &warmup),
            (flag, &value),
        ];
        let mut case = Case::new("replication", label, pairs);
        case.bench = BENCH.name;
        case
    };
    let mut cases = Vec::new();
    for mode in ["single", "multi"] {
        cases.push(case(format!("one of 3 dead, {mode}"), mode, "dead", 1));
        let slow = case(format!("one of 3 slow, {mode}"), mode, "slow", 100);
        cases.push(slow.metrics(SLOW));
    }
    let label = format!("one of 3 behind by {behind}, multi");
    cases.push(
        case(label, "multi", "behind", behind)
            .metrics(BEHIND)
            .drivers(THREADED),
    );
    cases
}
