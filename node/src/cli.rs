//! The command line: reads what was written, runs it, and ends with an exit code.

pub mod args;
pub mod audit;
pub mod budget;
pub mod cluster;
mod completions;
pub mod connect;
pub mod console;
mod demo;
mod doctor;
pub mod duration;
pub mod exit;
mod explain;
mod format;
pub mod job;
mod list;
mod man;
pub mod node;
mod progress;
mod ready;
mod report;
mod resolve;
pub mod retention;
mod show;
mod simulate;
mod summary;
mod table;
pub mod token;
mod top;
mod transfer;
mod upgrade;
pub mod webhook;

use std::ffi::OsString;
use std::time::Duration;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use self::args::{Cli, Command, ConfigCommand, FlagSetting, Global};
use self::connect::Cluster;
use self::console::{Console, unless_closed};
use self::exit::{CliError, ExitCode};
use self::transfer::Transfer;
use crate::build::Build;
use crate::config::{self, LogFormat, Resolved, Sources};

/// Time that work in the background has to end after the command did.
const SHUTDOWN: Duration = Duration::from_secs(1);

/// Runs the command line `words`, the program's name first.
pub fn main(words: impl IntoIterator<Item = OsString>) -> ExitCode {
    main_of(Build::THIS, words)
}

/// The same, of another build.
pub fn main_of(build: Build, words: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(words) {
        Ok(cli) => cli,
        Err(error) => return explain(&error),
    };
    let console = Console::default();
    start_tracing(&cli.global, &console);
    let is_json = cli.global.json;
    run(cli, build, &console).unwrap_or_else(|error| fail(&error, is_json, &console))
}

/// Prints help, version, or what is wrong with the words.
fn explain(error: &clap::Error) -> ExitCode {
    match error.print() {
        Ok(()) if error.exit_code() == 0 => ExitCode::Done,
        Ok(()) => ExitCode::Usage,
        Err(_) => ExitCode::CannotRun,
    }
}

/// Says why a command ended, for people and, when that was asked for, for scripts.
fn fail(error: &CliError, is_json: bool, console: &Console) -> ExitCode {
    console.clear();
    console.note(&format!("airlift: {error}"));
    if is_json {
        let (message, code) = (&error.message, error.exit.number());
        let document =
            serde_json::json!({ "outcome": "error", "exit_code": code, "error": message });
        if let Err(error) = unless_closed(console.print(&document.to_string())) {
            console.note(&format!("airlift: {error}"));
        }
    }
    error.exit
}

fn start_tracing(global: &Global, console: &Console) {
    let filter = match (global.quiet, global.verbose) {
        (true, _) => "off",
        (false, 0) => "off,airlift=warn",
        (false, 1) => "warn,airlift=info",
        (false, 2) => "info,airlift=debug",
        (false, _) => "debug,airlift=trace",
    };
    // A configuration that cannot be read is said by the command, which reads it again.
    let format = load(global, Vec::new()).map_or(LogFormat::Text, |it| it.config.log_format);
    let lines = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_writer(console.clone());
    match format {
        LogFormat::Text => lines.init(),
        LogFormat::Json => lines.json().flatten_event(true).init(),
    }
}

fn run(cli: Cli, build: Build, console: &Console) -> Result<ExitCode, CliError> {
    let global = &cli.global;
    let transfer = match &cli.command {
        Command::Completions { shell } => return completions::print(*shell),
        Command::Man { directory } => return man::write(directory),
        Command::Simulate(args) => return simulate::run(args, global, console),
        Command::Demo(args) => return block_on(demo::run(args, global, console))?,
        Command::Config(ConfigCommand::Show) => {
            return show::print(&load(global, Vec::new())?, global.json, console);
        }
        Command::Ls(args) => {
            let config = load(global, Vec::new())?.config;
            return block_on(list::run(args, global, &config, console))?;
        }
        Command::Doctor => {
            let config = load(global, Vec::new())?.config;
            return block_on(doctor::run(&config, global, console))?;
        }
        Command::Job(command) => {
            let config = load(global, command.settings())?.config;
            return block_on(job::run(command, global, &config, console))?;
        }
        Command::Cluster(command) => {
            let config = load(global, command.settings())?.config;
            return block_on(cluster::run(command, global, &config, console))?;
        }
        Command::Token(command) => {
            let config = load(global, command.settings())?.config;
            return block_on(token::run(command, global, &config, console))?;
        }
        Command::Audit(command) => {
            let config = load(global, command.settings())?.config;
            return block_on(audit::run(command, global, &config, console))?;
        }
        Command::Webhook(command) => {
            let config = load(global, Vec::new())?.config;
            return block_on(webhook::run(command, global, &config, console))?;
        }
        Command::Top(args) => {
            let config = load(global, args.cluster.settings())?.config;
            return block_on(top::run(args, global, &config, console))?;
        }
        Command::UpgradeCheck(args) => {
            let cluster = Cluster::require(&load(global, args.settings())?.config)?;
            return block_on(upgrade::run(global, &cluster, build, console))?;
        }
        Command::Node(args) => {
            let config = load(global, args.settings())?.config;
            return block_on(node::run(args, config, build))?;
        }
        Command::Cp(args) => Transfer::copy(args),
        Command::Sync(args) => Transfer::sync(args),
        Command::Verify(args) => Transfer::verify(args),
    };
    let config = load(global, transfer.settings())?.config;
    block_on(transfer::run(&transfer, global, config, console))?
}

fn load(global: &Global, settings: Vec<FlagSetting>) -> Result<Resolved, CliError> {
    let mut sources = Sources::of_process()?;
    sources.file = global.config.clone();
    sources.flags = global.settings();
    sources.flags.extend(settings);
    Ok(config::load(&sources)?)
}

fn block_on<T>(work: impl Future<Output = T>) -> Result<T, CliError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::cannot_run(format!("start the runtime: {error}")))?;
    let result = runtime.block_on(work);
    runtime.shutdown_timeout(SHUTDOWN);
    Ok(result)
}

#[cfg(test)]
mod tests;
