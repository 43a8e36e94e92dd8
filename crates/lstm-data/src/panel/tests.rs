//! Tests of whole panels.

use proptest::prelude::*;

use super::*;
use crate::csv::{CsvOptions, read_table_from};

fn table_of(name: &str, text: &str) -> Table {
    read_table_from(text.as_bytes(), name, &CsvOptions::default()).unwrap()
}

fn table(text: &str) -> Table {
    table_of("a.csv", text)
}

fn panel(text: &str) -> Panel {
    read_panel(&table(text), &PanelOptions::default()).unwrap()
}

fn message(text: &str, options: &PanelOptions) -> String {
    read_panel(&table(text), options).unwrap_err().to_string()
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// Days of January and February 2020 with the numbers of `value`, those that are `None` left out as rows.
fn days(count: usize, value: impl Fn(usize) -> Option<String>) -> String {
    let row = |day: usize| {
        let (month, of_month) = if day < 31 { (1, day + 1) } else { (2, day - 30) };
        value(day).map(|value| format!("2020-{month:02}-{of_month:02},{value}\n"))
    };
    format!("ds,y\n{}", (0..count).filter_map(row).collect::<String>())
}

#[test]
fn a_plain_file_is_one_series() {
    let got = panel("Month,#Passengers\n1949-01,112\n1949-02,118\n1949-03,132\n");
    let only = &got.members[0];
    assert_eq!((got.members.len(), only.id.as_str()), (1, "#Passengers"));
    assert_eq!((&only.values[..], got.step().unwrap().season()), (&[112.0, 118.0, 132.0][..], 12));
    assert_eq!(only.axis.as_ref().unwrap().next(2), ["1949-04", "1949-05"]);
    assert!(panel("y\n1\n2\n").members[0].axis.is_none());
}

#[test]
fn named_columns_are_series_in_that_order_and_flags_are_numbers() {
    let options = PanelOptions { targets: names(&["b", "a"]).into(), ..PanelOptions::default() };
    let got =
        read_panel(&table("t,a,b,note\n2020-01-01,1,TRUE,x\n2020-01-02,2,FALSE,y\n"), &options).unwrap();
    let read: Vec<(&str, &[f64])> = got.members.iter().map(|m| (m.id.as_str(), &m.values[..])).collect();
    assert_eq!(read, [("b", &[1.0, 0.0][..]), ("a", &[1.0, 2.0])]);
}

#[test]
fn the_order_of_day_and_month_is_as_asked() {
    let second = |order| {
        let options = PanelOptions { date_order: Some(order), ..PanelOptions::default() };
        let got = read_panel(&table("t,y\n01/02/2020,1\n02/02/2020,2\n"), &options).unwrap();
        (got.step().unwrap(), got.members[0].axis.as_ref().unwrap().next(1).remove(0))
    };
    assert_eq!(second(DateOrder::Dmy), (Step::Micros(86_400_000_000), "03/02/2020".into()));
    assert_eq!(second(DateOrder::Mdy), (Step::Months(1), "03/02/2020".into()));
}

#[test]
fn repairs_are_done_as_asked_and_counted() {
    let text = "t,y\n2020-01-04,4\n2020-01-01,1\n2020-01-02,2\n2020-01-02,4\n2020-01-06,\n2020-01-07,7\n";
    let options = PanelOptions {
        duplicates: Some(Duplicates::Mean),
        fill: Some(Fill::Linear),
        ..PanelOptions::default()
    };
    let got = read_panel(&table(text), &options).unwrap();
    let only = &got.members[0];
    assert_eq!(only.values, [1.0, 3.0, 3.5, 4.0, 5.0, 6.0, 7.0]);
    assert_eq!(only.made, [2..3, 4..6]);
    assert_eq!(got.repairs, Repairs { unsorted: 1, duplicates: 1, rows: 2, values: 3 });
    assert_eq!(only.axis.as_ref().unwrap().label(4), "2020-01-05");
    for (duplicates, kept) in [(Duplicates::First, 2.0), (Duplicates::Last, 4.0)] {
        let options = PanelOptions { duplicates: Some(duplicates), ..options.clone() };
        assert_eq!(read_panel(&table(text), &options).unwrap().members[0].values[1], kept);
    }
    let far = "t,y\n2020-01-01 00:00,1\n2020-01-01 00:01,2\n9020-01-01 00:00,3\n";
    assert!(message(far, &options).contains("look for a wrong time near that line"));
}

#[test]
fn a_season_must_be_known_to_fill_by_it() {
    let options = PanelOptions { fill: Some(Fill::Season), ..PanelOptions::default() };
    assert!(message("y\n1\nNA\n2\n", &options).contains("use --fill linear"));
}

#[test]
fn ends_are_cut_and_little_is_filled() {
    // 40 values between the first and the last, of which two are missing: one as a cell, one with its row.
    let text = days(44, |day| match day {
        0 | 1 | 42 | 43 => Some(String::new()),
        20 => Some("NaN".into()),
        25 => None,
        day => Some(format!("{}", day % 7)),
    });
    let got = panel(&text);
    let y = &got.members[0];
    assert_eq!((y.rows(), y.values[0], y.values[39]), (40, 2.0, 6.0));
    assert_eq!((y.values[18], y.values[23]), (6.0, 4.0));
    assert_eq!(y.made, [18..19, 23..24]);
    let truth: Vec<usize> = (0..50).filter(|row| !y.is_truth(*row)).take(3).collect();
    assert_eq!(truth, [18, 23, 40]);
    assert_eq!(y.axis.as_ref().unwrap().label(0), "2020-01-03");
    assert_eq!(y.axis.as_ref().unwrap().next(1), ["2020-02-12"]);
    assert_eq!(got.repairs, Repairs { unsorted: 0, duplicates: 0, rows: 1, values: 2 });
    assert_eq!(
        got.notes,
        [
            "Read as one series a column; times in 'ds', a step of 1 day.",
            "1 row was missing, in 1 gap, and was added.",
            "2 values, those of added rows among them, were missing and were filled after the shape of a neighbouring \
             season.",
            "2 rows before the first value of a series were cut off.",
            "2 rows behind the last value of a series were cut off.",
        ]
    );
    let linear = PanelOptions { fill: Some(Fill::Linear), ..PanelOptions::default() };
    let linear = read_panel(&table(&text), &linear).unwrap();
    assert_eq!(linear.members[0].values[18], (5.0 + 0.0) / 2.0);
    assert!(linear.notes[2].ends_with("filled by straight lines."));
    let none = PanelOptions { fill: Some(Fill::None), ..PanelOptions::default() };
    assert!(
        message(&text, &none).starts_with("a.csv, line 27, column 'ds': 1 row is missing between 2020-01-25")
    );
}

#[test]
fn much_is_refused_with_a_remedy() {
    let text =
        days(40, |day| (day % 10 != 5).then(|| if day == 12 { String::new() } else { day.to_string() }));
    assert_eq!(
        message(&text, &PanelOptions::default()),
        "a.csv, line 7, column 'y': 5 of 40 values between the first and the last are missing (4 of them with their \
         whole row), more than the 5 % that are filled unasked; pass --fill linear (or previous, season) to fill them \
         all the same"
    );
    let fill = |fill| {
        let options = PanelOptions { fill: Some(fill), ..PanelOptions::default() };
        let got = read_panel(&table(&text), &options).unwrap();
        (got.members[0].values[5], got.members[0].values[12], got.repairs.values)
    };
    assert_eq!(fill(Fill::Linear), (5.0, 12.0, 5));
    assert_eq!(fill(Fill::Previous), (4.0, 11.0, 5));
    // Day 5 has no season before it; day 12 has the filled day 5.
    assert_eq!(fill(Fill::Season), (19.0, 19.0, 5));
    let cell = days(19, |day| Some(if day == 7 { "NaN".into() } else { day.to_string() }));
    assert!(message(&cell, &PanelOptions::default()).contains("line 9, column 'y': 1 of 19 values"));
    let none = PanelOptions { fill: Some(Fill::None), ..PanelOptions::default() };
    assert!(
        message(&cell, &none).starts_with("a.csv, line 9, column 'y': the value is missing (1 of 19 rows)")
    );
}

#[test]
fn repeated_times_are_averaged_where_they_are_few() {
    let twice = |repeats: usize| {
        let text = days(40, |day| Some(day.to_string()));
        let again: String =
            (0..repeats).map(|day| format!("2020-01-{:02},{}\n", day + 1, day + 10)).collect();
        text + &again
    };
    let got = panel(&twice(2));
    assert_eq!((got.members[0].values[0], got.members[0].values[1], got.members[0].rows()), (5.0, 6.0, 40));
    assert_eq!(got.repairs, Repairs { unsorted: 1, duplicates: 2, rows: 0, values: 0 });
    assert_eq!(got.notes[2], "2 rows repeat a time, the first in line 42; their values were averaged.");
    assert_eq!(
        message(&twice(3), &PanelOptions::default()),
        "a.csv, line 42, column 'ds': time 2020-01-01 stands in line 2 already, and 3 of 43 rows repeat a time; if \
         several series stand one below another, name the column that tells them apart with --id, else pass \
         --duplicates mean (or first, last)"
    );
    let of = |duplicates| {
        let options = PanelOptions { duplicates: Some(duplicates), ..PanelOptions::default() };
        read_panel(&table(&twice(3)), &options).map(|panel| panel.members[0].values[1])
    };
    assert_eq!(of(Duplicates::First).unwrap(), 1.0);
    assert_eq!(of(Duplicates::Last).unwrap(), 11.0);
    assert!(matches!(of(Duplicates::Error), Err(Error::DuplicateTime { .. })));
}

#[test]
fn series_of_different_length_share_a_step() {
    // The short one alone would have a step of two days.
    let text = "unique_id,ds,y\nlong,2020-01-01,1\nlong,2020-01-02,2\nlong,2020-01-03,4\nlong,2020-01-04,3\n\
                short,2020-01-02,5\nshort,2020-01-04,7\n";
    let fill = PanelOptions { fill: Some(Fill::Linear), ..PanelOptions::default() };
    let got = read_panel(&table(text), &fill).unwrap();
    let ids: Vec<(&str, usize)> = got.members.iter().map(|m| (m.id.as_str(), m.rows())).collect();
    assert_eq!(ids, [("long", 4), ("short", 3)]);
    assert_eq!(got.members[1].axis.as_ref().unwrap().label(0), "2020-01-02");
    assert_eq!((got.shortest(), got.longest(), got.id.clone()), (3, 4, names(&["unique_id"])));
    assert!(got.notes[0].contains("told apart by 'unique_id'; times in 'ds', a step of 1 day"));
    assert!(message(text, &PanelOptions::default()).contains("line 7, column 'y': 1 of 3 values"));
    assert_eq!(
        message(
            "unique_id,ds,y\na,2020-01,1\n,2020-02,1\na,2020-02,3\na,2020-03,3\n",
            &PanelOptions::default()
        ),
        "a.csv, line 3, column 'unique_id': the id of the series is missing; fill in the cell or remove the row"
    );
}

#[test]
fn years_and_counts_of_several_series_begin_anew() {
    let got = panel("id,year,y\na,2000,1\na,2001,2\nb,2001,5\nb,2002,3\n");
    let next: Vec<_> = got.members.iter().map(|m| m.axis.as_ref().unwrap().next(1).remove(0)).collect();
    assert_eq!(next, ["2002", "2003"]);
    let got = panel("unique_id,ds,y\na,1,1\na,2,2\nb,1,5\nb,2,3\nb,3,4\n");
    assert_eq!((got.members[1].rows(), got.step()), (3, Some(Step::Count(1))));
}

#[test]
fn ids_may_be_made_of_columns_and_have_several_targets() {
    let text = "store,item,t,y,z\n1,a,2020-01,1,5\n1,b,2020-01,2,6\n1,a,2020-02,3,7\n1,b,2020-02,4,8\n";
    let options = PanelOptions {
        id: names(&["store", "item"]),
        targets: names(&["y", "z"]).into(),
        ..PanelOptions::default()
    };
    let got = read_panel(&table(text), &options).unwrap();
    let ids: Vec<&str> = got.members.iter().map(|member| member.id.as_str()).collect();
    assert_eq!(ids, ["1/a/y", "1/a/z", "1/b/y", "1/b/z"]);
    assert_eq!((got.members[1].values.clone(), got.members[1].group.as_str()), (vec![5.0, 7.0], "1/a"));
}

#[test]
fn rows_become_series_with_ragged_ends() {
    let got = panel("V1,V2,V3,V4,V5\nH1,1,2,3,4\nH2,5,6,,\nH3,,,7,8\nH4,,,,\n");
    let values: Vec<&[f64]> = got.members.iter().map(|m| &m.values[..]).collect();
    assert_eq!(values, [&[1.0, 2.0, 3.0, 4.0][..], &[5.0, 6.0], &[7.0, 8.0]]);
    assert_eq!(
        got.notes,
        [
            "Read as one series a row, called as in 'V1'; no times, so that values follow one another at an even step.",
            "2 rows before the first value of a series were cut off.",
            "1 series holds no value and was left out, the first is 'H4'.",
        ]
    );
    let bank = panel("area,code,2018,2019,2020,\ng,X,1,2,3,\ng,Y,2,3,,\n");
    assert_eq!((bank.members[1].id.as_str(), bank.members[1].values.clone()), ("Y", vec![2.0, 3.0]));
    let years = panel("country,2019,2020,2021\nA,1,2,3\nB,,2,3\n");
    assert_eq!(years.members[1].axis.as_ref().unwrap().label(0), "2020");
    assert!(years.notes[0].ends_with("times in the header, a step of 1 year."));
    assert_eq!(
        message("V1,V2,V3,V4\nH1,1,,3\nH2,5,6,7\n", &PanelOptions::default()),
        "a.csv, line 2, column 'V3': 1 of 3 values between the first and the last are missing, more than the 5 % that \
         are filled unasked; pass --fill linear (or previous, season) to fill them all the same"
    );
    assert!(
        message("V1,V2,V3,V4\nH1,1,x,3\nH2,5,6,7\nH3,5,6,7\n", &PanelOptions::default())
            .contains("column 'V3': 'x' is not")
    );
}

#[test]
fn covariates_stand_beside_the_values() {
    let rows =
        |day: usize| format!("{},{},{},{},red", day * 2, day, ["wet", "dry"][day % 2], day.is_multiple_of(3));
    let text = days(24, |day| {
        // Behind the last value stand four rows, two of which know the temperature.
        Some(match day {
            20 | 21 => format!(",{day},wet,TRUE,red"),
            22 | 23 => ",,,,red".into(),
            5 => "10,,dry,FALSE,".into(),
            day => rows(day).to_string(),
        })
    })
    .replace("ds,y", "ds,y,temp,sky,holiday,colour");
    let options = PanelOptions {
        targets: names(&["y"]).into(),
        known: names(&["temp", "holiday"]),
        past: names(&["sky"]),
        fixed: names(&["colour"]),
        ..PanelOptions::default()
    };
    let got = read_panel(&table(&text), &options).unwrap();
    let called = |features: &[Feature]| features.iter().map(Feature::name).collect::<Vec<_>>().join(",");
    assert_eq!(
        (called(&got.known), called(&got.past), called(&got.fixed)),
        ("temp,holiday".into(), "sky=dry,sky=wet".into(), "colour=red".into())
    );
    let y = &got.members[0];
    assert_eq!((y.rows(), y.ahead(), y.past.dim(), y.known.dim()), (20, 2, (20, 2), (22, 2)));
    assert_eq!(y.known.column(0).to_vec(), (0..22).map(|day| day as f64).collect::<Vec<_>>());
    assert_eq!(
        (y.known[[3, 1]], y.known[[4, 1]], y.past[[1, 0]], y.past[[2, 0]], y.fixed.clone()),
        (1.0, 0.0, 1.0, 0.0, vec![1.0])
    );
    assert!(y.past.rows().into_iter().all(|row| row.sum() == 1.0));
    assert!(
        got.notes.iter().any(|note| note == "2 cells of covariates were missing and were filled."),
        "{:?}",
        got.notes
    );

    let twice = PanelOptions { past: names(&["temp"]), ..options.clone() };
    assert_eq!(
        message(&text, &twice),
        "a.csv, column 'temp': is named as --known and as --past; name it once"
    );
    let varies =
        PanelOptions { known: Vec::new(), past: Vec::new(), fixed: names(&["sky"]), ..options.clone() };
    assert!(message(&text, &varies).starts_with("a.csv, line 3, column 'sky': changes within series"));
    let typo = PanelOptions { known: names(&["tmp"]), ..options };
    assert!(message(&text, &typo).contains("no column is called 'tmp' (did you mean 'temp'?)"));
}

#[test]
fn columns_that_are_forecast_jointly_are_read_for_each() {
    let text =
        days(20, |day| Some(format!("{},{},{}", day % 7, day * day % 11, day))).replace("ds,y", "ds,a,b,c");
    let options = |targets: &[&str]| PanelOptions {
        targets: names(targets).into(),
        past: names(&["c"]),
        joint: true,
        ..PanelOptions::default()
    };
    let got = read_panel(&table(&text), &options(&["all"])).unwrap();
    let read: Vec<String> = got.past.iter().map(Feature::name).collect();
    assert_eq!((got.members.len(), read), (2, names(&["c", "a", "b"])));
    for member in &got.members {
        assert_eq!(member.past.row(3).to_vec(), [3.0, 3.0, 9.0]);
    }
    let alone = "a.csv: --joint lets the network read several columns that are forecast, and there is one; name more \
                 with --target, or leave it out";
    assert_eq!(message(&text, &options(&["a"])), alone);
    let rows = PanelOptions { layout: Some(Layout::Rows), joint: true, ..PanelOptions::default() };
    assert_eq!(message("V1,V2,V3\nH1,1,2\nH2,3,4\n", &rows), alone);
}

#[test]
fn many_missing_covariates_are_refused() {
    let text = days(20, |day| Some(format!("{day},{}", if day % 2 == 0 { "" } else { "1" })))
        .replace("ds,y", "ds,y,x");
    let options =
        PanelOptions { past: names(&["x"]), targets: names(&["y"]).into(), ..PanelOptions::default() };
    assert!(message(&text, &options).starts_with("a.csv, line 2, column 'x': 10 of 20 values"));
    let linear = PanelOptions { fill: Some(Fill::Linear), ..options };
    assert!(read_panel(&table(&text), &linear).unwrap().members[0].past.iter().all(|x| *x == 1.0));
}

#[test]
fn times_to_come_go_on_below() {
    let text = "unique_id,ds,y,x\na,2020-01-01,1,5\na,2020-01-02,2,6\nb,2020-01-01,3,7\nb,2020-01-02,3,8\nb,2020-01-03,4,9\n";
    let options = PanelOptions { known: names(&["x"]), ..PanelOptions::default() };
    let base = read_panel(&table(text), &options).unwrap();
    let extend = |rows: &str| {
        let mut panel = base.clone();
        let future = table_of("f.csv", &format!("x,unique_id,ds\n{rows}"));
        panel.extend(&future, &options).map(|()| panel).map_err(|error| error.to_string())
    };
    // Rows of the past are passed over; order does not matter.
    let good = "1,b,2020-01-05\n2,a,2020-01-03\n3,b,2020-01-04\n9,b,2020-01-03\n4,c,2020-01-03\n";
    let got = extend(good).unwrap();
    assert_eq!(got.members[0].known.column(0).to_vec(), [5.0, 6.0, 2.0]);
    assert_eq!(got.members[1].known.column(0).to_vec(), [7.0, 8.0, 9.0, 3.0, 1.0]);
    assert_eq!((got.members[0].ahead(), got.members[1].ahead()), (1, 2));
    assert_eq!(got.notes.last().unwrap(), "1 series of f.csv is not in the data and passed over.");
    for (rows, expected) in [
        (
            "1,b,2020-01-04\n1,a,2020-01-04\n",
            "f.csv, line 3, column 'ds': 2020-01-03 is to come next for series 'a', not 2020-01-04; give a row for each \
             time to come",
        ),
        (
            "1,b,2020-01-04\n1,a,2020-01-02\n",
            "f.csv: no row lies behind the end of series 'a' (2020-01-02); give its known columns from then on",
        ),
        (
            "1,b,2020-01-04\n,a,2020-01-03\n",
            "f.csv, line 3, column 'x': the value is missing, and times to come are not filled; fill in the cell",
        ),
        (
            "1,b,2020-01-04\n1,b,2020-01-04\n1,a,2020-01-03\n",
            "f.csv, line 3, column 'ds': 2020-01-05 is to come next for series 'b', not 2020-01-04; give a row for each \
             time to come",
        ),
    ] {
        assert_eq!(extend(rows).unwrap_err(), expected);
    }
    let mut panel = base.clone();
    let error = panel.extend(&table_of("f.csv", "unique_id,ds\na,2020-01-03\n"), &options).unwrap_err();
    assert!(error.to_string().starts_with("f.csv: no column is called 'x'"), "{error}");
    assert_eq!(panel, base);
}

#[test]
fn categories_of_a_model_keep_their_places() {
    let text = "ds,y,sky\n2020-01-01,1,wet\n2020-01-02,2,wet\n2020-01-03,4,wet\n";
    let categories = BTreeMap::from([("sky".to_owned(), names(&["dry", "fog", "wet"]))]);
    let options =
        PanelOptions { past: names(&["sky"]), categories: categories.clone(), ..PanelOptions::default() };
    let got = read_panel(&table(text), &options).unwrap();
    assert_eq!(got.categories(), categories);
    assert_eq!(got.members[0].past.row(0).to_vec(), [0.0, 0.0, 1.0]);
    assert!(
        message(&text.replace("2,wet", "2,hail"), &options)
            .contains("line 3, column 'sky': 'hail' is none of the")
    );
}

#[test]
fn times_to_come_without_times_follow_as_they_stand() {
    let options = PanelOptions { known: names(&["x"]), ..PanelOptions::default() };
    let mut panel = read_panel(&table("y,x\n1,5\n3,6\n2,7\n"), &options).unwrap();
    panel.extend(&table_of("f.csv", "x\n8\n9\n"), &options).unwrap();
    assert_eq!(panel.members[0].known.column(0).to_vec(), [5.0, 6.0, 7.0, 8.0, 9.0]);
    panel.extend(&table_of("g.csv", "x\n1\n"), &options).unwrap();
    assert_eq!(panel.members[0].ahead(), 3);
}

#[test]
fn files_are_joined() {
    let a = table_of("x/north.csv", "ds,y,k\n2020-01-01,1,u\n2020-01-02,2,v\n");
    let b = table_of("x/south.csv", "ds,y,k\n2020-02-01,3,v\n2020-02-02,5,w\n2020-02-03,5,w\n");
    let options = PanelOptions { past: names(&["k"]), ..PanelOptions::default() };
    let got = read_panels(&[a.clone(), b], &options).unwrap();
    let ids: Vec<(&str, usize)> = got.members.iter().map(|m| (m.id.as_str(), m.rows())).collect();
    assert_eq!((ids, got.file.as_str()), (vec![("north/y", 2), ("south/y", 3)], "x/north.csv and 1 more"));
    assert_eq!(got.members[0].past.row(1).to_vec(), [0.0, 1.0, 0.0]);
    assert!(got.notes[1].starts_with("x/south.csv: Read as one series a column"));
    let hourly = table_of("h.csv", "ds,y\n2020-01-01 00:00,1\n2020-01-01 01:00,2\n");
    assert_eq!(
        read_panels(&[a, hourly], &PanelOptions::default()).unwrap_err().to_string(),
        "h.csv: the step is 1 hour, but 1 day in x/north.csv; read files of one step together"
    );
    assert!(matches!(read_panels(&[], &PanelOptions::default()), Err(Error::Size { .. })));
}

#[test]
fn panels_without_anything_to_learn_are_refused() {
    let constant = panel("t,y\n2020-01,3\n2020-02,3\n");
    assert!(
        constant.check_varies().unwrap_err().to_string().starts_with("a.csv, column 'y': every value is 3")
    );
    panel("unique_id,ds,y\na,2020-01,1\na,2020-02,1\nb,2020-01,2\nb,2020-02,1\n").check_varies().unwrap();
    let named = PanelOptions { targets: names(&["y"]).into(), ..PanelOptions::default() };
    assert!(
        message("t,y,z\n2020-01,,1\n2020-02,NaN,1\n", &named).contains("column 'y': every value is missing")
    );
}

#[test]
fn options_are_read_from_toml_and_written_back() {
    let text = "targets = [\"all\"]\nid = [\"shop\"]\ntime = \"when\"\nstatic = [\"size\"]\nfill = \"linear\"\n\
                layout = \"long\"\nduplicates = \"last\"\n";
    let options: PanelOptions = toml::from_str(text).unwrap();
    assert_eq!((options.targets.clone(), options.fixed.clone()), (Targets::All, names(&["size"])));
    assert_eq!((options.layout, options.duplicates), (Some(Layout::Long), Some(Duplicates::Last)));
    let none: PanelOptions = toml::from_str("time = \"none\"\ndate_order = \"dmy\"\n").unwrap();
    assert_eq!((&none.time, none.date_order), (&TimeChoice::None, Some(DateOrder::Dmy)));
    assert_eq!(options.time, TimeChoice::Column("when".into()));
    let written = toml::to_string(&options).unwrap();
    assert_eq!(toml::from_str::<PanelOptions>(&written).unwrap(), options);
    assert!(toml::from_str::<PanelOptions>("fil = \"linear\"\n").is_err());
    assert!(toml::from_str::<PanelOptions>("sort = true\n").is_err());
}

#[test]
fn a_hundred_thousand_short_series_are_read_in_one_pass() {
    let rows: String =
        (0..500_000).map(|i| format!("s{},2020-01-{:02},{}\n", i / 5, 1 + i % 5, i % 7)).collect();
    let got = panel(&format!("unique_id,ds,y\n{rows}"));
    assert_eq!((got.members.len(), got.shortest(), got.longest()), (100_000, 5, 5));
}

/// Series of days, by id, each with a start and values.
fn series() -> impl Strategy<Value = Vec<(String, usize, Vec<u16>)>> {
    let one = (0_usize..10, proptest::collection::vec(0_u16..999, 3..12));
    proptest::collection::vec(one, 2..6).prop_map(|all| {
        all.into_iter().enumerate().map(|(i, (start, values))| (format!("s{i}"), start, values)).collect()
    })
}

fn long(series: &[(String, usize, Vec<u16>)]) -> Vec<String> {
    let day = |at: usize| format!("2020-01-{:02}", at + 1);
    let rows = series.iter().flat_map(|(id, start, values)| {
        values.iter().enumerate().map(move |(at, value)| format!("{id},{},{value}\n", day(start + at)))
    });
    rows.collect()
}

proptest! {
    #[test]
    fn the_order_of_rows_changes_nothing_but_its_count(
        (rows, shuffled) in series().prop_map(|s| long(&s)).prop_flat_map(|rows| (Just(rows.clone()), Just(rows).prop_shuffle())),
    ) {
        let read = |rows: &[String]| panel(&format!("unique_id,ds,y\n{}", rows.concat()));
        let (ordered, shuffled) = (read(&rows), read(&shuffled));
        prop_assert_eq!(ordered.members, shuffled.members);
        prop_assert_eq!(ordered.repairs, Repairs { unsorted: 0, ..shuffled.repairs });
    }

    #[test]
    fn long_and_wide_are_the_same_series(series in series()) {
        let below = panel(&format!("unique_id,ds,y\n{}", long(&series).concat()));
        let ends = series.iter().map(|(_, start, values)| start + values.len());
        let first = series.iter().map(|(_, start, _)| *start).min().unwrap();
        let mut wide = format!("ds,{}\n", series.iter().map(|(id, _, _)| id.as_str()).collect::<Vec<_>>().join(","));
        for day in first..ends.max().unwrap() {
            let cell = |(_, start, values): &(String, usize, Vec<u16>)| {
                day.checked_sub(*start).and_then(|at| values.get(at)).map_or(String::new(), u16::to_string)
            };
            wide += &format!("2020-01-{:02},{}\n", day + 1, series.iter().map(cell).collect::<Vec<_>>().join(","));
        }
        let ids: Vec<String> = series.iter().map(|(id, _, _)| id.clone()).collect();
        let options = PanelOptions { targets: ids.into(), layout: Some(Layout::Columns), ..PanelOptions::default() };
        let beside = read_panel(&table(&wide), &options).unwrap();
        for (a, b) in below.members.iter().zip(&beside.members) {
            prop_assert_eq!((&a.id, &a.values, &a.axis), (&b.id, &b.values, &b.axis));
        }
        prop_assert_eq!(below.members.len(), beside.members.len());
    }

    #[test]
    fn every_hole_is_counted_and_marked(
        values in proptest::collection::vec(0_u16..999, 60),
        holes in proptest::collection::btree_set(1_usize..59, 0..=3),
        rows in proptest::collection::vec(any::<bool>(), 60),
    ) {
        // A hole is a missing cell, or a missing row.
        let text = days(60, |day| match (holes.contains(&day), rows[day]) {
            (false, _) => Some(values[day].to_string()),
            (true, false) => Some("NaN".into()),
            (true, true) => None,
        });
        let got = panel(&text);
        let y = &got.members[0];
        let made: Vec<usize> = (0..60).filter(|row| !y.is_truth(*row)).collect();
        prop_assert_eq!(made, holes.iter().copied().collect::<Vec<_>>());
        prop_assert_eq!(got.repairs.values, holes.len());
        prop_assert_eq!(got.repairs.rows, holes.iter().filter(|day| rows[**day]).count());
        for (row, value) in y.values.iter().enumerate() {
            prop_assert!(value.is_finite() && (holes.contains(&row) || *value == f64::from(values[row])));
        }
    }

    #[test]
    fn a_filled_series_is_finite_whatever_the_order(
        days in proptest::collection::vec((1_u8..29, prop_oneof![Just("NA".to_owned()), "[1-9]{1,3}"]), 2..30),
        fill in prop_oneof![Just(Fill::Linear), Just(Fill::Previous), Just(Fill::Season)],
    ) {
        let rows: String = days.iter().map(|(day, cell)| format!("2020-03-{day:02},{cell}\n")).collect();
        let options = PanelOptions {
            targets: names(&["y"]).into(),
            duplicates: Some(Duplicates::Mean),
            fill: Some(fill),
            season: Some(7),
            layout: Some(Layout::Columns),
            ..PanelOptions::default()
        };
        match read_panel(&table(&format!("t,y\n{rows}")), &options) {
            Ok(got) => {
                let only = &got.members[0];
                prop_assert!(only.values.iter().all(|value| value.is_finite()));
                prop_assert_eq!(only.axis.as_ref().map_or(1, TimeAxis::rows), only.rows());
            }
            Err(error) => prop_assert!(
                matches!(error, Error::AllMissing { .. } | Error::Irregular { .. } | Error::TooManyGaps { .. }),
                "{}", error
            ),
        }
    }

    #[test]
    fn any_column_is_read_or_refused(text in "(t|y|date),v\n([0-9a-z/:. -]{0,12},[0-9.eE+-]{0,6}\n){1,6}") {
        if let Ok(table) = read_table_from(text.as_bytes(), "a.csv", &CsvOptions::default()) {
            let all: Vec<String> = table.columns().iter().map(|column| column.name().to_owned()).collect();
            for targets in [all, names(&["v"])] {
                let options = PanelOptions {
                    targets: targets.into(),
                    duplicates: Some(Duplicates::First),
                    fill: Some(Fill::Linear),
                    ..PanelOptions::default()
                };
                if let Ok(got) = read_panel(&table, &options) {
                    prop_assert!(got.members.iter().flat_map(|member| &member.values).all(|value| value.is_finite()));
                }
            }
        }
    }

    #[test]
    fn any_table_is_read_or_refused(
        text in "(id|ds|x),(y|V2|t),(V3|ds_2|z)\n([a-c]{0,1}|2020-01-0[1-9]|[0-9]),([0-9]{0,2}|NaN),([0-9]|TRUE|a|2020-0[1-3])\n(([a-c]{0,1}|2020-01-0[1-9]|[0-9]),([0-9]{0,2}|NaN),([0-9]|TRUE|a|2020-0[1-3])\n){1,9}",
    ) {
        if let Ok(panel) = read_panels(&[table(&text)], &PanelOptions::default()) {
            prop_assert!(!panel.members.is_empty());
            for member in &panel.members {
                prop_assert!(!member.values.is_empty() && member.values.iter().all(|value| value.is_finite()));
                prop_assert!(member.axis.as_ref().is_none_or(|axis| axis.rows() == member.rows()));
            }
        }
    }
}
