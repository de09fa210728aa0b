//! What to do next, in two halves: before and after the write is durable. Go: Ready in node.go

use crate::describe::{DescribeReady, Parts, sealed::Describe};
use raft::raftpb::{Entries, EntryFormatter, HardState, Message, Snapshot};
use raft::storage::Write;
use raft::{ReadState, Round, SoftState};
use std::fmt;
use std::vec::Drain;

/// The buffers of a Ready. They travel from the node through [`Ready`] and [`Persisted`] back to it, boxed, so that each
/// hand-over moves one word and none allocates.
#[derive(Debug, Default)]
pub(crate) struct Body {
    pub(crate) owner: u64,
    pub(crate) round: Round,
}

impl Body {
    fn describe(&self, f: Option<EntryFormatter<'_>>) -> String {
        let b = &self.round;
        Parts {
            soft_state: b.soft_state.as_ref(),
            hard_state: b.write.hard_state.as_ref(),
            read_states: &b.read_states,
            entries: &b.write.entries,
            snapshot: b.write.snapshot.as_ref(),
            committed_entries: &b.committed_entries,
            must_sync: b.write.must_sync,
        }
        .describe(b.messages.iter().chain(&b.messages_after_append), f)
    }
}

/// What a node has to say, before its write is durable: send [`messages`](Ready::messages), write [`write`](Ready::write), sync if
/// [`must_sync`](Ready::must_sync), then call [`persisted`](Ready::persisted). Go: Ready
///
/// One at a time: dropped, it makes [`RawNode::ready`](crate::RawNode::ready) return
/// [`Error::ReadyOutstanding`](crate::Error::ReadyOutstanding) for ever.
///
/// The committed entries are not to be had before the write is durable:
///
/// ```compile_fail,E0599
/// fn apply(rd: tickraft_rawnode::Ready) {
///     for e in rd.committed_entries() {} // only a Persisted has them
/// }
/// ```
///
/// Once persisted, it is gone:
///
/// ```compile_fail,E0382
/// fn write_late(rd: tickraft_rawnode::Ready, log: &mut dyn raft::storage::Writer) {
///     let p = rd.persisted();
///     log.append(rd.write()); // moved
/// }
/// ```
#[must_use = "write it, then call persisted() and hand the result to advance(); a dropped Ready stops the node"]
pub struct Ready(pub(crate) Box<Body>);

impl Ready {
    /// Leader and role, when they changed. Need not be stored. Go: Ready.SoftState
    #[must_use]
    pub fn soft_state(&self) -> Option<&SoftState> {
        self.0.round.soft_state.as_ref()
    }

    /// Term, vote and commit index, when they changed; part of [`write`](Ready::write). Go: Ready.HardState
    #[must_use]
    pub fn hard_state(&self) -> Option<&HardState> {
        self.0.round.write.hard_state.as_ref()
    }

    /// Reads that may be served once the state machine has applied their index. Go: Ready.ReadStates
    #[must_use]
    pub fn read_states(&self) -> &[ReadState] {
        &self.0.round.read_states
    }

    /// The same, taken out.
    pub fn take_read_states(&mut self) -> Vec<ReadState> {
        std::mem::take(&mut self.0.round.read_states)
    }

    /// The entries to append; part of [`write`](Ready::write). Go: Ready.Entries
    #[must_use]
    pub fn entries(&self) -> &Entries {
        &self.0.round.write.entries
    }

    /// A leader's snapshot to store, and after [`persisted`](Ready::persisted) to restore the state machine from; part of
    /// [`write`](Ready::write). Go: Ready.Snapshot
    #[must_use]
    pub fn snapshot(&self) -> Option<&Snapshot> {
        self.0.round.write.snapshot.as_ref()
    }

    /// What must be written before [`persisted`](Ready::persisted); possibly nothing.
    #[must_use]
    pub fn write(&self) -> &Write {
        &self.0.round.write
    }

    /// Whether the write must be durable, rather than only made, before [`persisted`](Ready::persisted). False when only the
    /// commit index moved. Go: Ready.MustSync
    #[must_use]
    #[doc(alias = "MustSync")]
    pub fn must_sync(&self) -> bool {
        self.0.round.write.must_sync
    }

    /// Messages that may leave at once, before the write. After sending a `MsgSnap`, report its end with
    /// [`report_snapshot`](crate::RawNode::report_snapshot). Go: the part of Ready.Messages that does not wait for the disk
    #[must_use]
    pub fn messages(&self) -> &[Message] {
        &self.0.round.messages
    }

