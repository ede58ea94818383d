//! The byte budget: how much plaintext the pipeline may hold at once, over all assignments.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Granularity of the budget.
const UNIT_BYTES: u64 = 4 << 10;

/// A bound on bytes in memory, shared by everything that reads.
#[derive(Clone, Debug)]
pub struct Budget {
    units: Arc<Semaphore>,
    units_max: u32,
}

/// Bytes taken out of the budget until this is dropped.
#[derive(Debug)]
pub struct Permit {
    _units: OwnedSemaphorePermit,
}

impl Budget {
    /// A budget of `bytes`.
    pub fn new(bytes: u64) -> Self {
        let units = u32::try_from(bytes / UNIT_BYTES).unwrap_or(u32::MAX).max(1);
        Self { units: Arc::new(Semaphore::new(units as usize)), units_max: units }
    }

    /// Waits until `bytes` are free, in order of arrival. More than the whole budget waits for all.
    pub async fn take(&self, bytes: u64) -> Permit {
        let units = bytes.div_ceil(UNIT_BYTES).clamp(1, u64::from(self.units_max));
        let units = u32::try_from(units).unwrap_or(self.units_max);
        let permit = Arc::clone(&self.units).acquire_many_owned(units).await;
        Permit { _units: permit.expect("invariant: the semaphore is never closed") }
    }
}
