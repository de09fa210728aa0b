//! Bugs that etcd's line has fixed, or has still, and that a fresh implementation writes again: one test each, named after what was seen.

#![allow(clippy::unwrap_used)]

mod common;

use common::{
    Net, Node, change, conf_state, config, entries, msg, silent, snapshot, storage,
    storage_with_log,
};
use std::cell::Cell;
use std::rc::Rc;
use storage_mem::MemoryStorage;
use tickraft::raftpb::{
    ConfChange, ConfChangeI, ConfChangeType, ConfState, Entries, Entry, EntryType, HardState,
    Message, MessageType, Snapshot, SnapshotStatus, marshal_conf_change,
};
use tickraft::storage::{self, Storage};
use tickraft::tracker::StateType as Progress;
use tickraft::{
    Batch, Config, DropReason, Error, Malformed, Outcome, Raft, ReadOnlyOption, RefuseReason,
    StateType, WriteMode,
};

fn progress(net: &mut Net, leader: u64, of: u64) -> tickraft::tracker::Progress {
    net.at(leader).raft.progress(of).unwrap().clone()
}

fn vote_resp(from: u64, term: u64) -> Message {
    msg(MessageType::MsgVoteResp, from, term)
}

fn app_resp(from: u64, term: u64, index: u64) -> Message {
    Message {
        index,
        ..msg(MessageType::MsgAppResp, from, term)
    }
}

/// A leader of term 1 among these voters whose peers say nothing by themselves.
fn lone_leader(voters: &[u64], set: impl Fn(&mut Config)) -> Node {
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
            commits.push(n.commit());
        }
        assert_eq!(
            n.applied.iter().map(|e| e.index).collect::<Vec<_>>(),
            (1..=10).collect::<Vec<_>>()
        );
        assert!(commits.iter().all(|&c| c == 10), "{commits:?}");
        assert_eq!(n.disk.initial_state().unwrap().0.commit, 10);
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

/// etcd#10308
#[test]
fn a_follower_that_caught_up_by_snapshot_replicates_in_an_idle_group() {
    let mut net = Net::new(3);
    net.elect(1);
    net.isolate(3);
    net.propose(1, "a").unwrap();
    net.propose(1, "b").unwrap();
    net.at(1).compact();
    net.heal();
    net.tick(3);
    let pr = progress(&mut net, 1, 3);
    assert_eq!((pr.state, pr.matched), (Progress::Replicate, 3));
    assert_eq!(net.at(3).commit(), 3);
}

/// etcd#8334
#[test]
fn a_pre_candidate_knows_no_leader() {
    let mut net = Net::with(3, |c| (c.pre_vote, c.check_quorum) = (true, true));
    net.elect(1);
    net.isolate(1);
    net.tick_one(3, 20);
    assert_eq!(
        (net.at(3).state(), net.at(3).lead()),
        (StateType::PreCandidate, 0)
    );
    // So it grants another's pre-vote: leases do not lock the two out.
    net.tick_one(2, 20);
    net.tick(25);
    let leaders: Vec<_> = net.leaders().into_iter().filter(|&id| id != 1).collect();
    assert_eq!(leaders.len(), 1);
}

/// etcd#10590
#[test]
fn a_learner_s_read_is_answered_where_there_is_one_voter() {
    let mut net = Net::of(&[1], &[2], |_| {});
    net.elect(1);
    net.tick(2);
    assert_eq!(net.at(2).read_index("r"), Outcome::Forwarded { to: 1 });
    net.settle();
    assert_eq!(net.at(2).read_contexts(), ["r"]);
    assert_eq!(net.at(2).read_states[0].index, 1);
}

/// etcd#10822
#[test]
fn a_learner_that_is_told_to_campaign_does_not() {
    let mut net = Net::of(&[1, 2], &[3], |_| {});
    assert_eq!(net.at(3).hup(), Outcome::Dropped(DropReason::Unpromotable));
    let done = net
        .at(3)
        .step(msg(MessageType::MsgTimeoutNow, 1, 1))
        .unwrap();
    assert_eq!(done, Outcome::Dropped(DropReason::Unpromotable));
    assert_eq!(
        (net.at(3).state(), net.at(3).term()),
        (StateType::Follower, 1)
    );
}

