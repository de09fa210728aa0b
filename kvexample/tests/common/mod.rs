//! What the tests share: clusters in this process, nodes as processes, and waiting for conditions. Go: no counterpart
#![allow(dead_code, missing_docs, unreachable_pub)]

pub mod fs;
pub mod proxy;

use kvexample::api::{AddMember, StatusReport};
use kvexample::client::Client;
use kvexample::error::Error;
use kvexample::httpapi::Limits;
use kvexample::slog::{Logger, o};
use kvexample::storage_wal::{self, DiskOptions};
use kvexample::{DataDir, Exit, Place as Member, Server, ServerConfig, random};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

/// How long anything may take that is not a matter of time: only a hanging test gets here.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until there is something to return.
#[track_caller]
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub fn client(http: &str) -> Client {
    Client::new(vec![http.to_owned()], PATIENCE)
}

/// A client that asks once.
pub fn hasty(http: &str) -> Client {
    Client::new(vec![http.to_owned()], Duration::ZERO)
}

/// What a test changes about its nodes.
#[derive(Clone, Debug)]
pub struct Options {
    pub tick: Duration,
    pub election_ticks: u32,
    pub request_timeout: Duration,
    pub limits: Limits,
    pub disk: DiskOptions,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            tick: Duration::from_millis(30),
            election_ticks: 10,
            request_timeout: Duration::from_secs(5),
            limits: Limits::default(),
            disk: small_disk(),
        }
    }
}

/// Small files, so that many nodes find room.
pub fn small_disk() -> DiskOptions {
    let wal = storage_wal::Options {
        segment_size: 1 << 20,
        reserve: 1 << 20,
        ..storage_wal::Options::default()
    };
    DiskOptions {
        wal,
        ..DiskOptions::default()
    }
}

/// A disk whose node takes a snapshot after so many entries, and keeps so many behind it.
pub fn snapshots_after(entries: u64, keep: u64) -> DiskOptions {
    let mut disk = small_disk();
    (disk.snapshot_entries, disk.wal.keep_entries) = (entries, keep);
    disk
}

/// The token of the clusters in this process.
pub const TOKEN: &str = "test";

/// A cluster in this process.
pub struct Cluster {
    pub runtime: Runtime,
    pub options: Options,
    pub nodes: BTreeMap<u64, Node>,
    pub members: Vec<(u64, String)>,
    /// The list that it began with.
    pub first: Vec<(u64, String)>,
    pub dir: TempDir,
}

pub struct Node {
    pub server: Server,
    pub http: String,
    pub raft: String,
    pub incarnation: u64,
}

/// A node's sockets, and what others are told of them.
pub struct Sockets {
    pub raft: TcpListener,
    pub raft_addr: String,
    pub http: TcpListener,
}

impl Sockets {
    pub fn bind() -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").unwrap())
    }

    pub fn on(raft: TcpListener) -> Self {
        let raft_addr = raft.local_addr().unwrap().to_string();
        Self {
            raft,
            raft_addr,
            http: TcpListener::bind("127.0.0.1:0").unwrap(),
        }
    }
}

impl Cluster {
    pub fn start(n: u64, options: Options) -> Self {
        let sockets: Vec<Sockets> = (0..n).map(|_| Sockets::bind()).collect();
        Self::start_on(sockets, options)
    }

