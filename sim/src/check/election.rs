//! Election safety and leader completeness: a term has one leader, which knows all that was
//! committed before; and what a voter has promised on disk it never takes back.

use std::collections::BTreeMap;

use airlift_coordinator::consensus::{Consensus, Role};
use airlift_protocol::raft::{HardState, RaftBody, RaftId, RaftMessage};

use super::{Found, broken};

/// Leaders by term, and what each disk has promised.
#[derive(Debug, Default)]
pub(crate) struct Elections {
    leaders: BTreeMap<u64, RaftId>,
    promised: BTreeMap<usize, HardState>,
    /// Whom each voter has given its vote in a term.
    votes: BTreeMap<(RaftId, u64), RaftId>,
}

/// What a voter says in a term it says when the term is on its disk: otherwise it could say something
/// else in the same term after a crash. A question before an election promises nothing.
pub(crate) fn is_written(message: &RaftMessage, written: &HardState) -> Found {
    let promises = !matches!(message.body, RaftBody::PreVote(_) | RaftBody::PreVoteResponse(_));
    if !promises || message.term <= written.term {
        return Ok(());
    }
    let text = format!(
        "{} speaks in term {}, and has term {} on its disk",
        message.from.0, message.term, written.term
    );
    broken("promises are written before they are said", text, vec![])
}

impl Elections {
    /// Looks at a voter. Entries up to `committed` are known to be, by leaders of earlier terms.
    pub(crate) fn observe(&mut self, raft: RaftId, consensus: &Consensus, committed: u64) -> Found {
        if consensus.role() != Role::Leader {
            return Ok(());
        }
        let term = consensus.term();
        match self.leaders.get(&term) {
            Some(leader) if *leader == raft => Ok(()),
            Some(leader) => {
                let text = format!("{} and {} lead in term {term}", leader.0, raft.0);
                broken("one leader a term", text, vec![])
            }
            None => {
                self.leaders.insert(term, raft);
                let last = consensus.last().0;
                if last >= committed {
                    return Ok(());
                }
                let text = format!(
                    "{} leads in term {term} with entries up to {last}, and {committed} is committed",
                    raft.0
                );
                broken("a leader has all that is committed", text, vec![])
            }
        }
    }

    /// Looks at what a voter says: it gives its vote once a term.
    pub(crate) fn on_said(&mut self, message: &RaftMessage) -> Found {
        let RaftBody::VoteResponse(response) = &message.body else { return Ok(()) };
        if !response.is_granted {
            return Ok(());
        }
        let (from, to, term) = (message.from, message.to, message.term);
        let first = self.votes.entry((from, term)).or_insert(to);
        if *first == to {
            return Ok(());
        }
        let text = format!("{} votes for {} and {} in term {term}", from.0, first.0, to.0);
        broken("one vote a term", text, vec![])
    }

    /// Looks at what is durable on a disk.
    pub(crate) fn on_written(&mut self, place: usize, now: &HardState) -> Found {
        let before = self.promised.insert(place, *now).unwrap_or_default();
        let has_voted_twice =
            before.term == now.term && before.vote.is_some() && before.vote != now.vote;
        if now.term < before.term || now.commit < before.commit || has_voted_twice {
            let text = format!("n{place} had {before:?} on disk, and then {now:?}");
            return broken("promises only grow", text, vec![]);
        }
        Ok(())
    }

    pub(crate) fn count(&self) -> u64 {
        self.leaders.len() as u64
    }
}
