//! What the writes do, and what they refuse.

use super::pair::Pair;
use super::*;

fn out_of_range() -> Error {
    Error::OutOfRange {
        index: 0,
        first: 0,
        last: 0,
    }
}

/// Appends at the end, one entry or many, and a Write that holds nothing.
pub(super) fn append_extends<H: Harness>(h: &mut H) -> Outcome {
    let mut p = Pair::new(h)?;
    p.append(&write(1, &[1], 0))?;
    p.append(&write(2, &[1, 1, 2], 1))?;
    p.append(&Write::default())?;
    p.append(&Write {
        must_sync: true,
        ..Write::default()
    })?;
    p.append(&write(5, &[2, 3, 3, 3, 4], 4))?;
    same_result("last_index", &p.store.last_index(), &Ok(9))
}

/// What follows the first new entry is gone, whether the new ones are fewer, as many or more.
pub(super) fn append_overwrites<H: Harness>(h: &mut H) -> Outcome {
    for (first, terms, last) in [
        (2, &[3][..], 2),
        (4, &[3], 4),
        (3, &[3, 3], 4),
        (2, &[3, 3, 3, 4, 4], 6),
        (1, &[3], 1),
        (1, &[3, 3, 3, 3, 3, 3], 6),
    ] {
        let mut p = Pair::with(h, &[write(1, &[1, 1], 0), write(3, &[2, 2], 0)])?;
        p.append(&write(first, terms, 0))?;
        same_result("last_index", &p.store.last_index(), &Ok(last))?;
        p.append(&write(last + 1, &[5], 0))?;
        // The same entries once more change nothing.
        p.append(&write(last + 1, &[5], 0))?;
    }
    Ok(())
}

/// Entries below the first index are skipped, those behind them taken.
pub(super) fn append_skips_compacted<H: Harness>(h: &mut H) -> Outcome {
    for (first, terms) in [
        (1, &[1, 1][..]),
        (3, &[2]),
        (2, &[1, 2, 2]),
        (3, &[2, 2, 2, 3]),
        (1, &[1, 1, 2, 3]),
        (3, &[2, 3]),
    ] {
        let mut p = Pair::with(h, &[write(1, &[1, 1, 2, 2, 2], 3)])?;
        p.save_snapshot(&snapshot(3, 2, &[1]))?;
        p.compact(3)?;
        let mut w = write(first, terms, 3);
        w.hard_state = Some(hard_state(3, 1, 3));
        p.append(&w)?;
        same_result("first_index", &p.store.first_index(), &Ok(4))?;
    }
    Ok(())
}

/// A gap, and entries that do not follow each other, are refused with nothing changed; the writer goes on.
pub(super) fn gaps_refused<H: Harness>(h: &mut H) -> Outcome {
    let mut p = Pair::with(h, &[write(1, &[1, 1, 1, 1], 2)])?;
    p.save_snapshot(&snapshot(2, 1, &[1]))?;
    p.compact(2)?;
    for indexes in [
        &[6][..],
        &[7, 8],
        &[u64::MAX],
        &[5, 7],
        &[5, 6, 6],
        &[5, 4],
        &[3, 5],
        &[1, 3],
        &[1, 2, 4],
    ] {
        let mut w = write(5, &[1], 3);
        w.entries = indexes.iter().map(|i| Entry::new(1, *i, "x")).collect();
        p.refuse(&w, &out_of_range())?;
    }
    p.append(&write(5, &[1, 2], 3))
}

/// The last index stays below `u64::MAX`, so that "one past it" is always a number.
pub(super) fn largest_index<H: Harness>(h: &mut H) -> Outcome {
    let mut p = Pair::new(h)?;
    p.refuse(&install(snapshot(u64::MAX, 1, &[1])), &out_of_range())?;
    let max = u64::MAX - 1;
    p.append(&install(snapshot(max - 1, 1, &[1])))?;
    p.refuse(&write(max, &[1, 1], max - 1), &out_of_range())?;
    p.append(&write(max, &[1], max - 1))?;
    p.refuse(&write(u64::MAX, &[1], max - 1), &out_of_range())
}

