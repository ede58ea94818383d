//! How long jobs that have ended stay on record, and which are not any more.

use std::collections::BTreeMap;

use airlift_protocol::id::JobId;
use airlift_protocol::job::JobSpec;
use airlift_protocol::limits::{JOBS_ENDED_MAX, JOBS_REMOVED_NAMED_MAX, RETAIN_MS_MIN};
use airlift_protocol::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::job::Job;
use super::{Fact, State};

/// What the cluster keeps of jobs that have ended. There are never more than [`JOBS_ENDED_MAX`], and as long as
/// there is room for it a job stays for [`RETAIN_MS_MIN`]: whoever waited for its end comes for its report, and
/// may send its submission again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retention {
    /// Those that ended at most so many milliseconds ago.
    pub age_ms: Option<u64>,
    /// At most so many.
    pub count: Option<u32>,
}

/// A job that is not on record any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removed {
    /// Its last run.
    pub run: u32,
    /// When that had ended.
    pub ended_at: Timestamp,
}

impl Retention {
    fn count_max(self) -> usize {
        let count = self.count.and_then(|count| usize::try_from(count).ok());
        count.unwrap_or(JOBS_ENDED_MAX).min(JOBS_ENDED_MAX)
    }

    fn is_over_count(self, place: usize, all: usize, age_ms: u64) -> bool {
        let is_among = |most: usize| place < all.saturating_sub(most);
        is_among(JOBS_ENDED_MAX) || (age_ms > RETAIN_MS_MIN && is_among(self.count_max()))
    }

    fn is_over_age(self, age_ms: u64) -> bool {
        self.age_ms.is_some_and(|most| age_ms > most.max(RETAIN_MS_MIN))
    }
}

/// Whether nothing can come of a job any more. What may have left an open upload at its target stays:
/// submitted again, it goes on with it. An upload that could not be removed was told, and does not count.
fn is_past(job: &Job) -> bool {
    !job.is_running() && job.unwanted_uploads().next().is_none()
}

fn ended_at(job: &Job) -> Timestamp {
    job.ended_at.unwrap_or(job.submitted_at)
}

/// Jobs that are not to be kept as of `at`, those that ended first.
pub(crate) fn due(state: &State, at: Timestamp) -> Vec<JobId> {
    let past = state.jobs.iter().filter(|(_, job)| is_past(job));
    let mut past: Vec<(Timestamp, JobId)> = past.map(|(id, job)| (ended_at(job), *id)).collect();
    past.sort_unstable();
    let is_due = |(place, (ended, _)): &(usize, &(Timestamp, JobId))| {
        let age_ms = at.since(*ended);
        state.retention.is_over_count(*place, past.len(), age_ms)
            || state.retention.is_over_age(age_ms)
    };
    past.iter().enumerate().filter(is_due).map(|(_, (_, id))| *id).collect()
}

/// Forgets the jobs that are not to be kept as of `at`.
pub(super) fn forget(state: &mut State, at: Timestamp) -> Vec<Fact> {
    let due = due(state, at);
    for id in &due {
        if let Some(job) = state.jobs.remove(id) {
            state.removed.insert(*id, Removed { run: job.run, ended_at: ended_at(&job) });
        }
    }
    while state.removed.len() > JOBS_REMOVED_NAMED_MAX
        && let Some(oldest) = oldest(&state.removed)
    {
        let unnamed = state.removed.remove(&oldest);
        state.runs_unnamed = state.runs_unnamed.max(unnamed.map_or(0, |removed| removed.run));
    }
    due.into_iter().map(Fact::Forgotten).collect()
}

/// A job that is not on record, submitted. Its first run follows the last one that it may have had: nodes that
/// have not heard yet that it was forgotten take no new run for an old one, nor do the pages on their disks.
pub(super) fn anew(state: &mut State, spec: JobSpec, at: Timestamp) -> Job {
    let removed = state.run_removed(spec.id());
    state.removed.remove(&spec.id());
    let mut job = Job::new(spec, at);
    job.run = job.run.saturating_add(removed);
    job
}

impl State {
    /// The last run of a job that is not on record, or a later one where its name is forgotten too: in either
    /// case an earlier one than all that it will have.
    pub(crate) fn run_removed(&self, job: JobId) -> u32 {
        self.removed.get(&job).map_or(self.runs_unnamed, |removed| removed.run)
    }
}

fn oldest(removed: &BTreeMap<JobId, Removed>) -> Option<JobId> {
    removed.iter().min_by_key(|(id, it)| (it.ended_at, **id)).map(|(id, _)| *id)
}

#[cfg(test)]
mod tests {
    use airlift_protocol::error::{ErrorCode, Failure};
    use airlift_protocol::id::LogIndex;
    use airlift_protocol::job::{Filters, JobSpec, Mode, Policy};
    use airlift_protocol::location::Location;
    use proptest::prelude::*;

    use super::*;
    use crate::command::Command;
    use crate::state::{UploadId, UploadState};

    fn submit(state: &mut State, target: usize, at: u64) -> JobId {
        let spec = JobSpec {
            mode: Mode::Copy,
            source: Location::Path("/source".into()),
            target: Location::Path(format!("/{target}").into()),
            single: None,
            filters: Filters::default(),
            policy: Policy::default(),
        };
        let id = spec.id();
        let (spec, at) = (Box::new(spec), Timestamp(at));
        state.apply(LogIndex(1), Command::Submit { spec, at });
        id
    }

