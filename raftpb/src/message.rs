//! The message that nodes, and a node's storage threads, exchange. Go: raftpb.Message

use crate::codec::{
    Head, decode_error, len_bytes_if, len_delimited, len_u64, len_u64_if, merge_enum, put_bytes_if,
    put_delimited, put_u64_if,
};
use crate::decode::MAX_NESTING;
use crate::{Entries, Entry, MessageType, Snapshot};
use bytes::{Buf, BufMut, Bytes};
use prost::encoding::{self, DecodeContext, WireType};
use prost::{DecodeError, Message as _};
use std::ops::{Deref, Range};

/// What nodes, and a node's storage threads, exchange. Which fields a type uses, its documentation in
/// [`MessageType`] and etcd's raft.proto say.
///
/// At most 128 bytes: messages dominate the work when proposals come singly. What is rare is boxed.
///
/// Encoded as v3.7 does: the type always, every other field only when it is not zero or empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// What the message asks or answers.
    pub msg_type: MessageType,
    /// The receiver; 0 for local messages of the node itself, or a storage thread's id.
    pub to: u64,
    /// The sender; 0 where the node itself steps the message.
    pub from: u64,
    /// The sender's term; 0 for local messages and for proposals.
    pub term: u64,
    /// The term of the entry at `index` (MsgApp, MsgVote), or of the hint (a rejecting MsgAppResp).
    pub log_term: u64,
    /// The entry before `entries` (MsgApp), the last one held (MsgAppResp, MsgVote), the read index (MsgReadIndexResp).
    pub index: u64,
    /// Entries to propose, append or apply; the request's context in a MsgReadIndex.
    pub entries: Entries,
    /// The sender's commit index.
    pub commit: u64,
    /// The vote to persist (MsgStorageAppend only).
    pub vote: u64,
    /// The snapshot of a MsgSnap or MsgStorageAppend. Older peers may send an empty one on any message.
    pub snapshot: Option<Box<Snapshot>>,
    /// Whether the request was refused.
    pub reject: bool,
    /// Where the logs may agree (a rejecting MsgAppResp), or the failed index (MsgSnapStatus).
    pub reject_hint: u64,
    /// Opaque bytes that come back in the answer (heartbeats), or the campaign's kind (MsgVote). See [`Message::context`].
    pub context: Option<Box<Bytes>>,
    /// What a storage thread delivers once the work of this message is done.
    pub responses: Responses,
}

impl Message {
    /// A message of a type, all else unset.
    #[must_use]
    pub fn new(msg_type: MessageType) -> Self {
        Self {
            msg_type,
            ..Self::default()
        }
    }

    /// The context's bytes, empty when there is none. Go: GetContext
    #[must_use]
    pub fn context(&self) -> &[u8] {
        self.context.as_deref().map_or(&[], |c| c)
    }

    /// Sets the context; an empty one is unset.
    pub fn set_context(&mut self, context: impl Into<Bytes>) {
        let context = context.into();
        self.context = (!context.is_empty()).then(|| Box::new(context));
    }

    /// The same with a context; an empty one is unset.
    #[must_use]
    pub fn with_context(mut self, context: impl Into<Bytes>) -> Self {
        self.set_context(context);
        self
    }

    /// The encoded size in bytes. Go: proto.Size
    #[must_use]
    #[doc(alias = "Size")]
    pub fn size(&self) -> u64 {
        self.encoded_len() as u64
    }

    /// Reads the message that a range of `frame` holds and adds its fields to this one, which is usually [`Message::default`]. What
    /// [`decode`](prost::Message::decode) does, for whoever has many messages in one buffer: none needs a handle of its own to it.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use prost::Message as _;
    /// use tickraft_raftpb::{Message, MessageType};
    ///
    /// let sent = Message { to: 2, ..Message::new(MessageType::MsgHeartbeat) };
    /// let buffer = Bytes::from([b"head", sent.encode_to_vec().as_slice()].concat());
    /// let mut m = Message::default();
    /// m.merge_range(&buffer, 4..buffer.len())?;
    /// assert_eq!(m, sent);
    /// assert!(m.merge_range(&buffer, 4..buffer.len() + 1).is_err());
    /// # Ok::<(), prost::DecodeError>(())
    /// ```
    ///
    /// # Errors
    /// The bytes are not a message, or the range is not in `frame`. Some fields may be set then.
    pub fn merge_range(&mut self, frame: &Bytes, range: Range<usize>) -> Result<(), DecodeError> {
        if frame.get(range.clone()).is_none() {
            return Err(decode_error("a range that is not in the frame".into()));
        }
        self.merge_frame(frame, range, MAX_NESTING)
    }

