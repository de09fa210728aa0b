//! How a leader replicates and commits (Raft paper §5.3, §5.4.2).

use crate::common::{Net, Node, app, app_resp, config, entries, hs, storage_with_log, vote_resp};
use tickraft::StateType::Leader;
use tickraft::raftpb::{
    ConfChange, ConfChangeType, Entries, Entry, EntryType, Message, MessageType,
};
use tickraft::{Outcome, WriteMode};

/// Node 1 as leader of a term later than its log's, its own first entry not yet acknowledged by anyone else.
fn leader(voters: &[u64], log: &[u64], term: u64) -> Node {
    let disk = storage_with_log(voters, log, hs(term - 1, 0, 0));
    let mut n = Node::new(config(1), disk);
    n.hup();
    n.drive();
    for &id in &voters[1..=voters.len() / 2] {
        n.step(vote_resp(id, term)).unwrap();
    }
    assert_eq!((n.state(), n.term()), (Leader, term));
    n.drive();
    n
}

/// The same where all have the leader's first entry and know that it is committed.
fn settled_leader(voters: &[u64]) -> Node {
    let mut n = leader(voters, &[], 1);
    for &id in &voters[1..] {
        n.step(app_resp(id, 1, 1)).unwrap();
    }
    n.drive();
    assert_eq!((n.commit(), n.raft.last_index()), (1, 1));
    n
}

/// Raft paper §5.3: a proposal is appended, sent to all others with the entry before it, and written; it is not committed yet.
#[test]
fn a_proposal_goes_to_all_others() {
    let mut n = settled_leader(&[1, 2, 3]);
    n.raft.propose("some data".into()).unwrap();
    assert_eq!((n.raft.last_index(), n.commit()), (2, 1));
    let new: Entries = vec![Entry::new(1, 2, "some data")].into();
    let b = n.take(WriteMode::Sync);
    let to = |id| Message {
        to: id,
        ..app(1, 1, (1, 1), new.clone(), 1)
    };
    assert_eq!(b.messages, [to(2), to(3)]);
    assert_eq!(b.entries, new);
    assert!(b.committed_entries.is_empty());
}

/// Raft paper §5.3: what is safely replicated is handed out to be applied, and the others learn of it with the next appends.
#[test]
fn a_replicated_entry_is_applied_and_announced() {
    let mut n = settled_leader(&[1, 2, 3]);
    n.raft.propose("some data".into()).unwrap();
    n.drive();
    for id in [2, 3] {
        n.step(app_resp(id, 1, 2)).unwrap();
    }
    assert_eq!(n.commit(), 2);
    let b = n.take(WriteMode::Sync);
    assert_eq!(
        b.committed_entries,
        vec![Entry::new(1, 2, "some data")].into()
    );
    let sent: Vec<_> = b
        .messages
        .iter()
        .map(|m| (m.to, m.msg_type, m.commit))
        .collect();
    assert_eq!(sent, [2, 3].map(|id| (id, MessageType::MsgApp, 2)));
}

/// Raft paper §5.3: an entry is committed when it is on a majority.
#[test]
fn a_majority_commits() {
    for (size, takers, want) in [
        (1, &[][..], true),
        (3, &[], false),
        (3, &[2], true),
        (3, &[2, 3], true),
        (5, &[], false),
        (5, &[2], false),
        (5, &[2, 3], true),
        (5, &[2, 3, 4], true),
        (5, &[2, 3, 4, 5], true),
    ] {
        let voters: Vec<u64> = (1..=size).collect();
        let mut n = settled_leader(&voters);
        n.raft.propose("some data".into()).unwrap();
        n.drive();
        for &id in takers {
            n.step(app_resp(id, 1, 2)).unwrap();
        }
        assert_eq!(n.commit() > 1, want, "{takers:?} of {size}");
    }
}

