//! Go: read_only.go

use super::*;
use crate::quorum::MajorityConfig;
use crate::raftpb::{Entry, MessageType};

fn req(ctx: &str) -> Message {
    Message {
        entries: vec![Entry::proposal(ctx.to_owned())].into(),
        ..Message::new(MessageType::MsgReadIndex)
    }
}

fn voters(ids: &[u64]) -> JointConfig {
    MajorityConfig::from(ids.iter().copied().collect::<crate::quorum::IdSet>()).into()
}

/// The requests that a quorum has confirmed by now.
fn confirmed(ro: &mut ReadOnly, voters: &JointConfig) -> Vec<(String, u64)> {
    let position = ro.quorum_position(voters);
    let reads = std::iter::from_fn(|| ro.take_up_to(position));
    let ctx = |r: &ReadIndexRequest| {
        let e = r.req.entries.first().unwrap();
        String::from_utf8(e.data.to_vec()).unwrap()
    };
    reads.map(|r| (ctx(&r), r.index)).collect()
}

#[test]
fn a_heartbeat_confirms_all_reads_before_it() {
    let mut ro = ReadOnly::new(ReadOnlyOption::Safe);
    assert_eq!(ro.heartbeat_ctx(), None);
    ro.add_request(5, req("a"));
    let first = ro.heartbeat_ctx().unwrap();
    assert_eq!(&first[..], [1, 0, 0, 0, 0, 0, 0, 0]);
    ro.add_request(6, req("b"));
    ro.recv_ack(1, &ro.heartbeat_ctx().unwrap());
    let second = ro.heartbeat_ctx().unwrap();

    let three = voters(&[1, 2, 3]);
    assert!(confirmed(&mut ro, &three).is_empty(), "one of three");
    ro.recv_ack(2, &first);
    assert_eq!(confirmed(&mut ro, &three), [("a".into(), 5)]);
    // Nodes outside the quorum do not count.
    ro.recv_ack(9, &second);
    assert!(confirmed(&mut ro, &three).is_empty());
    ro.recv_ack(3, &second);
    assert_eq!(confirmed(&mut ro, &three), [("b".into(), 6)]);
    assert_eq!((ro.heartbeat_ctx(), ro.position()), (None, 2));

    // Late answers confirm nothing new.
    ro.add_request(7, req("c"));
    ro.recv_ack(1, &ro.heartbeat_ctx().unwrap());
    ro.recv_ack(2, &first);
    ro.recv_ack(3, &second);
    assert!(confirmed(&mut ro, &three).is_empty());
    ro.recv_ack(2, &ro.heartbeat_ctx().unwrap());
    assert_eq!(confirmed(&mut ro, &three), [("c".into(), 7)]);
}

/// A context as short as one byte: etcd panics.
#[test]
fn short_contexts_confirm_nothing() {
    let mut ro = ReadOnly::new(ReadOnlyOption::Safe);
    ro.add_request(5, req("a"));
    for len in 0..8 {
        ro.recv_ack(1, &[255; 8][..len]);
    }
    assert_eq!(ro.acked_index(1), None);
    assert!(confirmed(&mut ro, &voters(&[1])).is_empty());
}

/// Positions that were never given out, and a group without voters, confirm no more than there is.
#[test]
fn no_more_is_confirmed_than_was_asked() {
    let mut ro = ReadOnly::new(ReadOnlyOption::Safe);
    ro.add_request(5, req("a"));
    ro.recv_ack(1, &[255; 8]);
    assert_eq!(confirmed(&mut ro, &voters(&[1])).len(), 1);
    ro.add_request(5, req("b"));
    assert_eq!(confirmed(&mut ro, &JointConfig::default()).len(), 1);
    assert_eq!(ro.position(), 2);
    ro.reset();
    assert_eq!((ro.position(), ro.acked_index(1)), (0, None));
}

#[test]
fn a_joint_configuration_needs_both_halves() {
    let mut ro = ReadOnly::new(ReadOnlyOption::Safe);
    let mut joint = voters(&[1, 2, 3]);
    joint.outgoing = MajorityConfig::from([3, 4, 5]);
    ro.add_request(5, req("a"));
    let ctx = ro.heartbeat_ctx().unwrap();
    for id in [1, 2, 4] {
        ro.recv_ack(id, &ctx);
        assert!(confirmed(&mut ro, &joint).is_empty());
    }
    ro.recv_ack(5, &ctx);
    assert_eq!(confirmed(&mut ro, &joint).len(), 1);
}
