//! Ways that failed are left alone for a while, which grows with each failure and is bounded.

use std::collections::BTreeMap;

use airlift_protocol::id::{JobId, NodeId};
use airlift_protocol::time::Timestamp;

/// A way by which work may be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Way {
    /// By this node, whatever the work.
    Node(NodeId),
    /// By the first node, which has the second one read the source.
    Link(NodeId, NodeId),
    /// By this node, work of this job: it was much slower at it than others.
    Job(NodeId, JobId),
}

impl Way {
    fn concerns(self, node: NodeId) -> bool {
        match self {
            Self::Node(by) | Self::Job(by, _) => by == node,
            Self::Link(by, source) => by == node || source == node,
        }
    }

    /// First and longest pause, in milliseconds.
    fn pauses_ms(self) -> (u64, u64) {
        match self {
            Self::Node(_) | Self::Link(..) => (1_000, 30_000),
            Self::Job(..) => (15_000, 240_000),
        }
    }
}

/// Milliseconds after the end of a pause when the failures before it are forgotten.
const MEMORY_MS: u64 = 300_000;

/// Ways that are remembered at most.
const WAYS_MAX: usize = 4096;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pause {
    failures: u32,
    until: Timestamp,
}

/// The ways that failed lately.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct BackOff {
    ways: BTreeMap<Way, Pause>,
}

impl BackOff {
    /// Counts a failure. What had begun before the pause and fails in it does not count again.
    pub(crate) fn fail(&mut self, now: Timestamp, way: Way) {
        self.ways.retain(|_, pause| now.since(pause.until) <= MEMORY_MS);
        if self.is_paused(now, way) {
            return;
        }
        let earlier = self.ways.remove(&way).map_or(0, |pause| pause.failures);
        if self.ways.len() >= WAYS_MAX {
            self.ways.pop_first();
        }
        let (first, longest) = way.pauses_ms();
        let pause = (first << earlier.min(16)).min(longest);
        let failures = earlier.saturating_add(1);
        self.ways.insert(way, Pause { failures, until: now.plus(pause) });
    }

    /// The way is good again.
    pub(crate) fn succeed(&mut self, way: Way) {
        self.ways.remove(&way);
    }

    /// A node has started anew: what failed before says nothing about it.
    pub(crate) fn forgive(&mut self, node: NodeId) {
        self.ways.retain(|way, _| !way.concerns(node));
    }

    /// Whether the way is to be left alone now.
    pub(crate) fn is_paused(&self, now: Timestamp, way: Way) -> bool {
        self.ways.get(&way).is_some_and(|pause| now < pause.until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: NodeId = NodeId([1; 32]);
    const B: NodeId = NodeId([2; 32]);
    const JOB: JobId = JobId([3; 16]);

    /// For how long a way is left alone that fails again at the end of each pause.
    fn pauses(way: Way, count: usize) -> Vec<u64> {
        let (mut backoff, mut now) = (BackOff::default(), Timestamp(7));
        let mut pause = || {
            assert!(!backoff.is_paused(now, way));
            backoff.fail(now, way);
            let begun = now;
            while backoff.is_paused(now, way) {
                now = now.plus(500);
            }
            now.since(begun)
        };
        (0..count).map(|_| pause()).collect()
    }

    #[test]
    fn pauses_grow_and_are_bounded() {
        let short = [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000];
        assert_eq!(pauses(Way::Node(A), 7), short);
        assert_eq!(pauses(Way::Link(A, B), 7), short);
        let long = [15_000, 30_000, 60_000, 120_000, 240_000, 240_000];
        assert_eq!(pauses(Way::Job(A, JOB), 6), long);
    }

    #[test]
    fn many_failures_at_once_are_one() {
        let mut backoff = BackOff::default();
        (0..9).for_each(|_| backoff.fail(Timestamp(0), Way::Node(A)));
        assert!(backoff.is_paused(Timestamp(999), Way::Node(A)));
        assert!(!backoff.is_paused(Timestamp(1_000), Way::Node(A)));
    }

    #[test]
    fn a_way_recovers_by_success_by_a_new_start_and_by_time() {
        let recover: [fn(&mut BackOff); 3] = [
            |backoff| backoff.succeed(Way::Link(A, B)),
            |backoff| backoff.forgive(B),
            |backoff| backoff.fail(Timestamp(2_000 + MEMORY_MS), Way::Node(A)),
        ];
        for recover in recover {
            let mut backoff = BackOff::default();
            backoff.fail(Timestamp(0), Way::Link(A, B));
            recover(&mut backoff);
            let later = Timestamp(3_000 + MEMORY_MS);
            backoff.fail(later, Way::Link(A, B));
            assert!(
                !backoff.is_paused(later.plus(1_000), Way::Link(A, B)),
                "the first pause again"
            );
        }
    }

    #[test]
    fn other_ways_stay_open_and_memory_is_bounded() {
        let mut backoff = BackOff::default();
        backoff.fail(Timestamp(0), Way::Link(A, B));
        for way in [Way::Node(A), Way::Node(B), Way::Link(B, A), Way::Job(A, JOB)] {
            assert!(!backoff.is_paused(Timestamp(1), way));
        }
        for number in 0..2 * WAYS_MAX as u64 {
            let mut id = [0; 32];
            id[..8].copy_from_slice(&number.to_le_bytes());
            backoff.fail(Timestamp(1), Way::Node(NodeId(id)));
        }
        assert!(backoff.ways.len() <= WAYS_MAX);
    }
}
