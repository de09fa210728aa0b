//! How entries travel: written once, then shared. Go: []*raftpb.Entry

use crate::Entry;
use crate::codec::len_delimited;
use bytes::{BufMut, Bytes};
use prost::Message as _;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// A sequence of entries that is cheap to clone and to slice: a view of one or more shared, immutable blocks.
///
/// It promises no order of indexes; whoever takes entries into a log checks that. How they are blocked is private and never
/// shows in equality or `Debug`. A view keeps its whole block alive.
///
/// ```
/// use tickraft_raftpb::{Entries, Entry};
///
/// let all: Entries = (1..=4).map(|i| Entry::new(1, i, "x")).collect();
/// let (a, b) = (all.slice(0..2), all.slice(2..4));
/// assert_eq!(b.first().unwrap().index, 3);
/// let joined = a.join(b);
/// assert_eq!(joined, all);
/// assert_eq!(joined.runs().count(), 1, "adjacent views of one block fuse");
/// ```
#[derive(Clone, Default)]
pub struct Entries {
    blocks: Blocks,
    /// What the view begins and ends with: positions in the block or the chain. Outside of `Blocks`, so that how many there are is known without
    /// asking which it is.
    start: u32,
    end: u32,
}

/// `None` is for the empty view, the others for views that are not empty.
#[derive(Clone, Default)]
enum Blocks {
    #[default]
    None,
    One(Arc<[Entry]>),
    /// Several runs laid end to end.
    Many(Arc<Vec<Link>>),
}

/// A non-empty view of one block.
#[derive(Clone)]
struct Run {
    block: Arc<[Entry]>,
    start: u32,
    end: u32,
}

/// A run, and where it ends in the chain.
#[derive(Clone)]
struct Link {
    run: Run,
    end: u32,
}

/// The most entries that one `Entries` holds: positions are 32 bits wide. Even empty entries of that number would take 200 GiB.
const MAX_LEN: usize = u32::MAX as usize;

/// A position that is known to be at most [`MAX_LEN`].
#[allow(clippy::cast_possible_truncation)]
fn pos(n: usize) -> u32 {
    assert!(n <= MAX_LEN, "Entries holds at most 2^32-1 entries");
    n as u32
}

impl Run {
    #[inline]
    fn as_slice(&self) -> &[Entry] {
        &self.block[self.start as usize..self.end as usize]
    }

    #[inline]
    fn len(&self) -> usize {
        (self.end - self.start) as usize
    }

    /// Whether `next` continues this run in the same block.
    #[inline]
    fn continues(&self, next: &Run) -> bool {
        self.end == next.start && Arc::ptr_eq(&self.block, &next.block)
    }

    /// The same run, cut to its part `lo..hi`.
    fn narrow(mut self, lo: usize, hi: usize) -> Run {
        self.end = self.start + pos(hi);
        self.start += pos(lo);
        self
    }

    /// Moves the entries where nobody else holds the block, else clones them.
    fn drain_into(mut self, out: &mut Vec<Entry>) {
        let (start, end) = (self.start as usize, self.end as usize);
        match Arc::get_mut(&mut self.block) {
            Some(block) => out.extend(block[start..end].iter_mut().map(std::mem::take)),
            None => out.extend_from_slice(&self.block[start..end]),
        }
    }

    /// The part `lo..hi` of this run.
    #[inline]
    fn part(&self, lo: usize, hi: usize) -> Run {
        Run {
            block: Arc::clone(&self.block),
            start: self.start + pos(lo),
            end: self.start + pos(hi),
        }
    }
}

