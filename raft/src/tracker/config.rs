//! Who is in the group, and in what part. Go: tracker/tracker.go.

use std::fmt;

use crate::quorum::{IdSet, JointConfig};
use crate::raftpb::ConfState;

/// Who votes and who learns, possibly on the way from one configuration to the next.
///
/// Changes go through [`Changer`](crate::confchange::Changer), which keeps what is said at the fields.
///
/// Differs from Go: a clone keeps `auto_leave`; Go's `Config.Clone` drops it, and with it the status of a node.
///
/// ```
/// use tickraft::quorum::{IdSet, MajorityConfig};
/// use tickraft::tracker::Config;
///
/// let mut config = Config::default();
/// config.voters.incoming = MajorityConfig::from([1, 2]);
/// assert_eq!(config.to_string(), "voters=(1 2)");
///
/// config.voters.outgoing = MajorityConfig::from([1, 2, 3]);
/// config.learners_next = IdSet::from([3]);
/// config.auto_leave = true;
/// assert_eq!(config.to_string(), "voters=(1 2)&&(1 2 3) learners_next=(3) autoleave");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Config {
    /// The voters; two sets of them while the configuration is joint.
    pub voters: JointConfig,
    /// Whether the joint configuration is left by itself as soon as it has been committed; false when it is not joint. Else it stays
    /// joint until the application asks to leave it.
    pub auto_leave: bool,
    /// The learners. Nobody is a learner and a voter, in either half, at the same time, so each member has one part.
    pub learners: IdSet,
    /// Voters of the outgoing half that become learners when it is left; empty when the configuration is not joint.
    ///
    /// Demoting 3 in `voters=(1 2 3)` gives first `voters=(1 2)&&(1 2 3) learners_next=(3)`: 3 still votes in the
    /// outgoing half. Leaving that gives `voters=(1 2) learners=(3)`. A learner that votes in neither half does not wait here.
    pub learners_next: IdSet,
}

impl Config {
    /// The configuration as it is stored in snapshots, ids in ascending order.
    #[must_use]
    pub fn conf_state(&self) -> ConfState {
        ConfState {
            voters: self.voters.incoming.as_slice().to_vec(),
            voters_outgoing: self.voters.outgoing.as_slice().to_vec(),
            learners: self.learners.as_slice().to_vec(),
            learners_next: self.learners_next.as_slice().to_vec(),
            auto_leave: self.auto_leave,
        }
    }
}

/// Prints `voters=(1 2)&&(1 2 3) learners=(4) learners_next=(3) autoleave`, without what is empty.
impl fmt::Display for Config {
    #[doc(alias = "String")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "voters={}", self.voters)?;
        if !self.learners.is_empty() {
            write!(f, " learners={}", self.learners)?;
        }
        if !self.learners_next.is_empty() {
            write!(f, " learners_next={}", self.learners_next)?;
        }
        if self.auto_leave {
            f.write_str(" autoleave")?;
        }
        Ok(())
    }
}
