//! The handle of a node. Go: node.go (Node)

use crate::end::End;
use crate::error::Error;
use crate::options::NodeOptions;
use crate::ports::{ConfChangeRequest, Ports, Proposal, StatusRequest, Stop};
use crate::refused::OnRefused;
use crate::run::{Core, OnReady};
use crate::runner::{Runner, inside};
use crate::ticket::{Ticket, promise};
use bytes::Bytes;
use crossbeam_channel::{Receiver, SendError, Sender, TrySendError};
use parking_lot::Mutex;
use rawnode::raft;
use rawnode::raft::raftpb::{
    ConfChangeI, ConfState, Entry, Message, MessageType, SnapshotStatus, is_local_msg,
    is_local_msg_target, marshal_conf_change,
};
use rawnode::raft::slog::{Logger, warn};
use rawnode::raft::storage::{self, Storage};
use rawnode::raft::{Fault, Status};
use rawnode::{AsyncWrites, Persisted, RawNode, StorageWrites, SyncWrites};
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};
use std::thread::JoinHandle;

/// A node that any thread may call. A handle: clones share the node, and dropping the last one stops it. Go: Node
///
/// The application takes each [`Ready`](rawnode::Ready) from [`ready`](Node::ready), does what it says, and hands its
/// [`Persisted`] to [`advance`](Node::advance); see [`rawnode`] for the order, which the types keep. `M` is
/// [`AsyncWrites`] for nodes of [`start_node_async`](crate::start_node_async): they have no `advance`, and what works return when they are done goes back through
/// [`deliver`](Node::deliver) or [`step`](Node::step).
///
/// Calls may come from any thread. A call that finds nobody at work does what it brings itself, in microseconds, unless [`NodeOptions::callers_run`] says otherwise; so it may read the storage and
/// log. None blocks for longer but where it says so, and none hangs when the node ends: then all return how it [`ended`](Node::ended), and [`ready`](Node::ready) is closed.
///
/// There is no `advance` for a node that writes asynchronously:
///
/// ```compile_fail,E0599
/// fn advance(node: tickraft_node::Node<rawnode::AsyncWrites>, p: rawnode::Persisted) {
///     node.advance(p).unwrap();
/// }
/// ```
pub struct Node<M: StorageWrites = SyncWrites>(Arc<Shared<M>>);

impl<M: StorageWrites> Clone for Node<M> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

struct Shared<M: StorageWrites> {
    id: u64,
    logger: Logger,
    propc: Sender<Proposal>,
    recvc: Sender<Message>,
    confc: Sender<ConfChangeRequest>,
    readyc: Receiver<M::Ready>,
    advancec: Sender<M::Persisted>,
    tickc: Sender<()>,
    statusc: Sender<StatusRequest>,
    stopc: Sender<Stop>,
    runner: Arc<Runner<M>>,
    end: Arc<End>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// Local messages come from storage threads; others only the node itself makes.
pub(crate) fn not_local(m: &Message) -> Result<(), Error> {
    match is_local_msg(m.msg_type) && !is_local_msg_target(m.from) {
        true => Err(Error::Raft(raft::Error::StepLocalMsg)),
        false => Ok(()),
    }
}

/// How many ticks may wait while the node is busy; etcd's number.
const TICKS: usize = 128;
/// How many conf changes or status requests may wait before their callers block.
const REQUESTS: usize = 16;

impl<M: StorageWrites> Node<M> {
    pub(crate) fn spawn<S: Storage + Send + 'static>(
        rn: RawNode<S, M>,
        options: NodeOptions,
        refused: Option<OnRefused>,
        on_ready: Option<OnReady<S, M>>,
    ) -> Result<Self, Error> {
        let (id, logger) = (rn.raft().id(), rn.raft().logger().clone());
        let (propc, prop_rx) = crossbeam_channel::bounded(options.propose_queue.max(1));
        let (recvc, recv_rx) = crossbeam_channel::bounded(options.receive_queue.max(1));
        let (confc, conf_rx) = crossbeam_channel::bounded(REQUESTS);
        // One: the node makes a Ready when the one before was taken, so that what comes meanwhile goes into it.
        let (ready_tx, readyc) = crossbeam_channel::bounded(1);
        let (advancec, advance_rx) = crossbeam_channel::bounded(1);
        let (tickc, tick_rx) = crossbeam_channel::bounded(TICKS);
        let (statusc, status_rx) = crossbeam_channel::bounded(REQUESTS);
        let (stopc, stop_rx) = crossbeam_channel::bounded(1);
        let ports = Ports {
            propc: prop_rx,
            recvc: recv_rx,
            confc: conf_rx,
            readyc: ready_tx.clone(),
            advancec: advance_rx,
            tickc: tick_rx,
            statusc: status_rx,
            stopc: stop_rx,
        };
        let end = Arc::<End>::default();
        let (wakec, wake_rx) = crossbeam_channel::bounded(1);
        let core = Box::new(Core::new(rn, ports, refused, on_ready));
        let runner = Runner::new(id, core, options.callers_run, wakec, Arc::clone(&end));
        let runner = Arc::new(runner);
        let thread = std::thread::Builder::new()
            .name(format!("raft-{id:x}"))
            .spawn({
                let runner = Arc::clone(&runner);
                move || runner.main(&wake_rx, &ready_tx)
            })
            .map_err(|e| Error::Spawn(Arc::new(e)))?;
        Ok(Self(Arc::new(Shared {
            id,
            logger,
            propc,
            recvc,
            confc,
            readyc,
            advancec,
            tickc,
            statusc,
            stopc,
            runner,
            end,
            thread: Mutex::new(Some(thread)),
        })))
    }

