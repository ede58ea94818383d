//! How many requests a store has at once, and how many a second it is asked for: found out from its
//! answers. No clock: times are since any fixed moment.
//!
//! Two numbers, since stores have two limits. *At once*: doubled for each round of answers while as
//! many are in use, later raised by the square root; not while answers take longer than they did with
//! fewer at once, and halved towards what they allow when they take much longer. That is the idea of
//! TCP Vegas (Brakmo, O'Malley and Peterson, 1994) and of gradient limiters such as Netflix'
//! concurrency-limits: queueing shows as latency against its own minimum. As BBR does with round trips
//! (Cardwell et al., 2016), that minimum is looked for again from time to time, with half as many, which
//! stay if latency is hardly more than half as long then.
//!
//! *A second*: without bound, until the store says that it is too much. Then half of what it was asked
//! for, once for each round trip; nearly all of that after half a second; and then slowly more, along a
//! cubic as in RFC 9438, which the SDKs of AWS use for rates of requests too (in the exponent, so that one
//! curve serves ten requests a second and ten thousand). So it is close to what the store grants most of the
//! time. A number at once could not do that: one request after the other is too many for a store that
//! answers at once.
//!
//! Neither grows while it is not used up.
//!
//! In a cluster the leader says what part of a rate this node has, while it is heard: then no more is asked for,
//! and after a refusal that much is soon asked for again, since it is the leader that looks for more.

use std::time::Duration;

use airlift_protocol::error::ErrorCode;

/// Requests at once at the beginning.
const START: usize = 16;

/// Answers that make a round at least; otherwise, as many as may be on their way.
const ROUND_MIN: usize = 4;

/// Answers of one size of which the mean says something.
const SAMPLES_MIN: u32 = 4;

/// Up to so many times the latency with few at once, more at once do no harm.
const LATENCY_GOOD: f64 = 1.5;

/// From so many times it on, fewer are better.
const LATENCY_BAD: f64 = 2.5;

/// Up to so many at once, latency is none of our doing.
const QUEUE_MIN: usize = 4;

/// Time after which the latency is looked at with half as many at once.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Where it then is less than this part of what it was, half as many are enough.
const QUEUE_PART: f64 = 0.6;

/// Sizes of bodies that are told apart: powers of two from 4 KiB to 1 GiB.
const SIZES: usize = 20;

/// What is asked for after a while of what was too much.
const AIM: f64 = 0.98;

/// Requests, and seconds at least and at most, after a cut until nearly all is asked for again.
const RECOVERY: (f64, f64, f64) = (16.0, 0.5, 1.5);

/// After so many times as long, half as much again is asked for, if the store does not mind: the first
/// time, when not much is known, and later.
const SEARCH: (f64, f64) = (10.0, 50.0);

/// The same below what the leader has said.
const SEARCH_SHARED: f64 = 5.0;

/// Of what was told before, from which part on it was used up.
const HELD: f64 = 0.97;

/// How much more that is.
const GROWTH: f64 = 1.5;

/// How much of the time may have been let pass unused and is made up for: timers are not exact.
const BURST: Duration = Duration::from_millis(10);

/// The least rate, in requests a second, and what is as good as none.
const RATE_MIN: f64 = 1.0;
const RATE_MAX: f64 = 1e6;

/// Longest that a store is left alone because it says so.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Time of work, and requests, after which what was asked for before is forgotten.
const ASKED_SPAN: (Duration, u32) = (Duration::from_millis(500), 8);

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The store did it, or said why it will not.
    Answered,
    /// It was too much for the store.
    Throttled,
    /// It says nothing: it broke off, or was given up.
    Void,
}

impl End {
    /// What an error of a store says about its limits.
    pub(super) fn of(error: Option<ErrorCode>) -> Self {
        match error {
            None | Some(ErrorCode::NotFound | ErrorCode::SourceChanged) => Self::Answered,
            Some(ErrorCode::Throttled) => Self::Throttled,
            Some(_) => Self::Void,
        }
    }
}

/// A request on its way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Started {
    at: Duration,
    round: u64,
    size: usize,
}

/// What is known of requests with bodies of one size.
#[derive(Clone, Copy, Debug, Default)]
struct Size {
    /// The mean time of an answer in the best round, in seconds.
    best: Option<f64>,
    count: u32,
    sum: f64,
}

