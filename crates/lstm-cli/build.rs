//! Puts the experiments' TOML files into the binary: writes the list that `repro` includes.

use std::error::Error;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() -> Result<(), Box<dyn Error>> {
    let here = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    // In the workspace the folder stands at the root; in a package it lies beside this file.
    let folders = [here.join("../../experiments"), here.join("experiments")];
    let folder = folders.iter().find(|f| f.is_dir()).ok_or("the folder `experiments` is missing")?;
    let mut text = String::new();
    list(&mut text, "EXPERIMENTS", folder)?;
    list(&mut text, "CLAIMS", &folder.join("claims"))?;
    fs::write(PathBuf::from(env::var("OUT_DIR")?).join("experiments.rs"), text)?;
    Ok(())
}

/// A constant with the name and the text of every TOML file in `folder`, in the order of their names.
fn list(text: &mut String, constant: &str, folder: &Path) -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder)?.map(|e| Ok(e?.path())).collect::<Result<_, std::io::Error>>()?;
    files.retain(|file| file.extension().is_some_and(|e| e == "toml"));
    files.sort_by(|a, b| a.file_stem().cmp(&b.file_stem()));
    writeln!(text, "const {constant}: &[(&str, &str)] = &[")?;
    for file in files {
        println!("cargo::rerun-if-changed={}", file.display());
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        writeln!(text, "    ({name:?}, include_str!({:?})),", file.canonicalize()?)?;
    }
    writeln!(text, "];")?;
    Ok(())
}
