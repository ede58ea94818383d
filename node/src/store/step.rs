//! What becomes of times at a place that keeps them in steps.

/// Nanoseconds of the steps that file systems and protocols keep times in: the finest first.
const STEPS_NS: [i64; 7] = [1, 100, 1_000, 1_000_000, 10_000_000, 1_000_000_000, 2_000_000_000];

/// Times by which the steps are told apart, when they are set and read back: late in an even second and
/// early in an odd one, and no two digits of a fraction are the same.
pub(super) const TRIED_NS: [i64; 2] = [1_600_000_002_987_654_321, 1_600_000_005_123_456_789];

/// The steps in which a place keeps times of last modification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MtimeStep {
    ns: i64,
    rounding: Rounding,
}

/// What becomes of a time between two steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rounding {
    Down,
    Up,
    Nearest,
}

impl MtimeStep {
    /// Every nanosecond is kept.
    pub const EXACT: Self = Self::down(1);

    /// Steps of `ns` nanoseconds, of which a time becomes the last one before it.
    pub const fn down(ns: i64) -> Self {
        Self { ns, rounding: Rounding::Down }
    }

    /// The finest steps that make of each time that was set the one that was read back: pairs of both.
    /// `None` when there are none.
    pub(super) fn derived(seen: &[(i64, i64)]) -> Option<Self> {
        let roundings = [Rounding::Down, Rounding::Up, Rounding::Nearest];
        STEPS_NS
            .into_iter()
            .flat_map(|ns| roundings.map(|rounding| Self { ns, rounding }))
            .find(|step| seen.iter().all(|&(set, read)| step.kept(set) == read))
    }

    /// The time that is kept of `time_ns`.
    pub fn kept(self, time_ns: i64) -> i64 {
        self.steps(time_ns).saturating_mul(self.ns)
    }

    /// Whether two times are one there.
    pub fn is_same(self, one_ns: i64, other_ns: i64) -> bool {
        self.steps(one_ns) == self.steps(other_ns)
    }

    /// Steps from the epoch to what is kept of `time_ns`.
    fn steps(self, time_ns: i64) -> i64 {
        let (before, rest) = (time_ns.div_euclid(self.ns), time_ns.rem_euclid(self.ns));
        let is_later = match self.rounding {
            Rounding::Down => false,
            Rounding::Up => rest > 0,
            Rounding::Nearest => rest >= self.ns - rest,
        };
        before + i64::from(is_later)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND_NS: i64 = 1_000_000_000;

    #[test]
    fn times_are_told_apart_as_far_as_steps_go() {
        assert!(MtimeStep::EXACT.is_same(5, 5) && !MtimeStep::EXACT.is_same(5, 6));
        let second = MtimeStep::down(SECOND_NS);
        assert!(second.is_same(3 * SECOND_NS + 7, 3 * SECOND_NS));
        assert!(!second.is_same(4 * SECOND_NS, 3 * SECOND_NS));
        assert!(second.is_same(-1, -SECOND_NS));
        let up = MtimeStep { ns: 2 * SECOND_NS, rounding: Rounding::Up };
        assert!(up.is_same(2 * SECOND_NS + 1, 4 * SECOND_NS) && !up.is_same(1, 4 * SECOND_NS));
        let nearest = MtimeStep { ns: SECOND_NS, rounding: Rounding::Nearest };
        assert_eq!(nearest.kept(SECOND_NS / 2 - 1), 0);
        assert_eq!(nearest.kept(SECOND_NS / 2), SECOND_NS);
        for step in [MtimeStep::EXACT, second, up, nearest] {
            for time in [i64::MIN, i64::MIN + 1, 0, i64::MAX - 1, i64::MAX] {
                assert!(step.is_same(time, time), "no time is too large");
            }
        }
    }

    #[test]
    fn every_step_is_known_by_what_it_makes_of_the_tried_times() {
        for ns in STEPS_NS {
            for rounding in [Rounding::Down, Rounding::Up, Rounding::Nearest] {
                let step = MtimeStep { ns, rounding };
                let seen = TRIED_NS.map(|time| (time, step.kept(time)));
                let expected = if ns == 1 { MtimeStep::EXACT } else { step };
                assert_eq!(MtimeStep::derived(&seen), Some(expected));
            }
        }
    }

    #[test]
    fn what_no_step_explains_is_none() {
        let now = 1_700_000_000 * SECOND_NS;
        assert_eq!(MtimeStep::derived(&TRIED_NS.map(|time| (time, now))), None);
        let [first, second] = TRIED_NS;
        let hour = 3600 * SECOND_NS;
        assert_eq!(MtimeStep::derived(&[(first, first), (second, second + hour)]), None);
    }
}
