//! Readers on threads of their own while one writes.

use super::{hard_state, snapshot};
use crate::{Error, Storage, Write, Writer};
use raftpb::{Entries, Entry};
use std::sync::atomic::{AtomicBool, Ordering};

/// Reads a shared storage from two threads while a third writes, overwrites, compacts and installs `rounds` times. For storages whose
/// handles are cloned.
///
/// # Panics
/// A reader saw what no single call leaves behind: bounds out of order or going back, entries that do not follow each other, a term that falls.
///
/// ```
/// use tickraft_storage::testing::shared_between_threads;
/// # use tickraft_storage::{*, raftpb::*, testing::Model};
/// # use std::sync::{Arc, Mutex};
/// # #[derive(Clone, Default)]
/// # struct MyStorage(Arc<Mutex<Model>>);
/// # impl Storage for MyStorage {
/// #     fn initial_state(&self) -> Result<(HardState, ConfState), Error> { self.0.lock().unwrap().initial_state() }
/// #     fn entries(&self, a: u64, b: u64, m: u64) -> Result<Entries, Error> { self.0.lock().unwrap().entries(a, b, m) }
/// #     fn term(&self, i: u64) -> Result<u64, Error> { self.0.lock().unwrap().term(i) }
/// #     fn first_index(&self) -> Result<u64, Error> { self.0.lock().unwrap().first_index() }
/// #     fn last_index(&self) -> Result<u64, Error> { self.0.lock().unwrap().last_index() }
/// #     fn snapshot(&self) -> Result<Snapshot, Error> { self.0.lock().unwrap().snapshot() }
/// # }
/// # impl Writer for MyStorage {
/// #     fn append(&mut self, w: &Write) -> Result<(), Error> { self.0.lock().unwrap().append(w) }
/// #     fn sync(&mut self) -> Result<(), Error> { Ok(()) }
/// #     fn save_snapshot(&mut self, s: &Snapshot) -> Result<(), Error> { self.0.lock().unwrap().save_snapshot(s) }
/// #     fn compact(&mut self, i: u64) -> Result<(), Error> { self.0.lock().unwrap().compact(i) }
/// # }
/// shared_between_threads(MyStorage::default(), 100);
/// ```
pub fn shared_between_threads<S: Storage + Writer + Clone + Send>(mut s: S, rounds: u64) {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let reader = s.clone();
            let done = &done;
            scope.spawn(move || {
                let mut first = 0;
                // At least once, however fast the writer is.
                loop {
                    let stop = done.load(Ordering::Acquire);
                    first = read(&reader, first);
                    if stop {
                        return;
                    }
                }
            });
        }
        // A panic here must not leave the readers running.
        let wrote = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            (1..=rounds).for_each(|round| write(&mut s, round));
        }));
        done.store(true, Ordering::Release);
        if let Err(e) = wrote {
            std::panic::resume_unwind(e);
        }
    });
}

/// A round of writing: the term is the round, and the commit follows a round behind.
fn write<S: Storage + Writer>(s: &mut S, round: u64) {
    let take = |r: Result<(), Error>| assert_eq!(r, Ok(()), "round {round}");
    let (first, last) = (s.first_index().unwrap_or(0), s.last_index().unwrap_or(0));
    let commit = last.saturating_sub(3).max(first - 1);
    let at = commit + 1;
    // More than the commit stays behind the last index, so that it only rises.
    let n = 4 + round * 7 % 23;
    take(s.append(&Write {
        entries: (at..at + n).map(|i| Entry::new(round, i, "x")).collect(),
        hard_state: Some(hard_state(round, round, commit)),
        ..Write::default()
    }));
    if round.is_multiple_of(10) && commit >= first {
        let term = s.term(commit).unwrap_or(0);
        take(s.save_snapshot(&snapshot(commit, term, &[commit])));
        take(s.compact(commit));
    }
    if round.is_multiple_of(37) {
        let index = at + n + 5;
        take(s.append(&Write {
            snapshot: Some(snapshot(index, round, &[index])),
            hard_state: Some(hard_state(round, round, index)),
            ..Write::default()
        }));
    }
}

/// Reads all there is; `before` is the highest first index seen so far. Returns the new one.
fn read(s: &impl Storage, before: u64) -> u64 {
    let first = s.first_index().unwrap_or(0);
    assert!(
        first >= before,
        "the first index went from {before} to {first}"
    );
    let last = s.last_index().unwrap_or(0);
    assert!(last + 1 >= first, "first {first}, then last {last}");
    let passing = |e: Error| assert!(matches!(e, Error::Compacted | Error::Unavailable), "{e}");
    let check = |e: Entries| {
        assert!(e.iter().zip(first..).all(|(e, i)| e.index == i), "{e:?}");
        let pairs = e.iter().zip(e.iter().skip(1));
        assert!(pairs.into_iter().all(|(a, b)| a.term <= b.term), "{e:?}");
    };
    let _ = s.entries(first, last + 1, 4000).map(check).map_err(passing);
    let _ = s.term(last).map_err(passing);
    if let Ok((hs, _)) = s.initial_state() {
        assert_eq!(hs.term, hs.vote, "half of a hard state");
    }
    if let Ok(s) = s.snapshot() {
        let sum: u64 = s.metadata.conf_state.voters.iter().sum();
        assert_eq!(sum, s.metadata.index, "half of a snapshot");
    }
    first
}
