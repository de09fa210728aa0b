//! The progress of all members, in id order. Go: tracker/progress.go.

use std::fmt;
use std::iter::{Copied, Zip};
use std::slice;

use super::Progress;

/// Up to this many members a look-up scans: that is faster than halving as long as the ids share a cache line or two.
const SCANNED: usize = 8;

/// The [`Progress`] of each member, in ascending order of id.
///
/// The ids lie side by side and apart from what they stand for: a look-up among a handful of members touches one cache line.
/// Members have places, `0..len()`, so that a loop which must let go of the map on every turn can still walk it:
/// [`get_index_mut`](Self::get_index_mut). Places change when members come and go.
///
/// ```
/// use tickraft::tracker::{Inflights, Progress, ProgressMap};
///
/// let mut peers = ProgressMap::new();
/// peers.insert(10, Progress::new(1, Inflights::new(8, 0)));
/// peers.insert(9, Progress::new(5, Inflights::new(8, 0)));
/// peers.get_mut(9).unwrap().recent_active = true;
/// assert_eq!(peers.to_string(), "9: StateProbe match=0 next=5\n10: StateProbe match=0 next=1 inactive\n");
/// assert_eq!(peers.ids(), [9, 10]);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProgressMap {
    /// Ascending; as long as `progress`, place by place.
    ids: Vec<u64>,
    progress: Vec<Progress>,
}

impl ProgressMap {
    /// The map without members.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            ids: Vec::new(),
            progress: Vec::new(),
        }
    }

    /// How many members there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are no members.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The ids in ascending order.
    #[must_use]
    pub fn ids(&self) -> &[u64] {
        &self.ids
    }

    /// The place of a member.
    #[inline]
    #[must_use]
    pub fn position(&self, id: u64) -> Option<usize> {
        if self.ids.len() <= SCANNED {
            self.ids.iter().position(|&member| member == id)
        } else {
            self.ids.binary_search(&id).ok()
        }
    }

    /// Whether the node is a member.
    #[inline]
    #[must_use]
    pub fn contains(&self, id: u64) -> bool {
        self.position(id).is_some()
    }

    /// The progress of a member.
    #[inline]
    #[must_use]
    pub fn get(&self, id: u64) -> Option<&Progress> {
        self.progress.get(self.position(id)?)
    }

    /// The progress of a member, to change.
    #[inline]
    #[must_use]
    pub fn get_mut(&mut self, id: u64) -> Option<&mut Progress> {
        let at = self.position(id)?;
        self.progress.get_mut(at)
    }

    /// The member at a place.
    #[inline]
    #[must_use]
    pub fn get_index(&self, at: usize) -> Option<(u64, &Progress)> {
        Some((*self.ids.get(at)?, self.progress.get(at)?))
    }

    /// The member at a place, to change.
    #[inline]
    #[must_use]
    pub fn get_index_mut(&mut self, at: usize) -> Option<(u64, &mut Progress)> {
        Some((*self.ids.get(at)?, self.progress.get_mut(at)?))
    }

    /// Adds a member, or replaces its progress and gives back the old one.
    pub fn insert(&mut self, id: u64, progress: Progress) -> Option<Progress> {
        match self.ids.binary_search(&id) {
            Ok(at) => self
                .progress
                .get_mut(at)
                .map(|old| std::mem::replace(old, progress)),
            Err(at) => {
                // Members are few and seldom change, groups may be many: no memory to spare.
                self.ids.reserve_exact(1);
                self.progress.reserve_exact(1);
                self.ids.insert(at, id);
                self.progress.insert(at, progress);
                None
            }
        }
    }

    /// Takes a member out.
    pub fn remove(&mut self, id: u64) -> Option<Progress> {
        let at = self.ids.binary_search(&id).ok()?;
        self.ids.remove(at);
        Some(self.progress.remove(at))
    }

    /// Takes all members out.
    pub fn clear(&mut self) {
        self.ids.clear();
        self.progress.clear();
    }

    /// The members in ascending order of id.
    #[must_use = "an iterator does nothing until it is walked"]
    pub fn iter(&self) -> Zip<Copied<slice::Iter<'_, u64>>, slice::Iter<'_, Progress>> {
        self.ids.iter().copied().zip(&self.progress)
    }

    /// The members in ascending order of id, to change.
    #[must_use = "an iterator does nothing until it is walked"]
    pub fn iter_mut(&mut self) -> Zip<Copied<slice::Iter<'_, u64>>, slice::IterMut<'_, Progress>> {
        self.ids.iter().copied().zip(&mut self.progress)
    }
}

/// Prints a line for each member: its id in decimal, a colon, the progress.
impl fmt::Display for ProgressMap {
    #[doc(alias = "String")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.iter()
            .try_for_each(|(id, progress)| writeln!(f, "{id}: {progress}"))
    }
}

impl Extend<(u64, Progress)> for ProgressMap {
    fn extend<I: IntoIterator<Item = (u64, Progress)>>(&mut self, members: I) {
        for (id, progress) in members {
            self.insert(id, progress);
        }
    }
}

impl FromIterator<(u64, Progress)> for ProgressMap {
    /// Takes members in any order; of one that comes twice the last counts.
    fn from_iter<I: IntoIterator<Item = (u64, Progress)>>(members: I) -> Self {
        let mut map = Self::new();
        map.extend(members);
        map
    }
}

impl<'a> IntoIterator for &'a ProgressMap {
    type Item = (u64, &'a Progress);
    type IntoIter = Zip<Copied<slice::Iter<'a, u64>>, slice::Iter<'a, Progress>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'a> IntoIterator for &'a mut ProgressMap {
    type Item = (u64, &'a mut Progress);
    type IntoIter = Zip<Copied<slice::Iter<'a, u64>>, slice::IterMut<'a, Progress>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter_mut()
    }
}
