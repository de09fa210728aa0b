//! The log: the storage's part, the unstable tail behind it, and how far it is committed and applied. Go: log.go

use crate::Fault;
use crate::log_terms::TermRuns;
use crate::log_unstable::{TailPart, Unstable};
use crate::logging::log_info;
use crate::raftpb::{Entries, Entry, NO_LIMIT, Snapshot, ents_size};
use crate::storage::{self, Storage};
use crate::types::{EntryId, LogError, MAX_INDEX};
use bytes::Bytes;
use slog::Logger;
use std::collections::VecDeque;
use std::fmt;

/// The log of a node. Go: raftLog
///
/// `applied <= applying <= committed <= last_index`
///
/// Differs from Go: the last entry's id and the beginnings of recent terms are remembered. The first index never is: the application compacts
/// the storage behind our back.
#[doc(alias = "raftLog")]
pub(crate) struct RaftLog<S> {
    /// All that is written since the last snapshot.
    pub(crate) storage: S,
    /// What is not known to be written.
    pub(crate) unstable: Unstable,
    /// The highest index known to be on a quorum of nodes.
    pub(crate) committed: u64,
    /// The highest index handed out to be applied.
    pub(crate) applying: u64,
    /// The highest index that the application has applied.
    pub(crate) applied: u64,
    /// The highest index of a snapshot handed out to be written.
    pub(crate) snapshot_handed_out: u64,
    pub(crate) logger: Logger,
    /// How many encoded bytes may be being applied.
    max_applying_ents_size: u64,
    /// How many are.
    applying_ents_size: u64,
    /// What is being applied, batch by batch, so that its sizes are not worked out again.
    batches: VecDeque<AppliedBatch>,
    /// Whether nothing more is handed out until some of that is applied.
    applying_ents_paused: bool,
    /// The last entry.
    last: EntryId,
    terms: TermRuns,
    /// What was written last, while not all of it is applied: it is about to be asked for.
    written: Entries,
    /// The index behind the last of these, which is known without looking at them.
    written_end: u64,
}

/// Entries that were handed out to be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AppliedBatch {
    pub(crate) last: u64,
    pub(crate) len: usize,
    pub(crate) sizes: Sizes,
}

/// How large entries are together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sizes {
    /// Encoded.
    pub(crate) encoded: u64,
    /// Their data alone.
    pub(crate) payload: u64,
}

impl Sizes {
    #[doc(alias = "entsSize", alias = "payloadsSize")]
    pub(crate) fn of(ents: &Entries) -> Self {
        let mut sizes = Self::default();
        for e in ents.runs().flatten() {
            sizes.encoded = sizes.encoded.saturating_add(e.size());
            sizes.payload = sizes.payload.saturating_add(e.data.len() as u64);
        }
        sizes
    }
}

/// Entries to send: the frozen part, and what is still in the open tail.
#[derive(Debug, Default)]
pub(crate) struct SendEntries {
    pub(crate) sealed: Entries,
    pub(crate) tail: Option<TailPart>,
    pub(crate) len: usize,
    pub(crate) payload: u64,
}

impl<S: Storage> RaftLog<S> {
    /// The log of a storage, committed and applied up to its last compaction. Go: newLogWithSize
    #[doc(alias = "newLog", alias = "newLogWithSize")]
    pub(crate) fn new(
        storage: S,
        logger: Logger,
        max_applying_ents_size: u64,
    ) -> Result<Self, Fault> {
        const DURING: &str = "reading the log's bounds";
        let fault = |e| Fault::new(DURING, e);
        let first = storage.first_index().map_err(fault)?;
        let last = storage.last_index().map_err(fault)?;
        if first == 0 || last > MAX_INDEX || last + 1 < first {
            return Err(fault(storage::Error::OutOfRange {
                index: last,
                first,
                last: MAX_INDEX,
            }));
        }
        let last = EntryId::new(storage.term(last).map_err(fault)?, last);
        Ok(Self {
            storage,
            unstable: Unstable::new(last.index + 1),
            committed: first - 1,
            applying: first - 1,
            applied: first - 1,
            snapshot_handed_out: 0,
            logger,
            max_applying_ents_size,
            applying_ents_size: 0,
            batches: VecDeque::new(),
            applying_ents_paused: false,
            last,
            terms: TermRuns::new(last),
            written: Entries::new(),
            written_end: 0,
        })
    }

