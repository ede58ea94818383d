//! Jobs as the API shows them.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use airlift_coordinator::Coordinator;
use airlift_coordinator::scheduler::bottleneck::{self, Bottleneck};
use airlift_coordinator::scheduler::figures::Recent;
use airlift_coordinator::state::{FailedObject, Job, LargeObject, Lease, Phase, State, Task};
use airlift_protocol::assignment::End;
use airlift_protocol::cluster::Member;
use airlift_protocol::error::{ErrorCode, Failure};
use airlift_protocol::id::{JobId, LogIndex, NodeId, Position};
use airlift_protocol::key::Key;
use airlift_protocol::schedule::Bandwidth;
use airlift_protocol::time::Timestamp;

use crate::api::budget::BudgetView;
use crate::api::error::ApiError;
use crate::api::line::JsonKey;
use crate::api::text::ByteText;
use crate::api::throttle::ThrottleView;
use crate::api::view::{
    ERRORS_SHOWN_MAX, EndView, ErrorView, FailureView, JobList, JobMode, JobNodeView, JobOutcome,
    JobRole, JobState, JobSummary, JobView, LinkView, RangeView, SingleView, TimeView, utc,
};
use crate::network::identity::peer_id;

/// What each node lately did for a job, as far as it was measured.
type Measured = BTreeMap<NodeId, Recent>;

/// What is known of a job beside the state.
#[derive(Clone, Debug, Default)]
struct Observed {
    measured: Measured,
    /// Bytes of objects that have come to their end and do not count as done.
    unmoved_bytes: u64,
}

/// Bytes a second that each node may move of a job.
type Allowed = BTreeMap<NodeId, u64>;

/// The jobs that are seen, newest first; `wall` is the time now.
pub(super) fn list(
    coordinator: &Coordinator,
    wall: Timestamp,
    is_seen: impl Fn(&Job) -> bool,
) -> JobList {
    let jobs = coordinator.state().jobs.iter().filter(|(_, job)| is_seen(job));
    let mut jobs: Vec<(JobId, &Job)> = jobs.map(|(id, job)| (*id, job)).collect();
    jobs.sort_by_key(|(id, job)| (Reverse(job.submitted_at), *id));
    let show = |(id, job)| summary(id, job, &observed(coordinator, id), wall);
    JobList { jobs: jobs.into_iter().map(show).collect() }
}

/// One job as a list shows it, if it is on record.
pub(in crate::runtime::cluster) fn summary_of(
    coordinator: &Coordinator,
    id: JobId,
    wall: Timestamp,
) -> Option<JobSummary> {
    let job = coordinator.state().jobs.get(&id)?;
    Some(summary(id, job, &observed(coordinator, id), wall))
}

/// A job, but for what is on disk of it.
pub(super) struct Shown {
    view: JobView,
    /// Objects that failed, of which the state has no keys: the entry of the log that has each one's page,
    /// and its place there. The last of the errors are theirs, in this order.
    pub(super) nameless: Vec<(LogIndex, u16)>,
}

impl Shown {
    /// The job, with the keys of those that had none.
    pub(super) fn name(mut self, keys: Vec<Option<Key>>) -> JobView {
        let others = self.view.errors.len() - self.nameless.len();
        for (error, key) in self.view.errors[others..].iter_mut().zip(keys) {
            error.key = JsonKey::from(&key.unwrap_or_default());
        }
        self.view
    }
}

/// One job.
pub(super) fn show(
    coordinator: &Coordinator,
    id: JobId,
    (now, wall): (Timestamp, Timestamp),
) -> Result<Shown, ApiError> {
    let state = coordinator.state();
    let job = state.jobs.get(&id).ok_or_else(|| gone(state, id))?;
    let nobody = BTreeMap::new();
    let members = state.cluster.as_ref().map_or(&nobody, |cluster| &cluster.members);
    let mut view = view(id, job, members, &observed(coordinator, id), wall);
    if job.spec.policy.bandwidth.is_some() {
        show_shares(&mut view, &allowed(coordinator, id, now));
    }
    view.throttles = coordinator.throttles().of_job(id).map(ThrottleView::from).collect();
    let rest_ms = coordinator.tried_again_in(now, id);
    view.retry_seconds = rest_ms.map(|rest_ms| rest_ms.div_ceil(1000));
    Ok(Shown { nameless: nameless(job, view.errors.len()), view })
}