impl Entries {
    /// No entries; allocates nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            blocks: Blocks::None,
            start: 0,
            end: 0,
        }
    }

    /// The view of one run.
    #[inline]
    fn one(run: Run) -> Self {
        Self {
            blocks: Blocks::One(run.block),
            start: run.start,
            end: run.end,
        }
    }

    /// The view's part of its only block.
    #[inline]
    fn part_of<'a>(&self, block: &'a [Entry]) -> &'a [Entry] {
        &block[self.start as usize..self.end as usize]
    }

    /// One block of `n` entries, each made in its place.
    #[inline]
    pub(crate) fn from_fn(n: usize, mut f: impl FnMut() -> Entry) -> Self {
        if n == 0 {
            return Self::new();
        }
        // The standard library allocates an Arc<[T]> once for a mapped range.
        let block: Arc<[Entry]> = (0..n).map(|_| f()).collect();
        Self::one(Run {
            block,
            start: 0,
            end: pos(n),
        })
    }

    /// All entries of a buffer, in one block; the buffer keeps its memory.
    ///
    /// ```
    /// use tickraft_raftpb::{Entries, Entry};
    /// let mut buffer = vec![Entry::new(1, 1, "a"), Entry::new(1, 2, "b")];
    /// assert_eq!(Entries::drained(&mut buffer).len(), 2);
    /// assert!(buffer.is_empty() && buffer.capacity() >= 2);
    /// ```
    #[must_use]
    pub fn drained(buffer: &mut Vec<Entry>) -> Self {
        if buffer.is_empty() {
            return Self::new();
        }
        let end = pos(buffer.len());
        Self {
            blocks: Blocks::One(buffer.drain(..).collect()),
            start: 0,
            end,
        }
    }

    /// How many.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        (self.end - self.start) as usize
    }

    /// Whether there are none.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// The entry at a position of this view, from 0; `None` beyond the end.
    #[must_use]
    pub fn get(&self, i: usize) -> Option<&Entry> {
        match &self.blocks {
            Blocks::None => None,
            Blocks::One(block) => self.part_of(block).get(i),
            Blocks::Many(chain) => {
                let at = (self.start as usize)
                    .checked_add(i)
                    .filter(|at| *at < self.end as usize)?;
                let n = chain.partition_point(|l| l.end as usize <= at);
                let link = chain.get(n)?;
                link.run
                    .as_slice()
                    .get(at - (link.end as usize - link.run.len()))
            }
        }
    }

    /// The first entry.
    #[must_use]
    #[inline]
    pub fn first(&self) -> Option<&Entry> {
        match &self.blocks {
            Blocks::None => None,
            Blocks::One(block) => self.part_of(block).first(),
            Blocks::Many(_) => self.get(0),
        }
    }

    /// The last entry.
    #[must_use]
    #[inline]
    pub fn last(&self) -> Option<&Entry> {
        match &self.blocks {
            Blocks::None => None,
            Blocks::One(block) => self.part_of(block).last(),
            Blocks::Many(_) => self.get(self.len().wrapping_sub(1)),
        }
    }

    /// All entries in order, from either end.
    #[must_use]
    #[inline]
    pub fn iter(&self) -> EntriesIter<'_> {
        // One run is loaded at once: most views are no more than that.
        let (front, hi) = match self.as_run() {
            Some(run) => (run.iter(), 0),
            None => ([].iter(), self.len()),
        };
        EntriesIter {
            entries: self,
            front,
            back: [].iter(),
            lo: 0,
            hi,
        }
    }

    /// All entries as one slice, where they lie in one block, as they do unless blocks were [joined](Entries::join).
    ///
    /// ```
    /// use tickraft_raftpb::{Entries, Entry};
    /// let one = Entries::from(vec![Entry::new(1, 1, "a"), Entry::new(1, 2, "b")]);
    /// assert_eq!(one.as_run().map(<[Entry]>::len), Some(2));
    /// assert_eq!(Entries::new().as_run(), Some(&[][..]));
    /// assert_eq!(one.join(vec![Entry::new(1, 3, "c")].into()).as_run(), None);
    /// ```
    #[must_use]
    #[inline]
    pub fn as_run(&self) -> Option<&[Entry]> {
        match &self.blocks {
            Blocks::None => Some(&[]),
            Blocks::One(block) => Some(self.part_of(block)),
            Blocks::Many(_) => None,
        }
    }

    /// The entries as contiguous slices, none of them empty.
    pub fn runs(&self) -> impl Iterator<Item = &[Entry]> {
        let (lo, hi) = (self.start as usize, self.end as usize);
        let (one, chain): (&[Entry], &[Link]) = match &self.blocks {
            Blocks::None => (&[], &[]),
            Blocks::One(block) => (self.part_of(block), &[]),
            Blocks::Many(chain) => (&[], chain),
        };
        let many = chain
            .iter()
            .filter_map(move |l| l.clip(lo, hi))
            .map(|(l, a, b)| &l.run.as_slice()[a..b]);
        Some(one).filter(|s| !s.is_empty()).into_iter().chain(many)
    }

    /// The part of this view at positions `range`; what lies beyond the end is left out, and a range that ends before it
    /// starts is empty. It keeps no more than its own blocks alive where it lies within one of them, else those of the whole view.
    #[must_use]
    #[inline]
    pub fn slice(&self, range: Range<usize>) -> Entries {
        let hi = range.end.min(self.len());
        let lo = range.start.min(hi);
        if lo == hi {
            return Self::new();
        }
        let (lo, hi) = (self.start + pos(lo), self.start + pos(hi));
        // Within one run of a chain, the chain is let go: the other runs' blocks must not be kept alive.
        if let Blocks::Many(chain) = &self.blocks
            && let Some(run) = run_within(chain, lo as usize, hi as usize)
        {
            return Self::one(run);
        }
        Self {
            blocks: self.blocks.clone(),
            start: lo,
            end: hi,
        }
    }

    /// The longest prefix of at most `max_size` encoded bytes, but at least one entry where there is one. Go: limitSize
    #[must_use]
    #[doc(alias = "limitSize")]
    #[inline]
    pub fn limit_size(&self, max_size: u64) -> Entries {
        if max_size == u64::MAX {
            return self.clone();
        }
        if self.size_at_most() <= max_size {
            return self.clone();
        }
        let mut size: u64 = 0;
        let mut n = 0;
        for run in self.runs() {
            for e in run {
                size = size.saturating_add(e.size());
                if size > max_size && n > 0 {
                    return self.slice(0..n);
                }
                n += 1;
            }
        }
        self.clone()
    }

    /// A bound of the encoded size that needs no length of a varint: four keys, a type and three varints of ten bytes beside the data.
    fn size_at_most(&self) -> u64 {
        let data = |run: &[Entry]| run.iter().map(|e| e.data.len() as u64).sum::<u64>();
        let all: u64 = match self.as_run() {
            Some(run) => data(run),
            None => self.runs().map(data).sum(),
        };
        all.saturating_add(35 * self.len() as u64)
    }

    /// Writes the entries as the field `entries` of a [`Message`](crate::Message), each with its key and length, in one pass. The
    /// same bytes serve every message that carries these entries: see
    /// [`Message::encode_before_entries`](crate::Message::encode_before_entries).
    pub fn encode_field(&self, buf: &mut impl BufMut) {
        for run in self.runs() {
            for e in run {
                e.put_field(0x3a, buf);
            }
        }
    }

    /// The same, but data of `long` bytes or more is left to `put_long`: a sender that writes from several buffers at once need not copy it.
    ///
    /// ```
    /// use tickraft_raftpb::{Entries, Entry};
    /// let entries: Entries = vec![Entry::new(1, 1, "short"), Entry::new(1, 2, vec![7; 4096])].into();
    /// let (mut wire, mut long) = (Vec::new(), Vec::new());
    /// entries.encode_field_with(&mut wire, 1024, |wire, data| long.push((wire.len(), data.clone())));
    /// let (at, data) = long.pop().unwrap();
    /// wire.splice(at..at, data);
    ///
    /// let mut whole = Vec::new();
    /// entries.encode_field(&mut whole);
    /// assert_eq!(wire, whole);
    /// ```
    pub fn encode_field_with<B: BufMut>(
        &self,
        buf: &mut B,
        long: usize,
        mut put_long: impl FnMut(&mut B, &Bytes),
    ) {
        for e in self.runs().flatten() {
            if e.data.len() < long {
                e.put_field(0x3a, buf);
            } else {
                e.put_field_before_data(0x3a, buf);
                put_long(buf, &e.data);
            }
        }
    }

    /// How many bytes [`encode_field`](Entries::encode_field) writes.
    #[must_use]
    pub fn field_len(&self) -> usize {
        self.runs()
            .flatten()
            .map(|e| len_delimited(e.encoded_len()))
            .sum()
    }

    /// Adds those behind these: [`join`](Entries::join) in place.
    #[inline]
    pub fn append(&mut self, next: Entries) {
        match (&self.blocks, &next.blocks) {
            (Blocks::None, _) => *self = next,
            (Blocks::One(a), Blocks::One(b)) if self.end == next.start && Arc::ptr_eq(a, b) => {
                self.end = next.end;
            }
            _ => *self = std::mem::take(self).join(next),
        }
    }

    /// These, then those. Adjacent views of one block fuse; nothing is copied.
    #[must_use]
    #[inline]
    pub fn join(mut self, next: Entries) -> Entries {
        if self.is_empty() {
            return next;
        }
        let Entries { blocks, start, end } = next;
        match blocks {
            Blocks::None => {}
            Blocks::One(block) => self.push_run(Run { block, start, end }),
            Blocks::Many(chain) => {
                for l in chain.iter() {
                    if let Some((l, a, b)) = l.clip(start as usize, end as usize) {
                        self.push_run(l.run.part(a, b));
                    }
                }
            }
        }
        self
    }

    /// The entries of all parts in order, in one new block that pins none of theirs. They are moved out of blocks that nobody else
    /// holds and cloned (payloads stay shared) out of others. Made for logs: many short runs become one.
    ///
    /// ```
    /// use tickraft_raftpb::{Entries, Entry};
    /// let parts = (1..=3).map(|i| Entries::from(vec![Entry::new(1, i, "x")]));
    /// let all = Entries::concat(parts.collect());
    /// assert_eq!((all.len(), all.runs().count()), (3, 1));
    /// ```
    #[must_use]
    pub fn concat(parts: Vec<Entries>) -> Entries {
        let len = parts.iter().map(Entries::len).sum();
        let mut all = Vec::with_capacity(len);
        for part in parts {
            part.drain_into(&mut all);
        }
        all.into()
    }

    fn drain_into(self, out: &mut Vec<Entry>) {
        let Entries { blocks, start, end } = self;
        match blocks {
            Blocks::None => {}
            Blocks::One(block) => Run { block, start, end }.drain_into(out),
            Blocks::Many(chain) => match Arc::try_unwrap(chain) {
                Ok(links) => {
                    for l in links {
                        if let Some((_, a, b)) = l.clip(start as usize, end as usize) {
                            l.run.narrow(a, b).drain_into(out);
                        }
                    }
                }
                Err(chain) => {
                    for l in chain.iter() {
                        if let Some((l, a, b)) = l.clip(start as usize, end as usize) {
                            out.extend_from_slice(&l.run.as_slice()[a..b]);
                        }
                    }
                }
            },
        }
    }

    /// Adds one entry at the end. It gets a block of its own, and short neighbouring blocks that nobody else holds are
    /// not merged: gather a `Vec` first where many are added.
    pub fn push(&mut self, e: Entry) {
        *self = std::mem::take(self).join(e.into());
    }

    fn push_run(&mut self, run: Run) {
        match std::mem::take(&mut self.blocks) {
            Blocks::None => *self = Self::one(run),
            Blocks::One(block) => {
                let mut first = Run {
                    block,
                    start: self.start,
                    end: self.end,
                };
                if first.continues(&run) {
                    first.end = run.end;
                    *self = Self::one(first);
                    return;
                }
                let (middle, end) = (pos(first.len()), pos(first.len() + run.len()));
                let first = Link {
                    run: first,
                    end: middle,
                };
                *self = Self {
                    blocks: Blocks::Many(Arc::new(vec![first, Link { run, end }])),
                    start: 0,
                    end,
                };
            }
            Blocks::Many(chain) => self.push_to_chain(chain, run),
        }
    }

    /// The end of [`push_run`](Self::push_run) for a view of this chain.
    fn push_to_chain(&mut self, mut chain: Arc<Vec<Link>>, run: Run) {
        // A view that does not end where its chain ends, or a chain that others hold, is copied (the links, not the entries) before it grows.
        if chain.last().is_some_and(|l| l.end != self.end) || Arc::get_mut(&mut chain).is_none() {
            chain = Arc::new(clipped(&chain, self.start as usize, self.end as usize));
            (self.start, self.end) = (0, self.end - self.start);
        }
        let end = pos(self.end as usize + run.len());
        if let Some(links) = Arc::get_mut(&mut chain) {
            match links.last_mut() {
                Some(l) if l.run.continues(&run) => (l.run.end, l.end) = (run.end, end),
                _ => links.push(Link { run, end }),
            }
            self.end = end;
        }
        self.blocks = Blocks::Many(chain);
    }

    /// All entries, to change: in place where nobody else holds the block, else on one copy that this view then owns.
    /// Made for numbering the entries of a MsgProp.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        let in_place = match &mut self.blocks {
            Blocks::One(block) => Arc::get_mut(block).is_some(),
            _ => false,
        };
        if !in_place && !self.is_empty() {
            *self = self.iter().cloned().collect::<Vec<_>>().into();
        }
        let (start, end) = (self.start as usize, self.end as usize);
        let slice: &mut [Entry] = match &mut self.blocks {
            Blocks::One(block) => match Arc::get_mut(block) {
                Some(block) => &mut block[start..end],
                None => &mut [],
            },
            _ => &mut [],
        };
        slice.iter_mut()
    }
}

