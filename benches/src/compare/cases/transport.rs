//! The transport on loopback. Its rivals are its own codec alone and a plain socket, which the driver measures in turn with it: the ratios are in its answer.

use super::{Bench, Case, Cores, Metric, PER_SECOND, Size, less, more};
use crate::compare::results::{Record, Spread};
use crate::compare::targets::{Aim, Measured, Of, Target};

/// MsgApps with entries of two sizes.
pub(super) const MESSAGES: Bench = Bench {
    name: "transport",
    what: "MsgApps over two transports in one process, on loopback. In turn with them, in one run: the codec alone and a plain socket that carries the same bytes.",
    cores: Cores::Most,
    cases: messages,
    targets: &[
        target(
            "MsgApps a second, of the slower of encode + CRC and CRC + decode alone",
            Aim::AtLeast(0.7, "×"),
            Of::Figure {
                bench: "transport",
                key: "ratio_to_codec",
                which: |_| true,
            },
        ),
        target(
            "write calls in 1,000 messages under load",
            Aim::AtMost(100.0, ""),
            Of::Figure {
                bench: "transport",
                key: "write_calls_per_1000_messages",
                which: |_| true,
            },
        ),
    ],
};

/// A snapshot with heartbeats beside it.
pub(super) const STREAM: Bench = Bench {
    name: "stream",
    what: "A snapshot over a transport on loopback, a heartbeat each millisecond beside it; the same heartbeats alone, and a plain socket with as many bytes.",
    cores: Cores::Most,
    cases: stream,
    targets: &[
        target(
            "p99 of heartbeats while 1 GiB streams, of max(2 ms, 3 × idle)",
            Aim::AtMost(1.0, "×"),
            Of::Other(heartbeats),
        ),
        target(
            "snapshot, of a plain socket's copy taken the same way",
            Aim::AtLeast(0.5, "×"),
            Of::Figure {
                bench: "stream",
                key: "ratio_to_plain_socket",
                which: large,
            },
        ),
        target(
            "memory beyond the snapshot, sender and receiver",
            Aim::AtMost(16.0, " MiB"),
            Of::Figure {
                bench: "stream",
                key: "extra_mib",
                which: large,
            },
        ),
    ],
};

const fn target(what: &'static str, aim: Aim, of: Of) -> Target {
    Target {
        id: "P6",
        what,
        aim,
        of,
    }
}

/// What the target is about; short runs stream less.
fn large(r: &Record) -> bool {
    r.number("mib") >= Some(1024)
}

/// Round by round: the p99 under the stream, of what it may be.
fn heartbeats(records: &[Record]) -> Vec<Measured> {
    let asked = records.iter().filter(|r| r.bench == "stream" && large(r));
    let one = |r: &Record| {
        let busy = r.figures(r.ours(), "heartbeat_p99_us").iter();
        let idle = r.figures(r.ours(), "heartbeat_idle_p99_us");
        let parts = busy
            .zip(idle)
            .filter_map(|(busy, idle)| Some((*busy)? / (3.0 * (*idle)?).max(2000.0)));
        Some(Measured::new(r, Spread::of(parts.collect())?))
    };
    asked.filter_map(one).collect()
}

const OURS: &[&str] = &["tickraft"];
const SENDING: &[Metric] = &[
    PER_SECOND,
    more("ratio_to_codec", "of the slower half of the codec alone"),
    more(
        "ratio_to_codec_by_cpu",
        "of it by the busiest thread's processor time",
    ),
    more("ratio_to_plain_socket", "of a plain socket's bytes"),
    less("write_calls_per_1000_messages", "write calls in 1,000"),
    less("cpu_ns_per_message", "ns of processors a message"),
];
const STREAMING: &[Metric] = &[
    more("bytes_per_second", "B/s"),
    more(
        "ratio_to_plain_socket",
        "of a plain socket's bytes, taken the same way",
    ),
    less("heartbeat_p99_us", "µs p99 of heartbeats meanwhile"),
    less("heartbeat_idle_p99_us", "µs p99 of heartbeats without"),
    less("extra_mib", "MiB beyond the snapshot"),
];

fn messages(size: Size, _: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    for (entries, payload) in [(1, 128), (1, 4096), (16, 128)] {
        for batch in [1, 16] {
            let label = format!("MsgApps of {entries} × {payload} B, {batch} a send");
            let pairs: &[(&str, &dyn std::fmt::Display)] = &[
                ("payload", &payload),
                ("entries", &entries),
                ("batch", &batch),
                ("seconds", &size.seconds()),
            ];
            cases.push(
                Case::new("transport", label, pairs)
                    .metrics(SENDING)
                    .drivers(OURS),
            );
        }
    }
    cases
}

fn stream(size: Size, _: &str) -> Vec<Case> {
    let (mib, times) = match size {
        Size::Smoke => (16, 1),
        Size::Short => (256, 3),
        Size::Whole => (1024, 3),
    };
    let case = |(discard, how)| {
        let label = format!("a snapshot of {mib} MiB, {how}");
        let pairs: &[(&str, &dyn std::fmt::Display)] =
            &[("mib", &mib), ("times", &times), ("discard", &discard)];
        Case::new("stream", label, pairs)
            .metrics(STREAMING)
            .drivers(OURS)
    };
    [(false, "into memory"), (true, "read and thrown away")]
        .map(case)
        .into()
}
