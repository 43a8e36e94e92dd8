//! What the LSTM missed: whether anything is left in it that could have been known.

use lstm_data::panel::Member;

use super::{axis_of, place};
use crate::check::Residuals;
use crate::plot::{Axis, Figure, Layer, Panel, Role};

/// Bars of the histogram at most.
const BARS: usize = 30;

/// Of what was missed on rows that a title can name: over time, against the forecasts, their histogram, and their autocorrelation; none of fewer than two.
pub(crate) fn residuals(
    member: &Member,
    (missed, said): (&Residuals, &str),
    season: usize,
) -> Option<Figure> {
    let (mean, deviation) = missed.moments()?;
    let x: Vec<f64> =
        (0..missed.missed.len()).map(|at| place(member.axis.as_ref(), missed.first + at)).collect();
    let zero = |x: &[f64]| {
        let ends: Vec<f64> = x
            .iter()
            .copied()
            .reduce(f64::min)
            .into_iter()
            .chain(x.iter().copied().reduce(f64::max))
            .collect();
        let y = vec![0.0; ends.len()];
        Layer::line(Role::History, "", ends, y)
    };
    let over_time = vec![zero(&x), Layer::line(Role::Forecast, "", x, missed.missed.clone())];
    let known: Vec<(f64, f64)> = missed
        .forecasts
        .iter()
        .zip(&missed.missed)
        .filter(|(f, _)| !f.is_nan())
        .map(|(f, e)| (*f, *e))
        .collect();
    let (forecasts, errors): (Vec<f64>, Vec<f64>) = known.into_iter().unzip();
    let by_forecast = vec![
        zero(&forecasts),
        Layer::Points { x: forecasts, y: errors.clone(), role: Role::Forecast, label: String::new() },
    ];
    let panel = |title: &str, y_label: &str, x, layers| Panel {
        title: title.into(),
        y_label: y_label.into(),
        x: Some(x),
        layers,
        ..Panel::default()
    };
    let panels = vec![
        panel("over time", &member.id, axis_of(member.axis.as_ref()), over_time),
        panel("by what was forecast", &member.id, Axis::Numbers, by_forecast),
        panel(
            "how many of each size",
            "beside the normal curve",
            Axis::Numbers,
            histogram(&errors, mean, deviation),
        ),
        panel(
            "autocorrelation",
            "by lag; white noise stays inside",
            Axis::Numbers,
            correlogram(missed, season),
        ),
    ];
    let title = format!("{}: truth less LSTM, one step ahead, {said}", member.id);
    Some(Figure::grid(title, Axis::Numbers, 2, panels))
}

/// Bars of equal width, about as many as the square root of the number of values.
fn histogram(errors: &[f64], mean: f64, deviation: f64) -> Vec<Layer> {
    let (low, high) = errors.iter().fold((f64::MAX, f64::MIN), |(low, high), e| (e.min(low), e.max(high)));
    let bars = (errors.len() as f64).sqrt().ceil().clamp(1.0, BARS as f64);
    let width = (high - low) / bars;
    if width <= 0.0 {
        return Vec::new();
    }
    let mut counts = vec![0.0; bars as usize];
    for error in errors {
        let bar = ((error - low) / width) as usize;
        counts[bar.min(bars as usize - 1)] += 1.0;
    }
    let (mut x, mut hi) = (Vec::new(), Vec::new());
    for (bar, count) in counts.iter().enumerate() {
        // Each bar goes down before the next goes up.
        let edge = |at: usize| low + at as f64 * width;
        x.extend([edge(bar), edge(bar), edge(bar + 1), edge(bar + 1)]);
        hi.extend([0.0, *count, *count, 0.0]);
    }
    let curve: Vec<f64> = (0..=100).map(|at| low + (high - low) * f64::from(at) / 100.0).collect();
    let density = |e: f64| {
        let z = (e - mean) / deviation;
        (-0.5 * z * z).exp() / (deviation * std::f64::consts::TAU.sqrt())
    };
    let expected = curve.iter().map(|e| errors.len() as f64 * width * density(*e)).collect();
    vec![
        Layer::Band {
            x: x.clone(),
            lo: vec![0.0; x.len()],
            hi: hi.clone(),
            role: Role::Forecast,
            label: String::new(),
        },
        Layer::line(Role::Forecast, "", x, hi),
        Layer::line(Role::History, "", curve, expected),
    ]
}

/// A stem for each lag, and the band that white noise leaves once in twenty lags.
fn correlogram(missed: &Residuals, season: usize) -> Vec<Layer> {
    let correlation = missed.autocorrelation(season);
    let (mut x, mut y) = (Vec::new(), Vec::new());
    for (at, value) in correlation.iter().enumerate() {
        let lag = at as f64 + 1.0;
        x.extend([lag, lag, lag]);
        y.extend([0.0, *value, f64::NAN]);
    }
    let (edges, bound) = (vec![0.0, correlation.len() as f64 + 1.0], missed.bound());
    vec![
        Layer::Band {
            x: edges.clone(),
            lo: vec![-bound; 2],
            hi: vec![bound; 2],
            role: Role::Baseline,
            label: String::new(),
        },
        Layer::line(Role::History, "", edges, vec![0.0; 2]),
        Layer::line(Role::Forecast, "", x, y),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_stands_in_one_bar() {
        let errors: Vec<f64> = (0..100).map(|i| f64::from(i % 10)).collect();
        let layers = histogram(&errors, 4.5, 2.9);
        let Layer::Band { x, hi, .. } = &layers[0] else { panic!("{layers:?}") };
        assert_eq!(hi.iter().sum::<f64>(), 200.0, "each count stands at both edges of its bar");
        assert_eq!((x[0], x[x.len() - 1]), (0.0, 9.0));
        assert!(histogram(&[1.0; 5], 1.0, 0.0).is_empty());
    }
}
