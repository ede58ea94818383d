//! An order in work: its attempts so far, and what they came to.

use airlift_protocol::assignment::{Assignment, Work};
use airlift_protocol::error::{ErrorCode, Failure};
use airlift_protocol::report::{Comparison, Completion, ObjectResult, Report, Verdict};
use airlift_protocol::time::Timestamp;

use super::retry::{self, Retry};

/// An order in work.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) assignment: Assignment,
    pub(super) attempt: u32,
    pub(super) retry: Retry,
    /// Results of earlier attempts, by place in the order; `None` where one is still wanted.
    results: Vec<Option<ItemResult>>,
    /// When to try again, while waiting.
    pub(super) due: Option<Timestamp>,
    /// Bytes of other nodes' answers that arrived for it, in all attempts.
    pub(super) wire_bytes: u64,
    /// Of a listing: that a part of it was reported, and is not known to be on record.
    pub(super) is_waiting: bool,
}

/// The result of one object of an order that has many.
#[derive(Clone, Debug)]
enum ItemResult {
    Moved(ObjectResult),
    Compared(Comparison),
    Verified(Verdict),
    /// Why it was not deleted, if so.
    Deleted(Option<Failure>),
}

impl ItemResult {
    fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Moved(ObjectResult::Failed(failure))
            | Self::Compared(Comparison::Failed(failure))
            | Self::Verified(Verdict::Failed(failure))
            | Self::Deleted(Some(failure)) => Some(failure),
            Self::Moved(_) | Self::Compared(_) | Self::Verified(_) | Self::Deleted(None) => None,
        }
    }
}

/// The answer to an order.
pub(super) fn report(
    assignment: &Assignment,
    result: Result<Completion, Failure>,
    wire_bytes: u64,
) -> Report {
    let Assignment { id, job, epoch, .. } = *assignment;
    Report { assignment: id, job, epoch, result, wire_bytes }
}

/// Objects of an order whose results are kept one by one.
fn item_count(work: &Work) -> usize {
    match work {
        Work::MovePack { objects } | Work::Verify { objects } => objects.len(),
        Work::Compare { page } => page.entries.len(),
        Work::Delete { entries } => entries.len(),
        Work::List { .. }
        | Work::Open { .. }
        | Work::MoveRange { .. }
        | Work::Commit { .. }
        | Work::Discard { .. }
        | Work::ReadBack { .. }
        | Work::Clean => 0,
    }
}

impl Running {
    /// An order at its first attempt, number `attempt`. `seed` spreads its retries in time.
    pub(super) fn new(assignment: Assignment, attempt: u32, seed: u64) -> Self {
        let retry = Retry::new(seed ^ assignment.id.0);
        let results = vec![None; item_count(&assignment.work)];
        Self { assignment, attempt, retry, results, due: None, wire_bytes: 0, is_waiting: false }
    }

    /// A part of a listing was reported: another attempt would go on after it, with its full number of
    /// retries.
    pub(super) fn listed_up_to(&mut self, completion: &Completion, seed: u64) {
        let Work::List { after, next, until, cuts, .. } = &mut self.assignment.work else { return };
        let turn = match completion {
            Completion::Page { page, entries, .. } => {
                entries.last().map(|last| (page, after.insert(last.key.clone())))
            }
            Completion::Cut { page, at } => at.first().map(|first| {
                *cuts = 0;
                (page, until.insert(first.clone()))
            }),
            Completion::Passed { page, up_to, .. } => Some((page, after.insert(up_to.clone()))),
            _ => None,
        };
        let Some((turn, _)) = turn else { return };
        *next = turn.next();
        self.is_waiting = true;
        self.retry = Retry::new(seed ^ self.assignment.id.0);
    }

    /// Takes the results of an attempt into those of the order.
    pub(super) fn merge(
        &mut self,
        result: Result<Completion, Failure>,
    ) -> Result<Completion, Failure> {
        let items: Vec<ItemResult> = match result {
            Ok(Completion::PackMoved(items)) => items.into_iter().map(ItemResult::Moved).collect(),
            Ok(Completion::Compared(items)) => {
                items.into_iter().map(ItemResult::Compared).collect()
            }
            Ok(Completion::Verified(items)) => {
                items.into_iter().map(ItemResult::Verified).collect()
            }
            Ok(Completion::Deleted(items)) => items.into_iter().map(ItemResult::Deleted).collect(),
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
    pub(super) fn worst_failure<'a>(
        &'a self,
        result: &'a Result<Completion, Failure>,
    ) -> Option<&'a Failure> {
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
    pub(super) fn remaining_work(&self) -> Work {
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
            Work::Delete { entries } => {
                *entries = wanted.into_iter().map(|place| entries[place].clone()).collect();
            }
            _ => {}
        }
        work
    }

    /// The answer: for an order of many objects, what is known of each.
    pub(super) fn collect(
        &self,
        result: Result<Completion, Failure>,
    ) -> Result<Completion, Failure> {
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
            Work::Delete { .. } => Ok(Completion::Deleted(self.items(|item| match item {
                Some(ItemResult::Deleted(kept)) => kept.clone(),
                _ => Some(missing.clone()),
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
