//! How the phases follow each other.
//!
//! This never sets a window.

use std::time::{Duration, Instant};

use super::super::phase::Phase;
use super::super::round::Round;
use super::Machine;

/// Rounds without growth after which a path is full although no queue shows. 3 as in
/// draft-ietf-ccwg-bbr (`StartupFullBwCnt`).
const FLAT_ROUNDS: u32 = 3;

/// Time between probes, and rounds at least. Shorter than in draft-ietf-ccwg-bbr (2 to 3 s), since
/// a transfer that waits for more bandwidth loses more than a short queue costs.
const CRUISE: Duration = Duration::from_secs(1);
const CRUISE_ROUNDS: u32 = 8;

/// Rounds of draining and of measuring the round trip at most.
const DRAIN_ROUNDS: u32 = 3;

impl Machine {
    /// Tells the phase that a round has ended.
    pub(super) fn count_round(&mut self) {
        let rate_now = self.rate();
        let is_queued = self.is_round_longer(125, Duration::from_millis(2));
        match &mut self.phase {
            Phase::Startup { flat_rounds, rate } => {
                if self.round.is_application_limited {
                    return;
                }
                if rate_now * 4 >= *rate * 5 {
                    *rate = rate_now;
                    *flat_rounds = 0;
                    return;
                }
                *flat_rounds += 1;
                if is_queued || *flat_rounds >= FLAT_ROUNDS {
                    self.phase = Phase::Drain;
                }
            }
            Phase::Up { round_count, rate } => {
                *round_count += 1;
                let count = *round_count;
                let is_growing = rate_now * 10 >= *rate * 11;
                if count >= 2 && is_growing {
                    *rate = rate_now;
                }
                self.end_probe(count, is_growing);
            }
            Phase::Remeasure { round_count, shortest, .. } => {
                *round_count += 1;
                if *round_count > 1 {
                    *shortest = self.round.round_trip_min.min(*shortest);
                }
            }
            Phase::Cruise { round_count, .. } | Phase::Down { round_count, .. } => {
                *round_count += 1
            }
            Phase::Drain => {}
        }
    }

    /// Ends probing when it has had time to show and shows nothing.
    fn end_probe(&mut self, round_count: u32, is_growing: bool) {
        self.ceiling.grow_step();
        if round_count < 2 || is_growing {
            return;
        }
        let is_bounded = self.ceiling.is_reached(self.window_bytes);
        if !is_bounded {
            self.ceiling.lift();
        }
        if !is_bounded || round_count >= 4 {
            self.phase = Phase::DOWN;
        }
    }

    /// Goes on to the next phase when this one has done its work.
    pub(super) fn advance(&mut self, now: Instant, in_flight_bytes: u64) {
        let is_drained = self.phase.is_drained(&self.path, in_flight_bytes, self.packet_bytes);
        match self.phase {
            // Loss by chance may have ended the start too early: probe soon.
            Phase::Drain if is_drained => self.phase = Phase::cruise(now),
            Phase::Cruise { until, round_count } => self.end_cruise(now, until, round_count),
            Phase::Down { is_drained: false, .. } if is_drained => {
                self.phase = Phase::Down { round_count: 0, is_drained: true };
                // What is sent from here on sees no queue of ours.
                self.round = Round::new(now);
            }
            Phase::Down { round_count, is_drained }
                if round_count > DRAIN_ROUNDS || (is_drained && round_count >= 1) =>
            {
                self.phase = Phase::cruise(now + self.cruise_time());
            }
            Phase::Remeasure { round_count, shortest, before } if round_count >= DRAIN_ROUNDS => {
                // Sending half as much would have shortened a queue of ours.
                if shortest >= before * 95 / 100 {
                    self.path.round_trip.replace(now, shortest);
                }
                self.phase = Phase::cruise(now + self.cruise_time());
            }
            _ => {}
        }
    }

    /// Time between probes. Senders that share a path should not probe together, so it depends on
    /// what each has delivered.
    fn cruise_time(&self) -> Duration {
        CRUISE + Duration::from_millis(self.sampler.delivered_bytes() / 4096 % 512)
    }

    fn end_cruise(&mut self, now: Instant, until: Instant, round_count: u32) {
        if self.path.round_trip.is_doubtful(now) {
            self.phase = Phase::remeasure(Duration::ZERO);
        } else if self.contention.is_doubtful() {
            self.contention.restart();
            self.phase = Phase::remeasure(self.round_trip_before);
        } else if round_count >= CRUISE_ROUNDS && now >= until {
            self.path.bandwidth.rotate();
            self.ceiling.begin_probing(self.window_bytes);
            self.phase = Phase::Up { round_count: 0, rate: self.rate() };
        }
    }
}
