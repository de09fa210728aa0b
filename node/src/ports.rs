//! The thread's ends of the channels. Go: struct node

use crate::ticket::{Accepted, Completer};
use bytes::Bytes;
use crossbeam_channel::{Receiver, Select, Sender};
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

/// Waits for whatever comes next. Made once, because making one allocates.
pub(crate) struct Waiter<'a, M: StorageWrites> {
    ports: &'a Ports<M>,
    select: Select<'a>,
    /// Where `propc` is in `select`, while proposals are taken.
    propc: Option<usize>,
    /// Where `readyc` is in `select`, while a Ready waits for room.
    readyc: Option<usize>,
}

impl<'a, M: StorageWrites> Waiter<'a, M> {
    pub(crate) fn new(ports: &'a Ports<M>) -> Self {
        let mut select = Select::new();
        select.recv(&ports.recvc);
        select.recv(&ports.advancec);
        select.recv(&ports.tickc);
        select.recv(&ports.confc);
        select.recv(&ports.statusc);
        select.recv(&ports.stopc);
        Self {
            ports,
            select,
            propc: None,
            readyc: None,
        }
    }

    /// Blocks until there is something to do. Proposals count only where they are taken, and room for a Ready only where one waits.
    /// Go: the select of run
    pub(crate) fn wait(&mut self, proposals: bool, ready: bool) {
        match (proposals, self.propc) {
            (true, None) => self.propc = Some(self.select.recv(&self.ports.propc)),
            (false, Some(i)) => {
                self.select.remove(i);
                self.propc = None;
            }
            _ => {}
        }
        match (ready, self.readyc) {
            (true, None) => self.readyc = Some(self.select.send(&self.ports.readyc)),
            (false, Some(i)) => {
                self.select.remove(i);
                self.readyc = None;
            }
            _ => {}
        }
        self.select.ready();
    }
}
