//! What a driver of a RawNode may count on, and what these tests drive it with. Go: rawnode_test.go

mod async_writes;
mod conf_change;
mod describe;
mod misuse;
mod restart;
mod sync_writes;

use crate::RawNode;
use raft::raftpb::{
    ConfState, Entries, Entry, Message, NO_LIMIT, Snapshot, SnapshotMetadata, unmarshal_conf_change,
};
use raft::slog::{Discard, Logger, o};
use raft::storage::{self, Storage, Writer};
use raft::{Config, StateType};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use storage_mem::MemoryStorage;

fn logger() -> Logger {
    Logger::root(Discard, o!())
}

fn conf(voters: &[u64], learners: &[u64]) -> ConfState {
    ConfState {
        voters: voters.to_vec(),
        learners: learners.to_vec(),
        ..ConfState::default()
    }
}

fn snapshot(index: u64, term: u64, voters: &[u64]) -> Snapshot {
    Snapshot {
        metadata: SnapshotMetadata {
            conf_state: conf(voters, &[]),
            index,
            term,
        },
        ..Snapshot::default()
    }
}

/// An empty log of a group of these voters.
fn storage(voters: &[u64]) -> MemoryStorage {
    let s = MemoryStorage::new();
    s.apply_snapshot(&snapshot(0, 0, voters)).unwrap();
    s
}

/// As etcd's tests have it: no limit on sizes.
fn config(id: u64) -> Config {
    Config {
        max_size_per_msg: NO_LIMIT,
        ..Config::new(id, 7)
    }
}

fn node<S: Storage>(id: u64, s: S) -> RawNode<S> {
    RawNode::new(config(id), s, logger(), None).unwrap()
}

/// What one Ready had.
#[derive(Debug, Default)]
struct Handled {
    must_sync: bool,
    entries: Entries,
    committed: Entries,
    messages: Vec<Message>,
}

/// Does what the next Ready says, if there is one.
fn handle<S: Storage>(node: &mut RawNode<S>, mut log: impl Writer) -> Option<Handled> {
    let mut rd = node.ready().unwrap()?;
    log.append(rd.write()).unwrap();
    let mut h = Handled {
        must_sync: rd.must_sync(),
        entries: rd.entries().clone(),
        messages: rd.take_messages(),
        ..Handled::default()
    };
    let mut p = rd.persisted();
    h.messages.append(&mut p.take_messages());
    h.committed = p.committed_entries().clone();
    for e in &h.committed {
        if let Some(cc) = unmarshal_conf_change(e).unwrap() {
            node.apply_conf_change(&cc).unwrap();
        }
    }
    node.advance(p).unwrap();
    Some(h)
}

/// Handles Readies until there is none; returns what was applied.
fn settle<S: Storage>(node: &mut RawNode<S>, log: impl Writer + Clone) -> Vec<Entry> {
    let mut applied = Vec::new();
    while let Some(h) = handle(node, log.clone()) {
        applied.extend(h.committed.iter().cloned());
    }
    applied
}

/// A group of one whose leader has applied its first entry.
fn leader() -> (RawNode<MemoryStorage>, MemoryStorage) {
    let s = storage(&[1]);
    let mut n = node(1, s.clone());
    n.campaign().unwrap();
    assert_eq!(settle(&mut n, s.clone()).len(), 1);
    assert_eq!(role(&n), StateType::Leader);
    (n, s)
}

fn role<S: Storage>(n: &RawNode<S>) -> StateType {
    n.basic_status().soft_state.raft_state
}

fn data(entries: &Entries) -> Vec<String> {
    entries
        .iter()
        .map(|e| String::from_utf8_lossy(&e.data).into_owned())
        .collect()
}

/// A storage that gives more than it was asked for, and counts.
#[derive(Clone)]
struct Generous {
    inner: MemoryStorage,
    reads: Arc<AtomicUsize>,
}

impl Generous {
    fn new(inner: MemoryStorage) -> Self {
        Self {
            inner,
            reads: Arc::default(),
        }
    }

    fn reads(&self) -> usize {
        self.reads.load(Ordering::Relaxed)
    }
}

impl Storage for Generous {
    fn initial_state(&self) -> Result<(raft::raftpb::HardState, ConfState), storage::Error> {
        self.inner.initial_state()
    }
    fn entries(&self, lo: u64, hi: u64, _: u64) -> Result<Entries, storage::Error> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.inner.entries(lo, hi, NO_LIMIT)
    }
    fn term(&self, index: u64) -> Result<u64, storage::Error> {
        self.inner.term(index)
    }
    fn first_index(&self) -> Result<u64, storage::Error> {
        self.inner.first_index()
    }
    fn last_index(&self) -> Result<u64, storage::Error> {
        self.inner.last_index()
    }
    fn snapshot(&self) -> Result<Snapshot, storage::Error> {
        self.inner.snapshot()
    }
}