    /// Appends what follows `prev`, if the log has that, and commits up to `committed` as far as that reaches. Takes what it needs of `ents`. The index of their last, or
    /// `None` if the log does not match.
    ///
    /// `prev` must not be below what is committed, and the entries must follow it.
    #[doc(alias = "maybeAppend")]
    pub(crate) fn maybe_append(
        &mut self,
        prev: EntryId,
        ents: &mut Entries,
        committed: u64,
    ) -> Result<Option<u64>, Fault> {
        if !self.match_term(prev)? {
            return Ok(None);
        }
        let last_new = prev.index + ents.len() as u64;
        if prev.index == self.last.index {
            // Nothing to conflict with: the way of nearly all appends.
            self.append_behind(ents);
        } else if let Some(ci) = self.find_conflict(ents)? {
            debug_assert!(
                ci > self.committed,
                "entry {ci} conflict with committed entry [committed({})]",
                self.committed
            );
            let known = usize::try_from(ci - prev.index - 1).unwrap_or(usize::MAX);
            if known == 0 {
                self.append(std::mem::take(ents));
            } else {
                self.append(ents.slice(known..ents.len()));
            }
        }
        self.commit_to(committed.min(last_new));
        Ok(Some(last_new))
    }

    /// Appends entries behind the last one.
    #[inline]
    fn append_behind(&mut self, ents: &mut Entries) {
        let Some(last) = ents.last().map(EntryId::from) else {
            return;
        };
        if last.term != self.last.term {
            ents.iter()
                .for_each(|e| self.terms.append(EntryId::from(e)));
        }
        self.last = last;
        self.unstable.append_behind(std::mem::take(ents));
    }

    /// Appends entries, in place of those that are there from the first one's index on. Never below what is committed.
    pub(crate) fn append(&mut self, ents: Entries) {
        let (Some(first), Some(last)) = (ents.first().map(EntryId::from), ents.last()) else {
            return;
        };
        debug_assert!(
            first.index > self.committed,
            "after({}) is out of range [committed({})]",
            first.index - 1,
            self.committed
        );
        let last = EntryId::from(last);
        if first.index <= self.last.index {
            self.terms.truncate(first.index);
            self.written = Entries::new();
        }
        if first.term == last.term {
            self.terms.append(first);
        } else {
            ents.iter()
                .for_each(|e| self.terms.append(EntryId::from(e)));
        }
        self.unstable.truncate_and_append(ents, &self.logger);
        self.last = last;
    }

    /// Appends a normal entry behind the last: the way of a leader's proposals.
    #[inline]
    pub(crate) fn push_new(&mut self, term: u64, data: Bytes) {
        let id = EntryId::new(term, self.last.index + 1);
        if term != self.last.term {
            self.terms.append(id);
        }
        self.last = id;
        self.unstable.push_new(id, data);
    }

    /// Appends one entry behind the last.
    pub(crate) fn push(&mut self, e: Entry) {
        debug_assert!(e.index == self.last.index + 1 && e.term >= self.last.term);
        let id = EntryId::from(&e);
        if id.term != self.last.term {
            self.terms.append(id);
        }
        self.last = id;
        self.unstable.push(e);
    }

    /// The index of the first entry that the log does not have, or has with another term; `None` when it has all.
    #[doc(alias = "findConflict")]
    pub(crate) fn find_conflict(&self, ents: &Entries) -> Result<Option<u64>, Fault> {
        for e in ents {
            if e.index > self.last.index {
                return Ok(Some(e.index));
            }
            let existing = self.term(e.index);
            if existing != Ok(e.term) {
                log_info!(
                    self.logger,
                    "found conflict at index {} [existing term: {}, conflicting term: {}]",
                    e.index,
                    zero_term_on_out_of_bounds(existing)?,
                    e.term
                );
                return Ok(Some(e.index));
            }
        }
        Ok(None)
    }

