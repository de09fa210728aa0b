//! How a vote stands. Go: quorum/quorum.go, voteresult_string.go.

use std::fmt;

/// How a vote stands. Prints under Go's names: `VotePending`, `VoteLost`, `VoteWon`.
///
/// ```
/// use tickraft::quorum::VoteResult;
///
/// assert_eq!(VoteResult::Won.to_string(), "VoteWon");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VoteResult {
    /// Votes that are still out decide: neither yes nor no has a majority yet.
    #[doc(alias = "VotePending")]
    Pending,
    /// So many voted no that yes cannot reach a majority any more.
    #[doc(alias = "VoteLost")]
    Lost,
    /// A majority voted yes.
    #[doc(alias = "VoteWon")]
    Won,
}

impl fmt::Display for VoteResult {
    #[doc(alias = "String")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pending => "VotePending",
            Self::Lost => "VoteLost",
            Self::Won => "VoteWon",
        })
    }
}
