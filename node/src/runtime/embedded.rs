//! A whole cluster in one process: one coordinator, one agent, one pipeline, no socket.
//!
//! ```text
//!  log file ◀─Persist── Coordinator ──Assign──▶ Agent ──Start──▶ Executor ──▶ pipeline
//!      └────Persisted──▶     ▲ ◀────Report────────┘ ◀──Outcome──────┘
//! ```

mod state;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use airlift_coordinator::event::{Event, Outcome};
use airlift_coordinator::log::Batch;
use airlift_coordinator::origin::Actor;
use airlift_coordinator::totals::Totals;
use airlift_coordinator::{
    Agent, AgentEffect, AgentInput, Coordinator, Effect, Input, Request, RequestId,
};
use airlift_protocol::assignment::End;
use airlift_protocol::cluster::{Addresses, Boot};
use airlift_protocol::control::Heartbeat;
use airlift_protocol::error::{ErrorCode, Failure};
use airlift_protocol::id::{AssignmentId, JobId, NodeId};
use airlift_protocol::job::{JobSpec, Mode};
use airlift_protocol::time::Timestamp;
use airlift_protocol::version::Formats;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};

use self::state::StateDir;
use super::again::again;
use super::clock;
use super::executor::{Executor, HandedIn};
use super::filter::Filter;
use crate::inventory::Inventory;
use crate::pipeline::bounds::Bounds;
use crate::pipeline::budget::Budget;
use crate::pipeline::compress::{Compression, Encoder};
use crate::pipeline::limit::{Flow, RateLimit};
use crate::pipeline::local::LocalSource;
use crate::pipeline::meter::{JobMeters, Meter};
use crate::pipeline::requests::counted;
use crate::pipeline::rivals::{self, Rivals};
use crate::pipeline::slots::{Slots, takes_slot};
use crate::pipeline::{FaultHook, Transfer, server};
use crate::storage::log::LogFile;
use crate::store::fence::Fence;
use crate::store::locate;
use crate::store::settings::StoreOptions;
use crate::store::{Access, Handling, Store, StoreError};

/// How a job is run in this process.
#[derive(Clone, Debug)]
pub struct EmbeddedOptions {
    /// Directory of the state; each job has a directory of its own below `jobs/`.
    pub state_dir: PathBuf,
    /// How stores are reached.
    pub stores: StoreOptions,
    /// Assignments at once, at most.
    pub slots: usize,
    /// Bytes that the pipeline may hold at once.
    pub memory_bytes: u64,
    /// Alters chunks on their way; set by tests only.
    pub faults: Option<Arc<dyn FaultHook>>,
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobEnd {
    /// Completed or stopped.
    pub outcome: Outcome,
    /// The numbers.
    pub totals: Totals,
}

/// Whether the request was wrong or could not be carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The request itself is wrong: exit code 2.
    Usage,
    /// The request is right, but could not be carried out: exit code 3.
    CannotRun,
}

/// Why a job could not begin, or not go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunError {
    /// Whose fault.
    pub kind: ErrorKind,
    /// One line that names the thing and the way out.
    pub message: String,
}

impl std::fmt::Display for RunError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for RunError {}

impl RunError {
    /// The request itself is wrong.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Usage, message: message.into() }
    }

    /// The request is right, but could not be carried out.
    pub fn cannot_run(message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::CannotRun, message: message.into() }
    }
}

impl From<StoreError> for RunError {
    fn from(error: StoreError) -> Self {
        Self::cannot_run(error.detail())
    }
}

/// Outcomes on their way to the agent; each may be a manifest page.
const OUTCOMES_MAX: usize = 4;

/// Time between two looks at whether more orders at once would move more.
const LOOK_PERIOD: Duration = Duration::from_millis(250);

