//! Changing who is in the group. Go: rawnode_test.go (TestRawNodeProposeAndConfChange and its kin)

use super::*;
use raft::raftpb::{
    ConfChange, ConfChangeI, ConfChangeTransition, ConfChangeType, ConfChangeV2, EntryType,
    MessageType, conf_changes_from_string, marshal_conf_change,
};
use raft::{Outcome, RefuseReason};

fn v1(change_type: ConfChangeType, node_id: u64) -> ConfChange {
    ConfChange {
        change_type,
        node_id,
        ..ConfChange::default()
    }
}

fn v2(transition: ConfChangeTransition, changes: &str) -> ConfChangeV2 {
    ConfChangeV2 {
        transition,
        changes: conf_changes_from_string(changes).unwrap(),
        ..ConfChangeV2::default()
    }
}

/// Handles Readies until a configuration change is applied; returns what it led to.
fn until_applied(n: &mut RawNode<MemoryStorage>, s: &MemoryStorage) -> ConfState {
    for _ in 0..10 {
        let Some(rd) = n.ready().unwrap() else { break };
        Writer::append(&mut s.clone(), rd.write()).unwrap();
        let p = rd.persisted();
        let mut cs = None;
        for e in p.committed_entries() {
            if let Some(cc) = unmarshal_conf_change(e).unwrap() {
                cs = Some(n.apply_conf_change(&cc).unwrap());
            }
        }
        n.advance(p).unwrap();
        if let Some(cs) = cs {
            return cs;
        }
    }
    panic!("no configuration change came");
}

/// Simple and joint changes, what they lead to, and how the joint ones are left. Go: TestRawNodeProposeAndConfChange
#[test]
fn changes_lead_where_they_should() {
    use ConfChangeTransition::{Auto, JointExplicit, JointImplicit};
    let joint = |incoming: &[u64], outgoing: &[u64], learners: &[u64], next: &[u64], auto_leave| {
        ConfState {
            voters: incoming.to_vec(),
            voters_outgoing: outgoing.to_vec(),
            learners: learners.to_vec(),
            learners_next: next.to_vec(),
            auto_leave,
        }
    };
    let swap = "v2 l1 l3";
    /// What it is, the change, where it leads, and where leaving leads if that is joint.
    type Case = (
        &'static str,
        Box<dyn ConfChangeI>,
        ConfState,
        Option<ConfState>,
    );
    let cases: Vec<Case> = vec![
        (
            "add",
            Box::new(v1(ConfChangeType::AddNode, 2)),
            conf(&[1, 2], &[]),
            None,
        ),
        (
            "add, v2",
            Box::new(v2(Auto, "v2")),
            conf(&[1, 2], &[]),
            None,
        ),
        (
            "add learner",
            Box::new(v2(Auto, "l2")),
            conf(&[1], &[2]),
            None,
        ),
        (
            "add learner, explicitly joint",
            Box::new(v2(JointExplicit, "l2")),
            joint(&[1], &[1], &[2], &[], false),
            Some(conf(&[1], &[2])),
        ),
        (
            "add learner, implicitly joint",
            Box::new(v2(JointImplicit, "l2")),
            joint(&[1], &[1], &[2], &[], true),
            Some(conf(&[1], &[2])),
        ),
        (
            "replace",
            Box::new(v2(Auto, swap)),
            joint(&[2], &[1], &[3], &[1], true),
            Some(conf(&[2], &[1, 3])),
        ),
        (
            "replace, explicitly joint",
            Box::new(v2(JointExplicit, swap)),
            joint(&[2], &[1], &[3], &[1], false),
            Some(conf(&[2], &[1, 3])),
        ),
        (
            "replace, implicitly joint",
            Box::new(v2(JointImplicit, swap)),
            joint(&[2], &[1], &[3], &[1], true),
            Some(conf(&[2], &[1, 3])),
        ),
    ];
    for (what, cc, entered, left) in cases {
        let (mut n, s) = leader();
        n.propose("somedata".into()).unwrap();
        let appended = Outcome::Appended { term: 1, index: 3 };
        assert_eq!(n.propose_conf_change(&*cc), Ok(appended), "{what}");
        assert_eq!(until_applied(&mut n, &s), entered, "{what}");
        // Appended as proposed, to the byte.
        let written = s.entries(2, 4, NO_LIMIT).unwrap();
        let (entry_type, bytes) = marshal_conf_change(Some(&*cc));
        assert_eq!(data(&written.slice(0..1)), ["somedata"]);
        let change = written.get(1).unwrap();
        assert_eq!(
            (change.get_type(), &change.data),
            (entry_type, &bytes),
            "{what}"
        );
        leave(&mut n, &s, &entered, left.as_ref(), what);
    }
}