/// The part `lo..hi` of a chain, if it lies within one run.
fn run_within(chain: &[Link], lo: usize, hi: usize) -> Option<Run> {
    let n = chain.partition_point(|l| l.end as usize <= lo);
    let (l, a, b) = chain.get(n)?.clip(lo, hi)?;
    (b - a == hi - lo).then(|| l.run.part(a, b))
}

/// The links of the part `lo..hi` of a chain, a chain themselves.
fn clipped(chain: &[Link], lo: usize, hi: usize) -> Vec<Link> {
    let mut end = 0;
    let parts = chain.iter().filter_map(|l| l.clip(lo, hi));
    let link = |(l, a, b): (&Link, usize, usize)| {
        end += b - a;
        Link {
            run: l.run.part(a, b),
            end: pos(end),
        }
    };
    parts.map(link).collect()
}

impl Link {
    /// The part of this run that lies in `lo..hi` of the chain, as a range of the run; `None` where they do not meet.
    fn clip(&self, lo: usize, hi: usize) -> Option<(&Link, usize, usize)> {
        let end = self.end as usize;
        let begin = end - self.run.len();
        let (a, b) = (lo.max(begin), hi.min(end));
        (a < b).then(|| (self, a - begin, b - begin))
    }
}

/// [`Entries::iter`].
#[derive(Clone, Debug)]
pub struct EntriesIter<'a> {
    entries: &'a Entries,
    front: std::slice::Iter<'a, Entry>,
    back: std::slice::Iter<'a, Entry>,
    /// Positions not yet loaded into `front` or `back`.
    lo: usize,
    hi: usize,
}

