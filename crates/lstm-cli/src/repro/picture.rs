//! The pictures of experiments: a forecast as the original draws it, or what gates and cell do.

use lstm_data::generate::RandomSine;
use lstm_train::baseline::seasonal_naive;

use super::cell::{Block, Cell, Errors, Shown, Trace};
use super::data::{Data, Sines, Times, Values, Waves};
use super::experiment::Experiment;
use super::trial;
use crate::failure::Result;
use crate::plot::{Axis, Figure, Layer, Panel, Role, Style};

/// History that is drawn, in lengths of the forecast: of a long series the end.
const HISTORY: usize = 5;

/// The picture of one experiment and seed.
pub(super) fn figure(experiment: &Experiment, cell: &Cell) -> Result<Figure> {
    let title = format!("{}: {}", experiment.name, experiment.title);
    Ok(match (&experiment.data, &cell.shown) {
        (Data::Sequences { test, .. }, Shown::Sequences { sequences }) => {
            let columns = sequences.len();
            let rows = sequences.iter().zip(test.inputs.iter().zip(&test.targets));
            let panels: Vec<Vec<Panel>> = rows.map(|(trace, (x, y))| of_sequence(trace, x, y)).collect();
            // Sequences stand side by side, what is shown of them one below the other.
            let count = panels.first().map_or(0, Vec::len);
            let arranged =
                (0..count).flat_map(|row| panels.iter().map(move |column| column[row].clone())).collect();
            Figure::grid(title, Axis::Numbers, columns, arranged).x_label("step")
        }
        (Data::Sines(sines), Shown::Sines { blocks, sweep }) => {
            let mut panels = blocks.iter().map(|block| of_block(sines, block)).collect::<Result<Vec<_>>>()?;
            panels.push(of_sweep(sines, sweep));
            panels.push(of_losses("loss by step", &[(experiment, cell)]));
            Figure::grid(title, Axis::Numbers, 3, panels)
        }
        (Data::Times(times), Shown::Times { before, after, errors }) => {
            let panels = vec![
                of_outputs(times, before, after, &experiment.published_outputs)?,
                of_errors(times, errors),
                of_losses("loss by step", &[(experiment, cell)]),
            ];
            Figure::grid(title, Axis::Numbers, 3, panels)
        }
        (Data::Values(data), Shown::Values { one_step, free_run }) => {
            let Values { values, train, lookback, season, .. } = data;
            let first = train + lookback;
            let season_before = &values[first - season..first + one_step.len() - season];
            let repeated = seasonal_naive(&values[..*train], *season, free_run.len());
            let panels = vec![
                of_values("one step ahead", data, first, (one_step, season_before)),
                of_values("in one go", data, *train, (free_run, &repeated)),
                of_losses("error by step", &[(experiment, cell)]),
            ];
            Figure::grid(title, Axis::Numbers, 3, panels)
        }
        (Data::Waves(waves), Shown::Waves { every, sequences, .. }) => {
            let panel = of_waves(waves, *every, sequences)?;
            Figure::stacked(title, Axis::Numbers, vec![panel]).x_label("step")
        }
        _ => Figure::stacked(title, Axis::Numbers, vec![of_forecast(experiment, cell, "")?]).x_label("x"),
    })
}

/// The forecasts of several experiments in small.
pub(super) fn overview(title: &str, shown: &[(&Experiment, &Cell)]) -> Result<Figure> {
    let panels = shown.iter().map(|(experiment, cell)| of_forecast(experiment, cell, &experiment.title));
    Ok(Figure::grid(title, Axis::Numbers, 3, panels.collect::<Result<_>>()?))
}

/// The losses of several experiments in one panel.
pub(super) fn losses(shown: &[(&Experiment, &Cell)]) -> Figure {
    Figure::stacked("", Axis::Numbers, vec![of_losses("", shown)]).x_label("step")
}

