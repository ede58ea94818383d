//! Commands: what goes into the log, and all that can change the state.
//!
//! Append only: variants and fields are added at the end, never moved.

use airlift_protocol::assignment::End;
use airlift_protocol::bitmap::Bitmap;
use airlift_protocol::error::Failure;
use airlift_protocol::id::{JobId, NodeId, PageId};
use airlift_protocol::job::JobSpec;
use airlift_protocol::manifest::Page;
use airlift_protocol::report::Report;
use airlift_protocol::time::Timestamp;
use airlift_protocol::version::FormatVersion;
use serde::{Deserialize, Serialize};

use crate::state::{Phase, Task};

/// A log entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// The first entry of every log: how the others are encoded.
    Format(FormatVersion),
    /// A job is to be done, or done again from its listing on.
    Submit {
        /// The job.
        spec: Box<JobSpec>,
        /// Wall-clock time of the request.
        at: Timestamp,
    },
    /// Everything that this node was to do is void.
    VoidLeases {
        /// Which node.
        node: NodeId,
    },
    /// A page of a listing. The log keeps it for as long as the job lives.
    Page {
        /// Of which job.
        job: JobId,
        /// The run of the job that listed it.
        run: u32,
        /// Of which end's listing.
        end: End,
        /// The page.
        page: Page,
    },
    /// Work is given out, in order.
    Grant {
        /// Who gets what.
        grants: Vec<Grant>,
    },
    /// Nodes answered, in order. Pages of listings are commands of their own.
    Reports {
        /// The answers.
        reports: Vec<Report>,
    },
    /// The keys of a page of the target's listing that the source does not have.
    Extraneous {
        /// Of which job.
        job: JobId,
        /// The run of the job that found it.
        run: u32,
        /// Page of the target's listing.
        page: PageId,
        /// Entries of that page.
        entries: Bitmap,
    },
    /// The job goes on to its next phase.
    Advance {
        /// Which job.
        job: JobId,
        /// The run of the job that is meant.
        run: u32,
        /// The phase it is in now; otherwise nothing happens.
        from: Phase,
    },
    /// The job stops where it is.
    Stop {
        /// Which job.
        job: JobId,
        /// Why.
        failure: Failure,
    },
}

/// One order, before it has its number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// For which job.
    pub job: JobId,
    /// For which run of it.
    pub run: u32,
    /// To which node.
    pub node: NodeId,
    /// What to do.
    pub task: Task,
    /// Bytes that it may move.
    pub bytes: u64,
    /// Wall-clock time of the grant, as far as the leader knows it.
    pub at: Timestamp,
}

#[cfg(test)]
mod tests {
    use airlift_protocol::codec;

    use super::*;

    #[test]
    fn commands_have_the_bytes_they_always_had() {
        assert_eq!(codec::encode(&Command::Format(FormatVersion(1))), [0, 1]);
        let void = codec::encode(&Command::VoidLeases { node: NodeId([7; 32]) });
        assert_eq!((void[0], &void[1..]), (2, &[7; 32][..]));
        let advance = Command::Advance { job: JobId([9; 16]), run: 2, from: Phase::Diffing };
        let bytes = codec::encode(&advance);
        assert_eq!((bytes[0], &bytes[1..17], &bytes[17..]), (7, &[9; 16][..], &[2, 2][..]));
    }
}
