//! What MemoryStorage answers, and how it blocks its log. Go: storage_test.go

use super::*;
use storage::raftpb::{Entry, NO_LIMIT, SnapshotMetadata};
use storage::testing::Rng;

/// Entries from an index on, one a term.
fn ents(first: u64, terms: &[u64]) -> Entries {
    (first..)
        .zip(terms)
        .map(|(i, t)| Entry::new(*t, i, ""))
        .collect()
}

fn numbered(range: std::ops::Range<u64>) -> Entries {
    range.map(|i| Entry::new(1, i, "payload")).collect()
}

fn snapshot(index: u64, term: u64, voters: &[u64]) -> Snapshot {
    Snapshot {
        data: "data".into(),
        metadata: SnapshotMetadata {
            index,
            term,
            conf_state: ConfState {
                voters: voters.to_vec(),
                ..ConfState::default()
            },
        },
    }
}

/// A log compacted to index 3, term 3, with an entry for each further term.
fn behind_three(terms: &[u64]) -> MemoryStorage {
    let s = MemoryStorage::new();
    s.append(&ents(1, &[1, 2, 3])).unwrap();
    s.append(&ents(4, terms)).unwrap();
    s.compact(3).unwrap();
    s
}

/// All that can be seen of a storage.
fn look(s: &MemoryStorage) -> String {
    let state = s.0.state.read();
    state.log.check_invariants();
    assert_eq!(s.0.first_index.load(Ordering::Acquire), state.log.first());
    let (lo, hi) = (state.log.first(), state.log.last() + 1);
    format!(
        "{:?} {:?} {lo}..{hi} {:?} {:?}",
        state.hard_state,
        state.snapshot,
        state.log.term(lo - 1),
        state.log.entries(lo, hi, NO_LIMIT)
    )
}

fn terms(s: &MemoryStorage) -> Vec<u64> {
    let (lo, hi) = (s.first_index().unwrap(), s.last_index().unwrap() + 1);
    (lo - 1..hi).map(|i| s.term(i).unwrap()).collect()
}

fn out_of_range<T>(index: u64, first: u64, last: u64) -> Result<T, Error> {
    Err(Error::OutOfRange { index, first, last })
}

#[test]
fn a_new_one_is_empty() {
    let s = MemoryStorage::new();
    assert_eq!(
        s.initial_state(),
        Ok((HardState::default(), ConfState::default()))
    );
    assert_eq!((s.first_index(), s.last_index()), (Ok(1), Ok(0)));
    assert_eq!((s.term(0), s.term(1)), (Ok(0), Err(Error::Unavailable)));
    assert_eq!(s.snapshot(), Ok(Snapshot::default()));
    assert_eq!(s.entries(1, 1, 0), Ok(Entries::new()));
    assert_eq!(s.entries(0, 1, 0), Err(Error::Compacted));
    assert_eq!(s.entries(1, 2, 0), Err(Error::Unavailable));
}

/// Go: TestStorageTerm
#[test]
fn term_is_known_from_the_compacted_index_to_the_last() {
    let s = behind_three(&[4, 5]);
    for (index, want) in [
        (0, Err(Error::Compacted)),
        (2, Err(Error::Compacted)),
        (3, Ok(3)),
        (4, Ok(4)),
        (5, Ok(5)),
        (6, Err(Error::Unavailable)),
        (u64::MAX, Err(Error::Unavailable)),
    ] {
        assert_eq!(s.term(index), want, "{index}");
    }
}

