//! A cluster of real processes on loopback, each with a directory of its own.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::airlift::{Airlift, Outcome, Running, fast_directory};
use crate::room::{self, Network};

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
    /// Where other nodes reach it.
    listen: String,
    /// Where clients reach it.
    api: String,
    /// The words of the program that runs it, if another one does.
    before: Vec<String>,
    process: Option<Running>,
    is_frozen: bool,
}

/// Nodes and their user, who ends them all when dropped.
#[derive(Debug)]
pub struct Cluster {
    airlift: Airlift,
    root: TempDir,
    /// The sites of the nodes, one each; `None` when all share the loopback.
    network: Option<Network>,
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
        Self::start_on(None, airlift, roles)
    }

    /// As [`start_with`](Self::start_with), each node at a site of its own.
    ///
    /// # Panics
    /// When it does not come up in time.
    pub fn start_at(network: Network, roles: &[Role]) -> Self {
        Self::start_on(Some(network), Airlift::new(), roles)
    }

    fn start_on(network: Option<Network>, airlift: Airlift, roles: &[Role]) -> Self {
        let root = fast_directory();
        let mut cluster = Self { airlift, root, network, nodes: Vec::new() };
        cluster.add(Vec::new());
        let directory = cluster.data_dir(0);
        let Node { name, listen, api, .. } = &cluster.nodes[0];
        let init = ["cluster", "init", "--data-dir", utf8(&directory), "--name", name];
        let rest = ["--listen", listen, "--api", api, "--json"];
        let words = init.iter().chain(&rest).copied().chain(cluster.open_api());
        let begun = cluster.airlift.run(words).expect(0).json();
        assert!(begun["cluster"].is_string(), "{begun}");
        cluster.restart(0);
        // All tokens are made before the first one is used, and all nodes join at once.
        let tokens: Vec<String> = roles[1..].iter().map(|role| cluster.token(*role)).collect();
        for token in &tokens {
            cluster.join_with(token);
        }
        cluster.wait_until_whole();
        cluster
    }

    /// Waits until every node that was added is known and alive, and every voter votes.
    ///
    /// # Panics
    /// When that does not come in time.
    pub fn wait_until_whole(&self) {
        self.wait_until("every node is known and alive", |view| self.is_whole(view));
    }

    /// Whether every node that was added is known and alive, and every voter votes.
    pub fn is_whole(&self, view: &Value) -> bool {
        let nodes = view["nodes"].as_array().map_or(&[][..], Vec::as_slice);
        let is_well = |node: &Value| {
            node["state"] == "alive" && (node["role"] == "worker" || node["is_voting"] == true)
        };
        nodes.len() == self.nodes.len() && nodes.iter().all(is_well)
    }

    /// A node that is not started yet, with addresses of its own.
    fn add(&mut self, before: Vec<String>) -> usize {
        let index = self.nodes.len();
        let (listen, api) = match &self.network {
            Some(_) => {
                let address = room::address(u8::try_from(index).expect("a few sites"));
                (format!("{address}:7401"), format!("{address}:7400"))
            }
            None => (loopback(), loopback()),
        };
        let name = format!("node{index}");
        self.nodes.push(Node { name, listen, api, before, process: None, is_frozen: false });
        index
    }

    /// What lets clients of other sites reach the API.
    fn open_api(&self) -> Option<&'static str> {
        self.network.is_some().then_some("--api-insecure")
    }

    /// The network between the sites of the nodes.
    ///
    /// # Panics
    /// When all share the loopback.
    pub fn network(&self) -> &Network {
        self.network.as_ref().expect("a cluster with sites")
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
        self.join_saying(token, &[])
    }

    /// As [`join_with`](Self::join_with), with more words on the command line.
    pub fn join_saying(&mut self, token: &str, words: &[&str]) -> usize {
        let index = self.add(Vec::new());
        let mut arguments = self.join_arguments(index, token);
        arguments.extend(words.iter().map(|word| (*word).to_owned()));
        self.run(index, arguments);
        index
    }

    /// Adds a node that another program runs, which joins with a token made for it; returns its
    /// place.
    ///
    /// # Panics
    /// When no token is to be had.
    pub fn join_after(&mut self, words: Vec<String>, role: Role) -> usize {
        let token = self.token(role);
        let index = self.add(words);
        self.join_again(index, &token);
        index
    }

    /// Lets node `index` join with this token, in the place of one that is gone.
    pub fn join_again(&mut self, index: usize, token: &str) {
        let arguments = self.join_arguments(index, token);
        self.run(index, arguments);
    }

    fn run(&mut self, index: usize, arguments: Vec<String>) {
        let mut before = self.nodes[index].before.clone();
        if let Some(network) = &self.network {
            before = network.site(u8::try_from(index).expect("a few sites")).entrance();
        }
        let said = File::options().create(true).append(true).open(self.log(index));
        let said = said.expect("a file in a directory of ours").into();
        let node = &mut self.nodes[index];
        node.process = Some(self.airlift.start_after(&before, arguments, said));
        node.is_frozen = false;
    }

    fn log(&self, index: usize) -> PathBuf {
        self.root.path().join(format!("node{index}.log"))
    }

    /// What node `index` has said on standard error, in all its lives.
    pub fn said(&self, index: usize) -> String {
        std::fs::read_to_string(self.log(index)).unwrap_or_default()
    }

    /// Waits until node `index` has ended by itself.
    ///
    /// # Panics
    /// When it does not run, or not end in time.
    pub fn wait_for_end(&mut self, index: usize) -> ExitStatus {
        let begun = Instant::now();
        let process = self.nodes[index].process.as_mut().expect("a node that runs");
        while !process.has_ended() {
            assert!(begun.elapsed() < WAIT_MAX, "node{index} does not end");
            std::thread::sleep(POLL);
        }
        process.wait()
    }

    /// The URL of the API of node `index`.
    pub fn url(&self, index: usize) -> String {
        format!("http://{}", self.nodes[index].api)
    }

    /// The id of the process of node `index`.
    ///
    /// # Panics
    /// When it does not run.
    pub fn process(&self, index: usize) -> u32 {
        self.nodes[index].process.as_ref().expect("a node that runs").id()
    }

    /// Where the control plane of node `index` listens.
    pub fn control_address(&self, index: usize) -> SocketAddr {
        parsed(&self.nodes[index].listen)
    }

    /// Where the API of node `index` listens.
    pub fn api_address(&self, index: usize) -> SocketAddr {
        parsed(&self.nodes[index].api)
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
        let Node { name, listen, api, .. } = &self.nodes[index];
        let directory = self.data_dir(index);
        ["node", "--data-dir", utf8(&directory), "--name", name]
            .into_iter()
            .chain(["--listen", listen, "--api", api, "--join", token])
            .chain(self.open_api())
            .map(str::to_owned)
            .collect()
    }

    /// Runs another build from now on: nodes that are started, and commands of the user.
    pub fn switch_to(&mut self, program: PathBuf) {
        self.airlift.switch_to(program);
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

    /// Asks node `index` to end, and waits until it has.
    ///
    /// # Panics
    /// When it does not run.
    pub fn stop(&mut self, index: usize) -> ExitStatus {
        self.nodes[index].process.take().expect("a node that runs").terminate()
    }

    /// Stops node `index` where it is, as if its machine stood still. It is not asked meanwhile.
    ///
    /// # Panics
    /// When it does not run.
    pub fn freeze(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        node.process.as_ref().expect("a node that runs").freeze();
        node.is_frozen = true;
    }

    /// Lets a frozen node go on.
    ///
    /// # Panics
    /// When it does not run.
    pub fn thaw(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        node.process.as_ref().expect("a node that runs").thaw();
        node.is_frozen = false;
    }

    /// Starts node `index` again, where it left off.
    pub fn restart(&mut self, index: usize) {
        let directory = self.data_dir(index);
        let arguments = ["node", "--data-dir", utf8(&directory)];
        self.run(index, arguments.map(str::to_owned).to_vec());
    }

    /// The words by which a node starts again from `directory`, with other addresses than before.
    pub fn copy_arguments(&self, directory: &std::path::Path) -> Vec<String> {
        let [listen, api] = [free_port(), free_port()].map(|port| format!("127.0.0.1:{port}"));
        ["node", "--data-dir", utf8(directory), "--listen", &listen, "--api", &api]
            .map(str::to_owned)
            .to_vec()
    }

    /// The process of node `index`, as long as it runs.
    pub fn living(&mut self, index: usize) -> Option<u32> {
        let process = self.nodes[index].process.as_mut()?;
        (!process.has_ended()).then(|| process.id())
    }

    /// The most memory that node `index` has held so far, and what it holds now, in bytes.
    ///
    /// # Panics
    /// When it does not run.
    pub fn memory(&mut self, index: usize) -> (u64, u64) {
        let id = self.living(index).unwrap_or_else(|| panic!("node{index} runs"));
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
        let nodes = self.nodes.iter().filter(|node| !node.is_frozen);
        let urls: Vec<String> = nodes.map(|node| format!("http://{}", node.api)).collect();
        let token = self.data_dir(0).join("admin.token");
        let rest = ["--cluster", &urls.join(","), "--token-file", utf8(&token)].map(str::to_owned);
        words.into_iter().map(str::to_owned).chain(rest).collect()
    }

    /// Runs a command of the cluster's user to its end.
    pub fn ask<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Outcome {
        self.airlift.run_after(&self.outlook(), self.address(words))
    }

    /// Where the user is: at a place that reaches all nodes.
    fn outlook(&self) -> Vec<String> {
        self.network.as_ref().map(|network| network.router().entrance()).unwrap_or_default()
    }

    /// Starts a command of the cluster's user.
    pub fn begin<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Running {
        self.begin_saying(words, Stdio::null())
    }

    /// As [`begin`](Self::begin); what it says goes to `said`.
    pub fn begin_saying<'a>(
        &self,
        words: impl IntoIterator<Item = &'a str>,
        said: Stdio,
    ) -> Running {
        self.airlift.start_after(&self.outlook(), self.address(words), said)
    }

    /// The cluster as it says it is; null when it does not answer.
    pub fn view(&self) -> Value {
        let outcome = self.ask(["cluster", "status", "--json"]);
        serde_json::from_str(&outcome.stdout).unwrap_or(Value::Null)
    }

    /// The job that was submitted last, as the cluster shows it; null when it does not answer.
    pub fn job(&self) -> Value {
        let outcome = self.ask(["job", "list", "--json"]);
        let list: Value = serde_json::from_str(&outcome.stdout).unwrap_or(Value::Null);
        list["jobs"][0].clone()
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

fn loopback() -> String {
    format!("127.0.0.1:{}", free_port())
}

fn parsed(address: &str) -> SocketAddr {
    address.parse().expect("an address of ours")
}

fn utf8(path: &std::path::Path) -> &str {
    path.to_str().expect("temporary paths are text")
}
