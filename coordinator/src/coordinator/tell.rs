//! Facts become events: positions become keys.

use airlift_protocol::assignment::End;
use airlift_protocol::error::{ErrorCode, Failure};
use airlift_protocol::id::{JobId, Position};

use super::Coordinator;
use crate::effect::Effect;
use crate::event::{Event, ObjectEnd, Outcome};
use crate::scheduler::pages::PageKey;
use crate::state::{Fact, ObjectFact, Phase};

impl Coordinator {
    /// Tells observers of a fact.
    pub(super) fn tell(&mut self, fact: Fact) {
        match fact {
            Fact::Started(job, run) => self.emit(Event::JobStarted { job, run }),
            Fact::Object(job, position, object) => {
                self.tell_object(job, End::Source, position, object);
            }
            Fact::Extraneous(job, position, object) => {
                self.tell_object(job, End::Target, position, object);
            }
            Fact::LeftOver(job, key, failure) => {
                self.emit(Event::LeftOver { job, key, failure });
            }
            Fact::Listing(job, end) => self.tell_listing(job, end),
            Fact::DeletesRefused(job, reason) => self.emit(Event::DeletesRefused { job, reason }),
            Fact::JobEnded(job) => self.tell_end(job),
            Fact::Forgotten(job) => {
                let run = self.state.run_removed(job);
                self.effects.push_back(Effect::Forget { job, run });
            }
            Fact::Granted(..)
            | Fact::Ended(..)
            | Fact::Members
            | Fact::Refused(_)
            | Fact::Rested(_) => {}
        }
    }

    fn emit(&mut self, event: Event) {
        self.effects.push_back(Effect::Emit(event));
    }

    /// In a cluster every voter keeps what became of an object by its place, whether it has the
    /// page in memory or not; a process of its own tells its one observer at once.
    fn tell_object(&mut self, job: JobId, end: End, position: Position, fact: ObjectFact) {
        if self.state.cluster.is_some() {
            if end == End::Source && !fact.status.is_at_target() {
                self.count_unmoved(job, position);
            }
            let run = self.state.jobs.get(&job).map_or(0, |job| job.run);
            self.effects.push_back(Effect::Record { job, run, end, position, fact });
            return;
        }
        let page = self.pages.find(PageKey { job, end, page: position.page });
        let entry = page
            .and_then(|page| page.entry(position.index))
            .expect("invariant: a page stays in memory while its objects are in work");
        let (key, listed) = (entry.key.clone(), entry.size);
        let changed = self.state.jobs.get(&job).and_then(|job| job.changed.get(&position));
        let bytes = changed.filter(|_| end == End::Source).map_or(listed, |entry| entry.size);
        let ObjectFact { status, root, reason, dropped, sum } = fact;
        let object = ObjectEnd { key, status, bytes, root, reason, dropped, sum };
        self.emit(Event::ObjectFinished { job, object });
    }

    fn tell_listing(&mut self, job_id: JobId, end: End) {
        let Some(job) = self.state.jobs.get(&job_id) else { return };
        let listing = job.listing(end);
        let event = Event::Listing {
            job: job_id,
            end,
            objects: listing.objects,
            bytes: listing.bytes,
            is_complete: listing.end.is_some(),
        };
        let unreadable: Vec<Event> = listing
            .end
            .iter()
            .flat_map(|found| &found.unreadable)
            .map(|(key, failure)| Event::Unreadable {
                job: job_id,
                end,
                key: key.clone(),
                failure: failure.clone(),
            })
            .collect();
        self.emit(event);
        unreadable.into_iter().for_each(|event| self.emit(event));
    }

    fn tell_end(&mut self, job_id: JobId) {
        let Some(job) = self.state.jobs.get(&job_id) else { return };
        let outcome = match (job.phase, &job.failure) {
            (Phase::Stopped, Some(failure)) => Outcome::Stopped(failure.clone()),
            (Phase::Stopped, None) => {
                Outcome::Stopped(Failure::new(ErrorCode::Bug, "the job stopped without a reason"))
            }
            _ => Outcome::Completed { incomplete: job.is_incomplete() },
        };
        let totals = job.totals;
        self.emit(Event::JobEnded { job: job_id, outcome, totals });
    }
}
