//! How exact an emulated link is, measured by programs that do not know that it is emulated.

use serde_json::{Value, json};

use super::shape::{Loss, Shape};
use crate::network::{ADDRESSES, Network};
use crate::peer::Iperf;
use crate::process::{Task, need};

/// Bytes of a datagram, and of the headers of IP and UDP before it.
const DATAGRAM: u64 = 1400;
const HEADERS: u64 = 28;

/// Seconds of each measurement.
const SECONDS: u32 = 5;

/// Measures, and says each result beside what it should be.
pub(crate) fn prove(network: &Network, shape: &Shape, say: impl Fn(&Value)) -> Result<(), String> {
    match round_trip(network) {
        Ok(times) => {
            let expected = shape.delay.as_secs_f64() * 2e3;
            say(
                &json!({ "measured": "round trip", "expected_ms": expected, "min_avg_max_ms": times }),
            );
        }
        Err(reason) => say(&json!({ "measured": "round trip", "skipped": reason })),
    }
    let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
    let iperf = Iperf::start(network, directory.path())?;
    // A little below the rate nothing waits, and what is missing was lost.
    say(&datagrams(network, &iperf, shape, 0.8)?);
    // Above it the queue is full, and what arrives is the rate.
    say(&datagrams(network, &iperf, shape, 1.2)?);
    for streams in [1, 8] {
        let before = network.read().unwrap_or_default();
        let rate = iperf.tcp(streams, SECONDS)?;
        let passed = network.read().unwrap_or_default()[0].since(&before[0]);
        say(&json!({
            "measured": format!("TCP, {streams} streams"),
            "arrived_mbit": rate / 1e6,
            "of_the_link": rate / shape.rate as f64,
            "link": passed.json(),
        }));
    }
    Ok(())
}

/// Least, mean and greatest time of 20 echoes in milliseconds.
fn round_trip(network: &Network) -> Result<Vec<f64>, String> {
    let program = need("ping")?;
    let words = [&program, "-q", "-c", "20", "-i", "0.05", ADDRESSES[1]];
    let ended = Task::new(words).within(network.rooms()[0]).run()?;
    // rtt min/avg/max/mdev = 80.2/80.3/80.4/0.1 ms
    let figures = ended.stdout.rsplit_once("= ").map(|(_, figures)| figures).unwrap_or_default();
    Ok(figures.split('/').take(3).filter_map(|figure| figure.trim().parse().ok()).collect())
}

/// Sends datagrams at a share of the rate.
fn datagrams(
    network: &Network,
    iperf: &Iperf<'_>,
    shape: &Shape,
    share: f64,
) -> Result<Value, String> {
    let payload = shape.rate as f64 * DATAGRAM as f64 / (DATAGRAM + HEADERS) as f64;
    let rate = format!("{:.0}", payload * share);
    let before = network.read().unwrap_or_default();
    let words = ["-u", "-w", "2M", "-l", &DATAGRAM.to_string(), "-b", &rate];
    let report = iperf.measure(SECONDS, &words)?;
    let passed = network.read().unwrap_or_default()[0].since(&before[0]);
    let arrived = report["end"]["sum_received"]["bits_per_second"].as_f64().unwrap_or(0.0);
    let sent = report["end"]["sum_sent"]["bits_per_second"].as_f64().unwrap_or(0.0);
    let expected = match shape.loss {
        Loss::None => 0.0,
        Loss::Random(share) | Loss::Burst { share, .. } => share,
    };
    let accepted = (passed.packets - passed.dropped).max(1);
    Ok(json!({
        "measured": format!("UDP at {share} of the rate"),
        "sent_mbit": sent / 1e6,
        "arrived_mbit": arrived / 1e6,
        "arrived_of_the_rate": arrived / payload,
        "expected_loss": expected,
        "loss": passed.lost as f64 / accepted as f64,
        "link": passed.json(),
    }))
}
