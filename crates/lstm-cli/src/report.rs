//! report.html and forecast.html: all of a run, or of a forecast by a model trained before, on one page, which needs
//! nothing but a browser.

use lstm_data::panel::Panel;
use lstm_train::forecaster::{Evaluation, ForecastConfig, LEVELS};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::check::Residuals;
use crate::learnable::{self, Learnable};
use crate::output::{self, percent, short, spoken};
use crate::picture::Pictures;
use crate::plot::{self, Figure};

const STYLE: &str = include_str!("report/style.css");
/// Notes that are shown at most.
const NOTES: usize = 200;

/// What the page tells.
pub(crate) struct Page<'a> {
    pub(crate) panel: &'a Panel,
    pub(crate) config: &'a ForecastConfig,
    /// Of held-out rows, where they gave numbers.
    pub(crate) evaluation: Option<&'a Evaluation>,
    pub(crate) forecast: Figure,
    /// What is known where the model was trained just now.
    pub(crate) training: Option<Training<'a>>,
    /// Where it was computed, in words.
    pub(crate) machine: String,
    /// The command that repeats it.
    pub(crate) command: String,
}

/// What a training adds to the page.
pub(crate) struct Training<'a> {
    pub(crate) pictures: &'a Pictures,
    /// What went wrong and was helped, in a sentence.
    pub(crate) setbacks: Option<String>,
    pub(crate) residuals: Residuals,
    pub(crate) learnable: Learnable,
    /// The settings that the command reads.
    pub(crate) settings: &'a str,
}

impl Page<'_> {
    /// The page.
    pub(crate) fn html(&self) -> String {
        let title = &self.forecast.title;
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    title { (title) }
                    style { (PreEscaped(STYLE)) (PreEscaped(plot::dark_style())) }
                }
                body {
                    main {
                        h1 { (title) }
                        p.soft { (self.subtitle()) }
                        @if let Some(evaluation) = self.evaluation { (verdict(evaluation)) }
                        div.end { (inline(&self.forecast, 0)) }
                        @if let Some(evaluation) = self.evaluation { (self.comparison(evaluation)) }
                        @if let Some(training) = &self.training {
                            @if let Some(sentence) = &training.setbacks { p { "While it was trained: " (sentence) } }
                            (training.learnable())
                            (training.pictures(self.config.season))
                        }
                        (self.data())
                        (self.repeat())
                    }
                }
            }
        };
        page.into_string()
    }

    fn subtitle(&self) -> String {
        let (panel, config) = (self.panel, self.config);
        let step = panel.step().map_or(String::new(), |step| format!(", step {step}"));
        let season = if config.season > 1 { format!(", season {}", config.season) } else { String::new() };
        let series = match panel.members.len() {
            1 => String::new(),
            many => format!("{many} series of up to "),
        };
        format!("{}: {series}{} rows{step}{season}", panel.file, panel.longest())
    }

    fn comparison(&self, evaluation: &Evaluation) -> Markup {
        let best = output::best_baseline(evaluation);
        let winner = evaluation.winner().map(|score| score.method.as_str());
        let (windows, horizon) = (evaluation.windows, self.config.horizon);
        html! {
            h2 { "Held-out rows" }
            p {
                "The last " (self.config.held_out) " rows of each series were kept from training and from every choice, and forecast "
                "from " (windows) (if windows == 1 { " place" } else { " places" }) ", " (horizon)
                (if horizon == 1 { " step" } else { " steps" }) " each. "
                (output::taken(&evaluation.trials, &evaluation.taken, "on the validation part").unwrap_or_default())
            }
            div.wide {
                table {
                    tr {
                        th { "" } th { "MAE" } th { "RMSE" } th { "MASE" } th { "sMAPE" } th { "skill" } th { "wQL" } th { "CRPS" }
                        @for level in LEVELS { th { "in " (percent(level)) } }
                    }
                    @for score in &evaluation.scores {
                        tr.best[Some(score.method.as_str()) == winner] {
                            th { (spoken(&score.method)) }
                            td { (short(score.metrics.mae)) }
                            td { (short(score.metrics.rmse)) }
                            td { (score.metrics.mase.map_or("-".into(), short)) }
                            td { (format!("{:.2}%", score.metrics.smape)) }
                            td { (best.and_then(|best| score.metrics.skill(&best.metrics)).map_or("-".into(), percent)) }
                            td { (score.wql.map_or("-".into(), short)) }
                            td { (score.crps.map_or("-".into(), short)) }
                            @for level in 0..LEVELS.len() {
                                td { (score.coverage.get(level).map_or("-".into(), |share| percent(*share))) }
                            }
                        }
                    }
                }
            }
            p.soft {
                "MASE: error in units of what the season, or the last value, misses within the rows learnt from. Skill: less error "
                "than the best simple forecast. wQL and CRPS: what the intervals cost, as mean weighted quantile loss, in units of the "
                "series' size, and as continuous ranked probability score, in those of the series; less is better. In 50, 80, 95%: share "
                "of values inside the intervals that the errors suggest which were known before each forecast, at first those "
                "of the validation part; the forecast above has what all of them up to the end of training suggest."
            }
        }
    }

    fn data(&self) -> Markup {
        let notes = &self.panel.notes;
        html! {
            h2 { "The data" }
            @if notes.is_empty() {
                p { "Nothing had to be assumed or repaired." }
            } @else {
                ul { @for note in notes.iter().take(NOTES) { li { (note) } } }
                @if notes.len() > NOTES { p { "… and " (notes.len() - NOTES) " more." } }
            }
        }
    }

    fn repeat(&self) -> Markup {
        html! {
            h2 { "Again" }
            p { "This command repeats it, bit for bit on the same kind of machine (" (self.machine) ", lstm " (env!("CARGO_PKG_VERSION")) "):" }
            div.wide { pre { (self.command) } }
            @if let Some(training) = &self.training {
                details {
                    summary { "All settings" }
                    div.wide { pre { (training.settings) } }
                }
            }
        }
    }
}

