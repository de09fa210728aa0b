//! Ready and Advance around the deterministic core, with the order of steps in the types. Go: rawnode.go, bootstrap.go
//!
//! **Use this crate** to drive a Raft group from a loop of your own: one thread, many groups, an async runtime, a simulator. It does no I/O, starts no
//! thread and reads no clock. **Do not** use it when a thread and channels are what you want: `tickraft-node` has them, with the same types.
//!
//! A [`RawNode`] wraps one [`raft::Raft`]. Feed it with [`tick`](RawNode::tick), [`step`](RawNode::step) and [`propose`](RawNode::propose); then, as
//! long as [`ready`](RawNode::ready) returns work, do the work in the order that the types allow:
//!
//! ```text
//! Ready      send its messages, write and sync what it holds
//!   │ persisted()
//! Persisted  send the messages that were held back, apply the committed entries
//!   │ advance(persisted)
//! RawNode    the next Ready
//! ```
//!
//! `persisted()` is the caller's word that the write is done. Types prove that it was given in the right place, not that an fsync took place.
//!
//! ```
//! use storage_mem::MemoryStorage;
//! use tickraft_rawnode::RawNode;
//! use tickraft_rawnode::raft::Config;
//! use tickraft_rawnode::raft::slog::{Discard, Logger, o};
//! use tickraft_rawnode::raftpb::{ConfState, Message, Snapshot, SnapshotMetadata};
//! use tickraft_rawnode::storage::Writer;
//!
//! // A group of one: its only member is in the snapshot that the log starts from.
//! let mut storage = MemoryStorage::new();
//! let conf_state = ConfState { voters: vec![1], ..ConfState::default() };
//! let metadata = SnapshotMetadata { conf_state, ..SnapshotMetadata::default() };
//! storage.apply_snapshot(&Snapshot { metadata, ..Snapshot::default() })?;
//!
//! let seed = 42; // another one at each start
//! let config = Config::new(1, seed);
//! let mut node = RawNode::new(config, storage.clone(), Logger::root(Discard, o!()), None)?;
//! let send = |m: Message| unreachable!("a group of one has nobody to send {m:?} to");
//! let mut applied = Vec::new();
//!
//! node.campaign()?; // rather than wait for ticks
//! while applied.last().is_none_or(|data| data != "set x=1") {
//!     if let Some(mut rd) = node.ready()? {
//!         rd.drain_messages().for_each(send);
//!         Writer::append(&mut storage, rd.write())?;
//!         if rd.must_sync() {
//!             storage.sync()?;
//!         }
//!         let mut p = rd.persisted();
//!         p.drain_messages().for_each(send);
//!         for e in p.committed_entries() {
//!             applied.push(e.data.clone());
//!         }
//!         node.advance(p)?;
//!     } else {
//!         node.propose("set x=1".into())?;
//!     }
//! }
//! assert_eq!(applied, ["", "set x=1"]); // the new leader's empty entry, then ours
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Storage writes in the background
//!
//! [`RawNode::new_async`] makes a node whose writes and applications run beside it: [`ready`](RawNode::ready) hands out
//! [`AsyncReady`]s with an [`AppendWork`] and an [`ApplyWork`], several may be out at once, and there is no `advance`: what
//! [`AppendWork::done`] and [`ApplyWork::done`] return is stepped back or sent.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod async_ready;
mod describe;
mod error;
mod mode;
mod order;
mod rawnode;
mod ready;
#[cfg(test)]
mod tests;

pub use async_ready::{AppendWork, ApplyWork, AsyncReady};
pub use describe::{DescribeReady, describe_ready, describe_soft_state};
pub use error::{Error, Work};
pub use mode::{AsyncWrites, StorageWrites, SyncWrites};
pub use rawnode::RawNode;
pub use ready::{Persisted, Ready};

// In the signatures of this crate, so re-exported: users need no second Cargo.toml line and no version to match.
pub use raft;
pub use raft::{raftpb, storage};
