//! What each command does when all is well.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{Place, csv, days};
use serde_json::json;

/// A run that takes no time.
const TINY: &str = "--epochs 2 --hidden 4 --ensemble 1 --quiet";

#[test]
fn forecast_writes_a_run_that_can_be_repeated_exactly() {
    let place = Place::new();
    let done = place.lstm("forecast good.csv --epochs 20 --hidden 8 --ensemble 2 --seed 7").fine();
    for words in [
        "good.csv: sales, 90 rows, step 1 day",
        "LSTM ",
        "linear",
        "ETS",
        "Theta",
        "drift",
        "naive",
        "seasonal naive",
        "MASE",
        "The LSTM ",
    ] {
        assert!(done.out.contains(words), "{words}: {}", done.out);
    }
    assert!(done.out.contains("⣀") || done.out.contains("⠁"), "no plot: {}", done.out);
    assert!(!done.out.contains('\x1b') && !done.err.contains('\x1b'), "colours off a terminal");
    let forecast = place.text("runs/good/forecast.csv");
    let lines: Vec<&str> = forecast.lines().collect();
    assert_eq!(lines[0], "series,time,model,mean,lo-50,hi-50,lo-80,hi-80,lo-95,hi-95");
    assert!(lines[1].starts_with("sales,2020-03-31,lstm,"), "{}", lines[1]);
    let edges: Vec<f64> = lines[1].split(',').skip(3).map(|cell| cell.parse().unwrap()).collect();
    let [mean, lo50, hi50, lo80, hi80, lo95, hi95] = edges[..] else { panic!("{edges:?}") };
    let widening = [lo95, lo80, lo50, mean, hi50, hi80, hi95];
    assert!(widening.is_sorted(), "{widening:?}");
    assert!(lines.len() == 8 || lines.len() == 15, "{forecast}");
    assert!(place.read("runs/good/forecast.png").starts_with(b"\x89PNG"));
    assert!(place.text("runs/good/history.csv").lines().count() > 2);
    for picture in ["error-by-horizon", "season", "residuals", "loss"] {
        assert!(place.read(&format!("runs/good/{picture}.png")).starts_with(b"\x89PNG"), "{picture}");
        assert!(place.text(&format!("runs/good/{picture}.svg")).ends_with("</svg>"), "{picture}");
    }
    assert_eq!(place.lstm("inspect runs/good --json").fine().json()["task"]["config"]["seed"], 7);

    place.lstm("forecast good.csv --config runs/good/settings.toml --out again --threads 1 --quiet").fine();
    for name in
        ["model.safetensors", "forecast.csv", "forecast.png", "forecast.svg", "metrics.json", "history.csv"]
    {
        assert!(
            place.read(&format!("runs/good/{name}")) == place.read(&format!("again/{name}")),
            "{name} differs"
        );
    }
}

#[test]
fn the_metrics_of_training_are_lines_of_json() {
    let place = Place::new();
    place.lstm("train good.csv --epochs 20 --hidden 8 --ensemble 2 --base linear --quiet").fine();
    let text = place.text("runs/good/metrics.jsonl");
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let history = place.text("runs/good/history.csv");
    assert_eq!(lines.len() + 1, history.lines().count());
    let keys: Vec<&String> = lines[0].as_object().unwrap().keys().collect();
    let wanted = "epoch loss network rate rollbacks seconds skipped step trial validation";
    assert_eq!(keys, wanted.split(' ').collect::<Vec<_>>());
    for (line, row) in lines.iter().zip(history.lines().skip(1)) {
        let cells: Vec<&str> = row.rsplitn(6, ',').collect();
        let [rate, validation, loss, _, step, stage] = cells[..] else { panic!("{row}") };
        assert!(!stage.contains(',') || stage.starts_with("\"training on all rows, "), "{row}");
        assert_eq!(line["step"].to_string(), step);
        assert_eq!(line["loss"], json!(loss.parse::<f64>().unwrap()));
        assert_eq!(line["rate"], json!(rate.parse::<f64>().unwrap()));
        assert_eq!(line["validation"].is_null(), validation.is_empty(), "{line}");
    }
    // Two ways of normalising, each by two networks, then two on all rows.
    let parts: Vec<(Option<u64>, u64)> =
        lines.iter().map(|line| (line["trial"].as_u64(), line["network"].as_u64().unwrap())).collect();
    let mut found = parts.clone();
    found.dedup();
    let wanted = [(Some(1), 1), (Some(1), 2), (Some(2), 1), (Some(2), 2), (None, 1), (None, 2)];
    assert_eq!(found, wanted);
    let seconds: Vec<f64> = lines.iter().map(|line| line["seconds"].as_f64().unwrap()).collect();
    assert!(seconds.is_sorted() && seconds[0] >= 0.0);
}