    pub fn start_on(sockets: Vec<Sockets>, options: Options) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let members: Vec<(u64, String)> = (1..)
            .zip(&sockets)
            .map(|(id, s)| (id, s.raft_addr.clone()))
            .collect();
        let mut cluster = Self {
            runtime,
            options,
            nodes: BTreeMap::new(),
            first: members.clone(),
            members,
            dir: tempfile::tempdir().unwrap(),
        };
        // Together: each asks the others whether they know it before it begins.
        let starting: Vec<_> = (1..)
            .zip(sockets)
            .map(|(id, sockets)| (id, cluster.launch(id, sockets, false).unwrap()))
            .collect();
        for (id, starting) in starting {
            let node = cluster.runtime.block_on(starting).unwrap().unwrap();
            cluster.nodes.insert(id, node);
        }
        cluster
    }

    /// Where a node's data is.
    pub fn path(&self, id: u64) -> PathBuf {
        self.dir.path().join(format!("node-{id}"))
    }

    pub fn id(&self) -> u64 {
        kvexample::cluster_id(TOKEN, &self.first)
    }

    /// Starts a node; the cluster is not told.
    pub fn add(&mut self, id: u64, sockets: Sockets, join: bool) {
        self.try_add(id, sockets, join).unwrap();
    }

    pub fn try_add(&mut self, id: u64, sockets: Sockets, join: bool) -> Result<(), Error> {
        let starting = self.launch(id, sockets, join)?;
        let node = self.runtime.block_on(starting).unwrap()?;
        self.nodes.insert(id, node);
        Ok(())
    }

    /// Starts a node that was stopped, where it was and on what it left.
    pub fn restart(&mut self, id: u64) {
        let addr = self.members.iter().find(|m| m.0 == id).unwrap().1.clone();
        let listener = eventually("its port", || TcpListener::bind(&addr).ok());
        self.add(id, Sockets::on(listener), false);
    }

    fn launch(
        &self,
        id: u64,
        sockets: Sockets,
        join: bool,
    ) -> Result<JoinHandle<Result<Node, Error>>, Error> {
        let (o, raft) = (&self.options, sockets.raft_addr.clone());
        let http = sockets.http.local_addr().unwrap().to_string();
        let members = if join { &self.members } else { &self.first };
        let log = logger().new(o!("node" => id));
        let member = Member {
            id,
            token: TOKEN,
            members,
            join,
            log: &log,
        };
        let mut disk = o.disk.clone();
        disk.wal.logger = log.clone();
        let data = DataDir::open(&self.path(id), member, disk, &AtomicBool::new(false))?;
        let incarnation = data.incarnation();
        let config = ServerConfig {
            id,
            members: members.clone(),
            join,
            seed: random(),
            raft_listener: sockets.raft,
            raft_addr: sockets.raft_addr,
            http_listener: sockets.http,
            http_addr: http.clone(),
            tick: o.tick,
            election_ticks: o.election_ticks,
            heartbeat_ticks: 1,
            request_timeout: o.request_timeout,
            limits: o.limits,
            logger: log,
        };
        Ok(self.runtime.spawn(async move {
            let server = Server::start(config, data).await?;
            Ok(Node {
                server,
                http,
                raft,
                incarnation,
            })
        }))
    }

    pub fn http(&self, id: u64) -> &str {
        &self.nodes[&id].http
    }

    pub fn client(&self, id: u64) -> Client {
        client(self.http(id))
    }

    /// A client of all running nodes.
    pub fn any(&self) -> Client {
        Client::new(
            self.nodes.values().map(|n| n.http.clone()).collect(),
            PATIENCE,
        )
    }

    /// What a node says of itself, however long it takes.
    pub fn report(&self, id: u64) -> StatusReport {
        self.client(id).status().unwrap()
    }

    /// The same, if it says it at once.
    pub fn status(&self, id: u64) -> Option<StatusReport> {
        hasty(self.http(id)).status().ok()
    }

    /// Waits until all running nodes know the same leader.
    pub fn leader(&self) -> u64 {
        eventually("a leader that all know", || {
            let all: Option<Vec<StatusReport>> =
                self.nodes.keys().map(|id| self.status(*id)).collect();
            let all = all?;
            let lead = all.first()?.leader;
            let known = lead != 0 && self.nodes.contains_key(&lead);
            (known && all.iter().all(|s| s.leader == lead)).then_some(lead)
        })
    }

    pub fn follower(&self) -> u64 {
        let leader = self.leader();
        *self.nodes.keys().find(|id| **id != leader).unwrap()
    }

    pub fn kill(&mut self, id: u64) {
        let node = self.nodes.remove(&id).unwrap();
        self.runtime.block_on(node.server.kill());
    }

    /// Waits until the node ends by itself, and stops it.
    pub fn ended(&mut self, id: u64) -> Exit {
        let node = self.nodes.remove(&id).unwrap();
        self.runtime.block_on(async {
            let ended = tokio::time::timeout(PATIENCE, node.server.ended()).await;
            let exit = node.server.shut_down().await;
            assert_eq!(ended.expect("the node did not end"), exit);
            exit
        })
    }

    /// Adds a member over HTTP and starts it.
    pub fn join(&mut self, learner: bool) -> u64 {
        let sockets = Sockets::bind();
        let addr = sockets.raft_addr.clone();
        let add = AddMember {
            id: None,
            addr: addr.clone(),
            learner,
            incarnation: 0,
            force: false,
        };
        let id = self.any().add_member(&add).unwrap().id.unwrap();
        self.members.push((id, addr));
        self.add(id, sockets, true);
        id
    }

    /// Waits until a node has applied what is committed now.
    pub fn caught_up(&self, id: u64) {
        let commits = self.nodes.keys().map(|id| self.report(*id).commit);
        let goal = commits.max().unwrap();
        eventually("a node to catch up", || {
            self.status(id).filter(|s| s.applied >= goal)
        });
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for (_, node) in std::mem::take(&mut self.nodes) {
            self.runtime.block_on(node.server.kill());
        }
    }
}

