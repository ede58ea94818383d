//! `cp`, `sync` and `verify`: resolve, run, watch, and say what came of it.

use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use airlift_coordinator::event::{Event, Outcome};
use airlift_coordinator::totals::Portion;
use airlift_protocol::attributes::AttributeSet;
use airlift_protocol::job::{
    Comparison, Filters, InventoryForm, JobSpec, Mode, Policy, VerifyLevel,
};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;

use super::args::{
    AttributeArgs, CheckArgs, CopyArgs, DeleteArgs, FlagSetting, Global, SyncArgs, TransferArgs,
    VerifyArgs, WatchArgs, WorkArgs,
};
use super::connect::Cluster;
use super::console::{Console, unless_closed};
use super::exit::{CliError, ExitCode};
use super::explain::Explainer;
use super::format::{count, span};
use super::job::remote::{self, Shown};
use super::progress::{Progress, TICK};
use super::report::Report;
use super::resolve::{Request, keep_out_state, resolve};
use super::summary::{Findings, RESUME, Summary, lost_line, portion_text, result_line, start_line};
use crate::config::{Config, ProgressStyle};
use crate::pipeline::meter::Meter;
use crate::runtime::again::again;
use crate::runtime::blocking::blocking;
use crate::runtime::clock;
use crate::runtime::embedded::{self, EmbeddedOptions, JobEnd};
use crate::store::{holds, locate};

/// How long objects that are being restored are waited for, when nothing else is said: what the slowest
/// archive takes.
const RESTORE_WAIT: Duration = Duration::from_secs(48 * 3600);

/// Time between two looks at what is being restored: a quarter of the time that it has taken so far,
/// within these bounds. Each look lists both ends.
const LOOK_PERIOD_MIN: Duration = Duration::from_secs(5);
const LOOK_PERIOD_MAX: Duration = Duration::from_secs(3600);
const LOOKS_PER_TIME: u32 = 4;

/// Events that may wait to be shown before the job does.
const EVENTS_MAX: usize = 1024;

/// A transfer as it was written, without what the configuration adds.
#[derive(Clone, Debug)]
pub(super) struct Transfer {
    mode: Mode,
    args: TransferArgs,
    policy: Policy,
    /// Whether everything is looked at before anything moves.
    preflight: bool,
    /// How long objects that are being restored are waited for.
    restore_wait: Duration,
}

/// Which pass over the objects is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pass {
    /// The one before the job, which says only what stands in the way: an archive does not, where the job
    /// restores what is in it.
    Preflight {
        /// Whether it does.
        restores: bool,
    },
    /// The job; another pass follows as long as objects are being restored.
    Look,
    /// The job.
    Job,
}

/// How a pass ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ended {
    /// The exit code of the process, unless another pass follows.
    pub(super) exit: ExitCode,
    /// What another pass is to follow for.
    pub(super) waits_for: Option<Waiting>,
}

/// What a job waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Waiting {
    /// What is being restored.
    restoring: Portion,
    /// Objects that have failed meanwhile, and are tried again with it.
    failed: u64,
}

impl Pass {
    /// Whether it is the one before the job.
    pub(super) fn is_preflight(self) -> bool {
        matches!(self, Self::Preflight { .. })
    }
}

impl Ended {
    /// How a pass has ended in which a job ended.
    pub(super) fn of(end: &JobEnd, pass: Pass) -> Self {
        let restoring = end.totals.archived.restoring;
        let is_complete = matches!(end.outcome, Outcome::Completed { .. });
        let waits = pass == Pass::Look && is_complete && restoring.objects > 0;
        let mut counted = end.clone();
        if pass == (Pass::Preflight { restores: true }) {
            let resting = end.totals.archived.resting.objects;
            let skipped = &mut counted.totals.objects.skipped;
            *skipped = skipped.saturating_sub(resting);
        }
        let failed = end.totals.objects.failed;
        let waits_for = waits.then_some(Waiting { restoring, failed });
        Self { exit: ExitCode::of_job(&counted), waits_for }
    }

    /// Whether nothing is said about it: all is well and the job follows, or a later pass says it.
    pub(super) fn is_quiet(&self, pass: Pass) -> bool {
        (pass.is_preflight() && self.exit == ExitCode::Done) || self.waits_for.is_some()
    }
}

impl Transfer {
    /// The transfer that `cp` means.
    pub(super) fn copy(args: &CopyArgs) -> Self {
        let policy = copy_policy(args.check, &args.attributes);
        Self::new(Mode::Copy, args, policy)
    }

