//! Random histories against the model.

use super::pair::{Pair, describe};
use super::*;

/// What the next call of a history is.
#[derive(Debug)]
enum Call {
    Append(Write),
    Sync,
    Save(Snapshot),
    Compact(u64),
    Reopen,
}

pub(super) fn histories<H: Harness>(h: &mut H, seeds: Range<u64>) -> Outcome {
    for seed in seeds {
        let mut calls = Vec::new();
        history(h, seed, &mut calls)
            .map_err(|e| format!("seed {seed}: {e}; the calls were {}", calls.join(", ")))?;
    }
    Ok(())
}

fn history<H: Harness>(h: &mut H, seed: u64, calls: &mut Vec<String>) -> Outcome {
    let mut rng = Rng::new(seed);
    let mut p = Pair::new(h)?;
    for _ in 0..60 {
        let call = next_call(&mut rng, &p.model);
        match call {
            Call::Append(w) => {
                calls.push(describe(&w));
                p.append(&w)?;
            }
            Call::Sync => {
                calls.push("sync".into());
                p.sync()?;
            }
            Call::Save(s) => {
                calls.push(format!(
                    "save_snapshot({}/{})",
                    s.metadata.term, s.metadata.index
                ));
                p.save_snapshot(&s)?;
            }
            Call::Compact(i) => {
                calls.push(format!("compact({i})"));
                p.compact(i)?;
            }
            Call::Reopen => {
                calls.push("reopen".into());
                p.reopen(h)?;
            }
        }
    }
    Ok(())
}

/// A call that a correct node could make in this state, or one that must be refused.
fn next_call(rng: &mut Rng, m: &Model) -> Call {
    let (hs, last, saved) = (m.hard_state, m.last(), m.snapshot.metadata.index);
    match rng.below(20) {
        0..=9 => Call::Append(append(rng, m)),
        10..=12 => Call::Sync,
        13 if hs.commit >= m.base => {
            let index = rng.within(m.base, hs.commit.min(last));
            let term = m.term(index).unwrap_or_default();
            Call::Save(snapshot(index, term, &[index]))
        }
        14 if saved > 0 => Call::Compact(rng.within(saved / 2, saved)),
        15 => Call::Compact(last + 1 + rng.below(3)),
        16 => {
            let index = hs.commit.max(last.saturating_sub(3)).max(saved) + rng.below(6);
            let term = hs.term + rng.below(2);
            let mut w = install(snapshot(index, term.max(1), &[index, 1]));
            if rng.below(2) == 0 {
                w.entries = entries(index + 1, &[term.max(1)]);
            }
            // One at or below the commit index is only given where it must be refused.
            let refused = m.check(&w).is_err();
            let legal = index > hs.commit && m.term(index) != Ok(term.max(1));
            if legal || refused {
                Call::Append(w)
            } else {
                Call::Sync
            }
        }
        17 => Call::Append(Write {
            entries: entries(last + 2 + rng.below(3), &[hs.term + 1]),
            hard_state: Some(hard_state(hs.term + 1, 0, hs.commit)),
            ..Write::default()
        }),
        _ => Call::Reopen,
    }
}

/// Entries at the end or over what is not committed, reaching below the first index now and then; a new term, a commit, or nothing.
fn append(rng: &mut Rng, m: &Model) -> Write {
    let (hs, last) = (m.hard_state, m.last());
    let mut w = Write {
        must_sync: rng.below(2) == 0,
        ..Write::default()
    };
    let low = hs.commit.max(m.base) + 1;
    let at = if rng.below(3) == 0 && low <= last {
        rng.within(low, last)
    } else {
        last + 1
    };
    let term = hs.term + rng.below(2).max(u64::from(hs.term == 0));
    let len = [0, 1, 1, 2, 5, 30][usize::try_from(rng.below(6)).unwrap_or(0)];
    let mut new: Vec<Entry> = (at..at + len)
        .map(|i| {
            Entry::new(
                term,
                i,
                vec![1; usize::try_from(rng.below(60)).unwrap_or(0)],
            )
        })
        .collect();
    if rng.below(6) == 0 && at == m.base + 1 && m.base > 1 && len > 0 {
        let below = [m.base - 1, m.base].map(|i| Entry::new(m.base_term, i, "compacted"));
        new.splice(0..0, below);
    }
    let end = if len == 0 { last } else { at + len - 1 };
    w.entries = new.into();
    if len > 0 || rng.below(2) == 0 {
        let commit = rng.within(hs.commit.min(end), end);
        let vote = if term > hs.term || hs.vote == 0 {
            rng.below(4)
        } else {
            hs.vote
        };
        w.hard_state = Some(hard_state(term, vote, commit.max(hs.commit)));
    }
    w
}
