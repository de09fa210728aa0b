//! Replication, flow control and the batches that a driver gets. Go: raft_test.go, raft_flow_control_test.go, rawnode_test.go

#![allow(clippy::unwrap_used)]

mod common;

use common::{Net, Node, app_resp, conf_state, config, entries, msg, snapshot, storage};
use tickraft::raftpb::{Entries, Entry, Message, MessageType};
use tickraft::tracker::StateType as Progress;
use tickraft::{Batch, DropReason, Error, Malformed, Outcome, StateType, WriteMode};

/// A leader of term 1 of two, whose peer has its first entry.
fn leader(set: impl Fn(&mut tickraft::Config)) -> Node {
    let mut c = config(1);
    set(&mut c);
    let mut n = Node::new(c, storage(&[1, 2], &[]));
    n.hup();
    n.drive();
    n.step(msg(MessageType::MsgVoteResp, 2, 1)).unwrap();
    n.drive();
    n.step(app_resp(2, 1, 1)).unwrap();
    n.drive();
    assert_eq!((n.state(), n.commit()), (StateType::Leader, 1));
    n
}

/// The indexes of the entries in each MsgApp.
fn sent(out: &[Message]) -> Vec<Vec<u64>> {
    let apps = out.iter().filter(|m| m.msg_type == MessageType::MsgApp);
    apps.map(|m| m.entries.iter().map(|e| e.index).collect())
        .collect()
}

#[test]
fn what_is_proposed_anywhere_is_applied_everywhere() {
    let mut net = Net::new(3);
    net.elect(1);
    assert_eq!(
        net.propose(1, "a"),
        Ok(Outcome::Appended { term: 1, index: 2 })
    );
    assert_eq!(net.propose(2, "b"), Ok(Outcome::Forwarded { to: 1 }));
    net.isolate(3);
    net.propose(1, "c").unwrap();
    assert_eq!(net.propose(3, "lost"), Ok(Outcome::Forwarded { to: 1 }));
    net.heal();
    net.tick(2);
    net.assert_equal();
    assert_eq!(net.at(3).data(), ["a", "b", "c"]);
    net.elect(3);
    net.propose(1, "d").unwrap();
    net.assert_equal();
}

#[test]
fn proposals_are_dropped_with_a_reason() {
    let mut net = Net::with(3, |c| c.disable_proposal_forwarding = c.id == 3);
    assert_eq!(
        net.propose(1, "x"),
        Err(Error::ProposalDropped(DropReason::NoLeader))
    );
    net.elect(1);
    let disabled = Error::ProposalDropped(DropReason::ForwardingDisabled);
    assert_eq!(net.propose(3, "x"), Err(disabled.clone()));
    assert_eq!(disabled.to_string(), "raft proposal dropped");
    net.isolate(2);
    net.hup(2);
    assert_eq!(
        net.propose(2, "x"),
        Err(Error::ProposalDropped(DropReason::NoLeader))
    );
    let done = net.at(1).raft.propose_entries(Entries::new());
    let what = Malformed::EntryCount { count: 0 };
    assert_eq!(
        done,
        Err(Error::Malformed {
            msg_type: MessageType::MsgProp,
            from: 1,
            what
        })
    );
}

/// However they are proposed, entries get the leader's term and consecutive indexes, and keep their order.
#[test]
fn proposals_of_all_sizes_keep_their_order() {
    let mut n = leader(|_| {});
    let mut want = Vec::new();
    for size in [1, 2, 7, 8, 9, 1, 300, 3] {
        let names: Vec<_> = (0..size).map(|i| format!("{size}.{i}")).collect();
        let batch: Entries = names
            .iter()
            .map(|s| Entry::new(77, 99, s.clone()))
            .collect();
        let shared = batch.clone();
        let last = 1 + want.len() as u64 + size;
        let done = n.raft.propose_entries(batch);
        assert_eq!(
            done,
            Ok(Outcome::Appended {
                term: 1,
                index: last
            })
        );
        assert!(
            shared.iter().all(|e| (e.term, e.index) == (77, 99)),
            "the caller's entries stay"
        );
        n.raft.propose(format!("one behind {size}").into()).unwrap();
        want.extend(names);
        want.push(format!("one behind {size}"));
    }
    let out = n.drive();
    let all: Vec<_> = out.iter().flat_map(|m| m.entries.iter().cloned()).collect();
    assert_eq!(all.len(), want.len());
    for ((index, e), data) in (2..).zip(&all).zip(&want) {
        assert_eq!((e.term, e.index, &e.data[..]), (1, index, data.as_bytes()));
    }
    n.step(app_resp(2, 1, n.raft.last_index())).unwrap();
    n.drive();
    assert_eq!(n.data(), want);
}