/// Where the keys are of the objects that failed, as far as `shown` errors tell of them.
fn nameless(job: &Job, shown: usize) -> Vec<(LogIndex, u16)> {
    let others = unreadable(job).count() + job.left_over.named.len();
    let place = |failed: &FailedObject| {
        let Position { page, index } = failed.position;
        // None has the index 0.
        (job.listing(failed.end).entry_of(page).unwrap_or_default(), index)
    };
    job.failures.iter().take(shown.saturating_sub(others)).map(place).collect()
}

fn unreadable(job: &Job) -> impl Iterator<Item = &(Key, Failure)> {
    let ends = [&job.source, &job.target].into_iter().filter_map(|listing| listing.end.as_ref());
    ends.flat_map(|end| &end.unreadable)
}

/// What each node may move of a job with a limit of its own.
fn allowed(coordinator: &Coordinator, id: JobId, now: Timestamp) -> Allowed {
    let nodes = coordinator.inventory().nodes();
    let share = |node| {
        let shares = coordinator.shares_of(now, node)?;
        let found = shares.jobs.iter().find(|(job, _)| *job == id);
        Some((node, found.map_or(0, |(_, rate)| rate.0)))
    };
    nodes.filter_map(|(node, _)| share(node)).collect()
}

fn show_shares(view: &mut JobView, allowed: &Allowed) {
    let by_id: BTreeMap<String, u64> =
        allowed.iter().map(|(node, rate)| (peer_id(*node).to_string(), *rate)).collect();
    for node in &mut view.nodes {
        node.share_bytes_per_second = by_id.get(&node.id).copied();
    }
}

/// The answer about a job that does not exist.
pub(super) fn missing(id: JobId) -> ApiError {
    ApiError::not_found(format!("there is no job {id}"))
}

/// The answer about a job that is not on record, or not any more.
pub(super) fn gone(state: &State, id: JobId) -> ApiError {
    match state.removed.get(&id) {
        None => missing(id),
        Some(removed) => ApiError::not_found(format!(
            "job {id} ended at {}, and what is known of it was removed since, its report too (airlift \
             cluster keep-finished says how long that is kept)",
            utc(removed.ended_at)
        )),
    }
}

/// Whether a user has ended the job, and that is over.
pub(super) fn is_cancelled(job: &Job) -> bool {
    job.phase == Phase::Stopped
        && job.failure.as_ref().is_some_and(|failure| failure.code == ErrorCode::Cancelled)
}

fn observed(coordinator: &Coordinator, id: JobId) -> Observed {
    let nodes = coordinator.inventory().nodes();
    let measured = nodes.filter_map(|(node, seen)| Some((node, seen.recent(id)?))).collect();
    Observed { measured, unmoved_bytes: coordinator.unmoved_bytes(id) }
}

fn summary(id: JobId, job: &Job, observed: &Observed, wall: Timestamp) -> JobSummary {
    let Observed { measured, unmoved_bytes } = observed;
    let rates = measured.values().filter(|_| job.is_active()).map(Recent::write_rate);
    let rate = rates.fold(0, u64::saturating_add);
    JobSummary {
        id,
        run: job.run,
        mode: JobMode::from(job.spec.mode),
        state: state(job),
        source: ByteText::from(&job.spec.source),
        target: ByteText::from(&job.spec.target),
        dry_run: job.spec.policy.dry_run,
        objects: job.totals.objects,
        bytes: job.totals.bytes,
        unmoved_bytes: *unmoved_bytes,
        dropped: job.totals.dropped,
        copied: job.totals.copied,
        archived: job.totals.archived,
        is_listed: job.source.end.is_some(),
        rate_bytes_per_second: rate,
        eta_seconds: eta(job, *unmoved_bytes, rate),
        bottleneck: bottleneck(job, measured),
        submitted_at: utc(job.submitted_at),
        ended_at: job.ended_at.map(utc),
        elapsed_ms: job.ended_at.unwrap_or(wall).since(job.submitted_at),
        outcome: outcome(job),
        budget: BudgetView::of(&job.spec.policy.budget, job.used()),
    }
}

