//! What is committed, and when it is handed out to be applied.

use super::*;

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
fn what_is_committed_is_applied_once_it_may_be() {
    // applied, applying, whether unstable entries may be applied; paused, snapshot; the indexes handed out. Committed to 5, written to 4, the log ends at 6.
    for (applied, applying, unstable, paused, snapshot, want) in [
        (3, 3, true, false, false, &[4, 5][..]),
        (3, 4, true, false, false, &[5]),
        (3, 5, true, false, false, &[]),
        (4, 4, true, false, false, &[5]),
        (4, 5, true, false, false, &[]),
        (5, 5, true, false, false, &[]),
        (3, 3, false, false, false, &[4]),
        (3, 4, false, false, false, &[]),
        (3, 5, false, false, false, &[]),
        (4, 4, false, false, false, &[]),
        (4, 5, false, false, false, &[]),
        (5, 5, false, false, false, &[]),
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

/// Committed to 2 of 3: up, not down, and never beyond the end (etcd's process ends there; here it is refused before).
#[test]
fn committing_stays_within_the_log() {
    for (to, want) in [(3, Some(3)), (1, Some(2)), (4, None)] {
        let mut l = log(&[1, 2, 3]);
        l.commit_to(2);
        match want {
            Some(want) => {
                l.commit_to(to);
                assert_eq!(l.committed, want);
            }
            None => assert_eq!(refuses(|| l.commit_to(to)), cfg!(debug_assertions)),
        }
    }
}

/// A log behind a snapshot at 3, committed to 5 and written to 4, of which at most 100 bytes may be being applied.
fn limited() -> Log {
    let s = behind(3, 1);
    s.append(&ents(4, &[1])).unwrap();
    let mut l = log_of(s, 100);
    l.append(ents(5, &[1, 1]));
    l.commit_to(5);
    l
}

/// Handing out pauses when the limit is reached, and when something that could be handed out was not: then that was for the limit.
#[test]
fn handing_out_pauses_at_the_limit() {
    // Handed out up to, whether what is not written yet may be; the sizes below, at and above the limit.
    for (index, allow_unstable, below) in [
        (3, true, true),
        (4, true, true),
        (5, true, false),
        (3, false, true),
        (4, false, false),
        (5, false, false),
    ] {
        for (size, want) in [(99, below), (100, true), (101, true)] {
            let mut l = limited();
            l.accept_applying(index, size, allow_unstable);
            let got = l.applying_ents_paused;
            assert_eq!(got, want, "{size} bytes up to {index}, {allow_unstable}");
        }
    }
}

/// 105 bytes are out, up to 5. What comes back makes room, and the count never falls below zero.
#[test]
fn what_is_applied_makes_room() {
    for (index, size, left) in [
        (4, 4, 101),
        (4, 5, 100),
        (4, 6, 99),
        (5, 4, 101),
        (5, 5, 100),
        (5, 6, 99),
        (4, 105, 0),
        (4, 106, 0),
    ] {
        let mut l = limited();
        l.accept_applying(5, 105, false);
        l.applied_to(index, size);
        assert_eq!((l.applied, l.applying), (index, 5));
        assert_eq!(l.applying_ents_size, left, "{size} bytes up to {index}");
        assert_eq!(l.applying_ents_paused, left >= 100);
    }
}
