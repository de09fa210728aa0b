//! Each rule of the changer, in tables. Go: confchange/confchange.go.

use super::{adopt, changes, tracker};
use crate::confchange::{Changer, Error, check_invariants, describe};
use crate::quorum::{IdSet, MajorityConfig};
use crate::tracker::{Config, ProgressMap, ProgressTracker};

#[test]
fn simple_changes() {
    for (start, ccs, want) in [
        ("", "v1", "voters=(1)"),
        ("v1", "", "voters=(1)"),
        ("v1", "v2", "voters=(1 2)"),
        ("v1 v2", "r1", "voters=(2)"),
        ("v1", "v1 v1 u1 u9", "voters=(1)"),
        ("v1", "r7", "voters=(1)"),
        ("v1", "l2 l3 l4", "voters=(1) learners=(2 3 4)"),
        ("v1 l2 l3", "r2 r3", "voters=(1)"),
        ("v1 l2", "v2", "voters=(1 2)"),
        ("v1 v2", "l2", "voters=(1) learners=(2)"),
        ("v1 v2 l3", "l3 l3 r2", "voters=(1) learners=(3)"),
        ("v1", "v0 r0 l0 u0 v2", "voters=(1 2)"),
        ("v1 v2", "r2 v2", "voters=(1 2)"),
        // Nothing is changed twice, and nothing that is not there is removed.
        ("v2", "r1", "voters=(2)"),
        ("v1 v2", "l1", "voters=(2) learners=(1)"),
        ("v1 v2 l1", "l1", "voters=(2) learners=(1)"),
        ("v1 v2", "u1 u2 u3 u1 u2 u3", "voters=(1 2)"),
        ("v1", "v2 u1", "voters=(1 2)"),
        // Demoted and promoted, and the other way round.
        ("v1 v2 v3", "l1 v1", "voters=(1 2 3)"),
        ("v1 v2 v3", "v2 l2", "voters=(1 3) learners=(2)"),
        ("v1 v3 l2", "v2", "voters=(1 2 3)"),
        // One voter and any number of learners.
        ("v1", "v2 l3", "voters=(1 2) learners=(3)"),
        ("v1 v2 l3", "l2 l3 l4 l5", "voters=(1) learners=(2 3 4 5)"),
        ("v1 l2 l3 l4 l5", "r2 r3 r4 r5", "voters=(1)"),
        // Through more than one voter, but one in the end.
        ("v1", "v2 v3 r3", "voters=(1 2)"),
        ("v1", "v2 l2 v3", "voters=(1 3) learners=(2)"),
    ] {
        let (cfg, trk) = Changer::new(&tracker(start), 10)
            .simple(&changes(ccs))
            .unwrap();
        assert_eq!(cfg.to_string(), want, "{start}, then {ccs}");
        let members: IdSet = cfg.voters.ids().chain(&cfg.learners).collect();
        assert_eq!(trk.ids(), members.as_slice(), "{start}, then {ccs}");
    }
}

#[test]
fn joint_changes_and_what_is_left_of_them() {
    for (start, ccs, joint, left) in [
        ("v1", "", "voters=(1)&&(1)", "voters=(1)"),
        ("v1", "v2 v3", "voters=(1 2 3)&&(1)", "voters=(1 2 3)"),
        (
            "v1",
            "r1 r2 r9 v2 v3 v4 v2 v3 v4 l2 l2 r4 r4 l1 l1",
            "voters=(3)&&(1) learners=(2) learners_next=(1)",
            "voters=(3) learners=(1 2)",
        ),
        (
            "v1",
            "v2 l1",
            "voters=(2)&&(1) learners_next=(1)",
            "voters=(2) learners=(1)",
        ),
        (
            "v1",
            "r1 v2 v3 l4",
            "voters=(2 3)&&(1) learners=(4)",
            "voters=(2 3) learners=(4)",
        ),
        (
            "v1 v2 v3",
            "r1 r2 v4",
            "voters=(3 4)&&(1 2 3)",
            "voters=(3 4)",
        ),
        (
            "v1 v2",
            "l2",
            "voters=(1)&&(1 2) learners_next=(2)",
            "voters=(1) learners=(2)",
        ),
        ("v1 v2", "l2 v2", "voters=(1 2)&&(1 2)", "voters=(1 2)"),
        ("v1 v2", "l2 r2", "voters=(1)&&(1 2)", "voters=(1)"),
        (
            "v1 v2",
            "l2 l2",
            "voters=(1)&&(1 2) learners_next=(2)",
            "voters=(1) learners=(2)",
        ),
        // A learner that votes in neither half does not wait.
        (
            "v1",
            "l2 v3 l3",
            "voters=(1)&&(1) learners=(2 3)",
            "voters=(1) learners=(2 3)",
        ),
        ("v1 l2", "v2 r1", "voters=(2)&&(1)", "voters=(2)"),
        ("v1 l2", "r2 v3", "voters=(1 3)&&(1)", "voters=(1 3)"),
        ("v1", "v0 l0 v2", "voters=(1 2)&&(1)", "voters=(1 2)"),
    ] {
        let mut trk = tracker(start);
        let entered = Changer::new(&trk, 10).enter_joint(false, &changes(ccs));
        adopt(&mut trk, entered).unwrap();
        assert_eq!(trk.config.to_string(), joint, "{start}, then {ccs}");
        let members: IdSet = trk
            .config
            .voters
            .ids()
            .chain(&trk.config.learners)
            .collect();
        assert_eq!(
            trk.progress.ids(),
            members.as_slice(),
            "{start}, then {ccs}"
        );

        let (cfg, prs) = Changer::new(&trk, 10).leave_joint().unwrap();
        assert_eq!(cfg.to_string(), left, "{start}, then {ccs}");
        let members: IdSet = cfg.voters.ids().chain(&cfg.learners).collect();
        assert_eq!(prs.ids(), members.as_slice(), "{start}, then {ccs}");
        for (id, pr) in &prs {
            assert_eq!(
                pr.is_learner,
                cfg.learners.contains(id),
                "{start}, then {ccs}: {id}"
            );
        }
    }
}

