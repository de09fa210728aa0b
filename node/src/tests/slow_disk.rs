//! A disk that hangs for as long as it likes: heartbeats go on, and nobody is elected. S15 of the faults

use super::async_writes::spawn_async;
use super::*;
use crate::{AppendHost, AppendOptions, AppendThread};
use parking_lot::Condvar;
use rawnode::AsyncWrites;
use rawnode::raft::storage::Write;
use std::collections::BTreeMap;
use std::thread::JoinHandle;

const IDS: [u64; 3] = [1, 2, 3];

/// What the cluster's threads and the test look at.
#[derive(Default)]
struct World {
    /// Whose syncs hang, and who hangs in one.
    slow: Vec<u64>,
    hanging: Vec<u64>,
    applied: BTreeMap<u64, Vec<String>>,
    /// Messages delivered, by type, sender and receiver.
    delivered: BTreeMap<(String, u64, u64), usize>,
}

#[derive(Clone, Default)]
struct Shared(Arc<(parking_lot::Mutex<World>, Condvar)>);

impl Shared {
    fn set<T>(&self, f: impl FnOnce(&mut World) -> T) -> T {
        let t = f(&mut self.0.0.lock());
        self.0.1.notify_all();
        t
    }

    fn wait(&self, what: &str, is: impl Fn(&World) -> bool) {
        let mut world = self.0.0.lock();
        while !is(&world) {
            let timed_out = self.0.1.wait_for(&mut world, LONG).timed_out();
            assert!(
                !timed_out,
                "{what}; hanging {:?}, applied {:?}, delivered {:?}",
                world.hanging, world.applied, world.delivered
            );
        }
    }

    fn delivered(&self, t: MessageType, from: u64, to: u64) -> usize {
        let key = (t.to_string(), from, to);
        self.set(|w| w.delivered.get(&key).copied().unwrap_or(0))
    }

    fn wait_for_message(&self, t: MessageType, from: u64, to: u64, count: usize) {
        let key = (t.to_string(), from, to);
        self.wait(&format!("{key:?}"), |w| {
            w.delivered.get(&key).is_some_and(|n| *n >= count)
        });
    }

    fn wait_until_applied(&self, id: u64, data: &str) {
        let applied = |w: &World| {
            w.applied
                .get(&id)
                .is_some_and(|all| all.iter().any(|d| d == data))
        };
        self.wait(&format!("{id} applies {data}"), applied);
    }
}

/// The in-memory network: a message is stepped at once.
#[derive(Clone)]
struct Net(Arc<[Node<AsyncWrites>]>, Shared);

impl Net {
    fn send(&self, messages: Vec<Message>) {
        for m in messages {
            let key = (m.msg_type.to_string(), m.from, m.to);
            let Some(to) = self.0.iter().find(|n| n.id() == m.to) else {
                panic!("{m:?}")
            };
            if to.step(m).is_ok() {
                self.1.set(|w| *w.delivered.entry(key).or_default() += 1);
            }
        }
    }
}

impl AppendHost for Net {
    fn send(&mut self, messages: Vec<Message>) {
        Net::send(self, messages);
    }
    fn install(&mut self, s: &Snapshot) -> Result<(), storage::Error> {
        panic!("nobody lags: {s:?}")
    }
}

/// Its sync takes as long as the test wants.
struct SlowWriter(u64, MemoryStorage, Shared);

impl Writer for SlowWriter {
    fn append(&mut self, w: &Write) -> Result<(), storage::Error> {
        Writer::append(&mut self.1, w)
    }
    fn sync(&mut self) -> Result<(), storage::Error> {
        let mut world = self.2.0.0.lock();
        while world.slow.contains(&self.0) {
            if !world.hanging.contains(&self.0) {
                world.hanging.push(self.0);
                self.2.0.1.notify_all();
            }
            self.2.0.1.wait(&mut world);
        }
        world.hanging.retain(|id| *id != self.0);
        Ok(())
    }
    fn save_snapshot(&mut self, s: &Snapshot) -> Result<(), storage::Error> {
        self.1.save_snapshot(s)
    }
    fn compact(&mut self, index: u64) -> Result<(), storage::Error> {
        Writer::compact(&mut self.1, index)
    }
}

struct Cluster {
    nodes: Arc<[Node<AsyncWrites>]>,
    shared: Shared,
    threads: Vec<JoinHandle<()>>,
}

