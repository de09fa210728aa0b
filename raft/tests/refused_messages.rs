//! Messages that etcd believes and that would undo what a node has promised. Go: (none)

#![allow(clippy::unwrap_used)]

mod common;

use common::{Node, conf_state, config, msg, snapshot, storage};
use tickraft::raftpb::{Message, MessageType};
use tickraft::{Error, Malformed, StateType};

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
