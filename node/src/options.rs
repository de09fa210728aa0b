//! Starting a node. Go: StartNode, RestartNode in node.go

use crate::application::{Served, on_async_ready, on_ready};
use crate::error::Error;
use crate::node::Node;
use crate::refused::Refused;
use rawnode::raft::slog::Logger;
use rawnode::raft::storage::{self, Storage};
use rawnode::raft::{Config, Peer, Tracer};
use rawnode::{AsyncReady, AsyncWrites, Persisted, RawNode, Ready, StorageWrites};
use std::sync::Arc;

/// The sizes of a node's queues, which are allocated when it starts, and on which thread it works.
///
/// ```
/// # let logger = rawnode::raft::slog::Logger::root(rawnode::raft::slog::Discard, rawnode::raft::slog::o!());
/// use rawnode::RawNode;
/// use tickraft_node::{Error, NodeOptions};
///
/// let storage = storage_mem::MemoryStorage::new();
/// let rn = RawNode::new(rawnode::raft::Config::new(1, 42), storage, logger, None)?;
/// let node = NodeOptions { propose_queue: 1, ..NodeOptions::default() }.spawn(rn)?;
/// // Nobody leads yet, so proposals wait.
/// let waiting = node.propose("a".into())?;
/// assert_eq!(node.propose("b".into()).unwrap_err(), Error::QueueFull);
/// node.stop();
/// assert_eq!(waiting.wait(), Err(Error::Stopped));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeOptions {
    /// How many proposals may wait to be taken, beyond which [`Node::propose`] returns [`Error::QueueFull`]. At least 1 (0 counts as 1); 72 bytes each. Default 4096.
    pub propose_queue: usize,
    /// How many messages may wait to be taken, beyond which [`Node::step`] blocks. At least 1 (0 counts as 1); 136 bytes each. Default 1024.
    pub receive_queue: usize,
    /// Whether a call that finds nobody at work does what it brings on its own thread, rather than wake the node's: a step of the core, microseconds. It then reads the
    /// storage and logs on the caller's thread, so **hold no lock there that the storage, the logger or the tracer takes**. `false` leaves all to the node's thread, at the price of a wake-up each
    /// time. Default `true`.
    pub callers_run: bool,
}

impl Default for NodeOptions {
    fn default() -> Self {
        Self {
            propose_queue: 4096,
            receive_queue: 1024,
            callers_run: true,
        }
    }
}

impl NodeOptions {
    /// Gives a [`RawNode`] a thread. Go: newNode, run
    ///
    /// # Errors
    /// [`Error::Spawn`] when the system starts no thread.
    #[doc(alias = "newNode")]
    pub fn spawn<S, M>(self, rn: RawNode<S, M>) -> Result<Node<M>, Error>
    where
        S: Storage + Send + 'static,
        M: StorageWrites,
    {
        Node::spawn(rn, self, None, None)
    }

