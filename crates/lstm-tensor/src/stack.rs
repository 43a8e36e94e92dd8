//! What a stack of LSTM layers is, and the shape of a batch that passes through it.

use crate::{Error, ParamLayout, Result};
use serde::{Deserialize, Serialize};

/// Bias vectors of a cell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bias {
    /// No bias.
    None,
    /// One vector, `bias_ih`.
    One,
    /// Two vectors that are added, as in PyTorch and cuDNN.
    #[default]
    Two,
}

/// Directions in which a layer reads the sequence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// From the first step to the last.
    #[default]
    Forward,
    /// Both ways; the outputs stand side by side.
    Both,
}

/// Options of an LSTM cell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct CellSpec {
    /// Bias vectors.
    pub bias: Bias,
    /// Added to the forget gate's pre-activation at run time, as TensorFlow 1 does; not a parameter.
    pub forget_bias: f64,
}

/// One layer of a stack.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct LayerSpec {
    /// Hidden units `H`.
    pub hidden: usize,
    /// State width `P`: `hidden`, unless a projection makes it smaller.
    pub state: usize,
    /// Cell options.
    pub cell: CellSpec,
    /// Directions.
    pub direction: Direction,
    /// Probability of dropping an element of the layer's input, fresh at every step.
    pub dropout_input: f64,
    /// Probability of dropping an element of the layer's output, fresh at every step.
    pub dropout_output: f64,
}

impl LayerSpec {
    /// A forward layer of `hidden` units with two biases and no dropout.
    #[must_use]
    pub fn new(hidden: usize) -> Self {
        Self {
            hidden,
            state: hidden,
            cell: CellSpec::default(),
            direction: Direction::Forward,
            dropout_input: 0.0,
            dropout_output: 0.0,
        }
    }

    /// Sets the bias vectors.
    #[must_use]
    pub fn bias(mut self, bias: Bias) -> Self {
        self.cell.bias = bias;
        self
    }

    /// Sets the run-time forget bias.
    #[must_use]
    pub fn forget_bias(mut self, forget_bias: f64) -> Self {
        self.cell.forget_bias = forget_bias;
        self
    }

    /// Sets the dropout probabilities of input and output.
    #[must_use]
    pub fn dropout(mut self, input: f64, output: f64) -> Self {
        (self.dropout_input, self.dropout_output) = (input, output);
        self
    }

    /// Sets the state width of a projected layer.
    #[must_use]
    pub fn project(mut self, state: usize) -> Self {
        self.state = state;
        self
    }

    /// Sets the directions.
    #[must_use]
    pub fn direction(mut self, direction: Direction) -> Self {
        self.direction = direction;
        self
    }

    /// Columns of the layer's output: `P`, or `2 P` for both directions.
    #[must_use]
    pub fn output(&self) -> usize {
        self.state * if self.direction == Direction::Both { 2 } else { 1 }
    }
}

/// A stack of layers, each reading the one below.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct StackSpec {
    /// Input columns `I`.
    pub input: usize,
    /// Layers from the bottom up.
    pub layers: Vec<LayerSpec>,
    /// Probability of dropping an element between two layers (PyTorch's `dropout`).
    pub dropout_between: f64,
    /// Number of independent models of this shape that run as one.
    pub models: usize,
}

impl StackSpec {
    /// A stack of `layers` over `input` columns.
    #[must_use]
    pub fn new(input: usize, layers: Vec<LayerSpec>) -> Self {
        Self { input, layers, dropout_between: 0.0, models: 1 }
    }

    /// `count` equal layers of `hidden` units.
    #[must_use]
    pub fn uniform(input: usize, hidden: usize, count: usize) -> Self {
        Self::new(input, vec![LayerSpec::new(hidden); count])
    }

    /// Sets the dropout between layers.
    #[must_use]
    pub fn dropout_between(mut self, probability: f64) -> Self {
        self.dropout_between = probability;
        self
    }

    /// Sets the number of models.
    #[must_use]
    pub fn models(mut self, models: usize) -> Self {
        self.models = models;
        self
    }

    /// Input columns of layer `l`.
    #[must_use]
    pub fn input_of(&self, l: usize) -> usize {
        if l == 0 { self.input } else { self.layers[l - 1].output() }
    }

    /// Columns of the last layer's output.
    #[must_use]
    pub fn output(&self) -> usize {
        self.layers.last().map_or(0, LayerSpec::output)
    }

    /// Whether a training pass draws random numbers.
    #[must_use]
    pub fn has_dropout(&self) -> bool {
        (self.dropout_between > 0.0 && self.layers.len() > 1)
            || self.layers.iter().any(|l| l.dropout_input > 0.0 || l.dropout_output > 0.0)
    }