/// Answers to requests that have begun with one and the same number allowed.
#[derive(Clone, Copy, Debug, Default)]
struct Round {
    number: u64,
    answers: usize,
    /// Whether as many were on their way as may be.
    is_full: bool,
}

/// Requests that have lately begun, and the time in which any was on its way.
#[derive(Clone, Copy, Debug, Default)]
struct Asked {
    count: u32,
    time: Duration,
}

/// A bound on requests a second.
#[derive(Clone, Copy, Debug)]
struct Rate {
    /// What it was asked for when that was too much.
    refused: f64,
    /// Times as long as the recovery that the search for more takes.
    search: f64,
    /// Time since then in which the bound was used up.
    used: Duration,
    /// When the next request may begin.
    due: Duration,
    asked: Duration,
    /// No more than that, whatever was found out: the leader says so.
    share: Option<f64>,
}

impl Rate {
    fn new(refused: f64, search: f64, now: Duration) -> Self {
        let used = Duration::ZERO;
        let mut rate = Self { refused, search, used, due: now, asked: now, share: None };
        rate.due += rate.pause();
        rate
    }

    /// Time between two requests.
    fn pause(&self) -> Duration {
        Duration::from_secs_f64(1.0 / self.now())
    }

    /// As much as the leader says, and no search for more.
    fn shared(share: f64, now: Duration) -> Self {
        let mut rate = Self::new(share / AIM, SEARCH.1, now);
        (rate.used, rate.due) = (Duration::from_secs_f64(rate.recovery()), now);
        rate.share = Some(share);
        rate
    }

    /// Seconds until nearly all is asked for again.
    fn recovery(&self) -> f64 {
        let (requests, least, most) = RECOVERY;
        (requests / self.refused).clamp(least, most)
    }

    /// Requests a second.
    fn now(&self) -> f64 {
        let own = self.own();
        self.share.map_or(own, |share| own.min(share))
    }

    /// Requests a second by what this node has found out.
    fn own(&self) -> f64 {
        let after = self.used.as_secs_f64() / self.recovery() - 1.0;
        let search = self.share.map_or(self.search, |_| SEARCH_SHARED);
        let part = match after < 0.0 {
            true => 1.0 + 0.5 * after.powi(3),
            false => GROWTH.powf((after / search).powi(3)),
        };
        (self.refused * AIM * part).clamp(RATE_MIN, RATE_MAX)
    }

    /// Takes over what the leader says: at once where that is less, or where what it had said was used up.
    fn keep_to(&mut self, share: f64, now: Duration) {
        let before = self.share.map_or(share, |before| before.min(share));
        let Self { due, asked, .. } = *self;
        match self.own() >= before * HELD {
            true => *self = Self { due, asked, ..Self::shared(share, now) },
            false => self.share = Some(share),
        }
    }

    /// Goes on without the leader: from what was asked for lately.
    fn let_go(&mut self, now: Duration) {
        let Self { due, asked, .. } = *self;
        let rate = Self { due, asked, ..Self::shared(self.now(), now) };
        *self = Self { share: None, ..rate };
    }
}

/// Decides on one kind of requests to one store.
#[derive(Clone, Debug)]
pub(super) struct Control {
    limit_max: usize,
    limit: usize,
    in_flight: usize,
    /// Whether nothing has yet spoken against twice as many.
    is_ramping: bool,
    /// Requests that were on their way when it was too much: up to there it soon goes again.
    regain: usize,
    round: Round,
    sizes: [Size; SIZES],
    looked: Duration,
    /// The limit that is set aside while half of it is tried, and the slowness with it.
    set_aside: Option<(usize, f64)>,
    /// The last cut, and as long after it as its refusal took.
    cut: Option<Duration>,
    rate: Option<Rate>,
    /// Until when what the leader has said holds.
    share_until: Option<Duration>,
    /// Whether a request waits for its turn.
    is_waiting: bool,
    lately: [Asked; 2],
    changed: Duration,
    requests: u64,
    throttled: u64,
}

