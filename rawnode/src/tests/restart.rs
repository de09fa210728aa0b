//! Starting from what a storage holds, or from nothing. Go: rawnode_test.go (TestRawNodeRestart*), bootstrap.go

use super::*;
use raft::Peer;
use raft::raftpb::{ConfChange, ConfChangeType, EntryType, HardState, MessageType};

fn hs(term: u64, vote: u64, commit: u64) -> HardState {
    HardState { term, vote, commit }
}

/// Go: TestRawNodeRestart
#[test]
fn what_was_committed_is_applied_again() {
    let s = storage(&[1]);
    s.append(&vec![Entry::new(1, 1, ""), Entry::new(1, 2, "foo")].into())
        .unwrap();
    s.set_hard_state(hs(1, 0, 1));
    let mut n = node(1, s);
    let rd = n.ready().unwrap().unwrap();
    assert!(rd.soft_state().is_none() && rd.write().is_empty() && !rd.must_sync());
    assert_eq!(rd.messages(), []);
    let p = rd.persisted();
    let want = vec![Entry::new(1, 1, "")].into();
    assert_eq!(p.committed_entries(), &want, "and nothing beyond");
    n.advance(p).unwrap();
    assert!(!n.has_ready());
}

/// Go: TestRawNodeRestartFromSnapshot
#[test]
fn a_log_behind_a_snapshot() {
    let s = MemoryStorage::new();
    s.apply_snapshot(&snapshot(2, 1, &[1, 2])).unwrap();
    s.append(&vec![Entry::new(1, 3, "foo")].into()).unwrap();
    s.set_hard_state(hs(1, 0, 3));
    let mut n = node(1, s);
    let rd = n.ready().unwrap().unwrap();
    assert!(rd.soft_state().is_none() && rd.write().is_empty() && !rd.must_sync());
    assert_eq!(rd.messages(), []);
    let p = rd.persisted();
    assert_eq!(p.committed_entries(), &vec![Entry::new(1, 3, "foo")].into());
    n.advance(p).unwrap();
    assert!(!n.has_ready());
}

#[test]
fn what_was_applied_is_not_applied_again() {
    let s = storage(&[1]);
    s.append(&(1..=5).map(|i| Entry::new(1, i, "x")).collect())
        .unwrap();
    s.set_hard_state(hs(1, 0, 4));
    let c = Config {
        applied: 3,
        ..config(1)
    };
    let mut n = RawNode::new(c, s.clone(), logger(), None).unwrap();
    let applied = settle(&mut n, s);
    assert_eq!(applied.iter().map(|e| e.index).collect::<Vec<_>>(), [4]);
}

/// A storage that returns more than the limit once made raft forget an entry after a restart. Go: TestRawNodeCommitPaginationAfterRestart,
/// TestNodeCommitPaginationAfterRestart
#[test]
fn pages_leave_no_gap_and_never_take_the_commit_index_back() {
    let s = storage(&[1, 2]);
    let entries: Entries = (1..=11)
        .map(|i| Entry {
            entry_type: Some(EntryType::Normal),
            ..Entry::new(1, i, "a")
        })
        .collect();
    s.append(&entries).unwrap();
    s.set_hard_state(hs(1, 1, 10));
    // One byte too small for the first ten, which the storage returns all the same.
    let ten: u64 = entries.slice(0..10).iter().map(Entry::size).sum();
    let s = Generous::new(s);
    let c = Config {
        max_size_per_msg: ten - 1,
        ..config(1)
    };
    let mut n = RawNode::new(c, s.clone(), logger(), None).unwrap();
    let heartbeat = Message {
        to: 1,
        from: 2,
        term: 1,
        commit: 11,
        ..Message::new(MessageType::MsgHeartbeat)
    };
    let (mut applied, mut commit) = (Vec::new(), 10);
    while applied.len() < 11 {
        let rd = n.ready().unwrap().expect("there is more to apply");
        if let Some(hs) = rd.hard_state() {
            assert!(hs.commit >= commit, "{} after {commit}", hs.commit);
            commit = hs.commit;
        }
        let p = rd.persisted();
        applied.extend(p.committed_entries().iter().map(|e| e.index));
        n.advance(p).unwrap();
        n.step(heartbeat.clone()).unwrap();
    }
    assert_eq!(applied, (1..=11).collect::<Vec<_>>());
}

/// Go: Bootstrap
#[test]
fn bootstrap_adds_the_peers() {
    let s = MemoryStorage::new();
    let mut n = node(1, s.clone());
    let peers = [
        Peer {
            id: 1,
            context: "one".into(),
        },
        Peer {
            id: 2,
            ..Peer::default()
        },
    ];
    n.bootstrap(&peers).unwrap();
    let rd = n.ready().unwrap().unwrap();
    assert_eq!(
        rd.hard_state(),
        Some(&hs(1, 0, 2)),
        "written although nobody voted"
    );
    assert!(rd.must_sync());
    let changes: Vec<_> = rd
        .entries()
        .iter()
        .map(|e| {
            assert_eq!((e.term, e.get_type()), (1, EntryType::ConfChange));
            <ConfChange as raft::raftpb::prost::Message>::decode(e.data.clone()).unwrap()
        })
        .collect();
    let add = |node_id, context: &'static str| ConfChange {
        change_type: ConfChangeType::AddNode,
        node_id,
        context: context.into(),
        ..ConfChange::default()
    };
    assert_eq!(changes, [add(1, "one"), add(2, "")]);
    Writer::append(&mut s.clone(), rd.write()).unwrap();
    let p = rd.persisted();
    assert_eq!(
        p.committed_entries().len(),
        2,
        "committed, and applied once more by the application"
    );
    for e in p.committed_entries() {
        let cc = unmarshal_conf_change(e).unwrap().unwrap();
        n.apply_conf_change(&cc).unwrap();
    }
    n.advance(p).unwrap();
    settle(&mut n, s);
    let mut ids = Vec::new();
    n.with_progress(|id, _, _| ids.push(id));
    assert_eq!(ids, [1, 2]);
}

#[test]
fn bootstrap_wants_peers_and_an_empty_storage() {
    let mut n = node(1, MemoryStorage::new());
    assert_eq!(n.bootstrap(&[]), Err(raft::Error::NoPeers));
    let s = MemoryStorage::new();
    s.append(&vec![Entry::new(1, 1, "x")].into()).unwrap();
    let mut n = node(1, s);
    let peers = [Peer {
        id: 1,
        ..Peer::default()
    }];
    assert_eq!(n.bootstrap(&peers), Err(raft::Error::NonemptyStorage));
    assert!(!n.has_ready());
}