/// Errors of several experiments on waves, by step: those by L-BFGS, whose steps are long, apart from the others.
pub(super) fn errors(shown: &[(&Experiment, &Cell)]) -> Figure {
    type Of = fn(&Errors) -> f64;
    /// Lines that differ by colour; those after them by their strokes as well.
    const COLOURS: usize = 6;
    let parts: [(&str, Of); 2] =
        [("MSE of the next value", |errors| errors.test), ("MSE of the free run", |errors| errors.free_run)];
    // Each keeps its colour, whichever panel it is in.
    let (whole, batches): (Vec<_>, Vec<_>) =
        shown.iter().enumerate().partition(|(_, (experiment, _))| experiment.training.lbfgs.is_some());
    let panel = |some: &[(usize, &(&Experiment, &Cell))], (title, of): (&str, Of)| {
        let line = |(number, (experiment, cell)): &(usize, &(&Experiment, &Cell))| {
            let Shown::Waves { errors, .. } = &cell.shown else { return None };
            let (x, y) = errors.iter().map(|errors| (errors.step as f64, of(errors))).unzip();
            let style = if *number < COLOURS { Style::Solid } else { Style::Dashed };
            Some(Layer::Line { x, y, style, role: Role::Other(*number), label: experiment.title.clone() })
        };
        let layers = some.iter().filter_map(line).collect();
        Panel { title: format!("{title}, by step"), log_y: true, layers, ..Panel::default() }
    };
    let groups = [whole, batches].into_iter().filter(|group| !group.is_empty());
    let panels = groups.flat_map(|group| parts.map(|part| panel(&group, part)));
    Figure::grid("", Axis::Numbers, parts.len(), panels.collect())
}

/// Kept losses, and errors on what is not trained on.
fn of_losses(title: &str, shown: &[(&Experiment, &Cell)]) -> Panel {
    let line = |values: &[(u64, f64)], role, label: &str| {
        let (x, y) = values.iter().map(|(step, value)| (*step as f64, *value)).unzip();
        Layer::line(role, label, x, y)
    };
    let layers = match shown {
        [(_, cell)] if cell.validations.is_empty() => vec![line(&cell.losses, Role::Other(0), "loss")],
        [(_, cell)] => vec![
            line(&cell.losses, Role::Other(0), "training error"),
            line(&cell.validations, Role::Other(1), "test error"),
        ],
        many => (0..)
            .zip(many)
            .map(|(n, (experiment, cell))| line(&cell.losses, Role::Other(n), &experiment.title))
            .collect(),
    };
    Panel { title: title.to_owned(), log_y: true, layers, ..Panel::default() }
}

/// A sine that was read, what came, and what the network says, joined to the last value read.
fn of_block(sines: &Sines, block: &Block) -> Result<Panel> {
    let RandomSine { inputs, rate, .. } = sines.generator;
    let made = sines.generator.at(&[(block.hertz, block.start)])?;
    let read: Vec<f64> = made.inputs.iter().copied().collect();
    let came: Vec<f64> = made.targets.iter().copied().collect();
    let seconds = |from: usize, count: usize| (from..from + count).map(|at| at as f64 / rate).collect();
    let joined = |values: &[f64]| [&read[inputs - 1..], values].concat();
    let ahead = || seconds(inputs - 1, came.len() + 1);
    let layers = vec![
        Layer::line(Role::History, "history", seconds(0, inputs), read.clone()),
        Layer::line(Role::Truth, "truth", ahead(), joined(&came)),
        Layer::line(Role::Forecast, "prediction", ahead(), joined(&block.prediction)),
    ];
    Ok(Panel { title: format!("{} Hz, by seconds", block.hertz), layers, ..Panel::default() })
}