    /// As [`spawn`](NodeOptions::spawn), and asks what to do when the core refuses a peer's message: go on (`Ok`), or end the node with a [`Fault`](rawnode::raft::Fault) (`Err`). The
    /// function runs inside the turn, so that nothing comes after a refusal that it does not know of; it must not wait for the node.
    ///
    /// A refused message changed nothing, and one odd message is no reason to stop. But a peer whose commit index is beyond this node's log, at this node's term or later, counts on entries that this
    /// node has acknowledged: its storage is an old copy, and what it says next may cost the group a committed write.
    ///
    /// ```
    /// # use rawnode::raftpb::{ConfState, Message, MessageType, Snapshot, SnapshotMetadata};
    /// # let storage = storage_mem::MemoryStorage::new();
    /// # let conf_state = ConfState { voters: vec![1, 2], ..ConfState::default() };
    /// # let metadata = SnapshotMetadata { conf_state, ..SnapshotMetadata::default() };
    /// # storage.apply_snapshot(&Snapshot { metadata, ..Snapshot::default() })?;
    /// # let logger = rawnode::raft::slog::Logger::root(rawnode::raft::slog::Discard, rawnode::raft::slog::o!());
    /// use rawnode::{RawNode, raft, storage};
    /// use tickraft_node::{NodeOptions, Refused};
    ///
    /// let rn = RawNode::new(raft::Config::new(1, 42), storage, logger, None)?;
    /// let node = NodeOptions::default().spawn_watched(rn, |r: &Refused<'_>| match r.error {
    ///     raft::Error::CommitOutOfRange { .. } if r.term >= r.own_term => Err(storage::Error::other(format!("the storage is an old copy: {}", r.error))),
    ///     _ => Ok(()),
    /// })?;
    /// let heartbeat = Message { from: 2, to: 1, term: 5, commit: 9, ..Message::new(MessageType::MsgHeartbeat) };
    /// node.step(heartbeat)?;
    /// assert!(node.ready().recv().is_err(), "the node has ended");
    /// assert!(node.fault().is_some_and(|f| f.to_string().contains("an old copy")));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`spawn`](NodeOptions::spawn).
    pub fn spawn_watched<S, M>(
        self,
        rn: RawNode<S, M>,
        refused: impl FnMut(&Refused<'_>) -> Result<(), storage::Error> + Send + 'static,
    ) -> Result<Node<M>, Error>
    where
        S: Storage + Send + 'static,
        M: StorageWrites,
    {
        Node::spawn(rn, self, Some(Box::new(refused)), None)
    }

    /// As [`spawn`](NodeOptions::spawn), and calls the application with each [`Ready`] instead of handing it through [`Node::ready`], which only tells of the end then. It does what the Ready says and
    /// returns its [`Persisted`], for which the node is advanced; an error ends the node with a [`Fault`](rawnode::raft::Fault).
    ///
    /// Nothing is handed from thread to thread: with [`callers_run`](NodeOptions::callers_run) a proposal to a node that nobody is busy with is written, sent and, in a group of one, applied when
    /// [`propose`](Node::propose) returns. While one thread is inside, others leave what they bring in the queues and return; what came meanwhile is taken, and written, together. Who must not wait for a
    /// write (a ticker beside a slow disk, an asynchronous runtime) has it done by another thread: [`serve_async`](NodeOptions::serve_async), or Readies from the channel.
    ///
    /// The application must not wait for any node: calls that would, such as [`Node::status`], return [`Error::Inside`] there, and [`Node::step`] to a node whose queue is full returns
    /// [`Error::QueueFull`], a message lost. It may hold handles of its node and its peers; they live until the node is [stopped](Node::stop).
    ///
    /// ```
    /// # use rawnode::raftpb::{ConfState, Snapshot, SnapshotMetadata};
    /// # let storage = storage_mem::MemoryStorage::new();
    /// # let conf_state = ConfState { voters: vec![1], ..ConfState::default() };
    /// # let metadata = SnapshotMetadata { conf_state, ..SnapshotMetadata::default() };
    /// # storage.apply_snapshot(&Snapshot { metadata, ..Snapshot::default() })?;
    /// # let logger = rawnode::raft::slog::Logger::root(rawnode::raft::slog::Discard, rawnode::raft::slog::o!());
    /// use rawnode::{RawNode, raft::Config, raftpb::{Message, unmarshal_conf_change}, storage::Writer};
    /// use tickraft_node::NodeOptions;
    ///
    /// let rn = RawNode::new(Config::new(1, 42), storage.clone(), logger, None)?;
    /// let (applied, state) = std::sync::mpsc::channel();
    /// let mut log = storage;
    /// let send = |m: Message| unreachable!("a group of one has nobody to send {m:?} to");
    /// let node = NodeOptions::default().serve(rn, move |mut rd, node| {
    ///     rd.drain_messages().for_each(send);
    ///     Writer::append(&mut log, rd.write())?;
    ///     let mut p = rd.persisted();
    ///     p.drain_messages().for_each(send);
    ///     for e in p.committed_entries() {
    ///         match unmarshal_conf_change(e) {
    ///             Ok(Some(cc)) => drop(node.apply_conf_change(&cc)),
    ///             _ => drop(applied.send(e.data.clone())),
    ///         }
    ///     }
    ///     Ok(p)
    /// })?;
    /// node.campaign()?;
    /// node.propose("set x=1".into())?;
    /// assert_eq!(state.iter().nth(1), Some("set x=1".into()), "after the leader's own entry");
    /// node.stop();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`spawn`](NodeOptions::spawn).
    pub fn serve<S: Storage + Send + 'static>(
        self,
        rn: RawNode<S>,
        application: impl FnMut(Ready, &mut Served<'_>) -> Result<Persisted, storage::Error>
        + Send
        + 'static,
    ) -> Result<Node, Error> {
        Node::spawn(rn, self, None, Some(on_ready(application)))
    }

    /// As [`serve`](NodeOptions::serve) where nobody who calls the node is to wait for a disk: calls the application with each [`AsyncReady`], in order. It sends the messages and hands the write to an
    /// [`AppendThread`](crate::AppendThread); what it applies at once it [delivers](Served::deliver) at once, what it leaves to another thread that one [delivers](Node::deliver). An error ends the
    /// node with a [`Fault`](rawnode::raft::Fault). `refused` is asked as in [`spawn_watched`](NodeOptions::spawn_watched).
    ///
    /// As there, the application must not wait for any node: not for the append thread either, which may wait for this turn, nor for a lock that is held while a node is called.
    ///
    /// ```
    /// # use rawnode::raftpb::{ConfState, Message, Snapshot, SnapshotMetadata};
    /// # let storage = storage_mem::MemoryStorage::new();
    /// # let conf_state = ConfState { voters: vec![1], ..ConfState::default() };
    /// # let metadata = SnapshotMetadata { conf_state, ..SnapshotMetadata::default() };
    /// # storage.apply_snapshot(&Snapshot { metadata, ..Snapshot::default() })?;
    /// # let logger = rawnode::raft::slog::Logger::root(rawnode::raft::slog::Discard, rawnode::raft::slog::o!());
    /// # struct Host;
    /// # impl tickraft_node::AppendHost for Host {
    /// #     fn send(&mut self, _: Vec<Message>) { unreachable!("nobody to send to") }
    /// #     fn install(&mut self, _: &Snapshot) -> Result<(), Error> { unreachable!("nobody sends one") }
    /// # }
    /// use rawnode::{RawNode, raft::Config, storage::Error};
    /// use std::sync::{Arc, OnceLock};
    /// use tickraft_node::{AppendOptions, AppendThread, NodeOptions};
    ///
    /// let rn = RawNode::new_async(Config::new(1, 42), storage.clone(), logger, None)?;
    /// let (applied, state) = std::sync::mpsc::channel();
    /// // It needs the node first, which says nothing before it is told something.
    /// let append = Arc::<OnceLock<AppendThread>>::default();
    /// let writes = Arc::clone(&append);
    /// let node = NodeOptions::default().serve_async(rn, |_| Ok(()), move |rd, node| {
    ///     assert_eq!(rd.messages, [], "a group of one has nobody to send to");
    ///     if let (Some(work), Some(append)) = (rd.append, writes.get()) {
    ///         let _ = append.append(work); // an error says that the node is ending
    ///     }
    ///     if let Some(work) = rd.apply {
    ///         work.entries().iter().for_each(|e| drop(applied.send(e.data.clone())));
    ///         let left = node.deliver(work.done()).map_err(|e| Error::other(e.to_string()))?;
    ///         assert_eq!(left, [], "its response is to the node itself");
    ///     }
    ///     Ok(())
    /// })?;
    /// let thread = AppendThread::spawn(node.clone(), storage, Host, AppendOptions::default())?;
    /// assert!(append.set(thread).is_ok());
    /// node.campaign()?;
    /// node.propose("set x=1".into())?;
    /// assert_eq!(state.iter().nth(1), Some("set x=1".into()), "after the leader's own entry");
    /// node.stop();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`spawn`](NodeOptions::spawn).
    pub fn serve_async<S: Storage + Send + 'static>(
        self,
        rn: RawNode<S, AsyncWrites>,
        refused: impl FnMut(&Refused<'_>) -> Result<(), storage::Error> + Send + 'static,
        application: impl FnMut(AsyncReady, &mut Served<'_, AsyncWrites>) -> Result<(), storage::Error>
        + Send
        + 'static,
    ) -> Result<Node<AsyncWrites>, Error> {
        let on_ready = on_async_ready(application);
        Node::spawn(rn, self, Some(Box::new(refused)), Some(on_ready))
    }
}

/// Starts a member of a new group: appends a configuration change for each peer to an empty storage. Every member is started
/// with the same peers. Go: StartNode
///
/// # Errors
/// [`Error::Raft`] when the configuration will not do, there are no peers or the storage is not empty (Go panics, or goes on with a
/// warning); [`Error::Fault`]; [`Error::Spawn`].
#[doc(alias = "StartNode")]
pub fn start_node<S: Storage + Send + 'static>(
    config: Config,
    storage: S,
    peers: &[Peer],
    logger: Logger,
    tracer: Option<Arc<dyn Tracer>>,
) -> Result<Node, Error> {
    let mut rn = RawNode::new(config, storage, logger, tracer)?;
    rn.bootstrap(peers)?;
    NodeOptions::default().spawn(rn)
}

/// As [`start_node`], for a node whose storage writes and applications run beside it. Go: StartNode with Config.AsyncStorageWrites
///
/// # Errors
/// As [`start_node`].
pub fn start_node_async<S: Storage + Send + 'static>(
    config: Config,
    storage: S,
    peers: &[Peer],
    logger: Logger,
    tracer: Option<Arc<dyn Tracer>>,
) -> Result<Node<AsyncWrites>, Error> {
    let mut rn = RawNode::new_async(config, storage, logger, tracer)?;
    rn.bootstrap(peers)?;
    NodeOptions::default().spawn(rn)
}

