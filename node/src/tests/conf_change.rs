//! Changing who is in the group. Go: node_test.go (TestNodeProposeAddDuplicateNode, TestNodeProposeAddLearnerNode)

use super::*;
use crate::{Accepted, Error};
use rawnode::raft::{DropReason, RefuseReason};
use rawnode::raftpb::{
    ConfChange, ConfChangeI, ConfChangeType, ConfChangeV2, EntryType, conf_changes_from_string,
    marshal_conf_change,
};

fn change(change_type: ConfChangeType, node_id: u64) -> ConfChange {
    ConfChange {
        change_type,
        node_id,
        ..ConfChange::default()
    }
}

/// Proposes a change and waits until it is applied.
fn apply(app: &Application, cc: &dyn ConfChangeI) -> Entry {
    app.node.propose_conf_change(cc).unwrap().wait().unwrap();
    app.next()
}

/// Go: TestNodeProposeAddDuplicateNode
#[test]
fn adding_a_member_twice_does_no_harm() {
    let (n, s) = leader();
    let app = Application::alone(&n, &s);
    for id in [1, 1, 2] {
        let cc = change(ConfChangeType::AddNode, id);
        let e = apply(&app, &cc);
        assert_eq!(e.get_type(), EntryType::ConfChange);
        assert_eq!(e.data, marshal_conf_change(Some(&cc)).1);
    }
    assert_eq!(n.status().unwrap().config.conf_state(), conf(&[1, 2], &[]));
}

/// Go: TestNodeProposeAddLearnerNode
#[test]
fn a_learner_is_no_voter() {
    let (n, s) = leader();
    let add = change(ConfChangeType::AddLearnerNode, 2);
    let ticket = n.propose_conf_change(&add).unwrap();
    assert_eq!(ticket.wait(), Ok(Accepted::Appended { term: 1, index: 2 }));
    while handle(&n, &s).is_empty() {}
    assert_eq!(n.apply_conf_change(&add), Ok(conf(&[1], &[2])));
}

/// Go's proposer never learns that its change was replaced by an empty entry.
#[test]
fn a_refused_change_says_so() {
    let (n, _s) = leader();
    let add = change(ConfChangeType::AddNode, 2);
    let (a, b) = (
        n.propose_conf_change(&add).unwrap(),
        n.propose_conf_change(&add).unwrap(),
    );
    assert_eq!(a.wait(), Ok(Accepted::Appended { term: 1, index: 2 }));
    let reason = RefuseReason::PendingConfChange {
        index: 2,
        applied: 1,
    };
    assert_eq!(b.wait(), Err(Error::Refused { index: 3, reason }));
}

#[test]
fn a_change_keeps_its_place_among_proposals() {
    let s = storage(&[1]);
    let n = spawn(config(1), s.clone());
    let add = ConfChangeV2 {
        changes: conf_changes_from_string("l2").unwrap(),
        ..ConfChangeV2::default()
    };
    let tickets = [
        n.propose("a".into()).unwrap(),
        n.propose("b".into()).unwrap(),
        n.propose_conf_change(&add).unwrap(),
        n.propose("c".into()).unwrap(),
    ];
    n.campaign().unwrap();
    let _app = Application::alone(&n, &s);
    for (index, ticket) in (2..).zip(tickets) {
        assert_eq!(ticket.wait(), Ok(Accepted::Appended { term: 1, index }));
    }
}

/// Go: the confc arm of run
#[test]
fn a_removed_node_takes_no_proposals() {
    let (n, s) = leader();
    let app = Application::alone(&n, &s);
    // Node 2 takes over so that one may leave.
    let swap = ConfChangeV2 {
        changes: conf_changes_from_string("v2 r1").unwrap(),
        ..ConfChangeV2::default()
    };
    apply(&app, &swap);
    let joint = n.status().unwrap().config.conf_state();
    assert_eq!(
        (&joint.voters[..], &joint.voters_outgoing[..]),
        (&[2][..], &[1][..])
    );
    assert!(n.propose("still a member".into()).unwrap().wait().is_ok());
    // Node 2 would commit the leaving; here it is applied by hand.
    assert_eq!(
        n.apply_conf_change(&ConfChangeV2::default()),
        Ok(conf(&[2], &[]))
    );
    let late = n.propose("too late".into()).unwrap().wait();
    assert_eq!(late, Err(Error::ProposalDropped(DropReason::NotMember)));
}

#[test]
fn a_change_that_cannot_be_is_an_error() {
    let (n, _s) = leader();
    let e = n.apply_conf_change(&change(ConfChangeType::RemoveNode, 1));
    assert!(
        matches!(e, Err(Error::Raft(rawnode::raft::Error::ConfChange(_)))),
        "{e:?}"
    );
    assert!(n.ended().is_none());
    assert!(n.propose("x".into()).unwrap().wait().is_ok());
}
