//! Resume: what was verified is not sent again. A job sends again no more than the orders that were
//! broken off had to move.

use std::collections::BTreeMap;

use airlift_coordinator::state::{Job, Lease};
use airlift_protocol::id::AssignmentId;

use super::{Found, broken};

/// Orders of one job, in all its runs.
#[derive(Debug, Default)]
pub(crate) struct Resume {
    /// Bytes of the orders that are out.
    out: BTreeMap<AssignmentId, u64>,
    /// Bytes of those that were broken off.
    broken_off: u64,
}

impl Resume {
    pub(crate) fn on_granted(&mut self, id: AssignmentId, lease: &Lease) {
        self.out.insert(id, lease.bytes);
    }

    pub(crate) fn on_ended(&mut self, id: AssignmentId) {
        self.broken_off += self.out.remove(&id).unwrap_or(0);
    }

    /// The job has come to the end of a run.
    pub(crate) fn on_completed(&self, job: &Job) -> Found {
        let again = job.totals.bytes.resent;
        if again <= self.broken_off {
            return Ok(());
        }
        let text = format!(
            "{again} bytes were sent again, and the orders that were broken off had {}",
            self.broken_off
        );
        broken("what was verified is not sent again", text, vec![])
    }
}
