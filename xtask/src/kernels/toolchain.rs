//! NVIDIA's compiler and disassembler, from PyPI into a virtual environment below `target`.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What is installed, pinned: registers depend on the compiler. The sources include no CUDA header, so that
/// two packages are enough. NVRTC brings its own ptxas; there is no disassembler of 13.0, and newer ones
/// read its machine code.
const PACKAGES: [&str; 2] = ["nvidia-cuda-nvrtc==13.0.88", "nvidia-cuda-nvdisasm==13.5.37"];

/// How much that is.
const SIZE: &str = "95 MB to download once, 250 MB on disk";

/// The tools, installed.
pub(super) struct Toolchain {
    /// The folder with `bin` and `lib`.
    cuda: PathBuf,
}

impl Toolchain {
    /// The tools in `folder`, which are downloaded if they are not there yet.
    ///
    /// # Errors
    /// A sentence that says why they cannot be had.
    pub(super) fn install(folder: &Path, offline: bool) -> Result<Self, String> {
        let mark = folder.join("installed");
        let wanted = PACKAGES.join("\n");
        if std::fs::read_to_string(&mark).is_ok_and(|there| there == wanted) {
            return Self::find(folder);
        }
        if offline {
            return Err("the kernel compiler is not installed, and nothing is to be downloaded".to_owned());
        }
        println!("installing {} into {} ({SIZE})", PACKAGES.join(" and "), folder.display());
        call(Command::new("python3").args(["-m", "venv", "--clear"]).arg(folder), "python3 -m venv")?;
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"];
        let patience = ["--retries", "1", "--timeout", "20"];
        let python = folder.join("bin/python");
        call(Command::new(python).args(pip).args(patience).args(PACKAGES), "pip install")?;
        let toolchain = Self::find(folder)?;
        std::fs::write(&mark, wanted)
            .map_err(|error| format!("{} cannot be written: {error}", mark.display()))?;
        Ok(toolchain)
    }

    /// Looks where pip has put the packages.
    fn find(folder: &Path) -> Result<Self, String> {
        let versions = folder.join("lib").read_dir().into_iter().flatten().flatten();
        let mut found = versions.map(|version| version.path().join("site-packages/nvidia/cu13"));
        found
            .find(|cuda| cuda.join("bin/nvdisasm").is_file())
            .map(|cuda| Self { cuda })
            .ok_or_else(|| format!("{} lacks the compiler; delete it", folder.display()))
    }

    /// The folder of the shared libraries.
    pub(super) fn libraries(&self) -> PathBuf {
        self.cuda.join("lib")
    }

    /// The program that turns machine code into text.
    pub(super) fn disassembler(&self) -> PathBuf {
        self.cuda.join("bin/nvdisasm")
    }
}

fn call(command: &mut Command, what: &str) -> Result<(), String> {
    let output =
        command.output().map_err(|error| format!("the kernel compiler is not there: {what}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let last = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no reason given");
    Err(format!("the kernel compiler is not there: {what} failed: {}", last.trim()))
}
