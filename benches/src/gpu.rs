//! What a machine with a GPU should check: the tasks of its queue, in order of importance, and the page that
//! is made of their results.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::queue::{Outcome, Status, Task};
use crate::shape::Shape;

/// Where everything lies: the folder that `cargo xtask gpu --pack` writes.
#[derive(Clone, Debug)]
pub struct Folder {
    /// The folder.
    pub root: PathBuf,
    /// The Python that may have PyTorch.
    pub python: PathBuf,
    /// Where that Python is installed, so that CUDA's libraries among its packages are found.
    pub prefix: Option<String>,
    /// Whether it has PyTorch with a GPU.
    pub torch: bool,
}

/// Laws by element type, in the groups that `lstm_testkit` has.
const LAWS: [(&str, &[&str]); 2] = [
    ("laws_f32", &["primitives", "stack", "dropout", "training", "errors"]),
    ("laws_f64", &["primitives", "stack", "dropout", "training", "errors", "differences"]),
];

/// The checks of a compute sanitizer.
const SANITIZERS: [&str; 4] = ["memcheck", "racecheck", "synccheck", "initcheck"];

/// How both are measured, by name: options of `bench lstm`. The second is for layers that the chip holds.
const MANNERS: [(&str, &[&str]); 5] = [
    ("eager-f32", &[]),
    ("persistent-f32", &["--path", "persistent"]),
    ("eager-tf32", &["--tf32"]),
    ("graph-f32", &["--graph"]),
    ("graph-tf32", &["--tf32", "--graph"]),
];

/// Units of a layer that takes one launch for a sequence, whatever the batch.
const HELD: usize = 512;

/// Rows of a batch for which larger layers do too.
const ROWS: usize = 32;

/// What a test program says that found no test of the name asked for.
const NO_TEST: Option<&str> = Some("running 0 tests");

/// Seconds that a group of laws, or a set of repeats, may take.
const LONG: u64 = 900;

/// Seconds that a cell may take, start and proof included.
const SHORT: u64 = 120;

impl Folder {
    /// Whatever there is to do, the most important first: versions, laws, recorded cases, repeats, sanitizers,
    /// latencies, the core of the grid, the rest of it.
    #[must_use]
    pub fn tasks(&self) -> Vec<Task> {
        let mut tasks =
            vec![self.task("versions", "run", &["--python", &self.python(), "task", "versions"], SHORT)];
        for (module, groups) in LAWS {
            tasks.extend(
                groups
                    .iter()
                    .map(|group| self.test(&format!("{module}-{group}"), &format!("{module}::{group}::"))),
            );
        }
        tasks.extend(["recorded_cases", "a_long_wide_case", "repeats_200_times"].map(|t| self.test(t, t)));
        tasks.extend(SANITIZERS.map(|tool| self.sanitizer(tool)));
        let script = self.at("gpu/latency.py");
        tasks.push(Task { program: self.python.clone(), ..self.task("latency", "", &[&script], SHORT) });
        for (shapes, manners) in [(core(), &MANNERS[..]), (rest(), &MANNERS[..2])] {
            for shape in &shapes {
                let held = shape.batch <= ROWS || shape.hidden.iter().all(|units| *units <= HELD);
                let manners: Vec<_> =
                    manners.iter().filter(|(name, _)| held || *name != MANNERS[1].0).collect();
                tasks.extend(self.cells(&shape.name, &manners));
            }
        }
        tasks
    }

    fn python(&self) -> String {
        self.python.to_string_lossy().into_owned()
    }

    fn at(&self, path: &str) -> String {
        self.root.join(path).to_string_lossy().into_owned()
    }

    fn task(&self, name: &str, program: &str, args: &[&str], limit: u64) -> Task {
        let mut variables = vec![
            ("LSTM_REQUIRE_GPU", "1".to_owned()),
            ("LSTM_GOLDEN_CASES", self.at("cases")),
            ("LSTM_KERNELS", self.at("lstm-kernels")),
        ];
        variables.extend(self.prefix.clone().map(|prefix| ("VIRTUAL_ENV", prefix)));
        let args = args.iter().map(|&arg| arg.to_owned()).collect();
        Task {
            name: name.to_owned(),
            program: self.root.join(program),
            args,
            variables,
            limit,
            forbidden: None,
        }
    }

    /// Tests of `device.rs` whose names hold `filter`.
    fn test(&self, name: &str, filter: &str) -> Task {
        let task = self.task(name, "bin/device", &[filter, "--test-threads=1"], LONG);
        Task { forbidden: NO_TEST, ..task }
    }

