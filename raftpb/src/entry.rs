//! One entry of the log. Go: raftpb.Entry

use crate::EntryType;
use crate::codec::{Cursor, Head, len_bytes_if, len_u64, merge_enum};
use crate::packed::{Packed, TOO_WIDE};
use bytes::{Buf, BufMut, Bytes};
use prost::DecodeError;
use prost::encoding::{self, DecodeContext, WireType};
use std::ops::Range;

/// One entry of the log.
///
/// Encoded as v3.7 does: `term` and `index` always, `entry_type` when set, `data` when not empty.
///
/// ```
/// use tickraft_raftpb::{Entry, EntryType};
///
/// let e = Entry::new(1, 2, "x");
/// assert_eq!(e.get_type(), EntryType::Normal);
/// // Unset and an explicit zero are equal, but an explicit zero takes two bytes more on the wire.
/// let explicit = Entry { entry_type: Some(EntryType::Normal), ..e.clone() };
/// assert_eq!(e, explicit);
/// assert_eq!(explicit.size(), e.size() + 2);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Entry {
    /// The term of the leader that first appended the entry; 0 until it has one.
    pub term: u64,
    /// The position in the log, from 1; 0 until it has one.
    pub index: u64,
    /// What `data` is. `None` and `Some(Normal)` mean and compare the same; only the encoding keeps them apart: etcd sets an
    /// explicit zero in the entry that replaces a refused configuration change, and limits count its two bytes.
    pub entry_type: Option<EntryType>,
    /// The payload; empty in a new leader's first entry.
    pub data: Bytes,
}

impl Entry {
    /// A normal entry.
    pub fn new(term: u64, index: u64, data: impl Into<Bytes>) -> Self {
        Self {
            term,
            index,
            entry_type: None,
            data: data.into(),
        }
    }

    /// A normal entry to propose: the leader gives it term and index.
    pub fn proposal(data: impl Into<Bytes>) -> Self {
        Self::new(0, 0, data)
    }

    /// The type, `Normal` when unset. Go: Entry.GetType
    #[must_use]
    #[inline]
    pub fn get_type(&self) -> EntryType {
        self.entry_type.unwrap_or_default()
    }

    /// The encoded size in bytes, which size limits count. Go: proto.Size
    #[must_use]
    #[inline]
    #[doc(alias = "Size")]
    pub fn size(&self) -> u64 {
        self.encoded_len_inline() as u64
    }

    #[inline]
    fn encoded_len_inline(&self) -> usize {
        let entry_type = if self.entry_type.is_some() { 2 } else { 0 };
        entry_type + len_u64(self.term) + len_u64(self.index) + len_bytes_if(&self.data)
    }

    /// All but the data itself, behind [`FIELD`] bytes of room.
    #[inline]
    fn head(&self) -> Head<HEAD> {
        let mut head = Head::after(FIELD);
        if let Some(t) = self.entry_type {
            head.field(0x08, t as u64);
        }
        head.field(0x10, self.term);
        head.field(0x18, self.index);
        if !self.data.is_empty() {
            head.field(0x22, self.data.len() as u64);
        }
        head
    }

    /// The same without room for entries with data; `None` where a number is too wide.
    #[inline]
    fn packed(&self) -> Option<Packed> {
        let data_len = self.data.len() as u64;
        if self.term | self.index | data_len >= TOO_WIDE {
            return None;
        }
        let mut fields = Packed::default();
        if let Some(t) = self.entry_type {
            fields = fields.field(0x08, t as u64);
        }
        let fields = fields.field(0x10, self.term).field(0x18, self.index);
        Some(fields.field(0x22, data_len))
    }

    /// Writes what an encoded entry has before its data's bytes, which end it: for whoever need not copy them.
    ///
    /// ```
    /// use tickraft_raftpb::{Entry, prost::Message};
    ///
    /// let e = Entry::new(1, 2, "x");
    /// let mut parts = Vec::new();
    /// e.put_head(&mut parts);
    /// parts.extend_from_slice(&e.data);
    /// assert_eq!(parts, e.encode_to_vec());
    /// ```
    #[inline]
    pub fn put_head(&self, buf: &mut impl BufMut) {
        self.head().put(FIELD, buf);
    }

