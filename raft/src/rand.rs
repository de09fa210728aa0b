//! The seeded generator behind election timeouts. Go: lockedRand

/// A stream of numbers that depends on seed and id alone (splitmix64).
#[doc(alias = "lockedRand")]
#[derive(Clone, Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    /// The id is mixed in with an odd factor, so that nodes which share a seed draw different numbers.
    pub(crate) const fn new(seed: u64, id: u64) -> Self {
        Self(mix(seed) ^ mix(id.wrapping_mul(0xd134_2543_de82_ef95).wrapping_add(1)))
    }

    pub(crate) const fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below `n`, 0 when `n` is 0. The bias is below n / 2^64.
    #[doc(alias = "Intn")]
    #[allow(clippy::cast_possible_truncation)] // The upper half of a product of two 64-bit numbers has 64 bits.
    pub(crate) const fn below(&mut self, n: u64) -> u64 {
        ((self.next_u64() as u128 * n as u128) >> 64) as u64
    }
}

/// What tests choose by chance.
#[cfg(test)]
impl Rng {
    /// A length or place below `n`, which is at least 1.
    pub(crate) fn size(&mut self, n: usize) -> usize {
        usize::try_from(self.below(u64::try_from(n).unwrap())).unwrap()
    }

    pub(crate) fn flip(&mut self) -> bool {
        self.below(2) == 1
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            let j = self.size(i + 1);
            items.swap(i, j);
        }
    }
}

const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_values_come_about_equally_often() {
        for seed in 0..5 {
            let mut rng = Rng::new(seed, 1);
            let mut seen = [0_u32; 10];
            for _ in 0..10_000 {
                seen[usize::try_from(rng.below(10)).unwrap()] += 1;
            }
            assert!(seen.iter().all(|n| (850..1150).contains(n)), "{seen:?}");
        }
        assert_eq!(Rng::new(1, 1).below(0), 0);
    }

    #[test]
    fn nodes_with_one_seed_differ_and_repeat() {
        let draw = |seed, id| {
            let mut rng = Rng::new(seed, id);
            (0..8).map(|_| rng.below(10)).collect::<Vec<_>>()
        };
        assert_eq!(draw(0, 1), draw(0, 1));
        assert_ne!(draw(0, 1), draw(0, 2));
        assert_ne!(draw(0, 1), draw(1, 0));
        assert_ne!(draw(7, 7), draw(8, 8));
    }
}
