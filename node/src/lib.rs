//! A Raft node with a thread of its own, behind channels. Go: node.go
//!
//! **Use this crate** for one group, or a few, in a threaded program: any thread proposes, one takes Readies, a ticker ticks. **Do not** use it for thousands of
//! groups (a thread each) or in a simulator: `tickraft-rawnode` is the same without the thread.
//!
//! ```
//! use storage_mem::MemoryStorage;
//! use tickraft_node::raft::Config;
//! use tickraft_node::raft::slog::{Discard, Logger, o};
//! use tickraft_node::raftpb::{ConfState, Message, Snapshot, SnapshotMetadata};
//! use tickraft_node::storage::{Error, Writer};
//! use tickraft_node::{Accepted, restart_node};
//!
//! // A group of one: its only member is in the snapshot that the log starts from.
//! let mut storage = MemoryStorage::new();
//! let conf_state = ConfState { voters: vec![1], ..ConfState::default() };
//! let metadata = SnapshotMetadata { conf_state, ..SnapshotMetadata::default() };
//! storage.apply_snapshot(&Snapshot { metadata, ..Snapshot::default() })?;
//!
//! let seed = 42; // another one at each start
//! let logger = Logger::root(Discard, o!());
//! let config = Config::new(1, seed);
//! let node = restart_node(config, storage.clone(), logger, None)?;
//!
//! // The application: write, apply, advance, until the node is stopped.
//! let application = std::thread::spawn({
//!     let node = node.clone();
//!     let send = |m: Message| unreachable!("a group of one has nobody to send {m:?} to");
//!     move || {
//!         let mut applied = Vec::new();
//!         while let Ok(mut rd) = node.ready().recv() {
//!             rd.drain_messages().for_each(send);
//!             Writer::append(&mut storage, rd.write())?;
//!             let mut p = rd.persisted();
//!             p.drain_messages().for_each(send);
//!             applied.extend(p.committed_entries().iter().map(|e| e.data.clone()));
//!             if applied.last().is_some_and(|data| data == "set x=1") {
//!                 node.stop();
//!             }
//!             let _ = node.advance(p); // an error says that the node has ended, and so does ready()
//!         }
//!         Ok::<_, Error>(applied)
//!     }
//! });
//!
//! node.campaign()?; // rather than wait for ticks
//! let ticket = node.propose("set x=1".into())?; // waits until there is a leader
//! assert_eq!(ticket.wait()?, Accepted::Appended { term: 1, index: 2 });
//! assert_eq!(application.join().unwrap()?, ["", "set x=1"]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # How it differs from Go's Node
//!
//! - [`propose`](Node::propose) returns a [`Ticket`] at once instead of blocking; proposals wait in a bounded queue, and those that wait together are replicated
//!   together.
//! - The ticket of a configuration change tells of its refusal.
//! - A fault of the storage, a misuse or a panic in the thread ends the node with an error to every caller, instead of the process.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod end;
mod error;
mod node;
mod options;
mod ports;
mod proposals;
mod run;
#[cfg(test)]
mod tests;
mod ticket;

pub use error::Error;
pub use node::Node;
pub use options::{NodeOptions, restart_node, restart_node_async, start_node, start_node_async};
pub use ticket::{Accepted, Ticket};

// In the signatures of this crate, so re-exported: users need no second Cargo.toml line and no version to match.
pub use crossbeam_channel;
pub use rawnode;
pub use rawnode::{raft, raftpb, storage};
