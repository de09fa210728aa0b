//! A store that costs next to nothing, as openraft's own benchmark has: the log is a queue of entries, the state machine counts.

use std::collections::VecDeque;
use std::fmt::{self, Debug, Display};
use std::io::{self, Cursor};
use std::ops::{Bound, RangeBounds};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::{Stream, TryStreamExt as _};
use openraft::alias::{
    DefaultEntryOf, LogIdOf, SnapshotMetaOf, SnapshotOf, StoredMembershipOf, VoteOf,
};
use openraft::entry::RaftEntry as _;
use openraft::impls::{InlineBatch, OneshotResponder, TokioRuntime, Vote, leader_id_adv};
use openraft::storage::{EntryResponder, IOFlushed, LogState, RaftLogStorage, RaftStateMachine};
use openraft::{
    AnyError, EntryPayload, OptionalSend, RaftLogReader, RaftSnapshotBuilder, RaftTypeConfig,
};
use serde::{Deserialize, Serialize};

pub const NAME: &str = "minimal";

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Request;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Response;

impl Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("empty")
    }
}

/// The lightest of each kind that openraft brings, as in its own benchmark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct TypeConfig;

impl RaftTypeConfig for TypeConfig {
    type D = Request;
    type R = Response;
    type NodeId = u64;
    type Node = ();
    type Term = u64;
    type LeaderId = leader_id_adv::LeaderId<u64, u64>;
    type Vote = Vote<Self::LeaderId>;
    type Payload = EntryPayload<Request, u64, ()>;
    type Entry = DefaultEntryOf<Self>;
    type Responder<T>
        = OneshotResponder<Self, T>
    where
        T: Send + 'static;
    type Batch<T>
        = InlineBatch<T>
    where
        T: Send + 'static;
    type AsyncRuntime = TokioRuntime;
    type ErrorSource = AnyError;
}

pub fn request() -> Request {
    Request
}

type Result<T> = io::Result<T>;
type Entry = DefaultEntryOf<TypeConfig>;
type LogId = LogIdOf<TypeConfig>;
type Snapshot = SnapshotOf<TypeConfig, Cursor<Vec<u8>>>;
type SnapshotMeta = SnapshotMetaOf<TypeConfig>;
type StoredMembership = StoredMembershipOf<TypeConfig>;

/// Handles of one node's log and state machine.
#[derive(Default)]
pub struct Store {
    log: Log,
    machine: Machine,
}

impl Store {
    pub fn halves(&self) -> (Log, Machine) {
        (self.log.clone(), self.machine.clone())
    }

    pub async fn check(&self, commands: u64) {
        assert_eq!(self.machine.lock().state.commands, commands);
    }
}

#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<LogInner>>);

#[derive(Default)]
struct LogInner {
    vote: Option<VoteOf<TypeConfig>>,
    purged: Option<LogId>,
    /// The entries from index `first` on.
    entries: VecDeque<Entry>,
    first: u64,
}

impl LogInner {
    /// The position of `index` in the queue, or the nearest that exists.
    fn at(&self, index: u64) -> usize {
        let behind = index.saturating_sub(self.first);
        usize::try_from(behind)
            .unwrap_or(usize::MAX)
            .min(self.entries.len())
    }
}

impl Log {
    fn lock(&self) -> MutexGuard<'_, LogInner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RaftLogReader<TypeConfig> for Log {
    async fn try_get_log_entries<R: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: R,
    ) -> Result<Vec<Entry>> {
        let log = self.lock();
        let from = match range.start_bound() {
            Bound::Included(&index) => index,
            Bound::Excluded(&index) => index + 1,
            Bound::Unbounded => 0,
        };
        let to = match range.end_bound() {
            Bound::Included(&index) => index + 1,
            Bound::Excluded(&index) => index,
            Bound::Unbounded => u64::MAX,
        };
        let (from, to) = (log.at(from), log.at(to));
        Ok(log.entries.range(from..to.max(from)).cloned().collect())
    }

    async fn read_vote(&mut self) -> Result<Option<VoteOf<TypeConfig>>> {
        Ok(self.lock().vote)
    }
}

