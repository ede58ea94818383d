//! What nodes hold, sample by sample: memory, open handles, threads, disk.

use std::collections::BTreeMap;
use std::fs;
use std::time::Instant;

use airlift_tests::trial::bytes_at;
use serde_json::{Value, json};

use crate::ground::Ground;
use crate::slope::{Sample, trend};

/// A measure of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Measure {
    Memory,
    Handles,
    Threads,
    Disk,
}

impl Measure {
    fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Handles => "handles",
            Self::Threads => "threads",
            Self::Disk => "disk",
        }
    }

    /// Growth in a run that may be chance: a part of what there is, or so much.
    fn allowance(self, median: f64) -> f64 {
        let (part, least) = match self {
            Self::Memory => (0.20, f64::from(24 << 20)),
            Self::Handles => (0.20, 12.0),
            Self::Threads => (0.20, 8.0),
            Self::Disk => (0.25, f64::from(8 << 20)),
        };
        (median * part).max(least)
    }

    /// Whether a node that was killed meanwhile shows it too.
    fn outlives_a_process(self) -> bool {
        self == Self::Disk
    }

    fn text(self, value: f64) -> String {
        match self {
            Self::Memory | Self::Disk => format!("{:.1} MiB", value / f64::from(1 << 20)),
            Self::Handles | Self::Threads => format!("{value:.0}"),
        }
    }
}

/// All samples of a run.
#[derive(Debug)]
pub(crate) struct Gauge {
    begun: Instant,
    samples: BTreeMap<(usize, Measure), Vec<Sample>>,
}

impl Gauge {
    pub(crate) fn new() -> Self {
        Self { begun: Instant::now(), samples: BTreeMap::new() }
    }

    /// Looks at all nodes.
    pub(crate) fn sample(&mut self, ground: &Ground) {
        let at = self.begun.elapsed().as_secs_f64();
        for node in 0..ground.nodes {
            let (process, directory) = {
                let mut cluster = ground.cluster();
                (cluster.living(node), cluster.data_dir(node))
            };
            let disk = Some((Measure::Disk, bytes_at(&directory) as f64));
            let held = process.map(held).unwrap_or_default();
            for (measure, value) in held.into_iter().chain(disk) {
                self.samples.entry((node, measure)).or_default().push((at, value));
            }
        }
    }

    /// A row for each measure of each node, and what has grown too much.
    pub(crate) fn judge(&self, steady: &[usize]) -> (Vec<Value>, Vec<String>) {
        let (mut rows, mut leaks) = (Vec::new(), Vec::new());
        for ((node, measure), samples) in &self.samples {
            let Some(found) = trend(samples) else { continue };
            let allowance = measure.allowance(found.median);
            let is_judged = measure.outlives_a_process() || steady.contains(node);
            if is_judged && found.growth > allowance {
                leaks.push(format!(
                    "node{node}: {} grew by {} in the run, of {}; {} may be chance",
                    measure.name(),
                    measure.text(found.growth),
                    measure.text(found.median),
                    measure.text(allowance)
                ));
            }
            let texts = [found.median, found.most, found.growth, found.hourly];
            let texts = texts.map(|value| measure.text(value));
            rows.push(json!({
                "node": node, "measure": measure.name(), "judged": is_judged,
                "samples": samples.len(), "median": found.median, "most": found.most,
                "growth": found.growth, "growth_an_hour": found.hourly,
                "text": texts,
            }));
        }
        (rows, leaks)
    }
}

/// What a process holds; nothing when it has just ended.
fn held(process: u32) -> Vec<(Measure, f64)> {
    let Ok(status) = fs::read_to_string(format!("/proc/{process}/status")) else {
        return Vec::new();
    };
    let Ok(handles) = fs::read_dir(format!("/proc/{process}/fd")) else { return Vec::new() };
    let number = |name: &str| -> f64 {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.trim().trim_end_matches(" kB").parse().unwrap_or_default()
    };
    // One that has ended and was not waited for has no memory.
    if number("VmRSS:") == 0.0 {
        return Vec::new();
    }
    vec![
        (Measure::Memory, number("VmRSS:") * 1024.0),
        (Measure::Threads, number("Threads:")),
        (Measure::Handles, handles.count() as f64),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gauge(node: usize, measure: Measure, value: impl Fn(u32) -> f64) -> Gauge {
        let samples = (0..100u32).map(|at| (f64::from(at), value(at))).collect();
        Gauge { begun: Instant::now(), samples: [((node, measure), samples)].into() }
    }

    #[test]
    fn a_leak_is_told_of_what_lived_all_the_time() {
        let leaks = |at: u32| f64::from((40 << 20) + at * (1 << 20));
        let found = gauge(1, Measure::Memory, leaks);
        assert_eq!(found.judge(&[0]).1, Vec::<String>::new(), "it was killed meanwhile");
        let told = found.judge(&[1]).1;
        assert!(told[0].starts_with("node1: memory grew by 69"), "{told:?}");
        assert_eq!(gauge(1, Measure::Disk, leaks).judge(&[]).1.len(), 1);
        let rests = gauge(0, Measure::Handles, |at| f64::from(100 + at % 20));
        assert_eq!(rests.judge(&[0]).1, Vec::<String>::new());
    }

    #[test]
    fn this_process_holds_something_and_none_holds_nothing() {
        let found = held(std::process::id());
        assert!(found.len() == 3 && found.iter().all(|(_, value)| *value > 0.0));
        assert!(held(u32::MAX).is_empty());
    }
}
