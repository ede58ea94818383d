//! The audit log: one chain, the same on all replicas, that only grows; and whose token was revoked changes
//! nothing any more.

use std::collections::{BTreeMap, BTreeSet};

use airlift_coordinator::Coordinator;
use airlift_coordinator::command::{Command, Entry};
use airlift_coordinator::origin::Actor;
use airlift_coordinator::state::{Fact, State};
use airlift_protocol::access::ApiTokenId;
use airlift_protocol::audit::Chain;

use super::{Found, broken};

/// The chain as the log gives it.
#[derive(Debug, Default)]
pub(crate) struct Audits {
    /// Its head after each entry of the log.
    heads: BTreeMap<u64, Chain>,
    /// Tokens that were revoked.
    revoked: BTreeSet<ApiTokenId>,
}

/// What is looked at before and after an entry.
pub(crate) struct Before {
    head: Chain,
    /// Whether whoever asked has no right to any more.
    is_void: bool,
    revokes: Option<ApiTokenId>,
}

impl Audits {
    /// Looks at an entry before it is applied.
    pub(crate) fn before(&self, entry: &Entry, state: &State) -> Before {
        let by = entry.origin.map(|origin| origin.by);
        Before {
            head: state.audit.head(),
            is_void: matches!(by, Some(Actor::Token(id)) if self.revoked.contains(&id)),
            revokes: match entry.command {
                Command::RevokeApiToken { id } => Some(id),
                _ => None,
            },
        }
    }

    /// Looks at the state after entry `index`.
    pub(crate) fn after(
        &mut self,
        index: u64,
        before: &Before,
        facts: &[Fact],
        state: &State,
    ) -> Found {
        let is_refused = facts.iter().any(|fact| matches!(fact, Fact::Refused(_)));
        let head = state.audit.head();
        if before.is_void && (!is_refused || head != before.head) {
            let text = format!("entry {index} is by a token that was revoked before it");
            return broken("what is revoked changes nothing", text, vec![]);
        }
        let mut chain = before.head;
        let last = state.audit.entries().next_back().filter(|last| last.number > chain.number);
        let followed = last.map_or(Ok(()), |last| chain.follow(last));
        if followed.is_err() || chain != head {
            let text = format!("entry {index} leads from {:?} to {head:?}", before.head);
            return broken("the audit log is one chain", text, vec![]);
        }
        self.revoked.extend(before.revokes.filter(|_| !is_refused));
        self.heads.insert(index, head);
        Ok(())
    }

    /// Compares a voter's chain with that of the log.
    pub(crate) fn compare(&self, place: usize, coordinator: &Coordinator) -> Found {
        let index = coordinator.consensus().map_or(0, |consensus| consensus.applied().index.0);
        // Entries that change nothing by themselves leave the head as it was.
        let Some((_, expected)) = self.heads.range(..=index).next_back() else { return Ok(()) };
        let head = coordinator.state().audit.head();
        if head == *expected {
            return Ok(());
        }
        let text = format!("n{place} has {head:?} after entry {index}, and the log {expected:?}");
        broken("the audit log is one chain", text, vec![])
    }
}
