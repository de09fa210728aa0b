//! The two ways of writing to storage, as types. Go: Config.AsyncStorageWrites

use crate::order::Order;
use crate::ready::Body;
use crate::{AsyncReady, DescribeReady, Error, Persisted, RawNode, Ready};
use raft::storage::Storage;
use raft::{Batch, WriteMode};
use std::convert::Infallible;
use std::sync::Arc;

/// How a node's storage writes are done: [`SyncWrites`] or [`AsyncWrites`]. Sealed; it replaces Go's Config.AsyncStorageWrites.
///
/// Code that drives nodes of either kind is generic over it.
#[doc(alias = "AsyncStorageWrites")]
pub trait StorageWrites: sealed::Sealed + Send + Sized + 'static {
    /// The core's word for it.
    const MODE: WriteMode;
    /// What [`RawNode::ready`] returns.
    type Ready: DescribeReady + Send + 'static;
    /// What [`advance`](StorageWrites::advance) takes; uninhabited for [`AsyncWrites`], which has no such step.
    type Persisted: Send + 'static;

    /// [`RawNode::ready`], for generic code.
    ///
    /// # Errors
    /// As [`RawNode::ready`].
    fn ready<S: Storage>(node: &mut RawNode<S, Self>) -> Result<Option<Self::Ready>, Error>;

    /// [`RawNode::advance`], for generic code. Nobody can call it for [`AsyncWrites`].
    ///
    /// # Errors
    /// As [`RawNode::advance`].
    fn advance<S: Storage>(
        node: &mut RawNode<S, Self>,
        persisted: Self::Persisted,
    ) -> Result<(), Error>;
}

/// Each Ready is written before the next is asked for. The default.
#[derive(Debug)]
pub struct SyncWrites {
    /// Tells this node's Readies from those of others.
    pub(crate) owner: u64,
    /// Whether a Ready is out.
    pub(crate) outstanding: bool,
    /// The buffers, while no Ready is out.
    pub(crate) spare: Option<Box<Body>>,
}

/// Writes and applications run beside the node; several Readies may be out.
#[derive(Debug)]
pub struct AsyncWrites {
    pub(crate) batch: Batch,
    pub(crate) order: Arc<Order>,
    /// How many AppendWorks were handed out.
    pub(crate) appends: u64,
    /// How many ApplyWorks were handed out.
    pub(crate) applies: u64,
}

impl StorageWrites for SyncWrites {
    const MODE: WriteMode = WriteMode::Sync;
    type Ready = Ready;
    type Persisted = Persisted;

    fn ready<S: Storage>(node: &mut RawNode<S, Self>) -> Result<Option<Ready>, Error> {
        node.sync_ready()
    }

    fn advance<S: Storage>(node: &mut RawNode<S, Self>, persisted: Persisted) -> Result<(), Error> {
        node.advance(persisted)
    }
}

impl StorageWrites for AsyncWrites {
    const MODE: WriteMode = WriteMode::Async;
    type Ready = AsyncReady;
    type Persisted = Infallible;

    fn ready<S: Storage>(node: &mut RawNode<S, Self>) -> Result<Option<AsyncReady>, Error> {
        node.async_ready()
    }

    fn advance<S: Storage>(_: &mut RawNode<S, Self>, persisted: Infallible) -> Result<(), Error> {
        match persisted {}
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::SyncWrites {}
    impl Sealed for super::AsyncWrites {}
}
