//! The tests with all turns taken by the node's thread.

const CALLERS_RUN: bool = false;

#[allow(clippy::duplicate_mod)] // the same tests, another constant
#[path = "mod.rs"]
mod tests;
