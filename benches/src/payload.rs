//! The payloads, and a state machine that checks them while it is timed.
//!
//! Payload `i` of `n` bytes is the little-endian word `i`, then words of a splitmix64 stream seeded with `i`, and at its end the word
//! `mix(i)`. Applying one folds its length, first and last word into a running checksum: a few nanoseconds, and nothing can be skipped
//! unseen. In a warm-up every byte is compared.

use bytes::Bytes;

/// Odd constant of splitmix64, and the checksum's multiplier.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// The smallest payload in bytes: its number and the word that checks it.
pub const MIN_SIZE: usize = 16;

/// The finaliser of splitmix64.
#[must_use]
pub const fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// Payload number `i` of `size` bytes.
///
/// # Panics
/// `size` is below [`MIN_SIZE`].
#[must_use]
pub fn payload(i: u64, size: usize) -> Vec<u8> {
    assert!(size >= MIN_SIZE, "a payload has at least {MIN_SIZE} bytes");
    let mut bytes = vec![0; size];
    bytes[..8].copy_from_slice(&i.to_le_bytes());
    let mut state = i;
    for chunk in bytes[8..size - 8].chunks_mut(8) {
        state = state.wrapping_add(GOLDEN);
        chunk.copy_from_slice(&mix(state).to_le_bytes()[..chunk.len()]);
    }
    bytes[size - 8..].copy_from_slice(&mix(i).to_le_bytes());
    bytes
}

/// The payloads `from..to`, each in one allocation of its own with its count of references, as a server has them that read them from
/// its clients.
#[must_use]
pub fn payloads(from: u64, to: u64, size: usize) -> Vec<Bytes> {
    (from..to).map(|i| counted(payload(i, size))).collect()
}

/// The sizes that are measured get count and bytes in one allocation, like an `Arc<[u8]>`; others take two.
fn counted(bytes: Vec<u8>) -> Bytes {
    fn sized<const N: usize>(bytes: &[u8]) -> Option<Bytes> {
        Some(Bytes::from_owner(<[u8; N]>::try_from(bytes).ok()?))
    }
    sized::<16>(&bytes)
        .or_else(|| sized::<128>(&bytes))
        .or_else(|| sized::<4096>(&bytes))
        .unwrap_or_else(|| Bytes::from_owner(bytes))
}

fn fold(sum: u64, first: u64, last: u64, len: u64) -> u64 {
    (sum ^ first)
        .wrapping_mul(GOLDEN)
        .rotate_left(29)
        .wrapping_add(last ^ len)
}

fn word(bytes: Option<&[u8]>) -> u64 {
    bytes
        .and_then(|b| b.try_into().ok())
        .map_or(0, u64::from_le_bytes)
}

/// The state machine of a node: counts and checks what is applied.
///
/// ```
/// use benches::payload::{Applied, payloads};
/// let mut a = Applied::new(128);
/// payloads(0, 10, 128).iter().for_each(|p| a.apply(p));
/// a.check(10);
/// ```
#[derive(Clone, Debug)]
pub struct Applied {
    count: u64,
    sum: u64,
    size: usize,
    /// Whether every byte is compared; off while the clock runs.
    pub whole: bool,
}

impl Applied {
    /// Nothing applied; payloads will have `size` bytes.
    #[must_use]
    pub fn new(size: usize) -> Self {
        Self {
            count: 0,
            sum: 0,
            size,
            whole: false,
        }
    }

    /// How many payloads were applied.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Applies one payload.
    ///
    /// # Panics
    /// All bytes are compared, and one differs.
    #[inline]
    pub fn apply(&mut self, data: &[u8]) {
        if self.whole {
            assert!(
                data == payload(self.count, self.size),
                "payload {} differs",
                self.count
            );
        }
        let (first, last) = (
            word(data.get(..8)),
            word(data.last_chunk::<8>().map(|c| &c[..])),
        );
        self.sum = fold(self.sum, first, last, data.len() as u64);
        self.count += 1;
    }

    /// Whether exactly the payloads `0..count` were applied, in order.
    ///
    /// # Panics
    /// They were not.
    pub fn check(&self, count: u64) {
        let want = (0..count).fold(0, |sum, i| fold(sum, i, mix(i), self.size as u64));
        assert_eq!(self.count, count, "another number of payloads was applied");
        assert_eq!(self.sum, want, "other payloads, or in another order");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_swap_a_change_and_a_loss_are_seen() {
        let run = |order: &[u64], change: Option<usize>| {
            let mut a = Applied::new(24);
            for i in order {
                let mut p = payload(*i, 24);
                if let Some(at) = change {
                    p[at] ^= 1;
                }
                a.apply(&p);
            }
            std::panic::catch_unwind(|| a.check(4)).is_ok()
        };
        assert!(run(&[0, 1, 2, 3], None));
        assert!(!run(&[0, 2, 1, 3], None));
        assert!(!run(&[0, 1, 2], None));
        assert!(!run(&[0, 1, 2, 3], Some(20)));
    }

    /// The drivers of other libraries make the same bytes.
    #[test]
    fn payloads_are_pinned() {
        let mut a = Applied::new(128);
        payloads(0, 1000, 128).iter().for_each(|p| a.apply(p));
        assert_eq!(a.sum, 13_828_096_730_619_978_360);
        assert_eq!(
            payload(7, 24)[8..16],
            mix(7u64.wrapping_add(GOLDEN)).to_le_bytes()
        );
    }
}
