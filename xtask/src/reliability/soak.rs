//! A process that does what people do for long: what it holds on the heap, its resident memory, its open files.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::{cargo, root, target};

/// Rounds after which everything has happened once, the team of threads too.
const WARM_ROUNDS: u64 = 20;
/// Part of the time in which resident memory may still grow to what it needs.
const WARM_TIME: f64 = 0.1;
/// Below this many seconds resident memory says more about pages than about leaks.
const LONG: f64 = 600.0;
/// Bytes of resident memory that it may grow by in an hour.
const MOST: f64 = 1e6;
/// Stretches of time whose means are fitted by a line.
const BLOCKS: usize = 24;

/// One line that the process wrote.
struct Sample {
    seconds: f64,
    round: u64,
    heap: u64,
    resident: f64,
    files: u64,
    threads: u64,
}

/// Lets it run for so many seconds, and before that a moment with a planted leak of one byte in a round.
///
/// # Errors
/// What grew, or that the planted leak was not noticed.
pub(super) fn run(seconds: u32) -> Result<String> {
    let build = ["build", "--quiet", "--locked", "--release", "--package", "lstm", "--example", "soak"];
    let status = cargo().args(build).current_dir(root()).status().context("cargo does not start")?;
    ensure!(status.success(), "soak does not build: {status}");
    let place = target().join("reliability/soak");
    fs::create_dir_all(&place)?;
    let leaky = place.join("leaky.txt");
    start(&place, &leaky, ["4", "1"])?;
    ensure!(judge(&leaky).is_err(), "a leak of one byte in a round was not noticed");
    let samples = place.join("samples.txt");
    start(&place, &samples, [&seconds.to_string(), "0"])?;
    judge(&samples)
}

fn start(place: &Path, samples: &Path, seconds_and_leak: [&str; 2]) -> Result<()> {
    // A copy stays what it is for hours, whatever is built meanwhile.
    let program = place.join("soak");
    fs::copy(target().join("release/examples/soak"), &program)?;
    let mut nice = Command::new("nice");
    nice.args(["-n", "19"]).arg(program).arg(place.join("run")).args(seconds_and_leak);
    let status = nice.stdin(Stdio::null()).stdout(File::create(samples)?).status()?;
    ensure!(status.success(), "soak ended with {status}");
    Ok(())
}

/// Holds the samples in a file against what is promised.
///
/// # Errors
/// What grew.
pub(super) fn judge(path: &Path) -> Result<String> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let samples: Vec<Sample> =
        text.lines().map(read).collect::<Option<_>>().context("a line is no sample")?;
    let last = samples.last().context("there are no samples")?;
    let warm: Vec<&Sample> = samples.iter().filter(|sample| sample.round > WARM_ROUNDS).collect();
    let first = *warm.first().context("it was too short to be warm")?;
    type Count = fn(&Sample) -> u64;
    let counts: [(&str, Count); 3] = [
        ("bytes are held on the heap", |sample| sample.heap),
        ("files are open", |sample| sample.files),
        ("threads live", |sample| sample.threads),
    ];
    for (what, count) in counts {
        let (then, now) = (count(first), warm.iter().find(|sample| count(sample) != count(first)));
        if let Some(now) = now {
            anyhow::bail!(
                "{then} {what} after round {}, {} after round {}",
                first.round,
                count(now),
                now.round
            );
        }
    }
    let begin = WARM_TIME * last.seconds;
    let settled = warm.iter().filter(|sample| sample.seconds >= begin);
    let points: Vec<(f64, f64)> = settled.map(|sample| (sample.seconds / 3600.0, sample.resident)).collect();
    let resident = match slope(&points) {
        Some((slope, half)) if last.seconds >= LONG => {
            let told = format!("resident memory {:+.1} ± {:.1} kB/h", slope / 1e3, half / 1e3);
            ensure!(slope + half < MOST, "{told}");
            told
        }
        _ => format!("{:.1} MB resident", last.resident / 1e6),
    };
    let (heap, files) = (first.heap, first.files);
    Ok(format!(
        "{} rounds in {:.0} s, the same bits each; {heap} bytes and {files} files held after each, {resident}",
        last.round, last.seconds
    ))
}

fn read(line: &str) -> Option<Sample> {
    let mut words = line.split_whitespace();
    let seconds = words.next()?.parse().ok()?;
    let mut number = || words.next()?.parse::<u64>().ok();
    let (round, heap, resident) = (number()?, number()?, number()? as f64);
    Some(Sample { seconds, round, heap, resident, files: number()?, threads: number()? })
}

