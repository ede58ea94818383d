//! Jobs that rest because credentials were refused, or a store could not be reached, are tried again from
//! time to time: both passes without anybody having this cluster in mind.
//!
//! When that is due is not in the log. A new leader counts from when it began to lead.

use std::collections::BTreeMap;

use airlift_protocol::id::JobId;
use airlift_protocol::limits::{REST_MS_MAX, REST_MS_MIN};
use airlift_protocol::time::Timestamp;

use super::Coordinator;
use crate::command::Command;
use crate::state::Job;

/// A job that rests, or has been tried again lately.
#[derive(Clone, Copy, Debug)]
struct Rest {
    /// The pause before the trial that comes next, or came last.
    pause_ms: u64,
    /// When it is tried again; while it goes on, when it was.
    due: Timestamp,
    is_resting: bool,
}

/// Jobs that rest, on the leader.
#[derive(Debug, Default)]
pub(super) struct Rests(BTreeMap<JobId, Rest>);

impl Rests {
    /// Looks at the jobs. One that rests again before it has gone on for as long as it had rested waits
    /// twice as long.
    fn look<'a>(&mut self, now: Timestamp, jobs: impl Iterator<Item = (&'a JobId, &'a Job)>) {
        let mut seen = BTreeMap::new();
        for (id, job) in jobs.filter(|(_, job)| job.is_running()) {
            let is_fresh = |rest: &Rest| rest.is_resting || now.since(rest.due) < rest.pause_ms;
            let before = self.0.get(id).copied().filter(is_fresh);
            let rest_for = |pause_ms| Rest { pause_ms, due: now.plus(pause_ms), is_resting: true };
            // A budget is not raised by waiting.
            let waits = job.paused_by.is_some() && !job.is_over_budget();
            let rest = match (waits, before) {
                (false, None) => continue,
                (true, None) => rest_for(REST_MS_MIN),
                (true, Some(rest)) if !rest.is_resting => {
                    rest_for((2 * rest.pause_ms).min(REST_MS_MAX))
                }
                (false, Some(rest)) if rest.is_resting => {
                    Rest { due: now, is_resting: false, ..rest }
                }
                (_, Some(rest)) => rest,
            };
            seen.insert(*id, rest);
        }
        self.0 = seen;
    }

    /// The jobs that are to be tried now, each once.
    fn take_due(&mut self, now: Timestamp) -> Vec<JobId> {
        let due = self.0.iter_mut().filter(|(_, rest)| rest.is_resting && rest.due <= now);
        due.map(|(id, rest)| {
            // Should it not come to that, it is due again.
            rest.due = now.plus(rest.pause_ms);
            *id
        })
        .collect()
    }
}

impl Coordinator {
    /// Notes which jobs rest.
    pub(super) fn look_at_rests(&mut self, now: Timestamp) {
        self.rests.look(now, self.state.jobs.iter());
    }

    /// Tries those again whose time has come.
    pub(super) fn try_again(&mut self, now: Timestamp) {
        for job in self.rests.take_due(now) {
            self.log.propose(Command::TryAgain { job }, None);
        }
    }

    /// In how many milliseconds from `now` a job is tried again that rests although nobody has asked for
    /// that; on the leader.
    pub fn tried_again_in(&self, now: Timestamp, job: JobId) -> Option<u64> {
        let rest = self.rests.0.get(&job).filter(|rest| rest.is_resting)?;
        Some(rest.due.since(now))
    }
}

#[cfg(test)]
mod tests {
    use airlift_protocol::error::{ErrorCode, Failure};
    use airlift_protocol::id::LogIndex;
    use airlift_protocol::job::{Filters, JobSpec, Mode, Policy};
    use airlift_protocol::location::Location;

    use super::*;
    use crate::state::State;

    #[test]
    fn who_rests_again_waits_longer_and_who_goes_on_begins_anew() {
        let location = |path: &str| Location::Path(path.as_bytes().to_vec());
        let spec = JobSpec {
            mode: Mode::Copy,
            source: location("/a"),
            target: location("/b"),
            single: None,
            filters: Filters::default(),
            policy: Policy::default(),
        };
        let (mut state, id) = (State::default(), spec.id());
        let submit = Command::Submit { spec: Box::new(spec), at: Timestamp(1) };
        state.apply(LogIndex(1), submit);
        let refused = || Some(Failure::new(ErrorCode::Unauthorized, "no"));
        let (mut rests, mut now) = (Rests::default(), Timestamp(0));
        let mut pauses = Vec::new();
        for is_well_before in [false, false, false, true, false] {
            if is_well_before {
                rests.look(now, state.jobs.iter());
                now = now.plus(4 * REST_MS_MIN);
                rests.look(now, state.jobs.iter());
                assert!(rests.0.is_empty());
            }
            state.jobs.get_mut(&id).unwrap().paused_by = refused();
            rests.look(now, state.jobs.iter());
            let begun = now;
            while rests.take_due(now) != [id] {
                assert_eq!(rests.take_due(now), []);
                now = now.plus(500);
            }
            assert_eq!(rests.take_due(now), [], "it is on its way");
            pauses.push(now.since(begun) / REST_MS_MIN);
            state.jobs.get_mut(&id).unwrap().paused_by = None;
            rests.look(now, state.jobs.iter());
        }
        assert_eq!(pauses, [1, 2, 4, 1, 2]);
        for _ in 0..20 {
            for reason in [refused(), None] {
                state.jobs.get_mut(&id).unwrap().paused_by = reason;
                rests.look(now, state.jobs.iter());
            }
        }
        assert_eq!(rests.0[&id].pause_ms, REST_MS_MAX);
        state.jobs.clear();
        rests.look(now, state.jobs.iter());
        assert!(rests.0.is_empty());
    }
}
