//! The plan: which tasks are granted to which nodes, and which jobs go on to their next phase.

use std::collections::BTreeSet;

use airlift_protocol::assignment::End;
use airlift_protocol::bitmap::Bitmap;
use airlift_protocol::id::{JobId, PageId, Position};
use airlift_protocol::job::Mode;
use airlift_protocol::limits::{
    DELETE_KEYS_MAX, OBJECTS_OPEN_MAX, OBJECTS_OPEN_MIN, PACK_BYTES_MAX, PACK_OBJECTS_MAX,
    VERIFY_BYTES_MAX, VERIFY_OBJECTS_MAX,
};
use airlift_protocol::manifest::{Entry, Page};
use airlift_protocol::shard;
use airlift_protocol::time::Timestamp;

use super::ahead;
use super::fair::{self, Claim};
use super::inventory::Inventory;
use super::load::Load;
use super::pages::{self, PageKey, Pages, is_large};
use super::route::{Reach, Route, route};
use super::stragglers::{self, TakeBack};
use crate::command::Grant;
use crate::state::{Job, LargeObject, Moved, Phase, State, Task, UploadId};

/// A complete decision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// What is given out, in order.
    pub grants: Vec<Grant>,
    /// Jobs that leave the phase they are in, each in which run.
    pub advances: Vec<(JobId, u32, Phase)>,
    /// Leases that end before their work does, for others to do it.
    pub taken_back: Vec<TakeBack>,
    /// Leases to list that end because the moving is too far behind.
    pub ahead: Vec<TakeBack>,
    /// Jobs whose budget has not enough left for their next piece of work: each in which run, and the bytes of
    /// that piece.
    pub exhausted: Vec<(JobId, u32, u64)>,
}

/// Pages of one job that are compared with the target at the same time.
const COMPARES_MAX: usize = 2;

/// Objects that a pack has at least, while a page has as many: below it, the cost of a pack
/// outweighs what its parallelism gains.
const PACK_OBJECTS_MIN: usize = 256;

/// Whether a job has used its budget, and goes on for nothing but to clean up behind itself.
fn is_exhausted(job: &Job) -> bool {
    !job.is_being_cancelled() && job.spec.policy.budget.exhausted(job.used()).is_some()
}

/// Decides what to do next. `at` is the wall-clock time, for the record of when uploads began.
pub fn plan(state: &State, inventory: &Inventory, pages: &Pages, at: Timestamp) -> Plan {
    let slots = inventory.slots(state);
    let listed = ahead::listed(state);
    let site = Site { state, inventory, pages, at, slots, listed };
    let load = Load::of(state, inventory);
    if load.is_empty() {
        return Plan::default();
    }
    // One job alone is entitled to everything.
    let is_shared = state.jobs.values().filter(|job| job.is_active()).nth(1).is_some();
    let (mut plan, mut left) = site.plan(load.clone(), is_shared);
    if !left.is_full() && !plan.grants.iter().any(|grant| grant.task.takes_slot()) {
        if is_shared {
            // Who is entitled to slots has no use for them: the others may have them.
            (plan, left) = site.plan(load, false);
        }
        plan.taken_back.extend(stragglers::find(state, inventory, &left));
    }
    plan.ahead = ahead::find(state, listed);
    plan
}

/// What all plans of one moment begin with.
#[derive(Clone, Copy)]
struct Site<'a> {
    state: &'a State,
    inventory: &'a Inventory,
    pages: &'a Pages,
    at: Timestamp,
    /// Slots of all nodes, free or not.
    slots: usize,
    /// Pages of all jobs that are not through.
    listed: usize,
}

