//! The binary under test, run as a user runs it: in a process of its own, with a state directory
//! and an environment of its own.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::s3::Access;
use crate::server::say;

/// A user with an empty home.
#[derive(Debug)]
pub struct Airlift {
    home: TempDir,
    program: PathBuf,
    environment: Vec<(String, String)>,
}

/// What a run left.
#[derive(Debug)]
pub struct Outcome {
    /// Its exit code; `None` when it was killed.
    pub code: Option<i32>,
    /// What it printed.
    pub stdout: String,
    /// What it said.
    pub stderr: String,
}

impl Outcome {
    /// The document that `--json` printed.
    ///
    /// # Panics
    /// When there is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("no JSON document ({error}): {self:?}"))
    }

    /// Checks the exit code.
    ///
    /// # Panics
    /// When it is another.
    #[must_use]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        self
    }
}

impl Default for Airlift {
    fn default() -> Self {
        Self::new()
    }
}

impl Airlift {
    /// A user without credentials.
    ///
    /// # Panics
    /// When no directory is to be had.
    pub fn new() -> Self {
        Self { home: fast_directory(), program: binary(), environment: Vec::new() }
    }

    /// A user who can reach an S3 server.
    #[must_use]
    pub fn with_s3(mut self, access: &Access) -> Self {
        let pairs = access.environment().map(|(name, value)| (name.to_owned(), value));
        self.environment.extend(pairs);
        self
    }

    /// Runs another build of the program from now on, in the same home.
    pub fn switch_to(&mut self, program: PathBuf) {
        self.program = program;
    }

    /// Sets a variable of the environment.
    #[must_use]
    pub fn with_variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The state directory.
    pub fn state(&self) -> PathBuf {
        self.home.path().join("state")
    }

    /// Directories of jobs that are not complete.
    ///
    /// # Panics
    /// When the state directory cannot be read.
    pub fn jobs(&self) -> Vec<PathBuf> {
        let jobs = self.state().join("jobs");
        if !jobs.exists() {
            return Vec::new();
        }
        let entries = std::fs::read_dir(jobs).expect("the state directory can be read");
        entries.map(|entry| entry.expect("an entry").path()).collect()
    }

    /// A command line, not run yet.
    pub fn command<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        self.command_after(&[], arguments)
    }

    /// A command line after the words of another program that runs it, not run yet.
    pub fn command_after<S: AsRef<OsStr>>(
        &self,
        words: &[String],
        arguments: impl IntoIterator<Item = S>,
    ) -> Command {
        let binary = &self.program;
        let mut command = match words {
            [] => Command::new(binary),
            [program, rest @ ..] => {
                let mut command = Command::new(program);
                command.args(rest).arg(binary);
                command
            }
        };
        command
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.home.path())
            .env("AIRLIFT_STATE_DIR", self.state())
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null());
        command
    }

    /// Runs a command line to its end.
    ///
    /// # Panics
    /// When the binary cannot be run.
    pub fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Outcome {
        self.run_after(&[], arguments)
    }

    /// As [`run`](Self::run), after the words of another program.
    ///
    /// # Panics
    /// When that cannot be run.
    pub fn run_after<S: AsRef<OsStr>>(
        &self,
        words: &[String],
        arguments: impl IntoIterator<Item = S>,
    ) -> Outcome {
        let mut command = self.command_after(words, arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().expect("the binary can be run");
        let watchdog = Watchdog::start(child.id());
        let output = child.wait_with_output().expect("the binary can be waited for");
        drop(watchdog);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Outcome {
            code: output.status.code(),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }

    /// Starts a command line whose output nobody reads.
    ///
    /// # Panics
    /// When the binary cannot be run.
    pub fn start<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Running {
        self.start_after(&[], arguments, Stdio::null())
    }

    /// As [`start`](Self::start), after the words of another program; what it says goes to `said`.
    ///
    /// # Panics
    /// When that cannot be run.
    pub fn start_after<S: AsRef<OsStr>>(
        &self,
        words: &[String],
        arguments: impl IntoIterator<Item = S>,
        said: Stdio,
    ) -> Running {
        let mut command = self.command_after(words, arguments);
        command.stdout(Stdio::null()).stderr(said);
        Running(command.spawn().expect("the binary can be run"))
    }
}

/// Longest that a run may take: a run that hangs is a failure, not a test without end.
const RUN_MAX: std::time::Duration = std::time::Duration::from_secs(300);

/// Kills a process that does not end in time, unless this is dropped before.
struct Watchdog {
    _ended: std::sync::mpsc::SyncSender<()>,
}

impl Watchdog {
    fn start(id: u32) -> Self {
        let (ended, has_ended) = std::sync::mpsc::sync_channel(1);
        std::thread::spawn(move || {
            use std::sync::mpsc::RecvTimeoutError;
            if has_ended.recv_timeout(RUN_MAX) == Err(RecvTimeoutError::Timeout)
                && let Some(id) = i32::try_from(id).ok().and_then(Pid::from_raw)
            {
                // If it has just ended by itself, that is as well.
                let _ = kill_process(id, Signal::KILL);
            }
        });
        Self { _ended: ended }
    }
}

/// A temporary directory in memory where the system has one: a kill does not need a disk that is
/// slow to sync, only many tries.
///
/// # Panics
/// When no directory is to be had.
pub fn fast_directory() -> TempDir {
    TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).expect("a temporary directory")
}

