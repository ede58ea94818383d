//! What a job has listed and what became of it, as numbers.

use airlift_protocol::attributes::AttributeSet;
use serde::{Deserialize, Serialize};

/// Counts of objects. `total` is what the source's listing has so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectCounts {
    /// Listed at the source.
    pub total: u64,
    /// Moved, committed and checked; in a dry run, would be moved.
    pub done: u64,
    /// Found at the target already.
    pub unchanged: u64,
    /// Could not be moved, deleted or compared.
    pub failed: u64,
    /// Left out on purpose.
    pub skipped: u64,
    /// Deleted from the target; in a dry run, would be deleted.
    pub deleted: u64,
    /// Verify: same content at both ends.
    pub equal: u64,
    /// Verify: different content.
    pub differs: u64,
    /// Verify: not at the target.
    pub missing: u64,
    /// Verify: only at the target.
    pub extra: u64,
}

/// Counts of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByteCounts {
    /// Listed at the source.
    pub total: u64,
    /// Of objects that are done or unchanged (verify: compared).
    pub done: u64,
    /// Read at the source, verified and written at the target.
    pub sent: u64,
    /// Of `sent`, at most so many that an interrupted run had sent before.
    pub resent: u64,
    /// Bytes of one node's answers to another that crossed the network, with all around them and
    /// after compression; 0 when each order was carried out by one node.
    pub wire: u64,
}

/// What the target could not hold of objects that are done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DroppedCounts {
    /// Objects that lost something.
    pub objects: u64,
    /// What they lost, all together.
    pub attributes: AttributeSet,
}

/// A part of a job's objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Portion {
    /// How many.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Portion {
    /// One more object.
    pub(crate) fn add(&mut self, bytes: u64) {
        self.objects += 1;
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

/// What could not be read because it lies in an archive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchivedCounts {
    /// Nobody has asked for it.
    pub resting: Portion,
    /// It is being restored.
    pub restoring: Portion,
}

/// Counts of a job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Objects.
    pub objects: ObjectCounts,
    /// Bytes.
    pub bytes: ByteCounts,
    /// What was dropped on the way.
    pub dropped: DroppedCounts,
    /// What lies in an archive, of the objects that were skipped.
    pub archived: ArchivedCounts,
}
