//! Reading a message from one frame: the plain case without prost's generic code. Go: Message.Unmarshal

use crate::codec::{Cursor, decode_error};
use crate::{Entries, Entry, Message, MessageType};
use bytes::{Buf, Bytes};
use prost::encoding::{self, DecodeContext};
use prost::{DecodeError, Message as _};
use std::ops::Range;

/// How deep responses may lie in responses; prost's limit.
pub(crate) const MAX_NESTING: u32 = 100;

impl Message {
    /// Reads the fields in a range of a frame. What is neither a plain number, entries nor responses, and all that is malformed,
    /// prost's code reads, so that both agree on what is refused.
    pub(crate) fn merge_frame(
        &mut self,
        frame: &Bytes,
        range: Range<usize>,
        depth: u32,
    ) -> Result<(), DecodeError> {
        let mut c = Cursor {
            bytes: frame.get(..range.end).unwrap_or(frame),
            at: range.start,
        };
        while c.at < range.end {
            let field = c.at;
            if self.read_plain(&mut c).is_some() {
                continue;
            }
            c.at = field;
            if self.read_entries(frame, &mut c)? || self.read_response(frame, &mut c, depth)? {
                continue;
            }
            let mut rest = frame.slice(field..range.end);
            let (tag, wire_type) = encoding::decode_key(&mut rest)?;
            self.merge_field(tag, wire_type, &mut rest, DecodeContext::default())?;
            c.at = range.end - rest.remaining();
        }
        Ok(())
    }

    /// Reads one number; `None` where something else stands.
    #[inline]
    fn read_plain(&mut self, c: &mut Cursor<'_>) -> Option<()> {
        match c.byte()? {
            0x08 => {
                let number = i32::try_from(c.varint()?).ok()?;
                self.msg_type = MessageType::try_from(number).ok()?;
            }
            0x10 => self.to = c.varint()?,
            0x18 => self.from = c.varint()?,
            0x20 => self.term = c.varint()?,
            0x28 => self.log_term = c.varint()?,
            0x30 => self.index = c.varint()?,
            0x40 => self.commit = c.varint()?,
            0x50 => self.reject = c.varint()? != 0,
            0x58 => self.reject_hint = c.varint()?,
            0x68 => self.vote = c.varint()?,
            _ => return None,
        }
        Some(())
    }

    /// Reads the entries that follow each other here into one block; false where none stands.
    fn read_entries(&mut self, frame: &Bytes, c: &mut Cursor<'_>) -> Result<bool, DecodeError> {
        let begin = c.at;
        let mut n = 0;
        while let Some(end) = end_of_field(c, 0x3a) {
            c.at = end;
            n += 1;
        }
        let end = std::mem::replace(&mut c.at, begin);
        let mut failed = None;
        let entries = Entries::from_fn(n, || {
            // Found a moment ago, so there.
            c.at += 1;
            let range = c.delimited().unwrap_or(end..end);
            Entry::from_frame(frame, range, &mut failed)
        });
        c.at = end;
        if let Some(e) = failed {
            return Err(e);
        }
        if n > 0 {
            self.entries = std::mem::take(&mut self.entries).join(entries);
        }
        Ok(n > 0)
    }

    /// Reads one response; false where none stands.
    fn read_response(
        &mut self,
        frame: &Bytes,
        c: &mut Cursor<'_>,
        depth: u32,
    ) -> Result<bool, DecodeError> {
        if end_of_field(c, 0x72).is_none() {
            return Ok(false);
        }
        if depth == 0 {
            return Err(decode_error("recursion limit reached".into()));
        }
        c.at += 1;
        let range = c.delimited().unwrap_or(c.at..c.at);
        let mut r = Message::default();
        r.merge_frame(frame, range, depth - 1)?;
        self.responses.push(r);
        Ok(true)
    }
}

/// Where a whole, length-delimited field with this key ends, if one stands here. The cursor stays.
fn end_of_field(c: &mut Cursor<'_>, key: u8) -> Option<usize> {
    let begin = c.at;
    let end = c
        .byte()
        .filter(|b| *b == key)
        .and_then(|_| c.delimited())
        .map(|range| range.end);
    c.at = begin;
    end
}
