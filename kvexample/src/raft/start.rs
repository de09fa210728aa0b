//! Starting a node and its threads. Go: newRaftNode, startRaft in raft.go

use super::driver::{Driver, restore};
use super::peers::Peers;
use super::waiters::Waiters;
use super::{Exit, Leadership, RaftHandle, Shared, reads};
use crate::config::ServerConfig;
use crate::error::Error;
use crate::httpapi::MAX_KEY;
use crate::kvstore::{KvStore, MemberContext, Origin, State};
use crossbeam_channel::{RecvTimeoutError, Sender};
use node::raft::{Config, Peer};
use node::rawnode::RawNode;
use node::{Node, NodeOptions};
use parking_lot::{Mutex, RwLock};
use slog::{Logger, info};
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use storage::{Storage, Writer};
use tokio::sync::watch;
use transport_tcp::Transport;

/// A running node: its handle, and what stops it.
pub(crate) struct RunningNode {
    pub(crate) handle: RaftHandle,
    transport: Arc<Transport>,
    stop_ticking: Option<Sender<()>>,
    threads: Vec<JoinHandle<()>>,
}

/// Starts a node on its storage: anew from the list of members if the storage is empty and it does not join, else from what is stored. Within a tokio runtime. Go: startRaft
#[doc(alias = "startRaft")]
pub(crate) fn start<S>(
    config: &ServerConfig,
    raft_listener: TcpListener,
    storage: S,
) -> Result<RunningNode, Error>
where
    S: Storage + Writer + Clone + Send + 'static,
{
    config.validate()?;
    let log = config.logger.clone();
    let restored = Restored::read(&storage)?;
    let fresh = restored.fresh;
    let node = new_node(config, &storage, &restored, &log)?;
    let snapshot = restored.state.index();
    let (asking, answering) = reads::channels();
    let shared = Arc::new(shared(config, node, restored, asking, log));

    let handler = Arc::new(Peers(Arc::clone(&shared)));
    let transport = Transport::with_listener(
        transport_config(config),
        raft_listener,
        handler,
        &shared.log,
    );
    let transport = Arc::new(transport.map_err(start_error)?);
    *shared.transport.write() = Some(Arc::clone(&transport));
    let mut running = RunningNode {
        handle: RaftHandle(Arc::clone(&shared)),
        transport,
        stop_ticking: None,
        threads: Vec::new(),
    };
    match running.begin(config, storage, snapshot, fresh) {
        Ok(()) => {
            tokio::spawn(reads::run(shared, answering));
            Ok(running)
        }
        Err(e) => {
            running.stop();
            Err(e)
        }
    }
}

/// What the storage held.
struct Restored {
    state: State,
    conf: raftpb::ConfState,
    fresh: bool,
}

impl Restored {
    fn read<S: Storage>(storage: &S) -> Result<Self, Error> {
        let fault = |e: storage::Error| start_error(e);
        let (hard_state, conf) = storage.initial_state().map_err(fault)?;
        let snapshot = storage.snapshot().map_err(fault)?;
        let fresh = hard_state.is_empty()
            && conf.is_empty()
            && snapshot.is_empty()
            && storage.last_index().map_err(fault)? == 0;
        let state = match snapshot.is_empty() {
            true => State::default(),
            false => restore(&snapshot).map_err(Error::Stopped)?,
        };
        Ok(Self { state, conf, fresh })
    }
}

fn new_node<S: Storage + Clone + Send + 'static>(
    config: &ServerConfig,
    storage: &S,
    restored: &Restored,
    log: &Logger,
) -> Result<Node, Error> {
    let raft = raft_config(config, restored.state.index());
    let mut rn = RawNode::new(raft, storage.clone(), log.clone(), None).map_err(start_error)?;
    if restored.fresh && !config.join {
        rn.bootstrap(&first_members(config)).map_err(start_error)?;
    }
    let options = NodeOptions {
        propose_queue: config.limits.requests,
        ..NodeOptions::default()
    };
    options.spawn(rn).map_err(start_error)
}

fn raft_config(config: &ServerConfig, applied: u64) -> Config {
    Config {
        election_tick: config.election_ticks,
        heartbeat_tick: config.heartbeat_ticks,
        applied,
        max_size_per_msg: 1 << 20,
        max_committed_size_per_ready: 4 << 20,
        max_uncommitted_entries_size: 1 << 30,
        max_inflight_msgs: 512,
        max_inflight_bytes: 32 << 20,
        check_quorum: true,
        pre_vote: true,
        step_down_on_removal: true,
        ..Config::new(config.id, config.seed)
    }
}

/// The entries that a new cluster's log begins with carry the addresses, so that all nodes have them from the start; sorted, so
/// that all begin alike.
fn first_members(config: &ServerConfig) -> Vec<Peer> {
    let mut members = config.members.clone();
    members.sort_unstable();
    let peer = |(id, addr): &(u64, String)| {
        let context = MemberContext {
            origin: Origin::default(),
            request: None,
            id: *id,
            addr,
            incarnation: 0,
        };
        Peer {
            id: *id,
            context: context.encode(),
        }
    };
    members.iter().map(peer).collect()
}

