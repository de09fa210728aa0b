//! The bytes of version 1, against vectors that were not made by this crate.

use crate::support::*;
use bytes::Bytes;
use std::io::{Read, Write};
use std::net::TcpListener;
use tickraft_transport_tcp::raftpb::{
    ConfState, Entry, Message, MessageType, Snapshot, SnapshotMetadata, SnapshotStatus,
};
use tickraft_transport_tcp::{
    Answer, Config, Error, Hello, Kind, Refusal, Session, SnapshotSource, frame,
};

/// The bytes under a name in the file of vectors.
fn vector(name: &str) -> Vec<u8> {
    let hex = include_str!("../wire/v1.txt")
        .lines()
        .find_map(|l| l.strip_prefix(name)?.strip_prefix(' '))
        .unwrap();
    let digit = |c: u8| u8::try_from(char::from(c).to_digit(16).unwrap()).unwrap();
    hex.as_bytes()
        .chunks(2)
        .map(|c| digit(c[0]) << 4 | digit(c[1]))
        .collect()
}

fn config() -> Config {
    Config {
        incarnation: 0xa1a2_a3a4_a5a6_a7a8,
        session: Session {
            count: 5,
            random: 0xb1b2_b3b4_b5b6_b7b8,
        },
        address: "node1:2380".into(),
        ..Config::new(0x1122_3344_5566_7788, 1)
    }
}

fn answer() -> Answer {
    Answer::new(&Config {
        incarnation: 0xc1c2_c3c4_c5c6_c7c8,
        session: Session {
            count: 9,
            random: 0xd1d2_d3d4_d5d6_d7d8,
        },
        ..Config::new(0x1122_3344_5566_7788, 2)
    })
}

fn msg_app() -> Message {
    Message {
        to: 2,
        from: 1,
        term: 3,
        log_term: 2,
        index: 7,
        entries: vec![Entry::new(3, 8, "set x=1")].into(),
        commit: 6,
        ..Message::new(MessageType::MsgApp)
    }
}

fn msg_snap(data: &'static [u8]) -> Message {
    let metadata = SnapshotMetadata {
        conf_state: ConfState {
            voters: vec![1, 2],
            ..ConfState::default()
        },
        index: 300,
        term: 2,
    };
    Message {
        to: 2,
        from: 1,
        term: 3,
        snapshot: Some(Box::new(Snapshot {
            data: Bytes::from_static(data),
            metadata,
        })),
        ..Message::new(MessageType::MsgSnap)
    }
}

#[test]
fn the_tables_are_what_is_written_and_read() {
    let hello = Hello::new(&config(), 2, Kind::Messages);
    assert_eq!(hello.encode(), vector("hello-messages"));
    assert_eq!(Hello::read(&mut &vector("hello-messages")[..]), Ok(hello));
    assert_eq!(answer().encode(), vector("answer-accepted"));
    let refused = Answer {
        version: 0,
        refusal: Some(Refusal::NotAdmitted("join under a new id".into())),
        ..answer()
    };
    let short = Answer {
        cluster: 0,
        ..answer()
    };
    assert_eq!(Answer::read(&mut &vector("answer-short")[..]), Ok(short));
    assert_eq!(refused.encode(), vector("answer-refused"));
    assert_eq!(
        Answer::read(&mut &vector("answer-refused")[..]),
        Ok(refused)
    );
    let mut wire = Vec::new();
    frame::encode(&msg_app(), &mut wire);
    assert_eq!(wire, vector("frame-app"));
    assert_eq!(frame::EMPTY[..], vector("frame-empty"));
    let mut wire = Vec::new();
    frame::put(&frame::encode_verdict(Ok(())), &mut wire);
    assert_eq!(wire, vector("verdict-ok"));
    let failed = Refusal::Failed("disk full".into());
    wire.clear();
    frame::put(&frame::encode_verdict(Err(&failed)), &mut wire);
    assert_eq!(wire, vector("verdict-failed"));
}

