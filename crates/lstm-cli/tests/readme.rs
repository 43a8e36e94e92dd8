//! README's commands do what README says, and its Rust is that of the example.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{Place, days};

const README: &str = include_str!("../../../README.md");
const EXAMPLE: &str = include_str!("../../../examples/standalone/src/main.rs");
const TAXI: &str = include_str!("../../../examples/data/nyc_taxi.csv");
/// How the main command begins; this test has a binary already.
const CARGO: &str = "$ cargo run --release -p lstm-cli -- ";
/// How `lstm` gets onto the path; a test has it there.
const INSTALL: &str = "$ cargo install --path crates/lstm-cli ";

/// The blocks in this language.
fn blocks(language: &str) -> Vec<&'static str> {
    let fence = format!("```{language}\n");
    README.split(&fence).skip(1).map(|rest| rest.split_once("```").unwrap().0).collect()
}

#[test]
fn the_main_command_prints_what_readme_shows() {
    let block = blocks("console").into_iter().find_map(|block| block.strip_prefix(CARGO)).unwrap();
    let (command, shown) = block.split_once('\n').unwrap();
    let place = Place::new();
    place.write("examples/data/nyc_taxi.csv", TAXI);
    // One pass over the rows instead of those that serve best: a test is not built for speed. All but what the LSTM
    // has learnt is as in the README.
    let printed = place.lstm(&format!("{command} --epochs 1")).fine().out;
    let mut printed = printed.lines();
    for line in shown.lines().filter(|line| !line.is_empty()) {
        let of_lstm =
            ["LSTM ", "The LSTM ", "The network "].into_iter().find(|start| line.starts_with(start));
        // The picture stands between the last two lines; README shows the file instead.
        let same = |printed: &&str| match of_lstm {
            Some(start) => printed.starts_with(start) && (start != "LSTM " || printed.len() == line.len()),
            // How many values an interval holds depends on what the best trial divides windows by.
            None => without_share(printed) == without_share(line),
        };
        assert!(printed.any(|line| same(&line)), "not printed, or not in this place: {line}");
    }
    assert_eq!(printed.next(), None);
    for name in ["forecast.csv", "forecast.png", "model.safetensors", "metrics.json", "settings.toml"] {
        assert!(place.path(&format!("runs/nyc_taxi/{name}")).exists(), "{name}");
    }
}

/// A line without the percentage at its end.
fn without_share(line: &str) -> &str {
    match line.rsplit_once(' ') {
        Some((rest, last)) if last.ends_with('%') => rest.trim_end(),
        _ => line,
    }
}

#[test]
fn the_commands_for_ones_own_file_succeed_in_order() {
    let place = Place::new();
    let sales = |rows: usize| {
        let rows = days(rows).into_iter().map(|(day, value)| format!("{day},{value},9.99\n"));
        format!("day,units,price\n{}", rows.collect::<String>())
    };
    place.write("sales.csv", sales(90));
    place.write("new.csv", sales(97));
    let columns = |names: &str| {
        let rows = days(90).into_iter().map(|(day, value)| format!("{day},{value},{value}1\n"));
        format!("day,{names}\n{}", rows.collect::<String>())
    };
    place.write("stores.csv", columns("north,south"));
    place.write("demand.csv", columns("demand,temperature"));
    let block = blocks("console").into_iter().find(|block| block.contains("$ lstm ")).unwrap();
    let (install, commands) = block.split_once('\n').unwrap();
    assert!(install.starts_with(INSTALL), "`lstm` is used before it is there: {install}");
    for line in commands.lines() {
        let command = line.strip_prefix("$ lstm ").unwrap().split('#').next().unwrap();
        // So little to compute that nobody waits: what is tested is that each command takes what those before it left.
        let trains =
            command.starts_with("train") || command.starts_with("forecast") && !command.contains("--model");
        place.lstm(&format!("{command} {}", if trains { "--effort 20" } else { "" })).fine();
    }
    assert!(place.text("runs/sales/forecast.csv").contains("\nunits,2020-03-31,lstm,"));
    assert!(place.text("runs/new/forecast.csv").contains("\nunits,2020-04-07,lstm,"));
    assert!(place.path("runs/units/torch-lstm.safetensors").exists());
}

#[test]
fn no_command_goes_untested() {
    let commands = blocks("console").into_iter().flat_map(str::lines).filter(|line| line.starts_with("$ "));
    for command in commands {
        let known = [CARGO, INSTALL, "$ lstm ", "$ cargo test --workspace"];
        assert!(known.iter().any(|start| command.starts_with(start)), "{command}");
    }
}

#[test]
fn the_rust_is_in_the_example() {
    // Sizes are variables in the README and constants in the example.
    let example = EXAMPLE.to_lowercase();
    let lines: Vec<&str> = example.lines().map(str::trim).collect();
    let [block] = blocks("rust")[..] else { panic!("one block of Rust") };
    for line in block.lines() {
        assert!(lines.contains(&line.to_lowercase().as_str()), "not in examples/standalone: {line}");
    }
}
