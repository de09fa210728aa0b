//! A node that calls its application: what is handed to it, in what order, and what ends it; and many threads that bring work at once.

use super::*;
use crate::{Accepted, Error, Served};
use rawnode::Persisted;
use rawnode::raft::Fault;
use rawnode::raftpb::{ConfChange, ConfChangeType, unmarshal_conf_change};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Barrier, OnceLock};
use std::thread;

/// Does all that a Ready of a group of one says, and tells what was applied.
fn alone(
    mut s: MemoryStorage,
    applied: Sender<Entry>,
) -> impl FnMut(Ready, &mut Served<'_>) -> Result<Persisted, storage::Error> + Send + 'static {
    move |rd, node| {
        Writer::append(&mut s, rd.write())?;
        let p = rd.persisted();
        for e in p.committed_entries() {
            if let Ok(Some(cc)) = unmarshal_conf_change(e) {
                node.apply_conf_change(&cc).unwrap();
            }
            let _ = applied.send(e.clone());
        }
        Ok(p)
    }
}

fn raw(c: Config, s: MemoryStorage) -> RawNode<MemoryStorage> {
    RawNode::new(c, s, Lines::default().logger(), None).unwrap()
}

/// A leader of one, whose own entry is applied.
fn served_leader() -> (Node, MemoryStorage, Receiver<Entry>) {
    let s = storage(&[1]);
    let (applied, is_applied) = crossbeam_channel::unbounded();
    // No test here finds the queue full unless it wants to.
    let o = NodeOptions {
        propose_queue: 8192,
        ..options()
    };
    let n = o
        .serve(raw(config(1), s.clone()), alone(s.clone(), applied))
        .unwrap();
    n.campaign().unwrap();
    assert_eq!(is_applied.recv_timeout(LONG), Ok(Entry::new(1, 1, "")));
    (n, s, is_applied)
}

#[test]
fn what_is_proposed_is_written_and_applied() {
    let (n, s, applied) = served_leader();
    let at = |index| Ok(Accepted::Appended { term: 1, index });
    assert_eq!(n.propose("a".into()).unwrap().wait(), at(2));
    let batch = n.propose_batch(["b", "c"].map(Into::into));
    let results: Vec<_> = batch.into_iter().map(|t| t.unwrap().wait()).collect();
    assert_eq!(results, [at(3), at(4)]);
    for (index, data) in [(2, "a"), (3, "b"), (4, "c")] {
        assert_eq!(applied.recv_timeout(LONG), Ok(Entry::new(1, index, data)));
    }
    let add = ConfChange {
        change_type: ConfChangeType::AddLearnerNode,
        node_id: 2,
        ..ConfChange::default()
    };
    n.propose_conf_change(&add).unwrap().wait().unwrap();
    applied.recv_timeout(LONG).unwrap();
    assert_eq!(n.status().unwrap().config.conf_state(), conf(&[1], &[2]));
    assert_eq!(s.last_index(), Ok(5));
    n.stop();
    assert!(
        n.ready().recv().is_err(),
        "nothing came there, and it is closed"
    );
}

/// With nobody else at work a call returns when all is done that it can do.
#[test]
fn a_caller_does_the_work() {
    if !options().callers_run {
        return; // the node's thread does it
    }
    let (n, _s, applied) = served_leader();
    // The turns of the node's thread, which it takes when it starts, are over by now or soon.
    let mut mine = 0;
    while mine < 100 {
        n.propose("x".into()).unwrap();
        match applied.try_recv() {
            Ok(_) => mine += 1,
            Err(_) => drop(applied.recv_timeout(LONG).unwrap()),
        }
    }
}

/// Threads that propose, one alone and in batches, lose nothing and keep their orders; in between come ticks, messages and questions.
#[test]
fn many_bring_work_at_once() {
    const THREADS: usize = 4;
    const EACH: usize = 1500;
    let (n, _s, applied) = served_leader();
    let stop = Arc::new(AtomicBool::new(false));
    let others: Vec<_> = (0..2)
        .map(|i| {
            let (n, stop) = (n.clone(), Arc::clone(&stop));
            thread::spawn(move || {
                while !stop.load(Ordering::SeqCst) {
                    match i {
                        0 => n.tick().unwrap(),
                        _ => drop(n.status().unwrap()),
                    }
                    let stranger = Message {
                        from: 9,
                        to: 1,
                        ..Message::new(MessageType::MsgHeartbeatResp)
                    };
                    n.step(stranger).unwrap();
                }
            })
        })
        .collect();
    let start = Arc::new(Barrier::new(THREADS));
    let proposers: Vec<_> = (0..THREADS)
        .map(|t| {
            let (n, start) = (n.clone(), Arc::clone(&start));
            thread::spawn(move || {
                start.wait();
                let mut tickets = Vec::new();
                for i in (0..EACH).step_by(3) {
                    let next = (i..i + 3).map(|i| format!("{t}:{i}").into());
                    match t % 2 {
                        0 => tickets.extend(n.propose_batch(next)),
                        _ => tickets.extend(next.map(|data| n.propose(data))),
                    }
                }
                let index = |t: Result<crate::Ticket, Error>| match t.unwrap().wait() {
                    Ok(Accepted::Appended { index, .. }) => index,
                    other => panic!("{other:?}"),
                };
                tickets.into_iter().map(index).collect::<Vec<_>>()
            })
        })
        .collect();
    let mut next = [0; THREADS];
    let mut at = vec![Vec::new(); THREADS];
    for want in 2..2 + THREADS * EACH {
        let e = applied.recv_timeout(LONG).unwrap();
        assert_eq!(e.index, want as u64);
        let text = std::str::from_utf8(&e.data).unwrap();
        let (t, i) = text.split_once(':').unwrap();
        let t: usize = t.parse().unwrap();
        assert_eq!(i, next[t].to_string());
        next[t] += 1;
        at[t].push(e.index);
    }
    for (p, at) in proposers.into_iter().zip(at) {
        assert_eq!(p.join().unwrap(), at, "the tickets told where they are");
    }
    stop.store(true, Ordering::SeqCst);
    others.into_iter().for_each(|t| t.join().unwrap());
}

fn place(id: u64, nodes: &[OnceLock<Node>; 3]) -> &OnceLock<Node> {
    &nodes[usize::try_from(id).unwrap() - 1]
}

/// Three nodes that call each other from inside their turns; all propose.
#[test]
fn nodes_that_call_each_other() {
    const EACH: usize = 300;
    let nodes: Arc<[OnceLock<Node>; 3]> = Arc::default();
    let mut all_applied = Vec::new();
    for id in 1..=3 {
        let (applied, is_applied) = crossbeam_channel::unbounded();
        all_applied.push(is_applied);
        let mut s = storage(&[1, 2, 3]);
        let peers = Arc::clone(&nodes);
        let raw = raw(config(id), s.clone());
        let send = move |m: Message| drop(place(m.to, &peers).wait().step(m));
        let application = move |mut rd: Ready, _: &mut Served<'_>| {
            rd.drain_messages().for_each(&send);
            Writer::append(&mut s, rd.write())?;
            let mut p = rd.persisted();
            p.drain_messages().for_each(&send);
            for e in p.committed_entries().iter().filter(|e| !e.data.is_empty()) {
                let _ = applied.send(e.data.clone());
            }
            Ok(p)
        };
        let n = options().serve(raw, application).unwrap();
        place(id, &nodes).get_or_init(|| n);
    }
    nodes[0].wait().campaign().unwrap();
    let proposers: Vec<_> = (0..3)
        .map(|i| {
            let nodes = Arc::clone(&nodes);
            thread::spawn(move || {
                for k in 0..EACH {
                    let ticket = nodes[i].wait().propose(format!("{i}:{k}").into()).unwrap();
                    let result = ticket.wait_timeout(LONG).expect("there is a leader");
                    match (i, result) {
                        (0, Ok(Accepted::Appended { .. })) => {}
                        (1 | 2, Ok(Accepted::Forwarded { to: 1 })) => {}
                        other => panic!("{other:?}"),
                    }
                }
            })
        })
        .collect();
    proposers.into_iter().for_each(|p| p.join().unwrap());
    let of = |r: &Receiver<bytes::Bytes>| {
        (0..3 * EACH)
            .map(|_| r.recv_timeout(LONG).unwrap())
            .collect::<Vec<_>>()
    };
    let first = of(&all_applied[0]);
    assert_eq!(of(&all_applied[1]), first);
    assert_eq!(of(&all_applied[2]), first);
    // They hold each other's handles, so none goes by itself.
    for n in nodes.iter() {
        n.wait().stop();
        assert_eq!(n.wait().ended(), Some(Error::Stopped));
    }
}

