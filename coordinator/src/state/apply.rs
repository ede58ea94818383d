//! What each command does to the state.

use airlift_protocol::assignment::End;
use airlift_protocol::bitmap::Bitmap;
use airlift_protocol::cluster::{Addresses, Boot};
use airlift_protocol::error::{ErrorCode, Failure};
use airlift_protocol::id::{AssignmentId, Epoch, JobId, LogIndex, NodeId, PageId, Position};
use airlift_protocol::job::{JobSpec, Mode};
use airlift_protocol::limits::OBJECT_BYTES_MAX;
use airlift_protocol::manifest::Page;
use airlift_protocol::report::Unreadable;
use airlift_protocol::time::Timestamp;
use airlift_protocol::version::Formats;

use super::cluster::{self, Cluster};
use super::job::{Job, Phase};
use super::leases::Lease;
use super::page::PageProgress;
use super::{Fact, ObjectFact, State, Task, grant, ledger, once, report, retention};
use crate::command::{Command, Founding, Joining, Turn};
use crate::event::Status;

/// Changes `state` by the command of entry `index`.
pub(super) fn apply(state: &mut State, index: LogIndex, command: Command) -> Vec<Fact> {
    match command {
        Command::Format(format) => {
            state.raise(format);
            Vec::new()
        }
        Command::Submit { spec, at } => submit(state, *spec, at),
        Command::SubmitOnce { spec, at, key } => once::submit(state, (*spec, at), key, submit),
        Command::VoidLeases { node } => void_leases(state, node, Fate::Unknown),
        Command::Page { job, run, end, page, turn, unreadable } => {
            with_run(state, (job, run), |it| list(it, (job, index, end), &page, &turn, unreadable))
        }
        Command::Cut { job, run, end, turn, at } => with_run(state, (job, run), |it| {
            let taken = it.listing_mut(end).cut(&turn, &at);
            taken.map_or_else(|fault| stop_listing(it, (job, end), &fault, turn.at), |_| Vec::new())
        }),
        Command::Passed { job, run, end, turn, up_to, unreadable } => {
            with_run(state, (job, run), |it| {
                let taken = it.listing_mut(end).pass(&turn, up_to, unreadable);
                taken.map_or_else(
                    |fault| stop_listing(it, (job, end), &fault, turn.at),
                    |_| Vec::new(),
                )
            })
        }
        Command::Grant { grants } => {
            grants.into_iter().filter_map(|item| grant::apply(state, index, item)).collect()
        }
        Command::Reports { reports, at } => {
            reports.into_iter().flat_map(|item| report::apply(state, item, at)).collect()
        }
        Command::Extraneous { job, run, page, entries } => {
            with_run(state, (job, run), |it| extraneous(it, job, page, entries))
        }
        Command::Advance { job, run, from, at } => with_job(state, job, |job_state| {
            let is_meant = (job_state.run, job_state.phase) == (run, from);
            if is_meant { advance(job_state, job, at) } else { Vec::new() }
        }),
        Command::Stop { job, failure, at } => {
            with_job(state, job, |job_state| stop(job_state, job, failure, at))
        }
        Command::NodeStarted { node, boot, addresses, formats } => {
            start_node(state, index, node, boot, (addresses, formats))
        }
        Command::Found(founding) => found(state, index, *founding),
        Command::IssueToken { id, token } => {
            refused(state.cluster.as_mut().and_then(|cluster| cluster.issue(id, token)))
        }
        Command::Join(joining) => join(state, index, *joining),
        Command::RemoveMember { node } => remove_member(state, index, node),
        Command::Pause { job } => ask_job(state, job, pause),
        Command::Resume { job } => ask_job(state, job, resume),
        Command::Cancel { job } => ask_job(state, job, cancel),
        Command::TakeBack { job, assignment, epoch } => {
            with_job(state, job, |job_state| take_back(job_state, assignment, epoch))
        }
        command @ (Command::Limit { .. }
        | Command::Spend { .. }
        | Command::Exhaust { .. }
        | Command::SetBudget { .. }
        | Command::SetRetention(_)
        | Command::Forget { .. }
        | Command::Told { .. }) => policy(state, command),
        Command::TryAgain { job } => with_job(state, job, try_again),
        Command::CreateApiToken { id, token } => refused(state.access.create(id, *token)),
        Command::RevokeApiToken { id } => refused(state.access.revoke(id)),
        Command::ReplaceRoot { hash } => replace_root(state, hash),
        Command::HandOver { .. } => Vec::new(),
    }
}

