//! The decoder takes what any protobuf encoder may write and refuses the rest. Go: Unmarshal of raftpb's messages
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use prost::Message as _;
use prost::encoding::{DecodeContext, WireType, decode_key, encode_key, skip_field};
use std::fmt::Debug;
use tickraft_raftpb::*;

/// Runs a body for each message type, named `T`.
macro_rules! for_each_type {
    ($body:ident) => {
        $body::<Entry>("Entry");
        $body::<Message>("Message");
        $body::<HardState>("HardState");
        $body::<ConfState>("ConfState");
        $body::<SnapshotMetadata>("SnapshotMetadata");
        $body::<Snapshot>("Snapshot");
        $body::<ConfChange>("ConfChange");
        $body::<ConfChangeSingle>("ConfChangeSingle");
        $body::<ConfChangeV2>("ConfChangeV2");
    };
}

#[test]
fn missing_fields_are_zero() {
    fn check<T: prost::Message + Default + PartialEq + Debug>(name: &str) {
        assert_eq!(T::decode(&[][..]).unwrap(), T::default(), "{name}");
    }
    for_each_type!(check);
}

#[test]
fn unknown_fields_are_skipped() {
    fn check<T: prost::Message + Default + PartialEq + Debug>(name: &str) {
        let mut unknown = number(15, 7);
        unknown.extend(number(536_870_911, u64::MAX));
        unknown.extend(delimited(99, b"\x08\x63"));
        for (wire_type, len) in [(WireType::ThirtyTwoBit, 4), (WireType::SixtyFourBit, 8)] {
            encode_key(16, wire_type, &mut unknown);
            unknown.extend(vec![0xff; len]);
        }
        encode_key(17, WireType::StartGroup, &mut unknown);
        unknown.extend(number(1, 99));
        encode_key(17, WireType::EndGroup, &mut unknown);
        assert_eq!(T::decode(&unknown[..]).unwrap(), T::default(), "{name}");
    }
    for_each_type!(check);
    // Between and inside of known ones.
    let mut wire = delimited(20, b"before");
    let e = Entry::new(1, 2, "x");
    wire.extend(delimited(
        7,
        &[number(30, 1), e.encode_to_vec(), delimited(31, b"y")].concat(),
    ));
    wire.extend(number(21, 5));
    wire.extend(delimited(7, &e.encode_to_vec()));
    wire.extend(number(4, 9));
    let m = Message::decode(&wire[..]).unwrap();
    assert_eq!((m.term, m.entries), (9, vec![e.clone(), e].into()));
}

#[test]
fn repeated_numbers_are_read_packed_and_unpacked() {
    let packed = delimited(1, &[1, 2, 0xac, 2]);
    let unpacked = [number(1, 1), number(1, 2), number(1, 300)].concat();
    let mixed = [
        number(1, 1),
        delimited(1, &[2]),
        delimited(1, &[]),
        number(1, 300),
    ]
    .concat();
    for wire in [packed, unpacked, mixed] {
        assert_eq!(ConfState::decode(&wire[..]).unwrap().voters, [1, 2, 300]);
    }
    for tag in 2..=4 {
        let cs = ConfState::decode(&delimited(tag, &[9, 8])[..]).unwrap();
        let lists = [&cs.learners, &cs.voters_outgoing, &cs.learners_next];
        assert_eq!(*lists[tag as usize - 2], [9, 8]);
    }
    // We write them unpacked.
    let cs = ConfState {
        voters: vec![1, 2],
        ..ConfState::default()
    };
    assert_eq!(cs.encode_to_vec(), [8, 1, 8, 2, 0x28, 0]);
}

/// Older encoders write an empty snapshot on every message.
#[test]
fn an_empty_snapshot_is_read_on_any_message() {
    let nothing = delimited(9, &[]);
    let zeros = delimited(
        9,
        &delimited(
            2,
            &[delimited(1, &[0x28, 0]), number(2, 0), number(3, 0)].concat(),
        ),
    );
    for snapshot in [nothing, zeros] {
        for t in MessageType::ALL {
            let wire = [number(1, *t as u64), snapshot.clone(), number(4, 3)].concat();
            let m = Message::decode(&wire[..]).unwrap();
            assert_eq!((m.msg_type, m.term), (*t, 3));
            assert!(m.snapshot.unwrap().is_empty());
        }
    }
}

