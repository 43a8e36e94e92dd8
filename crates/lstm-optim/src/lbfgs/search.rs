//! The strong Wolfe line search as a state that is told one evaluation after another: numbers only.
//!
//! With loss `φ(t)` at `x + t d` and slope `φ'(t) = ∇f(x + t d)·d`, it looks for a `t` with
//!
//! ```text
//! φ(t) ≤ φ(0) + c1 t φ'(0)      and      |φ'(t)| ≤ c2 |φ'(0)|
//! ```
//!
//! (Nocedal & Wright 2006, equations 3.7; algorithms 3.5 for the bracket and 3.6 for the zoom into it).
//! Order of the tests, interpolation bounds and the rule against slow progress are PyTorch's
//! `_strong_wolfe`, which goes back to Schmidt's minFunc.

use serde::{Deserialize, Serialize};

/// Share of the promised decrease that is demanded, `c1`.
const DECREASE: f64 = 1e-4;
/// Share of the initial slope that may remain, `c2`.
const CURVATURE: f64 = 0.9;

/// Where the gradient of a point is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Slot {
    /// Where the gradient of the iteration's start lies.
    Start,
    First,
    Second,
}

/// One evaluation on the line.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Point {
    pub(crate) t: f64,
    pub(crate) loss: f64,
    pub(crate) slope: f64,
    /// Largest size of an element of the gradient.
    pub(crate) gradient_max: f64,
    pub(crate) slot: Slot,
}

