//! Golden cases of the format "lstm-golden-1": an LSTM's inputs with the outputs and gradients of PyTorch.

use crate::case::{HostState, Kind, Outcome, StackCase};
use crate::run::{Route, run};
use crate::tolerance::{Expected, distance};
use lstm_tensor::{Backend, BatchShape, Bias, Direction, Float, KernelChoice, LayerSpec, StackSpec};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

const FORMAT: &str = "lstm-golden-1";

/// Why a case could not be read, replayed or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file could not be read or written.
    #[error("{0}")]
    File(#[from] std::io::Error),
    /// The file is not in the safetensors format.
    #[error("{0}")]
    Container(#[from] safetensors::SafeTensorError),
    /// The file does not hold what the format asks for.
    #[error("{0}")]
    Content(String),
    /// The backend failed.
    #[error("{0}")]
    Backend(#[from] lstm_tensor::Error),
}

/// Result of this module's functions.
pub type Result<T> = std::result::Result<T, Error>;

/// A tensor on the host.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Dimensions, row-major.
    pub shape: Vec<usize>,
    /// Elements.
    pub data: Vec<f64>,
}

/// Tensors by name.
pub type Tensors = BTreeMap<String, Tensor>;

/// One case: what goes in, ready to run, and all tensors of the file.
#[derive(Clone, Debug)]
pub struct Case {
    /// Name of the file without its extension.
    pub name: String,
    /// The network and the batch.
    pub stack: StackCase,
    /// All tensors of floats, under the format's names.
    pub tensors: Tensors,
}

impl Case {
    /// A case from its tensors; every row has as many steps as `x`.
    ///
    /// # Errors
    /// [`Error::Content`] for a tensor that is missing or has another shape.
    pub fn new(name: &str, spec: StackSpec, tensors: Tensors) -> Result<Self> {
        let shape = match tensors.get("x").map(|x| x.shape.as_slice()) {
            Some(&[steps, rows, _]) => BatchShape::new(steps, rows),
            _ => return Err(content("x is missing or not of shape [T, B, I]")),
        };
        let get = |name: &str| match tensors.get(name) {
            Some(tensor) => Ok(tensor.data.clone()),
            None => Err(content(&format!("tensor {name} is missing"))),
        };
        let state = |h: &str, c: &str| -> Result<_> { Ok(Some(HostState { h: get(h)?, c: get(c)? })) };
        let layout = spec.param_layout("");
        let mut params = vec![0.0; layout.len()];
        for entry in layout.entries() {
            let values = get(&format!("param.{}", entry.name))?;
            if values.len() != entry.len() {
                let got = values.len();
                return Err(content(&format!(
                    "param.{} has {got} elements, not {}",
                    entry.name,
                    entry.len()
                )));
            }
            params[entry.offset..entry.offset + entry.len()].copy_from_slice(&values);
        }
        let (initial, d_last) = (state("h0", "c0")?, state("dhn", "dcn")?);
        let (x, d_y) = (get("x")?, Some(get("dy")?));
        let stack = StackCase { spec, shape, params, x, initial, d_y, d_last, draw: None };
        for (name, _) in names(&stack) {
            get(&name)?;
        }
        Ok(Self { name: name.to_owned(), stack, tensors })
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::Container`], [`Error::Content`].
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path)?;
        let (_, header) = SafeTensors::read_metadata(&bytes)?;
        let metadata = header.metadata().clone().unwrap_or_default();
        let text = |key: &str| match metadata.get(key) {
            Some(value) => Ok(value.as_str()),
            None => Err(content(&format!("metadata {key} is missing"))),
        };
        let number = |key: &str| {
            let value = text(key)?;
            value.parse::<usize>().map_err(|_| content(&format!("metadata {key} is {value:?}, not a number")))
        };
        let flag = |key: &str| match text(key)? {
            "true" | "True" | "1" => Ok(true),
            "false" | "False" | "0" => Ok(false),
            value => Err(content(&format!("metadata {key} is {value:?}, not true or false"))),
        };
        if text("format")? != FORMAT {
            return Err(content(&format!("format is {:?}, not {FORMAT:?}", text("format")?)));
        }
        let mut layer = LayerSpec::new(number("hidden")?);
        layer = layer.bias(if flag("bias")? { Bias::Two } else { Bias::None });
        if number("proj")? > 0 {
            layer = layer.project(number("proj")?);
        }
        if flag("bidirectional")? {
            layer = layer.direction(Direction::Both);
        }
        let spec = StackSpec::new(number("input")?, vec![layer; number("layers")?]);

        let mut tensors = Tensors::new();
        let mut lengths = None;
        for (name, view) in SafeTensors::deserialize(&bytes)?.tensors() {
            let words = view.data().chunks_exact(8).map(|word| {
                let mut bytes = [0; 8];
                bytes.copy_from_slice(word);
                bytes
            });
            match (name.as_str(), view.dtype()) {
                ("lengths", Dtype::I64) => {
                    lengths = Some(words.map(|word| i64::from_le_bytes(word).max(0) as usize).collect());
                }
                (_, Dtype::F64) => {
                    let data = words.map(f64::from_le_bytes).collect();
                    tensors.insert(name, Tensor { shape: view.shape().to_vec(), data });
                }
                (_, dtype) => return Err(content(&format!("tensor {name} holds {dtype:?}"))),
            }
        }
        let name = path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
        let mut case = Self::new(&name, spec, tensors)?;
        if let Some(lengths) = lengths {
            case.stack.shape = BatchShape::ragged(case.stack.steps(), lengths);
        }
        Ok(case)
    }
}

/// What a replay showed.
#[derive(Clone, Debug)]
pub struct Report {
    /// Name of the case.
    pub name: String,
    /// Verdict.
    pub verdict: Verdict,
    /// Everything that was computed, under the format's names.
    pub computed: Tensors,
}

/// Verdict over a case.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// The case was computed.
    Compared {
        /// Largest error over tolerance of all tensors; at most 1 passes.
        worst: f64,
        /// The tensor that has it.
        tensor: String,
        /// Response of the case to noise, in units of the last place.
        kappa: f64,
    },
    /// The backend does not serve an option of the case.
    Unsupported(String),
}

impl Verdict {
    /// Whether results were compared and lie farther apart than the tolerance.
    #[must_use]
    pub fn failed(&self) -> bool {
        matches!(self, Self::Compared { worst, .. } if worst.is_nan() || *worst > 1.0)
    }
}

/// Runs a case forward and backward in `F` and compares every expected tensor.
///
/// # Errors
/// [`Error::Backend`], except [`Unsupported`](lstm_tensor::Error::Unsupported), which is a verdict.
pub fn replay<B: Backend, F: Float>(backend: &B, case: &Case, kernel: KernelChoice) -> Result<Report> {
    let name = case.name.clone();
    let outcome = match run::<B, F>(backend, &case.stack, Route { kernel, ..Route::OWN }) {
        Ok(outcome) => outcome,
        Err(lstm_tensor::Error::Unsupported { option, .. }) => {
            let verdict = Verdict::Unsupported(option.to_owned());
            return Ok(Report { name, verdict, computed: Tensors::new() });
        }
        Err(error) => return Err(error.into()),
    };
    let expected = Expected::new::<F>(&case.stack)?;
    let (mut worst, mut worst_name) = (0.0, "y".to_owned());
    let mut computed = Tensors::new();
    for (name, kind) in names(&case.stack) {
        let Tensor { shape, data } = &case.tensors[&name];
        let got = pick(&outcome, &case.stack, &name);
        let error = distance(kind, &got, data) / expected.tolerance;
        if error > worst {
            (worst, worst_name) = (error, name.clone());
        }
        computed.insert(name, Tensor { shape: shape.clone(), data: got });
    }
    let verdict = Verdict::Compared { worst, tensor: worst_name, kappa: expected.kappa };
    Ok(Report { name, verdict, computed })
}

/// Writes tensors as F64 in order of their names.
///
/// # Errors
/// [`Error::File`], [`Error::Container`].
pub fn write(path: &Path, tensors: &Tensors) -> Result<()> {
    let bytes: BTreeMap<&str, Vec<u8>> = tensors
        .iter()
        .map(|(name, tensor)| (name.as_str(), tensor.data.iter().flat_map(|x| x.to_le_bytes()).collect()))
        .collect();
    let mut views = Vec::new();
    for (name, data) in &bytes {
        views.push((*name, TensorView::new(Dtype::F64, tensors[*name].shape.clone(), data)?));
    }
    let metadata = HashMap::from([("format".to_owned(), FORMAT.to_owned())]);
    Ok(std::fs::write(path, safetensors::serialize(views, Some(metadata))?)?)
}

/// Names of the expected tensors.
fn names(stack: &StackCase) -> Vec<(String, Kind)> {
    let values = ["y", "hn", "cn"].map(|name| (name.to_owned(), Kind::Value));
    let gradients = ["dx", "dh0", "dc0"].map(|name| (name.to_owned(), Kind::Gradient));
    let layout = stack.layout();
    let weights = layout.entries().iter().map(|entry| (format!("grad.{}", entry.name), Kind::Gradient));
    values.into_iter().chain(gradients).chain(weights).collect()
}

/// The part of an outcome that the format calls `name`.
fn pick(outcome: &Outcome, stack: &StackCase, name: &str) -> Vec<f64> {
    match name {
        "y" => outcome.y.clone(),
        "hn" => outcome.last.h.clone(),
        "cn" => outcome.last.c.clone(),
        "dx" => outcome.d_x.clone(),
        "dh0" => outcome.d_initial.h.clone(),
        "dc0" => outcome.d_initial.c.clone(),
        _ => {
            let entry = name.strip_prefix("grad.").and_then(|name| stack.layout().get(name).cloned());
            let range = entry.map_or(0..0, |entry| entry.offset..entry.offset + entry.len());
            outcome.d_params[range].to_vec()
        }
    }
}

fn content(what: &str) -> Error {
    Error::Content(what.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Naive;
    use crate::strategies::filled;

    /// Tensors of a case computed by the naive backend, and one wrong element in `wrong`.
    fn tensors(stack: &StackCase, wrong: Option<&str>) -> Tensors {
        let outcome = run::<Naive, f64>(&Naive, stack, Route::OWN).unwrap();
        let mut tensors = Tensors::new();
        let mut put = |name: &str, data: Vec<f64>| {
            let shape = if name == "x" {
                vec![stack.steps(), stack.rows(), stack.spec.input]
            } else {
                vec![data.len()]
            };
            tensors.insert(name.to_owned(), Tensor { shape, data });
        };
        let (initial, d_last) = (stack.initial.clone().unwrap(), stack.d_last.clone().unwrap());
        put("x", stack.x.clone());
        put("dy", stack.d_y.clone().unwrap());
        put("h0", initial.h);
        put("c0", initial.c);
        put("dhn", d_last.h);
        put("dcn", d_last.c);
        for entry in stack.layout().entries() {
            let values = &stack.params[entry.offset..entry.offset + entry.len()];
            put(&format!("param.{}", entry.name), values.to_vec());
        }
        for (name, _) in names(stack) {
            let mut data = pick(&outcome, stack, &name);
            if wrong == Some(name.as_str()) {
                data[0] += 1e-9 * data.iter().fold(1.0, |m: f64, x| m.max(x.abs()));
            }
            put(&name, data);
        }
        tensors
    }

    #[test]
    fn each_wrong_tensor_fails_under_its_name() {
        let mut stack = filled(StackSpec::uniform(2, 5, 2), BatchShape::new(3, 2), 1.0, 3);
        stack.draw = None;
        let verdict = |wrong: Option<&str>| {
            let case = Case::new("case", stack.spec.clone(), tensors(&stack, wrong)).unwrap();
            replay::<_, f64>(&Naive, &case, KernelChoice::Auto).unwrap().verdict
        };
        assert!(!verdict(None).failed());
        for (name, _) in names(&stack) {
            let verdict = verdict(Some(&name));
            assert!(verdict.failed(), "{name}: {verdict:?}");
            assert!(matches!(&verdict, Verdict::Compared { tensor, .. } if *tensor == name), "{verdict:?}");
        }
    }

    #[test]
    fn missing_and_misshapen_tensors_are_named() {
        let stack = filled(StackSpec::uniform(2, 3, 1), BatchShape::new(2, 2), 1.0, 3);
        let all = tensors(&stack, None);
        for name in all.keys() {
            let mut fewer = all.clone();
            fewer.remove(name);
            let error = Case::new("case", stack.spec.clone(), fewer).unwrap_err().to_string();
            assert!(error.contains(name.as_str()), "{name}: {error}");
        }
    }

    #[test]
    fn written_tensors_come_back() {
        let stack = filled(StackSpec::uniform(2, 3, 1), BatchShape::new(2, 2), 1.0, 3);
        let tensors = tensors(&stack, None);
        let path = std::env::temp_dir().join(format!("lstm-golden-{}.safetensors", std::process::id()));
        write(&path, &tensors).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        for (name, view) in SafeTensors::deserialize(&bytes).unwrap().tensors() {
            let words = view.data().chunks_exact(8).map(|word| f64::from_le_bytes(word.try_into().unwrap()));
            assert_eq!(words.collect::<Vec<_>>(), tensors[&name].data, "{name}");
            assert_eq!(view.shape(), tensors[&name].shape);
        }
    }
}
