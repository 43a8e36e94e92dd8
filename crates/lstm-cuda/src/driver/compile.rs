//! NVRTC: from CUDA C++ to machine code for one architecture; and machine code that was packed with the
//! program for machines without NVRTC.

use std::ffi::{CStr, CString};
use std::path::{Path, PathBuf};

use cudarc::nvrtc::{result, sys};
use lstm_tensor::{Error, Result};

use super::cache::{self, Cache, Key};
use super::library::NVRTC;

const OP: &str = "compile kernels";

/// Options of every compilation beside the architecture. Rounding and denormals are IEEE's, as they are by
/// default: `--use_fast_math` would be faster and wrong.
const OPTIONS: [&str; 2] = ["--std=c++17", "--generate-line-info"];

/// Machine code of one architecture, and what the compiler said about it.
#[derive(Clone, Debug)]
pub struct Cubin {
    /// What the driver loads.
    pub image: Vec<u8>,
    /// Warnings; with `--ptxas-options=-v` also registers, memory and spills of each kernel.
    pub log: String,
}

/// The compiler of this machine.
///
/// It needs no GPU and no driver.
#[derive(Clone, Debug)]
pub struct Compiler {
    version: (i32, i32),
}

impl Compiler {
    /// The compiler of the system, or else the one in `folders` or where CUDA is usually installed.
    ///
    /// # Errors
    /// [`Error::Device`] without NVRTC, or with one that is too old.
    pub fn open(folders: &[PathBuf]) -> Result<Self> {
        NVRTC.open(folders).map_err(|missing| failed(crate::probe::advice(&NVRTC, &missing)))?;
        let (mut major, mut minor) = (0, 0);
        // SAFETY: both point to integers that live; the symbol exists, as the library was checked.
        unsafe { sys::nvrtcVersion(&raw mut major, &raw mut minor) }
            .result()
            .map_err(|e| failed(e.to_string()))?;
        Ok(Self { version: (major, minor) })
    }

    /// Major and minor version, `(13, 0)`.
    #[must_use]
    pub fn version(&self) -> (i32, i32) {
        self.version
    }

    /// The architecture to compile for on a device of this compute capability, `"sm_90a"`: where there are
    /// instructions that only this generation has, with these.
    ///
    /// # Errors
    /// [`Error::Device`] where the compiler does not know the device.
    pub fn architecture(&self, capability: (i32, i32)) -> Result<String> {
        let number = capability.0 * 10 + capability.1;
        let known = supported().map_err(|e| failed(e.to_string()))?;
        if !known.contains(&number) {
            let (major, minor) = self.version;
            return Err(failed(format!(
                "NVRTC {major}.{minor} does not compile for compute capability {}.{}; it knows {known:?}",
                capability.0, capability.1
            )));
        }
        Ok(architecture(capability))
    }

    /// Compiles `source` for `architecture`, with `extra` options.
    ///
    /// # Errors
    /// [`Error::Device`] with the compiler's own words.
    pub fn compile(&self, source: &str, architecture: &str, extra: &[&str]) -> Result<Cubin> {
        let source = CString::new(source).map_err(|_| failed("a NUL byte in the source".to_owned()))?;
        let program =
            result::create_program(&source, Some(c"kernels.cu")).map_err(|e| failed(e.to_string()))?;
        let program = Program(program);
        // SAFETY: the program lives until the end of this function; `options` holds no NUL byte, as cudarc
        // asks, since all of them are texts of this crate or names of architectures.
        let outcome = unsafe { result::compile_program(program.0, &options(architecture, extra)) };
        let log = program.log();
        outcome.map_err(|e| failed(format!("{e} for {architecture}\n{log}")))?;
        let image = program.image().map_err(|e| failed(e.to_string()))?;
        if image.is_empty() {
            return Err(failed(format!("{architecture} is no real architecture: there is no machine code")));
        }
        Ok(Cubin { image, log })
    }

    /// The machine code of `source`, from `cache` where it holds it.
    ///
    /// # Errors
    /// As [`Compiler::compile`]. A cache that cannot be read or written is no error.
    pub(crate) fn compile_cached(&self, source: &str, architecture: &str, cache: &Cache) -> Result<Vec<u8>> {
        let key = Key::new(self.version, &options(architecture, &[]), source);
        if let Some(image) = cache.load(&key) {
            return Ok(image);
        }
        let cubin = self.compile(source, architecture, &[])?;
        cache.store(&key, &cubin.image);
        Ok(cubin.image)
    }
}

