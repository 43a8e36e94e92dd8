//! Model files: what is read has finite weights, and is written to bytes that are read to the same bytes again.

use crate::sealed::{folder, sealed};
use lstm_cpu::Cpu;
use lstm_nn::saved::{self, SavedModel};
use lstm_nn::{Model, Result};
use lstm_tensor::Float;

/// Reads a model file under a digest that is right.
pub fn check(bytes: &[u8]) -> bool {
    let path = folder("model").join("model.safetensors");
    let read = |bytes: &[u8]| -> Result<SavedModel> {
        std::fs::write(&path, bytes).expect("a file to read");
        saved::read(&path)
    };
    let Ok(model) = read(&sealed(bytes)) else { return false };
    let once = written(&model);
    let again = read(&once).expect("what was written is read");
    assert_eq!(again.dtype, model.dtype);
    assert_eq!(again.task, model.task);
    assert_eq!(again.extra, model.extra);
    assert_eq!(written(&again), once, "the same model gives other bytes");
    true
}

fn written(model: &SavedModel) -> Vec<u8> {
    if model.dtype == "f64" { bytes_of::<f64>(model) } else { bytes_of::<f32>(model) }
}

fn bytes_of<F: Float>(file: &SavedModel) -> Vec<u8> {
    let cpu = Cpu::new(1).expect("a processor");
    let models: Vec<Model<Cpu, F>> = file.load_all(&cpu).expect("what was read fits into memory");
    for model in &models {
        let params = model.download(&cpu).expect("weights");
        assert!(params.iter().all(|weight| weight.is_finite()), "a weight that is no number");
    }
    saved::all_to_bytes(&cpu, &models, &file.extra, &file.task).expect("what was read can be written")
}
