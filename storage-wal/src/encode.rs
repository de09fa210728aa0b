//! Encoding records one after the other. Go: encoder.go

mod entry;

use crate::crc::crc32c_append;
use crate::record::{END, Head, WORD, checksum};
use crate::vfs::{VfsFile, write_all_at, write_all_vectored_at};
use bytes::Bytes;
use std::io::{self, IoSlice};

use entry::PIECE;

/// Payloads from this size on are written from where they lie; copying shorter ones costs less than one more part of a write.
pub(crate) const APART: usize = 2048;

/// Frames on their way to a file: one buffer, and large payloads that belong between its parts.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    buf: Vec<u8>,
    /// Where the frames end in the buffer. What is behind is room for the next.
    end: usize,
    /// Payloads, each with the place in the buffer before which it goes.
    apart: Vec<(usize, Bytes)>,
    apart_bytes: usize,
    /// Whether the file takes a write in parts.
    pub(crate) gather: bool,
}

impl Frames {
    /// How many bytes they take in the file.
    pub(crate) fn len(&self) -> u64 {
        (self.end + self.apart_bytes) as u64
    }

    /// Ready for the next; a batch of unusual size must not keep its memory for ever.
    pub(crate) fn clear(&mut self) {
        if self.buf.len() > 4 << 20 {
            self.buf = Vec::new();
        }
        if self.apart.capacity() > 1 << 16 {
            self.apart = Vec::new();
        }
        self.apart.clear();
        (self.end, self.apart_bytes) = (0, 0);
    }

    /// Makes room for so many bytes. The buffer is filled with zeros once, and then written again and again.
    #[inline]
    fn make_room(&mut self, n: usize) {
        let wanted = self.end + n;
        if self.buf.len() < wanted {
            self.buf.resize(wanted.max(2 * self.buf.len()), 0);
        }
    }

    /// There must be room.
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        if let Some(to) = self.buf.get_mut(self.end..self.end + bytes.len()) {
            to.copy_from_slice(bytes);
        }
        self.end += bytes.len();
    }

    /// The first `n` bytes of a piece, which is stored whole: what comes next is written over the rest. There must be room.
    #[inline]
    fn put_first(&mut self, n: usize, piece: &[u8; PIECE]) {
        if let Some(to) = self.buf.get_mut(self.end..self.end + PIECE) {
            to.copy_from_slice(piece);
        }
        self.end += n;
    }

    /// There must be room.
    #[inline]
    fn payload(&mut self, p: &Bytes) {
        if self.gather && p.len() >= APART {
            self.apart.push((self.end, p.clone()));
            self.apart_bytes += p.len();
        } else {
            self.put(p);
        }
    }

    fn part(&self, from: usize, to: usize) -> &[u8] {
        self.buf.get(from..to).unwrap_or_default()
    }

    /// Writes all of them, in one call where the file takes it.
    pub(crate) fn write_to(&self, file: &dyn VfsFile, offset: u64) -> io::Result<()> {
        if self.apart.is_empty() {
            return write_all_at(file, self.part(0, self.end), offset);
        }
        let mut parts = Vec::with_capacity(2 * self.apart.len() + 1);
        let mut from = 0;
        for (at, payload) in &self.apart {
            parts.push(IoSlice::new(self.part(from, *at)));
            parts.push(IoSlice::new(payload));
            from = *at;
        }
        parts.push(IoSlice::new(self.part(from, self.end)));
        write_all_vectored_at(file, &mut parts, offset)
    }

    /// In one piece.
    pub(crate) fn into_bytes(mut self) -> Vec<u8> {
        if self.apart.is_empty() {
            self.buf.truncate(self.end);
            return self.buf;
        }
        let mut out = Vec::with_capacity(self.end + self.apart_bytes);
        let mut from = 0;
        for (at, payload) in &self.apart {
            out.extend_from_slice(self.part(from, *at));
            out.extend_from_slice(payload);
            from = *at;
        }
        out.extend_from_slice(self.part(from, self.end));
        out
    }
}

/// Where a frame lies that was just encoded, so that its flags can be changed before it is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Encoded {
    /// In the file.
    offset: u64,
    /// In the buffer, as all that follow.
    start: usize,
    data: (usize, usize),
    flags_at: usize,
    sum_at: usize,
    end: usize,
}

/// Encodes records one after the other: the CRC over data and the sequence number run on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chain {
    /// CRC-32C over the data of all records so far.
    pub(crate) crc: u32,
    /// The last record's number.
    pub(crate) seq: u64,
    pub(crate) epoch: u64,
    pub(crate) log_id: u64,
    /// [`seed`](crate::record::seed) of the segment being written.
    pub(crate) seed: u32,
    /// False in etcd's plain format.
    pub(crate) protected: bool,
}

/// What goes into one record.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Record<'a> {
    pub(crate) kind: u64,
    /// `None` leaves the field out, as etcd does for a nil slice.
    pub(crate) data: Option<&'a [u8]>,
    /// The rest of data.
    pub(crate) payload: Option<&'a Bytes>,
    pub(crate) flags: u64,
    pub(crate) head: Option<Head>,
}

