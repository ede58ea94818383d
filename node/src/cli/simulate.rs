//! `simulate`: the control plane itself answers how long a job would take, what would hold it up, and
//! what it would cost.

mod file;
mod print;

#[cfg(test)]
mod tests;

use std::time::Duration;

use airlift_sim::whatif::{Moment, Outcome, simulate};
use indicatif::{ProgressBar, ProgressStyle};

use super::args::{Global, SimulateArgs};
use super::console::{Console, unless_closed};
use super::exit::{CliError, ExitCode};
use super::format::counted;
use crate::runtime::clock;
use crate::runtime::memory;

/// An answer, and what it took to find it.
struct Answer {
    title: String,
    outcome: Outcome,
    took: Duration,
    memory_bytes: Option<u64>,
}

/// Reads a scenario and answers it.
///
/// # Errors
/// When the file cannot be read or is no scenario, or when it cannot be answered.
pub(super) fn run(
    args: &SimulateArgs,
    global: &Global,
    console: &Console,
) -> Result<ExitCode, CliError> {
    let path = &args.scenario;
    let wrong =
        |error: &dyn std::fmt::Display| CliError::usage(format!("{}: {error}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| wrong(&error))?;
    let mut file = file::parse(&text).map_err(|error| wrong(&error))?;
    if let Some(seed) = args.seed {
        file.seed = seed;
    }
    let scenario = file.scenario().map_err(|error| wrong(&error))?;
    let (bar, started) = (bar(global.quiet || global.json, console), clock::now());
    let mut watch = |moment: Moment| {
        if let Some(bar) = &bar {
            show(bar, moment);
        }
    };
    let outcome = simulate(&scenario, &mut watch).map_err(|error| wrong(&error))?;
    console.clear();
    let memory_bytes = memory::peak_bytes();
    let answer = Answer { title: file.title, outcome, took: started.elapsed(), memory_bytes };
    let text =
        if global.json { print::document(&answer).to_string() } else { print::text(&answer) };
    unless_closed(console.print(&text))?;
    Ok(ExitCode::Done)
}

fn bar(is_silent: bool, console: &Console) -> Option<ProgressBar> {
    let style = ProgressStyle::with_template("{bar:10.cyan/dim} {wide_msg}").ok()?;
    (!is_silent).then(|| console.add(ProgressBar::new(1).with_style(style)))
}

fn show(bar: &ProgressBar, moment: Moment) {
    bar.set_length(moment.objects.max(1));
    bar.set_position(moment.ended);
    let hours = moment.ms / 3_600_000;
    let text =
        format!("{} after {}", counted(moment.ended, "object"), counted(hours, "simulated hour"));
    bar.set_message(text);
}
