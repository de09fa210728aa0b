//! The suite can fail: storages that break the contract in one place each, and the check that says so.

use super::*;
use raftpb::{ConfState, Entries, Snapshot};
use std::collections::BTreeSet;

/// What a storage does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    Nothing,
    FirstIndexOneTooHigh,
    LastIndexForgetsSnapshot,
    NewLogBeginsAtZero,
    TermAtCompactedLost,
    TermBeyondLastIsZero,
    TermBelowIsUnavailable,
    EntriesIgnoreLimit,
    EntriesLimitAnewInEachPiece,
    EntriesMayBeNone,
    EntriesIncludeHi,
    EntriesCompactedIsUnavailable,
    EntriesBeyondLastAreCut,
    EntriesBackwardsAreNone,
    EntryTypeLost,
    EmptyPayloadFilled,
    LongLogLosesItsMiddle,
    EmptyWriteClearsHardState,
    AppendOfManyKeepsTheFirst,
    OverwriteKeepsTail,
    OldEntriesWin,
    CompactedEntriesRefused,
    CompactedEntriesAppended,
    GapAccepted,
    DisorderAccepted,
    LargestIndexAccepted,
    RefusedWriteKeepsHardState,
    RefusedWriteInstallsSnapshot,
    HardStateIgnoredBesideEntries,
    HardStateNeedsSync,
    VoteNeverCleared,
    CompactKeepsOneMore,
    CompactBeyondLastEmpties,
    CompactAgainIsFine,
    CompactDropsSnapshot,
    BootstrapRefused,
    BootstrapAtAnyTime,
    BootstrapWithTerm,
    SnapshotKeepsWhatFollows,
    SnapshotClearsHardState,
    SnapshotForgetsConfState,
    StaleSnapshotInstalled,
    EqualSnapshotInstalled,
    OwnSnapshotDropsLog,
    OwnSnapshotStaleAccepted,
    OwnSnapshotBeyondLastAccepted,
    OwnSnapshotTermUnchecked,
    SyncDropped,
    SyncKeepsEntriesOnly,
    CommitOnlyIgnored,
    CommitOnlyNotDurable,
    SnapshotNotDurable,
    OwnSnapshotNotDurable,
    TruncationNotDurable,
    HardStateDurableBeforeEntries,
    ReopenedRefusesWrites,
    ReopenedForgetsCompactedTerm,
    SecondOverwriteInATermLost,
}

use Flaw::*;

