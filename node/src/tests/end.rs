//! However a node ends, everyone learns of it and nobody hangs. Go: node_test.go (TestNodeStop, TestNodeStepUnblock)

use super::*;
use crate::{Accepted, Error};
use rawnode::raftpb::{ConfChange, SnapshotStatus};
use rawnode::{RawNode, raft};
use std::sync::{Barrier, OnceLock};
use std::thread;

/// What every call that can return how the node ended does return.
fn all_calls(n: &Node) -> Vec<Error> {
    let entry = |t| Message {
        from: 2,
        entries: vec![Entry::proposal("x")].into(),
        ..Message::new(t)
    };
    let cc = ConfChange::default();
    vec![
        n.tick().unwrap_err(),
        n.campaign().unwrap_err(),
        n.propose("x".into()).unwrap_err(),
        n.propose_conf_change(&cc).unwrap_err(),
        n.step(entry(MessageType::MsgProp)).unwrap_err(),
        n.step(entry(MessageType::MsgApp)).unwrap_err(),
        n.apply_conf_change(&cc).unwrap_err(),
        n.transfer_leadership(1, 2).unwrap_err(),
        n.forget_leader().unwrap_err(),
        n.read_index("x".into()).unwrap_err(),
        n.report_unreachable(2).unwrap_err(),
        n.report_snapshot(2, SnapshotStatus::Failure).unwrap_err(),
        n.ended().unwrap(),
    ]
}

/// Go: TestNodeStop
#[test]
fn after_stop_every_call_says_stopped() {
    let (n, _s) = leader();
    assert!(n.status().is_ok() && n.ended().is_none());
    n.stop();
    for e in all_calls(&n) {
        assert_eq!(e, Error::Stopped);
    }
    assert_eq!(n.status(), Err(Error::Stopped));
    assert_eq!(n.fault(), None);
    assert!(n.ready().recv().is_err(), "closed");
    n.stop();
    n.fail(storage::Error::other("too late"));
    assert_eq!(n.ended(), Some(Error::Stopped));
}

#[test]
fn a_ready_that_is_out_does_not_hold_up_stop() {
    let n = spawn(config(1), storage(&[1]));
    n.campaign().unwrap();
    let p = take(&n).persisted();
    n.stop();
    assert_eq!(n.advance(p), Err(Error::Stopped));
}

#[test]
fn everyone_stops_at_once() {
    let n = spawn(config(1), storage(&[1]));
    let stopping: Vec<_> = (0..4)
        .map(|_| {
            let n = n.clone();
            thread::spawn(move || {
                n.stop();
                assert_eq!(n.tick(), Err(Error::Stopped));
            })
        })
        .collect();
    for t in stopping {
        t.join().unwrap();
    }
}

/// Go: TestNodeStepUnblock
#[test]
fn stop_releases_whoever_waits() {
    let o = NodeOptions {
        receive_queue: 1,
        ..options()
    };
    let (n, gate) = hanging(o, OnRead::Read, &Lines::default());
    let beat = || Message {
        to: 1,
        from: 2,
        term: 1,
        ..Message::new(MessageType::MsgHeartbeat)
    };
    n.step(beat()).unwrap(); // the queue is full
    let ticket = n.propose("x".into()).unwrap();
    let waiting = [
        blocked(&n, move |n| n.step(beat())),
        blocked(&n, |n| n.status().map(drop)),
        blocked(&n, |n| {
            n.apply_conf_change(&ConfChange::default()).map(drop)
        }),
        blocked(&n, move |_| ticket.wait().map(drop)),
    ];
    let stopping = {
        let n = n.clone();
        thread::spawn(move || n.stop())
    };
    // The stop must be there before the thread looks for more to do.
    while !n.stop_is_pending() {
        thread::yield_now();
    }
    drop(gate);
    stopping.join().unwrap();
    for w in waiting {
        assert_eq!(w.join().unwrap(), Err(Error::Stopped));
    }
}

fn blocked(
    n: &Node,
    call: impl FnOnce(&Node) -> Result<(), Error> + Send + 'static,
) -> thread::JoinHandle<Result<(), Error>> {
    let n = n.clone();
    thread::spawn(move || call(&n))
}

