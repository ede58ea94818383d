//! The part of a coordinator that only a cluster needs: consensus, and what changes when the lead
//! does.

use std::collections::BTreeSet;

use airlift_protocol::id::{LogIndex, NodeId};
use airlift_protocol::limits::{HEARTBEAT_MS, RAFT_TICK_MS};
use airlift_protocol::raft::{Configuration, MembershipChange, RaftId, RaftMessage};
use airlift_protocol::time::Timestamp;

use super::Coordinator;
use super::rest::Rests;
use super::spend::Spending;
use crate::consensus::{Consensus, MembershipError, TransferError};
use crate::effect::{Answer, Effect};
use crate::scheduler::pages::Pages;
use crate::scheduler::shares::Shares;
use crate::scheduler::throttle::Throttles;

/// Ticks that are made up for at once when the process was held up; the rest of the pause is let go,
/// since nobody has heard this node meanwhile anyway.
const TICKS_MADE_UP_MAX: u32 = 20;

/// Milliseconds that a leader may be held up: after more, the others have elected another.
const HELD_UP_MS: u64 = TICKS_MADE_UP_MAX as u64 * RAFT_TICK_MS;

/// Milliseconds by which a node that lives may have been heard before another that does.
const HEARD_MS: u64 = HEARTBEAT_MS + HEARTBEAT_MS / 2;

/// The members, and a configuration of consensus that is just what they ask for.
#[derive(Debug, Default)]
pub(super) struct SettledVoters(Option<(LogIndex, Configuration)>);