#[test]
fn refused_changes() {
    let refused = |trk: &ProgressTracker, op: &str, ccs: &str| {
        let changer = Changer::new(trk, 10);
        let ccs = changes(ccs);
        let result = match op {
            "simple" => changer.simple(&ccs),
            "enter" => changer.enter_joint(false, &ccs),
            _ => changer.leave_joint(),
        };
        result.unwrap_err().to_string()
    };
    let all = "removed all voters";
    let many = "more than one voter changed without entering joint config";
    for (start, op, ccs, want) in [
        ("", "simple", "", all),
        ("", "simple", "l1", all),
        ("", "simple", "v0", all),
        ("", "simple", "v1 v2", many),
        ("v1", "simple", "r1", all),
        ("v1", "simple", "l1", all),
        ("v1", "simple", "v2 v3", many),
        ("v1", "simple", "r1 v2", many),
        ("v1 v2 v3", "simple", "r1 r2", many),
        ("v1 v2", "simple", "l1 v3", many),
        ("v1 v2 l3", "simple", "r1 v5", many),
        ("v1 v2 l3", "simple", "l1 v5", many),
        ("v1 v2 l3", "simple", "v3 v4", many),
        ("v1 v2 l3", "simple", "r1 r2", all),
        ("v1 v2 l3", "simple", "l1 l2", all),
        ("v1 l2", "simple", "r1", all),
        ("", "enter", "", "can't make a zero-voter config joint"),
        ("", "enter", "v1", "can't make a zero-voter config joint"),
        ("v1", "enter", "r1", all),
        ("v1", "enter", "l1", all),
        ("v1", "leave", "", "can't leave a non-joint config"),
        ("", "leave", "", "can't leave a non-joint config"),
    ] {
        assert_eq!(
            refused(&tracker(start), op, ccs),
            want,
            "{start}, {op} {ccs}"
        );
    }

    let mut joint = tracker("v1");
    let entered = Changer::new(&joint, 10).enter_joint(true, &changes("v2"));
    adopt(&mut joint, entered).unwrap();
    for ccs in ["", "v3", "v12"] {
        assert_eq!(refused(&joint, "enter", ccs), "config is already joint");
    }
    assert_eq!(
        refused(&joint, "simple", "v3"),
        "can't apply simple config change in joint config"
    );
    assert_eq!(
        joint.config.to_string(),
        "voters=(1 2)&&(1) autoleave",
        "a refusal changes nothing"
    );
}

#[test]
fn leaving_clears_auto_leave() {
    let mut trk = tracker("v1");
    let entered = Changer::new(&trk, 10).enter_joint(true, &changes("v2"));
    adopt(&mut trk, entered).unwrap();
    assert!(trk.config.auto_leave);
    let (cfg, _) = Changer::new(&trk, 10).leave_joint().unwrap();
    assert!(!cfg.auto_leave);
}

#[test]
fn new_members_are_probed_at_the_end_of_the_log_and_count_as_active() {
    for (last_index, next) in [(0, 1), (1, 1), (20, 20), (u64::MAX, u64::MAX)] {
        let mut trk = ProgressTracker::new(7, 70);
        let changed = Changer::new(&trk, last_index).simple(&changes("v1 l2"));
        adopt(&mut trk, changed).unwrap();
        for (id, pr) in &trk.progress {
            assert_eq!(
                (pr.matched, pr.next, pr.recent_active, pr.is_learner),
                (0, next, true, id == 2)
            );
            assert_eq!((pr.inflights.size(), pr.inflights.max_bytes()), (7, 70));
        }
    }
}

