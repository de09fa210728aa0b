//! Records, their frames, and the protection that etcd's decoder skips. Go: walpb/record.proto, decoder.go
//!
//! A frame is a u64 little-endian length word (low 56 bits the record's size; high byte `0x80 | padding` when padded to 8 bytes), the record, and
//! zeros. The record is protobuf: 1 type, 2 crc, 3 data; ours go on with 4 sequence number, 5 distance to the sequence number that was durable
//! before the batch, 6 flags, 7 epoch, in heads 8 {1 version, 2 segment, 3 first index, 4 log id}, and last 15, the checksum over every
//! byte of the frame but data's contents (which field 2 covers) and the checksum itself, seeded with the log's id, the segment and the offset.

use crate::crc::{crc32c, crc32c_append};
use std::ops::Range;
use storage::raftpb::{ConfState, Entry, EntryType, HardState};

/// The record types.
pub(crate) mod kind {
    pub(crate) const METADATA: u64 = 1;
    pub(crate) const ENTRY: u64 = 2;
    pub(crate) const STATE: u64 = 3;
    pub(crate) const CRC: u64 = 4;
    pub(crate) const SNAPSHOT: u64 = 5;

    /// The name in dumps.
    pub(crate) fn name(k: u64) -> &'static str {
        match k {
            METADATA => "metadata",
            ENTRY => "entry",
            STATE => "state",
            CRC => "crc",
            SNAPSHOT => "snapshot",
            _ => "unknown",
        }
    }
}

/// The newest format version of heads that this crate reads, and the one it writes.
pub(crate) const VERSION: u64 = 1;
/// Bytes of the length word.
pub(crate) const WORD: usize = 8;
/// The record ends a batch.
pub(crate) const END: u64 = 1;
/// The snapshot was received: the log before it is gone.
pub(crate) const INSTALLED: u64 = 2;

/// What a protected record says besides etcd's fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Guard {
    /// Counts all records of the log, from 1.
    pub(crate) seq: u64,
    /// The sequence number that was durable before this record's batch was written.
    pub(crate) durable: u64,
    /// [`END`], [`INSTALLED`].
    pub(crate) flags: u64,
    /// Raised at each repair.
    pub(crate) epoch: u64,
}

/// What the first record of a segment repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) version: u64,
    pub(crate) segment: u64,
    pub(crate) first_index: u64,
    /// Random, fixed at create: a segment of another log is not taken for one of this.
    pub(crate) log_id: u64,
}

/// A frame taken apart. Nothing is verified yet.
#[derive(Clone, Debug)]
pub(crate) struct Frame<'a> {
    bytes: &'a [u8],
    pub(crate) kind: u64,
    pub(crate) crc: u32,
    data: Option<Range<usize>>,
    pub(crate) guard: Option<Guard>,
    pub(crate) head: Option<Head>,
    /// Where the checksum's four bytes are, in a protected record.
    sum_at: usize,
}

/// Reads varints and bytes off a slice.
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    fn varint(&mut self) -> Option<u64> {
        let mut v: u64 = 0;
        for shift in (0..64).step_by(7) {
            let b = *self.bytes.get(self.at)?;
            self.at += 1;
            if shift == 63 && b > 1 {
                return None;
            }
            v |= u64::from(b & 0x7f) << shift;
            if b < 0x80 {
                return Some(v);
            }
        }
        None
    }

    /// The value of a varint field whose key is the next byte.
    fn field(&mut self, key: u8) -> Option<u64> {
        self.key(key).then(|| self.varint()).flatten()
    }

    fn key(&mut self, key: u8) -> bool {
        let is = self.bytes.get(self.at) == Some(&key);
        if is {
            self.at += 1;
        }
        is
    }

    fn delimited(&mut self) -> Option<Range<usize>> {
        let n = usize::try_from(self.varint()?).ok()?;
        let end = self.at.checked_add(n).filter(|e| *e <= self.bytes.len())?;
        let r = self.at..end;
        self.at = end;
        Some(r)
    }
}