/// Raft paper §5.3: with an entry all before it are committed, those of earlier leaders too, and applied in order.
#[test]
fn entries_of_earlier_leaders_are_committed_with_the_first_own_one() {
    for log in [&[][..], &[2], &[1, 2], &[1]] {
        let mut n = leader(&[1, 2, 3], log, 3);
        n.raft.propose("some data".into()).unwrap();
        n.drive();
        n.step(app_resp(2, 3, log.len() as u64 + 2)).unwrap();
        n.drive();
        let terms: Vec<_> = n.applied.iter().map(|e| e.term).collect();
        assert_eq!(terms, [log, &[3, 3]].concat());
        assert!(
            n.applied
                .iter()
                .map(|e| e.index)
                .eq(1..=log.len() as u64 + 2)
        );
        assert_eq!(n.data(), ["some data"]);
    }
}

/// Raft paper §5.4.2: only entries of the leader's own term are committed by counting. The log ends with terms 1 and 2; the leader's are 3 and 4.
#[test]
fn only_entries_of_the_own_term_are_committed_by_counting() {
    for (acked, want) in [(1, 0), (2, 0), (3, 3)] {
        let mut n = leader(&[1, 2], &[1, 2], 3);
        n.raft.propose("".into()).unwrap();
        n.drive();
        n.step(app_resp(2, 3, acked)).unwrap();
        n.drive();
        assert_eq!(n.commit(), want, "2 has {acked}");
    }
}

#[test]
fn a_group_of_one_commits_alone() {
    let mut net = Net::new(1);
    net.elect(1);
    net.propose(1, "some data").unwrap();
    net.propose(1, "some data").unwrap();
    assert_eq!(net.at(1).commit(), 3);
}

/// Five nodes; node 1 leads, and two entries get to node 2 only.
fn two_entries_on_a_minority() -> Net {
    let mut net = Net::new(5);
    net.elect(1);
    for id in [3, 4, 5] {
        net.cut(1, id);
    }
    net.propose(1, "some data").unwrap();
    net.propose(1, "some data").unwrap();
    assert_eq!(net.at(1).commit(), 1);
    net.heal();
    net
}

/// Raft paper §5.4.2: the next leader must not commit them before an entry of its own term gets through.
#[test]
fn a_new_leader_commits_nothing_without_an_entry_of_its_term() {
    let mut net = two_entries_on_a_minority();
    net.ignore(MessageType::MsgApp);
    net.elect(2);
    assert_eq!(net.at(2).commit(), 1);
    net.heal();
    net.beat(2);
    net.propose(2, "some data").unwrap();
    assert_eq!(net.at(2).commit(), 5);
}

/// Its empty first entry is such a one: no proposal need come.
#[test]
fn a_new_leader_s_first_entry_commits_those_before() {
    let mut net = two_entries_on_a_minority();
    net.elect(2);
    assert_eq!(net.at(2).commit(), 4);
}

/// What is proposed, in one term and over a change of leader, is applied everywhere in its order.
#[test]
fn proposals_are_applied_everywhere() {
    for (second_leader, commit) in [(None, 2), (Some(2), 4)] {
        let mut net = Net::new(3);
        net.elect(1);
        net.propose(1, "one").unwrap();
        let mut want = vec!["one"];
        if let Some(id) = second_leader {
            net.elect(id);
            net.propose(id, "two").unwrap();
            want.push("two");
        }
        for n in net.nodes.values() {
            assert_eq!(
                (n.commit(), n.data()),
                (commit, want.iter().map(ToString::to_string).collect())
            );
        }
    }
}

/// With a majority a proposal is in every log that is reached; without one there is no leader to take it, and logs stay empty.
#[test]
fn a_proposal_needs_a_leader() {
    for (size, gone, taken) in [
        (3, &[][..], true),
        (3, &[3], true),
        (3, &[2, 3], false),
        (4, &[2, 3], false),
        (5, &[2, 3], true),
    ] {
        let mut net = Net::new(size);
        gone.iter().for_each(|&id| net.isolate(id));
        net.hup(1);
        assert_eq!(net.propose(1, "somedata").is_ok(), taken);
        for (id, n) in net.nodes.iter().filter(|(id, _)| !gone.contains(id)) {
            let want = if taken { (vec![1, 1], 2) } else { (vec![], 0) };
            assert_eq!(
                (n.terms(), n.commit()),
                want,
                "{id} of {size} without {gone:?}"
            );
            assert_eq!(n.data(), if taken { vec!["somedata"] } else { vec![] });
        }
        assert_eq!(net.at(1).term(), 1);
    }
}

