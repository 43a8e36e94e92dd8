//! `lstm gates`: a network under the microscope while it forecasts from one window.

mod picture;
mod report;

use std::path::PathBuf;

use lstm_data::Element;
use lstm_data::panel::{Member, Panel};
use lstm_tensor::{Backend, Float};
use lstm_train::forecaster::{Forecaster, Inside, Window, half_life};

use crate::device::{self, Job, Work};
use crate::failure::{Failure, Result};
use crate::forecast::new_panel;
use crate::input::{self, Beside};
use crate::output;
use crate::progress::say;
use crate::run::{Folder, Saved};
use crate::settings::{Dtype, Machine, Output, Reading};
use crate::train::in_file;
use crate::value::Whole;

/// Gates, cells and hidden states of every unit at every step.
const TRACES: &str = "gates.csv";
/// What they come to for each unit, and the gradient at each step.
const NUMBERS: &str = "gates.json";
/// The pictures.
const PICTURES: [&str; 2] = ["gates.png", "gates.svg"];
/// Units of a layer that the picture and the table show unless told otherwise.
const UNITS: usize = 4;

/// Look into a network while it forecasts: gates, cells, and what the forecast answers to
///
/// Takes one window of a model that `lstm train` or `lstm forecast` left, and shows input, forget and output gates and the
/// cell state of the most active units (those whose output varies most) over the steps of the window, how long half of a
/// cell's content stays (ln 2 / -ln f, f the mean of the forget gate), and how strongly what the network adds to the
/// simple forecast answers to the values at each step: the norm of its gradient, where backpropagation through time
/// leaves it.
///
/// Prints a table and what it means. Leaves gates.csv with every unit at every step, gates.json with the figures of
/// all units and the gradient of each step, and the pictures gates.png and gates.svg. They go to the run folder
/// unless --out names another.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  lstm gates runs/air
  lstm gates runs/taxi taxi.csv --window 480 --units 6
  lstm gates runs/stores --series store-7 --network 2")]
pub(crate) struct Args {
    /// Run folder, or a model file
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// CSV files with the series [default: the last rows of those that it was trained on, which the model keeps]
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Series that is looked at [default: the first that is long enough]
    #[arg(long, value_name = "NAME")]
    series: Option<String>,
    /// Look at the forecast from so many rows before the end of the series [default: 0, behind its last row]
    #[arg(long, value_name = "ROWS")]
    window: Option<Whole<0, 1_000_000_000>>,
    /// Which of several networks [default: 1, the first]
    #[arg(long, value_name = "NUMBER")]
    network: Option<Whole<1, 100>>,
    /// Units of each layer that table and picture show [default: 4, the most active ones]
    #[arg(long, value_name = "COUNT")]
    units: Option<Whole<1, 32>>,
    #[command(flatten)]
    reading: Reading,
    #[command(flatten)]
    machine: Machine,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// Looks, writes the files, and prints the table.
///
/// # Errors
/// Those of settings, data, models, device and files.
pub(crate) fn run(args: &Args) -> Result<()> {
    let saved = Saved::read(&args.run)?;
    let folder = Folder::named_or(&args.output, saved.folder());
    let names = [&[TRACES, NUMBERS][..], &PICTURES].concat();
    folder.check(&names, None)?;
    for file in &args.files {
        folder.check(&names, Some(file))?;
    }
    crate::forecast::refuse_settled(&Default::default(), &args.reading)?;
    let panel = if args.files.is_empty() {
        crate::forecast::refuse(
            &args.reading,
            "says how to read a file, and none is named; name one, or leave it out",
        )?;
        saved.tail().clone()
    } else {
        new_panel(&args.files, &args.reading, &saved)?
    };
    let place = device::open(&args.machine, Work::Forecasting, args.machine.dtype.unwrap_or(Dtype::F64))?;
    let view = View::new(args, &saved, &panel)?;
    let job = Look { saved: &saved, panel: &panel, view: &view };
    let inside = place.run(job)?;
    let layers = inside.layers.iter().map(|layer| Layer::new(layer, view.segment)).collect();
    let seen = Seen { view: &view, member: &panel.members[view.window.member], inside: &inside, layers };

    folder.create()?;
    let numbers = report::to_json(&saved, &seen);
    folder.write(TRACES, report::csv(&seen).as_bytes())?;
    folder.write(NUMBERS, format!("{numbers:#}\n").as_bytes())?;
    folder.draw(PICTURES, &picture::figure(&seen))?;
    if args.output.say.json {
        return output::print_json(&numbers);
    }
    if args.output.say.quiet {
        return Ok(());
    }
    let mut text = report::table(&saved, &seen);
    text += &format!(
        "\nEvery unit at every step is in {}, the picture is {}\n",
        folder.file(TRACES).display(),
        folder.file(PICTURES[0]).display()
    );
    output::print(text.as_bytes())?;
    say(&format!("computed on {}", place.described()));
    Ok(())
}

/// What is looked at.
struct View {
    window: Window,
    network: usize,
    /// Units of each layer that are shown.
    units: usize,
    /// Rows of a step.
    segment: usize,
    /// Steps that read the past.
    past: usize,
}

impl View {
    fn new(args: &Args, saved: &Saved, panel: &Panel) -> Result<Self> {
        let config = &saved.task.config;
        let back = args.window.map_or(0, Whole::get);
        let needed = config.reach().saturating_add(back);
        let fits = |member: &Member| member.rows() >= needed;
        let member = match &args.series {
            Some(name) => panel.members.iter().position(|member| member.id == *name).ok_or_else(|| {
                Failure::usage(format!(
                    "--series {name}: {} has no such series, but {}",
                    panel.file,
                    panel
                        .members
                        .iter()
                        .take(10)
                        .map(|member| member.id.as_str())
                        .collect::<Vec<_>>()
                        .join(", ")
                ))
            })?,
            None => panel.members.iter().position(fits).unwrap_or(0),
        };
        let rows = panel.members[member].rows();
        if rows < needed {
            let advice = match (args.files.is_empty(), back) {
                (true, 1..) => "name the CSV file after the run, or lower --window",
                (_, 0) => "give the history too",
                _ => "lower --window",
            };
            return Err(Failure::data(format!(
                "{}: {} has {rows} rows here, but the window reads {} and ends {back} before the end; {advice}",
                panel.file,
                panel.members[member].id,
                config.reach()
            )));
        }
        input::check_ahead(panel, config.horizon.saturating_sub(back))?;
        let (network, (_, own)) = saved.network(args.network)?;
        let units = args.units.map_or(UNITS, Whole::get);
        let window = Window { member, row: rows - back };
        Ok(Self { window, network, units, segment: own.segment, past: own.lookback / own.segment })
    }
}

/// A network at work.
struct Look<'a> {
    saved: &'a Saved,
    panel: &'a Panel,
    view: &'a View,
}

