//! What nodes measured lately of their work on jobs: a window of a few signs of life. It is lost with
//! the lead, and decides nothing.

use std::collections::{BTreeMap, VecDeque};

use airlift_protocol::figures::{JobFigures, Stage};
use airlift_protocol::id::JobId;
use airlift_protocol::limits::{HEARTBEAT_MS, JOBS_MEASURED_MAX};
use airlift_protocol::time::Timestamp;

/// Milliseconds that a window covers when no sign of life is late.
pub const WINDOW_MS: u64 = (SAMPLES_MAX as u64 - 1) * HEARTBEAT_MS;

/// Signs of life that a window has the figures of.
const SAMPLES_MAX: usize = 6;

/// A node's work on one job, as its last signs of life told it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Window {
    samples: VecDeque<(Timestamp, JobFigures)>,
}

impl Window {
    fn add(&mut self, at: Timestamp, figures: JobFigures) {
        if self.samples.len() >= SAMPLES_MAX {
            self.samples.pop_front();
        }
        self.samples.push_back((at, figures));
    }

    fn recent(&self) -> Option<Recent> {
        let (begun, first) = self.samples.front()?;
        let (ended, last) = self.samples.back()?;
        let elapsed_ms = ended.since(*begun);
        (elapsed_ms > 0).then(|| Recent { elapsed_ms, figures: last.since(*first) })
    }
}

/// What a node did for a job within a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recent {
    /// Length of the window, at least 1.
    pub elapsed_ms: u64,
    /// What was done in it.
    pub figures: JobFigures,
}

impl Recent {
    /// Bytes a second read at the source, for itself or for others.
    pub fn read_rate(&self) -> u64 {
        let JobFigures { moving, serving, .. } = &self.figures;
        self.rate(moving[Stage::Source].bytes.saturating_add(serving[Stage::Source].bytes))
    }

    /// Bytes a second written at the target.
    pub fn write_rate(&self) -> u64 {
        self.rate(self.figures.moving[Stage::Target].bytes)
    }

    fn rate(&self, bytes: u64) -> u64 {
        let rate = u128::from(bytes) * 1000 / u128::from(self.elapsed_ms);
        u64::try_from(rate).unwrap_or(u64::MAX)
    }
}

/// The windows of one node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Windows {
    jobs: BTreeMap<JobId, Window>,
}

impl Windows {
    /// Takes in a sign of life of the process that all earlier ones were of. Jobs that it does not
    /// name are forgotten.
    pub(super) fn hear(&mut self, at: Timestamp, figures: &[JobFigures]) {
        let mut earlier = std::mem::take(&mut self.jobs);
        for figures in figures.iter().take(JOBS_MEASURED_MAX) {
            let mut window = earlier.remove(&figures.job).unwrap_or_default();
            window.add(at, *figures);
            self.jobs.insert(figures.job, window);
        }
    }

    /// What was done for a job lately, once there are two signs of life to tell.
    pub fn of(&self, job: JobId) -> Option<Recent> {
        self.jobs.get(&job)?.recent()
    }
}

#[cfg(test)]
mod tests {
    use airlift_protocol::figures::Figures;

    use super::*;

    const JOB: JobId = JobId([1; 16]);

    fn figures(job: JobId, read: u64, served: u64, written: u64) -> JobFigures {
        let (mut moving, mut serving) = (Figures::default(), Figures::default());
        moving[Stage::Source].bytes = read;
        moving[Stage::Target].bytes = written;
        serving[Stage::Source].bytes = served;
        JobFigures { job, active_us: 0, orders: 0, moving, serving }
    }

    #[test]
    fn rates_are_of_the_last_few_signs_of_life() {
        let mut windows = Windows::default();
        windows.hear(Timestamp(0), &[figures(JOB, 0, 0, 0)]);
        assert_eq!(windows.of(JOB), None, "one look is no rate");
        windows.hear(Timestamp(2000), &[figures(JOB, 1000, 3000, 10_000)]);
        let recent = windows.of(JOB).unwrap();
        assert_eq!((recent.read_rate(), recent.write_rate()), (2000, 5000));
        for beat in 2..=20 {
            windows.hear(Timestamp(beat * 2000), &[figures(JOB, 1000, 3000, 10_000)]);
        }
        let recent = windows.of(JOB).unwrap();
        assert_eq!((recent.elapsed_ms, recent.write_rate()), (WINDOW_MS, 0));
        assert_eq!(windows.jobs[&JOB].samples.len(), SAMPLES_MAX);
    }

    #[test]
    fn what_a_node_no_longer_names_is_forgotten_and_what_it_names_is_bounded() {
        let mut windows = Windows::default();
        let many: Vec<JobFigures> =
            (0..200).map(|i| figures(JobId([i; 16]), 0, 0, u64::MAX)).collect();
        windows.hear(Timestamp(0), &many);
        assert_eq!(windows.jobs.len(), JOBS_MEASURED_MAX);
        windows.hear(Timestamp(0), &many[..1]);
        assert_eq!(windows.jobs.len(), 1);
        assert_eq!(windows.of(JobId([0; 16])), None, "no time has passed");
        windows.hear(Timestamp(1), &[figures(JobId([0; 16]), 0, 0, 0)]);
        assert_eq!(windows.of(JobId([0; 16])).unwrap().write_rate(), 0, "it counts anew");
    }
}
