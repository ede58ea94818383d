//! How fast each node writes, and reads for others, from what its signs of life said lately.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use airlift_protocol::cluster::Boot;
use airlift_protocol::control::Heartbeat;
use airlift_protocol::id::{JobId, NodeId};
use airlift_protocol::time::Timestamp;

use super::inventory::Beside;
use crate::state::State;

/// Spans between two signs of life that count: ten seconds.
const SPANS_MAX: usize = 5;

/// Milliseconds of work that have to be seen before a rate is known.
const RATE_MS_MIN: u64 = 3_000;

/// Milliseconds after which a rate is forgotten: whoever was slow gets another chance.
const RATE_AGE_MS: u64 = 60_000;

/// Bytes over the last spans of time in which there was work all along.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Window {
    spans: VecDeque<(u64, u64)>,
    ended: Timestamp,
    is_busy: bool,
}

impl Window {
    /// Takes in a span of `ms` that ends `now`. Without work at both of its ends, it says nothing.
    fn add(&mut self, now: Timestamp, ms: u64, bytes: u64, is_busy: bool) {
        if self.is_busy && is_busy {
            self.spans.push_back((ms, bytes));
            if self.spans.len() > SPANS_MAX {
                self.spans.pop_front();
            }
            self.ended = now;
        }
        self.is_busy = is_busy;
    }

    fn rate(&self, now: Timestamp) -> Option<u64> {
        let ms: u64 = self.spans.iter().map(|(ms, _)| ms).sum();
        if ms < RATE_MS_MIN || now.since(self.ended) > RATE_AGE_MS {
            return None;
        }
        let bytes = self.spans.iter().fold(0u64, |sum, (_, bytes)| sum.saturating_add(*bytes));
        Some(bytes.saturating_mul(1000) / ms)
    }
}

/// One process of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Track {
    boot: Boot,
    heard: Timestamp,
    /// Bytes written since the process started, by job.
    written: BTreeMap<JobId, u64>,
    writing: Window,
    /// Bytes that others wrote of what this node read, since it was heard.
    read: u64,
    reading: Window,
}

/// The rates of all nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rates {
    tracks: BTreeMap<NodeId, Track>,
    /// When silent nodes were forgotten last.
    swept: Timestamp,
}

impl Rates {
    /// Takes in a sign of life.
    pub(super) fn observe(
        &mut self,
        now: Timestamp,
        node: NodeId,
        beat: &Heartbeat,
        state: &State,
    ) {
        self.sweep(now);
        let work = Work::of(state, node);
        let written: BTreeMap<JobId, u64> = beat.written.iter().copied().collect();
        let fresh = || Track {
            boot: beat.boot,
            heard: now,
            written: written.clone(),
            writing: Window::default(),
            read: 0,
            reading: Window::default(),
        };
        let track = self.tracks.entry(node).or_insert_with(fresh);
        if track.boot != beat.boot || now.since(track.heard) > RATE_AGE_MS {
            *track = fresh();
        }
        let ms = now.since(track.heard);
        track.heard = now;
        let grown: Vec<(JobId, u64)> = written
            .iter()
            .map(|(job, bytes)| {
                (*job, bytes.saturating_sub(track.written.get(job).copied().unwrap_or(0)))
            })
            .collect();
        let bytes = grown.iter().fold(0u64, |sum, (_, bytes)| sum.saturating_add(*bytes));
        track.writing.add(now, ms, bytes, work.is_writing);
        let read = std::mem::take(&mut track.read);
        track.reading.add(now, ms, read, work.is_reading);
        track.written = written;
        for (job, bytes) in grown {
            self.attribute(bytes, work.readers.get(&job));
        }
    }

    /// Forgets nodes that were not heard for long, from time to time: there may be a thousand.
    fn sweep(&mut self, now: Timestamp) {
        if now.since(self.swept) >= RATE_AGE_MS {
            self.swept = now;
            self.tracks.retain(|_, track| now.since(track.heard) <= RATE_AGE_MS);
        }
    }

    /// What was written of a job was read by those who read it for the writer.
    fn attribute(&mut self, bytes: u64, readers: Option<&BTreeSet<NodeId>>) {
        let Some(readers) = readers else { return };
        for reader in readers {
            if let Some(track) = self.tracks.get_mut(reader) {
                track.read = track.read.saturating_add(bytes / readers.len() as u64);
            }
        }
    }

    /// For nodes that are asked for in ascending order: bytes per second that one writes, and reads for
    /// others; `None` where that is not known.
    pub(super) fn beside(&self, now: Timestamp) -> impl FnMut(NodeId) -> [Option<u64>; 2] + '_ {
        let mut tracks = Beside::new(&self.tracks);
        move |node| {
            let track = tracks.at(node);
            [
                track.and_then(|track| track.writing.rate(now)),
                track.and_then(|track| track.reading.rate(now)),
            ]
        }
    }

    /// Bytes per second that `node` writes; `None` when that is not known.
    pub(super) fn writes(&self, now: Timestamp, node: NodeId) -> Option<u64> {
        self.tracks.get(&node)?.writing.rate(now)
    }
}

/// What a node works on by the log.
#[derive(Default)]
struct Work {
    is_writing: bool,
    is_reading: bool,
    /// For each job that it writes, who reads.
    readers: BTreeMap<JobId, BTreeSet<NodeId>>,
}

impl Work {
    fn of(state: &State, node: NodeId) -> Self {
        let mut work = Self::default();
        for (id, job) in state.jobs.iter().filter(|(_, job)| job.is_running()) {
            let Some(held) = job.leases.of(node) else { continue };
            work.is_reading |= held.feeding > 0;
            if held.moving > 0 {
                work.is_writing = true;
                work.readers.insert(*id, held.readers.keys().copied().collect());
            }
        }
        work
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 100_000;

    /// Adds spans of two seconds: bytes, and whether there is work at the end.
    fn window(spans: &[(u64, bool)]) -> (Window, Timestamp) {
        let mut window = Window { is_busy: true, ..Window::default() };
        let mut now = Timestamp(START);
        for (bytes, is_busy) in spans {
            now = now.plus(2_000);
            window.add(now, 2_000, *bytes, *is_busy);
        }
        (window, now)
    }

    #[test]
    fn a_rate_is_that_of_the_last_seconds_with_work() {
        let busy = |bytes| (bytes, true);
        for (spans, expected) in [
            (&[][..], None),
            (&[busy(8_000)], None),
            (&[busy(8_000), busy(8_000)], Some(4_000)),
            (&[busy(8_000), busy(0)], Some(2_000)),
            // Idle spans say nothing, nor do those in which work ends or begins.
            (&[busy(8_000), (1, false), (0, false), (1, true), busy(8_000)], Some(4_000)),
            (&[busy(90_000), busy(90_000), busy(0), busy(0), busy(0), busy(0), busy(0)], Some(0)),
            (&[busy(u64::MAX), busy(u64::MAX)], Some(u64::MAX / 4_000)),
        ] {
            let (window, now) = window(spans);
            assert_eq!(window.rate(now), expected, "{spans:?}");
            assert!(window.spans.len() <= SPANS_MAX);
        }
    }

    #[test]
    fn a_rate_is_forgotten() {
        let (window, now) = window(&[(8_000, true), (8_000, true)]);
        assert_eq!(window.rate(now.plus(RATE_AGE_MS)), Some(4_000));
        assert_eq!(window.rate(now.plus(RATE_AGE_MS + 1)), None);
    }
}
