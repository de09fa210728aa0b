//! raft-rs as its README and `five_mem_node` example drive it: `RawNode` over `MemStorage`, one `Ready` handled whole and in
//! the documented order, `advance`, the `LightReady`, `advance_apply`. Proposals are the message that `RawNode::propose` makes, stepped: `propose`
//! takes a `Vec`, whose first clone allocates, and our driver is given payloads that need no more.
#![forbid(unsafe_code)]

mod read;

use std::hint::black_box;
use std::iter;
use std::mem;
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Parser as _;
use peer_common::args::{Bench, Cli, Codec, Failover, Groups, Idle, Mode, Replication};
use peer_common::payload::{Applied, payload, portions};
use peer_common::report::{
    CaughtUp, Clock, Peer, Replicated, build, failover, join, nanos_per_call, resident,
    resident_each,
};
use protobuf::Message as _;
use raft::eraftpb::{ConfState, Entry, EntryType, Message, MessageType};
use raft::storage::MemStorage;
use raft::{Config, RawNode, ReadState, StateRole};
use serde_json::{Value, json};
use slog::{Discard, Logger, o};

/// Proposals between two compactions of the log.
const COMPACT_EVERY: u64 = 10_000;
/// Passes without all having applied after which something is broken.
const MAX_PASSES: u32 = 100_000;

fn main() {
    let peer = Peer::from_lock("raft-rs", include_str!("../Cargo.lock"), "raft");
    let bench = Cli::parse().bench;
    match &bench {
        Bench::Replication(a) => {
            let (figures, settings) = replication(a);
            peer.report(&bench, figures, settings);
        }
        Bench::Idle(a) => {
            let (figures, settings) = idle(a);
            peer.report(&bench, figures, settings);
        }
        Bench::Groups(a) => {
            let (figures, settings) = loaded(a);
            peer.report(&bench, figures, settings);
        }
        Bench::Failover(a) => {
            let (figures, settings) = failovers(a);
            peer.report(&bench, figures, settings);
        }
        Bench::Read(a) => {
            let (figures, settings) = read::run(a);
            peer.report(&bench, figures, settings);
        }
        Bench::Codec(a) => {
            let (figures, settings) = codec(a);
            peer.report(&bench, figures, settings);
        }
        Bench::Node(_) | Bench::Onenode(_) | Bench::Clients(_) => {
            peer.unsupported(&bench, "raft-rs has no threaded node");
        }
        Bench::Wal(_) => peer.unsupported(&bench, "raft-rs has no log on disk"),
        Bench::Transport(_) | Bench::Stream(_) => {
            peer.unsupported(&bench, "raft-rs has no transport");
        }
    }
}

fn config(id: u64, heartbeat: usize, batch_append: bool) -> Config {
    Config {
        id,
        election_tick: 10 * heartbeat,
        heartbeat_tick: heartbeat,
        max_size_per_msg: 1024 * 1024,
        max_inflight_msgs: 512,
        check_quorum: false,
        pre_vote: false,
        batch_append,
        ..Config::default()
    }
}

fn settings(config: &Config) -> Value {
    let raft = json!({
        "election_tick": config.election_tick,
        "heartbeat_tick": config.heartbeat_tick,
        "max_size_per_msg": config.max_size_per_msg,
        "max_inflight_msgs": config.max_inflight_msgs,
        "batch_append": config.batch_append,
        "pre_vote": config.pre_vote,
        "check_quorum": config.check_quorum,
        "codec": "protobuf 2 (default)",
        "logger": "discard",
        "storage": "MemStorage",
    });
    join([raft, build()])
}

/// One of `voters` nodes, numbered from 1.
fn new_node(config: &Config, voters: u64, logger: &Logger) -> RawNode<MemStorage> {
    let voters: Vec<u64> = (1..=voters).collect();
    let storage = MemStorage::new_with_conf_state(ConfState::from((voters, vec![])));
    RawNode::new(config, storage, logger).expect("the configuration is valid")
}

