//! What has happened to jobs and is to be told to others, in the order in which it was decided: it waits
//! here until the leader has told it, so that it is told once more rather than never when the lead changes.

use std::collections::BTreeMap;

use airlift_protocol::error::{ErrorCode, Failure};
use airlift_protocol::id::JobId;
use airlift_protocol::limits::{NOTICE_LIFE_MS, NOTICES_MAX};
use airlift_protocol::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::job::{Job, Phase};
use super::{Fact, State};
use crate::command::Command;

/// What has happened to a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Happening {
    /// A run of it was submitted.
    Submitted,
    /// The first work of the run was given out.
    Started,
    /// It rests: because somebody asked for it, or for this reason.
    Paused(Option<Failure>),
    /// It goes on.
    Resumed,
    /// Every listed object has come to its end, well or not.
    Completed,
    /// It could not go on.
    Failed(Failure),
    /// Somebody ended it.
    Cancelled,
}

/// One thing that has happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// To which job.
    pub job: JobId,
    /// To which run of it.
    pub run: u32,
    /// When, as far as the log knows the time.
    pub at: Timestamp,
    /// What.
    pub what: Happening,
}

/// What waits to be told, by numbers that only grow.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outbox {
    waiting: BTreeMap<u64, Notice>,
    last: u64,
    /// The time that the last command said which said one: a clock that was wrong is forgotten.
    time: Timestamp,
}

impl Outbox {
    /// What waits, oldest first, behind number `after`.
    pub fn after(&self, after: u64) -> impl Iterator<Item = (u64, &Notice)> {
        self.waiting.range(after.saturating_add(1)..).map(|(number, notice)| (*number, notice))
    }

    /// How much waits.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Everything up to a number was told.
    pub(super) fn settle(&mut self, through: u64) {
        self.waiting = self.waiting.split_off(&through.saturating_add(1));
    }

    fn add(&mut self, job: JobId, run: u32, what: Happening) {
        let at = self.time;
        self.last += 1;
        self.waiting.insert(self.last, Notice { job, run, at, what });
        let is_over = |notice: &Notice| at.since(notice.at) > NOTICE_LIFE_MS;
        while let Some(first) = self.waiting.first_entry()
            && (is_over(first.get()) || self.last - first.key() >= NOTICES_MAX)
        {
            first.remove();
        }
    }
}

/// What the log says of the time.
pub(super) fn time_of(command: &Command) -> Option<Timestamp> {
    match command {
        Command::Submit { at, .. }
        | Command::SubmitOnce { at, .. }
        | Command::Reports { at, .. }
        | Command::Advance { at, .. }
        | Command::Stop { at, .. }
        | Command::Spend { at, .. }
        | Command::Exhaust { at, .. }
        | Command::Forget { at } => Some(*at),
        Command::Page { turn, .. } | Command::Cut { turn, .. } | Command::Passed { turn, .. } => {
            Some(turn.at)
        }
        Command::Grant { grants } => grants.last().map(|grant| grant.at),
        _ => None,
    }
}

/// Takes note of what follows from the change that led to `facts`; `resting` are the jobs that rested
/// before it.
pub(super) fn note(
    state: &mut State,
    time: Option<Timestamp>,
    resting: &[(JobId, bool)],
    facts: &[Fact],
) {
    if state.cluster.is_none() {
        return;
    }
    state.outbox.time = time.unwrap_or(state.outbox.time);
    for fact in facts {
        if let Some((job, run, what)) = happening(state, fact) {
            state.outbox.add(job, run, what);
        }
    }
    for (id, was_paused) in resting {
        let Some(job) = state.jobs.get(id) else { continue };
        let what = match (was_paused, job.is_paused) {
            (false, true) => Happening::Paused(job.paused_by.clone()),
            (true, false) if !job.is_being_cancelled() => Happening::Resumed,
            _ => continue,
        };
        let run = job.run;
        state.outbox.add(*id, run, what);
    }
}

