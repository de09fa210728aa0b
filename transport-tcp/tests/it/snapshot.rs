//! Snapshots: whole or not at all, reported either way, and never in the way of a heartbeat.

use crate::support::*;
use prost::Message as _;
use std::io::{self, Read};
use std::sync::Arc;
use tickraft_transport_tcp::raftpb::{Message, SnapshotStatus};
use tickraft_transport_tcp::{BoxError, Config, Error, Kind, Refusal, SnapshotSource, frame};

fn pattern(n: usize) -> Vec<u8> {
    (0..n).map(|i| u8::try_from(i * 7 % 251).unwrap()).collect()
}

fn data(m: &Message) -> &[u8] {
    &m.snapshot.as_ref().unwrap().data
}

fn wait_report(node: &Node, want: &[(u64, SnapshotStatus)]) {
    node.seen.wait("the snapshot is reported", |s| {
        s.snapshots.len() >= want.len()
    });
    node.seen.read(|s| assert_eq!(s.snapshots, want));
}

const FINISH: (u64, SnapshotStatus) = (2, SnapshotStatus::Finish);
const FAILURE: (u64, SnapshotStatus) = (2, SnapshotStatus::Failure);

/// A body that gives what it has, then waits at a gate, then gives the rest.
struct Gated {
    first: io::Cursor<Vec<u8>>,
    gate: Arc<Gate>,
    rest: io::Cursor<Vec<u8>>,
}

impl Read for Gated {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.first.read(buf)? {
            0 => {
                self.gate.wait();
                self.rest.read(buf)
            }
            n => Ok(n),
        }
    }
}

fn gated(node: &Node, bytes: Vec<u8>) -> Door {
    let (gate, g) = Door::closed();
    node.seen.set_body(move |_| {
        let (a, b) = bytes.split_at(bytes.len() / 2);
        Ok(Some(SnapshotSource::new(Gated {
            first: io::Cursor::new(a.to_vec()),
            gate: Arc::clone(&g),
            rest: io::Cursor::new(b.to_vec()),
        })))
    });
    gate
}

#[test]
fn data_arrives_whole_and_is_reported() {
    let (one, two) = pair();
    for (i, n) in [0, 1, 256 * 1024, 3 * 1024 * 1024 + 17]
        .into_iter()
        .enumerate()
    {
        let m = snap(1, 2, 5, pattern(n));
        one.t.send([m.clone()]);
        let got = two.wait_messages(i + 1);
        assert!(got[i] == m, "{n} bytes");
        wait_report(&one, &vec![FINISH; i + 1]);
    }
    let (a, b) = (one.peer(2), two.peer(1));
    assert_eq!((a.snapshots_sent, a.snapshots_failed), (4, 0));
    assert_eq!(b.snapshots_received, 4);
    assert_eq!(
        (a.sent, b.received),
        (0, 0),
        "they are not counted as messages"
    );
    assert!(b.bytes_received > 3 * 1024 * 1024);
    assert!(one.seen.read(|s| s.unreachable.is_empty()));
}

#[test]
fn heartbeats_flow_while_a_snapshot_is_under_way() {
    let (one, two) = pair();
    let body = pattern(4 * 1024 * 1024);
    let gate = gated(&one, body.clone());
    one.t.send([snap(1, 2, 5, b"head ".to_vec())]);
    // The first half is through: more bytes than a heartbeat's connection ever carried.
    eventually("half of it is sent", || {
        one.peer(2).bytes_sent > 2 * 1024 * 1024
    });
    for i in 0..100 {
        one.t.send([heartbeat(1, 2, i)]);
        two.t.send([heartbeat(2, 1, i)]);
    }
    let got = two.wait_messages(100);
    assert!(
        got.iter().all(|m| m.snapshot.is_none()),
        "it is still under way"
    );
    one.wait_messages(100);
    assert!(one.seen.read(|s| s.snapshots.is_empty()));
    gate.open();
    let got = two.wait_messages(101);
    assert!(data(&got[100]) == [b"head ".as_slice(), &body].concat());
    wait_report(&one, &[FINISH]);
}