    /// A guess where this log ends to match another of which one entry is known: the largest index up to `index` whose term is at most
    /// `term` or not known, and its term, 0 if not known.
    ///
    /// Leader and follower use it to skip whole terms after a rejected append.
    #[doc(alias = "findConflictByTerm")]
    pub(crate) fn find_conflict_by_term(
        &self,
        mut index: u64,
        term: u64,
    ) -> Result<EntryId, Fault> {
        while index > 0 {
            match self.term(index) {
                Ok(ours) if ours <= term => return Ok(EntryId::new(ours, index)),
                // Whole terms are skipped at once where their beginning is known, but not beyond what is compacted: terms are not known there.
                Ok(_) => {
                    let kept = self.first_index()?.saturating_sub(1);
                    let begin = self.terms.run_at(index).map_or(index, |r| r.index);
                    index = begin.max(kept).max(1).min(index) - 1;
                }
                Err(LogError::Fault(f)) => return Err(f),
                Err(_) => return Ok(EntryId::new(0, index)),
            }
        }
        Ok(EntryId::default())
    }

    /// The entries to be written that are not being written yet. Go: nextUnstableEnts
    #[doc(alias = "nextUnstableEnts")]
    pub(crate) fn next_unstable_ents(&mut self) -> Entries {
        self.unstable.next_entries()
    }

    #[doc(alias = "hasNextUnstableEnts")]
    pub(crate) fn has_next_unstable_ents(&self) -> bool {
        self.unstable.has_next_entries()
    }

    /// Whether entries are to be written or being written.
    #[doc(alias = "hasNextOrInProgressUnstableEnts")]
    pub(crate) fn has_next_or_in_progress_unstable_ents(&self) -> bool {
        !self.unstable.is_empty()
    }

    /// The committed entries to apply next. With `allow_unstable` they need not be written here yet.
    #[doc(alias = "nextCommittedEnts")]
    pub(crate) fn next_committed_ents(&mut self, allow_unstable: bool) -> Result<Entries, Fault> {
        if !self.has_next_committed_ents(allow_unstable) {
            return Ok(Entries::new());
        }
        let mut ents = Entries::new();
        self.committed_ents(allow_unstable, &mut ents)?;
        Ok(ents)
    }

    /// The same where there are some; they are put where they will lie.
    #[inline(always)]
    pub(crate) fn committed_ents(
        &mut self,
        allow_unstable: bool,
        out: &mut Entries,
    ) -> Result<(), Fault> {
        let (lo, hi) = (
            self.applying + 1,
            self.max_appliable_index(allow_unstable) + 1,
        );
        let max_size = self
            .max_applying_ents_size
            .saturating_sub(self.applying_ents_size);
        if !self.written_slice(lo, hi, out) {
            *out = self
                .slice(lo, hi, max_size)
                .map_err(|e| e.into_fault("reading committed entries to apply"))?;
        } else if max_size != NO_LIMIT {
            *out = out.limit_size(max_size);
        }
        Ok(())
    }

    /// The entries `lo..hi`, if they are among those that were written last. These are let go when all of them are asked for: it is seldom done twice.
    #[inline(always)]
    fn written_slice(&mut self, lo: u64, hi: u64, out: &mut Entries) -> bool {
        let end = self.written_end;
        let first = end - self.written.len() as u64;
        if lo < first || hi > end {
            return false;
        }
        *out = if lo == first && hi == end {
            std::mem::take(&mut self.written)
        } else {
            let at = |i: u64| usize::try_from(i - first).unwrap_or(usize::MAX);
            self.written.slice(at(lo)..at(hi))
        };
        true
    }

    /// Whether there are committed entries to apply; reads none.
    #[doc(alias = "hasNextCommittedEnts")]
    #[inline]
    pub(crate) fn has_next_committed_ents(&self, allow_unstable: bool) -> bool {
        // A snapshot is applied by itself: what comes first would be a question otherwise.
        !self.applying_ents_paused
            && !self.has_next_or_in_progress_snapshot()
            && self.applying < self.max_appliable_index(allow_unstable)
    }

    #[doc(alias = "maxAppliableIndex")]
    fn max_appliable_index(&self, allow_unstable: bool) -> u64 {
        if allow_unstable {
            self.committed
        } else {
            self.committed.min(self.unstable.offset - 1)
        }
    }

