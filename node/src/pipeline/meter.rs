//! What the pipeline counts while it works: bytes for progress, and for each stage where the time
//! goes.
//!
//! Time is taken once for each chunk or batch that enters or leaves a stage, and what is in a stage
//! at the moment counts too: a chunk that waits for a minute is seen to wait.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use airlift_protocol::assignment::End;
use airlift_protocol::budget::{Spent, Usage};
use airlift_protocol::figures::{Figures, JobFigures, Stage, StageFigures};
use airlift_protocol::id::JobId;
use airlift_protocol::time::Timestamp;
use tokio::time::Instant;

use crate::runtime::clock;
use crate::store::Store;
use crate::store::pace::{Gate, Pace};

/// How long after its last order a job's figures are worth telling: longer than they are looked at.
const FRESH: Duration = Duration::from_secs(15);

/// Counts that only grow.
#[derive(Debug, Default)]
pub struct Meter {
    /// Bytes verified and written at the target.
    pub sent: AtomicU64,
    /// Objects written at the target.
    pub objects: AtomicU64,
    /// Bytes at the target that were not read, because a sum shows what they are.
    shown: AtomicU64,
    stages: [StageMeter; Stage::ALL.len()],
    /// Orders, or requests of other nodes, in work.
    orders: Stopwatch,
    orders_done: AtomicU64,
    /// Bytes read at the target.
    read_back: AtomicU64,
    /// Requests to the stores at the source and at the target.
    requests: [AtomicU64; 2],
    /// The gates of the stores at the ends.
    paces: Mutex<Vec<(End, Arc<Pace>)>>,
}

#[derive(Debug, Default)]
struct StageMeter {
    bytes: AtomicU64,
    busy: Stopwatch,
    wait: Stopwatch,
}

impl Meter {
    /// Counts the time in which requests to the store of `end` wait because it has asked for fewer.
    pub fn watch(&self, end: End, store: &dyn Store) {
        if let Some(pace) = store.pace() {
            self.watch_pace(end, pace);
        }
    }

    pub(super) fn watch_pace(&self, end: End, pace: &Arc<Pace>) {
        let mut paces = self.paces.lock().unwrap_or_else(PoisonError::into_inner);
        if !paces.iter().any(|(of, known)| *of == end && Arc::ptr_eq(known, pace)) {
            paces.push((end, Arc::clone(pace)));
        }
    }

    /// Whether requests of the job pass these gates.
    pub fn watches(&self, pace: &Arc<Pace>) -> bool {
        let paces = self.paces.lock().unwrap_or_else(PoisonError::into_inner);
        paces.iter().any(|(_, known)| Arc::ptr_eq(known, pace))
    }

