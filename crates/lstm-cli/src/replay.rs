//! `lstm repro RUN`: a run made again from its settings, and held against what its folder holds, bit for bit.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::device::{self, Work};
use crate::failure::{Failure, Kind, Result};
use crate::origin::{Asked, Maker, Origin};
use crate::progress::say;
use crate::resume::Keeping;
use crate::settings::{Dtype, Machine, Output, Say, Settings};
use crate::{forecast, output, run, train};

/// Whether the names of `lstm repro` are one run folder.
pub(crate) fn folder(names: &[String]) -> Option<&Path> {
    match names {
        [name] => Some(Path::new(name)).filter(|path| path.is_dir()),
        _ => None,
    }
}

/// Makes a run again in a folder that is removed afterwards, and compares what came of it.
///
/// # Errors
/// A model failure where the folder is no run that has ended, a data failure where a file has changed, those of a training;
/// one of its own kind where a bit differs.
pub(crate) fn run(folder: &Path, machine: &Machine, tell: Say) -> Result<()> {
    let was = Run::read(folder)?;
    let path = folder.join(run::SETTINGS);
    let text = std::fs::read_to_string(&path).map_err(|error| Failure::file(&path, &error))?;
    let mut settings = Settings::of_text(&path, &text)?;
    settings.machine.threads = machine.threads.or(settings.machine.threads);
    let files = was.files(folder, &mut settings)?;
    let here = Maker::here(&device::open(&settings.machine, Work::Training, Dtype::default())?);
    if here != was.origin.maker && !tell.quiet {
        say(&format!(
            "warning: the run was made by {}, this is {}: its bits may differ",
            was.origin.maker.described(),
            here.described()
        ));
    }
    let place = tempfile::Builder::new().prefix("lstm-repro-").tempdir();
    let place = place.map_err(|error| Failure::file(&std::env::temp_dir(), &error))?;
    let again = place.path().join("run");
    let quiet = Say { json: false, quiet: true };
    settings.output = Output { out: Some(again.clone()), force: true, say: quiet };
    let command = was.origin.command.as_str();
    let asked = Asked { command, samples: was.origin.samples };
    let made = train::learn(asked, &files, &settings, (None, Keeping::new(None)));
    match made {
        Ok(trained) if command == "forecast" => forecast::deliver(&trained, &settings)?,
        Ok(_) => {}
        // It diverged the first time too, or what it says differs.
        Err(failure) if failure.is(Kind::Diverged) && again.join(run::METRICS).exists() => {}
        Err(failure) => return Err(failure),
    }
    let (compared, differences) = compare(folder, &again, command)?;
    let shown = folder.display();
    if !differences.is_empty() {
        let why = match here == was.origin.maker {
            true => String::new(),
            false => format!(" (made by {}, this is {})", was.origin.maker.described(), here.described()),
        };
        let message = format!("{shown}: made again, it has other bits{why}: {}", differences.join("; "));
        return Err(Failure::new(Kind::Differs, message));
    }
    if tell.json {
        return output::print_json(
            &json!({ "run": folder, "compared": compared, "made-by": was.origin.maker, "here": here }),
        );
    }
    if tell.quiet {
        return Ok(());
    }
    output::print(format!("{shown}: made again, it has the same bits: {}\n", compared.join(", ")).as_bytes())
}

/// What a run folder says of itself.
struct Run {
    origin: Origin,
}

impl Run {
    fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(run::METRICS);
        let shown = folder.display();
        if !path.exists() {
            return Err(Failure::model(format!(
                "{shown}: there is no {}, so it is no run of `lstm train` or `lstm forecast` that has ended; name a run \
                 folder, or an experiment of `lstm repro list`",
                run::METRICS
            )));
        }
        let metrics = json(&path)?;
        if metrics["cut-short"] == "interrupted" {
            return Err(Failure::model(format!(
                "{shown}: the run was interrupted, and when is not known; go on with it first, by --resume"
            )));
        }
        let origin = serde_json::from_value(metrics["made"].clone()).map_err(|_| {
            Failure::model(format!(
                "{shown}: {} does not say what the run was made with, as those of older versions of lstm; make it again \
                 with the command at the head of {}",
                run::METRICS,
                run::SETTINGS
            ))
        })?;
        Ok(Self { origin })
    }

    /// The files with series, none of which has changed; that of covariates to come is put into the settings.
    fn files(&self, folder: &Path, settings: &mut Settings) -> Result<Vec<PathBuf>> {
        let Some(sources) = &self.origin.sources else {
            return Err(Failure::data(format!(
                "{}: the run read standard input or a pipe, which cannot be read again; make it again by hand with \
                 --config {}",
                folder.display(),
                folder.join(run::SETTINGS).display()
            )));
        };
        sources.iter().try_for_each(|source| {
            if !source.path.exists() {
                let path = source.path.display();
                return Err(Failure::data(format!(
                    "{path}: the file that the run read is gone; bring it back"
                )));
            }
            source.check()
        })?;
        let mut paths = sources.iter().map(|source| source.path.clone());
        let files = paths.by_ref().take(self.origin.files).collect();
        settings.reading.future = paths.next();
        Ok(files)
    }
}

