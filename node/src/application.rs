//! An application that is called with each Ready, wherever a turn is taken. Go has only the channel

use crate::error::Error;
use crate::node::not_local;
use crate::run::{Member, OnReady};
use rawnode::raft::raftpb::{ConfChangeI, ConfChangeV2, ConfState, Message};
use rawnode::raft::storage::{self, Storage};
use rawnode::{AsyncReady, AsyncWrites, Persisted, Ready, StorageWrites, SyncWrites};
use std::marker::PhantomData;

/// The node, for an application that it [calls](crate::NodeOptions::serve): what [`Node`](crate::Node) would do in a later turn is done at once, in this one.
pub struct Served<'a, M: StorageWrites = SyncWrites> {
    member: &'a mut dyn Own,
    _mode: PhantomData<fn() -> M>,
}

impl<'a, M: StorageWrites> Served<'a, M> {
    fn new<S: Storage>(member: &'a mut Member<S, M>) -> Self {
        Self {
            member,
            _mode: PhantomData,
        }
    }

    /// Applies a committed configuration change, as [`Node::apply_conf_change`](crate::Node::apply_conf_change), which would wait for this very turn.
    ///
    /// # Errors
    /// [`Error::Raft`] for a change that cannot be: nothing changed. [`Error::Fault`], and then the node ends when the application returns.
    pub fn apply_conf_change(&mut self, cc: &dyn ConfChangeI) -> Result<ConfState, Error> {
        self.member.apply(&cc.as_v2())
    }
}

impl Served<'_, AsyncWrites> {
    /// Steps those of a finished work's responses that are to this node and returns the others, to be sent, as [`Node::deliver`](crate::Node::deliver) does; no queue can be too full for it.
    ///
    /// # Errors
    /// [`Error::Raft`] for what is no response of a work; [`Error::Fault`], and then the node ends when the application returns. What came before it was stepped, what came after is lost.
    #[must_use = "the messages that are left are to be sent"]
    pub fn deliver(&mut self, mut responses: Vec<Message>) -> Result<Vec<Message>, Error> {
        let id = self.member.id();
        for m in responses.extract_if(.., |m| m.to == id) {
            self.member.step(m)?;
        }
        Ok(responses)
    }
}

impl<M: StorageWrites> std::fmt::Debug for Served<'_, M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Served").finish_non_exhaustive()
    }
}

/// A member, whatever its storage.
trait Own {
    fn id(&self) -> u64;
    fn apply(&mut self, cc: &ConfChangeV2) -> Result<ConfState, Error>;
    fn step(&mut self, m: Message) -> Result<(), Error>;
}

impl<S: Storage, M: StorageWrites> Own for Member<S, M> {
    fn id(&self) -> u64 {
        self.rn.raft().id()
    }

    fn apply(&mut self, cc: &ConfChangeV2) -> Result<ConfState, Error> {
        self.apply_conf_change(cc)
    }

    fn step(&mut self, m: Message) -> Result<(), Error> {
        not_local(&m)?;
        self.rn.step(m)?;
        Ok(())
    }
}

/// Around the application: what it could not write ends the node, what it wrote is advanced past.
pub(crate) fn on_ready<S: Storage>(
    mut application: impl FnMut(Ready, &mut Served<'_>) -> Result<Persisted, storage::Error>
    + Send
    + 'static,
) -> OnReady<S, SyncWrites> {
    Box::new(
        move |member, rd| match application(rd, &mut Served::new(member)) {
            // After a fault this says so.
            Ok(p) => Ok(member.rn.advance(p)?),
            Err(e) => member.fail(e),
        },
    )
}

/// The same where writes are asynchronous: works come back one by one, so there is nothing to advance past.
pub(crate) fn on_async_ready<S: Storage>(
    mut application: impl FnMut(AsyncReady, &mut Served<'_, AsyncWrites>) -> Result<(), storage::Error>
    + Send
    + 'static,
) -> OnReady<S, AsyncWrites> {
    Box::new(
        move |member, rd| match application(rd, &mut Served::new(member)) {
            Ok(()) => member.faultless(),
            Err(e) => member.fail(e),
        },
    )
}
