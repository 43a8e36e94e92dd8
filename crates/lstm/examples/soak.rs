//! What people do with the library, for hours in one process: read, train with checkpoints, save, load, forecast, stream.
//! Every round must give the bits of the first, and give back all that it took.
//!
//! `soak FOLDER SECONDS [LEAK]` writes a line about once a second: seconds, rounds, bytes held on the heap, resident
//! bytes, open files, threads. `LEAK` bytes are lost in each round, so that whoever judges the lines can be judged.

use std::error::Error;
use std::fs;
use std::io::{Write, stdout};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use lstm::data::{read_panel, read_table};
use lstm::nn::{Stream, durable, saved};
use lstm::train::forecaster::{Feedback, Member, Prepared, Stage};
use lstm::train::{Checkpoints, Course, Flow, Journal, Keeper, Progress};
use lstm::{Cpu, ForecastChoices, ForecastConfig, Forecaster};
use lstm_testkit::alloc::Counting;
use serde_json::json;

#[global_allocator]
static ALLOCATOR: Counting = Counting::new();

type Outcome<T> = Result<T, Box<dyn Error>>;

/// One round in so many runs on two threads.
const TEAM: u64 = 10;
/// Steps that a stream is fed in each round.
const STREAMED: usize = 500;
/// A thread that is listed for longer is alive.
const PATIENCE: Duration = Duration::from_secs(1);

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, seconds, leak @ ..] = arguments.as_slice() else {
        return Err("soak FOLDER SECONDS [LEAK]".into());
    };
    let (folder, seconds): (&Path, f64) = (folder.as_ref(), seconds.parse()?);
    let leak: usize = leak.first().map_or(Ok(0), |leak| leak.parse())?;
    fs::create_dir_all(folder)?;
    fs::write(folder.join("series.csv"), series())?;
    let (begun, mut first, mut told) = (Instant::now(), None, 0.0);
    for round in 1.. {
        let bits = live(folder, if round % TEAM == 0 { 2 } else { 1 })?;
        if *first.get_or_insert_with(|| bits.clone()) != bits {
            return Err(format!("round {round} forecasts other bits than the first").into());
        }
        drop(bits);
        std::mem::forget(vec![1_u8; leak]);
        let now = begun.elapsed().as_secs_f64();
        // The first rounds of the team show what it keeps, so all of them are told.
        if now >= told + 1.0 || now >= seconds || round <= 2 * TEAM {
            told = now;
            writeln!(stdout(), "{now:.3} {round} {} {}", ALLOCATOR.held(), of_process()?)?;
        }
        if now >= seconds {
            break;
        }
    }
    Ok(())
}

/// Two years of days, with a week and some noise.
fn series() -> String {
    let week = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0];
    let day = |day: usize| 50.0 + 0.05 * day as f64 + week[day % 7] + (day * day % 11) as f64 / 4.0;
    (0..730).fold("sales\n".to_owned(), |rows, at| rows + &format!("{:.3}\n", day(at)))
}

/// One round; gives the bits of all that was forecast.
fn live(folder: &Path, threads: usize) -> Outcome<Vec<u64>> {
    let cpu = Cpu::new(threads)?;
    let table = read_table(folder.join("series.csv"), &Default::default())?;
    let read = read_panel(&table, &Default::default())?;
    let panel: Vec<Member<'_>> = read.members.iter().map(|member| Member::alone(&member.values)).collect();
    let trained = train(folder, &cpu, &panel)?;
    let mut forecasts = trained.forecast(&cpu, &panel)?.concat();

    let path = folder.join("model.safetensors");
    let mut extra = saved::Extra::new();
    extra.insert("spreads".into(), trained.prepared.spreads.clone());
    extra.extend(trained.prepared.linear.iter().map(|linear| ("linear".into(), linear.weights().to_vec())));
    extra.extend(trained.feedback.iter().map(|feedback| ("feedback".into(), feedback.numbers())));
    let task = json!({ "config": trained.config });
    durable::write(&path, &saved::all_to_bytes(&cpu, &trained.models, &extra, &task)?)?;
    let loaded = load(&path, &cpu)?;
    if loaded.forecast(&cpu, &panel)?.concat() != forecasts {
        return Err("the model that was loaded forecasts other bits than the one that was saved".into());
    }
    forecasts.extend(stream(&cpu, &loaded)?);
    Ok(forecasts.into_iter().map(f64::to_bits).collect())
}

