//! What a report does: it ends a lease, and brings objects to their end or back among those to be
//! given out. A report of a lease that is not there, or under another epoch, does nothing.

use airlift_protocol::assignment::{End, UploadToken};
use airlift_protocol::attributes::AttributeSet;
use airlift_protocol::chunk::{Root, SpanValue};
use airlift_protocol::error::{ErrorCode, Failure, Scope};
use airlift_protocol::id::{AssignmentId, JobId, KeyRangeId, PageId, Position};
use airlift_protocol::job::Mode;
use airlift_protocol::key::Key;
use airlift_protocol::limits::OBJECT_BYTES_MAX;
use airlift_protocol::report::{
    ChangedObject, Comparison, Completion, ListingEnd, ObjectResult, Report, SkipReason, Verdict,
};
use airlift_protocol::sum::Sum;
use airlift_protocol::time::Timestamp;
use airlift_protocol::units::ByteCount;

use super::apply::{give_back, rest, return_to_page, stop};
use super::job::{Job, Phase, UploadId};
use super::leases::Lease;
use super::object::{LargeObject, Moved};
use super::{Fact, ObjectFact, State, Task};
use crate::event::Status;

/// Records an answer that came in at `at`.
pub(super) fn apply(state: &mut State, report: Report, at: Timestamp) -> Vec<Fact> {
    let Some(job) = state.jobs.get_mut(&report.job).filter(|job| job.is_running()) else {
        return Vec::new();
    };
    if job.leases.get(report.assignment).is_none_or(|lease| !is_meant(job, lease, &report)) {
        return Vec::new();
    }
    let Some(lease) = job.leases.remove(report.assignment) else { return Vec::new() };
    let who = state.cluster.as_ref().map(|cluster| {
        let member = cluster.members.get(&lease.node);
        member.map_or_else(|| "a node".to_owned(), |member| member.name.as_str().to_owned())
    });
    let wire = &mut job.totals.bytes.wire;
    *wire = wire.saturating_add(report.wire_bytes);
    let mut change = Change { job, id: report.job, at, who, facts: Vec::new() };
    match report.result {
        Ok(completion) => change.completed(lease, completion),
        Err(failure) => change.failed(lease, failure),
    }
    change.facts
}

/// Whether a report answers the lease: under its epoch, and the end of a listing only when all that
/// was reported of it before is on record.
fn is_meant(job: &Job, lease: &Lease, report: &Report) -> bool {
    let is_whole = match (&lease.task, &report.result) {
        (
            Task::List(end, range),
            Ok(Completion::Listed(listed) | Completion::PartListed(listed)),
        ) => {
            let range = job.listing(*end).open_range(*range);
            range.is_some_and(|range| range.next == listed.pages)
        }
        _ => true,
    };
    lease.epoch == report.epoch && is_whole
}

/// One report at work on one job.
struct Change<'a> {
    job: &'a mut Job,
    id: JobId,
    /// Wall-clock time.
    at: Timestamp,
    /// The node of the cluster that answered; `None` where there is nobody to resume a job.
    who: Option<String>,
    facts: Vec<Fact>,
}

