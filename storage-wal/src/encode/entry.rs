//! The frames of entries, in few steps. Go: saveEntry
//!
//! Nearly every record is an entry, and nearly every entry's numbers are short. A field goes into a word with its key and is stored with whatever is behind it in
//! the word; the next is stored over that. So no field takes a loop, nor a part of a frame a copy of odd length.

use super::{Chain, Encoded, Frames, Record, word_for};
use crate::crc::crc32c_append;
use crate::record::{WORD, kind};
use storage::raftpb::Entry;

/// Short fields are copied in pieces of this size.
pub(super) const PIECE: usize = 32;
/// Numbers from here on take more than the seven bytes that are left beside a key in a word.
const WIDE: u64 = 1 << 49;
/// With more data, what is before it would be longer than a piece.
const MOST_DATA: usize = (1 << 28) - 64;

impl Chain {
    /// Appends an entry's frame, as [`push`](Chain::push) does.
    #[inline]
    pub(crate) fn push_entry(
        &mut self,
        out: &mut Frames,
        base: u64,
        durable: u64,
        e: &Entry,
    ) -> Encoded {
        let numbers = e.term | e.index | (self.seq + 1) | self.epoch;
        let short = numbers < WIDE && !e.data.is_empty() && e.data.len() <= MOST_DATA;
        if short && self.protected {
            self.push_short(out, base, durable, e)
        } else {
            self.push_any(out, base, durable, e)
        }
    }

    fn push_any(&mut self, out: &mut Frames, base: u64, durable: u64, e: &Entry) -> Encoded {
        let mut front = Vec::new();
        e.put_head(&mut front);
        let r = Record {
            kind: kind::ENTRY,
            data: Some(&front),
            payload: Some(&e.data),
            ..Record::default()
        };
        self.push(out, base, durable, &r)
    }

    fn push_short(&mut self, out: &mut Frames, base: u64, durable: u64, e: &Entry) -> Encoded {
        self.seq += 1;
        let mut front = Fields::<40>::new();
        if let Some(t) = e.entry_type {
            front.field(0x08, t as u64);
        }
        front.field(0x10, e.term);
        front.field(0x18, e.index);
        front.field(0x22, e.data.len() as u64);
        let len = front.at + e.data.len();
        self.crc = crc32c_append(crc32c_append(self.crc, front.bytes()), &e.data);

        // All but data, behind the offset: the checksum covers just that.
        let offset = base + out.len();
        let mut all = Fields::<104>::new();
        all.word(offset, WORD);
        all.at += WORD;
        let (crc, n) = varint(self.crc.into());
        all.word(0x10_0008 | kind::ENTRY << 8 | crc << 24, 3 + n);
        all.field(0x1a, len as u64);
        let trail = all.at;
        all.field(0x20, self.seq);
        all.field(0x28, self.seq.saturating_sub(durable));
        all.word(0x38_0030, 3);
        let flags_at = all.at - 2;
        let (epoch, n) = varint(self.epoch);
        all.word(epoch | 0x7d << (8 * n), n + 1);
        let record = all.at - 2 * WORD + len + 4;
        let padding = record.next_multiple_of(8) - record;
        let sum_at = all.at;
        all.word(0, padding);
        all.set(WORD, word_for(record));
        let sum = crc32c_append(self.seed, all.bytes());

        out.make_room(3 * PIECE + e.data.len());
        let start = out.end;
        out.put_first(trail - WORD, all.piece(WORD));
        out.put_first(front.at, front.piece(0));
        out.payload(&e.data);
        let after = out.end;
        all.set(sum_at, sum.into());
        out.put_first(sum_at + 4 + padding - trail, all.piece(trail));
        Encoded {
            offset,
            start,
            data: (start + trail - WORD, after),
            flags_at: after + flags_at - trail,
            sum_at: after + sum_at - trail,
            end: out.end,
        }
    }
}

/// Aligned, because the CRC of unaligned bytes begins with a slow step for each of the first few.
#[repr(align(8))]
struct Fields<const N: usize> {
    bytes: [u8; N],
    at: usize,
}

impl<const N: usize> Fields<N> {
    #[inline]
    fn new() -> Self {
        Self {
            bytes: [0; N],
            at: 0,
        }
    }

    #[inline]
    fn set(&mut self, at: usize, word: u64) {
        if let Some(to) = self.bytes.get_mut(at..at + WORD) {
            to.copy_from_slice(&word.to_le_bytes());
        }
    }

    /// The lowest `n` bytes of a word, and zeros behind them.
    #[inline]
    fn word(&mut self, word: u64, n: usize) {
        self.set(self.at, word);
        self.at += n;
    }

