//! Watching a job that a cluster runs, and saying what came of it as if it had run here.

use std::path::Path;
use std::time::Duration;

use airlift_coordinator::event::Outcome;
use airlift_coordinator::scheduler::bottleneck::Bottleneck;
use airlift_protocol::attributes::AttributeSet;
use airlift_protocol::error::{ErrorCode, Failure};
use airlift_protocol::id::JobId;
use airlift_protocol::job::{Filters, JobSpec, Mode, Policy, SingleObject};
use airlift_protocol::key::Key;
use airlift_protocol::location::Location;
use tokio::time::MissedTickBehavior;

use super::show;
use crate::api::client::ClientError;
use crate::api::line::ReportLine;
use crate::api::view::{JobOutcome, JobState, JobView, Submitted};
use crate::cli::args::{Global, WatchArgs};
use crate::cli::connect::Cluster;
use crate::cli::console::{Console, unless_closed};
use crate::cli::exit::{CliError, ExitCode};
use crate::cli::explain::Explanation;
use crate::cli::progress::{Progress, TICK};
use crate::cli::report::Report;
use crate::cli::summary::{Findings, Summary, lost_line, result_text, start_line};
use crate::cli::transfer::{Ended, Interrupts, Pass, open_report, progress_style};
use crate::config::{Config, ProgressStyle};
use crate::runtime::clock;
use crate::runtime::embedded::JobEnd;

/// Time between two looks at the job: a fiftieth of the time for which it has been watched, so that
/// its end is noticed soon however short it is, within these bounds.
const LOOK_PERIOD_MIN: Duration = Duration::from_millis(10);
const LOOK_PERIOD_MAX: Duration = Duration::from_millis(500);
const LOOKS_PER_TIME: u32 = 50;

/// Where a watched job is shown.
#[derive(Debug)]
pub(in crate::cli) struct Shown<'a> {
    global: &'a Global,
    console: &'a Console,
    report: Option<Report>,
    has_result_lines: bool,
    explanation: Option<Explanation>,
    pass: Pass,
}

impl<'a> Shown<'a> {
    /// Opens the report, so that one that cannot be written is known before anything begins.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(in crate::cli) async fn new(
        global: &'a Global,
        watch: &WatchArgs,
        pass: Pass,
        console: &'a Console,
    ) -> Result<Self, CliError> {
        let is_on_stdout = watch.report.as_deref() == Some(Path::new("-"));
        let has_result_lines = !pass.is_preflight() && !global.json && !is_on_stdout;
        let report = open_report(watch).await?;
        let explanation = watch.explain.then(Explanation::default);
        Ok(Self { global, console, report, has_result_lines, explanation, pass })
    }
}

/// Watches a job to its end. The cluster has it: the report is that of this run from now on.
///
/// # Errors
/// When no node answers any more, the user has seen enough, or the result cannot be written.
pub(in crate::cli) async fn watch(
    cluster: &Cluster,
    submitted: Submitted,
    config: &Config,
    mut shown: Shown<'_>,
    interrupts: &mut Interrupts,
) -> Result<Ended, CliError> {
    shown.report.as_mut().map_or(Ok(()), Report::begin)?;
    let (job, lost) = (submitted.id, submitted.cannot_hold);
    if progress_style(shown.global, config) != ProgressStyle::None
        && let Some(line) = lost_line(lost)
    {
        shown.console.note(&line);
    }
    let work = async {
        let view = follow(cluster, submitted, config, &mut shown).await?;
        conclude(cluster, &view, shown, lost).await
    };
    interrupts.unless_any(work).await.unwrap_or_else(|| {
        let message = format!(
            "no longer watching; the job goes on: airlift job watch {job} shows it, airlift job cancel {job} ends it"
        );
        Err(CliError { exit: ExitCode::Interrupted, message })
    })
}

