//! How training went: the loss and the error on the validation part of each network.

use lstm_train::forecaster::Evaluation;

use crate::plot::{Axis, Figure, Layer, Panel, Role, Style};
use crate::progress::Point;

/// The course of training: `taken` is the trial that was, among all in the order in which they were tried.
pub(crate) fn losses(course: &[Point], evaluation: &Evaluation, taken: usize) -> Figure {
    // The evaluation names the one that was taken first, in exchange for the one that was.
    let of = |trial: usize| match trial {
        trial if trial == taken => 0,
        0 => taken,
        trial => trial,
    };
    let (mut training, mut validation) = (Vec::new(), Vec::new());
    let mut named: Option<Option<usize>> = None;
    for network in course.chunk_by(|a, b| (a.trial, a.network) == (b.trial, b.network)) {
        let trial = network[0].trial;
        let first = named.replace(trial) != Some(trial);
        let (role, name) = match trial {
            None => (Role::History, "again, on all rows".to_owned()),
            Some(at) => {
                // The first colour of others is that of baselines.
                let role = if at == taken {
                    Role::Forecast
                } else {
                    Role::Other(if at < taken { at + 1 } else { at })
                };
                (role, evaluation.trials.get(of(at)).map_or(String::new(), |trial| trial.what.clone()))
            }
        };
        let line = |pick: fn(&Point) -> f64| Layer::Line {
            x: network.iter().map(|point| point.step as f64).collect(),
            y: network.iter().map(pick).collect(),
            style: if trial.is_some() { Style::Solid } else { Style::Dotted },
            role,
            label: if first { name.clone() } else { String::new() },
        };
        training.push(line(|point| point.loss));
        if trial.is_some() {
            validation.push(line(|point| point.validation.unwrap_or(f64::NAN)));
        }
        let known = network.iter().filter(|point| point.validation.is_some());
        let best = known.min_by(|a, b| {
            f64::total_cmp(&a.validation.unwrap_or(f64::NAN), &b.validation.unwrap_or(f64::NAN))
        });
        if let (Some(best), true) = (best, trial == Some(taken)) {
            let (x, y) = (vec![best.step as f64], vec![best.validation.unwrap_or(f64::NAN)]);
            validation.push(Layer::Points {
                x,
                y,
                role,
                label: if first { "kept".into() } else { String::new() },
            });
        }
    }
    if let Some(trial) = evaluation.trials.first() {
        let steps = || course.iter().filter(|point| point.trial.is_some()).map(|point| point.step as f64);
        let x: Vec<f64> = steps().reduce(f64::min).into_iter().chain(steps().reduce(f64::max)).collect();
        let y = vec![trial.base; x.len()];
        validation.push(Layer::line(Role::Baseline, "the forecast that it corrects, alone", x, y));
    }
    let panel = |title: &str, y_label: &str, log_y, layers| Panel {
        title: title.into(),
        y_label: y_label.into(),
        log_y,
        layers,
        ..Panel::default()
    };
    let panels = vec![
        panel("loss in training", "in units of each window", true, training),
        panel("error on the validation part", "in deviations of the series", false, validation),
    ];
    Figure::grid("Training", Axis::Numbers, 2, panels).x_label("optimizer steps")
}

#[cfg(test)]
mod tests {
    use super::*;
    use lstm_train::forecaster::Trial;

    #[test]
    fn each_trial_has_its_own_name_and_the_best_step_its_dot() {
        let trial = |what: &str| Trial { what: what.into(), validation: 0.5, base: 0.7 };
        let evaluation = Evaluation {
            scores: Vec::new(),
            first_row: 0,
            windows: 0,
            last_forecast: Vec::new(),
            // Tried as a, b, c; c was taken.
            trials: vec![trial("c"), trial("b"), trial("a")],
            best_steps: Vec::new(),
            train_windows: 0,
            ridge: 1.0,
        };
        let point = |trial, step, validation| Point {
            trial,
            network: 0,
            step,
            loss: 1.0,
            validation,
            ..Point::default()
        };
        let course: Vec<Point> = (0..3)
            .flat_map(|t| {
                [point(Some(t), 1, Some(0.6)), point(Some(t), 2, Some(0.5)), point(Some(t), 3, Some(0.9))]
            })
            .chain([point(None, 1, None)])
            .collect();
        let figure = losses(&course, &evaluation, 2);
        let labels: Vec<(Role, &str)> = figure.panels[0]
            .layers
            .iter()
            .filter_map(|layer| match layer {
                Layer::Line { role, label, .. } => Some((*role, label.as_str())),
                _ => None,
            })
            .collect();
        let again = (Role::History, "again, on all rows");
        assert_eq!(labels, [(Role::Other(1), "a"), (Role::Other(2), "b"), (Role::Forecast, "c"), again]);
        let kept: Vec<(&[f64], &[f64])> = figure.panels[1]
            .layers
            .iter()
            .filter_map(|layer| match layer {
                Layer::Points { x, y, .. } => Some((&x[..], &y[..])),
                _ => None,
            })
            .collect();
        assert_eq!(kept, [(&[2.0][..], &[0.5][..])]);
    }
}
