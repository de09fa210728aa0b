//! The replication driver on the command line: proposals a second, for comparisons and profilers.
//!
//! `cargo run --release -p benches --bin replicate -- --mode multi --batch 16`

#![forbid(unsafe_code)]

use benches::replication::{Mode, Setup, prepare};
use clap::{Parser, ValueEnum};
use std::time::Instant;

/// Measures in-process replication.
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
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    Single,
    Multi,
}

fn main() {
    let a = Args::parse();
    let setup = Setup {
        nodes: a.nodes,
        payload: a.payload.max(benches::payload::MIN_SIZE),
        batch: a.batch.max(1),
        mode: match a.mode {
            Kind::Single => Mode::Single,
            Kind::Multi => Mode::Multi,
        },
        wire: a.wire,
    };
    let (mut cluster, timed) = prepare(setup, a.proposals);
    let before = cluster.messages();
    let start = Instant::now();
    cluster.replicate(timed);
    let elapsed = start.elapsed();
    cluster.check(a.proposals / 10 + a.proposals);
    #[allow(clippy::cast_precision_loss)]
    let (n, sent) = (a.proposals as f64, (cluster.messages() - before) as f64);
    println!(
        "{} nodes, {} B, {}, batch {}{}: {:.0} proposals/s, {:.2} messages a proposal",
        setup.nodes,
        setup.payload,
        setup.mode,
        setup.batch,
        if setup.wire { ", wire" } else { "" },
        n / elapsed.as_secs_f64(),
        sent / n,
    );
}
