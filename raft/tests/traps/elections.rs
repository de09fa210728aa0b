//! Who campaigns, who votes, who steps down.

use crate::common::{Net, Node, change, config, msg, storage};
use tickraft::raftpb::{
    ConfChange, ConfChangeI, Entry, HardState, MessageType, marshal_conf_change,
};
use tickraft::{DropReason, Error, Outcome, StateType};

/// etcd#8334
#[test]
fn a_pre_candidate_knows_no_leader() {
    let mut net = Net::with(3, |c| (c.pre_vote, c.check_quorum) = (true, true));
    net.elect(1);
    net.isolate(1);
    net.tick_one(3, 20);
    assert_eq!(
        (net.at(3).state(), net.at(3).lead()),
        (StateType::PreCandidate, 0)
    );
    // So it grants another's pre-vote: leases do not lock the two out.
    net.tick_one(2, 20);
    net.tick(25);
    let leaders: Vec<_> = net.leaders().into_iter().filter(|&id| id != 1).collect();
    assert_eq!(leaders.len(), 1);
}

/// etcd#10822
#[test]
fn a_learner_that_is_told_to_campaign_does_not() {
    let mut net = Net::of(&[1, 2], &[3], |_| {});
    assert_eq!(net.at(3).hup(), Outcome::Dropped(DropReason::Unpromotable));
    let done = net
        .at(3)
        .step(msg(MessageType::MsgTimeoutNow, 1, 1))
        .unwrap();
    assert_eq!(done, Outcome::Dropped(DropReason::Unpromotable));
    assert_eq!(
        (net.at(3).state(), net.at(3).term()),
        (StateType::Follower, 1)
    );
}

/// etcd#10998
#[test]
fn a_learner_votes_for_it_may_be_a_voter_that_does_not_know_it() {
    let mut net = Net::of(&[1, 2, 3], &[], |_| {});
    // Node 3 was promoted; only 2 has applied that, and 1 is gone.
    *net.at(3) = Node::new(config(3), storage(&[1, 2], &[3]));
    net.isolate(1);
    net.hup(2);
    assert_eq!(net.at(2).state(), StateType::Leader);
}

/// etcd#12134, etcd#12163
#[test]
fn a_node_with_an_unapplied_configuration_change_does_not_campaign() {
    let cc = ConfChange {
        node_id: 4,
        ..ConfChange::default()
    };
    for v2 in [false, true] {
        let (t, data) = if v2 {
            marshal_conf_change(Some(&cc.as_v2()))
        } else {
            marshal_conf_change(Some(&cc))
        };
        let disk = storage(&[1, 2, 3], &[]);
        let e = Entry {
            entry_type: Some(t),
            data,
            ..Entry::new(1, 1, "")
        };
        disk.append(&vec![e, Entry::new(1, 2, "")].into()).unwrap();
        disk.set_hard_state(HardState {
            term: 1,
            vote: 0,
            commit: 2,
        });
        let mut n = Node::new(config(1), disk);
        let dropped = Outcome::Dropped(DropReason::PendingConfChange);
        assert_eq!(n.hup(), dropped);
        assert_eq!(
            n.step(msg(MessageType::MsgTimeoutNow, 2, 1)).unwrap(),
            dropped
        );
        for _ in 0..40 {
            n.raft.tick().unwrap();
        }
        assert_eq!((n.state(), n.term()), (StateType::Follower, 1));
        n.drive();
        assert_eq!(n.hup(), Outcome::Done);
    }
}

/// raft#77, raft#79
#[test]
fn a_removed_or_demoted_leader_steps_down_if_told_so() {
    for cc in [change("r1", false), change("l1", false)] {
        let mut net = Net::with(3, |c| c.step_down_on_removal = true);
        net.elect(1);
        net.change(1, &cc).unwrap();
        assert_eq!(
            (net.at(1).state(), net.at(1).lead()),
            (StateType::Follower, 0)
        );
        net.elect(2);

        // Without the option it leads on, as in etcd, and takes no proposals once it is no member.
        let mut net = Net::new(3);
        net.elect(1);
        net.change(1, &cc).unwrap();
        assert_eq!(net.at(1).state(), StateType::Leader);
        let done = net.propose(1, "x");
        if net.at(1).raft.progress(1).is_none() {
            assert_eq!(done, Err(Error::ProposalDropped(DropReason::NotMember)));
        }
    }
}
