//! Readies as etcd prints them; etcd's own scripts compare many more. Go: DescribeReady

use super::*;
use crate::describe_ready;
use raft::raftpb::MessageType;

fn shout(d: &[u8]) -> String {
    String::from_utf8_lossy(d).to_uppercase()
}

#[test]
fn a_sync_ready() {
    let s = storage(&[1, 2]);
    let mut n = node(1, s.clone());
    n.campaign().unwrap();
    let rd = n.ready().unwrap().unwrap();
    let want = "Ready MustSync=true:
Lead:0 State:StateCandidate
HardState Term:1 Vote:1 Commit:0
Messages:
1->2 MsgVote Term:1 Log:0/0
";
    assert_eq!(describe_ready(&rd, None), want);
    assert_eq!(format!("{rd:?}"), want);
    Writer::append(&mut s.clone(), rd.write()).unwrap();
    n.advance(rd.persisted()).unwrap();

    // As a follower again: what is held back is printed, what the node says to itself is not.
    let m = Message {
        to: 1,
        from: 2,
        term: 2,
        commit: 1,
        entries: vec![Entry::new(2, 1, "x"), Entry::new(2, 2, "y")].into(),
        ..Message::new(MessageType::MsgApp)
    };
    n.step(m).unwrap();
    let rd = n.ready().unwrap().unwrap();
    let want = "Ready MustSync=true:
Lead:2 State:StateFollower
HardState Term:2 Commit:1
Entries:
2/1 EntryNormal X
2/2 EntryNormal Y
CommittedEntries:
2/1 EntryNormal X
Messages:
1->2 MsgAppResp Term:2 Log:0/2
";
    assert_eq!(describe_ready(&rd, Some(&shout)), want);
    Writer::append(&mut s.clone(), rd.write()).unwrap();
    n.advance(rd.persisted()).unwrap();

    let snap = snapshot(9, 2, &[1, 2]);
    let m = Message {
        to: 1,
        from: 2,
        term: 2,
        snapshot: Some(Box::new(snap)),
        ..Message::new(MessageType::MsgSnap)
    };
    n.step(m).unwrap();
    let rd = n.ready().unwrap().unwrap();
    let want = "Ready MustSync=false:
HardState Term:2 Commit:9
Snapshot Index:9 Term:2 ConfState:Voters:[1 2] VotersOutgoing:[] Learners:[] LearnersNext:[] AutoLeave:false
Messages:
1->2 MsgAppResp Term:2 Log:0/9
";
    assert_eq!(describe_ready(&rd, None), want);
    drop(rd);
}

#[test]
fn an_async_ready() {
    let s = storage(&[1]);
    let mut n = RawNode::new_async(config(1), s.clone(), logger(), None).unwrap();
    n.campaign().unwrap();
    let rd = n.ready().unwrap().unwrap();
    let want = "Ready MustSync=true:
Lead:0 State:StateCandidate
HardState Term:1 Vote:1 Commit:0
Messages:
1->AppendThread MsgStorageAppend Term:1 Log:0/0 Vote:1 Responses:[
  1->1 MsgVoteResp Term:1 Log:0/0
]
";
    assert_eq!(describe_ready(&rd, None), want);
    let w = rd.append.unwrap();
    Writer::append(&mut s.clone(), w.write()).unwrap();
    let _ = n.deliver(w.done()).unwrap();

    let rd = n.ready().unwrap().unwrap();
    let w = rd.append.unwrap();
    Writer::append(&mut s.clone(), w.write()).unwrap();
    let _ = n.deliver(w.done()).unwrap();
    let rd = n.ready().unwrap().unwrap();
    let want = "Ready MustSync=false:
HardState Term:1 Vote:1 Commit:1
CommittedEntries:
1/1 EntryNormal \"\"
Messages:
1->AppendThread MsgStorageAppend Term:1 Log:0/0 Commit:1 Vote:1
1->ApplyThread MsgStorageApply Term:0 Log:0/0 Entries:[1/1 EntryNormal \"\"] Responses:[
  ApplyThread->1 MsgStorageApplyResp Term:0 Log:0/0 Entries:[1/1 EntryNormal \"\"]
]
";
    assert_eq!(describe_ready(&rd, None), want);
    drop((rd.append.unwrap().done(), rd.apply.unwrap().done()));
}

#[test]
fn read_states_print_as_gos_slices() {
    let (mut n, _) = leader();
    n.read_index("ab".into()).unwrap();
    n.read_index("".into()).unwrap();
    let rd = n.ready().unwrap().unwrap();
    assert_eq!(
        describe_ready(&rd, None),
        "Ready MustSync=false:\nReadStates [{1 [97 98]} {1 []}]\n"
    );
    drop(rd);
}
