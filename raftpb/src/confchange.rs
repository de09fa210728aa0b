//! Configuration changes: the two generations, their rules and their notation. Go: raftpb/confchange.go

use crate::codec::{
    len_bytes_if, len_delimited, len_u64, len_u64_if, merge_enum, put_bytes_if, put_delimited,
    put_u64, put_u64_if,
};
use crate::{ConfChangeTransition, ConfChangeType, Entry, EntryType};
use bytes::{Buf, BufMut, Bytes};
use prost::encoding::{self, DecodeContext, WireType};
use prost::{DecodeError, Message};

/// A change of one node: the first generation. Go: ConfChange
///
/// Type and node id are always written, id and context when not zero or empty.
///
/// ```
/// use tickraft_raftpb::{ConfChange, ConfChangeI, ConfChangeType};
/// let cc = ConfChange { change_type: ConfChangeType::RemoveNode, node_id: 3, ..ConfChange::default() };
/// assert_eq!(cc.as_v1(), Some(&cc));
/// assert_eq!(cc.as_v2().changes.len(), 1);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ConfChange {
    /// etcd threads a request id through it; the core does not look at it.
    pub id: u64,
    /// What happens to the node.
    pub change_type: ConfChangeType,
    /// The node; 0 marks a change that was called off and changes nothing.
    pub node_id: u64,
    /// The application's (an address, say).
    pub context: Bytes,
}

/// One node's part in a [`ConfChangeV2`]. Go: ConfChangeSingle
///
/// Both fields are always written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ConfChangeSingle {
    /// What happens to the node.
    pub change_type: ConfChangeType,
    /// The node; 0 is skipped.
    pub node_id: u64,
}

/// Any number of changes at once, by joint consensus where needed (paper §6, thesis 4.3). Go: ConfChangeV2
///
/// The transition is always written.
///
/// ```
/// use tickraft_raftpb::{ConfChangeTransition, ConfChangeV2, conf_changes_from_string, describe_conf_change};
/// // Replace voter 3 by 4, and leave the joint configuration when that is safe.
/// let cc = ConfChangeV2 {
///     transition: ConfChangeTransition::JointImplicit,
///     changes: conf_changes_from_string("v4 r3").unwrap(),
///     ..ConfChangeV2::default()
/// };
/// assert_eq!(cc.enter_joint(), Some(true));
/// assert!(describe_conf_change(&cc).starts_with("transition:ConfChangeTransitionJointImplicit"));
/// assert!(ConfChangeV2::default().leave_joint());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ConfChangeV2 {
    /// How to get there.
    pub transition: ConfChangeTransition,
    /// The changes, in order. Empty together with `Auto` means: leave the joint configuration.
    pub changes: Vec<ConfChangeSingle>,
    /// The application's.
    pub context: Bytes,
}

/// Either generation of a configuration change. Go: ConfChangeI
pub trait ConfChangeI {
    /// The change as the second generation.
    #[doc(alias = "AsV2")]
    fn as_v2(&self) -> ConfChangeV2;
    /// The change as the first generation, if it is one.
    #[doc(alias = "AsV1")]
    fn as_v1(&self) -> Option<&ConfChange>;
}

impl ConfChangeI for ConfChange {
    fn as_v2(&self) -> ConfChangeV2 {
        let single = ConfChangeSingle {
            change_type: self.change_type,
            node_id: self.node_id,
        };
        ConfChangeV2 {
            changes: vec![single],
            context: self.context.clone(),
            ..ConfChangeV2::default()
        }
    }

    fn as_v1(&self) -> Option<&ConfChange> {
        Some(self)
    }
}

impl ConfChangeI for ConfChangeV2 {
    fn as_v2(&self) -> ConfChangeV2 {
        self.clone()
    }

    fn as_v1(&self) -> Option<&ConfChange> {
        None
    }
}

impl ConfChangeV2 {
    /// `Some(auto_leave)` when the change goes through a joint configuration: more than one change, or a transition that asks
    /// for it. Go: EnterJoint
    ///
    /// ```
    /// use tickraft_raftpb::{ConfChangeTransition, ConfChangeV2, conf_changes_from_string};
    /// let mut cc = ConfChangeV2 { changes: conf_changes_from_string("v1 l2").unwrap(), ..ConfChangeV2::default() };
    /// assert_eq!(cc.enter_joint(), Some(true));
    /// cc.transition = ConfChangeTransition::JointExplicit;
    /// assert_eq!(cc.enter_joint(), Some(false));
    /// cc = ConfChangeV2 { changes: conf_changes_from_string("v1").unwrap(), ..ConfChangeV2::default() };
    /// assert_eq!(cc.enter_joint(), None, "one change: the simple protocol");
    /// ```
    #[must_use]
    pub fn enter_joint(&self) -> Option<bool> {
        match self.transition {
            ConfChangeTransition::Auto if self.changes.len() <= 1 => None,
            ConfChangeTransition::Auto | ConfChangeTransition::JointImplicit => Some(true),
            ConfChangeTransition::JointExplicit => Some(false),
        }
    }

