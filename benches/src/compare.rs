//! The comparison with the rivals: what is run, how often, and what comes of it. `src/bin/compare.rs` is its command line.
//!
//! Every figure comes from one run on one machine: the drivers take turns case by case and round by round, and a ratio is the median of the rounds' ratios, each
//! of two runs that stood next to each other.

pub mod cases;
pub mod drivers;
pub mod plots;
pub mod results;
pub mod table;
