//! Who is turned away, and how both sides learn it.

use crate::support::*;
use std::time::Duration;
use tickraft_transport_tcp::raftpb::{Message, MessageType, is_local_msg};
use tickraft_transport_tcp::{
    Config, Error, Hello, Kind, Refusal, Refusals, Session, Transport, ask, frame,
};

/// Node 1, to which 2 is a peer and 9 a removed member.
fn member() -> Node {
    let one = Node::start(1);
    // An address at which nothing answers: 2 is known, that is all.
    one.t.add_peer(2, "127.0.0.1:1").unwrap();
    one.seen.remove(9);
    one
}

fn refusal_of(one: &Node, hello: &Hello) -> Option<Refusal> {
    let (mut raw, answer) = Raw::shake(one, hello);
    if answer.refusal.is_some() {
        assert_eq!(answer.version, 0);
        assert_eq!(raw.read_to_end(), 0, "a refused connection is closed");
    }
    assert_eq!(answer.id, 1);
    answer.refusal
}

#[test]
fn each_reason_is_told_and_counted() {
    let one = member();
    let hello = |from, to| Raw::hello(from, to, Kind::Messages);
    let other_cluster = Hello {
        cluster: 8,
        ..hello(2, 1)
    };
    let newer = Hello {
        versions: (2, 5),
        ..hello(2, 1)
    };
    type Case = (Hello, Refusal, fn(&Refusals) -> u64, &'static str);
    let cases: [Case; 8] = [
        (
            newer,
            Refusal::Version,
            |r| r.version,
            "no common protocol version",
        ),
        (
            other_cluster,
            Refusal::WrongCluster,
            |r| r.wrong_cluster,
            "cluster ID mismatch",
        ),
        (
            hello(2, 3),
            Refusal::WrongTo,
            |r| r.wrong_to,
            "meant for another node",
        ),
        (
            hello(0, 1),
            Refusal::InvalidFrom,
            |r| r.invalid_from,
            "not a peer's",
        ),
        (
            hello(1, 1),
            Refusal::InvalidFrom,
            |r| r.invalid_from,
            "not a peer's",
        ),
        (
            hello(u64::MAX, 1),
            Refusal::InvalidFrom,
            |r| r.invalid_from,
            "not a peer's",
        ),
        (
            hello(5, 1),
            Refusal::UnknownSender,
            |r| r.unknown_sender,
            "not known here",
        ),
        (hello(9, 1), Refusal::Removed, |r| r.removed, "was removed"),
    ];
    for (hello, want, counter, line) in cases {
        let before = counter(&one.t.status().refusals);
        assert_eq!(refusal_of(&one, &hello), Some(want.clone()));
        eventually("it is counted", || {
            counter(&one.t.status().refusals) == before + 1
        });
        eventually("it is logged", || one.seen.logged(line));
    }
    assert_eq!(one.t.status().refusals.total(), 8);
    assert_eq!(refusal_of(&one, &hello(2, 1)), None);
    assert_eq!(one.t.status().refusals.total(), 8);
}

#[test]
fn versions_are_negotiated() {
    let one = member();
    let hello = Hello {
        versions: (0, 9),
        ..Raw::hello(2, 1, Kind::Messages)
    };
    let (_raw, answer) = Raw::shake(&one, &hello);
    assert_eq!((answer.refusal, answer.version), (None, 1));
}

#[test]
fn the_application_decides_with_what_the_handshake_says() {
    let one = member();
    one.seen.set_admit(|hello, known| match hello.incarnation {
        11 => Err(Refusal::NotAdmitted(
            "remove id 2, join under a new id".into(),
        )),
        _ if known || hello.address == "here:1" => Ok(()),
        _ => Err(Refusal::UnknownSender),
    });
    let two = Hello {
        incarnation: 11,
        session: Session {
            count: 4,
            random: 44,
        },
        ..Raw::hello(2, 1, Kind::Messages)
    };
    assert_eq!(
        refusal_of(&one, &two),
        Some(Refusal::NotAdmitted(
            "remove id 2, join under a new id".into()
        ))
    );
    eventually("counted", || one.t.status().refusals.not_admitted == 1);
    assert!(one.seen.read(|s| s.admitted == [(two.clone(), true)]));
    // A joiner admits whom it does not know yet.
    let stranger = Hello {
        address: "here:1".into(),
        ..Raw::hello(5, 1, Kind::Messages)
    };
    let (mut raw, answer) = Raw::shake(&one, &stranger);
    assert_eq!(answer.refusal, None);
    raw.message(&heartbeat(5, 1, 3));
    assert_eq!(one.wait_messages(1), [heartbeat(5, 1, 3)]);
}

#[test]
fn asking_opens_no_connection() {
    let one = Node::with(Config {
        incarnation: 5,
        session: Session {
            count: 1,
            random: 2,
        },
        ..patient(1)
    });
    one.t.add_peer(2, "127.0.0.1:1").unwrap();
    let hello = Raw::hello(2, 1, Kind::Probe);
    let answer = ask(&one.addr(), &hello, PATIENCE).unwrap();
    assert_eq!(
        (answer.refusal, answer.id, answer.incarnation),
        (None, 1, 5)
    );
    assert_eq!(answer.session.random, 2);
    let answer = ask(&one.addr(), &Raw::hello(3, 1, Kind::Messages), PATIENCE).unwrap();
    assert_eq!(answer.refusal, Some(Refusal::UnknownSender));
    assert!(
        one.seen
            .read(|s| s.admitted.iter().all(|(h, _)| h.kind == Kind::Probe))
    );
    assert_eq!(one.peer(2).receiving_since, None);
}

#[test]
fn the_dialler_learns_why() {
    let one = member();
    let cases = [
        (Config::new(8, 2), 1, Refusal::WrongCluster),
        (Config::new(CLUSTER, 2), 3, Refusal::WrongTo),
        (Config::new(CLUSTER, 5), 1, Refusal::UnknownSender),
        (Config::new(CLUSTER, 9), 1, Refusal::Removed),
    ];
    for (config, to, want) in cases {
        let dialler = Node::with(config);
        dialler.t.add_peer(to, &one.addr()).unwrap();
        dialler.seen.wait("the refusal is told", |s| {
            s.refused.first() == Some(&(to, want.clone()))
        });
        let p = dialler.peer(to);
        assert_eq!(p.refusal, Some(want.clone()));
        assert_eq!(p.last_error, Some(Error::Refused(want).to_string()));
        assert_eq!(p.active_since, None);
        dialler.seen.wait("unreachable", |s| s.unreachable == [to]);
    }
}

#[test]
fn a_joiner_that_was_not_known_gets_in_once_it_is() {
    let one = member();
    let five = Node::start(5);
    five.t.add_peer(1, &one.addr()).unwrap();
    five.seen.wait("refused", |s| {
        s.refused.first() == Some(&(1, Refusal::UnknownSender))
    });
    one.t.add_peer(5, &five.addr()).unwrap();
    five.wait_active(1);
    one.wait_active(5);
    assert_eq!(five.peer(1).refusal, None);
    five.t.send([heartbeat(5, 1, 1)]);
    assert_eq!(one.wait_messages(1), [heartbeat(5, 1, 1)]);
}

#[test]
fn a_removed_node_learns_it_and_may_stop_from_there() {
    let (one, two) = pair();
    let t = std::sync::Arc::downgrade(&two.t);
    *two.seen.on_refused.lock() = Some(Box::new(move || {
        if let Some(t) = t.upgrade() {
            t.stop();
        }
    }));
    one.seen.remove(2);
    assert!(one.t.remove_peer(2));
    two.seen
        .wait("told", |s| s.refused.contains(&(1, Refusal::Removed)));
    eventually("it stopped", || {
        two.t.add_peer(3, "127.0.0.1:1") == Err(Error::Stopped)
    });
    two.t.stop();
}

#[test]
fn a_message_that_breaks_the_rules_is_dropped_and_the_next_is_not() {
    let one = member();
    let mut raw = Raw::accepted(2, &one, 1, Kind::Messages);
    raw.message(&heartbeat(3, 1, 0));
    raw.message(&heartbeat(0, 1, 0));
    raw.message(&heartbeat(2, 3, 0));
    raw.message(&heartbeat(2, 0, 0));
    let local: Vec<_> = MessageType::ALL
        .iter()
        .filter(|t| is_local_msg(**t))
        .collect();
    for t in &local {
        raw.message(&Message {
            from: 2,
            to: 1,
            ..Message::new(**t)
        });
    }
    raw.message(&heartbeat(2, 1, 77));
    assert_eq!(one.wait_messages(1), [heartbeat(2, 1, 77)]);
    let r = one.t.status().refusals;
    assert_eq!(
        (r.forged_from, r.message_wrong_to, r.local_message),
        (2, 2, 9)
    );
    assert_eq!(r.total(), 13);
    for line in [
        "its sender is not the connection's",
        "it is for another node",
        "its type is local",
    ] {
        assert!(one.seen.logged(line), "{line}");
    }
    eventually("only what was taken is counted", || {
        one.peer(2).received == 1
    });
}

#[test]
fn malformed_bytes_end_their_connection_with_a_farewell() {
    let one = member();
    let mut good = Vec::new();
    frame::encode(&heartbeat(2, 1, 1), &mut good);
    let mut bad_crc = good.clone();
    bad_crc[4] ^= 1;
    let mut not_a_message = Vec::new();
    frame::put(&[0xff; 20], &mut not_a_message);
    let mut unknown_type = Vec::new();
    frame::put(&[0x08, 99, 0x10, 1, 0x18, 2], &mut unknown_type);
    for bad in [bad_crc, not_a_message, unknown_type] {
        let before = one.t.status().refusals.malformed;
        let mut raw = Raw::accepted(2, &one, 1, Kind::Messages);
        raw.send(&good);
        raw.send(&bad);
        // What follows must not reset the connection before the farewell is read.
        raw.send(&good.repeat(100));
        let Err(Error::Refused(Refusal::Malformed(_))) = raw.verdict() else {
            panic!("no farewell");
        };
        assert_eq!(raw.read_to_end(), 0);
        assert_eq!(one.t.status().refusals.malformed, before + 1);
    }
    assert!(one.seen.logged("malformed bytes"));
    one.seen
        .wait("the good ones before were taken", |s| s.messages.len() == 3);
}

#[test]
fn a_frame_beyond_the_limit_is_refused_at_its_header() {
    let one = Node::with(Config {
        max_message_bytes: 1 << 20,
        ..patient(1)
    });
    one.t.add_peer(2, "127.0.0.1:1").unwrap();
    for len in [(1u32 << 20) + 1, u32::MAX] {
        let (mut raw, answer) = Raw::shake(&one, &Raw::hello(2, 1, Kind::Messages));
        assert_eq!(answer.max_message_bytes, 1 << 20);
        let mut header = frame::EMPTY;
        header[..4].copy_from_slice(&len.to_le_bytes());
        raw.send(&header);
        // No byte of the payload was sent.
        let Err(Error::Refused(Refusal::TooLarge(text))) = raw.verdict() else {
            panic!("no farewell");
        };
        assert!(text.contains(&len.to_string()), "{text}");
    }
    assert_eq!(one.t.status().refusals.too_large, 2);
}

#[test]
fn a_farewell_reaches_the_dialler_as_a_refusal() {
    // A node that accepts, then says why it closes.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let one = Node::start(1);
    one.t
        .add_peer(2, &listener.local_addr().unwrap().to_string())
        .unwrap();
    let (mut s, _) = listener.accept().unwrap();
    let hello = Hello::read(&mut s).unwrap();
    assert_eq!((hello.from, hello.to, hello.cluster), (1, 2, CLUSTER));
    let answer = tickraft_transport_tcp::Answer::new(&Config::new(CLUSTER, 2));
    use std::io::Write as _;
    s.write_all(&answer.encode()).unwrap();
    let mut farewell = Vec::new();
    frame::put(
        &frame::encode_verdict(Err(&Refusal::Removed)),
        &mut farewell,
    );
    s.write_all(&farewell).unwrap();
    one.seen.wait("told", |s| {
        s.refused.first() == Some(&(2, Refusal::Removed))
    });
    assert_eq!(one.peer(2).refusal, Some(Refusal::Removed));
}

#[test]
fn bad_arguments_are_errors() {
    let one = Node::start(1);
    for id in [0, 1, u64::MAX, u64::MAX - 1] {
        assert_eq!(
            one.t.add_peer(id, "127.0.0.1:1"),
            Err(Error::InvalidPeer { id })
        );
    }
    assert!(!one.t.update_peer(2, "127.0.0.1:1") && !one.t.remove_peer(2));
    assert!(one.t.active_since(2).is_none() && one.t.peer_status(2).is_none());
    let log = tickraft_transport_tcp::slog::Logger::root(
        tickraft_transport_tcp::slog::Discard,
        tickraft_transport_tcp::slog::o!(),
    );
    let bind =
        |c, a: &str| Transport::bind(c, a, std::sync::Arc::clone(&one.seen) as _, &log).err();
    let taken = bind(Config::new(1, 1), &one.addr());
    assert!(
        matches!(taken, Some(Error::Io { action: "bind", .. })),
        "{taken:?}"
    );
    let bad = Config {
        keepalive: Duration::ZERO,
        ..Config::new(1, 1)
    };
    assert!(matches!(
        bind(bad, "127.0.0.1:0"),
        Some(Error::Config { .. })
    ));
}
