//! A history that Raft could write, drawn from a seed. Go: none

#![allow(clippy::unwrap_used)]

use super::{Step, hs, snapshot};
use tickraft_storage_wal::raftpb::{Entries, Entry};
use tickraft_storage_wal::storage::testing::Model;
use tickraft_storage_wal::storage::{Storage, Write};

/// xorshift: the seed alone repeats a history.
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

fn entries(rng: &mut Rng, term: u64, first: u64) -> Entries {
    let n = [1, 1, 2, 5, 20, 60][usize::try_from(rng.below(6)).unwrap()];
    let payload = |rng: &mut Rng, index: u64| {
        let len = [0, 64, 128, 704, 5000][usize::try_from(rng.below(5)).unwrap()];
        // Each says where it belongs, and is otherwise incompressible.
        let mut data = format!("{term}/{index} ").into_bytes();
        let noise = (0..len / 8).flat_map(|_| rng.below(u64::MAX).to_le_bytes());
        data.extend(noise);
        data
    };
    (first..first + n)
        .map(|i| Entry::new(term, i, payload(rng, i)))
        .collect()
}

/// The next step of a node in this state. The store may have let go of more than the model: at a reopen, of what its snapshot replaces.
pub(crate) fn next(rng: &mut Rng, m: &Model, store: &impl Storage) -> Step {
    let (state, _) = m.initial_state().unwrap();
    let (first, last) = (
        store.first_index().unwrap().max(m.first_index().unwrap()),
        m.last_index().unwrap(),
    );
    let saved = m.snapshot().unwrap().metadata.index;
    match rng.below(24) {
        0..=9 => Step::Append(append(rng, m)),
        10..=19 => Step::Sync,
        20 => Step::Append(Write {
            hard_state: Some(hs(
                state.term.max(1),
                state.vote.max(1),
                state.commit + (last - state.commit) / 2,
            )),
            ..Write::default()
        }),
        21 if state.commit > saved && state.commit >= first => {
            Step::Save(snapshot(state.commit, m.term(state.commit).unwrap()))
        }
        22 if saved > first + 8 => Step::Compact(saved - 4),
        23 if rng.below(8) == 0 => install(state.term + 1, last + 5),
        _ => Step::Sync,
    }
}

fn append(rng: &mut Rng, m: &Model) -> Write {
    let (state, _) = m.initial_state().unwrap();
    let last = m.last_index().unwrap();
    // A new leader replaces what is not committed, now and then.
    let elected = state.term == 0 || rng.below(6) == 0;
    let term = state.term + u64::from(elected);
    let at = if elected {
        last + 1 - rng.below(last - state.commit + 1)
    } else {
        last + 1
    };
    let entries = entries(rng, term, at);
    let end = entries.last().map_or(last, |e| e.index);
    let commit = state.commit + rng.below(end - state.commit + 1);
    let vote = if elected {
        1 + rng.below(3)
    } else {
        state.vote
    };
    Write {
        hard_state: Some(hs(term, vote, commit)),
        entries,
        must_sync: true,
        ..Write::default()
    }
}

fn install(term: u64, index: u64) -> Step {
    Step::Append(Write {
        hard_state: Some(hs(term, 1, index)),
        snapshot: Some(snapshot(index, term)),
        must_sync: true,
        ..Write::default()
    })
}
