//! Starting, restarting, and the Readies that follow. Go: node_test.go (TestNodeStart, TestNodeRestart*, TestNodeAdvance, …)

use super::*;
use crate::{Error, restart_node, start_node, start_node_async};
use rawnode::raft::{self, DropReason, Peer, ReadState, tracker};
use rawnode::raftpb::{ConfChange, EntryType, SnapshotStatus, is_local_msg, marshal_conf_change};

fn logger() -> Logger {
    Lines::default().logger()
}

/// Go: TestNodeStart
#[test]
fn a_new_group_of_one() {
    let s = MemoryStorage::new();
    let peers = [Peer {
        id: 1,
        ..Peer::default()
    }];
    let n = start_node(config(1), s.clone(), &peers, logger(), None).unwrap();
    let rd = take(&n);
    assert_eq!(
        rd.hard_state().map(|hs| (hs.term, hs.vote, hs.commit)),
        Some((1, 0, 1))
    );
    assert!(rd.must_sync());
    let add = ConfChange {
        node_id: 1,
        ..ConfChange::default()
    };
    let first = Entry {
        entry_type: Some(EntryType::ConfChange),
        ..Entry::new(1, 1, marshal_conf_change(Some(&add)).1)
    };
    assert_eq!(rd.entries(), &vec![first.clone()].into());
    write(&s, &rd);
    let p = rd.persisted();
    assert_eq!(p.committed_entries(), &vec![first].into());
    n.advance(p).unwrap();

    n.campaign().unwrap();
    assert!(handle(&n, &s).is_empty(), "the vote");
    assert!(handle(&n, &s).is_empty(), "the empty entry is written");
    n.propose("foo".into()).unwrap().wait().unwrap();
    // The commit of the empty entry comes with the proposal or before it; then the proposal's.
    let (mut written, mut applied, mut last) = (Vec::new(), Vec::new(), None);
    while applied.len() < 2 {
        let rd = take(&n);
        assert_eq!(rd.must_sync(), !rd.entries().is_empty());
        write(&s, &rd);
        written.extend(rd.entries().iter().cloned());
        last = rd.hard_state().copied().or(last);
        let p = rd.persisted();
        applied.extend(p.committed_entries().iter().cloned());
        n.advance(p).unwrap();
    }
    let foo = Entry::new(2, 3, "foo");
    assert_eq!(written, std::slice::from_ref(&foo));
    assert_eq!(applied, [Entry::new(2, 2, ""), foo]);
    let want = HardState {
        term: 2,
        vote: 1,
        commit: 3,
    };
    assert_eq!(last, Some(want));
    assert!(silent(&n));
    n.stop();
}

#[test]
fn what_will_not_do_starts_no_thread() {
    let peers = [Peer {
        id: 1,
        ..Peer::default()
    }];
    let e = start_node(config(1), MemoryStorage::new(), &[], logger(), None).unwrap_err();
    assert_eq!(e, Error::Raft(raft::Error::NoPeers));
    let e = start_node(config(1), one_committed(), &peers, logger(), None).unwrap_err();
    assert_eq!(e, Error::Raft(raft::Error::NonemptyStorage));
    let e = start_node_async(config(1), one_committed(), &peers, logger(), None).unwrap_err();
    assert_eq!(e, Error::Raft(raft::Error::NonemptyStorage));
    let c = Config {
        election_tick: 1,
        ..config(1)
    };
    let e = restart_node(c, storage(&[1]), logger(), None).unwrap_err();
    assert_eq!(
        e.to_string(),
        "election tick must be greater than heartbeat tick"
    );
}

/// Go: TestNodeRestart
#[test]
fn a_restart_applies_what_was_committed() {
    let s = storage(&[1]);
    s.append(&vec![Entry::new(1, 1, "one"), Entry::new(1, 2, "two")].into())
        .unwrap();
    s.set_hard_state(HardState {
        term: 1,
        vote: 0,
        commit: 1,
    });
    let n = restart_node(config(1), s, logger(), None).unwrap();
    let rd = take(&n);
    assert!(rd.write().is_empty() && !rd.must_sync() && rd.messages().is_empty());
    let p = rd.persisted();
    assert_eq!(data(p.committed_entries()), ["one"]);
    n.advance(p).unwrap();
    assert!(silent(&n));
}