    #[doc(alias = "nextUnstableSnapshot")]
    pub(crate) fn next_unstable_snapshot(&self) -> Option<&Snapshot> {
        self.unstable.next_snapshot()
    }

    #[doc(alias = "hasNextUnstableSnapshot")]
    pub(crate) fn has_next_unstable_snapshot(&self) -> bool {
        self.unstable.next_snapshot().is_some()
    }

    #[doc(alias = "hasNextOrInProgressSnapshot")]
    pub(crate) fn has_next_or_in_progress_snapshot(&self) -> bool {
        self.unstable.snapshot.is_some()
    }

    /// The newest snapshot.
    pub(crate) fn snapshot(&self) -> Result<Snapshot, storage::Error> {
        match &self.unstable.snapshot {
            Some(s) => Ok((**s).clone()),
            None => self.storage.snapshot(),
        }
    }

    /// Asked each time: the application compacts the storage when it likes.
    #[doc(alias = "firstIndex")]
    #[inline]
    pub(crate) fn first_index(&self) -> Result<u64, Fault> {
        match self.unstable.maybe_first_index() {
            Some(i) => Ok(i),
            None => self
                .storage
                .first_index()
                .map_err(|e| Fault::new("reading the first index", e)),
        }
    }

    #[doc(alias = "lastIndex")]
    #[inline]
    pub(crate) fn last_index(&self) -> u64 {
        self.last.index
    }

    /// Never lowers the commit index, and never raises it beyond the end: callers have checked that.
    #[doc(alias = "commitTo")]
    #[inline]
    pub(crate) fn commit_to(&mut self, to_commit: u64) {
        debug_assert!(
            to_commit <= self.last.index,
            "tocommit({to_commit}) is out of range [lastIndex({})]",
            self.last.index
        );
        self.committed = self.committed.max(to_commit.min(self.last.index));
    }

    /// The application has applied up to `i`, entries of `size` encoded bytes.
    #[doc(alias = "appliedTo")]
    pub(crate) fn applied_to(&mut self, i: u64, size: u64) {
        debug_assert!(
            self.applied <= i && i <= self.committed,
            "applied({i}) is out of range [prevApplied({}), committed({})]",
            self.applied,
            self.committed
        );
        self.applied = i;
        if !self.written.is_empty() {
            self.forget_written(i);
        }
        self.applying = self.applying.max(i);
        self.applying_ents_size = self.applying_ents_size.saturating_sub(size);
        self.applying_ents_paused = self.applying_ents_size >= self.max_applying_ents_size;
    }

    /// What was written last is not kept beyond its application.
    #[inline(never)]
    fn forget_written(&mut self, applied: u64) {
        if self.written.last().is_some_and(|e| e.index <= applied) {
            self.written = Entries::new();
        }
    }

    /// A batch was handed out that will come back as a message.
    pub(crate) fn remember_batch(&mut self, b: AppliedBatch) {
        self.batches.push_back(b);
    }

    /// The sizes of entries that were applied: remembered where they are a batch that was handed out.
    pub(crate) fn applied_sizes(&mut self, ents: &Entries) -> Sizes {
        let last = ents.last().map_or(0, |e| e.index);
        while let Some(b) = self.batches.front().copied()
            && b.last <= last
        {
            self.batches.pop_front();
            if b.last == last && b.len == ents.len() {
                return b.sizes;
            }
        }
        Sizes::of(ents)
    }

    /// Entries up to `i` of `size` encoded bytes were handed out to be applied.
    #[doc(alias = "acceptApplying")]
    #[inline]
    pub(crate) fn accept_applying(&mut self, i: u64, size: u64, allow_unstable: bool) {
        debug_assert!(
            self.applying <= i && i <= self.committed,
            "applying({i}) is out of range [prevApplying({}), committed({})]",
            self.applying,
            self.committed
        );
        self.applying = i;
        self.applying_ents_size = self.applying_ents_size.saturating_add(size);
        // That fewer were handed out than there are means that the next one would have crossed the limit.
        self.applying_ents_paused = self.applying_ents_size >= self.max_applying_ents_size
            || i < self.max_appliable_index(allow_unstable);
    }