impl<'a> EntriesIter<'a> {
    /// The longest contiguous run from a position on, cut at `hi`, or ending at `hi`.
    fn run_around(&self, at: usize) -> &'a [Entry] {
        let start = self.entries.start as usize;
        match &self.entries.blocks {
            // Loaded from the beginning.
            Blocks::None | Blocks::One(_) => &[],
            Blocks::Many(chain) => {
                let (lo, hi) = (start + self.lo, start + self.hi);
                let n = chain.partition_point(|l| l.end as usize <= start + at);
                chain
                    .get(n)
                    .and_then(|l| l.clip(lo, hi))
                    .and_then(|(l, a, b)| l.run.as_slice().get(a..b))
                    .unwrap_or(&[])
            }
        }
    }
}

impl<'a> Iterator for EntriesIter<'a> {
    type Item = &'a Entry;

    #[inline]
    fn next(&mut self) -> Option<&'a Entry> {
        loop {
            if let Some(e) = self.front.next() {
                return Some(e);
            }
            if self.lo >= self.hi {
                return self.back.next();
            }
            let run = self.run_around(self.lo);
            self.lo += run.len().max(1);
            self.front = run.iter();
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let n = self.front.len() + (self.hi - self.lo) + self.back.len();
        (n, Some(n))
    }