/// A probe waits for its answer; then messages go out without waiting, each with what is new.
#[test]
fn probing_then_replicating() {
    let mut net = Net::new(2);
    net.elect(1);
    let mut n = net.nodes.remove(&1).unwrap();
    assert_eq!(n.raft.progress(2).unwrap().state, Progress::Replicate);
    for i in 2..5 {
        n.raft.propose("x".into()).unwrap();
        assert_eq!(sent(&n.drive()), [[i]]);
    }
    // Several between two batches: a message each, as etcd sends them.
    for _ in 0..3 {
        n.raft.propose("x".into()).unwrap();
    }
    assert_eq!(sent(&n.drive()), [[5], [6], [7]]);
    // A rejection brings probing back: all that is missing goes in one message, and then none until the answer.
    let reject = Message {
        reject: true,
        reject_hint: 1,
        log_term: 1,
        ..app_resp(2, 1, 6)
    };
    n.step(reject).unwrap();
    n.raft.propose("x".into()).unwrap();
    n.raft.propose("x".into()).unwrap();
    assert_eq!(sent(&n.drive()), [[2, 3, 4, 5, 6, 7]]);
    assert_eq!(n.raft.progress(2).unwrap().state, Progress::Probe);
    // A heartbeat's answer lets one more probe out.
    n.step(msg(MessageType::MsgHeartbeatResp, 2, 1)).unwrap();
    assert_eq!(sent(&n.drive()), [[2, 3, 4, 5, 6, 7, 8, 9]]);
    n.step(app_resp(2, 1, 7)).unwrap();
    assert_eq!(
        sent(&n.drive()),
        [vec![8, 9]],
        "and the commit index with it"
    );
    assert_eq!(n.commit(), 7);
}

#[test]
fn messages_keep_to_the_size_limit() {
    let size = Entry::new(1, 2, "x").size();
    for (limit, want) in [
        (0, vec![1; 6]),
        (size, vec![1; 6]),
        (2 * size, vec![2; 3]),
        (4 * size + 1, vec![4, 2]),
        (u64::MAX, vec![6]),
    ] {
        let mut n = leader(|c| c.max_size_per_msg = limit);
        // The peer is paused while these are appended, then it answers.
        n.step(msg(MessageType::MsgUnreachable, 2, 0)).unwrap();
        n.raft.propose("p".into()).unwrap();
        n.drive();
        for _ in 0..5 {
            n.raft.propose("x".into()).unwrap();
        }
        let half: Vec<_> = n.drive();
        assert_eq!(sent(&half), Vec::<Vec<u64>>::new());
        n.step(Message {
            reject: true,
            reject_hint: 1,
            ..app_resp(2, 1, 1)
        })
        .unwrap();
        n.step(msg(MessageType::MsgHeartbeatResp, 2, 1)).unwrap();
        n.step(app_resp(2, 1, 1)).unwrap();
        let lens: Vec<_> = sent(&n.drive())
            .iter()
            .map(Vec::len)
            .filter(|&l| l > 0)
            .collect();
        let total: usize = lens.iter().rev().take(want.len()).sum();
        assert_eq!(lens[lens.len() - want.len()..], want, "limit {limit}");
        assert_eq!(total, 6);
    }
}