/// etcd#10998
#[test]
fn a_learner_votes_for_it_may_be_a_voter_that_does_not_know_it() {
    let mut net = Net::of(&[1, 2, 3], &[], |_| {});
    // Node 3 was promoted; only 2 has applied that, and 1 is gone.
    *net.at(3) = Node::new(config(3), storage(&[1, 2], &[3]));
    net.isolate(1);
    net.hup(2);
    assert_eq!(net.at(2).state(), StateType::Leader);
}

/// etcd#10864
#[test]
fn a_voter_takes_the_snapshot_that_demotes_it() {
    let mut n = Node::new(config(3), storage(&[1, 2, 3], &[]));
    let m = Message {
        snapshot: Some(Box::new(snapshot(11, 2, conf_state(&[1, 2], &[3])))),
        ..msg(MessageType::MsgSnap, 1, 2)
    };
    n.step(m).unwrap();
    n.drive();
    assert_eq!(n.raft.config().to_string(), "voters=(1 2) learners=(3)");
    assert_eq!(n.hup(), Outcome::Dropped(DropReason::Unpromotable));
}

/// etcd#11003, etcd#12637
#[test]
fn a_snapshot_keeps_the_joint_configuration_also_for_a_voter_of_its_outgoing_half_only() {
    let joint = ConfState {
        voters: vec![2, 3, 4],
        voters_outgoing: vec![1, 2, 3],
        learners_next: vec![1],
        auto_leave: true,
        ..ConfState::default()
    };
    for id in [1, 4] {
        let mut n = Node::new(config(id), storage(&[1, 2, 3], &[]));
        let m = Message {
            snapshot: Some(Box::new(snapshot(11, 2, joint.clone()))),
            ..msg(MessageType::MsgSnap, 2, 2)
        };
        n.step(m).unwrap();
        n.drive();
        assert_eq!(n.commit(), 11, "{id} took it");
        assert_eq!(n.raft.config().conf_state(), joint);
        assert_eq!(n.disk.initial_state().unwrap().1, joint);
    }
}

/// etcd#11046, etcd#12137, etcd#14538
#[test]
fn a_joint_configuration_is_left_once_and_soon() {
    let mut net = Net::of(&[1, 2, 3], &[], |_| {});
    net.elect(1);
    net.propose(1, "a").unwrap();
    net.change(1, &change("v4 r3", false)).unwrap();
    net.propose(1, "b").unwrap();
    net.tick(3);
    assert_eq!(net.at(1).raft.config().to_string(), "voters=(1 2 4)");
    let changes = |n: &Node| {
        let of = |e: &&Entry| e.get_type() == EntryType::ConfChangeV2;
        n.applied.iter().filter(of).count()
    };
    assert_eq!(changes(net.at(1)), 2, "entered and left");
    assert_eq!(changes(net.at(2)), 2);
}

/// etcd#12137: a transfer under way puts it off, the next applied entry makes up for it; a new leader leaves as well.
#[test]
fn a_joint_configuration_is_left_after_a_transfer_too() {
    let mut net = Net::of(&[1, 2, 3], &[], |_| {});
    net.elect(1);
    // Node 3 is slow, so the transfer to it lasts until the configuration is joint.
    net.cut(1, 3);
    let cc = change("l4 l5", false);
    net.at(1).raft.propose_conf_change(&cc).unwrap();
    assert_eq!(net.transfer(1, 3), Outcome::Done);
    assert!(net.at(1).raft.config().auto_leave, "joint, and not left");
    assert_eq!(net.at(1).raft.basic_status().lead_transferee, 3);
    net.tick(10);
    assert_eq!(net.at(1).raft.basic_status().lead_transferee, 0, "given up");
    net.heal();
    net.propose(1, "next").unwrap();
    assert!(!net.at(1).raft.config().auto_leave);
    assert_eq!(
        net.at(1).raft.config().to_string(),
        "voters=(1 2 3) learners=(4 5)"
    );
}

