//! CRC-32C (Castagnoli), etcd's polynomial. Go: hash/crc32, pkg/crc

use crc_fast::{CrcAlgorithm, Digest};

/// The checksum of some bytes.
#[inline]
pub(crate) fn crc32c(data: &[u8]) -> u32 {
    crc32c_append(0, data)
}

/// The checksum of the bytes that `crc` is of and of `data` behind them.
#[inline]
pub(crate) fn crc32c_append(crc: u32, data: &[u8]) -> u32 {
    // The library keeps the register, which is the complement of what is stated.
    let mut sum = Digest::new_with_init_state(CrcAlgorithm::Crc32Iscsi, u64::from(!crc));
    sum.update(data);
    // It states 32-bit sums in the lower half.
    #[allow(clippy::cast_possible_truncation)]
    let crc = sum.finalize() as u32;
    crc
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bit by bit, as the polynomial says.
    fn plain(crc: u32, data: &[u8]) -> u32 {
        let byte = |c: u32, b: &u8| {
            let c = c ^ u32::from(*b);
            (0..8).fold(c, |c, _| (c >> 1) ^ (0x82f6_3b78 * (c & 1)))
        };
        !data.iter().fold(!crc, byte)
    }

    #[test]
    fn every_length_at_every_alignment() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        let mut x = 1u64;
        let mut next = || {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            x.to_le_bytes()[4]
        };
        let bytes: Vec<u8> = (0..9000).map(|_| next()).collect();
        for at in 0..16 {
            for len in (0..600).chain([1023, 1024, 4095, 4096, 4097, 8200]) {
                let (before, data) = (0x9e37_79b9 ^ len, &bytes[at..at + len as usize]);
                assert_eq!(
                    crc32c_append(before, data),
                    plain(before, data),
                    "{len} bytes at {at}"
                );
            }
        }
    }
}
