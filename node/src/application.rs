//! An application that is called with each Ready, wherever a turn is taken. Go has only the channel

use crate::error::Error;
use crate::run::{Member, OnReady};
use rawnode::raft::raftpb::{ConfChangeI, ConfChangeV2, ConfState};
use rawnode::raft::storage::{self, Storage};
use rawnode::{Persisted, Ready, SyncWrites};

/// For an application that is [called with Readies](crate::NodeOptions::serve): applies committed configuration changes, which [`Node::apply_conf_change`](crate::Node::apply_conf_change)
/// cannot do from inside a turn.
pub struct Members<'a> {
    apply: &'a mut dyn FnMut(&ConfChangeV2) -> Result<ConfState, Error>,
}

impl Members<'_> {
    /// As [`Node::apply_conf_change`](crate::Node::apply_conf_change), at once.
    ///
    /// # Errors
    /// [`Error::Raft`] for a change that cannot be: nothing changed. [`Error::Fault`], and then the node ends when the application returns.
    pub fn apply_conf_change(&mut self, cc: &dyn ConfChangeI) -> Result<ConfState, Error> {
        (self.apply)(&cc.as_v2())
    }
}

impl std::fmt::Debug for Members<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Members").finish_non_exhaustive()
    }
}

/// Around the application: what it could not write ends the node, what it wrote is advanced past.
pub(crate) fn on_ready<S: Storage>(
    mut application: impl FnMut(Ready, &mut Members<'_>) -> Result<Persisted, storage::Error>
    + Send
    + 'static,
) -> OnReady<S, SyncWrites> {
    Box::new(move |member: &mut Member<S, SyncWrites>, rd| {
        let mut apply = |cc: &ConfChangeV2| member.apply_conf_change(cc);
        match application(rd, &mut Members { apply: &mut apply }) {
            // After a fault this says so.
            Ok(p) => Ok(member.rn.advance(p)?),
            Err(e) => member.fail(e),
        }
    })
}