/// Each flaw, and the checks that must find it (others may, too).
const TABLE: &[(Flaw, &[&str])] = &[
    (FirstIndexOneTooHigh, &["new_log", "bounds"]),
    (LastIndexForgetsSnapshot, &["bounds", "received_snapshot"]),
    (NewLogBeginsAtZero, &["new_log"]),
    (TermAtCompactedLost, &["term_boundaries", "compaction"]),
    (TermBeyondLastIsZero, &["new_log", "term_boundaries"]),
    (TermBelowIsUnavailable, &["term_boundaries"]),
    (EntriesIgnoreLimit, &["entries_limit"]),
    (EntriesLimitAnewInEachPiece, &["entries_limit"]),
    (EntriesMayBeNone, &["entries_limit"]),
    (EntriesIncludeHi, &["entries_ranges", "entries_limit"]),
    (
        EntriesCompactedIsUnavailable,
        &["new_log", "entries_ranges"],
    ),
    (EntriesBeyondLastAreCut, &["new_log", "entries_ranges"]),
    (EntriesBackwardsAreNone, &["entries_ranges"]),
    (EntryTypeLost, &["entry_contents"]),
    (EmptyPayloadFilled, &["entry_contents"]),
    (LongLogLosesItsMiddle, &["big_log"]),
    (EmptyWriteClearsHardState, &["append_extends"]),
    (AppendOfManyKeepsTheFirst, &["append_extends"]),
    (OverwriteKeepsTail, &["append_overwrites"]),
    (OldEntriesWin, &["append_overwrites"]),
    (CompactedEntriesRefused, &["append_skips_compacted"]),
    (CompactedEntriesAppended, &["append_skips_compacted"]),
    (GapAccepted, &["gaps_refused", "random_histories"]),
    (DisorderAccepted, &["gaps_refused"]),
    (LargestIndexAccepted, &["largest_index"]),
    (
        RefusedWriteKeepsHardState,
        &["gaps_refused", "whole_writes"],
    ),
    (RefusedWriteInstallsSnapshot, &["whole_writes"]),
    (HardStateIgnoredBesideEntries, &["hard_state"]),
    (HardStateNeedsSync, &["hard_state"]),
    (VoteNeverCleared, &["hard_state"]),
    (CompactKeepsOneMore, &["compaction", "bounds"]),
    (CompactBeyondLastEmpties, &["compaction"]),
    (CompactAgainIsFine, &["compaction"]),
    (CompactDropsSnapshot, &["compaction"]),
    (BootstrapRefused, &["bootstrap_snapshot"]),
    (BootstrapAtAnyTime, &["bootstrap_snapshot"]),
    (BootstrapWithTerm, &["bootstrap_snapshot"]),
    (SnapshotKeepsWhatFollows, &["received_snapshot"]),
    (SnapshotClearsHardState, &["received_snapshot"]),
    (
        SnapshotForgetsConfState,
        &["received_snapshot", "bootstrap_snapshot"],
    ),
    (StaleSnapshotInstalled, &["stale_snapshot"]),
    (EqualSnapshotInstalled, &["stale_snapshot"]),
    (OwnSnapshotDropsLog, &["own_snapshot", "bounds"]),
    (OwnSnapshotStaleAccepted, &["own_snapshot"]),
    (OwnSnapshotBeyondLastAccepted, &["own_snapshot"]),
    (OwnSnapshotTermUnchecked, &["own_snapshot"]),
    (SyncDropped, &["sync_keeps", "random_histories"]),
    (SyncKeepsEntriesOnly, &["sync_keeps", "commit_only_writes"]),
    (CommitOnlyIgnored, &["commit_only_writes"]),
    (CommitOnlyNotDurable, &["commit_only_writes"]),
    (SnapshotNotDurable, &["snapshots_are_durable"]),
    (OwnSnapshotNotDurable, &["snapshots_are_durable"]),
    (TruncationNotDurable, &["overwrites_stay_overwritten"]),
    (HardStateDurableBeforeEntries, &["unsynced_is_a_prefix"]),
    (ReopenedRefusesWrites, &["reopened_goes_on"]),
    (ReopenedForgetsCompactedTerm, &["reopened_goes_on"]),
    (SecondOverwriteInATermLost, &["random_histories"]),
];

/// A storage that keeps the contract but for its flaw, and loses at a reopen what was not synced.
struct Flawed {
    now: Model,
    durable: Model,
    flaw: Flaw,
    reopened: bool,
    /// The term of the newest overwrite.
    overwrote: u64,
}

impl Flawed {
    fn is(&self, flaw: Flaw) -> bool {
        self.flaw == flaw
    }

    fn empty(&self) -> bool {
        self.now.entries.is_empty()
    }

