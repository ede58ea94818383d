//! The part of a coordinator that only a cluster needs: consensus, and what changes when the lead
//! does.

use std::collections::BTreeSet;

use airlift_protocol::id::NodeId;
use airlift_protocol::limits::RAFT_TICK_MS;
use airlift_protocol::raft::{MembershipChange, RaftId, RaftMessage};
use airlift_protocol::time::Timestamp;

use super::Coordinator;
use crate::consensus::{Consensus, MembershipError, TransferError};
use crate::effect::{Answer, Effect};
use crate::scheduler::pages::Pages;
use crate::scheduler::shares::Shares;

/// Ticks that are made up for at once when the process was held up; the rest of the pause is let go,
/// since nobody has heard this node meanwhile anyway.
const TICKS_MADE_UP_MAX: u32 = 20;

impl Coordinator {
    /// Consensus as it stands; `None` for a process that works alone.
    pub fn consensus(&self) -> Option<&Consensus> {
        self.log.consensus()
    }

    /// Whether this node decides: it leads, and knows all that was decided before it did.
    pub fn is_deciding(&self) -> bool {
        self.is_deciding
    }

    /// Whether the log has an entry that this build cannot read: the control role has to stop.
    pub fn is_damaged(&self) -> bool {
        self.log.is_damaged()
    }

    /// Asks to be elected now: the only voter of a cluster need not wait for it.
    pub fn campaign(&mut self) {
        if let Some(consensus) = self.log.consensus_mut()
            && consensus.status().configuration.members().len() == 1
        {
            consensus.campaign();
        }
    }

    /// Hands the lead to another voter.
    ///
    /// # Errors
    /// When this node does not lead, or the other could not.
    pub fn transfer_to(&mut self, to: RaftId) -> Result<(), TransferError> {
        let Some(consensus) = self.log.consensus_mut() else {
            return Err(TransferError::NotAVoter(to));
        };
        consensus.transfer_to(to)?;
        self.send();
        Ok(())
    }

    pub(super) fn on_message(&mut self, from: RaftId, message: RaftMessage) {
        if let Some(consensus) = self.log.consensus_mut() {
            // What an honest member would not have said changes nothing; it is not answered either.
            let _ = consensus.step(from, message);
        }
    }

    /// Tells consensus how much time has passed.
    pub(super) fn tick(&mut self, now: Timestamp) {
        let Some(mut next) = self.next_tick else { return };
        for _ in 0..TICKS_MADE_UP_MAX {
            if next > now {
                break;
            }
            next = next.plus(RAFT_TICK_MS);
            if let Some(consensus) = self.log.consensus_mut() {
                consensus.tick();
            }
        }
        self.next_tick = Some(next.max(now));
    }

    pub(super) fn send(&mut self) {
        let Some(consensus) = self.log.consensus_mut() else { return };
        while let Some((to, message)) = consensus.poll_send() {
            self.effects.push_back(Effect::Send { to, message: Box::new(message) });
        }
    }

    /// Begins to decide, or ceases to.
    pub(super) fn look_who_decides(&mut self, now: Timestamp) {
        for id in self.log.take_lost() {
            self.effects.push_back(Effect::Answer { id, answer: Answer::Unknown });
        }
        let is_deciding = self.log.is_ready();
        if is_deciding == self.is_deciding {
            return;
        }
        self.is_deciding = is_deciding;
        self.inventory.clear();
        self.pages = Pages::default();
        self.diffs.clear();
        self.planned = 0;
        self.reported.clear();
        self.starting.clear();
        self.reports.clear();
        let term = self.log.consensus().map_or(0, |consensus| consensus.status().term);
        self.shares = Shares::take_over(now, term, &self.state);
        self.said = None;
        if is_deciding {
            // Whoever holds a lease has as long as it lasts to be heard here.
            for node in self.holders() {
                self.inventory.expect(node, now);
            }
        }
    }

    fn holders(&self) -> BTreeSet<NodeId> {
        let jobs = self.state.jobs.values().filter(|job| job.is_running());
        let leases = jobs.flat_map(|job| job.leases.values());
        leases.flat_map(|lease| [Some(lease.node), lease.source]).flatten().collect()
    }

    /// Brings consensus one step closer to the voters that the state has: first learners, which
    /// become voters when they have caught up; who is no member any more goes first.
    pub(super) fn reconcile_voters(&mut self) {
        let Some(cluster) = &self.state.cluster else { return };
        let wanted: BTreeSet<RaftId> =
            cluster.members.values().filter_map(|member| member.raft).collect();
        let Some(consensus) = self.log.consensus_mut() else { return };
        let configuration = consensus.status().configuration;
        let removals = configuration.members().into_iter().filter(|id| !wanted.contains(id));
        let additions = wanted.iter().filter(|id| !configuration.contains(**id));
        let changes = removals
            .map(MembershipChange::Remove)
            .chain(configuration.learners.iter().map(|id| MembershipChange::Promote(*id)))
            .chain(additions.map(|id| MembershipChange::AddLearner(*id)));
        for change in changes {
            match consensus.change_membership(change) {
                Ok(()) | Err(MembershipError::Pending) => return,
                Err(MembershipError::Leads) => return hand_over(consensus, &wanted),
                // A learner that is behind is tried again; another change may be possible now.
                Err(_) => {}
            }
        }
    }
}

/// Hands the lead to the member that knows most of the log; whoever leads then removes this one.
fn hand_over(consensus: &mut Consensus, wanted: &BTreeSet<RaftId>) {
    let status = consensus.status();
    let able = wanted.iter().filter(|id| status.configuration.is_voter(**id));
    let next = able.max_by_key(|id| status.matched.get(id));
    if let Some(next) = next {
        // One that is behind is asked again with the next input.
        let _ = consensus.transfer_to(*next);
    }
}
