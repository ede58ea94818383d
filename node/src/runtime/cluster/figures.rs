//! What this node has done since its process started, counted: what its part in the cluster costs.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use airlift_coordinator::consensus::Persist;
use airlift_protocol::control::Description;
use airlift_protocol::error::ErrorCode;
use airlift_protocol::raft::LogPayload;
use airlift_protocol::time::Timestamp;
use tokio::time::Instant;

use super::courier::Deliveries;
use super::directory::Directory;
use super::service::Meters;
use super::work::Workshop;
use crate::api::view::{LogFigures, NodeFigures, StoreFigures, Traffic};
use crate::build::Build;
use crate::metrics::histogram::{DECISION_BOUNDS, Histogram};
use crate::metrics::snapshot::{Link, Measured};
use crate::network::control::ControlNetwork;
use crate::network::data::DataNetwork;
use crate::network::identity::peer_id;
use crate::runtime::clock;
use crate::runtime::{memory, process};

/// Failures that are told of before there is one: who waits for an increase sees none where there was
/// nothing before.
const LOOKED_FOR: [ErrorCode; 5] = [
    ErrorCode::NoSpace,
    ErrorCode::CorruptChunk,
    ErrorCode::CorruptTarget,
    ErrorCode::CorruptState,
    ErrorCode::Bug,
];

/// What the driver counts.
#[derive(Debug)]
pub(super) struct Figures {
    entries: AtomicU64,
    bytes: AtomicU64,
    syncs: AtomicU64,
    elections: AtomicU64,
    /// The last term that was seen; 0 before the first.
    term: AtomicU64,
    /// Attempts that were begun again.
    retries: AtomicU64,
    failures: Mutex<BTreeMap<&'static str, u64>>,
    /// Time for the log's entries to be committed, and for its writes to be durable.
    commits: Histogram,
    durable: Histogram,
}

impl Default for Figures {
    fn default() -> Self {
        let none = AtomicU64::default;
        Self {
            entries: none(),
            bytes: none(),
            syncs: none(),
            elections: none(),
            term: none(),
            retries: none(),
            failures: Mutex::new(LOOKED_FOR.map(|code| (code.as_str(), 0)).into()),
            commits: Histogram::new(DECISION_BOUNDS),
            durable: Histogram::new(DECISION_BOUNDS),
        }
    }
}

impl Figures {
    /// Takes note of how often attempts were begun again so far.
    pub(super) fn saw_retries(&self, retries: u64) {
        self.retries.store(retries, Ordering::Relaxed);
    }

    /// Counts a failure.
    pub(super) fn failed(&self, code: ErrorCode) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        *failures.entry(code.as_str()).or_default() += 1;
    }

    /// Counts an entry that took so long to be committed.
    pub(super) fn committed(&self, took: Duration) {
        self.commits.observe(took);
    }

    /// Counts a durable write of the log that took so long.
    pub(super) fn synced(&self, took: Duration) {
        self.durable.observe(took);
    }

    fn measure(&self, measured: &mut Measured) {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        measured.failures.clone_from(&failures);
        measured.retries = self.retries.load(Ordering::Relaxed);
        measured.commit = self.commits.read();
        measured.sync = self.durable.read();
    }

    /// Counts one durable write of the log, with what it is of.
    pub(super) fn wrote(&self, persists: &[Persist]) {
        let entries = || persists.iter().flat_map(|persist| &persist.entries);
        let bytes = entries().map(|entry| match &entry.payload {
            LogPayload::Command(command) => command.len() as u64,
            LogPayload::Empty | LogPayload::Membership(_) => 0,
        });
        self.entries.fetch_add(entries().count() as u64, Ordering::Relaxed);
        self.bytes.fetch_add(bytes.sum(), Ordering::Relaxed);
        self.syncs.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts the elections that came between what was seen before and `term`.
    pub(super) fn saw_term(&self, term: u64) {
        let before = self.term.swap(term, Ordering::Relaxed);
        if before != 0 {
            self.elections.fetch_add(term.saturating_sub(before), Ordering::Relaxed);
        }
    }
}

/// Where this node's figures are read.
#[derive(Debug)]
pub(super) struct NodeMeters {
    pub(super) name: String,
    pub(super) is_voter: bool,
    pub(super) directory: Directory,
    pub(super) figures: Arc<Figures>,
    pub(super) control: Arc<ControlNetwork>,
    pub(super) data: Arc<DataNetwork>,
    pub(super) workshop: Arc<Workshop>,
    pub(super) build: Build,
    pub(super) started: Instant,
    /// The same, as a wall clock tells it.
    pub(super) started_at: Timestamp,
    pub(super) deliveries: Deliveries,
}