/// A follower sends a proposal on to the leader.
#[test]
fn a_proposal_may_be_made_anywhere() {
    for gone in [&[][..], &[3]] {
        let mut net = Net::new(3);
        gone.iter().for_each(|&id| net.isolate(id));
        net.elect(1);
        assert_eq!(net.propose(2, "somedata"), Ok(Outcome::Forwarded { to: 1 }));
        for (_, n) in net.nodes.iter().filter(|(id, _)| !gone.contains(id)) {
            assert_eq!((n.terms(), n.commit()), (vec![1, 1], 2));
            assert_eq!(n.data(), ["somedata"]);
        }
        assert_eq!(net.at(1).term(), 1);
    }
}

/// An append that a leader sent two terms ago changes nothing.
#[test]
fn appends_of_an_earlier_leader_are_ignored() {
    let mut net = Net::new(3);
    for id in [1, 2, 1] {
        net.elect(id);
    }
    let mut old = app(2, 2, (2, 2), entries(3, &[2]), 0);
    old.to = 1;
    net.send(old);
    net.propose(1, "somedata").unwrap();
    for n in net.nodes.values() {
        assert_eq!((n.terms(), n.commit()), (vec![1, 2, 3, 3], 4));
        assert_eq!(n.data(), ["somedata"]);
    }
}

/// Raft paper §5.3, figure 7: whatever a follower's log lacks or has too much, the leader brings it to its own. Node 3 gives its vote and is not seen
/// otherwise, for the follower's may be refused.
#[test]
fn a_leader_brings_any_log_to_its_own() {
    let ours = &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6];
    for theirs in [
        &[1, 1, 1, 4, 4, 5, 5, 6, 6][..],
        &[1, 1, 1, 4],
        &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6],
        &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7],
        &[1, 1, 1, 4, 4, 4, 4],
        &[1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3],
    ] {
        let mut net = Net::new(3);
        let voters = &[1, 2, 3];
        *net.at(1) = Node::new(config(1), storage_with_log(voters, ours, hs(8, 0, 10)));
        *net.at(2) = Node::new(config(2), storage_with_log(voters, theirs, hs(7, 0, 0)));
        net.isolate(3);
        net.hup(1);
        net.at(1).step(vote_resp(3, 9)).unwrap();
        net.settle();
        net.propose(1, "").unwrap();
        assert_eq!(net.at(1).terms(), [&ours[..], &[9, 9]].concat());
        assert_eq!(net.at(2).terms(), net.at(1).terms(), "{theirs:?}");
        assert_eq!((net.at(1).commit(), net.at(2).commit()), (12, 12));
    }
}

/// A smaller quorum, once a member is removed, commits what waited.
#[test]
fn what_waits_is_committed_when_a_member_goes() {
    let mut n = leader(&[1, 2], &[], 1);
    n.holds = true;
    let remove = ConfChange {
        change_type: ConfChangeType::RemoveNode,
        node_id: 2,
        ..ConfChange::default()
    };
    n.raft.propose_conf_change(&remove).unwrap();
    n.drive();
    assert_eq!(n.commit(), 0);
    n.raft.propose("hello".into()).unwrap();
    n.drive();
    n.step(app_resp(2, 1, 2)).unwrap();
    n.drive();
    assert_eq!(
        n.commit(),
        2,
        "the first entry and the change, not what came after"
    );
    n.apply_held();
    let types: Vec<_> = n
        .applied
        .iter()
        .map(|e| (e.get_type(), e.data.is_empty()))
        .collect();
    use tickraft::raftpb::EntryType::Normal;
    assert_eq!(types, [(Normal, true), (EntryType::ConfChange, false)]);
    assert_eq!(n.commit(), 3);
    n.drive();
    n.apply_held();
    assert_eq!(n.data(), ["hello"]);
}
