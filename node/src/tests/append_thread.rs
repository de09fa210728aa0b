//! The append thread: order, group commit, full disks, failures. Go has the duties in doc.go only

use super::async_writes::take_async;
use super::*;
use crate::{AppendHost, AppendOptions, AppendThread, Error};
use parking_lot::Condvar;
use rawnode::AsyncWrites;
use rawnode::raft::storage::Write;
use std::thread;

/// What was called, in order.
#[derive(Clone, Debug, PartialEq)]
enum Call {
    Append(Box<Write>),
    Sync,
    /// An acknowledgement of this index left.
    Ack(u64),
    /// Any other message left.
    Sent(MessageType),
    Install(u64),
    Full(bool),
}

/// How a call ends.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Mood {
    #[default]
    Work,
    Hang,
    NoSpace,
    Fail,
    Panic,
}

#[derive(Default)]
struct Scene {
    calls: Vec<Call>,
    append: Mood,
    sync: Mood,
    install: Mood,
    /// From this index on entries find no room.
    full_from: Option<u64>,
}

/// The writer and the host, and the test behind them.
#[derive(Clone, Default)]
struct Stage(Arc<(parking_lot::Mutex<Scene>, Condvar)>);

impl Stage {
    fn set(&self, f: impl FnOnce(&mut Scene)) {
        f(&mut self.0.0.lock());
        self.0.1.notify_all();
    }

    /// Waits until this is so.
    fn wait<T>(&self, what: &str, mut is: impl FnMut(&Scene) -> Option<T>) -> T {
        let mut scene = self.0.0.lock();
        loop {
            if let Some(t) = is(&scene) {
                return t;
            }
            let timed_out = self.0.1.wait_for(&mut scene, LONG).timed_out();
            assert!(!timed_out, "{what}: {:?}", scene.calls);
        }
    }

    fn calls(&self) -> Vec<Call> {
        self.0.0.lock().calls.clone()
    }

    fn acks(&self) -> Vec<u64> {
        let ack = |c: Call| match c {
            Call::Ack(i) => Some(i),
            _ => None,
        };
        self.calls().into_iter().filter_map(ack).collect()
    }

    fn wait_for_ack(&self, index: u64) {
        let ack = Call::Ack(index);
        self.wait("the acknowledgement", |s| {
            s.calls.contains(&ack).then_some(())
        });
    }

    /// Notes a call and does what the mood wants.
    fn call(&self, call: Call, mood: impl Fn(&Scene) -> Mood) -> Result<(), storage::Error> {
        let mut scene = self.0.0.lock();
        scene.calls.push(call);
        self.0.1.notify_all();
        loop {
            match mood(&scene) {
                Mood::Work => return Ok(()),
                Mood::NoSpace => return Err(storage::Error::NoSpace),
                Mood::Fail => return Err(storage::Error::other("broken")),
                Mood::Panic => panic!("as the test wants"),
                Mood::Hang => self.0.1.wait(&mut scene),
            }
        }
    }
}

struct StageWriter(Stage, MemoryStorage);

impl Writer for StageWriter {
    fn append(&mut self, w: &Write) -> Result<(), storage::Error> {
        let last = w.entries.last().map(|e| e.index);
        self.0.call(Call::Append(Box::new(w.clone())), |s| {
            match s.full_from.is_some_and(|full| last >= Some(full)) {
                true => Mood::NoSpace,
                false => s.append,
            }
        })?;
        Writer::append(&mut self.1, w)
    }
    fn sync(&mut self) -> Result<(), storage::Error> {
        self.0.call(Call::Sync, |s| s.sync)
    }
    fn save_snapshot(&mut self, s: &Snapshot) -> Result<(), storage::Error> {
        self.1.save_snapshot(s)
    }
    fn compact(&mut self, index: u64) -> Result<(), storage::Error> {
        Writer::compact(&mut self.1, index)
    }
}

impl AppendHost for Stage {
    fn send(&mut self, messages: Vec<Message>) {
        for m in messages {
            assert_eq!((m.from, m.to), (1, 2));
            let call = match m.msg_type {
                MessageType::MsgAppResp => Call::Ack(m.index),
                t => Call::Sent(t),
            };
            self.call(call, |_| Mood::Work).unwrap();
        }
    }
    fn install(&mut self, s: &Snapshot) -> Result<(), storage::Error> {
        self.call(Call::Install(s.metadata.index), |s| s.install)
    }
    fn space(&mut self, full: bool) {
        self.call(Call::Full(full), |_| Mood::Work).unwrap();
    }
}

