//! From one bucket to another of an object store on this machine.

use crate::bench::{Bench, program};
use crate::contest::{Kind, Run, Tool, hold};
use crate::depot::{Depot, Objects, PREFIX, SOURCE, TARGET};
use crate::peer::{copy_objects_with_rclone, copy_with_s5cmd};
use crate::process::{Task, text};
use crate::row::{Report, Unit};

/// Why rclone is left out where Garage is not installed.
const UNANSWERED: &str =
    "the server of the tests answers rclone's requests with 501; install garage";

/// One object of 1 GiB.
pub(crate) fn large(bench: &Bench) -> Result<Report, String> {
    copy(bench, 1, bench.amount(1 << 30, 12 << 20), Unit::Megabytes)
}

/// 10,000 objects of 64 KiB.
pub(crate) fn small(bench: &Bench) -> Result<Report, String> {
    copy(bench, bench.amount(10_000, 100), 64 << 10, Unit::Files)
}

fn copy(bench: &Bench, count: u64, bytes: u64, unit: Unit) -> Result<Report, String> {
    let directory = bench.room()?;
    let depot = Depot::start(directory.path())?;
    let access = depot.access();
    let bytes = usize::try_from(bytes).map_err(|error| error.to_string())?;
    let objects = Objects::plant(access, count, bytes)?;
    let source = format!("{SOURCE}/{PREFIX}");
    let airlift = |place: &str| {
        let state = directory.path().join("state");
        let (from, to) = (format!("s3://{source}"), format!("s3://{TARGET}/{place}"));
        let quiet = ["-q", "--progress", "none", "--state-dir", text(&state)];
        let words = [text(&bench.airlift), "cp", &from, &to];
        let variables = access.environment().map(|(name, value)| (name.to_owned(), value));
        let ended = Task::new(words.into_iter().chain(quiet)).with(&variables).run()?;
        let peaks = [("airlift".to_owned(), ended.peak_bytes)].into();
        let cpu_seconds = ended.usage.seconds();
        Ok(Run { seconds: ended.seconds, cpu_seconds, peaks, notes: [].into() })
    };
    let rclone =
        |place: &str| copy_objects_with_rclone(access, &source, &format!("{TARGET}/{place}"));
    let rclone = match &depot {
        Depot::Garage(_) => program("rclone copy", Kind::Plain, "rclone", rclone),
        Depot::Own(_) => {
            Tool { name: "rclone copy", kind: Kind::Plain, act: Err(UNANSWERED.to_owned()) }
        }
    };
    let tools = vec![
        Tool { name: "airlift", kind: Kind::Airlift, act: Ok(Box::new(airlift)) },
        rclone,
        program("s5cmd cp", Kind::Plain, "s5cmd", |place| {
            copy_with_s5cmd(access, &source, &format!("{TARGET}/{place}"), directory.path())
        }),
    ];
    let records = hold(&objects, None, tools, bench.rounds);
    let remarks = vec![
        format!("the store is {}; its processor time is not counted", depot.name()),
        "all bytes go through the tool, none are copied within the store".to_owned(),
    ];
    let (bytes, files) = (objects.bytes(), objects.count());
    Ok(Report { unit, bytes, files, link: None, records, remarks })
}
