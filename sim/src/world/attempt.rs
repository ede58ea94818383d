//! Attempts: what an order does to the simulated stores, step by step, and what it answers.
//!
//! A step reads, decides, and either answers or lets go of a change. What is let go shows at the
//! store a moment later, whatever has become of the process by then. Right before, the node's fence
//! is asked, as a real store does.

use airlift_coordinator::AgentInput;
use airlift_protocol::assignment::{Assignment, Object, UploadToken, Work};
use airlift_protocol::attributes::AttributeSet;
use airlift_protocol::chunk::Root;
use airlift_protocol::error::{ErrorCode, Failure};
use airlift_protocol::id::{AssignmentId, JobId};
use airlift_protocol::key::Key;
use airlift_protocol::manifest::Entry;
use airlift_protocol::report::{Comparison, Completion, ObjectResult, Verdict};

use super::list::Listed;
use super::{Ahead, What, World};
use crate::stores::{Content, is_listed_as, root};
use crate::trace::Weight;

/// What an attempt answers.
pub(crate) type Answer = Result<Completion, Failure>;

/// An attempt under way.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) number: u32,
    pub(crate) assignment: Box<Assignment>,
    /// How often the node's leases had ended when it began.
    pub(crate) term: u64,
    /// Of a listing: how far it got.
    pub(crate) listed: Listed,
    /// Of a listing: that the record of what it told is waited for.
    pub(crate) is_waiting: bool,
    /// Of a pack: what became of the objects before the next one.
    pub(crate) moved: Vec<ObjectResult>,
    /// What was read, and is let go next.
    pub(crate) ready: Option<Change>,
    /// Of a deletion, what became of the objects before the next one.
    pub(crate) deleted: Vec<Option<Failure>>,
}

/// A change on its way to the target.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// A whole object.
    Put(Key, Content),
    /// An upload becomes an object of this hash.
    Commit(Key, UploadToken, Root),
    /// An object goes.
    Delete(Entry),
}

/// What a step came to.
pub(crate) enum Step {
    /// The attempt ends.
    Answer(Answer),
    /// The next step follows.
    Next,
    /// A part of a listing is told; the next step follows when it is on record.
    Tell(Completion),
    /// A change is on its way; the attempt goes on when it has landed.
    Let(Change),
}

/// Whom a change answers: place, life, order, attempt.
pub(crate) type Caller = (usize, u64, AssignmentId, u32);

/// How much likelier it is than other failures that an upload cannot be removed: there are few, and
/// whoever may write need not have the right to.
const STAYS: u64 = 8;

/// Chances in a thousand that a lister does not wait for the record of what it told: there are builds that never do.
const HASTE: u64 = 100;

/// Work that changes at once what others may be at, and shows nothing.
fn is_fenced(work: &Work) -> bool {
    matches!(work, Work::Open { .. } | Work::Discard { .. } | Work::Clean)
}

impl World {
    pub(crate) fn begin(&mut self, place: usize, assignment: Box<Assignment>, number: u32) {
        let id = assignment.id;
        let listed = Listed::of(&assignment.work);
        let Some(process) = &mut self.nodes[place].process else { return };
        let term = process.term.1;
        let attempt = Attempt {
            number,
            assignment,
            term,
            listed,
            is_waiting: false,
            moved: Vec::new(),
            ready: None,
            deleted: Vec::new(),
        };
        process.attempts.insert(id, attempt);
        self.step_later(place, id, number);
    }

    pub(crate) fn cancel(&mut self, place: usize, id: AssignmentId) {
        if let Some(process) = &mut self.nodes[place].process {
            process.attempts.remove(&id);
        }
    }

    /// What a listing told is on record: it goes on.
    pub(crate) fn go_on(&mut self, place: usize, id: AssignmentId) {
        let Some(process) = &mut self.nodes[place].process else { return };
        let Some(attempt) = process.attempts.get_mut(&id) else { return };
        if std::mem::take(&mut attempt.is_waiting) {
            let number = attempt.number;
            self.step_later(place, id, number);
        }
    }

