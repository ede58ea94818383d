//! How long the work of a node takes, and how long it waits for its turn.

use airlift_protocol::assignment::Work;
use tokio::time::Instant;

use crate::metrics::histogram::{Histogram, WORK_BOUNDS};
use crate::metrics::snapshot::Measured;
use crate::runtime::clock;

/// Kinds of work, by their place in [`Timing::attempts`].
const KINDS: [&str; 11] = [
    "list",
    "compare",
    "open",
    "move_range",
    "move_pack",
    "commit",
    "discard",
    "verify",
    "read_back",
    "delete",
    "clean",
];

/// The place of a kind of work among [`KINDS`].
fn place(work: &Work) -> usize {
    match work {
        Work::List { .. } => 0,
        Work::Compare { .. } => 1,
        Work::Open { .. } => 2,
        Work::MoveRange { .. } => 3,
        Work::MovePack { .. } => 4,
        Work::Commit { .. } => 5,
        Work::Discard { .. } => 6,
        Work::Verify { .. } => 7,
        Work::ReadBack { .. } => 8,
        Work::Delete { .. } => 9,
        Work::Clean => 10,
    }
}

/// What a kind of work is called.
pub(in crate::runtime::cluster) fn name(work: &Work) -> &'static str {
    KINDS[place(work)]
}

/// Takes times.
#[derive(Debug)]
pub(super) struct Timing {
    waits: Histogram,
    attempts: [Histogram; KINDS.len()],
}

/// An attempt, until it is dropped; one that is called off counts too.
#[must_use = "what is dropped at once took no time"]
#[derive(Debug)]
pub(super) struct Attempt<'a> {
    histogram: &'a Histogram,
    begun: Instant,
}

impl Timing {
    pub(super) fn new() -> Self {
        let attempts = KINDS.map(|_| Histogram::new(WORK_BOUNDS));
        Self { waits: Histogram::new(WORK_BOUNDS), attempts }
    }

    /// Waits for a turn.
    pub(super) async fn waiting<T>(&self, turn: impl Future<Output = T>) -> T {
        let begun = clock::now();
        let taken = turn.await;
        self.waits.observe(clock::now() - begun);
        taken
    }

    /// An attempt at `work` begins.
    pub(super) fn attempt(&self, work: &Work) -> Attempt<'_> {
        Attempt { histogram: &self.attempts[place(work)], begun: clock::now() }
    }

    /// What was taken so far.
    pub(super) fn measure(&self, measured: &mut Measured) {
        measured.queue_wait = self.waits.read();
        let kinds = KINDS.into_iter().zip(&self.attempts);
        measured.attempts = kinds.map(|(kind, histogram)| (kind, histogram.read())).collect();
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        self.histogram.observe(clock::now() - self.begun);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn waiting_and_work_are_counted_apart() {
        let timing = Timing::new();
        timing.waiting(tokio::time::sleep(Duration::from_secs(2))).await;
        let attempt = timing.attempt(&Work::Clean);
        tokio::time::sleep(Duration::from_secs(3)).await;
        drop(attempt);
        let mut measured = Measured::default();
        timing.measure(&mut measured);
        assert_eq!((measured.queue_wait.count, measured.queue_wait.sum_seconds), (1, 2.0));
        let counts: Vec<(&str, u64)> = measured
            .attempts
            .iter()
            .filter(|(_, reading)| reading.count > 0)
            .map(|(kind, reading)| (*kind, reading.count))
            .collect();
        assert_eq!(counts, [("clean", 1)]);
    }
}
