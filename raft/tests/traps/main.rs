//! Bugs that etcd's line has fixed, or has still, and that a fresh implementation writes again: one test each, named after what was seen.

#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;
mod elections;
mod first_rafts;
mod log;
mod members;
mod reads;
mod replication;
mod snapshots;
