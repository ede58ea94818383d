//! Fair share between jobs: slots by priority.

use airlift_protocol::id::JobId;

use crate::state::{Job, State};

/// A job that may be worked on, and the slots that it may take before others had theirs.
pub(super) struct Claim<'a> {
    pub(super) id: JobId,
    pub(super) job: &'a Job,
    pub(super) quota: usize,
}

/// How finely slots are weighed against priorities.
const SCALE: usize = 1000;

/// Jobs that may be worked on, those first that have least of what their priority entitles them
/// to. `slots` is how many there are on all nodes.
pub(super) fn claims(state: &State, slots: usize) -> Vec<Claim<'_>> {
    let active = || state.jobs.iter().filter(|(_, job)| job.is_active());
    let weights: usize = active().map(|(_, job)| weight(job)).sum();
    let mut claims: Vec<((bool, usize), Claim<'_>)> = active()
        .map(|(id, job)| {
            let held = job.leases.slots();
            let entitled = (slots * weight(job) / weights.max(1)).max(1);
            let quota = entitled.saturating_sub(held);
            // Who has nothing comes first: the least weight still gets one place.
            let rank = (held > 0, (held + 1) * SCALE / weight(job));
            (rank, Claim { id: *id, job, quota })
        })
        .collect();
    claims.sort_by_key(|(rank, claim)| (*rank, claim.id));
    claims.into_iter().map(|(_, claim)| claim).collect()
}

fn weight(job: &Job) -> usize {
    usize::from(job.spec.policy.priority.weight())
}
