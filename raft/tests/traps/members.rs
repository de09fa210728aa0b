//! Configuration changes: joint ones are left, refused ones are reported.

use crate::common::{Net, Node, change, lone_leader};
use tickraft::raftpb::{ConfChange, ConfChangeI, ConfChangeType, Entry, EntryType, MessageType};
use tickraft::storage::Storage;
use tickraft::{Outcome, RefuseReason};

/// etcd#11046, etcd#12137, etcd#14538
#[test]
fn a_joint_configuration_is_left_once_and_soon() {
    let mut net = Net::of(&[1, 2, 3], &[], |_| {});
    net.elect(1);
    net.propose(1, "a").unwrap();
    net.change(1, &change("v4 r3", false)).unwrap();
    net.propose(1, "b").unwrap();
    net.tick(3);
    assert_eq!(net.at(1).raft.config().to_string(), "voters=(1 2 4)");
    let changes = |n: &Node| {
        let of = |e: &&Entry| e.get_type() == EntryType::ConfChangeV2;
        n.applied.iter().filter(of).count()
    };
    assert_eq!(changes(net.at(1)), 2, "entered and left");
    assert_eq!(changes(net.at(2)), 2);
}

/// etcd#11046: what is applied between the change and its end does not propose the end once more, which would leave empty entries behind.
#[test]
fn leaving_a_joint_configuration_is_proposed_once() {
    let mut net = Net::with(3, |c| c.max_committed_size_per_ready = 1);
    net.elect(1);
    net.at(1)
        .raft
        .propose_conf_change(&change("v4 r3", false))
        .unwrap();
    for data in ["a", "b", "c"] {
        net.at(1).raft.propose(data.into()).unwrap();
    }
    net.settle();
    net.tick(2);
    assert_eq!(net.at(1).raft.config().to_string(), "voters=(1 2 4)");
    assert_eq!(
        net.at(1).raft.last_index(),
        6,
        "the first entry, the change, three of data, the end"
    );
}

/// etcd#12137: a transfer under way puts it off, the next applied entry makes up for it; a new leader leaves as well.
#[test]
fn a_joint_configuration_is_left_after_a_transfer_too() {
    let mut net = Net::of(&[1, 2, 3], &[], |_| {});
    net.elect(1);
    // Node 3 is slow, so the transfer to it lasts until the configuration is joint.
    net.cut(1, 3);
    let cc = change("l4 l5", false);
    net.at(1).raft.propose_conf_change(&cc).unwrap();
    assert_eq!(net.transfer(1, 3), Outcome::Done);
    assert!(net.at(1).raft.config().auto_leave, "joint, and not left");
    assert_eq!(net.at(1).raft.basic_status().lead_transferee, 3);
    net.tick(10);
    assert_eq!(net.at(1).raft.basic_status().lead_transferee, 0, "given up");
    net.heal();
    net.propose(1, "next").unwrap();
    assert!(!net.at(1).raft.config().auto_leave);
    assert_eq!(
        net.at(1).raft.config().to_string(),
        "voters=(1 2 3) learners=(4 5)"
    );
}

/// etcd#11037
#[test]
fn a_new_voter_is_probed_without_waiting_for_traffic() {
    let mut n = lone_leader(&[1], |_| {});
    let done = n.raft.propose_conf_change(&change("v2", false)).unwrap();
    assert_eq!(done, Outcome::Appended { term: 1, index: 2 });
    let out = n.drive();
    let to_2: Vec<_> = out
        .iter()
        .filter(|m| m.to == 2)
        .map(|m| m.msg_type)
        .collect();
    assert_eq!(to_2, [MessageType::MsgApp]);
}

/// etcd#11417
#[test]
fn a_transfer_ends_when_its_target_is_demoted_or_removed() {
    for cc in [change("l3", false), change("r3", false)] {
        let mut net = Net::new(3);
        net.elect(1);
        net.cut(1, 3);
        net.at(1).raft.propose_conf_change(&cc).unwrap();
        net.transfer(1, 3);
        assert_eq!(net.at(1).commit(), 2);
        assert_eq!(net.at(1).raft.basic_status().lead_transferee, 0);
        net.propose(1, "goes on").unwrap();
    }
}

/// Open upstream: raft#354.
#[test]
fn a_refused_configuration_change_is_reported() {
    let mut net = Net::new(3);
    net.elect(1);
    let leave = change("", false);
    let refused = net.change(1, &leave).unwrap();
    assert_eq!(
        refused,
        Outcome::Refused {
            index: 2,
            reason: RefuseReason::NotJoint
        }
    );
    net.change(1, &change("l4 l5", true)).unwrap();
    let refused = net.change(1, &change("v6", false)).unwrap();
    assert_eq!(
        refused,
        Outcome::Refused {
            index: 4,
            reason: RefuseReason::MustLeaveJoint
        }
    );
    // Not applied yet: nobody else is there.
    net.isolate(1);
    assert!(matches!(
        net.change(1, &leave).unwrap(),
        Outcome::Appended { index: 5, .. }
    ));
    let reason = RefuseReason::PendingConfChange {
        index: 5,
        applied: 4,
    };
    assert_eq!(
        net.change(1, &leave).unwrap(),
        Outcome::Refused { index: 6, reason }
    );
    assert_eq!(
        reason.to_string(),
        "possible unapplied conf change at index 5 (applied to 4)"
    );
    // An empty entry took its place, with etcd's two bytes of type.
    let e = net.at(1).disk.entries(6, 7, u64::MAX).unwrap();
    let e = e.first().unwrap();
    assert_eq!((e.entry_type, e.data.len()), (Some(EntryType::Normal), 0));
}

#[test]
fn a_change_of_a_node_that_is_there_changes_nothing() {
    let mut net = Net::new(3);
    net.elect(1);
    let before = net.at(1).raft.config().clone();
    let cc = ConfChange {
        node_id: 0,
        change_type: ConfChangeType::RemoveNode,
        ..ConfChange::default()
    };
    net.at(1).raft.apply_conf_change(&cc.as_v2()).unwrap();
    net.change(1, &change("v2", false)).unwrap();
    assert_eq!(*net.at(1).raft.config(), before);
}
