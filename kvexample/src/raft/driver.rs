//! The loop around the node: write, send, apply, advance. Go: serveChannels, publishEntries and publishSnapshot in raft.go

use super::snapshots::Snapshots;
use super::{Exit, Leadership, Shared};
use crate::kvstore::{Applied, Origin, Refused, State};
use crossbeam_channel::RecvTimeoutError;
use node::rawnode::{Persisted, Ready};
use raftpb::{
    ConfChangeType, ConfChangeV2, ConfState, Entries, Entry, EntryType, MessageType, Snapshot,
    unmarshal_conf_change,
};
use slog::{error, info, warn};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use storage_wal::DiskStorage;
use storage_wal::storage::{self, Writer};
use transport_tcp::Transport;

/// Entries applied under one hold of the state's lock; readers get in between.
const APPLY_AT_ONCE: usize = 256;
/// How long a full disk is waited on before it is tried again.
const NO_SPACE_PAUSE: Duration = Duration::from_millis(200);

/// The thread that takes the Readies.
pub(super) struct Driver {
    shared: Arc<Shared>,
    transport: Arc<Transport>,
    storage: DiskStorage,
    snapshots: Snapshots,
    /// The configuration after the last applied entry.
    conf: ConfState,
    leadership: Leadership,
    /// Answers for those who wait.
    done: Vec<(Origin, Applied)>,
    /// The term in which strangers were last let go.
    settled: u64,
    /// Set when this node was removed: when it goes.
    leaving: Option<Instant>,
}

impl Driver {
    pub(super) fn new(
        shared: Arc<Shared>,
        transport: Arc<Transport>,
        storage: DiskStorage,
        snapshot: u64,
    ) -> Self {
        let conf = shared.conf.read().clone();
        Self {
            snapshots: Snapshots::new(Arc::clone(&shared), storage.clone(), snapshot),
            shared,
            transport,
            storage,
            conf,
            leadership: Leadership::default(),
            done: Vec::new(),
            settled: 0,
            leaving: None,
        }
    }

    /// Runs until the node ends, and says how. Go: serveChannels
    #[doc(alias = "serveChannels")]
    pub(super) fn run(mut self) -> Exit {
        let node = self.shared.node.clone();
        loop {
            let exit = match node.ready().recv_timeout(self.shared.election_timeout) {
                Ok(ready) => self.handle(ready).err(),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => Some(ended(&node)),
            };
            if let Some(exit) = exit {
                return exit;
            }
            if self.leaving.is_some_and(|when| when <= Instant::now()) {
                return Exit::Removed;
            }
        }
    }

    fn handle(&mut self, mut ready: Ready) -> Result<(), Exit> {
        self.follow_leadership(&ready);
        let sending = &self.shared.sending;
        // A snapshot is always among these: it does not wait for a write.
        self.transport.send(ready.drain_messages().inspect(|m| {
            if let Some(snapshot) = m
                .snapshot
                .as_ref()
                .filter(|_| m.msg_type == MessageType::MsgSnap)
            {
                sending.begin(m.to, snapshot.metadata.index);
            }
        }));
        self.shared.answer_reads(ready.take_read_states());
        self.write(&ready)?;
        let mut persisted = ready.persisted();
        self.transport.send(persisted.drain_messages());
        self.publish_snapshot(&persisted)?;
        self.publish_entries(persisted.committed_entries())?;
        let advanced = self.shared.node.advance(persisted);
        advanced.map_err(|_| ended(&self.shared.node))?;
        self.snapshots.maybe_trigger(&self.conf);
        Ok(())
    }

