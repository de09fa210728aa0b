//! Durable state, configuration and snapshots. Go: raftpb.HardState, ConfState, Snapshot; raftpb/confstate.go

use crate::codec::{len_bytes_if, len_delimited, len_u64, put_bytes_if, put_delimited, put_u64};
use bytes::{Buf, BufMut, Bytes};
use prost::encoding::{self, DecodeContext, WireType};
use prost::{DecodeError, Message};

/// What a node must find again after a restart besides its log: paper, figure 2, "persistent state". Go: HardState
///
/// All three fields are always written.
///
/// ```
/// use prost::Message as _;
/// use tickraft_raftpb::HardState;
/// assert!(HardState::default().is_empty());
/// let hs = HardState { term: 1, vote: 0, commit: 3 };
/// assert_eq!(hs.encode_to_vec(), [0x08, 1, 0x10, 0, 0x18, 3]);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct HardState {
    /// The latest term the node has seen.
    pub term: u64,
    /// The candidate it voted for in that term, [`NONE`](crate::NONE) if none.
    pub vote: u64,
    /// The highest index known to be committed. It need not be synced: it can be learned again.
    pub commit: u64,
}

impl HardState {
    /// Whether nothing was ever stored. Go: IsEmptyHardState
    #[must_use]
    #[doc(alias = "IsEmptyHardState")]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Message for HardState {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        put_u64(1, self.term, buf);
        put_u64(2, self.vote, buf);
        put_u64(3, self.commit, buf);
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buf: &mut impl Buf,
        ctx: DecodeContext,
    ) -> Result<(), DecodeError> {
        match tag {
            1 => encoding::uint64::merge(wire_type, &mut self.term, buf, ctx),
            2 => encoding::uint64::merge(wire_type, &mut self.vote, buf, ctx),
            3 => encoding::uint64::merge(wire_type, &mut self.commit, buf, ctx),
            _ => encoding::skip_field(wire_type, tag, buf, ctx),
        }
    }

    fn encoded_len(&self) -> usize {
        len_u64(self.term) + len_u64(self.vote) + len_u64(self.commit)
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

/// Who is in the group. While `voters_outgoing` is not empty the configuration is joint (paper §6). Go: ConfState
///
/// Repeated ids are written unpacked, `auto_leave` always.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ConfState {
    /// The voters of the incoming (or only) configuration.
    pub voters: Vec<u64>,
    /// The learners of the incoming configuration.
    pub learners: Vec<u64>,
    /// The voters of the outgoing configuration; empty unless joint.
    pub voters_outgoing: Vec<u64>,
    /// Voters of the outgoing configuration that become learners when it is left.
    pub learners_next: Vec<u64>,
    /// Whether the joint configuration is left automatically once that is safe.
    pub auto_leave: bool,
}

/// Two configurations that should be equivalent are not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("ConfStates not equivalent after sorting:\n{0:?}\n{1:?}")]
pub struct ConfStateMismatch(pub Box<ConfState>, pub Box<ConfState>);

impl ConfState {
    /// Ok when both name the same nodes in the same places, in whatever order. Go: ConfState.Equivalent
    ///
    /// # Errors
    /// [`ConfStateMismatch`] with both, sorted.
    ///
    /// ```
    /// use tickraft_raftpb::ConfState;
    /// let a = ConfState { voters: vec![1, 2], ..ConfState::default() };
    /// let b = ConfState { voters: vec![2, 1], ..ConfState::default() };
    /// assert!(a.equivalent(&b).is_ok());
    /// assert!(a.equivalent(&ConfState::default()).is_err());
    /// ```
    pub fn equivalent(&self, other: &Self) -> Result<(), ConfStateMismatch> {
        let (a, b) = (self.sorted(), other.sorted());
        if a == b {
            Ok(())
        } else {
            Err(ConfStateMismatch(Box::new(a), Box::new(b)))
        }
    }

    fn sorted(&self) -> Self {
        let mut c = self.clone();
        for ids in [
            &mut c.voters,
            &mut c.learners,
            &mut c.voters_outgoing,
            &mut c.learners_next,
        ] {
            ids.sort_unstable();
        }
        c
    }

    /// Whether no node is named at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.voters.is_empty()
            && self.learners.is_empty()
            && self.voters_outgoing.is_empty()
            && self.learners_next.is_empty()
    }
}

/// The encoded length of a repeated uint64 field, unpacked, with a one-byte tag.
fn len_ids(ids: &[u64]) -> usize {
    ids.iter().map(|id| len_u64(*id)).sum()
}

