//! What agents say: signs of life, and answers to orders. Either may be lost, late, or repeated.

use std::collections::BTreeSet;

use airlift_protocol::assignment::End;
use airlift_protocol::codec;
use airlift_protocol::control::{Heartbeat, Order};
use airlift_protocol::id::{AssignmentId, JobId, NodeId, PageId};
use airlift_protocol::limits::{REPORTS_BATCHED_MAX, REPORTS_BYTES_MAX};
use airlift_protocol::manifest::Page;
use airlift_protocol::report::{Completion, Report};
use airlift_protocol::time::Timestamp;

use super::Coordinator;
use crate::command::Command;
use crate::effect::Effect;
use crate::scheduler::inventory::Heard;
use crate::state::{Lease, Task};

impl Coordinator {
    pub(super) fn on_heartbeat(&mut self, now: Timestamp, node: NodeId, beat: &Heartbeat) {
        self.said = None;
        if !self.is_deciding {
            return;
        }
        let cluster = self.state.cluster.as_ref();
        let member = cluster.and_then(|cluster| cluster.members.get(&node));
        if cluster.is_some() && member.is_none() {
            return;
        }
        if self.inventory.hear(node, beat, now) == Heard::Superseded {
            self.effects.push_back(Effect::Superseded { node });
            return;
        }
        let has_moved = member.is_some_and(|member| member.addresses != beat.addresses);
        self.observe_beat(now, node, beat);
        if self.state.boots.get(&node) != Some(&beat.boot) || has_moved {
            if self.starting.insert((node, beat.boot)) {
                let (boot, addresses) = (beat.boot, beat.addresses.clone());
                self.log.propose(Command::NodeStarted { node, boot, addresses }, None);
            }
            return;
        }
        self.reconcile(node, &beat.held);
    }

    /// Says again what the agent has not heard, and takes back what it should not have.
    fn reconcile(&mut self, node: NodeId, held: &[AssignmentId]) {
        let held: BTreeSet<AssignmentId> = held.iter().copied().collect();
        let mut leased: BTreeSet<AssignmentId> = BTreeSet::new();
        let mut unheard: Vec<(JobId, AssignmentId)> = Vec::new();
        for (job_id, job) in &self.state.jobs {
            for (id, _) in job.leases.iter().filter(|(_, lease)| lease.node == node) {
                leased.insert(*id);
                if !held.contains(id) {
                    unheard.push((*job_id, *id));
                }
            }
        }
        for id in held.difference(&leased) {
            self.order(node, Order::Revoke(*id));
        }
        for (job, id) in unheard {
            // Without its pages in memory it is said at the next sign of life.
            let _ = self.assign(job, id);
        }
    }

    pub(super) fn on_report(&mut self, node: NodeId, report: Report) {
        if !self.is_deciding {
            return;
        }
        let lease = self.lease(report.job, report.assignment).filter(|lease| lease.node == node);
        let Some(lease) = lease.filter(|lease| lease.epoch == report.epoch) else {
            return self.order(node, Order::Settle(report.assignment));
        };
        let listing = match lease.task {
            Task::List(end) => Some(end),
            _ => None,
        };
        match (listing, report) {
            (
                Some(end),
                Report { job, assignment, result: Ok(Completion::Page { page, entries }), .. },
            ) => self.on_page(node, (job, end, assignment), Page { id: page, entries }),
            (Some(end), report) if !self.is_whole(end, &report) => {}
            (_, report) => {
                if self.reported.insert(report.assignment) {
                    self.reports.push(report);
                }
            }
        }
    }

    /// Proposes the reports that have come in, together: the first one alone when nothing is under
    /// way, the others with those that come while it is.
    pub(super) fn flush_reports(&mut self) {
        while !self.reports.is_empty() && !self.is_congested() {
            let rest = self.reports.split_off(batch_length(&self.reports));
            let reports = std::mem::replace(&mut self.reports, rest);
            self.log.propose(Command::Reports { reports }, None);
        }
    }

    /// Whether every page of a listing is on record or under way before its end is.
    fn is_whole(&self, end: End, report: &Report) -> bool {
        match &report.result {
            Ok(Completion::Listed(listing)) => listing.pages == self.next_page(report.job, end),
            _ => true,
        }
    }

