//! Heartbeats (Raft paper §5.2), what they carry, and what their answers set going.

use crate::common::{
    Node, app_resp, conf_state, config, heartbeat, hs, in_role, lone_leader, msg, snapshot,
    storage_with_log, vote_resp,
};
use tickraft::StateType::{Candidate, Follower, Leader};
use tickraft::raftpb::{Message, MessageType};

fn to(id: u64, m: Message) -> Message {
    Message { to: id, ..m }
}

/// Raft paper §5.2: when its time has come a leader sends a heartbeat to all others, in all its fields: no entries, no index.
#[test]
fn a_leader_sends_heartbeats_in_time() {
    let mut n = lone_leader(&[1, 2, 3], |_| {});
    for _ in 0..10 {
        n.raft.propose("".into()).unwrap();
    }
    assert!(n.drive().is_empty(), "the others have not answered yet");
    n.ticks(1);
    let want = [2, 3].map(|id| to(id, heartbeat(1, 1, 0)));
    assert_eq!(n.drive(), want);
}

/// To each the commit index as far as it is known to match. The log begins behind a snapshot at 1000; ten entries follow the leader's first.
#[test]
fn a_heartbeat_commits_no_more_than_what_matches() {
    let disk = storage_mem::MemoryStorage::new();
    disk.apply_snapshot(&snapshot(1000, 1, conf_state(&[1, 2, 3], &[])))
        .unwrap();
    disk.set_hard_state(hs(1, 0, 1000));
    let mut n = Node::new(config(1), disk);
    n.hup();
    n.drive();
    n.step(vote_resp(3, 2)).unwrap();
    for _ in 0..10 {
        n.raft.propose("".into()).unwrap();
    }
    n.drive();
    n.step(app_resp(2, 2, 1005)).unwrap();
    n.step(app_resp(3, 2, 1011)).unwrap();
    n.drive();
    assert_eq!(n.commit(), 1011);
    n.beat();
    let want = [to(2, heartbeat(1, 2, 1005)), to(3, heartbeat(1, 2, 1011))];
    assert_eq!(n.drive(), want);
}

/// Others than leaders take no notice when told to send heartbeats.
#[test]
fn only_leaders_send_heartbeats() {
    for (role, want) in [(Leader, 2), (Candidate, 0), (Follower, 0)] {
        let mut n = in_role(role, 2);
        n.beat();
        let out = n.drive();
        assert_eq!(out.len(), want, "{role}");
        assert!(out.iter().all(|m| m.msg_type == MessageType::MsgHeartbeat));
    }
}

/// A peer that is behind gets an append for each heartbeat that it answers, until it has acknowledged all.
#[test]
fn a_heartbeat_s_answer_sends_what_is_missing() {
    let disk = storage_with_log(&[1, 2], &[1, 2, 3], hs(3, 0, 3));
    let mut n = Node::new(config(1), disk);
    n.drive();
    n.hup();
    n.drive();
    n.step(vote_resp(2, 4)).unwrap();
    n.drive();
    let answer = |n: &mut Node| {
        n.step(msg(MessageType::MsgHeartbeatResp, 2, 4)).unwrap();
        n.drive()
    };
    let mut last = 0;
    for _ in 0..2 {
        let out = answer(&mut n);
        assert_eq!(out.len(), 1);
        assert_eq!(out[0].msg_type, MessageType::MsgApp);
        last = out[0].index + out[0].entries.len() as u64;
    }
    n.step(app_resp(2, 4, last)).unwrap();
    n.drive();
    assert!(answer(&mut n).is_empty());
}

/// A proposal goes at once to whoever is not waited for, and to the other when it has answered.
#[test]
fn an_acknowledgement_ends_the_wait() {
    let mut n = lone_leader(&[1, 2, 3], |_| {});
    n.step(app_resp(2, 1, 1)).unwrap();
    assert_eq!(n.commit(), 1);
    n.drive();
    n.raft.propose("".into()).unwrap();
    let sent = |out: Vec<Message>| {
        let seen = |m: &Message| {
            (
                m.to,
                m.msg_type,
                m.entries.iter().map(|e| e.index).collect(),
            )
        };
        out.iter().map(seen).collect::<Vec<(_, _, Vec<_>)>>()
    };
    assert_eq!(sent(n.drive()), [(2, MessageType::MsgApp, vec![2])]);
    n.step(app_resp(3, 1, 1)).unwrap();
    assert_eq!(sent(n.drive()), [(3, MessageType::MsgApp, vec![2])]);
}
