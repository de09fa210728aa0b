//! What users of the threaded node may count on, and what these tests drive it with. Go: node_test.go

mod append_thread;
mod application;
mod async_writes;
mod conf_change;
mod end;
mod group;
mod proposals;
mod refused;
mod served;
mod served_async;
mod slow_disk;
mod start;
mod ticks;

use crate::{Node, NodeOptions};
use application::Application;
use crossbeam_channel::{Receiver, Sender, bounded};
use rawnode::raft::slog::{Drain, Level, Logger, Never, OwnedKVList, Record, o};
use rawnode::raft::storage::{self, Storage, Writer};
use rawnode::raft::{Config, StateType};
use rawnode::raftpb::{
    ConfState, Entries, Entry, HardState, Message, MessageType, NO_LIMIT, Snapshot,
    SnapshotMetadata,
};
use rawnode::{RawNode, Ready, StorageWrites};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use storage_mem::MemoryStorage;

/// As the tests of this round have it; see `lib.rs`.
fn options() -> NodeOptions {
    NodeOptions {
        callers_run: super::CALLERS_RUN,
        ..NodeOptions::default()
    }
}

/// No test waits so long unless it fails.
const LONG: Duration = Duration::from_secs(60);

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

/// What a node logged.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<(Level, String)>>>);

impl Lines {
    fn logger(&self) -> Logger {
        Logger::root(self.clone(), o!())
    }

    fn of(&self, level: Level) -> Vec<String> {
        let lines = self.0.lock().unwrap();
        let of_level = lines.iter().filter(|(l, _)| *l == level);
        of_level.map(|(_, line)| line.clone()).collect()
    }
}

impl Drain for Lines {
    type Ok = ();
    type Err = Never;
    fn log(&self, r: &Record<'_>, _: &OwnedKVList) -> Result<(), Never> {
        self.0
            .lock()
            .unwrap()
            .push((r.level(), r.msg().to_string()));
        Ok(())
    }
}

fn spawn<S: Storage + Send + 'static>(c: Config, s: S) -> Node {
    spawn_with(options(), c, s)
}

fn spawn_with<S: Storage + Send + 'static>(o: NodeOptions, c: Config, s: S) -> Node {
    let rn = RawNode::new(c, s, Lines::default().logger(), None).unwrap();
    o.spawn(rn).unwrap()
}

/// A leader of one that has applied its first entry, and its log; driven by hand.
fn leader() -> (Node, MemoryStorage) {
    leader_with(config(1))
}

fn leader_with(c: Config) -> (Node, MemoryStorage) {
    let s = storage(&[1]);
    let n = spawn(c, s.clone());
    n.campaign().unwrap();
    // The vote, the empty entry, its commit.
    while handle(&n, &s).is_empty() {}
    assert_eq!(role(&n), StateType::Leader);
    (n, s)
}

fn role<M: StorageWrites>(n: &Node<M>) -> StateType {
    n.status().unwrap().basic.soft_state.raft_state
}

/// The next Ready; there is one.
fn take(n: &Node) -> Ready {
    n.ready().recv_timeout(LONG).expect("a Ready comes")
}

/// Does what the next Ready says; returns what was to be applied.
fn handle(n: &Node, s: &MemoryStorage) -> Entries {
    let rd = take(n);
    write(s, &rd);
    let p = rd.persisted();
    let committed = p.committed_entries().clone();
    n.advance(p).unwrap();
    committed
}

fn write(s: &MemoryStorage, rd: &Ready) {
    Writer::append(&mut s.clone(), rd.write()).unwrap();
}

/// Whether the node has nothing to say: a turn has passed with all that it was given before, and no Ready came of it.
fn silent<M: StorageWrites>(n: &Node<M>) -> bool {
    for _ in 0..2 {
        n.status().unwrap();
    }
    n.ready().is_empty()
}

/// Makes a node follow node 2.
fn follow(n: &Node, term: u64) {
    n.step(Message {
        to: 1,
        from: 2,
        term,
        ..Message::new(MessageType::MsgHeartbeat)
    })
    .unwrap();
}

fn data(entries: &Entries) -> Vec<String> {
    let text = |e: &Entry| String::from_utf8_lossy(&e.data).into_owned();
    entries.iter().map(text).collect()
}

/// What a [`Wrapped`] storage does when entries are read.
#[derive(Clone, Copy)]
enum OnRead {
    Read,
    Fail,
    Panic,
    /// Returns more than was asked for.
    Generous,
}

/// A storage with a twist.
#[derive(Clone)]
struct Wrapped {
    inner: MemoryStorage,
    on_read: OnRead,
    /// Told when entries are read, and waited for.
    gate: Option<(Sender<()>, Receiver<()>)>,
}

impl Wrapped {
    fn new(inner: MemoryStorage, on_read: OnRead) -> Self {
        let gate = None;
        Self {
            inner,
            on_read,
            gate,
        }
    }
}

impl Storage for Wrapped {
    fn initial_state(&self) -> Result<(HardState, ConfState), storage::Error> {
        self.inner.initial_state()
    }
    fn entries(&self, lo: u64, hi: u64, max: u64) -> Result<Entries, storage::Error> {
        if let Some((at, go)) = &self.gate {
            let _ = at.send(());
            let _ = go.recv();
        }
        match self.on_read {
            OnRead::Read => self.inner.entries(lo, hi, max),
            OnRead::Fail => Err(storage::Error::other("unreadable")),
            OnRead::Panic => panic!("the storage panics, as the test wants"),
            OnRead::Generous => self.inner.entries(lo, hi, NO_LIMIT),
        }
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

/// A log of one committed entry: a node that starts from it reads at once.
fn one_committed() -> MemoryStorage {
    let s = storage(&[1]);
    s.append(&vec![Entry::new(1, 1, "x")].into()).unwrap();
    s.set_hard_state(HardState {
        term: 1,
        vote: 0,
        commit: 1,
    });
    s
}

/// A node whose thread hangs in its storage until the returned gate is dropped, and then reads.
fn hanging(o: NodeOptions, on_read: OnRead, lines: &Lines) -> (Node, Sender<()>) {
    let (at, is_at) = bounded(1);
    let (gate, go) = bounded(0);
    let mut s = Wrapped::new(one_committed(), on_read);
    s.gate = Some((at, go));
    let rn = RawNode::new(config(1), s, lines.logger(), None).unwrap();
    let n = o.spawn(rn).unwrap();
    is_at.recv_timeout(LONG).expect("the node reads");
    (n, gate)
}

/// What an application holds, to see whether it is dropped with it.
struct Alive(Arc<AtomicBool>);

impl Alive {
    fn new() -> (Self, Arc<AtomicBool>) {
        let alive = Arc::new(AtomicBool::new(true));
        (Self(Arc::clone(&alive)), alive)
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}