/// etcd#11037
#[test]
fn a_new_voter_is_probed_without_waiting_for_traffic() {
    let mut n = lone_leader(&[1], |_| {});
    let done = n.raft.propose_conf_change(&change("v2", false)).unwrap();
    assert_eq!(done, Outcome::Appended { term: 1, index: 2 });
    let out = n.drive();
    let to_2: Vec<_> = out
        .iter()
        .filter(|m| m.to == 2)
        .map(|m| m.msg_type)
        .collect();
    assert_eq!(to_2, [MessageType::MsgApp]);
}

/// etcd#12134, etcd#12163
#[test]
fn a_node_with_an_unapplied_configuration_change_does_not_campaign() {
    let cc = ConfChange {
        node_id: 4,
        ..ConfChange::default()
    };
    for v2 in [false, true] {
        let (t, data) = if v2 {
            marshal_conf_change(Some(&cc.as_v2()))
        } else {
            marshal_conf_change(Some(&cc))
        };
        let disk = storage(&[1, 2, 3], &[]);
        let e = Entry {
            entry_type: Some(t),
            data,
            ..Entry::new(1, 1, "")
        };
        disk.append(&vec![e, Entry::new(1, 2, "")].into()).unwrap();
        disk.set_hard_state(HardState {
            term: 1,
            vote: 0,
            commit: 2,
        });
        let mut n = Node::new(config(1), disk);
        let dropped = Outcome::Dropped(DropReason::PendingConfChange);
        assert_eq!(n.hup(), dropped);
        assert_eq!(
            n.step(msg(MessageType::MsgTimeoutNow, 2, 1)).unwrap(),
            dropped
        );
        for _ in 0..40 {
            n.raft.tick().unwrap();
        }
        assert_eq!((n.state(), n.term()), (StateType::Follower, 1));
        n.drive();
        assert_eq!(n.hup(), Outcome::Done);
    }
}

/// etcd#12163
#[test]
fn a_node_with_a_snapshot_to_take_does_not_campaign() {
    let mut n = Node::new(config(1), storage(&[1, 2, 3], &[]));
    let m = Message {
        snapshot: Some(Box::new(snapshot(11, 1, conf_state(&[1, 2, 3], &[])))),
        ..msg(MessageType::MsgSnap, 2, 1)
    };
    n.step(m).unwrap();
    assert_eq!(n.hup(), Outcome::Dropped(DropReason::Unpromotable));
    n.drive();
    assert_eq!(n.hup(), Outcome::Done);
}

/// etcd#11417
#[test]
fn a_transfer_ends_when_its_target_is_demoted_or_removed() {
    for cc in [change("l3", false), change("r3", false)] {
        let mut net = Net::new(3);
        net.elect(1);
        net.cut(1, 3);
        net.at(1).raft.propose_conf_change(&cc).unwrap();
        net.transfer(1, 3);
        assert_eq!(net.at(1).commit(), 2);
        assert_eq!(net.at(1).raft.basic_status().lead_transferee, 0);
        net.propose(1, "goes on").unwrap();
    }
}

/// etcd#11964
#[test]
fn divergent_logs_are_probed_a_term_at_a_time() {
    for (leader, follower) in [
        // A long tail of an earlier term on the follower, and one of a later.
        (&[1, 3, 3, 3, 5, 5, 5, 5, 5][..], &[1, 1, 1, 1, 2, 2][..]),
        (&[1, 3, 3, 3, 3, 3, 3, 3, 7], &[1, 3, 3, 4, 4, 5, 5, 5, 6]),
        (
            &[1, 2, 2, 2, 4, 4, 4, 4, 4, 4, 4],
            &[1, 3, 3, 3, 3, 3, 3, 3],
        ),
    ] {
        let hs = |term| HardState {
            term,
            vote: 0,
            commit: 1,
        };
        let mut net = Net::new(2);
        *net.at(1) = Node::new(config(1), storage_with_log(&[1, 2], leader, hs(8)));
        *net.at(2) = Node::new(config(2), storage_with_log(&[1, 2], follower, hs(6)));
        let rejections = Rc::new(Cell::new(0));
        let counted = Rc::clone(&rejections);
        net.filter(move |m| {
            let rejects = m.msg_type == MessageType::MsgAppResp && m.reject;
            counted.set(counted.get() + u32::from(rejects));
            true
        });
        net.elect(1);
        assert_eq!(net.at(1).terms(), net.at(2).terms());
        assert!(rejections.get() <= 2, "{} probes failed", rejections.get());
    }
}