/// Starts a node from what its storage holds, its configuration included. Set [`Config::applied`] to what the state machine has
/// applied already. Go: RestartNode
///
/// # Errors
/// [`Error::Raft`] when the configuration will not do or the storage contradicts itself (Go panics); [`Error::Fault`]; [`Error::Spawn`].
///
/// ```
/// # let logger = rawnode::raft::slog::Logger::root(rawnode::raft::slog::Discard, rawnode::raft::slog::o!());
/// use rawnode::raft::Config;
/// let storage = storage_mem::MemoryStorage::new();
/// let bad = Config { heartbeat_tick: 0, ..Config::new(1, 42) };
/// let e = tickraft_node::restart_node(bad, storage, logger, None).unwrap_err();
/// assert_eq!(e.to_string(), "heartbeat tick must be greater than 0");
/// ```
#[doc(alias = "RestartNode")]
pub fn restart_node<S: Storage + Send + 'static>(
    config: Config,
    storage: S,
    logger: Logger,
    tracer: Option<Arc<dyn Tracer>>,
) -> Result<Node, Error> {
    NodeOptions::default().spawn(RawNode::new(config, storage, logger, tracer)?)
}

/// As [`restart_node`], for a node whose storage writes and applications run beside it. Go: RestartNode with
/// Config.AsyncStorageWrites
///
/// # Errors
/// As [`restart_node`].
pub fn restart_node_async<S: Storage + Send + 'static>(
    config: Config,
    storage: S,
    logger: Logger,
    tracer: Option<Arc<dyn Tracer>>,
) -> Result<Node<AsyncWrites>, Error> {
    NodeOptions::default().spawn(RawNode::new_async(config, storage, logger, tracer)?)
}
