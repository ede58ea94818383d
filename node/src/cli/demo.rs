//! `demo`: a cluster of real processes moves real files, loses its leader and then the worker at the
//! target on the way, and the result is proven by comparing both trees, without the code that moved
//! them.

mod cluster;
mod corpus;
mod job;
mod node;
mod story;
mod tree;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::json;
use tokio::time::Instant;

use self::story::{LARGE, Proof, Story};
use super::args::{DemoArgs, Global};
use super::console::{Console, unless_closed, words};
use super::exit::{CliError, ExitCode};
use super::format::span;
use super::transfer::Interrupts;
use crate::runtime::clock;

/// Where what the nodes say goes, below the demonstration's directory.
const LOGS: &str = "logs";

/// Tells and proves the story.
///
/// # Errors
/// When anything was not as it has to be, or it was interrupted.
pub(super) async fn run(
    args: &DemoArgs,
    global: &Global,
    console: &Console,
) -> Result<ExitCode, CliError> {
    let mut interrupts = Interrupts::listen()?;
    let root = make_root(args)?;
    let voice = Voice {
        console: console.clone(),
        is_json: global.json,
        is_quiet: global.quiet,
        started: clock::now(),
    };
    // The story owns the nodes: when the select is over they have ended, however it came out.
    let told = tokio::select! {
        // Ctrl-C on a terminal reaches the nodes too; their ends are then no news.
        biased;
        () = interrupts.next() => None,
        told = Story::new(&root, &voice).tell() => Some(told),
    };
    match told {
        Some(Ok(proof)) => {
            voice.say("proven: the leader and a worker were killed on the way, and every name and byte is right")?;
            leave(&root, args, &voice)?;
            if global.json {
                unless_closed(console.print(&document(&proof, voice.started).to_string()))?;
            }
            Ok(ExitCode::Done)
        }
        Some(Err(error)) => {
            let (shown, logs) = (root.display(), root.join(LOGS));
            let message = format!(
                "not proven: {error} (everything is left in {shown}; what the nodes said is in {})",
                logs.display()
            );
            Err(CliError { message, ..error })
        }
        None => {
            leave(&root, args, &voice)?;
            let message = "interrupted; all nodes have ended".to_owned();
            Err(CliError { exit: ExitCode::Interrupted, message })
        }
    }
}

/// A directory of this demonstration alone, by its real path.
fn make_root(args: &DemoArgs) -> Result<PathBuf, CliError> {
    let base = args.dir.clone().unwrap_or_else(std::env::temp_dir);
    let root = base.join(format!("airlift-demo-{}", std::process::id()));
    let made = fs::create_dir_all(&base).and_then(|()| fs::create_dir(&root));
    made.map_err(|error| trouble("make", &root, &error))?;
    fs::canonicalize(&root).map_err(|error| trouble("find", &root, &error))
}

/// Removes everything, or says where it is left.
fn leave(root: &Path, args: &DemoArgs, voice: &Voice) -> Result<(), CliError> {
    match args.keep {
        true => voice.say(&format!("everything is left in {}", root.display())),
        false => fs::remove_dir_all(root).map_err(|error| trouble("remove", root, &error)),
    }
}

/// What `--json` prints.
fn document(proof: &Proof, started: Instant) -> serde_json::Value {
    let Proof { remains, election, end, .. } = proof;
    json!({
        "proven": true,
        "nodes": node::PLAN.len(),
        "objects": proof.objects,
        "bytes": proof.bytes,
        "leader_killed": election.dead,
        "leader_elected": election.leader,
        "election_ms": u64::try_from(election.took.as_millis()).unwrap_or(u64::MAX),
        "arrived_meanwhile": election.arrived,
        "worker_killed": node::TARGET,
        "visible_after_kill": remains.complete,
        "partial_after_kill": 0,
        "absent_after_kill": remains.absent,
        "sent": end.sent,
        "kept": end.kept,
        "resent": end.resent,
        "seconds": started.elapsed().as_secs_f64(),
        "blake3": { LARGE: proof.root },
    })
}

/// Tells people what happens: one line an event.
#[derive(Debug)]
struct Voice {
    console: Console,
    is_json: bool,
    is_quiet: bool,
    started: Instant,
}

impl Voice {
    /// A line, with the time since the beginning: on standard output, unless that is for the JSON
    /// document.
    fn say(&self, line: &str) -> Result<(), CliError> {
        if self.is_quiet {
            return Ok(());
        }
        let line = format!("{:>7}  {line}", span(self.started.elapsed()));
        match self.is_json {
            true => self.console.note(&line),
            false => unless_closed(self.console.print(&line))?,
        }
        Ok(())
    }
}

fn trouble(action: &str, path: &Path, error: &io::Error) -> CliError {
    CliError::cannot_run(format!("{action} {}: {}", path.display(), words(error)))
}

fn unproven(reason: impl Into<String>) -> CliError {
    CliError { exit: ExitCode::Trouble, message: reason.into() }
}
