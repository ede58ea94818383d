//! What a job has used of its budget, as nodes say it with their signs of life.
//!
//! Every word of a node is all that it has used since it began to count, so that none can be lost and
//! none counts twice, whoever leads. What a node that died had not said is made up for: the work that it
//! had counts as done.

use std::collections::BTreeMap;

use airlift_protocol::budget::{Spent, Usage};
use airlift_protocol::cluster::{Boot, Member};
use airlift_protocol::error::{ErrorCode, Failure};
use airlift_protocol::id::{JobId, NodeId};
use airlift_protocol::limits::MEMBERS_MAX;
use airlift_protocol::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::apply::{rest, stop};
use super::job::Job;
use super::leases::Lease;
use super::{Fact, State};

/// The last word of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Said {
    boot: Boot,
    since: Timestamp,
    usage: Usage,
}

/// What a job has used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    said: BTreeMap<NodeId, Said>,
    total: Usage,
    /// Bytes that were read at the source when the run began.
    before: u64,
}

impl Ledger {
    /// What was used since the job, or the run after its last complete one, began. Bytes that are known to
    /// have been `sent` in this run count, though their node has not said so yet.
    pub(super) fn used(&self, sent: u64) -> Usage {
        let sent = self.before.saturating_add(sent);
        self.total.most(Usage { source_bytes: sent, ..Usage::default() })
    }

    /// What a word of a node adds; `None` when it is no news.
    fn added(&self, node: NodeId, (boot, spent): (Boot, &Spent)) -> Option<Usage> {
        let fresh = spent.usage;
        let added = match self.said.get(&node) {
            None => fresh,
            Some(said) if said.boot.is_before(boot) => fresh,
            Some(said) if boot.is_before(said.boot) || spent.since < said.since => return None,
            Some(said) if spent.since > said.since => fresh,
            Some(said) => fresh.since(said.usage),
        };
        (added != Usage::default()).then_some(added)
    }

    /// Whether a word of a node changes anything.
    pub(crate) fn has_news(&self, node: NodeId, word: (Boot, &Spent)) -> bool {
        self.added(node, word).is_some()
    }

    fn take(&mut self, node: NodeId, (boot, spent): (Boot, &Spent)) {
        let Some(added) = self.added(node, (boot, spent)) else { return };
        self.total = self.total.plus(added);
        let earlier = self.said.get(&node).filter(|said| said.since == spent.since);
        let usage = earlier.map_or(spent.usage, |said| spent.usage.most(said.usage));
        self.said.insert(node, Said { boot, since: spent.since, usage });
    }

    /// Forgets the words of nodes that have left: what they said stays counted, and they are not asked again.
    fn keep(&mut self, members: &BTreeMap<NodeId, Member>) {
        if self.said.len() >= MEMBERS_MAX {
            self.said.retain(|node, _| members.contains_key(node));
        }
    }

    /// Counts bytes that no node reads or of which none will say whether they were: the service moves them, or
    /// the node is gone.
    pub(super) fn suppose(&mut self, bytes: u64) {
        self.total = self.total.plus(Usage { source_bytes: bytes, ..Usage::default() });
    }

    /// The ledger of the run after one that is known to have `sent` so much. After a complete one, it begins at
    /// nothing.
    pub(super) fn next_run(self, is_complete: bool, sent: u64) -> Self {
        let total = if is_complete { Usage::default() } else { self.used(sent) };
        Self { total, before: total.source_bytes, ..self }
    }
}

/// Takes in the words of nodes; whose budget has come to its end rests.
pub(super) fn spend(
    state: &mut State,
    words: Vec<(NodeId, Boot, Spent)>,
    at: Timestamp,
) -> Vec<Fact> {
    let is_cluster = state.cluster.is_some();
    let mut facts = Vec::new();
    let members = state.cluster.as_ref().map(|cluster| &cluster.members);
    for (node, boot, spent) in words {
        let Some(job) = state.jobs.get_mut(&spent.job) else { continue };
        if let Some(members) = members {
            if !members.contains_key(&node) {
                continue;
            }
            job.ledger.keep(members);
        }
        job.ledger.take(node, (boot, &spent));
        let exhausted = job.spec.policy.budget.exhausted(job.used());
        if let Some(text) = exhausted.filter(|_| job.is_active()) {
            facts.extend(end(job, spent.job, &text, (is_cluster, at)));
        }
    }
    facts
}