#[test]
fn the_last_handle_stops_the_node() {
    /// A storage that tells when it is gone.
    struct Told(Wrapped, Sender<()>);
    impl Drop for Told {
        fn drop(&mut self) {
            let _ = self.1.send(());
        }
    }
    impl Storage for Told {
        fn initial_state(&self) -> Result<(HardState, ConfState), storage::Error> {
            self.0.initial_state()
        }
        fn entries(&self, lo: u64, hi: u64, max: u64) -> Result<Entries, storage::Error> {
            self.0.entries(lo, hi, max)
        }
        fn term(&self, index: u64) -> Result<u64, storage::Error> {
            self.0.term(index)
        }
        fn first_index(&self) -> Result<u64, storage::Error> {
            self.0.first_index()
        }
        fn last_index(&self) -> Result<u64, storage::Error> {
            self.0.last_index()
        }
        fn snapshot(&self) -> Result<Snapshot, storage::Error> {
            self.0.snapshot()
        }
    }
    let (gone, is_gone) = bounded(1);
    let s = Wrapped::new(storage(&[1]), OnRead::Generous);
    let n = spawn(config(1), Told(s, gone));
    let other = n.clone();
    let (ready, ticket) = (n.ready().clone(), n.propose("x".into()).unwrap());
    drop(n);
    assert!(is_gone.is_empty(), "one handle is left");
    assert!(other.status().is_ok());
    drop(other);
    assert_eq!(is_gone.try_recv(), Ok(()), "the thread was waited for");
    assert!(ready.recv().is_err());
    assert_eq!(ticket.wait(), Err(Error::Stopped));
}

#[test]
fn a_failing_storage_ends_the_node_for_everyone() {
    let lines = Lines::default();
    let (n, gate) = hanging(options(), OnRead::Fail, &lines);
    let ticket = n.propose("waiting".into()).unwrap();
    let waiting = [
        blocked(&n, |_| ticket.wait().map(drop)),
        apply_conf_change(&n),
    ];
    while n.requests_pending() == 0 {
        thread::yield_now();
    }
    drop(gate);
    assert!(
        n.ready().recv().is_err(),
        "closed, so that the application learns of it"
    );
    let fault = n.fault().unwrap();
    assert_eq!(fault.storage_error().to_string(), "unreadable");
    let want = Error::Fault(fault);
    for w in waiting {
        assert_eq!(w.join().unwrap(), Err(want.clone()));
    }
    for e in all_calls(&n) {
        assert_eq!(e, want);
    }
    let status = n.status().expect("the last is kept");
    assert_eq!((status.basic.id, status.basic.hard_state.term), (1, 1));
    n.stop();
    assert_eq!(n.ended(), Some(want));
    let logged = lines.of(Level::Error);
    assert!(
        logged.iter().any(|l| l.contains("unreadable")),
        "{logged:?}"
    );
}

fn apply_conf_change(n: &Node) -> thread::JoinHandle<Result<(), Error>> {
    blocked(n, |n| n.apply_conf_change(&ConfChange::default()).map(drop))
}

#[test]
fn tickets_learn_of_a_fault() {
    let (n, _s) = leader();
    n.propose("appended".into()).unwrap().wait().unwrap();
    let n2 = spawn(config(1), storage(&[1]));
    let ticket = n2.propose("waiting".into()).unwrap();
    let waiting = thread::spawn(move || ticket.wait());
    let broken = storage::Error::other("disk on fire");
    n2.fail(broken.clone());
    let fault = n2.fault().unwrap();
    assert_eq!(fault.storage_error(), &broken);
    assert_eq!(waiting.join().unwrap(), Err(Error::Fault(fault)));
    // The other node has nothing to do with it.
    assert!(n.ended().is_none());
}

#[test]
fn a_panic_ends_the_node_for_everyone() {
    let lines = Lines::default();
    let (n, gate) = hanging(options(), OnRead::Panic, &lines);
    let ticket = n.propose("waiting".into()).unwrap();
    let waiting = [
        blocked(&n, |_| ticket.wait().map(drop)),
        apply_conf_change(&n),
    ];
    while n.requests_pending() == 0 {
        thread::yield_now();
    }
    drop(gate);
    let want = Error::Panicked("the storage panics, as the test wants".into());
    for w in waiting {
        assert_eq!(w.join().unwrap(), Err(want.clone()));
    }
    assert!(n.ready().recv().is_err(), "closed");
    for e in all_calls(&n) {
        assert_eq!(e, want);
    }
    assert_eq!(n.status(), Err(want.clone()));
    n.stop();
    assert_eq!(n.ended(), Some(want));
}

/// Proposals that were being taken learn of it, too.
#[test]
fn a_panic_while_proposals_are_taken() {
    struct Bomb;
    impl Drain for Bomb {
        type Ok = ();
        type Err = Never;
        fn log(&self, r: &Record<'_>, _: &OwnedKVList) -> Result<(), Never> {
            assert!(!r.msg().to_string().contains("elected leader"), "bomb");
            Ok(())
        }
    }
    let rn = RawNode::new(config(1), storage(&[1, 2]), Logger::root(Bomb, o!()), None).unwrap();
    let n = options().spawn(rn).unwrap();
    let tickets: Vec<_> = (0..3).map(|_| n.propose("x".into()).unwrap()).collect();
    follow(&n, 1);
    for t in tickets {
        assert!(matches!(t.wait(), Err(Error::Panicked(what)) if &*what == "bomb"));
    }
    assert!(matches!(n.ended(), Some(Error::Panicked(_))));
}

