//! The table that people read, and the document that programs read.

use serde_json::{Map, Value, json};

use crate::contest::{Kind, Record, Run};
use crate::row::{Report, Row, Unit};
use crate::statistic::{extent, median};

const GIB: f64 = 1_073_741_824.0;

/// The median of what the runs took.
fn middle(record: &Record) -> Option<f64> {
    median(&seconds(record))
}

fn seconds(record: &Record) -> Vec<f64> {
    record.runs.iter().map(|run| run.seconds).collect()
}

/// How much faster than a record Airlift is.
fn ratio(report: &Report, record: &Record) -> Option<f64> {
    let airlift = report.records.iter().find(|record| record.kind == Kind::Airlift)?;
    Some(middle(record)? / middle(airlift)?)
}

/// The fastest peer of some kinds.
fn best<'a>(report: &'a Report, kinds: &[Kind]) -> Option<&'a Record> {
    let timed = report.records.iter().filter(|record| kinds.contains(&record.kind));
    let timed = timed.filter_map(|record| Some((middle(record)?, record)));
    timed.min_by(|(one, _), (other, _)| one.total_cmp(other)).map(|(_, record)| record)
}

fn rate(report: &Report, seconds: f64) -> f64 {
    let amount = match report.unit {
        Unit::Megabytes => report.bytes as f64 / 1e6,
        Unit::Megabits => report.bytes as f64 * 8.0 / 1e6,
        Unit::Files | Unit::Keys => report.files as f64,
    };
    amount / seconds.max(1e-9)
}

fn unit(report: &Report) -> &'static str {
    match report.unit {
        Unit::Megabytes => "MB/s",
        Unit::Megabits => "Mbit/s",
        Unit::Files => "files/s",
        Unit::Keys => "keys/s",
    }
}

fn cpu_per_gib(report: &Report, record: &Record) -> Option<f64> {
    let seconds: Vec<f64> = record.runs.iter().map(|run| run.cpu_seconds).collect();
    // Of keys there are no bytes to speak of.
    let counted = median(&seconds).filter(|it| *it > 0.0 && report.unit != Unit::Keys)?;
    Some(counted / (report.bytes as f64 / GIB))
}

/// The most memory that any one process held in any run, in MiB.
fn peak(record: &Record) -> Option<u64> {
    record.runs.iter().flat_map(|run| run.peaks.values()).max().map(|bytes| bytes >> 20)
}

/// The head of the table.
pub(crate) fn head() -> String {
    "| row | tool | median s (least to most) | rate | airlift is | CPU s/GiB | peak MiB |\n\
     |---|---|---|---|---|---|---|"
        .to_owned()
}

/// The lines of one row.
pub(crate) fn lines(row: &Row, result: &Result<Report, String>) -> Vec<String> {
    match result {
        Err(reason) => vec![format!("| {} | – | {reason} | | | | |", row.name)],
        Ok(report) => {
            let mut lines: Vec<String> =
                report.records.iter().map(|record| line(row, report, record)).collect();
            lines.extend(
                report.remarks.iter().map(|it| format!("| {} | | {it} | | | | |", row.name)),
            );
            lines
        }
    }
}

fn line(row: &Row, report: &Report, record: &Record) -> String {
    let name = match record.kind {
        Kind::Plain if report.records.iter().any(|it| it.kind == Kind::Encrypted) => {
            format!("{} (not encrypted)", record.name)
        }
        Kind::Reference => format!("{} (no files)", record.name),
        _ => record.name.to_owned(),
    };
    let values = seconds(record);
    let (Some(middle), Some((least, most))) = (median(&values), extent(&values)) else {
        let skipped = record.skipped.as_ref().map(|why| format!("skipped: {why}"));
        let failed = record.failed.as_ref().map(|why| format!("failed: {why}"));
        let why = skipped.or(failed).unwrap_or_else(|| "not run".to_owned());
        return format!("| {} | {name} | {why} | | | | |", row.name);
    };
    let ratio = match record.kind {
        Kind::Airlift => String::new(),
        _ => ratio(report, record).map(|ratio| format!("{ratio:.2} x")).unwrap_or_default(),
    };
    let cpu = cpu_per_gib(report, record).map(|cpu| format!("{cpu:.2}")).unwrap_or_default();
    let peak = peak(record).filter(|_| record.kind == Kind::Airlift);
    let peak = peak.map(|peak| peak.to_string()).unwrap_or_default();
    let failed = record.failed.as_ref().map(|why| format!(" failed: {why}")).unwrap_or_default();
    format!(
        "| {} | {name} | {middle:.2} ({least:.2} to {most:.2}){failed} | {:.0} {} | {ratio} | {cpu} | {peak} |",
        row.name,
        rate(report, middle),
        unit(report),
    )
}