impl Chain {
    /// Appends one frame to `out`, whose first byte lies at file offset `base`. `durable` is the sequence number durable before the batch.
    pub(crate) fn push(
        &mut self,
        out: &mut Frames,
        base: u64,
        durable: u64,
        r: &Record<'_>,
    ) -> Encoded {
        self.seq += 1;
        let head = r.data.unwrap_or_default();
        let tail = r.payload.map_or(&[][..], |p| p);
        self.crc = crc32c_append(crc32c_append(self.crc, head), tail);

        // All but data is put together first, behind the offset: the checksum covers just that.
        let offset = base + out.len();
        let mut f = Fields::new();
        f.put(&offset.to_le_bytes());
        let lead = f.len;
        f.put(&[0; WORD]);
        f.field(0x08, r.kind);
        f.field(0x10, u64::from(self.crc));
        if r.data.is_some() {
            f.field(0x1a, (head.len() + tail.len()) as u64);
        }
        let trail = f.len;
        let (mut flags_at, mut sum) = (0, 0);
        if self.protected {
            f.field(0x20, self.seq);
            f.field(0x28, self.seq.saturating_sub(durable));
            f.field(0x30, r.flags);
            flags_at = f.len - 1;
            f.field(0x38, self.epoch);
            if let Some(h) = r.head {
                f.head(h);
            }
            f.put(&[0x7d]);
            sum = 4;
        }
        let padding = f.len;
        let record = padding - lead - WORD + head.len() + tail.len() + sum;
        f.put_at(lead, &word_for(record).to_le_bytes());
        f.len += record.next_multiple_of(8) - record;

        out.make_room(ROOM + head.len() + tail.len());
        let start = out.end;
        out.put(f.part(lead, trail));
        out.put(head);
        if let Some(p) = r.payload {
            out.payload(p);
        }
        let after = out.end;
        out.put(f.part(trail, padding));
        let sum_at = out.end;
        if self.protected {
            let sum = crc32c_append(self.seed, f.part(0, f.len));
            out.put(&sum.to_le_bytes());
        }
        out.put(f.part(padding, f.len));
        Encoded {
            offset,
            start,
            data: (start + trail - lead, after),
            flags_at: (after + flags_at).saturating_sub(trail),
            sum_at,
            end: out.end,
        }
    }

    /// Sets or clears [`END`] in a frame that is still in memory.
    pub(crate) fn set_end(&self, out: &mut Frames, e: Encoded, end: bool) {
        if !self.protected {
            return;
        }
        if let Some(f) = out.buf.get_mut(e.flags_at) {
            let other = *f & !END.to_le_bytes()[0];
            *f = other | u8::from(end);
        }
        let Some(frame) = out.buf.get_mut(e.start..e.end) else {
            return;
        };
        let data = e.data.0 - e.start..e.data.1 - e.start;
        let at = e.sum_at - e.start;
        let sum = checksum(frame, Some(&data), at, self.seed, e.offset);
        if let Some(to) = frame.get_mut(at..at + 4) {
            to.copy_from_slice(&sum.to_le_bytes());
        }
    }
}

/// The length word of a record of so many bytes.
fn word_for(record: usize) -> u64 {
    let padding = (8 - record % 8) % 8;
    let mut word = record as u64;
    if padding != 0 {
        word |= (0x80 | padding as u64) << 56;
    }
    word
}

/// A frame's fields but for data, on the stack: offset 8, word 8, three fields, four fields, head 2 + 44, key and checksum 5, padding 7.
const ROOM: usize = 16 + 7 * 11 + 46 + 5 + 7;

/// Aligned, because the CRC of unaligned bytes begins with a slow step for each of the first few.
#[repr(align(8))]
struct Fields {
    bytes: [u8; ROOM],
    len: usize,
}

impl Fields {
    fn new() -> Self {
        Self {
            bytes: [0; ROOM],
            len: 0,
        }
    }