/// Handles one `Ready` as the library's documentation orders: send, apply, persist, send what waited for that, advance, and
/// the same for what advancing brought.
fn handle_ready(
    raw: &mut RawNode<MemStorage>,
    mut send: impl FnMut(Vec<Message>),
    answer: impl FnMut(ReadState),
    mut apply: impl FnMut(&Entry),
) {
    let mut ready = raw.ready();
    send(ready.take_messages());
    ready.take_read_states().into_iter().for_each(answer);
    assert!(ready.snapshot().is_empty(), "nobody falls behind here");
    ready.take_committed_entries().iter().for_each(&mut apply);
    {
        let mut store = raw.mut_store().wl();
        store
            .append(ready.entries())
            .expect("entries follow the log");
        if let Some(hard_state) = ready.hs() {
            store.set_hardstate(hard_state.clone());
        }
    }
    send(ready.take_persisted_messages());
    let mut light = raw.advance(ready);
    if let Some(commit) = light.commit_index() {
        raw.mut_store().wl().mut_hard_state().commit = commit;
    }
    send(light.take_messages());
    light.take_committed_entries().iter().for_each(&mut apply);
    raw.advance_apply();
}

/// The payloads `from..to`, each in one allocation of its own with its count of references, as our driver has them; those of sizes that are not measured take two.
fn payloads(from: u64, to: u64, size: usize) -> Vec<Bytes> {
    fn sized<const N: usize>(bytes: &[u8]) -> Option<Bytes> {
        Some(Bytes::from_owner(<[u8; N]>::try_from(bytes).ok()?))
    }
    let counted = |bytes: Vec<u8>| {
        sized::<16>(&bytes)
            .or_else(|| sized::<128>(&bytes))
            .or_else(|| sized::<4096>(&bytes))
            .unwrap_or_else(|| Bytes::from_owner(bytes))
    };
    (from..to).map(|seq| counted(payload(seq, size))).collect()
}

/// What `RawNode::propose` does, for one entry or several.
fn propose(leader: &mut RawNode<MemStorage>, batch: impl Iterator<Item = Bytes>) {
    let mut message = Message::default();
    message.set_msg_type(MessageType::MsgPropose);
    message.from = leader.raft.id;
    let entry = |data| Entry {
        data,
        ..Entry::default()
    };
    message.set_entries(batch.map(entry).collect());
    leader.step(message).expect("the leader takes proposals");
}

/// Puts messages into their receivers' inboxes, and tells the bytes of those that are encoded. Those that follow each other to one receiver are moved
/// together, without a way round by the stack.
fn deliver(mut messages: Vec<Message>, inboxes: &mut [Vec<Message>], wire: bool) -> u64 {
    let place = |id: u64| (id - 1) as usize;
    if wire {
        let each = |m: Message| over_the_wire(&m, &mut inboxes[place(m.to)]);
        return messages.into_iter().map(each).sum();
    }
    let Some(first) = messages.first().map(|m| m.to) else {
        return 0;
    };
    if messages.iter().all(|m| m.to == first) {
        inboxes[place(first)].append(&mut messages);
        return 0;
    }
    let mut messages = messages.into_iter();
    while let [m, rest @ ..] = messages.as_slice() {
        let to = m.to;
        let more = rest.iter().take_while(|m| m.to == to).count();
        inboxes[place(to)].extend(messages.by_ref().take(1 + more));
    }
    0
}

/// What a real network does to a message: encoded by the sender, decoded by the receiver. Payloads are views of the frame, the
/// decoder's fastest way.
fn over_the_wire(message: &Message, inbox: &mut Vec<Message>) -> u64 {
    let frame = Bytes::from(message.write_to_bytes().expect("all fields are set"));
    let decoded = Message::parse_from_carllerche_bytes(&frame);
    inbox.push(decoded.expect("it was encoded by the same library"));
    frame.len() as u64
}

struct Node {
    raw: RawNode<MemStorage>,
    applied: Applied,
}

/// Nodes in one thread, `nodes[i]` with the id i + 1.
struct Cluster {
    nodes: Vec<Node>,
    inboxes: Vec<Vec<Message>>,
    wire: bool,
    messages: u64,
    /// Encoded bytes.
    bytes: u64,
    /// So many nodes, the first ones, are waited for.
    awaited: usize,
    /// How the others behave.
    last: Last,
    passes: u64,
    /// What the logs were last compacted to.
    low: u64,
    /// The longest turn of the leader and all of them, where they are timed.
    turns: Option<(Duration, Duration)>,
}

/// How the nodes that are not waited for behave.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    /// As the others do.
    Well,
    /// They take no turns, and what is sent to them is lost.
    Dead,
    /// They take their turn in every so manieth pass.
    Slow(u64),
}

