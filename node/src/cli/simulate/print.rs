//! An answer, for people and for scripts.

use std::time::Duration;

use airlift_protocol::units::{ByteCount, ByteRate};
use airlift_sim::whatif::Load;
use serde_json::{Value, json};

use super::Answer;
use crate::cli::format::{count, counted, rate, span};

/// Resources that people are shown.
const LOADS_SHOWN: usize = 5;

/// The answer in words.
pub(super) fn text(answer: &Answer) -> String {
    let Answer { title, outcome, took, memory_bytes } = answer;
    let control = &outcome.control;
    let time = Duration::from_millis(outcome.ms);
    let mut lines = Vec::new();
    if !title.is_empty() {
        lines.push(title.clone());
    }
    lines.push(format!("takes      {}, {}", span(time), ByteRate(rate(outcome.bytes, time))));
    lines.push(format!("held up by {}", outcome.bottleneck));
    let bill = &outcome.bill;
    lines.push(format!(
        "costs      {}: nodes {}, links {}, requests {}",
        usd(bill.total_nanos()),
        usd(bill.nodes_nanos),
        usd(bill.links_nanos),
        usd(bill.requests_nanos)
    ));
    lines.push(format!(
        "moves      {}, {}; {} unchanged, {} failed",
        counted(outcome.done, "object"),
        ByteCount(outcome.bytes),
        count(outcome.unchanged),
        count(outcome.failed)
    ));
    let busiest: Vec<String> = outcome.loads.iter().take(LOADS_SHOWN).map(load).collect();
    lines.push(format!("busy       {}", busiest.join(", ")));
    lines.push(format!(
        "slots      {} % taken; {}, {} of them failed; {} died",
        control.slots_per_mille / 10,
        counted(control.orders, "order"),
        count(control.orders_failed),
        counted(control.deaths, "node")
    ));
    lines.push(format!(
        "decisions  {} entries of {} ({} bytes an object) in {}; state {} at most; listed in {}",
        count(control.entries),
        ByteCount(control.log_bytes),
        per_object(answer),
        counted(control.writes, "durable write"),
        ByteCount(control.state_bytes_max),
        span(Duration::from_millis(control.listing_ms))
    ));
    let memory =
        memory_bytes.map_or_else(String::new, |bytes| format!(", {} of memory", ByteCount(bytes)));
    lines.push(format!(
        "simulated  in {}: {} a second, {} decisions a second{memory}",
        span(*took),
        counted(rate(control.events, *took), "event"),
        count(rate(control.entries, *took))
    ));
    lines.join("\n")
}

fn load(load: &Load) -> String {
    format!("{} {} %", load.name, load.busy_per_mille / 10)
}

/// Bytes of the log for each object.
fn per_object(answer: &Answer) -> u64 {
    let outcome = &answer.outcome;
    let objects = outcome.done + outcome.unchanged + outcome.failed;
    outcome.control.log_bytes / objects.max(1)
}

fn usd(nanos: u64) -> String {
    let cents = nanos / 10_000_000;
    format!("${}.{:02}", count(cents / 100), cents % 100)
}

fn dollars(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

/// The answer as JSON.
pub(super) fn document(answer: &Answer) -> Value {
    let Answer { title, outcome, took, memory_bytes } = answer;
    let (control, bill) = (&outcome.control, &outcome.bill);
    let time = Duration::from_millis(outcome.ms);
    let loads = outcome.loads.iter().map(|load| {
        json!({
            "name": load.name, "busy": load.busy_per_mille as f64 / 1000.0, "units": load.units,
        })
    });
    json!({
        "title": title,
        "seconds": outcome.ms as f64 / 1000.0,
        "rate_bytes_per_second": rate(outcome.bytes, time),
        "bottleneck": outcome.bottleneck,
        "objects": {
            "done": outcome.done, "unchanged": outcome.unchanged, "failed": outcome.failed,
        },
        "bytes": outcome.bytes,
        "usd": {
            "total": dollars(bill.total_nanos()), "nodes": dollars(bill.nodes_nanos),
            "links": dollars(bill.links_nanos), "requests": dollars(bill.requests_nanos),
        },
        "resources": loads.collect::<Vec<_>>(),
        "slots_taken": control.slots_per_mille as f64 / 1000.0,
        "orders": control.orders,
        "orders_failed": control.orders_failed,
        "nodes_died": control.deaths,
        "listing_seconds": control.listing_ms as f64 / 1000.0,
        "log": {
            "entries": control.entries, "bytes": control.log_bytes,
            "bytes_per_object": per_object(answer), "writes": control.writes,
            "snapshots": control.snapshots, "state_bytes_max": control.state_bytes_max,
        },
        "simulation": {
            "seconds": took.as_secs_f64(), "events": control.events,
            "decisions_per_second": rate(control.entries, *took),
            "heartbeats": control.heartbeats, "memory_bytes": memory_bytes,
        },
    })
}
