//! What every rival's driver shares, so that all of them take the same arguments, do the same work, check it the same way
//! and answer with the same line of JSON: the [command line](args), the [payloads and their check](payload), the
//! [latencies](latency) and the [report](report).
//!
//! Nothing here is timed except [`payload::Applied::apply`], which is the state machine of every driver.
#![forbid(unsafe_code)]

pub mod args;
#[cfg(feature = "clients")]
pub mod clients;
pub mod latency;
pub mod payload;
pub mod report;
