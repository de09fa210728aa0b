//! One MsgApp encoded and decoded.

use super::{Bench, Case, Cores, Metric, Size, less};
use crate::compare::targets::{Aim, Of, Target};

/// A MsgApp encoded into a reused buffer and decoded into a new message.
pub(super) const BENCH: Bench = Bench {
    name: "codec",
    what: "A MsgApp encoded into a reused buffer, and decoded into a new message.",
    cores: Cores::Fewest,
    cases,
    targets: &[
        target(
            "encode, against etcd-io/raft 3.7",
            3.0,
            "etcd-io/raft 3.7",
            "encode_ns",
        ),
        target(
            "decode, against etcd-io/raft 3.7",
            3.0,
            "etcd-io/raft 3.7",
            "decode_ns",
        ),
        target(
            "encode, against etcd-io/raft 3.6",
            1.0,
            "etcd-io/raft 3.6",
            "encode_ns",
        ),
        target(
            "decode, against etcd-io/raft 3.6",
            2.0,
            "etcd-io/raft 3.6",
            "decode_ns",
        ),
    ],
};

const fn target(what: &'static str, aim: f64, rival: &'static str, key: &'static str) -> Target {
    Target {
        id: "P10",
        what,
        aim: Aim::AtLeast(aim, "×"),
        of: Of::Ratio {
            bench: "codec",
            rival,
            key,
            which: |_| true,
        },
    }
}

const CODEC: &[Metric] = &[
    less("encode_ns", "ns encode"),
    less("decode_ns", "ns decode"),
];

fn cases(_: Size, _: &str) -> Vec<Case> {
    let case = |entries: u64| {
        let label = format!("MsgApp of {entries} × 128 B");
        Case::new("codec", label, &[("entries", &entries)]).metrics(CODEC)
    };
    [16, 256].map(case).into()
}
