//! Where batches come from: rows of a finite set in an order that the training loop chooses, or fresh
//! draws without end.

use crate::{Error, Result};
use lstm_data::generate::Draw;
use lstm_data::{Sequences, WindowSet};
use lstm_nn::{Loss, Network};
use lstm_tensor::Float;
use lstm_tensor::philox::{Philox, Purpose};

/// Sizes of one sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SampleShape {
    /// Steps `T` that are read.
    pub steps: usize,
    /// Columns `I` of each step.
    pub inputs: usize,
    /// Elements of the target: `O`, or `T O` where every step is read; of a loss that is an [`lstm_nn::Answer`]'s as many
    /// for each value as that has numbers of the target.
    pub targets: usize,
}

impl SampleShape {
    /// Refuses a network that reads or answers something else, for this loss.
    pub(crate) fn check(&self, network: &Network, loss: &Loss) -> Result<()> {
        let (_, columns) = loss.columns(network.outputs())?;
        let targets = network.output_rows(self.steps, 1) * columns;
        if self.inputs == network.inputs() && self.targets == targets {
            return Ok(());
        }
        Err(Error::Invalid {
            what: "network",
            value: format!("one of {} inputs and {targets} outputs per sample", network.inputs()),
            must: format!("one of {} inputs and {} outputs, as the data", self.inputs, self.targets),
        })
    }
}

/// Which samples a batch holds.
#[derive(Clone, Copy, Debug)]
pub enum Rows<'a> {
    /// These, by index.
    Chosen(&'a [usize]),
    /// New ones, a pure function of (seed, step).
    Fresh(Fresh),
}

/// Address of a batch of new samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fresh {
    /// Seed of the run.
    pub seed: u64,
    /// Optimizer step, from 0.
    pub step: u32,
    /// Number of samples.
    pub count: usize,
}

impl Fresh {
    /// The random stream of this batch.
    #[must_use]
    pub fn stream(&self) -> Philox {
        Philox::new(self.seed, Purpose::Data, self.step)
    }
}

/// Where batches come from.
pub trait Source<F: Float> {
    /// Sizes of one sample.
    fn shape(&self) -> SampleShape;

    /// Number of samples of a finite set.
    fn samples(&self) -> Option<usize>;

    /// Fills a batch, time first: `x [T, B, I]`, `y [B, O]` or `[T, B, O]`. A finite set is asked for
    /// [`Rows::Chosen`], an endless one for [`Rows::Fresh`].
    ///
    /// # Errors
    /// Of the data.
    fn fill(&self, rows: Rows<'_>, x: &mut [F], y: &mut [F]) -> Result<()>;

    /// What people call a sample of a finite set.
    fn called(&self, sample: usize) -> String {
        format!("sample {sample}")
    }
}

/// A finite set of whole sequences.
#[derive(Clone, Copy, Debug)]
pub struct SequenceSource<'a>(pub &'a Sequences);

impl<F: Float + lstm_data::Element> Source<F> for SequenceSource<'_> {
    fn shape(&self) -> SampleShape {
        let (steps, _, inputs) = self.0.inputs.dim();
        let (read, _, outputs) = self.0.targets.dim();
        SampleShape { steps, inputs, targets: read * outputs }
    }

    fn samples(&self) -> Option<usize> {
        Some(self.0.rows())
    }

    fn fill(&self, rows: Rows<'_>, x: &mut [F], y: &mut [F]) -> Result<()> {
        match rows {
            Rows::Chosen(rows) => Ok(self.0.fill_batch(rows, x, y)?),
            Rows::Fresh(fresh) => {
                let mut stream = fresh.stream();
                let draw = |_| lstm_data::random_start(self.0.rows(), &mut stream);
                let rows: Vec<usize> = (0..fresh.count).map(draw).collect();
                Ok(self.0.fill_batch(&rows, x, y)?)
            }
        }
    }
}

/// Windows drawn anew for every batch, each start equally likely.
#[derive(Clone, Debug)]
pub struct RandomWindows<'a>(pub WindowSet<'a>);

impl<F: Float + lstm_data::Element> Source<F> for RandomWindows<'_> {
    fn shape(&self) -> SampleShape {
        let steps = self.0.windows().lookback;
        SampleShape { steps, inputs: self.0.x_len(1) / steps, targets: self.0.y_len(1) }
    }

    fn samples(&self) -> Option<usize> {
        None
    }

    fn fill(&self, rows: Rows<'_>, x: &mut [F], y: &mut [F]) -> Result<()> {
        let starts: Vec<usize> = match rows {
            Rows::Chosen(starts) => starts.to_vec(),
            Rows::Fresh(fresh) => {
                let mut stream = fresh.stream();
                (0..fresh.count).map(|_| lstm_data::random_start(self.0.count(), &mut stream)).collect()
            }
        };
        self.0.fill_batch(&starts, x, y)?;
        Ok(())
    }
}

/// Sequences drawn anew for every batch.
#[derive(Clone, Copy, Debug)]
pub struct Drawn<G>(pub G);

impl<F: Float + lstm_data::Element, G: Draw> Source<F> for Drawn<G> {
    fn shape(&self) -> SampleShape {
        let [steps, read, outputs] = self.0.dims();
        SampleShape { steps, inputs: 1, targets: read * outputs }
    }

    fn samples(&self) -> Option<usize> {
        None
    }

    fn fill(&self, rows: Rows<'_>, x: &mut [F], y: &mut [F]) -> Result<()> {
        let Rows::Fresh(fresh) = rows else {
            let value = "chosen rows".into();
            return Err(Error::Invalid { what: "batch", value, must: "fresh: this data has no end".into() });
        };
        let drawn = self.0.draw(fresh.count, &mut fresh.stream())?;
        let all: Vec<usize> = (0..fresh.count).collect();
        Ok(drawn.fill_batch(&all, x, y)?)
    }
}
