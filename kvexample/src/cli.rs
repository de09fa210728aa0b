//! The arguments of the command line. Go: the flags in main.go

use clap::{Args, Parser, Subcommand};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// A replicated key-value store: every layer of tickraft put together.
///
/// New here? Run `kvexample demo`.
#[derive(Debug, Parser)]
#[command(name = "kvexample", version, propagate_version = true)]
pub struct Cli {
    /// Show what the nodes log: once for what matters, twice for all
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub verbose: u8,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start a cluster in this process, stop its leader, bring it back, and tell what happens
    Demo(DemoArgs),
    /// Run one node
    Serve(ServeArgs),
    /// Set a key
    Put(PutArgs),
    /// Read a key
    Get(GetArgs),
    /// Remove a key
    Del(DelArgs),
    /// Show what a node knows of itself and its cluster
    Status(StatusArgs),
    /// Show or change who is in the cluster
    Members(MembersArgs),
    /// Copy the whole state into a file, while the cluster serves
    Backup(BackupArgs),
    /// Make a directory for a new cluster of one node from such a file
    Restore(RestoreArgs),
    /// Make a node's directory a new cluster of its own, when a majority is lost for good
    Recover(RecoverArgs),
}

/// `kvexample backup`
#[derive(Debug, Args)]
pub struct BackupArgs {
    /// Where to; a file that does not exist yet
    pub file: PathBuf,
    /// From whom.
    #[command(flatten)]
    pub to: Endpoints,
}

/// `kvexample restore`
#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// What `backup` wrote
    pub file: PathBuf,
    /// The new cluster's only node
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=crate::kvstore::MAX_MEMBER_ID))]
    pub id: u64,
    /// Where its Raft transport is to listen
    #[arg(long, value_name = "HOST:PORT")]
    pub addr: String,
    /// The directory; new, or empty [default: ./kvexample-ID]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// The new cluster's token
    #[arg(long, default_value = TOKEN)]
    pub token: String,
}

/// `kvexample recover`
///
/// Take the node whose log goes furthest (kvexample status). Writes that only the lost nodes had are lost.
#[derive(Debug, Args)]
pub struct RecoverArgs {
    /// The directory of a node that is stopped
    #[arg(long, value_name = "DIR")]
    pub force_new_cluster: PathBuf,
    /// Where its Raft transport is to listen, if elsewhere than before
    #[arg(long, value_name = "HOST:PORT")]
    pub addr: Option<String>,
    /// The token that it was started with; only printed
    #[arg(long, default_value = TOKEN)]
    pub token: String,
}

/// The token where none is given.
pub const TOKEN: &str = "kvexample";

/// `kvexample demo`
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// How many nodes (1 to 9; three survive the loss of one, five of two)
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=9))]
    pub nodes: u64,
    /// End after the story instead of staying up until Ctrl-C
    #[arg(long)]
    pub exit_when_done: bool,
}

/// `kvexample serve`
///
/// What it knows is on disk when it answers: stopped or killed, it comes back with the same command, and has forgotten nothing.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// This node's id, 1 or higher
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=crate::kvstore::MAX_MEMBER_ID))]
    pub id: u64,
    /// The members' Raft addresses, ID=HOST:PORT,… (without "ID=" they are numbered from 1)
    ///
    /// The same list on every node of a new cluster, and whenever one of them comes back (or none: its directory knows the members).
    /// For a node that joins: the present members and, unless --listen is given, itself.
    #[arg(long, value_name = "LIST")]
    pub cluster: Option<PeerList>,
    /// Where the node keeps its log and snapshots [default: ./kvexample-ID]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// The port of the HTTP API
    #[arg(long)]
    pub port: u16,
    /// Join a running cluster: the node waits until it is added (kvexample members add)
    #[arg(long)]
    pub join: bool,
    /// The address that the HTTP API listens on; anything but loopback is open to all who reach it: there is no encryption and no password
    #[arg(long, default_value = "127.0.0.1")]
    pub http_host: std::net::IpAddr,
    /// Where the Raft transport listens, if not at this node's address in the list
    #[arg(long, value_name = "HOST:PORT")]
    pub listen: Option<SocketAddr>,
    /// The HTTP address that the other members are told, if not the one listened on
    #[arg(long, value_name = "HOST:PORT")]
    pub advertise_http: Option<String>,
    /// Nodes of clusters with different tokens do not talk to each other
    #[arg(long, default_value = TOKEN)]
    pub token: String,
    /// Limits and times.
    #[command(flatten)]
    pub tuning: Tuning,
}

