//! Frames: how messages lie on a connection once the handshake is done. Go: rafthttp/message_codec.go
//!
//! All integers are little-endian. A frame is
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 4 | `n`, the length of the payload, u32 |
//! | 4 | 4 | CRC-32C (Castagnoli, as Go's `crc32.MakeTable(crc32.Castagnoli)`) of the payload, u32 |
//! | 8 | n | the payload |
//!
//! A frame with `n` = 0 is eight zero bytes, since the checksum of nothing is 0; it is called *empty*. A receiver closes the connection on a checksum
//! that does not fit and on an `n` beyond its limit, which it told in the handshake.
//!
//! # A connection for messages (kind 1)
//!
//! The dialler sends, in any order:
//! - a message: the payload is a protobuf `raftpb.Message`;
//! - a ping: an empty frame, at least every third part of the receiver's read timeout.
//!
//! The receiver sends:
//! - a pong: an empty frame for each read that brought pings, after the messages before them were processed;
//! - at most one farewell before it closes: the payload is a *verdict*, below.
//!
//! A receiver that reads nothing for its read timeout closes the connection, and so does a dialler that sees no pong.
//!
//! `from` of each message is the dialler's id, except in MsgProp, MsgReadIndex and MsgTransferLeader, which nodes forward in another's name; `to` is the
//! receiver's id; local types (MsgHup, MsgBeat, MsgUnreachable, MsgSnapStatus, MsgCheckQuorum, MsgStorage*) are refused. A message that
//! breaks one of these is dropped and counted, and the connection stays.
//!
//! # A connection for one snapshot (kind 2)
//!
//! The dialler sends
//! 1. the head, one frame: `data_len` (u64), `body_len` (u64; all ones when it is not known), then a protobuf
//!    `raftpb.Message` of type MsgSnap whose snapshot has no data;
//! 2. `data_len` bytes: the snapshot's data, in frames of at least one byte;
//! 3. `body_len` bytes: the application's body, in frames of at least one byte;
//! 4. an empty frame: the end. A connection that ends without it failed.
//!
//! No frame holds bytes of both data and body. The receiver answers with one frame, whose payload is a verdict, and closes. It may answer early, when it refuses.
//!
//! # Verdicts
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 1 | 0 for success, else a [refusal's code](crate::Refusal::code) |
//! | 1 | rest | a text in UTF-8, may be empty |

use crate::{Error, Refusal};
use bytes::{Bytes, BytesMut};
use prost::Message as _;
use raftpb::Message;
use std::ops::Range;

/// The length of a frame's header, in bytes.
pub const HEADER: usize = 8;

/// The empty frame: a ping, a pong, or a snapshot's end.
pub const EMPTY: [u8; HEADER] = [0; HEADER];

/// How much is read at once. What a message holds keeps the block alive that it was read into, so it is not larger than it needs to
/// be for few reads.
pub(crate) const BLOCK: usize = 128 * 1024;

/// A block with less room than this is replaced, so that no read is small because the block is nearly full.
const MIN_ROOM: usize = 16 * 1024;

/// Appends a frame with the message and returns the payload's length in bytes.
///
/// ```
/// use tickraft_transport_tcp::frame::{self, Frames};
/// use tickraft_transport_tcp::raftpb::{Message, MessageType};
///
/// let m = Message { to: 2, from: 1, ..Message::new(MessageType::MsgHeartbeat) };
/// let mut wire = Vec::new();
/// frame::encode(&m, &mut wire);
///
/// let mut frames = Frames::new(1024);
/// frames.room()[..wire.len()].copy_from_slice(&wire);
/// frames.advance(wire.len());
/// let payload = frames.next_frame().unwrap().expect("it is whole");
/// assert_eq!(frame::decode(payload).unwrap(), m);
/// ```
pub fn encode(m: &Message, out: &mut Vec<u8>) -> usize {
    let at = out.len();
    out.extend_from_slice(&EMPTY);
    // `encode` would walk the message once more to learn whether it fits; a Vec always has room.
    m.encode_raw(out);
    let (_, frame) = out.split_at_mut(at);
    let (head, payload) = frame.split_at_mut(HEADER);
    head.copy_from_slice(&header(payload));
    payload.len()
}

/// Appends a frame with any payload.
pub fn put(payload: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&header(payload));
    out.extend_from_slice(payload);
}

