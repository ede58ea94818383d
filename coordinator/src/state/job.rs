//! One job: its listings, its pages and large objects in work, its leases and numbers.

use std::collections::{BTreeMap, BTreeSet};

use airlift_protocol::assignment::{End, UploadToken};
use airlift_protocol::bitmap::Bitmap;
use airlift_protocol::budget::{Budget, Usage};
use airlift_protocol::error::{ErrorCode, Failure};
use airlift_protocol::id::{PageId, Position};
use airlift_protocol::job::{JobSpec, Mode};
use airlift_protocol::key::Key;
use airlift_protocol::limits::{FAILURES_KEPT_MAX, LEFT_OVER_NAMED_MAX};
use airlift_protocol::manifest::{Entry, Page};
use airlift_protocol::once::SubmitKey;
use airlift_protocol::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::leases::Leases;
use super::ledger::{self, Ledger};
use super::listing::Listing;
use super::object::{LargeObject, Moved};
use super::page::PageProgress;
use super::{ObjectFact, Task};
use crate::event::Status;
use crate::totals::Totals;

/// Where a job stands. It only goes forward, but for a new run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Phase {
    /// The source is listed, and objects move (verify: are compared).
    Moving,
    /// The target is listed, to find what the source does not have.
    ListingTarget,
    /// The two listings are compared.
    Diffing,
    /// What the source does not have is deleted.
    Deleting,
    /// Uploads that were given up, and the job's own traces, are removed.
    Cleaning,
    /// Everything listed has come to its end.
    Ended,
    /// The job could not go on.
    Stopped,
}

/// An upload of a large object: key at the source and fingerprint of the state it holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct UploadId {
    /// Key at the target.
    pub key: Key,
    /// Fingerprint of the source's state.
    pub fingerprint: String,
}

/// What is known of an upload that is not committed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadState {
    /// The store's name for it, once reported.
    pub token: Option<UploadToken>,
    /// Wall-clock time at which it was first ordered: nothing of it can be older.
    pub since: Timestamp,
    /// Shards that an interrupted run was moving: sent again, at most these.
    pub interrupted: BTreeSet<u32>,
}

/// What a job had to leave at its target because it could not be removed: no object, and nothing
/// that is visible as one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOver {
    /// The first few: the key at the target, empty for the job's own traces, and why.
    pub named: Vec<(Key, Failure)>,
    /// All of them.
    pub count: u64,
}

impl LeftOver {
    pub(super) fn add(&mut self, key: Key, failure: Failure) {
        self.count += 1;
        if self.named.len() < LEFT_OVER_NAMED_MAX {
            self.named.push((key, failure));
        }
    }
}

/// A job as the log has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// What was asked.
    pub spec: JobSpec,
    /// Counts submissions, from 1.
    pub run: u32,
    /// Where the job stands.
    pub phase: Phase,
    /// The source's listing.
    pub source: Listing,
    /// The target's listing, for sync and verify.
    pub target: Listing,
    /// Source pages with objects that have not come to their end.
    pub pages: BTreeMap<PageId, PageProgress>,
    /// Large objects whose upload is open.
    pub objects: BTreeMap<Position, LargeObject>,
    /// Objects that changed at the source after they were listed: what they are now.
    pub changed: BTreeMap<Position, Entry>,
    /// Large objects whose upload the store lost once.
    pub lost: BTreeSet<Position>,
    /// Uploads begun and not committed, of this run and of earlier ones.
    pub uploads: BTreeMap<UploadId, UploadState>,
    /// Those of the uploads that this run could not remove: it has said so, and the next one tries
    /// again.
    pub kept: BTreeSet<UploadId>,
    /// Moved objects that are still to be read back.
    pub read_backs: BTreeMap<Position, Moved>,
    /// Rights given out.
    pub leases: Leases,
    /// How many pages of the target's listing, in key order, were compared with the source's.
    pub diffed: u32,
    /// Entries of the target's listing that are to be deleted or were found extraneous.
    pub extraneous: BTreeMap<PageId, Bitmap>,
    /// How many these are.
    pub extraneous_count: u64,
    /// Whether deletes were called off.
    pub deletes_refused: bool,
    /// Whether the target was cleaned.
    pub is_clean: bool,
    /// What this run could not remove from the target.
    pub left_over: LeftOver,
    /// Pack bytes that an interrupted run was moving and this run has not sent again yet.
    pub interrupted_bytes: u64,
    /// The numbers of this run.
    pub totals: Totals,
    /// Why the job stopped.
    pub failure: Option<Failure>,
    /// Wall-clock time at which this run was submitted.
    pub submitted_at: Timestamp,
    /// Wall-clock time at which this run ended.
    pub ended_at: Option<Timestamp>,
    /// Whether the job rests until it is resumed.
    pub is_paused: bool,
    /// Why it rests, when nobody asked for that.
    pub paused_by: Option<Failure>,
    /// The first objects that failed in this run; the report has them all.
    pub failures: Vec<FailedObject>,
    /// The keys that clients have lately submitted it with, and the run that each is of.
    pub keys: Vec<(SubmitKey, u32)>,
    /// What was used of its budget.
    pub ledger: Ledger,
    /// Whether work of this run was given out.
    pub has_started: bool,
}