    /// The Write as the flaw lets it through; `Err` refuses it.
    fn distort(&mut self, w: &mut Write) -> Result<(), Error> {
        let base = self.now.base;
        let head = w.entries.first().map_or(0, |e| e.index);
        let refused = self.now.check(w).is_err();
        match self.flaw {
            EmptyWriteClearsHardState if w.is_empty() => {
                w.hard_state = Some(HardState::default());
            }
            AppendOfManyKeepsTheFirst => w.entries = w.entries.slice(0..1),
            OldEntriesWin if !refused && w.snapshot.is_none() && head > base => {
                let has = self.now.last() + 1 - head;
                w.entries = w
                    .entries
                    .slice(usize::try_from(has).unwrap()..w.entries.len());
            }
            CompactedEntriesRefused if head <= base && head > 0 => return Err(Error::Compacted),
            CompactedEntriesAppended if head <= base && head > 0 && !refused => {
                let moved = w
                    .entries
                    .iter()
                    .map(|e| Entry::new(e.term, e.index + base, ""));
                w.entries = moved.collect();
                w.entries = renumber(&w.entries, self.now.last() + 1);
            }
            GapAccepted
                if head > self.now.last() + 1 && w.snapshot.is_none() && head < u64::MAX - 9 =>
            {
                w.entries = renumber(&w.entries, self.now.last() + 1);
            }
            DisorderAccepted
                if head > base && head <= self.now.last() + 1 && w.snapshot.is_none() =>
            {
                w.entries = renumber(&w.entries, head);
            }
            LargestIndexAccepted if w.entries.last().is_some_and(|e| e.index == u64::MAX) => {
                w.entries = Entries::new();
            }
            RefusedWriteKeepsHardState if refused => {
                self.now.hard_state = w.hard_state.unwrap_or(self.now.hard_state);
            }
            RefusedWriteInstallsSnapshot if refused => {
                if let Some(s) = &w.snapshot
                    && self.now.check_received(s).is_ok()
                {
                    self.now.install(s);
                }
            }
            HardStateIgnoredBesideEntries if !w.entries.is_empty() => w.hard_state = None,
            HardStateNeedsSync if !w.must_sync => w.hard_state = None,
            CommitOnlyIgnored if w.entries.is_empty() && !w.must_sync => w.hard_state = None,
            VoteNeverCleared => {
                if let Some(hs) = w.hard_state.as_mut().filter(|hs| hs.vote == 0) {
                    hs.vote = self.now.hard_state.vote;
                }
            }
            BootstrapRefused if w.snapshot.as_ref().is_some_and(Snapshot::is_empty) => {
                return Err(Error::SnapshotOutOfDate);
            }
            _ => {}
        }
        if let Some(s) = &mut w.snapshot {
            match self.flaw {
                BootstrapAtAnyTime if s.is_empty() => self.now = Model::default(),
                BootstrapWithTerm if s.is_empty() => s.metadata.term = 0,
                SnapshotForgetsConfState => s.metadata.conf_state = ConfState::default(),
                StaleSnapshotInstalled | EqualSnapshotInstalled => {
                    let stored = self.now.snapshot.metadata.index;
                    let lets = if self.is(EqualSnapshotInstalled) {
                        stored
                    } else {
                        1
                    };
                    if (lets..=stored).contains(&s.metadata.index) {
                        self.now.install(&Snapshot::default());
                    }
                }
                SnapshotClearsHardState if w.hard_state.is_none() => {
                    w.hard_state = Some(HardState::default());
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// The same entries with indexes that follow each other.
fn renumber(e: &Entries, first: u64) -> Entries {
    let at = |n: usize| first.wrapping_add(n as u64);
    let moved = |(n, e): (usize, &Entry)| Entry {
        index: at(n),
        ..e.clone()
    };
    e.iter().enumerate().map(moved).collect()
}

impl Storage for Flawed {
    fn initial_state(&self) -> Result<(HardState, ConfState), Error> {
        self.now.initial_state()
    }

    fn entries(&self, lo: u64, hi: u64, max_size: u64) -> Result<Entries, Error> {
        let (m, last) = (&self.now, self.now.last());
        let got = match self.flaw {
            EntriesIgnoreLimit => m.entries(lo, hi, u64::MAX),
            EntriesLimitAnewInEachPiece if hi > 3 && lo < 3 && hi <= last + 1 => {
                let first = m.entries(lo, 3, max_size)?;
                let cut = first.len() as u64 + lo < 3;
                if cut {
                    Ok(first)
                } else {
                    Ok(first.join(m.entries(3, hi, max_size)?))
                }
            }
            EntriesMayBeNone if max_size == 0 => m.entries(lo, lo, 0),
            EntriesIncludeHi if hi <= last && lo < hi => m.entries(lo, hi + 1, max_size),
            EntriesBeyondLastAreCut if lo <= last + 1 => m.entries(lo, hi.min(last + 1), max_size),
            EntriesBackwardsAreNone if lo > hi && lo > m.base && hi <= last + 1 => {
                Ok(Entries::new())
            }
            _ => m.entries(lo, hi, max_size),
        };
        match (self.flaw, got) {
            (EntriesCompactedIsUnavailable, Err(Error::Compacted)) => Err(Error::Unavailable),
            (EntryTypeLost, Ok(e)) => Ok(e
                .iter()
                .map(|e| Entry::new(e.term, e.index, e.data.clone()))
                .collect()),
            (EmptyPayloadFilled, Ok(e)) => {
                let mut e = e;
                e.iter_mut()
                    .filter(|e| e.data.is_empty())
                    .for_each(|e| e.data = "0".into());
                Ok(e)
            }
            (LongLogLosesItsMiddle, Ok(e)) if e.len() > 2000 => {
                Ok(e.slice(0..1000).join(e.slice(1001..e.len())))
            }
            (_, got) => got,
        }
    }

    fn term(&self, index: u64) -> Result<u64, Error> {
        match (self.flaw, self.now.term(index)) {
            (TermAtCompactedLost, _) if index == self.now.base && index > 0 => {
                Err(Error::Compacted)
            }
            (ReopenedForgetsCompactedTerm, Ok(_)) if index == self.now.base && self.reopened => {
                Ok(0)
            }
            (TermBeyondLastIsZero, Err(Error::Unavailable)) => Ok(0),
            (TermBelowIsUnavailable, Err(Error::Compacted)) => Err(Error::Unavailable),
            (_, got) => got,
        }
    }

    fn first_index(&self) -> Result<u64, Error> {
        Ok(match self.flaw {
            FirstIndexOneTooHigh => self.now.first() + 1,
            NewLogBeginsAtZero if self.now.last() == 0 => 0,
            _ => self.now.first(),
        })
    }

    fn last_index(&self) -> Result<u64, Error> {
        Ok(match self.flaw {
            LastIndexForgetsSnapshot if self.empty() => 0,
            _ => self.now.last(),
        })
    }

    fn snapshot(&self) -> Result<Snapshot, Error> {
        self.now.snapshot()
    }
}

impl Writer for Flawed {
    fn append(&mut self, w: &Write) -> Result<(), Error> {
        let mut w = w.clone();
        if self.is(ReopenedRefusesWrites) && self.reopened && !w.entries.is_empty() {
            return Err(Error::Unavailable);
        }
        self.distort(&mut w)?;
        let old = self.now.clone();
        self.now.append(&w)?;
        let head = w.entries.first().map_or(u64::MAX, |e| e.index);
        if let Some(s) = &w.snapshot {
            self.durable.install(s);
            let (i, last) = (s.metadata.index, old.last());
            match self.flaw {
                SnapshotNotDurable => self.durable = old,
                SnapshotKeepsWhatFollows if i < last && i >= old.base && w.entries.is_empty() => {
                    self.now
                        .put(&old.entries.into_iter().filter(|e| e.index > i).collect());
                }
                _ => {}
            }
            return Ok(());
        }
        let term = w.entries.first().map_or(0, |e| e.term);
        match self.flaw {
            OverwriteKeepsTail if head > old.base && self.now.last() < old.last() => {
                let next = self.now.last();
                self.now
                    .put(&old.entries.into_iter().filter(|e| e.index > next).collect());
            }
            SecondOverwriteInATermLost
                if head <= old.last()
                    && head > old.base
                    && std::mem::replace(&mut self.overwrote, term) == term =>
            {
                self.now.entries = old.entries;
            }
            HardStateDurableBeforeEntries => {
                self.durable.hard_state = w.hard_state.unwrap_or(self.durable.hard_state);
            }
            _ => {}
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), Error> {
        let before = self.durable.clone();
        match self.flaw {
            SyncDropped => return Ok(()),
            SyncKeepsEntriesOnly => {
                self.durable = Model {
                    hard_state: before.hard_state,
                    ..self.now.clone()
                };
            }
            TruncationNotDurable => {
                self.durable = self.now.clone();
                let next = self.now.last();
                let tail = before.entries.into_iter().filter(|e| e.index > next);
                if before.base == self.now.base {
                    self.durable.put(&tail.collect());
                }
            }
            CommitOnlyNotDurable => {
                let only = Model {
                    hard_state: before.hard_state,
                    ..self.now.clone()
                } == before;
                let term = self.now.hard_state.term == before.hard_state.term;
                if !(only && term) {
                    self.durable = self.now.clone();
                }
            }
            _ => self.durable = self.now.clone(),
        }
        Ok(())
    }

    fn save_snapshot(&mut self, s: &Snapshot) -> Result<(), Error> {
        let index = s.metadata.index;
        let mut s = s.clone();
        match self.flaw {
            OwnSnapshotStaleAccepted if index < self.now.snapshot.metadata.index => {
                self.now.snapshot = s;
                return Ok(());
            }
            OwnSnapshotBeyondLastAccepted if index > self.now.last() => return Ok(()),
            OwnSnapshotTermUnchecked if index > self.now.snapshot.metadata.index => {
                s.metadata.term = self.now.term(index).unwrap_or(0);
            }
            _ => {}
        }
        self.now.save_snapshot(&s)?;
        match self.flaw {
            OwnSnapshotDropsLog => self.now.install(&s),
            OwnSnapshotNotDurable => return Ok(()),
            _ => {}
        }
        self.durable.keep_snapshot(&s);
        Ok(())
    }

    fn compact(&mut self, index: u64) -> Result<(), Error> {
        match self.flaw {
            CompactKeepsOneMore if index > self.now.base + 1 => self.now.compact(index - 1),
            CompactBeyondLastEmpties if index > self.now.last() => {
                self.now.compact(self.now.last())
            }
            CompactAgainIsFine if index <= self.now.base => Ok(()),
            CompactDropsSnapshot => {
                self.now.compact(index)?;
                self.now.snapshot = Snapshot::default();
                Ok(())
            }
            _ => self.now.compact(index),
        }
    }
}

struct Maker(Flaw);

impl Harness for Maker {
    type Store = Flawed;

    fn create(&mut self) -> Flawed {
        Flawed {
            now: Model::default(),
            durable: Model::default(),
            flaw: self.0,
            reopened: false,
            overwrote: 0,
        }
    }

    fn reopen(&mut self, s: Flawed) -> Flawed {
        Flawed {
            now: s.durable.clone(),
            reopened: true,
            ..s
        }
    }
}

#[test]
fn a_storage_that_loses_only_what_was_not_synced_conforms() {
    conformance(Maker(Nothing));
    assert_eq!(random(&mut Maker(Nothing), 40..120), Ok(()));
}

#[test]
fn every_flaw_is_found() {
    let mut passed = Vec::new();
    for (flaw, checks) in TABLE {
        let found = violations(&mut Maker(*flaw));
        let found: Vec<_> = found.iter().map(|v| v.check).collect();
        for check in checks.iter().filter(|c| !found.contains(c)) {
            passed.push(format!("{flaw:?} passed {check}; found by {found:?}"));
        }
    }
    assert!(passed.is_empty(), "{}", passed.join("\n"));
}

/// No check is there for show: each finds a flaw of the table.
#[test]
fn every_check_finds_a_flaw() {
    let named: BTreeSet<_> = TABLE.iter().flat_map(|(_, c)| c.iter().copied()).collect();
    let all: BTreeSet<_> = checks::<Maker>()
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(named, all);
}

#[test]
fn a_random_failure_names_its_seed_and_calls() {
    let e = random(&mut Maker(SyncDropped), 1..100).unwrap_err();
    assert!(
        e.starts_with("seed ") && e.contains("the calls were append("),
        "{e}"
    );
    let seed: u64 = e[5..].split(':').next().unwrap().parse().unwrap();
    assert_eq!(random(&mut Maker(SyncDropped), seed..seed + 1), Err(e));
}

#[test]
#[should_panic(expected = "sync_keeps: after a reopen: ")]
fn conformance_panics_with_what_it_found() {
    conformance(Maker(SyncDropped));
}

/// A model behind a lock; with the flag set its last index is wrong.
#[derive(Clone, Default)]
struct Shared(std::sync::Arc<std::sync::Mutex<Model>>, bool);

impl Storage for Shared {
    fn initial_state(&self) -> Result<(HardState, ConfState), Error> {
        self.0.lock().unwrap().initial_state()
    }

    fn entries(&self, lo: u64, hi: u64, max_size: u64) -> Result<Entries, Error> {
        self.0.lock().unwrap().entries(lo, hi, max_size)
    }

    fn term(&self, index: u64) -> Result<u64, Error> {
        self.0.lock().unwrap().term(index)
    }

    fn first_index(&self) -> Result<u64, Error> {
        self.0.lock().unwrap().first_index()
    }

    fn last_index(&self) -> Result<u64, Error> {
        let m = self.0.lock().unwrap();
        Ok(if self.1 {
            m.base.saturating_sub(1)
        } else {
            m.last()
        })
    }

    fn snapshot(&self) -> Result<Snapshot, Error> {
        self.0.lock().unwrap().snapshot()
    }
}

impl Writer for Shared {
    fn append(&mut self, w: &Write) -> Result<(), Error> {
        self.0.lock().unwrap().append(w)
    }

    fn sync(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn save_snapshot(&mut self, s: &Snapshot) -> Result<(), Error> {
        self.0.lock().unwrap().save_snapshot(s)
    }

    fn compact(&mut self, index: u64) -> Result<(), Error> {
        self.0.lock().unwrap().compact(index)
    }
}

#[test]
fn a_locked_model_is_shared_between_threads() {
    shared_between_threads(Shared::default(), 500);
}

#[test]
#[should_panic]
fn bounds_out_of_order_are_seen_by_the_readers() {
    let flawed = Shared(Shared::default().0, true);
    shared_between_threads(flawed, 500);
}