/// The next piece of work, of so many bytes, is more than what is left.
pub(super) fn exhaust(
    state: &mut State,
    id: JobId,
    (run, bytes): (u32, u64),
    at: Timestamp,
) -> Vec<Fact> {
    let is_cluster = state.cluster.is_some();
    let is_meant = |job: &&mut Job| job.is_active() && job.run == run;
    let Some(job) = state.jobs.get_mut(&id).filter(is_meant) else { return Vec::new() };
    let (budget, used) = (job.spec.policy.budget, job.used());
    let short = || budget.shortage(used, bytes).filter(|_| !job.is_reading());
    match budget.exhausted(used).or_else(short) {
        Some(text) => end(job, id, &text, (is_cluster, at)),
        None => Vec::new(),
    }
}

/// A cluster's job rests until it has more; one of a process of its own stops.
fn end(job: &mut Job, id: JobId, text: &str, (is_cluster, at): (bool, Timestamp)) -> Vec<Fact> {
    if job.is_being_cancelled() {
        return Vec::new();
    }
    if is_cluster {
        let text = format!("{text} (airlift job budget {id} raises it)");
        return rest(job, id, Failure::new(ErrorCode::OverBudget, text));
    }
    stop(job, id, Failure::new(ErrorCode::OverBudget, text), at)
}

/// Counts the work of leases that nobody may answer any more as done.
pub(super) fn suppose(job: &mut Job, is_concerned: impl Fn(&Lease) -> bool) {
    if !job.spec.policy.budget.is_empty() {
        let lost = job.leases.values().filter(|lease| is_concerned(lease));
        job.ledger.suppose(lost.map(|lease| lease.bytes).fold(0, u64::saturating_add));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOB: JobId = JobId([7; 16]);
    const NODE: NodeId = NodeId([1; 32]);

    fn spent(since: u64, source_bytes: u64, source_requests: u64) -> Spent {
        let usage = Usage { source_bytes, source_requests, ..Usage::default() };
        Spent { job: JOB, since: Timestamp(since), usage }
    }

    #[test]
    fn every_word_counts_once_whatever_is_repeated_late_or_begun_anew() {
        let (first, second) = (Boot::new(1, 5), Boot::new(2, 9));
        let mut ledger = Ledger::default();
        for (boot, word, bytes, requests) in [
            (first, spent(10, 100, 1), 100, 1),
            (first, spent(10, 100, 1), 100, 1),
            (first, spent(10, 150, 3), 150, 3),
            // An earlier word comes late, one number of another is lower.
            (first, spent(10, 120, 2), 150, 3),
            (first, spent(10, 160, 2), 160, 3),
            // Its leases lapsed; it counts on.
            (first.lapsed(), spent(10, 170, 3), 170, 3),
            // It has let the job go, and began to count again.
            (first.lapsed(), spent(20, 5, 1), 175, 4),
            (first.lapsed(), spent(10, 999, 9), 175, 4),
            // Its process started again, with a clock that was set back.
            (second, spent(3, 7, 0), 182, 4),
            (first, spent(30, 999, 9), 182, 4),
        ] {
            let before = ledger.total;
            let has_news = ledger.has_news(NODE, (boot, &word));
            ledger.take(NODE, (boot, &word));
            let total = ledger.total;
            assert_eq!((total.source_bytes, total.source_requests), (bytes, requests), "{word:?}");
            assert_eq!(has_news, total != before);
        }
        ledger.take(NodeId([2; 32]), (first, &spent(1, 1000, 0)));
        assert_eq!(ledger.total.source_bytes, 1182);
    }

    #[test]
    fn a_run_that_goes_on_goes_on_counting_and_one_after_a_complete_one_does_not() {
        let mut ledger = Ledger::default();
        ledger.take(NODE, (Boot(1), &spent(10, 100, 1)));
        ledger.suppose(50);
        let sent = |ledger: &Ledger, bytes| ledger.used(bytes).source_bytes;
        assert_eq!((sent(&ledger, 120), sent(&ledger, 170)), (150, 170));
        let on = ledger.clone().next_run(false, 160);
        // Its process was gone before the node that sent 160 had said so.
        assert_eq!((sent(&on, 0), sent(&on, 20)), (160, 180));
        let mut next = ledger.next_run(true, 160);
        assert_eq!(next.total, Usage::default());
        next.take(NODE, (Boot(1), &spent(10, 130, 1)));
        assert_eq!(sent(&next, 20), 30, "what was said before is not said again");
    }
}
