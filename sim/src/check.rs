//! What must hold, whatever happens. Each file below has one property.
//!
//! What is committed is applied here too, once, from the first entry on: this is the reference that
//! every replica is compared with, and its facts are what the objects at the stores are held to.

mod audit;
mod bounds;
mod budget;
mod deletes;
mod election;
mod formats;
mod listing;
mod log;
mod objects;
mod records;
mod replicas;
mod resume;
mod secrets;
mod slots;
mod writers;

use std::collections::BTreeMap;

use airlift_coordinator::Coordinator;
use airlift_coordinator::command::{Command, Entry};
use airlift_coordinator::log::Batch;
use airlift_coordinator::state::{Fact, Job, ObjectFact, Phase, State};
use airlift_protocol::assignment::End;
use airlift_protocol::cluster::Member;
use airlift_protocol::codec;
use airlift_protocol::error::{ErrorCode, Failure};
use airlift_protocol::id::{AssignmentId, JobId, LogIndex, NodeId, Position};
use airlift_protocol::key::Key;
use airlift_protocol::limits::LOG_ENTRY_BYTES_MAX;
use airlift_protocol::raft::{Configuration, LogPayload, RaftBody, RaftId, RaftMessage};
use airlift_protocol::version::Formats;

use self::audit::Audits;
use self::budget::Budgets;
use self::election::Elections;
use self::log::Logs;
use self::objects::Objects;
use self::records::Records;
use self::replicas::Replicas;
use self::resume::Resume;
pub(crate) use self::secrets::CANARY;
use self::writers::Writers;
use crate::stores::Content;
use crate::world::disk::{Disk, Write};
use crate::world::{SimJob, Violation};

/// Runs of a job after which the user leaves it at what is left over.
const RUNS_FOR_LEFT_OVER_MAX: u32 = 5;

/// Nothing, or an invariant that does not hold.
pub(crate) type Found = Result<(), Violation>;

/// A voter's number, where the cluster has given one, and its disk.
pub(crate) type DiskOf<'a> = (Option<RaftId>, &'a Disk);

/// The jobs with their stores, and the time.
pub(crate) type Sight<'a> = (&'a BTreeMap<JobId, SimJob>, u64);

fn broken(invariant: &'static str, text: String, subjects: Vec<String>) -> Found {
    Err(violation(invariant, text, subjects))
}

fn violation(invariant: &'static str, text: String, subjects: Vec<String>) -> Violation {
    Violation { invariant, text, subjects }
}

/// Everything that is watched.
#[derive(Debug)]
pub(crate) struct Check {
    /// The state as of the last entry that is known to be committed.
    reference: State,
    /// That entry.
    applied: u64,
    elections: Elections,
    logs: Logs,
    replicas: Replicas,
    records: Records,
    objects: BTreeMap<JobId, Objects>,
    resumes: BTreeMap<JobId, Resume>,
    writers: Writers,
    audits: Audits,
    budgets: Budgets,
    /// Slots of each node.
    slots: usize,
    /// Jobs that have ended, and since when.
    ended: BTreeMap<JobId, u64>,
    /// What was decided how often.
    counts: BTreeMap<&'static str, u64>,
}

impl Check {
    pub(crate) fn new(is_alone: bool, slots: usize) -> Self {
        Self {
            reference: State::default(),
            // The log of a cluster begins behind a snapshot of the empty state.
            applied: u64::from(!is_alone),
            elections: Elections::default(),
            logs: Logs::default(),
            replicas: Replicas::default(),
            records: Records::default(),
            objects: BTreeMap::new(),
            resumes: BTreeMap::new(),
            writers: Writers::default(),
            audits: Audits::default(),
            budgets: Budgets::default(),
            slots,
            ended: BTreeMap::new(),
            counts: BTreeMap::new(),
        }
    }

