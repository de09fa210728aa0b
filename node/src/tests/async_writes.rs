//! Writes and applications beside the node. Go: node_test.go (TestCommitPaginationWithAsyncStorageWrites)

use super::*;
use crate::{Accepted, Error, start_node_async};
use rawnode::raft::Peer;
use rawnode::{AppendWork, ApplyWork, AsyncReady, AsyncWrites, Work};
use std::thread;

pub(super) fn spawn_async(c: Config, s: &MemoryStorage) -> Node<AsyncWrites> {
    let rn = RawNode::new_async(c, s.clone(), Lines::default().logger(), None).unwrap();
    options().spawn(rn).unwrap()
}

pub(super) fn take_async(n: &Node<AsyncWrites>) -> AsyncReady {
    n.ready().recv_timeout(LONG).expect("a Ready comes")
}

fn append(n: &Node<AsyncWrites>, s: &MemoryStorage, w: AppendWork) -> Vec<Message> {
    Writer::append(&mut s.clone(), w.write()).unwrap();
    n.deliver(w.done()).unwrap()
}

/// Handles Readies until this many entries are applied.
fn until_applied(n: &Node<AsyncWrites>, s: &MemoryStorage, count: usize) -> Vec<Entry> {
    let mut applied = Vec::new();
    while applied.len() < count {
        let rd = take_async(n);
        if let Some(w) = rd.append {
            assert_eq!(append(n, s, w), []);
        }
        if let Some(w) = rd.apply {
            applied.extend(w.entries().iter().cloned());
            assert_eq!(n.deliver(w.done()).unwrap(), []);
        }
    }
    applied
}

#[test]
fn a_group_of_one() {
    let s = MemoryStorage::new();
    let peers = [Peer {
        id: 1,
        ..Peer::default()
    }];
    let logger = Lines::default().logger();
    let n = start_node_async(config(1), s.clone(), &peers, logger, None).unwrap();
    until_applied(&n, &s, 1);
    n.campaign().unwrap();
    let ticket = n.propose("x".into()).unwrap();
    let applied = until_applied(&n, &s, 2);
    assert_eq!(ticket.wait(), Ok(Accepted::Appended { term: 2, index: 3 }));
    assert_eq!(applied.last(), Some(&Entry::new(2, 3, "x")));
}

/// A thread writes, another applies, as in etcd's doc.go.
#[test]
fn storage_threads() {
    const N: usize = 500;
    let s = storage(&[1]);
    let n = spawn_async(config(1), &s);
    let (appends, to_append) = crossbeam_channel::unbounded::<AppendWork>();
    let (applies, to_apply) = crossbeam_channel::unbounded::<ApplyWork>();
    let appending = thread::spawn({
        let (n, mut log) = (n.clone(), s.clone());
        move || {
            for first in &to_append {
                // All that wait share a sync.
                let works: Vec<_> = std::iter::once(first).chain(to_append.try_iter()).collect();
                for w in &works {
                    Writer::append(&mut log, w.write()).unwrap();
                }
                log.sync().unwrap();
                for w in works {
                    let _ = n.deliver(w.done());
                }
            }
        }
    });
    let applying = thread::spawn({
        let n = n.clone();
        move || {
            let mut applied = Vec::new();
            for w in to_apply {
                applied.extend(data(w.entries()));
                let _ = n.deliver(w.done());
                if applied.len() > N {
                    n.stop();
                }
            }
            applied
        }
    });
    n.campaign().unwrap();
    for i in 0..N {
        drop(n.propose(i.to_string().into()).unwrap());
    }
    while let Ok(rd) = n.ready().recv() {
        rd.append.into_iter().for_each(|w| appends.send(w).unwrap());
        rd.apply.into_iter().for_each(|w| applies.send(w).unwrap());
    }
    drop((appends, applies));
    appending.join().unwrap();
    let applied = applying.join().unwrap();
    let want: Vec<_> = (0..N).map(|i| i.to_string()).collect();
    assert_eq!(applied[0], "");
    assert_eq!(applied[1..], want);
}

/// The next Ready comes when this one was taken, and holds all that came meanwhile.
#[test]
fn readies_do_not_pile_up() {
    let s = storage(&[1]);
    let n = spawn_async(config(1), &s);
    n.campaign().unwrap();
    until_applied(&n, &s, 1);
    // Whatever else is said about the first entry.
    while !silent(&n) {
        if let Some(w) = take_async(&n).append {
            append(&n, &s, w);
        }
    }
    n.propose("a".into()).unwrap().wait().unwrap();
    while n.ready().is_empty() {
        thread::yield_now();
    }
    for x in ["b", "c", "d"] {
        n.propose(x.into()).unwrap().wait().unwrap();
    }
    let (first, second) = (take_async(&n), take_async(&n));
    assert_eq!(first.entries().map(data), Some(vec!["a".to_owned()]));
    assert_eq!(second.entries().map(Entries::len), Some(3));
    append(&n, &s, first.append.unwrap());
    append(&n, &s, second.append.unwrap());
    until_applied(&n, &s, 4);
}

