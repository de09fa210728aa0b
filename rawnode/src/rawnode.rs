//! The node without a thread: what goes in, and what comes out. Go: rawnode.go, bootstrap.go

use crate::async_ready::AppendBody;
use crate::error::{Error, Work};
use crate::order::Turn;
use crate::ready::Body;
use crate::{AppendWork, ApplyWork, AsyncReady, AsyncWrites, Persisted, Ready};
use crate::{StorageWrites, SyncWrites};
use bytes::Bytes;
use raft::raftpb::{ConfChangeI, ConfState, Entries, Entry, Message, MessageType, SnapshotStatus};
use raft::slog::Logger;
use raft::storage::{self, Storage, Write};
use raft::tracker::Progress;
use raft::{
    BasicStatus, Batch, Config, Fault, Outcome, Peer, ProgressType, Raft, Status, Tracer, WriteMode,
};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A Raft node without a thread: it does what it is called for and no more. Go: RawNode
///
/// `M` says how its storage writes are done: [`SyncWrites`] unless made by [`new_async`](RawNode::new_async).
///
/// After a [`Fault`] (the storage failed) every call that could change the node returns it; [`status`](RawNode::status) and
/// [`fault`](RawNode::fault) still answer.
///
/// ```
/// use raft::slog::{Discard, Logger, o};
/// use raft::{Config, StateType};
/// use tickraft_rawnode::RawNode;
/// # use raft::raftpb::{ConfState, Snapshot, SnapshotMetadata};
///
/// let storage = storage_mem::MemoryStorage::new();
/// # let conf_state = ConfState { voters: vec![1, 2, 3], ..ConfState::default() };
/// # storage.apply_snapshot(&Snapshot { metadata: SnapshotMetadata { conf_state, ..Default::default() }, ..Default::default() })?;
/// let mut node = RawNode::new(Config::new(1, 42), storage, Logger::root(Discard, o!()), None)?;
/// assert!(!node.has_ready());
///
/// node.campaign()?; // one of three: it becomes a candidate and asks the others
/// assert_eq!(node.basic_status().soft_state.raft_state, StateType::Candidate);
/// let rd = node.ready()?.expect("there are votes to ask for");
/// assert_eq!(rd.messages().iter().map(|m| m.to).collect::<Vec<_>>(), [2, 3]);
/// assert_eq!(rd.hard_state().map(|hs| (hs.term, hs.vote)), Some((1, 1)));
/// assert!(rd.must_sync(), "the vote for itself must be durable");
/// node.advance(rd.persisted())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct RawNode<S: Storage, M: StorageWrites = SyncWrites> {
    raft: Raft<S>,
    writes: M,
    max_uncommitted_entries_size: u64,
}

/// Tells the Readies of one node from those of another: ids do not, groups share them.
static OWNERS: AtomicU64 = AtomicU64::new(1);

impl<S: Storage> RawNode<S, SyncWrites> {
    /// A node that starts from what the storage holds. Go: NewRawNode
    ///
    /// The storage is a handle: the node reads through it what the application writes through another. To start a new group either
    /// call [`bootstrap`](RawNode::bootstrap) next, or, better, give each member a storage with a snapshot whose configuration names all.
    ///
    /// # Errors
    /// [`raft::Error::Config`] names the field that will not do; a storage that cannot be read or contradicts itself is reported. No node is made.
    #[doc(alias = "NewRawNode")]
    pub fn new(
        config: Config,
        storage: S,
        logger: Logger,
        tracer: Option<Arc<dyn Tracer>>,
    ) -> Result<Self, raft::Error> {
        let config = config.validated()?;
        Ok(Self {
            max_uncommitted_entries_size: config.max_uncommitted_entries_size,
            raft: Raft::new(config, storage, logger, tracer)?,
            writes: SyncWrites {
                owner: OWNERS.fetch_add(1, Ordering::Relaxed),
                outstanding: false,
                spare: None,
            },
        })
    }

    /// Takes back a Ready that is written and applied; what was handed out counts as done. Go: Advance
    ///
    /// After this, look at [`ready`](RawNode::ready) again.
    ///
    /// # Errors
    /// [`Error::ForeignReady`] when another node handed it out: nothing changed, but it is lost. A [`Fault`].
    #[doc(alias = "Advance")]
    pub fn advance(&mut self, persisted: Persisted) -> Result<(), Error> {
        let mut body = persisted.0;
        if body.owner != self.writes.owner {
            return Err(Error::ForeignReady);
        }
        let at_rest = body.round.moves_no_log();
        let result = self.raft.advance(&mut body.round);
        self.writes.outstanding = false;
        if at_rest {
            // A group that does no more than keep its leader takes no memory for what it may do some day: there may be thousands.
            self.raft.release_buffers();
        } else {
            self.writes.spare = Some(body);
        }
        Ok(result?)
    }

