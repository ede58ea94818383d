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
    /// Verify: of `equal`, those of which at least one end was not read, because a sum that its store
    /// keeps shows it.
    #[serde(default)]
    pub equal_by_sum: u64,
    /// Verify: different content.
    pub differs: u64,
    /// Verify: not at the target.
    pub missing: u64,
    /// Verify: only at the target.
    pub extra: u64,
}

impl ObjectCounts {
    /// Objects of the source's listing that have come to their end, whatever it is.
    pub fn finished(&self) -> u64 {
        let Self { done, unchanged, equal, failed, skipped, differs, missing, .. } = *self;
        let ends = [done, unchanged, equal, failed, skipped, differs, missing];
        // A delete that failed is of an object that the source does not have.
        sum(&ends).min(self.total)
    }

    /// Objects that are not well: any of them makes the exit code 1.
    pub fn troubles(&self) -> u64 {
        let Self { failed, skipped, differs, missing, extra, .. } = *self;
        sum(&[failed, skipped, differs, missing, extra])
    }
}

fn sum(counts: &[u64]) -> u64 {
    counts.iter().fold(0, |sum, count| sum.saturating_add(*count))
}

/// Counts of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByteCounts {
    /// Listed at the source.
    pub total: u64,
    /// Of objects that are done or unchanged (verify: equal).
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
    /// What was copied by the service of both ends: part of what is done.
    pub copied: Portion,
    /// What lies in an archive, of the objects that were skipped.
    pub archived: ArchivedCounts,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_at_the_source_is_one_and_every_trouble_counts() {
        let counts = ObjectCounts {
            total: 9,
            done: 1,
            unchanged: 1,
            failed: 1,
            skipped: 1,
            deleted: 1,
            equal: 1,
            equal_by_sum: 1,
            differs: 1,
            missing: 1,
            extra: 1,
        };
        assert_eq!((counts.finished(), counts.troubles()), (7, 5));
        let beyond = ObjectCounts { failed: u64::MAX, ..counts };
        assert_eq!((beyond.finished(), beyond.troubles()), (9, u64::MAX));
    }
}
