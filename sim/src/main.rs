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
use airlift_sim::{Life, Options, World};

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
        Arguments::One { seed, is_traced, hours } => tell(seed, hours, is_traced),
        Arguments::Hashes(lives) => {
            for seed in lives.first..lives.first + lives.count {
                println!("{seed} {}", world(seed, lives.hours, false).run().trace_hash);
            }
            ExitCode::SUCCESS
        }
        Arguments::Many(lives) => live(&lives),
        Arguments::Keys(keys) => list(keys),
    }
}

/// The world of a seed: of a short life, or of one of so many hours.
fn world(seed: u64, hours: Option<u64>, keeps_lines: bool) -> World {
    let options = hours.map_or_else(|| Options::of(seed), Options::day);
    World::with(seed, options, keeps_lines)
}

/// Lists a source of so many keys.
fn list(keys: u64) -> ExitCode {
    let begun = Instant::now();
    let listed = airlift_sim::crowd::list(keys);
    let seconds = begun.elapsed().as_secs_f64();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    match listed {
        Ok(Crowd { keys, pages, ranges, orders }) => {
            println!(
                "{keys} keys in {pages} pages, {ranges} ranges at once, {orders} orders: \
                 {seconds:.1} s, {:.0} keys a second, at most {} of memory",
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
fn tell(seed: u64, hours: Option<u64>, is_traced: bool) -> ExitCode {
    let life = world(seed, hours, true).run();
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
            tell_violation(seed, hours, &life);
            ExitCode::FAILURE
        }
    }
}

fn tell_violation(seed: u64, hours: Option<u64>, life: &Life) {
    let Some(violation) = &life.violation else { return };
    println!("seed {seed} breaks an invariant: {}", violation.invariant);
    println!("  {}", violation.text);
    println!("what happened:");
    print!("{}", story(&life.lines, &violation.subjects));
    let hours = hours.map_or_else(String::new, |hours| format!(" --hours {hours}"));
    println!("replay: cargo run --release -p airlift-sim -- --seed {seed}{hours} --trace");
}

/// What many lives came to.
#[derive(Default)]
struct Sum {
    events: u64,
    ms: u64,
    counts: BTreeMap<&'static str, u64>,
    most: BTreeMap<&'static str, u64>,
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
        tell_violation(seed, lives.hours, &world(seed, lives.hours, true).run());
        return ExitCode::FAILURE;
    }
    let lived = next.load(Ordering::Relaxed).min(end) - lives.first;
    let seconds = begun.elapsed().as_secs_f64();
    for (what, count) in &sum.counts {
        println!("{count:>12} {what}");
    }
    for (what, most) in &sum.most {
        println!("{most:>12} {what}, at most");
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
        let life = world(seed, lives.hours, false).run();
        let Ok(mut sum) = sum.lock() else { return };
        sum.events += life.events;
        sum.ms += life.ms;
        for (what, count) in life.counts {
            *sum.counts.entry(what).or_default() += count;
        }
        for (what, value) in life.most {
            let most = sum.most.entry(what).or_default();
            *most = (*most).max(value);
        }
        if life.violation.is_some() {
            sum.broken = Some(sum.broken.map_or(seed, |other| other.min(seed)));
            next.store(end, Ordering::Relaxed);
        }
    }
}
