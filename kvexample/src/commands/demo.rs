//! `kvexample demo`: the life of a small cluster, told while it happens. Go: no counterpart (raftexample's README walks through it by hand)

use super::serve::terminated;
use super::{runtime, say};
use crate::api::StatusReport;
use crate::cli::DemoArgs;
use crate::client::Client;
use crate::error::Error;
use crate::httpapi::Limits;
use crate::{DataDir, Exit, Place, Server, ServerConfig, logging, random};
use slog::Logger;
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};
use storage_wal::DiskOptions;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// How long each step may take before the demo gives up.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(20);

pub(super) fn run(args: &DemoArgs, verbose: u8) -> Result<ExitCode, Error> {
    let (logger, _guard) = logging::stderr(verbose);
    let dir = tempfile::Builder::new().prefix("kvexample-demo-").tempdir();
    let mut demo = Demo {
        runtime: runtime()?,
        logger,
        dir: dir.map_err(|e| Error::Start(Box::new(e)))?,
        running: BTreeMap::new(),
        members: Vec::new(),
        written: Vec::new(),
    };
    let told = demo.story(args);
    let ended = demo.end();
    told.and(ended).map(|()| ExitCode::SUCCESS)
}

struct Demo {
    runtime: Runtime,
    logger: Logger,
    /// Removed at the end.
    dir: TempDir,
    running: BTreeMap<u64, Running>,
    /// The Raft addresses of the members.
    members: Vec<(u64, String)>,
    written: Vec<(String, String)>,
}

/// A node while it starts.
type Starting = tokio::task::JoinHandle<Result<Running, Error>>;

struct Running {
    server: Server,
    http: String,
    raft: String,
}

/// A node's two sockets, bound before anybody is told where they are.
struct Sockets {
    raft: TcpListener,
    raft_addr: String,
    http: TcpListener,
    http_addr: String,
}

impl Sockets {
    fn bind() -> Result<Self, Error> {
        Self::at("127.0.0.1:0", "127.0.0.1:0")
    }

    fn at(raft: &str, http: &str) -> Result<Self, Error> {
        let bind = |addr: &str| -> std::io::Result<_> {
            let listener = TcpListener::bind(addr)?;
            let addr = listener.local_addr()?.to_string();
            Ok((listener, addr))
        };
        let both = bind(raft).and_then(|raft| Ok((raft, bind(http)?)));
        let ((raft, raft_addr), (http, http_addr)) = both.map_err(|e| Error::Start(Box::new(e)))?;
        Ok(Self {
            raft,
            raft_addr,
            http,
            http_addr,
        })
    }
}

impl Demo {
    fn story(&mut self, args: &DemoArgs) -> Result<(), Error> {
        self.begin(args.nodes)?;
        let leader = self.first_leader()?;
        self.write_and_read()?;
        if args.nodes >= 3 {
            let (second, stopped) = self.lose(leader)?;
            self.write_without(leader, second)?;
            self.bring_back(leader, stopped)?;
        } else {
            say(
                "\nWith fewer than three nodes none can be lost: a majority of one or two is all of them.",
            )?;
            say("Run the demo with --nodes 3 to see the leader stopped and brought back.")?;
        }
        self.invite(args.exit_when_done)
    }

    fn begin(&mut self, nodes: u64) -> Result<(), Error> {
        say(format!(
            "Starting {nodes} node{} in this process. Each keeps a copy of all data on disk, in a directory of its own; they talk over TCP.\n",
            if nodes == 1 { "" } else { "s" }
        ))?;
        let sockets = (1..=nodes)
            .map(|id| Ok((id, Sockets::bind()?)))
            .collect::<Result<Vec<_>, Error>>()?;
        self.members = sockets
            .iter()
            .map(|(id, s)| (*id, s.raft_addr.clone()))
            .collect();
        // Together: each asks the others whether they know it before it begins.
        let starting: Vec<_> = sockets
            .into_iter()
            .map(|(id, sockets)| Ok((id, self.start(id, sockets)?)))
            .collect::<Result<Vec<_>, Error>>()?;
        for (id, starting) in starting {
            let started = self.runtime.block_on(starting);
            let running = started.map_err(|e| Error::Start(Box::new(e)))??;
            self.running.insert(id, running);
        }
        for (id, node) in &self.running {
            say(format!(
                "  node {id}   for clients http://{}   for the other nodes {}",
                node.http, node.raft
            ))?;
        }
        say(format!(
            "  Their directories are in {}, which is removed at the end.",
            self.dir.path().display()
        ))
    }

