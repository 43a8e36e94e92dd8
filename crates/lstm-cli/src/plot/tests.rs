//! Each kind of layer is drawn, in SVG, PNG and in a terminal, and odd numbers break nothing.
//!
//! With `LSTM_PICTURES=folder` the pictures are also left there, to be looked at.

use std::path::PathBuf;

use super::*;

/// Three days of hours, with a daily wave.
fn wave(hours: std::ops::Range<usize>) -> (Vec<f64>, Vec<f64>) {
    let start = 1_413_158_400.0; // 2014-10-13
    let value = |h: usize| {
        let day = std::f64::consts::TAU * h as f64 / 24.0;
        15_000.0 - 9_000.0 * day.cos() + 2_000.0 * (2.0 * day).sin() + 300.0 * ((h * 37 % 11) as f64 - 5.0)
    };
    (hours.clone().map(|h| start + 3600.0 * h as f64).collect(), hours.map(value).collect())
}

fn forecast() -> Figure {
    let (past, known) = wave(0..168);
    let (future, came) = wave(168..216);
    let mean: Vec<f64> = came.iter().enumerate().map(|(i, v)| v + 600.0 * (i as f64 / 5.0).sin()).collect();
    let spread =
        |sign: f64| mean.iter().enumerate().map(|(i, v)| v + sign * (900.0 + 40.0 * i as f64)).collect();
    let naive = wave(144..168).1.repeat(2);
    let layers = vec![
        Layer::Band {
            x: future.clone(),
            lo: spread(-1.0),
            hi: spread(1.0),
            role: Role::Forecast,
            label: "80% interval".into(),
        },
        Layer::line(Role::History, "history", past, known),
        Layer::line(Role::Baseline, "seasonal naive", future.clone(), naive),
        Layer::line(Role::Forecast, "forecast", future.clone(), mean),
        Layer::line(Role::Truth, "truth", future.clone(), came),
        Layer::VerticalLine { x: future[0], label: "forecast starts".into() },
    ];
    let panel = Panel { y_label: "passengers".into(), layers, ..Panel::default() };
    Figure::stacked("taxi.csv: passengers, next 48 hours", Axis::Times, vec![panel])
}

fn frequencies() -> Figure {
    let panel = |period: f64| {
        let x: Vec<f64> = (0..300).map(f64::from).collect();
        let y = |from: usize, off: f64| {
            x[from..].iter().map(|t| (t / period).sin() + off * (t / 9.0).cos()).collect()
        };
        Panel {
            title: format!("period {period}"),
            y_label: "sin".into(),
            layers: vec![
                Layer::line(
                    Role::History,
                    "input",
                    x[..200].to_vec(),
                    x[..200].iter().map(|t| (t / period).sin()).collect(),
                ),
                Layer::line(Role::Forecast, "prediction", x[200..].to_vec(), y(200, 0.1)),
                Layer::line(Role::Truth, "truth", x[200..].to_vec(), y(200, 0.0)),
            ],
            ..Panel::default()
        }
    };
    Figure::stacked("Three frequencies", Axis::Numbers, [5.0, 12.0, 30.0].map(panel).into()).x_label("step")
}

fn loss() -> Figure {
    let x: Vec<f64> = (1..=120).map(f64::from).collect();
    let fall = |floor: f64| x.iter().map(|e| floor + 2.0 * (-e / 12.0).exp()).collect();
    let layers = vec![
        Layer::line(Role::Other(0), "training", x.clone(), fall(0.002)),
        Layer::line(Role::Other(1), "validation", x.clone(), fall(0.01)),
        Layer::Points { x: vec![97.0], y: vec![0.0106], role: Role::Other(4), label: "kept".into() },
        Layer::VerticalLine { x: 97.0, label: "best epoch 97".into() },
    ];
    let panel =
        Panel { title: "Loss".into(), y_label: "MSE".into(), log_y: true, layers, ..Panel::default() };
    Figure::stacked("Training", Axis::Numbers, vec![panel]).x_label("epoch")
}

fn multiples() -> Figure {
    let panel = |n: usize| {
        let (x, y) = wave(24 * n..24 * n + 60);
        let layers = vec![
            Layer::line(Role::History, "history", x[..36].to_vec(), y[..36].to_vec()),
            Layer::line(
                Role::Forecast,
                "forecast",
                x[36..].to_vec(),
                y[36..].iter().map(|v| v * 1.05).collect(),
            ),
            Layer::line(Role::Truth, "truth", x[36..].to_vec(), y[36..].to_vec()),
        ];
        Panel { title: format!("series H{n}"), layers, ..Panel::default() }
    };
    Figure::grid("Worst, median and best series", Axis::Times, 3, (0..6).map(panel).collect())
}

fn odd() -> Figure {
    let x: Vec<f64> = (0..8).map(f64::from).collect();
    let gap = vec![1.0, f64::NAN, 3.0, 2.0, f64::INFINITY, 1e300, 2.0, 2.5];
    let line = |title: &str, y: Vec<f64>| Panel {
        title: title.into(),
        layers: vec![Layer::line(Role::Other(2), "", x.clone(), y)],
        ..Panel::default()
    };
    let panels = vec![
        line("gaps", gap.clone()),
        line("constant", vec![42.0; 8]),
        line("nothing", vec![f64::NAN; 8]),
        Panel { log_y: true, ..line("log of zero", vec![0.0, -1.0, 1e-3, 1e-2, 0.1, 1.0, 10.0, 0.0]) },
        Panel { title: "no layer".into(), ..Panel::default() },
        line("huge <&> \"$a$\" \u{1b}[31m", vec![3e12; 8].into_iter().chain([4e12]).collect()),
    ];
    Figure::grid(
        "Odd numbers, and a title that is much longer than the picture is wide, which happens when a path is put into it",
        Axis::Numbers,
        2,
        panels,
    )
}