    /// Counts a request that passes a gate. A store at both ends counts as the source: it has one price.
    pub(super) fn add_request(&self, gate: &Gate) {
        let mut paces = self.paces.lock().unwrap_or_else(PoisonError::into_inner);
        if !paces.iter().any(|(_, pace)| pace.owns(gate)) {
            // The first request to a prefix: how it is throttled is the job's from now on.
            let with = |(end, whole): &(End, Arc<Pace>)| Some((*end, whole.prefix_with(gate)?));
            let prefixes: Vec<(End, Arc<Pace>)> = paces.iter().filter_map(with).collect();
            paces.extend(prefixes);
        }
        if let Some((end, _)) = paces.iter().find(|(_, pace)| pace.owns(gate)) {
            self.requests[*end as usize].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts bytes read at the target.
    pub(super) fn add_read_back(&self, bytes: u64) {
        self.read_back.fetch_add(bytes, Ordering::Relaxed);
    }

    /// What of a budget was used.
    pub(super) fn usage(&self) -> Usage {
        let requests = |end| self.requests[end as usize].load(Ordering::Relaxed);
        Usage {
            source_bytes: self.stages[Stage::Source as usize].bytes.load(Ordering::Relaxed),
            target_bytes: self.read_back.load(Ordering::Relaxed),
            source_requests: requests(End::Source),
            target_requests: requests(End::Target),
        }
    }

    /// Bytes that were found to be what their source has, or not to be.
    pub fn verified(&self) -> u64 {
        let read = self.stages[Stage::Decode as usize].bytes.load(Ordering::Relaxed);
        read + self.shown.load(Ordering::Relaxed)
    }

    /// Counts bytes at the target that need not be read.
    pub fn add_shown(&self, bytes: u64) {
        self.shown.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts `bytes` as written.
    pub fn add_sent(&self, bytes: u64) {
        self.sent.fetch_add(bytes, Ordering::Relaxed);
        self.add_bytes(Stage::Target, bytes);
    }

    /// Counts `objects` as written.
    pub fn add_objects(&self, objects: u64) {
        self.objects.fetch_add(objects, Ordering::Relaxed);
    }

    /// Counts bytes that went through a stage.
    pub fn add_bytes(&self, stage: Stage, bytes: u64) {
        self.stages[stage as usize].bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// A stage is at work, until what this returns is dropped.
    pub fn busy(&self, stage: Stage) -> Span<'_> {
        self.stages[stage as usize].busy.enter()
    }

    /// A stage waits, until what this returns is dropped.
    pub fn wait(&self, stage: Stage) -> Span<'_> {
        self.stages[stage as usize].wait.enter()
    }

    /// An order is being carried out, until what this returns is dropped.
    pub fn order(&self) -> Span<'_> {
        self.orders.enter()
    }

    /// Counts an order that came to its end.
    pub fn add_order_done(&self) {
        self.orders_done.fetch_add(1, Ordering::Relaxed);
    }

    /// What all stages did so far, and how long requests waited because stores had asked for fewer.
    pub(super) fn figures(&self, now: Instant) -> Figures {
        let mut figures = self.stages(now);
        for (end, pace) in &*self.paces.lock().unwrap_or_else(PoisonError::into_inner) {
            let spared = match end {
                End::Source => pace.reads.spared(),
                End::Target => pace.reads.spared() + pace.writes.spared(),
            };
            figures.spare(*end, micros(spared));
        }
        figures
    }

    fn stages(&self, now: Instant) -> Figures {
        let mut figures = Figures::default();
        for (stage, meter) in Stage::ALL.into_iter().zip(&self.stages) {
            figures[stage] = StageFigures {
                bytes: meter.bytes.load(Ordering::Relaxed),
                busy_us: micros(meter.busy.read(now).sum),
                wait_us: micros(meter.wait.read(now).sum),
            };
        }
        figures
    }

    /// What was counted of `job`, as far as it is moved here.
    pub fn of_job(&self, job: JobId) -> JobFigures {
        let now = clock::now();
        JobFigures {
            job,
            active_us: micros(self.orders.read(now).any),
            orders: self.orders_done.load(Ordering::Relaxed),
            moving: self.figures(now),
            serving: Figures::default(),
        }
    }

    fn is_fresh(&self, now: Instant) -> bool {
        let orders = self.orders.read(now);
        orders.inside > 0 || orders.at.is_some_and(|at| now.saturating_duration_since(at) < FRESH)
    }
}

/// What a node counts of one job.
#[derive(Clone, Debug)]
pub struct JobMeters {
    /// When it began to count.
    since: Timestamp,
    /// Of what it moves itself.
    pub moving: Arc<Meter>,
    /// Of what it reads for other nodes.
    pub serving: Arc<Meter>,
}

impl Default for JobMeters {
    fn default() -> Self {
        Self { since: beginning(), moving: Arc::default(), serving: Arc::default() }
    }
}

/// When counting begins: the time on the wall, and in each process later than any time before. Whoever is told
/// takes what began later for the newer, and a clock may be set back, or stand still for as long as a job takes.
fn beginning() -> Timestamp {
    static LAST: Mutex<Timestamp> = Mutex::new(Timestamp(0));
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    *last = clock::wall().max(last.plus(1));
    *last
}

impl JobMeters {
    /// Those of a process that moves everything itself, by a meter that it has already.
    pub fn alone(moving: Arc<Meter>) -> Self {
        Self { moving, ..Self::default() }
    }

    /// What of the job's budget was used here.
    pub fn spent(&self, job: JobId) -> Spent {
        let usage = self.moving.usage().plus(self.serving.usage());
        Spent { job, since: self.since, usage }
    }

    /// What was counted; `None` when the node had nothing to do with the job for a while.
    pub fn figures(&self, job: JobId) -> Option<JobFigures> {
        let now = clock::now();
        let is_fresh = self.moving.is_fresh(now) || self.serving.is_fresh(now);
        is_fresh
            .then(|| JobFigures { serving: self.serving.figures(now), ..self.moving.of_job(job) })
    }

    /// All that was counted.
    pub fn tally(&self) -> Tally {
        let now = clock::now();
        Tally {
            moving: self.moving.stages(now),
            serving: self.serving.stages(now),
            objects: self.moving.objects.load(Ordering::Relaxed),
            orders: self.moving.orders_done.load(Ordering::Relaxed),
        }
    }
}

/// What was counted of any number of jobs together. How long stores had requests wait is not in it: jobs
/// share that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Of what the node moves itself.
    pub moving: Figures,
    /// Of what it reads for other nodes.
    pub serving: Figures,
    /// Objects written at the target.
    pub objects: u64,
    /// Orders that came to their end.
    pub orders: u64,
}

