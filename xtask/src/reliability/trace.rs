//! System calls of a training, as strace tells them.

use std::collections::HashMap;

use anyhow::{Context, Result, ensure};

use super::subject::{Run, Subject};

/// Calls that make, fill, sync, rename and remove files.
const CALLS: &str = "openat,write,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat,ftruncate,flock";

/// What is recorded of each call.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Detail {
    /// File names.
    Names,
    /// All bytes that are written, too.
    Bytes,
}

/// One call of the main thread.
pub(super) struct Call {
    pub(super) name: String,
    /// Which of that name, from 1.
    pub(super) nth: usize,
    /// Arguments and result; strings are decoded, one byte a character.
    pub(super) line: String,
}

/// Trains under strace.
///
/// # Errors
/// If strace is missing or the training fails.
pub(super) fn record(subject: &Subject, run: &Run, detail: Detail) -> Result<Vec<Call>> {
    let log = run.path().with_extension("strace");
    let log_name = log.to_string_lossy();
    let length = if detail == Detail::Bytes { "1000000000" } else { "0" };
    let trace = format!("trace={CALLS}");
    // Hexadecimal digits, because anything may stand in a file.
    let output =
        subject.under("strace", &["-f", "-y", "-xx", "-s", length, "-o", &log_name, "-e", &trace], run)?;
    ensure!(output.status.success(), "under strace: {}", String::from_utf8_lossy(&output.stderr));
    let text = std::fs::read_to_string(&log)?;
    std::fs::remove_file(&log)?;
    let (main, _) = text.split_once(' ').context("strace wrote nothing")?;
    let mut counts: HashMap<String, usize> = HashMap::new();
    let mut calls = Vec::new();
    for line in text.lines() {
        let Some((process, call)) = line.split_once(' ') else { continue };
        let Some((name, rest)) = call.trim_start().split_once('(').filter(|_| process == main) else {
            continue;
        };
        let nth = counts.entry(name.to_owned()).or_default();
        *nth += 1;
        calls.push(Call { name: name.to_owned(), nth: *nth, line: decoded(rest) });
    }
    Ok(calls)
}

/// The calls of a save: from the first that names its temporary up to the first that names that of the next.
pub(super) fn save<'a>(calls: &'a [Call], from: &str, to: &str) -> Vec<&'a Call> {
    let named =
        |words: &str| calls.iter().position(|call| call.name == "openat" && call.line.contains(words));
    match (named(from), named(to)) {
        (Some(from), Some(to)) => {
            calls[from..to].iter().filter(|call| !call.line.contains("metrics.jsonl")).collect()
        }
        _ => Vec::new(),
    }
}

/// `\x41` is A.
fn decoded(text: &str) -> String {
    let mut parts = text.split("\\x");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (digits, rest) = part.split_at(part.len().min(2));
        out.push(u8::from_str_radix(digits, 16).map_or('?', char::from));
        out += rest;
    }
    out
}
