//! The log of a process that works alone: its own majority.

use std::collections::VecDeque;

use airlift_protocol::codec;
use airlift_protocol::id::LogIndex;
use airlift_protocol::limits::LOG_ENTRY_BYTES_MAX;

use super::{Batch, Committed, Proposed};
use crate::command::Entry;

/// One batch is in flight at a time, and what is proposed meanwhile forms the next: the cost of a
/// durable write is shared by all commands that waited for it.
#[derive(Debug)]
pub(super) struct Alone {
    waiting: VecDeque<(Entry, Proposed)>,
    in_flight: VecDeque<(Entry, Proposed)>,
    /// Index of the last entry that is committed.
    committed: LogIndex,
    /// Index of the last entry that is durable.
    durable: LogIndex,
}

impl Alone {
    pub(super) fn new(committed: LogIndex) -> Self {
        let (waiting, in_flight) = (VecDeque::new(), VecDeque::new());
        Self { waiting, in_flight, committed, durable: committed }
    }

    pub(super) fn propose(&mut self, entry: Entry, proposed: Proposed) {
        self.waiting.push_back((entry, proposed));
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn under_way(&self) -> impl Iterator<Item = &Proposed> {
        self.waiting.iter().chain(&self.in_flight).map(|(_, proposed)| proposed)
    }

    pub(super) fn on_persisted(&mut self, through: u64) {
        self.durable = self.durable.max(LogIndex(through));
    }

    pub(super) fn poll_persist(&mut self) -> Option<(u64, Batch)> {
        if !self.in_flight.is_empty() || self.waiting.is_empty() {
            return None;
        }
        let first = self.committed.next();
        let mut entries = Vec::new();
        let mut bytes = 0;
        while let Some((entry, proposed)) = self.waiting.pop_front() {
            let encoded = codec::encode(&entry);
            bytes += encoded.len();
            entries.push(encoded);
            self.in_flight.push_back((entry, proposed));
            if bytes >= LOG_ENTRY_BYTES_MAX {
                break;
            }
        }
        let through = self.committed.0 + entries.len() as u64;
        Some((through, Batch::Entries { first, entries }))
    }

    pub(super) fn poll_committed(&mut self) -> Option<Committed> {
        let index = self.committed.next();
        if index > self.durable {
            return None;
        }
        let (entry, proposed) = self.in_flight.pop_front()?;
        self.committed = index;
        Some(Committed { index, entry, request: proposed.request })
    }
}
