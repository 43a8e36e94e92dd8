//! What of CUDA this machine has, found out without ever panicking.

use std::fmt;
use std::path::PathBuf;

use cudarc::driver::result::{self, DriverError};
use cudarc::driver::sys::{self, CUdevice_attribute as Attribute};
use cudarc::{cublas, nvrtc};

use crate::driver::compile;
use crate::driver::library::{CUBLAS, DRIVER, Library, Missing, NVRTC};
use crate::kernels;

/// The oldest version of CUDA whose driver can record launches as this backend does.
const OLDEST: Version = Version { major: 12, minor: 0 };

/// Major and minor version of CUDA, of a driver or a library.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// The 13 of 13.0.
    pub major: i32,
    /// The 0 of 13.0.
    pub minor: i32,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// A GPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Number to ask for it by, as in `--device cuda:0`.
    pub ordinal: usize,
    /// Name, `"NVIDIA H200"`.
    pub name: String,
    /// Compute capability, `(9, 0)`.
    pub capability: (i32, i32),
    /// Bytes of memory in all.
    pub memory: usize,
}

/// What of CUDA is there. Where something is not, the sentence says what is missing and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The newest CUDA that the driver runs.
    pub driver: Result<Version, String>,
    /// The compiler of kernels.
    pub nvrtc: Result<Version, String>,
    /// The library of matrix products.
    pub cublas: Result<Version, String>,
    /// The GPUs; empty without a driver.
    pub devices: Vec<Device>,
}

impl Report {
    /// One sentence for each thing that is missing; none if kernels can run. The compiler is not missed where
    /// kernels for a device are packed with the program ([`crate::driver::compile::pack`]).
    #[must_use]
    pub fn missing(&self) -> Vec<String> {
        let mut missing: Vec<String> = self.driver.as_ref().err().cloned().into_iter().collect();
        let packed = self.is_packed();
        let compiler = self.compiler().err().filter(|_| packed == Ok(false));
        missing.extend([compiler, packed.err(), self.cublas.as_ref().err().cloned()].into_iter().flatten());
        if let Ok(driver) = self.driver.as_ref()
            && *driver < OLDEST
        {
            missing.push(format!(
                "the NVIDIA driver is too old: it runs CUDA {driver}, but {OLDEST} or newer is needed"
            ));
        }
        if self.driver.is_ok() && self.devices.is_empty() {
            missing.push("the NVIDIA driver is there, but finds no GPU".to_owned());
        }
        missing
    }

    /// Whether the compiler can be used with this driver; if not, a sentence says why.
    pub(crate) fn compiler(&self) -> Result<(), String> {
        let nvrtc = self.nvrtc.as_ref().map_err(String::clone)?;
        match &self.driver {
            // A driver that is too old for this crate has a sentence of its own.
            Ok(driver) if *driver >= OLDEST && nvrtc.major > driver.major => Err(format!(
                "the NVIDIA driver is too old for the compiler: it runs CUDA {driver}, libnvrtc is of {nvrtc}; \
                 update the driver or install libnvrtc and libcublas of CUDA {}",
                driver.major
            )),
            _ => Ok(()),
        }
    }

    /// Whether kernels for one of the devices are packed with the program.
    fn is_packed(&self) -> Result<bool, String> {
        let source = kernels::source();
        let mut found = false;
        for device in &self.devices {
            found |= compile::is_packed(&source, device.capability)?;
        }
        Ok(found)
    }

    /// Whether kernels can run.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.missing().is_empty()
    }
}

/// The number of a GPU from its name: `cuda` is the first one, `cuda:N` that of this number.
#[must_use]
pub fn ordinal(name: &str) -> Option<usize> {
    if name == "cuda" {
        return Some(0);
    }
    // A number alone: `parse` would take a sign too.
    let number = name.strip_prefix("cuda:").filter(|number| number.bytes().all(|b| b.is_ascii_digit()))?;
    number.parse().ok()
}

/// Looks at the driver, the libraries and the devices. Never panics, whatever is missing.
#[must_use]
pub fn probe() -> Report {
    probe_in(&[])
}

/// As [`probe`], but looks for libraries in `folders` first where the system does not find them.
#[must_use]
pub fn probe_in(folders: &[PathBuf]) -> Report {
    let version = |library: &Library, ask: fn() -> Result<Version, String>| {
        library.open(folders).map_err(|missing| advice(library, &missing)).and_then(|()| ask())
    };
    let mut driver = version(&DRIVER, driver_version);
    let devices = match devices(driver.is_ok()) {
        Ok(devices) => devices,
        Err(sentence) => {
            driver = Err(sentence);
            Vec::new()
        }
    };
    Report {
        driver,
        nvrtc: version(&NVRTC, nvrtc_version),
        cublas: version(&CUBLAS, cublas_version),
        devices,
    }
}

/// What to do about a library that cannot be used.
pub(crate) fn advice(library: &Library, missing: &Missing) -> String {
    let file = library.file_name();
    let of_driver = file == DRIVER.file_name();
    match missing {
        Missing::File if of_driver => {
            format!("no NVIDIA driver ({file} is not there): install one, version 580 or newer")
        }
        Missing::File => format!(
            "{file} is not there: install the CUDA toolkit, or `pip install nvidia-cuda-nvrtc==13.0.* \
             nvidia-cublas==13.0.*` and set CUDA_HOME if it is in an unusual place"
        ),
        Missing::Symbol(symbol) if of_driver => format!(
            "the NVIDIA driver is too old or a stub ({file} has no {symbol}): install version 580 or newer"
        ),
        Missing::Symbol(symbol) => {
            format!(
                "{file} is too old or a stub (it has no {symbol}): install that of CUDA {OLDEST} or newer"
            )
        }
    }
}

