//! Stragglers: work that has lasted much longer than the same work takes elsewhere, on a node that
//! hardly moves anything, while another could do it. It is taken back, and given out again.
//!
//! What has been sent of it is sent twice, so this is bounded: a task is taken back a few times at
//! most, and of a job a twentieth of its bytes, or little if it is small.

use std::collections::{BTreeMap, VecDeque};

use airlift_protocol::id::{AssignmentId, Epoch, JobId, NodeId, PageId};
use airlift_protocol::limits::SHARD_BYTES;
use airlift_protocol::time::Timestamp;

use super::backoff::Way;
use super::inventory::Inventory;
use super::load::Load;
use super::route;
use crate::state::{Job, Lease, State, Task};

/// A lease that is to end before its work does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TakeBack {
    /// Of which job.
    pub job: JobId,
    /// Which lease.
    pub assignment: AssignmentId,
    /// Its fencing number.
    pub epoch: Epoch,
}

/// Milliseconds that work lasts before it can be called slow.
pub(super) const STRAGGLER_MS_MIN: u64 = 10_000;

/// How much longer than elsewhere it lasts, and how much slower its node is.
const FACTOR: u64 = 3;

/// Times that one task is taken back.
pub(super) const TAKEN_MAX: u32 = 2;

/// What may be taken back of a job: one part of so many, or these bytes if that is more.
const TAKEN_PART: u64 = 20;
const TAKEN_BYTES: u64 = 4 * SHARD_BYTES;

/// Tasks of one job that are taken back.
const TASKS_TAKEN_MAX: usize = 1024;

/// Ended work of one kind that the pace is taken from, and how much it needs at least.
const SAMPLES_MAX: usize = 32;
const SAMPLES_MIN: usize = 3;

/// Leases that are over, beside as many as there are, of which it is still known when they began.
const BEGUN_SPARE: usize = 16;

/// Milliseconds for which ended work tells the pace.
const SAMPLE_AGE_MS: u64 = 120_000;

/// Bytes that an object costs beside its own: small ones take a while each.
const OBJECT_COST: u64 = 64 << 10;

const MIB: u128 = 1 << 20;

/// What is comparable: ranges with ranges, packs with packs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Range,
    Pack,
}

/// Work that has ended well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sample {
    node: NodeId,
    at: Timestamp,
    /// Microseconds for each MiB of its cost.
    pace: u64,
}

/// What was taken back of a job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Taken {
    bytes: u64,
    tasks: BTreeMap<TaskKey, u32>,
}

/// A task by where it begins: page, entry, shard.
type TaskKey = (PageId, u16, u32);

/// How long work takes, and what was taken back because it took longer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pace {
    /// Leases that move objects, and when they were seen first. A later one has a higher number, so
    /// they are in the order of time; some may be over.
    begun: BTreeMap<AssignmentId, (Timestamp, JobId)>,
    /// Leases before this one were looked at.
    seen: AssignmentId,
    samples: BTreeMap<(JobId, Kind), VecDeque<Sample>>,
    taken: BTreeMap<JobId, Taken>,
}

fn kind(task: &Task) -> Option<(Kind, u64)> {
    match task {
        Task::Range(..) => Some((Kind::Range, 0)),
        Task::Pack(_, indices) => Some((Kind::Pack, indices.len() as u64)),
        _ => None,
    }
}

fn key(task: &Task) -> Option<TaskKey> {
    match task {
        Task::Range(position, shard) => Some((position.page, position.index, *shard)),
        Task::Pack(page, indices) => Some((*page, *indices.first()?, 0)),
        _ => None,
    }
}

/// Kind of a lease's work, and what it costs.
fn cost(lease: &Lease) -> Option<(Kind, u128)> {
    let (kind, objects) = kind(&lease.task)?;
    let cost = lease.bytes.saturating_add(objects.saturating_mul(OBJECT_COST)).max(1);
    Some((kind, u128::from(cost)))
}

impl Pace {
    /// Notes when leases are seen first, and forgets what is over.
    pub(crate) fn look(&mut self, now: Timestamp, state: &State) {
        let running = || state.jobs.iter().filter(|(_, job)| job.is_running());
        for (job_id, job) in running() {
            let new = job.leases.from(self.seen);
            let moving = new.filter(|(_, lease)| lease.task.moves_objects());
            self.begun.extend(moving.map(|(id, _)| (id, (now, *job_id))));
        }
        self.seen = state.next_assignment();
        // Not at each look: there may be tens of thousands.
        let leases: usize = running().map(|(_, job)| job.leases.len()).sum();
        if self.begun.len() > BEGUN_SPARE + 2 * leases {
            self.begun.retain(|id, (_, job)| is_leased(state, *job, *id));
        }
        let is_running = |id: &JobId| state.jobs.get(id).is_some_and(Job::is_running);
        self.samples.retain(|(id, _), _| is_running(id));
        self.taken.retain(|id, _| is_running(id));
    }

