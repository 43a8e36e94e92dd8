//! docs/cli.md, written from the command line's own help.

use clap::CommandFactory;

use crate::args::Cli;

/// Columns of the help texts, whatever the terminal.
const WIDTH: usize = 100;

/// The whole page.
pub(crate) fn page() -> String {
    let mut root = Cli::command().term_width(WIDTH);
    root.build();
    let mut page = String::from(
        "# The command line\n\nWritten by `lstm markdown-help`; a test keeps it in step with the program.\n",
    );
    page += &section(&mut root);
    for command in root.get_subcommands().filter(|command| !command.is_hide_set()) {
        page += &section(&mut command.clone().term_width(WIDTH));
    }
    page
}

fn section(command: &mut clap::Command) -> String {
    let name = command.get_bin_name().unwrap_or(command.get_name()).to_owned();
    let help = command.render_long_help().to_string();
    let lines: Vec<&str> = help.trim_end().lines().map(str::trim_end).collect();
    format!("\n## `{name}`\n\n```text\n{}\n```\n", lines.join("\n"))
}
