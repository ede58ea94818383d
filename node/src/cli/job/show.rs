//! Jobs as text.

use std::time::Duration;

use airlift_coordinator::scheduler::bottleneck::Bottleneck;
use airlift_coordinator::totals::ObjectCounts;
use airlift_protocol::job::Priority;
use airlift_protocol::units::{ByteCount, ByteRate};

use crate::api::throttle::ThrottleView;
use crate::api::view::{
    EndView, JobList, JobMode, JobNodeView, JobRole, JobState, JobSummary, JobView, RangeView,
};
use crate::cli::budget;
use crate::cli::format::{clock, count};
use crate::cli::summary::rest_text;
use crate::cli::table::{self, Row};

/// One line a job.
pub(super) fn table(list: &JobList) -> String {
    if list.jobs.is_empty() {
        return "no jobs".to_owned();
    }
    let heads: Row<8> = ["JOB", "MODE", "STATE", "OBJECTS", "BYTES", "RATE", "SUBMITTED", "ENDS"];
    let rows = list.jobs.iter().map(|job| {
        let more = if job.is_listed { "" } else { "+" };
        let objects = &job.objects;
        let rate = match job.rate_bytes_per_second {
            0 => "-".to_owned(),
            rate => ByteRate(rate).to_string(),
        };
        [
            job.id.to_string(),
            mode(job.mode).to_owned(),
            job.state.as_str().to_owned(),
            format!("{}/{}{more}", count(objects.finished()), count(objects.total)),
            format!("{}/{}{more}", ByteCount(job.settled_bytes()), ByteCount(job.bytes.total)),
            rate,
            job.submitted_at.clone(),
            format!("{} → {}", job.source, job.target),
        ]
    });
    table::print(heads.map(str::to_owned), rows)
}

fn mode(mode: JobMode) -> &'static str {
    match mode {
        JobMode::Cp => "cp",
        JobMode::Sync => "sync",
        JobMode::Verify => "verify",
    }
}

/// All of one job.
pub(super) fn page(view: &JobView) -> String {
    let job = &view.job;
    let (objects, bytes) = (&job.objects, &job.bytes);
    let more = if job.is_listed { "" } else { "+" };
    let mut lines = vec![
        format!("job         {}  run {}", job.id, job.run),
        format!("mode        {}{}", mode(job.mode), if job.dry_run { ", dry run" } else { "" }),
        format!("state       {}", job.state.as_str()),
        format!("source      {}", job.source),
        format!("target      {}", job.target),
    ];
    if let Some(single) = &view.single {
        lines.push(format!("object      {} → {}", single.source_key, single.target_key));
    }
    lines.push(format!("objects     {}{more}{}", count(objects.total), counts(objects)));
    lines.push(format!(
        "bytes       {}{more}, {} done, {} sent, {} on the wire, {} again",
        ByteCount(bytes.total),
        ByteCount(bytes.done),
        ByteCount(bytes.sent),
        ByteCount(bytes.wire),
        ByteCount(bytes.resent),
    ));
    lines.push(format!("submitted   {}", job.submitted_at));
    match &job.ended_at {
        Some(at) => lines.push(format!("ended       {at}")),
        None => lines.push(format!("rate        {}", pace(job))),
    }
    lines.extend(limit(view));
    lines.extend(job.budget.iter().flat_map(budget::lines));
    if view.priority != Priority::NORMAL.weight() {
        lines.push(format!("priority    {}", view.priority));
    }
    if job.outcome.is_none() {
        lines.push(format!("bottleneck  {}", view.job.bottleneck.as_str()));
    }
    lines.extend(view.throttles.iter().map(throttle));
    lines.extend(view.nodes.iter().map(node));
    lines.extend(view.ranges.iter().map(range));
    if let Some(failure) = &view.failure {
        let how = if job.state == JobState::Paused { "paused by" } else { "stopped by" };
        lines.push(format!("{how:<10}  {}", plain(&failure.reason)));
    }
    if let Some(seconds) = view.retry_seconds {
        let after = clock(Duration::from_secs(seconds));
        let id = job.id;
        lines
            .push(format!("tried       again in {after}, or at once with airlift job resume {id}"));
    }
    lines
        .extend(view.deletes_refused.iter().map(|reason| format!("deletes     {}", plain(reason))));
    lines.extend(troubles(view));
    lines.join("\n")
}