fn state(job: &Job) -> JobState {
    if is_cancelled(job) {
        JobState::Cancelled
    } else if job.is_running() && job.is_paused {
        JobState::Paused
    } else {
        JobState::of_phase(job.phase, job.source.objects == 0)
    }
}

/// Seconds until all is moved, once the whole is known; of some bytes nothing is to be moved.
fn eta(job: &Job, unmoved_bytes: u64, rate: u64) -> Option<u64> {
    if rate == 0 || job.phase != Phase::Moving || job.source.end.is_none() {
        return None;
    }
    // What there is of objects that are not done yet counts too: a job may be one large object.
    let open = job.objects.values().map(LargeObject::moved_bytes);
    let moved = open.fold(job.totals.bytes.done, u64::saturating_add);
    let rest = job.totals.bytes.total.saturating_sub(moved).saturating_sub(unmoved_bytes);
    Some(rest.div_ceil(rate))
}

fn outcome(job: &Job) -> Option<JobOutcome> {
    match job.phase {
        Phase::Stopped if is_cancelled(job) => Some(JobOutcome::Cancelled),
        Phase::Stopped => Some(JobOutcome::Stopped),
        Phase::Ended if job.is_incomplete() || job.totals.objects.troubles() > 0 => {
            Some(JobOutcome::Incomplete)
        }
        Phase::Ended => Some(JobOutcome::Done),
        Phase::Moving
        | Phase::ListingTarget
        | Phase::Diffing
        | Phase::Deleting
        | Phase::Cleaning => None,
    }
}

fn view(
    id: JobId,
    job: &Job,
    members: &BTreeMap<NodeId, Member>,
    observed: &Observed,
    wall: Timestamp,
) -> JobView {
    let measured = &observed.measured;
    let failure = match job.is_running() {
        true => job.paused_by.as_ref(),
        false => job.failure.as_ref(),
    };
    JobView {
        job: summary(id, job, observed, wall),
        single: job.spec.single.as_ref().map(SingleView::from),
        nodes: nodes(job, members, measured),
        links: links(job),
        errors: errors(job),
        error_count: error_count(job),
        deletes_refused: deletes_refused(job).into_iter().collect(),
        failure: failure
            .map(|failure| FailureView { code: failure.code, reason: failure.detail().to_owned() }),
        priority: job.spec.policy.priority.weight(),
        bandwidth_bytes_per_second: limit_now(job.spec.policy.bandwidth.as_ref(), wall),
        bandwidth_schedule: schedule_text(job.spec.policy.bandwidth.as_ref()),
        ranges: ranges(job),
        time: time(job, measured),
        retry_seconds: None,
        throttles: Vec::new(),
    }
}

/// Bytes a second that a limit allows at `wall`.
pub(super) fn limit_now(bandwidth: Option<&Bandwidth>, wall: Timestamp) -> Option<u64> {
    Some(bandwidth?.limit_at(wall)?.0)
}

/// A limit that depends on the time of the week, as it is written.
pub(super) fn schedule_text(bandwidth: Option<&Bandwidth>) -> Option<String> {
    match bandwidth? {
        Bandwidth::Fixed(_) => None,
        schedule @ Bandwidth::Schedule(_) => Some(schedule.to_string()),
    }
}

/// What is still being listed.
fn ranges(job: &Job) -> Vec<RangeView> {
    let (end, name) = match job.phase {
        Phase::Moving => (End::Source, EndView::Source),
        Phase::ListingTarget => (End::Target, EndView::Target),
        _ => return Vec::new(),
    };
    let open = job.listing(end).open_ranges();
    let text = |key: &Option<Key>| key.as_ref().map(ByteText::from);
    open.map(|range| RangeView {
        end: name,
        after: text(&range.after),
        until: text(&range.until),
        objects: range.objects,
    })
    .collect()
}

fn bottleneck(job: &Job, measured: &Measured) -> Bottleneck {
    if !job.is_active() {
        return Bottleneck::None;
    }
    let recent: Vec<Recent> = measured.values().copied().collect();
    bottleneck::of_job(&recent, is_listing(job))
}

