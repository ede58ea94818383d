//! Traces for OpenTelemetry: what a node did for a job, as spans that a collector is sent.
//!
//! ```text
//! job ──┬── order ── queue, shard        (the node that carries it out)
//!       └── stage                        (each node, window by window: what its pipeline did)
//! ```
//!
//! Ids follow from the job, so that the spans of all nodes make one trace without a word between them.
//! Attributes are numbers, names of nodes and kinds of work: never keys, locations or secrets.
//!
//! Off unless a collector is named; a span then costs a comparison. Nothing waits for a collector: what
//! it does not take in time is dropped, and counted.

mod export;
mod otlp;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use airlift_protocol::id::{AssignmentId, JobId};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

pub use self::export::Collector;
pub(crate) use self::export::Exporter;
use crate::runtime::clock;

/// Spans that wait to be sent; more are dropped.
const WAITING_MAX: usize = 8192;

/// A value of an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// A number.
    Number(u64),
    /// A word of this program.
    Word(&'static str),
    /// An id.
    Id(JobId),
}

/// Something that took time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    trace: [u8; 16],
    id: [u8; 8],
    parent: Option<[u8; 8]>,
    name: &'static str,
    /// Nanoseconds since 1970.
    begun_ns: u64,
    ended_ns: u64,
    attributes: Vec<(&'static str, Value)>,
    /// The code of the error that it ended with.
    error: Option<&'static str>,
}

/// Names what a span is about, so that its id can be found again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject {
    job: JobId,
    run: u32,
}

impl Subject {
    /// A run of a job.
    pub(crate) fn new(job: JobId, run: u32) -> Self {
        Self { job, run }
    }

    /// The trace of the run: its own, and the same on every node.
    fn trace(self) -> [u8; 16] {
        cut(&self.hash("trace", &[]))
    }

    /// The id of the span that is the run itself.
    fn root(self) -> [u8; 8] {
        cut(&self.hash("job", &[]))
    }

    fn hash(self, kind: &str, more: &[u8]) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.job.0).update(&self.run.to_le_bytes());
        *hasher.update(kind.as_bytes()).update(&[0]).update(more).finalize().as_bytes()
    }
}

fn cut<const N: usize>(hash: &[u8; 32]) -> [u8; N] {
    let mut cut = [0; N];
    cut.copy_from_slice(&hash[..N]);
    cut
}

/// Takes spans; clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tracer(Option<Arc<Inner>>);

#[derive(Debug)]
struct Inner {
    spans: mpsc::Sender<Span>,
    /// Spans that nobody had room for.
    dropped: Arc<AtomicU64>,
    /// Tells spans of one subject apart.
    count: AtomicU64,
    /// What the monotonic clock and the wall clock showed at the same time.
    started: (Instant, u64),
    node: [u8; 32],
}

impl Tracer {
    /// A tracer of the node with this id, and where its spans come out.
    fn new(node: [u8; 32]) -> (Self, mpsc::Receiver<Span>, Arc<AtomicU64>) {
        let (spans, receiver) = mpsc::channel(WAITING_MAX);
        let dropped = Arc::new(AtomicU64::new(0));
        let started = (clock::now(), nanoseconds(clock::wall().0));
        let count = AtomicU64::new(0);
        let inner = Inner { spans, dropped: Arc::clone(&dropped), count, started, node };
        (Self(Some(Arc::new(inner))), receiver, dropped)
    }

    /// An order is carried out from now on, until what this returns is dropped.
    pub(crate) fn order(&self, subject: Subject, id: AssignmentId, attempt: u32) -> OrderSpan {
        OrderSpan(self.0.as_ref().map(|inner| {
            let span = inner.begin(subject, "order", Some(subject.root()), clock::now());
            let mut span = Open { inner: Arc::clone(inner), subject, span };
            span.add("airlift.order", Value::Number(id.0));
            span.add("airlift.attempt", Value::Number(u64::from(attempt)));
            span
        }))
    }

