//! The tables of docs/notes/messages.md, held against the core. Go: (none)

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used)]

use raft::raftpb::{
    ConfState, Entry, LOCAL_APPEND_THREAD, LOCAL_APPLY_THREAD, Message, MessageType, Snapshot,
    is_local_msg, is_response_msg,
};
use raft::storage::Writer;
use raft::{Batch, Config, Error, Outcome, Raft, StateType, WriteMode};
use std::path::Path;
use storage_mem::MemoryStorage;

/// The rows of the table whose header begins with these cells, header left out.
fn table(header: &[&str]) -> Vec<Vec<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/notes/messages.md");
    let text = std::fs::read_to_string(path).unwrap();
    let cells = |line: &str| -> Vec<String> {
        let line = line.strip_prefix('|').unwrap().strip_suffix('|').unwrap();
        line.split('|').map(|c| c.trim().to_owned()).collect()
    };
    let mut lines = text.lines();
    lines
        .by_ref()
        .find(|l| {
            l.starts_with('|')
                && cells(l).starts_with(&header.iter().map(ToString::to_string).collect::<Vec<_>>())
        })
        .unwrap_or_else(|| panic!("no table {header:?}"));
    lines
        .skip(1)
        .take_while(|l| l.starts_with('|'))
        .map(cells)
        .collect()
}

#[test]
fn numbers_and_classes_of_the_messages() {
    use MessageType::*;
    let rows = table(&["nr", "type"]);
    assert_eq!(rows.len(), MessageType::ALL.len());
    for (row, &t) in rows.iter().zip(MessageType::ALL) {
        let yes = |word: &str, is: bool| if is { word.to_owned() } else { String::new() };
        assert_eq!(row[..2], [(t as u8).to_string(), t.to_string()]);
        assert_eq!(row[3], yes("local", is_local_msg(t)), "{t}");
        assert_eq!(row[4], yes("answer", is_response_msg(t)), "{t}");
        let vote = matches!(t, MsgVote | MsgVoteResp | MsgPreVote | MsgPreVoteResp);
        assert_eq!(row[5] == "own", vote, "{t}");
        let waits = matches!(t, MsgAppResp | MsgVoteResp | MsgPreVoteResp);
        assert_eq!(row[6], yes("waits", waits), "{t}");
    }
}

/// A node of three in this role, in term 1 (or 2), all it had to do done.
fn node(role: StateType) -> Raft<MemoryStorage> {
    let mut disk = MemoryStorage::new();
    let mut first = Snapshot::default();
    first.metadata.conf_state = ConfState {
        voters: vec![1, 2, 3],
        ..ConfState::default()
    };
    disk.apply_snapshot(&first).unwrap();
    let config = Config {
        pre_vote: role == StateType::PreCandidate,
        ..Config::new(1, 7)
    };
    let logger = slog::Logger::root(slog::Discard, slog::o!());
    let mut r = Raft::new(config, disk.clone(), logger, None).unwrap();
    r.step(from_peer(MessageType::MsgHeartbeat, 1)).unwrap();
    if role != StateType::Follower {
        r.step(Message::new(MessageType::MsgHup)).unwrap();
    }
    drive(&mut r, &mut disk);
    if role == StateType::Leader {
        r.step(from_peer(MessageType::MsgVoteResp, 2)).unwrap();
        drive(&mut r, &mut disk);
    }
    assert_eq!(r.soft_state().raft_state, role);
    r
}

fn drive(r: &mut Raft<MemoryStorage>, disk: &mut MemoryStorage) {
    let mut batch = Batch::default();
    while let Some(pending) = r.pending(WriteMode::Sync).unwrap() {
        pending.accept(&mut batch);
        let write = raft::storage::Write {
            hard_state: batch.hard_state,
            entries: batch.entries.clone(),
            ..Default::default()
        };
        Writer::append(disk, &write).unwrap();
        let own = batch.messages_after_append.drain(..).filter(|m| m.to == 1);
        for m in own
            .chain(batch.append_resp.take())
            .chain(batch.apply_resp.take())
        {
            r.step(m).unwrap();
        }
    }
}

fn from_peer(t: MessageType, term: u64) -> Message {
    Message {
        from: 2,
        term,
        ..Message::new(t)
    }
}

/// A well-formed message of the type for a node in this term.
fn message(t: MessageType, term: u64) -> Message {
    use MessageType::*;
    let mut m = from_peer(t, term);
    match t {
        MsgProp | MsgReadIndex => {
            m = Message {
                entries: vec![Entry::proposal("x")].into(),
                ..Message::new(t)
            };
        }
        MsgReadIndexResp => m.entries = vec![Entry::proposal("x")].into(),
        // The leader's first entry, acknowledged.
        MsgAppResp => m.index = 1,
        MsgStorageAppendResp => m.from = LOCAL_APPEND_THREAD,
        MsgStorageApplyResp => (m.from, m.term) = (LOCAL_APPLY_THREAD, 0),
        _ if is_local_msg(t) => m.term = 0,
        MsgForgetLeader | MsgTransferLeader => m.term = 0,
        _ => {}
    }
    m
}

fn word(done: &Result<Outcome, Error>) -> String {
    let text = match done {
        Ok(Outcome::Dropped(reason)) => format!("{reason:?}"),
        Ok(outcome) => format!("{outcome:?}"),
        Err(e) => format!("{e:?}"),
    };
    text.chars().take_while(|c| c.is_alphanumeric()).collect()
}

#[test]
fn each_type_does_in_each_role_what_the_notes_say() {
    use StateType::{Candidate, Follower, Leader, PreCandidate};
    let rows = table(&["type", "follower"]);
    assert_eq!(rows.len(), MessageType::ALL.len());
    let mut wrong = Vec::new();
    for (row, &t) in rows.iter().zip(MessageType::ALL) {
        assert_eq!(row[0], t.to_string());
        for (cell, role) in row[1..]
            .iter()
            .zip([Follower, PreCandidate, Candidate, Leader])
        {
            let mut r = node(role);
            let done = r.step(message(t, r.hard_state().term));
            let now = r.soft_state().raft_state;
            let mut is = format!("`{}`", word(&done));
            if now != role {
                is.push_str(&format!(" → `{now}`"));
            }
            if *cell != is {
                wrong.push(format!("{t} at a {role}: {is}, and the notes say {cell}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