#[test]
fn what_it_cannot_write_ends_the_node() {
    let s = storage(&[1]);
    let broken = storage::Error::other("disk on fire");
    let fails = broken.clone();
    let n = options()
        .serve(raw(config(1), s), move |_, _| Err(fails.clone()))
        .unwrap();
    let ticket = n.propose("x".into()).unwrap();
    let _ = n.campaign();
    assert!(n.ready().recv().is_err());
    assert_eq!(n.fault().as_ref().map(Fault::storage_error), Some(&broken));
    assert_eq!(ticket.wait(), Err(n.ended().unwrap()));
    assert!(matches!(n.tick(), Err(Error::Fault(_))));
}

#[test]
fn its_panic_ends_the_node() {
    let s = storage(&[1]);
    let n = options()
        .serve(raw(config(1), s), |_, _| {
            panic!("the application panics, as the test wants")
        })
        .unwrap();
    let ticket = n.propose("x".into()).unwrap();
    let _ = n.campaign();
    assert!(n.ready().recv().is_err());
    let want = Error::Panicked("the application panics, as the test wants".into());
    assert_eq!(ticket.wait(), Err(want.clone()));
    assert_eq!(n.propose("y".into()).unwrap_err(), want);
    n.stop();
}

#[test]
fn a_dropped_ready_ends_the_node() {
    let s = storage(&[1]);
    let mut first = None;
    let n = options()
        .serve(raw(config(1), s), move |rd, _| match first.take() {
            // Hands back another one's, too.
            None => {
                let other = storage(&[1]);
                let mut rn = raw(config(1), other);
                rn.campaign().unwrap();
                first = Some(());
                drop(rd);
                Ok(rn.ready().unwrap().unwrap().persisted())
            }
            Some(()) => unreachable!("it has ended"),
        })
        .unwrap();
    let _ = n.campaign();
    assert!(n.ready().recv().is_err());
    assert_eq!(n.ended(), Some(Error::Misuse(rawnode::Error::ForeignReady)));
}

