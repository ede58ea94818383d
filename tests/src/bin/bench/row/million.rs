//! A million objects from end to end, small ones: what each costs beside its bytes, and what is kept in
//! memory meanwhile.

use airlift_tests::keys::{Arrivals, KeyServer};

use super::list::task;
use crate::bench::{Bench, Field, airlift_alone};
use crate::contest::{Kind, Record, Run, hold};
use crate::ground::plant_small;
use crate::row::{Report, Unit};
use crate::stop;

/// Bytes of a file.
const FILE_BYTES: usize = 16;

/// From one directory to another, compared byte by byte.
pub(crate) fn files(bench: &Bench) -> Result<Report, String> {
    let count = bench.amount(1_000_000, 2_000);
    let field = Field::plant(bench, |root| plant_small(root, count, FILE_BYTES))?;
    let records = hold(&field.ground, None, vec![airlift_alone(bench, &field)], bench.rounds);
    let (bytes, files) = (field.ground.bytes(), field.ground.files());
    let remarks = vec![peaks(&records)];
    Ok(Report { unit: Unit::Files, bytes, files, link: None, records, remarks })
}

/// From one bucket to another, on a server that makes up the one and counts what arrives in the other.
pub(crate) fn objects(bench: &Bench) -> Result<Report, String> {
    let count = bench.amount(1_000_000, 2_000);
    let mut record = Record {
        name: "airlift",
        kind: Kind::Airlift,
        runs: Vec::new(),
        skipped: None,
        failed: None,
    };
    let mut again = 0;
    while record.runs.len() < bench.rounds && record.failed.is_none() && !stop::is_wanted() {
        match copy(bench, count) {
            Ok((run, arrivals)) => {
                record.runs.push(run);
                again += arrivals.again;
            }
            Err(reason) => record.failed = Some(reason),
        }
    }
    let records = vec![record];
    let remarks = vec![
        "each object is the text of its key, and is compared with it where it arrives".to_owned(),
        format!("arrived more than once: {again}"),
        "the processor time of the server, one thread, is not counted".to_owned(),
        peaks(&records),
    ];
    Ok(Report { unit: Unit::Files, bytes: count * 17, files: count, link: None, records, remarks })
}

fn copy(bench: &Bench, count: u64) -> Result<(Run, Arrivals), String> {
    let server = KeyServer::start(count).map_err(|error| error.to_string())?;
    let room = bench.room()?;
    let ended = task(bench, &server, &room.path().join("state"), &[]).run()?;
    let arrivals = server.arrivals();
    if (arrivals.objects, arrivals.wrong) != (count, 0) {
        return Err(format!("the result is wrong: of {count}, {arrivals:?}"));
    }
    let peaks = [("airlift".to_owned(), ended.peak_bytes)].into();
    let cpu_seconds = ended.usage.seconds();
    Ok((Run { seconds: ended.seconds, cpu_seconds, peaks, notes: [].into() }, arrivals))
}

/// The most memory of any run.
fn peaks(records: &[Record]) -> String {
    let runs = records.iter().flat_map(|record| &record.runs);
    let peak = runs.flat_map(|run| run.peaks.values()).max().copied().unwrap_or_default();
    format!("at most {} MiB of memory", peak >> 20)
}
