//! Carries out attempts: work in, completions out.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use airlift_protocol::assignment::{End, Object, UploadToken, Work};
use airlift_protocol::error::{ErrorCode, Failure};
use airlift_protocol::id::AssignmentId;
use airlift_protocol::job::JobSpec;
use airlift_protocol::report::Completion;
use airlift_protocol::time::Timestamp;
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};

use super::filter::Filter;
use super::lister::Range;
use crate::inventory::Inventory;
use crate::pipeline::meter::Meter;
use crate::pipeline::requests::counted;
use crate::pipeline::{Transfer, compare, content, object, pack, range, remove, server};
use crate::store::Store;

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

/// What an attempt came to, or a part of a listing, on its way to the agent.
#[derive(Debug)]
pub(super) struct HandedIn {
    pub(super) assignment: AssignmentId,
    pub(super) attempt: u32,
    pub(super) result: Result<Completion, Failure>,
    /// Bytes of other nodes' answers that arrived for it.
    pub(super) wire_bytes: u64,
    /// Whom to tell when it is on record; dropped when it never will be.
    pub(super) recorded: Option<oneshot::Sender<()>>,
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
    /// Where its requests to stores count.
    pub(super) meter: Arc<Meter>,
    /// Where outcomes go: the agent.
    pub(super) outcomes: mpsc::Sender<HandedIn>,
}

impl Executor {
    /// Runs one attempt and hands in its outcome; answers what it failed with.
    pub(super) async fn run(
        self,
        assignment: AssignmentId,
        attempt: u32,
        work: Work,
    ) -> Option<ErrorCode> {
        let work = caught(self.work(assignment, attempt, work));
        let result = counted(Arc::clone(&self.meter), work).await;
        let code = result.as_ref().err().map(|failure| failure.code);
        self.hand_in(assignment, attempt, result).await;
        code
    }

    /// Hands in an outcome. When nobody takes it, the job has ended.
    async fn hand_in(
        &self,
        assignment: AssignmentId,
        attempt: u32,
        result: Result<Completion, Failure>,
    ) {
        // Each attempt has a source of its own, which has counted for it alone.
        let wire_bytes = self.transfer.as_ref().map_or(0, |transfer| transfer.source.wire_bytes());
        let outcome = HandedIn { assignment, attempt, result, wire_bytes, recorded: None };
        let _ = self.outcomes.send(outcome).await;
    }

    /// Hands in a part of a listing; what is answered is told when it is on record. `None` when nobody
    /// takes it.
    pub(super) async fn hand_in_turn(
        &self,
        (assignment, attempt): (AssignmentId, u32),
        turn: Completion,
    ) -> Option<oneshot::Receiver<()>> {
        let (recorded, record) = oneshot::channel();
        let (result, recorded) = (Ok(turn), Some(recorded));
        let turn = HandedIn { assignment, attempt, result, wire_bytes: 0, recorded };
        self.outcomes.send(turn).await.ok().map(|()| record)
    }

    async fn work(
        &self,
        assignment: AssignmentId,
        attempt: u32,
        work: Work,
    ) -> Result<Completion, Failure> {
        if let Work::List { end, after, next, until, cuts, pages } = work {
            let range = Range { end, after, until, next, cuts, pages };
            return Box::pin(self.list((assignment, attempt), range)).await;
        }
        let transfer = self.transfer.as_ref().ok_or_else(|| not_here(End::Target))?;
        let _order = transfer.meter.order();
        let completion = carry_out(transfer, work).await?;
        transfer.meter.add_order_done();
        Ok(completion)
    }
}

/// Does what is no listing. Each kind of work is on the heap: as a part of this it would be as large as the
/// largest of all, in a task that is moved about, on a stack that is the shorter the less is optimised.
async fn carry_out(transfer: &Transfer, work: Work) -> Result<Completion, Failure> {
    let work: BoxFuture<'_, Result<Completion, Failure>> = match work {
        Work::List { .. } => {
            return Err(Failure::new(ErrorCode::Bug, "a listing was begun twice"));
        }
        Work::Compare { page } => {
            Box::pin(async move { Ok(compare::compare(transfer, page).await?) })
        }
        Work::Open { object, resume, orphan_since, may_copy } => {
            Box::pin(open(transfer, object, resume, orphan_since, may_copy))
        }
        Work::MoveRange { object, upload, range } => {
            Box::pin(async move { range::move_range(transfer, &object, &upload, range).await })
        }
        Work::MovePack { objects } => {
            Box::pin(async move { Ok(pack::move_pack(transfer, objects).await) })
        }
        Work::Commit { object, upload, root: Some(root), sums } => {
            Box::pin(async move { object::commit(transfer, &object, &upload, (root, sums)).await })
        }
        Work::Commit { object, upload, root: None, .. } => {
            Box::pin(async move { server::commit(transfer, &object, &upload).await })
        }
        Work::Discard { key, upload, orphan_since } => {
            Box::pin(
                async move { object::discard(transfer, &key, upload.as_ref(), orphan_since).await },
            )
        }
        Work::Verify { objects } => {
            Box::pin(async move { Ok(content::verify(transfer, objects).await) })
        }
        Work::ReadBack { object, root } => {
            Box::pin(async move { object::read_back(transfer, &object, root).await })
        }
        Work::Delete { entries } => {
            Box::pin(async move { Ok(remove::delete(transfer, entries).await) })
        }
        Work::Clean => Box::pin(async move {
            transfer.at_target(transfer.target.clean()).await?;
            Ok(Completion::Cleaned)
        }),
    };
    work.await
}

async fn open(
    transfer: &Transfer,
    object: Object,
    resume: Option<UploadToken>,
    orphan_since: Option<Timestamp>,
    may_copy: bool,
) -> Result<Completion, Failure> {
    let copied = server::open(transfer, &object, resume.as_ref(), orphan_since, may_copy).await?;
    match copied {
        Some(completion) => Ok(completion),
        None => object::open(transfer, &object, resume, orphan_since).await,
    }
}

/// The order is for a node that reaches an end which this one does not.
pub(super) fn not_here(end: End) -> Failure {
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