    fn step_later(&mut self, place: usize, id: AssignmentId, attempt: u32) {
        let after = 1 + self.timing.below(self.options.call_ms);
        self.after(place, after, What::Step(id, attempt));
    }

    /// The next step of an attempt, if it still goes on.
    pub(crate) fn step(&mut self, place: usize, id: AssignmentId, number: u32) {
        let Some(process) = &mut self.nodes[place].process else { return };
        let Some(mut attempt) = process.attempts.remove(&id) else { return };
        if attempt.number != number {
            process.attempts.insert(id, attempt);
            return;
        }
        let is_held =
            process.agent.is_congested() && matches!(attempt.assignment.work, Work::List { .. });
        if is_held {
            process.attempts.insert(id, attempt);
            return self.step_later(place, id, number);
        }
        if is_fenced(&attempt.assignment.work) && !self.is_fence_open(place, attempt.term) {
            let failure = Failure::new(ErrorCode::LeaseLost, "simulated");
            return self.went(place, attempt, Step::Answer(Err(failure)));
        }
        let step = match (self.trouble(attempt.assignment.job), attempt.ready.take()) {
            (Some(failure), _) => Step::Answer(Err(failure)),
            (None, Some(change)) => Step::Let(change),
            (None, None) => self.work(place, &mut attempt),
        };
        self.went(place, attempt, step);
    }

    fn went(&mut self, place: usize, attempt: Attempt, step: Step) {
        let (id, number) = (attempt.assignment.id, attempt.number);
        let step = match step {
            Step::Let(_) if !self.is_fence_open(place, attempt.term) => {
                self.fenced += 1;
                Step::Answer(Err(Failure::new(ErrorCode::LeaseLost, "simulated")))
            }
            step => step,
        };
        match step {
            Step::Answer(answer) => self.answer(place, &attempt, answer),
            step => {
                let job = attempt.assignment.job;
                let life = self.nodes[place].life;
                let is_waiting = matches!(step, Step::Tell(_)) && !self.timing.chance(HASTE);
                let attempt = Attempt { is_waiting, ..attempt };
                if let Some(process) = &mut self.nodes[place].process {
                    process.attempts.insert(id, attempt);
                }
                match step {
                    Step::Let(change) => {
                        let after = self.timing.below(self.options.land_ms);
                        let caller = (place, life, id, number);
                        let landing = Ahead::Land(job, Box::new(change), caller);
                        self.queue.push(self.now + after, landing);
                    }
                    Step::Tell(completion) => {
                        self.tell(place, (id, number), Ok(completion));
                        if !is_waiting {
                            self.step_later(place, id, number);
                        }
                    }
                    _ => self.step_later(place, id, number),
                }
            }
        }
    }

    fn tell(&mut self, place: usize, (assignment, attempt): (AssignmentId, u32), result: Answer) {
        let outcome = AgentInput::Outcome { assignment, attempt, result, wire_bytes: 0 };
        self.feed_agent(place, outcome);
    }

    /// An attempt ends with an answer, which may get lost on its way from the store.
    fn answer(&mut self, place: usize, attempt: &Attempt, answer: Answer) {
        let is_list = matches!(attempt.assignment.work, Work::List { .. });
        let is_lost = !is_list && self.faults.chance(self.options.transient / 4);
        let result = match answer {
            Ok(_) if is_lost => Err(Failure::new(ErrorCode::TimedOut, "done, and not answered")),
            answer => answer,
        };
        let (assignment, number) = (attempt.assignment.id, attempt.number);
        self.note([5, place as u64, assignment.0, u64::from(result.is_ok())]);
        self.tell(place, (assignment, number), result);
    }

    fn is_fence_open(&self, place: usize, term: u64) -> bool {
        let node = &self.nodes[place];
        let local = node.local(self.now).0;
        self.options.is_alone
            || node
                .process
                .as_ref()
                .is_some_and(|process| local < process.term.0 && process.term.1 == term)
    }

    /// A change shows at the target. Whoever let it go hears of it, when it does not stand still.
    pub(crate) fn land(&mut self, job: JobId, change: Change, caller: Caller) {
        let (place, life, id, number) = caller;
        self.note([6, place as u64, id.0, u64::from(number)]);
        self.check_writer(place, id);
        let landed = self.apply(job, change, place);
        let heard = What::Landed(id, number, Box::new(landed));
        self.queue.push(self.now, Ahead::Process(place, life, heard));
    }

