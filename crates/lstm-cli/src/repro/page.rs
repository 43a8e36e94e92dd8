//! The page that `lstm repro --report` writes: the tables, claims and pictures of every program.

use std::path::Path;

use super::cell::{self, Cell, Found};
use super::claim::Claims;
use super::data::Data;
use super::experiment::{Experiment, Log};
use super::picture;
use super::report::{self, Results};
use crate::failure::{Failure, Result};
use crate::plot::Figure;
use crate::settings::Machine;

/// The page that pictures are written for lies in a folder with this one.
const IMAGES: &str = "images";

/// A picture of the page.
struct Plate {
    words: String,
    file: String,
    figure: Figure,
    /// What stands below it, if anything.
    table: String,
}

/// Writes the page and its pictures from the cells there are in `folder`. What is no page of ours is replaced only
/// with `force`.
pub(super) fn write(
    page: &Path,
    experiments: &[Experiment],
    claims: &[Claims],
    folder: &Path,
    (machine, force): (&Machine, bool),
) -> Result<()> {
    let images = page.with_file_name(IMAGES);
    let mut figures = Vec::new();
    let mut text = HEAD.to_owned();
    let mut programs: Vec<&str> = experiments.iter().map(|e| e.program.as_str()).collect();
    programs.dedup();
    for program in programs {
        let ours = experiments.iter().filter(|e| e.program == program);
        let results =
            ours.map(|e| results(e, folder, super::dtype(machine, e).name())).collect::<Result<Vec<_>>>()?;
        let plates = plates(program, &results)?;
        let claims: Vec<Claims> = claims.iter().filter(|c| c.program == program).cloned().collect();
        text += &report::markdown(program, &claims, &results);
        for Plate { words, file, figure, table } in plates {
            text += &format!("\n![{words}]({IMAGES}/{file})\n{table}");
            figures.push((images.join(file), figure));
        }
    }
    let ours = std::fs::read_to_string(page).is_ok_and(|before| before.starts_with(OURS));
    let paths = figures.iter().map(|(path, _)| path.as_path()).chain([page]);
    if let Some(path) = paths.into_iter().find(|path| path.exists()).filter(|_| !ours && !force) {
        return Err(Failure::usage(format!(
            "{} exists already and belongs to no earlier report; name another page, or pass --force to replace it",
            path.display()
        )));
    }
    std::fs::create_dir_all(&images).map_err(|error| Failure::file(&images, &error))?;
    for (path, figure) in &figures {
        figure.save_svg(path).map_err(|error| Failure::model(format!("{error:#}")))?;
    }
    Ok(lstm_nn::durable::write(page, text.as_bytes())?)
}

/// All cells there are of an experiment.
fn results<'a>(experiment: &'a Experiment, folder: &Path, dtype: &str) -> Result<Results<'a>> {
    let mut result = Results { experiment, cells: Vec::new(), stale: 0 };
    for seed in seeds_of(folder, experiment) {
        match cell::find(folder, experiment, dtype, seed)? {
            Found::Valid(cell) => result.cells.push(*cell),
            Found::Stale => result.stale += 1,
            Found::Nothing => {}
        }
    }
    Ok(result)
}

