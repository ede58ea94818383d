//! What a path's sender is doing, and the window that it wants for it.
//!
//! This knows no bound and no loss; those come on top.

use std::time::{Duration, Instant};

use super::path::Path;

/// The most that cruising keeps under way while it holds its rate against a queue, in percent of a
/// filled path: it bounds the queue that one sender makes to a quarter of the round trip.
const CRUISE_PERCENT: u64 = 125;

/// The same beside a sender that keeps the queue full: less would starve. A little more than what
/// draft-ietf-ccwg-bbr allows always (`DefaultCwndGain`, 2), since our rate is not paced apart.
const CONTENDED_PERCENT: u64 = 250;

/// What probing sends, in percent of the rate: 125 as in draft-ietf-ccwg-bbr (`ProbeBW_UP`).
const UP_PERCENT: u64 = 125;

/// What draining keeps under way, in percent of a filled path: the queue goes, and the path is not
/// idle for long.
const DOWN_PERCENT: u64 = 95;

/// The same in percent of the held rate beside a sender that keeps the queue full: more than probing
/// has added, so that senders of our kind do not hold a queue against each other.
const CONTENDED_DOWN_PERCENT: u64 = 75;

/// What measuring the round trip keeps under way, in percent of a filled path: 50 as in
/// draft-ietf-ccwg-bbr (`ProbeRTTCwndGain`).
const REMEASURE_PERCENT: u64 = 50;

/// The most that starting has under way, in percent of a filled path: one that doubles every round
/// trip overshoots by no more than the path holds.
const STARTUP_PERCENT: u64 = 200;

/// Below this window, in bytes, starting grows fourfold while there is no queue: what can be lost is
/// too little to matter, and round trips are what starting costs.
const EAGER_BYTES: u64 = 1 << 20;

/// Growth of an eager start in percent of a filled path.
const EAGER_PERCENT: u64 = 400;

/// What a sender is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Doubles until the path is full. `flat_rounds` have passed without `rate` becoming a quarter
    /// more.
    Startup { flat_rounds: u32, rate: u64 },
    /// Lets go the queue that starting has made.
    Drain,
    /// Holds the rate, until then at least.
    Cruise { until: Instant, round_count: u32 },
    /// Sends more, to see whether the path carries more than `rate`.
    Up { round_count: u32, rate: u64 },
    /// Sends less, until the queue is gone and that was seen.
    Down { round_count: u32, is_drained: bool },
    /// Sends much less, to see the `shortest` round trip. `before` it was this long; only one that
    /// stays so is believed.
    Remeasure { round_count: u32, shortest: Duration, before: Duration },
}

impl Phase {
    pub(super) const STARTUP: Self = Self::Startup { flat_rounds: 0, rate: 0 };
    pub(super) const DOWN: Self = Self::Down { round_count: 0, is_drained: false };

    pub(super) fn cruise(until: Instant) -> Self {
        Self::Cruise { until, round_count: 0 }
    }

    pub(super) fn remeasure(before: Duration) -> Self {
        Self::Remeasure { round_count: 0, shortest: Duration::MAX, before }
    }

    /// Whether a queue that stands now says what the path gives: it was neither made nor drained by
    /// a change of our own.
    pub(super) fn is_settled(self) -> bool {
        match self {
            Self::Cruise { round_count, .. } => round_count >= 1,
            Self::Up { .. } => true,
            _ => false,
        }
    }

    /// The window, in bytes, that this phase wants on `path`; starting has its own.
    pub(super) fn window_bytes(self, path: &Path, packet_bytes: u64, is_contended: bool) -> u64 {
        let pipe = path.pipe_bytes();
        let held = path.held_bytes();
        let slack = path.slack_bytes(packet_bytes);
        let most_percent = if is_contended { CONTENDED_PERCENT } else { CRUISE_PERCENT };
        match self {
            Self::Startup { .. } => percent(pipe, STARTUP_PERCENT) + slack,
            Self::Drain => pipe,
            Self::Cruise { .. } => {
                (pipe + slack).max(held.min(percent(pipe, most_percent) + slack))
            }
            Self::Up { .. } => {
                let most = percent(pipe, most_percent + UP_PERCENT - 100) + slack;
                (percent(pipe, UP_PERCENT) + slack).max(percent(held, UP_PERCENT).min(most))
            }
            Self::Down { .. } if is_contended => {
                let cruising = held.min(percent(pipe, CONTENDED_PERCENT));
                percent(pipe, DOWN_PERCENT).max(percent(cruising, CONTENDED_DOWN_PERCENT))
            }
            Self::Down { .. } => percent(pipe, DOWN_PERCENT),
            Self::Remeasure { .. } => percent(pipe, REMEASURE_PERCENT),
        }
    }

    /// Whether so little is under way that the queue is gone.
    pub(super) fn is_drained(self, path: &Path, in_flight_bytes: u64, packet_bytes: u64) -> bool {
        match self {
            Self::Drain => in_flight_bytes <= path.pipe_bytes() + path.slack_bytes(packet_bytes),
            // Two packets more, because the window stops short of itself by up to that.
            _ => in_flight_bytes <= percent(path.pipe_bytes(), DOWN_PERCENT) + 2 * packet_bytes,
        }
    }
}

/// The window of a starting sender: `window_bytes` and what `acknowledged_bytes` let it grow by, up
/// to twice a filled path but never below `initial_bytes`.
pub(super) fn grow_startup(
    path: &Path,
    window_bytes: u64,
    acknowledged_bytes: u64,
    initial_bytes: u64,
    packet_bytes: u64,
) -> u64 {
    let is_queued = path.is_longer(path.latest, 112, Duration::from_millis(1));
    let is_eager = window_bytes < EAGER_BYTES && !is_queued;
    let growth_percent = if is_eager { EAGER_PERCENT } else { STARTUP_PERCENT } - 100;
    let eager_bytes = percent(path.pipe_bytes(), EAGER_PERCENT).min(EAGER_BYTES);
    let most_bytes = Phase::STARTUP
        .window_bytes(path, packet_bytes, false)
        .max(eager_bytes)
        .max(initial_bytes)
        .max(window_bytes);
    (window_bytes + percent(acknowledged_bytes, growth_percent)).min(most_bytes)
}

fn percent(bytes: u64, percent: u64) -> u64 {
    u64::try_from(u128::from(bytes) * u128::from(percent) / 100).unwrap_or(u64::MAX)
}
