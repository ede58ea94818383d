//! A server that runs beside the measurement, ended when it is dropped.

use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use super::account::{Usage, children, usage};
use super::task::{Task, end_group};
use crate::stop;

/// Time for a server to begin to listen.
const READY_MAX: Duration = Duration::from_secs(20);

/// Time for what serves a client to end after it.
const QUIET_MAX: Duration = Duration::from_secs(3);

const POLL: Duration = Duration::from_millis(5);

/// A running server.
#[derive(Debug)]
pub(crate) struct Daemon {
    name: String,
    process: Child,
    log: std::path::PathBuf,
}

impl Daemon {
    /// Starts it; what it says goes to a file of its name below `directory`.
    pub(crate) fn start(name: &str, task: &Task, directory: &Path) -> Result<Self, String> {
        let log = directory.join(format!("{name}.log"));
        let file = std::fs::File::options().create(true).append(true).open(&log);
        let failed = |error: std::io::Error| format!("{}: {error}", log.display());
        let file = file.map_err(failed)?;
        let copy = file.try_clone().map_err(failed)?;
        let process = task.start(copy.into(), Stdio::from(file))?;
        Ok(Self { name: name.to_owned(), process, log })
    }

    /// Waits until it listens on a TCP port, in whatever network it is.
    pub(crate) fn wait_for_port(&mut self, port: u16) -> Result<(), String> {
        let id = self.id();
        self.wait_until(&format!("listens on port {port}"), || is_listening(id, port))
    }

    /// Waits until something is so, as long as it runs.
    pub(crate) fn wait_until(
        &mut self,
        what: &str,
        is_so: impl Fn() -> bool,
    ) -> Result<(), String> {
        let begun = Instant::now();
        while !is_so() {
            if stop::is_wanted() {
                return Err("interrupted".to_owned());
            }
            if !self.is_running() || begun.elapsed() > READY_MAX {
                let said = std::fs::read_to_string(&self.log).unwrap_or_default();
                let said = said.trim().lines().last().unwrap_or_default();
                return Err(format!("{}: not in time: {what}: {said}", self.name));
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    /// What it used so far, with all that served a client and has ended; waits for those.
    pub(crate) fn usage(&self) -> Usage {
        let begun = Instant::now();
        while !children(self.id()).is_empty() && begun.elapsed() < QUIET_MAX {
            std::thread::sleep(POLL);
        }
        usage(self.id())
    }

    /// Whether it has not ended.
    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.process.try_wait(), Ok(None))
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        end_group(self.process.id());
        drop(self.process.wait());
    }
}

/// Whether something listens on a TCP port in the network of a process.
fn is_listening(id: u32, port: u16) -> bool {
    ["tcp", "tcp6"].iter().any(|table| {
        let table = std::fs::read_to_string(format!("/proc/{id}/net/{table}"));
        listens(&table.unwrap_or_default(), port)
    })
}

/// Lines are `0: 0100007F:1F40 00000000:0000 0A …`, where `0A` means that it listens.
fn listens(table: &str, port: u16) -> bool {
    let ending = format!(":{port:04X}");
    table.lines().any(|line| {
        let mut words = line.split_whitespace().skip(1);
        words.next().is_some_and(|address| address.ends_with(&ending)) && words.nth(1) == Some("0A")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_found_where_something_listens() {
        let table = "  sl  local_address rem_address   st\n\
                     0: 0100007F:1F90 00000000:0000 0A 0\n\
                     1: 0100007F:1F91 0100007F:1F92 01 0\n";
        assert!(listens(table, 0x1F90));
        assert!(!listens(table, 0x1F91));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        assert!(is_listening(std::process::id(), port));
    }

    #[test]
    fn a_server_that_does_not_start_says_why() {
        let directory = tempfile::tempdir().expect("a directory");
        let task = Task::new(["sh", "-c", "echo no luck >&2; exit 1"]);
        let mut daemon = Daemon::start("server", &task, directory.path()).expect("it begins");
        let said = daemon.wait_for_port(1).expect_err("it has ended");
        assert!(said.contains("no luck"), "{said}");
    }
}