#[test]
fn an_application_takes_the_body_itself() {
    let (one, two) = pair();
    let body = pattern(700_001);
    let b = body.clone();
    one.seen.set_body(move |to| {
        assert_eq!(to, 2);
        let source = SnapshotSource::new(io::Cursor::new(b.clone()));
        Ok(Some(source.with_len(b.len() as u64)))
    });
    let (send, taken) = std::sync::mpsc::channel();
    let send = parking_lot::Mutex::new(send);
    two.seen.set_sink(move |m, body| {
        assert_eq!(data(m), b"meta");
        assert_eq!(body.len(), Some(700_001));
        // Reads of odd sizes.
        let (mut out, mut buf) = (Vec::new(), [0; 777]);
        loop {
            match body.read(&mut buf)? {
                0 => break,
                n => out.extend_from_slice(&buf[..n]),
            }
        }
        assert_eq!(body.read(&mut buf)?, 0);
        send.lock().send(out)?;
        Ok(())
    });
    one.t.send([snap(1, 2, 5, b"meta".to_vec())]);
    wait_report(&one, &[FINISH]);
    assert!(taken.recv().unwrap() == body);
    assert_eq!(data(&two.wait_messages(1)[0]), b"meta");
}

#[test]
fn what_the_application_leaves_of_a_body_is_thrown_away() {
    let (one, two) = pair();
    one.seen
        .set_body(|_| Ok(Some(SnapshotSource::new(io::Cursor::new(pattern(1 << 20))))));
    two.seen.set_sink(|_, body| {
        assert_eq!(body.len(), None);
        let mut buf = [0; 10];
        body.read_exact(&mut buf)?;
        Ok(())
    });
    one.t.send([snap(1, 2, 5, vec![])]);
    wait_report(&one, &[FINISH]);
    // A part of it, then the rest to memory.
    two.seen.set_sink(|m, body| {
        let mut buf = [0; 10];
        body.read_exact(&mut buf)?;
        body.append_to(m)?;
        Ok(())
    });
    one.t.send([snap(1, 2, 6, b"x".to_vec())]);
    let got = two.wait_messages(2);
    assert!(data(&got[1]) == [b"x", &pattern(1 << 20)[10..]].concat());
}

fn source(
    r: impl Read + Send + 'static,
    len: Option<u64>,
) -> Result<Option<SnapshotSource>, BoxError> {
    let s = SnapshotSource::new(r);
    Ok(Some(match len {
        Some(len) => s.with_len(len),
        None => s,
    }))
}

#[test]
fn a_sender_that_fails_delivers_nothing() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the disk is gone"))
        }
    }
    let (one, two) = pair();
    type MakeBody = fn() -> Result<Option<SnapshotSource>, BoxError>;
    let bodies: [(MakeBody, &str); 4] = [
        (|| Err("not now".into()), "not now"),
        (
            || source(io::Cursor::new(pattern(1 << 20)).chain(Broken), None),
            "the disk is gone",
        ),
        (
            || source(io::Cursor::new(vec![1; 10]), Some(11)),
            "announced were 11",
        ),
        (
            || source(io::Cursor::new(vec![1; 10]), Some(9)),
            "announced were 9",
        ),
    ];
    for (i, (make, why)) in bodies.into_iter().enumerate() {
        one.seen.set_body(move |_| make());
        one.t.send([snap(1, 2, 5, pattern(300_000))]);
        wait_report(&one, &vec![FAILURE; i + 1]);
        let p = one.peer(2);
        assert_eq!(p.snapshots_failed, i as u64 + 1);
        assert!(p.last_error.as_ref().unwrap().contains(why), "{p:?}");
    }
    one.seen
        .wait("unreachable, too", |s| s.unreachable.contains(&2));
    // The connection for messages is none the worse.
    one.t.send([heartbeat(1, 2, 1)]);
    assert_eq!(two.wait_messages(1), [heartbeat(1, 2, 1)]);
    assert_eq!(one.peer(2).connects, 1);
}

