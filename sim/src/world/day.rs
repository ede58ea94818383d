//! Lives of many hours: jobs are run again and again from sources that change meanwhile, and what
//! nodes hold is looked at from time to time.

use airlift_protocol::codec;
use airlift_protocol::id::JobId;
use airlift_protocol::key::Key;

use super::operator::Intent;
use super::{Ahead, World};

/// Milliseconds between two looks at what nodes hold.
const LOOK_MS: u64 = 60_000;

/// Keys that a source that changes may have: so many objects come to be, at most.
const KEYS: u64 = 400;

/// Objects that come, change or go from one run to the next, at most.
const CHANGES: u64 = 24;

impl World {
    /// The first look, when things begin to go wrong.
    pub(crate) fn begin_looks(&mut self) {
        if self.options.again_ms.is_some() {
            self.queue.push(self.now + LOOK_MS, Ahead::Look);
        }
    }

    /// A job that is over is wanted again after a while, with another source.
    pub(crate) fn run_again(&mut self, job: JobId) -> Option<(u64, Intent)> {
        let again_ms = self.options.again_ms.filter(|_| !self.is_calm())?;
        for _ in 0..self.faults.below(CHANGES) {
            let key = Key::from(format!("{:05x}", self.faults.below(KEYS)).as_str());
            let (goes, size) = (self.faults.chance(300), self.faults.below(1 << 20));
            let stores = self.stores_mut(job);
            match goes {
                true => drop(stores.source.remove(&key)),
                false => stores.put_source(key, size),
            }
        }
        let after = 1 + self.faults.below(2 * again_ms);
        Some((self.now + after, Intent::Submit(job)))
    }

    /// Takes note of what nodes hold.
    pub(crate) fn look(&mut self) {
        let mut held = Vec::new();
        for node in self.nodes.iter().filter(|node| !node.is_gone) {
            let Some(process) = &node.process else { continue };
            held.extend([
                ("writes that wait", process.writes.len() as u64),
                ("attempts", process.attempts.len() as u64),
                ("jobs with bytes written", process.written.len() as u64),
            ]);
            if let Some(coordinator) = &process.coordinator {
                let state = coordinator.state();
                let size = codec::encode(state).len() - codec::encode(&state.audit).len();
                held.extend([
                    // The audit log is to grow, up to a bound of its own.
                    ("bytes of state beside the audit log", size as u64),
                    ("entries of the log", node.disk.log.entries.len() as u64),
                    ("pages on disk", node.disk.pages.len() as u64),
                    ("states on disk", node.disk.states.len() as u64),
                ]);
            }
        }
        self.check.growth.look(held);
        if !self.is_calm() {
            self.queue.push(self.now + LOOK_MS, Ahead::Look);
        }
    }
}