/// Entries that are being applied count against the limit until they are. Go: TestCommitPaginationWithAsyncStorageWrites
#[test]
fn what_is_being_applied_is_bounded() {
    let s = storage(&[1]);
    let c = Config {
        max_committed_size_per_ready: 2048,
        ..config(1)
    };
    let n = spawn_async(c, &s);
    n.campaign().unwrap();
    until_applied(&n, &s, 1);
    let mut applying = Vec::new();
    let write_all = |applying: &mut Vec<ApplyWork>| {
        while !silent(&n) {
            let rd = take_async(&n);
            if let Some(w) = rd.append {
                append(&n, &s, w);
            }
            applying.extend(rd.apply);
        }
    };
    for _ in 0..3 {
        n.propose(vec![b'a'; 1024].into()).unwrap().wait().unwrap();
        write_all(&mut applying);
    }
    let count = |ws: &[ApplyWork]| ws.iter().map(|w| w.entries().len()).sum::<usize>();
    assert_eq!(count(&applying), 2, "the third waits for room");
    let _ = n.deliver(applying.remove(0).done()).unwrap();
    write_all(&mut applying);
    assert_eq!(count(&applying), 2);
    for w in applying {
        let _ = n.deliver(w.done()).unwrap();
    }
    assert_eq!(n.status().unwrap().basic.applied, 4);
}

#[test]
fn a_dropped_work_ends_the_node() {
    let s = storage(&[1]);
    let n = spawn_async(config(1), &s);
    n.campaign().unwrap();
    let ticket = n.propose("x".into()).unwrap();
    drop(take_async(&n));
    // It shows when there is more to hand out.
    n.step(Message {
        to: 1,
        from: 2,
        term: 9,
        ..Message::new(MessageType::MsgHeartbeat)
    })
    .unwrap();
    while n.ready().recv().is_ok() {}
    let end = Error::Misuse(rawnode::Error::WorkDropped(Work::Append));
    assert_eq!(n.ended(), Some(end.clone()));
    // Forwarded to the leader of term 9, or not at all.
    let result = ticket.wait();
    assert!(
        result == Err(end) || result == Ok(Accepted::Forwarded { to: 2 }),
        "{result:?}"
    );
}

/// Nobody turns in circles while a Ready waits for room, or when there is nothing to do.
#[test]
fn a_node_that_waits_takes_no_turns() {
    let s = storage(&[1]);
    let n = spawn_async(config(1), &s);
    n.campaign().unwrap();
    until_applied(&n, &s, 1);
    for x in ["a", "b"] {
        n.propose(x.into()).unwrap().wait().unwrap();
    }
    // One is in the channel, one waits for room. Now and then the node's thread looks for what callers have left to it.
    for blocked in [true, false] {
        let before = n.turns();
        for _ in 0..2000 {
            thread::yield_now();
        }
        let taken = n.turns() - before;
        assert!(taken < 200, "{taken} turns for nothing, blocked: {blocked}");
        if blocked {
            until_applied(&n, &s, 2);
            while !silent(&n) {
                if let Some(w) = take_async(&n).append {
                    append(&n, &s, w);
                }
            }
        }
    }
}

/// A Ready waits for room, a call is inside for long, and then there is room: the node's thread waits for that call, and does not look again and again whether it is gone.
#[test]
fn the_nodes_thread_sleeps_while_a_call_is_inside() {
    if !options().callers_run {
        return; // nobody else is inside
    }
    let (at, is_inside) = bounded(1);
    let (go, goes_on) = bounded::<()>(0);
    let rn = RawNode::new_async(config(1), storage(&[1, 2]), Lines::default().logger(), None);
    let hang = move |_: &crate::Refused<'_>| {
        let _ = at.send(());
        let _ = goes_on.recv();
        Ok(())
    };
    let n: Node<AsyncWrites> = options().spawn_watched(rn.unwrap(), hang).unwrap();
    let beat = |term, commit| Message {
        to: 1,
        from: 2,
        term,
        commit,
        ..Message::new(MessageType::MsgHeartbeat)
    };
    // Two Readies, each with an answer: the first is not taken, so the second waits.
    for term in [5, 6] {
        n.step(beat(term, 0)).unwrap();
        n.status().unwrap();
    }
    while !n.watches_for_room() {
        thread::yield_now();
    }
    let caller = thread::spawn({
        let n = n.clone();
        move || n.step(beat(6, 9))
    });
    is_inside.recv_timeout(LONG).unwrap();
    let before = n.wakings();
    let _first = take_async(&n);
    // It wakes for the room, and once more if it was woken for what it did before.
    while n.wakings() == before {
        thread::yield_now();
    }
    (0..1000).for_each(|_| thread::yield_now());
    let woken = n.wakings() - before;
    drop(go);
    caller.join().unwrap().unwrap();
    assert!(woken <= 3, "woken {woken} times");
    let _second = take_async(&n);
    n.stop();
}
