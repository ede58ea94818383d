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
    let (injections, only) = match parse(std::env::args().skip(1)) {
        Ok(wanted) => wanted,
        Err(text) => {
            eprintln!("{text}; faults [--injections N] [--only NAME,...]");
            return ExitCode::from(2);
        }
    };
    let is_wanted =
        |fault: &&Fault| only.as_ref().is_none_or(|only| only.iter().any(|it| it == fault.name));
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

/// How many injections of which faults are wanted.
fn parse(mut words: impl Iterator<Item = String>) -> Result<(usize, Option<Vec<String>>), String> {
    let (mut injections, mut only) = (INJECTIONS_DEFAULT, None);
    while let Some(word) = words.next() {
        let value = words.next().ok_or_else(|| format!("{word} wants a value, or is unknown"))?;
        match word.as_str() {
            "--injections" => {
                injections = value.parse().map_err(|_| format!("'{value}' is no number"))?;
            }
            "--only" => {
                let names: Vec<String> = value.split(',').map(str::to_owned).collect();
                let is_known = |name: &String| FAULTS.iter().any(|fault| fault.name == name);
                if let Some(name) = names.iter().find(|name| !is_known(name)) {
                    return Err(format!("there is no fault '{name}'"));
                }
                only = Some(names);
            }
            other => return Err(format!("'{other}' is unknown")),
        }
    }
    Ok((injections, only))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_understood_runs_nothing() {
        let parse = |text: &str| parse(text.split_whitespace().map(str::to_owned));
        assert_eq!(parse(""), Ok((INJECTIONS_DEFAULT, None)));
        let only = Some(vec!["leader-killed".to_owned()]);
        assert_eq!(parse("--injections 3 --only leader-killed"), Ok((3, only)));
        for text in ["--help", "--injections x", "--only nobody", "--onyl leader-killed"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
