//! Correction of forecasts by what earlier ones missed: `docs/decisions/0015-feedback.md`.
//!
//! At a place `n`, two errors of each step `h` of the horizon `H` are known: `e`, what the forecast from the row before
//! missed of its first step, and `s[h]`, what the forecast from `H` rows before missed of the same step. The forecast
//! becomes
//!
//! ```text
//! f[h] + a[h] e + b[h] s[h]
//! ```
//!
//! with shares `a`, `b` by least squares over the places whose truth has come, each step for itself, times `1 - 2 F0 / F` or 0,
//! whichever is more (James and Stein 1961, Baranchik 1964). `F` is the ratio of the variances explained and left, with
//! as many degrees of freedom as there are forecasts that do not overlap, for neighbours share all but one of their rows;
//! `F0` is its mean where nothing but chance is explained.

use super::places::before_end;
use super::windows::Window;
use super::{CHECKED, Forecaster, Head, Member};
use crate::Result;
use lstm_tensor::{Backend, Float};
use std::collections::HashMap;

/// How much of the last errors goes into a forecast: for each step of the horizon, the sums that its shares follow from.
#[derive(Clone, Debug, PartialEq)]
pub struct Feedback {
    steps: Vec<Sums>,
    /// First row of each series that the networks had not seen from which it was learnt; empty where a file was read.
    pub(super) unseen: Vec<usize>,
}

/// Sums over places, in units of each series: of what was missed before, and with what was missed then.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Sums {
    before: [f64; 3],
    with: [f64; 2],
    then: f64,
    /// Places, neighbours that overlap counted as one.
    count: f64,
}

/// Numbers of [`Sums`].
const NUMBERS: usize = 7;

impl Sums {
    fn add(&mut self, [a, b]: [f64; 2], y: f64, apart: f64) {
        let products = [a * a, a * b, b * b];
        // Nobody knows what came, or nothing can be counted on.
        if ![a * a, b * b, y * y].iter().all(|square| square.is_finite()) {
            return;
        }
        self.before.iter_mut().zip(products).for_each(|(sum, product)| *sum += product);
        self.with.iter_mut().zip([a * y, b * y]).for_each(|(sum, product)| *sum += product);
        self.then += y * y;
        self.count += apart;
    }

    /// Shrunken least squares without a mean.
    fn shares(&self) -> [f64; 2] {
        // Of the diagonal: enough to tell the two errors apart where they are one.
        const RIDGE: f64 = 0.01;
        let Self { before: [aa, ab, bb], with: [ay, by], then: yy, count } = *self;
        let (ra, rb) = (aa * (1.0 + RIDGE), bb * (1.0 + RIDGE));
        let determinant = ra * rb - ab * ab;
        let [a, b] = match () {
            () if determinant > 0.0 => [(ay * rb - by * ab) / determinant, (by * ra - ay * ab) / determinant],
            () if ra > 0.0 => [ay / ra, 0.0],
            () if rb > 0.0 => [0.0, by / rb],
            () => return [0.0; 2],
        };
        let left = yy - 2.0 * (a * ay + b * by) + a * a * aa + 2.0 * a * b * ab + b * b * bb;
        // Two shares are settled, and by chance `F` is on average `d / (d - 2)` with `d` degrees of freedom left.
        let (free, gained) = (count - 4.0, yy - left);
        let shrunk = 4.0 * left.max(0.0) / (free * gained);
        if free > 0.0 && gained > 0.0 && shrunk < 1.0 {
            [a, b].map(|share| share * (1.0 - shrunk))
        } else {
            [0.0; 2]
        }
    }
}

impl Feedback {
    /// Of a horizon of so many steps, before anything is known.
    fn new(horizon: usize) -> Self {
        Self { steps: vec![Sums::default(); horizon], unseen: Vec::new() }
    }

    /// The shares of each step: of the error of the step before, and of the same step one horizon before.
    #[must_use]
    pub fn shares(&self) -> Vec<[f64; 2]> {
        self.steps.iter().map(Sums::shares).collect()
    }

    /// All that it knows, as numbers for a file.
    #[must_use]
    pub fn numbers(&self) -> Vec<f64> {
        let numbers = |sums: &Sums| {
            let Sums { before: [aa, ab, bb], with: [ay, by], then, count } = *sums;
            [aa, ab, bb, ay, by, then, count]
        };
        self.steps.iter().flat_map(numbers).collect()
    }