    /// The transfer that `sync` means.
    pub(super) fn sync(args: &SyncArgs) -> Self {
        let policy = sync_policy(args.copy.check, &args.copy.attributes, args.delete);
        Self::new(Mode::Sync, &args.copy, policy)
    }

    fn new(mode: Mode, args: &CopyArgs, policy: Policy) -> Self {
        Self {
            mode,
            args: args.transfer.clone(),
            policy,
            preflight: args.preflight,
            restore_wait: args.restore_wait.unwrap_or(RESTORE_WAIT),
        }
    }

    /// The transfer that `verify` means.
    pub(super) fn verify(args: &VerifyArgs) -> Self {
        let (args, policy) = (args.transfer.clone(), verify_policy(args.verify));
        let restore_wait = Duration::ZERO;
        Self { mode: Mode::Verify, args, policy, preflight: false, restore_wait }
    }

    /// Key, flag and text of each flag that sets something.
    pub(super) fn settings(&self) -> Vec<FlagSetting> {
        self.args.settings()
    }
}

/// The policy of a copy, as far as flags say it.
pub(super) fn copy_policy(check: CheckArgs, attributes: &AttributeArgs) -> Policy {
    let AttributeArgs { tags, storage_class, server_side, acl, restore, versions: _ } =
        attributes.clone();
    let comparison = if check.checksum { Comparison::Content } else { Comparison::Attributes };
    Policy {
        comparison,
        verify: check.verify.unwrap_or(VerifyLevel::Committed),
        dry_run: check.dry_run,
        tags: tags.unwrap_or_default(),
        class: storage_class.unwrap_or_default(),
        server_side: server_side.unwrap_or_default(),
        acl: acl.unwrap_or_default(),
        restore,
        ..Policy::default()
    }
}

/// The policy of a mirror, as far as flags say it.
pub(super) fn sync_policy(
    check: CheckArgs,
    attributes: &AttributeArgs,
    delete: DeleteArgs,
) -> Policy {
    let DeleteArgs { allow_empty_source, max_delete } = delete;
    Policy { allow_empty_source, max_delete, ..copy_policy(check, attributes) }
}

/// The policy of a comparison.
pub(super) fn verify_policy(verify: Option<VerifyLevel>) -> Policy {
    let verify = verify.unwrap_or(VerifyLevel::Committed);
    Policy { comparison: Comparison::Content, verify, ..Policy::default() }
}

/// What is asked for, with what the configuration adds.
///
/// # Errors
/// When a budget of money has no prices.
pub(super) fn request(
    mode: Mode,
    work: &WorkArgs,
    policy: &Policy,
    config: &Config,
) -> Result<Request, CliError> {
    let budget = work.budget.resolve(&work.ends.source, &work.ends.target, &config.prices)?;
    let WorkArgs { ends, include, exclude, priority, map_keys, files_from, inventory, .. } =
        work.clone();
    let (links, bandwidth) = (config.links, config.bwlimit.clone());
    let priority = priority.unwrap_or_default();
    let keys = map_keys.unwrap_or_default();
    let policy = Policy { links, bandwidth, priority, keys, budget, ..policy.clone() };
    let filters = Filters { include, exclude };
    let listed = files_from.map(|location| (InventoryForm::Keys, location));
    let inventory = inventory.map(|location| (InventoryForm::S3, location)).or(listed);
    Ok(Request { mode, source: ends.source, target: ends.target, inventory, filters, policy })
}

/// Runs a transfer to its end, after a look at everything where that is asked for.
///
/// # Errors
/// When it cannot begin, or its result cannot be written.
pub(super) async fn run(
    transfer: &Transfer,
    global: &Global,
    config: Config,
    console: &Console,
) -> Result<ExitCode, CliError> {
    refuse_two_results(global, transfer.args.watch.report.as_deref())?;
    // Once for all passes: who has listened once is not ended by a signal any more, whether anybody listens or not.
    let mut interrupts = Interrupts::listen()?;
    if transfer.preflight {
        let policy = Policy { dry_run: true, ..transfer.policy.clone() };
        let look = Transfer { policy, ..transfer.clone() };
        let kind = Pass::Preflight { restores: transfer.policy.restore.is_some() };
        let found = pass(&look, kind, global, config.clone(), console, &mut interrupts).await?.exit;
        if found != ExitCode::Done {
            if !global.quiet {
                console.note("nothing was moved; without --preflight, what can be moved is");
            }
            return Ok(found);
        }
    }
    let begun = clock::now();
    loop {
        let left = transfer.restore_wait.saturating_sub(clock::now() - begun);
        let is_last = transfer.policy.restore.is_none() || left < LOOK_PERIOD_MIN;
        let kind = if is_last { Pass::Job } else { Pass::Look };
        let ended = pass(transfer, kind, global, config.clone(), console, &mut interrupts).await?;
        let Some(waiting) = ended.waits_for else { return Ok(ended.exit) };
        let waited = clock::now() - begun;
        let pause = (waited / LOOKS_PER_TIME).clamp(LOOK_PERIOD_MIN, LOOK_PERIOD_MAX).min(left);
        wait(waiting, pause, global, console, &mut interrupts).await?;
    }
}