/// A follower of node 2 in a group of two, and its append thread; Readies are taken by hand.
struct Follower {
    node: Node<AsyncWrites>,
    append: AppendThread,
    stage: Stage,
    log: MemoryStorage,
    lines: Lines,
}

impl Follower {
    fn new() -> Self {
        Self::with(AppendOptions {
            // The pauses are real; what ends them is not.
            retry: Duration::from_millis(1),
            retry_max: Duration::from_millis(4),
            ..AppendOptions::default()
        })
    }

    fn with(options: AppendOptions) -> Self {
        let (log, stage, lines) = (storage(&[1, 2]), Stage::default(), Lines::default());
        let rn = RawNode::new_async(config(1), log.clone(), lines.logger(), None);
        let node = self::options().spawn(rn.unwrap()).unwrap();
        let writer = StageWriter(stage.clone(), log.clone());
        let append = AppendThread::spawn(node.clone(), writer, stage.clone(), options).unwrap();
        Self {
            node,
            append,
            stage,
            log,
            lines,
        }
    }

    fn step(&self, m: Message) {
        let m = Message {
            to: 1,
            from: 2,
            term: 1,
            ..m
        };
        self.node.step(m).unwrap();
    }

    /// The leader sends the entry at this index, and the work for it is handed over.
    fn receive(&self, index: u64) -> Result<(), Error> {
        self.step(Message {
            index: index - 1,
            log_term: u64::from(index > 1),
            entries: vec![Entry::new(1, index, "x")].into(),
            ..Message::new(MessageType::MsgApp)
        });
        self.hand_over()
    }

    /// Takes Readies up to the next with a work, and hands that over.
    fn hand_over(&self) -> Result<(), Error> {
        loop {
            let rd = take_async(&self.node);
            if let Some(w) = rd.append {
                return self.append.append(w);
            }
        }
    }

    fn wait_until_hanging(&self, calls: &[Call]) {
        let n = calls.len();
        self.stage
            .wait("the call", |s| (s.calls.len() >= n).then_some(()));
        assert_eq!(kinds(&self.stage.calls()), kinds(calls));
    }
}

/// Calls without what they were given.
fn kinds(calls: &[Call]) -> Vec<String> {
    let kind = |c: &Call| match c {
        Call::Append(w) => format!(
            "append {}",
            w.entries
                .last()
                .map_or("nothing".into(), |e| e.index.to_string())
        ),
        other => format!("{other:?}"),
    };
    calls.iter().map(kind).collect()
}

fn append(index: u64) -> Call {
    Call::Append(Box::new(Write {
        entries: vec![Entry::new(1, index, "x")].into(),
        ..Write::default()
    }))
}

#[test]
fn one_sync_serves_all_that_wait_and_order_is_kept() {
    let f = Follower::new();
    f.stage.set(|s| s.sync = Mood::Hang);
    f.receive(1).unwrap();
    f.wait_until_hanging(&[append(1), Call::Sync]);
    for index in 2..=4 {
        f.receive(index).unwrap();
    }
    let monitor = f.append.monitor();
    assert_eq!((monitor.queued(), monitor.works()), (4, 0));
    assert_eq!(f.stage.acks(), [] as [u64; 0], "nothing is durable yet");
    f.stage.set(|s| s.sync = Mood::Work);
    f.stage.wait_for_ack(4);
    let want = [
        append(1),
        Call::Sync,
        Call::Ack(1),
        append(2),
        append(3),
        append(4),
        Call::Sync,
        Call::Ack(2),
        Call::Ack(3),
        Call::Ack(4),
    ];
    assert_eq!(kinds(&f.stage.calls()), kinds(&want));
    assert_eq!(f.append.stop(), Ok(()));
    assert_eq!(
        (monitor.queued(), monitor.works(), monitor.syncs()),
        (0, 4, 2)
    );
    assert_eq!(f.node.ended(), Some(Error::Stopped));
    assert_eq!(f.log.last_index(), Ok(4));
}

