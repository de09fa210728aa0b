//! What a node knows of itself and of its group. Go: status.go

use crate::raftpb::HardState;
use crate::storage::Storage;
use crate::tracker::{Config, Progress, ProgressMap};
use crate::{Raft, SoftState, StateType};
use std::fmt;

/// All that a node knows of itself and its group. Go: Status
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// What costs nothing to tell.
    pub basic: BasicStatus,
    /// The active configuration. Differs from Go: `auto_leave` is kept.
    pub config: Config,
    /// The progress of each member, in id order; empty unless the node leads.
    pub progress: ProgressMap,
}

/// What a node knows of itself. Go: BasicStatus
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BasicStatus {
    /// The node.
    pub id: u64,
    /// Term, vote and commit index, written or not.
    pub hard_state: HardState,
    /// The leader and the role.
    pub soft_state: SoftState,
    /// What the application has applied.
    pub applied: u64,
    /// The node that leadership is being transferred to, 0 when to none.
    pub lead_transferee: u64,
}

/// What part a member has. Go: ProgressType
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProgressType {
    /// A voter.
    #[doc(alias = "ProgressTypePeer")]
    Peer,
    /// A learner.
    #[doc(alias = "ProgressTypeLearner")]
    Learner,
}

impl Status {
    /// The status as JSON, members in id order. Go: MarshalJSON
    #[must_use]
    #[doc(alias = "MarshalJSON")]
    pub fn to_json(&self) -> String {
        self.to_string()
    }
}

/// Prints the JSON, as Go does.
impl fmt::Display for Status {
    #[doc(alias = "String")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let b = &self.basic;
        write!(
            f,
            r#"{{"id":"{:x}","term":{},"vote":"{:x}","commit":{},"lead":"{:x}","raftState":"{}","applied":{},"progress":{{"#,
            b.id,
            b.hard_state.term,
            b.hard_state.vote,
            b.hard_state.commit,
            b.soft_state.lead,
            b.soft_state.raft_state,
            b.applied
        )?;
        for (i, (id, pr)) in self.progress.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            write!(
                f,
                r#"{comma}"{id:x}":{{"match":{},"next":{},"state":"{}"}}"#,
                pr.matched, pr.next, pr.state
            )?;
        }
        write!(f, r#"}},"leadtransferee":"{:x}"}}"#, b.lead_transferee)
    }
}

impl StateType {
    /// The role's name in quotes, as Go writes it into JSON. Go: MarshalJSON
    #[must_use]
    pub fn to_json(self) -> String {
        format!("\"{self}\"")
    }
}

impl<S: Storage> Raft<S> {
    /// All that the node knows of itself and its group; it copies, see [`basic_status`](Self::basic_status) and [`with_progress`](Self::with_progress).
    /// Answers after a fault too.
    #[must_use]
    #[doc(alias = "getStatus", alias = "getProgressCopy")]
    pub fn status(&self) -> Status {
        let mut s = Status {
            basic: self.basic_status(),
            config: self.trk.config.clone(),
            ..Status::default()
        };
        if self.state == StateType::Leader {
            s.progress = self.trk.progress.clone();
        }
        s
    }

    /// What the node knows of itself. Answers after a fault too.
    #[must_use]
    #[doc(alias = "getBasicStatus")]
    pub fn basic_status(&self) -> BasicStatus {
        BasicStatus {
            id: self.id,
            hard_state: self.hard_state(),
            soft_state: self.soft_state(),
            applied: self.raft_log.applied,
            lead_transferee: self.lead_transferee,
        }
    }

    /// Calls `visitor` for each member in id order. What a progress says of a peer is meaningful on a leader only.
    #[doc(alias = "WithProgress")]
    pub fn with_progress(&self, mut visitor: impl FnMut(u64, ProgressType, &Progress)) {
        for (id, pr) in &self.trk.progress {
            let typ = if pr.is_learner {
                ProgressType::Learner
            } else {
                ProgressType::Peer
            };
            visitor(id, typ, pr);
        }
    }
}
