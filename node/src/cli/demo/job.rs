//! The job of the demonstration: submitted, watched and judged through the API.

use std::io::IsTerminal;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use airlift_coordinator::totals::ByteCounts;
use airlift_protocol::id::JobId;
use airlift_protocol::job::{Filters, LinkPolicy, Mode, Policy};
use airlift_protocol::location::Location;
use airlift_protocol::units::ByteRate;

use super::cluster::Cluster;
use super::node::{SOURCE, TARGET};
use super::{Voice, tree, unproven};
use crate::api::request::{Submission, SubmitRequest};
use crate::api::view::{JobOutcome, JobView};
use crate::cli::exit::CliError;
use crate::cli::progress::Progress;
use crate::config::ProgressStyle;

/// Time that the job is to take without the deaths, so that they come while it runs.
const MOVING_SECONDS: u64 = 7;
/// Time for it to be accepted.
const SUBMIT_MAX: Duration = Duration::from_secs(30);
/// Time for it to come from one step of the story to the next.
const STEP_MAX: Duration = Duration::from_secs(120);

/// A job on its way, and the cluster that does it.
#[derive(Debug)]
pub(super) struct Job {
    /// The cluster.
    pub(super) cluster: Cluster,
    id: JobId,
    target: PathBuf,
    /// Bytes that the files take on the disk.
    allocated: u64,
    progress: Option<Progress>,
}

/// The job's bytes, as the cluster counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct End {
    /// Sent, but for what was lost with the worker.
    pub(super) sent: u64,
    /// Taken over from before the worker's death.
    pub(super) kept: u64,
    /// Of `sent`, at most so many for the second time.
    pub(super) resent: u64,
}

/// One look at the job and at the target's disk.
#[derive(Clone, Debug)]
struct Sight {
    view: JobView,
    arrived: u64,
}

impl Job {
    /// Submits a copy from the one directory to the other, each at its node, of files that take
    /// `allocated` bytes on the disk.
    ///
    /// # Errors
    /// When the cluster does not accept it.
    pub(super) async fn submit(
        mut cluster: Cluster,
        (source, target): (&Path, &Path),
        allocated: u64,
        voice: &Voice,
    ) -> Result<Self, CliError> {
        let at = |node: &str, path: &Path| Location::Node {
            node: node.to_owned(),
            path: path.as_os_str().as_bytes().to_vec(),
        };
        let rate = pace(allocated);
        let submission = Submission {
            mode: Mode::Copy,
            source: at(SOURCE, source),
            target: at(TARGET, target),
            filters: Filters::default(),
            policy: Policy {
                links: LinkPolicy::Copy,
                bandwidth: Some(rate.into()),
                ..Policy::default()
            },
        };
        let request = SubmitRequest::from(&submission);
        let submitted = cluster
            .until("the job is accepted", SUBMIT_MAX, async |client| {
                client.submit(&request).await.map(Some)
            })
            .await?;
        let (id, Submission { source: from, target: to, .. }) = (submitted.id, submission);
        voice.say(&format!("job {id}: {from} → {to}, at {rate}"))?;
        let is_shown = std::io::stderr().is_terminal() && !voice.is_json && !voice.is_quiet;
        let style = if is_shown { ProgressStyle::Bar } else { ProgressStyle::None };
        let progress = Some(Progress::start(style, &voice.console));
        Ok(Self { cluster, id, target: target.to_owned(), allocated, progress })
    }

    /// Waits until so many percent of the bytes have arrived.
    ///
    /// # Errors
    /// When they do not in time, or the job has ended already.
    pub(super) async fn reach(&mut self, percent: u64, what: &str) -> Result<(), CliError> {
        let allocated = self.allocated;
        let waits = format!("{percent} % of the bytes have arrived, so that {what}");
        let sight = self.watch(&waits, |sight| share(sight, allocated) >= percent).await?;
        match sight.view.job.outcome {
            None => Ok(()),
            Some(_) => {
                let outcome = outcome(&sight.view);
                Err(unproven(format!("the job {outcome}, and this was before {what}")))
            }
        }
    }

    /// Waits for its end, which has to be a good one for so many objects.
    ///
    /// # Errors
    /// When it does not end in time, or otherwise.
    pub(super) async fn end(&mut self, objects: u64) -> Result<End, CliError> {
        let sight = self.watch("the job ends", |_| false).await?;
        if let Some(progress) = self.progress.take() {
            progress.finish();
        }
        judge(&sight.view, objects)
    }

    /// Looks until it is time, or the job has ended.
    async fn watch(
        &mut self,
        what: &str,
        is_time: impl Fn(&Sight) -> bool,
    ) -> Result<Sight, CliError> {
        let Self { cluster, id, target, allocated, progress } = self;
        cluster
            .until(what, STEP_MAX, async |client| {
                let view = client.job(*id).await?;
                let sight = Sight { view, arrived: tree::allocated(target) };
                if let Some(progress) = progress.as_mut() {
                    show(progress, &sight, *allocated);
                }
                let is_over = sight.view.job.outcome.is_some();
                Ok((is_over || is_time(&sight)).then_some(sight))
            })
            .await
    }
}

