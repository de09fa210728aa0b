//! Changes of the configuration (thesis chapter 4): who is a member then, how many may be under way, and who may campaign meanwhile.

use crate::common::{Net, Node, change, config, hs, storage, storage_with_log, vote_resp};
use tickraft::StateType::{Candidate, Follower, Leader};
use tickraft::raftpb::{ConfChange, ConfChangeI, ConfChangeType, Entry, EntryType, MessageType};
use tickraft::storage::Storage;
use tickraft::{Error, Outcome, RefuseReason, WriteMode};

fn single(change_type: ConfChangeType, node_id: u64) -> ConfChange {
    ConfChange {
        change_type,
        node_id,
        ..ConfChange::default()
    }
}

/// A leader of two whose peer says nothing.
fn leader(log: &[u64]) -> Node {
    let mut n = Node::new(config(1), storage_with_log(&[1, 2], log, hs(1, 0, 0)));
    n.hup();
    n.drive();
    n.step(vote_resp(2, 2)).unwrap();
    assert_eq!(n.state(), Leader);
    n.drive();
    n
}

/// Voters and learners come and go, one change at a time; this node itself may become a learner and a voter again.
#[test]
fn changes_change_the_members() {
    for (voters, learners, steps) in [
        (&[1][..], &[][..], &[("v2", "voters=(1 2)")][..]),
        (&[1, 2], &[], &[("r2", "voters=(1)")]),
        (&[1], &[2], &[("r2", "voters=(1)")]),
        (
            &[1],
            &[],
            &[
                ("l2", "voters=(1) learners=(2)"),
                ("v2", "voters=(1 2)"),
                ("l1", "voters=(2) learners=(1)"),
                ("v1", "voters=(1 2)"),
            ],
        ),
    ] {
        let mut n = Node::new(config(1), storage(voters, learners));
        for &(cc, want) in steps {
            n.raft.apply_conf_change(&change(cc, false)).unwrap();
            assert_eq!(n.raft.config().to_string(), want);
            let config = n.raft.config().clone();
            for id in config.voters.ids() {
                assert!(!n.raft.progress(id).unwrap().is_learner);
            }
            for id in &config.learners {
                assert!(n.raft.progress(id).unwrap().is_learner);
            }
        }
    }
}

/// The last voter stays: etcd's process ends here.
#[test]
fn the_last_voter_cannot_be_removed() {
    for (voters, learners) in [(&[1, 2][..], &[][..]), (&[1], &[2])] {
        let mut n = Node::new(config(1), storage(voters, learners));
        n.raft.apply_conf_change(&change("r2", false)).unwrap();
        let e = n.raft.apply_conf_change(&change("r1", false)).unwrap_err();
        assert!(matches!(e, Error::ConfChange(_)));
        assert_eq!(n.raft.config().to_string(), "voters=(1)");
    }
}

#[test]
fn voters_are_listed_in_order() {
    for ids in [[1, 2, 3], [3, 2, 1]] {
        let n = Node::new(config(1), storage(&ids, &[]));
        assert!(n.raft.config().voters.ids().eq(1..=3));
    }
}

/// One change at a time: while one is in the log and not applied, another becomes an empty entry (with etcd's explicit type), and the first
/// one's index is what is waited for.
#[test]
fn the_next_change_waits_until_the_first_is_applied() {
    let mut n = leader(&[]);
    let empty = || Entry {
        entry_type: Some(EntryType::ConfChange),
        ..Entry::default()
    };
    let propose = |n: &mut Node| n.raft.propose_entries(vec![empty()].into()).unwrap();
    assert_eq!(propose(&mut n), Outcome::Appended { term: 2, index: 2 });
    let reason = RefuseReason::PendingConfChange {
        index: 2,
        applied: 0,
    };
    for index in [3, 4] {
        assert_eq!(propose(&mut n), Outcome::Refused { index, reason });
        n.drive();
        let e = n.disk.entries(index, index + 1, u64::MAX).unwrap();
        let want = Entry {
            entry_type: Some(EntryType::Normal),
            ..Entry::new(2, index, "")
        };
        let e = e.first().unwrap();
        assert_eq!((e, e.entry_type), (&want, want.entry_type));
    }
}

/// A new leader does not look whether there is a change among the entries that it has not applied: it waits until all are.
#[test]
fn a_new_leader_waits_for_all_that_is_not_applied() {
    let add = single(ConfChangeType::AddNode, 3);
    let done = leader(&[]).raft.propose_conf_change(&add);
    assert_eq!(done, Ok(Outcome::Appended { term: 2, index: 2 }));
    let reason = RefuseReason::PendingConfChange {
        index: 1,
        applied: 0,
    };
    let done = leader(&[1]).raft.propose_conf_change(&add);
    assert_eq!(done, Ok(Outcome::Refused { index: 3, reason }));
}

