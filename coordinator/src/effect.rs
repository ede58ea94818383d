//! Effects: everything a coordinator may ask for, as plain data, to be carried out in order.

use airlift_protocol::assignment::{Assignment, End};
use airlift_protocol::id::{AssignmentId, JobId, LogIndex, NodeId, PageId};

use crate::event::Event;

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Make these log entries durable, then answer [`Input::Persisted`](crate::Input::Persisted).
    Persist {
        /// Index of the first entry; the others follow without gap.
        first: LogIndex,
        /// Encoded commands, at least one.
        entries: Vec<Vec<u8>>,
    },
    /// Read a manifest page from the log and answer
    /// [`Input::PageLoaded`](crate::Input::PageLoaded).
    LoadPage {
        /// Of which job.
        job: JobId,
        /// Of which end's listing.
        end: End,
        /// Which page.
        page: PageId,
        /// The log entry that holds it.
        index: LogIndex,
    },
    /// Give an order to a node.
    Assign {
        /// To which node.
        node: NodeId,
        /// The order.
        assignment: Box<Assignment>,
    },
    /// Take an order back.
    Revoke {
        /// From which node.
        node: NodeId,
        /// Which order.
        assignment: AssignmentId,
    },
    /// Tell observers.
    Emit(Event),
}
