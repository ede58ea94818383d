//! The worker's half of the control plane: it turns an order into attempts, decides on every
//! failure whether another attempt is worth it, and answers once.

pub mod retry;

use std::collections::{BTreeMap, VecDeque};

use airlift_protocol::assignment::{Assignment, Work};
use airlift_protocol::error::{ErrorCode, Failure};
use airlift_protocol::id::AssignmentId;
use airlift_protocol::limits::HEARTBEAT_MS;
use airlift_protocol::report::{Comparison, Completion, ObjectResult, Report, Verdict};
use airlift_protocol::time::Timestamp;

use self::retry::{Decision, Retry};

/// Everything that can happen to an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AgentInput {
    /// The coordinator gives an order.
    Assign(Box<Assignment>),
    /// The coordinator takes an order back.
    Revoke(AssignmentId),
    /// An attempt has ended, or for a page of a listing: goes on.
    Outcome {
        /// Of which order.
        assignment: AssignmentId,
        /// Which attempt, as [`AgentEffect::Start`] numbered it.
        attempt: u32,
        /// How.
        result: Result<Completion, Failure>,
    },
    /// The time that `poll_timeout` named has come.
    Timeout,
}

/// Everything an agent may ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AgentEffect {
    /// Begin an attempt.
    Start {
        /// At which order.
        assignment: AssignmentId,
        /// Counted from 1 within the order.
        attempt: u32,
        /// What to do: the order's work, or what is left of it.
        work: Work,
    },
    /// Stop working on an order.
    Cancel(AssignmentId),
    /// Answer the coordinator.
    Report(Box<Report>),
    /// Tell the coordinator that this node lives.
    Heartbeat,
}

/// An order in work.
#[derive(Debug)]
struct Running {
    assignment: Assignment,
    attempt: u32,
    retry: Retry,
    /// Results of earlier attempts, by place in the order; `None` where one is still wanted.
    results: Vec<Option<ItemResult>>,
    /// When to try again, while waiting.
    due: Option<Timestamp>,
}

/// The result of one object of an order that has many.
#[derive(Clone, Debug)]
enum ItemResult {
    Moved(ObjectResult),
    Compared(Comparison),
    Verified(Verdict),
}

impl ItemResult {
    fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Moved(ObjectResult::Failed(failure))
            | Self::Compared(Comparison::Failed(failure))
            | Self::Verified(Verdict::Failed(failure)) => Some(failure),
            Self::Moved(_) | Self::Compared(_) | Self::Verified(_) => None,
        }
    }
}

/// The agent of one node.
#[derive(Debug)]
pub struct Agent {
    seed: u64,
    running: BTreeMap<AssignmentId, Running>,
    next_heartbeat: Timestamp,
    effects: VecDeque<AgentEffect>,
}

impl Agent {
    /// An agent without orders. `seed` spreads its retries in time.
    pub fn new(now: Timestamp, seed: u64) -> Self {
        Self {
            seed,
            running: BTreeMap::new(),
            next_heartbeat: now.plus(HEARTBEAT_MS),
            effects: VecDeque::new(),
        }
    }

    /// Takes in one thing that happened.
    pub fn handle(&mut self, now: Timestamp, input: AgentInput) {
        match input {
            AgentInput::Assign(assignment) => self.on_assign(*assignment),
            AgentInput::Revoke(id) => {
                if self.running.remove(&id).is_some() {
                    self.effects.push_back(AgentEffect::Cancel(id));
                }
            }
            AgentInput::Outcome { assignment, attempt, result } => {
                self.on_outcome(now, assignment, attempt, result);
            }
            AgentInput::Timeout => self.on_timeout(now),
        }
    }

    /// The next thing to do, in order.
    pub fn poll_effect(&mut self) -> Option<AgentEffect> {
        self.effects.pop_front()
    }

    /// When to call `handle` with [`AgentInput::Timeout`] at the latest.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let retry = self.running.values().filter_map(|running| running.due).min();
        Some(retry.map_or(self.next_heartbeat, |due| due.min(self.next_heartbeat)))
    }

    fn on_assign(&mut self, assignment: Assignment) {
        let id = assignment.id;
        let retry = Retry::new(self.seed ^ id.0);
        let results = vec![None; item_count(&assignment.work)];
        let work = assignment.work.clone();
        let running = Running { assignment, attempt: 1, retry, results, due: None };
        self.running.insert(id, running);
        self.effects.push_back(AgentEffect::Start { assignment: id, attempt: 1, work });
    }

    fn on_outcome(
        &mut self,
        now: Timestamp,
        id: AssignmentId,
        attempt: u32,
        result: Result<Completion, Failure>,
    ) {
        let Some(running) = self.running.get_mut(&id) else { return };
        if running.attempt != attempt || running.due.is_some() {
            return;
        }
        let result = match result {
            Ok(completion @ Completion::Page { .. }) => {
                running.listed_up_to(&completion, self.seed);
                let report = report(&running.assignment, Ok(completion));
                return self.effects.push_back(AgentEffect::Report(Box::new(report)));
            }
            result => running.merge(result),
        };
        let decision = match running.worst_failure(&result).cloned() {
            Some(failure) => running.retry.decide(&failure),
            None => Decision::GiveUp,
        };
        match decision {
            Decision::GiveUp => self.answer(id, result),
            Decision::Again { after_ms } => running.due = Some(now.plus(after_ms)),
        }
    }

    fn answer(&mut self, id: AssignmentId, result: Result<Completion, Failure>) {
        let Some(running) = self.running.remove(&id) else { return };
        let result = running.collect(result);
        let report = report(&running.assignment, result);
        self.effects.push_back(AgentEffect::Report(Box::new(report)));
    }

    fn on_timeout(&mut self, now: Timestamp) {
        if now >= self.next_heartbeat {
            self.next_heartbeat = now.plus(HEARTBEAT_MS);
            self.effects.push_back(AgentEffect::Heartbeat);
        }
        for (id, running) in &mut self.running {
            if running.due.is_some_and(|due| due <= now) {
                running.due = None;
                running.attempt += 1;
                let work = running.remaining_work();
                let attempt = running.attempt;
                self.effects.push_back(AgentEffect::Start { assignment: *id, attempt, work });
            }
        }
    }
}

