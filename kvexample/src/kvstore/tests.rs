//! Tests of the state machine: against a plain map, twice the same, and across snapshots.

use super::*;
use proptest::prelude::*;
use raftpb::conf_changes_from_string;
use std::collections::BTreeMap;

/// A request of the generated histories; small domains, so that keys, clients and sequence numbers collide.
#[derive(Clone, Debug)]
enum Step {
    Put { key: u8, value: u8, expect: Want },
    Delete { key: u8, expect: Want },
    Publish { id: u64 },
    Member { change: String },
    Empty,
    Garbage,
}

/// A condition, relative to the state that it meets.
#[derive(Clone, Copy, Debug)]
enum Want {
    Anything,
    Exists,
    Absent,
    Current,
    Wrong,
}

type Request = (Step, Option<(u8, u64)>);

fn want() -> impl Strategy<Value = Want> {
    use Want::*;
    prop_oneof![
        4 => Just(Anything),
        1 => Just(Exists),
        1 => Just(Absent),
        2 => Just(Current),
        1 => Just(Wrong)
    ]
}

fn request() -> impl Strategy<Value = Request> {
    let step = prop_oneof![
        6 => (0..6u8, any::<u8>(), want()).prop_map(|(key, value, expect)| Step::Put { key, value, expect }),
        3 => (0..6u8, want()).prop_map(|(key, expect)| Step::Delete { key, expect }),
        1 => (1..5u64).prop_map(|id| Step::Publish { id }),
        2 => ("[vlr]", 1..5u8).prop_map(|(kind, id)| Step::Member { change: format!("{kind}{id}") }),
        1 => Just(Step::Empty),
        1 => Just(Step::Garbage),
    ];
    (step, proptest::option::of((0..3u8, 1..60u64)))
}

/// Applies requests one after another, as a node's loop would.
#[derive(Default)]
struct Machine {
    state: State,
    conf: ConfState,
}

impl Machine {
    fn entry(&self, (step, id): &Request) -> (Entry, Option<ConfChangeV2>) {
        let index = self.state.index() + 1;
        let client = id.map_or(String::new(), |(c, _)| format!("client-{c}"));
        let request = id.map(|(_, seq)| RequestId {
            client: &client,
            seq,
            fingerprint: 0,
        });
        let origin = Origin {
            node: 1,
            number: index,
        };
        let name = |key: &u8| vec![*key, 0, 0xff];
        let command = |op| {
            Entry::new(
                1,
                index,
                Command {
                    origin,
                    request,
                    op,
                }
                .encode(),
            )
        };
        let entry = match step {
            Step::Put { key, value, expect } => command(Op::Put {
                key: &name(key),
                value: &[*value],
                expect: self.resolve(*key, *expect),
            }),
            Step::Delete { key, expect } => command(Op::Delete {
                key: &name(key),
                expect: self.resolve(*key, *expect),
            }),
            Step::Publish { id } => command(Op::Publish {
                id: *id,
                http: "h:80",
                incarnation: 7,
            }),
            Step::Empty => Entry::new(1, index, ""),
            Step::Garbage => Entry::new(1, index, &b"\x01\x09nonsense"[..]),
            Step::Member { change } => {
                let changes = conf_changes_from_string(change).unwrap();
                let id = changes[0].node_id;
                let addr = if change.starts_with('l') {
                    format!("h:{id}")
                } else {
                    String::new()
                };
                let context = MemberContext {
                    origin,
                    request,
                    id,
                    addr: &addr,
                    incarnation: 0,
                };
                let cc = ConfChangeV2 {
                    changes,
                    context: context.encode(),
                    ..ConfChangeV2::default()
                };
                return (Entry::new(1, index, ""), Some(cc));
            }
        };
        (entry, None)
    }

    fn resolve(&self, key: u8, expect: Want) -> Expect {
        let current = self.state.get(&[key, 0, 0xff]).map_or(0, |s| s.index);
        match expect {
            Want::Anything => Expect::Anything,
            Want::Exists => Expect::Exists,
            Want::Absent => Expect::Index(0),
            Want::Current => Expect::Index(current),
            Want::Wrong => Expect::Index(current + 1),
        }
    }

    fn apply(&mut self, (e, cc): &(Entry, Option<ConfChangeV2>)) -> Option<Applied> {
        let done = match cc {
            None => self.state.apply(e),
            Some(cc) => {
                let verdict = self.state.check_change(cc, &self.conf);
                if verdict.is_ok() && e.index > self.state.index() {
                    apply_to_conf(&mut self.conf, cc);
                }
                self.state.apply_change(e, cc, verdict)
            }
        };
        done.unwrap().map(|(_, applied)| applied)
    }
}

