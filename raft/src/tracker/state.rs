//! The three ways in which a leader treats a peer. Go: tracker/state.go.

use std::fmt;

/// How the leader treats a peer. Prints under Go's names: `StateProbe`, `StateReplicate`, `StateSnapshot`.
///
/// ```
/// use tickraft::tracker::StateType;
///
/// assert_eq!(StateType::default(), StateType::Probe);
/// assert_eq!(StateType::Replicate.to_string(), "StateReplicate");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum StateType {
    /// Where the peer's log ends is not known: one append at a time finds out. Usually one is enough, because a
    /// rejection carries a hint; a peer that stays here is mostly one that does not answer.
    #[default]
    #[doc(alias = "StateProbe")]
    Probe,
    /// The steady state: the peer's log is known, and entries are sent without waiting for answers (thesis §10.2.2).
    #[doc(alias = "StateReplicate")]
    Replicate,
    /// The peer needs entries that the leader's log no longer has: it must take a snapshot first (Raft paper §7).
    #[doc(alias = "StateSnapshot")]
    Snapshot,
}

impl fmt::Display for StateType {
    #[doc(alias = "String")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Probe => "StateProbe",
            Self::Replicate => "StateReplicate",
            Self::Snapshot => "StateSnapshot",
        })
    }
}