impl Control {
    /// Nothing is known; at most `limit_max` requests at once.
    pub(super) fn new(limit_max: usize) -> Self {
        Self {
            limit_max: limit_max.max(1),
            limit: START.clamp(1, limit_max.max(1)),
            in_flight: 0,
            is_ramping: true,
            regain: 0,
            round: Round::default(),
            sizes: [Size::default(); SIZES],
            looked: Duration::ZERO,
            set_aside: None,
            cut: None,
            rate: None,
            share_until: None,
            is_waiting: false,
            lately: [Asked::default(); 2],
            changed: Duration::ZERO,
            requests: 0,
            throttled: 0,
        }
    }

    /// Requests that may be on their way at once: at least 1.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// Requests on their way.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Requests that have begun.
    pub(super) fn requests(&self) -> u64 {
        self.requests
    }

    /// The bound on requests a second; `None` while the store has not asked for one.
    pub(super) fn rate(&self) -> Option<f64> {
        self.rate.as_ref().map(Rate::now)
    }

    /// Requests that were too much for the store.
    pub(super) fn throttled(&self) -> u64 {
        self.throttled
    }

    /// When the next request may begin: asked once for each request, in order.
    pub(super) fn turn(&mut self, now: Duration) -> Duration {
        self.pass_time(now);
        let Some(rate) = &mut self.rate else { return now };
        let earliest = now.saturating_sub(BURST);
        match rate.due >= earliest {
            // Nobody was waited for: all of the time since was used up. What the leader has said bounds the
            // search too: it is not to leap ahead once nothing is heard any more.
            true if rate.share.is_none_or(|share| rate.own() < share) => {
                rate.used += now.saturating_sub(rate.asked);
            }
            true => {}
            false => rate.due = earliest,
        }
        rate.asked = rate.asked.max(now);
        let due = rate.due;
        rate.due += rate.pause();
        self.is_waiting = due > now;
        due.max(now)
    }

    /// A request with a body of about `bytes`, either way, begins.
    pub(super) fn begin(&mut self, now: Duration, bytes: u64) -> Started {
        self.pass_time(now);
        self.is_waiting = false;
        self.in_flight += 1;
        self.lately[0].count += 1;
        self.requests += 1;
        self.round.is_full |= self.in_flight >= self.limit;
        let size = (bytes >> 12).checked_ilog2().map_or(0, |power| power as usize + 1);
        Started { at: now, round: self.round.number, size: size.min(SIZES - 1) }
    }

    /// A request has ended.
    pub(super) fn end(&mut self, now: Duration, started: Started, end: End) {
        self.pass_time(now);
        self.in_flight = self.in_flight.saturating_sub(1);
        match end {
            End::Answered => self.on_answer(now, started),
            End::Throttled => self.on_throttled(now, started),
            End::Void => {}
        }
    }

    /// The store, which has just found a request too much, wants none for a while.
    pub(super) fn rest(&mut self, now: Duration, pause: Duration) {
        if let Some(rate) = &mut self.rate {
            let until = now + pause.min(PAUSE_MAX);
            rate.due = rate.due.max(until);
            // The time until then is nobody's: it does not count as used up.
            rate.asked = rate.asked.max(until);
        }
    }

    /// The leader says what part of a rate this node has, until then.
    pub(super) fn keep_to(&mut self, now: Duration, share: f64, until: Duration) {
        let share = share.clamp(RATE_MIN, RATE_MAX);
        match &mut self.rate {
            Some(rate) => rate.keep_to(share, now),
            None => self.rate = Some(Rate::shared(share, now)),
        }
        self.share_until = Some(until);
        self.is_ramping = false;
    }

    /// What the leader has said, while that holds.
    pub(super) fn share(&self, now: Duration) -> Option<f64> {
        self.share_until.filter(|until| now < *until)?;
        self.rate.as_ref()?.share
    }

    /// Counts the time in which something was asked.
    fn pass_time(&mut self, now: Duration) {
        if self.share_until.take_if(|until| *until <= now).is_some()
            && let Some(rate) = &mut self.rate
        {
            rate.let_go(now);
        }
        if self.in_flight > 0 || self.is_waiting {
            self.lately[0].time += now.saturating_sub(self.changed);
        }
        self.changed = now;
        let (span, count) = ASKED_SPAN;
        if self.lately[0].time >= span && self.lately[0].count >= count {
            self.lately = [Asked::default(), self.lately[0]];
        }
    }

