//! How time reaches a node, layer by layer: ticker → Node::tick → tickc → RawNode::tick → tick_election or tick_heartbeat. Go: (none)
//!
//! `cargo run -p tickraft-node --example ticker`
//!
//! Three nodes in one process and a ticker. Nothing but the ticker looks at a clock: no node would ever notice that time passes if it were not told.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;
use storage_mem::MemoryStorage;
use tickraft_node::raft::slog::{Discard, Logger, o};
use tickraft_node::raft::{Config, StateType};
use tickraft_node::raftpb::{
    ConfState, Message, MessageType, Snapshot, SnapshotMetadata, describe_message,
};
use tickraft_node::storage::Writer;
use tickraft_node::{Node, restart_node};

const LAYERS: &str = "
  1  the ticker        a loop in this program: sleeps, then calls Node::tick of every node
  2  Node::tick        never blocks: puts a tick into tickc; when that is full, logs so and drops it
  3  tickc             128 places; the node's own thread takes a tick a turn, messages before it
  4  RawNode::tick     counts, as Raft::tick:
  5  tick_election     followers and candidates: after 10 to 19 ticks without a leader, MsgHup to itself, an election
     tick_heartbeat    the leader: at every tick MsgBeat to itself, which sends MsgHeartbeat to the others
";

fn main() -> Result<(), Box<dyn Error>> {
    println!("{LAYERS}");
    let logs = [(); 3].map(|()| MemoryStorage::new());
    let mut nodes = Vec::new();
    for (id, log) in (1..).zip(&logs) {
        log.apply_snapshot(&members(&[1, 2, 3]))?;
        let config = Config::new(id, 7);
        let logger = Logger::root(Discard, o!());
        nodes.push(restart_node(config, log.clone(), logger, None)?);
    }
    let heartbeats = Arc::new(AtomicUsize::new(0));
    let applications: Vec<_> = (nodes.iter().zip(logs))
        .map(|(n, log)| {
            let (node, peers, heartbeats) = (n.clone(), nodes.clone(), Arc::clone(&heartbeats));
            thread::spawn(move || application(&node, &peers, log, &heartbeats))
        })
        .collect();

    // Layer 1. Everything else happens because of it.
    let mut ticks = 0;
    while heartbeats.load(Ordering::Relaxed) < 4 {
        thread::sleep(Duration::from_millis(20));
        ticks += 1;
        println!("tick {ticks}");
        for node in &nodes {
            node.tick()?;
        }
    }

    let mut leaders = 0;
    for node in &nodes {
        let status = node.status()?.basic;
        println!(
            "node {}: {} at term {}, its leader is {}",
            status.id, status.soft_state.raft_state, status.hard_state.term, status.soft_state.lead
        );
        leaders += usize::from(status.soft_state.raft_state == StateType::Leader);
    }
    assert!(leaders >= 1, "heartbeats come from a leader");
    nodes.iter().for_each(Node::stop);
    for a in applications {
        a.join().map_err(|_| "an application panicked")??;
    }
    Ok(())
}

/// What the application does, on a thread a node: write, send, apply, advance.
fn application(
    node: &Node,
    peers: &[Node],
    mut log: MemoryStorage,
    heartbeats: &AtomicUsize,
) -> Result<(), tickraft_node::storage::Error> {
    let send = |m: Message| {
        println!("        {}", describe_message(&m, None));
        if m.msg_type == MessageType::MsgHeartbeat {
            heartbeats.fetch_add(1, Ordering::Relaxed);
        }
        // What a stopped node would have received is lost, as on any network.
        let _ = peers.iter().find(|p| p.id() == m.to).map(|p| p.step(m));
    };
    while let Ok(mut rd) = node.ready().recv() {
        if let Some(ss) = rd.soft_state() {
            println!(
                "    node {}: {}, leader {}",
                node.id(),
                ss.raft_state,
                ss.lead
            );
        }
        rd.drain_messages().for_each(send);
        Writer::append(&mut log, rd.write())?;
        if rd.must_sync() {
            log.sync()?;
        }
        let mut p = rd.persisted();
        p.drain_messages().for_each(send);
        // Here the committed entries would be applied: p.committed_entries().
        if node.advance(p).is_err() {
            break; // stopped
        }
    }
    Ok(())
}

/// An empty state, and who is in the group: what each member's log starts from.
fn members(voters: &[u64]) -> Snapshot {
    let conf_state = ConfState {
        voters: voters.to_vec(),
        ..ConfState::default()
    };
    let metadata = SnapshotMetadata {
        conf_state,
        ..SnapshotMetadata::default()
    };
    Snapshot {
        metadata,
        ..Snapshot::default()
    }
}