/// Packs the machine code that [`Compiler::compile`] made of `source` for `architecture` into `folder`, so
/// that a program finds it there where NVRTC is missing or cannot compile for the device. It looks into the
/// folder that `LSTM_KERNELS` names; only where that is not set, into `lstm-kernels` beside the program or one
/// folder above it.
///
/// # Errors
/// [`Error::Device`] where the folder cannot be written.
pub fn pack(source: &str, architecture: &str, image: &[u8], folder: &Path) -> Result<()> {
    let key = Key::of_any_compiler(&options(architecture, &[]), source);
    cache::write(folder, &key, image).map_err(|error| Error::Device {
        op: "pack kernels",
        message: format!("{} cannot be written: {error}", folder.display()),
    })
}

/// Machine code of `source` for a device of this compute capability: compiled here, or where that fails,
/// packed with the program. `compiler` is an error where the compiler of this machine is of no use.
///
/// # Errors
/// [`Error::Device`] with what the compiler lacks, if nothing is packed either, or if `LSTM_KERNELS` names no
/// folder.
pub(crate) fn machine_code(
    source: &str,
    capability: (i32, i32),
    compiler: std::result::Result<(), String>,
) -> Result<Vec<u8>> {
    let packed = Cache::packed().map_err(failed)?;
    let compiled = compiler.map_err(failed).and_then(|()| {
        let compiler = Compiler::open(&[])?;
        compiler.compile_cached(source, &compiler.architecture(capability)?, &Cache::of_user())
    });
    or_packed(compiled, packed.as_ref(), source, capability)
}

fn or_packed(
    compiled: Result<Vec<u8>>,
    packed: Option<&Cache>,
    source: &str,
    capability: (i32, i32),
) -> Result<Vec<u8>> {
    compiled.or_else(|error| packed.and_then(|f| packed_in(f, source, capability)).ok_or(error))
}

/// Packed machine code of `source` that runs on a device of this compute capability: that of its own
/// architecture, or of the first one of its generation.
fn packed_in(folder: &Cache, source: &str, capability: (i32, i32)) -> Option<Vec<u8>> {
    [capability, (capability.0, 0)].into_iter().find_map(|runs| {
        let options = options(&architecture(runs), &[]);
        // Machine code with instructions of one generation's own runs on no other device.
        let own = runs == capability || runs != (9, 0);
        own.then(|| folder.load(&Key::of_any_compiler(&options, source))).flatten()
    })
}

/// Whether machine code of `source` that runs on a device of this compute capability is packed with the
/// program.
///
/// # Errors
/// A sentence where `LSTM_KERNELS` names no folder.
pub(crate) fn is_packed(source: &str, capability: (i32, i32)) -> std::result::Result<bool, String> {
    Ok(Cache::packed()?.is_some_and(|folder| packed_in(&folder, source, capability).is_some()))
}

/// The architecture of a compute capability; where there are instructions that only this generation has,
/// with these.
fn architecture(capability: (i32, i32)) -> String {
    let number = capability.0 * 10 + capability.1;
    format!("sm_{number}{}", if capability == (9, 0) { "a" } else { "" })
}

/// All options of a compilation.
fn options(architecture: &str, extra: &[&str]) -> Vec<String> {
    let architecture = format!("--gpu-architecture={architecture}");
    std::iter::once(architecture).chain(OPTIONS.iter().chain(extra).map(|&o| o.to_owned())).collect()
}

/// Compute capabilities that the compiler knows, as `[75, 80, …]`.
fn supported() -> std::result::Result<Vec<i32>, result::NvrtcError> {
    let mut count = 0;
    // SAFETY: the number is written to an integer that lives.
    unsafe { sys::nvrtcGetNumSupportedArchs(&raw mut count) }.result()?;
    let mut known = vec![0; usize::try_from(count).unwrap_or(0)];
    // SAFETY: room for as many as NVRTC has just said that there are.
    unsafe { sys::nvrtcGetSupportedArchs(known.as_mut_ptr()) }.result()?;
    Ok(known)
}

fn failed(message: String) -> Error {
    Error::Device { op: OP, message }
}

/// A program of NVRTC, destroyed when it goes out of scope.
struct Program(sys::nvrtcProgram);