/// What the job's time of late went into.
fn time(job: &Job, measured: &Measured) -> Vec<TimeView> {
    if !job.is_active() {
        return Vec::new();
    }
    let recent: Vec<Recent> = measured.values().copied().collect();
    let part = |(what, permille)| TimeView { what, permille };
    bottleneck::parts_of_job(&recent, is_listing(job)).into_iter().map(part).collect()
}

fn is_listing(job: &Job) -> bool {
    job.leases.singles().any(|task| matches!(task, Task::List(..)))
}

/// The part of one node.
#[derive(Clone, Copy, Debug, Default)]
struct Part {
    reads: bool,
    writes: bool,
    assignments: u64,
}

/// Who works on the job, by name.
fn nodes(job: &Job, members: &BTreeMap<NodeId, Member>, measured: &Measured) -> Vec<JobNodeView> {
    if !job.is_active() {
        return Vec::new();
    }
    let mut parts: BTreeMap<NodeId, Part> = BTreeMap::new();
    for lease in job.leases.values() {
        take_part(&mut parts, lease);
    }
    for (node, recent) in measured {
        // Between two orders it works nevertheless.
        let (reads, writes) = (recent.read_rate() > 0, recent.write_rate() > 0);
        if reads || writes {
            let part = parts.entry(*node).or_default();
            part.reads |= reads;
            part.writes |= writes;
        }
    }
    let mut nodes: Vec<JobNodeView> = parts
        .into_iter()
        .map(|(node, part)| {
            let id = peer_id(node).to_string();
            let recent = measured.get(&node);
            let name = members.get(&node).map(|member| member.name.as_str().to_owned());
            JobNodeView {
                name: name.unwrap_or_else(|| id.clone()),
                id,
                role: match (part.reads, part.writes) {
                    (true, true) => JobRole::Both,
                    (true, false) => JobRole::Source,
                    (false, _) => JobRole::Target,
                },
                assignments: part.assignments,
                read_bytes_per_second: recent.map_or(0, Recent::read_rate),
                write_bytes_per_second: recent.map_or(0, Recent::write_rate),
                busiest: recent.map_or(Bottleneck::None, bottleneck::of_node),
                share_bytes_per_second: None,
            }
        })
        .collect();
    nodes.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
    nodes
}

/// Who reads for whom now.
fn links(job: &Job) -> Vec<LinkView> {
    let mut links: BTreeMap<(NodeId, NodeId), u64> = BTreeMap::new();
    for lease in job.leases.values().filter(|_| job.is_active()) {
        if let Some(reader) = lease.source {
            *links.entry((reader, lease.node)).or_default() += 1;
        }
    }
    let view = |((source, target), assignments)| LinkView {
        source: peer_id(source).to_string(),
        target: peer_id(target).to_string(),
        assignments,
    };
    links.into_iter().map(view).collect()
}

fn take_part(parts: &mut BTreeMap<NodeId, Part>, lease: &Lease) {
    let (reads, writes) = match &lease.task {
        Task::List(End::Source, _) => (true, false),
        Task::List(End::Target, _) | Task::ReadBack(_) | Task::Discard(_) | Task::Clean => {
            (false, true)
        }
        Task::Compare(_)
        | Task::Open(..)
        | Task::Range(..)
        | Task::Pack(..)
        | Task::Commit(_)
        | Task::Verify(..)
        | Task::Delete(..) => (lease.source.is_none(), true),
    };
    let holder = parts.entry(lease.node).or_default();
    holder.reads |= reads;
    holder.writes |= writes;
    holder.assignments += 1;
    if let Some(reader) = lease.source {
        let reader = parts.entry(reader).or_default();
        reader.reads = true;
        reader.assignments += 1;
    }
}

/// The first things that went wrong: places that could not be listed, then what was left over, then
/// objects, which have no keys yet.
fn errors(job: &Job) -> Vec<ErrorView> {
    let unreadable = unreadable(job).map(|(key, failure)| error(key, "unreadable", failure));
    let nameless = Key::default();
    let failed = job.failures.iter().map(|failed| error(&nameless, "failed", &failed.failure));
    let left_over = job.left_over.named.iter();
    let left_over = left_over.map(|(key, failure)| error(key, "left_over", failure));
    unreadable.chain(left_over).chain(failed).take(ERRORS_SHOWN_MAX).collect()
}

