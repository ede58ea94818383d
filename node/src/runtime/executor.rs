//! Carries out attempts: work in, completions out.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use airlift_coordinator::AgentInput;
use airlift_protocol::assignment::{End, Work};
use airlift_protocol::error::{ErrorCode, Failure};
use airlift_protocol::id::{AssignmentId, PageId};
use airlift_protocol::job::JobSpec;
use airlift_protocol::key::Key;
use airlift_protocol::limits::{OBJECT_BYTES_MAX, UNREADABLE_NAMED_MAX};
use airlift_protocol::manifest::{Entry, PageBuilder};
use airlift_protocol::report::{Completion, ListingEnd};
use airlift_protocol::units::ByteCount;
use futures::FutureExt;
use tokio::sync::mpsc;

use super::filter::Filter;
use crate::inventory::Inventory;
use crate::pipeline::{Transfer, compare, content, object, pack, range, remove};
use crate::store::{ListRequest, Listed, Store, StoreError};

/// Batches of entries between a lister and the pages.
const LISTED_AHEAD: usize = 8;

/// Makes a panic a failure like any other: an attempt without outcome would hold its order for ever.
pub(super) async fn caught<T>(
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().copied();
        let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        let text = text.unwrap_or("without a word");
        tracing::error!(text, "an attempt has panicked");
        Err(Failure::new(ErrorCode::Bug, format!("a defect of this build (panic): {text}")))
    })
}

/// Works on the assignments of one job.
#[derive(Clone, Debug)]
pub(super) struct Executor {
    pub(super) spec: Arc<JobSpec>,
    /// The pipeline; `None` where this node has nothing to do with the target.
    pub(super) transfer: Option<Transfer>,
    /// The source's store, for listing it; `None` where another node has it.
    pub(super) source: Option<Arc<dyn Store>>,
    /// What is read in place of a listing of the source.
    pub(super) inventory: Option<Inventory>,
    pub(super) filter: Arc<Filter>,
    /// Where outcomes go: the agent.
    pub(super) outcomes: mpsc::Sender<AgentInput>,
}

impl Executor {
    /// Runs one attempt and hands in its outcome.
    pub(super) async fn run(self, assignment: AssignmentId, attempt: u32, work: Work) {
        let result = caught(self.work(assignment, attempt, work)).await;
        self.hand_in(assignment, attempt, result).await;
    }

    /// Hands in an outcome. When nobody takes it, the job has ended.
    async fn hand_in(
        &self,
        assignment: AssignmentId,
        attempt: u32,
        result: Result<Completion, Failure>,
    ) -> bool {
        let is_page = matches!(result, Ok(Completion::Page { .. }));
        let transfer = self.transfer.as_ref().filter(|_| !is_page);
        // Each attempt has a source of its own, which has counted for it alone.
        let wire_bytes = transfer.map_or(0, |transfer| transfer.source.wire_bytes());
        let outcome = AgentInput::Outcome { assignment, attempt, result, wire_bytes };
        self.outcomes.send(outcome).await.is_ok()
    }

    async fn work(
        &self,
        assignment: AssignmentId,
        attempt: u32,
        work: Work,
    ) -> Result<Completion, Failure> {
        if let Work::List { end, after, next } = work {
            return self.list((assignment, attempt), end, after, next).await;
        }
        let transfer = self.transfer.as_ref().ok_or_else(|| not_here(End::Target))?;
        let _order = transfer.meter.order();
        let completion = carry_out(transfer, work).await?;
        transfer.meter.add_order_done();
        Ok(completion)
    }

    async fn list(
        &self,
        attempt: (AssignmentId, u32),
        end: End,
        after: Option<Key>,
        next: PageId,
    ) -> Result<Completion, Failure> {
        let store = match end {
            End::Source => self.source.as_ref(),
            End::Target => self.transfer.as_ref().map(|transfer| &transfer.target),
        };
        let store = store.ok_or_else(|| not_here(end))?;
        if let Some(single) = &self.spec.single {
            return self.list_single(store, attempt, &single.source_key, after).await;
        }
        let (found, listed) = mpsc::channel(LISTED_AHEAD);
        let request = ListRequest { after, until: None };
        let list = async {
            match (&self.inventory, end) {
                (Some(inventory), End::Source) => {
                    inventory.list(store.as_ref(), request, found).await
                }
                _ => store.list(request, found).await,
            }
        };
        let (lister, pages) = tokio::join!(list, self.pages(attempt, next, listed));
        lister?;
        Ok(Completion::Listed(pages))
    }

