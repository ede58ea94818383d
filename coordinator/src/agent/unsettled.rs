//! Reports that are not on record yet. Each is said again until the leader settles it. Then the order
//! is over: one that was said twice, and arrives for the second time now, is not carried out again.

use std::collections::{BTreeMap, VecDeque};

use airlift_protocol::id::{AssignmentId, PageId};
use airlift_protocol::limits::{HEARTBEAT_MS, LEASE_MS};
use airlift_protocol::report::{Completion, Report};
use airlift_protocol::time::Timestamp;

/// Of one order: pages in order, then its answer.
#[derive(Debug)]
struct Kept {
    report: Report,
    /// `None` when it is to be said again at once.
    said: Option<Timestamp>,
}

/// Reports by order.
#[derive(Debug, Default)]
pub(super) struct Unsettled {
    kept: BTreeMap<AssignmentId, Vec<Kept>>,
    /// Orders whose answers were settled lately, and when. Not for ever: a leader that was cut off
    /// may have settled what is on no record.
    over: BTreeMap<AssignmentId, Timestamp>,
    /// The same in the order of time, to be forgotten in.
    ended: VecDeque<(Timestamp, AssignmentId)>,
}

fn page_of(report: &Report) -> Option<PageId> {
    report.result.as_ref().ok().and_then(Completion::turn)
}

impl Unsettled {
    pub(super) fn keep(&mut self, now: Timestamp, report: Report) {
        self.kept.entry(report.assignment).or_default().push(Kept { report, said: Some(now) });
    }

    /// Forgets everything of an order.
    pub(super) fn settle(&mut self, id: AssignmentId) {
        self.kept.remove(&id);
    }

    /// The leader has the answer to an order on record, if there was one.
    pub(super) fn end(&mut self, now: Timestamp, id: AssignmentId) {
        while let Some((at, old)) = self.ended.pop_front_if(|(at, _)| now.since(*at) >= LEASE_MS) {
            // It may have ended once more since.
            if self.over.get(&old) == Some(&at) {
                self.over.remove(&old);
            }
        }
        if self.is_answered(id) {
            self.over.insert(id, now);
            self.ended.push_back((now, id));
        }
        self.settle(id);
    }

    /// Whether the answer to an order was settled lately.
    pub(super) fn is_over(&self, now: Timestamp, id: AssignmentId) -> bool {
        self.over.get(&id).is_some_and(|ended| now.since(*ended) < LEASE_MS)
    }

    /// Forgets the pages of an order before `next`.
    pub(super) fn settle_pages(&mut self, id: AssignmentId, next: PageId) {
        let Some(kept) = self.kept.get_mut(&id) else { return };
        kept.retain(|kept| page_of(&kept.report).is_none_or(|page| page >= next));
        if kept.is_empty() {
            self.kept.remove(&id);
        }
    }

    /// Pages that wait.
    pub(super) fn pages(&self) -> usize {
        self.kept.values().flatten().filter(|kept| page_of(&kept.report).is_some()).count()
    }

    /// Whether pages of an order wait.
    pub(super) fn has_pages(&self, id: AssignmentId) -> bool {
        let kept = self.kept.get(&id);
        kept.is_some_and(|kept| kept.iter().any(|kept| page_of(&kept.report).is_some()))
    }

    /// Whether an order has its answer here.
    pub(super) fn is_answered(&self, id: AssignmentId) -> bool {
        let kept = self.kept.get(&id);
        kept.is_some_and(|kept| kept.iter().any(|kept| page_of(&kept.report).is_none()))
    }

    /// Orders whose answer waits.
    pub(super) fn answered(&self) -> impl Iterator<Item = AssignmentId> + '_ {
        self.kept.keys().copied().filter(|id| self.is_answered(*id))
    }

    /// What waits of one order, to be said again.
    pub(super) fn of(
        &mut self,
        now: Timestamp,
        id: AssignmentId,
    ) -> impl Iterator<Item = Box<Report>> + '_ {
        self.kept.get_mut(&id).into_iter().flatten().map(move |kept| {
            kept.said = Some(now);
            Box::new(kept.report.clone())
        })
    }

    /// What was not settled within the time of a sign of life, to be said again.
    pub(super) fn due(&mut self, now: Timestamp) -> impl Iterator<Item = Box<Report>> + '_ {
        let is_due =
            move |kept: &&mut Kept| kept.said.is_none_or(|said| now.since(said) >= HEARTBEAT_MS);
        self.kept.values_mut().flatten().filter(is_due).map(move |kept| {
            kept.said = Some(now);
            Box::new(kept.report.clone())
        })
    }

    /// Makes everything due.
    pub(super) fn make_due(&mut self) {
        for kept in self.kept.values_mut().flatten() {
            kept.said = None;
        }
    }
}
