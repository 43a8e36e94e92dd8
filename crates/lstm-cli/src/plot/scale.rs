//! Ranges and ticks: where a value stands between the ends of an axis, and what is written beside it.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, date};
use jiff::tz::TimeZone;

use super::{Axis, Layer};

/// Larger numbers are treated as missing: sums and differences of what is left stay finite.
const LARGEST: f64 = 1e100;

/// An axis between two values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scale {
    lo: f64,
    hi: f64,
    log: bool,
}

/// A mark on an axis.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tick {
    /// Place between the ends of the axis, 0 to 1.
    pub(super) place: f64,
    /// What is written.
    pub(super) label: String,
    /// A second line, where it changes: the day of an hour, the year of a day.
    pub(super) below: String,
}

impl Scale {
    /// The smallest scale that holds all drawable `values`, widened by `margin` of its length at both ends.
    ///
    /// No values at all give 0 to 1, and a single value lies in the middle.
    pub(super) fn holding(values: impl Iterator<Item = f64>, log: bool, margin: f64) -> Scale {
        let inner = |v: f64| if log { v.log10() } else { v };
        let (mut lo, mut hi) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.map(inner).filter(|v| v.is_finite() && v.abs() < LARGEST) {
            lo = lo.min(value);
            hi = hi.max(value);
        }
        if lo > hi {
            (lo, hi) = (0.0, 1.0);
        }
        // A constant (or one that rounding lets tremble) gets a range of its own size.
        if hi - lo <= 1e-12 * hi.abs().max(lo.abs()) {
            let half = if log { 0.5 } else { (0.1 * hi.abs()).max(0.5) };
            (lo, hi) = (lo - half, hi + half);
        }
        let margin = margin * (hi - lo);
        Scale { lo: lo - margin, hi: hi + margin, log }
    }

    /// Where `value` stands, 0 at the low and 1 at the high end; `None` if it cannot be drawn.
    pub(super) fn place(&self, value: f64) -> Option<f64> {
        let inner = if self.log { value.log10() } else { value };
        let drawable = inner.is_finite() && inner.abs() < LARGEST;
        drawable.then(|| (inner - self.lo) / (self.hi - self.lo))
    }

    /// At most about `most` ticks of the kind that `axis` needs.
    pub(super) fn ticks(&self, axis: Axis, most: usize) -> Vec<Tick> {
        let most = most.max(2) as f64;
        let found = match axis {
            Axis::Times => self.times(most),
            Axis::Numbers if self.log => self.powers(most),
            Axis::Numbers => None,
        };
        found.unwrap_or_else(|| self.numbers(most))
    }

    fn tick(&self, at: f64, label: String) -> Tick {
        Tick { place: (at - self.lo) / (self.hi - self.lo), label, below: String::new() }
    }

    /// Multiples of 1, 2 or 5 times a power of ten; on a logarithmic axis of the values themselves.
    fn numbers(&self, most: f64) -> Vec<Tick> {
        let value = |at: f64| if self.log { 10f64.powf(at) } else { at };
        let (lo, hi) = (value(self.lo), value(self.hi));
        let rough = (hi - lo) / most;
        let power = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|m| m * power).into_iter().find(|s| *s >= rough * 0.999);
        let step = step.unwrap_or(10.0 * power);
        let largest = hi.abs().max(lo.abs());
        multiples(lo, hi, step, 0.0)
            .into_iter()
            .filter(|value| !self.log || *value > 0.0)
            .map(|value| {
                self.tick(if self.log { value.log10() } else { value }, number(value, step, largest))
            })
            .collect()
    }

    /// Powers of ten, with twos and fives between them while there is room; `None` within one power.
    fn powers(&self, most: f64) -> Option<Vec<Tick>> {
        let decades = self.hi - self.lo;
        let between: &[f64] = if decades * 3.0 <= most { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let every = (decades / most).ceil().max(1.0);
        let mut ticks = Vec::new();
        for power in multiples(self.lo - every, self.hi, every, 0.0) {
            for factor in between {
                let at = power + factor.log10();
                if (self.lo..=self.hi).contains(&at) {
                    let value = factor * 10f64.powf(power);
                    ticks.push(self.tick(at, power_label(value, power)));
                }
            }
        }
        (ticks.len() >= 2).then_some(ticks)
    }

    /// Steps of the clock and the calendar; `None` if the axis leaves the calendar.
    fn times(&self, most: f64) -> Option<Vec<Tick>> {
        let step = TIME_STEPS.iter().find(|step| (self.hi - self.lo) / step.seconds() <= most)?;
        let mut ticks = Vec::new();
        let mut last = String::new();
        for at in step.between(self.lo, self.hi)? {
            let time = civil(at)?;
            let (fine, coarse) = step.formats();
            let below = time.strftime(coarse).to_string();
            let mut tick = self.tick(at, time.strftime(fine).to_string());
            if below != last {
                last.clone_from(&below);
                tick.below = below;
            }
            ticks.push(tick);
        }
        (!ticks.is_empty()).then_some(ticks)
    }
}

