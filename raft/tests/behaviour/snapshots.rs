//! Snapshots (Raft paper §7): what a node makes of one, and what a leader does while it sends one.

use crate::common::{
    Lines, Net, Node, app_resp, conf_state, config, entries, hs, lone_leader, msg, progress,
    snapshot, storage, vote_resp,
};
use std::cell::RefCell;
use std::rc::Rc;
use tickraft::StateType::{Follower, Leader};
use tickraft::raftpb::{ConfState, Message, MessageType};
use tickraft::storage::Storage;
use tickraft::tracker::StateType;
use tickraft::{Config, DropReason, Error, Malformed, Outcome};

fn msg_snap(from: u64, term: u64, index: u64, cs: ConfState) -> Message {
    Message {
        snapshot: Some(Box::new(snapshot(index, term, cs))),
        ..msg(MessageType::MsgSnap, from, term)
    }
}

/// A snapshot takes the place of log and configuration, once: the same again is ignored. Whoever sent it leads. Before it is applied there is no
/// campaign, whatever time passes. Voters become learners by it, learners voters, and a voter of the outgoing half only takes it too.
#[test]
fn a_snapshot_replaces_log_and_configuration() {
    let joint = ConfState {
        voters_outgoing: vec![1, 2, 3],
        ..conf_state(&[2, 3, 4], &[])
    };
    // The node, voters and learners before; the snapshot's configuration.
    for (id, voters, learners, cs) in [
        (1, &[1, 2][..], &[][..], conf_state(&[1, 2, 3], &[])),
        (3, &[1, 2], &[3], conf_state(&[1, 2], &[3])),
        (1, &[1, 2], &[], joint),
        (3, &[1, 2, 3], &[], conf_state(&[1, 2], &[3])),
        (3, &[1, 2], &[3], conf_state(&[1, 2, 3], &[])),
    ] {
        let lines = Lines::default();
        let mut n = Node::with_logger(config(id), storage(voters, learners), lines.logger());
        let m = msg_snap(2, 11, 11, cs.clone());
        n.step(m.clone()).unwrap();
        assert_eq!((n.lead(), n.raft.last_index(), n.commit()), (2, 11, 11));
        let done = |l: &[String]| {
            l.iter()
                .any(|l| l.ends_with("restored snapshot [index: 11, term: 11]"))
        };
        assert!(done(&lines.take()));
        let members: Vec<_> = n.raft.config().voters.ids().collect();
        let mut want = [&cs.voters[..], &cs.voters_outgoing].concat();
        want.sort_unstable();
        want.dedup();
        assert_eq!(members, want);
        assert_eq!(n.raft.config().conf_state(), cs);
        for member in members {
            assert!(!n.raft.progress(member).unwrap().is_learner);
        }
        for &learner in &cs.learners {
            assert!(n.raft.progress(learner).unwrap().is_learner);
        }

        n.step(m).unwrap();
        let again = lines.take();
        assert!(
            !done(&again) && again[0].contains("ignored snapshot"),
            "{again:?}"
        );
        n.ticks(20);
        assert_eq!(n.state(), Follower);
        n.drive();
        assert_eq!((n.disk.term(11), n.disk.last_index()), (Ok(11), Ok(11)));
        // Now those that vote may campaign, and others may not.
        let learns = cs.learners.contains(&id);
        n.ticks(20);
        assert_eq!(n.state() == Follower, learns, "{id}: {cs:?}");
    }
}

/// A leader of term 12 whose log begins behind a snapshot at 11, and which has not heard of node 2.
fn behind_a_snapshot() -> Node {
    let disk = storage_mem::MemoryStorage::new();
    disk.apply_snapshot(&snapshot(11, 11, conf_state(&[1, 2], &[])))
        .unwrap();
    disk.set_hard_state(hs(11, 0, 11));
    let mut n = Node::new(config(1), disk);
    n.hup();
    n.drive();
    n.step(vote_resp(2, 12)).unwrap();
    n.drive();
    assert_eq!(n.state(), Leader);
    n
}