fn transport_config(config: &ServerConfig) -> transport_tcp::Config {
    // The largest entry, or the largest batch of smaller ones, with room for what is around them.
    let largest = config.limits.body.max(1 << 20) + MAX_KEY + (1 << 20);
    transport_tcp::Config {
        incarnation: config.incarnation,
        address: config.raft_addr.clone(),
        max_message_bytes: u32::try_from(largest).unwrap_or(u32::MAX).max(64 << 20),
        ..transport_tcp::Config::new(config.cluster, config.id)
    }
}

fn shared(
    config: &ServerConfig,
    node: Node,
    restored: Restored,
    reads: reads::Asking,
    log: Logger,
) -> Shared {
    let index = restored.state.index();
    Shared {
        id: config.id,
        node,
        store: KvStore::new(restored.state),
        log,
        election_timeout: config.election_timeout(),
        tick: config.tick,
        request_timeout: config.request_timeout,
        snapshot_entries: config.snapshot_entries,
        catch_up_entries: config.catch_up_entries,
        transport: RwLock::new(None),
        conf: RwLock::new(restored.conf),
        snapshot: AtomicU64::new(index),
        installed: AtomicU64::new(0),
        sending: super::snapshots::Sending::default(),
        waiters: Waiters::new(),
        applied: watch::Sender::new(index),
        leadership: watch::Sender::new(Leadership::default()),
        interruptions: watch::Sender::new(0),
        exit: watch::Sender::new(None),
        draining: AtomicBool::new(false),
        reads,
        changing: tokio::sync::Mutex::new(()),
        incarnations: Mutex::new(BTreeMap::new()),
        admitting: Mutex::new(()),
    }
}

/// The peers to begin with: those that are stored, or else those of the list.
fn connect(
    config: &ServerConfig,
    shared: &Shared,
    transport: &Transport,
    fresh: bool,
) -> Result<(), Error> {
    let stored = shared.store.read(|s| {
        s.members()
            .iter()
            .map(|(id, m)| (id, m.addr.clone()))
            .collect::<Vec<_>>()
    });
    let peers = if stored.is_empty() {
        &config.members
    } else {
        &stored
    };
    info!(shared.log, "starting"; "peers" => ?peers, "joins" => config.join, "restarts" => !fresh);
    for (id, addr) in peers.iter().filter(|p| p.0 != config.id) {
        transport.add_peer(*id, addr).map_err(start_error)?;
    }
    Ok(())
}

fn spawn_driver<S>(shared: &Arc<Shared>, driver: Driver<S>) -> Result<JoinHandle<()>, Error>
where
    S: Storage + Writer + Clone + Send + 'static,
{
    let shared = Arc::clone(shared);
    let thread = std::thread::Builder::new().name(format!("raft-{}", shared.id));
    thread
        .spawn(move || {
            // A panic here is a bug of ours; the others must see a node that has stopped rather than one that hangs.
            let exit = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| driver.run()))
                .unwrap_or_else(|_| Exit::Failed("the node's loop panicked".into()));
            shared.end(exit);
            shared.waiters.close();
        })
        .map_err(start_error)
}

/// Ticks from a thread of its own: a slow write must not stop the clock.
fn spawn_ticker(
    node: &Node,
    id: u64,
    tick: Duration,
) -> Result<(Sender<()>, JoinHandle<()>), Error> {
    let (stop, stopped) = crossbeam_channel::bounded::<()>(1);
    let node = node.clone();
    let thread = std::thread::Builder::new().name(format!("tick-{id}"));
    let run = move || {
        let mut next = Instant::now() + tick;
        while let Err(RecvTimeoutError::Timeout) = stopped.recv_deadline(next) {
            if node.tick().is_err() {
                return; // The node has ended.
            }
            // After a pause (a suspended machine) the ticks that were missed stay missed.
            next = (next + tick).max(Instant::now());
        }
    };
    Ok((stop, thread.spawn(run).map_err(start_error)?))
}

fn start_error(e: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Start(Box::new(e))
}

impl RunningNode {
    fn begin<S>(
        &mut self,
        config: &ServerConfig,
        storage: S,
        snapshot: u64,
        fresh: bool,
    ) -> Result<(), Error>
    where
        S: Storage + Writer + Clone + Send + 'static,
    {
        let shared = &self.handle.0;
        connect(config, shared, &self.transport, fresh)?;
        let driver = Driver::new(
            Arc::clone(shared),
            Arc::clone(&self.transport),
            storage,
            snapshot,
        );
        self.threads.push(spawn_driver(shared, driver)?);
        let (stop, ticker) = spawn_ticker(&shared.node, config.id, config.tick)?;
        self.stop_ticking = Some(stop);
        self.threads.push(ticker);
        Ok(())
    }

    /// Stops all threads and waits for them: the storage and the sockets are free then. Blocks.
    pub(crate) fn stop(mut self) -> Exit {
        let shared = &self.handle.0;
        // Dropping it ends the ticker.
        self.stop_ticking.take();
        shared.node.stop();
        self.transport.stop();
        for thread in self.threads.drain(..) {
            // Both threads report their own panics.
            let _ = thread.join();
        }
        shared.end(Exit::Stopped);
        shared.transport.write().take();
        let exit = shared.exit.borrow().clone();
        exit.unwrap_or(Exit::Stopped)
    }
}