/// What the link saw of Airlift, and the ratios that the targets speak of: one line.
pub(crate) fn verdict(report: &Report) -> Option<String> {
    let mut parts = Vec::new();
    for (what, kinds) in [
        ("the best peer", &[Kind::Encrypted, Kind::Plain][..]),
        ("the best encrypted peer", &[Kind::Encrypted]),
    ] {
        let found = best(report, kinds).and_then(|it| Some((it.name, ratio(report, it)?)));
        parts.extend(found.map(|(name, ratio)| format!("{ratio:.2} x {what} ({name})")));
    }
    let airlift = report.records.iter().find(|record| record.kind == Kind::Airlift)?;
    let note = |name: &str| {
        let values: Vec<f64> =
            airlift.runs.iter().filter_map(|run| run.notes.get(name).copied()).collect();
        median(&values)
    };
    if let (Some(bytes), Some(dropped), Some(lost)) =
        (note("link_bytes"), note("link_dropped_share"), note("link_lost_share"))
    {
        parts.push(format!(
            "sent into the link {:.3} of the payload, of the packets {:.2} % dropped by the queue \
             and {:.2} % lost",
            bytes / report.bytes as f64,
            dropped * 100.0,
            lost * 100.0
        ));
    }
    (!parts.is_empty()).then(|| format!("airlift: {}", parts.join("; ")))
}

/// One row for programs.
pub(crate) fn json(row: &Row, result: &Result<Report, String>) -> Value {
    let mut object = Map::new();
    object.insert("row".to_owned(), json!(row.name));
    object.insert("title".to_owned(), json!(row.title));
    match result {
        Err(reason) => {
            let (what, why) = reason.split_once(": ").unwrap_or(("failed", reason));
            object.insert(what.to_owned(), json!(why));
        }
        Ok(report) => {
            let ratio_to = |kinds: &[Kind]| {
                let best = best(report, kinds)?;
                Some(json!({ "tool": best.name, "ratio": ratio(report, best)? }))
            };
            object.insert("bytes".to_owned(), json!(report.bytes));
            object.insert("files".to_owned(), json!(report.files));
            object.insert("unit".to_owned(), json!(unit(report)));
            object.insert("link".to_owned(), json!(report.link));
            object.insert("best_peer".to_owned(), json!(ratio_to(&[Kind::Encrypted, Kind::Plain])));
            object.insert("best_encrypted".to_owned(), json!(ratio_to(&[Kind::Encrypted])));
            let tools: Vec<Value> = report.records.iter().map(|it| tool(report, it)).collect();
            object.insert("tools".to_owned(), json!(tools));
            object.insert("remarks".to_owned(), json!(report.remarks));
        }
    }
    Value::Object(object)
}

fn tool(report: &Report, record: &Record) -> Value {
    let values = seconds(record);
    let spread = extent(&values);
    let run = |run: &Run| {
        json!({
            "seconds": run.seconds, "rate": rate(report, run.seconds),
            "cpu_seconds": run.cpu_seconds, "peak_bytes": run.peaks, "counts": run.notes,
        })
    };
    json!({
        "tool": record.name,
        "kind": record.kind.name(),
        "skipped": record.skipped,
        "failed": record.failed,
        "seconds": {
            "median": median(&values),
            "min": spread.map(|spread| spread.0),
            "max": spread.map(|spread| spread.1),
        },
        "rate_median": median(&values).map(|seconds| rate(report, seconds)),
        "airlift_is": ratio(report, record),
        "cpu_seconds_per_gib": cpu_per_gib(report, record),
        "peak_mib": peak(record),
        "runs": record.runs.iter().map(run).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(name: &'static str, kind: Kind, seconds: &[f64]) -> Record {
        let run = |seconds: &f64| Run { seconds: *seconds, cpu_seconds: 2.0, ..Run::default() };
        let runs = seconds.iter().map(run).collect();
        Record { name, kind, runs, skipped: None, failed: None }
    }

    fn report() -> Report {
        let records = vec![
            record("airlift", Kind::Airlift, &[2.0, 1.0, 3.0]),
            record("quick", Kind::Plain, &[1.0]),
            record("safe", Kind::Encrypted, &[5.0, 3.0]),
            record("line", Kind::Reference, &[0.5]),
            Record { skipped: Some("not there".to_owned()), ..record("none", Kind::Plain, &[]) },
        ];
        let (bytes, files, remarks) = (1 << 30, 1, Vec::new());
        Report { unit: Unit::Megabytes, bytes, files, link: None, records, remarks }
    }

    const ROW: Row = Row { name: "row", title: "a row", run: |_| Err(String::new()) };

    #[test]
    fn the_best_peer_is_no_reference_and_the_best_encrypted_one_encrypts() {
        let document = json(&ROW, &Ok(report()));
        assert_eq!(document["best_peer"], serde_json::json!({ "tool": "quick", "ratio": 0.5 }));
        assert_eq!(document["best_encrypted"], serde_json::json!({ "tool": "safe", "ratio": 2.0 }));
        assert_eq!(document["tools"][0]["seconds"]["max"], 3.0);
        assert_eq!(document["tools"][0]["cpu_seconds_per_gib"], 2.0);
        assert_eq!(document["tools"][4]["skipped"], "not there");
    }

    #[test]
    fn the_table_says_what_was_not_run() {
        let lines = lines(&ROW, &Ok(report()));
        assert!(lines[0].contains("2.00 (1.00 to 3.00)"), "{}", lines[0]);
        assert!(lines[2].contains("2.00 x"), "{}", lines[2]);
        assert!(lines[4].contains("skipped: not there"), "{}", lines[4]);
        let refused = super::lines(&ROW, &Err("skipped: no root".to_owned()));
        assert_eq!(refused, ["| row | – | skipped: no root | | | | |"]);
        assert_eq!(json(&ROW, &Err("skipped: no root".to_owned()))["skipped"], "no root");
    }
}
