//! The conformance suite: does a storage keep every sentence of the contract?
//!
//! An implementer writes a [`Harness`], which says how a storage is made and how it is closed and opened again, and one test:
//!
//! ```
//! use tickraft_storage::testing::{Harness, conformance};
//! # use tickraft_storage::{*, raftpb::*};
//! # use tickraft_storage::testing::Model as MyStorage;
//! struct Mine;
//!
//! impl Harness for Mine {
//!     type Store = MyStorage;
//!     fn create(&mut self) -> MyStorage {
//!         MyStorage::default() // in a fresh temporary directory, say
//!     }
//!     fn reopen(&mut self, s: MyStorage) -> MyStorage {
//!         s // close it and open the same directory
//!     }
//! }
//!
//! // #[test]
//! fn my_storage_conforms() {
//!     conformance(Mine);
//! }
//! # my_storage_conforms();
//! ```
//!
//! What the suite writes is a history that Raft could write: terms rise, no entry's term is above the hard state's, a committed entry is
//! never overwritten, the application's snapshots are of committed entries, a received one is not of an entry that the log has, and
//! compaction goes no further than the newest snapshot. So a storage is free to refuse anything else as corruption. Only calls that the contract says are refused break these rules.
//!
//! Errors are compared by variant; the numbers in [`Error::OutOfRange`] are for people. What was not synced may be there after a reopen or
//! not, as long as it is the first so many of the Writes.

mod durability;
mod model;
#[cfg(test)]
mod mutants;
mod pair;
mod random;
mod reads;
mod rng;
mod threads;
mod writes;

pub use model::Model;
pub use rng::Rng;
pub use threads::shared_between_threads;

use crate::{Error, Storage, Write, Writer};
use raftpb::{Entries, Entry, EntryType, HardState, Snapshot};
use std::fmt;
use std::ops::Range;

/// How the suite gets at an implementation. Failures to create or open are the harness's to panic on.
pub trait Harness {
    /// The storage: both halves on one value.
    type Store: Storage + Writer;

    /// A new and empty storage, unrelated to all others.
    fn create(&mut self) -> Self::Store;

    /// Closes the storage and opens what it kept. One that keeps nothing beyond its life returns it as it is.
    fn reopen(&mut self, s: Self::Store) -> Self::Store;

    /// Opens what a storage kept whose process was killed: nothing was closed, and what was not synced may be there or not. The checks do this in turn
    /// with [`reopen`](Harness::reopen), which it is unless an implementer knows better.
    fn kill(&mut self, s: Self::Store) -> Self::Store {
        self.reopen(s)
    }
}

/// The harness of storages that live in memory only: a reopen gives back the same handle.
///
/// ```
/// use tickraft_storage::testing::{InMemory, Model, conformance};
/// conformance(InMemory(Model::default));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct InMemory<F>(
    /// Makes a new storage.
    pub F,
);

impl<S: Storage + Writer, F: FnMut() -> S> Harness for InMemory<F> {
    type Store = S;

    fn create(&mut self) -> S {
        (self.0)()
    }

    fn reopen(&mut self, s: S) -> S {
        s
    }
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The check's name.
    pub check: &'static str,
    /// What was called, what came back, and what the contract says; the seed, where calls were random.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.check, self.what)
    }
}

/// Runs all checks and panics with what they found, if anything.
///
/// # Panics
/// The storage breaks the contract: the message names each check and what it saw.
pub fn conformance<H: Harness>(mut h: H) {
    let found = violations(&mut h);
    let lines: Vec<_> = found.iter().map(Violation::to_string).collect();
    assert!(found.is_empty(), "\n{}", lines.join("\n"));
}

/// Runs all checks and returns what they found: nothing, for a storage that conforms. Each check starts from a new storage.
pub fn violations<H: Harness>(h: &mut H) -> Vec<Violation> {
    let mut found = Vec::new();
    for (check, run) in checks::<H>() {
        if let Err(what) = run(h) {
            found.push(Violation { check, what });
        }
    }
    found
}

/// Runs random histories, one for each seed, against a [`Model`]. [`conformance`] runs some; soak tests run more, and a printed seed
/// repeats a failure.
///
/// # Errors
/// What differed, with the seed and the calls that led there.
///
/// ```
/// use tickraft_storage::testing::{InMemory, Model, random};
/// assert_eq!(random(&mut InMemory(Model::default), 1000..1002), Ok(()));
/// ```
pub fn random<H: Harness>(h: &mut H, seeds: Range<u64>) -> Result<(), String> {
    random::histories(h, seeds)
}

