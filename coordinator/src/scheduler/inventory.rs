//! What was observed of the nodes; it may be out of date, and decides nothing for good.

use std::collections::{BTreeMap, BTreeSet, btree_map};
use std::iter::Peekable;

use airlift_protocol::cluster::Boot;
use airlift_protocol::control::Heartbeat;
use airlift_protocol::id::{JobId, NodeId};
use airlift_protocol::limits::{LEASE_MS, SLOTS_MAX};
use airlift_protocol::time::Timestamp;

use super::figures::{Recent, Windows};
use super::observed::Observed;
use crate::state::State;

/// Starts of one node that are remembered as superseded.
const SUPERSEDED_MAX: usize = 16;

/// Characters that are kept of what a node calls its build.
const VERSION_CHARS_MAX: usize = 64;

/// A node as last seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeView {
    /// The start of its process; `None` when it holds leases and was not heard yet.
    pub boot: Option<Boot>,
    /// Assignments that it can work on at once.
    pub slots: usize,
    /// Its last sign of life.
    pub heard: Timestamp,
    /// Its build.
    pub version: String,
    /// Bytes per second verified and written lately, by job.
    pub rates: BTreeMap<JobId, u64>,
    /// Bytes verified and written since its process started, by job.
    written: BTreeMap<JobId, u64>,
    /// What it measured lately.
    measured: Windows,
}

impl NodeView {
    /// What it did for a job lately, as far as it was measured.
    pub fn recent(&self, job: JobId) -> Option<Recent> {
        self.measured.of(job)
    }
}

/// What a sign of life told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// The process that was expected.
    Alive,
    /// An earlier process of a node that has started again since: two run with one identity.
    Superseded,
}

/// The nodes that live.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inventory {
    nodes: BTreeMap<NodeId, NodeView>,
    /// Before then no node will have been silent for too long; looked for anew when it has come.
    deadline: Option<Timestamp>,
    superseded: BTreeMap<NodeId, BTreeSet<Boot>>,
    pub(crate) observed: Observed,
}

impl Inventory {
    /// Waits for a node that holds leases and was not heard yet.
    pub(crate) fn expect(&mut self, node: NodeId, now: Timestamp) {
        self.deadline.get_or_insert_with(|| now.plus(LEASE_MS));
        self.nodes.entry(node).or_insert_with(|| NodeView {
            boot: None,
            slots: 0,
            heard: now,
            version: String::new(),
            rates: BTreeMap::new(),
            written: BTreeMap::new(),
            measured: Windows::default(),
        });
    }

    /// Records a sign of life.
    pub(crate) fn hear(&mut self, node: NodeId, beat: &Heartbeat, now: Timestamp) -> Heard {
        let known = self.nodes.get(&node).and_then(|view| view.boot);
        if known.is_some_and(|known| beat.boot.is_before(known))
            || self.superseded.get(&node).is_some_and(|boots| boots.contains(&beat.boot))
        {
            return Heard::Superseded;
        }
        let earlier = self.nodes.remove(&node);
        if let Some(boot) = earlier.as_ref().and_then(|view| view.boot)
            && boot != beat.boot
        {
            let boots = self.superseded.entry(node).or_default();
            if boots.len() >= SUPERSEDED_MAX {
                boots.pop_first();
            }
            boots.insert(boot);
        }
        let mut same = earlier.filter(|view| view.boot == Some(beat.boot));
        let earlier = same.as_mut().map(|view| std::mem::take(&mut view.measured));
        let mut measured = earlier.unwrap_or_default();
        measured.hear(now, &beat.figures);
        let written: BTreeMap<JobId, u64> = beat.written.iter().copied().collect();
        let rates = same.map_or_else(BTreeMap::new, |view| {
            let elapsed = now.since(view.heard).max(1);
            let rate = |(job, bytes): (&JobId, &u64)| {
                let before = view.written.get(job).copied().unwrap_or(0);
                (*job, bytes.saturating_sub(before).saturating_mul(1000) / elapsed)
            };
            written.iter().map(rate).collect()
        });
        let view = NodeView {
            boot: Some(beat.boot),
            slots: beat.slots.min(SLOTS_MAX) as usize,
            heard: now,
            version: beat.version.chars().take(VERSION_CHARS_MAX).collect(),
            rates,
            written,
            measured,
        };
        self.nodes.insert(node, view);
        self.deadline.get_or_insert_with(|| now.plus(LEASE_MS));
        Heard::Alive
    }