#[test]
fn a_receiver_that_fails_tells_the_sender() {
    let (one, two) = pair();
    two.seen.set_process(|m| match &m.snapshot {
        Some(_) => Err("cannot install".into()),
        None => Ok(()),
    });
    one.t.send([snap(1, 2, 5, pattern(1000))]);
    wait_report(&one, &[FAILURE]);
    let why = Refusal::Failed("cannot install".into());
    assert_eq!(
        one.peer(2).last_error,
        Some(Error::Refused(why.clone()).to_string())
    );
    assert!(one.seen.read(|s| s.refused == [(2, why)]));
    two.seen.set_sink(|_, _| Err("cannot store".into()));
    one.t.send([snap(1, 2, 5, pattern(3 << 20))]);
    wait_report(&one, &[FAILURE; 2]);
    assert!(one.peer(2).last_error.unwrap().contains("cannot store"));
    assert_eq!(two.peer(1).snapshots_received, 0);
}

#[test]
fn a_snapshot_beyond_the_limit_is_refused_before_memory_is_taken() {
    let small = Config {
        max_snapshot_bytes: 1000,
        ..patient(2)
    };
    let (one, two) = pair_of(patient(1), small);
    let too_large = |n: usize| {
        let p = one.peer(2);
        p.snapshots_failed == n as u64
            && p.last_error
                .unwrap()
                .contains("longer than the limit of 1000")
    };
    one.t.send([snap(1, 2, 5, pattern(1001))]);
    wait_report(&one, &[FAILURE]);
    assert!(too_large(1), "{:?}", one.peer(2).last_error);
    // Together with a body, of known length or not.
    one.seen.set_body(|_| {
        Ok(Some(
            SnapshotSource::new(io::Cursor::new(vec![0; 501])).with_len(501),
        ))
    });
    one.t.send([snap(1, 2, 5, pattern(500))]);
    wait_report(&one, &[FAILURE; 2]);
    assert!(too_large(2), "{:?}", one.peer(2).last_error);
    one.seen
        .set_body(|_| Ok(Some(SnapshotSource::new(io::repeat(1)))));
    one.t.send([snap(1, 2, 5, pattern(500))]);
    wait_report(&one, &[FAILURE; 3]);
    assert!(too_large(3), "{:?}", one.peer(2).last_error);
    one.seen.set_body(|_| Ok(None));
    one.t.send([snap(1, 2, 5, pattern(1000))]);
    wait_report(&one, &[FAILURE, FAILURE, FAILURE, FINISH]);
    assert_eq!(two.t.status().refusals.too_large, 3);
}

