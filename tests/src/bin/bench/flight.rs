//! Airlift over a network: two nodes of a cluster, one at each site.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use airlift_tests::room::Room;
use serde_json::Value;

use crate::contest::Run;
use crate::network::{ADDRESSES, Network};
use crate::process::{Daemon, Task, peak_bytes, reset_peak, text, usage};
use crate::stop;

/// Time for the two nodes to know each other.
const READY_MAX: Duration = Duration::from_secs(60);

const POLL: Duration = Duration::from_millis(50);

const NAMES: [&str; 2] = ["near", "far"];

/// Ports in networks that nobody else is in.
const CONTROL_PORT: u16 = 7401;
const API: &str = "127.0.0.1:7400";

/// Two nodes: one where the data is, which founds the cluster, and a worker where it goes.
#[derive(Debug)]
pub(crate) struct Flight<'a> {
    airlift: PathBuf,
    directory: PathBuf,
    room: &'a Room,
    nodes: Vec<Daemon>,
}

impl<'a> Flight<'a> {
    /// Starts the nodes and waits until they know each other.
    pub(crate) fn start(
        airlift: &Path,
        network: &'a Network,
        directory: &Path,
    ) -> Result<Self, String> {
        let rooms = network.rooms();
        let mut flight = Self {
            airlift: airlift.to_owned(),
            directory: directory.to_owned(),
            room: rooms[0],
            nodes: Vec::new(),
        };
        let home = [flight.data_dir(0), flight.data_dir(1)];
        let listen = ADDRESSES.map(|address| format!("{address}:{CONTROL_PORT}"));
        let init = ["cluster", "init", "--data-dir", text(&home[0]), "--name", NAMES[0]];
        let rest = ["--listen", &listen[0], "--api", API, "--json"];
        flight.task(init.iter().chain(&rest)).within(rooms[0]).run()?;
        flight.begin(0, rooms[0], &["node", "--data-dir", text(&home[0])])?;
        let token = flight.ask(&["cluster", "token", "--role", "worker"])?;
        let join = ["node", "--data-dir", text(&home[1]), "--name", NAMES[1]];
        let rest = ["--listen", &listen[1], "--api", API, "--join", token.trim()];
        let words: Vec<&str> = join.iter().chain(&rest).copied().collect();
        flight.begin(1, rooms[1], &words)?;
        flight.wait_until_whole()?;
        Ok(flight)
    }

    fn data_dir(&self, index: usize) -> PathBuf {
        self.directory.join(NAMES[index])
    }

    fn task<'b>(&self, words: impl IntoIterator<Item = &'b &'b str>) -> Task {
        let home = text(&self.directory).to_owned();
        let words = words.into_iter().map(|word| (*word).to_owned());
        Task::new([text(&self.airlift).to_owned()].into_iter().chain(words))
            .with(&[("HOME".to_owned(), home)])
    }

    fn begin(&mut self, index: usize, room: &Room, words: &[&str]) -> Result<(), String> {
        let task = self.task(words).within(room);
        let mut node = Daemon::start(NAMES[index], &task, &self.directory)?;
        let (_, port) = API.split_once(':').unwrap_or_default();
        node.wait_for_port(port.parse().unwrap_or(0))?;
        self.nodes.push(node);
        Ok(())
    }

    /// A command of the cluster's user, who is where the data is.
    pub(crate) fn client(&self, words: &[&str]) -> Task {
        let (url, token) = (format!("http://{API}"), self.data_dir(0).join("admin.token"));
        let rest = ["--cluster", &url, "--token-file", text(&token)];
        self.task(words.iter().chain(&rest)).within(self.room)
    }

    fn ask(&self, words: &[&str]) -> Result<String, String> {
        self.client(words).run().map(|ended| ended.stdout)
    }

    fn wait_until_whole(&self) -> Result<(), String> {
        let begun = Instant::now();
        while begun.elapsed() < READY_MAX && !stop::is_wanted() {
            // It may not answer yet.
            let view = self.ask(&["cluster", "status", "--json"]).unwrap_or_default();
            let view: Value = serde_json::from_str(&view).unwrap_or(Value::Null);
            let nodes = view["nodes"].as_array().map_or(&[][..], Vec::as_slice);
            if nodes.len() == NAMES.len() && nodes.iter().all(|node| node["state"] == "alive") {
                return Ok(());
            }
            std::thread::sleep(POLL);
        }
        Err("airlift: the two nodes do not find each other".to_owned())
    }

    /// The words that copy from one site's disk to the other's.
    pub(crate) fn copy_words(source: &Path, target: &str) -> [String; 4] {
        let (from, to) =
            (format!("{}:{}", NAMES[0], text(source)), format!("{}:{target}", NAMES[1]));
        ["cp".to_owned(), "-q".to_owned(), from, to]
    }

    /// Copies from one site's disk to the other's.
    pub(crate) fn copy(&self, source: &Path, target: &str) -> Result<Run, String> {
        self.nodes.iter().for_each(|node| reset_peak(node.id()));
        let before: f64 = self.nodes.iter().map(|node| usage(node.id()).seconds()).sum();
        let words = Self::copy_words(source, target);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let ended = self.client(&words).run();
        let ended = ended.map_err(|error| {
            let error = self.explain(&error);
            self.cancel();
            error
        })?;
        let after: f64 = self.nodes.iter().map(|node| usage(node.id()).seconds()).sum();
        let mut peaks: BTreeMap<String, u64> = self
            .nodes
            .iter()
            .zip(NAMES)
            .map(|(node, name)| (name.to_owned(), peak_bytes(node.id())))
            .collect();
        peaks.insert("client".to_owned(), ended.peak_bytes);
        let cpu_seconds = after - before + ended.usage.seconds();
        Ok(Run { seconds: ended.seconds, cpu_seconds, peaks, notes: self.counts() })
    }

    /// The job that was begun last, as the cluster shows it; null when it does not answer.
    fn job(&self) -> Value {
        let list = self.ask(&["job", "list", "--json"]).unwrap_or_default();
        let list: Value = serde_json::from_str(&list).unwrap_or(Value::Null);
        list["jobs"][0].clone()
    }

    /// Ends the job that was begun last, whose client is gone: the nodes would go on with it.
    pub(crate) fn cancel(&self) {
        let begun = Instant::now();
        let job = self.job();
        // It may have ended by itself.
        drop(self.ask(&["job", "cancel", job["id"].as_str().unwrap_or_default()]));
        while self.job()["outcome"].is_null() && begun.elapsed() < READY_MAX && !stop::is_wanted() {
            std::thread::sleep(POLL);
        }
    }

    /// What the job says it has sent, and sent again.
    fn counts(&self) -> BTreeMap<&'static str, f64> {
        let job = self.job();
        let bytes = |what: &str| job["bytes"][what].as_f64();
        let notes = [("job_bytes_sent", bytes("sent")), ("job_bytes_resent", bytes("resent"))];
        notes.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }

    /// Adds how far the job came, and what the nodes said last.
    fn explain(&self, error: &str) -> String {
        let job = self.job();
        let far = format!("{} of {} bytes were done", job["bytes"]["done"], job["bytes"]["total"]);
        let said = NAMES.map(|name| {
            let log = std::fs::read_to_string(self.directory.join(format!("{name}.log")));
            log.unwrap_or_default().trim().lines().last().unwrap_or_default().to_owned()
        });
        let said = said.into_iter().filter(|said| !said.is_empty());
        [error.to_owned(), far].into_iter().chain(said).collect::<Vec<_>>().join("; ")
    }
}
