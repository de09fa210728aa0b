//! Nothing that comes from outside makes a node panic: random and mutated messages into nodes in every role, with the invariants checked after each.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Net, Node, config, storage};
use tickraft::raftpb::{
    ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2, ConfState, Entry,
    EntryType, LOCAL_APPEND_THREAD, LOCAL_APPLY_THREAD, Message, MessageType, Snapshot,
};
use tickraft::{Error, ReadOnlyOption, StateType, WriteMode};

/// xorshift64*: the seed alone repeats a run.
struct Rng(u64);

impl Rng {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 33) % n
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::try_from(self.below(from.len() as u64)).unwrap()]
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// A number close to `near`, or small, or wild.
    fn number(&mut self, near: u64) -> u64 {
        match self.below(8) {
            0..=3 => near.wrapping_add(self.below(5)).wrapping_sub(2),
            4 | 5 => self.below(12),
            6 => self.pick(&[
                0,
                u64::MAX,
                u64::MAX - 1,
                u64::MAX >> 1,
                1 << 63,
                (1 << 62) + 1,
            ]),
            _ => self.next(),
        }
    }
}

fn id(rng: &mut Rng) -> u64 {
    match rng.below(12) {
        0 => 0,
        1 => rng.pick(&[LOCAL_APPEND_THREAD, LOCAL_APPLY_THREAD, 99]),
        _ => 1 + rng.below(4),
    }
}

fn bytes(rng: &mut Rng) -> Vec<u8> {
    let len = rng.pick(&[0, 0, 1, 3, 7, 8, 8, 9, 40]);
    let small = rng.one_in(2);
    (0..len)
        .map(|i| {
            if small && i > 0 {
                0
            } else {
                u8::try_from(rng.below(if small { 4 } else { 256 })).unwrap()
            }
        })
        .collect()
}

fn conf_change(rng: &mut Rng) -> ConfChangeV2 {
    let changes = (0..rng.below(4))
        .map(|_| ConfChangeSingle {
            change_type: rng.pick(ConfChangeType::ALL),
            node_id: rng.below(6),
        })
        .collect();
    ConfChangeV2 {
        transition: rng.pick(ConfChangeTransition::ALL),
        changes,
        ..ConfChangeV2::default()
    }
}

fn entry(rng: &mut Rng, term: u64, index: u64) -> Entry {
    use prost::Message as _;
    let entry_type = rng.pick(&[
        None,
        None,
        Some(EntryType::Normal),
        Some(EntryType::ConfChange),
        Some(EntryType::ConfChangeV2),
    ]);
    let data = if entry_type == Some(EntryType::ConfChangeV2) && !rng.one_in(3) {
        conf_change(rng).encode_to_vec()
    } else {
        bytes(rng)
    };
    Entry {
        term,
        index,
        entry_type,
        data: data.into(),
    }
}

fn ids(rng: &mut Rng) -> Vec<u64> {
    (0..rng.below(4)).map(|_| id(rng)).collect()
}

fn snapshot(rng: &mut Rng, node: &Node) -> Snapshot {
    let conf_state = if rng.one_in(3) {
        ConfState {
            voters: ids(rng),
            learners: ids(rng),
            voters_outgoing: ids(rng),
            learners_next: ids(rng),
            auto_leave: rng.one_in(2),
        }
    } else {
        ConfState {
            voters: vec![1, 2, 3],
            learners: if rng.one_in(2) { vec![4] } else { vec![] },
            ..ConfState::default()
        }
    };
    common::snapshot(
        rng.number(node.commit() + 1),
        rng.number(node.term()),
        conf_state,
    )
}

/// A message whose parts are each plausible or wild.
fn message(rng: &mut Rng, node: &Node) -> Message {
    let msg_type = rng.pick(MessageType::ALL);
    let term = if rng.one_in(4) {
        0
    } else if rng.one_in(3) {
        rng.number(node.term())
    } else {
        node.term()
    };
    let index = rng.number(node.raft.last_index());
    let log_term = rng.number(node.term());
    let mut m = Message {
        to: id(rng),
        from: id(rng),
        term,
        log_term,
        index,
        commit: rng.number(node.commit()),
        vote: id(rng),
        reject: rng.one_in(3),
        reject_hint: rng.number(node.raft.last_index()),
        ..Message::new(msg_type)
    };
    let wild = rng.one_in(4);
    let mut prev = (if rng.one_in(2) { log_term } else { term }, index);
    m.entries = (0..rng.pick(&[0, 1, 1, 2, 5]))
        .map(|_| {
            prev.1 = prev.1.wrapping_add(1);
            if wild {
                prev = (rng.number(prev.0), rng.number(prev.1));
            }
            entry(rng, prev.0, prev.1)
        })
        .collect();
    if rng.one_in(3) || msg_type == MessageType::MsgSnap {
        m.snapshot = Some(Box::new(snapshot(rng, node)));
    }
    if rng.one_in(3) {
        m.set_context(bytes(rng));
    }
    if rng.one_in(8) {
        m.responses.push(Message::default());
    }
    m
}

