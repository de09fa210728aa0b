//! Nodes of one group in one thread, driven step by step through the core's public port. Go: the `network` of raft_test.go

#![allow(dead_code, unreachable_pub)] // Each test file uses a part.

use slog::{Discard, Drain, Logger, OwnedKVList, Record, o};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};
use storage_mem::MemoryStorage;
use tickraft::raftpb::{
    ConfChangeTransition, ConfChangeV2, ConfState, Entries, Entry, EntryType, HardState, Message,
    MessageType, Snapshot, conf_changes_from_string, unmarshal_conf_change,
};
use tickraft::storage::{Write, Writer};
use tickraft::tracker::Progress;
use tickraft::{Batch, Config, Error, Outcome, Raft, ReadState, SoftState, StateType, WriteMode};

/// A logger that says nothing.
pub fn silent() -> Logger {
    Logger::root(Discard, o!())
}

/// The lines that a node logs.
#[derive(Clone, Default)]
pub struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    pub fn logger(&self) -> Logger {
        Logger::root(self.clone().fuse(), o!())
    }

    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl Drain for Lines {
    type Ok = ();
    type Err = slog::Never;
    fn log(&self, record: &Record<'_>, _: &OwnedKVList) -> Result<(), slog::Never> {
        let line = format!("{} {}", record.level().as_short_str(), record.msg());
        self.0.lock().unwrap().push(line);
        Ok(())
    }
}

/// Election 10, heartbeat 1, no limits.
pub fn config(id: u64) -> Config {
    Config {
        max_size_per_msg: u64::MAX,
        ..Config::new(id, 0)
    }
}

pub fn conf_state(voters: &[u64], learners: &[u64]) -> ConfState {
    ConfState {
        voters: voters.to_vec(),
        learners: learners.to_vec(),
        ..ConfState::default()
    }
}

pub fn snapshot(index: u64, term: u64, conf_state: ConfState) -> Snapshot {
    let mut s = Snapshot::default();
    s.metadata.index = index;
    s.metadata.term = term;
    s.metadata.conf_state = conf_state;
    s
}

/// A storage that holds a configuration and no log.
pub fn storage(voters: &[u64], learners: &[u64]) -> MemoryStorage {
    let s = MemoryStorage::new();
    s.apply_snapshot(&snapshot(0, 0, conf_state(voters, learners)))
        .unwrap();
    s
}

/// A storage with entries of these terms, from index 1 on.
pub fn storage_with_log(voters: &[u64], terms: &[u64], hs: HardState) -> MemoryStorage {
    let s = storage(voters, &[]);
    s.append(&entries(1, terms)).unwrap();
    s.set_hard_state(hs);
    s
}

/// Entries of these terms, from an index on.
pub fn entries(first: u64, terms: &[u64]) -> Entries {
    (first..)
        .zip(terms)
        .map(|(i, &t)| Entry::new(t, i, ""))
        .collect()
}

pub fn msg(msg_type: MessageType, from: u64, term: u64) -> Message {
    Message {
        from,
        term,
        ..Message::new(msg_type)
    }
}

/// A granted vote.
pub fn vote_resp(from: u64, term: u64) -> Message {
    msg(MessageType::MsgVoteResp, from, term)
}

/// An acknowledgement of the log up to an index.
pub fn app_resp(from: u64, term: u64, index: u64) -> Message {
    Message {
        index,
        ..msg(MessageType::MsgAppResp, from, term)
    }
}

/// What a leader knows of a member.
pub fn progress(net: &mut Net, leader: u64, of: u64) -> Progress {
    net.at(leader).raft.progress(of).unwrap().clone()
}

/// A leader of term 1 among these voters whose peers say nothing by themselves.
pub fn lone_leader(voters: &[u64], set: impl Fn(&mut Config)) -> Node {
    let mut c = config(1);
    set(&mut c);
    let mut n = Node::new(c, storage(voters, &[]));
    n.hup();
    n.drive();
    for &id in voters.iter().filter(|&&id| id != 1) {
        n.step(vote_resp(id, 1)).unwrap();
    }
    assert_eq!(n.state(), StateType::Leader);
    n.drive();
    n
}

/// `v4 l5` as one change; joint ones are left by themselves unless `explicit`.
pub fn change(notation: &str, explicit: bool) -> ConfChangeV2 {
    ConfChangeV2 {
        changes: conf_changes_from_string(notation).unwrap(),
        transition: if explicit {
            ConfChangeTransition::JointExplicit
        } else {
            ConfChangeTransition::Auto
        },
        ..ConfChangeV2::default()
    }
}

/// A node with its disk and its application.
pub struct Node {
    pub raft: Raft<MemoryStorage>,
    pub disk: MemoryStorage,
    /// What was applied, configuration changes and empty entries included.
    pub applied: Vec<Entry>,
    pub read_states: Vec<ReadState>,
    pub soft_states: Vec<SoftState>,
    /// How many batches had to be synced.
    pub syncs: usize,
    batch: Batch,
}

