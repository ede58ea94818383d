//! Routes: which node may do a task, and which one reads the source for it.

use std::cmp::Reverse;

use airlift_protocol::assignment::End;
use airlift_protocol::id::{JobId, NodeId};
use airlift_protocol::location::Location;

use super::backoff::Way;
use super::inventory::takes_slot;
use super::load::Load;
use super::observed::Observed;
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
pub(super) fn end_of(task: &Task) -> End {
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
pub(super) fn needs_source(task: &Task) -> bool {
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
pub(super) fn reaches(state: &State, node: NodeId, location: &Location) -> bool {
    let Some(cluster) = &state.cluster else {
        return !matches!(location, Location::Node { .. });
    };
    let member = cluster.members.get(&node);
    member.is_some_and(|member| location.is_open_to(member.name.as_str()))
}

/// The route for a task of `job` that moves `bytes`: of the nodes that may do it now, the one that
/// would be done first, by what it has to do and how fast it was; of equals, the one with most free
/// slots. `load` has the nodes that may be given work.
pub(super) fn route(
    state: &State,
    observed: &Observed,
    (id, job): (JobId, &Job),
    (task, bytes): (&Task, u64),
    load: &Load,
) -> Option<Route> {
    let location = match end_of(task) {
        End::Source => &job.spec.source,
        End::Target => &job.spec.target,
    };
    let able = load.nodes().filter(|node| {
        (load.free_of(*node) > 0 || !takes_slot(task))
            && reaches(state, *node, location)
            && observed.is_open(Way::Node(*node))
            && observed.is_open(Way::Job(*node, id))
    });
    let needs_source = needs_source(task);
    let routes = able.filter_map(|node| {
        if !needs_source || reaches(state, node, &job.spec.source) {
            return Some((load.write_ms(node, bytes), Route { node, source: None }));
        }
        let readers = load.nodes().filter(|reader| {
            reaches(state, *reader, &job.spec.source) && observed.is_open(Way::Link(node, *reader))
        });
        let (ms, source) = readers.map(|reader| (load.read_ms(reader, bytes), reader)).min()?;
        let source = Some(source);
        Some((load.write_ms(node, bytes).max(ms), Route { node, source }))
    });
    let best = routes.min_by_key(|(ms, route)| {
        (*ms, Reverse(load.free_of(route.node)), route.node, route.source)
    });
    best.map(|(_, route)| route)
}
