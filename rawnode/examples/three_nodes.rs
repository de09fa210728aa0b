//! Three nodes in one thread, message by message: an election, then `set x=1` from proposal to application. Go: (none)
//!
//! `cargo run -p tickraft-rawnode --example three_nodes`
//!
//! Nothing here depends on time or chance: the output is the same at every run.

use std::error::Error;
use storage_mem::MemoryStorage;
use tickraft_rawnode::RawNode;
use tickraft_rawnode::raft::slog::{Discard, Logger, o};
use tickraft_rawnode::raft::{Config, StateType};
use tickraft_rawnode::raftpb::{
    ConfState, Message, Snapshot, SnapshotMetadata, describe_entry, describe_message,
};
use tickraft_rawnode::storage::Writer;

/// A node, its log, and the state machine: here only the list of what was applied.
struct Member {
    node: RawNode<MemoryStorage>,
    log: MemoryStorage,
    applied: Vec<String>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut group = [1, 2, 3].map(member);

    println!("-- time passes; nobody hears of a leader, until someone asks for votes");
    while !group.iter().any(leads) {
        for m in &mut group {
            m.node.tick()?;
        }
        exchange(&mut group)?;
    }
    let leader = group.iter().position(leads).ok_or("no leader")?;
    let follower = (leader + 1) % 3;
    println!("-- node {} leads", leader + 1);

    println!(
        "-- a client asks node {}, which only follows, for set x=1",
        follower + 1
    );
    let outcome = group[follower].node.propose("set x=1".into())?;
    println!("   {outcome:?}");
    exchange(&mut group)?;
    // The followers learn of the commit with the leader's next message.
    for m in &group {
        assert_eq!(m.applied, ["", "set x=1"], "{:?}", m.node);
    }
    println!("-- all three have applied {:?}", group[0].applied);
    Ok(())
}

fn member(id: u64) -> Member {
    // All members start from the same snapshot: an empty state, and who is in the group.
    let log = MemoryStorage::new();
    let conf_state = ConfState {
        voters: vec![1, 2, 3],
        ..ConfState::default()
    };
    let metadata = SnapshotMetadata {
        conf_state,
        ..SnapshotMetadata::default()
    };
    let start = Snapshot {
        metadata,
        ..Snapshot::default()
    };
    log.apply_snapshot(&start).expect("the log is empty");
    let config = Config::new(id, 7);
    let node = RawNode::new(config, log.clone(), Logger::root(Discard, o!()), None)
        .expect("the configuration is sound and the log readable");
    Member {
        node,
        log,
        applied: Vec::new(),
    }
}

fn leads(m: &Member) -> bool {
    m.node.basic_status().soft_state.raft_state == StateType::Leader
}

/// Handles Readies and delivers messages until there are none.
fn exchange(group: &mut [Member; 3]) -> Result<(), Box<dyn Error>> {
    loop {
        let mut mail = Vec::new();
        for m in group.iter_mut() {
            handle_ready(m, &mut mail)?;
        }
        if mail.is_empty() {
            return Ok(());
        }
        for m in mail {
            println!("   {}", describe_message(&m, None));
            let to = &mut group[usize::try_from(m.to)? - 1];
            to.node.step(m)?;
        }
    }
}

/// The loop that every application has: send, write, send what waited for that, apply, advance.
fn handle_ready(m: &mut Member, mail: &mut Vec<Message>) -> Result<(), Box<dyn Error>> {
    while let Some(mut rd) = m.node.ready()? {
        mail.extend(rd.drain_messages());
        Writer::append(&mut m.log, rd.write())?;
        if rd.must_sync() {
            m.log.sync()?;
        }
        let mut p = rd.persisted();
        mail.extend(p.drain_messages());
        for e in p.committed_entries() {
            println!(
                "   {} applies {}",
                m.node.raft().id(),
                describe_entry(e, None)
            );
            m.applied.push(String::from_utf8(e.data.to_vec())?);
        }
        m.node.advance(p)?;
    }
    Ok(())
}