/// Shows progress until the job ends; answers the job as it is then.
async fn follow(
    cluster: &Cluster,
    submitted: Submitted,
    config: &Config,
    shown: &mut Shown<'_>,
) -> Result<JobView, CliError> {
    let Shown { global, console, explanation, .. } = shown;
    let style = progress_style(global, config);
    let mut progress = Progress::start(style, console);
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let (mut sent, mut state, begun) = (0, None, clock::now());
    let mut looked = begun;
    let mut next = Box::pin(look(cluster, submitted.id, Duration::ZERO));
    let view = loop {
        tokio::select! {
            view = &mut next => {
                let view = view?;
                // A node that lags behind may still show an earlier run.
                if view.job.run >= submitted.run {
                    if style != ProgressStyle::None {
                        tell_change(state, &view, console)?;
                    }
                    if let Some(paused) = paused(&view) {
                        progress.finish();
                        return Err(paused);
                    }
                    state = Some(view.job.state);
                    sent = view.job.bytes.sent;
                    progress.observe(&view);
                    if let Some(explanation) = explanation {
                        explanation.divide(&parts(&view), clock::now() - looked);
                    }
                    looked = clock::now();
                    if view.job.outcome.is_some() {
                        break view;
                    }
                }
                let pause = (clock::now() - begun) / LOOKS_PER_TIME;
                let pause = pause.clamp(LOOK_PERIOD_MIN, LOOK_PERIOD_MAX);
                next = Box::pin(look(cluster, submitted.id, pause));
            }
            _ = ticks.tick() => progress.tick(sent, 0),
        }
    };
    progress.finish();
    Ok(view)
}

/// What the time since the last look is put down to: its parts where the node tells them.
fn parts(view: &JobView) -> Vec<(Bottleneck, u64)> {
    match &view.time[..] {
        [] => vec![(view.job.bottleneck, 1)],
        parts => parts.iter().map(|part| (part.what, part.permille)).collect(),
    }
}

/// The end of watching a job that rests although no user has asked for that: nothing happens until one
/// has done something about it.
fn paused(view: &JobView) -> Option<CliError> {
    let failure = view.failure.as_ref().filter(|_| view.job.state == JobState::Paused)?;
    let (id, reason) = (view.job.id, show::plain(&failure.reason));
    let way_out = match failure.code {
        // Resumed, it would use more of what it has used up.
        ErrorCode::OverBudget => format!(
            "airlift job budget {id} with --bytes, --requests or --money raises a bound, or lifts it with off, and \
             goes on with it"
        ),
        _ => format!("put that right, and airlift job resume {id} goes on with it"),
    };
    Some(CliError::cannot_run(format!("job {id} is paused: {reason}; nothing is lost: {way_out}")))
}

async fn look(cluster: &Cluster, job: JobId, pause: Duration) -> Result<JobView, ClientError> {
    tokio::time::sleep(pause).await;
    cluster.client.job(job).await
}

/// What people want to know at once: what begins, and that nothing happens for a while.
fn tell_change(
    before: Option<JobState>,
    view: &JobView,
    console: &Console,
) -> Result<(), CliError> {
    let (id, state) = (view.job.id, view.job.state);
    if before.is_none() {
        console.note(&start_line(&spec(view)?));
        console.note(&format!("job {id}"));
    }
    if state == JobState::Paused && before != Some(state) && view.failure.is_none() {
        console.note(&format!("the job is paused; airlift job resume {id} goes on with it"));
    }
    Ok(())
}

/// Reads what is to be read of the report, and says what came of the job.
async fn conclude(
    cluster: &Cluster,
    view: &JobView,
    mut shown: Shown<'_>,
    lost: AttributeSet,
) -> Result<Ended, CliError> {
    let (spec, end) = (spec(view)?, end(view));
    let ended = Ended::of(&end, shown.pass);
    if ended.is_quiet(shown.pass) {
        return Ok(ended);
    }
    let is_result = spec.policy.dry_run || spec.mode == Mode::Verify;
    let has_result_lines = shown.has_result_lines && is_result;
    if shown.report.is_some() || has_result_lines {
        let mut lines = cluster.client.report(view.job.id);
        while let Some(line) = lines.next().await? {
            if let Some(report) = &mut shown.report {
                report.add(&line)?;
            }
            if has_result_lines && let Some(text) = result_of(spec.mode, &line)? {
                unless_closed(shown.console.print(&text))?;
            }
        }
    }
    let findings = Findings::of_view(view);
    let summary = Summary {
        spec: &spec,
        end: &end,
        findings: &findings,
        moved: 0,
        elapsed: Duration::from_millis(view.job.elapsed_ms),
        has_report: shown.report.is_some(),
        has_result_lines: shown.has_result_lines,
        explanation: shown.explanation.as_ref(),
        cannot_hold: Some(lost),
    };
    if view.job.outcome == Some(JobOutcome::Cancelled) && !shown.global.quiet {
        shown.console.note("the job was cancelled");
    }
    summary.tell(shown.global.json, shown.global.quiet, shown.console);
    summary.record(shown.report, shown.global.json, shown.console)?;
    Ok(ended)
}

