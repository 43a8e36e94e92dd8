//! Loops whose behaviour is known in closed form.

use super::*;
use std::f64::consts::TAU;

/// A loop over its last `dim` values: `x[t + 1] = next(window)`.
struct Recurrence<N> {
    dim: usize,
    next: N,
}

impl<N: Fn(&[f64]) -> f64> ClosedLoop for Recurrence<N> {
    fn dim(&self) -> usize {
        self.dim
    }

    fn stride(&self) -> usize {
        1
    }

    fn reach(&self) -> usize {
        self.dim
    }

    fn unit(&self) -> f64 {
        1.0
    }

    fn start(&mut self, series: &[f64], rows: &[usize]) -> Result<Vec<f64>> {
        Ok(rows.iter().flat_map(|row| &series[row - self.dim..*row]).copied().collect())
    }

    fn turn(&mut self, states: &mut [f64]) -> Result<Vec<f64>> {
        let turn = |state: &mut [f64]| {
            let next = (self.next)(state);
            state.rotate_left(1);
            state[self.dim - 1] = next;
            next
        };
        Ok(states.chunks_exact_mut(self.dim).map(turn).collect())
    }
}

/// `x[t + 1] = 2 r cos(w) x[t] - r^2 x[t - 1]`: a sine of angular frequency `w` that is multiplied by `r` at each step.
fn resonator(r: f64, w: f64) -> impl ClosedLoop {
    Recurrence { dim: 2, next: move |x: &[f64]| 2.0 * r * w.cos() * x[1] - r * r * x[0] }
}

/// A plane whose angle turns by `w` at each step and whose radius `R` moves to `R + a R (1 - R^2)`; its first coordinate
/// is said. The unit circle is its cycle, with multipliers 1 and `(1 - 2 a)` to the power of its steps.
struct Oscillator {
    a: f64,
    w: f64,
}

impl ClosedLoop for Oscillator {
    fn dim(&self) -> usize {
        2
    }

    fn stride(&self) -> usize {
        1
    }

    fn reach(&self) -> usize {
        1
    }

    fn unit(&self) -> f64 {
        1.0
    }

    fn start(&mut self, series: &[f64], rows: &[usize]) -> Result<Vec<f64>> {
        Ok(rows.iter().flat_map(|row| [series[row - 1], 0.1]).collect())
    }

    fn turn(&mut self, states: &mut [f64]) -> Result<Vec<f64>> {
        let turn = |state: &mut [f64]| {
            let (radius, angle) = (state[0].hypot(state[1]), state[1].atan2(state[0]) + self.w);
            let radius = radius + self.a * radius * (1.0 - radius * radius);
            (state[0], state[1]) = (radius * angle.cos(), radius * angle.sin());
            state[0]
        };
        Ok(states.chunks_exact_mut(2).map(turn).collect())
    }
}

fn sine(period: f64, count: usize) -> Vec<f64> {
    (0..count).map(|t| (TAU * t as f64 / period).sin()).collect()
}

fn every(period: f64) -> Repeats {
    Repeats { period, season: period }
}

fn close(a: f64, b: f64, tolerance: f64) {
    assert!((a - b).abs() <= tolerance, "{a} is not {b}");
}

#[test]
fn the_period_is_found_between_the_frequencies_of_the_periodogram() {
    let series: Vec<f64> = (0..300)
        .map(|t| {
            let t = f64::from(t);
            4.0 + 0.05 * t + 2.0 * (TAU * t / 17.3).cos() + 0.5 * (TAU * t / 5.1).sin()
        })
        .collect();
    let found = dominant_period(&series).unwrap();
    close(found.period, 17.3, 0.03);
    close(found.share, 2.0 / (2.0 + 0.125), 0.02);
    let line: Vec<f64> = (0..40).map(f64::from).collect();
    assert_eq!(dominant_period(&line[..11]), None);
    assert_eq!(dominant_period(&[3.0; 40]), None);
}

