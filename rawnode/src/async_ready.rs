//! Work for storage threads beside the node. Go: newStorageAppendMsg, newStorageApplyMsg in rawnode.go

use crate::describe::{DescribeReady, Parts, sealed::Describe};
use crate::order::Turn;
use raft::raftpb::{
    Entries, EntryFormatter, HardState, LOCAL_APPEND_THREAD, LOCAL_APPLY_THREAD, Message,
    MessageType, Snapshot,
};
use raft::storage::Write;
use raft::{ReadState, SoftState};

/// What a node with [`AsyncWrites`](crate::AsyncWrites) has to say: send the messages at once, hand `append` to whoever writes the log and `apply` to
/// whoever applies. Several may be out at a time. Go: Ready with AsyncStorageWrites
///
/// There is nothing to advance:
///
/// ```compile_fail,E0599
/// use raft::storage::Storage;
/// use tickraft_rawnode::{AsyncWrites, Persisted, RawNode};
/// fn advance<S: Storage>(node: &mut RawNode<S, AsyncWrites>, p: Persisted) {
///     node.advance(p).unwrap(); // not in this mode
/// }
/// ```
#[must_use = "hand its works to the storage threads; dropped works stop the node"]
#[derive(Debug)]
pub struct AsyncReady {
    /// Leader and role, when they changed. Go: Ready.SoftState
    pub soft_state: Option<SoftState>,
    /// Reads that may be served once the state machine has applied their index. Go: Ready.ReadStates
    pub read_states: Vec<ReadState>,
    /// Messages that may leave at once. Go: those of Ready.Messages that are not for storage threads
    pub messages: Vec<Message>,
    /// What to write, and what to say when it is written. Go: the MsgStorageAppend among Ready.Messages
    pub append: Option<AppendWork>,
    /// What to apply, and what to say when it is applied. Go: the MsgStorageApply among Ready.Messages
    pub apply: Option<ApplyWork>,
}

impl AsyncReady {
    /// Leader and role, when they changed. Go: Ready.SoftState
    #[must_use]
    pub fn soft_state(&self) -> Option<&SoftState> {
        self.soft_state.as_ref()
    }

    /// Term, vote and commit index, when they changed and while `append` is here. Go: Ready.HardState
    #[must_use]
    pub fn hard_state(&self) -> Option<&HardState> {
        self.append.as_ref()?.write().hard_state.as_ref()
    }

    /// Reads that may be served once the state machine has applied their index. Go: Ready.ReadStates
    #[must_use]
    pub fn read_states(&self) -> &[ReadState] {
        &self.read_states
    }

    /// The entries to append, while `append` is here. Go: Ready.Entries
    #[must_use]
    pub fn entries(&self) -> Option<&Entries> {
        Some(&self.append.as_ref()?.write().entries)
    }

    /// A leader's snapshot, while `append` is here. Go: Ready.Snapshot
    #[must_use]
    pub fn snapshot(&self) -> Option<&Snapshot> {
        self.append.as_ref()?.write().snapshot.as_ref()
    }

    /// The entries to apply, while `apply` is here. Go: Ready.CommittedEntries
    #[must_use]
    pub fn committed_entries(&self) -> Option<&Entries> {
        Some(self.apply.as_ref()?.entries())
    }

    /// Whether the write must be durable before `append` is done; false when there is none. Go: Ready.MustSync
    #[must_use]
    pub fn must_sync(&self) -> bool {
        self.append.as_ref().is_some_and(|a| a.write().must_sync)
    }

    /// Messages that may leave at once. Go: Ready.Messages
    #[must_use]
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// The same, taken out.
    pub fn take_messages(&mut self) -> Vec<Message> {
        std::mem::take(&mut self.messages)
    }
}

/// A write, and what may be said once it is durable. Go: MsgStorageAppend
///
/// **Do them in the order in which the node handed them out**, each with [`done`](AppendWork::done) or
/// [`into_message`](AppendWork::into_message): what a work vouches for includes the works before it. One write and one sync may serve many of them. A
/// work that is done too early gives no responses, and the node's next `ready()` returns
/// [`Error::OutOfOrder`](crate::Error::OutOfOrder); one that is dropped shows as [`Error::WorkDropped`](crate::Error::WorkDropped). When the write fails, call
/// [`RawNode::fail`](crate::RawNode::fail).
///
/// ```compile_fail,E0382
/// fn twice(w: tickraft_rawnode::AppendWork) {
///     let responses = w.done();
///     let again = w.done(); // moved
/// }
/// ```
#[must_use = "write it, then call done() and deliver the responses; a dropped AppendWork stops the node"]
#[derive(Debug)]
pub struct AppendWork(pub(crate) Box<AppendBody>);

/// Boxed, because works go from thread to thread.
#[derive(Debug)]
pub(crate) struct AppendBody {
    pub(crate) from: u64,
    pub(crate) write: Write,
    pub(crate) responses: Vec<Message>,
    pub(crate) turn: Turn,
}