fn result_of(mode: Mode, line: &str) -> Result<Option<String>, CliError> {
    let line: ReportLine = serde_json::from_str(line).map_err(|error| {
        CliError::cannot_run(format!("a line of the report is not understood: {error}"))
    })?;
    let key = line.key.to_key().unwrap_or_else(|| Key::from(line.key.key.as_str()));
    Ok(result_text(mode, &line.status, &key))
}

/// Copies a report as far as it has got; of a job that has ended, with the summary.
///
/// # Errors
/// When it cannot be read or written.
pub(super) async fn copy_report(
    cluster: &Cluster,
    job: JobId,
    mut report: Report,
) -> Result<ExitCode, CliError> {
    let view = cluster.client.job(job).await?;
    report.begin()?;
    let mut lines = cluster.client.report(job);
    while let Some(line) = lines.next().await? {
        report.add(&line)?;
    }
    if view.job.outcome.is_none() {
        report.flush()?;
        return Ok(ExitCode::Done);
    }
    let (spec, end, findings) = (spec(&view)?, end(&view), Findings::of_view(&view));
    let summary = Summary {
        spec: &spec,
        end: &end,
        findings: &findings,
        moved: 0,
        elapsed: Duration::from_millis(view.job.elapsed_ms),
        has_report: true,
        has_result_lines: false,
        explanation: None,
        cannot_hold: None,
    };
    report.finish(&summary.json())?;
    Ok(ExitCode::Done)
}

/// The specification, as far as a view has it: enough to say what the job was.
fn spec(view: &JobView) -> Result<JobSpec, CliError> {
    let location = |bytes: &[u8]| {
        Location::parse(bytes).map_err(|error| {
            CliError::cannot_run(format!("the cluster names a location wrongly: {error}"))
        })
    };
    let single = view.single.as_ref().map(|single| SingleObject {
        source_key: Key::new(single.source_key.0.clone()),
        target_key: Key::new(single.target_key.0.clone()),
    });
    Ok(JobSpec {
        mode: Mode::from(view.job.mode),
        source: location(&view.job.source.0)?,
        target: location(&view.job.target.0)?,
        single,
        filters: Filters::default(),
        policy: Policy { dry_run: view.job.dry_run, ..Policy::default() },
    })
}

fn end(view: &JobView) -> JobEnd {
    let outcome = match (view.job.outcome, &view.failure) {
        (Some(JobOutcome::Done), _) => Outcome::Completed { incomplete: false },
        (Some(JobOutcome::Incomplete), _) => Outcome::Completed { incomplete: true },
        (Some(JobOutcome::Cancelled), _) => {
            Outcome::Stopped(Failure::new(ErrorCode::Cancelled, "cancelled"))
        }
        (Some(JobOutcome::Stopped), Some(failure)) => {
            Outcome::Stopped(Failure::new(failure.code, failure.reason.as_str()))
        }
        (Some(JobOutcome::Stopped), None) | (None, _) => {
            Outcome::Stopped(Failure::new(ErrorCode::Protocol, "the cluster gave no reason"))
        }
    };
    JobEnd { outcome, totals: view.job.totals() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::fake;
    use crate::api::view::FailureView;

    #[test]
    fn a_job_that_rests_names_the_command_that_goes_on_with_it() {
        let told = |code| {
            let mut view = fake::begun();
            view.failure = Some(FailureView { code, reason: "why".to_owned() });
            assert!(paused(&view).is_none(), "it does not rest");
            view.job.state = JobState::Paused;
            paused(&view).unwrap().message
        };
        let denied = told(ErrorCode::Unauthorized);
        assert!(denied.contains("airlift job resume"), "{denied}");
        let over = told(ErrorCode::OverBudget);
        assert!(over.contains("airlift job budget") && !over.contains("resume"), "{over}");
    }
}
