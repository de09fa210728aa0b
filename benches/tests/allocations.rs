//! Allocations a proposal, counted: they must not creep up unseen.
// A counting allocator cannot be written without unsafe; this one only forwards.
#![allow(unsafe_code, clippy::unwrap_used)]

use benches::replication::{Mode, Setup, prepare};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: forwards to the system allocator, whose contract it thereby keeps; counting touches only a thread-local number.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: the caller's duties are passed on unchanged.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: as above.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations and reallocations a proposal, beyond the payload's own.
#[allow(clippy::cast_precision_loss)]
fn allocations(setup: Setup) -> f64 {
    const PROPOSALS: u64 = 5_120;
    let (mut cluster, timed) = prepare(setup, PROPOSALS / 10, PROPOSALS);
    let before = COUNT.get();
    cluster.replicate(timed);
    let n = COUNT.get() - before;
    cluster.check(PROPOSALS / 10 + PROPOSALS);
    n as f64 / PROPOSALS as f64
}

#[test]
fn the_counter_counts() {
    let before = COUNT.get();
    drop(std::hint::black_box(Box::new(7)));
    assert_eq!(COUNT.get() - before, 1);
}

#[test]
fn a_proposal_allocates_little() {
    let mut over = Vec::new();
    for (mode, batch, bound) in [
        (Mode::Single, 1, 1.2),
        (Mode::Single, 16, 0.2),
        (Mode::Single, 256, 0.2),
        (Mode::AppendBatching, 1, 1.2),
        (Mode::AppendBatching, 16, 0.2),
        (Mode::AppendBatching, 256, 0.2),
        (Mode::Multi, 1, 1.2),
        (Mode::Multi, 16, 0.2),
        (Mode::Multi, 256, 0.2),
    ] {
        let n = allocations(Setup {
            mode,
            batch,
            ..Setup::default()
        });
        println!("{mode}, batch {batch}: {n:.3} allocations a proposal, at most {bound}");
        if n > bound {
            over.push(format!("{mode}, batch {batch}: {n:.3} > {bound}"));
        }
    }
    assert!(over.is_empty(), "{}", over.join("; "));
}