/// The header for a payload. A payload of 4 GiB or more has none: its length is written as 2^32 − 1, which every receiver
/// refuses, since no limit goes beyond 1 GiB.
#[must_use]
pub fn header(payload: &[u8]) -> [u8; HEADER] {
    let len = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let mut h = EMPTY;
    let (l, c) = h.split_at_mut(4);
    l.copy_from_slice(&len.to_le_bytes());
    c.copy_from_slice(&crc32c::crc32c(payload).to_le_bytes());
    h
}

/// The length and the checksum in a header.
#[must_use]
pub fn parse_header(h: [u8; HEADER]) -> (usize, u32) {
    let [a, b, c, d, e, f, g, h] = h;
    let len = u32::from_le_bytes([a, b, c, d]);
    (len as usize, u32::from_le_bytes([e, f, g, h]))
}

/// Reads a message out of a frame's payload, of which its entries are views.
///
/// # Errors
/// [`Error::Decode`].
pub fn decode(payload: Bytes) -> Result<Message, Error> {
    Ok(Message::decode(payload)?)
}

/// A verdict's payload: success or a refusal.
#[must_use]
pub fn encode_verdict(v: Result<(), &Refusal>) -> Vec<u8> {
    match v {
        Ok(()) => vec![0],
        Err(r) => {
            let mut out = vec![r.code()];
            out.extend_from_slice(r.text().as_bytes());
            out
        }
    }
}

/// Reads a verdict. Invalid UTF-8 in its text is replaced; an empty payload is malformed.
///
/// # Errors
/// [`Error::Refused`], or [`Error::Handshake`] for no verdict at all.
pub fn decode_verdict(payload: &[u8]) -> Result<(), Error> {
    let (code, text) = payload
        .split_first()
        .ok_or(Error::Handshake("an empty verdict"))?;
    match Refusal::from_code(*code, String::from_utf8_lossy(text).into_owned()) {
        None => Ok(()),
        Some(r) => Err(Error::Refused(r)),
    }
}

/// Cuts a stream of bytes into frames, without doing the reading: fill [`room`](Self::room), say how much with
/// [`advance`](Self::advance), and take frames with [`next_frame`](Self::next_frame) until there is none.
///
/// Payloads are views of the block that was read into: nothing is copied but the part of a frame that did not fit the block. See
/// [`encode`] for an example.
#[derive(Debug)]
pub struct Frames {
    /// Initialised all over; bytes up to `filled` were read and not yet taken.
    block: BytesMut,
    filled: usize,
    /// Whole frames, cut off the block all at once; from `taken` on they wait to be taken.
    whole: Bytes,
    taken: usize,
    block_size: usize,
    max: usize,
}

impl Frames {
    /// Frames of at most `max` payload bytes.
    #[must_use]
    pub fn new(max: u32) -> Self {
        Self::with_block(max, BLOCK)
    }

    /// The same for a connection that carries little.
    pub(crate) fn with_block(max: u32, block_size: usize) -> Self {
        Self {
            block: BytesMut::new(),
            filled: 0,
            whole: Bytes::new(),
            taken: 0,
            block_size,
            max: max as usize,
        }
    }

