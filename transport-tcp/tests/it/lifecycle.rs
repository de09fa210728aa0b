//! Connections come and go, peers are added, moved and removed, and everything ends.

use crate::support::*;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tickraft_transport_tcp::raftpb::SnapshotStatus;
use tickraft_transport_tcp::{Config, Error, Kind, Refusal, frame};

#[test]
fn it_connects_again_after_the_peer_restarts() {
    let (one, two) = (Node::start(1), Node::start(2));
    let relay = Relay::to(&two.addr());
    one.t.add_peer(2, relay.addr()).unwrap();
    two.t.add_peer(1, &one.addr()).unwrap();
    one.t.send([heartbeat(1, 2, 1)]);
    two.wait_messages(1);
    relay.target(None);
    two.t.stop();
    one.seen.wait("reported", |s| s.unreachable.contains(&2));
    one.wait_inactive(2);
    assert!(one.seen.logged("peer became inactive"));
    // Down: nothing is gathered for it.
    eventually("a message is dropped", || {
        one.t.send([heartbeat(1, 2, 2)]);
        one.peer(2).dropped > 0
    });
    let again = Node::start(2);
    again.t.add_peer(1, &one.addr()).unwrap();
    relay.target(Some(&again.addr()));
    one.wait_active(2);
    eventually("it is delivered", || {
        one.t.send([heartbeat(1, 2, 3)]);
        again.seen.read(|s| !s.messages.is_empty())
    });
    let p = one.peer(2);
    assert!(p.connects == 2 && p.last_error.is_some());
    again.t.send([heartbeat(2, 1, 4)]);
    one.wait_messages(1);
}

#[test]
fn a_connection_that_breaks_is_reported_and_replaced() {
    let (one, two) = (Node::start(1), Node::start(2));
    let relay = Relay::to(&two.addr());
    two.t.add_peer(1, "127.0.0.1:1").unwrap();
    one.t.add_peer(2, relay.addr()).unwrap();
    for n in 1..4 {
        eventually("it connects", || one.peer(2).connects >= n);
        one.t.send([heartbeat(1, 2, n)]);
        two.seen.wait("delivered", |s| {
            s.messages.last().is_some_and(|m| m.commit == n)
        });
        relay.cut();
        // Both ends notice, though neither was writing.
        let n = usize::try_from(n).unwrap();
        one.seen.wait("reported", |s| s.unreachable.len() >= n);
    }
    eventually("the receiver, too", || {
        two.peer(1).receiving_since.is_some()
    });
}

#[test]
fn a_half_open_connection_is_noticed_by_both_ends() {
    let config = |id| Config {
        read_timeout: Duration::from_millis(600),
        handshake_timeout: Duration::from_millis(600),
        keepalive: Duration::from_millis(50),
        ..patient(id)
    };
    let (one, two) = (Node::with(config(1)), Node::with(config(2)));
    let relay = Relay::to(&two.addr());
    two.t.add_peer(1, "127.0.0.1:1").unwrap();
    one.t.add_peer(2, relay.addr()).unwrap();
    one.wait_active(2);
    eventually("the receiver", || two.peer(1).receiving_since.is_some());
    relay.stall(true);
    // Heartbeats that vanish into the kernel's buffers do not hide that nobody is there.
    eventually("the dialler notices", || {
        one.t.send([heartbeat(1, 2, 1)]);
        one.t.active_since(2).is_none()
    });
    eventually("the receiver notices", || {
        two.peer(1).receiving_since.is_none()
    });
    assert!(one.peer(2).last_error.unwrap().contains("timed out"));
    relay.stall(false);
    eventually("it recovers", || {
        one.t.send([heartbeat(1, 2, 2)]);
        two.seen.read(|s| s.messages.iter().any(|m| m.commit == 2))
    });
}

#[test]
fn an_idle_connection_outlives_the_read_timeout() {
    let config = |id| Config {
        read_timeout: Duration::from_millis(400),
        keepalive: Duration::from_millis(50),
        ..patient(id)
    };
    let (one, two) = pair_of(config(1), config(2));
    let age = |n: &Node, id| n.t.active_since(id).map(|s| s.elapsed());
    // Should the machine itself stand still for so long, the connection is made anew and grows old then.
    eventually("both grow old", || {
        let old = Some(Duration::from_millis(1200));
        age(&one, 2) > old && age(&two, 1) > old
    });
    let p = one.peer(2);
    assert!(p.pongs >= 5 && p.round_trip.is_some());
    assert_eq!((p.sent, p.received), (0, 0));
}

/// Node 1 with a small queue, and node 2 that takes nothing until its gate opens.
fn stuck() -> (Node, Node, Door) {
    let small = Config {
        queue_messages: 8,
        ..patient(1)
    };
    let (one, two) = pair_of(small, patient(2));
    let (gate, g) = Door::closed();
    two.seen.set_process(move |_| {
        g.wait();
        Ok(())
    });
    (one, two, gate)
}

