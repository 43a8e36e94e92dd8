//! Compiles the CUDA backend's kernels with g++ against the emulator's vocabulary.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let here = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let (emulator, kernels) = (here.join("emu"), here.join("../lstm-cuda/src/kernels"));
    println!("cargo::rerun-if-changed={}", emulator.display());
    println!("cargo::rerun-if-changed={}", kernels.display());

    // One translation unit, so that the linker cannot leave out kernels that register themselves.
    let mut all = String::from("#include \"launch.cpp\"\n");
    for kernel in sources(&kernels)? {
        writeln!(all, "#include \"{kernel}\"")?;
    }
    writeln!(all, "#include \"findings.cu\"")?;
    let unit = PathBuf::from(env::var("OUT_DIR")?).join("kernels.cpp");
    fs::write(&unit, all)?;

    let mut build = cc::Build::new();
    build.cpp(true).std("c++17").opt_level(2).debug(false).include(emulator).include(kernels).file(unit);
    // The device fuses products and sums where the compiler likes; here nothing may depend on that.
    build
        .flag("-Wno-unknown-pragmas")
        .flag("-ffp-contract=off")
        .flag("-fno-exceptions")
        .define("LSTM_EMULATOR", None);
    if let Err(error) = build.try_compile("lstm_cuda_emulator") {
        return Err(format!(
            "the kernels cannot be compiled for the emulator: {error}\n\
             A C++17 compiler is needed to test the CUDA backend (not to use it): install g++ \
             (Debian and Ubuntu: apt-get install g++; Fedora: dnf install gcc-c++; macOS: xcode-select --install)"
        )
        .into());
    }
    Ok(())
}

/// Names of the kernels' sources, in order.
fn sources(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".cu") {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}
