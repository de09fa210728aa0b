//! What the reads answer.

use super::pair::{Pair, read_all};
use super::*;
use raftpb::{ConfState, NO_LIMIT};

/// A new log holds nothing, and knows term 0 at index 0.
pub(super) fn new_log<H: Harness>(h: &mut H) -> Outcome {
    let s = h.create();
    let nothing = (HardState::default(), ConfState::default());
    same_result("initial_state", &s.initial_state(), &Ok(nothing))?;
    same_result("first_index", &s.first_index(), &Ok(1))?;
    same_result("last_index", &s.last_index(), &Ok(0))?;
    same_result("term(0)", &s.term(0), &Ok(0))?;
    same_result("term(1)", &s.term(1), &Err(Error::Unavailable))?;
    same_result("snapshot", &s.snapshot(), &Ok(Snapshot::default()))?;
    let none = Ok(Entries::new());
    same_result("entries(1, 1)", &s.entries(1, 1, NO_LIMIT), &none)?;
    let beyond = s.entries(1, 2, NO_LIMIT);
    same_result("entries(1, 2)", &beyond, &Err(Error::Unavailable))?;
    let below = s.entries(0, 1, NO_LIMIT);
    same_result("entries(0, 1)", &below, &Err(Error::Compacted))
}

/// Types, empty and large payloads come back as they went in.
pub(super) fn entry_contents<H: Harness>(h: &mut H) -> Outcome {
    let mut all: Vec<Entry> = Vec::new();
    for (i, t) in (1..).zip(EntryType::ALL) {
        let entry_type = Some(*t);
        all.push(Entry {
            entry_type,
            ..Entry::new(1, i, "data")
        });
    }
    all.push(Entry::new(1, 4, ""));
    all.push(Entry::new(1, 5, (0..=255).collect::<Vec<u8>>()));
    all.push(Entry::new(1, 6, vec![0; 1 << 20]));
    let mut w = write(1, &[1], 0);
    w.entries = all.into();
    let mut p = Pair::with(h, &[w])?;
    p.reopen(h)
}

/// First and last index follow appends, compactions and snapshots.
pub(super) fn bounds<H: Harness>(h: &mut H) -> Outcome {
    let mut p = Pair::new(h)?;
    let at = |p: &Pair<H::Store>, first: u64, last: u64| {
        same_result("first_index", &p.store.first_index(), &Ok(first))?;
        same_result("last_index", &p.store.last_index(), &Ok(last))
    };
    p.append(&write(1, &[1, 1, 1], 3))?;
    at(&p, 1, 3)?;
    p.save_snapshot(&snapshot(3, 1, &[1]))?;
    at(&p, 1, 3)?;
    p.compact(2)?;
    at(&p, 3, 3)?;
    p.compact(3)?;
    at(&p, 4, 3)?;
    p.append(&write(4, &[2], 3))?;
    at(&p, 4, 4)?;
    p.append(&install(snapshot(9, 2, &[1])))?;
    at(&p, 10, 9)
}

/// The term is known from first index − 1 to the last index.
pub(super) fn term_boundaries<H: Harness>(h: &mut H) -> Outcome {
    let mut p = Pair::with(h, &[write(1, &[1, 2, 2, 4, 5], 4)])?;
    p.save_snapshot(&snapshot(4, 4, &[1]))?;
    p.compact(3)?;
    for (index, want) in [
        (0, Err(Error::Compacted)),
        (2, Err(Error::Compacted)),
        (3, Ok(2)),
        (4, Ok(4)),
        (5, Ok(5)),
        (6, Err(Error::Unavailable)),
        (u64::MAX, Err(Error::Unavailable)),
    ] {
        same_result(format_args!("term({index})"), &p.store.term(index), &want)?;
    }
    // The compacted index is also the last one.
    p.append(&Write {
        hard_state: Some(hard_state(5, 1, 5)),
        ..Write::default()
    })?;
    p.save_snapshot(&snapshot(5, 5, &[1]))?;
    p.compact(5)?;
    same_result("term(5)", &p.store.term(5), &Ok(5))?;
    p.append(&install(snapshot(8, 6, &[1])))?;
    same_result("term(8)", &p.store.term(8), &Ok(6))?;
    same_result("term(7)", &p.store.term(7), &Err(Error::Compacted))
}

