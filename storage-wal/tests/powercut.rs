//! Power cuts on a real ext4: run by `.ci/powercut`, which makes the file system. Go: etcd's robustness suite cuts a FUSE or device-mapper disk
//!
//! Not part of `cargo test`: it needs root and a loop device. A thread writes a node's history; another shuts the file system down under it at a random
//! moment (ext4's shutdown ioctl, with and without a flush of its journal). After a remount the directory must open to what was acknowledged, or to what
//! was asked for right after it, and the history goes on from there. Arguments: DEVICE MOUNTPOINT CUTS SEED. The last line says how many were lost.

#![allow(clippy::unwrap_used)]

mod common;
#[cfg(target_os = "linux")]
#[path = "powercut/cuts.rs"]
mod cuts;

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    cuts::run(&std::env::args().skip(1).collect::<Vec<_>>())
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("powercut: SKIPPED, nothing was cut: ext4 is Linux's");
}
