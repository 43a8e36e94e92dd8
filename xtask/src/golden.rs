//! `cargo xtask golden`: replays golden cases on a backend and prints how far each lies from PyTorch.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result, bail};
use lstm_cpu::Cpu;
use lstm_cuda::driver::Driver;
use lstm_cuda::{Cuda, probe};
use lstm_tensor::{Backend, Float, KernelChoice};
use lstm_testkit::Naive;
use lstm_testkit::golden::{Case, Report, Verdict, replay, write};

/// What to replay, and on what.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Folder with cases, `*.safetensors` in the format "lstm-golden-1"
    #[arg(long, value_name = "DIR", default_value = "tests/golden/cases")]
    replay: PathBuf,
    /// Element type to calculate in
    #[arg(long, value_enum, default_value_t = Dtype::F64)]
    dtype: Dtype,
    /// Backend to calculate on: cpu, naive, cuda, cuda:N for the GPU of that number, or emulator, which
    /// `cargo run -p xtask --features emulator -- golden` has
    #[arg(long, default_value = "cpu")]
    device: Device,
    /// Write all that was computed into this folder, as F64 under the expected names
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Dtype {
    F32,
    F64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Device {
    Cpu,
    Naive,
    Cuda(usize),
    #[cfg(feature = "emulator")]
    Emulator,
}

impl FromStr for Device {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "cpu" => Ok(Self::Cpu),
            "naive" => Ok(Self::Naive),
            #[cfg(feature = "emulator")]
            "emulator" => Ok(Self::Emulator),
            #[cfg(not(feature = "emulator"))]
            "emulator" => {
                Err("it has to be built first: cargo run -p xtask --features emulator -- golden --device emulator".into())
            }
            _ => probe::ordinal(name)
                .map(Self::Cuda)
                .ok_or_else(|| "must be cpu, naive, cuda, cuda:N or emulator".into()),
        }
    }
}

/// Replays every case and prints the table.
///
/// # Errors
/// If a case fails or cannot be read, or if there is none.
pub(crate) fn run(args: &Args) -> Result<()> {
    match args.device {
        Device::Cpu => replay_on(&Cpu::new(0)?, args),
        Device::Naive => replay_on(&Naive, args),
        Device::Cuda(number) => replay_on(&Cuda::new(Driver::new(number)?)?, args),
        #[cfg(feature = "emulator")]
        Device::Emulator => {
            use lstm_cuda_emu::{Emulator, Schedule};
            replay_on(&Cuda::new(Emulator::new(Schedule::Skewed(1)))?, args)
        }
    }
}

fn replay_on<B: Backend>(backend: &B, args: &Args) -> Result<()> {
    match args.dtype {
        Dtype::F32 => replay_all::<_, f32>(backend, args),
        Dtype::F64 => replay_all::<_, f64>(backend, args),
    }
}

fn replay_all<B: Backend, F: Float>(backend: &B, args: &Args) -> Result<()> {
    let paths = cases(&args.replay)?;
    if let Some(out) = &args.out {
        std::fs::create_dir_all(out).with_context(|| format!("{} cannot be made", out.display()))?;
    }
    println!("{:<28}{:>20}{:>10}  {:<24}verdict", "case", "error / tolerance", "kappa", "worst tensor");
    let (mut passed, mut failed, mut unsupported) = (0, 0, 0);
    for path in &paths {
        let report =
            match Case::read(path).and_then(|case| replay::<B, F>(backend, &case, KernelChoice::Auto)) {
                Ok(report) => report,
                // A case that cannot be read must not hide what the others give.
                Err(error) => {
                    let name = path.file_stem().unwrap_or_default().to_string_lossy();
                    println!("{name:<28}{:>20}{:>10}  {:<24}FAIL: {error:#}", "-", "-", "-");
                    failed += 1;
                    continue;
                }
            };
        println!("{}", line(&report));
        match &report.verdict {
            Verdict::Unsupported(_) => unsupported += 1,
            verdict if verdict.failed() => failed += 1,
            Verdict::Compared { .. } => passed += 1,
        }
        if let (Some(out), false) = (&args.out, report.computed.is_empty()) {
            let to = out.join(format!("{}.safetensors", report.name));
            write(&to, &report.computed).with_context(|| to.display().to_string())?;
        }
    }
    println!("{passed} passed, {failed} failed, {unsupported} unsupported ({}, {})", backend.name(), F::NAME);
    if failed > 0 {
        bail!("{failed} of {} cases failed", paths.len());
    }
    Ok(())
}

fn line(report: &Report) -> String {
    match &report.verdict {
        Verdict::Compared { worst, tensor, kappa } => {
            let verdict = if report.verdict.failed() { "FAIL" } else { "pass" };
            format!("{:<28}{worst:>20.4}{kappa:>10.1}  {tensor:<24}{verdict}", report.name)
        }
        Verdict::Unsupported(option) => {
            format!("{:<28}{:>20}{:>10}  {:<24}unsupported: {option}", report.name, "-", "-", "-")
        }
    }
}

/// The cases of a folder, in order of their names.
fn cases(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries =
        std::fs::read_dir(folder).with_context(|| format!("{} cannot be read", folder.display()))?;
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.with_context(|| format!("{} cannot be read", folder.display()))?.path();
        if path.extension().is_some_and(|extension| extension == "safetensors") {
            paths.push(path);
        }
    }
    if paths.is_empty() {
        bail!("{} holds no *.safetensors", folder.display());
    }
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_have_names() {
        for (name, device) in [("cpu", Device::Cpu), ("cuda", Device::Cuda(0)), ("cuda:3", Device::Cuda(3))] {
            assert_eq!(name.parse(), Ok(device));
        }
        for name in ["gpu", "cuda:", "cuda:x", "cuda:-1", "cuda:+1"] {
            assert!(name.parse::<Device>().unwrap_err().starts_with("must be cpu, "), "{name}");
        }
    }
}