/// Go: TestNodeRestartFromSnapshot
#[test]
fn a_restart_behind_a_snapshot() {
    let s = MemoryStorage::new();
    s.apply_snapshot(&snapshot(2, 1, &[1, 2])).unwrap();
    s.append(&vec![Entry::new(1, 3, "foo")].into()).unwrap();
    s.set_hard_state(HardState {
        term: 1,
        vote: 0,
        commit: 3,
    });
    let n = restart_node(config(1), s, logger(), None).unwrap();
    let rd = take(&n);
    assert!(rd.write().is_empty() && !rd.must_sync() && rd.messages().is_empty());
    let p = rd.persisted();
    assert_eq!(p.committed_entries(), &vec![Entry::new(1, 3, "foo")].into());
    n.advance(p).unwrap();
    assert!(silent(&n));
    assert_eq!(n.status().unwrap().config.conf_state(), conf(&[1, 2], &[]));
}

/// Go: TestNodeAdvance
#[test]
fn the_next_ready_waits_for_advance() {
    let (n, s) = leader();
    n.propose("a".into()).unwrap().wait().unwrap();
    let rd = take(&n);
    assert_eq!(data(rd.entries()), ["a"]);
    n.propose("b".into()).unwrap().wait().unwrap();
    assert!(silent(&n), "one at a time");
    write(&s, &rd);
    let p = rd.persisted();
    assert!(silent(&n), "persisted is not advanced");
    n.advance(p).unwrap();
    let rd = take(&n);
    assert_eq!(data(rd.entries()), ["b"]);
    write(&s, &rd);
    let p = rd.persisted();
    assert_eq!(data(p.committed_entries()), ["a"]);
    n.advance(p).unwrap();
}

/// Go: TestCommitPagination
#[test]
fn committed_entries_come_in_pages() {
    let c = Config {
        max_committed_size_per_ready: 2048,
        ..config(1)
    };
    let (n, s) = leader_with(c);
    let first = take_after_three_proposals(&n);
    write(&s, &first);
    let mut entries = first.entries().len();
    let mut pages = Vec::new();
    n.advance(first.persisted()).unwrap();
    while pages.iter().sum::<usize>() < 3 {
        let rd = take(&n);
        write(&s, &rd);
        entries += rd.entries().len();
        let p = rd.persisted();
        pages.push(p.committed_entries().len());
        n.advance(p).unwrap();
    }
    assert_eq!(entries, 3);
    assert!(pages.iter().all(|len| *len <= 2), "{pages:?}");
    assert!(pages.len() >= 2);
}

/// Takes a Ready while three proposals of 1000 bytes wait or are in it.
fn take_after_three_proposals(n: &Node) -> Ready {
    for _ in 0..3 {
        n.propose(vec![b'a'; 1000].into()).unwrap().wait().unwrap();
    }
    take(n)
}

/// Go: TestNodeCommitPaginationAfterRestart
#[test]
fn a_storage_that_gives_too_much_takes_no_commit_back() {
    let s = storage(&[1]);
    let entries: Entries = (1..=10).map(|i| Entry::new(1, i, "a")).collect();
    s.append(&entries).unwrap();
    s.set_hard_state(HardState {
        term: 1,
        vote: 1,
        commit: 10,
    });
    let size: u64 = entries.iter().map(Entry::size).sum();
    let c = Config {
        max_size_per_msg: size - 1,
        ..config(1)
    };
    let n = spawn(c, Wrapped::new(s, OnRead::Generous));
    let mut applied = Vec::new();
    while applied.len() < 10 {
        let rd = take(&n);
        assert!(rd.hard_state().is_none_or(|hs| hs.commit >= 10));
        let p = rd.persisted();
        applied.extend(p.committed_entries().iter().map(|e| e.index));
        n.advance(p).unwrap();
    }
    assert_eq!(applied, (1..=10).collect::<Vec<_>>());
}

