//! One node of a run: RawNode, storage, state machine and what drives them. Go: rafttest/node.go

use super::Sabotage;
use super::state_machine::{FIRST, StateMachine};
use raft::raftpb::{
    ConfChangeV2, ConfState, Entries, HardState, Message, Snapshot, SnapshotMetadata,
    SnapshotStatus,
};
use raft::storage::{Storage, Write, Writer};
use raft::{Config, Error, ReadState, StateType};
use rawnode::{AppendWork, ApplyWork, AsyncWrites, Persisted, RawNode, Ready, SyncWrites};
use slog::{Discard, Logger, o};
use std::collections::VecDeque;
use storage_mem::MemoryStorage;

/// One node of a run.
pub(super) struct SimNode {
    pub(super) config: Config,
    pub(super) is_async: bool,
    pub(super) storage: MemoryStorage,
    /// What a power cut leaves of the hard state: writes that need no sync may be lost.
    synced: HardState,
    pub(super) machine: StateMachine,
    pub(super) conf_state: ConfState,
    pub(super) raw: Option<Raw>,
    /// Messages of its storage threads to itself.
    pub(super) local: VecDeque<Message>,
    pub(super) appends: VecDeque<AppendWork>,
    pub(super) applies: VecDeque<ApplyWork>,
    /// A Ready that is being dealt with, in sync mode.
    pub(super) ready: Option<Ready>,
    pub(super) persisted: Option<Persisted>,
    /// Whether it left the group for good.
    pub(super) retired: bool,
}

// One a node and never moved: a box would only cost.
#[allow(clippy::large_enum_variant)]
pub(super) enum Raw {
    Sync(RawNode<MemoryStorage, SyncWrites>),
    Async(RawNode<MemoryStorage, AsyncWrites>),
}

/// The same call on a RawNode of either mode.
macro_rules! raw {
    ($node:expr, $raw:ident => $call:expr) => {
        match &mut $node.raw {
            None => None,
            Some(Raw::Sync($raw)) => Some($call),
            Some(Raw::Async($raw)) => Some($call),
        }
    };
}

/// What the properties see of a node.
pub(super) struct View {
    pub(super) term: u64,
    pub(super) leads: bool,
    pub(super) commit: u64,
}

impl SimNode {
    /// A node that was never started. The voters begin with a snapshot that names them, others with nothing.
    pub(super) fn new(config: Config, is_async: bool, voters: &[u64]) -> Self {
        let storage = MemoryStorage::new();
        let mut conf_state = ConfState::default();
        if voters.contains(&config.id) {
            conf_state.voters = voters.to_vec();
            let first = Snapshot {
                metadata: SnapshotMetadata {
                    index: FIRST.index,
                    term: 1,
                    conf_state: conf_state.clone(),
                },
                data: FIRST.save(),
            };
            // An empty storage takes any snapshot.
            let _ = storage.apply_snapshot(&first);
        }
        Self {
            config,
            is_async,
            storage,
            synced: HardState::default(),
            machine: StateMachine::default(),
            conf_state,
            raw: None,
            local: VecDeque::new(),
            appends: VecDeque::new(),
            applies: VecDeque::new(),
            ready: None,
            persisted: None,
            retired: false,
        }
    }

    pub(super) fn id(&self) -> u64 {
        self.config.id
    }

    /// Starts the node from its storage; the state machine from the stored snapshot.
    pub(super) fn start(&mut self) -> Result<(), String> {
        let error = |e: raft::storage::Error| e.to_string();
        let snapshot = self.storage.snapshot().map_err(error)?;
        self.machine = StateMachine::load(&snapshot.data).unwrap_or_default();
        self.conf_state = snapshot.metadata.conf_state.clone();
        let config = Config {
            applied: snapshot.metadata.index,
            ..self.config.clone()
        };
        let (storage, logger) = (self.storage.clone(), Logger::root(Discard, o!()));
        let error = |e: Error| e.to_string();
        self.raw = Some(if self.is_async {
            Raw::Async(RawNode::new_async(config, storage, logger, None).map_err(error)?)
        } else {
            Raw::Sync(RawNode::new(config, storage, logger, None).map_err(error)?)
        });
        Ok(())
    }

