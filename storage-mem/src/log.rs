//! The log as a row of shared blocks. Go: MemoryStorage.ents in storage.go

use std::collections::VecDeque;
use storage::Error;
use storage::raftpb::{Entries, Entry};

/// A run of fewer entries is short: its entries are copied, together with their neighbours.
const SHORT: usize = 16;

/// Copied entries become a block as soon as there are this many.
const GATHER: usize = 64;

/// No entry is larger on the wire, beside its data: four keys, an enum and three varints of at most ten bytes.
const OVERHEAD: u64 = 35;

/// Entries from one block, and what their block pins.
#[derive(Debug)]
struct Run {
    /// The index of the first entry.
    first: u64,
    /// Never empty, and a view of one block.
    entries: Entries,
    /// An upper bound of the entries' encoded size.
    weight: u64,
    /// The weight of entries that were cut off this view, which their block still holds.
    dead: u64,
}

impl Run {
    fn new(first: u64, entries: Entries) -> Self {
        Self {
            first,
            weight: weight(&entries),
            entries,
            dead: 0,
        }
    }

    /// One past the last index.
    fn end(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    /// The entries `lo..hi`, which this run has some of.
    fn view(&self, lo: u64, hi: u64) -> Entries {
        self.entries
            .slice(offset(self.first, lo)..offset(self.first, hi))
    }

    /// Keeps `lo..hi` alone. Where the rest weighs more than what stays, that is copied, so that a block pins at most twice
    /// what the log needs of it.
    fn cut(&mut self, lo: u64, hi: u64) {
        self.entries = self.view(lo, hi);
        self.first = self.first.max(lo);
        let stays = weight(&self.entries);
        self.dead += self.weight - stays;
        self.weight = stays;
        if self.dead > self.weight {
            self.entries = Entries::concat(vec![std::mem::take(&mut self.entries)]);
            self.dead = 0;
        }
    }
}

/// The distance from `first` to `index`, 0 where it lies before.
fn offset(first: u64, index: u64) -> usize {
    usize::try_from(index.saturating_sub(first)).unwrap_or(usize::MAX)
}

/// An upper bound of the encoded size.
fn weight(entries: &Entries) -> u64 {
    entries.runs().map(weight_of_run).sum()
}

#[inline]
fn weight_of_run(run: &[Entry]) -> u64 {
    let data: u64 = run.iter().map(|e| e.data.len() as u64).sum();
    data + run.len() as u64 * OVERHEAD
}

/// The same where the entries follow each other from an index on; `None` where they do not, or there are none.
#[inline]
fn weight_from(run: &[Entry], first: u64) -> Option<u64> {
    // The largest number is no index.
    first
        .checked_add(run.len() as u64)
        .filter(|_| !run.is_empty())?;
    let mut data = 0;
    for (e, index) in run.iter().zip(first..) {
        if e.index != index {
            return None;
        }
        data += e.data.len() as u64;
    }
    Some(data + run.len() as u64 * OVERHEAD)
}

/// The log: `base` and what follows it without a gap.
///
/// Entries are held as they were given: a block that the core sealed, or that a message brought, is shared. Only those of runs shorter
/// than [`SHORT`] are copied, with their payloads shared, and become one block when there are [`GATHER`] of them or a longer run follows. So there is
/// at most one run for every [`SHORT`] / 2 entries, and a read of the youngest entries copies fewer than [`GATHER`]. What compaction or truncation
/// cuts off a block is pinned by the rest at most up to the rest's own weight.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// The index before the first entry; its term stays known.
    base: u64,
    base_term: u64,
    runs: VecDeque<Run>,
    /// The last index in `runs`; without any, `base`.
    sealed: u64,
    /// The entries behind `runs`, copied one by one.
    young: Vec<Entry>,
}

/// What left the log, for the caller to drop after unlocking.
#[must_use = "to be dropped after unlocking"]
pub(crate) struct Released(
    #[allow(dead_code)] VecDeque<Run>,
    #[allow(dead_code)] Vec<Entry>,
);

impl Log {
    /// A log that begins behind a snapshot.
    pub(crate) fn behind(index: u64, term: u64) -> Self {
        Self {
            base: index,
            base_term: term,
            sealed: index,
            ..Self::default()
        }
    }

    #[inline]
    pub(crate) fn first(&self) -> u64 {
        self.base + 1
    }

    #[inline]
    pub(crate) fn last(&self) -> u64 {
        self.sealed + self.young.len() as u64
    }

    /// Whether it never held anything.
    pub(crate) fn is_new(&self) -> bool {
        self.base == 0 && self.last() == 0
    }

