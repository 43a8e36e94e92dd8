//! How training went: the loss and the error on the validation part of each network.

use lstm_train::forecaster::{Evaluation, Head};

use crate::plot::{Axis, Figure, Layer, Panel, Role, Style};
use crate::progress::Point;

/// The course of training.
pub(crate) fn losses(course: &[Point], evaluation: &Evaluation, head: Head) -> Figure {
    let taken = |trial: Option<usize>| trial.is_some_and(|trial| evaluation.is_taken(trial));
    let leads = |trial: usize| evaluation.taken.ways.first().is_some_and(|way| way.trial == trial);
    // The other colours; the first of them is that of baselines.
    let role = |trial: usize| match leads(trial) {
        true => Role::Forecast,
        false => Role::Other((0..=trial).filter(|trial| !leads(*trial)).count()),
    };
    let (mut training, mut validation) = (Vec::new(), Vec::new());
    let mut named: Option<Option<usize>> = None;
    let mut dotted = false;
    for network in course.chunk_by(|a, b| (a.trial, a.network) == (b.trial, b.network)) {
        let trial = network[0].trial;
        let first = named.replace(trial) != Some(trial);
        let (role, name) = match trial {
            None => (Role::History, "again, on all rows".to_owned()),
            Some(at) => {
                let name = evaluation.trials.get(at).map_or("", |trial| trial.what.as_str());
                (role(at), if taken(trial) { format!("taken: {name}") } else { name.to_owned() })
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
        if let (Some(best), true) = (best, taken(trial)) {
            let (x, y) = (vec![best.step as f64], vec![best.validation.unwrap_or(f64::NAN)]);
            validation.push(Layer::Points {
                x,
                y,
                role,
                label: if first && !std::mem::replace(&mut dotted, true) {
                    "kept".into()
                } else {
                    String::new()
                },
            });
        }
    }
    // Other heads are judged by their loss, which may be below 0, and which a point does not have.
    let (log, of_validation) = match head {
        Head::Point => (true, ["error on the validation part", "in deviations of the series"]),
        _ => (false, ["loss on the validation part", "of a value"]),
    };
    if head == Head::Point && !evaluation.trials.is_empty() {
        let steps = || course.iter().filter(|point| point.trial.is_some()).map(|point| point.step as f64);
        let x: Vec<f64> = steps().reduce(f64::min).into_iter().chain(steps().reduce(f64::max)).collect();
        let y = vec![evaluation.taken.simple; x.len()];
        validation.push(Layer::line(Role::Baseline, "the best simple forecast", x, y));
    }
    let panel = |title: &str, y_label: &str, log_y, layers| Panel {
        title: title.into(),
        y_label: y_label.into(),
        log_y,
        layers,
        ..Panel::default()
    };
    let panels = vec![
        panel("loss in training", "in units of each window", log, training),
        panel(of_validation[0], of_validation[1], false, validation),
    ];
    Figure::grid("Training", Axis::Numbers, 2, panels).x_label("optimizer steps")
}

#[cfg(test)]
mod tests {
    use super::*;
    use lstm_train::forecaster::{Taken, Trial, Way};

    #[test]
    fn each_trial_has_its_own_name_and_the_best_step_its_dot() {
        let trial = |what: &str| Trial { what: what.into(), validation: 0.5, base: 0.7 };
        let evaluation = Evaluation {
            scores: Vec::new(),
            first_row: 0,
            windows: 0,
            last_forecast: Vec::new(),
            trials: vec![trial("a"), trial("b"), trial("c")],
            taken: Taken {
                ways: [2, 1]
                    .map(|trial| Way { trial, best_steps: vec![2], train_windows: 9, ridge: 1.0 })
                    .into(),
                validation: 0.5,
                simple: 0.7,
            },
            templates: Vec::new(),
            validation_scores: Vec::new(),
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
        let figure = losses(&course, &evaluation, Head::Point);
        let labels: Vec<(Role, &str)> = figure.panels[0]
            .layers
            .iter()
            .filter_map(|layer| match layer {
                Layer::Line { role, label, .. } => Some((*role, label.as_str())),
                _ => None,
            })
            .collect();
        let again = (Role::History, "again, on all rows");
        let others = [(Role::Other(1), "a"), (Role::Other(2), "taken: b")];
        assert_eq!(labels, [others[0], others[1], (Role::Forecast, "taken: c"), again]);
        let kept: Vec<(&[f64], &[f64])> = figure.panels[1]
            .layers
            .iter()
            .filter_map(|layer| match layer {
                Layer::Points { x, y, .. } => Some((&x[..], &y[..])),
                _ => None,
            })
            .collect();
        assert_eq!(kept, [(&[2.0][..], &[0.5][..]); 2]);
    }
}