/// A loop that turns at another frequency and decays drifts as its formula says.
#[test]
fn amplitude_and_phase_drift_as_the_formula_says() {
    let (period, r, faster) = (25.0, 0.99f64, 24.0);
    let series = sine(period, 1000);
    let rows: Vec<usize> = (100..300).step_by(7).collect();
    let mut subject = resonator(r, TAU / faster);
    let steps = 200;
    let runs = free_runs(&mut subject, &series, &rows, steps).unwrap();
    let drifts = drift(&series, &rows, &runs, steps, period);
    assert_eq!(drifts.iter().map(|d| d.ahead).collect::<Vec<_>>(), [25, 50, 75, 100, 125, 150, 175, 200]);
    let pace = pace(&drifts).unwrap();
    // In 25 steps it turns 25 / 24 times.
    close(pace.amplitude, r.powi(25), 2e-3);
    close(pace.phase, 25.0 / 24.0, 0.02);
    assert!(drifts.iter().all(|d| d.coherence > 0.98), "{drifts:?}");
    // More than one whole turn would be nothing to see without unwrapping.
    let last = drifts.last().unwrap();
    close(last.phase - drifts[0].phase, 7.0 * 25.0 / 24.0, 0.2);

    let mut perfect = resonator(1.0, TAU / period);
    let runs = free_runs(&mut perfect, &series, &rows, steps).unwrap();
    for d in drift(&series, &rows, &runs, steps, period) {
        close(d.amplitude, 1.0, 1e-8);
        close(d.phase, 0.0, 1e-8);
    }
}