/// The entry that leaves a joint configuration comes by itself or on demand, and no other does.
fn leave(
    n: &mut RawNode<MemoryStorage>,
    s: &MemoryStorage,
    entered: &ConfState,
    left: Option<&ConfState>,
    what: &str,
) {
    let mut context = "";
    if !entered.auto_leave {
        while let Some(h) = handle(n, s.clone()) {
            assert!(h.entries.is_empty(), "{what}: nothing is left by itself");
        }
        let Some(_) = left else {
            // The change is applied, and so the next may be proposed.
            let next = n.propose_conf_change(&v1(ConfChangeType::AddNode, 9));
            let appended = Outcome::Appended { term: 1, index: 4 };
            assert_eq!(next, Ok(appended), "{what}");
            return;
        };
        context = "manual";
        let leave = ConfChangeV2 {
            context: context.into(),
            ..ConfChangeV2::default()
        };
        let outcome = n.propose_conf_change(&leave).unwrap();
        assert_eq!(outcome, Outcome::Appended { term: 1, index: 4 }, "{what}");
    }
    let rd = n.ready().unwrap().unwrap();
    assert_eq!(rd.entries().len(), 1, "{what}");
    let e = rd.entries().first().unwrap();
    assert_eq!(e.get_type(), EntryType::ConfChangeV2, "{what}");
    let cc = unmarshal_conf_change(e).unwrap().unwrap();
    assert_eq!(cc.context, context, "{what}");
    assert!(cc.leave_joint(), "{what}");
    // It would need the other half's vote; here it is enough where it leads.
    assert_eq!(Some(&n.apply_conf_change(&cc).unwrap()), left, "{what}");
    // It is what the next change must wait for.
    let next = n.propose_conf_change(&v1(ConfChangeType::AddNode, 9));
    let reason = RefuseReason::PendingConfChange {
        index: 4,
        applied: 3,
    };
    let refused = Outcome::Refused { index: 5, reason };
    assert_eq!(next, Ok(refused), "{what}");
    Writer::append(&mut s.clone(), rd.write()).unwrap();
    n.advance(rd.persisted()).unwrap();
}

/// A leader that steps down before a joint change is applied leaves it once it leads again. Go: TestRawNodeJointAutoLeave
#[test]
fn a_joint_configuration_is_left_by_the_next_leader() {
    let (mut n, s) = leader();
    let cc = v2(ConfChangeTransition::JointImplicit, "l2");
    n.propose("somedata".into()).unwrap();
    n.propose_conf_change(&cc).unwrap();
    assert!(handle(&mut n, s.clone()).unwrap().committed.is_empty());
    let written = s.entries(2, 4, NO_LIMIT).unwrap();
    let bytes = marshal_conf_change(Some(&cc)).1;
    assert_eq!(written.first().unwrap().data, "somedata");
    let change = written.last().unwrap();
    assert_eq!(
        (change.get_type(), &change.data),
        (EntryType::ConfChangeV2, &bytes)
    );
    let rd = n.ready().unwrap().unwrap();
    Writer::append(&mut s.clone(), rd.write()).unwrap();
    let p = rd.persisted();
    assert_eq!(p.committed_entries().len(), 2);
    // A message of a later term, before it is applied.
    let m = Message {
        to: 1,
        from: 2,
        term: 2,
        ..Message::new(MessageType::MsgHeartbeat)
    };
    n.step(m).unwrap();
    assert_eq!(role(&n), StateType::Follower);
    let cs = n.apply_conf_change(&cc).unwrap();
    let joint = ConfState {
        voters_outgoing: vec![1],
        auto_leave: true,
        ..conf(&[1], &[2])
    };
    assert_eq!(cs, joint);
    n.advance(p).unwrap();
    while let Some(h) = handle(&mut n, s.clone()) {
        assert!(h.entries.is_empty(), "followers leave nothing");
    }

    n.campaign().unwrap();
    let mut seen = Vec::new();
    while let Some(h) = handle(&mut n, s.clone()) {
        seen.extend(h.entries.iter().cloned());
    }
    assert_eq!(role(&n), StateType::Leader);
    let last = seen.last().unwrap();
    assert_eq!(last.get_type(), EntryType::ConfChangeV2);
    assert!(unmarshal_conf_change(last).unwrap().unwrap().leave_joint());
    assert_eq!(n.raft().config().conf_state(), conf(&[1], &[2]));
}

