//! What is stored comes back. Go: confchange/restore_test.go.

use super::{Changed, Rng, adopt};
use crate::confchange::{Changer, Error, restore};
use crate::raftpb::{ConfChangeSingle, ConfChangeType, ConfState};
use crate::tracker::ProgressTracker;

/// A valid ConfState, each list in no order.
fn random_conf_state(rng: &mut Rng) -> ConfState {
    let (voters, learners, removed) = (1 + rng.size(5), rng.size(5), rng.size(3));
    let all = voters + learners + removed;
    let mut ids: Vec<u64> = (1..=2 * u64::try_from(all).unwrap()).collect();
    rng.shuffle(&mut ids);
    let mut take = |n: usize| ids.drain(..n).collect::<Vec<_>>();
    let mut cs = ConfState {
        voters: take(voters),
        learners: take(learners),
        ..ConfState::default()
    };
    // The outgoing half has some of the voters and some that are no voters any more, of which some become learners.
    let removed = take(removed);
    let kept = rng.size(voters + 1);
    cs.voters_outgoing = cs
        .voters
        .iter()
        .take(kept)
        .chain(&removed)
        .copied()
        .collect();
    rng.shuffle(&mut cs.voters_outgoing);
    cs.learners_next = removed
        .iter()
        .take(rng.size(removed.len() + 1))
        .copied()
        .collect();
    cs.auto_leave = !cs.voters_outgoing.is_empty() && rng.flip();
    cs
}

fn restored(cs: &ConfState) -> Result<ProgressTracker, Error> {
    let mut trk = ProgressTracker::new(20, 0);
    let changed = restore(&Changer::new(&trk, 10), cs);
    adopt(&mut trk, changed)?;
    Ok(trk)
}

fn conf_state(lists: [&[u64]; 4], auto_leave: bool) -> ConfState {
    let [voters, learners, voters_outgoing, learners_next] = lists.map(<[u64]>::to_vec);
    ConfState {
        voters,
        learners,
        voters_outgoing,
        learners_next,
        auto_leave,
    }
}

#[test]
fn valid_conf_states_come_back() {
    let mut all = vec![
        ConfState::default(),
        conf_state([&[3, 1, 2], &[], &[], &[]], false),
        conf_state([&[1, 2, 3], &[6, 5, 4], &[], &[]], false),
        conf_state([&[1, 2, 3], &[5], &[1, 2, 4, 6], &[4]], true),
        conf_state([&[1, 2, 3], &[5], &[1, 2, 4, 6], &[4]], false),
        conf_state([&[u64::MAX], &[1], &[u64::MAX], &[]], false),
    ];
    all.extend((0..3_000).map(|seed| random_conf_state(&mut Rng::new(seed, 0))));
    let (mut joint, mut waiting) = (0, 0);
    for (i, cs) in all.iter().enumerate() {
        let trk = restored(cs).unwrap();
        assert_eq!(
            trk.conf_state().equivalent(cs),
            Ok(()),
            "case {i} (seed {})",
            i.wrapping_sub(6)
        );
        assert!(
            trk.conf_state().voters.is_sorted() && trk.conf_state().voters_outgoing.is_sorted()
        );
        joint += usize::from(!cs.voters_outgoing.is_empty());
        waiting += usize::from(!cs.learners_next.is_empty());
    }
    assert!(joint > 500 && waiting > 500, "{joint} {waiting}");
}

#[test]
fn a_snapshot_in_a_joint_configuration_keeps_its_outgoing_voters() {
    let trk = restored(&conf_state([&[1], &[], &[2, 3], &[]], false)).unwrap();
    assert_eq!(trk.config.to_string(), "voters=(1)&&(2 3)");
    assert_eq!(trk.progress.ids(), [1, 2, 3]);
}

#[test]
fn conf_states_that_cannot_be_are_refused_or_lead_elsewhere() {
    for (cs, want) in [
        (
            conf_state([&[], &[1], &[], &[]], false),
            Err(Error::RemovedAllVoters),
        ),
        (
            conf_state([&[], &[], &[1], &[]], false),
            Err(Error::RemovedAllVoters),
        ),
        (
            conf_state([&[0], &[], &[], &[]], false),
            Err(Error::RemovedAllVoters),
        ),
        (
            conf_state([&[1], &[], &[0], &[]], false),
            Err(Error::RemovedAllVoters),
        ),
        (
            conf_state([&[1], &[1], &[], &[]], false),
            Err(Error::RemovedAllVoters),
        ),
        (
            conf_state([&[1, 1], &[], &[], &[]], false),
            Ok("voters=(1)"),
        ),
        (
            conf_state([&[1, 2], &[2], &[], &[]], false),
            Ok("voters=(1) learners=(2)"),
        ),
        (
            conf_state([&[1], &[], &[], &[2]], false),
            Ok("voters=(1) learners=(2)"),
        ),
        (conf_state([&[1], &[], &[], &[]], true), Ok("voters=(1)")),
        (
            conf_state([&[1], &[2], &[1, 2], &[]], false),
            Ok("voters=(1)&&(1 2) learners_next=(2)"),
        ),
    ] {
        let trk = restored(&cs);
        let got = trk.as_ref().map(|trk| trk.config.to_string());
        assert_eq!(got, want.as_ref().map(ToString::to_string), "{cs:?}");
        if let Ok(trk) = trk {
            assert!(trk.conf_state().equivalent(&cs).is_err(), "{cs:?}");
        }
    }
}

/// Go's way: every change on a copy of the last configuration.
fn restored_by_copies(cs: &ConfState) -> Result<ProgressTracker, Error> {
    let each = |change_type, ids: &[u64]| -> Vec<_> {
        ids.iter()
            .map(|&node_id| ConfChangeSingle {
                change_type,
                node_id,
            })
            .collect()
    };
    let mut rest = each(ConfChangeType::RemoveNode, &cs.voters_outgoing);
    rest.extend(each(ConfChangeType::AddNode, &cs.voters));
    rest.extend(each(ConfChangeType::AddLearnerNode, &cs.learners));
    rest.extend(each(ConfChangeType::AddLearnerNode, &cs.learners_next));
    let outgoing = each(ConfChangeType::AddNode, &cs.voters_outgoing);
    let simple = if outgoing.is_empty() {
        &rest
    } else {
        &outgoing
    };

    let mut trk = ProgressTracker::new(20, 0);
    for cc in simple {
        let changed: Changed = Changer::new(&trk, 10).simple(&[*cc]);
        adopt(&mut trk, changed)?;
    }
    if !outgoing.is_empty() {
        let entered = Changer::new(&trk, 10).enter_joint(cs.auto_leave, &rest);
        adopt(&mut trk, entered)?;
    }
    Ok(trk)
}

#[test]
fn any_lists_give_what_the_changes_one_by_one_give() {
    let (mut kept, mut refused) = (0, 0);
    for seed in 0..5_000 {
        let mut rng = Rng::new(seed, 0);
        let mut ids = || -> Vec<u64> {
            let n = rng.size(4);
            std::iter::repeat_with(|| rng.below(6)).take(n).collect()
        };
        let (a, b, c, d) = (ids(), ids(), ids(), ids());
        let cs = conf_state([&a, &b, &c, &d], rng.flip());
        let (got, want) = (restored(&cs), restored_by_copies(&cs));
        assert_eq!(got, want, "seed {seed}: {cs:?}");
        *(if got.is_ok() { &mut kept } else { &mut refused }) += 1;
    }
    assert!(kept > 500 && refused > 500, "{kept} {refused}");
}
