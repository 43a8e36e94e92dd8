//! `cargo xtask kernels`: compiles every CUDA kernel for every architecture and looks at the machine code.
//!
//! No GPU is needed: NVIDIA's compiler and disassembler come from PyPI. The compilation is the one that a
//! machine with a GPU does at run time, by the same code.

mod machine_code;
mod toolchain;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use lstm_cuda::driver::compile::Compiler;
use lstm_cuda::routing::{self, Kernel, Meeting};

use self::machine_code::Report;
use self::toolchain::Toolchain;
use crate::root;

/// How to go about it.
#[derive(clap::Args, Default)]
pub(crate) struct Args {
    /// Fail if the table in docs/performance.md is not that of the sources, instead of writing it
    #[arg(long)]
    pub(crate) check: bool,
    /// Download nothing: skip if the compiler is not there
    #[arg(long)]
    pub(crate) offline: bool,
}

/// Architectures that every kernel is compiled for: Ampere, Hopper, Blackwell in servers and at desks.
const ARCHITECTURES: [&str; 4] = ["sm_80", "sm_90a", "sm_100", "sm_120"];

/// Where the table stands.
const DOCUMENT: &str = "docs/performance.md";
const BEGIN: &str = "<!-- kernels: begin (written by cargo xtask kernels) -->";
const END: &str = "<!-- kernels: end -->";

/// Set to 1, this makes a missing compiler a failure.
const REQUIRE: &str = "LSTM_REQUIRE_KERNELS";

/// Of these, how many have no clusters; they come first.
const WITHOUT_CLUSTERS: usize = 1;

/// What the compiler made of each kernel, by its name and then in the order of [`ARCHITECTURES`]; none where it has no code.
type Table = BTreeMap<String, Vec<Option<Report>>>;

/// The kernels that routing launches, by their names.
type Hot = BTreeMap<&'static str, Kernel>;

/// Compiles, checks, and writes or checks the table.
///
/// # Errors
/// If a kernel does not compile or is not as it should be; if the table is stale; if the compiler cannot be
/// had although [`REQUIRE`] asks for it.
pub(crate) fn run(args: &Args) -> Result<()> {
    let toolchain = match Toolchain::install(&root().join("target/kernels-venv"), args.offline) {
        Ok(toolchain) => toolchain,
        Err(reason) if std::env::var_os(REQUIRE).is_some_and(|value| value == "1") => {
            bail!("{reason}, and {REQUIRE}=1 asks for it")
        }
        Err(reason) => {
            println!("SKIPPED: {reason}");
            return Ok(());
        }
    };
    let (table, hot) = (compile(&toolchain)?, routing::hot());
    let text = markdown(&table, &hot);
    println!("{text}");
    let problems = problems(&table, &hot);
    if !problems.is_empty() {
        bail!("{} things are not as they should be:\n  {}", problems.len(), problems.join("\n  "));
    }
    record(&root().join(DOCUMENT), &text, args.check)
}

/// Compiles all kernels for all architectures, and prints the seconds of each.
fn compile(toolchain: &Toolchain) -> Result<Table> {
    let compiler = Compiler::open(&[toolchain.libraries()])?;
    let source = lstm_cuda::kernels::source();
    let folder = root().join("target/kernels");
    std::fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    let (major, minor) = compiler.version();
    println!("NVRTC {major}.{minor}");

    let mut table = Table::new();
    for (index, architecture) in ARCHITECTURES.iter().enumerate() {
        let start = Instant::now();
        let cubin = compiler.compile(&source, architecture, &["--ptxas-options=-v"])?;
        let compiled = start.elapsed().as_secs_f64();
        let path = folder.join(format!("{architecture}.cubin"));
        std::fs::write(&path, &cubin.image)
            .with_context(|| format!("{} cannot be written", path.display()))?;
        let reports = machine_code::read(&cubin.log, &disassemble(toolchain, &path)?)?;
        println!(
            "{architecture:<8}{:>3} kernels, {:>4} KiB, compiled in {compiled:.1} s, read in {:.1} s",
            reports.len(),
            cubin.image.len() / 1024,
            start.elapsed().as_secs_f64() - compiled
        );
        for (kernel, report) in reports {
            let row = table.entry(kernel).or_insert_with(|| vec![None; ARCHITECTURES.len()]);
            row[index] = Some(report);
        }
    }
    anyhow::ensure!(!table.is_empty(), "there is no kernel");
    Ok(table)
}

