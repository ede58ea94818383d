//! What this node did, as spans for a collector: orders as they end, stages window by window, and, while
//! it leads, the runs of jobs that have ended.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use airlift_coordinator::Coordinator;
use airlift_coordinator::state::Job;
use airlift_protocol::assignment::{Assignment, Work};
use airlift_protocol::figures::{Figures, JobFigures, Stage};
use airlift_protocol::id::{JobId, NodeId};
use airlift_protocol::time::Timestamp;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::ClusterOptions;
use super::ask::{Asker, Sight};
use super::work::{Workshop, name};
use crate::network::identity::peer_id;
use crate::runtime::clock;
use crate::runtime::embedded::RunError;
use crate::traces::{Exporter, OrderSpan, Subject, Tracer, Value, milliseconds, turned};

/// Time between two looks, which is a window of the stages.
const PERIOD: Duration = Duration::from_secs(5);

/// Milliseconds for which a run that has ended may wait to be told: nobody led meanwhile.
const TOLD_WITHIN_MS: u64 = 60_000;

/// Time for a collector to take what is left when the node ends.
const END_TIMEOUT: Duration = Duration::from_secs(3);

/// A tracer, and what sends its spans; none of either unless a collector is named.
pub(super) fn tracer(
    options: &ClusterOptions,
    name: Option<&str>,
    node: NodeId,
) -> Result<(Tracer, Option<Exporter>), RunError> {
    let Some(collector) = options.collector.clone() else { return Ok((Tracer::default(), None)) };
    let own = (name.unwrap_or_default().to_owned(), peer_id(node).to_string(), node.0);
    let made = Exporter::new(collector, own, options.build.version);
    let (tracer, exporter) =
        made.map_err(|error| RunError::cannot_run(format!("send traces: {error}")))?;
    Ok((tracer, Some(exporter)))
}

/// The span of an order.
pub(super) fn begin(tracer: &Tracer, assignment: &Assignment, attempt: u32) -> OrderSpan {
    let subject = Subject::new(assignment.job, assignment.run);
    let mut span = tracer.order(subject, assignment.id, attempt);
    span.add("airlift.work", Value::Word(name(&assignment.work)));
    span
}

