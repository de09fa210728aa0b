//! The node: everything between the HTTP API and Raft. Go: raft.go
//!
//! | here | Go's raftexample |
//! |---|---|
//! | [`RaftHandle`] | raftNode, and the channels into it |
//! | `driver` | serveChannels' event loop |
//! | `apply` | publishEntries, publishSnapshot |
//! | `space` | – (what is refused while the disk is full) |
//! | `first` | – (whether this node may begin as a new one) |
//! | `gather` | – (requests that wait together are proposed together) |
//! | `propose` | the proposeC goroutine; answers come after the entry is applied |
//! | `replay` | readWAL and replayWAL, where no node runs |
//! | `reads` | – (raftexample reads stale) |
//! | `membership` | the confChangeC case, with the checks of etcdserver's membership |
//! | `peers` | Process, IsIDRemoved, ReportUnreachable, ReportSnapshot |
//! | `snapshots` | maybeTriggerSnapshot |

mod apply;
mod driver;
mod first;
mod gather;
mod membership;
mod peers;
mod propose;
mod reads;
mod replay;
mod report;
mod snapshots;
mod space;
mod start;
mod waiters;

pub(crate) use membership::{Change, ChangeRequest};
pub(crate) use replay::{Upto, replay};
pub(crate) use start::{RunningNode, start};

use crate::api::{MemberInfo, MemberList};
use crate::error::Failure;
use crate::kvstore::KvStore;
use node::raft::StateType;
use node::rawnode::AsyncWrites;
use parking_lot::{Mutex, RwLock};
use raftpb::ConfState;
use slog::Logger;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use storage_wal::{DiskStorage, Space};
use tokio::sync::watch;
use tokio::time::Instant;
use transport_tcp::Transport;
use waiters::Waiters;

/// How a node ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Exit {
    /// It was asked to.
    Stopped,
    /// It was removed from the cluster, for good.
    Removed,
    /// It failed.
    Failed(String),
}

/// Who leads, as this node knows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Leadership {
    pub(crate) term: u64,
    /// 0: nobody.
    pub(crate) lead: u64,
    pub(crate) role: StateType,
}

/// Raft, with its writes beside it.
type RaftNode = node::Node<AsyncWrites>;

/// What the threads and tasks of one node share.
pub(crate) struct Shared {
    pub(crate) id: u64,
    pub(crate) node: RaftNode,
    pub(crate) store: KvStore,
    pub(crate) log: Logger,
    election_timeout: Duration,
    tick: Duration,
    request_timeout: Duration,
    incarnation: u64,
    disk: Arc<Disk>,
    /// Taken out when the node stops, since the transport's handler holds this.
    transport: RwLock<Option<Arc<Transport>>>,
    conf: RwLock<ConfState>,
    /// The index of the newest snapshot.
    snapshot: AtomicU64,
    /// The index of the newest snapshot that came from a leader.
    installed: AtomicU64,
    /// Snapshots on their way to others.
    sending: snapshots::Sending,
    waiters: Waiters,
    gathering: gather::Gathering,
    /// The last applied index; whoever waits for one watches this.
    applied: watch::Sender<u64>,
    leadership: watch::Sender<Leadership>,
    /// Counts how often messages to the leader were lost.
    interruptions: watch::Sender<u64>,
    exit: watch::Sender<Option<Exit>>,
    draining: AtomicBool,
    /// Whether a write waits for room on the disk.
    waits_for_room: AtomicBool,
    /// Set when this node was removed: when it goes.
    leaving: Mutex<Option<std::time::Instant>>,
    reads: reads::Asking,
    /// Held over one membership change.
    changing: tokio::sync::Mutex<()>,
    /// Held while a stranger is admitted, so that they are counted right.
    admitting: Mutex<()>,
}

/// The node's directory until the node stops: then whoever opens it next finds it free.
#[derive(Debug)]
pub(crate) struct Disk(RwLock<Option<DiskStorage>>);

impl Disk {
    fn new(disk: DiskStorage) -> Self {
        Self(RwLock::new(Some(disk)))
    }

    fn space(&self) -> Space {
        self.0
            .read()
            .as_ref()
            .map_or(Space::Full, DiskStorage::space)
    }

    fn get(&self) -> Option<DiskStorage> {
        self.0.read().clone()
    }

    fn close(&self, cleanly: bool) -> Result<(), storage_wal::Error> {
        match self.0.write().take() {
            Some(disk) if cleanly => disk.close(),
            _ => Ok(()),
        }
    }
}

