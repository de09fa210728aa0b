//! Three RawNodes, each owned by a tokio task, with an interval for a clock and channels for a network. Go: (none)
//!
//! `cargo run -p tickraft-rawnode --example tokio`
//!
//! A RawNode neither blocks nor waits, so a task may own it like any other value. Only the storage here is in memory: with a disk, the write and the
//! sync go to `spawn_blocking`, or, so that the node runs on meanwhile, take `RawNode::new_async`.

use bytes::Bytes;
use std::collections::HashMap;
use std::error::Error;
use std::time::Duration;
use storage_mem::MemoryStorage;
use tickraft_rawnode::RawNode;
use tickraft_rawnode::raft::slog::{Discard, Logger, o};
use tickraft_rawnode::raft::{Config, Outcome};
use tickraft_rawnode::raftpb::{ConfState, Message, Snapshot, SnapshotMetadata};
use tickraft_rawnode::storage::Writer;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

type Failure = Box<dyn Error + Send + Sync>;

/// What a task is sent.
enum Input {
    Message(Message),
    /// Answered with the index, once this node has applied it.
    Propose(Bytes, oneshot::Sender<u64>),
}

type Network = HashMap<u64, mpsc::UnboundedSender<Input>>;

struct Member {
    node: RawNode<MemoryStorage>,
    log: MemoryStorage,
    network: Network,
    /// Clients that wait, by the data that they proposed; a real one would number its proposals.
    waiting: HashMap<Bytes, oneshot::Sender<u64>>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let (mut network, mut inboxes) = (Network::new(), Vec::new());
    for id in 1..=3 {
        let (to, inbox) = mpsc::unbounded_channel();
        network.insert(id, to);
        inboxes.push((id, inbox));
    }
    for (id, inbox) in inboxes {
        let member = Member::new(id, network.clone())?;
        tokio::spawn(async move {
            if let Err(e) = member.run(inbox).await {
                eprintln!("node {id} stopped: {e}");
            }
        });
    }
    // Any node takes proposals; before there is a leader they are dropped, so ask again later.
    for i in 1..=5 {
        let data = Bytes::from(format!("set x={i}"));
        let index = loop {
            let (answer, answered) = oneshot::channel();
            network[&1].send(Input::Propose(data.clone(), answer))?;
            match timeout(Duration::from_secs(1), answered).await {
                Ok(Ok(index)) => break index,
                _ => sleep(Duration::from_millis(20)).await,
            }
        };
        println!("{data:?} applied at {index}");
    }
    Ok(())
}

impl Member {
    fn new(id: u64, network: Network) -> Result<Self, Failure> {
        let log = MemoryStorage::new();
        let conf_state = ConfState {
            voters: vec![1, 2, 3],
            ..ConfState::default()
        };
        let metadata = SnapshotMetadata {
            conf_state,
            ..SnapshotMetadata::default()
        };
        log.apply_snapshot(&Snapshot {
            metadata,
            ..Snapshot::default()
        })?;
        let config = Config::new(id, 42);
        Ok(Self {
            node: RawNode::new(config, log.clone(), Logger::root(Discard, o!()), None)?,
            log,
            network,
            waiting: HashMap::new(),
        })
    }

    async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Input>) -> Result<(), Failure> {
        let mut clock = interval(Duration::from_millis(10));
        // After a pause, ticks that were missed must not come all at once: they would start an election.
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = clock.tick() => self.node.tick()?,
                input = inbox.recv() => match input {
                    Some(input) => self.take(input),
                    None => return Ok(()),
                },
            }
            while let Ok(input) = inbox.try_recv() {
                self.take(input);
            }
            self.handle_ready()?;
        }
    }

    fn take(&mut self, input: Input) {
        match input {
            // What a peer sends may be refused; a fault shows in the next ready().
            Input::Message(m) => drop(self.node.step(m)),
            Input::Propose(data, answer) => {
                let outcome = self.node.propose(data.clone());
                if let Ok(Outcome::Appended { .. } | Outcome::Forwarded { .. }) = outcome {
                    self.waiting.insert(data, answer);
                }
                // Else dropping `answer` tells the client to ask again.
            }
        }
    }

    fn handle_ready(&mut self) -> Result<(), Failure> {
        while let Some(mut rd) = self.node.ready()? {
            send(&self.network, rd.drain_messages());
            Writer::append(&mut self.log, rd.write())?;
            if rd.must_sync() {
                self.log.sync()?;
            }
            let mut p = rd.persisted();
            send(&self.network, p.drain_messages());
            for e in p.committed_entries() {
                if let Some(answer) = self.waiting.remove(&e.data) {
                    let _ = answer.send(e.index);
                }
            }
            self.node.advance(p)?;
        }
        Ok(())
    }
}

fn send(network: &Network, messages: impl Iterator<Item = Message>) {
    for m in messages {
        if let Some(to) = network.get(&m.to) {
            let _ = to.send(Input::Message(m));
        }
    }
}
