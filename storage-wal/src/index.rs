//! Where the log's entries lie: a sparse index of places, and the terms in runs. Go: none (etcd keeps all entries in memory)

use crate::segment::Pos;

/// Bytes of log between two points of the index: what a read may have to skip.
const GRAIN: u64 = 16 * 1024;

/// The place of one entry's frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Point {
    pub(crate) index: u64,
    pub(crate) pos: Pos,
    /// The CRC chain before the frame.
    pub(crate) crc: u32,
}

/// The live log: what overwrites and installed snapshots left of the entries on disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct LogIndex {
    /// The index before the first entry, with its term where it is known; `None` until anything was seen.
    base: Option<(u64, Option<u64>)>,
    last: u64,
    points: Vec<Point>,
    /// First index of each term.
    terms: Vec<(u64, u64)>,
}

impl LogIndex {
    /// The index before the first entry on disk.
    pub(crate) fn base(&self) -> u64 {
        self.base.map_or(0, |b| b.0)
    }

    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    pub(crate) fn is_known(&self) -> bool {
        self.base.is_some()
    }

    /// The term at an index; `None` outside of the log, or where only a purged segment would know.
    pub(crate) fn term(&self, index: u64) -> Option<u64> {
        let (base, base_term) = self.base?;
        if index == base {
            return base_term;
        }
        if index < base || index > self.last {
            return None;
        }
        let n = self.terms.partition_point(|(first, _)| *first <= index);
        self.terms.get(n.checked_sub(1)?).map(|(_, t)| *t)
    }

    /// Takes an entry in; it replaces what the log holds from its index on. The error says why it cannot be.
    pub(crate) fn append(
        &mut self,
        index: u64,
        term: u64,
        pos: Pos,
        crc: u32,
    ) -> Result<(), &'static str> {
        // Nearly every entry follows the last in its term, not far behind a point.
        if let (Some(p), Some((_, t))) = (self.points.last(), self.terms.last())
            && index == self.last + 1
            && index != u64::MAX
            && term == *t
            && !is_far(p, pos)
        {
            self.last = index;
            return Ok(());
        }
        let Some(before) = index.checked_sub(1) else {
            return Err("an entry with index 0");
        };
        if index == u64::MAX || term == u64::MAX {
            return Err("an absurd index or term");
        }
        if self.base.is_none() {
            self.base = Some((before, None));
            self.last = before;
        }
        if index > self.last + 1 {
            return Err("a gap before the entry");
        }
        if index <= self.base() {
            self.begin_lower(before)?;
        }
        let replaces = index <= self.last;
        let before = match self.terms.last() {
            // The usual case is not looked up.
            Some((_, t)) if !replaces => Some(*t),
            _ => self.term(before),
        };
        if before.is_some_and(|t| t > term) {
            return Err("the term goes down from one entry to the next");
        }
        if replaces {
            self.truncate(index);
        }
        let far = self.points.last().is_none_or(|p| is_far(p, pos));
        if replaces || far {
            self.points.push(Point { index, pos, crc });
        }
        if self.terms.last().is_none_or(|(_, t)| *t != term) {
            self.terms.push((index, term));
        }
        self.last = index;
        Ok(())
    }

    /// The log's start was only where the first segment that is left happens to begin, and a new leader's entries replace from before it on: all that was
    /// seen so far is gone. A start that a snapshot vouches for is never replaced.
    fn begin_lower(&mut self, before: u64) -> Result<(), &'static str> {
        if self.base.is_some_and(|(_, term)| term.is_some()) {
            return Err("an entry below the log's start");
        }
        self.points.clear();
        self.terms.clear();
        self.base = Some((before, None));
        self.last = before;
        Ok(())
    }

    /// Drops the entries from `index` on.
    fn truncate(&mut self, index: u64) {
        let n = self.points.partition_point(|p| p.index < index);
        self.points.truncate(n);
        let n = self.terms.partition_point(|(first, _)| *first < index);
        self.terms.truncate(n);
        self.last = index.saturating_sub(1);
    }

    /// The log is empty and starts behind (`index`, `term`). Returns how many entries went.
    pub(crate) fn reset(&mut self, index: u64, term: u64) -> u64 {
        let dropped = self.last.saturating_sub(self.base());
        self.points.clear();
        self.terms.clear();
        self.base = Some((index, Some(term)));
        self.last = index;
        dropped
    }

    /// Says the term at the log's base, where it was not known.
    pub(crate) fn know_base(&mut self, index: u64, term: u64) {
        if let Some((b, t)) = &mut self.base
            && *b == index
            && t.is_none()
        {
            *t = Some(term);
        }
    }

    /// Entries up to `index` are no longer part of the log.
    pub(crate) fn compact(&mut self, index: u64) {
        let Some(term) = self.term(index) else { return };
        if index <= self.base() {
            return;
        }
        // The point that covers index + 1 stays, and so does the run of terms.
        let n = self.points.partition_point(|p| p.index <= index + 1);
        self.points.drain(..n.saturating_sub(1));
        let n = self.terms.partition_point(|(first, _)| *first <= index + 1);
        self.terms.drain(..n.saturating_sub(1));
        if let Some(t) = self.terms.first_mut() {
            t.0 = t.0.max(index + 1);
        }
        self.base = Some((index, Some(term)));
        if self.last == index {
            self.points.clear();
            self.terms.clear();
        }
    }

    /// The stretch of the log that holds `index`: its point, and the index where the next begins.
    pub(crate) fn stretch(&self, index: u64) -> Option<(Point, u64)> {
        if index <= self.base() || index > self.last {
            return None;
        }
        let n = self.points.partition_point(|p| p.index <= index);
        let p = self.points.get(n.checked_sub(1)?)?;
        let next = self.points.get(n).map_or(self.last + 1, |p| p.index);
        Some((*p, next))
    }

    /// The first segment that holds entries behind `index`; `None` when none does.
    pub(crate) fn segment_after(&self, index: u64) -> Option<u64> {
        self.stretch(index.max(self.base()) + 1)
            .map(|(p, _)| p.pos.segment)
    }
}