#[test]
fn flags_win_over_the_file_and_the_file_over_defaults() {
    let place = Place::new();
    place.write("some.toml", "hidden = 3\nseed = 5\nout = \"here\"\nquiet = true\n");
    let done = place.lstm("train good.csv --config some.toml --hidden 4 --epochs 1").fine();
    assert_eq!(done.out, "");
    let settings = place.text("here/settings.toml");
    assert!(
        settings.contains("\n#   lstm train good.csv --config here/settings.toml --out ANOTHER\n"),
        "{settings}"
    );
    for line in ["hidden = 4", "seed = 5", "epochs = 1", "optimizer = \"adam\"", "target = \"sales\""] {
        assert!(settings.lines().any(|l| l == line), "{line}: {settings}");
    }
}

#[test]
fn what_one_run_left_another_replaces_only_when_asked() {
    let place = Place::new();
    place.lstm(&format!("forecast good.csv --out run {TINY}")).fine();
    let before = place.snapshot();
    assert_eq!(place.lstm(&format!("train good.csv --out run {TINY}")).code, 2);
    assert_eq!(place.lstm_reading(&format!("train - --out run {TINY}"), &csv(&days(90))).code, 2);
    assert_eq!(place.lstm("forecast --model run").code, 2);
    assert_eq!(place.snapshot(), before);
    place.lstm(&format!("train good.csv --out run --force --seed 9 {TINY}")).fine();
    assert!(!place.path("run/forecast.csv").exists(), "a forecast of the model that is gone");
    place.lstm("forecast --model run").fine();
}

#[test]
fn training_leaves_its_input_and_the_forecasts_of_others() {
    let place = Place::new();
    place.write("forecast.csv", csv(&days(90)));
    place.write("other/forecast.png", "kept");
    place.lstm(&format!("train good.csv --out run {TINY}")).fine();
    let before = place.snapshot();
    for (command, message) in [
        ("train forecast.csv --out .", "forecast.csv would be replaced by a result"),
        ("train forecast.csv --out . --force", "forecast.csv would be replaced by a result"),
        ("forecast forecast.csv --out . --force", "forecast.csv would be replaced by a result"),
        ("forecast --model run forecast.csv --out . --force", "forecast.csv would be replaced by a result"),
        ("train good.csv --out other", "forecast.png exists already"),
    ] {
        let done = place.lstm(command);
        assert_eq!(done.code, 2, "{command}: {}", done.err);
        assert!(done.err.contains(message), "{command}: {}", done.err);
        assert!(place.snapshot() == before, "{command}");
    }
}

#[test]
fn a_forecast_goes_with_its_model_even_when_the_new_one_is_cut_short() {
    let place = Place::new();
    place.lstm(&format!("forecast good.csv --out run {TINY}")).fine();
    assert_eq!(place.lstm("forecast good.csv --lr 1e38 --out run --force").code, 6);
    assert!(place.path("run/model.safetensors").exists());
    assert!(!place.path("run/forecast.csv").exists() && !place.path("run/forecast.png").exists());
}

#[test]
fn large_numbers_give_numbers() {
    let place = Place::new();
    let rows: Vec<_> = days(90).into_iter().map(|(day, value)| (day, value + "e200")).collect();
    place.write("large.csv", csv(&rows));
    place.lstm(&format!("train good.csv --out run {TINY}")).fine();
    place.lstm("forecast --model run large.csv --out large --quiet").fine();
    let forecast = place.text("large/forecast.csv");
    let numbers = forecast.lines().skip(1).flat_map(|line| line.split(',').skip(3)).map(str::parse::<f64>);
    assert!(numbers.into_iter().all(|number| number.unwrap().is_finite()), "{forecast}");
}

