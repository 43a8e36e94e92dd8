//! Initial parameters, each tensor a pure function of (seed, index of the tensor).

use crate::{Error, Network, Result};
use lstm_tensor::philox::{Philox, Purpose};
use lstm_tensor::{Bias, ParamEntry};
use serde::{Deserialize, Serialize};

/// How a tensor is filled.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Init {
    /// Uniform in `±1/√H` (in a head or embedding: `±1/√inputs`), as PyTorch does.
    Torch,
    /// Uniform in `±√(6 / (fan_in + fan_out))` of the tensor itself (Glorot and Bengio 2010).
    Glorot,
    /// Glorot with the fans of TensorFlow 1's joint kernel `[I + H, 4H]`.
    GlorotJoint,
    /// Orthonormal columns (or rows, where they are fewer), from Gaussian ones by Gram and Schmidt
    /// (Saxe 2013).
    Orthogonal,
    /// Normal with mean 0.
    Normal {
        /// Standard deviation.
        std: f64,
    },
    /// Uniform in `±bound`.
    Uniform {
        /// Largest absolute value.
        bound: f64,
    },
    /// All zero.
    Zeros,
}

/// How each kind of tensor is filled.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct InitSpec {
    /// `weight_ih`, and the weight of an embedding.
    pub input: Init,
    /// `weight_hh`.
    pub recurrent: Init,
    /// `bias_ih` and `bias_hh`, and the bias of an embedding.
    pub bias: Init,
    /// Stored forget bias: replaces what `bias` put into the forget gate's part of `bias_ih`, and
    /// zeroes that of `bias_hh`. Unlike the run-time forget bias of a cell it is trained, saved and
    /// decayed like any parameter.
    pub stored_forget_bias: Option<f64>,
    /// `head.weight`.
    pub head_weight: Init,
    /// `head.bias`.
    pub head_bias: Init,
}

impl Default for InitSpec {
    fn default() -> Self {
        Self::torch()
    }
}

impl InitSpec {
    /// Everything as PyTorch's `nn.LSTM` and `nn.Linear` do.
    #[must_use]
    pub const fn torch() -> Self {
        Self {
            input: Init::Torch,
            recurrent: Init::Torch,
            bias: Init::Torch,
            stored_forget_bias: None,
            head_weight: Init::Torch,
            head_bias: Init::Torch,
        }
    }

    /// Cells as TensorFlow 1's `BasicLSTMCell`: joint Glorot kernel, zero bias (its forget bias is
    /// the cell's, added at run time); a Glorot head with zero bias.
    #[must_use]
    pub const fn tf1() -> Self {
        Self {
            input: Init::GlorotJoint,
            recurrent: Init::GlorotJoint,
            bias: Init::Zeros,
            stored_forget_bias: None,
            head_weight: Init::Glorot,
            head_bias: Init::Zeros,
        }
    }

    /// Values of every tensor of `network`, in the order of its layout.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a standard deviation, bound or forget bias that is no finite number, and
    /// for a stored forget bias where there is no bias.
    pub fn values(&self, network: &Network, seed: u64) -> Result<Vec<Vec<f64>>> {
        self.validate(network)?;
        let layout = network.param_layout();
        Ok(layout
            .entries()
            .iter()
            .enumerate()
            .map(|(index, entry)| {
                let mut stream = Philox::new(seed, Purpose::Parameters, index as u32);
                self.tensor(network, entry, &mut stream)
            })
            .collect())
    }

    fn validate(&self, network: &Network) -> Result<()> {
        let finite = |what, value: f64, least: f64| {
            if value.is_finite() && value >= least {
                return Ok(());
            }
            Err(Error::Invalid {
                what,
                value: value.to_string(),
                must: "a finite number, not negative".into(),
            })
        };
        for init in [self.input, self.recurrent, self.bias, self.head_weight, self.head_bias] {
            match init {
                Init::Normal { std } => finite("std of an initialiser", std, 0.0)?,
                Init::Uniform { bound } => finite("bound of an initialiser", bound, 0.0)?,
                _ => {}
            }
        }
        if let Some(bias) = self.stored_forget_bias {
            finite("stored forget bias", bias, f64::MIN)?;
            if network.stack.layers.iter().any(|layer| layer.cell.bias == Bias::None) {
                return Err(Error::Invalid {
                    what: "stored forget bias",
                    value: bias.to_string(),
                    must: "absent for a layer without bias".into(),
                });
            }
        }
        Ok(())
    }

    fn tensor(&self, network: &Network, entry: &ParamEntry, stream: &mut Philox) -> Vec<f64> {
        let (name, shape) = (entry.name.as_str(), entry.shape.as_slice());
        let (rows, cols) = (shape[0], shape.get(1).copied().unwrap_or(1));
        if let Some(part) = name.strip_prefix("head.") {
            let init = if part == "weight" { self.head_weight } else { self.head_bias };
            let inputs = network.stack.output();
            return fill(init, rows, cols, [inputs, inputs + rows, inputs + rows], stream);
        }
        if let Some(part) = name.strip_prefix("embedding.") {
            let init = if part == "weight" { self.input } else { self.bias };
            let inputs = network.inputs();
            return fill(init, rows, cols, [inputs, inputs + rows, inputs + rows], stream);
        }
        let hidden = rows / 4;
        let layer = layer_of(name);
        let inputs = network.stack.input_of(layer);
        let joint = inputs + hidden + 4 * hidden;
        let init = match name {
            _ if name.starts_with("lstm.weight_ih") => self.input,
            _ if name.starts_with("lstm.weight_hh") => self.recurrent,
            _ => self.bias,
        };
        let mut values = fill(init, rows, cols, [hidden.max(1), rows + cols, joint], stream);
        if let (Some(bias), true) = (self.stored_forget_bias, name.starts_with("lstm.bias")) {
            let stored = if name.starts_with("lstm.bias_ih") { bias } else { 0.0 };
            values[hidden..2 * hidden].fill(stored);
        }
        values
    }
}

