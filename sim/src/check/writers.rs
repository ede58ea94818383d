//! Single writer: what was given up because its node was silent for as long as a lease lasts, or is no
//! member any more, that node makes visible no more.

use std::collections::BTreeSet;

use airlift_coordinator::command::Command;
use airlift_coordinator::state::State;
use airlift_protocol::id::AssignmentId;

use super::{Found, broken};

/// Orders whose leases ended without a word of their nodes.
#[derive(Debug, Default)]
pub(crate) struct Writers {
    voided: BTreeSet<AssignmentId>,
    /// Orders that may be given up by the command that is looked at.
    given_up: Vec<AssignmentId>,
}

impl Writers {
    /// Looks at a command before it is applied.
    pub(crate) fn before(&mut self, command: &Command, state: &State) {
        let (Command::VoidLeases { node } | Command::RemoveMember { node }) = command else {
            return;
        };
        let running = state.jobs.values().filter(|job| job.is_running());
        let leases = running.flat_map(|job| job.leases.iter());
        let held = leases.filter(|(_, lease)| lease.node == *node).map(|(id, _)| id);
        let held: Vec<AssignmentId> = held.collect();
        self.given_up = held.into_iter().filter(|id| !self.voided.contains(id)).collect();
    }

    /// Looks at the state after that command was applied.
    pub(crate) fn after(&mut self, state: &State) {
        for id in std::mem::take(&mut self.given_up) {
            if !state.jobs.values().any(|job| job.leases.get(id).is_some()) {
                self.voided.insert(id);
            }
        }
    }

    /// A change takes effect at the target.
    pub(crate) fn on_landing(&self, place: usize, id: AssignmentId) -> Found {
        if !self.voided.contains(&id) {
            return Ok(());
        }
        let text = format!("n{place} changes the target for order {}, which was given up", id.0);
        broken("single writer", text, vec![format!(" {} ", id.0), format!(" {}:", id.0)])
    }
}
