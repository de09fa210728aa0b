//! Linearizable reads without a log entry (thesis §6.4). Go: raft.go (responseToReadIndexReq … sendMsgReadIndexResponse)

use super::Raft;
use crate::raftpb::{Message, MessageType, NONE};
use crate::storage::Storage;
use crate::{Fault, ReadOnlyOption, ReadState};
use std::mem;

impl<S: Storage> Raft<S> {
    /// Takes a read request; until an entry of this term is committed it waits. Go: the arm MsgReadIndex of stepLeader
    ///
    /// Differs from Go: a single voter waits for that, too. What it has committed may be less than what an earlier leader had.
    pub(super) fn handle_read_index(&mut self, m: Message) -> Result<(), Fault> {
        if self.committed_entry_in_current_term()? {
            self.send_msg_read_index_response(m);
        } else {
            self.pending_read_index_messages.push(m);
        }
        Ok(())
    }

    /// Answers the request of this node's own application, or queues the answer to another node.
    #[doc(alias = "responseToReadIndexReq")]
    fn response_to_read_index_req(&mut self, mut req: Message, read_index: u64) {
        if req.from == NONE || req.from == self.id {
            self.read_states.push(ReadState {
                index: read_index,
                request_ctx: req
                    .entries
                    .iter_mut()
                    .next()
                    .map(|e| mem::take(&mut e.data))
                    .unwrap_or_default(),
            });
            return;
        }
        self.send(Message {
            to: req.from,
            index: read_index,
            entries: req.entries,
            ..Message::new(MessageType::MsgReadIndexResp)
        });
    }

    /// The first entry of this term is committed: the requests that waited for it go on.
    #[doc(alias = "releasePendingReadIndexMessages")]
    pub(super) fn release_pending_read_index_messages(&mut self) -> Result<(), Fault> {
        if self.pending_read_index_messages.is_empty() || !self.committed_entry_in_current_term()? {
            return Ok(());
        }
        for m in mem::take(&mut self.pending_read_index_messages) {
            self.send_msg_read_index_response(m);
        }
        Ok(())
    }

    /// Answers a request, or asks a quorum whether this node leads still.
    #[doc(alias = "sendMsgReadIndexResponse")]
    fn send_msg_read_index_response(&mut self, m: Message) {
        let committed = self.raft_log.committed;
        // A single voter is a quorum; learners' requests are answered like its own.
        if self.trk.is_singleton() || self.read_only.option == ReadOnlyOption::LeaseBased {
            self.response_to_read_index_req(m, committed);
            return;
        }
        self.read_only.add_request(committed, m);
        self.read_only.acknowledge_own(self.id);
        self.bcast_heartbeat();
    }

    /// Answers the requests that a quorum has confirmed.
    pub(super) fn answer_confirmed_reads(&mut self) {
        let position = self.read_only.quorum_position(&self.trk.config.voters);
        while let Some(rs) = self.read_only.take_up_to(position) {
            self.response_to_read_index_req(rs.req, rs.index);
        }
    }
}
