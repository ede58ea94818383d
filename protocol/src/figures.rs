//! What a node measures of its work on a job: where the bytes went, and where the time.
//!
//! All numbers grow from the start of the node's process on; who wants a rate compares two of them.
//!
//! Append only: fields are added at the end, never moved.

use std::ops::{Index, IndexMut};

use serde::{Deserialize, Serialize};

use crate::assignment::End;
use crate::id::JobId;

/// A stage of the pipeline, or what holds it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The source's store is read.
    Source,
    /// The CPU hashes and compresses what was read.
    Encode,
    /// Bytes cross to another node.
    Link,
    /// The CPU decompresses and verifies what arrived.
    Decode,
    /// The target's store writes, or is asked.
    Target,
    /// The job's bandwidth is held to its limit.
    Limit,
    /// Bytes wait for their share of memory.
    Memory,
}

impl Stage {
    /// All stages, in the order of [`Figures`].
    pub const ALL: [Self; 7] = [
        Self::Source,
        Self::Encode,
        Self::Link,
        Self::Decode,
        Self::Target,
        Self::Limit,
        Self::Memory,
    ];
}

/// What one stage did. Times are sums over all that was in the stage at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageFigures {
    /// Bytes that went through: plaintext, on the link as they crossed.
    pub bytes: u64,
    /// Microseconds at work: what comes next in the pipeline waited, or could have.
    pub busy_us: u64,
    /// Microseconds at rest because of others: nothing came, nobody took what was ready, or a bound
    /// held it back.
    pub wait_us: u64,
}

impl StageFigures {
    fn map(self, other: Self, combine: fn(u64, u64) -> u64) -> Self {
        Self {
            bytes: combine(self.bytes, other.bytes),
            busy_us: combine(self.busy_us, other.busy_us),
            wait_us: combine(self.wait_us, other.wait_us),
        }
    }
}

/// What all stages of a pipeline did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures([StageFigures; Stage::ALL.len()]);

impl Figures {
    /// What was done since `earlier`.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        self.map(earlier, u64::saturating_sub)
    }

    /// Microseconds in which requests to the store of `end` waited because it had asked for fewer,
    /// however many waited at once.
    ///
    /// They have the places of what no stage counts, so that the encoding is what it always was: a hasher
    /// does not say that it rests, and a limit does not work.
    pub fn spared_us(&self, end: End) -> u64 {
        match end {
            End::Source => self[Stage::Encode].wait_us,
            End::Target => self[Stage::Limit].busy_us,
        }
    }

    /// Adds to [`spared_us`](Self::spared_us).
    pub fn spare(&mut self, end: End, us: u64) {
        let sum = match end {
            End::Source => &mut self[Stage::Encode].wait_us,
            End::Target => &mut self[Stage::Limit].busy_us,
        };
        *sum = sum.saturating_add(us);
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        self.map(other, u64::saturating_add)
    }

    fn map(self, other: Self, combine: fn(u64, u64) -> u64) -> Self {
        let mut combined = self;
        for stage in Stage::ALL {
            combined[stage] = self[stage].map(other[stage], combine);
        }
        combined
    }
}

impl Index<Stage> for Figures {
    type Output = StageFigures;

    fn index(&self, stage: Stage) -> &StageFigures {
        &self.0[stage as usize]
    }
}

impl IndexMut<Stage> for Figures {
    fn index_mut(&mut self, stage: Stage) -> &mut StageFigures {
        &mut self.0[stage as usize]
    }
}

/// A node's work on one job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobFigures {
    /// Which job.
    pub job: JobId,
    /// Microseconds during which an order was carried out, or more than one; listings aside.
    pub active_us: u64,
    /// Orders carried out to their end; listings aside.
    pub orders: u64,
    /// What it moved itself.
    pub moving: Figures,
    /// What it read for other nodes.
    pub serving: Figures,
}

impl JobFigures {
    /// What was done since `earlier`.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            job: self.job,
            active_us: self.active_us.saturating_sub(earlier.active_us),
            orders: self.orders.saturating_sub(earlier.orders),
            moving: self.moving.since(earlier.moving),
            serving: self.serving.since(earlier.serving),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec;

    #[test]
    fn stages_have_their_place() {
        let mut figures = Figures::default();
        for (place, stage) in (1..).zip(Stage::ALL) {
            figures[stage].bytes = place;
        }
        assert_eq!(figures.0.map(|stage| stage.bytes), [1, 2, 3, 4, 5, 6, 7]);
    }

    #[test]
    fn differences_and_sums_end_at_their_bounds() {
        let mut one = Figures::default();
        one[Stage::Link] = StageFigures { bytes: 5, busy_us: u64::MAX, wait_us: 1 };
        let mut two = Figures::default();
        two[Stage::Link] = StageFigures { bytes: 7, busy_us: 1, wait_us: 1 };
        let sum = one.plus(two)[Stage::Link];
        assert_eq!(sum, StageFigures { bytes: 12, busy_us: u64::MAX, wait_us: 2 });
        let difference = one.since(two)[Stage::Link];
        assert_eq!(difference, StageFigures { bytes: 0, busy_us: u64::MAX - 1, wait_us: 0 });
    }

    #[test]
    fn figures_have_the_bytes_they_always_had() {
        let mut moving = Figures::default();
        moving[Stage::Source] = StageFigures { bytes: 1, busy_us: 2, wait_us: 300 };
        let mut serving = Figures::default();
        serving[Stage::Memory].wait_us = 4;
        let job = JobFigures { job: JobId([9; 16]), active_us: 5, orders: 6, moving, serving };
        let mut golden = vec![9; 16]; // job
        golden.extend_from_slice(&[5, 6, 1, 2, 251, 44, 1]); // active, orders, source
        golden.extend_from_slice(&[0; 6 * 3 + 6 * 3 + 2]); // the other stages
        golden.push(4); // serving: memory, wait
        assert_eq!(codec::encode(&job), golden);
        assert_eq!(codec::decode::<JobFigures>(&golden, 128).unwrap(), job);
    }
}
