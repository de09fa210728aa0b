//! The replication driver on the command line, for comparisons and profilers: the arguments and the line of JSON of the rivals' drivers
//! (`benches/peers/README.md`).
//!
//! `cargo run --release -p benches --bin replicate -- --mode multi --batch 16`

#![forbid(unsafe_code)]

use benches::payload::MIN_SIZE;
use benches::replication::{Mode, Setup, config, prepare};
use clap::{Parser, ValueEnum};
use serde_json::{Value, json};
use std::time::Instant;

/// Measures in-process replication; prints one line of JSON.
#[derive(Parser)]
struct Args {
    /// Voters.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=15))]
    nodes: u64,
    /// Bytes a payload.
    #[arg(long, default_value_t = 128)]
    payload: usize,
    /// Proposals between two rounds of passes over the nodes.
    #[arg(long, default_value_t = 16)]
    batch: usize,
    /// How proposals enter.
    #[arg(long, value_enum, default_value_t = Kind::Single)]
    mode: Kind,
    /// Encode and decode each message between nodes.
    #[arg(long)]
    wire: bool,
    /// Timed proposals.
    #[arg(long, default_value_t = 200_000)]
    proposals: u64,
    /// Proposals before the clock starts, of which every byte is compared.
    #[arg(long, default_value_t = 20_000)]
    warmup: u64,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    /// A proposal at a time, a MsgApp each.
    Single,
    /// A proposal at a time; MsgApps to a follower are merged before they leave.
    AppendBatching,
    /// All proposals of a batch as one message.
    Multi,
}

fn main() {
    let a = Args::parse();
    let setup = Setup {
        nodes: a.nodes,
        payload: a.payload.max(MIN_SIZE),
        batch: a.batch.max(1),
        mode: match a.mode {
            Kind::Single => Mode::Single,
            Kind::AppendBatching => Mode::AppendBatching,
            Kind::Multi => Mode::Multi,
        },
        wire: a.wire,
    };
    let (mut cluster, timed) = prepare(setup, a.warmup, a.proposals);
    let before = cluster.messages();
    let (start, cpu) = (Instant::now(), cpu_seconds());
    cluster.replicate(timed);
    let seconds = start.elapsed().as_secs_f64();
    let cpu = cpu_seconds().zip(cpu).map(|(end, begin)| end - begin);
    cluster.check(a.warmup + a.proposals);
    #[allow(clippy::cast_precision_loss)]
    let (n, sent) = (a.proposals as f64, (cluster.messages() - before) as f64);
    let line = json!({
        "peer": "tickraft", "version": env!("CARGO_PKG_VERSION"), "bench": "replication",
        "nodes": setup.nodes, "payload": setup.payload, "batch": setup.batch, "mode": setup.mode.to_string(), "wire": setup.wire,
        "proposals": a.proposals, "seconds": seconds, "per_second": n / seconds, "cpu_seconds": cpu, "messages_per_proposal": sent / n,
        "settings": settings(setup.mode),
    });
    println!("{line}");
}

fn settings(mode: Mode) -> Value {
    let c = config(1, mode);
    json!({
        "election_tick": c.election_tick,
        "heartbeat_tick": c.heartbeat_tick,
        "max_size_per_msg": c.max_size_per_msg,
        "max_committed_size_per_ready": "unlimited",
        "max_inflight_msgs": c.max_inflight_msgs,
        "batch_append": c.batch_append,
        "pre_vote": c.pre_vote,
        "check_quorum": c.check_quorum,
        "logger": "discard",
        "storage": "MemoryStorage",
        "profile": if cfg!(debug_assertions) { "debug" } else { "release" },
        "lto": "thin",
        "codegen_units": 1,
        "allocator": "system",
    })
}

/// The processor time of this process's one thread, where Linux tells it: other load on the machine disturbs it less than the wall clock.
fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/schedstat").ok()?;
    let nanos: f64 = stat.split_whitespace().next()?.parse().ok()?;
    Some(nanos / 1e9)
}
