//! What a job came to, for people and for scripts.

use std::borrow::Cow;
use std::time::Duration;

use airlift_coordinator::event::{Event, ObjectEnd, Outcome, Status};
use airlift_coordinator::totals::{ArchivedCounts, ByteCounts, DroppedCounts, Portion, Totals};
use airlift_protocol::assignment::End;
use airlift_protocol::attributes::AttributeSet;
use airlift_protocol::error::{ErrorCode, Failure};
use airlift_protocol::id::JobId;
use airlift_protocol::job::{JobSpec, Mode, ServerSide};
use airlift_protocol::key::Key;
use airlift_protocol::units::{ByteCount, ByteRate};
use serde_json::{Value, json};

use super::console::{Console, unless_closed};
use super::exit::{CliError, ExitCode};
use super::explain::Explanation;
use super::format::{count, rate, span};
use super::report::Report;
use crate::api::line::JsonKey;
use crate::api::view::JobView;
use crate::runtime::embedded::JobEnd;

/// Troubles that the JSON document names.
const TROUBLES_MAX: usize = 100;
/// Troubles that the text names.
const LINES_MAX: usize = 10;
/// What brings back a job that was stopped.
pub(super) const RESUME: &str = "run the same command again to resume";
/// The same where the budget has come to its end.
const RAISE: &str = "run the same command with a higher budget to resume";

fn way_on(failure: &Failure) -> &'static str {
    if failure.code == ErrorCode::OverBudget { RAISE } else { RESUME }
}

/// One thing that went wrong, or was left out.
#[derive(Clone, Debug)]
pub(super) struct Trouble {
    key: Key,
    status: Cow<'static, str>,
    code: Option<Cow<'static, str>>,
    reason: String,
}

/// What went wrong: counted, and the first ones kept by name.
#[derive(Debug, Default)]
pub(super) struct Findings {
    troubles: Vec<Trouble>,
    count: u64,
    /// How many of `count` are results of a comparison.
    differences: u64,
    refusals: Vec<String>,
    /// The job, when a cluster keeps its report.
    job: Option<JobId>,
}

impl Findings {
    /// Takes note of an event.
    pub(super) fn handle(&mut self, event: &Event) {
        match event {
            Event::ObjectFinished { object, .. } if object.status.is_trouble() => {
                self.add(Trouble::of_object(object));
            }
            Event::Unreadable { end, key, failure, .. } => self.add(Trouble {
                key: key.clone(),
                status: match end {
                    End::Source => "unreadable at the source".into(),
                    End::Target => "unreadable at the target".into(),
                },
                code: Some(failure.code.as_str().into()),
                reason: failure.detail().to_owned(),
            }),
            Event::LeftOver { key, failure, .. } => self.add(Trouble {
                key: key.clone(),
                status: "left_over".into(),
                code: Some(failure.code.as_str().into()),
                reason: failure.detail().to_owned(),
            }),
            Event::DeletesRefused { reason, .. } => self.refusals.push(reason.clone()),
            Event::ObjectFinished { .. }
            | Event::JobStarted { .. }
            | Event::Listing { .. }
            | Event::JobEnded { .. } => {}
        }
    }

    /// What a cluster says of a job that it ran.
    pub(super) fn of_view(view: &JobView) -> Self {
        let trouble = |error: &crate::api::view::ErrorView| Trouble {
            key: error.key.to_key().unwrap_or_else(|| Key::from(error.key.key.as_str())),
            status: error.status.clone().into(),
            code: error.code.clone().map(Cow::from),
            reason: error.reason.clone(),
        };
        let counts = &view.job.objects;
        let differences = [counts.differs, counts.missing, counts.extra];
        Self {
            troubles: view.errors.iter().take(TROUBLES_MAX).map(trouble).collect(),
            // A node of an older build counts neither skipped objects nor differences among its errors.
            count: view.error_count.max(view.errors.len() as u64).max(counts.troubles()),
            differences: differences.into_iter().fold(0, u64::saturating_add),
            refusals: view.deletes_refused.clone(),
            job: Some(view.job.id),
        }
    }

    fn add(&mut self, trouble: Trouble) {
        self.count += 1;
        self.differences += u64::from(trouble.is_difference());
        if self.troubles.len() < TROUBLES_MAX {
            self.troubles.push(trouble);
        }
    }
}