/// Go: TestStorageEntries
#[test]
fn entries_are_cut_to_the_limit_but_never_to_none() {
    let s = behind_three(&[4, 5, 6]);
    let size = s.entries(4, 5, NO_LIMIT).unwrap().first().unwrap().size();
    for (lo, hi, max, want) in [
        (2, 7, NO_LIMIT, Err(Error::Compacted)),
        (3, 4, NO_LIMIT, Err(Error::Compacted)),
        (4, 4, NO_LIMIT, Ok(vec![])),
        (7, 7, NO_LIMIT, Ok(vec![])),
        (4, 5, NO_LIMIT, Ok(vec![4])),
        (4, 6, NO_LIMIT, Ok(vec![4, 5])),
        (4, 7, NO_LIMIT, Ok(vec![4, 5, 6])),
        (5, 7, NO_LIMIT, Ok(vec![5, 6])),
        (4, 7, 0, Ok(vec![4])),
        (4, 7, size * 2, Ok(vec![4, 5])),
        (4, 7, size * 2 + size / 2, Ok(vec![4, 5])),
        (4, 7, size * 3 - 1, Ok(vec![4, 5])),
        (4, 7, size * 3, Ok(vec![4, 5, 6])),
        (4, 8, NO_LIMIT, Err(Error::Unavailable)),
        (8, 8, NO_LIMIT, Err(Error::Unavailable)),
        (4, u64::MAX, NO_LIMIT, Err(Error::Unavailable)),
        (6, 5, NO_LIMIT, out_of_range(6, 4, 5)),
        (u64::MAX, 5, NO_LIMIT, out_of_range(u64::MAX, 4, 5)),
    ] {
        let got = s.entries(lo, hi, max);
        let got = got.map(|e| e.iter().map(|e| e.index).collect::<Vec<_>>());
        assert_eq!(got, want, "{lo}..{hi} {max}");
    }
}

/// Go: TestStorageLastIndex, TestStorageFirstIndex
#[test]
fn bounds_follow_append_and_compact() {
    let s = behind_three(&[4, 5]);
    assert_eq!((s.first_index(), s.last_index()), (Ok(4), Ok(5)));
    s.append(&ents(6, &[5])).unwrap();
    assert_eq!((s.first_index(), s.last_index()), (Ok(4), Ok(6)));
    s.compact(4).unwrap();
    assert_eq!((s.first_index(), s.last_index()), (Ok(5), Ok(6)));
    s.compact(6).unwrap();
    assert_eq!((s.first_index(), s.last_index()), (Ok(7), Ok(6)));
}

/// Go: TestStorageCompact
#[test]
fn compact_keeps_the_term_at_its_index() {
    for (index, result, want) in [
        (0, Err(Error::Compacted), vec![3, 4, 5]),
        (2, Err(Error::Compacted), vec![3, 4, 5]),
        (3, Err(Error::Compacted), vec![3, 4, 5]),
        (4, Ok(()), vec![4, 5]),
        (5, Ok(()), vec![5]),
        (6, out_of_range(6, 4, 5), vec![3, 4, 5]),
        (u64::MAX, out_of_range(u64::MAX, 4, 5), vec![3, 4, 5]),
    ] {
        let s = behind_three(&[4, 5]);
        assert_eq!(s.compact(index), result, "{index}");
        assert_eq!(terms(&s), want, "{index}");
        look(&s);
    }
}

/// Go: TestStorageCreateSnapshot
#[test]
fn create_snapshot_takes_the_term_from_the_log() {
    for index in [4, 5] {
        let s = behind_three(&[4, 5]);
        let made = s.create_snapshot(
            index,
            Some(snapshot(0, 0, &[1, 2, 3]).metadata.conf_state),
            "data",
        );
        assert_eq!(made, Ok(snapshot(index, index, &[1, 2, 3])));
        assert_eq!(s.snapshot(), made);
        assert_eq!(terms(&s), [3, 4, 5], "the log stays");
        assert_eq!(s.initial_state().unwrap().1.voters, [1, 2, 3]);
    }
    let s = behind_three(&[4, 5]);
    assert_eq!(s.create_snapshot(3, None, "").unwrap().metadata.term, 3);
    s.create_snapshot(4, Some(snapshot(0, 0, &[7]).metadata.conf_state), "")
        .unwrap();
    let kept = s.create_snapshot(5, None, "").unwrap();
    assert_eq!(
        kept.metadata.conf_state.voters,
        [7],
        "None keeps the configuration"
    );
    let before = look(&s);
    assert_eq!(
        s.create_snapshot(5, None, ""),
        Err(Error::SnapshotOutOfDate)
    );
    assert_eq!(s.create_snapshot(6, None, ""), out_of_range(6, 6, 5));
    assert_eq!(look(&s), before);
    let s = behind_three(&[4, 5]);
    assert_eq!(s.create_snapshot(2, None, ""), Err(Error::Compacted));
}

