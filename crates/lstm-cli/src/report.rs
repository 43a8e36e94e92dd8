//! report.html: all of a run on one page, which needs nothing but a browser.

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
    pub(crate) evaluation: &'a Evaluation,
    pub(crate) forecast: Figure,
    pub(crate) pictures: &'a Pictures,
    pub(crate) residuals: Residuals,
    pub(crate) learnable: Learnable,
    /// Where it was trained, in words.
    pub(crate) machine: String,
    /// The command that repeats the run, and the settings that it reads.
    pub(crate) command: String,
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
                        (self.verdict())
                        (inline(&self.forecast, 0))
                        (self.comparison())
                        (self.learnable())
                        (self.pictures())
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

    fn verdict(&self) -> Markup {
        let lstm_wins = self.evaluation.winner().is_some_and(|score| score.method == "lstm");
        html! {
            @if let Some(sentence) = output::verdict(self.evaluation) {
                p.verdict.lost[!lstm_wins] { (sentence) }
            }
        }
    }

    fn comparison(&self) -> Markup {
        let best = output::best_baseline(self.evaluation);
        let winner = self.evaluation.winner().map(|score| score.method.as_str());
        let (windows, horizon) = (self.evaluation.windows, self.config.horizon);
        html! {
            h2 { "Held-out rows" }
            p {
                "The last " (self.config.held_out) " rows of each series were kept from training and from every choice, and forecast "
                "from " (windows) (if windows == 1 { " place" } else { " places" }) ", " (horizon)
                (if horizon == 1 { " step" } else { " steps" }) " each. "
                @if let Some(trial) = self.evaluation.trials.first() {
                    (output::taken(trial, "on the validation part"))
                }
            }
            div.wide {
                table {
                    tr {
                        th { "" } th { "MAE" } th { "RMSE" } th { "MASE" } th { "sMAPE" } th { "skill" }
                        @for level in LEVELS { th { "in " (percent(level)) } }
                    }
                    @for score in &self.evaluation.scores {
                        tr.best[Some(score.method.as_str()) == winner] {
                            th { (spoken(&score.method)) }
                            td { (short(score.metrics.mae)) }
                            td { (short(score.metrics.rmse)) }
                            td { (score.metrics.mase.map_or("-".into(), short)) }
                            td { (format!("{:.2}%", score.metrics.smape)) }
                            td { (best.and_then(|best| score.metrics.skill(&best.metrics)).map_or("-".into(), percent)) }
                            @for level in 0..LEVELS.len() {
                                td { (score.coverage.get(level).map_or("-".into(), |share| percent(*share))) }
                            }
                        }
                    }
                }
            }
            p.soft {
                "MASE: error in units of what the season, or the last value, misses within the rows learnt from. Skill: less error "
                "than the best simple forecast. In 50, 80, 95%: share of values inside the intervals that the errors on the "
                "validation part suggest; the forecast above has those of the held-out rows."
            }
        }
    }

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

    fn pictures(&self) -> Markup {
        html! {
            @if self.pictures.all().next().is_some() { h2 { "Pictures" } }
            @for (number, (_, figure)) in self.pictures.all().enumerate() { (inline(figure, number + 1)) }
            @if let Some(sentence) = self.left_over() { p { (sentence) } }
        }
    }

    /// What the residuals say.
    fn left_over(&self) -> Option<String> {
        let (mean, deviation) = self.residuals.moments()?;
        let count = self.residuals.known().count() as f64;
        let correlation = self.residuals.autocorrelation(self.config.season);
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
            p { "This command repeats the run, bit for bit on the same kind of machine (" (self.machine) ", lstm " (env!("CARGO_PKG_VERSION")) "):" }
            div.wide { pre { (self.command) } }
            details {
                summary { "All settings" }
                div.wide { pre { (self.settings) } }
            }
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
