//! The options that a script's nodes are made with. Go: (none)

use super::list;
use crate::SplitMix64;
use std::fmt::Write;

/// What the nodes of a script have in common, but for those that joined later or were made with a command of their own.
pub(super) struct Options {
    pub(super) asynchronous: bool,
    pub(super) text: String,
}

impl Options {
    pub(super) fn draw(rng: &mut SplitMix64) -> Self {
        let asynchronous = rng.chance(400);
        let mut text = String::new();
        if asynchronous {
            text.push_str(" async-storage-writes=true");
        }
        let lease = rng.chance(120);
        for (per_mille, option) in [
            (350, " prevote=true"),
            (if lease { 1000 } else { 350 }, " checkquorum=true"),
            (200, " step-down-on-removal=true"),
            (40, " disable-conf-change-validation=true"),
            (80, " disable-proposal-forwarding=true"),
        ] {
            if rng.chance(per_mille) {
                text.push_str(option);
            }
        }
        if lease {
            text.push_str(" read-only=lease-based");
        }
        limits(rng, &mut text);
        if rng.chance(150) {
            let heartbeat = 1 + rng.below(3);
            // Writing to a String cannot fail.
            let _ = write!(
                text,
                " election-tick={} heartbeat-tick={heartbeat}",
                heartbeat + 1 + rng.below(5)
            );
        }
        Self { asynchronous, text }
    }
}

/// Limits so low that a few entries reach them.
fn limits(rng: &mut SplitMix64, text: &mut String) {
    let mut limit = |per_mille: u64, name: &str, low: u64, range: u64| {
        if !rng.chance(per_mille) {
            return None;
        }
        let value = low + rng.below(range);
        let _ = write!(text, " {name}={value}");
        Some(value)
    };
    limit(250, "inflight", 1, 4);
    limit(200, "max-uncommitted-size", 10, 150);
    let size = limit(250, "max-size-per-msg", 0, 80);
    // Where both are 0, a node of etcd's applies nothing.
    let committed = if size == Some(0) { 1000 } else { 250 };
    limit(committed, "max-committed-size-per-ready", 1, 80);
    // The bytes in flight must not be fewer than those of a message.
    if let Some(size) = size {
        limit(500, "max-inflight-bytes", size.max(1), 100);
    }
}

/// Who is in the group when it starts: nodes 1 to the first number vote, those to the second learn, the others are not in it.
pub(super) fn membership(rng: &mut SplitMix64, nodes: u64) -> (u64, String) {
    let outside = u64::from(nodes > 2 && rng.chance(150));
    let learners = if nodes > 2 && rng.chance(300) {
        1 + rng.below(nodes / 2)
    } else {
        0
    };
    let voters = nodes - outside - learners.min(nodes - 1 - outside);
    let ids = |from: u64, to: u64| list(&(from..=to).collect::<Vec<_>>());
    let mut text = format!(" voters={}", ids(1, voters));
    if nodes - outside > voters {
        let _ = write!(text, " learners={}", ids(voters + 1, nodes - outside));
    }
    (voters, text)
}