    /// Elements of the hidden (`B P` summed over layers and directions) and of the cell state
    /// (`B H`), for `rows` rows. With equal widths that is `[L D, B, P]` and `[L D, B, H]`.
    #[must_use]
    pub fn state_len(&self, rows: usize) -> (usize, usize) {
        self.state_offset(self.layers.len(), rows)
    }

    /// Offsets of layer `l` in the hidden and in the cell state.
    #[must_use]
    pub fn state_offset(&self, l: usize, rows: usize) -> (usize, usize) {
        self.layers[..l].iter().fold((0, 0), |(h, c), layer| {
            let directions = layer.output() / layer.state.max(1);
            (h + rows * layer.output(), c + rows * layer.hidden * directions)
        })
    }

    /// Checks sizes and probabilities.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming the option.
    pub fn validate(&self) -> Result<()> {
        let size = |what, value: usize| {
            if value == 0 || value > 1 << 20 {
                return Err(Error::Invalid { what, value: value.to_string(), must: "from 1 to 1048576" });
            }
            Ok(())
        };
        let probability = |what, value: f64| {
            if (0.0..1.0).contains(&value) {
                return Ok(());
            }
            Err(Error::Invalid { what, value: value.to_string(), must: "at least 0 and below 1" })
        };
        size("input", self.input)?;
        size("models", self.models)?;
        if self.layers.is_empty() || self.layers.len() > 256 {
            let value = self.layers.len().to_string();
            return Err(Error::Invalid { what: "number of layers", value, must: "from 1 to 256" });
        }
        probability("dropout between layers", self.dropout_between)?;
        for layer in &self.layers {
            size("hidden", layer.hidden)?;
            size("state width", layer.state)?;
            if layer.state > layer.hidden {
                let value = layer.state.to_string();
                return Err(Error::Invalid { what: "state width", value, must: "at most hidden" });
            }
            probability("dropout on a layer's input", layer.dropout_input)?;
            probability("dropout on a layer's output", layer.dropout_output)?;
            if !layer.cell.forget_bias.is_finite() {
                let value = layer.cell.forget_bias.to_string();
                return Err(Error::Invalid { what: "forget bias", value, must: "finite" });
            }
        }
        Ok(())
    }

    /// Names and shapes of the parameters under PyTorch's names, each prefixed with `prefix`.
    ///
    /// # Shapes
    /// `weight_ih_l0 [4H, I]`, `weight_hh_l0 [4H, P]`, `bias_ih_l0 [4H]`, `bias_hh_l0 [4H]`,
    /// `weight_hr_l0 [P, H]` with a projection; `_reverse` for the reverse direction.
    #[must_use]
    pub fn param_layout(&self, prefix: &str) -> ParamLayout {
        let mut layout = ParamLayout::new();
        for (l, layer) in self.layers.iter().enumerate() {
            let gates = 4 * layer.hidden;
            let suffixes: &[&str] = match layer.direction {
                Direction::Forward => &[""],
                Direction::Both => &["", "_reverse"],
            };
            for suffix in suffixes {
                let name = |tensor: &str| format!("{prefix}{tensor}_l{l}{suffix}");
                layout.push(name("weight_ih"), &[gates, self.input_of(l)]);
                layout.push(name("weight_hh"), &[gates, layer.state]);
                if layer.cell.bias != Bias::None {
                    layout.push(name("bias_ih"), &[gates]);
                }
                if layer.cell.bias == Bias::Two {
                    layout.push(name("bias_hh"), &[gates]);
                }
                if layer.state != layer.hidden {
                    layout.push(name("weight_hr"), &[layer.state, layer.hidden]);
                }
            }
        }
        layout
    }
}

/// Shape of a batch of sequences.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BatchShape {
    /// Steps `T`.
    pub steps: usize,
    /// Rows `B`.
    pub rows: usize,
    /// Steps of each row, where rows differ.
    pub lengths: Option<Vec<usize>>,
}

impl BatchShape {
    /// `rows` sequences of `steps` steps each.
    #[must_use]
    pub fn new(steps: usize, rows: usize) -> Self {
        Self { steps, rows, lengths: None }
    }

    /// Rows of different length, at most `steps` each.
    #[must_use]
    pub fn ragged(steps: usize, lengths: Vec<usize>) -> Self {
        Self { steps, rows: lengths.len(), lengths: Some(lengths) }
    }
}

/// What a pass is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    /// Forward only: no dropout, a tape of two rows of state.
    Infer,
    /// Forward and backward.
    Train,
}

/// Which implementation of the stack runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum KernelChoice {
    /// The backend's routing decides.
    #[default]
    Auto,
    /// The composed operations of [`reference`](crate::reference).
    Reference,
    /// The backend's own fused kernel.
    Fused,
    /// One launch for the whole sequence of each layer whose recurrent weights fit into the registers and shared memory of a block, of a cluster of blocks, or of all blocks that run at once; on GPUs alone.
    Persistent,
}