    /// From the [`Feedback::numbers`] of a horizon; none where they are no sums of one.
    #[must_use]
    pub fn from_numbers(numbers: &[f64], horizon: usize) -> Option<Self> {
        let (steps, rest) = numbers.as_chunks::<NUMBERS>();
        let sums = |&[aa, ab, bb, ay, by, then, count]: &[f64; NUMBERS]| {
            let sound = [aa, bb, then, count].iter().all(|sum| *sum >= 0.0);
            sound.then_some(Sums { before: [aa, ab, bb], with: [ay, by], then, count })
        };
        let steps: Option<Vec<Sums>> = steps.iter().map(sums).collect();
        let finite = rest.is_empty() && numbers.iter().all(|number| number.is_finite());
        steps.filter(|steps| finite && steps.len() == horizon).map(|steps| Self { steps, unseen: Vec::new() })
    }
}

/// Known errors of a place: of the step before, and of each step one horizon before; 0 where there was no forecast.
struct Missed {
    before: f64,
    horizon: Vec<f64>,
}

impl Missed {
    fn correction(&self, [a, b]: [f64; 2], h: usize) -> f64 {
        a * self.before + b * self.horizon[h]
    }

    /// Adds what is fed back to the quantiles of a place, `[H, levels]`.
    fn correct<'l>(&self, shares: &[[f64; 2]], quantiles: &mut [f64], levels: &impl Fn(usize) -> &'l [f64]) {
        let mut quantiles = quantiles.iter_mut();
        for (h, shares) in shares.iter().enumerate() {
            let correction = self.correction(*shares, h);
            quantiles.by_ref().take(levels(h).len()).for_each(|quantile| *quantile += correction);
        }
    }
}

/// Feedback that learns from one place after another, as their truths come.
#[derive(Clone, Debug)]
pub struct InTurn {
    feedback: Feedback,
    /// What follows from it.
    shares: Vec<[f64; 2]>,
    /// Up to when it has learnt.
    now: i64,
    /// Places some of whose truths have not come.
    waiting: Vec<Place>,
    /// When the last place began.
    last: Option<i64>,
}

/// A place that is learnt from.
#[derive(Clone, Debug)]
struct Place {
    /// When its first truth comes.
    time: i64,
    /// Rows behind the place before, and places of one time.
    apart: f64,
    together: usize,
    /// Steps that are learnt.
    known: usize,
    before: f64,
    horizon: Vec<f64>,
    /// What its forecast without feedback missed; NaN where nobody knows.
    then: Vec<f64>,
}

impl InTurn {
    pub(super) fn new(feedback: Feedback) -> Self {
        let shares = feedback.shares();
        Self { feedback, shares, now: i64::MIN, waiting: Vec::new(), last: None }
    }

    /// From nothing.
    pub(super) fn from_nothing(horizon: usize) -> Self {
        Self::new(Feedback::new(horizon))
    }

    /// Learns all that is known at a time.
    fn learn(&mut self, time: i64) {
        if time <= self.now {
            return;
        }
        self.now = time;
        for place in &mut self.waiting {
            let horizon = place.then.len();
            let known = usize::try_from(time.saturating_sub(place.time)).unwrap_or(0).min(horizon);
            for h in place.known..known {
                let apart = (place.apart / (h + 1) as f64).min(1.0) / place.together as f64;
                self.feedback.steps[h].add([place.before, place.horizon[h]], place.then[h], apart);
            }
            place.known = place.known.max(known);
        }
        self.waiting.retain(|place| place.known < place.then.len());
        self.shares = self.feedback.shares();
    }

    /// Will learn from places of one time when their truths come: of each what was missed before, and `then`, `[H]`, in
    /// units of its series.
    fn await_truths(&mut self, time: i64, missed: Vec<(Missed, Vec<f64>)>) {
        // Series have their ends in common, and what moves one often moves others: together they count as one.
        let apart = self.last.map_or(f64::INFINITY, |last| (time - last) as f64);
        self.last = Some(time);
        let together = missed.len();
        let place = |(Missed { before, horizon }, then): (Missed, Vec<f64>)| Place {
            time,
            apart,
            together,
            known: 0,
            before,
            horizon,
            then,
        };
        self.waiting.extend(missed.into_iter().map(place));
    }
}

impl<B: Backend, F: Float> Forecaster<B, F> {
    /// What it starts with where it learns from the places that it forecasts; none where nothing is fed back.
    #[must_use]
    pub fn in_turn(&self) -> Option<InTurn> {
        self.feedback.clone().map(InTurn::new)
    }

    /// Adds to quantiles `[windows, H, levels]` what is fed back with what was known when it was trained.
    pub(super) fn feed<'l>(
        &self,
        backend: &B,
        panel: &[Member<'_>],
        windows: &[Window],
        quantiles: &mut [f64],
        levels: impl Fn(usize) -> &'l [f64],
    ) -> Result<()> {
        let Some(feedback) = &self.feedback else { return Ok(()) };
        let shares = feedback.shares();
        if shares.iter().flatten().all(|share| *share == 0.0) {
            return Ok(());
        }
        let unfed = self.middles(backend, panel, windows, (quantiles, &levels))?;
        let each = (quantiles.len() / windows.len().max(1)).max(1);
        let missed = self.missed(backend, panel, windows, &unfed)?;
        for (missed, quantiles) in missed.iter().zip(quantiles.chunks_exact_mut(each)) {
            missed.correct(&shares, quantiles, &levels);
        }
        Ok(())
    }