#[test]
fn the_steps_apart_agree_with_the_whole() {
    let place = Place::new();
    place.lstm(&format!("forecast good.csv --out whole {TINY}")).fine();
    place.lstm(&format!("train good.csv --out parts {TINY}")).fine();
    assert!(!place.path("parts/forecast.csv").exists());
    assert!(place.read("whole/model.safetensors") == place.read("parts/model.safetensors"));
    place.lstm("forecast --model parts --quiet").fine();
    assert_eq!(place.text("whole/forecast.csv"), place.text("parts/forecast.csv"));
    place.lstm("forecast --model parts good.csv --out file --quiet").fine();
    assert_eq!(place.text("whole/forecast.csv"), place.text("file/forecast.csv"));
    // From a series that goes on, the forecast goes on.
    place.write("longer.csv", csv(&days(97)));
    place.lstm("forecast --model parts longer.csv --out longer --quiet").fine();
    assert!(place.text("longer/forecast.csv").contains("\nsales,2020-04-07,lstm,"));
}

#[test]
fn eval_uses_rows_that_the_model_has_not_seen() {
    let place = Place::new();
    place.lstm(&format!("train good.csv --out run {TINY}")).fine();
    let seen = place.lstm("eval run good.csv").fine();
    assert!(seen.out.contains("The model was trained on these rows"), "{}", seen.out);
    place.write("longer.csv", csv(&days(120)));
    let new = place.lstm("eval run longer.csv --json").fine().json();
    assert_eq!(
        (&new["first-row"], &new["windows"], &new["seen-in-training"]),
        (&json!(90), &json!(24), &json!(false))
    );
    assert_eq!(new["scores"].as_array().unwrap().len(), 7);
    // Without times the same rows are known by their numbers.
    place.lstm(&format!("train good.csv --time none --season 7 --out rows {TINY}")).fine();
    assert_eq!(place.lstm("eval rows longer.csv --json").fine().json()["first-row"], 90);
}

#[test]
fn a_baseline_that_wins_is_named_and_its_forecast_is_given() {
    let place = Place::new();
    let command = "forecast good.csv --epochs 1 --hidden 1 --ensemble 1 --lr 1e-9 --base last --out run";
    let done = place.lstm(command).fine();
    let json = place.lstm("forecast good.csv --config run/settings.toml --out json --json").fine().json();
    let winner = json["winner"].as_str().unwrap();
    let spoken =
        [("linear", "linear"), ("seasonal-naive", "seasonal naive"), ("ets", "ETS"), ("theta", "Theta")];
    let (_, name) = spoken.into_iter().find(|(written, _)| *written == winner).unwrap();
    let words = format!("The LSTM does NOT beat the {name} forecast here");
    assert!(done.out.contains(&words), "{}", done.out);
    let forecast = place.text("run/forecast.csv");
    assert_eq!(forecast.matches(&format!(",{winner},")).count(), 7, "{forecast}");
    assert_eq!(json["forecast"].as_array().map(Vec::len), Some(14));
    assert!(json["skill"].as_f64().unwrap() < 0.0);
}