/// The last value of a field counts; embedded messages are merged, lists grow. Protobuf says so.
#[test]
fn the_last_value_wins() {
    let twice = |tag| [number(tag, 5), number(tag, 1)].concat();
    let fields: Vec<u8> = [2, 3, 4, 5, 6, 8, 10, 11, 13]
        .into_iter()
        .flat_map(twice)
        .collect();
    let m = Message::decode(&[number(1, 3), number(1, 4), fields].concat()[..]).unwrap();
    let want = Message {
        to: 1,
        from: 1,
        term: 1,
        log_term: 1,
        index: 1,
        commit: 1,
        reject: true,
        reject_hint: 1,
        vote: 1,
        ..Message::new(MessageType::MsgAppResp)
    };
    assert_eq!(m, want);
    let wire = [
        number(10, 1),
        number(10, 0),
        delimited(12, b"a"),
        delimited(12, b"bc"),
    ]
    .concat();
    let m = Message::decode(&wire[..]).unwrap();
    assert_eq!((m.reject, m.context()), (false, &b"bc"[..]));
    let m = Message::decode(&[delimited(12, b"a"), delimited(12, b"")].concat()[..]).unwrap();
    assert_eq!(m.context, None);
    let e =
        Entry::decode(&[twice(1), twice(2), delimited(4, b"a"), delimited(4, b"b")].concat()[..]);
    assert!(e.is_err(), "type 5 is unknown even where it is overwritten");
    let e = [
        number(1, 2),
        number(1, 0),
        twice(2),
        twice(3),
        delimited(4, b"a"),
        delimited(4, b"b"),
    ];
    let m = Message::decode(&delimited(7, &e.concat())[..]).unwrap();
    let e = Entry::decode(&e.concat()[..]).unwrap();
    for e in [&e, m.entries.first().unwrap()] {
        assert_eq!(e.entry_type, Some(EntryType::Normal));
        assert_eq!(*e, Entry::new(1, 1, "b"));
    }
    // In whatever order they come.
    let e = [
        delimited(4, b"data"),
        number(3, 2),
        number(2, 1),
        number(1, 1),
    ];
    let m = Message::decode(&delimited(7, &e.concat())[..]).unwrap();
    let want = Entry {
        entry_type: Some(EntryType::ConfChange),
        ..Entry::new(1, 2, "data")
    };
    assert_eq!(m.entries, vec![want].into());
    let halves = [
        delimited(9, &delimited(1, b"data")),
        delimited(9, &delimited(2, &number(2, 7))),
        delimited(9, &delimited(2, &number(3, 3))),
    ];
    let s = Message::decode(&halves.concat()[..])
        .unwrap()
        .snapshot
        .unwrap();
    assert_eq!(
        (&s.data[..], s.metadata.index, s.metadata.term),
        (&b"data"[..], 7, 3)
    );
}

#[test]
fn unknown_enum_numbers_are_refused_wherever_they_stand() {
    fn refused<T: prost::Message + Default + Debug>(what: &str, wire: &[u8]) {
        let e = T::decode(wire).expect_err(what);
        assert!(e.to_string().contains("unknown enum number"), "{what}: {e}");
    }
    // One past the last, negative, and numbers whose low 32 bits are those of a known one.
    let wild = [
        -1i64 as u64,
        i64::MIN as u64,
        i32::MAX as u64,
        1 << 32,
        (1 << 32) + 1,
        u64::MAX << 32,
    ];
    let past = |n: u64| wild.into_iter().chain([n, n + 1]);
    for v in past(24) {
        refused::<Message>("Message.type", &number(1, v));
        refused::<Message>("responses.type", &delimited(14, &number(1, v)));
        refused::<Message>(
            "responses of responses",
            &delimited(14, &delimited(14, &number(1, v))),
        );
    }
    for v in past(3) {
        let entry = number(1, v);
        refused::<Entry>("Entry.type", &entry);
        refused::<Message>("entries.type", &delimited(7, &entry));
        let plain = delimited(7, &number(2, 1));
        refused::<Message>(
            "the second entry",
            &[plain.clone(), delimited(7, &entry), plain].concat(),
        );
        refused::<Message>(
            "responses.entries.type",
            &delimited(14, &delimited(7, &entry)),
        );
        refused::<ConfChangeV2>("ConfChangeV2.transition", &entry);
    }
    for v in past(4) {
        refused::<ConfChange>("ConfChange.type", &number(2, v));
        refused::<ConfChangeSingle>("ConfChangeSingle.type", &number(1, v));
        refused::<ConfChangeV2>("changes.type", &delimited(2, &number(1, v)));
        let data = number(2, v).into();
        let e = Entry {
            entry_type: Some(EntryType::ConfChange),
            data,
            ..Entry::default()
        };
        assert!(unmarshal_conf_change(&e).is_err());
    }
    // A known one in more bytes than it needs is known.
    let m = Message::decode(&[0x08, 0x84, 0x80, 0x00][..]).unwrap();
    assert_eq!(m.msg_type, MessageType::MsgAppResp);
}

/// Where the top-level fields of an encoding end.
fn field_ends(wire: &[u8]) -> Vec<usize> {
    let mut rest = wire;
    let mut ends = vec![0];
    while !rest.is_empty() {
        let (tag, wire_type) = decode_key(&mut rest).unwrap();
        skip_field(wire_type, tag, &mut rest, DecodeContext::default()).unwrap();
        ends.push(wire.len() - rest.len());
    }
    ends
}

