//! Live counters of the pipeline, for progress between reports.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts that only grow.
#[derive(Debug, Default)]
pub struct Meter {
    /// Bytes verified and written at the target.
    pub sent: AtomicU64,
    /// Objects written at the target.
    pub objects: AtomicU64,
}

impl Meter {
    /// Counts `bytes` as written.
    pub fn add_sent(&self, bytes: u64) {
        self.sent.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts `objects` as written.
    pub fn add_objects(&self, objects: u64) {
        self.objects.fetch_add(objects, Ordering::Relaxed);
    }
}
