//! Starting a node and its threads. Go: newRaftNode, startRaft in raft.go

use super::apply::{Applier, Applies, Apply, Machine, restore};
use super::driver::{Driver, Host, Readies};
use super::peers::{Peers, lost};
use super::waiters::Waiters;
use super::{Disk, Exit, Leadership, RaftHandle, RaftNode, Shared, first, reads, space};
use crate::config::ServerConfig;
use crate::data::DataDir;
use crate::error::Error;
use crate::httpapi::MAX_KEY;
use crate::kvstore::{KvStore, MemberContext, Origin, State};
use crossbeam_channel::{RecvTimeoutError, Sender};
use node::raft::{self, Config, Peer};
use node::rawnode::RawNode;
use node::{AppendOptions, AppendThread, NodeOptions, Refused};
use parking_lot::{Mutex, RwLock};
use slog::{Logger, info, warn};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::mpsc::Receiver;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use storage_wal::storage::{self, Storage};
use storage_wal::{DiskStorage, OpenReport};
use tokio::sync::watch;
use transport_tcp::Transport;

/// How often a full disk is tried again.
const RETRY_WHEN_FULL: Duration = Duration::from_millis(200);

/// A running node: its handle, and what stops it.
pub(crate) struct RunningNode {
    pub(crate) handle: RaftHandle,
    transport: Arc<Transport>,
    stop_ticking: Option<Sender<()>>,
    threads: Vec<JoinHandle<()>>,
}

/// Starts a node on its directory: anew from the list of members if the directory is empty and it does not join, else from what is stored. Within a tokio runtime. Go: startRaft
#[doc(alias = "startRaft")]
pub(crate) async fn start(
    config: &ServerConfig,
    raft_listener: TcpListener,
    data: DataDir,
) -> Result<RunningNode, Error> {
    config.validate()?;
    let log = config.logger.clone();
    let DataDir { disk, report, .. } = data;
    if let Some(torn) = &report.recovered.torn {
        warn!(log, "the end of the log was an unfinished write and was cut off"; "torn" => ?torn);
    }
    let shared_disk = Arc::new(Disk::new(disk.clone()));
    let peers = Arc::new(Peers::new(Arc::clone(&shared_disk), log.clone()));
    let handler = Arc::clone(&peers);
    let wire = transport_config(config, &report);
    let transport = Transport::with_listener(wire.clone(), raft_listener, handler, &log);
    let transport = Arc::new(transport.map_err(start_error)?);
    let begins = !report.bootstrapped && !config.join;
    if begins {
        first::ask_majority(config, &wire, &report).await?;
    }

    let restored = Restored::read(&disk)?;
    let readies = Arc::<Readies>::default();
    let node = new_node(config, &disk, &restored, begins, &log, &readies)?;
    let snapshot = restored.state.index();
    let (asking, answering) = reads::channels();
    let shared = Arc::new(shared(
        config,
        node,
        restored,
        asking,
        shared_disk,
        Arc::clone(&transport),
        &report,
    ));
    peers.open(&shared);
    let mut running = RunningNode {
        handle: RaftHandle(Arc::clone(&shared)),
        transport,
        stop_ticking: None,
        threads: Vec::new(),
    };
    match running.begin(config, disk, snapshot, &report, readies) {
        Ok(()) => {
            tokio::spawn(reads::run(Arc::clone(&shared), answering));
            tokio::spawn(space::watch(shared));
            Ok(running)
        }
        Err(e) => {
            running.stop(false);
            Err(e)
        }
    }
}

/// What the storage held.
struct Restored {
    state: State,
    conf: raftpb::ConfState,
}

impl Restored {
    fn read(disk: &DiskStorage) -> Result<Self, Error> {
        let (_, conf) = disk.initial_state().map_err(start_error)?;
        let snapshot = disk.load_snapshot().map_err(start_error)?;
        let state = match snapshot.is_empty() {
            true => State::default(),
            false => restore(&snapshot).map_err(Error::Stopped)?,
        };
        Ok(Self { state, conf })
    }
}

