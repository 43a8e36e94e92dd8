//! What a seed program concluded, each conclusion with the comparisons that would show it, and whether our seeds do.

use serde::Deserialize;

use super::document::{Document, Result};
use super::experiment::{Experiment, Target};
use crate::output::short;

/// How likely a comparison may be to come out by chance.
const LEVEL: f64 = 0.05;
/// Seeds that a comparison looks at, at most: more would add time and no doubt.
const MOST: usize = 50;

/// The claims of one seed program.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Claims {
    pub(super) program: String,
    #[serde(rename = "claim")]
    pub(super) claims: Vec<Claim>,
}

/// One conclusion.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Claim {
    pub(super) says: String,
    /// All of these must hold.
    pub(super) shown_by: Vec<Comparison>,
}

/// A figure of an experiment over the seeds, against bounds, against the same figure of another experiment, or against
/// another figure.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Comparison {
    pub(super) experiment: String,
    figure: String,
    at_least: Option<f64>,
    at_most: Option<f64>,
    below: Option<String>,
    below_figure: Option<String>,
}

/// How a claim or comparison stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Supported,
    NotSupported,
    /// Too few seeds to say.
    Open,
}

impl Verdict {
    pub(super) fn words(self) -> &'static str {
        match self {
            Verdict::Supported => "supported",
            Verdict::NotSupported => "NOT supported",
            Verdict::Open => "too few seeds",
        }
    }
}

impl Claims {
    /// Reads claims about these experiments.
    pub(super) fn parse(place: &str, text: &str, experiments: &[Experiment]) -> Result<Self> {
        let document = Document { place, text };
        let claims: Claims = document.read()?;
        let names = || experiments.iter().map(|e| e.name.as_str());
        for comparison in claims.claims.iter().flat_map(|claim| &claim.shown_by) {
            for (name, figure) in
                [(comparison.experiment.as_str(), comparison.figure.as_str()), comparison.other()]
            {
                document.known("experiment", name, names())?;
                let figures =
                    experiments.iter().find(|e| e.name == name).map_or(Vec::new(), Experiment::figure_names);
                document.known("figure", figure, figures.iter().map(String::as_str))?;
            }
            if comparison.compares() == (comparison.bounds() != Target::default()) {
                let message =
                    "give either below, below-figure or both, or at-least and at-most, or one of these two";
                return Err(document.wrong("shown-by", message));
            }
        }
        Ok(claims)
    }
}

impl Claim {
    /// The experiments that it is about.
    pub(super) fn experiments(&self) -> impl Iterator<Item = &str> {
        let names = self.shown_by.iter().flat_map(|c| [Some(&c.experiment), c.below.as_ref()]);
        names.flatten().map(String::as_str)
    }

    /// What the seeds say; `values` gives a figure of an experiment for every seed that was run.
    pub(super) fn verdict(&self, values: &dyn Fn(&str, &str) -> Vec<f64>) -> (Verdict, Vec<String>) {
        let judged: Vec<_> = self.shown_by.iter().map(|comparison| comparison.judge(values)).collect();
        let any = |verdict| judged.iter().any(|(v, _)| *v == verdict);
        let verdict = match () {
            () if any(Verdict::NotSupported) => Verdict::NotSupported,
            () if any(Verdict::Open) => Verdict::Open,
            () => Verdict::Supported,
        };
        (verdict, judged.into_iter().map(|(_, words)| words).collect())
    }
}

impl Comparison {
    /// Whether it is held against another figure, and not against bounds.
    fn compares(&self) -> bool {
        self.below.is_some() || self.below_figure.is_some()
    }

    /// The experiment and the figure that it is held against.
    fn other(&self) -> (&str, &str) {
        let experiment = self.below.as_deref().unwrap_or(&self.experiment);
        (experiment, self.below_figure.as_deref().unwrap_or(&self.figure))
    }

    fn bounds(&self) -> Target {
        Target { at_least: self.at_least, at_most: self.at_most }
    }

    /// Verdict and reason. The test is one-sided at 5 %: of ranks (Mann and Whitney 1947) against another experiment,
    /// of signs against bounds.
    fn judge(&self, values: &dyn Fn(&str, &str) -> Vec<f64>) -> (Verdict, String) {
        let mut ours = values(&self.experiment, &self.figure);
        ours.truncate(MOST);
        let (name, figure) = (&self.experiment, &self.figure);
        let (least, p, wanted, obtained) = match self.compares().then(|| self.other()) {
            Some((other, its)) => {
                let mut theirs = values(other, its);
                theirs.truncate(MOST);
                let (wins, pairs) = (wins(&ours, &theirs), ours.len() * theirs.len());
                let p = by_ranks(wins, ours.len(), theirs.len());
                let least = by_ranks(pairs as f64, ours.len(), theirs.len());
                let obtained = (pairs > 0).then(|| format!("in {wins} of {pairs} pairs (p = {})", short(p)));
                let words = match (other == name, its == figure) {
                    (_, true) => other.to_owned(),
                    (true, false) => its.to_owned(),
                    (false, false) => format!("{its} of {other}"),
                };
                (least, p, format!("below {words}"), obtained)
            }
            None => {
                let bounds = self.bounds();
                let within = ours.iter().filter(|value| bounds.holds(**value)).count();
                let p = by_signs(within, ours.len());
                let obtained = (!ours.is_empty()).then(|| format!("in {within} of {} seeds", ours.len()));
                (by_signs(ours.len(), ours.len()), p, bounds.words(), obtained)
            }
        };
        let verdict = match () {
            () if p < LEVEL => Verdict::Supported,
            // Not even a clean sweep could show it with so few.
            () if least >= LEVEL => Verdict::Open,
            () => Verdict::NotSupported,
        };
        let obtained = obtained.unwrap_or_else(|| "(no seeds yet)".into());
        (verdict, format!("{figure} of {name} {wanted} {obtained}"))
    }
}