    /// A varint field of a number that is not [`WIDE`].
    #[inline]
    fn field(&mut self, key: u8, value: u64) {
        let (bits, n) = varint(value);
        self.word(u64::from(key) | bits << 8, 1 + n);
    }

    #[inline]
    fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.at).unwrap_or_default()
    }

    /// What begins at a byte.
    #[inline]
    fn piece(&self, from: usize) -> &[u8; PIECE] {
        let here = self.bytes.get(from..).and_then(|b| b.first_chunk());
        here.unwrap_or(&[0; PIECE])
    }
}

/// A number below [`WIDE`] as a varint, and its length.
#[inline]
fn varint(v: u64) -> (u64, usize) {
    let three = v & 0x7f | (v & 0x3f80) << 1 | (v & 0x1f_c000) << 2;
    if v < 1 << 7 {
        (v, 1)
    } else if v < 1 << 14 {
        (three | 0x80, 2)
    } else if v < 1 << 21 {
        (three | 0x8080, 3)
    } else {
        let five = three | (v & 0xfe0_0000) << 3 | (v & 0x7_f000_0000) << 4;
        if v < 1 << 28 {
            (five | 0x80_8080, 4)
        } else if v < 1 << 35 {
            (five | 0x8080_8080, 5)
        } else {
            let seven = five | (v & 0x3f8_0000_0000) << 5 | (v & 0x1_fc00_0000_0000) << 6;
            if v < 1 << 42 {
                (seven | 0x80_8080_8080, 6)
            } else {
                (seven | 0x8080_8080_8080, 7)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Frame, seed};
    use prost::Message as _;
    use storage::raftpb::EntryType;

    /// Numbers around each length of a varint.
    fn numbers() -> impl Iterator<Item = u64> {
        let around = |n: u32| [(1 << n) - 1, 1 << n, (1 << n) + 1];
        [0, u64::MAX].into_iter().chain((1..64).flat_map(around))
    }

    #[test]
    fn varints_are_prosts() {
        for v in numbers().filter(|v| *v < WIDE) {
            let mut want = Vec::new();
            prost::encoding::encode_varint(v, &mut want);
            let (bits, n) = varint(v);
            assert_eq!(&bits.to_le_bytes()[..n], want, "{v:#x}");
            assert_eq!(bits >> (8 * n), 0, "{v:#x}");
        }
    }

    fn chain(seq: u64, epoch: u64, protected: bool) -> Chain {
        Chain {
            crc: 0,
            seq,
            epoch,
            log_id: 7,
            seed: seed(7, 3),
            protected,
        }
    }

    /// The short way and the long way to the same bytes, and back to the same entry.
    fn check(c: Chain, durable: u64, e: &Entry) {
        let [mut short, mut long] = [Frames::default(), Frames::default()];
        let (mut one, mut other) = (c, c);
        // Something before it, so that neither begins where the buffer does.
        let before = Entry::new(1, 1, "before");
        one.push_any(&mut short, 8, durable, &before);
        other.push_any(&mut long, 8, durable, &before);
        let from = usize::try_from(short.len()).unwrap();
        let by_short = one.push_entry(&mut short, 8, durable, e);
        let by_long = other.push_any(&mut long, 8, durable, e);
        assert_eq!((one.crc, one.seq), (other.crc, other.seq));
        one.set_end(&mut short, by_short, true);
        other.set_end(&mut long, by_long, true);
        let (short, long) = (short.into_bytes(), long.into_bytes());
        assert!(
            short == long,
            "{c:?} {durable} {e:?}: {short:02x?} {long:02x?}"
        );
        let f = Frame::parse(&short[from..]).unwrap();
        assert_eq!(f.data(), e.encode_to_vec());
        assert_eq!(f.holds(c.seed, 8 + from as u64), c.protected);
        assert_eq!(f.ends_batch(), c.protected);
    }

    #[test]
    fn the_short_way_writes_what_the_long_way_writes() {
        for n in numbers() {
            let index = n.min(u64::MAX - 1);
            let e = Entry::new(n, index, "data");
            for protected in [false, true] {
                check(chain(index / 2, 1, protected), 0, &e);
                check(chain(index / 2, n, protected), index / 2, &e);
            }
        }
        for len in (0..300).chain([2047, 2048, 16_383, 16_384, 70_000]) {
            let mut e = Entry::new(5, 1_000_000, vec![0x5a; len]);
            check(chain(900, 1, true), 899, &e);
            e.entry_type = Some(EntryType::ConfChangeV2);
            check(chain(1 << 20, 1 << 9, true), 3, &e);
        }
    }
}