/// A process that is killed when it is dropped.
#[derive(Debug)]
pub struct Running(Child);

impl Running {
    /// Whether the process has ended by itself.
    ///
    /// # Panics
    /// When the system does not say.
    pub fn has_ended(&mut self) -> bool {
        self.0.try_wait().expect("a child can be waited for").is_some()
    }

    /// Kills the process, at once and without a word to it.
    ///
    /// # Panics
    /// When the system does not say how it ended.
    pub fn kill(&mut self) -> ExitStatus {
        // It may have ended by itself, which the status tells.
        drop(self.0.kill());
        self.0.wait().expect("a child can be waited for")
    }

    /// Asks the process to end, and waits until it has.
    ///
    /// # Panics
    /// When the system does not say how it ended.
    pub fn terminate(&mut self) -> ExitStatus {
        let id = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw);
        let id = id.expect("a child has an id");
        // It may have ended by itself, which the status tells.
        let _ = kill_process(id, Signal::TERM);
        self.wait()
    }

    /// Waits for the process to end by itself.
    ///
    /// # Panics
    /// When the system does not say how it ended.
    pub fn wait(&mut self) -> ExitStatus {
        self.0.wait().expect("a child can be waited for")
    }

    /// Stops the process where it is, as if its machine stood still.
    ///
    /// # Panics
    /// When it has ended.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets a frozen process go on.
    ///
    /// # Panics
    /// When it has ended.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw).expect("a child's id");
        kill_process(id, signal).expect("a child of ours can be told");
    }

    /// The process's id.
    pub fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Whether a program can be run after the words of `strace`; says so where it cannot.
pub fn can_trace() -> bool {
    let mut traced = Command::new("strace");
    traced.args(["-qq", "-o", "/dev/null", "true"]).stdout(Stdio::null()).stderr(Stdio::null());
    let can = traced.status().is_ok_and(|status| status.success());
    if !can {
        say("skipped: strace cannot trace (apt-get install strace)");
    }
    can
}

/// The binary that was built along with the tests.
///
/// # Panics
/// When it was not.
pub fn binary() -> PathBuf {
    built("airlift")
}

/// The same program as its next release would be, which was built along with the tests too.
///
/// # Panics
/// When it was not.
pub fn next_binary() -> PathBuf {
    built("airlift_next")
}

fn built(name: &str) -> PathBuf {
    let program = std::env::current_exe().expect("this program has a path");
    // Tests lie in target/PROFILE/deps, other programs beside the binary.
    let places = program.ancestors().skip(1).take(2).map(|place| place.join(name));
    let binary = places.into_iter().find(|binary| binary.is_file());
    let missing = || panic!("no {name} beside {}: build the workspace", program.display());
    binary.unwrap_or_else(missing)
}