fn disassemble(toolchain: &Toolchain, cubin: &Path) -> Result<String> {
    let output = Command::new(toolchain.disassembler())
        .arg("-c")
        .arg(cubin)
        .output()
        .context("nvdisasm does not start")?;
    if !output.status.success() {
        bail!("nvdisasm: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// One sentence for each thing that is not as it should be.
fn problems(table: &Table, hot: &Hot) -> Vec<String> {
    let missing = hot.keys().filter(|name| !table.contains_key(**name));
    let mut problems: Vec<String> =
        missing.map(|name| format!("{name}, which routing launches, is not compiled")).collect();
    for (kernel, row) in table {
        let hot = hot.get(kernel.as_str());
        for (index, (report, architecture)) in row.iter().zip(ARCHITECTURES).enumerate() {
            let faults = match report {
                Some(report) => faults(report, hot),
                None if hot.is_some_and(|kernel| kernel.meeting == Meeting::Cluster)
                    && index < WITHOUT_CLUSTERS =>
                {
                    vec![]
                }
                None => vec!["is missing".to_owned()],
            };
            problems.extend(faults.into_iter().map(|what| format!("{kernel} on {architecture} {what}")));
        }
    }
    problems
}

/// What no kernel may have, and what a kernel of the hot list must have or not.
fn faults(report: &Report, hot: Option<&Kernel>) -> Vec<String> {
    let mut faults = Vec::new();
    let mut say = |fault: bool, what: String| {
        if fault {
            faults.push(what);
        }
    };
    let Report { registers, spills, local_in_loops, tensor_products, .. } = *report;
    say(spills > 0, format!("spills {spills} bytes of registers"));
    say(local_in_loops > 0, format!("has {local_in_loops} accesses to local memory in a loop"));
    let (fences, needed) = match hot.map_or(Meeting::None, |kernel| kernel.meeting) {
        Meeting::None => (report.fences, 0),
        Meeting::Cluster => (report.fences_in_loops, 0),
        // In the loop over steps, which may have its functions behind the kernel's end.
        Meeting::Grid => (report.fences, 1),
    };
    say(fences != needed, format!("has {fences} memory fences, but needs {needed}"));
    let most = hot.map_or(routing::FEW_REGISTERS, |kernel| kernel.registers);
    say(registers > most, format!("uses {registers} registers, more than {most}"));
    if let Some(kernel) = hot {
        let (meant, there) = (kernel.tensor_cores, tensor_products > 0);
        say(meant && !there, "multiplies nothing on tensor cores, but should".to_owned());
        say(!meant && there, format!("has {tensor_products} products on tensor cores, so is not exact"));
    }
    faults
}

/// The table as it stands in the document.
fn markdown(table: &Table, hot: &Hot) -> String {
    let mut lines = vec![
        format!(
            "| kernel | hot | {} | shared bytes | spilled bytes | stack bytes |",
            ARCHITECTURES.join(" | ")
        ),
        format!("|---|---|{}---:|---:|---:|", "---:|".repeat(ARCHITECTURES.len())),
    ];
    for (kernel, row) in table {
        let registers =
            |report: &Option<Report>| report.map_or("-".into(), |report| report.registers.to_string());
        let registers: Vec<String> = row.iter().map(registers).collect();
        let most = |of: fn(&Report) -> u32| row.iter().flatten().map(of).max().unwrap_or(0);
        lines.push(format!(
            "| `{kernel}` | {} | {} | {} | {} | {} |",
            if hot.contains_key(kernel.as_str()) { "hot" } else { "" },
            registers.join(" | "),
            most(|report| report.shared),
            most(|report| report.spills),
            most(|report| report.stack)
        ));
    }
    lines.join("\n")
}

/// Puts `table` between the marks of the document at `path`, or checks that it stands there.
fn record(path: &Path, table: &str, check: bool) -> Result<()> {
    let text = std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let (before, rest) = text.split_once(BEGIN).with_context(|| format!("{DOCUMENT} has no line {BEGIN}"))?;
    let (_, after) = rest.split_once(END).with_context(|| format!("{DOCUMENT} has no line {END}"))?;
    let fresh = format!("{before}{BEGIN}\n\n{table}\n\n{END}{after}");
    if fresh == text {
        return Ok(());
    }
    if check {
        bail!("the table in {DOCUMENT} is not that of the sources; run cargo xtask kernels");
    }
    std::fs::write(path, fresh).with_context(|| format!("{} cannot be written", path.display()))?;
    println!("wrote the table into {DOCUMENT}");
    Ok(())
}

#[cfg(test)]
mod unit {
    use super::*;

    fn table(report: Report) -> Table {
        [("map_f32".to_owned(), vec![Some(report); ARCHITECTURES.len()])].into()
    }

    fn hot(tensor_cores: bool) -> Hot {
        [("map_f32", Kernel { name: "map_f32", tensor_cores, registers: 64, meeting: Meeting::None })].into()
    }

    #[test]
    fn what_no_kernel_may_have_is_found() {
        let fine = Report { registers: 32, stack: 8, ..Report::default() };
        for hot in [hot(false), Hot::new()] {
            assert!(problems(&table(fine), &hot).is_empty());
            for bad in [
                Report { spills: 4, ..fine },
                Report { local_in_loops: 1, ..fine },
                Report { fences: 1, ..fine },
                Report { registers: 255, ..fine },
            ] {
                assert_eq!(problems(&table(bad), &hot).len(), ARCHITECTURES.len());
            }
        }
    }

    #[test]
    fn tensor_cores_are_used_where_they_are_meant_and_nowhere_else() {
        let without = Report { registers: 32, ..Report::default() };
        let with = Report { tensor_products: 4, ..without };
        for (meant, report, fine) in
            [(false, without, true), (false, with, false), (true, without, false), (true, with, true)]
        {
            let problems = problems(&table(report), &hot(meant));
            assert_eq!(problems.is_empty(), fine, "{problems:?}");
        }
    }

    #[test]
    fn kernels_of_clusters_are_missing_where_there_are_none() {
        let report = Some(Report { registers: 32, fences: 2, ..Report::default() });
        let kernel = |meeting| Kernel { name: "map_f32", tensor_cores: false, registers: 64, meeting };
        let found = |meeting, row: [Option<Report>; 4]| {
            problems(&[("map_f32".to_owned(), row.to_vec())].into(), &[("map_f32", kernel(meeting))].into())
                .len()
        };
        use Meeting::{Cluster, Grid, None as Alone};
        assert_eq!(found(Cluster, [None, report, report, report]), 0);
        assert_eq!(found(Cluster, [None, report, None, report]), 1);
        assert_eq!(found(Alone, [None, report, report, report]), 4);
        let looped = |fences_in_loops| report.map(|report| Report { fences_in_loops, ..report });
        assert_eq!(found(Cluster, [None, looped(1), report, report]), 1);
        let fenced = |fences| report.map(|report| Report { fences, ..report });
        assert_eq!(found(Grid, [fenced(1); 4]), 0);
        assert_eq!(found(Grid, [None, fenced(1), fenced(1), fenced(1)]), 1);
        assert_eq!(found(Grid, [fenced(1), fenced(0), fenced(1), fenced(2)]), 2);
    }

    #[test]
    fn what_routing_launches_is_compiled() {
        let absent = Kernel { name: "none_f32", tensor_cores: false, registers: 64, meeting: Meeting::None };
        let absent = [("none_f32", absent)].into();
        let problems = problems(&table(Report::default()), &absent);
        assert_eq!(problems, ["none_f32, which routing launches, is not compiled"]);
    }

    #[test]
    fn the_table_is_written_once_and_then_checked() {
        let folder = std::env::temp_dir().join(format!("lstm-xtask-kernels-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("performance.md");
        std::fs::write(&path, format!("before\n{BEGIN}\nold\n{END}\nafter\n")).unwrap();
        let report = Report { registers: 32, ..Report::default() };
        let text = markdown(&table(report), &hot(false));
        assert!(record(&path, &text, true).is_err());
        record(&path, &text, false).unwrap();
        record(&path, &text, true).unwrap();
        let written = std::fs::read_to_string(&path).unwrap();
        assert!(written.starts_with("before\n") && written.ends_with("after\n"), "{written}");
        assert!(written.contains("| `map_f32` | hot | 32 | 32 | 32 | 32 | 0 | 0 | 0 |"), "{written}");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
