//! From the names of a device and an element type to code for them: the one place where both are chosen.

use lstm_cpu::Cpu;
use lstm_cuda::Cuda;
use lstm_cuda::driver::Driver;
use lstm_cuda::probe::{self, Report};
use lstm_data::Element;
use lstm_tensor::{Backend, Float};

use crate::failure::{Failure, Result};
use crate::progress::say;
use crate::settings::{Dtype, Machine};
use crate::value::Device;

/// Work for any device and element type.
pub(crate) trait Job {
    /// What it gives.
    type Output;

    /// Does it.
    fn run<B: Backend, F: Float + Element>(self, backend: &B) -> Result<Self::Output>;
}

/// What a device is wanted for; `auto` depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// Many passes forward and backward.
    Training,
    /// A few passes forward.
    Forecasting,
}

/// A device at work, and the element type that it computes in.
pub(crate) struct Place {
    backend: Chosen,
    device: Device,
    dtype: Dtype,
    /// Model name of the processor or GPU.
    hardware: String,
    /// Why it is not the device that `auto` means.
    fallback: Option<String>,
}

enum Chosen {
    Cpu(Cpu),
    Cuda(Box<Cuda<Driver>>),
}

/// Starts the device that was asked for; `dtype` serves where none was.
///
/// # Errors
/// A device failure where there is no such device or it does not start; a usage failure for threads of a GPU.
pub(crate) fn open(machine: &Machine, work: Work, dtype: Dtype) -> Result<Place> {
    let dtype = machine.dtype.unwrap_or(dtype);
    let Some(number) = gpu(machine, work, probe::probe)? else { return Place::cpu(machine, dtype) };
    Place::cuda(number, dtype).or_else(|failure| {
        let place = instead(machine, dtype, &failure)?;
        if let Some(why) = place.fallback() {
            say(&format!("warning: {why}"));
        }
        Ok(place)
    })
}

/// The processor, where `auto` meant a GPU that does not start.
///
/// # Errors
/// A device failure where the GPU was asked for by name.
fn instead(machine: &Machine, dtype: Dtype, failure: &Failure) -> Result<Place> {
    match machine.device.unwrap_or_default() {
        Device::Auto => {
            let why = format!("cuda:0 does not start: {failure}; --device auto takes the CPU instead");
            Ok(Place { fallback: Some(why), ..Place::cpu(machine, dtype)? })
        }
        asked => Err(Failure::device(format!("--device {asked}: {failure}; --device cpu does without it"))),
    }
}

/// The GPU that the settings mean, or none for the processor.
///
/// `auto` trains on the first GPU if everything that CUDA needs is there. A few passes, over before a GPU has started,
/// stay on the processor, and so does what a number of threads is given for. Which device is faster for a job has not
/// been measured yet.
///
/// # Errors
/// As [`open`], as far as a look at the machine can tell.
pub(crate) fn gpu(machine: &Machine, work: Work, probe: impl FnOnce() -> Report) -> Result<Option<usize>> {
    let asked = machine.device.unwrap_or_default();
    let number = match asked {
        Device::Cpu => return Ok(None),
        Device::Auto => {
            let wanted = work == Work::Training && machine.threads.is_none() && probe().is_usable();
            return Ok(wanted.then_some(0));
        }
        Device::Cuda(number) => number.unwrap_or(0),
    };
    if machine.threads.is_some() {
        return Err(Failure::usage(format!(
            "--threads is about the CPU, but the device is {asked}; leave one of them out, here or in the file \
             of --config"
        )));
    }
    let report = probe();
    if let Some(missing) = report.missing().first() {
        return Err(Failure::device(format!(
            "--device {asked}: {missing}; `lstm devices` lists all that is missing, --device cpu needs none of it"
        )));
    }
    let there = match report.devices.len() {
        count if number < count => return Ok(Some(number)),
        1 => "the only one is cuda:0".to_owned(),
        count => format!("there are cuda:0 to cuda:{}", count.saturating_sub(1)),
    };
    Err(Failure::device(format!(
        "--device {asked}: there is no such GPU, {there}; choose one of `lstm devices`"
    )))
}

