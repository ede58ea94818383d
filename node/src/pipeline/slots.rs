//! How many orders a node works on at once, found out while it works.
//!
//! A store far away gives more to many who ask than to few; a disk at hand does not, and to a machine with
//! few cores more orders are a burden. Which of them it is shows when it is tried: each step is a trial
//! that stays only if it pays. A step up has to bring a good part of what it would if every order went on as
//! fast as before; a step down stays where it costs next to nothing, so that what chance has let stay goes
//! again. Rates are noisy: they are taken over a second and 32 MiB at least, twice, and not right after a
//! step.
//!
//! Of one thing it is known before: an order that reads from a node far away does nothing for a round trip or
//! two, and small objects are moved in less. There more orders are worked on from the beginning.

use std::time::Duration;

use airlift_protocol::assignment::Work;

/// Orders at once at the beginning, and the least: enough for what is near by.
pub const SLOTS_START: usize = 4;

/// Length of the way to the source's node for which one order more is worked on. A pack of 1 MiB of small
/// files took some 20 ms of a core at the target (2026-11-30), and small machines have two.
const WAY_PER_SLOT: Duration = Duration::from_millis(8);

/// Orders at once, from the beginning, over the longest way: each takes memory, and streams.
const SLOTS_FAR: usize = 24;

/// The least time of a window.
const WINDOW: Duration = Duration::from_secs(1);

/// The least bytes of a window: of parts of 16 MiB, and orders of up to 64 MiB.
const WINDOW_BYTES: u64 = 32 << 20;

/// Windows that make a rate.
const WINDOWS: u32 = 2;

/// Of the rate in proportion to the orders, the part that a step up has to bring.
const GAIN_PART: u64 = 4;

/// Of the rate before, what a step down must leave in hundredths.
const KEEP_PERCENT: u64 = 97;

/// Rates without a step after a trial that brought nothing: at first, and at most.
const PAUSE: (u32, u32) = (8, 64);

/// Whether `work` is one of those that are counted: others run beside them.
pub fn takes_slot(work: &Work) -> bool {
    matches!(work, Work::MoveRange { .. } | Work::MovePack { .. } | Work::Verify { .. })
}

/// A step that is being tried.
#[derive(Clone, Copy, Debug)]
struct Trial {
    from: usize,
    rate: u64,
}

/// What happened in the present window and those before it since the last rate.
#[derive(Clone, Copy, Debug, Default)]
struct Watch {
    begun: Duration,
    bytes: u64,
    /// Looks in the window, and those at which there was enough in work.
    looks: (u32, u32),
    windows: u32,
    sum: u64,
}

/// Decides on the number of orders.
#[derive(Clone, Debug)]
pub struct Slots {
    most: usize,
    /// At the beginning, over the way there is.
    least: usize,
    at: usize,
    watch: Watch,
    /// Whether what runs still shows the number before.
    is_settling: bool,
    trial: Option<Trial>,
    is_upward: bool,
    pause: u32,
    pause_next: u32,
}

impl Slots {
    /// At most so many, from [`SLOTS_START`] on.
    pub fn new(most: usize) -> Self {
        let least = SLOTS_START.min(most);
        Self {
            most,
            least,
            at: least,
            watch: Watch::default(),
            is_settling: true,
            trial: None,
            is_upward: true,
            pause: 0,
            pause_next: PAUSE.0,
        }
    }

    /// Orders to work on at once.
    pub fn now(&self) -> usize {
        self.at
    }

    /// Takes note of a round trip to the node that is read from, the farthest one. A little more or less is
    /// the same way. Returns whether the number has changed.
    pub fn set_way(&mut self, round_trip: Duration) -> bool {
        let more = round_trip.as_millis() / WAY_PER_SLOT.as_millis();
        let more = usize::try_from(more).unwrap_or(usize::MAX);
        let least = SLOTS_START.saturating_add(more).min(SLOTS_FAR).min(self.most);
        if least * 3 <= self.least * 4 && self.least * 3 <= least * 4 {
            return false;
        }
        let before = self.at;
        self.at = if least > self.least {
            self.at.max(least)
        } else {
            // What was there for the way alone goes with it.
            self.at.saturating_sub(self.least - least).max(least)
        };
        self.least = least;
        self.trial = None;
        (self.watch, self.is_settling) = (Watch { windows: 0, sum: 0, ..self.watch }, true);
        self.at != before
    }

