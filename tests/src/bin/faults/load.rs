//! A cluster with a job that moves bytes at a steady rate, and the record of how they arrive.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use airlift_tests::airlift::{Running, fast_directory};
use airlift_tests::cluster::Cluster;
use airlift_tests::tree;
use airlift_tests::trial::{bytes_at, on, plant};
use serde_json::Value;
use tempfile::TempDir;

use crate::tally::Tally;

/// MiB a second that a job may move: little, so that what is measured is not the machine.
pub(crate) const RATE_MIB: usize = 4;

/// Time without a byte that counts as a stall.
const STALL: Duration = Duration::from_secs(1);

/// Time within which a fault shows: what was on its way arrives before.
const ONSET: Duration = Duration::from_secs(6);

/// Time to go on after a fault.
const RECOVERY_MAX: Duration = Duration::from_secs(120);

const PERIOD: Duration = Duration::from_millis(100);

/// Bytes at the target by time.
#[derive(Debug)]
struct Arrivals {
    seen: Arc<Mutex<Vec<(Instant, u64)>>>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Arrivals {
    fn watch(target: PathBuf) -> Self {
        let (seen, is_over) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (record, ends) = (Arc::clone(&seen), Arc::clone(&is_over));
        let thread = std::thread::spawn(move || {
            while !ends.load(Ordering::Relaxed) {
                let sample = (Instant::now(), bytes_at(&target));
                record.lock().unwrap_or_else(PoisonError::into_inner).push(sample);
                std::thread::sleep(PERIOD);
            }
        });
        Self { seen, is_over, thread: Some(thread) }
    }

    /// Times after `from` at which there was more than ever before.
    fn growth(&self, from: Instant) -> Vec<Instant> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut most = 0;
        let mut times = Vec::new();
        for &(at, bytes) in seen.iter() {
            if bytes > most && at > from {
                times.push(at);
            }
            most = most.max(bytes);
        }
        times
    }

    fn at(&self, time: Instant) -> u64 {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let before = seen.iter().take_while(|(at, _)| *at <= time);
        before.map(|(_, bytes)| *bytes).max().unwrap_or(0)
    }
}

impl Drop for Arrivals {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        drop(self.thread.take().map(JoinHandle::join));
    }
}

/// A cluster at work.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) cluster: Cluster,
    source: TempDir,
    target: TempDir,
    job: Running,
    arrivals: Arrivals,
}

impl Load {
    /// Begins a job from one node's disk to another's, which lasts for about `time`.
    pub(crate) fn begin(cluster: Cluster, from: usize, to: usize, time: Duration) -> Self {
        let (source, target) = (fast_directory(), fast_directory());
        let seconds = usize::try_from(time.as_secs()).expect("a few minutes");
        plant(source.path(), RATE_MIB * seconds);
        let rate = format!("{RATE_MIB}M");
        let (from, to) = (on(from, source.path()), on(to, target.path()));
        let job = cluster.begin(["cp", &from, &to, "--bwlimit", &rate]);
        let arrivals = Arrivals::watch(target.path().to_owned());
        let load = Self { cluster, source, target, job, arrivals };
        load.wait_for_growth(Instant::now());
        // A steady rate is what a dip is measured against.
        std::thread::sleep(Duration::from_secs(5));
        load
    }

    fn wait_for_growth(&self, from: Instant) {
        while self.arrivals.growth(from).len() < 3 {
            assert!(from.elapsed() < RECOVERY_MAX, "nothing arrives: {}", self.cluster.job());
            std::thread::sleep(PERIOD);
        }
    }

    /// For how long a fault of `from` that has not been mended stops the bytes; zero when it does
    /// not.
    pub(crate) fn stall_after(&self, from: Instant) -> Duration {
        std::thread::sleep((ONSET + STALL).saturating_sub(from.elapsed()));
        self.wait_for_growth(Instant::now());
        let mut last = from;
        let mut stall = Duration::ZERO;
        for at in self.arrivals.growth(from) {
            if at - last >= STALL && last - from <= ONSET {
                stall = at - from;
            }
            last = at;
        }
        stall
    }

    /// How long after `from`, when what stopped the bytes was mended, they flow again.
    pub(crate) fn flow_after(&self, from: Instant) -> Duration {
        self.wait_for_growth(from);
        self.arrivals.growth(from)[0] - from
    }

    /// By how many percent fewer bytes moved in 30 seconds after `from` than the rate before it
    /// would have moved.
    pub(crate) fn dip_after(&self, from: Instant) -> f64 {
        let (before, after) = (Duration::from_secs(5), Duration::from_secs(30));
        std::thread::sleep(after.saturating_sub(from.elapsed()));
        let moved = |begin: Instant, end: Instant| {
            self.arrivals.at(end).saturating_sub(self.arrivals.at(begin)) as f64
        };
        let usual = moved(from - before, from) * after.as_secs_f64() / before.as_secs_f64();
        (1.0 - moved(from, from + after) / usual) * 100.0
    }

    /// Lets the job end, and judges it.
    pub(crate) fn end(mut self, tally: &mut Tally) -> Cluster {
        let status = self.job.wait();
        let job = self.cluster.job();
        judge(&job, self.source.path(), self.target.path(), tally);
        assert!(status.success(), "{status}: {job}");
        self.cluster
    }
}

/// Counts what was sent again, lost, or falsely called done.
pub(crate) fn judge(job: &Value, source: &Path, target: &Path, tally: &mut Tally) {
    let (source, target) = (tree::read(source), tree::read(target));
    judge_trees(job, &source, &target, tally);
}

/// As [`judge`], of what was read already.
pub(crate) fn judge_trees<K: Ord, V: PartialEq>(
    job: &Value,
    source: &std::collections::BTreeMap<K, V>,
    target: &std::collections::BTreeMap<K, V>,
    tally: &mut Tally,
) {
    let count = |what: &str| job["objects"][what].as_u64().unwrap_or(0);
    let bytes = |what: &str| job["bytes"][what].as_u64().unwrap_or(0);
    tally.sent += bytes("sent");
    tally.resent += bytes("resent");
    let ended: u64 = ["done", "unchanged", "failed", "skipped"].into_iter().map(count).sum();
    let expected = u64::try_from(source.len()).unwrap_or(u64::MAX);
    tally.lost += expected.saturating_sub(ended);
    let right = source.iter().filter(|(key, node)| target.get(key) == Some(node)).count();
    let called_done = count("done") + count("unchanged");
    tally.false_done += called_done.saturating_sub(u64::try_from(right).unwrap_or(u64::MAX));
}
