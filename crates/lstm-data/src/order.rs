//! Orders and draws from a generator that the caller supplies: each is a pure function of what it yields.
//!
//! Written out here rather than taken from `rand`, whose algorithms may change between versions: the same seed must
//! give the same order for ever.

use rand::Rng;

/// A number from 0 up to but not including 1, with 53 random bits.
pub fn unit(rng: &mut (impl Rng + ?Sized)) -> f64 {
    (rng.next_u64() >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
}

/// A number from 0 up to but not including `n`; 0 where `n` is 0.
///
/// The high half of a 128-bit product: the bias is below `n / 2^64`.
pub fn below(n: u64, rng: &mut (impl Rng + ?Sized)) -> u64 {
    ((u128::from(rng.next_u64()) * u128::from(n)) >> 64) as u64
}

/// The numbers from 0 to `n - 1` in random order (Fisher-Yates).
pub fn shuffled(n: u32, rng: &mut (impl Rng + ?Sized)) -> Vec<u32> {
    let mut order: Vec<u32> = (0..n).collect();
    for i in (1..order.len()).rev() {
        let other = usize::try_from(below(i as u64 + 1, rng)).unwrap_or(i);
        order.swap(i, other);
    }
    order
}

/// The first row of a random window, one of `starts` equally likely ones; 0 where there is none.
pub fn random_start(starts: usize, rng: &mut (impl Rng + ?Sized)) -> usize {
    usize::try_from(below(starts as u64, rng)).unwrap_or(0)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;
    use rand::rand_core::TryRng;

    use super::*;

    /// SplitMix64, enough for tests.
    pub(crate) struct Mix(pub(crate) u64);

    impl TryRng for Mix {
        type Error = Infallible;

        fn try_next_u32(&mut self) -> Result<u32, Infallible> {
            self.try_next_u64().map(|value| (value >> 32) as u32)
        }

        fn try_next_u64(&mut self) -> Result<u64, Infallible> {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            Ok(z ^ (z >> 31))
        }

        fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
            bytes.iter_mut().for_each(|byte| *byte = self.0 as u8);
            Ok(())
        }
    }

    #[test]
    fn draws_are_even() {
        let mut rng = Mix(1);
        let mut counts = [0; 5];
        let mut sum = 0.0;
        for _ in 0..10_000 {
            counts[random_start(5, &mut rng)] += 1;
            sum += unit(&mut rng);
        }
        assert!(counts.iter().all(|count| (1800..2200).contains(count)), "{counts:?}");
        assert!((sum / 10_000.0 - 0.5).abs() < 0.02);
        assert_eq!(random_start(0, &mut rng), 0);
    }

    #[test]
    fn every_order_is_as_likely() {
        let mut rng = Mix(2);
        let mut counts = std::collections::HashMap::new();
        for _ in 0..6_000 {
            *counts.entry(shuffled(3, &mut rng)).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), 6);
        assert!(counts.values().all(|count| (850..1150).contains(count)), "{counts:?}");
    }

    proptest! {
        #[test]
        fn an_order_has_each_number_once_and_repeats(n in 0_u32..200, seed in any::<u64>()) {
            let order = shuffled(n, &mut Mix(seed));
            prop_assert_eq!(&order, &shuffled(n, &mut Mix(seed)));
            let mut sorted = order;
            sorted.sort_unstable();
            prop_assert_eq!(sorted, (0..n).collect::<Vec<_>>());
        }
    }
}