    /// The young entry at an index, if it is one.
    #[inline]
    fn young_at(&self, index: u64) -> Option<&Entry> {
        let at = index.checked_sub(self.sealed + 1)?;
        self.young.get(usize::try_from(at).ok()?)
    }

    /// The young entries of `lo..hi`.
    fn young_part(&self, lo: u64, hi: u64) -> &[Entry] {
        let first = self.sealed + 1;
        let part = offset(first, lo)..offset(first, hi);
        self.young.get(part).unwrap_or_default()
    }

    /// The position of the run that holds an index up to the last of the runs.
    fn run_of(&self, index: u64) -> usize {
        // Most questions are about the newest entries.
        match self.runs.back() {
            Some(r) if r.first <= index => self.runs.len() - 1,
            _ => self.runs.partition_point(|r| r.end() <= index),
        }
    }

    #[inline]
    pub(crate) fn term(&self, index: u64) -> Result<u64, Error> {
        if index == self.base {
            return Ok(self.base_term);
        }
        if index < self.base {
            return Err(Error::Compacted);
        }
        let entry = self.young_at(index).or_else(|| {
            let r = self.runs.get(self.run_of(index))?;
            r.entries.get(offset(r.first, index))
        });
        entry.map_or(Err(Error::Unavailable), |e| Ok(e.term))
    }

    #[inline]
    pub(crate) fn entries(&self, lo: u64, hi: u64, max_size: u64) -> Result<Entries, Error> {
        if lo < self.first() {
            return Err(Error::Compacted);
        }
        if hi > self.last() + 1 {
            return Err(Error::Unavailable);
        }
        if lo > hi {
            let (index, first, last) = (lo, self.first(), hi);
            return Err(Error::OutOfRange { index, first, last });
        }
        if lo == hi {
            return Ok(Entries::new());
        }
        // Mostly the newest entries are asked for, as they were written.
        if let Some(r) = self.runs.back()
            && r.first == lo
            && r.end() == hi
            && r.weight <= max_size
        {
            return Ok(r.entries.clone());
        }
        Ok(self
            .entries_by_weight(lo, hi, max_size)
            .unwrap_or_else(|| self.entries_by_size(lo, hi, max_size)))
    }

    /// All of `lo..hi`, where the bound of their sizes fits; no entry is looked at.
    fn entries_by_weight(&self, lo: u64, hi: u64, max_size: u64) -> Option<Entries> {
        let mut out = Entries::new();
        let mut weight: u64 = 0;
        for r in self.runs.range(self.run_of(lo)..) {
            if r.first >= hi {
                break;
            }
            weight = weight.saturating_add(r.weight);
            if weight > max_size {
                return None;
            }
            out = out.join(r.view(lo, hi));
        }
        let young = self.young_part(lo, hi);
        if weight.saturating_add(weight_of_run(young)) > max_size {
            return None;
        }
        Some(out.join(young.iter().cloned().collect()))
    }

    /// The longest part of `lo..hi` that fits, at least one entry.
    fn entries_by_size(&self, lo: u64, hi: u64, max_size: u64) -> Entries {
        let mut out = Entries::new();
        let mut size: u64 = 0;
        for r in self.runs.range(self.run_of(lo)..) {
            if r.first >= hi {
                break;
            }
            let view = r.view(lo, hi);
            for (fits, e) in view.iter().enumerate() {
                size = size.saturating_add(e.size());
                if size > max_size && !(fits == 0 && out.is_empty()) {
                    return out.join(view.slice(0..fits));
                }
            }
            out = out.join(view);
        }
        let young = self.young_part(lo, hi);
        let too_big = |(fits, e): (usize, &Entry)| {
            size = size.saturating_add(e.size());
            size > max_size && !(fits == 0 && out.is_empty())
        };
        let fit = young.iter().enumerate().position(too_big);
        let young = young.get(..fit.unwrap_or(young.len())).unwrap_or_default();
        out.join(young.iter().cloned().collect())
    }

    /// Whether the entries can be appended to a log of these bounds.
    pub(crate) fn check(entries: &Entries, first: u64, last: u64) -> Result<(), Error> {
        let Some(head) = entries.first() else {
            return Ok(());
        };
        if head.index > last + 1 {
            let (index, last) = (head.index, last + 1);
            return Err(Error::OutOfRange { index, first, last });
        }
        let mut next = head.index;
        for run in entries.runs() {
            for e in run {
                if e.index != next || next == u64::MAX {
                    return Err(wrong_index(e, next));
                }
                next += 1;
            }
        }
        Ok(())
    }

