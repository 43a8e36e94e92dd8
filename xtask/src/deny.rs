//! `cargo xtask deny`: licences, doubled and banned crates, and sources of all that is built on, held against deny.toml,
//! as `cargo deny check licenses bans sources` does: decision 0011.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use cargo_metadata::{CargoOpt, MetadataCommand};
use serde::Deserialize;
use spdx::{Expression, LicenseReq, Licensee, ParseMode};

use crate::root;

/// The only registry that is known.
const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// The part of cargo-deny's settings that is understood here; any other key is an error.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rules {
    graph: Graph,
    licenses: Licenses,
    bans: Bans,
    sources: Sources,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Graph {
    all_features: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Licenses {
    allow: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Bans {
    multiple_versions: Level,
    skip: Vec<Named>,
    deny: Vec<Named>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Sources {
    unknown_registry: Level,
    unknown_git: Level,
}

/// `NAME` or `NAME@VERSION`, and why.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    #[serde(rename = "crate")]
    name: String,
    reason: String,
}

#[derive(Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Level {
    Deny,
    Allow,
}

/// What is looked at of a crate.
struct Package {
    name: String,
    version: String,
    license: Option<String>,
    /// Nothing for those that lie here.
    source: Option<String>,
}

/// Prints each problem on its own line.
///
/// # Errors
/// If there is one, or if deny.toml or the metadata cannot be read.
pub(crate) fn run() -> Result<()> {
    let rules = std::fs::read_to_string(root().join("deny.toml")).context("deny.toml cannot be read")?;
    let rules: Rules = toml::from_str(&rules).context("deny.toml")?;
    let mut metadata = MetadataCommand::new();
    metadata.manifest_path(root().join("Cargo.toml"));
    metadata.other_options(["--offline".to_owned(), "--locked".to_owned()]);
    if rules.graph.all_features {
        metadata.features(CargoOpt::AllFeatures);
    }
    let packages: Vec<Package> = metadata
        .exec()
        .context("cargo metadata failed")?
        .packages
        .into_iter()
        .map(|package| Package {
            name: package.name.to_string(),
            version: package.version.to_string(),
            license: package.license,
            source: package.source.map(|source| source.repr),
        })
        .collect();
    let problems = check(&rules, &packages)?;
    for problem in &problems {
        println!("deny: {problem}");
    }
    if !problems.is_empty() {
        bail!("deny.toml does not allow {} thing(s)", problems.len());
    }
    println!("deny: {} crates, licences, versions, bans and sources as deny.toml has it", packages.len());
    Ok(())
}

/// One sentence for each problem.
///
/// # Errors
/// If a licence of deny.toml is none.
fn check(rules: &Rules, packages: &[Package]) -> Result<Vec<String>> {
    let allowed: Vec<Licensee> = rules
        .licenses
        .allow
        .iter()
        .map(|license| Licensee::parse(license).with_context(|| format!("deny.toml: {license}")))
        .collect::<Result<_>>()?;
    let allows = |wanted: &LicenseReq| allowed.iter().any(|licensee| licensee.satisfies(wanted));
    let mut problems = Vec::new();
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for Package { name, version, license, source } in packages {
        let license = license.as_deref().unwrap_or_default();
        match Expression::parse_mode(license, ParseMode::LAX) {
            Err(_) => problems.push(format!("{name} {version} has no licence that can be read: {license:?}")),
            Ok(parsed) if !parsed.evaluate(allows) => {
                problems.push(format!("{name} {version} is under {license}, which is not allowed"));
            }
            Ok(_) => {}
        }
        let level = match source {
            Some(source) if source.starts_with("git+") => &rules.sources.unknown_git,
            Some(source) if source != CRATES_IO => &rules.sources.unknown_registry,
            _ => &Level::Allow,
        };
        if *level == Level::Deny {
            problems.push(format!("{name} {version} comes from {}", source.as_deref().unwrap_or_default()));
        }
        let is = |named: &&Named| named.name == *name || named.name == format!("{name}@{version}");
        if let Some(Named { reason, .. }) = rules.bans.deny.iter().find(is) {
            problems.push(format!("{name} {version} is banned: {reason}"));
        }
        if !rules.bans.skip.iter().any(|named| is(&named)) {
            versions.entry(name).or_default().push(version);
        }
    }
    for (name, versions) in versions.into_iter().filter(|(_, versions)| versions.len() > 1) {
        if rules.bans.multiple_versions == Level::Deny {
            problems.push(format!("{name} is there in versions {}", versions.join(" and ")));
        }
    }
    Ok(problems)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: &str = r#"
        graph = { all-features = true }
        licenses = { allow = ["MIT", "Zlib"] }
        sources = { unknown-registry = "deny", unknown-git = "deny" }
        [bans]
        multiple-versions = "deny"
        skip = [{ crate = "old@1.0.0", reason = "r" }]
        deny = [{ crate = "bad", reason = "it is bad" }]
    "#;

    fn problems(packages: &[(&str, &str, &str, &str)]) -> Vec<String> {
        let packages: Vec<Package> = packages
            .iter()
            .map(|(name, version, license, source)| Package {
                name: (*name).to_owned(),
                version: (*version).to_owned(),
                license: Some((*license).to_owned()).filter(|license| !license.is_empty()),
                source: Some((*source).to_owned()).filter(|source| !source.is_empty()),
            })
            .collect();
        check(&toml::from_str(RULES).unwrap(), &packages).unwrap()
    }

    #[test]
    fn what_is_allowed_passes() {
        let fine = [
            ("own", "0.1.0", "MIT OR Apache-2.0", ""),
            ("slash", "0.1.0", "MIT/Apache-2.0", CRATES_IO),
            ("both", "0.1.0", "(MIT OR GPL-3.0-only) AND Zlib", CRATES_IO),
            ("old", "1.0.0", "MIT", CRATES_IO),
            ("old", "2.0.0", "MIT", CRATES_IO),
        ];
        assert_eq!(problems(&fine), Vec::<String>::new());
    }

    #[test]
    fn what_is_not_allowed_is_named() {
        let git = "git+https://example.org/a";
        for (packages, part) in [
            (vec![("a", "1.0.0", "GPL-3.0-only", CRATES_IO)], "under GPL-3.0-only"),
            (vec![("a", "1.0.0", "MIT AND Apache-2.0", CRATES_IO)], "under MIT AND"),
            (vec![("a", "1.0.0", "", CRATES_IO)], "no licence"),
            (vec![("a", "1.0.0", "MIT", git)], "comes from git+"),
            (vec![("a", "1.0.0", "MIT", "registry+https://example.org")], "comes from registry+"),
            (vec![("bad", "1.0.0", "MIT", CRATES_IO)], "is banned: it is bad"),
            (vec![("a", "1.0.0", "MIT", CRATES_IO), ("a", "2.0.0", "MIT", CRATES_IO)], "1.0.0 and 2.0.0"),
        ] {
            let found = problems(&packages);
            assert!(found.len() == 1 && found[0].contains(part), "{part}: {found:?}");
        }
    }

    #[test]
    fn settings_that_are_not_understood_are_refused() {
        assert!(toml::from_str::<Rules>(&RULES.replace("[bans]", "[bans]\nwildcards = \"deny\"")).is_err());
    }
}
