//! `sim [--seeds N] [--first-seed S]` lives many lives; `sim --seed N --trace` tells one.

#![expect(clippy::print_stdout, reason = "a command line tool speaks on its standard output")]

use std::process::ExitCode;

use airlift_sim::World;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1)?.parse::<u64>().ok()
    };
    if let Some(seed) = number("--seed") {
        let life = World::new(seed, true).run();
        if arguments.iter().any(|argument| argument == "--trace") {
            life.trace.iter().for_each(|line| println!("{line}"));
        }
        println!("seed {seed}: {} events, trace {}", life.events, life.trace_hash);
        return verdict(seed, life.violation);
    }
    let first = number("--first-seed").unwrap_or(0);
    let count = number("--seeds").unwrap_or(500);
    let mut events = 0;
    for seed in first..first + count {
        let life = World::new(seed, false).run();
        events += life.events;
        if life.violation.is_some() {
            return verdict(seed, life.violation);
        }
    }
    println!("{count} lives from seed {first}: {events} events, no violation");
    ExitCode::SUCCESS
}

fn verdict(seed: u64, violation: Option<String>) -> ExitCode {
    match violation {
        None => ExitCode::SUCCESS,
        Some(violation) => {
            println!("seed {seed} breaks an invariant: {violation}");
            println!("replay: cargo run --release -p airlift-sim -- --seed {seed} --trace");
            ExitCode::FAILURE
        }
    }
}
