//! How roles change.

use super::{StateType, node};
use StateType::{Candidate, Follower, Leader, PreCandidate};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Every pair of roles: whether one may become the other, and the term and leader then. What may not be no caller does; debug builds say so.
#[test]
fn each_role_may_become_some_others() {
    for (from, to, want) in [
        (Follower, Follower, Some((1, 0))),
        (Follower, PreCandidate, Some((0, 0))),
        (Follower, Candidate, Some((1, 0))),
        (Follower, Leader, None),
        (PreCandidate, Follower, Some((0, 0))),
        (PreCandidate, PreCandidate, Some((0, 0))),
        (PreCandidate, Candidate, Some((1, 0))),
        (PreCandidate, Leader, Some((0, 1))),
        (Candidate, Follower, Some((0, 0))),
        (Candidate, PreCandidate, Some((0, 0))),
        (Candidate, Candidate, Some((1, 0))),
        (Candidate, Leader, Some((0, 1))),
        (Leader, Follower, Some((1, 0))),
        (Leader, PreCandidate, None),
        (Leader, Candidate, None),
        (Leader, Leader, Some((0, 1))),
    ] {
        let mut r = node(&[1]);
        r.state = from;
        let mut become_it = || match to {
            Follower => r.become_follower(want.map_or(0, |w| w.0), 0),
            PreCandidate => r.become_pre_candidate(),
            Candidate => r.become_candidate(),
            Leader => r.become_leader(),
        };
        let Some(want) = want else {
            let done = catch_unwind(AssertUnwindSafe(become_it));
            assert_eq!(done.is_err(), cfg!(debug_assertions), "{from} to {to}");
            continue;
        };
        become_it();
        assert_eq!((r.term, r.lead), want, "{from} to {to}");
        assert_eq!(r.state, to);
    }
}
