//! The application's proposals. Go: rawnode.go (Propose, ProposeConfChange)

use super::{Raft, StateType};
use crate::raftpb::{ConfChangeI, Entries, Entry, Message, MessageType, NONE, marshal_conf_change};
use crate::storage::Storage;
use crate::{Error, Outcome};
use bytes::Bytes;

impl<S: Storage> Raft<S> {
    /// Proposes data for the log. On a leader nothing but the entry is built.
    ///
    /// # Errors
    /// [`Error::ProposalDropped`] with the reason; nothing was appended or sent. [`Error::Fault`].
    #[doc(alias = "Propose")]
    pub fn propose(&mut self, data: Bytes) -> Result<Outcome, Error> {
        self.check_fault()?;
        if self.state != StateType::Leader {
            let done = self.step_prop(Entry::proposal(data).into(), self.id);
            return self.settle(done);
        }
        match self.propose_one(data) {
            Ok(index) => {
                self.changed();
                Ok(Outcome::Appended {
                    term: self.term,
                    index,
                })
            }
            Err(e) => Err(self.settle_error(e)),
        }
    }

    /// Proposes several entries as one: all or none are appended, in order. Terms and indexes are given by the leader.
    ///
    /// # Errors
    /// As [`propose`](Self::propose); [`Error::Malformed`] when there is no entry, or one is a configuration change that does not decode.
    pub fn propose_entries(&mut self, entries: Entries) -> Result<Outcome, Error> {
        self.check_fault()?;
        let done = self.step_prop(entries, self.id);
        self.settle(done)
    }

    /// Proposes a change of the configuration. What is [refused](Outcome::Refused) left an empty entry in the log, as in etcd.
    ///
    /// # Errors
    /// As [`propose`](Self::propose).
    #[doc(alias = "ProposeConfChange", alias = "confChangeToMsg")]
    pub fn propose_conf_change(&mut self, cc: &dyn ConfChangeI) -> Result<Outcome, Error> {
        self.check_fault()?;
        let (entry_type, data) = marshal_conf_change(Some(cc));
        let e = Entry {
            entry_type: Some(entry_type),
            data,
            ..Entry::default()
        };
        let done = self.step_prop(e.into(), NONE);
        self.settle(done)
    }

    /// Steps a proposal without the way round of [`step`](Self::step)'s checks for other types.
    fn step_prop(&mut self, entries: Entries, from: u64) -> Result<Outcome, Error> {
        let mut m = Message {
            from,
            entries,
            ..Message::new(MessageType::MsgProp)
        };
        self.step_checked(&mut m)
    }
}
