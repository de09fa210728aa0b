//! What can go wrong, and what became of a message that did not go wrong. Go: ErrProposalDropped and its kin

use crate::confchange;
use crate::raftpb::{ConfStateMismatch, MessageType};
use std::fmt;
use std::sync::Arc;

/// Why a call failed. The texts are etcd's where etcd has one; reasons are fields.
///
/// Unless a variant says otherwise, nothing changed and the node goes on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The proposal was not taken; try again where and when the reason lets. Go: ErrProposalDropped
    #[error("raft proposal dropped")]
    ProposalDropped(DropReason),
    /// Messages of this type do not come from a network. Go: ErrStepLocalMsg
    #[error("raft: cannot step raft local message")]
    StepLocalMsg,
    /// An answer of a node that is not in the configuration. Go: ErrStepPeerNotFound
    #[error("raft: cannot step as peer not found")]
    StepPeerNotFound,
    /// A field of the configuration will not do; no node was made.
    #[error("{reason}")]
    Config {
        /// The field of [`Config`](crate::Config).
        field: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The message contradicts itself: its sender is broken, or it was forged or damaged on the way. It was refused whole,
    /// before its term was looked at. etcd panics on some of these and believes the others.
    #[error("malformed {msg_type} from {from:x}: {what}")]
    Malformed {
        /// The type of the message.
        msg_type: MessageType,
        /// Who claims to have sent it.
        from: u64,
        /// What is wrong with it.
        what: Malformed,
    },
    /// The sender says that an entry is committed which our log does not have. Either this node lost what it had acknowledged, or the
    /// sender is broken. The message was refused whole and the node goes on; etcd panics here.
    #[error(
        "tocommit({commit}) is out of range [lastIndex({last_index})]. Was the raft log corrupted, truncated, or lost?"
    )]
    CommitOutOfRange {
        /// Who sent it.
        from: u64,
        /// The term of the message.
        term: u64,
        /// What it says is committed.
        commit: u64,
        /// Where our log ends.
        last_index: u64,
    },
    /// The configuration change cannot be applied to the active configuration. etcd panics here.
    #[error("{0}")]
    ConfChange(#[from] confchange::Error),
    /// The stored configuration is none that changes could lead to; no node was made. etcd panics here.
    #[error("{0}")]
    ConfState(#[from] ConfStateMismatch),
    /// `bootstrap` was called without peers.
    #[error("must provide at least one peer to Bootstrap")]
    NoPeers,
    /// `bootstrap` was called with a storage that holds something.
    #[error("can't bootstrap a nonempty Storage")]
    NonemptyStorage,
    /// The stored hard state does not fit the stored log; no node was made. etcd panics here.
    #[error("{id:x} state.commit {commit} is out of range [{first}, {last}]")]
    HardStateOutOfRange {
        /// The node.
        id: u64,
        /// The commit index of the hard state.
        commit: u64,
        /// The smallest commit index that fits the log.
        first: u64,
        /// The largest.
        last: u64,
    },
    /// `Config::applied` lies outside of what is committed; no node was made. etcd panics here.
    #[error("applied({applied}) is out of range [prevApplied({first}), committed({last})]")]
    AppliedOutOfRange {
        /// What the configuration says is applied.
        applied: u64,
        /// The smallest applied index that fits the log.
        first: u64,
        /// What is committed.
        last: u64,
    },
    /// The local storage failed, or broke its promises. The node has stopped: every later call that could change it returns
    /// this error. Find out what happened to the storage, then start anew from it.
    #[error("{0}")]
    Fault(#[from] Fault),
}

/// Why a node stopped: its storage failed, or lost what it had promised. Cheap to clone; equal only to its clones.
#[derive(Clone, Debug)]
pub struct Fault(Arc<FaultInner>);

#[derive(Debug)]
struct FaultInner {
    during: &'static str,
    source: storage::Error,
}

impl Fault {
    pub(crate) fn new(during: &'static str, source: storage::Error) -> Self {
        Self(Arc::new(FaultInner { during, source }))
    }

    /// What the core, or the driver, was doing.
    #[must_use]
    pub fn during(&self) -> &'static str {
        self.0.during
    }

    /// What the storage said.
    #[must_use]
    pub fn storage_error(&self) -> &storage::Error {
        &self.0.source
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "storage failed while {}: {}; the node has stopped",
            self.0.during, self.0.source
        )
    }
}

impl std::error::Error for Fault {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0.source)
    }
}

impl PartialEq for Fault {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Fault {}

/// What became of a message or a proposal that was no error.
///
/// etcd's Step returns nil for all of these; the difference is kept here for callers that want to know.
///
/// ```
/// # use tickraft::{Config, DropReason, Error, Outcome, Peer, Raft};
/// # let log = slog::Logger::root(slog::Discard, slog::o!());
/// # let mut raft = Raft::new(Config::new(1, 42), storage_mem::MemoryStorage::new(), log, None)?;
/// use tickraft::raftpb::{Message, MessageType};
/// raft.bootstrap(&[Peer { id: 1, ..Peer::default() }, Peer { id: 2, ..Peer::default() }])?;
/// let hup = || Message::new(MessageType::MsgHup);
/// // The changes that made the group are committed and not applied yet.
/// assert_eq!(raft.step(hup())?, Outcome::Dropped(DropReason::PendingConfChange));
/// // A follower without a leader: the reason says that trying again later is of use.
/// assert_eq!(raft.propose("x".into()), Err(Error::ProposalDropped(DropReason::NoLeader)));
/// // Node 2 leads: what is proposed here is sent on.
/// raft.step(Message { from: 2, term: 2, ..Message::new(MessageType::MsgHeartbeat) })?;
/// assert_eq!(raft.propose("x".into())?, Outcome::Forwarded { to: 2 });
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// Dealt with.
    Done,
    /// The proposal was appended to the log of this leader; whether it will be committed is open.
    Appended {
        /// The term of the entries.
        term: u64,
        /// The index of the last of the entries.
        index: u64,
    },
    /// Ignored, as etcd does silently.
    Dropped(DropReason),
    /// The proposed configuration change does not fit the active configuration: an empty entry was appended in its place.
    Refused {
        /// The index of the empty entry.
        index: u64,
        /// What does not fit.
        reason: RefuseReason,
    },
    /// Sent on to the leader. What it does with it cannot be told from here.
    Forwarded {
        /// The leader.
        to: u64,
    },
}

