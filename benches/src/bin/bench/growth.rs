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
    /// Steps at most, doubled from 8 on
    #[arg(long, value_name = "T", default_value_t = 4096)]
    steps: usize,
    /// Batch rows at most, doubled from 1 on
    #[arg(long, value_name = "B", default_value_t = 512)]
    batch: usize,
    /// Hidden units at most, doubled from 8 on
    #[arg(long, value_name = "H", default_value_t = 1024)]
    hidden: usize,
    /// Layers at most, one by one from 1 on
    #[arg(long, value_name = "L", default_value_t = 8)]
    layers: usize,
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
    /// If one of them is not to reach its first value.
    fn sizes(&self) -> Result<Vec<(Size, Vec<usize>)>> {
        let chosen = Size::ALL.into_iter().filter(|size| self.only.is_empty() || self.only.contains(size));
        chosen
            .map(|size| {
                let most = match size {
                    Size::Steps => self.steps,
                    Size::Batch => self.batch,
                    Size::Hidden => self.hidden,
                    Size::Layers => self.layers,
                };
                let values = size.values(most);
                ensure!(!values.is_empty(), "{} must reach more than {most}", size.name());
                Ok((size, values))
            })
            .collect()
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
