//! Budgets: what a job has used never becomes less within a run, whoever leads, and what was sent is part of
//! it. That no plan gives out more than is left, each coordinator checks itself.

use std::collections::BTreeMap;

use airlift_coordinator::state::State;
use airlift_protocol::id::JobId;

use super::{Found, broken};

/// What each job had used, in which run.
#[derive(Debug, Default)]
pub(crate) struct Budgets(BTreeMap<JobId, (u32, u64)>);

impl Budgets {
    /// Looks at the state after a change.
    pub(crate) fn look(&mut self, state: &State) -> Found {
        for (id, job) in &state.jobs {
            let used = job.used().source_bytes;
            let before = self.0.insert(*id, (job.run, used));
            let before = before.filter(|(run, _)| *run == job.run).map_or(0, |(_, used)| used);
            let least = before.max(job.totals.bytes.sent);
            if used < least {
                let text = format!("{used} bytes of a budget are used, and at least {least} were");
                return broken("what is used is counted", text, vec![]);
            }
        }
        Ok(())
    }
}
