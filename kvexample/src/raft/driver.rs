//! What is done with each Ready: its messages go out, its writes to the append thread, its entries are applied or go to the apply thread. Go: serveChannels in raft.go
//!
//! Whoever takes the node's turn does it, be it a request, a peer's connection, the ticker or the append thread; so nothing here waits, neither for a disk nor for the node.

use super::apply::{Applies, Apply};
use super::{Exit, Leadership, RaftNode, Shared};
use crossbeam_channel::RecvTimeoutError;
use node::rawnode::{AsyncReady, AsyncWrites};
use node::{AppendHost, AppendThread, Served};
use parking_lot::Mutex;
use raftpb::{Message, MessageType, Snapshot};
use slog::{info, warn};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;
use storage_wal::storage;
use transport_tcp::Transport;

/// Does what the Readies say.
pub(super) struct Driver {
    pub(super) shared: Arc<Shared>,
    pub(super) transport: Arc<Transport>,
    pub(super) append: AppendThread,
    pub(super) applies: Applies,
    pub(super) leadership: Leadership,
}

/// Where the node's Readies go: to the driver, which needs the node first. Those that come before it are kept for it.
#[derive(Default)]
pub(super) struct Readies(Mutex<Way>);

enum Way {
    Kept(Vec<AsyncReady>),
    Driven(Box<Driver>),
}

impl Default for Way {
    fn default() -> Self {
        Self::Kept(Vec::new())
    }
}

impl Readies {
    /// Called by the node, inside its turn.
    ///
    /// # Errors
    /// The node's failure.
    pub(super) fn take(
        &self,
        ready: AsyncReady,
        node: &mut Served<'_, AsyncWrites>,
    ) -> Result<(), storage::Error> {
        match &mut *self.0.lock() {
            Way::Kept(kept) => kept.push(ready),
            Way::Driven(driver) => {
                let responses = driver.handle(ready);
                // They are all to this node.
                let left = node.deliver(responses);
                left.map_err(|e| storage::Error::other(e.to_string()))?;
            }
        }
        Ok(())
    }

    /// From now on this driver has them, after those that came before. Outside of any turn, which may wait for the lock.
    pub(super) fn drive(&self, mut driver: Driver) {
        loop {
            let kept = match &mut *self.0.lock() {
                Way::Kept(kept) if !kept.is_empty() => std::mem::take(kept),
                way => {
                    *way = Way::Driven(Box::new(driver));
                    return;
                }
            };
            for ready in kept {
                let responses = driver.handle(ready);
                // An error says that the node has ended, which whoever watches it learns, too.
                let _ = driver.shared.node.deliver(responses);
            }
        }
    }

    /// Waits until the node ends, or has to go, and says how. The append thread ends with it. Go: serveChannels
    #[doc(alias = "serveChannels")]
    pub(super) fn watch(&self, shared: &Shared) -> Exit {
        let node = &shared.node;
        let exit = loop {
            // No Ready comes this way.
            match node.ready().recv_timeout(shared.election_timeout / 2) {
                Ok(_) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break ended(node),
            }
            let leaving = *shared.leaving.lock();
            if leaving.is_some_and(|when| when <= Instant::now()) {
                break Exit::Removed;
            }
        };
        // What is waiting is still written, but no turn may wait for that: after this there is none.
        node.stop();
        let way = std::mem::take(&mut *self.0.lock());
        if let Way::Driven(driver) = way {
            // How the node ended is known.
            let _ = driver.append.stop();
        }
        exit
    }
}

impl Driver {
    /// Returns what is to be said of entries that were applied here.
    fn handle(&mut self, mut ready: AsyncReady) -> Vec<Message> {
        self.follow_leadership(&ready);
        self.shared.send(&self.transport, ready.take_messages());
        let reads = std::mem::take(&mut ready.read_states);
        self.shared.answer_reads(reads);
        // The write first: the disk is at work while what is committed is applied.
        if let Some(work) = ready.append {
            // Fails only when the append thread has ended, and then the node has too.
            let _ = self.append.append(work);
        }
        let apply = ready.apply.map(|work| self.applies.entries(work));
        apply.unwrap_or_default()
    }

    fn follow_leadership(&mut self, ready: &AsyncReady) {
        let mut now = self.leadership;
        if let Some(hs) = ready.hard_state() {
            now.term = hs.term;
        }
        if let Some(ss) = ready.soft_state() {
            (now.lead, now.role) = (ss.lead, ss.raft_state);
        }
        if now != self.leadership {
            self.leadership = now;
            self.shared.leadership.send_replace(now);
        }
    }
}

impl Shared {
    fn send(&self, transport: &Transport, messages: Vec<Message>) {
        let sending = &self.sending;
        transport.send(messages.into_iter().inspect(|m| {
            let snapshot = m.snapshot.as_ref();
            if let Some(s) = snapshot.filter(|_| m.msg_type == MessageType::MsgSnap) {
                sending.begin(m.to, s.metadata.index);
            }
        }));
    }
}

/// What the append thread asks of the node.
pub(super) struct Host {
    pub(super) shared: Arc<Shared>,
    pub(super) transport: Arc<Transport>,
    pub(super) applies: Applies,
}

impl AppendHost for Host {
    fn send(&mut self, messages: Vec<Message>) {
        self.shared.send(&self.transport, messages);
    }

    /// Behind the entries that wait to be applied, and before those that follow the snapshot.
    fn install(&mut self, snapshot: &Snapshot) -> Result<(), storage::Error> {
        let (loaded, is_loaded) = std::sync::mpsc::sync_channel(1);
        let gone = |()| storage::Error::other("the apply thread has ended");
        let work = Apply::Snapshot(snapshot.clone(), loaded);
        self.applies.hand_over(work).map_err(gone)?;
        is_loaded.recv().map_err(|_| gone(()))
    }

    fn space(&mut self, full: bool) {
        self.shared.waits_for_room.store(full, Ordering::Release);
        match full {
            true => warn!(
                self.shared.log,
                "the disk is full: nothing new is taken on until there is room"
            ),
            false => info!(self.shared.log, "there is room on the disk again"),
        }
    }
}

fn ended(node: &RaftNode) -> Exit {
    match node.ended() {
        None | Some(node::Error::Stopped) => Exit::Stopped,
        Some(e) => Exit::Failed(e.to_string()),
    }
}