impl AppendWork {
    /// What to write; possibly nothing, when responses only wait for the works before.
    #[must_use]
    pub fn write(&self) -> &Write {
        &self.0.write
    }

    /// What [`done`](AppendWork::done) will return.
    #[must_use]
    pub fn responses(&self) -> &[Message] {
        &self.0.responses
    }

    /// The same work as etcd's `MsgStorageAppend`, copied. Go: newStorageAppendMsg
    #[doc(alias = "newStorageAppendMsg")]
    #[must_use]
    pub fn message(&self) -> Message {
        let b = &*self.0;
        append_message(b.from, &b.write, b.responses.clone())
    }

    /// The work as etcd's `MsgStorageAppend`. Its responses are delivered once it is written; their order is then the caller's to
    /// keep. Out of order, the message comes without responses, as in [`done`](AppendWork::done).
    #[must_use = "deliver its responses once it is written"]
    pub fn into_message(self) -> Message {
        let mut b = *self.0;
        let responses = if b.turn.take() {
            b.responses
        } else {
            Vec::new()
        };
        append_message(b.from, &b.write, responses)
    }

    /// The caller's word that this write, and all before it, are durable. Step the responses that are to this node, send the others;
    /// [`RawNode::deliver`](crate::RawNode::deliver) does the first.
    #[must_use = "step the responses to this node, send the others"]
    pub fn done(self) -> Vec<Message> {
        let mut b = *self.0;
        if b.turn.take() {
            b.responses
        } else {
            Vec::new()
        }
    }
}

fn append_message(from: u64, w: &Write, responses: Vec<Message>) -> Message {
    let hs = w.hard_state.unwrap_or_default();
    Message {
        to: LOCAL_APPEND_THREAD,
        from,
        term: hs.term,
        vote: hs.vote,
        commit: hs.commit,
        entries: w.entries.clone(),
        snapshot: w.snapshot.clone().map(Box::new),
        responses: responses.into(),
        ..Message::new(MessageType::MsgStorageAppend)
    }
}

/// Entries to apply, and what to say once they are. Go: MsgStorageApply
///
/// Do them in the order in which the node handed them out; misuse is caught as with [`AppendWork`]. For each configuration change among
/// the entries call [`apply_conf_change`](crate::RawNode::apply_conf_change) before the response is stepped.
#[must_use = "apply it, then call done() and step the responses; a dropped ApplyWork stops the node"]
#[derive(Debug)]
pub struct ApplyWork {
    pub(crate) from: u64,
    pub(crate) entries: Entries,
    pub(crate) response: Option<Message>,
    pub(crate) turn: Turn,
}

impl ApplyWork {
    /// The entries to apply, in order; never empty.
    #[must_use]
    pub fn entries(&self) -> &Entries {
        &self.entries
    }

    /// The same work as etcd's `MsgStorageApply`, copied. Go: newStorageApplyMsg
    #[doc(alias = "newStorageApplyMsg")]
    #[must_use]
    pub fn message(&self) -> Message {
        apply_message(self.from, self.entries.clone(), self.response.clone())
    }

    /// The work as etcd's `MsgStorageApply`. Its response is stepped once the entries are applied; its order is then the caller's to
    /// keep.
    #[must_use = "step its response once the entries are applied"]
    pub fn into_message(mut self) -> Message {
        let response = self.response.take().filter(|_| self.turn.take());
        apply_message(self.from, self.entries, response)
    }

    /// The caller's word that these entries, and all before them, are applied. Step the response; it is to this node.
    #[must_use = "step the responses"]
    pub fn done(mut self) -> Vec<Message> {
        let response = self.response.take();
        if self.turn.take() {
            response.into_iter().collect()
        } else {
            Vec::new()
        }
    }
}

fn apply_message(from: u64, entries: Entries, response: Option<Message>) -> Message {
    Message {
        to: LOCAL_APPLY_THREAD,
        from,
        entries,
        responses: response.into_iter().collect::<Vec<_>>().into(),
        ..Message::new(MessageType::MsgStorageApply)
    }
}

impl DescribeReady for AsyncReady {}

impl Describe for AsyncReady {
    fn describe(&self, f: Option<EntryFormatter<'_>>) -> String {
        let none = Entries::new();
        let works: Vec<Message> = (self.append.as_ref().map(AppendWork::message).into_iter())
            .chain(self.apply.as_ref().map(ApplyWork::message))
            .collect();
        Parts {
            soft_state: self.soft_state(),
            hard_state: self.hard_state(),
            read_states: self.read_states(),
            entries: self.entries().unwrap_or(&none),
            snapshot: self.snapshot(),
            committed_entries: self.committed_entries().unwrap_or(&none),
            must_sync: self.must_sync(),
        }
        .describe(self.messages.iter().chain(&works), f)
    }
}
