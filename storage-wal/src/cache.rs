//! The newest entries, in memory. Go: none (MemoryStorage holds all of them)

use std::collections::VecDeque;
use storage::raftpb::{Entries, Entry};

/// Runs at least this long keep the block they came in; shorter ones are copied together.
const LONG: usize = 32;
/// Entries gathered before they become a block.
const BLOCK: usize = 256;
/// What an entry costs besides its payload.
const OVERHEAD: u64 = 64;

/// A contiguous tail of the log.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    /// Index of the first entry held; one past the last when none is.
    first: u64,
    blocks: VecDeque<(Entries, u64)>,
    /// Held in blocks.
    blocked: u64,
    /// Behind the blocks: the newest entries, not yet a block.
    open: Vec<Entry>,
    open_bytes: u64,
    bytes: u64,
}

fn cost(e: &Entry) -> u64 {
    e.data.len() as u64 + OVERHEAD
}

impl Cache {
    pub(crate) fn first(&self) -> u64 {
        self.first
    }

    #[cfg(test)]
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    fn next(&self) -> u64 {
        self.first + self.blocked + self.open.len() as u64
    }

    /// Holds nothing; the next entry is `first`.
    pub(crate) fn clear(&mut self, first: u64) {
        *self = Self {
            first,
            ..Self::default()
        };
    }

    /// Adds entries that follow each other; they replace what is held from the first one's index on.
    pub(crate) fn append(&mut self, entries: &Entries) {
        let Some(e) = entries.first() else { return };
        if e.index < self.first || e.index > self.next() {
            self.clear(e.index);
        } else if e.index < self.next() {
            self.truncate(e.index);
        }
        if entries.runs().any(|r| r.len() >= LONG) {
            self.append_long(entries);
        } else {
            entries.iter().for_each(|e| self.push(e));
        }
    }

    fn push(&mut self, e: &Entry) {
        self.open.push(e.clone());
        self.open_bytes += cost(e);
        self.bytes += cost(e);
        if self.open.len() >= BLOCK {
            self.close_block();
        }
    }

    fn close_block(&mut self) {
        if self.open.is_empty() {
            return;
        }
        let block: Entries = std::mem::take(&mut self.open).into();
        self.blocked += block.len() as u64;
        self.blocks
            .push_back((block, std::mem::take(&mut self.open_bytes)));
    }

    fn append_long(&mut self, entries: &Entries) {
        self.close_block();
        let bytes = entries.iter().map(cost).sum();
        self.bytes += bytes;
        self.blocked += entries.len() as u64;
        self.blocks.push_back((entries.clone(), bytes));
    }

    /// Drops what is held from `index` on.
    fn truncate(&mut self, index: u64) {
        let blocks_end = self.first + self.blocked;
        if index >= blocks_end {
            let keep = usize::try_from(index - blocks_end).unwrap_or(usize::MAX);
            self.open.truncate(keep);
        } else {
            self.open.clear();
            let mut end = blocks_end;
            while let Some((block, _)) = self.blocks.pop_back() {
                let begin = end - block.len() as u64;
                if begin < index {
                    let keep = usize::try_from(index - begin).unwrap_or(usize::MAX);
                    let part = block.slice(0..keep);
                    let bytes = part.iter().map(cost).sum();
                    self.blocks.push_back((part, bytes));
                    break;
                }
                end = begin;
            }
            self.blocked = index - self.first;
        }
        self.open_bytes = self.open.iter().map(cost).sum();
        self.bytes = self.open_bytes + self.blocks.iter().map(|b| b.1).sum::<u64>();
    }

    /// Drops blocks from the front while more than `limit` bytes are held, but nothing above `durable`.
    pub(crate) fn evict(&mut self, limit: u64, durable: u64) {
        if self.bytes > limit && self.blocks.is_empty() {
            self.close_block();
        }
        while self.bytes > limit
            && let Some((block, bytes)) = self.blocks.front()
            && self.first + block.len() as u64 - 1 <= durable
        {
            self.bytes -= bytes;
            self.first += block.len() as u64;
            self.blocked -= block.len() as u64;
            self.blocks.pop_front();
        }
    }