#[test]
fn errors_are_those_of_each_horizon() {
    let series = [0.0, 1.0, 2.0, 4.0, 7.0, 11.0, 16.0];
    let mut plus_one = Recurrence { dim: 1, next: |x: &[f64]| x[0] + 1.0 };
    let runs = free_runs(&mut plus_one, &series, &[2, 4], 3).unwrap();
    assert_eq!(runs, [2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
    let errors = free_run_errors(&series, &[2, 4], &runs, 3, 2);
    let rms = |a: f64, b: f64| ((a * a + b * b) / 2.0).sqrt();
    let expected = [
        (rms(0.0, 2.0), rms(1.0, 3.0), rms(2.0, 5.0)),
        (rms(1.0, 5.0), rms(3.0, 7.0), rms(3.0, 7.0)),
        (rms(3.0, 9.0), rms(6.0, 12.0), rms(7.0, 14.0)),
    ];
    for (error, (rmse, naive, seasonal)) in errors.iter().zip(expected) {
        close(error.rmse, rmse, 1e-12);
        close(error.naive, naive, 1e-12);
        close(error.seasonal_naive, seasonal, 1e-12);
    }
}

/// A linear recurrence answers the sine of frequency `v` with `H(v)` times it, `H = sum a[k] exp(-i v k)`, which is one
/// step behind where the next value is wanted.
#[test]
fn the_response_is_the_transfer_function() {
    let (r, w) = (0.9f64, 0.5f64);
    let mut subject = resonator(r, w);
    let periods = [2.5, 7.3, 40.0];
    for amplitude in [1e-3, 20.0] {
        let wave = Wave { level: 0.0, amplitude };
        let responses = response(&mut subject, wave, &periods).unwrap();
        assert_eq!(responses.len(), 3);
        for answer in responses {
            let v = TAU / answer.period;
            // Last value times 2 r cos(w), the one before times -r^2, seen from the value that is predicted.
            let (one, two) = (2.0 * r * w.cos(), -r * r);
            let (re, im) = (one * v.cos() + two * (2.0 * v).cos(), -one * v.sin() - two * (2.0 * v).sin());
            close(answer.gain, re.hypot(im), 1e-6);
            close((answer.lead - im.atan2(re).to_degrees()).rem_euclid(360.0) % 360.0, 0.0, 1e-4);
        }
    }
}

#[test]
fn a_decaying_loop_stops_at_a_point_with_its_eigenvalues() {
    let mut subject = resonator(0.95, 0.7);
    let state = subject.start(&sine(9.0, 20), &[20]).unwrap();
    let settled = settle(&mut subject, state, 600, every(9.0), 1.0).unwrap();
    assert!(matches!(settled.rest, Rest::Point { value } if value.abs() < 1e-6), "{:?}", settled.rest);
    let growth = growth(&mut subject, settled.state, 9.0, 1.0).unwrap();
    assert_eq!(growth.factors.len(), 2);
    growth.factors.iter().for_each(|factor| close(*factor, 0.95, 1e-5));
}

#[test]
fn real_eigenvalues_are_told_apart() {
    // (x - 0.9)(x - 0.5)(x + 0.2) = x^3 - 1.2 x^2 + 0.17 x + 0.09
    let mut subject = Recurrence { dim: 3, next: |x: &[f64]| 1.2 * x[2] - 0.17 * x[1] - 0.09 * x[0] };
    let growth = growth(&mut subject, vec![1.0, 0.3, -0.4], 4.0, 1.0).unwrap();
    for (factor, expected) in growth.factors.iter().zip([0.9, 0.5, 0.2]) {
        close(*factor, expected, 1e-5);
    }
}

#[test]
fn a_growing_loop_diverges_and_a_rising_one_drifts() {
    let mut subject = resonator(1.05, 0.7);
    let state = subject.start(&sine(9.0, 20), &[20]).unwrap();
    let settled = settle(&mut subject, state, 2000, every(9.0), 1.0).unwrap();
    let Rest::Diverges { step } = settled.rest else { panic!("{:?}", settled.rest) };
    // 1.05^t passes 1000 deviations at about t = 142.
    assert!((125..160).contains(&step), "{step}");

    let mut rising = Recurrence { dim: 2, next: |x: &[f64]| x[1] + 0.25 };
    let settled = settle(&mut rising, vec![0.0, 0.25], 400, every(10.0), 1.0).unwrap();
    let Rest::Drifts { level, .. } = settled.rest else { panic!("{:?}", settled.rest) };
    close(level, 2.5, 1e-9);
}

#[test]
fn at_a_cycle_the_factors_are_the_floquet_multipliers() {
    let (a, w) = (0.01f64, TAU / 20.3);
    let mut subject = Oscillator { a, w };
    let state = subject.start(&[0.3], &[1]).unwrap();
    let settled = settle(&mut subject, state, 1600, every(20.0), 0.7).unwrap();
    let Rest::Cycle { period, level, deviation } = settled.rest else { panic!("{:?}", settled.rest) };
    close(period, 20.3, 0.01);
    close(level, 0.0, 0.01);
    close(deviation, 0.5f64.sqrt(), 0.005);
    let growth = growth(&mut subject, settled.state, period, period).unwrap();
    close(growth.factors[0], 1.0, 1e-4);
    close(growth.factors[1], (1.0 - 2.0 * a).powf(20.3), 1e-3);
}

/// Ten swings of seven steps on one slow wave: whole swings that are no whole season would seem to move the level.
#[test]
fn a_season_of_several_swings_is_a_cycle() {
    let mut season = Recurrence { dim: 70, next: |x: &[f64]| x[0] };
    let swings = sine(7.0, 70).into_iter().zip(sine(70.0, 70));
    let state = swings.map(|(swing, wave)| swing + 0.4 * wave).collect();
    let repeats = Repeats { period: 7.0, season: 70.0 };
    let settled = settle(&mut season, state, 410, repeats, 0.8).unwrap();
    assert!(matches!(settled.rest, Rest::Cycle { .. }), "{:?}", settled.rest);
}

#[test]
fn a_direction_that_is_wiped_out_has_no_growth() {
    // The last value alone decides.
    let mut subject = Recurrence { dim: 3, next: |x: &[f64]| 0.8 * x[2] };
    let growth = growth(&mut subject, vec![1.0, 1.0, 1.0], 5.0, 1.0).unwrap();
    close(growth.factors[0], 0.8, 1e-6);
    assert!(growth.factors[1..].iter().all(|factor| *factor < 1e-6), "{growth:?}");
}

#[test]
fn origins_are_even_and_end_at_the_last() {
    assert_eq!(evenly(3..10, 3), [3, 6, 9]);
    assert_eq!(evenly(3..5, 9), [3, 4]);
    assert_eq!(evenly(0..10, 1), [9]);
}