    /// Where to read to; never empty. Memory for a long frame is allocated here, once its header is known and within the limit.
    pub fn room(&mut self) -> &mut [u8] {
        // A length beyond the limit was refused by next_frame; it does not get to size the block either.
        let need = match self.peek() {
            Some((len, _)) if len <= self.max => HEADER + len,
            _ => HEADER,
        };
        let left = self.block.len().saturating_sub(self.filled);
        let fresh = need.max(self.block_size).max(self.filled + 1);
        // A block that is as long as a fresh one would be is kept, however full: it holds one unfinished frame.
        let full = left < MIN_ROOM.min(self.block_size / 2) && self.block.len() < fresh;
        if self.block.len() < need || left == 0 || full {
            let mut fresh = BytesMut::zeroed(fresh);
            let (old, _) = self.block.split_at(self.filled.min(self.block.len()));
            if let Some((head, _)) = fresh.split_at_mut_checked(old.len()) {
                head.copy_from_slice(old);
            }
            self.block = fresh;
        }
        self.block.get_mut(self.filled..).unwrap_or(&mut [])
    }

    /// Says that `n` bytes of [`room`](Self::room) were filled; more than it has counts as all of it.
    pub fn advance(&mut self, n: usize) {
        self.filled = self.filled.saturating_add(n).min(self.block.len());
    }

    /// The next whole frame's payload; `None` until more bytes come.
    ///
    /// # Errors
    /// [`Error::FrameTooLarge`] as soon as the header is there, [`Error::Checksum`]. What follows is lost: close the connection.
    pub fn next_frame(&mut self) -> Result<Option<Bytes>, Error> {
        let range = self.next_range()?;
        Ok(range.map(|r| self.whole.slice(r)))
    }

    /// As [`next_frame`](Self::next_frame), but says where in [`whole`](Self::whole) the payload lies: no handle is made, so none is counted and dropped.
    #[inline]
    pub(crate) fn next_range(&mut self) -> Result<Option<Range<usize>>, Error> {
        if self.taken == self.whole.len() && !self.cut()? {
            return Ok(None);
        }
        let header = self.whole.get(self.taken..).and_then(<[u8]>::first_chunk);
        let (len, crc) = header.map_or((0, 0), |h| parse_header(*h));
        let range = self.taken + HEADER..self.taken + HEADER + len;
        let payload = self.whole.get(range.clone()).unwrap_or(&[]);
        if crc32c::crc32c(payload) != crc {
            return Err(Error::Checksum);
        }
        self.taken = range.end;
        Ok(Some(range))
    }

    /// Where the ranges of [`next_range`](Self::next_range) lie; until the next call of that.
    pub(crate) fn whole(&self) -> &Bytes {
        &self.whole
    }

    /// Cuts all whole frames off the block; false when there is none.
    fn cut(&mut self) -> Result<bool, Error> {
        let mut end = 0;
        while let Some((len, _)) = self.peek_at(end) {
            if len > self.max && end == 0 {
                return Err(Error::FrameTooLarge {
                    len: len as u64,
                    max: self.max as u64,
                });
            }
            // One that is too long is refused when it is the first.
            if len > self.max || len > self.filled - end - HEADER {
                break;
            }
            end += HEADER + len;
        }
        self.taken = 0;
        // An empty block keeps no memory alive.
        self.whole = match end {
            0 => Bytes::new(),
            _ => self.block.split_to(end).freeze(),
        };
        self.filled -= end;
        Ok(end > 0)
    }

    /// The header at the front, once it is whole.
    fn peek(&self) -> Option<(usize, u32)> {
        self.peek_at(0)
    }