impl Target {
    pub(super) fn words(&self) -> String {
        match (self.at_least, self.at_most) {
            (Some(least), Some(most)) => format!("from {least} to {most}"),
            (Some(least), None) => format!("at least {least}"),
            (None, Some(most)) => format!("at most {most}"),
            (None, None) => String::new(),
        }
    }
}

/// Pairs in which ours is the smaller one; equal ones count half.
fn wins(ours: &[f64], theirs: &[f64]) -> f64 {
    let pairs = ours.iter().flat_map(|a| theirs.iter().map(move |b| (a, b)));
    pairs
        .map(|(a, b)| {
            if a < b {
                1.0
            } else if a == b {
                0.5
            } else {
                0.0
            }
        })
        .sum()
}

/// Chance of at least so many wins among `n · m` pairs where there is no difference, exactly.
fn by_ranks(wins: f64, n: usize, m: usize) -> f64 {
    // ways[i][u]: orders of i ours and the theirs looked at so far with u wins. A further one of theirs, larger than
    // all before it, loses to every one of ours that stands below it.
    let mut ways = vec![vec![0.0; n * m + 1]; n + 1];
    for row in &mut ways {
        row[0] = 1.0;
    }
    for _ in 0..m {
        for ours in 1..=n {
            // `ours` of ours and one more of theirs: the topmost is either ours, or theirs with `ours` wins.
            let below = ways[ours - 1].clone();
            let row = &mut ways[ours];
            for u in (0..row.len()).rev() {
                let theirs_on_top = if u >= ours { row[u - ours] } else { 0.0 };
                row[u] = below[u] + theirs_on_top;
            }
        }
    }
    let all: f64 = ways[n].iter().sum();
    let reached = ways[n].iter().enumerate().filter(|(u, _)| *u as f64 >= wins.floor());
    reached.map(|(_, ways)| ways).sum::<f64>() / all
}

/// Chance of at least so many heads in `n` tosses.
fn by_signs(heads: usize, n: usize) -> f64 {
    let mut ways = 1.0;
    let mut sum = 0.0;
    for k in 0..=n {
        if k >= heads {
            sum += ways;
        }
        ways *= (n - k) as f64 / (k + 1) as f64;
    }
    sum / 2.0_f64.powi(i32::try_from(n).unwrap_or(i32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rank_chances_are_those_of_the_tables() {
        // Critical value of U for 10 and 10 at 5 % one-sided is 27, that is 73 wins.
        assert!(by_ranks(73.0, 10, 10) < 0.05 && by_ranks(72.0, 10, 10) > 0.05);
        assert!((by_ranks(4.0, 2, 2) - 1.0 / 6.0).abs() < 1e-12);
        assert!((by_ranks(3.0, 2, 2) - 2.0 / 6.0).abs() < 1e-12);
        assert!((by_ranks(0.0, 3, 5) - 1.0).abs() < 1e-12);
        assert!((by_ranks(15.0, 3, 5) - 1.0 / 56.0).abs() < 1e-12);
        assert!((by_ranks(0.0, 0, 0) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn sign_chances_are_binomial() {
        assert!((by_signs(9, 10) - 11.0 / 1024.0).abs() < 1e-12);
        assert!((by_signs(10, 10) - 1.0 / 1024.0).abs() < 1e-12);
        assert!((by_signs(0, 0) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn a_comparison_knows_when_it_knows_nothing() {
        let comparison = |below: Option<&str>, at_most| Comparison {
            experiment: "a".into(),
            figure: "f".into(),
            at_least: None,
            at_most,
            below: below.map(str::to_owned),
            below_figure: None,
        };
        let values = |few: usize| {
            move |name: &str, _: &str| {
                (0..few).map(|i| i as f64 + if name == "a" { 0.0 } else { 100.0 }).collect()
            }
        };
        let judge = |c: Comparison, few| c.judge(&values(few)).0;
        for nothing in [comparison(Some("b"), None), comparison(None, Some(3.0))] {
            let (verdict, words) = nothing.judge(&values(0));
            assert!(verdict == Verdict::Open && words.ends_with(" (no seeds yet)"), "{words}");
        }
        assert_eq!(judge(comparison(Some("b"), None), 2), Verdict::Open);
        assert_eq!(judge(comparison(Some("b"), None), 5), Verdict::Supported);
        assert_eq!(judge(comparison(None, Some(3.0)), 4), Verdict::Open);
        assert_eq!(judge(comparison(None, Some(3.0)), 10), Verdict::NotSupported);
        assert_eq!(judge(comparison(None, Some(9.0)), 10), Verdict::Supported);
        assert!(comparison(None, Some(9.0)).judge(&values(10)).1.contains("in 10 of 10 seeds"));
    }
}