fn replace_root(state: &mut State, hash: [u8; 32]) -> Vec<Fact> {
    if let Some(cluster) = &mut state.cluster {
        cluster.admin = hash;
    }
    Vec::new()
}

/// What is set for jobs, and what follows from it.
fn policy(state: &mut State, command: Command) -> Vec<Fact> {
    match command {
        Command::Limit { bandwidth } => {
            state.bandwidth = bandwidth;
            Vec::new()
        }
        Command::SetRetention(retention) => {
            state.retention = retention;
            Vec::new()
        }
        Command::Forget { at } => retention::forget(state, at),
        Command::Told { through } => {
            state.outbox.settle(through);
            Vec::new()
        }
        Command::Spend { words, at } => ledger::spend(state, words, at),
        Command::Exhaust { job, run, bytes, at } => ledger::exhaust(state, job, (run, bytes), at),
        Command::SetBudget { job, budget } => ask_job(state, job, |it, _| {
            it.set_budget(budget);
            Vec::new()
        }),
        _ => Vec::new(),
    }
}

/// The fact of a refusal, if there was one.
fn refused(failure: Option<Failure>) -> Vec<Fact> {
    failure.map(Fact::Refused).into_iter().collect()
}

fn found(state: &mut State, index: LogIndex, founding: Founding) -> Vec<Fact> {
    let id = founding.cluster;
    let cluster = state.cluster.get_or_insert_with(|| Cluster::found(index, founding));
    if cluster.id == id {
        return vec![Fact::Members];
    }
    let text = format!("this node is a member of cluster {} already", cluster.id);
    vec![Fact::Refused(Failure::new(ErrorCode::Conflict, text))]
}

fn join(state: &mut State, index: LogIndex, joining: Joining) -> Vec<Fact> {
    let has_run = state.boots.contains_key(&joining.node);
    let format = state.format;
    let joined = state.cluster.as_mut().map(|it| match joining.formats.has(format) {
        true => it.join(index, joining, has_run),
        false => Err(cluster::unfit(joining.formats, format)),
    });
    joined.map(cluster::fact).unwrap_or_default()
}

/// Has a job go on that rests for a failure. What somebody has asked to rest does not.
fn try_again(job: &mut Job) -> Vec<Fact> {
    if job.paused_by.is_some() && !job.is_over_budget() {
        job.resume();
    }
    Vec::new()
}

/// Changes a job on somebody's request, who is told when that cannot be.
fn ask_job(
    state: &mut State,
    id: JobId,
    change: impl FnOnce(&mut Job, JobId) -> Vec<Fact>,
) -> Vec<Fact> {
    let refuse = |code, text: String| vec![Fact::Refused(Failure::new(code, text))];
    match state.jobs.get_mut(&id) {
        None => refuse(ErrorCode::NotFound, format!("there is no job {id}")),
        Some(job) if !job.is_running() => {
            refuse(ErrorCode::Conflict, format!("job {id} has ended: submit it again to resume it"))
        }
        Some(job) => change(job, id),
    }
}

/// Takes every lease back, for as long as the job rests: until somebody has it go on, whatever it may have
/// rested for before.
fn pause(job: &mut Job, _: JobId) -> Vec<Fact> {
    (job.is_paused, job.paused_by) = (true, None);
    take_leases_back(job, |_| true)
}

/// Has a job go on; not one whose budget has come to its end: it would use more of it before it rests again.
fn resume(job: &mut Job, id: JobId) -> Vec<Fact> {
    match job.spec.policy.budget.exhausted(job.used()).filter(|_| job.is_over_budget()) {
        Some(why) => {
            let text = format!("{why}: raise the budget first (airlift job budget {id})");
            vec![Fact::Refused(Failure::new(ErrorCode::Conflict, text))]
        }
        None => {
            job.resume();
            Vec::new()
        }
    }
}