/// Runs one job to its end in this process. `events` must be drained; `stop` turning true stops
/// the job where it is, so that it can be run again.
///
/// # Errors
/// When a location cannot be used, or the state cannot be read or written.
pub async fn run(
    spec: JobSpec,
    options: EmbeddedOptions,
    meter: Arc<Meter>,
    events: mpsc::Sender<Event>,
    stop: watch::Receiver<bool>,
) -> Result<JobEnd, RunError> {
    let (job, stores) = (spec.id(), &options.stores);
    let (here, there) = (Handling::of_source(&spec.policy), Handling::of_target());
    let ends = Ends {
        source: locate::open(&spec.source, job, here, Fence::default(), stores).await?,
        target: locate::open(&spec.target, job, there, Fence::default(), stores).await?,
    };
    run_between(ends, spec, options, meter, events, stop).await
}

/// The stores at the two ends of a job.
#[derive(Clone, Debug)]
pub struct Ends {
    /// Where objects are read.
    pub source: Arc<dyn Store>,
    /// Where objects go.
    pub target: Arc<dyn Store>,
}

/// As [`run`], between stores that are open.
///
/// # Errors
/// As [`run`].
pub async fn run_between(
    ends: Ends,
    spec: JobSpec,
    options: EmbeddedOptions,
    meter: Arc<Meter>,
    events: mpsc::Sender<Event>,
    stop: watch::Receiver<bool>,
) -> Result<JobEnd, RunError> {
    let filter = Arc::new(Filter::new(&spec.filters).map_err(RunError::usage)?);
    let job = spec.id();
    let Ends { source, target } = ends;
    meter.watch(End::Source, &*source);
    meter.watch(End::Target, &*target);
    counted(Arc::clone(&meter), again(|| source.preflight(Access::Read))).await?;
    server::check(&spec.policy, &*source, &*target)
        .map_err(|failure| RunError::cannot_run(failure.detail()))?;
    // A target that nothing is written to need not exist: everything is missing there.
    if spec.mode != Mode::Verify && !spec.policy.dry_run {
        counted(Arc::clone(&meter), again(|| target.preflight(Access::Write))).await?;
    }
    let state = StateDir::open(&options.state_dir, job).await?;
    let bounds = bounds(&spec, options.memory_bytes, &meter);
    let inventory = inventory(&spec, &state, &options.stores, &meter).await?;
    let spec = Arc::new(spec);
    let names = rivals::Names {
        inventory: Ok(inventory.clone()),
        filter: Arc::clone(&filter),
        spec: Arc::clone(&spec),
        scratch: state.path().to_owned(),
    };
    let local_source = LocalSource {
        store: Arc::clone(&source),
        bounds: bounds.clone(),
        encoder: Arc::new(Encoder::fixed(Compression::Off)),
        rivals: Some(Arc::new(Rivals::among(names))),
        faults: options.faults,
    };
    let transfer = Transfer {
        source: Arc::new(local_source),
        target,
        journal: Arc::clone(&state.journal),
        bounds,
        meter: Arc::clone(&meter),
        spec: Arc::clone(&spec),
    };
    let (outcome_sender, outcomes) = mpsc::channel(OUTCOMES_MAX);
    let executor = Executor {
        spec: Arc::clone(&spec),
        transfer: Some(transfer),
        source: Some(source),
        inventory,
        filter,
        meter: Arc::clone(&meter),
        outcomes: outcome_sender,
    };
    let coordinator = state.replay().await?;
    let work = (Slots::new(options.slots), meter);
    let mut driver = Driver::new(coordinator, &state, executor, work, events);
    let end = driver.run(JobSpec::clone(&spec), outcomes, stop).await;
    driver.abort();
    drop(driver);
    let end = end?;
    match end.outcome {
        Outcome::Completed { .. } => state.remove().await?,
        _ => state.keep().await?,
    }
    tracing::debug!(%job, ?end, "job has ended");
    Ok(end)
}