/// What follows from an evaluation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Verdict {
    /// Evaluate at this `t`.
    Try(f64),
    /// Go to this point: the search is over.
    Accept(Point),
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Search {
    start: Point,
    /// Largest size of an element of the direction.
    direction_max: f64,
    tolerance_change: f64,
    /// Evaluations that may follow the first.
    most: u32,
    /// Evaluations that were asked for after the first.
    taken: u32,
    /// Where the next evaluation takes place.
    t: f64,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case")]
enum Stage {
    /// No minimum is enclosed yet.
    Bracket { previous: Point },
    /// One lies between the two ends.
    Zoom { bracket: [Point; 2], second_is_low: bool, slow: bool },
}

impl Search {
    /// A search that begins with an evaluation at `t` and may take `most` more.
    pub(crate) fn new(start: Point, t: f64, direction_max: f64, tolerance_change: f64, most: u32) -> Self {
        let stage = Stage::Bracket { previous: start };
        Self { start, direction_max, tolerance_change, most, taken: 0, t, stage }
    }

    /// Takes the evaluation at the `t` that was asked for. The second result is the slot that its
    /// gradient belongs to.
    pub(crate) fn tell(&mut self, loss: f64, slope: f64, gradient_max: f64) -> (Verdict, Slot) {
        let new = Point { t: self.t, loss, slope, gradient_max, slot: Slot::First };
        let (verdict, slot) = match self.stage {
            Stage::Bracket { previous } => self.bracket(previous, new),
            Stage::Zoom { bracket, second_is_low, slow } => self.zoom(bracket, second_is_low, slow, new),
        };
        if let Verdict::Try(t) = verdict {
            self.t = t;
            self.taken += 1;
        }
        (verdict, slot)
    }

    /// Whether the loss of `new` is above what the first condition allows.
    fn too_high(&self, new: &Point) -> bool {
        new.loss > self.start.loss + DECREASE * new.t * self.start.slope
    }

    fn flat_enough(&self, new: &Point) -> bool {
        new.slope.abs() <= -CURVATURE * self.start.slope
    }

    fn bracket(&mut self, previous: Point, mut new: Point) -> (Verdict, Slot) {
        new.slot = free_beside(previous.slot);
        if self.taken >= self.most {
            let better = if self.start.loss <= new.loss { self.start } else { new };
            return (Verdict::Accept(better), new.slot);
        }
        let rising = self.taken > 1 && new.loss >= previous.loss;
        if self.too_high(&new) || rising {
            return (self.enclose([previous, new]), new.slot);
        }
        if self.flat_enough(&new) {
            return (Verdict::Accept(new), new.slot);
        }
        if new.slope >= 0.0 {
            return (self.enclose([previous, new]), new.slot);
        }
        self.stage = Stage::Bracket { previous: new };
        let bounds = (new.t + 0.01 * (new.t - previous.t), new.t * 10.0);
        (Verdict::Try(cubic_minimum(&previous, &new, bounds)), new.slot)
    }

    fn enclose(&mut self, bracket: [Point; 2]) -> Verdict {
        self.narrow(bracket, second_is_lower(&bracket), false)
    }

    fn zoom(
        &mut self,
        mut bracket: [Point; 2],
        second_is_low: bool,
        slow: bool,
        mut new: Point,
    ) -> (Verdict, Slot) {
        let (low, high) = (usize::from(second_is_low), usize::from(!second_is_low));
        if self.too_high(&new) || new.loss >= bracket[low].loss {
            new.slot = free_beside(bracket[low].slot);
            bracket[high] = new;
            return (self.narrow(bracket, second_is_lower(&bracket), slow), new.slot);
        }
        let done = self.flat_enough(&new);
        if !done && new.slope * (bracket[high].t - bracket[low].t) >= 0.0 {
            bracket[high] = bracket[low];
        }
        new.slot = free_beside(bracket[high].slot);
        bracket[low] = new;
        let verdict = if done { Verdict::Accept(new) } else { self.narrow(bracket, second_is_low, slow) };
        (verdict, new.slot)
    }

    /// The next `t` inside the bracket, or its lower end where nothing more is to be won.
    fn narrow(&mut self, bracket: [Point; 2], second_is_low: bool, slow: bool) -> Verdict {
        let [a, b] = bracket;
        let low = bracket[usize::from(second_is_low)];
        if self.taken >= self.most || (b.t - a.t).abs() * self.direction_max < self.tolerance_change {
            return Verdict::Accept(low);
        }
        let (left, right) = (a.t.min(b.t), a.t.max(b.t));
        let mut t = cubic_minimum(&a, &b, (left, right));
        // Twice in a row close to an end, or on it: a tenth of the bracket away from that end instead.
        let margin = 0.1 * (right - left);
        let close = (right - t).min(t - left) < margin;
        let push = close && (slow || t >= right || t <= left);
        if push {
            t = if (t - right).abs() < (t - left).abs() { right - margin } else { left + margin };
        }
        self.stage = Stage::Zoom { bracket, second_is_low, slow: close && !push };
        Verdict::Try(t)
    }
}

fn second_is_lower([a, b]: &[Point; 2]) -> bool {
    a.loss > b.loss
}

/// A slot that does not hold the gradient of the one point that stays.
fn free_beside(taken: Slot) -> Slot {
    if taken == Slot::First { Slot::Second } else { Slot::First }
}

/// Minimum within `bounds` of the cubic through two points with their slopes (Nocedal & Wright 2006,
/// equation 3.59); the middle of the bounds where it has none, the lower bound where the formula is 0/0.
fn cubic_minimum(a: &Point, b: &Point, (lower, upper): (f64, f64)) -> f64 {
    let d1 = a.slope + b.slope - 3.0 * (a.loss - b.loss) / (a.t - b.t);
    let square = d1 * d1 - a.slope * b.slope;
    if square >= 0.0 {
        let d2 = square.sqrt();
        let (left, right) = if a.t <= b.t { (a, b) } else { (b, a) };
        let share = (right.slope + d2 - d1) / (right.slope - left.slope + 2.0 * d2);
        let t = right.t - (right.t - left.t) * share;
        t.max(lower).min(upper)
    } else {
        (lower + upper) / 2.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(t: f64, loss: f64, slope: f64) -> Point {
        Point { t, loss, slope, gradient_max: 1.0, slot: Slot::Start }
    }

    /// Follows a search on `φ` and `φ'`; gives the accepted point and where it was evaluated.
    fn search(phi: impl Fn(f64) -> (f64, f64), first: f64, most: u32) -> (Point, Vec<f64>) {
        let (loss, slope) = phi(0.0);
        let mut search = Search::new(point(0.0, loss, slope), first, 1.0, 1e-9, most);
        let (mut t, mut tried, mut kept) = (first, vec![], [f64::NAN; 2]);
        loop {
            tried.push(t);
            let (loss, slope) = phi(t);
            let (verdict, slot) = search.tell(loss, slope, 1.0);
            kept[usize::from(slot == Slot::Second)] = t;
            match verdict {
                Verdict::Try(next) => t = next,
                Verdict::Accept(point) => {
                    match point.slot {
                        Slot::Start => assert_eq!(point.t, 0.0),
                        Slot::First => assert_eq!(point.t, kept[0], "its gradient is still kept"),
                        Slot::Second => assert_eq!(point.t, kept[1], "its gradient is still kept"),
                    }
                    return (point, tried);
                }
            }
        }
    }

    fn parabola(t: f64) -> (f64, f64) {
        ((t - 3.0) * (t - 3.0), 2.0 * (t - 3.0))
    }

    #[test]
    fn the_cubic_finds_the_minimum_of_a_parabola() {
        let (a, b) = (point(0.0, 9.0, -6.0), point(4.0, 1.0, 2.0));
        assert_eq!(cubic_minimum(&a, &b, (0.0, 4.0)), 3.0);
        assert_eq!(cubic_minimum(&b, &a, (0.0, 4.0)), 3.0);
        assert_eq!(cubic_minimum(&a, &b, (0.0, 2.0)), 2.0);
    }

    #[test]
    fn the_cubic_is_never_nan() {
        let flat = point(1.0, 0.0, 0.0);
        assert_eq!(cubic_minimum(&flat, &point(2.0, 0.0, 0.0), (1.0, 2.0)), 1.0);
        assert_eq!(cubic_minimum(&flat, &flat, (1.0, 1.0)), 1.0);
        let steep = point(2.0, 1e300, -1e300);
        assert!(cubic_minimum(&flat, &steep, (1.0, 2.0)).is_finite());
    }

    #[derive(Deserialize)]
    struct Recorded {
        searches: Vec<Case>,
    }

    #[derive(Deserialize)]
    struct Case {
        loss: f64,
        slope: f64,
        direction_max: f64,
        tolerance_change: f64,
        max_ls: u32,
        t: Vec<f64>,
        losses: Vec<f64>,
        slopes: Vec<f64>,
        accepted: f64,
        kept: f64,
    }

    /// PyTorch's trials follow from PyTorch's evaluations, over hills and where nothing fits together.
    #[test]
    fn searches_are_pytorchs() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/lbfgs.json");
        let recorded: Recorded = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        for (number, case) in recorded.searches.iter().enumerate() {
            let gradient = |slope: f64| (slope / case.direction_max).abs();
            let start = Point { gradient_max: gradient(case.slope), ..point(0.0, case.loss, case.slope) };
            let (first, most) = (case.t[0], case.max_ls);
            let mut search = Search::new(start, first, case.direction_max, case.tolerance_change, most);
            let mut next = Verdict::Try(first);
            for ((&t, &loss), &slope) in case.t.iter().zip(&case.losses).zip(&case.slopes) {
                let Verdict::Try(tried) = next else { panic!("search {number} ends before {t}") };
                assert!((tried - t).abs() <= 1e-14 * t, "search {number}: {tried}, PyTorch tries {t}");
                next = search.tell(loss, slope, gradient(slope)).0;
            }
            let Verdict::Accept(found) = next else { panic!("search {number} goes on to {next:?}") };
            assert!((found.t - case.accepted).abs() <= 1e-14 * found.t, "search {number}: {found:?}");
            assert_eq!(found.gradient_max, case.kept, "search {number}");
        }
    }

    #[test]
    fn accepted_points_obey_both_conditions() {
        let wave = |t: f64| (libm::cos(3.0 * t) - 0.2 * t, -3.0 * libm::sin(3.0 * t) - 0.2);
        let quartic = |t: f64| ((t - 1.0).powi(4) - t, 4.0 * (t - 1.0).powi(3) - 1.0);
        for first in [1e-6, 1e-3, 0.1, 1.0, 30.0, 1e4] {
            for phi in [&parabola as &dyn Fn(f64) -> (f64, f64), &wave, &quartic] {
                let (start, slope) = phi(0.0);
                let (found, _) = search(phi, first, 25);
                assert!(found.loss <= start + DECREASE * found.t * slope, "from {first}: {found:?}");
                assert!(found.slope.abs() <= CURVATURE * slope.abs(), "from {first}: {found:?}");
            }
        }
    }

    #[test]
    fn a_ten_thousandth_of_the_promised_decrease_suffices() {
        let told = |loss| Search::new(point(0.0, 0.0, -1.0), 1.0, 1.0, 1e-9, 25).tell(loss, 0.0, 1.0).0;
        assert!(matches!(told(-1.01e-4), Verdict::Accept(_)));
        assert!(matches!(told(-0.99e-4), Verdict::Try(_)));
    }

    #[test]
    fn an_exhausted_search_takes_the_best_it_has() {
        let (found, tried) = search(parabola, 1e-6, 0);
        assert_eq!((found.t, tried.len()), (1e-6, 1));
        let (found, tried) = search(parabola, 100.0, 0);
        assert_eq!((found.t, tried.len()), (0.0, 1));
        let (found, tried) = search(parabola, 100.0, 1);
        assert!(tried.len() == 2 && found.t == 3.0, "{found:?} {tried:?}");
        // A loss that falls for ever is never enclosed.
        let (found, tried) = search(|t| (-t, -1.0), 1.0, 4);
        assert_eq!((found.t, tried.len()), (1e4, 5));
    }

    #[test]
    fn a_loss_that_rises_again_encloses_a_minimum_whatever_its_slope() {
        let mut search = Search::new(point(0.0, 0.0, -1.0), 1.0, 1.0, 1e-9, 25);
        let mut tried = |loss| match search.tell(loss, -0.95, 1.0) {
            (Verdict::Try(t), _) => t,
            (Verdict::Accept(point), _) => panic!("{point:?}"),
        };
        let second = tried(-0.5);
        let third = tried(-1.0);
        assert!(1.0 < second && second < third);
        // As in PyTorch, a rise counts from the third evaluation on.
        let fourth = tried(-0.9);
        assert!(second < fourth && fourth < third, "{second} {fourth} {third}");
    }

    /// Along waves on a slope many searches end at a point before the last.
    #[test]
    fn the_gradient_of_an_earlier_point_is_kept() {
        let mut earlier = 0;
        for number in 0..3000 {
            let [slope, height, pitch] = [7, 11, 13].map(|prime| 0.1 + f64::from(number % prime));
            let wave = |t: f64| {
                let (sine, cosine) = (pitch * t).sin_cos();
                (height * (1.0 - cosine) - slope * t, height * pitch * sine - slope)
            };
            let (point, tried) = search(wave, 0.2 + f64::from(number % 5), number as u32 % 12);
            earlier += u32::from(point.slot != Slot::Start && tried.last() != Some(&point.t));
        }
        assert!(earlier > 50, "{earlier}");
    }
}
