//! The command line of all drivers. A driver answers `unsupported` to the benches that it does not have.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use serde_json::{Map, Value, json};

/// The smallest payload: its sequence number and the word that checks it.
const MIN_PAYLOAD: u64 = 16;

#[derive(Debug, Parser)]
#[command(about = "Measures one Raft library; prints one line of JSON")]
pub struct Cli {
    #[command(subcommand)]
    pub bench: Bench,
}

/// Every bench that some driver has.
#[derive(Debug, Subcommand)]
pub enum Bench {
    /// Replication in one thread: propose, then pass over the nodes until all applied all.
    Replication(Replication),
    /// Tasks that write one command at a time through a running cluster.
    Clients(Clients),
    /// A threaded node: proposals in flight until applied on the proposer.
    Node(Node),
    /// The shape of etcd's BenchmarkOneNode.
    Onenode(OneNode),
    /// Many idle groups ticking in one process.
    Idle(Idle),
    /// Many groups in one process, each with something to do.
    Groups(Groups),
    /// Leaders that die: until another one has committed.
    Failover(Failover),
    /// Read requests, in one thread, until the leader may answer them.
    Read(Read),
    /// Encoding and decoding one MsgApp.
    Codec(Codec),
    /// Appending to a durable log.
    Wal(Wal),
    /// MsgApps over a transport on loopback, beside their codec alone and a plain socket.
    Transport(Transport),
    /// A snapshot over a transport on loopback, beside a plain socket, with heartbeats meanwhile.
    Stream(Stream),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// A proposal at a time, one MsgApp each.
    Single,
    /// A proposal at a time; MsgApps to a peer are merged before they leave.
    AppendBatching,
    /// One proposal message with all entries of the batch.
    Multi,
}

impl Mode {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Single => "single",
            Self::AppendBatching => "append-batching",
            Self::Multi => "multi",
        }
    }
}

#[derive(Debug, Args)]
pub struct Replication {
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=15))]
    pub nodes: u64,
    /// Bytes a payload.
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u64).range(MIN_PAYLOAD..))]
    pub payload: u64,
    /// Proposals between two passes over the nodes.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u64).range(1..))]
    pub batch: u64,
    #[arg(long, value_enum, default_value_t = Mode::Single)]
    pub mode: Mode,
    /// Encode and decode each message between nodes.
    #[arg(long)]
    pub wire: bool,
    /// Timed proposals.
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub proposals: u64,
    /// Proposals before the clock starts.
    #[arg(long, default_value_t = 20_000)]
    pub warmup: u64,
    /// Entries that lie in every log when the clock starts; from then on nothing is compacted.
    #[arg(long, default_value_t = 0)]
    pub log_length: u64,
    /// So many nodes, the last ones, are dead from before the warm-up on.
    #[arg(long, default_value_t = 0)]
    pub dead: u64,
    /// The last node takes its turn in every so manieth pass only, from before the warm-up on, and is not waited for.
    #[arg(long, default_value_t = 0, conflicts_with = "dead")]
    pub slow: u64,
    /// The last node is cut off while so many entries are replicated; it comes back when the clock starts, and is not waited for.
    #[arg(long, default_value_t = 0, conflicts_with_all = ["dead", "slow", "log_length"])]
    pub behind: u64,
}

impl Replication {
    /// Panics unless the nodes that are waited for are a quorum.
    #[must_use]
    pub fn awaited(&self) -> usize {
        let left_out = match self.dead {
            0 => u64::from(self.slow > 0 || self.behind > 0),
            n => n,
        };
        assert!(left_out * 2 < self.nodes, "too few nodes are left");
        (self.nodes - left_out) as usize
    }
}

#[derive(Debug, Args)]
pub struct Clients {
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..))]
    pub clients: u64,
    #[arg(long, default_value_t = 5.0)]
    pub seconds: f64,
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=15))]
    pub nodes: u64,
    /// Which in-memory store, where the driver offers several.
    #[arg(long)]
    pub store: Option<String>,
    /// Threads of the runtime; the machine's cores unless given.
    #[arg(long)]
    pub workers: Option<usize>,
}

#[derive(Debug, Args)]
pub struct Node {
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=15))]
    pub nodes: u64,
    /// Proposals in flight.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..))]
    pub window: u64,
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u64).range(MIN_PAYLOAD..))]
    pub payload: u64,
    #[arg(long, default_value_t = 5.0)]
    pub seconds: f64,
    /// Hand what is to be written and applied to another thread through a channel, where the library has another way as well.
    #[arg(long)]
    pub channel: bool,
    /// Propose together what is free, where the library's driver would give each proposal a thread of its own. Ours always does.
    #[arg(long)]
    pub together: bool,
}

#[derive(Debug, Args)]
pub struct OneNode {
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub proposals: u64,
    /// Sleep between append and advance; etcd's bench has 1000.
    #[arg(long, default_value_t = 1000)]
    pub sync_micros: u64,
}