impl Cluster {
    /// Three nodes, the first of which leads and has had "a" applied everywhere.
    fn new() -> Self {
        let shared = Shared::default();
        let logs: Vec<_> = IDS.iter().map(|_| storage(&IDS)).collect();
        let node = |(id, log): (&u64, &MemoryStorage)| {
            let c = Config {
                check_quorum: true,
                ..config(*id)
            };
            spawn_async(c, log)
        };
        let nodes: Arc<[_]> = IDS.iter().zip(&logs).map(node).collect();
        let net = Net(Arc::clone(&nodes), shared.clone());
        let start = |(n, log): (&Node<AsyncWrites>, MemoryStorage)| {
            let writer = SlowWriter(n.id(), log, shared.clone());
            let append =
                AppendThread::spawn(n.clone(), writer, net.clone(), AppendOptions::default())
                    .unwrap();
            let (n, net) = (n.clone(), net.clone());
            std::thread::spawn(move || application(&n, &net, &append))
        };
        let threads = nodes.iter().zip(logs).map(start).collect();
        let c = Self {
            nodes,
            shared,
            threads,
        };
        c.nodes[0].campaign().unwrap();
        c.propose("a");
        IDS.iter()
            .for_each(|id| c.shared.wait_until_applied(*id, "a"));
        c
    }

    /// Through the leader; the proposal waits for it.
    fn propose(&self, data: &str) {
        let data = data.to_owned().into();
        self.nodes[0].propose(data).unwrap().wait().unwrap();
    }

    /// Lets this many ticks pass everywhere, each with its heartbeats there and back.
    fn tick(&self, ticks: usize) {
        use MessageType::{MsgHeartbeat, MsgHeartbeatResp};
        for _ in 0..ticks {
            let count = |t, from, to| self.shared.delivered(t, from, to) + 1;
            let before: Vec<_> = [2, 3]
                .map(|id| {
                    (
                        id,
                        count(MsgHeartbeat, 1, id),
                        count(MsgHeartbeatResp, id, 1),
                    )
                })
                .into();
            self.nodes.iter().for_each(|n| n.tick().unwrap());
            for (id, there, back) in before {
                self.shared.wait_for_message(MsgHeartbeat, 1, id, there);
                self.shared.wait_for_message(MsgHeartbeatResp, id, 1, back);
            }
        }
    }

    /// Every node has followed node 1 from the first, in its first term.
    fn assert_no_election(&self) {
        for n in self.nodes.iter() {
            let basic = n.status().unwrap().basic;
            assert_eq!(
                (basic.hard_state.term, basic.soft_state.lead),
                (1, 1),
                "{basic:?}"
            );
        }
        assert_eq!(role(&self.nodes[0]), StateType::Leader);
    }

    fn slow(&self, ids: &[u64]) {
        self.shared.set(|w| w.slow = ids.to_vec());
    }

    fn applied(&self, id: u64) -> Vec<String> {
        self.shared
            .set(|w| w.applied.get(&id).cloned().unwrap_or_default())
    }

    fn stop(self) {
        self.slow(&[]);
        self.nodes.iter().for_each(Node::stop);
        self.threads.into_iter().for_each(|t| t.join().unwrap());
    }
}

/// Takes the Readies; the works that apply are done here, because they wait for nothing.
fn application(n: &Node<AsyncWrites>, net: &Net, append: &AppendThread) {
    while let Ok(mut rd) = n.ready().recv() {
        net.send(rd.take_messages());
        if let Some(w) = rd.append {
            let _ = append.append(w);
        }
        if let Some(w) = rd.apply {
            let applied = data(w.entries());
            net.1
                .set(|world| world.applied.entry(n.id()).or_default().extend(applied));
            let _ = n.deliver(w.done());
        }
    }
}

/// S15: fsync takes long on every disk.
#[test]
fn s15_no_election_while_every_sync_hangs() {
    let c = Cluster::new();
    c.slow(&IDS);
    c.propose("b");
    c.shared
        .wait("all hang in a sync", |w| w.hanging.len() == 3);
    let timeouts = 5 * config(1).election_tick as usize;
    c.tick(timeouts);
    c.assert_no_election();
    for id in IDS {
        assert!(
            !c.applied(id).contains(&"b".to_owned()),
            "{id}: it is durable nowhere"
        );
    }
    c.slow(&[]);
    IDS.iter()
        .for_each(|id| c.shared.wait_until_applied(*id, "b"));
    c.assert_no_election();
    c.stop();
}

/// The leader replicates while it writes: what a majority of the others has is committed without the leader's own disk.
#[test]
fn s15_replication_does_not_wait_for_the_leaders_disk() {
    let c = Cluster::new();
    c.slow(&[1]);
    c.propose("b");
    c.shared.wait("the leader hangs", |w| w.hanging == [1]);
    [2, 3]
        .iter()
        .for_each(|id| c.shared.wait_until_applied(*id, "b"));
    c.tick(3 * config(1).election_tick as usize);
    c.assert_no_election();
    assert!(
        !c.applied(1).contains(&"b".to_owned()),
        "the leader applies what it has written only"
    );
    c.slow(&[]);
    c.shared.wait_until_applied(1, "b");
    c.stop();
}
