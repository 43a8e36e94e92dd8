//! Model files: the same bytes for the same model, exact round trips, and a reason for every damage.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use lstm_cpu::Cpu;
use lstm_nn::{Error, InitSpec, Model, Network, Readout, saved};
use lstm_tensor::{Bias, Float, LayerSpec};
use safetensors::SafeTensors;
use serde_json::json;
use std::path::PathBuf;

fn network() -> Network {
    let layer = LayerSpec::new(3).forget_bias(0.5).dropout(0.1, 0.2);
    Network::new(2).layer(layer).layer(LayerSpec::new(4).bias(Bias::One)).head(Readout::Every, 2)
}

fn model<F: Float>(cpu: &Cpu) -> Model<Cpu, F> {
    Model::new(cpu, network(), &InitSpec::torch(), 11).unwrap()
}

fn bytes<F: Float>() -> Vec<u8> {
    let cpu = Cpu::new(1).unwrap();
    saved::to_bytes(&cpu, &model::<F>(&cpu), &json!({"b": 1.5, "a": ["x", null]})).unwrap()
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join("model.safetensors");
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// Why the bytes are refused.
    fn refusal(&self, bytes: &[u8]) -> String {
        match saved::read(&self.file(bytes)) {
            Err(Error::Format { why, .. }) => why,
            other => panic!("{other:?}"),
        }
    }
}

fn round_trip<F: Float>() {
    let (cpu, folder) = (Cpu::new(1).unwrap(), Folder::new());
    let read = saved::read(&folder.file(&bytes::<F>())).unwrap();
    assert_eq!((read.dtype, &read.network), (F::NAME, &network()));
    assert_eq!(read.task, json!({"a": ["x", null], "b": 1.5}));
    let loaded: Model<Cpu, F> = read.load(&cpu).unwrap();
    assert_eq!(loaded.download(&cpu).unwrap(), model::<F>(&cpu).download(&cpu).unwrap());
    let again = saved::to_bytes(&cpu, &loaded, &read.task).unwrap();
    assert_eq!(again, bytes::<F>(), "the same model gives the same bytes");
}

#[test]
fn round_trips_are_exact_and_reproducible() {
    round_trip::<f32>();
    round_trip::<f64>();
}

#[test]
fn every_prefix_is_refused() {
    let (whole, folder) = (bytes::<f32>(), Folder::new());
    for len in (0..whole.len()).step_by(7) {
        assert!(saved::read(&folder.file(&whole[..len])).is_err(), "{len} bytes");
    }
}

/// The file with its JSON header edited; offsets stay, because both texts have the same length.
fn edited(from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let whole = bytes::<f32>();
    let at = whole.windows(from.len()).position(|w| w == from.as_bytes()).unwrap();
    [&whole[..at], to.as_bytes(), &whole[at + from.len()..]].concat()
}

#[test]
fn damage_is_named() {
    let folder = Folder::new();
    let cases = [
        (edited("\"head.bias\"", "\"head.bia2\""), "head.bias is missing"),
        (edited("\\\"version\\\":1", "\\\"version\\\":7"), "version 7"),
        (edited("\\\"network\\\"", "\\\"netwerk\\\""), "netwerk"),
        (edited("\"lstm\":", "\"lsim\":"), "no `lstm` metadata"),
        (edited("\\\"hidden\\\":3,", "\\\"hidden\\\":0,"), "hidden is 0"),
        (edited("\\\"head\\\":2", "\\\"head\\\":3"), "shape"),
    ];
    for (bytes, part) in cases {
        let why = folder.refusal(&bytes);
        assert!(why.contains(part), "{why}");
    }
    let mut nan = bytes::<f32>();
    let last = nan.len() - 4;
    nan[last..].copy_from_slice(&f32::NAN.to_le_bytes());
    assert!(folder.refusal(&nan).contains("holds NaN"));
    assert!(matches!(saved::read(&folder.0.path().join("none")), Err(Error::Io { .. })));
    assert!(matches!(saved::read(folder.0.path()), Err(Error::Format { .. })));
}

#[test]
fn torch_form_folds_the_forget_bias() {
    let cpu = Cpu::new(1).unwrap();
    let network =
        Network::new(2).layer(LayerSpec::new(3).forget_bias(0.5).bias(Bias::One)).head(Readout::Last, 1);
    let model = Model::<Cpu, f32>::new(&cpu, network, &InitSpec::torch(), 1).unwrap();
    let bytes = saved::to_torch_lstm(&cpu, &model).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut names = file.names();
    names.sort_unstable();
    assert_eq!(names, ["bias_hh_l0", "bias_ih_l0", "weight_hh_l0", "weight_ih_l0"]);
    let floats = |name: &str| -> Vec<f32> {
        file.tensor(name).unwrap().data().as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
    };
    let stored = model.params().get(&cpu, "lstm.bias_ih_l0").unwrap();
    for (unit, (exported, stored)) in floats("bias_ih_l0").into_iter().zip(stored).enumerate() {
        let added = if (3..6).contains(&unit) { 0.5 } else { 0.0 };
        assert_eq!(exported, stored + added);
    }
    assert_eq!(floats("bias_hh_l0"), [0.0; 12]);
}

#[test]
fn torch_has_no_form_for_unequal_widths() {
    let cpu = Cpu::new(1).unwrap();
    let error = saved::to_torch_lstm(&cpu, &model::<f32>(&cpu)).unwrap_err().to_string();
    assert!(error.contains("[3, 4]") && error.contains("equal width"), "{error}");
}

#[test]
fn a_file_is_replaced_as_a_whole_and_nothing_is_left_behind() {
    let folder = Folder::new();
    let path = folder.file(b"old");
    saved::write_atomic(&path, b"new").unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"new");
    let missing = folder.0.path().join("no/such/folder/x");
    assert!(matches!(saved::write_atomic(&missing, b"x"), Err(Error::Io { .. })));
    assert_eq!(std::fs::read_dir(folder.0.path()).unwrap().count(), 1);
}
