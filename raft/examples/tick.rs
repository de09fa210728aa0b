//! The smallest use of the core: three nodes, a tick at a time, until one leads; then its heartbeats. Go: (none)
//!
//! `cargo run -p tickraft --example tick`
//!
//! Time is a number here. Nothing depends on a clock or on chance: the output is the same at every run. Real programs take `tickraft-rawnode`, whose
//! types keep the order of write, send and apply that this example keeps by hand.

use std::error::Error;
use storage_mem::MemoryStorage;
use tickraft::raftpb::{ConfState, Message, Snapshot, SnapshotMetadata, describe_message};
use tickraft::slog::{Discard, Logger, o};
use tickraft::storage::{Write, Writer};
use tickraft::{Batch, Config, Raft, StateType, WriteMode};

fn main() -> Result<(), Box<dyn Error>> {
    let mut group = Vec::new();
    for id in 1..=3 {
        let log = MemoryStorage::new();
        log.apply_snapshot(&members(&[1, 2, 3]))?;
        let raft = Raft::new(
            Config::new(id, 7),
            log.clone(),
            Logger::root(Discard, o!()),
            None,
        )?;
        group.push((raft, log));
    }

    let (mut ticks, mut ticks_led) = (0, 0);
    while ticks_led < 2 {
        ticks += 1;
        let mut mail = Vec::new();
        for (raft, log) in &mut group {
            raft.tick()?;
            mail.append(&mut drive(raft, log)?);
        }
        // Deliver until nobody has anything to say: the network is faster than the clock.
        while !mail.is_empty() {
            let mut answers = Vec::new();
            for m in mail {
                println!("tick {ticks:2}: {}", describe_message(&m, None));
                let (raft, log) = &mut group[usize::try_from(m.to)? - 1];
                raft.step(m)?;
                answers.append(&mut drive(raft, log)?);
            }
            mail = answers;
        }
        let roles: Vec<_> = group
            .iter()
            .map(|(r, _)| r.soft_state().raft_state)
            .collect();
        ticks_led += usize::from(roles.contains(&StateType::Leader));
    }

    let leads = |r: &Raft<_>| r.soft_state().raft_state == StateType::Leader;
    let leaders: Vec<_> = group
        .iter()
        .filter(|(r, _)| leads(r))
        .map(|(r, _)| r.id())
        .collect();
    println!(
        "after {ticks} ticks node {leaders:?} leads, at term {}",
        group[0].0.hard_state().term
    );
    assert_eq!(leaders.len(), 1);
    for (raft, _) in &group {
        assert_eq!(
            raft.soft_state().lead,
            leaders[0],
            "all follow the same leader"
        );
    }
    Ok(())
}

/// An empty state, and who is in the group: what each member's log starts from.
fn members(voters: &[u64]) -> Snapshot {
    let conf_state = ConfState {
        voters: voters.to_vec(),
        ..ConfState::default()
    };
    Snapshot {
        metadata: SnapshotMetadata {
            conf_state,
            ..SnapshotMetadata::default()
        },
        ..Snapshot::default()
    }
}

/// Does all that the node asks for, and returns what it has to say to others.
fn drive(
    raft: &mut Raft<MemoryStorage>,
    log: &mut MemoryStorage,
) -> Result<Vec<Message>, Box<dyn Error>> {
    let (mut sent, mut batch) = (Vec::new(), Batch::default());
    while let Some(pending) = raft.pending(WriteMode::Sync)? {
        pending.accept(&mut batch);
        sent.append(&mut batch.messages);
        let write = Write {
            hard_state: batch.hard_state.take(),
            snapshot: batch.snapshot.take(),
            entries: std::mem::take(&mut batch.entries),
            must_sync: batch.must_sync,
        };
        Writer::append(log, &write)?;
        log.sync()?;
        // Only now may the node's answers leave, and count for the node itself.
        for m in batch.messages_after_append.drain(..) {
            if m.to == raft.id() {
                raft.step(m)?;
            } else {
                sent.push(m);
            }
        }
        // `batch.committed_entries` would be applied here.
        for m in [batch.append_resp.take(), batch.apply_resp.take()]
            .into_iter()
            .flatten()
        {
            raft.step(m)?;
        }
    }
    Ok(sent)
}
