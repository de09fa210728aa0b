//! Leases (thesis §6.2, §4.2.3): with check_quorum a leader that hears of no quorum steps down, and who hears of a leader gives no votes.

use crate::common::{
    Net, Node, config, heartbeat, hs, lone_leader, msg, storage, storage_with_log,
};
use tickraft::StateType::{Candidate, Follower, Leader, PreCandidate};
use tickraft::raftpb::MessageType;
use tickraft::{Config, DropReason, Outcome};

fn group() -> Net {
    Net::with(3, |c| c.check_quorum = true)
}

/// Nodes that have been in term 1 before, where nobody led.
fn in_term_1(set: impl Fn(&mut Config)) -> Net {
    let mut net = Net::new(3);
    for id in 1..=3 {
        let mut c = config(id);
        set(&mut c);
        *net.at(id) = Node::new(c, storage_with_log(&[1, 2, 3], &[], hs(1, 0, 0)));
    }
    net
}

fn states(net: &Net) -> Vec<(tickraft::StateType, u64)> {
    net.nodes.values().map(|n| (n.state(), n.term())).collect()
}

/// Over an election timeout and a tick.
#[test]
fn a_leader_stays_while_a_quorum_answers_and_no_longer() {
    for answered in [true, false] {
        let mut n = lone_leader(&[1, 2, 3], |c| {
            (c.election_tick, c.check_quorum) = (5, true)
        });
        for _ in 0..6 {
            if answered {
                n.step(msg(MessageType::MsgHeartbeatResp, 2, 1)).unwrap();
            }
            n.ticks(1);
        }
        let want = if answered { Leader } else { Follower };
        assert_eq!(n.state(), want);
    }
}

/// A new member is not held against its leader before it could answer, and then it is.
#[test]
fn a_member_that_was_just_added_counts_as_active_once() {
    let mut n = lone_leader(&[1], |c| c.check_quorum = true);
    n.ticks(9);
    n.raft
        .apply_conf_change(&crate::common::change("v2", false))
        .unwrap();
    n.ticks(1);
    assert_eq!(n.state(), Leader);
    n.ticks(10);
    assert_eq!(n.state(), Follower);
}

/// Who heard of the leader within an election timeout refuses to vote; afterwards it votes.
#[test]
fn a_leader_is_superseded_only_after_its_lease() {
    let mut net = group();
    net.at(2).raft.set_randomized_election_timeout(11);
    net.at(2).ticks(10);
    net.hup(1);
    assert_eq!((net.at(1).state(), net.at(3).state()), (Leader, Follower));
    net.hup(3);
    assert_eq!(net.at(3).state(), Candidate, "2 refuses");
    net.at(2).raft.set_randomized_election_timeout(11);
    net.at(2).ticks(10);
    net.hup(3);
    assert_eq!(net.at(3).state(), Leader);
}

/// Right after the start there is no lease: the first candidate wins at once.
#[test]
fn without_a_leader_there_is_no_lease() {
    let mut net = group();
    net.hup(1);
    assert_eq!((net.at(1).state(), net.at(3).state()), (Leader, Follower));
    // An election timeout passes for the leader, whose heartbeats are lost, and for 2.
    for id in [1, 2] {
        net.at(id).raft.set_randomized_election_timeout(12);
        net.at(id).ticks(10);
        net.at(id).drive();
    }
    net.hup(3);
    assert_eq!((net.at(1).state(), net.at(3).state()), (Follower, Leader));
}

/// A node that went ahead alone cannot win while the others hear of the leader. Its answer to the leader's heartbeat brings the leader to its
/// term, and it wins the next election.
#[test]
fn a_stuck_candidate_is_freed() {
    let mut net = group();
    net.at(2).raft.set_randomized_election_timeout(11);
    net.at(2).ticks(10);
    net.hup(1);
    net.isolate(1);
    for ahead in [1, 2] {
        net.hup(3);
        assert_eq!(
            (net.at(2).state(), net.at(3).state()),
            (Follower, Candidate)
        );
        assert_eq!(net.at(3).term(), net.at(2).term() + ahead);
    }
    net.heal();
    let mut m = heartbeat(1, net.at(1).term(), 0);
    m.to = 3;
    net.send(m);
    assert_eq!(
        (net.at(1).state(), net.at(1).term()),
        (Follower, net.at(3).term())
    );
    net.hup(3);
    assert_eq!(net.at(3).state(), Leader);
}

/// A node that does not know yet that it is a voter follows, and does not campaign.
#[test]
fn a_voter_that_may_not_campaign_follows() {
    let nodes = [(1, &[1, 2][..]), (2, &[1])].map(|(id, voters)| {
        let c = Config {
            check_quorum: true,
            ..config(id)
        };
        (id, Node::new(c, storage(voters, &[])))
    });
    let mut net = Net::from_nodes(nodes.into());
    assert_eq!(net.at(2).hup(), Outcome::Dropped(DropReason::Unpromotable));
    net.at(2).ticks(40);
    assert_eq!(net.at(2).state(), Follower);
    net.hup(1);
    assert_eq!((net.at(1).state(), net.at(2).state()), (Leader, Follower));
    assert_eq!(net.at(2).lead(), 1);
}

/// A follower that the leader's messages reach late campaigns: its votes are refused, but its answer to a late heartbeat ends the leader's term.
#[test]
fn a_follower_that_timed_out_disrupts() {
    let mut net = in_term_1(|c| c.check_quorum = true);
    net.hup(1);
    assert_eq!(states(&net), [(Leader, 2), (Follower, 2), (Follower, 2)]);
    net.at(3).raft.set_randomized_election_timeout(12);
    net.at(3).ticks(11);
    assert_eq!(net.at(3).state(), Follower);
    net.at(3).ticks(1);
    // Its requests are still under way.
    assert_eq!(states(&net), [(Leader, 2), (Follower, 2), (Candidate, 3)]);
    let mut late = heartbeat(1, 2, 0);
    late.to = 3;
    net.send(late);
    assert_eq!(states(&net), [(Follower, 3), (Follower, 2), (Candidate, 3)]);
}

/// With pre-votes it does not: its log is behind, its term is nobody's concern.
#[test]
fn with_pre_votes_a_follower_that_was_cut_off_does_not_disrupt() {
    let mut net = in_term_1(|c| (c.check_quorum, c.pre_vote) = (true, true));
    net.hup(1);
    assert_eq!(states(&net), [(Leader, 2), (Follower, 2), (Follower, 2)]);
    net.isolate(3);
    for _ in 0..3 {
        net.propose(1, "somedata").unwrap();
    }
    net.heal();
    net.hup(3);
    assert_eq!(
        states(&net),
        [(Leader, 2), (Follower, 2), (PreCandidate, 2)]
    );
    let mut late = heartbeat(1, 2, 0);
    late.to = 3;
    net.send(late);
    assert_eq!(net.at(1).state(), Leader);
}
