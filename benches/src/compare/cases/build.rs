//! What the libraries cost whoever builds them.

use super::{Bench, Case, Cores, Metric, Size, less};

/// Dependencies and a clean build, measured once and only when asked for: it takes minutes.
pub(super) const BENCH: Bench = Bench {
    name: "build",
    what: "What a library brings along (packages of other projects and its own layers, build tools included; for Go modules, its standard library apart), and a clean release build of it, once. \
           tickraft: its RawNode, and what lies below.",
    cores: Cores::Most,
    cases,
    targets: &[],
};

const BUILD: &[Metric] = &[
    less("dependencies", "dependencies"),
    less("build_seconds", "s to build"),
];

const LIBRARIES: &[&str] = &[
    "tickraft",
    "raft-rs",
    "etcd-io/raft 3.7",
    "etcd-io/raft 3.6",
    "openraft",
    "openraft alpha",
];

fn cases(size: Size, _: &str) -> Vec<Case> {
    if size == Size::Smoke {
        return Vec::new();
    }
    let mut case = Case::new("build", "the library".into(), &[]);
    case.once = true;
    vec![case.metrics(BUILD).drivers(LIBRARIES)]
}
