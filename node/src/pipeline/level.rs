//! How hard a link compresses, found out while it is used.
//!
//! Where bytes wait for the link, the CPU has time to make them fewer; where they wait for the CPU, it
//! should do less. Which of the two it is the meter can only suggest: over a long way many streams wait at
//! once and for a round trip each, and a link is also slow when the target is, or when others need the CPU. So
//! each step, in either direction, is a trial: it stays only if more plaintext passes than both before and, taken
//! back, after it, because a way that is new is filled only by and by. After one that brought nothing the other
//! direction is tried.

use std::time::Duration;

/// Levels of zstd, from the cheapest on. Less than the first is not done: what crosses may cost money.
/// How much more time each of the others takes, and what it spares, depends on the bytes;
/// docs/performance.md has it for text.
const STEPS: [i32; 7] = [-5, -1, 1, 3, 5, 7, 9];

/// Where it begins: level 1 keeps up with most networks.
const FIRST: usize = 2;

/// Time between two looks.
pub const WINDOW: Duration = Duration::from_millis(500);

/// So many times as long as for the one, bytes wait for the other, to be worth a step.
const RATIO: u64 = 2;

/// Of the rate before, what a step must bring in hundredths to stay.
const GAIN_PERCENT: u64 = 103;

/// Looks without a step after one that brought nothing: at first, and at most.
const PAUSE: (u32, u32) = (4, 64);

/// What happened since the last look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Plaintext that was encoded, in bytes a second.
    pub rate: u64,
    /// Microseconds of the CPU: reading aside, what the source's half does.
    pub encode_us: u64,
    /// Microseconds until the transport took what was encoded.
    pub link_us: u64,
}

/// A step that is being tried.
#[derive(Clone, Copy, Debug)]
enum Trial {
    /// It is made; this was the rate before.
    Made { from: usize, before: u64 },
    /// It is taken back once more; this was the rate with it.
    Doubted { to: usize, with: u64 },
}

/// Decides on the level.
#[derive(Clone, Copy, Debug)]
pub struct Control {
    at: usize,
    trial: Option<Trial>,
    is_upward: bool,
    pause: u32,
    pause_next: u32,
}

impl Default for Control {
    fn default() -> Self {
        Self { at: FIRST, trial: None, is_upward: true, pause: 0, pause_next: PAUSE.0 }
    }
}

impl Control {
    /// The level for the next chunks.
    pub fn level(&self) -> i32 {
        STEPS[self.at]
    }

    /// Takes note of a window, and makes or takes back a step.
    pub fn look(&mut self, window: Window) {
        if window.rate == 0 {
            return;
        }
        match self.trial.take() {
            Some(Trial::Made { from, before }) => {
                let to = std::mem::replace(&mut self.at, from);
                if is_gain(before, window.rate) {
                    self.trial = Some(Trial::Doubted { to, with: window.rate });
                } else {
                    self.turn();
                }
                return;
            }
            Some(Trial::Doubted { to, with }) if is_gain(window.rate, with) => {
                (self.at, self.pause_next) = (to, PAUSE.0);
                return;
            }
            Some(Trial::Doubted { .. }) => return self.turn(),
            None => {}
        }
        if self.pause > 0 {
            self.pause -= 1;
            return;
        }
        let Window { rate, encode_us, link_us } = window;
        if encode_us > link_us.saturating_mul(RATIO) {
            self.is_upward = false;
        } else if link_us <= encode_us.saturating_mul(RATIO) {
            return;
        } else if self.at == 0 || self.at == STEPS.len() - 1 {
            self.is_upward = self.at == 0;
        }
        let next = if self.is_upward { self.at + 1 } else { self.at.saturating_sub(1) };
        if next != self.at {
            self.trial = Some(Trial::Made { from: self.at, before: rate });
            self.at = next;
        }
    }

    /// After a rest, it goes on in the other direction.
    fn turn(&mut self) {
        self.is_upward = !self.is_upward;
        self.pause = self.pause_next;
        self.pause_next = (2 * self.pause_next).min(PAUSE.1);
    }
}

