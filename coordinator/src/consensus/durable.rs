//! What a member keeps on disk, and the checks before it is trusted.

use airlift_protocol::id::LogIndex;
use airlift_protocol::raft::{
    Configuration, ConfigurationError, HardState, LogEntry, LogPosition, RaftId, SnapshotRef,
};
use thiserror::Error;

/// A term that no cluster reaches; one beyond it on disk is damage.
const TERM_MAX: u64 = 1 << 62;

/// What a member has on disk: all that it needs to go on where it stopped.
///
/// The state machine is as old as `snapshot`; what was committed after is handed out again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Durable {
    /// Term, vote and commit.
    pub hard_state: HardState,
    /// The last entry that is no longer kept.
    pub compacted: LogPosition,
    /// The state to begin with; none until a joining member has fetched its first.
    pub snapshot: Option<SnapshotRef>,
    /// Entries after `compacted`, without gaps.
    pub entries: Vec<LogEntry>,
}

/// Why what is on disk cannot be trusted. The member must not vote again under its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CorruptLog {
    /// The member has no number.
    #[error("member 0 does not exist")]
    NoId,
    /// An entry is missing, or its term is impossible.
    #[error("entry {} does not follow the one before", .0.0)]
    Entry(LogIndex),
    /// The snapshot does not fit the entries.
    #[error("the snapshot as of entry {} does not fit the log", .0.0)]
    Snapshot(LogIndex),
    /// There are entries and nothing that they build on.
    #[error("there is no snapshot to begin with")]
    NoSnapshot,
    /// The snapshot's configuration cannot be in effect.
    #[error("configuration: {0}")]
    Configuration(#[from] ConfigurationError),
    /// The term is behind the log, or impossible.
    #[error("term {0} cannot be")]
    Term(u64),
    /// It claims entries that are not there.
    #[error("entry {} is committed and missing", .0.0)]
    Commit(LogIndex),
}

impl Durable {
    /// A new cluster with one voter: its log begins behind a snapshot of the empty state.
    ///
    /// The snapshot makes sure that whoever joins learns the membership before its first entry.
    pub fn found(voter: RaftId, digest: [u8; 32], bytes: u64) -> Self {
        let position = LogPosition { index: LogIndex(1), term: 1 };
        let snapshot = SnapshotRef {
            position,
            configuration: Configuration::single(voter),
            configured: LogIndex(0),
            digest,
            bytes,
        };
        Self {
            hard_state: HardState { term: 1, vote: None, commit: position.index },
            compacted: position,
            snapshot: Some(snapshot),
            entries: Vec::new(),
        }
    }

    /// A member that is about to join: it knows nothing, and waits for a leader to tell.
    pub fn joining() -> Self {
        Self::default()
    }

    /// The last entry, kept or not.
    pub fn last(&self) -> LogPosition {
        self.entries.last().map_or(self.compacted, LogEntry::position)
    }

    /// Checks that an honest member could have written this.
    ///
    /// # Errors
    /// With the first thing that is wrong.
    pub fn check(&self) -> Result<(), CorruptLog> {
        let mut before = self.compacted;
        for entry in &self.entries {
            if entry.index != before.index.next() || entry.term < before.term.max(1) {
                return Err(CorruptLog::Entry(entry.index));
            }
            before = entry.position();
        }
        let term = self.hard_state.term;
        if term < before.term || term > TERM_MAX {
            return Err(CorruptLog::Term(term));
        }
        if self.hard_state.commit > before.index {
            return Err(CorruptLog::Commit(self.hard_state.commit));
        }
        match &self.snapshot {
            Some(snapshot) => self.check_snapshot(snapshot),
            None if before == LogPosition::default() => Ok(()),
            None => Err(CorruptLog::NoSnapshot),
        }
    }

    fn check_snapshot(&self, snapshot: &SnapshotRef) -> Result<(), CorruptLog> {
        snapshot.configuration.check()?;
        let at = snapshot.position;
        let offset = at.index.0.checked_sub(self.compacted.index.0);
        let found = match offset.and_then(|offset| usize::try_from(offset).ok()) {
            Some(0) => Some(self.compacted),
            Some(offset) => self.entries.get(offset - 1).map(LogEntry::position),
            None => None,
        };
        match found == Some(at) && at.index.0 > 0 && snapshot.configured <= at.index {
            true => Ok(()),
            false => Err(CorruptLog::Snapshot(at.index)),
        }
    }
}
