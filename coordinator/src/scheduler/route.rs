//! Routes: which node may do a task, and which one reads the source for it.

use std::cmp::Reverse;

use airlift_protocol::assignment::End;
use airlift_protocol::id::{JobId, NodeId};
use airlift_protocol::location::Location;

use super::backoff::Way;
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
        Task::List(end, _) => *end,
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
        Task::List(..) | Task::ReadBack(_) | Task::Discard(_) | Task::Clean => false,
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

/// Which nodes may work at the ends of a job, by their places in [`Load`]: it is asked for every
/// task, and the same for all tasks of one plan.
pub(super) struct Reach {
    source: Vec<bool>,
    target: Vec<bool>,
    /// Whether work of the job is given to the node at all now.
    is_open: Vec<bool>,
}

impl Reach {
    pub(super) fn of(
        state: &State,
        observed: &Observed,
        (id, job): (JobId, &Job),
        load: &Load,
    ) -> Self {
        let reaches =
            |location: &Location| load.nodes().map(|node| reaches(state, node, location)).collect();
        let is_open =
            |node| observed.is_open(Way::Node(node)) && observed.is_open(Way::Job(node, id));
        Self {
            source: reaches(&job.spec.source),
            target: reaches(&job.spec.target),
            is_open: load.nodes().map(is_open).collect(),
        }
    }
}

/// The route for a task that moves `bytes`: of the nodes that may do it now, the one that would be
/// done first, by what it has to do and how fast it was; of equals, the one with most free slots.
/// `load` has the nodes that may be given work.
pub(super) fn route(
    observed: &Observed,
    reach: &Reach,
    (task, bytes): (&Task, u64),
    load: &Load,
) -> Option<Route> {
    let at_end = match end_of(task) {
        End::Source => &reach.source,
        End::Target => &reach.target,
    };
    let takes_slot = task.takes_slot();
    let able = load.places().filter(|place| {
        at_end[*place] && reach.is_open[*place] && (!takes_slot || load.free_at(*place) > 0)
    });
    let needs_source = needs_source(task);
    let routes = able.filter_map(|place| {
        let node = load.node_at(place);
        if !needs_source || reach.source[place] {
            return Some((load.write_ms(place, bytes), place, Route { node, source: None }));
        }
        let readers = load.places().filter(|reader| {
            reach.source[*reader] && observed.is_open(Way::Link(node, load.node_at(*reader)))
        });
        let (ms, source) = readers.map(|reader| (load.read_ms(reader, bytes), reader)).min()?;
        let source = Some(load.node_at(source));
        Some((load.write_ms(place, bytes).max(ms), place, Route { node, source }))
    });
    let best = routes.min_by_key(|(ms, place, route)| {
        (*ms, Reverse(load.free_at(*place)), *place, route.source)
    });
    best.map(|(_, _, route)| route)
}
