//! The state machine of one path: takes what quinn reports, and says the window.
//!
//! ```text
//! handle_sent, handle_acknowledged* ─▶ handle_batch_end ─┬─▶ end_round ─▶ advance ─▶ window
//! handle_lost, handle_marked ────────────────────────────┘
//! ```
//!
//! This never asks for the time and never sends anything.

mod step;

use std::time::{Duration, Instant};

use super::ceiling::Ceiling;
use super::contention::{Contention, Queue};
use super::path::Path;
use super::phase::{Phase, grow_startup};
use super::rate::RateSampler;
use super::round::Round;
use super::stale::FullRounds;

/// Packets of the first window. quinn's own BBR begins with 200 as well
/// (`K_MAX_INITIAL_CONGESTION_WINDOW`); they are paced over a round trip.
const INITIAL_PACKETS: u64 = 200;

/// Packets of the smallest window: the burst of quinn's pacer (`MIN_BURST_SIZE`).
const WINDOW_PACKETS_MIN: u64 = 10;

/// Loss in a round, in percent, that counts as an overflow when there is a queue. 2 as in
/// draft-ietf-ccwg-bbr (`LossThresh`).
const LOSS_PERCENT: u64 = 2;

/// Packets that make an overflow at least: of a small window, one is more than the percentage.
const LOSS_PACKETS_MIN: u64 = 4;

/// Loss in a round, in percent, that counts without a queue: while starting at once, later when it
/// stays for [`LOSSY_ROUNDS`]. Bursts of chance are as bad, but do not stay.
const BLIND_LOSS_PERCENT: u64 = 10;

/// Rounds of such loss that are no chance.
const LOSSY_ROUNDS: u32 = 3;

/// Entries of the rate sampler per smoothed round trip.
const SAMPLES_PER_ROUND: u32 = 1024;

/// Congestion control of one path.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    packet_bytes: u64,
    window_bytes: u64,
    phase: Phase,
    path: Path,
    sampler: RateSampler,
    round: Round,
    /// The shortest round trip of the round before.
    round_trip_before: Duration,
    ceiling: Ceiling,
    contention: Contention,
    full_rounds: FullRounds,
    lossy_rounds: u32,
    batch: Batch,
}

/// Acknowledgements that arrived together.
#[derive(Clone, Copy, Debug, Default)]
struct Batch {
    newest_sent: Option<Instant>,
    bytes: u64,
}

impl Machine {
    pub(super) fn new(now: Instant, mtu: u16) -> Self {
        Self {
            packet_bytes: u64::from(mtu),
            window_bytes: INITIAL_PACKETS * u64::from(mtu),
            phase: Phase::STARTUP,
            path: Path::default(),
            sampler: RateSampler::new(now),
            round: Round::new(now),
            round_trip_before: Duration::ZERO,
            ceiling: Ceiling::default(),
            contention: Contention::default(),
            full_rounds: FullRounds::default(),
            lossy_rounds: 0,
            batch: Batch::default(),
        }
    }

    /// Bytes that may be under way.
    pub(super) fn window_bytes(&self) -> u64 {
        self.window_bytes
    }

    /// Bytes that may be under way before anything is known.
    pub(super) fn initial_bytes(&self) -> u64 {
        INITIAL_PACKETS * self.packet_bytes
    }

    /// The delivery rate that the path is taken to give, in bytes per second.
    pub(super) fn rate(&self) -> u64 {
        self.path.bandwidth.rate()
    }

    /// Packets have this size from now on.
    pub(super) fn handle_mtu(&mut self, mtu: u16) {
        self.packet_bytes = u64::from(mtu);
    }

    /// Everything was lost for long: what was known of the path is worth nothing.
    pub(super) fn handle_outage(&mut self, now: Instant) {
        let packet_bytes = self.packet_bytes;
        *self = Self::new(now, u16::try_from(packet_bytes).unwrap_or(u16::MAX));
    }

    /// Packets were sent.
    pub(super) fn handle_sent(&mut self, now: Instant) {
        self.sampler.record_sent(now, self.path.smoothed / SAMPLES_PER_ROUND);
    }

    /// One packet was acknowledged; more of the batch may follow.
    pub(super) fn handle_acknowledged(&mut self, sent: Instant, bytes: u64, smoothed: Duration) {
        self.sampler.record_acknowledged(sent, bytes);
        self.round.delivered_bytes += bytes;
        self.path.smoothed = smoothed;
        self.batch.bytes += bytes;
        self.batch.newest_sent = self.batch.newest_sent.max(Some(sent));
    }