/// The newest hard state counts, alone or with entries, and a Write without one leaves it.
pub(super) fn hard_state_alone_or_not<H: Harness>(h: &mut H) -> Outcome {
    let mut p = Pair::new(h)?;
    let only = |term, vote, commit| Write {
        hard_state: Some(hard_state(term, vote, commit)),
        ..Write::default()
    };
    let is = |p: &Pair<H::Store>, term, vote, commit| {
        let got = p.store.initial_state().map(|s| s.0);
        let want = Ok(hard_state(term, vote, commit));
        same_result("initial_state", &got, &want)
    };
    p.append(&Write {
        must_sync: true,
        ..only(1, 2, 0)
    })?;
    is(&p, 1, 2, 0)?;
    p.append(&write(1, &[1, 1, 1], 0))?;
    is(&p, 1, 1, 0)?;
    p.append(&only(1, 1, 2))?;
    is(&p, 1, 1, 2)?;
    p.append(&Write {
        must_sync: true,
        ..only(2, 0, 2)
    })?;
    is(&p, 2, 0, 2)?;
    p.append(&Write {
        hard_state: None,
        ..write(4, &[2], 2)
    })?;
    is(&p, 2, 0, 2)
}

/// Entries up to the index go, its term stays, the snapshot too; what is gone or not there yet is refused.
pub(super) fn compaction<H: Harness>(h: &mut H) -> Outcome {
    let mut p = Pair::with(h, &[write(1, &[1, 1, 2], 0), write(4, &[2, 3, 3], 6)])?;
    p.compact(0)?;
    p.save_snapshot(&snapshot(6, 3, &[1, 2]))?;
    for index in [1, 1, 0, 3, 2, 3, 5, 7, u64::MAX, 5, 6, 6, 7] {
        p.compact(index)?;
    }
    same_result("first_index", &p.store.first_index(), &Ok(7))?;
    same_result("last_index", &p.store.last_index(), &Ok(6))?;
    p.append(&write(7, &[3], 6))
}

/// A new log takes its configuration from a snapshot of index 0; a log that held anything does not.
pub(super) fn bootstrap_snapshot<H: Harness>(h: &mut H) -> Outcome {
    let mut p = Pair::new(h)?;
    let only = |s| Write {
        snapshot: Some(s),
        ..Write::default()
    };
    let mismatch = Error::TermMismatch {
        index: 0,
        term: 1,
        expected: 0,
    };
    p.refuse(&only(snapshot(0, 1, &[1])), &mismatch)?;
    p.append(&only(snapshot(0, 0, &[1, 2, 3])))?;
    let got = p.store.initial_state().map(|s| s.1.voters);
    same_result("initial_state", &got, &Ok(vec![1, 2, 3]))?;
    same_result("first_index", &p.store.first_index(), &Ok(1))?;
    p.append(&write(1, &[1], 1))?;
    p.refuse(&only(snapshot(0, 0, &[4])), &Error::SnapshotOutOfDate)?;
    let mut p = Pair::with(h, &[install(snapshot(5, 1, &[1]))])?;
    p.refuse(&only(snapshot(0, 0, &[4])), &Error::SnapshotOutOfDate)
}

/// A snapshot from the leader replaces the whole log, wherever its index lies, and brings the configuration.
pub(super) fn received_snapshot<H: Harness>(h: &mut H) -> Outcome {
    for index in [3, 5, 6, 100] {
        let term_2 = Write {
            hard_state: Some(hard_state(2, 1, 2)),
            ..Write::default()
        };
        let mut p = Pair::with(h, &[write(1, &[1, 1, 1, 1, 1], 2), term_2])?;
        let alone = Write {
            hard_state: None,
            ..install(snapshot(index, 2, &[2, 3]))
        };
        p.append(&alone)?;
        same_result("first_index", &p.store.first_index(), &Ok(index + 1))?;
        same_result("last_index", &p.store.last_index(), &Ok(index))?;
        let got = p.store.initial_state();
        let got = got.map(|(hs, cs)| (hs.term, hs.vote, cs.voters));
        same_result("initial_state", &got, &Ok((2, 1, vec![2, 3])))?;
        p.append(&Write {
            hard_state: Some(hard_state(2, 1, index)),
            ..Write::default()
        })?;
        p.append(&write(index + 1, &[2, 2], index))?;
        p.append(&install(snapshot(index + 2, 3, &[4])))?;
    }
    Ok(())
}