/// Pictures of a program: all closed-loop forecasts in small, losses side by side, and each other experiment.
fn plates(program: &str, results: &[Results<'_>]) -> Result<Vec<Plate>> {
    /// Panels of one picture.
    const TOGETHER: usize = 6;
    let drawn: Vec<(&Experiment, &Cell)> =
        results.iter().filter_map(|r| Some((r.experiment, r.middle()?))).collect();
    let names = |some: &[(&Experiment, &Cell)]| {
        some.iter().map(|(e, _)| e.name.as_str()).collect::<Vec<_>>().join(", ")
    };
    let mut plates = Vec::new();
    let averaged: Vec<_> = drawn.iter().copied().filter(|(e, _)| e.training.log == Log::Mean).collect();
    if averaged.len() > 1 {
        plates.push(Plate {
            words: format!("Losses of {}, the seed in the middle of each", names(&averaged)),
            file: format!("{program}-losses.svg"),
            figure: picture::losses(&averaged),
            table: String::new(),
        });
    }
    let waves: Vec<_> = drawn.iter().copied().filter(|(e, _)| matches!(e.data, Data::Waves(_))).collect();
    if waves.len() > 1 {
        plates.push(Plate {
            words: format!("Errors of {} by step, the seed in the middle of each", names(&waves)),
            file: format!("{program}-errors.svg"),
            figure: picture::errors(&waves),
            table: String::new(),
        });
    }
    let (forecasts, others): (Vec<_>, Vec<_>) =
        drawn.into_iter().partition(|(e, _)| matches!(e.data, Data::Series { .. }));
    for (number, some) in forecasts.chunks(TOGETHER).enumerate() {
        plates.push(Plate {
            words: format!("Forecasts of {}, the seed in the middle of each", names(some)),
            file: format!("{program}-{}.svg", number + 1),
            figure: picture::overview("", some)?,
            table: String::new(),
        });
    }
    for (experiment, cell) in others {
        let name = &experiment.name;
        let words = match experiment.data {
            Data::Series { .. } => continue,
            Data::Sequences { .. } => format!("Gates and cell of {name} on the test sequences"),
            Data::Sines(_) => format!("Predictions of {name}, its error by frequency, and its losses"),
            Data::Times(_) => format!("Outputs of {name} before and after training, and their errors"),
            Data::Values(_) => format!("Forecasts of {name}, and its errors while it was trained"),
            Data::Waves(_) => format!("Waves that {name} reads, and then draws by itself"),
        };
        plates.push(Plate {
            words,
            file: format!("{name}.svg"),
            figure: picture::figure(experiment, cell)?,
            table: report::outputs_table(experiment, cell)?,
        });
    }
    Ok(plates)
}

/// The seeds of which there is a cell, in order.
fn seeds_of(folder: &Path, experiment: &Experiment) -> Vec<u64> {
    let files = std::fs::read_dir(folder.join(&experiment.name)).into_iter().flatten().flatten();
    let mut seeds: Vec<u64> = files
        .filter_map(|file| {
            file.file_name().to_str()?.strip_prefix("seed-")?.strip_suffix(".json")?.parse().ok()
        })
        .collect();
    seeds.sort_unstable();
    seeds
}

/// What tells a page of ours from others.
const OURS: &str = "# Experiments\n\nThe project grew from five small LSTM programs.";
/// How the page begins.
const HEAD: &str = "\
# Experiments

The project grew from five small LSTM programs. Each of their experiments is one file under
[experiments](../experiments); `lstm repro NAME --seeds 10` runs it with ten seeds and prints published against
obtained. This page is made by `cargo xtask report experiments` from the results under
`experiments/results`, one small file for each experiment and seed, with the fingerprint of its settings, the commit
and the processor.

How to read the tables:

- A published figure is one draw, mostly read off a picture. PyTorch's range comes from a few seeds of the same
  experiment, with the original's initialisation.
- Unless the file says another one, the target is that our median lies within or below PyTorch's range. Where PyTorch
  ran a single seed, that range is one number, which half of all seeds would miss by chance.
- `free-run-mse` is the mean squared error of the closed-loop forecast against the formula without its noise,
  `drawn-mse` the one against the points with noise, `mean-mse` that of forecasting the mean of the history, `skill`
  is 1 - free-run-mse / mean-mse, `forecast-deviation` the standard deviation of the forecast. `final-loss` is the
  mean of the last 50 training losses, with dropout; below `noise-floor` it can only be by chance or by learning the
  noise of the training points by heart.
- `last-logged-loss` is the last training loss that the original prints. `weight-lag-k` is the mean slope of an
  output in the input k steps before it, by central differences on the test sequences.
- `loss-at-k` is the loss that the original prints after k steps. `target-reached` is 1 where the original's stop rule
  ended the training, after so many `samples`, and 0 where the largest number of steps did.
- Seed program 001 reports the sum of the squared errors over all predicted values, here that sum stands divided by
  their number: `last-logged-mse` and `best-logged-mse` are of single batches of 50 sequences that the original logs,
  every 100 steps and after the update. `test-mse` is the error on 2,000 fresh sequences, `test-mse-k-hz` that at one
  frequency; a forecast of zero scores 0.5. `logged-swing` is the largest over the mean of the last 20 logged errors.
  From `good-from-hz` to `good-to-hz` the error stays below 0.05. Its sixth experiment, with GRU cells, is left out: the
  cells of this project are LSTMs.
- In seed program 002 `test-mse` is the error of the next value on three sequences that were not trained on, read step
  by step, `free-run-mse` that of the 1,000 steps behind them, where the network is fed with its own predictions: a
  forecast of zero scores 0.5, a wave of the opposite phase 2. `least-test-mse` and `least-free-run-mse` are the smallest
  ones seen while it was trained; no weights are chosen by them. `diverged` is 1 where `test-mse` rose above 0.5 after
  the first look or a number was no longer finite, first seen after step `diverged-at`. Data and test sequences are the
  same for all seeds, which draw the initial weights and the noise. A step of L-BFGS follows up to 20 directions. From
  the same weights its first 50 losses are PyTorch's, with and without line search. What Adagrad's rate, sizes, weights
  and noise were is lost with the original's code: those here are ours. `002-denoising` is not of the original.
- In seed program 003 `last-step-mse` is the error of the ninth output, the only one that the original trains,
  `first-step-mse` that of the first, `every-step-mse` that of all nine, and `longer-mse` that of the nine outputs
  behind them, where the network reads on.
- `test-mse` of the airline passengers is on the scale of the experiment, `test-mse-on-train-scale` on that of the
  training part. The test part also decides when training ends, as in the original: it is no forecast of the unknown.
  `one-step-rmse` is in thousands of passengers, one month ahead, `free-run-rmse` is that of 20 months in one go, and
  `naive` is the same month of the year before.
- A claim is supported if every comparison behind it comes out at the 5 % level, one-sided: of ranks (Mann and
  Whitney) against another experiment, of signs against a bound. With ten seeds that takes 73 of 100 pairs, or 9 of
  10 seeds.
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_known_again() {
        assert!(HEAD.starts_with(OURS));
    }
}
