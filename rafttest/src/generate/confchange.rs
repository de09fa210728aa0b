//! Random sequences of changes of a membership. Go: (none)

use super::{list, some_ids};
use crate::SplitMix64;
use std::fmt::Write;

const HIGHEST: u64 = 7;

pub(super) fn script(seed: u64) -> String {
    let mut rng = SplitMix64::new(seed);
    let mut out = format!("# seed {seed}\n");
    let mut command = |text: &str| {
        // Writing to a String cannot fail.
        let _ = write!(out, "\n{text}\n----\n");
    };
    // Simple changes from nothing to a voter, or what was stored.
    if rng.chance(500) {
        command("simple\nv1");
    } else {
        command(&restore(&mut rng));
    }
    for _ in 0..25 {
        command(&change(&mut rng));
    }
    out
}

fn change(rng: &mut SplitMix64) -> String {
    match rng.below(100) {
        0..=34 => {
            let count = *rng.pick(&[0, 1, 1, 1, 1, 2]).unwrap_or(&1);
            format!("simple{}", changes(rng, count))
        }
        35..=64 => {
            let auto_leave = *rng
                .pick(&["", " autoleave=true", " autoleave=false"])
                .unwrap_or(&"");
            let count = rng.below(5);
            format!("enter-joint{auto_leave}{}", changes(rng, count))
        }
        65..=94 => "leave-joint".to_owned(),
        _ => restore(rng),
    }
}

/// Each of the kinds a changer knows; node 0 is none.
fn changes(rng: &mut SplitMix64, count: u64) -> String {
    let text: Vec<String> = (0..count)
        .map(|_| {
            let kind = *rng
                .pick(&['v', 'v', 'v', 'l', 'l', 'r', 'r', 'u'])
                .unwrap_or(&'v');
            let id = if rng.chance(30) {
                0
            } else {
                1 + rng.below(HIGHEST)
            };
            format!("{kind}{id}")
        })
        .collect();
    if text.is_empty() {
        String::new()
    } else {
        format!("\n{}", text.join(" "))
    }
}

/// A stored configuration: mostly one that changes lead to, else anything.
fn restore(rng: &mut SplitMix64) -> String {
    let voters = some_ids(rng, HIGHEST, 500);
    let outgoing = if rng.chance(500) {
        some_ids(rng, HIGHEST, 500)
    } else {
        Vec::new()
    };
    let mut learners = some_ids(rng, HIGHEST, 300);
    let mut next = some_ids(rng, HIGHEST, 300);
    if rng.chance(850) {
        learners.retain(|id| !voters.contains(id) && !outgoing.contains(id));
        next.retain(|id| outgoing.contains(id) && !voters.contains(id));
    }
    let mut text = "restore".to_owned();
    for (name, ids) in [
        ("voters", voters),
        ("outgoing", outgoing),
        ("learners", learners),
        ("learners-next", next),
    ] {
        if !ids.is_empty() {
            let _ = write!(text, " {name}={}", list(&ids));
        }
    }
    if rng.chance(400) {
        text.push_str(" autoleave=true");
    }
    text
}