/// A snapshot that is stored already, or an older one, changes nothing.
pub(super) fn stale_snapshot<H: Harness>(h: &mut H) -> Outcome {
    let writes = [install(snapshot(5, 2, &[1])), write(6, &[2, 2, 3], 7)];
    let mut p = Pair::with(h, &writes)?;
    for index in [1, 4, 5] {
        let w = install(snapshot(index, 2, &[9]));
        p.refuse(&w, &Error::SnapshotOutOfDate)?;
    }
    p.save_snapshot(&snapshot(7, 2, &[1, 2]))?;
    for index in [5, 6, 7] {
        let w = install(snapshot(index, 2, &[9]));
        p.refuse(&w, &Error::SnapshotOutOfDate)?;
    }
    p.append(&install(snapshot(8, 3, &[9])))
}

/// The application's snapshot leaves the log alone; it must be of this log, and newer than the stored one.
pub(super) fn own_snapshot<H: Harness>(h: &mut H) -> Outcome {
    let mut p = Pair::with(h, &[write(1, &[1, 1, 2, 2, 3], 5)])?;
    p.save_snapshot(&snapshot(0, 0, &[1]))?;
    p.save_snapshot(&snapshot(2, 1, &[1, 2]))?;
    same_result("first_index", &p.store.first_index(), &Ok(1))?;
    let got = p.store.initial_state().map(|s| s.1.voters);
    same_result("initial_state", &got, &Ok(vec![1, 2]))?;
    for (index, term, want) in [
        (1, 1, Error::SnapshotOutOfDate),
        (2, 1, Error::SnapshotOutOfDate),
        (
            4,
            1,
            Error::TermMismatch {
                index: 4,
                term: 1,
                expected: 2,
            },
        ),
        (6, 3, out_of_range()),
        (u64::MAX, 3, out_of_range()),
    ] {
        let s = snapshot(index, term, &[9]);
        same_result(
            "save_snapshot",
            &p.model.clone().save_snapshot(&s),
            &Err(want),
        )?;
        p.save_snapshot(&s)?;
    }
    p.save_snapshot(&snapshot(4, 2, &[3]))?;
    p.compact(4)?;
    p.save_snapshot(&snapshot(5, 3, &[4]))?;
    let got = p.store.snapshot().map(|s| s.metadata.index);
    same_result("snapshot", &got, &Ok(5))
}

/// Snapshot, entries and hard state of one Write are taken together, or none of them.
pub(super) fn whole_writes<H: Harness>(h: &mut H) -> Outcome {
    let before = [write(1, &[1, 1, 1], 1)];
    let whole = Write {
        snapshot: Some(snapshot(10, 2, &[1, 2])),
        ..write(11, &[2, 3], 10)
    };
    let mut p = Pair::with(h, &before)?;
    p.refuse(
        &Write {
            entries: entries(12, &[3]),
            ..whole.clone()
        },
        &out_of_range(),
    )?;
    p.refuse(
        &Write {
            entries: entries(11, &[3]).join(entries(13, &[3])),
            ..whole.clone()
        },
        &out_of_range(),
    )?;
    p.refuse(
        &Write {
            hard_state: Some(hard_state(9, 9, 1)),
            ..write(5, &[9], 1)
        },
        &out_of_range(),
    )?;
    p.append(&whole)?;
    same_result("last_index", &p.store.last_index(), &Ok(12))?;
    let stale = Write {
        snapshot: Some(snapshot(9, 2, &[1])),
        ..write(10, &[4, 4, 4, 4], 12)
    };
    p.refuse(&stale, &Error::SnapshotOutOfDate)?;
    // Entries that the snapshot covers are skipped.
    let mut p = Pair::with(h, &before)?;
    p.append(&Write {
        entries: conf_changes(&entries(9, &[2, 2, 2])),
        ..whole
    })?;
    same_result("last_index", &p.store.last_index(), &Ok(11))
}
