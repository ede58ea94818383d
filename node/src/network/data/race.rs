//! Two carriers over one long way: which of them is the faster one, found out by using both.
//!
//! Streams are shared out evenly while it goes on, so that what arrives by each compares. Nothing is
//! sent for the sake of the race: a job that is too short for it has lost nothing.

use std::time::Duration;

use tokio::time::Instant;

use super::carrier::Carrier;

/// Time until the outcome.
pub(super) const RACE: Duration = Duration::from_millis(1_800);

/// Time after which bytes count: until then both carriers find out what the way takes.
const WARM_UP: Duration = Duration::from_millis(900);

/// TCP may be slower by this much and is still the one to use: it costs half the work for the CPU.
const TCP_SHARE_MIN: f64 = 0.95;

/// So many times the rate of the other, a carrier takes over what is under way there.
const CLEAR: f64 = 2.0;

/// Time with a stream open after which what arrived says how fast a carrier is.
const ACTIVE_MIN: Duration = Duration::from_millis(200);

/// Bytes that the faster one must have brought: questions and answers tell nothing.
const BYTES_MIN: u64 = 1 << 20;

/// So many times the rate of QUIC, TCP is the faster one even where both wait in a full queue.
const CROWDED: f64 = 8.0;

/// What has arrived in a time with streams.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    bytes: u64,
    active: Duration,
}

impl Tally {
    fn plus(self, other: Self) -> Self {
        Self { bytes: self.bytes + other.bytes, active: self.active + other.active }
    }

    fn bytes_per_second(self) -> f64 {
        self.bytes as f64 / self.active.max(Duration::from_millis(1)).as_secs_f64()
    }
}

/// What has become of one carrier.
#[derive(Clone, Copy, Debug)]
struct Lane {
    /// Streams that are open.
    open: u32,
    /// Until when the time is counted.
    at: Instant,
    /// While it found out what the way takes, and afterwards.
    at_first: Tally,
    after: Tally,
}

impl Lane {
    fn new(open: u32, now: Instant) -> Self {
        Self { open, at: now, at_first: Tally::default(), after: Tally::default() }
    }

    /// Counts the time until `now`; `warm` is when it begins to count in full.
    fn advance(&mut self, now: Instant, warm: Instant) {
        if self.open > 0 {
            self.at_first.active += now.min(warm).saturating_duration_since(self.at);
            self.after.active += now.saturating_duration_since(self.at.max(warm));
        }
        self.at = now;
    }

    /// What tells how fast it is; nothing when it had no stream. A carrier may have had nothing to do at
    /// the end, because what it brought had to wait for the other.
    fn tally(&self) -> Option<Tally> {
        let all = self.at_first.plus(self.after);
        let tally = if self.after.active >= ACTIVE_MIN { self.after } else { all };
        (!all.active.is_zero()).then_some(tally)
    }
}

/// How a race has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    /// The carrier to be used.
    pub(super) winner: Carrier,
    /// Whether the other one is so slow that streams are taken from it.
    pub(super) is_clear: bool,
}

/// A race that goes on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Race {
    begun: Instant,
    quic: Lane,
    tcp: Lane,
}

impl Race {
    /// One that begins now, with so many streams open by each.
    pub(super) fn new(now: Instant, quic: u32, tcp: u32) -> Self {
        Self { begun: now, quic: Lane::new(quic, now), tcp: Lane::new(tcp, now) }
    }

    fn lane(&mut self, carrier: Carrier, now: Instant) -> &mut Lane {
        let warm = self.begun + WARM_UP;
        self.quic.advance(now, warm);
        self.tcp.advance(now, warm);
        match carrier {
            Carrier::Quic => &mut self.quic,
            Carrier::Tcp => &mut self.tcp,
        }
    }

    /// The carrier with fewer streams.
    pub(super) fn next(&self) -> Carrier {
        if self.tcp.open < self.quic.open { Carrier::Tcp } else { Carrier::Quic }
    }

    /// A stream is opened.
    pub(super) fn opened(&mut self, carrier: Carrier, now: Instant) {
        self.lane(carrier, now).open += 1;
    }

    /// A stream has ended.
    pub(super) fn closed(&mut self, carrier: Carrier, now: Instant) {
        self.lane(carrier, now).open -= 1;
    }

    /// Bytes arrived.
    pub(super) fn arrived(&mut self, carrier: Carrier, bytes: u64, now: Instant) {
        let is_warm = now.saturating_duration_since(self.begun) >= WARM_UP;
        let lane = self.lane(carrier, now);
        let tally = if is_warm { &mut lane.after } else { &mut lane.at_first };
        tally.bytes += bytes;
    }

    /// When the time is up.
    pub(super) fn ends(&self) -> Instant {
        self.begun + RACE
    }