/// Whether a place needs a point of its own behind this one.
fn is_far(p: &Point, pos: Pos) -> bool {
    p.pos.segment != pos.segment || pos.offset.saturating_sub(p.pos.offset) >= GRAIN
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pos(n: u64) -> Pos {
        Pos {
            segment: n / 100_000,
            offset: n % 100_000,
        }
    }

    /// Against a plain vector of (index, term, place).
    #[test]
    fn finds_every_entry_after_overwrites_and_compactions() {
        for seed in 1..60u64 {
            let mut rng = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let mut next = |n: u64| {
                rng ^= rng << 13;
                rng ^= rng >> 7;
                rng ^= rng << 17;
                rng % n
            };
            let mut log = LogIndex::default();
            log.reset(0, 0);
            let mut model: Vec<(u64, u64, u64)> = Vec::new();
            let (mut at, mut term, mut base) = (0, 1, 0);
            for _ in 0..400 {
                match next(12) {
                    0 if !model.is_empty() => {
                        let keep = next(model.len() as u64);
                        model.truncate(usize::try_from(keep).unwrap());
                        term += 1;
                        let index = base + keep + 1;
                        at += 700;
                        log.append(index, term, pos(at), 0).unwrap();
                        model.push((index, term, at));
                    }
                    1 if model.len() > 3 => {
                        let n = usize::try_from(1 + next(model.len() as u64 - 1)).unwrap();
                        base += n as u64;
                        let t = model[n - 1].1;
                        model.drain(..n);
                        log.compact(base);
                        assert_eq!(log.term(base), Some(t), "seed {seed}");
                    }
                    _ => {
                        let index = base + model.len() as u64 + 1;
                        at += 1 + next(9000);
                        log.append(index, term, pos(at), 0).unwrap();
                        model.push((index, term, at));
                    }
                }
                assert_eq!(log.last(), base + model.len() as u64, "seed {seed}");
                assert_eq!(log.base(), base, "seed {seed}");
                for (n, (index, term, at)) in model.iter().enumerate() {
                    assert_eq!(log.term(*index), Some(*term), "seed {seed}");
                    let (p, next) = log.stretch(*index).unwrap();
                    assert!(p.pos <= pos(*at) && *index < next, "seed {seed}");
                    // From the point on, the live entries up to this one follow each other with nothing overwritten in between.
                    let n0 = n - usize::try_from(index - p.index.max(base + 1)).unwrap();
                    assert!(model[n0].2 >= p.pos.segment * 100_000, "seed {seed}");
                }
                assert!(log.stretch(base).is_none() && log.stretch(log.last() + 1).is_none());
            }
        }
    }

    #[test]
    fn refuses_what_is_no_log() {
        let mut log = LogIndex::default();
        assert!(log.append(0, 1, pos(0), 0).is_err());
        assert!(log.append(u64::MAX, 1, pos(0), 0).is_err());
        log.append(7, 3, pos(0), 0).unwrap();
        assert_eq!((log.base(), log.last(), log.term(6)), (6, 7, None));
        assert!(log.append(9, 3, pos(1), 0).is_err(), "a gap");
        assert!(log.append(8, 2, pos(1), 0).is_err(), "the term goes down");
        assert_eq!(log.last(), 7);
        // Where nobody vouches for the start, a lower one takes its place.
        log.append(5, 4, pos(2), 0).unwrap();
        assert_eq!((log.base(), log.last(), log.term(7)), (4, 5, None));
        log.know_base(4, 3);
        assert!(log.append(4, 4, pos(3), 0).is_err(), "below the start");
        assert_eq!((log.base(), log.last()), (4, 5));
    }
}