/// Go: TestStorageAppend
#[test]
fn append_skips_what_is_compacted_and_overwrites_the_rest() {
    for (first, new, want) in [
        (1, &[1, 2][..], &[3, 4, 5][..]),
        (0, &[1, 2], &[3, 4, 5]),
        (3, &[3, 4, 5], &[3, 4, 5]),
        (3, &[3, 6, 6], &[3, 6, 6]),
        (3, &[3, 4, 5, 5], &[3, 4, 5, 5]),
        (2, &[3, 3, 5], &[3, 5]),
        (4, &[5], &[3, 5]),
        (6, &[5], &[3, 4, 5, 5]),
    ] {
        let s = behind_three(&[4, 5]);
        s.append(&ents(first, new)).unwrap();
        assert_eq!(terms(&s), want, "{first} {new:?}");
        look(&s);
    }
}

#[test]
fn append_refuses_gaps_and_disorder() {
    let s = behind_three(&[4, 5]);
    let before = look(&s);
    let of =
        |indexes: &[u64]| -> Entries { indexes.iter().map(|i| Entry::new(6, *i, "")).collect() };
    let last = u64::MAX - 1;
    for (entries, want) in [
        (of(&[7]), out_of_range(7, 4, 6)),
        (of(&[u64::MAX]), out_of_range(u64::MAX, 4, 6)),
        (of(&[6, 8]), out_of_range(8, 7, 7)),
        (of(&[6, 6]), out_of_range(6, 7, 7)),
        (of(&[4, 3]), out_of_range(3, 5, 5)),
        (of(&[1, 2, 9]), out_of_range(9, 3, 3)),
        (of(&[6]).join(of(&[8])), out_of_range(8, 7, 7)),
    ] {
        assert_eq!(s.append(&entries), want, "{entries:?}");
        assert_eq!(look(&s), before);
    }
    let s = MemoryStorage::new();
    s.apply_snapshot(&snapshot(last - 1, 1, &[1])).unwrap();
    assert_eq!(
        s.append(&of(&[last, u64::MAX])),
        out_of_range(u64::MAX, last, last)
    );
    s.append(&of(&[last])).unwrap();
    assert_eq!(
        s.append(&of(&[u64::MAX])),
        out_of_range(u64::MAX, last, last)
    );
    assert_eq!(
        s.apply_snapshot(&snapshot(u64::MAX, 1, &[1])),
        out_of_range(u64::MAX, last, last)
    );
    s.append(&Entries::new()).unwrap();
    assert_eq!(s.last_index(), Ok(last));
    look(&s);
}

/// Go: TestStorageApplySnapshot
#[test]
fn apply_snapshot_replaces_the_log_and_refuses_older_ones() {
    let s = behind_three(&[4, 5]);
    s.set_hard_state(HardState {
        term: 5,
        vote: 1,
        commit: 4,
    });
    // One within the log replaces what follows too: the entries there may conflict.
    s.apply_snapshot(&snapshot(4, 9, &[1, 2])).unwrap();
    assert_eq!((terms(&s), s.first_index()), (vec![9], Ok(5)));
    assert_eq!(s.initial_state().unwrap().0.term, 5, "the hard state stays");
    let before = look(&s);
    for index in [0, 1, 3, 4] {
        assert_eq!(
            s.apply_snapshot(&snapshot(index, 9, &[3])),
            Err(Error::SnapshotOutOfDate)
        );
        assert_eq!(look(&s), before);
    }
    s.append(&ents(5, &[9, 9])).unwrap();
    s.compact(6).unwrap();
    assert_eq!(
        s.apply_snapshot(&snapshot(5, 9, &[3])),
        Err(Error::SnapshotOutOfDate),
        "never behind a compaction"
    );
    s.apply_snapshot(&snapshot(6, 9, &[3])).unwrap();
    s.apply_snapshot(&snapshot(60, 10, &[3])).unwrap();
    assert_eq!((terms(&s), s.last_index()), (vec![10], Ok(60)));
    look(&s);
}

#[test]
fn an_empty_one_takes_its_configuration_from_a_snapshot_of_index_0() {
    let s = MemoryStorage::new();
    assert_eq!(
        s.apply_snapshot(&snapshot(0, 1, &[1])),
        Err(Error::TermMismatch {
            index: 0,
            term: 1,
            expected: 0
        })
    );
    s.apply_snapshot(&snapshot(0, 0, &[1])).unwrap();
    s.apply_snapshot(&snapshot(0, 0, &[1, 2])).unwrap();
    assert_eq!(s.initial_state().unwrap().1.voters, [1, 2]);
    assert_eq!((s.first_index(), s.last_index()), (Ok(1), Ok(0)));
    s.append(&ents(1, &[1])).unwrap();
    assert_eq!(
        s.apply_snapshot(&snapshot(0, 0, &[3])),
        Err(Error::SnapshotOutOfDate)
    );
    assert_eq!((s.last_index(), terms(&s)), (Ok(1), vec![0, 1]));
}

