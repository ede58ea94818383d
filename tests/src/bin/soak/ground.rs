//! What a run stands on: a cluster, a bucket, directories, and whether it still goes on.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use airlift_tests::airlift::{Airlift, fast_directory};
use airlift_tests::cluster::{Cluster, Role};
use airlift_tests::s3::S3Server;
use serde_json::Value;
use tempfile::TempDir;

use crate::options::Options;

/// The bucket of all jobs.
pub(crate) const BUCKET: &str = "bucket";

/// Nodes that are never killed: what they hold tells of leaks. One votes, one does not.
pub(crate) const STEADY: [usize; 2] = [0, 3];

/// Longest that a job may take: faults hold it up for less.
const JOB_MAX: Duration = Duration::from_secs(300);

/// Entries after which a voter cuts its log: often, so that what cuts leave shows.
const LOG_ENTRIES: &str = "256";

const POLL: Duration = Duration::from_millis(50);

/// What lanes, faults and samples share.
#[derive(Debug)]
pub(crate) struct Ground {
    cluster: Mutex<Cluster>,
    pub(crate) nodes: usize,
    pub(crate) server: S3Server,
    pub(crate) root: TempDir,
    rate: String,
    is_over: AtomicBool,
    pub(crate) jobs: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) compared: AtomicU64,
}

/// How a job ended.
#[derive(Debug)]
pub(crate) struct Ended {
    words: String,
    code: Option<i32>,
    said: String,
    /// The lines of its report.
    pub(crate) lines: Vec<Value>,
}

impl Ended {
    /// Its numbers, after a check that it ended with this code and that they add up.
    pub(crate) fn expect(&self, code: i32) -> Result<&Value, String> {
        let last = self.lines.last().map(|line| &line["summary"]);
        let summary = last.filter(|summary| summary.is_object());
        match summary {
            Some(summary) if self.code == Some(code) => Ok(summary),
            _ => Err(self.complaint(&format!("ended with {:?} instead of {code}", self.code))),
        }
    }

    /// A line about what is wrong with it.
    pub(crate) fn complaint(&self, what: &str) -> String {
        let last = self.lines.last().map(Value::to_string).unwrap_or_default();
        format!("`{}` {what}; it said: {}; its report ends: {last}", self.words, self.said.trim())
    }
}

impl Ground {
    pub(crate) fn prepare(options: &Options) -> Self {
        let server = S3Server::with_bucket(BUCKET);
        let user = Airlift::new()
            .with_s3(server.access())
            .with_variable("AIRLIFT_LOG_ENTRIES", LOG_ENTRIES);
        let mut roles = vec![Role::Voter; 3];
        roles.resize(options.nodes, Role::Worker);
        Self {
            cluster: Mutex::new(Cluster::start_with(user, &roles)),
            nodes: options.nodes,
            server,
            root: fast_directory(),
            rate: format!("{}M", options.rate_mib),
            is_over: AtomicBool::new(false),
            jobs: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            compared: AtomicU64::new(0),
        }
    }

    /// The cluster, for a moment.
    pub(crate) fn cluster(&self) -> MutexGuard<'_, Cluster> {
        self.cluster.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// No more jobs, no more faults.
    pub(crate) fn finish(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// Waits for so long, or until all is over.
    pub(crate) fn rest(&self, time: Duration) {
        let begun = Instant::now();
        while begun.elapsed() < time && !self.is_over() {
            std::thread::sleep(POLL.min(time));
        }
    }

    /// A directory below the root.
    pub(crate) fn directory(&self, name: &str) -> Result<PathBuf, String> {
        let path = self.root.path().join(name);
        std::fs::create_dir_all(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(path)
    }

    /// Runs a job to its end, whatever happens meanwhile.
    pub(crate) fn run(&self, lane: &str, words: &[&str]) -> Result<Ended, String> {
        let [report, said] =
            ["report", "said"].map(|what| self.root.path().join(format!("{lane}.{what}")));
        let told = File::create(&said).map_err(|error| format!("{}: {error}", said.display()))?;
        let mut all = words.to_vec();
        all.extend(["--progress", "none", "--report", text(&report)?]);
        if words[0] != "verify" {
            all.extend(["--bwlimit", &self.rate]);
        }
        let mut job = self.cluster().begin_saying(all, told.into());
        let begun = Instant::now();
        while !job.has_ended() {
            if begun.elapsed() > JOB_MAX {
                let now = self.cluster().view();
                return Err(format!("`{}` is not over after {JOB_MAX:?}: {now}", words.join(" ")));
            }
            std::thread::sleep(POLL);
        }
        let lines = std::fs::read_to_string(&report).unwrap_or_default();
        let lines = lines.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>();
        let ended = Ended {
            words: words.join(" "),
            code: job.wait().code(),
            said: std::fs::read_to_string(&said).unwrap_or_default(),
            lines: lines.map_err(|error| format!("`{}`: its report: {error}", words.join(" ")))?,
        };
        self.jobs.fetch_add(1, Ordering::Relaxed);
        let sent = ended.lines.last().and_then(|line| line["summary"]["bytes"]["sent"].as_u64());
        self.bytes.fetch_add(sent.unwrap_or(0), Ordering::Relaxed);
        Ok(ended)
    }
}

/// A path as text.
pub(crate) fn text(path: &Path) -> Result<&str, String> {
    path.to_str().ok_or_else(|| format!("{}: no text", path.display()))
}