    /// Run by run: sums and `for_each` then cost what they cost over slices.
    #[inline]
    fn fold<B, F: FnMut(B, &'a Entry) -> B>(mut self, init: B, mut f: F) -> B {
        let mut acc = std::mem::take(&mut self.front).fold(init, &mut f);
        while self.lo < self.hi {
            let run = self.run_around(self.lo);
            self.lo += run.len().max(1);
            acc = run.iter().fold(acc, &mut f);
        }
        self.back.fold(acc, f)
    }
}

impl DoubleEndedIterator for EntriesIter<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(e) = self.back.next_back() {
                return Some(e);
            }
            if self.lo >= self.hi {
                return self.front.next_back();
            }
            let run = self.run_around(self.hi - 1);
            self.hi -= run.len().max(1);
            self.back = run.iter();
        }
    }
}

impl ExactSizeIterator for EntriesIter<'_> {}

impl<'a> IntoIterator for &'a Entries {
    type Item = &'a Entry;
    type IntoIter = EntriesIter<'a>;
    fn into_iter(self) -> EntriesIter<'a> {
        self.iter()
    }
}

/// One entry in a block of its own.
impl From<Entry> for Entries {
    #[inline]
    fn from(e: Entry) -> Self {
        Self {
            blocks: Blocks::One(Arc::new([e])),
            start: 0,
            end: 1,
        }
    }
}

