//! A Raft node for many threads, behind channels. Go: node.go
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
//! # Writing and applying beside the node
//!
//! A node of [`start_node_async`], [`restart_node_async`] or [`NodeOptions::spawn`] on [`RawNode::new_async`](rawnode::RawNode::new_async) never waits for a disk or a state machine. Its application has three
//! threads: one takes the Readies and only passes on, an [`AppendThread`] writes, and one applies, in order:
//!
//! ```
//! use std::sync::mpsc;
//! use std::thread;
//! use storage_mem::MemoryStorage;
//! use tickraft_node::raft::{Config, slog::{Discard, Logger, o}};
//! use tickraft_node::raftpb::{ConfState, EntryType, Message, Snapshot, SnapshotMetadata, unmarshal_conf_change};
//! use tickraft_node::rawnode::ApplyWork;
//! use tickraft_node::{AppendHost, AppendOptions, AppendThread, restart_node_async, storage};
//!
//! /// What the apply thread does next.
//! enum Apply {
//!     Entries(ApplyWork),
//!     /// A leader's snapshot, and whom to tell that it is loaded.
//!     Snapshot(Snapshot, mpsc::Sender<()>),
//! }
//!
//! /// The append thread's side of the application.
//! struct Host(mpsc::Sender<Apply>);
//!
//! impl AppendHost for Host {
//!     fn send(&mut self, messages: Vec<Message>) {
//!         unreachable!("a group of one has nobody to send {messages:?} to")
//!     }
//!     fn install(&mut self, snapshot: &Snapshot) -> Result<(), storage::Error> {
//!         let (loaded, is_loaded) = mpsc::channel();
//!         let _ = self.0.send(Apply::Snapshot(snapshot.clone(), loaded));
//!         is_loaded.recv().map_err(|_| storage::Error::other("the apply thread has ended"))
//!     }
//! }
//!
//! let storage = MemoryStorage::new();
//! # let conf_state = ConfState { voters: vec![1], ..ConfState::default() };
//! # let metadata = SnapshotMetadata { conf_state, ..SnapshotMetadata::default() };
//! # storage.apply_snapshot(&Snapshot { metadata, ..Snapshot::default() })?;
//! let node = restart_node_async(Config::new(1, 42), storage.clone(), Logger::root(Discard, o!()), None)?;
//! let (applies, to_apply) = mpsc::channel();
//! let append = AppendThread::spawn(node.clone(), storage, Host(applies.clone()), AppendOptions::default())?;
//! let disk = append.monitor(); // while disk.is_full(), refuse proposals and drop messages that bring entries
//!
//! let applying = thread::spawn({
//!     let node = node.clone();
//!     move || {
//!         let mut state = Vec::new();
//!         for next in to_apply {
//!             match next {
//!                 Apply::Snapshot(snapshot, loaded) => {
//!                     state = vec![snapshot.data]; // instead of all before it
//!                     let _ = loaded.send(());
//!                 }
//!                 Apply::Entries(work) => {
//!                     for e in work.entries() {
//!                         match e.get_type() {
//!                             EntryType::Normal => state.push(e.data.clone()),
//!                             _ => if let Ok(Some(cc)) = unmarshal_conf_change(e) {
//!                                 let _ = node.apply_conf_change(&cc);
//!                             }
//!                         }
//!                     }
//!                     // Only now, and in this order: what is said here counts for all works before.
//!                     let _ = node.deliver(work.done());
//!                     if state.last().is_some_and(|data| data == "set x=1") {
//!                         node.stop();
//!                     }
//!                 }
//!             }
//!         }
//!         state
//!     }
//! });
//!
//! // Nothing here waits for a write or for the state machine, so heartbeats leave in time.
//! let taking = thread::spawn({
//!     let node = node.clone();
//!     move || {
//!         while let Ok(rd) = node.ready().recv() {
//!             assert_eq!(rd.messages, [], "nobody to send them to");
//!             rd.apply.into_iter().for_each(|work| drop(applies.send(Apply::Entries(work))));
//!             if let Some(work) = rd.append {
//!                 let _ = append.append(work); // an error says that the node has ended, and so does ready()
//!             }
//!         }
//!         drop(applies);
//!         append.stop() // drops the host, with the last sender: then the apply thread ends
//!     }
//! });
//!
//! node.campaign()?;
//! node.propose("set x=1".into())?.wait()?;
//! assert_eq!(applying.join().unwrap(), ["", "set x=1"]);
//! taking.join().unwrap()?;
//! assert!(disk.syncs() <= disk.works());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Which thread does it
//!
//! Whatever is brought goes into a queue. Whoever finds nobody at work then does what is to be done, on its own thread; whoever finds somebody at work leaves it to them and returns. The node's own thread helps out.
//! So nothing waits for a thread to wake, and no thread spins. Four ways, from the quickest for single proposals to the most patient with slow disks and state machines:
//!
//! | | a proposal to a node at rest | suits |
//! |---|---|---|
//! | [`NodeOptions::serve`]: the application is called with each Ready | is written and sent when `propose` returns | writes that are quick, or callers that may wait for one |
//! | [`NodeOptions::serve_async`]: the same with [`AsyncWrites`](rawnode::AsyncWrites) and an [`AppendThread`] | is sent when `propose` returns, and wakes that thread, which applies what is committed | slow disks, quick state machines |
//! | Readies from the channel, [`SyncWrites`](rawnode::SyncWrites) | wakes the application's thread | an application that writes and applies on a thread of its own |
//! | the same with [`AsyncWrites`](rawnode::AsyncWrites) and an [`AppendThread`] | wakes that thread, which wakes two more | slow disks: heartbeats never wait for them |
//!
//! [`NodeOptions::callers_run`] off, the node's thread does all its work. Who has several things to propose uses [`Node::propose_batch`].
//!
//! # How it differs from Go's Node
//!
//! - [`propose`](Node::propose) returns a [`Ticket`] at once instead of blocking; proposals wait in a bounded queue, and those that wait together are replicated
//!   together.
//! - Turns of the run loop are taken by callers, see above.
//! - The ticket of a configuration change tells of its refusal.
//! - Go leaves the append thread to the application; here is [one](AppendThread), with group commit, full disks and failures thought through.
//! - Who wants to know of a peer's message that the core refused says so at the start: [`NodeOptions::spawn_watched`]. Go panics or is silent.
//! - A fault of the storage, a misuse or a panic in the thread ends the node with an error to every caller, instead of the process.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod append;
mod application;
mod end;
mod error;
mod gate;
mod node;
mod options;
mod ports;
mod proposals;
mod refused;
mod run;
mod runner;
mod sync;
// All tests run twice.
#[cfg(test)]
#[path = "tests/callers_run.rs"]
mod callers_run;
#[cfg(test)]
#[path = "tests/own_thread.rs"]
mod own_thread;
mod ticket;

pub use append::{AppendHost, AppendMonitor, AppendOptions, AppendThread};
pub use application::Served;
pub use error::Error;
pub use node::Node;
pub use options::{NodeOptions, restart_node, restart_node_async, start_node, start_node_async};
pub use refused::Refused;
pub use ticket::{Accepted, Ticket};

// In the signatures of this crate, so re-exported: users need no second Cargo.toml line and no version to match.
pub use crossbeam_channel;
pub use rawnode;
pub use rawnode::{raft, raftpb, storage};
