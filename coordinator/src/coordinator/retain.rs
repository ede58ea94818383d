//! Has jobs forgotten that are not to be kept any more: the leader looks from time to time, by its clock.

use airlift_protocol::time::Timestamp;

use super::Coordinator;
use crate::command::Command;
use crate::state::due;

/// Milliseconds between two looks.
const LOOK_MS: u64 = 10_000;

impl Coordinator {
    /// Proposes that what is due goes.
    pub(super) fn retain(&mut self, now: Timestamp, at: Timestamp) {
        if now < self.next_look {
            return;
        }
        self.next_look = now.plus(LOOK_MS);
        if !due(&self.state, at).is_empty() {
            self.log.propose(Command::Forget { at }, None);
        }
    }
}