    /// Writes the entry as an embedded message under a one-byte key, its length worked out on the way.
    #[inline]
    pub(crate) fn put_field(&self, key: u8, buf: &mut impl BufMut) {
        let written = self.packed().is_some_and(|fields| {
            let len = fields.len() + self.data.len() as u64;
            let key = Packed::default().field(key, len);
            key.then(fields).put_with(&self.data, buf)
        });
        if !written {
            self.put_field_in_parts(key, buf);
        }
    }

    /// The same for entries with little data or wide numbers.
    #[inline(never)]
    fn put_field_in_parts(&self, key: u8, buf: &mut impl BufMut) {
        self.put_field_before_data(key, buf);
        buf.put_slice(&self.data);
    }

    /// All of the field but the data itself, which comes last.
    #[inline]
    pub(crate) fn put_field_before_data(&self, key: u8, buf: &mut impl BufMut) {
        let mut head = self.head();
        let len = head.len() - FIELD + self.data.len();
        let mut before = Head::after(0);
        before.field(key, len as u64);
        let from = head.put_before(FIELD, &before);
        head.put(from, buf);
    }

    /// Reads an entry that a range of a frame holds; its data is a view of the frame. Why the bytes are no entry goes to `failed`: an
    /// entry within a `Result` would be moved on its way, which takes longer than reading it.
    #[inline]
    pub(crate) fn from_frame(
        frame: &Bytes,
        range: Range<usize>,
        failed: &mut Option<DecodeError>,
    ) -> Self {
        match Plain::read(frame, range.clone()) {
            Some(p) => Self {
                term: p.term,
                index: p.index,
                entry_type: p.entry_type,
                data: frame.slice(p.data),
            },
            None => Self::from_unusual(frame, range, failed),
        }
    }

    /// The same for all that the format allows.
    #[cold]
    fn from_unusual(frame: &Bytes, range: Range<usize>, failed: &mut Option<DecodeError>) -> Self {
        prost::Message::decode(frame.slice(range)).unwrap_or_else(|e| {
            *failed = Some(e);
            Self::default()
        })
    }
}

/// An entry as encoders write it: each known field once at most, in the order of their numbers.
struct Plain {
    term: u64,
    index: u64,
    entry_type: Option<EntryType>,
    data: Range<usize>,
}

impl Plain {
    #[inline]
    fn read(frame: &[u8], range: Range<usize>) -> Option<Self> {
        let mut c = Cursor {
            bytes: frame.get(..range.end)?,
            at: range.start,
        };
        let mut entry_type = None;
        if c.take(0x08) {
            let number = i32::try_from(c.varint()?).ok()?;
            entry_type = Some(EntryType::try_from(number).ok()?);
        }
        let term = if c.take(0x10) { c.varint()? } else { 0 };
        let index = if c.take(0x18) { c.varint()? } else { 0 };
        let data = if c.take(0x22) { c.delimited()? } else { 0..0 };
        (c.at == range.end).then_some(Self {
            term,
            index,
            entry_type,
            data,
        })
    }
}

/// The most bytes that a key and a length take.
const FIELD: usize = 11;

/// Room for the key and length of an entry, and for all of its fields but the data.
const HEAD: usize = FIELD + 2 + FIELD + FIELD + FIELD;

/// Equal in what they mean: an unset type equals an explicit `Normal`.
impl PartialEq for Entry {
    fn eq(&self, o: &Self) -> bool {
        self.term == o.term
            && self.index == o.index
            && self.get_type() == o.get_type()
            && self.data == o.data
    }
}

impl Eq for Entry {}

impl prost::Message for Entry {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        if !self.packed().is_some_and(|f| f.put_with(&self.data, buf)) {
            self.head().put(FIELD, buf);
            buf.put_slice(&self.data);
        }
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buf: &mut impl Buf,
        ctx: DecodeContext,
    ) -> Result<(), DecodeError> {
        match tag {
            1 => self.entry_type = Some(merge_enum(wire_type, buf, ctx)?),
            2 => encoding::uint64::merge(wire_type, &mut self.term, buf, ctx)?,
            3 => encoding::uint64::merge(wire_type, &mut self.index, buf, ctx)?,
            4 => encoding::bytes::merge(wire_type, &mut self.data, buf, ctx)?,
            _ => encoding::skip_field(wire_type, tag, buf, ctx)?,
        }
        Ok(())
    }

    fn encoded_len(&self) -> usize {
        self.encoded_len_inline()
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}