/// Silent, unless the variable `KVEXAMPLE_LOG` is set.
pub fn logger() -> Logger {
    static LOGGER: OnceLock<(Logger, Option<slog_async::AsyncGuard>)> = OnceLock::new();
    let level = if std::env::var_os("KVEXAMPLE_LOG").is_some() {
        2
    } else {
        0
    };
    LOGGER
        .get_or_init(|| kvexample::logging::stderr(level))
        .0
        .clone()
}

/// The answer to a request that the client above would not make.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: ureq::http::HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The word for programs in an error's body, and whether it may be applied.
    pub fn error(&self) -> (String, String) {
        let json = self.json();
        let text = |k: &str| json[k].as_str().unwrap().to_owned();
        assert!(
            !text("message").is_empty() && !text("what_to_do").is_empty(),
            "{json}"
        );
        (text("error"), text("applied"))
    }
}

/// Sends one request as it is.
pub fn send(method: &str, url: &str, headers: &[(&str, &str)], body: Option<&[u8]>) -> Answer {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(PATIENCE))
        .proxy(None)
        .build()
        .into();
    let mut request = ureq::http::Request::builder()
        .method(method)
        .uri(format!("http://{url}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut answer = match body {
        Some(body) => agent.run(request.body(body).unwrap()).unwrap(),
        None => agent.run(request.body(()).unwrap()).unwrap(),
    };
    Answer {
        status: answer.status().as_u16(),
        headers: answer.headers().clone(),
        body: answer.body_mut().read_to_vec().unwrap(),
    }
}

/// A node as a process. Killed and reaped when dropped.
pub struct Process {
    pub id: u64,
    pub http: String,
    pub raft: String,
    child: Child,
    /// Kept for as long as the process runs.
    _dir: Arc<TempDir>,
}

/// The addresses of one node.
#[derive(Clone, Debug)]
pub struct Place {
    pub id: u64,
    /// What others are told.
    pub raft: String,
    /// Where it listens, if elsewhere.
    pub listen: Option<String>,
    /// Its HTTP port; 0: any.
    pub port: u16,
    /// Holds its data.
    pub dir: Arc<TempDir>,
}

impl Place {
    pub fn new(id: u64, raft: String) -> Self {
        Self {
            id,
            raft,
            listen: None,
            port: 0,
            dir: Arc::new(tempfile::tempdir().unwrap()),
        }
    }

    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }
}

