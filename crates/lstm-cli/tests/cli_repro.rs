//! `lstm repro` through the binary: lists, runs, goes on, loads in a new process, refuses.

mod common;

use std::process::Command;

use common::Place;

#[test]
fn the_list_names_every_experiment() {
    let place = Place::new();
    let text = place.lstm("repro list").fine().out;
    for name in ["000-base1", "000-aug5", "004-adjacent-sum"] {
        assert!(text.lines().any(|line| line.starts_with(name)), "{name}: {text}");
    }
    let all = place.lstm("repro list --json").fine().json();
    assert!(all["experiments"].as_array().unwrap().iter().any(|e| e["parameters"] == 1_514_113), "{all}");
}

#[test]
fn models_are_kept_for_the_laboratory() {
    let place = Place::new();
    let run = "repro 000-learning-rate1 --steps 2 --out results";
    place.lstm(run).fine();
    assert!(!place.path("results/000-learning-rate1/seed-0.safetensors").exists());
    let run = format!("{run} --models");
    // The result is there, the model is not.
    assert_eq!(place.lstm(&run).fine().err.lines().count(), 1);
    assert_eq!(place.lstm(&run).fine().err, "");
    let series = place.text("results/000-learning-rate1/seed-0.csv");
    assert!(series.starts_with("value\n") && series.lines().count() > 100, "{series}");
    assert!(!place.read("results/000-learning-rate1/seed-0.safetensors").is_empty());
}

#[test]
fn a_series_is_trained_forecast_and_held_against_what_was_published() {
    let place = Place::new();
    let run = "repro 000-learning-rate1 000-main --steps 2 --seeds 2 --out results";
    let done = place.lstm(run).fine();
    for words in [
        "000-learning-rate1",
        "median [range] of 2 seeds",
        "0.92 to 4.3",
        "at most 4.3: ",
        "14.6",
        "noise-floor",
    ] {
        assert!(done.out.contains(words), "{words}: {}", done.out);
    }
    assert_eq!(done.err.lines().count(), 4, "one line for each cell: {}", done.err);
    assert!(place.read("results/000-main.png").starts_with(b"\x89PNG"));
    assert!(place.text("results/000-learning-rate1.svg").contains("<svg"));

    // Again: nothing is left to run, and the answer is the same.
    let again = place.lstm(run).fine();
    assert_eq!((again.err.as_str(), again.out), ("", done.out));
    // One seed lost: just that one is run, to the same result.
    let lost = "results/000-main/seed-1.json";
    let before = place.text(lost);
    std::fs::remove_file(place.path(lost)).unwrap();
    assert_eq!(place.lstm(&format!("{run} --threads 1")).fine().err.lines().count(), 1);
    let figures = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap()["figures"].clone();
    assert_eq!(figures(&before), figures(&place.text(lost)));
    // Other settings never replace results unasked.
    let other = place.lstm("repro 000-main --steps 3 --out results");
    assert_eq!(other.code, 2);
    assert!(other.err.contains("add --force"), "{}", other.err);
    assert_eq!(figures(&before), figures(&place.text(lost)));
    place.lstm("repro 000-main --steps 3 --out results --force --quiet").fine();
}

#[test]
fn sequences_are_predicted_alike_in_a_new_process() {
    let place = Place::new();
    let done = place.lstm("repro 004 --steps 20 --seeds 1 --json --dtype f64").fine().json();
    let chosen = &place.lstm("devices --json").fine().json()["auto"]["training"];
    assert_eq!((&done["device"], done.get("device-fallback")), (chosen, Some(&serde_json::Value::Null)));
    let figures = &done["experiments"][0]["figures"];
    assert_eq!(figures["reload-mismatches"]["values"][0], 0.0, "{figures}");
    assert_eq!(figures["reload-mismatches"]["met"], true);
    assert!(figures["weight-lag-3"]["median"].is_number());
    let cell = place.text("experiments/results/004-adjacent-sum/seed-0.json");
    assert!(cell.contains("\"gates\"") && cell.contains("\"machine\""), "{cell}");
    let model = "experiments/results/004-adjacent-sum/seed-0.safetensors";
    let words = place.lstm(&format!("repro 004-adjacent-sum --load {model} --dtype f64")).fine().out;
    assert!(words.starts_with("[1.0, 2.0, 3.0, 4.0] -> [") && words.lines().count() == 2, "{words}");
    let wrong = place.lstm(&format!("repro 000-main --load {model}"));
    assert_eq!(wrong.code, 2, "{}", wrong.err);
}