    /// The node's id.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.0.id
    }

    pub(crate) fn logger(&self) -> &Logger {
        &self.0.logger
    }

    /// Lets a tick of the logical clock pass. Never blocks: when 128 ticks wait already, it logs etcd's line and the tick is lost. Go: Tick
    ///
    /// # Errors
    /// How the node ended.
    ///
    /// ```
    /// # use rawnode::storage::Writer;
    /// # use rawnode::raftpb::{ConfState, Snapshot, SnapshotMetadata};
    /// # use rawnode::raft::{Config, slog::{Discard, Logger, o}};
    /// # let mut storage = storage_mem::MemoryStorage::new();
    /// # let conf_state = ConfState { voters: vec![1], ..ConfState::default() };
    /// # let metadata = SnapshotMetadata { conf_state, ..SnapshotMetadata::default() };
    /// # storage.apply_snapshot(&Snapshot { metadata, ..Snapshot::default() }).unwrap();
    /// # let node = tickraft_node::restart_node(Config::new(1, 42), storage.clone(), Logger::root(Discard, o!()), None).unwrap();
    /// # // The application: writes, applies nothing, advances.
    /// # let application = std::thread::spawn({
    /// #     let node = node.clone();
    /// #     move || while let Ok(rd) = node.ready().recv() {
    /// #         Writer::append(&mut storage, rd.write()).unwrap();
    /// #         let _ = node.advance(rd.persisted());
    /// #     }
    /// # });
    /// # node.campaign().unwrap();
    /// # let ticking = node.clone();
    /// // A ticker that ends with the node:
    /// let ticker = std::thread::spawn(move || {
    ///     while ticking.tick().is_ok() {
    ///         std::thread::sleep(std::time::Duration::from_millis(10));
    ///     }
    /// });
    /// node.stop();
    /// ticker.join().unwrap();
    /// # application.join().unwrap();
    /// ```
    #[doc(alias = "Tick")]
    pub fn tick(&self) -> Result<(), Error> {
        match self.0.tickc.try_send(()) {
            Ok(()) => {
                self.0.runner.work();
                Ok(())
            }
            Err(TrySendError::Full(())) => {
                warn!(
                    self.0.logger,
                    "{:x} A tick missed to fire. Node blocks too long!", self.0.id
                );
                Ok(())
            }
            Err(TrySendError::Disconnected(())) => Err(self.0.end.error()),
        }
    }

    /// Starts an election. Go: Campaign
    ///
    /// # Errors
    /// How the node ended.
    #[doc(alias = "Campaign")]
    pub fn campaign(&self) -> Result<(), Error> {
        self.receive(Message::new(MessageType::MsgHup))
    }

    /// Proposes data. Does not wait for an answer: the proposal waits in a bounded queue until a leader is known, then the ticket tells whether it was appended,
    /// forwarded or dropped. Go: Propose
    ///
    /// Proposals that wait together are appended, and replicated, together. Those of one thread keep their order.
    ///
    /// # Errors
    /// [`Error::QueueFull`] when too many wait; how the node ended.
    #[doc(alias = "Propose")]
    pub fn propose(&self, data: Bytes) -> Result<Ticket, Error> {
        let (completer, promise) = promise(&self.0.end);
        let sent = self.enqueue(Proposal::Data(data, completer));
        promise.unless_lost(sent).map(Ticket::new)
    }

    /// Proposes each of these, in order, as [`propose`](Node::propose) does, and only then looks at what to do: they are appended, written and replicated together. One result for each.
    ///
    /// ```
    /// # use rawnode::raft::{Config, slog::{Discard, Logger, o}};
    /// # let storage = storage_mem::MemoryStorage::new();
    /// # let rn = rawnode::RawNode::new(Config::new(1, 42), storage, Logger::root(Discard, o!()), None).unwrap();
    /// use tickraft_node::{Error, NodeOptions};
    /// let node = NodeOptions { propose_queue: 2, ..NodeOptions::default() }.spawn(rn)?;
    /// let results = node.propose_batch(["a", "b", "c"].map(Into::into));
    /// assert!(results[0].is_ok() && results[1].is_ok());
    /// assert_eq!(results[2].as_ref().err(), Some(&Error::QueueFull));
    /// # node.stop();
    /// # Ok::<(), Error>(())
    /// ```
    pub fn propose_batch(
        &self,
        data: impl IntoIterator<Item = Bytes>,
    ) -> Vec<Result<Ticket, Error>> {
        let put = |data| {
            let (completer, promise) = promise(&self.0.end);
            let sent = self.put(Proposal::Data(data, completer));
            promise.unless_lost(sent).map(Ticket::new)
        };
        let mut results: Vec<_> = data.into_iter().map(put).collect();
        self.0.runner.work_on_proposals();
        if let Err(e) = self.still_running() {
            let lost = |r: Result<Ticket, Error>| r?.unless_lost(Err(e.clone()));
            results = results.into_iter().map(lost).collect();
        }
        results
    }

    /// Proposes a configuration change, in the queue of the proposals. When it is applied, call
    /// [`apply_conf_change`](Node::apply_conf_change). Go: ProposeConfChange
    ///
    /// The ticket tells of a leader's refusal ([`Error::Refused`]), which Go's caller never learns.
    ///
    /// # Errors
    /// As [`propose`](Node::propose).
    #[doc(alias = "ProposeConfChange")]
    pub fn propose_conf_change(&self, cc: &dyn ConfChangeI) -> Result<Ticket, Error> {
        let (entry_type, data) = marshal_conf_change(Some(cc));
        let entry = Entry {
            entry_type: Some(entry_type),
            ..Entry::proposal(data)
        };
        let (completer, promise) = promise(&self.0.end);
        let sent = self.enqueue(Proposal::ConfChange(entry, completer));
        promise.unless_lost(sent).map(Ticket::new)
    }

    /// Takes a message from another node, or a response of this node's storage threads. Blocks while the queue of messages is full; that of
    /// proposals (a `MsgProp` that a follower sent on) does not block. What the core makes of the message does not come back; where it refuses one it is
    /// logged, and given to whoever asked for it with [`NodeOptions::spawn_watched`]. Go: Step
    ///
    /// # Errors
    /// [`Error::Raft`] with [`raft::Error::StepLocalMsg`] for what only the node itself makes (Go ignores it silently); [`Error::QueueFull`] for a `MsgProp`, and for any
    /// message from [inside a turn](Error::Inside); how the node ended.
    #[doc(alias = "Step")]
    pub fn step(&self, m: Message) -> Result<(), Error> {
        not_local(&m)?;
        if m.msg_type == MessageType::MsgProp {
            return self.enqueue(Proposal::Forwarded(m.entries));
        }
        self.receive(m)
    }

    /// Where the Readies come from, one at a time: the next comes after [`advance`](Node::advance), or, with [`AsyncWrites`], when this one was taken. Closed when
    /// the node ended. Go: Ready
    ///
    /// One thread takes and handles them; wait for other things beside with `crossbeam_channel::select!`.
    #[must_use]
    #[doc(alias = "Ready")]
    pub fn ready(&self) -> &Receiver<M::Ready> {
        &self.0.readyc
    }

    /// Applies a committed configuration change; call it for each one among the entries to apply, before they count as applied, unless the
    /// application refuses the change. Blocks until the node has done it. The result belongs into the application's snapshots. Go: ApplyConfChange
    ///
    /// # Errors
    /// [`Error::Raft`] for a change that cannot be: nothing changed. How the node ended.
    #[doc(alias = "ApplyConfChange")]
    pub fn apply_conf_change(&self, cc: &dyn ConfChangeI) -> Result<ConfState, Error> {
        let (completer, promise) = promise(&self.0.end);
        let sent = self.request(&self.0.confc, ConfChangeRequest(cc.as_v2(), completer));
        promise.unless_lost(sent)?.wait()
    }

    /// Asks `lead` to hand over to `transferee`. Go: TransferLeadership
    ///
    /// # Errors
    /// How the node ended.
    #[doc(alias = "TransferLeadership")]
    pub fn transfer_leadership(&self, lead: u64, transferee: u64) -> Result<(), Error> {
        self.receive(Message {
            from: transferee,
            to: lead,
            ..Message::new(MessageType::MsgTransferLeader)
        })
    }

    /// Makes a follower forget its leader, without campaigning; see [`RawNode::forget_leader`]. Go: ForgetLeader
    ///
    /// # Errors
    /// How the node ended.
    #[doc(alias = "ForgetLeader")]
    pub fn forget_leader(&self) -> Result<(), Error> {
        self.receive(Message::new(MessageType::MsgForgetLeader))
    }

    /// Asks for an index such that a state machine which has applied it may serve reads asked for before. The answer is a
    /// [`ReadState`](raft::ReadState) with the same context in a later Ready; it may be lost without a word: ask again. Go: ReadIndex
    ///
    /// # Errors
    /// How the node ended.
    #[doc(alias = "ReadIndex")]
    pub fn read_index(&self, rctx: Bytes) -> Result<(), Error> {
        self.receive(Message {
            entries: Entry::proposal(rctx).into(),
            ..Message::new(MessageType::MsgReadIndex)
        })
    }

    /// Everything the node knows of itself and its peers, with all that this thread gave it before, but for ticks and proposals. Blocks until the node
    /// has answered. Go: Status
    ///
    /// After a fault it is the last that was known.
    ///
    /// # Errors
    /// How the node ended, if not by a fault.
    #[doc(alias = "Status")]
    pub fn status(&self) -> Result<Status, Error> {
        let (completer, promise) = promise(&self.0.end);
        let sent = self.request(&self.0.statusc, StatusRequest(completer));
        promise
            .unless_lost(sent)
            .and_then(|promise| promise.wait().map(|s| *s))
            .or_else(|e| self.0.end.status().ok_or(e))
    }

    /// Tells that a message could not be delivered: the leader probes that follower instead of streaming to it. Go: ReportUnreachable
    ///
    /// # Errors
    /// How the node ended.
    #[doc(alias = "ReportUnreachable")]
    pub fn report_unreachable(&self, id: u64) -> Result<(), Error> {
        self.receive(Message {
            from: id,
            ..Message::new(MessageType::MsgUnreachable)
        })
    }

    /// Tells how the sending of a `MsgSnap` ended. A failure must be reported: the leader sends that follower nothing until then. Go: ReportSnapshot
    ///
    /// # Errors
    /// How the node ended.
    #[doc(alias = "ReportSnapshot")]
    pub fn report_snapshot(&self, id: u64, status: SnapshotStatus) -> Result<(), Error> {
        self.receive(Message {
            from: id,
            reject: status == SnapshotStatus::Failure,
            ..Message::new(MessageType::MsgSnapStatus)
        })
    }

    /// Tells that the application could not write: the node ends with a [`Fault`]. Call it instead of `persisted` or `done`. Blocks until
    /// the thread has ended.
    ///
    /// ```
    /// # use rawnode::storage::Writer;
    /// # use rawnode::raftpb::{ConfState, Snapshot, SnapshotMetadata};
    /// # use rawnode::raft::{Config, slog::{Discard, Logger, o}};
    /// # let mut storage = storage_mem::MemoryStorage::new();
    /// # let conf_state = ConfState { voters: vec![1], ..ConfState::default() };
    /// # let metadata = SnapshotMetadata { conf_state, ..SnapshotMetadata::default() };
    /// # storage.apply_snapshot(&Snapshot { metadata, ..Snapshot::default() }).unwrap();
    /// # let node = tickraft_node::restart_node(Config::new(1, 42), storage.clone(), Logger::root(Discard, o!()), None).unwrap();
    /// # // The application: writes, applies nothing, advances.
    /// # let application = std::thread::spawn({
    /// #     let node = node.clone();
    /// #     move || while let Ok(rd) = node.ready().recv() {
    /// #         Writer::append(&mut storage, rd.write()).unwrap();
    /// #         let _ = node.advance(rd.persisted());
    /// #     }
    /// # });
    /// # node.campaign().unwrap();
    /// let broken = rawnode::storage::Error::other("the disk is gone");
    /// node.fail(broken.clone());
    /// assert_eq!(node.fault().map(|f| f.storage_error().clone()), Some(broken));
    /// assert!(matches!(node.propose("x".into()), Err(tickraft_node::Error::Fault(_))));
    /// # application.join().unwrap();
    /// ```
    pub fn fail(&self, e: storage::Error) {
        // A stop that is under way already counts as well.
        let _ = match inside() {
            true => self.0.stopc.try_send(Stop::Failed(e)).is_ok(),
            false => self.0.stopc.send(Stop::Failed(e)).is_ok(),
        };
        self.0.runner.work();
        self.0.join();
    }

    /// The storage's failure, if that is how the node ended.
    #[must_use]
    pub fn fault(&self) -> Option<Fault> {
        match self.0.end.get() {
            Some(Error::Fault(f)) => Some(f.clone()),
            _ => None,
        }
    }

    /// How the node ended, `None` while it runs: [`Error::Stopped`], [`Error::Fault`], [`Error::Panicked`] or [`Error::Misuse`].
    #[must_use]
    pub fn ended(&self) -> Option<Error> {
        self.0.end.get().cloned()
    }

    /// Stops the node and waits until its thread has ended, so that the storage is free. Every later call returns [`Error::Stopped`]; so
    /// do the tickets that have no answer yet. Stopping again does nothing. Go: Stop
    ///
    /// Called from inside a turn (by a storage, a logger, an application that is called with Readies) it does not wait.
    #[doc(alias = "Stop")]
    pub fn stop(&self) {
        self.0.stop();
    }

    /// Whether the thread has a stop to look at.
    #[cfg(test)]
    pub(crate) fn stop_is_pending(&self) -> bool {
        !self.0.stopc.is_empty()
    }

    /// How many turns were taken.
    #[cfg(test)]
    pub(crate) fn turns(&self) -> usize {
        self.0.runner.turns()
    }

    /// How often the node's thread woke.
    #[cfg(test)]
    pub(crate) fn wakings(&self) -> usize {
        self.0.runner.wakings()
    }

    /// Whether the node's thread waits for room for a Ready.
    #[cfg(test)]
    pub(crate) fn watches_for_room(&self) -> bool {
        self.0.runner.watches_for_room()
    }

    /// How many requests the thread has yet to look at.
    #[cfg(test)]
    pub(crate) fn requests_pending(&self) -> usize {
        self.0.confc.len()
    }

    fn receive(&self, m: Message) -> Result<(), Error> {
        self.put_message(m)?;
        self.0.runner.work();
        Ok(())
    }

    fn put_message(&self, m: Message) -> Result<(), Error> {
        let sent = match self.0.recvc.try_send(m) {
            Ok(()) => true,
            // Inside a turn nobody may wait: that node's turn may be what this one waits for.
            Err(TrySendError::Full(_)) if inside() => return Err(Error::QueueFull),
            Err(TrySendError::Full(m)) => {
                // What is there may be this thread's own.
                self.0.runner.work();
                self.0.recvc.send(m).is_ok()
            }
            Err(TrySendError::Disconnected(_)) => false,
        };
        if sent {
            Ok(())
        } else {
            Err(self.0.end.error())
        }
    }

    fn enqueue(&self, p: Proposal) -> Result<(), Error> {
        self.put(p)?;
        self.0.runner.work_on_proposals();
        self.still_running()
    }

    fn put(&self, p: Proposal) -> Result<(), Error> {
        self.0.propc.try_send(p).map_err(|e| match e {
            TrySendError::Full(_) => Error::QueueFull,
            TrySendError::Disconnected(_) => self.0.end.error(),
        })
    }

    /// For calls that wait for an answer.
    fn request<T>(&self, to: &Sender<T>, request: T) -> Result<(), Error> {
        if inside() {
            return Err(Error::Inside);
        }
        match to.send(request) {
            Ok(()) => {
                self.0.runner.work();
                self.still_running()
            }
            Err(SendError(_)) => Err(self.0.end.error()),
        }
    }

    /// Whether what was just sent will be seen. Whoever ends the node first sets the end and then empties the channels, with such a fence between:
    /// either that finds what was sent, or the sender finds the end. Then the sender waits for the thread, which waits for whoever ends the node, after which what was not
    /// answered never will be.
    fn still_running(&self) -> Result<(), Error> {
        fence(Ordering::SeqCst);
        match self.0.end.get() {
            None => Ok(()),
            Some(e) => {
                self.0.join();
                Err(e.clone())
            }
        }
    }
}

