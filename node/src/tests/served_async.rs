//! A node that calls its application with each AsyncReady: what is done inside the turn, what is left to threads, what ends it.

use super::*;
use crate::{
    Accepted, AppendHost, AppendMonitor, AppendOptions, AppendThread, Error, Refused, Served,
};
use rawnode::raft::Fault;
use rawnode::raftpb::{ConfChange, ConfChangeType, unmarshal_conf_change};
use rawnode::{AppendWork, AsyncReady, AsyncWrites};
use std::sync::OnceLock;
use std::sync::atomic::Ordering;
use std::thread;

type Applied = Receiver<Entry>;
type Said = Result<(), storage::Error>;

fn raw(s: &MemoryStorage) -> RawNode<MemoryStorage, AsyncWrites> {
    RawNode::new_async(config(1), s.clone(), Lines::default().logger(), None).unwrap()
}

fn serve(
    s: &MemoryStorage,
    application: impl FnMut(AsyncReady, &mut Served<'_, AsyncWrites>) -> Said + Send + 'static,
) -> Node<AsyncWrites> {
    let ignore = |_: &Refused<'_>| Ok(());
    options().serve_async(raw(s), ignore, application).unwrap()
}

/// Writes at once.
fn write(log: &mut MemoryStorage, work: Option<AppendWork>, served: &mut Served<'_, AsyncWrites>) {
    if let Some(work) = work {
        Writer::append(log, work.write()).unwrap();
        assert_eq!(served.deliver(work.done()), Ok(Vec::new()));
    }
}

/// A leader of one that does all inside its turns, and calls `then` with each entry that it has applied.
fn leader(s: &MemoryStorage, mut then: impl FnMut(&Entry) + Send + 'static) -> Node<AsyncWrites> {
    let mut log = s.clone();
    let n = serve(s, move |rd, served| {
        write(&mut log, rd.append, served);
        if let Some(work) = rd.apply {
            for e in work.entries() {
                if let Ok(Some(cc)) = unmarshal_conf_change(e) {
                    served.apply_conf_change(&cc).unwrap();
                }
                then(e);
            }
            assert_eq!(served.deliver(work.done()), Ok(Vec::new()));
        }
        Ok(())
    });
    n.campaign().unwrap();
    n
}

fn told() -> (impl FnMut(&Entry) + Send + 'static, Applied) {
    let (applied, is_applied) = crossbeam_channel::unbounded();
    (move |e: &Entry| drop(applied.send(e.clone())), is_applied)
}

#[test]
fn all_inside_the_turn() {
    let s = storage(&[1]);
    let (tell, applied) = told();
    let n = leader(&s, tell);
    assert_eq!(applied.recv_timeout(LONG), Ok(Entry::new(1, 1, "")));
    let batch = n.propose_batch(["a", "b"].map(Into::into));
    let results: Vec<_> = batch.into_iter().map(|t| t.unwrap().wait()).collect();
    let at = |index| Ok(Accepted::Appended { term: 1, index });
    assert_eq!(results, [at(2), at(3)]);
    for (index, data) in [(2, "a"), (3, "b")] {
        assert_eq!(applied.recv_timeout(LONG), Ok(Entry::new(1, index, data)));
    }
    let add = ConfChange {
        change_type: ConfChangeType::AddLearnerNode,
        node_id: 2,
        ..ConfChange::default()
    };
    n.propose_conf_change(&add).unwrap().wait().unwrap();
    applied.recv_timeout(LONG).unwrap();
    let status = n.status().unwrap();
    assert_eq!(status.config.conf_state(), conf(&[1], &[2]));
    assert_eq!(status.basic.applied, 4, "it was told of what was applied");
    assert!(n.ready().try_recv().is_err());
    assert_eq!(s.last_index(), Ok(4));
    n.stop();
    assert_eq!(n.ended(), Some(Error::Stopped));
}

/// With callers_run a caller finds all done when its call returns.
#[test]
fn a_caller_at_rest_does_it_itself() {
    if !super::super::CALLERS_RUN {
        return; // the node's thread does it
    }
    let s = storage(&[1]);
    let (tell, applied) = told();
    let n = leader(&s, tell);
    assert_eq!(applied.recv_timeout(LONG), Ok(Entry::new(1, 1, "")));
    // The node's thread may be inside now and then; mostly it is not.
    let mut mine = 0;
    while mine < 10 {
        n.propose("x".into()).unwrap();
        match applied.try_recv() {
            Ok(_) => mine += 1,
            Err(_) => drop(applied.recv_timeout(LONG).unwrap()),
        }
    }
}

/// The append thread's side of an application that has nobody to send to; tells of snapshots.
struct Host(Sender<u64>);

impl AppendHost for Host {
    fn send(&mut self, messages: Vec<Message>) {
        let acks = |m: &Message| m.msg_type == MessageType::MsgAppResp;
        assert!(messages.iter().all(acks), "{messages:?}");
    }
    fn install(&mut self, s: &Snapshot) -> Said {
        let _ = self.0.send(s.metadata.index);
        Ok(())
    }
}

/// A writer whose syncs each take a word of the test: how they end. Without a test they work.
struct Gated(MemoryStorage, Receiver<Said>);

impl Writer for Gated {
    fn append(&mut self, w: &storage::Write) -> Said {
        Writer::append(&mut self.0, w)
    }
    fn sync(&mut self) -> Said {
        self.1.recv().unwrap_or(Ok(()))
    }
    fn save_snapshot(&mut self, s: &Snapshot) -> Said {
        self.0.save_snapshot(s)
    }
    fn compact(&mut self, index: u64) -> Said {
        self.0.compact(index)
    }
}

/// A node with an append thread, which syncs when it is told to.
struct WithThread {
    node: Node<AsyncWrites>,
    go: Sender<Said>,
    applied: Applied,
    installed: Receiver<u64>,
    writes: AppendMonitor,
}

impl WithThread {
    fn new(s: &MemoryStorage, queue: usize) -> Self {
        let (mut tell, applied) = told();
        let append = Arc::new(OnceLock::<AppendThread>::new());
        let to_append = Arc::clone(&append);
        let node = serve(s, move |rd, served| {
            if let Some(work) = rd.append {
                // An error says that the node is ending.
                let _ = to_append.wait().append(work);
            }
            if let Some(work) = rd.apply {
                work.entries().iter().for_each(&mut tell);
                assert_eq!(served.deliver(work.done()), Ok(Vec::new()));
            }
            Ok(())
        });
        let (go, gate) = crossbeam_channel::unbounded();
        let (install, installed) = crossbeam_channel::unbounded();
        let o = AppendOptions {
            queue,
            ..AppendOptions::default()
        };
        let writer = Gated(s.clone(), gate);
        let thread = AppendThread::spawn(node.clone(), writer, Host(install), o).unwrap();
        let writes = thread.monitor();
        assert!(append.set(thread).is_ok());
        Self {
            node,
            go,
            applied,
            installed,
            writes,
        }
    }
}

/// The node ticks and answers while the disk is at work, and nothing is applied before it is written.
#[test]
fn nobody_waits_for_the_append_thread() {
    let t = WithThread::new(&storage(&[1]), 64);
    t.node.campaign().unwrap();
    // The vote is not written yet: the proposal waits for a leader.
    let ticket = t.node.propose("x".into()).unwrap();
    for _ in 0..3 {
        t.node.tick().unwrap();
        t.node.status().unwrap();
    }
    assert!(t.applied.is_empty());
    drop(t.go);
    assert_eq!(t.applied.recv_timeout(LONG), Ok(Entry::new(1, 1, "")));
    assert_eq!(t.applied.recv_timeout(LONG), Ok(Entry::new(1, 2, "x")));
    assert_eq!(ticket.wait(), Ok(Accepted::Appended { term: 1, index: 2 }));
    t.node.stop();
}

/// Inside a turn not even a full append queue is waited for, as the thread behind it may wait for the turn; nothing is lost, and all is written in order.
#[test]
fn a_full_append_queue_inside_a_turn() {
    const PROPOSALS: u64 = 64;
    let t = WithThread::new(&storage(&[1]), 1);
    t.node.campaign().unwrap();
    // The vote and the leader's own entry; from here on the disk hangs.
    t.go.send(Ok(())).unwrap();
    for i in 0..PROPOSALS {
        // When the node has answered, the entry is a work of its own.
        let ticket = t.node.propose(i.to_string().into()).unwrap();
        ticket.wait().unwrap();
        t.node.status().unwrap();
    }
    assert!(t.writes.queued() as u64 >= PROPOSALS, "{:?}", t.writes);
    t.node.tick().unwrap();
    drop(t.go);
    assert_eq!(t.applied.recv_timeout(LONG), Ok(Entry::new(1, 1, "")));
    for i in 0..PROPOSALS {
        let want = Entry::new(1, i + 2, i.to_string());
        assert_eq!(t.applied.recv_timeout(LONG), Ok(want));
    }
    while t.writes.queued() > 0 {
        thread::yield_now();
    }
    t.node.stop();
}

/// The same with a thread that is quick, so that works find room and none by turns.
#[test]
fn works_stay_in_order_whether_there_is_room_or_not() {
    const PROPOSALS: u64 = 3000;
    let t = WithThread::new(&storage(&[1]), 1);
    drop(t.go);
    t.node.campaign().unwrap();
    assert_eq!(t.applied.recv_timeout(LONG), Ok(Entry::new(1, 1, "")));
    for i in 0..PROPOSALS {
        let ticket = t.node.propose(i.to_string().into()).unwrap();
        let at = i + 2;
        assert_eq!(ticket.wait(), Ok(Accepted::Appended { term: 1, index: at }));
    }
    for i in 0..PROPOSALS {
        let want = Entry::new(1, i + 2, i.to_string());
        assert_eq!(t.applied.recv_timeout(LONG), Ok(want));
    }
    t.node.stop();
}

/// The same with a disk that fails: what waits goes, and with it the storage.
#[test]
fn what_the_append_thread_cannot_write_ends_the_node() {
    let s = storage(&[1]);
    let t = WithThread::new(&s, 1);
    t.node.campaign().unwrap();
    t.go.send(Ok(())).unwrap();
    let tickets = t.node.propose_batch(["x", "y"].map(Into::into));
    tickets.into_iter().for_each(|t| {
        t.unwrap().wait().unwrap();
    });
    let broken = storage::Error::other("disk on fire");
    t.go.send(Err(broken.clone())).unwrap();
    assert!(t.node.ready().recv_timeout(LONG).is_err());
    let fault = t.node.fault();
    assert_eq!(fault.as_ref().map(Fault::storage_error), Some(&broken));
    let ended = t.node.propose("z".into()).unwrap_err();
    assert_eq!(Some(ended), t.node.ended());
    assert!(t.applied.is_empty(), "none of it was durable");
}

/// A leader's snapshot is written and loaded by the append thread, entries that follow it are applied inside turns.
#[test]
fn a_snapshot_is_loaded_before_what_follows() {
    let t = WithThread::new(&storage(&[1, 2]), 64);
    drop(t.go);
    let from_leader = |m: Message| {
        let m = Message {
            to: 1,
            from: 2,
            term: 1,
            ..m
        };
        t.node.step(m).unwrap();
    };
    from_leader(Message {
        snapshot: Some(Box::new(snapshot(9, 1, &[1, 2]))),
        ..Message::new(MessageType::MsgSnap)
    });
    assert_eq!(t.installed.recv_timeout(LONG), Ok(9));
    from_leader(Message {
        index: 9,
        log_term: 1,
        commit: 10,
        entries: vec![Entry::new(1, 10, "x")].into(),
        ..Message::new(MessageType::MsgApp)
    });
    assert_eq!(t.applied.recv_timeout(LONG), Ok(Entry::new(1, 10, "x")));
    t.node.stop();
    assert_eq!(t.node.ended(), Some(Error::Stopped));
}

/// Three nodes that call each other from inside their turns and from their append threads; all propose.
#[test]
fn nodes_that_call_each_other() {
    const EACH: usize = 200;
    type Nodes = [OnceLock<(Node<AsyncWrites>, AppendThread)>; 3];
    fn send(nodes: &Nodes, messages: Vec<Message>) {
        for m in messages {
            let to = usize::try_from(m.to).unwrap() - 1;
            // An error says that it has ended, or that it is busy and the message is lost.
            let _ = nodes[to].wait().0.step(m);
        }
    }
    struct Net(Arc<Nodes>);
    impl AppendHost for Net {
        fn send(&mut self, messages: Vec<Message>) {
            send(&self.0, messages);
        }
        fn install(&mut self, s: &Snapshot) -> Said {
            panic!("nobody lags: {s:?}")
        }
    }
    let nodes = Arc::<Nodes>::default();
    let mut all_applied = Vec::new();
    for id in 1..=3 {
        let (mut tell, applied) = told();
        all_applied.push(applied);
        let s = storage(&[1, 2, 3]);
        let rn = RawNode::new_async(config(id), s.clone(), Lines::default().logger(), None);
        let at = usize::try_from(id).unwrap() - 1;
        let peers = Arc::clone(&nodes);
        let application = move |mut rd: AsyncReady, served: &mut Served<'_, AsyncWrites>| {
            send(&peers, rd.take_messages());
            if let Some(work) = rd.append {
                let _ = peers[at].wait().1.append(work);
            }
            if let Some(work) = rd.apply {
                let said = work.entries().iter().filter(|e| !e.data.is_empty());
                said.for_each(&mut tell);
                assert_eq!(served.deliver(work.done()), Ok(Vec::new()));
            }
            Ok(())
        };
        let ignore = |_: &Refused<'_>| Ok(());
        let n = options()
            .serve_async(rn.unwrap(), ignore, application)
            .unwrap();
        let net = Net(Arc::clone(&nodes));
        let append = AppendThread::spawn(n.clone(), s, net, AppendOptions::default());
        assert!(nodes[at].set((n, append.unwrap())).is_ok());
    }
    nodes[0].wait().0.campaign().unwrap();
    thread::scope(|scope| {
        for i in 0..3 {
            let n = &nodes[i].wait().0;
            scope.spawn(move || {
                for k in 0..EACH {
                    let ticket = n.propose(format!("{i}:{k}").into()).unwrap();
                    match (i, ticket.wait_timeout(LONG).expect("there is a leader")) {
                        (0, Ok(Accepted::Appended { .. })) => {}
                        (1 | 2, Ok(Accepted::Forwarded { to: 1 })) => {}
                        other => panic!("{other:?}"),
                    }
                }
            });
        }
    });
    let of = |r: &Applied| {
        let applied = (0..3 * EACH).map(|_| r.recv_timeout(LONG).unwrap());
        applied.collect::<Vec<_>>()
    };
    let first = of(&all_applied[0]);
    assert_eq!(of(&all_applied[1]), first);
    assert_eq!(of(&all_applied[2]), first);
    // They hold each other's handles, so none goes by itself.
    for n in nodes.iter() {
        n.wait().0.stop();
        assert_eq!(n.wait().0.ended(), Some(Error::Stopped));
    }
}

