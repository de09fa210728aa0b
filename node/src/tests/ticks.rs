//! Ticks that come, and ticks that are missed. Go: node_test.go (TestNodeTick), node.go (Tick)

use super::*;

/// Go: TestNodeTick
#[test]
fn ticks_start_an_election() {
    let n = spawn(config(1), storage(&[1]));
    // The timeout is somewhere between 10 and 19 ticks.
    for _ in 0..9 {
        n.tick().unwrap();
    }
    assert_eq!(role(&n), StateType::Follower);
    while role(&n) == StateType::Follower {
        n.tick().unwrap();
    }
    let rd = take(&n);
    assert_eq!(
        rd.soft_state().map(|ss| ss.raft_state),
        Some(StateType::Candidate)
    );
    n.stop();
    drop(rd);
}

/// One tick is one tick: the node campaigns at the very tick at which a core of the same seed does. Go: TestNodeTick
#[test]
fn a_tick_is_a_tick() {
    let logger = Lines::default().logger();
    let mut core = RawNode::new(config(1), storage(&[1]), logger, None).unwrap();
    let mut until = 0;
    while core.basic_status().hard_state.term == 0 {
        core.tick().unwrap();
        until += 1;
    }
    let n = spawn(config(1), storage(&[1]));
    let term = || n.status().unwrap().basic.hard_state.term;
    for _ in 1..until {
        n.tick().unwrap();
    }
    assert_eq!(term(), 0, "one is missing of {until}");
    n.tick().unwrap();
    while term() == 0 {}
}

#[test]
fn a_tick_that_finds_no_room_says_so_and_returns() {
    let lines = Lines::default();
    let (n, gate) = hanging(options(), OnRead::Read, &lines);
    for _ in 0..128 {
        n.tick().unwrap();
    }
    assert_eq!(lines.of(Level::Warning), Vec::<String>::new());
    n.tick().unwrap();
    let line = "1 A tick missed to fire. Node blocks too long!";
    assert_eq!(lines.of(Level::Warning), [line]);
    n.tick().unwrap();
    assert_eq!(lines.of(Level::Warning), [line, line]);
    drop(gate);
    // Those that were taken count: more than an election timeout has passed.
    let rd = take(&n);
    n.advance(rd.persisted()).unwrap();
    while role(&n) == StateType::Follower {}
    n.stop();
}

/// Go: the lines that run logs
#[test]
fn a_change_of_leader_is_logged_as_etcd_does() {
    let lines = Lines::default();
    let s = storage(&[1, 2, 3]);
    let rn = RawNode::new(config(1), s, lines.logger(), None).unwrap();
    let n = options().spawn(rn).unwrap();
    let heartbeat = |from, term| {
        let m = Message {
            to: 1,
            from,
            term,
            ..Message::new(MessageType::MsgHeartbeat)
        };
        n.step(m).unwrap();
        n.status().unwrap();
    };
    heartbeat(2, 17);
    heartbeat(3, 18);
    n.campaign().unwrap();
    n.status().unwrap();
    n.stop();
    let ours = |l: &String| l.starts_with("raft.node: ");
    let logged: Vec<_> = lines.of(Level::Info).into_iter().filter(ours).collect();
    assert_eq!(
        logged,
        [
            "raft.node: 1 elected leader 2 at term 17",
            "raft.node: 1 changed leader from 2 to 3 at term 18",
            "raft.node: 1 lost leader 3 at term 19",
        ]
    );
}
