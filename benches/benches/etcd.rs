//! etcd-io/raft's own benches. Go: node_bench_test.go, rafttest/node_bench_test.go, rawnode_test.go, quorum/bench_test.go
// The macros make public functions; a bench ends at the first thing that is not as it must be.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

use benches::counted::{CallStats, Counted};
use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use crossbeam_channel::{Receiver, Sender, select, tick, unbounded};
use node::{Error, Node, Ticket, restart_node};
use rawnode::RawNode;
use rawnode::raft::quorum::{Index, MajorityConfig};
use rawnode::raft::slog::{Discard, Logger, o};
use rawnode::raft::{Config, ProgressType, StateType, tracker};
use rawnode::raftpb::{ConfState, Message, MessageType, Snapshot};
use rawnode::storage::Writer;
use std::collections::HashMap;
use std::hint::black_box;
use std::thread;
use std::time::{Duration, Instant};
use storage_mem::MemoryStorage;

fn discard() -> Logger {
    Logger::root(Discard, o!())
}

fn storage_with(voters: impl IntoIterator<Item = u64>) -> MemoryStorage {
    let s = MemoryStorage::new();
    let mut snapshot = Snapshot::default();
    snapshot.metadata.conf_state = ConfState {
        voters: voters.into_iter().collect(),
        ..ConfState::default()
    };
    s.apply_snapshot(&snapshot).unwrap();
    s
}

/// Proposes, waiting for room in the queue: Go's Propose blocks.
fn propose(node: &Node, data: &'static str, last: &mut Option<Ticket>) {
    loop {
        match node.propose(Bytes::from_static(data.as_bytes())) {
            Ok(ticket) => *last = Some(ticket),
            Err(Error::QueueFull) => {
                if let Some(ticket) = last.take() {
                    ticket.wait().unwrap();
                } else {
                    thread::yield_now();
                }
                continue;
            }
            Err(e) => panic!("{e}"),
        }
        return;
    }
}

/// One threaded node with a disk that takes a millisecond to sync: proposals committed a second. Go: BenchmarkOneNode
fn one_node(iters: u64) -> Duration {
    let mut s = storage_with([1]);
    let node = restart_node(Config::new(1, 42), s.clone(), discard(), None).unwrap();
    let start = Instant::now();
    node.campaign().unwrap();
    let proposer = node.clone();
    let proposing = thread::spawn(move || {
        let mut last = None;
        for _ in 0..iters {
            propose(&proposer, "foo", &mut last);
        }
    });
    loop {
        let rd = node.ready().recv().unwrap();
        Writer::append(&mut s, rd.write()).unwrap();
        let commit = rd.hard_state().map_or(0, |hs| hs.commit);
        thread::sleep(Duration::from_millis(1));
        node.advance(rd.persisted()).unwrap();
        // The new leader's own entry is one more.
        if commit == iters + 1 {
            break;
        }
    }
    let elapsed = start.elapsed();
    proposing.join().unwrap();
    node.stop();
    elapsed
}

fn bench_one_node(c: &mut Criterion) {
    c.bench_function("OneNode", |b| b.iter_custom(one_node));
}

/// A member of an in-process network: it ticks, delivers and applies on a thread of its own until stopped.
fn member(
    node: Node,
    mut log: MemoryStorage,
    inbox: Receiver<Message>,
    peers: Vec<Sender<Message>>,
    applied: Sender<u64>,
    stop: Receiver<()>,
) {
    let ticks = tick(Duration::from_millis(5));
    let send = |m: Message| {
        let to = usize::try_from(m.to - 1).unwrap();
        let _ = peers[to].send(m);
    };
    loop {
        select! {
            recv(ticks) -> _ => node.tick().unwrap(),
            recv(inbox) -> m => node.step(m.unwrap()).unwrap(),
            recv(node.ready()) -> rd => {
                let mut rd = rd.unwrap();
                rd.drain_messages().for_each(send);
                Writer::append(&mut log, rd.write()).unwrap();
                let mut p = rd.persisted();
                p.drain_messages().for_each(send);
                let n = p.committed_entries().iter().filter(|e| !e.data.is_empty()).count();
                let _ = applied.send(n as u64);
                node.advance(p).unwrap();
            }
            recv(stop) -> _ => return,
        }
    }
}

