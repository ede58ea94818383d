//! What the nodes have to do, what they can still take, and how fast they are.

use std::collections::BTreeMap;

use airlift_protocol::id::NodeId;

use super::inventory::Inventory;
use crate::state::State;

/// Bytes that work counts as at least: opening and committing take their time too.
const TASK_BYTES_MIN: u64 = 1 << 20;

/// One node that may be given work.
#[derive(Clone, Copy, Debug, Default)]
struct NodeLoad {
    free: usize,
    /// Bytes that it is to write.
    writing: u64,
    /// Bytes that it is to read for others.
    reading: u64,
    /// Bytes per second that it writes, and reads for others, where that is known.
    writes: Option<u64>,
    reads: Option<u64>,
}

/// All nodes that may be given work.
#[derive(Clone, Debug)]
pub(super) struct Load {
    nodes: BTreeMap<NodeId, NodeLoad>,
    /// The best rates that are known: what is hoped for of nodes of which none is.
    writes_best: u64,
    reads_best: u64,
}

impl Load {
    pub(super) fn of(state: &State, inventory: &Inventory) -> Self {
        let observed = &inventory.observed;
        let free = inventory.free_slots(state).into_iter();
        let nodes = free.map(|(node, free)| {
            let (writes, reads) = (
                observed.rates.writes(observed.now, node),
                observed.rates.reads(observed.now, node),
            );
            (node, NodeLoad { free, writes, reads, ..NodeLoad::default() })
        });
        let nodes: BTreeMap<NodeId, NodeLoad> = nodes.collect();
        let best = |rate: fn(&NodeLoad) -> Option<u64>| nodes.values().filter_map(rate).max();
        let writes_best = best(|node| node.writes).unwrap_or(1);
        let reads_best = best(|node| node.reads).unwrap_or(1);
        let mut load = Self { nodes, writes_best, reads_best };
        for lease in state.jobs.values().flat_map(|job| job.leases.values()) {
            load.add(lease.node, lease.source, lease.bytes);
        }
        load
    }

    fn add(&mut self, node: NodeId, source: Option<NodeId>, bytes: u64) {
        let bytes = bytes.max(TASK_BYTES_MIN);
        if let Some(writer) = self.nodes.get_mut(&node) {
            writer.writing = writer.writing.saturating_add(bytes);
        }
        if let Some(reader) = source.and_then(|source| self.nodes.get_mut(&source)) {
            reader.reading = reader.reading.saturating_add(bytes);
        }
    }

    /// Takes in a grant.
    pub(super) fn grant(
        &mut self,
        node: NodeId,
        source: Option<NodeId>,
        bytes: u64,
        takes_slot: bool,
    ) {
        self.add(node, source, bytes);
        if let Some(writer) = self.nodes.get_mut(&node) {
            writer.free = writer.free.saturating_sub(usize::from(takes_slot));
        }
    }

    /// The nodes, by id.
    pub(super) fn nodes(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.nodes.keys().copied()
    }

    /// The nodes that have slots free, by id.
    pub(super) fn free_nodes(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.nodes.iter().filter(|(_, load)| load.free > 0).map(|(node, _)| *node)
    }

    pub(super) fn has(&self, node: NodeId) -> bool {
        self.nodes.contains_key(&node)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Whether no slot is free.
    pub(super) fn is_full(&self) -> bool {
        self.free() == 0
    }

    /// Slots free on all nodes.
    pub(super) fn free(&self) -> usize {
        self.nodes.values().map(|load| load.free).sum()
    }

    /// Slots free on one.
    pub(super) fn free_of(&self, node: NodeId) -> usize {
        self.nodes.get(&node).map_or(0, |load| load.free)
    }

    /// Milliseconds until `node` would have written `bytes` more, all else that it is to write
    /// before. A node of which nothing is known counts as the best one.
    pub(super) fn write_ms(&self, node: NodeId, bytes: u64) -> u128 {
        let load = self.nodes.get(&node).copied().unwrap_or_default();
        time_ms(load.writing, bytes, load.writes.unwrap_or(self.writes_best))
    }

    /// As [`write_ms`](Self::write_ms), of what it reads for others.
    pub(super) fn read_ms(&self, node: NodeId, bytes: u64) -> u128 {
        let load = self.nodes.get(&node).copied().unwrap_or_default();
        time_ms(load.reading, bytes, load.reads.unwrap_or(self.reads_best))
    }
}

fn time_ms(before: u64, bytes: u64, rate: u64) -> u128 {
    let bytes = u128::from(before) + u128::from(bytes.max(TASK_BYTES_MIN));
    bytes * 1000 / u128::from(rate.max(1))
}