/// Works without entries attest the same last entry as the one that is being written; the core would log of each that it knows.
#[test]
fn what_is_written_is_attested_once() {
    let f = Follower::new();
    f.stage.set(|s| s.sync = Mood::Hang);
    f.receive(1).unwrap();
    f.wait_until_hanging(&[append(1), Call::Sync]);
    // The leader probes: the answer waits for what is being written.
    f.step(Message {
        index: 1,
        log_term: 1,
        ..Message::new(MessageType::MsgApp)
    });
    f.hand_over().unwrap();
    f.stage.set(|s| s.sync = Mood::Work);
    f.receive(2).unwrap();
    f.stage.wait_for_ack(2);
    // When a later one is acknowledged the node has got what was said of those before, and when it answers it has heard it.
    f.receive(3).unwrap();
    f.stage.wait_for_ack(3);
    f.node.status().unwrap();
    assert_eq!(f.stage.acks(), [1, 1, 2, 3]);
    let in_vain = |l: &String| l.contains("missing from unstable log");
    assert!(!f.lines.of(Level::Info).iter().any(in_vain));
}

/// The commit index alone need not be durable, but what is said with it still comes after what was written before.
#[test]
fn a_commit_only_work_is_written_and_not_synced() {
    let f = Follower::new();
    f.receive(1).unwrap();
    f.stage.wait_for_ack(1);
    f.step(Message {
        commit: 1,
        ..Message::new(MessageType::MsgHeartbeat)
    });
    f.hand_over().unwrap();
    let monitor = f.append.monitor();
    let committed = |s: &Scene| match s.calls.last() {
        Some(Call::Append(w)) => w.hard_state.map(|hs| (hs.commit, w.must_sync)),
        _ => None,
    };
    assert_eq!(f.stage.wait("the write", committed), (1, false));
    f.append.stop().unwrap();
    assert_eq!((monitor.works(), monitor.syncs()), (2, 1));
}

/// Whatever fails, the node ends with the fault, and nothing is said that rests on it or on anything after it.
#[test]
fn after_a_failure_nothing_is_acknowledged() {
    type Set = fn(&mut Scene, Mood);
    let failures: [(Set, Mood, &str); 4] = [
        (|s, m| s.append = m, Mood::Fail, "broken"),
        (|s, m| s.sync = m, Mood::Fail, "broken"),
        (
            |s, m| s.append = m,
            Mood::Panic,
            "the append thread panicked: as the test wants",
        ),
        (
            |s, m| s.sync = m,
            Mood::Panic,
            "the append thread panicked: as the test wants",
        ),
    ];
    for (set, mood, text) in failures {
        let f = Follower::new();
        f.receive(1).unwrap();
        f.stage.wait_for_ack(1);
        f.stage.set(|s| set(s, Mood::Hang));
        f.receive(2).unwrap();
        f.stage
            .wait("the second write", |s| (s.calls.len() > 3).then_some(()));
        f.receive(3).unwrap();
        f.stage.set(|s| set(s, mood));
        while f.node.ready().recv_timeout(LONG).is_ok() {}
        let fault = f.node.fault().expect("a fault, and no misuse");
        assert!(fault.to_string().contains(text), "{fault}");
        // It fails once: what came later is not tried.
        f.stage.set(|s| set(s, Mood::Work));
        assert!(matches!(f.append.stop(), Err(Error::Fault(_))));
        assert_eq!(f.stage.acks(), [1]);
        let third = kinds(&[append(3)]).remove(0);
        assert!(!kinds(&f.stage.calls()).contains(&third));
    }
}

/// The application saw the storage fail in another place: what is written now is in doubt, too.
#[test]
fn after_a_fault_from_elsewhere_nothing_is_acknowledged() {
    let f = Follower::new();
    f.stage.set(|s| s.sync = Mood::Hang);
    f.receive(1).unwrap();
    f.wait_until_hanging(&[append(1), Call::Sync]);
    f.receive(2).unwrap();
    f.node.fail(storage::Error::other("a read failed"));
    f.stage.set(|s| s.sync = Mood::Work);
    assert!(matches!(f.append.stop(), Err(Error::Fault(_))));
    assert_eq!(kinds(&f.stage.calls()), kinds(&[append(1), Call::Sync]));
}