fn report(assignment: &Assignment, result: Result<Completion, Failure>) -> Report {
    let Assignment { id, job, epoch, .. } = *assignment;
    Report { assignment: id, job, epoch, result }
}

/// Objects of an order whose results are kept one by one.
fn item_count(work: &Work) -> usize {
    match work {
        Work::MovePack { objects } | Work::Verify { objects } => objects.len(),
        Work::Compare { page } => page.entries.len(),
        Work::List { .. }
        | Work::Open { .. }
        | Work::MoveRange { .. }
        | Work::Commit { .. }
        | Work::Discard { .. }
        | Work::ReadBack { .. }
        | Work::Delete { .. }
        | Work::Clean => 0,
    }
}

impl Running {
    /// A page of a listing was reported: another attempt would go on after it, with its full number
    /// of retries.
    fn listed_up_to(&mut self, completion: &Completion, seed: u64) {
        if let (Work::List { after, next, .. }, Completion::Page { entries }) =
            (&mut self.assignment.work, completion)
            && let Some(last) = entries.last()
        {
            *after = Some(last.key.clone());
            *next = next.next();
            self.retry = Retry::new(seed ^ self.assignment.id.0);
        }
    }

    /// Takes the results of an attempt into those of the order.
    fn merge(&mut self, result: Result<Completion, Failure>) -> Result<Completion, Failure> {
        let items: Vec<ItemResult> = match result {
            Ok(Completion::PackMoved(items)) => items.into_iter().map(ItemResult::Moved).collect(),
            Ok(Completion::Compared(items)) => {
                items.into_iter().map(ItemResult::Compared).collect()
            }
            Ok(Completion::Verified(items)) => {
                items.into_iter().map(ItemResult::Verified).collect()
            }
            other => return other,
        };
        let wanted: Vec<usize> = self.wanted().collect();
        if wanted.len() != items.len() {
            let text = format!("{} results for {} objects", items.len(), wanted.len());
            return Err(Failure::new(ErrorCode::Bug, text));
        }
        for (place, item) in wanted.into_iter().zip(items) {
            self.results[place] = Some(item);
        }
        Ok(Completion::PackMoved(Vec::new()))
    }

    /// Places of the order that have no result, or one that another attempt may better.
    fn wanted(&self) -> impl Iterator<Item = usize> + '_ {
        self.results.iter().enumerate().filter_map(|(place, result)| {
            let is_open = match result {
                None => true,
                Some(result) => result.failure().is_some_and(retry::is_worth_another),
            };
            is_open.then_some(place)
        })
    }

    /// The failure that decides about another attempt, if one is worth it at all.
    fn worst_failure<'a>(&'a self, result: &'a Result<Completion, Failure>) -> Option<&'a Failure> {
        match result {
            Err(failure) => Some(failure),
            Ok(_) => self
                .results
                .iter()
                .filter_map(|result| result.as_ref().and_then(ItemResult::failure))
                .find(|failure| retry::is_worth_another(failure)),
        }
    }

    /// The order's work without what has a final result.
    fn remaining_work(&self) -> Work {
        let mut work = self.assignment.work.clone();
        let wanted: Vec<usize> = self.wanted().collect();
        match &mut work {
            Work::MovePack { objects } | Work::Verify { objects } => {
                *objects = wanted.into_iter().map(|place| objects[place].clone()).collect();
            }
            Work::Compare { page } => {
                page.entries =
                    wanted.into_iter().map(|place| page.entries[place].clone()).collect();
            }
            _ => {}
        }
        work
    }

    /// The answer: for an order of many objects, what is known of each.
    fn collect(&self, result: Result<Completion, Failure>) -> Result<Completion, Failure> {
        if self.results.is_empty() {
            return result;
        }
        let missing = match &result {
            Err(failure) if failure.code.scope() == airlift_protocol::error::Scope::Job => {
                return result;
            }
            Err(failure) => failure.clone(),
            Ok(_) => Failure::new(ErrorCode::Bug, "an object of the order has no result"),
        };
        match &self.assignment.work {
            Work::MovePack { .. } => Ok(Completion::PackMoved(self.items(|item| match item {
                Some(ItemResult::Moved(result)) => result.clone(),
                _ => ObjectResult::Failed(missing.clone()),
            }))),
            Work::Compare { .. } => Ok(Completion::Compared(self.items(|item| match item {
                Some(ItemResult::Compared(result)) => result.clone(),
                _ => Comparison::Failed(missing.clone()),
            }))),
            _ => Ok(Completion::Verified(self.items(|item| match item {
                Some(ItemResult::Verified(result)) => result.clone(),
                _ => Verdict::Failed(missing.clone()),
            }))),
        }
    }

    fn items<T>(&self, pick: impl Fn(Option<&ItemResult>) -> T) -> Vec<T> {
        self.results.iter().map(|item| pick(item.as_ref())).collect()
    }
}
