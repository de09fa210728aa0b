//! How often a proposal allocates: counts, not timings. Go: none

#![allow(unsafe_code)] // A global allocator that counts cannot be written without.
#![allow(clippy::unwrap_used)]

mod common;

use bytes::Bytes;
use common::{config, storage};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use storage_mem::MemoryStorage;
use tickraft::raftpb::{Entries, Entry, Message, MessageType};
use tickraft::storage::{Write, Writer};
use tickraft::{Batch, Raft, WriteMode};

thread_local!(static COUNT: Cell<u64> = const { Cell::new(0) });

struct Counting;

// SAFETY: all calls go to the system's allocator unchanged; counting in a thread-local cell without a destructor allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.with(|c| c.set(c.get() + 1));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(ptr, layout) }
    }
    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        COUNT.with(|c| c.set(c.get() + 1));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(ptr, layout, new_size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Three nodes that pass messages and write to memory, without a container that the test itself would grow.
struct Loop {
    nodes: Vec<(Raft<MemoryStorage>, MemoryStorage, Batch)>,
    inbox: Vec<Vec<Message>>,
    applied: u64,
    /// Allocations of the storages.
    storage: u64,
    write: Write,
}

impl Loop {
    fn new() -> Self {
        let node = |id| {
            let disk = storage(&[1, 2, 3], &[]);
            let raft = Raft::new(config(id), disk.clone(), common::silent(), None).unwrap();
            (raft, disk, Batch::default())
        };
        let mut l = Self {
            nodes: (1..=3).map(node).collect(),
            inbox: vec![
                Vec::with_capacity(2000),
                Vec::with_capacity(2000),
                Vec::with_capacity(2000),
            ],
            applied: 0,
            storage: 0,
            write: Write::default(),
        };
        l.nodes[0]
            .0
            .step(Message::new(MessageType::MsgHup))
            .unwrap();
        l.run();
        l
    }

    fn run(&mut self) {
        loop {
            let mut idle = true;
            for at in 0..3 {
                let (raft, disk, b) = &mut self.nodes[at];
                for m in self.inbox[at].drain(..) {
                    raft.step(m).unwrap();
                }
                let Some(p) = raft.pending(WriteMode::Sync).unwrap() else {
                    continue;
                };
                idle = false;
                p.accept(b);
                self.write.hard_state = b.hard_state;
                self.write.entries = std::mem::take(&mut b.entries);
                let before = COUNT.with(Cell::get);
                Writer::append(disk, &self.write).unwrap();
                self.storage += COUNT.with(Cell::get) - before;
                self.applied += b.committed_entries.len() as u64;
                let id = raft.id();
                for m in b
                    .messages
                    .drain(..)
                    .chain(b.messages_after_append.drain(..))
                {
                    if m.to == id {
                        raft.step(m).unwrap();
                    } else {
                        self.inbox[usize::try_from(m.to).unwrap() - 1].push(m);
                    }
                }
                for m in b.append_resp.take().into_iter().chain(b.apply_resp.take()) {
                    raft.step(m).unwrap();
                }
            }
            if idle {
                return;
            }
        }
    }

    /// Allocations a proposal of the three cores together, the storages' not counted; the payload is there before.
    fn measure(&mut self, b: usize, multi: bool) -> f64 {
        let data = Bytes::from_static(&[7; 128]);
        let rounds = 512 / b + 8;
        let mut counted = (0, 0);
        for round in 0..rounds {
            let before = COUNT.with(Cell::get) - self.storage;
            if multi {
                let block: Entries = (0..b).map(|_| Entry::proposal(data.clone())).collect();
                self.nodes[0].0.propose_entries(block).unwrap();
            } else {
                for _ in 0..b {
                    self.nodes[0].0.propose(data.clone()).unwrap();
                }
            }
            self.run();
            if round >= 8 {
                counted.0 += COUNT.with(Cell::get) - self.storage - before;
                counted.1 += b as u64;
            }
            // The logs stay short, as an application keeps them.
            for (raft, disk, _) in &self.nodes {
                let applied = raft.basic_status().applied;
                if round % 16 == 15 {
                    disk.compact(applied - 1).unwrap();
                }
            }
        }
        #[allow(clippy::cast_precision_loss)]
        let each = counted.0 as f64 / counted.1 as f64;
        each
    }
}

#[test]
fn a_proposal_allocates_little_more_than_its_block() {
    for (b, multi, most) in [
        (1, false, 1.5),
        (16, false, 0.4),
        (256, false, 0.15),
        (16, true, 0.25),
        (256, true, 0.05),
    ] {
        let mut l = Loop::new();
        let each = l.measure(b, multi);
        println!(
            "{b} a round, multi {multi}: {each:.3} allocations a proposal, storages {}",
            l.storage
        );
        assert!(each <= most, "{b} a round, multi {multi}: {each:.3}");
        assert!(l.applied > 0);
    }
}
