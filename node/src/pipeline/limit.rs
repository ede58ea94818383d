//! The bandwidth limit: a token bucket over the bytes that are read.
//!
//! In a cluster a limit is shared with other nodes, and this node's share of it is lent for a while:
//! what passes is paid for within that time, and when it is over, nothing passes until there is
//! another share.

use std::sync::Arc;
use std::time::Duration;

use airlift_protocol::units::ByteRate;
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;

use crate::runtime::clock;

/// What may pass at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Everything at once.
    Open,
    /// Bytes at a rate, for as long as it holds; 0 is nothing.
    At {
        /// The rate.
        rate: ByteRate,
        /// When it ends; `None` for never.
        until: Option<Instant>,
    },
}

impl From<Option<ByteRate>> for Flow {
    fn from(limit: Option<ByteRate>) -> Self {
        limit.map_or(Self::Open, |rate| Self::At { rate, until: None })
    }
}

/// Delays readers so that, together, they stay below a rate.
#[derive(Debug)]
pub struct RateLimit {
    flow: watch::Sender<Flow>,
    /// When the bytes let through so far will have been due at the rate.
    due: Mutex<Instant>,
    /// A limit that what passes here has to pass as well.
    within: Option<Arc<Self>>,
}

/// How far the due time may lie in the past: what an idle limit lets through at once.
const BURST: Duration = Duration::from_millis(100);

impl RateLimit {
    /// A limit of `rate`.
    pub fn new(rate: ByteRate) -> Self {
        Self::with(Flow::At { rate, until: None }, None)
    }

    /// A limit that begins with `flow`, as a part of a wider one.
    pub fn with(flow: Flow, within: Option<Arc<Self>>) -> Self {
        Self { flow: watch::Sender::new(flow), due: Mutex::new(clock::now()), within }
    }

    /// What may pass from now on, also of what waits already.
    pub fn set(&self, flow: Flow) {
        self.flow.send_if_modified(|now| std::mem::replace(now, flow) != flow);
    }

    /// What may pass.
    pub fn flow(&self) -> Flow {
        *self.flow.borrow()
    }

    /// What may pass in a second at present; `None` for everything.
    pub fn rate(&self) -> Option<ByteRate> {
        let own = match self.flow() {
            Flow::Open => None,
            Flow::At { rate, .. } => Some(rate),
        };
        let wider = self.within.as_ref().and_then(|wider| wider.rate());
        own.into_iter().chain(wider).min()
    }

    /// Waits until `bytes` may pass.
    pub async fn pass(&self, bytes: u64) {
        self.wait(bytes).await;
        if let Some(wider) = &self.within {
            wider.wait(bytes).await;
        }
    }

    async fn wait(&self, bytes: u64) {
        // Waiting under the lock keeps the order of arrival.
        let mut due = self.due.lock().await;
        let mut flow = self.flow.subscribe();
        let now = clock::now();
        let earliest = now.checked_sub(BURST).unwrap_or(now);
        let mut debt = Debt { paid_until: (*due).max(earliest), left: u128::from(bytes) * SECOND };
        while debt.left > 0 {
            let current = *flow.borrow_and_update();
            let (rate, until) = match current {
                Flow::Open => break,
                Flow::At { rate, until } => (rate, until),
            };
            if rate.0 == 0 || until.is_some_and(|until| until <= clock::now()) {
                // The sender is this limit's own: it is there for as long as somebody waits.
                let _ = flow.changed().await;
                debt.paid_until = clock::now();
                continue;
            }
            let end = debt.end(rate, until);
            tokio::select! {
                () = tokio::time::sleep_until(end) => debt.pay(rate, end),
                _ = flow.changed() => debt.pay(rate, clock::now().min(end)),
            }
        }
        *due = match self.flow() {
            Flow::Open => clock::now(),
            Flow::At { .. } => debt.paid_until,
        };
    }
}

const SECOND: u128 = 1_000_000_000;

/// Bytes that wait to be paid for with time.
struct Debt {
    paid_until: Instant,
    /// Bytes times nanoseconds: a rate in bytes per second pays off its number in a nanosecond.
    left: u128,
}

impl Debt {
    /// When all is paid, or the rate ends.
    fn end(&self, rate: ByteRate, until: Option<Instant>) -> Instant {
        let nanoseconds = self.left.div_ceil(u128::from(rate.0));
        let cost = Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX));
        let end = self.paid_until + cost;
        until.map_or(end, |until| end.min(until))
    }

    fn pay(&mut self, rate: ByteRate, now: Instant) {
        let paid = now.saturating_duration_since(self.paid_until).as_nanos();
        self.left = self.left.saturating_sub(paid * u128::from(rate.0));
        self.paid_until = self.paid_until.max(now);
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

    fn lent(rate: u64, ms: u64) -> Flow {
        let until = Some(clock::now() + Duration::from_millis(ms));
        Flow::At { rate: ByteRate(rate), until }
    }

    const CLOSED: Flow = Flow::At { rate: ByteRate(0), until: None };

    /// Milliseconds until `bytes` have passed.
    async fn passing(limit: &RateLimit, bytes: u64) -> u128 {
        let start = clock::now();
        limit.pass(bytes).await;
        (clock::now() - start).as_millis()
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_lent_ends_and_nothing_passes_until_there_is_more() {
        let limit = Arc::new(RateLimit::with(CLOSED, None));
        let waiting = tokio::spawn({
            let limit = Arc::clone(&limit);
            async move { passing(&limit, 5_000).await }
        });
        tokio::time::sleep(Duration::from_secs(10)).await;
        limit.set(lent(1_000, 2_000));
        // Two of the five seconds are paid when the share ends.
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(!waiting.is_finished(), "it fails closed");
        limit.set(lent(1_000, 10_000));
        let ms = waiting.await.unwrap();
        assert!((72_900..=73_100).contains(&ms), "{ms} ms");
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_rate_holds_for_what_waits_already() {
        let limit = Arc::new(RateLimit::with(lent(1_000, 60_000), None));
        let waiting = tokio::spawn({
            let limit = Arc::clone(&limit);
            async move { passing(&limit, 10_000).await }
        });
        tokio::time::sleep(Duration::from_secs(5)).await;
        limit.set(lent(5_000, 60_000));
        let ms = waiting.await.unwrap();
        assert!((5_800..=6_100).contains(&ms), "{ms} ms");
        limit.set(Flow::Open);
        assert_eq!(passing(&limit, u64::MAX).await, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_part_of_a_wider_limit_passes_both() {
        let total = Arc::new(RateLimit::with(Flow::Open, None));
        let part = RateLimit::with(lent(1_000, 60_000), Some(Arc::clone(&total)));
        let ms = passing(&part, 4_000).await;
        assert!((3_800..=4_100).contains(&ms), "{ms} ms");
        assert_eq!((total.rate(), part.rate()), (None, Some(ByteRate(1_000))));
        total.set(lent(100, 60_000));
        assert_eq!(part.rate(), Some(ByteRate(100)));
        let ms = passing(&part, 1_000).await;
        assert!(ms >= 9_800, "{ms} ms");
    }

    #[tokio::test(start_paused = true)]
    async fn time_without_a_share_pays_for_nothing() {
        let limit = RateLimit::with(lent(1_000, 1_000), None);
        tokio::time::sleep(Duration::from_secs(100)).await;
        limit.set(lent(1_000, 60_000));
        let ms = passing(&limit, 2_000).await;
        assert!((1_800..=2_100).contains(&ms), "{ms} ms");
    }
}