/// The text of a shipped experiment, with these changes.
#[allow(clippy::unwrap_used, reason = "a broken assumption ends the test")]
fn shipped(name: &str, changes: &[(&str, &str)]) -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../experiments");
    let mut text = std::fs::read_to_string(format!("{folder}/{name}.toml")).unwrap();
    for (from, to) in changes {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    text
}

/// A shipped experiment on waves by L-BFGS in small, with these changes.
fn small_waves(name: &str, changes: &[(&str, &str)]) -> String {
    let small = [
        ("length = 1000", "length = 60"),
        ("count = 100", "count = 5"),
        ("forecast = 1000", "forecast = 50"),
        ("hidden = 51", "hidden = 6"),
        ("parameters = 32284", "parameters = 559"),
        ("batch = 97", "batch = 2"),
        ("max-steps = 15", "max-steps = 3"),
    ];
    shipped(name, &[&small, changes].concat())
}

#[test]
fn waves_are_learnt_by_l_bfgs_alike_on_any_number_of_threads() {
    let place = Place::new();
    place.write("wolfe.toml", small_waves("002-lbfgs-wolfe", &[]));
    let run = |out: &str, threads: u32| {
        let run = format!("repro --file wolfe.toml --device cpu --threads {threads} --out {out} --json");
        place.lstm(&run).fine().json()["experiments"][0]["figures"].clone()
    };
    let figures = run("one", 1);
    assert_eq!(figures, run("two", 2));
    let value = |name: &str| figures[name]["values"][0].as_f64().unwrap();
    assert!(value("test-mse") < 0.1 && value("free-run-mse") > 0.0, "{figures}");
    assert_eq!((value("diverged"), value("least-test-mse")), (0.0, value("test-mse")), "{figures}");
    assert!(value("evaluations") > 60.0, "three steps of 20 directions each: {figures}");
    let cell = |out: &str| -> serde_json::Value {
        serde_json::from_str(&place.text(&format!("{out}/wolfe/seed-0.json"))).unwrap()
    };
    let (one, two) = (cell("one"), cell("two"));
    assert_eq!((&one["losses"], &one["shown"]), (&two["losses"], &two["shown"]));
    assert_eq!(one["losses"].as_array().unwrap().len() as f64, value("evaluations"));
    assert_eq!(one["shown"]["errors"].as_array().unwrap().len(), 3);
    assert!(place.text("one/wolfe.svg").contains("fed with itself"));
}

#[test]
fn an_experiment_is_calculated_in_its_own_precision() {
    let place = Place::new();
    place.write("waves.toml", small_waves("002-lbfgs", &[("max-steps = 3", "max-steps = 1")]));
    let loss = |options: &str, out: &str| {
        let run = format!("repro --file waves.toml --out {out} --quiet {options}");
        place.lstm(&run).fine();
        place.text(&format!("{out}/waves/seed-0.json"))
    };
    let settings = |cell: &str| {
        let cell: serde_json::Value = serde_json::from_str(cell).unwrap();
        (cell["configuration"].clone(), cell["losses"].clone())
    };
    assert_eq!(settings(&loss("", "a")), settings(&loss("--dtype f64", "b")));
    assert_ne!(settings(&loss("", "a")), settings(&loss("--dtype f32", "c")));
}

#[test]
fn a_run_without_line_search_may_diverge_and_is_a_result_all_the_same() {
    let place = Place::new();
    for (name, rate) in [("far", "learning-rate = 1e3"), ("beyond", "learning-rate = 1e300")] {
        place.write(&format!("{name}.toml"), small_waves("002-lbfgs", &[("learning-rate = 0.8", rate)]));
        let done = place.lstm(&format!("repro --file {name}.toml --out cells --json")).fine().json();
        let figures = &done["experiments"][0]["figures"];
        assert_eq!(figures["diverged"]["values"][0], 1.0, "{name}: {figures}");
        assert!(figures["diverged-at"]["values"][0].as_f64().unwrap() >= 1.0, "{name}: {figures}");
        place.lstm(&format!("repro --file {name}.toml --out cells --quiet")).fine();
    }
}

