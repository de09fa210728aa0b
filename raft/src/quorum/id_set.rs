//! A small ordered set of node ids. Go: the `map[uint64]struct{}` of quorum/majority.go and tracker/tracker.go.

use std::fmt;

/// A set of node ids, kept in ascending order.
///
/// Groups have a handful of members, so a sorted list is smaller and faster than a hash map and is walked in id order without
/// sorting. An empty set takes no memory. Where Go tells a nil map from an empty one, this has only the empty set.
///
/// ```
/// use tickraft::quorum::IdSet;
///
/// let mut ids = IdSet::from([3, 1, 10, 3]);
/// assert_eq!(ids.to_string(), "(1 3 a)"); // hexadecimal, as ids are printed everywhere in logs
/// assert!(ids.insert(2));
/// assert!(!ids.insert(2), "already there");
/// assert!(ids.remove(10));
/// assert_eq!(ids.as_slice(), [1, 2, 3]);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct IdSet {
    ids: Vec<u64>,
}

impl IdSet {
    /// The empty set.
    #[must_use]
    pub const fn new() -> Self {
        Self { ids: Vec::new() }
    }

    /// How many ids are in the set.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether the set has no ids.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Whether the id is in the set.
    #[must_use]
    pub fn contains(&self, id: u64) -> bool {
        self.ids.binary_search(&id).is_ok()
    }

    /// Adds an id; false when it was there before.
    #[doc(alias = "nilAwareAdd")]
    pub fn insert(&mut self, id: u64) -> bool {
        match self.ids.binary_search(&id) {
            Ok(_) => false,
            Err(at) => {
                // Sets seldom change, and there may be many.
                self.ids.reserve_exact(1);
                self.ids.insert(at, id);
                true
            }
        }
    }

    /// Takes an id out; false when it was not there.
    #[doc(alias = "nilAwareDelete")]
    pub fn remove(&mut self, id: u64) -> bool {
        match self.ids.binary_search(&id) {
            Ok(at) => {
                self.ids.remove(at);
                true
            }
            Err(_) => false,
        }
    }

    /// Takes all ids out.
    pub fn clear(&mut self) {
        self.ids.clear();
    }

    /// The ids in ascending order.
    #[doc(alias = "Slice")]
    #[must_use]
    pub fn as_slice(&self) -> &[u64] {
        &self.ids
    }

    /// The ids in ascending order.
    #[must_use = "an iterator does nothing until it is walked"]
    pub fn iter(&self) -> std::iter::Copied<std::slice::Iter<'_, u64>> {
        self.ids.iter().copied()
    }
}

/// Prints `(1 2 a)`: ascending, in hexadecimal.
impl fmt::Display for IdSet {
    #[doc(alias = "String")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(")?;
        for (i, id) in self.iter().enumerate() {
            if i > 0 {
                f.write_str(" ")?;
            }
            write!(f, "{id:x}")?;
        }
        f.write_str(")")
    }
}

impl From<Vec<u64>> for IdSet {
    /// Takes ids in any order, repeated or not.
    fn from(mut ids: Vec<u64>) -> Self {
        ids.sort_unstable();
        ids.dedup();
        Self { ids }
    }
}

impl<const N: usize> From<[u64; N]> for IdSet {
    fn from(ids: [u64; N]) -> Self {
        Self::from(Vec::from(ids))
    }
}

impl From<IdSet> for Vec<u64> {
    /// The ids in ascending order.
    fn from(set: IdSet) -> Self {
        set.ids
    }
}

impl FromIterator<u64> for IdSet {
    fn from_iter<I: IntoIterator<Item = u64>>(ids: I) -> Self {
        Self::from(Vec::from_iter(ids))
    }
}

impl Extend<u64> for IdSet {
    fn extend<I: IntoIterator<Item = u64>>(&mut self, ids: I) {
        for id in ids {
            self.insert(id);
        }
    }
}

impl<'a> IntoIterator for &'a IdSet {
    type Item = u64;
    type IntoIter = std::iter::Copied<std::slice::Iter<'a, u64>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
