//! A store that costs next to nothing, as openraft's own benchmark has: the log is a queue of entries, the state machine counts.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::io::Cursor;
use std::ops::{Bound, RangeBounds};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use openraft::storage::{LogFlushed, LogState, RaftLogStorage, RaftStateMachine, Snapshot};
use openraft::{
    Entry, EntryPayload, LogId, OptionalSend, RaftLogReader, RaftSnapshotBuilder, SnapshotMeta,
    StorageError, StorageIOError, StoredMembership, Vote,
};
use serde::{Deserialize, Serialize};

pub const NAME: &str = "minimal";

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Request;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Response;

openraft::declare_raft_types!(
    pub TypeConfig:
        D = Request,
        R = Response,
        Node = (),
);

pub fn request() -> Request {
    Request
}

type Result<T> = std::result::Result<T, StorageError<u64>>;

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
    vote: Option<Vote<u64>>,
    purged: Option<LogId<u64>>,
    /// The entries from index `first` on.
    entries: VecDeque<Entry<TypeConfig>>,
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
    ) -> Result<Vec<Entry<TypeConfig>>> {
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

    async fn save_vote(&mut self, vote: &Vote<u64>) -> Result<()> {
        self.lock().vote = Some(*vote);
        Ok(())
    }

    async fn read_vote(&mut self) -> Result<Option<Vote<u64>>> {
        Ok(self.lock().vote)
    }

    async fn append<I>(&mut self, entries: I, callback: LogFlushed<TypeConfig>) -> Result<()>
    where
        I: IntoIterator<Item = Entry<TypeConfig>> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut entries = entries.into_iter().peekable();
        {
            let mut log = self.lock();
            if let (true, Some(entry)) = (log.entries.is_empty(), entries.peek()) {
                log.first = entry.log_id.index;
            }
            log.entries.extend(entries);
        }
        callback.log_io_completed(Ok(()));
        Ok(())
    }

    async fn truncate(&mut self, log_id: LogId<u64>) -> Result<()> {
        let mut log = self.lock();
        let keep = log.at(log_id.index);
        log.entries.truncate(keep);
        Ok(())
    }

    async fn purge(&mut self, log_id: LogId<u64>) -> Result<()> {
        let mut log = self.lock();
        let gone = log.at(log_id.index + 1);
        log.entries.drain(..gone);
        log.first = log_id.index + 1;
        log.purged = Some(log_id);
        Ok(())
    }
}

#[derive(Clone, Default)]
pub struct Machine(Arc<Mutex<MachineInner>>);

#[derive(Default)]
struct MachineInner {
    state: State,
    snapshot: Option<(SnapshotMeta<u64, ()>, Vec<u8>)>,
}

#[derive(Clone, Default, Serialize, Deserialize)]
struct State {
    applied: Option<LogId<u64>>,
    membership: StoredMembership<u64, ()>,
    commands: u64,
}

impl Machine {
    fn lock(&self) -> MutexGuard<'_, MachineInner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RaftSnapshotBuilder<TypeConfig> for Machine {
    async fn build_snapshot(&mut self) -> Result<Snapshot<TypeConfig>> {
        let mut machine = self.lock();
        let state = &machine.state;
        let data = serde_json::to_vec(state).map_err(|e| StorageIOError::read_state_machine(&e))?;
        let meta = SnapshotMeta {
            last_log_id: state.applied,
            last_membership: state.membership.clone(),
            snapshot_id: state.commands.to_string(),
        };
        machine.snapshot = Some((meta.clone(), data.clone()));
        let snapshot = Box::new(Cursor::new(data));
        Ok(Snapshot { meta, snapshot })
    }
}

impl RaftStateMachine<TypeConfig> for Machine {
    type SnapshotBuilder = Self;

    async fn applied_state(&mut self) -> Result<(Option<LogId<u64>>, StoredMembership<u64, ()>)> {
        let state = &self.lock().state;
        Ok((state.applied, state.membership.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<Response>>
    where
        I: IntoIterator<Item = Entry<TypeConfig>> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries = entries.into_iter();
        let mut responses = Vec::with_capacity(entries.size_hint().0);
        let state = &mut self.lock().state;
        for entry in entries {
            state.applied = Some(entry.log_id);
            match entry.payload {
                EntryPayload::Blank => {}
                EntryPayload::Normal(Request) => state.commands += 1,
                EntryPayload::Membership(membership) => {
                    state.membership = StoredMembership::new(Some(entry.log_id), membership);
                }
            }
            responses.push(Response);
        }
        Ok(responses)
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        self.clone()
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<Cursor<Vec<u8>>>> {
        Ok(Box::default())
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta<u64, ()>,
        snapshot: Box<Cursor<Vec<u8>>>,
    ) -> Result<()> {
        let data = snapshot.into_inner();
        let state = serde_json::from_slice(&data)
            .map_err(|e| StorageIOError::read_snapshot(Some(meta.signature()), &e))?;
        let mut machine = self.lock();
        machine.state = state;
        machine.snapshot = Some((meta.clone(), data));
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<TypeConfig>>> {
        let snapshot = self.lock().snapshot.clone();
        Ok(snapshot.map(|(meta, data)| Snapshot {
            meta,
            snapshot: Box::new(Cursor::new(data)),
        }))
    }
}
