//! The threaded Node: proposals in flight from one thread until applied on the proposer's node, over an in-memory network.
//!
//! A node calls its application with each Ready ([`NodeOptions::serve`]) on whichever thread has work for it; what it sends it gives to the receiver's [`Node::step`]. Another thread ticks. The proposer
//! keeps `window` proposals in flight and proposes what has become free together; a proposal's latency ends when the proposer has heard that the leader's application has applied it, as a client of the rivals' does.

use benches::payload::{Applied, mix};
use benches::replication::new_log;
use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, tick, unbounded};
use node::{Error, Node, NodeOptions};
use peer_common::args::{self, Clients, OneNode};
use peer_common::latency::Latencies;
use peer_common::report::{Clock, join};
use rawnode::raft::slog::{Discard, Logger, o};
use rawnode::raft::{Config, StateType};
use rawnode::raftpb::{EntryType, Message};
use rawnode::storage::Writer;
use rawnode::{Persisted, RawNode, Ready};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};
use storage_mem::MemoryStorage;

/// raftexample's tick.
const TICK: Duration = Duration::from_millis(100);
/// Entries between two compactions of the log.
const COMPACT_EVERY: u64 = 10_000;
/// For what must happen soon.
const PATIENCE: Duration = Duration::from_secs(30);
/// What a command of the `clients` bench carries; the rival's are empty.
const COMMAND: u64 = 16;

/// A member of a group of so many, and its log.
fn new_raw(id: u64, nodes: u64, config: &Config) -> (RawNode<MemoryStorage>, MemoryStorage) {
    let log = new_log(nodes);
    let config = Config {
        id,
        ..config.clone()
    };
    let raw = RawNode::new(config, log.clone(), Logger::root(Discard, o!()), None);
    (raw.expect("the configuration is valid"), log)
}

/// Nodes in one process; a network of function calls.
struct Group {
    nodes: Arc<[OnceLock<Node>]>,
    /// The last applied index of every node.
    indexes: Arc<[AtomicU64]>,
    applied: Vec<Arc<Mutex<Applied>>>,
    /// The ticker, and the applications that take Readies from a channel.
    threads: Vec<thread::JoinHandle<()>>,
}

impl Group {
    /// `done` hears how many more proposals node 1 has applied. The applications are called with their Readies, or, with `channel`, have a thread each.
    fn start(config: &Config, size: usize, done: &Sender<u64>, a: &args::Node) -> Self {
        let mut group = Self {
            nodes: (0..a.nodes).map(|_| OnceLock::new()).collect(),
            indexes: (0..a.nodes).map(|_| AtomicU64::new(0)).collect(),
            applied: Vec::new(),
            threads: Vec::new(),
        };
        let options = NodeOptions {
            propose_queue: (a.window as usize).max(NodeOptions::default().propose_queue),
            ..NodeOptions::default()
        };
        let mut hosts = Vec::new();
        for id in 1..=a.nodes {
            let (raw, log) = new_raw(id, a.nodes, config);
            let applied = Arc::new(Mutex::new(Applied::new(size)));
            group.applied.push(Arc::clone(&applied));
            let mut host = Host {
                id,
                log,
                peers: Arc::clone(&group.nodes),
                applied,
                indexes: Arc::clone(&group.indexes),
                compacted: 0,
                done: (id == 1).then(|| done.clone()),
            };
            let node = if a.channel {
                hosts.push(host);
                options.spawn(raw)
            } else {
                options.serve(raw, move |rd, _| Ok(host.handle(rd)))
            };
            let node = node.expect("a thread starts");
            group.nodes[(id - 1) as usize].get_or_init(|| node);
        }
        let serving = hosts.into_iter().map(|h| thread::spawn(|| h.serve()));
        group.threads.extend(serving);
        let nodes = Arc::clone(&group.nodes);
        group.threads.push(thread::spawn(move || {
            for _ in tick(TICK) {
                if nodes.iter().any(|n| n.wait().tick().is_err()) {
                    return;
                }
            }
        }));
        group
    }

    fn leader(&self) -> &Node {
        self.nodes[0].wait()
    }

    /// Panics unless every node has applied all that was proposed, and nothing else ended it.
    fn stop(self, proposed: u64) {
        let last = self.indexes[0].load(Ordering::Acquire);
        wait_for("all have applied all", || {
            let mut indexes = self.indexes.iter();
            indexes.all(|i| i.load(Ordering::Acquire) >= last)
        });
        for n in &*self.nodes {
            n.wait().stop();
            assert_eq!(n.wait().ended(), Some(Error::Stopped));
        }
        for t in self.threads {
            t.join().expect("it reported before");
        }
        for applied in self.applied {
            applied.lock().expect("as above").check(proposed);
        }
    }
}

