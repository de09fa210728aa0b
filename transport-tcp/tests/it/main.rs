//! The transport over real sockets on loopback: no test measures time or waits for it to pass, each waits for what is to happen.

#![allow(clippy::unwrap_used)]

mod delivery;
mod hostile;
mod lifecycle;
mod refusal;
mod snapshot;
mod support;
mod wire;
