//! A storage that fails: the node says so, keeps saying so, and hands nothing out any more.

#![allow(clippy::unwrap_used)]

mod common;

use common::{conf_state, config, msg, silent, storage, storage_with_log};
use std::cell::RefCell;
use std::rc::Rc;
use storage_mem::MemoryStorage;
use tickraft::raftpb::{ConfState, Entries, HardState, Message, MessageType, Snapshot};
use tickraft::storage::{Error as StorageError, Storage};
use tickraft::{Batch, Config, Error, Peer, Raft, WriteMode};

#[derive(Default)]
struct Plan {
    /// Which reads fail, by name.
    failing: Option<(&'static str, StorageError)>,
    /// How often each was called.
    calls: Vec<&'static str>,
}

/// A storage whose reads fail when told.
struct Failing(MemoryStorage, Rc<RefCell<Plan>>);

impl Failing {
    fn check(&self, what: &'static str) -> Result<(), StorageError> {
        let mut plan = self.1.borrow_mut();
        plan.calls.push(what);
        match &plan.failing {
            Some((failing, e)) if *failing == what => Err(e.clone()),
            _ => Ok(()),
        }
    }
}

impl Storage for Failing {
    fn initial_state(&self) -> Result<(HardState, ConfState), StorageError> {
        self.check("initial_state")?;
        self.0.initial_state()
    }
    fn entries(&self, lo: u64, hi: u64, max_size: u64) -> Result<Entries, StorageError> {
        self.check("entries")?;
        self.0.entries(lo, hi, max_size)
    }
    fn term(&self, index: u64) -> Result<u64, StorageError> {
        self.check("term")?;
        self.0.term(index)
    }
    fn first_index(&self) -> Result<u64, StorageError> {
        self.check("first_index")?;
        self.0.first_index()
    }
    fn last_index(&self) -> Result<u64, StorageError> {
        self.check("last_index")?;
        self.0.last_index()
    }
    fn snapshot(&self) -> Result<Snapshot, StorageError> {
        self.check("snapshot")?;
        self.0.snapshot()
    }
}

fn failing(disk: MemoryStorage) -> (Failing, Rc<RefCell<Plan>>) {
    let plan = Rc::new(RefCell::new(Plan::default()));
    (Failing(disk, Rc::clone(&plan)), plan)
}

fn broken() -> StorageError {
    StorageError::other("the disk is on fire")
}

fn assert_stopped(r: &mut Raft<Failing>, e: &StorageError) {
    let fault = r.fault().expect("it stopped").clone();
    assert_eq!(fault.storage_error(), e);
    let stopped = Error::Fault(fault);
    assert_eq!(r.tick(), Err(stopped.clone()));
    assert_eq!(
        r.step(msg(MessageType::MsgHeartbeat, 2, 9)),
        Err(stopped.clone())
    );
    assert_eq!(r.propose("x".into()), Err(stopped.clone()));
    assert_eq!(r.propose_entries(Entries::new()), Err(stopped.clone()));
    assert_eq!(
        r.propose_conf_change(&common::change("v9", false)),
        Err(stopped.clone())
    );
    assert_eq!(
        r.apply_conf_change(&common::change("v9", false)),
        Err(stopped.clone())
    );
    assert_eq!(r.bootstrap(&[Peer::default()]), Err(stopped.clone()));
    assert!(r.pending(WriteMode::Sync).is_err_and(|e| e == stopped));
    assert!(!r.has_pending(WriteMode::Sync));
    // The first fault stays, and it still answers.
    r.fail(StorageError::NoSpace);
    assert_eq!(r.fault().unwrap().storage_error(), e);
    assert_eq!(r.status().basic, r.basic_status());
    assert!(stopped.to_string().contains(&e.to_string()), "{stopped}");
}

#[test]
fn a_storage_that_cannot_be_read_makes_no_node() {
    for what in ["initial_state", "first_index", "last_index", "term"] {
        let (s, plan) = failing(storage(&[1], &[]));
        plan.borrow_mut().failing = Some((what, broken()));
        let e = Raft::new(config(1), s, silent(), None).err().unwrap();
        assert!(matches!(e, Error::Fault(_)), "{what}: {e}");
    }
}

#[test]
fn a_stored_state_that_contradicts_itself_makes_no_node() {
    let hs = |commit| HardState {
        term: 1,
        vote: 0,
        commit,
    };
    let new = |c: Config, disk| Raft::new(c, disk, silent(), None).err().unwrap();
    let e = new(config(0xab), storage_with_log(&[1], &[1, 1], hs(3)));
    assert_eq!(
        e,
        Error::HardStateOutOfRange {
            id: 0xab,
            commit: 3,
            first: 0,
            last: 2
        }
    );
    assert_eq!(e.to_string(), "ab state.commit 3 is out of range [0, 2]");
    let c = Config {
        applied: 2,
        ..config(1)
    };
    let e = new(c, storage_with_log(&[1], &[1, 1], hs(1)));
    assert_eq!(
        e,
        Error::AppliedOutOfRange {
            applied: 2,
            first: 0,
            last: 1
        }
    );
    let disk = storage(&[1, 2], &[1]);
    assert!(matches!(new(config(1), disk), Error::ConfState(_)));
    let disk = storage(&[], &[1]);
    assert!(matches!(new(config(1), disk), Error::ConfChange(_)));
}

/// Each read that fails at some point of a node's life stops it there.
#[test]
fn a_fault_is_kept_wherever_it_happens() {
    let hs = HardState {
        term: 1,
        vote: 0,
        commit: 2,
    };
    let terms = [1, 1, 1, 1];
    let vote = |from| msg(MessageType::MsgVoteResp, from, 2);
    type Act = fn(&mut Raft<Failing>) -> Result<(), Error>;
    let elect: Act = |r| r.step(Message::new(MessageType::MsgHup)).map(drop);
    let committed: Act = |r| r.pending(WriteMode::Sync).map(drop);
    let append: Act = |r| {
        let m = Message {
            index: 3,
            log_term: 1,
            ..msg(MessageType::MsgApp, 2, 1)
        };
        r.step(m).map(drop)
    };
    for (what, act) in [
        ("entries", elect),
        ("entries", committed),
        ("term", append),
        ("first_index", append),
    ] {
        let (s, plan) = failing(storage_with_log(&[1, 2, 3], &terms, hs));
        let mut r = Raft::new(config(1), s, silent(), None).unwrap();
        let e = broken();
        plan.borrow_mut().failing = Some((what, e.clone()));
        plan.borrow_mut().calls.clear();
        let got = act(&mut r);
        assert!(matches!(got, Err(Error::Fault(_))), "{what}: {got:?}");
        assert_stopped(&mut r, &e);
    }

    // A leader that reads what a follower lacks, or its snapshot.
    for (what, compact) in [("entries", false), ("snapshot", true)] {
        let disk = storage_with_log(&[1, 2, 3], &terms, HardState { commit: 4, ..hs });
        if compact {
            disk.create_snapshot(4, Some(conf_state(&[1, 2, 3], &[])), "")
                .unwrap();
            disk.compact(4).unwrap();
        }
        let (s, plan) = failing(disk.clone());
        let mut r = Raft::new(
            Config {
                applied: 4,
                ..config(1)
            },
            s,
            silent(),
            None,
        )
        .unwrap();
        r.step(Message::new(MessageType::MsgHup)).unwrap();
        let mut b = Batch::default();
        r.pending(WriteMode::Sync).unwrap().unwrap().accept(&mut b);
        r.step(b.messages_after_append.pop().unwrap()).unwrap();
        r.step(vote(2)).unwrap();
        r.pending(WriteMode::Sync).unwrap().unwrap().accept(&mut b);
        disk.append(&b.entries).unwrap();
        let e = broken();
        plan.borrow_mut().failing = Some((what, e.clone()));
        let reject = Message {
            index: 4,
            reject: true,
            reject_hint: 1,
            ..msg(MessageType::MsgAppResp, 2, 2)
        };
        assert!(matches!(r.step(reject), Err(Error::Fault(_))), "{what}");
        assert_stopped(&mut r, &e);
    }
}

/// Answers are none: a log that is compacted under way, a snapshot that is not ready.
#[test]
fn answers_of_the_storage_stop_nobody() {
    let hs = HardState {
        term: 1,
        vote: 0,
        commit: 4,
    };
    let disk = storage_with_log(&[1, 2, 3], &[1, 1, 1, 1], hs);
    let (s, plan) = failing(disk.clone());
    let mut r = Raft::new(
        Config {
            applied: 4,
            ..config(1)
        },
        s,
        silent(),
        None,
    )
    .unwrap();
    r.step(Message::new(MessageType::MsgHup)).unwrap();
    let mut b = Batch::default();
    r.pending(WriteMode::Sync).unwrap().unwrap().accept(&mut b);
    r.step(b.messages_after_append.pop().unwrap()).unwrap();
    r.step(msg(MessageType::MsgVoteResp, 2, 2)).unwrap();
    plan.borrow_mut().failing = Some(("entries", StorageError::Compacted));
    let reject = |hint| Message {
        index: 4,
        reject: true,
        reject_hint: hint,
        ..msg(MessageType::MsgAppResp, 2, 2)
    };
    r.step(reject(1)).unwrap();
    disk.create_snapshot(4, None, "").unwrap();
    disk.compact(3).unwrap();
    plan.borrow_mut().failing = Some(("snapshot", StorageError::SnapshotTemporarilyUnavailable));
    r.step(msg(MessageType::MsgHeartbeatResp, 2, 2)).unwrap();
    assert!(r.fault().is_none());
    plan.borrow_mut().failing = None;
    r.step(msg(MessageType::MsgHeartbeatResp, 2, 2)).unwrap();
    r.pending(WriteMode::Sync).unwrap().unwrap().accept(&mut b);
    assert!(
        b.messages
            .iter()
            .any(|m| m.msg_type == MessageType::MsgSnap)
    );
}

/// The driver could not write.
#[test]
fn the_driver_s_failure_stops_the_node() {
    let (s, _) = failing(storage(&[1], &[]));
    let mut r = Raft::new(config(1), s, silent(), None).unwrap();
    assert_eq!(r.fault(), None);
    r.fail(StorageError::NoSpace);
    assert_eq!(r.fault().unwrap().during(), "writing");
    assert_stopped(&mut r, &StorageError::NoSpace);
}
