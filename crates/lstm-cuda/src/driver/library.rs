//! Finds NVIDIA's shared libraries and makes sure that calling into them cannot panic.
//!
//! cudarc opens a library, and each symbol of it, at the first use, and panics where one is missing. So
//! everything that this crate calls is looked up here first. cudarc's own `is_culib_present` is not enough:
//! it knows nothing of symbols, and does not exist where another crate has switched cudarc to linking.

use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
use std::path::{Path, PathBuf};

use cudarc::driver::sys::CUDA_VERSION;

/// One of the three libraries that the backend calls.
#[derive(Debug)]
pub(crate) struct Library {
    /// Name without prefix and suffix, `"nvrtc"`.
    name: &'static str,
    /// Libraries that it opens itself, which must be open before it where it lies outside the search path.
    companions: &'static [&'static str],
    /// Every symbol that is called, directly or by cudarc.
    symbols: &'static [&'static str],
}

/// Why a library cannot be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// It was not found.
    File,
    /// It was found, but lacks this symbol: it is older than what is needed, or a stub.
    Symbol(&'static str),
}

/// The driver's own library; it comes with the driver, never with the toolkit.
pub(crate) const DRIVER: Library = Library {
    name: "cuda",
    companions: &[],
    symbols: &[
        "cuCtxGetCurrent",
        "cuCtxSetCurrent",
        "cuDeviceGet",
        "cuDeviceGetAttribute",
        "cuDeviceGetCount",
        "cuDeviceGetName",
        "cuDevicePrimaryCtxRelease_v2",
        "cuDevicePrimaryCtxRetain",
        "cuDeviceTotalMem_v2",
        "cuDriverGetVersion",
        "cuFuncSetAttribute",
        "cuGetErrorName",
        "cuGetErrorString",
        "cuGraphDestroy",
        "cuGraphExecDestroy",
        "cuGraphInstantiateWithFlags",
        "cuGraphLaunch",
        "cuGraphUpload",
        "cuInit",
        "cuLaunchKernel",
        "cuMemAlloc_v2",
        "cuMemFree_v2",
        "cuMemGetInfo_v2",
        "cuMemcpyDtoDAsync_v2",
        "cuMemcpyDtoHAsync_v2",
        "cuMemcpyHtoDAsync_v2",
        "cuMemsetD2D8Async",
        "cuMemsetD8Async",
        "cuModuleGetFunction",
        "cuModuleLoadData",
        "cuModuleUnload",
        "cuStreamBeginCapture_v2",
        "cuStreamCreate",
        "cuStreamDestroy_v2",
        "cuStreamEndCapture",
        "cuStreamSynchronize",
    ],
};

/// The compiler.
pub(crate) const NVRTC: Library = Library {
    name: "nvrtc",
    companions: &["nvrtc-builtins"],
    symbols: &[
        "nvrtcCompileProgram",
        "nvrtcCreateProgram",
        "nvrtcDestroyProgram",
        "nvrtcGetCUBIN",
        "nvrtcGetCUBINSize",
        "nvrtcGetNumSupportedArchs",
        "nvrtcGetProgramLog",
        "nvrtcGetProgramLogSize",
        "nvrtcGetSupportedArchs",
        "nvrtcVersion",
    ],
};

/// Matrix products.
pub(crate) const CUBLAS: Library = Library {
    name: "cublas",
    companions: &["cublasLt"],
    symbols: &[
        "cublasCreate_v2",
        "cublasDestroy_v2",
        "cublasGemmEx",
        "cublasGemmStridedBatchedEx",
        "cublasGetProperty",
        "cublasSetStream_v2",
        "cublasSetWorkspace_v2",
    ],
};

impl Library {
    /// Opens the library for as long as the process lives, from the system's search path or else from one of
    /// `folders` or of [`well_known`], so that cudarc finds it by its name afterwards.
    pub(crate) fn open(&self, folders: &[PathBuf]) -> Result<(), Missing> {
        let library = self
            .by_name()
            .or_else(|| folders.iter().cloned().chain(well_known()).find_map(|folder| self.inside(&folder)))
            .ok_or(Missing::File)?;
        for symbol in self.symbols {
            // SAFETY: the symbol is looked up, not called; a function is at least an address.
            let found = unsafe { library.get::<*const ()>(symbol.as_bytes()) };
            found.map_err(|_| Missing::Symbol(symbol))?;
        }
        // Closing it would undo what opening by its full path was for.
        std::mem::forget(library);
        Ok(())
    }

    /// What people call the file, `"libnvrtc.so.13"`.
    pub(crate) fn file_name(&self) -> String {
        let version = if self.name == DRIVER.name { 1 } else { CUDA_VERSION / 1000 };
        format!("{DLL_PREFIX}{}{DLL_SUFFIX}.{version}", self.name)
    }

