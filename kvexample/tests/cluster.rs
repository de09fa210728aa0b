//! Clusters on loopback: in this process, and as processes.
#![allow(clippy::unwrap_used)]

mod common;

#[path = "cluster/disk.rs"]
mod disk;
#[path = "cluster/http.rs"]
mod http;
#[path = "cluster/membership.rs"]
mod membership;
#[path = "cluster/processes.rs"]
mod processes;