/// A prefix that ends within a field is refused; one that ends behind a field is what it is.
#[test]
fn truncated_input_is_refused_at_every_byte() {
    fn check<T: prost::Message + Default + PartialEq + Debug>(m: &T) {
        let wire = m.encode_to_vec();
        let ends = field_ends(&wire);
        for n in 0..wire.len() {
            let got = T::decode(&wire[..n]);
            assert_eq!(
                got.is_ok(),
                ends.contains(&n),
                "{n} of {wire:02x?}: {got:?}"
            );
        }
        assert_eq!(T::decode(&wire[..]).unwrap(), *m);
    }
    check(&message());
    check(&snapshot());
    check(&snapshot().metadata);
    check(&snapshot().metadata.conf_state);
    check(&HardState {
        term: 1 << 30,
        vote: 2,
        commit: 300,
    });
    check(message().entries.get(1).unwrap());
    let changes = conf_changes_from_string("v1 l2 r3 u4").unwrap();
    check(&ConfChangeV2 {
        changes,
        context: "context".into(),
        ..ConfChangeV2::default()
    });
    check(&ConfChange {
        id: 1,
        node_id: 300,
        context: "context".into(),
        ..ConfChange::default()
    });
}

/// Every known field, with every wire type that is not its own.
#[test]
fn wrong_wire_types_are_refused() {
    use WireType::*;
    /// What each field is, from 1 on: n a number, b bytes or a message, r a list of numbers (packed or not).
    fn check<T: prost::Message + Default + Debug>(name: &str, fields: &str) {
        for (tag, kind) in (1..).zip(fields.chars()) {
            for wire_type in [
                Varint,
                SixtyFourBit,
                LengthDelimited,
                StartGroup,
                EndGroup,
                ThirtyTwoBit,
            ] {
                let mut wire = Vec::new();
                encode_key(tag, wire_type, &mut wire);
                // Zeros: an empty value of most types.
                wire.extend([0; 8]);
                let fits = match kind {
                    'n' => wire_type == Varint,
                    'b' => wire_type == LengthDelimited,
                    _ => wire_type == Varint || wire_type == LengthDelimited,
                };
                if !fits {
                    let got = T::decode(&wire[..]);
                    assert!(got.is_err(), "{name} {tag} {wire_type:?}: {got:?}");
                }
            }
        }
    }
    check::<Entry>("Entry", "nnnb");
    check::<Message>("Message", "nnnnnnbnbnnbnb");
    check::<HardState>("HardState", "nnn");
    check::<ConfState>("ConfState", "rrrrn");
    check::<SnapshotMetadata>("SnapshotMetadata", "bnn");
    check::<Snapshot>("Snapshot", "bb");
    check::<ConfChange>("ConfChange", "nnnb");
    check::<ConfChangeSingle>("ConfChangeSingle", "nn");
    check::<ConfChangeV2>("ConfChangeV2", "nbb");
    // Field number 0 and wire types 6 and 7 do not exist; a varint has at most ten bytes.
    for wire in [
        &[0x00, 0x00][..],
        &[0x0e, 0x00],
        &[0x0f, 0x00],
        &[0x10; 1],
        &[0xff; 11],
    ] {
        assert!(Message::decode(wire).is_err(), "{wire:02x?}");
    }
    let long = [&[0x10][..], &[0x80; 10], &[0x01]].concat();
    let wide = [&[0x10][..], &[0xff; 9], &[0x02]].concat();
    let max = [&[0x10][..], &[0xff; 9], &[0x01]].concat();
    assert!(Message::decode(&long[..]).is_err() && Message::decode(&wide[..]).is_err());
    assert_eq!(Message::decode(&max[..]).unwrap().to, u64::MAX);
}

/// Responses in responses end somewhere.
#[test]
fn nesting_is_bounded() {
    let nest = |n| {
        let mut wire = number(1, 4);
        for _ in 0..n {
            wire = delimited(14, &wire);
        }
        wire
    };
    let mut m = Message::decode(&nest(90)[..]).unwrap();
    let mut depth = 0;
    while let Some(r) = m.responses.first().cloned() {
        m = r;
        depth += 1;
    }
    assert_eq!((depth, m.msg_type), (90, MessageType::MsgAppResp));
    assert!(Message::decode(&nest(200)[..]).is_err());
    assert!(Message::decode(&nest(20_000)[..]).is_err());
}

/// Embedded in another message, through prost's own path, a message reads the same.
#[test]
fn prosts_own_path_agrees() {
    let m = message();
    let wire = m.encode_length_delimited_to_vec();
    assert_eq!(Message::decode_length_delimited(&wire[..]).unwrap(), m);
    let mut merged = Message::new(MessageType::MsgHup);
    merged.merge(&m.encode_to_vec()[..]).unwrap();
    assert_eq!(merged, m);
    merged.clear();
    assert_eq!(merged, Message::default());
}
