//! What both generations of etcd's encoder wrote: it decodes to equal values, and ours is the newer one's. Go: raftpb/raft.pb.go
#![allow(clippy::unwrap_used)]

use std::fmt::Debug;
use tickraft_raftpb::*;

const V36: &str = include_str!("wire/v3.6.0.txt");
const V37: &str = include_str!("wire/v3.7.0.txt");

/// Any message of the vectors.
#[derive(Clone, Debug, PartialEq)]
enum Value {
    Message(Message),
    Entry(Entry),
    HardState(HardState),
    Snapshot(Snapshot),
    ConfChange(ConfChange),
}

impl Value {
    /// Decodes what the vector's name says.
    fn decode(name: &str, wire: &[u8]) -> Value {
        fn read<T: prost::Message + Default>(name: &str, wire: &[u8]) -> T {
            T::decode(wire).unwrap_or_else(|e| panic!("{name}: {e}"))
        }
        let kind = name.split(['.', '(']).next().unwrap();
        match kind {
            "Entry" => Value::Entry(read(name, wire)),
            "HardState" => Value::HardState(read(name, wire)),
            "Snapshot" => Value::Snapshot(read(name, wire)),
            "ConfChange" => Value::ConfChange(read(name, wire)),
            _ => Value::Message(read(name, wire)),
        }
    }

    fn encode(&self) -> Vec<u8> {
        fn write(m: &impl prost::Message) -> Vec<u8> {
            let wire = m.encode_to_vec();
            assert_eq!(wire.len(), m.encoded_len());
            wire
        }
        match self {
            Value::Message(m) => write(m),
            Value::Entry(m) => write(m),
            Value::HardState(m) => write(m),
            Value::Snapshot(m) => write(m),
            Value::ConfChange(m) => write(m),
        }
    }

    /// With the configuration changes inside of entries decoded too: their bytes differ between the generations.
    fn meaning(&self) -> (Value, Vec<Option<ConfChangeV2>>) {
        let change = |e: &Entry| unmarshal_conf_change(e).unwrap();
        let bare = |e: &Entry| match e.get_type() {
            EntryType::Normal => e.clone(),
            _ => Entry {
                data: bytes::Bytes::new(),
                ..e.clone()
            },
        };
        match self {
            Value::Entry(e) => (Value::Entry(bare(e)), vec![change(e)]),
            Value::Message(m) => {
                let mut m = m.clone();
                let changes = m.entries.iter().map(change).collect();
                m.entries = m.entries.iter().map(bare).collect();
                (Value::Message(m), changes)
            }
            other => (other.clone(), vec![]),
        }
    }
}

fn vectors(text: &str) -> Vec<(&str, Vec<u8>)> {
    text.lines()
        .map(|line| {
            let (name, hex) = line.split_once(' ').unwrap();
            let hex = hex.trim();
            let byte = |i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap();
            (name, (0..hex.len()).step_by(2).map(byte).collect())
        })
        .collect()
}

/// The one vector that v3.7 has alone: a ConfState whose auto-leave was never set.
const UNSET_AUTO_LEAVE: &str = "Snapshot(noAL)";

#[test]
fn both_generations_mean_the_same() {
    let old = vectors(V36);
    let mut new = vectors(V37);
    assert_eq!((old.len(), new.len()), (31, 32));
    new.retain(|(name, _)| *name != UNSET_AUTO_LEAVE);
    for ((name, old), (new_name, new)) in old.iter().zip(&new) {
        assert_eq!(name, new_name);
        let (a, b) = (Value::decode(name, old), Value::decode(name, new));
        assert_eq!(a.meaning(), b.meaning(), "{name}");
        if !name.contains("ConfChange") {
            assert_eq!(a, b, "{name}");
        }
    }
}

#[test]
fn names_say_what_the_vectors_are() {
    for (name, wire) in vectors(V36).into_iter().chain(vectors(V37)) {
        match Value::decode(name, &wire) {
            Value::Message(m) if name == "linkHeartbeat" => {
                assert_eq!(m, Message::new(MessageType::MsgHeartbeat));
            }
            Value::Message(m) => assert_eq!(m.msg_type.as_str(), name),
            Value::Entry(e) => assert_eq!(format!("Entry.{}", e.get_type()), name),
            Value::HardState(hs) => assert_eq!((hs.term, hs.commit), (1, 3)),
            Value::Snapshot(s) => assert_eq!(s.metadata.index, 7),
            Value::ConfChange(c) => assert_eq!((c.node_id, &c.context[..]), (4, &b"http://x"[..])),
        }
    }
}

#[test]
fn our_encoding_is_the_newer_one() {
    for (name, wire) in vectors(V37) {
        let value = Value::decode(name, &wire);
        let ours = value.encode();
        assert_eq!(Value::decode(name, &ours), value, "{name}");
        if name == UNSET_AUTO_LEAVE {
            // Ours writes what is never unset.
            let set = vectors(V37)
                .into_iter()
                .find(|(n, _)| *n == "Snapshot(full)");
            assert_eq!(ours, set.unwrap().1);
        } else {
            assert_eq!(ours.len(), wire.len() + unset(&value), "{name}");
            assert!(unset(&value) > 0 || ours == wire, "{name}");
        }
    }
}

/// The bytes that ours has more: etcd leaves term and index of an entry unset until the leader numbers it, ours writes the
/// zeros.
fn unset(value: &Value) -> usize {
    let Value::Message(m) = value else { return 0 };
    4 * m.entries.iter().filter(|e| e.index == 0).count()
}

/// The older encoder writes zeros that the newer leaves out, in messages and in entries' types. Of those only the entry's type keeps its
/// presence, because size limits count it.
#[test]
fn explicit_zeros_are_read_and_only_an_entrys_type_is_written_again() {
    for (name, wire) in vectors(V36) {
        let value = Value::decode(name, &wire);
        assert_eq!(Value::decode(name, &value.encode()), value, "{name}");
        match &value {
            Value::Entry(e) => {
                assert!(e.entry_type.is_some(), "{name}");
                assert_eq!(value.encode(), wire, "{name}");
            }
            Value::Message(m) => {
                assert!(value.encode().len() < wire.len(), "{name}");
                assert!(m.entries.iter().all(|e| e.entry_type == Some(e.get_type())));
            }
            _ => {}
        }
    }
}

/// What limits count is the length on the wire.
#[test]
fn sizes_are_the_lengths_of_the_vectors() {
    for (name, wire) in vectors(V37) {
        match Value::decode(name, &wire) {
            Value::Message(m) => {
                let more = unset(&Value::Message(m.clone())) as u64;
                assert_eq!(m.size(), wire.len() as u64 + more, "{name}");
            }
            Value::Entry(e) => assert_eq!(e.size(), wire.len() as u64, "{name}"),
            _ => {}
        }
    }
}