/// The layer that a name like `lstm.weight_ih_l3` belongs to.
fn layer_of(name: &str) -> usize {
    let digits = name.rsplit("_l").next().unwrap_or_default();
    digits.trim_end_matches("_reverse").parse().unwrap_or(0)
}

/// `rows * cols` values; `fans` are PyTorch's divisor, the tensor's own fans, and the joint ones.
fn fill(init: Init, rows: usize, cols: usize, fans: [usize; 3], stream: &mut Philox) -> Vec<f64> {
    let n = rows * cols;
    let mut uniform = |bound: f64| (0..n).map(|_| bound * (2.0 * stream.uniform() - 1.0)).collect();
    match init {
        Init::Torch => uniform(1.0 / (fans[0] as f64).sqrt()),
        Init::Glorot => uniform((6.0 / fans[1] as f64).sqrt()),
        Init::GlorotJoint => uniform((6.0 / fans[2] as f64).sqrt()),
        Init::Uniform { bound } => uniform(bound),
        Init::Normal { std } => (0..n).map(|_| std * stream.normal()).collect(),
        Init::Zeros => vec![0.0; n],
        Init::Orthogonal => orthogonal(rows, cols, stream),
    }
}

/// Gaussian vectors made orthonormal, along the longer side.
fn orthogonal(rows: usize, cols: usize, stream: &mut Philox) -> Vec<f64> {
    let (count, length) = (rows.min(cols), rows.max(cols));
    let mut basis: Vec<Vec<f64>> = Vec::with_capacity(count);
    for _ in 0..count {
        let mut vector: Vec<f64> = (0..length).map(|_| stream.normal()).collect();
        // Twice, because once leaves rounding errors of the size of the lost digits.
        for _ in 0..2 {
            for other in &basis {
                let dot: f64 = vector.iter().zip(other).map(|(a, b)| a * b).sum();
                vector.iter_mut().zip(other).for_each(|(a, b)| *a -= dot * b);
            }
        }
        let norm = vector.iter().map(|v| v * v).sum::<f64>().sqrt();
        vector.iter_mut().for_each(|v| *v /= norm);
        basis.push(vector);
    }
    let at = |r: usize, c: usize| if rows >= cols { basis[c][r] } else { basis[r][c] };
    (0..rows).flat_map(|r| (0..cols).map(move |c| at(r, c))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Readout;

    fn values(spec: InitSpec, name: &str) -> Vec<f64> {
        let network = Network::new(3).lstm(8).lstm(5).head(Readout::Last, 2);
        let index = network.param_layout().entries().iter().position(|e| e.name == name);
        spec.values(&network, 1).unwrap().swap_remove(index.unwrap())
    }

    #[test]
    fn bounds_are_those_of_the_formulas() {
        let largest = |v: &[f64]| v.iter().fold(0.0f64, |m, x| m.max(x.abs()));
        let cases = [
            (InitSpec::torch(), "lstm.weight_ih_l1", 1.0 / 5f64.sqrt()),
            (InitSpec::torch(), "head.weight", 1.0 / 5f64.sqrt()),
            (InitSpec::tf1(), "lstm.weight_hh_l0", (6.0f64 / (3.0 + 8.0 + 32.0)).sqrt()),
            (InitSpec::tf1(), "head.weight", (6.0f64 / 7.0).sqrt()),
            (
                InitSpec { input: Init::Glorot, ..InitSpec::torch() },
                "lstm.weight_ih_l0",
                (6.0f64 / 35.0).sqrt(),
            ),
        ];
        for (spec, name, bound) in cases {
            let found = largest(&values(spec, name));
            assert!(found <= bound && found > 0.7 * bound, "{name}: {found} against {bound}");
        }
    }

    #[test]
    fn orthogonal_columns() {
        let spec = InitSpec { recurrent: Init::Orthogonal, ..InitSpec::torch() };
        let w = values(spec, "lstm.weight_hh_l0");
        for a in 0..8 {
            for b in 0..8 {
                let dot: f64 = (0..32).map(|r| w[r * 8 + a] * w[r * 8 + b]).sum();
                assert!((dot - f64::from(a == b)).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn stored_forget_bias_sits_in_one_of_two_biases() {
        let spec = InitSpec { stored_forget_bias: Some(1.5), ..InitSpec::torch() };
        assert!(values(spec, "lstm.bias_ih_l0")[8..16].iter().all(|&b| b == 1.5));
        assert!(values(spec, "lstm.bias_hh_l0")[8..16].iter().all(|&b| b == 0.0));
        assert!(values(spec, "lstm.bias_hh_l0")[..8].iter().all(|&b| b != 0.0));
    }

    #[test]
    fn seeds_differ_and_repeat() {
        let network = Network::new(1).lstm(4);
        let draw = |seed| InitSpec::torch().values(&network, seed).unwrap();
        assert_eq!(draw(3), draw(3));
        assert_ne!(draw(3), draw(4));
    }
}