/// The error by frequency, with the ends of what was trained.
fn of_sweep(sines: &Sines, sweep: &[(f64, f64)]) -> Panel {
    let (hertz, errors) = sweep.iter().copied().unzip();
    let [low, high] = sines.generator.frequency;
    let mut layers = vec![Layer::line(Role::Forecast, "", hertz, errors)];
    let ends = if low < high { vec![low, high] } else { vec![low] };
    layers.extend(ends.into_iter().map(|x| Layer::VerticalLine { x, label: String::new() }));
    let title = "MSE by Hz; dashed: trained".to_owned();
    Panel { title, log_y: true, layers, ..Panel::default() }
}

/// Labels and outputs at every step, before and after training.
fn of_outputs(times: &Times, before: &[f64], after: &[f64], published: &[f64]) -> Result<Panel> {
    let (_, labels) = times.shown()?;
    let steps: Vec<f64> = (1..=labels.len()).map(|step| step as f64).collect();
    let mut layers = vec![
        Layer::line(Role::Truth, "label", steps.clone(), labels),
        Layer::line(Role::Baseline, "before training", steps.clone(), before.to_vec()),
        Layer::line(Role::Forecast, "after training", steps.clone(), after.to_vec()),
    ];
    if !published.is_empty() {
        let (x, y) = steps.into_iter().zip(published.iter().copied()).unzip();
        layers.push(Layer::Points { x, y, role: Role::History, label: "published".into() });
    }
    layers.extend(end_of_training(times));
    Ok(Panel { title: "output by step".into(), layers, ..Panel::default() })
}

fn of_errors(times: &Times, errors: &[f64]) -> Panel {
    let steps: Vec<f64> = (1..=errors.len()).map(|step| step as f64).collect();
    let mut layers = vec![Layer::line(Role::Forecast, "", steps, errors.to_vec())];
    layers.extend(end_of_training(times));
    Panel { title: "MSE by step".into(), log_y: true, layers, ..Panel::default() }
}

/// Where sequences end in training, if test sequences go on.
fn end_of_training(times: &Times) -> Option<Layer> {
    let end = times.generator.inputs;
    (times.longest > end).then(|| Layer::VerticalLine { x: end as f64, label: String::new() })
}

/// Each test sequence as the original draws it, in red, green and blue: solid what is predicted while the sequence is
/// read, dotted what is fed with itself. What is right lies below as a light stroke.
fn of_waves(waves: &Waves, every: usize, sequences: &[Vec<f64>]) -> Result<Panel> {
    /// Half the height of the light stroke.
    const HALF: f64 = 0.06;
    let truth = waves.test()?.targets;
    let known = (waves.length - 1).div_ceil(every);
    let roles = [Role::Forecast, Role::Truth, Role::Baseline];
    let mut panel = Panel::default();
    for ((row, predictions), role) in sequences.iter().enumerate().zip(roles.into_iter().cycle()) {
        let x: Vec<f64> = (0..predictions.len()).map(|at| (at * every + 1) as f64).collect();
        let right = |by: f64| (0..predictions.len()).map(|at| truth[[at * every, row, 0]] + by).collect();
        panel.layers.push(Layer::Band {
            x: x.clone(),
            lo: right(-HALF),
            hi: right(HALF),
            role,
            label: if row == 0 { "truth".into() } else { String::new() },
        });
        let parts =
            [(0..known, Style::Solid, "read"), (known - 1..x.len(), Style::Dotted, "fed with itself")];
        for (part, style, words) in parts {
            let (x, y) = (x[part.clone()].to_vec(), predictions[part].to_vec());
            let label = if row == 0 { words.into() } else { String::new() };
            panel.layers.push(Layer::Line { x, y, style, role, label });
        }
    }
    panel.layers.push(Layer::VerticalLine { x: waves.length as f64, label: String::new() });
    Ok(panel)
}

