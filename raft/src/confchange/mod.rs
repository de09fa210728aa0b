//! Changes of the membership: from one valid configuration to the next, or a refusal. Go: confchange/confchange.go.
//!
//! Two configurations must never decide apart from each other. [`Changer`] offers the two ways that keep this: change one
//! voter at a time, so that every majority of the old voters and every majority of the new share a node (Ongaro's thesis §4.1), or
//! go through a joint configuration in which both majorities must agree (Raft paper §6, thesis §4.3).
//!
//! ```text
//!                           simple: at most one voter more or less
//!        (1 2 3)  --------------------------------------------------->  (1 2 3 4)
//!
//!                  enter_joint                          leave_joint
//!        (1 2 3)  ------------->  (3 4 5)&&(1 2 3)  ------------------>  (3 4 5)
//!                                 both must agree
//! ```
//!
//! Nothing here changes a tracker: each call gives a new configuration with the progress of its members, for the caller to adopt, and an
//! error leaves all as it was.
//!
//! ```
//! use tickraft::confchange::{Changer, Error};
//! use tickraft::raftpb::conf_changes_from_string;
//! use tickraft::tracker::ProgressTracker;
//!
//! let mut trk = ProgressTracker::new(256, 0);
//! let mut adopt = |text: &str, joint: bool| {
//!     let ccs = conf_changes_from_string(text).unwrap();
//!     let changer = Changer::new(&trk, 10);
//!     (trk.config, trk.progress) = if joint { changer.enter_joint(true, &ccs)? } else { changer.simple(&ccs)? };
//!     Ok::<_, Error>(trk.config.to_string())
//! };
//!
//! assert_eq!(adopt("v1", false).unwrap(), "voters=(1)");
//! assert_eq!(adopt("v2 v3", false), Err(Error::MultipleVoters));
//! assert_eq!(adopt("v2 v3 l1", true).unwrap(), "voters=(2 3)&&(1) learners_next=(1) autoleave");
//!
//! let (config, progress) = Changer::new(&trk, 10).leave_joint().unwrap();
//! assert_eq!(config.to_string(), "voters=(2 3) learners=(1)");
//! assert!(progress.get(1).unwrap().is_learner);
//! ```

mod changer;
mod error;
mod invariants;
mod restore;

pub use changer::{Changer, describe};
pub use error::Error;
pub use invariants::check_invariants;
pub use restore::restore;

#[cfg(test)]
mod tests;