/// One block; the entries are moved, not cloned.
impl From<Vec<Entry>> for Entries {
    fn from(v: Vec<Entry>) -> Self {
        if v.is_empty() {
            return Self::new();
        }
        let end = pos(v.len());
        Self {
            blocks: Blocks::One(v.into()),
            start: 0,
            end,
        }
    }
}

/// One block. Where the iterator knows its length (a `Vec`'s `drain`, say) that block is the only allocation.
impl FromIterator<Entry> for Entries {
    fn from_iter<I: IntoIterator<Item = Entry>>(iter: I) -> Self {
        let mut iter = iter.into_iter();
        let (len, upper) = iter.size_hint();
        if upper != Some(len) || len == 0 {
            return iter.collect::<Vec<_>>().into();
        }
        let mut taken = 0;
        // The standard library allocates an Arc<[T]> once for a mapped range.
        let block: Arc<[Entry]> = (0..len)
            .map(|_| iter.next().inspect(|_| taken += 1).unwrap_or_default())
            .collect();
        let run = Run {
            block,
            start: 0,
            end: pos(taken),
        };
        let all = if taken == 0 {
            Self::new()
        } else {
            Self::one(run)
        };
        // A hint may lie; what it hid still arrives.
        match iter.next() {
            None => all,
            Some(e) => all.join(std::iter::once(e).chain(iter).collect::<Vec<_>>().into()),
        }
    }
}

impl PartialEq for Entries {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

impl Eq for Entries {}

impl fmt::Debug for Entries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ents(range: Range<u64>) -> Entries {
        range.map(|i| Entry::new(1, i, "abc")).collect()
    }

    fn indexes(e: &Entries) -> Vec<u64> {
        e.iter().map(|e| e.index).collect()
    }

    /// A small deterministic generator: the seed alone repeats a failure.
    struct Rng(u64);
    impl Rng {
        fn below(&mut self, n: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            usize::try_from(self.0 % (n as u64)).unwrap()
        }
    }

