//! The runner on a machine without a GPU: it says so, writes so, and leaves nothing half done.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a broken assumption ends the test")]

use std::process::Command;

#[test]
fn without_a_device_the_runner_says_so() {
    if lstm_cuda::probe::probe().is_usable() {
        println!("SKIPPED: there is a device");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let results = folder.path().join("results");
    for _ in 0..2 {
        let run = Command::new(env!("CARGO_BIN_EXE_run")).arg("--results").arg(&results).output().unwrap();
        assert_eq!(run.status.code(), Some(5), "{}", String::from_utf8_lossy(&run.stderr));
        let said = String::from_utf8(run.stdout).unwrap();
        assert!(said.starts_with("no device: ") && said.lines().count() == 1, "{said}");
        let mut names: Vec<_> = results.read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["no-device.json", "table.md"]);
        let text = std::fs::read_to_string(results.join("no-device.json")).unwrap();
        let missing: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(missing["missing"], said.trim_start_matches("no device: ").trim_end());
    }
}
