//! What bounds the reading of stores, whoever reads.

use std::sync::Arc;

use airlift_protocol::figures::Stage;

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

    /// Waits until `bytes` may be held in memory.
    pub(crate) async fn wait_for_memory(&self, bytes: u64) -> Permit {
        let _wait = self.meter.wait(Stage::Memory);
        let permit = self.budget.take(bytes).await;
        self.meter.add_bytes(Stage::Memory, bytes);
        permit
    }
}
