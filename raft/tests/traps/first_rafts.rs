//! What those who wrote their first Raft got wrong, from their notes.

use crate::common::{
    Net, Node, app_resp, config, entries, lone_leader, msg, storage, storage_with_log, vote_resp,
};
use tickraft::raftpb::{HardState, Message, MessageType};
use tickraft::{DropReason, Outcome, StateType};

#[test]
fn votes_of_two_terms_are_not_added_up() {
    let mut n = Node::new(config(1), storage(&[1, 2, 3, 4, 5], &[]));
    n.hup();
    n.drive();
    n.step(vote_resp(2, 1)).unwrap();
    n.hup();
    n.drive();
    n.step(vote_resp(3, 2)).unwrap();
    assert_eq!(n.state(), StateType::Candidate, "two of five in term 2");
    // A late vote of term 1, and the same vote again.
    assert_eq!(
        n.step(vote_resp(4, 1)).unwrap(),
        Outcome::Dropped(DropReason::LowerTerm)
    );
    n.step(vote_resp(3, 2)).unwrap();
    assert_eq!(n.state(), StateType::Candidate);
    n.step(vote_resp(4, 2)).unwrap();
    assert_eq!(n.state(), StateType::Leader);
}

#[test]
fn a_vote_is_not_forgotten_within_its_term() {
    let disk = storage(&[1, 2, 3], &[]);
    let mut n = Node::new(config(1), disk.clone());
    let granted = |n: &mut Node, from| {
        n.step(msg(MessageType::MsgVote, from, 1)).unwrap();
        !n.drive()[0].reject
    };
    assert!(granted(&mut n, 2));
    assert!(!granted(&mut n, 3));
    assert!(granted(&mut n, 2), "the same again");
    // Not by a leader of this term, nor by a restart.
    n.step(msg(MessageType::MsgHeartbeat, 2, 1)).unwrap();
    n.drive();
    assert!(!granted(&mut n, 3));
    let mut n = Node::new(config(1), disk);
    assert!(!granted(&mut n, 3));
    assert!(granted(&mut n, 2));
}

/// Raft paper, Figure 8.
#[test]
fn an_entry_of_an_earlier_term_is_not_committed_by_counting() {
    let hs = |term| HardState {
        term,
        vote: 0,
        commit: 0,
    };
    let mut net = Net::new(5);
    for (id, terms) in [
        (1, &[1, 2][..]),
        (2, &[1, 2]),
        (3, &[1]),
        (4, &[1]),
        (5, &[1, 3]),
    ] {
        *net.at(id) = Node::new(config(id), storage_with_log(&[1, 2, 3, 4, 5], terms, hs(3)));
    }
    // 1 leads in term 4 and brings its entry of term 2 to a majority, but not yet its own of term 4.
    net.cut(1, 4);
    net.cut(1, 5);
    let mut n = Node::new(
        config(1),
        storage_with_log(&[1, 2, 3, 4, 5], &[1, 2], hs(3)),
    );
    n.hup();
    n.drive();
    for id in [2, 3] {
        n.step(vote_resp(id, 4)).unwrap();
    }
    n.drive();
    assert_eq!(n.state(), StateType::Leader);
    for id in [2, 3] {
        n.step(app_resp(id, 4, 2)).unwrap();
    }
    n.drive();
    assert_eq!(n.commit(), 0, "entry 2 of term 2 is on three of five");
    for id in [2, 3] {
        n.step(app_resp(id, 4, 3)).unwrap();
    }
    assert_eq!(n.commit(), 3, "with the first entry of term 4 it is");
}

#[test]
fn a_leader_counts_itself() {
    let mut n = lone_leader(&[1, 2, 3], |_| {});
    assert_eq!(n.raft.progress(1).unwrap().matched, 1);
    n.raft.propose("a".into()).unwrap();
    n.drive();
    n.step(app_resp(3, 1, 2)).unwrap();
    assert_eq!(n.commit(), 2);
}

#[test]
fn a_late_append_takes_nothing_away() {
    let mut n = Node::new(config(2), storage(&[1, 2, 3], &[]));
    let app = |index, log_term, e| Message {
        index,
        log_term,
        entries: e,
        ..msg(MessageType::MsgApp, 1, 1)
    };
    n.step(app(0, 0, entries(1, &[1, 1, 1]))).unwrap();
    n.step(app(0, 0, entries(1, &[1]))).unwrap();
    n.drive();
    assert_eq!(n.terms(), [1, 1, 1]);
}

#[test]
fn a_candidate_that_does_not_win_tries_again() {
    let mut net = Net::new(3);
    net.isolate(1);
    net.tick_one(1, 20);
    assert_eq!(net.at(1).state(), StateType::Candidate);
    let term = net.at(1).term();
    net.tick_one(1, 20);
    assert!(net.at(1).term() > term);
    net.heal();
    net.tick_one(1, 20);
    assert_eq!(net.at(1).state(), StateType::Leader);
}

#[test]
fn acknowledgements_of_an_earlier_term_do_not_count() {
    let mut n = lone_leader(&[1, 2, 3], |_| {});
    n.step(msg(MessageType::MsgAppResp, 2, 2)).unwrap();
    n.hup();
    n.drive();
    n.step(vote_resp(2, 3)).unwrap();
    n.drive();
    assert_eq!((n.state(), n.term()), (StateType::Leader, 3));
    assert_eq!(
        n.step(app_resp(2, 1, 2)).unwrap(),
        Outcome::Dropped(DropReason::LowerTerm)
    );
    assert_eq!(n.commit(), 0);
    assert_eq!(n.raft.progress(2).unwrap().matched, 0);
}
