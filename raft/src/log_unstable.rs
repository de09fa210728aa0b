//! The unstable tail of the log: what is not known to be written yet. Go: log_unstable.go
//!
//! ```text
//!        storage            | sealed: shared blocks          | tail: this leader's own
//!   ... ------------------->|---------------.----------------|----------------------->
//!                        offset       offset_in_progress   tail_start             last + 1
//!                           |  being written  |  not handed out yet            |
//! ```
//!
//! Differs from Go: what a leader appends goes to an open `Vec` first, which is frozen into one shared block when it is handed out. So
//! proposals cost no allocation each, and messages, storages and the application share what was written once.

use crate::logging::log_info;
use crate::raftpb::{Entries, Entry, Snapshot};
use crate::round::release;
use crate::types::EntryId;
use bytes::Bytes;
use slog::Logger;

/// A block is closed at so many entries,
const BLOCK_ENTRIES: usize = 256;
/// or at so many bytes: whoever keeps one entry keeps its block.
const BLOCK_BYTES: u64 = 256 << 10;

/// No entry is larger on the wire, beside its data: four keys, a type and three varints of at most ten bytes.
const ENTRY_OVERHEAD: u64 = 35;

/// Entries and a snapshot that are not known to be in the storage. Go: unstable
///
/// `offset` may lie below the storage's last index: the next write truncates the storage's log then.
#[doc(alias = "unstable")]
#[derive(Debug, Default)]
pub(crate) struct Unstable {
    /// A snapshot that was received, if any. Boxed: rare.
    pub(crate) snapshot: Option<Box<Snapshot>>,
    /// Whether it is being written.
    pub(crate) snapshot_in_progress: bool,
    /// The index of the first unstable entry, whether there is one or not.
    pub(crate) offset: u64,
    /// Entries below this index are being written. `offset <= offset_in_progress <= offset + len()`
    pub(crate) offset_in_progress: u64,
    /// The index of the first entry of the open tail: `offset` and the number of `sealed` ones.
    tail_start: u64,
    /// The entries from `offset` on,
    sealed: Entries,
    /// and those behind them. Its memory is kept when it is sealed, until the group is at rest.
    tail: Vec<Entry>,
    /// No less than the encoded size of `tail`.
    tail_size: u64,
    /// The payload of `tail`.
    tail_payload: u64,
    /// How many entries of a known payload came last, all at once, and that payload.
    newest: (usize, u64),
}

/// What a message will carry of the open tail: resolved when the tail is sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TailPart {
    pub(crate) lo: u64,
    pub(crate) hi: u64,
    /// The payload of these entries together.
    pub(crate) payload: u64,
}

impl Unstable {
    pub(crate) fn new(offset: u64) -> Self {
        Self {
            offset,
            offset_in_progress: offset,
            tail_start: offset,
            ..Self::default()
        }
    }

    /// How many entries there are.
    pub(crate) fn len(&self) -> usize {
        self.sealed.len() + self.tail.len()
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.end() == self.offset
    }

    /// The index behind the last entry.
    #[inline]
    pub(crate) fn end(&self) -> u64 {
        self.tail_start + self.tail.len() as u64
    }

    /// The index of the first entry of the open tail.
    #[inline]
    pub(crate) fn tail_start(&self) -> u64 {
        self.tail_start
    }

    /// Puts the sealed entries in place, from `offset` on.
    #[inline]
    fn set_sealed(&mut self, sealed: Entries) {
        self.tail_start = self.offset + sealed.len() as u64;
        self.sealed = sealed;
    }

    /// Appends entries: the first one's index is the one behind the last.
    #[inline]
    pub(crate) fn append_behind(&mut self, ents: Entries) {
        self.seal();
        self.newest = (0, 0);
        self.add_sealed(ents);
    }

    /// Adds entries to the sealed ones; the open tail is empty.
    #[inline]
    fn add_sealed(&mut self, ents: Entries) {
        debug_assert!(self.tail.is_empty());
        self.tail_start += ents.len() as u64;
        self.sealed.append(ents);
    }

    /// The index of the first entry that the log can have, if there is a snapshot.
    #[doc(alias = "maybeFirstIndex")]
    pub(crate) fn maybe_first_index(&self) -> Option<u64> {
        self.snapshot.as_ref().map(|s| s.metadata.index + 1)
    }

    /// The last index, if there is an entry or a snapshot.
    #[doc(alias = "maybeLastIndex")]
    pub(crate) fn maybe_last_index(&self) -> Option<u64> {
        if self.is_empty() {
            self.snapshot.as_ref().map(|s| s.metadata.index)
        } else {
            Some(self.end() - 1)
        }
    }

    /// Whether there are entries, and all are sealed.
    #[inline]
    pub(crate) fn is_sealed(&self) -> bool {
        self.tail.is_empty() && !self.sealed.is_empty()
    }

