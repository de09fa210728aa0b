//! A peer's message that the core refused, and whoever wants to know. Go has a panic or silence here

use rawnode::raft;
use rawnode::raft::raftpb::MessageType;
use rawnode::raft::storage;

/// A message from a peer that the core refused; nothing changed. Responses of nodes that are no members are not among them: those are ordinary. See
/// [`NodeOptions::spawn_watched`](crate::NodeOptions::spawn_watched).
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Refused<'a> {
    /// Who sent it.
    pub from: u64,
    /// Its type.
    pub msg_type: MessageType,
    /// The term that it carries.
    pub term: u64,
    /// This node's term, then as now.
    pub own_term: u64,
    /// Why.
    pub error: &'a raft::Error,
}

pub(crate) type OnRefused = Box<dyn FnMut(&Refused<'_>) -> Result<(), storage::Error> + Send>;
