//! The way from a proposed command to a committed one.
//!
//! ```text
//! propose ─▶ waiting ─▶ Effect::Persist ─▶ in flight ─▶ Input::Persisted ─▶ committed ─▶ apply
//! ```
//!
//! One batch is in flight at a time, and what is proposed meanwhile forms the next: the cost of a
//! durable write is shared by all commands that waited for it. With a single voter an entry is
//! committed once it is durable here. Consensus belongs exactly between these two: `committed` then
//! hands out what a quorum has made durable, and nothing outside this module changes.

use std::collections::VecDeque;

use airlift_protocol::assignment::End;
use airlift_protocol::codec;
use airlift_protocol::id::{JobId, LogIndex};
use airlift_protocol::limits::LOG_ENTRY_BYTES_MAX;

use crate::command::Command;
use crate::input::RequestId;

/// A command with the request that it answers.
type Proposed = (Command, Option<RequestId>);

/// Commands between proposal and commitment.
#[derive(Debug)]
pub struct Log {
    waiting: VecDeque<Proposed>,
    in_flight: VecDeque<Proposed>,
    /// Index of the last entry that is committed.
    committed: LogIndex,
}

impl Log {
    /// A log whose entries up to `committed` have been applied.
    pub fn new(committed: LogIndex) -> Self {
        Self { waiting: VecDeque::new(), in_flight: VecDeque::new(), committed }
    }

    /// Queues a command, and remembers whom it answers.
    pub fn propose(&mut self, command: Command, request: Option<RequestId>) {
        self.waiting.push_back((command, request));
    }

    /// Commands that wait for the batch in flight.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Commands that are proposed and not committed.
    pub fn under_way(&self) -> impl Iterator<Item = &Command> {
        self.waiting.iter().chain(&self.in_flight).map(|(command, _)| command)
    }

    /// Pages of a listing that are proposed and not committed.
    pub fn pages_under_way(&self, job: JobId, end: End) -> u32 {
        let is_page = |command: &&Command| matches!(command, Command::Page { job: of, end: at, .. } if (*of, *at) == (job, end));
        u32::try_from(self.under_way().filter(is_page).count()).unwrap_or(u32::MAX)
    }

    /// The next batch to make durable, unless one is in flight.
    pub fn poll_persist(&mut self) -> Option<(LogIndex, Vec<Vec<u8>>)> {
        if !self.in_flight.is_empty() || self.waiting.is_empty() {
            return None;
        }
        let mut entries = Vec::new();
        let mut bytes = 0;
        while let Some((command, request)) = self.waiting.pop_front() {
            let entry = codec::encode(&command);
            bytes += entry.len();
            entries.push(entry);
            self.in_flight.push_back((command, request));
            if bytes >= LOG_ENTRY_BYTES_MAX {
                break;
            }
        }
        Some((self.committed.next(), entries))
    }

    /// The next command that is committed, given that entries up to `through` are durable.
    pub fn poll_committed(
        &mut self,
        through: LogIndex,
    ) -> Option<(LogIndex, Command, Option<RequestId>)> {
        let index = self.committed.next();
        if index > through {
            return None;
        }
        let (command, request) = self.in_flight.pop_front()?;
        self.committed = index;
        Some((index, command, request))
    }
}