    /// Appends entries, or says why not. Go: MemoryStorage.Append
    #[inline]
    pub(crate) fn try_append(&mut self, entries: &Entries) -> Result<(), Error> {
        // One block right behind the last entry is what a log mostly gets.
        let first = self.last() + 1;
        if let Some(run) = entries.as_run()
            && let Some(weight) = weight_from(run, first)
        {
            if run.len() < SHORT {
                self.copy(run);
                return Ok(());
            }
            self.push(Run {
                first,
                weight,
                entries: entries.clone(),
                dead: 0,
            });
            return Ok(());
        }
        Self::check(entries, self.first(), self.last())?;
        self.append(entries);
        Ok(())
    }

    /// Appends entries that [`Log::check`] let pass.
    pub(crate) fn append(&mut self, entries: &Entries) {
        let Some(head) = entries.first().map(|e| e.index) else {
            return;
        };
        let at = head.max(self.first());
        let entries = entries.slice(offset(head, at)..entries.len());
        if entries.is_empty() {
            return;
        }
        if at <= self.last() {
            self.truncate(at);
        }
        let mut begin = 0;
        for run in entries.runs() {
            if run.len() < SHORT {
                self.copy(run);
            } else {
                let view = entries.slice(begin..begin + run.len());
                self.push(Run::new(at + begin as u64, view));
            }
            begin += run.len();
        }
    }

    /// Drops the entries from `index` on.
    fn truncate(&mut self, index: u64) {
        self.young.truncate(offset(self.sealed + 1, index));
        if index > self.sealed {
            return;
        }
        self.runs
            .truncate(self.runs.partition_point(|r| r.first < index));
        if let Some(r) = self.runs.back_mut().filter(|r| r.end() > index) {
            r.cut(r.first, index);
        }
        self.sealed = index - 1;
    }

    /// Adds a long run at the end.
    #[inline]
    fn push(&mut self, run: Run) {
        if !self.young.is_empty() {
            self.gather();
        }
        self.sealed = run.end() - 1;
        self.runs.push_back(run);
    }

    /// Adds copies of few entries at the end.
    #[inline]
    fn copy(&mut self, run: &[Entry]) {
        if self.young.capacity() == 0 {
            // A log at rest holds little: a vector that grows by itself begins with four.
            self.young.reserve_exact(run.len());
        }
        match run {
            [e] => self.young.push(e.clone()),
            _ => self.young.extend_from_slice(run),
        }
        if self.young.len() >= GATHER {
            self.gather();
        }
    }

    /// Makes a block of the young entries.
    fn gather(&mut self) {
        let run = Run::new(self.sealed + 1, Entries::drained(&mut self.young));
        self.sealed = run.end() - 1;
        self.runs.push_back(run);
    }

    /// Lets go of the entries up to `index`, which the log has, with their term.
    pub(crate) fn compact(&mut self, index: u64, term: u64) -> Released {
        let n = self.runs.partition_point(|r| r.end() <= index + 1);
        let stays = self.runs.split_off(n);
        let released = std::mem::replace(&mut self.runs, stays);
        if let Some(r) = self.runs.front_mut().filter(|r| r.first <= index) {
            r.cut(index + 1, r.end());
        }
        let young = self.young.drain(..offset(self.sealed, index)).collect();
        self.sealed = self.sealed.max(index);
        (self.base, self.base_term) = (index, term);
        Released(released, young)
    }
}

#[cold]
fn wrong_index(e: &Entry, expected: u64) -> Error {
    Error::OutOfRange {
        index: e.index,
        first: expected.min(u64::MAX - 1),
        last: expected.min(u64::MAX - 1),
    }
}

#[cfg(test)]
impl Log {
    /// What must hold between any two calls.
    pub(crate) fn check_invariants(&self) {
        let mut next = self.first();
        for r in &self.runs {
            assert_eq!(r.first, next, "runs follow each other");
            assert_eq!(r.entries.runs().count(), 1, "a run is of one block");
            assert_eq!(r.weight, weight(&r.entries));
            assert!(r.dead <= r.weight, "a block pins at most twice its use");
            for e in &r.entries {
                assert_eq!(e.index, next);
                next += 1;
            }
        }
        assert_eq!(self.sealed, next - 1);
        for e in &self.young {
            assert_eq!(e.index, next);
            next += 1;
        }
        assert!(self.young.len() < GATHER);
    }

    /// The lengths of the runs.
    pub(crate) fn run_lens(&self) -> Vec<usize> {
        self.runs.iter().map(|r| r.entries.len()).collect()
    }

    /// How many entries are young.
    pub(crate) fn young_len(&self) -> usize {
        self.young.len()
    }
}
