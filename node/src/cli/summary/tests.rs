//! Tests of both forms of the summary.

use airlift_protocol::attributes::AttributeSet;
use airlift_protocol::error::{ErrorCode, Failure};
use airlift_protocol::id::JobId;
use airlift_protocol::job::{Filters, Policy};
use airlift_protocol::location::Location;

use super::*;

const JOB: JobId = JobId([1; 16]);

fn spec(mode: Mode) -> JobSpec {
    JobSpec {
        mode,
        source: Location::Path(b"/a".to_vec()),
        target: Location::parse(b"s3://b/p/").unwrap(),
        single: None,
        filters: Filters::default(),
        policy: Policy::default(),
    }
}

fn failed(key: String) -> Event {
    let reason = Some((Some(ErrorCode::Io), "read: input/output error".to_owned()));
    let key = Key::new(key.into_bytes());
    let (status, dropped) = (Status::Failed, AttributeSet::NONE);
    let object = ObjectEnd { key, status, bytes: 5, root: None, reason, dropped, sum: None };
    Event::ObjectFinished { job: JOB, object }
}

fn end(outcome: Outcome) -> JobEnd {
    let mut totals = Totals::default();
    totals.objects.total = 1200;
    totals.objects.done = 1100;
    totals.objects.failed = 100;
    totals.bytes.total = 3 << 20;
    totals.bytes.sent = 2 << 20;
    totals.bytes.resent = 1 << 20;
    JobEnd { outcome, totals }
}

fn check(
    spec: &JobSpec,
    outcome: Outcome,
    events: impl Iterator<Item = Event>,
) -> (Vec<String>, Value) {
    let mut findings = Findings::default();
    events.for_each(|event| findings.handle(&event));
    let end = end(outcome);
    let elapsed = Duration::from_secs(2);
    let summary = Summary {
        spec,
        end: &end,
        findings: &findings,
        moved: 0,
        elapsed,
        has_report: false,
        has_result_lines: spec.mode == Mode::Verify,
        explanation: None,
        cannot_hold: None,
    };
    (summary.text().lines().map(str::to_owned).collect(), summary.json())
}

#[test]
fn the_text_names_ten_troubles_and_counts_the_rest() {
    let troubles = (0..100).map(|index| failed(format!("k{index}")));
    let outcome = Outcome::Completed { incomplete: false };
    let (lines, json) = check(&spec(Mode::Copy), outcome, troubles);
    assert_eq!(lines[0], "airlift cp: ended, but not all is well");
    assert_eq!(lines[1], "  objects   1,200: 1,100 copied, 100 failed");
    assert_eq!(
        lines[2],
        "  bytes     3.0 MiB in 2.0 s; 2.0 MiB moved, 1.0 MiB/s; at most 1.0 MiB of it again"
    );
    assert_eq!(lines[3], "  failed    k0: read: input/output error");
    assert_eq!(lines[13], "  and 90 more; --report FILE names all");
    assert_eq!(lines.len(), 14);
    assert_eq!(json["exit_code"], 1);
    assert_eq!(json["errors"].as_array().unwrap().len(), 100);
    assert_eq!(json["errors"][0]["code"], "io");
}

#[test]
fn the_document_names_no_more_than_its_share() {
    let troubles = (0..500).map(|index| failed(format!("k{index}")));
    let (_, json) = check(&spec(Mode::Copy), Outcome::Completed { incomplete: false }, troubles);
    assert_eq!(json["errors"].as_array().unwrap().len(), TROUBLES_MAX);
    assert_eq!(json["trouble_count"], 500);
    assert_eq!(json["rate_bytes_per_second"], 1 << 20);
    assert_eq!(json["bytes"]["resent"], 1 << 20);
    assert_eq!(json["source"], "/a");
}

#[test]
fn a_stopped_job_says_why_and_how_to_go_on() {
    let stopped = Outcome::Stopped(Failure::new(ErrorCode::NoSpace, "write x: no space left"));
    let (lines, json) = check(&spec(Mode::Sync), stopped, std::iter::empty());
    assert_eq!(
        lines[0],
        "airlift sync: stopped: write x: no space left; nothing is lost, run the same command again to resume"
    );
    assert_eq!((json["exit_code"].as_u64(), json["code"].as_str()), (Some(3), Some("no_space")));
    assert_eq!(json["resume"], RESUME);
    let over = Outcome::Stopped(Failure::new(ErrorCode::OverBudget, "enough"));
    let (lines, json) = check(&spec(Mode::Sync), over, std::iter::empty());
    assert!(lines[0].ends_with("run the same command with a higher budget to resume"), "{lines:?}");
    assert_eq!(
        (json["resume"].as_str(), json["code"].as_str()),
        (Some(RAISE), Some("over_budget"))
    );
    let cancelled = Outcome::Stopped(Failure::new(ErrorCode::Cancelled, "interrupted"));
    let (lines, json) = check(&spec(Mode::Copy), cancelled, std::iter::empty());
    assert_eq!(lines[0], "airlift cp: interrupted; run the same command again to resume");
    assert_eq!(json["outcome"], "interrupted");
}

#[test]
fn differences_that_stand_on_standard_output_are_not_named_again() {
    let differs = |index: u64| {
        let key = Key::from(format!("d{index}").as_str());
        let (status, dropped) = (Status::Differs, AttributeSet::NONE);
        let object =
            ObjectEnd { key, status, bytes: 1, root: None, reason: None, dropped, sum: None };
        Event::ObjectFinished { job: JOB, object }
    };
    let troubles = (0..30).map(differs).chain([failed("k".to_owned())]);
    let outcome = Outcome::Completed { incomplete: false };
    let (lines, json) = check(&spec(Mode::Verify), outcome, troubles);
    assert_eq!(lines[3..], ["  failed    k: read: input/output error"]);
    assert_eq!(json["errors"].as_array().unwrap().len(), 31);
}

#[test]
fn refused_deletes_are_said() {
    let refused = Event::DeletesRefused { job: JOB, reason: "the source is empty".to_owned() };
    let (lines, json) =
        check(&spec(Mode::Sync), Outcome::Completed { incomplete: true }, std::iter::once(refused));
    assert_eq!(lines.last().unwrap(), "  deletes   the source is empty");
    assert_eq!(json["deletes_refused"][0], "the source is empty");
}

#[test]
fn differences_and_dry_runs_have_their_lines_on_standard_output() {
    let object = |status| ObjectEnd {
        key: Key::from(b"a\nb".as_slice()),
        status,
        bytes: 0,
        root: None,
        reason: None,
        dropped: AttributeSet::NONE,
        sum: None,
    };
    for (mode, status, line) in [
        (Mode::Verify, Status::Differs, Some("differs  a\\x0ab")),
        (Mode::Verify, Status::Missing, Some("missing  a\\x0ab")),
        (Mode::Verify, Status::Extra, Some("extra    a\\x0ab")),
        (Mode::Verify, Status::Equal, None),
        (Mode::Copy, Status::WouldCopy, Some("would copy    a\\x0ab")),
        (Mode::Sync, Status::WouldDelete, Some("would delete  a\\x0ab")),
        (Mode::Copy, Status::Done, None),
    ] {
        assert_eq!(result_line(mode, &object(status)).as_deref(), line);
    }
}
