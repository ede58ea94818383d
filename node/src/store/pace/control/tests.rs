//! The control against models of stores, in virtual time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use proptest::prelude::*;

use super::*;

mod shared;

const SECOND: Duration = Duration::from_secs(1);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// What a store can do.
#[derive(Clone, Copy, Debug)]
enum Model {
    /// So many requests at once, each for so long; others wait.
    Workers(usize, Duration),
    /// So many requests a second, as a bucket of tokens that fills up to a twentieth of that; others
    /// are refused. Each answer takes as long.
    PerSecond(u32, Duration),
    /// So many requests at once, each for so long; others are refused.
    AtOnce(usize, Duration),
    /// Nothing at all.
    Refuses(Duration),
}

/// A store, and a client that asks it as fast as the control allows.
#[derive(Debug)]
struct World {
    control: Control,
    model: Model,
    now: Duration,
    /// When each worker is free.
    workers: BinaryHeap<Reverse<Duration>>,
    tokens: f64,
    filled: Duration,
    flying: BinaryHeap<Reverse<(Duration, u64)>>,
    started: Vec<(Started, End)>,
    /// When the request that waits for its turn may begin.
    turn: Option<Duration>,
    /// Requests that the client has yet to make.
    wanted: u64,
    bytes: u64,
    answered: u64,
    refused: u64,
    most: usize,
}

impl World {
    fn new(limit_max: usize, model: Model) -> Self {
        Self {
            control: Control::new(limit_max),
            model,
            now: Duration::ZERO,
            workers: BinaryHeap::new(),
            tokens: f64::INFINITY,
            filled: Duration::ZERO,
            flying: BinaryHeap::new(),
            started: Vec::new(),
            turn: None,
            wanted: u64::MAX,
            bytes: 0,
            answered: 0,
            refused: 0,
            most: 0,
        }
    }

    /// Lives until so many milliseconds from now; returns what was answered and refused meanwhile, and
    /// the most requests at once.
    fn live(&mut self, duration: Duration) -> (u64, u64, usize) {
        let until = self.now + duration;
        (self.answered, self.refused, self.most) = (0, 0, 0);
        while self.step(until) {}
        self.now = until;
        (self.answered, self.refused, self.most)
    }

    fn step(&mut self, until: Duration) -> bool {
        if self.turn.is_none() && self.wanted > 0 && self.flying.len() < self.control.limit() {
            let due = self.control.turn(self.now);
            // Timers of tokio know whole milliseconds.
            let whole = Duration::from_millis(due.as_micros().div_ceil(1000) as u64);
            self.turn = Some(if due > self.now { whole.max(self.now) } else { self.now });
        }
        let landing = self.flying.peek().map(|Reverse((at, _))| *at);
        match (self.turn, landing) {
            (Some(due), _) if due <= until && landing.is_none_or(|at| due <= at) => {
                self.now = self.now.max(due);
                self.turn = None;
                self.wanted -= 1;
                self.ask();
            }
            (_, Some(at)) if at <= until => {
                self.now = self.now.max(at);
                self.land();
            }
            _ => return false,
        }
        true
    }

    fn ask(&mut self) {
        let started = self.control.begin(self.now, self.bytes);
        let (lands, end) = self.answer();
        self.flying.push(Reverse((lands, self.started.len() as u64)));
        self.started.push((started, end));
        self.most = self.most.max(self.flying.len());
    }

    fn answer(&mut self) -> (Duration, End) {
        match self.model {
            Model::Workers(count, takes) => {
                while self.workers.len() > count {
                    self.workers.pop();
                }
                let free = match self.workers.len() < count {
                    true => self.now,
                    false => self.workers.pop().map_or(self.now, |Reverse(at)| at.max(self.now)),
                };
                self.workers.push(Reverse(free + takes));
                (free + takes, End::Answered)
            }
            Model::PerSecond(rate, takes) => {
                let rate = f64::from(rate);
                let passed = (self.now - self.filled).as_secs_f64();
                self.tokens = (self.tokens + passed * rate).min((rate / 20.0).max(1.0));
                self.filled = self.now;
                match self.tokens >= 1.0 {
                    true => {
                        self.tokens -= 1.0;
                        (self.now + takes, End::Answered)
                    }
                    false => (self.now + takes / 4, End::Throttled),
                }
            }
            Model::AtOnce(count, takes) => match self.flying.len() < count {
                true => (self.now + takes, End::Answered),
                false => (self.now + takes / 4, End::Throttled),
            },
            Model::Refuses(takes) => (self.now + takes, End::Throttled),
        }
    }

    fn land(&mut self) {
        let Some(Reverse((_, index))) = self.flying.pop() else { return };
        let (started, end) = self.started[index as usize];
        self.control.end(self.now, started, end);
        match end {
            End::Throttled => self.refused += 1,
            _ => self.answered += 1,
        }
    }
}