fn happening(state: &mut State, fact: &Fact) -> Option<(JobId, u32, Happening)> {
    match fact {
        Fact::Started(id, run) => Some((*id, *run, Happening::Submitted)),
        Fact::Granted(id, _) => {
            let job = state.jobs.get_mut(id).filter(|job| !job.has_started)?;
            job.has_started = true;
            Some((*id, job.run, Happening::Started))
        }
        Fact::JobEnded(id) => {
            let job = state.jobs.get(id)?;
            Some((*id, job.run, ended(job)))
        }
        _ => None,
    }
}

fn ended(job: &Job) -> Happening {
    match (job.phase, &job.failure) {
        (Phase::Stopped, Some(failure)) if failure.code == ErrorCode::Cancelled => {
            Happening::Cancelled
        }
        (Phase::Stopped, Some(failure)) => Happening::Failed(failure.clone()),
        (Phase::Stopped, None) => {
            Happening::Failed(Failure::new(ErrorCode::Bug, "the job stopped without a reason"))
        }
        _ => Happening::Completed,
    }
}

/// The jobs that a command may have rest, or go on, and whether each rests now.
pub(super) fn resting(state: &State, command: &Command) -> Vec<(JobId, bool)> {
    if state.cluster.is_none() {
        return Vec::new();
    }
    let jobs: Vec<JobId> = match command {
        Command::Pause { job }
        | Command::Resume { job }
        | Command::Cancel { job }
        | Command::TryAgain { job }
        | Command::Exhaust { job, .. }
        | Command::SetBudget { job, .. } => vec![*job],
        Command::Submit { spec, .. } | Command::SubmitOnce { spec, .. } => vec![spec.id()],
        Command::Reports { reports, .. } => reports.iter().map(|report| report.job).collect(),
        Command::Spend { words, .. } => words.iter().map(|(_, _, spent)| spent.job).collect(),
        _ => return Vec::new(),
    };
    let mut jobs: Vec<(JobId, bool)> = jobs
        .into_iter()
        .filter_map(|id| state.jobs.get(&id).map(|job| (id, job.is_paused)))
        .collect();
    jobs.sort_unstable();
    jobs.dedup();
    jobs
}

#[cfg(test)]
mod tests {
    use airlift_protocol::budget::Budget;
    use airlift_protocol::cluster::{Addresses, ClusterId, Member, NodeName, Role};
    use airlift_protocol::id::{KeyRangeId, LogIndex, NodeId};
    use airlift_protocol::job::{Filters, JobSpec, Mode, Policy};
    use airlift_protocol::location::Location;
    use airlift_protocol::raft::RaftId;
    use airlift_protocol::version::Formats;

    use super::*;
    use crate::command::{Founding, Grant};
    use crate::state::Task;
    use airlift_protocol::assignment::End;

    fn spec(target: &str) -> Box<JobSpec> {
        let at = |path: &str| Location::Node { node: "n1".to_owned(), path: path.into() };
        Box::new(JobSpec {
            mode: Mode::Copy,
            source: at("/source"),
            target: at(target),
            single: None,
            filters: Filters::default(),
            policy: Policy::default(),
        })
    }

    fn founded() -> State {
        let mut state = State::default();
        let founder = Member {
            id: NodeId([1; 32]),
            name: NodeName::parse("n1").unwrap(),
            role: Role::Voter,
            raft: Some(RaftId(1)),
            addresses: Addresses::default(),
            joined_at: Timestamp(0),
            formats: Formats::BUILD,
        };
        let founding = Founding { cluster: ClusterId([1; 16]), founder, admin: [0; 32] };
        state.apply(LogIndex(1), Command::Found(Box::new(founding)));
        state
    }

    fn apply(state: &mut State, command: Command) {
        state.apply(LogIndex(2), command);
    }

    fn told(state: &State) -> Vec<(u64, Happening)> {
        let all = state.outbox.after(0);
        all.map(|(number, notice)| (number, notice.what.clone())).collect()
    }