/// Three threaded nodes over channels; timed until all proposals are applied where they were made. Go: BenchmarkProposal3Nodes
fn proposal_3_nodes(iters: u64) -> Duration {
    let (senders, inboxes): (Vec<_>, Vec<_>) = (0..3).map(|_| unbounded()).unzip();
    let (stop, stopped) = unbounded::<()>();
    let mut nodes = Vec::new();
    let mut threads = Vec::new();
    let mut counts = Vec::new();
    for (id, inbox) in (1..).zip(inboxes) {
        let log = storage_with(1..=3);
        let node = restart_node(Config::new(id, 42), log.clone(), discard(), None).unwrap();
        let (n, peers, stopped) = (node.clone(), senders.clone(), stopped.clone());
        let (applied, count) = unbounded();
        threads.push(thread::spawn(move || {
            member(n, log, inbox, peers, applied, stopped)
        }));
        counts.push(count);
        nodes.push(node);
    }
    nodes[0].campaign().unwrap();
    while nodes[0].status().unwrap().basic.soft_state.raft_state != StateType::Leader {
        thread::yield_now();
    }
    let start = Instant::now();
    let mut last = None;
    for _ in 0..iters {
        propose(&nodes[0], "somedata", &mut last);
    }
    let mut left = iters;
    while left > 0 {
        left -= counts[0].recv().unwrap();
    }
    let elapsed = start.elapsed();
    drop(stop);
    threads.into_iter().for_each(|t| t.join().unwrap());
    nodes.iter().for_each(|n| n.stop());
    elapsed
}

fn bench_proposal_3_nodes(c: &mut Criterion) {
    c.bench_function("Proposal3Nodes", |b| b.iter_custom(proposal_3_nodes));
}

/// A RawNode whose peers answer at once: a proposal at a time until it is applied. Go: BenchmarkRawNode
struct Lone {
    raw: RawNode<Counted<MemoryStorage>>,
    log: MemoryStorage,
    counted: Counted<MemoryStorage>,
    readies: u64,
    responses: Vec<Message>,
}

impl Lone {
    fn new(voters: u64) -> Self {
        let log = storage_with(1..=voters);
        let counted = Counted::new(log.clone());
        let mut lone = Self {
            raw: RawNode::new(Config::new(1, 42), counted.clone(), discard(), None).unwrap(),
            log,
            counted,
            readies: 0,
            responses: Vec::new(),
        };
        let _ = lone.raw.campaign().unwrap();
        lone.stabilize();
        lone
    }

    /// Handles Readies until there are none; returns the last index that was applied.
    fn stabilize(&mut self) -> u64 {
        let mut applied = 0;
        while let Some(mut rd) = self.raw.ready().unwrap() {
            self.readies += 1;
            Writer::append(&mut self.log, rd.write()).unwrap();
            self.responses
                .extend(rd.drain_messages().filter_map(answer));
            let mut p = rd.persisted();
            self.responses.extend(p.drain_messages().filter_map(answer));
            applied = p.committed_entries().last().map_or(applied, |e| e.index);
            for m in self.responses.drain(..) {
                let _ = self.raw.step(m).unwrap();
            }
            self.raw.advance(p).unwrap();
        }
        applied
    }
}

/// What a peer that has everything says.
fn answer(m: Message) -> Option<Message> {
    let (msg_type, index) = match m.msg_type {
        MessageType::MsgVote => (MessageType::MsgVoteResp, 0),
        MessageType::MsgApp => {
            let last = m.entries.last().map_or(m.index, |e| e.index);
            (MessageType::MsgAppResp, last)
        }
        _ => return None,
    };
    Some(Message {
        to: m.from,
        from: m.to,
        term: m.term,
        index,
        ..Message::new(msg_type)
    })
}