/// Goes on to cleaning: what is at the target stays, what is under way is dropped.
fn cancel(job: &mut Job, _: JobId) -> Vec<Fact> {
    let facts = take_leases_back(job, |_| true);
    job.pages.clear();
    job.objects.clear();
    job.read_backs.clear();
    job.extraneous.clear();
    job.resume();
    job.phase = Phase::Cleaning;
    job.failure = Some(Failure::new(ErrorCode::Cancelled, "cancelled"));
    facts
}

fn start_node(
    state: &mut State,
    index: LogIndex,
    node: NodeId,
    boot: Boot,
    (addresses, formats): (Addresses, Formats),
) -> Vec<Fact> {
    if let Some(cluster) = &mut state.cluster {
        // A build that does not read what is in force takes no part.
        if !cluster.members.contains_key(&node) || !formats.has(state.format) {
            return Vec::new();
        }
        cluster.started(index, node, addresses, formats);
    }
    let mut facts = match state.boots.insert(node, boot) {
        Some(earlier) if earlier == boot => Vec::new(),
        Some(earlier) if !earlier.is_before(boot) => void_leases(state, node, Fate::Lives),
        _ => void_leases(state, node, Fate::Unknown),
    };
    facts.extend(state.cluster.is_some().then_some(Fact::Members));
    facts
}

fn remove_member(state: &mut State, index: LogIndex, node: NodeId) -> Vec<Fact> {
    let Some(cluster) = &mut state.cluster else { return Vec::new() };
    if cluster.is_last_voter(node) {
        let text = "the cluster's only voter cannot leave it: let another voter join first";
        return vec![Fact::Refused(Failure::new(ErrorCode::Conflict, text))];
    }
    if !cluster.remove(index, node) {
        let text = "no such node is a member of this cluster";
        return vec![Fact::Refused(Failure::new(ErrorCode::NotFound, text))];
    }
    state.boots.remove(&node);
    // Its leases stay until it has been silent for as long as they last: until it knows that it is no
    // member, it goes on.
    vec![Fact::Members]
}

fn with_job(
    state: &mut State,
    job: JobId,
    change: impl FnOnce(&mut Job) -> Vec<Fact>,
) -> Vec<Fact> {
    state.jobs.get_mut(&job).filter(|job| job.is_running()).map(change).unwrap_or_default()
}

/// Changes a job that is in this run.
fn with_run(
    state: &mut State,
    (job, run): (JobId, u32),
    change: impl FnOnce(&mut Job) -> Vec<Fact>,
) -> Vec<Fact> {
    with_job(state, job, |it| if it.run == run { change(it) } else { Vec::new() })
}

/// Begins a job, or its next run. A cluster's job that still runs goes on, and whoever submits it
/// again watches it: only a process of its own knows that the run before has died with it.
fn submit(state: &mut State, spec: JobSpec, at: Timestamp) -> Vec<Fact> {
    let id = spec.id();
    let is_cluster = state.cluster.is_some();
    if let Some(job) = state.jobs.get_mut(&id).filter(|job| is_cluster && job.is_running()) {
        if job.is_being_cancelled() {
            return vec![still_cancelling(id)];
        }
        // Who only looks says nothing of a budget, and lifts none.
        if spec.has_budget() {
            job.set_budget(spec.policy.budget);
        }
        // What nobody had asked to rest, whoever asks for it again wants to go on.
        if job.paused_by.is_some() && !job.is_over_budget() {
            job.resume();
        }
        return Vec::new();
    }
    let (job, mut facts) = match state.jobs.remove(&id) {
        Some(earlier) => {
            let facts = ended_leases(&earlier);
            (earlier.next_run(spec, at), facts)
        }
        None => (retention::anew(state, spec, at), Vec::new()),
    };
    facts.push(Fact::Started(id, job.run));
    state.jobs.insert(id, job);
    facts.extend(retention::forget(state, at));
    facts
}

