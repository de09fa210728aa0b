//! Groups of three nodes in one thread: at rest, with something to do, and after their leader's death.

use benches::payload::payloads;
use benches::replication::new_log;
use peer_common::args::{Failover, Groups, Idle};
use peer_common::report::{Clock, failover, resident, resident_each};
use rawnode::RawNode;
use rawnode::raft::slog::{Discard, Logger, o};
use rawnode::raft::{Config, StateType};
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
    fn new(config: Config, logger: &Logger) -> Self {
        let log = new_log(GROUP as u64);
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
    quiesce_without(0, group, inboxes);
}

/// The same when the first `dead` are dead: what is sent to them is lost.
fn quiesce_without(dead: usize, group: &mut Group, inboxes: &mut Inboxes) {
    loop {
        let mut quiet = true;
        for i in dead..GROUP {
            let mut inbox = mem::take(&mut inboxes[i]);
            for m in inbox.drain(..) {
                let _ = group[i].raw.step(m).expect("members' messages are taken");
            }
            inboxes[i] = inbox;
            quiet &= !group[i].handle_ready(inboxes);
        }
        if quiet && inboxes[dead..].iter().all(Vec::is_empty) {
            inboxes[..dead].iter_mut().for_each(Vec::clear);
            return;
        }
    }
}

fn new_group(heartbeat: u32, logger: &Logger, inboxes: &mut Inboxes) -> Group {
    let member = |id| Member::new(crate::with_heartbeat(id, heartbeat), logger);
    led([1, 2, 3].map(member), heartbeat, inboxes)
}

/// The group with its first node as its leader.
fn led(mut group: Group, heartbeat: u32, inboxes: &mut Inboxes) -> Group {
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
    let bytes = resident_each(before, a.groups - 1);
    let before = resident();
    let logs: Vec<_> = (1..a.groups).map(|_| bare_logs()).collect();
    let log_bytes = resident_each(before, a.groups - 1);
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
    let beyond_log = bytes.zip(log_bytes).map(|(all, log)| all - log);
    let each = elapsed.seconds * 1e9 / (a.groups * a.ticks) as f64;
    let figures = json!({"seconds": elapsed.seconds, "cpu_seconds": elapsed.cpu_seconds, "ns_per_group_tick": each, "resident_bytes_per_group": bytes, "of_them_log": log_bytes, "beyond_log_bytes": beyond_log});
    (
        figures,
        crate::settings(&crate::with_heartbeat(1, heartbeat)),
    )
}

/// One proposal a group, then the next group.
pub(crate) fn loaded(a: &Groups) -> (Value, Value) {
    let logger = Logger::root(Discard, o!());
    let mut inboxes = Inboxes::default();
    let mut groups: Vec<_> = (0..a.groups)
        .map(|_| new_group(1, &logger, &mut inboxes))
        .collect();
    let count = a.groups * a.turns;
    let size = usize::try_from(a.payload).expect("it fits into memory");
    let mut all = payloads(0, count, size).into_iter();
    let clock = Clock::start();
    for _ in 0..a.turns {
        for (group, data) in groups.iter_mut().zip(&mut all) {
            let _ = group[0].raw.propose(data).expect("it leads");
            quiesce(group, &mut inboxes);
        }
    }
    let elapsed = clock.stop();
    for status in groups.iter().flatten().map(|m| m.raw.basic_status()) {
        // After the snapshot at 1 and the leader's own entry at 2. A follower may not have heard of the last commit.
        let commit = status.hard_state.commit;
        assert!(commit > a.turns, "all but the last are committed");
    }
    (
        elapsed.rate(count),
        crate::settings(&crate::with_heartbeat(1, 1)),
    )
}

/// Ticks from a leader's death until another one has committed its first entry.
pub(crate) fn failovers(a: &Failover) -> (Value, Value) {
    let logger = Logger::root(Discard, o!());
    let mut inboxes = Inboxes::default();
    let mut groups: Vec<Group> = (0..a.leaders)
        .map(|i| {
            let config = |id| Config {
                seed: i,
                ..crate::with_heartbeat(id, 1)
            };
            let group = [1, 2, 3].map(|id| Member::new(config(id), &logger));
            led(group, 1, &mut inboxes)
        })
        .collect();
    let mut ticks = Vec::with_capacity(groups.len());
    let clock = Clock::start();
    for group in &mut groups {
        let before = group[0].raw.basic_status().hard_state.commit;
        let mut n = 0;
        while !group[1..].iter().any(|m| leads_beyond(before, m)) {
            n += 1;
            assert!(n < 10_000, "nobody is elected");
            for member in &mut group[1..] {
                member.raw.tick().expect("no storage failed");
            }
            quiesce_without(1, group, &mut inboxes);
        }
        ticks.push(n);
    }
    let elapsed = clock.stop();
    (
        failover(ticks, elapsed),
        crate::settings(&crate::with_heartbeat(1, 1)),
    )
}

fn leads_beyond(commit: u64, m: &Member) -> bool {
    let status = m.raw.basic_status();
    status.soft_state.raft_state == StateType::Leader && status.hard_state.commit > commit
}
