//! Where a log begins and ends, behind snapshots and compactions.

use super::*;

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

/// A log of 1000 entries, the last 250 not written, all applied: behind a compaction at 500 everything is as before.
#[test]
fn a_compaction_changes_nothing_behind_it() {
    let s = MemoryStorage::new();
    s.append(&own_terms(1..751)).unwrap();
    let mut l = log_of(s, NO_LIMIT);
    l.append(own_terms(751..1001));
    assert_eq!(l.maybe_commit(l.last_entry_id()), Ok(true));
    l.applied_to(1000, 0);
    l.storage.compact(500).unwrap();
    assert_eq!(l.last_index(), 1000);
    for i in 500..=1000 {
        assert_eq!(l.term(i), Ok(i));
        assert_eq!(l.match_term(EntryId::new(i, i)), Ok(true));
    }
    assert_eq!(l.next_unstable_ents(), own_terms(751..1001));
    l.append(own_terms(1001..1002));
    assert_eq!(l.last_index(), 1001);
    assert_eq!(l.slice(1001, 1002, NO_LIMIT), Ok(own_terms(1001..1002)));
}

/// How many of 1000 entries are left after each compaction; beyond the end and backwards none happens.
#[test]
fn compactions_leave_the_rest() {
    for compactions in [
        &[(1001, None)][..],
        &[
            (300, Some(700)),
            (500, Some(500)),
            (800, Some(200)),
            (900, Some(100)),
        ],
        &[(300, Some(700)), (299, None)],
    ] {
        let s = MemoryStorage::new();
        s.append(&own_terms(1..1001)).unwrap();
        let mut l = log_of(s, NO_LIMIT);
        for &(to, left) in compactions {
            let done = l.storage.compact(to).ok().map(|()| l.all_entries().len());
            assert_eq!(done, left, "{to} of {compactions:?}");
        }
    }
}

#[test]
fn a_log_behind_a_snapshot_is_empty() {
    let mut l = log_of(behind(1000, 1000), NO_LIMIT);
    assert!(l.all_entries().is_empty());
    assert_eq!((l.first_index(), l.committed), (Ok(1001), 1000));
    assert_eq!((l.unstable.offset, l.term(1000)), (1001, Ok(1000)));
}

/// 100 entries behind a snapshot at 100: what lies before is compacted, ranges may be empty up to the end, and beyond it there are none (there
/// etcd's process ends; no caller asks).
#[test]
fn ranges_lie_within_the_log() {
    let mut l = log_of(behind(100, 1), NO_LIMIT);
    l.append(own_terms(101..201));
    for (lo, hi, want) in [
        (99, 102, Err(LogError::Compacted)),
        (100, 102, Err(LogError::Compacted)),
        (101, 101, Ok(0)),
        (151, 151, Ok(0)),
        (200, 200, Ok(0)),
        (201, 201, Ok(0)),
    ] {
        let got = l.slice(lo, hi, NO_LIMIT).map(|e| e.len());
        assert_eq!(got, want, "{lo}..{hi}");
    }
    for (lo, hi) in [(201, 202), (202, 202), (151, 150)] {
        let slice = || drop(l.slice(lo, hi, NO_LIMIT));
        assert_eq!(refuses(slice), cfg!(debug_assertions), "{lo}..{hi}");
    }
}
