//! The threaded Node: proposals in flight from one thread until applied on the proposer's node, over an in-memory network.
//!
//! A thread a node handles its Readys as the documentation of [`node`] says; what it sends it gives to the receiver's [`Node::step`], a bounded queue. The proposer
//! keeps `window` proposals in flight; a proposal's latency ends when the leader's thread has applied it.

use benches::payload::{Applied, mix};
use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, select, tick, unbounded};
use node::{Error, Node, NodeOptions};
use peer_common::args::{self, Clients, OneNode};
use peer_common::latency::Latencies;
use peer_common::report::{Clock, join};
use rawnode::raft::slog::{Discard, Logger, o};
use rawnode::raft::{Config, StateType};
use rawnode::raftpb::{ConfState, EntryType, Message, Snapshot};
use rawnode::storage::Writer;
use rawnode::{Persisted, RawNode};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
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

fn new_node(id: u64, nodes: u64, config: &Config) -> (Node, MemoryStorage) {
    let log = MemoryStorage::new();
    let mut first = Snapshot::default();
    first.metadata.conf_state = ConfState {
        voters: (1..=nodes).collect(),
        ..ConfState::default()
    };
    log.apply_snapshot(&first).expect("it is empty");
    let config = Config {
        id,
        ..config.clone()
    };
    let raw = RawNode::new(config, log.clone(), Logger::root(Discard, o!()), None);
    let node = NodeOptions::default().spawn(raw.expect("the configuration is valid"));
    (node.expect("a thread starts"), log)
}

/// A node's application.
struct Host {
    node: Node,
    log: MemoryStorage,
    peers: Vec<Node>,
    applied: Applied,
    /// The last applied index of every node.
    indexes: Arc<[AtomicU64]>,
    compacted: u64,
    /// Where the proposer hears how many more of its proposals are applied.
    done: Option<Sender<(u64, Instant)>>,
}

impl Host {
    /// Handles Readys until the node is stopped.
    fn serve(mut self) -> Applied {
        let ticks = tick(TICK);
        let ready = self.node.ready().clone();
        loop {
            select! {
                recv(ready) -> rd => {
                    let Ok(mut rd) = rd else { return self.applied };
                    self.send(rd.drain_messages());
                    if !rd.write().is_empty() {
                        Writer::append(&mut self.log, rd.write()).expect("it follows the log");
                    }
                    let mut p = rd.persisted();
                    self.send(p.drain_messages());
                    self.apply(&p);
                    if self.node.advance(p).is_err() {
                        return self.applied;
                    }
                }
                recv(ticks) -> _ => drop(self.node.tick()),
            }
        }
    }

    fn send(&self, messages: impl Iterator<Item = Message>) {
        for m in messages {
            // A stopped node takes no more.
            let _ = self.peers[(m.to - 1) as usize].step(m);
        }
    }

