//! The comparison with the rivals: what is run, how often, and what comes of it. `src/bin/compare.rs` is its command line.
//!
//! Every ratio comes from one run on one machine: the drivers take turns case by case and round by round, and a ratio is the median of the rounds' ratios, each
//! of two runs that stood next to each other. What is measured is kept case by case ([`results`]), so a report may be filled in several runs; it says which
//! case was measured when.

pub mod cases;
pub mod counts;
pub mod drivers;
pub mod library;
pub mod machine;
pub mod plots;
pub mod results;
pub mod table;
pub mod targets;
