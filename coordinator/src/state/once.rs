//! Submissions with a key of the client's: sent again, the same one begins nothing. Each job keeps the last
//! [`SUBMIT_KEYS_MAX`] keys that it was submitted with, whatever has become of the run since.

use airlift_protocol::error::{ErrorCode, Failure};
use airlift_protocol::id::JobId;
use airlift_protocol::job::JobSpec;
use airlift_protocol::limits::SUBMIT_KEYS_MAX;
use airlift_protocol::once::SubmitKey;
use airlift_protocol::time::Timestamp;

use super::{Fact, Job, State};

impl State {
    /// The job and the run that came of the submission with this key; `None` when it is new.
    ///
    /// # Errors
    /// When the key came with another submission.
    pub fn submission(&self, key: &SubmitKey) -> Result<Option<(JobId, u32)>, Failure> {
        let mut keys = self
            .jobs
            .iter()
            .flat_map(|(id, job)| job.keys.iter().map(move |(known, run)| (known, (*id, *run))));
        match keys.find(|(known, _)| known.name == key.name) {
            None => Ok(None),
            Some((known, begun)) if known.of == key.of => Ok(Some(begun)),
            Some((_, (job, _))) => Err(Failure::new(
                ErrorCode::Conflict,
                format!("the idempotency key came with another submission before, of job {job}"),
            )),
        }
    }
}

impl Job {
    fn remember(&mut self, key: SubmitKey) {
        if self.keys.len() >= SUBMIT_KEYS_MAX {
            self.keys.remove(0);
        }
        self.keys.push((key, self.run));
    }
}

/// Begins a job as `submit` does, unless this very submission has begun it before.
pub(super) fn submit(
    state: &mut State,
    (spec, at): (JobSpec, Timestamp),
    key: SubmitKey,
    submit: impl FnOnce(&mut State, JobSpec, Timestamp) -> Vec<Fact>,
) -> Vec<Fact> {
    match state.submission(&key) {
        Err(failure) => return vec![Fact::Refused(failure)],
        Ok(Some(_)) => return Vec::new(),
        Ok(None) => {}
    }
    let id = spec.id();
    let facts = submit(state, spec, at);
    let is_refused = facts.iter().any(|fact| matches!(fact, Fact::Refused(_)));
    if let Some(job) = state.jobs.get_mut(&id).filter(|_| !is_refused) {
        job.remember(key);
    }
    facts
}

#[cfg(test)]
mod tests {
    use airlift_protocol::id::LogIndex;
    use airlift_protocol::job::{Filters, Mode, Policy};
    use airlift_protocol::location::Location;

    use super::*;
    use crate::command::Command;

    fn spec(target: &str) -> JobSpec {
        JobSpec {
            mode: Mode::Copy,
            source: Location::parse(b"/source").unwrap(),
            target: Location::parse(target.as_bytes()).unwrap(),
            single: None,
            filters: Filters::default(),
            policy: Policy::default(),
        }
    }

    fn submit(state: &mut State, target: &str, (name, of): (u8, u8)) -> Vec<Fact> {
        let key = SubmitKey { name: [name; 16], of: [of; 16] };
        let spec = Box::new(spec(target));
        state.apply(LogIndex(1), Command::SubmitOnce { spec, at: Timestamp(1), key })
    }

    fn stop(state: &mut State, target: &str) {
        let failure = Failure::new(ErrorCode::NoSpace, "full");
        let stop = Command::Stop { job: spec(target).id(), failure, at: Timestamp(2) };
        state.apply(LogIndex(2), stop);
    }

    #[test]
    fn a_submission_sent_again_begins_nothing_even_after_its_run_has_ended() {
        let mut state = State::default();
        let id = spec("/a").id();
        assert_eq!(submit(&mut state, "/a", (1, 1)), [Fact::Started(id, 1)]);
        stop(&mut state, "/a");
        let before = state.clone();
        assert!(submit(&mut state, "/a", (1, 1)).is_empty());
        assert_eq!(state, before);
        // With another key it is another run, and the first key still means the first.
        assert_eq!(submit(&mut state, "/a", (2, 1)), [Fact::Started(id, 2)]);
        let begun = |name| state.submission(&SubmitKey { name: [name; 16], of: [1; 16] });
        assert_eq!(
            (begun(1), begun(2), begun(3)),
            (Ok(Some((id, 1))), Ok(Some((id, 2))), Ok(None))
        );
    }

    #[test]
    fn a_key_that_came_with_something_else_is_refused() {
        let mut state = State::default();
        submit(&mut state, "/a", (1, 1));
        for target in ["/a", "/b"] {
            let facts = submit(&mut state, target, (1, 2));
            assert!(
                matches!(&facts[..], [Fact::Refused(failure)] if failure.code == ErrorCode::Conflict),
                "{facts:?}"
            );
        }
        assert_eq!(state.jobs.len(), 1);
    }

    #[test]
    fn the_oldest_keys_are_forgotten() {
        let mut state = State::default();
        for name in 0..=u8::try_from(SUBMIT_KEYS_MAX).unwrap() {
            submit(&mut state, "/a", (name, 1));
            stop(&mut state, "/a");
        }
        assert_eq!(state.jobs[&spec("/a").id()].keys.len(), SUBMIT_KEYS_MAX);
        let known = |name| state.submission(&SubmitKey { name: [name; 16], of: [1; 16] });
        assert_eq!(known(0), Ok(None));
        assert!(known(1).unwrap().is_some());
    }
}