/// The same after node 2 has refused what follows the snapshot.
fn sending() -> Node {
    let mut n = behind_a_snapshot();
    let reject = Message {
        reject: true,
        ..app_resp(2, 12, 11)
    };
    n.step(reject).unwrap();
    let sent: Vec<_> = n.drive().iter().map(|m| (m.to, m.msg_type)).collect();
    assert_eq!(sent, [(2, MessageType::MsgSnap)]);
    n
}

/// What the leader knows of node 2: state, next index, snapshot under way, whether appends wait, how many messages are under way.
fn peer(n: &Node) -> (StateType, u64, u64, bool, usize) {
    let pr = n.raft.progress(2).unwrap();
    let paused = pr.msg_app_flow_paused;
    (
        pr.state,
        pr.next,
        pr.pending_snapshot,
        paused,
        pr.inflights.count(),
    )
}

#[test]
fn a_peer_whose_next_entry_is_compacted_gets_a_snapshot() {
    assert_eq!(peer(&sending()), (StateType::Snapshot, 12, 11, false, 0));
}

#[test]
fn nothing_is_replicated_while_a_snapshot_is_under_way() {
    let mut n = sending();
    n.raft.propose("somedata".into()).unwrap();
    assert!(n.drive().is_empty());
}

fn status(failed: bool) -> Message {
    Message {
        reject: failed,
        ..msg(MessageType::MsgSnapStatus, 2, 0)
    }
}

/// Probing starts where it would have without the snapshot if that was lost, and behind it if it arrived; both after a word from the peer.
#[test]
fn probing_follows_a_snapshot() {
    for (failed, next) in [(true, 1), (false, 12)] {
        let mut n = sending();
        assert_eq!(n.step(status(failed)), Ok(Outcome::Done));
        assert_eq!(peer(&n), (StateType::Probe, next, 0, true, 0));
        // A report about a peer that gets none says nothing.
        assert_eq!(
            n.step(status(failed)),
            Ok(Outcome::Dropped(DropReason::Stale))
        );
    }
}

/// An acknowledgement of the snapshot's index ends the sending without a report: the leader's first entry goes out at once.
#[test]
fn an_acknowledgement_ends_the_sending() {
    let mut n = sending();
    n.step(app_resp(2, 12, 11)).unwrap();
    assert_eq!(peer(&n), (StateType::Replicate, 13, 0, false, 1));
}

/// A learner catches up by a snapshot when its voter, which has nothing else, is elected and sends a heartbeat.
#[test]
fn a_learner_takes_the_leader_s_snapshot() {
    let disk = storage_mem::MemoryStorage::new();
    disk.apply_snapshot(&snapshot(11, 11, conf_state(&[1], &[2])))
        .unwrap();
    disk.set_hard_state(hs(11, 0, 11));
    let one = Node::new(config(1), disk);
    let two = Node::new(config(2), storage(&[1], &[2]));
    let mut net = Net::from_nodes([(1, one), (2, two)].into());
    net.at(1).raft.set_randomized_election_timeout(10);
    net.tick_one(1, 10);
    net.beat(1);
    assert_eq!((net.at(1).commit(), net.at(2).commit()), (12, 12));
}

/// A hundred entries and more are gone from the leader's log when a slow node is heard of again.
#[test]
fn a_slow_node_catches_up() {
    let mut net = Net::new(3);
    net.elect(1);
    net.isolate(3);
    for _ in 0..=100 {
        net.propose(1, "").unwrap();
    }
    net.at(1).compact();
    net.heal();
    // A round of heartbeats is enough for the leader to know that the node is there.
    net.beat(1);
    assert!(progress(&mut net, 1, 3).recent_active);
    for _ in 0..2 {
        net.propose(1, "").unwrap();
    }
    assert_eq!((net.at(1).commit(), net.at(3).commit()), (104, 104));
}