    #[doc(alias = "stableTo")]
    #[inline(always)]
    pub(crate) fn stable_to(&mut self, id: EntryId) {
        // What is mostly written is all there is.
        if id != self.last || !self.unstable.is_sealed() {
            return self.unstable.stable_to(id, &self.logger);
        }
        let written = self.unstable.take_sealed();
        if id.index > self.applied {
            self.written = written;
            self.written_end = id.index + 1;
        }
    }

    #[doc(alias = "stableSnapTo")]
    pub(crate) fn stable_snap_to(&mut self, i: u64) {
        self.unstable.stable_snap_to(i);
    }

    /// All that is unstable is handed out to be written.
    #[doc(alias = "acceptUnstable")]
    pub(crate) fn accept_unstable(&mut self) {
        if let Some(s) = self.unstable.next_snapshot() {
            self.snapshot_handed_out = s.metadata.index;
        }
        self.unstable.accept_in_progress();
    }

    #[doc(alias = "lastEntryID")]
    #[inline]
    pub(crate) fn last_entry_id(&self) -> EntryId {
        self.last
    }

    /// The term of an entry that is unstable or the one before those, if it is of the newest term: the answer to nearly all questions.
    #[inline]
    pub(crate) fn recent_term(&self, i: u64) -> Option<u64> {
        // The one before the unstable ones is the storage's last, or a snapshot's: neither is compacted.
        if i > self.last.index || i + 1 < self.unstable.offset {
            return None;
        }
        self.terms.newest(i)
    }

    /// The term of the entry at an index, which may be anything from first index − 1 to the last.
    pub(crate) fn term(&self, i: u64) -> Result<u64, LogError> {
        if i == self.last.index {
            return Ok(self.last.term);
        }
        if i > self.last.index {
            return Err(LogError::Unavailable);
        }
        if i >= self.unstable.offset {
            let known = self.terms.get(i).or_else(|| self.unstable.maybe_term(i));
            return known.ok_or(LogError::Unavailable);
        }
        self.stable_term(i)
    }

    /// The term of an entry in the storage, or of a snapshot.
    fn stable_term(&self, i: u64) -> Result<u64, LogError> {
        if let Some(t) = self.unstable.maybe_term(i) {
            return Ok(t);
        }
        if i + 1 < self.first_index()? {
            return Err(LogError::Compacted);
        }
        if let Some(t) = self.terms.get(i) {
            return Ok(t);
        }
        self.storage
            .term(i)
            .map_err(|e| LogError::from_storage("reading a term", e))
    }

    /// The entries from `i` on, of at most `max_size` encoded bytes but at least one where there is one; those in the open
    /// tail are only named.
    #[doc(alias = "entries")]
    #[inline]
    pub(crate) fn entries_to_send(&self, i: u64, max_size: u64) -> Result<SendEntries, LogError> {
        if i > self.last.index {
            return Ok(SendEntries::default());
        }
        let tail_start = self.unstable.tail_start();
        if i >= tail_start {
            let tail = self.unstable.tail_part(i, max_size, true);
            return Ok(SendEntries {
                sealed: Entries::new(),
                len: usize::try_from(tail.hi - tail.lo).unwrap_or(usize::MAX),
                payload: tail.payload,
                tail: (tail.lo < tail.hi).then_some(tail),
            });
        }
        if let Some((sealed, payload)) = self.unstable.newest_block(i, max_size) {
            return Ok(SendEntries {
                len: sealed.len(),
                sealed,
                payload,
                tail: None,
            });
        }
        self.older_entries_to_send(i, max_size)
    }

