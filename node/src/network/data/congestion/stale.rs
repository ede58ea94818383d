//! Whether the path has become slower than its highest rate of late says.
//!
//! While a queue stands, what is delivered is what the path gives: rounds like that which all stay
//! far below the estimate prove it wrong, long before it would be forgotten. This never looks at a
//! single round.

/// Rounds in a row that prove it.
const ROUNDS: usize = 3;

/// The estimate is wrong when the best of them is below this part of it, in percent. Sharing with
/// others makes smaller differences, and those have to fade slowly to become fair.
const STALE_PERCENT: u64 = 75;

/// The rates of the last full rounds, in bytes per second.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FullRounds {
    rates: [u64; ROUNDS],
    round_count: usize,
}

impl FullRounds {
    /// A round ended in which the path was not full, or not known to be.
    pub(super) fn clear(&mut self) {
        self.round_count = 0;
    }

    /// A round ended in which the path was full and gave `rate`. What it gives, when `estimate` is
    /// proven wrong.
    pub(super) fn record(&mut self, rate: u64, estimate: u64) -> Option<u64> {
        self.rates[self.round_count % ROUNDS] = rate;
        self.round_count += 1;
        let most = self.rates.iter().copied().max()?;
        let is_stale = u128::from(most) * 100 < u128::from(estimate) * u128::from(STALE_PERCENT);
        (self.round_count >= ROUNDS && is_stale).then_some(most)
    }
}
