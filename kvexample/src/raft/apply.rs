//! Applying: entries, membership changes and a leader's snapshots, in the log's order. Go: publishEntries and publishSnapshot in raft.go
//!
//! A thread does it, so that nothing else waits for the state machine; but a few plain entries that find it idle are applied by whoever brings them, which is sooner done than a thread is woken.

use super::Shared;
use super::snapshots::Snapshots;
use crate::kvstore::{Applied, Origin, Refused, State};
use node::raft::StateType;
use node::rawnode::ApplyWork;
use parking_lot::Mutex;
use raftpb::{
    ConfChangeType, ConfChangeV2, ConfState, Entries, Entry, EntryType, Message, Snapshot,
    unmarshal_conf_change,
};
use slog::{error, info, warn};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel};
use std::time::Instant;
use storage_wal::DiskStorage;
use storage_wal::storage;
use transport_tcp::Transport;

/// Entries applied under one hold of the state's lock; readers get in between.
const APPLY_AT_ONCE: usize = 256;

/// What is to be applied next.
pub(super) enum Apply {
    /// Committed entries.
    Entries(ApplyWork),
    /// A leader's snapshot, durable by now; and whom to tell that it is the state.
    Snapshot(Snapshot, SyncSender<()>),
}

/// Why this replica cannot go on.
type Failed = String;

/// The way to the state machine. Clones are ways to the same; when all are gone, the apply thread ends.
#[derive(Clone)]
pub(super) struct Applies {
    works: Sender<Apply>,
    machine: Arc<Machine>,
}

/// The state machine's writer, for one thread at a time.
pub(super) struct Machine {
    applier: Mutex<Applier>,
    /// Works that were handed over and are not applied.
    waiting: AtomicUsize,
}

impl Applies {
    /// Also what the apply thread [`run`](Machine::run)s with.
    pub(super) fn new(applier: Applier) -> (Self, Arc<Machine>, Receiver<Apply>) {
        let (works, taken) = channel();
        let machine = Arc::new(Machine {
            applier: Mutex::new(applier),
            waiting: AtomicUsize::new(0),
        });
        let applies = Self {
            works,
            machine: Arc::clone(&machine),
        };
        (applies, machine, taken)
    }

    /// Hands a work to the apply thread.
    ///
    /// # Errors
    /// It has ended.
    pub(super) fn hand_over(&self, work: Apply) -> Result<(), ()> {
        self.machine.waiting.fetch_add(1, Ordering::Relaxed);
        self.works.send(work).map_err(drop)
    }

    /// Applies entries, or hands them over: to be called by one thread at a time, in the log's order, also inside the node's turn. Returns what is to be said of those that it applied.
    pub(super) fn entries(&self, work: ApplyWork) -> Vec<Message> {
        let plain = |e: &Entry| e.get_type() == EntryType::Normal;
        let entries = work.entries();
        if entries.len() <= APPLY_AT_ONCE && entries.iter().all(plain) {
            // Nothing before it waits: what does was handed over before this was called, or is a snapshot, after which no entries come until it is the state.
            let idle = self.machine.applier.try_lock();
            let idle = idle.filter(|_| self.machine.waiting.load(Ordering::Acquire) == 0);
            // Letting strangers go, once a term, is the apply thread's: it takes the transport's locks.
            let settled = |a: &Applier| entries.last().is_some_and(|e| a.settled == e.term);
            if let Some(mut applier) = idle.filter(|a| settled(a)) {
                return applier.apply_here(work);
            }
        }
        // Fails only when the apply thread has ended, and then the node has too.
        let _ = self.hand_over(Apply::Entries(work));
        Vec::new()
    }
}

impl Machine {
    /// The apply thread: runs until nobody hands over any more, or the node is to end by its failure.
    pub(super) fn run(&self, works: &Receiver<Apply>) {
        let pause = self.applier.lock().shared.election_timeout;
        loop {
            self.applier.lock().lead_alone();
            let work = works.recv_timeout(pause);
            let took = work.is_ok();
            let goes_on = self.applier.lock().take(work);
            if took {
                self.waiting.fetch_sub(1, Ordering::Release);
            }
            if !goes_on {
                return;
            }
        }
    }
}