impl Place {
    fn cpu(machine: &Machine, dtype: Dtype) -> Result<Self> {
        let threads = machine.threads.map_or(0, |threads| threads.get());
        let cpu = Cpu::new(threads).map_err(|error| Failure::device(error.to_string()))?;
        let backend = Chosen::Cpu(cpu);
        Ok(Self { backend, device: Device::Cpu, dtype, hardware: processor(), fallback: None })
    }

    fn cuda(number: usize, dtype: Dtype) -> Result<Self> {
        let driver = Driver::new(number)?;
        // The number stands before the name.
        let (_, hardware) = driver.device_name().split_once(", ").unwrap_or(("", "GPU"));
        let hardware = hardware.to_owned();
        let backend = Chosen::Cuda(Box::new(Cuda::new(driver)?));
        Ok(Self { backend, device: Device::Cuda(Some(number)), dtype, hardware, fallback: None })
    }

    /// Does `job` here.
    ///
    /// # Errors
    /// Those of the job.
    pub(crate) fn run<J: Job>(&self, job: J) -> Result<J::Output> {
        match (&self.backend, self.dtype) {
            (Chosen::Cpu(cpu), Dtype::F32) => job.run::<_, f32>(cpu),
            (Chosen::Cpu(cpu), Dtype::F64) => job.run::<_, f64>(cpu),
            (Chosen::Cuda(cuda), Dtype::F32) => job.run::<_, f32>(cuda.as_ref()),
            (Chosen::Cuda(cuda), Dtype::F64) => job.run::<_, f64>(cuda.as_ref()),
        }
    }

    /// `cpu` or `cuda:N`, as `--device` takes it.
    pub(crate) fn name(&self) -> String {
        self.device.to_string()
    }

    /// Model name of the processor or GPU.
    pub(crate) fn hardware(&self) -> &str {
        &self.hardware
    }

    /// Why it is not the device that `auto` means.
    pub(crate) fn fallback(&self) -> Option<&str> {
        self.fallback.as_deref()
    }

    pub(crate) fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// Device, hardware and element type in words.
    pub(crate) fn described(&self) -> String {
        let more = match &self.backend {
            Chosen::Cpu(cpu) => format!(", {}", of_cpu(cpu)),
            Chosen::Cuda(_) => String::new(),
        };
        format!("{} ({}{more}), {}", self.device, self.hardware, self.dtype.name())
    }

    /// What settles how sums are rounded: device and instruction set.
    pub(crate) fn arithmetic(&self) -> String {
        match &self.backend {
            Chosen::Cpu(cpu) => format!("cpu, {}", instructions(cpu)),
            Chosen::Cuda(_) => format!("cuda, {}", self.hardware),
        }
    }

    /// The settings that mean this device and this element type, wherever they are read again.
    pub(crate) fn resolved(&self, machine: &Machine) -> Machine {
        Machine { device: Some(self.device), dtype: Some(self.dtype), threads: machine.threads }
    }
}

/// Threads and instruction set.
pub(crate) fn of_cpu(cpu: &Cpu) -> String {
    let threads = cpu.threads();
    format!("{threads} thread{}, {}", if threads == 1 { "" } else { "s" }, instructions(cpu))
}

/// The instruction set that loops run in.
pub(crate) fn instructions(cpu: &Cpu) -> String {
    format!("{:?}", cpu.simd()).to_lowercase()
}

