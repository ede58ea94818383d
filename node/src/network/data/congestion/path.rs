//! What is known of the path: how fast it carries, how long it takes, and how much that is.
//!
//! This holds measurements and never decides what to do about them.

use std::time::{Duration, Instant};

use super::filter::{BandwidthFilter, RoundTripFilter};

/// Time that the window covers beyond a round trip. quinn's pacer sends bursts of 2 ms
/// (`BURST_INTERVAL_NANOS`), and acknowledgements come as unevenly.
const SLACK: Duration = Duration::from_millis(2);

/// The same again where the round trip is short, because a pause of the other end's scheduler is
/// longer than it: less by a fifth of the round trip, which is nothing from 10 ms on.
const SLACK_FADE: u32 = 5;

/// Packets that the window covers beyond that: an acknowledgement is sent for every second one.
const SLACK_PACKETS: u64 = 4;

/// Measurements of a path.
#[derive(Clone, Debug, Default)]
pub(super) struct Path {
    pub(super) bandwidth: BandwidthFilter,
    pub(super) round_trip: RoundTripFilter,
    /// quinn's smoothed round trip, by which it paces.
    pub(super) smoothed: Duration,
    /// The newest round trip.
    pub(super) latest: Duration,
}

impl Path {
    /// Takes the round trip of the newest packet that was acknowledged.
    pub(super) fn insert_round_trip(&mut self, now: Instant, round_trip: Duration) {
        self.latest = round_trip;
        self.round_trip.insert(now, round_trip);
    }

    /// Bytes that fill the path without a queue.
    pub(super) fn pipe_bytes(&self) -> u64 {
        bytes_in(self.bandwidth.rate(), self.round_trip.shortest())
    }

    /// Bytes that keep the measured rate through whatever queue there is now.
    pub(super) fn held_bytes(&self) -> u64 {
        bytes_in(self.bandwidth.rate(), self.smoothed)
    }

    /// Bytes beyond the pipe that keep it full although sending and acknowledging is uneven.
    pub(super) fn slack_bytes(&self, packet_bytes: u64) -> u64 {
        let more = SLACK.saturating_sub(self.round_trip.shortest() / SLACK_FADE);
        bytes_in(self.bandwidth.rate(), SLACK + more) + SLACK_PACKETS * packet_bytes
    }

    /// Whether `round_trip` is longer than `percent` of the shortest, and by more than `margin`.
    pub(super) fn is_longer(&self, round_trip: Duration, percent: u32, margin: Duration) -> bool {
        round_trip > self.round_trip.shortest() * percent / 100 + margin
    }
}

fn bytes_in(rate: u64, time: Duration) -> u64 {
    let bytes = u128::from(rate) * time.as_nanos() / 1_000_000_000;
    u64::try_from(bytes).unwrap_or(u64::MAX)
}
