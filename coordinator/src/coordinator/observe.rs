//! What the leader sees of the nodes' work and makes of it: what is taken back, what share of a bandwidth
//! each node may use, and what it may ask buckets for.

use airlift_protocol::control::{Heartbeat, Shares};
use airlift_protocol::id::NodeId;
use airlift_protocol::pace::GateShare;
use airlift_protocol::time::Timestamp;

use super::Coordinator;
use crate::command::Command;
use crate::scheduler::check;
use crate::scheduler::stragglers::TakeBack;
use crate::scheduler::throttle::Throttles;

impl Coordinator {
    /// Looks at a sign of life, and decides what its node may move from now on.
    pub(super) fn observe_beat(&mut self, now: Timestamp, node: NodeId, beat: &Heartbeat) {
        self.inventory.observed.hear(now, node, beat, &self.state);
        if self.state.cluster.is_none() {
            return;
        }
        self.shares.look(now, &self.state);
        let at = now.plus(self.wall_offset);
        let demand = self.shares.demand(&self.state, at);
        let said = self.shares.tell(now, node, beat.shares.as_ref(), &demand);
        self.said = said.map(|shares| (node, shares));
        self.throttles.hear(now, (node, beat.boot), &beat.gates);
        self.said_of_gates = Some((node, self.throttles.tell(node, &beat.gates)));
        debug_assert_eq!(check::check_shares(&self.state, &self.shares, (now, at)), [""; 0]);
    }

    /// What `node` is to be told of its shares in answer to its sign of life, which was the last
    /// input; `None` when there is nothing to say.
    pub fn take_shares(&mut self, node: NodeId) -> Option<Shares> {
        self.said.take().filter(|(of, _)| *of == node).map(|(_, shares)| shares)
    }

    /// What `node` may ask buckets for, in answer to its sign of life, which was the last input.
    pub fn take_gates(&mut self, node: NodeId) -> Vec<GateShare> {
        let said = self.said_of_gates.take().filter(|(of, _)| *of == node);
        said.map(|(_, shares)| shares).unwrap_or_default()
    }

    /// The buckets that have asked for fewer requests, on the leader.
    pub fn throttles(&self) -> &Throttles {
        &self.throttles
    }

    /// What `node` may move as of `now`, as it was told last; on the leader.
    pub fn shares_of(&self, now: Timestamp, node: NodeId) -> Option<Shares> {
        self.shares.of(now, node)
    }

    /// Looks at a command that is decided, before it changes the state.
    pub(super) fn observe_command(&mut self, command: &Command) {
        match command {
            Command::Reports { reports, .. } => {
                for report in reports {
                    let lease = self.state.jobs.get(&report.job);
                    let lease = lease.and_then(|job| job.leases.get(report.assignment));
                    if let Some(lease) = lease.filter(|lease| lease.epoch == report.epoch) {
                        self.inventory.observed.answer(report, lease);
                    }
                }
            }
            Command::NodeStarted { node, .. } => self.inventory.observed.started(*node),
            _ => {}
        }
    }

    /// Looks at the leases that there are.
    pub(super) fn observe_leases(&mut self, now: Timestamp) {
        self.inventory.observed.look(now, &self.state);
        self.shares.look(now, &self.state);
    }

    /// Proposes the end of a lease that its node is too slow for.
    pub(super) fn take_back(&mut self, taken: TakeBack) {
        let job = self.state.jobs.get(&taken.job);
        let Some(lease) = job.and_then(|job| job.leases.get(taken.assignment)) else { return };
        self.inventory.observed.take_back(&taken, lease);
        let TakeBack { job, assignment, epoch } = taken;
        self.planned += 1;
        self.log.propose(Command::TakeBack { job, assignment, epoch }, None);
    }
}
