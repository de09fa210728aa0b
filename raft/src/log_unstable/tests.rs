//! Go: log_unstable_test.go

use super::*;
use crate::raftpb::SnapshotMetadata;
use crate::rand::Rng;
use slog::{Discard, o};

fn logger() -> Logger {
    Logger::root(Discard, o!())
}

fn snap(index: u64, term: u64) -> Box<Snapshot> {
    Box::new(Snapshot {
        metadata: SnapshotMetadata {
            index,
            term,
            ..SnapshotMetadata::default()
        },
        ..Snapshot::default()
    })
}

fn ents(first: u64, terms: &[u64]) -> Entries {
    (first..)
        .zip(terms)
        .map(|(i, &t)| Entry::new(t, i, "data"))
        .collect()
}

/// Entries from `offset` on, all but the last in a sealed block; a snapshot below them if asked for.
fn unstable(offset: u64, terms: &[u64], snapshot: Option<(u64, u64)>) -> Unstable {
    let mut u = Unstable::new(offset);
    u.snapshot = snapshot.map(|(i, t)| snap(i, t));
    for (n, e) in ents(offset, terms).iter().enumerate() {
        if n + 1 == terms.len() {
            u.seal();
        }
        u.push(e.clone());
    }
    u
}

fn indexes(e: &Entries) -> Vec<u64> {
    e.iter().map(|e| e.index).collect()
}

#[test]
fn bounds_come_from_entries_before_the_snapshot() {
    for (u, first, last) in [
        (unstable(5, &[1], None), None, Some(5)),
        (unstable(0, &[], None), None, None),
        (unstable(5, &[1], Some((4, 1))), Some(5), Some(5)),
        (unstable(5, &[1, 1], Some((4, 1))), Some(5), Some(6)),
        (unstable(5, &[], Some((4, 1))), Some(5), Some(4)),
    ] {
        assert_eq!(u.maybe_first_index(), first);
        assert_eq!(u.maybe_last_index(), last);
    }
}

#[test]
fn terms_of_entries_and_of_the_snapshot() {
    let u = unstable(5, &[2, 3], Some((4, 1)));
    let terms: Vec<_> = (3..8).map(|i| u.maybe_term(i)).collect();
    assert_eq!(terms, [None, Some(1), Some(2), Some(3), None]);
    let u = unstable(5, &[2], None);
    let terms: Vec<_> = (4..7).map(|i| u.maybe_term(i)).collect();
    assert_eq!(terms, [None, Some(2), None]);
    let u = unstable(5, &[1], Some((4, 1)));
    let terms: Vec<_> = (3..7).map(|i| u.maybe_term(i)).collect();
    assert_eq!(terms, [None, Some(1), Some(1), None]);
    let u = unstable(5, &[], Some((4, 1)));
    assert_eq!((u.maybe_term(5), u.maybe_term(4)), (None, Some(1)));
    assert_eq!(unstable(0, &[], None).maybe_term(5), None);
    assert_eq!(unstable(5, &[1], None).maybe_term(u64::MAX), None);
}

#[test]
fn what_is_in_progress_is_not_handed_out_again() {
    let mut u = unstable(5, &[1, 1], Some((4, 1)));
    assert_eq!(indexes(&u.next_entries()), [5, 6]);
    assert!(u.next_snapshot().is_some());
    u.accept_in_progress();
    assert_eq!(u.offset_in_progress, 7);
    assert!(u.next_entries().is_empty() && !u.has_next_entries());
    assert!(u.next_snapshot().is_none() && u.snapshot.is_some());
    u.push(Entry::new(1, 7, ""));
    assert_eq!(indexes(&u.next_entries()), [7]);
    // Accepting again changes nothing for what was in progress.
    u.accept_in_progress();
    assert_eq!(u.offset_in_progress, 8);

    let mut empty = Unstable::new(5);
    empty.accept_in_progress();
    assert_eq!(empty.offset_in_progress, 5);
    assert!(!empty.snapshot_in_progress);
}

/// Two entries, of which none, one or both are being written: what is left to write.
#[test]
fn entries_in_progress_are_left_out() {
    for (in_progress, want) in [(5, &[5, 6][..]), (6, &[6]), (7, &[])] {
        let mut u = unstable(5, &[1, 1], None);
        u.offset_in_progress = in_progress;
        assert_eq!(indexes(&u.next_entries()), want);
    }
}

#[test]
fn a_snapshot_in_progress_is_left_out() {
    for (snapshot, in_progress, want) in [
        (None, false, None),
        (Some((4, 1)), false, Some(4)),
        (Some((4, 1)), true, None),
    ] {
        let mut u = unstable(5, &[], snapshot);
        u.snapshot_in_progress = in_progress;
        assert_eq!(u.next_snapshot().map(|s| s.metadata.index), want);
    }
}

