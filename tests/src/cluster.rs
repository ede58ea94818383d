//! A cluster of real processes on loopback, each with a directory of its own.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::airlift::{Airlift, Outcome, Running, fast_directory};

/// Time for a cluster to come to what a test waits for.
const WAIT_MAX: Duration = Duration::from_secs(60);

const POLL: Duration = Duration::from_millis(100);

/// What a node is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It votes.
    Voter,
    /// It only moves data.
    Worker,
}

#[derive(Debug)]
struct Node {
    name: String,
    control: u16,
    api: u16,
    process: Option<Running>,
}

/// Nodes and their user, who ends them all when dropped.
#[derive(Debug)]
pub struct Cluster {
    airlift: Airlift,
    root: TempDir,
    nodes: Vec<Node>,
}

/// A port that was free a moment ago.
///
/// # Panics
/// When the system has none.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("a listener has an address").port()
}

impl Cluster {
    /// A cluster of these nodes, all of them running and known to each other: `node0`, `node1` and
    /// so on. The first one founds it and is a voter.
    ///
    /// # Panics
    /// When it does not come up in time.
    pub fn start(roles: &[Role]) -> Self {
        Self::start_with(Airlift::new(), roles)
    }

    /// As [`start`](Self::start), with what the nodes find in their environment.
    ///
    /// # Panics
    /// When it does not come up in time.
    pub fn start_with(airlift: Airlift, roles: &[Role]) -> Self {
        let root = fast_directory();
        let mut cluster = Self { airlift, root, nodes: Vec::new() };
        let (directory, name) = (cluster.data_dir(0), "node0".to_owned());
        let (control, port) = (free_port(), free_port());
        let listen = format!("127.0.0.1:{control}");
        let (directory, api) = (utf8(&directory), format!("127.0.0.1:{port}"));
        let init = ["cluster", "init", "--data-dir", directory, "--name", &name];
        let rest = ["--listen", &listen, "--api", &api, "--json"];
        let begun = cluster.airlift.run(init.iter().chain(&rest)).expect(0).json();
        assert!(begun["cluster"].is_string(), "{begun}");
        cluster.nodes.push(Node { name, control, api: port, process: None });
        cluster.restart(0);
        for (index, role) in (1..).zip(&roles[1..]) {
            cluster.join(*role);
            // A token is for the voters that there are: the next one is made when this one is in.
            cluster.wait_until("the node has joined", |view| {
                view["nodes"].as_array().is_some_and(|nodes| nodes.len() == index + 1)
            });
        }
        cluster.wait_until("every node is known and alive", |view| {
            let nodes = view["nodes"].as_array().map_or(&[][..], Vec::as_slice);
            nodes.len() == roles.len() && nodes.iter().all(|node| node["state"] == "alive")
        });
        cluster
    }

    /// Adds a node, which joins with a token made for it.
    ///
    /// # Panics
    /// When no token is to be had.
    pub fn join(&mut self, role: Role) {
        let token = self.token(role);
        self.join_with(&token);
    }

    /// Adds a node that joins with this token, and returns its place.
    pub fn join_with(&mut self, token: &str) -> usize {
        let index = self.nodes.len();
        let (name, port) = (format!("node{index}"), free_port());
        self.nodes.push(Node { name, control: free_port(), api: port, process: None });
        let arguments = self.join_arguments(index, token);
        let log = self.log_path(index);
        self.nodes[index].process = Some(self.airlift.start_logged(arguments, &log));
        index
    }

    /// Waits until node `index` has ended by itself.
    ///
    /// # Panics
    /// When it does not run.
    pub fn wait_for_end(&mut self, index: usize) -> std::process::ExitStatus {
        self.nodes[index].process.as_mut().expect("a node that runs").wait()
    }

    /// The URL of the API of node `index`.
    pub fn url(&self, index: usize) -> String {
        format!("http://127.0.0.1:{}", self.nodes[index].api)
    }