fn still_cancelling(id: JobId) -> Fact {
    let text = format!("job {id} is being cancelled: submit it again when that is done");
    Fact::Refused(Failure::new(ErrorCode::Conflict, text))
}

fn ended_leases(job: &Job) -> Vec<Fact> {
    job.leases.iter().map(|(id, lease)| Fact::Ended(lease.node, id)).collect()
}

/// What became of a process whose leases are void.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It goes on, and will say what it has used.
    Lives,
    /// It may be gone, with what it has not said.
    Unknown,
}

/// Gives back everything that `node` was to do, or to read for others.
fn void_leases(state: &mut State, node: NodeId, fate: Fate) -> Vec<Fact> {
    let jobs = state.jobs.values_mut().filter(|job| job.is_running());
    let is_concerned = |lease: &Lease| lease.node == node || lease.source == Some(node);
    let take = |job: &mut Job| {
        if fate == Fate::Unknown {
            ledger::suppose(job, is_concerned);
        }
        take_leases_back(job, is_concerned)
    };
    jobs.flat_map(take).collect()
}

/// Has a job rest for `failure`, from which nothing can be done for it until somebody has done something
/// about that.
pub(super) fn rest(job: &mut Job, id: JobId, failure: Failure) -> Vec<Fact> {
    let mut facts = pause(job, id);
    job.paused_by = Some(failure);
    facts.push(Fact::Rested(id));
    facts
}

fn take_leases_back(job: &mut Job, is_concerned: impl Fn(&Lease) -> bool) -> Vec<Fact> {
    let leases = job.leases.iter().filter(|(_, lease)| is_concerned(lease));
    let ids: Vec<AssignmentId> = leases.map(|(id, _)| id).collect();
    ids.into_iter().flat_map(|id| take_lease_back(job, id)).collect()
}

/// Takes back exactly this lease, if it is there.
fn take_back(job: &mut Job, id: AssignmentId, epoch: Epoch) -> Vec<Fact> {
    let is_meant = job.leases.get(id).is_some_and(|lease| lease.epoch == epoch);
    if is_meant { take_lease_back(job, id) } else { Vec::new() }
}

fn take_lease_back(job: &mut Job, id: AssignmentId) -> Vec<Fact> {
    let Some(lease) = job.leases.remove(id) else { return Vec::new() };
    note_interrupted(job, &lease);
    give_back(job, lease.task);
    vec![Fact::Ended(lease.node, id)]
}

/// Records what may be sent again because a lease ended before its work did.
fn note_interrupted(job: &mut Job, lease: &Lease) {
    match &lease.task {
        Task::Range(position, shard) => {
            if let Some(object) = job.objects.get(position)
                && let Some(upload) = job.uploads.get_mut(&object.upload_id)
            {
                upload.interrupted.insert(*shard);
            }
        }
        Task::Pack(..) => {
            job.interrupted_bytes = job.interrupted_bytes.saturating_add(lease.bytes);
        }
        _ => {}
    }
}

/// Makes a task available again that a node had and did not do.
pub(super) fn give_back(job: &mut Job, task: Task) {
    match task {
        Task::Open(position, ..) => {
            job.objects.remove(&position);
            return_to_page(job, position.page, &[position.index]);
        }
        Task::Range(position, shard) => {
            if let Some(object) = job.objects.get_mut(&position) {
                object.give_back(shard);
            }
        }
        Task::Pack(page, indices) | Task::Verify(page, indices) => {
            return_to_page(job, page, &indices);
        }
        Task::Delete(page, indices) => {
            job.extraneous.entry(page).or_default().extend(indices);
        }
        Task::List(end, range) => job.listing_mut(end).rest(range),
        // What is left to do follows from the state alone.
        Task::Compare(_) | Task::Commit(_) | Task::ReadBack(_) | Task::Discard(_) | Task::Clean => {
        }
    }
}