#[test]
fn many_series_are_forecast_by_one_network() {
    let place = Place::new();
    let mut wide = String::from("day,north,south\n");
    let mut long = String::from("unique_id,ds,y\n");
    for (t, (day, value)) in days(90).into_iter().enumerate() {
        let south = 1000.0 + 3.0 * value.parse::<f64>().unwrap() + t as f64;
        wide += &format!("{day},{value},{south}\n");
        long += &format!("north,{day},{value}\nsouth,{day},{south}\n");
    }
    place.write("wide.csv", &wide);
    place.write("long.csv", &long);
    place.lstm(&format!("forecast wide.csv --target all --out wide {TINY}")).fine();
    place.lstm(&format!("forecast long.csv --out long {TINY}")).fine();
    let forecast = place.text("wide/forecast.csv");
    assert_eq!(forecast, place.text("long/forecast.csv"));
    for series in ["north", "south"] {
        let lines = forecast
            .lines()
            .filter(|line| line.starts_with(&format!("{series},")) && line.contains(",lstm,"));
        assert_eq!(lines.count(), 7, "{forecast}");
    }
    // The same from what the model keeps of the series.
    place.lstm("forecast --model long --out kept --quiet").fine();
    assert_eq!(place.text("kept/forecast.csv"), forecast);
    place.lstm("forecast --model long long.csv --out file --quiet").fine();
    assert_eq!(place.text("file/forecast.csv"), forecast);
    // A series that has just begun gets no forecast, and the others do.
    let begun: String =
        days(90).iter().skip(80).map(|(day, value)| format!("west,{day},{value}\n")).collect();
    place.write("more.csv", format!("{long}{begun}"));
    let more = place.lstm("forecast more.csv --epochs 2 --hidden 4 --ensemble 1 --out more").fine();
    assert!(more.out.contains("1 series of fewer than 14 rows get no forecast, west first"), "{}", more.out);
    assert!(!place.text("more/forecast.csv").contains("west,"));
    // The network that reads both of each row, and what it keeps of them.
    place.lstm(&format!("forecast wide.csv --target all --joint --out joint {TINY}")).fine();
    let joint = place.text("joint/forecast.csv");
    assert_ne!(joint, forecast);
    for again in
        ["forecast --model joint --out again --force", "forecast --model joint wide.csv --out again --force"]
    {
        place.lstm(&format!("{again} --quiet")).fine();
        assert_eq!(place.text("again/forecast.csv"), joint, "{again}");
    }
    let fewer = place.lstm("forecast --model wide wide.csv --target north --out other --quiet");
    assert_eq!(fewer.code, 3);
    assert!(fewer.err.contains("the model tells 2 series apart, from north to south"), "{}", fewer.err);
}

#[test]
fn columns_beside_the_values_are_read_and_asked_for() {
    let place = Place::new();
    let mut text = String::from("day,sales,price,sky\n");
    let mut future = String::from("day,price\n");
    for (t, (day, value)) in days(97).into_iter().enumerate() {
        let price = 5 + t * 7 % 3;
        if t < 90 {
            text += &format!("{day},{value},{price},{}\n", if t % 4 == 0 { "rain" } else { "sun" });
        } else {
            future += &format!("{day},{price}\n");
        }
    }
    place.write("shop.csv", &text);
    place.write("future.csv", &future);
    let reading = "--target sales --known price --past sky --calendar";
    let without = place.lstm(&format!("forecast shop.csv {reading} --out run {TINY}"));
    assert_eq!(without.code, 3);
    assert!(
        without.err.contains("price of sales is known 0 rows ahead, and the forecast goes 7"),
        "{}",
        without.err
    );
    place.lstm(&format!("forecast shop.csv {reading} --future future.csv --out run {TINY}")).fine();
    let forecast = place.text("run/forecast.csv");
    place.lstm(&format!("train shop.csv {reading} --out trained {TINY}")).fine();
    place.lstm("forecast --model trained shop.csv --future future.csv --out apart --quiet").fine();
    assert_eq!(place.text("apart/forecast.csv"), forecast);
    let bare = place.lstm("forecast --model trained --out bare --quiet");
    assert_eq!(bare.code, 3);
    assert!(bare.err.contains("--future FILE"), "{}", bare.err);
    let other = place.lstm("forecast --model trained shop.csv --known price --past price --out bare --quiet");
    assert_ne!(other.code, 0);
}

