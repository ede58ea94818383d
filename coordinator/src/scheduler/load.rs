//! What the nodes have to do, what they can still take, and how fast they are.

use airlift_protocol::id::NodeId;

use super::inventory::Inventory;
use crate::state::{Job, State, TASK_BYTES_MIN};

/// One node that may be given work.
#[derive(Clone, Copy, Debug)]
struct NodeLoad {
    node: NodeId,
    free: usize,
    /// Bytes that it is to write.
    writing: u64,
    /// Bytes that it is to read for others.
    reading: u64,
    /// Bytes per second that it writes, and reads for others; where that is not known, the best of
    /// the others.
    writes: u64,
    reads: u64,
}

/// All nodes that may be given work, by id; a place is an index of them.
#[derive(Clone, Debug)]
pub(super) struct Load {
    nodes: Vec<NodeLoad>,
    free: usize,
}

impl Load {
    pub(super) fn of(state: &State, inventory: &Inventory) -> Self {
        let observed = &inventory.observed;
        let mut rates = observed.rates.beside(observed.now);
        let ready: Vec<(NodeId, usize, [Option<u64>; 2])> =
            inventory.ready(state).map(|(node, view)| (node, view.slots, rates(node))).collect();
        let best =
            |which: usize| ready.iter().filter_map(|(.., rates)| rates[which]).max().unwrap_or(1);
        let (writes_best, reads_best) = (best(0), best(1));
        let nodes = ready.iter().map(|(node, slots, [writes, reads])| NodeLoad {
            node: *node,
            free: *slots,
            writing: 0,
            reading: 0,
            writes: writes.unwrap_or(writes_best),
            reads: reads.unwrap_or(reads_best),
        });
        let mut load = Self { nodes: nodes.collect(), free: 0 };
        // A job that stopped keeps its leases on record; nobody works on them.
        state.jobs.values().filter(|job| job.is_running()).for_each(|job| load.take_in(job));
        load.free = load.nodes.iter().map(|node| node.free).sum();
        load
    }

    /// Takes in what nodes have to do for a job.
    fn take_in(&mut self, job: &Job) {
        let mut nodes = self.nodes.iter_mut().peekable();
        for (node, held) in job.leases.nodes() {
            while nodes.next_if(|load| load.node < node).is_some() {}
            let Some(load) = nodes.next_if(|load| load.node == node) else { continue };
            load.writing = add(load.writing, held.writing);
            load.reading = add(load.reading, held.reading);
            load.free = load.free.saturating_sub(held.slots);
        }
    }

    fn place(&self, node: NodeId) -> Option<usize> {
        self.nodes.binary_search_by_key(&node, |load| load.node).ok()
    }

    fn add(&mut self, node: NodeId, source: Option<NodeId>, bytes: u64) {
        let bytes = bytes.max(TASK_BYTES_MIN);
        if let Some(writer) = self.place(node) {
            let writing = &mut self.nodes[writer].writing;
            *writing = writing.saturating_add(bytes);
        }
        if let Some(reader) = source.and_then(|source| self.place(source)) {
            let reading = &mut self.nodes[reader].reading;
            *reading = reading.saturating_add(bytes);
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
        if takes_slot
            && let Some(place) = self.place(node)
            && self.nodes[place].free > 0
        {
            self.nodes[place].free -= 1;
            self.free -= 1;
        }
    }

    /// The nodes, by id.
    pub(super) fn nodes(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.nodes.iter().map(|load| load.node)
    }

    /// The nodes that have slots free, by id.
    pub(super) fn free_nodes(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.nodes.iter().filter(|load| load.free > 0).map(|load| load.node)
    }

    pub(super) fn has(&self, node: NodeId) -> bool {
        self.place(node).is_some()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Whether no slot is free.
    pub(super) fn is_full(&self) -> bool {
        self.free == 0
    }

    /// Slots free on all nodes.
    pub(super) fn free(&self) -> usize {
        self.free
    }

    /// The places of all nodes.
    pub(super) fn places(&self) -> std::ops::Range<usize> {
        0..self.nodes.len()
    }

    /// The node at a place.
    pub(super) fn node_at(&self, place: usize) -> NodeId {
        self.nodes[place].node
    }

    /// Slots free on one.
    pub(super) fn free_at(&self, place: usize) -> usize {
        self.nodes[place].free
    }

    /// Milliseconds until the node at `place` would have written `bytes` more, all else that it is to
    /// write before. A node of which nothing is known counts as the best one.
    pub(super) fn write_ms(&self, place: usize, bytes: u64) -> u64 {
        let load = &self.nodes[place];
        time_ms(load.writing, bytes, load.writes)
    }

    /// As [`write_ms`](Self::write_ms), of what it reads for others.
    pub(super) fn read_ms(&self, place: usize, bytes: u64) -> u64 {
        let load = &self.nodes[place];
        time_ms(load.reading, bytes, load.reads)
    }
}

fn add(sum: u64, more: u128) -> u64 {
    sum.saturating_add(u64::try_from(more).unwrap_or(u64::MAX))
}

/// In 64 bits, where a division takes a fraction of the time: from 16 PiB on all are equal.
fn time_ms(before: u64, bytes: u64, rate: u64) -> u64 {
    let bytes = before.saturating_add(bytes.max(TASK_BYTES_MIN));
    bytes.saturating_mul(1000) / rate.max(1)
}
