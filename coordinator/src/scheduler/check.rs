//! The plan linter: what must hold of every plan, whatever decided it, and of the shares of every
//! bandwidth. Tests and the simulator check each plan with it.

use std::collections::{BTreeMap, BTreeSet};

use airlift_protocol::assignment::End;
use airlift_protocol::id::{JobId, NodeId, PageId, Position};
use airlift_protocol::location::Location;
use airlift_protocol::time::Timestamp;

use super::ahead;
use super::backoff::Way;
use super::inventory::Inventory;
use super::plan::Plan;
use super::route;
use super::shares::Shares;
use super::stragglers::TakeBack;
use crate::command::Grant;
use crate::state::{Job, LargeObject, Phase, State, Task};

/// What is wrong with a plan; empty when nothing is.
pub fn check(state: &State, inventory: &Inventory, plan: &Plan) -> Vec<String> {
    let lives = inventory.ready(state).map(|(node, _)| node).collect();
    let mut linter = Linter { state, inventory, lives, faults: Vec::new() };
    linter.grants(&plan.grants);
    linter.ranges(&plan.grants);
    linter.slots(&plan.grants);
    linter.budgets(&plan.grants);
    linter.taken_back(&plan.taken_back);
    linter.ahead(plan);
    linter.faults
}

/// What is wrong with the shares that nodes were told; empty when nothing is. A limit that was
/// lowered is kept once what was told before is over. `at` is the wall-clock time.
pub fn check_shares(
    state: &State,
    shares: &Shares,
    (now, at): (Timestamp, Timestamp),
) -> Vec<String> {
    let limits = shares.demand(state, at).pools.into_iter();
    let faults = limits.filter_map(|(pool, (limit, _))| {
        let used = shares.used(now, pool);
        let most = shares.limit_before(now, pool).max(limit.0);
        (used > most).then(|| format!("{used} bytes per second of {pool:?}, and {most} allowed"))
    });
    faults.collect()
}

struct Linter<'a> {
    state: &'a State,
    inventory: &'a Inventory,
    lives: BTreeSet<NodeId>,
    faults: Vec<String>,
}