    /// Whether the change leaves a joint configuration: nothing is set but possibly the context. Go: LeaveJoint
    #[must_use]
    pub fn leave_joint(&self) -> bool {
        self.transition == ConfChangeTransition::Auto && self.changes.is_empty()
    }
}

/// The entry type and data for a change; `None` is the one that leaves a joint configuration, which carries no data so that no size
/// limit can refuse it. Go: MarshalConfChange
#[must_use]
pub fn marshal_conf_change(cc: Option<&dyn ConfChangeI>) -> (EntryType, Bytes) {
    match cc {
        None => (EntryType::ConfChangeV2, Bytes::new()),
        Some(cc) => match cc.as_v1() {
            Some(v1) => (EntryType::ConfChange, v1.encode_to_vec().into()),
            None => (EntryType::ConfChangeV2, cc.as_v2().encode_to_vec().into()),
        },
    }
}

/// The change in an entry, as the second generation; `None` for a normal entry.
///
/// # Errors
/// The data does not decode.
///
/// ```
/// use tickraft_raftpb::{ConfChange, Entry, marshal_conf_change, unmarshal_conf_change, ConfChangeI};
/// let cc = ConfChange { node_id: 3, ..ConfChange::default() };
/// let (entry_type, data) = marshal_conf_change(Some(&cc));
/// let e = Entry { entry_type: Some(entry_type), data, ..Entry::default() };
/// assert_eq!(unmarshal_conf_change(&e).unwrap(), Some(cc.as_v2()));
/// ```
pub fn unmarshal_conf_change(e: &Entry) -> Result<Option<ConfChangeV2>, DecodeError> {
    match e.get_type() {
        EntryType::Normal => Ok(None),
        EntryType::ConfChange => ConfChange::decode(e.data.clone()).map(|cc| Some(cc.as_v2())),
        EntryType::ConfChangeV2 => ConfChangeV2::decode(e.data.clone()).map(Some),
    }
}

/// Why a notation was not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfChangeError {
    /// Shorter than a letter and a digit.
    #[error("unknown token {0}")]
    UnknownToken(String),
    /// Not one of v, l, r, u.
    #[error("unknown input: {0}")]
    UnknownInput(String),
    /// The node id is not a number of 64 bits.
    #[error("strconv.ParseUint: parsing {}: {reason}", crate::go_quote(.input.as_bytes()))]
    InvalidId {
        /// What stands where the id should.
        input: String,
        /// Go's words for what is wrong with it.
        reason: &'static str,
    },
}

/// Reads `v1 l2 r3 u4`: make 1 a voter, 2 a learner, remove 3, update 4. Go: ConfChangesFromString
///
/// # Errors
/// [`ConfChangeError`] for the first token that is not of this form.
///
/// ```
/// use tickraft_raftpb::{conf_changes_from_string, conf_changes_to_string};
/// let ccs = conf_changes_from_string(" v1 l2 r3 u4 ").unwrap();
/// assert_eq!(conf_changes_to_string(&ccs), "v1 l2 r3 u4");
/// assert_eq!(conf_changes_from_string("x1").unwrap_err().to_string(), "unknown input: x1");
/// ```
pub fn conf_changes_from_string(s: &str) -> Result<Vec<ConfChangeSingle>, ConfChangeError> {
    let s = s.trim();
    if s.is_empty() {
        return Ok(Vec::new());
    }
    s.split(' ').map(conf_change_from_token).collect()
}

fn conf_change_from_token(token: &str) -> Result<ConfChangeSingle, ConfChangeError> {
    if token.len() < 2 {
        return Err(ConfChangeError::UnknownToken(token.into()));
    }
    let unknown = || ConfChangeError::UnknownInput(token.into());
    let (kind, id) = token.split_at_checked(1).ok_or_else(unknown)?;
    let change_type = match kind {
        "v" => ConfChangeType::AddNode,
        "l" => ConfChangeType::AddLearnerNode,
        "r" => ConfChangeType::RemoveNode,
        "u" => ConfChangeType::UpdateNode,
        _ => return Err(unknown()),
    };
    // Rust's parser takes a leading plus; Go's does not.
    let reason = if id.bytes().all(|b| b.is_ascii_digit()) {
        "value out of range"
    } else {
        "invalid syntax"
    };
    let node_id = id.parse().ok().filter(|_| reason != "invalid syntax");
    let node_id = node_id.ok_or_else(|| ConfChangeError::InvalidId {
        input: id.into(),
        reason,
    })?;
    Ok(ConfChangeSingle {
        change_type,
        node_id,
    })
}

/// Writes the notation that [`conf_changes_from_string`] reads. Go: ConfChangesToString
#[must_use]
pub fn conf_changes_to_string(ccs: &[ConfChangeSingle]) -> String {
    let token = |cc: &ConfChangeSingle| {
        let kind = match cc.change_type {
            ConfChangeType::AddNode => 'v',
            ConfChangeType::AddLearnerNode => 'l',
            ConfChangeType::RemoveNode => 'r',
            ConfChangeType::UpdateNode => 'u',
        };
        format!("{kind}{}", cc.node_id)
    };
    ccs.iter().map(token).collect::<Vec<_>>().join(" ")
}

