//! Elections, leases and transfers across a group. Go: raft_test.go, raft_paper_test.go

#![allow(clippy::unwrap_used)]

mod common;

use StateType::{Candidate, Follower, Leader, PreCandidate};
use common::{Lines, Net, Node, config, msg, storage, storage_with_log};
use std::collections::BTreeSet;
use tickraft::raftpb::{HardState, Message, MessageType};
use tickraft::{DropReason, Outcome, StateType};

#[test]
fn a_majority_elects() {
    for pre_vote in [false, true] {
        // How many of the voters are there, and who wins.
        for (n, gone, want) in [
            (1, &[][..], Leader),
            (3, &[], Leader),
            (3, &[2], Leader),
            (3, &[2, 3], if pre_vote { PreCandidate } else { Candidate }),
            (4, &[2, 3], if pre_vote { PreCandidate } else { Candidate }),
            (5, &[2, 3], Leader),
        ] {
            let mut net = Net::with(n, |c| c.pre_vote = pre_vote);
            gone.iter().for_each(|&id| net.isolate(id));
            net.hup(1);
            assert_eq!(net.at(1).state(), want, "{n} without {gone:?}");
            let term = if want == PreCandidate { 0 } else { 1 };
            assert_eq!(net.at(1).term(), term);
        }
    }
}

/// Every node can lead, whoever led before.
#[test]
fn leadership_goes_round() {
    for pre_vote in [false, true] {
        let mut net = Net::with(3, |c| c.pre_vote = pre_vote);
        for (term, id) in (1..).zip([1, 2, 3, 2, 1]) {
            net.elect(id);
            for n in net.nodes.values() {
                assert_eq!((n.lead(), n.term()), (id, term));
            }
            assert_eq!(net.leaders(), [id]);
        }
    }
}

/// Whose log is behind is not elected, even if it has a later term.
#[test]
fn a_shorter_log_does_not_win() {
    let hs = |term| HardState {
        term,
        vote: 0,
        commit: 0,
    };
    for (candidate, voter, wins) in [
        (&[1, 1][..], &[1, 1][..], true),
        (&[1, 1], &[1], true),
        (&[1], &[1, 1], false),
        (&[1, 2], &[1, 1, 1], true),
        (&[1, 1, 1], &[1, 2], false),
    ] {
        let mut net = Net::new(2);
        *net.at(1) = Node::new(config(1), storage_with_log(&[1, 2], candidate, hs(7)));
        *net.at(2) = Node::new(config(2), storage_with_log(&[1, 2], voter, hs(3)));
        net.hup(1);
        assert_eq!(
            net.at(1).state() == Leader,
            wins,
            "{candidate:?} asks {voter:?}"
        );
        assert_eq!(net.at(2).term(), 8);
    }
}

/// A candidate follows whoever wins the term it lost.
#[test]
fn a_candidate_of_the_same_term_gives_way() {
    let mut net = Net::new(3);
    net.isolate(3);
    net.elect(1);
    net.hup(3);
    assert_eq!((net.at(3).state(), net.at(3).term()), (Candidate, 1));
    net.heal();
    net.tick_one(1, 1);
    assert_eq!((net.at(3).state(), net.at(3).lead()), (Follower, 1));
}

/// With a term of its own it brings the leader down instead.
#[test]
fn a_leader_gives_way_to_a_later_term() {
    let mut net = Net::new(3);
    net.elect(1);
    net.isolate(3);
    net.hup(3);
    net.hup(3);
    net.heal();
    // It hears of the old leader, whose term is past, and asks for votes when its time is up.
    net.tick_one(1, 1);
    assert_eq!((net.at(1).state(), net.at(3).lead()), (Leader, 0));
    net.tick_one(3, 20);
    assert_eq!((net.leaders(), net.at(1).term()), (vec![3], 4));
}

#[test]
fn timeouts_are_random_within_their_bounds_and_differ_between_nodes() {
    let mut firsts = BTreeSet::new();
    let mut seen = BTreeSet::new();
    for id in 1..=40 {
        let mut n = Node::new(config(id), storage(&[id, 99], &[]));
        for round in 0..20 {
            let mut ticks = 0;
            let term = n.term();
            while n.term() == term {
                n.raft.tick().unwrap();
                ticks += 1;
            }
            assert!((10..20).contains(&ticks), "{ticks}");
            seen.insert(ticks);
            if round < 3 {
                firsts.insert((id, round, ticks));
            }
        }
    }
    assert_eq!(seen.len(), 10, "all of 10..=19: {seen:?}");
    let walk = |id| {
        firsts
            .iter()
            .filter(|f| f.0 == id)
            .map(|f| f.2)
            .collect::<Vec<_>>()
    };
    let walks: BTreeSet<_> = (1..=40).map(walk).collect();
    assert!(
        walks.len() > 30,
        "{} of 40 nodes with one seed differ",
        walks.len()
    );
}