impl Trouble {
    fn of_object(object: &ObjectEnd) -> Self {
        let (code, reason) = object.reason.clone().unwrap_or_default();
        let code = code.map(|code| code.as_str().into());
        Self { key: object.key.clone(), status: object.status.as_str().into(), code, reason }
    }

    fn is_difference(&self) -> bool {
        let differences = [Status::Differs, Status::Missing, Status::Extra];
        differences.into_iter().any(|status| status.as_str() == self.status)
    }

    fn line(&self) -> String {
        match self.reason.as_str() {
            "" => format!("{:<9} {}", self.status, self.key),
            reason => format!("{:<9} {}: {reason}", self.status, self.key),
        }
    }

    fn json(&self) -> Value {
        let JsonKey { key, key_base64 } = JsonKey::from(&self.key);
        let mut value = json!({
            "key": key,
            "status": self.status,
            "code": self.code,
            "reason": self.reason,
        });
        if let Some(bytes) = key_base64 {
            value["key_base64"] = bytes.into();
        }
        value
    }
}

/// A job that has ended, with all that is to be said about it.
#[derive(Debug)]
pub(super) struct Summary<'a> {
    /// What was asked for.
    pub spec: &'a JobSpec,
    /// How it ended.
    pub end: &'a JobEnd,
    /// What went wrong.
    pub findings: &'a Findings,
    /// Bytes that this run has moved by the meter: those of unfinished objects too.
    pub moved: u64,
    /// How long this run took.
    pub elapsed: Duration,
    /// Whether every trouble is in a report.
    pub has_report: bool,
    /// Whether every difference is on standard output.
    pub has_result_lines: bool,
    /// Where the time went, if that is asked for.
    pub explanation: Option<&'a Explanation>,
    /// What objects may carry and the target cannot hold, where that is known.
    pub cannot_hold: Option<AttributeSet>,
}