    /// Takes all entries out, which are [sealed](Self::is_sealed): they are in the storage from now on.
    #[inline]
    pub(crate) fn take_sealed(&mut self) -> Entries {
        debug_assert!(self.is_sealed());
        self.newest = (0, 0);
        self.offset = self.tail_start;
        self.offset_in_progress = self.tail_start;
        std::mem::take(&mut self.sealed)
    }

    /// The entry at an index, if it is unstable.
    fn get(&self, i: u64) -> Option<&Entry> {
        let at = usize::try_from(i.checked_sub(self.offset)?).ok()?;
        match at.checked_sub(self.sealed.len()) {
            Some(at) => self.tail.get(at),
            None => self.sealed.get(at),
        }
    }

    /// The term of the entry at an index, if it is unstable, or the unstable snapshot's.
    #[doc(alias = "maybeTerm")]
    pub(crate) fn maybe_term(&self, i: u64) -> Option<u64> {
        if i < self.offset {
            let s = self.snapshot.as_ref()?;
            return (s.metadata.index == i).then_some(s.metadata.term);
        }
        self.get(i).map(|e| e.term)
    }

    /// Whether there are entries that are not being written yet.
    pub(crate) fn has_next_entries(&self) -> bool {
        self.end() > self.offset_in_progress
    }

    /// The entries that are not being written yet.
    #[doc(alias = "nextEntries")]
    #[inline]
    pub(crate) fn next_entries(&mut self) -> Entries {
        if self.offset_in_progress == self.end() {
            return Entries::new();
        }
        self.slice(self.offset_in_progress, self.end())
    }

    /// The snapshot, if it is not being written yet.
    #[doc(alias = "nextSnapshot")]
    pub(crate) fn next_snapshot(&self) -> Option<&Snapshot> {
        self.snapshot
            .as_deref()
            .filter(|_| !self.snapshot_in_progress)
    }

    /// All that is unstable is being written from now on.
    #[doc(alias = "acceptInProgress")]
    pub(crate) fn accept_in_progress(&mut self) {
        self.offset_in_progress = self.end();
        self.snapshot_in_progress = self.snapshot.is_some();
    }

    /// Whether the entry is unstable and not handed out to be written: nobody can have written it.
    pub(crate) fn is_not_handed_out(&self, id: EntryId) -> bool {
        id.index >= self.offset_in_progress && self.maybe_term(id.index) == Some(id.term)
    }

    /// Entries up to this one are written: they are in the storage from now on.
    ///
    /// Only for a caller who knows that no write under way may replace them: see `new_storage_append_resp_msg`.
    #[doc(alias = "stableTo", alias = "shrinkEntriesArray")]
    #[inline(never)]
    pub(crate) fn stable_to(&mut self, id: EntryId, logger: &Logger) {
        let Some(term) = self.maybe_term(id.index) else {
            log_info!(
                logger,
                "entry at index {} missing from unstable log; ignoring",
                id.index
            );
            return;
        };
        if id.index < self.offset {
            log_info!(
                logger,
                "entry at index {} matched unstable snapshot; ignoring",
                id.index
            );
            return;
        }
        if term != id.term {
            // Part of the log was replaced while the entry was being written.
            log_info!(
                logger,
                "entry at (index,term)=({},{}) mismatched with entry at ({},{}) in unstable log; ignoring",
                id.index,
                id.term,
                id.index,
                term
            );
            return;
        }
        if id.index >= self.tail_start() {
            self.seal();
        }
        self.newest = (0, 0);
        let end = self.sealed.len();
        let num = usize::try_from(id.index + 1 - self.offset).unwrap_or(end);
        let left = if num >= end {
            Entries::new()
        } else {
            self.sealed.slice(num..end)
        };
        self.offset = id.index + 1;
        self.set_sealed(left);
        self.offset_in_progress = self.offset_in_progress.max(self.offset);
    }

    /// The snapshot of this index is written.
    #[doc(alias = "stableSnapTo")]
    pub(crate) fn stable_snap_to(&mut self, i: u64) {
        if self
            .snapshot
            .as_ref()
            .is_some_and(|s| s.metadata.index == i)
        {
            self.snapshot = None;
            self.snapshot_in_progress = false;
        }
    }

    /// Replaces everything by a snapshot.
    pub(crate) fn restore(&mut self, s: Box<Snapshot>) {
        let offset = s.metadata.index + 1;
        *self = Self {
            snapshot: Some(s),
            ..Self::new(offset)
        };
    }

    /// Appends one entry to the open tail: its index is the one behind the last.
    #[inline]
    pub(crate) fn push(&mut self, e: Entry) {
        self.make_room(e.data.len() as u64);
        self.tail.push(e);
    }

    /// The same for a normal entry, which is made in its place.
    #[inline]
    pub(crate) fn push_new(&mut self, id: EntryId, data: Bytes) {
        self.make_room(data.len() as u64);
        let EntryId { term, index } = id;
        let make = move || Entry {
            term,
            index,
            entry_type: None,
            data,
        };
        self.tail.extend(std::iter::once_with(make));
    }