/// The sizes that a length word states: of the record, and of the padding.
pub(crate) fn sizes(word: u64) -> (u64, u64) {
    let padding = if word >> 63 == 1 { word >> 56 & 7 } else { 0 };
    (word & !(0xff << 56), padding)
}

/// What the checksums of one segment start from.
pub(crate) fn seed(log_id: u64, segment: u64) -> u32 {
    crc32c_append(crc32c(&log_id.to_le_bytes()), &segment.to_le_bytes())
}

pub(crate) fn checksum(
    frame: &[u8],
    data: Option<&Range<usize>>,
    sum_at: usize,
    seed: u32,
    offset: u64,
) -> u32 {
    let (lo, hi) = data.map_or((0, 0), |d| (d.start, d.end));
    let parts = [0..lo, hi..sum_at, sum_at + 4..frame.len()];
    let parts = parts.map(|p| frame.get(p).unwrap_or_default());
    // The parts are short: put together they cost one call, where each would cost one.
    let mut joined = [0; 128];
    joined[..8].copy_from_slice(&offset.to_le_bytes());
    let mut n = 8;
    for p in parts {
        let Some(to) = joined.get_mut(n..n + p.len()) else {
            let start = crc32c_append(seed, &offset.to_le_bytes());
            return parts.iter().fold(start, |c, p| crc32c_append(c, p));
        };
        to.copy_from_slice(p);
        n += p.len();
    }
    crc32c_append(seed, joined.get(..n).unwrap_or_default())
}

impl<'a> Frame<'a> {
    /// Takes a whole frame apart, length word and padding included. `None` when it is not what an encoder of etcd's or ours writes.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let word = u64::from_le_bytes(bytes.get(..WORD)?.try_into().ok()?);
        let (size, padding) = sizes(word);
        let size = usize::try_from(size).ok()?;
        let end = WORD.checked_add(size)?;
        if end.checked_add(usize::try_from(padding).ok()?)? != bytes.len() {
            return None;
        }
        let mut c = Cursor {
            bytes: bytes.get(..end)?,
            at: WORD,
        };
        let kind = c.field(0x08)?;
        let crc = u32::try_from(c.field(0x10)?).ok()?;
        let data = if c.key(0x1a) {
            Some(c.delimited()?)
        } else {
            None
        };
        let mut frame = Self {
            bytes,
            kind,
            crc,
            data,
            guard: None,
            head: None,
            sum_at: 0,
        };
        if c.at < end {
            frame.parse_guard(&mut c, end)?;
        }
        Some(frame)
    }

    fn parse_guard(&mut self, c: &mut Cursor<'_>, end: usize) -> Option<()> {
        let seq = c.field(0x20)?;
        let durable = seq.checked_sub(c.field(0x28)?)?;
        let flags = c.field(0x30)?;
        let epoch = c.field(0x38)?;
        if c.key(0x42) {
            let inner = c.delimited()?;
            let mut h = Cursor {
                bytes: c.bytes.get(..inner.end)?,
                at: inner.start,
            };
            self.head = Some(Head {
                version: h.field(0x08)?,
                segment: h.field(0x10)?,
                first_index: h.field(0x18)?,
                log_id: h.field(0x20)?,
            });
        }
        if !c.key(0x7d) || c.at + 4 != end {
            return None;
        }
        self.sum_at = c.at;
        self.guard = Some(Guard {
            seq,
            durable,
            flags,
            epoch,
        });
        Some(())
    }

    /// The record's data; empty where the field is absent.
    pub(crate) fn data(&self) -> &'a [u8] {
        self.data
            .clone()
            .and_then(|d| self.bytes.get(d))
            .unwrap_or_default()
    }

    /// Whether the checksum of a protected record holds at this place. It says nothing of data's contents.
    pub(crate) fn holds(&self, seed: u32, offset: u64) -> bool {
        let stated = self
            .bytes
            .get(self.sum_at..self.sum_at + 4)
            .and_then(|b| b.try_into().ok())
            .map(u32::from_le_bytes);
        self.guard.is_some()
            && stated
                == Some(checksum(
                    self.bytes,
                    self.data.as_ref(),
                    self.sum_at,
                    seed,
                    offset,
                ))
    }

    /// Whether this belongs to a batch's last record.
    pub(crate) fn ends_batch(&self) -> bool {
        self.guard.is_some_and(|g| g.flags & END != 0)
    }
}

