//! From the names of a device and an element type to code for them: the one place where both are chosen.

use lstm_cpu::Cpu;
use lstm_data::Element;
use lstm_tensor::{Backend, Float};

use crate::failure::{Failure, Result};
use crate::settings::{Device, Dtype, Machine};

/// Work for any device and element type.
pub(crate) trait Job {
    /// What it gives.
    type Output;

    /// Does it.
    fn run<B: Backend, F: Float + Element>(self, backend: &B) -> Result<Self::Output>;
}

/// Makes sure that there is such a device, before any work is done.
///
/// # Errors
/// A device failure where there is none.
pub(crate) fn check(machine: &Machine) -> Result<()> {
    match machine.device.unwrap_or_default() {
        Device::Auto | Device::Cpu => Ok(()),
        Device::Cuda => Err(no_cuda()),
    }
}

/// Does `job` on the machine that was asked for; `dtype` serves where none was.
///
/// # Errors
/// As [`check`]; those of the job.
pub(crate) fn run<J: Job>(machine: &Machine, dtype: Dtype, job: J) -> Result<J::Output> {
    match (machine.device.unwrap_or_default(), machine.dtype.unwrap_or(dtype)) {
        (Device::Auto | Device::Cpu, Dtype::F32) => job.run::<_, f32>(&cpu(machine)?),
        (Device::Auto | Device::Cpu, Dtype::F64) => job.run::<_, f64>(&cpu(machine)?),
        (Device::Cuda, _) => Err(no_cuda()),
    }
}

fn cpu(machine: &Machine) -> Result<Cpu> {
    let threads = machine.threads.map_or(0, |threads| threads.get());
    Cpu::new(threads).map_err(|error| Failure::device(error.to_string()))
}

fn no_cuda() -> Failure {
    Failure::device("--device cuda: this build has no CUDA backend; use --device cpu or auto")
}