type Outcome = Result<(), String>;

type Check<H> = fn(&mut H) -> Outcome;

/// All checks in the order in which they run: what fails first is the simplest.
fn checks<H: Harness>() -> Vec<(&'static str, Check<H>)> {
    vec![
        ("new_log", reads::new_log),
        ("entry_contents", reads::entry_contents),
        ("bounds", reads::bounds),
        ("term_boundaries", reads::term_boundaries),
        ("entries_ranges", reads::entries_ranges),
        ("entries_limit", reads::entries_limit),
        ("big_log", reads::big_log),
        ("append_extends", writes::append_extends),
        ("append_overwrites", writes::append_overwrites),
        ("append_skips_compacted", writes::append_skips_compacted),
        ("gaps_refused", writes::gaps_refused),
        ("largest_index", writes::largest_index),
        ("hard_state", writes::hard_state_alone_or_not),
        ("compaction", writes::compaction),
        ("bootstrap_snapshot", writes::bootstrap_snapshot),
        ("received_snapshot", writes::received_snapshot),
        ("stale_snapshot", writes::stale_snapshot),
        ("own_snapshot", writes::own_snapshot),
        ("whole_writes", writes::whole_writes),
        ("sync_keeps", durability::sync_keeps),
        ("commit_only_writes", durability::commit_only_writes),
        (
            "overwrites_stay_overwritten",
            durability::overwrites_stay_overwritten,
        ),
        ("snapshots_are_durable", durability::snapshots_are_durable),
        ("unsynced_is_a_prefix", durability::unsynced_is_a_prefix),
        ("reopened_goes_on", durability::reopened_goes_on),
        ("random_histories", |h| random::histories(h, 1..40)),
    ]
}

/// Compares, naming the call.
fn same<T: PartialEq + fmt::Debug>(call: impl fmt::Display, got: &T, want: &T) -> Outcome {
    if got == want {
        return Ok(());
    }
    Err(format!("{call} gave {got:?}, the contract says {want:?}"))
}

/// Compares results: errors by their variant.
fn same_result<T: PartialEq + fmt::Debug>(
    call: impl fmt::Display,
    got: &Result<T, Error>,
    want: &Result<T, Error>,
) -> Outcome {
    match (got, want) {
        (Err(a), Err(b)) if std::mem::discriminant(a) == std::mem::discriminant(b) => Ok(()),
        _ => same(call, got, want),
    }
}

/// Entries from an index on, one a term. Each payload tells where it belongs.
fn entries(first: u64, terms: &[u64]) -> Entries {
    // Counted on from the first: the index behind u64::MAX must not be asked for.
    let index = |n: usize| first + n as u64;
    let entry =
        |(n, term): (usize, &u64)| Entry::new(*term, index(n), format!("{term}/{}", index(n)));
    terms.iter().enumerate().map(entry).collect()
}

fn hard_state(term: u64, vote: u64, commit: u64) -> HardState {
    HardState { term, vote, commit }
}

/// Entries from an index on with the hard state that goes with them.
fn write(first: u64, terms: &[u64], commit: u64) -> Write {
    Write {
        hard_state: terms.last().map(|t| hard_state(*t, 1, commit)),
        entries: entries(first, terms),
        must_sync: true,
        ..Write::default()
    }
}

fn snapshot(index: u64, term: u64, voters: &[u64]) -> Snapshot {
    let mut s = Snapshot {
        data: format!("state at {index}").into(),
        ..Snapshot::default()
    };
    (s.metadata.index, s.metadata.term) = (index, term);
    s.metadata.conf_state.voters = voters.to_vec();
    s
}

/// A snapshot from the leader with the hard state that goes with it.
fn install(s: Snapshot) -> Write {
    Write {
        hard_state: Some(hard_state(s.metadata.term, 0, s.metadata.index)),
        snapshot: Some(s),
        must_sync: true,
        ..Write::default()
    }
}

/// The same entries as configuration changes.
fn conf_changes(e: &Entries) -> Entries {
    e.iter()
        .map(|e| Entry {
            entry_type: Some(EntryType::ConfChangeV2),
            ..e.clone()
        })
        .collect()
}
