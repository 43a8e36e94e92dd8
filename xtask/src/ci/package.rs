//! Packs every published crate and checks what a user of the registry would get.
//!
//! `cargo package` builds each package by itself, most of the dependencies several times over. Here the
//! packages are unpacked side by side and checked as one workspace, in the profile and the target folder of
//! the step before, whose dependencies are then there already.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use cargo_metadata::{Metadata, MetadataCommand, Package};

use super::{cargo, finish};
use crate::root;

/// Packs, unpacks and checks.
///
/// # Errors
/// If a crate cannot be packed, or what was packed does not compile.
pub(super) fn run() -> Result<()> {
    let metadata = metadata()?;
    let published = published(&metadata);

    let mut pack = cargo("package --locked --no-verify");
    for package in &published {
        pack.args(["--package", package.name.as_str()]);
    }
    // A working tree with changes is packed as it is; in CI the tree must be clean.
    if std::env::var_os("CI").is_none() {
        pack.arg("--allow-dirty");
    }
    finish(&mut pack)?;

    let packed = metadata.target_directory.join("package").into_std_path_buf();
    let folder = packed.join("unpacked");
    if folder.exists() {
        std::fs::remove_dir_all(&folder).context("an old package cannot be removed")?;
    }
    std::fs::create_dir_all(&folder).context("no folder for the packages")?;
    let names: Vec<(String, String)> =
        published.iter().map(|p| (p.name.to_string(), format!("{}-{}", p.name, p.version))).collect();
    for (_, versioned) in &names {
        unpack(&packed.join(format!("{versioned}.crate")), &folder)?;
    }
    std::fs::write(folder.join("Cargo.toml"), manifest(&names)).context("no manifest can be written")?;
    std::fs::copy(root().join("Cargo.lock"), folder.join("Cargo.lock")).context("no lock file")?;
    let manifest = folder.join("Cargo.toml");
    let mut check = cargo("check --workspace --target-dir");
    finish(check.arg(metadata.target_directory.as_std_path()).arg("--manifest-path").arg(manifest))
}

/// The members of the workspace.
///
/// # Errors
/// If a manifest does not parse.
pub(super) fn metadata() -> Result<Metadata> {
    let mut command = MetadataCommand::new();
    command.manifest_path(root().join("Cargo.toml")).no_deps().exec().context("cargo metadata failed")
}

/// Those that go to the registry.
pub(super) fn published(metadata: &Metadata) -> Vec<&Package> {
    let mut packages = metadata.workspace_packages();
    packages.retain(|package| package.publish.as_ref().is_none_or(|registries| !registries.is_empty()));
    packages
}

fn unpack(archive: &Path, to: &Path) -> Result<()> {
    let status = Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(to).status().context("no tar")?;
    if !status.success() {
        bail!("{} does not unpack", archive.display());
    }
    Ok(())
}

/// A workspace of packages that takes each of them from its folder, not from the registry.
fn manifest(names: &[(String, String)]) -> String {
    let mut text = "[workspace]\nresolver = \"3\"\nmembers = [".to_owned();
    let mut patch = "\n[patch.crates-io]\n".to_owned();
    for (name, folder) in names {
        let _ = write!(text, "\"{folder}\", ");
        let _ = writeln!(patch, "{name} = {{ path = \"{folder}\" }}");
    }
    text + "]\n" + &patch
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn packages_are_members_and_replace_the_registry() {
        let text = manifest(&[("a".to_owned(), "a-0.1.0".to_owned())]);
        assert!(text.contains("members = [\"a-0.1.0\", ]"), "{text}");
        assert!(text.ends_with("[patch.crates-io]\na = { path = \"a-0.1.0\" }\n"), "{text}");
    }
}
