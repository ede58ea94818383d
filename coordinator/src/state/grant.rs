//! What a grant does: it takes its task out of what is available, or is ignored.

use airlift_protocol::id::{LogIndex, PageId};
use airlift_protocol::limits::OBJECT_BYTES_MAX;

use super::job::{Job, UploadState};
use super::leases::Lease;
use super::object::LargeObject;
use super::{Fact, State, Task, epoch};
use crate::command::Grant;

/// Grants a lease, unless its task is not available any more.
pub(super) fn apply(state: &mut State, index: LogIndex, grant: Grant) -> Option<Fact> {
    let is_meant = |job: &&mut Job| job.is_active() && job.run == grant.run;
    let job = state.jobs.get_mut(&grant.job).filter(is_meant)?;
    if !take(job, &grant) {
        return None;
    }
    let id = state.number_assignment();
    let Grant { job: job_id, run: _, node, source, task, bytes, at: _ } = grant;
    let lease = Lease { node, source, task, epoch: epoch(index), bytes };
    state.jobs.get_mut(&job_id)?.leases.insert(id, lease);
    Some(Fact::Granted(job_id, id))
}

/// Takes the task of a grant; whether it was there to be taken.
fn take(job: &mut Job, grant: &Grant) -> bool {
    match &grant.task {
        Task::List(end, range) => {
            !job.is_leased(&grant.task) && job.listing_mut(*end).begin(*range)
        }
        Task::Compare(page) => {
            job.pages.get(page).is_some_and(|page| !page.is_compared) && !job.is_leased(&grant.task)
        }
        Task::Open(position, upload_id, size) => {
            if *size > OBJECT_BYTES_MAX || !take_entries(job, position.page, &[position.index]) {
                return false;
            }
            let object = LargeObject::new(upload_id.clone(), *size);
            job.objects.insert(*position, object);
            job.uploads.entry(upload_id.clone()).or_insert_with(|| UploadState {
                token: None,
                since: grant.at,
                interrupted: Default::default(),
            });
            true
        }
        Task::Range(position, shard) => {
            job.objects.get_mut(position).is_some_and(|object| object.take(*shard))
        }
        Task::Pack(page, indices) | Task::Verify(page, indices) => {
            take_entries(job, *page, indices)
        }
        Task::Commit(position) => {
            job.objects.get(position).is_some_and(LargeObject::is_assembled)
                && !job.is_leased(&grant.task)
        }
        Task::ReadBack(position) => {
            job.read_backs.contains_key(position) && !job.is_leased(&grant.task)
        }
        Task::Delete(page, indices) => take_extraneous(job, *page, indices),
        Task::Discard(upload_id) => {
            job.uploads.contains_key(upload_id)
                && !job.kept.contains(upload_id)
                && !job.is_leased(&grant.task)
        }
        Task::Clean => !job.is_clean && !job.is_leased(&grant.task),
    }
}

fn take_entries(job: &mut Job, page: PageId, indices: &[u16]) -> bool {
    let Some(page) = job.pages.get_mut(&page) else { return false };
    let is_available = !indices.is_empty() && indices.iter().all(|&i| page.todo.contains(i));
    if is_available {
        for &index in indices {
            page.todo.remove(index);
        }
    }
    is_available
}

fn take_extraneous(job: &mut Job, page: PageId, indices: &[u16]) -> bool {
    let Some(entries) = job.extraneous.get_mut(&page) else { return false };
    let is_available = !indices.is_empty() && indices.iter().all(|&i| entries.contains(i));
    if is_available {
        for &index in indices {
            entries.remove(index);
        }
        if entries.is_empty() {
            job.extraneous.remove(&page);
        }
    }
    is_available
}
