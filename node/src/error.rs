//! Why a node did not do what was asked. Go: ErrStopped, ErrProposalDropped

use rawnode::raft;
use rawnode::raft::{DropReason, Fault, RefuseReason};
use std::sync::Arc;

/// Why a node did not do what was asked. Where Go has the error, the text is Go's and reasons are fields.
///
/// [`Stopped`](Error::Stopped), [`Fault`](Error::Fault), [`Panicked`](Error::Panicked) and [`Misuse`](Error::Misuse) are ends: the node's thread is gone,
/// and every later call returns the same.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The node was stopped. A proposal whose ticket says this was not taken. Go: ErrStopped
    #[doc(alias = "ErrStopped")]
    #[error("raft: stopped")]
    Stopped,
    /// As many proposals wait as [`NodeOptions::propose_queue`](crate::NodeOptions::propose_queue) allows: no leader is known, or they come faster than they can
    /// be taken. Nothing changed; try again later.
    #[error("the queue of proposals is full; nothing was proposed, try again later")]
    QueueFull,
    /// The proposal was not taken; the reason says where and when it may be. Go: ErrProposalDropped
    #[doc(alias = "ErrProposalDropped")]
    #[error("raft proposal dropped")]
    ProposalDropped(DropReason),
    /// The configuration change does not fit the active configuration; the leader appended an empty entry in its place. In Go the proposer never learns of it.
    #[error(
        "configuration change refused: {reason}; an empty entry was appended in its place at {index}"
    )]
    Refused {
        /// The index of the empty entry.
        index: u64,
        /// What does not fit.
        reason: RefuseReason,
    },
    /// The storage failed, so the node's thread ended. Find out what happened to the storage, then start anew from it.
    #[error("{0}")]
    Fault(#[from] Fault),
    /// The node's thread panicked: a bug, in this crate or in the storage, logger or tracer that it calls.
    #[error("the node's thread panicked: {0}; the node has stopped")]
    Panicked(Arc<str>),
    /// The application did not do as it must with a Ready or a work, so the node's thread ended.
    #[error("the node has stopped: {0}")]
    Misuse(rawnode::Error),
    /// The call would have waited for a node, and came from inside a node's turn: from an application that is called with Readies, a storage, a logger or a
    /// tracer. That turn may be what it would have waited for. Nothing was asked; ask from another thread.
    #[error(
        "called from inside a node's turn, where nothing may wait for a node; nothing was asked"
    )]
    Inside,
    /// The core refused it. Nothing changed.
    #[error("{0}")]
    Raft(raft::Error),
    /// The system did not start a thread; there is no node.
    #[error("cannot start the node's thread: {0}")]
    Spawn(#[source] Arc<std::io::Error>),
}

impl From<raft::Error> for Error {
    fn from(e: raft::Error) -> Self {
        match e {
            raft::Error::Fault(f) => Self::Fault(f),
            raft::Error::ProposalDropped(reason) => Self::ProposalDropped(reason),
            e => Self::Raft(e),
        }
    }
}

impl From<rawnode::Error> for Error {
    fn from(e: rawnode::Error) -> Self {
        match e {
            rawnode::Error::Raft(e) => e.into(),
            e => Self::Misuse(e),
        }
    }
}

/// A carried I/O error is compared by identity.
impl PartialEq for Error {
    fn eq(&self, other: &Self) -> bool {
        use Error::*;
        match (self, other) {
            (Stopped, Stopped) | (QueueFull, QueueFull) | (Inside, Inside) => true,
            (ProposalDropped(a), ProposalDropped(b)) => a == b,
            (
                Refused { index, reason },
                Refused {
                    index: i,
                    reason: r,
                },
            ) => (index, reason) == (i, r),
            (Fault(a), Fault(b)) => a == b,
            (Panicked(a), Panicked(b)) => a == b,
            (Misuse(a), Misuse(b)) => a == b,
            (Raft(a), Raft(b)) => a == b,
            (Spawn(a), Spawn(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}

impl Eq for Error {}
