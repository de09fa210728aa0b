//! The thread that writes: owns the Writer, syncs once for all that waits, then says so. Go: doc.go (the append thread of AsyncStorageWrites)

mod thread;

use crate::error::Error;
use crate::node::Node;
use crate::runner::inside;
use parking_lot::{Condvar, Mutex};
use rawnode::raft::raftpb::{Message, Snapshot};
use rawnode::raft::storage::{self, Writer};
use rawnode::{AppendWork, AsyncWrites};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;
use thread::AppendLoop;

/// What an [`AppendThread`] asks of the application. Called on that thread, so each call holds up the writes after it.
pub trait AppendHost: Send + 'static {
    /// Sends messages to peers: what they say is durable. In order, and without waiting for the peers.
    fn send(&mut self, messages: Vec<Message>);

    /// A leader's snapshot, durable now. It counts as applied when this returns, so that is when the state machine has loaded it: hand it to the apply thread, behind the works
    /// that it has, and wait.
    ///
    /// # Errors
    /// It cannot be loaded: the node ends with this fault, and the leader does not hear that it has arrived.
    fn install(&mut self, snapshot: &Snapshot) -> Result<(), storage::Error>;

    /// The disk is full and the write waits for room, or, `false`, there is room again. Also in [`AppendMonitor::is_full`].
    fn space(&mut self, full: bool) {
        let _ = full;
    }
}

/// How an [`AppendThread`] works.
///
/// ```
/// use tickraft_node::AppendOptions;
/// assert_eq!(AppendOptions::default().queue, 65_536);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppendOptions {
    /// How many works may wait, beyond which [`AppendThread::append`] blocks, and with it whoever takes the Readies from the channel. Large, because heartbeats are in later Readies: long before,
    /// refuse proposals by [`AppendMonitor::queued`]. At least 1 (0 counts as 1); 16 bytes each, allocated at the start. Default 65,536.
    pub queue: usize,
    /// The pause before a full disk is tried again; doubled each time. Default 10 ms.
    pub retry: Duration,
    /// The longest such pause. Default 1 s.
    pub retry_max: Duration,
}

impl Default for AppendOptions {
    fn default() -> Self {
        Self {
            queue: 65_536,
            retry: Duration::from_millis(10),
            retry_max: Duration::from_secs(1),
        }
    }
}

