//! Resources: what serves so many units a second, one after the other.

/// Something with a rate. What is asked of it is served in order; it is never idle while something
/// waits, so that the sum is right although shares are not told apart.
#[derive(Clone, Debug)]
pub(super) struct Resource {
    pub(super) name: String,
    /// Units a second; `None` without a bound.
    rate: Option<u64>,
    /// Microseconds at which all that was asked of it is done.
    free_us: u64,
    /// Microseconds at work.
    busy_us: u64,
    /// All that it served.
    pub(super) units: u64,
}

impl Resource {
    pub(super) fn new(name: String, rate: Option<u64>) -> Self {
        Self { name, rate, free_us: 0, busy_us: 0, units: 0 }
    }

    /// Asks for `units` at `now_us`; when they are served.
    pub(super) fn take(&mut self, now_us: u64, units: u64) -> u64 {
        self.units = self.units.saturating_add(units);
        let Some(rate) = self.rate.filter(|rate| *rate > 0) else { return now_us };
        let us = u128::from(units) * 1_000_000 / u128::from(rate);
        let us = u64::try_from(us).unwrap_or(u64::MAX);
        self.busy_us = self.busy_us.saturating_add(us);
        self.free_us = self.free_us.max(now_us).saturating_add(us);
        self.free_us
    }

    /// Of a thousand, the part of `total_us` for which it worked.
    pub(super) fn busy_per_mille(&self, total_us: u64) -> u64 {
        let busy = u128::from(self.busy_us.min(total_us)) * 1_000;
        u64::try_from(busy / u128::from(total_us.max(1))).unwrap_or(1_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_together_is_served_in_order_and_idle_time_is_lost() {
        let mut disk = Resource::new("disk".to_owned(), Some(1_000));
        assert_eq!(disk.take(0, 500), 500_000);
        assert_eq!(disk.take(100_000, 500), 1_000_000);
        assert_eq!(disk.take(3_000_000, 1), 3_001_000);
        assert_eq!(disk.busy_per_mille(4_004_000), 250);
        assert_eq!(disk.units, 1_001);
        let mut free = Resource::new("free".to_owned(), None);
        assert_eq!(free.take(7, u64::MAX), 7);
        assert_eq!(free.busy_per_mille(100), 0);
    }
}