    /// Idle groups ask again and again: without buffers there was nothing lately, and a look at the node mostly says that there is nothing now.
    #[inline]
    pub(crate) fn sync_ready(&mut self) -> Result<Option<Ready>, Error> {
        if self.writes.spare.is_none() && !self.writes.outstanding && self.raft.at_rest() {
            return Ok(None);
        }
        self.next_ready()
    }

    fn next_ready(&mut self) -> Result<Option<Ready>, Error> {
        if self.writes.outstanding {
            return Err(self.raft.fault().map_or(Error::ReadyOutstanding, |f| {
                raft::Error::Fault(f.clone()).into()
            }));
        }
        let mut body = match self.writes.spare.take() {
            Some(body) => body,
            None => Box::new(Body {
                owner: self.writes.owner,
                ..Body::default()
            }),
        };
        match self.raft.next_round(&mut body.round) {
            Ok(true) => {
                self.writes.outstanding = true;
                Ok(Some(Ready(body)))
            }
            nothing => {
                self.writes.spare = Some(body);
                nothing?;
                Ok(None)
            }
        }
    }
}

impl<S: Storage> RawNode<S, AsyncWrites> {
    /// As [`new`](RawNode::new), but storage writes and applications run beside the node. Go: NewRawNode with Config.AsyncStorageWrites
    ///
    /// # Errors
    /// As [`new`](RawNode::new).
    pub fn new_async(
        config: Config,
        storage: S,
        logger: Logger,
        tracer: Option<Arc<dyn Tracer>>,
    ) -> Result<Self, raft::Error> {
        let config = config.validated()?;
        Ok(Self {
            max_uncommitted_entries_size: config.max_uncommitted_entries_size,
            raft: Raft::new(config, storage, logger, tracer)?,
            writes: AsyncWrites {
                batch: Batch::default(),
                order: Arc::default(),
                appends: 0,
                applies: 0,
            },
        })
    }

    /// Steps those of a work's responses that are to this node and returns the others, to be sent.
    ///
    /// # Errors
    /// A [`Fault`]; what the core refuses, which responses that a work returned never are.
    #[must_use = "the messages that are left are to be sent"]
    pub fn deliver(&mut self, mut responses: Vec<Message>) -> Result<Vec<Message>, raft::Error> {
        let id = self.raft.id();
        for m in responses.extract_if(.., |m| m.to == id) {
            self.raft.step(m)?;
        }
        Ok(responses)
    }

    /// Gives an emptied message buffer back: the next Ready's messages need none then. Optional.
    pub fn recycle(&mut self, mut messages: Vec<Message>) {
        messages.clear();
        if self.writes.batch.messages.capacity() < messages.capacity() {
            self.writes.batch.messages = messages;
        }
    }

    pub(crate) fn async_ready(&mut self) -> Result<Option<AsyncReady>, Error> {
        self.writes.order.check()?;
        let from = self.raft.id();
        let Some(pending) = self.raft.pending(WriteMode::Async)? else {
            return Ok(None);
        };
        let w = &mut self.writes;
        pending.accept(&mut w.batch);
        Ok(Some(AsyncReady {
            soft_state: w.batch.soft_state.take(),
            read_states: std::mem::take(&mut w.batch.read_states),
            messages: std::mem::take(&mut w.batch.messages),
            append: w.append_work(from),
            apply: w.apply_work(from),
        }))
    }
}

impl AsyncWrites {
    /// Go: needStorageAppendMsg, newStorageAppendMsg
    #[doc(alias = "needStorageAppendMsg")]
    fn append_work(&mut self, from: u64) -> Option<AppendWork> {
        let b = &mut self.batch;
        let write = Write {
            hard_state: b.hard_state.take(),
            snapshot: b.snapshot.take(),
            entries: std::mem::take(&mut b.entries),
            must_sync: b.must_sync,
        };
        // The core makes append_resp also when there is nothing new to write, but etcd sends it with a MsgStorageAppend only.
        if write.is_empty() && b.messages_after_append.is_empty() {
            return None;
        }
        let mut responses = std::mem::take(&mut b.messages_after_append);
        // After the node's own MsgAppResp: it finds the terms of entries while they are still in the unstable log.
        responses.extend(b.append_resp.take());
        self.appends += 1;
        let turn = Turn::new(&self.order, Work::Append, self.appends);
        Some(AppendWork(Box::new(AppendBody {
            from,
            write,
            responses,
            turn,
        })))
    }