/// Why something was ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum DropReason {
    /// No leader is known in this term: try again later, or elsewhere.
    #[error("no leader at this term")]
    NoLeader,
    /// This node does not lead and [`Config::disable_proposal_forwarding`](crate::Config::disable_proposal_forwarding) is on.
    #[error("not the leader, and forwarding is disabled")]
    ForwardingDisabled,
    /// This leader is no longer in the configuration.
    #[error("this node is not in the configuration")]
    NotMember,
    /// Leadership is on its way to another node.
    #[error("transfer of leadership to {transferee:x} is in progress")]
    TransferInProgress {
        /// The node that is to lead.
        transferee: u64,
    },
    /// [`Config::max_uncommitted_entries_size`](crate::Config::max_uncommitted_entries_size) is reached: try again when some were applied.
    #[error("uncommitted entry size limit exceeded")]
    UncommittedSize,
    /// A vote was asked for while this node hears of a leader.
    #[error("lease is not expired")]
    InLease,
    /// The message is of an earlier term.
    #[error("the message is of an earlier term")]
    LowerTerm,
    /// The sender, or the node that the message is about, is not in the configuration.
    #[error("no progress available for the node")]
    NoProgress,
    /// Messages of this type mean nothing to a node in this role.
    #[error("not for a node in this role")]
    WrongRole,
    /// This node leads already.
    #[error("already leader")]
    AlreadyLeader,
    /// This node may not campaign: it is a learner, not in the configuration, or about to take a snapshot.
    #[error("this node is unpromotable")]
    Unpromotable,
    /// This node's term is the largest there is: no election can follow.
    #[error("no term follows this one")]
    TermsExhausted,
    /// A committed configuration change is not applied yet, so this node may not campaign.
    #[error("pending configuration changes to apply")]
    PendingConfChange,
    /// A learner cannot lead.
    #[error("the node is a learner")]
    Learner,
    /// With [`ReadOnlyOption::LeaseBased`](crate::ReadOnlyOption::LeaseBased) a leader must not be forgotten.
    #[error("leases are in use")]
    LeaseBased,
    /// The message tells what is known already, or what no longer is so.
    #[error("the message is out of date")]
    Stale,
}

/// Why a configuration change was refused when it was proposed. Prints etcd's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum RefuseReason {
    /// An earlier change may not be applied yet: try again once `index` is.
    #[error("possible unapplied conf change at index {index} (applied to {applied})")]
    PendingConfChange {
        /// Where the earlier change is, at the latest.
        index: u64,
        /// What is applied.
        applied: u64,
    },
    /// The configuration is joint: leave it first.
    #[error("must transition out of joint config first")]
    MustLeaveJoint,
    /// The configuration is not joint, so there is nothing to leave.
    #[error("not in joint state; refusing empty conf change")]
    NotJoint,
}

/// How a message contradicts itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// A message between nodes without a term.
    #[error("it has no term")]
    NoTerm,
    /// A term that no election reaches: the largest number is refused because no term can follow it.
    #[error("its term is out of range")]
    TermOutOfRange,
    /// Proposals and read requests carry no term.
    #[error("it has a term")]
    HasTerm,
    /// It must say who sent it.
    #[error("it has no sender")]
    NoSender,
    /// It claims to come from this node, which does not send such messages to itself.
    #[error("it claims to come from this node")]
    FromSelf,
    /// Another number of entries is needed.
    #[error("it has {count} entries")]
    EntryCount {
        /// How many there are.
        count: usize,
    },
    /// An entry's index does not follow the one before.
    #[error("the index of entry {index} does not follow")]
    EntryIndex {
        /// The index that does not fit.
        index: u64,
    },
    /// Terms fall within the entries, or rise above the message's.
    #[error("the term of entry {index} does not fit")]
    EntryTerm {
        /// The index of the entry whose term does not fit.
        index: u64,
    },
    /// An index so large that none can follow it.
    #[error("index {index} is out of range")]
    IndexOutOfRange {
        /// The index.
        index: u64,
    },
    /// The context of a heartbeat has eight bytes or none.
    #[error("its context has {len} bytes")]
    Context {
        /// How many it has.
        len: usize,
    },
    /// The snapshot's configuration is none that changes could lead to.
    #[error("its snapshot's configuration is invalid")]
    ConfState,
    /// The snapshot is missing, empty, or of a later term than the message.
    #[error("its snapshot does not fit")]
    Snapshot,
    /// The data of a configuration change does not decode.
    #[error("the configuration change in it does not decode")]
    ConfChange,
    /// It acknowledges what was never written or applied.
    #[error("it acknowledges what was not handed out")]
    NotOutstanding,
}
