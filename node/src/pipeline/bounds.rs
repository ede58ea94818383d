//! What bounds the reading of stores, whoever reads.

use std::sync::Arc;

use super::budget::Budget;
use super::limit::RateLimit;

/// Bounds on bytes in memory and bytes per second. Clones share them.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// Bound on bytes in memory.
    pub budget: Budget,
    /// Bound on bytes per second.
    pub limit: Option<Arc<RateLimit>>,
}

impl Bounds {
    /// Waits until `bytes` may be read.
    pub(crate) async fn wait_for_bandwidth(&self, bytes: u64) {
        if let Some(limit) = &self.limit {
            limit.pass(bytes).await;
        }
    }
}