/// Go: TestNodeReadIndex*
#[test]
fn a_read_index_comes_back() {
    let (n, s) = leader();
    n.read_index("ctx".into()).unwrap();
    let mut rd = take(&n);
    let want = ReadState {
        index: 1,
        request_ctx: "ctx".into(),
    };
    assert_eq!(rd.take_read_states(), [want]);
    write(&s, &rd);
    n.advance(rd.persisted()).unwrap();
    assert!(silent(&n));
}

/// A follower sends a read request on to its leader, without a term. Go: TestNodeReadIndexToOldLeader
#[test]
fn a_follower_forwards_reads() {
    let s = storage(&[1, 2, 3]);
    let n = spawn(config(1), s.clone());
    follow(&n, 4);
    n.read_index("ctx".into()).unwrap();
    let mut sent = Vec::new();
    while !silent(&n) {
        let mut rd = take(&n);
        write(&s, &rd);
        sent.extend(rd.take_messages());
        n.advance(rd.persisted()).unwrap();
    }
    let reads: Vec<_> = sent
        .iter()
        .filter(|m| m.msg_type == MessageType::MsgReadIndex)
        .map(|m| (m.to, m.from, m.term, data(&m.entries)))
        .collect();
    assert_eq!(reads, [(2, 1, 0, vec!["ctx".to_owned()])]);
}

/// Go: TestNodeStep
#[test]
fn local_messages_do_not_come_from_peers() {
    let n = spawn(config(1), storage(&[1]));
    for &t in MessageType::ALL {
        let m = Message {
            from: 2,
            ..Message::new(t)
        };
        let want = if is_local_msg(t) {
            Err(Error::Raft(raft::Error::StepLocalMsg))
        } else {
            Ok(())
        };
        assert_eq!(n.step(m), want, "{t:?}");
    }
    assert!(n.status().is_ok());
}

/// What a peer should not have sent is logged, and nothing else.
#[test]
fn what_is_refused_is_logged() {
    let lines = Lines::default();
    let rn = RawNode::new(config(1), storage(&[1, 2]), lines.logger(), None).unwrap();
    let n = options().spawn(rn).unwrap();
    let m = |from, t| Message {
        to: 1,
        from,
        term: 1,
        commit: 7,
        ..Message::new(t)
    };
    n.step(m(9, MessageType::MsgAppResp)).unwrap();
    n.step(m(2, MessageType::MsgHeartbeat)).unwrap();
    n.status().unwrap();
    assert!(n.ended().is_none());
    let warned = lines.of(Level::Warning);
    assert_eq!(warned.len(), 1, "{warned:?}");
    assert!(
        warned[0].contains("tocommit(7) is out of range [lastIndex(0)]"),
        "{warned:?}"
    );
}

/// Reports of the transport, and requests about leadership, reach the core.
#[test]
fn reports_and_requests_reach_the_core() {
    let s = storage(&[1, 2, 3]);
    let n = spawn(config(1), s.clone());
    n.campaign().unwrap();
    let answer = |t, term, index| {
        n.step(Message {
            to: 1,
            from: 2,
            term,
            index,
            ..Message::new(t)
        })
        .unwrap();
    };
    answer(MessageType::MsgVoteResp, 1, 0);
    while !silent(&n) {
        handle(&n, &s);
    }
    answer(MessageType::MsgAppResp, 1, 1);
    let state = |n: &Node| n.status().unwrap().progress.get(2).map(|pr| pr.state);
    assert_eq!(state(&n), Some(tracker::StateType::Replicate));
    n.report_unreachable(9).unwrap();
    n.report_unreachable(2).unwrap();
    assert_eq!(state(&n), Some(tracker::StateType::Probe));
    n.report_snapshot(2, SnapshotStatus::Finish).unwrap();
    n.transfer_leadership(1, 2).unwrap();
    assert_eq!(n.status().unwrap().basic.lead_transferee, 2);
    let ticket = n.propose("x".into()).unwrap();
    let busy = DropReason::TransferInProgress { transferee: 2 };
    assert_eq!(ticket.wait(), Err(Error::ProposalDropped(busy)));

    follow(&n, 5);
    assert_eq!(n.status().unwrap().basic.soft_state.lead, 2);
    n.forget_leader().unwrap();
    assert_eq!(n.status().unwrap().basic.soft_state.lead, 0);
}
