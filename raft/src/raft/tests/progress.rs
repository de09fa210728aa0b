//! What a leader knows of its peers and of itself, and what it sends them for it.

use super::{Core, acks, config, disk, from, lead, leader, node_with, progress, sent};
use crate::Outcome;
use crate::raftpb::{ConfState, Entry, Message, MessageType, Snapshot, SnapshotMetadata};
use crate::tracker::StateType::{Probe, Replicate};
use bytes::Bytes;

fn append(r: &mut Core) {
    let e = Entry::proposal("somedata");
    assert!(r.append_entry(e.data).is_some());
}

fn send_append(r: &mut Core, id: u64) {
    let at = r.trk.progress.position(id).unwrap();
    r.maybe_send_append(at, true).unwrap();
}

/// A leader acknowledges its own entries to itself, once they are written.
#[test]
fn a_leader_follows_its_own_writes() {
    let mut r = leader(&[1, 2]);
    progress(&mut r, 2).become_replicate();
    for _ in 0..5 {
        r.propose(Bytes::from_static(b"foo")).unwrap();
    }
    assert_eq!(progress(&mut r, 1).matched, 0);
    let written = r.raft_log.next_unstable_ents();
    let data: Vec<_> = written.iter().map(|e| &e.data[..]).collect();
    assert_eq!(data, [&b""[..], b"foo", b"foo", b"foo", b"foo", b"foo"]);
    sent(&mut r);
    let pr = progress(&mut r, 1);
    assert_eq!((pr.matched, pr.next), (6, 7));
}

/// Sending heartbeats frees nothing; becoming ready to replicate does, and so does a heartbeat's answer.
#[test]
fn a_heartbeat_s_answer_frees_the_flow() {
    let mut r = leader(&[1, 2]);
    progress(&mut r, 2).msg_app_flow_paused = true;
    r.step(Message::new(MessageType::MsgBeat)).unwrap();
    assert!(progress(&mut r, 2).msg_app_flow_paused);
    progress(&mut r, 2).become_replicate();
    assert!(!progress(&mut r, 2).msg_app_flow_paused);
    progress(&mut r, 2).msg_app_flow_paused = true;
    r.step(from(2, &r, MessageType::MsgHeartbeatResp)).unwrap();
    assert!(!progress(&mut r, 2).msg_app_flow_paused);
}

/// The peer is probed at index 2; the leader's log has three entries of its term.
#[test]
fn an_append_s_answer_moves_the_peer_and_sends_on() {
    // Index, refused; match, next, messages, their index and commit index.
    for (index, reject, matched, next, messages, at, commit) in [
        // Not of this probe.
        (3, true, 0, 3, 0, 0, 0),
        // Refused: one back.
        (2, true, 0, 2, 1, 1, 0),
        // Taken: committed, and all are told.
        (2, false, 2, 4, 2, 2, 2),
        // It has nothing, which is the answer to a probe too: everything goes out.
        (0, false, 0, 4, 1, 0, 0),
    ] {
        let mut r = lead(node_with(config(), disk(&[1, 2, 3], &[1, 1])));
        assert_eq!((r.term, r.raft_log.last_index()), (1, 3));
        assert!(sent(&mut r).is_empty());
        let m = Message {
            reject,
            reject_hint: index,
            ..acks(2, &r, index)
        };
        let _ = r.step(m).unwrap();
        let pr = progress(&mut r, 2);
        assert_eq!((pr.matched, pr.next), (matched, next), "{index} {reject}");
        let out = sent(&mut r);
        assert_eq!(out.len(), messages, "{index} {reject}");
        assert!(out.iter().all(|m| (m.index, m.commit) == (at, commit)));
    }
}

