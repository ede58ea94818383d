//! What was observed of the nodes; it may be out of date, and decides nothing for good.

use std::collections::BTreeMap;

use airlift_protocol::id::NodeId;
use airlift_protocol::limits::LEASE_MS;
use airlift_protocol::time::Timestamp;

use crate::state::{State, Task};

/// A node as last seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeView {
    /// Assignments that it can work on at once.
    pub slots: usize,
    /// Its last sign of life.
    pub heard: Timestamp,
}

/// The nodes that live.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inventory {
    nodes: BTreeMap<NodeId, NodeView>,
}

impl Inventory {
    /// Records a node that has started.
    pub(crate) fn add(&mut self, node: NodeId, slots: usize, now: Timestamp) {
        self.nodes.insert(node, NodeView { slots, heard: now });
    }

    /// Records a sign of life.
    pub(crate) fn hear(&mut self, node: NodeId, now: Timestamp) {
        if let Some(view) = self.nodes.get_mut(&node) {
            view.heard = now;
        }
    }

    /// The nodes by id.
    pub fn nodes(&self) -> impl Iterator<Item = (NodeId, NodeView)> + '_ {
        self.nodes.iter().map(|(id, view)| (*id, *view))
    }

    /// Takes out a node that has been silent for longer than a lease lasts.
    pub(crate) fn take_silent(&mut self, now: Timestamp) -> Option<NodeId> {
        let silent = self.nodes.iter().find(|(_, view)| now.since(view.heard) >= LEASE_MS);
        let node = silent.map(|(id, _)| *id)?;
        self.nodes.remove(&node);
        Some(node)
    }

    /// When the first node will have been silent for as long as a lease lasts.
    pub fn deadline(&self) -> Option<Timestamp> {
        self.nodes.values().map(|view| view.heard.plus(LEASE_MS)).min()
    }

    /// Slots that `state` leaves free on each node, and all slots together.
    pub fn free_slots(&self, state: &State) -> BTreeMap<NodeId, usize> {
        let mut free: BTreeMap<NodeId, usize> =
            self.nodes.iter().map(|(id, view)| (*id, view.slots)).collect();
        for lease in
            state.jobs.values().filter(|job| job.is_running()).flat_map(|job| job.leases.values())
        {
            if takes_slot(&lease.task)
                && let Some(slots) = free.get_mut(&lease.node)
            {
                *slots = slots.saturating_sub(1);
            }
        }
        free
    }
}

/// Whether a task counts against a node's slots. Listing and comparing run beside the moving.
pub(super) fn takes_slot(task: &Task) -> bool {
    match task {
        Task::List(_) | Task::Compare(_) => false,
        Task::Open(..)
        | Task::Range(..)
        | Task::Pack(..)
        | Task::Commit(_)
        | Task::ReadBack(_)
        | Task::Verify(..)
        | Task::Delete(..)
        | Task::Discard(_)
        | Task::Clean => true,
    }
}
