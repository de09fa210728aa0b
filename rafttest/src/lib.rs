//! Scripts and simulation: etcd's InteractionEnv, its quorum and confchange scripts, and a seeded network. Go: rafttest/
//!
//! **Use this crate** to run etcd-io/raft's script files, to write scripts of your own that show what a group does step by step, or to
//! throw random faults at one. **Do not** use it in production: it is a test bench.
//!
//! ```text
//! cargo run -p tickraft-rafttest --bin rafttest -- [--rewrite] [--strict] PATH...
//! ```
//!
//! runs scripts of three kinds, told apart by their commands: [`InteractionEnv`] (nodes and their messages), [`quorum_script`] and
//! [`ConfChangeEnv`]. A script is a list of commands, each with what it prints:
//!
//! ```
//! use tickraft_rafttest::run_script;
//!
//! let script = "\
//! ## A single node elects itself.
//! log-level none
//! ----
//! ok
//!
//! add-nodes 1 voters=(1) index=2
//! ----
//! ok
//!
//! campaign 1
//! ----
//! ok
//!
//! stabilize
//! ----
//! ok
//!
//! log-level info
//! ----
//! ok
//!
//! raft-state
//! ----
//! 1: StateLeader (Voter) Term:1 Lead:1
//! ";
//! let outcome = run_script("single.txt", script).unwrap();
//! assert_eq!(outcome.report.failures, []);
//! assert_eq!(outcome.violations, []);
//! ```
//!
//! The commands are etcd's, and print what etcd's print; `ours.rs` has what we add (`read-index`, `restart`, some options of `add-nodes`).
//! After each command, [`Properties`] checks the five properties of the Raft paper over all nodes.
//!
//! [`simulate`] runs a group of [`RawNode`](rawnode::RawNode)s over a [`Network`] that loses, delays, doubles and reorders, with crashes and membership
//! changes: a pure function of its seed.
//!
//! [`TraceWriter`] writes what nodes trace in the form that etcd's TLA+ trace specification reads; the binary `trace` does so for scripts.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod confchange_script;
pub mod datadriven;
pub mod differential;
mod error;
mod files;
pub mod generate;
mod interaction;
mod network;
mod properties;
pub mod quorum_script;
mod rng;
mod runner;
mod script;
mod sim;
mod trace;

pub use confchange_script::ConfChangeEnv;
pub use error::Error;
pub use files::walk;
pub use interaction::{
    CommandError, Departure, InteractionEnv, LEVEL_NAMES, Node, NodeOptions, Recipient,
    RedirectLogger, ScriptStorage,
};
pub use network::{Delivery, Faults, Network, NetworkStats};
pub use properties::{Properties, Property, Violation};
pub use rng::SplitMix64;
pub use runner::{FileResult, Options, run_file, run_files};
pub use script::{Kind, Outcome, run_script, run_script_traced};
pub use sim::{Sabotage, SimFailure, SimOptions, SimStats, simulate};
pub use trace::TraceWriter;

// In the signatures of this crate, so re-exported: users need no second Cargo.toml line and no version to match.
pub use raft;
pub use raft::raftpb;
pub use rawnode;
pub use slog;
