//! Read requests in one thread: a batch of them, and passes over the nodes until the leader may answer all.

use benches::payload::{Applied, payloads};
use benches::replication::{COMPACT_EVERY, Mode, config, new_log};
use bytes::Bytes;
use peer_common::args::Read;
use peer_common::report::{Clock, join};
use rawnode::RawNode;
use rawnode::raft::slog::{Discard, Logger, o};
use rawnode::raft::{Config, ReadOnlyOption, StateType};
use rawnode::raftpb::{EntryType, Message};
use rawnode::storage::Writer;
use serde_json::{Value, json};
use std::mem;
use storage_mem::MemoryStorage;

const NODES: u64 = 3;
const PAYLOAD: usize = 128;
/// Passes without an end after which something is broken.
const MAX_PASSES: u32 = 100_000;

struct Member {
    raw: RawNode<MemoryStorage>,
    log: MemoryStorage,
    applied: Applied,
    /// The index of the last applied entry.
    last: u64,
    /// How many requests this node may have answered.
    answered: u64,
}

struct Group {
    members: Vec<Member>,
    inboxes: Vec<Vec<Message>>,
    messages: u64,
    asked: u64,
    written: u64,
    compacted: u64,
}

fn settings(id: u64, lease: bool) -> Config {
    Config {
        check_quorum: lease,
        read_only_option: if lease {
            ReadOnlyOption::LeaseBased
        } else {
            ReadOnlyOption::Safe
        },
        ..config(id, Mode::Single)
    }
}

impl Member {
    fn new(id: u64, lease: bool) -> Self {
        let log = new_log(NODES);
        let logger = Logger::root(Discard, o!());
        let raw = RawNode::new(settings(id, lease), log.clone(), logger, None);
        Self {
            raw: raw.expect("the configuration is valid"),
            log,
            applied: Applied::new(PAYLOAD),
            last: 0,
            answered: 0,
        }
    }

    fn handle_ready(&mut self, inboxes: &mut [Vec<Message>]) {
        let Some(mut rd) = self.raw.ready().expect("no storage failed") else {
            return;
        };
        let mut send = |m: Message| inboxes[(m.to - 1) as usize].push(m);
        rd.drain_messages().for_each(&mut send);
        let mut latest = 0;
        for state in rd.read_states() {
            assert_eq!(state.request_ctx, self.answered.to_le_bytes()[..]);
            self.answered += 1;
            latest = state.index;
        }
        if !rd.write().is_empty() {
            Writer::append(&mut self.log, rd.write()).expect("it follows the log");
        }
        let mut p = rd.persisted();
        p.drain_messages().for_each(&mut send);
        for e in p.committed_entries() {
            // A new leader's entry is empty.
            if e.get_type() == EntryType::Normal && !e.data.is_empty() {
                self.applied.apply(&e.data);
            }
            self.last = e.index;
        }
        assert!(latest <= self.last, "what is read was applied");
        self.raw.advance(p).expect("no storage failed");
    }
}

impl Group {
    fn new(lease: bool) -> Self {
        let mut group = Self {
            members: (1..=NODES).map(|id| Member::new(id, lease)).collect(),
            inboxes: (0..NODES).map(|_| Vec::new()).collect(),
            messages: 0,
            asked: 0,
            written: 0,
            compacted: 0,
        };
        let _ = group.members[0].raw.campaign().expect("it may");
        for _ in 0..10 {
            group.pass();
        }
        let status = group.members[0].raw.basic_status();
        assert_eq!(status.soft_state.raft_state, StateType::Leader);
        group
    }

    fn pass(&mut self) {
        for (i, member) in self.members.iter_mut().enumerate() {
            let mut inbox = mem::take(&mut self.inboxes[i]);
            self.messages += inbox.len() as u64;
            for m in &mut inbox {
                let _ = member.raw.step_mut(m).expect("members' messages are taken");
            }
            inbox.clear();
            self.inboxes[i] = inbox;
            member.handle_ready(&mut self.inboxes);
        }
    }

    fn settled(&self) -> bool {
        self.members[0].answered >= self.asked
            && self
                .members
                .iter()
                .all(|m| m.applied.count() >= self.written)
    }

    /// Asks for `reads`, a batch at a time, with writes beside each batch.
    fn run(&mut self, a: &Read, reads: u64, writes: Vec<Bytes>) {
        let mut writes = writes.into_iter();
        let end = self.asked + reads;
        while self.asked < end {
            let leader = &mut self.members[0].raw;
            for data in writes.by_ref().take(a.writes as usize) {
                let _ = leader.propose(data).expect("it leads");
                self.written += 1;
            }
            for _ in 0..a.batch.min(end - self.asked) {
                let context = Bytes::copy_from_slice(&self.asked.to_le_bytes());
                let _ = leader.read_index(context).expect("it leads");
                self.asked += 1;
            }
            let mut passes = 0;
            while !self.settled() {
                self.pass();
                passes += 1;
                assert!(passes < MAX_PASSES, "no answer");
            }
            if self.written - self.compacted >= COMPACT_EVERY {
                for m in &self.members {
                    m.log.compact(m.last - 1).expect("it was applied");
                }
                self.compacted = self.written;
            }
        }
    }
}

pub(crate) fn run(a: &Read) -> (Value, Value) {
    let mut group = Group::new(a.lease);
    let warmup = a.reads / 10;
    let writes = |reads: u64| reads.div_ceil(a.batch) * a.writes;
    group.run(a, warmup, payloads(0, writes(warmup), PAYLOAD));
    let (first, total) = (writes(warmup), writes(warmup) + writes(a.reads));
    let timed = payloads(first, total, PAYLOAD);
    let before = group.messages;
    let clock = Clock::start();
    group.run(a, a.reads, timed);
    let elapsed = clock.stop();
    group.members.iter().for_each(|m| m.applied.check(total));
    let messages = (group.messages - before) as f64 / a.reads as f64;
    let figures = join([
        elapsed.rate(a.reads),
        json!({"messages_per_read": messages}),
    ]);
    let c = settings(1, a.lease);
    let how = json!({"read_only_option": if a.lease { "LeaseBased" } else { "Safe" }});
    (figures, join([crate::settings(&c), how]))
}
