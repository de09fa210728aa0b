//! Each transition of a progress. Go: tracker/progress_test.go.

use crate::rand::Rng;
use crate::tracker::{Inflights, Progress, ProgressMap, StateType};
use StateType::{Probe, Replicate, Snapshot};

fn progress(state: StateType, matched: u64, next: u64) -> Progress {
    let mut pr = Progress::new(next, Inflights::new(4, 0));
    (pr.state, pr.matched) = (state, matched);
    pr
}

#[test]
fn text_is_gos() {
    let mut pr = progress(Snapshot, 7, 8);
    pr.pending_snapshot = 20;
    pr.is_learner = true;
    pr.inflights = Inflights::new(1, 0);
    pr.inflights.add(9, 1).unwrap();
    let all =
        "StateSnapshot match=7 next=8 learner paused pendingSnap=20 inactive inflight=1[full]";
    assert_eq!(pr.to_string(), all);

    let mut pr = progress(Snapshot, 1, 2);
    (pr.pending_snapshot, pr.is_learner, pr.msg_app_flow_paused) = (123, true, true);
    pr.inflights = Inflights::new(1, 0);
    pr.inflights.add(123, 1).unwrap();
    let flags = "learner paused pendingSnap=123 inactive inflight=1[full]";
    assert_eq!(
        pr.to_string(),
        format!("StateSnapshot match=1 next=2 {flags}")
    );

    let mut pr = progress(Replicate, 7, 9);
    pr.recent_active = true;
    assert_eq!(pr.to_string(), "StateReplicate match=7 next=9");
    pr.sent_entries(1, 1);
    assert_eq!(pr.to_string(), "StateReplicate match=7 next=10 inflight=1");

    assert_eq!(ProgressMap::new().to_string(), "");
    let map = ProgressMap::from_iter([(17, progress(Probe, 0, 1)), (2, pr)]);
    assert_eq!(
        map.to_string(),
        "2: StateReplicate match=7 next=10 inflight=1\n17: StateProbe match=0 next=1 inactive\n"
    );
}

#[test]
fn paused_by_flag_or_by_snapshot() {
    for (state, flag, want) in [
        (Probe, false, false),
        (Probe, true, true),
        (Replicate, false, false),
        (Replicate, true, true),
        (Snapshot, false, true),
        (Snapshot, true, true),
    ] {
        let mut pr = progress(state, 0, 1);
        pr.msg_app_flow_paused = flag;
        assert_eq!(pr.is_paused(), want, "{state} {flag}");
    }
}

#[test]
fn become_probe_starts_behind_match_or_behind_the_snapshot() {
    // state, match, next, pending snapshot, sent commit; then next and sent commit.
    for (state, matched, next, pending, sent, want_next, want_sent) in [
        (Replicate, 1, 5, 0, 4, 2, 1),
        (Snapshot, 1, 5, 10, 0, 11, 0),
        (Snapshot, 1, 5, 0, 0, 2, 0),
        (Replicate, 3, 9, 0, 8, 4, 3),
        (Replicate, 3, 9, 0, 2, 4, 2),
        (Probe, 3, 9, 0, 8, 4, 3),
        (Snapshot, 3, 21, 20, 20, 21, 20),  // it arrived
        (Snapshot, 3, 21, 0, 20, 4, 3),     // it did not
        (Snapshot, 30, 31, 20, 20, 31, 20), // something newer arrived
    ] {
        let mut pr = progress(state, matched, next);
        (pr.pending_snapshot, pr.msg_app_flow_paused) = (pending, true);
        pr.sent_commit(sent);
        pr.become_probe();
        let mut want = progress(Probe, matched, want_next);
        want.sent_commit(want_sent);
        assert_eq!(pr, want, "{state} {matched} {next} {pending} {sent}");
    }
}

#[test]
fn become_replicate_starts_behind_match_and_keeps_the_sent_commit() {
    for state in [Probe, Replicate, Snapshot] {
        let mut pr = progress(state, 3, 9);
        (pr.pending_snapshot, pr.msg_app_flow_paused) = (8, true);
        pr.sent_commit(8);
        pr.become_replicate();
        let mut want = progress(Replicate, 3, 4);
        want.sent_commit(8);
        assert_eq!(pr, want, "{state}");
    }
}

#[test]
fn become_snapshot_empties_the_window_and_waits() {
    let mut pr = progress(Probe, 1, 5);
    pr.become_snapshot(10);
    assert_eq!(
        (pr.state, pr.matched, pr.pending_snapshot),
        (Snapshot, 1, 10)
    );
    let mut pr = progress(Replicate, 3, 4);
    pr.sent_entries(2, 20);
    pr.become_snapshot(10);
    let mut want = progress(Snapshot, 3, 11);
    want.pending_snapshot = 10;
    want.sent_commit(10);
    assert_eq!(pr, want);
    assert!(pr.is_paused());
}

