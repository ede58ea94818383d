//! Events: facts for observers. Nothing depends on them, and nothing is decided by them.

use airlift_protocol::assignment::End;
use airlift_protocol::attributes::AttributeSet;
use airlift_protocol::chunk::Root;
use airlift_protocol::error::{ErrorCode, Failure};
use airlift_protocol::id::JobId;
use airlift_protocol::key::Key;
use airlift_protocol::sum::SumKind;
use serde::{Deserialize, Serialize};

use crate::totals::Totals;

/// A fact about a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The job runs, for the first time or again.
    JobStarted {
        /// Which job.
        job: JobId,
        /// 1 for the first run, then counting up.
        run: u32,
    },
    /// A listing has found more.
    Listing {
        /// Which job.
        job: JobId,
        /// The end that is listed.
        end: End,
        /// Objects listed so far.
        objects: u64,
        /// Their bytes.
        bytes: u64,
        /// Whether that is all.
        is_complete: bool,
    },
    /// A place could not be listed.
    Unreadable {
        /// Which job.
        job: JobId,
        /// The end that is listed.
        end: End,
        /// The place.
        key: Key,
        /// Why.
        failure: Failure,
    },
    /// One object has come to its end in this run.
    ObjectFinished {
        /// Which job.
        job: JobId,
        /// The object.
        object: ObjectEnd,
    },
    /// Deletes were called off; the text says why and what to do.
    DeletesRefused {
        /// Which job.
        job: JobId,
        /// The reason in words.
        reason: String,
    },
    /// An upload that was given up, or another trace of the job, could not be removed from the
    /// target. It is not visible there as an object.
    LeftOver {
        /// Which job.
        job: JobId,
        /// The key at the target; empty for traces that belong to no key.
        key: Key,
        /// Why.
        failure: Failure,
    },
    /// The job has ended, or cannot go on.
    JobEnded {
        /// Which job.
        job: JobId,
        /// How.
        outcome: Outcome,
        /// The numbers.
        totals: Totals,
    },
}

/// How one object ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectEnd {
    /// Its key, as listed.
    pub key: Key,
    /// What became of it.
    pub status: Status,
    /// Its bytes.
    pub bytes: u64,
    /// Its hash, where it was computed.
    pub root: Option<Root>,
    /// Code and text of what went wrong, or why it was left out.
    pub reason: Option<(Option<ErrorCode>, String)>,
    /// What it carried at the source and the target cannot hold.
    pub dropped: AttributeSet,
    /// Verify: the kind of sum kept by a store that showed equality, where not both ends were read.
    pub sum: Option<SumKind>,
}

/// What became of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Status {
    /// Moved, committed and checked.
    Done,
    /// Found at the target already.
    Unchanged,
    /// Could not be moved, deleted or compared.
    Failed,
    /// Left out on purpose.
    Skipped,
    /// Deleted from the target.
    Deleted,
    /// Dry run: would be moved.
    WouldCopy,
    /// Dry run: would be deleted.
    WouldDelete,
    /// Verify: same content at both ends.
    Equal,
    /// Verify: different content.
    Differs,
    /// Verify: not at the target.
    Missing,
    /// Verify: only at the target.
    Extra,
}

impl Status {
    /// The word that reports and JSON output use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Unchanged => "unchanged",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Deleted => "deleted",
            Self::WouldCopy => "would_copy",
            Self::WouldDelete => "would_delete",
            Self::Equal => "equal",
            Self::Differs => "differs",
            Self::Missing => "missing",
            Self::Extra => "extra",
        }
    }

    /// Whether the target has the object, so that its bytes count as done.
    pub fn is_at_target(self) -> bool {
        match self {
            Self::Done | Self::Unchanged | Self::Equal => true,
            Self::Failed
            | Self::Skipped
            | Self::Deleted
            | Self::WouldCopy
            | Self::WouldDelete
            | Self::Differs
            | Self::Missing
            | Self::Extra => false,
        }
    }

    /// Whether an object with this status makes the exit code 1.
    pub fn is_trouble(self) -> bool {
        match self {
            Self::Failed | Self::Skipped | Self::Differs | Self::Missing | Self::Extra => true,
            Self::Done
            | Self::Unchanged
            | Self::Deleted
            | Self::WouldCopy
            | Self::WouldDelete
            | Self::Equal => false,
        }
    }
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every listed object has come to its end; the totals say to which.
    Completed {
        /// Places that could not be listed, deletes that were refused, and what was left over.
        incomplete: bool,
    },
    /// The job cannot go on; nothing is lost, and the same command resumes it.
    Stopped(Failure),
}