#[test]
fn members_keep_their_progress_through_all_changes() {
    let mut trk = tracker("v1 v2");
    let pr = trk.progress.get_mut(2).unwrap();
    pr.maybe_update(42);
    pr.become_replicate();
    pr.sent_entries(3, 30);
    let step = |trk: &mut ProgressTracker, changed| {
        adopt(trk, changed).unwrap();
        trk.progress.get(2).unwrap().to_string()
    };
    let voter = "StateReplicate match=42 next=46 inflight=1";
    let learner = "StateReplicate match=42 next=46 learner inflight=1";

    let changed = Changer::new(&trk, 50).enter_joint(false, &changes("l2"));
    assert_eq!(step(&mut trk, changed), voter, "votes in the outgoing half");
    let changed = Changer::new(&trk, 50).leave_joint();
    assert_eq!(step(&mut trk, changed), learner);
    let changed = Changer::new(&trk, 50).simple(&changes("v2"));
    assert_eq!(step(&mut trk, changed), voter);
    let changed = Changer::new(&trk, 50).enter_joint(false, &changes("r2 v2"));
    assert_eq!(step(&mut trk, changed), voter);
    let changed = Changer::new(&trk, 50).leave_joint();
    assert_eq!(step(&mut trk, changed), voter);
    let changed = Changer::new(&trk, 50).simple(&changes("r2 v2"));
    assert_eq!(
        step(&mut trk, changed),
        "StateProbe match=0 next=50",
        "removed and added is new"
    );
}

#[test]
fn invariants_name_what_is_wrong() {
    let valid = || {
        let mut trk = tracker("v1 v2 v3 l4");
        let entered = Changer::new(&trk, 10).enter_joint(true, &changes("l3"));
        adopt(&mut trk, entered).unwrap();
        trk
    };
    type Break = fn(&mut Config, &mut ProgressMap);
    let cases: [(Break, &str); 9] = [
        (
            |_, prs| assert!(prs.remove(1).is_some()),
            "no progress for 1",
        ),
        (
            |_, prs| assert!(prs.remove(4).is_some()),
            "no progress for 4",
        ),
        (
            |cfg, _| assert!(cfg.voters.outgoing.remove(3)),
            "3 is in LearnersNext, but not Voters[1]",
        ),
        (
            |_, prs| prs.get_mut(3).unwrap().is_learner = true,
            "3 is in LearnersNext, but is already marked as learner",
        ),
        (
            |cfg, _| assert!(cfg.voters.outgoing.insert(4)),
            "4 is in Learners and Voters[1]",
        ),
        (
            |cfg, _| assert!(cfg.voters.incoming.insert(4)),
            "4 is in Learners and Voters[0]",
        ),
        (
            |_, prs| prs.get_mut(4).unwrap().is_learner = false,
            "4 is in Learners, but is not marked as learner",
        ),
        (
            |cfg, _| cfg.voters.outgoing.clear(),
            "3 is in LearnersNext, but not Voters[1]",
        ),
        (
            |cfg, _| {
                cfg.voters.outgoing.clear();
                cfg.learners_next.clear();
            },
            "AutoLeave must be false when not joint",
        ),
    ];
    assert_eq!(check_invariants(&valid().config, &valid().progress), Ok(()));
    for (break_it, want) in cases {
        let mut trk = valid();
        break_it(&mut trk.config, &mut trk.progress);
        let changer = Changer::new(&trk, 10);
        // The changer refuses to start from it, whatever it is asked.
        for result in [
            changer.simple(&changes("v9")),
            changer.leave_joint(),
            changer.enter_joint(false, &[]),
        ] {
            assert_eq!(result.unwrap_err().to_string(), want);
        }
    }
    assert_eq!(
        Error::LearnersNextWhenNotJoint.to_string(),
        "cfg.LearnersNext must be nil when not joint"
    );
}

#[test]
fn the_tracker_given_is_left_alone() {
    let trk = tracker("v1 v2 l3");
    let before = trk.clone();
    let changer = Changer::new(&trk, 10);
    assert!(changer.simple(&changes("r2 v3 l2")).is_err());
    assert!(changer.enter_joint(true, &changes("r2 v3 l2 v4")).is_ok());
    assert_eq!(trk, before);
    assert_eq!(trk.config.voters.incoming, MajorityConfig::from([1, 2]));
}

#[test]
fn describe_names_types_and_nodes() {
    assert_eq!(describe(&[]), "");
    assert_eq!(
        describe(&changes("v1 l2 r10 u4")),
        "ConfChangeAddNode(1) ConfChangeAddLearnerNode(2) ConfChangeRemoveNode(10) ConfChangeUpdateNode(4)"
    );
}
