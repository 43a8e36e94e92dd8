//! A forecaster whose training was broken off anywhere, and taken up again from its checkpoints, has the same bits.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use lstm_cpu::Cpu;
use lstm_tensor::Float;
use lstm_train::forecaster::{
    Evaluation, ForecastChoices, ForecastConfig, Forecaster, Member, Normalise, Stage,
};
use lstm_train::{Checkpoints, Course, Flow, Journal, Keeper, Progress, Result};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::fs;

fn series() -> Vec<f64> {
    (0..120).map(|t| f64::from(t) + 9.0 * (f64::from(t) * 0.7).sin() + f64::from(t * t % 7)).collect()
}

fn trials(panel: &[Member<'_>]) -> Vec<ForecastConfig> {
    let choices = ForecastChoices {
        horizon: Some(3),
        lookback: Some(12),
        hidden: Some(4),
        ensemble: Some(2),
        epochs: Some(12),
        dropout: Some(0.1),
        normalise: Some(Normalise::Window),
        ..ForecastChoices::default()
    };
    ForecastConfig::trials(&choices, &[9], panel).unwrap()
}

/// Files are written every so many steps.
struct Every {
    steps: u64,
    taken: u64,
    files: Checkpoints,
}

impl<F: Float> Keeper<F> for Every {
    fn due(&mut self) -> bool {
        self.taken += 1;
        self.taken.is_multiple_of(self.steps)
    }

    fn keep(&mut self, journal: &Journal<F>) -> Result<()> {
        self.files.keep(journal, &json!({ "seed": 1 }))
    }
}

/// What there is to see of a run.
#[derive(Debug, PartialEq)]
struct Seen<F> {
    evaluation: Evaluation,
    params: Vec<Vec<F>>,
    /// Of each network the reports, without those that were told again.
    reports: Vec<(Stage, Progress)>,
}

/// Trains until the end or for so many steps.
fn run<F: Float>(threads: usize, course: &mut Course<'_, F>, steps: u64) -> Option<Seen<F>> {
    let (cpu, values) = (Cpu::new(threads).unwrap(), series());
    let panel = [Member::alone(&values)];
    let (mut left, mut reports) = (steps, Vec::new());
    let mut watch = |stage: Stage, _: u64, report: Option<&Progress>| {
        reports.extend(report.map(|report| (stage, *report)));
        left = left.saturating_sub(1);
        if left == 0 { Flow::Stop } else { Flow::Continue }
    };
    let (held, evaluation, outcome) =
        Forecaster::<Cpu, F>::hold_out(&cpu, &trials(&panel), &panel, course, &mut watch).unwrap();
    if outcome.is_cut_short() {
        return None;
    }
    let (whole, outcome) =
        Forecaster::<Cpu, F>::fit_all(&cpu, &held, &panel, &evaluation, course, &mut watch).unwrap();
    let params = whole.networks().map(|(_, model)| model.download(&cpu).unwrap()).collect();
    (!outcome.is_cut_short()).then_some(Seen { evaluation, params, reports })
}

/// Stops after each of these numbers of steps, and goes on from the newest file.
fn in_pieces<F: Float>(pieces: &[u64], every: u64, damage: bool) -> Seen<F> {
    let folder = tempfile::tempdir().unwrap();
    for (index, steps) in pieces.iter().copied().chain([u64::MAX]).enumerate() {
        let mut files = Checkpoints::of(folder.path()).unwrap();
        let newest: Option<(Journal<F>, Value)> = files.newest().unwrap();
        let journal = newest.map_or_else(Journal::default, |(journal, run)| {
            assert_eq!(run, json!({ "seed": 1 }));
            journal
        });
        let mut keeper = Every { steps: every, taken: 0, files };
        if let Some(seen) = run(1 + index % 3, &mut Course::kept(journal, &mut keeper), steps) {
            keeper.files.clear().unwrap();
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
            return seen;
        }
        let mut kept: Vec<_> =
            fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!((1..=2).contains(&kept.len()), "{kept:?}");
        kept.sort_by_key(|path| (path.as_os_str().len(), path.clone()));
        if damage && kept.len() == 2 {
            let path = kept.pop().unwrap();
            let mut bytes = fs::read(&path).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 4;
            fs::write(path, bytes).unwrap();
        }
    }
    panic!("it never ends")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// On one to three threads in turn, with the newest file damaged or not.
    #[test]
    fn pieces_are_the_whole(
        pieces in prop::collection::vec(1..120u64, 1..6),
        every in prop::sample::select(vec![1, 7, 1000]),
        damage in any::<bool>(),
    ) {
        let whole = run::<f32>(1, &mut Course::default(), u64::MAX).unwrap();
        prop_assert_eq!(in_pieces::<f32>(&pieces, every, damage), whole);
    }
}

#[test]
fn pieces_are_the_whole_in_f64() {
    let whole = run::<f64>(1, &mut Course::default(), u64::MAX).unwrap();
    assert_eq!(in_pieces::<f64>(&[5, 50, 100], 10, true), whole);
}

#[test]
fn a_checkpoint_of_another_run_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut files = Checkpoints::of(folder.path()).unwrap();
    assert!(files.newest::<f32>().unwrap().is_none());
    let mut keeper = Every { steps: 3, taken: 0, files };
    assert!(run::<f32>(1, &mut Course::kept(Journal::default(), &mut keeper), 10).is_none());
    let (mut journal, _): (Journal<f32>, Value) = keeper.files.newest().unwrap().unwrap();
    assert!(keeper.files.newest::<f64>().is_err(), "numbers of another type");
    journal.current.as_mut().unwrap().state.params.pop();
    let (cpu, values) = (Cpu::new(1).unwrap(), series());
    let panel = [Member::alone(&values)];
    let course = &mut Course::kept(journal, &mut keeper);
    let error = Forecaster::<Cpu, f32>::hold_out(&cpu, &trials(&panel), &panel, course, &mut |_, _, _| {
        Flow::Continue
    });
    assert!(error.is_err_and(|error| error.to_string().contains("another number of parameters")));
}

/// Which checkpoint is the newest follows from its number: clocks jump.
#[test]
fn files_that_say_that_they_were_written_at_another_time_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut files = Checkpoints::of(folder.path()).unwrap();
    for run in 1..=2 {
        files.keep(&Journal::<f32>::default(), &json!(run)).unwrap();
    }
    let hour = std::time::Duration::from_secs(3600);
    for (name, since) in [("checkpoint-1.safetensors", 9 * hour), ("checkpoint-2.safetensors", hour)] {
        let file = fs::File::options().write(true).open(folder.path().join(name)).unwrap();
        file.set_modified(std::time::UNIX_EPOCH + since).unwrap();
    }
    let mut files = Checkpoints::of(folder.path()).unwrap();
    assert_eq!(files.newest::<f32>().unwrap().unwrap().1, json!(2));
    files.keep(&Journal::<f32>::default(), &json!(3)).unwrap();
    assert_eq!(Checkpoints::of(folder.path()).unwrap().run().unwrap(), Some(json!(3)));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
}
