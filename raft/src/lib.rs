//! The deterministic Raft core: no threads, clocks, sockets or files. Go: raft.go, doc.go
//!
//! **Use this crate** to build a driver of your own: a simulator, a node on your runtime, many groups in one process. **Do not** use it where a ready
//! driver will do: `tickraft-rawnode` wraps the duties below in types, `tickraft-node` adds a thread, and both re-export this crate.
//!
//! A [`Raft`] is a state machine. Time is [`tick`](Raft::tick), chance comes from [`Config::seed`], and the network is whoever calls
//! [`step`](Raft::step): the same calls give the same results, byte for byte. It keeps to etcd-io/raft v3.7 in names, messages and behaviour;
//! each function of Go's is found here under its name in snake case, or by searching for the Go name.
//!
//! # What a driver does
//!
//! 1. Make a node with [`Raft::new`] from a storage that holds what it had, or, the very first time, a configuration ([`Raft::bootstrap`] is the other way).
//! 2. Call [`tick`](Raft::tick) at an even pace, [`step`](Raft::step) for each message that arrives, [`propose`](Raft::propose) for each proposal.
//! 3. After any of these, call [`pending`](Raft::pending) and [accept](Pending::accept) what it gives into a [`Batch`]; then
//!    - send [`messages`](Batch::messages) at once,
//!    - write [`snapshot`](Batch::snapshot), [`entries`](Batch::entries) and [`hard_state`](Batch::hard_state), in this order and durably if
//!      [`must_sync`](Batch::must_sync) says so; entries replace what the log holds from the first one's index on,
//!    - **only then** send [`messages_after_append`](Batch::messages_after_append), and step those to the node itself and [`append_resp`](Batch::append_resp),
//!    - apply a snapshot, then [`committed_entries`](Batch::committed_entries) in order; for one that is a configuration change call
//!      [`apply_conf_change`](Raft::apply_conf_change) (unless the application turns it down: then do not),
//!    - step [`apply_resp`](Batch::apply_resp), and ask for what is pending again.
//! 4. If a write fails, tell the node with [`fail`](Raft::fail) and stop.
//!
//! With [`WriteMode::Async`] the next batch may be fetched while this one is being written: writes stay in order among themselves, and so do applies.
//!
//! # Three nodes in one thread
//!
//! ```
//! use storage_mem::MemoryStorage;
//! use tickraft::raftpb::{Message, Snapshot};
//! use tickraft::storage::{Write, Writer};
//! use tickraft::{Batch, Config, Error, Raft, StateType, WriteMode};
//!
//! /// Does what is pending. Gives the messages to others, and adds what was applied.
//! fn drive(raft: &mut Raft<MemoryStorage>, disk: &mut MemoryStorage, applied: &mut Vec<String>) -> Result<Vec<Message>, Error> {
//!     let (mut out, mut batch) = (Vec::new(), Batch::default());
//!     while let Some(pending) = raft.pending(WriteMode::Sync)? {
//!         pending.accept(&mut batch);
//!         out.append(&mut batch.messages);
//!         let write = Write {
//!             hard_state: batch.hard_state,
//!             snapshot: batch.snapshot.take(),
//!             entries: batch.entries.clone(),
//!             must_sync: batch.must_sync,
//!         };
//!         if let Err(e) = Writer::append(disk, &write).and_then(|()| disk.sync()) {
//!             raft.fail(e);
//!         }
//!         for m in batch.messages_after_append.drain(..).chain(batch.append_resp.take()) {
//!             if m.to == raft.id() { raft.step(m)?; } else { out.push(m); }
//!         }
//!         for e in batch.committed_entries.iter().filter(|e| !e.data.is_empty()) {
//!             applied.push(String::from_utf8_lossy(&e.data).into_owned());
//!         }
//!         if let Some(m) = batch.apply_resp.take() {
//!             raft.step(m)?;
//!         }
//!     }
//!     Ok(out)
//! }
//!
//! let mut first = Snapshot::default();
//! first.metadata.conf_state.voters = vec![1, 2, 3];
//! let mut nodes = Vec::new();
//! for id in 1..=3 {
//!     let disk = MemoryStorage::new();
//!     disk.apply_snapshot(&first).expect("an empty storage takes its first configuration");
//!     let log = slog::Logger::root(slog::Discard, slog::o!());
//!     nodes.push((Raft::new(Config::new(id, 42), disk.clone(), log, None)?, disk, Vec::new()));
//! }
//! let mut proposed = false;
//! for _ in 0..100 {
//!     let mut messages = Vec::new();
//!     for (raft, disk, applied) in &mut nodes {
//!         raft.tick()?;
//!         if raft.soft_state().raft_state == StateType::Leader && !proposed {
//!             raft.propose("hello".into())?;
//!             proposed = true;
//!         }
//!         messages.extend(drive(raft, disk, applied)?);
//!     }
//!     for m in messages {
//!         nodes[m.to as usize - 1].0.step(m)?;
//!     }
//! }
//! assert!(nodes.iter().all(|(_, _, applied)| applied == &["hello"]));
//! # Ok::<(), Error>(())
//! ```
//!
//! # What it never does
//!
//! Nothing that comes from outside makes it panic: a peer's message, a storage's answer, a caller's argument. Each is refused with a typed [`Error`] that leaves
//! the node as it was; only a storage that failed or lost what it promised stops the node ([`Error::Fault`]), which then says so to every call. In debug builds
//! it checks [its invariants](Raft::check_invariants) after every call and panics on a bug of its own.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod bootstrap;
pub mod confchange;
mod config;
mod error;
mod log;
mod log_terms;
mod log_unstable;
mod logging;
mod pending;
pub mod quorum;
mod raft;
mod rand;
mod read_only;
mod round;
mod state_trace;
mod status;
pub mod tracker;
mod types;

pub use config::{CampaignType, Config, ReadOnlyOption};
pub use error::{DropReason, Error, Fault, Malformed, Outcome, RefuseReason};
pub use pending::{Batch, Pending, WriteMode, must_sync};
pub use raft::{Peer, Raft, SoftState, StateType};
pub use read_only::ReadState;
pub use round::Round;
pub use state_trace::{
    TraceConfChange, TraceEvent, TraceEventType, TraceProgress, TraceSingleConfChange, Tracer,
};
pub use status::{BasicStatus, ProgressType, Status};

// In the signatures of this crate, so re-exported: users need no second Cargo.toml line and no version to match.
pub use slog;
pub use storage;
pub use storage::raftpb;