#[test]
fn the_window_bounds_messages_and_bytes() {
    for (msgs, bytes, want) in [(3, 0, 3), (100, 30, 3), (100, 31, 4), (2, 1000, 2)] {
        let mut n = leader(|c| {
            c.max_size_per_msg = 10;
            c.max_inflight_msgs = msgs;
            c.max_inflight_bytes = bytes;
        });
        let mut full = 0;
        for _ in 0..8 {
            n.raft.propose(vec![b'x'; 10].into()).unwrap();
            full += sent(&n.drive()).len();
        }
        assert_eq!(full, want, "{msgs} messages, {bytes} bytes");
        // Each acknowledgement lets as many more go as it frees.
        n.step(app_resp(2, 1, 2)).unwrap();
        assert_eq!(sent(&n.drive()).iter().filter(|e| !e.is_empty()).count(), 1);
        n.step(app_resp(2, 1, 4)).unwrap();
        let more = sent(&n.drive()).iter().filter(|e| !e.is_empty()).count();
        assert_eq!(more, 2.min(want));
    }
}

/// A follower never commits what it has not matched, whatever heartbeats and appends carry.
#[test]
fn commit_indexes_reach_no_further_than_the_log() {
    let mut n = Node::new(config(2), storage(&[1, 2, 3], &[]));
    let app = |index, log_term, e, commit| Message {
        index,
        log_term,
        entries: e,
        commit,
        ..msg(MessageType::MsgApp, 1, 1)
    };
    n.step(app(0, 0, entries(1, &[1, 1]), 99)).unwrap();
    assert_eq!(n.commit(), 2);
    n.step(app(2, 1, entries(3, &[1, 1]), 3)).unwrap();
    assert_eq!(n.commit(), 3);
    // An append that matches at 1 says nothing of what follows.
    n.step(app(3, 1, Entries::new(), 9)).unwrap();
    assert_eq!(n.commit(), 3);
    let beat = |commit, term| Message {
        commit,
        ..msg(MessageType::MsgHeartbeat, 1, term)
    };
    n.step(beat(4, 1)).unwrap();
    assert_eq!(n.commit(), 4);
    n.step(beat(2, 1)).unwrap();
    assert_eq!(n.commit(), 4);
    n.drive();
    // What we never had: refused whole, and the node lives on. etcd's process ends.
    for term in [1, 7] {
        let want = Error::CommitOutOfRange {
            from: 1,
            term,
            commit: 5,
            last_index: 4,
        };
        assert_eq!(n.step(beat(5, term)), Err(want.clone()));
        assert!(
            want.to_string()
                .starts_with("tocommit(5) is out of range [lastIndex(4)]")
        );
        assert_eq!(n.term(), 1);
        assert!(!n.raft.has_pending(WriteMode::Sync));
    }
    n.step(beat(4, 2)).unwrap();
    // An old leader's heartbeat is ignored whatever it says.
    assert_eq!(
        n.step(beat(99, 1)),
        Ok(Outcome::Dropped(DropReason::LowerTerm))
    );
}

