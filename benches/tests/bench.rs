//! The program that measures, at tiny sizes: it prints tables and leaves files.
#![allow(clippy::unwrap_used, reason = "a broken assumption ends the test")]

use std::path::Path;
use std::process::{Command, Output};

fn bench(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bench")).args(args).current_dir(folder).output().unwrap()
}

#[test]
fn growth_prints_and_leaves_figures_and_a_picture() {
    let folder = tempfile::tempdir().unwrap();
    let sizes = ["--only", "batch", "hidden", "--batch", "2", "--hidden", "16", "--threads", "2", "--quick"];
    let files = ["growth", "--json", "growth.json", "--picture", "growth.png"];
    let run = bench(folder.path(), &[&files[..], &sizes[..]].concat());
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let said = String::from_utf8(run.stdout).unwrap();
    assert_eq!(said.matches("slope from ").count(), 2, "{said}");
    let text = std::fs::read_to_string(folder.path().join("growth.json")).unwrap();
    let growth: serde_json::Value = serde_json::from_str(&text).unwrap();
    let sizes: Vec<_> = growth["series"].as_array().unwrap().iter().map(|s| s["size"].clone()).collect();
    assert_eq!(sizes, ["batch", "hidden"]);
    for series in growth["series"].as_array().unwrap() {
        assert!(series["slopes"]["train"].is_f64(), "{series}");
        for point in series["points"].as_array().unwrap() {
            for figure in ["infer_ms", "train_ms", "gflops_infer", "gflops_train", "train_bytes"] {
                assert!(point[figure].as_f64().unwrap() > 0.0, "{figure} of {point}");
            }
        }
    }
    let mut names: Vec<_> =
        folder.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["growth.json", "growth.png"], "nothing half done is left");
}

#[test]
fn growth_refuses_what_it_cannot_do_before_it_measures() {
    let folder = tempfile::tempdir().unwrap();
    for (args, reason) in [
        (&["--picture", "growth.jpg"][..], "must end in .png or .svg"),
        (&["--steps", "7"], "steps T must reach more than 7"),
        (&["--layers", "0"], "layers L must reach more than 0"),
        (&["--only", "steps", "--layers", "2"], "layers L have a limit, but --only leaves them out"),
    ] {
        let run = bench(folder.path(), &[&["growth"][..], args].concat());
        let complaint = String::from_utf8(run.stderr).unwrap();
        assert!(!run.status.success() && run.stdout.is_empty(), "{args:?}");
        assert!(complaint.contains(reason), "{complaint}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_step_in_a_process_of_its_own_says_what_it_held() {
    let step = |steps: usize| {
        let shape = format!(r#"{{"name": "a", "batch": 64, "steps": {steps}, "inputs": 1, "hidden": [64]}}"#);
        let run = bench(Path::new("."), &["step", "--threads", "1", &shape]);
        let held: serde_json::Value = serde_json::from_slice(&run.stdout).unwrap();
        held["peak"].as_u64().unwrap() - held["before"].as_u64().unwrap()
    };
    // Six numbers of the tape for each unit, row and step.
    let (short, long) = (step(100), step(600));
    assert!(long - short > 6 * 4 * 64 * 64 * 500 / 2, "{short} and {long}");
}