/// What is read in place of a listing of the source.
async fn inventory(
    spec: &JobSpec,
    state: &StateDir,
    stores: &StoreOptions,
    meter: &Arc<Meter>,
) -> Result<Option<Inventory>, StoreError> {
    let Some(file) = &spec.policy.inventory else { return Ok(None) };
    let (source, scratch) = (spec.source.clone(), state.path().to_owned());
    let opening = Inventory::open(file.form, &file.location, source, spec.id(), scratch, stores);
    let inventory = counted(Arc::clone(meter), opening).await?;
    // It stands for the listing of the source, wherever it lies.
    meter.watch(End::Source, &*inventory.store);
    Ok(Some(inventory))
}

/// What bounds the reading of a job.
fn bounds(spec: &JobSpec, memory_bytes: u64, meter: &Arc<Meter>) -> Bounds {
    let limit = spec.policy.bandwidth.as_ref().map(|bandwidth| {
        let flow = Flow::from(bandwidth.limit_at(clock::wall()));
        Arc::new(RateLimit::with(flow, None))
    });
    Bounds { budget: Budget::new(memory_bytes), limit, meter: Arc::clone(meter) }
}

/// What the disk answers to an effect.
type DiskAnswer = Result<Input, StoreError>;

/// Carries out the effects of the two state machines.
struct Driver {
    coordinator: Coordinator,
    agent: Agent,
    node: NodeId,
    slots: Slots,
    meter: Arc<Meter>,
    /// As a whole, since the process works alone.
    meters: JobMeters,
    executor: Executor,
    log: Arc<LogFile>,
    events: mpsc::Sender<Event>,
    /// Reads and writes of the log under way; at most one write.
    disk: FuturesUnordered<BoxFuture<'static, DiskAnswer>>,
    tasks: BTreeMap<AssignmentId, Task>,
    started: Instant,
    end: Option<JobEnd>,
}

/// An attempt that is carried out.
struct Task {
    attempt: u32,
    handle: JoinHandle<Option<ErrorCode>>,
    takes_slot: bool,
    /// Of a listing: whom to tell that what it handed in is on record.
    recorded: Option<oneshot::Sender<()>>,
}

impl Driver {
    fn new(
        coordinator: Coordinator,
        state: &StateDir,
        executor: Executor,
        (slots, meter): (Slots, Arc<Meter>),
        events: mpsc::Sender<Event>,
    ) -> Self {
        // The only node of its cluster: any fixed name serves. The seed of its retries need not
        // be secret either, only different from one run to the next.
        let node = NodeId([0; 32]);
        let seed = clock::wall().0;
        let boot = Boot(seed);
        Self {
            coordinator,
            agent: Agent::new(Timestamp(0), seed, boot),
            node,
            slots,
            meters: JobMeters::alone(Arc::clone(&meter)),
            meter,
            executor,
            log: Arc::clone(&state.log),
            events,
            disk: FuturesUnordered::new(),
            tasks: BTreeMap::new(),
            started: clock::now(),
            end: None,
        }
    }

    async fn run(
        &mut self,
        spec: JobSpec,
        mut outcomes: mpsc::Receiver<HandedIn>,
        mut stop: watch::Receiver<bool>,
    ) -> Result<JobEnd, RunError> {
        let job = spec.id();
        let mut looks = tokio::time::interval(LOOK_PERIOD);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.ask(Request::Submit(Box::new(spec))).await?;
        self.feed_agent(AgentInput::Timeout).await?;
        let mut is_stopping = false;
        loop {
            if let Some(end) = self.end.take() {
                return Ok(end);
            }
            let timeout = self.deadline();
            tokio::select! {
                biased;
                Some(answer) = self.disk.next() => self.feed(answer?).await?,
                Some(outcome) = outcomes.recv(), if !self.is_congested() => {
                    self.take(outcome).await?;
                }
                changed = stop.changed(), if !is_stopping => {
                    // The sender going away means nobody can ask for a stop any more.
                    is_stopping = true;
                    if changed.is_ok() && *stop.borrow() {
                        self.ask(Request::Stop(job, interrupted())).await?;
                    }
                }
                _ = looks.tick() => {
                    self.keep_schedule();
                    self.look_at_slots().await?;
                }
                () = tokio::time::sleep_until(timeout) => {
                    self.feed_agent(AgentInput::Timeout).await?;
                    self.feed(Input::Timeout).await?;
                }
            }
        }
    }