    /// A library that the system finds under a name that cudarc will try too.
    fn by_name(&self) -> Option<libloading::Library> {
        let major = CUDA_VERSION / 1000;
        let plain = format!("{DLL_PREFIX}{}{DLL_SUFFIX}", self.name);
        let mut names = vec![
            plain.clone(),
            // Windows puts the version into the name itself.
            format!("{DLL_PREFIX}{}64_{major}{DLL_SUFFIX}", self.name),
            format!("{DLL_PREFIX}{}64_{major}0_0{DLL_SUFFIX}", self.name),
            format!("{DLL_PREFIX}nv{}{DLL_SUFFIX}", self.name),
        ];
        names.extend([major, 12, 1].map(|version| format!("{plain}.{version}")));
        names.into_iter().find_map(open)
    }

    /// The library in `folder`, with its companions, opened by path and then again by name.
    fn inside(&self, folder: &Path) -> Option<libloading::Library> {
        let own = files(folder, self.name);
        if own.is_empty() {
            return None;
        }
        for file in self.companions.iter().flat_map(|companion| files(folder, companion)).chain(own) {
            std::mem::forget(open(file));
        }
        // Another major version than cudarc tries may lie there: then it still is not to be had.
        self.by_name()
    }
}

/// Opens one file or name.
fn open(name: impl AsRef<std::ffi::OsStr>) -> Option<libloading::Library> {
    // SAFETY: opening runs the initialisers of the library. These are NVIDIA's, which any program that uses
    // CUDA runs, or those of a file that whoever runs this program has put in their place.
    unsafe { libloading::Library::new(name.as_ref()) }.ok()
}

/// Files of library `name` in `folder`, in the order of their names.
fn files(folder: &Path, name: &str) -> Vec<PathBuf> {
    let start = format!("{DLL_PREFIX}{name}{DLL_SUFFIX}");
    let Ok(entries) = folder.read_dir() else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.file_name().is_some_and(|file| file.to_string_lossy().starts_with(&start)))
        .collect();
    files.sort();
    files
}

/// Folders where CUDA's libraries lie although the system does not search there.
fn well_known() -> impl Iterator<Item = PathBuf> {
    let variables = ["CUDA_HOME", "CUDA_PATH"].into_iter().filter_map(std::env::var_os);
    let toolkits = variables.map(PathBuf::from).chain(["/usr/local/cuda".into(), "/opt/cuda".into()]);
    let fixed = ["/usr/local/nvidia/lib64", "/usr/lib/wsl/lib"].map(PathBuf::from);
    toolkits.map(|folder| folder.join("lib64")).chain(fixed).chain(python_packages())
}

/// Where Python's packages of CUDA put the libraries.
fn python_packages() -> impl Iterator<Item = PathBuf> {
    let homes = ["VIRTUAL_ENV", "CONDA_PREFIX"].into_iter().filter_map(std::env::var_os).map(PathBuf::from);
    let user = std::env::var_os("HOME").map(|home| Path::new(&home).join(".local"));
    let roots = homes.chain(user).chain(["/usr/local".into(), "/usr".into()]);
    roots.map(|root| root.join("lib")).flat_map(|lib| {
        let versions = lib.read_dir().into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
        let versions = versions
            .filter(|path| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("python3")));
        let sites = versions
            .flat_map(|path| ["site-packages", "dist-packages"].map(|site| path.join(site).join("nvidia")));
        let major = CUDA_VERSION / 1000;
        sites
            .flat_map(|nvidia| {
                [format!("cu{major}"), "cuda_nvrtc".to_owned(), "cublas".to_owned()]
                    .map(|package| nvidia.join(package).join("lib"))
            })
            .collect::<Vec<_>>()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOWHERE: Library = Library { name: "lstm-no-such-library", companions: &[], symbols: &[] };

    #[test]
    fn what_is_not_there_is_missing() {
        assert_eq!(NOWHERE.open(&[PathBuf::from("/nonexistent")]), Err(Missing::File));
    }

    #[test]
    fn a_file_that_is_no_library_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(NOWHERE.file_name()), b"no library").unwrap();
        assert_eq!(files(folder.path(), NOWHERE.name).len(), 1);
        assert_eq!(NOWHERE.open(&[folder.path().to_owned()]), Err(Missing::File));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_library_without_a_symbol_is_told_apart() {
        // The C library's companion for mathematics is on every Linux, and is no CUDA library.
        let stub = Library { name: "gcc_s", companions: &[], symbols: &["cuInit"] };
        assert!(matches!(stub.open(&[]), Err(Missing::Symbol("cuInit") | Missing::File)));
    }

    #[test]
    fn symbols_are_sorted_and_named_once() {
        for library in [DRIVER, NVRTC, CUBLAS] {
            assert!(library.symbols.is_sorted_by(|a, b| a < b), "{}", library.name);
        }
    }
}
