//! The listing of a bucket of many keys, on a server that keeps none of them: how fast it is, and how
//! soon the first object moves.

use std::time::{Duration, Instant};

use airlift_tests::keys::{KeyServer, SOURCE, TARGET};

use crate::bench::Bench;
use crate::contest::{Kind, Record, Run};
use crate::process::{Daemon, Task, text};
use crate::row::{Report, Unit};
use crate::stop;

/// Time for all of them: a hundred million keys take an hour at less than 30,000 a second.
const TIME_MAX: Duration = Duration::from_secs(2 * 3600);

/// Time for the first object to move.
const FIRST_MAX: Duration = Duration::from_secs(20);

pub(crate) fn run(bench: &Bench) -> Result<Report, String> {
    let keys = bench.keys.unwrap_or_else(|| bench.amount(1_000_000, 20_000));
    let server = KeyServer::start(keys).map_err(|error| error.to_string())?;
    let mut record = Record {
        name: "airlift",
        kind: Kind::Airlift,
        runs: Vec::new(),
        skipped: None,
        failed: None,
    };
    for _ in 0..bench.rounds {
        if stop::is_wanted() {
            break;
        }
        match list(bench, &server, keys) {
            Ok(run) => record.runs.push(run),
            Err(reason) => {
                record.failed = Some(reason);
                break;
            }
        }
    }
    let first = first_object(bench)?;
    let busy = record.runs.iter().map(|run| run.cpu_seconds * 1e6 / keys as f64);
    let busy: Vec<String> = busy.map(|each| format!("{each:.1}")).collect();
    let remarks = vec![
        format!("microseconds of CPU for each key, of the tool alone: {}", busy.join(", ")),
        "listed with --dry-run: compared with an empty bucket, and nothing moved".to_owned(),
        format!("the first object was sent {first:.2} s after the start of another run"),
    ];
    let records = vec![record];
    Ok(Report { unit: Unit::Keys, bytes: keys, files: keys, link: None, records, remarks })
}

/// Lists all keys, without moving one.
fn list(bench: &Bench, server: &KeyServer, keys: u64) -> Result<Run, String> {
    let room = bench.room()?;
    let ended = task(bench, server, &room.path().join("state"), &["--dry-run", "--json"]).run()?;
    let summary = ended.stdout.lines().last().unwrap_or_default();
    let summary: serde_json::Value =
        serde_json::from_str(summary).map_err(|error| format!("'{summary}': {error}"))?;
    let found = &summary["objects"]["done"];
    if *found != keys {
        return Err(format!("{found} keys of {keys} were listed"));
    }
    let peaks = [("airlift".to_owned(), ended.peak_bytes)].into();
    let cpu_seconds = ended.usage.seconds();
    Ok(Run { seconds: ended.seconds, cpu_seconds, peaks, notes: [].into() })
}

/// Seconds from the start of a copy to the first object that it sends.
fn first_object(bench: &Bench) -> Result<f64, String> {
    let server = KeyServer::start(bench.amount(1_000_000, 20_000));
    let server = server.map_err(|error| error.to_string())?;
    let room = bench.room()?;
    let task = task(bench, &server, &room.path().join("state"), &[]);
    let begun = Instant::now();
    let mut copy = Daemon::start("first", &task, room.path())?;
    while begun.elapsed() < FIRST_MAX && copy.is_running() && !stop::is_wanted() {
        if let Some(first) = server.first_put() {
            return Ok(first.duration_since(begun).as_secs_f64());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Err(format!("no object was sent in {FIRST_MAX:?}"))
}

/// A copy from the bucket with the keys into the other one.
pub(super) fn task(
    bench: &Bench,
    server: &KeyServer,
    state: &std::path::Path,
    more: &[&str],
) -> Task {
    let (from, to) = (format!("s3://{SOURCE}"), format!("s3://{TARGET}/"));
    let quiet = ["-q", "--progress", "none", "--state-dir", text(state)];
    let words = [text(&bench.airlift), "cp", &from, &to];
    let variables = server.access().environment().map(|(name, value)| (name.to_owned(), value));
    let words = words.into_iter().chain(quiet).chain(more.iter().copied());
    Task::new(words).with(&variables).at_most(TIME_MAX)
}