/// Inside a turn nothing waits; and the node may be stopped there.
#[test]
fn calls_from_inside() {
    let me = Arc::new(OnceLock::<Node>::new());
    let (told, tells) = bounded(1);
    let mut s = storage(&[1]);
    let raw = raw(config(1), s.clone());
    let inside = Arc::clone(&me);
    let n = options()
        .serve(raw, move |rd, _| {
            Writer::append(&mut s, rd.write())?;
            let p = rd.persisted();
            let n = inside.wait();
            match p.committed_entries().last().map(|e| e.data.clone()) {
                Some(data) if data.is_empty() => {
                    // Questions would wait for this very turn.
                    assert_eq!(n.status().err(), Some(Error::Inside));
                    assert_eq!(
                        n.apply_conf_change(&ConfChange::default()),
                        Err(Error::Inside)
                    );
                    // These need not.
                    n.tick().unwrap();
                    n.propose("from inside".into()).unwrap();
                }
                Some(data) if data == "from inside" => {
                    n.stop();
                    let _ = told.send(());
                }
                _ => {}
            }
            Ok(p)
        })
        .unwrap();
    me.get_or_init(|| n);
    let n = me.wait();
    n.campaign().unwrap();
    assert_eq!(tells.recv_timeout(LONG), Ok(()));
    assert!(n.ready().recv().is_err());
    assert_eq!(n.ended(), Some(Error::Stopped));
}

/// A message that finds no room from inside a turn is lost, not waited with.
#[test]
fn a_full_queue_inside_a_turn() {
    let o = NodeOptions {
        receive_queue: 1,
        ..options()
    };
    let me = Arc::new(OnceLock::<Node>::new());
    let (told, tells) = crossbeam_channel::unbounded();
    let inside = Arc::clone(&me);
    let beat = || Message {
        to: 1,
        from: 2,
        term: 1,
        ..Message::new(MessageType::MsgHeartbeat)
    };
    let raw = raw(config(1), storage(&[1, 2]));
    let n = o
        .serve(raw, move |rd, _| {
            let n = inside.wait();
            let _ = told.send([n.step(beat()), n.step(beat())]);
            Ok(rd.persisted())
        })
        .unwrap();
    me.get_or_init(|| n);
    me.wait().step(beat()).unwrap();
    assert_eq!(
        tells.recv_timeout(LONG),
        Ok([Ok(()), Err(Error::QueueFull)])
    );
    me.wait().stop();
}

/// Stops that race with callers inside: everyone learns of it, and the storage is free when stop returns.
#[test]
fn stops_that_race_with_work() {
    for round in 0..30 {
        let (guard, alive) = Alive::new();
        let mut s = storage(&[1]);
        let raw = raw(config(1), s.clone());
        let application = move |rd: Ready, _: &mut Served<'_>| {
            let _ = &guard;
            Writer::append(&mut s, rd.write())?;
            Ok(rd.persisted())
        };
        let n = options().serve(raw, application).unwrap();
        n.campaign().unwrap();
        let start = Arc::new(Barrier::new(4));
        let proposing: Vec<_> = (0..3)
            .map(|_| {
                let (n, start) = (n.clone(), Arc::clone(&start));
                thread::spawn(move || {
                    start.wait();
                    let mut tickets = Vec::new();
                    loop {
                        for t in n.propose_batch(["x", "y"].map(Into::into)) {
                            match t {
                                Ok(t) => tickets.push(t),
                                Err(Error::QueueFull) => thread::yield_now(),
                                Err(e) => {
                                    assert_eq!(e, Error::Stopped);
                                    return tickets;
                                }
                            }
                        }
                    }
                })
            })
            .collect();
        start.wait();
        (0..round % 6).for_each(|_| thread::yield_now());
        n.stop();
        assert!(
            !alive.load(Ordering::SeqCst),
            "round {round}: stop waited for the application"
        );
        for p in proposing {
            for t in p.join().unwrap() {
                match t.wait_timeout(LONG).expect("an answer") {
                    Ok(Accepted::Appended { .. }) | Err(Error::Stopped) => {}
                    other => panic!("round {round}: {other:?}"),
                }
            }
        }
    }
}