/// Term and index of an encoded entry, without copying its payload; `None` when it is no entry.
pub(crate) fn peek_entry(data: &[u8]) -> Option<(u64, u64)> {
    let mut c = Cursor { bytes: data, at: 0 };
    let (mut term, mut index) = (0, 0);
    while c.at < data.len() {
        match data.get(c.at)? {
            0x08 => {
                let t = i32::try_from(c.field(0x08)?).ok()?;
                EntryType::try_from(t).ok()?;
            }
            0x10 => term = c.field(0x10)?,
            0x18 => index = c.field(0x18)?,
            0x22 => {
                c.at += 1;
                c.delimited()?;
            }
            // A field that etcd may add one day: the slow way.
            _ => {
                let e = <Entry as prost::Message>::decode(data).ok()?;
                return Some((e.term, e.index));
            }
        }
    }
    Some((term, index))
}

/// A hard state record's data; `None` when it is none.
pub(crate) fn decode_state(data: &[u8]) -> Option<HardState> {
    <HardState as prost::Message>::decode(data).ok()
}

/// A mark in the log that a snapshot exists. Go: walpb.Snapshot
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnapshotMark {
    /// The last index that the snapshot replaces.
    pub index: u64,
    /// The term of the entry there.
    pub term: u64,
    /// The configuration there; absent in the first mark {0, 0} and before etcd 3.5.
    pub conf_state: Option<ConfState>,
}

impl prost::Message for SnapshotMark {
    fn encode_raw(&self, buf: &mut impl bytes::BufMut) {
        prost::encoding::uint64::encode(1, &self.index, buf);
        prost::encoding::uint64::encode(2, &self.term, buf);
        if let Some(c) = &self.conf_state {
            prost::encoding::message::encode(3, c, buf);
        }
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: prost::encoding::WireType,
        buf: &mut impl bytes::Buf,
        ctx: prost::encoding::DecodeContext,
    ) -> Result<(), prost::DecodeError> {
        match tag {
            1 => prost::encoding::uint64::merge(wire_type, &mut self.index, buf, ctx),
            2 => prost::encoding::uint64::merge(wire_type, &mut self.term, buf, ctx),
            3 => {
                let c = self.conf_state.get_or_insert_with(ConfState::default);
                prost::encoding::message::merge(wire_type, c, buf, ctx)
            }
            _ => prost::encoding::skip_field(wire_type, tag, buf, ctx),
        }
    }

    fn encoded_len(&self) -> usize {
        prost::encoding::uint64::encoded_len(1, &self.index)
            + prost::encoding::uint64::encoded_len(2, &self.term)
            + self
                .conf_state
                .as_ref()
                .map_or(0, |c| prost::encoding::message::encoded_len(3, c))
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absurd_lengths_are_no_frames() {
        assert!(Frame::parse(&[]).is_none());
        assert!(Frame::parse(&[0xff; 64]).is_none());
        assert!(Frame::parse(&[0; 8]).is_none());
        assert_eq!(sizes(0x84 << 56 | 4), (4, 4));
        assert_eq!(sizes(5), (5, 0));
        assert!(peek_entry(&[0x08, 9]).is_none(), "an unknown entry type");
        assert!(peek_entry(&[0x22, 0xff, 0xff, 0xff, 0x7f]).is_none());
        assert_eq!(peek_entry(&[]), Some((0, 0)));
    }
}
