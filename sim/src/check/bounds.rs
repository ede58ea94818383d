//! Bounds: what a node holds does not grow with what goes wrong.

use airlift_protocol::limits::HELD_MAX;

use super::{Found, broken};

/// Writes that may wait for a disk.
const WRITES_MAX: usize = 1_000;

/// Looks at what a node holds.
pub(crate) fn look(place: usize, writes: usize, attempts: usize) -> Found {
    if writes > WRITES_MAX || attempts > HELD_MAX {
        let text = format!("n{place} holds {writes} writes and {attempts} attempts");
        return broken("what a node holds is bounded", text, vec![]);
    }
    Ok(())
}
