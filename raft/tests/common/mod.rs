//! Nodes in one thread, driven step by step through the core's public port, and the messages they get. Go: the helpers of raft_test.go

#![allow(dead_code, unreachable_pub, unused_imports)] // Each test file uses a part.

mod net;

pub use net::Net;

use slog::{Discard, Drain, Logger, OwnedKVList, Record, o};
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

pub fn hs(term: u64, vote: u64, commit: u64) -> HardState {
    HardState { term, vote, commit }
}

/// An append behind the entry `(term, index)`.
pub fn app(from: u64, term: u64, prev: (u64, u64), entries: Entries, commit: u64) -> Message {
    Message {
        log_term: prev.0,
        index: prev.1,
        entries,
        commit,
        ..msg(MessageType::MsgApp, from, term)
    }
}

pub fn heartbeat(from: u64, term: u64, commit: u64) -> Message {
    Message {
        commit,
        ..msg(MessageType::MsgHeartbeat, from, term)
    }
}

/// A question for a vote by one whose log ends with `(term, index)`.
pub fn vote(t: MessageType, from: u64, term: u64, last: (u64, u64)) -> Message {
    Message {
        log_term: last.0,
        index: last.1,
        ..msg(t, from, term)
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

/// Node 1 of three voters in a role of a term: by what it heard or did, never by force.
pub fn in_role(role: StateType, term: u64) -> Node {
    let campaigns = matches!(role, StateType::Candidate | StateType::Leader);
    let before = if campaigns { term - 1 } else { term };
    let c = Config {
        pre_vote: role == StateType::PreCandidate,
        ..config(1)
    };
    let mut n = Node::new(c, storage_with_log(&[1, 2, 3], &[], hs(before, 0, 0)));
    if role == StateType::Follower {
        n.step(heartbeat(3, term, 0)).unwrap();
    } else {
        n.hup();
    }
    n.drive();
    if role == StateType::Leader {
        n.step(vote_resp(2, term)).unwrap();
        n.drive();
    }
    assert_eq!((n.state(), n.term()), (role, term));
    n
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
    /// While set, committed entries are taken and not applied; see [`Node::apply_held`].
    pub holds: bool,
    held: Vec<(Entries, Option<Message>)>,
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
            holds: false,
            held: Vec::new(),
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
        let committed = b.committed_entries.clone();
        for m in own.into_iter().chain(append_resp) {
            // A new term may have come with the batch's own answers: an error is none of ours.
            self.raft.step(m).unwrap();
        }
        self.held.push((committed, apply_resp));
        if !self.holds {
            self.apply_held();
        }
        Some(out)
    }

    /// Applies what was taken.
    pub fn apply_held(&mut self) {
        for (committed, resp) in std::mem::take(&mut self.held) {
            committed.iter().for_each(|e| self.apply(e.clone()));
            resp.into_iter().for_each(|m| {
                self.raft.step(m).unwrap();
            });
        }
    }

    /// Says that what was taken is applied, though its configuration changes are not.
    pub fn skip_held(&mut self) {
        for (_, resp) in std::mem::take(&mut self.held) {
            resp.into_iter().for_each(|m| {
                self.raft.step(m).unwrap();
            });
        }
    }

    /// One batch, taken and neither written nor answered.
    pub fn take(&mut self, mode: WriteMode) -> Batch {
        let mut b = Batch::default();
        let pending = self.raft.pending(mode).unwrap();
        pending.expect("there is something to do").accept(&mut b);
        b
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

    /// Sends heartbeats, as when its time has come.
    pub fn beat(&mut self) -> Outcome {
        self.raft.step(Message::new(MessageType::MsgBeat)).unwrap()
    }

    /// Ticks; what comes of it is not handled.
    pub fn ticks(&mut self, n: u32) {
        for _ in 0..n {
            self.raft.tick().unwrap();
        }
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