/// Puts entries that have not come to their end back among those to be given out.
pub(super) fn return_to_page(job: &mut Job, page: PageId, indices: &[u16]) {
    if let Some(page) = job.pages.get_mut(&page) {
        for &index in indices {
            if page.pending.contains(index) {
                page.todo.insert(index);
            }
        }
    }
}

/// Whether every entry has a size that the state can keep account of.
pub(crate) fn is_movable(page: &Page) -> bool {
    page.entries.iter().all(|entry| entry.size <= OBJECT_BYTES_MAX)
}

fn list(
    job: &mut Job,
    (id, index, end): (JobId, LogIndex, End),
    page: &Page,
    turn: &Turn,
    unreadable: Unreadable,
) -> Vec<Fact> {
    if !is_movable(page) {
        return Vec::new();
    }
    match job.listing_mut(end).take_page(index, page, turn, unreadable) {
        Ok(true) => {}
        Ok(false) => return Vec::new(),
        Err(fault) => return stop_listing(job, (id, end), &fault, turn.at),
    }
    if end == End::Source {
        let count = page.entries.len() as u64;
        let len = u16::try_from(count).unwrap_or(u16::MAX);
        let mut progress = PageProgress::listed(len);
        if job.spec.mode == Mode::Verify {
            progress.is_compared = true;
            progress.todo = Bitmap::full(len);
        }
        job.pages.insert(page.id, progress);
        job.totals.objects.total += count;
        let total = &mut job.totals.bytes.total;
        *total = total.saturating_add(page.bytes());
    }
    vec![Fact::Listing(id, end)]
}

/// What a lister said cannot be. It would say it again and again, and its node take in nothing else.
fn stop_listing(job: &mut Job, (id, end): (JobId, End), fault: &str, at: Timestamp) -> Vec<Fact> {
    stop(job, id, Failure::new(ErrorCode::Protocol, format!("the {end:?}: {fault}")), at)
}

fn extraneous(job: &mut Job, id: JobId, page: PageId, entries: Bitmap) -> Vec<Fact> {
    if job.phase != Phase::Diffing || job.target.page_at(job.diffed) != Some(page) {
        return Vec::new();
    }
    job.diffed += 1;
    job.extraneous_count = job.extraneous_count.saturating_add(u64::from(entries.count()));
    let status = match job.spec.mode {
        Mode::Verify => Status::Extra,
        Mode::Copy | Mode::Sync if job.spec.policy.dry_run => Status::WouldDelete,
        Mode::Copy | Mode::Sync => {
            if !entries.is_empty() {
                job.extraneous.insert(page, entries);
            }
            return Vec::new();
        }
    };
    entries
        .iter()
        .map(|index| {
            let (fact, position) = (ObjectFact::plain(status), Position { page, index });
            job.count((End::Target, position), &fact, 0);
            Fact::Extraneous(id, position, fact)
        })
        .collect()
}

fn advance(job: &mut Job, id: JobId, at: Timestamp) -> Vec<Fact> {
    let mut facts = Vec::new();
    if job.phase == Phase::Diffing
        && let Some(reason) = refusal(job)
    {
        job.deletes_refused = true;
        job.extraneous.clear();
        facts.push(Fact::DeletesRefused(id, reason));
    }
    job.phase = job.next_phase();
    if !job.is_running() {
        job.end(at);
        facts.push(Fact::JobEnded(id));
    }
    facts
}

/// Why the deletes of a sync must not be carried out, if so.
fn refusal(job: &Job) -> Option<String> {
    let policy = &job.spec.policy;
    let (count, objects) = (job.extraneous_count, job.target.objects);
    if job.spec.mode != Mode::Sync || count == 0 {
        return None;
    }
    if !job.source.is_whole() {
        let places = job.source.end.as_ref().map_or(0, |end| end.unreadable_count);
        return Some(format!(
            "nothing was deleted: {places} places of the source could not be listed, so what is \
             missing there is not known"
        ));
    }
    if job.source.objects == 0 && !policy.allow_empty_source {
        return Some(
            "nothing was deleted: the source has no objects at all (use --allow-empty-source if \
             that is meant)"
                .to_owned(),
        );
    }
    let limit = policy.max_delete.filter(|limit| !limit.allows(count, objects))?;
    let allowed = match limit {
        airlift_protocol::job::DeleteLimit::Count(count) => count.to_string(),
        airlift_protocol::job::DeleteLimit::Percent(percent) => format!("{percent}%"),
    };
    Some(format!(
        "nothing was deleted: {count} of the {objects} objects at the target would go, and \
         --max-delete allows {allowed}"
    ))
}

