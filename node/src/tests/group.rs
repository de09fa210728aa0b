//! Five nodes on threads of their own, of which some stop, start again or hear nothing for a while. Go: rafttest/node_test.go

use super::*;
use crate::{Accepted, restart_node, start_node};
use rawnode::raft::Peer;
use rawnode::raftpb::unmarshal_conf_change;
use std::collections::BTreeMap;
use std::thread::{self, JoinHandle};

/// Where a node's messages go.
enum Route {
    Up(Node),
    /// It hears nothing now and all of it later.
    Paused(Node, Vec<Message>),
}

type Routes = Arc<Mutex<BTreeMap<u64, Route>>>;

fn route(routes: &Routes, m: Message) {
    let node = match routes.lock().unwrap().get_mut(&m.to) {
        Some(Route::Up(n)) => n.clone(),
        Some(Route::Paused(_, kept)) => return kept.push(m),
        None => return,
    };
    // One that has just stopped receives nothing.
    let _ = node.step(m);
}

/// Does what a node's Readies say, until it ends.
fn application(n: Node, mut s: MemoryStorage, routes: Routes) -> JoinHandle<()> {
    thread::spawn(move || {
        while let Ok(mut rd) = n.ready().recv() {
            rd.drain_messages().for_each(|m| route(&routes, m));
            Writer::append(&mut s, rd.write()).unwrap();
            let mut p = rd.persisted();
            p.drain_messages().for_each(|m| route(&routes, m));
            for e in p.committed_entries() {
                if let Some(cc) = unmarshal_conf_change(e).unwrap() {
                    let _ = n.apply_conf_change(&cc);
                }
            }
            let _ = n.advance(p);
        }
    })
}

struct Group {
    nodes: BTreeMap<u64, (Node, JoinHandle<()>)>,
    disks: BTreeMap<u64, MemoryStorage>,
    routes: Routes,
}

/// Nobody campaigns of itself: time is what these tests do not have.
fn patient(id: u64) -> Config {
    Config {
        election_tick: 1 << 20,
        ..config(id)
    }
}

impl Group {
    /// Five nodes, of which node 1 leads.
    fn new() -> Self {
        let peer = |id| Peer {
            id,
            ..Peer::default()
        };
        let peers: Vec<_> = (1..=5).map(peer).collect();
        let mut group = Self {
            nodes: BTreeMap::new(),
            disks: BTreeMap::new(),
            routes: Routes::default(),
        };
        for id in 1..=5 {
            let s = MemoryStorage::new();
            let logger = Lines::default().logger();
            let n = start_node(patient(id), s.clone(), &peers, logger, None).unwrap();
            group.disks.insert(id, s);
            group.run(id, n);
        }
        let applied = |n: &Node| n.status().unwrap().basic.applied;
        group.wait(|g| g.nodes.values().all(|(n, _)| applied(n) == 5));
        group.nodes[&1].0.campaign().unwrap();
        group.wait(|g| {
            let lead = |n: &Node| n.status().unwrap().basic.soft_state.lead;
            g.nodes.values().all(|(n, _)| lead(n) == 1)
        });
        group
    }

    fn run(&mut self, id: u64, n: Node) {
        self.routes.lock().unwrap().insert(id, Route::Up(n.clone()));
        let app = application(n.clone(), self.disks[&id].clone(), Arc::clone(&self.routes));
        self.nodes.insert(id, (n, app));
    }

    /// Lets time pass until something holds.
    fn wait(&self, holds: impl Fn(&Self) -> bool) {
        for _ in 0..1_000_000 {
            if holds(self) {
                return;
            }
            for (n, _) in self.nodes.values() {
                n.tick().unwrap();
            }
            thread::yield_now();
        }
        panic!("it never comes to that");
    }

    fn propose(&self, id: u64, times: usize) {
        for _ in 0..times {
            let accepted = self.nodes[&id].0.propose("somedata".into()).unwrap().wait();
            match accepted.unwrap() {
                Accepted::Appended { .. } => assert_eq!(id, 1),
                Accepted::Forwarded { to } => assert_eq!(to, 1),
            }
        }
    }

    fn stop(&mut self, id: u64) {
        self.routes.lock().unwrap().remove(&id);
        let (n, app) = self.nodes.remove(&id).unwrap();
        n.stop();
        app.join().unwrap();
    }

    fn restart(&mut self, id: u64) {
        let logger = Lines::default().logger();
        let n = restart_node(patient(id), self.disks[&id].clone(), logger, None).unwrap();
        self.run(id, n);
    }

    fn pause(&self, id: u64) {
        let n = self.nodes[&id].0.clone();
        let mut routes = self.routes.lock().unwrap();
        routes.insert(id, Route::Paused(n, Vec::new()));
    }

    fn resume(&self, id: u64) {
        let mut routes = self.routes.lock().unwrap();
        let Some(Route::Paused(n, kept)) = routes.remove(&id) else {
            panic!("{id} is not paused");
        };
        for m in kept {
            n.step(m).unwrap();
        }
        routes.insert(id, Route::Up(n));
    }

    /// All five come to the same commit index, with the members' five changes, the leader's first entry and so many proposals.
    fn assert_converges(mut self, proposals: u64) {
        let want = 5 + 1 + proposals;
        let commit = |n: &Node| n.status().unwrap().basic.hard_state.commit;
        self.wait(|g| g.nodes.values().all(|(n, _)| commit(n) == want));
        // A node may know what is committed before its application has written it.
        self.wait(|g| g.disks.values().all(|s| s.last_index() == Ok(want)));
        assert_eq!(self.nodes.len(), 5);
        for id in 1..=5 {
            self.stop(id);
        }
        let log = |s: &MemoryStorage| s.entries(1, want + 1, NO_LIMIT).unwrap();
        let logs: Vec<_> = self.disks.values().map(log).collect();
        assert!(logs.iter().all(|l| *l == logs[0]));
    }
}

/// Go: TestBasicProgress
#[test]
fn five_nodes_commit() {
    let group = Group::new();
    group.propose(1, 100);
    group.assert_converges(100);
}

/// Proposals go on, at the leader and at others, while two of five are stopped one after the other and started again. Go: TestRestart
#[test]
fn stopped_nodes_catch_up() {
    let mut group = Group::new();
    group.propose(1, 30);
    group.stop(2);
    group.propose(4, 30);
    group.stop(3);
    group.propose(5, 30);
    group.restart(3);
    group.propose(1, 30);
    group.restart(2);
    group.assert_converges(120);
}

/// The same with nodes that hear nothing for a while, and then everything late. Go: TestPause
#[test]
fn paused_nodes_catch_up() {
    let group = Group::new();
    group.propose(1, 30);
    group.pause(2);
    group.propose(1, 30);
    group.pause(3);
    group.propose(1, 30);
    group.resume(3);
    group.propose(1, 30);
    group.resume(2);
    group.assert_converges(120);
}
