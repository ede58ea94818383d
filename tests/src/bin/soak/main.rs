//! A cluster at work for as long as is wanted, while its nodes are killed, stopped and frozen: every
//! result is compared byte for byte, and what nodes hold must not grow.
//!
//! ```text
//! soak [--minutes N] [--nodes 4|5] [--seed N] [--sample-seconds N] [--rate-mib N] [--fault-seconds N]
//! ```
//!
//! Prints a table and the same as JSON. Exit code 1 when a result was wrong, a job did not end as it
//! should, a process broke down, or memory, handles, threads or disk grew more than chance allows.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool speaks")]

mod chance;
mod content;
mod gauge;
mod ground;
mod lane;
mod nemesis;
mod options;
mod slope;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use self::gauge::Gauge;
use self::ground::{Ground, STEADY};
use self::options::{Options, USAGE};

/// Time for nodes to let go of jobs that are over.
const LET_GO_MAX: Duration = Duration::from_secs(60);

/// Time between two lines about how far it is.
const TELL: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(text) => {
            eprintln!("{text}; {USAGE}");
            return ExitCode::from(2);
        }
    };
    let ground = Ground::prepare(&options);
    let mut gauge = Gauge::new();
    let begun = Instant::now();
    let (faults, mut wrong) = live(&ground, &mut gauge, &options);
    wrong.extend(broken(&ground));
    if wrong.is_empty() {
        wrong.extend(left(&ground));
    }
    let (rows, leaks) = gauge.judge(&STEADY);
    wrong.extend(leaks);
    tell(&ground, begun, &rows, &faults, &wrong);
    match wrong.is_empty() {
        true => ExitCode::SUCCESS,
        false => {
            print_logs(&ground);
            ExitCode::FAILURE
        }
    }
}

/// Jobs, faults and samples until the time is over, or something is wrong.
fn live(
    ground: &Ground,
    gauge: &mut Gauge,
    options: &Options,
) -> (BTreeMap<&'static str, u64>, Vec<String>) {
    let seed = options.seed;
    std::thread::scope(|scope| {
        let files = scope.spawn(|| until_wrong(ground, || lane::files(ground, seed)));
        let bucket = scope.spawn(|| until_wrong(ground, || lane::bucket(ground, seed ^ 1 << 32)));
        let haunt = || nemesis::haunt(ground, seed ^ 1 << 33, options.pause);
        let faults = scope.spawn(move || until_wrong(ground, haunt));
        watch(ground, gauge, options);
        ground.finish();
        let mut wrong = Vec::new();
        let mut note = |found: Result<(), String>| wrong.extend(found.err());
        note(joined(files));
        note(joined(bucket));
        let faults = joined(faults);
        note(faults.as_ref().map(drop).map_err(Clone::clone));
        (faults.unwrap_or_default(), wrong)
    })
}

/// Ends the run as soon as a part of it has found something wrong.
fn until_wrong<T>(ground: &Ground, run: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    struct Finish<'a>(&'a Ground);
    impl Drop for Finish<'_> {
        fn drop(&mut self) {
            self.0.finish();
        }
    }
    // Also when it panics.
    let _finish = Finish(ground);
    run()
}

fn joined<T>(thread: std::thread::ScopedJoinHandle<'_, Result<T, String>>) -> Result<T, String> {
    let gave_up = |_| Err("a part of this program gave up; it said why above".to_owned());
    thread.join().unwrap_or_else(gave_up)
}

fn watch(ground: &Ground, gauge: &mut Gauge, options: &Options) {
    let begun = Instant::now();
    let mut told = begun;
    while begun.elapsed() < options.time && !ground.is_over() {
        gauge.sample(ground);
        if told.elapsed() > TELL {
            told = Instant::now();
            let (jobs, minutes) =
                (ground.jobs.load(Ordering::Relaxed), begun.elapsed().as_secs() / 60);
            eprintln!("{minutes} min: {jobs} jobs");
        }
        ground.rest(options.period);
    }
}

/// Processes that broke down.
fn broken(ground: &Ground) -> Vec<String> {
    let mut cluster = ground.cluster();
    let mut found = Vec::new();
    for node in 0..ground.nodes {
        if let Some(line) = cluster.said(node).lines().find(|line| line.contains("panicked at")) {
            found.push(format!("node{node}: {line}"));
        }
        if cluster.living(node).is_none() {
            found.push(format!("node{node} does not run any more"));
        }
    }
    found
}

/// What is left of jobs that are all over.
fn left(ground: &Ground) -> Vec<String> {
    let journals = |node: usize| {
        let jobs = ground.cluster().data_dir(node).join("jobs");
        std::fs::read_dir(jobs).map_or(0, Iterator::count)
    };
    let begun = Instant::now();
    while (0..ground.nodes).any(|node| journals(node) > 0) && begun.elapsed() < LET_GO_MAX {
        std::thread::sleep(Duration::from_millis(200));
    }
    let kept = (0..ground.nodes).map(|node| (node, journals(node))).filter(|(_, count)| *count > 0);
    let mut found: Vec<String> =
        kept.map(|(node, count)| format!("node{node} keeps journals of {count} jobs")).collect();
    let uploads = ground.server.uploads(ground::BUCKET);
    if !uploads.is_empty() {
        found.push(format!("uploads are left: {uploads:?}"));
    }
    found
}

fn tell(
    ground: &Ground,
    begun: Instant,
    rows: &[Value],
    faults: &BTreeMap<&'static str, u64>,
    wrong: &[String],
) {
    let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    println!("| node | of | median | most | grew by | in an hour | samples | judged |");
    println!("|---|---|---|---|---|---|---|---|");
    for row in rows {
        let text = |index: usize| row["text"][index].as_str().unwrap_or_default();
        let (node, measure) = (&row["node"], row["measure"].as_str().unwrap_or_default());
        let (median, most, growth, hourly) = (text(0), text(1), text(2), text(3));
        let (samples, judged) = (&row["samples"], &row["judged"]);
        println!(
            "| {node} | {measure} | {median} | {most} | {growth} | {hourly} | {samples} | {judged} |"
        );
    }
    println!();
    println!(
        "{}",
        json!({
            "seconds": begun.elapsed().as_secs(), "jobs": count(&ground.jobs),
            "bytes_sent": count(&ground.bytes), "objects_compared": count(&ground.compared),
            "faults": faults, "measures": rows, "wrong": wrong,
        })
    );
    wrong.iter().for_each(|line| eprintln!("wrong: {line}"));
}

/// The end of what each node said.
fn print_logs(ground: &Ground) {
    for node in 0..ground.nodes {
        let said = ground.cluster().said(node);
        let lines: Vec<&str> = said.lines().collect();
        eprintln!("--- node{node}");
        lines.iter().skip(lines.len().saturating_sub(40)).for_each(|line| eprintln!("{line}"));
    }
}