    /// Drops blocks that lie wholly at or below `index`.
    pub(crate) fn compact(&mut self, index: u64) {
        while let Some((block, bytes)) = self.blocks.front()
            && self.first + block.len() as u64 - 1 <= index
        {
            self.bytes -= bytes;
            self.first += block.len() as u64;
            self.blocked -= block.len() as u64;
            self.blocks.pop_front();
        }
    }

    /// Entries `lo..hi`, which must be held, cut to `max_size` encoded bytes, at least one.
    pub(crate) fn range(&self, lo: u64, hi: u64, max_size: u64) -> Entries {
        let mut out = Entries::new();
        let mut left = max_size;
        let mut begin = self.first;
        // Most reads are near the end: find the first block from there.
        let mut n = self.blocks.len();
        let mut end = self.first + self.blocked;
        while n > 0 && end > lo {
            n -= 1;
            end -= self.blocks.get(n).map_or(0, |b| b.0.len() as u64);
            begin = end;
        }
        if end <= lo && n == self.blocks.len() {
            begin = end;
        }
        for (block, _) in self.blocks.iter().skip(n) {
            let next = begin + block.len() as u64;
            if !take(&mut out, block, begin, lo, hi, &mut left) {
                return out;
            }
            begin = next;
        }
        let at = |i: u64| {
            usize::try_from(i.saturating_sub(begin))
                .unwrap_or(usize::MAX)
                .min(self.open.len())
        };
        if hi > begin
            && let Some(part) = self.open.get(at(lo)..at(hi))
            && !part.is_empty()
        {
            let part: Entries = part.iter().cloned().collect();
            let from = lo.max(begin);
            take(&mut out, &part, from, lo, hi, &mut left);
        }
        out
    }
}

/// Adds what `block`, which begins at index `begin`, has of `lo..hi`. False when the size limit is reached.
fn take(out: &mut Entries, block: &Entries, begin: u64, lo: u64, hi: u64, left: &mut u64) -> bool {
    let end = begin + block.len() as u64;
    let (a, b) = (lo.max(begin), hi.min(end));
    if a >= b {
        return begin < hi;
    }
    let pos = |i: u64| usize::try_from(i - begin).unwrap_or(usize::MAX);
    let part = block.slice(pos(a)..pos(b));
    if *left == u64::MAX {
        *out = std::mem::take(out).join(part);
        return true;
    }
    let fits = part.limit_size(*left);
    let size: u64 = fits.iter().map(Entry::size).sum();
    // limit_size gives at least one; only the very first may be too large.
    if size > *left && !out.is_empty() {
        return false;
    }
    let all = fits.len() == part.len();
    *left = left.saturating_sub(size);
    *out = std::mem::take(out).join(fits);
    all && *left > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn behaves_as_a_vector() {
        for seed in 1..40u64 {
            let mut rng = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let mut next = |n: u64| {
                rng ^= rng << 13;
                rng ^= rng >> 7;
                rng ^= rng << 17;
                rng % n
            };
            let mut c = Cache::default();
            c.clear(1);
            let mut model: Vec<(u64, u64)> = Vec::new();
            for term in 2..202 {
                let end = model.last().map_or(c.first(), |e| e.0 + 1);
                let from = if next(5) == 0 {
                    c.first() + next(end - c.first() + 1)
                } else {
                    end
                };
                let n = if next(4) == 0 { 40 } else { 1 + next(5) };
                let add: Entries = (from..from + n)
                    .map(|i| Entry::new(term, i, vec![0; 10]))
                    .collect();
                c.append(&add);
                model.retain(|e| e.0 < from);
                model.extend((from..from + n).map(|i| (i, term)));
                let last = from + n - 1;
                c.evict(6000, last.saturating_sub(3));
                model.retain(|e| e.0 >= c.first());
                assert_eq!(c.bytes(), model.len() as u64 * 74, "seed {seed}");
                let (lo, hi) = (c.first() + next(model.len() as u64 + 1), last + 1);
                let got = c.range(lo, hi, u64::MAX);
                let want: Vec<_> = model.iter().filter(|e| e.0 >= lo).copied().collect();
                assert_eq!(
                    got.iter().map(|e| (e.index, e.term)).collect::<Vec<_>>(),
                    want,
                    "seed {seed}"
                );
                let limited = c.range(lo, hi, 100);
                assert_eq!(limited, got.limit_size(100), "seed {seed}");
            }
        }
    }
}
