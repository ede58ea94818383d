//! What happened in one round trip: from the sending of a packet until it is acknowledged.
//!
//! This counts and never judges.

use std::time::{Duration, Instant};

/// Counts of one round trip.
#[derive(Clone, Copy, Debug)]
pub(super) struct Round {
    started_at: Instant,
    /// Bytes that were confirmed.
    pub(super) delivered_bytes: u64,
    /// Bytes that were declared lost.
    pub(super) lost_bytes: u64,
    /// The shortest round trip of its acknowledgements.
    pub(super) round_trip_min: Duration,
    /// The highest delivery rate, in bytes per second.
    pub(super) rate_max: u64,
    /// Whether the application had too little to send in some of it.
    pub(super) is_application_limited: bool,
}

impl Round {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            started_at: now,
            delivered_bytes: 0,
            lost_bytes: 0,
            round_trip_min: Duration::MAX,
            rate_max: 0,
            is_application_limited: false,
        }
    }

    /// Takes the round trip of a batch of acknowledgements.
    pub(super) fn insert(&mut self, round_trip: Duration, is_application_limited: bool) {
        self.round_trip_min = self.round_trip_min.min(round_trip);
        self.is_application_limited |= is_application_limited;
    }

    /// Whether an acknowledgement of what was sent at `sent` ends this round.
    pub(super) fn is_ended_by(&self, sent: Instant) -> bool {
        sent >= self.started_at
    }

    /// Whether more than `percent` of `bytes`, or of what this round settled when that is more,
    /// were lost.
    pub(super) fn is_loss_above(&self, percent: u64, bytes: u64) -> bool {
        let settled = self.delivered_bytes + self.lost_bytes;
        self.lost_bytes * 100 > settled.max(bytes) * percent
    }
}