impl Cluster {
    fn new(a: &Replication) -> Self {
        let logger = Logger::root(Discard, o!());
        let batch_append = a.mode == Mode::AppendBatching;
        let node = |id| Node {
            raw: new_node(&config(id, 1, batch_append), a.nodes, &logger),
            applied: Applied::new(a.payload as usize),
        };
        let mut cluster = Self {
            nodes: (1..=a.nodes).map(node).collect(),
            inboxes: (1..=a.nodes).map(|_| Vec::new()).collect(),
            wire: a.wire,
            messages: 0,
            bytes: 0,
            awaited: a.nodes as usize,
            last: Last::Well,
            passes: 0,
            low: 0,
            turns: None,
        };
        cluster.nodes[0]
            .raw
            .campaign()
            .expect("a follower may campaign");
        for _ in 0..10 {
            cluster.pass();
        }
        assert_eq!(cluster.nodes[0].raw.raft.state, StateRole::Leader);
        cluster
    }

    /// Every node steps its inbox and handles one Ready; what it sends is delivered before the next node's turn.
    fn pass(&mut self) {
        if self.awaited < self.nodes.len() || self.turns.is_some() {
            self.uneven_pass();
            return;
        }
        for i in 0..self.nodes.len() {
            self.turn(i);
        }
    }

    /// The same where some are not waited for, or the leader's turns are timed: the others do not pay for these questions.
    #[cold]
    fn uneven_pass(&mut self) {
        self.passes += 1;
        for i in 0..self.nodes.len() {
            if i >= self.awaited {
                match self.last {
                    Last::Well => {}
                    Last::Slow(n) if self.passes.is_multiple_of(n) => {}
                    Last::Slow(_) => continue,
                    Last::Dead => {
                        self.inboxes[i].clear();
                        continue;
                    }
                }
            }
            let begun = (i == 0 && self.turns.is_some()).then(Instant::now);
            self.turn(i);
            if let (Some(begun), Some((longest, all))) = (begun, &mut self.turns) {
                let took = begun.elapsed();
                *longest = took.max(*longest);
                *all += took;
            }
        }
    }

    /// A node steps its inbox and handles one Ready.
    fn turn(&mut self, i: usize) {
        let (Node { raw, applied }, inbox) = (&mut self.nodes[i], &mut self.inboxes[i]);
        self.messages += inbox.len() as u64;
        for message in inbox.drain(..) {
            raw.step(message).expect("members' messages are accepted");
        }
        if raw.has_ready() {
            let send = |messages| self.bytes += deliver(messages, &mut self.inboxes, self.wire);
            handle_ready(raw, send, |_| (), |entry| apply(applied, entry));
        }
    }

    /// How many payloads that were proposed the last node has not applied; those that are waited for have all.
    fn behind(&self) -> u64 {
        let count = |node: Option<&Node>| node.map_or(0, |n| n.applied.count());
        count(self.nodes.first()) - count(self.nodes.last())
    }

    /// Waits for all nodes again, until all have applied `count` payloads.
    fn catch_up(&mut self, count: u64) {
        (self.awaited, self.last) = (self.nodes.len(), Last::Well);
        self.settle(count);
    }

    /// Passes until every node that is waited for has applied `count` payloads.
    fn settle(&mut self, count: u64) {
        for _ in 0..MAX_PASSES {
            let mut awaited = self.nodes[..self.awaited].iter();
            if awaited.all(|node| node.applied.count() >= count) {
                return;
            }
            self.pass();
        }
        panic!("no progress towards {count} applied payloads");
    }

    fn propose(&mut self, mode: Mode, batch: impl Iterator<Item = Bytes>) {
        let leader = &mut self.nodes[0].raw;
        if mode == Mode::Multi {
            propose(leader, batch);
        } else {
            batch.for_each(|data| propose(leader, iter::once(data)));
        }
    }

    /// Drops what all that live have applied, but for its last entry, whose term the next append needs.
    fn compact(&mut self) {
        let living = match self.last {
            Last::Dead => self.awaited,
            Last::Well | Last::Slow(_) => self.nodes.len(),
        };
        let living = &mut self.nodes[..living];
        let applied = living.iter().map(|node| node.raw.raft.raft_log.applied);
        let low = applied.min().unwrap_or(0);
        // A slow node may have applied nothing since the last time.
        if low <= self.low {
            return;
        }
        for node in living {
            let mut store = node.raw.mut_store().wl();
            store.compact(low).expect("applied entries may go");
        }
        self.low = low;
    }

