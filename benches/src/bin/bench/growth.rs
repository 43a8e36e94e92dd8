//! `bench growth`: a table for each size that grows, a file of figures, a picture.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use lstm_benches::growth::picture::{Format, draw};
use lstm_benches::growth::{Growth, Point, Series, Size, base, header};
use lstm_benches::measure::Setting;
use lstm_benches::peak::Peak;
use lstm_benches::queue::write;
use lstm_cpu::Cpu;

use crate::{Time, threads};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Let these sizes grow alone
    #[arg(long, value_enum, value_name = "SIZE", num_args = 1..)]
    only: Vec<Size>,
    /// Steps at most, doubled from 8 on [default: 4096]
    #[arg(long, value_name = "T")]
    steps: Option<usize>,
    /// Batch rows at most, doubled from 1 on [default: 512]
    #[arg(long, value_name = "B")]
    batch: Option<usize>,
    /// Hidden units at most, doubled from 8 on [default: 1024]
    #[arg(long, value_name = "H")]
    hidden: Option<usize>,
    /// Layers at most, one by one from 1 on [default: 8]
    #[arg(long, value_name = "L")]
    layers: Option<usize>,
    /// Threads of the CPU, 0 for all there are
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
    /// Write the figures into this file
    #[arg(long, value_name = "OUT")]
    json: Option<PathBuf>,
    /// Draw them into this file, which ends in .png or .svg
    #[arg(long, value_name = "FILE")]
    picture: Option<PathBuf>,
    #[command(flatten)]
    time: Time,
}

impl Args {
    /// The sizes that grow, with their values.
    ///
    /// # Errors
    /// If one of them is not to reach its first value, or has a limit and is not to grow.
    fn sizes(&self) -> Result<Vec<(Size, Vec<usize>)>> {
        let mut sizes = Vec::new();
        for size in Size::ALL {
            let (limit, default) = match size {
                Size::Steps => (self.steps, 4096),
                Size::Batch => (self.batch, 512),
                Size::Hidden => (self.hidden, 1024),
                Size::Layers => (self.layers, 8),
            };
            if !self.only.is_empty() && !self.only.contains(&size) {
                ensure!(limit.is_none(), "{} have a limit, but --only leaves them out", size.name());
                continue;
            }
            let most = limit.unwrap_or(default);
            let values = size.values(most);
            ensure!(!values.is_empty(), "{} must reach more than {most}", size.name());
            sizes.push((size, values));
        }
        Ok(sizes)
    }
}

/// Measures, prints, writes.
///
/// # Errors
/// Those of the backend; if a file cannot be written.
pub(crate) fn run(args: &Args) -> Result<()> {
    let format = args.picture.as_deref().map(Format::of).transpose()?;
    let (sizes, threads) = (args.sizes()?, threads(args.threads));
    let (cpu, peak) = (Cpu::new(threads)?, Peak::measure(threads));
    println!("{threads} threads, multiply-adds alone: {:.0} GF/s in f32", peak.f32);
    let setting = Setting { device: "cpu", threads, peak: Some(peak), budget: args.time.budget() };

    let mut series = Vec::new();
    for (size, values) in sizes {
        println!("\n{}", header(size));
        let mut points = Vec::new();
        for value in values {
            let point = Point::measure(&cpu, size, value, &setting)?;
            println!("{}", point.line());
            points.push(point);
        }
        let grown = Series::new(size, points);
        println!("{}", grown.summary());
        series.push(grown);
    }
    let growth = Growth { threads, simd: format!("{:?}", cpu.simd()), peak, base: base(), series };
    if let Some(path) = &args.json {
        write(path, serde_json::to_string_pretty(&growth)? + "\n")?;
    }
    if let (Some(path), Some(format)) = (&args.picture, format) {
        write(path, draw(&growth, format)?)?;
    }
    Ok(())
}