impl Node {
    pub fn new(c: Config, disk: MemoryStorage) -> Self {
        Self::with_logger(c, disk, silent())
    }

    pub fn with_logger(c: Config, disk: MemoryStorage, logger: Logger) -> Self {
        Self {
            raft: Raft::new(c, disk.clone(), logger, None).unwrap(),
            disk,
            applied: Vec::new(),
            read_states: Vec::new(),
            soft_states: Vec::new(),
            syncs: 0,
            batch: Batch::default(),
        }
    }

    pub fn state(&self) -> StateType {
        self.raft.soft_state().raft_state
    }

    pub fn lead(&self) -> u64 {
        self.raft.soft_state().lead
    }

    pub fn term(&self) -> u64 {
        self.raft.hard_state().term
    }

    pub fn commit(&self) -> u64 {
        self.raft.hard_state().commit
    }

    /// The payloads that were applied.
    pub fn data(&self) -> Vec<String> {
        let normal = self
            .applied
            .iter()
            .filter(|e| e.get_type() == EntryType::Normal && !e.data.is_empty());
        normal
            .map(|e| String::from_utf8_lossy(&e.data).into_owned())
            .collect()
    }

    /// All entries of the log, written or not.
    pub fn terms(&self) -> Vec<u64> {
        use tickraft::storage::Storage;
        let (first, last) = (
            self.disk.first_index().unwrap(),
            self.disk.last_index().unwrap(),
        );
        (first..=last).map(|i| self.disk.term(i).unwrap()).collect()
    }

    /// One batch: written, applied, acknowledged. The messages to others; `None` when there was nothing to do.
    pub fn drive_once(&mut self) -> Option<Vec<Message>> {
        let pending = self.raft.pending(WriteMode::Sync).unwrap()?;
        pending.accept(&mut self.batch);
        let b = &mut self.batch;
        let write = Write {
            hard_state: b.hard_state,
            snapshot: b.snapshot.clone(),
            entries: b.entries.clone(),
            must_sync: b.must_sync,
        };
        Writer::append(&mut self.disk, &write).unwrap();
        self.syncs += usize::from(b.must_sync);
        self.read_states.append(&mut b.read_states);
        self.soft_states.extend(b.soft_state);
        let mut out = std::mem::take(&mut b.messages);
        let (own, others): (Vec<_>, Vec<_>) = b
            .messages_after_append
            .drain(..)
            .partition(|m| m.to == self.raft.id());
        out.extend(others);
        let (append_resp, apply_resp) = (b.append_resp.take(), b.apply_resp.take());
        for e in &b.committed_entries.clone() {
            self.apply(e.clone());
        }
        for m in own.into_iter().chain(append_resp).chain(apply_resp) {
            // A new term may have come with the batch's own answers: an error is none of ours.
            self.raft.step(m).unwrap();
        }
        Some(out)
    }

    fn apply(&mut self, e: Entry) {
        if let Some(cc) = unmarshal_conf_change(&e).unwrap() {
            self.raft.apply_conf_change(&cc).unwrap();
        }
        self.applied.push(e);
    }

    /// All there is to do. The messages to others.
    pub fn drive(&mut self) -> Vec<Message> {
        let mut out = Vec::new();
        while let Some(messages) = self.drive_once() {
            out.extend(messages);
        }
        out
    }

    pub fn step(&mut self, m: Message) -> Result<Outcome, Error> {
        self.raft.step(m)
    }

    pub fn hup(&mut self) -> Outcome {
        self.raft.step(Message::new(MessageType::MsgHup)).unwrap()
    }

    pub fn read_index(&mut self, ctx: &str) -> Outcome {
        let m = Message {
            entries: vec![Entry::proposal(ctx.to_owned())].into(),
            ..Message::new(MessageType::MsgReadIndex)
        };
        self.raft.step(m).unwrap()
    }

    pub fn read_contexts(&self) -> Vec<String> {
        let ctx = |rs: &ReadState| String::from_utf8_lossy(&rs.request_ctx).into_owned();
        self.read_states.iter().map(ctx).collect()
    }

    /// Takes a snapshot of what is applied and compacts the log up to there.
    pub fn compact(&mut self) {
        let applied = self.raft.basic_status().applied;
        let cs = self.raft.config().conf_state();
        self.disk.create_snapshot(applied, Some(cs), "").unwrap();
        self.disk.compact(applied).unwrap();
    }
}

/// What may become of a message on its way.
type Filter = Box<dyn FnMut(&Message) -> bool>;

