//! `sim [--seeds N] [--first-seed S]` lives many lives; `sim --seed N [--trace]` tells one;
//! `sim --keys N` lists a source of so many keys.

#![expect(clippy::print_stdout, reason = "a command line tool speaks on its standard output")]
#![expect(clippy::disallowed_types, reason = "it says how long the lives took; none of them knows")]
#![expect(clippy::disallowed_methods, reason = "each life is of one thread, and lives are many")]

mod arguments;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use airlift_sim::crowd::Crowd;
use airlift_sim::trace::story;
use airlift_sim::{Life, World};

use self::arguments::{Arguments, Lives};

fn main() -> ExitCode {
    let arguments = match Arguments::parse(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(text) => {
            println!("{text}");
            return ExitCode::from(2);
        }
    };
    match arguments {
        Arguments::Help => {
            println!("{}", arguments::HELP);
            ExitCode::SUCCESS
        }
        Arguments::One { seed, is_traced } => tell(seed, is_traced),
        Arguments::Hashes(lives) => {
            for seed in lives.first..lives.first + lives.count {
                println!("{seed} {}", World::new(seed, false).run().trace_hash);
            }
            ExitCode::SUCCESS
        }
        Arguments::Many(lives) => live(&lives),
        Arguments::Keys(keys) => list(keys),
    }
}

/// Lists a source of so many keys.
fn list(keys: u64) -> ExitCode {
    let begun = Instant::now();
    let listed = airlift_sim::crowd::list(keys);
    let seconds = begun.elapsed().as_secs_f64();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    match listed {
        Ok(Crowd { keys, pages, ranges, orders, waiting }) => {
            println!(
                "{keys} keys in {pages} pages, {waiting} of them at once, {ranges} ranges at once, {orders} \
                 orders: {seconds:.1} s, {:.0} keys a second, at most {} of memory",
                keys as f64 / seconds.max(0.001),
                peak.map_or("?", str::trim),
            );
            ExitCode::SUCCESS
        }
        Err(text) => {
            println!("{text}");
            ExitCode::FAILURE
        }
    }
}

/// Lives one life and tells of it.
fn tell(seed: u64, is_traced: bool) -> ExitCode {
    let life = World::new(seed, true).run();
    if is_traced {
        for line in &life.lines {
            println!("{:>9} {}", line.at, line.text);
        }
    }
    let seconds = life.ms / 1000;
    println!(
        "seed {seed}: {} events in {seconds} virtual seconds, trace {}",
        life.events, life.trace_hash
    );
    match life.violation {
        None => ExitCode::SUCCESS,
        Some(_) => {
            tell_violation(seed, &life);
            ExitCode::FAILURE
        }
    }
}

fn tell_violation(seed: u64, life: &Life) {
    let Some(violation) = &life.violation else { return };
    println!("seed {seed} breaks an invariant: {}", violation.invariant);
    println!("  {}", violation.text);
    println!("what happened:");
    print!("{}", story(&life.lines, &violation.subjects));
    println!("replay: cargo run --release -p airlift-sim -- --seed {seed} --trace");
}

/// What many lives came to.
#[derive(Default)]
struct Sum {
    events: u64,
    ms: u64,
    counts: BTreeMap<&'static str, u64>,
    /// The smallest seed that broke something.
    broken: Option<u64>,
}

/// Lives many lives, on as many threads as are wanted; each life is of one thread.
fn live(lives: &Lives) -> ExitCode {
    let begun = Instant::now();
    let next = AtomicU64::new(lives.first);
    let end = lives.first + lives.count;
    let sum = Mutex::new(Sum::default());
    std::thread::scope(|scope| {
        for _ in 0..lives.threads.max(1) {
            scope.spawn(|| work(&next, end, lives, begun, &sum));
        }
    });
    let sum = sum.into_inner().unwrap_or_default();
    if let Some(seed) = sum.broken {
        tell_violation(seed, &World::new(seed, true).run());
        return ExitCode::FAILURE;
    }
    let lived = next.load(Ordering::Relaxed).min(end) - lives.first;
    let seconds = begun.elapsed().as_secs_f64();
    for (what, count) in &sum.counts {
        println!("{count:>12} {what}");
    }
    println!(
        "{lived} lives from seed {}: {} events of {} virtual hours in {seconds:.0} s on {} threads, \
         {:.0} events a second; no violation",
        lives.first,
        sum.events,
        sum.ms / 3_600_000,
        lives.threads.max(1),
        sum.events as f64 / seconds.max(0.001),
    );
    ExitCode::SUCCESS
}

fn work(next: &AtomicU64, end: u64, lives: &Lives, begun: Instant, sum: &Mutex<Sum>) {
    let is_time_up = || lives.seconds.is_some_and(|most| begun.elapsed().as_secs() >= most);
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= end || is_time_up() {
            return;
        }
        let life = World::new(seed, false).run();
        let Ok(mut sum) = sum.lock() else { return };
        sum.events += life.events;
        sum.ms += life.ms;
        for (what, count) in life.counts {
            *sum.counts.entry(what).or_default() += count;
        }
        if life.violation.is_some() {
            sum.broken = Some(sum.broken.map_or(seed, |other| other.min(seed)));
            next.store(end, Ordering::Relaxed);
        }
    }
}