#[test]
fn a_write_is_taken_whole_or_not_at_all() {
    let mut s = behind_three(&[4, 5]);
    let before = look(&s);
    let good = Write {
        hard_state: Some(HardState {
            term: 9,
            vote: 2,
            commit: 10,
        }),
        snapshot: Some(snapshot(10, 9, &[1])),
        entries: ents(11, &[9, 9]),
        must_sync: true,
    };
    let gap = Write {
        entries: ents(12, &[9]),
        ..good.clone()
    };
    assert_eq!(Writer::append(&mut s, &gap), out_of_range(12, 11, 11));
    let stale = Write {
        snapshot: Some(snapshot(2, 1, &[1])),
        ..good.clone()
    };
    assert_eq!(
        Writer::append(&mut s, &stale),
        Err(Error::SnapshotOutOfDate)
    );
    assert_eq!(look(&s), before);
    Writer::append(&mut s, &good).unwrap();
    s.sync().unwrap();
    assert_eq!((terms(&s), s.first_index()), (vec![9, 9, 9], Ok(11)));
    assert_eq!(s.initial_state().unwrap().0.vote, 2);
    let before = look(&s);
    Writer::append(&mut s, &Write::default()).unwrap();
    assert_eq!(look(&s), before);
}

#[test]
fn save_snapshot_checks_that_it_is_of_this_log() {
    let mut s = behind_three(&[4, 5]);
    let before = look(&s);
    for (index, term, want) in [
        (0, 0, Error::SnapshotOutOfDate),
        (2, 2, Error::SnapshotOutOfDate),
        (
            4,
            3,
            Error::TermMismatch {
                index: 4,
                term: 3,
                expected: 4,
            },
        ),
        (
            6,
            5,
            Error::OutOfRange {
                index: 6,
                first: 3,
                last: 5,
            },
        ),
    ] {
        assert_eq!(s.save_snapshot(&snapshot(index, term, &[1])), Err(want));
        assert_eq!(look(&s), before);
    }
    s.save_snapshot(&snapshot(4, 4, &[1])).unwrap();
    assert_eq!(s.snapshot(), Ok(snapshot(4, 4, &[1])));
    assert_eq!(
        s.save_snapshot(&snapshot(4, 4, &[2])),
        Err(Error::SnapshotOutOfDate)
    );
    assert_eq!(terms(&s), [3, 4, 5]);
}

/// Short runs are gathered, longer ones shared as they are, and reads of them copy nothing.
#[test]
fn blocks_are_shared_and_short_ones_gathered() {
    // The runs, and how many entries are not in one yet.
    let lens = |s: &MemoryStorage| {
        let log = &s.0.state.read().log;
        (log.run_lens(), log.young_len())
    };
    let s = MemoryStorage::new();
    for i in 1..=63 {
        s.append(&numbered(i..i + 1)).unwrap();
    }
    assert_eq!(lens(&s), (vec![], 63));
    s.append(&numbered(64..66)).unwrap();
    assert_eq!(lens(&s), (vec![65], 0));
    let block = numbered(66..82);
    s.append(&block).unwrap();
    s.append(&numbered(82..84)).unwrap();
    s.append(&numbered(84..86)).unwrap();
    assert_eq!(lens(&s), (vec![65, 16], 4));
    s.append(&numbered(86..200)).unwrap();
    assert_eq!(lens(&s), (vec![65, 16, 4, 114], 0));
    let read = s.entries(66, 82, NO_LIMIT).unwrap();
    let at = |e: &Entries| e.first().map(std::ptr::from_ref);
    assert_eq!(at(&read), at(&block), "the same block");
    assert_eq!(s.entries(60, 90, NO_LIMIT).unwrap().runs().count(), 4);
    // Several runs at once are taken apart.
    let s = MemoryStorage::new();
    s.append(
        &numbered(1..21)
            .join(numbered(21..22))
            .join(numbered(22..42)),
    )
    .unwrap();
    assert_eq!(lens(&s), (vec![20, 1, 20], 0));
    look(&s);
}