#[test]
fn waves_are_learnt_with_weights_and_with_noise() {
    let place = Place::new();
    let small = [("length = 1000", "length = 60"), ("forecast = 1000", "forecast = 50")];
    let mut errors = Vec::new();
    for name in ["002-adagrad", "002-adagrad-weighted", "002-adagrad-denoising"] {
        place.write(&format!("{name}.toml"), shipped(name, &small));
        let run = format!("repro --file {name}.toml --steps 120 --out cells --json");
        let figures = place.lstm(&run).fine().json()["experiments"][0]["figures"].clone();
        let error = figures["test-mse"]["values"][0].as_f64().unwrap();
        assert!(error < 0.2, "{name}: {figures}");
        errors.push(error);
        let cell: serde_json::Value =
            serde_json::from_str(&place.text(&format!("cells/{name}/seed-0.json"))).unwrap();
        let steps: Vec<_> = cell["shown"]["errors"].as_array().unwrap().iter().map(|e| &e["step"]).collect();
        assert_eq!(steps, [50, 100, 120], "a look at every kept loss and at the end");
    }
    assert!(errors[0] != errors[1] && errors[0] != errors[2] && errors[1] != errors[2], "{errors:?}");
}

#[test]
fn an_experiment_of_ones_own_and_a_page() {
    let place = Place::new();
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/../../experiments/004-adjacent-sum.toml");
    let text = std::fs::read_to_string(shipped).unwrap().replace("max-steps = 1000", "max-steps = 5");
    place.write("mine.toml", &text);
    place.lstm("repro --file mine.toml --out mine").fine();
    assert!(place.text("mine/mine/seed-0.json").contains("\"experiment\": \"mine\""));
    place.write("mine.toml", text.replace("hidden = 10", "hiden = 10"));
    let wrong = place.lstm("repro --file mine.toml --out mine");
    assert_eq!(wrong.code, 2);
    assert_eq!(wrong.err, "error: mine.toml, line 16: hiden: unknown key; did you mean 'hidden'?\n");

    place.lstm("repro 004 --steps 5 --out cells --quiet").fine();
    place.lstm("repro --report docs/page.md --out cells").fine();
    let page = place.text("docs/page.md");
    assert!(page.contains("| `000-base1`: ") && page.contains(", 1 stale"), "{page}");
    assert!(page.contains("(no seeds yet)") && !page.contains("0 of 0 pairs"), "{page}");

    // Its own page is replaced, another's only when asked; so are pictures.
    place.write("docs/page.md", page + "An old line.");
    place.lstm("repro --report docs/page.md --out cells").fine();
    assert!(!place.text("docs/page.md").contains("An old line."));
    place.lstm("repro 004-adjacent-sum --out cells --force --quiet").fine();
    place.lstm("repro --report docs/page.md --out cells").fine();
    assert!(place.text("docs/page.md").contains(": met (1 of 10 seeds)"));
    place.write("diary.md", "# Dear diary");
    place.write("mine/images/004-adjacent-sum.svg", "kept");
    let before = place.snapshot();
    for (page, taken) in [("diary.md", "diary.md"), ("mine/page.md", "mine/images/004-adjacent-sum.svg")] {
        let done = place.lstm(&format!("repro --report {page} --out cells"));
        assert_eq!(done.code, 2);
        assert!(done.err.contains(&format!("{taken} exists already")), "{}", done.err);
    }
    assert!(place.snapshot() == before);
    place.lstm("repro --report diary.md --out cells --force").fine();
    assert!(place.text("diary.md").starts_with("# Experiments"));
}

#[test]
fn what_diverges_is_named_and_the_rest_goes_on() {
    let place = Place::new();
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/../../experiments/004-adjacent-sum.toml");
    let text = std::fs::read_to_string(shipped).unwrap().replace("max-steps = 1000", "max-steps = 5");
    let wild: Vec<&str> = text
        .lines()
        .map(|line| if line.starts_with("learning-rate") { "learning-rate = 1e38" } else { line })
        .collect();
    place.write("wild.toml", wild.join("\n"));
    let done = place.lstm("repro --file wild.toml --seeds 2 --out cells");
    assert_eq!(done.code, 6, "{}", done.err);
    assert!(done.err.contains("error: no result: wild seed 0: training diverged"), "{}", done.err);
    assert!(done.err.contains("; wild seed 1: training diverged"), "{}", done.err);
    assert!(done.out.contains("Results and pictures are in cells"), "{}", done.out);
    let json = place.lstm("repro --file wild.toml --out cells --json");
    assert_eq!((json.code, &json.json()["error"]["kind"]), (6, &"diverged".into()));
}