/// The same inputs give the same outputs, message by message and line by line.
#[test]
fn a_run_repeats_from_its_seed() {
    let run = |seed| {
        let lines = Lines::default();
        let mut net = Net::new(3);
        for id in 1..=3 {
            let c = tickraft::Config {
                seed,
                pre_vote: true,
                ..config(id)
            };
            *net.at(id) = Node::with_logger(c, storage(&[1, 2, 3], &[]), lines.logger());
        }
        net.tick(60);
        let leader = net.leaders()[0];
        net.propose(leader, "x").unwrap();
        net.isolate(leader);
        net.tick(60);
        lines.take()
    };
    assert_eq!(run(1), run(1));
    let runs: BTreeSet<_> = (0..8).map(run).collect();
    assert!(runs.len() > 1, "the seed makes a difference");
}

#[test]
fn with_pre_vote_a_partitioned_node_does_not_disturb() {
    let mut net = Net::with(3, |c| c.pre_vote = true);
    net.elect(1);
    net.isolate(3);
    net.tick_one(3, 100);
    assert_eq!((net.at(3).state(), net.at(3).term()), (PreCandidate, 1));
    net.propose(1, "x").unwrap();
    net.heal();
    net.tick(1);
    assert_eq!((net.at(1).state(), net.at(1).term()), (Leader, 1));
    assert_eq!(net.at(3).state(), Follower);
}

/// A lease: who hears of a leader grants no vote and raises no term, unless the leader itself wants another.
#[test]
fn with_check_quorum_a_removed_node_does_not_disturb() {
    let mut net = Net::with(3, |c| c.check_quorum = true);
    net.elect(1);
    net.tick(2);
    let vote = Message {
        index: 99,
        log_term: 9,
        ..msg(MessageType::MsgVote, 9, 5)
    };
    for id in [1, 2] {
        let done = net.at(id).step(vote.clone()).unwrap();
        assert_eq!(done, Outcome::Dropped(DropReason::InLease));
        assert_eq!(net.at(id).term(), 1);
    }
    net.at(2)
        .step(vote.clone().with_context("CampaignTransfer"))
        .unwrap();
    assert_eq!(net.at(2).term(), 5);
    // After an election timeout without a leader votes count again.
    net.isolate(3);
    net.tick_one(3, 10);
    net.at(3).step(vote).unwrap();
    assert_eq!(net.at(3).term(), 5);
}

#[test]
fn with_check_quorum_a_leader_without_a_quorum_steps_down() {
    let mut net = Net::with(3, |c| c.check_quorum = true);
    net.elect(1);
    net.cut(1, 2);
    net.tick_one(1, 25);
    assert_eq!(net.at(1).state(), Leader, "3 still answers");
    net.isolate(1);
    net.tick_one(1, 20);
    assert_eq!((net.at(1).state(), net.at(1).lead()), (Follower, 0));
    assert_eq!(net.at(1).term(), 1);
}

/// A node that went ahead in its partition is brought back by its answer to the leader's heartbeat.
#[test]
fn with_check_quorum_a_node_of_a_later_term_is_not_stuck() {
    let mut net = Net::with(3, |c| c.check_quorum = true);
    net.elect(1);
    net.isolate(3);
    net.hup(3);
    net.hup(3);
    assert_eq!(net.at(3).term(), 3);
    net.heal();
    net.tick(1);
    assert_eq!(net.at(1).state(), Follower);
    assert_eq!(net.at(1).term(), 3);
    net.tick(25);
    assert_eq!(net.leaders().len(), 1);
    let leads: BTreeSet<_> = net.nodes.values().map(Node::lead).collect();
    assert_eq!(leads.len(), 1);
}

#[test]
fn leadership_is_handed_over() {
    let mut net = Net::new(3);
    net.elect(1);
    assert_eq!(net.transfer(1, 2), Outcome::Done);
    assert_eq!(net.leaders(), [2]);
    // Asked of a follower.
    assert_eq!(net.transfer(3, 3), Outcome::Forwarded { to: 2 });
    assert_eq!(net.leaders(), [3]);
    // To itself, or to nobody.
    assert_eq!(
        net.transfer(3, 3),
        Outcome::Dropped(DropReason::AlreadyLeader)
    );
    assert_eq!(net.transfer(3, 9), Outcome::Dropped(DropReason::NoProgress));
    assert_eq!(net.leaders(), [3]);
}