#[test]
fn files_of_many_kinds_are_read() {
    let place = Place::new();
    let rows = days(90);
    place.write("bom.csv", format!("\u{feff}{}", csv(&rows)));
    place.write("semicolons.csv", csv(&rows).replace(',', ";"));
    place.write("tabs.csv", csv(&rows).replace(',', "\t"));
    place.write("windows.csv", csv(&rows).replace('\n', "\r\n"));
    place.write("bare.csv", csv(&rows).trim_start_matches("day,sales\n"));
    let mut mixed = rows.clone();
    mixed.swap(4, 5);
    mixed.push(mixed[10].clone());
    mixed.remove(30);
    place.write("mixed.csv", csv(&mixed));
    for command in [
        "bom.csv",
        "semicolons.csv",
        "tabs.csv --delimiter tab",
        "windows.csv",
        "bare.csv --no-header",
        "mixed.csv",
        "mixed.csv --duplicates first --fill season --out season",
    ] {
        place.lstm(&format!("train {command} {TINY}")).fine();
    }
    let model = |name: &str| place.read(&format!("runs/{name}/history.csv"));
    for name in ["semicolons", "tabs", "windows", "bare"] {
        assert!(model(name) == model("bom"), "{name}");
    }
    let piped = place.lstm_reading(&format!("train - {TINY}"), &csv(&rows));
    assert_eq!(piped.code, 0, "{}", piped.err);
    assert!(model("stdin") == model("bom"));
}

#[test]
fn inspect_tells_what_was_found_and_what_is_made_of_it() {
    let place = Place::new();
    let good = place.lstm("inspect good.csv").fine();
    for words in ["good.csv: 90 rows, 2 columns", "step 1 day, season 7", "\n1 series of 90 values: sales\n"]
    {
        assert!(good.out.contains(words), "{words}: {}", good.out);
    }
    let mut rows = days(90);
    rows.swap(4, 5);
    rows[10].1 = String::new();
    rows.remove(30);
    rows.insert(50, rows[49].clone());
    place.write("mixed.csv", csv(&rows));
    let mixed = place.lstm("inspect mixed.csv").fine();
    for words in [
        "1 rows out of order",
        "1 gaps of 1 rows",
        "sales: 1 values are missing",
        "1 row repeats a time, the first in line",
        "2 values, those of added rows among them, were missing and were filled",
    ] {
        assert!(mixed.out.contains(words), "{words}: {}", mixed.out);
    }
    let json = place.lstm("inspect mixed.csv --json").fine().json();
    assert_eq!((&json["rows"], &json["time"]["season"]), (&json!(90), &json!(7)));
    assert_eq!(json["series"]["repairs"], json!({ "unsorted": 1, "duplicates": 1, "rows": 1, "values": 2 }));
    place.write("m4.csv", "V1,V2,V3,V4\nH1,1,2,3\nH2,1,2,\n");
    let rows = place.lstm("inspect m4.csv").fine();
    assert_eq!(
        rows.out,
        "m4.csv: 2 rows, 4 columns, parted by ','\n\n2 series of 2 to 3 values: H1, H2\nRead as one series a row, called \
         as in 'V1'; no times, so that values follow one another at an even step.\n"
    );
    place.write("gaps.csv", "t,y\n2020-01-01,1\n2020-01-02,2\n2020-01-04,3\n2020-01-05,5\n");
    let refused = place.lstm("inspect gaps.csv").fine();
    assert!(
        refused.out.contains("it cannot be forecast as it is: gaps.csv, line 4, column 'y': 1 of 5"),
        "{}",
        refused.out
    );
}

