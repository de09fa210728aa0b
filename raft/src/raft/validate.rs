//! What a message must satisfy before anything is done with it. Go: the checks that log_unstable.go and types.go (logSlice.valid) leave open
//!
//! Peers are trusted to follow the protocol, not to be free of bugs: each check here guards arithmetic, an index into something, or an
//! acknowledgement of what cannot have happened. etcd panics on most of what is refused here, and believes the rest.

use super::{Raft, StateType, restored};
use crate::raftpb::{
    Entries, Entry, EntryType, Message, MessageType, NONE, Snapshot, is_local_msg_target,
    unmarshal_conf_change,
};
use crate::read_only::ReadOnly;
use crate::storage::Storage;
use crate::types::{EntryId, MAX_INDEX, MAX_TERM};
use crate::{Error, Malformed};

impl<S: Storage> Raft<S> {
    /// Looks at the whole message; changes nothing.
    pub(super) fn validate(&self, m: &Message) -> Result<(), Error> {
        use MessageType::*;
        let checked = match m.msg_type {
            MsgProp => self.check_prop(m),
            MsgApp => self.check_peer(m).and_then(|()| check_app(m)),
            MsgAppResp => self.check_app_resp(m),
            MsgVoteResp | MsgPreVoteResp => check_has_term(m).and_then(|()| check_sender(m)),
            MsgVote | MsgPreVote => check_has_term(m).and_then(|()| self.check_peer(m)),
            MsgTimeoutNow => self.check_peer(m),
            MsgHeartbeat => {
                self.check_commit(m)?;
                self.check_peer(m)
            }
            MsgHeartbeatResp => self.check_heartbeat_resp(m),
            MsgSnap => self.check_snap(m),
            MsgReadIndex => check_no_term(m).and_then(|()| check_one_entry(m)),
            MsgReadIndexResp => self
                .check_peer(m)
                .and_then(|()| check_index(m.index))
                .and_then(|()| check_one_entry(m)),
            MsgTransferLeader => check_term_range(m),
            MsgHup | MsgBeat | MsgCheckQuorum | MsgUnreachable | MsgSnapStatus
            | MsgForgetLeader => check_no_term(m),
            MsgStorageAppendResp => self.check_storage_append_resp(m),
            MsgStorageApplyResp => self.check_storage_apply_resp(m),
            MsgStorageAppend | MsgStorageApply => return Err(Error::StepLocalMsg),
        };
        checked.map_err(|what| malformed(m, what))
    }

    /// [`validate`](Self::validate) for a MsgApp.
    #[inline]
    pub(super) fn validate_app(&self, m: &Message) -> Result<(), Error> {
        let checked = self.check_peer(m).and_then(|()| check_app(m));
        checked.map_err(|what| malformed(m, what))
    }

    /// [`validate`](Self::validate) for a MsgAppResp.
    #[inline]
    pub(super) fn validate_app_resp(&self, m: &Message) -> Result<(), Error> {
        self.check_app_resp(m).map_err(|what| malformed(m, what))
    }

    /// What holds of every message from another node, of the types that a node never sends to itself.
    #[inline]
    fn check_peer(&self, m: &Message) -> Result<(), Malformed> {
        if m.from == self.id {
            return Err(Malformed::FromSelf);
        }
        self.check_term_and_sender(m)
    }

    /// A node that never heard of a term answers without one; in any later term that would pass for a message of the current one.
    #[inline]
    fn check_term_and_sender(&self, m: &Message) -> Result<(), Malformed> {
        if m.term == 0 && self.term != 0 {
            return Err(Malformed::NoTerm);
        }
        check_sender(m)?;
        check_term_range(m)
    }

    /// The commit index of a heartbeat that will be followed: the leader knows that we have what it commits.
    fn check_commit(&self, m: &Message) -> Result<(), Error> {
        let followed = m.term > self.term || m.term == self.term && self.state != StateType::Leader;
        if followed && m.commit > self.raft_log.last_index() {
            return Err(Error::CommitOutOfRange {
                from: m.from,
                term: m.term,
                commit: m.commit,
                last_index: self.raft_log.last_index(),
            });
        }
        Ok(())
    }

    /// Entries there must be; a leader must be able to read the configuration changes among them.
    fn check_prop(&self, m: &Message) -> Result<(), Malformed> {
        check_no_term(m)?;
        if m.entries.is_empty() {
            return Err(Malformed::EntryCount { count: 0 });
        }
        let readable =
            |e: &Entry| e.get_type() == EntryType::Normal || unmarshal_conf_change(e).is_ok();
        if self.state == StateType::Leader && !m.entries.iter().all(readable) {
            return Err(Malformed::ConfChange);
        }
        Ok(())
    }

    /// Nobody acknowledges entries that this leader does not have, nor its own storage those that it was not given.
    #[inline]
    fn check_app_resp(&self, m: &Message) -> Result<(), Malformed> {
        self.check_term_and_sender(m)?;
        if m.reject && m.from == self.id {
            return Err(Malformed::FromSelf);
        }
        if m.reject || m.term != self.term || self.state != StateType::Leader {
            return Ok(());
        }
        let log = &self.raft_log;
        let unknown = if m.from == self.id {
            m.index >= log.unstable.offset_in_progress
        } else {
            m.index > log.last_index()
        };
        if unknown {
            return Err(Malformed::NotOutstanding);
        }
        Ok(())
    }