    fn grant(job: JobId, run: u32, at: u64) -> Command {
        let task = Task::List(End::Source, KeyRangeId(0));
        let (node, source, bytes, at) = (NodeId([1; 32]), None, 0, Timestamp(at));
        Command::Grant { grants: vec![Grant { job, run, node, source, task, bytes, at }] }
    }

    #[test]
    fn a_life_is_told_in_order_and_each_thing_once() {
        use Happening::{Cancelled, Failed, Paused, Resumed, Started, Submitted};
        let mut state = founded();
        let job = spec("/t").id();
        apply(&mut state, Command::Submit { spec: spec("/t"), at: Timestamp(5) });
        for at in [6, 7] {
            apply(&mut state, grant(job, 1, at));
        }
        for _ in 0..2 {
            apply(&mut state, Command::Pause { job });
        }
        apply(&mut state, Command::Resume { job });
        let over = Failure::new(ErrorCode::OverBudget, "enough");
        apply(&mut state, Command::Stop { job, failure: over.clone(), at: Timestamp(9) });
        apply(&mut state, Command::Submit { spec: spec("/t"), at: Timestamp(10) });
        let cancelled = Failure::new(ErrorCode::Cancelled, "cancelled");
        apply(&mut state, Command::Stop { job, failure: cancelled, at: Timestamp(11) });
        let all = [Submitted, Started, Paused(None), Resumed, Failed(over), Submitted, Cancelled];
        let all: Vec<(u64, Happening)> = (1..).zip(all).collect();
        assert_eq!(told(&state), all);
        let times: Vec<u64> = state.outbox.after(0).map(|(_, notice)| notice.at.0).collect();
        assert_eq!(times, [5, 6, 7, 7, 9, 10, 11]);
        apply(&mut state, Command::Told { through: 5 });
        assert_eq!(told(&state), all[5..]);
        assert_eq!(state.outbox.after(6).count(), 1);
    }

    #[test]
    fn a_budget_at_its_end_is_told_with_its_reason() {
        let mut state = founded();
        let job = spec("/t").id();
        let mut bounded = spec("/t");
        bounded.policy.budget = Budget { requests: Some(1), ..Budget::default() };
        apply(&mut state, Command::Submit { spec: bounded, at: Timestamp(5) });
        let usage = airlift_protocol::budget::Usage { source_requests: 1, ..Default::default() };
        let spent = airlift_protocol::budget::Spent { job, since: Timestamp(1), usage };
        let words = vec![(NodeId([1; 32]), airlift_protocol::cluster::Boot(1), spent)];
        apply(&mut state, Command::Spend { words: words.clone(), at: Timestamp(6) });
        apply(&mut state, Command::Spend { words, at: Timestamp(7) });
        let budget = Budget { requests: Some(5), ..Budget::default() };
        apply(&mut state, Command::SetBudget { job, budget });
        let all = told(&state);
        let [_, (_, Happening::Paused(Some(failure))), (_, Happening::Resumed)] = &all[..] else {
            panic!("{all:?}");
        };
        assert_eq!(failure.code, ErrorCode::OverBudget);
        assert!(failure.detail().contains("1 of the budget of 1 requests"), "{failure}");
    }

    #[test]
    fn what_nobody_tells_ends_by_number_and_by_age() {
        let mut state = founded();
        for number in 0..NOTICES_MAX + 10 {
            let at = Timestamp(number);
            apply(&mut state, Command::Submit { spec: spec(&format!("/{number}")), at });
        }
        assert_eq!(state.outbox.len() as u64, NOTICES_MAX);
        assert_eq!(state.outbox.after(0).next().unwrap().0, 11);
        let at = Timestamp(NOTICE_LIFE_MS * 2);
        apply(&mut state, Command::Submit { spec: spec("/late"), at });
        assert_eq!(state.outbox.len(), 1);
    }

    #[test]
    fn who_works_alone_has_nobody_to_tell() {
        let mut state = State::default();
        apply(&mut state, Command::Submit { spec: spec("/t"), at: Timestamp(5) });
        assert!(state.outbox.is_empty());
    }
}