#[derive(Debug, Args)]
pub struct Idle {
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub groups: u64,
    /// Ticks between heartbeats; the election timeout is ten times as long.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub heartbeat: u64,
    /// Timed ticks of every node.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..))]
    pub ticks: u64,
}

#[derive(Debug, Args)]
pub struct Groups {
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    pub groups: u64,
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u64).range(MIN_PAYLOAD..))]
    pub payload: u64,
    /// Timed turns; in each, every group replicates one proposal.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    pub turns: u64,
}

#[derive(Debug, Args)]
pub struct Failover {
    /// Leaders that die, each in a group of three of its own.
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u64).range(1..))]
    pub leaders: u64,
}

#[derive(Debug, Args)]
pub struct Read {
    /// Requests between two passes over the nodes, each with a context of its own.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u64).range(1..))]
    pub batch: u64,
    /// By the leader's lease, without asking the others.
    #[arg(long)]
    pub lease: bool,
    /// Proposals of 128 B that are replicated with each batch.
    #[arg(long, default_value_t = 0)]
    pub writes: u64,
    /// Timed requests.
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub reads: u64,
}

#[derive(Debug, Args)]
pub struct Codec {
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u64).range(1..))]
    pub entries: u64,
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u64).range(MIN_PAYLOAD..))]
    pub payload: u64,
}

#[derive(Debug, Args)]
pub struct Wal {
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u64).range(MIN_PAYLOAD..))]
    pub payload: u64,
    /// Entries an append.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub batch: u64,
    /// Threads, each appending to a log of its own inside the engine.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub writers: u64,
    #[arg(long, default_value_t = 5.0)]
    pub seconds: f64,
    /// Where the files go; a folder of its own is made inside and removed at the end.
    #[arg(long)]
    pub dir: PathBuf,
    /// Prepare zero-filled files before the clock starts, where the engine can.
    #[arg(long)]
    pub prefill: Option<bool>,
}

#[derive(Debug, Args)]
pub struct Transport {
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u64).range(MIN_PAYLOAD..))]
    pub payload: u64,
    /// Entries a message.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub entries: u64,
    /// Messages given to the transport at once.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u64).range(1..=512))]
    pub batch: u64,
    /// How long each of the things compared runs, all rounds together.
    #[arg(long, default_value_t = 5.0)]
    pub seconds: f64,
}

#[derive(Debug, Args)]
pub struct Stream {
    /// The snapshot's length.
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u64).range(1..=4096))]
    pub mib: u64,
    /// How often it is sent.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    pub times: u64,
    /// How long heartbeats are timed without a snapshot before each.
    #[arg(long, default_value_t = 1.0)]
    pub seconds: f64,
    /// The receiver reads it and keeps nothing, instead of gathering it in memory.
    #[arg(long, default_value_t = false, action = clap::ArgAction::Set)]
    pub discard: bool,
}

impl Bench {
    /// The bench's name and its arguments as they stand at the head of the report.
    #[must_use]
    pub fn describe(&self) -> (&'static str, Map<String, Value>) {
        let (name, value) = match self {
            Self::Replication(a) => (
                "replication",
                json!({"nodes": a.nodes, "payload": a.payload, "batch": a.batch, "mode": a.mode.name(),
                       "wire": a.wire, "proposals": a.proposals, "log_length": a.log_length,
                       "dead": a.dead, "slow": a.slow, "behind": a.behind}),
            ),
            Self::Clients(a) => ("clients", json!({"nodes": a.nodes, "clients": a.clients})),
            Self::Node(a) => (
                "node",
                json!({"nodes": a.nodes, "window": a.window, "payload": a.payload, "channel": a.channel, "together": a.together}),
            ),
            Self::Onenode(a) => (
                "onenode",
                json!({"proposals": a.proposals, "sync_micros": a.sync_micros}),
            ),
            Self::Idle(a) => (
                "idle",
                json!({"groups": a.groups, "heartbeat": a.heartbeat, "ticks": a.ticks}),
            ),
            Self::Groups(a) => (
                "groups",
                json!({"groups": a.groups, "payload": a.payload, "turns": a.turns}),
            ),
            Self::Failover(a) => ("failover", json!({"leaders": a.leaders})),
            Self::Read(a) => (
                "read",
                json!({"batch": a.batch, "lease": a.lease, "writes": a.writes, "reads": a.reads}),
            ),
            Self::Codec(a) => ("codec", json!({"entries": a.entries, "payload": a.payload})),
            Self::Wal(a) => (
                "wal",
                json!({"payload": a.payload, "batch": a.batch, "writers": a.writers}),
            ),
            Self::Transport(a) => (
                "transport",
                json!({"payload": a.payload, "entries": a.entries, "batch": a.batch}),
            ),
            Self::Stream(a) => (
                "stream",
                json!({"mib": a.mib, "times": a.times, "discard": a.discard}),
            ),
        };
        let Value::Object(map) = value else {
            unreachable!("json! of a braced list is an object")
        };
        (name, map)
    }
}
