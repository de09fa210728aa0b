//! What docs/notes says and no other test shows. Go: (none)

#![allow(clippy::unwrap_used)]

mod common;

use common::{Net, Node, conf_state, config, entries, msg, snapshot, storage, storage_with_log};
use std::collections::BTreeMap;
use tickraft::raftpb::{Entry, HardState, Message, MessageType, is_local_msg, is_response_msg};
use tickraft::tracker::StateType as Progress;
use tickraft::{Batch, CampaignType, Config, Peer, ReadOnlyOption, StateType, WriteMode};

/// What role, leader, term and vote are after each change of role.
fn facts(n: &Node) -> (StateType, u64, u64, u64) {
    (n.state(), n.lead(), n.term(), n.raft.hard_state().vote)
}

#[test]
fn each_change_of_role_sets_role_leader_term_and_vote() {
    let c = Config {
        pre_vote: true,
        ..config(1)
    };
    let mut n = Node::new(c, storage_with_log(&[1, 2, 3], &[1], HardState::default()));
    // `new` ends with become_follower: no leader, the stored term.
    assert_eq!(facts(&n), (StateType::Follower, 0, 0, 0));
    n.step(msg(MessageType::MsgHeartbeat, 2, 4)).unwrap();
    assert_eq!(facts(&n), (StateType::Follower, 2, 4, 0));
    // A pre-candidate forgets its leader and keeps term and vote.
    n.hup();
    assert_eq!(facts(&n), (StateType::PreCandidate, 0, 4, 0));
    n.drive();
    n.step(msg(MessageType::MsgPreVoteResp, 2, 5)).unwrap();
    assert_eq!(facts(&n), (StateType::Candidate, 0, 5, 1));
    n.drive();
    n.step(msg(MessageType::MsgVoteResp, 2, 5)).unwrap();
    assert_eq!(facts(&n), (StateType::Leader, 1, 5, 1));
    // The leader replicates to itself, probes the others from behind its last entry as that was, and has appended an empty entry.
    assert_eq!(n.raft.progress(1).unwrap().state, Progress::Replicate);
    assert!(n.raft.progress(1).unwrap().recent_active);
    let other = n.raft.progress(3).unwrap();
    assert_eq!(
        (other.state, other.matched, other.next),
        (Progress::Probe, 0, 2)
    );
    assert_eq!(n.raft.last_index(), 2);
    // A leader of the same term cannot be; one of a later term makes a follower, and the vote is gone with the term.
    n.step(msg(MessageType::MsgHeartbeat, 3, 6)).unwrap();
    assert_eq!(facts(&n), (StateType::Follower, 3, 6, 0));
}

/// Every change of term or role starts the count of ticks anew, and so does a granted vote; a heartbeat within the term does too.
#[test]
fn what_starts_the_election_clock_anew() {
    let fresh = || {
        let mut n = Node::new(config(1), storage(&[1, 2, 3], &[]));
        n.step(msg(MessageType::MsgHeartbeat, 2, 5)).unwrap();
        n.drive();
        n.raft.set_randomized_election_timeout(10);
        (0..9).for_each(|_| n.raft.tick().unwrap());
        n
    };
    let vote = |term| msg(MessageType::MsgVote, 3, term);
    for (what, m, reset) in [
        ("nothing", None, false),
        (
            "a heartbeat",
            Some(msg(MessageType::MsgHeartbeat, 2, 5)),
            true,
        ),
        ("an append", Some(msg(MessageType::MsgApp, 2, 5)), true),
        ("a vote refused in this term", Some(vote(5)), false),
        ("a vote granted in the next", Some(vote(6)), true),
        (
            "an answer of the next term",
            Some(msg(MessageType::MsgAppResp, 3, 6)),
            true,
        ),
        (
            "a message of an earlier term",
            Some(msg(MessageType::MsgHeartbeat, 3, 4)),
            false,
        ),
    ] {
        let mut n = fresh();
        if let Some(m) = m {
            n.step(m).unwrap();
        }
        n.raft.tick().unwrap();
        assert_eq!(n.state() == StateType::Follower, reset, "{what}");
    }
    // In a term that this node is in already, where nobody leads: a granted vote does, a granted pre-vote promises nothing.
    for (asks, state, vote) in [
        (vote(5), StateType::Follower, 3),
        (msg(MessageType::MsgPreVote, 3, 6), StateType::Candidate, 1),
    ] {
        let mut n = Node::new(config(1), storage(&[1, 2, 3], &[]));
        n.step(msg(MessageType::MsgAppResp, 2, 5)).unwrap();
        n.raft.set_randomized_election_timeout(10);
        (0..9).for_each(|_| n.raft.tick().unwrap());
        n.step(asks).unwrap();
        assert!(!n.drive()[0].reject);
        n.raft.tick().unwrap();
        assert_eq!((n.state(), n.raft.hard_state().vote), (state, vote));
    }
}