/// An object that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedObject {
    /// The end whose listing has it.
    pub end: End,
    /// Its place there: the keys are on disk.
    pub position: Position,
    /// Why.
    pub failure: Failure,
}

impl Job {
    /// A job before its first run.
    pub(super) fn new(spec: JobSpec, submitted_at: Timestamp) -> Self {
        Self {
            spec,
            run: 1,
            phase: Phase::Moving,
            source: Listing::default(),
            target: Listing::default(),
            pages: BTreeMap::new(),
            objects: BTreeMap::new(),
            changed: BTreeMap::new(),
            lost: BTreeSet::new(),
            uploads: BTreeMap::new(),
            kept: BTreeSet::new(),
            read_backs: BTreeMap::new(),
            leases: Leases::default(),
            diffed: 0,
            extraneous: BTreeMap::new(),
            extraneous_count: 0,
            deletes_refused: false,
            is_clean: false,
            left_over: LeftOver::default(),
            interrupted_bytes: 0,
            totals: Totals::default(),
            failure: None,
            submitted_at,
            ended_at: None,
            is_paused: false,
            paused_by: None,
            failures: Vec::new(),
            keys: Vec::new(),
            ledger: Ledger::default(),
            has_started: false,
        }
    }

    /// The job's next run: it lists anew, and keeps of the last one only the open uploads and what
    /// was in flight.
    pub(super) fn next_run(mut self, spec: JobSpec, at: Timestamp) -> Self {
        let mut next = Self::new(spec, at);
        ledger::suppose(&mut self, |_| true);
        let (is_complete, sent) = (self.phase == Phase::Ended, self.totals.bytes.sent);
        next.ledger = std::mem::take(&mut self.ledger).next_run(is_complete, sent);
        next.run = self.run.saturating_add(1);
        next.uploads = self.uploads;
        next.keys = self.keys;
        for lease in self.leases.values() {
            match &lease.task {
                Task::Range(position, shard) => {
                    if let Some(object) = self.objects.get(position)
                        && let Some(upload) = next.uploads.get_mut(&object.upload_id)
                    {
                        upload.interrupted.insert(*shard);
                    }
                }
                Task::Pack(..) => {
                    next.interrupted_bytes = next.interrupted_bytes.saturating_add(lease.bytes);
                }
                _ => {}
            }
        }
        next
    }

    /// The listing of one end.
    pub fn listing(&self, end: End) -> &Listing {
        match end {
            End::Source => &self.source,
            End::Target => &self.target,
        }
    }

    pub(super) fn listing_mut(&mut self, end: End) -> &mut Listing {
        match end {
            End::Source => &mut self.source,
            End::Target => &mut self.target,
        }
    }

    /// The object at `position`: as it is now if it changed, else as `page` lists it.
    pub fn entry<'a>(&'a self, page: &'a Page, position: Position) -> Option<&'a Entry> {
        self.changed.get(&position).or_else(|| page.entry(position.index))
    }

    /// Whether there is a lease for a task of which there is one at a time.
    pub fn is_leased(&self, task: &Task) -> bool {
        self.leases.single(task).is_some()
    }

    /// Whether the job runs.
    pub fn is_running(&self) -> bool {
        !matches!(self.phase, Phase::Ended | Phase::Stopped)
    }

    /// Whether the job ends as soon as its traces are removed, because somebody asked for it.
    pub fn is_being_cancelled(&self) -> bool {
        let is_cancelled = |failure: &Failure| failure.code == ErrorCode::Cancelled;
        self.phase == Phase::Cleaning && self.failure.as_ref().is_some_and(is_cancelled)
    }

