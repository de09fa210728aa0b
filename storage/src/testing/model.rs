//! The contract as the dumbest code that keeps it: a plain vector.

use crate::{Error, Storage, Write, Writer};
use raftpb::{ConfState, Entries, Entry, HardState, Snapshot};

/// A storage that is a plain vector: what the suite compares with, and a base for fault injection in tests.
///
/// ```
/// use tickraft_storage::testing::Model;
/// use tickraft_storage::raftpb::Entry;
/// use tickraft_storage::{Storage, Write, Writer};
///
/// let mut m = Model::default();
/// m.append(&Write { entries: vec![Entry::new(1, 1, "x")].into(), ..Write::default() }).unwrap();
/// assert_eq!(m.last_index(), Ok(1));
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Model {
    pub(super) hard_state: HardState,
    pub(super) snapshot: Snapshot,
    /// The index before the first entry, and its term.
    pub(super) base: u64,
    pub(super) base_term: u64,
    pub(super) entries: Vec<Entry>,
    /// What compaction let go of since the log began or was replaced: an implementation may have it again after a reopen.
    pub(super) gone: Vec<Entry>,
    /// The index before `gone`, and its term.
    pub(super) origin: (u64, u64),
}

impl Model {
    pub(super) fn first(&self) -> u64 {
        self.base + 1
    }

    pub(super) fn last(&self) -> u64 {
        self.base + self.entries.len() as u64
    }

    /// The position of an index in `entries`.
    fn at(&self, index: u64) -> usize {
        usize::try_from(index - self.first()).unwrap_or(usize::MAX)
    }

    fn out_of_range(index: u64, first: u64, last: u64) -> Error {
        Error::OutOfRange { index, first, last }
    }

    fn check_entries(entries: &Entries, first: u64, last: u64) -> Result<(), Error> {
        let head = entries.first().map_or(0, |e| e.index);
        if head > last + 1 {
            return Err(Self::out_of_range(head, first, last + 1));
        }
        for (n, e) in entries.iter().enumerate() {
            let next = head.saturating_add(n as u64);
            if e.index != next || next == u64::MAX {
                return Err(Self::out_of_range(e.index, next, next));
            }
        }
        Ok(())
    }

    pub(super) fn check_received(&self, s: &Snapshot) -> Result<(), Error> {
        let (index, term) = (s.metadata.index, s.metadata.term);
        let is_new = self.last() == 0;
        let stale = index <= self.snapshot.metadata.index || index < self.base;
        if stale && !(index == 0 && is_new) {
            return Err(Error::SnapshotOutOfDate);
        }
        if index == 0 && term != 0 {
            return Err(Error::TermMismatch {
                index,
                term,
                expected: 0,
            });
        }
        if index == u64::MAX {
            return Err(Self::out_of_range(index, 1, index - 1));
        }
        Ok(())
    }

    pub(super) fn check(&self, w: &Write) -> Result<(), Error> {
        let Some(s) = &w.snapshot else {
            return Self::check_entries(&w.entries, self.first(), self.last());
        };
        self.check_received(s)?;
        Self::check_entries(&w.entries, s.metadata.index + 1, s.metadata.index)
    }

    /// Puts a snapshot in the log's place.
    pub(super) fn install(&mut self, s: &Snapshot) {
        (self.base, self.base_term) = (s.metadata.index, s.metadata.term);
        self.origin = (self.base, self.base_term);
        self.entries.clear();
        self.gone.clear();
        self.snapshot = s.clone();
    }

    pub(super) fn put(&mut self, entries: &Entries) {
        for e in entries.iter().filter(|e| e.index > self.base) {
            self.entries.truncate(self.at(e.index));
            self.entries.push(e.clone());
        }
    }

    /// Stores a snapshot of the log, or one that is all the log has if its entries were not kept.
    pub(super) fn keep_snapshot(&mut self, s: &Snapshot) {
        match self.term(s.metadata.index) {
            Ok(t) if t == s.metadata.term => self.snapshot = s.clone(),
            _ => self.install(s),
        }
    }

    /// Lets go of all before `first`, or takes it back where compaction was the reason that it is gone.
    pub(super) fn begin_at(&mut self, first: u64) -> Result<(), Error> {
        if first > self.first() {
            return self.compact(first - 1);
        }
        if first <= self.origin.0 {
            return Err(Error::Compacted);
        }
        let keep = usize::try_from(first - self.origin.0 - 1).unwrap_or(usize::MAX);
        let back = self.gone.split_off(keep.min(self.gone.len()));
        self.entries.splice(0..0, back);
        self.base = first - 1;
        self.base_term = self.gone.last().map_or(self.origin.1, |e| e.term);
        Ok(())
    }
}

impl Storage for Model {
    fn initial_state(&self) -> Result<(HardState, ConfState), Error> {
        Ok((self.hard_state, self.snapshot.metadata.conf_state.clone()))
    }

    fn entries(&self, lo: u64, hi: u64, max_size: u64) -> Result<Entries, Error> {
        if lo <= self.base {
            return Err(Error::Compacted);
        }
        if hi > self.last() + 1 {
            return Err(Error::Unavailable);
        }
        if lo > hi {
            return Err(Self::out_of_range(lo, self.first(), hi));
        }
        let range = &self.entries[self.at(lo)..self.at(hi)];
        Ok(Entries::from(range.to_vec()).limit_size(max_size))
    }

    fn term(&self, index: u64) -> Result<u64, Error> {
        match index {
            i if i < self.base => Err(Error::Compacted),
            i if i == self.base => Ok(self.base_term),
            i if i > self.last() => Err(Error::Unavailable),
            i => Ok(self.entries[self.at(i)].term),
        }
    }

    fn first_index(&self) -> Result<u64, Error> {
        Ok(self.first())
    }

    fn last_index(&self) -> Result<u64, Error> {
        Ok(self.last())
    }

    fn snapshot(&self) -> Result<Snapshot, Error> {
        Ok(self.snapshot.clone())
    }
}

impl Writer for Model {
    fn append(&mut self, w: &Write) -> Result<(), Error> {
        self.check(w)?;
        if let Some(s) = &w.snapshot {
            self.install(s);
        }
        self.put(&w.entries);
        if let Some(hs) = w.hard_state {
            self.hard_state = hs;
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn save_snapshot(&mut self, s: &Snapshot) -> Result<(), Error> {
        let (index, term) = (s.metadata.index, s.metadata.term);
        if index <= self.snapshot.metadata.index || index < self.base {
            return Err(Error::SnapshotOutOfDate);
        }
        match self.term(index) {
            Ok(expected) if expected == term => {
                self.snapshot = s.clone();
                Ok(())
            }
            Ok(expected) => Err(Error::TermMismatch {
                index,
                term,
                expected,
            }),
            Err(_) => Err(Self::out_of_range(index, self.base, self.last())),
        }
    }

    fn compact(&mut self, index: u64) -> Result<(), Error> {
        if index <= self.base {
            return Err(Error::Compacted);
        }
        if index > self.last() {
            return Err(Self::out_of_range(index, self.first(), self.last()));
        }
        let term = self.term(index)?;
        let stays = self.entries.split_off(self.at(index) + 1);
        self.gone.append(&mut self.entries);
        self.entries = stays;
        (self.base, self.base_term) = (index, term);
        Ok(())
    }
}
