//! What is to be written, and what is.

use super::*;

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

/// Two entries, all written or none: what is to be written, and that nothing is when it is done.
#[test]
fn what_is_not_written_is_to_be() {
    for (written, want) in [(2, &[][..]), (0, &[1, 2])] {
        let all = ents(1, &[1, 2]);
        let s = MemoryStorage::new();
        s.append(&all.slice(0..written)).unwrap();
        let mut l = log_of(s, NO_LIMIT);
        l.append(all.slice(written..2));
        let next = l.next_unstable_ents();
        assert_eq!(terms(&next), want);
        if let Some(last) = next.last() {
            l.accept_unstable();
            l.stable_to(EntryId::from(last));
        }
        assert_eq!(l.unstable.offset, 3);
    }
}

/// Only what was written counts: of the same term, and there.
#[test]
fn what_is_written_is_no_longer_to_be() {
    for (index, term, offset) in [(1, 1, 2), (2, 2, 3), (2, 1, 1), (3, 1, 1)] {
        let mut l = log(&[1, 2]);
        l.accept_unstable();
        l.stable_to(EntryId::new(term, index));
        assert_eq!(l.unstable.offset, offset, "{term}/{index}");
    }
}

/// Behind a snapshot at 5 of term 2, with nothing or one entry of that term behind it.
#[test]
fn what_is_written_behind_a_snapshot() {
    for (new, index, term, offset) in [
        (&[][..], 6, 2, 6),
        (&[], 5, 2, 6),
        (&[], 4, 2, 6),
        (&[], 6, 3, 6),
        (&[], 5, 3, 6),
        (&[], 4, 3, 6),
        (&[2], 6, 2, 7),
        (&[2], 5, 2, 6),
        (&[2], 4, 2, 6),
        (&[2], 6, 3, 6),
        (&[2], 5, 3, 6),
        (&[2], 4, 3, 6),
    ] {
        let mut l = log_of(behind(5, 2), NO_LIMIT);
        l.append(ents(6, new));
        l.accept_unstable();
        l.stable_to(EntryId::new(term, index));
        assert_eq!(l.unstable.offset, offset, "{new:?}, {term}/{index}");
    }
}
