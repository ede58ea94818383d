//! The log in memory: every entry since the last compaction, where the library reads it.

use std::collections::VecDeque;

use airlift_protocol::id::LogIndex;
use airlift_protocol::limits::RAFT_ENTRIES_MAX;
use airlift_protocol::raft::{LogPosition, RaftId, SnapshotRef};
use raft::eraftpb::{ConfState, Entry, HardState, Snapshot};
use raft::{Error, GetEntriesContext, RaftState, Storage, StorageError};

use super::convert;

/// Bytes that an entry takes beside its command, about.
const ENTRY_OVERHEAD_BYTES: u64 = 24;

/// Entries since the last compaction, and the snapshot that stands for those before.
#[derive(Debug)]
pub(super) struct Entries {
    /// As the node was restored; the library asks once.
    initial: RaftState,
    /// The last entry that is gone.
    compacted: LogPosition,
    entries: VecDeque<Entry>,
    /// Bytes of the commands in `entries`.
    bytes: u64,
    snapshot: Option<SnapshotRef>,
}

impl Entries {
    pub(super) fn new(
        hard_state: HardState,
        configuration: ConfState,
        compacted: LogPosition,
        snapshot: Option<SnapshotRef>,
    ) -> Self {
        let initial = RaftState::new(hard_state, configuration);
        Self { initial, compacted, entries: VecDeque::new(), bytes: 0, snapshot }
    }

    /// Appends entries, first dropping those that they replace.
    pub(super) fn append(&mut self, entries: &[Entry]) {
        let Some(first) = entries.first() else { return };
        assert!(
            self.compacted.index.0 < first.index && first.index <= self.last() + 1,
            "invariant: entries are appended without a gap"
        );
        while self.last() >= first.index {
            let dropped = self.entries.pop_back().expect("invariant: there are entries to last");
            self.bytes -= dropped.data.len() as u64;
        }
        self.bytes += entries.iter().map(|entry| entry.data.len() as u64).sum::<u64>();
        self.entries.extend(entries.iter().cloned());
    }

    /// Begins again after a snapshot.
    pub(super) fn install(&mut self, snapshot: SnapshotRef) {
        self.compacted = snapshot.position;
        self.entries.clear();
        self.bytes = 0;
        self.snapshot = Some(snapshot);
    }

    /// Drops entries up to `through`, which `snapshot` contains.
    pub(super) fn compact(&mut self, through: LogIndex, snapshot: SnapshotRef) {
        while let Some(entry) = self.entries.front()
            && entry.index <= through.0
        {
            self.bytes -= entry.data.len() as u64;
            self.compacted = LogPosition { index: LogIndex(entry.index), term: entry.term };
            self.entries.pop_front();
        }
        self.snapshot = Some(snapshot);
    }

    /// The entry at `index`, unless it is gone or not there yet.
    pub(super) fn get(&self, index: u64) -> Option<&Entry> {
        let offset = index.checked_sub(self.compacted.index.0 + 1)?;
        self.entries.get(usize::try_from(offset).ok()?)
    }

    pub(super) fn len(&self) -> u64 {
        self.entries.len() as u64
    }

    /// The entry before the last ones, of which there are at most so many, with so many bytes.
    pub(super) fn all_but_last(&self, entries: u64, bytes: u64) -> LogIndex {
        let (mut left_entries, mut left_bytes) = (self.len(), self.bytes);
        let mut through = self.compacted.index;
        for entry in &self.entries {
            if left_entries <= entries && left_bytes <= bytes {
                break;
            }
            left_entries -= 1;
            left_bytes -= entry.data.len() as u64;
            through = LogIndex(entry.index);
        }
        through
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn snapshot(&self) -> Option<&SnapshotRef> {
        self.snapshot.as_ref()
    }

    pub(super) fn first(&self) -> u64 {
        self.compacted.index.0 + 1
    }

    fn last(&self) -> u64 {
        self.compacted.index.0 + self.entries.len() as u64
    }
}

impl Storage for Entries {
    fn initial_state(&self) -> raft::Result<RaftState> {
        Ok(self.initial.clone())
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        context: GetEntriesContext,
    ) -> raft::Result<Vec<Entry>> {
        if low < self.first() {
            return Err(Error::Store(StorageError::Compacted));
        }
        if high > self.last() + 1 {
            return Err(Error::Store(StorageError::Unavailable));
        }
        let bytes_max = max_size.into().unwrap_or(u64::MAX);
        // Only what is sent is cut by count: whoever looks for changes of membership needs all.
        let count_max = if context.can_async() { RAFT_ENTRIES_MAX - 1 } else { usize::MAX };
        let mut found = Vec::new();
        let mut bytes = 0u64;
        for index in low..high {
            let Some(entry) = self.get(index) else { break };
            bytes += ENTRY_OVERHEAD_BYTES + (entry.data.len() + entry.context.len()) as u64;
            if !found.is_empty() && (bytes > bytes_max || found.len() >= count_max) {
                break;
            }
            found.push(entry.clone());
        }
        Ok(found)
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        if index == self.compacted.index.0 {
            return Ok(self.compacted.term);
        }
        match self.get(index) {
            Some(entry) => Ok(entry.term),
            None if index < self.first() => Err(Error::Store(StorageError::Compacted)),
            None => Err(Error::Store(StorageError::Unavailable)),
        }
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.first())
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.last())
    }

    fn snapshot(&self, request_index: u64, to: u64) -> raft::Result<Snapshot> {
        // A member that the snapshot does not know would refuse it: `wants_snapshot` asks for one
        // that does.
        let fits = |snapshot: &&SnapshotRef| {
            snapshot.position.index.0 >= request_index
                && snapshot.configuration.contains(RaftId(to))
        };
        match self.snapshot.as_ref().filter(fits) {
            Some(snapshot) => Ok(convert::to_snapshot(snapshot)),
            None => Err(Error::Store(StorageError::SnapshotTemporarilyUnavailable)),
        }
    }
}
