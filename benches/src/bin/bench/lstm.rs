//! `bench lstm`: a line for each shape on each device, with another library beside it or without.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use lstm_benches::case::Case;
use lstm_benches::measure::{Row, Setting, measure};
use lstm_benches::memory::{Beside, high_water};
use lstm_benches::peak::{Peak, read_ms};
use lstm_benches::peer::{Manner, Peer, Rival};
use lstm_benches::shape::{Dtype, Shape};
use lstm_benches::timing::geometric_mean;
use lstm_cpu::Cpu;
use lstm_cuda::driver::Driver;
use lstm_cuda::{Cuda, probe};
use lstm_tensor::{Backend, KernelChoice};

use crate::{Time, threads};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// JSON list of shapes [default: benches/shapes.json]
    #[arg(long, value_name = "FILE")]
    shapes: Option<PathBuf>,
    /// Measure these shapes alone
    #[arg(long, value_name = "NAME", num_args = 1..)]
    only: Vec<String>,
    /// `cpu`, `cuda`, `cuda:N`, or several of them with commas
    #[arg(long, value_delimiter = ',', default_value = "cpu")]
    device: Vec<Device>,
    /// Threads of the CPU, 0 for all there are
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
    /// Take weights and data from this safetensors file
    #[arg(long, value_name = "FILE")]
    params: Option<PathBuf>,
    /// Measure this library in turn with us
    #[arg(long)]
    peer: Option<Library>,
    /// The Python that has PyTorch
    #[arg(long, value_name = "PATH", default_value = "python3", requires = "peer")]
    python: PathBuf,
    /// Path through a GPU: what routing takes, one launch a sequence where layers fit, or the composed operations
    #[arg(long, value_enum, default_value_t = Route::Auto)]
    path: Route,
    /// Let PyTorch compute products of f32 in TF32 on a GPU
    #[arg(long, requires = "peer")]
    tf32: bool,
    /// Let PyTorch replay CUDA graphs on a GPU
    #[arg(long, requires = "peer")]
    graph: bool,
    /// Write the figures into this file; `-` prints them as the last line
    #[arg(long, value_name = "OUT")]
    json: Option<PathBuf>,
    /// Compare peaks of resident memory, too: one step of training of this shape on the CPU, by each in a
    /// process of its own; with PyTorch alone
    #[arg(long, value_name = "SHAPE", requires = "peer")]
    memory: Option<String>,
    #[command(flatten)]
    time: Time,
}

#[derive(Clone, Copy, ValueEnum)]
enum Library {
    /// PyTorch, of a Python that has it
    Torch,
    /// burn on its backend Flex, built here
    Burn,
    /// candle, built here
    Candle,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Route {
    Auto,
    Fused,
    Persistent,
    Reference,
}

impl Route {
    fn kernel(self) -> KernelChoice {
        match self {
            Self::Auto => KernelChoice::Auto,
            Self::Fused => KernelChoice::Fused,
            Self::Persistent => KernelChoice::Persistent,
            Self::Reference => KernelChoice::Reference,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Device {
    Cpu,
    Cuda(usize),
}

impl std::str::FromStr for Device {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "cpu" => Ok(Self::Cpu),
            _ => probe::ordinal(text).map(Self::Cuda).ok_or_else(|| "must be cpu, cuda or cuda:N".to_owned()),
        }
    }
}

impl std::fmt::Display for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(ordinal) => write!(f, "cuda:{ordinal}"),
        }
    }
}

impl Args {
    /// What is missing to use the devices that were asked for.
    pub(crate) fn missing(&self) -> Option<String> {
        if self.device.iter().all(|device| *device == Device::Cpu) {
            return None;
        }
        let missing = probe::probe().missing();
        (!missing.is_empty()).then(|| missing.join("; "))
    }
}

