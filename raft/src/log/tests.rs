//! Go: log_test.go

use super::*;
use crate::raftpb::{NO_LIMIT, SnapshotMetadata};
use crate::rand::Rng;
use slog::{Discard, o};
use storage_mem::MemoryStorage;

type Log = RaftLog<MemoryStorage>;

fn log_of(storage: MemoryStorage, max_applying: u64) -> Log {
    RaftLog::new(storage, Logger::root(Discard, o!()), max_applying).unwrap()
}

fn ents(first: u64, terms: &[u64]) -> Entries {
    (first..)
        .zip(terms)
        .map(|(i, &t)| Entry::new(t, i, ""))
        .collect()
}

fn terms(e: &Entries) -> Vec<u64> {
    e.iter().map(|e| e.term).collect()
}

/// A log whose entries are all unstable.
fn log(terms: &[u64]) -> Log {
    let mut l = log_of(MemoryStorage::new(), NO_LIMIT);
    l.append(ents(1, terms));
    l
}

/// A log behind a compaction at `offset` of term 1, `stable` of whose entries are in the storage.
fn mixed_log(offset: u64, terms: &[u64], stable: usize) -> Log {
    let s = MemoryStorage::new();
    let metadata = SnapshotMetadata {
        index: offset,
        term: offset.min(1),
        ..SnapshotMetadata::default()
    };
    let snapshot = Snapshot {
        metadata,
        ..Snapshot::default()
    };
    s.apply_snapshot(&snapshot).unwrap();
    s.append(&ents(offset + 1, &terms[..stable])).unwrap();
    let mut l = log_of(s, NO_LIMIT);
    for e in &ents(offset + 1 + stable as u64, &terms[stable..]) {
        l.push(e.clone());
    }
    l
}

/// Written and acknowledged.
fn write(l: &mut Log) {
    let ents = l.next_unstable_ents();
    l.storage.append(&ents).unwrap();
    l.accept_unstable();
    l.stable_to(l.last_entry_id());
}

#[test]
fn find_conflict() {
    for (first, new, want) in [
        (1, &[][..], None),
        (1, &[1, 2, 3], None),
        (2, &[2, 3], None),
        (3, &[3], None),
        (1, &[1, 2, 3, 4, 4], Some(4)),
        (2, &[2, 3, 4, 4], Some(4)),
        (4, &[4, 4], Some(4)),
        (1, &[4, 4], Some(1)),
        (2, &[1, 4, 4], Some(2)),
        (3, &[1, 2, 4, 4], Some(3)),
    ] {
        let l = log(&[1, 2, 3]);
        assert_eq!(
            l.find_conflict(&ents(first, new)),
            Ok(want),
            "{new:?} from {first}"
        );
    }
}

#[test]
fn find_conflict_by_term() {
    // The log: a compaction at index 0 or 100 of term 1, then terms; a hint (index, term); the guess.
    for (offset, terms, index, term, want) in [
        (0, &[][..], 0, 0, (0, 0)),
        (0, &[2, 2, 5, 5, 5], 100, 2, (100, 0)),
        (0, &[2, 2, 5, 5, 5], 5, 6, (5, 5)),
        (0, &[2, 2, 5, 5, 5], 5, 5, (5, 5)),
        (0, &[2, 2, 5, 5, 5], 5, 4, (2, 2)),
        (0, &[2, 2, 5, 5, 5], 5, 2, (2, 2)),
        (0, &[2, 2, 5, 5, 5], 5, 1, (0, 0)),
        (0, &[2, 2, 5, 5, 5], 1, 2, (1, 2)),
        (0, &[2, 2, 5, 5, 5], 1, 1, (0, 0)),
        (0, &[2, 2, 5, 5, 5], 0, 0, (0, 0)),
        (100, &[3, 3, 3, 4, 4, 4], 200, 2, (200, 0)),
        (100, &[3, 3, 3, 4, 4, 4], 106, 4, (106, 4)),
        (100, &[3, 3, 3, 4, 4, 4], 104, 3, (103, 3)),
        (100, &[3, 3, 3, 4, 4, 4], 103, 2, (100, 1)),
        (100, &[3, 3, 3, 4, 4, 4], 100, 1, (100, 1)),
        (100, &[3, 3, 3, 4, 4, 4], 100, 0, (99, 0)),
        (100, &[3, 3, 3, 4, 4, 4], 99, 0, (99, 0)),
        (0, &[1, 2], u64::MAX, 1, (u64::MAX, 0)),
    ] {
        for stable in 0..=terms.len() {
            let l = if offset == 0 {
                let s = MemoryStorage::new();
                s.append(&ents(1, &terms[..stable])).unwrap();
                let mut l = log_of(s, NO_LIMIT);
                l.append(ents(1 + stable as u64, &terms[stable..]));
                l
            } else {
                mixed_log(offset, terms, stable)
            };
            let got = l.find_conflict_by_term(index, term).unwrap();
            assert_eq!(
                (got.index, got.term),
                want,
                "{terms:?} at {index}/{term}, {stable} stable"
            );
        }
    }
}

