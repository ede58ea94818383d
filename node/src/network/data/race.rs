//! Two carriers over one long way: which of them is the faster one, found out by using one after the other.
//!
//! First QUIC, then TCP: each has time to come to its rate, and then for a while what arrives counts. Not both at
//! once, because they would take from each other, and many connections of TCP push harder than one of QUIC, whatever
//! each of them brings alone. Nothing is sent for the sake of the race: a job that is too short for it has lost
//! nothing.

use std::time::Duration;

use tokio::time::Instant;

use super::carrier::Carrier;

/// Bytes with which a leg begins: before, there are only questions and answers.
pub(super) const START_BYTES: u64 = 256 << 10;

/// Time in a row with a stream in which they have to arrive: else the carrier is slow, and its leg is over.
pub(super) const SLOW: Duration = Duration::from_secs(2);

/// Time without one after which a leg is over: nobody needs the other node now.
pub(super) const UNUSED: Duration = Duration::from_secs(10);

/// Time after which bytes count, and round trips if they take longer: until then a carrier finds out what the way
/// takes.
const WARM_UP: Duration = Duration::from_millis(900);
const WARM_UP_ROUNDS: u32 = 8;

/// Time in which they count.
const COUNTED: Duration = Duration::from_millis(900);

/// Time with a stream open, of that, after which what arrived says how fast a carrier is.
const ACTIVE_MIN: Duration = Duration::from_millis(200);

/// In percent of the rate of QUIC, that of TCP from which on it is used. Over a long way its many connections leave
/// others little and lose a seventh of their packets in the queue, where they bring no more in the end; and what arrives
/// in a second varies by a fifth. Networks that slow datagrams down do so by much more.
const TCP_PERCENT: f64 = 130.0;

/// So many times the rate of the other, a carrier takes over what is under way there.
const CLEAR: f64 = 2.0;

/// Time of a leg, from the bytes with which it begins, where round trips are short.
#[cfg(test)]
pub(super) const LEG: Duration = WARM_UP.saturating_add(COUNTED);

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

/// The time in which one carrier is used.
#[derive(Clone, Copy, Debug)]
struct Leg {
    /// When it had brought enough to begin.
    begun: Option<Instant>,
    warm_up: Duration,
    /// Streams that are open.
    open: u32,
    /// Until when the time is counted.
    at: Instant,
    /// Before it has begun, while it finds out what the way takes, and afterwards.
    before: Tally,
    at_first: Tally,
    after: Tally,
}

impl Leg {
    fn new(now: Instant, open: u32, warm_up: Duration) -> Self {
        let none = Tally::default();
        let (before, at_first, after) = (none, none, none);
        Self { begun: None, warm_up, open, at: now, before, at_first, after }
    }

    /// Counts the time until `now`.
    fn pass(&mut self, now: Instant) {
        let at = self.at;
        self.at = at.max(now);
        if self.open == 0 {
            return;
        }
        let Some(begun) = self.begun else {
            self.before.active += now.saturating_duration_since(at);
            return;
        };
        let warm = begun + self.warm_up;
        self.at_first.active += now.min(warm).saturating_duration_since(at);
        self.after.active += now.saturating_duration_since(at.max(warm));
    }

    /// Takes note of bytes. Whether it begins with them.
    fn arrived(&mut self, bytes: u64, now: Instant) -> bool {
        self.pass(now);
        match self.begun {
            None => self.before.bytes += bytes,
            Some(begun) if now < begun + self.warm_up => self.at_first.bytes += bytes,
            Some(_) => self.after.bytes += bytes,
        }
        let begins = self.begun.is_none() && self.before.bytes >= START_BYTES;
        if begins {
            self.begun = Some(now);
        }
        begins
    }

    /// When it is over, as things are.
    fn ends(&self) -> Instant {
        match self.begun {
            Some(begun) => begun + self.warm_up + COUNTED,
            None if self.open > 0 => self.at + SLOW.saturating_sub(self.before.active),
            None => self.at + UNUSED,
        }
    }

    /// Bytes a second; `None` when it was not used for long enough to tell.
    fn rate(&self) -> Option<f64> {
        let used = self.at_first.plus(self.after);
        let tally = match self.begun {
            None => (self.before.active >= SLOW).then_some(self.before),
            Some(_) if self.after.active >= ACTIVE_MIN => Some(self.after),
            Some(_) => (used.active >= ACTIVE_MIN).then_some(used),
        };
        tally.map(Tally::bytes_per_second)
    }

