//! A member of a scripted group. Go: Node in rafttest/interaction_env.go

use super::ScriptStorage;
use raft::raftpb::bytes::Bytes;
use raft::raftpb::{ConfChangeI, ConfState, Message, SnapshotStatus};
use raft::{BasicStatus, Config, Error, Status, Tracer};
use rawnode::{AppendWork, ApplyWork, AsyncWrites, RawNode, SyncWrites};
use slog::Logger;
use std::collections::VecDeque;
use std::sync::Arc;

/// A member of a scripted group, with the work that waits for its storage threads. Go: Node
pub struct Node {
    /// What the node was made with.
    pub config: Config,
    pub(super) raw: AnyRawNode,
    pub(super) storage: ScriptStorage,
    pub(super) append_work: VecDeque<AppendWork>,
    pub(super) apply_work: VecDeque<ApplyWork>,
}

/// A RawNode of either mode.
// One a node and never moved: a box would only cost.
#[allow(clippy::large_enum_variant)]
pub(super) enum AnyRawNode {
    Sync(RawNode<ScriptStorage, SyncWrites>),
    Async(RawNode<ScriptStorage, AsyncWrites>),
}

/// The same call on a RawNode of either mode.
macro_rules! raw {
    ($node:expr, $raw:ident => $call:expr) => {
        match &mut $node.raw {
            AnyRawNode::Sync($raw) => $call,
            AnyRawNode::Async($raw) => $call,
        }
    };
}

impl Node {
    /// A node that starts from what `storage` holds.
    pub(super) fn new(
        config: Config,
        async_storage_writes: bool,
        storage: ScriptStorage,
        logger: Logger,
        tracer: Option<Arc<dyn Tracer>>,
    ) -> Result<Self, Error> {
        let (c, s) = (config.clone(), storage.clone());
        let raw = if async_storage_writes {
            AnyRawNode::Async(RawNode::new_async(c, s, logger, tracer)?)
        } else {
            AnyRawNode::Sync(RawNode::new(c, s, logger, tracer)?)
        };
        Ok(Self {
            config,
            raw,
            storage,
            append_work: VecDeque::new(),
            apply_work: VecDeque::new(),
        })
    }

    /// The node's id.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.config.id
    }

    /// Its storage.
    #[must_use]
    pub fn storage(&self) -> &ScriptStorage {
        &self.storage
    }

    /// Whether log writes and applying go through the storage threads. Go: Config.AsyncStorageWrites
    #[must_use]
    pub fn async_storage_writes(&self) -> bool {
        matches!(self.raw, AnyRawNode::Async(_))
    }

    /// Go: RawNode.Status
    #[must_use]
    pub fn status(&self) -> Status {
        match &self.raw {
            AnyRawNode::Sync(raw) => raw.status(),
            AnyRawNode::Async(raw) => raw.status(),
        }
    }

    /// Go: RawNode.BasicStatus
    #[must_use]
    pub fn basic_status(&self) -> BasicStatus {
        match &self.raw {
            AnyRawNode::Sync(raw) => raw.basic_status(),
            AnyRawNode::Async(raw) => raw.basic_status(),
        }
    }

    /// Whether work waits for the append thread.
    pub(crate) fn has_append_work(&self) -> bool {
        !self.append_work.is_empty()
    }

    /// Whether work waits for the apply thread.
    pub(crate) fn has_apply_work(&self) -> bool {
        !self.apply_work.is_empty()
    }

    pub(super) fn has_ready(&self) -> bool {
        match &self.raw {
            AnyRawNode::Sync(raw) => raw.has_ready(),
            AnyRawNode::Async(raw) => raw.has_ready(),
        }
    }

    pub(super) fn tick(&mut self) -> Result<(), Error> {
        raw!(self, raw => raw.tick())
    }

    pub(super) fn campaign(&mut self) -> Result<(), Error> {
        raw!(self, raw => raw.campaign()).map(|_| ())
    }

    pub(super) fn step(&mut self, m: Message) -> Result<(), Error> {
        raw!(self, raw => raw.step(m)).map(|_| ())
    }

    pub(super) fn propose(&mut self, data: Bytes) -> Result<(), Error> {
        raw!(self, raw => raw.propose(data)).map(|_| ())
    }

    pub(super) fn propose_conf_change(&mut self, cc: &dyn ConfChangeI) -> Result<(), Error> {
        raw!(self, raw => raw.propose_conf_change(cc)).map(|_| ())
    }

    pub(super) fn apply_conf_change(&mut self, cc: &dyn ConfChangeI) -> Result<ConfState, Error> {
        raw!(self, raw => raw.apply_conf_change(cc))
    }

    pub(super) fn report_unreachable(&mut self, id: u64) -> Result<(), Error> {
        raw!(self, raw => raw.report_unreachable(id)).map(|_| ())
    }

    pub(super) fn report_snapshot(&mut self, id: u64, status: SnapshotStatus) -> Result<(), Error> {
        raw!(self, raw => raw.report_snapshot(id, status)).map(|_| ())
    }

    pub(super) fn transfer_leader(&mut self, transferee: u64) -> Result<(), Error> {
        raw!(self, raw => raw.transfer_leader(transferee)).map(|_| ())
    }

    pub(super) fn forget_leader(&mut self) -> Result<(), Error> {
        raw!(self, raw => raw.forget_leader()).map(|_| ())
    }

    pub(super) fn read_index(&mut self, context: Bytes) -> Result<(), Error> {
        raw!(self, raw => raw.read_index(context)).map(|_| ())
    }

    pub(super) fn set_randomized_election_timeout(&mut self, ticks: u32) {
        raw!(self, raw => raw.set_randomized_election_timeout(ticks));
    }
}
