//! Handing leadership over (thesis §3.10).

use crate::common::{Net, Node, change, config, msg, progress, storage, vote_resp};
use std::cell::RefCell;
use std::rc::Rc;
use tickraft::StateType::{self, Follower, Leader};
use tickraft::raftpb::{Message, MessageType};
use tickraft::{DropReason, Error, Outcome};

/// Node 1 leads three.
fn group() -> Net {
    let mut net = Net::new(3);
    net.elect(1);
    net
}

/// The same, with a transfer to node 3 under way, which hears nothing.
fn under_way() -> Net {
    let mut net = group();
    net.isolate(3);
    assert_eq!(net.transfer(1, 3), Outcome::Done);
    assert_eq!(transferee(&mut net, 1), 3);
    net
}

fn transferee(net: &mut Net, id: u64) -> u64 {
    net.at(id).raft.basic_status().lead_transferee
}

/// What node 1 is and whom it follows; no transfer is under way.
#[track_caller]
fn assert_node_1(net: &mut Net, state: StateType, lead: u64) {
    assert_eq!((net.at(1).state(), net.at(1).lead()), (state, lead));
    assert_eq!(transferee(net, 1), 0);
}

/// A request that a node gets for itself: followers send it on.
fn asks_for_itself(net: &mut Net, id: u64) -> Outcome {
    net.transfer(id, id)
}

/// There and, after something was replicated, back; asked of the leader, or of the follower that is to lead.
#[test]
fn to_a_node_that_has_everything() {
    for of_followers in [false, true] {
        let mut net = group();
        assert_node_1(&mut net, Leader, 1);
        if of_followers {
            assert_eq!(asks_for_itself(&mut net, 2), Outcome::Forwarded { to: 1 });
        } else {
            net.transfer(1, 2);
        }
        assert_node_1(&mut net, Follower, 2);
        net.propose(1, "").unwrap();
        if of_followers {
            assert_eq!(asks_for_itself(&mut net, 1), Outcome::Forwarded { to: 2 });
        } else {
            net.transfer(2, 1);
        }
        assert_node_1(&mut net, Leader, 1);
    }
}

/// The leader's own wish: no lease stands in its way.
#[test]
fn with_leases() {
    let mut net = Net::with(3, |c| c.check_quorum = true);
    for id in 1..=3 {
        let timeout = 10 + u32::try_from(id).unwrap();
        net.at(id).raft.set_randomized_election_timeout(timeout);
    }
    net.at(2).ticks(10);
    net.elect(1);
    net.transfer(1, 2);
    assert_node_1(&mut net, Follower, 2);
    net.propose(1, "").unwrap();
    net.transfer(2, 1);
    assert_node_1(&mut net, Leader, 1);
}

/// A node that lacks an entry gets it first.
#[test]
fn to_a_slow_follower() {
    let mut net = group();
    net.isolate(3);
    net.propose(1, "").unwrap();
    net.heal();
    assert_eq!(progress(&mut net, 1, 3).matched, 1);
    net.transfer(1, 3);
    assert_node_1(&mut net, Follower, 3);
}

/// A node that lacks what is compacted gets a snapshot first; leadership passes when it says that it has it.
#[test]
fn to_a_follower_that_needs_a_snapshot() {
    let mut net = group();
    net.isolate(3);
    net.propose(1, "").unwrap();
    net.at(1).compact();
    net.heal();
    assert_eq!(progress(&mut net, 1, 3).matched, 1);
    let kept = Rc::new(RefCell::new(None));
    let keep = Rc::clone(&kept);
    net.filter(move |m| {
        let acknowledges = m.msg_type == MessageType::MsgAppResp && m.from == 3 && !m.reject;
        if acknowledges {
            *keep.borrow_mut() = Some(m.clone());
        }
        !acknowledges
    });
    net.transfer(1, 3);
    assert_eq!(net.at(1).state(), Leader);
    assert_eq!(net.at(3).commit(), 2, "it has taken the snapshot");
    net.heal();
    let m = kept.borrow_mut().take().expect("it said so");
    net.send(m);
    assert_node_1(&mut net, Follower, 3);
}

