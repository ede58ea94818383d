//! What agents say: signs of life, and answers to orders. Either may be lost, late, or repeated.

use std::collections::BTreeSet;

use airlift_protocol::assignment::End;
use airlift_protocol::codec;
use airlift_protocol::control::{Heartbeat, Order};
use airlift_protocol::error::{ErrorCode, Failure};
use airlift_protocol::id::{AssignmentId, JobId, KeyRangeId, NodeId, PageId};
use airlift_protocol::key::Key;
use airlift_protocol::limits::{
    ADDRESSES_BYTES_MAX, PAGE_BYTES_MAX, REPORTS_BATCHED_MAX, REPORTS_BYTES_MAX,
};
use airlift_protocol::manifest::{Entry, Page};
use airlift_protocol::report::{Completion, Report, Unreadable};
use airlift_protocol::time::Timestamp;

use super::Coordinator;
use crate::command::{Command, Turn};
use crate::effect::Effect;
use crate::scheduler::inventory::Heard;
use crate::state::{Job, Lease, Phase, Task, is_movable};

/// Times that a node may start or move in so many milliseconds: each is an entry of the log.
const STARTS_MAX: u32 = 8;
const STARTS_WINDOW_MS: u64 = 10_000;

/// Orders that are taken back at one sign of life; those left are at the next.
const REVOKED_MAX: usize = 256;

/// Encoded bytes of a page that is taken: one entry may be longer than a page should be.
const LISTED_BYTES_MAX: usize = 2 * PAGE_BYTES_MAX;

/// What a listing reports of a key range, in turns.
enum Turned {
    Page(Vec<Entry>, Unreadable),
    Cut(Vec<Key>),
    Passed(Key, Unreadable),
}

impl Coordinator {
    pub(super) fn on_heartbeat(&mut self, now: Timestamp, node: NodeId, beat: &Heartbeat) {
        (self.said, self.said_of_gates) = (None, None);
        if !self.is_deciding {
            return;
        }
        if codec::encode(&beat.addresses).len() > ADDRESSES_BYTES_MAX {
            return;
        }
        let cluster = self.state.cluster.as_ref();
        let member = cluster.and_then(|cluster| cluster.members.get(&node));
        if cluster.is_some() && member.is_none() {
            return;
        }
        if member.is_some() && !beat.formats.has(self.state.format) {
            self.effects.push_back(Effect::Unfit { node, formats: beat.formats });
            return;
        }
        let known = self.inventory.node(node).and_then(|view| view.boot);
        if self.inventory.hear(node, beat, now) == Heard::Superseded {
            self.effects.push_back(Effect::Superseded { node });
            return;
        }
        let has_moved = member.is_some_and(|member| {
            (&member.addresses, member.formats) != (&beat.addresses, beat.formats)
        });
        if known != Some(beat.boot) {
            self.note_change();
        }
        self.observe_beat(now, node, beat);
        if self.state.boots.get(&node) != Some(&beat.boot) || has_moved {
            // Every such entry makes all members write. What is not heard now is said again.
            let (since, count) = self.started.entry(node).or_insert((now, 0));
            if now.since(*since) >= STARTS_WINDOW_MS {
                (*since, *count) = (now, 0);
            }
            if *count < STARTS_MAX && self.starting.insert((node, beat.boot)) {
                *count += 1;
                let (boot, addresses, formats) = (beat.boot, beat.addresses.clone(), beat.formats);
                self.log.propose(Command::NodeStarted { node, boot, addresses, formats }, None);
            }
            return;
        }
        self.hear_spent(node, beat);
        self.reconcile(node, &beat.held);
    }

    /// Those of `jobs` of which nothing is needed any more, with their last run: complete, or
    /// cancelled. What has only stopped can be submitted again, and goes on with what nodes keep.
    pub fn over(&self, jobs: impl IntoIterator<Item = JobId>) -> Vec<(JobId, u32)> {
        let jobs: Vec<JobId> = jobs.into_iter().collect();
        let found = jobs.iter().filter_map(|id| Some((*id, self.state.jobs.get(id)?)));
        let is_over = |job: &Job| match job.phase {
            Phase::Ended => true,
            Phase::Stopped => {
                job.failure.as_ref().is_some_and(|failure| failure.code == ErrorCode::Cancelled)
            }
            Phase::Moving
            | Phase::ListingTarget
            | Phase::Diffing
            | Phase::Deleting
            | Phase::Cleaning => false,
        };
        let over = found.filter(|(_, job)| is_over(job)).map(|(id, job)| (id, job.run));
        let removed = |id: &JobId| Some((*id, self.state.removed.get(id)?.run));
        over.chain(jobs.iter().filter_map(removed)).collect()
    }

