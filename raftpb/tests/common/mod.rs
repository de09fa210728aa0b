//! Bytes and values for the tests of the decoder.
// Each test file uses some of these.
#![allow(dead_code)]

use prost::encoding::{WireType, encode_key, encode_varint};
use tickraft_raftpb::*;

/// A varint field.
pub(crate) fn number(tag: u32, v: u64) -> Vec<u8> {
    let mut out = Vec::new();
    encode_key(tag, WireType::Varint, &mut out);
    encode_varint(v, &mut out);
    out
}

/// A length-delimited field.
pub(crate) fn delimited(tag: u32, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    encode_key(tag, WireType::LengthDelimited, &mut out);
    encode_varint(bytes.len() as u64, &mut out);
    out.extend_from_slice(bytes);
    out
}

/// A length-delimited field that claims a length and has nothing behind it.
pub(crate) fn claims(tag: u32, len: u64) -> Vec<u8> {
    let mut out = Vec::new();
    encode_key(tag, WireType::LengthDelimited, &mut out);
    encode_varint(len, &mut out);
    out
}

/// A snapshot with every field set.
pub(crate) fn snapshot() -> Snapshot {
    Snapshot {
        data: "state".into(),
        metadata: SnapshotMetadata {
            index: 300,
            term: 7,
            conf_state: ConfState {
                voters: vec![1, 2, u64::MAX],
                learners: vec![4],
                voters_outgoing: vec![1, 5],
                learners_next: vec![5],
                auto_leave: true,
            },
        },
    }
}

/// A message with every field set, all kinds of entries, and responses with entries of their own.
pub(crate) fn message() -> Message {
    let entry = |index, entry_type| Entry {
        entry_type,
        ..Entry::new(6, index, "data")
    };
    let mut m = Message {
        msg_type: MessageType::MsgApp,
        to: 2,
        from: 1,
        term: 7,
        log_term: 6,
        index: 299,
        entries: vec![
            entry(300, None),
            entry(301, Some(EntryType::ConfChange)),
            Entry::new(7, 302, ""),
        ]
        .into(),
        commit: 298,
        vote: 3,
        snapshot: Some(Box::new(snapshot())),
        reject: true,
        reject_hint: 1 << 40,
        ..Message::default()
    }
    .with_context("context");
    m.responses.push(Message {
        entries: vec![entry(1, Some(EntryType::ConfChangeV2))].into(),
        ..Message::new(MessageType::MsgStorageAppendResp)
    });
    m.responses.push(Message::new(MessageType::MsgAppResp));
    m
}
