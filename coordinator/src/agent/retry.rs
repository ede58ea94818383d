//! The one place that decides on retries.

use airlift_protocol::assignment::Work;
use airlift_protocol::error::{Class, ErrorCode, Failure, Scope};
use airlift_protocol::limits::{ATTEMPTS_MAX, CORRUPT_ATTEMPTS_MAX, ROUTE_ATTEMPTS_MAX};

/// What to do after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Answer with what there is.
    GiveUp,
    /// Try again after this many milliseconds.
    Again {
        /// The pause.
        after_ms: u64,
    },
}

/// First pause before a retry, in milliseconds; doubled each time.
const PAUSE_MS: u64 = 200;

/// First pause after being asked to slow down.
const THROTTLED_PAUSE_MS: u64 = 1_000;

/// Longest pause.
const PAUSE_MS_MAX: u64 = 30_000;

/// The retries of one order.
#[derive(Clone, Debug)]
pub struct Retry {
    seed: u64,
    failures: u32,
    corrupt: u32,
}

impl Retry {
    /// No failure yet. `seed` decides the jitter.
    pub fn new(seed: u64) -> Self {
        Self { seed, failures: 0, corrupt: 0 }
    }

    /// Counts a failure and decides: transient errors are tried again after a pause that doubles,
    /// with jitter; corrupt bytes are read again at once, a few times; all else is final.
    pub fn decide(&mut self, failure: &Failure) -> Decision {
        self.failures += 1;
        match failure.code.class() {
            Class::Permanent | Class::Bug => Decision::GiveUp,
            Class::Corrupt => {
                self.corrupt += 1;
                match self.corrupt < CORRUPT_ATTEMPTS_MAX {
                    true => Decision::Again { after_ms: 0 },
                    false => Decision::GiveUp,
                }
            }
            // Another node may have a way there: the work is better given back.
            Class::Transient
                if failure.code.scope() == Scope::Route && self.failures >= ROUTE_ATTEMPTS_MAX =>
            {
                Decision::GiveUp
            }
            Class::Transient => self.again(PAUSE_MS),
            Class::Throttled => self.again(THROTTLED_PAUSE_MS),
        }
    }

    fn again(&mut self, first_ms: u64) -> Decision {
        if self.failures >= ATTEMPTS_MAX {
            return Decision::GiveUp;
        }
        let doublings = (self.failures - 1).min(16);
        let pause = (first_ms << doublings).min(PAUSE_MS_MAX);
        Decision::Again { after_ms: pause / 2 + self.jitter(pause / 2) }
    }

    /// A number up to `max_ms` from the seed and the count of failures (SplitMix64).
    fn jitter(&self, max_ms: u64) -> u64 {
        let mut z =
            self.seed.wrapping_add(u64::from(self.failures).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % (max_ms + 1)
    }
}

/// Whether `work` came to its end with `failure` although another attempt at other work would be worth it: what
/// was found at the target in place of an object is gone by then, with the upload that it was made of.
pub(super) fn is_verdict(work: &Work, failure: &Failure) -> bool {
    let proves = matches!(work, Work::Commit { .. } | Work::ReadBack { .. });
    proves && failure.code == ErrorCode::CorruptTarget
}

/// Whether another attempt may end differently.
pub(super) fn is_worth_another(failure: &Failure) -> bool {
    matches!(failure.code.class(), Class::Transient | Class::Throttled | Class::Corrupt)
}

#[cfg(test)]
mod tests {
    use airlift_protocol::assignment::Object;
    use airlift_protocol::chunk::Root;
    use airlift_protocol::id::{PageId, Position};
    use airlift_protocol::key::Key;
    use airlift_protocol::manifest::{Entry, Kind, Version};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn permanent_failures_are_final() {
        let failure = Failure::new(ErrorCode::NotFound, "");
        assert_eq!(Retry::new(1).decide(&failure), Decision::GiveUp);
    }

    #[test]
    fn corrupt_bytes_are_read_again_at_once_a_few_times() {
        let failure = Failure::new(ErrorCode::CorruptChunk, "");
        let mut retry = Retry::new(1);
        for _ in 1..CORRUPT_ATTEMPTS_MAX {
            assert_eq!(retry.decide(&failure), Decision::Again { after_ms: 0 });
        }
        assert_eq!(retry.decide(&failure), Decision::GiveUp);
    }

    #[test]
    fn what_was_found_at_the_target_in_place_of_an_object_is_a_verdict() {
        let entry = Entry {
            key: Key::from("a"),
            kind: Kind::Object,
            size: 1,
            mtime_ns: None,
            version: Version::None,
            is_archived: false,
        };
        let object = Object { position: Position { page: PageId(0), index: 0 }, entry };
        let read_back = Work::ReadBack { object: object.clone(), root: Root([0; 32]) };
        let other_bytes = Failure::new(ErrorCode::CorruptTarget, "");
        assert!(is_verdict(&read_back, &other_bytes));
        assert!(!is_verdict(&read_back, &Failure::new(ErrorCode::Unavailable, "")));
        // What is small is written anew.
        assert!(!is_verdict(&Work::MovePack { objects: vec![object] }, &other_bytes));
    }

    proptest! {
        #[test]
        fn retries_end_and_pauses_are_bounded(seed: u64, throttled: bool) {
            let code = if throttled { ErrorCode::Throttled } else { ErrorCode::Unavailable };
            let failure = Failure::new(code, "");
            let mut retry = Retry::new(seed);
            let mut attempts = 1;
            while let Decision::Again { after_ms } = retry.decide(&failure) {
                prop_assert!((1..=PAUSE_MS_MAX).contains(&after_ms));
                attempts += 1;
            }
            prop_assert_eq!(attempts, ATTEMPTS_MAX);
        }
    }
}