/// Measures, prints, writes.
///
/// # Errors
/// Those of the backends and of the library; if a file cannot be read or written.
pub(crate) fn run(args: &Args) -> Result<()> {
    let shapes = chosen(args)?;
    let weighed = weighed(args, &shapes)?;
    let threads = threads(args.threads);
    let peak = Peak::measure(threads);
    println!("{threads} threads, multiply-adds alone: {:.0} GF/s in f32, {:.0} in f64", peak.f32, peak.f64);

    let manner = Manner { tf32: args.tf32, graph: args.graph };
    if manner != Manner::default() && args.device.contains(&Device::Cpu) {
        bail!("--tf32 and --graph are for GPUs: name one by --device cuda");
    }
    if args.path != Route::Auto && args.device.contains(&Device::Cpu) {
        bail!("--path is for GPUs: name one by --device cuda");
    }
    if matches!(args.peer, Some(Library::Burn | Library::Candle)) {
        let on_cpu = args.device == [Device::Cpu] && manner == Manner::default() && args.memory.is_none();
        ensure!(on_cpu, "burn and candle are measured on the CPU alone, without --memory");
    }
    let mut rows = Vec::new();
    for &device in &args.device {
        let mut peer = match args.peer {
            None => None,
            Some(Library::Torch) => Some(Peer::torch(&args.python, threads, &device.to_string(), manner)?),
            Some(Library::Burn) => Some(Peer::rival(Rival::Burn, threads)?),
            Some(Library::Candle) => Some(Peer::rival(Rival::Candle, threads)?),
        };
        let name = device.to_string();
        let (peak, budget) = ((device == Device::Cpu).then_some(peak), args.time.budget());
        let setting = Setting { device: &name, threads, peak, budget };
        println!(
            "\n{device}{}",
            peer.as_ref().map_or(String::new(), |peer| format!(", {} {}", peer.name, peer.version))
        );
        println!("{}", header(peer.as_ref().map(|peer| peer.name)));
        rows.extend(match device {
            Device::Cpu => measure_all(&Cpu::new(threads)?, &shapes, args, &setting, peer.as_mut())?,
            Device::Cuda(ordinal) => {
                let cuda = Cuda::new(Driver::new(ordinal)?)?.preferring(args.path.kernel());
                println!("{}", cuda.runtime().device_name());
                measure_all(&cuda, &shapes, args, &setting, peer.as_mut())?
            }
        });
        if let Some(peer) = &peer {
            println!("{}", means(&rows, &name, peer.name));
        }
        if device == Device::Cpu {
            shapes.iter().filter(|shape| shape.stream).for_each(|shape| read_beside(shape, threads, &rows));
        }
    }
    if let [first, second] = args.device[..] {
        println!("\n{}", side_by_side(&rows, &shapes, &first.to_string(), &second.to_string()));
    }
    if let Some(shape) = weighed {
        weigh(shape, threads, &args.python, &mut rows)?;
    }
    if args.json.as_ref().is_some_and(|path| path.as_os_str() == "-") {
        println!("{}", serde_json::to_string(&rows)?);
    } else if let Some(path) = &args.json {
        let text = serde_json::to_string_pretty(&rows)? + "\n";
        std::fs::write(path, text).with_context(|| format!("{} cannot be written", path.display()))?;
    }
    Ok(())
}

/// The shapes of the file, of which `--only` may choose.
fn chosen(args: &Args) -> Result<Vec<Shape>> {
    let mut shapes = match &args.shapes {
        Some(path) => Shape::read(path)?,
        None => Shape::defaults()?,
    };
    if let Some(name) = args.only.iter().find(|name| shapes.iter().all(|shape| shape.name != **name)) {
        let names: Vec<_> = shapes.iter().map(|shape| shape.name.as_str()).collect();
        bail!("there is no shape {name}, only {}", names.join(", "));
    }
    shapes.retain(|shape| args.only.is_empty() || args.only.contains(&shape.name));
    ensure!(!shapes.is_empty(), "there is no shape to measure");
    Ok(shapes)
}

/// The shape of which memory is compared.
fn weighed<'a>(args: &Args, shapes: &'a [Shape]) -> Result<Option<&'a Shape>> {
    let Some(name) = &args.memory else { return Ok(None) };
    ensure!(args.device.contains(&Device::Cpu), "--memory is for the CPU: name it by --device cpu");
    let shape = shapes.iter().find(|shape| shape.name == *name);
    let shape = shape.with_context(|| format!("--memory: {name} is none of the shapes to measure"))?;
    ensure!(!shape.infer_only, "--memory: {name} does not train");
    Ok(Some(shape))
}

