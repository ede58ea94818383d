//! A program that runs to its end, timed.

use std::fs::File;
use std::io::{Read, Seek};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use airlift_tests::room::Room;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use super::account::{Usage, peak_bytes, usage};
use crate::stop;

/// A program that takes longer is ended: a run that hangs is a failure.
const TIME_MAX: Duration = Duration::from_secs(240);

/// Between two looks at a running program.
const POLL: Duration = Duration::from_millis(20);

/// A command line that is not run yet.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    entrance: Vec<String>,
    words: Vec<String>,
    variables: Vec<(String, String)>,
    time_max: Duration,
}

/// A run that came to a good end.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) seconds: f64,
    pub(crate) usage: Usage,
    pub(crate) peak_bytes: u64,
    pub(crate) stdout: String,
}

impl Task {
    pub(crate) fn new(words: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            entrance: Vec::new(),
            words: words.into_iter().map(Into::into).collect(),
            variables: Vec::new(),
            time_max: TIME_MAX,
        }
    }

    /// Lets it run in a room.
    pub(crate) fn within(mut self, room: &Room) -> Self {
        self.entrance = room.entrance();
        self
    }

    /// Adds to its environment.
    pub(crate) fn with(mut self, variables: &[(String, String)]) -> Self {
        self.variables.extend_from_slice(variables);
        self
    }

    /// Ends it after so much time.
    pub(crate) fn at_most(mut self, time: Duration) -> Self {
        self.time_max = time;
        self
    }

    /// Starts it. It ends at the latest with the thread that starts it.
    pub(crate) fn start(&self, stdout: Stdio, stderr: Stdio) -> Result<Child, String> {
        let mut line: Vec<&str> = Vec::new();
        if super::find("setpriv").is_some() {
            line.extend(["setpriv", "--pdeathsig", "KILL", "--"]);
        }
        line.extend(self.entrance.iter().chain(&self.words).map(String::as_str));
        let [program, rest @ ..] = &line[..] else { return Err("no program".to_owned()) };
        let mut command = Command::new(program);
        command.args(rest).stdin(Stdio::null()).stdout(stdout).stderr(stderr);
        // Credentials and endpoints are given by name; what the user has is not for a benchmark.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("AWS_") {
                command.env_remove(name);
            }
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.process_group(0);
        command.spawn().map_err(|error| format!("{program}: {error}"))
    }

    /// Runs it to its end.
    pub(crate) fn run(&self) -> Result<Ended, String> {
        if stop::is_wanted() {
            return Err("interrupted".to_owned());
        }
        let failed = |error: std::io::Error| format!("{}: {error}", self.name());
        let (mut stdout, mut stderr) =
            (tempfile::tempfile().map_err(failed)?, tempfile::tempfile().map_err(failed)?);
        let begun = Instant::now();
        let copies = (stdout.try_clone().map_err(failed)?, stderr.try_clone().map_err(failed)?);
        let mut child = self.start(copies.0.into(), copies.1.into())?;
        let peak = AtomicU64::new(0);
        let (seconds, usage) = std::thread::scope(|scope| {
            let (done, is_done) = sync_channel::<()>(0);
            let (id, peak) = (child.id(), &peak);
            scope.spawn(move || {
                while is_done.recv_timeout(POLL) == Err(RecvTimeoutError::Timeout) {
                    peak.fetch_max(peak_bytes(id), Ordering::Relaxed);
                    if stop::is_wanted() || begun.elapsed() > self.time_max {
                        end_group(id);
                    }
                }
            });
            // It stays until it is waited for, so that what it used can be read.
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            while let Some(Err(Errno::INTR)) = pid(id).map(|pid| waitid(WaitId::Pid(pid), options))
            {
            }
            let ended = (begun.elapsed().as_secs_f64(), usage(id));
            drop(done);
            ended
        });
        let status = child.wait().map_err(failed)?;
        if stop::is_wanted() {
            return Err("interrupted".to_owned());
        }
        if seconds > self.time_max.as_secs_f64() {
            return Err(format!("{}: did not end in {:?}", self.name(), self.time_max));
        }
        if !status.success() {
            let said = read(&mut stderr);
            let said = said.trim().lines().last().unwrap_or_default().to_owned();
            return Err(format!("{}: {status}: {said}", self.name()));
        }
        let stdout = read(&mut stdout);
        Ok(Ended { seconds, usage, peak_bytes: peak.into_inner(), stdout })
    }

    fn name(&self) -> &str {
        self.words.first().map_or("", |word| word.rsplit('/').next().unwrap_or(word))
    }
}

/// Ends a process and what it has started.
pub(crate) fn end_group(id: u32) {
    // It may have ended by itself.
    let _ = pid(id).map(|pid| kill_process_group(pid, Signal::KILL));
}

fn pid(id: u32) -> Option<Pid> {
    i32::try_from(id).ok().and_then(Pid::from_raw)
}

fn read(file: &mut File) -> String {
    let mut bytes = Vec::new();
    let read = file.rewind().and_then(|()| file.read_to_end(&mut bytes));
    // What cannot be read again was said in vain.
    drop(read);
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_timed_and_accounted() {
        let ended = Task::new(["sh", "-c", "echo said; sleep 0.1"]).run().expect("a good end");
        assert_eq!(ended.stdout, "said\n");
        assert!(ended.seconds >= 0.1, "{ended:?}");
    }

    #[test]
    fn a_failure_says_what_the_program_said_last() {
        let failed = Task::new(["sh", "-c", "echo first >&2; echo last >&2; exit 3"]).run();
        let said = failed.expect_err("a failure");
        assert!(said.contains("last") && said.contains('3'), "{said}");
    }

    #[test]
    fn what_hangs_is_ended_with_its_children() {
        let task = Task::new(["sh", "-c", "sleep 60 | sleep 60"]);
        let begun = Instant::now();
        assert!(task.at_most(Duration::from_millis(50)).run().is_err());
        assert!(begun.elapsed() < Duration::from_secs(30));
    }
}