impl Node<SyncWrites> {
    /// Hands back a Ready that is written and applied; the next one comes after it. Go: Advance
    ///
    /// # Errors
    /// How the node ended. One that another node handed out ends this one with [`Error::Misuse`].
    #[doc(alias = "Advance")]
    pub fn advance(&self, persisted: Persisted) -> Result<(), Error> {
        match self.0.advancec.try_send(persisted) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) if inside() => return Err(Error::Inside),
            Err(TrySendError::Full(p)) => {
                let sent = self.0.advancec.send(p);
                sent.map_err(|SendError(_)| self.0.end.error())?;
            }
            Err(TrySendError::Disconnected(_)) => return Err(self.0.end.error()),
        }
        self.0.runner.work();
        Ok(())
    }
}

impl Node<AsyncWrites> {
    /// Steps those of a work's responses that are to this node and returns the others, to be sent. Blocks as [`step`](Node::step) does.
    ///
    /// # Errors
    /// How the node ended.
    #[must_use = "the messages that are left are to be sent"]
    pub fn deliver(&self, mut responses: Vec<Message>) -> Result<Vec<Message>, Error> {
        self.step_all(responses.extract_if(.., |m| m.to == self.0.id))?;
        Ok(responses)
    }

    /// As [`step`](Node::step) for each; they are looked at together.
    pub(crate) fn step_all(&self, responses: impl Iterator<Item = Message>) -> Result<(), Error> {
        let mut responses = responses;
        let result = responses.try_for_each(|m| {
            not_local(&m)?;
            self.put_message(m)
        });
        self.0.runner.work();
        result
    }
}

impl<M: StorageWrites> Shared<M> {
    fn stop(&self) {
        // Full: it is being stopped already. Disconnected: it is.
        let _ = self.stopc.try_send(Stop::Requested);
        self.runner.work();
        self.join();
    }

    /// Waits until the thread, which is ending, has ended.
    fn join(&self) {
        if inside() {
            return; // from inside a storage, logger, tracer or application: it ends when that returns
        }
        // Whoever comes second waits for the lock, and so for the end, too.
        if let Some(t) = self.thread.lock().take() {
            // The thread catches its own panics.
            let _ = t.join();
        }
    }
}

/// Goes with the last handle.
impl<M: StorageWrites> Drop for Shared<M> {
    fn drop(&mut self) {
        self.stop();
    }
}

impl<M: StorageWrites> std::fmt::Debug for Node<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node")
            .field("id", &self.0.id)
            .field("ended", &self.0.end.get())
            .finish_non_exhaustive()
    }
}