    /// The header at a position, once it is whole.
    fn peek_at(&self, at: usize) -> Option<(usize, u32)> {
        let read = self.block.get(at..self.filled)?;
        read.first_chunk::<HEADER>().map(|h| parse_header(*h))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use raftpb::{Entry, MessageType};

    fn app(index: u64, data: usize) -> Message {
        let fill = u8::try_from(index % 251).unwrap();
        Message {
            to: 2,
            from: 1,
            index,
            entries: vec![Entry::new(1, index, vec![fill; data])].into(),
            ..Message::new(MessageType::MsgApp)
        }
    }

    /// Feeds `wire` in steps of at most `step` bytes.
    fn feed(
        frames: &mut Frames,
        wire: &[u8],
        step: usize,
        mut each: impl FnMut(Bytes),
    ) -> Result<(), Error> {
        let mut rest = wire;
        while !rest.is_empty() {
            let room = frames.room();
            assert!(!room.is_empty());
            let n = step.min(room.len()).min(rest.len());
            room[..n].copy_from_slice(&rest[..n]);
            rest = &rest[n..];
            frames.advance(n);
            while let Some(f) = frames.next_frame()? {
                each(f);
            }
        }
        Ok(())
    }

    #[test]
    fn frames_survive_any_cutting() {
        let sizes = [
            0,
            1,
            100,
            5_000,
            127 * 1024,
            BLOCK,
            3 * BLOCK + 7,
            0,
            40_000,
            90_000,
        ];
        let want: Vec<_> = (1u64..).zip(sizes).map(|(i, n)| app(i, n)).collect();
        let mut wire = Vec::new();
        for m in &want {
            encode(m, &mut wire);
            wire.extend_from_slice(&EMPTY);
        }
        for step in [1, 7, 8, 9, 4096, 65_536, usize::MAX] {
            let mut frames = Frames::new(1024 * 1024);
            let (mut got, mut empty) = (Vec::new(), 0);
            feed(&mut frames, &wire, step, |f| {
                if f.is_empty() {
                    empty += 1;
                } else {
                    got.push(decode(f).unwrap());
                }
            })
            .unwrap();
            assert_eq!(got, want, "step {step}");
            assert_eq!(empty, want.len(), "step {step}");
        }
    }

    #[test]
    fn a_long_frame_is_refused_before_memory_is_taken() {
        let mut frames = Frames::new(1000);
        let mut head = EMPTY;
        head[..4].copy_from_slice(&1001u32.to_le_bytes());
        assert_eq!(
            feed(&mut frames, &head, 8, |_| panic!("no frame")),
            Err(Error::FrameTooLarge {
                len: 1001,
                max: 1000
            })
        );
        assert!(frames.room().len() <= BLOCK && frames.block.len() <= BLOCK);
    }

    #[test]
    fn more_than_there_is_room_for_counts_as_all_of_it() {
        let mut frames = Frames::new(1000);
        frames.room();
        frames.advance(1);
        frames.advance(usize::MAX);
        assert_eq!(frames.filled, frames.block.len());
        assert_eq!(frames.next_frame(), Ok(Some(Bytes::new())), "zeros");
    }

    #[test]
    fn each_flipped_bit_is_noticed() {
        let mut wire = Vec::new();
        encode(&app(3, 40), &mut wire);
        for bit in 0..wire.len() * 8 {
            let mut bad = wire.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let mut seen = 0;
            let r = feed(&mut Frames::new(1 << 20), &bad, 64, |_| seen += 1);
            // A longer length waits for bytes that do not come; all else is an error.
            assert_eq!(seen, 0, "bit {bit}: {r:?}");
        }
    }

    #[test]
    fn payloads_are_views_of_the_block() {
        let mut wire = Vec::new();
        encode(&app(1, 64), &mut wire);
        encode(&app(2, 64), &mut wire);
        let mut frames = Frames::new(1024);
        frames.room();
        let range = frames.block.as_ptr_range();
        let mut seen = 0;
        feed(&mut frames, &wire, usize::MAX, |f| {
            let m = decode(f).unwrap();
            assert!(range.contains(&m.entries.first().unwrap().data.as_ptr()));
            seen += 1;
        })
        .unwrap();
        assert_eq!(seen, 2);
    }

    #[test]
    fn verdicts_travel() {
        assert_eq!(decode_verdict(&encode_verdict(Ok(()))), Ok(()));
        for code in 1..=12 {
            let r = Refusal::from_code(code, String::new()).unwrap();
            assert_eq!(
                decode_verdict(&encode_verdict(Err(&r))),
                Err(Error::Refused(r))
            );
        }
        assert!(decode_verdict(&[]).is_err());
    }
}
