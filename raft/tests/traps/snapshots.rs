//! Snapshots: who takes them, and what the leader makes of the answer.

use crate::common::{
    Net, Node, app, app_resp, conf_state, config, entries, hs, lone_leader, msg, progress,
    snapshot, storage, storage_with_log,
};
use tickraft::raftpb::{ConfState, Message, MessageType, SnapshotStatus};
use tickraft::storage::Storage;
use tickraft::tracker::StateType as Progress;
use tickraft::{DropReason, Outcome};

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

/// raft#31: while the window is full only empty appends go out, and even those need the term of the entry before.
#[test]
fn a_full_window_over_a_compacted_log_is_answered_by_a_snapshot() {
    let mut n = lone_leader(&[1, 2, 3], |c| c.max_inflight_msgs = 1);
    for id in [2, 3] {
        n.step(app_resp(id, 1, 1)).unwrap();
    }
    // Node 3 has a message under way, and is silent while the log goes on and is compacted.
    for index in 2..6 {
        n.raft.propose("x".into()).unwrap();
        n.drive();
        n.step(app_resp(2, 1, index)).unwrap();
        n.drive();
    }
    n.compact();
    let pr = n.raft.progress(3).unwrap();
    assert!(pr.inflights.full() && pr.next < 5, "{pr}");
    n.step(msg(MessageType::MsgHeartbeatResp, 3, 1)).unwrap();
    let sent: Vec<_> = n.drive().iter().map(|m| (m.to, m.msg_type)).collect();
    assert_eq!(sent, [(3, MessageType::MsgSnap)]);
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

/// Of the log that it replaces a snapshot leaves nothing, remembered terms included.
#[test]
fn the_log_goes_on_from_a_snapshot_of_a_later_term() {
    let mut n = Node::new(
        config(2),
        storage_with_log(&[1, 2], &[1, 1, 1], hs(1, 0, 1)),
    );
    n.drive();
    let s = snapshot(5, 3, conf_state(&[1, 2], &[]));
    n.step(Message {
        snapshot: Some(Box::new(s)),
        ..msg(MessageType::MsgSnap, 1, 3)
    })
    .unwrap();
    n.drive();
    n.step(app(1, 3, (3, 5), entries(6, &[3]), 6)).unwrap();
    let out = n.drive();
    assert_eq!((out[0].reject, out[0].index), (false, 6));
    assert_eq!(n.commit(), 6);
}