#[test]
fn a_full_disk_is_waited_on_while_the_node_goes_on() {
    let f = Follower::new();
    f.stage.set(|s| s.append = Mood::NoSpace);
    f.receive(1).unwrap();
    let tries = |s: &Scene| {
        let tries = s.calls.iter().filter(|c| matches!(c, Call::Append(_)));
        (tries.count() > 3).then_some(())
    };
    f.stage.wait("it is tried again", tries);
    assert!(f.append.monitor().is_full());
    // It ticks and answers: the heartbeat's answer waits for no write.
    f.node.tick().unwrap();
    f.step(Message::new(MessageType::MsgHeartbeat));
    let answer = loop {
        let rd = take_async(&f.node);
        if let Some(w) = rd.append {
            f.append.append(w).unwrap();
        }
        if let Some(m) = rd.messages.into_iter().next() {
            break m.msg_type;
        }
    };
    assert_eq!(answer, MessageType::MsgHeartbeatResp);
    f.receive(2).unwrap();
    assert_eq!(f.stage.acks(), [] as [u64; 0]);
    f.stage.set(|s| s.append = Mood::Work);
    f.stage.wait_for_ack(2);
    assert!(!f.append.monitor().is_full());
    assert_eq!(f.append.stop(), Ok(()));
    let calls = f.stage.calls();
    assert_eq!(f.stage.acks(), [1, 2]);
    // The same Write each time, and the condition told once each way.
    let Some(Call::Append(first)) = calls.first() else {
        panic!("{calls:?}")
    };
    let of_first = |c: &&Call| matches!(c, Call::Append(w) if w.entries == first.entries);
    assert!(
        calls
            .iter()
            .filter(of_first)
            .all(|c| *c == Call::Append(first.clone()))
    );
    let told = |c: &&Call| matches!(c, Call::Full(_));
    let told: Vec<_> = calls.iter().filter(told).cloned().collect();
    assert_eq!(told, [Call::Full(true), Call::Full(false)]);
    assert_eq!(f.log.last_index(), Ok(2));
    // However late it was written, it is synced before it is acknowledged.
    let at = |call: Call| calls.iter().position(|c| *c == call);
    assert!(
        at(Call::Sync).is_some() && at(Call::Sync) < at(Call::Ack(1)),
        "{calls:?}"
    );
}

/// After NoSpace a sync is repeated, the append before it is not.
#[test]
fn a_sync_without_room_is_repeated() {
    let f = Follower::new();
    f.stage.set(|s| s.sync = Mood::NoSpace);
    f.receive(1).unwrap();
    let tries = |s: &Scene| {
        let tries = s.calls.iter().filter(|c| matches!(c, Call::Sync));
        (tries.count() > 3).then_some(())
    };
    f.stage.wait("it is tried again", tries);
    assert_eq!(f.stage.acks(), [] as [u64; 0]);
    f.stage.set(|s| s.sync = Mood::Work);
    f.stage.wait_for_ack(1);
    let appends = f.stage.calls();
    let appends = appends.iter().filter(|c| matches!(c, Call::Append(_)));
    assert_eq!(appends.count(), 1);
    assert_eq!(f.append.monitor().syncs(), 1);
}

/// What was written before the disk was full is acknowledged now, not when there is room.
#[test]
fn what_fitted_does_not_wait_for_room() {
    let f = Follower::new();
    f.stage.set(|s| s.append = Mood::Hang);
    f.receive(1).unwrap();
    f.wait_until_hanging(&[append(1)]);
    f.receive(2).unwrap();
    f.receive(3).unwrap();
    f.stage
        .set(|s| (s.append, s.full_from) = (Mood::Work, Some(3)));
    let full = |s: &Scene| s.calls.contains(&Call::Full(true)).then_some(());
    f.stage.wait("it is full", full);
    assert_eq!(f.stage.acks(), [1, 2]);
    f.stage.set(|s| s.full_from = None);
    f.stage.wait_for_ack(3);
    assert_eq!(f.stage.acks(), [1, 2, 3]);
}

#[test]
fn a_stop_does_not_wait_for_room() {
    let f = Follower::new();
    f.stage.set(|s| s.append = Mood::NoSpace);
    f.receive(1).unwrap();
    let full = |s: &Scene| s.calls.contains(&Call::Full(true)).then_some(());
    f.stage.wait("it is full", full);
    f.receive(2).unwrap();
    assert_eq!(f.append.stop(), Ok(()));
    assert_eq!(f.node.ended(), Some(Error::Stopped));
    assert_eq!(f.stage.acks(), [] as [u64; 0]);
    assert_eq!(f.log.last_index(), Ok(0));
}