impl RaftLogStorage<TypeConfig> for Log {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>> {
        let log = self.lock();
        Ok(LogState {
            last_purged_log_id: log.purged,
            last_log_id: log.entries.back().map(|entry| entry.log_id).or(log.purged),
        })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &VoteOf<TypeConfig>) -> Result<()> {
        self.lock().vote = Some(*vote);
        Ok(())
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig>) -> Result<()>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut entries = entries.into_iter().peekable();
        {
            let mut log = self.lock();
            if let (true, Some(entry)) = (log.entries.is_empty(), entries.peek()) {
                log.first = entry.index();
            }
            log.entries.extend(entries);
        }
        callback.io_completed(Ok(()));
        Ok(())
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> Result<()> {
        let mut log = self.lock();
        let keep = log.at(last.map_or(0, |last| last.index() + 1));
        log.entries.truncate(keep);
        Ok(())
    }

    async fn purge(&mut self, log_id: LogId) -> Result<()> {
        let mut log = self.lock();
        let gone = log.at(log_id.index() + 1);
        log.entries.drain(..gone);
        log.first = log_id.index() + 1;
        log.purged = Some(log_id);
        Ok(())
    }
}

#[derive(Clone, Default)]
pub struct Machine(Arc<Mutex<MachineInner>>);

#[derive(Default)]
struct MachineInner {
    state: State,
    snapshot: Option<(SnapshotMeta, Vec<u8>)>,
}

#[derive(Clone, Default, Serialize, Deserialize)]
struct State {
    applied: Option<LogId>,
    membership: StoredMembership,
    commands: u64,
}

impl Machine {
    fn lock(&self) -> MutexGuard<'_, MachineInner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RaftSnapshotBuilder<TypeConfig> for Machine {
    type SnapshotData = Cursor<Vec<u8>>;

    async fn build_snapshot(&mut self) -> Result<Snapshot> {
        let mut machine = self.lock();
        let state = &machine.state;
        let data = serde_json::to_vec(state).map_err(io::Error::other)?;
        let meta = SnapshotMeta {
            last_log_id: state.applied,
            last_membership: state.membership.clone(),
        };
        machine.snapshot = Some((meta.clone(), data.clone()));
        let snapshot = Cursor::new(data);
        Ok(Snapshot { meta, snapshot })
    }
}

impl RaftStateMachine<TypeConfig> for Machine {
    type SnapshotData = Cursor<Vec<u8>>;
    type SnapshotBuilder = Self;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership)> {
        let state = &self.lock().state;
        Ok((state.applied, state.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> Result<()>
    where
        S: Stream<Item = Result<EntryResponder<TypeConfig>>> + Unpin + OptionalSend,
    {
        while let Some((entry, responder)) = entries.try_next().await? {
            let state = &mut self.lock().state;
            state.applied = Some(entry.log_id);
            match entry.payload {
                EntryPayload::Blank => {}
                EntryPayload::Normal(Request) => state.commands += 1,
                EntryPayload::Membership(membership) => {
                    state.membership = StoredMembership::new(Some(entry.log_id), membership);
                }
            }
            if let Some(responder) = responder {
                responder.send(Response);
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        self.clone()
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: Cursor<Vec<u8>>,
    ) -> Result<()> {
        let data = snapshot.into_inner();
        let state = serde_json::from_slice(&data)?;
        let mut machine = self.lock();
        machine.state = state;
        machine.snapshot = Some((meta.clone(), data));
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>> {
        let snapshot = self.lock().snapshot.clone();
        Ok(snapshot.map(|(meta, data)| Snapshot {
            meta,
            snapshot: Cursor::new(data),
        }))
    }
}