/// Whether `part` is at least so many hundredths of `all`.
fn is_part(part: u64, percent: u64, all: f64) -> bool {
    part as f64 * 100.0 >= all * percent as f64
}

#[test]
fn a_store_that_is_far_away_gets_as_many_at_once_as_may_be() {
    for limit_max in [5, 64, 256] {
        let mut world = World::new(limit_max, Model::Workers(10_000, ms(50)));
        assert_eq!(world.control.limit(), START.min(limit_max));
        world.live(ms(50) * 8);
        assert_eq!(world.control.limit(), limit_max, "after eight round trips");
        let (answered, refused, most) = world.live(60 * SECOND);
        assert!(is_part(answered, 95, limit_max as f64 * 20.0 * 60.0), "{answered}");
        assert_eq!((refused, most), (0, limit_max));
    }
}

#[test]
fn a_store_of_fixed_capacity_is_busy_and_not_flooded() {
    for (workers, takes) in [(32, ms(10)), (8, ms(200)), (100, ms(3))] {
        let mut world = World::new(1024, Model::Workers(workers, takes));
        world.live(10 * SECOND);
        let (mut all, could) = (0, workers as f64 / takes.as_secs_f64() * 60.0);
        for _ in 0..60 {
            let (answered, _, most) = world.live(SECOND);
            all += answered;
            assert!(most <= (workers * 4).max(START * 4), "{most} at once for {workers} workers");
        }
        assert!(is_part(all, 95, could), "{all} of {could}, {workers} workers");
    }
}

#[test]
fn a_store_that_loses_capacity_gets_less_and_then_more_again() {
    let mut world = World::new(1024, Model::Workers(128, ms(10)));
    world.live(20 * SECOND);
    assert!(world.control.limit() >= 128, "{}", world.control.limit());
    world.model = Model::Workers(8, ms(10));
    world.live(5 * SECOND);
    let (answered, _, most) = world.live(5 * SECOND);
    assert!(is_part(answered, 95, 800.0 * 5.0), "{answered}");
    assert!(most <= 40, "{most} at once for 8 workers");
    world.model = Model::Workers(128, ms(10));
    world.live(10 * SECOND);
    let (answered, ..) = world.live(5 * SECOND);
    assert!(is_part(answered, 95, 12_800.0 * 5.0), "{answered}");
}

#[test]
fn of_what_a_store_grants_a_second_nearly_all_is_used_and_hardly_anything_is_too_much() {
    // What S3 grants for each prefix, near by and far away, and less.
    let cases = [(3500, 1), (3500, 30), (3500, 200), (5500, 1), (5500, 30), (5500, 200)];
    for (rate, latency) in cases.into_iter().chain([(50, 30), (500, 1), (500, 30)]) {
        let mut world = World::new(2048, Model::PerSecond(rate, ms(latency)));
        world.live(30 * SECOND);
        let (answered, refused, _) = world.live(120 * SECOND);
        let could = f64::from(rate) * 120.0;
        let what = format!("{answered} of {could}, {refused} refused, at {latency} ms");
        assert!(is_part(answered, 95, could), "{what}");
        assert!(refused * 100 < answered, "{what}");
    }
}

#[test]
fn a_store_that_grants_less_is_asked_for_less_and_then_for_more_again() {
    let mut world = World::new(1024, Model::PerSecond(5500, ms(20)));
    world.live(10 * SECOND);
    world.model = Model::PerSecond(500, ms(20));
    let (_, refused, _) = world.live(5 * SECOND);
    assert!(refused < 1000, "{refused} were refused until that was learnt");
    let (answered, refused, _) = world.live(30 * SECOND);
    assert!(is_part(answered, 95, 500.0 * 30.0), "{answered}");
    assert!(refused * 100 < answered, "{refused}");
    world.model = Model::PerSecond(5500, ms(20));
    world.live(60 * SECOND);
    let (answered, ..) = world.live(10 * SECOND);
    assert!(is_part(answered, 95, 5500.0 * 10.0), "{answered}");
}

#[test]
fn a_store_that_refuses_too_many_at_once_has_nearly_as_many_as_it_takes() {
    let mut world = World::new(1024, Model::AtOnce(40, ms(20)));
    world.live(10 * SECOND);
    let (answered, refused, _) = world.live(60 * SECOND);
    assert!(is_part(answered, 90, 40.0 * 50.0 * 60.0), "{answered}");
    assert!(refused * 100 < answered, "{refused} of {answered}");
}

#[test]
fn a_cut_is_made_once_for_each_round_trip() {
    let mut control = Control::new(64);
    let started: Vec<Started> = (0..16).map(|_| control.begin(ms(0), 0)).collect();
    for started in &started[..8] {
        control.end(ms(20), *started, End::Answered);
    }
    for (late, started) in started[8..].iter().enumerate() {
        control.end(ms(20 + late as u64), *started, End::Throttled);
    }
    assert_eq!((control.limit(), control.throttled()), (START / 2, 8));
    // 16 in 20 ms were asked for; half of the aim is left.
    let rate = control.rate().unwrap();
    assert!((391.0..393.0).contains(&rate), "{rate}");
    let soon = control.begin(ms(39), 0);
    control.end(ms(50), soon, End::Throttled);
    assert_eq!((control.limit(), control.throttled()), (START / 2, 9));
    let later = control.begin(ms(50), 0);
    control.end(ms(70), later, End::Throttled);
    assert_eq!(control.limit(), START / 4);
    let rate = control.rate().unwrap();
    assert!((191.0..193.0).contains(&rate), "{rate}");
}