    /// Whether it had time, and brought next to nothing.
    fn is_slow(&self) -> bool {
        self.begun.is_none() && self.before.active >= SLOW
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

/// How far a race has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Nothing new.
    GoesOn,
    /// It is TCP's turn, and streams are taken from QUIC when that `is_slow`.
    Second { is_slow: bool },
    /// It is over; nothing came of it when a carrier was not used, or neither brought anything.
    Over(Option<Outcome>),
}

/// A race that goes on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Race {
    /// Whose turn it is.
    carrier: Carrier,
    leg: Leg,
    /// That of QUIC, when it is over.
    first: Option<Leg>,
    /// Streams that are open by the other one.
    open: u32,
}

impl Race {
    /// One that begins with the next bytes, with so many streams open by QUIC and by TCP, over a way of `round_trip`.
    pub(super) fn new(now: Instant, (quic, tcp): (u32, u32), round_trip: Duration) -> Self {
        let warm_up = WARM_UP.max(round_trip * WARM_UP_ROUNDS);
        let leg = Leg::new(now, quic, warm_up);
        Self { carrier: Carrier::Quic, leg, first: None, open: tcp }
    }

    /// The carrier whose turn it is.
    pub(super) fn next(&self) -> Carrier {
        self.carrier
    }

    /// A stream is opened.
    pub(super) fn opened(&mut self, carrier: Carrier, now: Instant) {
        self.leg.pass(now);
        *self.open_by(carrier) += 1;
    }

    /// A stream has ended.
    pub(super) fn closed(&mut self, carrier: Carrier, now: Instant) {
        self.leg.pass(now);
        *self.open_by(carrier) -= 1;
        if self.leg.open == 0 {
            // Of questions, however many, none takes long.
            self.leg.before = Tally::default();
        }
    }

    fn open_by(&mut self, carrier: Carrier) -> &mut u32 {
        if carrier == self.carrier { &mut self.leg.open } else { &mut self.open }
    }

    /// Bytes arrived. Whether a leg begins with them.
    pub(super) fn arrived(&mut self, carrier: Carrier, bytes: u64, now: Instant) -> bool {
        carrier == self.carrier && self.leg.arrived(bytes, now)
    }

    /// When the present leg is over, as things are.
    pub(super) fn ends(&self) -> Instant {
        self.leg.ends()
    }

    /// Goes on to what `now` brings.
    pub(super) fn advance(&mut self, now: Instant) -> Progress {
        if now < self.leg.ends() {
            return Progress::GoesOn;
        }
        self.leg.pass(now);
        match self.first {
            // Who had nothing to compare with would be tried in vain.
            None if self.leg.rate().is_none() => Progress::Over(None),
            None => {
                let first = self.leg;
                self.leg = Leg::new(now, self.open, first.warm_up);
                (self.first, self.carrier, self.open) = (Some(first), Carrier::Tcp, first.open);
                Progress::Second { is_slow: first.is_slow() }
            }
            Some(quic) => Progress::Over(outcome(&quic, &self.leg)),
        }
    }
}

