//! What the API of a node carries: requests a second, how long the slowest take, and what memory that
//! costs, with many connections at once.
//!
//! ```text
//! load [--smoke] [--seconds N] [--connections N] [--jobs N]
//! ```
//!
//! It runs a cluster of its own and asks one node of it, the leader and then one that forwards. Each
//! connection sends one request after the other; none is opened anew.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool speaks")]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use airlift_tests::airlift::fast_directory;
use airlift_tests::cluster::{Cluster, Role};
use airlift_tests::trial::on;
use tokio::task::JoinSet;

/// What is asked.
const PATHS: [&str; 4] = ["/healthz", "/api/v1/cluster", "/api/v1/jobs", "/metrics"];

/// How to write what is wanted.
const USAGE: &str = "load [--smoke] [--seconds N] [--connections N] [--jobs N]";

/// How much is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Options {
    /// For how long, of each path.
    time: Duration,
    /// By how many at once.
    connections: u64,
    /// Jobs on record meanwhile.
    jobs: u64,
}

impl Options {
    /// Reads the words of a command line.
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self { time: Duration::from_secs(10), connections: 64, jobs: 100 };
        while let Some(word) = words.next() {
            if word == "--smoke" {
                options = Self { time: Duration::from_secs(1), connections: 8, jobs: 2 };
                continue;
            }
            let number = words.next().and_then(|value| value.parse().ok());
            let number = number.ok_or_else(|| format!("{word} wants a number, or is unknown"))?;
            match word.as_str() {
                "--seconds" => options.time = Duration::from_secs(number),
                "--connections" => options.connections = number,
                "--jobs" => options.jobs = number,
                other => return Err(format!("'{other}' is unknown")),
            }
        }
        Ok(options)
    }
}

/// Answers so far of one connection.
#[derive(Debug, Default)]
struct Tally {
    times: Vec<Duration>,
    refused: u64,
    bytes: u64,
}

fn main() -> ExitCode {
    match Options::parse(std::env::args().skip(1)) {
        Ok(options) => {
            measure(options);
            ExitCode::SUCCESS
        }
        Err(text) => {
            eprintln!("{text}; {USAGE}");
            ExitCode::from(2)
        }
    }
}

fn measure(Options { time, connections, jobs }: Options) {
    let mut cluster = Cluster::start(&[Role::Voter, Role::Voter, Role::Voter]);
    submit(&cluster, jobs);
    let leader = cluster.leader().expect("a leader");
    let token = std::fs::read_to_string(cluster.data_dir(0).join("admin.token")).expect("a token");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    println!("{connections} connections, {jobs} jobs on record, {} s each", time.as_secs());
    for (who, index) in [("leader", leader), ("follower", (leader + 1) % 3)] {
        let (_, before) = cluster.memory(index);
        for path in PATHS {
            let url = format!("{}{path}", cluster.url(index));
            let started = Instant::now();
            let tally = runtime.block_on(ask(&url, token.trim(), connections, time));
            report(&format!("{who} {path}"), tally, started.elapsed());
        }
        let (most, after) = cluster.memory(index);
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        println!(
            "{who}: memory {:.1} MiB before, {:.1} after, {:.1} at most",
            mib(before),
            mib(after),
            mib(most)
        );
    }
}

/// Puts jobs on record.
fn submit(cluster: &Cluster, jobs: u64) {
    let (source, target) = (fast_directory(), fast_directory());
    std::fs::write(source.path().join("a"), "a").expect("a file");
    for job in 0..jobs {
        let (from, to) = (on(0, source.path()), on(1, &target.path().join(job.to_string())));
        let _ = cluster.ask(["job", "submit", &from, &to]).expect(0);
    }
}

/// Asks for `url` on many connections for some time.
async fn ask(url: &str, token: &str, connections: u64, time: Duration) -> Tally {
    let end = Instant::now() + time;
    let mut all = JoinSet::new();
    for _ in 0..connections {
        all.spawn(one(url.to_owned(), token.to_owned(), end));
    }
    let mut sum = Tally::default();
    while let Some(tally) = all.join_next().await {
        let tally = tally.expect("a connection that ends");
        sum.times.extend(tally.times);
        sum.refused += tally.refused;
        sum.bytes += tally.bytes;
    }
    sum
}

async fn one(url: String, token: String, end: Instant) -> Tally {
    // One client of its own keeps one connection open.
    let http = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().expect("a client");
    let mut tally = Tally::default();
    while Instant::now() < end {
        let begun = Instant::now();
        let answer = http.get(&url).bearer_auth(&token).send().await.expect("an answer");
        let status = answer.status();
        let body = answer.bytes().await.expect("the whole of it");
        match status.as_u16() {
            200 => {
                tally.times.push(begun.elapsed());
                tally.bytes += body.len() as u64;
            }
            // More at once than the node takes: the client is told so, and asks again.
            429 => tally.refused += 1,
            other => panic!("{url}: {other}: {}", String::from_utf8_lossy(&body)),
        }
    }
    tally
}

fn report(title: &str, mut tally: Tally, took: Duration) {
    tally.times.sort_unstable();
    let count = tally.times.len();
    let at = |share: usize| {
        let time = tally.times.get((count * share / 1000).min(count.saturating_sub(1)));
        time.copied().unwrap_or_default().as_secs_f64() * 1e3
    };
    println!(
        "{title}: {:.0} requests/s, {:.1} MiB/s, median {:.2} ms, p99 {:.2} ms, slowest {:.2} ms, {} told to wait",
        count as f64 / took.as_secs_f64(),
        tally.bytes as f64 / f64::from(1 << 20) / took.as_secs_f64(),
        at(500),
        at(990),
        at(1000),
        tally.refused
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unknown_is_refused() {
        let parse = |text: &str| Options::parse(text.split_whitespace().map(str::to_owned));
        let usual = parse("").unwrap();
        assert_eq!((usual.time.as_secs(), usual.connections, usual.jobs), (10, 64, 100));
        let smoke = parse("--smoke --jobs 3").unwrap();
        assert_eq!((smoke.time.as_secs(), smoke.connections, smoke.jobs), (1, 8, 3));
        for wrong in ["--help", "--seconds", "--seconds x", "--clients 5", "5"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
