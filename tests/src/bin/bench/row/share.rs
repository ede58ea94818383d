//! Two flows on one link: Airlift's, and one of plain TCP.

use std::time::{Duration, Instant};

use crate::bench::{Bench, Field, flight};
use crate::contest::{Ground, Kind, Record, Run};
use crate::flight::Flight;
use crate::ground::plant_large;
use crate::link::Shape;
use crate::link::shape::Loss;
use crate::network::Network;
use crate::peer::Iperf;
use crate::process::Daemon;
use crate::row::{Report, Unit};
use crate::stop;

/// Time for Airlift's flow to come to its rate before the other one begins.
const ALONE: Duration = Duration::from_secs(3);

/// Time for its first bytes to arrive.
const FLOW_MAX: Duration = Duration::from_secs(20);

const POLL: Duration = Duration::from_millis(20);

pub(crate) fn run(bench: &Bench) -> Result<Report, String> {
    let shape = bench.link(Shape::new(500, 80, Loss::None));
    let network = Network::link(&shape)?;
    let seconds = u32::try_from(bench.amount(15, 2)).unwrap_or(1);
    // Enough that it is not done before the other flow is.
    let bytes = bench.amount(1400 << 20, 300 << 20);
    let field = Field::plant(bench, |root| plant_large(root, bytes))?;
    let flight = flight(bench, &network, &field)?;
    let iperf = Iperf::start(&network, field.directory())?;
    let begin = |name, kind| Record { name, kind, runs: Vec::new(), skipped: None, failed: None };
    let mut records =
        vec![begin("airlift", Kind::Airlift), begin("iperf3, 1 TCP", Kind::Reference)];
    for round in 0..bench.rounds {
        match together(&flight, &iperf, &field, round, seconds) {
            Ok(rates) => {
                for (record, rate) in records.iter_mut().zip(rates) {
                    let seconds = bytes as f64 / rate.max(1.0);
                    record.runs.push(Run { seconds, ..Run::default() });
                }
            }
            Err(reason) => {
                records[0].failed = Some(reason);
                break;
            }
        }
    }
    let remarks = vec!["rates while both flow; 0.5 of the link each would be fair".to_owned()];
    Ok(Report { unit: Unit::Megabits, bytes, files: 1, link: Some(shape.json()), records, remarks })
}

/// Bytes a second of both flows while both are there.
fn together(
    flight: &Flight<'_>,
    iperf: &Iperf<'_>,
    field: &Field,
    round: usize,
    seconds: u32,
) -> Result<[f64; 2], String> {
    let place = field.ground.prepare(round)?;
    let words = Flight::copy_words(field.source(), &place);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut job = Daemon::start("share", &flight.client(&words), field.directory())?;
    let rates = measure(&mut job, iperf, &place, seconds);
    drop(job);
    flight.cancel();
    field.ground.clear(&place)?;
    rates
}

/// Waits for the first bytes of `job`, and then measures.
fn measure(
    job: &mut Daemon,
    iperf: &Iperf<'_>,
    place: &str,
    seconds: u32,
) -> Result<[f64; 2], String> {
    let begun = Instant::now();
    while bytes_at(place) == 0 {
        if begun.elapsed() > FLOW_MAX || stop::is_wanted() {
            return Err("nothing of airlift's arrives".to_owned());
        }
        std::thread::sleep(POLL);
    }
    std::thread::sleep(ALONE.min(Duration::from_secs(seconds.into())));
    let (before, begun) = (bytes_at(place), Instant::now());
    let other = iperf.tcp(1, seconds)? / 8.0;
    let rate = (bytes_at(place) - before) as f64 / begun.elapsed().as_secs_f64();
    if !job.is_running() {
        return Err("airlift was done before the other flow".to_owned());
    }
    Ok([rate, other])
}

/// Bytes on disk below a place, visible or not.
fn bytes_at(place: impl AsRef<std::path::Path>) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let Ok(entries) = std::fs::read_dir(place) else { return 0 };
    let bytes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => bytes_at(entry.path()),
        Ok(metadata) => metadata.blocks() * 512,
        Err(_) => 0,
    });
    bytes.sum()
}