#[test]
fn bursts_pass_within_what_was_granted() {
    let mut world = World::new(256, Model::PerSecond(500, ms(20)));
    world.live(10 * SECOND);
    let (mut answered, mut refused) = (0, 0);
    for _ in 0..60 {
        world.wanted = 400;
        let (done, too_much, _) = world.live(SECOND);
        (answered, refused) = (answered + done, refused + too_much);
    }
    assert!(is_part(answered, 99, 400.0 * 60.0), "{answered}");
    assert!(refused * 100 < answered, "{refused}");
}

#[test]
fn what_is_not_used_up_does_not_grow() {
    let mut world = World::new(256, Model::Workers(1000, ms(20)));
    for _ in 0..1000 {
        world.wanted = START as u64 - 1;
        world.live(ms(100));
    }
    assert_eq!(world.control.limit(), START);
    let mut world = World::new(256, Model::PerSecond(1000, ms(20)));
    world.live(10 * SECOND);
    world.model = Model::Refuses(ms(20));
    world.live(ms(100));
    world.model = Model::PerSecond(1000, ms(20));
    let before = world.control.rate().unwrap();
    for _ in 0..1000 {
        world.wanted = 1;
        world.live(ms(100));
    }
    let after = world.control.rate().unwrap();
    assert!(after <= before * 1.1, "{before} became {after}");
}

#[test]
fn a_store_that_refuses_all_is_asked_once_a_second() {
    let mut world = World::new(256, Model::Refuses(ms(20)));
    world.live(20 * SECOND);
    let (answered, refused, most) = world.live(60 * SECOND);
    assert_eq!((answered, most, world.control.limit()), (0, 1, 1));
    assert!((50..=70).contains(&refused), "{refused}");
    world.model = Model::PerSecond(1000, ms(20));
    world.live(240 * SECOND);
    let (answered, ..) = world.live(10 * SECOND);
    assert!(answered > 900, "it has found {answered} in ten seconds again");
}

#[test]
fn a_store_that_takes_longer_for_good_is_asked_for_what_it_grants_all_the_same() {
    let mut world = World::new(256, Model::PerSecond(60, ms(2)));
    world.live(10 * SECOND);
    world.model = Model::PerSecond(60, ms(42));
    world.live(SECOND);
    let (answered, ..) = world.live(60 * SECOND);
    assert!(is_part(answered, 95, 60.0 * 60.0), "{answered}");
    let mut world = World::new(64, Model::Workers(1000, ms(2)));
    world.live(SECOND);
    world.model = Model::Workers(1000, ms(42));
    world.live(15 * SECOND);
    assert_eq!(world.control.limit(), 64);
}

#[test]
fn large_bodies_take_longer_and_are_no_sign_of_a_queue() {
    let mut world = World::new(256, Model::Workers(1000, ms(5)));
    world.live(3 * SECOND);
    assert_eq!(world.control.limit(), 256);
    for _ in 0..20 {
        (world.bytes, world.model) = (8 << 20, Model::Workers(1000, ms(400)));
        world.live(2 * SECOND);
        (world.bytes, world.model) = (4 << 10, Model::Workers(1000, ms(5)));
        world.live(SECOND);
        assert!(world.control.limit() >= 128, "{}", world.control.limit());
    }
}

proptest! {
    #[test]
    fn limits_hold_whatever_happens(
        limit_max in 1_usize..300,
        events in prop::collection::vec((0_u64..200, any::<u64>(), 0_u8..4), 1..400),
    ) {
        let mut control = Control::new(limit_max);
        let (mut now, mut flying) = (Duration::ZERO, Vec::new());
        for (passed, bytes, what) in events {
            now += ms(passed);
            let end = [End::Answered, End::Throttled, End::Void].get(usize::from(what));
            match end {
                Some(end) if !flying.is_empty() => {
                    let place = bytes as usize % flying.len();
                    control.end(now, flying.swap_remove(place), *end);
                }
                _ if flying.len() < control.limit() => {
                    let due = control.turn(now);
                    prop_assert!(due >= now && due <= now + ms(1001) * 300);
                    flying.push(control.begin(now, bytes));
                }
                _ => {}
            }
            prop_assert!((1..=limit_max).contains(&control.limit()));
            prop_assert_eq!(control.in_flight(), flying.len());
            prop_assert!(control.rate().is_none_or(|rate| rate >= RATE_MIN && rate.is_finite()));
        }
    }
}
