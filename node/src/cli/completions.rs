//! `completions`: the script that teaches a shell to complete the command line.

use std::io::{self, Write};

use clap::CommandFactory;
use clap_complete::Shell;

use super::args::Cli;
use super::console::unless_closed;
use super::exit::{CliError, ExitCode};

/// Prints the script for `shell` on standard output.
///
/// # Errors
/// When standard output cannot be written.
pub(super) fn print(shell: Shell) -> Result<ExitCode, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "airlift", &mut script);
    unless_closed(io::stdout().write_all(&script))?;
    Ok(ExitCode::Done)
}