fn limit(view: &JobView) -> Option<String> {
    let now = view.bandwidth_bytes_per_second.map(|rate| ByteRate(rate).to_string());
    let schedule = view.bandwidth_schedule.as_deref().map(plain);
    match (now, schedule) {
        (Some(now), None) => Some(format!("limit       {now}")),
        (now, Some(schedule)) => {
            let now = now.unwrap_or_else(|| "none".to_owned());
            Some(format!("limit       {now} now, by {schedule}"))
        }
        (None, None) => None,
    }
}

/// What became of them, as far as anything has.
fn counts(objects: &ObjectCounts) -> String {
    let counts = [
        (objects.done, "done"),
        (objects.unchanged, "unchanged"),
        (objects.equal, "equal"),
        (objects.equal_by_sum, "of them by sums of the stores"),
        (objects.differs, "differ"),
        (objects.missing, "missing"),
        (objects.extra, "extra"),
        (objects.deleted, "deleted"),
        (objects.skipped, "skipped"),
        (objects.failed, "failed"),
    ];
    let counts = counts.into_iter().filter(|(number, _)| *number > 0);
    counts.map(|(number, name)| format!(", {} {name}", count(number))).collect()
}

fn throttle(throttle: &ThrottleView) -> String {
    let ThrottleView { store, kind, requests_per_second, answered_per_second, nodes } = throttle;
    let who = if *nodes == 1 { "1 node".to_owned() } else { format!("{nodes} nodes together") };
    format!(
        "throttled   {kind} of {}: {who} may ask for {requests_per_second} a second, {answered_per_second} lately answered",
        plain(store)
    )
}

fn node(node: &JobNodeView) -> String {
    let mut parts = vec![node.name.clone()];
    let (read, write) = (node.read_bytes_per_second, node.write_bytes_per_second);
    if node.role != JobRole::Target {
        parts.push(format!("reads {}", ByteRate(read)));
    }
    if node.role != JobRole::Source {
        parts.push(format!("writes {}", ByteRate(write)));
    }
    parts.push(format!("{} at once", node.assignments));
    if node.busiest != Bottleneck::None {
        parts.push(format!("mostly {}", node.busiest.as_str()));
    }
    format!("node        {}", parts.join("  "))
}

fn range(range: &RangeView) -> String {
    let end = match range.end {
        EndView::Source => "source",
        EndView::Target => "target",
    };
    let from = range.after.as_ref().map(|key| format!(" after {key}")).unwrap_or_default();
    let to = range
        .until
        .as_ref()
        .map_or_else(|| " to the end".to_owned(), |key| format!(" up to {key}"));
    format!("listing     {end}: {} listed,{from}{to}", count(range.objects))
}

fn pace(job: &JobSummary) -> String {
    let rate = ByteRate(job.rate_bytes_per_second);
    match job.eta_seconds {
        Some(seconds) => format!("{rate}, ETA {}", clock(Duration::from_secs(seconds))),
        None => rate.to_string(),
    }
}

fn troubles(view: &JobView) -> Vec<String> {
    let mut lines: Vec<String> = view
        .errors
        .iter()
        .map(|error| {
            let key = error.key.to_key().unwrap_or_default();
            format!("  {:<9} {key}: {}", error.status, plain(&error.reason))
        })
        .collect();
    let rest = view.error_count.saturating_sub(lines.len() as u64);
    if rest > 0 {
        let (rest, id) = (rest_text(rest, lines.is_empty()), view.job.id);
        lines.push(format!("  {rest}; airlift job report {id} names all"));
    }
    lines
}

/// Text of other machines, without what moves a cursor.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::fake;

    #[test]
    fn a_job_says_what_buckets_grant_and_when_it_is_tried_again() {
        let mut view = fake::begun();
        let plain = page(&view);
        assert!(!plain.contains("throttled") && !plain.contains("tried"), "{plain}");
        view.throttles = vec![fake::throttle()];
        view.retry_seconds = Some(90);
        let text = page(&view);
        for line in [
            "throttled   writes of s3://data at AWS S3 in eu-west-1: 3 nodes together may ask for 340 a second, 331 lately answered",
            "tried       again in 1:30, or at once with airlift job resume abababababababababababababababab",
        ] {
            assert!(text.lines().any(|it| it == line), "{text}");
        }
    }
}
