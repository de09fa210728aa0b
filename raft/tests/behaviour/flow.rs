//! Flow control: how many appends may be under way, and how large they are.

use crate::common::{Net, Node, app_resp, lone_leader, msg};
use std::cell::Cell;
use std::rc::Rc;
use tickraft::raftpb::{Message, MessageType};

const WINDOW: u64 = 256;

/// A leader of two whose peer has the first entry, and to which as many appends are under way as may be.
fn full() -> Node {
    let mut n = lone_leader(&[1, 2], |_| {});
    n.step(app_resp(2, 1, 1)).unwrap();
    n.drive();
    for _ in 0..WINDOW {
        assert!(!is_paused(&n));
        let out = propose(&mut n);
        assert_eq!(out.len(), 1);
        assert_eq!(out[0].msg_type, MessageType::MsgApp);
    }
    assert!(is_paused(&n));
    n
}

fn is_paused(n: &Node) -> bool {
    n.raft.progress(2).unwrap().is_paused()
}

fn propose(n: &mut Node) -> Vec<Message> {
    n.raft.propose("somedata".into()).unwrap();
    n.drive()
}

#[test]
fn a_full_window_sends_nothing() {
    let mut n = full();
    for _ in 0..10 {
        assert!(propose(&mut n).is_empty());
    }
}

/// An acknowledgement lets as many go as it covers; older ones, late, let none.
#[test]
fn acknowledgements_move_the_window() {
    let mut n = full();
    for index in 2..WINDOW {
        n.step(app_resp(2, 1, index)).unwrap();
        n.drive();
        let out = propose(&mut n);
        assert_eq!((out.len(), out[0].msg_type), (1, MessageType::MsgApp));
        assert!(is_paused(&n));
        for late in 0..index {
            n.step(app_resp(2, 1, late)).unwrap();
            assert!(is_paused(&n), "{late} after {index}");
        }
    }
}

/// Each heartbeat's answer lets one append through a full window, and that an empty one.
#[test]
fn a_heartbeat_s_answer_probes_through_a_full_window() {
    let mut n = full();
    let answer = |n: &mut Node| {
        n.step(msg(MessageType::MsgHeartbeatResp, 2, 1)).unwrap();
        n.drive()
    };
    for answers in 1..5 {
        for _ in 0..answers {
            assert!(is_paused(&n));
            let out = answer(&mut n);
            assert_eq!((out.len(), out[0].msg_type), (1, MessageType::MsgApp));
            assert!(out[0].entries.is_empty());
        }
        for _ in 0..10 {
            assert!(is_paused(&n));
            assert!(propose(&mut n).is_empty());
        }
        answer(&mut n);
    }
}

/// Until the first append is answered there is one, whatever is proposed.
#[test]
fn one_append_goes_out_before_the_first_answer() {
    let mut n = Node::new(
        crate::common::config(1),
        crate::common::storage(&[1, 2], &[]),
    );
    n.hup();
    n.drive();
    n.step(crate::common::vote_resp(2, 1)).unwrap();
    for _ in 0..3 {
        n.raft.propose("somedata".into()).unwrap();
    }
    assert_eq!(n.drive().len(), 1);
}

/// Five proposals of 1000 bytes wait for the others: messages stay below the limit of 2048 and are not made smaller than need be.
#[test]
fn appends_are_cut_to_size() {
    let mut net = Net::with(3, |c| c.max_size_per_msg = 2048);
    let largest = Rc::new(Cell::new(0));
    net.elect(1);
    net.isolate(1);
    for _ in 0..5 {
        net.propose(1, &"a".repeat(1000)).unwrap();
    }
    net.heal();
    let seen = Rc::clone(&largest);
    net.filter(move |m| {
        let size: usize = m.entries.iter().map(|e| e.data.len()).sum();
        assert!(size <= 2048, "{size}");
        seen.set(seen.get().max(size));
        true
    });
    net.beat(1);
    assert!(largest.get() > 1024, "{}", largest.get());
    assert_eq!(net.at(2).data().len(), 5);
}
