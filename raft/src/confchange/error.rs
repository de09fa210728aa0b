//! Why a change of the membership is refused; the texts are Go's. Go: confchange/confchange.go.

/// Why a change was refused. Nothing has changed.
///
/// The first group says what the change asks too much; propose another. The second says that the configuration and the progress that
/// the [`Changer`](super::Changer) was given do not fit together, which is a bug of whoever built them by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A joint configuration must be left before the next can be entered.
    #[error("config is already joint")]
    AlreadyJoint,
    /// A group without voters can only be given its first voter, one at a time.
    #[error("can't make a zero-voter config joint")]
    ZeroVoterJoint,
    /// The configuration is not joint, so there is nothing to leave.
    #[error("can't leave a non-joint config")]
    NotJoint,
    /// A joint configuration must be left before a simple change.
    #[error("can't apply simple config change in joint config")]
    SimpleInJoint,
    /// The changes add or remove more than one voter together: enter a joint configuration instead, or make them one by one.
    #[error("more than one voter changed without entering joint config")]
    MultipleVoters,
    /// Nobody would be left to decide.
    #[error("removed all voters")]
    RemovedAllVoters,

    /// A member has no progress.
    #[error("no progress for {id}")]
    NoProgress {
        /// The member.
        id: u64,
    },
    /// A learner is waiting for an outgoing half in which it does not vote.
    #[error("{id} is in LearnersNext, but not Voters[1]")]
    LearnersNextNotOutgoing {
        /// The learner to be.
        id: u64,
    },
    /// A learner to be has the progress of a learner although it still votes.
    #[error("{id} is in LearnersNext, but is already marked as learner")]
    LearnersNextMarkedLearner {
        /// The learner to be.
        id: u64,
    },
    /// A learner votes in the outgoing half.
    #[error("{id} is in Learners and Voters[1]")]
    LearnerInOutgoing {
        /// The learner.
        id: u64,
    },
    /// A learner votes in the incoming half.
    #[error("{id} is in Learners and Voters[0]")]
    LearnerInIncoming {
        /// The learner.
        id: u64,
    },
    /// A learner has the progress of a voter.
    #[error("{id} is in Learners, but is not marked as learner")]
    LearnerNotMarked {
        /// The learner.
        id: u64,
    },
    /// Learners wait for the end of a joint configuration, and there is none.
    #[error("cfg.LearnersNext must be nil when not joint")]
    LearnersNextWhenNotJoint,
    /// A joint configuration is to be left, and there is none.
    #[error("AutoLeave must be false when not joint")]
    AutoLeaveWhenNotJoint,
}