/// Waits until it is time for another look at what is being restored. Nothing is worked on meanwhile, and
/// an interrupt loses nothing: what was asked for stays asked for.
async fn wait(
    Waiting { restoring, failed }: Waiting,
    pause: Duration,
    global: &Global,
    console: &Console,
    interrupts: &mut Interrupts,
) -> Result<(), CliError> {
    let what = portion_text(restoring);
    if !global.quiet {
        let failed = match failed {
            0 => String::new(),
            failed => format!("; {} failed, to be tried again then", count(failed)),
        };
        console.note(&format!("being restored: {what}{failed}; looks again in {}", span(pause)));
    }
    interrupts.unless_any(tokio::time::sleep(pause)).await.ok_or_else(|| {
        let message = format!("stopped waiting for {what} to be restored; {RESUME}");
        CliError { exit: ExitCode::Interrupted, message }
    })
}

/// One pass over the objects of a transfer.
async fn pass(
    transfer: &Transfer,
    pass: Pass,
    global: &Global,
    config: Config,
    console: &Console,
    interrupts: &mut Interrupts,
) -> Result<Ended, CliError> {
    let request = request(transfer.mode, &transfer.args.work, &transfer.policy, &config)?;
    let watch = &transfer.args.watch;
    if let Some(cluster) = Cluster::of(&config)? {
        let shown = interrupts.unless_any(Shown::new(global, watch, pass, console)).await;
        let shown = shown.ok_or_else(interrupted)??;
        let submitted = interrupts.unless_any(cluster.submit(request)).await;
        let submitted = submitted.ok_or_else(unanswered)??;
        return remote::watch(&cluster, submitted, &config, shown, interrupts).await;
    }
    let prepared = interrupts.unless_any(prepare(request, &config)).await;
    let (spec, left_out) = prepared.ok_or_else(interrupted)??;
    if let Some(line) = left_out
        && !global.quiet
    {
        console.note(&line);
    }
    let watcher = Watcher::start(&spec, pass, global, &config, watch, console);
    let mut watcher = interrupts.unless_any(watcher).await.ok_or_else(interrupted)??;
    let end = drive(&spec, config, &mut watcher, interrupts).await?;
    watcher.finish(&spec, &end)
}

/// The job that is meant, and the line that says what is left out of it.
async fn prepare(request: Request, config: &Config) -> Result<(JobSpec, Option<String>), CliError> {
    let stores = &config.stores;
    let probe = async |location: &_| Ok(again(|| locate::probe(location, stores)).await?);
    let mut spec = resolve(request, stores, probe).await?;
    let state_dir = config.state_dir.clone();
    blocking(move || keep_out_state(&mut spec, &state_dir).map(|line| (spec, line))).await
}

/// The end of a command that was interrupted when none of its jobs ran.
fn interrupted() -> CliError {
    CliError { exit: ExitCode::Interrupted, message: format!("interrupted; {RESUME}") }
}

/// The same after the job was sent to a cluster.
fn unanswered() -> CliError {
    let message = "interrupted before the cluster has answered: airlift job list shows whether it has the job";
    CliError { exit: ExitCode::Interrupted, message: message.to_owned() }
}

pub(super) fn refuse_two_results(global: &Global, report: Option<&Path>) -> Result<(), CliError> {
    match global.json && report == Some(Path::new("-")) {
        true => Err(CliError::usage(
            "--json and --report - both want standard output: give the report a file",
        )),
        false => Ok(()),
    }
}