/// Whatever was in progress, all is after it is handed out; entries and snapshot do not mind each other.
#[test]
fn handing_out_puts_everything_in_progress() {
    for (terms, before, after) in [
        (&[][..], 5, 5),
        (&[1], 5, 6),
        (&[1, 1], 5, 7),
        (&[1, 1], 6, 7),
        (&[1, 1], 7, 7),
    ] {
        for (snapshot, in_progress) in [(false, false), (true, false), (true, true)] {
            let mut u = unstable(5, terms, snapshot.then_some((4, 1)));
            u.offset_in_progress = before;
            u.snapshot_in_progress = in_progress;
            u.accept_in_progress();
            assert_eq!(u.offset_in_progress, after, "{terms:?}");
            assert_eq!(u.snapshot_in_progress, snapshot);
        }
    }
}

#[test]
fn restore_replaces_everything() {
    let mut u = unstable(5, &[1], Some((4, 1)));
    u.accept_in_progress();
    u.restore(snap(6, 2));
    assert_eq!((u.offset, u.offset_in_progress, u.len()), (7, 7, 0));
    assert!(!u.snapshot_in_progress);
    assert_eq!(u.next_snapshot().map(|s| s.metadata.index), Some(6));
    u.stable_snap_to(5);
    assert!(u.snapshot.is_some(), "another snapshot was written");
    u.stable_snap_to(6);
    assert!(u.snapshot.is_none());
}

#[test]
fn stable_to_takes_away_what_is_written() {
    // offset, terms, in progress, snapshot; stable to (term, index); offset, in progress and length then.
    type Case = (
        u64,
        &'static [u64],
        u64,
        Option<(u64, u64)>,
        (u64, u64),
        (u64, u64, usize),
    );
    let cases: &[Case] = &[
        (0, &[], 0, None, (1, 5), (0, 0, 0)),
        (5, &[], 0, None, (1, 5), (5, 5, 0)),
        (5, &[1], 1, None, (1, 5), (6, 6, 0)),
        (5, &[1, 1], 1, None, (1, 5), (6, 6, 1)),
        (5, &[1, 1], 2, None, (1, 5), (6, 7, 1)),
        // Another term: part of the log was replaced meanwhile.
        (5, &[2], 1, None, (1, 5), (5, 6, 1)),
        (6, &[2], 1, None, (1, 6), (6, 7, 1)),
        (6, &[2], 1, Some((5, 1)), (1, 6), (6, 7, 1)),
        // Older than all that is unstable.
        (5, &[1], 1, None, (1, 4), (5, 6, 1)),
        (5, &[1], 1, None, (2, 4), (5, 6, 1)),
        (5, &[1], 1, Some((4, 1)), (1, 5), (6, 6, 0)),
        (5, &[1, 1], 1, Some((4, 1)), (1, 5), (6, 6, 1)),
        (5, &[1, 1], 2, Some((4, 1)), (1, 5), (6, 7, 1)),
        // The snapshot's own index is not an entry's.
        (5, &[1], 1, Some((4, 1)), (1, 4), (5, 6, 1)),
        (5, &[3], 1, Some((4, 2)), (2, 5), (5, 6, 1)),
        (5, &[3], 1, Some((4, 2)), (2, 4), (5, 6, 1)),
        (5, &[2], 1, Some((4, 2)), (1, 4), (5, 6, 1)),
        (5, &[1, 1, 2], 3, None, (2, 7), (8, 8, 0)),
        (5, &[1], 1, None, (1, 6), (5, 6, 1)),
    ];
    for &(offset, terms, in_progress, snapshot, (term, index), want) in cases {
        let mut u = unstable(offset, terms, snapshot);
        u.offset_in_progress = offset + in_progress;
        u.stable_to(EntryId::new(term, index), &logger());
        let got = (u.offset, u.offset_in_progress, u.len());
        assert_eq!(
            got, want,
            "{terms:?} from {offset}, stable to {term}/{index}"
        );
        assert_eq!(
            indexes(&u.slice(u.offset, u.end())),
            (u.offset..u.end()).collect::<Vec<_>>()
        );
    }
}