impl Message for ConfChange {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        put_u64_if(1, self.id, buf);
        put_u64(2, self.change_type as u64, buf);
        put_u64(3, self.node_id, buf);
        put_bytes_if(4, &self.context, buf);
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buf: &mut impl Buf,
        ctx: DecodeContext,
    ) -> Result<(), DecodeError> {
        match tag {
            1 => encoding::uint64::merge(wire_type, &mut self.id, buf, ctx)?,
            2 => self.change_type = merge_enum(wire_type, buf, ctx)?,
            3 => encoding::uint64::merge(wire_type, &mut self.node_id, buf, ctx)?,
            4 => encoding::bytes::merge(wire_type, &mut self.context, buf, ctx)?,
            _ => encoding::skip_field(wire_type, tag, buf, ctx)?,
        }
        Ok(())
    }

    fn encoded_len(&self) -> usize {
        len_u64_if(self.id)
            + len_u64(self.change_type as u64)
            + len_u64(self.node_id)
            + len_bytes_if(&self.context)
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

impl Message for ConfChangeSingle {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        put_u64(1, self.change_type as u64, buf);
        put_u64(2, self.node_id, buf);
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buf: &mut impl Buf,
        ctx: DecodeContext,
    ) -> Result<(), DecodeError> {
        match tag {
            1 => self.change_type = merge_enum(wire_type, buf, ctx)?,
            2 => encoding::uint64::merge(wire_type, &mut self.node_id, buf, ctx)?,
            _ => encoding::skip_field(wire_type, tag, buf, ctx)?,
        }
        Ok(())
    }

    fn encoded_len(&self) -> usize {
        len_u64(self.change_type as u64) + len_u64(self.node_id)
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

impl Message for ConfChangeV2 {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        put_u64(1, self.transition as u64, buf);
        for c in &self.changes {
            put_delimited(2, c.encoded_len(), buf);
            c.encode_raw(buf);
        }
        put_bytes_if(3, &self.context, buf);
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buf: &mut impl Buf,
        ctx: DecodeContext,
    ) -> Result<(), DecodeError> {
        match tag {
            1 => self.transition = merge_enum(wire_type, buf, ctx)?,
            2 => encoding::message::merge_repeated(wire_type, &mut self.changes, buf, ctx)?,
            3 => encoding::bytes::merge(wire_type, &mut self.context, buf, ctx)?,
            _ => encoding::skip_field(wire_type, tag, buf, ctx)?,
        }
        Ok(())
    }

    fn encoded_len(&self) -> usize {
        let changes: usize = self
            .changes
            .iter()
            .map(|c| len_delimited(c.encoded_len()))
            .sum();
        len_u64(self.transition as u64) + changes + len_bytes_if(&self.context)
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notation_refuses_what_go_refuses() {
        let err = |s: &str| conf_changes_from_string(s).unwrap_err().to_string();
        assert_eq!(err("v"), "unknown token v");
        assert_eq!(err("v1  v2"), "unknown token ");
        assert_eq!(err("é1"), "unknown input: é1");
        assert_eq!(
            err("vx"),
            "strconv.ParseUint: parsing \"x\": invalid syntax"
        );
        assert_eq!(
            err("v+1"),
            "strconv.ParseUint: parsing \"+1\": invalid syntax"
        );
        assert_eq!(
            err("v18446744073709551616"),
            "strconv.ParseUint: parsing \"18446744073709551616\": value out of range"
        );
        assert_eq!(conf_changes_from_string("  ").unwrap(), []);
        assert_eq!(
            conf_changes_from_string("v18446744073709551615").unwrap()[0].node_id,
            u64::MAX
        );
    }

    /// Which changes are simple, which joint, and which leave. Go: TestConfChangeV2_* in the confchange tests
    #[test]
    fn simple_joint_and_leave() {
        use ConfChangeTransition::*;
        for (transition, n, enter, leave) in [
            (Auto, 0, None, true),
            (Auto, 1, None, false),
            (Auto, 2, Some(true), false),
            (JointImplicit, 0, Some(true), false),
            (JointImplicit, 1, Some(true), false),
            (JointExplicit, 0, Some(false), false),
            (JointExplicit, 2, Some(false), false),
        ] {
            for context in ["", "some context"] {
                // All fields are named: a new one must be thought of here.
                let cc = ConfChangeV2 {
                    transition,
                    changes: vec![ConfChangeSingle::default(); n],
                    context: context.into(),
                };
                assert_eq!(
                    (cc.enter_joint(), cc.leave_joint()),
                    (enter, leave),
                    "{cc:?}"
                );
            }
        }
        assert!(ConfChangeV2::default().leave_joint());
    }

    #[test]
    fn leaving_carries_no_data() {
        assert_eq!(
            marshal_conf_change(None),
            (EntryType::ConfChangeV2, Bytes::new())
        );
        let e = Entry {
            entry_type: Some(EntryType::ConfChangeV2),
            ..Entry::default()
        };
        assert!(unmarshal_conf_change(&e).unwrap().unwrap().leave_joint());
    }
}
