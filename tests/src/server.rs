//! Servers that nobody here wrote, in processes of their own, where they are installed.

use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::cluster::free_port;

const STARTS_MAX: usize = 5;
const READY_TIMEOUT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);

/// A server that stops when it is dropped.
#[derive(Debug)]
pub struct Server {
    process: Child,
    port: u16,
}

impl Server {
    /// Starts `program` with the arguments for a port of the loopback, and waits until it listens.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(program: &PathBuf, arguments: impl Fn(u16) -> Vec<String>) -> Self {
        Self::start_saying(program, arguments, Stdio::null)
    }

    /// The same, with what it says about itself going to `said`.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    pub fn start_saying(
        program: &PathBuf,
        arguments: impl Fn(u16) -> Vec<String>,
        said: impl Fn() -> Stdio,
    ) -> Self {
        for _ in 0..STARTS_MAX {
            let port = free_port();
            let process = Command::new(program)
                .args(arguments(port))
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(said())
                .spawn()
                .unwrap_or_else(|error| panic!("run {}: {error}", program.display()));
            let mut server = Self { process, port };
            if server.is_ready() {
                return server;
            }
        }
        panic!("{} did not start {STARTS_MAX} times", program.display());
    }

    /// The port of the loopback that it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    fn is_ready(&mut self) -> bool {
        let begun = Instant::now();
        while begun.elapsed() < READY_TIMEOUT {
            if self.process.try_wait().ok().flatten().is_some() {
                return false;
            }
            if TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok() {
                return true;
            }
            std::thread::sleep(POLL);
        }
        false
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself, which is as well.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// The program that `variable` names, or that of `name` on the path; otherwise says aloud that tests
/// are skipped, and `way_out`.
pub fn program(variable: &str, name: &str, way_out: &str) -> Option<PathBuf> {
    if let Some(named) = std::env::var_os(variable) {
        return Some(PathBuf::from(named));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file());
    if found.is_none() {
        say(&format!("skipped: {name} is not installed ({way_out})"));
    }
    found
}

/// Says something to whoever reads the output of the tests.
#[expect(clippy::print_stderr, reason = "a test that tests nothing has to say so")]
pub fn say(text: &str) {
    eprintln!("{text}");
}