    /// The same, learning from each place as the rows behind it come.
    pub(super) fn feed_in_turn<'l>(
        &self,
        backend: &B,
        panel: &[Member<'_>],
        windows: &[Window],
        (quantiles, levels): (&mut [f64], impl Fn(usize) -> &'l [f64]),
        in_turn: &mut InTurn,
    ) -> Result<()> {
        let horizon = self.config.horizon;
        let all = self.windows(panel, 0, |_, rows| 0..rows);
        let unfed = self.middles(backend, panel, windows, (quantiles, &levels))?;
        let missed = self.missed(backend, panel, windows, &unfed)?;
        let each = quantiles.len() / windows.len().max(1);
        let time = |at: &usize| before_end(panel, &windows[*at]);
        let mut order: Vec<usize> = (0..windows.len()).collect();
        order.sort_by_key(time);
        for together in order.chunk_by(|a, b| time(a) == time(b)) {
            let now = time(&together[0]);
            in_turn.learn(now);
            let learnt_from = together.iter().map(|&at| {
                let (window, missed) = (&windows[at], &missed[at]);
                missed.correct(&in_turn.shares, &mut quantiles[at * each..][..each], &levels);
                let unit = all.spread(window.member);
                let scaled = |errors: &[f64]| errors.iter().map(|error| error / unit).collect();
                let before = Missed { before: missed.before / unit, horizon: scaled(&missed.horizon) };
                let actual = all.actual(std::slice::from_ref(window));
                let then: Vec<f64> = actual.iter().zip(&unfed[at * horizon..]).map(|(y, f)| y - f).collect();
                (before, scaled(&then))
            });
            let learnt_from: Vec<(Missed, Vec<f64>)> = learnt_from.collect();
            in_turn.await_truths(now, learnt_from);
        }
        Ok(())
    }

    /// The middles of quantiles `[windows, H, levels]` without feedback, `[windows, H]`: where the head is a point, all
    /// quantiles of a step are that.
    fn middles<'l>(
        &self,
        backend: &B,
        panel: &[Member<'_>],
        windows: &[Window],
        (quantiles, levels): (&[f64], &impl Fn(usize) -> &'l [f64]),
    ) -> Result<Vec<f64>> {
        let counts: Vec<usize> = (0..self.config.horizon).map(|h| levels(h).len()).collect();
        if self.config.head != Head::Point || counts.contains(&0) {
            return self.quantiles_unfed(backend, panel, windows, |_| &[0.5]);
        }
        let firsts = windows.iter().flat_map(|_| &counts).scan(0, |next, count| {
            *next += count;
            Some(*next - count)
        });
        Ok(firsts.map(|first| quantiles[first]).collect())
    }

    /// What its forecasts missed before each of these places, in the series' unit; `unfed` are those from the places,
    /// `[windows, H]`.
    fn missed(
        &self,
        backend: &B,
        panel: &[Member<'_>],
        windows: &[Window],
        unfed: &[f64],
    ) -> Result<Vec<Missed>> {
        let (horizon, reach) = (self.config.horizon, self.config.reach());
        let earlier = |window: &Window, rows: usize| {
            let row = window.row.checked_sub(rows).filter(|row| *row >= reach)?;
            Some(Window { member: window.member, row })
        };
        let key = |place: &Window| (place.member, place.row);
        let mut at: HashMap<(usize, usize), &[f64]> =
            windows.iter().map(key).zip(unfed.chunks_exact(horizon)).collect();
        let mut places: Vec<Window> =
            windows.iter().flat_map(|w| [earlier(w, 1), earlier(w, horizon)]).flatten().collect();
        places.retain(|place| !at.contains_key(&key(place)));
        places.sort_by_key(key);
        places.dedup();
        let forecasts = self.quantiles_unfed(backend, panel, &places, |_| &[0.5])?;
        at.extend(places.iter().map(key).zip(forecasts.chunks_exact(horizon)));
        let errors = |place: Option<Window>| {
            let place = place?;
            let forecast = at.get(&key(&place))?;
            let values = panel[place.member].values.get(place.row..)?;
            Some(values.iter().zip(*forecast).map(|(y, f)| y - f))
        };
        let of = |window: &Window| Missed {
            before: errors(earlier(window, 1)).and_then(|mut errors| errors.next()).unwrap_or(0.0),
            horizon: errors(earlier(window, horizon)).map_or(vec![0.0; horizon], Iterator::collect),
        };
        Ok(windows.iter().map(of).collect())
    }

    /// What it learns from forecasts in the rows of each series from `unseen` on, which its networks have not seen.
    pub(super) fn learnt_feedback(
        &self,
        backend: &B,
        panel: &[Member<'_>],
        unseen: Vec<usize>,
        end: impl Fn(usize) -> usize,
    ) -> Result<Feedback> {
        let horizon = self.config.horizon;
        // The forecasts before a place must lie there too.
        let part = |member: usize, rows| (unseen[member] + horizon).min(end(rows))..end(rows);
        let windows = self.windows(panel, horizon, part).sample(CHECKED);
        let mut quantiles = self.quantiles_unfed(backend, panel, &windows, |_| &[0.5])?;
        let mut in_turn = InTurn::from_nothing(horizon);
        self.feed_in_turn(backend, panel, &windows, (&mut quantiles, |_| &[0.5]), &mut in_turn)?;
        in_turn.learn(i64::MAX);
        Ok(Feedback { unseen, ..in_turn.feedback })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEPS: usize = 2;

    /// What is learnt of 200 places, `apart` rows from one another, where two steps follow by these shares, and noise.
    fn learnt(shares: [[f64; 2]; STEPS], noise: f64, apart: usize) -> Feedback {
        let wave = |n: usize, period: f64| (n as f64 * period).sin();
        let mut in_turn = InTurn::from_nothing(STEPS);
        for n in 0..200 {
            let missed = Missed { before: wave(n, 1.3), horizon: vec![wave(n, 2.9), wave(n, 0.7)] };
            let then =
                (0..STEPS).map(|h| missed.correction(shares[h], h) + noise * wave(n * n, 0.37)).collect();
            in_turn.await_truths((n * apart) as i64, vec![(missed, then)]);
        }
        in_turn.learn(i64::MAX);
        in_turn.feedback
    }

    #[test]
    fn shares_are_found_and_kept_in_files() {
        let wanted = [[0.8, 0.0], [0.1, -0.4]];
        let feedback = learnt(wanted, 0.0, 1);
        for (found, wanted) in feedback.shares().iter().flatten().zip(wanted.iter().flatten()) {
            assert!((found - wanted).abs() < 0.02, "{feedback:?}");
        }
        let mut numbers = feedback.numbers();
        assert_eq!(Feedback::from_numbers(&numbers, STEPS), Some(feedback));
        assert_eq!(Feedback::from_numbers(&numbers, 1), None);
        assert_eq!(Feedback::from_numbers(&numbers[1..], STEPS), None);
        numbers[0] = -1.0;
        assert_eq!(Feedback::from_numbers(&numbers, STEPS), None);
        numbers[0] = f64::NAN;
        assert_eq!(Feedback::from_numbers(&numbers, STEPS), None);
    }

    #[test]
    fn what_may_be_chance_is_not_fed_back() {
        assert_eq!(learnt([[0.0; 2]; 2], 1.0, 2).shares(), [[0.0; 2]; STEPS]);
        // Clear where forecasts stand apart, and less so where they overlap.
        let weak = |apart| learnt([[0.0; 2], [0.3, 0.0]], 1.0, apart).shares()[1][0];
        assert!(weak(2) > weak(1) && weak(2) > 0.2, "{} {}", weak(2), weak(1));
        assert!(weak(2) < 0.35);
    }

    #[test]
    fn nothing_is_learnt_before_it_comes() {
        let mut in_turn = InTurn::from_nothing(STEPS);
        // Two series, which count as one.
        let place = |in_turn: &mut InTurn, row: i64| {
            let missed = || Missed { before: 1.0, horizon: vec![0.0; STEPS] };
            in_turn.await_truths(row, vec![(missed(), vec![0.5, f64::NAN]), (missed(), vec![0.5, f64::NAN])]);
        };
        let known = |in_turn: &InTurn| [0, 1].map(|h| in_turn.feedback.steps[h].count);
        place(&mut in_turn, 10);
        in_turn.learn(10);
        assert_eq!(known(&in_turn), [0.0, 0.0]);
        place(&mut in_turn, 11);
        in_turn.learn(11);
        assert_eq!(known(&in_turn), [1.0, 0.0]);
        // The second step never comes to be known.
        in_turn.learn(20);
        assert_eq!((known(&in_turn), in_turn.waiting.len()), ([2.0, 0.0], 0));
        // Four places may agree by chance, however well.
        (12..14).for_each(|row| place(&mut in_turn, row));
        in_turn.learn(20);
        assert_eq!(in_turn.feedback.shares(), [[0.0; 2]; STEPS]);
        (14..20).for_each(|row| place(&mut in_turn, row));
        in_turn.learn(40);
        assert!((in_turn.feedback.shares()[0][0] - 0.5).abs() < 0.01);
        assert_eq!(in_turn.feedback.shares()[1], [0.0; 2]);
    }
}