/// Compares peaks of memory, prints them and adds them to the row of the shape.
fn weigh(shape: &Shape, threads: usize, python: &Path, rows: &mut [Row]) -> Result<()> {
    print!("\npeak of memory in a step of training, {}: ", shape.name);
    if let Err(reason) = high_water() {
        println!("{reason}");
        return Ok(());
    }
    let program = std::env::current_exe().context("this program does not find itself")?;
    let beside = Beside::measure(shape, threads, &program, python)?;
    println!("{}", beside.text());
    let cpu = Device::Cpu.to_string();
    let row = rows.iter_mut().find(|row| row.name == shape.name && row.device == cpu);
    row.into_iter().for_each(|row| row.memory = Some(beside));
    Ok(())
}

/// Prints how much longer a step of a stream takes than reading its weights.
fn read_beside(shape: &Shape, threads: usize, rows: &[Row]) {
    let bytes = shape.weights() * shape.dtype.bytes();
    let (read, name, cpu) = (read_ms(bytes, threads), &shape.name, Device::Cpu.to_string());
    for step in rows.iter().filter(|row| row.name == *name && row.device == cpu).map(|row| row.infer_ms) {
        println!(
            "{name}: a step takes {:.2} µs, reading its {} kB of weights once {:.2} µs: {:.2} times as long",
            step * 1e3,
            bytes / 1000,
            read * 1e3,
            step / read
        );
    }
}

fn measure_all<B: Backend>(
    backend: &B,
    shapes: &[Shape],
    args: &Args,
    setting: &Setting<'_>,
    mut peer: Option<&mut Peer>,
) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for shape in shapes {
        let case = match &args.params {
            None => Case::draw(shape)?,
            Some(path) => Case::read(shape, path)?,
        };
        let row = match shape.dtype {
            Dtype::F32 => measure::<B, f32>(backend, &case, setting, peer.as_deref_mut())?,
            Dtype::F64 => measure::<B, f64>(backend, &case, setting, peer.as_deref_mut())?,
        };
        println!("{}", line(&row));
        rows.push(row);
    }
    Ok(rows)
}

/// Width of the column of names.
const NAME: usize = 24;

/// Width of the other columns.
const COLUMN: usize = 13;

fn header(peer: Option<&str>) -> String {
    let ours = ["infer ms", "train ms", "infer GF/s", "train GF/s", "of peak"].map(str::to_owned);
    let theirs = peer
        .map(|name| [format!("{name} infer"), format!("{name} train"), "infer ×".into(), "train ×".into()]);
    let columns = ours.into_iter().chain(theirs.into_iter().flatten());
    format!("{:<NAME$}", "shape") + &columns.map(|column| format!("{column:>COLUMN$}")).collect::<String>()
}

fn line(row: &Row) -> String {
    let number = |value: Option<f64>, digits| match value {
        Some(value) => format!("{value:>COLUMN$.digits$}"),
        None => format!("{:>COLUMN$}", "-"),
    };
    let mut line = format!("{:<NAME$}", row.name);
    line += &number(Some(row.infer_ms), 4);
    line += &number(row.train_ms, 4);
    line += &number(Some(row.gflops_infer), 2);
    line += &number(row.gflops_train, 2);
    line += &row.peak_share.map_or(format!("{:>COLUMN$}", "-"), |share| {
        format!("{:>width$.1}%", 100.0 * share, width = COLUMN - 1)
    });
    if let Some(theirs) = &row.peer {
        line += &number(Some(theirs.peer_infer_ms), 4);
        line += &number(theirs.peer_train_ms, 4);
        line += &number(Some(theirs.ratio_infer), 2);
        line += &number(theirs.ratio_train, 2);
    }
    line
}

/// Geometric means of the other library's times over ours on one device.
fn means(rows: &[Row], device: &str, peer: &str) -> String {
    let theirs: Vec<_> = rows.iter().filter(|row| row.device == device).filter_map(|row| row.peer).collect();
    let infer: Vec<f64> = theirs.iter().map(|theirs| theirs.ratio_infer).collect();
    let train: Vec<f64> = theirs.iter().filter_map(|theirs| theirs.ratio_train).collect();
    let mean = |values: &[f64]| match values.len() {
        0 => "-".to_owned(),
        count => format!("{:.2} over {count} shapes", geometric_mean(values)),
    };
    format!("{peer}'s time over ours, geometric mean: inference {}, training {}", mean(&infer), mean(&train))
}

