//! Injects faults into clusters of real processes that work, and prints what they cost: a table,
//! and the same as JSON.
//!
//! ```text
//! faults [--injections N] [--only NAME,...]
//! ```
//!
//! Exit code 1 when an object was lost or was called done and is not. What the machine does not
//! allow is said on standard error and left out of the table.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool speaks")]

mod fault;
mod load;
mod tally;

use std::process::ExitCode;

use serde_json::json;

use self::fault::{FAULTS, Fault};
use self::tally::Tally;

/// Injections of each fault when nothing else is said.
const INJECTIONS_DEFAULT: usize = 10;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let value = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1)
    };
    let injections = value("--injections").and_then(|text| text.parse().ok());
    let injections = injections.unwrap_or(INJECTIONS_DEFAULT);
    let only: Option<Vec<&str>> = value("--only").map(|names| names.split(',').collect());
    let is_wanted = |fault: &&Fault| only.as_ref().is_none_or(|only| only.contains(&fault.name));
    let mut results: Vec<(&Fault, Tally)> = Vec::new();
    for fault in FAULTS.iter().filter(is_wanted) {
        eprintln!("{}: {injections} injections", fault.name);
        match (fault.run)(injections) {
            Ok(tally) => results.push((fault, tally)),
            Err(reason) => eprintln!("skipped: {}: {reason}", fault.name),
        }
    }
    print_table(&results);
    let of =
        |(fault, tally): &(&Fault, Tally)| json!({ "fault": fault.name, "tally": tally.json() });
    println!("{}", json!(results.iter().map(of).collect::<Vec<_>>()));
    let is_clean = results.iter().all(|(_, tally)| tally.lost + tally.false_done == 0);
    if is_clean { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn print_table(results: &[(&Fault, Tally)]) {
    println!("| fault | injected by | times | p50 / p99 | sent again | lost | false done |");
    println!("|---|---|---|---|---|---|---|");
    for (fault, tally) in results {
        println!(
            "| {} | {} | {} | {} | {} | {} | {} |",
            fault.title,
            fault.how,
            tally.injections,
            tally.measures(),
            tally.sent_again(),
            tally.lost,
            tally.false_done
        );
    }
    println!();
}
