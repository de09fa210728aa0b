//! What fuzz targets share: a node in a role that the input chooses, and what drives it. Go: (none)

#![forbid(unsafe_code)]

use raft::raftpb::{ConfState, Message, MessageType, Snapshot, unmarshal_conf_change};
use raft::storage::{Write, Writer};
use raft::{Batch, Config, Error, Raft, ReadOnlyOption, WriteMode};
use slog::{Discard, Logger, o};
use storage_mem::MemoryStorage;

/// Node 1 of three voters and a learner.
pub struct Node {
    pub raft: Raft<MemoryStorage>,
    disk: MemoryStorage,
}

/// The options, each bit one.
fn config(options: u8) -> Config {
    let on = |bit: u8| options & (1 << bit) != 0;
    let mut c = Config::new(1, u64::from(options));
    c.pre_vote = on(0);
    c.read_only_option = if on(1) {
        ReadOnlyOption::LeaseBased
    } else {
        ReadOnlyOption::Safe
    };
    c.check_quorum = on(1) || on(2);
    c.step_down_on_removal = on(3);
    c.disable_conf_change_validation = on(4);
    c.disable_proposal_forwarding = on(5);
    if on(6) {
        c.max_size_per_msg = 20;
        c.max_inflight_msgs = 2;
    }
    if on(7) {
        c.max_uncommitted_entries_size = 40;
        c.max_committed_size_per_ready = 20;
    }
    c
}

impl Node {
    /// A node with these options in this role: follower, candidate or pre-candidate, leader, learner.
    pub fn new(options: u8, role: u8) -> Self {
        let disk = MemoryStorage::new();
        let learner = role % 4 == 3;
        let mut s = Snapshot::default();
        s.metadata.index = 5;
        s.metadata.term = 1;
        s.metadata.conf_state = ConfState {
            voters: if learner { vec![2, 3] } else { vec![1, 2, 3] },
            learners: if learner { vec![1, 4] } else { vec![4] },
            ..ConfState::default()
        };
        disk.apply_snapshot(&s).expect("an empty storage takes it");
        let logger = Logger::root(Discard, o!());
        let raft = Raft::new(config(options), disk.clone(), logger, None).expect("it is sound");
        let mut node = Self { raft, disk };
        if matches!(role % 4, 1 | 2) {
            node.step(Message::new(MessageType::MsgHup));
            node.drive();
        }
        if role % 4 == 2 {
            for kind in [MessageType::MsgPreVoteResp, MessageType::MsgVoteResp] {
                let term = node.raft.hard_state().term;
                let term = term + u64::from(kind == MessageType::MsgPreVoteResp);
                node.step(Message {
                    from: 2,
                    to: 1,
                    term,
                    ..Message::new(kind)
                });
                node.drive();
            }
        }
        node
    }

    /// Steps a message: refused or done.
    pub fn step(&mut self, m: Message) {
        let done = self.raft.step(m).map(drop);
        self.refused_or_done(done);
    }

    /// What came from outside must not make the storage fail, and leaves the node sound.
    pub fn refused_or_done(&self, done: Result<(), Error>) {
        if let Err(Error::Fault(f)) = done {
            panic!("the input made the storage fail: {f}");
        }
        self.raft.check_invariants().expect("the node is sound");
    }

    /// Does what is to do. Configuration changes in the entries may be refused.
    pub fn drive(&mut self) {
        for _ in 0..100 {
            let mut batch = Batch::default();
            match self.raft.pending(WriteMode::Sync).expect("no fault") {
                None => return,
                Some(pending) => pending.accept(&mut batch),
            }
            let write = Write {
                hard_state: batch.hard_state,
                snapshot: batch.snapshot,
                entries: batch.entries,
                must_sync: batch.must_sync,
            };
            Writer::append(&mut self.disk, &write).expect("what the core writes fits");
            for e in &batch.committed_entries {
                if let Ok(Some(cc)) = unmarshal_conf_change(e) {
                    let done = self.raft.apply_conf_change(&cc).map(drop);
                    self.refused_or_done(done);
                }
            }
            let me = self.raft.id();
            let own = batch
                .messages_after_append
                .into_iter()
                .filter(|m| m.to == me);
            for m in own.chain(batch.append_resp).chain(batch.apply_resp) {
                self.step(m);
            }
        }
        panic!("there is always more to do");
    }
}

/// Cuts the input into pieces: a byte that says how long, then so many bytes.
pub fn pieces(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = data;
    std::iter::from_fn(move || {
        let (&len, after) = rest.split_first()?;
        let (piece, after) = after.split_at(usize::from(len).min(after.len()));
        rest = after;
        Some(piece)
    })
}