#[test]
fn a_stop_writes_what_waits() {
    let f = Follower::new();
    f.stage.set(|s| s.sync = Mood::Hang);
    f.receive(1).unwrap();
    f.wait_until_hanging(&[append(1), Call::Sync]);
    f.receive(2).unwrap();
    let Follower {
        node,
        append,
        stage,
        log,
        ..
    } = f;
    let stopping = thread::spawn(move || append.stop());
    while node.ended().is_none() {
        thread::yield_now();
    }
    stage.set(|s| s.sync = Mood::Work);
    assert_eq!(stopping.join().unwrap(), Ok(()));
    assert_eq!(log.last_index(), Ok(2));
    assert_eq!(stage.acks(), [1, 2], "they are durable, so it is true");
}

/// Whoever waits for room in the queue learns of the end.
#[test]
fn a_full_queue_blocks_until_there_is_room_or_the_end() {
    let f = Follower::with(AppendOptions {
        queue: 1,
        ..AppendOptions::default()
    });
    f.stage.set(|s| s.sync = Mood::Hang);
    f.receive(1).unwrap();
    f.wait_until_hanging(&[append(1), Call::Sync]);
    f.receive(2).unwrap();
    let monitor = f.append.monitor();
    thread::scope(|scope| {
        let third = scope.spawn(|| f.receive(3));
        while monitor.queued() < 3 {
            thread::yield_now();
        }
        f.stage.set(|s| s.sync = Mood::Work);
        assert_eq!(third.join().unwrap(), Ok(()));
    });
    f.stage.wait_for_ack(3);
    f.stage.set(|s| s.sync = Mood::Hang);
    f.receive(4).unwrap();
    let hanging = |s: &Scene| (s.calls.last() == Some(&Call::Sync)).then_some(());
    f.stage.wait("the sync", hanging);
    f.receive(5).unwrap();
    thread::scope(|scope| {
        let sixth = scope.spawn(|| f.receive(6));
        while monitor.queued() < 3 {
            thread::yield_now();
        }
        f.stage.set(|s| s.sync = Mood::Fail);
        assert!(matches!(sixth.join().unwrap(), Err(Error::Fault(_))));
    });
    assert!(matches!(f.receive_none(), Err(Error::Fault(_))));
    assert_eq!(f.stage.acks(), [1, 2, 3]);
}

impl Follower {
    /// What the node says when nothing more is to be had of it.
    fn receive_none(&self) -> Result<(), Error> {
        while self.node.ready().recv_timeout(LONG).is_ok() {}
        self.node.tick()
    }
}

/// A leader's snapshot is loaded after it is stored and before the leader hears of it.
#[test]
fn a_snapshot_is_installed_before_it_is_acknowledged() {
    for install in [Mood::Work, Mood::Fail, Mood::Panic] {
        let f = Follower::new();
        f.stage.set(|s| s.install = install);
        f.step(Message {
            snapshot: Some(Box::new(snapshot(9, 1, &[1, 2]))),
            ..Message::new(MessageType::MsgSnap)
        });
        f.hand_over().unwrap();
        let installing = |s: &Scene| s.calls.contains(&Call::Install(9)).then_some(());
        f.stage.wait("it is installed", installing);
        assert_eq!(f.log.snapshot().unwrap().metadata.index, 9, "it is stored");
        if install == Mood::Work {
            f.stage.wait_for_ack(9);
            assert_eq!(f.append.stop(), Ok(()));
        } else {
            assert!(matches!(f.receive_none(), Err(Error::Fault(_))));
            assert!(matches!(f.append.stop(), Err(Error::Fault(_))));
            assert_eq!(f.stage.acks(), [] as [u64; 0]);
        }
    }
}

/// The commonest way out: the handle goes.
#[test]
fn dropping_it_stops_the_node() {
    let f = Follower::new();
    f.receive(1).unwrap();
    drop(f.append);
    assert_eq!(f.node.ended(), Some(Error::Stopped));
    assert_eq!(f.stage.acks(), [1]);
}
