//! Where two logs match, and what an append does to what does not.

use super::*;

#[test]
fn find_conflict() {
    for (first, new, want) in [
        (1, &[][..], None),
        (1, &[1, 2, 3], None),
        (2, &[2, 3], None),
        (3, &[3], None),
        (1, &[1, 2, 3, 4, 4], Some(4)),
        (2, &[2, 3, 4, 4], Some(4)),
        (2, &[2, 3, 4, 5], Some(4)),
        (3, &[3, 4, 4], Some(4)),
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
    // Behind a snapshot at 10 of term 3; beyond the end and before the snapshot nothing is known.
    for (index, term, want) in [
        (30, 3, (30, 0)),
        (14, 9, (14, 4)),
        (14, 4, (14, 4)),
        (14, 3, (12, 3)),
        (14, 2, (9, 0)),
        (11, 5, (11, 3)),
        (10, 5, (10, 3)),
        (10, 3, (10, 3)),
        (10, 2, (9, 0)),
        (9, 2, (9, 0)),
        (4, 2, (4, 0)),
        (0, 0, (0, 0)),
    ] {
        let mut l = log_of(behind(10, 3), NO_LIMIT);
        l.append(ents(11, &[3, 3, 4, 4, 4]));
        let got = l.find_conflict_by_term(index, term).unwrap();
        assert_eq!((got.index, got.term), want, "{index}/{term}");
    }
}

/// What lies before a compaction is not known, though the beginning of its term is remembered: that is where the other side is to look.
#[test]
fn a_skip_over_a_term_stops_at_the_compaction() {
    let mut l = log(&[1, 1, 5, 5, 5, 5, 5, 5]);
    write(&mut l);
    l.storage.compact(6).unwrap();
    for (index, term, want) in [
        (8, 5, (8, 5)),
        (8, 2, (5, 0)),
        (6, 2, (5, 0)),
        (5, 2, (5, 0)),
    ] {
        let got = l.find_conflict_by_term(index, term).unwrap();
        assert_eq!((got.index, got.term), want, "{index}/{term}");
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
        let got = l.maybe_append(EntryId::new(term, index), &mut ents(index + 1, new), commit);
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
    // In place of what is committed nothing is appended: the core answers such an append before it comes here.
    let mut l = log(&[1, 2, 3]);
    l.commit_to(1);
    let conflicts = || drop(l.maybe_append(EntryId::default(), &mut ents(1, &[4]), 3));
    assert_eq!(refuses(conflicts), cfg!(debug_assertions));
}

/// What the log has already is not appended again: a late message must not take away what came after it.
#[test]
fn a_stale_append_truncates_nothing() {
    let mut l = log(&[1, 1, 1, 1]);
    assert_eq!(
        l.maybe_append(EntryId::new(0, 0), &mut ents(1, &[1, 1]), 0),
        Ok(Some(2))
    );
    assert_eq!(l.last_index(), 4);
    assert_eq!(
        l.maybe_append(EntryId::new(1, 1), &mut ents(2, &[1, 2]), 0),
        Ok(Some(3))
    );
    assert_eq!(l.last_entry_id(), EntryId::new(2, 3));
}
