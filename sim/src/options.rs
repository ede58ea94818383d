//! What a seed decides before the life begins. Swarm style: some faults are off altogether in some
//! lives, so that the others can show what they do alone.

use airlift_protocol::job::Mode;

use crate::prng::Prng;

/// The kind of life.
#[derive(Clone, Debug)]
pub struct Options {
    /// Copy or sync.
    pub mode: Mode,
    /// Objects at the source.
    pub objects: u64,
    /// Objects at the target before the job.
    pub objects_before: u64,
    /// Entries of a page, at most.
    pub page_entries: u64,
    /// Assignments at once.
    pub slots: usize,
    /// Attempts that fail and may be tried again, in a thousand.
    pub transient: u64,
    /// Objects of an attempt that fail for good, in a thousand.
    pub permanent: u64,
    /// Reads that find the source changed, in a thousand.
    pub source_changes: u64,
    /// Kills of the process in a life, at most.
    pub kills: u64,
    /// Milliseconds of an attempt, at most.
    pub latency_ms: u64,
    /// Milliseconds of a durable write, at most.
    pub fsync_ms: u64,
    /// Whether the process freezes once for longer than a lease.
    pub freezes: bool,
}

impl Options {
    /// The options of `seed`.
    pub fn of(seed: u64) -> Self {
        let mut prng = Prng::new(seed).split("options");
        let mut swarm = |most: u64| if prng.chance(400) { 0 } else { prng.below(most + 1) };
        Self {
            objects: swarm(400),
            objects_before: swarm(60),
            page_entries: 1 + swarm(90),
            slots: 1 + swarm(7) as usize,
            transient: swarm(200),
            permanent: swarm(30),
            source_changes: swarm(60),
            kills: swarm(5),
            latency_ms: 1 + swarm(4000),
            fsync_ms: 1 + swarm(60),
            freezes: swarm(1) == 1,
            mode: if swarm(1) == 1 { Mode::Sync } else { Mode::Copy },
        }
    }
}
