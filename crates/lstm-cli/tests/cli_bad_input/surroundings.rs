//! What lies around the program: places that cannot be read or written, readers that go away, limits, an empty
//! environment; and files so large that only a named run reads them.
#![cfg(unix)]
#![allow(clippy::print_stdout, reason = "a long test tells how long each file took")]

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Instant;

use super::all_fail;
use crate::common::{Place, days};

/// A run that takes no time.
const TINY: &str = "--epochs 1 --hidden 4 --ensemble 1 --effort 1";

/// A line of the shell, run in the folder, where `$LSTM` is the program.
fn shell(place: &Place, line: &str) -> Output {
    let mut command = Command::new("sh");
    command.current_dir(place.path("")).env("LSTM", assert_cmd::cargo::cargo_bin!("lstm"));
    command.args(["-c", line]).stdin(Stdio::null()).output().unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Whether the shell may make named pipes, and the system has these devices.
fn linux() -> bool {
    cfg!(target_os = "linux") && Path::new("/dev/full").exists()
}

#[test]
fn what_is_no_file() {
    all_fail(&[
        (
            "a file as a folder",
            &|_| {},
            "train good.csv/a --out new",
            3,
            "error: good.csv/a: cannot be read (Not a directory (os error 20)); check the path and its permissions\n",
        ),
        (
            "nothing on standard input",
            &|_| {},
            "train - --out new",
            3,
            "error: standard input: is empty; a header line and rows below it are expected\n",
        ),
        (
            "the empty device",
            &|_| {},
            "train /dev/null --out new",
            3,
            "error: /dev/null: is empty; a header line and rows below it are expected\n",
        ),
        (
            "the endless device",
            &|_| {},
            "train /dev/zero --out new",
            3,
            "error: /dev/zero, line 1: a NUL byte, so this is not CSV text; export the file again as UTF-8 text\n",
        ),
        (
            "a folder",
            &|place| std::fs::create_dir(place.path("empty")).unwrap(),
            "train empty --out new",
            3,
            "error: empty: is a folder, where a CSV file is expected; name a file inside it\n",
        ),
        (
            "a run folder",
            &|_| {},
            "forecast out --out new",
            2,
            "error: out is a run folder, where a CSV file is expected; its model forecasts with `lstm forecast --model out`\n",
        ),
    ]);
}

#[test]
fn a_file_that_has_gone() {
    let place = Place::new();
    std::os::unix::fs::symlink("nothing", place.path("bad.csv")).unwrap();
    let done = place.lstm("train bad.csv --out new");
    assert_eq!((done.code, place.path("new").exists()), (3, false));
    assert_eq!(
        done.err,
        "error: bad.csv: cannot be read (No such file or directory (os error 2)); check the path and its permissions\n"
    );
}

#[test]
fn a_file_that_fails_while_it_is_read() {
    if linux() {
        let done = Place::new().lstm("train /proc/self/mem --out new");
        assert_eq!(done.code, 3);
        assert_eq!(
            done.err,
            "error: /proc/self/mem: cannot be read (Input/output error (os error 5)); check the path and its \
             permissions\n"
        );
    }
}

#[test]
fn a_named_pipe_is_read_like_a_file() {
    let place = Place::new();
    let output = shell(
        &place,
        &format!("mkfifo pipe && (cat good.csv > pipe &) && \"$LSTM\" train pipe {TINY} --quiet --out new"),
    );
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
}

#[test]
fn a_reader_who_goes_away_is_no_mistake() {
    let place = Place::new();
    let output = shell(
        &place,
        &format!("{{ \"$LSTM\" forecast good.csv {TINY} --out new; echo code $? >&2; }} | head -c 1"),
    );
    assert!(err(&output).ends_with("code 0\n"), "{}", err(&output));
    assert!(!err(&output).contains("panicked"));
    assert!(place.path("new/forecast.csv").exists());
}

#[test]
fn output_that_is_full_is_told() {
    if !linux() {
        return;
    }
    let place = Place::new();
    let message = "error: standard output: No space left on device (os error 28); send it to another place\n";
    for (line, wanted) in [
        ("\"$LSTM\" inspect good.csv > /dev/full", message),
        ("\"$LSTM\" devices > /dev/full", message),
        ("\"$LSTM\" inspect good.csv > /dev/full 2> /dev/full", ""),
    ] {
        let output = shell(&place, line);
        assert_eq!((output.status.code(), err(&output).as_str()), (Some(4), wanted), "{line}");
    }
    let output = shell(&place, &format!("\"$LSTM\" forecast good.csv {TINY} --out new > /dev/full"));
    assert_eq!(output.status.code(), Some(4));
    assert!(err(&output).ends_with(message), "{}", err(&output));
}

#[test]
fn a_disk_that_is_full_leaves_no_half_of_a_file() {
    let place = Place::new();
    let output = shell(
        &place,
        &format!(
            "trap '' XFSZ; ulimit -f 6; \"$LSTM\" train good.csv {TINY} --base linear --lookback 14 --out new"
        ),
    );
    assert_eq!(output.status.code(), Some(4), "{}", err(&output));
    assert!(
        err(&output).ends_with(
            "error: new/model.safetensors: File too large (os error 27); check the path and its permissions\n"
        ),
        "{}",
        err(&output)
    );
    // The log of training goes on line by line; all else is there as a whole or not at all.
    let result = |path: &std::path::PathBuf| {
        path.parent().is_some_and(|folder| folder.ends_with("new")) && !path.ends_with("metrics.jsonl")
    };
    let left: Vec<_> = place.snapshot().into_keys().filter(result).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_place_that_cannot_be_written() {
    if linux() {
        let done = Place::new().lstm(&format!("train good.csv {TINY} --out /proc/lstm"));
        assert_eq!(done.code, 4);
        assert!(
            done.err.ends_with(
                "error: /proc/lstm: No such file or directory (os error 2); check the path and its permissions\n"
            ),
            "{}",
            done.err
        );
    }
}

#[test]
fn an_empty_environment_is_enough() {
    let place = Place::new();
    let output = shell(&place, &format!("env -i \"$LSTM\" forecast good.csv {TINY} --quiet --out new"));
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert_eq!(err(&output), "");
}

#[test]
fn a_network_that_cannot_fit_says_so_at_once() {
    if !linux() {
        return;
    }
    let place = Place::new();
    for command in ["train", "forecast", "backtest"] {
        let begun = Instant::now();
        let line = format!(
            "ulimit -v 4000000; \"$LSTM\" {command} good.csv --hidden 16384 --layers 64 --batch 1048576 --out new"
        );
        let output = shell(&place, &line);
        let said = err(&output);
        assert_eq!(output.status.code(), Some(5), "{said}");
        assert!(
            said.starts_with(
                "error: a network of 64 x 16384 units has 136373665792 weights and needs 1.984 TiB to train them, "
            ) && said.ends_with(" are free; lower --hidden or --layers\n"),
            "{said}"
        );
        assert!(begun.elapsed().as_secs() < 5 && !place.path("new").exists());
    }
}

/// Name, the file, and the end of what `lstm inspect` says, be it the result or the refusal.
fn large(name: &str, text: &[u8], expected: &str) {
    let place = Place::new();
    place.write("large.csv", text);
    let begun = Instant::now();
    let output = shell(&place, "ulimit -v 8000000; exec \"$LSTM\" inspect large.csv");
    let said = format!("{}{}", String::from_utf8(output.stdout.clone()).unwrap(), err(&output));
    println!("{name}: {} MB, {:.1} s", text.len() / 1_000_000, begun.elapsed().as_secs_f64());
    assert!(said.contains(expected), "{name}: {}", said.chars().take(600).collect::<String>());
    assert!(!said.contains("panicked"));
}

#[test]
#[ignore = "takes minutes and gigabytes: cargo test -p lstm-cli --test cli_bad_input -- --ignored --nocapture"]
fn large_files() {
    let numbers = |count: usize| (0..count).map(|i| (i * 37) % 101);
    let mut text = String::from("v\n");
    numbers(10_000_000).for_each(|value| writeln!(text, "{value}").unwrap());
    large("10^7 values", text.as_bytes(), "1 series of 10000000 values: v\n");

    let mut text = String::from("unique_id,ds,y\n");
    for series in 0..100_000 {
        for ((day, _), value) in days(5).iter().zip(numbers(5)) {
            writeln!(text, "s{series},{day},{}", value + series % 7).unwrap();
        }
    }
    large(
        "10^5 series of 5 points",
        text.as_bytes(),
        "100000 series of 5 values: s0, s1, s10, s100, s1000, …\n",
    );

    let header: Vec<String> = (0..1_000_000).map(|i| format!("v{i}")).collect();
    let row: Vec<String> = numbers(1_000_000).map(|value| value.to_string()).collect();
    let text = format!("{}\n{}\n{}\n", header.join(","), row.join(","), row.join(","));
    large("10^6 columns", text.as_bytes(), "is 37, so there is nothing to learn");

    let text = format!("v\n1\n{}\n", "x".repeat(100_000_000));
    large("a line of 100 MB", text.as_bytes(), "no column holds numbers to forecast");

    let text = format!("t,v\n2020-01,1\n2020-02,\"{}\n", "x,\n".repeat(30_000_000));
    large("a quote over 100 MB", text.as_bytes(), "large.csv, line 3: a quote is opened and never closed");
}