    /// Requests a second that the store is asked for: as the bound says, or without one as measured.
    fn asked(&self) -> f64 {
        let [now, before] = self.lately;
        let (count, time) = (now.count + before.count, now.time + before.time);
        let measured = f64::from(count.max(1)) / time.as_secs_f64().max(1e-3);
        self.rate().unwrap_or(measured)
    }

    fn on_throttled(&mut self, now: Duration, started: Started) {
        self.throttled += 1;
        // What began before the last cut, or right after it, tells of what was asked before.
        if self.cut.is_some_and(|cut| started.at < cut) {
            return;
        }
        let search = if self.rate.is_none() { SEARCH.0 } else { SEARCH.1 };
        let share = self.rate.as_ref().and_then(|rate| rate.share);
        self.rate = Some(Rate { share, ..Rate::new(self.asked(), search, now) });
        self.cut = Some(now + now.saturating_sub(started.at));
        self.is_ramping = false;
        self.set_aside = None;
        self.regain = self.in_flight + 1;
        self.set_limit(self.limit / 2);
        self.begin_round();
    }

    fn on_answer(&mut self, now: Duration, started: Started) {
        // Earlier ones were on their way with another number beside them.
        if started.round != self.round.number {
            return;
        }
        self.round.answers += 1;
        let size = &mut self.sizes[started.size];
        size.count += 1;
        size.sum += now.saturating_sub(started.at).as_secs_f64();
        if self.round.answers >= self.limit.max(ROUND_MIN) {
            self.end_round(now);
        }
    }

    /// Acts on what a round of answers has shown.
    fn end_round(&mut self, now: Duration) {
        let slowness = self.slowness();
        let is_full = self.round.is_full;
        if let Some((limit, before)) = self.set_aside.take() {
            // If it takes longer with fewer, the store has become slower meanwhile.
            self.take_best(slowness <= before.max(LATENCY_GOOD));
            match slowness < before * QUEUE_PART {
                // They have only waited for each other; it may be that they still do.
                true => self.looked = now.saturating_sub(LOOK_EVERY),
                false => self.set_limit(limit),
            }
        } else if now.saturating_sub(self.looked) >= LOOK_EVERY {
            self.looked = now;
            match is_full && self.limit > QUEUE_MIN {
                true => {
                    self.set_aside = Some((self.limit, slowness));
                    self.set_limit(self.limit / 2);
                }
                false => self.take_best(true),
            }
        } else {
            self.take_best(false);
            self.is_ramping &= slowness <= LATENCY_GOOD;
            if slowness > LATENCY_BAD && self.limit > QUEUE_MIN {
                let allowed = self.limit as f64 * LATENCY_GOOD / slowness;
                self.set_limit((allowed as usize).max(self.limit / 2).max(QUEUE_MIN));
            } else if is_full && (slowness <= LATENCY_GOOD || self.limit < QUEUE_MIN) {
                self.set_limit(self.limit + self.step());
            }
        }
        self.begin_round();
    }

    fn step(&self) -> usize {
        let missing = self.regain.saturating_sub(self.limit);
        match self.is_ramping {
            true => self.limit,
            false => missing.max(self.limit.isqrt()),
        }
    }

    /// How many times as long as at its best the store takes for what this round has asked.
    fn slowness(&self) -> f64 {
        let (mut took, mut best) = (0.0, 0.0);
        for size in self.sizes.iter().filter(|size| size.count > 0) {
            let mean = size.sum / f64::from(size.count);
            took += size.sum;
            best += size.best.unwrap_or(mean) * f64::from(size.count);
        }
        if best > 0.0 { took / best } else { 1.0 }
    }

    /// Keeps what was better than before, or all: what the store could do then it may not any more.
    fn take_best(&mut self, all: bool) {
        for size in self.sizes.iter_mut().filter(|size| size.count >= SAMPLES_MIN) {
            let mean = size.sum / f64::from(size.count);
            size.best = Some(size.best.filter(|_| !all).map_or(mean, |best| best.min(mean)));
        }
    }

    fn begin_round(&mut self) {
        let is_full = self.in_flight >= self.limit;
        self.round = Round { number: self.round.number + 1, answers: 0, is_full };
        for size in &mut self.sizes {
            (size.count, size.sum) = (0, 0.0);
        }
    }

    fn set_limit(&mut self, limit: usize) {
        self.limit = limit.clamp(1, self.limit_max);
    }
}

#[cfg(test)]
mod tests;
