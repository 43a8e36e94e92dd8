//! The shape of a model: an embedding, a stack, which of its outputs are read, and a linear head.

use crate::{Error, Result};
use lstm_tensor::{LayerSpec, ParamLayout, StackSpec};
use serde::{Deserialize, Serialize};

/// Which steps of the stack's output are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Readout {
    /// The last step only: one row of output per sequence, e.g. a block of the whole horizon.
    #[default]
    Last,
    /// Every step: `T` rows of output per sequence.
    Every,
}

/// The shape of a model, plain data.
///
/// ```
/// use lstm_nn::{Network, Readout};
/// let network = Network::new(1).lstm(32).lstm(16).head(Readout::Last, 12);
/// assert_eq!(network.outputs(), 12);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// LSTM layers.
    pub stack: StackSpec,
    /// Columns of the input where an embedding turns each step into what the stack reads, `max(0, W x + b)`; without one
    /// the stack reads the input itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedding: Option<usize>,
    /// Steps that are read.
    pub readout: Readout,
    /// Columns of the linear head; without one the hidden state itself is the output.
    pub head: Option<usize>,
}

impl Network {
    /// A network over `inputs` columns, without layers yet, reading the last step without a head.
    #[must_use]
    pub fn new(inputs: usize) -> Self {
        let stack = StackSpec::new(inputs, Vec::new());
        Self { stack, embedding: None, readout: Readout::Last, head: None }
    }

    /// Sets an embedding of `units` columns between input and stack.
    #[must_use]
    pub fn embed(mut self, units: usize) -> Self {
        self.embedding = Some(self.inputs());
        self.stack.input = units;
        self
    }

    /// Adds a layer of `hidden` units.
    #[must_use]
    pub fn lstm(self, hidden: usize) -> Self {
        self.layer(LayerSpec::new(hidden))
    }

    /// Adds a layer.
    #[must_use]
    pub fn layer(mut self, layer: LayerSpec) -> Self {
        self.stack.layers.push(layer);
        self
    }

    /// Sets the readout and adds a linear head of `outputs` columns.
    #[must_use]
    pub fn head(mut self, readout: Readout, outputs: usize) -> Self {
        self.readout = readout;
        self.head = Some(outputs);
        self
    }

    /// Sets the readout of a network without a head.
    #[must_use]
    pub fn read(mut self, readout: Readout) -> Self {
        self.readout = readout;
        self
    }

    /// Input columns `I`.
    #[must_use]
    pub fn inputs(&self) -> usize {
        self.embedding.unwrap_or(self.stack.input)
    }

    /// Output columns `O`.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.head.unwrap_or_else(|| self.stack.output())
    }

    /// Rows of output for `rows` sequences of `steps` steps.
    #[must_use]
    pub fn output_rows(&self, steps: usize, rows: usize) -> usize {
        match self.readout {
            Readout::Last => rows,
            Readout::Every => steps * rows,
        }
    }

    /// Checks sizes and probabilities.
    ///
    /// # Errors
    /// [`Error::Invalid`], or [`lstm_tensor::Error::Invalid`] for the stack.
    pub fn validate(&self) -> Result<()> {
        self.stack.validate()?;
        for (what, columns) in
            [("inputs of the embedding", self.embedding), ("outputs of the head", self.head)]
        {
            if let Some(columns @ (0 | 1_048_577..)) = columns {
                return Err(Error::Invalid {
                    what,
                    value: columns.to_string(),
                    must: "from 1 to 1048576".into(),
                });
            }
        }
        Ok(())
    }

    /// Names, shapes and places of all parameters: `lstm.*` under PyTorch's names, `head.weight
    /// [O, H]`, `head.bias [O]`, `embedding.weight [E, I]`, `embedding.bias [E]`.
    #[must_use]
    pub fn param_layout(&self) -> ParamLayout {
        let mut layout = self.stack.param_layout("lstm.");
        if let Some(outputs) = self.head {
            layout.push("head.weight", &[outputs, self.stack.output()]);
            layout.push("head.bias", &[outputs]);
        }
        if let Some(inputs) = self.embedding {
            layout.push("embedding.weight", &[self.stack.input, inputs]);
            layout.push("embedding.bias", &[self.stack.input]);
        }
        layout
    }
}