impl Site<'_> {
    /// A plan in which each job takes slots up to its share, or as many as there are; and what the
    /// nodes can take beside.
    fn plan(self, mut load: Load, has_quotas: bool) -> (Plan, Load) {
        let mut plan = Plan::default();
        for Claim { id, job, quota } in fair::claims(self.state, self.slots) {
            if is_exhausted(job) {
                plan.exhausted.push((id, job.run, 0));
                continue;
            }
            let before = plan.grants.len();
            let quota = if has_quotas { quota } else { usize::MAX };
            let todo = self.todo(id, job);
            let (load, plan_) = (&mut load, &mut plan);
            let promised =
                job.leases.values().map(|lease| lease.bytes).fold(0, u64::saturating_add);
            let (reach, short) = (None, None);
            let mut planner = Planner {
                site: self,
                id,
                job,
                quota,
                todo,
                reach,
                promised,
                short,
                load,
                plan: plan_,
            };
            planner.phase();
            let short = planner.short;
            let has_granted = plan.grants.len() > before;
            match short {
                Some(bytes) if !has_granted && !job.is_reading() => {
                    plan.exhausted.push((id, job.run, bytes));
                }
                None if !has_granted && job.leases.is_empty() && is_phase_through(job) => {
                    plan.advances.push((id, job.run, job.phase));
                }
                _ => {}
            }
        }
        (plan, load)
    }

    /// What is to be given out of the source pages in work, as far as they are in memory.
    fn todo<'a>(&'a self, id: JobId, job: &'a Job) -> Vec<Todo<'a>> {
        if job.phase != Phase::Moving {
            return Vec::new();
        }
        let active = job.pages.iter().take(pages::active_max(self.slots));
        let found = active.filter_map(|(page, progress)| {
            let key = PageKey { job: id, end: End::Source, page: *page };
            let (loaded, listed_large) = self.pages.find_split(key)?;
            let mut large = progress.todo.intersection(listed_large);
            let mut small = progress.todo.difference(listed_large);
            let position = |index| Position { page: *page, index };
            let changed = job.changed.range(position(0)..=position(u16::MAX));
            for (Position { index, .. }, entry) in changed {
                if progress.todo.contains(*index) {
                    let (now, before) = match is_large(entry) {
                        true => (&mut large, &mut small),
                        false => (&mut small, &mut large),
                    };
                    now.insert(*index);
                    before.remove(*index);
                }
            }
            Some(Todo { page: *page, loaded, all: &progress.todo, large, small })
        });
        found.collect()
    }
}

/// Entries of one page that are to be given out.
struct Todo<'a> {
    page: PageId,
    loaded: &'a Page,
    all: &'a Bitmap,
    /// Those that are moved range by range.
    large: Bitmap,
    /// The others.
    small: Bitmap,
}

/// Some of the entries of a page.
type Choice = for<'a> fn(&'a Todo<'_>) -> &'a Bitmap;

/// Whether nothing is left to do in the job's phase.
fn is_phase_through(job: &Job) -> bool {
    match job.phase {
        Phase::Moving => job.source.end.is_some() && job.pages.is_empty(),
        Phase::ListingTarget => job.target.end.is_some(),
        Phase::Diffing => job.diffed == job.target.page_count(),
        Phase::Deleting => job.extraneous.is_empty(),
        Phase::Cleaning => {
            !needs_cleaning(job) || (job.is_clean && job.unwanted_uploads().next().is_none())
        }
        Phase::Ended | Phase::Stopped => false,
    }
}

/// Whether the job may have left something at the target.
fn needs_cleaning(job: &Job) -> bool {
    job.spec.mode != Mode::Verify && !job.spec.policy.dry_run
}

struct Planner<'a> {
    site: Site<'a>,
    id: JobId,
    job: &'a Job,
    /// Slots that the job may still take.
    quota: usize,
    todo: Vec<Todo<'a>>,
    /// Looked up for the first task: most jobs have none to give out in a plan.
    reach: Option<Reach>,
    /// Bytes that leases and grants of this plan may read.
    promised: u64,
    /// Bytes of a piece of work for which the job's budget has not enough left.
    short: Option<u64>,
    load: &'a mut Load,
    plan: &'a mut Plan,
}

