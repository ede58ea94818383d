//! A node's disk: what is durable on it, and what happens to that when the power goes.

use std::collections::{BTreeMap, BTreeSet};

use airlift_coordinator::command::{Command, Entry};
use airlift_coordinator::consensus::{Durable, Persist};
use airlift_coordinator::log::Batch;
use airlift_coordinator::state::State;
use airlift_protocol::codec;
use airlift_protocol::id::LogIndex;
use airlift_protocol::limits::{LOG_ENTRY_BYTES_MAX, STATE_BYTES_MAX};
use airlift_protocol::manifest::Page;
use airlift_protocol::raft::{LogPayload, SnapshotRef};

/// What is to be made durable, all of it or nothing.
#[derive(Clone, Debug)]
pub(crate) enum Write {
    /// A batch of the log.
    Log {
        /// Names it in the answer.
        number: u64,
        /// The batch.
        batch: Batch,
    },
    /// A state that stands for the log up to `through`.
    Snapshot {
        /// What names the state in the log.
        reference: SnapshotRef,
        /// The state, encoded.
        state: Vec<u8>,
        /// The last entry that goes.
        through: LogIndex,
        /// Entries whose manifest pages stay.
        pages: BTreeSet<LogIndex>,
    },
    /// A state of another node, with the pages that belong to it.
    Fetched {
        /// What names the state in the log.
        reference: SnapshotRef,
        /// The state, encoded.
        state: Vec<u8>,
        /// The pages.
        pages: Vec<(LogIndex, Page)>,
    },
}

/// What a disk holds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    /// A voter's log.
    pub(crate) log: Durable,
    /// States by their digest.
    pub(crate) states: BTreeMap<[u8; 32], Vec<u8>>,
    /// Manifest pages whose entries are gone.
    pub(crate) pages: BTreeMap<LogIndex, Page>,
    /// The log of a process that works alone.
    pub(crate) alone: Vec<Vec<u8>>,
    /// Something on it is not what was written.
    pub(crate) is_damaged: bool,
}

impl Disk {
    /// A page of an entry that is known here to be committed.
    pub(crate) fn page(&self, index: LogIndex) -> Option<Page> {
        if let Some(page) = self.pages.get(&index) {
            return Some(page.clone());
        }
        self.page_in_log(index).filter(|_| index <= self.log.hard_state.commit)
    }

    fn page_in_log(&self, index: LogIndex) -> Option<Page> {
        let place = index.0.checked_sub(self.log.entries.first()?.index.0)?;
        page_of(&self.log.entries.get(usize::try_from(place).ok()?)?.payload)
    }

    /// The state that the log builds on.
    pub(crate) fn state(&self) -> State {
        let Some(snapshot) = &self.log.snapshot else { return State::default() };
        codec::decode(&self.states[&snapshot.digest], STATE_BYTES_MAX)
            .expect("invariant: what a node wrote can be read")
    }

    /// Makes a write durable.
    pub(crate) fn write(&mut self, write: Write) {
        match write {
            Write::Log { batch: Batch::Entries { entries, .. }, .. } => self.alone.extend(entries),
            Write::Log { batch: Batch::Consensus(persists), .. } => {
                persists.into_iter().for_each(|persist| self.persist(persist));
            }
            Write::Snapshot { reference, state, through, pages } => {
                self.cut(through, &pages);
                self.states.clear();
                self.states.insert(reference.digest, state);
                self.log.snapshot = Some(reference);
            }
            Write::Fetched { reference, state, pages } => {
                self.states.insert(reference.digest, state);
                self.pages.extend(pages);
            }
        }
    }

    fn persist(&mut self, persist: Persist) {
        let log = &mut self.log;
        log.hard_state = persist.hard_state;
        if let Some(snapshot) = persist.snapshot {
            log.compacted = snapshot.position;
            log.entries.clear();
            log.snapshot = Some(snapshot);
        }
        if let Some(first) = persist.entries.first() {
            let kept = log.entries.partition_point(|entry| entry.index < first.index);
            log.entries.truncate(kept);
        }
        log.entries.extend(persist.entries);
    }

    /// Drops the log up to `through`, but for `pages`.
    fn cut(&mut self, through: LogIndex, pages: &BTreeSet<LogIndex>) {
        for index in pages.iter().filter(|index| **index <= through) {
            // What a snapshot has is committed, whether or not the commit index got to the disk.
            if let Some(page) = self.page_in_log(*index) {
                self.pages.insert(*index, page);
            }
        }
        self.pages.retain(|index, _| pages.contains(index));
        let gone = self.log.entries.partition_point(|entry| entry.index <= through);
        if let Some(last) = self.log.entries[..gone].last() {
            self.log.compacted = last.position();
        }
        self.log.entries.drain(..gone);
    }

    /// Whether the entry `index` of `term` is durable here.
    pub(crate) fn has(&self, index: u64, term: u64) -> bool {
        if index <= self.log.compacted.index.0 {
            return true;
        }
        let Some(first) = self.log.entries.first() else { return false };
        let place = index.checked_sub(first.index.0).and_then(|place| usize::try_from(place).ok());
        place.and_then(|place| self.log.entries.get(place)).is_some_and(|entry| entry.term == term)
    }
}

fn page_of(payload: &LogPayload) -> Option<Page> {
    let LogPayload::Command(bytes) = payload else { return None };
    match codec::decode(bytes, 4 * LOG_ENTRY_BYTES_MAX) {
        Ok(Entry { command: Command::Page { page, .. }, .. }) => Some(page),
        _ => None,
    }
}