/// What both a lone node and the demo's nodes can be tuned with.
#[derive(Clone, Debug, Args)]
pub struct Tuning {
    /// The length of a tick in milliseconds
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    pub tick_ms: u64,
    /// Ticks without a leader before an election
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(2..=10_000))]
    pub election_ticks: u32,
    /// Ticks between a leader's heartbeats
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub heartbeat_ticks: u32,
    /// Milliseconds until a request is answered with a timeout
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u64).range(10..=600_000))]
    pub request_timeout_ms: u64,
    /// The largest value in bytes
    #[arg(long, default_value_t = 1 << 20, value_parser = clap::value_parser!(u64).range(1..=64 << 20))]
    pub max_body: u64,
    /// The most bytes of requests in flight
    #[arg(long, default_value_t = 64 << 20, value_parser = clap::value_parser!(u64).range(1..=1 << 31))]
    pub max_bytes_in_flight: u64,
    /// The most requests in flight
    #[arg(long, default_value_t = 8_192, value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    pub max_requests_in_flight: u64,
    /// Take a snapshot when so many entries came since the last
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub snapshot_entries: u64,
    /// … or when the log grew by so many bytes, or by the last snapshot's size if that is more
    #[arg(long, default_value_t = 64 << 20, value_parser = clap::value_parser!(u64).range(1..))]
    pub snapshot_bytes: u64,
    /// Keep so many entries behind a snapshot for slow followers
    #[arg(long, default_value_t = 5_000)]
    pub catch_up_entries: u64,
    /// The log is written in files of so many bytes, preallocated
    #[arg(long, default_value_t = 64_000_000, value_parser = clap::value_parser!(u64).range(1 << 16..=1 << 32))]
    pub segment_bytes: u64,
    /// Bytes held back on the disk for what was taken on before it was full
    #[arg(long, default_value_t = 64 << 20)]
    pub reserve_bytes: u64,
}

/// Where the client sends its requests.
#[derive(Clone, Debug, Args)]
pub struct Endpoints {
    /// HTTP addresses of nodes, HOST:PORT,…; each is tried in turn
    #[arg(
        long,
        short,
        env = "KVEXAMPLE_ENDPOINTS",
        value_delimiter = ',',
        default_value = "127.0.0.1:12380"
    )]
    pub endpoints: Vec<String>,
    /// Seconds to keep trying; a day at the most
    #[arg(long, default_value = "15", value_parser = seconds)]
    pub timeout: Duration,
}

/// `kvexample put`
#[derive(Debug, Args)]
pub struct PutArgs {
    /// The key: any bytes that the shell passes on
    pub key: OsString,
    /// The value; read from standard input when absent
    pub value: Option<OsString>,
    /// Only if the key was last written at this index (0: only if it does not exist)
    #[arg(long, value_name = "INDEX")]
    pub if_match: Option<u64>,
    /// Where to.
    #[command(flatten)]
    pub to: Endpoints,
}

/// `kvexample get`
#[derive(Debug, Args)]
pub struct GetArgs {
    /// The key
    pub key: OsString,
    /// Read what that node has, even if it is out of date
    #[arg(long)]
    pub stale: bool,
    /// Where to.
    #[command(flatten)]
    pub to: Endpoints,
}

/// `kvexample del`
#[derive(Debug, Args)]
pub struct DelArgs {
    /// The key
    pub key: OsString,
    /// Only if the key was last written at this index
    #[arg(long, value_name = "INDEX")]
    pub if_match: Option<u64>,
    /// Where to.
    #[command(flatten)]
    pub to: Endpoints,
}

/// `kvexample status`
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Print the JSON
    #[arg(long)]
    pub json: bool,
    /// Where to.
    #[command(flatten)]
    pub to: Endpoints,
}

/// `kvexample members`
#[derive(Debug, Args)]
pub struct MembersArgs {
    /// What to do; the list when absent.
    #[command(subcommand)]
    pub command: Option<MembersCommand>,
    /// Where to.
    #[command(flatten)]
    pub to: Endpoints,
}

/// What to do with the members.
#[derive(Debug, Subcommand)]
pub enum MembersCommand {
    /// Show who is in the cluster
    List(ListArgs),
    /// Add a member; start it with `serve --join` then
    Add(AddArgs),
    /// Make a learner that has caught up a voter
    Promote(MemberArgs),
    /// Remove a member for good: its id is never used again
    Remove(MemberArgs),
}

/// `kvexample members list`
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Show what that node has, even if it is out of date
    #[arg(long)]
    pub stale: bool,
    /// Where to.
    #[command(flatten)]
    pub to: Endpoints,
}