    /// Stops the node without warning. Whether it was in the middle of something.
    pub(super) fn crash(&mut self, sabotage: Sabotage) -> Result<bool, String> {
        let error = |e: raft::storage::Error| e.to_string();
        let torn = self.ready.is_some() || self.persisted.is_some() || !self.appends.is_empty();
        self.raw = None;
        self.local.clear();
        self.appends.clear();
        self.applies.clear();
        (self.ready, self.persisted) = (None, None);
        match sabotage {
            Sabotage::None => {}
            Sabotage::ForgetVote => self.synced.vote = 0,
            Sabotage::LoseEntry => self.lose_entry().map_err(error)?,
        }
        self.storage.set_hard_state(self.synced);
        Ok(torn)
    }

    /// Makes the storage forget its last entry, if that is not known to be committed.
    fn lose_entry(&mut self) -> Result<(), raft::storage::Error> {
        let (first, last) = (self.storage.first_index()?, self.storage.last_index()?);
        if last < first || last <= self.synced.commit {
            return Ok(());
        }
        let kept = if last > first {
            self.storage.entries(first, last, u64::MAX)?
        } else {
            Entries::new()
        };
        let snapshot = self.storage.snapshot()?;
        if first != snapshot.metadata.index + 1 {
            return Ok(());
        }
        let storage = MemoryStorage::new();
        storage.apply_snapshot(&snapshot)?;
        storage.append(&kept)?;
        self.storage = storage;
        Ok(())
    }

    pub(super) fn view(&self) -> Option<View> {
        let status = match self.raw.as_ref()? {
            Raw::Sync(raw) => raw.basic_status(),
            Raw::Async(raw) => raw.basic_status(),
        };
        Some(View {
            term: status.hard_state.term,
            leads: status.soft_state.raft_state == StateType::Leader,
            commit: status.hard_state.commit,
        })
    }

    pub(super) fn leads(&self) -> bool {
        self.view().is_some_and(|v| v.leads)
    }

    pub(super) fn check_invariants(&self) -> Result<(), String> {
        match &self.raw {
            None => Ok(()),
            Some(Raw::Sync(raw)) => raw.raft().check_invariants(),
            Some(Raw::Async(raw)) => raw.raft().check_invariants(),
        }
        .map_err(|e| format!("node {}: {e}", self.config.id))
    }

    /// What a peer sent is never refused, but for answers of those who left.
    pub(super) fn step(&mut self, m: Message) -> Result<(), String> {
        let id = self.config.id;
        let text = raft::raftpb::describe_message(&m, None);
        match raw!(self, raw => raw.step(m)) {
            None | Some(Ok(_) | Err(Error::StepPeerNotFound | Error::ProposalDropped(_))) => Ok(()),
            Some(Err(e)) => Err(format!("{id} refuses {text}: {e}")),
        }
    }

    pub(super) fn tick(&mut self) -> Result<(), String> {
        done(self.config.id, raw!(self, raw => raw.tick()))
    }

    pub(super) fn campaign(&mut self) -> Result<(), String> {
        done(self.config.id, raw!(self, raw => raw.campaign()))
    }

    pub(super) fn propose(&mut self, data: String) -> Result<(), String> {
        done(self.config.id, raw!(self, raw => raw.propose(data.into())))
    }

    pub(super) fn propose_conf_change(&mut self, cc: &ConfChangeV2) -> Result<(), String> {
        done(
            self.config.id,
            raw!(self, raw => raw.propose_conf_change(cc)),
        )
    }

    pub(super) fn transfer_leader(&mut self, to: u64) -> Result<(), String> {
        done(self.config.id, raw!(self, raw => raw.transfer_leader(to)))
    }