#[test]
fn what_it_cannot_do_ends_the_node() {
    let s = storage(&[1]);
    let broken = storage::Error::other("disk on fire");
    let fails = broken.clone();
    let n = serve(&s, move |_, _| Err(fails.clone()));
    let ticket = n.propose("x".into()).unwrap();
    let _ = n.campaign();
    assert!(n.ready().recv().is_err());
    assert_eq!(n.fault().as_ref().map(Fault::storage_error), Some(&broken));
    assert_eq!(ticket.wait(), Err(n.ended().unwrap()));
    assert!(matches!(n.tick(), Err(Error::Fault(_))));
}

#[test]
fn its_panic_ends_the_node() {
    let n = serve(&storage(&[1]), |_, _| {
        panic!("the application panics, as the test wants")
    });
    let ticket = n.propose("x".into()).unwrap();
    let _ = n.campaign();
    assert!(n.ready().recv().is_err());
    let want = Error::Panicked("the application panics, as the test wants".into());
    assert_eq!(ticket.wait(), Err(want));
    n.stop();
}

/// A peer's message that the core refuses is still asked about.
#[test]
fn refusals_are_watched() {
    let old = storage::Error::other("an old copy");
    let says = old.clone();
    let refused = move |_: &Refused<'_>| Err(says.clone());
    let n = options()
        .serve_async(raw(&storage(&[1, 2])), refused, |_, _| Ok(()))
        .unwrap();
    let beat = Message {
        to: 1,
        from: 2,
        term: 5,
        commit: 9,
        ..Message::new(MessageType::MsgHeartbeat)
    };
    n.step(beat).unwrap();
    assert!(n.ready().recv().is_err());
    assert_eq!(n.fault().as_ref().map(Fault::storage_error), Some(&old));
}