    fn follow_leadership(&mut self, ready: &Ready) {
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

    /// Writes what the Ready asks for. A full disk is waited on: nothing is lost, only late.
    fn write(&mut self, ready: &Ready) -> Result<(), Exit> {
        let write = ready.write();
        if write.is_empty() {
            return Ok(());
        }
        loop {
            match self.storage.append(write) {
                Ok(()) => break,
                Err(storage::Error::NoSpace) if self.shared.node.ended().is_none() => {
                    warn!(self.shared.log, "the disk is full; trying again");
                    std::thread::sleep(NO_SPACE_PAUSE);
                }
                Err(e) => return Err(self.fail(e)),
            }
        }
        if write.must_sync {
            self.storage.sync().map_err(|e| self.fail(e))?;
        }
        Ok(())
    }

    fn fail(&self, e: storage::Error) -> Exit {
        error!(self.shared.log, "the storage failed, stopping"; "error" => %e);
        self.shared.node.fail(e.clone());
        Exit::Failed(e.to_string())
    }

    fn fail_text(&self, text: String) -> Exit {
        self.fail(storage::Error::other(text))
    }

    /// Takes a leader's snapshot as the new state. Go: publishSnapshot
    #[doc(alias = "publishSnapshot")]
    fn publish_snapshot(&mut self, persisted: &Persisted) -> Result<(), Exit> {
        let Some(snapshot) = persisted.snapshot().filter(|s| !s.is_empty()) else {
            return Ok(());
        };
        let metadata = &snapshot.metadata;
        info!(self.shared.log, "publishing snapshot"; "index" => metadata.index, "bytes" => snapshot.data.len());
        let state = restore(snapshot).map_err(|text| self.fail_text(text))?;
        self.shared
            .installed
            .store(metadata.index, Ordering::Release);
        let old = self.shared.store.write(|s| std::mem::replace(s, state));
        drop(old);
        self.set_conf(metadata.conf_state.clone());
        self.snapshots.installed(metadata.index);
        self.follow_members();
        self.shared.applied.send_replace(metadata.index);
        Ok(())
    }

    /// Brings the transport's peers in line with the member table.
    fn follow_members(&mut self) {
        let id = self.shared.id;
        let (members, removed) = self.shared.store.read(|s| {
            let all = s
                .members()
                .iter()
                .map(|(id, m)| (id, m.addr.clone()))
                .collect::<Vec<_>>();
            (all, s.members().is_removed(id))
        });
        for peer in self.transport.status().peers {
            if !members.iter().any(|m| m.0 == peer.id) {
                self.transport.remove_peer(peer.id);
            }
        }
        for (peer, addr) in members {
            self.add_peer(peer, &addr);
        }
        if removed {
            self.leave();
        }
    }

    fn add_peer(&self, id: u64, addr: &str) {
        if id == self.shared.id || addr.is_empty() {
            return;
        }
        if self.transport.update_peer(id, addr) {
            return;
        }
        if let Err(e) = self.transport.add_peer(id, addr) {
            warn!(self.shared.log, "a member cannot be connected to"; "peer" => id, "addr" => addr, "error" => %e);
        }
    }

    fn set_conf(&mut self, conf: ConfState) {
        self.conf = conf.clone();
        *self.shared.conf.write() = conf;
    }

    /// Applies what is committed and tells those who wait. Go: publishEntries
    #[doc(alias = "publishEntries")]
    fn publish_entries(&mut self, entries: &Entries) -> Result<(), Exit> {
        let Some(last) = entries.last() else {
            return Ok(());
        };
        for run in entries.runs() {
            let mut rest = run;
            while let Some(first) = rest.first() {
                let conf_change = |e: &Entry| e.get_type() != EntryType::Normal;
                let n = match conf_change(first) {
                    true => 1,
                    false => rest
                        .iter()
                        .take(APPLY_AT_ONCE)
                        .take_while(|e| !conf_change(e))
                        .count(),
                };
                let (now, later) = rest.split_at(n);
                match conf_change(first) {
                    true => self.publish_conf_change(first)?,
                    false => self.publish_normal(now)?,
                }
                rest = later;
            }
        }
        // Whoever sees the index must find its answer there.
        self.shared.waiters.complete(self.shared.id, &mut self.done);
        self.shared.applied.send_replace(last.index);
        self.settle(last.term);
        Ok(())
    }

    /// An entry of the present term is applied: then the table has everybody who could be a member, and who was admitted as a stranger and is none is let go.
    fn settle(&mut self, term: u64) {
        if term == self.leadership.term && self.leadership.lead != 0 && self.settled != term {
            self.settled = term;
            let strangers = self.shared.store.read(|s| {
                let mut peers = self.transport.status().peers;
                peers.retain(|p| s.members().get(p.id).is_none());
                peers
            });
            for peer in strangers {
                self.transport.remove_peer(peer.id);
            }
        }
    }

    fn publish_normal(&mut self, entries: &[Entry]) -> Result<(), Exit> {
        let done = &mut self.done;
        let applied = self.shared.store.write(|state| {
            for e in entries {
                done.extend(state.apply(e)?);
            }
            Ok(())
        });
        applied.map_err(|e: crate::kvstore::ApplyError| self.fail_text(e.to_string()))
    }

    fn publish_conf_change(&mut self, e: &Entry) -> Result<(), Exit> {
        let cc = match unmarshal_conf_change(e) {
            Ok(cc) => cc.unwrap_or_default(),
            Err(error) => {
                // The core refuses such an entry from a peer; every node comes to the same conclusion.
                warn!(self.shared.log, "skipping a membership change that does not decode"; "index" => e.index, "error" => %error);
                return self.publish_normal(&[Entry::new(e.term, e.index, "")]);
            }
        };
        if e.index <= self.shared.store.read(State::index) {
            return Ok(());
        }
        let verdict = self.judge(&cc)?;
        let applied = self.shared.store.write(|s| s.apply_change(e, &cc, verdict));
        self.done
            .extend(applied.map_err(|e| self.fail_text(e.to_string()))?);
        match verdict {
            Ok(()) => {
                self.snapshots.members_changed();
                info!(self.shared.log, "membership changed"; "index" => e.index, "change" => raftpb::conf_changes_to_string(&cc.changes), "voters" => ?self.conf.voters, "learners" => ?self.conf.learners);
                self.connect(&cc);
            }
            Err(why) => {
                info!(self.shared.log, "membership unchanged"; "index" => e.index, "change" => raftpb::conf_changes_to_string(&cc.changes), "reason" => %why)
            }
        }
        Ok(())
    }

    /// Hands the change to Raft if it makes sense: the application's part of the decision and Raft's, both alike on every node.
    fn judge(&mut self, cc: &ConfChangeV2) -> Result<Result<(), Refused>, Exit> {
        let sensible = self.shared.store.read(|s| s.check_change(cc, &self.conf));
        if let Err(why) = sensible {
            return Ok(Err(why));
        }
        match self.shared.node.apply_conf_change(cc) {
            Ok(conf) => {
                self.set_conf(conf);
                Ok(Ok(()))
            }
            Err(node::Error::Raft(e)) => {
                warn!(self.shared.log, "Raft refused a membership change"; "error" => %e);
                Ok(Err(Refused::Invalid))
            }
            Err(_) => Err(ended(&self.shared.node)),
        }
    }

    fn connect(&mut self, cc: &ConfChangeV2) {
        for single in &cc.changes {
            let id = single.node_id;
            match single.change_type {
                ConfChangeType::RemoveNode if id == self.shared.id => self.leave(),
                ConfChangeType::RemoveNode => {
                    // What waits for it is still written; and when it calls again, it hears that it was removed.
                    self.transport.remove_peer(id);
                }
                _ => {
                    let addr = self
                        .shared
                        .store
                        .read(|s| s.members().get(id).map(|m| m.addr.clone()));
                    self.add_peer(id, &addr.unwrap_or_default());
                }
            }
        }
    }

    /// This node was removed: it goes when its last messages had time to leave.
    fn leave(&mut self) {
        info!(
            self.shared.log,
            "this node was removed from the cluster, shutting down"
        );
        self.shared.draining.store(true, Ordering::Release);
        self.leaving
            .get_or_insert(Instant::now() + self.shared.election_timeout / 2);
    }
}

/// Reads a snapshot's data as the state that it stands for.
pub(super) fn restore(snapshot: &Snapshot) -> Result<State, String> {
    let (index, term) = (snapshot.metadata.index, snapshot.metadata.term);
    let state = State::decode(&snapshot.data)
        .map_err(|e| format!("the snapshot at index {index} is not one of ours: {e}"))?;
    if (state.index(), state.term()) != (index, term) {
        return Err(format!(
            "the snapshot at index {index} holds the state at {}",
            state.index()
        ));
    }
    Ok(state)
}

fn ended(node: &node::Node) -> Exit {
    match node.ended() {
        None | Some(node::Error::Stopped) => Exit::Stopped,
        Some(e) => Exit::Failed(e.to_string()),
    }
}
