//! The core from within: what messages alone do not show, or cannot bring about. Go: raft_test.go, raft_paper_test.go

mod commit;
mod flow;
mod own_answers;
mod progress;
mod roles;
mod timeouts;

use super::{Raft, StateType};
use crate::Config;
use crate::raftpb::{Entry, HardState, Message, MessageType, NO_LIMIT, Snapshot};
use slog::{Discard, Logger, o};
use storage_mem::MemoryStorage;

type Core = Raft<MemoryStorage>;

/// A storage of a group of these voters, with entries of these terms.
fn disk(voters: &[u64], terms: &[u64]) -> MemoryStorage {
    let mut first = Snapshot::default();
    first.metadata.conf_state.voters = voters.to_vec();
    let s = MemoryStorage::new();
    s.apply_snapshot(&first).unwrap();
    let log = (1..).zip(terms).map(|(i, &t)| Entry::new(t, i, ""));
    s.append(&log.collect()).unwrap();
    s
}

/// No limits but those of the test.
fn config() -> Config {
    Config {
        max_size_per_msg: NO_LIMIT,
        ..Config::new(1, 0)
    }
}

fn node_with(c: Config, s: MemoryStorage) -> Core {
    Raft::new(c, s, Logger::root(Discard, o!()), None).unwrap()
}

fn node(voters: &[u64]) -> Core {
    node_with(config(), disk(voters, &[]))
}

/// A leader that has sent nothing yet.
fn lead(mut r: Core) -> Core {
    r.become_candidate();
    r.become_leader();
    r
}

fn leader(voters: &[u64]) -> Core {
    lead(node(voters))
}

/// What is to be sent, when all is written that can be: the node's own answers are stepped.
fn sent(r: &mut Core) -> Vec<Message> {
    let mut answers = Vec::new();
    r.own_acks_to_messages();
    while !r.msgs_after_append.is_empty() {
        r.raft_log.accept_unstable();
        for m in std::mem::take(&mut r.msgs_after_append) {
            if m.to == r.id {
                r.step(m).unwrap();
            } else {
                answers.push(m);
            }
        }
        r.own_acks_to_messages();
    }
    r.fill_messages();
    let mut out = std::mem::take(&mut r.msgs);
    out.append(&mut answers);
    out
}

fn from(id: u64, r: &Core, t: MessageType) -> Message {
    Message {
        from: id,
        to: 1,
        term: r.term,
        ..Message::new(t)
    }
}

fn acks(id: u64, r: &Core, index: u64) -> Message {
    Message {
        index,
        ..from(id, r, MessageType::MsgAppResp)
    }
}

fn progress(r: &mut Core, id: u64) -> &mut crate::tracker::Progress {
    r.trk.progress.get_mut(id).unwrap()
}

fn hs(term: u64) -> HardState {
    HardState {
        term,
        ..HardState::default()
    }
}