    /// Where the control plane of node `index` listens.
    pub fn control_address(&self, index: usize) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.nodes[index].control))
    }

    /// Where the API of node `index` listens.
    pub fn api_address(&self, index: usize) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.nodes[index].api))
    }

    /// A join token.
    ///
    /// # Panics
    /// When none is to be had.
    pub fn token(&self, role: Role) -> String {
        let role = match role {
            Role::Voter => "voter",
            Role::Worker => "worker",
        };
        self.ask(["cluster", "token", "--role", role]).expect(0).stdout.trim().to_owned()
    }

    /// The words by which node `index` joins for the first time.
    pub fn join_arguments(&self, index: usize, token: &str) -> Vec<String> {
        let node = &self.nodes[index];
        let directory = self.data_dir(index);
        let (listen, api) =
            (format!("127.0.0.1:{}", node.control), format!("127.0.0.1:{}", node.api));
        ["node", "--data-dir", utf8(&directory), "--name", &node.name]
            .into_iter()
            .chain(["--listen", &listen, "--api", &api, "--join", token])
            .map(str::to_owned)
            .collect()
    }

    /// The user of the cluster.
    pub fn user(&self) -> &Airlift {
        &self.airlift
    }

    /// The directory of node `index`.
    pub fn data_dir(&self, index: usize) -> PathBuf {
        self.root.path().join(format!("node{index}"))
    }

    /// Kills node `index`, without a word to it.
    pub fn kill(&mut self, index: usize) {
        if let Some(mut process) = self.nodes[index].process.take() {
            let _ = process.kill();
        }
    }

    /// Starts node `index` again, where it left off.
    pub fn restart(&mut self, index: usize) {
        let directory = self.data_dir(index);
        let arguments = ["node", "--data-dir", utf8(&directory)];
        let log = self.log_path(index);
        self.nodes[index].process = Some(self.airlift.start_logged(arguments, &log));
    }

    fn log_path(&self, index: usize) -> PathBuf {
        self.root.path().join(format!("node{index}.log"))
    }

    /// What node `index` has complained of so far.
    ///
    /// # Panics
    /// When it never ran.
    pub fn log(&self, index: usize) -> String {
        let bytes = std::fs::read(self.log_path(index)).expect("a node that was started has a log");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The process of node `index`, as long as it runs.
    pub fn process(&mut self, index: usize) -> Option<u32> {
        let process = self.nodes[index].process.as_mut()?;
        (!process.has_ended()).then(|| process.id())
    }

    /// The most memory that node `index` has held so far, and what it holds now, in bytes.
    ///
    /// # Panics
    /// When it does not run.
    pub fn memory(&mut self, index: usize) -> (u64, u64) {
        let id = self.process(index).unwrap_or_else(|| panic!("node{index} runs"));
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("Linux says so");
        let bytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a line");
            let digits = line.trim().trim_end_matches(" kB");
            digits.parse::<u64>().expect("kibibytes") << 10
        };
        (bytes("VmHWM:"), bytes("VmRSS:"))
    }

    /// Adds where the cluster is, and the right to ask it.
    fn address<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Vec<String> {
        let urls: Vec<String> =
            self.nodes.iter().map(|node| format!("http://127.0.0.1:{}", node.api)).collect();
        let token = self.data_dir(0).join("admin.token");
        let rest = ["--cluster", &urls.join(","), "--token-file", utf8(&token)].map(str::to_owned);
        words.into_iter().map(str::to_owned).chain(rest).collect()
    }

    /// Runs a command of the cluster's user to its end.
    pub fn ask<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Outcome {
        self.airlift.run(self.address(words))
    }

    /// Starts a command of the cluster's user.
    pub fn begin<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Running {
        self.airlift.start(self.address(words))
    }

    /// The cluster as it says it is; null when it does not answer.
    pub fn view(&self) -> Value {
        let outcome = self.ask(["cluster", "status", "--json"]);
        serde_json::from_str(&outcome.stdout).unwrap_or(Value::Null)
    }

    /// The leader's place, when there is one.
    pub fn leader(&self) -> Option<usize> {
        let view = self.view();
        let leader = view["leader"].as_str()?;
        self.nodes.iter().position(|node| node.name == leader)
    }

    /// Waits until the cluster says what is wanted.
    ///
    /// # Panics
    /// When it does not in time.
    pub fn wait_until(&self, what: &str, is_so: impl Fn(&Value) -> bool) {
        let begun = Instant::now();
        loop {
            let view = self.view();
            if is_so(&view) {
                return;
            }
            assert!(begun.elapsed() < WAIT_MAX, "not in {WAIT_MAX:?}: {what}: {view}");
            std::thread::sleep(POLL);
        }
    }
}

fn utf8(path: &std::path::Path) -> &str {
    path.to_str().expect("temporary paths are text")
}
