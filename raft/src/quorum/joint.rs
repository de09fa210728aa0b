//! Two sets of voters that decide together while the membership changes. Go: quorum/joint.go.

use std::fmt;

use super::{AckedIndexer, IdSet, Index, MajorityConfig, VoteResult};

/// Two majorities that must agree: `C_new,old` of joint consensus (Raft paper §6, Ongaro's thesis §4.3).
///
/// With an empty `outgoing` half it is the plain configuration `incoming`, the usual state of a group.
///
/// ```
/// use tickraft::quorum::{JointConfig, MajorityConfig, VoteResult};
///
/// let mut voters = JointConfig::from(MajorityConfig::from([1, 2, 3]));
/// assert!(!voters.is_joint());
/// assert_eq!(voters.to_string(), "(1 2 3)");
///
/// voters.outgoing = MajorityConfig::from([3, 4, 5]);
/// assert_eq!(voters.to_string(), "(1 2 3)&&(3 4 5)");
/// assert_eq!(voters.ids().collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
///
/// // A majority of the one half alone elects nobody.
/// let yes = |id| (id <= 3).then_some(true);
/// assert_eq!(voters.incoming.vote_result(yes), VoteResult::Won);
/// assert_eq!(voters.vote_result(yes), VoteResult::Pending);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct JointConfig {
    /// The voters to come, or the only ones outside a joint configuration. Go: `[0]`.
    pub incoming: MajorityConfig,
    /// The voters to be left; empty outside a joint configuration. Go: `[1]`.
    pub outgoing: MajorityConfig,
}

impl JointConfig {
    /// Whether both halves count, that is whether `outgoing` has voters.
    #[doc(alias = "joint")]
    #[must_use]
    pub fn is_joint(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Whether the node votes in either half.
    #[must_use]
    pub fn contains(&self, id: u64) -> bool {
        self.incoming.contains(id) || self.outgoing.contains(id)
    }

    /// The voters of both halves in ascending order, each once.
    #[doc(alias = "IDs")]
    #[must_use = "an iterator does nothing until it is walked"]
    pub fn ids(&self) -> impl Iterator<Item = u64> + '_ {
        let (mut a, mut b) = (
            self.incoming.iter().peekable(),
            self.outgoing.iter().peekable(),
        );
        std::iter::from_fn(move || match (a.peek(), b.peek()) {
            (Some(x), Some(y)) if x == y => {
                b.next();
                a.next()
            }
            (Some(x), Some(y)) if y < x => b.next(),
            (Some(_), _) => a.next(),
            (None, _) => b.next(),
        })
    }

    /// The highest index that both halves have committed; see [`MajorityConfig::committed_index`].
    ///
    /// [`Index::MAX`] when both are empty.
    #[doc(alias = "CommittedIndex")]
    #[inline]
    #[must_use]
    pub fn committed_index<L: AckedIndexer + ?Sized>(&self, l: &L) -> Index {
        self.committed_index_by(|_, id| l.acked_index(id))
    }

    /// [`committed_index`](Self::committed_index) for whoever can make use of the place of a voter among those of its half.
    #[inline]
    pub(crate) fn committed_index_by(&self, acked: impl Fn(usize, u64) -> Option<Index>) -> Index {
        let incoming = self.incoming.committed_index_by(&acked);
        if self.outgoing.is_empty() {
            return incoming;
        }
        incoming.min(self.outgoing.committed_index_by(&acked))
    }

    /// How the vote stands: won when both halves grant it, lost when either refuses, else pending.
    #[doc(alias = "VoteResult")]
    #[must_use]
    pub fn vote_result(&self, votes: impl Fn(u64) -> Option<bool>) -> VoteResult {
        use VoteResult::{Lost, Pending, Won};
        match (
            self.incoming.vote_result(&votes),
            self.outgoing.vote_result(&votes),
        ) {
            (Lost, _) | (_, Lost) => Lost,
            (Won, Won) => Won,
            (Pending, _) | (_, Pending) => Pending,
        }
    }

    /// Draws what the voters of both halves have acknowledged, as [`MajorityConfig::describe`] does for one.
    #[doc(alias = "Describe")]
    #[must_use]
    pub fn describe<L: AckedIndexer + ?Sized>(&self, l: &L) -> String {
        MajorityConfig::from(self.ids().collect::<IdSet>()).describe(l)
    }
}

/// Prints `(1 2)&&(1 3)`, or `(1 2)` when it is not joint.
impl fmt::Display for JointConfig {
    #[doc(alias = "String")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.incoming.fmt(f)?;
        if self.is_joint() {
            write!(f, "&&{}", self.outgoing)?;
        }
        Ok(())
    }
}

impl From<MajorityConfig> for JointConfig {
    /// The configuration that is not joint.
    fn from(incoming: MajorityConfig) -> Self {
        Self {
            incoming,
            outgoing: MajorityConfig::new(),
        }
    }
}

impl From<[MajorityConfig; 2]> for JointConfig {
    /// `[incoming, outgoing]`, the order of Go's array.
    fn from([incoming, outgoing]: [MajorityConfig; 2]) -> Self {
        Self { incoming, outgoing }
    }
}