/// A big block goes as soon as what is left of it weighs less than what was cut off.
#[test]
fn a_cut_block_is_let_go() {
    let s = MemoryStorage::new();
    let block = numbered(1..1001);
    let at = |e: &Entries| e.first().map(std::ptr::from_ref);
    let shared = |s: &MemoryStorage, i: u64| {
        let k = usize::try_from(i - 1).unwrap();
        at(&s.entries(i, i + 1, NO_LIMIT).unwrap()) == at(&block.slice(k..k + 1))
    };
    s.append(&block).unwrap();
    s.compact(500).unwrap();
    assert!(shared(&s, 1000));
    s.compact(501).unwrap();
    assert!(!shared(&s, 1000));
    look(&s);
    // The same from the other end, and by weight rather than by number.
    let s = MemoryStorage::new();
    let mut v: Vec<_> = (1..=100).map(|i| Entry::new(1, i, "")).collect();
    v[99].data = vec![0; 10_000].into();
    let heavy = Entries::from(v);
    s.append(&heavy).unwrap();
    s.append(&ents(100, &[2])).unwrap();
    assert_ne!(at(&s.entries(1, 2, NO_LIMIT).unwrap()), at(&heavy));
    look(&s);
}

/// Random calls against a plain vector; runs stay few and pin little.
#[test]
fn behaves_as_a_vector() {
    for seed in 1..150u64 {
        let mut rng = Rng::new(seed);
        let s = MemoryStorage::new();
        // The model: the term and payload length of each index from 0 on; `base` is the compacted index.
        let mut model: Vec<(u64, usize)> = vec![(0, 0)];
        let mut base = 0u64;
        for step in 0..120 {
            let last = model.len() as u64 - 1;
            match rng.below(10) {
                0..=6 => {
                    // Mostly at the end, sometimes over what is there, sometimes reaching below the first index.
                    let at = if rng.below(4) == 0 {
                        rng.below(last + 2)
                    } else {
                        last + 1
                    };
                    let n = if rng.below(8) == 0 {
                        rng.below(200)
                    } else {
                        rng.below(6)
                    };
                    let new: Vec<_> = (at..at + n)
                        .map(|i| (step + 1, i, usize::try_from(rng.below(300)).unwrap()))
                        .collect();
                    let e = new
                        .iter()
                        .map(|(t, i, l)| Entry::new(*t, *i, vec![7; *l]))
                        .collect();
                    s.append(&e).unwrap();
                    for (t, i, l) in new {
                        if i > base {
                            model.truncate(usize::try_from(i).unwrap());
                            model.push((t, l));
                        }
                    }
                }
                7 => {
                    let to = base + rng.below(last - base + 1);
                    let want = if to == base {
                        Err(Error::Compacted)
                    } else {
                        Ok(())
                    };
                    assert_eq!(s.compact(to), want, "seed {seed}");
                    base = to;
                }
                _ => {
                    let lo = base + 1 + rng.below(last - base + 1);
                    let hi = lo + rng.below(last + 2 - lo);
                    let max = [NO_LIMIT, rng.below(5000)][usize::try_from(rng.below(2)).unwrap()];
                    let got = s.entries(lo, hi, max).unwrap();
                    let want: Entries = (lo..hi)
                        .map(|i| {
                            let (t, l) = model[usize::try_from(i).unwrap()];
                            Entry::new(t, i, vec![7; l])
                        })
                        .collect();
                    assert_eq!(got, want.limit_size(max), "seed {seed}");
                }
            }
            let log = &s.0.state.read().log;
            log.check_invariants();
            let last = model.len() as u64 - 1;
            assert_eq!((log.first(), log.last()), (base + 1, last), "seed {seed}");
            let runs = log.run_lens().len() as u64;
            assert!(
                runs <= (last - base) / (SHORT_RUN / 2) + 3,
                "seed {seed}: {runs}"
            );
        }
        for (i, (t, _)) in (0..).zip(&model).skip(usize::try_from(base).unwrap()) {
            assert_eq!(s.term(i), Ok(*t), "seed {seed}");
        }
    }
}

const SHORT_RUN: u64 = 16;

#[test]
fn debug_shows_bounds_and_no_entries() {
    let s = behind_three(&[4, 5]);
    let text = format!("{s:?}");
    assert!(text.contains("first_index: 4, last_index: 5"), "{text}");
    assert!(!text.contains("Entry"), "{text}");
}
