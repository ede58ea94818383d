//! State machine safety: replicas that have applied the same entries have the same state, and a
//! snapshot with the entries after it gives the same as all entries from the first.

use std::collections::BTreeMap;

use airlift_coordinator::Coordinator;
use airlift_coordinator::state::State;
use airlift_protocol::codec;

use super::{Found, broken};

/// Encoding a state costs more than all else: it is done where the index is a multiple of this.
const EVERY: u64 = 16;

/// States of the reference.
#[derive(Debug, Default)]
pub(crate) struct Replicas {
    /// Digests of the reference, by the last entry applied.
    digests: BTreeMap<u64, blake3::Hash>,
    /// The entry as of which each voter was compared last.
    seen: BTreeMap<usize, u64>,
    pub(crate) compared: u64,
}

impl Replicas {
    /// Compares a voter with the reference, where it is at an entry at which this is done.
    pub(crate) fn compare(
        &mut self,
        place: usize,
        coordinator: &Coordinator,
        reference: &State,
        applied: u64,
    ) -> Found {
        let index = coordinator.consensus().map_or(0, |consensus| consensus.applied().index.0);
        if !index.is_multiple_of(EVERY) || self.seen.get(&place) == Some(&index) {
            return Ok(());
        }
        self.seen.insert(place, index);
        self.compare_now(place, coordinator, reference, applied)
    }

    /// Compares a voter wherever it is, if the reference was there.
    pub(crate) fn compare_now(
        &mut self,
        place: usize,
        coordinator: &Coordinator,
        reference: &State,
        applied: u64,
    ) -> Found {
        let index = coordinator.consensus().map_or(0, |consensus| consensus.applied().index.0);
        if index == applied && !self.digests.contains_key(&index) {
            self.digests.insert(index, blake3::hash(&codec::encode(reference)));
        }
        let Some(expected) = self.digests.get(&index) else { return Ok(()) };
        self.compared += 1;
        if blake3::hash(&coordinator.snapshot_bytes()) == *expected {
            return Ok(());
        }
        let text = format!("n{place} has another state after entry {index} than the log gives");
        broken("replicas are equal", text, vec![])
    }
}