/// The part of an order in which a shard is moved, once its turn has come.
#[derive(Debug)]
pub(super) struct Shard(Option<(Instant, [(&'static str, Value); 2])>);

impl Shard {
    /// The shard of this work, if it moves one, which has waited for its turn since then.
    pub(super) fn of(work: &Work, span: &OrderSpan, since: Instant) -> Self {
        let (objects, bytes) = match work {
            Work::MoveRange { range, .. } => (1, range.len()),
            Work::MovePack { objects } => {
                (objects.len() as u64, objects.iter().map(|object| object.entry.size).sum())
            }
            _ => return Self(None),
        };
        span.part("queue", since, &[]);
        let of = [("airlift.objects", objects), ("airlift.bytes", bytes)];
        Self(Some((clock::now(), of.map(|(name, number)| (name, Value::Number(number))))))
    }

    /// It is moved, or has failed.
    pub(super) fn end(self, span: &OrderSpan) {
        if let Self(Some((begun, of))) = self {
            span.part("shard", begun, &of);
        }
    }
}

/// Looks and sends, until it is ended.
#[derive(Debug)]
pub(super) struct Sending {
    over: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Sending {
    pub(super) fn begin(exporter: Exporter, workshop: &Arc<Workshop>, asker: &Asker) -> Self {
        let (over, is_over) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let mut looks = Looks::new(Arc::clone(workshop), asker.clone());
        let mut ends = is_over.clone();
        tasks.spawn(async move {
            loop {
                tokio::select! {
                    () = tokio::time::sleep(PERIOD) => looks.look().await,
                    () = turned(&mut ends) => return,
                }
            }
        });
        tasks.spawn(exporter.run(is_over));
        Self { over, tasks }
    }

    /// Lets the collector take what is left, for a moment.
    pub(super) async fn end(mut self) {
        self.over.send_replace(true);
        let all = async { while self.tasks.join_next().await.is_some() {} };
        // What it has not taken by then is lost, as what it never took.
        let _ = tokio::time::timeout(END_TIMEOUT, all).await;
    }
}

/// What was told, and what was seen last.
#[derive(Debug)]
struct Looks {
    workshop: Arc<Workshop>,
    asker: Asker,
    begun: Timestamp,
    seen: BTreeMap<JobId, (Instant, JobFigures)>,
    told: BTreeSet<(JobId, u32)>,
}

impl Looks {
    fn new(workshop: Arc<Workshop>, asker: Asker) -> Self {
        let (seen, told) = (BTreeMap::new(), BTreeSet::new());
        Self { workshop, asker, begun: clock::wall(), seen, told }
    }

    async fn look(&mut self) {
        self.stages();
        let (begun, wall) = (self.begun, clock::wall());
        // The node is stopping.
        let Ok(ended) = self.asker.look(move |sight| ended(&sight, begun, wall)).await else {
            return;
        };
        let now: BTreeSet<(JobId, u32)> = ended.iter().map(|run| run.run).collect();
        for run in ended.iter().filter(|run| !self.told.contains(&run.run)) {
            let (id, number) = run.run;
            let subject = Subject::new(id, number);
            self.workshop.tracer().job(subject, run.times, run.attributes.to_vec(), run.error);
        }
        self.told = now;
    }

    fn stages(&mut self) {
        let now = clock::now();
        let runs = self.workshop.runs();
        let mut seen = BTreeMap::new();
        for (subject, figures) in runs {
            seen.insert(figures.job, (now, figures));
            let Some((before, earlier)) = self.seen.get(&figures.job) else { continue };
            let since = figures.since(*earlier);
            let window = (*before, now);
            for (what, stages) in [("moving", since.moving), ("serving", since.serving)] {
                self.tell_stages(subject, what, window, &stages);
            }
        }
        self.seen = seen;
    }

    fn tell_stages(
        &self,
        subject: Subject,
        what: &'static str,
        window: (Instant, Instant),
        figures: &Figures,
    ) {
        for stage in Stage::ALL {
            let done = figures[stage];
            if done.busy_us == 0 && done.bytes == 0 {
                continue;
            }
            let time = |us| milliseconds(Duration::from_micros(us));
            let attributes = vec![
                ("airlift.stage", Value::Word(word(stage))),
                ("airlift.part", Value::Word(what)),
                ("airlift.bytes", Value::Number(done.bytes)),
                ("airlift.busy_ms", time(done.busy_us)),
                ("airlift.wait_ms", time(done.wait_us)),
            ];
            self.workshop.tracer().stage(subject, "stage", window, attributes);
        }
    }
}

fn word(stage: Stage) -> &'static str {
    match stage {
        Stage::Source => "source",
        Stage::Encode => "encode",
        Stage::Link => "link",
        Stage::Decode => "decode",
        Stage::Target => "target",
        Stage::Limit => "limit",
        Stage::Memory => "memory",
    }
}

/// A run of a job that has ended.
#[derive(Debug)]
struct Run {
    run: (JobId, u32),
    times: (u64, u64),
    attributes: [(&'static str, Value); 4],
    error: Option<&'static str>,
}

/// The runs that have ended lately, and since this process began, as the leader knows them.
fn ended(sight: &Sight<'_>, begun: Timestamp, wall: Timestamp) -> Vec<Run> {
    let leading = sight.coordinator.filter(|coordinator| coordinator.is_deciding());
    let jobs = leading.map(Coordinator::state).into_iter().flat_map(|state| &state.jobs);
    let lately = |at: Timestamp| at >= begun && wall.since(at) < TOLD_WITHIN_MS;
    let run = |(id, job): (&JobId, &Job)| {
        let at = job.ended_at.filter(|at| lately(*at))?;
        let (objects, bytes) = (job.totals.objects, job.totals.bytes);
        Some(Run {
            run: (*id, job.run),
            times: (job.submitted_at.0, at.0),
            attributes: [
                ("airlift.objects", Value::Number(objects.total)),
                ("airlift.objects_done", Value::Number(objects.done)),
                ("airlift.objects_failed", Value::Number(objects.failed)),
                ("airlift.bytes", Value::Number(bytes.done)),
            ],
            error: job.failure.as_ref().map(|failure| failure.code.as_str()),
        })
    };
    jobs.filter_map(run).collect()
}
