//! The tests with turns taken by whoever calls.

const CALLERS_RUN: bool = true;

#[path = "mod.rs"]
mod tests;