impl Tally {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            moving: self.moving.plus(other.moving),
            serving: self.serving.plus(other.serving),
            objects: self.objects.saturating_add(other.objects),
            orders: self.orders.saturating_add(other.orders),
        }
    }
}

/// Bytes that arrive from other nodes: for an attempt, and for its job.
#[derive(Debug)]
pub struct Arrivals {
    bytes: AtomicU64,
    meter: Arc<Meter>,
}

impl Arrivals {
    /// None so far.
    pub fn new(meter: Arc<Meter>) -> Self {
        Self { bytes: AtomicU64::new(0), meter }
    }

    /// Counts `bytes` as arrived.
    pub fn add(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.meter.add_bytes(Stage::Link, bytes);
    }

    /// All of the attempt.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Time of everything that is in a place.
#[derive(Debug, Default)]
pub(crate) struct Stopwatch(Mutex<Reading>);

/// A stopwatch as it was at an instant.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reading {
    /// How many are inside.
    inside: u32,
    /// When this was so; `None` while nothing was ever inside.
    at: Option<Instant>,
    /// Time inside, each counted for itself.
    sum: Duration,
    /// Time during which any was inside.
    pub(crate) any: Duration,
}

impl Reading {
    fn advance(&mut self, now: Instant) {
        if let Some(at) = self.at
            && self.inside > 0
        {
            let passed = now.saturating_duration_since(at);
            self.sum += passed * self.inside;
            self.any += passed;
        }
        self.at = Some(now);
    }
}

impl Stopwatch {
    pub(crate) fn enter(&self) -> Span<'_> {
        let mut reading = self.lock();
        reading.advance(clock::now());
        reading.inside += 1;
        Span(self)
    }

    pub(crate) fn read(&self, now: Instant) -> Reading {
        let mut reading = *self.lock();
        if reading.inside > 0 {
            reading.advance(now);
        }
        reading
    }

    fn lock(&self) -> MutexGuard<'_, Reading> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Something in a place, until this is dropped.
#[must_use = "what is dropped at once took no time"]
#[derive(Debug)]
pub struct Span<'a>(&'a Stopwatch);

impl Drop for Span<'_> {
    fn drop(&mut self) {
        let mut reading = self.0.lock();
        reading.advance(clock::now());
        reading.inside -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOB: JobId = JobId([1; 16]);

    async fn pass(seconds: u64) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_inside_at_once_counts_each_for_itself_and_while_it_is_inside() {
        let meters = JobMeters::default();
        assert_eq!(meters.figures(JOB), None, "nothing was done for it");
        let meter = &meters.moving;
        let order = meter.order();
        let first = meter.busy(Stage::Target);
        pass(2).await;
        let second = meter.busy(Stage::Target);
        pass(3).await;
        let figures = meters.figures(JOB).unwrap();
        assert_eq!(figures.moving[Stage::Target].busy_us, 8_000_000);
        drop(first);
        pass(1).await;
        drop(second);
        let waits = meter.wait(Stage::Limit);
        pass(1).await;
        drop((waits, order));
        meter.add_order_done();
        pass(1).await;
        let figures = meters.figures(JOB).unwrap();
        let target = figures.moving[Stage::Target];
        assert_eq!((target.busy_us, target.wait_us), (9_000_000, 0));
        assert_eq!(figures.moving[Stage::Limit].wait_us, 1_000_000);
        assert_eq!((figures.active_us, figures.orders), (7_000_000, 1));
        pass(20).await;
        assert_eq!(meters.figures(JOB), None, "that was long ago");
        drop(meters.serving.order());
        assert!(meters.figures(JOB).is_some());
    }

    #[test]
    fn what_begins_to_count_later_says_so_however_soon_it_follows() {
        let begun: Vec<_> = (0..1000).map(|_| JobMeters::default().spent(JOB).since).collect();
        assert!(begun.is_sorted_by(|earlier, later| earlier < later), "{begun:?}");
        assert!(begun[999] >= begun[0].plus(999));
    }

    #[test]
    fn arrivals_count_for_the_attempt_and_for_the_job() {
        let meter = Arc::new(Meter::default());
        let (first, second) = (Arrivals::new(Arc::clone(&meter)), Arrivals::new(meter.clone()));
        first.add(5);
        second.add(7);
        assert_eq!((first.bytes(), second.bytes()), (5, 7));
        assert_eq!(meter.figures(clock::now())[Stage::Link].bytes, 12);
    }
}
