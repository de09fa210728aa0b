//! The core's ends of the channels. Go: struct node

use crate::ticket::{Accepted, Completer};
use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender};
use rawnode::StorageWrites;
use rawnode::raft::Status;
use rawnode::raft::raftpb::{ConfChangeV2, ConfState, Entries, Entry, Message};
use rawnode::raft::storage;

/// What waits for a leader.
pub(crate) enum Proposal {
    Data(Bytes, Completer<Accepted>),
    ConfChange(Entry, Completer<Accepted>),
    /// The entries of a `MsgProp` that another node sent on.
    Forwarded(Entries),
}

pub(crate) struct ConfChangeRequest(pub(crate) ConfChangeV2, pub(crate) Completer<ConfState>);

/// Boxed: a Status is large, and rare.
pub(crate) struct StatusRequest(pub(crate) Completer<Box<Status>>);

pub(crate) enum Stop {
    Requested,
    /// The application could not write.
    Failed(storage::Error),
}

pub(crate) struct Ports<M: StorageWrites> {
    pub(crate) propc: Receiver<Proposal>,
    pub(crate) recvc: Receiver<Message>,
    pub(crate) confc: Receiver<ConfChangeRequest>,
    pub(crate) readyc: Sender<M::Ready>,
    pub(crate) advancec: Receiver<M::Persisted>,
    pub(crate) tickc: Receiver<()>,
    pub(crate) statusc: Receiver<StatusRequest>,
    pub(crate) stopc: Receiver<Stop>,
}

impl<M: StorageWrites> Ports<M> {
    /// Drops what waits, so that whoever waits for an answer learns that none comes.
    pub(crate) fn empty(&self) {
        self.propc.try_iter().for_each(drop);
        self.confc.try_iter().for_each(drop);
        self.statusc.try_iter().for_each(drop);
    }
}