    /// Takes note of the bytes that were verified so far, and of the orders in work. Returns whether the
    /// number has changed.
    pub fn look(&mut self, now: Duration, bytes: u64, in_work: usize) -> bool {
        let before = self.at;
        let (looks, full) = self.watch.looks;
        // A quarter may just be on its way.
        let is_full = in_work * 4 >= self.at * 3;
        self.watch.looks = (looks + 1, full + u32::from(is_full));
        let Watch { begun, bytes: earlier, .. } = self.watch;
        let (time, moved) = (now.saturating_sub(begun), bytes.saturating_sub(earlier));
        // What is counted goes with the jobs that it was counted of.
        if bytes < earlier {
            self.restart(now, bytes);
        } else if time >= WINDOW && moved >= WINDOW_BYTES {
            self.end_window(now, bytes, (moved as f64 / time.as_secs_f64()) as u64);
        }
        self.at != before
    }

    fn end_window(&mut self, now: Duration, bytes: u64, rate: u64) {
        let before = self.at;
        let Watch { looks: (looks, full), windows, sum, .. } = self.watch;
        if full * 4 < looks * 3 {
            // Without enough to do, more orders change nothing.
            if let Some(trial) = self.trial.take() {
                self.at = trial.from;
                self.pause = self.pause_next;
            }
            return self.restart(now, bytes);
        }
        self.watch = Watch { begun: now, bytes, looks: (0, 0), windows, sum };
        if std::mem::take(&mut self.is_settling) {
            return;
        }
        self.watch.windows += 1;
        self.watch.sum = sum.saturating_add(rate);
        if self.watch.windows == WINDOWS {
            let rate = self.watch.sum / u64::from(WINDOWS);
            (self.watch.windows, self.watch.sum) = (0, 0);
            self.judge(rate);
        }
        if self.at != before {
            self.restart(now, bytes);
        }
    }

    fn restart(&mut self, now: Duration, bytes: u64) {
        self.watch = Watch { begun: now, bytes, ..Watch::default() };
        self.is_settling = true;
    }

    fn judge(&mut self, rate: u64) {
        match self.trial.take() {
            Some(trial) if !self.pays(trial, rate) => {
                self.at = trial.from;
                self.is_upward = !self.is_upward;
                self.pause = self.pause_next;
                self.pause_next = (2 * self.pause_next).min(PAUSE.1);
            }
            Some(_) => self.pause_next = PAUSE.0,
            None if self.pause > 0 => self.pause -= 1,
            None => self.step(rate),
        }
    }

    fn pays(&self, Trial { from, rate: before }: Trial, rate: u64) -> bool {
        let (from, at) = (from as u64, self.at as u64);
        match at > from {
            true => {
                let gain = rate.saturating_sub(before).saturating_mul(from * GAIN_PART);
                gain >= before.saturating_mul(at - from)
            }
            false => rate.saturating_mul(100) >= before.saturating_mul(KEEP_PERCENT),
        }
    }

