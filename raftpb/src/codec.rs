//! What the hand-written messages share: enums as fields, and writing a field only when it is set.

use bytes::{Buf, BufMut, Bytes};
use prost::DecodeError;
use prost::encoding::{self, DecodeContext, WireType};
use std::ops::Range;

/// Reads an enum field. The wire carries it as an int32 varint (sign-extended to 64 bits); what does not fit in 32
/// bits is unknown like any other number.
pub(crate) fn merge_enum<T>(
    wire_type: WireType,
    buf: &mut impl Buf,
    ctx: DecodeContext,
) -> Result<T, DecodeError>
where
    T: TryFrom<i32, Error = prost::UnknownEnumValue>,
{
    let mut number: i64 = 0;
    encoding::int64::merge(wire_type, &mut number, buf, ctx)?;
    // i32::MAX stands for every number out of range; no schema enum has it.
    T::try_from(i32::try_from(number).unwrap_or(i32::MAX)).map_err(|e| unknown_enum(e.0))
}

#[cold]
fn unknown_enum(number: i32) -> DecodeError {
    decode_error(format!("unknown enum number {number}"))
}

/// prost has no other way for a hand-written message to say what is wrong; its minor version is pinned.
#[allow(deprecated)]
#[cold]
pub(crate) fn decode_error(what: String) -> DecodeError {
    DecodeError::new(what)
}

/// Fields on the stack, on their way to a buffer in one piece: a buffer's checks cost more than the bytes of a small field.
pub(crate) struct Head<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Head<N> {
    /// Nothing yet; the first `skip` bytes are left for what is known last.
    #[inline]
    pub(crate) fn after(skip: usize) -> Self {
        Self {
            bytes: [0; N],
            len: skip,
        }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(crate) fn byte(&mut self, b: u8) {
        self.bytes[self.len] = b;
        self.len += 1;
    }

    #[inline]
    pub(crate) fn varint(&mut self, mut v: u64) {
        while v >= 0x80 {
            self.byte((v & 0x7f) as u8 | 0x80);
            v >>= 7;
        }
        self.byte((v & 0x7f) as u8);
    }

    /// A uint64 field, zero included. The key is the field's number and wire type in one byte.
    #[inline]
    pub(crate) fn field(&mut self, key: u8, v: u64) {
        self.byte(key);
        self.varint(v);
    }

    /// A uint64 field unless it is zero.
    #[inline]
    pub(crate) fn field_if(&mut self, key: u8, v: u64) {
        if v != 0 {
            self.field(key, v);
        }
    }

    /// Writes bytes into the room that was left: right before what follows it. Returns where they begin.
    #[inline]
    pub(crate) fn put_before(&mut self, skip: usize, before: &Head<11>) -> usize {
        let at = skip - before.len;
        self.bytes[at..skip].copy_from_slice(&before.bytes[..before.len]);
        at
    }

    #[inline]
    pub(crate) fn put(&self, from: usize, buf: &mut impl BufMut) {
        buf.put_slice(&self.bytes[from..self.len]);
    }
}

/// Reads fields from a slice; `None` for whatever is not plain and whole, which prost's own code then reads or refuses.
pub(crate) struct Cursor<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) at: usize,
}

impl Cursor<'_> {
    #[inline]
    pub(crate) fn byte(&mut self) -> Option<u8> {
        let b = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(b)
    }

    /// Goes past the next byte if it is this one.
    #[inline]
    pub(crate) fn take(&mut self, key: u8) -> bool {
        let there = self.bytes.get(self.at) == Some(&key);
        self.at += usize::from(there);
        there
    }

    #[inline]
    pub(crate) fn varint(&mut self) -> Option<u64> {
        let first = u64::from(self.byte()?);
        if first < 0x80 {
            return Some(first);
        }
        let second = u64::from(self.byte()?);
        let v = first & 0x7f | (second & 0x7f) << 7;
        if second < 0x80 {
            return Some(v);
        }
        let third = u64::from(self.byte()?);
        let v = v | (third & 0x7f) << 14;
        if third < 0x80 {
            return Some(v);
        }
        self.varint_from(v)
    }

    /// The fourth byte of a varint and those behind it, onto the lower 21 bits. Out of line: where most numbers are shorter, this in
    /// each place would cost more than the call.
    #[inline(never)]
    fn varint_from(&mut self, mut v: u64) -> Option<u64> {
        for shift in (21..63).step_by(7) {
            let b = self.byte()?;
            v |= u64::from(b & 0x7f) << shift;
            if b < 0x80 {
                return Some(v);
            }
        }
        // The tenth byte holds the last bit; more than that is prost's to refuse.
        let b = self.byte().filter(|b| *b < 2)?;
        Some(v | u64::from(b) << 63)
    }

    /// A length and that many bytes, as a range of the slice.
    #[inline]
    pub(crate) fn delimited(&mut self) -> Option<Range<usize>> {
        let len = usize::try_from(self.varint()?).ok()?;
        let end = self
            .at
            .checked_add(len)
            .filter(|e| *e <= self.bytes.len())?;
        let range = self.at..end;
        self.at = end;
        Some(range)
    }
}

/// Writes a uint64 field, zero included.
pub(crate) fn put_u64(tag: u32, value: u64, buf: &mut impl BufMut) {
    encoding::uint64::encode(tag, &value, buf);
}

/// Writes a uint64 field unless it is zero.
pub(crate) fn put_u64_if(tag: u32, value: u64, buf: &mut impl BufMut) {
    if value != 0 {
        put_u64(tag, value, buf);
    }
}

/// The encoded length of a uint64 field with a one-byte tag (numbers 1 to 15).
pub(crate) const fn len_u64(value: u64) -> usize {
    1 + encoding::encoded_len_varint(value)
}

/// The encoded length of a uint64 field that is left out when zero.
pub(crate) const fn len_u64_if(value: u64) -> usize {
    if value == 0 { 0 } else { len_u64(value) }
}

/// The encoded length of a length-delimited field of `len` bytes with a one-byte tag.
pub(crate) const fn len_delimited(len: usize) -> usize {
    1 + encoding::encoded_len_varint(len as u64) + len
}

/// Writes the key and length of an embedded message or of bytes.
pub(crate) fn put_delimited(tag: u32, len: usize, buf: &mut impl BufMut) {
    encoding::encode_key(tag, WireType::LengthDelimited, buf);
    encoding::encode_varint(len as u64, buf);
}

/// Writes a bytes field unless it is empty.
pub(crate) fn put_bytes_if(tag: u32, value: &Bytes, buf: &mut impl BufMut) {
    if !value.is_empty() {
        put_delimited(tag, value.len(), buf);
        buf.put_slice(value);
    }
}

/// The encoded length of a bytes field that is left out when empty.
pub(crate) fn len_bytes_if(value: &Bytes) -> usize {
    if value.is_empty() {
        0
    } else {
        len_delimited(value.len())
    }
}