    /// Writes the fields that come before the entries. With [`Entries::encode_field`] and
    /// [`encode_after_entries`](Message::encode_after_entries) it makes up the whole encoding, so that a sender who has the
    /// same entries for several peers, and for its log, encodes them once.
    ///
    /// ```
    /// use prost::Message as _;
    /// use tickraft_raftpb::{Entry, Message, MessageType};
    ///
    /// let m = Message {
    ///     to: 2,
    ///     commit: 9,
    ///     entries: vec![Entry::new(1, 1, "x")].into(),
    ///     ..Message::new(MessageType::MsgApp)
    /// };
    /// let mut entries = Vec::new();
    /// m.entries.encode_field(&mut entries);
    ///
    /// let mut wire = Vec::new();
    /// m.encode_before_entries(&mut wire);
    /// wire.extend_from_slice(&entries);
    /// m.encode_after_entries(&mut wire);
    /// assert_eq!(wire, m.encode_to_vec());
    /// ```
    pub fn encode_before_entries(&self, buf: &mut impl BufMut) {
        let mut head: Head<{ 2 + 5 * 11 }> = Head::after(0);
        head.field(0x08, self.msg_type as u64);
        head.field_if(0x10, self.to);
        head.field_if(0x18, self.from);
        head.field_if(0x20, self.term);
        head.field_if(0x28, self.log_term);
        head.field_if(0x30, self.index);
        head.put(0, buf);
    }

    /// Writes the fields that come after the entries: see [`encode_before_entries`](Message::encode_before_entries).
    pub fn encode_after_entries(&self, buf: &mut impl BufMut) {
        put_u64_if(8, self.commit, buf);
        if let Some(s) = &self.snapshot {
            put_delimited(9, s.encoded_len(), buf);
            s.encode_raw(buf);
        }
        let mut head: Head<{ 2 + 11 }> = Head::after(0);
        if self.reject {
            head.field(0x50, 1);
        }
        head.field_if(0x58, self.reject_hint);
        head.put(0, buf);
        if let Some(c) = &self.context {
            put_bytes_if(12, c, buf);
        }
        put_u64_if(13, self.vote, buf);
        for r in self.responses.iter() {
            put_delimited(14, r.encoded_len(), buf);
            r.encode_raw(buf);
        }
    }
}

