//! What no script of etcd's shows: what commands print that go wrong, and commands of ours. Go: (none)

use super::InteractionEnv;
use crate::datadriven::{TestData, parse_line};
use crate::properties::Property;
use raft::raftpb::{Entry, Message, MessageType};

/// Runs a command with an input; what it prints, or `FATAL` and why the script is wrong.
fn run_with(env: &mut InteractionEnv, line: &str, input: &str) -> String {
    let (cmd, cmd_args) = parse_line(line).unwrap();
    let d = TestData {
        pos: "script:1".into(),
        cmd,
        cmd_args,
        input: input.into(),
        ..TestData::default()
    };
    env.handle(&d).unwrap_or_else(|e| format!("FATAL {e}"))
}

fn run(env: &mut InteractionEnv, line: &str) -> String {
    run_with(env, line, "")
}

/// Three nodes, the first of which leads; nothing is printed.
fn group(options: &str) -> InteractionEnv {
    let mut env = InteractionEnv::new();
    run(&mut env, "log-level none");
    let add = format!("add-nodes 3 voters=(1,2,3) index=2 {options}");
    for line in [add.as_str(), "campaign 1", "stabilize"] {
        assert_eq!(run(&mut env, line), "ok", "{line}");
    }
    run(&mut env, "log-level info");
    env
}

#[test]
fn errors_of_nodes_are_printed() {
    let mut env = group("");
    for (line, input, want) in [
        ("nonsense", "", "unknown command"),
        ("_breakpoint", "", "ok"),
        (
            "compact 1 x",
            "",
            "strconv.ParseUint: parsing \"x\": invalid syntax",
        ),
        (
            "compact 1 1",
            "",
            "requested index is unavailable due to compaction",
        ),
        (
            "log-level loud",
            "",
            "log levels must be either of [DEBUG INFO WARN ERROR FATAL NONE]",
        ),
        ("log-level Info", "", "ok"),
        (
            "report-unreachable 1",
            "",
            "must specify exactly two node indexes: node on which to report, and reported node",
        ),
        (
            "propose-conf-change 1 v1=yes",
            "",
            "strconv.ParseBool: parsing \"yes\": invalid syntax",
        ),
        (
            "propose-conf-change 1 transition=slow",
            "",
            "unknown transition slow",
        ),
        ("propose-conf-change 1 what=1", "", "unknown command what"),
        ("propose-conf-change 1", "x1", "unknown input: x1"),
        (
            "propose-conf-change 1 v1=true",
            "v4 v5",
            "v1 conf change can only have one operation and no transition",
        ),
        (
            "propose-conf-change 1 v1=true transition=explicit",
            "v4",
            "v1 conf change can only have one operation and no transition",
        ),
        (
            "add-nodes 1 voters=(4)",
            "",
            "index must be specified as > 1 due to bootstrap",
        ),
        (
            "add-nodes 1 read-only=never",
            "",
            "invalid read-only option \"never\"",
        ),
        (
            "add-nodes 1 inflight=0",
            "",
            "max inflight messages must be greater than 0",
        ),
        (
            "add-nodes 1 read-only=lease-based",
            "",
            "CheckQuorum must be enabled when ReadOnlyOption is ReadOnlyLeaseBased",
        ),
        ("process-ready 1", "", "<empty Ready>"),
        ("process-append-thread 1", "", "no append work to perform"),
        ("process-apply-thread 1", "", "no apply work to perform"),
        ("deliver-msgs 1", "", "no messages\n"),
        ("status 2", "", "ok"),
    ] {
        assert_eq!(run_with(&mut env, line, input), want, "{line}");
    }
}

#[test]
fn wrong_scripts_end_the_run() {
    let mut env = group("");
    for (line, want) in [
        ("campaign", "campaign needs an argument"),
        ("campaign x", "strconv.Atoi: parsing \"x\": invalid syntax"),
        ("campaign 0", "there is no node 0"),
        ("campaign 4", "there is no node 4"),
        ("campaign -1", "there is no node -1"),
        ("compact 1", "compact needs an index"),
        ("log-level", "log-level needs a level"),
        ("propose 1", "expected exactly one key with no vals"),
        ("propose 1 a=b", "expected exactly one key with no vals"),
        (
            "propose-conf-change 1 v1=true",
            "v1 conf change without an operation",
        ),
        (
            "deliver-msgs 1 drop=(1)",
            "can't both deliver and drop msgs to 1",
        ),
        (
            "deliver-msgs 1 type=MsgNone",
            "unknown message type MsgNone",
        ),
        ("send-snapshot 1", "send-snapshot needs two nodes"),
        (
            "set-randomized-election-timeout 1 timeout=0",
            "timeout must be positive",
        ),
        (
            "set-randomized-election-timeout 1",
            "missing argument: timeout",
        ),
        (
            "transfer-leadership from=1 to=4",
            "expected valid \"to\" argument",
        ),
        (
            "transfer-leadership from=0 to=1",
            "expected valid \"from\" argument",
        ),
        ("add-nodes 1001", "1001 nodes are too many"),
        (
            "add-nodes 1 index=x",
            "strconv.ParseUint: parsing \"x\": invalid syntax",
        ),
        ("read-index 1", "read-index needs a node and a context"),
        ("restart 9", "there is no node 9"),
    ] {
        assert_eq!(run(&mut env, line), format!("FATAL {want}"), "{line}");
    }
    env.messages.push(Message {
        to: 9,
        ..Message::new(MessageType::MsgApp)
    });
    assert_eq!(run(&mut env, "deliver-msgs 9"), "FATAL there is no node 9");
}

