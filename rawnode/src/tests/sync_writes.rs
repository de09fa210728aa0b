//! Ready and Advance in turn. Go: rawnode_test.go

use super::*;
use raft::raftpb::{
    HardState, LOCAL_APPEND_THREAD, MessageType, is_local_msg, is_response_msg, payload_size,
};
use raft::{DropReason, Error, Outcome, ReadState, SoftState};

/// Go: TestRawNodeStep
#[test]
fn only_the_node_itself_makes_local_messages() {
    for &t in MessageType::ALL {
        let s = storage(&[1]);
        let mut n = node(1, s);
        for from in [0, 9] {
            let m = Message {
                from,
                ..Message::new(t)
            };
            let result = n.step(m);
            if is_local_msg(t) {
                assert_eq!(result, Err(Error::StepLocalMsg), "{t:?} from {from}");
                assert_eq!(n.basic_status().hard_state, HardState::default(), "{t:?}");
            } else if is_response_msg(t) {
                assert_eq!(result, Err(Error::StepPeerNotFound), "{t:?} from {from}");
            }
            assert!(n.fault().is_none(), "{t:?}");
        }
    }
}

#[test]
fn a_storage_thread_may_answer() {
    let mut n = node(1, storage(&[1]));
    let m = Message {
        to: 1,
        from: LOCAL_APPEND_THREAD,
        ..Message::new(MessageType::MsgStorageAppendResp)
    };
    assert!(!matches!(
        n.step(m),
        Err(Error::StepLocalMsg | Error::StepPeerNotFound)
    ));
}

/// The log starts behind index 1, so that members which lack the configuration need its snapshot; a snapshot has a term, and so the group
/// starts in it. Go: TestRawNodeStart
#[test]
fn a_group_of_one_from_its_first_campaign_on() {
    let s = MemoryStorage::new();
    // An empty storage has neither entries nor a configuration.
    assert_eq!(s.entries(1, 2, NO_LIMIT), Err(storage::Error::Unavailable));
    assert_eq!(s.entries(0, 1, NO_LIMIT), Err(storage::Error::Compacted));
    assert_eq!(
        s.initial_state(),
        Ok((HardState::default(), conf(&[], &[])))
    );
    s.apply_snapshot(&snapshot(1, 1, &[1])).unwrap();
    assert_eq!(s.first_index(), Ok(2));
    s.set_hard_state(HardState {
        term: 1,
        vote: 0,
        commit: 1,
    });
    let mut n = node(1, s.clone());
    assert!(!n.has_ready() && n.ready().unwrap().is_none());

    n.campaign().unwrap();
    let h = handle(&mut n, s.clone()).unwrap();
    assert!(
        h.must_sync && h.entries.is_empty(),
        "first only the vote for itself"
    );
    assert_eq!(role(&n), StateType::Leader);

    let appended = Outcome::Appended { term: 2, index: 3 };
    assert_eq!(n.propose("foo".into()), Ok(appended));
    assert!(n.has_ready());
    let all = [Entry::new(2, 2, ""), Entry::new(2, 3, "foo")];
    let h = handle(&mut n, s.clone()).unwrap();
    assert_eq!(h.entries, all.to_vec().into());
    assert!(h.must_sync);
    // What is not on disk yet must not be applied: if this node were lost, so would be an acknowledged write.
    assert!(h.committed.is_empty());

    assert!(n.has_ready());
    let rd = n.ready().unwrap().unwrap();
    assert_eq!(
        rd.hard_state(),
        Some(&HardState {
            term: 2,
            vote: 1,
            commit: 3
        })
    );
    assert!(rd.entries().is_empty() && rd.snapshot().is_none());
    assert!(rd.messages().is_empty() && rd.read_states().is_empty());
    assert!(!rd.must_sync(), "only the commit index moved");
    let p = rd.persisted();
    assert_eq!(p.committed_entries(), &all.to_vec().into());
    n.advance(p).unwrap();
    assert!(!n.has_ready() && n.ready().unwrap().is_none());
    assert_eq!(n.basic_status().applied, 3);
}