#[test]
fn a_transfer_waits_for_the_log_and_not_longer_than_an_election_timeout() {
    let mut net = Net::with(3, |c| (c.check_quorum, c.pre_vote) = (true, true));
    net.elect(1);
    net.isolate(3);
    net.propose(1, "x").unwrap();
    assert_eq!(net.transfer(1, 3), Outcome::Done);
    let dropped = DropReason::TransferInProgress { transferee: 3 };
    assert_eq!(
        net.propose(1, "y"),
        Err(tickraft::Error::ProposalDropped(dropped))
    );
    assert_eq!(net.transfer(1, 3), Outcome::Dropped(dropped));
    // It comes back in time and gets what it lacks first. Neither lease nor pre-vote stands in the way.
    net.tick_one(1, 5);
    net.heal();
    net.tick_one(1, 1);
    assert_eq!(net.leaders(), [3]);
    assert_eq!(net.at(3).data(), ["x"]);

    net.isolate(2);
    assert_eq!(net.transfer(3, 2), Outcome::Done);
    net.tick_one(3, 10);
    assert_eq!(net.at(3).raft.basic_status().lead_transferee, 0);
    net.propose(3, "z").unwrap();
    // Another target takes the place of the first.
    assert_eq!(net.transfer(3, 2), Outcome::Done);
    assert_eq!(net.transfer(3, 1), Outcome::Done);
    assert_eq!(net.leaders(), [1]);
}

#[test]
fn a_leader_is_forgotten_on_demand() {
    let mut net = Net::with(3, |c| (c.check_quorum, c.pre_vote) = (true, true));
    net.elect(1);
    let forget = || Message::new(MessageType::MsgForgetLeader);
    assert_eq!(
        net.at(1).step(forget()),
        Ok(Outcome::Dropped(DropReason::AlreadyLeader))
    );
    assert_eq!(net.at(2).step(forget()), Ok(Outcome::Done));
    assert_eq!(net.at(2).lead(), 0);
    assert_eq!(
        net.at(2).step(forget()),
        Ok(Outcome::Dropped(DropReason::NoLeader))
    );
    // Now 2 votes for 3, whose lease ended; the leader alone refuses.
    net.isolate(1);
    net.at(3).step(forget()).unwrap();
    net.elect(3);
    net.heal();
    net.tick(1);
    assert_eq!(net.leaders(), [3]);
}

#[test]
fn a_node_at_the_largest_term_campaigns_no_more() {
    let mut n = Node::new(config(1), storage(&[1, 2], &[]));
    n.step(msg(MessageType::MsgHeartbeat, 2, u64::MAX - 1))
        .unwrap();
    assert_eq!(n.hup(), Outcome::Dropped(DropReason::TermsExhausted));
    assert!(n.step(msg(MessageType::MsgHeartbeat, 2, u64::MAX)).is_err());
    assert_eq!(n.term(), u64::MAX - 1);
}

/// It has no term to answer in, and Go panics.
#[test]
fn a_node_without_a_term_refuses_a_pre_vote_silently() {
    let mut n = Node::new(
        config(1),
        storage_with_log(&[1, 2], &[1, 1], HardState::default()),
    );
    let m = Message {
        index: 1,
        log_term: 1,
        ..msg(MessageType::MsgPreVote, 2, 2)
    };
    assert_eq!(n.step(m), Ok(Outcome::Done));
    assert!(n.drive().is_empty());
    let m = Message {
        index: 2,
        log_term: 1,
        ..msg(MessageType::MsgPreVote, 2, 2)
    };
    n.step(m).unwrap();
    assert!(!n.drive()[0].reject);
}

/// A storage that was given a log and no hard state: the first leader's entries must not be of an earlier term than those before.
#[test]
fn the_first_election_catches_up_with_the_log() {
    for pre_vote in [false, true] {
        let mut net = Net::new(3);
        for id in 1..=3 {
            let disk = storage_with_log(&[1, 2, 3], &[3, 7], HardState::default());
            let c = tickraft::Config {
                pre_vote,
                ..config(id)
            };
            *net.at(id) = Node::new(c, disk);
        }
        net.elect(1);
        assert_eq!(net.at(1).terms(), [3, 7, 7]);
        net.elect(2);
        assert_eq!(net.at(1).terms(), [3, 7, 7, 8]);
    }
}