    /// Go: needStorageApplyMsg, newStorageApplyMsg
    #[doc(alias = "needStorageApplyMsg")]
    fn apply_work(&mut self, from: u64) -> Option<ApplyWork> {
        let entries = std::mem::take(&mut self.batch.committed_entries);
        if entries.is_empty() {
            return None;
        }
        self.applies += 1;
        Some(ApplyWork {
            from,
            entries,
            response: self.batch.apply_resp.take(),
            turn: Turn::new(&self.order, Work::Apply, self.applies),
        })
    }
}

impl<S: Storage, M: StorageWrites> RawNode<S, M> {
    /// What is to be done now; `None` when there is nothing. A [`Ready`], or an [`AsyncReady`] for a node made with
    /// [`new_async`](RawNode::new_async). Go: Ready
    ///
    /// Call it after whatever may have changed the node: `tick`, `step`, a proposal, `advance`.
    ///
    /// # Errors
    /// [`Error::ReadyOutstanding`] while the Ready before was not advanced past, [`Error::OutOfOrder`] and [`Error::WorkDropped`] when works were not
    /// done as they must be: nothing is handed out any more. A [`Fault`].
    ///
    /// ```
    /// # use raft::raftpb::{ConfState, Snapshot, SnapshotMetadata};
    /// # let storage = storage_mem::MemoryStorage::new();
    /// # let conf_state = ConfState { voters: vec![1], ..ConfState::default() };
    /// # storage.apply_snapshot(&Snapshot { metadata: SnapshotMetadata { conf_state, ..Default::default() }, ..Default::default() })?;
    /// # let logger = raft::slog::Logger::root(raft::slog::Discard, raft::slog::o!());
    /// use tickraft_rawnode::{Error, RawNode};
    /// let mut node = RawNode::new(raft::Config::new(1, 42), storage, logger, None)?;
    /// node.campaign()?;
    /// drop(node.ready()?); // was it written? nobody knows
    /// assert_eq!(node.ready().unwrap_err(), Error::ReadyOutstanding);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "Ready")]
    #[doc(alias = "readyWithoutAccept")]
    pub fn ready(&mut self) -> Result<Option<M::Ready>, Error> {
        M::ready(self)
    }

    /// Whether [`ready`](RawNode::ready) would return something. Reads no entries. Go: HasReady
    #[must_use]
    #[doc(alias = "HasReady")]
    pub fn has_ready(&self) -> bool {
        self.raft.has_pending(M::MODE)
    }

    /// Starts a new group: appends a configuration change for each peer, committed, to an empty storage. Each member does the same
    /// with the same peers. Go: Bootstrap
    ///
    /// # Errors
    /// [`raft::Error::NoPeers`], [`raft::Error::NonemptyStorage`], a change that cannot be, or a storage that cannot be read. Nothing changed.
    #[doc(alias = "Bootstrap")]
    pub fn bootstrap(&mut self, peers: &[Peer]) -> Result<(), raft::Error> {
        self.raft.bootstrap(peers)
    }

    /// Lets a tick of the logical clock pass: heartbeats go out, elections start. Go: Tick
    ///
    /// # Errors
    /// A [`Fault`].
    #[doc(alias = "Tick")]
    pub fn tick(&mut self) -> Result<(), raft::Error> {
        self.raft.tick()
    }

    /// Lets a tick pass that only counts towards an election: for groups that are known to be idle. Go: TickQuiesced
    #[doc(alias = "TickQuiesced")]
    pub fn tick_quiesced(&mut self) {
        self.raft.tick_quiesced();
    }

    /// Starts an election now. Go: Campaign
    ///
    /// # Errors
    /// A [`Fault`]. A node that may not campaign says so in the [`Outcome`].
    #[doc(alias = "Campaign")]
    pub fn campaign(&mut self) -> Result<Outcome, raft::Error> {
        self.raft.step(Message::new(MessageType::MsgHup))
    }