    /// The same for entries that are not all of those that came last.
    fn older_entries_to_send(&self, i: u64, max_size: u64) -> Result<SendEntries, LogError> {
        if i < self.first_index()? {
            return Err(LogError::Compacted);
        }
        let tail_start = self.unstable.tail_start();
        let at_tail = |tail: TailPart, sealed: Entries, payload: u64| SendEntries {
            len: sealed.len() + usize::try_from(tail.hi - tail.lo).unwrap_or(usize::MAX),
            payload: payload + tail.payload,
            sealed,
            tail: (tail.lo < tail.hi).then_some(tail),
        };
        let sealed = self.sealed_slice(i, tail_start, max_size)?;
        let payload = sealed.iter().map(|e| e.data.len() as u64).sum();
        let mut tail = TailPart {
            lo: tail_start,
            hi: tail_start,
            payload: 0,
        };
        if tail_start <= self.last.index && sealed.len() as u64 == tail_start - i {
            let size = ents_size(&sealed);
            if size < max_size {
                tail = self.unstable.tail_part(tail_start, max_size - size, false);
            }
        }
        Ok(at_tail(tail, sealed, payload))
    }

    /// All entries in the log.
    #[cfg(test)]
    #[doc(alias = "allEntries")]
    pub(crate) fn all_entries(&mut self) -> Entries {
        let first = self.first_index().unwrap();
        self.slice(first, self.last.index + 1, u64::MAX).unwrap()
    }

    /// Whether a log that ends with this entry is at least as up to date as ours (Raft paper §5.4.1).
    #[doc(alias = "isUpToDate")]
    pub(crate) fn is_up_to_date(&self, their: EntryId) -> bool {
        let our = self.last;
        their.term > our.term || their.term == our.term && their.index >= our.index
    }

    /// Whether the log has this entry.
    #[doc(alias = "matchTerm")]
    #[inline]
    pub(crate) fn match_term(&self, id: EntryId) -> Result<bool, Fault> {
        if let Some(term) = self.recent_term(id.index) {
            return Ok(term == id.term);
        }
        match self.term(id.index) {
            Ok(t) => Ok(t == id.term),
            Err(LogError::Fault(f)) => Err(f),
            Err(_) => Ok(false),
        }
    }

    /// Commits up to an entry of the leader's own term; an older one is never committed by counting (Raft paper §5.4.2).
    #[doc(alias = "maybeCommit")]
    #[inline]
    pub(crate) fn maybe_commit(&mut self, at: EntryId) -> Result<bool, Fault> {
        if at.term != 0 && at.index > self.committed && self.match_term(at)? {
            self.commit_to(at.index);
            return Ok(true);
        }
        Ok(false)
    }

    /// Replaces the log by a snapshot.
    pub(crate) fn restore(&mut self, s: Box<Snapshot>) {
        log_info!(
            self.logger,
            "log [{self}] starts to restore snapshot [index: {}, term: {}]",
            s.metadata.index,
            s.metadata.term
        );
        self.committed = s.metadata.index;
        self.last = EntryId::new(s.metadata.term, s.metadata.index);
        self.terms = TermRuns::new(self.last);
        self.written = Entries::new();
        self.unstable.restore(s);
    }

    /// Shows `lo..hi` to `visit`, up to `page_size` encoded bytes at a time, until that says false.
    pub(crate) fn scan(
        &mut self,
        mut lo: u64,
        hi: u64,
        page_size: u64,
        mut visit: impl FnMut(&Entries) -> bool,
    ) -> Result<(), LogError> {
        while lo < hi {
            let ents = self.slice(lo, hi, page_size)?;
            if ents.is_empty() {
                return Err(LogError::Unavailable);
            }
            if !visit(&ents) {
                return Ok(());
            }
            lo += ents.len() as u64;
        }
        Ok(())
    }

    /// The entries `lo..hi`, of at most `max_size` encoded bytes but at least one.
    pub(crate) fn slice(&mut self, lo: u64, hi: u64, max_size: u64) -> Result<Entries, LogError> {
        if hi > self.unstable.tail_start() {
            self.unstable.seal();
        }
        self.sealed_slice(lo, hi, max_size)
    }

