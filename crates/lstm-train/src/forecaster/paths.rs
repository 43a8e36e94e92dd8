//! Sample paths: futures that could come, each with what its steps have in common.
//!
//! All steps of the horizon are forecast at once, so the network says how sure each is, and not how they hang together. That
//! comes from the past, by the Schaake shuffle (Clark and others 2004): at each step as many values are drawn from
//! the calibrated distribution as there are paths, and path `n` gets the one whose rank is that of the error at this step
//! among those of as many forecasts of held-out rows, each path following one of these forecasts. So every step has the
//! distribution that its intervals say, and the ranks of the steps of a path belong together as those of errors did.
//! Several series are sampled each by itself.

use super::evaluation::{Interval, quantile_levels};
use super::{Forecaster, Head, LEVELS, Member, Window};
use crate::Result;
use lstm_nn::between;
use lstm_tensor::philox::{Philox, Purpose};
use lstm_tensor::{Backend, Float};

/// Forecasts whose errors are kept to shuffle by, at most.
pub(super) const TEMPLATES: usize = 200;

/// Numbers that are drawn at once.
const DRAWS: usize = 1 << 20;

impl<B: Backend, F: Float> Forecaster<B, F> {
    /// `count` paths behind each of these places, `[windows, count, H]`, a function of `seed`. `interval` calibrates each
    /// step; `templates [K, H]` are errors of forecasts from `K` places, in units of what each window was divided by:
    /// [`Evaluation::templates`](super::Evaluation::templates). Where they are none, steps hang together by chance alone.
    ///
    /// # Errors
    /// As [`Forecaster::forecast_at`].
    pub fn paths(
        &self,
        backend: &B,
        panel: &[Member<'_>],
        windows: &[Window],
        (interval, templates): (&Interval, &[f64]),
        (count, seed): (usize, u64),
    ) -> Result<Vec<f64>> {
        let horizon = self.config.horizon;
        let levels: Vec<Vec<f64>> = (0..horizon).map(|h| drawn(count, seed, h)).collect();
        let said = self.lstm_at(backend, panel, windows, None)?;
        let scales = self.scales_at(panel, windows);
        let mut paths = vec![0.0; windows.len() * count * horizon];
        // The draws of some windows at once: those of all would take as much memory as their paths.
        let at_once = (DRAWS / (count * horizon).max(1)).max(1);
        let mut draws = None;
        for (w, paths) in paths.chunks_exact_mut((count * horizon).max(1)).enumerate() {
            if w % at_once == 0 {
                let windows = &windows[w..(w + at_once).min(windows.len())];
                draws = match self.config.head {
                    // What it says is known at a few levels, and joined by lines once they are calibrated.
                    Head::Point | Head::Quantile => None,
                    _ => Some(self.quantiles_at(backend, panel, windows, |h| &levels[h])?),
                };
            }
            let stream = Philox::new(seed, Purpose::Samples, 2 * w as u32 + 1);
            let mut shuffle = Shuffle::new(templates, horizon, count, stream);
            for h in 0..horizon {
                let at = w * horizon + h;
                let (forecast, edges) = (said.forecasts[at], said.edges(at));
                let calibrated =
                    quantiles(forecast, &self.calibrated(interval, h, forecast, &edges, scales[w]));
                let raw = quantiles(forecast, &edges);
                let value = |n: usize| {
                    let level = levels[h][n];
                    match &draws {
                        None => between(&quantile_levels(), &calibrated, level),
                        Some(draws) => {
                            let drawn = (w % at_once * horizon + h) * count + n;
                            moved(&raw, &calibrated, draws[drawn])
                        }
                    }
                };
                let mut highest = f64::MIN;
                for (n, path) in shuffle.ranked(h).into_iter().enumerate() {
                    highest = highest.max(value(n));
                    paths[path * horizon + h] = self.above(match self.config.head {
                        Head::NegativeBinomial => highest.round().max(0.0),
                        _ => highest,
                    });
                }
            }
        }
        Ok(paths)
    }
}

/// The values at [`quantile_levels`] of a forecast and its edges.
fn quantiles(forecast: f64, edges: &super::Edges) -> [f64; 2 * LEVELS.len() + 1] {
    std::array::from_fn(|at| match at.checked_sub(LEVELS.len()) {
        None => edges[LEVELS.len() - 1 - at][0],
        Some(0) => forecast,
        Some(above) => edges[above - 1][1],
    })
}

/// Where a value goes when the quantiles `from` go to `to`: by lines between them, and on with the outermost ones.
fn moved(from: &[f64], to: &[f64], value: f64) -> f64 {
    let after = from.partition_point(|known| *known < value).clamp(1, from.len() - 1);
    let width = from[after] - from[after - 1];
    // Counts may have equal quantiles.
    let share = if width > 0.0 { (value - from[after - 1]) / width } else { 1.0 };
    to[after - 1] + share * (to[after] - to[after - 1])
}

/// `count` numbers between 0 and 1, rising: of each step the same for all series.
fn drawn(count: usize, seed: u64, h: usize) -> Vec<f64> {
    let mut stream = Philox::new(seed, Purpose::Samples, 2 * h as u32);
    let mut levels: Vec<f64> = (0..count).map(|_| stream.uniform().max(f64::EPSILON)).collect();
    levels.sort_by(f64::total_cmp);
    levels
}

/// What the ranks of the paths of one series follow.
struct Shuffle<'a> {
    /// `[K, H]`.
    templates: &'a [f64],
    horizon: usize,
    /// The template of each path.
    chosen: Vec<usize>,
    stream: Philox,
}

