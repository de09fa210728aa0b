//! Appends, probes and windows.

use crate::common::{
    Net, Node, app_resp, config, entries, lone_leader, msg, progress, storage_with_log,
};
use std::cell::Cell;
use std::rc::Rc;
use tickraft::raftpb::{Entries, Entry, HardState, Message, MessageType};
use tickraft::tracker::StateType as Progress;
use tickraft::{Error, Malformed, WriteMode};

/// etcd#11964
#[test]
fn divergent_logs_are_probed_a_term_at_a_time() {
    for (leader, follower) in [
        // A long tail of an earlier term on the follower, and one of a later.
        (&[1, 3, 3, 3, 5, 5, 5, 5, 5][..], &[1, 1, 1, 1, 2, 2][..]),
        (&[1, 3, 3, 3, 3, 3, 3, 3, 7], &[1, 3, 3, 4, 4, 5, 5, 5, 6]),
        (
            &[1, 2, 2, 2, 4, 4, 4, 4, 4, 4, 4],
            &[1, 3, 3, 3, 3, 3, 3, 3],
        ),
    ] {
        let hs = |term| HardState {
            term,
            vote: 0,
            commit: 1,
        };
        let mut net = Net::new(2);
        *net.at(1) = Node::new(config(1), storage_with_log(&[1, 2], leader, hs(8)));
        *net.at(2) = Node::new(config(2), storage_with_log(&[1, 2], follower, hs(6)));
        let rejections = Rc::new(Cell::new(0));
        let counted = Rc::clone(&rejections);
        net.filter(move |m| {
            let rejects = m.msg_type == MessageType::MsgAppResp && m.reject;
            counted.set(counted.get() + u32::from(rejects));
            true
        });
        net.elect(1);
        assert_eq!(net.at(1).terms(), net.at(2).terms());
        assert!(rejections.get() <= 2, "{} probes failed", rejections.get());
    }
}

/// etcd#13603
#[test]
fn a_malformed_append_is_refused_whole() {
    let mut n = Node::new(
        config(1),
        storage_with_log(
            &[1, 2],
            &[1, 1, 2],
            HardState {
                term: 2,
                vote: 0,
                commit: 1,
            },
        ),
    );
    n.drive();
    let app = |index, log_term, entries: Entries| Message {
        index,
        log_term,
        entries,
        commit: 9,
        ..msg(MessageType::MsgApp, 2, 5)
    };
    let gap: Entries = vec![Entry::new(3, 4, ""), Entry::new(3, 6, "")].into();
    let falling: Entries = vec![Entry::new(4, 4, ""), Entry::new(3, 5, "")].into();
    for (m, what) in [
        (app(3, 2, gap), Malformed::EntryIndex { index: 6 }),
        (
            app(3, 2, entries(1, &[3])),
            Malformed::EntryIndex { index: 1 },
        ),
        (
            app(3, 2, vec![Entry::new(3, u64::MAX, "")].into()),
            Malformed::EntryIndex { index: u64::MAX },
        ),
        (app(3, 2, falling), Malformed::EntryTerm { index: 5 }),
        (
            app(3, 2, entries(4, &[1])),
            Malformed::EntryTerm { index: 4 },
        ),
        (
            app(3, 2, entries(4, &[6])),
            Malformed::EntryTerm { index: 4 },
        ),
        (
            app(0, 0, entries(1, &[0])),
            Malformed::EntryTerm { index: 1 },
        ),
        (app(3, 6, Entries::new()), Malformed::EntryTerm { index: 3 }),
        (
            app(u64::MAX, 2, Entries::new()),
            Malformed::IndexOutOfRange { index: u64::MAX },
        ),
    ] {
        let got = n.step(m.clone());
        let want = Error::Malformed {
            msg_type: MessageType::MsgApp,
            from: 2,
            what,
        };
        assert_eq!(got, Err(want), "{m:?}");
        assert_eq!(
            n.raft.hard_state(),
            HardState {
                term: 2,
                vote: 0,
                commit: 1
            }
        );
        assert!(!n.raft.has_pending(WriteMode::Async));
    }
}

/// etcd#14633
#[test]
fn nothing_more_goes_to_a_follower_whose_window_is_full() {
    let mut n = lone_leader(&[1, 2], |c| c.max_inflight_msgs = 3);
    n.step(app_resp(2, 1, 1)).unwrap();
    n.drive();
    let mut sent = 0;
    for _ in 0..10 {
        n.raft.propose("x".into()).unwrap();
        sent += n.drive().iter().filter(|m| !m.entries.is_empty()).count();
    }
    assert_eq!(sent, 3);
    for _ in 0..5 {
        n.step(msg(MessageType::MsgHeartbeatResp, 2, 1)).unwrap();
        let out = n.drive();
        assert_eq!(out.len(), 1, "one empty append a heartbeat");
        assert!(out[0].entries.is_empty());
    }
}

/// raft#54
#[test]
fn the_bytes_in_flight_come_back() {
    let mut net = Net::with(2, |c| {
        c.max_size_per_msg = 100;
        c.max_inflight_bytes = 200;
    });
    net.elect(1);
    for i in 0..50 {
        net.propose(1, &"x".repeat(90)).unwrap();
        if i % 7 == 0 {
            // Replicating, probing and replicating again.
            net.at(1)
                .step(msg(MessageType::MsgUnreachable, 2, 0))
                .unwrap();
            net.tick(1);
        }
    }
    assert_eq!(net.at(2).data().len(), 50);
    assert_eq!(progress(&mut net, 1, 2).inflights.bytes(), 0);
}

/// raft#52
#[test]
fn a_peer_that_was_unreachable_replicates_again_when_it_answers() {
    let mut net = Net::new(3);
    net.elect(1);
    net.at(1)
        .step(msg(MessageType::MsgUnreachable, 3, 0))
        .unwrap();
    assert_eq!(progress(&mut net, 1, 3).state, Progress::Probe);
    net.tick(1);
    assert_eq!(progress(&mut net, 1, 3).state, Progress::Replicate);
}