/// Stops the job. Its leases stay on record, so that the next run knows what was in flight.
pub(super) fn stop(job: &mut Job, id: JobId, failure: Failure, at: Timestamp) -> Vec<Fact> {
    let mut facts = ended_leases(job);
    job.phase = Phase::Stopped;
    job.failure = Some(failure);
    job.end(at);
    facts.push(Fact::JobEnded(id));
    facts
}

#[cfg(test)]
mod tests {
    use airlift_protocol::cluster::{ClusterId, Member, NodeName, Role};
    use airlift_protocol::id::KeyRangeId;
    use airlift_protocol::job::{Filters, Policy};
    use airlift_protocol::key::Key;
    use airlift_protocol::limits::JOBS_ENDED_MAX;
    use airlift_protocol::location::Location;
    use airlift_protocol::manifest::{Entry, Kind, Version};
    use airlift_protocol::report::{Comparison, Completion, Report};

    use super::*;
    use crate::command::Grant;

    fn spec(target: usize) -> JobSpec {
        JobSpec {
            mode: Mode::Copy,
            source: Location::Path("/source".into()),
            target: Location::Path(format!("/{target}").into()),
            single: None,
            filters: Filters::default(),
            policy: Policy::default(),
        }
    }

    /// No life of the simulator reaches it: nothing is planned while a decision of an earlier plan is
    /// under way, and who works alone submits before it works.
    #[test]
    fn what_was_decided_upon_one_run_changes_nothing_of_the_next() {
        let mut state = State::default();
        let (spec, at) = (Box::new(spec(1)), Timestamp(1));
        let job = spec.id();
        for _ in 0..2 {
            let spec = spec.clone();
            state.apply(LogIndex(1), Command::Submit { spec, at });
        }
        let entry = Entry {
            key: Key::from("k"),
            kind: Kind::Object,
            size: 1,
            mtime_ns: None,
            version: Version::None,
            is_archived: false,
        };
        let (node, page) = (NodeId([1; 32]), Page { id: PageId(0), entries: vec![entry] });
        let decided = |run| {
            let (end, from) = (End::Source, Phase::Moving);
            let (range, number) = (KeyRangeId(0), PageId(0));
            let (task, turn) = (Task::List(end, range), Turn { range, number, at });
            let unreadable = Unreadable::default();
            let grant = Grant { job, run, node, source: None, task, bytes: 0, at };
            [
                Command::Grant { grants: vec![grant] },
                Command::Page { job, run, end, page: page.clone(), turn, unreadable },
                Command::Advance { job, run, from, at },
            ]
        };
        let before = state.clone();
        assert_eq!(before.jobs[&job].run, 2);
        for command in decided(1).into_iter().chain(decided(3)) {
            assert_eq!(state.apply(LogIndex(2), command), []);
            assert_eq!(state, before);
        }
        for command in decided(2) {
            let earlier = state.clone();
            state.apply(LogIndex(2), command);
            assert_ne!(state, earlier);
        }
    }

