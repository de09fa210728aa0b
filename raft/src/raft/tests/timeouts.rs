//! Election timeouts are random (Raft paper §5.2), so that votes are rarely split.

use super::{Core, config, disk, node, node_with, sent};
use crate::Config;
use std::collections::BTreeSet;

const TIMEOUT: u32 = 10;

/// Follows anew, or campaigns anew, in the next term.
fn start_over(r: &mut Core, campaigns: bool) {
    if campaigns {
        r.become_candidate();
    } else {
        r.become_follower(r.term + 1, 0);
    }
    sent(r);
}

/// After an election timeout the chance grows by a tenth each tick, up to certainty after two.
#[test]
fn the_chance_to_campaign_grows_with_time() {
    for (elapsed, tenths) in [(5, 0), (10, 1), (13, 4), (15, 6), (18, 9), (20, 10)] {
        let mut r = node(&[1]);
        r.election_elapsed = elapsed;
        let past = |r: &mut Core| {
            r.reset_randomized_election_timeout();
            r.past_election_timeout()
        };
        let times = (0..10_000).filter(|_| past(&mut r)).count();
        assert_eq!(
            (times + 500) / 1000,
            tenths,
            "{times} times after {elapsed}"
        );
        // The ends are sharp.
        assert!(times == 0 || tenths > 0);
        assert!(times == 10_000 || tenths < 10);
    }
}

/// Each number of ticks from one timeout to just below two comes about, and no other.
#[test]
fn all_timeouts_come_about() {
    for campaigns in [false, true] {
        let mut r = node(&[1, 2, 3]);
        let mut seen = BTreeSet::new();
        for _ in 0..50 * TIMEOUT {
            start_over(&mut r, campaigns);
            let mut ticks = 0;
            while sent(&mut r).is_empty() {
                r.tick().unwrap();
                ticks += 1;
            }
            seen.insert(ticks);
        }
        assert!(seen.into_iter().eq(TIMEOUT..2 * TIMEOUT), "{campaigns}");
    }
}

/// In at least seven of ten rounds one of five nodes is first.
#[test]
fn mostly_one_node_is_first() {
    for campaigns in [false, true] {
        let mut nodes = [1, 2, 3, 4, 5].map(|id| {
            let c = Config { id, ..config() };
            node_with(c, disk(&[1, 2, 3, 4, 5], &[]))
        });
        let mut shared = 0;
        for _ in 0..1000 {
            for r in &mut nodes {
                start_over(r, campaigns);
            }
            let mut first = 0;
            while first == 0 {
                for r in &mut nodes {
                    r.tick().unwrap();
                    first += usize::from(!sent(r).is_empty());
                }
            }
            shared += usize::from(first > 1);
        }
        assert!(shared <= 300, "{shared} of 1000");
    }
}