fn error(key: &Key, status: &str, failure: &Failure) -> ErrorView {
    ErrorView {
        key: JsonKey::from(key),
        status: status.to_owned(),
        code: Some(failure.code.as_str().to_owned()),
        reason: failure.detail().to_owned(),
    }
}

/// All that is not well; of skipped objects and of differences the report has the names.
fn error_count(job: &Job) -> u64 {
    let listings = [&job.source, &job.target];
    let ends = listings.iter().filter_map(|listing| listing.end.as_ref());
    ends.map(|end| end.unreadable_count)
        .chain([job.left_over.count])
        .fold(job.totals.objects.troubles(), |sum, count| sum.saturating_add(count))
}

fn deletes_refused(job: &Job) -> Option<String> {
    let (count, objects) = (job.extraneous_count, job.target.objects);
    job.deletes_refused.then(|| {
        format!(
            "nothing was deleted: {count} of the {objects} objects at the target would have gone"
        )
    })
}

#[cfg(test)]
mod tests {
    use airlift_coordinator::command::Command;
    use airlift_coordinator::state::{LeftOver, State};
    use airlift_protocol::figures::{Figures, JobFigures, Stage};
    use airlift_protocol::id::{AssignmentId, Epoch, PageId};
    use airlift_protocol::job::{Filters, JobSpec, Mode, Policy};
    use airlift_protocol::location::Location;
    use airlift_protocol::report::ListingEnd;

    use super::*;

    const BERLIN: NodeId = NodeId([1; 32]);
    const PARIS: NodeId = NodeId([2; 32]);

    fn job() -> Job {
        let at = |name: &str| Location::Node { node: name.to_owned(), path: b"/data".to_vec() };
        let spec = JobSpec {
            mode: Mode::Sync,
            source: at("berlin"),
            target: at("paris"),
            single: None,
            filters: Filters::default(),
            policy: Policy::default(),
        };
        let mut state = State::default();
        let submit = Command::Submit { spec: Box::new(spec), at: Timestamp(10_000) };
        state.apply(LogIndex(1), submit);
        let (_, job) = state.jobs.pop_first().unwrap();
        job
    }

    /// What nodes did in a second: bytes read and written.
    fn did<const N: usize>(nodes: [(NodeId, u64, u64); N]) -> Measured {
        let recent = |read: u64, written: u64| {
            let mut moving = Figures::default();
            moving[Stage::Source].bytes = read;
            moving[Stage::Target].bytes = written;
            moving[Stage::Target].wait_us = 900_000;
            moving[Stage::Limit].wait_us = 800_000;
            let serving = Figures::default();
            let (job, active_us) = (JobId([7; 16]), 1_000_000);
            let figures = JobFigures { job, active_us, orders: 1, moving, serving };
            Recent { elapsed_ms: 1000, figures }
        };
        nodes.map(|(node, read, written)| (node, recent(read, written))).into()
    }

    fn shown(job: &Job, measured: &Measured) -> JobView {
        let observed = Observed { measured: measured.clone(), unmoved_bytes: 0 };
        view(JobId([7; 16]), job, &BTreeMap::new(), &observed, Timestamp(15_000))
    }

    fn ended(unreadable: u64) -> Option<ListingEnd> {
        let failure = Failure::new(ErrorCode::PermissionDenied, "denied");
        let unreadable_by_name = (0..unreadable).map(|_| (Key::from("x"), failure.clone()));
        Some(ListingEnd {
            pages: PageId(0),
            unreadable: unreadable_by_name.collect(),
            unreadable_count: unreadable,
        })
    }

    fn cancelled() -> Failure {
        Failure::new(ErrorCode::Cancelled, "cancelled")
    }