/// Asynchronous writes: batches go out while others are being written; acknowledgements wait for their write; what was replaced meanwhile
/// is not taken for written.
#[test]
fn writes_may_overlap() {
    let mut n = Node::new(config(2), storage(&[1, 2, 3], &[]));
    let app = |from, term, index, log_term, e, commit| Message {
        index,
        log_term,
        entries: e,
        commit,
        ..msg(MessageType::MsgApp, from, term)
    };
    let take = |n: &mut Node| {
        let mut b = Batch::default();
        n.raft
            .pending(WriteMode::Async)
            .unwrap()
            .unwrap()
            .accept(&mut b);
        b
    };
    n.step(app(1, 1, 0, 0, entries(1, &[1, 1]), 0)).unwrap();
    let first = take(&mut n);
    n.step(app(1, 1, 2, 1, entries(3, &[1]), 3)).unwrap();
    let second = take(&mut n);
    assert_eq!((first.entries.len(), second.entries.len()), (2, 1));
    assert!(first.messages.is_empty() && first.messages_after_append.len() == 1);
    assert!(
        !n.raft.has_pending(WriteMode::Async),
        "committed, but not written here"
    );
    assert_eq!(n.commit(), 3);
    n.disk.append(&first.entries).unwrap();
    n.step(first.append_resp.unwrap()).unwrap();
    let b = take(&mut n);
    assert_eq!(b.committed_entries.len(), 2, "what is written is applied");
    n.step(b.apply_resp.unwrap()).unwrap();

    // A leader of term 2 replaces nothing that is committed, but adds; one of term 3 replaces that while it is being written, and one
    // of term 4 puts it back: the first write's acknowledgement is of an earlier term and does not count.
    n.disk.append(&second.entries).unwrap();
    n.step(second.append_resp.unwrap()).unwrap();
    let applied = take(&mut n);
    n.step(applied.apply_resp.unwrap()).unwrap();
    n.step(app(1, 2, 3, 1, entries(4, &[2]), 3)).unwrap();
    let a = take(&mut n);
    n.step(app(3, 3, 3, 1, entries(4, &[3]), 3)).unwrap();
    let b = take(&mut n);
    n.step(app(1, 4, 3, 1, entries(4, &[2]), 3)).unwrap();
    let c = take(&mut n);
    n.disk.append(&a.entries).unwrap();
    let done = n.step(a.append_resp.unwrap()).unwrap();
    assert_eq!(done, Outcome::Dropped(DropReason::LowerTerm));
    n.disk.append(&b.entries).unwrap();
    n.step(b.append_resp.unwrap()).unwrap();
    assert_eq!(n.disk.term_of(4), 3, "the storage is behind");
    n.step(app(1, 4, 4, 2, Entries::new(), 4)).unwrap();
    let committed = take(&mut n).committed_entries;
    assert!(
        committed.is_empty(),
        "entry 4 is committed, and not known to be written: {committed:?}"
    );
    n.step(app(1, 4, 4, 2, entries(5, &[4]), 3)).unwrap();
    n.disk.append(&c.entries).unwrap();
    n.step(c.append_resp.unwrap()).unwrap();
    assert_eq!(n.disk.term_of(4), 2);
    n.raft.check_invariants().unwrap();
}

trait TermOf {
    fn term_of(&self, index: u64) -> u64;
}

impl TermOf for storage_mem::MemoryStorage {
    fn term_of(&self, index: u64) -> u64 {
        tickraft::storage::Storage::term(self, index).unwrap()
    }
}

/// Nothing is acknowledged that was not handed out.
#[test]
fn forged_acknowledgements_of_writes_are_refused() {
    let mut n = leader(|_| {});
    n.raft.propose("x".into()).unwrap();
    let refused = |n: &mut Node, m: Message| {
        let msg_type = m.msg_type;
        let from = m.from;
        let what = Malformed::NotOutstanding;
        assert_eq!(
            n.step(m),
            Err(Error::Malformed {
                msg_type,
                from,
                what
            })
        );
    };
    let append_resp = Message {
        index: 2,
        log_term: 1,
        ..msg(MessageType::MsgStorageAppendResp, u64::MAX, 1)
    };
    refused(&mut n, append_resp.clone());
    refused(
        &mut n,
        Message {
            term: 9,
            ..append_resp
        },
    );
    refused(&mut n, app_resp(1, 1, 2));
    refused(&mut n, app_resp(2, 1, 3));
    let apply_resp = Message {
        entries: entries(2, &[1]),
        ..msg(MessageType::MsgStorageApplyResp, u64::MAX - 1, 0)
    };
    refused(&mut n, apply_resp);
    let snap_resp = Message {
        snapshot: Some(Box::new(snapshot(9, 1, conf_state(&[1], &[])))),
        ..msg(MessageType::MsgStorageAppendResp, u64::MAX, 1)
    };
    refused(&mut n, snap_resp);
    assert_eq!(
        n.step(Message::new(MessageType::MsgStorageAppend)),
        Err(Error::StepLocalMsg)
    );
    n.drive();
    n.step(app_resp(2, 1, 2)).unwrap();
    n.drive();
    assert_eq!(n.data(), ["x"]);
}

