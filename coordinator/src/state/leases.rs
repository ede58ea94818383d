//! The leases of one job, and what they come to for each node: a leader asks that for every plan and
//! at every sign of life, and there may be tens of thousands of them.

use std::collections::{BTreeMap, BTreeSet, btree_map};

use airlift_protocol::id::{AssignmentId, Epoch, NodeId};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Task;

/// Bytes that work counts as at least: opening and committing take their time too.
pub(crate) const TASK_BYTES_MIN: u64 = 1 << 20;

/// A node's right to do one task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Who holds it.
    pub node: NodeId,
    /// Who reads the source for it; `None` when the holder does.
    pub source: Option<NodeId>,
    /// What it is for.
    pub task: Task,
    /// Its fencing number.
    pub epoch: Epoch,
    /// Bytes that it may move.
    pub bytes: u64,
}

impl Lease {
    /// What it counts as among what a node has to do.
    pub(crate) fn load(&self) -> u64 {
        self.bytes.max(TASK_BYTES_MIN)
    }
}

/// What one node has to do for a job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Held {
    /// The leases that it holds.
    pub(crate) leases: BTreeSet<AssignmentId>,
    /// How many of them take a slot.
    pub(crate) slots: usize,
    /// Their bytes.
    pub(crate) writing: u128,
    /// How many of them move objects.
    pub(crate) moving: usize,
    /// Who reads for these, and for how many.
    pub(crate) readers: BTreeMap<NodeId, usize>,
    /// Bytes that it is to read for others.
    pub(crate) reading: u128,
    /// How many leases of others that move objects it reads for.
    pub(crate) feeding: usize,
}

/// The rights given out, by id. On record there is only the map; the rest follows from it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leases {
    all: BTreeMap<AssignmentId, Lease>,
    nodes: BTreeMap<NodeId, Held>,
    /// Those for tasks of which there is one at a time.
    single: BTreeMap<Task, AssignmentId>,
    slots: usize,
}

impl Leases {
    /// Adds a lease.
    pub fn insert(&mut self, id: AssignmentId, lease: Lease) {
        self.remove(id);
        let (is_moving, takes_slot) = (lease.task.moves_objects(), lease.task.takes_slot());
        let held = self.nodes.entry(lease.node).or_default();
        held.leases.insert(id);
        held.slots += usize::from(takes_slot);
        held.writing += u128::from(lease.load());
        held.moving += usize::from(is_moving);
        if let Some(reader) = lease.source {
            if is_moving {
                *held.readers.entry(reader).or_default() += 1;
            }
            let reading = self.nodes.entry(reader).or_default();
            reading.reading += u128::from(lease.load());
            reading.feeding += usize::from(is_moving);
        }
        self.slots += usize::from(takes_slot);
        if lease.task.is_single() {
            self.single.insert(lease.task.clone(), id);
        }
        self.all.insert(id, lease);
    }

    /// Takes a lease out.
    pub fn remove(&mut self, id: AssignmentId) -> Option<Lease> {
        let lease = self.all.remove(&id)?;
        let (is_moving, takes_slot) = (lease.task.moves_objects(), lease.task.takes_slot());
        self.change(lease.node, |held| {
            held.leases.remove(&id);
            held.slots -= usize::from(takes_slot);
            held.writing -= u128::from(lease.load());
            held.moving -= usize::from(is_moving);
            if let Some(reader) = lease.source.filter(|_| is_moving)
                && let btree_map::Entry::Occupied(mut count) = held.readers.entry(reader)
            {
                *count.get_mut() -= 1;
                if *count.get() == 0 {
                    count.remove();
                }
            }
        });
        if let Some(reader) = lease.source {
            self.change(reader, |held| {
                held.reading -= u128::from(lease.load());
                held.feeding -= usize::from(is_moving);
            });
        }
        self.slots -= usize::from(takes_slot);
        if self.single.get(&lease.task) == Some(&id) {
            self.single.remove(&lease.task);
        }
        Some(lease)
    }

    /// Changes what a node has, and forgets it when that is nothing.
    fn change(&mut self, node: NodeId, change: impl FnOnce(&mut Held)) {
        if let btree_map::Entry::Occupied(mut held) = self.nodes.entry(node) {
            change(held.get_mut());
            if *held.get() == Held::default() {
                held.remove();
            }
        }
    }

    /// A lease.
    pub fn get(&self, id: AssignmentId) -> Option<&Lease> {
        self.all.get(&id)
    }

    /// All of them, by id.
    pub fn iter(&self) -> impl Iterator<Item = (AssignmentId, &Lease)> {
        self.all.iter().map(|(id, lease)| (*id, lease))
    }

    /// All from `first` on, by id.
    pub(crate) fn from(&self, first: AssignmentId) -> impl Iterator<Item = (AssignmentId, &Lease)> {
        self.all.range(first..).map(|(id, lease)| (*id, lease))
    }

