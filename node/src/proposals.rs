//! Proposals that came together are appended together. Go: the propc arm of node.go's run

use crate::error::Error;
use crate::ports::Proposal;
use crate::ticket::{Accepted, Completer};
use bytes::Bytes;
use rawnode::raft;
use rawnode::raft::raftpb::{Entries, Entry, NO_LIMIT};
use rawnode::raft::storage::Storage;
use rawnode::raft::{DropReason, Outcome};
use rawnode::{RawNode, StorageWrites};

/// The proposals of one turn that are not appended yet. The buffers are reused; what is in them when the thread ends learns of the end.
#[derive(Default)]
pub(crate) struct Proposals {
    entries: Vec<Entry>,
    tickets: Vec<Completer<Accepted>>,
    bytes: u64,
}

/// One message carries at most so many proposals ...
const MAX_ENTRIES: usize = 256;
/// ... of at most so many bytes, but for one that is larger by itself: a follower's must reach the leader through a transport.
const MAX_BYTES: u64 = 256 << 10;

impl Proposals {
    /// Takes one, after those taken before.
    pub(crate) fn take<S: Storage, M: StorageWrites>(
        &mut self,
        p: Proposal,
        rn: &mut RawNode<S, M>,
    ) -> Result<(), Error> {
        match p {
            Proposal::Data(data, ticket) => {
                let size = data.len() as u64;
                // A leader with nothing uncommitted takes a proposal of any size: together they must not pass where singles would not.
                let max = MAX_BYTES.min(rn.max_uncommitted_entries_size());
                if self.entries.len() >= MAX_ENTRIES || self.bytes.saturating_add(size) > max {
                    self.flush(rn)?;
                }
                self.bytes = self.bytes.saturating_add(size);
                self.entries.push(Entry::proposal(data));
                self.tickets.push(ticket);
                Ok(())
            }
            Proposal::ConfChange(entry, ticket) => {
                self.flush(rn)?;
                let result = rn.propose_entries(Entries::from(vec![entry]));
                answer(ticket, &result, 0)
            }
            Proposal::Forwarded(entries) => {
                self.flush(rn)?;
                match rn.propose_entries(entries) {
                    Err(raft::Error::Fault(f)) => Err(f.into()),
                    // As in Go, whoever forwarded it does not learn more.
                    _ => Ok(()),
                }
            }
        }
    }

    /// Proposes what was taken.
    pub(crate) fn flush<S: Storage, M: StorageWrites>(
        &mut self,
        rn: &mut RawNode<S, M>,
    ) -> Result<(), Error> {
        self.bytes = 0;
        if self.entries.len() <= 1 {
            return match self.entries.pop() {
                Some(e) => self.propose_each(std::iter::once(e.data), rn),
                None => Ok(()),
            };
        }
        let entries: Entries = self.entries.drain(..).collect();
        // Kept only where it may be needed: entries that are shared are copied to be numbered.
        let limited = rn.max_uncommitted_entries_size() != NO_LIMIT;
        let kept = limited.then(|| entries.clone());
        let result = rn.propose_entries(entries);
        if result == Err(raft::Error::ProposalDropped(DropReason::UncommittedSize))
            && let Some(entries) = kept
        {
            // The quota has no room for all of them. Go, which takes them one by one, fills it.
            return self.propose_each(entries.iter().map(|e| e.data.clone()), rn);
        }
        let last = self.tickets.len().saturating_sub(1) as u64;
        let mut fault = Ok(());
        for (i, ticket) in (0..).zip(self.tickets.drain(..)) {
            fault = fault.and(answer(ticket, &result, last - i));
        }
        fault
    }

    fn propose_each<S: Storage, M: StorageWrites>(
        &mut self,
        each: impl Iterator<Item = Bytes>,
        rn: &mut RawNode<S, M>,
    ) -> Result<(), Error> {
        let mut fault = Ok(());
        for (data, ticket) in each.zip(self.tickets.drain(..)) {
            fault = fault.and(answer(ticket, &rn.propose(data), 0));
        }
        fault
    }

    /// Answers a proposal that is not to be taken.
    pub(crate) fn refuse(p: Proposal, reason: DropReason) {
        match p {
            Proposal::Data(_, ticket) | Proposal::ConfChange(_, ticket) => {
                ticket.complete(Err(Error::ProposalDropped(reason)));
            }
            Proposal::Forwarded(_) => {}
        }
    }
}

/// Tells a proposer what became of its entry, the one that has `after` others of the same proposal behind it. A fault is also the caller's.
fn answer(
    ticket: Completer<Accepted>,
    result: &Result<Outcome, raft::Error>,
    after: u64,
) -> Result<(), Error> {
    let accepted = match result {
        Ok(Outcome::Appended { term, index }) => Ok(Accepted::Appended {
            term: *term,
            index: index.saturating_sub(after),
        }),
        Ok(Outcome::Forwarded { to }) => Ok(Accepted::Forwarded { to: *to }),
        Ok(Outcome::Refused { index, reason }) => Err(Error::Refused {
            index: *index,
            reason: *reason,
        }),
        Ok(Outcome::Dropped(reason)) => Err(Error::ProposalDropped(*reason)),
        // The core says nothing else of proposals.
        Ok(_) => Err(Error::ProposalDropped(DropReason::WrongRole)),
        Err(e) => Err(Error::from(e.clone())),
    };
    let fault = match &accepted {
        Err(Error::Fault(f)) => Err(Error::Fault(f.clone())),
        _ => Ok(()),
    };
    ticket.complete(accepted);
    fault
}
