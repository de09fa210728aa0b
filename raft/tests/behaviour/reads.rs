//! Linearizable reads without a log entry (thesis §6.4).

use crate::common::{Lines, Net, Node, app_resp, config, hs, lone_leader, msg, storage_with_log};
use std::cell::RefCell;
use std::rc::Rc;
use tickraft::StateType::Leader;
use tickraft::raftpb::{Entry, Message, MessageType};
use tickraft::{Config, Outcome, ReadOnlyOption};

/// A read request as another node sends it on.
fn forwarded(from: u64, ctx: &str) -> Message {
    Message {
        to: 1,
        entries: vec![Entry::proposal(ctx.to_owned())].into(),
        ..msg(MessageType::MsgReadIndex, from, 0)
    }
}

/// Between any two reads ten entries are proposed: each read's index counts them, whichever node asks.
fn reads_see_what_was_committed(net: &mut Net, askers: &[u64]) {
    net.at(2).raft.set_randomized_election_timeout(11);
    net.at(2).ticks(10);
    net.elect(1);
    for (i, &id) in (1..).zip(askers) {
        for _ in 0..10 {
            net.propose(1, "").unwrap();
        }
        let ctx = format!("ctx{i}");
        net.at(id).read_index(&ctx);
        net.settle();
        let states = std::mem::take(&mut net.at(id).read_states);
        let seen: Vec<_> = states
            .iter()
            .map(|rs| (rs.index, &rs.request_ctx[..]))
            .collect();
        assert_eq!(seen, [(10 * i + 1, ctx.as_bytes())], "asked of {id}");
    }
}

#[test]
fn confirmed_by_heartbeats() {
    reads_see_what_was_committed(&mut Net::new(3), &[1, 2, 3, 1, 2, 3]);
}

#[test]
fn confirmed_by_the_lease() {
    let mut net = Net::with(3, |c| {
        (c.check_quorum, c.read_only_option) = (true, ReadOnlyOption::LeaseBased);
    });
    reads_see_what_was_committed(&mut net, &[1, 2, 3, 1, 2, 3]);
}

#[test]
fn confirmed_by_the_only_voter_for_its_learner_too() {
    let mut net = Net::of(&[1], &[2], |_| {});
    reads_see_what_was_committed(&mut net, &[1, 2, 1, 2]);
}

/// Until a leader has committed an entry of its term it does not know what is committed: reads wait, and are answered then. The others'
/// logs are compacted, and they have applied one entry more.
#[test]
fn a_new_leader_answers_after_its_first_commit() {
    let mut nodes = std::collections::BTreeMap::new();
    for (id, commit, compacted) in [(1, 1, 0), (2, 2, 2), (3, 2, 2)] {
        let disk = storage_with_log(&[1, 2, 3], &[1, 1], hs(1, 0, commit));
        if compacted > 0 {
            disk.compact(compacted).unwrap();
        }
        let c = Config {
            applied: commit,
            ..config(id)
        };
        nodes.insert(id, Node::new(c, disk));
    }
    let mut net = Net::from_nodes(nodes);
    net.ignore(MessageType::MsgApp);
    net.elect(1);
    net.at(1).read_index("ctx");
    net.settle();
    assert!(net.at(1).read_states.is_empty());

    net.heal();
    net.at(1).ticks(1);
    net.propose(1, "").unwrap();
    assert_eq!(net.at(1).commit(), 4);
    assert_eq!(net.at(1).terms()[3], net.at(1).term());
    let seen = |net: &mut Net| {
        let states = &net.at(1).read_states;
        states.iter().map(|rs| rs.index).collect::<Vec<_>>()
    };
    assert_eq!(seen(&mut net), [4], "the one that waited");
    net.at(1).read_index("ctx");
    net.settle();
    assert_eq!(seen(&mut net), [4, 4]);
    assert_eq!(net.at(1).read_contexts(), ["ctx", "ctx"]);
}

