//! Terms: a later one ends every role, an earlier one is not heard.

use crate::common::{Net, Node, app, config, entries, in_role, msg, storage, storage_with_log};
use crate::common::{hs, vote};
use tickraft::StateType::{Candidate, Follower, Leader, PreCandidate};
use tickraft::raftpb::{Entries, MessageType};
use tickraft::{DropReason, Outcome, WriteMode};

/// Raft paper §5.2.
#[test]
fn a_node_starts_as_a_follower() {
    let n = Node::new(config(1), storage(&[1, 2, 3], &[]));
    assert_eq!((n.state(), n.lead(), n.term()), (Follower, 0, 0));
}

/// Raft paper §5.1: whoever hears of a later term takes it over; candidates and leaders follow then.
#[test]
fn an_append_of_a_later_term_makes_a_follower_of_any_role() {
    for role in [Follower, Candidate, Leader] {
        let mut n = in_role(role, 1);
        n.step(app(2, 2, (0, 0), Entries::new(), 0)).unwrap();
        assert_eq!((n.state(), n.term(), n.lead()), (Follower, 2, 2), "{role}");
    }
}

/// Raft paper §5.1: a request of an earlier term is rejected. As in etcd it is not even looked at.
#[test]
fn a_request_of_an_earlier_term_changes_nothing() {
    for voters in [&[1][..], &[1, 2, 3]] {
        let mut n = Node::new(config(1), storage_with_log(voters, &[], hs(2, 0, 0)));
        let m = app(2, 1, (0, 0), entries(1, &[1]), 1);
        assert_eq!(n.step(m), Ok(Outcome::Dropped(DropReason::LowerTerm)));
        assert!(!n.raft.has_pending(WriteMode::Sync), "no answer either");
        assert_eq!((n.lead(), n.raft.last_index()), (0, 0));
        assert_eq!(n.raft.hard_state(), hs(2, 0, 0));
    }
}

/// First a request for a vote, then an append, both of term 3 and for a log that this node does not have.
#[test]
fn everyone_steps_down_for_votes_and_appends_of_a_later_term() {
    for (role, last) in [
        (Follower, 0),
        (PreCandidate, 0),
        (Candidate, 0),
        (Leader, 1),
    ] {
        let mut n = in_role(role, 1);
        for (t, lead) in [(MessageType::MsgVote, 0), (MessageType::MsgApp, 2)] {
            n.step(vote(t, 2, 3, (3, 0))).unwrap();
            assert_eq!((n.state(), n.term()), (Follower, 3), "{role}, {t:?}");
            assert_eq!(n.lead(), lead, "{role}, {t:?}");
            assert_eq!(n.raft.last_index(), last, "{role}, {t:?}");
            n.drive();
            assert_eq!(n.terms().len() as u64, last, "{role}, {t:?}");
        }
    }
}

/// Raft paper §5.2: a candidate that hears of a leader of its term, or of a later one, follows it.
#[test]
fn a_candidate_recognizes_a_leader_of_its_term_or_a_later_one() {
    for term in [1, 2] {
        let mut n = Node::new(config(1), storage(&[1, 2, 3], &[]));
        n.hup();
        assert_eq!((n.state(), n.term()), (Candidate, 1));
        n.step(app(2, term, (0, 0), Entries::new(), 0)).unwrap();
        assert_eq!((n.state(), n.term(), n.lead()), (Follower, term, 2));
    }
}

/// A node that campaigns alone while the others go through elections takes the term of whoever leads when it is back.
#[test]
fn a_candidate_comes_back_to_the_leader_s_term() {
    for t in [MessageType::MsgHeartbeat, MessageType::MsgApp] {
        let mut net = Net::new(3);
        net.elect(1);
        net.isolate(3);
        net.elect(2);
        net.elect(1);
        assert_eq!(net.at(2).state(), Follower);
        net.at(3).raft.set_randomized_election_timeout(15);
        net.tick_one(3, 15);
        assert_eq!((net.at(3).state(), net.at(3).term()), (Candidate, 2));
        net.heal();
        let mut m = msg(t, 1, 3);
        m.to = 3;
        net.send(m);
        assert_eq!(
            (net.at(3).state(), net.at(3).term()),
            (Follower, 3),
            "{t:?}"
        );
        assert_eq!(net.at(1).term(), 3);
    }
}
