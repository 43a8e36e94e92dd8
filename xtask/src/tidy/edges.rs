//! Who may import whom: the dependency graph against the table of allowed arrows.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use cargo_metadata::{DependencyKind, MetadataCommand};

/// The arrows of docs/architecture.md: each crate under `crates/` with the siblings that it may import.
///
/// nn, optim, data, cpu and cuda stand side by side: no arrow joins two of them. A new crate gets a row here.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("lstm-tensor", &[]),
    ("lstm-data", &[]),
    ("lstm-cuda-emu", &["lstm-tensor", "lstm-cuda"]),
    ("lstm-cpu", &["lstm-tensor"]),
    ("lstm-cuda", &["lstm-tensor"]),
    ("lstm-nn", &["lstm-tensor"]),
    ("lstm-optim", &["lstm-tensor"]),
    ("lstm-testkit", &["lstm-tensor"]),
    ("lstm-train", &["lstm-tensor", "lstm-nn", "lstm-optim", "lstm-data"]),
    ("lstm", &["lstm-tensor", "lstm-cpu", "lstm-cuda", "lstm-nn", "lstm-optim", "lstm-data", "lstm-train"]),
    (
        "lstm-cli",
        &["lstm-tensor", "lstm-cpu", "lstm-cuda", "lstm-nn", "lstm-optim", "lstm-data", "lstm-train"],
    ),
];

/// What only dev-dependencies may add to [`MAY_IMPORT`]: the testkit, for crates that it does not import itself.
const MAY_IMPORT_IN_TESTS: &[&str] = &["lstm-testkit"];

/// Packages outside `crates/`: they may import anything, and nobody imports them.
const TOP: &[&str] = &["xtask", "lstm-tests", "lstm-benches"];

/// A member of the workspace, as far as the checks need it.
#[derive(Debug, Clone, Default)]
pub(super) struct Crate {
    /// Package name.
    pub(super) name: String,
    /// Folder of its manifest, relative to the root, with forward slashes.
    pub(super) folder: String,
    /// Direct dependencies.
    pub(super) imports: Vec<Import>,
    /// Features with what each switches on.
    pub(super) features: BTreeMap<String, Vec<String>>,
}

/// One direct dependency of a [`Crate`].
#[derive(Debug, Clone)]
pub(super) struct Import {
    /// Package name.
    pub(super) name: String,
    /// Only for tests, examples and benches.
    pub(super) dev: bool,
    /// Off unless a feature asks for it.
    pub(super) optional: bool,
}

/// Reads the members of the workspace at `root` from `cargo metadata`.
///
/// # Errors
/// If a manifest does not parse.
pub(super) fn read(root: &Path) -> Result<Vec<Crate>> {
    let metadata = MetadataCommand::new()
        .manifest_path(root.join("Cargo.toml"))
        .no_deps()
        .other_options(["--offline".to_owned()])
        .exec()
        .context("cargo metadata failed")?;
    let mut crates = Vec::new();
    for package in metadata.workspace_packages() {
        let folder = package.manifest_path.parent().context("a manifest lies in a folder")?;
        let folder = folder.strip_prefix(&metadata.workspace_root).unwrap_or(folder);
        crates.push(Crate {
            name: package.name.to_string(),
            folder: folder.as_str().replace('\\', "/"),
            imports: package
                .dependencies
                .iter()
                .map(|dependency| Import {
                    name: dependency.name.clone(),
                    dev: dependency.kind == DependencyKind::Development,
                    optional: dependency.optional,
                })
                .collect(),
            features: package.features.clone(),
        });
    }
    Ok(crates)
}

/// Returns one sentence for each forbidden arrow, misplaced folder or default that pulls in CUDA.
pub(super) fn check(crates: &[Crate]) -> Vec<String> {
    let mut problems = Vec::new();
    for member in crates {
        problems.extend(placed(member));
        problems.extend(arrows(member, crates));
        problems.extend(cuda_is_optional(member));
    }
    problems
}

/// Folder name = crate name under `crates/`; everything else is one of [`TOP`].
fn placed(member: &Crate) -> Option<String> {
    let Crate { name, folder, .. } = member;
    if TOP.contains(&name.as_str()) || *folder == format!("crates/{name}") {
        return None;
    }
    Some(format!("{name} lies in {folder}; a crate's folder is crates/ and its name"))
}

fn arrows(member: &Crate, crates: &[Crate]) -> Vec<String> {
    let name = member.name.as_str();
    let mut problems = Vec::new();
    for import in &member.imports {
        let other = import.name.as_str();
        if other == "cudarc" && name != "lstm-cuda" {
            problems.push(format!("{name} imports cudarc; only lstm-cuda may"));
        }
        if TOP.contains(&other) {
            problems.push(format!("{name} imports {other}, which nobody may import"));
        }
        let sibling = crates.iter().any(|c| c.name == other) || MAY_IMPORT.iter().any(|(c, _)| *c == other);
        if !sibling || TOP.contains(&name) || TOP.contains(&other) {
            continue;
        }
        let Some((_, allowed)) = MAY_IMPORT.iter().find(|(c, _)| *c == name) else { continue };
        // lstm-tensor is what the testkit imports: a dev-dependency back would be a cycle.
        let for_tests = import.dev && name != "lstm-tensor" && MAY_IMPORT_IN_TESTS.contains(&other);
        if !allowed.contains(&other) && !for_tests {
            problems
                .push(format!("{name} imports {other}, an arrow that docs/architecture.md does not have"));
        }
    }
    if !TOP.contains(&name) && !MAY_IMPORT.iter().any(|(c, _)| *c == name) {
        problems.push(format!(
            "{name} has no row in MAY_IMPORT (xtask/src/tidy/edges.rs): say what it may import"
        ));
    }
    problems
}

