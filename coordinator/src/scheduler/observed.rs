//! What the leader has seen of the nodes' work: how fast they are, what failed, how long work
//! takes. It is not replicated; a new leader begins with nothing, and hopes for the best.

use airlift_protocol::control::Heartbeat;
use airlift_protocol::error::{ErrorCode, Failure, Scope};
use airlift_protocol::id::NodeId;
use airlift_protocol::report::{Comparison, Completion, ObjectResult, Report, Verdict};
use airlift_protocol::time::Timestamp;

use super::backoff::{BackOff, Way};
use super::rates::Rates;
use super::stragglers::{Pace, TakeBack};
use crate::state::{Lease, State};

/// What was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Observed {
    /// As of when.
    pub(super) now: Timestamp,
    pub(super) rates: Rates,
    pub(super) backoff: BackOff,
    pub(super) pace: Pace,
}

impl Observed {
    /// Lets time pass, and looks at the leases that there are.
    pub(crate) fn look(&mut self, now: Timestamp, state: &State) {
        self.now = now;
        self.pace.look(now, state);
    }

    /// Lets time pass.
    pub(crate) fn pass(&mut self, now: Timestamp) {
        self.now = now;
    }

    /// Takes in a sign of life.
    pub(crate) fn hear(&mut self, now: Timestamp, node: NodeId, beat: &Heartbeat, state: &State) {
        self.now = now;
        self.rates.observe(now, node, beat, state);
    }

    /// Takes in an answer to an order, while its lease is there.
    pub(crate) fn answer(&mut self, report: &Report, lease: &Lease) {
        let (node, now) = (lease.node, self.now);
        let ways = [Some(Way::Node(node)), lease.source.map(|source| Way::Link(node, source))];
        match judge(report) {
            Judgement::Well => {
                ways.into_iter().flatten().for_each(|way| self.backoff.succeed(way));
                self.pace.finish(now, report.job, report.assignment, lease);
            }
            // With a source, it is the way there that failed, and others may be open.
            Judgement::RouteFailed => self.backoff.fail(now, ways[1].unwrap_or(Way::Node(node))),
            Judgement::Neither => {}
        }
    }

    /// A node has started anew.
    pub(crate) fn started(&mut self, node: NodeId) {
        self.backoff.forgive(node);
    }

    /// A lease is being taken back: its node gets none of the job's work for a while.
    pub(crate) fn take_back(&mut self, taken: &TakeBack, lease: &Lease) {
        self.pace.take(taken.job, lease);
        self.backoff.fail(self.now, Way::Job(lease.node, taken.job));
    }

    /// Whether the work may go this way now.
    pub(super) fn is_open(&self, way: Way) -> bool {
        !self.backoff.is_paused(self.now, way)
    }
}

/// What an answer says of the way that its order took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Judgement {
    Well,
    RouteFailed,
    /// Something else failed, or the lease was lost: neither says anything of the way.
    Neither,
}

fn judge(report: &Report) -> Judgement {
    match &report.result {
        Err(failure) => of_failure(failure),
        Ok(Completion::PackMoved(items)) => of_items(items, |item| match item {
            ObjectResult::Failed(failure) => Some(failure),
            ObjectResult::Done { .. }
            | ObjectResult::Copied { .. }
            | ObjectResult::Changed(_)
            | ObjectResult::Skipped(_) => None,
        }),
        Ok(Completion::Compared(items)) => of_items(items, |item| match item {
            Comparison::Failed(failure) => Some(failure),
            Comparison::Unchanged { .. } | Comparison::Move | Comparison::Skipped(_) => None,
        }),
        Ok(Completion::Verified(items)) => of_items(items, |item| match item {
            Verdict::Failed(failure) => Some(failure),
            Verdict::Equal { .. }
            | Verdict::EqualBySum { .. }
            | Verdict::Differs(_)
            | Verdict::Missing
            | Verdict::Skipped(_) => None,
        }),
        Ok(Completion::Deleted(items)) => of_items(items, Option::as_ref),
        Ok(_) => Judgement::Well,
    }
}

fn of_failure(failure: &Failure) -> Judgement {
    match (failure.code, failure.code.scope()) {
        (ErrorCode::LeaseLost, _) | (_, Scope::Object | Scope::Job) => Judgement::Neither,
        (_, Scope::Route) => Judgement::RouteFailed,
    }
}

/// Of many objects, one that got through shows that the way is open.
fn of_items<T>(items: &[T], failure: impl Fn(&T) -> Option<&Failure>) -> Judgement {
    let mut judgements = items.iter().map(|item| failure(item).map(of_failure));
    if items.is_empty() || judgements.clone().any(|judgement| judgement.is_none()) {
        return Judgement::Well;
    }
    match judgements.any(|judgement| judgement == Some(Judgement::RouteFailed)) {
        true => Judgement::RouteFailed,
        false => Judgement::Neither,
    }
}

#[cfg(test)]
mod tests {
    use airlift_protocol::attributes::AttributeSet;
    use airlift_protocol::chunk::Root;
    use airlift_protocol::id::{AssignmentId, Epoch, JobId};

    use super::*;

    #[test]
    fn only_the_way_counts_and_one_object_that_got_through_shows_it_open() {
        let failure = |code| Failure::new(code, "");
        let failed = |code| ObjectResult::Failed(failure(code));
        let done =
            || ObjectResult::Done { root: Root([1; 32]), bytes: 1, dropped: AttributeSet::NONE };
        let pack = |items| Ok(Completion::PackMoved(items));
        for (result, expected) in [
            (Ok(Completion::Cleaned), Judgement::Well),
            (Err(failure(ErrorCode::NodeLost)), Judgement::RouteFailed),
            (Err(failure(ErrorCode::LeaseLost)), Judgement::Neither),
            (Err(failure(ErrorCode::NotFound)), Judgement::Neither),
            (Err(failure(ErrorCode::NoSpace)), Judgement::Neither),
            (pack(Vec::new()), Judgement::Well),
            (pack(vec![failed(ErrorCode::NodeLost), done()]), Judgement::Well),
            (pack(vec![failed(ErrorCode::NodeLost); 2]), Judgement::RouteFailed),
            (
                pack(vec![failed(ErrorCode::Io), failed(ErrorCode::NodeLost)]),
                Judgement::RouteFailed,
            ),
            (pack(vec![failed(ErrorCode::Io)]), Judgement::Neither),
        ] {
            let (assignment, job, epoch) = (AssignmentId(1), JobId([1; 16]), Epoch(1));
            let report = Report { assignment, job, epoch, result, wire_bytes: 0 };
            assert_eq!(judge(&report), expected, "{report:?}");
        }
    }
}
