//! The same network in another library: a worker process that is asked on its stdin and answers on its stdout, so
//! that nothing of its start is timed.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::case::Case;
use crate::memory::Resident;
use crate::subject::Proof;
use crate::timing::{Contender, What};

/// The source of PyTorch's worker.
const SOURCE: &str = include_str!("../peers/torch_lstm.py");

/// The package of the workers in Rust.
const RIVALS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/rivals/Cargo.toml");

/// How PyTorch computes on a GPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Manner {
    /// Products of f32 in TF32, which has ten bits behind the point.
    pub tf32: bool,
    /// Passes and steps as CUDA graphs.
    pub graph: bool,
}

/// A library in Rust.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rival {
    /// burn on its backend Flex.
    Burn,
    /// candle.
    Candle,
}

/// A worker process.
pub struct Peer {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    folder: tempfile::TempDir,
    /// The library.
    pub name: &'static str,
    /// Its version.
    pub version: String,
    /// How it computes.
    pub manner: Manner,
}

impl Peer {
    /// Starts PyTorch under `python` with `threads` threads; `device` as PyTorch calls it, `manner` as it is to
    /// compute there.
    ///
    /// # Errors
    /// If Python is not there or has no PyTorch.
    pub fn torch(python: &Path, threads: usize, device: &str, manner: Manner) -> Result<Self> {
        let folder = tempfile::tempdir().context("no temporary folder can be made")?;
        let script = folder.path().join("torch_lstm.py");
        std::fs::write(&script, SOURCE).context("the worker's source cannot be written")?;
        let mut command = Command::new(python);
        command
            .arg(script)
            .args(["--threads", &threads.to_string(), "--device", device])
            .args(manner.tf32.then_some("--tf32"))
            .args(manner.graph.then_some("--graph"));
        let help = || format!("{} cannot run PyTorch; name one that can by --python", python.display());
        Self::start("PyTorch", command, manner, folder).with_context(help)
    }

    /// Builds a library's worker in release mode and starts it with `threads` threads, on the CPU.
    ///
    /// # Errors
    /// If cargo does not start or the worker cannot be built.
    pub fn rival(rival: Rival, threads: usize) -> Result<Self> {
        let name = match rival {
            Rival::Burn => "burn",
            Rival::Candle => "candle",
        };
        let mut command = Command::new("cargo");
        command
            .args(["run", "--quiet", "--release", "--manifest-path", RIVALS, "--", name])
            .env("RAYON_NUM_THREADS", threads.to_string());
        let folder = tempfile::tempdir().context("no temporary folder can be made")?;
        Self::start(name, command, Manner::default(), folder)
    }

    fn start(
        name: &'static str,
        mut command: Command,
        manner: Manner,
        folder: tempfile::TempDir,
    ) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{} does not start", command.get_program().display()))?;
        let (Some(to), Some(from)) = (child.stdin.take(), child.stdout.take()) else {
            bail!("the worker has no pipes");
        };
        let from = BufReader::new(from);
        let mut peer = Self { child, to, from, folder, name, version: String::new(), manner };
        let hello: Value = peer.answer()?;
        peer.version = hello["version"].as_str().unwrap_or("of no version").to_owned();
        Ok(peer)
    }

    /// Takes over a case, runs the first inference and ten steps.
    ///
    /// # Errors
    /// If the worker fails.
    pub fn load(&mut self, case: &Case) -> Result<Proof> {
        let file = self.folder.path().join("case.safetensors");
        case.write(&file)?;
        self.ask(&json!({ "load": file, "shape": case.shape, "batches": case.batches.len() }))
    }

    /// Takes over a case and runs one step of training; to be asked for before anything else.
    ///
    /// # Errors
    /// If the worker fails, or the system does not say what a process holds.
    pub fn memory(&mut self, case: &Case) -> Result<Resident> {
        let file = self.folder.path().join("case.safetensors");
        case.write(&file)?;
        self.ask(&json!({ "step": file, "shape": case.shape, "batches": case.batches.len() }))
    }

    fn ask<T: DeserializeOwned>(&mut self, request: &Value) -> Result<T> {
        writeln!(self.to, "{request}").with_context(|| self.ended())?;
        self.answer()
    }

    fn answer<T: DeserializeOwned>(&mut self) -> Result<T> {
        let mut line = String::new();
        self.from.read_line(&mut line).with_context(|| self.ended())?;
        let answer: Value = serde_json::from_str(&line).with_context(|| self.ended())?;
        if let Some(error) = answer.get("error").and_then(Value::as_str) {
            bail!("{}: {error}", self.name);
        }
        Ok(serde_json::from_value(answer)?)
    }

    fn ended(&self) -> String {
        format!("{}'s process has ended", self.name)
    }
}

impl Contender for Peer {
    fn turn(&mut self, what: What, samples: usize, seconds: [f64; 2]) -> Result<Vec<f64>> {
        let time = match what {
            What::Infer => "infer",
            What::Train => "train",
        };
        self.ask(&json!({ "time": time, "samples": samples, "seconds": seconds }))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It would end by itself at the end of its input; whether it still runs is no matter.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