    fn end(state: &mut State, job: JobId, at: u64) {
        let failure = Failure::new(ErrorCode::Cancelled, "enough");
        state.apply(LogIndex(1), Command::Stop { job, failure, at: Timestamp(at) });
    }

    fn keep(state: &mut State, age_ms: Option<u64>, count: Option<u32>) {
        state.apply(LogIndex(1), Command::SetRetention(Retention { age_ms, count }));
    }

    fn forget(state: &mut State, at: u64) -> Vec<Fact> {
        state.apply(LogIndex(1), Command::Forget { at: Timestamp(at) })
    }

    #[test]
    fn what_ended_too_long_ago_goes_and_says_so_afterwards() {
        let mut state = State::default();
        let (old, young) = (submit(&mut state, 1, 10), submit(&mut state, 2, 10));
        let running = submit(&mut state, 3, 10);
        end(&mut state, old, 100);
        end(&mut state, young, 200);
        let age = 2 * RETAIN_MS_MIN;
        assert_eq!(forget(&mut state, 100 * age), [], "nothing was said of ages");
        keep(&mut state, Some(age), None);
        assert_eq!(forget(&mut state, 100 + age), [], "it ended just as long ago");
        assert_eq!(forget(&mut state, 101 + age), [Fact::Forgotten(old)]);
        assert_eq!(state.removed[&old], Removed { run: 1, ended_at: Timestamp(100) });
        assert_eq!(state.run_removed(old), 1);
        assert_eq!(forget(&mut state, 1_000 + age), [Fact::Forgotten(young)]);
        assert!(state.jobs.contains_key(&running));
        // Submitted again, its runs go on counting: whoever has not heard knows a new one from an old one.
        let again = submit(&mut state, 1, 2_000 + age);
        assert!(again == old && !state.removed.contains_key(&old));
        assert_eq!(state.jobs[&old].run, 2);
    }

    #[test]
    fn whoever_waited_for_an_end_finds_it_whatever_is_said() {
        let mut state = State::default();
        let job = submit(&mut state, 1, 10);
        end(&mut state, job, 100);
        keep(&mut state, Some(0), Some(0));
        assert_eq!(forget(&mut state, 100 + RETAIN_MS_MIN), []);
        assert_eq!(forget(&mut state, 101 + RETAIN_MS_MIN), [Fact::Forgotten(job)]);
    }

    #[test]
    fn runs_count_on_when_even_the_name_is_gone() {
        let mut state = State::default();
        let first = submit(&mut state, 0, 10);
        end(&mut state, first, 20);
        submit(&mut state, 0, 30);
        end(&mut state, first, 40);
        let all = JOBS_ENDED_MAX + JOBS_REMOVED_NAMED_MAX + 1;
        for number in 1..=all {
            let id = submit(&mut state, number, 100);
            end(&mut state, id, 100 + number as u64);
        }
        submit(&mut state, all + 1, 100_000);
        assert!(!state.removed.contains_key(&first) && !state.jobs.contains_key(&first));
        assert_eq!(state.run_removed(first), 2);
        submit(&mut state, 0, 100_001);
        assert_eq!(state.jobs[&first].run, 3);
    }

    #[test]
    fn a_job_with_an_open_upload_is_kept_whatever_is_said() {
        let mut state = State::default();
        let job = submit(&mut state, 1, 10);
        end(&mut state, job, 20);
        let id = UploadId { key: "k".into(), fingerprint: String::new() };
        let upload = UploadState { token: None, since: Timestamp(1), interrupted: [].into() };
        state.jobs.get_mut(&job).unwrap().uploads.insert(id, upload);
        keep(&mut state, Some(1), Some(0));
        assert_eq!(forget(&mut state, 100 * RETAIN_MS_MIN), []);
    }

    proptest! {
        #[test]
        fn the_latest_stay_and_none_that_runs_goes(
            jobs in proptest::collection::vec((1u64..5 * RETAIN_MS_MIN, any::<bool>()), 0..30),
            age in proptest::option::of(0u64..5 * RETAIN_MS_MIN),
            count in proptest::option::of(0u32..20),
            at in 0u64..10 * RETAIN_MS_MIN,
        ) {
            let mut state = State::default();
            let mut ended = Vec::new();
            for (number, (time, is_over)) in jobs.into_iter().enumerate() {
                let id = submit(&mut state, number, 0);
                if is_over {
                    end(&mut state, id, time);
                    ended.push((time, id));
                }
            }
            let all = state.jobs.len();
            keep(&mut state, age, count);
            let gone = forget(&mut state, at);
            ended.sort_unstable();
            let most = count.map_or(usize::MAX, |count| count as usize);
            let stays = |(place, (time, _)): &(usize, &(u64, JobId))| {
                let since = at.saturating_sub(*time);
                let is_wanted = *place < most && age.is_none_or(|age| since <= age);
                is_wanted || since <= RETAIN_MS_MIN
            };
            let latest = ended.iter().rev().enumerate().filter(stays);
            let kept: Vec<JobId> = latest.map(|(_, (_, id))| *id).collect();
            prop_assert_eq!(gone.len(), ended.len() - kept.len());
            prop_assert_eq!(state.jobs.len(), all - gone.len());
            prop_assert!(kept.iter().all(|id| state.jobs.contains_key(id)));
            prop_assert_eq!(due(&state, Timestamp(at)), []);
        }
    }
}
