//! tickraft as its documentation says, behind the command line of the rivals' drivers: [`benches::replication`] in one thread, the threaded
//! [`node`], idle groups of RawNodes, the codec, the log on disk, the transport.
#![forbid(unsafe_code)]

mod codec;
mod idle;
mod read;
mod replication;
mod stream;
mod threaded;
mod transport;
mod wal;

use benches::replication::{Mode, config};
use clap::Parser as _;
use peer_common::args::{Bench, Cli};
use peer_common::report::{Peer, build, join};
use rawnode::raft::Config;
use serde_json::{Value, json};

fn main() {
    let peer = Peer::from_lock(
        "tickraft",
        include_str!("../Cargo.lock"),
        "tickraft-rawnode",
    );
    let bench = Cli::parse().bench;
    let (figures, settings) = match &bench {
        Bench::Replication(a) => replication::run(a),
        Bench::Node(a) => threaded::node(a),
        Bench::Clients(a) => threaded::clients(a),
        Bench::Onenode(a) => threaded::one_node(a),
        Bench::Idle(a) => idle::run(a),
        Bench::Groups(a) => idle::loaded(a),
        Bench::Failover(a) => idle::failovers(a),
        Bench::Read(a) => read::run(a),
        Bench::Codec(a) => codec::run(a),
        Bench::Wal(a) => wal::run(a),
        Bench::Transport(a) => transport::run(a),
        Bench::Stream(a) => stream::run(a),
    };
    peer.report(&bench, figures, settings);
}

/// What a figure was measured with.
fn settings(c: &Config) -> Value {
    let raft = json!({
        "election_tick": c.election_tick,
        "heartbeat_tick": c.heartbeat_tick,
        "max_size_per_msg": c.max_size_per_msg,
        "max_inflight_msgs": c.max_inflight_msgs,
        "batch_append": c.batch_append,
        "pre_vote": c.pre_vote,
        "check_quorum": c.check_quorum,
        "logger": "discard",
        "storage": "MemoryStorage",
    });
    join([raft, build()])
}

/// The settings of [`benches::replication`], with another heartbeat.
fn with_heartbeat(id: u64, heartbeat: u32) -> Config {
    Config {
        election_tick: 10 * heartbeat,
        heartbeat_tick: heartbeat,
        ..config(id, Mode::Single)
    }
}
