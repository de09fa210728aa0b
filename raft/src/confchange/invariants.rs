//! What holds of every configuration and the progress of its members. Go: confchange/confchange.go.

use super::Error;
use crate::tracker::{Config, ProgressMap};

/// Checks that a configuration is valid and fits the progress of its members: each member has one, nobody is learner and voter at once,
/// and what belongs to a joint configuration is empty without one.
///
/// The configuration without any member is valid: it is where every group starts.
///
/// # Errors
///
/// The first of these that does not hold, members in ascending order.
///
/// ```
/// use tickraft::confchange::{Error, check_invariants};
/// use tickraft::tracker::{Config, ProgressMap};
///
/// let mut config = Config::default();
/// assert_eq!(check_invariants(&config, &ProgressMap::new()), Ok(()));
/// config.learners.insert(3);
/// assert_eq!(check_invariants(&config, &ProgressMap::new()), Err(Error::NoProgress { id: 3 }));
/// ```
#[doc(alias = "checkInvariants")]
pub fn check_invariants(cfg: &Config, trk: &ProgressMap) -> Result<(), Error> {
    let members = cfg
        .voters
        .ids()
        .chain(&cfg.learners)
        .chain(&cfg.learners_next);
    if let Some(id) = members.into_iter().find(|&id| !trk.contains(id)) {
        return Err(Error::NoProgress { id });
    }
    let marked_learner = |id| trk.get(id).is_some_and(|pr| pr.is_learner);

    // A learner waits in learners_next only because it still votes in the outgoing half.
    for id in &cfg.learners_next {
        if !cfg.voters.outgoing.contains(id) {
            return Err(Error::LearnersNextNotOutgoing { id });
        }
        if marked_learner(id) {
            return Err(Error::LearnersNextMarkedLearner { id });
        }
    }
    for id in &cfg.learners {
        if cfg.voters.outgoing.contains(id) {
            return Err(Error::LearnerInOutgoing { id });
        }
        if cfg.voters.incoming.contains(id) {
            return Err(Error::LearnerInIncoming { id });
        }
        if !marked_learner(id) {
            return Err(Error::LearnerNotMarked { id });
        }
    }
    if !cfg.voters.is_joint() {
        if !cfg.learners_next.is_empty() {
            return Err(Error::LearnersNextWhenNotJoint);
        }
        if cfg.auto_leave {
            return Err(Error::AutoLeaveWhenNotJoint);
        }
    }
    Ok(())
}
