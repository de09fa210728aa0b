//! Reads that the leader may answer.

use super::{Bench, Case, Cores, Metric, PER_SECOND, Size, less};

/// ReadIndex and lease reads in one thread, alone and with writes.
pub(super) const BENCH: Bench = Bench {
    name: "read",
    what: "Three nodes in one thread: B read requests, each with a context of its own, then passes over the nodes until the leader may answer all. `ReadIndex` asks a quorum, `lease` \
           trusts the clock. An application that lets many reads share one request multiplies the figure by as many.",
    cores: Cores::Fewest,
    cases,
    targets: &[],
};

const READS: &[Metric] = &[PER_SECOND, less("messages_per_read", "messages a read")];

fn cases(size: Size, _: &str) -> Vec<Case> {
    let reads = match size {
        Size::Smoke => 2_000,
        Size::Short => 50_000,
        Size::Whole => 200_000,
    };
    let mut cases = Vec::new();
    for (lease, how) in [(false, "ReadIndex"), (true, "lease")] {
        for (batch, writes) in [(1, 0), (16, 0), (256, 0), (16, 4)] {
            let beside = if writes > 0 {
                format!(", {writes} writes beside")
            } else {
                String::new()
            };
            let pairs: &[(&str, &dyn std::fmt::Display)] =
                &[("batch", &batch), ("writes", &writes), ("reads", &reads)];
            let mut case = Case::new("read", format!("{how}, B={batch}{beside}"), pairs);
            if lease {
                case.arguments.push("--lease".into());
            }
            if writes == 0 {
                case = case.plotted(how, "requests a batch", batch);
            }
            cases.push(case.metrics(READS));
        }
    }
    cases
}
