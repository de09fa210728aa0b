//! Replication in one thread: the loop is [`benches::replication`].

use benches::replication::{Mode, Setup, config, prepare};
use peer_common::args::{self, Replication};
use peer_common::report::{Clock, join};
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
    let (mut cluster, timed) = prepare(setup, a.warmup, a.proposals);
    let before = cluster.messages();
    let clock = Clock::start();
    cluster.replicate(timed);
    let elapsed = clock.stop();
    cluster.check(a.warmup + a.proposals);
    let messages = (cluster.messages() - before) as f64 / a.proposals as f64;
    let figures = join([
        elapsed.rate(a.proposals),
        json!({"messages_per_proposal": messages}),
    ]);
    (figures, crate::settings(&config(1, setup.mode)))
}
