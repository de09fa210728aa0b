//! Pre-votes (thesis §9.6) where terms or logs have parted, and while a group takes them up.

use crate::common::{Net, Node, config, heartbeat, hs, storage_with_log};
use tickraft::Config;
use tickraft::StateType::{Candidate, Follower, Leader, PreCandidate};

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

fn terms(net: &Net) -> Vec<u64> {
    net.nodes.values().map(Node::term).collect()
}

/// Node 3 falls behind while it is cut off, and comes back just when the leader is lost: the two that are left elect one of them.
#[test]
fn a_node_of_an_earlier_term_does_not_stand_in_the_way() {
    let mut net = in_term_1(|c| c.pre_vote = true);
    net.isolate(3);
    net.hup(1);
    assert_eq!((net.at(1).state(), net.at(2).state()), (Leader, Follower));
    net.hup(3);
    assert_eq!(net.at(3).state(), PreCandidate);
    net.hup(2);
    assert_eq!(terms(&net), [3, 3, 1]);
    assert_eq!(net.states(), [Follower, Leader, PreCandidate]);
    net.heal();
    net.isolate(2);
    net.hup(3);
    net.hup(1);
    assert!([1, 3].map(|id| net.at(id).state()).contains(&Leader));
}

/// Both pre-candidates are encouraged, both campaign, neither wins. The next to try does.
#[test]
fn a_split_vote_is_followed_by_another_round() {
    let mut net = in_term_1(|c| c.pre_vote = true);
    net.elect(1);
    net.isolate(1);
    net.at(2).hup();
    net.at(3).hup();
    net.settle();
    assert_eq!(terms(&net), [2, 3, 3]);
    assert_eq!(net.states()[1..], [Candidate, Candidate]);
    net.hup(2);
    assert_eq!(terms(&net), [2, 4, 4]);
    assert_eq!(net.states()[1..], [Leader, Follower]);
}

/// Both know the leader that is gone. The first pre-vote is refused by the other's lease; who asked has given up its own and helps the second.
#[test]
fn a_pre_candidate_has_no_lease() {
    let mut net = in_term_1(|c| (c.pre_vote, c.check_quorum) = (true, true));
    net.elect(1);
    net.isolate(1);
    assert_eq!(net.states(), [Leader, Follower, Follower]);
    net.hup(3);
    assert_eq!(net.states(), [Leader, Follower, PreCandidate]);
    net.hup(2);
    assert_eq!(net.states(), [Leader, Leader, Follower]);
}

/// While a group is being changed over to pre-votes: 1 leads in term 2 and 2 follows, both with pre-votes; 3, without them, went ahead to term 4
/// alone and with less of the log. Then it is started again with pre-votes, and all hear all.
fn changed_over() -> Net {
    let mut net = in_term_1(|c| c.pre_vote = c.id != 3);
    net.elect(1);
    net.isolate(3);
    net.propose(1, "some data").unwrap();
    net.hup(3);
    net.hup(3);
    assert_eq!(net.states(), [Leader, Follower, Candidate]);
    assert_eq!(terms(&net), [2, 2, 4]);
    let disk = net.at(3).disk.clone();
    let c = Config {
        pre_vote: true,
        ..config(3)
    };
    *net.at(3) = Node::new(c, disk);
    net.heal();
    net
}

/// The leader is lost: 2, who may win, learns of term 4 by being refused, and then there is a leader.
#[test]
fn a_group_that_takes_up_pre_votes_elects() {
    let mut net = changed_over();
    net.isolate(1);
    net.hup(3);
    net.hup(2);
    assert_eq!(net.states()[1..], [Follower, PreCandidate]);
    assert_eq!(net.at(2).term(), 4);
    net.hup(3);
    net.hup(2);
    assert_eq!(net.states()[1..], [Leader, Follower]);
}

/// The leader is there: it refuses, and a pre-candidate of a later term frees itself by its answer to the next heartbeat.
#[test]
fn a_stuck_pre_candidate_is_freed() {
    let mut net = changed_over();
    for _ in 0..2 {
        net.hup(3);
        assert_eq!(net.states(), [Leader, Follower, PreCandidate]);
    }
    let mut m = heartbeat(1, 2, 0);
    m.to = 3;
    net.send(m);
    assert_eq!(net.at(1).state(), Follower);
    assert_eq!(net.at(1).term(), net.at(3).term());
}