    pub(super) fn forget_leader(&mut self) -> Result<(), String> {
        done(self.config.id, raw!(self, raw => raw.forget_leader()))
    }

    pub(super) fn read_index(&mut self, context: u64) -> Result<(), String> {
        let context = context.to_le_bytes().to_vec();
        done(
            self.config.id,
            raw!(self, raw => raw.read_index(context.into())),
        )
    }

    pub(super) fn report_unreachable(&mut self, id: u64) -> Result<(), String> {
        done(
            self.config.id,
            raw!(self, raw => raw.report_unreachable(id)),
        )
    }

    pub(super) fn report_snapshot(
        &mut self,
        id: u64,
        status: SnapshotStatus,
    ) -> Result<(), String> {
        done(
            self.config.id,
            raw!(self, raw => raw.report_snapshot(id, status)),
        )
    }

    /// Writes what a Ready or a work says.
    pub(super) fn write(&mut self, w: &Write) -> Result<(), String> {
        let error = |e: raft::storage::Error| format!("node {}: {e}", self.config.id);
        Writer::append(&mut self.storage, w).map_err(error)?;
        let hs = self.storage.initial_state().map_err(error)?.0;
        if w.must_sync || w.snapshot.is_some() {
            Writer::sync(&mut self.storage).map_err(error)?;
            self.synced = hs;
        }
        Ok(())
    }

    /// Takes a snapshot of the state machine and lets go of the log up to `keep` entries before it. Whether there was something to do.
    pub(super) fn compact(&mut self, keep: u64) -> Result<bool, String> {
        let error = |e: raft::storage::Error| format!("node {}: {e}", self.config.id);
        let index = self.machine.index;
        if index <= self.storage.snapshot().map_err(error)?.metadata.index {
            return Ok(false);
        }
        // A snapshot is durable at once, and so is all that was written before it.
        let hs = self.storage.initial_state().map_err(error)?.0;
        self.synced = HardState {
            commit: hs.commit.max(index),
            ..hs
        };
        self.storage.set_hard_state(self.synced);
        let conf_state = Some(self.conf_state.clone());
        self.storage
            .create_snapshot(index, conf_state, self.machine.save())
            .map_err(error)?;
        let upto = index.saturating_sub(keep);
        if upto >= self.storage.first_index().map_err(error)? {
            self.storage.compact(upto).map_err(error)?;
        }
        Ok(true)
    }

    /// The state machine as a snapshot.
    pub(super) fn snapshot(&self) -> Snapshot {
        Snapshot {
            metadata: SnapshotMetadata {
                index: self.machine.index,
                term: self.machine.term,
                conf_state: self.conf_state.clone(),
            },
            data: self.machine.save(),
        }
    }

    /// Applies a configuration change.
    pub(super) fn apply_conf_change(&mut self, cc: &ConfChangeV2) -> Result<(), String> {
        match raw!(self, raw => raw.apply_conf_change(cc)) {
            None => Ok(()),
            Some(Ok(conf_state)) => {
                self.conf_state = conf_state;
                Ok(())
            }
            Some(Err(e)) => Err(format!("node {} cannot apply {cc:?}: {e}", self.config.id)),
        }
    }

    /// Reads that were answered.
    pub(super) fn read_states(list: &[ReadState]) -> impl Iterator<Item = (u64, u64)> + '_ {
        list.iter().filter_map(|r| {
            let context = r.request_ctx.as_ref().try_into().ok()?;
            Some((u64::from_le_bytes(context), r.index))
        })
    }
}

/// A call may be dropped, and a node that is down hears nothing; anything else is wrong.
fn done<T>(id: u64, result: Option<Result<T, Error>>) -> Result<(), String> {
    match result {
        None | Some(Ok(_) | Err(Error::ProposalDropped(_))) => Ok(()),
        Some(Err(e)) => Err(format!("node {id}: {e}")),
    }
}
