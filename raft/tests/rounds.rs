//! A round says in a few words what the messages of a batch say: two groups live through the same chances, the one driven by batches whose messages
//! to the node itself are stepped, as in Go, the other by rounds. Go: rawnode.go (stepsOnAdvance)

#![allow(clippy::unwrap_used)]

mod common;
#[allow(dead_code)]
#[path = "../src/rand.rs"]
mod rand;

use common::{config, silent, storage};
use rand::Rng;
use storage_mem::MemoryStorage;
use tickraft::raftpb::{Entries, Entry, Message};
use tickraft::storage::{Write, Writer};
use tickraft::{Batch, Config, Raft, ReadState, Round, SoftState, WriteMode};

/// What a driver is told between two advances.
#[derive(Debug, Default, PartialEq)]
struct Told {
    soft_state: Option<SoftState>,
    read_states: Vec<ReadState>,
    write: Write,
    committed: Entries,
    at_once: Vec<Message>,
    after_write: Vec<Message>,
}

/// A driver by batches or by rounds. `out` is what was handed out and is not done yet.
trait Driver: Default {
    fn ready(&mut self, raft: &mut Raft<MemoryStorage>) -> Option<Told>;
    fn advance(&mut self, raft: &mut Raft<MemoryStorage>);
}

#[derive(Default)]
struct Batches(Batch, Vec<Message>);

impl Driver for Batches {
    fn ready(&mut self, raft: &mut Raft<MemoryStorage>) -> Option<Told> {
        raft.pending(WriteMode::Sync).unwrap()?.accept(&mut self.0);
        let b = &mut self.0;
        let (own, others) = b
            .messages_after_append
            .drain(..)
            .partition(|m| m.to == raft.id());
        self.1 = own;
        self.1.extend(b.append_resp.take());
        self.1.extend(b.apply_resp.take());
        Some(Told {
            soft_state: b.soft_state,
            read_states: std::mem::take(&mut b.read_states),
            write: Write {
                hard_state: b.hard_state,
                snapshot: b.snapshot.clone(),
                entries: b.entries.clone(),
                must_sync: b.must_sync,
            },
            committed: b.committed_entries.clone(),
            at_once: std::mem::take(&mut b.messages),
            after_write: others,
        })
    }

    fn advance(&mut self, raft: &mut Raft<MemoryStorage>) {
        for m in self.1.drain(..) {
            raft.step(m).unwrap();
        }
    }
}

#[derive(Default)]
struct Rounds(Round);

impl Driver for Rounds {
    fn ready(&mut self, raft: &mut Raft<MemoryStorage>) -> Option<Told> {
        // A node that was at rest when it was asked counts ticks in a shorter way; what the others are told must not differ.
        let at_rest = raft.at_rest();
        let some = raft.next_round(&mut self.0).unwrap();
        assert!(!(at_rest && some), "at rest, and something to do");
        let r = &mut self.0;
        some.then(|| Told {
            soft_state: r.soft_state,
            read_states: std::mem::take(&mut r.read_states),
            write: r.write.clone(),
            committed: r.committed_entries.clone(),
            at_once: std::mem::take(&mut r.messages),
            after_write: std::mem::take(&mut r.messages_after_append),
        })
    }

    fn advance(&mut self, raft: &mut Raft<MemoryStorage>) {
        raft.advance(&mut self.0).unwrap();
    }
}

struct Member<D> {
    raft: Raft<MemoryStorage>,
    disk: MemoryStorage,
    driver: D,
    /// Whether a Ready is out.
    out: bool,
}

struct Group<D> {
    members: Vec<Member<D>>,
    net: Vec<Message>,
}

impl<D: Driver> Group<D> {
    fn new(set: &impl Fn(&mut Config)) -> Self {
        let member = |id| {
            let mut c = config(id);
            set(&mut c);
            let disk = storage(&[1, 2, 3], &[]);
            Member {
                raft: Raft::new(c, disk.clone(), silent(), None).unwrap(),
                disk,
                driver: D::default(),
                out: false,
            }
        };
        Self {
            members: (1..=3).map(member).collect(),
            net: Vec::new(),
        }
    }

    /// Does one of the things that may happen; what there is to see of it.
    fn act(&mut self, act: u64, pick: u64) -> String {
        let at = usize::try_from(pick % 3).unwrap();
        let m = &mut self.members[at];
        match act {
            0 => format!("{:?}", m.raft.tick()),
            1 | 2 => format!("{:?}", m.raft.propose(format!("p{pick}").into())),
            3 => {
                let entries = (0..1 + pick % 12).map(|i| Entry::proposal(format!("{pick}.{i}")));
                format!("{:?}", m.raft.propose_entries(entries.collect()))
            }
            4..=6 if m.out => {
                m.driver.advance(&mut m.raft);
                m.out = false;
                format!("advanced: {:?}", m.raft.basic_status())
            }
            4..=6 => {
                let told = m.driver.ready(&mut m.raft);
                if let Some(t) = &told {
                    Writer::append(&mut m.disk, &t.write).unwrap();
                    self.net
                        .extend(t.at_once.iter().chain(&t.after_write).cloned());
                    m.out = true;
                }
                format!("{told:?}")
            }
            _ if self.net.is_empty() => String::new(),
            act => {
                // Now and then out of order, lost or doubled.
                let n = self.net.len();
                let place = if act == 11 {
                    usize::try_from(pick).unwrap() % n
                } else {
                    0
                };
                let msg = self.net.remove(place);
                if act == 12 && pick.is_multiple_of(4) {
                    return "lost".into();
                }
                if act == 12 && pick % 4 == 1 {
                    self.net.push(msg.clone());
                }
                let to = usize::try_from(msg.to - 1).unwrap();
                format!("{:?}", self.members[to].raft.step(msg))
            }
        }
    }
}

#[test]
fn rounds_say_what_batches_say() {
    let mut committed = 0;
    for seed in 1..=60_u64 {
        let set = |c: &mut Config| {
            c.pre_vote = seed.is_multiple_of(2);
            c.batch_append = seed.is_multiple_of(5);
            c.max_size_per_msg = if seed.is_multiple_of(3) { 40 } else { u64::MAX };
            c.max_committed_size_per_ready = if seed.is_multiple_of(4) { 60 } else { u64::MAX };
            c.max_uncommitted_entries_size = if seed.is_multiple_of(7) { 200 } else { 0 };
            c.max_inflight_msgs = if seed.is_multiple_of(6) { 2 } else { 256 };
        };
        let mut rng = Rng::new(seed, 1);
        let (mut a, mut b) = (Group::<Batches>::new(&set), Group::<Rounds>::new(&set));
        for step in 0..3_000 {
            let (act, pick) = (rng.below(13), rng.below(1 << 32));
            // Ticks are rare, or nobody leads for long.
            let act = if act == 0 && !pick.is_multiple_of(3) {
                4
            } else {
                act
            };
            assert_eq!(
                a.act(act, pick),
                b.act(act, pick),
                "seed {seed}, step {step}"
            );
        }
        committed += a.members[0].raft.hard_state().commit;
    }
    assert!(
        committed > 10_000,
        "only {committed} entries were committed"
    );
}