fn new_node(
    config: &ServerConfig,
    disk: &DiskStorage,
    restored: &Restored,
    begins: bool,
    log: &Logger,
    readies: &Arc<Readies>,
) -> Result<RaftNode, Error> {
    let raft = raft_config(config, restored.state.index());
    let mut rn = RawNode::new_async(raft, disk.clone(), log.clone(), None).map_err(start_error)?;
    if begins {
        rn.bootstrap(&first_members(config)).map_err(start_error)?;
    }
    let options = NodeOptions {
        propose_queue: config.limits.requests,
        ..NodeOptions::default()
    };
    let id = config.id;
    let readies = Arc::clone(readies);
    let watched = move |r: &Refused<'_>| old_copy(id, r);
    let node = options.serve_async(rn, watched, move |rd, node| readies.take(rd, node));
    node.map_err(start_error)
}

/// A peer of this term counts on entries that this node must have acknowledged, and does not have: the copy of a directory from its last session, which no count of
/// sessions tells.
fn old_copy(id: u64, r: &Refused<'_>) -> Result<(), storage::Error> {
    match r.error {
        raft::Error::CommitOutOfRange {
            commit, last_index, ..
        } if r.term >= r.own_term => {
            let why = format!(
                "node {} counts on entry {commit}, and this disk, an older copy, ends at {last_index}",
                r.from
            );
            Err(storage::Error::other(lost(id, &why)))
        }
        _ => Ok(()),
    }
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

fn transport_config(config: &ServerConfig, report: &OpenReport) -> transport_tcp::Config {
    let session = transport_tcp::Session {
        count: report.session.count,
        random: report.session.random,
    };
    // The largest entry, or the largest batch of smaller ones, with room for what is around them.
    let largest = config.limits.body.max(1 << 20) + MAX_KEY + (1 << 20);
    transport_tcp::Config {
        incarnation: report.identity.incarnation,
        session,
        address: config.raft_addr.clone(),
        max_message_bytes: u32::try_from(largest).unwrap_or(u32::MAX).max(64 << 20),
        ..transport_tcp::Config::new(report.identity.cluster_id, config.id)
    }
}

fn shared(
    config: &ServerConfig,
    node: RaftNode,
    restored: Restored,
    reads: reads::Asking,
    disk: Arc<Disk>,
    transport: Arc<Transport>,
    report: &OpenReport,
) -> Shared {
    let index = restored.state.index();
    Shared {
        id: config.id,
        node,
        store: KvStore::new(restored.state),
        log: config.logger.clone(),
        incarnation: report.identity.incarnation,
        disk,
        election_timeout: config.election_timeout(),
        tick: config.tick,
        request_timeout: config.request_timeout,
        transport: RwLock::new(Some(transport)),
        conf: RwLock::new(restored.conf),
        snapshot: AtomicU64::new(index),
        installed: AtomicU64::new(0),
        sending: super::snapshots::Sending::default(),
        waiters: Waiters::new(),
        gathering: super::gather::Gathering::default(),
        applied: watch::Sender::new(index),
        leadership: watch::Sender::new(Leadership::default()),
        interruptions: watch::Sender::new(0),
        exit: watch::Sender::new(None),
        draining: AtomicBool::new(false),
        waits_for_room: AtomicBool::new(false),
        leaving: Mutex::new(None),
        reads,
        changing: tokio::sync::Mutex::new(()),
        admitting: Mutex::new(()),
    }
}

/// The peers to begin with: those that are stored, or else those of the list.
fn connect(
    config: &ServerConfig,
    shared: &Shared,
    transport: &Transport,
    report: &OpenReport,
) -> Result<(), Error> {
    let stored = shared.store.read(|s| {
        s.members()
            .iter()
            .map(|(id, m)| (id, m.addr.clone()))
            .collect::<Vec<_>>()
    });
    // With entries in the log, the members come from there.
    let empty_log = report.recovered.entries.1 == 0;
    let peers = if stored.is_empty() && (empty_log || config.join) {
        &config.members
    } else {
        &stored
    };
    info!(shared.log, "starting"; "peers" => ?peers, "joins" => config.join, "restarts" => report.bootstrapped);
    for (id, addr) in peers.iter().filter(|p| p.0 != config.id) {
        transport.add_peer(*id, addr).map_err(start_error)?;
    }
    Ok(())
}

fn spawn_watcher(shared: &Arc<Shared>, readies: Arc<Readies>) -> Result<JoinHandle<()>, Error> {
    let shared = Arc::clone(shared);
    let thread = std::thread::Builder::new().name(format!("watch-{}", shared.id));
    thread
        .spawn(move || {
            // A panic here is a bug of ours; the others must see a node that has stopped rather than one that hangs.
            let exit =
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| readies.watch(&shared)))
                    .unwrap_or_else(|_| Exit::Failed("the node's loop panicked".into()));
            shared.end(exit);
            shared.waiters.close();
        })
        .map_err(start_error)
}