    /// Random joins, slices and pushes against a plain vector.
    #[test]
    fn behaves_as_a_vector() {
        for seed in 1..200u64 {
            let mut rng = Rng(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let mut pool: Vec<(Entries, Vec<u64>)> = vec![(Entries::new(), vec![])];
            let mut next = 1;
            for _ in 0..60 {
                let (e, v) = pool[rng.below(pool.len())].clone();
                let made = match rng.below(4) {
                    0 => {
                        let n = rng.below(4) as u64;
                        let e = ents(next..next + n);
                        let v = (next..next + n).collect();
                        next += n;
                        (e, v)
                    }
                    1 => {
                        let (f, w) = pool[rng.below(pool.len())].clone();
                        if v.len() + w.len() > 500 {
                            continue;
                        }
                        (e.join(f), [v, w].concat())
                    }
                    2 => {
                        let lo = rng.below(v.len() + 2);
                        let hi = rng.below(v.len() + 2);
                        let w = if lo < hi {
                            v[lo.min(v.len())..hi.min(v.len())].to_vec()
                        } else {
                            vec![]
                        };
                        (e.slice(lo..hi), w)
                    }
                    _ => {
                        let (mut e, mut v) = (e, v);
                        e.push(Entry::new(1, next, "abc"));
                        v.push(next);
                        next += 1;
                        (e, v)
                    }
                };
                check(&made.0, &made.1, seed, &mut rng);
                pool.push(made);
            }
            // No operation changed a view made before.
            for (e, v) in &pool {
                assert_eq!(&indexes(e), v, "seed {seed}");
            }
        }
    }

    fn check(e: &Entries, v: &[u64], seed: u64, rng: &mut Rng) {
        assert_eq!(indexes(e), v, "seed {seed}");
        assert_eq!(
            (e.len(), e.is_empty()),
            (v.len(), v.is_empty()),
            "seed {seed}"
        );
        assert_eq!(e.iter().len(), v.len(), "seed {seed}");
        assert_eq!(
            e.iter().rev().map(|e| e.index).collect::<Vec<_>>(),
            v.iter().rev().copied().collect::<Vec<_>>(),
            "seed {seed}"
        );
        assert_eq!(
            e.first().map(|e| e.index),
            v.first().copied(),
            "seed {seed}"
        );
        assert_eq!(e.last().map(|e| e.index), v.last().copied(), "seed {seed}");
        for (i, want) in v.iter().enumerate() {
            assert_eq!(e.get(i).map(|e| e.index), Some(*want), "seed {seed}");
        }
        assert!(e.get(v.len()).is_none() && e.get(usize::MAX).is_none());
        assert!(e.runs().all(|r| !r.is_empty()));
        assert_eq!(
            e.runs().flatten().map(|e| e.index).collect::<Vec<_>>(),
            v,
            "seed {seed}"
        );
        // Whole and from the middle on, by internal iteration.
        let mut sums = e.iter();
        let mut want = v.iter();
        for _ in 0..rng.below(v.len() + 1) {
            assert_eq!(sums.next().map(|e| e.index), want.next().copied());
            assert_eq!(sums.next_back().map(|e| e.index), want.next_back().copied());
        }
        let mut left = Vec::new();
        sums.for_each(|e| left.push(e.index));
        assert_eq!(left, want.copied().collect::<Vec<_>>(), "seed {seed}");
        // Both ends at once.
        let (mut it, mut want) = (e.iter(), v.iter());
        for _ in 0..v.len() + 1 {
            if rng.below(2) == 0 {
                assert_eq!(
                    it.next().map(|e| e.index),
                    want.next().copied(),
                    "seed {seed}"
                );
            } else {
                assert_eq!(
                    it.next_back().map(|e| e.index),
                    want.next_back().copied(),
                    "seed {seed}"
                );
            }
            assert_eq!(it.len(), want.len(), "seed {seed}");
        }
    }

    #[test]
    fn iter_mut_leaves_other_views_alone() {
        let mut a = ents(1..4);
        let at = a.first().map(std::ptr::from_ref);
        a.iter_mut().for_each(|e| e.term = 9);
        assert_eq!(a.first().map(std::ptr::from_ref), at, "unshared: in place");
        let b = a.clone();
        a.iter_mut().for_each(|e| e.term = 10);
        assert!(a.iter().all(|e| e.term == 10) && b.iter().all(|e| e.term == 9));
        let mut c = b.slice(0..1).join(ents(7..9));
        c.iter_mut().for_each(|e| e.term = 11);
        assert!(c.iter().all(|e| e.term == 11) && b.iter().all(|e| e.term == 9));
        assert_eq!(Entries::new().iter_mut().count(), 0);
    }

    #[test]
    fn a_slice_within_one_run_lets_the_others_go() {
        let (a, b) = (ents(1..3), ents(3..5));
        let held = a.clone();
        let view = a.join(b).slice(2..4);
        assert_eq!(view.runs().count(), 1);
        let Blocks::One(block) = &held.blocks else {
            panic!()
        };
        assert_eq!(Arc::strong_count(block), 1);
        assert_eq!(indexes(&view), [3, 4]);
    }

    #[test]
    fn concat_moves_what_is_unshared_and_leaves_the_rest_alone() {
        let payload = |e: &Entries| e.first().map(|e| e.data.as_ptr());
        let (a, b, c) = (ents(1..3), ents(3..5), ents(5..7).join(ents(7..9)));
        let (held, at) = (b.clone(), payload(&a));
        let chain = c.clone();
        let all = Entries::concat(vec![a, Entries::new(), b.slice(1..2), c.slice(1..3)]);
        assert_eq!(indexes(&all), [1, 2, 4, 6, 7]);
        assert_eq!(all.runs().count(), 1);
        assert_eq!(payload(&all), at);
        assert_eq!(indexes(&held), [3, 4]);
        assert_eq!(indexes(&chain), [5, 6, 7, 8]);
        drop((c, chain));
        let own = ents(5..7).join(ents(7..9)).slice(1..4);
        assert_eq!(indexes(&Entries::concat(vec![own])), [6, 7, 8]);
        assert!(Entries::concat(vec![]).is_empty());
    }

    /// An iterator whose hint is wrong loses no entry and makes none up.
    #[test]
    fn a_wrong_size_hint_does_no_harm() {
        struct Lying(std::vec::IntoIter<Entry>, usize);
        impl Iterator for Lying {
            type Item = Entry;
            fn next(&mut self) -> Option<Entry> {
                self.0.next()
            }
            fn size_hint(&self) -> (usize, Option<usize>) {
                (self.1, Some(self.1))
            }
        }
        for hint in 0..6 {
            let v: Vec<_> = (1..4).map(|i| Entry::new(1, i, "x")).collect();
            let e: Entries = Lying(v.clone().into_iter(), hint).collect();
            assert_eq!(e, v.into());
        }
        assert!(Lying(vec![].into_iter(), 3).collect::<Entries>().is_empty());
    }

    #[test]
    fn limit_size_keeps_at_least_one() {
        let e = ents(1..4);
        assert_eq!(e.limit_size(0).len(), 1);
        assert_eq!(e.limit_size(17).len(), 1);
        assert_eq!(e.limit_size(18).len(), 2);
        assert_eq!(e.limit_size(u64::MAX).len(), 3);
        assert!(Entries::new().limit_size(0).is_empty());
    }

    /// Entries 4 to 6: all, one whatever the limit, two until all three fit to the byte.
    #[test]
    fn limit_size_keeps_what_fits() {
        let e: Entries = (4..=6).map(|i| Entry::new(i, i, "")).collect();
        let size = |n: usize| e.slice(0..n).iter().map(Entry::size).sum::<u64>();
        let half = (size(3) - size(2)) / 2;
        for (max, want) in [
            (u64::MAX, 3),
            (0, 1),
            (size(2), 2),
            (size(2) + half, 2),
            (size(3) - 1, 2),
            (size(3), 3),
        ] {
            let got = e.limit_size(max);
            assert_eq!(got, e.slice(0..want), "{max}");
            let bytes: u64 = got.iter().map(Entry::size).sum();
            assert!(got.len() == 1 || bytes <= max);
        }
    }

    #[test]
    fn debug_and_eq_do_not_show_blocks() {
        let whole = ents(1..5);
        let parts = ents(1..3).join(ents(3..5));
        assert_eq!(parts.runs().count(), 2);
        assert_eq!(whole, parts);
        assert_eq!(format!("{whole:?}"), format!("{parts:?}"));
    }
}