impl Training<'_> {
    fn learnable(&self) -> Markup {
        let rows: Vec<_> = self.learnable.single().map(learnable::cells).collect();
        html! {
            h2 { "Is it learnable?" }
            p { (self.learnable.sentence()) }
            @if !rows.is_empty() {
                div.wide {
                    table {
                        tr { th { "steps ahead" } th { "noise" } th { "naive" } th { "seasonal naive" } th { "learnable" } }
                        @for [ahead, rest @ ..] in &rows {
                            tr { th { (ahead) } @for cell in rest { td { (cell) } } }
                        }
                    }
                }
            }
            p.soft {
                "Standard deviation of the noise, by the Gamma test (Stefánsson, Končar and Jones 1997), and root mean square "
                "errors, at the same places of the whole series: where pasts were alike, outcomes differed by the noise. What "
                "depends on more than some recent values and those around the same place of the season counts as noise here, so "
                "a model may do better; one that does much worse has something left to learn."
            }
        }
    }

    fn pictures(&self, season: usize) -> Markup {
        html! {
            @if self.pictures.all().next().is_some() { h2 { "Pictures" } }
            @for (number, (_, figure)) in self.pictures.all().enumerate() { (inline(figure, number + 1)) }
            @if let Some(sentence) = self.left_over(season) { p { (sentence) } }
        }
    }

    /// What the residuals say.
    fn left_over(&self, season: usize) -> Option<String> {
        let (mean, deviation) = self.residuals.moments()?;
        let count = self.residuals.known().count() as f64;
        let correlation = self.residuals.autocorrelation(season);
        let bound = self.residuals.bound();
        let outside = correlation.iter().filter(|r| r.abs() > bound).count();
        let bias = if mean.abs() > 1.96 * deviation / count.sqrt() {
            format!("one step ahead the LSTM misses {} on average, more than chance explains", short(mean))
        } else {
            format!("one step ahead the LSTM misses {} on average, no more than chance explains", short(mean))
        };
        let chance = 0.05 * correlation.len() as f64;
        // Twice what white noise leaves outside is no accident.
        let whole = if outside as f64 > 2.0 * chance.max(1.0) {
            "something is left in them that could be known"
        } else {
            "they are near white noise"
        };
        Some(format!(
            "Residuals: {bias}; {outside} of {} autocorrelations lie outside the band, where white noise has {chance:.0}: {whole}.",
            correlation.len()
        ))
    }
}

/// Who wins.
fn verdict(evaluation: &Evaluation) -> Markup {
    let lstm_wins = evaluation.winner().is_some_and(|score| score.method == "lstm");
    html! {
        @if let Some(sentence) = output::verdict(evaluation) {
            p.verdict.lost[!lstm_wins] { (sentence) }
        }
    }
}

/// A figure as part of the page, whose number makes its names unlike those of others.
fn inline(figure: &Figure, number: usize) -> Markup {
    let svg = figure.to_svg();
    let body = svg.split_once('>').and_then(|(_, rest)| rest.strip_suffix("</svg>")).unwrap_or(&svg);
    let body = body
        .replace("url(#panel-", &format!("url(#figure-{number}-panel-"))
        .replace("id=\"panel-", &format!("id=\"figure-{number}-panel-"));
    let (width, height) = figure.size();
    html! {
        div.wide {
            svg.figure viewBox={ "0 0 " (width) " " (height) } role="img" aria-label=(figure.title) { (PreEscaped(body)) }
        }
    }
}
