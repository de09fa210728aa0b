//! What opening a log found. Go: the results of ReadAll

use super::*;

/// What opening a log found.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Recovered {
    /// What was given to [`Wal::create`]; opaque.
    pub metadata: Vec<u8>,
    /// The last hard state.
    pub hard_state: HardState,
    /// All snapshot marks in the log, oldest first, those beyond the commit index included.
    pub marks: Vec<SnapshotMark>,
    /// The first and the last index that can be read: `first == last + 1` when there are no entries.
    pub entries: (u64, u64),
    /// Entries of before an installed snapshot that were still in the log and are not returned.
    pub dropped_entries: u64,
    /// What lay behind the last whole batch.
    pub torn: Option<Torn>,
    /// Whether the records carry protection.
    pub protected: bool,
    /// The last record's sequence number, and the highest one that was proven durable before this open. The batches between them were found whole but
    /// might never have been acknowledged; after a power cut, damage behind the proven one cannot be told from an unfinished write.
    pub sequence: (u64, u64),
    /// How many records and bytes were read.
    pub read: (u64, u64),
    /// Where the log was compacted before, index and term.
    pub(crate) compacted: (u64, u64),
    pub(crate) mark_segments: Vec<u64>,
    /// Where in the last segment the proven part ends.
    pub(crate) proven_offset: u64,
}

impl Recovered {
    /// The marks that a snapshot may be loaded for: none beyond the commit index. Go: ValidSnapshotEntries
    #[must_use]
    #[doc(alias = "ValidSnapshotEntries")]
    pub fn valid_marks(&self) -> Vec<&SnapshotMark> {
        self.marks
            .iter()
            .filter(|m| m.index <= self.hard_state.commit)
            .collect()
    }

    /// Checks that the log marks a snapshot and that the entries behind it are there, as etcd's Open does.
    ///
    /// # Errors
    /// [`Error::SnapshotNotFound`], [`Error::SnapshotMismatch`], [`Error::MissingLog`].
    pub fn check_snapshot(&self, index: u64, term: u64) -> Result<(), Error> {
        let mut found = Err(Error::SnapshotNotFound { index, term });
        for m in self.marks.iter().filter(|m| m.index == index) {
            if m.term == term {
                found = Ok(());
            } else if found.is_err() {
                found = Err(Error::SnapshotMismatch {
                    index,
                    term,
                    marked: m.term,
                });
            }
        }
        found?;
        if self.entries.0 > index + 1 {
            return Err(Error::MissingLog {
                snapshot: index,
                reason: "the log was compacted past it".into(),
                missing_from: index + 1,
                missing_to: self.entries.0 - 1,
            });
        }
        Ok(())
    }

    /// About how many bytes of log there are.
    pub(crate) fn log_bytes(&self) -> u64 {
        self.read.1
    }

    /// Whether nothing was ever stored: no entries, no hard state, no snapshot.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.hard_state.is_empty() && self.entries.1 == 0 && self.marks.iter().all(|m| m.index == 0)
    }
}

pub(super) fn recovered(s: &Scan) -> Recovered {
    let Replay {
        metadata,
        hs,
        marks,
        log,
        dropped,
        ..
    } = &s.replay;
    let m = s.mark.unwrap_or_default();
    Recovered {
        metadata: metadata.clone().unwrap_or_default(),
        hard_state: *hs,
        marks: marks.iter().map(|m| m.mark.clone()).collect(),
        entries: (log.base() + 1, log.last()),
        dropped_entries: *dropped,
        torn: s.torn.clone(),
        protected: s.protected,
        sequence: (s.seq, s.proven),
        read: (s.records, s.bytes),
        compacted: (m.compacted, m.compacted_term),
        mark_segments: marks.iter().map(|m| m.segment).collect(),
        proven_offset: s.proven_offset,
    }
}