/// A read that a quorum has confirmed is kept no longer: heartbeats stop asking for it.
#[test]
fn confirmed_reads_are_let_go() {
    let mut n = lone_leader(&[1, 2], |_| {});
    n.step(app_resp(2, 1, 1)).unwrap();
    n.drive();
    n.step(forwarded(2, "ctx")).unwrap();
    let out = n.drive();
    let ctx = out[0].context().to_vec();
    assert_eq!(
        (out.len(), out[0].msg_type, ctx.len()),
        (1, MessageType::MsgHeartbeat, 8)
    );
    n.beat();
    assert_eq!(n.drive()[0].context(), ctx, "not confirmed yet");
    let answer = msg(MessageType::MsgHeartbeatResp, 2, 1).with_context(ctx);
    n.step(answer).unwrap();
    let out = n.drive();
    assert_eq!(
        (out[0].msg_type, out[0].to, out[0].index),
        (MessageType::MsgReadIndexResp, 2, 1)
    );
    n.beat();
    assert!(n.drive()[0].context().is_empty());
}

/// A request that comes twice, around a change of leaders, and the answers to heartbeats that come late, do not confirm another read of the old
/// leader. Each read that is answered sees at least what was committed when it was asked for.
#[test]
fn a_duplicate_and_late_answers_confirm_nothing_else() {
    let mut net = Net::new(3);
    net.elect(1);
    let a = forwarded(2, "A");
    let at_least_a = net.at(1).commit();
    // The answers to the heartbeats for A are under way until the end.
    let late = Rc::new(RefCell::new(vec![a.clone()]));
    let keep = Rc::clone(&late);
    net.filter(move |m| {
        let kept = m.msg_type == MessageType::MsgHeartbeatResp;
        if kept {
            keep.borrow_mut().push(m.clone());
        }
        !kept
    });
    net.send(a);
    net.heal();
    net.tick_one(1, 1);
    net.isolate(1);
    net.elect(2);
    net.propose(2, "some op").unwrap();
    let at_least_b = net.at(2).commit();
    net.at(1).read_index("B");
    net.settle();
    net.heal();
    for m in late.take() {
        net.queue.push_back(m);
    }
    net.settle();
    let mut answered = 0;
    for rs in net.nodes.values().flat_map(|n| &n.read_states) {
        let least = if rs.request_ctx == "A" {
            at_least_a
        } else {
            at_least_b
        };
        assert!(rs.index >= least, "{rs:?}");
        answered += 1;
    }
    assert!(answered > 0, "A is answered");
}

/// A request sent on to who led before goes on to who leads now, as it is and without a term.
#[test]
fn requests_find_the_new_leader() {
    let mut net = Net::new(3);
    net.elect(1);
    let mut sent = Vec::new();
    for id in [2, 3] {
        assert_eq!(
            net.at(id).read_index("testdata"),
            Outcome::Forwarded { to: 1 }
        );
        let out = net.at(id).drive();
        assert_eq!(out, [forwarded(id, "testdata")]);
        sent.extend(out);
    }
    net.elect(3);
    for (m, id) in sent.into_iter().zip([2, 3]) {
        assert_eq!(net.at(1).step(m), Ok(Outcome::Forwarded { to: 3 }));
        let want = Message {
            to: 3,
            ..forwarded(id, "testdata")
        };
        assert_eq!(net.at(1).drive(), [want]);
    }
}

/// With leases a leader must not be forgotten, and the log says so.
#[test]
fn a_leader_is_not_forgotten_under_leases() {
    let lines = Lines::default();
    let c = Config {
        check_quorum: true,
        read_only_option: ReadOnlyOption::LeaseBased,
        ..config(1)
    };
    let mut n = Node::with_logger(
        c,
        storage_with_log(&[1, 2], &[], hs(1, 0, 0)),
        lines.logger(),
    );
    n.step(crate::common::heartbeat(2, 1, 0)).unwrap();
    lines.take();
    n.step(Message::new(MessageType::MsgForgetLeader)).unwrap();
    assert_eq!(n.lead(), 2);
    assert_eq!(
        lines.take(),
        ["ERRO ignoring MsgForgetLeader due to ReadOnlyLeaseBased"]
    );
    assert_ne!(n.state(), Leader);
}
