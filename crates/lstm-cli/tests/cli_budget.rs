//! `--budget`: a length of time becomes a plan, and the plan alone decides what is computed.

mod common;

use common::Place;

/// What a run computes, and what says how it is repeated.
const COMPUTED: [&str; 3] = ["model.safetensors", "metrics.json", "history.csv"];

#[test]
fn the_plan_of_a_budget_is_written_and_repeats_the_run() {
    let place = Place::new();
    let done = place.lstm("train good.csv --budget 30s --epochs 3 --threads 1 --out first --quiet").fine();
    assert_eq!(done.err, "");
    let settings = place.text("first/settings.toml");
    let effort = settings.lines().find_map(|line| line.strip_prefix("effort = ")).unwrap();
    let effort: f64 = effort.parse().unwrap();
    assert!(effort > 0.0 && !settings.contains("budget"), "{settings}");
    for name in ["ensemble = ", "epochs = ", "seed = ", "hidden = "] {
        assert!(settings.contains(&format!("\n{name}")), "no {name} in {settings}");
    }
    place.lstm("train good.csv --config first/settings.toml --out again --quiet").fine();
    for name in COMPUTED {
        assert!(
            place.read(&format!("first/{name}")) == place.read(&format!("again/{name}")),
            "{name} differs"
        );
    }
    assert!(settings.lines().skip(2).eq(place.text("again/settings.toml").lines().skip(2)), "{settings}");
}

#[test]
fn more_time_is_more_work() {
    let place = Place::new();
    let effort = |budget: &str| {
        let arguments = format!(
            "train good.csv --budget {budget} --epochs 1 --ensemble 1 --threads 1 --out {budget} --quiet"
        );
        place.lstm(&arguments).fine();
        let settings = place.text(&format!("{budget}/settings.toml"));
        settings.lines().find_map(|line| line.strip_prefix("effort = ")?.parse::<f64>().ok()).unwrap()
    };
    // One pass over the rows in both, whatever there would be time for. The machine may be busy with other tests.
    let (short, long) = (effort("10s"), effort("10h"));
    assert!(long > 50.0 * short, "{short} {long}");
}

#[test]
fn a_budget_is_refused_where_it_cannot_be_kept() {
    let place = Place::new();
    let refused = |arguments: &str, words: &str| {
        let done = place.lstm(arguments);
        assert_eq!(done.code, 2, "{arguments}");
        assert!(done.err.contains(words), "{arguments}: {}", done.err);
    };
    refused("train good.csv --budget 2m --effort 5", "--effort");
    refused("train good.csv --budget 5", "must be a time above 0 such as 90s, 2m or 1h30m");
    place.write("plan.toml", "effort = 3\n");
    refused("train good.csv --budget 2m --config plan.toml", "both say how much is to be computed");
    refused("train good.csv --budget 0.01s", "but must be at least");
    refused("forecast --model runs/x --budget 2m", "--model");
    assert!(!place.path("runs").exists());
}
