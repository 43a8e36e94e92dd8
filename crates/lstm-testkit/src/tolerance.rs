//! How far a result may lie from the reference: a function of the case, not a number.
//!
//! `16 eps max(4, kappa)` on `max(1, |reference|)`, for gradients on the largest element of the reference
//! tensor. `kappa` is how strongly the case itself answers, in f64, to noise of one `eps` of f64 in its
//! weights and inputs; an ill-conditioned case is judged by its conditioning, a plain one by 64 eps.

use crate::case::{Kind, Outcome, Part, StackCase};
use crate::naive::Naive;
use crate::run::{Route, run};
use lstm_tensor::philox::{Philox, Purpose};
use lstm_tensor::{Float, ParamLayout, Result};

/// Perturbed runs that measure `kappa`.
const PERTURBATIONS: u32 = 3;

/// Allowed distance, in units of a tensor's scale.
#[must_use]
pub fn tolerance<F: Float>(kappa: f64) -> f64 {
    16.0 * F::EPSILON * kappa.max(4.0)
}

/// Largest distance of two tensors, in units of the reference's scale; infinite where only one of them is
/// a number or their sizes differ.
#[must_use]
pub fn distance(kind: Kind, got: &[f64], reference: &[f64]) -> f64 {
    if got.len() != reference.len() {
        return f64::INFINITY;
    }
    let largest = reference.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
    got.iter().zip(reference).fold(0.0, |worst: f64, (&got, &reference)| {
        let difference = (got - reference).abs();
        let scale = match kind {
            Kind::Value => reference.abs().max(1.0),
            Kind::Gradient => largest,
        };
        let measured = match difference / scale {
            _ if difference == 0.0 => 0.0,
            ratio if ratio.is_nan() => f64::INFINITY,
            ratio => ratio,
        };
        worst.max(measured)
    })
}

/// The tensor that lies farthest from its reference, and its distance.
#[must_use]
pub fn farthest(got: &[Part], reference: &[Part]) -> (String, f64) {
    let mut farthest = (String::new(), 0.0);
    for (got, reference) in got.iter().zip(reference) {
        let distance = distance(reference.kind, &got.values, &reference.values);
        if distance > farthest.1 || farthest.0.is_empty() {
            farthest = (reference.name.clone(), distance);
        }
    }
    farthest
}

/// What a case must give, and how precisely.
#[derive(Clone, Debug)]
pub struct Expected {
    /// Results in f64.
    pub outcome: Outcome,
    /// Places of the parameters.
    pub layout: ParamLayout,
    /// Response of the case to noise of one `eps`, in `eps`.
    pub kappa: f64,
    /// Allowed distance.
    pub tolerance: f64,
}

impl Expected {
    /// Runs the reference in f64 on the naive backend, as it is and perturbed; results are to be judged in
    /// `F`.
    ///
    /// # Errors
    /// Those of the operations.
    pub fn new<F: Float>(case: &StackCase) -> Result<Self> {
        let layout = case.layout();
        let outcome = run::<Naive, f64>(&Naive, case, Route::OWN)?;
        let parts = outcome.parts(&layout);
        let mut kappa: f64 = 0.0;
        for index in 0..PERTURBATIONS {
            let mut signs = Philox::new(0, Purpose::Data, index);
            let mut perturbed = case.clone();
            for (_, values) in perturbed.inputs_mut() {
                for value in values {
                    *value *= 1.0 + if signs.uniform() < 0.5 { f64::EPSILON } else { -f64::EPSILON };
                }
            }
            let answer = run::<Naive, f64>(&Naive, &perturbed, Route::OWN)?.parts(&layout);
            kappa = kappa.max(farthest(&answer, &parts).1 / f64::EPSILON);
        }
        Ok(Self { outcome, layout, kappa, tolerance: tolerance::<F>(kappa) })
    }

    /// The worst tensor of `got` and its distance over the tolerance; more than 1 is wrong.
    #[must_use]
    pub fn judge(&self, got: &Outcome) -> (String, f64) {
        let (name, distance) = farthest(&got.parts(&self.layout), &self.outcome.parts(&self.layout));
        (name, distance / self.tolerance)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::strategies::filled;
    use lstm_tensor::{BatchShape, StackSpec};

    #[test]
    fn values_are_measured_on_one_or_more_and_gradients_on_the_largest() {
        assert_eq!(distance(Kind::Value, &[0.5, 10.5], &[0.0, 10.0]), 0.5);
        assert_eq!(distance(Kind::Gradient, &[0.5, 10.0], &[0.0, 10.0]), 0.05);
        assert_eq!(distance(Kind::Gradient, &[0.0], &[0.0]), 0.0);
    }

    #[test]
    fn what_is_no_number_or_no_match_is_infinitely_far() {
        for got in [&[f64::NAN] as &[f64], &[f64::INFINITY], &[], &[1.0, 1.0]] {
            assert_eq!(distance(Kind::Value, got, &[1.0]), f64::INFINITY);
            assert_eq!(distance(Kind::Gradient, got, &[1.0]), f64::INFINITY);
        }
        assert_eq!(distance(Kind::Gradient, &[1e-30], &[0.0]), f64::INFINITY);
    }

    /// Weights rounded to the ten bits of TF32 are noticed, in plain and in saturated cases.
    #[test]
    fn coarser_arithmetic_is_refused() {
        for (seed, scale) in (0..30).flat_map(|seed| [(seed, 1.0), (seed, 20.0)]) {
            let case = filled(StackSpec::uniform(4, 9, 2), BatchShape::new(6, 4), scale, seed);
            let expected = Expected::new::<f32>(&case).unwrap();
            let mut coarse = case.clone();
            for value in &mut coarse.params {
                let bits = (*value as f32).to_bits();
                *value = f64::from(f32::from_bits((bits + 0x1000) & !0x1FFF));
            }
            let honest = expected.judge(&run::<Naive, f32>(&Naive, &case, Route::OWN).unwrap());
            let rounded = expected.judge(&run::<Naive, f32>(&Naive, &coarse, Route::OWN).unwrap());
            assert!(honest.1 <= 1.0, "seed {seed}, scale {scale}: honest {honest:?}");
            assert!(rounded.1 > 1.0, "seed {seed}, scale {scale}: rounded {rounded:?}");
        }
    }
}
