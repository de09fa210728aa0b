//! Writes and applications beside the node. Go: node_test.go (TestCommitPaginationWithAsyncStorageWrites), rawnode.go

use super::*;
use crate::{AppendWork, AsyncReady, AsyncWrites, Error, Work};
use raft::raftpb::{LOCAL_APPEND_THREAD, LOCAL_APPLY_THREAD, MessageType};

type AsyncNode = RawNode<MemoryStorage, AsyncWrites>;

fn async_node(id: u64, s: &MemoryStorage) -> AsyncNode {
    RawNode::new_async(config(id), s.clone(), logger(), None).unwrap()
}

fn ready(n: &mut AsyncNode) -> AsyncReady {
    n.ready().unwrap().expect("there is something to do")
}

/// Writes a work and delivers its responses; returns the messages to others.
fn write(n: &mut AsyncNode, s: &MemoryStorage, w: AppendWork) -> Vec<Message> {
    Writer::append(&mut s.clone(), w.write()).unwrap();
    n.deliver(w.done()).unwrap()
}

/// A group of one whose leader has written and applied its first entry.
fn async_leader() -> (AsyncNode, MemoryStorage) {
    let s = storage(&[1]);
    let mut n = async_node(1, &s);
    n.campaign().unwrap();
    settle_async(&mut n, &s);
    assert_eq!(n.basic_status().applied, 1);
    (n, s)
}

fn settle_async(n: &mut AsyncNode, s: &MemoryStorage) -> Vec<Entry> {
    let mut applied = Vec::new();
    while let Some(rd) = n.ready().unwrap() {
        if let Some(w) = rd.append {
            assert_eq!(write(n, s, w), []);
        }
        if let Some(w) = rd.apply {
            applied.extend(w.entries().iter().cloned());
            assert_eq!(n.deliver(w.done()).unwrap(), []);
        }
    }
    applied
}

#[test]
fn nothing_is_applied_before_it_is_written() {
    let s = storage(&[1]);
    let mut n = async_node(1, &s);
    n.campaign().unwrap();
    let rd = ready(&mut n);
    assert_eq!(
        rd.soft_state().map(|ss| ss.raft_state),
        Some(StateType::Candidate)
    );
    assert!(rd.must_sync() && rd.apply.is_none() && rd.messages().is_empty());
    write(&mut n, &s, rd.append.unwrap());
    assert_eq!(n.basic_status().soft_state.lead, 1, "its vote was written");

    let rd = ready(&mut n);
    assert_eq!(rd.entries().map(Entries::len), Some(1));
    assert!(rd.committed_entries().is_none());
    assert!(
        n.ready().unwrap().is_none(),
        "nothing to say until it is written"
    );
    write(&mut n, &s, rd.append.unwrap());

    let rd = ready(&mut n);
    assert_eq!(rd.committed_entries().map(Entries::len), Some(1));
    assert!(!rd.must_sync(), "only the commit index moved");
    let _ = n.deliver(rd.apply.unwrap().done()).unwrap();
    assert_eq!(n.basic_status().applied, 1);
    drop(rd.append.unwrap().done());
}

#[test]
fn several_writes_may_be_out() {
    let (mut n, s) = async_leader();
    let mut works = Vec::new();
    for x in ["a", "b", "c"] {
        n.propose(x.into()).unwrap();
        let rd = ready(&mut n);
        assert_eq!(rd.entries().map(data), Some(vec![x.to_owned()]));
        works.extend(rd.append);
    }
    // One sync for all of them.
    for w in &works {
        Writer::append(&mut s.clone(), w.write()).unwrap();
    }
    for w in works {
        assert_eq!(n.deliver(w.done()).unwrap(), []);
    }
    let applied = settle_async(&mut n, &s);
    let applied: Vec<_> = applied.iter().map(|e| e.data.clone()).collect();
    assert_eq!(applied, ["a", "b", "c"]);
}