/// What is proposed counts as sent to a peer that keeps up; a probe waits for its answer. Three entries are in the log before the leader's own.
#[test]
fn only_a_peer_that_keeps_up_is_sent_ahead() {
    for (state, want) in [(Replicate, 6), (Probe, 2)] {
        let mut r = lead(node_with(config(), disk(&[1, 2], &[1, 2, 3])));
        let pr = progress(&mut r, 2);
        (pr.state, pr.next) = (state, 2);
        r.propose(Bytes::from_static(b"somedata")).unwrap();
        assert_eq!(progress(&mut r, 2).next, want, "{state}");
    }
}

/// One probe goes out, and no more whatever is appended and however many heartbeats leave; a heartbeat's answer lets one more out.
#[test]
fn a_probe_waits_for_a_heartbeat_s_answer() {
    let mut r = leader(&[1, 2]);
    sent(&mut r);
    progress(&mut r, 2).become_probe();
    append(&mut r);
    send_append(&mut r, 2);
    let out = sent(&mut r);
    assert_eq!((out.len(), out[0].index), (1, 0));
    for _ in 0..3 {
        assert!(progress(&mut r, 2).msg_app_flow_paused);
        for _ in 0..10 {
            append(&mut r);
            send_append(&mut r, 2);
            assert!(sent(&mut r).is_empty());
        }
        r.step(Message::new(MessageType::MsgBeat)).unwrap();
        assert!(progress(&mut r, 2).msg_app_flow_paused);
        let out = sent(&mut r);
        assert_eq!((out.len(), out[0].msg_type), (1, MessageType::MsgHeartbeat));
    }
    r.step(from(2, &r, MessageType::MsgHeartbeatResp)).unwrap();
    let out = sent(&mut r);
    assert_eq!((out.len(), out[0].index), (1, 0));
    assert!(progress(&mut r, 2).msg_app_flow_paused);
}

/// A peer that keeps up gets each entry at once; one that waits for a snapshot none.
#[test]
fn appends_follow_the_peer_s_state() {
    for (snapshot, want) in [(false, 1), (true, 0)] {
        let mut r = leader(&[1, 2]);
        sent(&mut r);
        if snapshot {
            progress(&mut r, 2).become_snapshot(10);
        } else {
            progress(&mut r, 2).become_replicate();
        }
        for _ in 0..10 {
            append(&mut r);
            let at = r.trk.progress.position(2).unwrap();
            r.maybe_send_append(at, true).unwrap();
            r.fill_messages();
            assert_eq!(std::mem::take(&mut r.msgs).len(), want);
        }
    }
}

/// A message did not get through: from then on the peer is probed, behind what it is known to have.
#[test]
fn an_unreachable_peer_is_probed() {
    let mut r = lead(node_with(config(), disk(&[1, 2], &[1, 2, 3])));
    append(&mut r);
    sent(&mut r);
    let pr = progress(&mut r, 2);
    pr.matched = 3;
    pr.become_replicate();
    pr.next = 6;
    let m = Message {
        from: 2,
        ..Message::new(MessageType::MsgUnreachable)
    };
    assert_eq!(r.step(m), Ok(Outcome::Done));
    let pr = progress(&mut r, 2);
    assert_eq!((pr.state, pr.matched, pr.next), (Probe, 3, 4));
}

/// A peer that needs what is compacted, and was not heard of lately, gets nothing: neither entries nor the snapshot.
#[test]
fn a_silent_peer_is_not_sent_a_snapshot() {
    let metadata = SnapshotMetadata {
        index: 11,
        term: 11,
        conf_state: ConfState {
            voters: vec![1, 2],
            ..ConfState::default()
        },
    };
    let s = Snapshot {
        metadata,
        ..Snapshot::default()
    };
    for (active, want) in [(false, vec![]), (true, vec![MessageType::MsgSnap])] {
        let log = storage_mem::MemoryStorage::new();
        log.apply_snapshot(&s).unwrap();
        let mut r = lead(node_with(config(), log));
        let pr = progress(&mut r, 2);
        (pr.next, pr.recent_active) = (11, active);
        r.propose(Bytes::from_static(b"somedata")).unwrap();
        let out = sent(&mut r);
        assert!(out.iter().map(|m| m.msg_type).eq(want), "{active}");
    }
}
