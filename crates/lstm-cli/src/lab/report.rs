//! What the laboratory says: a table, its meaning in sentences, and all numbers as JSON.

use lstm_data::panel::{Member, Panel};
use lstm_train::lab::{Drift, Findings, Growth, HorizonError, Pace, Response, Rest};
use serde_json::{Value, json};

use super::{Plan, Subject};
use crate::input;
use crate::output::{bold, percent, short};

/// Rows of the table at most.
const ROWS: usize = 8;
/// Agreement below which a phase says little.
const SCATTERED: f64 = 0.5;
/// Share of the truth's amplitude below which there is nothing to take the phase of.
const FAINT: f64 = 0.02;
/// What is near enough to 1 to be told as 1.
const NEAR: f64 = 0.02;

/// The series and the loop, in two lines or three.
pub(super) fn announced(panel: &Panel, subject: &Subject, plan: &Plan) -> String {
    let protocol = &plan.protocol;
    let feed = subject.feed();
    let kind = match subject {
        Subject::Forecaster { .. } | Subject::Bare { lookback: Some(_), .. } => format!(
            "reads {} rows anew for each forecast and is fed {feed} value{} of it",
            subject.needed(),
            plural(feed)
        ),
        Subject::Bare { .. } => "carries its state and is fed each prediction".into(),
    };
    let share = plan.share.map_or("as asked".into(), |share| format!("{} of the variance", percent(share)));
    let runs = protocol.rows.len();
    let seen = match plan.seen {
        Some(false) => ", which the model has not seen",
        Some(true) => ", on which the model was trained",
        None => "",
    };
    format!(
        "{}The model {kind}; period {} ({share})\n{runs} free run{} of {} steps from row {} on{seen}:\n\n",
        input::described(panel),
        steps(protocol.period),
        plural(runs),
        protocol.steps,
        protocol.rows.first().map_or(0, |row| row + 1),
    )
}

/// Errors, amplitude and phase at a few distances.
pub(super) fn table(plan: &Plan, findings: &Findings) -> String {
    let header = format!(
        "{:>6}{:>8}{:>12}{:>12}{:>16}{:>11}{:>10}\n",
        "ahead", "cycles", "LSTM RMSE", "naive", "seasonal naive", "amplitude", "phase"
    );
    let mut text = bold(&header);
    for ahead in distances(plan.protocol.steps, &findings.drift) {
        let Some(error) = findings.errors.get(ahead - 1) else { continue };
        let drift = findings.drift.iter().find(|drift| drift.ahead == ahead);
        let (amplitude, phase) = drift.map_or(("".into(), "".into()), |drift| {
            (format!("{:.3}", drift.amplitude), format!("{:+.2}", drift.phase))
        });
        let line = format!(
            "{ahead:>6}{:>8.1}{:>12}{:>12}{:>16}{amplitude:>11}{phase:>10}",
            ahead as f64 / plan.protocol.period,
            short(error.rmse),
            short(error.naive),
            short(error.seasonal_naive),
        );
        text += &format!("{}\n", line.trim_end());
    }
    if !findings.drift.is_empty() {
        text += "amplitude: of the free run over the truth's, in the cycle that ends there; phase: steps ahead of it\n";
    }
    text
}

/// The first step and the ends of stretches, evenly chosen; the last step where there are no stretches.
fn distances(steps: usize, drifts: &[Drift]) -> Vec<usize> {
    let mut chosen = vec![1];
    let every = drifts.len().div_ceil(ROWS - 1).max(1);
    let mut ends: Vec<usize> = drifts.iter().rev().step_by(every).map(|drift| drift.ahead).collect();
    ends.reverse();
    chosen.extend(ends);
    if drifts.is_empty() {
        chosen.push(steps);
    }
    chosen.dedup();
    chosen
}

/// What it means.
pub(super) fn judgement(plan: &Plan, findings: &Findings) -> String {
    let mut sentences = vec![of_errors(&findings.errors)];
    sentences.push(of_drift(findings));
    sentences.extend(findings.at_period.map(|answer| of_response(plan, findings, answer)));
    sentences.push(of_rest(plan, findings));
    sentences.extend(findings.growth.as_ref().map(|growth| of_growth(findings.rest, growth)));
    format!("\n{}\n", sentences.join("\n"))
}

fn of_errors(errors: &[HorizonError]) -> String {
    let better = errors.iter().filter(|error| error.rmse < error.naive.min(error.seasonal_naive)).count();
    let all = errors.len();
    format!("Error: the free run is better than both naive forecasts at {better} of {all} distances.")
}

