//! Between the transport and the node; a partition is made here.

use node::Node;
use node::raftpb::{Message, MessageType, SnapshotStatus};
use node::rawnode::AsyncWrites;
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};
use transport_tcp::{BoxError, Handler, Transport};

/// What the transport calls. Before the node is started nobody is known, so nothing comes.
#[derive(Default)]
pub(crate) struct Inbound {
    pub(crate) node: OnceLock<Node<AsyncWrites>>,
    /// The peers that nothing goes to or comes from.
    pub(crate) cut: Mutex<BTreeSet<u64>>,
}

impl Inbound {
    fn is_cut(&self, id: u64) -> bool {
        self.cut.lock().contains(&id)
    }
}

impl Handler for Inbound {
    fn process(&self, m: Message) -> Result<(), BoxError> {
        // A forwarded proposal has another's name on it, but this cluster's cuts are between all that matters.
        if self.is_cut(m.from) {
            return match m.msg_type {
                MessageType::MsgSnap => Err("cut off".into()),
                _ => Ok(()),
            };
        }
        match self.node.get() {
            Some(n) => Ok(n.step(m)?),
            None => Err("not started".into()),
        }
    }

    fn is_id_removed(&self, _id: u64) -> bool {
        false
    }

    fn report_unreachable(&self, id: u64) {
        if let Some(n) = self.node.get() {
            let _ = n.report_unreachable(id);
        }
    }

    fn report_snapshot(&self, id: u64, status: SnapshotStatus) {
        if let Some(n) = self.node.get() {
            let _ = n.report_snapshot(id, status);
        }
    }
}

/// Sends what the node says, but for the cuts.
#[derive(Clone)]
pub(crate) struct Outbound {
    pub(crate) inbound: Arc<Inbound>,
    pub(crate) transport: Arc<Transport>,
}

impl Outbound {
    pub(crate) fn send(&self, messages: Vec<Message>) {
        let (lost, sent): (Vec<_>, Vec<_>) = messages
            .into_iter()
            .partition(|m| self.inbound.is_cut(m.to));
        self.transport.send(sent);
        for m in lost {
            // The node waits for news of a snapshot; all else is lost without a word, as on a network.
            if m.msg_type == MessageType::MsgSnap {
                self.inbound.report_snapshot(m.to, SnapshotStatus::Failure);
            }
        }
    }
}