/// Two devices per shape, and where the one overtakes the other.
fn side_by_side(rows: &[Row], shapes: &[Shape], first: &str, second: &str) -> String {
    let mut text = format!(
        "{:<NAME$}{:>14}{:>14}{:>8}{:>14}{:>14}{:>8}",
        "shape",
        format!("{first} infer"),
        format!("{second} infer"),
        "×",
        format!("{first} train"),
        format!("{second} train"),
        "×"
    );
    let find = |shape: &Shape, device| rows.iter().find(|r| r.name == shape.name && r.device == device);
    let (mut infer, mut train) = (Vec::new(), Vec::new());
    for shape in shapes {
        let (Some(a), Some(b)) = (find(shape, first), find(shape, second)) else { continue };
        let ratio = a.infer_ms / b.infer_ms;
        infer.push((shape, ratio));
        text += &format!("\n{:<NAME$}{:>14.4}{:>14.4}{ratio:>8.2}", shape.name, a.infer_ms, b.infer_ms);
        if let (Some(a), Some(b)) = (a.train_ms, b.train_ms) {
            train.push((shape, a / b));
            text += &format!("{a:>14.4}{b:>14.4}{:>8.2}", a / b);
        }
    }
    for (what, ratios) in [("inference", infer), ("training", train)] {
        text += &format!("\n{what}: {}", crossover(ratios, second));
    }
    text
}

/// From which size on a device wins, by operations of a forward pass.
fn crossover(mut ratios: Vec<(&Shape, f64)>, device: &str) -> String {
    ratios.sort_by(|a, b| a.0.gflop().total_cmp(&b.0.gflop()));
    let mflop = |shape: &Shape| shape.gflop() * 1e3;
    let wins = ratios.iter().find(|(_, ratio)| *ratio > 1.0);
    let loses = ratios.iter().rfind(|(_, ratio)| *ratio <= 1.0);
    match (wins, loses) {
        (None, _) => format!("{device} wins nowhere"),
        (Some(_), None) => format!("{device} wins everywhere"),
        (Some((smallest, _)), Some((largest, _))) => format!(
            "the smallest shape where {device} wins is {} ({:.2} Mflop a pass), the largest where it loses {} ({:.2})",
            smallest.name,
            mflop(smallest),
            largest.name,
            mflop(largest)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Command;
    use clap::Parser;

    #[test]
    fn devices_are_read() {
        let args = |device: &str| Command::try_parse_from(["bench", "lstm", "--device", device]);
        let Ok(Command::Lstm(both)) = args("cpu,cuda:1") else { unreachable!("these are devices") };
        assert_eq!(both.device, [Device::Cpu, Device::Cuda(1)]);
        for name in ["gpu", "cuda:", "cuda:x", "cuda:+1"] {
            assert!(args(name).is_err(), "{name}");
        }
    }

    #[test]
    fn memory_is_compared_of_a_shape_that_is_measured_and_trains() {
        let shapes = Shape::defaults().unwrap();
        let shape = |words: &[&str]| {
            let words = ["bench", "lstm", "--peer", "torch"].iter().chain(words);
            let Ok(Command::Lstm(args)) = Command::try_parse_from(words) else { unreachable!("it parses") };
            let shape = weighed(&args, &shapes).map_err(|error| error.to_string())?;
            Ok::<_, String>(shape.map(|shape| shape.name.clone()))
        };
        assert_eq!(shape(&[]), Ok(None));
        assert_eq!(shape(&["--memory", "32x30x1x128"]), Ok(Some("32x30x1x128".to_owned())));
        let refused = |words: &[&str], reason: &str| shape(words).unwrap_err().contains(reason);
        assert!(refused(&["--memory", "1x1x1x32"], "1x1x1x32 does not train"));
        assert!(refused(&["--memory", "none"], "none is none of the shapes"));
        assert!(refused(&["--memory", "32x30x1x128", "--device", "cuda"], "--device cpu"));
        assert!(Command::try_parse_from(["bench", "lstm", "--memory", "32x30x1x128"]).is_err(), "no peer");
    }

    #[test]
    fn a_crossover_lies_between_two_sizes() {
        let shapes = Shape::defaults().unwrap();
        let (small, large) = (&shapes[12], &shapes[15]);
        let text = crossover(vec![(large, 9.0), (small, 0.1)], "cuda:0");
        assert!(text.contains(&small.name) && text.contains(&large.name), "{text}");
        assert_eq!(crossover(vec![(small, 0.1)], "cuda:0"), "cuda:0 wins nowhere");
        assert_eq!(crossover(vec![(small, 2.0)], "cuda:0"), "cuda:0 wins everywhere");
    }
}
