//! The program itself, as other processes.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::{tree, unproven};
use crate::cli::console::words;
use crate::cli::exit::CliError;

/// Time between two looks at what has arrived.
const LOOK_PERIOD: Duration = Duration::from_millis(10);

/// How to start this program again.
#[derive(Debug)]
pub(super) struct Airlift {
    program: PathBuf,
    state: PathBuf,
}

/// A running process, which does not outlive its owner.
#[derive(Debug)]
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only when the process has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Airlift {
    /// This program, with its state below `root`.
    pub(super) fn new(root: &Path) -> Result<Self, CliError> {
        let program = std::env::current_exe().map_err(|error| cannot("find", &error))?;
        Ok(Self { program, state: root.join("state") })
    }

    /// Starts a copy and kills it at once when `is_time`, given the bytes that have arrived;
    /// answers these bytes.
    pub(super) fn copy_and_kill(
        &self,
        source: &Path,
        target: &Path,
        bwlimit: &str,
        is_time: impl Fn(u64) -> bool,
    ) -> Result<u64, CliError> {
        let mut command = self.command("cp");
        command.args(["--quiet", "--progress", "none", "--links", "copy", "--bwlimit", bwlimit]);
        command.args([source, target]).stdout(Stdio::null()).stderr(Stdio::piped());
        let child = command.spawn().map_err(|error| cannot("start", &error))?;
        let mut running = Running(child);
        loop {
            let arrived = tree::allocated(target);
            if is_time(arrived) {
                running.0.kill().map_err(|error| cannot("kill", &error))?;
                let status = running.0.wait().map_err(|error| cannot("wait for", &error))?;
                return match status.code() {
                    None => Ok(arrived),
                    Some(_) => Err(early(status, &mut running.0)),
                };
            }
            if let Some(status) =
                running.0.try_wait().map_err(|error| cannot("wait for", &error))?
            {
                return Err(early(status, &mut running.0));
            }
            pause();
        }
    }

    /// Runs a command to its end, which has to be a good one, and answers its JSON document.
    pub(super) fn result(
        &self,
        name: &str,
        flags: &[&str],
        ends: &[&OsStr],
    ) -> Result<Value, CliError> {
        let mut command = self.command(name);
        command.args(["--json", "--progress", "none"]).args(flags).args(ends);
        let output = command.output().map_err(|error| cannot("start", &error))?;
        let said = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            let text = format!("airlift {name} ended with {}: {}", output.status, said.trim());
            return Err(unproven(text.replace('\n', "; ")));
        }
        serde_json::from_slice(&output.stdout)
            .map_err(|error| unproven(format!("airlift {name} printed no JSON document: {error}")))
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--state-dir").arg(&self.state).arg(name).stdin(Stdio::null());
        // The demonstration is about this machine, whatever cluster is configured.
        command.args(["--cluster", ""]);
        command
    }
}

#[expect(clippy::disallowed_methods, reason = "the demonstration has no runtime to wait in")]
fn pause() {
    std::thread::sleep(LOOK_PERIOD);
}

/// The copy ended although it was to be killed.
fn early(status: ExitStatus, child: &mut Child) -> CliError {
    let mut said = String::new();
    let read = child.stderr.take().map_or(Ok(0), |mut stderr| stderr.read_to_string(&mut said));
    let said = match read {
        Ok(_) => said.trim().replace('\n', "; "),
        Err(error) => words(&error),
    };
    unproven(format!("the copy ended with {status} before it could be killed: {said}"))
}

fn cannot(action: &str, error: &io::Error) -> CliError {
    CliError::cannot_run(format!("{action} this program: {}", words(error)))
}