/// Multiples of `step`, moved by `offset`, from `lo` to `hi`.
fn multiples(lo: f64, hi: f64, step: f64, offset: f64) -> Vec<f64> {
    const MOST: usize = 200;
    let (first, last) = (((lo - offset) / step - 1e-9).ceil(), ((hi - offset) / step + 1e-9).floor());
    if !(step > 0.0 && first.is_finite() && last.is_finite()) {
        return Vec::new();
    }
    (0..MOST).map(|n| first + n as f64).take_while(|n| *n <= last).map(|n| n * step + offset).collect()
}

/// A number with as many decimals as its neighbours a `step` away need.
fn number(value: f64, step: f64, largest: f64) -> String {
    let value = if value.abs() < step * 1e-6 { 0.0 } else { value };
    if largest >= 1e7 || step < 1e-5 {
        let digits = (largest.log10().floor() - step.log10().floor()).clamp(0.0, 15.0) as usize;
        return if value == 0.0 { "0".to_owned() } else { format!("{value:.digits$e}") };
    }
    let decimals = (-step.log10() - 1e-9).ceil().max(0.0) as usize;
    let plain = format!("{value:.decimals$}");
    if largest >= 10_000.0 { grouped(&plain) } else { plain }
}

/// `12345.6` as `12,345.6`.
fn grouped(plain: &str) -> String {
    let whole = plain.split('.').next().unwrap_or(plain).len();
    let mut out = String::new();
    for (index, c) in plain.chars().enumerate() {
        let left = whole.saturating_sub(index);
        if index > 0 && index < whole && left % 3 == 0 && !out.ends_with('-') {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// A tick of a logarithmic axis.
fn power_label(value: f64, power: f64) -> String {
    if (-4.0..=6.0).contains(&power) {
        let decimals = (-power).max(0.0) as usize;
        grouped(&format!("{value:.decimals$}"))
    } else {
        format!("{value:.0e}")
    }
}

/// A step of a time axis.
#[derive(Clone, Copy)]
enum TimeStep {
    Seconds(u32),
    Days(u32),
    Months(u32),
}

const MINUTE: u32 = 60;
const HOUR: u32 = 60 * MINUTE;
const DAY: f64 = 86_400.0;
const YEAR: u32 = 12; // months

const TIME_STEPS: [TimeStep; 31] = {
    use TimeStep::{Days, Months, Seconds};
    [
        Seconds(1),
        Seconds(5),
        Seconds(15),
        Seconds(30),
        Seconds(MINUTE),
        Seconds(5 * MINUTE),
        Seconds(15 * MINUTE),
        Seconds(30 * MINUTE),
        Seconds(HOUR),
        Seconds(3 * HOUR),
        Seconds(6 * HOUR),
        Seconds(12 * HOUR),
        Days(1),
        Days(2),
        Days(7),
        Days(14),
        Months(1),
        Months(2),
        Months(3),
        Months(6),
        Months(YEAR),
        Months(2 * YEAR),
        Months(5 * YEAR),
        Months(10 * YEAR),
        Months(20 * YEAR),
        Months(50 * YEAR),
        Months(100 * YEAR),
        Months(200 * YEAR),
        Months(500 * YEAR),
        Months(1000 * YEAR),
        Months(2000 * YEAR),
    ]
};

impl TimeStep {
    /// Length, on average.
    fn seconds(self) -> f64 {
        match self {
            TimeStep::Seconds(n) => f64::from(n),
            TimeStep::Days(n) => f64::from(n) * DAY,
            TimeStep::Months(n) => f64::from(n) * 30.44 * DAY,
        }
    }

    /// What each tick says, and what the line below says where it changes.
    fn formats(self) -> (&'static str, &'static str) {
        match self {
            TimeStep::Seconds(n) if n < MINUTE => ("%H:%M:%S", "%Y-%m-%d"),
            TimeStep::Seconds(_) => ("%H:%M", "%Y-%m-%d"),
            TimeStep::Days(_) => ("%b %-d", "%Y"),
            TimeStep::Months(n) if n < YEAR => ("%b", "%Y"),
            TimeStep::Months(_) => ("%Y", ""),
        }
    }

    /// The ticks from `lo` to `hi`: round times of day, Mondays for weeks, first days of months.
    fn between(self, lo: f64, hi: f64) -> Option<Vec<f64>> {
        match self {
            TimeStep::Seconds(n) => Some(multiples(lo, hi, f64::from(n), 0.0)),
            // 1970-01-01 was a Thursday, so the first Monday is four days on.
            TimeStep::Days(n) => {
                Some(multiples(lo, hi, f64::from(n) * DAY, if n % 7 == 0 { 4.0 * DAY } else { 0.0 }))
            }
            TimeStep::Months(n) => {
                let month = |d: Date| f64::from(d.year()) * 12.0 + f64::from(d.month() - 1);
                let (first, last) = (month(civil(lo)?.date()), month(civil(hi)?.date()));
                let starts = multiples(first, last + 1.0, f64::from(n), 0.0);
                let times: Option<Vec<f64>> = starts.into_iter().map(start_of_month).collect();
                Some(times?.into_iter().filter(|t| (lo..=hi).contains(t)).collect())
            }
        }
    }
}

/// Seconds since 1970 of a month's first day, months counted from year 0.
fn start_of_month(month: f64) -> Option<f64> {
    let (year, month) = ((month / 12.0).floor(), month.rem_euclid(12.0));
    if !(-9000.0..=9000.0).contains(&year) {
        return None;
    }
    let midnight = date(year as i16, month as i8 + 1, 1).to_zoned(TimeZone::UTC).ok()?;
    Some(midnight.timestamp().as_second() as f64)
}

/// Date and time of day of seconds since 1970.
fn civil(seconds: f64) -> Option<DateTime> {
    let stamp = Timestamp::from_second(seconds.floor() as i64).ok()?;
    Some(TimeZone::UTC.to_datetime(stamp))
}

/// The scale of x that holds these layers.
pub(super) fn x_of<'a>(layers: impl Iterator<Item = &'a Layer>, margin: f64) -> Scale {
    let mut values = Vec::new();
    for layer in layers {
        match layer {
            Layer::Line { x, .. } | Layer::Band { x, .. } | Layer::Points { x, .. } => {
                values.extend_from_slice(x)
            }
            Layer::VerticalLine { x, .. } => values.push(*x),
        }
    }
    Scale::holding(values.into_iter(), false, margin)
}

/// The scale of y that holds these layers.
pub(super) fn y_of(layers: &[Layer], log: bool, margin: f64) -> Scale {
    let mut values = Vec::new();
    for layer in layers {
        match layer {
            Layer::Line { y, .. } | Layer::Points { y, .. } => values.extend_from_slice(y),
            Layer::Band { lo, hi, .. } => values.extend(lo.iter().chain(hi)),
            Layer::VerticalLine { .. } => {}
        }
    }
    Scale::holding(values.into_iter(), log, margin)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(lo: f64, hi: f64, log: bool, axis: Axis, most: usize) -> Vec<String> {
        let ticks = Scale::holding([lo, hi].into_iter(), log, 0.0).ticks(axis, most);
        assert!(ticks.iter().all(|t| (-1e-6..=1.0 + 1e-6).contains(&t.place)), "{ticks:?}");
        ticks
            .into_iter()
            .map(|t| if t.below.is_empty() { t.label } else { format!("{}|{}", t.label, t.below) })
            .collect()
    }

    fn seconds(text: &str) -> f64 {
        text.parse::<Timestamp>().unwrap().as_second() as f64
    }

    #[test]
    fn numbers_are_round() {
        assert_eq!(labels(0.0, 1.0, false, Axis::Numbers, 5), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(labels(-30_000.0, 30_000.0, false, Axis::Numbers, 3), ["-20,000", "0", "20,000"]);
        assert_eq!(labels(0.0, 2.5e9, false, Axis::Numbers, 3), ["0", "1e9", "2e9"]);
        assert_eq!(labels(1e-7, 3e-7, false, Axis::Numbers, 2), ["1e-7", "2e-7", "3e-7"]);
    }

    #[test]
    fn logarithms_show_powers() {
        assert_eq!(labels(1e-3, 10.0, true, Axis::Numbers, 5), ["0.001", "0.01", "0.1", "1", "10"]);
        assert_eq!(labels(0.1, 1.0, true, Axis::Numbers, 6), ["0.1", "0.2", "0.5", "1"]);
        assert_eq!(labels(0.31, 0.34, true, Axis::Numbers, 4), ["0.31", "0.32", "0.33", "0.34"]);
        assert_eq!(labels(0.012, 0.026, true, Axis::Numbers, 3), ["0.015", "0.020", "0.025"]);
    }

    #[test]
    fn times_follow_the_calendar() {
        let ticks = |from, to, most| labels(seconds(from), seconds(to), false, Axis::Times, most);
        let day = ticks("2014-12-31T20:00:00Z", "2015-01-01T14:00:00Z", 4);
        assert_eq!(day, ["00:00|2015-01-01", "06:00", "12:00"]);
        let weeks = ticks("2014-12-25T00:00:00Z", "2015-01-20T00:00:00Z", 5);
        assert_eq!(weeks, ["Dec 29|2014", "Jan 5|2015", "Jan 12", "Jan 19"]);
        let months = ticks("1959-11-15T00:00:00Z", "1960-10-01T00:00:00Z", 5);
        assert_eq!(months, ["Jan|1960", "Apr", "Jul", "Oct"]);
        assert_eq!(
            ticks("1749-01-01T00:00:00Z", "1983-12-01T00:00:00Z", 6),
            ["1750", "1800", "1850", "1900", "1950"]
        );
    }

    #[test]
    fn odd_values_break_no_axis() {
        for values in [
            vec![],
            vec![f64::NAN],
            vec![5.0; 3],
            vec![0.0],
            vec![1e300, 1.0],
            vec![-1e99, 1e99],
            vec![1e15, 1e15 + 0.1],
        ] {
            for log in [false, true] {
                let scale = Scale::holding(values.iter().copied(), log, 0.05);
                assert!(scale.hi > scale.lo, "{values:?}");
                for axis in [Axis::Numbers, Axis::Times] {
                    for tick in scale.ticks(axis, 6) {
                        assert!(tick.place.is_finite(), "{values:?} {tick:?}");
                    }
                }
            }
        }
        assert_eq!(Scale::holding([5.0].into_iter(), false, 0.0).place(5.0), Some(0.5));
        assert_eq!(Scale::holding([5.0].into_iter(), true, 0.0).place(-1.0), None);
    }
}