#[test]
fn votes_go_by_the_last_entry_and_not_by_commit() {
    let hs = |commit| HardState {
        term: 3,
        vote: 0,
        commit,
    };
    for (candidate, knows, voter, knew, wins) in [
        // The same log, and the voter knows more of it to be committed.
        (&[1, 1, 2][..], 0, &[1, 1, 2][..], 3, true),
        // A longer log, of which the voter has committed all it has.
        (&[1, 1, 2, 2], 0, &[1, 1, 2], 3, true),
        // The candidate knows more to be committed, and lacks an entry, be it of the same term or of a later.
        (&[1, 1], 2, &[1, 1, 1], 0, false),
        (&[1, 1], 2, &[1, 1, 2], 0, false),
    ] {
        let mut net = Net::new(2);
        *net.at(1) = Node::new(config(1), storage_with_log(&[1, 2], candidate, hs(knows)));
        *net.at(2) = Node::new(config(2), storage_with_log(&[1, 2], voter, hs(knew)));
        net.hup(1);
        let won = net.at(1).state() == StateType::Leader;
        assert_eq!(won, wins, "{candidate:?} asks {voter:?}");
    }
}

/// The library's default is off; etcd's server turns it on. It makes a lease for votes, not for reads.
#[test]
fn check_quorum_is_off_unless_asked_for_and_leases_no_reads() {
    let c = Config::new(1, 7);
    assert!(!c.check_quorum && !c.pre_vote);
    assert_eq!(c.read_only_option, ReadOnlyOption::Safe);
    let mut net = Net::with(3, |c| c.check_quorum = true);
    net.elect(1);
    net.isolate(1);
    net.at(1).read_index("r");
    net.settle();
    assert!(
        net.at(1).read_states.is_empty(),
        "a lease alone answers nothing"
    );
    net.heal();
    net.tick(1);
    assert_eq!(net.at(1).read_contexts(), ["r"]);
}

/// After a bootstrap of three the log ends at 3, so every member is to be probed from there: what etcd's debugger shows.
#[test]
fn bootstrap_sets_the_progress_of_each_member() {
    let peers: Vec<_> = (1..=3)
        .map(|id| Peer {
            id,
            ..Peer::default()
        })
        .collect();
    let mut n = Node::new(config(1), storage_mem::MemoryStorage::new());
    n.raft.bootstrap(&peers).unwrap();
    for id in 1..=3 {
        let pr = n.raft.progress(id).unwrap();
        assert_eq!((pr.matched, pr.state), (0, Progress::Probe));
        assert!(pr.next == 3 && pr.recent_active && !pr.is_paused());
        assert_eq!((pr.pending_snapshot, pr.is_learner), (0, false));
    }
}

/// MsgApp: `index` and `log_term` name the entry before the first that is sent, `commit` is the leader's.
#[test]
fn the_fields_of_an_append_and_of_its_answers() {
    let mut n = Node::new(config(2), storage(&[1, 2, 3], &[]));
    n.step(Message {
        entries: entries(1, &[5; 100]),
        ..msg(MessageType::MsgApp, 1, 5)
    })
    .unwrap();
    n.drive();
    let app = |index, log_term| Message {
        index,
        log_term,
        commit: 100,
        entries: vec![Entry::new(6, index + 1, "x")].into(),
        ..msg(MessageType::MsgApp, 1, 6)
    };
    n.step(app(100, 5)).unwrap();
    let taken = n.drive().remove(0);
    assert_eq!(
        (taken.reject, taken.index),
        (false, 101),
        "the last that it has now"
    );
    assert_eq!(n.commit(), 100);
    // Refused because there is no entry (105, 6) here, not because there is one: `index` repeats the question, the hint answers it.
    n.step(app(105, 6)).unwrap();
    let refused = n.drive().remove(0);
    assert_eq!((refused.reject, refused.index), (true, 105));
    assert_eq!((refused.reject_hint, refused.log_term), (101, 6));
}