fn outcome(quic: &Leg, tcp: &Leg) -> Option<Outcome> {
    if quic.begun.is_none() && tcp.begun.is_none() {
        return None;
    }
    let (quic, tcp) = (quic.rate()?, tcp.rate()?);
    let is_tcp = tcp * 100.0 >= quic * TCP_PERCENT;
    let (winner, faster, slower) =
        if is_tcp { (Carrier::Tcp, tcp, quic) } else { (Carrier::Quic, quic, tcp) };
    Some(Outcome { winner, is_clear: faster >= CLEAR * slower })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::clock;

    const MIB: u64 = 1 << 20;

    fn clear(winner: Carrier) -> Progress {
        Progress::Over(Some(Outcome { winner, is_clear: true }))
    }

    fn close(winner: Carrier) -> Progress {
        Progress::Over(Some(Outcome { winner, is_clear: false }))
    }

    /// A leg in which so many MiB arrive before they count, and then.
    fn run(race: &mut Race, begun: Instant, [at_first, after]: [u64; 2]) -> Progress {
        let carrier = race.next();
        assert!(!race.arrived(carrier, START_BYTES - 1, begun));
        assert!(race.arrived(carrier, 1, begun));
        race.arrived(carrier, at_first * MIB, begun + WARM_UP / 2);
        race.arrived(carrier, after * MIB, begun + WARM_UP * 3 / 2);
        // What the other one still brings says nothing.
        race.arrived(carrier.other(), 1_000 * MIB, begun + WARM_UP);
        assert_eq!(race.ends(), begun + LEG);
        assert_eq!(race.advance(begun + LEG - Duration::from_millis(1)), Progress::GoesOn);
        race.advance(begun + LEG)
    }

    fn both(quic: [u64; 2], tcp: [u64; 2]) -> Progress {
        let now = clock::now();
        let mut race = Race::new(now, (1, 1), Duration::ZERO);
        assert_eq!(run(&mut race, now, quic), Progress::Second { is_slow: false });
        run(&mut race, now + LEG, tcp)
    }

    #[tokio::test]
    async fn the_faster_carrier_wins_and_quic_where_both_are_alike() {
        assert_eq!(both([0, 100], [0, 129]), close(Carrier::Quic));
        assert_eq!(both([0, 100], [0, 131]), close(Carrier::Tcp));
        assert_eq!(both([0, 100], [0, 50]), clear(Carrier::Quic));
        assert_eq!(both([0, 100], [0, 200]), clear(Carrier::Tcp));
        // What came before they had found their rate says nothing.
        assert_eq!(both([1_000, 10], [0, 20]), clear(Carrier::Tcp));
    }

    #[tokio::test]
    async fn who_brings_nothing_is_left_soon() {
        let now = clock::now();
        let mut race = Race::new(now, (1, 0), Duration::ZERO);
        race.arrived(Carrier::Quic, 1_000, now + SLOW / 2);
        assert_eq!(race.advance(now + SLOW * 9 / 10), Progress::GoesOn);
        assert_eq!(race.advance(now + SLOW), Progress::Second { is_slow: true });
        race.opened(race.next(), now + SLOW);
        assert_eq!(run(&mut race, now + SLOW, [0, 1]), clear(Carrier::Tcp));
        // The other way round.
        let mut race = Race::new(now, (1, 1), Duration::ZERO);
        assert_eq!(run(&mut race, now, [0, 1]), Progress::Second { is_slow: false });
        assert_eq!(race.advance(now + LEG + SLOW), clear(Carrier::Quic));
        // Both.
        let mut race = Race::new(now, (1, 1), Duration::ZERO);
        assert_eq!(race.advance(now + SLOW), Progress::Second { is_slow: true });
        assert_eq!(race.advance(now + 2 * SLOW), Progress::Over(None));
    }

    #[tokio::test]
    async fn questions_and_pauses_are_no_time_of_a_leg() {
        let now = clock::now();
        let second = |at: u32| now + at * Duration::from_secs(1);
        let mut race = Race::new(now, (0, 0), Duration::ZERO);
        for at in [1, 3, 5, 7, 9, 11] {
            race.opened(Carrier::Quic, second(at));
            race.arrived(Carrier::Quic, 1_000, second(at) + SLOW / 5);
            race.closed(Carrier::Quic, second(at) + SLOW / 5);
            assert_eq!(race.advance(second(at + 1)), Progress::GoesOn);
        }
        race.opened(Carrier::Quic, second(13));
        assert!(race.arrived(Carrier::Quic, START_BYTES, second(13)));
        assert_eq!(race.ends(), second(13) + LEG);
    }

    #[tokio::test]
    async fn there_is_no_outcome_without_two_runners() {
        let now = clock::now();
        let mut race = Race::new(now, (0, 0), Duration::ZERO);
        assert_eq!(race.advance(now + UNUSED), Progress::Over(None));
        let mut race = Race::new(now, (1, 0), Duration::ZERO);
        assert_eq!(run(&mut race, now, [1, 1]), Progress::Second { is_slow: false });
        assert_eq!(race.next(), Carrier::Tcp);
        assert_eq!(race.advance(now + LEG + UNUSED), Progress::Over(None));
    }

    #[tokio::test]
    async fn a_longer_way_takes_longer_to_be_known() {
        let now = clock::now();
        let mut race = Race::new(now, (1, 1), Duration::from_millis(200));
        assert!(race.arrived(Carrier::Quic, START_BYTES, now));
        assert_eq!(race.ends() - now, Duration::from_millis(8 * 200) + COUNTED);
    }
}
