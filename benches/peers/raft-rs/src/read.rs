//! Read requests in one thread: a batch of them, and passes over the nodes until the leader may answer all.

use std::iter;
use std::mem;

use bytes::Bytes;
use peer_common::args::Read;
use peer_common::payload::Applied;
use peer_common::report::{Clock, join};
use raft::eraftpb::Message;
use raft::storage::MemStorage;
use raft::{Config, RawNode, ReadOnlyOption, StateRole};
use serde_json::{Value, json};
use slog::{Discard, Logger, o};

const NODES: u64 = 3;
const PAYLOAD: usize = 128;

struct Member {
    raw: RawNode<MemStorage>,
    applied: Applied,
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

fn config(id: u64, lease: bool) -> Config {
    Config {
        check_quorum: lease,
        read_only_option: if lease {
            ReadOnlyOption::LeaseBased
        } else {
            ReadOnlyOption::Safe
        },
        ..crate::config(id, 1, false)
    }
}

impl Group {
    fn new(lease: bool) -> Self {
        let logger = Logger::root(Discard, o!());
        let member = |id| Member {
            raw: crate::new_node(&config(id, lease), NODES, &logger),
            applied: Applied::new(PAYLOAD),
            answered: 0,
        };
        let mut group = Self {
            members: (1..=NODES).map(member).collect(),
            inboxes: (0..NODES).map(|_| Vec::new()).collect(),
            messages: 0,
            asked: 0,
            written: 0,
            compacted: 0,
        };
        for member in &mut group.members {
            member.applied.whole = false;
        }
        group.members[0].raw.campaign().expect("it may");
        for _ in 0..10 {
            group.pass();
        }
        assert_eq!(group.members[0].raw.raft.state, StateRole::Leader);
        group
    }

    fn pass(&mut self) {
        for (i, member) in self.members.iter_mut().enumerate() {
            let Member {
                raw,
                applied,
                answered,
            } = member;
            let mut inbox = mem::take(&mut self.inboxes[i]);
            self.messages += inbox.len() as u64;
            for message in inbox.drain(..) {
                raw.step(message).expect("members' messages are accepted");
            }
            self.inboxes[i] = inbox;
            if raw.has_ready() {
                let send = |messages| {
                    crate::deliver(messages, &mut self.inboxes, false);
                };
                let mut latest = 0;
                let answer = |state: raft::ReadState| {
                    assert_eq!(state.request_ctx, answered.to_le_bytes());
                    *answered += 1;
                    latest = state.index;
                };
                crate::handle_ready(raw, send, answer, |entry| crate::apply(applied, entry));
                assert!(
                    latest <= raw.raft.raft_log.applied,
                    "what is read was applied"
                );
            }
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
                crate::propose(leader, iter::once(data));
                self.written += 1;
            }
            for _ in 0..a.batch.min(end - self.asked) {
                leader.read_index(self.asked.to_le_bytes().to_vec());
                self.asked += 1;
            }
            let mut passes = 0;
            while !self.settled() {
                self.pass();
                passes += 1;
                assert!(passes < crate::MAX_PASSES, "no answer");
            }
            if self.written - self.compacted >= crate::COMPACT_EVERY {
                for m in &mut self.members {
                    let applied = m.raw.raft.raft_log.applied;
                    let compacted = m.raw.mut_store().wl().compact(applied);
                    compacted.expect("applied entries may go");
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
    group.run(a, warmup, crate::payloads(0, writes(warmup), PAYLOAD));
    let (first, total) = (writes(warmup), writes(warmup) + writes(a.reads));
    let timed = crate::payloads(first, total, PAYLOAD);
    group.messages = 0;
    let clock = Clock::start();
    group.run(a, a.reads, timed);
    let elapsed = clock.stop();
    for (member, id) in group.members.iter().zip(1..) {
        member.applied.check(total, id);
    }
    let messages = group.messages as f64 / a.reads as f64;
    let figures = join([
        elapsed.rate(a.reads),
        json!({"messages_per_read": messages}),
    ]);
    let how = json!({"read_only_option": if a.lease { "LeaseBased" } else { "Safe" }});
    (figures, join([crate::settings(&config(1, a.lease)), how]))
}
