//! What nodes say that they have used of budgets, on its way into the log: the last word of each, and one
//! entry at a time, so that hundreds of nodes make no more entries than one.

use std::collections::BTreeMap;

use airlift_protocol::budget::Spent;
use airlift_protocol::cluster::Boot;
use airlift_protocol::control::Heartbeat;
use airlift_protocol::id::{JobId, NodeId};
use airlift_protocol::limits::SPENT_BATCHED_MAX;
use airlift_protocol::time::Timestamp;

use super::Coordinator;
use crate::command::Command;

/// Words that are not in the log yet.
#[derive(Debug, Default)]
pub(super) struct Spending {
    waiting: BTreeMap<(NodeId, JobId), (Boot, Spent)>,
    /// Some are on their way.
    is_proposed: bool,
}

impl Spending {
    /// What was proposed is committed.
    pub(super) fn settle(&mut self) {
        self.is_proposed = false;
    }
}

impl Coordinator {
    /// Takes in what a node says of jobs that have a budget.
    pub(super) fn hear_spent(&mut self, node: NodeId, beat: &Heartbeat) {
        for spent in &beat.spent {
            let job = self.state.jobs.get(&spent.job);
            let job = job.filter(|job| !job.spec.policy.budget.is_empty());
            if job.is_some_and(|job| job.ledger.has_news(node, (beat.boot, spent))) {
                self.spending.waiting.insert((node, spent.job), (beat.boot, *spent));
            }
        }
    }

    /// Proposes what was heard, unless what was heard before is under way.
    pub(super) fn flush_spent(&mut self, at: Timestamp) {
        if self.spending.is_proposed || self.spending.waiting.is_empty() {
            return;
        }
        let mut words = Vec::new();
        while words.len() < SPENT_BATCHED_MAX
            && let Some(((node, _), (boot, spent))) = self.spending.waiting.pop_first()
        {
            words.push((node, boot, spent));
        }
        self.spending.is_proposed = true;
        self.log.propose(Command::Spend { words, at }, None);
    }
}