#[test]
fn announced_lengths_are_not_believed() {
    let one = Node::start(1);
    one.t.add_peer(2, "127.0.0.1:1").unwrap();
    let head = |data: u64, body: u64, m: &Message| {
        let mut h = Vec::new();
        h.extend_from_slice(&data.to_le_bytes());
        h.extend_from_slice(&body.to_le_bytes());
        m.encode_raw(&mut h);
        h
    };
    let good = snap(2, 1, 5, vec![]);
    type Case = (&'static str, Vec<Vec<u8>>, fn(&Refusal) -> bool);
    let cases: [Case; 9] = [
        ("no head", vec![vec![]], |r| {
            matches!(r, Refusal::Malformed(_))
        }),
        ("a short head", vec![vec![1; 12]], |r| {
            matches!(r, Refusal::Malformed(_))
        }),
        (
            "data beyond the limit",
            vec![head(1 << 60, 0, &good)],
            |r| matches!(r, Refusal::TooLarge(_)),
        ),
        (
            "a body beyond the limit",
            vec![head(0, 1 << 60, &good)],
            |r| matches!(r, Refusal::TooLarge(_)),
        ),
        ("too much data", vec![head(3, 0, &good), vec![1; 4]], |r| {
            matches!(r, Refusal::Malformed(_))
        }),
        (
            "too little data",
            vec![head(3, 0, &good), vec![1; 2], vec![]],
            |r| matches!(r, Refusal::Malformed(_)),
        ),
        ("too much body", vec![head(0, 3, &good), vec![1; 4]], |r| {
            matches!(r, Refusal::Malformed(_))
        }),
        (
            "too little body",
            vec![head(0, 3, &good), vec![1; 2], vec![]],
            |r| matches!(r, Refusal::Malformed(_)),
        ),
        (
            "another type",
            vec![head(0, 0, &heartbeat(2, 1, 0)), vec![]],
            |r| matches!(r, Refusal::Malformed(_)),
        ),
    ];
    for (what, frames, want) in cases {
        let mut raw = Raw::accepted(2, &one, 1, Kind::Snapshot);
        for f in frames {
            raw.payload(&f);
        }
        match raw.verdict() {
            Err(Error::Refused(r)) => assert!(want(&r), "{what}: {r}"),
            other => panic!("{what}: {other:?}"),
        }
    }
    // A broken checksum, a forged sender.
    let mut raw = Raw::accepted(2, &one, 1, Kind::Snapshot);
    raw.payload(&head(3, 0, &good));
    let mut piece = frame::header(b"abc");
    piece[4] ^= 1;
    raw.send(&[&piece[..], b"abc"].concat());
    assert!(raw.verdict().unwrap_err().to_string().contains("checksum"));
    let mut raw = Raw::accepted(2, &one, 1, Kind::Snapshot);
    raw.payload(&head(0, 0, &snap(3, 1, 5, vec![])));
    assert!(raw.verdict().is_err());
    assert_eq!(one.t.status().refusals.forged_from, 1);
    // One that is in order, at last.
    let mut raw = Raw::accepted(2, &one, 1, Kind::Snapshot);
    raw.payload(&head(3, 2, &good));
    for f in [b"ab".as_slice(), b"c", b"de", b""] {
        raw.payload(f);
    }
    assert_eq!(raw.verdict(), Ok(()));
    assert_eq!(data(&one.wait_messages(1)[0]), b"abcde");
    assert_eq!(one.seen.read(|s| s.messages.len()), 1);
}

#[test]
fn a_snapshot_to_a_peer_that_is_not_there_fails() {
    let one = Node::start(1);
    one.t.add_peer(2, "127.0.0.1:1").unwrap();
    one.t.send([snap(1, 2, 5, vec![1])]);
    wait_report(&one, &[FAILURE]);
    let without = Message {
        snapshot: None,
        ..snap(1, 2, 5, vec![])
    };
    one.t.send([without]);
    wait_report(&one, &[FAILURE; 2]);
}

#[test]
fn one_at_a_time_to_a_peer() {
    let (one, two) = pair();
    let gate = gated(&one, pattern(10));
    one.t.send([snap(1, 2, 5, vec![]), snap(1, 2, 6, vec![])]);
    wait_report(&one, &[FAILURE]);
    gate.open();
    wait_report(&one, &[FAILURE, FINISH]);
    assert_eq!(
        two.wait_messages(1)[0]
            .snapshot
            .as_ref()
            .unwrap()
            .metadata
            .index,
        5
    );
    // From the report on, the next may go.
    one.t.send([snap(1, 2, 7, vec![])]);
    wait_report(&one, &[FAILURE, FINISH, FINISH]);
}

#[test]
fn a_peer_that_stops_or_is_removed_half_way_fails_the_snapshot() {
    let (one, two) = pair();
    let gate = gated(&one, pattern(1 << 20));
    one.t.send([snap(1, 2, 5, vec![])]);
    eventually("half of it is sent", || one.peer(2).bytes_sent > 1 << 19);
    two.t.stop();
    gate.open();
    wait_report(&one, &[FAILURE]);
    assert!(two.seen.read(|s| s.messages.is_empty()));

    let (one, two) = pair();
    let gate = gated(&one, pattern(1 << 20));
    one.t.send([snap(1, 2, 5, vec![])]);
    eventually("half of it is sent", || one.peer(2).bytes_sent > 1 << 19);
    one.t.remove_peer(2);
    gate.open();
    wait_report(&one, &[FAILURE]);
    assert!(two.seen.read(|s| s.messages.is_empty()));
}
