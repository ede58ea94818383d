//! What this node writes: one thing after the other, in the order in which it was asked for.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use airlift_coordinator::Input;
use airlift_coordinator::consensus::Persist;
use airlift_protocol::error::ErrorCode;
use airlift_protocol::id::{JobId, LogIndex};
use airlift_protocol::raft::SnapshotRef;

use super::super::directory::NodeRecord;
use super::super::fetch::missing_pages;
use super::{Done, Driver};
use crate::runtime::blocking::blocking;
use crate::runtime::clock;
use crate::store::StoreError;

/// One thing to write.
pub(super) enum Write {
    /// What consensus asks for, under its number.
    Consensus { number: u64, persists: Vec<Persist> },
    /// This node's state, and that the log builds on it and begins after `through` from now on.
    Snapshot {
        reference: SnapshotRef,
        state: Vec<u8>,
        through: LogIndex,
        pages: BTreeSet<LogIndex>,
    },
    /// The state of another voter, beside what there is: the log may build on it later.
    Fetched { reference: SnapshotRef, state: Vec<u8> },
    /// What the node is.
    Node(Box<NodeRecord>),
    /// That the objects of this job need not be remembered, those of its runs up to this one. Records of
    /// later runs may be written before it.
    Forget(JobId, u32),
}

impl Driver {
    /// Writes `write` when all before it is written.
    pub(super) fn enqueue(&mut self, write: Write) {
        self.writes.push_back(write);
        self.write();
    }

    /// Begins the next write, unless one is under way.
    pub(super) fn write(&mut self) {
        // What became of objects is told again only from the snapshot on: it is written first.
        let is_snapshot = matches!(self.writes.front(), Some(Write::Snapshot { .. }));
        if self.is_writing || (is_snapshot && self.is_recording) {
            return;
        }
        let Some(write) = self.writes.pop_front() else { return };
        self.is_writing = true;
        match write {
            Write::Consensus { number, persists } => self.write_consensus(number, persists),
            Write::Snapshot { reference, state, through, pages } => {
                self.write_snapshot(reference, state, through, pages);
            }
            Write::Forget(job, run) => {
                let file = Arc::clone(&self.parts.records);
                self.on_disk(move || {
                    file.forget(job, run)?;
                    Ok(Done::Written(None))
                });
            }
            Write::Fetched { reference, state } => {
                self.write_fetched(reference, state);
            }
            Write::Node(record) => {
                let directory = self.parts.directory.clone();
                self.on_disk(move || {
                    directory.write(&record)?;
                    Ok(Done::Written(None))
                });
            }
        }
    }

    /// Writes a batch with all that follow it at once: the cost of a durable write is shared.
    fn write_consensus(&mut self, mut number: u64, mut persists: Vec<Persist>) {
        while let Some(Write::Consensus { number: next, persists: more }) =
            self.writes.pop_front_if(|write| matches!(write, Write::Consensus { .. }))
        {
            number = next;
            persists.extend(more);
        }
        self.parts.figures.wrote(&persists);
        let (file, directory) = (self.parts.file.clone(), self.parts.directory.clone());
        let figures = Arc::clone(&self.parts.figures);
        self.on_disk(move || {
            let begun = clock::now();
            file.ok_or_else(not_a_voter)?.persist(&persists)?;
            figures.synced(clock::now() - begun);
            if let Some(installed) = persists.iter().rev().find_map(|it| it.snapshot.as_ref()) {
                directory.drop_snapshots_but(&installed.digest)?;
            }
            Ok(Done::Written(Some(Input::Persisted { number })))
        });
    }

    /// Writes a state that has arrived, unless one of its pages is gone: a snapshot of this node's own
    /// that was written since keeps those of its state only. Then it is offered, and fetched, again.
    fn write_fetched(&mut self, reference: SnapshotRef, state: Vec<u8>) {
        let (file, directory) = (self.parts.file.clone(), self.parts.directory.clone());
        self.on_disk(move || {
            let file = file.ok_or_else(not_a_voter)?;
            let missing = missing_pages(&file, &state)?;
            let is_whole = missing.is_some_and(|missing| missing.is_empty());
            if is_whole {
                directory.write_snapshot(&reference.digest, &state)?;
            }
            let state = is_whole.then_some(state);
            Ok(Done::Written(Some(Input::SnapshotFetched { reference, state })))
        });
    }

    fn write_snapshot(
        &mut self,
        reference: SnapshotRef,
        state: Vec<u8>,
        through: LogIndex,
        pages: BTreeSet<LogIndex>,
    ) {
        let (file, directory) = (self.parts.file.clone(), self.parts.directory.clone());
        let (records, kept) = (std::mem::take(&mut self.records), Arc::clone(&self.parts.records));
        self.on_disk(move || {
            kept.keep(&records)?;
            directory.write_snapshot(&reference.digest, &state)?;
            file.ok_or_else(not_a_voter)?.compact(through, &reference, &pages)?;
            directory.drop_snapshots_but(&reference.digest)?;
            Ok(Done::Written(Some(Input::SnapshotSaved { reference })))
        });
    }

    /// Writes what became of objects, one batch at a time.
    pub(super) fn record(&mut self) {
        if self.is_recording || self.records.is_empty() {
            return;
        }
        self.is_recording = true;
        let records = std::mem::take(&mut self.records);
        let file = Arc::clone(&self.parts.records);
        self.on_disk(move || {
            file.keep(&records)?;
            Ok(Done::Recorded)
        });
    }

    fn on_disk(&mut self, work: impl FnOnce() -> Result<Done, StoreError> + Send + 'static) {
        self.done.push(Box::pin(async move { blocking(work).await.unwrap_or_else(Done::Failed) }));
    }
}

/// Writes that wait.
pub(super) type Writes = VecDeque<Write>;

fn not_a_voter() -> StoreError {
    StoreError::new(ErrorCode::Bug, "consensus on a node that is no voter")
}
