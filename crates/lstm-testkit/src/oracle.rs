//! A stack forward as one scalar loop in f64: the first link of the chain, checked against PyTorch.

use crate::case::{HostState, StackCase};
use lstm_tensor::Distribution;
use lstm_tensor::philox::{Place, Site, value};

/// Output `[T, B, H]` and state after the last step. Every element is computed on its own:
///
/// ```text
/// z = W_ih u + b_ih + W_hh h + b_hh      gates i f g o; z_f gets the forget bias
/// c = sigmoid(z_f) c + sigmoid(z_i) tanh(z_g)        h = sigmoid(z_o) tanh(c)
/// ```
#[must_use]
pub fn forward(case: &StackCase) -> (Vec<f64>, HostState) {
    let (spec, layout) = (&case.spec, case.layout());
    let (steps, rows, count) = (case.steps(), case.rows(), spec.layers.len());
    let (mut u, mut width) = (case.x.clone(), spec.input);
    let mut state = case.initial.clone().unwrap_or_else(|| case.zero_state());
    let mut above = 0;
    for (l, layer) in spec.layers.iter().enumerate() {
        let hidden = layer.hidden;
        let tensor = |name: &str| match layout.get(&format!("{name}_l{l}")) {
            Some(entry) => case.params[entry.offset..entry.offset + entry.len()].to_vec(),
            None => vec![0.0; 4 * hidden],
        };
        let [w_ih, w_hh, b_ih, b_hh] = ["weight_ih", "weight_hh", "bias_ih", "bias_hh"].map(tensor);
        let mut out = vec![0.0; steps * rows * hidden];
        for row in 0..rows {
            let own = above + row * hidden..above + (row + 1) * hidden;
            let (h, c) = (&mut state.h[own.clone()], &mut state.c[own]);
            for t in 0..steps {
                let at = t * rows + row;
                let drop = |site, layer, rate, unit| mask(case, site, layer, rate, [t, row, unit]);
                let input: Vec<f64> = (0..width)
                    .map(|j| u[at * width + j] * drop(Site::Input, l, layer.dropout_input, j))
                    .collect();
                let z: Vec<f64> = (0..4 * hidden)
                    .map(|n| {
                        let from_input: f64 = (0..width).map(|j| w_ih[n * width + j] * input[j]).sum();
                        let from_state: f64 = (0..hidden).map(|j| w_hh[n * hidden + j] * h[j]).sum();
                        from_input + b_ih[n] + from_state + b_hh[n]
                    })
                    .collect();
                for j in 0..hidden {
                    let forget = sigmoid(z[hidden + j] + layer.cell.forget_bias);
                    c[j] = forget * c[j] + sigmoid(z[j]) * z[2 * hidden + j].tanh();
                    h[j] = sigmoid(z[3 * hidden + j]) * c[j].tanh();
                    let between = if l + 1 < count { spec.dropout_between } else { 0.0 };
                    out[at * hidden + j] = h[j]
                        * drop(Site::Output, l, layer.dropout_output, j)
                        * drop(Site::Between, l + 1, between, j);
                }
            }
        }
        (u, width, above) = (out, hidden, above + rows * hidden);
    }
    (u, state)
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// Dropout's factor for one unit.
fn mask(case: &StackCase, site: Site, layer: usize, rate: f64, [t, row, unit]: [usize; 3]) -> f64 {
    let Some(draw) = case.draw.as_ref().filter(|_| rate > 0.0) else { return 1.0 };
    let counter = [draw.step, t as u32, draw.samples[row]];
    let place = Place { site, layer, reverse: false };
    value(Distribution::Mask { keep: 1.0 - rate }, draw.seed, counter, place, unit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::Case;

    const JSON: &str = include_str!("../../../tests/golden/oracle.json");

    /// Reads the file's own flat form: `"name": { "shape": […], "data": […] }`.
    fn pytorch() -> Case {
        let value: serde_json::Value = serde_json::from_str(JSON).unwrap();
        let dims = &value["dims"];
        let tensors = value["tensors"].as_object().unwrap().iter().map(|(name, tensor)| {
            let list = |key: &str| tensor[key].as_array().unwrap().clone();
            let shape = list("shape").iter().map(|n| n.as_u64().unwrap() as usize).collect();
            let data = list("data").iter().map(|x| x.as_f64().unwrap()).collect();
            (name.clone(), crate::golden::Tensor { shape, data })
        });
        let size = |key: &str| dims[key].as_u64().unwrap() as usize;
        let spec = lstm_tensor::StackSpec::uniform(size("I"), size("H"), 1);
        Case::new("oracle", spec, tensors.collect()).unwrap()
    }

    #[test]
    fn forward_is_pytorchs() {
        let golden = pytorch();
        let (y, last) = forward(&golden.stack);
        for (name, got) in [("y", &y), ("hn", &last.h), ("cn", &last.c)] {
            for (got, want) in got.iter().zip(&golden.tensors[name].data) {
                assert!((got - want).abs() < 1e-14, "{name}: {got}, PyTorch has {want}");
            }
        }
    }

    /// The gradient of the loop, by central differences, is PyTorch's.
    #[test]
    fn differences_are_pytorchs_gradients() {
        let golden = pytorch();
        let layout = golden.stack.layout();
        let check = |name: &str, index: usize, input: usize, element: usize| {
            let loss_at = |shift: f64| {
                let mut case = golden.stack.clone();
                case.inputs_mut()[input].1[element] += shift;
                let (y, last) = forward(&case);
                case.loss(&y, &last)
            };
            let slope = (loss_at(1e-5) - loss_at(-1e-5)) / 2e-5;
            let want = golden.tensors[name].data[index];
            assert!((slope - want).abs() < 1e-8, "{name}[{index}]: {slope}, PyTorch has {want}");
        };
        for (input, name) in [(1, "dx"), (2, "dh0"), (3, "dc0")] {
            (0..golden.tensors[name].data.len()).for_each(|index| check(name, index, input, index));
        }
        for entry in layout.entries() {
            let name = format!("grad.{}", entry.name);
            (0..entry.len()).for_each(|index| check(&name, index, 0, entry.offset + index));
        }
    }
}