    fn sanitizer(&self, tool: &str) -> Task {
        let program = self.at("bin/device");
        let args =
            ["--tool", tool, "--error-exitcode", "9", &program, "odd_shapes_train", "--test-threads=1"];
        let task = self.task(&format!("sanitizer-{tool}"), "", &args, LONG);
        Task { program: "compute-sanitizer".into(), forbidden: NO_TEST, ..task }
    }

    /// A shape beside PyTorch in each manner, or alone where there is no PyTorch.
    fn cells(&self, name: &str, manners: &[&(&str, &[&str])]) -> Vec<Task> {
        let (shapes, python) = (self.at("cells.json"), self.python());
        let alone = ["lstm", "--shapes", &shapes, "--only", name, "--device", "cuda", "--length", "cell"];
        let alone = [&alone[..], &["--json", "-"]].concat();
        if !self.torch {
            return vec![self.task(&format!("cell-{name}-alone"), "bin/bench", &alone, SHORT)];
        }
        let beside = [&alone[..], &["--peer", "torch", "--python", &python]].concat();
        let cell = |(manner, options): &&(&str, &[&str])| {
            let args = [&beside[..], options].concat();
            self.task(&format!("cell-{name}-{manner}"), "bin/bench", &args, SHORT)
        };
        manners.iter().map(cell).collect()
    }
}

fn grid(hidden: &[usize], steps: usize) -> Vec<Shape> {
    let mut shapes = Vec::new();
    for &units in hidden {
        for batch in [1, 32, 512] {
            for layers in [1, 2] {
                let name = format!("h{units}-b{batch}-l{layers}-t{steps}");
                shapes.push(Shape::new(name, [batch, steps, 32], vec![units; layers]));
            }
        }
    }
    shapes
}

/// The 24 shapes that come first.
#[must_use]
pub fn core() -> Vec<Shape> {
    grid(&[32, 128, 512, 1024], 100)
}

/// The shapes that come after them.
#[must_use]
pub fn rest() -> Vec<Shape> {
    let other_sizes = grid(&[10, 64, 256], 100);
    let other_lengths = [9, 1000].map(|steps| grid(&[32, 128, 512, 1024], steps)).concat();
    [other_sizes, other_lengths].concat()
}

/// The page about results: checks first, then latencies, then times beside PyTorch's.
#[must_use]
pub fn page(outcomes: &[Outcome], left: usize) -> String {
    let mut page = "# Results on this machine\n".to_owned();
    if left > 0 {
        page += &format!("\n{left} tasks are left: run again.\n");
    }
    if let Some(versions) = outcomes.iter().find(|outcome| outcome.name == "versions") {
        for (name, value) in versions.data.as_object().into_iter().flatten() {
            page += &format!("\n- {name}: {}", value.as_str().map_or(value.to_string(), str::to_owned));
        }
        page += "\n";
    }
    page += "\n## Checks\n\n| check | result | seconds |\n|---|---|---:|\n";
    for Outcome { name, status, seconds, output, .. } in outcomes.iter().filter(|o| !is_figure(o)) {
        let result = match status {
            Status::Passed => "passed".to_owned(),
            Status::Missing => "the program is missing".to_owned(),
            Status::TimedOut => "took too long".to_owned(),
            Status::Failed => format!("FAILED: {}", first_complaint(output)),
        };
        // Writing to a string cannot fail; so for all below.
        let _ = writeln!(page, "| {name} | {result} | {seconds:.1} |");
    }
    if let Some(latency) = outcomes.iter().find(|o| o.name == "latency" && o.status == Status::Passed) {
        page += "\n## Latencies\n\n| what | µs |\n|---|---:|\n";
        for (name, value) in latency.data.as_object().into_iter().flatten() {
            let _ = writeln!(page, "| {name} | {:.3} |", value.as_f64().unwrap_or(f64::NAN));
        }
    }
    page += "\n## Times in milliseconds\n\nMedians by the clock of the host over runs of at least 2 ms, each waited for at its end. \
             Ours is f32 with IEEE products, as it has no TF32; it replays training as graphs and launches \
             inference kernel by kernel. A ratio is PyTorch's time over ours.\n\n\
             | shape | PyTorch | infer | torch | ratio | train | torch | ratio |\n|---|---|---:|---:|---:|---:|---:|---:|\n";
    for outcome in outcomes.iter().filter(|outcome| is_cell(outcome)) {
        let _ = writeln!(page, "{}", cell_line(outcome));
    }
    page
}

fn is_cell(outcome: &Outcome) -> bool {
    outcome.name.starts_with("cell-")
}

fn is_figure(outcome: &Outcome) -> bool {
    is_cell(outcome) || outcome.name == "latency" && outcome.status == Status::Passed
}