/// Slope of the line through means of blocks, and half the width of its 95 % interval. What the blocks' residuals have in
/// common with their neighbours' makes fewer of them count.
fn slope(points: &[(f64, f64)]) -> Option<(f64, f64)> {
    if points.len() < 2 * BLOCKS {
        return None;
    }
    let mean = |values: &[(f64, f64)]| {
        let sum = values.iter().fold((0.0, 0.0), |sum, point| (sum.0 + point.0, sum.1 + point.1));
        (sum.0 / values.len() as f64, sum.1 / values.len() as f64)
    };
    let cut = |block: usize| block * points.len() / BLOCKS;
    let means: Vec<(f64, f64)> = (0..BLOCKS).map(|b| mean(&points[cut(b)..cut(b + 1)])).collect();
    let centre = mean(&means);
    let spread: f64 = means.iter().map(|(x, _)| (x - centre.0).powi(2)).sum();
    let slope = means.iter().map(|(x, y)| (x - centre.0) * (y - centre.1)).sum::<f64>() / spread;
    let residuals: Vec<f64> = means.iter().map(|(x, y)| y - centre.1 - slope * (x - centre.0)).collect();
    let squares: f64 = residuals.iter().map(|r| r * r).sum();
    if squares == 0.0 {
        return Some((slope, 0.0));
    }
    let n = BLOCKS as f64;
    let neighbours: f64 = residuals.windows(2).map(|two| two[0] * two[1]).sum();
    let found = neighbours / squares;
    // Residuals of a line seem less alike than the errors are (Marriott and Pope, 1954).
    let alike = (found + (2.0 + 4.0 * found) / n).clamp(0.0, 0.7);
    let counted = n * (1.0 - alike) / (1.0 + alike);
    let freedom = counted - 2.0;
    let variance = squares / freedom / spread * (n / counted);
    Some((slope, quantile(freedom) * variance.sqrt()))
}

/// The 97.5 % quantile of Student's t: Abramowitz and Stegun 26.7.5.
fn quantile(freedom: f64) -> f64 {
    let z: f64 = 1.959_964;
    let terms = [
        (z.powi(3) + z) / 4.0,
        (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / 96.0,
        (3.0 * z.powi(7) + 19.0 * z.powi(5) + 17.0 * z.powi(3) - 15.0 * z) / 384.0,
    ];
    terms.iter().rev().fold(0.0, |sum, term| (sum + term) / freedom) + z
}

#[cfg(test)]
mod tests {
    use super::super::Random;
    use super::*;

    /// Lines of a run of `rounds`, where `held` says what is held after each.
    fn judged(rounds: u64, held: impl Fn(u64) -> (u64, u64, u64)) -> Result<String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        let line = |round: u64| {
            let (heap, resident, files) = held(round);
            format!("{round}.5 {round} {heap} {resident} {files} 1\n")
        };
        fs::write(file.path(), (1..=rounds).map(line).collect::<String>()).unwrap();
        judge(file.path())
    }

    #[test]
    fn what_grows_is_noticed() {
        let steady = judged(3600, |round| (5000 + round.min(20), 7_000_000 + round % 2 * 4096, 5)).unwrap();
        assert!(steady.contains("5020 bytes") && steady.contains("kB/h"), "{steady}");
        for (rounds, what) in [(100, "heap"), (3600, "heap")] {
            let told = judged(rounds, |round| (5000 + round, 7_000_000, 5)).unwrap_err().to_string();
            assert!(told.contains(what), "{told}");
        }
        let told = judged(100, |round| (5000, 7_000_000, 5 + round / 90)).unwrap_err().to_string();
        assert!(told.contains("5 files are open after round 21, 6 after round 90"), "{told}");
        // 300 bytes in a second, in pages, are 1.08 MB in an hour.
        let told = judged(3600, |round| (5000, round * 300 / 4096 * 4096, 5)).unwrap_err().to_string();
        assert!(told.contains("kB/h"), "{told}");
        assert!(judged(3600, |round| (5000, round * 200 / 4096 * 4096, 5)).is_ok());
    }

    /// Of lines under noise that remembers, the interval holds the true slope as often as it says.
    #[test]
    fn the_interval_is_honest() {
        let (mut random, mut held) = (Random(5), 0);
        let mut uniform = || random.below(1.0).as_secs_f64() - 0.5;
        for _ in 0..400 {
            let mut memory = 0.0;
            let points: Vec<(f64, f64)> = (0..2400)
                .map(|at| {
                    memory = 0.98 * memory + uniform();
                    (f64::from(at), 3.0 * f64::from(at) + 1000.0 * memory)
                })
                .collect();
            let (slope, half) = slope(&points).unwrap();
            held += i32::from((slope - 3.0).abs() <= half);
        }
        assert!((370..400).contains(&held), "{held} of 400");
    }

    #[test]
    fn the_quantile_is_the_tables() {
        for (freedom, wanted) in [(3.0, 3.182), (5.0, 2.571), (10.0, 2.228), (22.0, 2.074)] {
            let found = quantile(freedom);
            assert!((found - wanted).abs() < 0.03 * wanted / freedom, "{freedom}: {found}");
        }
    }
}