#[test]
fn no_option_is_accepted_and_ignored() {
    let place = Place::new();
    let before = place.snapshot();
    let with = |command: &str, options: &[&str]| {
        for option in options {
            let done = place.lstm(&format!("repro {command} {option}"));
            assert_eq!(done.code, 2, "{command} {option}: {}", done.err);
            let name = option.split(' ').next().unwrap();
            assert!(done.err.contains(name), "{command} {option}: {}", done.err);
        }
    };
    let running = ["--seeds 2", "--steps 3", "--quiet", "--all"];
    with("list", &running);
    with(
        "list",
        &["--load m", "--device cpu", "--dtype f64", "--threads 1", "--out o", "--force", "--file f"],
    );
    with("--report page.md", &running);
    with("--report page.md", &["--load m", "--device cpu", "--threads 1", "--json", "--file f"]);
    with("004-adjacent-sum --load m", &running);
    with("004-adjacent-sum --load m", &["--out o", "--force", "--file f"]);
    assert!(place.snapshot() == before);
}

#[test]
fn results_do_not_make_a_commit_dirty() {
    let place = Place::new();
    let git = |arguments: &[&str]| {
        let who = ["-c", "user.name=a", "-c", "user.email=a@b.c"];
        Command::new("git").args(who).args(arguments).current_dir(place.path(".")).output()
    };
    if git(&["init"]).is_err() {
        eprintln!("SKIPPED: there is no git here");
        return;
    }
    place.write("experiments/results/old", "old");
    git(&["add", "."]).unwrap();
    git(&["commit", "-m", "all"]).unwrap();
    let commit = || {
        place.lstm("repro 004-adjacent-sum --steps 1 --out cells --force --quiet").fine();
        let cell: serde_json::Value =
            serde_json::from_str(&place.text("cells/004-adjacent-sum/seed-0.json")).unwrap();
        cell["commit"].as_str().unwrap().to_owned()
    };
    let clean = commit();
    assert!(clean.len() == 12 && !clean.ends_with("-dirty"), "{clean}");
    place.write("experiments/results/old", "new");
    assert_eq!(commit(), clean);
    place.write("good.csv", "changed");
    assert_eq!(commit(), format!("{clean}-dirty"));
}

#[test]
fn an_unknown_name_is_told_with_a_suggestion() {
    let place = Place::new();
    for (name, words) in [
        ("000-base3", "no experiment is called '000-base3'; did you mean '000-base"),
        ("zebra-crossing", "`lstm repro list` shows what there is"),
    ] {
        let done = place.lstm(&format!("repro {name}"));
        assert_eq!(done.code, 2);
        assert!(done.err.contains(words), "{}", done.err);
    }
    assert_eq!(place.lstm("repro").code, 2);
    assert_eq!(place.lstm("repro list --seeds 0").code, 2);
}

#[cfg(target_os = "linux")]
#[test]
fn ctrl_c_ends_a_step_of_l_bfgs_between_two_evaluations() {
    use std::process::Stdio;
    use std::time::{Duration, Instant};

    let place = Place::new();
    // One step without an end.
    let endless = "learning-rate = 1e-6\nmax-iterations = 1000000000\ntolerance-change = 0.0";
    place.write("endless.toml", small_waves("002-lbfgs", &[("learning-rate = 0.8", endless)]));
    let child = Command::new(assert_cmd::cargo::cargo_bin!("lstm"))
        .args(["repro", "--file", "endless.toml", "--out", "cells", "--device", "cpu"])
        .current_dir(place.path("."))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    // Bit 1 of the signals that the process catches is Ctrl-C.
    let listens = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
        u64::from_str_radix(caught.trim(), 16).unwrap() & 2 != 0
    };
    while !listens() {
        assert!(begun.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(10));
    }
    std::thread::sleep(Duration::from_millis(300));
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{err}");
    assert!(err.contains("interrupted; the results that were finished are kept"), "{err}");
    assert!(!place.path("cells").exists());
}
