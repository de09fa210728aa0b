//! Where terms begin in the recent log, so that the storage is seldom asked for one.

use crate::types::EntryId;

/// How many recent terms are remembered.
const RUNS: usize = 8;

/// The beginnings of the latest terms: from each one's index on, up to the next one's, entries have its term.
#[derive(Clone, Debug, Default)]
pub(crate) struct TermRuns {
    /// All but the last, of memory that just holds them: terms seldom change, and there may be many idle nodes.
    older: Vec<EntryId>,
    /// The last of them,
    newest: EntryId,
    /// if there is one.
    known: bool,
}

impl TermRuns {
    /// Only this entry is known.
    pub(crate) fn new(id: EntryId) -> Self {
        let mut t = Self::default();
        t.append(id);
        t
    }

    /// The term at an index that is in the log, if it is known.
    #[inline]
    pub(crate) fn get(&self, i: u64) -> Option<u64> {
        // Nearly all questions are about the newest term.
        self.newest(i)
            .or_else(|| self.run_at(i).map(|run| run.term))
    }

    /// The newest term, if an index that is in the log lies in it.
    #[inline]
    pub(crate) fn newest(&self, i: u64) -> Option<u64> {
        (i >= self.newest.index && self.known).then_some(self.newest.term)
    }

    /// The known part of the run that the index lies in: its beginning and its term.
    pub(crate) fn run_at(&self, i: u64) -> Option<EntryId> {
        if self.known && self.newest.index <= i {
            return Some(self.newest);
        }
        self.older.iter().rev().find(|r| r.index <= i).copied()
    }

    /// An entry was appended, or the first of several with this term.
    #[inline]
    pub(crate) fn append(&mut self, id: EntryId) {
        if self.known && self.newest.term == id.term {
            return;
        }
        self.begin(id);
    }

    /// A term begins.
    #[cold]
    fn begin(&mut self, id: EntryId) {
        if self.known {
            if self.older.len() + 1 == RUNS {
                self.older.remove(0);
            }
            self.older.reserve_exact(1);
            self.older.push(self.newest);
        }
        self.newest = id;
        self.known = true;
    }

    /// The entries from this index on were taken away.
    pub(crate) fn truncate(&mut self, from: u64) {
        while self.known && self.newest.index >= from {
            let before = self.older.pop();
            self.known = before.is_some();
            self.newest = before.unwrap_or_default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against a plain vector: what is known is right, and the latest terms are known.
    #[test]
    fn agrees_with_the_log() {
        for seed in 1..100_u64 {
            let mut rng = crate::rand::Rng::new(seed, 1);
            let mut log = vec![0_u64];
            let mut runs = TermRuns::new(EntryId::new(0, 0));
            for _ in 0..200 {
                match rng.below(8) {
                    0 => {
                        let keep = 1 + usize::try_from(rng.below(log.len() as u64)).unwrap();
                        runs.truncate(keep as u64);
                        log.truncate(keep);
                    }
                    n => {
                        let term = log.last().unwrap() + u64::from(n == 2);
                        runs.append(EntryId::new(term, log.len() as u64));
                        log.push(term);
                    }
                }
                for (i, &term) in log.iter().enumerate() {
                    if let Some(known) = runs.get(i as u64) {
                        assert_eq!(known, term, "seed {seed}, index {i}");
                    }
                }
            }
        }
    }

    #[test]
    fn remembers_the_latest_terms() {
        let mut runs = TermRuns::new(EntryId::new(0, 0));
        for term in 1..20 {
            runs.append(EntryId::new(term, term * 10));
        }
        assert_eq!(runs.get(119), None);
        assert_eq!(runs.get(120), Some(12));
        assert_eq!(runs.run_at(145), Some(EntryId::new(14, 140)));
        assert_eq!(runs.get(u64::MAX), Some(19));
    }
}