    fn on_page(&mut self, node: NodeId, of: (JobId, End, AssignmentId), page: Page) {
        let (job, end, assignment) = of;
        let listed = self.state.jobs[&job].listing(end).next_page();
        if page.id < listed {
            return self.order(node, Order::SettlePages(assignment, listed));
        }
        // A later page waits for those before it, which the agent says again.
        if page.id == self.next_page(job, end) {
            let run = self.state.jobs[&job].run;
            self.log.propose(Command::Page { job, run, end, page }, None);
        }
    }

    /// The id of the next page of a listing, pages on their way through the log counted in.
    fn next_page(&self, job: JobId, end: End) -> PageId {
        let listed = self.state.jobs[&job].listing(end).next_page();
        PageId(listed.0 + self.log.pages_under_way(job, end))
    }

    fn lease(&self, job: JobId, assignment: AssignmentId) -> Option<&Lease> {
        self.state.jobs.get(&job)?.leases.get(&assignment)
    }

    /// What agents may forget once `command` is applied.
    pub(super) fn settled_by(&self, command: &Command) -> Vec<(NodeId, Order)> {
        match command {
            Command::Reports { reports } => reports
                .iter()
                .filter_map(|report| {
                    let lease = self.lease(report.job, report.assignment)?;
                    Some((lease.node, Order::Settle(report.assignment)))
                })
                .collect(),
            Command::Page { job, end, page, .. } => {
                let leases = self.state.jobs.get(job).map(|job| &job.leases);
                let lister = leases.and_then(|leases| {
                    leases.iter().find(|(_, lease)| lease.task == Task::List(*end))
                });
                let next = page.id.next();
                lister
                    .map(|(id, lease)| (lease.node, Order::SettlePages(*id, next)))
                    .into_iter()
                    .collect()
            }
            _ => Vec::new(),
        }
    }
}

/// How many reports go into the next entry: one at least, and no more than it can hold.
fn batch_length(reports: &[Report]) -> usize {
    let mut bytes = 0;
    let fitting = reports.iter().take(REPORTS_BATCHED_MAX).take_while(|report| {
        bytes += codec::encode(report).len();
        bytes <= REPORTS_BYTES_MAX
    });
    fitting.count().max(1)
}

#[cfg(test)]
mod tests {
    use airlift_protocol::chunk::Root;
    use airlift_protocol::error::{ErrorCode, Failure};
    use airlift_protocol::id::Epoch;
    use airlift_protocol::limits::{
        FAILURE_DETAIL_BYTES_MAX, LOG_ENTRY_BYTES_MAX, PACK_OBJECTS_MAX, PAGE_ENTRIES_MAX,
        RAFT_COMMAND_BYTES_MAX,
    };
    use airlift_protocol::report::{Comparison, ObjectResult};

    use super::*;

    fn report(completion: Completion) -> Report {
        let (assignment, job, epoch) = (AssignmentId(1), JobId([1; 16]), Epoch(1));
        Report { assignment, job, epoch, result: Ok(completion) }
    }

    #[test]
    fn a_batch_of_the_largest_reports_can_be_read_back() {
        let failure = Failure::new(ErrorCode::NotFound, "x".repeat(FAILURE_DETAIL_BYTES_MAX));
        let done = ObjectResult::Done { root: Root([1; 32]), bytes: 1 };
        let unchanged = Comparison::Unchanged { bytes: 1 };
        let completions = [
            Completion::Cleaned,
            Completion::PackMoved(vec![done; PACK_OBJECTS_MAX]),
            Completion::PackMoved(vec![ObjectResult::Failed(failure.clone()); PACK_OBJECTS_MAX]),
            Completion::Compared(vec![unchanged; PAGE_ENTRIES_MAX]),
            Completion::Compared(vec![Comparison::Failed(failure); PAGE_ENTRIES_MAX]),
        ];
        for completion in completions {
            let reports = vec![report(completion); REPORTS_BATCHED_MAX];
            let length = batch_length(&reports);
            let reports = reports[..length].to_vec();
            let bytes = codec::encode(&Command::Reports { reports });
            assert!(bytes.len() <= RAFT_COMMAND_BYTES_MAX);
            assert!(codec::decode::<Command>(&bytes, LOG_ENTRY_BYTES_MAX).is_ok());
        }
    }
}
