//! The replicated state: jobs, and nothing that grows with the number of their objects but one bit
//! an object of the pages in work.
//!
//! [`State::apply`] is the only thing that changes it. It is total: a command that no longer fits
//! is ignored, and nothing in a log can make it panic.

mod access;
mod apply;
mod audit;
mod cluster;
mod grant;
mod job;
mod leases;
mod ledger;
mod listing;
mod notice;
mod object;
mod once;
mod page;
mod report;
mod retention;

use std::collections::{BTreeMap, BTreeSet};

use airlift_protocol::attributes::AttributeSet;
use airlift_protocol::cluster::Boot;
use airlift_protocol::codec;
use airlift_protocol::error::{ErrorCode, Failure};
use airlift_protocol::id::{
    AssignmentId, Epoch, JobId, KeyRangeId, LogIndex, NodeId, PageId, Position,
};
use airlift_protocol::key::Key;
use airlift_protocol::schedule::Bandwidth;
use airlift_protocol::sum::SumKind;
use airlift_protocol::time::Timestamp;
use airlift_protocol::version::FormatVersion;
use serde::{Deserialize, Serialize};

pub use self::access::{Access, out_of_reach, reaches_job};
pub(crate) use self::apply::is_movable;
pub use self::audit::Audit;
pub use self::cluster::{Cluster, JoinToken};
pub use self::job::{FailedObject, Job, LeftOver, Phase, UploadId, UploadState};
pub(crate) use self::leases::TASK_BYTES_MIN;
pub use self::leases::{Lease, Leases};
pub use self::ledger::Ledger;
pub use self::listing::{KeyRange, Listing};
pub use self::notice::{Happening, Notice, Outbox};
pub use self::object::{LargeObject, Moved};
pub use self::page::PageProgress;
pub(crate) use self::retention::due;
pub use self::retention::{Removed, Retention};
use crate::command::{Command, Entry};
use crate::event::Status;

/// What an assignment is about, by positions: a node gets the entries along with it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Task {
    /// List a range of the keys of one end, from its last known key on.
    List(airlift_protocol::assignment::End, KeyRangeId),
    /// Compare a page with the target.
    Compare(PageId),
    /// Begin the upload of a large object of so many bytes.
    Open(Position, UploadId, u64),
    /// Move one shard of a large object.
    Range(Position, u32),
    /// Move small objects of one page, whole.
    Pack(PageId, Vec<u16>),
    /// Make a large object visible and check it.
    Commit(Position),
    /// Read back what was moved.
    ReadBack(Position),
    /// Compare the content of objects of one page.
    Verify(PageId, Vec<u16>),
    /// Delete entries of one page of the target's listing.
    Delete(PageId, Vec<u16>),
    /// Drop an upload that is not needed any more.
    Discard(UploadId),
    /// Remove the job's traces from the target.
    Clean,
}

impl Task {
    /// Whether it counts against a node's slots. Listing and comparing run beside the moving.
    pub(crate) fn takes_slot(&self) -> bool {
        match self {
            Self::List(..) | Self::Compare(_) => false,
            Self::Open(..)
            | Self::Range(..)
            | Self::Pack(..)
            | Self::Commit(_)
            | Self::ReadBack(_)
            | Self::Verify(..)
            | Self::Delete(..)
            | Self::Discard(_)
            | Self::Clean => true,
        }
    }

    /// Whether bytes of objects are written and counted while it is worked on.
    pub(crate) fn moves_objects(&self) -> bool {
        matches!(self, Self::Range(..) | Self::Pack(..))
    }

    /// Whether the state does not say by itself that it is given out: there is one lease for it at a
    /// time.
    pub(crate) fn is_single(&self) -> bool {
        match self {
            Self::List(..)
            | Self::Compare(_)
            | Self::Commit(_)
            | Self::ReadBack(_)
            | Self::Discard(_)
            | Self::Clean => true,
            Self::Open(..)
            | Self::Range(..)
            | Self::Pack(..)
            | Self::Verify(..)
            | Self::Delete(..) => false,
        }
    }
}

/// What the coordinator must know of a change, to act on it and to tell observers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// A run of the job began.
    Started(JobId, u32),
    /// A lease was granted.
    Granted(JobId, AssignmentId),
    /// A lease ended before its work did.
    Ended(NodeId, AssignmentId),
    /// An object of the source's listing has come to its end.
    Object(JobId, Position, ObjectFact),
    /// An object of the target's listing has come to its end.
    Extraneous(JobId, Position, ObjectFact),
    /// An upload or other trace that could not be removed from the target.
    LeftOver(JobId, Key, Failure),
    /// A listing has grown, or ended.
    Listing(JobId, airlift_protocol::assignment::End),
    /// Deletes were called off.
    DeletesRefused(JobId, String),
    /// The job has ended or stopped.
    JobEnded(JobId),
    /// The job rests until it is resumed, which nobody had asked for.
    Rested(JobId),
    /// The job ended long ago, and is not on record any more.
    Forgotten(JobId),
    /// The members have changed.
    Members,
    /// What was asked is not possible.
    Refused(Failure),
}