    /// Says again what the agent has not heard, and takes back what it should not have.
    fn reconcile(&mut self, node: NodeId, held: &[AssignmentId]) {
        let held: BTreeSet<AssignmentId> = held.iter().copied().collect();
        let mut leased: BTreeSet<AssignmentId> = BTreeSet::new();
        let mut unheard: Vec<(JobId, AssignmentId)> = Vec::new();
        // A job that stopped keeps its leases on record, and nobody is to work on them.
        for (job_id, job) in self.state.jobs.iter().filter(|(_, job)| job.is_running()) {
            for id in job.leases.of(node).into_iter().flat_map(|held| &held.leases) {
                leased.insert(*id);
                if !held.contains(id) {
                    unheard.push((*job_id, *id));
                }
            }
        }
        for id in held.difference(&leased).take(REVOKED_MAX) {
            self.order(node, Order::Revoke(*id));
        }
        for (job, id) in unheard {
            // Without its pages in memory it is said at the next sign of life.
            let _ = self.assign(job, id);
        }
    }

    pub(super) fn on_report(&mut self, now: Timestamp, node: NodeId, report: Report) {
        if !self.is_deciding {
            return;
        }
        let lease = self.lease(report.job, report.assignment).filter(|lease| lease.node == node);
        let Some(lease) = lease.filter(|lease| lease.epoch == report.epoch) else {
            return self.order(node, Order::Settle(report.assignment));
        };
        let listing = match lease.task {
            Task::List(end, range) => Some((end, range)),
            _ => None,
        };
        let Some(listing) = listing else { return self.keep_report(report) };
        let of = (report.job, listing.0, listing.1, report.assignment);
        match report.result {
            Ok(Completion::Page { page, entries, unreadable }) => {
                self.on_turn(now, node, of, (page, Turned::Page(entries, unreadable)));
            }
            Ok(Completion::Cut { page, at }) => {
                self.on_turn(now, node, of, (page, Turned::Cut(at)));
            }
            Ok(Completion::Passed { page, up_to, unreadable }) => {
                self.on_turn(now, node, of, (page, Turned::Passed(up_to, unreadable)));
            }
            Ok(Completion::Listed(ref end) | Completion::PartListed(ref end))
                if Some(end.pages) != self.next_turn(report.job, listing) => {}
            _ => self.keep_report(report),
        }
    }

    fn keep_report(&mut self, report: Report) {
        if self.reported.insert(report.assignment) {
            self.reports.push(report);
        }
    }

    /// Proposes the reports that have come in, together: the first one alone when nothing is under
    /// way, the others with those that come while it is.
    pub(super) fn flush_reports(&mut self, at: Timestamp) {
        while !self.reports.is_empty() && !self.is_congested() {
            let rest = self.reports.split_off(batch_length(&self.reports));
            let reports = std::mem::replace(&mut self.reports, rest);
            self.log.propose(Command::Reports { reports, at }, None);
        }
    }

    /// Proposes what a listing reports of a key range, in its turn: a later page waits for those before
    /// it, which the agent says again.
    fn on_turn(
        &mut self,
        now: Timestamp,
        node: NodeId,
        (job, end, range, assignment): (JobId, End, KeyRangeId, AssignmentId),
        (number, turned): (PageId, Turned),
    ) {
        let Some(state) = self.state.jobs.get(&job) else { return };
        let Some(listed) = state.listing(end).open_range(range) else { return };
        if number < listed.next {
            return self.order(node, Order::SettlePages(assignment, listed.next));
        }
        let (run, cuts) = (state.run, listed.cuts);
        let at = now.plus(self.wall_offset);
        if self.next_turn(job, (end, range)) != Some(number) {
            return;
        }
        let turn = Turn { range, number, at };
        let fault = match turned {
            Turned::Page(entries, unreadable) => {
                let page = Page { id: self.next_page(job, end), entries };
                // Encoded only when it must be: the log does that once more.
                let is_small = page.encoded_bytes_max() <= LISTED_BYTES_MAX
                    || codec::encode(&page).len() <= LISTED_BYTES_MAX;
                if is_movable(&page) && is_small {
                    let command = Command::Page { job, run, end, page, turn, unreadable };
                    return self.log.propose(command, None);
                }
                format!("page {}", page.id.0)
            }
            Turned::Cut(at) if at.len() <= cuts as usize => {
                return self.log.propose(Command::Cut { job, run, end, turn, at }, None);
            }
            Turned::Cut(at) => format!("{} cuts", at.len()),
            Turned::Passed(up_to, unreadable) => {
                let command = Command::Passed { job, run, end, turn, up_to, unreadable };
                return self.log.propose(command, None);
            }
        };
        let text = format!("{node:?} listed what cannot be: {fault} of the {end:?}");
        let failure = Failure::new(ErrorCode::Protocol, text);
        self.log.propose(Command::Stop { job, failure, at }, None);
    }