    fn start(&self, id: u64, sockets: Sockets) -> Result<Starting, Error> {
        let logger = self.logger.new(slog::o!("node" => id));
        let place = Place {
            id,
            token: "kvexample demo",
            members: &self.members,
            join: false,
            log: &logger,
        };
        // Small files: it is a short story.
        let wal = storage_wal::Options {
            segment_size: 1 << 20,
            reserve: 1 << 20,
            logger: logger.clone(),
            ..storage_wal::Options::default()
        };
        let options = DiskOptions {
            wal,
            ..DiskOptions::default()
        };
        let path = self.dir.path().join(format!("node-{id}"));
        let data = DataDir::open(&path, place, options, &AtomicBool::new(false))?;
        let (http, raft) = (sockets.http_addr.clone(), sockets.raft_addr.clone());
        let config = ServerConfig {
            id,
            members: self.members.clone(),
            join: false,
            seed: random(),
            raft_listener: sockets.raft,
            raft_addr: sockets.raft_addr,
            http_listener: sockets.http,
            http_addr: sockets.http_addr,
            tick: Duration::from_millis(100),
            election_ticks: 10,
            heartbeat_ticks: 1,
            request_timeout: Duration::from_secs(5),
            limits: Limits::default(),
            logger,
        };
        Ok(self.runtime.spawn(async move {
            let server = Server::start(config, data).await?;
            Ok(Running { server, http, raft })
        }))
    }

    fn first_leader(&self) -> Result<u64, Error> {
        say("\nThe nodes elect a leader: every change goes through it, in one order for all.")?;
        let (leader, term, _) = self.wait_for_leader(0)?;
        say(format!(
            "  Node {leader} leads. It was elected in term {term}; terms number the elections."
        ))?;
        Ok(leader)
    }

    /// Waits until all running nodes name the same leader, another than `gone`.
    fn wait_for_leader(&self, gone: u64) -> Result<(u64, u64, Duration), Error> {
        let begun = Instant::now();
        let agreed = self.wait("a leader", || {
            let all = self.statuses();
            let first = all.first()?;
            let same = all
                .iter()
                .all(|s| (s.leader, s.term) == (first.leader, first.term));
            let found = all.len() == self.running.len()
                && same
                && first.leader != 0
                && first.leader != gone;
            found.then_some((first.leader, first.term))
        })?;
        Ok((agreed.0, agreed.1, begun.elapsed()))
    }

    fn statuses(&self) -> Vec<StatusReport> {
        let of = |node: &Running| client(&[&node.http], Duration::from_secs(2)).status().ok();
        self.running.values().filter_map(of).collect()
    }

