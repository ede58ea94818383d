//! The nodes: processes of this program, each with a directory, an address and a log of its own.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::{LOGS, trouble, unproven};
use crate::api::view::NodeRole;
use crate::cli::console::words;
use crate::cli::exit::CliError;

/// Names and roles: two nodes beside the source, two beside the target, and a voter elsewhere, so
/// that no place has the majority. The first one founds the cluster.
pub(super) const PLAN: [(&str, NodeRole); 5] = [
    ("berlin-1", NodeRole::Voter),
    ("paris-1", NodeRole::Voter),
    ("oslo", NodeRole::Voter),
    (SOURCE, NodeRole::Worker),
    (TARGET, NodeRole::Worker),
];
/// The node that has the source.
pub(super) const SOURCE: &str = "berlin-2";
/// The node that has the target.
pub(super) const TARGET: &str = "paris-2";

/// Any free port: the cluster learns the address from the node itself.
const LISTEN: &str = "127.0.0.1:0";
/// Bytes from the end of a log in which its last line is looked for.
const LAST_BYTES: u64 = 4096;

/// A node, which does not outlive its owner.
#[derive(Debug)]
pub(super) struct Node {
    /// Its name.
    pub(super) name: &'static str,
    /// Its role.
    pub(super) role: NodeRole,
    program: PathBuf,
    root: PathBuf,
    api_port: u16,
    /// While it is to run.
    process: Option<Child>,
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            // Both fail only when the process has ended already.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// All nodes of the plan, none of them running.
pub(super) fn plan(root: &Path) -> Result<Vec<Node>, CliError> {
    let program = std::env::current_exe().map_err(|error| cannot("find this program", &error))?;
    for folder in [LOGS, "nodes", "tokens"] {
        let folder = root.join(folder);
        fs::create_dir(&folder).map_err(|error| trouble("make", &folder, &error))?;
    }
    let config = root.join("airlift.toml");
    fs::write(&config, "").map_err(|error| trouble("write", &config, &error))?;
    // All at once, so that no two are the same.
    let listeners: io::Result<Vec<TcpListener>> =
        PLAN.iter().map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).collect();
    let listeners = listeners.map_err(|error| cannot("find free ports", &error))?;
    let node = |((name, role), listener): (&(&'static str, NodeRole), &TcpListener)| {
        let api_port = listener.local_addr()?.port();
        let (program, root) = (program.clone(), root.to_owned());
        Ok(Node { name, role: *role, program, root, api_port, process: None })
    };
    let nodes: io::Result<Vec<Node>> = PLAN.iter().zip(&listeners).map(node).collect();
    nodes.map_err(|error| cannot("find free ports", &error))
}

impl Node {
    /// The URL of its API.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.api())
    }

    /// Its directory.
    pub(super) fn data_dir(&self) -> PathBuf {
        self.root.join("nodes").join(self.name)
    }

    /// Where what it says goes.
    fn log(&self) -> PathBuf {
        self.root.join(LOGS).join(format!("{}.log", self.name))
    }

    fn api(&self) -> String {
        format!("127.0.0.1:{}", self.api_port)
    }

    /// Whether it is to run.
    pub(super) fn is_running(&self) -> bool {
        self.process.is_some()
    }

    /// Begins a cluster with it; nothing runs yet.
    pub(super) fn found(&self) -> Result<(), CliError> {
        let mut command = self.command(&["cluster", "init"])?;
        let status = command.args(self.first_words()).status();
        let status = status.map_err(|error| cannot("start this program", &error))?;
        match status.success() {
            true => Ok(()),
            false => Err(self.ended(&status.to_string())),
        }
    }

    /// Starts it for the first time: it joins with a token.
    pub(super) fn join(&mut self, token: &str) -> Result<(), CliError> {
        let path = self.root.join("tokens").join(self.name);
        fs::write(&path, token).map_err(|error| trouble("write", &path, &error))?;
        let mut command = self.command(&["node"])?;
        command.args(self.first_words()).arg("--join-file").arg(path);
        self.spawn(command)
    }

    /// Starts it where it left off.
    pub(super) fn start(&mut self) -> Result<(), CliError> {
        let mut command = self.command(&["node"])?;
        command.arg("--data-dir").arg(self.data_dir());
        self.spawn(command)
    }

    /// Kills it, without a word to it.
    pub(super) fn kill(&mut self) -> Result<(), CliError> {
        self.check()?;
        let Some(mut process) = self.process.take() else {
            return Err(unproven(format!("the node {} does not run", self.name)));
        };
        let killed = process.kill().and_then(|()| process.wait());
        let status = killed.map_err(|error| cannot(&format!("kill {}", self.name), &error))?;
        match status.code() {
            None => Ok(()),
            Some(_) => Err(self.ended(&status.to_string())),
        }
    }