    /// Counts an entry that is about to be pushed.
    #[inline]
    fn make_room(&mut self, payload: u64) {
        if self.tail.len() >= BLOCK_ENTRIES || self.tail_size >= BLOCK_BYTES {
            self.seal();
        }
        self.tail_size += payload + ENTRY_OVERHEAD;
        self.tail_payload += payload;
    }

    /// Freezes the open tail into a shared block.
    #[inline]
    pub(crate) fn seal(&mut self) {
        if !self.tail.is_empty() {
            self.freeze_tail();
        }
    }

    fn freeze_tail(&mut self) {
        let block = match self.tail.len() {
            1 => self.tail.pop().map(Entries::from).unwrap_or_default(),
            _ => Entries::drained(&mut self.tail),
        };
        self.newest = (0, 0);
        self.add_sealed(block);
        (self.tail_size, self.tail_payload) = (0, 0);
    }

    /// Gives back the open tail's memory if it holds nothing.
    pub(crate) fn release_buffers(&mut self) {
        release(&mut self.tail);
    }

    /// Appends entries, after all that is behind the first one's index is taken away. There must be one.
    #[doc(alias = "truncateAndAppend")]
    #[inline]
    pub(crate) fn truncate_and_append(&mut self, ents: Entries, logger: &Logger) {
        let Some(from) = ents.first().map(|e| e.index) else {
            return;
        };
        self.seal();
        self.newest = (0, 0);
        if from == self.end() {
            self.add_sealed(ents);
        } else if from <= self.offset {
            log_info!(logger, "replace the unstable entries from index {from}");
            self.offset = from;
            self.offset_in_progress = from;
            self.set_sealed(ents);
        } else {
            log_info!(logger, "truncate the unstable entries before index {from}");
            let sealed = self.slice(self.offset, from).join(ents);
            self.set_sealed(sealed);
            self.offset_in_progress = self.offset_in_progress.min(from);
        }
    }

    /// The entries `lo..hi`, cut to what there is. Seals what it needs.
    pub(crate) fn slice(&mut self, lo: u64, hi: u64) -> Entries {
        debug_assert!(
            self.offset <= lo && lo <= hi && hi <= self.end(),
            "unstable.slice[{lo},{hi}) out of bound [{},{}]",
            self.offset,
            self.end()
        );
        if hi > self.tail_start() {
            self.seal();
        }
        self.sealed_slice(lo, hi)
    }

    /// The entries `lo..hi`, of which none is in the open tail.
    #[doc(alias = "mustCheckOutOfBounds")]
    #[inline]
    pub(crate) fn sealed_slice(&self, lo: u64, hi: u64) -> Entries {
        debug_assert!(self.offset <= lo && lo <= hi && hi <= self.tail_start());
        if lo == self.offset && hi == self.tail_start {
            return self.sealed.clone();
        }
        self.sealed_part(lo, hi)
    }

    #[inline(never)]
    fn sealed_part(&self, lo: u64, hi: u64) -> Entries {
        let at = |i: u64| usize::try_from(i.saturating_sub(self.offset)).unwrap_or(usize::MAX);
        self.sealed.slice(at(lo)..at(hi))
    }

    /// The payload of the entries that were appended last is known.
    pub(crate) fn note_newest_block(&mut self, len: usize, payload: u64) {
        self.newest = (len, payload);
    }

    /// The entries from `lo` on with their payload, if they were appended last and all at once and are surely of at most `max_size` encoded bytes.
    pub(crate) fn newest_block(&self, lo: u64, max_size: u64) -> Option<(Entries, u64)> {
        let (len, payload) = self.newest;
        let size = payload.saturating_add(ENTRY_OVERHEAD * len as u64);
        let begin = self.sealed.len().checked_sub(len)?;
        if len == 0 || !self.tail.is_empty() || lo != self.end() - len as u64 || size > max_size {
            return None;
        }
        Some((self.sealed.slice(begin..begin + len), payload))
    }

    /// The part of the open tail from `lo` on of at most `max_size` encoded bytes; with `at_least_one`, one entry even if it is larger.
    /// `lo` must lie in the tail or at its end.
    #[inline]
    pub(crate) fn tail_part(&self, lo: u64, max_size: u64, at_least_one: bool) -> TailPart {
        let skip = usize::try_from(lo - self.tail_start()).unwrap_or(usize::MAX);
        if skip == 0 && self.tail_size <= max_size {
            return TailPart {
                lo,
                hi: self.end(),
                payload: self.tail_payload,
            };
        }
        let ents = self.tail.get(skip..).unwrap_or_default();
        if self.tail_size <= max_size {
            return TailPart {
                lo,
                hi: self.end(),
                payload: ents.iter().map(|e| e.data.len() as u64).sum(),
            };
        }
        let mut part = TailPart {
            lo,
            hi: lo,
            payload: 0,
        };
        let mut size = 0;
        for e in ents {
            size += e.size();
            if size > max_size && !(at_least_one && part.hi == lo) {
                break;
            }
            part.hi += 1;
            part.payload += e.data.len() as u64;
        }
        part
    }
}

#[cfg(test)]
mod tests;