/// A message that was really sent, with one part changed.
fn mutate(rng: &mut Rng, node: &Node, m: &mut Message) {
    match rng.below(12) {
        0 => m.term = rng.number(m.term),
        1 => m.index = rng.number(m.index),
        2 => m.log_term = rng.number(m.log_term),
        3 => m.commit = rng.number(m.commit),
        4 => m.from = id(rng),
        5 => m.reject = !m.reject,
        6 => m.reject_hint = rng.number(m.reject_hint),
        7 => m.set_context(bytes(rng)),
        8 => m.snapshot = Some(Box::new(snapshot(rng, node))),
        9 => m.entries.push(entry(rng, m.term, m.index.wrapping_add(1))),
        10 => {
            let at = rng.below(4);
            let new = rng.number(m.index);
            if let Some(e) = m.entries.iter_mut().nth(usize::try_from(at).unwrap()) {
                e.index = new;
            }
        }
        _ => m.msg_type = rng.pick(MessageType::ALL),
    }
}

/// A group of three voters and a learner with all options drawn; node 1 is the one under fire.
fn group(rng: &mut Rng) -> Net {
    let lease = rng.one_in(4);
    let (check_quorum, pre_vote) = (lease || rng.one_in(2), rng.one_in(2));
    let (forwarding, step_down, validation) = (rng.one_in(3), rng.one_in(2), rng.one_in(4));
    let seed = rng.next();
    let (size, uncommitted) = (rng.pick(&[0, 30, u64::MAX]), rng.pick(&[0, 50]));
    let inflight = rng.pick(&[1, 2, 256]);
    Net::of(&[1, 2, 3], &[4], |c| {
        c.seed = seed;
        c.check_quorum = check_quorum;
        c.pre_vote = pre_vote;
        c.disable_proposal_forwarding = forwarding;
        c.disable_conf_change_validation = validation;
        c.step_down_on_removal = step_down;
        c.max_size_per_msg = size;
        c.max_uncommitted_entries_size = uncommitted;
        c.max_inflight_msgs = inflight;
        if lease {
            c.read_only_option = ReadOnlyOption::LeaseBased;
        }
    })
}

/// Brings node 1 into a role.
fn into_role(net: &mut Net, rng: &mut Rng) -> StateType {
    let role = rng.pick(&[
        StateType::Follower,
        StateType::Candidate,
        StateType::PreCandidate,
        StateType::Leader,
    ]);
    match role {
        StateType::Leader => net.hup(1),
        StateType::Follower => net.hup(2),
        StateType::Candidate | StateType::PreCandidate => {
            net.hup(3);
            net.at(1).hup();
        }
    }
    for i in 0..rng.below(4) {
        let _ = net.propose(1 + rng.below(3), &format!("data {i}"));
    }
    if rng.one_in(4) {
        net.at(1).compact_some();
    }
    net.at(1).state()
}

impl Node {
    fn compact_some(&mut self) {
        if self.raft.basic_status().applied > 0 {
            self.compact();
        }
    }

    /// Does what is to do, as far as the forged input lets: its configuration changes may be refused, its data may not decode.
    fn drive_forged(&mut self) {
        for _ in 0..50 {
            let mut batch = tickraft::Batch::default();
            match self.raft.pending(WriteMode::Sync).unwrap() {
                None => return,
                Some(pending) => pending.accept(&mut batch),
            }
            let write = tickraft::storage::Write {
                hard_state: batch.hard_state,
                snapshot: batch.snapshot,
                entries: batch.entries,
                must_sync: batch.must_sync,
            };
            tickraft::storage::Writer::append(&mut self.disk, &write).unwrap();
            for e in &batch.committed_entries {
                if let Ok(Some(cc)) = tickraft::raftpb::unmarshal_conf_change(e) {
                    refused_or_done(self.raft.apply_conf_change(&cc).map(drop));
                }
            }
            let me = self.raft.id();
            let own = batch
                .messages_after_append
                .into_iter()
                .filter(|m| m.to == me);
            for m in own.chain(batch.append_resp).chain(batch.apply_resp) {
                refused_or_done(self.raft.step(m).map(drop));
            }
        }
        panic!("never done");
    }
}

fn refused_or_done(done: Result<(), Error>) {
    if let Err(Error::Fault(f)) = done {
        panic!("a message made the storage fail: {f}");
    }
}

