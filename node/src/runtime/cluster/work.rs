//! The jobs that this node works on: their ends opened once, their orders carried out.

mod gates;
mod opened;
mod spending;
mod timing;

pub(super) use self::timing::name;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use airlift_protocol::assignment::{Assignment, End, Work};
use airlift_protocol::budget::Spent;
use airlift_protocol::codec;
use airlift_protocol::control::{ControlAnswer, ControlMessage, Members};
use airlift_protocol::error::{ErrorCode, Failure};
use airlift_protocol::figures::JobFigures;
use airlift_protocol::frame::{self, CatchUp};
use airlift_protocol::id::{JobId, NodeId};
use airlift_protocol::job::{JobSpec, Mode};
use airlift_protocol::limits::{JOBS_MEASURED_MAX, LOG_ENTRY_BYTES_MAX, TERM_MS};
use airlift_protocol::location::Location;
use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{OnceCell, mpsc};
use tokio::time::Instant;

use self::opened::Opened;
use self::spending::Spending;
use self::timing::Timing;
use super::archive::Archive;
use super::ask::Asker;
use super::directory::{Directory, remove};
use super::shares::ShareBook;
use super::spans;
use crate::inventory::Inventory;
use crate::metrics::snapshot::Measured;
use crate::network::control::{ControlNetwork, RequestError};
use crate::network::data::remote::{RemoteSource, Route};
use crate::network::data::serve::{Served, Shelf};
use crate::network::data::{DataNetwork, FrameWriter};
use crate::pipeline::Transfer;
use crate::pipeline::bounds::Bounds;
use crate::pipeline::budget::Budget;
use crate::pipeline::compress::{Compression, Encoder};
use crate::pipeline::local::LocalSource;
use crate::pipeline::meter::{JobMeters, Tally};
use crate::pipeline::places::Places;
use crate::pipeline::requests::counted;
use crate::pipeline::rivals::{self, Rivals};
use crate::pipeline::slots::{Slots, takes_slot};
use crate::pipeline::source::Source;
use crate::runtime::blocking::blocking;
use crate::runtime::clock;
use crate::runtime::executor::{Executor, HandedIn, caught};
use crate::runtime::filter::Filter;
use crate::storage::journal::Journal;
use crate::store::fence::{Fence, Term};
use crate::store::locate;
use crate::store::pace::Paces;
use crate::store::settings::StoreOptions;
use crate::store::{Access, Handling, Store, StoreError};
use crate::traces::{Subject, Tracer};

/// Time for another node to say what a job is.
const FIND_TIMEOUT: Duration = Duration::from_secs(5);

/// Jobs of which there is only a directory that are told to the leader at once.
const ON_DISK_TOLD_MAX: usize = 1024;

/// How a workshop is set up.
pub(super) struct Setup {
    pub(super) node: NodeId,
    pub(super) directory: Directory,
    pub(super) stores: StoreOptions,
    pub(super) control: Arc<ControlNetwork>,
    pub(super) asker: Asker,
    /// Orders that move or read objects at once, at most; others wait for their turn.
    pub(super) slots: usize,
    /// Bytes that the pipeline may hold at once.
    pub(super) memory_bytes: u64,
    pub(super) outcomes: mpsc::Sender<HandedIn>,
    /// Takes what is done as spans.
    pub(super) tracer: Tracer,
}

/// What all jobs of this node share.
pub(super) struct Workshop {
    setup: Setup,
    turns: Places,
    slots: Mutex<Slots>,
    begun: Instant,
    /// Bound on the bytes that are received.
    receiving: Budget,
    /// Bound on the bytes that are read for others. Were it the same, two nodes that read from each
    /// other could wait for each other for ever.
    serving: Budget,
    term: Arc<Term>,
    members: Mutex<Members>,
    leader: Mutex<Option<NodeId>>,
    jobs: Mutex<BTreeMap<JobId, Arc<Job>>>,
    /// What was counted of jobs that were let go. Locked after the jobs.
    let_go: Mutex<Tally>,
    /// What was said of budgets.
    spending: Mutex<Spending>,
    timing: Timing,
    /// Jobs with a directory here, worked on by this process or not.
    on_disk: Mutex<BTreeSet<JobId>>,
    /// What may be moved of bandwidths that are shared.
    pub(super) shares: ShareBook,
    /// On a voter, once its log is open.
    pub(super) archive: OnceLock<Archive>,
}