/// A snapshot goes only to those who were heard of lately: another quorum check makes a silent one wait.
#[test]
fn a_silent_peer_gets_no_snapshot() {
    let c = Config {
        check_quorum: true,
        ..config(1)
    };
    let disk = storage_mem::MemoryStorage::new();
    disk.apply_snapshot(&snapshot(11, 11, conf_state(&[1], &[2])))
        .unwrap();
    disk.set_hard_state(hs(11, 0, 11));
    let mut n = Node::new(c, disk);
    n.hup();
    n.drive();
    assert_eq!(n.state(), Leader);
    // The first heartbeat's answer tells of the peer; then an election timeout passes without another.
    n.ticks(10);
    n.drive();
    let reject = Message {
        reject: true,
        ..app_resp(2, 12, 11)
    };
    n.step(reject.clone()).unwrap();
    assert!(n.drive().iter().any(|m| m.msg_type == MessageType::MsgSnap));
    n.step(status(true)).unwrap();
    n.ticks(10);
    n.drive();
    assert!(!n.raft.progress(2).unwrap().recent_active);
    n.raft.propose("somedata".into()).unwrap();
    assert!(n.drive().iter().all(|m| m.msg_type != MessageType::MsgSnap));
}

/// A leader of term 1 of two, whose peer has its first entry.
fn two_in_step() -> Node {
    let mut n = lone_leader(&[1, 2], |_| {});
    n.step(app_resp(2, 1, 1)).unwrap();
    n.drive();
    n
}

#[test]
fn a_follower_far_behind_gets_a_snapshot() {
    let mut net = Net::new(3);
    net.elect(1);
    net.isolate(3);
    for i in 0..5 {
        net.propose(1, &i.to_string()).unwrap();
    }
    net.at(1).compact();
    net.propose(1, "later").unwrap();
    net.heal();
    let seen = Rc::new(RefCell::new(Vec::new()));
    let log = Rc::clone(&seen);
    net.filter(move |m| {
        if m.to == 3 {
            log.borrow_mut().push(m.msg_type);
        }
        true
    });
    net.tick(3);
    assert!(seen.borrow().contains(&MessageType::MsgSnap));
    let n3 = net.at(3);
    assert_eq!(
        (n3.commit(), n3.data().last().map(String::as_str)),
        (7, Some("later"))
    );
    assert_eq!(n3.raft.config().to_string(), "voters=(1 2 3)");
    net.propose(1, "on").unwrap();
    assert_eq!(net.at(3).commit(), 8);
}

#[test]
fn a_snapshot_is_paused_for_and_its_failure_reported() {
    let mut n = two_in_step();
    for _ in 0..4 {
        n.raft.propose("x".into()).unwrap();
        n.drive();
        n.step(app_resp(2, 1, n.raft.last_index())).unwrap();
        n.drive();
    }
    // The peer lost its disk, and says so; the leader's log is compacted.
    n.compact();
    let pr = |n: &Node| n.raft.progress(2).unwrap().clone();
    assert_eq!(pr(&n).matched, 5);
    let mut m = Node::new(config(1), n.disk.clone());
    m.hup();
    m.drive();
    m.step(msg(MessageType::MsgVoteResp, 2, 2)).unwrap();
    m.drive();
    m.step(Message {
        reject: true,
        ..app_resp(2, 2, 5)
    })
    .unwrap();
    let out = m.drive();
    let snap = out
        .iter()
        .find(|m| m.msg_type == MessageType::MsgSnap)
        .expect("a snapshot");
    assert_eq!(snap.snapshot.as_ref().unwrap().metadata.index, 5);
    assert_eq!(
        pr(&m).to_string(),
        "StateSnapshot match=0 next=6 paused pendingSnap=5"
    );
    // Nothing goes out meanwhile.
    m.raft.propose("y".into()).unwrap();
    m.step(msg(MessageType::MsgHeartbeatResp, 2, 2)).unwrap();
    assert!(m.drive().iter().all(|m| m.msg_type != MessageType::MsgApp));
    // It failed: probing starts where it did before, after the next heartbeat's answer.
    let status = |reject| Message {
        reject,
        ..msg(MessageType::MsgSnapStatus, 2, 0)
    };
    assert_eq!(m.step(status(true)), Ok(Outcome::Done));
    assert_eq!(pr(&m).to_string(), "StateProbe match=0 next=1 paused");
    m.step(msg(MessageType::MsgHeartbeatResp, 2, 2)).unwrap();
    assert!(m.drive().iter().any(|m| m.msg_type == MessageType::MsgSnap));
    // It arrived: probing starts behind it.
    assert_eq!(m.step(status(false)), Ok(Outcome::Done));
    assert_eq!(pr(&m).to_string(), "StateProbe match=0 next=6 paused");
    m.step(app_resp(2, 2, 5)).unwrap();
    assert_eq!(pr(&m).state, StateType::Replicate);
}