#[test]
fn soft_state_comes_only_when_it_changed() {
    let s = storage(&[1]);
    let mut n = node(1, s.clone());
    n.campaign().unwrap();
    let mut seen = Vec::new();
    while let Some(rd) = n.ready().unwrap() {
        seen.extend(rd.soft_state().copied());
        Writer::append(&mut s.clone(), rd.write()).unwrap();
        let p = rd.persisted();
        n.advance(p).unwrap();
    }
    let candidate = SoftState {
        lead: 0,
        raft_state: StateType::Candidate,
    };
    let leader = SoftState {
        lead: 1,
        raft_state: StateType::Leader,
    };
    assert_eq!(seen, [candidate, leader]);
}

/// Go: MustSync, TestIsHardStateEqual
#[test]
fn only_votes_terms_and_entries_must_be_durable_at_once() {
    let heartbeat = |term, commit| Message {
        to: 1,
        from: 2,
        term,
        commit,
        ..Message::new(MessageType::MsgHeartbeat)
    };
    let app = |term, log_term, index, entries: Vec<Entry>, commit| Message {
        to: 1,
        from: 2,
        term,
        log_term,
        index,
        commit,
        entries: entries.into(),
        ..Message::new(MessageType::MsgApp)
    };
    let vote = |term| Message {
        to: 1,
        from: 3,
        term,
        index: 9,
        log_term: 9,
        ..Message::new(MessageType::MsgVote)
    };
    let s = storage(&[1, 2, 3]);
    let mut n = node(1, s.clone());
    for (what, m, want) in [
        ("a new term", heartbeat(9, 0), true),
        ("nothing", heartbeat(9, 0), false),
        (
            "an entry",
            app(9, 0, 0, vec![Entry::new(9, 1, "x")], 0),
            true,
        ),
        ("a commit", heartbeat(9, 1), false),
        ("no entries", app(9, 9, 1, vec![], 1), false),
        (
            "an entry and a commit",
            app(9, 9, 1, vec![Entry::new(9, 2, "y")], 2),
            true,
        ),
        ("a vote in a new term", vote(10), true),
        ("the same vote again", vote(10), false),
    ] {
        n.step(m).unwrap();
        let h = handle(&mut n, s.clone()).unwrap();
        assert_eq!(h.must_sync, want, "{what}");
        while let Some(h) = handle(&mut n, s.clone()) {
            assert!(!h.must_sync, "after {what}: {h:?}");
        }
    }
}

/// A follower may answer only for what it has written; a leader replicates beside its own write.
#[test]
fn answers_wait_for_the_write_and_requests_do_not() {
    let s = storage(&[1, 2]);
    let mut n = node(1, s.clone());
    let m = Message {
        to: 1,
        from: 2,
        term: 1,
        entries: vec![Entry::new(1, 1, "x")].into(),
        ..Message::new(MessageType::MsgApp)
    };
    n.step(m).unwrap();
    let rd = n.ready().unwrap().unwrap();
    assert_eq!(rd.messages(), []);
    Writer::append(&mut s.clone(), rd.write()).unwrap();
    let p = rd.persisted();
    let kinds = |ms: &[Message]| ms.iter().map(|m| (m.to, m.msg_type)).collect::<Vec<_>>();
    assert_eq!(kinds(p.messages()), [(2, MessageType::MsgAppResp)]);
    n.advance(p).unwrap();

    n.campaign().unwrap();
    let rd = n.ready().unwrap().unwrap();
    assert_eq!(kinds(rd.messages()), [(2, MessageType::MsgVote)]);
    Writer::append(&mut s.clone(), rd.write()).unwrap();
    let p = rd.persisted();
    assert_eq!(p.messages(), [], "its own vote is not sent but stepped");
    n.advance(p).unwrap();
}

