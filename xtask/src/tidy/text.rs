//! What the files may hold: first lines, lints switched off, machine paths, links, lengths.

use std::path::{Component, Path, PathBuf};

/// Where `unsafe` is at home; everywhere else the workspace denies it.
const UNSAFE_IN: &[&str] = &[
    "crates/lstm-cuda/",
    "crates/lstm-cuda-emu/",
    // SIMD kernels, the team of threads and what it lends them, matrix products and the fused step.
    "crates/lstm-cpu/src/simd",
    "crates/lstm-cpu/src/parallel/",
    "crates/lstm-cpu/src/gemm",
    "crates/lstm-cpu/src/stack/cell",
    // The counting allocator of the no-allocation tests: `GlobalAlloc` is an unsafe trait.
    "crates/lstm-testkit/src/alloc",
];

/// Who may print; libraries return what they have to say.
const PRINTS_IN: &[&str] = &["crates/lstm-cli/", "xtask/", "benches/", "tests/", "examples/"];

/// The kernels' vocabulary: the only file of theirs that may ask what it is compiled for.
const VOCABULARY: &str = "crates/lstm-cuda/src/kernels/device.cuh";

/// What begins a line that the preprocessor may leave out.
const CONDITIONS: &[&str] = &["if", "ifdef", "ifndef", "elif", "else"];

/// Papers that stay short: path prefix and number of lines.
const LONGEST: &[(&str, usize)] = &[("docs/architecture.md", 200), ("docs/decisions/", 60)];

/// Roots of paths that exist on one machine only. Written in pieces, so that this file passes its own check.
const MACHINE_ROOTS: &[&str] =
    &[concat!("/", "work/"), concat!("/", "root/"), concat!("/", "home/"), concat!("/", "Users/")];

/// Returns one sentence for each problem in the file at `path` (relative to the root).
///
/// `exists` answers whether a path relative to the root exists: links are checked with it.
pub(super) fn check(path: &str, contents: &str, exists: &dyn Fn(&Path) -> bool) -> Vec<String> {
    let mut problems = machine_paths(path, contents);
    if path.ends_with(".rs") {
        if !contents.starts_with("//!") {
            problems.push(format!("{path}: the first line must start with `//!` and say what lives here"));
        }
        problems.extend(switched_off_lints(path, contents));
    }
    if path.ends_with(".md") {
        problems.extend(dead_links(path, contents, exists));
    }
    if path.ends_with("Cargo.toml") {
        problems.extend(workspace_lints(path, contents));
    }
    if (path.ends_with(".cu") || path.ends_with(".cuh")) && path != VOCABULARY {
        problems.extend(conditional_code(path, contents));
    }
    for (prefix, most) in LONGEST {
        let lines = contents.lines().count();
        if path.starts_with(prefix) && lines > *most {
            problems.push(format!("{path}: {lines} lines, at most {most}"));
        }
    }
    problems
}

fn machine_paths(path: &str, contents: &str) -> Vec<String> {
    let mut problems = Vec::new();
    for (number, line) in (1..).zip(contents.lines()) {
        for root in MACHINE_ROOTS {
            // `a/home/b` is a path inside something; only an absolute one names a machine.
            let absolute = line
                .match_indices(root)
                .any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || "._-/~*}".contains(c)));
            if absolute {
                problems.push(format!("{path}:{number}: names the machine path {root}"));
            }
        }
    }
    problems
}

/// What the emulator runs is what the device runs: no kernel leaves out code for one of them.
fn conditional_code(path: &str, contents: &str) -> Vec<String> {
    let mut problems = Vec::new();
    for (number, line) in (1..).zip(contents.lines()) {
        let directive = line.trim_start().strip_prefix('#').map(str::trim_start).unwrap_or_default();
        let word = directive.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default();
        if CONDITIONS.contains(&word) {
            problems.push(format!(
                "{path}:{number}: #{word} lets device and emulator run different code; only device.cuh may"
            ));
        }
    }
    problems
}

/// Each attribute that relaxes a lint has a reason, and `unsafe` and printing are relaxed only where they belong.
fn switched_off_lints(path: &str, contents: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let lines: Vec<&str> = contents.lines().collect();
    for (index, line) in lines.iter().enumerate() {
        let start = line.trim_start();
        if !["#[allow(", "#![allow(", "#[expect(", "#![expect("].iter().any(|a| start.starts_with(a)) {
            continue;
        }
        let number = index + 1;
        let length = lines[index..].iter().position(|l| l.contains(")]")).unwrap_or(0);
        let attribute = lines[index..=index + length].join(" ");
        if !attribute.contains("reason") {
            problems.push(format!("{path}:{number}: a lint is switched off without a reason"));
        }
        if attribute.contains("unsafe_code") && !UNSAFE_IN.iter().any(|p| path.starts_with(p)) {
            problems.push(format!("{path}:{number}: unsafe code is not at home here"));
        }
        let prints = attribute.contains("print_stdout") || attribute.contains("print_stderr");
        if prints && !PRINTS_IN.iter().any(|p| path.starts_with(p)) {
            problems.push(format!("{path}:{number}: only lstm-cli prints; return the text instead"));
        }
    }
    problems
}

