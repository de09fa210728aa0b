//! A replicated key-value store: every layer of tickraft put together. Go: contrib/raftexample
//!
//! **Use this crate** to see how the layers fit, or as a start for a system of your own. **Do not** open it to the world: nothing is encrypted, and there are no
//! passwords.
//!
//! [`kvstore`] is the state machine: deterministic, and usable without any of the rest.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod api;
pub mod backup;
pub mod cli;
pub mod client;
pub mod commands;
mod config;
mod data;
pub mod error;
pub mod httpapi;
pub mod kvstore;
pub mod logging;
mod raft;
mod server;

pub use config::{ServerConfig, random};
pub use data::{DataDir, Place, cluster_id};
pub use raft::Exit;
pub use server::Server;

// In the signatures of this crate.
pub use raftpb;
pub use slog;
pub use storage_wal;
