//! Many groups with something to do, and groups whose leader dies.

use super::{Bench, Case, Cores, Metric, Size, less};

/// A thousand groups under load.
pub(super) const LOADED: Bench = Bench {
    name: "groups",
    what: "Groups of three nodes in one thread; in each turn every group replicates one proposal of 128 B, so that the next group is not in the cache.",
    cores: Cores::Fewest,
    cases: loaded,
    targets: &[],
};

/// From a leader's death to another one that commits.
pub(super) const FAILOVER: Bench = Bench {
    name: "failover",
    what: "Groups of three in one thread whose leader dies: ticks until another one has committed its first entry (election timeouts of 10 to 19 ticks, no PreVote), and the processor time that it all took. In \
           milliseconds that is the ticks times the driver's tick; a hundred milliseconds are etcd's.",
    cores: Cores::Fewest,
    cases: failover,
    targets: &[],
};

const FAILOVERS: &[Metric] = &[
    less("ticks_p50", "ticks p50"),
    less("ticks_p99", "ticks p99"),
    less("ticks_max", "ticks at most"),
    less("us_per_failover", "µs of a processor each"),
];

fn loaded(size: Size, _: &str) -> Vec<Case> {
    let (groups, turns) = match size {
        Size::Smoke => (50, 10),
        Size::Short | Size::Whole => (1_000, 100),
    };
    let label = format!("{groups} groups, a proposal each in turn");
    let pairs: [(&str, &dyn std::fmt::Display); 2] = [("groups", &groups), ("turns", &turns)];
    vec![Case::new("groups", label, &pairs)]
}

fn failover(size: Size, _: &str) -> Vec<Case> {
    let leaders = match size {
        Size::Smoke => 50,
        Size::Short | Size::Whole => 2_000,
    };
    let label = format!("{leaders} leaders die");
    let case = Case::new("failover", label, &[("leaders", &leaders)]);
    vec![case.metrics(FAILOVERS)]
}
