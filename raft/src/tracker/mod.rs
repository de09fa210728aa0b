//! What a leader knows of each peer, and what the group's configuration is. Go: tracker/tracker.go.
//!
//! [`ProgressTracker`] holds the configuration ([`Config`]), a [`Progress`] for each member, and the votes of the current election.
//! A progress is a small state machine: how far the peer's log is known to match, what to send it next, and whether to send at all.
//!
//! ```text
//!     new ---> Probe -------- acknowledged --------> Replicate
//!              ^ one append   <-- rejected, -------- many appends under way,
//!              | at a time        unreachable        bounded by Inflights
//!              |     |                                  |      ^
//!              |     '--- what it needs next is no -----'      |
//!              |          longer in our log                    | acknowledged, and
//!              |                    |                          | our log goes on
//!              |                    v                          | from there
//!              '-- sending ----- Snapshot ---------------------'
//!                  has ended     no appends at all
//! ```

mod config;
mod inflights;
mod progress;
mod progress_map;
mod state;
#[allow(clippy::module_inception)] // Go's file name, for the type of that name.
mod tracker;
mod votes;

pub use config::Config;
pub use inflights::{Inflights, WindowFull};
pub use progress::Progress;
pub use progress_map::ProgressMap;
pub use state::StateType;
pub use tracker::{ProgressTracker, Tally};
pub use votes::Votes;

#[cfg(test)]
mod tests;