fn apply_to_conf(conf: &mut ConfState, cc: &ConfChangeV2) {
    for single in &cc.changes {
        let id = single.node_id;
        conf.voters.retain(|v| *v != id);
        conf.learners.retain(|v| *v != id);
        match single.change_type {
            raftpb::ConfChangeType::AddNode => conf.voters.push(id),
            raftpb::ConfChangeType::AddLearnerNode => conf.learners.push(id),
            _ => {}
        }
    }
}

fn machine_with_a_voter() -> Machine {
    let mut m = Machine::default();
    let context = MemberContext {
        origin: Origin::default(),
        request: None,
        id: 1,
        addr: "h:1",
        incarnation: 0,
    };
    let cc = ConfChangeV2 {
        changes: conf_changes_from_string("v1").unwrap(),
        context: context.encode(),
        ..ConfChangeV2::default()
    };
    m.apply(&(Entry::new(1, 1, ""), Some(cc)));
    assert_eq!(m.conf.voters, [1]);
    m
}

/// The same semantics, written as simply as possible: what each key holds, and the first answer to each request id within its window.
#[derive(Default)]
struct Model {
    keys: BTreeMap<u8, (u8, u64)>,
    answers: BTreeMap<(u8, u64), Applied>,
}

impl Model {
    fn forgotten(&self, client: u8, seq: u64) -> bool {
        let highest = self
            .answers
            .keys()
            .filter(|k| k.0 == client)
            .map(|k| k.1)
            .max();
        seq + WINDOW <= highest.unwrap_or(0)
    }

    fn apply(&mut self, index: u64, (step, id): &Request) -> Option<Applied> {
        if matches!(step, Step::Empty | Step::Garbage) {
            return None;
        }
        let at = |outcome| Applied {
            index,
            term: 1,
            outcome,
        };
        if let Some((client, seq)) = *id {
            if self.forgotten(client, seq) {
                return Some(at(Outcome::RequestTooOld));
            }
            if let Some(first) = self.answers.get(&(client, seq)) {
                return Some(*first);
            }
        }
        let applied = at(self.run(index, step)?);
        if let Some(id) = id {
            self.answers.insert(*id, applied);
        }
        Some(applied)
    }