/// etcd#12762
#[test]
fn a_read_before_the_first_commit_of_the_term_is_answered_after_it() {
    let mut net = Net::new(3);
    net.elect(1);
    net.propose(1, "a").unwrap();
    net.ignore(MessageType::MsgAppResp);
    net.elect(2);
    net.at(2).read_index("early");
    net.settle();
    assert!(net.at(2).read_states.is_empty());
    net.heal();
    net.tick(2);
    assert_eq!(net.at(2).read_contexts(), ["early"]);
    assert_eq!(net.at(2).read_states[0].index, 3, "its own first entry");
}

/// raft#397
#[test]
fn a_retried_read_is_not_confirmed_by_late_answers() {
    let mut n = lone_leader(&[1, 2, 3], |_| {});
    n.step(app_resp(2, 1, 1)).unwrap();
    n.drive();
    let context = |n: &mut Node, ctx| {
        n.read_index(ctx);
        let out = n.drive();
        out.iter()
            .find(|m| m.msg_type == MessageType::MsgHeartbeat)
            .unwrap()
            .context()
            .to_vec()
    };
    let resp =
        |from, ctx: &[u8]| msg(MessageType::MsgHeartbeatResp, from, 1).with_context(ctx.to_vec());
    let first = context(&mut n, "same");
    n.step(resp(2, &first)).unwrap();
    n.drive();
    assert_eq!(n.read_contexts(), ["same"]);
    // Another node leads and commits in between, for all that this one knows; the answer to the first heartbeat arrives again.
    let second = context(&mut n, "same");
    assert_ne!(first, second);
    n.step(resp(3, &first)).unwrap();
    n.drive();
    assert_eq!(n.read_contexts().len(), 1);
    n.step(resp(3, &second)).unwrap();
    n.drive();
    assert_eq!(n.read_contexts().len(), 2);
}

