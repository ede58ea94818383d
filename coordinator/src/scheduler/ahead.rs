//! How far the listing of a source may be ahead of the moving.
//!
//! Every page with objects that have not come to their end is part of the state, and a listing is many
//! times as fast as what follows. So from some number of pages on nothing more of a source is given out to
//! be listed. Nothing waits for the rest of a listing, so these pages go, and then it goes on.
//!
//! An order to list ends by itself after a few pages, but for sources that can only be listed from the
//! front: trees of files and inventories. Such an order is taken back when it has gone too far. Whoever
//! goes on has to find the place again, hence the distance between the two bounds.

use airlift_protocol::assignment::End;
use airlift_protocol::limits::{PAGES_LISTED_MAX, PAGES_LISTED_MIN};

use super::stragglers::TakeBack;
use crate::state::{Job, State, Task};

/// Pages of all jobs together that are not through. One that stopped keeps its own on record.
pub(super) fn listed(state: &State) -> usize {
    state.jobs.values().map(|job| job.pages.len()).sum()
}

/// Whether more of a job's source may be listed while all jobs have so many pages. No job is kept from its
/// work by the pages of others.
pub(super) fn may_list(job: &Job, listed: usize) -> bool {
    job.pages.len() < PAGES_LISTED_MIN || listed < PAGES_LISTED_MAX
}

/// Whether what is being listed of a job's source is to end.
fn is_too_far(job: &Job, listed: usize) -> bool {
    job.pages.len() >= 2 * PAGES_LISTED_MIN && listed >= 2 * PAGES_LISTED_MAX
}

/// Whether a task lists a source.
pub(super) fn is_listing(task: &Task) -> bool {
    matches!(task, Task::List(End::Source, _))
}

/// The orders to list that have gone too far, while all jobs have so many pages.
pub(super) fn find(state: &State, listed: usize) -> Vec<TakeBack> {
    let jobs = state.jobs.iter().filter(|(_, job)| job.is_active() && is_too_far(job, listed));
    let found = jobs.flat_map(|(id, job)| {
        let listings = job.leases.singles().filter(|task| is_listing(task));
        listings.filter_map(|task| {
            let assignment = job.leases.single(task)?;
            let epoch = job.leases.get(assignment)?.epoch;
            Some(TakeBack { job: *id, assignment, epoch })
        })
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use airlift_protocol::error::{ErrorCode, Failure};
    use airlift_protocol::id::{AssignmentId, JobId, PageId};
    use airlift_protocol::job::Policy;
    use airlift_protocol::report::{Completion, ListingEnd};

    use super::super::fixture::{Site, bucket};
    use super::super::plan::Plan;
    use super::*;
    use crate::command::Command;

    /// A job whose source is listed up to its first page, and the order for that.
    fn job(site: &mut Site, target: &str) -> (JobId, AssignmentId) {
        let job = site.job([bucket("source"), bucket(target)], Policy::default(), 4);
        let leases = &site.state.jobs[&job].leases;
        let listing = leases.iter().find(|(_, lease)| is_listing(&lease.task));
        (job, listing.expect("it is being listed").0)
    }

    /// The order is at its end, and the range is not.
    fn rest(site: &mut Site, job: JobId, listing: AssignmentId) {
        let (pages, unreadable, unreadable_count) = (PageId(1), Vec::new(), 0);
        let end = ListingEnd { pages, unreadable, unreadable_count };
        site.report(job, listing, Completion::PartListed(end));
    }

    /// Lets a job have so many pages that are not through.
    fn fill(site: &mut Site, job: JobId, pages: usize) {
        let waiting = &mut site.state.jobs.get_mut(&job).unwrap().pages;
        let page = waiting.values().next().unwrap().clone();
        *waiting = (0..pages as u32).map(|id| (PageId(id), page.clone())).collect();
    }

    fn lists(plan: &Plan, job: JobId) -> bool {
        plan.grants.iter().any(|grant| grant.job == job && is_listing(&grant.task))
    }

    fn moves(plan: &Plan, job: JobId) -> bool {
        let is_pack = |task: &Task| matches!(task, Task::Pack(..));
        plan.grants.iter().any(|grant| grant.job == job && is_pack(&grant.task))
    }

    #[test]
    fn a_source_is_listed_no_further_than_the_bound_and_what_is_listed_moves() {
        let mut site = Site::new(3);
        let (id, listing) = job(&mut site, "target");
        rest(&mut site, id, listing);
        for (pages, is_listed) in
            [(1, true), (PAGES_LISTED_MAX - 1, true), (PAGES_LISTED_MAX, false)]
        {
            fill(&mut site, id, pages);
            let plan = site.plan();
            assert_eq!((lists(&plan, id), moves(&plan, id)), (is_listed, true), "{pages}");
            assert_eq!((plan.advances.len(), plan.ahead.len()), (0, 0), "{pages}");
        }
    }

    #[test]
    fn the_pages_of_one_job_keep_no_other_from_its_work() {
        let mut site = Site::new(3);
        let (large, _) = job(&mut site, "large");
        let (id, listing) = job(&mut site, "target");
        rest(&mut site, id, listing);
        for is_stopped in [false, true] {
            fill(&mut site, large, PAGES_LISTED_MAX);
            for (pages, is_listed) in [(PAGES_LISTED_MIN - 1, true), (PAGES_LISTED_MIN, false)] {
                fill(&mut site, id, pages);
                assert_eq!(lists(&site.plan(), id), is_listed, "{pages} {is_stopped}");
            }
            fill(&mut site, large, PAGES_LISTED_MAX - PAGES_LISTED_MIN - 1);
            assert!(lists(&site.plan(), id));
            let failure = Failure::new(ErrorCode::NoSpace, "full");
            site.apply(Command::Stop { job: large, failure, at: site.now });
        }
    }

    /// As a tree of files is, from the front to the end.
    #[test]
    fn an_order_that_does_not_end_by_itself_is_taken_back_until_there_is_room() {
        let mut site = Site::new(3);
        let (id, listing) = job(&mut site, "target");
        fill(&mut site, id, 2 * PAGES_LISTED_MAX - 1);
        assert_eq!(site.plan().ahead, []);
        fill(&mut site, id, 2 * PAGES_LISTED_MAX);
        let plan = site.plan();
        let epoch = site.lease(id, listing).epoch;
        assert_eq!(plan.ahead, [TakeBack { job: id, assignment: listing, epoch }]);
        assert!(moves(&plan, id));
        for TakeBack { job, assignment, epoch } in plan.ahead {
            site.apply(Command::TakeBack { job, assignment, epoch });
        }
        for (pages, is_listed) in [(PAGES_LISTED_MAX, false), (PAGES_LISTED_MAX - 1, true)] {
            fill(&mut site, id, pages);
            let plan = site.plan();
            assert_eq!((lists(&plan, id), &plan.ahead[..]), (is_listed, &[][..]), "{pages}");
        }
    }
}