/// Looking whether there is a Ready takes nothing away, taking it does, and what comes meanwhile is in the next. Go: TestRawNodeConsumeReady
#[test]
fn what_comes_while_a_ready_is_out_is_in_the_next() {
    let s = storage(&[1, 2]);
    let mut n = node(1, s.clone());
    n.campaign().unwrap();
    assert!(n.has_ready() && n.has_ready());
    let rd = n.ready().unwrap().unwrap();
    assert_eq!(rd.messages().len(), 1);
    // Before it is advanced past, the vote of the other arrives.
    let vote = Message {
        to: 1,
        from: 2,
        term: 1,
        ..Message::new(MessageType::MsgVoteResp)
    };
    n.step(vote).unwrap();
    Writer::append(&mut s.clone(), rd.write()).unwrap();
    n.advance(rd.persisted()).unwrap();
    let h = handle(&mut n, s.clone()).unwrap();
    assert_eq!(h.messages.len(), 1, "{h:?}");
    assert_eq!(h.messages[0].msg_type, MessageType::MsgApp);
    assert!(!n.has_ready());
}

/// Go: TestRawNodeReadIndex
#[test]
fn a_read_index_comes_back_with_its_context() {
    let (mut n, s) = leader();
    n.read_index("ctx".into()).unwrap();
    assert!(n.has_ready());
    let mut rd = n.ready().unwrap().unwrap();
    let want = ReadState {
        index: 1,
        request_ctx: "ctx".into(),
    };
    assert_eq!(rd.read_states(), std::slice::from_ref(&want));
    assert_eq!(rd.take_read_states(), [want]);
    assert!(rd.write().is_empty() && !rd.must_sync());
    Writer::append(&mut s.clone(), rd.write()).unwrap();
    n.advance(rd.persisted()).unwrap();
    assert!(!n.has_ready(), "handed out once");
}

/// Go: TestRawNodeStatus
#[test]
fn progress_shows_on_a_leader_only() {
    let s = storage(&[1]);
    let mut n = node(1, s.clone());
    assert!(n.status().progress.is_empty());
    n.campaign().unwrap();
    settle(&mut n, s);
    let status = n.status();
    assert_eq!(status.basic, n.basic_status());
    assert_eq!(
        (status.basic.soft_state.lead, role(&n)),
        (1, StateType::Leader)
    );
    let mut seen = Vec::new();
    n.with_progress(|id, kind, pr| seen.push((id, kind, pr.matched)));
    assert_eq!(seen, [(1, raft::ProgressType::Peer, 1)]);
    assert_eq!(status.progress.get(1).map(|pr| pr.matched), Some(1));
    assert_eq!(&status.config, n.raft().config());
}

/// Proposals are dropped when too many bytes of them are under way, and taken again once those are applied. Go:
/// TestRawNodeBoundedLogGrowthWithPartition
#[test]
fn the_uncommitted_tail_is_bounded_and_its_quota_is_given_back() {
    const MAX: usize = 16;
    let proposal = Entry::proposal("testdata");
    let s = storage(&[1]);
    let c = Config {
        max_uncommitted_entries_size: MAX as u64 * payload_size(&proposal),
        ..config(1)
    };
    let mut n = RawNode::new(c, s.clone(), logger(), None).unwrap();
    n.campaign().unwrap();
    settle(&mut n, s.clone());

    // Over and over: a leak of the quota would show.
    for round in 0..3 {
        let full = Err(Error::ProposalDropped(DropReason::UncommittedSize));
        for i in 0..1024 {
            let result = n.propose(proposal.data.clone());
            assert_eq!(result.is_ok(), i < MAX, "round {round}, {i}");
            assert!(i < MAX || result == full, "{result:?}");
        }
        let h = handle(&mut n, s.clone()).unwrap();
        assert_eq!((h.entries.len(), h.committed.len()), (MAX, 0));
        assert_eq!(
            n.propose(proposal.data.clone()),
            full,
            "appended is not applied"
        );
        let h = handle(&mut n, s.clone()).unwrap();
        assert_eq!((h.entries.len(), h.committed.len()), (0, MAX));
    }
}