/// Inside a turn nothing waits, what is no response is refused, and the node may be stopped there.
#[test]
fn calls_from_inside() {
    let me = Arc::new(OnceLock::<Node<AsyncWrites>>::new());
    let (told, tells) = bounded(1);
    let s = storage(&[1]);
    let inside = Arc::clone(&me);
    let mut log = s.clone();
    let n = serve(&s, move |rd, served| {
        write(&mut log, rd.append, served);
        let Some(work) = rd.apply else { return Ok(()) };
        let n = inside.wait();
        match work.entries().last().map(|e| e.data.clone()) {
            Some(data) if data.is_empty() => {
                // Questions would wait for this very turn.
                assert_eq!(n.status().err(), Some(Error::Inside));
                let cc = ConfChange::default();
                assert_eq!(n.apply_conf_change(&cc), Err(Error::Inside));
                // This does not wait, but must come from a work.
                let hup = Message {
                    to: 1,
                    ..Message::new(MessageType::MsgHup)
                };
                assert!(matches!(served.deliver(vec![hup]), Err(Error::Raft(_))));
                let other = Message {
                    to: 2,
                    ..Message::new(MessageType::MsgAppResp)
                };
                let left = served.deliver(vec![other.clone()]);
                assert_eq!(left, Ok(vec![other]), "a peer's is handed back");
                // These need not wait.
                n.tick().unwrap();
                n.propose("from inside".into()).unwrap();
            }
            Some(data) if data == "from inside" => {
                n.stop();
                let _ = told.send(());
            }
            _ => {}
        }
        served.deliver(work.done()).unwrap();
        Ok(())
    });
    me.get_or_init(|| n);
    let n = me.wait();
    n.campaign().unwrap();
    assert_eq!(tells.recv_timeout(LONG), Ok(()));
    assert!(n.ready().recv().is_err());
    assert_eq!(n.ended(), Some(Error::Stopped));
}

/// What the application holds is dropped when stop returns, also while others bring work.
#[test]
fn stops_that_race_with_work() {
    for _ in 0..20 {
        let (guard, alive) = Alive::new();
        let s = storage(&[1]);
        let n = leader(&s, move |_| {
            let _ = &guard;
        });
        let proposing: Vec<_> = (0..2)
            .map(|_| {
                let n = n.clone();
                thread::spawn(move || {
                    loop {
                        match n.propose("x".into()) {
                            Ok(_) => {}
                            Err(Error::QueueFull) => thread::yield_now(),
                            Err(e) => return e,
                        }
                    }
                })
            })
            .collect();
        n.status().unwrap();
        n.stop();
        assert!(!alive.load(Ordering::SeqCst));
        for p in proposing {
            assert_eq!(p.join().unwrap(), Error::Stopped);
        }
    }
}