/// Which ranges are answered, and the order in which the reasons against one count.
pub(super) fn entries_ranges<H: Harness>(h: &mut H) -> Outcome {
    let mut p = Pair::with(h, &[write(1, &[1, 1, 1, 2, 3, 3], 3)])?;
    p.save_snapshot(&snapshot(3, 1, &[1]))?;
    p.compact(3)?;
    let out_of_range = || Error::OutOfRange {
        index: 0,
        first: 0,
        last: 0,
    };
    for (lo, hi, want) in [
        (0, 7, Err(Error::Compacted)),
        (3, 4, Err(Error::Compacted)),
        (3, 3, Err(Error::Compacted)),
        (3, 99, Err(Error::Compacted)),
        (4, 4, Ok(0)),
        (7, 7, Ok(0)),
        (4, 5, Ok(1)),
        (5, 7, Ok(2)),
        (4, 7, Ok(3)),
        (4, 8, Err(Error::Unavailable)),
        (8, 8, Err(Error::Unavailable)),
        (9, 8, Err(Error::Unavailable)),
        (4, u64::MAX, Err(Error::Unavailable)),
        (6, 5, Err(out_of_range())),
        (u64::MAX, 5, Err(out_of_range())),
    ] {
        let got = match want {
            Ok(0) => p.store.entries(lo, hi, NO_LIMIT).map(|e| e.len()),
            Ok(_) => read_all(&p.store, lo, hi).map(|e| Ok(e.len()))?,
            Err(_) => p.store.entries(lo, hi, NO_LIMIT).map(|e| e.len()),
        };
        same_result(format_args!("entries({lo}, {hi})"), &got, &want)?;
    }
    Ok(())
}

/// No more than the limit, but at least one.
pub(super) fn entries_limit<H: Harness>(h: &mut H) -> Outcome {
    // Written in several pieces: the limit must not start anew in each.
    let writes = [
        write(1, &[1, 1], 0),
        write(3, &[2], 0),
        write(4, &[2, 3, 3], 0),
    ];
    let p = Pair::with(h, &writes)?;
    let total: u64 = p.model.entries.iter().map(Entry::size).sum();
    for lo in 1..=6 {
        for hi in lo + 1..=7 {
            for max in 0..=total + 1 {
                let most = p.model.entries(lo, hi, max).map_err(|e| e.to_string())?;
                let call = format!("entries({lo}, {hi}, max_size {max})");
                let got = p.store.entries(lo, hi, max);
                let got = got.map_err(|e| format!("{call} failed: {e}"))?;
                if got.is_empty() || got.len() > most.len() {
                    let (n, m) = (got.len(), most.len());
                    return Err(format!(
                        "{call} gave {n} entries, the contract says 1 to {m}"
                    ));
                }
                same(call, &got, &most.slice(0..got.len()))?;
            }
        }
    }
    Ok(())
}

/// Some thousand entries in writes of all sizes: read whole and in parts, compacted in the middle, reopened.
pub(super) fn big_log<H: Harness>(h: &mut H) -> Outcome {
    let mut writes = Vec::new();
    let mut next = 1;
    for n in (0..12).cycle().take(60) {
        let len = usize::try_from(1u64 << (n % 9)).unwrap_or(1);
        let term = next / 500 + 1;
        writes.push(write(next, &vec![term; len], next - 1));
        next += len as u64;
    }
    let mut s = Pair::new(h)?;
    // Compared once at the end rather than after each Write.
    for w in &writes {
        same_result("append", &s.store.append(w), &Ok(()))?;
        same_result("append", &s.model.append(w), &Ok(()))?;
    }
    s.append(&Write::default())?;
    s.sync()?;
    let (middle, last) = (next / 2, next - 1);
    let all = Entries::from(s.model.entries.clone());
    for (lo, hi) in [
        (1, 2),
        (1, last + 1),
        (middle, middle + 1),
        (middle - 70, middle + 70),
        (last, last + 1),
    ] {
        let at = |i: u64| usize::try_from(i - 1).unwrap_or(usize::MAX);
        let got = read_all(&s.store, lo, hi)?;
        same(
            format_args!("entries({lo}, {hi})"),
            &got,
            &all.slice(at(lo)..at(hi)),
        )?;
    }
    let term = s.model.term(middle).map_err(|e| e.to_string())?;
    s.save_snapshot(&snapshot(middle, term, &[1]))?;
    s.compact(middle)?;
    s.reopen(h)
}
