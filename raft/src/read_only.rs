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
    /// The highest position that each node has acknowledged, in id order.
    acks: Vec<(u64, u64)>,
    unconfirmed_reads: VecDeque<ReadIndexRequest>,
    /// How many were confirmed before those.
    confirmed_reads: u64,
}

impl ReadOnly {
    #[doc(alias = "newReadOnly")]
    pub(crate) const fn new(option: ReadOnlyOption) -> Self {
        Self {
            option,
            acks: Vec::new(),
            unconfirmed_reads: VecDeque::new(),
            confirmed_reads: 0,
        }
    }

    /// Forgets all requests, as at the start of a term.
    pub(crate) fn reset(&mut self) {
        *self = Self::new(self.option);
    }

    /// The position of the latest request.
    pub(crate) fn position(&self) -> u64 {
        self.confirmed_reads + self.unconfirmed_reads.len() as u64
    }

    /// Adds a request that arrived when this index was committed.
    #[doc(alias = "addRequest")]
    pub(crate) fn add_request(&mut self, commit_index: u64, req: Message) {
        self.unconfirmed_reads.push_back(ReadIndexRequest {
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
        let Some(position) = Self::position_in(ctx) else {
            return;
        };
        match self.acks.binary_search_by_key(&from, |ack| ack.0) {
            Ok(at) => {
                if let Some(ack) = self.acks.get_mut(at) {
                    ack.1 = ack.1.max(position);
                }
            }
            Err(at) => self.acks.insert(at, (from, position)),
        }
    }

    /// Takes out the requests that a quorum has confirmed by now.
    #[doc(alias = "maybeAdvance")]
    pub(crate) fn maybe_advance(
        &mut self,
        voters: &JointConfig,
    ) -> impl Iterator<Item = ReadIndexRequest> + use<> {
        // Without voters the quorum's index is the largest number.
        let confirmed = voters.committed_index(self).0.min(self.position());
        let n = confirmed.saturating_sub(self.confirmed_reads);
        self.confirmed_reads += n;
        let n = usize::try_from(n).unwrap_or(usize::MAX);
        let left = self
            .unconfirmed_reads
            .split_off(n.min(self.unconfirmed_reads.len()));
        std::mem::replace(&mut self.unconfirmed_reads, left).into_iter()
    }

    /// The context of the next heartbeats: whoever answers them confirms all requests so far.
    #[doc(alias = "heartbeatCtx")]
    pub(crate) fn heartbeat_ctx(&self) -> Option<Bytes> {
        (!self.unconfirmed_reads.is_empty())
            .then(|| Bytes::copy_from_slice(&self.position().to_le_bytes()))
    }
}

impl AckedIndexer for ReadOnly {
    #[doc(alias = "AckedIndex")]
    fn acked_index(&self, voter_id: u64) -> Option<Index> {
        let at = self
            .acks
            .binary_search_by_key(&voter_id, |ack| ack.0)
            .ok()?;
        self.acks.get(at).map(|ack| Index(ack.1))
    }
}

#[cfg(test)]
mod tests;
