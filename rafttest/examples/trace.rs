//! Writes the trace of a small cluster's life: two elections, replication, a new member, the snapshot that it starts from. Go: tla/README.md
//!
//! `cargo run -p tickraft-rafttest --example trace > trace.ndjson`
//!
//! The story goes to standard error. docs/traces.md says how etcd's TLA+ trace specification is run on the trace.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{self, Write as _};
use std::sync::Arc;
use storage_mem::MemoryStorage;
use tickraft_rafttest::TraceWriter;
use tickraft_rafttest::raft::{Config, TraceEventType, Tracer};
use tickraft_rafttest::raftpb::{
    ConfChange, ConfChangeType, ConfState, Message, MessageType, Snapshot, SnapshotMetadata,
    SnapshotStatus, unmarshal_conf_change,
};
use tickraft_rafttest::rawnode::RawNode;
use tickraft_rafttest::rawnode::storage::Writer;
use tickraft_rafttest::slog::{Discard, Logger, o};

/// A node, its log, its configuration, and the state machine: the list of what was applied.
struct Member {
    node: RawNode<MemoryStorage>,
    log: MemoryStorage,
    conf_state: ConfState,
    applied: Vec<String>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let trace = Arc::new(TraceWriter::new(Vec::new()));
    live(&trace)?;
    let trace = Arc::into_inner(trace).ok_or("a node is left")?.finish()?;
    check(&String::from_utf8(trace.clone())?)?;
    io::stdout().write_all(&trace)?;
    Ok(())
}

fn live(trace: &Arc<TraceWriter<Vec<u8>>>) -> Result<(), Box<dyn Error>> {
    // Three members start from the same snapshot: an empty state, and who is in the group.
    let start = Snapshot {
        metadata: SnapshotMetadata {
            conf_state: ConfState {
                voters: vec![1, 2, 3],
                ..ConfState::default()
            },
            index: 1,
            term: 1,
        },
        ..Snapshot::default()
    };
    let mut group = Vec::new();
    for id in 1..=3 {
        group.push(Member::new(id, Some(&start), trace.clone())?);
    }

    eprintln!("-- 1 is elected and replicates");
    group[0].node.campaign()?;
    exchange(&mut group, |_| true)?;
    for word in ["one", "two", "three"] {
        group[0].node.propose(word.into())?;
    }
    exchange(&mut group, |_| true)?;

    eprintln!("-- 2 takes over");
    group[1].node.campaign()?;
    exchange(&mut group, |_| true)?;
    group[1].node.propose("four".into())?;
    exchange(&mut group, |_| true)?;

    eprintln!("-- 4 is added; its log is empty, and the leader's begins later");
    group[1].node.propose_conf_change(&ConfChange {
        node_id: 4,
        change_type: ConfChangeType::AddNode,
        ..ConfChange::default()
    })?;
    exchange(&mut group, |_| true)?;
    group[1].compact()?;
    group.push(Member::new(4, None, trace.clone())?);

    // A leader learns that a snapshot arrived from the answer to it or from the application's report. etcd's specification knows only the report,
    // so here the answer gets lost.
    eprintln!(
        "-- a heartbeat finds it; the answer to its snapshot is lost, and the application reports it"
    );
    group[1].node.tick()?;
    let mut installed = false;
    exchange(&mut group, |m| {
        installed |= m.msg_type == MessageType::MsgSnap;
        !(installed && m.from == 4)
    })?;
    group[1].node.report_snapshot(4, SnapshotStatus::Finish)?;
    group[1].node.tick()?;
    exchange(&mut group, |_| true)?;
    group[1].node.propose("five".into())?;
    exchange(&mut group, |_| true)?;

    for m in &group {
        assert_eq!(
            m.applied,
            ["one", "two", "three", "four", "five"],
            "{:?}",
            m.node
        );
    }
    assert!(installed);
    eprintln!("-- all four have applied {:?}", group[0].applied);
    Ok(())
}

impl Member {
    fn new(
        id: u64,
        start: Option<&Snapshot>,
        tracer: Arc<dyn Tracer>,
    ) -> Result<Self, Box<dyn Error>> {
        let log = MemoryStorage::new();
        if let Some(start) = start {
            log.apply_snapshot(start)?;
        }
        let logger = Logger::root(Discard, o!());
        let node = RawNode::new(Config::new(id, 7), log.clone(), logger, Some(tracer))?;
        let conf_state = start
            .map(|s| s.metadata.conf_state.clone())
            .unwrap_or_default();
        Ok(Self {
            node,
            log,
            conf_state,
            applied: Vec::new(),
        })
    }

    /// The loop that every application has: write, send, apply, advance.
    fn handle_ready(&mut self, mail: &mut Vec<Message>) -> Result<(), Box<dyn Error>> {
        while let Some(mut rd) = self.node.ready()? {
            mail.extend(rd.drain_messages());
            Writer::append(&mut self.log, rd.write())?;
            self.log.sync()?;
            if let Some(s) = &rd.write().snapshot {
                self.conf_state = s.metadata.conf_state.clone();
                let text = String::from_utf8(s.data.to_vec())?;
                self.applied = text.lines().map(str::to_owned).collect();
            }
            let mut p = rd.persisted();
            mail.extend(p.drain_messages());
            for e in p.committed_entries() {
                if let Some(change) = unmarshal_conf_change(e)? {
                    self.conf_state = self.node.apply_conf_change(&change)?;
                } else if !e.data.is_empty() {
                    // An empty entry is a new leader's.
                    self.applied.push(String::from_utf8(e.data.to_vec())?);
                }
            }
            self.node.advance(p)?;
        }
        Ok(())
    }

    /// Makes a snapshot of what is applied and lets go of the log before it.
    fn compact(&mut self) -> Result<(), Box<dyn Error>> {
        let applied = self.node.basic_status().applied;
        let state = self.applied.join("\n");
        self.log
            .create_snapshot(applied, Some(self.conf_state.clone()), state)?;
        self.log.compact(applied)?;
        Ok(())
    }
}

/// Handles Readies and delivers the messages that pass, until there are none. A message to a node that is not there is lost.
fn exchange(
    group: &mut [Member],
    mut passes: impl FnMut(&Message) -> bool,
) -> Result<(), Box<dyn Error>> {
    loop {
        let mut mail = Vec::new();
        for m in group.iter_mut() {
            m.handle_ready(&mut mail)?;
        }
        if mail.is_empty() {
            return Ok(());
        }
        for m in mail.into_iter().filter(|m| passes(m)) {
            if let Some(to) = group.get_mut(usize::try_from(m.to)? - 1) {
                to.node.step(m)?;
            }
        }
    }
}

/// Every event that etcd emits must have occurred.
fn check(trace: &str) -> Result<(), Box<dyn Error>> {
    let mut counts = BTreeMap::new();
    for line in trace.lines() {
        let event = line
            .split(r#""event":{"name":""#)
            .nth(1)
            .and_then(|rest| rest.split('"').next());
        *counts
            .entry(event.ok_or("a line without an event")?)
            .or_insert(0) += 1;
    }
    use TraceEventType::{ReceiveSnapshot, SendSnapshot};
    for event in TraceEventType::ALL {
        let never = matches!(event, SendSnapshot | ReceiveSnapshot);
        assert_eq!(counts.contains_key(event.as_str()), !never, "{event}");
    }
    eprintln!("{counts:#?}");
    Ok(())
}