    /// Lets pass what the job's bandwidth allows now.
    fn keep_schedule(&self) {
        let bounds = self.executor.transfer.as_ref().map(|transfer| &transfer.bounds);
        let limit = bounds.and_then(|bounds| bounds.limit.as_ref());
        if let Some((limit, bandwidth)) = limit.zip(self.executor.spec.policy.bandwidth.as_ref()) {
            limit.set(Flow::from(bandwidth.limit_at(clock::wall())));
        }
    }

    /// Asks for more orders at once where that moves more, and for fewer where it does not.
    async fn look_at_slots(&mut self) -> Result<(), RunError> {
        let is_at_work = |task: &&Task| task.takes_slot && !task.handle.is_finished();
        let in_work = self.tasks.values().filter(is_at_work).count();
        let now = clock::now() - self.started;
        match self.slots.look(now, self.meter.verified(), in_work) {
            true => self.feed_agent(AgentInput::Beat).await,
            false => Ok(()),
        }
    }

    fn now(&self) -> Timestamp {
        let elapsed = clock::now() - self.started;
        Timestamp(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
    }

    fn deadline(&self) -> Instant {
        let timeouts = [self.coordinator.poll_timeout(), self.agent.poll_timeout()];
        let next = timeouts.into_iter().flatten().min().unwrap_or_else(|| self.now().plus(1000));
        self.started + Duration::from_millis(next.0)
    }

    fn is_congested(&self) -> bool {
        self.coordinator.is_congested() || self.agent.is_congested()
    }

    /// Asks for something. The answer says no more than what observers hear anyway.
    async fn ask(&mut self, request: Request) -> Result<(), RunError> {
        self.feed(Input::Request { id: RequestId(0), request, by: Actor::Root, at: clock::wall() })
            .await
    }

    async fn feed(&mut self, input: Input) -> Result<(), RunError> {
        self.coordinator.handle(self.now(), input);
        self.drain().await
    }

    async fn feed_agent(&mut self, input: AgentInput) -> Result<(), RunError> {
        self.agent.handle(self.now(), input);
        self.drain().await
    }

    /// Hands on what an attempt has handed in.
    async fn take(&mut self, handed: HandedIn) -> Result<(), RunError> {
        let HandedIn { assignment, attempt, result, wire_bytes, recorded } = handed;
        let task = self.tasks.get_mut(&assignment).filter(|task| task.attempt == attempt);
        if let Some(task) = task {
            task.recorded = recorded;
        }
        self.feed_agent(AgentInput::Outcome { assignment, attempt, result, wire_bytes }).await
    }

    /// Carries out effects until neither machine has any. Ends, since each effect that feeds the
    /// other machine answers an order, and orders come only from what the disk made durable.
    async fn drain(&mut self) -> Result<(), RunError> {
        loop {
            if let Some(effect) = self.coordinator.poll_effect() {
                self.carry_out(effect).await;
            } else if let Some(effect) = self.agent.poll_effect() {
                self.carry_out_agent(effect);
            } else {
                return Ok(());
            }
        }
    }

    async fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Persist { number, batch } => self.persist(number, batch),
            Effect::LoadPage { job, end, index, page: _ } => {
                let log = Arc::clone(&self.log);
                self.on_disk(move || {
                    let page = log.read_page(index)?;
                    Ok(Input::PageLoaded { job, end, page })
                });
            }
            Effect::Order { node: _, order } => {
                let now = self.now();
                self.agent.handle(now, AgentInput::Order(order));
            }
            Effect::Emit(event) => self.emit(event).await,
            // There is no one else: no members, and no second process at the same state.
            Effect::Answer { .. }
            | Effect::MembersChanged
            | Effect::Superseded { .. }
            | Effect::Unfit { .. }
            | Effect::Send { .. }
            | Effect::Forget { .. }
            | Effect::SaveSnapshot { .. }
            | Effect::FetchSnapshot { .. }
            | Effect::SnapshotTooLarge { .. }
            | Effect::Record { .. } => {}
        }
    }

    fn carry_out_agent(&mut self, effect: AgentEffect) {
        match effect {
            AgentEffect::Start { assignment, attempt } => {
                let executor = self.executor.clone();
                let (id, takes_slot) = (assignment.id, takes_slot(&assignment.work));
                let handle = tokio::spawn(executor.run(id, attempt, assignment.work));
                self.tasks.insert(id, Task { attempt, handle, takes_slot, recorded: None });
                self.tasks.retain(|_, task| !task.handle.is_finished());
            }
            AgentEffect::Cancel(assignment) => {
                if let Some(task) = self.tasks.remove(&assignment) {
                    task.handle.abort();
                }
            }
            AgentEffect::Recorded(assignment) => {
                let task = self.tasks.get_mut(&assignment);
                if let Some(recorded) = task.and_then(|task| task.recorded.take()) {
                    // It may have ended meanwhile.
                    let _ = recorded.send(());
                }
            }
            AgentEffect::Report(report) => {
                let now = self.now();
                self.coordinator.handle(now, Input::Report { node: self.node, report });
            }
            AgentEffect::Heartbeat { boot, held } => {
                let (now, at, heartbeat) = (self.now(), clock::wall(), self.beat(boot, held));
                let input = Input::Heartbeat { node: self.node, heartbeat, at };
                self.coordinator.handle(now, input);
            }
        }
    }

    fn beat(&self, boot: Boot, held: Vec<AssignmentId>) -> Heartbeat {
        Heartbeat {
            boot,
            addresses: Addresses::default(),
            slots: u32::try_from(self.slots.now()).unwrap_or(u32::MAX),
            held,
            written: Vec::new(),
            members_version: 0,
            version: String::new(),
            formats: Formats::BUILD,
            figures: Vec::new(),
            shares: None,
            gates: Vec::new(),
            spent: vec![self.meters.spent(self.executor.spec.id())],
        }
    }

    fn persist(&mut self, number: u64, batch: Batch) {
        let log = Arc::clone(&self.log);
        self.on_disk(move || match batch {
            Batch::Entries { first, entries } => {
                log.append(first, &entries)?;
                Ok(Input::Persisted { number })
            }
            Batch::Consensus(_) => {
                Err(StoreError::new(ErrorCode::Bug, "a process that works alone has no voters"))
            }
        });
    }

    fn on_disk(&mut self, work: impl FnOnce() -> DiskAnswer + Send + 'static) {
        self.disk.push(Box::pin(async move {
            match tokio::task::spawn_blocking(work).await {
                Ok(answer) => answer,
                Err(error) => Err(StoreError::new(ErrorCode::Bug, format!("disk task: {error}"))),
            }
        }));
    }

    async fn emit(&mut self, event: Event) {
        if let Event::JobEnded { outcome, totals, .. } = &event {
            self.end = Some(JobEnd { outcome: outcome.clone(), totals: *totals });
        }
        // Without observers there is nobody to tell; the job goes on.
        let _ = self.events.send(event).await;
    }

    /// Stops what still runs.
    fn abort(&mut self) {
        for task in self.tasks.values() {
            task.handle.abort();
        }
    }
}

fn interrupted() -> Failure {
    Failure::new(ErrorCode::Cancelled, "interrupted")
}

/// The directory below `state_dir` that holds the state of `job` while it is not complete.
pub fn job_dir(state_dir: &std::path::Path, job: JobId) -> PathBuf {
    state_dir.join("jobs").join(job.to_string())
}

#[cfg(test)]
mod tests;