/// The cluster counts a range when it is through; the disk moves more smoothly, and what there is to
/// move is known here.
fn show(progress: &mut Progress, sight: &Sight, allocated: u64) {
    let mut shown = sight.view.clone();
    shown.job.bytes = ByteCounts { total: allocated, sent: sight.arrived, ..ByteCounts::default() };
    shown.job.is_listed = true;
    progress.observe(&shown);
    progress.tick(sight.arrived, 0);
}

/// The rate at which so many bytes take [`MOVING_SECONDS`].
fn pace(bytes: u64) -> ByteRate {
    ByteRate((bytes / MOVING_SECONDS).max(1))
}

/// Share of the bytes that has arrived, in percent: by the disk, or by the cluster where a file system
/// tells late what it holds.
fn share(sight: &Sight, allocated: u64) -> u64 {
    let bytes = &sight.view.job.bytes;
    let percent = |part: u64, whole: u64| part.saturating_mul(100) / whole.max(1);
    percent(sight.arrived, allocated).max(percent(bytes.sent, bytes.total))
}

/// What came of the job, with the first reason that there is.
fn outcome(view: &JobView) -> String {
    let reason = view.failure.as_ref().map(|failure| failure.reason.as_str());
    let reason = reason.or_else(|| view.errors.first().map(|error| error.reason.as_str()));
    let reason = reason.unwrap_or("no reason is given");
    match view.job.outcome {
        None => "goes on".to_owned(),
        Some(JobOutcome::Done) => "is done already".to_owned(),
        Some(JobOutcome::Incomplete) => format!("is incomplete: {reason}"),
        Some(JobOutcome::Stopped) => format!("has stopped: {reason}"),
        Some(JobOutcome::Cancelled) => "was cancelled".to_owned(),
    }
}

/// Sees that the job is done, and by its own counts complete and resumed.
fn judge(view: &JobView, objects: u64) -> Result<End, CliError> {
    if view.job.outcome != Some(JobOutcome::Done) {
        return Err(unproven(format!("the job {}", outcome(view))));
    }
    let counts = &view.job.objects;
    let moved = counts.done + counts.unchanged;
    if moved != objects || counts.total != objects {
        return Err(unproven(format!(
            "of {objects} objects the cluster listed {} and moved {moved}",
            counts.total
        )));
    }
    let ByteCounts { done, sent, resent, .. } = view.job.bytes;
    match done.saturating_sub(sent) {
        0 => Err(unproven("nothing of the half-sent objects was taken over")),
        kept => Ok(End { sent, kept, resent }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::fake;

    /// A job of three objects that is done, and was resumed on the way.
    fn resumed() -> JobView {
        let mut view = fake::ended();
        view.job.objects.total = 3;
        view.job.objects.done = 2;
        view.job.objects.unchanged = 1;
        view.job.bytes = ByteCounts { total: 3000, done: 3000, sent: 2000, resent: 500, wire: 0 };
        view
    }

    #[test]
    fn a_good_end_is_complete_and_resumed() {
        assert_eq!(judge(&resumed(), 3), Ok(End { sent: 2000, kept: 1000, resent: 500 }));
        let refusal = |change: fn(&mut JobView), objects| {
            let mut view = resumed();
            change(&mut view);
            judge(&view, objects).unwrap_err().message
        };
        let same: fn(&mut JobView) = |_| {};
        assert_eq!(refusal(same, 4), "of 4 objects the cluster listed 3 and moved 3");
        let lost: fn(&mut JobView) = |view| view.job.objects.done = 1;
        assert_eq!(refusal(lost, 3), "of 3 objects the cluster listed 3 and moved 2");
        let anew: fn(&mut JobView) = |view| view.job.bytes.sent = 3000;
        assert_eq!(refusal(anew, 3), "nothing of the half-sent objects was taken over");
        let bad: fn(&mut JobView) = |view| *view = fake::ended_badly();
        assert_eq!(refusal(bad, 3), "the job is incomplete: open b: permission denied");
    }

    #[test]
    fn a_job_that_ended_otherwise_says_why() {
        let error = judge(&fake::stopped(), 3).unwrap_err().message;
        assert_eq!(error, "the job has stopped: the target has no space left");
        assert_eq!(judge(&fake::begun(), 3).unwrap_err().message, "the job goes on");
    }

    #[test]
    fn what_has_arrived_is_seen_on_the_disk_or_by_the_cluster() {
        let mut sight = Sight { view: fake::begun(), arrived: 0 };
        assert_eq!(share(&sight, 2000), 0);
        sight.arrived = 900;
        assert_eq!(share(&sight, 2000), 45);
        sight.view.job.bytes.sent = 2100;
        assert_eq!(share(&sight, 2000), 70);
        assert_eq!(share(&sight, 0), 90_000, "an empty tree is no reason to divide by nothing");
    }

    #[test]
    fn the_pace_leaves_time_to_kill() {
        assert_eq!(pace(70 << 20), ByteRate(10 << 20));
        assert_eq!(pace(0), ByteRate(1));
    }
}
