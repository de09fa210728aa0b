//! What identifies an entry, and what may go wrong when one is looked up. Go: types.go

use crate::Fault;
use crate::raftpb::Entry;

/// Which entry: a leader never issues two with the same index, and a term has one leader. Go: entryID
#[doc(alias = "entryID")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct EntryId {
    pub(crate) term: u64,
    pub(crate) index: u64,
}

impl EntryId {
    pub(crate) const fn new(term: u64, index: u64) -> Self {
        Self { term, index }
    }
}

impl From<&Entry> for EntryId {
    #[doc(alias = "pbEntryID")]
    fn from(e: &Entry) -> Self {
        Self::new(e.term, e.index)
    }
}

/// Why the log did not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LogError {
    /// The index is only in the snapshot.
    Compacted,
    /// The index lies beyond the end.
    Unavailable,
    /// The storage failed: the node stops.
    Fault(Fault),
}

impl LogError {
    /// Sorts a storage's error into answers and faults.
    pub(crate) fn from_storage(during: &'static str, e: storage::Error) -> Self {
        match e {
            storage::Error::Compacted => Self::Compacted,
            storage::Error::Unavailable => Self::Unavailable,
            e => Self::Fault(Fault::new(during, e)),
        }
    }

    /// For callers to whom any error means that the storage broke its promise.
    pub(crate) fn into_fault(self, during: &'static str) -> Fault {
        match self {
            Self::Compacted => Fault::new(during, storage::Error::Compacted),
            Self::Unavailable => Fault::new(during, storage::Error::Unavailable),
            Self::Fault(f) => f,
        }
    }
}

impl From<Fault> for LogError {
    fn from(f: Fault) -> Self {
        Self::Fault(f)
    }
}

/// The largest index that a message may name. No log grows that far, so what is computed from indexes never overflows.
pub(crate) const MAX_INDEX: u64 = u64::MAX >> 1;

/// The largest term that a message may carry; one more can still be campaigned for.
pub(crate) const MAX_TERM: u64 = u64::MAX - 1;

#[cfg(test)]
mod tests {
    use super::*;

    /// An entry is named by its term and its index, whatever it carries.
    #[test]
    fn ids_are_equal_when_both_parts_are() {
        let id = EntryId::new(5, 10);
        assert_eq!(id, EntryId::new(5, 10));
        assert_ne!(id, EntryId::new(4, 10));
        assert_ne!(id, EntryId::new(5, 9));
        for (e, want) in [
            (Entry::default(), EntryId::default()),
            (Entry::new(1, 2, "data"), EntryId::new(1, 2)),
            (Entry::new(10, 123, ""), EntryId::new(10, 123)),
        ] {
            assert_eq!(EntryId::from(&e), want);
        }
    }
}