impl Summary<'_> {
    /// The document that `--json` prints, and the last line of the report holds.
    pub(super) fn json(&self) -> Value {
        let exit = ExitCode::of_job(self.end);
        let Totals { objects, bytes, dropped, copied, archived } = &self.end.totals;
        let mut value = json!({
            "job": self.spec.id().to_string(),
            "mode": mode_name(self.spec.mode),
            "source": self.spec.source.to_string(),
            "target": self.spec.target.to_string(),
            "dry_run": self.spec.policy.dry_run,
            "outcome": outcome_name(exit),
            "exit_code": exit.number(),
            "objects": objects,
            "bytes": ByteCounts { sent: self.sent(), ..*bytes },
            "dropped": dropped,
            "server_side": copied,
            "archived": archived,
            "seconds": self.elapsed.as_secs_f64(),
            "rate_bytes_per_second": rate(self.sent(), self.elapsed),
            "trouble_count": self.findings.count,
            "errors": self.findings.troubles.iter().map(Trouble::json).collect::<Vec<_>>(),
            "deletes_refused": self.findings.refusals,
        });
        if let Some(lost) = self.cannot_hold {
            value["cannot_hold"] = json!(lost);
        }
        if let Some(single) = &self.spec.single {
            value["source_key"] = json!(JsonKey::from(&single.source_key));
            value["target_key"] = json!(JsonKey::from(&single.target_key));
        }
        if let Outcome::Stopped(failure) = &self.end.outcome {
            value["reason"] = failure.detail().into();
            value["code"] = failure.code.as_str().into();
            value["resume"] = way_on(failure).into();
        }
        if let Some(explanation) = self.explanation {
            value["explanation"] = explanation.json();
        }
        value
    }

    /// The block that people read: counts, bytes, and what went wrong by name.
    pub(super) fn text(&self) -> String {
        let mut lines = vec![self.headline()];
        lines.push(format!("  objects   {}", self.objects()));
        lines.push(format!("  bytes     {}", self.bytes()));
        lines.extend(self.by_sums());
        lines.extend(self.copied());
        lines.extend(self.dropped());
        lines.extend(self.archived());
        lines.extend(self.explanation.map(Explanation::lines).into_iter().flatten());
        lines.extend(self.troubles());
        lines.join("\n")
    }

    /// How equality was shown, where not all was read.
    fn by_sums(&self) -> Option<String> {
        let objects = &self.end.totals.objects;
        let (by_sum, read) = (objects.equal_by_sum, objects.equal - objects.equal_by_sum);
        (by_sum > 0).then(|| {
            let (by_sum, read) = (count(by_sum), count(read));
            format!("  shown     {by_sum} equal by sums that the stores keep, {read} by reading both ends")
        })
    }

    /// What the service of both ends copied itself, and what it did not, where it was to copy at all: of a
    /// cluster's job only what it did tells that.
    fn copied(&self) -> Option<String> {
        let Totals { objects, copied, .. } = self.end.totals;
        let moved = objects.done.saturating_sub(copied.objects);
        let is_wanted = copied.objects > 0 || self.spec.policy.server_side != ServerSide::Never;
        let bytes = ByteCount(copied.bytes);
        let mut text = format!("  service   {} copied by it, {bytes}", count(copied.objects));
        if moved > 0 {
            let why = "no sums that it stores would prove a copy, or the ends are not in one";
            text.push_str(&format!("; {} moved: {why}", count(moved)));
        }
        (is_wanted && !self.spec.policy.dry_run && objects.done > 0).then_some(text)
    }

    /// What the target could not hold of what objects carry beside their bytes, if anything.
    fn dropped(&self) -> Option<String> {
        let DroppedCounts { objects, attributes } = self.end.totals.dropped;
        let names = attributes.names().join(", ");
        let objects = count(objects);
        (!attributes.is_empty())
            .then(|| format!("  dropped   {names} of {objects}: the target cannot hold it"))
    }

    /// What lies in an archive, if anything.
    fn archived(&self) -> Vec<String> {
        let ArchivedCounts { resting, restoring } = self.end.totals.archived;
        let lines = [
            ("archived", resting, "--restore asks for it"),
            ("restoring", restoring, "run the same command again when it can be read"),
        ];
        let line = |(name, portion, way_out): (&str, Portion, &str)| {
            let text = format!("  {name:<9} {}: {way_out}", portion_text(portion));
            (portion.objects > 0).then_some(text)
        };
        lines.into_iter().filter_map(line).collect()
    }

    /// What went wrong, by name as far as there is room; empty when nothing did.
    pub(super) fn troubles(&self) -> Vec<String> {
        let Findings { troubles, count: all, differences, job, .. } = self.findings;
        let is_said = |trouble: &&Trouble| self.has_result_lines && trouble.is_difference();
        let names = troubles.iter().filter(|trouble| !is_said(trouble)).take(LINES_MAX);
        let mut lines: Vec<String> = names.map(|trouble| format!("  {}", trouble.line())).collect();
        let said = if self.has_result_lines { *differences } else { 0 };
        let rest = all.saturating_sub(said + lines.len() as u64);
        if rest > 0 {
            let place = match job {
                _ if self.has_report => "the report names".to_owned(),
                Some(job) => format!("airlift job report {job} names"),
                None => "--report FILE names".to_owned(),
            };
            let rest = rest_text(rest, lines.is_empty());
            lines.push(format!("  {rest}; {place} all"));
        }
        lines.extend(self.findings.refusals.iter().map(|reason| format!("  deletes   {reason}")));
        lines
    }

    /// Says what came of the job on standard error.
    pub(super) fn tell(&self, is_json: bool, is_quiet: bool, console: &Console) {
        if !is_json && !is_quiet {
            console.note(&self.text());
        } else if !is_json {
            self.troubles().iter().for_each(|line| console.note(line.trim_start()));
        }
    }

    /// Writes what came of the job to the report and, where that is asked for, to standard output.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn record(
        &self,
        report: Option<Report>,
        is_json: bool,
        console: &Console,
    ) -> Result<(), CliError> {
        if let Some(report) = report {
            report.finish(&self.json())?;
        }
        if is_json {
            unless_closed(console.print(&self.json().to_string()))?;
        }
        Ok(())
    }

    /// The totals know what was sent of a piece when the piece is through, the meter at once.
    fn sent(&self) -> u64 {
        self.end.totals.bytes.sent.max(self.moved)
    }

    fn headline(&self) -> String {
        let name = mode_name(self.spec.mode);
        match (&self.end.outcome, ExitCode::of_job(self.end)) {
            (Outcome::Stopped(_), ExitCode::Interrupted) => {
                format!("airlift {name}: interrupted; {RESUME}")
            }
            (Outcome::Stopped(failure), _) => {
                let way_on = way_on(failure);
                format!("airlift {name}: stopped: {failure}; nothing is lost, {way_on}")
            }
            (Outcome::Completed { .. }, ExitCode::Done) if self.spec.policy.dry_run => {
                format!("airlift {name}: dry run, nothing was changed")
            }
            (Outcome::Completed { .. }, ExitCode::Done) => format!("airlift {name}: all done"),
            (Outcome::Completed { .. }, _) => format!("airlift {name}: ended, but not all is well"),
        }
    }

    fn objects(&self) -> String {
        let objects = &self.end.totals.objects;
        let (done, deleted) = match self.spec.policy.dry_run {
            true => ("to copy", "to delete"),
            false => ("copied", "deleted"),
        };
        let parts = [
            (objects.done, done),
            (objects.unchanged, "unchanged"),
            (objects.equal, "equal"),
            (objects.differs, "differ"),
            (objects.missing, "missing"),
            (objects.extra, "extra"),
            (objects.deleted, deleted),
            (objects.skipped, "skipped"),
            (objects.failed, "failed"),
        ];
        let named: Vec<String> = parts
            .into_iter()
            .filter(|(number, _)| *number > 0)
            .map(|(number, name)| format!("{} {name}", count(number)))
            .collect();
        match named.is_empty() {
            true => count(objects.total),
            false => format!("{}: {}", count(objects.total), named.join(", ")),
        }
    }

    fn bytes(&self) -> String {
        let bytes = &self.end.totals.bytes;
        let took = span(self.elapsed);
        let mut text = format!("{} in {took}", ByteCount(bytes.total));
        if self.sent() > 0 {
            let (sent, rate) = (ByteCount(self.sent()), ByteRate(rate(self.sent(), self.elapsed)));
            text.push_str(&format!("; {sent} moved, {rate}"));
        }
        if bytes.resent > 0 {
            text.push_str(&format!("; at most {} of it again", ByteCount(bytes.resent)));
        }
        text
    }
}

