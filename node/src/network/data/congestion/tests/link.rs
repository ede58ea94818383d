//! A bottleneck in virtual time: a rate, a delay, a queue that drops its tail, and loss.
//!
//! It decides when a packet arrives, and never what is in it.

use std::time::{Duration, Instant};

/// How packets are lost that the queue had room for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Loss {
    None,
    /// Each packet, with this probability.
    Random(f64),
    /// Bursts: a Gilbert model that loses everything while it is bad, 20 ms at most.
    Burst {
        enter: f64,
        leave: f64,
    },
}

/// A pseudo-random sequence (xorshift64*): the same seed gives the same run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Random(pub(super) u64);

impl Random {
    /// The next number in `0.0..1.0`.
    pub(super) fn next(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// What a link is like.
#[derive(Clone, Copy, Debug)]
pub(super) struct LinkOptions {
    /// Bits per second, of whole Ethernet frames.
    pub(super) rate: f64,
    /// Both ways together, without a queue.
    pub(super) round_trip: Duration,
    /// How long a full queue takes to leave.
    pub(super) queue: Duration,
    pub(super) loss: Loss,
    /// The most that a packet is late by chance; the order stays.
    pub(super) jitter: Duration,
    /// The receiver does nothing in the second of these times, after the first.
    pub(super) stall: Option<(Duration, Duration)>,
    /// One of this many packets is overtaken by those of the next 300 microseconds.
    pub(super) reorder: Option<f64>,
}

impl LinkOptions {
    /// A link of `rate_mbit` with a round trip and a queue in milliseconds, and `loss`.
    pub(super) fn new(rate_mbit: f64, round_trip_ms: u64, queue_ms: u64, loss: Loss) -> Self {
        Self {
            rate: rate_mbit * 1e6,
            round_trip: Duration::from_millis(round_trip_ms),
            queue: Duration::from_millis(queue_ms),
            loss,
            jitter: Duration::ZERO,
            stall: None,
            reorder: None,
        }
    }
}

/// A sender that waits sends few packets, and few packets would make a burst endless.
const BURST_MAX: Duration = Duration::from_millis(20);

/// Bytes of Ethernet, IPv4 and UDP around a datagram.
pub(super) const FRAME_BYTES: usize = 42;

/// A bottleneck.
#[derive(Debug)]
pub(super) struct Link {
    /// What it is like now.
    pub(super) options: LinkOptions,
    start: Instant,
    free_at: Instant,
    last_arrival: Instant,
    random: Random,
    bad_since: Option<Instant>,
    /// The longest that a packet waited.
    pub(super) queue_max: Duration,
    queue_sum: f64,
    packets: u64,
}

impl Link {
    /// An idle link; `seed` decides what chance does.
    pub(super) fn new(options: LinkOptions, now: Instant, seed: u64) -> Self {
        Self {
            options,
            start: now,
            free_at: now,
            last_arrival: now,
            random: Random(seed),
            bad_since: None,
            queue_max: Duration::ZERO,
            queue_sum: 0.0,
            packets: 0,
        }
    }

    /// What packets waited on average.
    pub(super) fn queue_mean(&self) -> Duration {
        Duration::from_secs_f64(self.queue_sum / self.packets.max(1) as f64)
    }

    /// The path becomes another; what is queued leaves at the new rate.
    pub(super) fn change(&mut self, now: Instant, options: LinkOptions) {
        let waiting = self.free_at.saturating_duration_since(now);
        self.free_at = now + waiting.mul_f64(self.options.rate / options.rate);
        self.options = options;
    }

    /// When a datagram of `bytes` that is sent at `now` arrives, if it does.
    pub(super) fn pass(&mut self, now: Instant, bytes: usize) -> Option<Instant> {
        let waiting = self.free_at.saturating_duration_since(now);
        if waiting > self.options.queue {
            return None;
        }
        self.packets += 1;
        self.queue_sum += waiting.as_secs_f64();
        self.queue_max = self.queue_max.max(waiting);
        let bits = ((bytes + FRAME_BYTES) * 8) as f64;
        self.free_at = self.free_at.max(now) + Duration::from_secs_f64(bits / self.options.rate);
        if self.is_lost(now) {
            return None;
        }
        let late = self.options.jitter.mul_f64(self.random.next());
        let mut arrival = self.free_at + self.options.round_trip / 2 + late;
        if let Some(one_of) = self.options.reorder
            && self.random.next() * one_of < 1.0
        {
            return Some(arrival + Duration::from_micros(300));
        }
        if let Some((awake, asleep)) = self.options.stall {
            let period = (awake + asleep).as_secs_f64();
            let elapsed = arrival.duration_since(self.start).as_secs_f64();
            let into = elapsed % period;
            if into > awake.as_secs_f64() {
                arrival += Duration::from_secs_f64(period - into);
            }
        }
        arrival = arrival.max(self.last_arrival);
        self.last_arrival = arrival;
        Some(arrival)
    }

    fn is_lost(&mut self, now: Instant) -> bool {
        match self.options.loss {
            Loss::None => false,
            Loss::Random(probability) => self.random.next() < probability,
            Loss::Burst { enter, leave } => {
                let is_over = |since| now.duration_since(since) > BURST_MAX;
                self.bad_since = self.bad_since.filter(|since| !is_over(*since));
                let change = if self.bad_since.is_some() { leave } else { enter };
                if self.random.next() < change {
                    self.bad_since = self.bad_since.xor(Some(now));
                }
                self.bad_since.is_some()
            }
        }
    }
}
