//! How far the clock of a service is from this machine's, as the dates of its answers say.
//!
//! A signature names its time, and a service refuses one that is a quarter of an hour off. Dates have whole
//! seconds and are as old as the way back is long: for minutes that is exact enough.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use aws_types::sdk_config::TimeSource;

use crate::runtime::clock;

/// From so much on, what a request was signed by is corrected.
const TOLERANCE_MS: i64 = 60_000;

/// The time of this machine, in milliseconds since 1970.
fn now_ms() -> i64 {
    i64::try_from(clock::wall().0).unwrap_or(i64::MAX)
}

/// Milliseconds by which a service whose answer has just come with this `Date` is ahead of this machine.
pub fn ahead_ms(date: &str) -> Option<i64> {
    let date = DateTime::from_str(date, Format::HttpDate).ok()?;
    // In the middle of the second that it names.
    date.secs().checked_mul(1_000)?.checked_add(500)?.checked_sub(now_ms())
}

/// By how much a clock is ahead or behind, for people: "20 minutes ahead of this machine's".
pub fn words(ahead_ms: i64) -> String {
    let way = if ahead_ms < 0 { "behind" } else { "ahead of" };
    let seconds = ahead_ms.unsigned_abs() / 1_000;
    match seconds {
        0..120 => format!("{seconds} seconds {way} this machine's"),
        120..7_200 => format!("{} minutes {way} this machine's", seconds / 60),
        _ => format!("{} hours {way} this machine's", seconds / 3_600),
    }
}

/// What requests to one service are signed by. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Skew {
    ahead_ms: Arc<AtomicI64>,
}

impl TimeSource for Skew {
    fn now(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(u64::try_from(self.now_ms()).unwrap_or_default())
    }
}

impl Skew {
    /// Seconds since 1970 by the clock of the service, as far as it is known.
    pub(in crate::store) fn seconds(&self) -> i64 {
        self.now_ms().div_euclid(1_000)
    }

    fn now_ms(&self) -> i64 {
        now_ms().saturating_add(self.ahead_ms.load(Ordering::Relaxed))
    }

    /// The service is so far ahead.
    pub(in crate::store) fn set(&self, ahead_ms: i64) {
        self.ahead_ms.store(ahead_ms, Ordering::Relaxed);
    }

    /// Takes over the service's time from a refusal with this `Date`. Returns by how much that is ahead
    /// when requests were signed by another time until now, so that it is worth to sign again.
    pub(in crate::store) fn correct(&self, date: &str) -> Option<i64> {
        let ahead = ahead_ms(date)?;
        let before = self.ahead_ms.load(Ordering::Relaxed);
        let is_other = ahead.saturating_sub(before).saturating_abs() > TOLERANCE_MS;
        is_other.then(|| {
            self.set(ahead);
            ahead
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(ahead_seconds: i64) -> String {
        let time = DateTime::from_secs(now_ms() / 1_000 + ahead_seconds);
        time.fmt(Format::HttpDate).unwrap()
    }

    #[test]
    fn a_time_that_is_far_off_is_taken_over_once_in_either_direction() {
        let skew = Skew::default();
        assert_eq!(skew.correct(&date(30)), None, "a way may take that long");
        assert_eq!(skew.correct("yesterday"), None);
        for ahead in [1_200, -86_400, 0] {
            let found = skew.correct(&date(ahead)).expect("it is far off");
            assert!((found - ahead * 1_000).abs() < 5_000, "{found} {ahead}");
            assert!((skew.seconds() - now_ms() / 1_000 - ahead).abs() < 5);
            assert_eq!(skew.correct(&date(ahead)), None, "it is known by now");
        }
    }

    #[test]
    fn skews_are_said_in_words() {
        for (ahead_ms, text) in [
            (5_000, "5 seconds ahead of this machine's"),
            (-1_200_000, "20 minutes behind this machine's"),
            (86_400_000, "24 hours ahead of this machine's"),
        ] {
            assert_eq!(words(ahead_ms), text);
        }
    }
}
