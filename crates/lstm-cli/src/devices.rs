//! `lstm devices`: what this build can compute on.

use lstm_cpu::Cpu;
use serde_json::json;

use crate::args::Devices;
use crate::failure::{Failure, Result};
use crate::output;

/// Prints the list.
///
/// # Errors
/// A device failure where even the processor does not start.
pub(crate) fn run(args: &Devices) -> Result<()> {
    let cpu = Cpu::new(0).map_err(|error| Failure::device(error.to_string()))?;
    let (threads, simd) = (cpu.threads(), format!("{:?}", cpu.simd()).to_lowercase());
    if args.json {
        return output::print_json(&json!({
            "devices": [{ "name": "cpu", "threads": threads, "instructions": simd, "dtypes": ["f32", "f64"] }]
        }));
    }
    output::print(
        format!("cpu    {threads} threads, {simd}, f32 and f64 (chosen by --device auto)\n").as_bytes(),
    )
}