/// A series, and a forecast that begins at row `first`, beside the naive one.
fn of_values(title: &str, data: &Values, first: usize, (forecast, naive): (&[f64], &[f64])) -> Panel {
    let values = &data.values;
    let rows = |from: usize, count: usize| (from + 1..=from + count).map(|row| row as f64).collect();
    let from = first.saturating_sub(HISTORY * data.season / 2);
    let (count, last) = (forecast.len(), first - 1);
    let layers = vec![
        Layer::line(Role::History, "history", rows(from, first - from), values[from..first].to_vec()),
        Layer::line(Role::Truth, "truth", rows(last, count + 1), values[last..first + count].to_vec()),
        Layer::line(Role::Baseline, "a season before", rows(first, count), naive.to_vec()),
        Layer::line(Role::Forecast, "prediction", rows(first, count), forecast.to_vec()),
    ];
    Panel { title: title.to_owned(), y_label: data.unit.clone(), layers, ..Panel::default() }
}

/// History black, forecast red, truth dotted green.
fn of_forecast(experiment: &Experiment, cell: &Cell, title: &str) -> Result<Panel> {
    let (Data::Series { formula, forecast: ahead, .. }, Shown::Forecast { values }) =
        (&experiment.data, &cell.shown)
    else {
        return Ok(Panel::default());
    };
    let made = trial::make(formula, *ahead, cell.seed)?;
    let points = formula.grid.points;
    let from = points.saturating_sub(HISTORY * ahead);
    // What comes is joined to the last known point, unless noise has moved that one away from the truth.
    let last = points.saturating_sub(1);
    let joined = |values: &[f64]| (made.x[last..].to_vec(), [&made.y[last..points], values].concat());
    let (words, (x, truth)) = match formula.noise == 0.0 {
        true => ("truth", joined(&made.expected[points..])),
        false => ("truth without noise", (made.x[points..].to_vec(), made.expected[points..].to_vec())),
    };
    let (forecast_x, forecast) = joined(values);
    let layers = vec![
        Layer::line(Role::History, "history", made.x[from..points].to_vec(), made.y[from..points].to_vec()),
        Layer::line(Role::Truth, words, x, truth),
        Layer::line(Role::Forecast, "forecast", forecast_x, forecast),
    ];
    Ok(Panel { title: title.to_owned(), layers, ..Panel::default() })
}

/// Prediction and label of a test sequence, then gates and cell, one line a unit.
fn of_sequence(trace: &Trace, inputs: &[f64], targets: &[f64]) -> Vec<Panel> {
    let steps: Vec<f64> = (1..=inputs.len()).map(|step| step as f64).collect();
    let predictions = trace.predictions.clone();
    let words: Vec<String> = inputs.iter().map(ToString::to_string).collect();
    let answers = Panel {
        title: format!("inputs {}", words.join(", ")),
        layers: vec![
            Layer::line(Role::History, "input", steps.clone(), inputs.to_vec()),
            Layer::line(Role::Truth, "label", steps.clone(), targets.to_vec()),
            Layer::line(Role::Forecast, "prediction", steps.clone(), predictions),
        ],
        ..Panel::default()
    };
    let units = |title: &str, values: &[Vec<f64>]| {
        let count = values.first().map_or(0, Vec::len);
        let line = |unit: usize| {
            let y = values.iter().map(|step| step[unit]).collect();
            Layer::line(Role::Other(unit), "", steps.clone(), y)
        };
        Panel { title: title.to_owned(), layers: (0..count).map(line).collect(), ..Panel::default() }
    };
    let gate = |title: &str, values: &[Vec<f64>]| {
        let mut panel = units(title, values);
        // A gate is open at 1 and shut at 0: two points without a place, which are not drawn, keep the scale at that.
        let ends = Layer::Points {
            x: vec![f64::NAN; 2],
            y: vec![0.0, 1.0],
            role: Role::History,
            label: String::new(),
        };
        panel.layers.push(ends);
        panel
    };
    let [input, forget, _, output] = &trace.gates;
    vec![
        answers,
        gate("input gate of each unit", input),
        gate("forget gate: 1 keeps, 0 forgets", forget),
        gate("output gate", output),
        units("cell state", &trace.cell),
    ]
}
