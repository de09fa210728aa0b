//! What all threads of a transport share. Go: rafthttp.Transport's fields

use crate::peer::Peer;
use crate::sockets::Sockets;
use crate::status::{RefusalCounters, Refused};
use crate::{Config, Error, Handler, Refusal};
use crossbeam_channel::{Receiver, Sender};
use parking_lot::{Mutex, RwLock};
use raftpb::SnapshotStatus;
use slog::Logger;
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Instant;

/// What the report thread tells the application.
pub(crate) enum Report {
    Unreachable(Arc<Peer>),
    Snapshot(u64, SnapshotStatus),
    Refused(u64, Refusal),
    Stop,
}

pub(crate) struct Core {
    pub(crate) config: Config,
    pub(crate) handler: Arc<dyn Handler>,
    pub(crate) log: Logger,
    pub(crate) started: Instant,
    /// By id. Held for reading over a whole `send`.
    pub(crate) peers: RwLock<Vec<Arc<Peer>>>,
    pub(crate) sockets: Arc<Sockets>,
    pub(crate) refusals: RefusalCounters,
    pub(crate) unknown_target: AtomicU64,
    pub(crate) local_type: AtomicU64,
    /// Callbacks about sending never run on the sender's thread: the sender may hold the lock that they take. Unbounded, but there is at most one report of
    /// unreachability a peer in it, one a snapshot, and one refusal an attempt to connect.
    pub(crate) reports: Sender<Report>,
    threads: Mutex<Threads>,
    uids: AtomicU64,
}

#[derive(Default)]
struct Threads {
    stopping: bool,
    handles: Vec<JoinHandle<()>>,
}

thread_local! {
    /// The transport that this thread works for, as the address of its core; 0 for none.
    static WORKS_FOR: Cell<usize> = const { Cell::new(0) };
}

impl Core {
    pub(crate) fn new(
        config: Config,
        handler: Arc<dyn Handler>,
        log: Logger,
    ) -> (Arc<Self>, Receiver<Report>) {
        let (reports, receiver) = crossbeam_channel::unbounded();
        let core = Self {
            config,
            handler,
            log,
            started: Instant::now(),
            peers: RwLock::default(),
            sockets: Arc::default(),
            refusals: RefusalCounters::default(),
            unknown_target: AtomicU64::new(0),
            local_type: AtomicU64::new(0),
            reports,
            threads: Mutex::default(),
            uids: AtomicU64::new(0),
        };
        (Arc::new(core), receiver)
    }

    /// A number for a peer object: an id that is removed and added again gets another.
    pub(crate) fn next_uid(&self) -> u64 {
        self.uids.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn peer(&self, id: u64) -> Option<Arc<Peer>> {
        find(&self.peers.read(), id).cloned()
    }

    pub(crate) fn refused(&self, kind: Refused, from: u64, why: &str) {
        self.refusals
            .count(&self.log, self.started, kind, from, why);
    }

    pub(crate) fn report(&self, r: Report) {
        // It fails only when the report thread has ended: nobody is to be told any more.
        let _ = self.reports.send(r);
    }

    /// Reports that messages to the peer were lost, unless such a report is still on its way.
    pub(crate) fn report_unreachable(&self, peer: &Arc<Peer>) {
        if !peer.report_pending.swap(true, Ordering::AcqRel) {
            self.report(Report::Unreachable(Arc::clone(peer)));
        }
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.threads.lock().stopping
    }

    /// Starts a thread that `stop` joins.
    ///
    /// # Errors
    /// [`Error::Stopped`], or the system's.
    pub(crate) fn spawn(
        self: &Arc<Self>,
        name: String,
        f: impl FnOnce(&Arc<Core>) + Send + 'static,
    ) -> Result<(), Error> {
        let core = Arc::clone(self);
        let mut threads = self.threads.lock();
        if threads.stopping {
            return Err(Error::Stopped);
        }
        let handle = thread::Builder::new()
            .name(name)
            .spawn(move || {
                WORKS_FOR.set(core.address());
                f(&core);
            })
            .map_err(|e| Error::io("start a thread", e))?;
        // Finished ones are dropped here, so that the list stays as long as the number of live connections.
        threads.handles.retain(|h| !h.is_finished());
        threads.handles.push(handle);
        Ok(())
    }

    fn address(self: &Arc<Self>) -> usize {
        Arc::as_ptr(self) as usize
    }

    /// Whether the calling thread is one of ours: a callback's.
    pub(crate) fn is_own_thread(self: &Arc<Self>) -> bool {
        WORKS_FOR.get() == self.address()
    }

    /// No thread starts any more.
    pub(crate) fn stop_spawning(&self) {
        self.threads.lock().stopping = true;
    }

    /// Waits for all threads.
    pub(crate) fn join(&self) {
        loop {
            let handles = std::mem::take(&mut self.threads.lock().handles);
            if handles.is_empty() {
                return;
            }
            for h in handles {
                if h.join().is_err() {
                    slog::error!(self.log, "a thread of the transport panicked");
                }
            }
        }
    }
}

/// The peer with an id, in a list that is sorted by id.
pub(crate) fn find(peers: &[Arc<Peer>], id: u64) -> Option<&Arc<Peer>> {
    let at = peers.binary_search_by_key(&id, |p| p.id).ok()?;
    peers.get(at)
}

/// The report thread: tells the application what became of messages.
pub(crate) fn report_loop(core: &Arc<Core>, reports: &Receiver<Report>) {
    while let Ok(r) = reports.recv() {
        match r {
            Report::Unreachable(peer) => {
                // Before the call: what is lost from now on is reported anew.
                peer.report_pending.store(false, Ordering::Release);
                core.handler.report_unreachable(peer.id);
            }
            Report::Snapshot(id, status) => core.handler.report_snapshot(id, status),
            Report::Refused(id, refusal) => core.handler.refused(id, &refusal),
            Report::Stop => return,
        }
    }
}
