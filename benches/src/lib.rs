//! What the benches share: the in-process replication driver, its payloads, and a storage that counts its calls.
//!
//! `cargo bench -p benches` measures; `cargo bench -p benches -- --test` runs each bench once, to see that it works.
//!
//! - `benches/etcd.rs`: etcd-io/raft's own benches, case by case.
//! - `benches/replication.rs`: three nodes in one thread, by payload, batch and mode: [`replication`].
//! - `benches/codec.rs`: a MsgApp encoded and decoded.
//! - `benches/wal.rs`: what a batch costs the log on disk besides the disk.
//! - `tests/allocations.rs`: allocations a proposal, counted and bounded.
//! - `src/bin/compare.rs`: ours and the rivals, side by side.
//! - `src/bin/disk`: the write-ahead log on the command line: opening a long one, restarting from it, appending against bare writes.
//! - `instructions/run`: instructions a proposal, counted by valgrind and compared with `instructions/recorded.tsv`.
//! - `src/bin/replicate.rs`: the replication driver on the command line, for profilers and comparisons.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod around;
pub mod bare;
pub mod compare;
pub mod counted;
pub mod payload;
pub mod replication;