/// Nobody gets CUDA without asking: no default feature leads to `cuda`, and lstm-cuda is optional in the facade.
fn cuda_is_optional(member: &Crate) -> Vec<String> {
    let mut problems = Vec::new();
    let mut on = vec!["default".to_owned()];
    let mut next = 0;
    while let Some(feature) = on.get(next).cloned() {
        for implied in member.features.get(&feature).into_iter().flatten() {
            if !on.contains(implied) {
                on.push(implied.clone());
            }
        }
        next += 1;
    }
    if member.name == "lstm"
        && on.iter().any(|f| f == "cuda" || f == "dep:lstm-cuda" || f.starts_with("lstm-cuda/"))
    {
        problems.push("the feature cuda of lstm is on by default".to_owned());
    }
    if member.name == "lstm" && member.imports.iter().any(|i| i.name == "lstm-cuda" && !i.optional && !i.dev)
    {
        problems.push("lstm imports lstm-cuda without making it optional".to_owned());
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, imports: &[&str]) -> Crate {
        let imports =
            imports.iter().map(|i| Import { name: (*i).to_owned(), dev: false, optional: false }).collect();
        Crate { name: name.to_owned(), folder: format!("crates/{name}"), imports, features: BTreeMap::new() }
    }

    fn feature(on: &str, what: &str) -> (String, Vec<String>) {
        (on.to_owned(), vec![what.to_owned()])
    }

    #[test]
    fn allowed_arrows_pass() {
        let crates = [
            member("lstm-tensor", &["serde"]),
            member("lstm-nn", &["lstm-tensor"]),
            member("lstm-cuda", &["lstm-tensor", "cudarc"]),
            Crate { folder: "xtask".to_owned(), ..member("xtask", &["lstm-cpu", "lstm-cli"]) },
        ];
        assert_eq!(check(&crates), Vec::<String>::new());
    }

    #[test]
    fn forbidden_arrows_are_found() {
        let side_by_side = ["lstm-nn", "lstm-optim", "lstm-data", "lstm-cpu", "lstm-cuda"];
        for from in side_by_side {
            for to in side_by_side.iter().filter(|to| **to != from) {
                assert_eq!(check(&[member(from, &[to])]).len(), 1, "{from} -> {to}");
            }
            assert_eq!(check(&[member("lstm-tensor", &[from])]).len(), 1, "lstm-tensor -> {from}");
        }
        assert_eq!(check(&[member("lstm-train", &["lstm-cpu"])]).len(), 1);
        assert_eq!(check(&[member("lstm-train", &["lstm-cli"])]).len(), 1);
        assert_eq!(check(&[member("lstm-train", &["xtask"])]).len(), 1);
    }

    #[test]
    fn cudarc_belongs_to_one_crate() {
        for name in ["lstm-cli", "lstm-tensor", "lstm-cpu", "lstm"] {
            assert_eq!(check(&[member(name, &["cudarc"])]).len(), 1, "{name}");
        }
    }

    #[test]
    fn the_testkit_is_for_tests() {
        let import = Import { name: "lstm-testkit".to_owned(), dev: true, optional: false };
        let with =
            |name: &str, dev| Crate { imports: vec![Import { dev, ..import.clone() }], ..member(name, &[]) };
        assert!(check(&[with("lstm-nn", true)]).is_empty());
        assert_eq!(check(&[with("lstm-nn", false)]).len(), 1);
        assert_eq!(check(&[with("lstm-tensor", true)]).len(), 1);
    }

    #[test]
    fn cuda_by_default_is_found() {
        let mut facade = member("lstm", &[]);
        facade.features = [feature("cuda", "dep:lstm-cuda")].into();
        assert!(check(std::slice::from_ref(&facade)).is_empty());
        facade.features =
            [feature("default", "fast"), feature("fast", "cuda"), feature("cuda", "dep:lstm-cuda")].into();
        assert_eq!(check(std::slice::from_ref(&facade)).len(), 1);
        assert_eq!(check(&[member("lstm", &["lstm-cuda"])]).len(), 1);
    }

    #[test]
    fn strangers_and_wrong_folders_are_found() {
        assert_eq!(check(&[member("lstm-extra", &[])]).len(), 1);
        assert_eq!(check(&[Crate { folder: "crates/nn".to_owned(), ..member("lstm-nn", &[]) }]).len(), 1);
    }

    #[test]
    fn metadata_of_this_workspace_is_read() {
        let crates = read(&crate::root()).unwrap();
        let cpu = crates.iter().find(|c| c.name == "lstm-cpu").unwrap();
        assert_eq!(cpu.folder, "crates/lstm-cpu");
        assert!(cpu.imports.iter().any(|i| i.name == "lstm-tensor" && !i.dev));
    }
}
