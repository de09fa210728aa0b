//! What more voters and longer logs cost.

use super::{Bench, Case, Cores, Metric, PER_SECOND, Size, less};
use crate::compare::results::{Record, Spread};
use crate::compare::targets::{Aim, Measured, Of, Target};

/// The bench `replication` with more voters, and with logs that are long.
pub(super) const BENCH: Bench = Bench {
    name: "growth",
    what: "Replication in one thread, B=16, as above: with more voters; and with so many entries of 16 B in every log when the clock starts, none of them compacted. Resident \
           bytes an entry are those of all its nodes together, which share what they can.",
    cores: Cores::Fewest,
    cases,
    targets: &[
        Target {
            id: "P9",
            what: "5, 7, 15 voters: the cost of a proposal, of three voters' cost times the voters' growth",
            aim: Aim::AtMost(1.0, "×"),
            of: Of::Other(voters),
        },
        Target {
            id: "P9",
            what: "logs of 10^5, 10^6, 10^7 entries: the cost of a proposal, of that with 10^4",
            aim: Aim::AtMost(1.1, "×"),
            of: Of::Other(lengths),
        },
    ],
};

const LONG: &[Metric] = &[
    PER_SECOND,
    less("resident_bytes_per_entry", "B resident an entry"),
];

const LENGTHS: [(u64, &str); 4] = [
    (10_000, "10^4"),
    (100_000, "10^5"),
    (1_000_000, "10^6"),
    (10_000_000, "10^7"),
];

fn cases(size: Size, _: &str) -> Vec<Case> {
    let (proposals, longest) = match size {
        Size::Smoke => (2_000, 10_000),
        Size::Short => (50_000, 1_000_000),
        Size::Whole => (100_000, 10_000_000),
    };
    let case = |label: String, mode: &str, nodes: u64, payload: u64, length: u64| {
        let pairs: &[(&str, &dyn std::fmt::Display)] = &[
            ("nodes", &nodes),
            ("payload", &payload),
            ("mode", &mode),
            ("batch", &16),
            ("proposals", &proposals),
            ("warmup", &10_000),
            ("log-length", &length),
        ];
        let mut case = Case::new("replication", label, pairs);
        case.bench = BENCH.name;
        case
    };
    let mut cases = Vec::new();
    for mode in ["single", "multi"] {
        for nodes in [3, 5, 7, 15] {
            let label = format!("{nodes} voters, 128 B, {mode}");
            let plot = format!("growth, 128 B, {mode}");
            cases.push(case(label, mode, nodes, 128, 0).plotted(plot, "voters", nodes));
        }
    }
    for mode in ["single", "multi"] {
        for (length, text) in LENGTHS.into_iter().filter(|(n, _)| *n <= longest) {
            let label = format!("{text} entries of 16 B, {mode}");
            let plot = format!("growth, 16 B, {mode}");
            let case = case(label, mode, 3, 16, length).plotted(plot, "entries in the log", length);
            cases.push(case.metrics(LONG));
        }
    }
    cases
}

/// Round by round: how many times as much a proposal costs in `r` as in `base`.
fn times(r: &Record, base: &Record, by: f64) -> Option<Measured> {
    let key = "per_second";
    let rates = base
        .figures(base.ours(), key)
        .iter()
        .zip(r.figures(r.ours(), key));
    let ratios = rates.filter_map(|(base, this)| Some((*base)? / (*this)? / by));
    Some(Measured::new(r, Spread::of(ratios.collect())?))
}

/// The cases of this bench that `of` tells a size of, each with the smallest of its mode and size of run.
fn pairs(records: &[Record], of: fn(&Record) -> Option<u64>) -> Vec<(&Record, &Record)> {
    let asked: Vec<&Record> = records
        .iter()
        .filter(|r| r.bench == BENCH.name && of(r).is_some())
        .collect();
    let base = |r: &Record| {
        let alike = asked.iter().filter(|b| {
            b.argument("mode") == r.argument("mode")
                && b.number("proposals") == r.number("proposals")
                && b.cores == r.cores
        });
        alike.min_by_key(|b| of(b)).copied()
    };
    let with_base = asked.iter().filter_map(|r| Some((base(r)?, *r)));
    with_base.filter(|(b, r)| of(b) < of(r)).collect()
}

#[allow(clippy::cast_precision_loss)]
fn voters(records: &[Record]) -> Vec<Measured> {
    let of = |r: &Record| {
        r.number("nodes")
            .filter(|_| r.number("log-length") == Some(0))
    };
    let growth = |(base, r): (&Record, &Record)| {
        let by = of(r)? as f64 / of(base)? as f64;
        times(r, base, by)
    };
    pairs(records, of).into_iter().filter_map(growth).collect()
}

fn lengths(records: &[Record]) -> Vec<Measured> {
    let of = |r: &Record| r.number("log-length").filter(|&n| n > 0);
    pairs(records, of)
        .into_iter()
        .filter_map(|(base, r)| times(r, base, 1.0))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::drivers::Answer;
    use crate::compare::results::Measured as When;
    use serde_json::json;

    #[test]
    fn growth_is_towards_the_smallest_of_a_mode() {
        let mut records: Vec<Record> = cases(Size::Short, "")
            .iter()
            .map(|c| Record::new(c, 1, When::default()))
            .collect();
        for r in &mut records {
            let rate = match (r.number("nodes"), r.number("log-length")) {
                (Some(5), _) => 50.0,
                (Some(15), _) => 25.0,
                (Some(7), _) => 40.0,
                (_, Some(1_000_000)) => 80.0,
                _ => 100.0,
            };
            r.add(
                "tickraft",
                Answer::Figures(json!({"per_second": rate})),
                1.0,
            );
        }
        let medians = |all: Vec<Measured>| all.iter().map(|m| m.value.median).collect::<Vec<_>>();
        let by_voters = medians(voters(&records));
        let want = [
            100.0 / 50.0 * 0.6,
            100.0 / 40.0 * 3.0 / 7.0,
            100.0 / 25.0 * 0.2,
        ];
        assert_eq!(by_voters.len(), 6);
        for (got, want) in by_voters.iter().zip(want) {
            assert!((got - want).abs() < 1e-9, "{got} {want}");
        }
        assert_eq!(medians(lengths(&records)), [1.0, 1.25, 1.0, 1.25]);
    }
}