impl Planner<'_> {
    fn phase(&mut self) {
        match self.job.phase {
            Phase::Moving => {
                if ahead::may_list(self.job, self.site.listed) {
                    self.list(End::Source);
                }
                self.compare();
                self.commit();
                self.read_back();
                self.open();
                self.ranges();
                self.packs();
                self.verify();
                // Slots that packs did not need go to ranges after all.
                self.ranges_up_to(0);
            }
            Phase::ListingTarget => self.list(End::Target),
            Phase::Deleting => self.delete(),
            Phase::Cleaning if needs_cleaning(self.job) => self.clean(),
            Phase::Diffing | Phase::Cleaning | Phase::Ended | Phase::Stopped => {}
        }
    }

    /// Grants a task by the best route; whether there was one.
    fn grant(&mut self, task: Task, bytes: u64) -> bool {
        let takes_slot = task.takes_slot();
        if takes_slot && self.quota == 0 {
            return false;
        }
        if bytes > 0 && !self.has_budget(bytes) {
            self.short = Some(bytes);
            return false;
        }
        let Site { state, inventory, at, .. } = self.site;
        let (observed, of, what) = (&inventory.observed, (self.id, self.job), (&task, bytes));
        let reach = self.reach.get_or_insert_with(|| Reach::of(state, observed, of, self.load));
        let Some(Route { node, source }) = route(observed, reach, what, self.load) else {
            return false;
        };
        self.quota -= usize::from(takes_slot);
        self.promised = self.promised.saturating_add(bytes);
        self.load.grant(node, source, bytes, takes_slot);
        let (job, run) = (self.id, self.job.run);
        self.plan.grants.push(Grant { job, run, node, source, task, bytes, at });
        true
    }

    /// Whether the job's budget has enough left for so many bytes, beside all that was promised.
    fn has_budget(&self, bytes: u64) -> bool {
        let bytes = self.promised.saturating_add(bytes);
        self.job.spec.policy.budget.shortage(self.job.used(), bytes).is_none()
    }

    fn slots_free(&self) -> usize {
        self.load.free().min(self.quota)
    }

    fn is_granted_or_leased(&self, task: &Task) -> bool {
        self.job.is_leased(task)
            || self.plan.grants.iter().any(|grant| grant.job == self.id && grant.task == *task)
    }

    fn list(&mut self, end: End) {
        for range in self.job.listing(end).open_ranges() {
            let task = Task::List(end, range.id);
            if !self.is_granted_or_leased(&task) && !self.grant(task, 0) {
                return;
            }
        }
    }

    fn compare(&mut self) {
        let is_compare = |task: &Task| matches!(task, Task::Compare(_));
        let running = self.job.leases.singles().filter(|task| is_compare(task)).count();
        let next: Vec<Task> = self
            .todo
            .iter()
            .filter(|todo| !self.job.pages[&todo.page].is_compared)
            .map(|todo| Task::Compare(todo.page))
            .filter(|task| !self.is_granted_or_leased(task))
            .take(COMPARES_MAX.saturating_sub(running))
            .collect();
        for task in next {
            self.grant(task, 0);
        }
    }

    fn commit(&mut self) {
        let assembled = self.job.objects.iter().filter(|(_, object)| object.is_assembled());
        for (position, _) in assembled {
            let task = Task::Commit(*position);
            if !self.job.is_leased(&task) && !self.grant(task, 0) {
                return;
            }
        }
    }

    fn read_back(&mut self) {
        for (position, Moved { bytes, .. }) in &self.job.read_backs {
            let task = Task::ReadBack(*position);
            if !self.is_granted_or_leased(&task) && !self.grant(task, *bytes) {
                return;
            }
        }
    }

    /// Entries that can be given out, of pages in memory, in order.
    fn entries(&self, chosen: Choice) -> impl Iterator<Item = (Position, &Entry)> {
        self.todo.iter().flat_map(move |todo| {
            chosen(todo).iter().filter_map(move |index| {
                let position = Position { page: todo.page, index };
                self.job.entry(todo.loaded, position).map(|entry| (position, entry))
            })
        })
    }

    fn open(&mut self) {
        if self.job.spec.mode == Mode::Verify {
            return;
        }
        // Few objects, or so many that there is a shard for each slot.
        let (mut objects, mut shards) = (self.job.objects.len(), self.shards_waiting());
        let is_wanted = |(_, entry): &(Position, &Entry)| {
            let is_wanted = objects < OBJECTS_OPEN_MIN
                || (shards < self.site.slots && objects < OBJECTS_OPEN_MAX);
            objects += 1;
            shards = shards.saturating_add(shard::count(entry.size) as usize);
            is_wanted
        };
        let opens: Vec<(Position, UploadId, u64)> = self
            .entries(|todo| &todo.large)
            .take_while(is_wanted)
            .take(self.slots_free())
            .map(|(position, entry)| {
                let key = self.job.spec.target_key(&entry.key).clone();
                (position, UploadId { key, fingerprint: entry.fingerprint() }, entry.size)
            })
            .collect();
        for (position, upload, size) in opens {
            if !self.grant(Task::Open(position, upload, size), 0) {
                return;
            }
        }
    }

    /// Shards of objects that are open or being opened, and wait to be moved; counted up to the slots
    /// that there are.
    fn shards_waiting(&self) -> usize {
        let waiting = |object: &LargeObject| match &object.token {
            Some(_) => object.available().take(self.site.slots).count(),
            None => shard::count(object.size) as usize,
        };
        self.job.objects.values().map(waiting).fold(0, usize::saturating_add)
    }

    /// Grants ranges, leaving one slot for packs while there are any to be given out.
    fn ranges(&mut self) {
        let wants_packs = self.todo.iter().any(|todo| !todo.small.is_empty());
        let reserve = usize::from(wants_packs && self.site.slots > 1);
        self.ranges_up_to(reserve);
    }

    fn ranges_up_to(&mut self, reserve: usize) {
        let room = self.slots_free().saturating_sub(reserve);
        if room == 0 {
            return;
        }
        let granted: BTreeSet<(Position, u32)> = self
            .plan
            .grants
            .iter()
            .filter_map(|grant| match grant.task {
                Task::Range(position, shard) if grant.job == self.id => Some((position, shard)),
                _ => None,
            })
            .collect();
        let ranges: Vec<(Position, u32, u64)> = self
            .job
            .objects
            .iter()
            .flat_map(|(position, object)| {
                object.available().map(move |shard| (*position, shard, object.size))
            })
            .filter(|(position, shard, _)| !granted.contains(&(*position, *shard)))
            .take(room)
            .collect();
        // Shards of an object are taken in order: one that is not to be had holds up those behind it.
        let mut held_up = None;
        for (position, shard, size) in ranges {
            let bytes = shard::range(size, shard).len();
            if held_up != Some(position) && !self.grant(Task::Range(position, shard), bytes) {
                held_up = Some(position);
            }
        }
    }

    fn packs(&mut self) {
        if self.job.spec.mode == Mode::Verify {
            return;
        }
        let todo: usize = self.todo.iter().map(|todo| todo.small.count() as usize).sum();
        let objects_max =
            (todo / (2 * self.site.slots.max(1))).clamp(PACK_OBJECTS_MIN, PACK_OBJECTS_MAX);
        let limits = Limits { objects: objects_max, bytes: PACK_BYTES_MAX };
        for (page, indices, bytes) in self.bundles(limits, |todo| &todo.small) {
            if !self.grant(Task::Pack(page, indices), bytes) {
                return;
            }
        }
    }

    fn verify(&mut self) {
        if self.job.spec.mode != Mode::Verify {
            return;
        }
        let limits = Limits { objects: VERIFY_OBJECTS_MAX, bytes: VERIFY_BYTES_MAX };
        for (page, indices, bytes) in self.bundles(limits, |todo| todo.all) {
            if !self.grant(Task::Verify(page, indices), bytes) {
                return;
            }
        }
    }

    /// Entries to be given out, in bundles within one page and within `limits`, as many bundles as
    /// slots are free.
    fn bundles(&self, limits: Limits, chosen: Choice) -> Vec<(PageId, Vec<u16>, u64)> {
        let room = self.slots_free();
        let mut bundles: Vec<(PageId, Vec<u16>, u64)> = Vec::new();
        for (position, entry) in self.entries(chosen) {
            if let Some((page, indices, bytes)) = bundles.last_mut()
                && *page == position.page
                && indices.len() < limits.objects
                && *bytes + entry.size <= limits.bytes
            {
                indices.push(position.index);
                *bytes += entry.size;
            } else if bundles.len() < room {
                bundles.push((position.page, vec![position.index], entry.size));
            } else {
                break;
            }
        }
        bundles
    }

    fn delete(&mut self) {
        let active = pages::active_max(self.site.slots);
        for (page, entries) in self.job.extraneous.iter().take(active) {
            let key = PageKey { job: self.id, end: End::Target, page: *page };
            if self.site.pages.find(key).is_none() {
                continue;
            }
            let indices: Vec<u16> = entries.iter().collect();
            for bundle in indices.chunks(DELETE_KEYS_MAX) {
                if !self.grant(Task::Delete(*page, bundle.to_vec()), 0) {
                    return;
                }
            }
        }
    }

    fn clean(&mut self) {
        let discards = self.job.unwanted_uploads().cloned().map(Task::Discard);
        for task in discards.collect::<Vec<_>>() {
            if !self.is_granted_or_leased(&task) && !self.grant(task, 0) {
                return;
            }
        }
        if self.job.unwanted_uploads().next().is_none()
            && !self.job.is_clean
            && !self.is_granted_or_leased(&Task::Clean)
        {
            self.grant(Task::Clean, 0);
        }
    }
}

/// Bounds of a bundle of small objects.
#[derive(Clone, Copy)]
struct Limits {
    objects: usize,
    bytes: u64,
}

#[cfg(test)]
mod tests;
