//! Random walks through configurations: both ways lead to the same place, and no step is unsafe. Go: confchange/quick_test.go.

use super::{adopt, random_changes, tracker};
use crate::confchange::{Changer, Error, check_invariants, describe};
use crate::quorum::{JointConfig, VoteResult};
use crate::raftpb::{ConfChangeSingle, ConfChangeType};
use crate::rand::Rng;
use crate::tracker::ProgressTracker;

fn one_by_one(trk: &mut ProgressTracker, ccs: &[ConfChangeSingle]) -> Result<(), Error> {
    ccs.iter().try_for_each(|cc| {
        let changed = Changer::new(trk, 10).simple(&[*cc]);
        adopt(trk, changed)
    })
}

/// Entered to be left by itself, and to be left on demand: but for that both are the same, joint and left.
fn through_a_joint_one(trk: &mut ProgressTracker, ccs: &[ConfChangeSingle]) -> Result<(), Error> {
    let mut by_itself = trk.clone();
    let entered = Changer::new(trk, 10).enter_joint(true, ccs);
    adopt(&mut by_itself, entered)?;
    let entered = Changer::new(trk, 10).enter_joint(false, ccs);
    adopt(trk, entered)?;
    assert!(by_itself.config.auto_leave && !trk.config.auto_leave);
    let mut joint = by_itself.clone();
    joint.config.auto_leave = false;
    assert_eq!(joint, *trk);

    let left = Changer::new(&by_itself, 10).leave_joint();
    adopt(&mut by_itself, left)?;
    let left = Changer::new(trk, 10).leave_joint();
    adopt(trk, left)?;
    assert_eq!(by_itself, *trk);
    Ok(())
}

#[test]
fn simple_and_joint_changes_lead_to_the_same_configuration() {
    for seed in 0..3_000 {
        let mut rng = Rng::new(seed, 0);
        // Node 1 is a voter that no change touches, so there is always one.
        let mut setup = random_changes(&mut rng, 5, 1);
        setup
            .iter_mut()
            .for_each(|cc| cc.change_type = ConfChangeType::AddNode);
        let ccs = random_changes(&mut rng, 9, 2);
        let at = format!("seed {seed}: {}, then {}", describe(&setup), describe(&ccs));

        let mut simple = tracker("v1");
        one_by_one(&mut simple, &setup).unwrap();
        let mut joint = simple.clone();
        one_by_one(&mut simple, &ccs).unwrap();
        through_a_joint_one(&mut joint, &ccs).unwrap();
        assert_eq!(simple, joint, "{at}");
    }
}

/// Whether two sets of nodes without a common one could decide, one in each configuration. Nodes are 0..=8.
fn can_part(a: &JointConfig, b: &JointConfig) -> bool {
    let wins = |voters: &JointConfig, set: u32| {
        voters.vote_result(|id| Some(set >> id & 1 == 1)) == VoteResult::Won
    };
    (0..1_u32 << 9).any(|set| wins(a, set) && wins(b, !set))
}

#[test]
fn no_step_lets_two_configurations_decide_apart() {
    let mut seen = (0, 0, 0);
    for seed in 0..150 {
        let mut rng = Rng::new(seed, 0);
        let mut trk = tracker("v1");
        for step in 0..20 {
            let ccs = random_changes(&mut rng, 4, 0);
            let changer = Changer::new(&trk, 10);
            let changed = match rng.below(3) {
                0 => changer.simple(&ccs).inspect(|_| seen.0 += 1),
                1 => changer
                    .enter_joint(rng.flip(), &ccs)
                    .inspect(|_| seen.1 += 1),
                _ => changer.leave_joint().inspect(|_| seen.2 += 1),
            };
            let Ok((cfg, prs)) = changed else { continue };
            let at = format!("seed {seed}, step {step}: from {} to {cfg}", trk.config);
            assert_eq!(check_invariants(&cfg, &prs), Ok(()), "{at}");
            assert!(!can_part(&trk.config.voters, &cfg.voters), "{at}");
            (trk.config, trk.progress) = (cfg, prs);
        }
    }
    assert!(
        seen.0 > 100 && seen.1 > 100 && seen.2 > 100,
        "each way was taken: {seen:?}"
    );
}

#[test]
fn the_check_for_parting_sees_what_is_unsafe() {
    let voters = |text: &str| tracker(text).config.voters;
    assert!(!can_part(&voters("v1 v2 v3"), &voters("v1 v2 v3 v4")));
    assert!(can_part(&voters("v1 v2 v3"), &voters("v1 v2 v3 v4 v5")));
}