/// Whether a rate is so much more than another that it is worth a step.
fn is_gain(from: u64, to: u64) -> bool {
    to.saturating_mul(100) >= from.saturating_mul(GAIN_PERCENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINK: (u64, u64) = (1, 9);
    const CPU: (u64, u64) = (9, 1);
    const BOTH: (u64, u64) = (5, 5);

    fn look(control: &mut Control, rate: u64, (encode_us, link_us): (u64, u64)) -> i32 {
        control.look(Window { rate, encode_us, link_us });
        control.level()
    }

    /// Looks at these rates, and says the level after each.
    fn levels(control: &mut Control, rates: &[u64], times: (u64, u64)) -> Vec<i32> {
        rates.iter().map(|rate| look(control, *rate, times)).collect()
    }

    #[test]
    fn a_slow_link_is_relieved_as_long_as_that_helps() {
        let mut control = Control::default();
        // More passes with the step than before and after: it stays.
        assert_eq!(levels(&mut control, &[100, 120, 100], LINK), [3, 1, 3]);
        // Hardly more passes: the next is taken back, and not tried again soon.
        assert_eq!(levels(&mut control, &[120, 122], LINK), [5, 3]);
        let rest = [120; PAUSE.0 as usize];
        assert!(levels(&mut control, &rest, LINK).iter().all(|level| *level == 3));
        // Less is tried as well, and brings nothing either; the next rest is longer.
        assert_eq!(levels(&mut control, &[120, 110], LINK), [1, 3]);
        let rest = [120; 2 * PAUSE.0 as usize];
        assert!(levels(&mut control, &rest, LINK).iter().all(|level| *level == 3));
        assert_eq!(look(&mut control, 120, LINK), 5);
    }

    #[test]
    fn what_would_have_come_without_a_step_is_not_due_to_it() {
        let mut control = Control::default();
        // The way is filled by and by, whatever the level.
        assert_eq!(levels(&mut control, &[100, 200, 300, 400], LINK), [3, 1, 1, 1]);
        let mut control = Control::default();
        assert_eq!(levels(&mut control, &[100, 200, 300, 400], CPU), [-1, 1, 1, 1]);
    }

    #[test]
    fn a_slow_cpu_does_less() {
        let mut control = Control::default();
        let rates = [100, 200, 100, 200, 300, 200, 300, 300];
        assert_eq!(levels(&mut control, &rates, CPU), [-1, 1, -1, -5, -1, -5, -5, -5]);
        assert_eq!(look(&mut control, 500, LINK), -1);
    }

    /// Text through a CPU that takes 1.6 times the time for each step, and a link; many streams wait for it,
    /// whatever holds them up. The rates of the last half of `looks`, and the level at which most were.
    fn steady(cpu: f64, link: f64, looks: u64) -> (f64, i32) {
        let ratios = [0.45, 0.35, 0.30, 0.26, 0.25, 0.245, 0.24];
        let (mut control, mut seed) = (Control::default(), 7_u64);
        let (mut sum, mut visits) = (0.0, [0; STEPS.len()]);
        for at in 0..looks {
            let step = control.at;
            seed = seed.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            let noise = 1.0 + ((seed >> 40) as f64 / (1 << 23) as f64 - 1.0) * 0.05;
            // A way that is new takes a few looks to be filled.
            let ramp = ((at + 1) as f64 / 6.0).min(1.0);
            let rate = (cpu / f64::powi(1.6, step as i32)).min(link / ratios[step]) * noise * ramp;
            control.look(Window { rate: rate as u64, encode_us: 1_000, link_us: 8_000 });
            if at >= looks / 2 {
                sum += rate;
                visits[step] += 1;
            }
        }
        let most = (0..STEPS.len()).max_by_key(|step| visits[*step]).unwrap();
        (sum / (looks / 2) as f64, STEPS[most])
    }

    #[test]
    fn what_waits_of_many_streams_does_not_make_a_slow_cpu_do_more() {
        // At level 1 the CPU lets pass 1,000 of what then are 300 on the link.
        for cpu in [1_000.0 * 2.56, 500.0 * 2.56] {
            let (rate, level) = steady(cpu, 10_000.0, 400);
            assert!(level == -5 && rate > 0.9 * cpu, "{level}: {rate}");
        }
        // A link of 100 that a fast CPU fills at any level: the hardest is the best.
        let (rate, level) = steady(100_000.0, 100.0, 400);
        assert!(level >= 3 && rate > 0.9 * 100.0 / 0.26, "{level}: {rate}");
        // In between, where at level 1 both are as fast.
        let (rate, level) = steady(1_000.0 * 2.56, 300.0, 400);
        assert!(level == 1 && rate > 900.0, "{level}: {rate}");
    }

    #[test]
    fn where_both_are_busy_or_nothing_moves_all_stays() {
        let mut control = Control::default();
        for (rate, times) in [(100, BOTH), (0, LINK), (0, CPU), (50, BOTH)] {
            assert_eq!(look(&mut control, rate, times), 1);
        }
        assert_eq!(look(&mut control, 100, LINK), 3);
        // A window in which nothing moved says nothing about a trial.
        assert_eq!(look(&mut control, 0, LINK), 3);
        assert_eq!(levels(&mut control, &[150, 100, 150], BOTH), [1, 3, 3]);
    }

    #[test]
    fn the_hardest_step_is_the_last() {
        let mut control = Control::default();
        let levels = (0..100).map(|_| {
            let rate = 100 << control.at;
            look(&mut control, rate, LINK)
        });
        assert_eq!(levels.max(), Some(9));
    }
}
