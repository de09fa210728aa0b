//! Groups of three nodes in one thread, ticking, each with its leader.

use benches::replication::new_log;
use peer_common::args::Idle;
use peer_common::report::{Clock, resident};
use rawnode::RawNode;
use rawnode::raft::StateType;
use rawnode::raft::slog::{Discard, Logger, o};
use rawnode::raftpb::{Entries, Entry, Message};
use rawnode::storage::Writer;
use serde_json::{Value, json};
use std::mem;
use storage_mem::MemoryStorage;

/// The voters of a group.
const GROUP: usize = 3;

struct Member {
    raw: RawNode<MemoryStorage>,
    log: MemoryStorage,
}

type Group = [Member; GROUP];
/// Inboxes that all groups share, because a group's are empty again after its tick.
type Inboxes = [Vec<Message>; GROUP];

impl Member {
    fn new(id: u64, heartbeat: u32, logger: &Logger) -> Self {
        let log = new_log(GROUP as u64);
        let config = crate::with_heartbeat(id, heartbeat);
        let raw = RawNode::new(config, log.clone(), logger.clone(), None);
        Self {
            raw: raw.expect("the configuration is valid"),
            log,
        }
    }

    /// Handles a Ready, if there is one.
    fn handle_ready(&mut self, inboxes: &mut Inboxes) -> bool {
        let Some(mut rd) = self.raw.ready().expect("no storage failed") else {
            return false;
        };
        let mut send = |m: Message| inboxes[(m.to - 1) as usize].push(m);
        rd.drain_messages().for_each(&mut send);
        if !rd.write().is_empty() {
            Writer::append(&mut self.log, rd.write()).expect("it follows the log");
        }
        let mut p = rd.persisted();
        p.drain_messages().for_each(&mut send);
        self.raw.advance(p).expect("no storage failed");
        true
    }
}

/// What the logs of a group hold once it has a leader, without nodes.
fn bare_logs() -> [MemoryStorage; GROUP] {
    let entries: Entries = [Entry::new(1, 1, "")].into_iter().collect();
    [(); GROUP].map(|()| {
        let log = new_log(GROUP as u64);
        log.append(&entries).expect("it follows the log");
        log
    })
}

/// Steps and delivers until the group is quiet.
fn quiesce(group: &mut Group, inboxes: &mut Inboxes) {
    loop {
        let mut quiet = true;
        for i in 0..GROUP {
            let mut inbox = mem::take(&mut inboxes[i]);
            for m in inbox.drain(..) {
                let _ = group[i].raw.step(m).expect("members' messages are taken");
            }
            inboxes[i] = inbox;
            quiet &= !group[i].handle_ready(inboxes);
        }
        if quiet && inboxes.iter().all(Vec::is_empty) {
            return;
        }
    }
}

fn new_group(heartbeat: u32, logger: &Logger, inboxes: &mut Inboxes) -> Group {
    let mut group = [1, 2, 3].map(|id| Member::new(id, heartbeat, logger));
    let _ = group[0].raw.campaign().expect("a follower may campaign");
    quiesce(&mut group, inboxes);
    let status = group[0].raw.basic_status();
    assert_eq!(status.soft_state.raft_state, StateType::Leader);
    // At rest is who has no more to do for the election: a round of heartbeats later.
    for _ in 0..heartbeat {
        for member in &mut group {
            member.raw.tick().expect("no storage failed");
        }
        quiesce(&mut group, inboxes);
    }
    group
}

fn tick_all(groups: &mut [Group], inboxes: &mut Inboxes) {
    for group in groups {
        for member in group.iter_mut() {
            member.raw.tick().expect("no storage failed");
        }
        quiesce(group, inboxes);
    }
}

pub(crate) fn run(a: &Idle) -> (Value, Value) {
    let logger = Logger::root(Discard, o!());
    let heartbeat = u32::try_from(a.heartbeat).expect("a sensible number of ticks");
    let mut inboxes = Inboxes::default();
    // The first group pays for what all share.
    let mut groups = Vec::with_capacity(a.groups as usize);
    groups.push(new_group(heartbeat, &logger, &mut inboxes));
    let before = resident();
    groups.extend((1..a.groups).map(|_| new_group(heartbeat, &logger, &mut inboxes)));
    let after = resident();
    let logs: Vec<_> = (1..a.groups).map(|_| bare_logs()).collect();
    let with_logs = resident();
    drop(logs);
    for _ in 0..a.heartbeat.max(10) {
        tick_all(&mut groups, &mut inboxes);
    }
    let clock = Clock::start();
    for _ in 0..a.ticks {
        tick_all(&mut groups, &mut inboxes);
    }
    let elapsed = clock.stop();
    for member in groups.iter().flatten() {
        let status = member.raw.basic_status();
        assert_eq!(status.hard_state.term, 1, "nobody campaigned");
        assert_eq!(status.soft_state.lead, 1, "all follow, the leader holds");
    }
    let each_group = |before: Option<u64>, after: Option<u64>| {
        let both = before.zip(after);
        both.map(|(b, a)| a.saturating_sub(b) as f64)
            .map(|bytes| bytes / (a.groups - 1).max(1) as f64)
    };
    let (bytes, log_bytes) = (each_group(before, after), each_group(after, with_logs));
    let beyond_log = bytes.zip(log_bytes).map(|(all, log)| all - log);
    let each = elapsed.seconds * 1e9 / (a.groups * a.ticks) as f64;
    let figures = json!({"seconds": elapsed.seconds, "cpu_seconds": elapsed.cpu_seconds, "ns_per_group_tick": each, "resident_bytes_per_group": bytes, "of_them_log": log_bytes, "beyond_log_bytes": beyond_log});
    (
        figures,
        crate::settings(&crate::with_heartbeat(1, heartbeat)),
    )
}
