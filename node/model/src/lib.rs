//! `node/src/gate.rs`, the file itself, under loom: the interleavings of a few threads, and every value that a load may return by the memory model.
//!
//! `cargo test --release` in this folder; `.ci/run` does it. What one thread brings is stored with `Relaxed`, so that nothing but the gate makes it visible to another.
#![cfg(test)]

#[path = "../../src/gate.rs"]
mod gate;
mod sync;

use gate::{Gate, Visit};
use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use loom::thread::{self, JoinHandle};

/// What callers bring, and what the visitors have seen of it.
struct Node<const N: usize> {
    brought: [AtomicUsize; N],
    gate: Gate<[usize; N]>,
}

impl<const N: usize> Node<N> {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            brought: [(); N].map(|()| AtomicUsize::new(0)),
            gate: Gate::new([0; N]),
        })
    }

    fn bring(&self, caller: usize) {
        self.brought[caller].fetch_add(1, Ordering::Relaxed);
        self.gate.want();
    }

    fn look(&self, seen: &mut [usize; N]) {
        for (seen, brought) in seen.iter_mut().zip(&self.brought) {
            *seen = brought.load(Ordering::Relaxed);
        }
    }

    /// True when something is left to the keeper.
    fn enter(&self) -> bool {
        self.gate.enter(|seen| {
            self.look(seen);
            Visit::Done { blocked: false }
        })
    }
}

/// Every interleaving in which a thread is interrupted at most three times where it could have gone on.
fn model(check: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(check);
}

fn join<T: 'static>(threads: Vec<JoinHandle<T>>) -> Vec<T> {
    let join = |t: JoinHandle<T>| t.join().expect("it does not panic");
    threads.into_iter().map(join).collect()
}

/// Nobody waits for the lock, and yet somebody has looked at everything when all have left.
#[test]
fn what_was_brought_has_been_seen() {
    model(|| {
        let node = Node::<2>::new();
        let caller = {
            let node = Arc::clone(&node);
            thread::spawn(move || {
                node.bring(1);
                assert!(!node.enter());
            })
        };
        node.bring(0);
        assert!(!node.enter());
        join(vec![caller]);
        assert_eq!(*node.gate.lock(), [1; 2]);
    });
}

/// With three threads, each with one thing.
#[test]
fn nobody_s_work_hides_another_s() {
    model(|| {
        let node = Node::<3>::new();
        let caller = |i| {
            let node = Arc::clone(&node);
            thread::spawn(move || {
                node.bring(i);
                assert!(!node.enter());
            })
        };
        let others = vec![caller(1), caller(2)];
        node.bring(0);
        assert!(!node.enter());
        join(others);
        assert_eq!(*node.gate.lock(), [1; 3]);
    });
}

/// Who leaves early says so, and what it leaves the keeper finds.
#[test]
fn what_a_visitor_leaves_is_left_to_the_keeper() {
    model(|| {
        let node = Node::<2>::new();
        let caller = |i: usize| {
            let node = Arc::clone(&node);
            move || {
                node.bring(i);
                // It has looked at nothing yet.
                node.gate.enter(|_| Visit::Unfinished)
            }
        };
        let other = thread::spawn(caller(1));
        let mut left = caller(0)();
        left |= join(vec![other]).remove(0);
        assert!(left, "one of them was inside");
        assert!(!node.enter());
        assert_eq!(*node.gate.lock(), [1; 2]);
    });
}

/// A Ready that a caller makes while there is no room for it: either the keeper waits for room when all is quiet, or it was woken.
#[test]
fn what_waits_for_room_is_watched_or_the_keeper_woken() {
    model(|| {
        let node = Arc::new((AtomicBool::new(false), Gate::new(false)));
        let visit = |(brought, gate): &(AtomicBool, Gate<bool>)| {
            gate.enter(|blocked| {
                *blocked = brought.load(Ordering::Relaxed);
                Visit::Done { blocked: *blocked }
            })
        };
        // It waited for room, and there was some.
        node.1.watch(true);
        let caller = {
            let node = Arc::clone(&node);
            thread::spawn(move || {
                node.0.store(true, Ordering::Relaxed);
                node.1.want();
                visit(&node)
            })
        };
        node.1.watch_no_more();
        let blocked = visit(&node);
        node.1.watch(blocked);
        let woken = join(vec![caller]).remove(0);
        assert!(*node.1.lock(), "somebody has seen it");
        assert!(node.1.watches() || woken);
    });
}

/// After the end every visitor learns of it, so that the keeper ends, too.
#[test]
fn who_comes_after_the_end_tells_the_keeper() {
    model(|| {
        let gate = Arc::new(Gate::new(false));
        let visit = |gate: &Gate<bool>| {
            gate.want();
            gate.enter(|ended| {
                *ended = true;
                Visit::Ended
            })
        };
        let other = {
            let gate = Arc::clone(&gate);
            thread::spawn(move || visit(&gate))
        };
        let here = visit(&gate);
        let there = join(vec![other]).remove(0);
        assert!(*gate.lock() && (here || there));
    });
}