    fn step(&mut self, rate: u64) {
        let up = (self.at + self.at.div_ceil(2)).min(self.most);
        let down = (self.at * 2).div_ceil(3).max(self.least);
        if (self.is_upward && up == self.at) || (!self.is_upward && down == self.at) {
            self.is_upward = !self.is_upward;
            self.pause = self.pause_next;
            return;
        }
        self.trial = Some(Trial { from: self.at, rate });
        self.at = if self.is_upward { up } else { down };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: f64 = (1 << 20) as f64;

    /// A node that moves, with so many orders at once, so many bytes a second.
    struct Node {
        slots: Slots,
        now: Duration,
        bytes: f64,
        rate: fn(usize) -> f64,
        /// For noise.
        seed: u64,
        noise: f64,
    }

    impl Node {
        fn new(most: usize, noise: f64, rate: fn(usize) -> f64) -> Self {
            let slots = Slots::new(most);
            Self { slots, now: Duration::ZERO, bytes: 0.0, rate, seed: 7, noise }
        }

        /// The numbers that it worked with, each tenth of a second.
        fn work(&mut self, seconds: u64, in_work: impl Fn(usize) -> usize) -> Vec<usize> {
            let tick = Duration::from_millis(100);
            let ticks = 0..seconds * 10;
            ticks
                .map(|_| {
                    self.now += tick;
                    self.seed = self.seed.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                    let noise = (self.seed >> 40) as f64 / (1 << 23) as f64 - 1.0;
                    let at = in_work(self.slots.now());
                    self.bytes += (self.rate)(at) * (1.0 + noise * self.noise) / 10.0;
                    self.slots.look(self.now, self.bytes as u64, at);
                    self.slots.now()
                })
                .collect()
        }
    }

    fn mean(numbers: &[usize]) -> f64 {
        numbers.iter().sum::<usize>() as f64 / numbers.len() as f64
    }

    #[test]
    fn where_each_order_is_slow_there_come_to_be_as_many_as_may_be() {
        for noise in [0.0, 0.3] {
            let mut node = Node::new(32, noise, |at| 20.0 * MIB * at as f64);
            node.work(60, |at| at);
            assert_eq!(node.slots.now(), 32);
            let numbers = node.work(600, |at| at);
            assert!(mean(&numbers) > 31.0, "{}", mean(&numbers));
            assert_eq!(numbers.into_iter().max(), Some(32));
        }
        let mut node = Node::new(3, 0.0, |at| 20.0 * MIB * at as f64);
        assert_eq!(node.work(100, |at| at).into_iter().max(), Some(3), "the user says so");
    }

    #[test]
    fn where_more_orders_bring_nothing_they_are_taken_back() {
        for noise in [0.0, 0.3] {
            let mut node = Node::new(64, noise, |_| 400.0 * MIB);
            let numbers = node.work(600, |at| at);
            assert!(mean(&numbers) < 4.2, "{}", mean(&numbers));
            assert!(numbers.into_iter().max() <= Some(6));
        }
    }

    #[test]
    fn as_many_are_worked_on_as_there_is_a_gain_from() {
        for noise in [0.0, 0.3] {
            let mut node = Node::new(64, noise, |at| 30.0 * MIB * (at as f64).min(12.0));
            node.work(120, |at| at);
            let numbers = node.work(600, |at| at);
            let mean = mean(&numbers);
            assert!((11.5..15.0).contains(&mean), "{mean}");
        }
    }

    #[test]
    fn over_a_long_way_there_are_more_from_the_beginning() {
        let mut slots = Slots::new(32);
        let way = |slots: &mut Slots, millis| {
            let has_changed = slots.set_way(Duration::from_millis(millis));
            (slots.now(), has_changed)
        };
        assert_eq!(way(&mut slots, 1), (SLOTS_START, false));
        assert_eq!(way(&mut slots, 80), (14, true));
        // A queue on the way makes it no other one.
        assert_eq!(way(&mut slots, 90), (14, false));
        assert_eq!(way(&mut slots, 70), (14, false));
        assert_eq!(way(&mut slots, 300), (SLOTS_FAR, true));
        assert_eq!(way(&mut slots, 1), (SLOTS_START, true));
        assert!(!Slots::new(3).set_way(Duration::from_secs(1)), "the user says so");
    }

    #[test]
    fn what_was_found_out_beyond_the_way_stays_without_it() {
        let mut node = Node::new(64, 0.0, |at| 30.0 * MIB * (at as f64).min(30.0));
        assert!(node.slots.set_way(Duration::from_millis(80)));
        let numbers = node.work(120, |at| at);
        assert!(numbers.iter().all(|at| *at >= 14));
        let found = node.slots.now();
        assert!(found > 20, "{found}");
        assert!(node.slots.set_way(Duration::ZERO));
        assert_eq!(node.slots.now(), found - 10);
    }

    #[test]
    fn what_chance_has_let_stay_goes_again() {
        let mut node = Node::new(64, 0.1, |at| 30.0 * MIB * at as f64);
        node.work(60, |at| at);
        assert!(node.slots.now() > 30, "{}", node.slots.now());
        node.rate = |_| 300.0 * MIB;
        node.work(900, |at| at);
        assert!(node.slots.now() < 12, "{}", node.slots.now());
    }

    #[test]
    fn without_enough_to_do_nothing_is_tried() {
        let mut node = Node::new(32, 0.3, |at| 20.0 * MIB * at as f64);
        let numbers = node.work(300, |_| 2);
        assert!(numbers.iter().all(|at| *at == SLOTS_START));
        // Six orders, and no more: a trial of nine is given up at once.
        let numbers = node.work(300, |at| at.min(6));
        assert!(mean(&numbers[100..]) < 6.5, "{}", mean(&numbers[100..]));
        let mut still = Node::new(32, 0.0, |_| 0.0);
        assert!(still.work(300, |at| at).iter().all(|at| *at == SLOTS_START));
    }
}