    /// Whether the time is up.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        now >= self.ends()
    }

    /// What came of it until now; nothing when one of them had no stream, or too little arrived. When the
    /// way `is_crowded`, both together have filled it: then what each brought only says which of them
    /// pushes harder, and QUIC fills it alone with less loss.
    pub(super) fn outcome(mut self, now: Instant, is_crowded: bool) -> Option<Outcome> {
        self.lane(Carrier::Quic, now);
        let (quic, tcp) = (self.quic.tally()?, self.tcp.tally()?);
        if quic.bytes.max(tcp.bytes) < BYTES_MIN {
            return None;
        }
        let (quic, tcp) = (quic.bytes_per_second(), tcp.bytes_per_second());
        if is_crowded && tcp < CROWDED * quic {
            return Some(Outcome { winner: Carrier::Quic, is_clear: false });
        }
        let is_tcp = tcp >= TCP_SHARE_MIN * quic;
        let (winner, faster, slower) =
            if is_tcp { (Carrier::Tcp, tcp, quic) } else { (Carrier::Quic, quic, tcp) };
        Some(Outcome { winner, is_clear: faster >= CLEAR * slower })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::clock;

    const MIB: u64 = 1 << 20;

    /// A race in which so many MiB arrive in each half of it.
    fn run(quic: [u64; 2], tcp: [u64; 2]) -> Option<Outcome> {
        let begun = clock::now();
        let mut race = Race::new(begun, 1, 1);
        for (half, at) in [WARM_UP / 2, WARM_UP * 3 / 2].into_iter().enumerate() {
            race.arrived(Carrier::Quic, quic[half] * MIB, begun + at);
            race.arrived(Carrier::Tcp, tcp[half] * MIB, begun + at);
            assert!(!race.is_over(begun + at));
        }
        assert!(race.is_over(begun + RACE));
        race.outcome(begun + RACE, false)
    }

    fn outcome(winner: Carrier, is_clear: bool) -> Option<Outcome> {
        Some(Outcome { winner, is_clear })
    }

    #[tokio::test]
    async fn the_faster_carrier_wins_and_tcp_where_both_are_alike() {
        assert_eq!(run([0, 100], [0, 96]), outcome(Carrier::Tcp, false));
        assert_eq!(run([0, 100], [0, 94]), outcome(Carrier::Quic, false));
        assert_eq!(run([0, 100], [0, 50]), outcome(Carrier::Quic, true));
        assert_eq!(run([0, 100], [0, 199]), outcome(Carrier::Tcp, false));
        assert_eq!(run([0, 0], [0, 1]), outcome(Carrier::Tcp, true));
        assert_eq!(run([0, 1], [0, 0]), outcome(Carrier::Quic, true));
        // What came before they had found their rate says nothing.
        assert_eq!(run([1_000, 10], [0, 20]), outcome(Carrier::Tcp, true));
    }

    #[tokio::test]
    async fn who_pushes_harder_in_a_full_queue_is_not_taken_to_be_faster() {
        for (tcp, winner) in [(1, Carrier::Quic), (7, Carrier::Quic), (8, Carrier::Tcp)] {
            let begun = clock::now();
            let mut race = Race::new(begun, 1, 1);
            race.arrived(Carrier::Quic, MIB, begun + WARM_UP);
            race.arrived(Carrier::Tcp, tcp * MIB, begun + WARM_UP);
            assert_eq!(race.outcome(begun + RACE, true).unwrap().winner, winner);
        }
    }

    #[tokio::test]
    async fn who_was_done_early_is_not_taken_to_be_slow() {
        let begun = clock::now();
        let mut race = Race::new(begun, 1, 1);
        race.arrived(Carrier::Tcp, 10 * MIB, begun + WARM_UP / 4);
        race.closed(Carrier::Tcp, begun + WARM_UP / 4);
        race.arrived(Carrier::Quic, 5 * MIB, begun + WARM_UP / 2);
        race.arrived(Carrier::Quic, 5 * MIB, begun + WARM_UP * 3 / 2);
        assert_eq!(race.outcome(begun + RACE, false), outcome(Carrier::Tcp, true));
    }

    #[tokio::test]
    async fn there_is_no_outcome_without_two_runners_and_bytes() {
        assert_eq!(run([0, 0], [0, 0]), None);
        let begun = clock::now();
        let mut race = Race::new(begun, 1, 1);
        race.arrived(Carrier::Tcp, MIB - 1, begun + WARM_UP);
        assert_eq!(race.outcome(begun + RACE, false), None);
        let begun = clock::now();
        let mut race = Race::new(begun, 0, 0);
        race.opened(race.next(), begun);
        race.arrived(Carrier::Quic, 100 * MIB, begun + WARM_UP);
        assert_eq!(race.next(), Carrier::Tcp);
        assert_eq!(race.outcome(begun + RACE, false), None);
    }
}
