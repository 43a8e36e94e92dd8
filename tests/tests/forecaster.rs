//! The forecaster: what it may see, what it promises, what it refuses.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use lstm_cpu::Cpu;
use lstm_train::forecaster::{
    Aim, Base, Columns, Decay, Evaluation, ForecastChoices, ForecastConfig, Forecaster, Head, LEVELS, Member,
    Normalise, OfMethod, Part, Rolling, Window,
};
use lstm_train::{Course, Error, Flow};

/// A wave of period 12 on a rising line.
fn series(rows: usize) -> Vec<f64> {
    let wave = |t: usize| [0.0, 1.0, 3.0, 6.0, 7.0, 9.0, 8.0, 7.0, 5.0, 3.0, 2.0, 1.0][t % 12];
    (0..rows).map(|t| 100.0 + 0.25 * t as f64 + 4.0 * wave(t) + (t * 7919 % 13) as f64 * 0.1).collect()
}

fn choices() -> ForecastChoices {
    ForecastChoices {
        epochs: Some(4),
        hidden: Some(8),
        ensemble: Some(1),
        normalise: Some(Normalise::Window),
        ..ForecastChoices::default()
    }
}

type Trained = (Forecaster<Cpu, f32>, Evaluation);

fn hold_out(cpu: &Cpu, choices: &ForecastChoices, panel: &[Member<'_>]) -> Trained {
    let trials = ForecastConfig::trials(choices, &[12], panel).unwrap();
    let (forecaster, evaluation, _) =
        Forecaster::hold_out(cpu, &trials, panel, &mut Course::default(), &mut |_, _, _| Flow::Continue)
            .unwrap();
    (forecaster, evaluation)
}

fn one(values: &[f64]) -> [Member<'_>; 1] {
    [Member::alone(values)]
}

#[test]
fn held_out_rows_reach_neither_settings_nor_weights() {
    let cpu = Cpu::new(1).unwrap();
    let values = series(240);
    for horizon in [None, Some(30)] {
        let choices = ForecastChoices { horizon, ..choices() };
        let (forecaster, evaluation) = hold_out(&cpu, &choices, &one(&values));
        let mut other = values.clone();
        // Enough to change every choice, if it were seen.
        for (t, value) in other.iter_mut().enumerate().skip(evaluation.first_row) {
            *value = 1e3 * (t % 5) as f64;
        }
        let (blind, changed) = hold_out(&cpu, &choices, &one(&other));
        assert_eq!(forecaster.config, blind.config);
        assert_eq!(forecaster.prepared, blind.prepared);
        let weights = |f: &Forecaster<Cpu, f32>| f.models[0].download(&cpu).unwrap();
        assert!(weights(&forecaster) == weights(&blind), "horizon {horizon:?}");
        assert!(changed.scores[0].metrics.mae > evaluation.scores[0].metrics.mae);
    }
}

#[test]
fn training_ends_where_patience_says_and_rates_fall_as_asked() {
    let cpu = Cpu::new(1).unwrap();
    let values = series(240);
    let trained = |patience, schedule| {
        let choices = ForecastChoices {
            base: Some(Base::Linear),
            lr: Some(0.03),
            epochs: Some(40),
            patience: Some(patience),
            schedule: Some(schedule),
            ..choices()
        };
        let trials = ForecastConfig::trials(&choices, &[12], &one(&values)).unwrap();
        let mut last = 0;
        let mut watch = |_, step, _: Option<&_>| {
            last = step;
            Flow::Continue
        };
        let course = &mut Course::default();
        let (forecaster, ..) =
            Forecaster::<Cpu, f32>::hold_out(&cpu, &trials, &one(&values), course, &mut watch).unwrap();
        (last, forecaster.models[0].download(&cpu).unwrap())
    };
    let (all, cosine) = trained(0, Decay::Cosine);
    let (few, hasty) = trained(1, Decay::Cosine);
    assert!(few < all && hasty != cosine, "{few} of {all} steps");
    let (as_many, exponential) = trained(0, Decay::Exponential);
    let (_, constant) = trained(0, Decay::Constant);
    assert_eq!(as_many, all);
    assert!(cosine != exponential && exponential != constant && constant != cosine);
}

#[test]
fn scores_are_those_of_the_forecasts() {
    let cpu = Cpu::new(2).unwrap();
    let values = series(240);
    // With feedback the forecasts of a place depend on those before it: see errors_of_earlier_forecasts_are_fed_back.
    let choices = ForecastChoices { feedback: Some(false), ..choices() };
    let (forecaster, evaluation) = hold_out(&cpu, &choices, &one(&values));
    let (config, first) = (&forecaster.config, evaluation.first_row);
    assert_eq!((config.season, config.horizon, evaluation.windows), (12, 12, 240 - first - 11));
    // Every window again, one at a time, each from its past alone.
    let mut sum = 0.0;
    let mut sizes = Vec::new();
    for row in first..=240 - 12 {
        let forecast = &forecaster.forecast(&cpu, &one(&values[..row])).unwrap()[0];
        assert_eq!(forecast.len(), 12);
        let scale = forecaster.scales(&one(&values[..row])).unwrap()[0];
        for (y, f) in values[row..].iter().zip(forecast) {
            sum += (y - f).abs();
            sizes.push((y - f).abs() / scale);
        }
    }
    let mae = sum / sizes.len() as f64;
    let lstm = evaluation.score("lstm").unwrap();
    assert!((lstm.metrics.mae - mae).abs() < 1e-9 * mae, "{} {mae}", lstm.metrics.mae);
    let by_step = lstm.by_step.iter().flatten().sum::<f64>() / 12.0;
    assert!((by_step - mae).abs() < 1e-9 * mae, "{by_step} {mae}");
    let naive = evaluation.score("naive").unwrap();
    let changes = (first..=228).flat_map(|row| values[row..row + 12].iter().map(move |y| (row, y)));
    let expected: f64 = changes.map(|(row, y)| (y - values[row - 1]).abs()).sum::<f64>() / sizes.len() as f64;
    assert!((naive.metrics.mae - expected).abs() < 1e-9);
    // Intervals again, origin by origin, from what was known before each.
    let mut rolling = Rolling::new(&evaluation.validation_scores[0].1, 12, 1);
    let mut inside = [0.0; LEVELS.len()];
    for (row, sizes) in (0..).zip(sizes.chunks_exact(12)) {
        let margins = rolling.margins(row);
        for (level, inside) in inside.iter_mut().enumerate() {
            let held = sizes.iter().zip(&margins.margin[level]).filter(|(size, margin)| size <= margin);
            *inside += held.count() as f64;
        }
        for (h, size) in sizes.iter().enumerate() {
            let missed = std::array::from_fn(|level| *size > margins.margin[level][h]);
            rolling.take(row, h, [*size; LEVELS.len()], missed);
        }
    }
    for (inside, coverage) in inside.iter().zip(&lstm.coverage) {
        assert!((inside / sizes.len() as f64 - coverage).abs() < 1e-9, "{inside} {coverage}");
    }
    assert_eq!(rolling.margins(i64::MAX).margin.len(), lstm.interval.margin.len());
}

#[test]
fn the_same_command_gives_the_same_bits_on_any_number_of_threads() {
    let values = series(200);
    let choices = ForecastChoices { ensemble: Some(2), normalise: None, ..choices() };
    let run = |threads| {
        let cpu = Cpu::new(threads).unwrap();
        let (forecaster, evaluation) = hold_out(&cpu, &choices, &one(&values));
        assert_eq!((evaluation.trials.len(), forecaster.models.len()), (5, 2));
        let go = &mut |_: lstm_train::forecaster::Stage, _: u64, _: Option<&_>| Flow::Continue;
        let (all, _) = Forecaster::<Cpu, f32>::fit_all(
            &cpu,
            &forecaster,
            &one(&values),
            &evaluation,
            &mut Course::default(),
            go,
        )
        .unwrap();
        (evaluation, all.forecast(&cpu, &one(&values)).unwrap())
    };
    let alone = run(1);
    assert!([2, 3, 4].into_iter().all(|threads| run(threads) == alone));
}

#[test]
fn forecasts_of_several_trials_are_averaged() {
    let cpu = Cpu::new(1).unwrap();
    let values = series(240);
    let panel = one(&values);
    let fit = |held: &Forecaster<Cpu, f32>, evaluation: &Evaluation| {
        let go = &mut |_: lstm_train::forecaster::Stage, _: u64, _: Option<&_>| Flow::Continue;
        Forecaster::fit_all(&cpu, held, &panel, evaluation, &mut Course::default(), go).unwrap().0
    };
    let [(mut held, mut evaluation), (other, of_other)] = [Base::Linear, Base::Season].map(|base| {
        let feedback = Some(false);
        let choices = ForecastChoices { base: Some(base), segment: Some(3), feedback, ..choices() };
        hold_out(&cpu, &choices, &panel)
    });
    let alone = [fit(&held, &evaluation), fit(&other, &of_other)]
        .map(|forecaster| forecaster.forecast(&cpu, &panel).unwrap().remove(0));
    held.beside.push(other);
    evaluation.taken.ways.extend(of_other.taken.ways);
    let both = fit(&held, &evaluation);
    let kinds: Vec<Base> = both.networks().map(|(way, _)| way.config.base).collect();
    assert_eq!(kinds, [Base::Linear, Base::Season]);
    let mean = both.forecast(&cpu, &panel).unwrap().remove(0);
    assert_ne!(alone[0], alone[1]);
    for (at, mean) in mean.iter().enumerate() {
        assert!((2.0 * mean - alone[0][at] - alone[1][at]).abs() < 1e-9, "{at}");
    }
}

#[test]
fn blocks_go_on_from_forecasts_as_if_they_had_come() {
    let cpu = Cpu::new(1).unwrap();
    let first = series(240);
    let second: Vec<f64> = first.iter().rev().map(|value| 40.0 + 3.0 * value).collect();
    // Known in advance beyond the end.
    let cells: Vec<f64> = (0..280).map(|row| f64::from(row % 5)).collect();
    fn member<'a>(values: &'a [f64], cells: &'a [f64]) -> Member<'a> {
        Member { known: Columns { cells, width: 1 }, ..Member::alone(values) }
    }
    for (base, normalise, head) in [
        (Base::Linear, Normalise::Window, Head::Point),
        (Base::Season, Normalise::Series, Head::Point),
        (Base::Last, Normalise::Log, Head::Quantile),
    ] {
        let choices = ForecastChoices {
            base: Some(base),
            normalise: Some(normalise),
            head: Some(head),
            block: Some(5),
            feedback: Some(false),
            ..choices()
        };
        let members = [member(&first, &cells), member(&second, &cells)];
        let (mut forecaster, evaluation) = hold_out(&cpu, &choices, &members);
        assert_eq!((forecaster.config.horizon, evaluation.scores[0].by_step.len()), (12, 12));
        let whole = forecaster.forecast(&cpu, &members).unwrap();
        assert!(whole.iter().flatten().all(|value| value.is_finite()));
        // Five steps at once, three times.
        (forecaster.config.horizon, forecaster.config.block) = (5, None);
        let mut seen = [first.clone(), second.clone()];
        for _ in 0..3 {
            let members = [member(&seen[0], &cells), member(&seen[1], &cells)];
            let next = forecaster.forecast(&cpu, &members).unwrap();
            seen.iter_mut().zip(next).for_each(|(seen, next)| seen.extend(next));
        }
        for (whole, seen) in whole.iter().zip(&seen) {
            for (a, b) in whole.iter().zip(&seen[240..]) {
                assert!((a - b).abs() < 1e-9 * b.abs().max(1.0), "{base:?}: {a} {b}");
            }
        }
    }
}

#[test]
fn errors_of_earlier_forecasts_are_fed_back() {
    let cpu = Cpu::new(1).unwrap();
    // A level that wanders, which the seasonal forecast does not follow, nor a network that has learnt nothing.
    let mut level = 0.0;
    let wander = |(row, value): (usize, f64)| {
        level = 0.97 * level + (row as f64 * row as f64 * 0.7).sin();
        value + 3.0 * level
    };
    let values: Vec<f64> = series(400).into_iter().enumerate().map(wander).collect();
    let choices = ForecastChoices { base: Some(Base::Season), lr: Some(1e-9), ..choices() };
    let (mut forecaster, fed) = hold_out(&cpu, &choices, &one(&values));
    let (horizon, rows) = (forecaster.config.horizon, values.len());
    let window = |row| Window { member: 0, row };
    let places = [window(rows - horizon), window(rows - 1), window(rows)];
    let with = forecaster.forecast_at(&cpu, &one(&values), &places).unwrap();

    // It knows nothing of what comes behind its place, nor does what is learnt from one place after another.
    let mut changed = values.clone();
    changed[rows - horizon..].fill(1e3);
    let again = forecaster.forecast_at(&cpu, &one(&changed), &places[..1]).unwrap();
    assert_eq!(again, with[..horizon]);
    let last: Vec<Window> = (fed.first_row..=rows - horizon).map(window).collect();
    let in_turn = |values: &[f64]| {
        let mut in_turn = forecaster.in_turn();
        forecaster.lstm_at(&cpu, &one(values), &last, in_turn.as_mut()).unwrap().forecasts
    };
    let told = in_turn(&values);
    assert!(told[..horizon] == forecaster.forecast_at(&cpu, &one(&values), &last[..1]).unwrap());
    assert!(told == in_turn(&changed));
    let errors = told.chunks_exact(horizon).zip(&last).map(|(forecast, place)| {
        let truth = &values[place.row..];
        truth.iter().zip(forecast).map(|(y, f)| (y - f).abs()).sum::<f64>()
    });
    let mae = errors.sum::<f64>() / told.len() as f64;
    assert!((mae / fed.score("lstm").unwrap().metrics.mae - 1.0).abs() < 1e-9);

    let feedback = forecaster.feedback.take().unwrap();
    assert!(feedback.shares()[0][0] > 0.3, "{feedback:?}");
    let without = forecaster.forecast_at(&cpu, &one(&values), &places).unwrap();
    let before = values[rows - 1] - without[horizon];
    for (h, [a, b]) in feedback.shares().iter().enumerate() {
        let same_step = values[rows - horizon + h] - without[h];
        let wanted = without[2 * horizon + h] + a * before + b * same_step;
        assert!((with[2 * horizon + h] - wanted).abs() < 1e-9, "{h}");
    }
    let off = ForecastChoices { feedback: Some(false), ..choices };
    let (plain, unfed) = hold_out(&cpu, &off, &one(&values));
    assert_eq!(plain.feedback, None);
    let [fed, unfed] = [fed, unfed].map(|evaluation| evaluation.score("lstm").unwrap().metrics.mae);
    assert!(fed < 0.95 * unfed, "{fed} {unfed}");
}

#[test]
fn levels_and_sizes_never_seen_are_no_surprise() {
    let cpu = Cpu::new(1).unwrap();
    let values = series(240);
    for base in [Base::Last, Base::Season, Base::Linear] {
        let choices = ForecastChoices { base: Some(base), ..choices() };
        let (forecaster, _) = hold_out(&cpu, &choices, &one(&values));
        let plain = forecaster.forecast(&cpu, &one(&values)).unwrap().remove(0);
        let moved: Vec<f64> = values.iter().map(|v| 1000.0 * v - 5e4).collect();
        for (a, b) in plain.iter().zip(&forecaster.forecast(&cpu, &one(&moved)).unwrap()[0]) {
            assert!((1000.0 * a - 5e4 - b).abs() < 1.0, "{a} {b}");
        }
    }
}

/// A series that does what a column beside it says one step before.
fn driven(rows: usize) -> (Vec<f64>, Vec<f64>) {
    let push: Vec<f64> = (0..=rows + 24).map(|t| if (t * 7919) % 23 < 9 { 1.0 } else { -1.0 }).collect();
    let values = (0..rows).map(|t| 10.0 * push[t] + (t * 31 % 7) as f64 * 0.1).collect();
    (values, push)
}

#[test]
fn what_is_known_in_advance_is_used_and_what_is_past_is_not_looked_up() {
    let cpu = Cpu::new(2).unwrap();
    let (values, push) = driven(400);
    let choices = ForecastChoices {
        horizon: Some(4),
        lookback: Some(8),
        segment: Some(1),
        base: Some(Base::Last),
        normalise: Some(Normalise::Series),
        epochs: Some(40),
        ensemble: Some(1),
        hidden: Some(8),
        dropout: Some(0.0),
        ..ForecastChoices::default()
    };
    let column = |rows: usize| Columns { cells: &push[..rows], width: 1 };
    let known = [Member { known: column(424), ..Member::alone(&values) }];
    let (forecaster, evaluation) = hold_out(&cpu, &choices, &known);
    let (lstm, naive) = (evaluation.score("lstm").unwrap(), evaluation.score("naive").unwrap());
    assert!(lstm.metrics.mae < 0.3 * naive.metrics.mae, "{:?} {:?}", lstm.metrics, naive.metrics);
    // The column ahead decides the forecast.
    let mut other = push.clone();
    other[400..].iter_mut().for_each(|value| *value = -*value);
    let turned = [Member { known: Columns { cells: &other[..424], width: 1 }, ..Member::alone(&values) }];
    let (a, b) = (forecaster.forecast(&cpu, &known).unwrap(), forecaster.forecast(&cpu, &turned).unwrap());
    assert!(a[0].iter().zip(&b[0]).all(|(a, b)| (a - b).abs() > 5.0), "{a:?} {b:?}");
    // As a column of the past the same numbers ahead of the forecast change nothing.
    let past = |cells| [Member { past: Columns { cells, width: 1 }, ..Member::alone(&values) }];
    let (forecaster, _) = hold_out(&cpu, &choices, &past(&push));
    let forecasts = [&push, &other].map(|cells| forecaster.forecast(&cpu, &past(cells)).unwrap());
    assert_eq!(forecasts[0], forecasts[1]);
}

#[test]
fn series_of_different_length_share_a_network_and_keep_their_scales() {
    let cpu = Cpu::new(2).unwrap();
    let long = series(240);
    let small: Vec<f64> = series(150).iter().map(|v| 1e-3 * v).collect();
    // Too short for a window of its own to train on, long enough for a forecast.
    let short: Vec<f64> = series(60).iter().map(|v| 50.0 * v).collect();
    let panel: Vec<Member<'_>> = [&long, &small, &short].into_iter().map(|v| Member::alone(v)).collect();
    let choices =
        ForecastChoices { held_out: Some(24), validation: Some(12), lookback: Some(24), ..choices() };
    let (forecaster, evaluation) = hold_out(&cpu, &choices, &panel);
    assert_eq!((forecaster.config.told_apart, evaluation.windows), (3, 3 * 13));
    let forecasts = forecaster.forecast(&cpu, &panel).unwrap();
    for (member, forecast) in panel.iter().zip(&forecasts) {
        let last = member.values[member.rows() - 12..].iter().sum::<f64>();
        let ratio = forecast.iter().sum::<f64>() / last;
        assert!((0.8..1.3).contains(&ratio), "{ratio}");
    }
    // A panel's forecasts at one place are those of all places.
    let at = [Window { member: 1, row: 150 }, Window { member: 2, row: 60 }];
    assert_eq!(forecaster.forecast_at(&cpu, &panel, &at).unwrap(), forecasts[1..].concat());
}

#[test]
fn a_series_without_a_past_does_not_outweigh_the_others() {
    let cpu = Cpu::new(2).unwrap();
    let (long, late) = (series(300), series(70));
    let flat = [vec![0.0; 260], series(40)].concat();
    let panel: Vec<Member<'_>> = [&long, &late, &flat].into_iter().map(|v| Member::alone(v)).collect();
    let choices = ForecastChoices {
        held_out: Some(40),
        validation: Some(30),
        lookback: Some(24),
        normalise: Some(Normalise::Series),
        ..choices()
    };
    let (forecaster, evaluation) = hold_out(&cpu, &choices, &panel);
    let spreads = &forecaster.prepared.spreads;
    assert!(spreads.iter().all(|spread| *spread > 0.1 * spreads[0]), "{spreads:?}");
    let lstm = evaluation.score("lstm").unwrap();
    assert!(lstm.standardised[0] < 20.0, "{:?}", lstm.standardised);
    let scales = forecaster.scales(&panel).unwrap();
    let widest = lstm.interval.margin[2].iter().map(|margin| margin * scales[0]).fold(0.0, f64::max);
    assert!(widest < 1e4, "{widest}");
}

#[test]
fn other_series_are_forecast_in_their_own_scale_and_see_no_later_rows() {
    let cpu = Cpu::new(1).unwrap();
    let values = series(240);
    let choices = ForecastChoices { normalise: Some(Normalise::Series), ..choices() };
    let (forecaster, _) = hold_out(&cpu, &choices, &one(&values));
    let moved: Vec<f64> = values.iter().map(|v| 1000.0 * v).collect();
    let mut spoilt = moved.clone();
    spoilt[200..].iter_mut().for_each(|value| *value *= 50.0);
    let others = forecaster.for_others(&one(&moved), |_| 200);
    let at = [Window { member: 0, row: 200 }];
    let forecast = |values: &[f64]| others.forecast_at(&cpu, &one(values), &at).unwrap();
    assert_eq!(forecast(&moved), forecast(&spoilt));
    let ratio = forecast(&moved)[0] / moved[199];
    assert!((0.7..1.4).contains(&ratio), "{ratio}");
}

#[test]
fn values_that_a_repair_made_are_no_truth() {
    let cpu = Cpu::new(1).unwrap();
    let values = series(240);
    let (forecaster, evaluation) = hold_out(&cpu, &choices(), &one(&values));
    let first = evaluation.first_row;
    let mut spoilt = values.clone();
    spoilt[235] = 1e6;
    let made = std::slice::from_ref(&(235..236));
    let marked = [Member { made, ..Member::alone(&spoilt) }];
    let part = Part { first_row: &[first], learnt: &[first], intervals: None };
    let plain = forecaster.evaluate(&cpu, &one(&spoilt), &part).unwrap();
    let known = forecaster.evaluate(&cpu, &marked, &part).unwrap();
    let mae = |evaluation: &Evaluation| evaluation.score("naive").unwrap().metrics.mae;
    // Forecasts from behind the spoilt row would repeat it; the last window begins before it.
    assert_eq!(known.windows, plain.windows);
    assert!(mae(&plain) > 1e3 && mae(&known) < 100.0, "{} {}", mae(&plain), mae(&known));
}

#[test]
fn a_finished_model_is_measured_with_what_is_known_of_its_intervals_and_rows() {
    let cpu = Cpu::new(1).unwrap();
    let values = series(240);
    // With feedback a model that has just been trained learns from the rows that it is measured on.
    let choices = ForecastChoices { feedback: Some(false), ..choices() };
    let (forecaster, before) = hold_out(&cpu, &choices, &one(&values));
    let first = before.first_row;
    let measured = |first: usize, learnt: usize, intervals| {
        let part = Part { first_row: &[first], learnt: &[learnt], intervals };
        forecaster.evaluate(&cpu, &one(&values), &part).unwrap()
    };
    let again = measured(first, first, Some(&before));
    for (now, then) in again.scores.iter().zip(&before.scores) {
        assert_eq!((&now.method, &now.metrics), (&then.method, &then.metrics));
        assert_eq!(now.coverage.len(), 3, "{}", now.method);
        assert!(now.coverage[2] >= now.coverage[0] && now.crps.is_some_and(|crps| crps > 0.0));
    }
    assert!(measured(first, first, None).scores.iter().all(|score| score.coverage.is_empty()));
    // From the first row on: what is fitted to all rows does better than what is fitted to a few.
    let ets = |learnt| measured(0, learnt, None).score("ets").unwrap().metrics;
    assert!(ets(240).mae < ets(30).mae, "{} {}", ets(240).mae, ets(30).mae);
    assert!(ets(240).mase.is_some());
}

#[test]
fn nothing_goes_below_the_lowest_value_that_there_may_be() {
    let cpu = Cpu::new(1).unwrap();
    // Falls towards 0, and every formula would go on below it.
    let falls: Vec<f64> = (0..240).map(|t| (240.0 - f64::from(t)) * (1.0 + 0.3 * f64::from(t % 3))).collect();
    for head in [Head::Point, Head::Gaussian] {
        let open = ForecastChoices { head: Some(head), ..choices() };
        let bounded = ForecastChoices { lowest: Some(0.0), ..open.clone() };
        let least = |choices: &ForecastChoices| {
            let (forecaster, evaluation) = hold_out(&cpu, choices, &one(&falls));
            let at = [Window { member: 0, row: 240 }];
            let methods = forecaster.methods_at(&cpu, &one(&falls), &at, None, None).unwrap();
            let edges = |of: &OfMethod, at: usize| {
                let interval = &evaluation.score(of.method).unwrap().interval;
                forecaster.calibrated(interval, at, of.forecasts[at], &of.edges(at), 50.0)[2][0]
            };
            let interval = &evaluation.score("lstm").unwrap().interval;
            let past = (interval, evaluation.templates.as_slice());
            let paths = forecaster.paths(&cpu, &one(&falls), &at, past, (20, 1)).unwrap();
            let values = methods
                .iter()
                .flat_map(|of| (0..of.forecasts.len()).flat_map(|at| [of.forecasts[at], edges(of, at)]));
            values.chain(paths).fold(f64::INFINITY, f64::min)
        };
        assert!(least(&open) < 0.0);
        assert!(least(&bounded) >= 0.0, "{}", least(&bounded));
    }
    let above = ForecastChoices { lowest: Some(2.0), ..choices() };
    let refused = ForecastConfig::trials(&above, &[12], &one(&falls)).unwrap_err().to_string();
    assert_eq!(refused, "lowest is 2, but must be at most 1.6, the smallest value there is");
}

#[test]
fn what_cannot_be_done_is_said() {
    let cpu = Cpu::new(1).unwrap();
    let values = series(240);
    let (forecaster, _) = hold_out(&cpu, &choices(), &one(&values));
    assert!(matches!(forecaster.forecast(&cpu, &one(&values[..20])), Err(Error::TooShort { .. })));
    let huge: Vec<f64> = values.iter().map(|v| v * 1e306 * if *v > 120.0 { -1.0 } else { 1.0 }).collect();
    assert!(matches!(forecaster.forecast(&cpu, &one(&huge)), Err(Error::TooLarge)));
    let trials =
        |choices: ForecastChoices, rows| ForecastConfig::trials(&choices, &[12], &one(&series(rows)));
    assert!(matches!(trials(ForecastChoices::default(), 3), Err(Error::TooShort { .. })));
    let too_far = ForecastChoices { horizon: Some(200), ..ForecastChoices::default() };
    assert!(matches!(trials(too_far, 240), Err(Error::TooShort { .. })));
    for wrong in [
        ForecastChoices { horizon: Some(0), ..ForecastChoices::default() },
        ForecastChoices { lr: Some(f64::NAN), ..ForecastChoices::default() },
        ForecastChoices { dropout: Some(1.0), ..ForecastChoices::default() },
        ForecastChoices { optimizer: Some("adm".into()), ..ForecastChoices::default() },
        ForecastChoices { season: Some(1), base: Some(Base::Season), ..ForecastChoices::default() },
        ForecastChoices { held_out: Some(3), ..ForecastChoices::default() },
        ForecastChoices { effort: Some(0.0), ..ForecastChoices::default() },
        ForecastChoices { block: Some(0), ..ForecastChoices::default() },
        ForecastChoices { block: Some(13), horizon: Some(12), ..ForecastChoices::default() },
        ForecastChoices {
            head: Some(Head::NegativeBinomial),
            feedback: Some(true),
            ..ForecastChoices::default()
        },
        ForecastChoices { lookback: Some(20), segment: Some(6), ..ForecastChoices::default() },
    ] {
        assert!(trials(wrong.clone(), 240).is_err(), "{wrong:?}");
    }
}

#[test]
fn every_head_says_intervals_that_do_not_cross_and_counts_are_asked_for() {
    let cpu = Cpu::new(2).unwrap();
    let values: Vec<f64> = series(240).into_iter().map(f64::round).collect();
    for head in [Head::Quantile, Head::Gaussian, Head::StudentT, Head::NegativeBinomial] {
        let choices = ForecastChoices { head: Some(head), ..choices() };
        let (forecaster, evaluation) = hold_out(&cpu, &choices, &one(&values));
        let lstm = evaluation.score("lstm").unwrap();
        // A network that has seen little corrects little; the middle of counts is a whole number.
        let naive = evaluation.score("naive").unwrap();
        assert!(lstm.metrics.mae < 0.3 * naive.metrics.mae, "{head:?}: {} {naive:?}", lstm.metrics.mae);
        assert!(lstm.uncalibrated.windows(2).all(|pair| pair[0] <= pair[1]), "{head:?}");
        assert!(lstm.coverage[1] > 0.6 && naive.uncalibrated.is_empty(), "{head:?}: {:?}", lstm.coverage);
        assert!(lstm.crps.unwrap() < lstm.metrics.mae, "{head:?}");
        let window = [Window { member: 0, row: 240 }];
        let of = forecaster.lstm_at(&cpu, &one(&values), &window, None).unwrap();
        for (f, edges) in of.forecasts.iter().zip(of.said.as_ref().unwrap()) {
            let rising = [edges[2][0], edges[1][0], edges[0][0], *f, edges[0][1], edges[1][1], edges[2][1]];
            assert!(rising.windows(2).all(|pair| pair[0] <= pair[1]), "{head:?}: {rising:?}");
            if head == Head::NegativeBinomial {
                assert!(rising.iter().all(|count| count.fract() == 0.0 && *count >= 0.0), "{rising:?}");
            }
        }
    }
    let refused = |choices, values: &[f64]| {
        ForecastConfig::trials(&choices, &[12], &one(values)).unwrap_err().to_string()
    };
    let counts = ForecastChoices { head: Some(Head::NegativeBinomial), ..choices() };
    let said = refused(counts.clone(), &series(240));
    assert!(said.contains("no count, as this one, which holds 104.45 in row 2"), "{said}");
    let logs = refused(ForecastChoices { normalise: Some(Normalise::Log), ..counts }, &values);
    assert!(logs.contains("normalise is log, but must be window or series"), "{logs}");
    let both = ForecastChoices { head: Some(Head::Gaussian), loss: Some(Aim::Mae), ..choices() };
    let both = refused(both, &values);
    assert!(both.contains("loss is mae, but must be left out unless the head is a point"), "{both}");
}