    /// Something is about to be durable.
    pub(crate) fn on_durable(&mut self, write: &Write) -> Found {
        match write {
            Write::Log { batch: Batch::Consensus(persists), .. } => {
                self.logs.on_entries(persists.iter().flat_map(|persist| &persist.entries))
            }
            Write::Log { batch: Batch::Entries { .. }, .. }
            | Write::Snapshot { .. }
            | Write::Fetched { .. } => Ok(()),
        }
    }

    /// A voter says something.
    pub(crate) fn on_said(&mut self, message: &RaftMessage, disk: &Disk) -> Found {
        election::is_written(message, &disk.log.hard_state)?;
        if let RaftBody::Append { entries, .. } = &message.body {
            self.logs.on_entries(entries)?;
        }
        self.elections.on_said(message)
    }

    /// Looks at what a node holds.
    pub(crate) fn on_held(&self, place: usize, writes: usize, attempts: usize) -> Found {
        bounds::look(place, writes, attempts)
    }

    /// Something is durable on a disk that was not before.
    pub(crate) fn on_written(&mut self, place: usize, disk: &Disk) -> Found {
        self.elections.on_written(place, &disk.log.hard_state)
    }

    /// Looks at a voter after it has handled something; what was committed by that is applied here.
    pub(crate) fn observe(
        &mut self,
        (place, raft): (usize, RaftId),
        coordinator: &Coordinator,
        before: Option<&Configuration>,
        disks: &[DiskOf<'_>],
        sight: Sight<'_>,
    ) -> Result<Vec<Fact>, Violation> {
        let Some(consensus) = coordinator.consensus() else { return Ok(Vec::new()) };
        if coordinator.is_damaged() && coordinator.refusal().is_none() {
            let text = format!("n{place} cannot read an entry of its log");
            broken("every entry can be read", text, vec![])?;
        }
        let committed = self.logs.committed_before(consensus.term());
        self.elections.observe(raft, consensus, committed)?;
        let applied = consensus.applied();
        let mut facts = Vec::new();
        while self.applied < applied.index.0 {
            let index = self.applied + 1;
            let entry = disks[place].1.log.entries.iter();
            let Some(entry) = entry.rev().find(|entry| entry.index.0 == index) else {
                let text = format!("n{place} has applied entry {index}, which is not on its disk");
                return Err(violation("applied is durable", text, vec![]));
            };
            self.logs.on_committed(index, entry.term);
            facts.extend(self.apply(index, &entry.payload, sight)?);
            if index == applied.index.0 {
                let configurations = [before, Some(consensus.configuration())];
                self.logs.is_on_quorum(entry.position(), &configurations, disks)?;
            }
        }
        self.logs.is_as_committed(place, applied)?;
        self.replicas.compare(place, coordinator, &self.reference, self.applied)?;
        self.audits.compare(place, coordinator)?;
        Ok(facts)
    }

    /// Looks at the log of a process that works alone: what is durable is decided.
    pub(crate) fn observe_alone(
        &mut self,
        entries: &[Vec<u8>],
        sight: Sight<'_>,
    ) -> Result<Vec<Fact>, Violation> {
        let mut facts = Vec::new();
        for entry in entries.iter().skip(self.applied as usize) {
            let payload = LogPayload::Command(entry.clone());
            facts.extend(self.apply(self.applied + 1, &payload, sight)?);
        }
        Ok(facts)
    }

    fn apply(
        &mut self,
        index: u64,
        payload: &LogPayload,
        sight: Sight<'_>,
    ) -> Result<Vec<Fact>, Violation> {
        self.applied = index;
        let LogPayload::Command(bytes) = payload else { return Ok(Vec::new()) };
        if bytes.is_empty() {
            return Ok(Vec::new());
        }
        secrets::look(bytes)?;
        let Ok(entry) = codec::decode::<Entry>(bytes, 4 * LOG_ENTRY_BYTES_MAX) else {
            let text = format!("entry {index} is no command");
            return Err(violation("every entry can be read", text, vec![]));
        };
        let command = &entry.command;
        let page = match command {
            Command::Page { job, end, page, .. } => Some((*job, *end, page.clone())),
            _ => None,
        };
        match command {
            Command::Cut { .. } => *self.counts.entry("ranges cut").or_default() += 1,
            Command::Passed { .. } => *self.counts.entry("ranges passed").or_default() += 1,
            Command::TryAgain { .. } => *self.counts.entry("tried again").or_default() += 1,
            _ => {}
        }
        self.writers.before(command, &self.reference);
        let format = self.reference.format;
        let audited = self.audits.before(&entry, &self.reference);
        let facts = self.reference.apply(LogIndex(index), entry);
        self.audits.after(index, &audited, &facts, &self.reference)?;
        self.writers.after(&self.reference);
        self.budgets.look(&self.reference)?;
        formats::look(format, &self.reference)?;
        if let Some((job, end, page)) = page
            && let Some(state) = self.reference.jobs.get(&job)
            && state.listing(end).pages.last() == Some(&LogIndex(index))
        {
            self.objects.entry(job).or_default().on_page(end, page);
        }
        for fact in &facts {
            self.on_fact(fact, sight)?;
        }
        Ok(facts)
    }

    /// Something was decided.
    fn on_fact(&mut self, fact: &Fact, (jobs, now): Sight<'_>) -> Found {
        self.count(fact);
        match fact {
            Fact::Started(job, run) => {
                self.ended.remove(job);
                self.objects.entry(*job).or_default().begin(*run)
            }
            Fact::Granted(job, id) => {
                let lease = self.reference.jobs.get(job).and_then(|job| job.leases.get(*id));
                if let Some(lease) = lease {
                    self.resumes.entry(*job).or_default().on_granted(*id, lease);
                }
                slots::look(&self.reference, *job, *id, self.slots)
            }
            Fact::Ended(_, id) => {
                self.resumes.values_mut().for_each(|resume| resume.on_ended(*id));
                Ok(())
            }
            Fact::Object(job, position, fact) => {
                let stores = &jobs[job].stores;
                self.records.decide((*job, self.run(*job), End::Source, *position), fact);
                let objects = self.objects.entry(*job).or_default();
                objects.on_end(End::Source, *position, fact, stores)
            }
            Fact::Extraneous(job, position, fact) => {
                let stores = &jobs[job].stores;
                self.records.decide((*job, self.run(*job), End::Target, *position), fact);
                let objects = self.objects.entry(*job).or_default();
                objects.on_end(End::Target, *position, fact, stores)
            }
            Fact::Listing(job, end) => {
                let Some(state) = self.reference.jobs.get(job) else { return Ok(()) };
                let objects = self.objects.entry(*job).or_default();
                objects.on_listing(*end, state.listing(*end), &jobs[job].stores)
            }
            Fact::LeftOver(job, key, _) => {
                self.objects.entry(*job).or_default().on_left_over(key);
                Ok(())
            }
            Fact::JobEnded(job) => self.on_job_ended(*job, jobs, now),
            _ => Ok(()),
        }
    }

    fn count(&mut self, fact: &Fact) {
        let what = match fact {
            Fact::Started(..) => "runs begun",
            Fact::Granted(..) => "orders given",
            Fact::Ended(..) => "orders taken back",
            Fact::Object(_, _, fact) | Fact::Extraneous(_, _, fact) => fact.status.as_str(),
            Fact::LeftOver(..) => "left over",
            Fact::DeletesRefused(..) => "deletes refused",
            Fact::JobEnded(_) => "runs ended",
            Fact::Rested(_) => "rests",
            _ => return,
        };
        *self.counts.entry(what).or_default() += 1;
    }

    fn run(&self, job: JobId) -> u32 {
        self.reference.jobs.get(&job).map_or(0, |job| job.run)
    }

    fn on_job_ended(&mut self, id: JobId, jobs: &BTreeMap<JobId, SimJob>, now: u64) -> Found {
        let Some(job) = self.reference.jobs.get(&id) else { return Ok(()) };
        if let Some(failure) = &job.failure
            && matches!(
                failure.code,
                ErrorCode::Bug | ErrorCode::Protocol | ErrorCode::CorruptState
            )
        {
            return broken("no job stops by a fault of Airlift", failure.to_string(), vec![]);
        }
        if job.phase == Phase::Ended {
            self.ended.insert(id, now);
            self.resumes.entry(id).or_default().on_completed(job)?;
            let objects = self.objects.entry(id).or_default();
            return objects.on_completed(job, &jobs[&id].stores);
        }
        Ok(())
    }

    /// A voter keeps what became of an object.
    pub(crate) fn on_record(
        &mut self,
        place: (JobId, u32, End, Position),
        fact: &ObjectFact,
    ) -> Found {
        self.records.on_record(place, fact)
    }

    /// An upload is gone on with.
    pub(crate) fn on_resumed(&self, key: &Key, begun: Content, now: Content) -> Found {
        objects::is_of_one_state(key, begun, now)
    }

    /// A change of an order takes effect at the target.
    pub(crate) fn on_landing(&self, place: usize, id: AssignmentId) -> Found {
        self.writers.on_landing(place, id)
    }

    /// An object of the target goes.
    pub(crate) fn on_delete(&self, job: JobId, key: &Key, is_at_source: bool) -> Found {
        deletes::look(self.reference.jobs.get(&job), key, is_at_source)
    }

    /// A member as the log has it.
    pub(crate) fn member(&self, id: NodeId) -> Option<&Member> {
        self.reference.cluster.as_ref()?.members.get(&id)
    }

    /// Whether a job has ended, and was not begun again.
    pub(crate) fn has_ended(&self, job: JobId) -> bool {
        self.ended.contains_key(&job)
    }

    pub(crate) fn ended_count(&self) -> usize {
        self.ended.len()
    }

    /// Since when all jobs have ended, if they have.
    pub(crate) fn ended_since(&self, jobs: usize) -> Option<u64> {
        (self.ended.len() == jobs).then(|| self.ended.values().copied().max().unwrap_or(0))
    }

    /// Whether a job rests because its budget has come to its end.
    pub(crate) fn is_over_budget(&self, job: JobId) -> bool {
        self.reference.jobs.get(&job).is_some_and(Job::is_over_budget)
    }

    /// Whether a job stopped for a reason that goes away, or left something over that another run may
    /// remove.
    pub(crate) fn wants_again(&self, job: JobId) -> bool {
        let Some(job) = self.reference.jobs.get(&job) else { return false };
        let is_cancelled = |failure: &Failure| failure.code == ErrorCode::Cancelled;
        match job.phase {
            Phase::Stopped => !job.failure.as_ref().is_none_or(is_cancelled),
            Phase::Ended => job.left_over.count > 0 && job.run < RUNS_FOR_LEFT_OVER_MAX,
            _ => false,
        }
    }

    /// A voter stops because its build does not read what is in force.
    pub(crate) fn on_outdated(&self, place: usize, id: NodeId, formats: Formats) -> Found {
        formats::on_outdated(place, id, formats, &self.reference)
    }

    /// Whether what all members can read is in force.
    pub(crate) fn is_format_settled(&self) -> bool {
        formats::is_settled(&self.reference)
    }

    /// Looks at everything when all is over.
    pub(crate) fn at_end(
        &mut self,
        live: Vec<(usize, &Coordinator)>,
        jobs: &BTreeMap<JobId, SimJob>,
    ) -> Found {
        for (place, coordinator) in live {
            self.replicas.compare_now(place, coordinator, &self.reference, self.applied)?;
        }
        for (id, job) in jobs {
            let objects = self.objects.entry(*id).or_default();
            objects.at_end(&job.stores)?;
        }
        Ok(())
    }

    pub(crate) fn counts(&self) -> BTreeMap<&'static str, u64> {
        let mut counts = self.counts.clone();
        counts.insert("entries decided", self.applied);
        counts.insert("changes on record", self.reference.audit.head().number);
        counts.insert("states compared", self.replicas.compared);
        counts.insert("elections", self.elections.count());
        counts
    }
}
