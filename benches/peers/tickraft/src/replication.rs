//! Replication in one thread: the loop is [`benches::replication`].

use benches::payload::payloads;
use benches::replication::{Cluster, Last, Mode, Setup, config};
use bytes::Bytes;
use peer_common::args::{self, Replication};
use peer_common::payload::portions;
use peer_common::report::{CaughtUp, Clock, Replicated, resident, resident_each};
use serde_json::Value;
use std::time::Instant;

fn mode(mode: args::Mode) -> Mode {
    match mode {
        args::Mode::Single => Mode::Single,
        args::Mode::AppendBatching => Mode::AppendBatching,
        args::Mode::Multi => Mode::Multi,
    }
}

pub(crate) fn run(a: &Replication) -> (Value, Value) {
    let setup = Setup {
        nodes: a.nodes,
        payload: a.payload as usize,
        batch: a.batch as usize,
        mode: mode(a.mode),
        wire: a.wire,
    };
    let mut cluster = Cluster::new(setup);
    if a.log_length > 0 {
        cluster.fill(Vec::new());
    }
    if a.dead > 0 {
        cluster.await_first(a.awaited(), Last::Dead);
    } else if a.slow > 0 {
        cluster.await_first(a.awaited(), Last::Slow(a.slow));
    }
    cluster.warm_up(payloads(0, a.warmup, setup.payload));
    if a.behind > 0 {
        return behind(a, cluster);
    }
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
    let (lacking, messages, bytes) = (cluster.behind(), cluster.messages(), cluster.bytes());
    if a.slow > 0 {
        cluster.catch_up();
    }
    cluster.check(first + a.proposals);
    let more = Replicated {
        messages: messages - before.0,
        bytes: a.wire.then_some(bytes - before.1),
        resident_bytes: each.filter(|_| a.log_length > 0),
        lacking: (a.slow > 0).then_some(lacking),
    };
    let figures = more.figures(elapsed, a.proposals);
    (figures, crate::settings(&config(1, setup.mode)))
}

/// Replicates batch by batch, and tells when the last node first had all.
fn batches(cluster: &mut Cluster, a: &Replication, payloads: Vec<Bytes>) -> Option<Instant> {
    let mut caught_up = None;
    let mut left = payloads.into_iter();
    while left.len() > 0 {
        cluster.replicate(left.by_ref().take(a.batch as usize).collect());
        if caught_up.is_none() && cluster.behind() == 0 {
            caught_up = Some(Instant::now());
        }
    }
    caught_up
}

/// The last node is cut off for `a.behind` entries and for the timed proposals before; then it comes back.
fn behind(a: &Replication, mut cluster: Cluster) -> (Value, Value) {
    let size = a.payload as usize;
    cluster.await_first(a.awaited(), Last::Dead);
    for (from, to) in portions(a.warmup, a.behind) {
        cluster.fill(payloads(from, to, size));
    }
    let first = a.warmup + a.behind;
    let without = payloads(first, first + a.proposals, size);
    let first = first + a.proposals;
    let meanwhile = payloads(first, first + a.proposals, size);

    let clock = Clock::start();
    let _ = batches(&mut cluster, a, without);
    let without = clock.stop();

    let _ = cluster.time_turns();
    let (clock, begun) = (Clock::start(), Instant::now());
    cluster.reconnect();
    let caught_up = batches(&mut cluster, a, meanwhile);
    let elapsed = clock.stop();
    cluster.catch_up();
    let last = Instant::now();
    let turns = cluster.time_turns();
    cluster.check(first + a.proposals);
    let caught_up = CaughtUp {
        without,
        meanwhile: elapsed,
        after: caught_up.unwrap_or(last).duration_since(begun),
        longest_turn: turns.longest,
        turns: turns.all,
    };
    let figures = caught_up.figures(a.proposals);
    (figures, crate::settings(&config(1, mode(a.mode))))
}