    /// Sees that it runs, if it is to.
    pub(super) fn check(&mut self) -> Result<(), CliError> {
        let Some(process) = &mut self.process else { return Ok(()) };
        let ended = process.try_wait();
        match ended.map_err(|error| cannot(&format!("look after {}", self.name), &error))? {
            None => Ok(()),
            Some(status) => Err(self.ended(&status.to_string())),
        }
    }

    fn ended(&self, status: &str) -> CliError {
        let last = last_line(&self.log());
        unproven(format!("the node {} ended by itself, with {status}: {last}", self.name))
    }

    /// What a node is told at its first start only.
    fn first_words(&self) -> Vec<std::ffi::OsString> {
        let (directory, api) = (self.data_dir(), self.api());
        let pairs = [
            ("--data-dir", directory.as_os_str()),
            ("--name", OsStr::new(self.name)),
            ("--listen", OsStr::new(LISTEN)),
            ("--api", OsStr::new(&api)),
        ];
        pairs.into_iter().flat_map(|(flag, text)| [flag.into(), text.to_owned()]).collect()
    }

    /// This program, whatever its user has configured for it.
    fn command(&self, words: &[&str]) -> Result<Command, CliError> {
        let (path, mut options) = (self.log(), File::options());
        let log = options.create(true).append(true).open(&path);
        let log = log.map_err(|error| trouble("open", &path, &error))?;
        let copy = log.try_clone().map_err(|error| trouble("open", &path, &error))?;
        let mut command = Command::new(&self.program);
        for (name, _) in std::env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"AIRLIFT_") {
                command.env_remove(name);
            }
        }
        command.env("NO_COLOR", "1").current_dir(&self.root);
        command.arg("--verbose").arg("--config").arg(self.root.join("airlift.toml")).args(words);
        command.stdin(Stdio::null()).stdout(copy).stderr(log);
        Ok(command)
    }

    fn spawn(&mut self, mut command: Command) -> Result<(), CliError> {
        let process = command.spawn().map_err(|error| cannot("start this program", &error))?;
        self.process = Some(process);
        Ok(())
    }
}

/// The last words of a log, fit for a terminal.
fn last_line(path: &Path) -> String {
    let read = || -> io::Result<String> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(LAST_BYTES)))?;
        let mut bytes = Vec::new();
        file.take(LAST_BYTES).read_to_end(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes);
        let line = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no word");
        Ok(line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect())
    };
    read().unwrap_or_else(|error| format!("read {}: {}", path.display(), words(&error)))
}

fn cannot(action: &str, error: &io::Error) -> CliError {
    CliError::cannot_run(format!("{action}: {}", words(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_place_has_a_majority_of_the_voters() {
        let voters: Vec<&str> = PLAN
            .iter()
            .filter(|(_, role)| *role == NodeRole::Voter)
            .map(|(name, _)| *name)
            .collect();
        assert_eq!(voters.len(), 3);
        assert_eq!(PLAN[0].1, NodeRole::Voter, "a founder is a voter");
        assert!(!voters.contains(&SOURCE) && !voters.contains(&TARGET));
        for place in ["berlin", "paris", "oslo"] {
            let lost = voters.iter().filter(|name| name.starts_with(place)).count();
            assert_eq!(lost, 1, "{place}");
        }
    }

    #[test]
    fn nodes_have_ports_and_logs_of_their_own() {
        let folder = tempfile::tempdir().unwrap();
        let nodes = plan(folder.path()).unwrap();
        let mut urls: Vec<String> = nodes.iter().map(Node::url).collect();
        urls.sort();
        urls.dedup();
        assert_eq!(urls.len(), PLAN.len());
        assert!(nodes.iter().all(|node| !node.is_running()));
    }

    #[test]
    fn the_last_words_of_a_log_are_found_and_harmless() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        assert!(last_line(&log).contains("no such file"), "{}", last_line(&log));
        for (text, last) in [
            ("", "no word"),
            ("first\nairlift: the disk is full\n\n", "airlift: the disk is full"),
            ("a\n\x1b[31mred\x07", " [31mred "),
        ] {
            fs::write(&log, text).unwrap();
            assert_eq!(last_line(&log), last);
        }
        fs::write(&log, "x".repeat(3 * LAST_BYTES as usize) + "\nlast\n").unwrap();
        assert_eq!(last_line(&log), "last");
    }
}