#[test]
fn up_to_date_is_the_later_term_then_the_longer_log() {
    let l = log(&[1, 2, 3]);
    for (term, index, want) in [
        (4, 2, true),
        (4, 3, true),
        (4, 4, true),
        (2, 2, false),
        (2, 3, false),
        (2, 4, false),
        (3, 2, false),
        (3, 3, true),
        (3, 4, true),
    ] {
        assert_eq!(
            l.is_up_to_date(EntryId::new(term, index)),
            want,
            "{term}/{index}"
        );
    }
}

#[test]
fn append_replaces_from_the_first_index_on() {
    for (first, new, want, want_offset) in [
        (3, &[][..], &[1, 2][..], 3),
        (3, &[2], &[1, 2, 2], 3),
        (1, &[2], &[2], 1),
        (2, &[3, 3], &[1, 3, 3], 2),
    ] {
        let s = MemoryStorage::new();
        s.append(&ents(1, &[1, 2])).unwrap();
        let mut l = log_of(s, NO_LIMIT);
        l.append(ents(first, new));
        assert_eq!(terms(&l.all_entries()), want);
        assert_eq!(l.last_index(), want.len() as u64);
        assert_eq!(l.last_entry_id().term, want[want.len() - 1]);
        assert_eq!(l.unstable.offset, want_offset);
        l.check_invariants().unwrap();
    }
}