/// The messages to the storage threads are etcd's. Go: newStorageAppendMsg, newStorageApplyMsg
#[test]
fn works_speak_as_etcds_messages() {
    let (mut n, s) = async_leader();
    n.propose("x".into()).unwrap();
    let w = ready(&mut n).append.unwrap();
    let m = w.message();
    assert_eq!(
        (m.msg_type, m.from, m.to),
        (MessageType::MsgStorageAppend, 1, LOCAL_APPEND_THREAD)
    );
    assert_eq!((m.term, m.vote, m.commit), (0, 0, 0), "no new hard state");
    assert_eq!(data(&m.entries), ["x"]);
    let want = [
        Message {
            to: 1,
            from: 1,
            term: 1,
            index: 2,
            ..Message::new(MessageType::MsgAppResp)
        },
        Message {
            to: 1,
            from: LOCAL_APPEND_THREAD,
            term: 1,
            log_term: 1,
            index: 2,
            ..Message::new(MessageType::MsgStorageAppendResp)
        },
    ];
    assert_eq!(&m.responses[..], &want);
    assert_eq!(w.responses(), &want);
    Writer::append(&mut s.clone(), w.write()).unwrap();
    assert_eq!(w.into_message(), m);
    assert_eq!(n.deliver(m.responses.into_vec()).unwrap(), []);

    let rd = ready(&mut n);
    let m = rd.append.unwrap().into_message();
    assert_eq!(
        (m.term, m.vote, m.commit),
        (1, 1, 2),
        "all of the hard state or nothing"
    );
    assert!(m.responses.is_empty() && m.entries.is_empty());
    let w = rd.apply.unwrap();
    let m = w.message();
    assert_eq!(
        (m.msg_type, m.from, m.to, m.term),
        (MessageType::MsgStorageApply, 1, LOCAL_APPLY_THREAD, 0)
    );
    assert_eq!(data(&m.entries), ["x"]);
    let want = Message {
        to: 1,
        from: LOCAL_APPLY_THREAD,
        entries: m.entries.clone(),
        ..Message::new(MessageType::MsgStorageApplyResp)
    };
    assert_eq!(&m.responses[..], &[want]);
    assert_eq!(w.into_message(), m);
    assert_eq!(n.deliver(m.responses.into_vec()).unwrap(), []);
    assert_eq!(n.basic_status().applied, 2);
    assert!(!n.has_ready());
}

#[test]
fn a_followers_answer_waits_for_its_write() {
    let s = storage(&[1, 2]);
    let mut n = async_node(1, &s);
    let m = Message {
        to: 1,
        from: 2,
        term: 1,
        commit: 1,
        entries: vec![Entry::new(1, 1, "x")].into(),
        ..Message::new(MessageType::MsgApp)
    };
    n.step(m).unwrap();
    let mut rd = ready(&mut n);
    assert_eq!(rd.take_messages(), []);
    assert!(rd.apply.is_none(), "committed, but not yet written here");
    let sent = write(&mut n, &s, rd.append.unwrap());
    assert_eq!(sent.len(), 1);
    assert_eq!(
        (sent[0].msg_type, sent[0].to, sent[0].index),
        (MessageType::MsgAppResp, 2, 1)
    );
    let rd = ready(&mut n);
    assert_eq!(rd.committed_entries().map(data), Some(vec!["x".to_owned()]));
    drop(rd.apply.unwrap().done());
}

#[test]
fn a_snapshot_is_written_and_acknowledged() {
    let s = storage(&[1, 2]);
    let mut n = async_node(2, &s);
    let snap = Snapshot {
        data: "state".into(),
        ..snapshot(5, 1, &[1, 2])
    };
    let m = Message {
        to: 2,
        from: 1,
        term: 1,
        snapshot: Some(Box::new(snap.clone())),
        ..Message::new(MessageType::MsgSnap)
    };
    n.step(m).unwrap();
    let rd = ready(&mut n);
    assert_eq!(rd.snapshot(), Some(&snap));
    let w = rd.append.unwrap();
    assert_eq!(w.message().snapshot.as_deref(), Some(&snap));
    assert_eq!(
        w.responses().last().unwrap().snapshot.as_deref(),
        Some(&snap)
    );
    let sent = write(&mut n, &s, w);
    assert_eq!(sent.len(), 1);
    assert_eq!(
        (sent[0].msg_type, sent[0].index),
        (MessageType::MsgAppResp, 5)
    );
    settle_async(&mut n, &s);
    assert_eq!(n.basic_status().applied, 5);
}

