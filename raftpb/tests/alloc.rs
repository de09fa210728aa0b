//! No length is believed before it is checked: what a short frame claims is never allocated.
#![allow(clippy::unwrap_used)]
// A counting allocator cannot be written without unsafe; this one only forwards.
#![allow(unsafe_code)]

mod common;

use common::{claims, delimited};
use prost::Message as _;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use tickraft_raftpb::*;

struct Counting;

thread_local! {
    static BYTES: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: forwards to the system allocator, whose contract it thereby keeps; counting touches only a thread-local number.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        BYTES.set(BYTES.get().saturating_add(layout.size()));
        // SAFETY: the caller's duties are passed on unchanged.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How many bytes this thread allocates in a call.
fn allocated<T>(f: impl FnOnce() -> T) -> (usize, T) {
    let before = BYTES.get();
    let t = f();
    (BYTES.get() - before, t)
}

#[test]
fn the_counter_counts() {
    let (n, v) = allocated(|| vec![0u8; 5000]);
    assert!(n >= v.len());
}

#[test]
fn absurd_lengths_are_refused_before_anything_is_allocated() {
    fn check<T: prost::Message + Default + std::fmt::Debug>(what: &str, wire: &[u8]) {
        let (n, got) = allocated(|| T::decode(wire).is_err());
        assert!(got, "{what}");
        assert!(n < 4096, "{what}: {n} bytes for {} on the wire", wire.len());
    }
    for len in [
        11,
        1 << 20,
        1 << 31,
        u64::from(u32::MAX),
        1 << 40,
        1 << 63,
        u64::MAX,
    ] {
        for tag in [7, 9, 12, 14] {
            check::<Message>("a field of a message", &claims(tag, len));
        }
        check::<Message>("an entry's data", &delimited(7, &claims(4, len)));
        check::<Message>("a response's entries", &delimited(14, &claims(7, len)));
        check::<Message>("a snapshot's data", &delimited(9, &claims(1, len)));
        check::<Message>("an unknown field", &claims(30, len));
        for tag in 1..=4 {
            check::<ConfState>("packed ids", &claims(tag, len));
        }
        check::<ConfChangeV2>("changes", &claims(2, len));
        check::<ConfChange>("a context", &claims(4, len));
        check::<Entry>("data", &claims(4, len));
    }
}

/// The most that a frame can make of itself is an entry for every two bytes.
#[test]
fn memory_is_bounded_by_the_frame() {
    let wire = bytes::Bytes::from([0x3a, 0x00].repeat(10_000));
    let (n, m) = allocated(|| Message::decode(wire.clone()));
    assert_eq!(m.unwrap().entries.len(), 10_000);
    assert!(n <= 10_000 * size_of::<Entry>() + 1024, "{n}");
}

/// Entries are decoded with one allocation, and their data with none.
#[test]
fn payloads_are_not_copied() {
    let entries: Entries = (0..256).map(|i| Entry::new(1, i, vec![0; 4096])).collect();
    let m = Message {
        entries,
        ..Message::new(MessageType::MsgApp)
    };
    let wire = bytes::Bytes::from(m.encode_to_vec());
    let (n, got) = allocated(|| Message::decode(wire.clone()).unwrap());
    assert_eq!(got, m);
    assert!(n <= 256 * size_of::<Entry>() + 1024, "{n}");
}