    fn wait<T>(&self, what: &str, mut look: impl FnMut() -> Option<T>) -> Result<T, Error> {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = look() {
                return Ok(found);
            }
            if Instant::now() >= until {
                return Err(Error::Stopped(format!(
                    "no sign of {what} within {} s",
                    PATIENCE.as_secs()
                )));
            }
            std::thread::sleep(LOOK);
        }
    }

    fn client(&self, id: u64) -> Result<Client, Error> {
        let node = self
            .running
            .get(&id)
            .ok_or_else(|| Error::Stopped(format!("node {id} is not running")))?;
        Ok(client(&[&node.http], PATIENCE))
    }

    fn put(&mut self, id: u64, key: &str, value: &str) -> Result<(), Error> {
        let written = self
            .client(id)?
            .put(key.as_bytes(), value.as_bytes(), None)?;
        say(format!(
            "  node {id}:  PUT {key} = {value}   entry {} of the log",
            written.index
        ))?;
        self.written.push((key.into(), value.into()));
        Ok(())
    }

    fn read_all(&self, id: u64) -> Result<(), Error> {
        let mut client = self.client(id)?;
        let mut seen = Vec::new();
        for (key, value) in &self.written {
            let found = client.get(key.as_bytes(), false)?;
            if found.is_none_or(|f| f.value != value.as_bytes()) {
                return Err(Error::Stopped(format!(
                    "node {id} does not have {key} = {value}"
                )));
            }
            seen.push(format!("{key} = {value}"));
        }
        say(format!("  node {id}:  {}", seen.join(", ")))
    }

    fn write_and_read(&mut self) -> Result<(), Error> {
        say(
            "\nWriting through each node. Any will do: it passes the change on to the leader, and answers when a majority has it.",
        )?;
        let ids: Vec<u64> = self.running.keys().copied().collect();
        for id in &ids {
            self.put(*id, &format!("from-{id}"), &format!("hello{id}"))?;
        }
        say(
            "\nReading everything from each node. A read never misses a write that was answered before it.",
        )?;
        ids.iter().try_for_each(|id| self.read_all(*id))
    }

    /// Stops the leader and finds the next one; with it, where the stopped one listened.
    fn lose(&mut self, leader: u64) -> Result<(u64, (String, String)), Error> {
        say(format!(
            "\nStopping node {leader}, the leader, without a warning, as a crash would."
        ))?;
        let mut stopped = (String::new(), String::new());
        if let Some(node) = self.running.remove(&leader) {
            stopped = (node.raft, node.http);
            self.runtime.block_on(node.server.kill());
        }
        say(
            "  The others hear nothing from it any more, and after about a second hold an election.",
        )?;
        let (next, term, took) = self.wait_for_leader(leader)?;
        say(format!(
            "  Node {next} leads now, in term {term}, {:.1} s later.",
            took.as_secs_f64()
        ))?;
        Ok((next, stopped))
    }

    fn write_without(&mut self, gone: u64, leader: u64) -> Result<(), Error> {
        say(format!(
            "\nWriting again, without node {gone}: {} of {} are a majority, and nothing that was answered is lost.",
            self.running.len(),
            self.members.len()
        ))?;
        let follower = self
            .running
            .keys()
            .copied()
            .find(|id| *id != leader)
            .unwrap_or(leader);
        self.put(leader, "after-the-stop", "still here")?;
        self.put(follower, "from-a-follower", "me too")?;
        self.read_all(follower)
    }

    fn bring_back(&mut self, gone: u64, stopped: (String, String)) -> Result<(), Error> {
        say(format!(
            "\nStarting node {gone} again, from its directory. Before it ever answered, it had written to disk what it answered for:"
        ))?;
        say(
            "each entry, and each vote. So it has forgotten nothing that the others rely on, and comes back as the member that it was;",
        )?;
        say("what was written while it was away, the leader sends it.")?;
        let sockets = Sockets::at(&stopped.0, &stopped.1)?;
        let starting = self.start(gone, sockets)?;
        let started = self.runtime.block_on(starting);
        let running = started.map_err(|e| Error::Start(Box::new(e)))??;
        self.running.insert(gone, running);
        let caught_up = self.wait("the node that came back", || {
            let goal = self.statuses().iter().map(|s| s.commit).max()?;
            let s = self.client(gone).ok()?.status().ok()?;
            (s.applied >= goal && s.leader != 0).then_some(s)
        })?;
        say(format!(
            "  Node {gone} follows node {} in term {} and has all {} entries.",
            caught_up.leader, caught_up.term, caught_up.applied
        ))?;
        say(format!(
            "\nReading everything from node {gone}, also what it was not there for:"
        ))?;
        self.read_all(gone)
    }

    fn invite(&self, exit_when_done: bool) -> Result<(), Error> {
        let http: Vec<&str> = self.running.values().map(|n| n.http.as_str()).collect();
        let (one, other) = (
            http.first().copied().unwrap_or_default(),
            http.last().copied().unwrap_or_default(),
        );
        if exit_when_done {
            return say("\nThat is the story.");
        }
        say("\nThe cluster stays up. Ask any node, from another terminal:\n")?;
        say(format!(
            "  curl -X PUT --data-binary 'hello' http://{one}/kv/greeting"
        ))?;
        say(format!("  curl http://{other}/kv/greeting"))?;
        say(format!("  curl http://{one}/members"))?;
        say(format!(
            "  cargo run --release -p kvexample -- status --endpoints {}",
            http.join(",")
        ))?;
        say("\nCtrl-C ends it.")?;
        self.runtime.block_on(terminated());
        say("")
    }

    fn end(mut self) -> Result<(), Error> {
        let mut failed = None;
        for (id, node) in std::mem::take(&mut self.running) {
            if let Exit::Failed(why) = self.runtime.block_on(node.server.kill()) {
                failed = Some(format!("node {id}: {why}"));
            }
        }
        self.runtime.shutdown_timeout(Duration::from_secs(1));
        match failed {
            None => Ok(()),
            Some(why) => Err(Error::Stopped(why)),
        }
    }
}

fn client(http: &[&str], patience: Duration) -> Client {
    Client::new(http.iter().map(|h| (*h).to_owned()).collect(), patience)
}