impl fmt::Debug for Workshop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workshop").field("node", &self.setup.node).finish_non_exhaustive()
    }
}

/// A job as far as this node has to do with it.
#[derive(Debug)]
struct Job {
    id: JobId,
    /// Counts submissions, each with a policy of its own.
    run: u32,
    spec: Arc<JobSpec>,
    filter: Arc<Filter>,
    meters: JobMeters,
    /// What its chunks are encoded with for other nodes.
    encoder: Arc<Encoder>,
    fence: Fence,
    source: Opened,
    /// Names of the source that a target takes for one, once they may be asked for.
    rivals: tokio::sync::Mutex<Option<Arc<Rivals>>>,
    target: Opened,
    journal: OnceCell<Arc<Journal>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Workshop {
    pub(super) fn new(setup: Setup) -> Self {
        let half = setup.memory_bytes / 2;
        let slots = Slots::new(setup.slots);
        let on_disk = setup.directory.jobs().unwrap_or_else(|error| {
            tracing::warn!(%error, "journals of earlier jobs stay where they are");
            BTreeSet::new()
        });
        Self {
            turns: Places::new(slots.now()),
            slots: Mutex::new(slots),
            begun: clock::now(),
            setup,
            on_disk: Mutex::new(on_disk),
            receiving: Budget::new(half),
            serving: Budget::new(half),
            term: Arc::new(Term::begin()),
            members: Mutex::new(Members { version: 0, members: Vec::new() }),
            leader: Mutex::new(None),
            jobs: Mutex::new(BTreeMap::new()),
            let_go: Mutex::default(),
            spending: Mutex::default(),
            timing: Timing::new(),
            shares: ShareBook::new(),
            archive: OnceLock::new(),
        }
    }

    /// Bound on the bytes that are read for others.
    pub(super) fn serving(&self) -> Budget {
        self.serving.clone()
    }

    /// Learns who belongs to the cluster.
    pub(super) fn set_members(&self, members: Members) {
        *locked(&self.members) = members;
    }

    /// Learns whom to ask about jobs: a node that has shown that it leads.
    pub(super) fn set_leader(&self, leader: Option<NodeId>) {
        *locked(&self.leader) = leader;
    }

    /// How hard buckets are worked.
    pub(super) fn paces(&self) -> &Paces {
        &self.setup.stores.paces
    }

    /// Orders that move or read objects at once.
    pub(super) fn slots(&self) -> usize {
        locked(&self.slots).now()
    }

    /// Works on more orders at once where that moves more, and on fewer where it does not; `way` is a round
    /// trip to the farthest node that is read from now. Returns whether another number is wanted than before.
    pub(super) fn look_at_slots(&self, way: Option<Duration>) -> bool {
        let verified = |job: &Arc<Job>| job.meters.moving.verified();
        let bytes = locked(&self.jobs).values().map(verified).sum();
        let mut slots = locked(&self.slots);
        let has_way_changed = way.is_some_and(|way| slots.set_way(way));
        let has_changed = slots.look(clock::now() - self.begun, bytes, self.turns.taken());
        self.turns.set(slots.now());
        has_way_changed || has_changed
    }

    /// Bytes verified and written since the process started, by job: of every job of which there is
    /// something here, but for those on disk beyond [`ON_DISK_TOLD_MAX`].
    pub(super) fn written(&self) -> Vec<(JobId, u64)> {
        let on_disk = locked(&self.on_disk);
        let jobs = locked(&self.jobs);
        let idle = on_disk.iter().filter(|id| !jobs.contains_key(id)).take(ON_DISK_TOLD_MAX);
        let idle = idle.map(|id| (*id, 0));
        let sent = |job: &Job| job.meters.moving.sent.load(Ordering::Relaxed);
        jobs.iter().map(|(id, job)| (*id, sent(job))).chain(idle).collect()
    }

    /// What the next sign of life says of what was used of budgets since the process, or a job's work here,
    /// began.
    pub(super) fn spent(&self) -> Vec<Spent> {
        let jobs = locked(&self.jobs);
        let words = jobs.iter().map(|(id, job)| job.meters.spent(*id)).collect();
        drop(jobs);
        locked(&self.spending).choose(words, clock::now())
    }

    /// Lets go of jobs that are over, unless a later run has been heard of. May block.
    pub(super) fn forget(&self, over: &[(JobId, u32)]) {
        for (id, run) in over {
            // Held while the directory is taken away: another run then makes a new one.
            let mut on_disk = locked(&self.on_disk);
            let mut jobs = locked(&self.jobs);
            if jobs.get(id).is_some_and(|job| job.run > *run) {
                continue;
            }
            if let Some(job) = jobs.remove(id) {
                let mut let_go = locked(&self.let_go);
                *let_go = let_go.plus(job.meters.tally());
            }
            drop(jobs);
            if !on_disk.remove(id) {
                continue;
            }
            let retired = self.setup.directory.retire_job(*id);
            drop(on_disk);
            let removed = retired.and_then(|path| path.map_or(Ok(()), |path| remove(&path)));
            if let Err(error) = removed {
                tracing::warn!(job = %id, %error, "the journal of a job that is over stays");
            }
        }
    }

    /// The leader has answered what was said to it at `said`: this node's leases last for another
    /// while. Returns whether they had lapsed: then no order from before is carried out any more.
    pub(super) fn heard(&self, said: Duration) -> bool {
        let has_lapsed = self.term.extend(said + Duration::from_millis(TERM_MS));
        if has_lapsed {
            // The stores of before stay closed; what was found out about the jobs still holds.
            for job in locked(&self.jobs).values_mut() {
                *job = Arc::new(job.in_new_term(&self.term));
            }
        }
        has_lapsed
    }

    /// What was measured of the jobs that this node has lately worked on.
    pub(super) fn figures(&self) -> Vec<JobFigures> {
        let jobs = locked(&self.jobs);
        let figures = jobs.iter().filter_map(|(id, job)| job.meters.figures(*id));
        figures.take(JOBS_MEASURED_MAX).collect()
    }

    /// The same, with the run that each was measured in.
    pub(super) fn runs(&self) -> Vec<(Subject, JobFigures)> {
        let jobs = locked(&self.jobs);
        let figures = |(id, job): (&JobId, &Arc<Job>)| {
            Some((Subject::new(*id, job.run), job.meters.figures(*id)?))
        };
        jobs.iter().filter_map(figures).collect()
    }

    /// Takes what is done as spans.
    pub(super) fn tracer(&self) -> &Tracer {
        &self.setup.tracer
    }

    /// What all jobs together were worked on since the process started, and how long that took.
    pub(super) fn measure(&self, measured: &mut Measured) {
        let jobs = locked(&self.jobs);
        let tallies = jobs.values().map(|job| job.meters.tally());
        measured.tally = tallies.fold(*locked(&self.let_go), Tally::plus);
        drop(jobs);
        measured.slots_taken = self.turns.taken() as u64;
        self.timing.measure(measured);
    }

    fn insert(&self, spec: JobSpec, run: u32) -> Result<Arc<Job>, Failure> {
        let id = spec.id();
        let mut jobs = locked(&self.jobs);
        if let Some(job) = jobs.get(&id).filter(|job| job.run >= run) {
            return Ok(Arc::clone(job));
        }
        // A second journal at the same file would be refused, and counters only grow.
        let earlier = jobs.get(&id).map(|job| (job.journal.clone(), job.meters.clone()));
        let (journal, meters) = earlier.unwrap_or_default();
        let filter =
            Filter::new(&spec.filters).map_err(|text| Failure::new(ErrorCode::Protocol, text))?;
        let encoder = Arc::new(Encoder::adaptive(Arc::clone(&meters.serving)));
        let job = Arc::new(Job {
            id,
            run,
            spec: Arc::new(spec),
            filter: Arc::new(filter),
            meters,
            encoder,
            fence: self.term.fence(),
            source: Opened::default(),
            rivals: tokio::sync::Mutex::default(),
            target: Opened::default(),
            journal,
        });
        jobs.insert(id, Arc::clone(&job));
        Ok(job)
    }

    fn known(&self, id: JobId, run: u32) -> Option<Arc<Job>> {
        locked(&self.jobs).get(&id).filter(|job| job.run >= run).map(Arc::clone)
    }

    /// The job as of its run: from this node's own state, or asked for at the leader.
    async fn job(&self, id: JobId, run: u32) -> Result<Arc<Job>, Failure> {
        if let Some(job) = self.known(id, run) {
            return Ok(job);
        }
        let look = self.setup.asker.look(move |sight| {
            let job = sight.coordinator?.state().jobs.get(&id)?;
            Some((job.spec.clone(), job.run))
        });
        if let Ok(Some((spec, known))) = look.await
            && known >= run
        {
            return self.insert(spec, known);
        }
        let unknown = |why: &dyn fmt::Display| {
            Failure::new(
                ErrorCode::NodeLost,
                format!("what job {id} is cannot be found out: {why}"),
            )
        };
        let leader = *locked(&self.leader);
        let leader = leader.ok_or_else(|| unknown(&"no leader is known"))?;
        let ask = |question: &ControlMessage| {
            let question = Bytes::from(codec::encode(question));
            self.setup.control.request(leader, question, FIND_TIMEOUT)
        };
        let answer = match ask(&ControlMessage::FindRun(id)).await {
            // An older build does not read this question, and answers another one without the run.
            Err(RequestError::Unanswered) => ask(&ControlMessage::FindJob(id)).await,
            answer => answer,
        };
        let answer = answer.map_err(|error| unknown(&error))?;
        match codec::decode(&answer, LOG_ENTRY_BYTES_MAX) {
            // Under an earlier run's filters and policy, what this one keeps could be deleted.
            Ok(ControlAnswer::Run(Some((known, _)))) if known < run => {
                Err(unknown(&"the leader has not heard of this run"))
            }
            Ok(ControlAnswer::Run(Some((known, spec)))) => self.insert(*spec, known),
            Ok(ControlAnswer::Job(Some(spec))) => self.insert(*spec, run),
            _ => Err(unknown(&"the leader does not know it")),
        }
    }

    /// Whether `location` is opened on this node.
    fn reaches(&self, location: &Location) -> bool {
        let members = locked(&self.members);
        let own = members.members.iter().find(|member| member.id == self.setup.node);
        own.is_some_and(|member| location.is_open_to(member.name.as_str()))
    }

    async fn open(&self, job: &Job, end: End) -> Result<Arc<dyn Store>, StoreError> {
        let policy = &job.spec.policy;
        let (location, handling, access) = match end {
            End::Source => (&job.spec.source, Handling::of_source(policy), Some(Access::Read)),
            End::Target => {
                let writes = job.spec.mode != Mode::Verify && !policy.dry_run;
                (&job.spec.target, Handling::of_target(), writes.then_some(Access::Write))
            }
        };
        if !self.reaches(location) {
            let text = format!("{location} is not on this node");
            return Err(StoreError::new(ErrorCode::NodeLost, text));
        }
        let store =
            locate::open(&here(location), job.id, handling, job.fence.clone(), &self.setup.stores)
                .await?;
        job.meters.moving.watch(end, &*store);
        if end == End::Source {
            job.meters.serving.watch(end, &*store);
        }
        if let Some(access) = access {
            counted(Arc::clone(&job.meters.moving), store.preflight(access)).await?;
        }
        Ok(store)
    }

    async fn source_store(&self, job: &Job) -> Result<Arc<dyn Store>, StoreError> {
        job.source.get_or_open(|| self.open(job, End::Source)).await
    }

    /// Names of the job's source that a target takes for one, to be looked for. What an inventory says
    /// matters only to whoever asks: nobody else is kept from work by one that cannot be had.
    async fn rivals(&self, job: &Job) -> Arc<Rivals> {
        let mut kept = job.rivals.lock().await;
        if let Some(rivals) = kept.as_ref().filter(|rivals| !rivals.is_void()) {
            return Arc::clone(rivals);
        }
        let inventory = match self.inventory(job).await {
            // A listing says more than an inventory that is elsewhere: rivals that are not moved.
            Err(error) if error.code == ErrorCode::LocationMissing => Ok(None),
            inventory => inventory,
        };
        let rivals = Arc::new(Rivals::among(rivals::Names {
            inventory,
            filter: Arc::clone(&job.filter),
            spec: Arc::clone(&job.spec),
            scratch: self.setup.directory.job_path(job.id),
        }));
        *kept = Some(Arc::clone(&rivals));
        rivals
    }

    /// What is read in place of a listing of the job's source.
    async fn inventory(&self, job: &Job) -> Result<Option<Inventory>, StoreError> {
        let Some(file) = &job.spec.policy.inventory else { return Ok(None) };
        if !self.reaches(&file.location) {
            let text = format!("the inventory {} is not on this node", file.location);
            return Err(StoreError::new(ErrorCode::LocationMissing, text));
        }
        let (location, source) = (here(&file.location), job.spec.source.clone());
        let (directory, id) = (self.setup.directory.clone(), job.id);
        let scratch = blocking(move || directory.job(id)).await?;
        let stores = &self.setup.stores;
        let opening = Inventory::open(file.form, &location, source, job.id, scratch, stores);
        let inventory = counted(Arc::clone(&job.meters.moving), opening).await?;
        // It stands for the listing of the source, wherever it lies.
        for meter in [&job.meters.moving, &job.meters.serving] {
            meter.watch(End::Source, &*inventory.store);
        }
        Ok(Some(inventory))
    }

    async fn target_store(&self, job: &Job) -> Result<Arc<dyn Store>, StoreError> {
        job.target.get_or_open(|| self.open(job, End::Target)).await
    }

    async fn journal(&self, job: &Job) -> Result<Arc<Journal>, StoreError> {
        let open = || async {
            let (directory, id) = (self.setup.directory.clone(), job.id);
            let opened = blocking(move || Journal::open(&directory.job(id)?.join("journal.redb")));
            let journal = opened.await.map(Arc::new);
            // Whatever came of it: the directory may be there now.
            locked(&self.on_disk).insert(id);
            journal
        };
        job.journal.get_or_try_init(open).await.cloned()
    }

    /// Carries out an attempt and hands in its outcome.
    pub(super) async fn carry_out(
        self: Arc<Self>,
        data: Arc<DataNetwork>,
        assignment: Assignment,
        attempt: u32,
    ) {
        let id = assignment.id;
        let mut span = spans::begin(&self.setup.tracer, &assignment, attempt);
        let arrived = clock::now();
        let _turn = match takes_slot(&assignment.work) {
            true => Some(self.timing.waiting(self.turns.take()).await),
            false => None,
        };
        let _time = self.timing.attempt(&assignment.work);
        let shard = spans::Shard::of(&assignment.work, &span, arrived);
        match caught(Box::pin(self.executor(data, &assignment))).await {
            Ok(executor) => {
                if let Some(code) = executor.run(id, attempt, assignment.work).await {
                    span.fail(code.as_str());
                }
                shard.end(&span);
            }
            Err(failure) => {
                span.fail(failure.code.as_str());
                let (assignment, result) = (id, Err(failure));
                let outcome =
                    HandedIn { assignment, attempt, result, wire_bytes: 0, recorded: None };
                // Nobody takes it when the node is stopping.
                let _ = self.setup.outcomes.send(outcome).await;
            }
        }
    }

    async fn executor(
        &self,
        data: Arc<DataNetwork>,
        assignment: &Assignment,
    ) -> Result<Executor, Failure> {
        let job = self.job(assignment.job, assignment.run).await?;
        let (spec, filter) = (Arc::clone(&job.spec), Arc::clone(&job.filter));
        let outcomes = self.setup.outcomes.clone();
        if let Work::List { end: End::Source, .. } = &assignment.work {
            let source = Some(self.source_store(&job).await?);
            let inventory = self.inventory(&job).await?;
            let meter = Arc::clone(&job.meters.moving);
            return Ok(Executor {
                spec,
                transfer: None,
                source,
                inventory,
                filter,
                meter,
                outcomes,
            });
        }
        let limit = self.shares.limit(assignment.into());
        let (budget, meter) = (self.receiving.clone(), Arc::clone(&job.meters.moving));
        let bounds = Bounds { budget, limit: Some(limit), meter: Arc::clone(&meter) };
        let transfer = Transfer {
            spec: Arc::clone(&spec),
            source: self.source(data, &job, assignment, &bounds).await?,
            target: self.target_store(&job).await?,
            journal: self.journal(&job).await?,
            bounds,
            meter: Arc::clone(&meter),
        };
        let transfer = Some(transfer);
        Ok(Executor { spec, transfer, source: None, inventory: None, filter, meter, outcomes })
    }

    async fn source(
        &self,
        network: Arc<DataNetwork>,
        job: &Job,
        assignment: &Assignment,
        bounds: &Bounds,
    ) -> Result<Arc<dyn Source>, Failure> {
        if assignment.source.is_none() && self.reaches(&job.spec.source) {
            return Ok(Arc::new(LocalSource {
                store: self.source_store(job).await?,
                bounds: bounds.clone(),
                encoder: Arc::new(Encoder::fixed(Compression::Off)),
                rivals: Some(self.rivals(job).await),
                faults: None,
            }));
        }
        // An order that needs nothing of the source names nobody to read it; asked after all, this
        // way leads nowhere, and the answer says so.
        let node = assignment.source.unwrap_or(self.setup.node);
        let addresses = data_addresses(&locked(&self.members), node);
        let route = Route { network, node, addresses };
        let Assignment { id, job, epoch, .. } = *assignment;
        let order = frame::Order { job, assignment: id, epoch };
        Ok(Arc::new(RemoteSource::new(route, order, bounds.clone())))
    }
}

impl Job {
    /// The same job, with stores that are not open yet.
    fn in_new_term(&self, term: &Arc<Term>) -> Self {
        Self {
            id: self.id,
            run: self.run,
            spec: Arc::clone(&self.spec),
            filter: Arc::clone(&self.filter),
            meters: self.meters.clone(),
            encoder: Arc::clone(&self.encoder),
            fence: term.fence(),
            source: Opened::default(),
            rivals: tokio::sync::Mutex::default(),
            target: Opened::default(),
            journal: self.journal.clone(),
        }
    }
}

/// Orders that a node with so many slots asks for: some more than it carries out, so that the next one is
/// there when one has ended, however far away the leader is.
pub(super) fn orders_wanted(slots: usize) -> usize {
    slots + slots.div_ceil(2)
}

/// Where the data plane of `node` is dialled.
pub(super) fn data_addresses(members: &Members, node: NodeId) -> Vec<SocketAddr> {
    let member = members.members.iter().find(|member| member.id == node);
    let addresses = member.map(|member| member.addresses.data.as_slice()).unwrap_or_default();
    addresses.iter().filter_map(|address| address.0.parse().ok()).collect()
}

/// A location of this node as its stores know it.
pub(super) fn here(location: &Location) -> Location {
    match location {
        Location::Node { path, .. } => Location::Path(path.clone()),
        other => other.clone(),
    }
}

#[async_trait]
impl Shelf for Workshop {
    async fn source(&self, id: JobId) -> Result<Served, Failure> {
        let job = self.job(id, 0).await?;
        let meter = Arc::clone(&job.meters.serving);
        // The job's bandwidth is bounded where its bytes arrive.
        let bounds =
            Bounds { budget: self.serving.clone(), limit: None, meter: Arc::clone(&meter) };
        let source = Arc::new(LocalSource {
            store: self.source_store(&job).await?,
            bounds,
            encoder: Arc::clone(&job.encoder),
            rivals: Some(self.rivals(&job).await),
            faults: None,
        });
        Ok(Served { source, meter })
    }

    async fn catch_up(
        &self,
        peer: NodeId,
        wanted: CatchUp,
        frames: &mut FrameWriter,
    ) -> Result<(), Failure> {
        let is_voter = {
            let members = locked(&self.members);
            let asker = members.members.iter().find(|member| member.id == peer);
            asker.is_some_and(|member| member.raft.is_some())
        };
        let archive = self.archive.get().filter(|_| is_voter).ok_or_else(|| {
            Failure::new(ErrorCode::Unauthorized, "only voters hand on the state, and to voters")
        })?;
        archive.serve(wanted, frames).await
    }

    fn beckon(&self, peer: NodeId) -> bool {
        self.setup.control.send(peer, Bytes::from(codec::encode(&ControlMessage::Dial)));
        true
    }
}

#[cfg(test)]
mod tests;
