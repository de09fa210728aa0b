//! Reads without a log entry.

use crate::common::{Net, Node, app_resp, config, lone_leader, msg, storage_with_log, vote_resp};
use tickraft::raftpb::{HardState, Message, MessageType};
use tickraft::{Config, Error, Malformed, Outcome, ReadOnlyOption, StateType};

/// etcd#10590
#[test]
fn a_learner_s_read_is_answered_where_there_is_one_voter() {
    let mut net = Net::of(&[1], &[2], |_| {});
    net.elect(1);
    net.tick(2);
    assert_eq!(net.at(2).read_index("r"), Outcome::Forwarded { to: 1 });
    net.settle();
    assert_eq!(net.at(2).read_contexts(), ["r"]);
    assert_eq!(net.at(2).read_states[0].index, 1);
}

/// etcd#12762
#[test]
fn a_read_before_the_first_commit_of_the_term_is_answered_after_it() {
    let mut net = Net::new(3);
    net.elect(1);
    net.propose(1, "a").unwrap();
    net.ignore(MessageType::MsgAppResp);
    net.elect(2);
    net.at(2).read_index("early");
    net.settle();
    assert!(net.at(2).read_states.is_empty());
    net.heal();
    net.tick(2);
    assert_eq!(net.at(2).read_contexts(), ["early"]);
    assert_eq!(net.at(2).read_states[0].index, 3, "its own first entry");
}

/// raft#397
#[test]
fn a_retried_read_is_not_confirmed_by_late_answers() {
    let mut n = lone_leader(&[1, 2, 3], |_| {});
    n.step(app_resp(2, 1, 1)).unwrap();
    n.drive();
    let context = |n: &mut Node, ctx| {
        n.read_index(ctx);
        let out = n.drive();
        out.iter()
            .find(|m| m.msg_type == MessageType::MsgHeartbeat)
            .unwrap()
            .context()
            .to_vec()
    };
    let resp =
        |from, ctx: &[u8]| msg(MessageType::MsgHeartbeatResp, from, 1).with_context(ctx.to_vec());
    let first = context(&mut n, "same");
    n.step(resp(2, &first)).unwrap();
    n.drive();
    assert_eq!(n.read_contexts(), ["same"]);
    // Another node leads and commits in between, for all that this one knows; the answer to the first heartbeat arrives again.
    let second = context(&mut n, "same");
    assert_ne!(first, second);
    n.step(resp(3, &first)).unwrap();
    n.drive();
    assert_eq!(n.read_contexts().len(), 1);
    n.step(resp(3, &second)).unwrap();
    n.drive();
    assert_eq!(n.read_contexts().len(), 2);
}

/// Open upstream: read_only.go, recvAck.
#[test]
fn a_heartbeat_response_with_a_short_context_is_refused() {
    let mut n = lone_leader(&[1, 2, 3], |_| {});
    n.step(app_resp(2, 1, 1)).unwrap();
    n.read_index("r");
    n.drive();
    for len in 1..8 {
        let m = msg(MessageType::MsgHeartbeatResp, 2, 1).with_context(vec![1; len]);
        let want = Error::Malformed {
            msg_type: MessageType::MsgHeartbeatResp,
            from: 2,
            what: Malformed::Context { len },
        };
        assert_eq!(n.step(m), Err(want));
    }
    // One that was never given out confirms nothing either.
    let m = msg(MessageType::MsgHeartbeatResp, 2, 1).with_context(vec![255; 8]);
    assert!(n.step(m).is_err());
    assert!(n.read_states.is_empty());
}

/// Open upstream: raft#105.
#[test]
fn a_single_voter_answers_no_read_before_it_has_committed_in_its_term() {
    for option in [ReadOnlyOption::Safe, ReadOnlyOption::LeaseBased] {
        let c = Config {
            read_only_option: option,
            check_quorum: true,
            ..config(1)
        };
        let hs = HardState {
            term: 1,
            vote: 1,
            commit: 1,
        };
        let mut n = Node::new(c, storage_with_log(&[1], &[1, 1, 1], hs));
        n.hup();
        // Its vote is written, its first entry is not.
        n.drive_once();
        assert_eq!(n.state(), StateType::Leader);
        n.read_index("early");
        n.drive_once();
        assert!(
            n.read_states.is_empty(),
            "entries 2 and 3 may be committed, and it does not know"
        );
        n.drive();
        assert_eq!(n.read_contexts(), ["early"]);
        assert_eq!(n.read_states[0].index, 4);
    }
}

#[test]
fn reads_of_an_earlier_leadership_are_not_answered() {
    let mut n = lone_leader(&[1, 2, 3], |_| {});
    n.step(app_resp(2, 1, 1)).unwrap();
    n.drive();
    n.read_index("old");
    n.drive();
    // Another leads term 2, then this one leads term 3.
    n.step(msg(MessageType::MsgHeartbeat, 2, 2)).unwrap();
    n.hup();
    n.drive();
    n.step(vote_resp(2, 3)).unwrap();
    n.drive();
    n.step(app_resp(2, 3, 2)).unwrap();
    n.drive();
    n.read_index("new");
    let out = n.drive();
    let beat = |m: &&Message| m.msg_type == MessageType::MsgHeartbeat;
    let ctx = out.iter().find(beat).unwrap().context().to_vec();
    n.step(msg(MessageType::MsgHeartbeatResp, 2, 3).with_context(ctx))
        .unwrap();
    n.drive();
    assert_eq!(n.read_contexts(), ["new"]);
}
