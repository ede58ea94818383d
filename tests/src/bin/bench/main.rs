//! Measures Airlift against its peers, and prints a table of ratios and the same as JSON.
//!
//! ```text
//! bench [--only ROW,...] [--rounds N] [--json FILE] [--smoke] [--list] [--airlift PATH] [--dir DIR]
//! bench link [--rate 500M] [--delay 40ms] [--queue 100ms] [--loss 0.1%] ... [--check]
//! ```
//!
//! All tools do the same work in turn, and what arrived is compared with what was sent. A peer that
//! is not installed and a row that this machine does not allow are named as skipped. The exit code is
//! 1 when a tool failed or a result was wrong, 2 when the words were not understood.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool speaks")]

mod bench;
mod contest;
mod depot;
mod flight;
mod ground;
mod link;
mod machine;
mod network;
mod options;
mod peer;
mod process;
mod report;
mod row;
mod statistic;
mod stop;
mod text;
mod unit;

use std::process::ExitCode;

use serde_json::{Value, json};

use self::bench::Bench;
use self::options::Options;
use self::row::{ROWS, Report, Row};

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1).peekable();
    if words.next_if(|word| word == "link").is_some() {
        return link(words);
    }
    let names: Vec<&str> = ROWS.iter().map(|row| row.name).collect();
    let options = match options::parse(words, &names) {
        Ok(options) => options,
        Err(text) => {
            eprintln!("{text}; {}", options::USAGE);
            return ExitCode::from(2);
        }
    };
    if options.is_list {
        ROWS.iter().for_each(|row| println!("{:12} {}", row.name, row.title));
        return ExitCode::SUCCESS;
    }
    match stop::listen().and_then(|()| Bench::new(&options)).and_then(|it| run(&it, &options)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(text) => {
            eprintln!("{text}");
            ExitCode::FAILURE
        }
    }
}

fn link(words: impl Iterator<Item = String>) -> ExitCode {
    let wish = match link::command::parse(words) {
        Ok(wish) => wish,
        Err(text) => {
            eprintln!("{text}; {}", link::command::USAGE);
            return ExitCode::from(2);
        }
    };
    let ended = stop::listen().and_then(|()| link::command::run(&wish, |line| println!("{line}")));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("{text}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the rows; whether all that could run did so, and rightly.
fn run(bench: &Bench, options: &Options) -> Result<bool, String> {
    let is_wanted =
        |row: &&Row| options.only.as_ref().is_none_or(|only| only.iter().any(|it| it == row.name));
    let machine = machine::describe(&bench.airlift);
    let (mut rows, mut is_right): (Vec<Value>, bool) = (Vec::new(), true);
    println!("{}", report::head());
    for row in ROWS.iter().filter(is_wanted) {
        if stop::is_wanted() {
            return Err("interrupted".to_owned());
        }
        eprintln!("{}: {}", row.name, row.title);
        let result = (row.run)(bench).map_err(|reason| refusal(&reason));
        is_right &= is_well(&result);
        report::lines(row, &result).iter().for_each(|line| println!("{line}"));
        if let Some(verdict) = result.as_ref().ok().and_then(report::verdict) {
            println!("| {} | | {verdict} | | | | |", row.name);
        }
        rows.push(report::json(row, &result));
        write(options, &machine, bench, &rows)?;
    }
    Ok(is_right)
}

/// After each row, so that what was measured is there however this ends.
fn write(options: &Options, machine: &Value, bench: &Bench, rows: &[Value]) -> Result<(), String> {
    let Some(path) = &options.json else { return Ok(()) };
    let document = json!({
        "machine": machine, "rounds": bench.rounds, "smoke": bench.is_smoke, "rows": rows,
    });
    std::fs::write(path, format!("{document:#}\n"))
        .map_err(|error| format!("{}: {error}", path.display()))
}

/// What a machine does not allow is skipped; anything else is a failure.
fn refusal(reason: &str) -> String {
    let is_lack = ["not allowed here", "not installed", "not to be had"];
    let is_lack = is_lack.iter().any(|lack| reason.contains(lack));
    format!("{}: {reason}", if is_lack { "skipped" } else { "failed" })
}

fn is_well(result: &Result<Report, String>) -> bool {
    match result {
        Ok(report) => report.records.iter().all(|record| record.failed.is_none()),
        Err(reason) => reason.starts_with("skipped"),
    }
}
