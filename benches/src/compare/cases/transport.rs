//! The transport on loopback. Its rivals are its own codec alone and a plain socket, which the driver measures in turn with it: the ratios are in its answer.

use super::{Case, Metric, PER_SECOND, Size, arguments, less, seconds};

const fn more(key: &'static str, unit: &'static str) -> Metric {
    Metric {
        key,
        unit,
        more_is_better: true,
    }
}

const OURS: &[&str] = &["tickraft"];
const MESSAGES: &[Metric] = &[
    PER_SECOND,
    more("ratio_to_codec", "of the slower half of the codec alone"),
    more("ratio_to_plain_socket", "of a plain socket's bytes"),
    less("write_calls_per_1000_messages", "write calls in 1,000"),
    less("cpu_ns_per_message", "ns of processors a message"),
];
const STREAM: &[Metric] = &[
    more("bytes_per_second", "B/s"),
    more(
        "ratio_to_plain_socket",
        "of a plain socket's bytes into memory",
    ),
    less("heartbeat_p99_us", "µs p99 of heartbeats meanwhile"),
    less("heartbeat_idle_p99_us", "µs p99 of heartbeats without"),
    less("extra_mib", "MiB beyond the snapshot"),
];

/// MsgApps with entries of two sizes, and a snapshot with heartbeats beside it.
pub(super) fn transport(size: Size) -> Vec<Case> {
    let mut cases = Vec::new();
    for (entries, payload) in [(1, 128), (1, 4096), (16, 128)] {
        for batch in [1, 16] {
            let pairs: &[(&str, &dyn std::fmt::Display)] = &[
                ("payload", &payload),
                ("entries", &entries),
                ("batch", &batch),
                ("seconds", &seconds(size)),
            ];
            cases.push(Case {
                bench: "transport",
                label: format!("MsgApps of {entries} × {payload} B, {batch} a send"),
                // Two points make no plot.
                series: (format!("{entries} × {payload} B, {batch} a send"), batch),
                arguments: arguments("transport", pairs),
                metrics: MESSAGES,
                drivers: OURS,
            });
        }
    }
    let (mib, times) = match size {
        Size::Smoke => (16, 1),
        Size::Short => (256, 3),
        Size::Whole => (1024, 3),
    };
    cases.push(Case {
        bench: "stream",
        label: format!("a snapshot of {mib} MiB"),
        series: ("snapshot".into(), mib),
        arguments: arguments("stream", &[("mib", &mib), ("times", &times)]),
        metrics: STREAM,
        drivers: OURS,
    });
    cases
}