#[test]
fn a_batch_s_buffers_are_used_again() {
    let mut n = leader(|_| {});
    let mut b = Batch::default();
    let mut addresses = std::collections::BTreeSet::new();
    for i in 0..20 {
        n.raft.propose("x".into()).unwrap();
        n.raft
            .pending(WriteMode::Sync)
            .unwrap()
            .unwrap()
            .accept(&mut b);
        assert_eq!((b.messages.len(), b.entries.len()), (1, 1), "{i}");
        assert_eq!(b.messages[0].entries, b.entries);
        addresses.insert(b.messages.as_ptr() as usize);
        n.disk.append(&b.entries).unwrap();
        let own: Vec<_> = b.messages_after_append.drain(..).collect();
        for m in own.into_iter().chain(b.append_resp.take()) {
            n.step(m).unwrap();
        }
        n.step(app_resp(2, 1, n.raft.last_index())).unwrap();
        n.raft
            .pending(WriteMode::Sync)
            .unwrap()
            .unwrap()
            .accept(&mut b);
        n.step(b.apply_resp.take().unwrap()).unwrap();
        addresses.insert(b.messages.as_ptr() as usize);
    }
    assert!(addresses.len() <= 4, "{addresses:?}");
}

/// A batch that is looked at and not taken is there again, with what came in between.
#[test]
fn what_is_not_accepted_stays_pending() {
    let mut n = leader(|_| {});
    n.raft.propose("a".into()).unwrap();
    drop(n.raft.pending(WriteMode::Sync).unwrap().unwrap());
    n.raft.propose("b".into()).unwrap();
    let mut b = Batch::default();
    n.raft
        .pending(WriteMode::Sync)
        .unwrap()
        .unwrap()
        .accept(&mut b);
    assert_eq!(
        (b.entries.len(), sent(&b.messages)),
        (2, vec![vec![2], vec![3]])
    );
    assert!(n.raft.pending(WriteMode::Sync).unwrap().is_none());
}

/// With `batch_append`, what was proposed since the last batch leaves as one MsgApp, and acknowledgements bring one commit index.
#[test]
fn batched_appends_leave_as_one() {
    let mut n = leader(|c| c.batch_append = true);
    for data in ["a", "b", "c"] {
        n.raft.propose(data.into()).unwrap();
    }
    assert_eq!(sent(&n.drive()), [[2, 3, 4]]);
    for index in [2, 3, 4] {
        n.step(app_resp(2, 1, index)).unwrap();
    }
    let out = n.drive();
    assert_eq!(sent(&out), [[0; 0]]);
    assert_eq!((out[0].commit, n.commit()), (4, 4));
    // Said once, that is no news any more.
    n.step(app_resp(2, 1, 4)).unwrap();
    assert!(!n.raft.has_pending(WriteMode::Sync));
}

/// What goes into the window or a message is bounded as without it; what is left follows acknowledgements.
#[test]
fn batched_appends_keep_to_the_limits() {
    let mut n =
        leader(|c| (c.batch_append, c.max_size_per_msg, c.max_inflight_msgs) = (true, 0, 2));
    for data in ["a", "b", "c"] {
        n.raft.propose(data.into()).unwrap();
    }
    assert_eq!(sent(&n.drive()), [[2], [3]]);
    n.step(app_resp(2, 1, 2)).unwrap();
    let out = n.drive();
    assert_eq!(sent(&out), [[4]]);
    assert_eq!(out[0].commit, 2);
}

/// A node that no longer leads sends none of the appends that it held back.
#[test]
fn held_back_appends_end_with_the_term() {
    let mut n = leader(|c| c.batch_append = true);
    n.raft.propose("a".into()).unwrap();
    n.step(msg(MessageType::MsgHeartbeat, 2, 2)).unwrap();
    assert_eq!(n.state(), StateType::Follower);
    assert_eq!(sent(&n.drive()), [[0; 0]; 0]);
}