/// A node's application.
struct Host {
    id: u64,
    log: MemoryStorage,
    peers: Arc<[OnceLock<Node>]>,
    applied: Arc<Mutex<Applied>>,
    indexes: Arc<[AtomicU64]>,
    compacted: u64,
    /// Where the proposer hears how many more of its proposals are applied.
    done: Option<Sender<u64>>,
}

impl Host {
    fn handle(&mut self, mut rd: Ready) -> Persisted {
        self.send(rd.drain_messages());
        if !rd.write().is_empty() {
            Writer::append(&mut self.log, rd.write()).expect("it follows the log");
        }
        let mut p = rd.persisted();
        self.send(p.drain_messages());
        self.apply(&p);
        p
    }

    /// Handles Readies from the channel until the node is stopped.
    fn serve(mut self) {
        let node = self.peers[(self.id - 1) as usize].wait().clone();
        while let Ok(rd) = node.ready().recv() {
            let p = self.handle(rd);
            if node.advance(p).is_err() {
                return;
            }
        }
    }

    fn send(&self, messages: impl Iterator<Item = Message>) {
        for m in messages {
            // A stopped node takes no more.
            let _ = self.peers[(m.to - 1) as usize].wait().step(m);
        }
    }

    fn apply(&mut self, p: &Persisted) {
        let Some(last) = p.committed_entries().last() else {
            return;
        };
        let mut applied = self.applied.lock().expect("nobody panics holding it");
        let before = applied.count();
        for e in p.committed_entries() {
            if e.get_type() == EntryType::Normal && !e.data.is_empty() {
                applied.apply(&e.data);
            }
        }
        let more = applied.count() - before;
        drop(applied);
        self.indexes[(self.id - 1) as usize].store(last.index, Ordering::Release);
        if let Some(done) = &self.done
            && more > 0
        {
            // At the end the proposer has gone.
            let _ = done.send(more);
        }
        if last.index >= self.compacted + COMPACT_EVERY {
            self.compact();
        }
    }

    /// Drops what all nodes have applied.
    fn compact(&mut self) {
        let low = self.indexes.iter().map(|i| i.load(Ordering::Acquire)).min();
        let low = low.unwrap_or(0);
        if low >= self.compacted + COMPACT_EVERY {
            self.log.compact(low - 1).expect("it was applied");
            self.compacted = low;
        }
    }
}

/// Payload `i`: its number, zeros, and the word that checks it, as [`Applied`] wants them.
fn payload(i: u64, size: usize) -> Bytes {
    let mut bytes = vec![0; size];
    bytes[..8].copy_from_slice(&i.to_le_bytes());
    bytes[size - 8..].copy_from_slice(&mix(i).to_le_bytes());
    bytes.into()
}

/// Keeps proposals in flight until stopped.
struct Proposer {
    node: Node,
    window: usize,
    size: usize,
    done: Receiver<u64>,
    /// When those in flight were proposed.
    begun: VecDeque<Instant>,
    proposed: u64,
}

impl Proposer {
    fn run(mut self, from: Instant, to: Instant, latencies: &Latencies) -> u64 {
        while Instant::now() < to {
            self.propose();
            self.finish(from, to, latencies);
        }
        while !self.begun.is_empty() {
            self.finish(from, to, latencies);
        }
        self.proposed
    }

    /// Fills the window.
    fn propose(&mut self) {
        let now = Instant::now();
        let free = self.window - self.begun.len();
        let next = self.proposed..self.proposed + free as u64;
        for proposed in (self.node).propose_batch(next.map(|i| payload(i, self.size))) {
            proposed.expect("the queue is as long as the window");
            self.begun.push_back(now);
            self.proposed += 1;
        }
    }

    /// Waits until some are applied, and takes all that are. They end now: that the proposer has to wake up for it is part of their latency.
    fn finish(&mut self, from: Instant, to: Instant, latencies: &Latencies) {
        let first = self.done.recv_timeout(PATIENCE).expect("commits go on");
        let n = first + self.done.try_iter().sum::<u64>();
        let end = Instant::now();
        for begun in self.begun.drain(..n as usize) {
            if begun >= from && end <= to {
                latencies.record(0, end - begun);
            }
        }
    }
}

fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

pub(crate) fn node(a: &args::Node) -> (Value, Value) {
    let config = crate::with_heartbeat(1, 1);
    let (done, applied) = unbounded();
    let group = Group::start(&config, a.payload as usize, &done, a);
    let leader = group.leader();
    leader.campaign().expect("it may");
    let status = || leader.status().expect("it runs").basic;
    wait_for("node 1 leads", || {
        status().soft_state.raft_state == StateType::Leader
    });
    let term = status().hard_state.term;

    let length = Duration::from_secs_f64(a.seconds);
    let from = Instant::now() + (length / 5).max(Duration::from_millis(200));
    let to = from + length;
    let latencies = Latencies::new(1);
    let proposer = Proposer {
        node: leader.clone(),
        window: a.window as usize,
        size: a.payload as usize,
        done: applied,
        begun: VecDeque::with_capacity(a.window as usize),
        proposed: 0,
    };
    let (elapsed, proposed) = thread::scope(|scope| {
        let proposing = scope.spawn(|| proposer.run(from, to, &latencies));
        thread::sleep(from.saturating_duration_since(Instant::now()));
        let clock = Clock::start();
        thread::sleep(to.saturating_duration_since(Instant::now()));
        (clock.stop(), proposing.join().expect("it reported before"))
    });
    assert_eq!(
        status().hard_state.term,
        term,
        "an election disturbed the run"
    );
    group.stop(proposed);
    let (operations, percentiles) = latencies.summary();
    assert!(operations > 0, "nothing was applied within the window");
    let rate = json!({"seconds": a.seconds, "operations": operations, "per_second": operations as f64 / a.seconds, "cpu_seconds": elapsed.cpu_seconds});
    let application = match a.channel {
        true => "a thread a node takes Readies from the channel",
        false => "called with Readies by whoever brings work",
    };
    let how = json!({"proposers": "one thread", "network": "Node::step of the receiver", "application": application});
    (
        join([rate, percentiles]),
        join([crate::settings(&config), how]),
    )
}

/// A client waits for its answer before its next command, so clients are a window.
pub(crate) fn clients(a: &Clients) -> (Value, Value) {
    let (figures, settings) = node(&args::Node {
        nodes: a.nodes,
        window: a.clients,
        payload: COMMAND,
        seconds: a.seconds,
        channel: false,
        together: true,
    });
    (figures, join([settings, json!({"command_bytes": COMMAND})]))
}

/// The shape of etcd's BenchmarkOneNode.
pub(crate) fn one_node(a: &OneNode) -> (Value, Value) {
    let config = crate::with_heartbeat(1, 1);
    let (raw, mut log) = new_raw(1, 1, &config);
    let node = NodeOptions::default().spawn(raw).expect("a thread starts");
    let clock = Clock::start();
    node.campaign().expect("it may");
    let proposer = node.clone();
    let count = a.proposals;
    let proposing = thread::spawn(move || {
        let mut last = None;
        for _ in 0..count {
            loop {
                match proposer.propose(Bytes::from_static(b"foo")) {
                    Ok(ticket) => break last = Some(ticket),
                    // Go's Propose blocks; this waits for the last that had room.
                    Err(Error::QueueFull) => match last.take() {
                        Some(ticket) => drop(ticket.wait().expect("it leads")),
                        None => thread::yield_now(),
                    },
                    Err(e) => panic!("{e}"),
                }
            }
        }
    });
    let mut committed = 0;
    while committed < count {
        let rd = node.ready().recv().expect("it runs");
        Writer::append(&mut log, rd.write()).expect("it follows the log");
        if a.sync_micros > 0 {
            thread::sleep(Duration::from_micros(a.sync_micros));
        }
        let p = rd.persisted();
        committed += p
            .committed_entries()
            .iter()
            .filter(|e| e.data == "foo")
            .count() as u64;
        node.advance(p).expect("it runs");
    }
    let elapsed = clock.stop();
    proposing.join().expect("it reported before");
    node.stop();
    let last = rawnode::storage::Storage::last_index(&log).expect("it is in memory");
    assert_eq!(last, count + 1, "the leader's own entry and the proposals");
    let each = elapsed.seconds * 1e9 / count as f64;
    (
        join([elapsed.rate(count), json!({"ns_per_proposal": each})]),
        crate::settings(&config),
    )
}
