//! WsgiDAV, a WebDAV server that nobody here wrote, when it is installed.

use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::cluster::free_port;

const STARTS_MAX: usize = 5;
const READY_TIMEOUT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);

/// A server of a directory of its own.
#[derive(Debug)]
pub struct WsgiDav {
    process: Child,
    root: TempDir,
    port: u16,
}

impl WsgiDav {
    /// Starts a server. `None`, said aloud, when `wsgidav` is neither named by `AIRLIFT_TEST_WSGIDAV`
    /// nor on the path.
    ///
    /// # Panics
    /// When it is installed and does not start.
    pub fn start() -> Option<Self> {
        let Some(program) = program() else {
            say("skipped: wsgidav is not installed (pip install wsgidav cheroot)");
            return None;
        };
        let root = tempfile::tempdir().expect("a temporary directory");
        for _ in 0..STARTS_MAX {
            let port = free_port();
            let mut process = Command::new(&program)
                .args(["--host", "127.0.0.1", "--port", &port.to_string(), "--auth", "anonymous"])
                .arg("--root")
                .arg(root.path())
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("wsgidav can be run");
            if is_ready(&mut process, port) {
                return Some(Self { process, root, port });
            }
            stop(&mut process);
        }
        panic!("{} did not start {STARTS_MAX} times", program.display());
    }

    /// The directory that it serves.
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// `host:port`.
    pub fn authority(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

impl Drop for WsgiDav {
    fn drop(&mut self) {
        stop(&mut self.process);
    }
}

fn stop(process: &mut Child) {
    // It may have ended by itself, which is as well.
    drop(process.kill());
    drop(process.wait());
}

fn is_ready(process: &mut Child, port: u16) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < READY_TIMEOUT {
        if process.try_wait().ok().flatten().is_some() {
            return false;
        }
        if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return true;
        }
        std::thread::sleep(POLL);
    }
    false
}

fn program() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("AIRLIFT_TEST_WSGIDAV") {
        return Some(PathBuf::from(named));
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join("wsgidav")).find(|file| file.is_file())
}

#[expect(clippy::print_stderr, reason = "a test that tests nothing has to say so")]
fn say(text: &str) {
    eprintln!("{text}");
}