impl prost::Message for Message {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        self.encode_before_entries(buf);
        self.entries.encode_field(buf);
        self.encode_after_entries(buf);
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buf: &mut impl Buf,
        ctx: DecodeContext,
    ) -> Result<(), DecodeError> {
        match tag {
            1 => self.msg_type = merge_enum(wire_type, buf, ctx)?,
            2 => encoding::uint64::merge(wire_type, &mut self.to, buf, ctx)?,
            3 => encoding::uint64::merge(wire_type, &mut self.from, buf, ctx)?,
            4 => encoding::uint64::merge(wire_type, &mut self.term, buf, ctx)?,
            5 => encoding::uint64::merge(wire_type, &mut self.log_term, buf, ctx)?,
            6 => encoding::uint64::merge(wire_type, &mut self.index, buf, ctx)?,
            7 => {
                let mut e = Entry::default();
                encoding::message::merge(wire_type, &mut e, buf, ctx)?;
                self.entries.push(e);
            }
            8 => encoding::uint64::merge(wire_type, &mut self.commit, buf, ctx)?,
            9 => {
                let snapshot = self.snapshot.get_or_insert_with(Box::default);
                encoding::message::merge(wire_type, snapshot.as_mut(), buf, ctx)?;
            }
            10 => encoding::bool::merge(wire_type, &mut self.reject, buf, ctx)?,
            11 => encoding::uint64::merge(wire_type, &mut self.reject_hint, buf, ctx)?,
            12 => {
                let mut c = Bytes::new();
                encoding::bytes::merge(wire_type, &mut c, buf, ctx)?;
                self.set_context(c);
            }
            13 => encoding::uint64::merge(wire_type, &mut self.vote, buf, ctx)?,
            14 => {
                let mut r = Message::default();
                encoding::message::merge(wire_type, &mut r, buf, ctx)?;
                self.responses.push(r);
            }
            _ => encoding::skip_field(wire_type, tag, buf, ctx)?,
        }
        Ok(())
    }

    fn encoded_len(&self) -> usize {
        let mut len = len_u64(self.msg_type as u64)
            + len_u64_if(self.to)
            + len_u64_if(self.from)
            + len_u64_if(self.term)
            + len_u64_if(self.log_term)
            + len_u64_if(self.index)
            + len_u64_if(self.commit)
            + len_u64_if(self.reject_hint)
            + len_u64_if(self.vote)
            + if self.reject { 2 } else { 0 };
        len += self.entries.field_len();
        if let Some(s) = &self.snapshot {
            len += len_delimited(s.encoded_len());
        }
        if let Some(c) = &self.context {
            len += len_bytes_if(c);
        }
        for r in self.responses.iter() {
            len += len_delimited(r.encoded_len());
        }
        len
    }

    /// Reads the whole of `buf`. From [`Bytes`] no payload is copied; any other buffer is copied once.
    fn merge(&mut self, mut buf: impl Buf) -> Result<(), DecodeError> {
        let frame = buf.copy_to_bytes(buf.remaining());
        self.merge_frame(&frame, 0..frame.len(), MAX_NESTING)
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

/// The responses of a message to a storage thread: a list that takes one word when empty, as it nearly always is.
///
/// ```
/// use tickraft_raftpb::{Message, Responses};
/// let mut r = Responses::default();
/// assert!(r.is_empty());
/// r.push(Message::default());
/// assert_eq!(r.into_vec().len(), 1);
/// ```
// A boxed Vec, because it is empty in all messages but a few and Message must stay small.
#[allow(clippy::box_collection)]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Responses(Option<Box<Vec<Message>>>);

impl Responses {
    /// Adds a response at the end.
    pub fn push(&mut self, m: Message) {
        self.0.get_or_insert_with(Box::default).push(m);
    }

    /// The responses, in the order in which they are delivered.
    #[must_use]
    pub fn into_vec(self) -> Vec<Message> {
        self.0.map_or_else(Vec::new, |v| *v)
    }
}

impl Deref for Responses {
    type Target = [Message];
    fn deref(&self) -> &[Message] {
        self.0.as_deref().map_or(&[], Vec::as_slice)
    }
}

impl From<Vec<Message>> for Responses {
    fn from(v: Vec<Message>) -> Self {
        Self((!v.is_empty()).then(|| Box::new(v)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_small() {
        assert!(size_of::<Message>() <= 128, "{}", size_of::<Message>());
        assert!(size_of::<Entries>() <= 32, "{}", size_of::<Entries>());
    }

    /// What the other types take on a 64-bit machine: they are held in numbers too.
    #[test]
    fn no_type_grows_unnoticed() {
        use crate::{ConfChange, ConfChangeSingle, ConfChangeV2, ConfState, Entry, HardState};
        use crate::{Snapshot, SnapshotMetadata};
        for (what, size, most) in [
            ("Entry", size_of::<Entry>(), 56),
            ("SnapshotMetadata", size_of::<SnapshotMetadata>(), 120),
            ("Snapshot", size_of::<Snapshot>(), 152),
            ("HardState", size_of::<HardState>(), 24),
            ("ConfState", size_of::<ConfState>(), 104),
            ("ConfChange", size_of::<ConfChange>(), 56),
            ("ConfChangeSingle", size_of::<ConfChangeSingle>(), 16),
            ("ConfChangeV2", size_of::<ConfChangeV2>(), 64),
        ] {
            assert!(size <= most, "{what}: {size}");
        }
    }

    #[test]
    fn payloads_are_views_of_the_frame() {
        let m = Message {
            entries: vec![Entry::new(1, 1, vec![7u8; 100])].into(),
            ..Message::new(MessageType::MsgApp)
        };
        let frame = Bytes::from(m.encode_to_vec());
        let range = frame.as_ptr_range();
        let d = Message::decode(frame.clone()).unwrap();
        assert!(range.contains(&d.entries.first().unwrap().data.as_ptr()));
    }

    #[test]
    fn nesting_is_bounded() {
        let mut wire = Vec::new();
        for _ in 0..200 {
            let mut outer = vec![14 << 3 | 2];
            encoding::encode_varint(wire.len() as u64, &mut outer);
            outer.extend_from_slice(&wire);
            wire = outer;
        }
        assert!(Message::decode(&wire[..]).is_err());
    }
}