/// Which messages carry no term, which must wait for the write, by looking at all that a busy group sends.
#[test]
fn terms_and_waiting_are_a_matter_of_the_type() {
    use MessageType::*;
    let mut seen: BTreeMap<u8, (bool, bool)> = BTreeMap::new();
    let mut net = Net::with(3, |c| c.pre_vote = true);
    let mut batch = Batch::default();
    let mut mail = Vec::new();
    let mut note = |m: &Message, waits: bool| {
        let old = seen.insert(m.msg_type as u8, (m.term != 0, waits));
        assert!(
            old.is_none_or(|o| o == (m.term != 0, waits)),
            "{}",
            m.msg_type
        );
    };
    net.at(1).hup();
    for round in 0..60 {
        match round {
            20 => net
                .at(2)
                .raft
                .propose("forwarded".into())
                .map(drop)
                .unwrap(),
            25 => drop(net.at(2).read_index("forwarded")),
            30 => drop(net.at(3).step(msg(MsgTransferLeader, 3, 0)).unwrap()),
            _ => {}
        }
        for id in 1..=3 {
            let n = net.at(id);
            if round % 5 == 0 {
                n.raft.tick().unwrap();
            }
            while let Some(pending) = n.raft.pending(WriteMode::Sync).unwrap() {
                pending.accept(&mut batch);
                batch.messages.iter().for_each(|m| note(m, false));
                batch
                    .messages_after_append
                    .iter()
                    .for_each(|m| note(m, true));
                n.disk.append(&batch.entries).unwrap();
                mail.append(&mut batch.messages);
                let (own, others): (Vec<_>, Vec<_>) = batch
                    .messages_after_append
                    .drain(..)
                    .partition(|m| m.to == id);
                mail.extend(others);
                for m in own
                    .into_iter()
                    .chain(batch.append_resp.take())
                    .chain(batch.apply_resp.take())
                {
                    n.raft.step(m).unwrap();
                }
            }
        }
        for m in std::mem::take(&mut mail) {
            net.at(m.to).raft.step(m).unwrap();
        }
    }
    for (t, (has_term, waits)) in &seen {
        let t = MessageType::ALL
            .iter()
            .copied()
            .find(|a| *a as u8 == *t)
            .unwrap();
        assert_eq!(*has_term, !matches!(t, MsgProp | MsgReadIndex), "{t}");
        assert_eq!(
            *waits,
            matches!(t, MsgAppResp | MsgVoteResp | MsgPreVoteResp),
            "{t}"
        );
        assert!(!is_local_msg(t), "{t}");
    }
    for t in [
        MsgProp,
        MsgApp,
        MsgAppResp,
        MsgVote,
        MsgVoteResp,
        MsgPreVote,
        MsgPreVoteResp,
        MsgHeartbeat,
        MsgHeartbeatResp,
        MsgTransferLeader,
        MsgTimeoutNow,
        MsgReadIndex,
        MsgReadIndexResp,
    ] {
        assert!(seen.contains_key(&(t as u8)), "{t} was not sent");
    }
    assert!(
        is_response_msg(MsgUnreachable),
        "the odd one: etcd counts it among the answers"
    );
}

/// A transfer passes over pre-vote and lease: the vote says so in its context.
#[test]
fn a_transfer_says_so_in_its_votes() {
    let mut net = Net::with(3, |c| (c.check_quorum, c.pre_vote) = (true, true));
    net.elect(1);
    net.tick(1);
    net.at(2)
        .step(msg(MessageType::MsgTimeoutNow, 1, 1))
        .unwrap();
    let out = net.at(2).drive();
    assert!(out.iter().all(|m| m.msg_type == MessageType::MsgVote));
    for m in out {
        assert_eq!(m.context(), CampaignType::Transfer.as_str().as_bytes());
    }
}

/// A follower's answer to a snapshot is a MsgAppResp too.
#[test]
fn a_snapshot_is_answered_like_an_append() {
    let mut n = Node::new(config(2), storage(&[1, 2], &[]));
    n.step(Message {
        snapshot: Some(Box::new(snapshot(11, 2, conf_state(&[1, 2], &[])))),
        ..msg(MessageType::MsgSnap, 1, 2)
    })
    .unwrap();
    let out = n.drive();
    assert_eq!(out.len(), 1);
    assert_eq!(
        (out[0].msg_type, out[0].index),
        (MessageType::MsgAppResp, 11)
    );
}

/// Two nodes may take themselves for leaders; only the one whom a majority follows commits.
#[test]
fn an_old_leader_commits_nothing() {
    let mut net = Net::new(5);
    net.elect(1);
    net.cut(1, 3);
    net.cut(1, 4);
    net.cut(1, 5);
    net.cut(2, 3);
    net.cut(2, 4);
    net.cut(2, 5);
    net.hup(3);
    assert_eq!(net.leaders(), [1, 3]);
    assert!(net.at(1).term() < net.at(3).term(), "never two in one term");
    net.propose(1, "lost").unwrap();
    net.propose(3, "kept").unwrap();
    assert_eq!((net.at(1).commit(), net.at(3).commit()), (1, 3));
    net.heal();
    net.tick(2);
    assert_eq!(net.leaders(), [3]);
    assert_eq!(net.at(1).data(), ["kept"]);
}

/// A vote within a term that is stored already is a reason to sync by itself.
#[test]
fn a_vote_alone_must_be_durable() {
    let mut n = Node::new(
        config(1),
        storage_with_log(&[1, 2, 3], &[1], HardState::default()),
    );
    // A candidate whose log is behind: its term is taken, and stored, its wish is not granted.
    n.step(msg(MessageType::MsgVote, 2, 1)).unwrap();
    n.drive();
    let (term, syncs) = (n.term(), n.syncs);
    n.step(Message {
        index: 1,
        log_term: 1,
        ..msg(MessageType::MsgVote, 3, 1)
    })
    .unwrap();
    n.drive();
    assert_eq!((n.term(), n.raft.hard_state().vote), (term, 3));
    assert_eq!(n.syncs, syncs + 1);
}