    /// Proposes data: a leader appends it, a follower forwards it. Go: Propose
    ///
    /// Whether it is committed shows when it comes among the entries to apply; it may also be lost without a word.
    ///
    /// # Errors
    /// [`raft::Error::ProposalDropped`] with the reason; a [`Fault`].
    #[doc(alias = "Propose")]
    pub fn propose(&mut self, data: Bytes) -> Result<Outcome, raft::Error> {
        self.raft.propose(data)
    }

    /// Proposes several entries at once, all or none; see [`Entry::proposal`].
    ///
    /// # Errors
    /// As [`propose`](RawNode::propose).
    pub fn propose_entries(&mut self, entries: Entries) -> Result<Outcome, raft::Error> {
        self.raft.propose_entries(entries)
    }

    /// Proposes a configuration change. Go: ProposeConfChange
    ///
    /// A leader that refuses it (one is open already, say) appends an empty entry instead and says so in the [`Outcome`].
    ///
    /// # Errors
    /// As [`propose`](RawNode::propose).
    #[doc(alias = "ProposeConfChange")]
    pub fn propose_conf_change(&mut self, cc: &dyn ConfChangeI) -> Result<Outcome, raft::Error> {
        self.raft.propose_conf_change(cc)
    }

    /// Applies a committed configuration change; call it for each one among the entries to apply, unless the application refuses it.
    /// The result belongs into the application's snapshots. Go: ApplyConfChange
    ///
    /// # Errors
    /// [`raft::Error::ConfChange`] for a change that cannot be: nothing changed, on any node. A [`Fault`].
    #[doc(alias = "ApplyConfChange")]
    pub fn apply_conf_change(&mut self, cc: &dyn ConfChangeI) -> Result<ConfState, raft::Error> {
        self.raft.apply_conf_change(&cc.as_v2())
    }

    /// Takes a message from another node, or a response of this node's storage threads. Go: Step
    ///
    /// # Errors
    /// [`raft::Error::StepLocalMsg`] for what only the node itself makes, [`raft::Error::StepPeerNotFound`] for an answer of a node that is not in the
    /// configuration; what the core refuses. In all these cases nothing changed. A [`Fault`].
    ///
    /// ```
    /// # let storage = storage_mem::MemoryStorage::new();
    /// # let logger = raft::slog::Logger::root(raft::slog::Discard, raft::slog::o!());
    /// use raft::raftpb::{Message, MessageType};
    /// use tickraft_rawnode::RawNode;
    /// let mut node = RawNode::new(raft::Config::new(1, 42), storage, logger, None)?;
    /// let hup = Message { from: 2, ..Message::new(MessageType::MsgHup) };
    /// assert_eq!(node.step(hup), Err(raft::Error::StepLocalMsg)); // nobody else may start our election
    /// # Ok::<(), raft::Error>(())
    /// ```
    #[doc(alias = "Step")]
    #[inline]
    pub fn step(&mut self, mut m: Message) -> Result<Outcome, raft::Error> {
        self.step_mut(&mut m)
    }

    /// [`step`](RawNode::step) for whoever keeps the message's memory, an inbox say: what the node needs of it is taken out.
    ///
    /// # Errors
    /// As [`step`](RawNode::step); a message that is refused is left as it is.
    pub fn step_mut(&mut self, m: &mut Message) -> Result<Outcome, raft::Error> {
        self.raft.step_remote(m)
    }

    /// Everything the node knows of itself and its peers. Allocates. Go: Status
    #[must_use]
    #[doc(alias = "Status")]
    pub fn status(&self) -> Status {
        self.raft.status()
    }

    /// What the node knows of itself. Allocates nothing. Go: BasicStatus
    #[must_use]
    #[doc(alias = "BasicStatus")]
    pub fn basic_status(&self) -> BasicStatus {
        self.raft.basic_status()
    }

    /// Shows each member's progress in id order; it means something on a leader only. Allocates nothing. Go: WithProgress
    #[doc(alias = "WithProgress")]
    pub fn with_progress(&self, visitor: impl FnMut(u64, ProgressType, &Progress)) {
        self.raft.with_progress(visitor);
    }

    /// Tells that a message could not be delivered: the leader probes that follower instead of streaming to it. Go: ReportUnreachable
    ///
    /// # Errors
    /// A [`Fault`].
    #[doc(alias = "ReportUnreachable")]
    pub fn report_unreachable(&mut self, id: u64) -> Result<Outcome, raft::Error> {
        self.raft.step(Message {
            from: id,
            ..Message::new(MessageType::MsgUnreachable)
        })
    }