/// Runs the job and shows its events, until both are at their end.
async fn drive(
    spec: &JobSpec,
    config: Config,
    watcher: &mut Watcher,
    interrupts: &mut Interrupts,
) -> Result<JobEnd, CliError> {
    let (stop, stopped) = watch::channel(false);
    let (sender, mut events) = mpsc::channel(EVENTS_MAX);
    let options = EmbeddedOptions {
        state_dir: config.state_dir,
        stores: config.stores,
        slots: config.slots,
        memory_bytes: config.memory_bytes,
        faults: None,
    };
    let job = embedded::run(spec.clone(), options, Arc::clone(&watcher.meter), sender, stopped);
    let mut job = pin!(job);
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    // Many at a time: around each look at them the job is looked at, too.
    let mut batch = Vec::with_capacity(EVENTS_MAX);
    let end = loop {
        tokio::select! {
            end = &mut job => break end,
            1.. = events.recv_many(&mut batch, EVENTS_MAX) => {
                batch.drain(..).for_each(|event| watcher.handle(&event, &stop));
            }
            _ = ticks.tick() => watcher.tick(&stop),
            () = interrupts.next() => watcher.interrupt(&stop)?,
        }
    };
    events.close();
    while let Some(event) = events.recv().await {
        watcher.handle(&event, &stop);
    }
    Ok(end?)
}

/// Opens the report, if one is asked for. A pipe may have to wait for its reader.
///
/// # Errors
/// When it cannot be opened.
pub(super) async fn open_report(watch: &WatchArgs) -> Result<Option<Report>, CliError> {
    match watch.report.clone() {
        Some(path) => blocking(move || Report::open(&path)).await.map(Some),
        None => Ok(None),
    }
}

/// How progress is shown, given what else is asked for.
pub(super) fn progress_style(global: &Global, config: &Config) -> ProgressStyle {
    match config.progress {
        _ if global.quiet => ProgressStyle::None,
        ProgressStyle::Auto if global.json => ProgressStyle::None,
        style => style,
    }
}

/// The signals that ask the process to stop.
#[derive(Debug)]
pub(super) struct Interrupts {
    interrupt: Signal,
    terminate: Signal,
}

impl Interrupts {
    /// Listens from now on.
    ///
    /// # Errors
    /// When the system refuses.
    pub(super) fn listen() -> Result<Self, CliError> {
        let listen = |kind| {
            signal(kind)
                .map_err(|error| CliError::cannot_run(format!("listen for signals: {error}")))
        };
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    /// Waits for one of them.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    /// What `work` comes to; `None` when one of them comes first, and `work` is given up.
    pub(super) async fn unless_any<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            // One that has come already keeps `work` from beginning.
            biased;
            () = self.next() => None,
            result = work => Some(result),
        }
    }
}

/// Whatever shows or records the events of a job.
#[derive(Debug)]
struct Watcher {
    mode: Mode,
    pass: Pass,
    meter: Arc<Meter>,
    progress: Progress,
    findings: Findings,
    explainer: Option<Explainer>,
    is_listing: bool,
    report: Option<Report>,
    console: Console,
    has_result_lines: bool,
    /// What the target cannot hold.
    lost: AttributeSet,
    /// The same in words, until the job has started: one that is refused loses nothing.
    lost_line: Option<String>,
    is_quiet: bool,
    is_json: bool,
    is_interrupted: bool,
    failure: Option<CliError>,
}

impl Watcher {
    async fn start(
        spec: &JobSpec,
        pass: Pass,
        global: &Global,
        config: &Config,
        watch: &WatchArgs,
        console: &Console,
    ) -> Result<Self, CliError> {
        let is_on_stdout = watch.report.as_deref() == Some(Path::new("-"));
        let report = open_report(watch).await?;
        let style = progress_style(global, config);
        let lost = holds::lost(spec, &config.stores);
        let says_more = style != ProgressStyle::None;
        if says_more {
            console.note(&start_line(spec));
        }
        let meter = Arc::default();
        Ok(Self {
            mode: spec.mode,
            pass,
            explainer: watch
                .explain
                .then(|| Explainer::new(spec.id(), &meter, &config.stores.paces)),
            is_listing: true,
            meter,
            progress: Progress::start(style, console),
            findings: Findings::default(),
            report,
            console: console.clone(),
            has_result_lines: !pass.is_preflight() && !global.json && !is_on_stdout,
            lost,
            lost_line: lost_line(lost).filter(|_| says_more),
            is_quiet: global.quiet,
            is_json: global.json,
            is_interrupted: false,
            failure: None,
        })
    }

    fn handle(&mut self, event: &Event, stop: &watch::Sender<bool>) {
        self.progress.handle(event);
        self.findings.handle(event);
        match event {
            Event::JobStarted { .. } => {
                self.lost_line.take().iter().for_each(|line| self.console.note(line));
            }
            Event::Listing { is_complete, .. } => self.is_listing = !is_complete,
            _ => {}
        }
        let recorded = self.record(event);
        self.stop_on(recorded, stop);
    }