/// The log is 1/1 2/2 3/3, committed to 1.
#[test]
fn maybe_append() {
    type Case = ((u64, u64), u64, &'static [u64], Option<u64>, u64);
    let cases: &[Case] = &[
        // prev (term, index), commit, new terms; last new index, commit then. No match: another term, or beyond the end.
        ((2, 3), 3, &[4], None, 1),
        ((3, 4), 3, &[4], None, 1),
        // Matches at the end.
        ((3, 3), 3, &[], Some(3), 3),
        ((3, 3), 4, &[], Some(3), 3),
        ((3, 3), 2, &[], Some(3), 2),
        ((3, 3), 0, &[], Some(3), 1),
        ((0, 0), 3, &[], Some(0), 1),
        ((3, 3), 3, &[4], Some(4), 3),
        ((3, 3), 4, &[4], Some(4), 4),
        ((3, 3), 5, &[4], Some(4), 4),
        ((3, 3), 5, &[4, 4], Some(5), 5),
        // Matches in the middle.
        ((2, 2), 3, &[4], Some(3), 3),
        ((1, 1), 3, &[4], Some(2), 2),
        ((1, 1), 3, &[4, 4], Some(3), 3),
        ((1, 1), 3, &[2, 3], Some(3), 3),
    ];
    for &((term, index), commit, new, want, want_commit) in cases {
        let mut l = log(&[1, 2, 3]);
        l.commit_to(1);
        let got = l.maybe_append(EntryId::new(term, index), ents(index + 1, new), commit);
        assert_eq!(got, Ok(want), "{new:?} behind {term}/{index}");
        assert_eq!(l.committed, want_commit, "{new:?} behind {term}/{index}");
        if want.is_some() && !new.is_empty() {
            let got = l
                .slice(index + 1, index + 1 + new.len() as u64, NO_LIMIT)
                .unwrap();
            assert_eq!(terms(&got), new);
        }
        l.check_invariants().unwrap();
    }
}

/// What the log has already is not appended again: a late message must not take away what came after it.
#[test]
fn a_stale_append_truncates_nothing() {
    let mut l = log(&[1, 1, 1, 1]);
    assert_eq!(
        l.maybe_append(EntryId::new(0, 0), ents(1, &[1, 1]), 0),
        Ok(Some(2))
    );
    assert_eq!(l.last_index(), 4);
    assert_eq!(
        l.maybe_append(EntryId::new(1, 1), ents(2, &[1, 2]), 0),
        Ok(Some(3))
    );
    assert_eq!(l.last_entry_id(), EntryId::new(2, 3));
}

#[test]
fn committing_never_goes_back() {
    let mut l = log(&[1, 2, 3]);
    l.commit_to(2);
    l.commit_to(1);
    assert_eq!(l.committed, 2);
    l.commit_to(3);
    assert_eq!(l.committed, 3);
}

#[test]
fn only_the_own_term_is_committed_by_counting() {
    let mut l = log(&[1, 1, 2, 3]);
    for (term, index, want) in [
        (3, 2, false),
        (3, 3, false),
        (0, 4, false),
        (2, 3, true),
        (2, 3, false),
        (3, 4, true),
        (3, 5, false),
    ] {
        assert_eq!(
            l.maybe_commit(EntryId::new(term, index)),
            Ok(want),
            "{term}/{index}"
        );
    }
}

#[test]
fn a_log_starts_at_its_compaction() {
    let mut l = mixed_log(1000, &[1; 10], 10);
    assert_eq!((l.committed, l.applied, l.applying), (1000, 1000, 1000));
    assert_eq!((l.first_index(), l.last_index()), (Ok(1001), 1010));
    l.storage.compact(1004).unwrap();
    assert_eq!(l.first_index(), Ok(1005));
    assert_eq!(l.term(1004), Ok(1));
    // Its term is remembered, but the entry is gone.
    assert_eq!(l.term(1003), Err(LogError::Compacted));
    assert_eq!(l.term(1011), Err(LogError::Unavailable));
    assert_eq!(l.term(u64::MAX), Err(LogError::Unavailable));
    assert_eq!(l.all_entries().len(), 6);
    assert_eq!(l.slice(1004, 1006, NO_LIMIT), Err(LogError::Compacted));
    assert!(matches!(
        l.entries_to_send(1004, 0),
        Err(LogError::Compacted)
    ));
}

/// Whether in the storage, sealed or in the tail, every term is found.
#[test]
fn terms_of_all_parts() {
    for stable in 0..=6 {
        let all = [1, 1, 2, 2, 3, 5];
        let mut l = mixed_log(100, &all, stable);
        l.unstable.seal();
        l.push(Entry::new(6, 107, ""));
        assert_eq!(l.term(99), Err(LogError::Compacted));
        assert_eq!(l.term(100), Ok(1));
        for (i, t) in (101..).zip(all) {
            assert_eq!(l.term(i), Ok(t), "{stable} stable, index {i}");
        }
        assert_eq!(l.term(107), Ok(6));
        assert_eq!(l.term(108), Err(LogError::Unavailable));
    }
}

#[test]
fn a_restored_log_is_its_snapshot() {
    let mut l = mixed_log(100, &[1; 5], 3);
    let mut s = Snapshot::default();
    (s.metadata.index, s.metadata.term) = (110, 2);
    l.restore(Box::new(s));
    assert_eq!((l.committed, l.last_index()), (110, 110));
    assert_eq!((l.first_index(), l.term(110)), (Ok(111), Ok(2)));
    assert_eq!(l.term(109), Err(LogError::Compacted));
    assert_eq!((l.unstable.offset, l.unstable.len()), (111, 0));
    assert_eq!(l.snapshot().unwrap().metadata.index, 110);
    assert!(
        !l.has_next_committed_ents(true),
        "the snapshot is applied by itself"
    );
    assert_eq!(l.term(111), Err(LogError::Unavailable));
    l.check_invariants().unwrap();
}

#[test]
fn what_is_committed_is_applied_once_it_may_be() {
    // applied, applying, whether unstable entries may be applied; paused, snapshot; the indexes handed out. Committed to 5, written to 4, the log ends at 6.
    for (applied, applying, unstable, paused, snapshot, want) in [
        (3, 3, true, false, false, &[4, 5][..]),
        (3, 4, true, false, false, &[5]),
        (3, 5, true, false, false, &[]),
        (4, 4, true, false, false, &[5]),
        (5, 5, true, false, false, &[]),
        (3, 3, false, false, false, &[4]),
        (3, 4, false, false, false, &[]),
        (3, 5, false, false, false, &[]),
        (4, 4, false, false, false, &[]),
        (3, 3, true, true, false, &[]),
        (3, 3, true, false, true, &[]),
    ] {
        let mut l = mixed_log(3, &[1, 1, 1], 1);
        l.commit_to(5);
        l.applied_to(applied, 0);
        l.accept_applying(applying, 0, unstable);
        l.applying_ents_paused = paused;
        if snapshot {
            let mut s = Snapshot::default();
            s.metadata.index = 3;
            l.unstable.snapshot = Some(Box::new(s));
        }
        let got = l.next_committed_ents(unstable).unwrap();
        assert_eq!(got.iter().map(|e| e.index).collect::<Vec<_>>(), want);
        assert_eq!(l.has_next_committed_ents(unstable), !want.is_empty());
    }
}

/// Handing out stops at the limit and goes on when enough was applied.
#[test]
fn applying_is_limited_over_all_that_is_out() {
    let size = Entry::new(1, 4, "data").size();
    let mut l = mixed_log(3, &[], 0);
    l.max_applying_ents_size = 3 * size;
    for i in 4..=13 {
        l.push(Entry::new(1, i, "data"));
    }
    write(&mut l);
    l.commit_to(13);
    let take = |l: &mut Log| {
        let e = l.next_committed_ents(true).unwrap();
        let last = e.last().unwrap().index;
        l.accept_applying(last, ents_size(&e), true);
        e.iter().map(|e| e.index).collect::<Vec<_>>()
    };
    assert_eq!(take(&mut l), [4, 5, 6]);
    assert!(!l.has_next_committed_ents(true), "three are out");
    l.applied_to(4, size);
    assert_eq!(take(&mut l), [7], "one came back");
    assert!(!l.has_next_committed_ents(true));
    l.applied_to(6, 2 * size);
    assert_eq!(take(&mut l), [8, 9]);
    l.applied_to(9, 3 * size);
    assert_eq!(take(&mut l), [10, 11, 12]);
    // More was applied than is out: the count does not wrap.
    l.applied_to(12, 100 * size);
    assert_eq!(take(&mut l), [13]);
}

#[test]
fn entries_to_write_are_those_not_in_progress() {
    let mut l = mixed_log(0, &[1, 2], 1);
    assert_eq!(l.next_unstable_ents(), ents(2, &[2]));
    assert!(l.has_next_unstable_ents());
    l.accept_unstable();
    assert!(!l.has_next_unstable_ents() && l.has_next_or_in_progress_unstable_ents());
    l.storage.append(&ents(2, &[2])).unwrap();
    l.stable_to(EntryId::new(2, 2));
    assert!(!l.has_next_or_in_progress_unstable_ents());
    l.check_invariants().unwrap();
}

/// Every range of a log, however it is spread over storage, sealed blocks and tail, under every limit: the entries that fit, and at least one.
#[test]
fn slices_of_all_parts_keep_to_the_limit() {
    let all = [1, 1, 2, 2, 2, 3, 3, 3];
    let (first, last) = (101_u64, 108_u64);
    for stable in 0..=all.len() {
        for sealed in stable..=all.len() {
            let mut l = mixed_log(100, &all[..sealed], stable);
            l.unstable.seal();
            for (i, &t) in (first + sealed as u64..).zip(&all[sealed..]) {
                l.push(Entry::new(t, i, ""));
            }
            let whole = ents(first, &all);
            for lo in first..=last {
                for max in [0, 1, 6, 12, 13, 18, 30, NO_LIMIT] {
                    let from = usize::try_from(lo - first).unwrap();
                    let want = whole.slice(from..all.len()).limit_size(max);
                    let sent = l.entries_to_send(lo, max).unwrap();
                    let tail = sent.tail.map_or(0, |t| t.hi - t.lo);
                    assert_eq!(
                        sent.len,
                        want.len(),
                        "{stable}, {sealed}: from {lo}, {max} bytes"
                    );
                    assert_eq!(sent.sealed.len() as u64 + tail, want.len() as u64);
                    assert_eq!(sent.sealed, want.slice(0..sent.sealed.len()));
                }
                for hi in lo..=last + 1 {
                    let (a, b) = (lo - first, hi - first);
                    let want =
                        whole.slice(usize::try_from(a).unwrap()..usize::try_from(b).unwrap());
                    for max in [0, 6, 12, 20, NO_LIMIT] {
                        let mut l = mixed_log(100, &all, stable);
                        assert_eq!(l.slice(lo, hi, max), Ok(want.limit_size(max)));
                    }
                }
            }
            assert_eq!(l.entries_to_send(last + 1, NO_LIMIT).unwrap().len, 0);
        }
    }
}

#[test]
fn scanning_goes_page_by_page_and_stops_when_told() {
    let mut l = mixed_log(47, &[1; 20], 10);
    let size = Entry::new(1, 50, "").size();
    let mut pages = Vec::new();
    l.scan(48, 68, 3 * size, |page| {
        pages.push(page.len());
        true
    })
    .unwrap();
    // The storage's part ends a page.
    assert_eq!(pages.iter().sum::<usize>(), 20);
    assert!(pages.iter().all(|&n| n <= 3), "{pages:?}");
    let mut seen = 0;
    l.scan(48, 68, 0, |_| {
        seen += 1;
        seen < 5
    })
    .unwrap();
    assert_eq!(seen, 5);
    assert_eq!(l.scan(47, 50, 0, |_| true), Err(LogError::Compacted));
    l.scan(50, 50, 0, |_| panic!("nothing to show")).unwrap();
}

/// What a storage may say, and what makes the node stop.
struct Odd(MemoryStorage, Option<storage::Error>, Entries);

impl Storage for Odd {
    fn initial_state(
        &self,
    ) -> Result<(crate::raftpb::HardState, crate::raftpb::ConfState), storage::Error> {
        self.0.initial_state()
    }
    fn entries(&self, _: u64, _: u64, _: u64) -> Result<Entries, storage::Error> {
        self.1.clone().map_or(Ok(self.2.clone()), Err)
    }
    fn term(&self, index: u64) -> Result<u64, storage::Error> {
        self.1.clone().map_or_else(|| self.0.term(index), Err)
    }
    fn first_index(&self) -> Result<u64, storage::Error> {
        self.0.first_index()
    }
    fn last_index(&self) -> Result<u64, storage::Error> {
        self.0.last_index()
    }
    fn snapshot(&self) -> Result<Snapshot, storage::Error> {
        self.0.snapshot()
    }
}

#[test]
fn answers_and_faults_of_the_storage() {
    let s = MemoryStorage::new();
    s.append(&ents(1, &[1, 2, 3])).unwrap();
    let mut l = RaftLog::new(
        Odd(s, None, Entries::new()),
        Logger::root(Discard, o!()),
        NO_LIMIT,
    )
    .unwrap();
    // No entries, or others than were asked for.
    for odd in [Entries::new(), ents(2, &[2, 3])] {
        l.storage.2 = odd;
        assert!(matches!(l.slice(1, 3, NO_LIMIT), Err(LogError::Fault(_))));
    }
    // Too many are cut.
    l.storage.2 = ents(1, &[1, 2, 3]);
    assert_eq!(l.slice(1, 3, NO_LIMIT), Ok(ents(1, &[1, 2])));
    for (e, answer) in [
        (storage::Error::Compacted, Some(LogError::Compacted)),
        (storage::Error::Unavailable, None),
        (storage::Error::NoSpace, None),
        (storage::Error::other("broken"), None),
    ] {
        l.storage.1 = Some(e.clone());
        let got = l.slice(1, 3, NO_LIMIT).unwrap_err();
        match answer {
            Some(want) => assert_eq!(got, want),
            None => assert!(matches!(got, LogError::Fault(f) if *f.storage_error() == e)),
        }
        let got = l.term(1).unwrap_err();
        assert_eq!(e.is_answer(), !matches!(got, LogError::Fault(_)));
    }
}

/// Against a plain vector of terms: appends, truncations, writes, compactions, commits.
#[test]
fn behaves_as_a_vector() {
    for seed in 0..200 {
        let mut rng = Rng::new(seed, 9);
        let mut l = log_of(MemoryStorage::new(), NO_LIMIT);
        let mut all = vec![0_u64];
        let mut term = 1;
        for _ in 0..100 {
            let last = all.len() as u64 - 1;
            match rng.below(8) {
                0..=2 => {
                    l.push(Entry::new(term, last + 1, "x"));
                    all.push(term);
                }
                3 => {
                    term += 1;
                    let prev = l.committed + rng.below(last - l.committed + 1);
                    let n = usize::try_from(rng.below(4)).unwrap();
                    let id = EntryId::new(all[usize::try_from(prev).unwrap()], prev);
                    let new = vec![term; n];
                    let got = l.maybe_append(id, ents(prev + 1, &new), 0).unwrap();
                    assert_eq!(got, Some(prev + n as u64), "seed {seed}");
                    if n > 0 {
                        all.truncate(usize::try_from(prev).unwrap() + 1);
                        all.extend(new);
                    }
                }
                4 => write(&mut l),
                5 => l.commit_to(l.committed + rng.below(last - l.committed + 1)),
                6 => {
                    let e = l.next_committed_ents(true).unwrap();
                    let want = &all[usize::try_from(l.applying).unwrap() + 1
                        ..=usize::try_from(l.committed).unwrap()];
                    assert_eq!(terms(&e), want, "seed {seed}");
                    if let Some(e) = e.last() {
                        l.accept_applying(e.index, 0, true);
                        l.applied_to(e.index, 0);
                    }
                }
                _ => {
                    let to = l.applied.min(l.unstable.offset - 1);
                    if to >= l.storage.first_index().unwrap() {
                        l.storage.compact(to).unwrap();
                    }
                }
            }
            l.check_invariants().unwrap();
            let first = l.first_index().unwrap();
            assert_eq!(l.last_index(), all.len() as u64 - 1, "seed {seed}");
            for i in 0..=all.len() as u64 {
                let want = match all.get(usize::try_from(i).unwrap()) {
                    _ if i + 1 < first => Err(LogError::Compacted),
                    Some(&t) => Ok(t),
                    None => Err(LogError::Unavailable),
                };
                assert_eq!(l.term(i), want, "seed {seed}, index {i}");
            }
        }
    }
}