fn bench_raw_node(c: &mut Criterion) {
    let mut g = c.benchmark_group("RawNode");
    for (name, voters) in [("single-voter", 1), ("two-voters", 2)] {
        let mut lone = Lone::new(voters);
        let (before, readies) = (lone.counted.stats(), lone.readies);
        let mut proposals = 0u64;
        g.bench_function(name, |b| {
            b.iter(|| {
                let _ = lone.raw.propose(Bytes::from_static(b"foo")).unwrap();
                proposals += 1;
                assert!(lone.stabilize() > 0, "the proposal was applied");
            });
        });
        report(
            name,
            &lone,
            before,
            lone.readies - readies,
            proposals.max(1),
        );
    }
    g.finish();
}

/// How often a proposal made the core ask its storage.
#[allow(clippy::cast_precision_loss)]
fn report(name: &str, lone: &Lone, before: CallStats, readies: u64, proposals: u64) {
    let now = lone.counted.stats();
    let each = |now: u64, before: u64| (now - before) as f64 / proposals as f64;
    println!(
        "RawNode/{name}: a proposal asks first_index {:.2} times, last_index {:.2}, term {:.2}, entries {:.2}; {:.2} Readies",
        each(now.first_index, before.first_index),
        each(now.last_index, before.last_index),
        each(now.term, before.term),
        each(now.entries, before.entries),
        each(readies, 0),
    );
}

/// What a leader of so many members says about itself. Go: BenchmarkStatus
fn bench_status(c: &mut Criterion) {
    for members in [1, 3, 5, 100] {
        let raw = leader_of(members);
        let mut g = c.benchmark_group(format!("Status/members={members}"));
        g.bench_function("Status", |b| b.iter(|| raw.status()));
        g.bench_function("Status-example", |b| {
            b.iter(|| -> u64 { raw.status().progress.iter().map(|(_, p)| p.matched).sum() });
        });
        g.bench_function("BasicStatus", |b| b.iter(|| raw.basic_status()));
        g.bench_function("WithProgress", |b| {
            b.iter(|| {
                raw.with_progress(|id: u64, t: ProgressType, p: &tracker::Progress| {
                    black_box((id, t, p));
                })
            });
        });
        g.bench_function("WithProgress-example", |b| {
            b.iter(|| {
                let mut n = 0;
                raw.with_progress(|_, _, p| n += p.matched);
                n
            });
        });
        g.finish();
    }
}

fn leader_of(members: u64) -> RawNode<MemoryStorage> {
    let mut log = storage_with(1..=members);
    let mut raw = RawNode::new(Config::new(1, 42), log.clone(), discard(), None).unwrap();
    let _ = raw.campaign().unwrap();
    while let Some(rd) = raw.ready().unwrap() {
        Writer::append(&mut log, rd.write()).unwrap();
        raw.advance(rd.persisted()).unwrap();
    }
    for from in 2..=members {
        let term = raw.basic_status().hard_state.term;
        let vote = Message {
            from,
            to: 1,
            term,
            ..Message::new(MessageType::MsgVoteResp)
        };
        let _ = raw.step(vote).unwrap();
    }
    assert_eq!(raw.basic_status().soft_state.raft_state, StateType::Leader);
    raw
}

/// Go: BenchmarkMajorityConfig_CommittedIndex
fn bench_committed_index(c: &mut Criterion) {
    let mut g = c.benchmark_group("MajorityConfig_CommittedIndex");
    for voters in [1u64, 3, 5, 7, 9, 11] {
        let config: MajorityConfig = (1..=voters).collect();
        let index = |id: u64| Index(id.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 1);
        let acked: HashMap<u64, Index> = (1..=voters).map(|id| (id, index(id))).collect();
        g.bench_with_input(BenchmarkId::new("voters", voters), &acked, |b, acked| {
            b.iter(|| config.committed_index(black_box(acked)));
        });
    }
    g.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = bench_one_node, bench_proposal_3_nodes, bench_raw_node, bench_status, bench_committed_index
}
criterion_main!(benches);