impl Program {
    /// What the compiler said.
    fn log(&self) -> String {
        // SAFETY: the program lives; cudarc asks for the size first.
        let Ok(log) = (unsafe { result::get_program_log(self.0) }) else { return String::new() };
        if log.last() != Some(&0) {
            return String::new();
        }
        // SAFETY: the text ends with a NUL byte, as has just been seen.
        unsafe { CStr::from_ptr(log.as_ptr()) }.to_string_lossy().into_owned()
    }

    /// The machine code; cudarc has no function for it.
    fn image(&self) -> std::result::Result<Vec<u8>, result::NvrtcError> {
        let mut size = 0;
        // SAFETY: the program lives and the size is written to an integer that does.
        unsafe { sys::nvrtcGetCUBINSize(self.0, &raw mut size) }.result()?;
        let mut image = vec![0u8; size];
        // SAFETY: room for as many bytes as NVRTC has just asked for.
        unsafe { sys::nvrtcGetCUBIN(self.0, image.as_mut_ptr().cast()) }.result()?;
        Ok(image)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // SAFETY: created by `create_program`, destroyed only here. A failure leaks it: nothing else to do.
        let _ = unsafe { result::destroy_program(self.0) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_name_the_architecture_first() {
        assert_eq!(
            options("sm_90a", &["--ptxas-options=-v"]),
            ["--gpu-architecture=sm_90a", "--std=c++17", "--generate-line-info", "--ptxas-options=-v"]
        );
    }

    #[test]
    fn packed_kernels_are_found_by_architecture_and_source() {
        let folder = tempfile::tempdir().unwrap();
        for architecture in ["sm_80", "sm_90a"] {
            pack("source", architecture, architecture.as_bytes(), folder.path()).unwrap();
        }
        let find = |source, capability| {
            let found = packed_in(&Cache::at(folder.path()), source, capability)?;
            Some(String::from_utf8(found).unwrap())
        };
        assert_eq!(find("source", (8, 0)).as_deref(), Some("sm_80"));
        assert_eq!(find("source", (8, 9)).as_deref(), Some("sm_80"));
        assert_eq!(find("source", (9, 0)).as_deref(), Some("sm_90a"));
        assert_eq!(find("source", (10, 0)), None);
        assert_eq!(find("other", (9, 0)), None);
        assert!(packed_in(&Cache::at(&folder.path().join("no")), "source", (9, 0)).is_none());
    }

    /// NVRTC that is missing, that does not know the device, that is newer than the driver: all the same.
    #[test]
    fn packed_kernels_stand_in_for_a_compiler_that_fails() {
        let folder = tempfile::tempdir().unwrap();
        pack("source", "sm_120", b"packed", folder.path()).unwrap();
        let packed = Cache::at(folder.path());
        let fails = || Err(failed("NVRTC 12.0 does not compile for compute capability 12.0".to_owned()));
        let get = |compiled, capability| or_packed(compiled, Some(&packed), "source", capability);
        assert_eq!(get(Ok(b"compiled".to_vec()), (12, 0)).unwrap(), b"compiled");
        assert_eq!(get(fails(), (12, 0)).unwrap(), b"packed");
        for error in [get(fails(), (8, 0)), or_packed(fails(), None, "source", (12, 0))] {
            assert!(error.unwrap_err().to_string().contains("NVRTC 12.0 does not compile"));
        }
    }

    #[test]
    fn without_a_compiler_there_is_advice() {
        match Compiler::open(&[]) {
            Ok(compiler) => assert!(compiler.version().0 >= 11),
            Err(error) => assert!(error.to_string().contains("nvrtc"), "{error}"),
        }
    }

    #[test]
    fn sources_compile_and_mistakes_are_named() {
        let Ok(compiler) = Compiler::open(&[]) else {
            eprintln!("SKIPPED: NVRTC is not there");
            return;
        };
        let source = "extern \"C\" __global__ void twice(float* x) { x[threadIdx.x] *= 2.0f; }";
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path());
        let first = compiler.compile_cached(source, "sm_90a", &cache).unwrap();
        assert_eq!(compiler.compile_cached(source, "sm_90a", &cache).unwrap(), first);
        assert!(compiler.compile(source, "compute_90", &[]).is_err());
        let error = compiler.compile("__global__ void k() { bad }", "sm_80", &[]).unwrap_err();
        assert!(error.to_string().contains("\"bad\" is undefined"), "{error}");
    }
}
