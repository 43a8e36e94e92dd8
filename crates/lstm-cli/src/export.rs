//! `lstm export`: a trained model in a form that other programs read.

use lstm_data::Element;
use lstm_nn::{durable, saved};
use lstm_tensor::{Backend, Float};
use lstm_train::forecaster::{Base, ForecastConfig, Head, Normalise};
use serde_json::json;

use crate::args::{Export, Form};
use crate::device::{self, Job, Work};
use crate::failure::{Failure, Result};
use crate::output;
use crate::run::{Saved, kept};
use crate::settings::{Dtype, Machine};
use crate::value::Whole;

/// Writes the file.
///
/// # Errors
/// A model failure for a model that has no such form, a usage failure where the file exists.
pub(crate) fn run(args: &Export) -> Result<()> {
    let saved = Saved::read(&args.run)?;
    let chosen = Chosen::new(&saved, args.network)?;
    let path = args.out.clone().unwrap_or_else(|| match args.to {
        Form::TorchLstm => saved.folder().join("torch-lstm.safetensors"),
    });
    if path.exists() && !args.force {
        return Err(Failure::usage(format!(
            "{} exists already; name another file with --out, or pass --force to replace it",
            path.display()
        )));
    }
    // Nothing is computed: the weights only take other names.
    let place = device::open(&Machine::default(), Work::Forecasting, saved.dtype())?;
    let bytes = place
        .run(Convert { chosen: &chosen, form: args.to })?
        .map_err(|error| Failure::model(format!("{}: {error}", saved.path.display())))?;
    durable::write(&path, &bytes)?;
    if args.say.json {
        return output::print_json(&json!({
            "file": path,
            "bytes": bytes.len(),
            "constructor": chosen.constructor(),
            "network": chosen.index + 1,
            "networks": saved.model.networks(),
            "inputs": chosen.inputs(),
            "head": chosen.head(),
        }));
    }
    if args.say.quiet {
        return Ok(());
    }
    let of = match saved.model.networks() {
        1 => String::new(),
        count => format!(", network {} of {count} whose forecasts are averaged", chosen.index + 1),
    };
    let text = format!(
        "{}: {} bytes for {}{of}\nInputs: {}.\n{}\n",
        path.display(),
        bytes.len(),
        chosen.constructor(),
        chosen.inputs(),
        chosen.head()
    );
    output::print(text.as_bytes())
}

/// One of the model's networks.
struct Chosen<'a> {
    saved: &'a Saved,
    index: usize,
    /// The number of its settings among those of the model, and they.
    way: usize,
    config: &'a ForecastConfig,
}

impl<'a> Chosen<'a> {
    fn new(saved: &'a Saved, number: Option<Whole<1, 100>>) -> Result<Self> {
        let (index, (way, config)) = saved.network(number)?;
        Ok(Self { saved, index, way, config })
    }

    /// The call in Python that makes a module of the file's shape: inputs, hidden units, layers.
    fn constructor(&self) -> String {
        let ForecastConfig { hidden, layers, .. } = self.config;
        let dtype = if self.saved.dtype() == Dtype::F64 { ", dtype=torch.float64" } else { "" };
        format!("torch.nn.LSTM({}, {hidden}, {layers}{dtype})", self.config.network().stack.input)
    }

    /// What the columns of a step are, as [`lstm_train::forecaster`] makes them.
    fn inputs(&self) -> String {
        let config = self.config;
        let by = match config.normalise {
            Normalise::Window => {
                format!("the standard deviation of the {} rows that it reads", config.lookback)
            }
            Normalise::Series => "the standard deviation of the series".into(),
            Normalise::Log => format!(
                "the standard deviation of the {} rows that it reads, all of these being logarithms",
                config.lookback
            ),
        };
        let base = match config.base {
            Base::Last => "the last value".into(),
            Base::Season => format!("the value {} steps before", config.season),
            Base::Linear => format!("the linear forecast (task.{})", kept::linear(self.way)),
        };
        let embedded = if config.embedding > 0 {
            let [weight, bias] = self.tensors("embedding");
            format!("max(0, W x + b), with W and b {weight} and {bias} in {}, of ", self.saved.path.display())
        } else {
            String::new()
        };
        format!(
            "{embedded}steps of {}, the last value subtracted, over {by}; in the steps ahead {base} takes the place of the \
             values; then covariates, the share of the horizon, and which series it is",
            values(config.segment)
        )
    }

    /// Names of a part's weight and bias in the model file.
    fn tensors(&self, part: &str) -> [String; 2] {
        ["weight", "bias"].map(|name| saved::name_of(self.index, &format!("{part}.{name}")))
    }

    /// What is left out.
    fn head(&self) -> String {
        let config = self.config;
        let says = match config.head.answer() {
            None => format!("{} of the forecast", values(config.segment)),
            Some(answer) => format!(
                "{} blocks of {}, the numbers of a {}",
                answer.parameters(),
                values(config.segment),
                match config.head {
                    Head::Quantile => "median and of steps from it to the other quantiles",
                    Head::Gaussian => "normal distribution",
                    Head::StudentT => "Student's t distribution",
                    _ => "negative binomial distribution",
                }
            ),
        };
        let [weight, bias] = self.tensors("head");
        let fed = if config.feedback {
            " So is what the last forecasts missed, which the program feeds back."
        } else {
            ""
        };
        format!(
            "The head, which turns each hidden state into {says}, is left out: it is {weight} and {bias} in {}.{fed}",
            self.saved.path.display()
        )
    }
}

fn values(count: usize) -> String {
    if count == 1 { "1 value".into() } else { format!("{count} values") }
}

struct Convert<'a> {
    chosen: &'a Chosen<'a>,
    form: Form,
}

impl Job for Convert<'_> {
    type Output = lstm_nn::Result<Vec<u8>>;

    fn run<B: Backend, F: Float + Element>(self, backend: &B) -> Result<Self::Output> {
        let model = self.chosen.saved.model.load_nth::<B, F>(backend, self.chosen.index)?;
        Ok(match self.form {
            Form::TorchLstm => saved::to_torch_lstm(backend, &model),
        })
    }
}