    /// Proposes all payloads, `batch` at a time, each batch until all that are waited for have applied it.
    fn replicate(&mut self, a: &Replication, payloads: Vec<Bytes>) {
        self.run(a.mode, a.batch, a.log_length == 0, payloads);
    }

    /// Makes the logs longer, in large batches.
    fn fill(&mut self, payloads: Vec<Bytes>) {
        self.run(Mode::Multi, 256, false, payloads);
    }

    fn run(&mut self, mode: Mode, batch: u64, compacting: bool, payloads: Vec<Bytes>) {
        let mut left = payloads.len() as u64;
        let mut payloads = payloads.into_iter();
        let mut done = self.nodes[0].applied.count();
        let mut compacted = done;
        while left > 0 {
            let batch = batch.min(left);
            self.propose(mode, payloads.by_ref().take(batch as usize));
            left -= batch;
            done += batch;
            self.settle(done);
            if compacting && done - compacted >= COMPACT_EVERY {
                self.compact();
                compacted = done;
            }
        }
    }
}

#[inline]
fn apply(applied: &mut Applied, entry: &Entry) {
    // A new leader's entry is empty.
    if entry.get_entry_type() == EntryType::EntryNormal && !entry.data.is_empty() {
        applied.apply(&entry.data);
    }
}

fn replication(a: &Replication) -> (Value, Value) {
    let mut cluster = Cluster::new(a);
    if a.dead > 0 {
        (cluster.awaited, cluster.last) = (a.awaited(), Last::Dead);
    } else if a.slow > 0 {
        (cluster.awaited, cluster.last) = (a.awaited(), Last::Slow(a.slow));
    }
    let (first, size) = (a.warmup + a.log_length, a.payload as usize);
    let total = first + a.proposals;
    cluster.replicate(a, payloads(0, a.warmup, size));
    for node in &mut cluster.nodes {
        node.applied.whole = false;
    }
    if a.behind > 0 {
        return behind(a, cluster);
    }
    let memory = resident();
    for (from, to) in portions(a.warmup, a.log_length) {
        cluster.fill(payloads(from, to, size));
    }
    let each = resident_each(memory, a.log_length);
    let timed = payloads(first, total, size);
    (cluster.messages, cluster.bytes) = (0, 0);
    let clock = Clock::start();
    cluster.replicate(a, timed);
    let elapsed = clock.stop();
    let (lacking, messages) = (cluster.behind(), cluster.messages);
    if a.slow > 0 {
        cluster.catch_up(total);
    }
    for (node, id) in cluster.nodes[..cluster.awaited].iter().zip(1..) {
        node.applied.check(total, id);
    }
    let more = Replicated {
        messages,
        bytes: a.wire.then_some(cluster.bytes),
        resident_bytes: each.filter(|_| a.log_length > 0),
        lacking: (a.slow > 0).then_some(lacking),
    };
    let figures = more.figures(elapsed, a.proposals);
    (
        figures,
        settings(&config(1, 1, a.mode == Mode::AppendBatching)),
    )
}

/// Replicates batch by batch, and tells when the last node first had all.
fn batches(cluster: &mut Cluster, a: &Replication, payloads: Vec<Bytes>) -> Option<Instant> {
    let mut caught_up = None;
    let mut left = payloads.into_iter();
    while left.len() > 0 {
        let batch = left.by_ref().take(a.batch as usize).collect();
        cluster.run(a.mode, a.batch, false, batch);
        if caught_up.is_none() && cluster.behind() == 0 {
            caught_up = Some(Instant::now());
        }
    }
    caught_up
}

