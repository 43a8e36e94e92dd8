//! Clock times drawn anew for every batch: the error of every output, also of those that were not trained.

use lstm_data::Element;
use lstm_data::generate::{Draw, TimeInput};
use lstm_nn::{Model, Network, Readout};
use lstm_tensor::{Backend, Float};
use lstm_train::Drawn;

use super::super::cell::{Cell, Shown, rounded};
use super::super::data::Times;
use super::{Trial, mean, mse, named, predict};
use crate::failure::Result;

/// Item of the stream of random numbers.
const TEST: u32 = 0;

impl Trial<'_> {
    pub(super) fn times<B: Backend, F: Float + Element>(
        &mut self,
        backend: &B,
        cell: &mut Cell,
        times: &Times,
    ) -> Result<()> {
        let Times { generator, test, shown, longest } = times;
        let trained = self.train::<B, F, _>(backend, &Drawn(*generator), cell, None)?;

        // The same parameters, read at every step.
        let experiment = self.experiment;
        let every = Network { readout: Readout::Every, ..experiment.network.network() };
        let mut model = Model::<B, F>::new(backend, every, &experiment.init, self.seed)?;
        let whole = TimeInput { every_step: true, inputs: *longest, ..*generator };
        let one = whole.at(&[*shown])?;
        let outputs = |model: &Model<B, F>| -> Result<Vec<f64>> {
            Ok(predict(backend, model, &one)?.into_iter().map(rounded).collect())
        };
        let before = outputs(&model)?;
        model.upload(backend, &trained.model.download(backend)?)?;
        let after = outputs(&model)?;

        let data = whole.draw(*test, &mut self.stream(TEST))?;
        let predictions = predict(backend, &model, &data)?;
        let targets: Vec<f64> = data.targets.iter().copied().collect();
        let steps = predictions.chunks(*test).zip(targets.chunks(*test));
        let errors: Vec<f64> = steps.map(|(predicted, wanted)| mse(predicted, wanted)).collect();
        let (read, beyond) = errors.split_at(generator.inputs);
        cell.figures.extend(
            [
                ("last-step-mse", read[read.len() - 1]),
                ("first-step-mse", read[0]),
                ("every-step-mse", mean(read)),
            ]
            .map(named),
        );
        if !beyond.is_empty() {
            cell.figures.insert("longer-mse".into(), mean(beyond));
        }
        let errors = errors.into_iter().map(rounded).collect();
        cell.shown = Shown::Times { before, after, errors };
        Ok(())
    }
}
