//! Where text of strangers comes in: the command line and the configuration file, read but not acted on, for fuzzers.

use std::ffi::OsString;
use std::path::Path;

use clap::{CommandFactory, FromArgMatches};
use toml::Table;

use crate::args::Cli;
use crate::settings::{Settings, to_toml};

/// A command line, made ready once for many words.
#[derive(Debug)]
pub struct CommandLine(clap::Command);

impl Default for CommandLine {
    fn default() -> Self {
        Self(Cli::command())
    }
}

impl CommandLine {
    /// What these words, the first of them the program's name, ask for.
    ///
    /// # Errors
    /// The text that a person sees instead: help, version, or what is wrong.
    pub fn read(&mut self, words: &[OsString]) -> Result<String, String> {
        let matches = self.0.try_get_matches_from_mut(words).map_err(|error| error.to_string())?;
        let cli = Cli::from_arg_matches(&matches).map_err(|error| error.to_string())?;
        Ok(format!("{:?}", cli.command))
    }
}

/// The settings in the text of a configuration file, as the program writes them.
///
/// # Errors
/// The text that a person sees instead.
pub fn settings(text: &str) -> Result<String, String> {
    let settings = Settings::of_text(Path::new("settings.toml"), text).map_err(|error| error.to_string())?;
    let Settings { config: _, reading, training, machine, output } = settings;
    let parts = [
        Table::try_from(reading),
        Table::try_from(training),
        Table::try_from(machine),
        Table::try_from(output),
    ];
    let tables: Vec<_> = parts
        .into_iter()
        .map(|part| Ok(("", part.map_err(|error| error.to_string())?)))
        .collect::<Result<_, String>>()?;
    Ok(to_toml(&tables))
}