    /// The context of a heartbeat is the position of a read request, in eight bytes; none that was not given out comes back.
    fn check_heartbeat_resp(&self, m: &Message) -> Result<(), Malformed> {
        self.check_peer(m)?;
        let ctx = m.context();
        let Some(position) = ReadOnly::position_in(ctx) else {
            return if ctx.is_empty() {
                Ok(())
            } else {
                Err(Malformed::Context { len: ctx.len() })
            };
        };
        let ours = m.term == self.term && self.state == StateType::Leader;
        if ours && position > self.read_only.position() {
            return Err(Malformed::NotOutstanding);
        }
        Ok(())
    }

    /// An empty snapshot, or none, is harmless: it will be ignored. A node that never heard of a term may pass its snapshot on to another
    /// such. Differs from Go: anyone else refuses a snapshot without a term, which would take a candidate back to term 0.
    fn check_snap(&self, m: &Message) -> Result<(), Malformed> {
        self.check_peer(m)?;
        let Some(s) = m.snapshot.as_deref().filter(|s| !s.is_empty()) else {
            return Ok(());
        };
        check_index(s.metadata.index)?;
        let later = m.term != 0 && s.metadata.term > m.term;
        if s.metadata.term == 0 || s.metadata.term > MAX_TERM || later {
            return Err(Malformed::Snapshot);
        }
        self.check_conf_state(s)
    }

    /// A configuration that changes can lead to, and that means what it says.
    fn check_conf_state(&self, s: &Snapshot) -> Result<(), Malformed> {
        let cs = &s.metadata.conf_state;
        match restored(&self.trk, s.metadata.index, cs) {
            Ok(_) => Ok(()),
            Err(_) => Err(Malformed::ConfState),
        }
    }

    /// Nothing is written that was not handed out.
    fn check_storage_append_resp(&self, m: &Message) -> Result<(), Malformed> {
        if m.term > self.term {
            return Err(Malformed::NotOutstanding);
        }
        let log = &self.raft_log;
        let current = m.term == 0 || m.term == self.term;
        let last = EntryId::new(m.log_term, m.index);
        if m.index != 0 && current && log.unstable.is_not_handed_out(last) {
            return Err(Malformed::NotOutstanding);
        }
        match &m.snapshot {
            Some(s) if s.metadata.index > log.snapshot_handed_out => Err(Malformed::NotOutstanding),
            _ => Ok(()),
        }
    }

    /// Nothing is applied that was not handed out.
    fn check_storage_apply_resp(&self, m: &Message) -> Result<(), Malformed> {
        check_no_term(m)?;
        match m.entries.last() {
            Some(last) if last.index > self.raft_log.applying => Err(Malformed::NotOutstanding),
            _ => Ok(()),
        }
    }
}

#[cold]
fn malformed(m: &Message, what: Malformed) -> Error {
    Error::Malformed {
        msg_type: m.msg_type,
        from: m.from,
        what,
    }
}

fn check_has_term(m: &Message) -> Result<(), Malformed> {
    if m.term == 0 {
        return Err(Malformed::NoTerm);
    }
    check_term_range(m)
}

#[inline]
fn check_sender(m: &Message) -> Result<(), Malformed> {
    if m.from == NONE || is_local_msg_target(m.from) {
        return Err(Malformed::NoSender);
    }
    Ok(())
}

#[inline]
fn check_term_range(m: &Message) -> Result<(), Malformed> {
    if m.term > MAX_TERM {
        return Err(Malformed::TermOutOfRange);
    }
    Ok(())
}

fn check_no_term(m: &Message) -> Result<(), Malformed> {
    if m.term != 0 {
        return Err(Malformed::HasTerm);
    }
    Ok(())
}

fn check_one_entry(m: &Message) -> Result<(), Malformed> {
    match m.entries.len() {
        1 => Ok(()),
        count => Err(Malformed::EntryCount { count }),
    }
}

fn check_index(index: u64) -> Result<(), Malformed> {
    if index > MAX_INDEX {
        return Err(Malformed::IndexOutOfRange { index });
    }
    Ok(())
}

#[inline]
fn check_run(run: &[Entry], prev: &mut EntryId) -> Result<(), Malformed> {
    for e in run {
        if e.index != prev.index + 1 {
            return Err(Malformed::EntryIndex { index: e.index });
        }
        if e.term < prev.term || e.term == 0 {
            return Err(Malformed::EntryTerm { index: e.index });
        }
        *prev = EntryId::from(e);
    }
    Ok(())
}

/// The same for entries of several blocks; tells the last one's id.
#[cold]
fn check_runs(entries: &Entries, mut prev: EntryId) -> Result<EntryId, Malformed> {
    entries
        .runs()
        .try_for_each(|run| check_run(run, &mut prev))?;
    Ok(prev)
}

/// The entries are a piece of the log of a leader of this term, behind the entry that is named. Go: logSlice.valid
#[doc(alias = "valid", alias = "logSlice", alias = "logSliceFromMsgApp")]
#[inline]
fn check_app(m: &Message) -> Result<(), Malformed> {
    check_index(m.index)?;
    let mut prev = EntryId::new(m.log_term, m.index);
    match m.entries.as_run() {
        Some(run) => check_run(run, &mut prev)?,
        None => prev = check_runs(&m.entries, prev)?,
    }
    if prev.term > m.term {
        return Err(Malformed::EntryTerm { index: prev.index });
    }
    check_index(prev.index)
}