fn cell_line(outcome: &Outcome) -> String {
    let Outcome { name, data, output, .. } = outcome;
    let name = name.trim_start_matches("cell-");
    let (shape, manner) = match MANNERS.iter().find(|(manner, _)| name.ends_with(manner)) {
        Some((manner, _)) => (name.trim_end_matches(manner).trim_end_matches('-'), *manner),
        None => (name.trim_end_matches("-alone"), "-"),
    };
    let row = &data[0];
    if row.is_null() {
        return format!("| {shape} | {manner} | {} | | | | | |", first_complaint(output));
    }
    let number = |key: &str, digits| match &row[key] {
        Value::Number(number) => format!("{:.digits$}", number.as_f64().unwrap_or(f64::NAN)),
        _ => "-".to_owned(),
    };
    let times = [
        number("infer_ms", 4),
        number("peer_infer_ms", 4),
        number("ratio_infer", 2),
        number("train_ms", 4),
        number("peer_train_ms", 4),
        number("ratio_train", 2),
    ];
    format!("| {shape} | {manner} | {} |", times.join(" | "))
}

/// The line of what was printed that says best what is wrong, for a cell of a table.
fn first_complaint(output: &str) -> String {
    let lines = || output.lines().map(str::trim).filter(|line| !line.is_empty());
    let telling = lines().find(|line| ["error", "panicked", "ERROR"].iter().any(|word| line.contains(word)));
    let line = telling.or_else(|| lines().next_back()).unwrap_or("no word");
    line.chars().take(160).collect::<String>().replace('|', "/")
}

/// Makes the list of all shapes, as `bench lstm --shapes` reads it.
///
/// # Errors
/// If it cannot be written.
pub fn write_cells(folder: &Path) -> anyhow::Result<()> {
    let shapes = [core(), rest()].concat();
    crate::queue::write(&folder.join("cells.json"), serde_json::to_string(&shapes)? + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::Identity;

    fn folder(torch: bool) -> Folder {
        Folder { root: "folder".into(), python: "python3".into(), prefix: Some("venv".into()), torch }
    }

    #[test]
    fn names_are_unique_and_correctness_comes_first() {
        let tasks = folder(true).tasks();
        let mut names: Vec<_> = tasks.iter().map(|task| task.name.clone()).collect();
        let first_cell = names.iter().position(|name| name.starts_with("cell-")).unwrap();
        assert!(names[..first_cell].iter().any(|name| name == "repeats_200_times"));
        assert_eq!(names[first_cell..].len(), 24 * 4 + 66 + 22 + 62);
        assert_eq!(folder(false).tasks().len() - first_cell, 24 + 66);
        names.sort();
        names.dedup();
        assert_eq!(names.len(), tasks.len());
    }

    #[test]
    fn cells_are_read_as_shapes() {
        let folder = tempfile::tempdir().unwrap();
        write_cells(folder.path()).unwrap();
        assert_eq!(Shape::read(&folder.path().join("cells.json")).unwrap().len(), 24 + 66);
    }

    #[test]
    fn the_page_has_what_passed_and_what_failed() {
        let outcome = |name: &str, status, data, output: &str| Outcome {
            name: name.to_owned(),
            identity: Identity::default(),
            status,
            seconds: 1.0,
            data,
            output: output.to_owned(),
        };
        let row =
            serde_json::json!([{"infer_ms": 1.5, "train_ms": 4.0, "peer_infer_ms": 3.0, "ratio_infer": 2.0}]);
        let outcomes = [
            outcome("versions", Status::Passed, serde_json::json!({"gpu": "one"}), ""),
            outcome("laws_f32-stack", Status::Failed, Value::Null, "running\nthread panicked at a|b\n"),
            outcome("sanitizer-memcheck", Status::Missing, Value::Null, "does not start"),
            outcome("latency", Status::Passed, serde_json::json!({"kernel": 2.5}), ""),
            outcome("cell-h32-b1-l1-t100-graph-tf32", Status::Passed, row, ""),
            outcome("cell-h32-b1-l2-t100-alone", Status::Failed, Value::Null, "error: no memory"),
        ];
        let page = page(&outcomes, 3);
        for line in [
            "3 tasks are left",
            "- gpu: one",
            "| laws_f32-stack | FAILED: thread panicked at a/b | 1.0 |",
            "| sanitizer-memcheck | the program is missing | 1.0 |",
            "| kernel | 2.500 |",
            "| h32-b1-l1-t100 | graph-tf32 | 1.5000 | 3.0000 | 2.00 | 4.0000 | - | - |",
            "| h32-b1-l2-t100 | - | error: no memory |",
        ] {
            assert!(page.contains(line), "{line}\n{page}");
        }
    }
}