    /// Tells how the sending of a `MsgSnap` ended. A failure must be reported: the leader sends that follower nothing until then. Go: ReportSnapshot
    ///
    /// # Errors
    /// A [`Fault`].
    #[doc(alias = "ReportSnapshot")]
    pub fn report_snapshot(
        &mut self,
        id: u64,
        status: SnapshotStatus,
    ) -> Result<Outcome, raft::Error> {
        self.raft.step(Message {
            from: id,
            reject: status == SnapshotStatus::Failure,
            ..Message::new(MessageType::MsgSnapStatus)
        })
    }

    /// Asks the leader to hand over to a voter. Go: TransferLeader
    ///
    /// # Errors
    /// A [`Fault`].
    #[doc(alias = "TransferLeader")]
    pub fn transfer_leader(&mut self, transferee: u64) -> Result<Outcome, raft::Error> {
        self.raft.step(Message {
            from: transferee,
            ..Message::new(MessageType::MsgTransferLeader)
        })
    }

    /// Makes a follower forget its leader, without campaigning: it grants (pre-)votes at once, where it is known by other means that the
    /// leader is dead. Go: ForgetLeader
    ///
    /// # Errors
    /// A [`Fault`].
    #[doc(alias = "ForgetLeader")]
    pub fn forget_leader(&mut self) -> Result<Outcome, raft::Error> {
        self.raft.step(Message::new(MessageType::MsgForgetLeader))
    }

    /// Asks for an index such that a state machine which has applied it may serve reads asked for before. The answer is a
    /// [`ReadState`](raft::ReadState) with the same context in a later Ready; it may be lost without a word: ask again. Go: ReadIndex
    ///
    /// # Errors
    /// A [`Fault`].
    #[doc(alias = "ReadIndex")]
    pub fn read_index(&mut self, rctx: Bytes) -> Result<Outcome, raft::Error> {
        self.raft.step(Message {
            entries: Entry::proposal(rctx).into(),
            ..Message::new(MessageType::MsgReadIndex)
        })
    }

    /// Tells that the caller could not write: the node stops, every later call returns the [`Fault`].
    ///
    /// Call it instead of `persisted` or `done`. For a full disk ([`storage::Error::NoSpace`]) the write may be tried again first.
    ///
    /// ```
    /// # use raft::raftpb::{ConfState, Snapshot, SnapshotMetadata};
    /// # let storage = storage_mem::MemoryStorage::new();
    /// # let conf_state = ConfState { voters: vec![1], ..ConfState::default() };
    /// # storage.apply_snapshot(&Snapshot { metadata: SnapshotMetadata { conf_state, ..Default::default() }, ..Default::default() })?;
    /// # let logger = raft::slog::Logger::root(raft::slog::Discard, raft::slog::o!());
    /// # use tickraft_rawnode::RawNode;
    /// let mut node = RawNode::new(raft::Config::new(1, 42), storage, logger, None)?;
    /// node.campaign()?;
    /// let rd = node.ready()?.expect("a vote to write");
    /// let broken = raft::storage::Error::other("the disk is gone");
    /// node.fail(broken.clone());
    /// drop(rd);
    /// assert_eq!(node.fault().map(|f| f.storage_error()), Some(&broken));
    /// assert!(node.ready().is_err() && node.tick().is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn fail(&mut self, e: storage::Error) {
        self.raft.fail(e);
    }

    /// Why the node stopped, if it did.
    #[must_use]
    pub fn fault(&self) -> Option<&Fault> {
        self.raft.fault()
    }

    /// Makes the node campaign after exactly so many ticks without a leader, until the next reset draws another number: for scripts and tests.
    #[doc(alias = "SetRandomizedElectionTimeout")]
    pub fn set_randomized_election_timeout(&mut self, ticks: u32) {
        self.raft.set_randomized_election_timeout(ticks);
    }

    /// [`Config::max_uncommitted_entries_size`] as it is in force, `u64::MAX` for no limit: whoever proposes several entries at once keeps them below it, because
    /// a leader that has nothing uncommitted takes one proposal of any size.
    #[must_use]
    pub fn max_uncommitted_entries_size(&self) -> u64 {
        self.max_uncommitted_entries_size
    }

    /// The core, to read from.
    #[must_use]
    pub fn raft(&self) -> &Raft<S> {
        &self.raft
    }
}

impl<S: Storage, M: StorageWrites> fmt::Debug for RawNode<S, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawNode")
            .field("status", &self.raft.basic_status())
            .field("fault", &self.raft.fault())
            .finish_non_exhaustive()
    }
}