/// Plays node 2 with nothing but the vectors.
#[test]
fn a_dialler_says_exactly_that() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let one = Node::with(config());
    one.t
        .add_peer(2, &listener.local_addr().unwrap().to_string())
        .unwrap();
    let (mut s, _) = listener.accept().unwrap();
    let expect = |s: &mut std::net::TcpStream, name: &str| {
        let want = vector(name);
        let mut got = vec![0; want.len()];
        s.read_exact(&mut got).unwrap();
        assert_eq!(got, want, "{name}");
    };
    expect(&mut s, "hello-messages");
    s.write_all(&vector("answer-accepted")).unwrap();
    expect(&mut s, "frame-empty");
    s.write_all(&vector("frame-empty")).unwrap();
    eventually("the pong is understood", || one.peer(2).pongs == 1);
    let p = one.peer(2);
    assert_eq!((p.incarnation, p.session.count), (0xc1c2_c3c4_c5c6_c7c8, 9));
    // Another ping may come first, where the machine is slow.
    one.t.send([msg_app()]);
    let (mut got, want) = (vec![0; 8], vector("frame-app"));
    while {
        s.read_exact(&mut got).unwrap();
        got == frame::EMPTY
    } {}
    got.resize(want.len(), 0);
    s.read_exact(&mut got[8..]).unwrap();
    assert_eq!(got, want);

    one.seen
        .set_body(|_| Ok(Some(SnapshotSource::new(b"abc".as_slice()).with_len(3))));
    one.t.send([msg_snap(b"state")]);
    let (mut s, _) = listener.accept().unwrap();
    let hello = Hello::read(&mut s).unwrap();
    assert_eq!(hello, Hello::new(&config(), 2, Kind::Snapshot));
    s.write_all(&vector("answer-accepted")).unwrap();
    for name in [
        "snapshot-head",
        "snapshot-data",
        "snapshot-body",
        "frame-empty",
    ] {
        expect(&mut s, name);
    }
    s.write_all(&vector("verdict-ok")).unwrap();
    one.seen.wait("it is reported", |s| {
        s.snapshots == [(2, SnapshotStatus::Finish)]
    });
}

/// Plays node 1 with nothing but the vectors.
#[test]
fn a_listener_understands_exactly_that() {
    let two = Node::with(Config {
        incarnation: 0xc1c2_c3c4_c5c6_c7c8,
        session: answer().session,
        ..Config::new(0x1122_3344_5566_7788, 2)
    });
    two.t.add_peer(1, "127.0.0.1:1").unwrap();
    let mut raw = Raw::connect(&two);
    let expect = |raw: &mut Raw, name: &str| {
        let want = vector(name);
        let mut got = vec![0; want.len()];
        raw.0.read_exact(&mut got).unwrap();
        assert_eq!(got, want, "{name}");
    };
    raw.send(&vector("hello-messages"));
    expect(&mut raw, "answer-accepted");
    raw.send(&vector("frame-app"));
    raw.send(&vector("frame-empty"));
    expect(&mut raw, "frame-empty");
    assert_eq!(two.wait_messages(1), [msg_app()]);

    let mut raw = Raw::connect(&two);
    raw.send(&Hello::new(&config(), 2, Kind::Snapshot).encode());
    expect(&mut raw, "answer-accepted");
    for name in [
        "snapshot-head",
        "snapshot-data",
        "snapshot-body",
        "frame-empty",
    ] {
        raw.send(&vector(name));
    }
    expect(&mut raw, "verdict-ok");
    assert_eq!(two.wait_messages(2)[1], msg_snap(b"stateabc"));

    two.seen
        .set_admit(|_, _| Err(Refusal::NotAdmitted("join under a new id".into())));
    let mut raw = Raw::connect(&two);
    raw.send(&vector("hello-messages"));
    expect(&mut raw, "answer-refused");
    assert_eq!(raw.verdict(), Err(Error::Closed));
}