impl Message for ConfState {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        encoding::uint64::encode_repeated(1, &self.voters, buf);
        encoding::uint64::encode_repeated(2, &self.learners, buf);
        encoding::uint64::encode_repeated(3, &self.voters_outgoing, buf);
        encoding::uint64::encode_repeated(4, &self.learners_next, buf);
        encoding::bool::encode(5, &self.auto_leave, buf);
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buf: &mut impl Buf,
        ctx: DecodeContext,
    ) -> Result<(), DecodeError> {
        match tag {
            1 => encoding::uint64::merge_repeated(wire_type, &mut self.voters, buf, ctx),
            2 => encoding::uint64::merge_repeated(wire_type, &mut self.learners, buf, ctx),
            3 => encoding::uint64::merge_repeated(wire_type, &mut self.voters_outgoing, buf, ctx),
            4 => encoding::uint64::merge_repeated(wire_type, &mut self.learners_next, buf, ctx),
            5 => encoding::bool::merge(wire_type, &mut self.auto_leave, buf, ctx),
            _ => encoding::skip_field(wire_type, tag, buf, ctx),
        }
    }

    fn encoded_len(&self) -> usize {
        len_ids(&self.voters)
            + len_ids(&self.learners)
            + len_ids(&self.voters_outgoing)
            + len_ids(&self.learners_next)
            + 2
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

/// What a snapshot stands for: the log up to `index` and the configuration there. Go: SnapshotMetadata
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct SnapshotMetadata {
    /// The configuration as of `index`.
    pub conf_state: ConfState,
    /// The last index that the snapshot replaces.
    pub index: u64,
    /// The term of the entry at `index`.
    pub term: u64,
}

impl Message for SnapshotMetadata {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        put_delimited(1, self.conf_state.encoded_len(), buf);
        self.conf_state.encode_raw(buf);
        put_u64(2, self.index, buf);
        put_u64(3, self.term, buf);
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buf: &mut impl Buf,
        ctx: DecodeContext,
    ) -> Result<(), DecodeError> {
        match tag {
            1 => encoding::message::merge(wire_type, &mut self.conf_state, buf, ctx),
            2 => encoding::uint64::merge(wire_type, &mut self.index, buf, ctx),
            3 => encoding::uint64::merge(wire_type, &mut self.term, buf, ctx),
            _ => encoding::skip_field(wire_type, tag, buf, ctx),
        }
    }

    fn encoded_len(&self) -> usize {
        len_delimited(self.conf_state.encoded_len()) + len_u64(self.index) + len_u64(self.term)
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

/// A state machine's state at an index. Go: Snapshot
///
/// `data` is written when not empty, the metadata always.
///
/// ```
/// use tickraft_raftpb::{ConfState, Snapshot, SnapshotMetadata};
/// let s = Snapshot {
///     data: "all keys and values".into(),
///     metadata: SnapshotMetadata {
///         conf_state: ConfState { voters: vec![1, 2, 3], ..ConfState::default() },
///         index: 7,
///         term: 2,
///     },
/// };
/// assert!(!s.is_empty());
/// assert!(Snapshot { data: s.data, ..Snapshot::default() }.is_empty(), "the index says so, not the data");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Snapshot {
    /// The application's; opaque here.
    pub data: Bytes,
    /// The index, its term and the configuration there.
    pub metadata: SnapshotMetadata,
}

impl Snapshot {
    /// Whether it stands for nothing: its index is 0. Go: IsEmptySnap
    #[must_use]
    #[doc(alias = "IsEmptySnap")]
    pub fn is_empty(&self) -> bool {
        self.metadata.index == 0
    }
}

impl Message for Snapshot {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        put_bytes_if(1, &self.data, buf);
        put_delimited(2, self.metadata.encoded_len(), buf);
        self.metadata.encode_raw(buf);
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buf: &mut impl Buf,
        ctx: DecodeContext,
    ) -> Result<(), DecodeError> {
        match tag {
            1 => encoding::bytes::merge(wire_type, &mut self.data, buf, ctx),
            2 => encoding::message::merge(wire_type, &mut self.metadata, buf, ctx),
            _ => encoding::skip_field(wire_type, tag, buf, ctx),
        }
    }

    fn encoded_len(&self) -> usize {
        len_bytes_if(&self.data) + len_delimited(self.metadata.encoded_len())
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}
