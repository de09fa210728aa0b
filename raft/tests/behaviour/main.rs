//! What nodes do, by subject, case by case: docs/go-tests.md names for each test of etcd-io/raft the one here that checks the same cases. Go: raft_test.go,
//! raft_paper_test.go

#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;

mod appends;
mod commits;
mod elections;
mod flow;
mod heartbeats;
mod leases;
mod members;
mod pre_votes;
mod probes;
mod reads;
mod snapshots;
mod terms;
mod transfers;
mod votes;