    /// A state with a job whose source a node lists, in a cluster or not; the node's answer.
    fn listing(in_cluster: bool, code: ErrorCode) -> (State, JobId, Command) {
        let (mut state, node, at) = (State::default(), NodeId([1; 32]), Timestamp(1));
        if in_cluster {
            let founder = Member {
                id: node,
                name: NodeName::parse("alpha").unwrap(),
                role: Role::Voter,
                raft: None,
                addresses: Addresses::default(),
                joined_at: at,
                formats: Formats::BUILD,
            };
            let founding = Founding { cluster: ClusterId([2; 16]), founder, admin: [0; 32] };
            state.apply(LogIndex(1), Command::Found(Box::new(founding)));
        }
        let spec = Box::new(spec(1));
        let job = spec.id();
        state.apply(LogIndex(2), Command::Submit { spec, at });
        let task = Task::List(End::Source, KeyRangeId(0));
        let grant = Grant { job, run: 1, node, source: None, task, bytes: 0, at };
        state.apply(LogIndex(3), Command::Grant { grants: vec![grant] });
        let (assignment, lease) = state.jobs[&job].leases.iter().next().expect("a lease");
        let result = Err(Failure::new(code, "list s3://x: no"));
        let report = Report { assignment, job, epoch: lease.epoch, result, wire_bytes: 0 };
        (state, job, Command::Reports { reports: vec![report], at })
    }

    #[test]
    fn a_clusters_job_rests_when_its_credentials_are_refused_until_somebody_wants_it() {
        for (is_resumed, code) in [
            (true, ErrorCode::Unauthorized),
            (false, ErrorCode::Unauthorized),
            (true, ErrorCode::Unreachable),
        ] {
            let (mut state, job, answer) = listing(true, code);
            assert_eq!(state.apply(LogIndex(4), answer), [Fact::Rested(job)]);
            let resting = &state.jobs[&job];
            assert!(resting.is_running() && !resting.is_active() && resting.leases.is_empty());
            let reason = resting.paused_by.as_ref().expect("a reason");
            assert_eq!(reason.detail(), "alpha: list s3://x: no");
            let wanted = match is_resumed {
                true => Command::Resume { job },
                false => Command::Submit { spec: Box::new(spec(1)), at: Timestamp(2) },
            };
            assert_eq!(state.apply(LogIndex(5), wanted), []);
            let going = &state.jobs[&job];
            assert!(going.is_active() && going.paused_by.is_none() && going.run == 1);
        }
    }

    #[test]
    fn a_resting_job_is_tried_again_unless_somebody_has_put_it_to_rest() {
        for is_paused in [false, true] {
            let (mut state, job, answer) = listing(true, ErrorCode::Unauthorized);
            state.apply(LogIndex(4), Command::TryAgain { job });
            assert!(state.jobs[&job].is_active(), "nothing has happened");
            state.apply(LogIndex(5), answer);
            if is_paused {
                state.apply(LogIndex(6), Command::Pause { job });
            }
            state.apply(LogIndex(7), Command::TryAgain { job });
            let again = Command::Submit { spec: Box::new(spec(1)), at: Timestamp(2) };
            state.apply(LogIndex(8), again);
            assert_eq!(state.jobs[&job].is_active(), !is_paused);
        }
    }

    /// A node that leaves entries out would leave their job without an end.
    #[test]
    fn a_comparison_of_another_length_than_its_page_stops_the_job() {
        for (count, is_taken) in [(0, false), (1, true), (2, false)] {
            let (mut state, job, _) = listing(true, ErrorCode::Unauthorized);
            let (end, at) = (End::Source, Timestamp(1));
            let entry = Entry {
                key: Key::from("k"),
                kind: Kind::Object,
                size: 1,
                mtime_ns: None,
                version: Version::None,
                is_archived: false,
            };
            let page = Page { id: PageId(0), entries: vec![entry] };
            let turn = Turn { range: KeyRangeId(0), number: PageId(0), at };
            let unreadable = Unreadable::default();
            let listed = Command::Page { job, run: 1, end, page, turn, unreadable };
            state.apply(LogIndex(4), listed);
            let (node, task) = (NodeId([1; 32]), Task::Compare(PageId(0)));
            let grant = Grant { job, run: 1, node, source: None, task: task.clone(), bytes: 0, at };
            state.apply(LogIndex(5), Command::Grant { grants: vec![grant] });
            let assignment = state.jobs[&job].leases.single(&task).expect("a lease");
            let epoch = Epoch(5);
            let result = Ok(Completion::Compared(vec![Comparison::Move; count]));
            let report = Report { assignment, job, epoch, result, wire_bytes: 0 };
            state.apply(LogIndex(6), Command::Reports { reports: vec![report], at });
            assert_eq!(state.jobs[&job].is_running(), is_taken, "{count}");
            let todo = state.jobs[&job].pages[&PageId(0)].todo.count();
            assert_eq!(todo, u32::from(is_taken));
        }
    }

