//! Who wins an election, in one round and after several.

use crate::common::{Net, Node, config, hs, msg, storage, storage_with_log};
use std::collections::BTreeMap;
use tickraft::StateType::{Candidate, Follower, Leader, PreCandidate};
use tickraft::raftpb::{Message, MessageType};

/// Raft paper §5.2: one round of votes wins an election, loses it, or leaves it open.
#[test]
fn one_round_of_votes() {
    let (y, n) = (true, false);
    for (size, votes, want) in [
        // A majority grants.
        (1, &[][..], Leader),
        (3, &[(2, y), (3, y)], Leader),
        (3, &[(2, y)], Leader),
        (5, &[(2, y), (3, y), (4, y), (5, y)], Leader),
        (5, &[(2, y), (3, y), (4, y)], Leader),
        (5, &[(2, y), (3, y)], Leader),
        // A majority denies.
        (3, &[(2, n), (3, n)], Follower),
        (5, &[(2, n), (3, n), (4, n), (5, n)], Follower),
        (5, &[(2, y), (3, n), (4, n), (5, n)], Follower),
        // Neither.
        (3, &[], Candidate),
        (5, &[(2, y)], Candidate),
        (5, &[(2, n), (3, n)], Candidate),
        (5, &[], Candidate),
    ] {
        let voters: Vec<u64> = (1..=size).collect();
        let mut node = Node::new(config(1), storage(&voters, &[]));
        node.hup();
        node.drive();
        for &(from, granted) in votes {
            let m = Message {
                reject: !granted,
                ..msg(MessageType::MsgVoteResp, from, 1)
            };
            node.step(m).unwrap();
        }
        assert_eq!(
            (node.state(), node.term()),
            (want, 1),
            "{votes:?} of {size}"
        );
    }
}

/// A group whose nodes have these logs, and hard states as given.
fn with_logs(logs: &[(&[u64], tickraft::raftpb::HardState)], pre_vote: bool) -> Net {
    let voters: Vec<u64> = (1..=logs.len() as u64).collect();
    let nodes = voters.iter().zip(logs).map(|(&id, &(log, hs))| {
        let mut c = config(id);
        c.pre_vote = pre_vote;
        (id, Node::new(c, storage_with_log(&voters, log, hs)))
    });
    Net::from_nodes(nodes.collect::<BTreeMap<_, _>>())
}

/// Three of five have more in their logs, in the term that the candidate campaigns for: it is refused, not ignored.
#[test]
fn logs_that_are_further_along_refuse() {
    for pre_vote in [false, true] {
        let logs = [
            (&[][..], hs(0, 0, 0)),
            (&[1], hs(1, 0, 0)),
            (&[1], hs(1, 0, 0)),
            (&[1, 1], hs(1, 0, 0)),
            (&[], hs(0, 0, 0)),
        ];
        let mut net = with_logs(&logs, pre_vote);
        net.hup(1);
        assert_eq!((net.at(1).state(), net.at(1).term()), (Follower, 1));
    }
}

/// Raft paper §5.4.1, and figure 8: whose log holds the latest term need not win. Nodes 1 and 2 have an entry of term 1, node 3 one of term 2,
/// for which 4 and 5 voted without getting it; none is committed. Node 1 learns of term 2 by losing, wins term 3, and replaces node 3's entry.
#[test]
fn an_entry_of_a_later_term_may_be_overwritten_while_it_is_not_committed() {
    for pre_vote in [false, true] {
        let logs = [
            (&[1][..], hs(1, 0, 0)),
            (&[1], hs(1, 0, 0)),
            (&[2], hs(2, 0, 0)),
            (&[], hs(2, 3, 0)),
            (&[], hs(2, 3, 0)),
        ];
        let mut net = with_logs(&logs, pre_vote);
        net.hup(1);
        assert_eq!((net.at(1).state(), net.at(1).term()), (Follower, 2));
        net.hup(1);
        assert_eq!((net.at(1).state(), net.at(1).term()), (Leader, 3));
        for n in net.nodes.values() {
            assert_eq!(n.terms(), [1, 3]);
        }
    }
}

/// Nodes 1 and 3 do not hear each other and both campaign. Node 1 wins. When all hear all again, node 3, whose log is behind, tries once more:
/// it brings the leader down and does not win; with pre-votes nobody is disturbed.
#[test]
fn two_candidates_of_which_one_lacks_the_log() {
    for pre_vote in [false, true] {
        let mut net = Net::with(3, |c| c.pre_vote = pre_vote);
        net.cut(1, 3);
        net.hup(1);
        net.hup(3);
        let lost = if pre_vote { Follower } else { Candidate };
        assert_eq!((net.at(1).state(), net.at(3).state()), (Leader, lost));
        net.heal();
        net.hup(3);
        let (first, term) = if pre_vote { (Leader, 1) } else { (Follower, 2) };
        for (id, state, last) in [(1, first, 1), (2, Follower, 1), (3, Follower, 0)] {
            let n = net.at(id);
            assert_eq!(
                (n.state(), n.term(), n.raft.last_index()),
                (state, term, last)
            );
        }
    }
}

/// A candidate that was cut off follows the winner of the same term and takes its log.
#[test]
fn a_candidate_concedes() {
    let mut net = Net::new(3);
    net.isolate(1);
    net.hup(1);
    net.hup(3);
    net.heal();
    net.beat(3);
    net.propose(3, "force follower").unwrap();
    net.beat(3);
    assert_eq!((net.at(1).state(), net.at(1).term()), (Follower, 1));
    for n in net.nodes.values() {
        assert_eq!(
            (n.commit(), n.terms(), n.data()),
            (2, vec![1, 1], vec!["force follower".into()])
        );
    }
}

/// Told to campaign again, a leader stays one, of the same term.
#[test]
fn a_leader_does_not_campaign() {
    for pre_vote in [false, true] {
        let mut net = Net::with(1, |c| c.pre_vote = pre_vote);
        assert_eq!(net.at(1).state(), Follower);
        net.hup(1);
        assert_eq!((net.at(1).state(), net.at(1).term()), (Leader, 1));
        net.hup(1);
        assert_eq!((net.at(1).state(), net.at(1).term()), (Leader, 1));
    }
}

/// A voter may be elected; one that is not in the configuration, or in none, may not.
#[test]
fn only_voters_are_promotable() {
    for (voters, want) in [
        (&[1][..], true),
        (&[1, 2, 3], true),
        (&[], false),
        (&[2, 3], false),
    ] {
        let disk = if voters.is_empty() {
            storage_mem::MemoryStorage::new()
        } else {
            storage(voters, &[])
        };
        let mut n = Node::new(config(1), disk);
        n.ticks(20);
        assert_eq!(n.term() > 0, want, "{voters:?}");
        let unpromotable = tickraft::Outcome::Dropped(tickraft::DropReason::Unpromotable);
        assert_eq!(n.hup() != unpromotable, want, "{voters:?}");
    }
}

/// No pre-vote is asked for without the option, and with it none is skipped.
#[test]
fn a_group_of_one_elects_itself_in_both_ways() {
    for (pre_vote, first) in [(false, Candidate), (true, PreCandidate)] {
        let mut net = Net::with(1, |c| c.pre_vote = pre_vote);
        net.at(1).hup();
        assert_eq!(net.at(1).state(), first);
        net.settle();
        assert_eq!(net.at(1).state(), Leader);
    }
}
