//! One set of voters that decides by majority. Go: quorum/majority.go.

use std::fmt::{self, Write as _};

use super::{AckedIndexer, IdSet, Index, VoteResult};

/// Up to this many voters the acknowledged indexes are put in order on the stack; beyond it they cost one allocation.
const ON_STACK: usize = 16;

/// A set of voters of which a majority decides.
///
/// The empty configuration agrees to everything: it has committed [`Index::MAX`] and wins every vote. That is what makes a
/// [`JointConfig`](super::JointConfig) with one empty half behave as its other half. Nothing in Raft lets an empty
/// configuration lead a group.
///
/// ```
/// use std::collections::BTreeMap;
/// use tickraft::quorum::{Index, MajorityConfig, VoteResult};
///
/// let voters: MajorityConfig = [4, 2, 1].into_iter().collect();
/// assert_eq!(voters.to_string(), "(1 2 4)");
/// assert!(voters.contains(4) && voters.len() == 3);
///
/// let acked = BTreeMap::from([(1, Index(100)), (2, Index(101)), (4, Index(99))]);
/// assert_eq!(voters.committed_index(&acked), Index(100));
///
/// let nobody = MajorityConfig::new();
/// assert_eq!(nobody.committed_index(&acked), Index::MAX);
/// assert_eq!(nobody.vote_result(|_| None), VoteResult::Won);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct MajorityConfig {
    ids: IdSet,
}

impl MajorityConfig {
    /// The configuration without voters.
    #[must_use]
    pub const fn new() -> Self {
        Self { ids: IdSet::new() }
    }

    /// The voters as a set.
    #[must_use]
    pub fn ids(&self) -> &IdSet {
        &self.ids
    }

    /// How many voters there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are no voters.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Whether the node votes here.
    #[must_use]
    pub fn contains(&self, id: u64) -> bool {
        self.ids.contains(id)
    }

    /// Adds a voter; false when it was one before.
    pub fn insert(&mut self, id: u64) -> bool {
        self.ids.insert(id)
    }

    /// Takes a voter out; false when it was none.
    pub fn remove(&mut self, id: u64) -> bool {
        self.ids.remove(id)
    }

    /// Takes all voters out.
    pub fn clear(&mut self) {
        self.ids.clear();
    }

    /// The voters in ascending order.
    #[doc(alias = "Slice")]
    #[must_use]
    pub fn as_slice(&self) -> &[u64] {
        self.ids.as_slice()
    }