/// Where the storage was compacted without a snapshot the peer waits; etcd's process ends.
#[test]
fn a_compacted_log_without_a_snapshot_stops_nobody() {
    let mut n = two_in_step();
    for _ in 0..4 {
        n.raft.propose("x".into()).unwrap();
        n.drive();
        n.step(app_resp(2, 1, n.raft.last_index())).unwrap();
        n.drive();
    }
    n.disk.compact(4).unwrap();
    let mut m = Node::new(config(1), n.disk.clone());
    m.hup();
    m.drive();
    m.step(msg(MessageType::MsgVoteResp, 2, 2)).unwrap();
    m.drive();
    m.step(Message {
        reject: true,
        ..app_resp(2, 2, 5)
    })
    .unwrap();
    m.drive();
    assert_eq!(m.state(), Leader);
    assert!(m.raft.fault().is_none());
}

#[test]
fn snapshots_that_are_of_no_use_are_ignored() {
    let snap = |index, term, voters: &[u64]| Message {
        snapshot: Some(Box::new(snapshot(index, term, conf_state(voters, &[])))),
        ..msg(MessageType::MsgSnap, 1, 3)
    };
    let mut n = Node::new(config(2), storage(&[1, 2], &[]));
    let app = Message {
        entries: entries(1, &[1, 1, 1]),
        commit: 1,
        ..msg(MessageType::MsgApp, 1, 2)
    };
    n.step(app).unwrap();
    n.drive();
    let answer = |n: &mut Node, m| {
        n.step(m).unwrap();
        let out = n.drive();
        (out[0].index, out[0].reject, n.raft.last_index())
    };
    // None, an empty one, one of what is committed, one for others, one that only commits what is there.
    assert_eq!(
        answer(&mut n, msg(MessageType::MsgSnap, 1, 3)),
        (1, false, 3)
    );
    assert_eq!(answer(&mut n, snap(0, 0, &[])), (1, false, 3));
    assert_eq!(answer(&mut n, snap(1, 1, &[1, 2])), (1, false, 3));
    assert_eq!(answer(&mut n, snap(9, 1, &[1, 3])), (1, false, 3));
    assert_eq!(answer(&mut n, snap(2, 1, &[1, 2])), (2, false, 3));
    // Contradictory ones are refused.
    for (m, what) in [
        (snap(9, 4, &[1, 2]), Malformed::Snapshot),
        (snap(9, 0, &[1, 2]), Malformed::Snapshot),
        (snap(9, 2, &[0, 2]), Malformed::ConfState),
        (
            snap(u64::MAX, 2, &[1, 2]),
            Malformed::IndexOutOfRange { index: u64::MAX },
        ),
    ] {
        assert_eq!(
            n.step(m),
            Err(Error::Malformed {
                msg_type: MessageType::MsgSnap,
                from: 1,
                what
            })
        );
    }
    let mut both = snap(9, 2, &[1, 2]);
    both.snapshot.as_mut().unwrap().metadata.conf_state.learners = vec![2];
    assert!(n.step(both).is_err());
    // A good one replaces everything.
    assert_eq!(answer(&mut n, snap(9, 2, &[1, 2, 4])), (9, false, 9));
    assert_eq!(n.raft.config().to_string(), "voters=(1 2 4)");
}