    /// The same, taken out with their buffer.
    pub fn take_messages(&mut self) -> Vec<Message> {
        std::mem::take(&mut self.0.round.messages)
    }

    /// The same, taken out one by one: the buffer stays, so that the node's next messages need none.
    pub fn drain_messages(&mut self) -> Drain<'_, Message> {
        self.0.round.messages.drain(..)
    }

    /// The same, to be taken out as a `Vec` can, with [`append`](Vec::append) say.
    pub fn messages_mut(&mut self) -> &mut Vec<Message> {
        &mut self.0.round.messages
    }

    /// The caller's word that [`write`](Ready::write) is written, and durable where [`must_sync`](Ready::must_sync) says so. What
    /// waited for that becomes available. If the write failed, call [`RawNode::fail`](crate::RawNode::fail) instead.
    pub fn persisted(self) -> Persisted {
        Persisted(self.0)
    }
}

/// The second half of a [`Ready`]: send [`messages`](Persisted::messages), restore [`snapshot`](Persisted::snapshot) if there is
/// one, apply [`committed_entries`](Persisted::committed_entries), then hand it to [`RawNode::advance`](crate::RawNode::advance).
///
/// It advances once:
///
/// ```compile_fail,E0382
/// use raft::storage::Storage;
/// use tickraft_rawnode::{Persisted, RawNode};
/// fn twice<S: Storage>(node: &mut RawNode<S>, p: Persisted) {
///     node.advance(p).unwrap();
///     node.advance(p).unwrap(); // moved
/// }
/// ```
///
/// Nor is it forgotten without a warning:
///
/// ```compile_fail
/// #![deny(unused_must_use)]
/// fn forget(rd: tickraft_rawnode::Ready) {
///     rd.persisted();
/// }
/// ```
///
/// Nobody but [`Ready::persisted`] makes one:
///
/// ```compile_fail,E0603
/// let p = tickraft_rawnode::Persisted(Default::default());
/// ```
#[must_use = "apply its committed entries, then hand it to advance(); a dropped Persisted stops the node"]
pub struct Persisted(pub(crate) Box<Body>);

impl Persisted {
    /// The messages that were held back until the write was durable: they vouch for it. Go: the rest of Ready.Messages
    // The other half's `messages` are another field.
    #[allow(clippy::misnamed_getters)]
    #[must_use]
    pub fn messages(&self) -> &[Message] {
        &self.0.round.messages_after_append
    }

    /// The same, taken out with their buffer.
    pub fn take_messages(&mut self) -> Vec<Message> {
        std::mem::take(&mut self.0.round.messages_after_append)
    }

    /// The same, taken out one by one: the buffer stays, so that the node's next messages need none.
    pub fn drain_messages(&mut self) -> Drain<'_, Message> {
        self.0.round.messages_after_append.drain(..)
    }

    /// The same, to be taken out as a `Vec` can, with [`append`](Vec::append) say.
    // The other half's `messages` are another field.
    #[allow(clippy::misnamed_getters)]
    pub fn messages_mut(&mut self) -> &mut Vec<Message> {
        &mut self.0.round.messages_after_append
    }

    /// A leader's snapshot, to restore the state machine from before applying anything.
    #[must_use]
    pub fn snapshot(&self) -> Option<&Snapshot> {
        self.0.round.write.snapshot.as_ref()
    }

    /// The entries to apply now, in order; they may be entries of the same Ready. For each configuration change among them, call
    /// [`apply_conf_change`](crate::RawNode::apply_conf_change) before [`advance`](crate::RawNode::advance), unless the
    /// application refuses the change. Go: Ready.CommittedEntries
    #[must_use]
    pub fn committed_entries(&self) -> &Entries {
        &self.0.round.committed_entries
    }

    /// Leader and role, when they changed. Go: Ready.SoftState
    #[must_use]
    pub fn soft_state(&self) -> Option<&SoftState> {
        self.0.round.soft_state.as_ref()
    }

    /// Reads that may be served once the state machine has applied their index. Go: Ready.ReadStates
    #[must_use]
    pub fn read_states(&self) -> &[ReadState] {
        &self.0.round.read_states
    }

    /// The same, taken out.
    pub fn take_read_states(&mut self) -> Vec<ReadState> {
        std::mem::take(&mut self.0.round.read_states)
    }
}

impl DescribeReady for Ready {}

impl Describe for Ready {
    fn describe(&self, f: Option<EntryFormatter<'_>>) -> String {
        self.0.describe(f)
    }
}

impl fmt::Debug for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.describe(None))
    }
}

impl fmt::Debug for Persisted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Persisted {}", self.0.describe(None))
    }
}