fn of_drift(findings: &Findings) -> String {
    match findings.drift.last() {
        Some(last) => of_last(last, findings.pace),
        None => "Drift: a free run holds no whole cycle; give it more --steps.".into(),
    }
}

fn of_last(last: &Drift, pace: Option<Pace>) -> String {
    // A stretch is one cycle long, and what is known of it belongs to its middle.
    let mut text = format!(
        "Drift: in the last cycle, to {:.1}, the amplitude is {:.3} of the truth's",
        last.cycles + 0.5,
        last.amplitude
    );
    if last.amplitude < FAINT {
        return text + ": too little to have a phase.";
    }
    if last.coherence < SCATTERED {
        return text + "; the phase scatters from run to run.";
    }
    let (side, size) = (if last.phase < 0.0 { "behind" } else { "ahead" }, last.phase.abs());
    text += &format!(", the phase {size:.2} steps {side}");
    if let Some(pace) = pace {
        let change = signed_percent(pace.amplitude - 1.0);
        text += &format!("; from cycle to cycle they change by {change} and {:+.3} steps", pace.phase);
    }
    text + "."
}

fn of_response(plan: &Plan, findings: &Findings, answer: Response) -> String {
    let side = if answer.lead < 0.0 { "behind" } else { "ahead" };
    let text = format!(
        "Response: one step ahead, a sine of period {} is continued with gain {:.3}, {:.1} degrees {side}.\n",
        steps(plan.protocol.period),
        answer.gain,
        answer.lead.abs()
    );
    let faithful = |answer: &&Response| (answer.gain - 1.0).abs() < 0.1 && answer.lead.abs() < 10.0;
    let all: Vec<f64> = findings.response.iter().map(|answer| answer.period).collect();
    let kept: Vec<f64> = findings.response.iter().filter(faithful).map(|answer| answer.period).collect();
    let ends = |periods: &[f64]| match periods {
        [only] => format!(" ({})", short(*only)),
        [first, .., last] => format!(" ({} to {})", short(*first), short(*last)),
        [] => String::new(),
    };
    let (tried, count) = (format!("{} periods tried{}", all.len(), ends(&all)), kept.len());
    text + &format!("Of {tried}, {count} are continued within 10% and 10 degrees{}.", ends(&kept))
}

fn of_rest(plan: &Plan, findings: &Findings) -> String {
    match findings.rest {
        Rest::Diverges { step } => {
            format!("In the long run: it diverges, and is 1000 deviations away after {step} steps.")
        }
        Rest::Point { value } => format!("In the long run: it stops at the value {}.", short(value)),
        Rest::Cycle { period, level, deviation } => format!(
            "In the long run: it keeps a cycle of period {} about {}, with standard deviation {}.",
            steps(period),
            short(level),
            short(deviation)
        ),
        Rest::Drifts { level, deviation } => format!(
            "In the long run: it does not settle; in {} steps the level moves by {}, the swing by {}.",
            steps(plan.protocol.period),
            short(level),
            signed_percent(deviation - 1.0)
        ),
    }
}

fn of_growth(rest: Rest, growth: &Growth) -> String {
    let factors: Vec<String> = growth.factors.iter().map(|factor| format!("{factor:.3}")).collect();
    let per = match rest {
        Rest::Point { .. } => "step".into(),
        Rest::Cycle { .. } => "cycle".into(),
        _ => format!("{} steps", steps(growth.steps)),
    };
    let largest = |nth: usize| growth.factors.get(nth).copied().unwrap_or(0.0);
    let (first, second) = (largest(0), largest(1));
    let near = |factor: f64, other: f64| (factor - other).abs() <= NEAR * other;
    let meaning = match rest {
        Rest::Drifts { deviation, .. } if first > 1.0 + NEAR && near(first, deviation) => {
            "above 1: they grow, no faster than the swing itself".into()
        }
        _ if first > 1.0 + NEAR => "above 1: they grow".into(),
        Rest::Cycle { .. } if near(first, 1.0) && near(second, 1.0) => {
            "two near 1: a shift along the cycle stays, and another disturbance hardly fades".into()
        }
        Rest::Cycle { .. } if near(first, 1.0) => format!(
            "the one near 1 is a shift along the cycle, which stays; all others die out, {}",
            fading(second)
        ),
        _ if near(first, 1.0) => "near 1: they stay as they are".into(),
        _ => format!("below 1: they die out, {}", fading(first)),
    };
    format!("Disturbances: factors of {} per {per} ({meaning}).", factors.join(", "))
}