/// A group whose messages are delivered in order until there are none.
pub struct Net {
    pub nodes: BTreeMap<u64, Node>,
    pub queue: VecDeque<Message>,
    cut: BTreeSet<(u64, u64)>,
    /// Lets a message pass.
    filter: Option<Filter>,
}

impl Net {
    /// Voters 1 to n.
    pub fn new(n: u64) -> Self {
        Self::with(n, |_| {})
    }

    pub fn with(n: u64, set: impl Fn(&mut Config)) -> Self {
        let ids: Vec<u64> = (1..=n).collect();
        Self::of(&ids, &[], set)
    }

    pub fn of(voters: &[u64], learners: &[u64], set: impl Fn(&mut Config)) -> Self {
        let node = |&id| {
            let mut c = config(id);
            set(&mut c);
            (id, Node::new(c, storage(voters, learners)))
        };
        Self::from_nodes(voters.iter().chain(learners).map(node).collect())
    }

    pub fn from_nodes(nodes: BTreeMap<u64, Node>) -> Self {
        Self {
            nodes,
            queue: VecDeque::new(),
            cut: BTreeSet::new(),
            filter: None,
        }
    }

    pub fn at(&mut self, id: u64) -> &mut Node {
        self.nodes.get_mut(&id).unwrap()
    }

    /// Only messages that `pass` says true of arrive.
    pub fn filter(&mut self, pass: impl FnMut(&Message) -> bool + 'static) {
        self.filter = Some(Box::new(pass));
    }

    pub fn ignore(&mut self, t: MessageType) {
        self.filter(move |m| m.msg_type != t);
    }

    pub fn cut(&mut self, a: u64, b: u64) {
        self.cut.extend([(a, b), (b, a)]);
    }

    pub fn isolate(&mut self, id: u64) {
        let others: Vec<_> = self.nodes.keys().copied().filter(|&o| o != id).collect();
        others.into_iter().for_each(|o| self.cut(id, o));
    }

    /// All messages arrive again.
    pub fn heal(&mut self) {
        self.cut.clear();
        self.filter = None;
    }

    fn passes(&mut self, m: &Message) -> bool {
        !self.cut.contains(&(m.from, m.to)) && self.filter.as_mut().is_none_or(|pass| pass(m))
    }

    /// Does what all nodes have to do and delivers what they send, until nothing is left.
    pub fn settle(&mut self) {
        loop {
            for node in self.nodes.values_mut() {
                self.queue.extend(node.drive());
            }
            let Some(m) = self.queue.pop_front() else {
                return;
            };
            if !self.passes(&m) {
                continue;
            }
            if let Some(node) = self.nodes.get_mut(&m.to) {
                match node.step(m) {
                    Ok(_) | Err(Error::ProposalDropped(_)) => {}
                    Err(e) => panic!("{e}"),
                }
            }
        }
    }

    pub fn hup(&mut self, id: u64) {
        self.at(id).hup();
        self.settle();
    }

    pub fn elect(&mut self, id: u64) {
        self.hup(id);
        assert_eq!(self.at(id).state(), StateType::Leader);
    }

    pub fn propose(&mut self, id: u64, data: &str) -> Result<Outcome, Error> {
        let done = self.at(id).raft.propose(data.to_owned().into());
        self.settle();
        done
    }

    /// Steps a message at the node that it is to, and settles.
    pub fn send(&mut self, m: Message) {
        self.queue.push_back(m);
        self.settle();
    }

    pub fn change(&mut self, id: u64, cc: &ConfChangeV2) -> Result<Outcome, Error> {
        let done = self.at(id).raft.propose_conf_change(cc);
        self.settle();
        done
    }

    pub fn transfer(&mut self, leader: u64, transferee: u64) -> Outcome {
        let m = msg(MessageType::MsgTransferLeader, transferee, 0);
        let done = self.at(leader).step(m).unwrap();
        self.settle();
        done
    }

    /// Ticks all nodes in id order, settling after each round.
    pub fn tick(&mut self, rounds: u32) {
        for _ in 0..rounds {
            for node in self.nodes.values_mut() {
                node.raft.tick().unwrap();
            }
            self.settle();
        }
    }

    pub fn tick_one(&mut self, id: u64, rounds: u32) {
        for _ in 0..rounds {
            self.at(id).raft.tick().unwrap();
            self.settle();
        }
    }

    pub fn states(&self) -> Vec<StateType> {
        self.nodes.values().map(Node::state).collect()
    }

    pub fn leaders(&self) -> Vec<u64> {
        let leads = |(id, n): (&u64, &Node)| (n.state() == StateType::Leader).then_some(*id);
        self.nodes.iter().filter_map(leads).collect()
    }

    /// All nodes have applied the same.
    pub fn assert_equal(&self) {
        let mut nodes = self.nodes.values();
        let first = nodes.next().unwrap();
        for node in nodes {
            assert_eq!(node.applied, first.applied);
        }
    }
}
