//! An application on a thread of its own: writes, sends, applies, advances. Go: (the goroutines of node_test.go)

use super::*;
use rawnode::raftpb::unmarshal_conf_change;
use std::thread::JoinHandle;

/// Handles a node's Readies until it ends.
pub(super) struct Application {
    pub(super) node: Node,
    /// What was applied, in order.
    pub(super) applied: Receiver<Entry>,
    thread: Option<JoinHandle<()>>,
}

impl Application {
    /// A group of one.
    pub(super) fn alone(node: &Node, s: &MemoryStorage) -> Self {
        Self::new(node.clone(), s.clone(), Vec::new())
    }

    /// `peers` are the other nodes: messages go straight to them.
    pub(super) fn new(node: Node, mut s: MemoryStorage, peers: Vec<Node>) -> Self {
        let (applying, applied) = crossbeam_channel::unbounded();
        let n = node.clone();
        let send = move |m: Message| {
            let to = peers.iter().find(|p| p.id() == m.to);
            // A peer that has ended receives nothing.
            let _ = to.map(|p| p.step(m));
        };
        let run = move || {
            while let Ok(mut rd) = n.ready().recv() {
                rd.drain_messages().for_each(&send);
                Writer::append(&mut s, rd.write()).unwrap();
                let mut p = rd.persisted();
                p.drain_messages().for_each(&send);
                for e in p.committed_entries() {
                    if let Some(cc) = unmarshal_conf_change(e).unwrap() {
                        let _ = n.apply_conf_change(&cc);
                    }
                }
                let committed = p.committed_entries().clone();
                let _ = n.advance(p);
                // Now a proposal that is made because of it finds it applied.
                for e in &committed {
                    let _ = applying.send(e.clone());
                }
            }
        };
        let thread = Some(std::thread::spawn(run));
        Self {
            node,
            applied,
            thread,
        }
    }

    /// The next entry with data that is applied.
    pub(super) fn next(&self) -> Entry {
        loop {
            let e = self.applied.recv_timeout(LONG).expect("more is applied");
            if !e.data.is_empty() {
                return e;
            }
        }
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        self.node.stop();
        if let Some(t) = self.thread.take() {
            t.join().unwrap();
        }
    }
}
