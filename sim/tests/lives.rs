//! Many lives without a violation, and the same seed with the same trace in another process.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]
#![expect(clippy::disallowed_types, reason = "traces are compared between processes")]
#![expect(clippy::disallowed_methods, reason = "each life is of one thread, and lives are many")]

use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

use airlift_sim::trace::story;
use airlift_sim::{Options, World};

const LIVES: u64 = 500;

#[test]
fn five_hundred_lives_break_no_invariant() {
    let next = AtomicU64::new(0);
    let live = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= LIVES {
                return;
            }
            let life = World::new(seed, false).run();
            let Some(violation) = life.violation else { continue };
            let told = World::new(seed, true).run();
            panic!(
                "seed {seed}: {}: {}\n{}replay: cargo run -p airlift-sim -- --seed {seed} --trace",
                violation.invariant,
                violation.text,
                story(&told.lines, &violation.subjects)
            );
        }
    };
    std::thread::scope(|scope| {
        let others = scope.spawn(live);
        live();
        others.join().unwrap();
    });
}

#[test]
fn hours_of_continuous_work_make_no_node_hold_more() {
    let life = World::with(1, Options::day(2), false).run();
    assert!(life.violation.is_none(), "sim --seed 1 --hours 2 --trace: {:?}", life.violation);
    assert!(life.counts["runs ended"] > 50, "{:?}", life.counts);
    assert!(life.counts["replaced node"] > 0, "{:?}", life.counts);
}

#[test]
fn a_seed_has_the_same_trace_in_every_process() {
    let hashes = || {
        let mut sim = Command::new(env!("CARGO_BIN_EXE_sim"));
        let output = sim.args(["--hashes", "--seeds", "100"]).output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    let first = hashes();
    assert_eq!(first.lines().count(), 100);
    assert_eq!(first, hashes());
    let here = World::new(7, true).run().trace_hash.to_string();
    assert!(first.lines().any(|line| line == format!("7 {here}")), "telling changes nothing");
}
