//! A few small fields in a register, and what follows them: how most entries are written. Go: Entry.MarshalToSizedBuffer

use bytes::BufMut;

/// Numbers from here on do not fit with their key into eight bytes.
pub(crate) const TOO_WIDE: u64 = 1 << 49;

/// Up to 15 bytes of fields in a register. Bytes put one by one into an array and copied from there at once would keep the
/// processor waiting until the array is written.
#[derive(Clone, Copy, Default)]
pub(crate) struct Packed {
    /// The first byte lowest; zeros behind the last.
    bits: u128,
    /// In bytes. Beyond 15 the bits mean nothing, and nothing is written.
    len: u32,
}

impl Packed {
    /// The same with a uint64 field behind. The key is the field's number and wire type in one byte.
    ///
    /// The number is below [`TOO_WIDE`].
    #[inline]
    pub(crate) fn field(self, key: u8, v: u64) -> Self {
        let (v, len) = varint(v);
        self.with(u128::from(u64::from(key) | v << 8), 1 + len)
    }

    /// The same with another's fields behind.
    #[inline]
    pub(crate) fn then(self, next: Self) -> Self {
        self.with(next.bits, next.len)
    }

    #[inline]
    fn with(self, bits: u128, len: u32) -> Self {
        Self {
            bits: self.bits | bits.wrapping_shl(8 * self.len),
            len: self.len + len,
        }
    }

    /// How many bytes.
    #[inline]
    pub(crate) fn len(self) -> u64 {
        u64::from(self.len)
    }

    /// Writes the fields and `data` behind them: its beginning with them in one piece of 16 bytes, then the rest. False, and nothing is
    /// written, where the fields are longer than that or the data is shorter.
    #[inline]
    pub(crate) fn put_with(self, data: &[u8], buf: &mut impl BufMut) -> bool {
        let Some(first) = data.first_chunk::<16>().filter(|_| self.len < 16) else {
            return false;
        };
        let bits = self.bits | u128::from_le_bytes(*first) << (8 * self.len);
        buf.put_slice(&bits.to_le_bytes());
        buf.put_slice(&data[16 - self.len as usize..]);
        true
    }
}

/// A number below [`TOO_WIDE`] as a varint of up to seven bytes, and its length.
#[inline]
fn varint(v: u64) -> (u64, u32) {
    let four = v & 0x7f | (v & 0x3f80) << 1 | (v & 0x1f_c000) << 2 | (v & 0xfe0_0000) << 3;
    if v < 1 << 7 {
        (four, 1)
    } else if v < 1 << 14 {
        (four | 0x80, 2)
    } else if v < 1 << 21 {
        (four | 0x8080, 3)
    } else if v < 1 << 28 {
        (four | 0x80_8080, 4)
    } else {
        wide(v)
    }
}

/// The same byte by byte, for long ones.
#[inline(never)]
fn wide(mut v: u64) -> (u64, u32) {
    let (mut bits, mut len) = (0, 0);
    while v >= 0x80 {
        bits |= (v & 0x7f | 0x80) << (8 * len);
        v >>= 7;
        len += 1;
    }
    (bits | v << (8 * len), len + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::encoding::encode_varint;

    /// Around each length, and each bit alone.
    fn numbers() -> impl Iterator<Item = u64> {
        let powers = (0..49).map(|s| 1u64 << s);
        powers.flat_map(|p| [p - 1, p, p | 1, p | p >> 1, 2 * p - 1])
    }

    #[test]
    fn numbers_are_written_as_prost_writes_them() {
        for v in numbers() {
            let mut want = Vec::new();
            encode_varint(v, &mut want);
            let (bits, len) = varint(v);
            assert_eq!(bits.to_le_bytes()[..len as usize], want, "{v:#x}");
            assert_eq!(
                bits >> (8 * len),
                0,
                "nothing behind the last byte of {v:#x}"
            );
        }
    }

    /// Heads of each length with data of each length: the very bytes, or none at all.
    #[test]
    fn fields_and_data_are_written_whole_or_not_at_all() {
        let data: Vec<u8> = (1..=40).collect();
        let mut heads = vec![(Packed::default(), Vec::new())];
        for round in 0..4u8 {
            for (head, bytes) in heads.clone() {
                for v in [1, 300, 1 << 20, 1 << 27, 1 << 34, 1 << 41, TOO_WIDE - 1] {
                    let key = 0x10 + 8 * round;
                    let mut bytes = bytes.clone();
                    bytes.push(key);
                    encode_varint(v, &mut bytes);
                    heads.push((head.field(key, v), bytes));
                }
            }
        }
        let mut written = 0;
        for (head, bytes) in heads {
            assert_eq!(head.len(), bytes.len() as u64);
            let (first, rest) = (Packed::default().field(0x3a, head.len()), head);
            assert_eq!(first.then(rest).len(), 2 + head.len());
            for n in 0..=data.len() {
                let mut buf = vec![7];
                let done = head.put_with(&data[..n], &mut buf);
                assert_eq!(done, bytes.len() < 16 && n >= 16);
                let want = if done {
                    [&bytes, &data[..n]].concat()
                } else {
                    vec![]
                };
                assert_eq!((buf[0], &buf[1..]), (7, &want[..]));
                written += usize::from(done);
            }
        }
        assert!(written > 1000);
    }
}
