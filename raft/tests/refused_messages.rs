//! Messages that etcd believes and that would undo what a node has promised. Go: (none)

#![allow(clippy::unwrap_used)]

mod common;

use common::{Node, conf_state, config, msg, snapshot, storage};
use tickraft::raftpb::{Entry, Message, MessageType};
use tickraft::{Error, Malformed, StateType, WriteMode};

/// Paper, figure 2: the term never goes down, and with it the vote stays. etcd's candidate takes term 0 over from a MsgSnap without a term.
#[test]
fn a_snapshot_without_a_term_does_not_take_a_candidate_back() {
    let mut node = Node::new(config(1), storage(&[1, 2, 3], &[]));
    let _ = node.raft.step(Message::new(MessageType::MsgHup)).unwrap();
    let before = node.raft.hard_state();
    assert_eq!(
        (node.state(), before.term, before.vote),
        (StateType::Candidate, 1, 1)
    );
    for s in [None, Some(snapshot(20, 1, conf_state(&[1, 2, 3], &[])))] {
        let m = Message {
            snapshot: s.map(Box::new),
            ..msg(MessageType::MsgSnap, 2, 0)
        };
        let refused = node.raft.step(m);
        assert!(
            matches!(
                refused,
                Err(Error::Malformed {
                    what: Malformed::NoTerm,
                    ..
                })
            ),
            "{refused:?}"
        );
        assert_eq!(node.raft.hard_state(), before);
        assert_eq!(node.state(), StateType::Candidate);
    }
}

/// Its context is the entry's data: none or two say nothing. etcd's leader reads the first without looking whether there is one.
#[test]
fn a_read_request_carries_one_entry() {
    for voters in [&[1][..], &[1, 2, 3]] {
        let mut node = common::lone_leader(voters, |_| {});
        node.drive();
        for count in [0, 2] {
            let m = Message {
                entries: vec![Entry::proposal("ctx"); count].into(),
                ..msg(MessageType::MsgReadIndex, 0, 0)
            };
            let refused = Error::Malformed {
                msg_type: MessageType::MsgReadIndex,
                from: 0,
                what: Malformed::EntryCount { count },
            };
            assert_eq!(node.step(m), Err(refused));
        }
        assert!(!node.raft.has_pending(WriteMode::Sync));
    }
}
