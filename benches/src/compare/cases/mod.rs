//! The cases that are compared: a file a bench, listed in [`BENCHES`].
//!
//! To add a bench: write a file here with its `BENCH`, and name it in [`BENCHES`]. Its cases are command lines of the drivers
//! (`benches/peers/README.md`); its aims, if it has some, become rows of the table of targets.

use crate::compare::drivers::Driver;
use crate::compare::targets::Target;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;

mod build;
mod clients;
mod codec;
mod followers;
mod groups;
mod growth;
mod idle;
mod kv;
mod node;
mod onenode;
mod read;
mod replication;
mod transport;
mod wal;

/// Every bench, in the order of the report.
pub const BENCHES: &[Bench] = &[
    replication::BENCH,
    growth::BENCH,
    followers::BENCH,
    node::BENCH,
    onenode::BENCH,
    clients::BENCH,
    read::BENCH,
    idle::BENCH,
    groups::LOADED,
    groups::FAILOVER,
    codec::BENCH,
    wal::BENCH,
    transport::MESSAGES,
    transport::STREAM,
    kv::BENCH,
    build::BENCH,
];

/// A bench that several drivers have.
#[derive(Clone, Copy, Debug)]
pub struct Bench {
    /// Its name: `replication`, `node` ...
    pub name: &'static str,
    /// What it measures, in a sentence or two of Markdown, for whoever reads the report.
    pub what: &'static str,
    /// On how many processors it runs.
    pub cores: Cores,
    /// Its cases. Logs on disk are written below the folder that is given.
    pub cases: fn(Size, &str) -> Vec<Case>,
    /// What is aimed at.
    pub targets: &'static [Target],
}

/// On which of the numbers of processors that are asked for a bench runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cores {
    /// On each, but for the cases that stay on the smallest ([`Case::fewest`]).
    Each,
    /// On the smallest.
    Fewest,
    /// On the largest.
    Most,
}

/// What a case's figure means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metric {
    /// Its name in the driver's answer.
    pub key: Cow<'static, str>,
    /// How it reads.
    pub unit: Cow<'static, str>,
    /// Whether more of it is better.
    pub more_is_better: bool,
}

const fn metric(key: &'static str, unit: &'static str, more_is_better: bool) -> Metric {
    Metric {
        key: Cow::Borrowed(key),
        unit: Cow::Borrowed(unit),
        more_is_better,
    }
}

/// A figure of which more is better.
#[must_use]
pub const fn more(key: &'static str, unit: &'static str) -> Metric {
    metric(key, unit, true)
}

/// A figure of which less is better.
#[must_use]
pub const fn less(key: &'static str, unit: &'static str) -> Metric {
    metric(key, unit, false)
}

/// What most benches count.
pub const PER_SECOND: Metric = more("per_second", "/s");

/// What is measured of work alone.
pub const RATE: &[Metric] = &[PER_SECOND];

/// What is measured of operations that wait for each other.
pub const LATENCIES: &[Metric] = &[
    PER_SECOND,
    less("p50_us", "µs p50"),
    less("p99_us", "µs p99"),
    less("p999_us", "µs p99.9"),
    less("max_us", "µs at most"),
    less(CPU, "µs of processors each"),
];

/// The processor time of one operation, in microseconds; worked out of the time of all of them.
pub const CPU: &str = "cpu_us_per_operation";

/// Whose drivers are in Rust, without threads.
pub const IN_RUST: &[&str] = &["tickraft", "raft-rs"];

/// Who has a core without threads.
pub const CORE: &[&str] = &[
    "tickraft",
    "raft-rs",
    "etcd-io/raft 3.7",
    "etcd-io/raft 3.6",
];

/// Who has a threaded Node.
pub const THREADED: &[&str] = &["tickraft", "etcd-io/raft 3.7", "etcd-io/raft 3.6"];

/// One command line that several drivers are given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// The bench's name.
    pub bench: &'static str,
    /// What tables call it.
    pub label: String,
    /// Where it stands in a plot, if it is plotted.
    pub plot: Option<Place>,
    /// The arguments.
    pub arguments: Vec<String>,
    /// The figures that are compared.
    pub metrics: &'static [Metric],
    /// Who takes part, by name, ours first.
    pub drivers: &'static [&'static str],
    /// Whether it is measured on the smallest number of processors only.
    pub fewest: bool,
    /// Whether it is measured in one round only, by `compare` itself, and only when its bench is named.
    pub once: bool,
}

/// A place in a plot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The plot.
    pub series: String,
    /// What the axis counts.
    pub axis: Cow<'static, str>,
    /// The position on the axis.
    pub x: u64,
}

impl Case {
    /// A case of a bench that every driver of [`CORE`] takes part in, measured per second.
    #[must_use]
    pub fn new(bench: &'static str, label: String, pairs: &[(&str, &dyn fmt::Display)]) -> Self {
        let mut arguments = vec![bench.to_owned()];
        for (name, value) in pairs {
            arguments.extend([format!("--{name}"), value.to_string()]);
        }
        Self {
            bench,
            label,
            plot: None,
            arguments,
            metrics: RATE,
            drivers: CORE,
            fewest: false,
            once: false,
        }
    }

    /// The same with a place in a plot.
    #[must_use]
    pub fn plotted(mut self, series: impl Into<String>, axis: &'static str, x: u64) -> Self {
        self.plot = Some(Place {
            series: series.into(),
            axis: axis.into(),
            x,
        });
        self
    }

    /// The same with other figures.
    #[must_use]
    pub fn metrics(mut self, metrics: &'static [Metric]) -> Self {
        self.metrics = metrics;
        self
    }

    /// The same for other drivers.
    #[must_use]
    pub fn drivers(mut self, drivers: &'static [&'static str]) -> Self {
        self.drivers = drivers;
        self
    }

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

impl Size {
    /// How it is called.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Smoke => "smoke",
            Self::Short => "short",
            Self::Whole => "whole",
        }
    }

    /// How long a timed window is.
    #[must_use]
    pub const fn seconds(self) -> f64 {
        match self {
            Self::Smoke => 0.2,
            Self::Short => 1.0,
            Self::Whole => 2.0,
        }
    }
}

/// All cases of a size. `dir` is where logs on disk are written.
#[must_use]
pub fn all(size: Size, dir: &str) -> Vec<Case> {
    BENCHES.iter().flat_map(|b| (b.cases)(size, dir)).collect()
}

/// Whether a case finds out how much a key-value store can take at most, which other cases refer to.
#[must_use]
pub fn finds_peaks(case: &Case) -> bool {
    case.bench == kv::BENCH.name && !case.arguments.iter().any(|a| a == "--percent")
}

/// The bench of a name.
#[must_use]
pub fn bench(name: &str) -> Option<&'static Bench> {
    BENCHES.iter().find(|b| b.name == name)
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
                assert!(bench(case.bench).is_some(), "{}", case.bench);
                for name in case.drivers {
                    assert!(DRIVERS.iter().any(|d| d.name == *name), "{name}");
                }
                let ours = [DRIVERS[0].name, "kvexample"];
                assert!(ours.contains(&case.drivers[0]), "ratios are towards ours");
            }
        }
    }
}