/// Who has a change committed and not applied does not campaign: not when its time is up, not when leadership is handed to it. Once it has
/// applied it, it does; and so does the leader of before.
#[test]
fn an_unapplied_change_forbids_to_campaign() {
    for v2 in [false, true] {
        let mut net = Net::new(3);
        net.elect(1);
        for id in [1, 2] {
            net.at(id).holds = true;
        }
        let remove = single(ConfChangeType::RemoveNode, 2);
        let done = if v2 {
            net.change(1, &remove.as_v2())
        } else {
            let done = net.at(1).raft.propose_conf_change(&remove);
            net.settle();
            done
        };
        assert_eq!(done, Ok(Outcome::Appended { term: 1, index: 2 }));
        assert_eq!((net.at(1).commit(), net.at(2).commit()), (2, 2));

        net.at(2).raft.set_randomized_election_timeout(10);
        net.at(2).ticks(10);
        assert_eq!(net.at(2).state(), Follower);
        net.transfer(1, 2);
        assert_eq!((net.at(1).state(), net.at(2).state()), (Leader, Follower));
        // The transfer is given up.
        net.at(1).ticks(10);

        net.at(2).skip_held();
        net.transfer(1, 2);
        assert_eq!((net.at(1).state(), net.at(2).state()), (Follower, Leader));
        net.at(1).skip_held();
        net.at(1).raft.set_randomized_election_timeout(10);
        net.at(1).ticks(10);
        assert_eq!(net.at(1).state(), Candidate);
    }
}

/// A learner does not campaign, whether its time is up, its application wants it or a leader hands over to it.
#[test]
fn a_learner_does_not_campaign() {
    let mut net = Net::of(&[1], &[2], |_| {});
    net.at(2).raft.set_randomized_election_timeout(10);
    net.at(2).ticks(10);
    assert_eq!((net.at(2).state(), net.at(2).term()), (Follower, 0));

    // One that became a learner by a change, as another group has it.
    let nodes = [1, 2].map(|id| {
        let mut n = Node::new(config(id), storage(&[1], &[]));
        n.raft.apply_conf_change(&change("l2", false)).unwrap();
        (id, n)
    });
    let mut net = Net::from_nodes(nodes.into());
    net.hup(2);
    assert_eq!(net.at(2).state(), Follower);
    assert!(net.at(2).raft.progress(2).unwrap().is_learner);
    net.elect(1);
    assert_eq!(net.at(1).lead(), 1);
    let mut m = crate::common::msg(MessageType::MsgTimeoutNow, 1, 1);
    m.to = 2;
    net.send(m);
    assert_eq!(net.at(2).state(), Follower);
}

/// Thesis §4.2.1: a learner gets what the leader appends, and counts for nothing; promoted, it may win.
#[test]
fn a_learner_follows_until_it_is_promoted() {
    let mut net = Net::of(&[1], &[2], |_| {});
    for id in [1, 2] {
        net.at(id).raft.set_randomized_election_timeout(10);
    }
    net.tick_one(1, 10);
    assert_eq!(net.states(), [Leader, Follower]);
    net.beat(1);
    net.propose(1, "somedata").unwrap();
    assert_eq!((net.at(1).commit(), net.at(2).commit()), (2, 2));
    assert_eq!(crate::common::progress(&mut net, 1, 2).matched, 2);

    for id in [1, 2] {
        net.at(id)
            .raft
            .apply_conf_change(&change("v2", false))
            .unwrap();
    }
    assert!(!net.at(2).raft.progress(2).unwrap().is_learner);
    net.at(2).raft.set_randomized_election_timeout(10);
    net.at(2).ticks(10);
    net.settle();
    net.beat(2);
    assert_eq!(net.states(), [Follower, Leader]);
}

/// What is committed of a learner's making is nothing: it never acknowledges for a quorum.
#[test]
fn a_learner_is_no_part_of_a_quorum() {
    let mut net = Net::of(&[1, 2, 3], &[4, 5], |_| {});
    net.elect(1);
    net.isolate(2);
    net.isolate(3);
    net.propose(1, "x").unwrap();
    assert_eq!(net.at(1).commit(), 1);
    assert_eq!(net.at(4).raft.last_index(), 2);
    assert!(!net.at(4).raft.has_pending(WriteMode::Sync));
}

/// etcd's process ends here; who proposes and who applies agree that nothing has changed.
#[test]
fn an_invalid_configuration_change_is_an_error_and_changes_nothing() {
    let mut n = leader(&[]);
    for (cc, text) in [
        (change("", false), "can't leave a non-joint config"),
        (change("r1 r2", false), "removed all voters"),
    ] {
        let before = n.raft.config().clone();
        let e = n.raft.apply_conf_change(&cc).unwrap_err();
        assert!(matches!(e, Error::ConfChange(_)));
        assert_eq!(e.to_string(), text);
        assert_eq!(*n.raft.config(), before);
        assert!(!n.raft.has_pending(WriteMode::Sync));
    }
    n.raft.apply_conf_change(&change("v0", false)).unwrap();
    assert_eq!(n.raft.config().to_string(), "voters=(1 2)");
}
