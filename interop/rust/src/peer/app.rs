//! The node, its append thread, and the thread that takes the Readies and applies.

use crate::net::Outbound;
use crate::state::State;
use node::raft::slog::{Logger, error, info};
use node::raft::{self, Config};
use node::raftpb::{
    ConfState, Entry, EntryType, Message, Snapshot, SnapshotMetadata, unmarshal_conf_change,
};
use node::rawnode::{AsyncWrites, RawNode};
use node::storage::{self, Storage, Writer};
use node::{AppendHost, AppendOptions, AppendThread, Node, NodeOptions, Refused};
use parking_lot::{Condvar, Mutex};
use std::collections::BTreeMap;
use std::sync::Arc;
use storage_mem::MemoryStorage;

/// What is applied.
#[derive(Default)]
pub(crate) struct Applied {
    pub(crate) state: State,
    pub(crate) index: u64,
    pub(crate) conf: ConfState,
    /// How many snapshots came from leaders.
    pub(crate) installed: usize,
    /// Answers to reads, by request.
    pub(crate) reads: BTreeMap<Vec<u8>, u64>,
}

/// The same for the threads that look at it.
#[derive(Default)]
pub(crate) struct Shared {
    pub(crate) applied: Mutex<Applied>,
    pub(crate) changed: Condvar,
}

pub(crate) struct App {
    pub(crate) node: Node<AsyncWrites>,
    pub(crate) storage: MemoryStorage,
    pub(crate) shared: Arc<Shared>,
}

type Failure = Box<dyn std::error::Error>;

impl App {
    /// Starts a node of a group of these voters, or one that joins.
    pub(crate) fn start(
        id: u64,
        voters: &[u64],
        net: Outbound,
        logger: &Logger,
    ) -> Result<Self, Failure> {
        let storage = MemoryStorage::new();
        let shared = Arc::<Shared>::default();
        if !voters.is_empty() {
            // The state of a group that has not begun is that of an empty map.
            let mut applied = shared.applied.lock();
            applied.index = 1;
            applied.conf = ConfState {
                voters: voters.to_vec(),
                ..ConfState::default()
            };
            storage.apply_snapshot(&snapshot(&applied, 1))?;
        }
        let applied = shared.applied.lock().index;
        let config = Config {
            election_tick: 10,
            heartbeat_tick: 1,
            applied,
            max_size_per_msg: 64 << 10,
            max_inflight_msgs: 64,
            check_quorum: true,
            pre_vote: true,
            ..Config::new(id, 0x00c0_ffee ^ id)
        };
        let rn = RawNode::new_async(config, storage.clone(), logger.clone(), None)?;
        let log = logger.clone();
        let refused = move |r: &Refused<'_>| {
            // Every message that is refused is news here: both sides are to understand each other.
            error!(
                log,
                "REFUSED {:?} of {} at term {}: {}", r.msg_type, r.from, r.term, r.error
            );
            match r.error {
                raft::Error::CommitOutOfRange { .. } if r.term >= r.own_term => {
                    Err(storage::Error::other(r.error.clone()))
                }
                _ => Ok(()),
            }
        };
        let node = NodeOptions::default().spawn_watched(rn, refused)?;
        // Only this function sets it, and it is called once.
        let _ = net.inbound.node.set(node.clone());
        let host = Host(net.clone(), Arc::clone(&shared));
        let append = AppendThread::spawn(
            node.clone(),
            storage.clone(),
            host,
            AppendOptions::default(),
        )?;
        let app = Self {
            node,
            storage,
            shared,
        };
        let taker = Taker {
            node: app.node.clone(),
            storage: app.storage.clone(),
            shared: Arc::clone(&app.shared),
            net,
            append,
        };
        let log = logger.clone();
        std::thread::Builder::new()
            .name("readies".into())
            .spawn(move || info!(log, "the node has ended: {:?}", taker.run()))?;
        Ok(app)
    }

    /// Takes a snapshot of what is applied and lets go of the log before it.
    pub(crate) fn compact(&self) -> Result<(), storage::Error> {
        let applied = self.shared.applied.lock();
        save(&self.storage, &applied)?;
        Writer::compact(&mut self.storage.clone(), applied.index)
    }
}

fn save(storage: &MemoryStorage, applied: &Applied) -> Result<(), storage::Error> {
    let term = storage.term(applied.index)?;
    match storage.clone().save_snapshot(&snapshot(applied, term)) {
        // There is one of this index.
        Err(storage::Error::SnapshotOutOfDate) => Ok(()),
        done => done,
    }
}

fn snapshot(applied: &Applied, term: u64) -> Snapshot {
    Snapshot {
        data: applied.state.encode().into(),
        metadata: SnapshotMetadata {
            conf_state: applied.conf.clone(),
            index: applied.index,
            term,
        },
    }
}

/// The append thread's side of the application.
struct Host(Outbound, Arc<Shared>);

impl AppendHost for Host {
    fn send(&mut self, messages: Vec<Message>) {
        self.0.send(messages);
    }

    /// The works before it are applied: they were, before this write was handed over.
    fn install(&mut self, s: &Snapshot) -> Result<(), storage::Error> {
        let state = State::decode(&s.data)
            .ok_or_else(|| storage::Error::other("the snapshot is not a state"))?;
        let mut applied = self.1.applied.lock();
        applied.state = state;
        applied.index = s.metadata.index;
        applied.conf = s.metadata.conf_state.clone();
        applied.installed += 1;
        self.1.changed.notify_all();
        Ok(())
    }
}

/// The thread that takes the Readies. It applies, too: a map in memory holds nobody up.
struct Taker {
    node: Node<AsyncWrites>,
    storage: MemoryStorage,
    shared: Arc<Shared>,
    net: Outbound,
    append: AppendThread,
}

impl Taker {
    /// Runs until the node ends, and returns how.
    fn run(self) -> Result<(), node::Error> {
        while let Ok(mut rd) = self.node.ready().recv() {
            self.net.send(rd.take_messages());
            self.answer(&rd.read_states);
            if let Some(work) = rd.apply {
                for e in work.entries() {
                    self.apply(e)?;
                }
                let left = self.node.deliver(work.done())?;
                debug_assert!(left.is_empty(), "it is to this node");
            }
            if let Some(work) = rd.append {
                self.append.append(work)?;
            }
        }
        self.append.stop()
    }

    fn answer(&self, reads: &[raft::ReadState]) {
        let mut applied = self.shared.applied.lock();
        for r in reads {
            applied.reads.insert(r.request_ctx.to_vec(), r.index);
        }
        self.shared.changed.notify_all();
    }

    fn apply(&self, e: &Entry) -> Result<(), node::Error> {
        let conf = match e.get_type() {
            EntryType::Normal => None,
            // One that does not decode, or cannot be, changes nothing, on any node.
            _ => match unmarshal_conf_change(e) {
                Ok(Some(cc)) => match self.node.apply_conf_change(&cc) {
                    Ok(conf) => Some(conf),
                    Err(node::Error::Raft(_)) => None,
                    Err(e) => return Err(e),
                },
                _ => None,
            },
        };
        let mut applied = self.shared.applied.lock();
        match (e.get_type(), conf) {
            (EntryType::Normal, _) => applied.state.apply(&e.data),
            (_, Some(conf)) => applied.conf = conf,
            _ => {}
        }
        applied.index = e.index;
        self.shared.changed.notify_all();
        // A snapshot from before its change would not name a new member, who would refuse it.
        if e.get_type() != EntryType::Normal
            && let Err(e) = save(&self.storage, &applied)
        {
            drop(applied);
            self.node.fail(e);
        }
        Ok(())
    }
}
