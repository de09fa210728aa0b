//! The payloads, the same bytes in every driver, and the state machine that checks them.
//!
//! Payload `i` of `n` bytes is a little-endian word `i`, then words of a splitmix64 stream seeded with `i`, and at its end the
//! word `mix(i)`. While the clock runs, applying an entry folds its length, first and last word into a running checksum (a few
//! nanoseconds, alike for all); during the warm-up every byte is compared.

/// Odd constant of splitmix64; also the checksum's multiplier.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// The finaliser of splitmix64.
#[must_use]
pub fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// Payload number `seq` of `size` bytes; `size` is at least 16.
#[must_use]
pub fn payload(seq: u64, size: usize) -> Vec<u8> {
    assert!(size >= 16, "a payload has at least 16 bytes");
    let mut bytes = vec![0; size];
    bytes[..8].copy_from_slice(&seq.to_le_bytes());
    let mut state = seq;
    for chunk in bytes[8..size - 8].chunks_mut(8) {
        state = state.wrapping_add(GOLDEN);
        chunk.copy_from_slice(&mix(state).to_le_bytes()[..chunk.len()]);
    }
    bytes[size - 8..].copy_from_slice(&mix(seq).to_le_bytes());
    bytes
}

/// The payloads `from..to`, each an allocation of its own.
#[must_use]
pub fn payloads(from: u64, to: u64, size: usize) -> Vec<Vec<u8>> {
    (from..to).map(|seq| payload(seq, size)).collect()
}

/// `count` numbers from `from` on, in ranges that are small beside what becomes of them.
pub fn portions(from: u64, count: u64) -> impl Iterator<Item = (u64, u64)> {
    const PORTION: u64 = 65_536;
    let end = from + count;
    let starts = (from..end).step_by(PORTION as usize);
    starts.map(move |start| (start, end.min(start + PORTION)))
}

fn fold(sum: u64, first: u64, last: u64, len: u64) -> u64 {
    (sum ^ first)
        .wrapping_mul(GOLDEN)
        .rotate_left(29)
        .wrapping_add(last ^ len)
}

/// The checksum of the payloads `0..count` applied in this order.
#[must_use]
pub fn expected(count: u64, size: usize) -> u64 {
    (0..count).fold(0, |sum, seq| fold(sum, seq, mix(seq), size as u64))
}

fn word(bytes: &[u8]) -> u64 {
    bytes.try_into().map_or(0, u64::from_le_bytes)
}

/// The state machine of a node: counts and checks what is applied.
#[derive(Debug)]
pub struct Applied {
    count: u64,
    sum: u64,
    size: usize,
    /// Compare every byte; off while the clock runs.
    pub whole: bool,
}

impl Applied {
    #[must_use]
    pub fn new(size: usize) -> Self {
        Self {
            count: 0,
            sum: 0,
            size,
            whole: true,
        }
    }

    /// Payloads applied so far.
    #[must_use]
    #[inline]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Applies one payload.
    #[inline]
    pub fn apply(&mut self, data: &[u8]) {
        assert_eq!(
            data.len(),
            self.size,
            "payload {} has another length",
            self.count
        );
        if self.whole {
            assert!(
                data == payload(self.count, self.size),
                "payload {} differs",
                self.count
            );
        }
        let (first, last) = (word(&data[..8]), word(&data[self.size - 8..]));
        self.sum = fold(self.sum, first, last, self.size as u64);
        self.count += 1;
    }

    /// Panics unless exactly the payloads `0..count` were applied in order.
    pub fn check(&self, count: u64, node: u64) {
        assert_eq!(
            self.count, count,
            "node {node} applied another number of entries"
        );
        assert_eq!(
            self.sum,
            expected(count, self.size),
            "node {node} applied other contents"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checked_run_passes_and_a_swap_is_caught() {
        for size in [16, 17, 23, 24, 128, 4096] {
            let mut good = Applied::new(size);
            payloads(0, 10, size).iter().for_each(|p| good.apply(p));
            good.check(10, 1);
            let mut bad = Applied::new(size);
            bad.whole = false;
            for seq in [0, 2, 1, 3] {
                bad.apply(&payload(seq, size));
            }
            assert_ne!(bad.sum, expected(4, size));
        }
    }

    /// The Go drivers compute the same value.
    #[test]
    fn the_checksum_is_pinned() {
        assert_eq!(expected(1000, 128), PINNED);
        assert_eq!(
            payload(7, 24)[8..16],
            mix(7_u64.wrapping_add(GOLDEN)).to_le_bytes()
        );
    }

    const PINNED: u64 = 13_828_096_730_619_978_360;
}
