//! What is handed out, written and counted: pages, quotas, windows.

use crate::common::{
    Net, Node, app_resp, config, entries, lone_leader, msg, silent, storage, storage_with_log,
};
use std::cell::Cell;
use std::rc::Rc;
use storage_mem::MemoryStorage;
use tickraft::raftpb::{ConfState, Entries, Entry, HardState, Message, MessageType, Snapshot};
use tickraft::storage::{self, Storage};
use tickraft::{Batch, Config, DropReason, Error, Outcome, Raft, WriteMode};

/// etcd#10063
#[test]
fn pagination_of_committed_entries_neither_lowers_the_commit_index_nor_skips_an_entry_after_a_restart()
 {
    let hs = HardState {
        term: 1,
        vote: 1,
        commit: 10,
    };
    let disk = storage(&[1], &[]);
    let data: Entries = (1..=10).map(|i| Entry::new(1, i, vec![0; 100])).collect();
    disk.append(&data).unwrap();
    disk.set_hard_state(hs);
    for page in [1, 150, 350, 1 << 20] {
        let c = Config {
            max_committed_size_per_ready: page,
            ..config(1)
        };
        let mut n = Node::new(c, disk.clone());
        let mut commits = Vec::new();
        while n.drive_once().is_some() {
            commits.extend([n.commit(), n.disk.initial_state().unwrap().0.commit]);
        }
        assert_eq!(
            n.applied.iter().map(|e| e.index).collect::<Vec<_>>(),
            (1..=10).collect::<Vec<_>>()
        );
        assert!(
            commits.iter().all(|&c| c == 10),
            "in the core and on disk: {commits:?}"
        );
    }
}

/// etcd#10199
#[test]
fn the_quota_of_uncommitted_entries_does_not_leak() {
    let mut net = Net::with(3, |c| c.max_uncommitted_entries_size = 100);
    net.elect(1);
    net.isolate(1);
    let dropped = Err(Error::ProposalDropped(DropReason::UncommittedSize));
    for i in 0..10 {
        let done = net.propose(1, &"x".repeat(10));
        assert!(done.is_ok(), "{i}");
    }
    assert_eq!(net.propose(1, &"x".repeat(10)), dropped);
    net.heal();
    net.tick(2);
    assert_eq!(net.at(1).data().len(), 10);
    // Nor does what was refused: nothing is uncommitted, so one of any size is let in.
    net.propose(1, &"x".repeat(1000)).unwrap();
    // Entries of an earlier leader, which this one never counted, must not drive the count below zero or up.
    net.elect(2);
    for _ in 0..50 {
        net.propose(2, &"y".repeat(60)).unwrap();
    }
    // Whatever its size, one is let in when nothing is uncommitted; and then an empty one.
    net.propose(2, &"z".repeat(1000)).unwrap();
    net.isolate(2);
    net.propose(2, &"z".repeat(1000)).unwrap();
    assert_eq!(net.propose(2, "z"), dropped);
    net.propose(2, "").unwrap();
}

/// etcd#10106
#[test]
fn a_batch_that_only_moves_the_commit_index_need_not_be_synced() {
    let mut net = Net::new(3);
    net.elect(1);
    net.at(2).syncs = 0;
    net.propose(1, "a").unwrap();
    assert_eq!(net.at(2).commit(), 2);
    assert_eq!(net.at(2).syncs, 1, "the entry, and not the commit index");
    net.tick(5);
    assert_eq!(net.at(2).syncs, 1);
}