    fn record(&mut self, event: &Event) -> Result<(), CliError> {
        if let Some(report) = &mut self.report {
            report.handle(event)?;
        }
        if let Event::ObjectFinished { object, .. } = event
            && self.has_result_lines
            && let Some(line) = result_line(self.mode, object)
        {
            unless_closed(self.console.print(&line))?;
        }
        Ok(())
    }

    fn tick(&mut self, stop: &watch::Sender<bool>) {
        let (sent, objects) = self.metered();
        self.progress.tick(sent, objects);
        if let Some(explainer) = &mut self.explainer {
            explainer.tick(self.is_listing);
        }
        let flushed = self.report.as_mut().map_or(Ok(()), Report::flush);
        self.stop_on(flushed, stop);
    }

    fn metered(&self) -> (u64, u64) {
        let read = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
        (read(&self.meter.sent), read(&self.meter.objects))
    }

    /// A result that cannot be written ends the job: cleanly, and with that as the reason.
    fn stop_on(&mut self, result: Result<(), CliError>, stop: &watch::Sender<bool>) {
        if let Err(error) = result {
            self.report = None;
            self.failure.get_or_insert(error);
            stop.send_replace(true);
        }
    }

    /// The first interrupt stops the job cleanly; the second is an error that ends it where it is.
    fn interrupt(&mut self, stop: &watch::Sender<bool>) -> Result<(), CliError> {
        if self.is_interrupted {
            let message = format!("stopped at once; {RESUME}");
            return Err(CliError { exit: ExitCode::Interrupted, message });
        }
        self.is_interrupted = true;
        stop.send_replace(true);
        self.console.note(&format!("stopping; {RESUME}"));
        Ok(())
    }

    /// Says what came of the job, everywhere it is to be said.
    fn finish(self, spec: &JobSpec, end: &JobEnd) -> Result<Ended, CliError> {
        let elapsed = self.progress.elapsed();
        let (moved, _) = self.metered();
        self.progress.finish();
        let ended = Ended::of(end, self.pass);
        if ended.is_quiet(self.pass) && self.failure.is_none() {
            // It came too late to stop this pass, and is meant for those that follow as well.
            return if self.is_interrupted { Err(interrupted()) } else { Ok(ended) };
        }
        let has_report = self.report.is_some();
        let explanation = self.explainer.map(|explainer| explainer.finish(self.is_listing));
        let summary = Summary {
            spec,
            end,
            findings: &self.findings,
            moved,
            elapsed,
            has_report,
            has_result_lines: self.has_result_lines,
            explanation: explanation.as_ref(),
            cannot_hold: Some(self.lost),
        };
        summary.tell(self.is_json, self.is_quiet, &self.console);
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        summary.record(self.report, self.is_json, &self.console)?;
        Ok(ended)
    }
}

#[cfg(test)]
mod tests {
    use airlift_coordinator::totals::Totals;
    use airlift_protocol::location::Location;
    use clap::Parser;

    use super::*;
    use crate::cli::args::{Cli, Command};
    use crate::config::{self, Sources};

    /// It was counted as the job's that was about to end, and the next pass went on without it.
    #[tokio::test]
    async fn an_interrupt_that_comes_at_the_end_of_a_preflight_is_not_forgotten() {
        let words = ["airlift", "cp", "--quiet", "--preflight", "/a", "/b"];
        let Cli { global, command } = Cli::try_parse_from(words).unwrap();
        let Command::Cp(args) = command else { panic!("cp is what it says") };
        let env = [("HOME".into(), "/home/someone".into())].into();
        let sources = Sources { env, directory: "/".into(), ..Sources::default() };
        let config = config::load(&sources).unwrap().config;
        let [source, target] = ["/a", "/b"].map(|path| Location::parse(path.as_bytes()).unwrap());
        let (filters, policy) = (Filters::default(), Policy::default());
        let spec = JobSpec { mode: Mode::Copy, source, target, single: None, filters, policy };
        let (kind, console) = (Pass::Preflight { restores: false }, Console::capturing());
        let watch = &args.transfer.watch;
        let end =
            JobEnd { outcome: Outcome::Completed { incomplete: false }, totals: Totals::default() };
        let watcher = async || Watcher::start(&spec, kind, &global, &config, watch, &console).await;
        let quiet = watcher().await.unwrap().finish(&spec, &end).unwrap();
        assert!(quiet.is_quiet(kind));
        let mut interrupted = watcher().await.unwrap();
        interrupted.interrupt(&watch::channel(false).0).unwrap();
        let error = interrupted.finish(&spec, &end).unwrap_err();
        assert_eq!(error.exit, ExitCode::Interrupted);
    }
}