fn spawn_applier(
    shared: &Arc<Shared>,
    machine: Arc<Machine>,
    works: Receiver<Apply>,
) -> Result<JoinHandle<()>, Error> {
    let shared = Arc::clone(shared);
    let thread = std::thread::Builder::new().name(format!("apply-{}", shared.id));
    let run = move || {
        let run = std::panic::AssertUnwindSafe(|| machine.run(&works));
        if std::panic::catch_unwind(run).is_err() {
            let bug = storage::Error::other("the apply thread panicked");
            shared.node.fail(bug);
        }
    };
    thread.spawn(run).map_err(start_error)
}

/// Ticks from a thread of its own: a slow write must not stop the clock.
fn spawn_ticker(
    node: &RaftNode,
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

pub(super) fn start_error(e: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Start(Box::new(e))
}

impl RunningNode {
    fn begin(
        &mut self,
        config: &ServerConfig,
        disk: DiskStorage,
        snapshot: u64,
        report: &OpenReport,
        readies: Arc<Readies>,
    ) -> Result<(), Error> {
        let shared = &self.handle.0;
        connect(config, shared, &self.transport, report)?;
        let (shared_, transport) = (|| Arc::clone(shared), || Arc::clone(&self.transport));
        let applier = Applier::new(shared_(), transport(), disk.clone(), snapshot);
        let (applies, machine, to_apply) = Applies::new(applier);
        let host = Host {
            shared: shared_(),
            transport: transport(),
            applies: applies.clone(),
        };
        let options = AppendOptions {
            retry_max: RETRY_WHEN_FULL,
            ..AppendOptions::default()
        };
        let append = AppendThread::spawn(shared.node.clone(), disk, host, options);
        let driver = Driver {
            shared: shared_(),
            transport: transport(),
            append: append.map_err(start_error)?,
            applies,
            leadership: Leadership::default(),
        };
        self.threads.push(spawn_applier(shared, machine, to_apply)?);
        readies.drive(driver);
        self.threads.push(spawn_watcher(shared, readies)?);
        let (stop, ticker) = spawn_ticker(&shared.node, config.id, config.tick)?;
        self.stop_ticking = Some(stop);
        self.threads.push(ticker);
        Ok(())
    }

    /// Stops all threads and waits for them: the directory and the sockets are free then. `cleanly` brings to disk what could also be found again without. Blocks.
    pub(crate) fn stop(mut self, cleanly: bool) -> Exit {
        let shared = &self.handle.0;
        // Dropping it ends the ticker.
        self.stop_ticking.take();
        shared.node.stop();
        self.transport.stop();
        for thread in self.threads.drain(..) {
            // All threads report their own panics.
            let _ = thread.join();
        }
        shared.end(Exit::Stopped);
        shared.transport.write().take();
        if let Err(e) = shared.disk.close(cleanly) {
            warn!(shared.log, "the data directory was not closed cleanly"; "error" => %e);
        }
        let exit = shared.exit.borrow().clone();
        exit.unwrap_or(Exit::Stopped)
    }
}