#[test]
fn appending_truncates_what_is_behind() {
    // offset, terms, in progress; appended from with terms; offset, in progress and terms then.
    type Case = (
        u64,
        &'static [u64],
        u64,
        (u64, &'static [u64]),
        (u64, u64, &'static [u64]),
    );
    let cases: &[Case] = &[
        // At the end.
        (5, &[1], 0, (6, &[1, 1]), (5, 5, &[1, 1, 1])),
        (5, &[1], 1, (6, &[1, 1]), (5, 6, &[1, 1, 1])),
        // In place of everything.
        (5, &[1], 0, (5, &[2, 2]), (5, 5, &[2, 2])),
        (5, &[1], 0, (4, &[2, 2, 2]), (4, 4, &[2, 2, 2])),
        (5, &[1], 1, (5, &[2, 2]), (5, 5, &[2, 2])),
        (5, &[1], 1, (4, &[2]), (4, 4, &[2])),
        // Within: what remains stays in progress.
        (5, &[1, 1, 1], 0, (6, &[2]), (5, 5, &[1, 2])),
        (5, &[1, 1, 1], 0, (7, &[2, 2]), (5, 5, &[1, 1, 2, 2])),
        (5, &[1, 1, 1], 1, (6, &[2]), (5, 6, &[1, 2])),
        (5, &[1, 1, 1], 2, (6, &[2]), (5, 6, &[1, 2])),
        (5, &[1, 1, 1], 3, (7, &[2]), (5, 7, &[1, 1, 2])),
        (5, &[], 0, (5, &[1]), (5, 5, &[1])),
    ];
    for &(offset, terms, in_progress, (from, new), (want_offset, want_in_progress, want)) in cases {
        let mut u = unstable(offset, terms, None);
        u.offset_in_progress = offset + in_progress;
        u.truncate_and_append(ents(from, new), &logger());
        assert_eq!(
            (u.offset, u.offset_in_progress),
            (want_offset, want_in_progress)
        );
        let all = u.slice(u.offset, u.end());
        assert_eq!(
            all,
            ents(want_offset, want),
            "{terms:?} from {offset}, then {new:?} from {from}"
        );
    }
}

#[test]
fn tail_parts_keep_to_the_limit() {
    let mut u = Unstable::new(5);
    for e in &ents(5, &[1; 5]) {
        u.push(e.clone());
    }
    let size = Entry::new(1, 5, "data").size();
    let part = |lo, max, one| {
        let p = u.tail_part(lo, max, one);
        (p.lo, p.hi, p.payload)
    };
    assert_eq!(part(5, u64::MAX, true), (5, 10, 20));
    assert_eq!(part(5, 5 * size, true), (5, 10, 20));
    assert_eq!(part(5, 5 * size - 1, true), (5, 9, 16));
    assert_eq!(part(7, 2 * size, true), (7, 9, 8));
    assert_eq!(part(7, 0, true), (7, 8, 4), "at least one");
    assert_eq!(part(7, 0, false), (7, 7, 0));
    assert_eq!(part(10, u64::MAX, true), (10, 10, 0));
}

#[test]
fn blocks_are_closed_at_their_limits_and_shared() {
    let mut u = Unstable::new(1);
    for i in 1..=600 {
        u.push(Entry::new(1, i, ""));
    }
    assert_eq!(u.tail_start(), 513);
    let runs: Vec<_> = u.next_entries().runs().map(<[Entry]>::len).collect();
    assert_eq!(runs, [256, 256, 88]);
    assert_eq!(u.tail_start(), 601);

    let mut u = Unstable::new(1);
    for i in 1..=4 {
        u.push(Entry::new(1, i, vec![0; 200 << 10]));
    }
    let runs: Vec<_> = u.next_entries().runs().map(<[Entry]>::len).collect();
    assert_eq!(
        runs,
        [2, 2],
        "a block is closed by the entry that crosses 256 KiB"
    );
    let (a, b) = (u.slice(1, 5), u.slice(1, 5));
    let first = |e: &Entries| e.first().map(std::ptr::from_ref);
    assert_eq!(first(&a), first(&b), "views, not copies");
}

/// Against a plain list: offset and entries.
#[test]
fn behaves_as_a_list() {
    for seed in 0..300 {
        let mut rng = Rng::new(seed, 3);
        let mut u = Unstable::new(1);
        let (mut offset, mut list): (u64, Vec<u64>) = (1, Vec::new());
        let mut term = 1;
        for _ in 0..80 {
            let end = offset + list.len() as u64;
            match rng.below(6) {
                0 | 1 => {
                    u.push(Entry::new(term, end, "data"));
                    list.push(term);
                }
                2 => {
                    term += 1;
                    let from = offset.saturating_sub(rng.below(2)).max(1);
                    let from = from + rng.below(end - from + 1);
                    let n = usize::try_from(1 + rng.below(3)).unwrap();
                    u.truncate_and_append(ents(from, &vec![term; n]), &logger());
                    list.truncate(usize::try_from(from.saturating_sub(offset)).unwrap());
                    offset = offset.min(from);
                    list.extend(vec![term; n]);
                }
                3 => {
                    u.accept_in_progress();
                }
                4 if !list.is_empty() => {
                    let n = rng.below(list.len() as u64);
                    let id = EntryId::new(list[usize::try_from(n).unwrap()], offset + n);
                    u.stable_to(id, &logger());
                    list.drain(..=usize::try_from(n).unwrap());
                    offset += n + 1;
                }
                _ => {
                    let lo = offset + rng.below(list.len() as u64 + 1);
                    let hi = lo + rng.below(end - lo + 1);
                    assert_eq!(indexes(&u.slice(lo, hi)), (lo..hi).collect::<Vec<_>>());
                }
            }
            let end = offset + list.len() as u64;
            assert_eq!((u.offset, u.end()), (offset, end), "seed {seed}");
            assert!(
                (offset..=end).contains(&u.offset_in_progress),
                "seed {seed}"
            );
            for i in offset.saturating_sub(1)..=end {
                let want = i
                    .checked_sub(offset)
                    .and_then(|n| list.get(usize::try_from(n).unwrap()));
                assert_eq!(u.maybe_term(i), want.copied(), "seed {seed}, index {i}");
            }
        }
    }
}