/// A node, for those who ask something of it. Clones are handles of one node. Go: raftNode
#[derive(Clone)]
pub(crate) struct RaftHandle(Arc<Shared>);

impl RaftHandle {
    pub(crate) fn id(&self) -> u64 {
        self.0.id
    }

    /// Which life of its disk this node has.
    pub(crate) fn incarnation(&self) -> u64 {
        self.0.incarnation
    }

    /// The member table knows this node with another disk.
    pub(crate) fn lost_its_disk(&self) {
        let id = self.0.id;
        self.0.end(Exit::Failed(peers::lost(
            id,
            "this node came back with another disk",
        )));
    }

    pub(crate) fn store(&self) -> &KvStore {
        &self.0.store
    }

    pub(crate) fn request_timeout(&self) -> Duration {
        self.0.request_timeout
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.0.draining.load(Ordering::Acquire)
    }

    /// Takes no new work on from here.
    pub(crate) fn drain(&self) {
        self.0.draining.store(true, Ordering::Release);
    }

    pub(crate) fn exit(&self) -> watch::Receiver<Option<Exit>> {
        self.0.exit.subscribe()
    }

    /// The leader; waits two election timeouts for one, but not beyond the request's deadline.
    ///
    /// # Errors
    /// [`Failure::NoLeader`].
    pub(crate) async fn known_leader(&self, deadline: Instant) -> Result<u64, Failure> {
        let mut leadership = self.0.leadership.subscribe();
        let limit = deadline.min(Instant::now() + self.0.election_timeout * 2);
        let known = leadership.wait_for(|l| l.lead != 0);
        match tokio::time::timeout_at(limit, known).await {
            Ok(Ok(l)) => Ok(l.lead),
            Ok(Err(_)) => Err(self.0.stopped()),
            Err(_) => Err(Failure::NoLeader(self.0.id)),
        }
    }

    /// The members, as this node's state has them.
    pub(crate) fn member_list(&self, about: Option<u64>) -> MemberList {
        let lead = self.0.leadership.borrow().lead;
        let conf = self.0.conf.read().clone();
        let members = self.0.store.read(|s| {
            let info = |(id, m): (u64, &crate::kvstore::Member)| MemberInfo {
                id,
                addr: m.addr.clone(),
                http: m.http.clone(),
                learner: conf.learners.contains(&id) || conf.learners_next.contains(&id),
                leader: id == lead,
                incarnation: m.incarnation,
            };
            s.members().iter().map(info).collect()
        });
        MemberList { id: about, members }
    }
}

impl Shared {
    /// Why nothing is taken on any more; not for what was taken on before.
    fn stopped(&self) -> Failure {
        match &*self.exit.borrow() {
            Some(Exit::Removed) => Failure::Stopped("it was removed from the cluster".into()),
            Some(Exit::Failed(why)) => Failure::Stopped(why.clone()),
            _ => Failure::ShuttingDown,
        }
    }

    /// Records the end; the first one counts.
    fn end(&self, exit: Exit) {
        self.exit.send_if_modified(|e| {
            let first = e.is_none();
            if first {
                *e = Some(exit);
            }
            first
        });
    }

    fn transport(&self) -> Option<Arc<Transport>> {
        self.transport.read().clone()
    }
}

impl RaftHandle {
    /// If this node leads, asks the voter that is furthest to take over, and waits until it has, at most two election timeouts.
    pub(crate) async fn hand_over(&self) {
        let shared = &self.0;
        let mut leadership = shared.leadership.subscribe();
        if leadership.borrow().lead != shared.id {
            return;
        }
        let Ok(status) = self.raft_status().await else {
            return;
        };
        let voters = status
            .progress
            .iter()
            .filter(|(id, p)| *id != shared.id && !p.is_learner && p.recent_active);
        let Some((heir, _)) = voters.max_by_key(|(_, p)| p.matched) else {
            return;
        };
        slog::info!(shared.log, "handing leadership over"; "to" => heir);
        if shared.node.transfer_leadership(shared.id, heir).is_err() {
            return;
        }
        let handed = leadership.wait_for(|l| l.lead != shared.id && l.lead != 0);
        if tokio::time::timeout(shared.election_timeout * 2, handed)
            .await
            .is_err()
        {
            slog::warn!(shared.log, "leadership was not taken over in time");
        }
    }
}
