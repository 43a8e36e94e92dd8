//! Sizes of a network and of its batch.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use lstm_nn::{Network, Readout};
use serde::{Deserialize, Serialize};

/// Sizes of a network and of its batch, as they stand in a file of shapes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shape {
    /// Name, unique in a file.
    pub name: String,
    /// Batch rows `B`.
    pub batch: usize,
    /// Steps `T`.
    pub steps: usize,
    /// Input columns `I`.
    pub inputs: usize,
    /// Hidden units `H` of each layer.
    pub hidden: Vec<usize>,
    /// Columns of the linear head; 0 for none, so that the hidden state is the output.
    #[serde(default = "one")]
    pub outputs: usize,
    /// Element type.
    #[serde(default)]
    pub dtype: Dtype,
    /// Steps that are read.
    #[serde(default)]
    pub readout: Read,
    /// Measures no training.
    #[serde(default)]
    pub infer_only: bool,
    /// Inference feeds one step at a time and carries the state; `steps` must be 1.
    #[serde(default)]
    pub stream: bool,
    /// Tiny weights, no bias and an input that falls silent, so that states and gradients decay until they
    /// are denormal.
    #[serde(default)]
    pub decaying: bool,
}

fn one() -> usize {
    1
}

/// Element type of a shape.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// Single precision.
    #[default]
    F32,
    /// Double precision.
    F64,
}

impl Dtype {
    /// Bytes of an element.
    #[must_use]
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => size_of::<f32>(),
            Self::F64 => size_of::<f64>(),
        }
    }
}

/// Steps that are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Read {
    /// The last one.
    #[default]
    Last,
    /// All of them.
    All,
}

impl Shape {
    /// The shapes of a file: a JSON list.
    ///
    /// # Errors
    /// If the file cannot be read, is no such list, or has a shape that no network can have.
    pub fn read(path: &Path) -> Result<Vec<Self>> {
        let text = std::fs::read_to_string(path);
        let text = text.with_context(|| format!("{} cannot be read", path.display()))?;
        Self::parse(&text).with_context(|| format!("{} is no list of shapes", path.display()))
    }

    /// The shapes that are measured unless others are named.
    ///
    /// # Errors
    /// None, as a test has read them.
    pub fn defaults() -> Result<Vec<Self>> {
        Self::parse(include_str!("../shapes.json"))
    }

    fn parse(text: &str) -> Result<Vec<Self>> {
        let shapes: Vec<Self> = serde_json::from_str(text)?;
        for (index, shape) in shapes.iter().enumerate() {
            let name = &shape.name;
            ensure!(shapes[..index].iter().all(|other| other.name != *name), "two shapes are called {name}");
            shape.validate().with_context(|| format!("shape {name}"))?;
        }
        Ok(shapes)
    }

    fn validate(&self) -> Result<()> {
        ensure!(self.batch > 0 && self.steps > 0, "batch and steps must be at least 1");
        ensure!(!self.stream || self.steps == 1, "a stream is fed one step at a time: steps must be 1");
        ensure!(!self.stream || self.infer_only, "a stream does not train: infer_only must be true");
        Ok(self.network().validate()?)
    }

    /// In f32, with one output, of which the last step is read; of `inputs` columns for `steps` steps and `batch`
    /// rows.
    #[must_use]
    pub fn new(name: String, [batch, steps, inputs]: [usize; 3], hidden: Vec<usize>) -> Self {
        let (outputs, dtype, readout) = (one(), Dtype::default(), Read::default());
        let (infer_only, stream, decaying) = (false, false, false);
        Self { name, batch, steps, inputs, hidden, outputs, dtype, readout, infer_only, stream, decaying }
    }

    /// The network of these sizes.
    #[must_use]
    pub fn network(&self) -> Network {
        let readout = match self.readout {
            Read::Last => Readout::Last,
            Read::All => Readout::Every,
        };
        let stack =
            self.hidden.iter().fold(Network::new(self.inputs), |network, &hidden| network.lstm(hidden));
        match self.outputs {
            0 => stack.read(readout),
            outputs => stack.head(readout, outputs),
        }
    }

    /// Operations of a forward pass in 10⁹: `8 H (I + H)` for each step, row and layer. A training step
    /// counts three times as many.
    #[must_use]
    pub fn gflop(&self) -> f64 {
        (self.batch * self.steps * 2 * self.weights()) as f64 / 1e9
    }

    /// Weights of all layers, `4 H (I + H)` each: no biases, no head.
    #[must_use]
    pub fn weights(&self) -> usize {
        let inputs = std::iter::once(&self.inputs).chain(&self.hidden);
        inputs.zip(&self.hidden).map(|(i, h)| 4 * h * (i + h)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_shapes_are_valid_and_have_names_of_their_own() {
        let shapes = Shape::defaults().unwrap();
        assert!(shapes.len() >= 20, "{}", shapes.len());
        assert!(shapes.iter().any(|shape| shape.stream) && shapes.iter().any(|shape| shape.decaying));
    }

    #[test]
    fn operations_are_those_of_the_gates() {
        let text = r#"[{"name": "a", "batch": 2, "steps": 5, "inputs": 3, "hidden": [4, 6]}]"#;
        let shape = &Shape::parse(text).unwrap()[0];
        assert_eq!(shape.gflop(), 10.0 * (8.0 * 4.0 * 7.0 + 8.0 * 6.0 * 10.0) / 1e9);
    }

    #[test]
    fn what_no_network_can_have_is_refused() {
        let shape =
            |fields: &str| format!(r#"[{{"name": "a", "batch": 2, "inputs": 3, "hidden": [4], {fields}}}]"#);
        Shape::parse(&shape("\"steps\": 5")).unwrap();
        for fields in ["\"steps\": 0", "\"steps\": 5, \"stream\": true", "\"steps\": 5, \"units\": 3"] {
            assert!(Shape::parse(&shape(fields)).is_err(), "{fields}");
        }
    }
}