/// The last node is cut off for `a.behind` entries and for the timed proposals before; then it comes back.
fn behind(a: &Replication, mut cluster: Cluster) -> (Value, Value) {
    let size = a.payload as usize;
    (cluster.awaited, cluster.last) = (a.awaited(), Last::Dead);
    for (from, to) in portions(a.warmup, a.behind) {
        cluster.fill(payloads(from, to, size));
    }
    let first = a.warmup + a.behind;
    let without = payloads(first, first + a.proposals, size);
    let first = first + a.proposals;
    let total = first + a.proposals;
    let meanwhile = payloads(first, total, size);

    let clock = Clock::start();
    let _ = batches(&mut cluster, a, without);
    let without = clock.stop();

    cluster.turns = Some((Duration::ZERO, Duration::ZERO));
    let (clock, begun) = (Clock::start(), Instant::now());
    // The next heartbeat finds it.
    cluster.last = Last::Well;
    cluster.nodes[0].raw.tick();
    let caught_up = batches(&mut cluster, a, meanwhile);
    let elapsed = clock.stop();
    cluster.catch_up(total);
    let last = Instant::now();
    let (longest_turn, turns) = cluster.turns.unwrap_or_default();
    for (node, id) in cluster.nodes.iter().zip(1..) {
        node.applied.check(total, id);
    }
    let caught_up = CaughtUp {
        without,
        meanwhile: elapsed,
        after: caught_up.unwrap_or(last).duration_since(begun),
        longest_turn,
        turns,
    };
    let figures = caught_up.figures(a.proposals);
    (
        figures,
        settings(&config(1, 1, a.mode == Mode::AppendBatching)),
    )
}

/// The voters of an idle group.
const GROUP: usize = 3;

type Group = [RawNode<MemStorage>; GROUP];
/// Inboxes that all groups share, because a group's are empty again after its tick.
type Inboxes = [Vec<Message>; GROUP];

/// Steps and delivers until the group is quiet. `ready` marks the nodes that may have something.
fn quiesce(group: &mut Group, inboxes: &mut Inboxes, ready: [bool; GROUP]) {
    quiesce_without(0, group, inboxes, ready);
}

/// The same when the first `dead` are dead: what is sent to them is lost.
fn quiesce_without(
    dead: usize,
    group: &mut Group,
    inboxes: &mut Inboxes,
    mut ready: [bool; GROUP],
) {
    loop {
        let mut quiet = true;
        for i in dead..GROUP {
            let mut inbox = mem::take(&mut inboxes[i]);
            for message in inbox.drain(..) {
                group[i]
                    .step(message)
                    .expect("members' messages are accepted");
                ready[i] = true;
            }
            inboxes[i] = inbox;
            if mem::take(&mut ready[i]) && group[i].has_ready() {
                quiet = false;
                let send = |messages| {
                    deliver(messages, inboxes, false);
                };
                handle_ready(&mut group[i], send, |_| (), |_| ());
            }
        }
        if quiet && inboxes[dead..].iter().all(Vec::is_empty) {
            inboxes[..dead].iter_mut().for_each(Vec::clear);
            return;
        }
    }
}

fn new_group(heartbeat: usize, logger: &Logger, inboxes: &mut Inboxes) -> Group {
    let mut group =
        [1, 2, 3].map(|id| new_node(&config(id, heartbeat, false), GROUP as u64, logger));
    group[0].campaign().expect("a follower may campaign");
    quiesce(&mut group, inboxes, [true; GROUP]);
    assert_eq!(group[0].raft.state, StateRole::Leader);
    // At rest is who has no more to do for the election: a round of heartbeats later.
    for _ in 0..heartbeat {
        tick(&mut group, inboxes);
    }
    group
}

fn tick(group: &mut Group, inboxes: &mut Inboxes) {
    let mut ready = [false; GROUP];
    for (node, ready) in group.iter_mut().zip(&mut ready) {
        *ready = node.tick();
    }
    quiesce(group, inboxes, ready);
}

fn tick_all(groups: &mut [Group], inboxes: &mut Inboxes) {
    for group in groups {
        tick(group, inboxes);
    }
}

fn idle(a: &Idle) -> (Value, Value) {
    let logger = Logger::root(Discard, o!());
    let heartbeat = a.heartbeat as usize;
    let mut inboxes = Inboxes::default();
    // The first group pays for what all share.
    let mut groups = Vec::with_capacity(a.groups as usize);
    groups.push(new_group(heartbeat, &logger, &mut inboxes));
    let before = resident();
    groups.extend((1..a.groups).map(|_| new_group(heartbeat, &logger, &mut inboxes)));
    let bytes = resident_each(before, a.groups - 1);
    for _ in 0..a.heartbeat.max(10) {
        tick_all(&mut groups, &mut inboxes);
    }
    let clock = Clock::start();
    for _ in 0..a.ticks {
        tick_all(&mut groups, &mut inboxes);
    }
    let elapsed = clock.stop();
    for group in &groups {
        assert_eq!(group[0].raft.state, StateRole::Leader, "the leader holds");
        assert!(
            group.iter().all(|node| node.raft.term == 1),
            "nobody campaigned"
        );
        assert!(
            group.iter().all(|node| node.raft.leader_id == 1),
            "all follow"
        );
    }
    let each = elapsed.seconds * 1e9 / (a.groups * a.ticks) as f64;
    let figures = json!({"seconds": elapsed.seconds, "cpu_seconds": elapsed.cpu_seconds, "ns_per_group_tick": each, "resident_bytes_per_group": bytes});
    (figures, settings(&config(1, heartbeat, false)))
}

