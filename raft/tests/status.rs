//! What a node tells of itself: status, progress, configuration errors, traces, and its size. Go: status.go, state_trace.go, config validation in raft.go

#![allow(clippy::unwrap_used)]

mod common;

use common::{Lines, Net, Node, change, config, msg, silent, storage};
use std::sync::{Arc, Mutex};
use tickraft::raftpb::{HardState, MessageType, NO_LIMIT};
use tickraft::{
    CampaignType, Config, Error, Outcome, Peer, ProgressType, Raft, ReadOnlyOption, SoftState,
    StateType, TraceEvent, TraceEventType, Tracer,
};

#[test]
fn status_prints_go_s_json_in_id_order() {
    let mut net = Net::of(&[1, 2, 10], &[11], |_| {});
    assert_eq!(
        net.at(10).raft.status().to_string(),
        r#"{"id":"a","term":0,"vote":"0","commit":0,"lead":"0","raftState":"StateFollower","applied":0,"progress":{},"leadtransferee":"0"}"#
    );
    net.elect(10);
    net.propose(10, "x").unwrap();
    net.isolate(2);
    net.transfer(10, 2);
    net.propose(10, "y").unwrap_err();
    let status = net.at(10).raft.status();
    assert_eq!(
        status.to_json(),
        concat!(
            r#"{"id":"a","term":1,"vote":"a","commit":2,"lead":"a","raftState":"StateLeader","applied":2,"progress":{"#,
            r#""1":{"match":2,"next":3,"state":"StateReplicate"},"2":{"match":2,"next":3,"state":"StateReplicate"},"#,
            r#""a":{"match":2,"next":3,"state":"StateReplicate"},"b":{"match":2,"next":3,"state":"StateReplicate"}},"leadtransferee":"2"}"#
        )
    );
    assert_eq!(status.basic, net.at(10).raft.basic_status());
    assert!(
        net.at(1).raft.status().progress.is_empty(),
        "a follower knows none"
    );
    assert_eq!(StateType::Leader.to_json(), r#""StateLeader""#);
    let mut seen = Vec::new();
    net.at(10)
        .raft
        .with_progress(|id, t, pr| seen.push((id, t, pr.matched)));
    use ProgressType::{Learner, Peer};
    assert_eq!(
        seen,
        [(1, Peer, 2), (2, Peer, 2), (10, Peer, 2), (11, Learner, 2)]
    );
}

/// Go's copy of the configuration loses it.
#[test]
fn status_keeps_auto_leave() {
    let mut n = Node::new(config(1), storage(&[1, 2], &[]));
    n.raft.apply_conf_change(&change("v3 v4", false)).unwrap();
    assert!(n.raft.status().config.auto_leave);
    assert_eq!(n.raft.status().config, *n.raft.config());
}

#[test]
fn a_configuration_that_will_not_do_names_its_field() {
    let base = || Config::new(1, 7);
    assert!(base().validated().is_ok());
    let lease = ReadOnlyOption::LeaseBased;
    for (c, field, reason) in [
        (Config { id: 0, ..base() }, "id", "cannot use none as id"),
        (
            Config {
                id: u64::MAX,
                ..base()
            },
            "id",
            "cannot use local target as id",
        ),
        (
            Config {
                id: u64::MAX - 1,
                ..base()
            },
            "id",
            "cannot use local target as id",
        ),
        (
            Config {
                heartbeat_tick: 0,
                ..base()
            },
            "heartbeat_tick",
            "heartbeat tick must be greater than 0",
        ),
        (
            Config {
                election_tick: 1,
                ..base()
            },
            "election_tick",
            "election tick must be greater than heartbeat tick",
        ),
        (
            Config {
                election_tick: u32::MAX,
                ..base()
            },
            "election_tick",
            "election tick must be at most 2^31",
        ),
        (
            Config {
                max_inflight_msgs: 0,
                ..base()
            },
            "max_inflight_msgs",
            "max inflight messages must be greater than 0",
        ),
        (
            Config {
                max_inflight_bytes: 1,
                ..base()
            },
            "max_inflight_bytes",
            "max inflight bytes must be >= max message size",
        ),
        (
            Config {
                read_only_option: lease,
                ..base()
            },
            "read_only_option",
            "CheckQuorum must be enabled when ReadOnlyOption is ReadOnlyLeaseBased",
        ),
    ] {
        let e = Raft::new(c, storage(&[1], &[]), silent(), None)
            .err()
            .unwrap();
        assert_eq!(e, Error::Config { field, reason });
        assert_eq!(e.to_string(), reason);
    }
    let filled = base().validated().unwrap();
    assert_eq!(filled.max_committed_size_per_ready, filled.max_size_per_msg);
    assert_eq!(
        (
            filled.max_uncommitted_entries_size,
            filled.max_inflight_bytes
        ),
        (NO_LIMIT, NO_LIMIT)
    );
    // Sizes of 0, on which Go panics at the first commit: one entry at a time.
    let c = Config {
        max_size_per_msg: 0,
        ..config(1)
    };
    let mut n = Node::new(c, storage(&[1], &[]));
    n.hup();
    n.drive();
    for i in 0..5 {
        n.raft.propose(i.to_string().into()).unwrap();
    }
    n.drive();
    assert_eq!(n.data(), ["0", "1", "2", "3", "4"]);
    // The largest clock there is.
    let c = Config {
        election_tick: 1 << 31,
        ..config(1)
    };
    Node::new(c, storage(&[1], &[])).raft.tick().unwrap();
    assert_eq!(CampaignType::Transfer.to_string(), "CampaignTransfer");
}

#[test]
fn bootstrap_makes_the_first_members() {
    let peers: Vec<_> = (1..=3)
        .map(|id| Peer {
            id,
            context: format!("addr{id}").into(),
        })
        .collect();
    let fresh = || Raft::new(config(1), storage_mem::MemoryStorage::new(), silent(), None).unwrap();
    let mut n = Node::new(config(1), storage_mem::MemoryStorage::new());
    n.raft.bootstrap(&peers).unwrap();
    assert_eq!(n.raft.config().to_string(), "voters=(1 2 3)");
    assert_eq!((n.commit(), n.raft.basic_status().applied), (3, 0));
    let out = n.drive();
    assert!(out.is_empty());
    assert_eq!(n.applied.len(), 3, "the application sees the changes");
    assert_eq!((n.term(), n.syncs), (1, 1));
    assert_eq!(n.hup(), Outcome::Done);
    n.drive();
    n.step(msg(MessageType::MsgVoteResp, 2, 2)).unwrap();
    assert_eq!(n.state(), StateType::Leader);
    // Refusals leave the node as it was.
    assert_eq!(n.raft.bootstrap(&peers), Err(Error::NonemptyStorage));
    let mut r = fresh();
    assert_eq!(r.bootstrap(&[]), Err(Error::NoPeers));
    for id in [0, u64::MAX] {
        let mut peers = peers.clone();
        peers[1].id = id;
        assert!(matches!(
            r.bootstrap(&peers),
            Err(Error::Config { field: "peers", .. })
        ));
        assert_eq!((r.last_index(), r.hard_state().term), (0, 0));
    }
    r.bootstrap(&peers).unwrap();
}

#[derive(Default)]
struct Recorder(Mutex<Vec<(TraceEventType, String)>>);

impl Tracer for Recorder {
    fn trace_event(&self, e: &TraceEvent<'_>) {
        self.0.lock().unwrap().push((e.event, e.to_json()));
    }
}

/// The 17 events that etcd emits, with its fields.
#[test]
fn traces_are_etcd_s() {
    use TraceEventType::*;
    let tracer = Arc::new(Recorder::default());
    let mut net = Net::new(3);
    for id in 1..=3 {
        let disk = storage(&[1, 2, 3], &[]);
        let raft = Raft::new(config(id), disk.clone(), silent(), Some(tracer.clone())).unwrap();
        let mut node = Node::new(config(id), disk);
        node.raft = raft;
        *net.at(id) = node;
    }
    net.elect(1);
    net.propose(1, "x").unwrap();
    net.change(1, &change("v4 l3", false)).unwrap();
    let events = std::mem::take(&mut *tracer.0.lock().unwrap());
    let emitted: std::collections::BTreeSet<_> =
        events.iter().map(|(e, _)| e.to_string()).collect();
    let all = TraceEventType::ALL
        .iter()
        .filter(|e| !matches!(e, SendSnapshot | ReceiveSnapshot));
    assert_eq!(emitted, all.map(ToString::to_string).collect());
    assert_eq!(TraceEventType::ALL.len(), 19);
    let first = |e: TraceEventType| &events.iter().find(|(event, _)| *event == e).unwrap().1;
    assert_eq!(
        first(InitState),
        r#"{"name":"InitState","nid":"1","state":{"term":0,"vote":"0","commit":0},"role":"StateFollower","log":0,"conf":[[],[]]}"#
    );
    assert_eq!(
        first(ApplyConfChange),
        r#"{"name":"ApplyConfChange","nid":"1","state":{"term":0,"vote":"0","commit":0},"role":"StateFollower","log":0,"conf":[[],[]],"prop":{"cc":{"newconf":["1","2","3"]}}}"#
    );
    assert_eq!(
        first(SendRequestVoteRequest),
        r#"{"name":"SendRequestVoteRequest","nid":"1","state":{"term":1,"vote":"1","commit":0},"role":"StateCandidate","log":0,"conf":[["1","2","3"],[]],"msg":{"type":"MsgVote","term":1,"from":"1","to":"2","entries":0,"logTerm":0,"index":0,"commit":0,"vote":"0","reject":false,"rejectHint":0}}"#
    );
    assert_eq!(
        first(SendAppendEntriesRequest),
        r#"{"name":"SendAppendEntriesRequest","nid":"1","state":{"term":1,"vote":"1","commit":0},"role":"StateLeader","log":1,"conf":[["1","2","3"],[]],"msg":{"type":"MsgApp","term":1,"from":"1","to":"2","entries":1,"logTerm":0,"index":0,"commit":0,"vote":"0","reject":false,"rejectHint":0},"prop":{"match":0,"next":1}}"#
    );
    assert!(first(ChangeConf).ends_with(
        r#""prop":{"cc":{"changes":[{"nid":"4","action":"AddNewServer"},{"nid":"3","action":"AddLearner"}]}}}"#
    ));
    // A rejection's term is in the answer as in Go.
    assert!(first(ReceiveRequestVoteResponse).contains(r#""type":"MsgVoteResp","term":1"#));
}

/// etcd's words at etcd's levels.
#[test]
fn logs_are_etcd_s() {
    let lines = Lines::default();
    let mut n = Node::with_logger(config(0xa), storage(&[0xa, 2], &[]), lines.logger());
    assert_eq!(
        lines.take(),
        [
            "INFO a switched to configuration voters=(2 a)",
            "INFO a became follower at term 0",
            "INFO newRaft a [peers: [2,a], term: 0, commit: 0, applied: 0, lastindex: 0, lastterm: 0]",
        ]
    );
    n.raft.propose("x".into()).unwrap_err();
    assert_eq!(
        lines.take(),
        ["INFO a no leader at term 0; dropping proposal"]
    );
    n.raft.fail(tickraft::storage::Error::NoSpace);
    let stopped = lines.take();
    assert!(
        stopped[0].starts_with("ERRO a stopped: storage failed while writing: "),
        "{stopped:?}"
    );
}

/// A node at rest with three members: many groups in one process stay small.
#[test]
fn a_node_is_small() {
    let fixed = size_of::<Raft<storage_mem::MemoryStorage>>();
    let member = size_of::<tickraft::tracker::Progress>() + size_of::<u64>();
    assert!(
        fixed + 3 * member + 200 <= 2048,
        "{fixed} bytes and {member} a member"
    );
    assert!(
        size_of::<Result<Outcome, Error>>() <= 48,
        "{}",
        size_of::<Result<Outcome, Error>>()
    );
    fn send<T: Send>() {}
    send::<Raft<storage_mem::MemoryStorage>>();
}

/// A state differs from the empty one as soon as one of its fields does.
#[test]
fn states_are_equal_when_all_fields_are() {
    let soft = |lead, raft_state| SoftState { lead, raft_state };
    for (state, want) in [
        (SoftState::default(), true),
        (soft(1, StateType::Follower), false),
        (soft(0, StateType::Leader), false),
    ] {
        assert_eq!(state == SoftState::default(), want, "{state:?}");
    }
    for (state, want) in [
        (HardState::default(), true),
        (common::hs(0, 1, 0), false),
        (common::hs(0, 0, 1), false),
        (common::hs(1, 0, 0), false),
    ] {
        assert_eq!(state == HardState::default(), want, "{state:?}");
        assert_eq!(state.is_empty(), want, "{state:?}");
    }
}