    /// Whether work on the job may be given out.
    pub fn is_active(&self) -> bool {
        self.is_running() && !self.is_paused
    }

    /// Whether something could not be listed, deletes were called off, or the target keeps traces.
    pub fn is_incomplete(&self) -> bool {
        self.deletes_refused
            || self.left_over.count > 0
            || [&self.source, &self.target]
                .iter()
                .any(|listing| listing.end.as_ref().is_some_and(|end| end.unreadable_count > 0))
    }

    /// Whether a moved object is to be read back.
    pub(super) fn is_sampled(&self, position: Position) -> bool {
        self.spec.policy.verify.is_sampled(position)
    }

    /// The phase after this one.
    pub(super) fn next_phase(&self) -> Phase {
        let wants_target = matches!(self.spec.mode, Mode::Sync | Mode::Verify);
        match self.phase {
            Phase::Moving if wants_target && self.spec.single.is_none() => Phase::ListingTarget,
            Phase::Moving => Phase::Cleaning,
            Phase::ListingTarget => Phase::Diffing,
            Phase::Diffing => Phase::Deleting,
            Phase::Deleting => Phase::Cleaning,
            Phase::Cleaning if self.failure.is_some() => Phase::Stopped,
            Phase::Cleaning | Phase::Ended => Phase::Ended,
            Phase::Stopped => Phase::Stopped,
        }
    }

    /// The uploads that are still to be removed.
    pub(crate) fn unwanted_uploads(&self) -> impl Iterator<Item = &UploadId> {
        self.uploads.keys().filter(|upload| !self.kept.contains(*upload))
    }

    /// What was used of its budget, as far as that is known.
    pub fn used(&self) -> Usage {
        self.ledger.used(self.totals.bytes.sent)
    }

    /// Whether it rests because its budget has come to its end.
    pub fn is_over_budget(&self) -> bool {
        self.paused_by.as_ref().is_some_and(|failure| failure.code == ErrorCode::OverBudget)
    }

    /// Whether nodes read bytes for it.
    pub fn is_reading(&self) -> bool {
        self.leases.values().any(|lease| lease.bytes > 0)
    }

    /// Takes another budget; when the old one had come to its end and this one has not, the job goes on.
    pub(super) fn set_budget(&mut self, budget: Budget) {
        let has_changed = self.spec.policy.budget != budget;
        self.spec.policy.budget = budget;
        if has_changed && self.is_over_budget() && budget.exhausted(self.used()).is_none() {
            self.resume();
        }
    }

    /// Goes on, whoever had it rest.
    pub(super) fn resume(&mut self) {
        self.is_paused = false;
        self.paused_by = None;
    }

    /// Records when the run ended. A leader that was not told the time yet says an early one.
    pub(super) fn end(&mut self, at: Timestamp) {
        self.ended_at = Some(at.max(self.submitted_at));
    }

    /// Counts an object that has come to its end: which one, of which end's listing.
    pub(super) fn count(
        &mut self,
        (end, position): (End, Position),
        fact: &ObjectFact,
        bytes: u64,
    ) {
        if let Some((Some(code), text)) = &fact.reason
            && self.failures.len() < FAILURES_KEPT_MAX
        {
            let failure = Failure::new(*code, text.as_str());
            self.failures.push(FailedObject { end, position, failure });
        }
        if !fact.dropped.is_empty() {
            let dropped = &mut self.totals.dropped;
            dropped.objects += 1;
            dropped.attributes = dropped.attributes.union(fact.dropped);
        }
        // What was moved has a hash.
        if fact.status == Status::Done && fact.root.is_none() {
            let copied = &mut self.totals.copied;
            copied.objects += 1;
            copied.bytes = copied.bytes.saturating_add(bytes);
        }
        let objects = &mut self.totals.objects;
        match fact.status {
            Status::Done | Status::WouldCopy => objects.done += 1,
            Status::Unchanged => objects.unchanged += 1,
            Status::Failed => objects.failed += 1,
            Status::Skipped => objects.skipped += 1,
            Status::Deleted | Status::WouldDelete => objects.deleted += 1,
            Status::Equal => {
                objects.equal += 1;
                objects.equal_by_sum += u64::from(fact.sum.is_some());
            }
            Status::Differs => objects.differs += 1,
            Status::Missing => objects.missing += 1,
            Status::Extra => objects.extra += 1,
        }
        if fact.status.is_at_target() {
            self.totals.bytes.done = self.totals.bytes.done.saturating_add(bytes);
        }
    }
}