#[test]
fn a_snapshot_below_match_keeps_next_above_it() {
    let mut pr = progress(Replicate, 12, 13);
    pr.become_snapshot(10);
    assert_eq!((pr.next, pr.pending_snapshot), (13, 10));
    pr.become_probe();
    assert_eq!(pr.next, 13);
}

#[test]
fn sent_entries_fills_the_window_and_then_pauses() {
    let mut pr = progress(Replicate, 3, 4);
    pr.inflights = Inflights::new(2, 0);
    pr.sent_entries(0, 0);
    assert_eq!(
        (pr.next, pr.inflights.count(), pr.is_paused()),
        (4, 0, false)
    );
    pr.sent_entries(5, 50);
    assert_eq!(
        (pr.next, pr.inflights.count(), pr.is_paused()),
        (9, 1, false)
    );
    pr.sent_entries(1, 10);
    assert_eq!(
        (pr.next, pr.inflights.count(), pr.is_paused()),
        (10, 2, true)
    );
    // After a heartbeat's answer one empty append goes out, and the flow pauses again.
    pr.msg_app_flow_paused = false;
    pr.sent_entries(0, 0);
    assert!(pr.is_paused());
    // The first message ended at 8.
    pr.inflights.free_le(7);
    assert!(pr.inflights.full());
    pr.inflights.free_le(8);
    pr.sent_entries(0, 0);
    assert_eq!((pr.inflights.count(), pr.is_paused()), (1, false));
}

#[test]
fn sent_entries_pauses_a_probe_unless_it_was_empty() {
    let mut pr = progress(Probe, 3, 8);
    pr.sent_entries(0, 0);
    assert!(!pr.is_paused());
    pr.sent_entries(1, 10);
    assert!(pr.is_paused());
    assert_eq!(
        (pr.next, pr.inflights.count()),
        (8, 0),
        "next moves only when the probe is answered"
    );
}

#[test]
#[cfg_attr(
    debug_assertions,
    should_panic(expected = "sending append in unhandled state StateSnapshot")
)]
fn sent_entries_awaiting_a_snapshot_is_a_bug_and_changes_nothing() {
    let mut pr = progress(Snapshot, 3, 8);
    let before = pr.clone();
    pr.sent_entries(1, 10);
    assert_eq!(pr, before);
}

#[test]
#[cfg_attr(
    debug_assertions,
    should_panic(expected = "cannot add into a Full inflights")
)]
fn sent_entries_into_a_full_window_is_a_bug_and_pauses() {
    let mut pr = progress(Replicate, 3, 4);
    pr.inflights = Inflights::new(1, 0);
    pr.sent_entries(1, 10);
    pr.sent_entries(1, 10);
    assert_eq!(
        (pr.next, pr.inflights.count(), pr.is_paused()),
        (6, 1, true)
    );
}

#[test]
fn can_bump_commit_until_all_that_was_sent_is_covered() {
    let mut pr = progress(Replicate, 3, 9);
    for (sent, index, want) in [
        (0, 1, true),
        (5, 5, false),
        (5, 6, true),
        (7, 20, true),
        (8, 20, false),
        (9, 20, false),
    ] {
        pr.sent_commit(sent);
        assert_eq!(
            pr.can_bump_commit(index),
            want,
            "sent {sent}, commit {index}"
        );
    }
}

#[test]
fn maybe_update_moves_match_up_and_next_along() {
    // From match 3: below, at, above, and as far as what was sent.
    for (index, want, matched, next) in [
        (2, false, 3, 5),
        (3, false, 3, 5),
        (4, true, 4, 5),
        (5, true, 5, 6),
    ] {
        let mut pr = progress(Probe, 3, 5);
        assert_eq!(pr.maybe_update(index), want, "{index}");
        assert_eq!((pr.matched, pr.next), (matched, next), "{index}");
    }
    for (index, want, matched, next) in [
        (2, false, 3, 6),
        (3, false, 3, 6),
        (4, true, 4, 6),
        (5, true, 5, 6),
        (6, true, 6, 7),
        (u64::MAX, false, 3, 6),
    ] {
        let mut pr = progress(Probe, 3, 6);
        pr.msg_app_flow_paused = true;
        assert_eq!(pr.maybe_update(index), want, "{index}");
        assert_eq!((pr.matched, pr.next), (matched, next), "{index}");
        assert_eq!(
            pr.msg_app_flow_paused, !want,
            "an acknowledgement frees the flow: {index}"
        );
    }
}

/// A refusal and an acknowledgement both free the flow.
#[test]
fn an_answer_frees_the_flow() {
    let mut pr = progress(Probe, 0, 2);
    pr.msg_app_flow_paused = true;
    assert!(pr.maybe_decr_to(1, 1));
    assert!(!pr.msg_app_flow_paused);
    pr.msg_app_flow_paused = true;
    assert!(pr.maybe_update(2));
    assert!(!pr.msg_app_flow_paused);
}