/// One proposal a group, then the next group.
fn loaded(a: &Groups) -> (Value, Value) {
    let logger = Logger::root(Discard, o!());
    let mut inboxes = Inboxes::default();
    let mut groups: Vec<_> = (0..a.groups)
        .map(|_| new_group(1, &logger, &mut inboxes))
        .collect();
    let count = a.groups * a.turns;
    let mut all = payloads(0, count, a.payload as usize).into_iter();
    let clock = Clock::start();
    for _ in 0..a.turns {
        for (group, data) in groups.iter_mut().zip(&mut all) {
            propose(&mut group[0], iter::once(data));
            quiesce(group, &mut inboxes, [true, false, false]);
        }
    }
    let elapsed = clock.stop();
    for node in groups.iter().flatten() {
        // After the leader's own entry. A follower may not have heard of the last commit.
        let committed = node.raft.raft_log.committed;
        assert!(committed >= a.turns, "all but the last are committed");
    }
    (elapsed.rate(count), settings(&config(1, 1, false)))
}

/// Ticks from a leader's death until another one has committed its first entry.
fn failovers(a: &Failover) -> (Value, Value) {
    let logger = Logger::root(Discard, o!());
    let mut inboxes = Inboxes::default();
    let mut groups: Vec<_> = (0..a.leaders)
        .map(|_| new_group(1, &logger, &mut inboxes))
        .collect();
    let mut ticks = Vec::with_capacity(groups.len());
    let clock = Clock::start();
    for group in &mut groups {
        let before = group[0].raft.raft_log.committed;
        let leads = |node: &RawNode<MemStorage>| {
            node.raft.state == StateRole::Leader && node.raft.raft_log.committed > before
        };
        let mut n = 0;
        while !group[1..].iter().any(leads) {
            n += 1;
            assert!(n < 10_000, "nobody is elected");
            let mut ready = [false; GROUP];
            for (node, ready) in group.iter_mut().zip(&mut ready).skip(1) {
                *ready = node.tick();
            }
            quiesce_without(1, group, &mut inboxes, ready);
        }
        ticks.push(n);
    }
    let elapsed = clock.stop();
    (failover(ticks, elapsed), settings(&config(1, 1, false)))
}

fn codec(a: &Codec) -> (Value, Value) {
    let entry = |i: u64| Entry {
        term: 5,
        index: 1_000_000 + i,
        data: payload(i, a.payload as usize).into(),
        ..Entry::default()
    };
    let mut message = Message::default();
    message.set_msg_type(MessageType::MsgAppend);
    (message.from, message.to, message.term) = (1, 2, 5);
    (message.index, message.log_term, message.commit) = (999_999, 5, 999_990);
    message.set_entries((0..a.entries).map(entry).collect());

    let frame = Bytes::from(message.write_to_bytes().expect("all fields are set"));
    let decode = |frame: &Bytes| {
        Message::parse_from_carllerche_bytes(frame).expect("it was encoded by the same library")
    };
    assert_eq!(decode(&frame), message);

    let mut buffer = Vec::new();
    let encode_ns = nanos_per_call(|| {
        buffer.clear();
        black_box(&message)
            .write_to_vec(&mut buffer)
            .expect("all fields are set");
        black_box(&buffer);
    });
    assert_eq!(buffer, frame);
    let decode_ns = nanos_per_call(|| {
        black_box(decode(black_box(&frame)));
    });
    let figures = json!({"bytes": frame.len(), "encode_ns": encode_ns, "decode_ns": decode_ns});
    let how = json!({"codec": "protobuf 2 (default)", "encode": "write_to_vec into a reused Vec", "decode": "parse_from_carllerche_bytes, payloads shared"});
    (figures, join([how, build()]))
}