/// Names of the files that were compared, and how they differ.
fn compare(was: &Path, is: &Path, command: &str) -> Result<(Vec<&'static str>, Vec<String>)> {
    let mut names = vec![run::MODEL, run::HISTORY, run::COURSE, run::METRICS];
    names.extend(
        [run::FORECAST, run::SAMPLES].iter().filter(|name| command == "forecast" && is.join(name).exists()),
    );
    let mut differences = Vec::new();
    for &name in &names {
        let (was, is) = (was.join(name), is.join(name));
        if !was.exists() {
            differences.push(format!("{name} is not there"));
            continue;
        }
        let difference = match name {
            run::MODEL => of_model(&bytes(&was)?, &bytes(&is)?),
            run::COURSE => of_lines(&timeless(&bytes(&was)?), &timeless(&bytes(&is)?)),
            run::METRICS => {
                let (was, is) = (json(&was)?, json(&is)?);
                ["evaluation", "setbacks", "cut-short"]
                    .into_iter()
                    .find(|key| was[key] != is[key])
                    .map(|key| format!("its {key} differs"))
            }
            _ => of_lines(&text(&bytes(&was)?), &text(&bytes(&is)?)),
        };
        differences.extend(difference.map(|difference| format!("{name}: {difference}")));
    }
    Ok((names, differences))
}

fn bytes(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| Failure::file(path, &error))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn json(path: &Path) -> Result<Value> {
    let wrong = |error| Failure::model(format!("{}: not JSON: {error}", path.display()));
    serde_json::from_slice(&bytes(path)?).map_err(wrong)
}

/// Lines of JSON without the time that it took.
fn timeless(bytes: &[u8]) -> String {
    let without = |line: &str| match serde_json::from_str::<Value>(line) {
        Ok(Value::Object(mut object)) => {
            object.remove("seconds");
            Value::Object(object).to_string()
        }
        _ => line.to_owned(),
    };
    text(bytes).lines().map(|line| without(line) + "\n").collect()
}

/// The first line that differs.
fn of_lines(was: &str, is: &str) -> Option<String> {
    if was == is {
        return None;
    }
    let (mut old, mut new) = (was.lines(), is.lines());
    for number in 1.. {
        match (old.next(), new.next()) {
            (Some(old), Some(new)) if old == new => {}
            (Some(old), Some(new)) => return Some(format!("line {number} is now '{new}', and was '{old}'")),
            (None, None) => break,
            (None, _) | (_, None) => {
                return Some(format!(
                    "it has {} lines now, and had {}",
                    is.lines().count(),
                    was.lines().count()
                ));
            }
        }
    }
    Some("its line ends differ".to_owned())
}

/// The first tensor that differs, and where.
fn of_model(was: &[u8], is: &[u8]) -> Option<String> {
    if was == is {
        return None;
    }
    let (Some(old), Some(new)) = (Parts::of(was), Parts::of(is)) else {
        return Some("it is damaged".to_owned());
    };
    for (name, values) in &old.tensors {
        let Some((_, other)) = new.tensors.iter().find(|(other, _)| other == name) else {
            return Some(format!("the tensor {name} is no longer there"));
        };
        if let Some(byte) = values.iter().zip(other.iter()).position(|(a, b)| a != b) {
            return Some(format!("the tensor {name} differs from byte {byte} of its {} on", values.len()));
        }
        if values.len() != other.len() {
            return Some(format!("the tensor {name} has another size"));
        }
    }
    Some("what it says besides its tensors differs".to_owned())
}

/// A file of safetensors by its parts.
struct Parts<'a> {
    /// By name, in the order of the file.
    tensors: Vec<(String, &'a [u8])>,
}

impl<'a> Parts<'a> {
    fn of(bytes: &'a [u8]) -> Option<Self> {
        let (length, rest) = bytes.split_first_chunk::<8>()?;
        let (header, data) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
        let header: serde_json::Map<String, Value> = serde_json::from_slice(header).ok()?;
        let mut tensors = Vec::new();
        for (name, about) in header.iter().filter(|(name, _)| *name != "__metadata__") {
            let ends: [usize; 2] = serde_json::from_value(about["data_offsets"].clone()).ok()?;
            tensors.push((ends[0], (name.clone(), data.get(ends[0]..ends[1])?)));
        }
        tensors.sort_by_key(|(first, _)| *first);
        Some(Self { tensors: tensors.into_iter().map(|(_, tensor)| tensor).collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_compared_one_by_one() {
        assert_eq!(of_lines("a\nb\n", "a\nb\n"), None);
        assert_eq!(of_lines("a\nb\n", "a\nc\n").unwrap(), "line 2 is now 'c', and was 'b'");
        assert_eq!(of_lines("a\nb\n", "a\n").unwrap(), "it has 1 lines now, and had 2");
        assert_eq!(of_lines("a\r\n", "a\n").unwrap(), "its line ends differ");
        assert_eq!(timeless(b"{\"seconds\":1.5,\"step\":3}\n"), "{\"step\":3}\n");
    }

    #[test]
    fn a_tensor_is_named_by_where_it_differs() {
        let file = |head: u8, values: &[u8]| {
            let header = format!(
                r#"{{"__metadata__":{{"x":"{head}"}},"a":{{"data_offsets":[0,2]}},"b":{{"data_offsets":[2,6]}}}}"#
            );
            [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), values].concat()
        };
        let was = file(0, &[1, 2, 3, 4, 5, 6]);
        assert_eq!(of_model(&was, &was), None);
        let other = of_model(&was, &file(1, &[1, 2, 3, 4, 0, 6])).unwrap();
        assert_eq!(other, "the tensor b differs from byte 2 of its 4 on");
        assert_eq!(
            of_model(&was, &file(1, &[1, 2, 3, 4, 5, 6])).unwrap(),
            "what it says besides its tensors differs"
        );
        assert_eq!(of_model(&was, &was[..20]).unwrap(), "it is damaged");
    }
}
