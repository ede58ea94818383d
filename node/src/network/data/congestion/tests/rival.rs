//! A rival on the bottleneck: a TCP sender with CUBIC's window, as far as a queue can tell.
//!
//! It models no bytes, only packets; it never retransmits and is never idle.

use std::time::{Duration, Instant};

/// Bytes of one of its packets, without what a frame adds.
pub(super) const PACKET_BYTES: usize = 1448;

/// The sender; windows are in packets.
#[derive(Debug)]
pub(super) struct Rival {
    window: f64,
    /// Packets under way.
    pub(super) in_flight: f64,
    threshold: f64,
    window_max: f64,
    epoch: Option<Instant>,
    cut_at: Option<Instant>,
    /// Packets that were acknowledged.
    pub(super) delivered: u64,
    /// The newest round trip.
    pub(super) round_trip: Duration,
}

impl Rival {
    /// One that has sent nothing yet.
    pub(super) fn new() -> Self {
        Self {
            window: 10.0,
            in_flight: 0.0,
            threshold: f64::MAX,
            window_max: 0.0,
            epoch: None,
            cut_at: None,
            delivered: 0,
            round_trip: Duration::from_millis(20),
        }
    }

    /// Whether its window has room.
    pub(super) fn may_send(&self) -> bool {
        self.in_flight + 1.0 <= self.window
    }

    /// A packet that was sent at `sent` is acknowledged.
    pub(super) fn acknowledged(&mut self, now: Instant, sent: Instant) {
        self.in_flight -= 1.0;
        self.delivered += 1;
        self.round_trip = now.duration_since(sent);
        if self.window < self.threshold {
            self.window += 1.0;
            return;
        }
        let epoch = *self.epoch.get_or_insert(now);
        let time = (now.duration_since(epoch) + self.round_trip).as_secs_f64();
        // RFC 9438: C is 0.4, beta 0.7; the second line is what Reno would have.
        let k = (self.window_max * 0.3 / 0.4).cbrt();
        let cubic = 0.4 * (time - k).powi(3) + self.window_max;
        let reno = self.window_max * 0.7 + 0.53 * time / self.round_trip.as_secs_f64();
        let target = cubic.max(reno).min(self.window * 1.5);
        if target > self.window {
            self.window += (target - self.window) / self.window;
        }
    }

    /// A packet that was sent at `sent` is missed.
    pub(super) fn lost(&mut self, now: Instant, sent: Instant) {
        self.in_flight -= 1.0;
        if self.cut_at.is_some_and(|cut| sent <= cut) {
            return;
        }
        self.cut_at = Some(now);
        self.window_max =
            if self.window < self.window_max { self.window * 0.85 } else { self.window };
        self.window = (self.window * 0.7).max(2.0);
        self.threshold = self.window;
        self.epoch = None;
    }
}