impl Meters for NodeMeters {
    fn read(&self) -> NodeFigures {
        let control = self.control.status();
        let control = control.iter().map(|peer| (peer.bytes_sent, peer.bytes_received));
        let data = self.data.status().peers;
        let data = data.iter().map(|peer| (peer.bytes_sent, peer.bytes_received));
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        NodeFigures {
            name: self.name.clone(),
            id: peer_id(self.control.node()).to_string(),
            version: self.build.version.to_owned(),
            format_newest: self.build.formats.newest.0,
            uptime_seconds: clock::now().duration_since(self.started).as_secs(),
            memory_bytes: memory::resident_bytes(),
            control: traffic(control),
            data: traffic(data),
            log: self.is_voter.then(|| LogFigures {
                entries: count(&self.figures.entries),
                bytes: count(&self.figures.bytes),
                syncs: count(&self.figures.syncs),
                elections: count(&self.figures.elections),
            }),
            slots: self.workshop.slots() as u64,
            stores: StoreFigures::all(self.workshop.paces()),
        }
    }

    fn measure(&self) -> Measured {
        let mut measured = Measured {
            started_at: self.started_at.0 as f64 / 1e3,
            cpu: process::cpu_time(),
            descriptors: process::open_descriptors(),
            disk: process::disk(self.directory.path()),
            links: self.links(),
            ..Measured::default()
        };
        if self.is_voter {
            // A file that cannot be looked at has no size to tell; the node ends when it fails.
            let file = std::fs::metadata(self.directory.consensus());
            measured.log_file_bytes = file.ok().map(|file| file.len());
        }
        self.workshop.measure(&mut measured);
        self.figures.measure(&mut measured);
        measured.webhooks = self.deliveries.figures();
        measured
    }

    fn describe(&self) -> Description {
        let up = clock::now().duration_since(self.started);
        Description {
            version: self.build.version.to_owned(),
            formats: self.build.formats,
            layout: self.build.layout,
            uptime_ms: u64::try_from(up.as_millis()).unwrap_or(u64::MAX),
            disk: process::disk(self.directory.path()),
        }
    }
}

impl NodeMeters {
    fn links(&self) -> Vec<Link> {
        let traffic = |sent_bytes, received_bytes| Traffic { sent_bytes, received_bytes };
        let control = self.control.status().into_iter().map(|peer| Link {
            peer: peer_id(peer.node).to_string(),
            plane: "control",
            traffic: traffic(peer.bytes_sent, peer.bytes_received),
            connections: u64::from(peer.is_connected),
            rtt: peer.rtt,
        });
        let data = self.data.status().peers.into_iter().map(|peer| Link {
            peer: peer_id(peer.node).to_string(),
            plane: "data",
            traffic: traffic(peer.bytes_sent, peer.bytes_received),
            connections: peer.sessions as u64,
            rtt: None,
        });
        control.chain(data).collect()
    }
}

fn traffic(peers: impl Iterator<Item = (u64, u64)>) -> Traffic {
    peers.fold(Traffic::default(), |sum, (sent, received)| Traffic {
        sent_bytes: sum.sent_bytes.saturating_add(sent),
        received_bytes: sum.received_bytes.saturating_add(received),
    })
}

#[cfg(test)]
mod tests {
    use airlift_protocol::id::LogIndex;
    use airlift_protocol::raft::{HardState, LogEntry};

    use super::*;

    #[test]
    fn writes_and_terms_are_counted() {
        let entry = |payload| LogEntry { index: LogIndex(1), term: 1, payload };
        let persist = |entries| Persist {
            sequence: 1,
            hard_state: HardState::default(),
            snapshot: None,
            entries,
        };
        let figures = Figures::default();
        let command = LogPayload::Command(vec![0; 10]);
        figures.wrote(&[
            persist(vec![entry(LogPayload::Empty), entry(command.clone())]),
            persist(vec![entry(command)]),
        ]);
        figures.wrote(&[]);
        for term in [3, 3, 4, 6] {
            figures.saw_term(term);
        }
        let counts = [&figures.entries, &figures.bytes, &figures.syncs, &figures.elections];
        assert_eq!(counts.map(|counter| counter.load(Ordering::Relaxed)), [3, 20, 2, 3]);
    }
}
