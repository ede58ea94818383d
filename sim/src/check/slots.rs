//! Slots: no node is given more at once than it said that it can work on.

use airlift_coordinator::state::{Lease, State, Task};
use airlift_protocol::id::{AssignmentId, JobId};

use super::{Found, broken};

/// Looks at what the node has that was given lease `id`; each node has `slots`.
pub(crate) fn look(state: &State, job: JobId, id: AssignmentId, slots: usize) -> Found {
    let given = state.jobs.get(&job).and_then(|job| job.leases.get(id));
    let Some(node) = given.map(|lease| lease.node) else { return Ok(()) };
    // Listing and comparing run beside the rest.
    let takes_slot = |lease: &&Lease| !matches!(lease.task, Task::List(..) | Task::Compare(_));
    let running = state.jobs.values().filter(|job| job.is_running());
    let held = running.flat_map(|job| job.leases.values()).filter(|lease| lease.node == node);
    let taken = held.filter(takes_slot).count();
    if taken > slots {
        let text = format!("{node:?} has {taken} orders at once, and {slots} slots");
        return broken("slots are kept", text, vec![format!(" {}", id.0)]);
    }
    Ok(())
}