/// How many things are not well beside those that were named, if any were.
pub(super) fn rest_text(rest: u64, are_all: bool) -> String {
    match (are_all, rest) {
        (false, rest) => format!("and {} more", count(rest)),
        (true, 1) => "1 is not well and not named here".to_owned(),
        (true, rest) => format!("{} are not well and not named here", count(rest)),
    }
}

/// The line that says, on standard output, what became of an object, where that is the result.
pub(super) fn result_line(mode: Mode, object: &ObjectEnd) -> Option<String> {
    result_text(mode, object.status.as_str(), &object.key)
}

/// As [`result_line`], of an object's status and key.
pub(super) fn result_text(mode: Mode, status: &str, key: &Key) -> Option<String> {
    let word = match status {
        "would_copy" => "would copy",
        "would_delete" => "would delete",
        "differs" | "missing" | "extra" if mode == Mode::Verify => status,
        _ => return None,
    };
    let width = if mode == Mode::Verify { 7 } else { 12 };
    Some(format!("{word:<width$}  {key}"))
}

/// Objects and their bytes, for people.
pub(super) fn portion_text(portion: Portion) -> String {
    let noun = if portion.objects == 1 { "object" } else { "objects" };
    format!("{} {noun}, {}", count(portion.objects), ByteCount(portion.bytes))
}

/// The line that says, before anything moves, what the target cannot hold; `None` when it holds all.
pub(super) fn lost_line(lost: AttributeSet) -> Option<String> {
    let names = lost.names().join(", ");
    let text = format!("the target cannot hold {names}: objects that have it arrive without it");
    (!lost.is_empty()).then_some(text)
}

/// The line that says what begins.
pub(super) fn start_line(spec: &JobSpec) -> String {
    let (name, source, target) = (mode_name(spec.mode), &spec.source, &spec.target);
    let bound = match &spec.single {
        Some(single) => {
            format!("{} of {source} → {} of {target}", single.source_key, single.target_key)
        }
        None => format!("{source} → {target}"),
    };
    format!("airlift {name}: {bound}")
}

/// The word of the command line for a mode.
pub(super) fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Copy => "cp",
        Mode::Sync => "sync",
        Mode::Verify => "verify",
    }
}

fn outcome_name(exit: ExitCode) -> &'static str {
    match exit {
        ExitCode::Done => "done",
        ExitCode::Trouble => "incomplete",
        ExitCode::Interrupted => "interrupted",
        ExitCode::Usage | ExitCode::CannotRun => "stopped",
    }
}

#[cfg(test)]
mod tests;