/// How many seeds are run; the environment variable `NEVER_PANICS_GROUPS` asks for more.
const GROUPS: u64 = 1_000;
const STEPS: u64 = 120;

fn groups() -> u64 {
    std::env::var("NEVER_PANICS_GROUPS").map_or(GROUPS, |n| n.parse().unwrap())
}

#[test]
fn random_and_mutated_messages() {
    let mut stepped = 0_u64;
    let mut refused = 0_u64;
    let mut roles = std::collections::BTreeSet::new();
    for seed in 0..groups() {
        let run = std::panic::catch_unwind(|| under_fire(seed));
        let (n, r, role) = run.unwrap_or_else(|e| {
            eprintln!("seed {seed}");
            std::panic::resume_unwind(e)
        });
        stepped += n;
        refused += r;
        roles.insert(role.to_string());
    }
    println!("{stepped} messages stepped, {refused} refused as malformed");
    assert!(stepped >= 100_000, "{stepped}");
    assert!(
        refused > stepped / 10 && refused < stepped * 9 / 10,
        "{refused} of {stepped}"
    );
    assert_eq!(roles.len(), 4, "{roles:?}");
}

fn under_fire(seed: u64) -> (u64, u64, StateType) {
    let mut rng = Rng::new(seed + 1);
    let mut net = group(&mut rng);
    let role = into_role(&mut net, &mut rng);
    let mut sent: Vec<Message> = Vec::new();
    let (mut stepped, mut refused) = (0, 0);
    for _ in 0..STEPS {
        let node = net.at(1);
        let mut m = match sent.pop() {
            Some(mut m) if rng.one_in(2) => {
                mutate(&mut rng, node, &mut m);
                m
            }
            _ => message(&mut rng, node),
        };
        if rng.one_in(2) {
            m.to = 1;
        }
        let before = (node.raft.hard_state(), node.raft.status());
        stepped += 1;
        match node.step(m) {
            Ok(_) => {}
            Err(e @ (Error::Malformed { .. } | Error::CommitOutOfRange { .. })) => {
                refused += 1;
                let after = (node.raft.hard_state(), node.raft.status());
                assert_eq!(before, after, "{e}");
            }
            Err(e) => refused_or_done(Err(e)),
        }
        match rng.below(12) {
            0 => node.raft.tick().unwrap(),
            1 => refused_or_done(node.raft.propose(bytes(&mut rng).into()).map(drop)),
            2 => refused_or_done(
                node.raft
                    .propose_conf_change(&conf_change(&mut rng))
                    .map(drop),
            ),
            3 => refused_or_done(
                node.raft
                    .apply_conf_change(&conf_change(&mut rng))
                    .map(drop),
            ),
            4 => {
                // Something real to mutate: what this node's peers would get, turned round.
                let mut batch = tickraft::Batch::default();
                node.drive_forged();
                refused_or_done(node.raft.propose("x".into()).map(drop));
                if let Some(p) = node.raft.pending(WriteMode::Async).unwrap() {
                    p.accept(&mut batch);
                    let write = tickraft::storage::Write {
                        hard_state: batch.hard_state,
                        snapshot: batch.snapshot,
                        entries: batch.entries,
                        must_sync: batch.must_sync,
                    };
                    tickraft::storage::Writer::append(&mut node.disk, &write).unwrap();
                    sent.extend(batch.messages);
                    sent.extend(batch.messages_after_append);
                    sent.extend(batch.append_resp);
                    sent.extend(batch.apply_resp);
                    sent.iter_mut().for_each(|m| {
                        if m.to != 1 && m.to != 0 {
                            std::mem::swap(&mut m.to, &mut m.from);
                        }
                    });
                    sent.truncate(20);
                }
            }
            5..=8 => node.drive_forged(),
            _ => {}
        }
        node.raft.check_invariants().unwrap();
    }
    (stepped, refused, role)
}

/// The same with a node that never joined a group, and with one that is a learner.
#[test]
fn random_messages_into_nodes_without_a_vote() {
    for seed in 0..groups() {
        let mut rng = Rng::new(seed + 77);
        let disk = if rng.one_in(2) {
            storage(&[2, 3], &[1])
        } else {
            storage(&[], &[])
        };
        let mut node = Node::new(config(1), disk);
        for _ in 0..100 {
            let m = message(&mut rng, &node);
            refused_or_done(node.step(m).map(drop));
            if rng.one_in(4) {
                node.raft.tick().unwrap();
            }
            if rng.one_in(3) {
                node.drive_forged();
            }
        }
        assert!(node.raft.fault().is_none(), "seed {seed}");
    }
}