    /// What a stage did between two looks.
    pub(crate) fn stage(
        &self,
        subject: Subject,
        name: &'static str,
        (from, until): (Instant, Instant),
        attributes: Vec<(&'static str, Value)>,
    ) {
        let Some(inner) = &self.0 else { return };
        let mut span = inner.begin(subject, name, Some(subject.root()), from);
        span.attributes.extend(attributes);
        inner.end(span, until);
    }

    /// A run of a job, which has ended; times in milliseconds since 1970.
    pub(crate) fn job(
        &self,
        subject: Subject,
        (begun_ms, ended_ms): (u64, u64),
        attributes: Vec<(&'static str, Value)>,
        error: Option<&'static str>,
    ) {
        let Some(inner) = &self.0 else { return };
        let mut span = inner.begin(subject, "job", None, clock::now());
        span.id = subject.root();
        (span.begun_ns, span.ended_ns) = (nanoseconds(begun_ms), nanoseconds(ended_ms));
        span.attributes.extend(attributes);
        span.error = error;
        inner.hand_in(span);
    }
}

impl Inner {
    fn begin(
        &self,
        subject: Subject,
        name: &'static str,
        parent: Option<[u8; 8]>,
        at: Instant,
    ) -> Span {
        let count = self.count.fetch_add(1, Ordering::Relaxed).to_le_bytes();
        let own = [self.node.as_slice(), &self.started.1.to_le_bytes(), &count].concat();
        let begun_ns = self.wall_ns(at);
        Span {
            trace: subject.trace(),
            id: cut(&subject.hash(name, &own)),
            parent,
            name,
            begun_ns,
            ended_ns: begun_ns,
            attributes: vec![
                ("airlift.job", Value::Id(subject.job)),
                ("airlift.run", Value::Number(u64::from(subject.run))),
            ],
            error: None,
        }
    }

    fn wall_ns(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.started.0).as_nanos();
        self.started.1.saturating_add(u64::try_from(since).unwrap_or(u64::MAX))
    }

    fn end(&self, mut span: Span, at: Instant) {
        span.ended_ns = self.wall_ns(at).max(span.begun_ns);
        self.hand_in(span);
    }

    fn hand_in(&self, span: Span) {
        if self.spans.try_send(span).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn nanoseconds(ms: u64) -> u64 {
    ms.saturating_mul(1_000_000)
}

/// A span that has not ended.
#[derive(Debug)]
struct Open {
    inner: Arc<Inner>,
    subject: Subject,
    span: Span,
}

impl Open {
    fn add(&mut self, name: &'static str, value: Value) {
        self.span.attributes.push((name, value));
    }
}

/// The span of an order; dropped, it has ended. Of one that is called off, too.
#[must_use = "what is dropped at once took no time"]
#[derive(Debug)]
pub(crate) struct OrderSpan(Option<Open>);

impl OrderSpan {
    /// Says something more of the order.
    pub(crate) fn add(&mut self, name: &'static str, value: Value) {
        if let Some(open) = &mut self.0 {
            open.add(name, value);
        }
    }

    /// A part of the order that began then and ends now.
    pub(crate) fn part(&self, name: &'static str, from: Instant, of: &[(&'static str, Value)]) {
        let Some(Open { inner, subject, span }) = &self.0 else { return };
        let mut part = inner.begin(*subject, name, Some(span.id), from);
        part.attributes.extend_from_slice(of);
        part.error = span.error;
        inner.end(part, clock::now());
    }

    /// The order has failed with this code.
    pub(crate) fn fail(&mut self, code: &'static str) {
        if let Some(open) = &mut self.0 {
            open.span.error = Some(code);
        }
    }
}

impl Drop for OrderSpan {
    fn drop(&mut self) {
        if let Some(Open { inner, span, .. }) = self.0.take() {
            inner.end(span, clock::now());
        }
    }
}

/// Waits until a flag turns true, or nobody is left who could turn it.
pub(crate) async fn turned(flag: &mut watch::Receiver<bool>) {
    let _ = flag.wait_for(|is_true| *is_true).await;
}

/// A span of time in milliseconds, for an attribute.
pub(crate) fn milliseconds(span: Duration) -> Value {
    Value::Number(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOB: Subject = Subject { job: JobId([7; 16]), run: 2 };

    #[tokio::test(start_paused = true)]
    async fn spans_of_all_nodes_make_one_trace() {
        let (here, mut spans, _) = Tracer::new([1; 32]);
        let (there, mut others, _) = Tracer::new([2; 32]);
        let mut order = here.order(JOB, AssignmentId(9), 1);
        let begun = clock::now();
        tokio::time::sleep(Duration::from_millis(30)).await;
        order.part("shard", begun, &[("airlift.bytes", Value::Number(5))]);
        order.fail("throttled");
        drop(order);
        there.job(JOB, (1_000, 3_000), Vec::new(), None);
        let (part, order) = (spans.recv().await.unwrap(), spans.recv().await.unwrap());
        let job = others.recv().await.unwrap();
        assert!(part.trace == order.trace && order.trace == job.trace);
        assert_eq!((part.parent, order.parent), (Some(order.id), Some(job.id)));
        assert_eq!((order.ended_ns - order.begun_ns, order.error), (30_000_000, Some("throttled")));
        assert_eq!((job.parent, job.begun_ns, job.ended_ns), (None, 1_000_000_000, 3_000_000_000));
        assert_ne!(JOB.trace(), Subject { run: 3, ..JOB }.trace());
    }

    #[test]
    fn nobody_waits_for_a_collector() {
        let off = Tracer::default();
        let mut order = off.order(JOB, AssignmentId(1), 1);
        order.add("airlift.bytes", Value::Number(1));
        assert!(order.0.is_none());
        let (tracer, spans, dropped) = Tracer::new([1; 32]);
        for attempt in 0..=8192 {
            drop(tracer.order(JOB, AssignmentId(1), attempt));
        }
        assert_eq!((spans.len(), dropped.load(Ordering::Relaxed)), (WAITING_MAX, 1));
    }
}