/// etcd#14413
#[test]
fn a_single_voter_does_not_commit_before_it_has_written() {
    for mode in [WriteMode::Sync, WriteMode::Async] {
        let mut n = lone_leader(&[1], |_| {});
        n.raft.propose("a".into()).unwrap();
        let mut batch = Batch::default();
        n.raft.pending(mode).unwrap().unwrap().accept(&mut batch);
        assert_eq!(batch.entries.len(), 1);
        assert!(batch.committed_entries.is_empty());
        assert_eq!((n.commit(), batch.hard_state), (1, None));
        // Its own answer comes after the write; in asynchronous mode nothing is applied until the write is acknowledged, too.
        n.disk.append(&batch.entries).unwrap();
        let own = batch.messages_after_append.pop().unwrap();
        n.step(own).unwrap();
        assert_eq!(n.commit(), 2);
        let mut next = Batch::default();
        n.raft.pending(mode).unwrap().unwrap().accept(&mut next);
        assert_eq!(
            next.committed_entries.len(),
            usize::from(mode == WriteMode::Sync)
        );
    }
}

/// A storage that notes the largest page it was asked for.
struct Paged(MemoryStorage, Rc<Cell<u64>>);

impl Storage for Paged {
    fn initial_state(&self) -> Result<(HardState, ConfState), storage::Error> {
        self.0.initial_state()
    }
    fn entries(&self, lo: u64, hi: u64, max_size: u64) -> Result<Entries, storage::Error> {
        self.1.set(self.1.get().max(max_size));
        self.0.entries(lo, hi, max_size)
    }
    fn term(&self, index: u64) -> Result<u64, storage::Error> {
        self.0.term(index)
    }
    fn first_index(&self) -> Result<u64, storage::Error> {
        self.0.first_index()
    }
    fn last_index(&self) -> Result<u64, storage::Error> {
        self.0.last_index()
    }
    fn snapshot(&self) -> Result<Snapshot, storage::Error> {
        self.0.snapshot()
    }
}

/// raft#32
#[test]
fn unapplied_entries_are_scanned_page_by_page_before_a_campaign() {
    let disk = storage_with_log(
        &[1, 2, 3],
        &[1; 500],
        HardState {
            term: 1,
            vote: 0,
            commit: 500,
        },
    );
    let largest = Rc::new(Cell::new(0));
    let c = Config {
        max_committed_size_per_ready: 100,
        ..config(1)
    };
    let mut raft = Raft::new(c, Paged(disk, Rc::clone(&largest)), silent(), None).unwrap();
    assert_eq!(
        raft.step(Message::new(MessageType::MsgHup)).unwrap(),
        Outcome::Done
    );
    assert_eq!(largest.get(), 100);
}

/// raft#33, raft#45
#[test]
fn entries_that_were_handed_out_do_not_change() {
    let mut n = Node::new(config(1), storage(&[1, 2, 3], &[]));
    let app = |from, term, index, log_term, e| Message {
        index,
        log_term,
        entries: e,
        ..msg(MessageType::MsgApp, from, term)
    };
    n.step(app(2, 1, 0, 0, entries(1, &[1, 1, 1]))).unwrap();
    let mut first = Batch::default();
    n.raft
        .pending(WriteMode::Async)
        .unwrap()
        .unwrap()
        .accept(&mut first);
    n.step(app(3, 2, 1, 1, entries(2, &[2, 2, 2]))).unwrap();
    let mut second = Batch::default();
    n.raft
        .pending(WriteMode::Async)
        .unwrap()
        .unwrap()
        .accept(&mut second);
    assert_eq!(first.entries, entries(1, &[1, 1, 1]));
    assert_eq!(second.entries, entries(2, &[2, 2, 2]));

    // What a leader sent stays as well when it is replaced before the message leaves.
    let mut n = lone_leader(&[1, 2, 3], |_| {});
    for id in [2, 3] {
        n.step(app_resp(id, 1, 1)).unwrap();
    }
    n.drive();
    n.raft.propose("mine".into()).unwrap();
    n.step(app(2, 2, 1, 1, entries(2, &[2]))).unwrap();
    let out = n.drive();
    let sent: Vec<_> = out
        .iter()
        .filter(|m| m.msg_type == MessageType::MsgApp)
        .collect();
    assert_eq!(sent.len(), 2);
    assert!(
        sent.iter()
            .all(|m| m.entries.len() == 1 && m.entries.first().unwrap().data == "mine")
    );
    assert_eq!(n.terms(), [1, 2]);
}