/// etcd#13603
#[test]
fn a_malformed_append_is_refused_whole() {
    let mut n = Node::new(
        config(1),
        storage_with_log(
            &[1, 2],
            &[1, 1, 2],
            HardState {
                term: 2,
                vote: 0,
                commit: 1,
            },
        ),
    );
    n.drive();
    let app = |index, log_term, entries: Entries| Message {
        index,
        log_term,
        entries,
        commit: 9,
        ..msg(MessageType::MsgApp, 2, 5)
    };
    let gap: Entries = vec![Entry::new(3, 4, ""), Entry::new(3, 6, "")].into();
    let falling: Entries = vec![Entry::new(4, 4, ""), Entry::new(3, 5, "")].into();
    for (m, what) in [
        (app(3, 2, gap), Malformed::EntryIndex { index: 6 }),
        (
            app(3, 2, entries(1, &[3])),
            Malformed::EntryIndex { index: 1 },
        ),
        (
            app(3, 2, vec![Entry::new(3, u64::MAX, "")].into()),
            Malformed::EntryIndex { index: u64::MAX },
        ),
        (app(3, 2, falling), Malformed::EntryTerm { index: 5 }),
        (
            app(3, 2, entries(4, &[1])),
            Malformed::EntryTerm { index: 4 },
        ),
        (
            app(3, 2, entries(4, &[6])),
            Malformed::EntryTerm { index: 4 },
        ),
        (
            app(0, 0, entries(1, &[0])),
            Malformed::EntryTerm { index: 1 },
        ),
        (app(3, 6, Entries::new()), Malformed::EntryTerm { index: 3 }),
        (
            app(u64::MAX, 2, Entries::new()),
            Malformed::IndexOutOfRange { index: u64::MAX },
        ),
    ] {
        let got = n.step(m.clone());
        let want = Error::Malformed {
            msg_type: MessageType::MsgApp,
            from: 2,
            what,
        };
        assert_eq!(got, Err(want), "{m:?}");
        assert_eq!(
            n.raft.hard_state(),
            HardState {
                term: 2,
                vote: 0,
                commit: 1
            }
        );
        assert!(!n.raft.has_pending(WriteMode::Async));
    }
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

/// etcd#14633
#[test]
fn nothing_more_goes_to_a_follower_whose_window_is_full() {
    let mut n = lone_leader(&[1, 2], |c| c.max_inflight_msgs = 3);
    n.step(app_resp(2, 1, 1)).unwrap();
    n.drive();
    let mut sent = 0;
    for _ in 0..10 {
        n.raft.propose("x".into()).unwrap();
        sent += n.drive().iter().filter(|m| !m.entries.is_empty()).count();
    }
    assert_eq!(sent, 3);
    for _ in 0..5 {
        n.step(msg(MessageType::MsgHeartbeatResp, 2, 1)).unwrap();
        let out = n.drive();
        assert_eq!(out.len(), 1, "one empty append a heartbeat");
        assert!(out[0].entries.is_empty());
    }
}

/// raft#31
#[test]
fn a_compacted_log_sends_no_append_without_a_term_and_survives_one() {
    let mut net = Net::new(3);
    net.elect(1);
    net.isolate(3);
    net.propose(1, "a").unwrap();
    net.propose(1, "b").unwrap();
    net.at(1).compact();
    net.heal();
    net.filter(|m| m.msg_type != MessageType::MsgApp || m.index == 0 || m.log_term != 0);
    net.tick(3);
    assert_eq!(net.at(3).commit(), 3);
    // What an old leader sends: rejected like any other that does not match.
    let term = net.at(3).term();
    let m = Message {
        index: 3,
        ..msg(MessageType::MsgApp, 1, term)
    };
    assert_eq!(net.at(3).step(m), Ok(Outcome::Done));
    let out = net.at(3).drive();
    assert!(out[0].reject);
    assert_eq!(net.at(3).commit(), 3);
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

/// raft#54
#[test]
fn the_bytes_in_flight_come_back() {
    let mut net = Net::with(2, |c| {
        c.max_size_per_msg = 100;
        c.max_inflight_bytes = 200;
    });
    net.elect(1);
    for i in 0..50 {
        net.propose(1, &"x".repeat(90)).unwrap();
        if i % 7 == 0 {
            // Replicating, probing and replicating again.
            net.at(1)
                .step(msg(MessageType::MsgUnreachable, 2, 0))
                .unwrap();
            net.tick(1);
        }
    }
    assert_eq!(net.at(2).data().len(), 50);
    assert_eq!(progress(&mut net, 1, 2).inflights.bytes(), 0);
}

/// raft#52
#[test]
fn a_peer_that_was_unreachable_replicates_again_when_it_answers() {
    let mut net = Net::new(3);
    net.elect(1);
    net.at(1)
        .step(msg(MessageType::MsgUnreachable, 3, 0))
        .unwrap();
    assert_eq!(progress(&mut net, 1, 3).state, Progress::Probe);
    net.tick(1);
    assert_eq!(progress(&mut net, 1, 3).state, Progress::Replicate);
}

/// raft#77, raft#79
#[test]
fn a_removed_or_demoted_leader_steps_down_if_told_so() {
    for cc in [change("r1", false), change("l1", false)] {
        let mut net = Net::with(3, |c| c.step_down_on_removal = true);
        net.elect(1);
        net.change(1, &cc).unwrap();
        assert_eq!(
            (net.at(1).state(), net.at(1).lead()),
            (StateType::Follower, 0)
        );
        net.elect(2);

        // Without the option it leads on, as in etcd, and takes no proposals once it is no member.
        let mut net = Net::new(3);
        net.elect(1);
        net.change(1, &cc).unwrap();
        assert_eq!(net.at(1).state(), StateType::Leader);
        let done = net.propose(1, "x");
        if net.at(1).raft.progress(1).is_none() {
            assert_eq!(done, Err(Error::ProposalDropped(DropReason::NotMember)));
        }
    }
}

/// raft#110
#[test]
fn a_follower_may_take_another_snapshot_than_was_sent() {
    let mut n = lone_leader(&[1, 2, 3], |_| {});
    for id in [2, 3] {
        n.step(app_resp(id, 1, 1)).unwrap();
    }
    for i in 0..9 {
        n.raft.propose(format!("{i}").into()).unwrap();
        n.drive();
        n.step(app_resp(2, 1, 2 + i)).unwrap();
        n.drive();
    }
    // The log begins at 6, the newest snapshot is at 10. Node 3 has lost everything.
    n.disk
        .create_snapshot(10, Some(conf_state(&[1, 2, 3], &[])), "")
        .unwrap();
    n.disk.compact(5).unwrap();
    n.step(msg(MessageType::MsgUnreachable, 3, 0)).unwrap();
    let mut raft = n;
    let reject = Message {
        reject: true,
        reject_hint: 0,
        ..app_resp(3, 1, 1)
    };
    raft.step(reject).unwrap();
    raft.step(msg(MessageType::MsgHeartbeatResp, 3, 1)).unwrap();
    raft.drive();
    let pr = raft.raft.progress(3).unwrap().clone();
    if pr.state != Progress::Snapshot {
        // It still matches 1: the next index is compacted.
        panic!("{pr}");
    }
    assert_eq!(pr.pending_snapshot, 10);
    // It took one at 6 from elsewhere. The log goes on from there.
    raft.step(app_resp(3, 1, 6)).unwrap();
    let pr = raft.raft.progress(3).unwrap();
    assert_eq!((pr.state, pr.matched), (Progress::Replicate, 6));
}

/// raft#149
#[test]
fn a_snapshot_s_end_reported_late_does_not_set_next_below_match() {
    let mut net = Net::new(3);
    net.elect(1);
    net.isolate(3);
    net.propose(1, "a").unwrap();
    net.at(1).compact();
    net.heal();
    net.tick(3);
    net.propose(1, "b").unwrap();
    for status in [SnapshotStatus::Finish, SnapshotStatus::Failure] {
        let m = Message {
            reject: status == SnapshotStatus::Failure,
            ..msg(MessageType::MsgSnapStatus, 3, 0)
        };
        assert_eq!(
            net.at(1).step(m).unwrap(),
            Outcome::Dropped(DropReason::Stale)
        );
    }
    // Rejections of appends from before the snapshot, late.
    let late = Message {
        reject: true,
        reject_hint: 0,
        ..app_resp(3, 1, 1)
    };
    assert_eq!(
        net.at(1).step(late).unwrap(),
        Outcome::Dropped(DropReason::Stale)
    );
    let pr = progress(&mut net, 1, 3);
    assert!(pr.next > pr.matched);
}

/// Open upstream: read_only.go, recvAck.
#[test]
fn a_heartbeat_response_with_a_short_context_is_refused() {
    let mut n = lone_leader(&[1, 2, 3], |_| {});
    n.step(app_resp(2, 1, 1)).unwrap();
    n.read_index("r");
    n.drive();
    for len in 1..8 {
        let m = msg(MessageType::MsgHeartbeatResp, 2, 1).with_context(vec![1; len]);
        let want = Error::Malformed {
            msg_type: MessageType::MsgHeartbeatResp,
            from: 2,
            what: Malformed::Context { len },
        };
        assert_eq!(n.step(m), Err(want));
    }
    // One that was never given out confirms nothing either.
    let m = msg(MessageType::MsgHeartbeatResp, 2, 1).with_context(vec![255; 8]);
    assert!(n.step(m).is_err());
    assert!(n.read_states.is_empty());
}

/// Open upstream: raft#105.
#[test]
fn a_single_voter_answers_no_read_before_it_has_committed_in_its_term() {
    for option in [ReadOnlyOption::Safe, ReadOnlyOption::LeaseBased] {
        let c = Config {
            read_only_option: option,
            check_quorum: true,
            ..config(1)
        };
        let hs = HardState {
            term: 1,
            vote: 1,
            commit: 1,
        };
        let mut n = Node::new(c, storage_with_log(&[1], &[1, 1, 1], hs));
        n.hup();
        // Its vote is written, its first entry is not.
        n.drive_once();
        assert_eq!(n.state(), StateType::Leader);
        n.read_index("early");
        n.drive_once();
        assert!(
            n.read_states.is_empty(),
            "entries 2 and 3 may be committed, and it does not know"
        );
        n.drive();
        assert_eq!(n.read_contexts(), ["early"]);
        assert_eq!(n.read_states[0].index, 4);
    }
}

/// Open upstream: raft#354.
#[test]
fn a_refused_configuration_change_is_reported() {
    let mut net = Net::new(3);
    net.elect(1);
    let leave = change("", false);
    let refused = net.change(1, &leave).unwrap();
    assert_eq!(
        refused,
        Outcome::Refused {
            index: 2,
            reason: RefuseReason::NotJoint
        }
    );
    net.change(1, &change("l4 l5", true)).unwrap();
    let refused = net.change(1, &change("v6", false)).unwrap();
    assert_eq!(
        refused,
        Outcome::Refused {
            index: 4,
            reason: RefuseReason::MustLeaveJoint
        }
    );
    // Not applied yet: nobody else is there.
    net.isolate(1);
    assert!(matches!(
        net.change(1, &leave).unwrap(),
        Outcome::Appended { index: 5, .. }
    ));
    let reason = RefuseReason::PendingConfChange {
        index: 5,
        applied: 4,
    };
    assert_eq!(
        net.change(1, &leave).unwrap(),
        Outcome::Refused { index: 6, reason }
    );
    assert_eq!(
        reason.to_string(),
        "possible unapplied conf change at index 5 (applied to 4)"
    );
    // An empty entry took its place, with etcd's two bytes of type.
    let e = net.at(1).disk.entries(6, 7, u64::MAX).unwrap();
    let e = e.first().unwrap();
    assert_eq!((e.entry_type, e.data.len()), (Some(EntryType::Normal), 0));
}

// From the notes of those who wrote their first Raft.

#[test]
fn votes_of_two_terms_are_not_added_up() {
    let mut n = Node::new(config(1), storage(&[1, 2, 3, 4, 5], &[]));
    n.hup();
    n.drive();
    n.step(vote_resp(2, 1)).unwrap();
    n.hup();
    n.drive();
    n.step(vote_resp(3, 2)).unwrap();
    assert_eq!(n.state(), StateType::Candidate, "two of five in term 2");
    // A late vote of term 1, and the same vote again.
    assert_eq!(
        n.step(vote_resp(4, 1)).unwrap(),
        Outcome::Dropped(DropReason::LowerTerm)
    );
    n.step(vote_resp(3, 2)).unwrap();
    assert_eq!(n.state(), StateType::Candidate);
    n.step(vote_resp(4, 2)).unwrap();
    assert_eq!(n.state(), StateType::Leader);
}

#[test]
fn a_vote_is_not_forgotten_within_its_term() {
    let disk = storage(&[1, 2, 3], &[]);
    let mut n = Node::new(config(1), disk.clone());
    let granted = |n: &mut Node, from| {
        n.step(msg(MessageType::MsgVote, from, 1)).unwrap();
        !n.drive()[0].reject
    };
    assert!(granted(&mut n, 2));
    assert!(!granted(&mut n, 3));
    assert!(granted(&mut n, 2), "the same again");
    // Not by a leader of this term, nor by a restart.
    n.step(msg(MessageType::MsgHeartbeat, 2, 1)).unwrap();
    n.drive();
    assert!(!granted(&mut n, 3));
    let mut n = Node::new(config(1), disk);
    assert!(!granted(&mut n, 3));
    assert!(granted(&mut n, 2));
}

/// Raft paper, Figure 8.
#[test]
fn an_entry_of_an_earlier_term_is_not_committed_by_counting() {
    let hs = |term| HardState {
        term,
        vote: 0,
        commit: 0,
    };
    let mut net = Net::new(5);
    for (id, terms) in [
        (1, &[1, 2][..]),
        (2, &[1, 2]),
        (3, &[1]),
        (4, &[1]),
        (5, &[1, 3]),
    ] {
        *net.at(id) = Node::new(config(id), storage_with_log(&[1, 2, 3, 4, 5], terms, hs(3)));
    }
    // 1 leads in term 4 and brings its entry of term 2 to a majority, but not yet its own of term 4.
    net.cut(1, 4);
    net.cut(1, 5);
    let mut n = Node::new(
        config(1),
        storage_with_log(&[1, 2, 3, 4, 5], &[1, 2], hs(3)),
    );
    n.hup();
    n.drive();
    for id in [2, 3] {
        n.step(vote_resp(id, 4)).unwrap();
    }
    n.drive();
    assert_eq!(n.state(), StateType::Leader);
    for id in [2, 3] {
        n.step(app_resp(id, 4, 2)).unwrap();
    }
    n.drive();
    assert_eq!(n.commit(), 0, "entry 2 of term 2 is on three of five");
    for id in [2, 3] {
        n.step(app_resp(id, 4, 3)).unwrap();
    }
    assert_eq!(n.commit(), 3, "with the first entry of term 4 it is");
}

#[test]
fn a_leader_counts_itself() {
    let mut n = lone_leader(&[1, 2, 3], |_| {});
    assert_eq!(n.raft.progress(1).unwrap().matched, 1);
    n.raft.propose("a".into()).unwrap();
    n.drive();
    n.step(app_resp(3, 1, 2)).unwrap();
    assert_eq!(n.commit(), 2);
}

#[test]
fn a_late_append_takes_nothing_away() {
    let mut n = Node::new(config(2), storage(&[1, 2, 3], &[]));
    let app = |index, log_term, e| Message {
        index,
        log_term,
        entries: e,
        ..msg(MessageType::MsgApp, 1, 1)
    };
    n.step(app(0, 0, entries(1, &[1, 1, 1]))).unwrap();
    n.step(app(0, 0, entries(1, &[1]))).unwrap();
    n.drive();
    assert_eq!(n.terms(), [1, 1, 1]);
}

#[test]
fn a_candidate_that_does_not_win_tries_again() {
    let mut net = Net::new(3);
    net.isolate(1);
    net.tick_one(1, 20);
    assert_eq!(net.at(1).state(), StateType::Candidate);
    let term = net.at(1).term();
    net.tick_one(1, 20);
    assert!(net.at(1).term() > term);
    net.heal();
    net.tick_one(1, 20);
    assert_eq!(net.at(1).state(), StateType::Leader);
}

#[test]
fn acknowledgements_of_an_earlier_term_do_not_count() {
    let mut n = lone_leader(&[1, 2, 3], |_| {});
    n.step(msg(MessageType::MsgAppResp, 2, 2)).unwrap();
    n.hup();
    n.drive();
    n.step(vote_resp(2, 3)).unwrap();
    n.drive();
    assert_eq!((n.state(), n.term()), (StateType::Leader, 3));
    assert_eq!(
        n.step(app_resp(2, 1, 2)).unwrap(),
        Outcome::Dropped(DropReason::LowerTerm)
    );
    assert_eq!(n.commit(), 0);
    assert_eq!(n.raft.progress(2).unwrap().matched, 0);
}

#[test]
fn a_change_of_a_node_that_is_there_changes_nothing() {
    let mut net = Net::new(3);
    net.elect(1);
    let before = net.at(1).raft.config().clone();
    let cc = ConfChange {
        node_id: 0,
        change_type: ConfChangeType::RemoveNode,
        ..ConfChange::default()
    };
    net.at(1).raft.apply_conf_change(&cc.as_v2()).unwrap();
    net.change(1, &change("v2", false)).unwrap();
    assert_eq!(*net.at(1).raft.config(), before);
}