/// How one object ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectFact {
    /// What became of it.
    pub status: Status,
    /// Its hash, where one was computed.
    pub root: Option<airlift_protocol::chunk::Root>,
    /// Why, where there is something to say.
    pub reason: Option<(Option<ErrorCode>, String)>,
    /// What it carried at the source and the target cannot hold.
    pub dropped: AttributeSet,
    /// Verify: the kind of sum kept by a store that showed equality, where not both ends were read.
    pub sum: Option<SumKind>,
}

impl ObjectFact {
    fn plain(status: Status) -> Self {
        Self { status, root: None, reason: None, dropped: AttributeSet::NONE, sum: None }
    }

    fn failed(failure: &Failure) -> Self {
        let reason = Some((Some(failure.code), failure.detail().to_owned()));
        Self { reason, ..Self::plain(Status::Failed) }
    }
}

/// Everything the log has decided so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The format in force: first, so that every build can read it.
    pub format: FormatVersion,
    /// Jobs by id.
    pub jobs: BTreeMap<JobId, Job>,
    /// The number that the last assignment got.
    assignments: u64,
    /// The start of each node's process that is in force.
    pub boots: BTreeMap<NodeId, Boot>,
    /// The membership; a process that works alone has none.
    pub cluster: Option<Cluster>,
    /// Bytes per second that all jobs together may move.
    pub bandwidth: Option<Bandwidth>,
    /// API tokens.
    pub access: Access,
    /// What somebody changed.
    pub audit: Audit,
    /// What is kept of jobs that have ended.
    pub retention: Retention,
    /// The latest of the jobs that were not.
    pub removed: BTreeMap<JobId, Removed>,
    /// The highest run of those that are not known by their ids any more.
    runs_unnamed: u32,
    /// What is to be told of jobs.
    pub outbox: Outbox,
}

impl State {
    /// Changes the state by one committed command and says what changed.
    pub fn apply(&mut self, index: LogIndex, entry: impl Into<Entry>) -> Vec<Fact> {
        let Entry { command, origin } = entry.into();
        let Some(origin) = origin else { return self.change(index, command, None) };
        if let Err(failure) = access::check(self, &origin, &command) {
            return vec![Fact::Refused(failure)];
        }
        let change = audit::change(self, &origin, &command);
        let facts = self.change(index, command, Some(origin.at));
        let is_refused = facts.iter().any(|fact| matches!(fact, Fact::Refused(_)));
        if let Some(change) = change.filter(|_| self.cluster.is_some() && !is_refused) {
            self.audit.record(index, change);
        }
        facts
    }

    /// Changes the state, and takes note of what is to be told of that.
    fn change(&mut self, index: LogIndex, command: Command, at: Option<Timestamp>) -> Vec<Fact> {
        let time = notice::time_of(&command).or(at);
        let resting = notice::resting(self, &command);
        let facts = apply::apply(self, index, command);
        notice::note(self, time, &resting, &facts);
        facts
    }

    /// The log entries that hold the manifest pages of the jobs on record.
    pub fn pages(&self) -> BTreeSet<LogIndex> {
        let listings = self.jobs.values().flat_map(|job| [&job.source, &job.target]);
        listings.flat_map(|listing| listing.pages.iter().copied()).collect()
    }

    /// The format of a state that may be of another build, by its first bytes.
    pub fn format_of(encoded: &[u8]) -> Option<FormatVersion> {
        codec::decode_first(encoded)
    }

    /// Puts a format in force, unless a member could not read it.
    fn raise(&mut self, format: FormatVersion) {
        let is_read = match &self.cluster {
            None => true,
            Some(cluster) => {
                let mut members = cluster.members.values();
                format > self.format && members.all(|member| member.formats.has(format))
            }
        };
        if is_read {
            self.format = format;
        }
    }

    /// The number that the next assignment gets.
    pub(crate) fn next_assignment(&self) -> AssignmentId {
        AssignmentId(self.assignments + 1)
    }

    fn number_assignment(&mut self) -> AssignmentId {
        self.assignments += 1;
        AssignmentId(self.assignments)
    }
}

/// The epoch of what entry `index` grants.
fn epoch(index: LogIndex) -> Epoch {
    Epoch(index.0)
}
