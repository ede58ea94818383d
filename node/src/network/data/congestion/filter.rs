//! What the path can do, out of many samples: the highest rate and the shortest round trip of late.
//!
//! These never forget at once and never remember for ever. They know nothing of windows.

use std::time::{Duration, Instant};

/// Time after which a shortest round trip that was not seen again is doubted: the path may have
/// become longer. 10 s as in draft-ietf-ccwg-bbr (`MinRTTFilterLen`).
const ROUND_TRIP_LIFE: Duration = Duration::from_secs(10);

/// The highest delivery rate of this cycle of probing and the one before, in bytes per second.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct BandwidthFilter {
    previous: u64,
    current: u64,
}

impl BandwidthFilter {
    /// Bytes per second; 0 before the first sample.
    pub(super) fn rate(&self) -> u64 {
        self.previous.max(self.current)
    }

    pub(super) fn insert(&mut self, rate: u64) {
        self.current = self.current.max(rate);
    }

    /// A new cycle begins: what is older than the last one is forgotten.
    pub(super) fn rotate(&mut self) {
        if self.current > 0 {
            self.previous = self.current;
            self.current = 0;
        }
    }

    /// Forgets everything but `rate`, which is known to be what the path gives now.
    pub(super) fn replace(&mut self, rate: u64) {
        *self = Self { previous: rate, current: rate };
    }
}

/// The shortest round trip of late.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RoundTripFilter {
    shortest: Option<(Duration, Instant)>,
}

impl RoundTripFilter {
    /// The shortest round trip, or zero before the first.
    pub(super) fn shortest(&self) -> Duration {
        self.shortest.map_or(Duration::ZERO, |(shortest, _)| shortest)
    }

    pub(super) fn insert(&mut self, now: Instant, round_trip: Duration) {
        match &mut self.shortest {
            // One that is nearly as short confirms it: noise is no reason to doubt.
            Some((shortest, seen_at)) if round_trip > *shortest => {
                if round_trip <= *shortest + *shortest / 32 {
                    *seen_at = now;
                }
            }
            shortest => *shortest = Some((round_trip, now)),
        }
    }

    /// Whether the shortest round trip was not seen for so long that it must be measured again.
    pub(super) fn is_doubtful(&self, now: Instant) -> bool {
        self.shortest.is_some_and(|(_, seen_at)| now.duration_since(seen_at) > ROUND_TRIP_LIFE)
    }

    /// Takes `round_trip`, measured with little under way, for the shortest.
    pub(super) fn replace(&mut self, now: Instant, round_trip: Duration) {
        self.shortest = Some((round_trip, now));
    }
}