/// Committed entries come in portions of a limited size, in order and without a gap. Go: TestCommitPagination
#[test]
fn committed_entries_come_in_pages() {
    let s = storage(&[1]);
    let c = Config {
        max_committed_size_per_ready: 2048,
        ..config(1)
    };
    let mut n = RawNode::new(c, s.clone(), logger(), None).unwrap();
    n.campaign().unwrap();
    settle(&mut n, s.clone());
    for _ in 0..3 {
        n.propose(vec![b'a'; 1000].into()).unwrap();
    }
    let mut pages = Vec::new();
    while let Some(h) = handle(&mut n, s.clone()) {
        pages.push((h.entries.len(), h.committed.len()));
    }
    assert_eq!(pages, [(3, 0), (0, 2), (0, 1)]);
}

#[test]
fn has_ready_reads_no_entries() {
    let s = storage(&[1]);
    let entries: Entries = (1..=100).map(|i| Entry::new(1, i, "x")).collect();
    s.append(&entries).unwrap();
    s.set_hard_state(HardState {
        term: 1,
        vote: 0,
        commit: 100,
    });
    let s = Generous::new(s);
    let mut n = node(1, s.clone());
    let before = s.reads();
    for _ in 0..10 {
        assert!(n.has_ready());
    }
    assert_eq!(s.reads(), before);
    let rd = n.ready().unwrap().unwrap();
    assert!(s.reads() > before, "else this test shows nothing");
    n.advance(rd.persisted()).unwrap();
}

/// The buffers of a Ready go back to the node.
#[test]
fn drained_buffers_are_used_again() {
    let s = storage(&[1, 2]);
    let mut n = node(1, s.clone());
    let mut seen = std::collections::BTreeSet::new();
    for term in 1..=20 {
        let vote = Message {
            to: 1,
            from: 2,
            term,
            index: 9,
            log_term: 9,
            ..Message::new(MessageType::MsgVote)
        };
        n.step(vote).unwrap();
        let rd = n.ready().unwrap().unwrap();
        Writer::append(&mut s.clone(), rd.write()).unwrap();
        let mut p = rd.persisted();
        assert_eq!(p.messages().len(), 1);
        seen.insert(p.messages().as_ptr() as usize);
        assert_eq!(p.drain_messages().count(), 1);
        n.advance(p).unwrap();
    }
    // The node's own and the Ready's, which change places.
    assert!(seen.len() <= 2, "{} buffers for 20 Readies", seen.len());
}

/// Three nodes, two of which vote: the messages that leave are what carries them on.
#[test]
fn three_nodes_replicate() {
    let mut group: Vec<_> = (1..=3)
        .map(|id| {
            let s = storage(&[1, 2, 3]);
            (node(id, s.clone()), s, Vec::new())
        })
        .collect();
    group[0].0.campaign().unwrap();
    for round in 0..2 {
        if round == 1 {
            group[0].0.propose("x".into()).unwrap();
            let result = group[1].0.propose("y".into());
            assert_eq!(result, Ok(Outcome::Forwarded { to: 1 }));
        }
        loop {
            let mut mail = Vec::new();
            for (n, s, applied) in &mut group {
                while let Some(h) = handle(n, s.clone()) {
                    mail.extend(h.messages);
                    applied.extend(data(&h.committed));
                }
            }
            if mail.is_empty() {
                break;
            }
            for m in mail {
                let to = usize::try_from(m.to).unwrap() - 1;
                group[to].0.step(m).unwrap();
            }
        }
    }
    for (n, _, applied) in &group {
        assert_eq!(applied, &["", "x", "y"], "{n:?}");
    }
}