/// The model name of the processor.
pub(crate) fn processor() -> String {
    let cpus = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    name.map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, name)| name.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use lstm_cuda::probe::{self, Version};

    /// A machine with so many GPUs and all that they need.
    fn with_gpus(count: usize) -> Report {
        let version = Ok(Version { major: 13, minor: 0 });
        let gpu =
            |ordinal| probe::Device { ordinal, name: "GPU".into(), capability: (9, 0), memory: 1 << 30 };
        Report {
            driver: version.clone(),
            nvrtc: version.clone(),
            cublas: version,
            devices: (0..count).map(gpu).collect(),
        }
    }

    fn without_driver() -> Report {
        Report { driver: Err("no NVIDIA driver: install one".into()), devices: Vec::new(), ..with_gpus(0) }
    }

    fn on(device: &str) -> Machine {
        Machine { device: Some(device.parse().unwrap()), ..Machine::default() }
    }

    /// The GPU, or exit code and sentence.
    fn answer(
        machine: &Machine,
        work: Work,
        report: Report,
    ) -> std::result::Result<Option<usize>, (u8, String)> {
        gpu(machine, work, || report).map_err(|failure| (failure.code(), failure.to_string()))
    }

    #[test]
    fn auto_trains_where_cuda_is_complete() {
        let (auto, threads) =
            (Machine::default(), Machine { threads: "2".parse().ok(), ..Machine::default() });
        for machine in [&auto, &on("auto")] {
            assert_eq!(answer(machine, Work::Training, with_gpus(2)), Ok(Some(0)));
            assert_eq!(answer(machine, Work::Training, without_driver()), Ok(None));
            assert_eq!(answer(machine, Work::Training, with_gpus(0)), Ok(None));
            let incomplete = Report { cublas: Err("no products".into()), ..with_gpus(1) };
            assert_eq!(answer(machine, Work::Training, incomplete), Ok(None));
            assert_eq!(answer(machine, Work::Forecasting, with_gpus(1)), Ok(None));
        }
        assert_eq!(answer(&threads, Work::Training, with_gpus(1)), Ok(None), "threads are the processor's");
    }

    #[test]
    fn a_named_device_is_taken_or_refused() {
        for work in [Work::Training, Work::Forecasting] {
            assert_eq!(answer(&on("cpu"), work, with_gpus(1)), Ok(None));
            assert_eq!(answer(&on("cuda"), work, with_gpus(1)), Ok(Some(0)));
            assert_eq!(answer(&on("cuda:1"), work, with_gpus(2)), Ok(Some(1)));
            let missing = "--device cuda: no NVIDIA driver: install one; `lstm devices` lists all that is missing, \
                           --device cpu needs none of it";
            assert_eq!(answer(&on("cuda"), work, without_driver()), Err((5, missing.into())));
            let one =
                "--device cuda:1: there is no such GPU, the only one is cuda:0; choose one of `lstm devices`";
            assert_eq!(answer(&on("cuda:1"), work, with_gpus(1)), Err((5, one.into())));
            let two = "--device cuda:2: there is no such GPU, there are cuda:0 to cuda:1; choose one of `lstm devices`";
            assert_eq!(answer(&on("cuda:2"), work, with_gpus(2)), Err((5, two.into())));
        }
    }

    #[test]
    fn auto_says_why_it_is_not_on_the_gpu() {
        let failure = Failure::device("out of memory");
        let place = instead(&Machine::default(), Dtype::F32, &failure).unwrap();
        let why = "cuda:0 does not start: out of memory; --device auto takes the CPU instead";
        assert_eq!((place.name().as_str(), place.fallback()), ("cpu", Some(why)));
        let named = instead(&on("cuda"), Dtype::F32, &failure).err().map(|failure| failure.to_string());
        assert_eq!(named.as_deref(), Some("--device cuda: out of memory; --device cpu does without it"));
    }

    #[test]
    fn threads_of_a_gpu_are_refused() {
        let both = Machine { threads: "2".parse().ok(), ..on("cuda:0") };
        let (code, message) = answer(&both, Work::Training, with_gpus(1)).unwrap_err();
        assert!(code == 2 && message.starts_with("--threads is about the CPU"), "{code}: {message}");
    }

    #[test]
    fn what_ran_is_what_is_resolved() {
        let machine = Machine { threads: "1".parse().ok(), ..Machine::default() };
        let place = open(&machine, Work::Training, Dtype::F64).unwrap();
        let resolved = place.resolved(&machine);
        assert_eq!((resolved.device, resolved.dtype), (Some(Device::Cpu), Some(Dtype::F64)));
        assert!(place.described().starts_with("cpu (") && place.described().contains(", 1 thread, "));
    }
}
