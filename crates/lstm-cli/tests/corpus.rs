//! The corpus of the fuzzers, replayed: the same checks on the same bytes, without a fuzzer.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![allow(unreachable_pub, reason = "the fuzzers' library offers these checks to its targets")]

#[path = "../../../fuzz/src/arguments.rs"]
mod arguments;
#[path = "../../../fuzz/src/checkpoint.rs"]
mod checkpoint;
#[path = "../../../fuzz/src/csv.rs"]
mod csv;
#[path = "../../../fuzz/src/model.rs"]
mod model;
#[path = "../../../fuzz/src/sealed.rs"]
mod sealed;
#[path = "../../../fuzz/src/settings.rs"]
mod settings;

use std::fs;
use std::path::PathBuf;

fn corpus(target: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds").join(target)
}

/// Checks every file of a target; those whose names begin with `good` must be taken.
fn replay(target: &str, check: fn(&[u8]) -> bool) {
    let (mut files, mut good) = (0, 0);
    for entry in fs::read_dir(corpus(target)).unwrap() {
        let path = entry.unwrap().path();
        let taken = check(&fs::read(&path).unwrap());
        let named_good = path.file_name().unwrap().to_string_lossy().starts_with("good");
        assert!(
            taken || !named_good,
            "{} is refused; seeds of files are written anew by the ignored test",
            path.display()
        );
        files += 1;
        good += usize::from(named_good);
    }
    assert!(files >= good && good >= 2, "{target}: {files} files, {good} of them good");
}

#[test]
fn csv_text() {
    replay("csv", csv::check);
}

#[test]
fn model_files() {
    replay("model", model::check);
}

#[test]
fn checkpoints() {
    replay("checkpoint", checkpoint::check);
}

#[test]
fn settings_text() {
    replay("settings", settings::check);
}

#[test]
fn command_lines() {
    replay("arguments", arguments::check);
}

/// After a change of the form of model files or checkpoints: `cargo test -p lstm-cli --test corpus -- --ignored`.
#[test]
#[ignore = "writes the seeds of model files and checkpoints anew"]
fn write_seeds() {
    use lstm_cpu::Cpu;
    use lstm_nn::{InitSpec, Model, Network, Readout, saved};
    use lstm_train::forecaster::{ForecastChoices, ForecastConfig, Forecaster, Member, Stage};
    use lstm_train::{Checkpoints, Course, Flow, Journal, Keeper, Progress, UnderWay};
    use serde_json::json;

    let cpu = Cpu::new(1).unwrap();
    let network = Network::new(1).lstm(1).head(Readout::Last, 1);
    let init = InitSpec::torch();
    let model = Model::<Cpu, f32>::new(&cpu, network.clone(), &init, 1).unwrap();
    let one = saved::to_bytes(&cpu, &model, &json!({ "lookback": 2 })).unwrap();
    fs::write(corpus("model").join("good-one"), one).unwrap();
    let embedded = Network::new(1).embed(1).lstm(1).head(Readout::Last, 1);
    let model = Model::<Cpu, f32>::new(&cpu, embedded, &init, 1).unwrap();
    let one = saved::to_bytes(&cpu, &model, &json!({ "lookback": 2 })).unwrap();
    fs::write(corpus("model").join("good-embedded"), one).unwrap();
    let models: Vec<_> =
        (1..3).map(|seed| Model::<Cpu, f64>::new(&cpu, network.clone(), &init, seed).unwrap()).collect();
    let extra = [("spreads".to_owned(), vec![1.5, 2.0])].into();
    let two = saved::all_to_bytes(&cpu, &models, &extra, &json!({})).unwrap();
    fs::write(corpus("model").join("good-two-with-spreads"), two).unwrap();

    struct Every(u64, Checkpoints);
    impl<F: lstm_tensor::Float> Keeper<F> for Every {
        fn due(&mut self) -> bool {
            self.0 += 1;
            self.0.is_multiple_of(3)
        }
        fn keep(&mut self, journal: &Journal<F>) -> lstm_train::Result<()> {
            self.1.keep(journal, &json!({ "seed": 1 }))
        }
    }
    let values: Vec<f64> = (0..40).map(|t| f64::from(t % 5) + f64::from(t * t % 7)).collect();
    let panel = [Member::alone(&values)];
    let choices = ForecastChoices {
        horizon: Some(1),
        lookback: Some(2),
        segment: Some(1),
        hidden: Some(1),
        ensemble: Some(2),
        epochs: Some(2),
        ..ForecastChoices::default()
    };
    let trials = &ForecastConfig::trials(&choices, &[], &panel).unwrap()[..1];
    for (name, steps) in [("good-begun", 2), ("good-later", 6)] {
        let folder = tempfile::tempdir().unwrap();
        let mut keeper = Every(0, Checkpoints::of(folder.path()).unwrap());
        let mut left = steps;
        let mut watch = |_: Stage, _: u64, _: Option<&Progress>| {
            left -= 1;
            if left == 0 { Flow::Stop } else { Flow::Continue }
        };
        let course = &mut Course::<f32>::kept(Journal::default(), &mut keeper);
        Forecaster::hold_out(&cpu, trials, &panel, course, &mut watch).unwrap();
        let (mut journal, run) = keeper.1.newest::<f32>().unwrap().unwrap();
        // A reader of checkpoints does not ask how many weights a network has, and a fuzzer likes short files.
        for trained in &mut journal.finished {
            trained.params.truncate(2);
            trained.reports.truncate(1);
        }
        if let Some(UnderWay { state, reports }) = &mut journal.current {
            reports.truncate(1);
            state.params.truncate(2);
            state.optimizer.moments.iter_mut().for_each(|moment| moment.truncate(2));
            let sets = [&mut state.proven, &mut state.unproven];
            for set in sets.into_iter().flatten() {
                set.params.truncate(2);
                set.optimizer.moments.iter_mut().for_each(|moment| moment.truncate(2));
            }
            state.best.iter_mut().for_each(|best| best.params.truncate(2));
        }
        keeper.1.keep(&journal, &run).unwrap();
        let newest = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).max();
        fs::copy(newest.unwrap(), corpus("checkpoint").join(name)).unwrap();
    }
}
