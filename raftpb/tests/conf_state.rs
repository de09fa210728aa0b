//! When two configurations are the same. Go: raftpb/confstate_test.go
#![allow(clippy::unwrap_used)]

use tickraft_raftpb::ConfState;

fn conf(
    voters: &[u64],
    learners: &[u64],
    outgoing: &[u64],
    next: &[u64],
    auto_leave: bool,
) -> ConfState {
    ConfState {
        voters: voters.to_vec(),
        learners: learners.to_vec(),
        voters_outgoing: outgoing.to_vec(),
        learners_next: next.to_vec(),
        auto_leave,
    }
}

/// Go: TestConfState_Equivalent
#[test]
fn equivalence() {
    let joint = conf(&[1, 2, 3], &[5, 4], &[1, 6], &[6], true);
    for (a, b, equal) in [
        (conf(&[], &[], &[], &[], false), ConfState::default(), true),
        // Any order of any list.
        (
            conf(&[1, 2, 3], &[5, 4, 6], &[9, 8, 7], &[10, 20, 15], false),
            conf(&[1, 2, 3], &[4, 5, 6], &[7, 9, 8], &[20, 10, 15], false),
            true,
        ),
        (
            conf(&[1, 2, 3, 4], &[], &[], &[], false),
            conf(&[2, 1, 3], &[], &[], &[], false),
            false,
        ),
        (
            conf(&[1, 4, 3], &[], &[], &[], false),
            conf(&[2, 1, 3], &[], &[], &[], false),
            false,
        ),
        (conf(&[], &[], &[], &[], true), ConfState::default(), false),
        (
            conf(&[1, 2, 3], &[], &[], &[], false),
            conf(&[2, 1, 3], &[], &[], &[], false),
            true,
        ),
        (
            joint.clone(),
            conf(&[3, 1, 2], &[4, 5], &[6, 1], &[6], true),
            true,
        ),
        // A node more, less, twice, or in another place.
        (
            conf(&[1, 2], &[], &[], &[], false),
            conf(&[1, 2, 3], &[], &[], &[], false),
            false,
        ),
        (
            conf(&[1, 2], &[], &[], &[], false),
            conf(&[1, 2, 2], &[], &[], &[], false),
            false,
        ),
        (
            conf(&[1], &[2], &[], &[], false),
            conf(&[1, 2], &[], &[], &[], false),
            false,
        ),
        (
            conf(&[1], &[], &[2], &[], false),
            conf(&[1], &[2], &[], &[], false),
            false,
        ),
        (
            conf(&[1], &[], &[], &[2], false),
            conf(&[1], &[2], &[], &[], false),
            false,
        ),
        (
            joint.clone(),
            conf(&[1, 2, 3], &[5, 4], &[1, 6], &[6], false),
            false,
        ),
        (
            joint.clone(),
            conf(&[1, 2, 3], &[5, 4], &[1, 7], &[6], true),
            false,
        ),
    ] {
        assert_eq!(a.equivalent(&b).is_ok(), equal, "{a:?} {b:?}");
        assert_eq!(b.equivalent(&a).is_ok(), equal, "{b:?} {a:?}");
    }
}

#[test]
fn a_mismatch_shows_both_sorted() {
    let e = conf(&[2, 1], &[], &[], &[], false)
        .equivalent(&ConfState::default())
        .unwrap_err();
    assert_eq!(e.0.voters, [1, 2]);
    let text = e.to_string();
    assert!(
        text.starts_with("ConfStates not equivalent after sorting:\n"),
        "{text}"
    );
    assert_eq!(text.lines().count(), 3);
}

#[test]
fn empty_is_without_any_node() {
    assert!(conf(&[], &[], &[], &[], true).is_empty());
    for i in 0..4 {
        let mut lists = [&[][..]; 4];
        lists[i] = &[1];
        assert!(!conf(lists[0], lists[1], lists[2], lists[3], false).is_empty());
    }
}