    /// The voters in ascending order.
    #[must_use = "an iterator does nothing until it is walked"]
    pub fn iter(&self) -> std::iter::Copied<std::slice::Iter<'_, u64>> {
        self.ids.iter()
    }

    /// The highest index that a majority has acknowledged: 0 when no majority was heard of, [`Index::MAX`] when there
    /// are no voters (Raft paper §5.3).
    ///
    /// Whether the entry at that index is of the leader's own term, which Raft also asks for before it commits (§5.4.2), is for
    /// the caller to check. Groups of up to 16 voters cost no allocation.
    #[doc(alias = "CommittedIndex")]
    #[inline]
    #[must_use]
    pub fn committed_index<L: AckedIndexer + ?Sized>(&self, l: &L) -> Index {
        self.committed_index_by(|_, id| l.acked_index(id))
    }

    /// [`committed_index`](Self::committed_index) for whoever can make use of the place of a voter among the voters.
    #[inline]
    pub(crate) fn committed_index_by(&self, acked: impl Fn(usize, u64) -> Option<Index>) -> Index {
        let at = |place, id| acked(place, id).unwrap_or_default();
        // Nearly all groups have one, three or five voters, and the answer is asked for on every acknowledgement.
        match *self.as_slice() {
            [] => Index::MAX,
            [a] => at(0, a),
            [a, b] => at(0, a).min(at(1, b)),
            [a, b, c] => middle(at(0, a), at(1, b), at(2, c)),
            [a, b, c, d, e] => {
                let (a, b, c, d) = (at(0, a), at(1, b), at(2, c), at(3, d));
                // Of two pairs, the lowest and the highest of all four are not in the middle of five.
                let low = a.min(b).max(c.min(d));
                let high = a.max(b).min(c.max(d));
                middle(low, high, at(4, e))
            }
            ref ids => committed_by_order(ids, at),
        }
    }

    /// How the vote stands, given what each voter has said so far: `None` for one that was not heard of.
    ///
    /// Votes of others are not asked for. Without voters the vote is won.
    ///
    /// ```
    /// use tickraft::quorum::{MajorityConfig, VoteResult};
    ///
    /// let voters = MajorityConfig::from([1, 2, 3, 4]); // a majority is three
    /// let said = |no: &'static [u64]| move |id| Some(!no.contains(&id));
    /// assert_eq!(voters.vote_result(said(&[1])), VoteResult::Won);
    /// assert_eq!(voters.vote_result(said(&[1, 3])), VoteResult::Lost);
    /// ```
    #[doc(alias = "VoteResult")]
    #[must_use]
    pub fn vote_result(&self, votes: impl Fn(u64) -> Option<bool>) -> VoteResult {
        if self.is_empty() {
            return VoteResult::Won;
        }
        let (mut yes, mut missing) = (0, 0);
        for id in self.iter() {
            match votes(id) {
                Some(true) => yes += 1,
                Some(false) => {}
                None => missing += 1,
            }
        }
        let quorum = self.len() / 2 + 1;
        if yes >= quorum {
            VoteResult::Won
        } else if yes + missing >= quorum {
            VoteResult::Pending
        } else {
            VoteResult::Lost
        }
    }

    /// Draws what the voters have acknowledged, one line each: the bar is as long as there are voters behind this one,
    /// `?` marks one that was not heard of.
    ///
    /// ```
    /// use std::collections::BTreeMap;
    /// use tickraft::quorum::{Index, MajorityConfig};
    ///
    /// let voters = MajorityConfig::from([1, 2, 3]);
    /// let acked = BTreeMap::from([(1, Index(101)), (3, Index(103))]);
    /// assert_eq!(
    ///     voters.describe(&acked),
    ///     concat!(
    ///         "       idx\n",
    ///         "x>     101    (id=1)\n",
    ///         "?        0    (id=2)\n",
    ///         "xx>    103    (id=3)\n",
    ///     )
    /// );
    /// ```
    #[doc(alias = "Describe")]
    #[must_use]
    pub fn describe<L: AckedIndexer + ?Sized>(&self, l: &L) -> String {
        if self.is_empty() {
            return "<empty majority quorum>".to_owned();
        }
        let n = self.len();
        let acked: Vec<(u64, Option<Index>)> =
            self.iter().map(|id| (id, l.acked_index(id))).collect();
        let mut out = format!("{:n$}    idx\n", "");
        for &(id, found) in &acked {
            let index = found.unwrap_or_default();
            // Voters at the same index have bars of the same length.
            let behind = acked
                .iter()
                .filter(|(_, other)| other.unwrap_or_default() < index)
                .count();
            let bar = match found {
                Some(_) => format!("{}>", "x".repeat(behind)),
                None => "?".to_owned(),
            };
            let width = n + 1;
            // Writing to a String cannot fail.
            let _ = writeln!(out, "{bar:width$} {:5}    (id={id:x})", index.0);
        }
        out
    }
}

/// The middle one of three: the lower of the two highest.
fn middle(a: Index, b: Index, c: Index) -> Index {
    a.max(b).min(a.min(b).max(c))
}

/// What a majority has acknowledged, for any number of voters but none. Apart, so that it does not weigh on small groups.
#[inline(never)]
fn committed_by_order(ids: &[u64], acked: impl Fn(usize, u64) -> Index) -> Index {
    let n = ids.len();
    let mut stack = [Index(0); ON_STACK];
    let mut heap = Vec::new();
    let indexes = match stack.get_mut(..n) {
        Some(enough) => enough,
        None => {
            heap.resize(n, Index(0));
            &mut heap[..]
        }
    };
    for (place, (index, &id)) in indexes.iter_mut().zip(ids).enumerate() {
        *index = acked(place, id);
    }
    // In ascending order the entry here and the n/2 after it are a majority that holds it.
    let at = n - (n / 2 + 1);
    *indexes.select_nth_unstable(at).1
}

/// Prints `(1 2 3)`: ascending, in hexadecimal.
impl fmt::Display for MajorityConfig {
    #[doc(alias = "String")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.ids.fmt(f)
    }
}

impl From<IdSet> for MajorityConfig {
    fn from(ids: IdSet) -> Self {
        Self { ids }
    }
}

impl From<MajorityConfig> for IdSet {
    fn from(config: MajorityConfig) -> Self {
        config.ids
    }
}

impl From<Vec<u64>> for MajorityConfig {
    /// Takes ids in any order, repeated or not.
    fn from(ids: Vec<u64>) -> Self {
        IdSet::from(ids).into()
    }
}

impl<const N: usize> From<[u64; N]> for MajorityConfig {
    fn from(ids: [u64; N]) -> Self {
        IdSet::from(ids).into()
    }
}

impl FromIterator<u64> for MajorityConfig {
    fn from_iter<I: IntoIterator<Item = u64>>(ids: I) -> Self {
        IdSet::from_iter(ids).into()
    }
}

impl Extend<u64> for MajorityConfig {
    fn extend<I: IntoIterator<Item = u64>>(&mut self, ids: I) {
        self.ids.extend(ids);
    }
}

impl<'a> IntoIterator for &'a MajorityConfig {
    type Item = u64;
    type IntoIter = std::iter::Copied<std::slice::Iter<'a, u64>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
