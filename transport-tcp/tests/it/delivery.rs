//! Messages get there, in order, and are counted.

use crate::support::*;
use tickraft_transport_tcp::raftpb::{
    LOCAL_APPEND_THREAD, Message, MessageType, SnapshotStatus, is_local_msg,
};
use tickraft_transport_tcp::{Config, frame};

#[test]
fn both_ways_in_order_and_counted() {
    let (one, two) = pair();
    let n: u64 = 3000;
    for i in 0..n {
        one.t.send([heartbeat(1, 2, i)]);
        two.t.send([app(2, 1, i, 10)]);
    }
    let at_two = two.wait_messages(3000);
    let at_one = one.wait_messages(3000);
    assert!(at_two.iter().map(|m| m.commit).eq(0..n));
    assert!(at_one.iter().map(|m| m.index).eq(0..n));
    assert_eq!(at_one[5], app(2, 1, 5, 10));
    eventually("all is counted", || {
        let (a, b) = (one.peer(2), two.peer(1));
        (a.sent, a.received, b.sent, b.received) == (n, n, n, n)
    });
    let (a, b) = (one.peer(2), two.peer(1));
    assert_eq!((a.dropped, b.dropped), (0, 0));
    assert_eq!((a.connects, b.connects), (1, 1));
    let mut wire = Vec::new();
    for i in 0..n {
        frame::encode(&heartbeat(1, 2, i), &mut wire);
    }
    let pings = a.bytes_sent - wire.len() as u64;
    assert_eq!(pings % 8, 0, "the rest are pings, eight bytes each");
    assert!(b.bytes_received >= wire.len() as u64);
    assert!(two.seen.read(|s| s.batches > 0 && s.batches <= 3000));
    assert_eq!(one.t.active_peers(), 1);
    assert_eq!(one.t.status().refusals.total(), 0);
    assert!(a.receiving_since.is_some() && a.last_error.is_none());
}

#[test]
fn what_is_sent_together_is_written_together() {
    let (one, two) = pair();
    let before = one.peer(2).write_calls;
    one.t.send((0..1000).map(|i| app(1, 2, i, 128)));
    two.wait_messages(1000);
    let calls = one.peer(2).write_calls - before;
    assert!(calls <= 100, "{calls} write calls for 1000 messages");
}

#[test]
fn a_batch_may_be_for_many() {
    let (one, two) = pair();
    let three = Node::start(3);
    three.t.add_peer(1, &one.addr()).unwrap();
    one.t.add_peer(3, &three.addr()).unwrap();
    one.wait_active(3);
    one.t.send((0..300).map(|i| heartbeat(1, 2 + i % 3 % 2, i)));
    let (at_two, at_three) = (two.wait_messages(200), three.wait_messages(100));
    assert!(
        at_two
            .iter()
            .map(|m| m.commit)
            .eq((0..300).filter(|i| i % 3 != 1))
    );
    assert!(
        at_three
            .iter()
            .map(|m| m.commit)
            .eq((0..300).filter(|i| i % 3 == 1))
    );
}

#[test]
fn a_message_may_be_as_long_as_the_limit() {
    let limit = 1 << 20;
    let small = Config {
        max_message_bytes: limit,
        ..patient(2)
    };
    let (one, two) = pair_of(patient(1), small);
    let overhead = usize::try_from(app(1, 2, 9, 1 << 20).size()).unwrap() - (1 << 20);
    let fits = app(1, 2, 9, (1 << 20) - overhead);
    assert_eq!(fits.size(), u64::from(limit));
    let beyond = app(1, 2, 9, (1 << 20) - overhead + 1);
    one.t.send([fits.clone(), beyond, heartbeat(1, 2, 1)]);
    assert_eq!(two.wait_messages(2), [fits, heartbeat(1, 2, 1)]);
    // The limit was learned in the handshake: what does not fit does not cost the connection.
    one.seen
        .wait("the drop is reported", |s| s.unreachable == [2]);
    let p = one.peer(2);
    assert_eq!((p.dropped, p.connects), (1, 1));
    assert!(p.last_error.unwrap().contains("longer than the limit"));
    assert_eq!(two.t.status().refusals.total(), 0);
}

#[test]
fn what_has_no_peer_is_skipped_or_counted() {
    let one = Node::start(1);
    one.t.send([heartbeat(1, 0, 0)]);
    assert_eq!(one.t.status().unknown_target, 0, "to 0 is skipped");
    one.t.send([heartbeat(1, 2, 0), heartbeat(1, 1, 0)]);
    assert_eq!(one.t.status().unknown_target, 2);
    one.t.send([snap(1, 2, 5, vec![1])]);
    one.seen.wait("the leader hears of its snapshot", |s| {
        s.snapshots == [(2, SnapshotStatus::Failure)]
    });
    for t in MessageType::ALL.iter().filter(|t| is_local_msg(**t)) {
        one.t.send([Message {
            to: LOCAL_APPEND_THREAD,
            ..Message::new(*t)
        }]);
    }
    let s = one.t.status();
    assert_eq!((s.local_type, s.unknown_target), (9, 3));
}

#[test]
fn what_is_forwarded_keeps_its_sender() {
    let (one, two) = pair();
    for t in [
        MessageType::MsgProp,
        MessageType::MsgReadIndex,
        MessageType::MsgTransferLeader,
    ] {
        one.t.send([Message {
            from: 3,
            to: 2,
            ..Message::new(t)
        }]);
    }
    let got = two.wait_messages(3);
    assert!(got.iter().all(|m| m.from == 3));
    assert_eq!(two.t.status().refusals.total(), 0);
}

#[test]
fn a_message_that_the_application_refuses_disturbs_no_other() {
    let (one, two) = pair();
    two.seen.set_process(|m| match m.commit {
        1 => Err("no".into()),
        _ => Ok(()),
    });
    one.t.send((0..3).map(|i| heartbeat(1, 2, i)));
    let got = two.wait_messages(2);
    assert!(got.iter().map(|m| m.commit).eq([0, 2]));
    assert_eq!(two.t.status().refusals.process_failed, 1);
    assert!(two.seen.logged("failed to process Raft message"));
    assert_eq!(one.peer(2).connects, 1);
}

#[test]
fn a_handler_that_panics_costs_its_connection_and_no_more() {
    let (one, two) = pair();
    two.seen.set_process(|m| {
        assert_ne!(m.commit, 1, "a panic on purpose");
        Ok(())
    });
    one.t.send([heartbeat(1, 2, 1)]);
    eventually("it connects again", || one.peer(2).connects == 2);
    one.t.send([heartbeat(1, 2, 2)]);
    assert_eq!(two.wait_messages(1), [heartbeat(1, 2, 2)]);
}