/// Ports that nobody uses now. Another process may take one before the node does; then starting it is tried again.
pub fn free_addr() -> String {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string()
}

impl Process {
    /// Starts `serve`; `Err` when it ended at once (a port was taken meanwhile).
    pub fn serve(place: &Place, cluster: &[Place], more: &[&str]) -> Result<Self, String> {
        let list: Vec<String> = cluster
            .iter()
            .map(|p| format!("{}={}", p.id, p.raft))
            .collect();
        let list = list.join(",");
        let more = [&["--cluster", &list][..], more].concat();
        Self::come_back(place, &place.data(), &more)
    }

    /// Starts `serve` on a directory that knows the members; `Err` as above.
    pub fn come_back(place: &Place, data: &Path, more: &[&str]) -> Result<Self, String> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kvexample"));
        command
            .args(["serve", "--port", &place.port.to_string(), "--id"])
            .arg(place.id.to_string())
            .args(["--segment-bytes", "4000000", "--reserve-bytes", "4000000"])
            .arg("--data-dir")
            .arg(data)
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(if std::env::var_os("KVEXAMPLE_LOG").is_some() {
                Stdio::inherit()
            } else {
                Stdio::null()
            });
        if let Some(listen) = &place.listen {
            command.args(["--listen", listen]);
        }
        let mut child = command.spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut banner = String::new();
        out.read_line(&mut banner).unwrap();
        // "Node 1 is one of 3. HTTP http://127.0.0.1:1234, Raft ..."
        let http = banner
            .split("HTTP http://")
            .nth(1)
            .and_then(|t| t.split(',').next());
        let Some(http) = http.map(str::to_owned) else {
            let _ = child.kill();
            let _ = child.wait();
            return Err(banner);
        };
        // Somebody must read the rest, or the node's writes would block one day.
        std::thread::spawn(move || std::io::copy(&mut out, &mut std::io::sink()));
        Ok(Self {
            id: place.id,
            http,
            raft: place.raft.clone(),
            child,
            _dir: Arc::clone(&place.dir),
        })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn client(&self) -> Client {
        client(&self.http)
    }

    /// SIGKILL, and the end of it.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends a signal by name.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args(["-s", name, &self.pid().to_string()])
            .status()
            .unwrap();
        assert!(sent.success());
    }

    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits until it ends by itself.
    pub fn wait(mut self) -> ExitStatus {
        eventually("a process to end", || self.has_ended())
    }

    /// Resident memory in KiB; 0 where the system does not tell.
    pub fn resident(&self) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
        line.and_then(|l| l.trim().trim_end_matches(" kB").parse().ok())
            .unwrap_or(0)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Already ended is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a cluster of processes; anew on other ports when one was taken.
pub fn processes(n: u64, more: &[&str]) -> (Vec<Place>, Vec<Process>) {
    for _ in 0..10 {
        let places: Vec<Place> = (1..=n).map(|id| Place::new(id, free_addr())).collect();
        let all: Result<Vec<Process>, String> = places
            .iter()
            .map(|p| Process::serve(p, &places, more))
            .collect();
        match all {
            Ok(all) => return (places, all),
            Err(why) => eprintln!("trying again on other ports: {why:?}"),
        }
    }
    panic!("ten times a port was taken");
}

/// Waits until these know the same leader, one of them.
pub fn leader_of(all: &[Process]) -> u64 {
    eventually("a leader that all know", || {
        let all_statuses: Option<Vec<StatusReport>> =
            all.iter().map(|p| hasty(&p.http).status().ok()).collect();
        let statuses = all_statuses?;
        let lead = statuses.first()?.leader;
        let known = all.iter().any(|p| p.id == lead);
        (known && statuses.iter().all(|s| s.leader == lead)).then_some(lead)
    })
}