    /// An attempt hears what came of the change that it let go.
    pub(crate) fn on_landed(
        &mut self,
        place: usize,
        (id, number): (AssignmentId, u32),
        landed: Answer,
    ) {
        let Some(process) = self.nodes[place].process.as_mut() else { return };
        let Some(mut attempt) = process.attempts.remove(&id) else { return };
        if attempt.number != number {
            process.attempts.insert(id, attempt);
            return;
        }
        let step = landed_step(&mut attempt, landed);
        if let Step::Next = step
            && let Some(ObjectResult::Done { bytes, .. }) = attempt.moved.last()
        {
            *process.written.entry(attempt.assignment.job).or_default() += bytes;
        }
        self.went(place, attempt, step);
    }

    /// An order is about to change the target.
    fn check_writer(&mut self, place: usize, id: AssignmentId) {
        let found = self.check.on_landing(place, id);
        self.or_violate(found);
    }

    fn apply(&mut self, job: JobId, change: Change, place: usize) -> Answer {
        let now = self.now;
        match change {
            Change::Put(key, content) => {
                self.say(Weight::Work, || format!("{key} becomes {content:?}, by n{place}"));
                self.put(job, &key, content, now);
                Ok(Completion::PackMoved(vec![ObjectResult::Done {
                    root: root(&key, content),
                    bytes: content.size,
                    dropped: AttributeSet::NONE,
                }]))
            }
            Change::Commit(key, token, hash) => self.commit(job, &key, &token, hash, place),
            Change::Delete(listed) => {
                self.say(Weight::Work, || format!("{} is deleted, by n{place}", listed.key));
                let stores = self.stores_mut(job);
                let is_at_source = stores.source.contains_key(&listed.key);
                stores.target.remove(&listed.key);
                let found = self.check.on_delete(job, &listed.key, is_at_source);
                self.or_violate(found);
                Ok(Completion::Deleted(vec![None]))
            }
        }
    }

    fn work(&mut self, place: usize, attempt: &mut Attempt) -> Step {
        let job = attempt.assignment.job;
        let reader = attempt.assignment.source;
        let reader = reader.and_then(|id| self.nodes.iter().position(|node| node.id == id));
        let reader = reader.unwrap_or(place);
        let work = attempt.assignment.work.clone();
        match work {
            Work::List { end, .. } => self.list(attempt, end),
            Work::Clean => Step::Answer(Ok(Completion::Cleaned)),
            Work::Compare { page } => {
                Step::Answer(self.compare((place, reader), job, &page.entries))
            }
            Work::MovePack { objects } => self.move_next((place, reader), attempt, &objects),
            Work::Open { object, resume, orphan_since, may_copy: _ } => {
                self.check_writer(place, attempt.assignment.id);
                Step::Answer(self.open((place, reader), job, &object, resume, orphan_since))
            }
            Work::MoveRange { object, upload, range } => {
                Step::Answer(self.move_range((place, reader), job, &object, &upload, range))
            }
            Work::Commit { object, upload, root, sums } => {
                let root = root.expect("invariant: no simulated store copies by itself");
                self.check_sums(&object, &sums);
                match self.read((place, reader), job, &object.entry) {
                    Ok(_) => {
                        attempt.ready = Some(Change::Commit(object.entry.key, upload, root));
                        Step::Next
                    }
                    Err(other) => Step::Answer(other.map(Completion::Changed)),
                }
            }
            Work::Discard { .. } if self.faults.chance(STAYS * self.options.permanent) => {
                Step::Answer(Err(Failure::new(ErrorCode::PermissionDenied, "simulated: it stays")))
            }
            Work::Discard { key, upload, orphan_since } => {
                self.check_writer(place, attempt.assignment.id);
                let since = orphan_since.map(|since| self.at_store(since));
                let stores = self.stores_mut(job);
                if let Some(upload) = upload {
                    stores.uploads.remove(&upload.0);
                }
                if let Some(since) = since {
                    stores.drop_orphans(&key, since, None);
                }
                Step::Answer(Ok(Completion::Discarded))
            }
            Work::Delete { entries } => match entries.get(attempt.deleted.len()) {
                None => {
                    let deleted = std::mem::take(&mut attempt.deleted);
                    Step::Answer(Ok(Completion::Deleted(deleted)))
                }
                Some(entry) => Step::Let(Change::Delete(entry.clone())),
            },
            Work::Verify { objects } => {
                let verdicts: Vec<Verdict> =
                    objects.iter().map(|it| self.verify((place, reader), job, it)).collect();
                Step::Answer(Ok(Completion::Verified(verdicts)))
            }
            Work::ReadBack { object, root: hash } => {
                let held = self.stores(job).at_target(&object.entry.key);
                let is_equal = held.is_some_and(|held| root(&object.entry.key, held) == hash);
                Step::Answer(match is_equal {
                    true => Ok(Completion::ReadBack),
                    false => Err(Failure::new(ErrorCode::CorruptTarget, "read back: differs")),
                })
            }
        }
    }

