//! Replication in one thread: the loop is [`benches::replication`].

use benches::payload::payloads;
use benches::replication::{Cluster, Mode, Setup, config};
use peer_common::args::{self, Replication};
use peer_common::payload::portions;
use peer_common::report::{Clock, join, resident, resident_each};
use serde_json::{Value, json};

pub(crate) fn run(a: &Replication) -> (Value, Value) {
    let setup = Setup {
        nodes: a.nodes,
        payload: a.payload as usize,
        batch: a.batch as usize,
        mode: match a.mode {
            args::Mode::Single => Mode::Single,
            args::Mode::AppendBatching => Mode::AppendBatching,
            args::Mode::Multi => Mode::Multi,
        },
        wire: a.wire,
    };
    let mut cluster = Cluster::new(setup);
    if a.log_length > 0 {
        cluster.fill(Vec::new());
    }
    cluster.warm_up(payloads(0, a.warmup, setup.payload));
    let memory = resident();
    for (from, to) in portions(a.warmup, a.log_length) {
        cluster.fill(payloads(from, to, setup.payload));
    }
    let each = resident_each(memory, a.log_length);
    let first = a.warmup + a.log_length;
    let timed = payloads(first, first + a.proposals, setup.payload);
    let before = (cluster.messages(), cluster.bytes());
    let clock = Clock::start();
    cluster.replicate(timed);
    let elapsed = clock.stop();
    cluster.check(first + a.proposals);
    let messages = (cluster.messages() - before.0) as f64 / a.proposals as f64;
    let bytes = (cluster.bytes() - before.1) as f64 / a.proposals as f64;
    let on_wire = if a.wire {
        json!({"bytes_per_proposal": bytes})
    } else {
        json!({})
    };
    let filled = if a.log_length > 0 {
        json!({"resident_bytes_per_entry": each})
    } else {
        json!({})
    };
    let figures = join([
        elapsed.rate(a.proposals),
        json!({"messages_per_proposal": messages}),
        on_wire,
        filled,
    ]);
    (figures, crate::settings(&config(1, setup.mode)))
}
