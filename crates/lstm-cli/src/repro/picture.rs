//! The pictures of experiments: a forecast as the original draws it, or what gates and cell do.

use super::cell::{Cell, Shown, Trace};
use super::experiment::{Data, Experiment};
use super::trial;
use crate::failure::Result;
use crate::plot::{Axis, Figure, Layer, Panel, Role};

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
        _ => Figure::stacked(title, Axis::Numbers, vec![of_forecast(experiment, cell, "")?]).x_label("x"),
    })
}

/// The forecasts of several experiments in small.
pub(super) fn overview(title: &str, shown: &[(&Experiment, &Cell)]) -> Result<Figure> {
    let panels = shown.iter().map(|(experiment, cell)| of_forecast(experiment, cell, &experiment.title));
    Ok(Figure::grid(title, Axis::Numbers, 3, panels.collect::<Result<_>>()?))
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