#[test]
fn another_nodes_persisted_ends_the_node() {
    let (a, b) = (
        spawn(config(1), storage(&[1])),
        spawn(config(1), storage(&[1])),
    );
    a.campaign().unwrap();
    b.campaign().unwrap();
    let (_a, of_b) = (take(&a), take(&b));
    a.advance(of_b.persisted()).unwrap();
    assert!(a.ready().recv().is_err());
    assert_eq!(a.ended(), Some(Error::Misuse(rawnode::Error::ForeignReady)));
    b.stop();
}

/// A logger or storage may stop the node from inside.
#[test]
fn the_nodes_own_thread_may_stop_it() {
    static NODE: OnceLock<Node> = OnceLock::new();
    struct Stopper;
    impl Drain for Stopper {
        type Ok = ();
        type Err = Never;
        fn log(&self, r: &Record<'_>, _: &OwnedKVList) -> Result<(), Never> {
            if r.msg().to_string().contains("elected leader") {
                NODE.wait().stop();
            }
            Ok(())
        }
    }
    let rn = RawNode::new(
        config(1),
        storage(&[1, 2]),
        Logger::root(Stopper, o!()),
        None,
    )
    .unwrap();
    let n = NODE.get_or_init(|| options().spawn(rn).unwrap());
    follow(n, 1);
    while n.ready().recv().is_ok() {}
    assert_eq!(n.ended(), Some(Error::Stopped));
}

/// The same while others stop it from outside.
#[test]
fn a_stop_from_inside_and_one_from_outside() {
    static NODE: OnceLock<Node> = OnceLock::new();
    static INSIDE: Barrier = Barrier::new(2);
    struct Stopper;
    impl Drain for Stopper {
        type Ok = ();
        type Err = Never;
        fn log(&self, r: &Record<'_>, _: &OwnedKVList) -> Result<(), Never> {
            if r.msg().to_string().contains("elected leader") {
                INSIDE.wait();
                while !NODE.wait().stop_is_pending() {
                    thread::yield_now();
                }
                NODE.wait().stop();
            }
            Ok(())
        }
    }
    let rn = RawNode::new(
        config(1),
        storage(&[1, 2]),
        Logger::root(Stopper, o!()),
        None,
    )
    .unwrap();
    let n = NODE.get_or_init(|| options().spawn(rn).unwrap());
    // On a thread of its own: whoever brings the message may be inside.
    let following = thread::spawn(|| follow(n, 1));
    INSIDE.wait();
    n.stop();
    following.join().unwrap();
    assert_eq!(n.ended(), Some(Error::Stopped));
}

/// A proposal that races with a stop is either taken, and its ticket says so, or it is not in the log.
#[test]
fn what_a_stop_refuses_was_not_taken() {
    for _ in 0..100 {
        let (n, s) = leader();
        let proposing = {
            let n = n.clone();
            thread::spawn(move || {
                let mut taken = 0;
                while let Ok(ticket) = n.propose("x".into()) {
                    match ticket.wait() {
                        Ok(Accepted::Appended { index, .. }) => taken = index,
                        other => assert_eq!(other, Err(Error::Stopped)),
                    }
                }
                taken
            })
        };
        let rd = take(&n);
        thread::yield_now();
        n.stop();
        let taken = proposing.join().unwrap();
        assert!(taken >= rd.entries().last().map_or(0, |e| e.index));
        drop((rd, s));
    }
}

/// Stops that race with proposals leave no ticket without an answer.
#[test]
fn no_ticket_is_lost_in_a_stop() {
    for _ in 0..200 {
        let n = spawn(config(1), storage(&[1]));
        let proposing = {
            let n = n.clone();
            thread::spawn(move || {
                let mut tickets = Vec::new();
                loop {
                    match n.propose("x".into()) {
                        Ok(t) => tickets.push(t),
                        Err(Error::QueueFull) => thread::yield_now(),
                        Err(e) => return (tickets, e),
                    }
                }
            })
        };
        thread::yield_now();
        n.stop();
        let (tickets, e) = proposing.join().unwrap();
        assert_eq!(e, Error::Stopped);
        for t in tickets {
            assert_eq!(
                t.wait_timeout(LONG),
                Some(Err::<Accepted, _>(Error::Stopped))
            );
        }
    }
}

#[test]
fn errors_say_what_to_do() {
    assert_eq!(Error::Stopped.to_string(), "raft: stopped");
    let e = Error::from(raft::Error::ProposalDropped(raft::DropReason::NoLeader));
    assert_eq!(e.to_string(), "raft proposal dropped");
    assert!(Error::QueueFull.to_string().contains("try again"));
}