    /// The work of a lease has ended well.
    pub(crate) fn finish(&mut self, now: Timestamp, job: JobId, id: AssignmentId, lease: &Lease) {
        let (Some((kind, cost)), Some((begun, _))) = (cost(lease), self.begun.get(&id)) else {
            return;
        };
        let pace = u128::from(now.since(*begun)) * 1000 * MIB / cost;
        let pace = u64::try_from(pace).unwrap_or(u64::MAX);
        let samples = self.samples.entry((job, kind)).or_default();
        if samples.len() >= SAMPLES_MAX {
            samples.pop_front();
        }
        samples.push_back(Sample { node: lease.node, at: now, pace });
    }

    /// Milliseconds that the work of a lease takes on other nodes.
    fn expected_ms(&self, now: Timestamp, job: JobId, lease: &Lease) -> Option<u64> {
        let (kind, cost) = cost(lease)?;
        let samples = self.samples.get(&(job, kind))?.iter();
        let elsewhere = samples
            .filter(|sample| sample.node != lease.node && now.since(sample.at) <= SAMPLE_AGE_MS);
        let mut paces: Vec<u64> = elsewhere.map(|sample| sample.pace).collect();
        paces.sort_unstable();
        let median = *paces.get(paces.len() / 2).filter(|_| paces.len() >= SAMPLES_MIN)?;
        let ms = u128::from(median) * cost / MIB / 1000;
        Some(u64::try_from(ms).unwrap_or(u64::MAX).max(1))
    }

    /// Whether a lease may be taken back once more.
    pub(super) fn may_take(&self, id: JobId, job: &Job, lease: &Lease) -> bool {
        let Some(key) = key(&lease.task) else { return false };
        let nothing = Taken::default();
        let taken = self.taken.get(&id).unwrap_or(&nothing);
        let times = taken.tasks.get(&key).copied().unwrap_or(0);
        let bytes = taken.bytes.saturating_add(lease.bytes);
        times < TAKEN_MAX
            && taken.tasks.len() < TASKS_TAKEN_MAX
            && bytes <= (job.totals.bytes.total / TAKEN_PART).max(TAKEN_BYTES)
    }

    /// Counts a lease as taken back.
    pub(crate) fn take(&mut self, job: JobId, lease: &Lease) {
        let Some(key) = key(&lease.task) else { return };
        let taken = self.taken.entry(job).or_default();
        taken.bytes = taken.bytes.saturating_add(lease.bytes);
        *taken.tasks.entry(key).or_default() += 1;
    }
}

/// The lease that is to be taken back now: of several, the one that has lasted longest. `load` is
/// what nodes can still take after all else was given out.
pub(super) fn find(state: &State, inventory: &Inventory, load: &Load) -> Option<TakeBack> {
    let (pace, now) = (&inventory.observed.pace, inventory.observed.now);
    let is_old = |begun: &Timestamp| now.since(*begun) >= STRAGGLER_MS_MIN;
    let mut old = pace.begun.iter().take_while(|(_, (begun, _))| is_old(begun));
    old.find_map(|(assignment, (begun, id))| {
        let job = state.jobs.get(id).filter(|job| job.is_active())?;
        let lease = job.leases.get(*assignment)?;
        let is_meant = is_slow(state, inventory, *begun, (*id, job, lease), load)
            && pace.may_take(*id, job, lease);
        is_meant.then_some(TakeBack { job: *id, assignment: *assignment, epoch: lease.epoch })
    })
}

fn is_leased(state: &State, job: JobId, id: AssignmentId) -> bool {
    let job = state.jobs.get(&job).filter(|job| job.is_running());
    job.is_some_and(|job| job.leases.get(id).is_some())
}

fn is_slow(
    state: &State,
    inventory: &Inventory,
    begun: Timestamp,
    (id, job, lease): (JobId, &Job, &Lease),
    load: &Load,
) -> bool {
    let observed = &inventory.observed;
    let Some(expected) = observed.pace.expected_ms(observed.now, id, lease) else { return false };
    let Some(rate) = observed.rates.writes(observed.now, lease.node) else { return false };
    let is_late = observed.now.since(begun) / FACTOR > expected;
    // Elsewhere, this lease alone would move its bytes in the time expected.
    let slowed = u128::from(rate) * u128::from(FACTOR) * u128::from(expected);
    let has_collapsed = slowed < u128::from(lease.bytes) * 1000;
    // Under a limit all are slow together, and an idle node would be no faster.
    let is_limited = job.spec.policy.bandwidth.is_some() || state.bandwidth.is_some();
    let is_faster = |node: NodeId| match observed.rates.writes(observed.now, node) {
        None => !is_limited,
        Some(other) => other / FACTOR >= rate.max(1),
    };
    is_late
        && has_collapsed
        && load
            .free_nodes()
            .any(|node| is_faster(node) && could_do(state, inventory, (id, job, lease), load, node))
}

/// Whether `node` could do the work of a lease that another holds.
fn could_do(
    state: &State,
    inventory: &Inventory,
    (id, job, lease): (JobId, &Job, &Lease),
    load: &Load,
    node: NodeId,
) -> bool {
    let is_open = |way| inventory.observed.is_open(way);
    let has_source = route::reaches(state, node, &job.spec.source)
        || lease.source.is_some_and(|source| load.has(source) && is_open(Way::Link(node, source)));
    node != lease.node
        && route::reaches(state, node, &job.spec.target)
        && has_source
        && is_open(Way::Node(node))
        && is_open(Way::Job(node, id))
}

#[cfg(test)]
mod tests;