/// `kvexample members add`
#[derive(Debug, Args)]
pub struct AddArgs {
    /// Where its Raft transport listens, HOST:PORT
    pub addr: String,
    /// Its id; an unused one is assigned when absent
    #[arg(long)]
    pub id: Option<u64>,
    /// Add it as a learner, to be promoted once it has caught up
    #[arg(long)]
    pub learner: bool,
    /// Only with this disk: the number that its `serve --join` prints
    #[arg(long, default_value_t = 0)]
    pub incarnation: u64,
    /// Skip the safety checks
    #[arg(long)]
    pub force: bool,
    /// Where to.
    #[command(flatten)]
    pub to: Endpoints,
}

/// `kvexample members promote` and `remove`
#[derive(Debug, Args)]
pub struct MemberArgs {
    /// The member
    pub id: u64,
    /// Skip the safety checks
    #[arg(long)]
    pub force: bool,
    /// Where to.
    #[command(flatten)]
    pub to: Endpoints,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let n: f64 = text.parse().map_err(|e| format!("{e}"))?;
    Duration::try_from_secs_f64(n).map_err(|e| e.to_string())
}

/// The members' Raft addresses, by id.
///
/// ```
/// use kvexample::cli::PeerList;
/// let plain: PeerList = "127.0.0.1:12379,127.0.0.1:22379".parse().unwrap();
/// let named: PeerList = "2=127.0.0.1:22379,1=http://127.0.0.1:12379".parse().unwrap();
/// assert_eq!(plain, named, "numbered from 1, sorted, and raftexample's http:// is taken off");
/// assert!("1=h:1,1=h:2".parse::<PeerList>().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerList(Vec<(u64, String)>);

impl PeerList {
    /// The members, by id.
    #[must_use]
    pub fn as_slice(&self) -> &[(u64, String)] {
        &self.0
    }

    /// The address of a member.
    #[must_use]
    pub fn addr(&self, id: u64) -> Option<&str> {
        self.0.iter().find(|p| p.0 == id).map(|p| p.1.as_str())
    }
}

impl FromStr for PeerList {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut peers = Vec::new();
        for (n, item) in (1u64..).zip(text.split(',')) {
            let (id, addr) = match item.split_once('=') {
                Some((id, addr)) => (
                    id.trim()
                        .parse()
                        .map_err(|_| format!("{id:?} is not an id"))?,
                    addr,
                ),
                None => (n, item),
            };
            let addr = addr
                .trim()
                .trim_start_matches("http://")
                .trim_end_matches('/');
            check_addr(addr)?;
            if id == 0 || id > crate::kvstore::MAX_MEMBER_ID {
                return Err(format!("id {id} is not between 1 and 2^63-1"));
            }
            if peers.iter().any(|(other, a)| *other == id || a == addr) {
                return Err(format!("{item:?} repeats an id or an address"));
            }
            peers.push((id, addr.to_owned()));
        }
        peers.sort_unstable();
        Ok(Self(peers))
    }
}

/// Whether the text is `HOST:PORT`.
///
/// # Errors
/// What is wrong, for people.
pub fn check_addr(addr: &str) -> Result<(), String> {
    let (host, port) = addr.rsplit_once(':').unwrap_or((addr, ""));
    let shape = !host.is_empty() && !host.contains(['/', ' ']) && addr.len() <= 255;
    match port.parse::<u16>() {
        Ok(p) if p != 0 && shape => Ok(()),
        _ => Err(format!("{addr:?} is not HOST:PORT")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn lists_that_cannot_be_meant_are_refused() {
        for bad in [
            "",
            "h",
            "h:0",
            "h:99999",
            ":1",
            "0=h:1",
            "x=h:1",
            "h:1,h:1",
            "2=h:1,h:2",
            "1=a/b:1",
        ] {
            assert!(bad.parse::<PeerList>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_documented_command_lines_parse() {
        for line in [
            "kvexample demo --nodes 5 --exit-when-done -v",
            "kvexample serve --id 1 --data-dir d --port 12380",
            "kvexample serve --id 1 --cluster 1=127.0.0.1:12379,2=127.0.0.1:22379,3=127.0.0.1:32379 --port 12380",
            "kvexample serve --id 4 --cluster http://127.0.0.1:1,http://127.0.0.1:2,http://127.0.0.1:3,http://127.0.0.1:4 --port 42380 --join",
            "kvexample put k v --endpoints a:1,b:2 --if-match 0",
            "kvexample get k --stale",
            "kvexample members",
            "kvexample members list -e a:1",
            "kvexample members add 127.0.0.1:42379 --id 4 --learner",
            "kvexample members promote 4 --force",
            "kvexample members remove 3",
            "kvexample backup f -e a:1",
            "kvexample restore f --id 1 --addr 127.0.0.1:12379 --data-dir d",
            "kvexample recover --force-new-cluster d",
        ] {
            if let Err(e) = Cli::try_parse_from(line.split(' ')) {
                panic!("{line}: {e}");
            }
        }
    }
}