    /// Reads the next object of a pack.
    fn move_next(
        &mut self,
        ends: (usize, usize),
        attempt: &mut Attempt,
        objects: &[Object],
    ) -> Step {
        let Some(object) = objects.get(attempt.moved.len()) else {
            let moved = std::mem::take(&mut attempt.moved);
            return Step::Answer(Ok(Completion::PackMoved(moved)));
        };
        match self.move_small(ends, attempt.assignment.job, object) {
            Ok(change) => attempt.ready = Some(change),
            Err(result) => attempt.moved.push(result),
        }
        Step::Next
    }

    fn compare(&mut self, ends: (usize, usize), job: JobId, entries: &[Entry]) -> Answer {
        self.reach(ends)?;
        let stores = self.stores(job);
        let compare = |listed: &Entry| match stores.at_target(&listed.key) {
            Some(held) if is_listed_as(listed, held) => {
                Comparison::Unchanged { bytes: listed.size }
            }
            _ => Comparison::Move,
        };
        Ok(Completion::Compared(entries.iter().map(compare).collect()))
    }

    fn verify(&mut self, ends: (usize, usize), job: JobId, object: &Object) -> Verdict {
        let key = &object.entry.key;
        if let Err(failure) = self.reach(ends) {
            return Verdict::Failed(failure);
        }
        let stores = self.stores(job);
        match (stores.source.get(key), stores.at_target(key)) {
            (None, _) => Verdict::Failed(Failure::new(ErrorCode::NotFound, "gone")),
            (Some(_), None) => Verdict::Missing,
            (Some(source), Some(target)) if *source == target => {
                Verdict::Equal { root: root(key, target), bytes: target.size }
            }
            _ => Verdict::Differs("other content".to_owned()),
        }
    }

    fn move_small(
        &mut self,
        ends: (usize, usize),
        job: JobId,
        object: &Object,
    ) -> Result<Change, ObjectResult> {
        let failed = |code| ObjectResult::Failed(Failure::new(code, "simulated"));
        if self.faults.chance(self.options.permanent) {
            return Err(failed(ErrorCode::PermissionDenied));
        }
        if self.faults.chance(self.options.transient / 2) {
            return Err(failed(ErrorCode::Unavailable));
        }
        let content = self.read(ends, job, &object.entry).map_err(|other| match other {
            Ok(changed) => ObjectResult::Changed(changed),
            Err(failure) => ObjectResult::Failed(failure),
        })?;
        self.count_read(ends.1, job, content.size);
        let sent = self.received(content).map_err(ObjectResult::Failed)?;
        Ok(Change::Put(object.entry.key.clone(), sent))
    }
}

/// How an attempt goes on when its change has landed.
fn landed_step(attempt: &mut Attempt, landed: Answer) -> Step {
    match landed {
        Ok(Completion::PackMoved(results)) => {
            attempt.moved.extend(results);
            Step::Next
        }
        Ok(Completion::Deleted(results)) => {
            attempt.deleted.extend(results);
            Step::Next
        }
        answer => Step::Answer(answer),
    }
}