    #[inline]
    fn put_at(&mut self, at: usize, bytes: &[u8]) {
        if let Some(to) = self.bytes.get_mut(at..at + bytes.len()) {
            to.copy_from_slice(bytes);
        }
    }

    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.put_at(self.len, bytes);
        self.len += bytes.len();
    }

    #[inline]
    fn byte(&mut self, b: u8) {
        if let Some(to) = self.bytes.get_mut(self.len) {
            *to = b;
        }
        self.len += 1;
    }

    /// A varint field.
    #[inline]
    fn field(&mut self, key: u8, mut value: u64) {
        self.byte(key);
        while value >= 0x80 {
            self.byte(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.byte(value.to_le_bytes()[0]);
    }

    fn head(&mut self, h: Head) {
        let mut inner = Self::new();
        inner.field(0x08, h.version);
        inner.field(0x10, h.segment);
        inner.field(0x18, h.first_index);
        inner.field(0x20, h.log_id);
        self.field(0x42, inner.len as u64);
        self.put(inner.part(0, inner.len));
    }

    fn part(&self, from: usize, to: usize) -> &[u8] {
        self.bytes.get(from..to).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Frame, INSTALLED, kind, seed};

    fn chain(protected: bool) -> Chain {
        Chain {
            crc: 0,
            seq: 0,
            epoch: 1,
            log_id: 7,
            seed: seed(7, 3),
            protected,
        }
    }

    fn record(data: &[u8]) -> Record<'_> {
        Record {
            kind: kind::ENTRY,
            data: Some(data),
            ..Record::default()
        }
    }

    #[test]
    fn every_size_round_trips_and_ends_on_eight_bytes() {
        let payload = [0xa5; 300];
        for protected in [false, true] {
            let mut c = chain(protected);
            let mut out = Frames::default();
            for n in 0..300 {
                let at = out.end;
                c.push(&mut out, 1024, 0, &record(&payload[..n]));
                assert_eq!(out.len() % 8, 0);
                let f = Frame::parse(&out.buf[at..out.end]).unwrap();
                assert_eq!(
                    (f.kind, f.data(), f.crc),
                    (kind::ENTRY, &payload[..n], c.crc)
                );
                assert_eq!(f.guard.is_some(), protected);
                assert_eq!(f.holds(c.seed, 1024 + at as u64), protected);
                assert!(!f.holds(c.seed, 1032 + at as u64), "another place");
                assert!(!f.holds(seed(8, 3), 1024 + at as u64), "another log");
            }
        }
    }

    #[test]
    fn the_largest_fields_fit() {
        let mut c = Chain {
            seq: u64::MAX - 1,
            epoch: u64::MAX,
            ..chain(true)
        };
        let head = Head {
            version: u64::MAX,
            segment: u64::MAX,
            first_index: u64::MAX,
            log_id: u64::MAX,
        };
        let mut out = Frames::default();
        let r = Record {
            kind: u64::MAX,
            head: Some(head),
            ..record(b"xyz")
        };
        c.push(&mut out, 0, 0, &r);
        let f = Frame::parse(&out.buf[..out.end]).unwrap();
        assert!(f.holds(c.seed, 0));
        assert_eq!((f.kind, f.data(), f.head), (u64::MAX, &b"xyz"[..], r.head));
        assert_eq!(f.guard.unwrap().epoch, u64::MAX);
    }

    #[test]
    fn a_payload_apart_makes_the_same_bytes() {
        for protected in [false, true] {
            let [one, two] = [false, true].map(|gather| {
                let mut c = chain(protected);
                let mut out = Frames {
                    gather,
                    ..Frames::default()
                };
                for n in 0..40 {
                    let payload = Bytes::from(vec![n; APART - 20 + usize::from(n)]);
                    let r = Record {
                        payload: Some(&payload),
                        ..record(b"front")
                    };
                    let e = c.push(&mut out, 64, 0, &r);
                    for end in [true, false, true] {
                        c.set_end(&mut out, e, end);
                    }
                    assert_eq!(out.apart.is_empty(), !gather || n < 20);
                    assert_eq!(out.len() % 8, 0);
                }
                let len = out.len();
                let bytes = out.into_bytes();
                assert_eq!(bytes.len() as u64, len);
                bytes
            });
            assert!(one == two);
            let mut at = 0;
            while at < one.len() {
                let size = u64::from_le_bytes(one[at..at + 8].try_into().unwrap());
                let (size, padding) = crate::record::sizes(size);
                let end = at + 8 + usize::try_from(size + padding).unwrap();
                let f = Frame::parse(&one[at..end]).unwrap();
                assert_eq!(f.holds(chain(true).seed, 64 + at as u64), protected);
                assert_eq!(f.ends_batch(), protected);
                at = end;
            }
        }
    }

    #[test]
    fn the_end_of_a_batch_can_be_set_and_taken_back() {
        let mut c = chain(true);
        let mut out = Frames::default();
        let head = Head {
            version: 1,
            segment: 3,
            first_index: 9,
            log_id: u64::MAX,
        };
        let e = c.push(
            &mut out,
            0,
            0,
            &Record {
                flags: INSTALLED,
                head: Some(head),
                ..record(b"x")
            },
        );
        let before = out.buf.clone();
        c.set_end(&mut out, e, true);
        let f = Frame::parse(&out.buf[..out.end]).unwrap();
        assert!(f.holds(c.seed, 0) && f.ends_batch());
        assert_eq!(f.head, Some(head));
        assert_eq!(f.guard.unwrap().flags, END | INSTALLED);
        c.set_end(&mut out, e, false);
        assert_eq!(out.buf, before);
    }

    #[test]
    fn a_flip_anywhere_but_in_data_breaks_the_checksum() {
        let mut c = chain(true);
        let mut frames = Frames::default();
        c.push(&mut frames, 64, 0, &record(b"payload"));
        let mut out = frames.into_bytes();
        let data = 8 + 2 + 1 + 5 + 2..8 + 2 + 1 + 5 + 2 + 7;
        for bit in 0..out.len() * 8 {
            out[bit / 8] ^= 1 << (bit % 8);
            let holds = Frame::parse(&out).is_some_and(|f| f.holds(c.seed, 64));
            assert_eq!(holds, data.contains(&(bit / 8)), "bit {bit}");
            out[bit / 8] ^= 1 << (bit % 8);
        }
    }
}