/// How long a disturbance lasts.
fn fading(factor: f64) -> String {
    let times = 0.1f64.ln() / factor.max(f64::MIN_POSITIVE).ln();
    if times < 1.0 {
        "to less than a tenth at once".into()
    } else {
        format!("to a tenth in {}", short(times))
    }
}

/// A number of steps, whole or not.
fn steps(steps: f64) -> String {
    if steps.fract() == 0.0 { steps.to_string() } else { short(steps) }
}

fn signed_percent(share: f64) -> String {
    // Adding 0 turns -0 into 0.
    format!("{:+.1}%", (1000.0 * share).round() / 10.0 + 0.0)
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

pub(super) fn to_json(
    panel: &Panel,
    series: &Member,
    subject: &Subject,
    plan: &Plan,
    findings: &Findings,
) -> Value {
    let protocol = &plan.protocol;
    let mut value = json!({
        "file": panel.file,
        "model": subject.path(),
        "rows": series.rows(),
        "feed": subject.feed(),
        "reads": match subject {
            Subject::Bare { lookback: None, .. } => Value::Null,
            _ => json!(subject.needed()),
        },
        "period": protocol.period,
        "standardised": matches!(subject, Subject::Bare { standardise: true, .. }),
        "period-share": plan.share,
        "season": protocol.season,
        "steps": protocol.steps,
        "origins": protocol.rows,
        "seen-in-training": plan.seen,
    });
    if let (Some(value), Value::Object(findings)) = (value.as_object_mut(), json!(findings)) {
        value.extend(findings);
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_are_read_by_where_the_run_ends() {
        let cycle = Rest::Cycle { period: 25.0, level: 0.0, deviation: 0.7 };
        let growing = Rest::Drifts { level: 1.0, deviation: 1.1 };
        for (rest, steps, factors, expected) in [
            (
                cycle,
                25.0,
                [1.001, 0.5, 0.1],
                "per cycle (the one near 1 is a shift along the cycle, which stays; all others \
              die out, to a tenth in 3.322).",
            ),
            (
                cycle,
                25.0,
                [1.001, 0.99, 0.1],
                "per cycle (two near 1: a shift along the cycle stays, and another \
              disturbance hardly fades).",
            ),
            (cycle, 25.0, [0.6, 0.5, 0.1], "per cycle (below 1: they die out, to a tenth in 4.508)."),
            (cycle, 25.0, [1.2, 1.0, 0.1], "per cycle (above 1: they grow)."),
            (
                growing,
                12.0,
                [1.09, 1.0, 0.1],
                "per 12 steps (above 1: they grow, no faster than the swing itself).",
            ),
            (growing, 12.0, [1.3, 1.0, 0.1], "per 12 steps (above 1: they grow)."),
            (growing, 12.5, [1.0, 0.9, 0.1], "per 12.50 steps (near 1: they stay as they are)."),
            (
                Rest::Point { value: 3.0 },
                1.0,
                [0.05, 0.0, 0.0],
                "per step (below 1: they die out, to less than a tenth at \
              once).",
            ),
        ] {
            let sentence = of_growth(rest, &Growth { steps, factors: factors.to_vec() });
            assert!(sentence.ends_with(expected), "{sentence}");
        }
    }

    #[test]
    fn a_phase_is_told_only_where_there_is_one() {
        let stretch =
            |amplitude, coherence| Drift { ahead: 50, cycles: 1.5, amplitude, phase: -0.4, coherence };
        let told = |amplitude, coherence| of_last(&stretch(amplitude, coherence), None);
        assert_eq!(
            told(0.5, 0.9),
            "Drift: in the last cycle, to 2.0, the amplitude is 0.500 of the truth's, the phase 0.40 steps behind."
        );
        assert!(told(0.5, 0.2).ends_with("truth's; the phase scatters from run to run."));
        assert!(told(0.001, 0.9).ends_with("truth's: too little to have a phase."));
    }

    #[test]
    fn the_table_shows_the_first_step_and_the_ends_of_stretches() {
        let drift = |ahead| Drift { ahead, cycles: 1.0, amplitude: 1.0, phase: 0.0, coherence: 1.0 };
        let drifts: Vec<Drift> = (1..=14).map(|k| drift(10 * k)).collect();
        assert_eq!(distances(145, &drifts), [1, 20, 40, 60, 80, 100, 120, 140]);
        assert_eq!(distances(5, &[]), [1, 5]);
        assert_eq!(distances(1, &[]), [1]);
    }
}