    /// The id of the next page of a listing, pages on their way through the log counted in.
    fn next_page(&self, job: JobId, end: End) -> PageId {
        let listed = self.state.jobs[&job].listing(end).next_page();
        PageId(listed.0 + self.log.pages_under_way(job, end))
    }

    /// The number of what a key range reports next, what is on its way through the log counted in.
    fn next_turn(&self, job: JobId, (end, range): (End, KeyRangeId)) -> Option<PageId> {
        let listed = self.state.jobs.get(&job)?.listing(end).open_range(range)?.next;
        Some(PageId(listed.0 + self.log.turns_under_way(job, end, range)))
    }

    /// A lease that somebody is to work on.
    fn lease(&self, job: JobId, assignment: AssignmentId) -> Option<&Lease> {
        self.running(job)?.leases.get(assignment)
    }

    /// What agents may forget once `command` is applied.
    pub(super) fn settled_by(&self, command: &Command) -> Vec<(NodeId, Order)> {
        match command {
            Command::Reports { reports, .. } => reports
                .iter()
                .filter_map(|report| {
                    let lease = self.lease(report.job, report.assignment)?;
                    Some((lease.node, Order::Settle(report.assignment)))
                })
                .collect(),
            _ => Vec::new(),
        }
    }

    /// The key range whose turn `command` is.
    pub(super) fn turn_of(&self, command: &Command) -> Option<(JobId, End, KeyRangeId)> {
        match command {
            Command::Page { job, end, turn, .. }
            | Command::Cut { job, end, turn, .. }
            | Command::Passed { job, end, turn, .. } => Some((*job, *end, turn.range)),
            _ => None,
        }
    }

    /// What the lister of a range may forget, as the range stands now.
    pub(super) fn settled_turn(
        &self,
        (job, end, range): (JobId, End, KeyRangeId),
    ) -> Option<(NodeId, Order)> {
        let state = self.running(job)?;
        let id = state.leases.single(&Task::List(end, range))?;
        let next = state.listing(end).open_range(range)?.next;
        Some((state.leases.get(id)?.node, Order::SettlePages(id, next)))
    }
}

/// How many reports go into the next entry: one at least, and no more than it can hold.
fn batch_length(reports: &[Report]) -> usize {
    if reports.len() <= 1 {
        return 1;
    }
    let mut bytes = 0;
    let fitting = reports.iter().take(REPORTS_BATCHED_MAX).take_while(|report| {
        bytes += codec::encode(report).len();
        bytes <= REPORTS_BYTES_MAX
    });
    fitting.count().max(1)
}

#[cfg(test)]
mod tests {
    use airlift_protocol::attributes::AttributeSet;
    use airlift_protocol::chunk::Root;
    use airlift_protocol::id::Epoch;
    use airlift_protocol::limits::{
        FAILURE_DETAIL_BYTES_MAX, LOG_ENTRY_BYTES_MAX, PACK_OBJECTS_MAX, PAGE_ENTRIES_MAX,
        RAFT_COMMAND_BYTES_MAX,
    };
    use airlift_protocol::report::{Comparison, ObjectResult};

    use super::*;

    fn report(completion: Completion) -> Report {
        let (assignment, job, epoch) = (AssignmentId(1), JobId([1; 16]), Epoch(1));
        Report { assignment, job, epoch, result: Ok(completion), wire_bytes: u64::MAX }
    }

    #[test]
    fn a_batch_of_the_largest_reports_can_be_read_back() {
        let failure = Failure::new(ErrorCode::NotFound, "x".repeat(FAILURE_DETAIL_BYTES_MAX));
        let done =
            ObjectResult::Done { root: Root([1; 32]), bytes: 1, dropped: AttributeSet::NONE };
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
            let bytes = codec::encode(&Command::Reports { reports, at: Timestamp(0) });
            assert!(bytes.len() <= RAFT_COMMAND_BYTES_MAX);
            assert!(codec::decode::<Command>(&bytes, LOG_ENTRY_BYTES_MAX).is_ok());
        }
    }
}