    /// A batch of acknowledgements ends, with `in_flight_bytes` still under way.
    pub(super) fn handle_batch_end(
        &mut self,
        now: Instant,
        in_flight_bytes: u64,
        is_limited: bool,
    ) {
        let batch = std::mem::take(&mut self.batch);
        let Some(sent) = batch.newest_sent else { return };
        let round_trip = now.saturating_duration_since(sent);
        self.path.insert_round_trip(now, round_trip);
        self.round.insert(round_trip, is_limited);
        let shortest = self.path.round_trip.shortest();
        let sample = self.sampler.sample(now, in_flight_bytes, is_limited, shortest);
        if let Some(sample) = sample
            && (!sample.is_application_limited || sample.rate >= self.rate())
        {
            self.path.bandwidth.insert(sample.rate);
            self.round.rate_max = self.round.rate_max.max(sample.rate);
        }
        if self.round.is_ended_by(sent) {
            self.end_round();
            self.round = Round::new(now);
        }
        self.advance(now, in_flight_bytes);
        self.update_window(batch.bytes, is_limited);
    }

    /// `bytes` were declared lost, of which the newest were sent at `sent`.
    pub(super) fn handle_lost(&mut self, now: Instant, sent: Instant, bytes: u64) {
        self.round.lost_bytes += bytes;
        if !self.is_overflow() || !self.ceiling.is_news(sent) {
            return;
        }
        let is_pushing = matches!(self.phase, Phase::Startup { .. } | Phase::Up { .. });
        if !is_pushing && !self.ceiling.record_crowd() {
            return;
        }
        self.ceiling.cut(now, self.window_bytes);
        self.stop_pushing();
        self.update_window(0, true);
    }

    /// A router marked packets instead of dropping them: there is a queue, but nothing is lost.
    pub(super) fn handle_marked(&mut self) {
        self.stop_pushing();
        self.update_window(0, true);
    }

    fn stop_pushing(&mut self) {
        match self.phase {
            Phase::Startup { .. } => self.phase = Phase::Drain,
            Phase::Up { .. } => self.phase = Phase::DOWN,
            _ => {}
        }
    }

    /// Whether what was lost in this round tells of a full queue, or must be taken for one.
    fn is_overflow(&self) -> bool {
        if self.round.lost_bytes < LOSS_PACKETS_MIN * self.packet_bytes
            || !self.round.is_loss_above(LOSS_PERCENT, self.window_bytes)
        {
            return false;
        }
        let is_starting = matches!(self.phase, Phase::Startup { .. });
        // Less than that is what a window with slack makes.
        let margin = (self.path.round_trip.shortest() / 6).min(Duration::from_millis(3));
        self.path.is_longer(self.path.latest, 103, margin)
            || self.lossy_rounds >= LOSSY_ROUNDS
            || is_starting && self.round.is_loss_above(BLIND_LOSS_PERCENT, self.window_bytes)
    }

    fn end_round(&mut self) {
        let is_lossy = self.round.is_loss_above(BLIND_LOSS_PERCENT, 0);
        self.lossy_rounds = if is_lossy { self.lossy_rounds + 1 } else { 0 };
        self.ceiling.end_round(self.round.lost_bytes, self.path.pipe_bytes());
        self.judge_rate(is_lossy);
        self.contention.record(self.queue());
        self.round_trip_before = self.round.round_trip_min;
        self.count_round();
    }

    /// Forgets a rate that the path has proven to give no longer.
    fn judge_rate(&mut self, is_lossy: bool) {
        let is_full = is_lossy || self.is_round_longer(112, Duration::from_millis(2));
        let is_known = self.phase.is_settled() && !self.round.is_application_limited;
        if !is_full || !is_known || self.round.rate_max == 0 {
            self.full_rounds.clear();
        } else if let Some(rate) = self.full_rounds.record(self.round.rate_max, self.rate()) {
            self.path.bandwidth.replace(rate);
        }
    }

    fn queue(&self) -> Queue {
        if self.is_round_longer(135, Duration::from_millis(8)) {
            Queue::Foreign
        } else if self.is_round_longer(120, Duration::from_millis(4)) {
            Queue::Middling
        } else {
            Queue::Short
        }
    }

    fn is_round_longer(&self, percent: u32, margin: Duration) -> bool {
        self.path.is_longer(self.round.round_trip_min, percent, margin)
    }

    fn update_window(&mut self, acknowledged_bytes: u64, is_limited: bool) {
        let wanted = if matches!(self.phase, Phase::Startup { .. }) {
            // A sender that has nothing to send learns nothing about the path.
            let bytes = if is_limited { 0 } else { acknowledged_bytes };
            let initial = self.initial_bytes();
            grow_startup(&self.path, self.window_bytes, bytes, initial, self.packet_bytes)
        } else {
            let is_contended = self.contention.is_contended();
            self.phase.window_bytes(&self.path, self.packet_bytes, is_contended)
        };
        if matches!(self.phase, Phase::Up { .. }) {
            self.ceiling.raise(acknowledged_bytes, self.window_bytes);
        }
        self.window_bytes = self.ceiling.bound(wanted).max(WINDOW_PACKETS_MIN * self.packet_bytes);
    }
}
