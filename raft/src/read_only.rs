//! Read-only requests that wait for a quorum to confirm the leader. Go: read_only.go
//!
//! Each request that waits has a position, counted from the beginning of the leadership. A heartbeat carries the position of the
//! latest; whoever answers it confirms all up to there, so many reads share a round. What a quorum has confirmed is found as a commit index is.

use crate::ReadOnlyOption;
use crate::quorum::{AckedIndexer, Index, JointConfig};
use crate::raftpb::Message;
use bytes::Bytes;
use std::collections::VecDeque;

/// A read request that may be answered once the application has applied up to `index`. Go: ReadState
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadState {
    /// What must be applied before the read.
    pub index: u64,
    /// The context that the request came with; the caller tells by it which request this is.
    pub request_ctx: Bytes,
}

/// A request, and the commit index when it arrived. Go: readIndexRequest
#[doc(alias = "readIndexRequest")]
#[derive(Clone, Debug)]
pub(crate) struct ReadIndexRequest {
    pub(crate) req: Message,
    pub(crate) index: u64,
}

/// The requests of a leader that are not confirmed yet. Go: readOnly
#[doc(alias = "readOnly")]
#[derive(Clone, Debug)]
pub(crate) struct ReadOnly {
    pub(crate) option: ReadOnlyOption,
    /// What there is since the first request of this leadership. Boxed: of many nodes few lead, and of those not all are read from.
    reads: Option<Box<Reads>>,
}

#[derive(Clone, Debug, Default)]
struct Reads {
    /// The highest position that each node has acknowledged, in id order.
    acks: Vec<(u64, u64)>,
    unconfirmed: VecDeque<ReadIndexRequest>,
    /// How many were confirmed before those.
    confirmed: u64,
}

impl ReadOnly {
    #[doc(alias = "newReadOnly")]
    pub(crate) const fn new(option: ReadOnlyOption) -> Self {
        Self {
            option,
            reads: None,
        }
    }

    /// Forgets all requests, as at the start of a term.
    pub(crate) fn reset(&mut self) {
        *self = Self::new(self.option);
    }

    /// The position of the latest request.
    pub(crate) fn position(&self) -> u64 {
        let reads = self.reads.as_deref();
        reads.map_or(0, |r| r.confirmed + r.unconfirmed.len() as u64)
    }

    /// Whether there are requests that wait.
    fn waits(&self) -> bool {
        self.reads
            .as_deref()
            .is_some_and(|r| !r.unconfirmed.is_empty())
    }

    /// Adds a request that arrived when this index was committed.
    #[doc(alias = "addRequest")]
    pub(crate) fn add_request(&mut self, commit_index: u64, req: Message) {
        let reads = self.reads.get_or_insert_default();
        reads.unconfirmed.push_back(ReadIndexRequest {
            req,
            index: commit_index,
        });
    }

    /// The position in a heartbeat's context; `None` when there is none.
    ///
    /// Differs from Go, which panics on a context of one to seven bytes: [`Raft::step`](crate::Raft::step) refuses it before.
    pub(crate) fn position_in(ctx: &[u8]) -> Option<u64> {
        ctx.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
    }

    /// Notes that a node has confirmed the leadership in answer to a heartbeat with this context.
    #[doc(alias = "recvAck")]
    pub(crate) fn recv_ack(&mut self, from: u64, ctx: &[u8]) {
        if let Some(position) = Self::position_in(ctx) {
            self.acknowledge(from, position);
        }
    }

    /// The same of the leader itself, which has sent no heartbeat yet: it confirms all requests so far.
    pub(crate) fn acknowledge_own(&mut self, id: u64) {
        self.acknowledge(id, self.position());
    }

    fn acknowledge(&mut self, from: u64, position: u64) {
        let acks = &mut self.reads.get_or_insert_default().acks;
        match acks.binary_search_by_key(&from, |ack| ack.0) {
            Ok(at) => {
                if let Some(ack) = acks.get_mut(at) {
                    ack.1 = ack.1.max(position);
                }
            }
            Err(at) => acks.insert(at, (from, position)),
        }
    }

    /// Up to which position a quorum has confirmed.
    #[doc(alias = "maybeAdvance")]
    pub(crate) fn quorum_position(&self, voters: &JointConfig) -> u64 {
        // Every second answer comes when nothing waits any more.
        if !self.waits() {
            return self.position();
        }
        // Without voters the quorum's index is the largest number.
        voters.committed_index(self).0.min(self.position())
    }

    /// Takes out the first of the requests that wait, if its position is at most this. What is left stays where it is: to split the queue
    /// would move all of it for each answer.
    pub(crate) fn take_up_to(&mut self, position: u64) -> Option<ReadIndexRequest> {
        let reads = self.reads.as_deref_mut()?;
        if reads.confirmed >= position {
            return None;
        }
        let first = reads.unconfirmed.pop_front()?;
        reads.confirmed += 1;
        Some(first)
    }

    /// The context of the next heartbeats: whoever answers them confirms all requests so far.
    #[doc(alias = "heartbeatCtx")]
    pub(crate) fn heartbeat_ctx(&self) -> Option<Bytes> {
        self.waits()
            .then(|| Bytes::copy_from_slice(&self.position().to_le_bytes()))
    }
}

impl AckedIndexer for ReadOnly {
    #[doc(alias = "AckedIndex")]
    fn acked_index(&self, voter_id: u64) -> Option<Index> {
        let acks = &self.reads.as_deref()?.acks;
        let at = acks.binary_search_by_key(&voter_id, |ack| ack.0).ok()?;
        acks.get(at).map(|ack| Index(ack.1))
    }
}

#[cfg(test)]
mod tests;
