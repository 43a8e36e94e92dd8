//! Gradients that would become denormal are carried multiplied by a power of two.
//!
//! Where only the last of many steps is read, gradients shrink on their way back until they are denormal, and a
//! multiply-add with a denormal number takes a hundred times as long. Back-propagation is linear in them: so at
//! the start of a chunk of steps all gradients of a task may be multiplied by one power of two, which rounds nothing.

use lstm_tensor::Float;

/// Elements side by side in the search for the largest.
const LANES: usize = 16;

/// Exponents of two that belong to an element type.
pub(super) struct Exponents {
    /// Gradients that are all smaller are multiplied, so that the largest becomes about `target`.
    smallest: i32,
    target: i32,
    /// What one multiplication may change: less than the exponents of normal numbers on either side of 1.
    pub(super) most: i32,
}

impl Exponents {
    pub(super) const fn of<F>() -> Self {
        match size_of::<F>() {
            4 => Self { smallest: -50, target: 30, most: 90 },
            _ => Self { smallest: -700, target: 200, most: 800 },
        }
    }
}

/// The exponent that gradients, given as slices and the exponents they have now, should have: 0 where they need none.
pub(super) fn common<F: Float>(gradients: [(&[F], i32); 3]) -> i32 {
    let Exponents { smallest, target, most } = Exponents::of::<F>();
    let (mut largest, mut room) = (i32::MIN, i32::MAX);
    for (values, power) in gradients {
        let size = magnitude(values);
        if size > 0.0 {
            largest = largest.max(libm::ilogb(size) - power);
            room = room.min(power + most);
        }
    }
    if largest == i32::MIN || largest >= smallest { 0 } else { (target - largest).min(room) }
}

/// The largest absolute value; numbers that are none are passed over.
fn magnitude<F: Float>(values: &[F]) -> f64 {
    let larger = |a: F, b: F| if b > a { b } else { a };
    let mut lanes = [F::ZERO; LANES];
    let (chunks, rest) = values.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, &value) in lanes.iter_mut().zip(chunk) {
            *lane = larger(*lane, value.abs());
        }
    }
    lanes.iter().chain(rest).fold(F::ZERO, |a, &b| larger(a, b.abs())).to_f64()
}

/// Multiplies `values` by `2^power`, in two steps, so that each factor is a normal number.
pub(super) fn scale<F: Float>(values: &mut [F], power: i32) {
    if power != 0 {
        // Nothing but zeros is ever multiplied with more than `most`, and zeros must stay zeros.
        let factor = |half: i32| F::from_f64(libm::exp2(f64::from(half.min(Exponents::of::<F>().most))));
        let [first, second] = [factor(power / 2), factor(power - power / 2)];
        values.iter_mut().for_each(|value| *value = *value * first * second);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_small_gradients_are_scaled() {
        let power = |values: &[f32], now| common([(values, now), (&[], 7), (&[0.0], 9)]);
        assert_eq!([power(&[], 0), power(&[0.0; 40], 3), power(&[1e-3, 1e-40], 0)], [0; 3]);
        assert_eq!(power(&[f32::NAN, 1.0], 0), 0);
        let tiny = (-60f32).exp2();
        assert_eq!(power(&[tiny, -0.5 * tiny], 0), 90);
        assert_eq!(power(&[tiny], 200), 290);
        // Brought back as soon as something larger comes.
        assert_eq!(common([(&[1f32][..], 150), (&[0.25], 0), (&[], 0)]), 0);
    }

    #[test]
    fn no_number_leaves_the_range_at_once() {
        let denormal = f32::from_bits(1);
        let power = common([(&[denormal][..], 0), (&[], 0), (&[], 0)]);
        let mut values = [denormal];
        scale(&mut values, power);
        assert!(values[0].is_normal());
        scale(&mut values, -power);
        assert_eq!(values, [denormal]);
        let mut zeros = [0f32; 3];
        scale(&mut zeros, 900);
        assert_eq!(zeros, [0.0; 3]);
    }
}
