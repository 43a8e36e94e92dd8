//! Checkpoints: a journal that is read is kept to a file that is read to the same file again.

use crate::sealed::{folder, sealed};
use lstm_tensor::Float;
use lstm_train::Checkpoints;
use std::fs;
use std::path::Path;

/// Reads a checkpoint under a digest that is right, as one of 32 bits and as one of 64.
pub fn check(bytes: &[u8]) -> bool {
    let bytes = sealed(bytes);
    let narrow = kept::<f32>(&bytes);
    let wide = kept::<f64>(&bytes);
    narrow || wide
}

fn kept<F: Float>(bytes: &[u8]) -> bool {
    let folder = folder("checkpoint");
    let Some(once) = keep::<F>(&folder, bytes) else { return false };
    let again = keep::<F>(&folder, &once).expect("what was kept is read");
    assert_eq!(again, once, "the same journal gives other bytes");
    true
}

/// What a checkpoint of these bytes becomes when it is read and kept.
fn keep<F: Float>(folder: &Path, bytes: &[u8]) -> Option<Vec<u8>> {
    let [first, second] = [1, 2].map(|number| folder.join(format!("checkpoint-{number}.safetensors")));
    // Left by one that panicked.
    let _ = fs::remove_file(&second);
    fs::write(&first, bytes).expect("a file to read");
    let mut files = Checkpoints::of(folder).expect("a folder to read");
    let read = files.newest::<F>().ok()?;
    let (journal, run) = read.expect("a file is there");
    files.keep(&journal, &run).expect("what was read can be kept");
    let kept = fs::read(&second).expect("a file was kept");
    files.clear().expect("files can be removed");
    Some(kept)
}
