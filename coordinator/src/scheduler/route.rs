//! Routes: which node may do a task, and which one reads the source for it.

use std::collections::BTreeMap;

use airlift_protocol::assignment::End;
use airlift_protocol::id::NodeId;
use airlift_protocol::location::Location;

use super::inventory::Inventory;
use crate::state::{Job, State, Task};

/// Who takes part in a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Route {
    /// Who gets the order.
    pub(super) node: NodeId,
    /// Who reads the source; `None` when that is the same node.
    pub(super) source: Option<NodeId>,
}

/// The end that the node of a task works at: all but the listing of the source happens at the
/// target, and what is needed of the source comes over the link.
fn end_of(task: &Task) -> End {
    match task {
        Task::List(end) => *end,
        Task::Compare(_)
        | Task::Open(..)
        | Task::Range(..)
        | Task::Pack(..)
        | Task::Commit(_)
        | Task::ReadBack(_)
        | Task::Verify(..)
        | Task::Delete(..)
        | Task::Discard(_)
        | Task::Clean => End::Target,
    }
}

/// Whether a task needs anything of the source beside what the order says.
fn needs_source(task: &Task) -> bool {
    match task {
        Task::List(_) | Task::ReadBack(_) | Task::Discard(_) | Task::Clean => false,
        Task::Compare(_)
        | Task::Open(..)
        | Task::Range(..)
        | Task::Pack(..)
        | Task::Commit(_)
        | Task::Verify(..)
        | Task::Delete(..) => true,
    }
}

/// Whether `node` can open `location` itself; a process that works alone opens whatever is here.
fn reaches(state: &State, node: NodeId, location: &Location) -> bool {
    let Some(cluster) = &state.cluster else {
        return !matches!(location, Location::Node { .. });
    };
    let member = cluster.members.get(&node);
    member.is_some_and(|member| location.is_open_to(member.name.as_str()))
}

/// The route for a task of `job`: the node with most free slots, and the reader with fewest
/// leases. `free` has the nodes that may be given work, `reading` the readers' leases.
pub(super) fn route(
    state: &State,
    job: &Job,
    task: &Task,
    free: &BTreeMap<NodeId, usize>,
    reading: &BTreeMap<NodeId, usize>,
) -> Option<Route> {
    let location = match end_of(task) {
        End::Source => &job.spec.source,
        End::Target => &job.spec.target,
    };
    let able = free.iter().filter(|(node, _)| reaches(state, **node, location));
    let (node, _) = able.max_by_key(|(_, slots)| **slots)?;
    if !needs_source(task) || reaches(state, *node, &job.spec.source) {
        return Some(Route { node: *node, source: None });
    }
    let readers = free.keys().filter(|reader| reaches(state, **reader, &job.spec.source));
    let source = readers.min_by_key(|reader| reading.get(reader).copied().unwrap_or(0))?;
    Some(Route { node: *node, source: Some(*source) })
}

/// Nodes that move the bytes of `job`: they share its bandwidth.
pub(crate) fn movers(state: &State, job: &Job, inventory: &Inventory) -> usize {
    inventory.ready(state).filter(|(node, _)| reaches(state, *node, &job.spec.target)).count()
}

/// For each node, how many leases it reads the source for.
pub(super) fn reading(state: &State) -> BTreeMap<NodeId, usize> {
    let mut reading = BTreeMap::new();
    let leases = state.jobs.values().flat_map(|job| job.leases.values());
    for source in leases.filter_map(|lease| lease.source) {
        *reading.entry(source).or_default() += 1;
    }
    reading
}