impl<'a> Shuffle<'a> {
    /// Each template serves as often as any other, but for chance.
    fn new(templates: &'a [f64], horizon: usize, count: usize, mut stream: Philox) -> Self {
        let all = (templates.len() / horizon).max(1);
        let mut chosen = Vec::with_capacity(count + all);
        while chosen.len() < count {
            let mut turn: Vec<(f64, usize)> = (0..all).map(|at| (stream.uniform(), at)).collect();
            turn.sort_by(|a, b| a.0.total_cmp(&b.0));
            chosen.extend(turn.into_iter().map(|(_, at)| at));
        }
        chosen.truncate(count);
        Self { templates, horizon, chosen, stream }
    }

    /// The paths by rank at a step; among equals chance decides.
    fn ranked(&mut self, h: usize) -> Vec<usize> {
        let Self { templates, horizon, chosen, stream } = self;
        let error = |at: usize| templates.get(at * *horizon + h).copied().unwrap_or(0.0);
        let mut paths: Vec<(f64, f64, usize)> =
            chosen.iter().enumerate().map(|(path, at)| (error(*at), stream.uniform(), path)).collect();
        paths.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
        paths.into_iter().map(|(.., path)| path).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(item: u32) -> Philox {
        Philox::new(3, Purpose::Samples, item)
    }

    #[test]
    fn paths_have_the_ranks_of_their_templates() {
        // Three errors over two steps: in order at the first, the other way round at the second.
        let templates = [1.0, 9.0, 2.0, 8.0, 3.0, 7.0];
        let mut shuffle = Shuffle::new(&templates, 2, 3, stream(1));
        let chosen = shuffle.chosen.clone();
        let (first, mut second) = (shuffle.ranked(0), shuffle.ranked(1));
        assert_eq!(first.iter().map(|path| chosen[*path]).collect::<Vec<_>>(), [0, 1, 2]);
        second.reverse();
        assert_eq!(first, second);
    }

    #[test]
    fn what_calibration_does_to_quantiles_it_does_to_all_between() {
        let (from, to) = ([0.0, 2.0, 2.0, 4.0], [1.0, 1.5, 2.0, 4.0]);
        let values = [-2.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0].map(|value| moved(&from, &to, value));
        assert_eq!(values, [0.5, 1.0, 1.25, 1.5, 3.0, 4.0, 5.0]);
    }

    #[test]
    fn templates_take_turns_and_without_them_steps_are_independent() {
        let templates: Vec<f64> = (0..50).map(f64::from).collect();
        let shuffle = Shuffle::new(&templates, 1, 120, stream(1));
        let served = |at: usize| shuffle.chosen.iter().filter(|chosen| **chosen == at).count();
        assert!((0..50).all(|at| (2..=3).contains(&served(at))));
        let mut none = Shuffle::new(&[], 2, 500, stream(1));
        let (first, second) = (none.ranked(0), none.ranked(1));
        let rank = |of: &[usize], path: usize| of.iter().position(|p| *p == path).unwrap() as f64 - 249.5;
        let product: f64 = (0..500).map(|path| rank(&first, path) * rank(&second, path)).sum();
        assert!((product / (500.0 * 500.0 * 500.0 / 12.0)).abs() < 0.15, "{product}");
    }

    #[test]
    fn drawn_levels_rise_and_are_uniform() {
        let levels = drawn(1000, 1, 4);
        assert!(levels.windows(2).all(|pair| pair[0] <= pair[1]) && levels[0] > 0.0 && levels[999] < 1.0);
        let off = levels.iter().enumerate().map(|(at, level)| (level - at as f64 / 1000.0).abs());
        // Kolmogorov's bound at 1 in 1000: 1.95 / sqrt(n).
        assert!(off.fold(0.0, f64::max) < 0.062);
        assert_ne!(levels, drawn(1000, 1, 5));
    }
}