fn figures() -> [(&'static str, Figure); 5] {
    [
        ("forecast", forecast()),
        ("frequencies", frequencies()),
        ("loss", loss()),
        ("multiples", multiples()),
        ("odd", odd()),
    ]
}

/// Whether the bytes begin as a PNG file does, and its width and height.
fn signature_and_size(png: &[u8]) -> (bool, u32, u32) {
    let number = |at: usize| u32::from_be_bytes([png[at], png[at + 1], png[at + 2], png[at + 3]]);
    (png.starts_with(b"\x89PNG\r\n\x1a\n"), number(16), number(20))
}

#[test]
fn every_figure_becomes_a_picture() {
    for (name, figure) in figures() {
        let png = figure.to_png_bytes().unwrap();
        let (is_png, width, height) = signature_and_size(&png);
        assert!(is_png && width == 1920 && height > 300, "{name}: {width} x {height}");
        // A blank picture of this size packs into a few kilobytes.
        let blank = Figure::stacked("", figure.x, vec![]).to_png_bytes().unwrap();
        assert!(png.len() > blank.len() + 5_000, "{name}: {} against {}", png.len(), blank.len());
        if let Some(folder) = std::env::var_os("LSTM_PICTURES").map(PathBuf::from) {
            figure.save_png(&folder.join(format!("{name}.png"))).unwrap();
            figure.save_svg(&folder.join(format!("{name}.svg"))).unwrap();
            std::fs::write(folder.join(format!("{name}.txt")), terminal(&figure, 90, 24, true)).unwrap();
        }
    }
}

#[test]
fn colours_tell_the_roles_apart() {
    let svg = forecast().to_svg();
    for colour in ["#000000", "#d62728", "#008f5a", "#0072b2"] {
        assert!(svg.contains(colour), "{colour}");
    }
    for words in ["history", "80% interval", "truth", "forecast starts", "Oct 13", "2014", "passengers"] {
        assert!(svg.contains(words), "{words}");
    }
}

#[test]
fn numbers_that_are_not_finite_leave_a_gap() {
    for (name, figure) in figures() {
        let svg = figure.to_svg();
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{name}");
    }
    let svg = odd().to_svg();
    assert!(svg.contains("&lt;&amp;&gt;") && svg.contains("$a$"));
}

#[test]
fn the_terminal_keeps_to_its_width() {
    for (name, figure) in figures() {
        let text = terminal(&figure, 72, 20, false);
        assert!(!text.contains('\x1b'), "{name}");
        for line in text.lines() {
            assert!(line.chars().count() <= 72, "{name}: {line}");
        }
    }
    let plain = terminal(&forecast(), 72, 20, false);
    assert!(plain.lines().any(|line| line.contains("┤") && line.contains('░')), "no band: {plain}");
    for mark in ["░░░░ 80% interval", "⠒⠒⠒⠒ history", "⠒⠒ ⠒ seasonal naive", "⠶⠶⠶⠶ forecast", "⠂⠐ ⠂ truth"]
    {
        assert!(plain.contains(mark), "{mark}: {plain}");
    }
    let mut narrow = forecast();
    if let Layer::Band { lo, hi, .. } = &mut narrow.panels[0].layers[0] {
        lo.clone_from(hi);
    }
    assert!(!terminal(&narrow, 72, 20, false).contains("80% interval"), "named, but not drawn");
    let text = terminal(&forecast(), 72, 20, true);
    assert!(text.contains("\x1b[31m") && text.contains("\x1b[32m") && text.contains("seasonal naive"));
    assert!(!text.contains("\x1b[30m") && !text.contains("\x1b[37m"));
}

#[test]
fn a_long_series_stays_a_small_picture() {
    let x: Vec<f64> = (0..200_000).map(f64::from).collect();
    for role in [Role::History, Role::Truth] {
        let y = x.iter().map(|v| (v * 12.9898).sin() * v.cos()).collect();
        let panel = Panel { layers: vec![Layer::line(role, "noise", x.clone(), y)], ..Panel::default() };
        let svg = Figure::stacked("Long", Axis::Numbers, vec![panel]).to_svg();
        assert!(svg.len() < 200_000, "{} bytes", svg.len());
    }
}

#[test]
fn what_is_clipped_has_its_clip() {
    let svg = forecast().to_svg();
    let used: Vec<&str> = svg.split("url(#").skip(1).filter_map(|rest| rest.split(')').next()).collect();
    assert!(!used.is_empty());
    for name in used {
        assert!(svg.contains(&format!("<clipPath id=\"{name}\">")), "{name}");
    }
}

#[test]
fn files_are_written_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("loss.png");
    loss().save_png(&path).unwrap();
    loss().save_svg(&folder.path().join("loss.svg")).unwrap();
    let mut names: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|f| f.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["loss.png", "loss.svg"]);
    let error = loss().save_png(&folder.path().join("missing/loss.png")).unwrap_err();
    assert!(format!("{error:#}").contains("missing/loss.png: "), "{error:#}");
}