#[test]
fn an_export_holds_what_torch_takes() {
    let place = Place::new();
    place.lstm(&format!("train good.csv --layers 2 --dtype f64 --out run {TINY}")).fine();
    let told = place.lstm("export run --to torch-lstm -o lstm.safetensors").fine().out;
    assert!(told.contains(" bytes for torch.nn.LSTM(2, 4, 2, dtype=torch.float64)\n"), "{told}");
    assert!(
        told.contains("Inputs: steps of 1 value, the last value subtracted, over the standard deviation"),
        "{told}"
    );
    assert!(
        told.contains("into 1 value of the forecast") && told.contains("head.bias in run/model.safetensors"),
        "{told}"
    );
    let bytes = place.read("lstm.safetensors");
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    let mut names: Vec<&str> = header.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    let layer =
        |l: usize| ["bias_hh", "bias_ih", "weight_hh", "weight_ih"].map(|name| format!("{name}_l{l}"));
    let mut expected: Vec<String> = [layer(0), layer(1)].concat();
    expected.sort_unstable();
    assert_eq!(names, expected);
    assert_eq!(
        (&header["weight_hh_l1"]["shape"], &header["weight_hh_l1"]["dtype"]),
        (&json!([16, 4]), &json!("F64"))
    );
    assert_eq!(header["weight_ih_l0"]["shape"], json!([16, 2]));
    assert_eq!(place.lstm("inspect run --json").fine().json()["dtype"], "f64");
    place.lstm(&format!("train good.csv --segment 7 --base last --out plain {TINY}")).fine();
    let plain = place.lstm("export plain --to torch-lstm --json").fine().json();
    assert_eq!(plain["constructor"], "torch.nn.LSTM(8, 4, 1)");
    place.lstm(&format!("train good.csv --embedding 6 --base last --out deep {TINY}")).fine();
    let deep = place.lstm("export deep --to torch-lstm --json").fine().json();
    assert_eq!(deep["constructor"], "torch.nn.LSTM(6, 4, 1)");
    let embedding = "max(0, W x + b), with W and b embedding.weight and embedding.bias in deep/model.safetensors, of steps";
    assert!(deep["inputs"].as_str().unwrap().starts_with(embedding), "{deep}");
    place.lstm("forecast --model deep").fine();
    // Of several networks the second is another.
    let two = TINY.replace("--ensemble 1", "--ensemble 2");
    place.lstm(&format!("train good.csv --base last --out two {two}")).fine();
    let files = ["", "--network 1", "--network 2"].map(|network| {
        let told = place.lstm(&format!("export two --to torch-lstm --force --json {network}")).fine().json();
        (told["head"].as_str().unwrap().to_owned(), place.read("two/torch-lstm.safetensors"))
    });
    assert!(files[0] == files[1] && files[1].1 != files[2].1);
    assert!(files[1].0.contains(" head.weight ") && files[2].0.contains(" 1.head.weight "), "{}", files[2].0);
    let refused = place.lstm("export two --to torch-lstm --network 9 --force");
    assert_eq!((refused.code, refused.err.contains("--network is 9, but the model has 2")), (2, true));
}

#[test]
fn help_devices_and_completions_are_there() {
    let place = Place::new();
    for command in ["forecast", "train", "eval", "inspect", "export", "repro", "devices", "completions"] {
        let help = place.lstm(&format!("{command} --help")).fine();
        assert!(help.out.contains("Usage: lstm "), "{command}: {}", help.out);
    }
    assert!(place.lstm("forecast --help").out.contains("lstm forecast --model runs/air newer.csv"));
    assert!(place.lstm("--version").fine().out.starts_with("lstm 0."));
    for shell in ["bash", "zsh", "fish"] {
        assert!(place.lstm(&format!("completions {shell}")).fine().out.contains("forecast"), "{shell}");
    }
    assert_eq!(place.lstm("").code, 2);
}

#[test]
fn devices_are_listed_with_what_is_missing() {
    let place = Place::new();
    let (words, list) = (place.lstm("devices").fine().out, place.lstm("devices --json").fine().json());
    let cpu = &list["devices"][0];
    assert!(words.starts_with("cpu ") && words.contains(cpu["hardware"].as_str().unwrap()), "{words}");
    assert_eq!(cpu["name"], "cpu");
    assert!(cpu["threads"].as_u64().unwrap() >= 1 && cpu["instructions"].is_string(), "{cpu}");
    if list["cuda"]["usable"] == true {
        assert!(words.contains("\ncuda:0 ") && words.contains("CUDA can be used"), "{words}");
        return;
    }
    assert_eq!(list["auto"], json!({ "training": "cpu", "forecasting": "cpu" }));
    let missing = list["cuda"]["missing"].as_array().unwrap();
    assert!(!missing.is_empty() && words.contains("CUDA cannot be used:\n- "), "{words}");
    let asked = place.lstm("train good.csv --device cuda");
    let first = missing[0].as_str().unwrap();
    assert_eq!(asked.code, 5);
    assert!(asked.err.starts_with(&format!("error: --device cuda: {first}; ")), "{}", asked.err);
    assert_eq!(asked.err.lines().count(), 1, "{}", asked.err);
}