/// Sends to 2 until its queue, and all buffers on the way, are full.
fn fill(one: &Node) -> u64 {
    let mut n = 0;
    eventually("the queue is full", || {
        one.t.send((0..8).map(|i| app(1, 2, i, 64 * 1024)));
        n += 8;
        let p = one.peer(2);
        p.dropped > 0 && p.queued == 8
    });
    n
}

#[test]
fn a_full_queue_drops_and_reports_and_holds_up_nobody_else() {
    let (one, two, gate) = stuck();
    let three = Node::start(3);
    three.t.add_peer(1, &one.addr()).unwrap();
    one.t.add_peer(3, &three.addr()).unwrap();
    one.wait_active(3);
    let sent = fill(&one);
    one.seen.wait("reported", |s| s.unreachable.contains(&2));
    assert!(
        one.seen
            .logged("dropped internal Raft message since sending buffer is full")
    );
    // Where appends find no place, heartbeats still do.
    let before = one.peer(2);
    one.t.send([heartbeat(1, 2, 9)]);
    assert_eq!(one.peer(2).queued, before.queued + 1);
    for i in 0..200 {
        one.t.send([heartbeat(1, 3, i), app(1, 2, i, 64 * 1024)]);
        three
            .seen
            .wait("it arrives", |s| s.messages.len() as u64 == i + 1);
    }
    gate.open();
    two.seen.wait("the heartbeat", |s| {
        s.messages.last().is_some_and(|m| m.commit == 9)
    });
    let p = one.peer(2);
    let arrived = two.seen.read(|s| s.messages.len()) as u64;
    assert_eq!(p.connects, 1);
    assert_eq!(arrived + p.dropped, sent + 200 + 1);
    assert_eq!(one.peer(3).dropped, 0);
}

#[test]
fn an_unreachable_peer_is_reported_once_for_a_run_of_drops() {
    let one = Node::with(Config {
        backoff_min: Duration::from_secs(3600),
        backoff_max: Duration::from_secs(3600),
        ..patient(1)
    });
    one.t.add_peer(2, "127.0.0.1:1").unwrap();
    one.seen.wait("reported", |s| s.unreachable == [2]);
    for i in 0..100 {
        one.t.send([heartbeat(1, 2, i)]);
    }
    let p = one.peer(2);
    assert_eq!((p.sent, p.queued, p.connects), (0, 0, 0));
    assert_eq!(p.dropped, 100);
    // A report that comes later would come before this one.
    one.t.send([snap(1, 9, 1, vec![])]);
    one.seen.wait("the last report", |s| {
        s.snapshots == [(9, SnapshotStatus::Failure)]
    });
    assert!(one.seen.read(|s| s.unreachable == [2]));
}

#[test]
fn an_updated_peer_gets_its_messages_at_the_new_address() {
    let (one, two) = pair();
    one.t.send([heartbeat(1, 2, 1)]);
    two.wait_messages(1);
    let moved = Node::start(2);
    moved.t.add_peer(1, "127.0.0.1:1").unwrap();
    assert!(one.t.update_peer(2, &moved.addr()));
    eventually("it connects there", || one.peer(2).connects == 2);
    one.t.send([heartbeat(1, 2, 2)]);
    assert_eq!(moved.wait_messages(1), [heartbeat(1, 2, 2)]);
    assert_eq!(two.seen.read(|s| s.messages.len()), 1);
    assert_eq!(one.peer(2).address, moved.addr());
    // The same address again changes nothing.
    assert!(one.t.update_peer(2, &moved.addr()));
    one.t.send([heartbeat(1, 2, 3)]);
    moved.wait_messages(2);
    assert_eq!(one.peer(2).connects, 2);
    // From an address at which nobody answers, too, without waiting for the pause between attempts.
    let lost = Node::with(Config {
        backoff_min: Duration::from_secs(3600),
        backoff_max: Duration::from_secs(3600),
        ..patient(1)
    });
    lost.t.add_peer(2, "127.0.0.1:1").unwrap();
    lost.seen.wait("not there", |s| s.unreachable == [2]);
    lost.t.update_peer(2, &moved.addr());
    lost.wait_active(2);
}

#[test]
fn a_peer_that_connects_to_us_is_dialled_at_once() {
    let one = Node::with(Config {
        backoff_min: Duration::from_secs(3600),
        backoff_max: Duration::from_secs(3600),
        ..patient(1)
    });
    let two = Node::start(2);
    let relay = Relay::to(&two.addr());
    relay.target(None);
    one.t.add_peer(2, relay.addr()).unwrap();
    one.seen.wait("not there", |s| s.unreachable == [2]);
    relay.target(Some(&two.addr()));
    two.t.add_peer(1, &one.addr()).unwrap();
    one.wait_active(2);
}

