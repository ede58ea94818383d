//! How fast the peer confirms what was sent: one sample of the delivery rate per acknowledgement.
//!
//! A sample is what was confirmed between the sending of a packet and its acknowledgement, over the
//! longer of the times that sending and confirming it took: acknowledgements that arrive squeezed
//! together then cannot look like bandwidth. The idea is that of draft-ietf-ccwg-bbr, section 4.1.
//!
//! This never decides anything, never asks for the time, and never grows beyond its bound.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Moments of sending that are remembered. All packets of one moment share an entry, and so does
/// what is sent after the oldest are dropped: a lookup takes the nearest entry before.
const SENDS_MAX: usize = 4096;

/// What was known when packets were sent.
#[derive(Clone, Debug)]
struct Departure {
    at: Instant,
    delivered_bytes: u64,
    delivered_at: Instant,
    first_sent_at: Instant,
    is_application_limited: bool,
}

/// One measurement of the delivery rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RateSample {
    /// Bytes per second.
    pub(super) rate: u64,
    /// Whether the application had too little to send, so that the path may be faster.
    pub(super) is_application_limited: bool,
}

/// Turns packets sent and acknowledged into samples.
#[derive(Clone, Debug)]
pub(super) struct RateSampler {
    delivered_bytes: u64,
    delivered_at: Instant,
    first_sent_at: Instant,
    /// Packets sent before more than this is delivered say too little about the path.
    limited_until_bytes: Option<u64>,
    is_idle: bool,
    departures: VecDeque<Departure>,
    newest: Option<Departure>,
}

impl RateSampler {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            delivered_bytes: 0,
            delivered_at: now,
            first_sent_at: now,
            limited_until_bytes: None,
            is_idle: true,
            departures: VecDeque::new(),
            newest: None,
        }
    }

    /// Bytes confirmed since the beginning.
    pub(super) fn delivered_bytes(&self) -> u64 {
        self.delivered_bytes
    }

    /// Packets were sent at `now`. What is sent within `granularity` of the last entry shares it.
    pub(super) fn record_sent(&mut self, now: Instant, granularity: Duration) {
        if self.is_idle {
            // Nothing was under way: time without data is not time the path took.
            self.is_idle = false;
            self.delivered_at = now;
            self.first_sent_at = now;
        }
        if self.departures.back().is_some_and(|last| last.at + granularity >= now) {
            return;
        }
        if self.departures.len() == SENDS_MAX {
            self.departures.pop_front();
        }
        self.departures.push_back(Departure {
            at: now,
            delivered_bytes: self.delivered_bytes,
            delivered_at: self.delivered_at,
            first_sent_at: self.first_sent_at,
            is_application_limited: self
                .limited_until_bytes
                .is_some_and(|until| self.delivered_bytes <= until),
        });
    }

    /// A packet of `bytes` that was sent at `sent` is confirmed.
    pub(super) fn record_acknowledged(&mut self, sent: Instant, bytes: u64) {
        self.delivered_bytes += bytes;
        if self.newest.as_ref().is_some_and(|newest| newest.at >= sent) {
            return;
        }
        let after = self.departures.partition_point(|departure| departure.at <= sent);
        if after == 0 {
            return;
        }
        // Later acknowledgements of what is older cannot be the newest of their batch for long.
        self.departures.drain(..after - 1);
        self.newest = self.departures.front().cloned();
    }

    /// Ends a batch of acknowledgements: the sample of its newest packet, unless it covers less
    /// than `round_trip_min`. `in_flight_bytes` are still unconfirmed; `is_application_limited`
    /// says that the application has nothing more to send.
    pub(super) fn sample(
        &mut self,
        now: Instant,
        in_flight_bytes: u64,
        is_application_limited: bool,
        round_trip_min: Duration,
    ) -> Option<RateSample> {
        if is_application_limited {
            self.limited_until_bytes = Some(self.delivered_bytes + in_flight_bytes);
        }
        self.is_idle = in_flight_bytes == 0;
        self.delivered_at = now;
        let departure = self.newest.take()?;
        self.first_sent_at = departure.at;
        let sending = departure.at.saturating_duration_since(departure.first_sent_at);
        let confirming = now.saturating_duration_since(departure.delivered_at);
        let interval = sending.max(confirming);
        if interval.is_zero() || interval < round_trip_min {
            return None;
        }
        let bytes = self.delivered_bytes - departure.delivered_bytes;
        let rate = u128::from(bytes) * 1_000_000_000 / interval.as_nanos();
        Some(RateSample {
            rate: u64::try_from(rate).unwrap_or(u64::MAX),
            is_application_limited: departure.is_application_limited,
        })
    }
}