/// A short training with some checkpoints, taken up again from the newest.
fn train(folder: &Path, cpu: &Cpu, panel: &[Member<'_>]) -> Outcome<Forecaster<Cpu, f32>> {
    let choices = ForecastChoices {
        horizon: Some(7),
        lookback: Some(28),
        hidden: Some(8),
        ensemble: Some(2),
        epochs: Some(2),
        dropout: Some(0.1),
        average: Some(1),
        ..ForecastChoices::default()
    };
    let trials = ForecastConfig::trials(&choices, &[7], panel)?;
    let mut left = 20;
    let mut stop = |_: Stage, _: u64, _: Option<&Progress>| {
        left -= 1;
        if left == 0 { Flow::Stop } else { Flow::Continue }
    };
    let mut keeper = Every { steps: 0, files: Checkpoints::of(folder)? };
    let course = &mut Course::kept(Journal::default(), &mut keeper);
    Forecaster::<Cpu, f32>::hold_out(cpu, &trials, panel, course, &mut stop)?;
    let (journal, _) = keeper.files.newest()?.ok_or("no checkpoint was kept")?;
    let course = &mut Course::kept(journal, &mut keeper);
    let watch = &mut |_: Stage, _: u64, _: Option<&Progress>| Flow::Continue;
    let (held, evaluation, _) = Forecaster::<Cpu, f32>::hold_out(cpu, &trials, panel, course, watch)?;
    let (whole, _) = Forecaster::fit_all(cpu, &held, panel, &evaluation, course, watch)?;
    keeper.files.clear()?;
    Ok(whole)
}

/// A checkpoint after every 25 steps.
struct Every {
    steps: u64,
    files: Checkpoints,
}

impl Keeper<f32> for Every {
    fn due(&mut self) -> bool {
        self.steps += 1;
        self.steps.is_multiple_of(25)
    }

    fn keep(&mut self, journal: &Journal<f32>) -> lstm::train::Result<()> {
        self.files.keep(journal, &json!({}))
    }
}

fn load(path: &Path, cpu: &Cpu) -> Outcome<Forecaster<Cpu, f32>> {
    let file = saved::read(path)?;
    let config: ForecastConfig = serde_json::from_value(file.task["config"].clone())?;
    let linear = file.extra.get("linear").and_then(|weights| config.linear(weights.clone()));
    let prepared = Prepared { linear, spreads: file.extra["spreads"].clone(), columns: Vec::new() };
    let numbers = file.extra.get("feedback");
    let feedback = numbers.and_then(|numbers| Feedback::from_numbers(numbers, config.horizon));
    Ok(Forecaster { config, prepared, models: file.load_all(cpu)?, beside: Vec::new(), feedback })
}

/// What the first network answers to a wave, step after step.
fn stream(cpu: &Cpu, forecaster: &Forecaster<Cpu, f32>) -> Outcome<Vec<f64>> {
    let model = &forecaster.models[0];
    let mut stream = Stream::new(cpu, model, 1)?;
    let (mut x, mut out) = (vec![0.0; model.network().inputs()], vec![0.0; model.network().outputs()]);
    let mut answers = Vec::new();
    for step in 0..STREAMED {
        x.fill((step % 28) as f32 / 14.0 - 1.0);
        stream.push(cpu, model, &x, &mut out)?;
        answers.extend(out.iter().map(|answer| f64::from(*answer)));
    }
    Ok(answers)
}

/// Resident bytes, open files and threads of this process.
fn of_process() -> Outcome<String> {
    let rollup = fs::read_to_string("/proc/self/smaps_rollup")?;
    let field = rollup.lines().find_map(|line| line.strip_prefix("Rss:")).ok_or("no resident memory")?;
    let kilobytes: u64 = field.trim().trim_end_matches(" kB").parse()?;
    let count = |folder: &str| fs::read_dir(folder).map(Iterator::count);
    // A thread that has been joined is listed until the kernel has cleared it away, which takes longer under load.
    let (asked, mut threads) = (Instant::now(), count("/proc/self/task")?);
    while threads > 1 && asked.elapsed() < PATIENCE {
        sleep(Duration::from_millis(1));
        threads = count("/proc/self/task")?;
    }
    // The folder that is being counted is open too.
    Ok(format!("{} {} {threads}", 1024 * kilobytes, count("/proc/self/fd")? - 1))
}
