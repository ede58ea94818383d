//! From a granted task to an order that is complete: positions become entries.

use airlift_protocol::assignment::{Assignment, End, Object, Work};
use airlift_protocol::cluster::Boot;
use airlift_protocol::id::{AssignmentId, JobId, PageId, Position};
use airlift_protocol::limits::LIST_PAGES_MAX;
use airlift_protocol::manifest::Page;
use airlift_protocol::shard;

use super::pages::{PageKey, Pages};
use crate::state::{Job, Lease, Task};

/// The order for a lease to the process that holds it, or `None` when a page that it needs is not in memory.
pub(crate) fn assignment(
    (id, boot): (AssignmentId, Boot),
    (job_id, job): (JobId, &Job),
    lease: &Lease,
    (pages, is_total_limited): (&Pages, bool),
) -> Option<Assignment> {
    let resolver = Resolver { id: job_id, job, pages };
    let work = resolver.resolve(&lease.task)?;
    let is_limited = job.spec.policy.bandwidth.is_some();
    let (run, epoch, source) = (job.run, lease.epoch, lease.source);
    let job = job_id;
    Some(Assignment { id, job, run, epoch, work, source, is_limited, is_total_limited, boot })
}

struct Resolver<'a> {
    id: JobId,
    job: &'a Job,
    pages: &'a Pages,
}

impl Resolver<'_> {
    fn resolve(&self, task: &Task) -> Option<Work> {
        Some(match task {
            Task::List(end, range) => {
                let range = self.job.listing(*end).open_range(*range)?;
                let (after, until) = (range.after.clone(), range.until.clone());
                let (next, cuts, pages) = (range.next, range.cuts, LIST_PAGES_MAX);
                Work::List { end: *end, after, next, until, cuts, pages }
            }
            Task::Compare(page) => Work::Compare { page: self.page(End::Source, *page)?.clone() },
            Task::Open(position, upload, _) => {
                let state = self.job.uploads.get(upload)?;
                Work::Open {
                    object: self.object(*position)?,
                    resume: state.token.clone(),
                    orphan_since: Some(state.since),
                    may_copy: !self.job.lost.contains(position),
                }
            }
            Task::Range(position, shard) => {
                let object = self.job.objects.get(position)?;
                Work::MoveRange {
                    object: self.object(*position)?,
                    upload: object.token.clone()?,
                    range: shard::range(object.size, *shard),
                }
            }
            Task::Pack(page, indices) => Work::MovePack { objects: self.objects(*page, indices)? },
            Task::Commit(position) => {
                let object = self.job.objects.get(position)?;
                Work::Commit {
                    object: self.object(*position)?,
                    upload: object.token.clone()?,
                    root: if object.is_copied() { None } else { Some(object.root()?) },
                    sums: object.sums(),
                }
            }
            Task::ReadBack(position) => Work::ReadBack {
                object: self.object(*position)?,
                root: self.job.read_backs.get(position)?.root?,
            },
            Task::Verify(page, indices) => Work::Verify { objects: self.objects(*page, indices)? },
            Task::Delete(page, indices) => {
                let page = self.page(End::Target, *page)?;
                let entries = indices.iter().map(|index| page.entry(*index).cloned());
                Work::Delete { entries: entries.collect::<Option<_>>()? }
            }
            Task::Discard(upload) => {
                let state = self.job.uploads.get(upload)?;
                Work::Discard {
                    key: upload.key.clone(),
                    upload: state.token.clone(),
                    orphan_since: Some(state.since),
                }
            }
            Task::Clean => Work::Clean,
        })
    }

    fn page(&self, end: End, page: PageId) -> Option<&Page> {
        self.pages.find(PageKey { job: self.id, end, page })
    }

    fn object(&self, position: Position) -> Option<Object> {
        let page = self.page(End::Source, position.page)?;
        let entry = self.job.entry(page, position)?.clone();
        Some(Object { position, entry })
    }

    fn objects(&self, page: PageId, indices: &[u16]) -> Option<Vec<Object>> {
        indices.iter().map(|&index| self.object(Position { page, index })).collect()
    }
}