    /// All of them, without their ids.
    pub fn values(&self) -> impl Iterator<Item = &Lease> {
        self.all.values()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The lease for a task of which there is one at a time.
    pub fn single(&self, task: &Task) -> Option<AssignmentId> {
        self.single.get(task).copied()
    }

    /// The leased tasks of which there is one at a time.
    pub fn singles(&self) -> impl Iterator<Item = &Task> {
        self.single.keys()
    }

    /// Slots that all of them take.
    pub(crate) fn slots(&self) -> usize {
        self.slots
    }

    /// What one node has to do, if anything.
    pub(crate) fn of(&self, node: NodeId) -> Option<&Held> {
        self.nodes.get(&node)
    }

    /// What each node has to do, by node.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = (NodeId, &Held)> {
        self.nodes.iter().map(|(node, held)| (*node, held))
    }
}

impl FromIterator<(AssignmentId, Lease)> for Leases {
    fn from_iter<I: IntoIterator<Item = (AssignmentId, Lease)>>(leases: I) -> Self {
        let mut all = Self::default();
        leases.into_iter().for_each(|(id, lease)| all.insert(id, lease));
        all
    }
}

impl Serialize for Leases {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.all.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Leases {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        BTreeMap::deserialize(deserializer).map(Self::from_iter)
    }
}

#[cfg(test)]
mod tests {
    use airlift_protocol::assignment::End;
    use airlift_protocol::codec;
    use airlift_protocol::id::{KeyRangeId, PageId, Position};
    use proptest::prelude::*;

    use super::*;

    fn task(number: u8) -> Task {
        let position = Position { page: PageId(0), index: u16::from(number / 8) };
        match number % 5 {
            0 => Task::List(End::Source, KeyRangeId(u32::from(number / 8))),
            1 => Task::Compare(PageId(u32::from(number / 8))),
            2 => Task::Range(position, u32::from(number)),
            3 => Task::Commit(position),
            _ => Task::Pack(PageId(0), vec![u16::from(number)]),
        }
    }

    fn node(number: u8) -> NodeId {
        NodeId([number % 4; 32])
    }

    fn lease((id, holder, reader): (u8, u8, u8)) -> (AssignmentId, Lease) {
        let source = (reader % 5 > 0).then(|| node(reader));
        let (task, bytes) = (task(holder), u64::from(id) << 55);
        let lease = Lease { node: node(holder), source, task, epoch: Epoch(1), bytes };
        (AssignmentId(u64::from(id % 16)), lease)
    }

    /// What follows from the map alone, in the plainest way.
    fn check(leases: &Leases) {
        for number in 0..4 {
            let node = node(number);
            let own = || leases.iter().filter(|(_, lease)| lease.node == node);
            let moving = || own().filter(|(_, lease)| lease.task.moves_objects());
            let fed = || leases.values().filter(|lease| lease.source == Some(node));
            let nothing = Held::default();
            let held = leases.of(node).unwrap_or(&nothing);
            assert!(held.leases.iter().copied().eq(own().map(|(id, _)| id)));
            assert_eq!(held.slots, own().filter(|(_, lease)| lease.task.takes_slot()).count());
            assert_eq!(held.writing, own().map(|(_, lease)| u128::from(lease.load())).sum());
            assert_eq!(held.moving, moving().count());
            let mut readers = BTreeMap::new();
            for reader in moving().filter_map(|(_, lease)| lease.source) {
                *readers.entry(reader).or_insert(0) += 1;
            }
            assert_eq!(held.readers, readers);
            assert_eq!(held.reading, fed().map(|lease| u128::from(lease.load())).sum());
            assert_eq!(held.feeding, fed().filter(|lease| lease.task.moves_objects()).count());
        }
        assert_eq!(leases.slots(), leases.values().filter(|lease| lease.task.takes_slot()).count());
        let single = leases.values().map(|lease| &lease.task).filter(|task| task.is_single());
        assert_eq!(leases.singles().collect::<BTreeSet<_>>(), single.collect::<BTreeSet<_>>(),);
        assert!(leases.singles().all(|task| leases.single(task).is_some()));
    }

    proptest! {
        #[test]
        fn what_nodes_have_is_the_sum_of_their_leases(
            steps in proptest::collection::vec((any::<(u8, u8, u8)>(), any::<bool>()), 0..60),
        ) {
            let mut leases = Leases::default();
            for (step, is_added) in steps {
                let (id, lease) = lease(step);
                let is_taken = leases.single(&lease.task).is_some_and(|of| of != id);
                if !is_added {
                    leases.remove(id);
                } else if !is_taken {
                    leases.insert(id, lease);
                }
                check(&leases);
            }
            let map: BTreeMap<AssignmentId, Lease> =
                leases.iter().map(|(id, lease)| (id, lease.clone())).collect();
            let bytes = codec::encode(&leases);
            prop_assert_eq!(&bytes, &codec::encode(&map));
            prop_assert_eq!(codec::decode::<Leases>(&bytes, bytes.len()).unwrap(), leases);
        }
    }
}