impl Change<'_> {
    fn completed(&mut self, lease: Lease, completion: Completion) {
        match (lease.task, completion) {
            (Task::List(end, range), Completion::Listed(listed)) => self.listed(end, range, listed),
            (Task::List(end, range), Completion::PartListed(listed)) => {
                self.job.listing_mut(end).end_order(range, listed);
            }
            (Task::Compare(page), Completion::Compared(entries)) => self.compared(page, entries),
            (Task::Open(position, upload, _), Completion::Opened(token)) => {
                self.opened((position, upload), token, LargeObject::move_into);
            }
            (Task::Open(position, upload, _), Completion::Copying(token)) => {
                self.opened((position, upload), token, LargeObject::copy_into);
            }
            (Task::Open(position, ..), Completion::Copied { dropped }) => {
                self.copied(position, dropped);
            }
            (Task::Range(position, shard), Completion::RangeMoved { value, bytes_sent, sum }) => {
                self.range_moved(position, shard, (value, sum), bytes_sent);
            }
            (Task::Pack(page, indices), Completion::PackMoved(results))
                if indices.len() == results.len() =>
            {
                for (index, result) in indices.into_iter().zip(results) {
                    self.moved(Position { page, index }, result);
                }
            }
            (Task::Commit(position), Completion::Committed { dropped }) => {
                self.committed(position, dropped);
            }
            (
                Task::Open(position, ..) | Task::Range(position, _) | Task::Commit(position),
                Completion::Changed(changed),
            ) => {
                self.drop_object(position);
                self.changed(position, changed);
            }
            (Task::ReadBack(position), Completion::ReadBack) => {
                if let Some(moved) = self.job.read_backs.remove(&position) {
                    self.finish_done(position, moved);
                }
            }
            (Task::Verify(page, indices), Completion::Verified(verdicts))
                if indices.len() == verdicts.len() =>
            {
                for (index, verdict) in indices.into_iter().zip(verdicts) {
                    self.verified(Position { page, index }, verdict);
                }
            }
            (Task::Delete(page, indices), Completion::Deleted(results))
                if indices.len() == results.len() =>
            {
                for (index, kept) in indices.into_iter().zip(results) {
                    self.deleted(Position { page, index }, kept);
                }
            }
            (Task::Discard(upload), Completion::Discarded) => {
                self.job.uploads.remove(&upload);
            }
            (Task::Clean, Completion::Cleaned) => self.job.is_clean = true,
            (task, completion) => {
                let text = format!("a report does not fit its order: {task:?}, ");
                self.stop(Failure::new(ErrorCode::Bug, text + kind(&completion)));
            }
        }
    }

    fn listed(&mut self, end: End, range: KeyRangeId, listed: ListingEnd) {
        let listing = self.job.listing_mut(end);
        listing.end_order(range, listed);
        listing.finish(range);
        self.facts.push(Fact::Listing(self.id, end));
    }

    /// An upload is open, for `take` to note at the object.
    fn opened(
        &mut self,
        (position, upload): (Position, UploadId),
        token: UploadToken,
        take: impl FnOnce(&mut LargeObject, UploadToken),
    ) {
        if let Some(object) = self.job.objects.get_mut(&position) {
            take(object, token.clone());
        }
        if let Some(state) = self.job.uploads.get_mut(&upload) {
            state.token = Some(token);
        }
    }

    fn failed(&mut self, lease: Lease, failure: Failure) {
        match failure.code.scope() {
            Scope::Job => {
                if self.has_rest_for(&failure) {
                    give_back(self.job, lease.task);
                }
                return self.hold_up(failure);
            }
            Scope::Route => return give_back(self.job, lease.task),
            Scope::Object => {}
        }
        match lease.task {
            Task::List(..) | Task::Compare(_) => self.stop(failure),
            Task::Open(position, ..) | Task::Range(position, _) | Task::Commit(position) => {
                self.object_failed(position, &failure);
            }
            Task::Pack(page, indices) | Task::Verify(page, indices) => {
                for index in indices {
                    let fact = ObjectFact::failed(&failure);
                    self.finish(Position { page, index }, fact, 0);
                }
            }
            Task::ReadBack(position) => {
                self.job.read_backs.remove(&position);
                self.finish(position, ObjectFact::failed(&failure), 0);
            }
            Task::Delete(page, indices) => {
                for index in indices {
                    self.deleted(Position { page, index }, Some(failure.clone()));
                }
            }
            Task::Discard(upload) => {
                self.job.kept.insert(upload.clone());
                self.left_over(upload.key, failure);
            }
            Task::Clean => {
                self.job.is_clean = true;
                self.left_over(Key::default(), failure);
            }
        }
    }

    /// The target keeps something of the job that could not be removed.
    fn left_over(&mut self, key: Key, failure: Failure) {
        self.job.left_over.add(key.clone(), failure.clone());
        self.facts.push(Fact::LeftOver(self.id, key, failure));
    }

    /// Every other object would meet the same. A cluster's job rests when its credentials are
    /// refused, or when nobody is there to be asked: that passes, and it goes on where it is. Any other
    /// stops.
    fn hold_up(&mut self, failure: Failure) {
        if self.job.phase == Phase::Stopped || self.job.is_paused {
            return;
        }
        match &self.who {
            Some(who) if self.has_rest_for(&failure) => {
                let text = format!("{who}: {}", failure.detail());
                let facts = rest(self.job, self.id, Failure::new(failure.code, text));
                self.facts.extend(facts);
            }
            _ => self.stop(failure),
        }
    }

    /// Whether the job rests for `failure`, and does not stop. One that is being cancelled has nothing to go
    /// on with: nobody would resume it, and nobody could submit it again.
    fn has_rest_for(&self, failure: &Failure) -> bool {
        let is_wanted = self.who.is_some() && !self.job.is_being_cancelled();
        is_wanted && matches!(failure.code, ErrorCode::Unauthorized | ErrorCode::Unreachable)
    }

    fn stop(&mut self, failure: Failure) {
        let facts = stop(self.job, self.id, failure, self.at);
        self.facts.extend(facts);
    }

    fn compared(&mut self, page: PageId, entries: Vec<Comparison>) {
        let Some(progress) = self.job.pages.get_mut(&page) else { return };
        // Of a page that is not compared all is pending. Without a word of some of them they would neither be
        // given out nor come to their end.
        if entries.len() != progress.pending.count() as usize {
            let text = format!("page {}: {} of its entries were compared", page.0, entries.len());
            return self.stop(Failure::new(ErrorCode::Bug, text));
        }
        let is_lost = |comparison: &Comparison| matches!(comparison, Comparison::Failed(failure) if failure.code.scope() == Scope::Route);
        if entries.iter().any(is_lost) {
            return;
        }
        let of_job = entries.iter().find_map(|comparison| match comparison {
            Comparison::Failed(failure) if failure.code.scope() == Scope::Job => Some(failure),
            _ => None,
        });
        if let Some(failure) = of_job {
            return self.hold_up(failure.clone());
        }
        progress.is_compared = true;
        for (index, comparison) in (0u16..).zip(entries) {
            let position = Position { page, index };
            match comparison {
                Comparison::Unchanged { bytes } => {
                    self.finish(position, ObjectFact::plain(Status::Unchanged), bytes);
                }
                Comparison::Move if self.job.spec.policy.dry_run => {
                    self.finish(position, ObjectFact::plain(Status::WouldCopy), 0);
                }
                Comparison::Move => return_to_page(self.job, page, &[index]),
                Comparison::Skipped(reason) => self.skipped(position, &reason),
                Comparison::Failed(failure) => {
                    self.finish(position, ObjectFact::failed(&failure), 0);
                }
            }
        }
    }

    fn range_moved(
        &mut self,
        position: Position,
        shard: u32,
        (value, sum): (SpanValue, Option<Sum>),
        bytes_sent: u64,
    ) {
        let Some(object) = self.job.objects.get_mut(&position) else { return };
        object.record(shard, value, sum);
        let bytes = &mut self.job.totals.bytes;
        bytes.sent = bytes.sent.saturating_add(bytes_sent);
        if let Some(upload) = self.job.uploads.get_mut(&object.upload_id)
            && upload.interrupted.remove(&shard)
        {
            bytes.resent = bytes.resent.saturating_add(bytes_sent);
        }
    }

    fn moved(&mut self, position: Position, result: ObjectResult) {
        match result {
            ObjectResult::Done { root, bytes, dropped } => {
                let again = bytes.min(self.job.interrupted_bytes);
                self.job.interrupted_bytes -= again;
                let counts = &mut self.job.totals.bytes;
                counts.sent = counts.sent.saturating_add(bytes);
                counts.resent = counts.resent.saturating_add(again);
                self.done(position, Moved { root: Some(root), bytes, dropped });
            }
            ObjectResult::Copied { bytes, dropped } => {
                self.job.ledger.suppose(bytes);
                self.done(position, Moved { root: None, bytes, dropped });
            }
            ObjectResult::Changed(changed) => self.changed(position, changed),
            ObjectResult::Skipped(reason) => self.skipped(position, &reason),
            ObjectResult::Failed(failure) if failure.code.scope() == Scope::Job => {
                return_to_page(self.job, position.page, &[position.index]);
                self.hold_up(failure);
            }
            ObjectResult::Failed(failure) if failure.code.scope() == Scope::Route => {
                return_to_page(self.job, position.page, &[position.index]);
            }
            ObjectResult::Failed(failure) => {
                self.finish(position, ObjectFact::failed(&failure), 0);
            }
        }
    }

    fn committed(&mut self, position: Position, dropped: AttributeSet) {
        let Some(object) = self.job.objects.remove(&position) else { return };
        if object.is_copied() {
            return self.done_with(position, &object, None, dropped);
        }
        if let Some(root) = object.root() {
            self.done_with(position, &object, Some(root), dropped);
        }
    }

    /// The service has copied a large object whole.
    fn copied(&mut self, position: Position, dropped: AttributeSet) {
        if let Some(object) = self.job.objects.remove(&position) {
            self.job.ledger.suppose(object.size);
            self.done_with(position, &object, None, dropped);
        }
    }

    fn done_with(
        &mut self,
        position: Position,
        object: &LargeObject,
        root: Option<Root>,
        dropped: AttributeSet,
    ) {
        self.job.uploads.remove(&object.upload_id);
        self.done(position, Moved { root, bytes: object.size, dropped });
    }

    /// The object is at the target: it has come to its end, unless it is to be read back.
    fn done(&mut self, position: Position, moved: Moved) {
        // Without a hash there is nothing to compare with: such jobs do not let the service copy.
        if moved.root.is_some() && self.job.is_sampled(position) {
            self.job.read_backs.insert(position, moved);
        } else {
            self.finish_done(position, moved);
        }
    }

    fn finish_done(&mut self, position: Position, moved: Moved) {
        let Moved { root, bytes, dropped } = moved;
        let plain = ObjectFact::plain(Status::Done);
        self.finish(position, ObjectFact { root, dropped, ..plain }, bytes);
    }

    fn skipped(&mut self, position: Position, reason: &SkipReason) {
        let archived = &mut self.job.totals.archived;
        match reason {
            SkipReason::Archived { bytes } => archived.resting.add(*bytes),
            SkipReason::Restoring { bytes } => archived.restoring.add(*bytes),
            SkipReason::Symlink | SkipReason::Special | SkipReason::Unrepresentable(_) => {}
        }
        let reason = Some((None, reason.message()));
        self.finish(position, ObjectFact { reason, ..ObjectFact::plain(Status::Skipped) }, 0);
    }

    /// The source changed under the reader: the object starts over once, then fails.
    fn changed(&mut self, position: Position, changed: ChangedObject) {
        if self.job.changed.contains_key(&position) {
            let text = "source changed: it was written to while it was read, twice; nothing of it \
                        was made visible (copy it again when it is at rest)";
            let failure = Failure::new(ErrorCode::SourceChanged, text);
            return self.finish(position, ObjectFact::failed(&failure), 0);
        }
        let size = changed.entry.size;
        if size > OBJECT_BYTES_MAX {
            let (bytes, bytes_max) = (ByteCount(size), ByteCount(OBJECT_BYTES_MAX));
            let text = format!("{bytes} are more than the {bytes_max} that can be moved");
            let failure = Failure::new(ErrorCode::TooLarge, text);
            return self.finish(position, ObjectFact::failed(&failure), 0);
        }
        let total = &mut self.job.totals.bytes.total;
        *total = total.saturating_sub(changed.bytes_before).saturating_add(size);
        self.job.changed.insert(position, changed.entry);
        return_to_page(self.job, position.page, &[position.index]);
    }

    fn object_failed(&mut self, position: Position, failure: &Failure) {
        let upload = self.drop_object(position);
        if failure.code == ErrorCode::UploadLost && self.job.lost.insert(position) {
            if let Some(upload) = upload {
                self.job.uploads.remove(&upload);
            }
            return return_to_page(self.job, position.page, &[position.index]);
        }
        self.finish(position, ObjectFact::failed(failure), 0);
    }

    /// Forgets a large object in work, and takes back what others were to do for it. Its upload
    /// stays on record until it is discarded.
    fn drop_object(&mut self, position: Position) -> Option<UploadId> {
        let object = self.job.objects.remove(&position)?;
        let ids: Vec<AssignmentId> = self
            .job
            .leases
            .iter()
            .filter(|(_, lease)| match &lease.task {
                Task::Open(of, ..) | Task::Range(of, _) | Task::Commit(of) => *of == position,
                _ => false,
            })
            .map(|(id, _)| id)
            .collect();
        for id in ids {
            if let Some(lease) = self.job.leases.remove(id) {
                self.facts.push(Fact::Ended(lease.node, id));
            }
        }
        Some(object.upload_id)
    }

    fn verified(&mut self, position: Position, verdict: Verdict) {
        let reason = |text: String| Some((None, text));
        let (fact, bytes) = match verdict {
            Verdict::Equal { root, bytes } => {
                (ObjectFact { root: Some(root), ..ObjectFact::plain(Status::Equal) }, bytes)
            }
            Verdict::EqualBySum { kind, root, bytes } => {
                (ObjectFact { root, sum: Some(kind), ..ObjectFact::plain(Status::Equal) }, bytes)
            }
            Verdict::Differs(how) => {
                (ObjectFact { reason: reason(how), ..ObjectFact::plain(Status::Differs) }, 0)
            }
            Verdict::Missing => (ObjectFact::plain(Status::Missing), 0),
            Verdict::Skipped(why) => return self.skipped(position, &why),
            Verdict::Failed(failure) if failure.code.scope() == Scope::Route => {
                return return_to_page(self.job, position.page, &[position.index]);
            }
            Verdict::Failed(failure) if failure.code.scope() == Scope::Job => {
                return_to_page(self.job, position.page, &[position.index]);
                return self.hold_up(failure);
            }
            Verdict::Failed(failure) => (ObjectFact::failed(&failure), 0),
        };
        self.finish(position, fact, bytes);
    }

    fn deleted(&mut self, position: Position, kept: Option<Failure>) {
        debug_assert!(self.job.spec.mode == Mode::Sync, "only a sync deletes");
        if let Some(failure) = kept.as_ref().filter(|kept| kept.code.scope() != Scope::Object) {
            self.job.extraneous.entry(position.page).or_default().extend([position.index]);
            if failure.code.scope() == Scope::Job {
                self.hold_up(failure.clone());
            }
            return;
        }
        let fact = match kept {
            None => ObjectFact::plain(Status::Deleted),
            Some(failure) => ObjectFact::failed(&failure),
        };
        self.job.count((End::Target, position), &fact, 0);
        self.facts.push(Fact::Extraneous(self.id, position, fact));
    }

    /// Brings an object to its end, once.
    fn finish(&mut self, position: Position, fact: ObjectFact, bytes: u64) {
        let Some(page) = self.job.pages.get_mut(&position.page) else { return };
        if !page.pending.remove(position.index) {
            return;
        }
        page.todo.remove(position.index);
        if page.pending.is_empty() {
            self.job.pages.remove(&position.page);
        }
        self.job.count((End::Source, position), &fact, bytes);
        self.facts.push(Fact::Object(self.id, position, fact));
    }
}

/// What a completion is, in a word: all of it could be long.
fn kind(completion: &Completion) -> &'static str {
    match completion {
        Completion::Page { .. } => "Page",
        Completion::Listed(_) => "Listed",
        Completion::Compared(_) => "Compared",
        Completion::Opened(_) => "Opened",
        Completion::RangeMoved { .. } => "RangeMoved",
        Completion::PackMoved(_) => "PackMoved",
        Completion::Committed { .. } => "Committed",
        Completion::Changed(_) => "Changed",
        Completion::Discarded => "Discarded",
        Completion::Verified(_) => "Verified",
        Completion::ReadBack => "ReadBack",
        Completion::Deleted(_) => "Deleted",
        Completion::Cleaned => "Cleaned",
        Completion::Cut { .. } => "Cut",
        Completion::PartListed(_) => "PartListed",
        Completion::Copied { .. } => "Copied",
        Completion::Copying(_) => "Copying",
        Completion::Passed { .. } => "Passed",
    }
}