impl Job for Look<'_> {
    type Output = Inside;

    fn run<B: Backend, F: Float + Element>(self, backend: &B) -> Result<Inside> {
        let Self { saved, panel, view } = self;
        let config = &saved.task.config;
        let beside = Beside::new(panel, saved.task.calendar.as_ref(), config.horizon + config.segment);
        let members = beside.members(panel);
        let all = |member: usize| panel.members[member].rows();
        let forecaster: Forecaster<B, F> = saved.forecaster(backend, panel, (&members, all))?;
        let inside = forecaster.inside(backend, &members, view.window, view.network);
        inside.map_err(|error| in_file(error, &panel.file))
    }
}

/// All that was seen.
struct Seen<'a> {
    view: &'a View,
    member: &'a Member,
    inside: &'a Inside,
    layers: Vec<Layer>,
}

impl Seen<'_> {
    /// Last row of each step.
    fn rows(&self) -> impl Iterator<Item = usize> + '_ {
        let (row, segment) = (self.view.window.row, self.view.segment);
        self.inside.rows.iter().map(move |first| row.saturating_add_signed(*first) + segment - 1)
    }
}

/// The units of a layer, the most active first.
struct Layer {
    units: Vec<Unit>,
}

/// A unit over the steps of the window.
struct Unit {
    /// From 0.
    index: usize,
    /// Standard deviation of its output.
    activity: f64,
    /// Means of the input, forget and output gate.
    means: [f64; 3],
    /// Rows after which half of its cell's content is forgotten.
    half_life: f64,
    /// Input, forget, cell input (g) and output gate, cell and hidden state at each step.
    traces: [Vec<f64>; 6],
}

impl Layer {
    /// From traces of steps of `segment` rows.
    fn new(layer: &lstm_nn::LayerTrace, segment: usize) -> Self {
        let width = layer.units;
        let column = |from: &[f64], first: usize, stride: usize| -> Vec<f64> {
            from.iter().skip(first).step_by(stride).copied().collect()
        };
        let unit = |index: usize| {
            let gate = |k: usize| column(&layer.gates, k * width + index, 4 * width);
            let hidden = column(&layer.hidden, index, width);
            let traces = [gate(0), gate(1), gate(2), gate(3), column(&layer.cell, index, width), hidden];
            let means = [0, 1, 3].map(|k: usize| mean(&traces[k]));
            Unit {
                index,
                activity: deviation(&traces[5]),
                means,
                half_life: segment as f64 * half_life(means[1]),
                traces,
            }
        };
        let mut units: Vec<Unit> = (0..width).map(unit).collect();
        units.sort_by(|a, b| b.activity.total_cmp(&a.activity));
        Self { units }
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

fn deviation(values: &[f64]) -> f64 {
    let centre = mean(values);
    mean(&values.iter().map(|value| (value - centre).powi(2)).collect::<Vec<_>>()).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_taken_apart_and_ordered_by_their_activity() {
        // Two steps of two units: gates are 100 step + 10 gate + unit.
        let at = |step: usize, k: usize, unit: usize| (100 * step + 10 * k + unit) as f64;
        let gates = (0..2).flat_map(|t| (0..4).flat_map(move |k| (0..2).map(move |u| at(t, k, u)))).collect();
        let trace = lstm_nn::LayerTrace {
            units: 2,
            gates,
            cell: vec![1.0, 2.0, 3.0, 4.0],
            hidden: vec![0.1, 0.0, 0.2, 0.9],
        };
        let layer = Layer::new(&trace, 3);
        let [first, second] = &layer.units[..] else { panic!("two units") };
        assert_eq!((first.index, second.index), (1, 0));
        assert_eq!(first.traces[1], [11.0, 111.0]);
        assert_eq!(second.traces[3], [30.0, 130.0]);
        assert_eq!((&first.traces[4][..], &first.traces[5][..]), (&[2.0, 4.0][..], &[0.0, 0.9][..]));
        assert_eq!(second.means, [50.0, 60.0, 80.0]);
    }
}