    fn apply(&mut self, p: &Persisted) {
        let before = self.applied.count();
        for e in p.committed_entries() {
            if e.get_type() == EntryType::Normal && !e.data.is_empty() {
                self.applied.apply(&e.data);
            }
        }
        let Some(last) = p.committed_entries().last() else {
            return;
        };
        self.indexes[(self.node.id() - 1) as usize].store(last.index, Ordering::Release);
        let more = self.applied.count() - before;
        if let Some(done) = &self.done
            && more > 0
        {
            // At the end the proposer has gone.
            let _ = done.send((more, Instant::now()));
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
    done: Receiver<(u64, Instant)>,
    /// When those in flight were proposed.
    begun: VecDeque<Instant>,
    proposed: u64,
}

impl Proposer {
    fn run(mut self, from: Instant, to: Instant, latencies: &Latencies) -> u64 {
        while Instant::now() < to {
            while self.begun.len() < self.window && self.propose() {}
            let n = self.done.recv_timeout(PATIENCE).expect("commits go on");
            self.finish(n, from, to, latencies);
            while let Ok(n) = self.done.try_recv() {
                self.finish(n, from, to, latencies);
            }
        }
        while !self.begun.is_empty() {
            let n = self.done.recv_timeout(PATIENCE).expect("commits go on");
            self.finish(n, from, to, latencies);
        }
        self.proposed
    }

    /// Whether there was room.
    fn propose(&mut self) -> bool {
        let now = Instant::now();
        match self.node.propose(payload(self.proposed, self.size)) {
            Ok(_ticket) => {
                self.begun.push_back(now);
                self.proposed += 1;
                true
            }
            Err(Error::QueueFull) if !self.begun.is_empty() => false,
            Err(e) => panic!("{e}"),
        }
    }

    fn finish(
        &mut self,
        (n, end): (u64, Instant),
        from: Instant,
        to: Instant,
        latencies: &Latencies,
    ) {
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

fn measure(nodes: u64, window: u64, size: u64, seconds: f64) -> (Value, Value) {
    let config = crate::with_heartbeat(1, 1);
    let (handles, logs): (Vec<_>, Vec<_>) =
        (1..=nodes).map(|id| new_node(id, nodes, &config)).unzip();
    let indexes: Arc<[AtomicU64]> = (0..nodes).map(|_| AtomicU64::new(0)).collect();
    let (done, applied) = unbounded();
    let host = |(node, log): (Node, MemoryStorage)| {
        let host = Host {
            done: (node.id() == 1).then(|| done.clone()),
            node,
            log,
            peers: handles.clone(),
            applied: Applied::new(size as usize),
            indexes: Arc::clone(&indexes),
            compacted: 0,
        };
        thread::spawn(move || host.serve())
    };
    let hosts: Vec<_> = handles.iter().cloned().zip(logs).map(host).collect();
    let leader = &handles[0];
    leader.campaign().expect("it may");
    let status = || leader.status().expect("it runs").basic;
    wait_for("node 1 leads", || {
        status().soft_state.raft_state == StateType::Leader
    });
    let term = status().hard_state.term;

    let length = Duration::from_secs_f64(seconds);
    let from = Instant::now() + (length / 5).max(Duration::from_millis(200));
    let to = from + length;
    let latencies = Latencies::new(1);
    let proposer = Proposer {
        node: leader.clone(),
        window: window as usize,
        size: size as usize,
        done: applied,
        begun: VecDeque::with_capacity(window as usize),
        proposed: 0,
    };
    let (elapsed, proposed) = thread::scope(|scope| {
        let proposing = scope.spawn(|| proposer.run(from, to, &latencies));
        thread::sleep(from.saturating_duration_since(Instant::now()));
        let clock = Clock::start();
        thread::sleep(to.saturating_duration_since(Instant::now()));
        (clock.stop(), proposing.join().expect("it reported before"))
    });
    let last = indexes[0].load(Ordering::Acquire);
    wait_for("all have applied all", || {
        indexes.iter().all(|i| i.load(Ordering::Acquire) >= last)
    });
    assert_eq!(
        status().hard_state.term,
        term,
        "an election disturbed the run"
    );
    handles.iter().for_each(Node::stop);
    for host in hosts {
        host.join().expect("it reported before").check(proposed);
    }
    let (operations, percentiles) = latencies.summary();
    assert!(operations > 0, "nothing was applied within the window");
    let rate = json!({"seconds": seconds, "operations": operations, "per_second": operations as f64 / seconds, "cpu_seconds": elapsed.cpu_seconds});
    let how = json!({"proposers": "one thread", "network": "Node::step of the receiver"});
    (
        join([rate, percentiles]),
        join([crate::settings(&config), how]),
    )
}

pub(crate) fn node(a: &args::Node) -> (Value, Value) {
    measure(a.nodes, a.window, a.payload, a.seconds)
}

/// A client waits for its answer before its next command, so clients are a window.
pub(crate) fn clients(a: &Clients) -> (Value, Value) {
    let (figures, settings) = measure(a.nodes, a.clients, COMMAND, a.seconds);
    (figures, join([settings, json!({"command_bytes": COMMAND})]))
}

/// The shape of etcd's BenchmarkOneNode.
pub(crate) fn one_node(a: &OneNode) -> (Value, Value) {
    let config = crate::with_heartbeat(1, 1);
    let (node, mut log) = new_node(1, 1, &config);
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