    /// The listing of a job that is about one object.
    async fn list_single(
        &self,
        store: &Arc<dyn Store>,
        attempt: (AssignmentId, u32),
        key: &Key,
        after: Option<Key>,
    ) -> Result<Completion, Failure> {
        if after.is_none() {
            let missing = || {
                let text = format!("the source {key} does not exist any more");
                StoreError::new(ErrorCode::LocationMissing, text)
            };
            let mut found = store.lookup(vec![key.clone()]).await;
            let entry = found.pop().ok_or_else(missing)??.ok_or_else(missing)?;
            if entry.size > OBJECT_BYTES_MAX {
                return Err(too_large(&entry));
            }
            self.page(attempt, PageId(0), vec![entry]).await;
        }
        let pages = PageId(1);
        Ok(Completion::Listed(ListingEnd { pages, unreadable: Vec::new(), unreadable_count: 0 }))
    }

    /// Turns findings into pages and hands each in as it is full.
    async fn pages(
        &self,
        attempt: (AssignmentId, u32),
        next: PageId,
        mut listed: mpsc::Receiver<Listed>,
    ) -> ListingEnd {
        let mut builder = PageBuilder::new();
        let mut end = ListingEnd { pages: next, unreadable: Vec::new(), unreadable_count: 0 };
        while let Some(finding) = listed.recv().await {
            let entries = match finding {
                Listed::Entries(entries) => entries,
                Listed::Unreadable(key, error) => {
                    unreadable(&mut end, key, error.into());
                    continue;
                }
            };
            for entry in entries.into_iter().filter(|entry| self.filter.accepts(&entry.key)) {
                if entry.size > OBJECT_BYTES_MAX {
                    let failure = too_large(&entry);
                    unreadable(&mut end, entry.key, failure);
                } else if let Some(full) = builder.push(entry) {
                    if !self.page(attempt, end.pages, full).await {
                        return end;
                    }
                    end.pages = end.pages.next();
                }
            }
        }
        if let Some(rest) = builder.finish() {
            self.page(attempt, end.pages, rest).await;
            end.pages = end.pages.next();
        }
        end
    }

    async fn page(
        &self,
        (assignment, attempt): (AssignmentId, u32),
        page: PageId,
        entries: Vec<Entry>,
    ) -> bool {
        self.hand_in(assignment, attempt, Ok(Completion::Page { page, entries })).await
    }
}

/// Does what is no listing.
async fn carry_out(transfer: &Transfer, work: Work) -> Result<Completion, Failure> {
    match work {
        Work::List { .. } => Err(Failure::new(ErrorCode::Bug, "a listing was begun twice")),
        Work::Compare { page } => Ok(compare::compare(transfer, page).await),
        Work::Open { object, resume, orphan_since } => {
            object::open(transfer, &object, resume, orphan_since).await
        }
        Work::MoveRange { object, upload, range } => {
            range::move_range(transfer, &object, &upload, range).await
        }
        Work::MovePack { objects } => Ok(pack::move_pack(transfer, objects).await),
        Work::Commit { object, upload, root, sums } => {
            object::commit(transfer, &object, &upload, (root, sums)).await
        }
        Work::Discard { key, upload, orphan_since } => {
            object::discard(transfer, &key, upload.as_ref(), orphan_since).await
        }
        Work::Verify { objects } => Ok(content::verify(transfer, objects).await),
        Work::ReadBack { object, root } => object::read_back(transfer, &object, root).await,
        Work::Delete { entries } => Ok(remove::delete(transfer, entries).await),
        Work::Clean => {
            transfer.at_target(transfer.target.clean()).await?;
            Ok(Completion::Cleaned)
        }
    }
}

/// Counts a place that could not be listed, and names it among the first.
fn unreadable(end: &mut ListingEnd, key: Key, failure: Failure) {
    end.unreadable_count += 1;
    if end.unreadable.len() < UNREADABLE_NAMED_MAX {
        end.unreadable.push((key, failure));
    }
}

fn too_large(entry: &Entry) -> Failure {
    let (bytes, bytes_max) = (ByteCount(entry.size), ByteCount(OBJECT_BYTES_MAX));
    let text = format!("{}: {bytes} are more than the {bytes_max} that can be moved", entry.key);
    Failure::new(ErrorCode::TooLarge, text)
}

/// The order is for a node that reaches an end which this one does not.
fn not_here(end: End) -> Failure {
    Failure::new(ErrorCode::NodeLost, format!("this node does not reach the {end:?} of the job"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_a_failure_that_says_so() {
        let found =
            |error: Result<(), Failure>| error.map_err(|it| (it.code, it.detail().to_owned()));
        let panicked = caught(async { panic!("chunk {} is missing", 7) }).await;
        let (code, text) = found(panicked).unwrap_err();
        assert_eq!(code, ErrorCode::Bug);
        assert!(text.contains("chunk 7 is missing"), "{text}");
        let plain = caught(async { Err(Failure::new(ErrorCode::Io, "why")) }).await;
        assert_eq!(found(plain), Err((ErrorCode::Io, "why".to_owned())));
        assert_eq!(caught(async { Ok(1) }).await, Ok(1));
    }
}
