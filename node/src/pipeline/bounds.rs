//! What bounds the reading of stores, whoever reads.

use std::sync::Arc;

use airlift_protocol::figures::Stage;
use airlift_protocol::units::ByteRate;

use super::budget::{Budget, Permit};
use super::limit::RateLimit;
use super::meter::Meter;

/// Bounds on bytes in memory and bytes per second. Clones share them.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// Bound on bytes in memory.
    pub budget: Budget,
    /// Bound on bytes per second.
    pub limit: Option<Arc<RateLimit>>,
    /// Where reading and what holds it back is counted.
    pub meter: Arc<Meter>,
}

impl Bounds {
    /// Waits until `bytes` may be read.
    pub(crate) async fn wait_for_bandwidth(&self, bytes: u64) {
        if let Some(limit) = &self.limit {
            let _wait = self.meter.wait(Stage::Limit);
            limit.pass(bytes).await;
            self.meter.add_bytes(Stage::Limit, bytes);
        }
    }

    /// What may pass in a second at present; `None` without a limit.
    pub(crate) fn rate(&self) -> Option<ByteRate> {
        self.limit.as_ref()?.rate()
    }

    /// Waits until `bytes` may be held in memory.
    pub(crate) async fn wait_for_memory(&self, bytes: u64) -> Permit {
        let _wait = self.meter.wait(Stage::Memory);
        let permit = self.budget.take(bytes).await;
        self.meter.add_bytes(Stage::Memory, bytes);
        permit
    }

    /// The memory of `range_bytes`, of which `part_bytes` at a time are held until they are written.
    pub(crate) fn memory_of_parts(&self, range_bytes: u64, part_bytes: u64) -> PartMemory {
        let (part, part_left) = (Permit::default(), 0);
        PartMemory { bounds: self.clone(), part_bytes, part, part_left, rest: range_bytes }
    }
}

/// Memory of a range that is written part by part. That of a part is taken at once: of several readers
/// that each had some chunks of a part, all could wait for the memory of the next one.
#[derive(Debug)]
pub(crate) struct PartMemory {
    bounds: Bounds,
    part_bytes: u64,
    /// What is left of the part that is being read.
    part: Permit,
    part_left: u64,
    /// Bytes of the range that follow that part.
    rest: u64,
}

impl PartMemory {
    /// Waits until the next `bytes`, which are all of one part, may be held in memory.
    pub(crate) async fn wait(&mut self, bytes: u64) -> Permit {
        if self.part_left == 0 {
            self.part_left = self.part_bytes.min(self.rest);
            self.rest -= self.part_left;
            self.part = self.bounds.wait_for_memory(self.part_left).await;
        }
        debug_assert!(bytes <= self.part_left, "{bytes} bytes reach into the next part");
        self.part_left = self.part_left.saturating_sub(bytes);
        self.part.split(bytes)
    }
}