#[test]
fn to_itself_or_to_nobody() {
    let mut net = group();
    assert_eq!(
        net.transfer(1, 1),
        Outcome::Dropped(DropReason::AlreadyLeader)
    );
    assert_node_1(&mut net, Leader, 1);
    assert_eq!(net.transfer(1, 4), Outcome::Dropped(DropReason::NoProgress));
    assert_node_1(&mut net, Leader, 1);
}

/// It lasts for an election timeout, not for a heartbeat's.
#[test]
fn it_is_given_up_after_an_election_timeout() {
    let mut net = under_way();
    net.at(1).ticks(1);
    assert_eq!(transferee(&mut net, 1), 3);
    net.at(1).ticks(9);
    assert_node_1(&mut net, Leader, 1);
}

/// An election timeout from its beginning, however long the leader has led by then.
#[test]
fn it_has_an_election_timeout_of_its_own() {
    let mut net = group();
    net.isolate(3);
    net.at(1).ticks(5);
    net.transfer(1, 3);
    net.at(1).ticks(9);
    assert_eq!(transferee(&mut net, 1), 3);
    net.at(1).ticks(1);
    assert_node_1(&mut net, Leader, 1);
}

/// Asking again for the same does not make it last longer.
#[test]
fn the_same_request_again_does_not_prolong_it() {
    let mut net = under_way();
    net.at(1).ticks(1);
    let again = Outcome::Dropped(DropReason::TransferInProgress { transferee: 3 });
    assert_eq!(net.transfer(1, 3), again);
    net.at(1).ticks(9);
    assert_node_1(&mut net, Leader, 1);
}

/// Meanwhile proposals are dropped, the follower's as the leader's own.
#[test]
fn proposals_are_dropped_meanwhile() {
    let mut net = under_way();
    let dropped = Error::ProposalDropped(DropReason::TransferInProgress { transferee: 3 });
    assert_eq!(net.propose(1, ""), Err(dropped));
    assert_eq!(net.propose(2, ""), Ok(Outcome::Forwarded { to: 1 }));
    assert_eq!(progress(&mut net, 1, 1).matched, 1);
    assert_eq!(net.at(1).raft.last_index(), 1);
}

#[test]
fn a_vote_of_a_later_term_ends_it() {
    let mut net = under_way();
    net.hup(2);
    assert_node_1(&mut net, Follower, 2);
}

/// The target is removed, or becomes a learner by way of a joint configuration.
#[test]
fn it_ends_when_its_target_may_not_lead_any_more() {
    for changes in [&["r3"][..], &["r3 l3", ""]] {
        let mut net = group();
        net.ignore(MessageType::MsgTimeoutNow);
        net.transfer(1, 3);
        assert_eq!(transferee(&mut net, 1), 3);
        for cc in changes {
            net.at(1)
                .raft
                .apply_conf_change(&change(cc, false))
                .unwrap();
        }
        assert_node_1(&mut net, Leader, 1);
    }
}

/// Another target takes the first one's place; the leader itself ends it.
#[test]
fn another_request_replaces_it() {
    let mut net = under_way();
    net.transfer(1, 1);
    assert_node_1(&mut net, Leader, 1);
    let mut net = under_way();
    net.transfer(1, 2);
    assert_node_1(&mut net, Follower, 2);
}

/// A node that was removed and is told to lead does not campaign, whatever votes come.
#[test]
fn a_node_that_is_no_member_does_not_take_over() {
    let mut n = Node::new(config(1), storage(&[2, 3, 4], &[]));
    let m: Message = msg(MessageType::MsgTimeoutNow, 2, 0);
    assert_eq!(n.step(m), Ok(Outcome::Dropped(DropReason::Unpromotable)));
    for id in [2, 3] {
        let _ = n.step(vote_resp(id, 1)).unwrap();
    }
    assert_eq!(n.state(), Follower);
}

/// A follower that gets a request which another has sent on, with its term, sends it on too: etcd's process ends there.
#[test]
fn a_request_may_be_sent_on_twice() {
    let mut net = group();
    let m = msg(MessageType::MsgTransferLeader, 3, 1);
    assert_eq!(net.at(2).step(m), Ok(Outcome::Forwarded { to: 1 }));
    let out = net.at(2).drive();
    let sent: Vec<_> = out.iter().map(|m| (m.from, m.to, m.term)).collect();
    assert_eq!(sent, [(3, 1, 1)]);
    net.queue.extend(out);
    net.settle();
    assert_node_1(&mut net, Follower, 3);
}