#[test]
fn maybe_decr_to_believes_only_fresh_rejections() {
    // state, match, next, rejected, hint; then whether it was fresh, and next.
    for (state, matched, next, rejected, hint, want, want_next) in [
        (Replicate, 5, 10, 5, 5, false, 10), // at match
        (Replicate, 5, 10, 4, 4, false, 10), // below match
        (Replicate, 5, 10, 9, 9, true, 6),
        (Replicate, 5, 10, 7, 0, true, 6), // the hint is not used
        (Probe, 0, 10, 5, 5, false, 10),   // not the last probe
        (Probe, 0, 10, 10, 5, false, 10),
        (Probe, 0, 10, 9, 9, true, 9),  // no help: one back
        (Probe, 0, 10, 9, 2, true, 3),  // behind the hint
        (Probe, 4, 10, 9, 2, true, 5),  // never below match
        (Probe, 0, 10, 9, 20, true, 9), // a hint beyond the probe
        (Probe, 0, 10, 9, 0, true, 1),
        (Probe, 0, 2, 1, 1, true, 1),
        (Probe, 0, 1, 0, 0, true, 1), // never below 1
        (Probe, 4, 10, 9, u64::MAX, true, 5),
        (Snapshot, 4, 10, 9, 6, true, 7),
    ] {
        let mut pr = progress(state, matched, next);
        pr.msg_app_flow_paused = true;
        pr.sent_commit(9);
        assert_eq!(
            pr.maybe_decr_to(rejected, hint),
            want,
            "{state} {matched} {next} {rejected} {hint}"
        );
        let mut expected = progress(state, matched, want_next);
        // Out of StateReplicate the flow is freed by the change of state that follows.
        expected.msg_app_flow_paused = !want || state == Replicate;
        expected.sent_commit(if want { want_next - 1 } else { 9 });
        assert_eq!(pr, expected, "{state} {matched} {next} {rejected} {hint}");
    }
}

#[test]
fn reset_keeps_the_limits_and_the_learner() {
    let mut pr = progress(Snapshot, 3, 8);
    (pr.is_learner, pr.recent_active, pr.pending_snapshot) = (true, true, 7);
    pr.sent_commit(5);
    pr.inflights = Inflights::new(2, 50);
    pr.inflights.add(1, 1).unwrap();
    pr.reset(12);
    let mut want = Progress::new(12, Inflights::new(2, 50));
    want.is_learner = true;
    assert_eq!(pr, want);
    assert_eq!(Progress::new(0, Inflights::new(1, 0)).next, 1);
}

#[test]
fn invariants_hold_for_any_calls_with_any_numbers() {
    const WILD: [u64; 6] = [0, 1, 5, u64::MAX / 2, u64::MAX - 1, u64::MAX];
    for seed in 0..2_000 {
        let mut rng = Rng::new(seed, 0);
        let mut pr = Progress::new(
            rng.below(10),
            Inflights::new(rng.size(4), rng.below(3) * 20),
        );
        for step in 0..60 {
            let index = if rng.below(8) == 0 {
                WILD[rng.size(6)]
            } else {
                rng.below(20)
            };
            match rng.below(8) {
                0 => pr.become_probe(),
                1 => pr.become_replicate(),
                2 => pr.become_snapshot(index),
                3 if pr.state != Snapshot && !pr.inflights.full() => {
                    pr.sent_entries(rng.size(4), rng.below(30))
                }
                4 => {
                    let old = pr.clone();
                    // What the core does with an acknowledgement.
                    if pr.maybe_update(index) {
                        pr.inflights.free_le(index);
                    } else {
                        assert_eq!(pr, old, "seed {seed}, step {step}");
                    }
                }
                5 => {
                    let old = pr.clone();
                    if !pr.maybe_decr_to(index, rng.below(20)) {
                        assert_eq!(pr, old, "seed {seed}, step {step}");
                    } else if pr.state == Replicate {
                        pr.become_probe();
                    }
                }
                6 => pr.sent_commit(index),
                _ => pr.reset(index),
            }
            assert_eq!(
                pr.check_invariants(),
                Ok(()),
                "seed {seed}, step {step}: {pr}"
            );
        }
    }
}

#[test]
fn invariants_notice_what_is_wrong() {
    assert!(progress(Probe, 5, 5).check_invariants().is_err());
    let mut pr = progress(Probe, 5, 6);
    pr.pending_snapshot = 1;
    assert!(pr.check_invariants().is_err());
    let mut pr = progress(Probe, 5, 6);
    pr.inflights.add(6, 1).unwrap();
    assert!(pr.check_invariants().is_err());
    pr.state = Replicate;
    assert_eq!(pr.check_invariants(), Ok(()));
    pr.inflights.add(5, 1).unwrap();
    assert!(pr.check_invariants().is_err(), "indexes must ascend");
}

#[test]
fn an_idle_progress_is_small() {
    assert!(size_of::<Progress>() <= 96, "{}", size_of::<Progress>());
}
