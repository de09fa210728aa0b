//! The loop around the node: each Ready's messages go out, its writes to the append thread, its entries to the apply thread; nothing here waits for a disk. Go: serveChannels in raft.go

use super::apply::{Applies, Apply};
use super::{Exit, Leadership, RaftNode, Shared};
use crossbeam_channel::RecvTimeoutError;
use node::rawnode::AsyncReady;
use node::{AppendHost, AppendThread};
use raftpb::{Message, MessageType, Snapshot};
use slog::{info, warn};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;
use storage_wal::storage;
use transport_tcp::Transport;

/// The thread that takes the Readies.
pub(super) struct Driver {
    pub(super) shared: Arc<Shared>,
    pub(super) transport: Arc<Transport>,
    pub(super) append: AppendThread,
    pub(super) applies: Applies,
    pub(super) leadership: Leadership,
}

impl Driver {
    /// Runs until the node ends, and says how. The append thread ends with it. Go: serveChannels
    #[doc(alias = "serveChannels")]
    pub(super) fn run(mut self) -> Exit {
        let node = self.shared.node.clone();
        let exit = loop {
            match node.ready().recv_timeout(self.shared.election_timeout / 2) {
                Ok(ready) => self.handle(ready),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break ended(&node),
            }
            let leaving = *self.shared.leaving.lock();
            if leaving.is_some_and(|when| when <= Instant::now()) {
                break Exit::Removed;
            }
        };
        // What is waiting is still written; how the node ended is known.
        let _ = self.append.stop();
        exit
    }

    fn handle(&mut self, mut ready: AsyncReady) {
        self.follow_leadership(&ready);
        self.shared.send(&self.transport, ready.take_messages());
        let reads = std::mem::take(&mut ready.read_states);
        self.shared.answer_reads(reads);
        // The write first: the disk is at work while what is committed is applied.
        if let Some(work) = ready.append {
            // Fails only when the append thread has ended, and then the node has too.
            let _ = self.append.append(work);
        }
        if let Some(work) = ready.apply {
            self.applies.entries(work);
        }
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