impl Linter<'_> {
    fn fault(&mut self, text: String) {
        self.faults.push(text);
    }

    fn grants(&mut self, grants: &[Grant]) {
        let mut tasks: BTreeSet<String> = BTreeSet::new();
        let mut entries: BTreeSet<(JobId, End, PageId, u16)> = BTreeSet::new();
        for grant in grants {
            let Some(job) = self.state.jobs.get(&grant.job) else {
                self.fault(format!("a grant for {:?}, which does not exist", grant.job));
                continue;
            };
            if !job.is_active() || job.run != grant.run {
                self.fault(format!("a grant for {:?}, which does not run", grant.job));
            }
            if !tasks.insert(format!("{:?} {:?}", grant.job, grant.task)) {
                self.fault(format!("{:?} is granted twice", grant.task));
            }
            for (end, page, index) in entries_of(&grant.task) {
                if !entries.insert((grant.job, end, page, index)) {
                    self.fault(format!("entry {index} of {page:?} is granted twice"));
                }
            }
            if job.leases.values().any(|lease| lease.task == grant.task) {
                self.fault(format!("{:?} is leased already", grant.task));
            }
            if matches!(grant.task, Task::Delete(..)) && job.phase != Phase::Deleting {
                self.fault(format!("a delete in phase {:?}", job.phase));
            }
            self.route(job, grant);
        }
    }

    /// Shards of an object are taken in order: a grant out of it would do nothing, again and again.
    fn ranges(&mut self, grants: &[Grant]) {
        let mut objects: BTreeMap<(JobId, Position), Option<LargeObject>> = BTreeMap::new();
        for grant in grants {
            let Task::Range(position, shard) = grant.task else { continue };
            let job = self.state.jobs.get(&grant.job);
            let object = objects
                .entry((grant.job, position))
                .or_insert_with(|| job.and_then(|job| job.objects.get(&position)).cloned());
            if !object.as_mut().is_some_and(|object| object.take(shard)) {
                self.fault(format!("shard {shard} of {position:?} is granted out of turn"));
            }
        }
    }

    /// The nodes of a grant live, reach what they have to, and are not left alone at present.
    fn route(&mut self, job: &Job, grant: &Grant) {
        let Grant { node, source, task, .. } = grant;
        for member in [Some(*node), *source].into_iter().flatten() {
            if !self.lives.contains(&member) {
                self.fault(format!("a grant to {member:?}, which does not live"));
            }
        }
        let location = match route::end_of(task) {
            End::Source => &job.spec.source,
            End::Target => &job.spec.target,
        };
        if !route::reaches(self.state, *node, location) {
            self.fault(format!("{node:?} is to work at {location}, which it does not reach"));
        }
        let reader = source.unwrap_or(*node);
        if route::needs_source(task) && !route::reaches(self.state, reader, &job.spec.source) {
            self.fault(format!(
                "{reader:?} is to read {}, which it does not reach",
                job.spec.source
            ));
        }
        let link = source.map(|source| Way::Link(*node, source));
        for way in [Some(Way::Node(*node)), Some(Way::Job(*node, grant.job)), link] {
            if let Some(way) = way.filter(|way| !self.inventory.observed.is_open(*way)) {
                self.fault(format!("a grant by {way:?}, which failed and is to be left alone"));
            }
        }
    }

    fn slots(&mut self, grants: &[Grant]) {
        for (node, free) in self.inventory.free_slots(self.state) {
            let is_here = |grant: &&Grant| grant.node == node && grant.task.takes_slot();
            let used = grants.iter().filter(is_here).count();
            if used > free {
                self.fault(format!("{node:?} gets {used} tasks with {free} slots free"));
            }
        }
    }

    /// No job is granted more than its budget has left beside what it was granted before.
    fn budgets(&mut self, grants: &[Grant]) {
        for (id, job) in &self.state.jobs {
            let granted = grants.iter().filter(|grant| grant.job == *id).map(|grant| grant.bytes);
            let granted = granted.fold(0, u64::saturating_add);
            let leased = job.leases.values().map(|lease| lease.bytes);
            let all = leased.fold(granted, u64::saturating_add);
            if granted > 0
                && let Some(text) = job.spec.policy.budget.shortage(job.used(), all)
            {
                self.fault(format!("{id:?} is granted more than its budget has: {text}"));
            }
        }
    }

    fn taken_back(&mut self, taken_back: &[TakeBack]) {
        let mut seen = BTreeSet::new();
        for taken in taken_back {
            let id = taken.assignment;
            if !seen.insert(id) {
                self.fault(format!("{id:?} is taken back twice"));
            }
            let job = self.state.jobs.get(&taken.job).filter(|job| job.is_active());
            let lease = job.and_then(|job| Some((job, job.leases.get(id)?)));
            let Some((job, lease)) = lease.filter(|(_, lease)| lease.epoch == taken.epoch) else {
                self.fault(format!("{id:?} is taken back and is no lease"));
                continue;
            };
            if !lease.task.moves_objects() {
                self.fault(format!("{id:?} is taken back and moves nothing"));
            }
            if !self.lives.iter().any(|node| *node != lease.node && self.could_write(job, *node)) {
                self.fault(format!("{id:?} is taken back and nobody else can do it"));
            }
            if !self.inventory.observed.pace.may_take(taken.job, job, lease) {
                self.fault(format!("{id:?} is taken back too often"));
            }
        }
    }

    /// Nothing is given out to be listed beyond the bound, and nothing else is taken back for that.
    fn ahead(&mut self, plan: &Plan) {
        let listed = ahead::listed(self.state);
        for grant in plan.grants.iter().filter(|grant| ahead::is_listing(&grant.task)) {
            let job = self.state.jobs.get(&grant.job);
            if job.is_some_and(|job| !ahead::may_list(job, listed)) {
                self.fault(format!("{:?} is listed too far ahead", grant.job));
            }
        }
        for taken in &plan.ahead {
            let job = self.state.jobs.get(&taken.job).filter(|job| job.is_active());
            let lease = job.and_then(|job| job.leases.get(taken.assignment));
            if !lease.is_some_and(|it| it.epoch == taken.epoch && ahead::is_listing(&it.task)) {
                self.fault(format!("{:?} is taken back and lists no source", taken.assignment));
            }
        }
    }

    fn could_write(&self, job: &Job, node: NodeId) -> bool {
        let reaches = |node, location: &Location| route::reaches(self.state, node, location);
        let has_reader = self.lives.iter().any(|reader| reaches(*reader, &job.spec.source));
        reaches(node, &job.spec.target) && has_reader
    }
}

/// The entries that a task is about, each by listing, page and place.
fn entries_of(task: &Task) -> Vec<(End, PageId, u16)> {
    let of = |end, page: &PageId, indices: &[u16]| {
        indices.iter().map(|index| (end, *page, *index)).collect()
    };
    match task {
        Task::Open(position, ..) => of(End::Source, &position.page, &[position.index]),
        Task::Pack(page, indices) | Task::Verify(page, indices) => of(End::Source, page, indices),
        Task::Delete(page, indices) => of(End::Target, page, indices),
        Task::List(..)
        | Task::Compare(_)
        | Task::Range(..)
        | Task::Commit(_)
        | Task::ReadBack(_)
        | Task::Discard(_)
        | Task::Clean => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