    #[test]
    fn the_state_is_what_users_did_and_then_the_phase() {
        let with = |phase, is_paused, failure| {
            let mut job = job();
            (job.phase, job.is_paused, job.failure) = (phase, is_paused, failure);
            (state(&job), outcome(&job))
        };
        let no_space = || Some(Failure::new(ErrorCode::NoSpace, "full"));
        for (found, expected) in [
            (with(Phase::Moving, false, None), (JobState::Listing, None)),
            (with(Phase::Moving, true, None), (JobState::Paused, None)),
            (with(Phase::Diffing, false, None), (JobState::Comparing, None)),
            (with(Phase::Cleaning, false, Some(cancelled())), (JobState::Cleaning, None)),
            (
                with(Phase::Stopped, false, Some(cancelled())),
                (JobState::Cancelled, Some(JobOutcome::Cancelled)),
            ),
            (
                with(Phase::Stopped, true, no_space()),
                (JobState::Stopped, Some(JobOutcome::Stopped)),
            ),
            (with(Phase::Ended, true, None), (JobState::Completed, Some(JobOutcome::Done))),
        ] {
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn an_end_with_trouble_is_incomplete() {
        let change: [fn(&mut Job); 8] = [
            |job| job.totals.objects.failed = 1,
            |job| job.totals.objects.skipped = 1,
            |job| job.totals.objects.differs = 1,
            |job| job.totals.objects.missing = 1,
            |job| job.totals.objects.extra = 1,
            |job| job.deletes_refused = true,
            |job| job.left_over.count = 1,
            |job| job.target.end = ended(1),
        ];
        for change in change {
            let mut job = job();
            job.phase = Phase::Ended;
            change(&mut job);
            assert_eq!(outcome(&job), Some(JobOutcome::Incomplete));
        }
    }

    #[test]
    fn the_end_is_foretold_once_the_whole_is_known() {
        let mut job = job();
        job.totals.bytes.total = 1001;
        job.totals.bytes.done = 100;
        let nodes = did([(BERLIN, 0, 60), (PARIS, 0, 40)]);
        let eta = |job: &Job| shown(job, &nodes).job.eta_seconds;
        assert_eq!(eta(&job), None);
        job.source.end = ended(0);
        assert_eq!(eta(&job), Some(10));
        job.totals.bytes.done = 1100;
        assert_eq!(eta(&job), Some(0));
        assert_eq!(shown(&job, &nodes).job.bottleneck, Bottleneck::Limit);
        job.is_paused = true;
        let view = shown(&job, &nodes);
        assert_eq!((view.job.eta_seconds, view.job.rate_bytes_per_second), (None, 0));
        assert_eq!(view.job.bottleneck, Bottleneck::None);
        assert_eq!(shown(&job, &BTreeMap::new()).job.elapsed_ms, 5000);
    }

    #[test]
    fn what_is_skipped_needs_no_more_time() {
        let mut job = job();
        (job.totals.bytes.total, job.totals.bytes.done) = (100, 10);
        job.source.end = ended(0);
        let mut observed = Observed { measured: did([(PARIS, 0, 10)]), unmoved_bytes: 0 };
        let left = |observed: &Observed| {
            summary(JobId([7; 16]), &job, observed, Timestamp(15_000)).eta_seconds
        };
        assert_eq!(left(&observed), Some(9));
        observed.unmoved_bytes = 60;
        assert_eq!(left(&observed), Some(3));
        observed.unmoved_bytes = 1000;
        assert_eq!(left(&observed), Some(0));
    }

    #[test]
    fn nodes_have_the_part_that_their_orders_give_them() {
        let mut job = job();
        let lease = |node, source, task| Lease { node, source, task, epoch: Epoch(1), bytes: 1 };
        for (id, lease) in [
            lease(BERLIN, None, Task::List(End::Source, airlift_protocol::id::KeyRangeId(0))),
            lease(PARIS, Some(BERLIN), Task::Pack(PageId(0), vec![0])),
            lease(PARIS, None, Task::Clean),
        ]
        .into_iter()
        .enumerate()
        {
            job.leases.insert(AssignmentId(id as u64), lease);
        }
        let measured = did([(PARIS, 0, 5)]);
        let found: Vec<(String, JobRole, u64, [u64; 2], Bottleneck)> = shown(&job, &measured)
            .nodes
            .into_iter()
            .map(|node| {
                let rates = [node.read_bytes_per_second, node.write_bytes_per_second];
                (node.id, node.role, node.assignments, rates, node.busiest)
            })
            .collect();
        let mut expected = vec![
            (peer_id(BERLIN).to_string(), JobRole::Source, 2, [0, 0], Bottleneck::None),
            (peer_id(PARIS).to_string(), JobRole::Target, 2, [0, 5], Bottleneck::Limit),
        ];
        expected.sort_by(|a, b| a.0.cmp(&b.0));
        assert_eq!(found, expected);

        let link = LinkView {
            source: peer_id(BERLIN).to_string(),
            target: peer_id(PARIS).to_string(),
            assignments: 1,
        };
        assert_eq!(shown(&job, &measured).links, [link]);

        let cleaning = lease(PARIS, None, Task::Pack(PageId(0), vec![0]));
        job.leases = [(AssignmentId(2), cleaning)].into_iter().collect();
        let nodes = shown(&job, &BTreeMap::new()).nodes;
        assert_eq!((nodes.len(), nodes[0].role), (1, JobRole::Both));
        job.phase = Phase::Ended;
        assert!(shown(&job, &measured).nodes.is_empty());
        assert!(shown(&job, &measured).links.is_empty());
    }

    #[test]
    fn a_limit_is_shown_with_what_each_node_has_of_it() {
        let mut job = job();
        job.spec.policy.bandwidth = Some(airlift_protocol::units::ByteRate(90).into());
        let mut view = shown(&job, &BTreeMap::new());
        assert_eq!((view.bandwidth_bytes_per_second, view.priority), (Some(90), 10));
        show_shares(&mut view, &BTreeMap::from([(PARIS, 60)]));
        for node in &view.nodes {
            let is_paris = node.id == peer_id(PARIS).to_string();
            assert_eq!(node.share_bytes_per_second, is_paris.then_some(60));
        }
    }

    #[test]
    fn errors_are_bounded_and_counted() {
        let mut job = job();
        job.source.end = ended(3);
        let position = Position { page: PageId(1), index: 7 };
        let broken = Failure::new(ErrorCode::Io, "read b: broken");
        let failed = FailedObject { end: End::Source, position, failure: broken };
        job.failures = vec![failed; ERRORS_SHOWN_MAX];
        job.source.pages = vec![LogIndex(3), LogIndex(9)];
        (job.totals.objects.failed, job.totals.objects.skipped) = (900, 60);
        (job.totals.objects.differs, job.totals.objects.missing) = (30, 10);
        let refused = Failure::new(ErrorCode::PermissionDenied, "drop the upload of u: denied");
        job.left_over = LeftOver { named: vec![(Key::from("u"), refused)], count: 1 };
        let view = shown(&job, &BTreeMap::new());
        assert_eq!((view.errors.len(), view.error_count), (ERRORS_SHOWN_MAX, 1004));
        assert_eq!(
            (view.errors[0].key.key.as_str(), view.errors[0].status.as_str()),
            ("x", "unreadable")
        );
        assert_eq!(
            (view.errors[3].key.key.as_str(), view.errors[3].status.as_str()),
            ("u", "left_over")
        );
        assert_eq!(view.errors[4].reason, "read b: broken");
        let nameless = nameless(&job, view.errors.len());
        assert_eq!(nameless, vec![(LogIndex(9), 7); ERRORS_SHOWN_MAX - 4]);
        let keys = [Some(Key::from("b")), None].into_iter().cycle().take(nameless.len());
        let named = Shown { view, nameless }.name(keys.collect());
        let keys = named.errors[3..7].iter().map(|error| error.key.key.as_str());
        assert_eq!(keys.collect::<Vec<_>>(), ["u", "b", "", "b"]);
    }

    #[test]
    fn a_running_job_has_no_failure_yet() {
        let mut job = job();
        job.failure = Some(cancelled());
        job.phase = Phase::Cleaning;
        assert_eq!(shown(&job, &BTreeMap::new()).failure, None);
        job.phase = Phase::Stopped;
        assert!(shown(&job, &BTreeMap::new()).failure.is_some());
        assert!(is_cancelled(&job));
    }
}
