//! Many lives without a violation, and the same seed twice with the same trace.

use airlift_sim::World;

#[test]
fn five_hundred_lives_break_no_invariant() {
    for seed in 0..500 {
        let life = World::new(seed, false).run();
        assert_eq!(
            life.violation, None,
            "replay: cargo run -p airlift-sim -- --seed {seed} --trace"
        );
    }
}

#[test]
fn the_same_seed_gives_the_same_life() {
    for seed in 0..50 {
        let hashes = [(); 2].map(|()| World::new(seed, false).run().trace_hash);
        assert_eq!(hashes[0], hashes[1], "seed {seed}");
    }
}

/// A run that began while the last one's end was still on its way through the log: the end, planned
/// upon the old run, ended the new one before it had listed anything.
#[test]
fn what_was_planned_upon_one_run_does_not_reach_the_next() {
    assert_eq!(World::new(8931, false).run().violation, None);
}

/// An object failed and its upload could not be dropped either: the left-over upload was told as an
/// object, so that its key had two lines in the report and was counted twice.
#[test]
fn an_upload_that_is_left_over_is_no_object() {
    assert_eq!(World::new(15_789, false).run().violation, None);
}

/// The answer to a begun upload was lost after another upload had been reported for the same object:
/// the second one was never dropped.
#[test]
fn an_upload_that_was_begun_twice_is_dropped_once() {
    assert_eq!(World::new(11, false).run().violation, None);
}