/// A thread that does the [`AppendWork`]s of a node: takes all that wait, appends each, syncs once for all, then calls [`done`](AppendWork::done) in order, gives the node its
/// responses and the others to [`AppendHost::send`]. So ticks and heartbeats never wait for a disk, and many proposals share a sync. A batch without a
/// [`must_sync`](storage::Write::must_sync) is not synced.
///
/// - **A full disk is waited on.** After [`storage::Error::NoSpace`] the same call is repeated with growing pauses until there is room, the node ends or this is stopped. What was written before it is
///   synced and done at once; what comes after waits its turn. The node ticks, answers heartbeats and serves reads meanwhile; the application refuses proposals, and drops messages with
///   entries, while [`is_full`](AppendMonitor::is_full).
/// - **Any other error ends the node** with a [`Fault`](rawnode::raft::Fault), before anything that depends on the write is said. A panic, in the writer or in the host, likewise.
///
/// Dropping it stops it, as [`stop`](AppendThread::stop) does, but inside a turn nobody waits for the thread. The crate's front page has the whole loop.
#[derive(Debug)]
pub struct AppendThread {
    /// `None` once it is being stopped.
    queue: Option<SyncSender<AppendWork>>,
    node: Node<AsyncWrites>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl AppendThread {
    /// Starts the thread for this node.
    ///
    /// # Errors
    /// [`Error::Spawn`] when the system starts no thread.
    pub fn spawn<W, H>(
        node: Node<AsyncWrites>,
        writer: W,
        host: H,
        options: AppendOptions,
    ) -> Result<Self, Error>
    where
        W: Writer + Send + 'static,
        H: AppendHost,
    {
        // Of the standard library: crossbeam's receiver yields its processor some times before it sleeps, which costs more than the wait where many threads share few processors.
        let (queue, works) = sync_channel(options.queue.max(1));
        let shared = Arc::<Shared>::default();
        let append = AppendLoop::new(
            node.clone(),
            writer,
            host,
            works,
            Arc::clone(&shared),
            options,
        );
        let thread = std::thread::Builder::new()
            .name(format!("append-{:x}", node.id()))
            .spawn(move || append.main())
            .map_err(|e| Error::Spawn(Arc::new(e)))?;
        Ok(Self {
            queue: Some(queue),
            node,
            shared,
            thread: Some(thread),
        })
    }

    /// Hands over a work; in the order in which the node handed them out. Blocks while [`AppendOptions::queue`] works wait; but inside a turn, in an application that is
    /// [called with Readies](crate::NodeOptions::serve_async), never: there it takes more than that.
    ///
    /// # Errors
    /// How the node ended.
    pub fn append(&self, work: AppendWork) -> Result<(), Error> {
        // Counted first, so that the thread never counts one down that was not counted up.
        self.shared.queued.fetch_add(1, Ordering::Relaxed);
        let taken = self.queue.as_ref().is_some_and(|q| self.put(q, work));
        if !taken {
            self.shared.queued.fetch_sub(1, Ordering::Relaxed);
            // The thread goes when the node has ended.
            return Err(self.node.ended().unwrap_or(Error::Stopped));
        }
        Ok(())
    }

    /// False when the thread is gone.
    fn put(&self, queue: &SyncSender<AppendWork>, work: AppendWork) -> bool {
        let mut overflow = self.shared.overflow.lock();
        if !overflow.is_empty() {
            overflow.push_back(work);
            return true;
        }
        if !inside() {
            drop(overflow);
            return queue.send(work).is_ok();
        }
        match queue.try_send(work) {
            Ok(()) => true,
            // The thread may wait for this very turn.
            Err(TrySendError::Full(work)) => {
                overflow.push_back(work);
                true
            }
            Err(TrySendError::Disconnected(_)) => false,
        }
    }

    /// Tells from any thread how the writes go.
    #[must_use]
    pub fn monitor(&self) -> AppendMonitor {
        AppendMonitor(Arc::clone(&self.shared))
    }

    /// Stops the node, which is nothing without this thread, writes what waits (unless the disk is full), and returns when the thread has ended: the Writer is dropped then. An
    /// [`install`](AppendHost::install) under way is waited for, so end what it waits for first.
    ///
    /// # Errors
    /// How the node ended, if not by being stopped.
    pub fn stop(mut self) -> Result<(), Error> {
        self.end();
        match self.node.ended() {
            None | Some(Error::Stopped) => Ok(()),
            Some(e) => Err(e),
        }
    }

    fn end(&mut self) {
        self.shared.stop();
        self.node.stop();
        self.queue = None;
        // Inside a turn nobody waits: the thread may wait for that turn.
        if let Some(t) = self.thread.take()
            && t.thread().id() != std::thread::current().id()
            && !inside()
        {
            // The thread catches its own panics.
            let _ = t.join();
        }
    }
}

impl Drop for AppendThread {
    fn drop(&mut self) {
        self.end();
    }
}

/// How the writes of an [`AppendThread`] go. Cheap to clone, and to ask: no locks.
#[derive(Clone, Debug)]
pub struct AppendMonitor(Arc<Shared>);

impl AppendMonitor {
    /// Whether a write waits for room on the disk. Refuse proposals, and drop messages that bring entries, until it does not.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.0.full.load(Ordering::Acquire)
    }

    /// How many works were handed over and are not done.
    #[must_use]
    pub fn queued(&self) -> usize {
        usize::try_from(self.0.queued.load(Ordering::Relaxed)).unwrap_or(usize::MAX)
    }

    /// How many works are done.
    #[must_use]
    pub fn works(&self) -> u64 {
        self.0.works.load(Ordering::Relaxed)
    }

    /// How many syncs they took.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.0.syncs.load(Ordering::Relaxed)
    }
}

/// What the thread and its handles share.
#[derive(Debug, Default)]
struct Shared {
    full: AtomicBool,
    queued: AtomicU64,
    works: AtomicU64,
    syncs: AtomicU64,
    /// Works that come after those in the queue, which had no room for them. While there are any the queue takes no others, so that they stay in order; and it is not empty, so that the thread looks here after
    /// it has emptied that.
    overflow: Mutex<VecDeque<AppendWork>>,
    stopping: Mutex<bool>,
    wake: Condvar,
}

impl Shared {
    fn stop(&self) {
        *self.stopping.lock() = true;
        self.wake.notify_all();
    }

    /// Waits so long; true when it is being stopped.
    fn pause(&self, pause: Duration) -> bool {
        let mut stopping = self.stopping.lock();
        if !*stopping {
            self.wake.wait_for(&mut stopping, pause);
        }
        *stopping
    }
}