    /// The same, where `hi` does not reach into the open tail.
    #[doc(alias = "mustCheckOutOfBounds")]
    fn sealed_slice(&self, lo: u64, hi: u64, max_size: u64) -> Result<Entries, LogError> {
        debug_assert!(lo <= hi && hi <= self.unstable.tail_start());
        let offset = self.unstable.offset;
        // What is unstable is behind the first index.
        if lo >= offset && lo < hi {
            return Ok(limited(self.unstable.sealed_slice(lo, hi), max_size));
        }
        if lo < self.first_index()? {
            return Err(LogError::Compacted);
        }
        if lo >= hi {
            return Ok(Entries::new());
        }
        let cut = hi.min(offset);
        let ents = self.stable_slice(lo, cut, max_size)?;
        if hi <= offset || (ents.len() as u64) < cut - lo {
            return Ok(ents);
        }
        let size = ents_size(&ents);
        if size >= max_size {
            return Ok(ents);
        }
        let more = self
            .unstable
            .sealed_slice(offset, hi)
            .limit_size(max_size - size);
        // At least one is what a limit leaves; here it may be one too many.
        if more.len() == 1 && size + ents_size(&more) > max_size {
            return Ok(ents);
        }
        Ok(ents.join(more))
    }

    /// Entries of the storage. One that gives none, too many or others than were asked for breaks its promise.
    fn stable_slice(&self, lo: u64, hi: u64, max_size: u64) -> Result<Entries, LogError> {
        const DURING: &str = "reading entries";
        match self.storage.entries(lo, hi, max_size) {
            Ok(ents) if ents.first().is_some_and(|e| e.index == lo) => {
                let asked = usize::try_from(hi - lo).unwrap_or(usize::MAX);
                if ents.len() <= asked {
                    return Ok(ents);
                }
                Ok(ents.slice(0..asked))
            }
            Ok(_) => Err(LogError::Fault(Fault::new(
                DURING,
                storage::Error::other(format!("entries [{lo}, {hi}) are missing from the storage")),
            ))),
            Err(storage::Error::Compacted) => Err(LogError::Compacted),
            Err(e) => Err(LogError::Fault(Fault::new(DURING, e))),
        }
    }

    /// Gives back the memory of buffers that hold nothing.
    pub(crate) fn release_buffers(&mut self) {
        if self.batches.is_empty() {
            self.batches = VecDeque::new();
        }
        self.unstable.release_buffers();
    }

    /// How many encoded bytes may be being applied.
    pub(crate) fn max_applying_ents_size(&self) -> u64 {
        self.max_applying_ents_size
    }

    /// The entries that [`append`](Self::append) has appended last, whose payload together the caller knows.
    pub(crate) fn note_newest_block(&mut self, len: usize, payload: u64) {
        self.unstable.note_newest_block(len, payload);
    }

    /// Checks what holds between calls; reads nothing from the storage.
    pub(crate) fn check_invariants(&self) -> Result<(), String> {
        let bounds = [self.applied, self.applying, self.committed, self.last.index];
        if !bounds.is_sorted() {
            return Err(format!(
                "log: {self}, last index {}: out of order",
                self.last.index
            ));
        }
        let u = &self.unstable;
        if !(u.offset <= u.offset_in_progress && u.offset_in_progress <= u.end()) {
            return Err(format!("log: {self}: unstable offsets out of order"));
        }
        let last = u.maybe_last_index().unwrap_or(u.offset - 1);
        if last != self.last.index {
            return Err(format!(
                "log: the last index is {last}, not {}",
                self.last.index
            ));
        }
        if u.maybe_term(last).is_some_and(|t| t != self.last.term) {
            return Err("log: the last term is not the last entry's".into());
        }
        Ok(())
    }
}

#[inline]
fn limited(ents: Entries, max_size: u64) -> Entries {
    if max_size == NO_LIMIT {
        return ents;
    }
    ents.limit_size(max_size)
}

/// The term, or 0 where the index is not in the log.
#[doc(alias = "zeroTermOnOutOfBounds")]
pub(crate) fn zero_term_on_out_of_bounds(term: Result<u64, LogError>) -> Result<u64, Fault> {
    match term {
        Ok(t) => Ok(t),
        Err(LogError::Fault(f)) => Err(f),
        Err(_) => Ok(0),
    }
}

impl<S> fmt::Display for RaftLog<S> {
    #[doc(alias = "String")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "committed={}, applied={}, applying={}, unstable.offset={}, unstable.offsetInProgress={}, len(unstable.Entries)={}",
            self.committed,
            self.applied,
            self.applying,
            self.unstable.offset,
            self.unstable.offset_in_progress,
            self.unstable.len()
        )
    }
}

#[cfg(test)]
mod tests;