/// Silence is for what setting up prints, never for errors.
#[test]
fn errors_are_printed_at_level_none() {
    let mut env = group("");
    run(&mut env, "log-level none");
    assert_eq!(run(&mut env, "nonsense"), "unknown command");
    assert_eq!(run(&mut env, "raft-state"), "ok");
}

/// A level given to stabilize holds for it alone.
#[test]
fn stabilize_gives_the_level_back() {
    let mut env = group("");
    assert_eq!(run(&mut env, "propose 1 x"), "ok");
    assert_eq!(run(&mut env, "stabilize log-level=none"), "ok");
    assert_eq!(
        run(&mut env, "stabilize log-level=loud"),
        "log levels must be either of [DEBUG INFO WARN ERROR FATAL NONE]"
    );
    assert!(run(&mut env, "raft-state").contains("StateLeader"));
}

#[test]
fn options_of_ours_reach_the_node() {
    let mut env = InteractionEnv::new();
    run(
        &mut env,
        "add-nodes 1 max-size-per-msg=7 max-uncommitted-size=8 max-inflight-bytes=9 \
         election-tick=20 heartbeat-tick=2 disable-proposal-forwarding=true unknown=1",
    );
    let c = &env.nodes[0].config;
    assert_eq!(
        (
            c.max_size_per_msg,
            c.max_uncommitted_entries_size,
            c.max_inflight_bytes
        ),
        (7, 8, 9)
    );
    assert_eq!((c.election_tick, c.heartbeat_tick), (20, 2));
    assert!(c.disable_proposal_forwarding);
}

/// A restart keeps what was written and applied, and loses the rest: storage threads' work, messages to self.
#[test]
fn a_restart_keeps_what_is_durable() {
    let mut env = group("async-storage-writes=true");
    run(&mut env, "propose 1 kept");
    run(&mut env, "stabilize");
    run(&mut env, "propose 1 lost");
    run(&mut env, "process-ready 1");
    assert_eq!(env.nodes[0].append_work.len(), 1);
    let before = env.messages.len();
    env.messages.push(Message {
        to: 1,
        from: 1,
        ..Message::new(MessageType::MsgAppResp)
    });
    let printed = run(&mut env, "restart 1");
    assert!(
        printed.contains(
            "newRaft 1 [peers: [1,2,3], term: 1, commit: 4, applied: 4, lastindex: 4, lastterm: 1]"
        ),
        "{printed}"
    );
    assert!(env.nodes[0].append_work.is_empty());
    assert_eq!(
        env.messages.len(),
        before,
        "only the message to itself is lost"
    );
    assert_eq!(
        run(&mut env, "raft-log 1"),
        "1/3 EntryNormal \"\"\n1/4 EntryNormal \"kept\"\n"
    );
    assert_eq!(env.violations(), []);
}

/// The application is durable: what it applied is committed, even where the hard state was not written in time to say so.
#[test]
fn a_restart_takes_what_is_applied_for_committed() {
    let mut env = group("async-storage-writes=true");
    run(&mut env, "propose 1 x");
    for line in [
        "process-ready 1",
        "process-append-thread 1",
        "deliver-msgs 1",
        "deliver-msgs 2",
        "process-ready 2",
        "process-append-thread 2",
        "deliver-msgs 1",
        "process-ready 1",
    ] {
        run(&mut env, line);
    }
    assert!(run(&mut env, "process-apply-thread 1").contains("\"x\""));
    let printed = run(&mut env, "restart 1");
    assert!(printed.contains("commit: 4, applied: 4"), "{printed}");
}

/// Forged messages are seen, and told with their place.
#[test]
fn a_violation_is_seen() {
    let mut env = group("");
    // Node 2 gets an entry from a leader of the same term that was never elected.
    env.messages.push(Message {
        to: 2,
        from: 3,
        term: 1,
        log_term: 1,
        index: 3,
        entries: vec![Entry::new(1, 4, "forged")].into(),
        ..Message::new(MessageType::MsgApp)
    });
    run(&mut env, "deliver-msgs 2");
    run(&mut env, "process-ready 2");
    assert_eq!(
        env.violations(),
        [],
        "one entry of its kind contradicts nothing"
    );
    run(&mut env, "propose 1 x");
    run(&mut env, "process-ready 1");
    let found: Vec<_> = env
        .violations()
        .iter()
        .map(|v| (v.property, v.context.as_str()))
        .collect();
    assert_eq!(found, [(Property::LogMatching, "script:1")]);
}
