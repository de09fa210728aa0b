//! The tracker's answers about the whole group. Go: tracker/tracker.go.

use crate::quorum::{IdSet, Index, MajorityConfig, VoteResult};
use crate::rand::Rng;
use crate::tracker::{ProgressMap, ProgressTracker, Tally};
use std::collections::BTreeMap;

/// A tracker with these voters (incoming, outgoing) and learners.
fn tracker(incoming: &[u64], outgoing: &[u64], learners: &[u64]) -> ProgressTracker {
    let mut trk = ProgressTracker::new(8, 100);
    trk.config.voters.incoming = incoming.iter().copied().collect();
    trk.config.voters.outgoing = outgoing.iter().copied().collect();
    trk.config.learners = learners.iter().copied().collect();
    for &id in incoming.iter().chain(outgoing).chain(learners) {
        let mut pr = trk.new_progress(1);
        pr.is_learner = learners.contains(&id);
        trk.progress.insert(id, pr);
    }
    trk
}

#[test]
fn committed_is_the_voters_business() {
    let mut trk = tracker(&[2, 4, 6], &[], &[1, 5]);
    for (id, matched) in [(1, 90), (5, 91), (2, 7), (4, 9), (6, 8)] {
        assert!(trk.progress.get_mut(id).unwrap().maybe_update(matched));
    }
    assert_eq!(trk.committed(), 8);
    trk.config.voters.outgoing = MajorityConfig::from([2]);
    assert_eq!(trk.committed(), 7);
    // A voter without progress counts as one that holds nothing.
    trk.progress.remove(2);
    assert_eq!(trk.committed(), 0);
    assert_eq!(ProgressTracker::new(1, 0).committed(), u64::MAX);
}

#[test]
fn committed_agrees_with_a_look_up_by_map() {
    for seed in 0..2_000 {
        let mut rng = Rng::new(seed, 0);
        let members = 1 + rng.below(30);
        let mut pick = |n: u64| {
            (1..=members)
                .filter(|_| rng.below(n) == 0)
                .collect::<Vec<_>>()
        };
        let (incoming, outgoing, learners) = (pick(2), pick(3), pick(4));
        let mut trk = tracker(&incoming, &outgoing, &learners);
        trk.visit_mut(|id, pr| {
            pr.maybe_update(rng.below(50) + id);
        });
        if rng.flip() {
            trk.progress.remove(1 + rng.below(members));
        }
        let acked: BTreeMap<u64, Index> = trk
            .progress
            .iter()
            .map(|(id, pr)| (id, Index(pr.matched)))
            .collect();
        let want = trk.config.voters.committed_index(&acked);
        assert_eq!(
            Index(trk.committed()),
            want,
            "seed {seed}: {}\n{}",
            trk.config,
            trk.progress
        );
    }
}

#[test]
fn large_groups_know_by_counting_whether_more_is_committed() {
    for seed in 0..500 {
        let mut rng = Rng::new(seed, 0);
        let members: Vec<u64> = (1..=1 + rng.below(15)).collect();
        let (voters, learners): (Vec<u64>, Vec<u64>) =
            members.iter().partition(|_| rng.below(4) > 0);
        let outgoing = if rng.below(4) == 0 {
            &members[..1]
        } else {
            &[]
        };
        let mut trk = tracker(&voters, outgoing, &learners);
        trk.visit_mut(|_, pr| {
            pr.maybe_update(rng.below(6));
        });
        for index in 0..7 {
            let beyond = trk.committed() > index;
            let may = trk.may_commit_beyond(index);
            let what = format!("seed {seed}, {index}: {}\n{}", trk.config, trk.progress);
            assert!(may || !beyond, "{what}");
            let counted = outgoing.is_empty() && voters.len() > 5;
            assert!(!counted || may == beyond, "{what}");
        }
    }
}

#[test]
fn singleton_is_one_voter_in_one_half() {
    assert!(tracker(&[1], &[], &[2, 3]).is_singleton());
    assert!(!tracker(&[1], &[1], &[]).is_singleton());
    assert!(!tracker(&[1, 2], &[], &[]).is_singleton());
    assert!(!tracker(&[], &[], &[]).is_singleton());
}

#[test]
fn quorum_is_active_when_both_halves_were_heard_of() {
    let mut trk = tracker(&[1, 2, 3], &[3, 4, 5], &[6]);
    assert!(!trk.quorum_active());
    for (id, want) in [(6, false), (1, false), (4, false), (3, true)] {
        trk.progress.get_mut(id).unwrap().recent_active = true;
        assert_eq!(trk.quorum_active(), want, "after {id}");
    }
    trk.progress.get_mut(3).unwrap().is_learner = true;
    assert!(!trk.quorum_active(), "a learner's activity does not count");
    assert!(tracker(&[], &[], &[]).quorum_active());
}