    fn run(&mut self, index: u64, step: &Step) -> Option<Outcome> {
        let (key, expect) = match step {
            Step::Put { key, expect, .. } | Step::Delete { key, expect } => (*key, *expect),
            Step::Publish { .. } => return Some(Outcome::Published),
            _ => return None,
        };
        let current = self.keys.get(&key).map_or(0, |v| v.1);
        let holds = match expect {
            Want::Anything | Want::Current => true,
            Want::Exists => current != 0,
            Want::Absent => current == 0,
            Want::Wrong => false,
        };
        if !holds {
            return Some(Outcome::ConditionFailed { current });
        }
        Some(match step {
            Step::Put { value, .. } => {
                self.keys.insert(key, (*value, index));
                Outcome::Written
            }
            _ => Outcome::Deleted {
                existed: self.keys.remove(&key).is_some(),
            },
        })
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn a_history_gives_what_a_plain_map_gives(requests in proptest::collection::vec(request(), 0..120)) {
        let (mut machine, mut model) = (machine_with_a_voter(), Model::default());
        for r in &requests {
            if matches!(r.0, Step::Member { .. }) {
                continue; // Membership has its own rules, tested beside them.
            }
            let entry = machine.entry(r);
            let index = entry.0.index;
            prop_assert_eq!(machine.apply(&entry), model.apply(index, r));
        }
        let held: Vec<_> = machine.state.iter().map(|(k, v)| (k[0], (v.value[0], v.index))).collect();
        prop_assert_eq!(held, model.keys.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn applying_twice_is_applying_once(requests in proptest::collection::vec(request(), 0..120), back in 1..20usize) {
        let (mut once, mut twice) = (machine_with_a_voter(), machine_with_a_voter());
        let mut log = Vec::new();
        for r in &requests {
            let entry = once.entry(r);
            once.apply(&entry);
            twice.apply(&entry);
            log.push(entry);
            for old in log.iter().rev().take(back) {
                prop_assert_eq!(twice.apply(old), None);
            }
        }
        prop_assert_eq!(&once.state, &twice.state);
        prop_assert_eq!(once.conf, twice.conf);
    }

    #[test]
    fn a_retry_changes_nothing_but_the_position(requests in proptest::collection::vec(request(), 1..60)) {
        let mut m = machine_with_a_voter();
        for (n, (step, _)) in requests.iter().enumerate() {
            let r = (step.clone(), Some((0, n as u64 + 1)));
            let entry = m.entry(&r);
            let first = m.apply(&entry);
            let before = m.state.clone();
            let mut again = entry;
            again.0.index += 1;
            prop_assert_eq!(m.apply(&again), first);
            let mut after = m.state.clone();
            (after.index, after.term) = (before.index, before.term);
            prop_assert_eq!(after, before);
        }
    }

    #[test]
    fn a_snapshot_restores_the_state_and_its_future(
        requests in proptest::collection::vec(request(), 0..80),
        later in proptest::collection::vec(request(), 0..40),
    ) {
        let mut m = machine_with_a_voter();
        for r in &requests {
            let entry = m.entry(r);
            m.apply(&entry);
        }
        let data = m.state.encode();
        let held = m.state.clone();
        let mut restored = Machine { state: State::decode(&data).unwrap(), conf: m.conf.clone() };
        prop_assert_eq!(&restored.state, &m.state);
        for r in &later {
            let entry = m.entry(r);
            prop_assert_eq!(m.apply(&entry), restored.apply(&entry));
        }
        prop_assert_eq!(&restored.state, &m.state);
        prop_assert_eq!(restored.state.encode(), m.state.encode());
        prop_assert_eq!(held.encode(), data, "a snapshot does not change under later writes");
    }

    #[test]
    fn a_damaged_snapshot_is_an_error_or_another_state_never_a_panic(
        requests in proptest::collection::vec(request(), 0..30),
        at in any::<prop::sample::Index>(),
        bit in 0..8u8,
    ) {
        let mut m = machine_with_a_voter();
        for r in &requests {
            let entry = m.entry(r);
            m.apply(&entry);
        }
        let mut data = m.state.encode();
        let at = at.index(data.len());
        prop_assert!(State::decode(&data[..at]).is_err());
        data[at] ^= 1 << bit;
        if let Ok(other) = State::decode(&data) {
            prop_assert_ne!(other, m.state);
        }
    }
}

#[test]
fn every_bit_of_a_snapshot_counts() {
    let mut m = machine_with_a_voter();
    let requests = [
        (
            Step::Put {
                key: 1,
                value: 1,
                expect: Want::Anything,
            },
            Some((0, 1)),
        ),
        (
            Step::Put {
                key: 2,
                value: 2,
                expect: Want::Anything,
            },
            None,
        ),
        (
            Step::Delete {
                key: 2,
                expect: Want::Anything,
            },
            Some((0, 2)),
        ),
    ];
    for r in &requests {
        let entry = m.entry(r);
        m.apply(&entry);
    }
    let data = m.state.encode();
    for bit in 0..data.len() * 8 {
        let mut damaged = data.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        if let Ok(other) = State::decode(&damaged) {
            assert_ne!(other, m.state, "bit {bit}");
        }
    }
}

#[test]
fn a_gap_and_a_newer_command_stop_the_node_and_change_nothing() {
    let mut state = State::default();
    let gap = state.apply(&Entry::new(1, 2, "")).unwrap_err();
    assert_eq!(
        gap,
        ApplyError::Gap {
            index: 2,
            applied: 0
        }
    );
    let newer = state
        .apply(&Entry::new(1, 1, vec![COMMAND_VERSION + 1, 1]))
        .unwrap_err();
    assert!(
        matches!(newer, ApplyError::Version { index: 1, .. }),
        "{newer}"
    );
    assert_eq!(state, State::default());
}

#[test]
fn a_kept_value_does_not_keep_its_frame() {
    let frame = Bytes::from(vec![7u8; 1 << 16]);
    let c = Command {
        origin: Origin::default(),
        request: None,
        op: Op::Put {
            key: b"k",
            value: &frame[..4],
            expect: Expect::Anything,
        },
    };
    let mut state = State::default();
    state.apply(&Entry::new(1, 1, c.encode())).unwrap();
    let value = state.get(b"k").unwrap().value.clone();
    assert_eq!(value, &frame[..4]);
    assert!(!frame.as_ptr_range().contains(&value.as_ptr()));
}