/// Every member takes the workspace's lints; without them nothing above would hold.
fn workspace_lints(path: &str, contents: &str) -> Option<String> {
    let manifest: Vec<&str> = contents.lines().map(str::trim).collect();
    let outside = !manifest.contains(&"[package]")
        || ["examples/", "fuzz/", "benches/rivals/"].iter().any(|p| path.starts_with(p));
    let inherits = manifest.windows(2).any(|two| two == ["[lints]", "workspace = true"]);
    (!outside && !inherits).then(|| format!("{path}: `[lints] workspace = true` is missing"))
}

fn dead_links(path: &str, contents: &str, exists: &dyn Fn(&Path) -> bool) -> Vec<String> {
    let folder = Path::new(path).parent().unwrap_or(Path::new(""));
    let mut problems = Vec::new();
    let mut in_code = false;
    for (number, line) in (1..).zip(contents.lines()) {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        for after in line.split("](").skip(1) {
            let Some(target) = after.split([')', ' ']).next() else { continue };
            let file = target.split('#').next().unwrap_or("");
            if file.is_empty() || file.contains("://") || file.starts_with("mailto:") {
                continue;
            }
            if !exists(&normalised(&folder.join(file))) {
                problems.push(format!("{path}:{number}: the link {target} leads nowhere"));
            }
        }
    }
    problems
}

/// Resolves `.` and `..` without asking the file system.
fn normalised(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                clean.pop();
            }
            other => clean.push(other),
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(path: &str, contents: &str) -> usize {
        check(path, contents, &|link| link == Path::new("docs/there.md")).len()
    }

    #[test]
    fn a_file_says_what_lives_there() {
        assert_eq!(problems("crates/a/src/lib.rs", "//! Things.\n"), 0);
        assert_eq!(problems("crates/a/src/lib.rs", "use std::fmt;\n"), 1);
        assert_eq!(problems("tests/tests/a.rs", ""), 1);
    }

    #[test]
    fn a_lint_is_switched_off_with_a_reason() {
        let head = "//! Things.\n";
        assert_eq!(problems("a.rs", &format!("{head}#[allow(dead_code)]\n")), 1);
        assert_eq!(problems("a.rs", &format!("{head}#[allow(dead_code, reason = \"later\")]\n")), 0);
        assert_eq!(
            problems("a.rs", &format!("{head}#[allow(\n    dead_code,\n    reason = \"later\"\n)]\n")),
            0
        );
    }

    #[test]
    fn unsafe_and_printing_stay_at_home() {
        let relax = |lint: &str| format!("//! Things.\n#![allow({lint}, reason = \"r\")]\n");
        assert_eq!(problems("crates/lstm-nn/src/a.rs", &relax("unsafe_code")), 1);
        assert_eq!(problems("crates/lstm-cpu/src/simd/a.rs", &relax("unsafe_code")), 0);
        assert_eq!(problems("crates/lstm-nn/src/a.rs", &relax("clippy::print_stdout")), 1);
        assert_eq!(problems("crates/lstm-cli/src/main.rs", &relax("clippy::print_stdout")), 0);
    }

    #[test]
    fn machine_paths_are_found() {
        let path = |root: &str| format!("see {root}someone/x");
        for root in MACHINE_ROOTS {
            assert_eq!(problems("docs/a.txt", &path(root)), 1, "{root}");
        }
        assert_eq!(problems("docs/a.txt", concat!("https://example.org/", "home/x and net", "work/x")), 0);
    }

    #[test]
    fn kernels_are_the_same_on_device_and_emulator() {
        let kernel = "crates/lstm-cuda/src/kernels/cell.cu";
        let guarded = "#ifdef LSTM_EMULATOR\nslow();\n#else\nfast();\n#endif\n";
        assert_eq!(problems(kernel, guarded), 2);
        assert_eq!(problems("crates/lstm-cuda/src/kernels/span.cuh", guarded), 2);
        assert_eq!(problems(VOCABULARY, guarded), 0);
        for condition in ["# if __CUDA_ARCH__ >= 900", "  #ifndef __CUDACC__", "#elif defined(LSTM_EMULATOR)"]
        {
            assert_eq!(problems(kernel, condition), 1, "{condition}");
        }
        assert_eq!(problems(kernel, "#pragma once\n#include \"span.cuh\"\n#define CELL(T) T // if\n"), 0);
    }

    #[test]
    fn links_lead_somewhere() {
        assert_eq!(problems("README.md", "[a](docs/there.md#part) [b](https://example.org)"), 0);
        assert_eq!(problems("docs/a.md", "[a](there.md) [b](../docs/there.md) [c](#here)"), 0);
        assert_eq!(problems("README.md", "[a](docs/gone.md)"), 1);
    }

    #[test]
    fn papers_stay_short() {
        assert_eq!(problems("docs/decisions/0009-long.md", &"x\n".repeat(60)), 0);
        assert_eq!(problems("docs/decisions/0009-long.md", &"x\n".repeat(61)), 1);
    }

    #[test]
    fn members_take_the_workspace_lints() {
        assert_eq!(problems("crates/a/Cargo.toml", "[package]\nname = \"a\"\n"), 1);
        assert_eq!(
            problems("crates/a/Cargo.toml", "[package]\nname = \"a\"\n\n[lints]\nworkspace = true\n"),
            0
        );
        assert_eq!(problems("Cargo.toml", "[workspace]\n"), 0);
    }
}
