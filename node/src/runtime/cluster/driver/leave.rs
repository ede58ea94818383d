//! How a node ends when it is told to: a leader hands over the lead first, so that the others need
//! not wait until they miss it.

use std::collections::BTreeSet;
use std::time::Duration;

use airlift_coordinator::consensus::{Role, TransferError};
use airlift_protocol::raft::RaftId;
use tokio::time::Instant;

use super::Driver;
use crate::runtime::clock;

/// Time for the lead to be taken over. After it the node ends anyway, and the others elect.
const HAND_OVER_MAX: Duration = Duration::from_secs(2);

/// Time for one voter to take it; then another is asked.
const TRY_MAX: Duration = Duration::from_millis(700);

/// A node that is to end.
#[derive(Debug)]
pub(super) struct Leaving {
    until: Instant,
    next: Instant,
    tried: BTreeSet<RaftId>,
}

impl Driver {
    /// Ends the node as soon as it may.
    pub(super) fn leave(&mut self) {
        let now = clock::now();
        self.leaving =
            Some(Leaving { until: now + HAND_OVER_MAX, next: now, tried: BTreeSet::new() });
    }

    /// Whether the node is to end, and nothing is left to hand over.
    pub(super) fn may_end(&mut self) -> bool {
        let Some(leaving) = &mut self.leaving else { return false };
        let coordinator = self.parts.coordinator.as_mut();
        let Some((coordinator, status)) = coordinator.and_then(|coordinator| {
            let status = coordinator.consensus().map(|consensus| consensus.status())?;
            Some((coordinator, status))
        }) else {
            return true;
        };
        let now = clock::now();
        match status.role {
            _ if now >= leaving.until => {
                tracing::warn!("no other voter has taken over the lead in time");
                true
            }
            Role::Leader if now < leaving.next => false,
            Role::Leader => {
                leaving.next = now + TRY_MAX;
                let is_alone = match coordinator.hand_over(&leaving.tried) {
                    Ok(to) => !leaving.tried.insert(to),
                    Err(TransferError::Nobody) => leaving.tried.is_empty(),
                    Err(error) => {
                        tracing::debug!(%error, "the lead cannot be handed over yet");
                        false
                    }
                };
                self.drain();
                is_alone
            }
            // Its vote, and what it knows, may be needed until another leads.
            Role::Follower | Role::PreCandidate | Role::Candidate => {
                leaving.tried.is_empty() || status.leader.is_some()
            }
        }
    }
}
