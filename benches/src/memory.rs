//! Peaks of resident memory: a step of training in a process of its own, ours and PyTorch's.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use lstm_cpu::Cpu;
use lstm_tensor::Float;
use serde::{Deserialize, Serialize};

use crate::case::Case;
use crate::peer::{Manner, Peer};
use crate::shape::{Dtype, Shape};
use crate::subject::Subject;

/// Where Linux says how a process stands.
const STATUS: &str = "/proc/self/status";

/// What a process held of the machine's memory at most, in bytes. Code that is first run in the step, and thereby
/// read into memory, counts as memory of the step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resident {
    /// Until the network was made: the program with its libraries.
    pub before: u64,
    /// Until the end of the first step of training.
    pub peak: u64,
}

/// The same step by both.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Beside {
    /// Ours.
    pub ours: Resident,
    /// PyTorch's.
    pub torch: Resident,
}

impl Beside {
    /// One step of training of `shape` on the CPU by each, in a fresh process of its own: `program` is the one
    /// whose command `step` prints what [`step`] answers.
    ///
    /// # Errors
    /// If the shape does not train, or a process fails.
    pub fn measure(shape: &Shape, threads: usize, program: &Path, python: &Path) -> Result<Self> {
        ensure!(!shape.infer_only, "{} does not train, so that no step of it can be measured", shape.name);
        let mut peer = Peer::torch(python, threads, "cpu", Manner::default())?;
        let torch = peer.memory(&case(shape)?)?;
        drop(peer);
        let output = Command::new(program)
            .args(["step", "--threads", &threads.to_string(), &serde_json::to_string(shape)?])
            .output()
            .with_context(|| format!("{} does not start", program.display()))?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim_end());
        Ok(Self { ours: serde_json::from_slice(&output.stdout)?, torch })
    }

    /// The figures in words.
    #[must_use]
    pub fn text(&self) -> String {
        let mb = |bytes: u64| bytes as f64 / 1e6;
        let words = |Resident { before, peak }: Resident| {
            format!("{:.0} MB, {:.0} of them for the step", mb(peak), mb(peak.saturating_sub(before)))
        };
        format!("ours {}; PyTorch {}", words(self.ours), words(self.torch))
    }
}

/// A case with as many batches as one step needs.
fn case(shape: &Shape) -> Result<Case> {
    let mut case = Case::draw(shape)?;
    case.batches.truncate(1);
    Ok(case)
}

/// One step of training of `shape` in this process, which must have done nothing before.
///
/// # Errors
/// Those of the backend; if the system does not say what a process holds.
pub fn step(shape: &Shape, threads: usize) -> Result<Resident> {
    fn train<F: Float>(shape: &Shape, threads: usize) -> Result<()> {
        let cpu = Cpu::new(threads)?;
        // The numbers that were drawn are gone before the step begins.
        let mut subject = Subject::<_, F>::new(&cpu, &case(shape)?)?;
        subject.train()
    }
    let before = high_water()?;
    match shape.dtype {
        Dtype::F32 => train::<f32>(shape, threads)?,
        Dtype::F64 => train::<f64>(shape, threads)?,
    }
    Ok(Resident { before, peak: high_water()? })
}

/// The most that this process has held so far, in bytes: `VmHWM` of proc(5).
///
/// # Errors
/// If this is no Linux.
pub fn high_water() -> Result<u64> {
    let status = std::fs::read_to_string(STATUS).unwrap_or_default();
    parse(&status).with_context(|| format!("peaks of memory cannot be read here: no VmHWM in {STATUS}"))
}

fn parse(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(1024 * line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_give_the_peak_and_what_the_step_added() {
        let resident =
            |before: u64, peak: u64| Resident { before: before * 1_000_000, peak: peak * 1_000_000 };
        let text = Beside { ours: resident(5, 69), torch: resident(550, 800) }.text();
        assert_eq!(text, "ours 69 MB, 64 of them for the step; PyTorch 800 MB, 250 of them for the step");
    }

    #[test]
    fn the_peak_is_found_among_the_lines() {
        assert_eq!(parse("VmPeak:\t 9 kB\nVmHWM:\t    2048 kB\nVmRSS:\t 1 kB\n"), Some(2 << 20));
        assert_eq!(parse("VmPeak:\t 9 kB\n"), None);
        assert_eq!(parse("VmHWM:\t 9 pages\n"), None);
    }
}