fn driver_version() -> Result<Version, String> {
    let mut version = 0;
    // SAFETY: the number is written to an integer that lives; the symbol was checked.
    unsafe { sys::cuDriverGetVersion(&raw mut version) }.result().map_err(|e| refused(&e))?;
    Ok(Version { major: version / 1000, minor: version % 1000 / 10 })
}

fn nvrtc_version() -> Result<Version, String> {
    let (mut major, mut minor) = (0, 0);
    // SAFETY: both numbers are written to integers that live; the symbol was checked.
    let status = unsafe { nvrtc::sys::nvrtcVersion(&raw mut major, &raw mut minor) };
    status.result().map_err(|e| format!("libnvrtc does not answer: {e}"))?;
    Ok(Version { major, minor })
}

fn cublas_version() -> Result<Version, String> {
    use cublas::sys::libraryPropertyType::{MAJOR_VERSION, MINOR_VERSION};
    let property = |which| {
        let mut value = 0;
        // SAFETY: the number is written to an integer that lives; the symbol was checked.
        let status = unsafe { cublas::sys::cublasGetProperty(which, &raw mut value) };
        status.result().map(|()| value).map_err(|e| format!("libcublas does not answer: {e}"))
    };
    Ok(Version { major: property(MAJOR_VERSION)?, minor: property(MINOR_VERSION)? })
}

/// The GPUs; an error is a sentence about the driver.
fn devices(driver: bool) -> Result<Vec<Device>, String> {
    if !driver {
        return Ok(Vec::new());
    }
    match result::init() {
        // The driver is there and works: that there is no GPU is for the report to say.
        Err(DriverError(sys::CUresult::CUDA_ERROR_NO_DEVICE)) => return Ok(Vec::new()),
        initialised => initialised.map_err(|e| refused(&e))?,
    }
    let count = result::device::get_count().map_err(|e| refused(&e))?;
    (0..count).map(|ordinal| device(ordinal).map_err(|e| refused(&e))).collect()
}

fn device(ordinal: i32) -> Result<Device, DriverError> {
    let device = result::device::get(ordinal)?;
    // SAFETY: the driver has just given this device; so for all of them below.
    let attribute = |which| unsafe { result::device::get_attribute(device, which) };
    Ok(Device {
        ordinal: usize::try_from(ordinal).unwrap_or(0),
        name: result::device::get_name(device)?,
        capability: (
            attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
            attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
        ),
        // SAFETY: as above.
        memory: unsafe { result::device::total_mem(device) }?,
    })
}

fn refused(error: &DriverError) -> String {
    format!("the NVIDIA driver does not start: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const V13: Version = Version { major: 13, minor: 0 };

    fn whole() -> Report {
        let device = Device { ordinal: 0, name: "GPU".to_owned(), capability: (9, 0), memory: 1 << 30 };
        Report { driver: Ok(V13), nvrtc: Ok(V13), cublas: Ok(V13), devices: vec![device] }
    }

    #[test]
    fn this_machine_is_looked_at_without_a_panic() {
        let report = probe();
        assert_eq!(report.is_usable(), report.missing().is_empty());
        assert_eq!(report, probe(), "looking twice finds the same");
        if report.driver.is_err() {
            assert!(report.devices.is_empty());
            assert!(report.missing()[0].contains("NVIDIA driver"), "{report:?}");
        }
    }

    #[test]
    fn each_thing_that_is_missing_gets_one_sentence() {
        assert!(whole().is_usable());
        let without = |change: fn(&mut Report)| {
            let mut report = whole();
            change(&mut report);
            report.missing()
        };
        let driver = without(|r| {
            r.driver = Err(advice(&DRIVER, &Missing::File));
            r.devices.clear();
        });
        assert!(driver.len() == 1 && driver[0].starts_with("no NVIDIA driver"), "{driver:?}");
        let nvrtc = without(|r| r.nvrtc = Err(advice(&NVRTC, &Missing::File)));
        assert!(nvrtc.len() == 1 && nvrtc[0].contains("nvrtc") && nvrtc[0].contains("install"), "{nvrtc:?}");
        let gpu = without(|r| r.devices.clear());
        assert!(gpu.len() == 1 && gpu[0].contains("no GPU"), "{gpu:?}");
    }

    #[test]
    fn old_drivers_are_named_with_both_versions() {
        let mut report = whole();
        report.driver = Ok(Version { major: 11, minor: 4 });
        assert!(report.missing()[0].contains("11.4") && report.missing()[0].contains("12.0"));
        report.driver = Ok(Version { major: 12, minor: 8 });
        assert!(report.missing()[0].contains("12.8") && report.missing()[0].contains("13.0"));
        report.nvrtc = Ok(Version { major: 12, minor: 9 });
        assert!(report.is_usable(), "a newer minor version is compatible");
    }

    #[test]
    fn devices_have_numbers() {
        for (name, number) in [("cuda", 0), ("cuda:0", 0), ("cuda:12", 12)] {
            assert_eq!(ordinal(name), Some(number));
        }
        let too_large = format!("cuda:{}0", usize::MAX);
        for name in
            ["", "cpu", "CUDA", "cuda:", "cuda:x", "cuda:-1", "cuda:+1", "cuda: 1", "cuda:1:2", &too_large]
        {
            assert_eq!(ordinal(name), None, "{name}");
        }
    }

    #[test]
    fn stubs_are_told_from_absence() {
        assert!(advice(&DRIVER, &Missing::Symbol("cuInit")).contains("no cuInit"));
        assert!(advice(&CUBLAS, &Missing::Symbol("cublasGemmEx")).contains("no cublasGemmEx"));
    }
}
