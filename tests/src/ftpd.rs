//! pyftpdlib, an FTP server that nobody here wrote, when it is installed.

use std::path::Path;

use tempfile::TempDir;

use crate::server::{self, Server};

/// A server of a directory of its own, which lets anybody read.
#[derive(Debug)]
pub struct Ftpd {
    server: Server,
    root: TempDir,
}

impl Ftpd {
    /// Starts a server. `None`, said aloud, when `AIRLIFT_TEST_PYFTPDLIB` names no Python that has it.
    ///
    /// # Panics
    /// When it is installed and does not start.
    pub fn start() -> Option<Self> {
        let way_out = "pip install pyftpdlib, and name that Python by AIRLIFT_TEST_PYFTPDLIB";
        let program = server::program("AIRLIFT_TEST_PYFTPDLIB", "pyftpdlib", way_out)?;
        let root = tempfile::tempdir().expect("a temporary directory");
        let server = Server::start(&program, |port| {
            let directory = root.path().to_str().expect("a path of UTF-8").to_owned();
            let words = ["-m", "pyftpdlib", "-i", "127.0.0.1", "-p"].map(str::to_owned);
            let rest = [port.to_string(), "-d".to_owned(), directory];
            words.into_iter().chain(rest).collect()
        });
        Some(Self { server, root })
    }

    /// The directory that it serves.
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// `host:port`.
    pub fn authority(&self) -> String {
        format!("127.0.0.1:{}", self.server.port())
    }
}