#[test]
fn the_device_that_was_chosen_is_told_and_kept() {
    let place = Place::new();
    place.write("some.toml", "device = \"cpu\"\ndtype = \"f64\"\n");
    let small = "--epochs 1 --hidden 4";
    let done = place.lstm(&format!("train good.csv --config some.toml {small} --out run")).fine();
    assert!(done.err.contains(" s of training on cpu (") && done.err.contains(", f64\n"), "{}", done.err);
    let settings = place.text("run/settings.toml");
    assert!(settings.contains("\ndevice = \"cpu\"\ndtype = \"f64\"\n"), "{settings}");

    // What `auto` chose is what the run is repeated on.
    let auto = place.lstm(&format!("train good.csv --device auto {small} --out auto --json")).fine().json();
    let chosen = place.lstm("devices --json").fine().json()["auto"]["training"].clone();
    assert_eq!((&auto["device"], &auto["dtype"]), (&chosen, &json!("f32")));
    assert_eq!(auto.get("device-fallback"), Some(&json!(null)), "{auto}");
    let kept = format!("\ndevice = {chosen}\n");
    assert!(place.text("auto/settings.toml").contains(&kept), "{kept}");

    let eval = place.lstm("eval run good.csv --json").fine().json();
    assert_eq!((&eval["device"], &eval["dtype"]), (&json!("cpu"), &json!("f64")));
    let forecast = place.lstm("forecast --model run --dtype f32 --json").fine().json();
    assert_eq!((&forecast["device"], &forecast["dtype"]), (&json!("cpu"), &json!("f32")));
    assert!(place.lstm("eval run good.csv").fine().err.contains("forecasts on cpu ("));
    for command in ["eval run good.csv", "forecast --model run --force", "repro 004-adjacent-sum --out cells"]
    {
        let done = place.lstm(&format!("{command} --device cuda:999"));
        assert_eq!(done.code, 5, "{command}: {}", done.err);
        assert!(done.err.starts_with("error: --device cuda:999: "), "{command}: {}", done.err);
    }
}

#[cfg(unix)]
mod unix {
    use super::*;

    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    fn spawn(place: &Place, arguments: &str) -> std::process::Child {
        Command::new(assert_cmd::cargo::cargo_bin!("lstm"))
            .args(arguments.split_whitespace())
            .current_dir(place.path("."))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    #[test]
    fn ctrl_c_keeps_the_best_model_and_leaves_no_half_file() {
        let place = Place::new();
        place.write("long.csv", csv(&days(360)));
        let long = "forecast long.csv --epochs 1000000 --hidden 64 --lookback 100 --season 7 --out run";
        let mut child = spawn(&place, long);
        let begun = Instant::now();
        // The folder is made once somebody listens for Ctrl-C, just before the first step.
        while !place.path("run").exists() {
            assert!(begun.elapsed() < Duration::from_secs(60));
            assert!(child.try_wait().unwrap().is_none());
            std::thread::sleep(Duration::from_millis(10));
        }
        std::thread::sleep(Duration::from_millis(300));
        assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
        let output = child.wait_with_output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(130), "{err}");
        let words = "interrupted; go on with lstm forecast --resume run; the best model so far is kept in \
                     run/model.safetensors";
        assert!(err.contains(words), "{err}");
        let name = |f: std::io::Result<std::fs::DirEntry>| f.unwrap().file_name().into_string().unwrap();
        let mut names: Vec<_> = std::fs::read_dir(place.path("run")).unwrap().map(name).collect();
        names.sort();
        assert_eq!(
            names,
            [
                "checkpoint-1.safetensors",
                "history.csv",
                "metrics.json",
                "metrics.jsonl",
                "model.safetensors",
                "settings.toml"
            ]
        );
        assert!(place.lstm("inspect run").fine().out.contains("training was cut short (interrupted)"));
    }

    #[test]
    fn a_reader_who_goes_is_no_error() {
        let place = Place::new();
        for command in
            ["inspect good.csv", "--help", "completions bash", "forecast good.csv --epochs 1 --out run"]
        {
            let mut child = spawn(&place, command);
            drop(child.stdout.take());
            let output = child.wait_with_output().unwrap();
            let err = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(0), "{command}: {err}");
            assert!(!err.contains("panicked") && !err.contains("error"), "{command}: {err}");
        }
        assert!(place.path("run/forecast.csv").exists(), "the results are written all the same");
    }
}
