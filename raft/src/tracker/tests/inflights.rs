//! The window against a plain list. Go: tracker/inflights_test.go.

use crate::rand::Rng;
use crate::tracker::{Inflights, WindowFull};

#[test]
fn window_behaves_as_a_plain_list() {
    for seed in 0..300 {
        let mut rng = Rng::new(seed, 0);
        let (size, max_bytes) = (rng.size(9), [0, 300, 1000][rng.size(3)]);
        let mut window = Inflights::new(size, max_bytes);
        let mut model: Vec<(u64, u64)> = Vec::new();
        let mut index = 0;
        for step in 0..200 {
            let at = format!("seed {seed}, step {step}: size {size}, {max_bytes} bytes, {model:?}");
            let bytes: u64 = model.iter().map(|m| m.1).sum();
            let full = model.len() >= size || (max_bytes > 0 && bytes >= max_bytes);
            assert_eq!(
                (window.full(), window.count(), window.bytes()),
                (full, model.len(), bytes),
                "{at}"
            );
            match rng.below(20) {
                0 => {
                    window.reset();
                    model.clear();
                }
                1..=12 => {
                    index += 1 + rng.below(3);
                    let bytes = rng.below(200);
                    let added = window.add(index, bytes);
                    assert_eq!(added, if full { Err(WindowFull) } else { Ok(()) }, "{at}");
                    if !full {
                        model.push((index, bytes));
                    }
                }
                _ => {
                    // Below, in and beyond the window.
                    let to = (index + 2).saturating_sub(rng.below(20));
                    window.free_le(to);
                    model.retain(|m| m.0 > to);
                }
            }
            window.check_invariants().unwrap();
        }
    }
}

/// Number, bytes and the indexes that are out, from the first to the last.
fn contents(window: &Inflights) -> (usize, u64, Vec<u64>) {
    let mut rest = window.clone();
    let mut indexes = Vec::new();
    for index in 0..100 {
        let before = rest.count();
        rest.free_le(index);
        indexes.extend((rest.count() < before).then_some(index));
    }
    (window.count(), window.bytes(), indexes)
}

/// A window of ten, filled in two halves, from its beginning and when it has moved on by five.
#[test]
fn what_is_sent_fills_the_window() {
    for moved in [0, 5] {
        let mut window = Inflights::new(10, 0);
        for index in 0..moved {
            window.add(index, 1).unwrap();
            window.free_le(index);
        }
        let mut add = |indexes: std::ops::Range<u64>| {
            indexes.for_each(|i| window.add(i, 100 + i).unwrap());
            contents(&window)
        };
        assert_eq!(add(0..5), (5, 510, (0..5).collect()));
        assert_eq!(add(5..10), (10, 1045, (0..10).collect()));
    }
}

/// What is acknowledged goes, from the front, also when the window has come round.
#[test]
fn what_is_acknowledged_leaves_the_window() {
    let mut window = Inflights::new(10, 0);
    (0..10).for_each(|i| window.add(i, 100 + i).unwrap());
    for (to, count, bytes) in [(0, 9, 945), (4, 5, 535), (8, 1, 109)] {
        window.free_le(to);
        assert_eq!(contents(&window), (count, bytes, (to + 1..10).collect()));
    }
    (10..15).for_each(|i| window.add(i, 100 + i).unwrap());
    window.free_le(12);
    assert_eq!(contents(&window), (2, 227, vec![13, 14]));
    window.free_le(14);
    assert_eq!(contents(&window), (0, 0, vec![]));
}

#[test]
fn window_is_full_by_number_or_by_bytes() {
    // Messages 0, 1, 2 … of 100, 101, 102 … bytes: after how many is it full, and after how many once up to `free` is freed.
    let cases = [
        (0, 0, 0, 0, 0),
        (1, 0, 1, 1, 2),
        (1, 10, 1, 1, 2),
        (12, 0, 12, 3, 16),
        (15, 0, 15, 6, 22),
        (9, 500, 5, 2, 8),
        // A little over the bytes, exactly as many, and well over.
        (8, 400, 4, 2, 7),
        (8, 406, 4, 3, 8),
        (15, 408, 5, 1, 6),
    ];
    for (size, max_bytes, full_at, free, again_at) in cases {
        let mut window = Inflights::new(size, max_bytes);
        let mut next = 0;
        let mut fill = |window: &mut Inflights| {
            while window.add(next, 100 + next).is_ok() {
                next += 1;
            }
            next
        };
        assert_eq!(fill(&mut window), full_at, "size {size}, {max_bytes} bytes");
        window.free_le(free);
        assert_eq!(
            fill(&mut window),
            again_at,
            "size {size}, {max_bytes} bytes"
        );
        assert_eq!(window.add(100, 1024), Err(WindowFull));
        assert_eq!(WindowFull.to_string(), "cannot add into a Full inflights");
    }
}

#[test]
fn bytes_do_not_leak_over_resets() {
    let mut window = Inflights::new(10, 1000);
    let mut index = 0;
    for _ in 0..1_000 {
        window.reset();
        for _ in 0..5 {
            assert!(!window.full());
            index += 1;
            window.add(index, 16).unwrap();
        }
        window.free_le(index - 2);
        assert!(!window.full());
        assert_eq!((window.count(), window.bytes()), (2, 32));
    }
    window.free_le(index);
    assert_eq!(window, Inflights::new(10, 1000));
}

#[test]
fn bytes_beyond_64_bits_come_out_even() {
    let mut window = Inflights::new(8, 0);
    window.add(1, u64::MAX).unwrap();
    window.add(2, u64::MAX).unwrap();
    window.free_le(1);
    assert_eq!(window.bytes(), u64::MAX);
    window.free_le(u64::MAX);
    assert_eq!((window.count(), window.bytes()), (0, 0));
}

#[test]
fn clone_is_independent() {
    let mut window = Inflights::new(3, 0);
    window.add(1, 10).unwrap();
    let copy = window.clone();
    window.free_le(1);
    assert_eq!((window.count(), copy.count(), copy.bytes()), (0, 1, 10));
}
