//! What needs messages alone: special ids, classes of messages, sizes. Go: util.go, raft.go (None, LocalAppendThread)

use crate::{Entries, Entry, MessageType};

/// No node: the vote, lead or transferee is unset. Never a valid node id. Go: None
#[doc(alias = "None")]
pub const NONE: u64 = 0;

/// The target of `MsgStorageAppend`: the thread that writes the log. Go: LocalAppendThread
#[doc(alias = "LocalAppendThread")]
pub const LOCAL_APPEND_THREAD: u64 = u64::MAX;

/// The target of `MsgStorageApply`: the thread that applies committed entries. Go: LocalApplyThread
#[doc(alias = "LocalApplyThread")]
pub const LOCAL_APPLY_THREAD: u64 = u64::MAX - 1;

/// A size limit that never bites. Go: noLimit
#[doc(alias = "noLimit")]
pub const NO_LIMIT: u64 = u64::MAX;

/// How the sending of a snapshot ended. Go: SnapshotStatus
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SnapshotStatus {
    /// The transport delivered it whole; whether it was installed, the follower's `MsgAppResp` says.
    #[doc(alias = "SnapshotFinish")]
    Finish,
    /// It did not arrive; the leader probes the follower again after its next heartbeat response.
    #[doc(alias = "SnapshotFailure")]
    Failure,
}

/// Whether messages of this type stay on their node. One that arrives over the network is refused. Go: IsLocalMsg
///
/// ```
/// use tickraft_raftpb::{MessageType, is_local_msg};
/// assert!(is_local_msg(MessageType::MsgHup));
/// assert!(!is_local_msg(MessageType::MsgApp));
/// ```
#[must_use]
#[inline]
pub const fn is_local_msg(t: MessageType) -> bool {
    use MessageType::*;
    matches!(
        t,
        MsgHup
            | MsgBeat
            | MsgUnreachable
            | MsgSnapStatus
            | MsgCheckQuorum
            | MsgStorageAppend
            | MsgStorageAppendResp
            | MsgStorageApply
            | MsgStorageApplyResp
    )
}

/// Whether messages of this type answer another. Go: IsResponseMsg
#[must_use]
#[inline]
pub const fn is_response_msg(t: MessageType) -> bool {
    use MessageType::*;
    matches!(
        t,
        MsgAppResp
            | MsgVoteResp
            | MsgHeartbeatResp
            | MsgUnreachable
            | MsgReadIndexResp
            | MsgPreVoteResp
            | MsgStorageAppendResp
            | MsgStorageApplyResp
    )
}

/// Whether the id is that of a storage thread rather than of a node. Go: IsLocalMsgTarget
#[must_use]
#[inline]
pub const fn is_local_msg_target(id: u64) -> bool {
    matches!(id, LOCAL_APPEND_THREAD | LOCAL_APPLY_THREAD)
}

/// The type that answers a vote or pre-vote; `None` for any other type (etcd panics). Go: voteRespMsgType
#[must_use]
pub const fn vote_resp_msg_type(t: MessageType) -> Option<MessageType> {
    match t {
        MessageType::MsgVote => Some(MessageType::MsgVoteResp),
        MessageType::MsgPreVote => Some(MessageType::MsgPreVoteResp),
        _ => None,
    }
}

/// The encoded size of entries in bytes. Go: entsSize
#[must_use]
pub fn ents_size<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> u64 {
    entries
        .into_iter()
        .map(Entry::size)
        .fold(0, u64::saturating_add)
}

/// The longest prefix whose encoded size is at most `max_size` bytes, but at least one entry where there is one. Go: limitSize
///
/// ```
/// use tickraft_raftpb::{Entries, Entry, limit_size};
/// let entries: Entries = (1..=3).map(|i| Entry::new(1, i, "abc")).collect();
/// assert_eq!(limit_size(&entries, 0).len(), 1);
/// assert_eq!(limit_size(&entries, 18).len(), 2); // nine bytes each
/// assert_eq!(limit_size(&entries, u64::MAX).len(), 3);
/// ```
#[must_use]
pub fn limit_size(entries: &Entries, max_size: u64) -> Entries {
    entries.limit_size(max_size)
}

/// The length of the payload in bytes, which the quota of uncommitted entries counts. Go: payloadSize
#[must_use]
pub fn payload_size(e: &Entry) -> u64 {
    e.data.len() as u64
}

/// The payloads' length together. Go: payloadsSize
#[must_use]
pub fn payloads_size<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> u64 {
    entries
        .into_iter()
        .map(payload_size)
        .fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_and_response_types_are_etcds() {
        let local: Vec<_> = MessageType::ALL
            .iter()
            .filter(|t| is_local_msg(**t))
            .map(|t| *t as u8)
            .collect();
        assert_eq!(local, [0, 1, 10, 11, 12, 19, 20, 21, 22]);
        let response: Vec<_> = MessageType::ALL
            .iter()
            .filter(|t| is_response_msg(**t))
            .map(|t| *t as u8)
            .collect();
        assert_eq!(response, [4, 6, 9, 10, 16, 18, 20, 22]);
    }

    /// A new leader's first entry, and the one that leaves a joint configuration, take nothing from the quota.
    #[test]
    fn an_empty_entry_has_no_payload() {
        assert_eq!(payload_size(&Entry::default()), 0);
        assert_eq!(payload_size(&Entry::new(7, 8, "")), 0);
        assert_eq!(payload_size(&Entry::new(7, 8, "abc")), 3);
    }

    #[test]
    fn only_votes_have_vote_responses() {
        for t in MessageType::ALL {
            let want = match t {
                MessageType::MsgVote => Some(MessageType::MsgVoteResp),
                MessageType::MsgPreVote => Some(MessageType::MsgPreVoteResp),
                _ => None,
            };
            assert_eq!(vote_resp_msg_type(*t), want);
        }
    }
}
