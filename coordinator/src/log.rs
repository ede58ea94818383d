//! The way from a proposed command to a committed one.
//!
//! ```text
//! propose ─▶ waiting ─▶ Effect::Persist ─▶ in flight ─▶ Input::Persisted ─▶ committed ─▶ apply
//! ```
//!
//! A process that works alone is its own majority: an entry is committed once it is durable here. In
//! a cluster, [`Consensus`] stands between the two, and what comes out is what a majority has made
//! durable. Nothing outside this module knows which.

mod alone;
mod group;

use airlift_protocol::assignment::End;
use airlift_protocol::id::{JobId, KeyRangeId, LogIndex};

use self::alone::Alone;
use self::group::Group;
use crate::command::{Command, Entry, Turn};
use crate::consensus::{Consensus, Persist};
use crate::input::RequestId;

/// What is to be made durable, all of it or nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Batch {
    /// Encoded entries of a process that works alone, at least one.
    Entries {
        /// Index of the first; the others follow without gap.
        first: LogIndex,
        /// The entries.
        entries: Vec<Vec<u8>>,
    },
    /// What consensus asks for, in order.
    Consensus(Vec<Persist>),
}

/// What is remembered of a command until it is committed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Proposed {
    request: Option<RequestId>,
    /// Set for what a listing reports of a key range.
    turn: Option<TurnOf>,
}

/// Of which listing and range a turn is, and whether it is a page.
#[derive(Clone, Copy, Debug)]
struct TurnOf {
    listing: (JobId, End),
    range: KeyRangeId,
    is_page: bool,
}

/// A command that is committed.
#[derive(Debug)]
pub(crate) struct Committed {
    pub(crate) index: LogIndex,
    pub(crate) entry: Entry,
    /// The request of this node that it answers.
    pub(crate) request: Option<RequestId>,
}

#[derive(Debug)]
enum Kind {
    Alone(Alone),
    Group(Box<Group>),
}

/// Commands between proposal and commitment.
#[derive(Debug)]
pub struct Log {
    kind: Kind,
}

impl Log {
    /// The log of a process that works alone, whose entries up to `committed` have been applied.
    pub fn alone(committed: LogIndex) -> Self {
        Self { kind: Kind::Alone(Alone::new(committed)) }
    }

    /// The log of a cluster's voter.
    pub fn group(consensus: Consensus) -> Self {
        Self { kind: Kind::Group(Box::new(Group::new(consensus))) }
    }

    /// Consensus, in a cluster.
    pub fn consensus(&self) -> Option<&Consensus> {
        match &self.kind {
            Kind::Alone(_) => None,
            Kind::Group(group) => Some(&group.consensus),
        }
    }

    pub(crate) fn consensus_mut(&mut self) -> Option<&mut Consensus> {
        match &mut self.kind {
            Kind::Alone(_) => None,
            Kind::Group(group) => Some(&mut group.consensus),
        }
    }

    /// Whether this node may decide: it leads, and knows all that was decided before.
    pub fn is_ready(&self) -> bool {
        match &self.kind {
            Kind::Alone(_) => true,
            Kind::Group(group) => group.is_ready(),
        }
    }

    /// Whether the log has an entry that this build cannot read.
    pub fn is_damaged(&self) -> bool {
        match &self.kind {
            Kind::Alone(_) => false,
            Kind::Group(group) => group.is_damaged(),
        }
    }

    /// Hands out nothing more: this build does not read what follows.
    pub(crate) fn close(&mut self) {
        if let Kind::Group(group) = &mut self.kind {
            group.close();
        }
    }

    /// Queues a command, and remembers whom it answers.
    pub(crate) fn propose(&mut self, entry: impl Into<Entry>, request: Option<RequestId>) {
        let entry = entry.into();
        let turn_of = |job: &JobId, end: &End, turn: &Turn, is_page| {
            Some(TurnOf { listing: (*job, *end), range: turn.range, is_page })
        };
        let turn = match &entry.command {
            Command::Page { job, end, turn, .. } => turn_of(job, end, turn, true),
            Command::Cut { job, end, turn, .. } | Command::Passed { job, end, turn, .. } => {
                turn_of(job, end, turn, false)
            }
            _ => None,
        };
        let proposed = Proposed { request, turn };
        match &mut self.kind {
            Kind::Alone(alone) => alone.propose(entry, proposed),
            Kind::Group(group) => group.propose(entry, proposed),
        }
    }

    /// Commands that wait.
    pub fn waiting(&self) -> usize {
        match &self.kind {
            Kind::Alone(alone) => alone.waiting(),
            Kind::Group(group) => group.waiting(),
        }
    }

    /// Pages of a listing that are proposed and not committed.
    pub fn pages_under_way(&self, job: JobId, end: End) -> u32 {
        self.under_way(|turn| turn.listing == (job, end) && turn.is_page)
    }

    /// Pages and cuts of a key range that are proposed and not committed.
    pub fn turns_under_way(&self, job: JobId, end: End, range: KeyRangeId) -> u32 {
        self.under_way(|turn| turn.listing == (job, end) && turn.range == range)
    }

    fn under_way(&self, is_meant: impl Fn(TurnOf) -> bool) -> u32 {
        let is_meant = |proposed: &&Proposed| proposed.turn.is_some_and(&is_meant);
        let count = match &self.kind {
            Kind::Alone(alone) => alone.under_way().filter(is_meant).count(),
            Kind::Group(group) => group.under_way().filter(is_meant).count(),
        };
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// What `number` named is durable.
    pub(crate) fn on_persisted(&mut self, number: u64) {
        match &mut self.kind {
            Kind::Alone(alone) => alone.on_persisted(number),
            Kind::Group(group) => group.consensus.on_persisted(number),
        }
    }

    /// The next batch to make durable, with its number.
    pub(crate) fn poll_persist(&mut self) -> Option<(u64, Batch)> {
        match &mut self.kind {
            Kind::Alone(alone) => alone.poll_persist(),
            Kind::Group(group) => {
                group.flush();
                group.poll_persist()
            }
        }
    }

    /// The next command that is committed.
    pub(crate) fn poll_committed(&mut self) -> Option<Committed> {
        match &mut self.kind {
            Kind::Alone(alone) => alone.poll_committed(),
            Kind::Group(group) => group.poll_committed(),
        }
    }

    /// Requests whose commands may come to pass or not: the lead was lost meanwhile.
    pub(crate) fn take_lost(&mut self) -> Vec<RequestId> {
        match &mut self.kind {
            Kind::Alone(_) => Vec::new(),
            Kind::Group(group) => group.take_lost(),
        }
    }
}
