//! What this node has done since its process started, counted: what its part in the cluster costs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use airlift_coordinator::consensus::Persist;
use airlift_protocol::raft::LogPayload;
use tokio::time::Instant;

use super::service::Meters;
use super::work::Workshop;
use crate::api::view::{LogFigures, NodeFigures, StoreFigures, Traffic};
use crate::network::control::ControlNetwork;
use crate::network::data::DataNetwork;
use crate::network::identity::peer_id;
use crate::runtime::clock;
use crate::runtime::memory;

/// What the driver counts.
#[derive(Debug, Default)]
pub(super) struct Figures {
    entries: AtomicU64,
    bytes: AtomicU64,
    syncs: AtomicU64,
    elections: AtomicU64,
    /// The last term that was seen; 0 before the first.
    term: AtomicU64,
}

impl Figures {
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
    pub(super) figures: Arc<Figures>,
    pub(super) control: Arc<ControlNetwork>,
    pub(super) data: Arc<DataNetwork>,
    pub(super) workshop: Arc<Workshop>,
    pub(super) started: Instant,
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
            version: env!("CARGO_PKG_VERSION").to_owned(),
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