    /// The nodes by id.
    pub fn nodes(&self) -> impl Iterator<Item = (NodeId, &NodeView)> {
        self.nodes.iter().map(|(id, view)| (*id, view))
    }

    /// A node, when it lives.
    pub fn node(&self, id: NodeId) -> Option<&NodeView> {
        self.nodes.get(&id)
    }

    /// Forgets everything: another node leads.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Takes out a node that has been silent for longer than a lease lasts.
    pub(crate) fn take_silent(&mut self, now: Timestamp) -> Option<NodeId> {
        if self.deadline.is_none_or(|deadline| now < deadline) {
            return None;
        }
        let silent = self.nodes.iter().find(|(_, view)| now.since(view.heard) >= LEASE_MS);
        let Some(node) = silent.map(|(id, _)| *id) else {
            self.deadline = self.nodes.values().map(|view| view.heard.plus(LEASE_MS)).min();
            return None;
        };
        self.nodes.remove(&node);
        Some(node)
    }

    /// When to look whether a node has been silent for as long as a lease lasts.
    pub fn deadline(&self) -> Option<Timestamp> {
        self.deadline
    }

    /// Nodes that can be given work: alive, and running as the process that the log knows.
    pub fn ready<'a>(
        &'a self,
        state: &'a State,
    ) -> impl Iterator<Item = (NodeId, &'a NodeView)> + 'a {
        let mut boots = Beside::new(&state.boots);
        let mut members = state.cluster.as_ref().map(|cluster| Beside::new(&cluster.members));
        self.nodes.iter().map(|(id, view)| (*id, view)).filter(move |(id, view)| {
            let is_member = members.as_mut().is_none_or(|members| members.at(*id).is_some());
            let boot = boots.at(*id).copied();
            is_member && view.boot.is_some() && view.boot == boot
        })
    }

    /// Slots of all nodes that can be given work, free or not.
    pub(crate) fn slots(&self, state: &State) -> usize {
        self.ready(state).map(|(_, node)| node.slots).sum()
    }

    /// Slots that `state` leaves free on each node that is ready.
    pub fn free_slots(&self, state: &State) -> BTreeMap<NodeId, usize> {
        let mut free: BTreeMap<NodeId, usize> =
            self.ready(state).map(|(id, view)| (id, view.slots)).collect();
        for job in state.jobs.values().filter(|job| job.is_running()) {
            for (node, held) in job.leases.nodes() {
                if let Some(slots) = free.get_mut(&node) {
                    *slots = slots.saturating_sub(held.slots);
                }
            }
        }
        free
    }
}

/// A map by node that is walked along with another: of a thousand nodes, each is looked up at the
/// cost of the next one.
pub(super) struct Beside<'a, T>(Peekable<btree_map::Iter<'a, NodeId, T>>);

impl<'a, T> Beside<'a, T> {
    pub(super) fn new(map: &'a BTreeMap<NodeId, T>) -> Self {
        Self(map.iter().peekable())
    }

    /// What the map has of a node; nodes are asked for in ascending order.
    pub(super) fn at(&mut self, node: NodeId) -> Option<&'a T> {
        while self.0.next_if(|(at, _)| **at < node).is_some() {}
        self.0.next_if(|(at, _)| **at == node).map(|(_, value)| value)
    }
}