#[test]
fn a_removed_peer_gets_what_waits_and_then_nothing() {
    let (one, two) = pair();
    one.t.send((0..500).map(|i| app(1, 2, i, 1000)));
    assert!(one.t.remove_peer(2));
    two.wait_messages(500);
    assert!(one.t.peer_status(2).is_none() && one.t.status().peers.is_empty());
    one.t.send([heartbeat(1, 2, 1)]);
    assert_eq!(one.t.status().unknown_target, 1);
    // Its own connection was cut, and it is a stranger now.
    two.wait_inactive(1);
    two.seen.wait("refused", |s| {
        s.refused.contains(&(1, Refusal::UnknownSender))
    });
    // It may come back under the same id.
    one.t.add_peer(2, &two.addr()).unwrap();
    one.wait_active(2);
    two.wait_active(1);
    assert_eq!(one.peer(2).sent, 0);
    one.t.remove_all();
    assert_eq!(one.t.active_peers(), 0);
    two.wait_inactive(1);
}

#[test]
fn a_newer_connection_takes_the_place_of_the_older() {
    let one = Node::start(1);
    one.t.add_peer(2, "127.0.0.1:1").unwrap();
    let mut older = Raw::accepted(2, &one, 1, Kind::Messages);
    older.message(&heartbeat(2, 1, 1));
    one.wait_messages(1);
    let mut newer = Raw::accepted(2, &one, 1, Kind::Messages);
    assert_eq!(older.read_to_end(), 0);
    newer.message(&heartbeat(2, 1, 2));
    assert_eq!(one.wait_messages(2).len(), 2);
    assert!(one.peer(2).receiving_since.is_some());
    assert_eq!(one.t.status().refusals.total(), 0);
}

#[test]
fn a_stuck_handler_gathers_no_threads() {
    let one = Node::with(Config {
        handshake_timeout: Duration::from_millis(400),
        ..patient(1)
    });
    one.t.add_peer(2, "127.0.0.1:1").unwrap();
    let (gate, g) = Door::closed();
    let stuck = Arc::new(AtomicBool::new(false));
    let s = Arc::clone(&stuck);
    one.seen.set_process(move |m| {
        if m.commit == 0 {
            s.store(true, Ordering::SeqCst);
            g.wait();
        }
        Ok(())
    });
    let mut older = Raw::accepted(2, &one, 1, Kind::Messages);
    // The second is thrown away when a newer connection cuts this one, though it may have been read with the first.
    let mut wire = Vec::new();
    frame::encode(&heartbeat(2, 1, 0), &mut wire);
    frame::encode(&heartbeat(2, 1, 1), &mut wire);
    older.send(&wire);
    eventually("the handler is stuck", || stuck.load(Ordering::SeqCst));
    let hello = Raw::hello(2, 1, Kind::Messages);
    eventually("the newer one is put off", || {
        Raw::try_shake(&one, &hello).is_ok_and(|(_, a)| a.refusal == Some(Refusal::Busy))
    });
    assert!(one.t.status().refusals.busy >= 1);
    gate.open();
    let mut newer = None;
    eventually("the newer one gets in", || {
        newer = Raw::try_shake(&one, &hello).ok();
        newer.as_ref().is_some_and(|(_, a)| a.refusal.is_none())
    });
    newer.unwrap().0.message(&heartbeat(2, 1, 2));
    assert_eq!(
        one.wait_messages(2),
        [heartbeat(2, 1, 0), heartbeat(2, 1, 2)]
    );
}

#[test]
fn stop_joins_all_threads_whatever_they_wait_for() {
    // A peer that never answers the handshake, one that is down, one that takes nothing, one that is fine; and the same towards us.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let day = Duration::from_secs(24 * 3600);
    let one = Node::with(Config {
        handshake_timeout: day,
        write_timeout: day,
        read_timeout: day,
        snapshot_timeout: day,
        dial_timeout: day,
        backoff_min: day,
        backoff_max: day,
        queue_messages: 8,
        ..patient(1)
    });
    let two = Node::start(2);
    let (gate, g) = Door::closed();
    two.seen.set_process(move |_| {
        g.wait();
        Ok(())
    });
    two.t.add_peer(1, &one.addr()).unwrap();
    one.t.add_peer(2, &two.addr()).unwrap();
    one.t
        .add_peer(3, &silent.local_addr().unwrap().to_string())
        .unwrap();
    one.t.add_peer(4, "127.0.0.1:1").unwrap();
    one.t.add_peer(5, "127.0.0.1:1").unwrap();
    one.wait_active(2);
    let _accepted = silent.accept().unwrap();
    let _pending = Raw::connect(&one);
    let _idle = Raw::accepted(4, &one, 1, Kind::Messages);
    let _headless = Raw::accepted(5, &one, 1, Kind::Snapshot);
    fill(&one);
    // Snapshots: one to a peer that does not take it, one that waits for the handshake.
    one.t
        .send([snap(1, 2, 5, vec![0; 1 << 20]), snap(1, 3, 5, vec![0; 10])]);
    one.t.stop();
    assert_eq!(
        Arc::strong_count(&one.seen),
        3,
        "here, in the transport, and in its log"
    );
    assert_eq!(one.t.add_peer(9, "127.0.0.1:1"), Err(Error::Stopped));
    one.t.send([heartbeat(1, 2, 1), snap(1, 2, 6, vec![])]);
    one.t.stop();
    gate.open();
    let addr = one.t.local_addr();
    drop(one);
    drop(TcpListener::bind(addr).unwrap());
}