impl SettledVoters {
    fn are_settled(&self, version: LogIndex, configuration: &Configuration) -> bool {
        self.0.as_ref().is_some_and(|(of, settled)| *of == version && settled == configuration)
    }
}

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
            && consensus.configuration().members().len() == 1
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

    /// Hands the lead to another voter, and says to which: of those that were heard lately the one
    /// that knows most of the log. Those in `tried` have had their chance.
    ///
    /// # Errors
    /// When this node does not lead, or none of the others could.
    pub fn hand_over(&mut self, tried: &BTreeSet<RaftId>) -> Result<RaftId, TransferError> {
        let Some(consensus) = self.log.consensus() else { return Err(TransferError::Nobody) };
        let status = consensus.status();
        let heard = |raft: RaftId| {
            let node = self.state.cluster.as_ref()?.voter(raft)?;
            Some(self.inventory.node(node)?.heard)
        };
        let own = status.leader;
        let voters = status.configuration.voters.iter().copied();
        let others: Vec<RaftId> =
            voters.filter(|id| Some(*id) != own && !tried.contains(id)).collect();
        let latest = others.iter().filter_map(|id| heard(*id)).max();
        let is_heard = |id: RaftId| {
            heard(id).zip(latest).is_some_and(|(heard, latest)| latest.since(heard) <= HEARD_MS)
        };
        let mut ranked: Vec<(bool, Option<LogIndex>, RaftId)> = others
            .into_iter()
            .map(|id| (is_heard(id), status.matched.get(&id).copied(), id))
            .collect();
        ranked.sort();
        let mut last = TransferError::Nobody;
        for (_, _, id) in ranked.into_iter().rev() {
            match self.transfer_to(id) {
                Ok(()) => return Ok(id),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    pub(super) fn on_message(&mut self, from: RaftId, message: RaftMessage) {
        if let Some(consensus) = self.log.consensus_mut() {
            // What an honest member would not have said changes nothing; it is not answered either.
            let _ = consensus.step(from, message);
        }
    }

    /// Tells consensus how much time has passed, and looks whether this node still decides.
    pub(super) fn tick(&mut self, now: Timestamp) {
        let Some(mut next) = self.next_tick.filter(|next| *next <= now) else { return };
        let was_held_up = now.since(next) > HELD_UP_MS;
        if let Some(consensus) = self.log.consensus_mut().filter(|_| was_held_up) {
            consensus.step_down();
        }
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
        self.look_who_decides(now);
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
        self.note_change();
        self.voters = SettledVoters::default();
        self.inventory.clear();
        self.pages = Pages::default();
        self.diffs.clear();
        self.planned = 0;
        self.known.settle();
        self.reported.clear();
        self.starting.clear();
        self.reports.clear();
        let term = self.log.consensus().map_or(0, |consensus| consensus.status().term);
        self.shares = Shares::take_over(now, term, &self.state);
        self.said = None;
        self.rests = Rests::default();
        self.throttles = Throttles::take_over(now);
        self.spending = Spending::default();
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
        let Some(consensus) = self.log.consensus_mut() else { return };
        if self.voters.are_settled(cluster.version, consensus.configuration()) {
            return;
        }
        let wanted: BTreeSet<RaftId> =
            cluster.members.values().filter_map(|member| member.raft).collect();
        let configuration = consensus.configuration().clone();
        if !configuration.is_joint()
            && configuration.learners.is_empty()
            && configuration.voters == wanted
        {
            self.voters = SettledVoters(Some((cluster.version, configuration)));
            return;
        }
        let removals = configuration.members().into_iter().filter(|id| !wanted.contains(id));
        let additions = wanted.iter().filter(|id| !configuration.contains(**id));
        let changes = removals
            .map(MembershipChange::Remove)
            .chain(configuration.learners.iter().map(|id| MembershipChange::Promote(*id)))
            .chain(additions.map(|id| MembershipChange::AddLearner(*id)));
        for change in changes {
            match consensus.change_membership(change) {
                Ok(()) | Err(MembershipError::Pending) => return,
                // Whoever leads next removes this one; until somebody can, it is tried again.
                Err(MembershipError::Leads) => {
                    let unwanted = &configuration.voters - &wanted;
                    let _ = self.hand_over(&unwanted);
                    return;
                }
                // A learner that is behind is tried again; another change may be possible now.
                Err(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use airlift_protocol::cluster::{Addresses, Boot};
    use airlift_protocol::codec;
    use airlift_protocol::control::Heartbeat;
    use airlift_protocol::raft::snapshot_digest;
    use airlift_protocol::version::Formats;

    use super::*;
    use crate::consensus::{Compaction, Config, Durable};
    use crate::input::Input;
    use crate::state::State;

    const NODE: NodeId = NodeId([1; 32]);

    /// Handles an input and writes what follows.
    fn handle(coordinator: &mut Coordinator, at: u64, input: Input) {
        coordinator.handle(Timestamp(at), input);
        while let Some(effect) = coordinator.poll_effect() {
            if let Effect::Persist { number, .. } = effect {
                coordinator.handle(Timestamp(at), Input::Persisted { number });
            }
        }
    }

    /// The leader of a group of one.
    fn leader() -> Coordinator {
        let state = codec::encode(&State::default());
        let durable = Durable::found(RaftId(1), snapshot_digest(&state), state.len() as u64);
        let config = Config { id: RaftId(1), seed: 1, compaction: Compaction::default() };
        let consensus = Consensus::restore(config, durable).unwrap();
        let mut leader = Coordinator::voter(Timestamp(0), State::default(), consensus);
        leader.campaign();
        handle(&mut leader, 0, Input::Introduce(BTreeSet::new()));
        assert!(leader.is_deciding());
        leader
    }

    fn beat() -> Input {
        let heartbeat = Heartbeat {
            boot: Boot(1),
            addresses: Addresses::default(),
            slots: 2,
            held: Vec::new(),
            written: Vec::new(),
            members_version: 0,
            version: String::new(),
            figures: Vec::new(),
            shares: None,
            gates: Vec::new(),
            formats: Formats::BUILD,
            spent: Vec::new(),
        };
        Input::Heartbeat { node: NODE, heartbeat, at: Timestamp(1) }
    }

    /// By then another one may lead, and have given away what the node of a sign of life holds.
    #[test]
    fn whatever_a_leader_hears_first_after_it_was_held_up_it_does_not_decide() {
        let most = RAFT_TICK_MS + HELD_UP_MS;
        for (pause, is_deciding) in [(most, true), (most + 1, false), (60_000, false)] {
            let mut leader = leader();
            leader.handle(Timestamp(pause), beat());
            assert_eq!(leader.is_deciding(), is_deciding, "{pause} ms");
            assert_eq!(leader.inventory().node(NODE).is_some(), is_deciding, "{pause} ms");
        }
    }

    /// However much there is to hear, and though nobody says that it is time.
    #[test]
    fn a_leader_that_is_busy_was_not_held_up() {
        let mut leader = leader();
        for at in (0..60_000).step_by(50) {
            handle(&mut leader, at, beat());
            assert!(leader.is_deciding(), "{at} ms");
        }
    }
}
