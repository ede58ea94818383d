//! Inputs: everything that can happen to a coordinator.

use airlift_protocol::assignment::End;
use airlift_protocol::error::Failure;
use airlift_protocol::id::{JobId, LogIndex, NodeId};
use airlift_protocol::job::JobSpec;
use airlift_protocol::manifest::Page;
use airlift_protocol::report::Report;
use airlift_protocol::time::Timestamp;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A user submits a job, or the same job again.
    Submit {
        /// The job.
        spec: Box<JobSpec>,
        /// Wall-clock time of the request, milliseconds since 1970.
        at: Timestamp,
    },
    /// A node has started, with so many assignments that it can work on at once. Whatever it held
    /// before is void.
    NodeStarted {
        /// Which node.
        node: NodeId,
        /// Assignments at once.
        slots: usize,
        /// Wall-clock time now, milliseconds since 1970.
        at: Timestamp,
    },
    /// A node lives.
    Heartbeat {
        /// Which node.
        node: NodeId,
    },
    /// An agent answers.
    Report(Box<Report>),
    /// Log entries up to and including this one are durable.
    Persisted {
        /// The last of them.
        through: LogIndex,
    },
    /// A manifest page was read back.
    PageLoaded {
        /// Of which job.
        job: JobId,
        /// Of which end's listing.
        end: End,
        /// The page.
        page: Page,
    },
    /// The user, or the system, stops a job; it can be submitted again.
    Stop {
        /// Which job.
        job: JobId,
        /// Why.
        failure: Failure,
    },
    /// The time that `poll_timeout` named has come.
    Timeout,
}