    /// Whoever said it would say it for ever, and hear of nothing else.
    #[test]
    fn what_a_lister_cannot_have_found_stops_the_job() {
        let (job, run, end, at) = (spec(1).id(), 1, End::Source, Timestamp(1));
        let turn = |number| Turn { range: KeyRangeId(0), number: PageId(number), at };
        let passed = |up_to, number| {
            let (turn, unreadable) = (turn(number), Unreadable::default());
            Command::Passed { job, run, end, turn, up_to: Key::from(up_to), unreadable }
        };
        let cut = |key| Command::Cut { job, run, end, turn: turn(1), at: vec![Key::from(key)] };
        for (said, is_possible) in [
            (passed("n", 1), true),
            (passed("a", 1), false),
            (passed("a", 0), true),
            (cut("n"), true),
            (cut("a"), false),
        ] {
            let (mut state, ..) = listing(true, ErrorCode::Unauthorized);
            state.apply(LogIndex(4), passed("m", 0));
            state.apply(LogIndex(5), said.clone());
            assert_eq!(state.jobs[&job].is_running(), is_possible, "{said:?}");
        }
    }

    #[test]
    fn other_jobs_and_other_failures_stop() {
        for (in_cluster, code) in [(false, ErrorCode::Unauthorized), (true, ErrorCode::NoSpace)] {
            let (mut state, job, answer) = listing(in_cluster, code);
            assert_eq!(state.apply(LogIndex(4), answer), [Fact::JobEnded(job)]);
            assert_eq!(state.jobs[&job].phase, Phase::Stopped);
        }
    }

    #[test]
    fn a_job_that_is_being_cancelled_does_not_rest() {
        let (mut state, job, _) = listing(true, ErrorCode::Unauthorized);
        state.apply(LogIndex(4), Command::Cancel { job });
        let (node, at) = (NodeId([1; 32]), Timestamp(1));
        let grant = Grant { job, run: 1, node, source: None, task: Task::Clean, bytes: 0, at };
        state.apply(LogIndex(5), Command::Grant { grants: vec![grant] });
        let (assignment, lease) = state.jobs[&job].leases.iter().next().expect("a lease");
        let result = Err(Failure::new(ErrorCode::Unauthorized, "no"));
        let report = Report { assignment, job, epoch: lease.epoch, result, wire_bytes: 0 };
        let facts = state.apply(LogIndex(6), Command::Reports { reports: vec![report], at });
        assert_eq!(facts, [Fact::JobEnded(job)]);
    }

    #[test]
    fn jobs_that_ended_first_are_forgotten_first() {
        let mut state = State::default();
        let mut run = |target: usize, is_stopped: bool| {
            let (spec, at) = (Box::new(spec(target)), Timestamp(target as u64));
            let job = spec.id();
            let facts = state.apply(LogIndex(1), Command::Submit { spec, at });
            if is_stopped {
                let failure = Failure::new(ErrorCode::Cancelled, "enough");
                state.apply(LogIndex(1), Command::Stop { job, failure, at });
            }
            let is_forgotten = |fact: &&Fact| matches!(fact, Fact::Forgotten(_));
            (job, facts.iter().find(is_forgotten).cloned())
        };
        let (running, _) = run(0, false);
        let (first, _) = run(1, true);
        for target in 2..=JOBS_ENDED_MAX {
            assert_eq!(run(target, true).1, None);
        }
        assert_eq!(run(JOBS_ENDED_MAX + 1, true).1, None);
        assert_eq!(run(JOBS_ENDED_MAX + 2, true).1, Some(Fact::Forgotten(first)));
        assert!(state.jobs.contains_key(&running) && !state.jobs.contains_key(&first));
        assert_eq!(state.jobs.len(), JOBS_ENDED_MAX + 2);
    }
}