/// The state machine's only writer.
pub(super) struct Applier {
    shared: Arc<Shared>,
    transport: Arc<Transport>,
    snapshots: Snapshots,
    /// The configuration after the last applied entry.
    conf: ConfState,
    /// Answers for those who wait.
    done: Vec<(Origin, Applied)>,
    /// The term in which strangers were last let go.
    settled: u64,
}

impl Applier {
    pub(super) fn new(
        shared: Arc<Shared>,
        transport: Arc<Transport>,
        disk: DiskStorage,
        snapshot: u64,
    ) -> Self {
        let conf = shared.conf.read().clone();
        Self {
            snapshots: Snapshots::new(Arc::clone(&shared), disk, snapshot),
            shared,
            transport,
            conf,
            done: Vec::new(),
            settled: 0,
        }
    }

    /// Applies plain entries for whoever brings them, and returns what is to be said of them. Inside the node's turn nothing here may wait for the node, and plain entries ask nothing of it.
    fn apply_here(&mut self, work: ApplyWork) -> Vec<Message> {
        let published = self.publish_entries(work.entries());
        match self.concluded(published) {
            true => work.done(),
            false => Vec::new(),
        }
    }

    /// Does a work, or what is to be done when none comes. False when nothing is to come any more: nobody hands over, or the node is to end by its failure.
    fn take(&mut self, work: Result<Apply, RecvTimeoutError>) -> bool {
        let done = match work {
            Ok(Apply::Entries(work)) => self.apply(work),
            Ok(Apply::Snapshot(snapshot, loaded)) => self.publish_snapshot(&snapshot).map(|()| {
                // Nobody waits when the node has ended meanwhile.
                let _ = loaded.send(());
            }),
            Err(RecvTimeoutError::Timeout) => Ok(()),
            Err(RecvTimeoutError::Disconnected) => return false,
        };
        self.concluded(done)
    }

    /// After a work. False when the node is to end by its failure.
    fn concluded(&mut self, done: Result<(), Failed>) -> bool {
        if let Err(why) = done {
            if self.shared.node.ended().is_none() {
                error!(self.shared.log, "cannot apply, stopping"; "error" => &why);
                self.shared.node.fail(storage::Error::other(why));
            }
            return false;
        }
        self.snapshots.maybe_trigger(&self.conf);
        true
    }

    /// The only voter need not wait for a leader to be silent.
    fn lead_alone(&self) {
        let now = *self.shared.leadership.borrow();
        let alone = self.conf.voters == [self.shared.id] && self.conf.voters_outgoing.is_empty();
        if alone && now.lead == 0 && now.role == StateType::Follower {
            // Refused while a change of the members is not applied yet: then it is tried again after that. An error says that the node has ended.
            let _ = self.shared.node.campaign();
        }
    }

    fn apply(&mut self, work: ApplyWork) -> Result<(), Failed> {
        self.publish_entries(work.entries())?;
        let left = self.shared.node.deliver(work.done());
        // All of it is this node's own; an error says that the node has ended.
        left.map(drop).map_err(|e| e.to_string())
    }

    /// Takes a leader's snapshot, which is on disk by now, as the new state. Go: publishSnapshot
    #[doc(alias = "publishSnapshot")]
    fn publish_snapshot(&mut self, snapshot: &Snapshot) -> Result<(), Failed> {
        let metadata = &snapshot.metadata;
        info!(self.shared.log, "publishing snapshot"; "index" => metadata.index, "bytes" => snapshot.data.len());
        let state = restore(snapshot)?;
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
    fn publish_entries(&mut self, entries: &Entries) -> Result<(), Failed> {
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
        let now = *self.shared.leadership.borrow();
        if term == now.term && now.lead != 0 && self.settled != term {
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

    fn publish_normal(&mut self, entries: &[Entry]) -> Result<(), Failed> {
        let done = &mut self.done;
        let applied = self.shared.store.write(|state| {
            for e in entries {
                done.extend(state.apply(e)?);
            }
            Ok(())
        });
        applied.map_err(|e: crate::kvstore::ApplyError| e.to_string())
    }

    fn publish_conf_change(&mut self, e: &Entry) -> Result<(), Failed> {
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
        self.done.extend(applied.map_err(|e| e.to_string())?);
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
    fn judge(&mut self, cc: &ConfChangeV2) -> Result<Result<(), Refused>, Failed> {
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
            Err(e) => Err(e.to_string()),
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
        let soon = Instant::now() + self.shared.election_timeout / 2;
        self.shared.leaving.lock().get_or_insert(soon);
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
