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

/// Bytes taken out of the budget until this is dropped; none by default.
#[derive(Debug, Default)]
pub struct Permit {
    units: Option<OwnedSemaphorePermit>,
}

impl Permit {
    /// Splits off the share of `bytes`, or what is left.
    #[must_use]
    pub fn split(&mut self, bytes: u64) -> Self {
        let wanted = usize::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(usize::MAX);
        let units =
            self.units.as_mut().and_then(|units| units.split(wanted.min(units.num_permits())));
        Self { units }
    }
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
        Permit { units: Some(permit.expect("invariant: the semaphore is never closed")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_permit_is_given_back_piece_by_piece() {
        let budget = Budget::new(3 * UNIT_BYTES);
        let mut whole = budget.take(10 * UNIT_BYTES).await;
        let first = whole.split(2 * UNIT_BYTES);
        let rest = whole.split(8 * UNIT_BYTES);
        assert_eq!(budget.units.available_permits(), 0);
        drop(first);
        assert_eq!(budget.units.available_permits(), 2);
        drop((rest, whole));
        assert_eq!(budget.units.available_permits(), 3);
    }
}