#[test]
fn votes_count_once_and_only_those_of_voters() {
    let mut trk = tracker(&[1, 2, 3], &[], &[4]);
    for (id, granted) in [(1, true), (4, true), (9, true), (2, false), (2, true)] {
        trk.record_vote(id, granted);
    }
    assert_eq!(
        trk.tally_votes(),
        Tally {
            granted: 1,
            rejected: 1,
            result: VoteResult::Pending
        }
    );
    trk.record_vote(3, false);
    assert_eq!(
        trk.tally_votes(),
        Tally {
            granted: 1,
            rejected: 2,
            result: VoteResult::Lost
        }
    );
    assert!(
        trk.votes
            .iter()
            .eq([(1, true), (2, false), (3, false), (4, true), (9, true)])
    );

    // Votes are not added up over terms.
    trk.reset_votes();
    assert_eq!(
        trk.tally_votes(),
        Tally {
            granted: 0,
            rejected: 0,
            result: VoteResult::Pending
        }
    );
    trk.record_vote(3, true);
    trk.record_vote(2, true);
    assert_eq!(
        trk.tally_votes(),
        Tally {
            granted: 2,
            rejected: 0,
            result: VoteResult::Won
        }
    );
}

#[test]
fn nodes_and_conf_state_are_in_order() {
    let mut trk = tracker(&[30, 10], &[20, 10], &[5, 4]);
    trk.config.learners_next = IdSet::from([20]);
    trk.config.auto_leave = true;
    assert_eq!(trk.voter_nodes(), [10, 20, 30]);
    assert_eq!(trk.learner_nodes(), [4, 5]);
    let cs = trk.conf_state();
    assert_eq!(
        (&cs.voters[..], &cs.voters_outgoing[..]),
        (&[10, 30][..], &[10, 20][..])
    );
    assert_eq!(
        (&cs.learners[..], &cs.learners_next[..]),
        (&[4, 5][..], &[20][..])
    );
    assert!(cs.auto_leave);
    assert_eq!(
        trk.config.to_string(),
        "voters=(a 1e)&&(a 14) learners=(4 5) learners_next=(14) autoleave"
    );

    let mut seen = Vec::new();
    trk.visit(|id, pr| seen.push((id, pr.is_learner)));
    assert_eq!(
        seen,
        [(4, true), (5, true), (10, false), (20, false), (30, false)]
    );
}

#[test]
fn a_clone_of_the_config_keeps_auto_leave() {
    let mut trk = tracker(&[1], &[1], &[]);
    trk.config.auto_leave = true;
    assert_eq!(trk.config.clone().to_string(), "voters=(1)&&(1) autoleave");
}

#[test]
fn progress_map_behaves_as_a_tree() {
    for seed in 0..100 {
        let mut rng = Rng::new(seed, 0);
        let trk = ProgressTracker::new(1, 0);
        let (mut map, mut model) = (ProgressMap::new(), BTreeMap::new());
        // Both sides of the size up to which look-ups scan.
        let ids = 1 + rng.below(20);
        for step in 0..200 {
            let at = format!("seed {seed}, step {step}");
            let id = rng.below(ids);
            if rng.below(3) == 0 {
                assert_eq!(map.remove(id), model.remove(&id), "{at}");
            } else {
                let pr = trk.new_progress(step + 1);
                assert_eq!(map.insert(id, pr.clone()), model.insert(id, pr), "{at}");
            }
            assert_eq!(
                (map.len(), map.is_empty()),
                (model.len(), model.is_empty()),
                "{at}"
            );
            assert!(
                map.iter().eq(model.iter().map(|(&id, pr)| (id, pr))),
                "{at}"
            );
            assert!(
                map.iter_mut()
                    .eq(model.iter_mut().map(|(&id, pr)| (id, pr))),
                "{at}"
            );
            for id in 0..=ids {
                assert_eq!(map.get(id), model.get(&id), "{at}");
                assert_eq!(map.get_mut(id), model.get_mut(&id), "{at}");
                assert_eq!(map.contains(id), model.contains_key(&id), "{at}");
                let place = map.position(id);
                assert_eq!(
                    place.and_then(|at| map.get_index(at)),
                    model.get(&id).map(|pr| (id, pr)),
                    "{at}"
                );
            }
            assert!(map.get_index(map.len()).is_none() && map.get_index_mut(map.len()).is_none());
        }
        map.clear();
        assert_eq!(map, ProgressMap::new());
    }
}
