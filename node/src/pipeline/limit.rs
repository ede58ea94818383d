//! The bandwidth limit: a token bucket over the bytes that are read.

use std::time::Duration;

use airlift_protocol::units::ByteRate;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::runtime::clock;

/// Delays readers so that, together, they stay below a rate.
#[derive(Debug)]
pub struct RateLimit {
    rate: ByteRate,
    /// When the bytes let through so far will have been due at the rate.
    due: Mutex<Instant>,
}

/// How far the due time may lie in the past: what an idle limit lets through at once.
const BURST: Duration = Duration::from_millis(100);

impl RateLimit {
    /// A limit of `rate`.
    pub fn new(rate: ByteRate) -> Self {
        Self { rate, due: Mutex::new(clock::now()) }
    }

    /// The rate.
    pub fn rate(&self) -> ByteRate {
        self.rate
    }

    /// Waits until `bytes` may pass.
    pub async fn pass(&self, bytes: u64) {
        let mut due = self.due.lock().await;
        let now = clock::now();
        let earliest = now.checked_sub(BURST).unwrap_or(now);
        let nanoseconds = u128::from(bytes) * 1_000_000_000 / u128::from(self.rate.0);
        let cost = Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX));
        *due = (*due).max(earliest) + cost;
        // Waiting under the lock keeps the order of arrival.
        tokio::time::sleep_until(*due).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn readers_together_stay_below_the_rate() {
        let limit = Arc::new(RateLimit::new(ByteRate(1000)));
        let start = clock::now();
        let readers = (0..4).map(|_| {
            let limit = Arc::clone(&limit);
            tokio::spawn(async move {
                for _ in 0..5 {
                    limit.pass(500).await;
                }
            })
        });
        for reader in readers.collect::<Vec<_>>() {
            reader.await.unwrap();
        }
        let seconds = (clock::now() - start).as_secs_f64();
        assert!((9.8..10.2).contains(&seconds), "10,000 bytes at 1,000 a second took {seconds} s");
    }
}
