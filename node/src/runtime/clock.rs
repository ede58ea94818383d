//! The only place that asks what time it is.

use std::time::{SystemTime, UNIX_EPOCH};

use airlift_protocol::time::Timestamp;
use tokio::time::Instant;

/// Monotonic time, for waiting and measuring.
#[expect(clippy::disallowed_methods, reason = "this is the clock that everything else asks")]
pub fn now() -> Instant {
    Instant::now()
}

/// Wall-clock time, milliseconds since 1970: for records, never for waiting.
#[expect(clippy::disallowed_methods, reason = "this is the clock that everything else asks")]
pub fn wall() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
