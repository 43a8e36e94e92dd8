//! Numbers as numpy's legacy generator draws them, so that data made by a Python script is made again.

use rand_mt::Mt;

/// What `numpy.random.RandomState(seed).randint(low, high, count)` gives: whole numbers from `low` on and below
/// `high`, from the Mersenne Twister MT19937 (Matsumoto and Nishimura 1998) by masks and rejection.
///
/// Without room between `low` and `high` all numbers are `low`.
#[must_use]
pub fn randint(seed: u32, low: i32, high: i32, count: usize) -> Vec<i32> {
    let most = high.saturating_sub(1).max(low).abs_diff(low);
    if most == 0 {
        return vec![low; count];
    }
    let mut twister = Mt::new(seed);
    // The smallest 2^k - 1 that is no less.
    let mask = u32::MAX >> most.leading_zeros();
    let mut draw = || {
        loop {
            let offset = twister.next_u32() & mask;
            if offset <= most {
                return low.wrapping_add_unsigned(offset);
            }
        }
    };
    (0..count).map(|_| draw()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The shifts of pytorch/examples, time_sequence_prediction: `np.random.seed(2)`, `randint(-80, 80, 100)`.
    #[test]
    fn numbers_are_those_of_numpy() {
        let drawn = [
            -65, -8, -58, -37, -5, 24, -73, 15, -5, -33, -17, -49, 68, 44, 36, -43, 22, -76, 27, -29, 23,
            -42, -47, -22, 44, -13, -11, 8, -34, 15, 41, -49, 0, -28, -30, 52, -17, -31, -41, 56, -65, 56,
            65, 70, 37, -7, 25, 30, 3, 16, -37, -48, -54, 56, -4, 58, -40, -46, -20, 57, -10, 6, -61, -24,
            49, -12, 1, -19, 45, 17, 66, 7, 70, -37, -28, -64, -25, 43, 69, -37, -10, -21, -63, 63, 78, -54,
            -41, -17, 68, 70, 20, -53, -80, -18, 12, -44, -17, -5, 30, -30,
        ];
        assert_eq!(randint(2, -80, 80, 100), drawn);
        assert_eq!(randint(2, -80, 80, 3), drawn[..3]);
    }

    #[test]
    fn every_number_of_the_range_and_no_other_is_drawn() {
        let mut drawn = randint(1, 3, 8, 500);
        drawn.sort_unstable();
        drawn.dedup();
        assert_eq!(drawn, [3, 4, 5, 6, 7]);
        assert_eq!((randint(1, 3, 4, 2), randint(1, 3, 3, 2)), (vec![3, 3], vec![3, 3]));
        let wide = randint(5, i32::MIN, i32::MAX, 1000);
        assert!(wide.iter().any(|n| *n < -1_000_000_000) && wide.iter().any(|n| *n > 1_000_000_000));
    }
}
