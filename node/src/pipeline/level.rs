//! How hard a link compresses, found out while it is used.
//!
//! Where bytes wait for the link, the CPU has time to make them fewer; where they wait for the CPU, it
//! should do less. Which of the two it is the meter says, but not why: a link is also slow when the
//! target is. So each step is a trial: it stays only if more plaintext passes than before.

use std::time::Duration;

/// Levels of zstd, from the cheapest on. Less than the first is not done: what crosses may cost money.
/// Each of the others takes about twice the time of the one before, and spares less and less.
const STEPS: [i32; 7] = [-5, -1, 1, 3, 5, 7, 9];

/// Where it begins: level 1 keeps up with most networks.
const FIRST: usize = 2;

/// Time between two looks.
pub const WINDOW: Duration = Duration::from_millis(500);

/// So many times as long as for the one, bytes wait for the other, to be worth a step.
const RATIO: u64 = 2;

/// Of the rate before, what a step must bring in hundredths to stay.
const GAIN_PERCENT: u64 = 103;

/// Looks without a step after one that brought nothing.
const PAUSE: u32 = 20;

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
struct Trial {
    from: usize,
    rate: u64,
}

/// Decides on the level.
#[derive(Clone, Copy, Debug)]
pub struct Control {
    at: usize,
    trial: Option<Trial>,
    pause: u32,
}

impl Default for Control {
    fn default() -> Self {
        Self { at: FIRST, trial: None, pause: 0 }
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
        if let Some(Trial { from, rate }) = self.trial.take()
            && window.rate.saturating_mul(100) < rate.saturating_mul(GAIN_PERCENT)
        {
            self.at = from;
            self.pause = PAUSE;
            return;
        }
        if self.pause > 0 {
            self.pause -= 1;
            return;
        }
        let Window { rate, encode_us, link_us } = window;
        let next = if link_us > encode_us.saturating_mul(RATIO) {
            (self.at + 1).min(STEPS.len() - 1)
        } else if encode_us > link_us.saturating_mul(RATIO) {
            self.at.saturating_sub(1)
        } else {
            self.at
        };
        if next != self.at {
            self.trial = Some(Trial { from: self.at, rate });
            self.at = next;
        }
    }
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

    #[test]
    fn a_slow_link_is_relieved_as_long_as_that_helps() {
        let mut control = Control::default();
        assert_eq!(look(&mut control, 100, LINK), 3);
        assert_eq!(look(&mut control, 120, LINK), 5);
        // Hardly more passes: the step is taken back, and not tried again soon.
        assert_eq!(look(&mut control, 122, LINK), 3);
        for _ in 0..PAUSE {
            assert_eq!(look(&mut control, 120, LINK), 3);
        }
        assert_eq!(look(&mut control, 120, LINK), 5);
    }

    #[test]
    fn a_slow_cpu_does_less() {
        let mut control = Control::default();
        let levels = [100, 200, 300, 400].map(|rate| look(&mut control, rate, CPU));
        assert_eq!(levels, [-1, -5, -5, -5]);
        assert_eq!(look(&mut control, 500, LINK), -1);
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
        assert_eq!(look(&mut control, 150, BOTH), 3);
    }

    #[test]
    fn the_hardest_step_is_the_last() {
        let mut control = Control::default();
        for rate in 1..20 {
            look(&mut control, rate * 100, LINK);
        }
        assert_eq!(control.level(), 9);
    }
}
