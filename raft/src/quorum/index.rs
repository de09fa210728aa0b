//! A log index as quorums see it, and where they look it up. Go: quorum/quorum.go.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::hash::BuildHasher;

/// A Raft log index: 0 (nothing) to `u64::MAX`, which stands for "without bound" and prints as `∞`.
///
/// ```
/// use tickraft::quorum::Index;
///
/// assert_eq!(Index(12).to_string(), "12");
/// assert_eq!(Index::MAX.to_string(), "∞");
/// assert_eq!(u64::from(Index::from(3)), 3);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Index(pub u64);

impl Index {
    /// The bound that no log reaches: what an empty configuration has committed.
    pub const MAX: Self = Self(u64::MAX);
}

impl fmt::Display for Index {
    #[doc(alias = "String")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::MAX {
            f.pad("∞")
        } else {
            self.0.fmt(f)
        }
    }
}

impl From<u64> for Index {
    fn from(index: u64) -> Self {
        Self(index)
    }
}

impl From<Index> for u64 {
    fn from(index: Index) -> Self {
        index.0
    }
}

/// Where a quorum looks up what each voter has acknowledged.
///
/// The maps of the standard library are such places; anything else that knows its voters implements it in a line.
/// A quorum asks for its voters in ascending order of id, each once.
///
/// ```
/// use tickraft::quorum::{AckedIndexer, Index, MajorityConfig};
///
/// /// Voter ids are 1, 2, 3 …: the place in the list is the id.
/// struct Acks(Vec<u64>);
/// impl AckedIndexer for Acks {
///     fn acked_index(&self, voter_id: u64) -> Option<Index> {
///         let at = usize::try_from(voter_id.checked_sub(1)?).ok()?;
///         self.0.get(at).map(|&index| Index(index))
///     }
/// }
///
/// let voters = MajorityConfig::from([1, 2, 3]);
/// assert_eq!(voters.committed_index(&Acks(vec![4, 6])), Index(4));
/// ```
#[doc(alias = "mapAckIndexer")]
pub trait AckedIndexer {
    /// The highest index that the voter is known to hold; `None` when it was never heard of, which counts as 0.
    #[doc(alias = "AckedIndex")]
    fn acked_index(&self, voter_id: u64) -> Option<Index>;
}

impl AckedIndexer for BTreeMap<u64, Index> {
    fn acked_index(&self, voter_id: u64) -> Option<Index> {
        self.get(&voter_id).copied()
    }
}

impl<S: BuildHasher> AckedIndexer for HashMap<u64, Index, S> {
    fn acked_index(&self, voter_id: u64) -> Option<Index> {
        self.get(&voter_id).copied()
    }
}

impl<L: AckedIndexer + ?Sized> AckedIndexer for &L {
    fn acked_index(&self, voter_id: u64) -> Option<Index> {
        (**self).acked_index(voter_id)
    }
}
