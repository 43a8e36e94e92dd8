//! The page of a run: what stands on it, and that nothing from a file becomes a part of it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{Place, csv, days};

/// A run that takes no time.
const TINY: &str = "--epochs 2 --hidden 4 --ensemble 1 --quiet";

fn page(place: &Place, command: &str) -> String {
    place.lstm(&format!("{command} --out run {TINY}")).fine();
    place.text("run/report.html")
}

#[test]
fn a_page_says_what_a_run_found_and_how_to_repeat_it() {
    let place = Place::new();
    for command in ["train good.csv", "forecast good.csv --force"] {
        let page = page(&place, command);
        for words in [
            "<!DOCTYPE html>",
            "sales: the next ",
            "good.csv: 90 rows, step 1 day, season 7",
            "seasonal naive",
            "in 80%",
            "Is it learnable?",
            "Gamma test",
            "autocorrelations lie outside the band",
            "good.csv --config run/settings.toml --out ANOTHER",
            "hidden = 4",
        ] {
            assert!(page.contains(words), "{words} is missing after {command}");
        }
        assert!(page.contains(&format!("lstm {}", command.split(' ').next().unwrap())), "{command}");
        // forecast, errors by horizon, season, residuals, training
        assert_eq!(page.matches("<svg").count(), 5);
    }
}

#[test]
fn a_forecast_by_a_trained_model_has_a_page_of_its_own() {
    let place = Place::new();
    let of_training = page(&place, "train good.csv");
    place.write("new rows.csv", csv(&days(100)));
    let command = ["forecast", "--model", "run", "new rows.csv", "--out", "new", "--quiet"];
    let output = assert_cmd::Command::cargo_bin("lstm")
        .unwrap()
        .current_dir(place.path(""))
        .args(command)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let page = place.text("new/forecast.html");
    for words in [
        "new rows.csv: 100 rows, step 1 day, season 7",
        "seasonal naive",
        "lstm forecast --model run 'new rows.csv' --out new --quiet",
    ] {
        assert!(page.contains(words), "{words} is missing");
    }
    assert_eq!(page.matches("<svg").count(), 1);
    assert!(!page.contains("All settings") && !place.path("new/report.html").exists());
    // The one of the training stays when a forecast goes into its folder.
    place.lstm("forecast --model run --quiet").fine();
    assert!(place.path("run/forecast.html").exists() && place.text("run/report.html") == of_training);
}

#[test]
fn a_page_needs_nothing_from_elsewhere_and_no_two_names_are_one() {
    let place = Place::new();
    let page = page(&place, "train good.csv");
    for outside in ["http:", "https:", "src=", "@import", "<script", "<link", "url(\"", "file:"] {
        assert!(!page.contains(outside), "{outside}");
    }
    let ids: Vec<&str> = page.split(" id=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    let mut distinct = ids.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert!(!ids.is_empty() && distinct.len() == ids.len(), "{ids:?}");
    let used: Vec<&str> = page.split("url(#").skip(1).map(|rest| rest.split(')').next().unwrap()).collect();
    assert!(!used.is_empty() && used.iter().all(|name| ids.contains(name)), "{used:?}");
}

#[test]
fn every_colour_of_a_picture_has_one_for_dark_pages_or_is_light() {
    let place = Place::new();
    let page = page(&place, "train good.csv");
    // Orange and sky blue of the palette are read on both.
    let light = ["#e69f00", "#cc79a7", "#56b4e9", "none", "white"];
    for kind in ["fill", "stroke"] {
        for colour in page.split(&format!(" {kind}=\"")).skip(1).map(|rest| rest.split('"').next().unwrap()) {
            let rule = format!("[{kind}=\"{colour}\"]");
            assert!(light.contains(&colour) || page.contains(&rule), "{rule} has no rule");
        }
    }
}

#[test]
fn nothing_from_a_file_becomes_a_part_of_the_page() {
    let place = Place::new();
    let evil = "<script>alert('1')</script>";
    let text = csv(&days(90)).replacen("sales", evil, 1);
    assert!(text.lines().next().unwrap().contains(evil));
    place.write("a&b <i>.csv", text);
    let output = assert_cmd::Command::cargo_bin("lstm")
        .unwrap()
        .current_dir(place.path(""))
        .args(["train", "a&b <i>.csv", "--out", "run"])
        .args(TINY.split(' '))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let page = place.text("run/report.html");
    assert!(!page.contains("<script") && !page.contains("<i>"), "markup came through");
    assert!(page.contains("&lt;script&gt;alert("), "the name is not shown");
    assert!(page.contains("'a&amp;b &lt;i&gt;.csv'"), "the command is not quoted");
}
