//! What the transport asks of its application. Go: rafthttp.Raft

use crate::{BoxError, Hello, Refusal, SnapshotBody, SnapshotSource};
use raftpb::{Message, Snapshot, SnapshotStatus};

/// The application's side of a [`Transport`](crate::Transport): usually a thin layer over a node. Go: rafthttp.Raft
///
/// No callback runs on a thread that called [`send`](crate::Transport::send), so a driver may send while it holds the lock that its callbacks take. Which thread
/// each runs on decides what its slowness costs; each method says it. [`Transport::stop`](crate::Transport::stop) waits for callbacks
/// that run: what they wait for must end first. A handler that keeps its transport keeps a `Weak` of it.
///
/// A callback that panics closes its connection, which the peer then dials again.
#[doc(alias = "Raft")]
pub trait Handler: Send + Sync + 'static {
    /// Takes a message that a peer sent: give it to the node's `step`. The message is for this node, from an admitted
    /// sender, and not of a local type; otherwise it is as the peer wrote it.
    ///
    /// Runs on the connection's thread, in the order of sending. While it blocks, that peer's messages wait (and in the end
    /// fill the peer's queue); no other peer's do.
    ///
    /// # Errors
    /// Counted and logged. For a MsgSnap the sender is told that the snapshot failed; otherwise nothing follows.
    fn process(&self, message: Message) -> Result<(), BoxError>;

    /// All messages that came with one read from `from`'s connection have been given to [`process`](Self::process). An application that gathers
    /// them hands them over here.
    fn end_of_batch(&self, _from: u64) {}

    /// Whether the id was removed from the cluster for good. Its connections are refused with [`Refusal::Removed`].
    /// Close a connection that is already open with [`remove_peer`](crate::Transport::remove_peer).
    #[doc(alias = "IsIDRemoved")]
    fn is_id_removed(&self, id: u64) -> bool;

    /// Messages to the peer were dropped or may have been lost: give it to the node's `report_unreachable`. Once for each run of drops and for each lost
    /// connection, not for each message.
    ///
    /// Runs on the report thread; while it blocks, other reports wait.
    fn report_unreachable(&self, id: u64);

    /// How the sending of a MsgSnap ended: give it to the node's `report_snapshot`. Exactly once for each MsgSnap given to `send`,
    /// unless the transport is stopped meanwhile.
    ///
    /// Runs on the report thread; while it blocks, other reports wait.
    fn report_snapshot(&self, id: u64, status: SnapshotStatus);

    /// Decides on a peer's handshake, after cluster, receiver, sender's id and [`is_id_removed`](Self::is_id_removed) were checked. `known` says
    /// whether the sender was added as a peer. By default exactly the known are admitted.
    ///
    /// A node that keeps its peers' incarnations and sessions compares and records them here. A joiner that does not know
    /// the members yet admits them (and may [`add_peer`](crate::Transport::add_peer) the sender under [`Hello::address`]).
    ///
    /// Runs on the connection's thread; it may block, for at most the sender's handshake timeout.
    ///
    /// # Errors
    /// The refusal is counted, logged and sent to the peer.
    fn admit(&self, _hello: &Hello, known: bool) -> Result<(), Refusal> {
        if known {
            Ok(())
        } else {
            Err(Refusal::UnknownSender)
        }
    }

    /// A peer turned us away; it is dialled again after the usual pause. A node that reads [`Refusal::Removed`] from its peers
    /// knows that it was removed, even if it never received the entry that did it.
    ///
    /// Runs on the report thread; while it blocks, other reports wait.
    fn refused(&self, _peer: u64, _refusal: &Refusal) {}

    /// What is to be streamed behind the message of a snapshot (etcd's merged snapshot): a state machine too big for
    /// [`Snapshot::data`], which then holds little or nothing. By default nothing.
    ///
    /// Runs, as the reading of the body does, on a thread of this snapshot's own. [`report_snapshot`](Self::report_snapshot) follows in any case.
    ///
    /// # Errors
    /// The snapshot is reported as failed.
    #[doc(alias = "SendSnapshot")]
    fn snapshot_body(
        &self,
        _to: u64,
        _snapshot: &Snapshot,
    ) -> Result<Option<SnapshotSource>, BoxError> {
        Ok(None)
    }

    /// Takes the body that follows a snapshot's message, and returns the message to [`process`](Self::process). By default the body is gathered in memory, up
    /// to [`Config::max_snapshot_bytes`](crate::Config::max_snapshot_bytes), and appended to [`Snapshot::data`]; there is no body where the sender supplied none.
    ///
    /// Each piece has its checksum verified before it is handed out, but only a read that returns 0 says that the body is
    /// whole: install nothing before. What is not read is read and thrown away.
    ///
    /// Runs on a thread of this connection's own. The peer waits for at most its snapshot timeout between two reads.
    ///
    /// # Errors
    /// The peer is told, and the message is not processed.
    fn receive_snapshot(
        &self,
        mut message: Message,
        body: &mut SnapshotBody<'_>,
    ) -> Result<Message, BoxError> {
        body.append_to(&mut message)?;
        Ok(message)
    }
}