/// Entries that are being applied count against the limit until they are. Go: TestCommitPaginationWithAsyncStorageWrites
#[test]
fn what_is_being_applied_is_bounded() {
    let s = storage(&[1]);
    let c = Config {
        max_committed_size_per_ready: 2048,
        ..config(1)
    };
    let mut n = RawNode::new_async(c, s.clone(), logger(), None).unwrap();
    n.campaign().unwrap();
    settle_async(&mut n, &s);
    let mut applying = Vec::new();
    for _ in 0..3 {
        n.propose(vec![b'a'; 1024].into()).unwrap();
        // Written at once, applied later.
        while let Some(rd) = n.ready().unwrap() {
            if let Some(w) = rd.append {
                write(&mut n, &s, w);
            }
            applying.extend(rd.apply);
        }
    }
    let sizes = |ws: &[crate::ApplyWork]| ws.iter().map(|w| w.entries().len()).collect::<Vec<_>>();
    assert_eq!(sizes(&applying), [1, 1], "the third waits for room");
    let _ = n.deliver(applying.remove(0).done()).unwrap();
    let rd = ready(&mut n);
    assert!(rd.append.is_none());
    applying.extend(rd.apply);
    assert_eq!(sizes(&applying), [1, 1]);
    for w in applying {
        let _ = n.deliver(w.done()).unwrap();
    }
    assert_eq!(n.basic_status().applied, 4);
}

#[test]
fn appends_out_of_order_say_nothing() {
    let (mut n, s) = async_leader();
    let mut works = Vec::new();
    for x in ["a", "b"] {
        n.propose(x.into()).unwrap();
        works.extend(ready(&mut n).append);
    }
    let late = works.pop().unwrap();
    Writer::append(&mut s.clone(), works[0].write()).unwrap();
    Writer::append(&mut s.clone(), late.write()).unwrap();
    assert_eq!(late.done(), [], "it would vouch for the one before");
    assert_eq!(n.ready().unwrap_err(), Error::OutOfOrder(Work::Append));
    assert_eq!(n.basic_status().hard_state.commit, 1);
    assert_ne!(works.pop().unwrap().done(), []);
    assert_eq!(
        n.ready().unwrap_err(),
        Error::OutOfOrder(Work::Append),
        "for good"
    );
}

#[test]
fn applies_out_of_order_say_nothing() {
    let (mut n, s) = async_leader();
    let mut works = Vec::new();
    for x in ["a", "b"] {
        n.propose(x.into()).unwrap();
        while let Some(rd) = n.ready().unwrap() {
            if let Some(w) = rd.append {
                write(&mut n, &s, w);
            }
            works.extend(rd.apply);
        }
    }
    assert_eq!(works.len(), 2);
    let m = works.pop().unwrap().into_message();
    assert!(m.responses.is_empty());
    assert_eq!(n.ready().unwrap_err(), Error::OutOfOrder(Work::Apply));
    assert_eq!(n.basic_status().applied, 1);
    assert_eq!(works.pop().unwrap().done().len(), 1);
}

#[test]
fn dropped_works_stop_the_node() {
    let (mut n, _) = async_leader();
    n.propose("a".into()).unwrap();
    drop(ready(&mut n));
    assert_eq!(n.ready().unwrap_err(), Error::WorkDropped(Work::Append));

    let (mut n, s) = async_leader();
    n.propose("a".into()).unwrap();
    let w = ready(&mut n).append.unwrap();
    write(&mut n, &s, w);
    let rd = ready(&mut n);
    drop(rd.append.unwrap().done());
    drop(rd.apply);
    assert_eq!(n.ready().unwrap_err(), Error::WorkDropped(Work::Apply));
}

#[test]
fn a_message_buffer_can_be_given_back() {
    let s = storage(&[1, 2]);
    let mut n = async_node(1, &s);
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..10 {
        n.campaign().unwrap();
        let mut rd = ready(&mut n);
        let messages = rd.take_messages();
        assert_eq!(messages.len(), 1);
        seen.insert(messages.as_ptr() as usize);
        n.recycle(messages);
        write(&mut n, &s, rd.append.unwrap());
    }
    assert!(seen.len() <= 2, "{} buffers", seen.len());
}

/// Works are done on other threads.
#[test]
fn works_travel_between_threads() {
    let (mut n, s) = async_leader();
    n.propose("x".into()).unwrap();
    let w = ready(&mut n).append.unwrap();
    let mut log = s.clone();
    let responses = std::thread::spawn(move || {
        Writer::append(&mut log, w.write()).unwrap();
        w.done()
    });
    let _ = n.deliver(responses.join().unwrap()).unwrap();
    assert_eq!(settle_async(&mut n, &s).len(), 1);
}