/// Go: TestRawNodeProposeAddDuplicateNode
#[test]
fn adding_a_member_twice_does_no_harm() {
    let (mut n, s) = leader();
    for (id, want) in [(1, &[1][..]), (1, &[1]), (2, &[1, 2])] {
        let _ = n
            .propose_conf_change(&v1(ConfChangeType::AddNode, id))
            .unwrap();
        assert_eq!(until_applied(&mut n, &s), conf(want, &[]));
    }
    let written = s.entries(2, 5, NO_LIMIT).unwrap();
    let of = |id| marshal_conf_change(Some(&v1(ConfChangeType::AddNode, id))).1;
    let data: Vec<_> = written.iter().map(|e| e.data.clone()).collect();
    assert_eq!(data, [of(1), of(1), of(2)]);
}

/// In etcd a refused change vanishes without a word (an empty entry comes in its place).
#[test]
fn a_refused_change_says_so() {
    let (mut n, s) = leader();
    let add = v1(ConfChangeType::AddNode, 2);
    n.propose_conf_change(&add).unwrap();
    let refused = n.propose_conf_change(&add).unwrap();
    let reason = RefuseReason::PendingConfChange {
        index: 2,
        applied: 1,
    };
    assert_eq!(refused, Outcome::Refused { index: 3, reason });
    let h = handle(&mut n, s.clone()).unwrap();
    let kinds: Vec<_> = h
        .entries
        .iter()
        .map(|e| (e.get_type(), e.data.is_empty()))
        .collect();
    assert_eq!(
        kinds,
        [(EntryType::ConfChange, false), (EntryType::Normal, true)]
    );
    settle(&mut n, s);

    let leave = n.propose_conf_change(&ConfChangeV2::default()).unwrap();
    assert!(
        matches!(
            leave,
            Outcome::Refused {
                reason: RefuseReason::NotJoint,
                ..
            }
        ),
        "{leave:?}"
    );
}

/// An application may refuse a change: then it does not apply it, and nothing changes.
#[test]
fn an_application_may_refuse_a_change() {
    let (mut n, s) = leader();
    let _ = n
        .propose_conf_change(&v1(ConfChangeType::AddNode, 2))
        .unwrap();
    let before = n.status().config;
    while let Some(rd) = n.ready().unwrap() {
        Writer::append(&mut s.clone(), rd.write()).unwrap();
        n.advance(rd.persisted()).unwrap();
    }
    assert_eq!(n.status().config, before);
    assert_eq!(n.basic_status().applied, 2);
    // The next one may be proposed all the same.
    let next = n
        .propose_conf_change(&v1(ConfChangeType::AddNode, 3))
        .unwrap();
    assert_eq!(next, Outcome::Appended { term: 1, index: 3 });
}

#[test]
fn a_change_that_cannot_be_changes_nothing() {
    let (mut n, _) = leader();
    let before = n.status().config;
    let last_voter = v1(ConfChangeType::RemoveNode, 1);
    let e = n.apply_conf_change(&last_voter).unwrap_err();
    assert!(matches!(e, raft::Error::ConfChange(_)), "{e}");
    assert_eq!(n.status().config, before);
    assert!(n.fault().is_none());
}
